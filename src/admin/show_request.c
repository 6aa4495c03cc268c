/* Requests drawn for people: as rows, one whole, and one that is only thought of. */
#include "admin/show.h"

#include <string.h>

/* ---- requests
 * --------------------------------------------------------------------------------------------- */

/* Without the date behind a model's name: it is in the JSON. */
static struct slice short_model(const struct json_val *r)
{
    struct slice m = json_get_str(r, "model_answered");
    if (m.n == 0)
        m = json_get_str(r, "model_asked");
    if (m.n <= 9 || m.p[m.n - 9] != '-')
        return m;
    for (size_t i = m.n - 8; i < m.n; i++)
        if (m.p[i] < '0' || m.p[i] > '9')
            return m;
    return slice_sub(m, 0, m.n - 9);
}

static void request_cells(struct table *t, const struct json_val *r)
{
    char usd[32];
    int64_t status = json_get_i64(r, "status", 0);
    cell_time(t, json_get_str(r, "at"));
    table_cell(t, json_get_str(r, "key"));
    table_cell(t, json_get_str(r, "account"));
    table_cell(t, short_model(r));
    if (status > 0)
        table_cellf(t, "%" PRId64, status);
    else
        table_cell(t, S(""));
    table_cell(t, json_get_str(r, "end"));
    table_cellf(t, "%" PRId64, json_get_i64(r, "attempts_total", 0));
    cell_ms(t, json_get(r, "ttfb_ms"));
    cell_ms(t, json_get(r, "duration_ms"));
    cell_count(t, json_get_i64(r, "input", 0));
    cell_count(t, json_get_i64(r, "output", 0));
    cell_count(t, json_get_i64(r, "cache_read", 0));
    cell_count(t, json_get_i64(r, "cache_write_5m", 0) + json_get_i64(r, "cache_write_1h", 0));
    value_usd(usd, sizeof usd, json_get(r, "cost_usd"));
    table_cell(t, slice_of(usd));
}

void show_requests(const struct json_val *root, const struct look *l, bool head, struct buf *out)
{
    static const struct column COLUMNS[] = {
        {.title = "TIME (UTC)", .least = 14},
        {.title = "KEY", .least = 8, .rank = 5},
        {.title = "ACCOUNT", .least = 10},
        {.title = "MODEL", .least = 17},
        {.title = "CODE", .right = true},
        {.title = "END", .least = 8, .mood = true},
        {.title = "TRIES", .right = true, .rank = 8},
        {.title = "FIRST", .right = true, .least = 5, .rank = 9},
        {.title = "TOOK", .right = true, .least = 5, .rank = 1},
        {.title = "IN", .right = true, .least = 5, .rank = 4},
        {.title = "OUT", .right = true, .least = 5, .rank = 3},
        {.title = "CACHED", .right = true, .rank = 6},
        {.title = "WRITTEN", .right = true, .rank = 7},
        {.title = "COST", .right = true, .least = 7, .rank = 2},
    };
    const struct json_val *list = json_get(root, "requests");
    struct table t;
    table_init(&t, COLUMNS, (int)(sizeof COLUMNS / sizeof *COLUMNS));
    for (size_t i = 0; i < json_len(list); i++)
        request_cells(&t, json_at(list, i));
    table_print(&t, l, head, out);
    table_free(&t);
}

void show_request_list(const struct json_val *root, const struct look *l, struct buf *out)
{
    if (json_len(json_get(root, "requests")) == 0)
        out_printf(out, "no request is recorded\n");
    else
        show_requests(root, l, true, out);
}

/* ---- one request
 * ------------------------------------------------------------------------------------------- */

#define LEFT 12 /* columns before a row's text */

/* Rows without a value are left out: what is not known is no news. */
static void row_of(struct buf *out, const char *name, const struct json_val *r, const char *key)
{
    if (json_get_str(r, key).n > 0)
        show_row(out, name, json_get_str(r, key));
}

static void show_who(const struct json_val *r, struct buf *out)
{
    struct slice key = json_get_str(r, "key"), client = json_get_str(r, "client");
    struct slice model = json_get_str(r, "model_asked"), got = json_get_str(r, "model_answered");
    show_row(out, "request", json_get_str(r, "id"));
    show_row(out, "when", json_get_str(r, "at"));
    out_printf(out, "%-*s%.*s%s%.*s\n", LEFT, "who", key.n > 0 ? (int)key.n : 6,
               key.n > 0 ? key.p : "no key", client.n > 0 ? " from " : "", (int)client.n, client.p);
    out_printf(out, "%-*s%.*s%s%.*s\n", LEFT, "model", model.n > 0 ? (int)model.n : 1,
               model.n > 0 ? model.p : "-",
               got.n > 0 && !slice_eq(got, model) ? ", answered by " : "",
               slice_eq(got, model) ? 0 : (int)got.n, got.p);
    show_row(out, "asked for", json_get_str(r, "route"));
    row_of(out, "session", r, "session");
    row_of(out, "group", r, "group");
}

