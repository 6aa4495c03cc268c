/* Replies drawn for people. */
#include "admin/inside.h"

#include <string.h>

#define TERMS                                                                            \
    "You must have the right to use this account this way under its provider's terms.\n" \
    "sluice passes requests on as what they are and never imitates another client.\n"

/* ---- values
 * -----------------------------------------------------------------------------------------------
 */

static const char *str_of(const struct json_val *o, const char *key, char *out, size_t size)
{
    text_copy(out, size, json_get_str(o, key));
    return out;
}

/* "2026-08-22T10:15:04.123Z" as "08-22 10:15:04". */
static void cell_time(struct table *t, struct slice s)
{
    if (s.n < 19)
        table_cell(t, S(""));
    else
        table_cellf(t, "%.5s %.8s", s.p + 5, s.p + 11);
}

static void text_ms(char *out, size_t size, int64_t ms)
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

static void text_count(char *out, size_t size, int64_t n)
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

static void cell_ms(struct table *t, const struct json_val *v)
{
    char text[32] = "";
    int64_t ms;
    if (json_i64(v, &ms))
        text_ms(text, sizeof text, ms);
    table_cell(t, slice_of(text));
}

static void cell_count(struct table *t, int64_t n)
{
    char text[32];
    text_count(text, sizeof text, n);
    table_cell(t, slice_of(text));
}

static void text_usd(char *out, size_t size, const struct json_val *v)
{
    double usd;
    if (json_f64(v, &usd))
        text_format(out, size, usd < 1 ? "$%.4f" : "$%.2f", usd);
    else
        text_copy(out, size, S("-"));
}

/* ---- accounts
 * --------------------------------------------------------------------------------------------- */

/* "rate_limited, 4m10s" */
static void text_reason(char *out, size_t size, const struct json_val *a)
{
    char reason[64], wait[32];
    int64_t seconds;
    str_of(a, "reason", reason, sizeof reason);
    if (json_i64(json_get(a, "until_in_seconds"), &seconds)) {
        text_ms(wait, sizeof wait, seconds * 1000);
        text_format(out, size, "%s, %s", reason, wait);
    } else {
        bool said = strcmp(reason, "paused") == 0 || strcmp(reason, "removed") == 0;
        text_copy(out, size, said ? S("") : slice_of(reason));
    }
}

/* "42 %" */
static void text_share(char *out, size_t size, const struct json_val *v)
{
    double share;
    if (json_f64(v, &share))
        text_format(out, size, "%.0f %%", share * 100);
    else
        text_copy(out, size, S("-"));
}

/* "42 %, 2h13m": what is used of the window called `name`, and the time to its reset. */
static void cell_window(struct table *t, const struct json_val *a, struct slice name)
{
    const struct json_val *list = json_get(a, "windows"), *w = NULL;
    char share[32], wait[32] = "";
    int64_t seconds;
    for (size_t i = 0; i < json_len(list) && w == NULL; i++)
        if (slice_eq(json_get_str(json_at(list, i), "name"), name))
            w = json_at(list, i);
    if (w == NULL) {
        table_cell(t, S(""));
        return;
    }
    text_share(share, sizeof share, json_get(w, "used"));
    if (json_i64(json_get(w, "resets_in_seconds"), &seconds))
        text_ms(wait, sizeof wait, seconds * 1000);
    table_cellf(t, "%s%s%s", share, wait[0] != '\0' ? ", " : "", wait);
}

static bool has_token(const struct json_val *a)
{
    return json_type(json_get(a, "token")) == JSON_OBJECT;
}

/* "missing"; "expired"; "7h12m"; "held" when its end is not known. */
static void text_token(char *out, size_t size, const struct json_val *token)
{
    struct slice state = json_get_str(token, "state");
    int64_t seconds;
    if (!slice_eq(state, S("held")))
        text_copy(out, size, state);
    else if (json_get_bool(token, "expired", false))
        text_copy(out, size, S("expired"));
    else if (json_i64(json_get(token, "expires_in_seconds"), &seconds))
        text_ms(out, size, seconds * 1000);
    else
        text_copy(out, size, state);
}

/* "7h12m, no. 3" */
static void cell_token(struct table *t, const struct json_val *a)
{
    const struct json_val *token = json_get(a, "token");
    int64_t generation = json_get_i64(token, "generation", 0);
    char text[64];
    text_token(text, sizeof text, token);
    if (!has_token(a))
        table_cell(t, S(""));
    else if (generation > 0)
        table_cellf(t, "%s, no. %" PRId64, text, generation);
    else
        table_cell(t, slice_of(text));
}

