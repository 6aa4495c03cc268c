/* Usage: what the endpoints of plans tell of their windows, each in its own shape. Pure.
 * Anthropic's is in windows.c. Facts: wire/compat-providers.md. What cannot be understood is not
 * told. */
#include "accounts/inside.h"

#include <string.h>

#define HOUR     (INT64_C(3600) * 1000)
#define DAY      (24 * HOUR)
#define BODY_MAX ((size_t)1 << 16)
#define ROWS_MAX 32

/* A number, or a text that is one. */
static bool number_of(const struct json_val *v, double *out)
{
    struct slice text;
    return json_f64(v, out) || (json_str(v, &text) && text_f64(text, out));
}

static int64_t time_of(const struct json_val *v)
{
    struct slice text;
    char digits[TEXT_F64_MAX];
    double number = 0;
    int64_t at = 0;
    if (json_f64(v, &number))
        text = (struct slice){digits, text_from_f64(number, digits)};
    else if (!json_str(v, &text))
        return 0;
    return window_reset_read(text, &at) ? at : 0;
}

/* Takes in a window of `length` ms; of two of a kind the tighter one counts. */
static void window_put(struct window *out, double used, int64_t resets_at, int64_t length,
                       int64_t now)
{
    struct window w = {.known = true, .used = used, .seen_at = now};
    if (!(used >= 0 && used <= 100))
        return;
    if (resets_at != 0 && resets_at - now <= length + DAY) {
        w.resets_at = resets_at;
        w.started_at = resets_at - length;
    }
    w.closed = used >= 1 && w.resets_at > now;
    if (!out->known || used > out->used)
        *out = w;
}

/* {"data":{"limits":[{"type":"TOKENS_LIMIT","percentage":12,"nextResetTime":ms}, ...]}}: the window
 * of five hours, and where a plan has one the week's; TIME_LIMIT is about tools. */
static void read_zai(const struct json_val *root, int64_t now, struct window out[WINDOW_KINDS])
{
    const struct json_val *list = json_get(json_get(root, "data"), "limits");
    for (size_t i = 0; i < json_len(list) && i < ROWS_MAX; i++) {
        const struct json_val *v = json_at(list, i);
        double percent = 0;
        if (!slice_eq(json_get_str(v, "type"), S("TOKENS_LIMIT")) ||
            !number_of(json_get(v, "percentage"), &percent))
            continue;
        int64_t at = time_of(json_get(v, "nextResetTime"));
        bool week = at - now > 6 * HOUR;
        window_put(&out[week ? WINDOW_7D : WINDOW_5H], percent / 100, at, week ? 7 * DAY : 5 * HOUR,
                   now);
    }
}

/* Per cent that remain, of the row "general". */
static void read_minimax(const struct json_val *root, int64_t now, struct window out[WINDOW_KINDS])
{
    const struct json_val *list = json_get(root, "model_remains");
    if (json_get_i64(json_get(root, "base_resp"), "status_code", -1) != 0)
        return;
    for (size_t i = 0; i < json_len(list) && i < ROWS_MAX; i++) {
        const struct json_val *v = json_at(list, i);
        double left = 0;
        if (!slice_eq(json_get_str(v, "model_name"), S("general")))
            continue;
        if (number_of(json_get(v, "current_interval_remaining_percent"), &left))
            window_put(&out[WINDOW_5H], 1 - left / 100, time_of(json_get(v, "end_time")), 5 * HOUR,
                       now);
        if (number_of(json_get(v, "current_weekly_remaining_percent"), &left))
            window_put(&out[WINDOW_7D], 1 - left / 100, time_of(json_get(v, "weekly_end_time")),
                       7 * DAY, now);
    }
}

/* A day's window and a month's, which stand for the short and the long one. Without a subscription
 * there are none, and a day that is not enforced refuses nobody. */
static void read_nanogpt(const struct json_val *root, int64_t now, struct window out[WINDOW_KINDS])
{
    const struct json_val *day = json_get(root, "daily"), *month = json_get(root, "monthly");
    double used = 0;
    if (!json_get_bool(root, "active", false))
        return;
    if (json_get_bool(root, "enforceDailyLimit", false) &&
        number_of(json_get(day, "percentUsed"), &used))
        window_put(&out[WINDOW_5H], used, time_of(json_get(day, "resetAt")), DAY, now);
    if (number_of(json_get(month, "percentUsed"), &used))
        window_put(&out[WINDOW_7D], used, time_of(json_get(month, "resetAt")), 31 * DAY, now);
}

/* {"limit":"100","used":"20","remaining":"80","resetTime":...}; false: it does not tell its use. */
static bool kimi_used(const struct json_val *v, double *used, int64_t *at)
{
    double limit = 0, n = 0;
    if (!number_of(json_get(v, "limit"), &limit) || !(limit > 0))
        return false;
    if (number_of(json_get(v, "used"), &n))
        *used = n / limit;
    else if (number_of(json_get(v, "remaining"), &n))
        *used = n < limit ? 1 - n / limit : 0;
    else
        return false;
    *at = time_of(json_get(v, "resetTime"));
    return true;
}

/* {"usage":{...the week...},"limits":[{"window":{"duration":300,"timeUnit":"TIME_UNIT_MINUTE"},
 * "detail":{...}}]} */
static void read_kimi(const struct json_val *root, int64_t now, struct window out[WINDOW_KINDS])
{
    const struct json_val *list = json_get(root, "limits");
    double used = 0;
    int64_t at = 0;
    if (kimi_used(json_get(root, "usage"), &used, &at))
        window_put(&out[WINDOW_7D], used, at, 7 * DAY, now);
    for (size_t i = 0; i < json_len(list) && i < ROWS_MAX; i++) {
        const struct json_val *v = json_at(list, i), *w = json_get(v, "window");
        int64_t unit = slice_eq(json_get_str(w, "timeUnit"), S("TIME_UNIT_DAY"))    ? 24 * 60
                       : slice_eq(json_get_str(w, "timeUnit"), S("TIME_UNIT_HOUR")) ? 60
                                                                                    : 1;
        int64_t minutes = json_get_i64(w, "duration", 0);
        if (minutes <= 0 || minutes > 60 * 24 * 31 || !kimi_used(json_get(v, "detail"), &used, &at))
            continue;
        bool week = minutes * unit > 24 * 60;
        window_put(&out[week ? WINDOW_7D : WINDOW_5H], used, at, week ? 7 * DAY : 5 * HOUR, now);
    }
}

int usage_windows_read(enum usage_style style, struct slice body, int64_t now,
                       struct window out[WINDOW_KINDS])
{
    struct json *doc = NULL;
    int n = 0;
    if (style == USAGE_ANTHROPIC)
        return windows_read_usage(body, now, out);
    if (body.n > BODY_MAX || json_parse(body, &doc) != OK)
        return 0;
    const struct json_val *root = json_root(doc);
    struct window seen[WINDOW_KINDS] = {0};
    switch (style) {
    case USAGE_ZAI:
        read_zai(root, now, seen);
        break;
    case USAGE_MINIMAX:
        read_minimax(root, now, seen);
        break;
    case USAGE_NANOGPT:
        read_nanogpt(root, now, seen);
        break;
    case USAGE_KIMI:
        read_kimi(root, now, seen);
        break;
    case USAGE_NONE:
    case USAGE_ANTHROPIC:
        break;
    }
    json_free(doc);
    for (int k = 0; k < WINDOW_KINDS; k++) {
        if (seen[k].known)
            out[k] = seen[k];
        n += seen[k].known;
    }
    return n;
}