/* The words of a choice in a sentence each; a word that has none stands for itself. */
static void show_choice(const struct json_val *r, struct buf *out)
{
    const struct json_val *others = json_get(r, "runners_up");
    struct slice why = json_get_str(r, "why_text"), account = json_get_str(r, "account");
    if (why.n == 0)
        why = json_get_str(r, "why");
    if (why.n == 0)
        return;
    out_printf(out, "%-*s%.*s%s%.*s\n", LEFT, "chosen", (int)account.n, account.p,
               account.n > 0 ? ": " : "", (int)why.n, why.p);
    for (size_t i = 0; i < json_len(others); i++) {
        const struct json_val *o = json_at(others, i);
        struct slice name = json_get_str(o, "account"), text = json_get_str(o, "why_text");
        if (text.n == 0)
            text = json_get_str(o, "why");
        out_printf(out, "%-*s%.*s: %.*s\n", LEFT, i == 0 ? "not chosen" : "", (int)name.n, name.p,
                   (int)text.n, text.p);
    }
}

static void show_attempts(const struct json_val *r, struct buf *out)
{
    const struct json_val *list = json_get(r, "attempts");
    int64_t total = json_get_i64(r, "attempts_total", 0);
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json_val *a = json_at(list, i);
        struct slice name = json_get_str(a, "account"), reason = json_get_str(a, "reason");
        int64_t status = json_get_i64(a, "status", 0);
        char ms[32], code[32] = "no answer";
        value_ms(ms, sizeof ms, json_get_i64(a, "ms", 0));
        if (status != 0)
            text_format(code, sizeof code, "%" PRId64, status);
        out_printf(out, "%-*s%.*s: %s, %.*s, after %s\n", LEFT, i == 0 ? "attempts" : "",
                   (int)name.n, name.p, code, (int)reason.n, reason.p, ms);
    }
    if (total > (int64_t)json_len(list))
        out_printf(out, "%-*s(%" PRId64 " in all; the last ones are kept)\n", LEFT, "", total);
}

static void show_usage(const struct json_val *r, struct buf *out)
{
    static const struct {
        const char *key, *text;
    } PARTS[] = {{"input", "in"},
                 {"output", "out"},
                 {"thinking", "of that thinking"},
                 {"cache_read", "from cache"},
                 {"cache_write_5m", "to cache for 5 minutes"},
                 {"cache_write_1h", "to cache for an hour"},
                 {"web_searches", "web searches"},
                 {"web_fetches", "web fetches"}};
    char usd[32];
    bool first = true;
    value_usd(usd, sizeof usd, json_get(r, "cost_usd"));
    if (!json_get_bool(r, "usage_known", false)) {
        show_row(out, "usage", S("not told"));
    } else {
        out_printf(out, "%-*s", LEFT, "usage");
        for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++) {
            int64_t n = json_get_i64(r, PARTS[i].key, 0);
            if (n == 0 && i > 1)
                continue;
            out_printf(out, "%s%" PRId64 " %s", first ? "" : ", ", n, PARTS[i].text);
            first = false;
        }
        out_printf(out, "\n");
    }
    struct slice date = json_get_str(r, "price_date");
    out_printf(out, "%-*s%s%s%.*s%s\n", LEFT, "cost",
               usd[0] == '-' ? "no price is known for this model" : usd,
               date.n > 0 ? " (list price of " : "", (int)date.n, date.p, date.n > 0 ? ")" : "");
}