static void show_accounts(const struct json_val *list, const struct look *l, struct buf *out)
{
    static const struct column COLUMNS[] = {
        {.title = "NAME"},
        {.title = "STATE", .mood = true},
        {.title = "WHY"},
        {.title = "5H", .rank = 2},
        {.title = "7D", .rank = 2},
        {.title = "PRI", .right = true},
        {.title = "WGT", .right = true, .rank = 5},
        {.title = "NOW", .right = true, .rank = 4},
        {.title = "SERVED", .right = true, .rank = 2},
        {.title = "FAILED", .right = true, .rank = 3},
        {.title = "PROVIDER", .rank = 6},
        {.title = "ADDRESS", .rank = 1},
        {.title = "TOKEN", .rank = 2}, /* only if there is an account that has one */
    };
    struct table t;
    char text[STORE_URL_MAX + 16];
    bool tokens = false;
    for (size_t i = 0; i < json_len(list); i++)
        tokens = tokens || has_token(json_at(list, i));
    table_init(&t, COLUMNS, (int)(sizeof COLUMNS / sizeof *COLUMNS) - (tokens ? 0 : 1));
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json_val *a = json_at(list, i);
        table_cell(&t, json_get_str(a, "name"));
        table_cell(&t, json_get_str(a, "state"));
        text_reason(text, sizeof text, a);
        table_cell(&t, slice_of(text));
        cell_window(&t, a, S("5h"));
        cell_window(&t, a, S("7d"));
        table_cellf(&t, "%" PRId64, json_get_i64(a, "priority", 0));
        table_cellf(&t, "%" PRId64, json_get_i64(a, "weight", 0));
        cell_count(&t, json_get_i64(a, "in_flight", 0));
        cell_count(&t, json_get_i64(a, "served", 0));
        cell_count(&t, json_get_i64(a, "failed", 0));
        table_cell(&t, json_get_str(a, "provider"));
        table_cellf(&t, "%s%s", str_of(a, "base_url", text, sizeof text),
                    json_get_bool(a, "private", false) ? " (private)" : "");
        if (tokens)
            cell_token(&t, a);
    }
    table_print(&t, l, true, out);
    table_free(&t);
}

static void show_account_list(const struct json_val *root, const struct look *l, struct buf *out)
{
    const struct json_val *list = json_get(root, "accounts");
    if (json_len(list) == 0)
        out_printf(out, "no account yet; add one with\n"
                        "  sluice account add NAME --provider anthropic --secret-file FILE\n");
    else
        show_accounts(list, l, out);
}

static void row(struct buf *out, const char *name, struct slice text)
{
    out_printf(out, "%-12s", name);
    out_safe(out, text.n > 0 ? text : S("-"));
    out_printf(out, "\n");
}

static void show_state(const struct json_val *a, struct buf *out)
{
    char reason[128];
    struct slice state = json_get_str(a, "state");
    text_reason(reason, sizeof reason, a);
    out_printf(out, "%-12s", "state");
    out_safe(out, state);
    if (reason[0] != '\0') {
        out_printf(out, ": ");
        out_safe(out, slice_of(reason));
    }
    out_printf(out, "\n");
    if (slice_eq(state, S("login")) && has_token(a))
        out_printf(out, "%-12sremove %.*s and add it again with --token-file FILE\n", "next",
                   (int)json_get_str(a, "name").n, json_get_str(a, "name").p);
    else if (slice_eq(state, S("login")))
        out_printf(out, "%-12sgive it a good secret: sluice account set %.*s --secret-file FILE\n",
                   "next", (int)json_get_str(a, "name").n, json_get_str(a, "name").p);
    else if (slice_eq(state, S("cooling")) || slice_eq(state, S("spent")))
        out_printf(out,
                   "%-12sit comes back by itself; at once with: sluice account reset-limit %.*s\n",
                   "next", (int)json_get_str(a, "name").n, json_get_str(a, "name").p);
    else if (slice_eq(state, S("paused")))
        out_printf(out, "%-12ssluice account resume %.*s\n", "next", (int)json_get_str(a, "name").n,
                   json_get_str(a, "name").p);
}

static void show_window(struct table *t, const struct json_val *w)
{
    char share[32], burn[32], wait[32] = "";
    struct slice family = json_get_str(w, "family"), name = json_get_str(w, "name");
    int64_t seconds;
    if (family.n > 0)
        table_cellf(t, "%.*s %.*s", (int)name.n, name.p, (int)family.n, family.p);
    else
        table_cell(t, name);
    text_share(share, sizeof share, json_get(w, "used"));
    table_cellf(t, "%s%s", share, json_get_bool(w, "closed", false) ? ", closed" : "");
    cell_time(t, json_get_str(w, "started_at"));
    cell_time(t, json_get_str(w, "resets_at"));
    if (json_i64(json_get(w, "resets_in_seconds"), &seconds))
        text_ms(wait, sizeof wait, seconds * 1000);
    table_cell(t, slice_of(wait));
    text_share(burn, sizeof burn, json_get(w, "burn_per_hour"));
    table_cell(t, slice_of(burn));
}

