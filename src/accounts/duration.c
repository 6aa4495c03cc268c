/* Durations as providers write them. Pure. */
#include "accounts/inside.h"

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define MONTH  (31 * DAY)

bool duration_read(struct slice s, int64_t *ms)
{
    static const struct {
        struct slice name; /* "ms" stands before "m" */
        double ms;
    } units[] = {
        {{"ms", 2}, 1},
        {{"us", 2}, 0.001},
        {{"\xc2\xb5s", 3}, 0.001},
        {{"ns", 2}, 0.000001},
        {{"d", 1}, (double)DAY},
        {{"h", 1}, (double)HOUR},
        {{"m", 1}, (double)MINUTE},
        {{"s", 1}, (double)SECOND},
    };
    double sum = 0;
    bool any = false;
    for (s = slice_trim(s); s.n > 0; any = true) {
        double v = 0, unit = any ? 0 : (double)SECOND;
        size_t digits = 0;
        while (digits < s.n && ((s.p[digits] >= '0' && s.p[digits] <= '9') || s.p[digits] == '.'))
            digits++;
        if (!text_f64(slice_sub(s, 0, digits), &v) || !(v >= 0))
            return false;
        s = slice_sub(s, digits, s.n);
        for (size_t i = 0; s.n > 0 && i < sizeof units / sizeof units[0]; i++) {
            if (!slice_starts(s, units[i].name))
                continue;
            unit = units[i].ms;
            s = slice_sub(s, units[i].name.n, s.n);
            digits = 0;
            break;
        }
        if (!(unit > 0) || (digits > 0 && s.n > 0)) /* a number without its unit is the only one */
            return false;
        sum += v * unit;
        if (!(sum <= (double)MONTH))
            return false;
    }
    *ms = (int64_t)sum;
    return any;
}
