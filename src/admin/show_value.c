/* Values as people read them: times, amounts, reasons. */
#include "admin/show.h"

#include <string.h>

/* ---- values
 * -----------------------------------------------------------------------------------------------
 */

const char *value_text(const struct json_val *o, const char *key, char *out, size_t size)
{
    text_copy(out, size, json_get_str(o, key));
    return out;
}

/* "2026-08-22T10:15:04.123Z" as "08-22 10:15:04". */
void cell_time(struct table *t, struct slice s)
{
    if (s.n < 19)
        table_cell(t, S(""));
    else
        table_cellf(t, "%.5s %.8s", s.p + 5, s.p + 11);
}

void value_ms(char *out, size_t size, int64_t ms)
{
    if (ms < 1000)
        text_format(out, size, "%" PRId64 "ms", ms);
    else if (ms < 60000)
        text_format(out, size, "%.1fs", (double)ms / 1000);
    else if (ms < 3600000)
        text_format(out, size, "%" PRId64 "m%02" PRId64 "s", ms / 60000, ms / 1000 % 60);
    else if (ms < 86400000)
        text_format(out, size, "%" PRId64 "h%02" PRId64 "m", ms / 3600000, ms / 60000 % 60);
    else
        text_format(out, size, "%" PRId64 "d%02" PRId64 "h", ms / 86400000, ms / 3600000 % 24);
}

void value_count(char *out, size_t size, int64_t n)
{
    if (n < 10000)
        text_format(out, size, "%" PRId64, n);
    else if (n < 1000000)
        text_format(out, size, "%.1fk", (double)n / 1e3);
    else if (n < 1000000000)
        text_format(out, size, "%.1fM", (double)n / 1e6);
    else
        text_format(out, size, "%.1fG", (double)n / 1e9);
}

void cell_ms(struct table *t, const struct json_val *v)
{
    char text[32] = "";
    int64_t ms;
    if (json_i64(v, &ms))
        value_ms(text, sizeof text, ms);
    table_cell(t, slice_of(text));
}

void cell_count(struct table *t, int64_t n)
{
    char text[32];
    value_count(text, sizeof text, n);
    table_cell(t, slice_of(text));
}

void value_usd(char *out, size_t size, const struct json_val *v)
{
    double usd;
    if (json_f64(v, &usd))
        text_format(out, size, usd < 1 ? "$%.4f" : "$%.2f", usd);
    else
        text_copy(out, size, S("-"));
}

/* "rate_limited, 4m10s" */
void value_reason(char *out, size_t size, const struct json_val *a)
{
    char reason[64], wait[32];
    int64_t seconds;
    value_text(a, "reason", reason, sizeof reason);
    if (json_i64(json_get(a, "until_in_seconds"), &seconds)) {
        value_ms(wait, sizeof wait, seconds * 1000);
        text_format(out, size, "%s, %s", reason, wait);
    } else {
        bool said = strcmp(reason, "paused") == 0 || strcmp(reason, "removed") == 0;
        text_copy(out, size, said ? S("") : slice_of(reason));
    }
}

void show_row(struct buf *out, const char *name, struct slice text)
{
    out_printf(out, "%-12s", name);
    out_safe(out, text.n > 0 ? text : S("-"));
    out_printf(out, "\n");
}

void value_list(char *out, size_t size, const struct json_val *array)
{
    size_t n = 0;
    struct slice s;
    out[0] = '\0';
    for (size_t i = 0; i < json_len(array) && n + 4 < size; i++)
        if (json_str(json_at(array, i), &s))
            n += text_format(out + n, size - n, "%s%.*s", n > 0 ? ", " : "", (int)s.n, s.p);
}