static void show_limits(const struct json_val *a, const struct look *l, struct buf *out)
{
    static const struct column COLUMNS[] = {{.title = "WINDOW"},      {.title = "USED"},
                                            {.title = "BEGAN (UTC)"}, {.title = "RESETS (UTC)"},
                                            {.title = "IN"},          {.title = "AN HOUR"}};
    const struct json_val *list = json_get(a, "windows"), *rests = json_get(a, "resting_families");
    struct table t;
    for (size_t i = 0; i < json_len(rests); i++) {
        char reason[128];
        text_reason(reason, sizeof reason, json_at(rests, i));
        out_printf(out, "%-12s", "resting");
        out_safe(out, json_get_str(json_at(rests, i), "family"));
        out_printf(out, " models only: ");
        out_safe(out, slice_of(reason));
        out_printf(out, "\n");
    }
    if (json_len(list) == 0)
        return;
    table_init(&t, COLUMNS, (int)(sizeof COLUMNS / sizeof *COLUMNS));
    for (size_t i = 0; i < json_len(list); i++)
        show_window(&t, json_at(list, i));
    out_printf(out, "\n");
    table_print(&t, l, true, out);
    table_free(&t);
}

static void show_token(const struct json_val *a, struct buf *out)
{
    const struct json_val *token = json_get(a, "token");
    struct slice failed = json_get_str(token, "refresh_failed");
    char text[64];
    int64_t seconds;
    if (!has_token(a))
        return;
    text_token(text, sizeof text, token);
    out_printf(out, "%-12s", "token");
    if (json_i64(json_get(token, "expires_in_seconds"), &seconds))
        out_printf(out, "expires in ");
    out_safe(out, slice_of(text));
    out_printf(out, ", no. %" PRId64 ", %s\n", json_get_i64(token, "generation", 0),
               json_get_bool(token, "refreshable", false) ? "renewed by itself" : "not renewed");
    if (failed.n > 0)
        row(out, "renewal", failed);
}

static void show_account(const struct json_val *a, const struct look *l, struct buf *out)
{
    char text[STORE_URL_MAX + 16], count[2][32];
    row(out, "name", json_get_str(a, "name"));
    row(out, "provider", json_get_str(a, "provider"));
    size_t n = text_format(text, sizeof text, "%.*s%s", (int)json_get_str(a, "base_url").n,
                           json_get_str(a, "base_url").p,
                           json_get_bool(a, "private", false) ? " (private)" : "");
    row(out, "address", (struct slice){text, n});
    out_printf(out, "%-12s%" PRId64 " (a lower number is preferred)\n", "priority",
               json_get_i64(a, "priority", 0));
    out_printf(out, "%-12s%" PRId64 "\n", "weight", json_get_i64(a, "weight", 0));
    show_state(a, out);
    row(out, "until", json_get_str(a, "until"));
    text_count(count[0], sizeof count[0], json_get_i64(a, "served", 0));
    text_count(count[1], sizeof count[1], json_get_i64(a, "failed", 0));
    out_printf(out, "%-12s%" PRId64 " now, %s served, %s failed since the gateway's start\n",
               "requests", json_get_i64(a, "in_flight", 0), count[0], count[1]);
    row(out, "added", json_get_str(a, "created_at"));
    show_token(a, out);
    show_limits(a, l, out);
}

static void said(struct buf *out, const char *what, const struct json_val *a)
{
    out_printf(out, "account `%.*s` %s\n", (int)json_get_str(a, "name").n,
               json_get_str(a, "name").p, what);
}

static void show_account_add(const struct json_val *a, const struct look *l, struct buf *out)
{
    struct slice name = json_get_str(a, "name");
    (void)l;
    said(out, json_get_bool(a, "private", false) ? "added (private address)" : "added", a);
    bool login = has_token(a) && slice_eq(json_get_str(a, "state"), S("login"));
    if (login)
        out_printf(out,
                   TERMS "It has no token yet, so it cannot serve.\n"
                         "next: sluice account remove %.*s, and add it with --token-file FILE\n",
                   (int)name.n, name.p);
    else
        out_printf(out, TERMS "next: sluice account test %.*s\n", (int)name.n, name.p);
}

