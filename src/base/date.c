/* Dates as text. The calendar is Gregorian, backwards too; leap seconds become the next second. */
#include "base/base.h"

#define DAY_MS   INT64_C(86400000)
#define TIME_MIN INT64_C(-62167219200000) /* 0000-01-01T00:00:00.000Z */
#define TIME_MAX INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

struct civil {
    int year, month, day; /* month and day count from 1 */
};

/* Days since 1970-01-01. Years begin in March here, so that the leap day comes last; after H.
 * Hinnant, "chrono-compatible low-level date algorithms". */
static int64_t days_from_civil(struct civil c)
{
    int64_t y = c.year - (c.month <= 2);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (c.month + (c.month > 2 ? -3 : 9)) + 2) / 5 + c.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    assert(day_of_era >= 0 && day_of_era < 146097);
    return era * 146097 + day_of_era - 719468;
}

static struct civil civil_from_days(int64_t days)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    int64_t month = mp < 10 ? mp + 3 : mp - 9;

    assert(doe >= 0 && doe < 146097 && month >= 1 && month <= 12);
    return (struct civil){(int)(yoe + era * 400 + (month <= 2)), (int)month,
                          (int)(doy - (153 * mp + 2) / 5 + 1)};
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    assert(month >= 1 && month <= 12);
    return days[month - 1] + (month == 2 && leap);
}

/* Takes exactly `digits` decimal digits off the front. */
static bool take_int(struct slice *s, size_t digits, int *out)
{
    uint64_t v;

    assert(digits <= 4);
    if (s->n < digits || !text_u64(slice_sub(*s, 0, digits), &v))
        return false;
    *out = (int)v;
    *s = slice_sub(*s, digits, s->n);
    return true;
}

/* Takes one byte off the front if it is one of `any`. */
static bool take_char(struct slice *s, const char *any)
{
    if (s->n == 0 || s->p[0] == '\0' || slice_find(slice_of(any), s->p[0]) < 0)
        return false;
    *s = slice_sub(*s, 1, s->n);
    return true;
}

/* "HH:MM:SS" in ms since midnight. */
static bool take_clock(struct slice *s, int64_t *ms)
{
    int h, m, sec;

    if (!take_int(s, 2, &h) || !take_char(s, ":") || !take_int(s, 2, &m) || !take_char(s, ":") ||
        !take_int(s, 2, &sec))
        return false;
    if (h > 23 || m > 59 || sec > 60)
        return false;
    *ms = ((int64_t)h * 3600 + m * 60 + sec) * 1000;
    return true;
}

static bool civil_valid(struct civil c)
{
    return c.month >= 1 && c.month <= 12 && c.day >= 1 && c.day <= days_in_month(c.year, c.month);
}

/* ".123456": any number of digits, of which three count. */
static bool take_fraction(struct slice *s, int64_t *ms)
{
    int64_t unit = 100;
    size_t n = 0;

    *ms = 0;
    if (!take_char(s, "."))
        return true;
    for (; n < s->n && s->p[n] >= '0' && s->p[n] <= '9'; n++) {
        *ms += unit * (s->p[n] - '0');
        unit /= 10;
    }
    *s = slice_sub(*s, n, s->n);
    return n > 0;
}

/* "Z" or "+HH:MM". */
static bool take_zone(struct slice *s, int64_t *ms)
{
    int sign, h, m;

    *ms = 0;
    if (take_char(s, "Zz"))
        return true;
    sign = s->n > 0 && s->p[0] == '-' ? -1 : 1;
    if (!take_char(s, "+-") || !take_int(s, 2, &h) || !take_char(s, ":") || !take_int(s, 2, &m))
        return false;
    *ms = sign * ((int64_t)h * 60 + m) * 60000;
    return h <= 23 && m <= 59;
}

bool text_rfc3339(struct slice s, int64_t *ms)
{
    int64_t clock, fraction, zone;
    struct civil c;

    assert(ms != NULL);
    if (!take_int(&s, 4, &c.year) || !take_char(&s, "-") || !take_int(&s, 2, &c.month) ||
        !take_char(&s, "-") || !take_int(&s, 2, &c.day) || !civil_valid(c))
        return false;
    if (!take_char(&s, "Tt ") || !take_clock(&s, &clock) || !take_fraction(&s, &fraction) ||
        !take_zone(&s, &zone) || s.n > 0)
        return false;
    *ms = days_from_civil(c) * DAY_MS + clock + fraction - zone;
    return true;
}

size_t text_from_time(int64_t ms, char out[TEXT_TIME_MAX])
{
    ms = ms < TIME_MIN ? TIME_MIN : ms > TIME_MAX ? TIME_MAX : ms;
    int64_t day = (ms - (ms < 0 ? DAY_MS - 1 : 0)) / DAY_MS; /* rounds down */
    int in_day = (int)(ms - day * DAY_MS);
    struct civil c = civil_from_days(day);

    assert(in_day >= 0 && in_day < DAY_MS);
    assert(c.year >= 0 && c.year <= 9999);
    return text_format(out, TEXT_TIME_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", c.year, c.month,
                       c.day, in_day / 3600000, in_day / 60000 % 60, in_day / 1000 % 60,
                       in_day % 1000);
}

/* Takes a three-letter name off the front; its index in `names`, or -1. */
static int take_name(struct slice *s, const char *names)
{
    for (int i = 0; s->n >= 3 && names[3 * i] != '\0'; i++) {
        if (slice_eq(slice_sub(*s, 0, 3), (struct slice){names + 3 * i, 3})) {
            *s = slice_sub(*s, 3, s->n);
            return i;
        }
    }
    return -1;
}

bool text_http_date(struct slice s, int64_t *ms)
{
    struct civil c;
    int64_t clock;

    assert(ms != NULL);
    if (take_name(&s, "SunMonTueWedThuFriSat") < 0 || !take_char(&s, ",") || !take_char(&s, " ") ||
        !take_int(&s, 2, &c.day) || !take_char(&s, " "))
        return false;
    c.month = take_name(&s, "JanFebMarAprMayJunJulAugSepOctNovDec") + 1;
    if (!take_char(&s, " ") || !take_int(&s, 4, &c.year) || !civil_valid(c))
        return false;
    if (!take_char(&s, " ") || !take_clock(&s, &clock) || !slice_eq(s, S(" GMT")))
        return false;
    *ms = days_from_civil(c) * DAY_MS + clock;
    return true;
}