static void show_end(const struct json_val *r, struct buf *out)
{
    char took[32], first[32] = "";
    struct slice end = json_get_str(r, "end"), stop = json_get_str(r, "stop_reason");
    int64_t ms;
    value_ms(took, sizeof took, json_get_i64(r, "duration_ms", 0));
    if (json_i64(json_get(r, "ttfb_ms"), &ms))
        value_ms(first, sizeof first, ms);
    out_printf(out, "%-*s%.*s, status %" PRId64 "%s%.*s\n", LEFT, "end", (int)end.n, end.p,
               json_get_i64(r, "status", 0), stop.n > 0 ? ", stopped for " : "", (int)stop.n,
               stop.p);
    out_printf(out, "%-*s%s in all%s%s%s\n", LEFT, "took", took,
               first[0] != '\0' ? ", first byte after " : "", first,
               json_get_bool(r, "stream", false) ? ", streamed" : "");
    out_printf(out, "%-*s%" PRId64 " bytes in, %" PRId64 " bytes out\n", LEFT, "size",
               json_get_i64(r, "bytes_in", 0), json_get_i64(r, "bytes_out", 0));
    row_of(out, "upstream id", r, "upstream_id");
    row_of(out, "tier", r, "service_tier");
}

void show_request(const struct json_val *root, const struct look *l, struct buf *out)
{
    const struct json_val *r = json_get(root, "request");
    (void)l;
    show_who(r, out);
    show_choice(r, out);
    show_attempts(r, out);
    show_usage(r, out);
    show_end(r, out);
}

/* ---- route explain
 * ----------------------------------------------------------------------------------------- */

static void explain_head(const struct json_val *root, struct buf *out)
{
    char session[32], asked[STORE_GROUP_MAX], group[STORE_GROUP_MAX];
    struct slice warm = json_get_str(root, "warm_at");
    struct slice means = json_get_str(root, "means");
    show_row(out, "model", json_get_str(root, "model"));
    if (means.n > 0 && !slice_eq(means, json_get_str(root, "model")))
        show_row(out, "means", means);
    value_text(root, "asked_group", asked, sizeof asked);
    value_text(root, "group", group, sizeof group);
    if (strcmp(asked, group) != 0)
        out_printf(out, "%-*s%s, which leads to %s for this model\n", LEFT, "group", asked, group);
    else
        show_row(out, "group", slice_of(group));
    if (value_text(root, "session", session, sizeof session)[0] == '\0')
        return;
    if (warm.n > 0)
        out_printf(out, "%-*s%s, warm on %.*s (%" PRId64 " tokens)\n", LEFT, "session", session,
                   (int)warm.n, warm.p, json_get_i64(root, "warm_tokens", 0));
    else
        out_printf(out, "%-*s%s, warm nowhere\n", LEFT, "session", session);
}

static void explain_answer(const struct json_val *root, struct buf *out)
{
    struct slice chosen = json_get_str(root, "account"), soonest = json_get_str(root, "soonest");
    struct slice waited = json_get_str(root, "worth_waiting_for");
    const struct json_val *first = json_at(json_get(root, "accounts"), 0);
    struct slice why = json_get_str(first, "why_text");
    if (waited.n > 0)
        out_printf(out, "%-*sa short while for %.*s, where the conversation is warm\n", LEFT,
                   "waits", (int)waited.n, waited.p);
    if (chosen.n > 0)
        out_printf(out, "%-*s%.*s: %.*s\n", LEFT, "goes to", (int)chosen.n, chosen.p, (int)why.n,
                   why.p);
    else if (soonest.n > 0)
        out_printf(out, "%-*snobody now; the first one is back at %.*s\n", LEFT, "goes to",
                   (int)soonest.n, soonest.p);
    else
        out_printf(out, "%-*snobody: no account can serve it\n", LEFT, "goes to");
}

void show_route_explain(const struct json_val *root, const struct look *l, struct buf *out)
{
    static const struct column COLUMNS[] = {{.title = "ACCOUNT"},
                                            {.title = "STATE", .mood = true},
                                            {.title = "UNTIL"},
                                            {.title = "PRI", .right = true, .rank = 1},
                                            {.title = "WHY"}};
    const struct json_val *list = json_get(root, "accounts");
    struct table t;
    explain_head(root, out);
    explain_answer(root, out);
    if (json_len(list) == 0)
        return;
    table_init(&t, COLUMNS, (int)(sizeof COLUMNS / sizeof *COLUMNS));
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json_val *a = json_at(list, i);
        char reason[128];
        value_reason(reason, sizeof reason, a);
        table_cell(&t, json_get_str(a, "account"));
        table_cell(&t, json_get_str(a, "state"));
        table_cell(&t, slice_of(reason));
        table_cellf(&t, "%" PRId64, json_get_i64(a, "priority", 0));
        table_cell(&t, json_get_str(a, "why_text"));
    }
    out_printf(out, "\n");
    table_print(&t, l, true, out);
    table_free(&t);
}
