/* Peak hours: a daily span, as a person writes it, and whether a moment lies in it. Pure.
 *
 * A zone is a fixed distance from UTC: providers announce their hours so, and then no hour happens
 * twice or never. */
#include "accounts/policy.h"

#define MINUTE   INT64_C(60000)
#define DAY      (24 * 60 * MINUTE)
#define DAY_MIN  1440
#define ALL_DAYS 0x7f
#define ZONE_MAX (14 * 60) /* no place is further from UTC */

/* ---- reading --------------------------------------------------------------------------------- */

static bool day_read(struct slice s, int *day)
{
    static const char *const names[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
    for (int i = 0; i < 7; i++) {
        if (slice_ieq(s, slice_of(names[i]))) {
            *day = i;
            return true;
        }
    }
    return false;
}

/* "Mon-Fri", "Sat,Sun", "Fri-Mon" */
static bool days_read(struct slice s, uint8_t *out)
{
    struct slice part;
    uint8_t days = 0;
    if (s.n == 0 || s.p[s.n - 1] == ',')
        return false;
    while (slice_cut(&s, ',', &part)) {
        struct slice last = part, first;
        int from = 0, to = 0;
        if (!slice_cut(&last, '-', &first) || !day_read(first, &from))
            return false;
        bool range = first.n < part.n;
        if (!day_read(range ? last : first, &to))
            return false;
        for (int d = from;; d = (d + 1) % 7) {
            days = (uint8_t)(days | 1 << d);
            if (d == to)
                break;
        }
    }
    assert(days != 0 && days <= ALL_DAYS);
    *out = days;
    return true;
}

static bool digits_read(struct slice s, size_t least, uint64_t max, int *out)
{
    uint64_t v = 0;
    if (s.n < least || s.n > 2 || !text_u64(s, &v) || v > max)
        return false;
    *out = (int)v;
    return true;
}

/* "9:00" or "09:00"; "24:00" is the day's end. */
static bool minute_read(struct slice s, int *out)
{
    struct slice rest = s, hour = S("");
    int h = 0, m = 0;
    if (!slice_cut(&rest, ':', &hour) || !digits_read(hour, 1, 24, &h) ||
        !digits_read(rest, 2, 59, &m) || (h == 24 && m != 0))
        return false;
    *out = h * 60 + m;
    return true;
}

static bool span_read(struct slice s, struct peak_hours *out)
{
    struct slice to = s, from = S("");
    int a = 0, b = 0;
    if (!slice_cut(&to, '-', &from) || !minute_read(from, &a) || !minute_read(to, &b))
        return false;
    if (a == b || a == DAY_MIN || (a == 0 && b == 0))
        return false;
    out->from = (int16_t)a;
    out->to = (int16_t)(b == 0 ? DAY_MIN : b);
    return true;
}

/* "+08:00", "+8", "-0330", "UTC", "UTC+8" */
static bool zone_read(struct slice s, int16_t *out)
{
    int h = 0, m = 0;
    if (slice_istarts(s, S("UTC")) || slice_istarts(s, S("GMT")))
        s = slice_sub(s, 3, s.n);
    else if (s.n == 0)
        return false;
    *out = 0;
    if (s.n == 0)
        return true;
    bool east = s.p[0] == '+';
    if (!east && s.p[0] != '-')
        return false;
    s = slice_sub(s, 1, s.n);
    bool colon = slice_find(s, ':') >= 0;
    size_t lead = colon ? (size_t)slice_find(s, ':') : s.n < 2 ? s.n : s.n > 2 ? s.n - 2 : 2;
    struct slice rest = slice_sub(s, lead + colon, s.n);
    if (!digits_read(slice_sub(s, 0, lead), 1, 14, &h) ||
        ((rest.n > 0 || colon) && !digits_read(rest, 2, 59, &m)) || h * 60 + m > ZONE_MAX)
        return false;
    assert(h >= 0 && m >= 0 && h * 60 + m <= ZONE_MAX);
    *out = (int16_t)(east ? h * 60 + m : -(h * 60 + m));
    return true;
}

static bool word_next(struct slice *rest, struct slice *word)
{
    *rest = slice_trim(*rest);
    if (!slice_cut(rest, ' ', word))
        return false;
    *word = slice_trim(*word);
    return true;
}

enum err peak_hours_read(struct slice text, struct peak_hours *out)
{
    struct peak_hours p = {.set = true, .days = ALL_DAYS};
    struct slice rest = text, word = S("");
    if (!word_next(&rest, &word))
        return ERR_SYNTAX;
    bool days = word.n > 0 && !(word.p[0] >= '0' && word.p[0] <= '9');
    if (days && (!days_read(word, &p.days) || !word_next(&rest, &word)))
        return ERR_SYNTAX;
    if (!span_read(word, &p))
        return ERR_SYNTAX;
    if (word_next(&rest, &word) && (!zone_read(word, &p.zone) || word_next(&rest, &word)))
        return ERR_SYNTAX;
    assert(p.from >= 0 && p.from < DAY_MIN && p.to >= 1 && p.to <= DAY_MIN && p.from != p.to);
    *out = p;
    return OK;
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* End of the span that `local` lies in, in the same clock; 0 = in none. */
static int64_t span_end(const struct peak_hours *p, int64_t local)
{
    int64_t length = (p->to > p->from ? p->to - p->from : p->to + DAY_MIN - p->from) * MINUTE;
    assert(length > 0 && length <= DAY);
    int64_t today = local >= 0 ? local / DAY : -((DAY - 1 - local) / DAY);
    for (int64_t day = today; day >= today - 1; day--) { /* yesterday's may go on after midnight */
        int weekday = (int)(((day + 3) % 7 + 7) % 7);    /* 1970-01-01 was a Thursday */
        int64_t begin = day * DAY + p->from * MINUTE;
        if ((p->days >> weekday & 1) != 0 && local >= begin && local < begin + length)
            return begin + length;
    }
    return 0;
}

int64_t peak_hours_until(const struct peak_hours *p, int64_t now)
{
    if (!p->set)
        return 0;
    int64_t zone = p->zone * MINUTE, end = span_end(p, now + zone);
    for (int i = 0; i < 7 && end != 0; i++) { /* one may begin where the one before it ends */
        int64_t next = span_end(p, end);
        if (next == 0)
            break;
        end = next;
    }
    assert(end == 0 || end - zone > now);
    return end == 0 ? 0 : end - zone;
}