static void show_account_state(const struct json_val *a, const struct look *l, struct buf *out)
{
    struct slice name = json_get_str(a, "name"), state = json_get_str(a, "state");
    char reason[128];
    (void)l;
    text_reason(reason, sizeof reason, a);
    out_printf(out, "account `%.*s` is %.*s%s%s\n", (int)name.n, name.p, (int)state.n, state.p,
               reason[0] != '\0' ? ": " : "", reason);
}

static void show_account_gone(const struct json_val *a, const struct look *l, struct buf *out)
{
    (void)l;
    said(out, "removed; its records stay", a);
}

static void show_account_test(const struct json_val *a, const struct look *l, struct buf *out)
{
    struct slice name = json_get_str(a, "name"), state = json_get_str(a, "state");
    (void)l;
    out_printf(out, "account `%.*s`: OK, answered %" PRId64 " in %" PRId64 " ms\n", (int)name.n,
               name.p, json_get_i64(a, "status", 0), json_get_i64(a, "ms", 0));
    if (!json_get_bool(a, "credential_checked", true))
        out_printf(out, "This server has no list of models, so the secret was not checked.\n");
    if (!slice_eq(state, S("ready")))
        out_printf(out, "It is %.*s; put it back to work with: sluice account resume %.*s\n",
                   (int)state.n, state.p, (int)name.n, name.p);
}

/* ---- keys
 * -------------------------------------------------------------------------------------------------
 */

static void show_key_add(const struct json_val *k, const struct look *l, struct buf *out)
{
    struct slice url = json_get_str(k, "base_url"), key = json_get_str(k, "key");
    struct slice name = json_get_str(k, "name");
    (void)l;
    out_printf(out, "key `%.*s`, shown this once:\n\n  %.*s\n\n", (int)name.n, name.p, (int)key.n,
               key.p);
    out_printf(out,
               "to use it with Claude Code or an Anthropic SDK:\n\n"
               "  export ANTHROPIC_BASE_URL=%.*s\n"
               "  export ANTHROPIC_AUTH_TOKEN=%.*s\n",
               (int)url.n, url.p, (int)key.n, key.p);
}

static void show_key_list(const struct json_val *root, const struct look *l, struct buf *out)
{
    static const struct column COLUMNS[] = {{.title = "NAME"},
                                            {.title = "ID"},
                                            {.title = "MADE (UTC)"},
                                            {.title = "LAST USED"},
                                            {.title = "REVOKED"}};
    const struct json_val *list = json_get(root, "keys");
    struct table t;
    if (json_len(list) == 0) {
        out_printf(out, "no key yet: only programs on this machine are served; make one with\n"
                        "  sluice key add NAME\n");
        return;
    }
    table_init(&t, COLUMNS, (int)(sizeof COLUMNS / sizeof *COLUMNS));
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json_val *k = json_at(list, i);
        table_cell(&t, json_get_str(k, "name"));
        table_cell(&t, json_get_str(k, "id"));
        cell_time(&t, json_get_str(k, "created_at"));
        cell_time(&t, json_get_str(k, "last_used_at"));
        cell_time(&t, json_get_str(k, "revoked_at"));
    }
    table_print(&t, l, true, out);
    table_free(&t);
}

static void show_key_revoke(const struct json_val *k, const struct look *l, struct buf *out)
{
    struct slice name = json_get_str(k, "name");
    (void)l;
    out_printf(out, "key `%.*s` revoked; it opens nothing any more\n", (int)name.n, name.p);
}

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
    text_usd(usd, sizeof usd, json_get(r, "cost_usd"));
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

static void show_request_list(const struct json_val *root, const struct look *l, struct buf *out)
{
    if (json_len(json_get(root, "requests")) == 0)
        out_printf(out, "no request is recorded\n");
    else
        show_requests(root, l, true, out);
}

/* ---- status
 * -----------------------------------------------------------------------------------------------
 */

static void show_running(const struct json_val *s, struct buf *out)
{
    char up[32];
    const struct json_val *listen = json_get(s, "listen");
    struct slice version = json_get_str(s, "version"), at;
    if (!json_get_bool(s, "daemon", false)) {
        out_printf(out, "sluice %.*s: the gateway is not running here\n", (int)version.n,
                   version.p);
        row(out, "state", json_get_str(s, "state_dir"));
        return;
    }
    text_ms(up, sizeof up, 1000 * json_get_i64(s, "uptime_in_seconds", 0));
    out_printf(out, "sluice %.*s, up %s, process %" PRId64 "%s\n", (int)version.n, version.p, up,
               json_get_i64(s, "pid", 0),
               json_get_bool(s, "draining", false) ? ", draining: it ends when the last stream has"
                                                   : "");
    for (size_t i = 0; i < json_len(listen); i++)
        if (json_str(json_at(listen, i), &at))
            out_printf(out, "%-12shttp://%.*s\n", i == 0 ? "listening" : "", (int)at.n, at.p);
    row(out, "state", json_get_str(s, "state_dir"));
}

static void show_counts(const struct json_val *s, struct buf *out)
{
    const struct json_val *r = json_get(s, "requests"), *k = json_get(s, "tokens");
    char in[32], to[32], cached[32], written[32], usd[32];
    out_printf(out,
               "%-12s%" PRId64 ": %" PRId64 " served, %" PRId64 " refused, %" PRId64
               " failed, %" PRId64 " left by the client\n",
               "requests", json_get_i64(r, "total", 0), json_get_i64(r, "served", 0),
               json_get_i64(r, "refused", 0), json_get_i64(r, "failed", 0),
               json_get_i64(r, "client_gone", 0));
    out_printf(out,
               "%-12s%" PRId64 " active, %" PRId64 " streaming, %" PRId64 " waiting; %" PRId64
               " failovers so far\n",
               "now", json_get_i64(r, "active", 0), json_get_i64(r, "streams", 0),
               json_get_i64(r, "waiting", 0), json_get_i64(r, "failovers", 0));
    text_count(in, sizeof in, json_get_i64(k, "input", 0));
    text_count(to, sizeof to, json_get_i64(k, "output", 0));
    text_count(cached, sizeof cached, json_get_i64(k, "cache_read", 0));
    text_count(written, sizeof written,
               json_get_i64(k, "cache_write_5m", 0) + json_get_i64(k, "cache_write_1h", 0));
    text_usd(usd, sizeof usd, json_get(s, "cost_usd"));
    out_printf(out, "%-12s%s in, %s out, %s from cache, %s to cache; %s at list price\n", "tokens",
               in, to, cached, written, usd);
}

static void show_store(const struct json_val *s, struct buf *out)
{
    int64_t dropped = json_get_i64(s, "records_dropped", 0);
    struct slice error = json_get_str(s, "last_error");
    out_printf(
        out, "%-12s%" PRId64 " written, %" PRId64 " waiting, %" PRId64 " lost; database %.1f MiB\n",
        "records", json_get_i64(s, "records_written", 0), json_get_i64(s, "queued", 0), dropped,
        (double)json_get_i64(s, "db_bytes", 0) / 1048576);
    if (error.n > 0)
        out_printf(out,
                   "%-12sthe database cannot be written (%.*s); requests are served, their records "
                   "wait or are lost\n",
                   "trouble", (int)error.n, error.p);
}

static void show_status(const struct json_val *s, const struct look *l, struct buf *out)
{
    show_running(s, out);
    if (json_get_bool(s, "daemon", false)) {
        show_counts(s, out);
        show_store(json_get(s, "store"), out);
    }
    out_printf(out, "%-12s%" PRId64 "%s\n", "keys", json_get_i64(s, "keys", 0),
               json_get_i64(s, "keys", 0) == 0 ? ": only programs on this machine are served" : "");
    out_printf(out, "\n");
    show_account_list(s, l, out);
}

static void show_reload(const struct json_val *s, const struct look *l, struct buf *out)
{
    (void)l;
    out_safe(out, json_get_str(s, "message"));
    out_printf(out, "\n");
}

/* ---- the table
 * -------------------------------------------------------------------------------------------- */

static const struct {
    const char *verb;
    void (*show)(const struct json_val *root, const struct look *l, struct buf *out);
} SHOWS[] = {
    {"account add", show_account_add},
    {"account list", show_account_list},
    {"account show", show_account},
    {"account pause", show_account_state},
    {"account resume", show_account_state},
    {"account reset-limit", show_account_state},
    {"account set", show_account},
    {"account rename", show_account},
    {"account remove", show_account_gone},
    {"account test", show_account_test},
    {"key add", show_key_add},
    {"key list", show_key_list},
    {"key revoke", show_key_revoke},
    {"status", show_status},
    {"requests", show_request_list},
    {"reload", show_reload},
};

void show_reply(const struct verb *v, const struct json_val *root, const struct look *l,
                struct buf *out)
{
    size_t i = 0, n = sizeof SHOWS / sizeof *SHOWS;
    while (i < n && strcmp(SHOWS[i].verb, v->name) != 0)
        i++;
    assert(i < n); /* each verb with a handler has a row here */
    SHOWS[i].show(root, l, out);
}
