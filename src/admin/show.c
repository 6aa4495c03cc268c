/* Replies drawn for people. */
#include "admin/show.h"

#include <string.h>

#define TERMS                                                                            \
    "You must have the right to use this account this way under its provider's terms.\n" \
    "sluice passes requests on as what they are and never imitates another client.\n"

/* ---- accounts
 * --------------------------------------------------------------------------------------------- */

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
        value_ms(wait, sizeof wait, seconds * 1000);
    table_cellf(t, "%s%s%s", share, wait[0] != '\0' ? ", " : "", wait);
}

static bool has_token(const struct json_val *a)
{
    return json_type(json_get(a, "token")) == JSON_OBJECT;
}

/* It serves others than those who name no group. */
static bool has_groups(const struct json_val *a)
{
    const struct json_val *list = json_get(a, "groups");
    struct slice first;
    return json_len(list) > 1 ||
           (json_str(json_at(list, 0), &first) && !slice_eq(first, S(GROUP_DEFAULT)));
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
        value_ms(out, size, seconds * 1000);
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
        {.title = "GROUPS", .rank = 3}, /* these two only if there is an account that has them */
        {.title = "TOKEN", .rank = 2},
    };
    struct column shown[sizeof COLUMNS / sizeof *COLUMNS];
    int n = (int)(sizeof COLUMNS / sizeof *COLUMNS) - 2;
    struct table t;
    char text[STORE_URL_MAX + 16];
    bool tokens = false, groups = false;
    for (size_t i = 0; i < json_len(list); i++) {
        tokens = tokens || has_token(json_at(list, i));
        groups = groups || has_groups(json_at(list, i));
    }
    memcpy(shown, COLUMNS, sizeof shown);
    if (groups)
        shown[n++] = COLUMNS[sizeof COLUMNS / sizeof *COLUMNS - 2];
    if (tokens)
        shown[n++] = COLUMNS[sizeof COLUMNS / sizeof *COLUMNS - 1];
    table_init(&t, shown, n);
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json_val *a = json_at(list, i);
        table_cell(&t, json_get_str(a, "name"));
        table_cell(&t, json_get_str(a, "state"));
        value_reason(text, sizeof text, a);
        table_cell(&t, slice_of(text));
        cell_window(&t, a, S("5h"));
        cell_window(&t, a, S("7d"));
        table_cellf(&t, "%" PRId64, json_get_i64(a, "priority", 0));
        table_cellf(&t, "%" PRId64, json_get_i64(a, "weight", 0));
        cell_count(&t, json_get_i64(a, "in_flight", 0));
        cell_count(&t, json_get_i64(a, "served", 0));
        cell_count(&t, json_get_i64(a, "failed", 0));
        table_cell(&t, json_get_str(a, "provider"));
        table_cellf(&t, "%s%s", value_text(a, "base_url", text, sizeof text),
                    json_get_bool(a, "private", false) ? " (private)" : "");
        value_list(text, sizeof text, json_get(a, "groups"));
        if (groups)
            table_cell(&t, slice_of(text));
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

static void show_state(const struct json_val *a, struct buf *out)
{
    char reason[128];
    struct slice state = json_get_str(a, "state");
    value_reason(reason, sizeof reason, a);
    out_printf(out, "%-12s", "state");
    out_safe(out, state);
    if (reason[0] != '\0') {
        out_printf(out, ": ");
        out_safe(out, slice_of(reason));
    }
    out_printf(out, "\n");
    if (slice_eq(state, S("login")) && json_get_bool(a, "has_login", false))
        out_printf(out, "%-12ssluice account login %.*s%s\n", "next",
                   (int)json_get_str(a, "name").n, json_get_str(a, "name").p,
                   has_token(a) ? " (or `account import` with --token-file FILE)" : "");
    else if (slice_eq(state, S("login")))
        out_printf(out, "%-12sgive it a good secret: sluice account set %.*s --secret-file FILE\n",
                   "next", (int)json_get_str(a, "name").n, json_get_str(a, "name").p);
    else if (slice_eq(state, S("cooling")) || slice_eq(state, S("spent")))
        out_printf(out,
                   "%-12sit comes back by itself; at once with: sluice account reset-limit %.*s\n",
                   "next", (int)json_get_str(a, "name").n, json_get_str(a, "name").p);
    else if (slice_eq(state, S("full")))
        out_printf(out,
                   "%-12sit goes on when a request ends; more at a time with: sluice account "
                   "set %.*s --concurrency N\n",
                   "next", (int)json_get_str(a, "name").n, json_get_str(a, "name").p);
    else if (slice_eq(state, S("stale")))
        out_printf(out, "%-12sit can serve: a new token is fetched first\n", "next");
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
        value_ms(wait, sizeof wait, seconds * 1000);
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
        value_reason(reason, sizeof reason, json_at(rests, i));
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
        show_row(out, "renewal", failed);
}

/* What a person has said of its use; nothing, when nothing was said. */
static void show_policy(const struct json_val *a, struct buf *out)
{
    char text[512];
    int64_t requests = json_get_i64(a, "concurrency", 0), share = json_get_i64(a, "pause_at", 0);
    value_list(text, sizeof text, json_get(a, "groups"));
    show_row(out, "groups", slice_of(text));
    if (json_get_str(a, "quota").n > 0)
        show_row(out, "quota", json_get_str(a, "quota"));
    if (requests > 0)
        out_printf(out, "%-12s%" PRId64 " requests at a time at most\n", "at once", requests);
    if (share > 0)
        out_printf(out, "%-12sat %" PRId64 " %% of its five-hour or weekly window\n", "rests",
                   share);
    if (json_get_bool(a, "pause_on_overage", false))
        show_row(out, "rests", S("while what it serves would be paid for beyond the plan"));
    if (json_get_str(a, "peak_hours").n > 0)
        show_row(out, "rests in", json_get_str(a, "peak_hours"));
    value_models(text, sizeof text, json_get(a, "models"));
    if (text[0] != '\0')
        show_row(out, "models", slice_of(text));
    const struct json_val *options = json_get(a, "options"), *v;
    struct slice key, value = {"", 0};
    for (size_t i = 0; json_member(options, i, &key, &v); i++) {
        char name[64];
        text_copy(name, sizeof name, key);
        int64_t amount;
        char number[32];
        if (json_i64(v, &amount)) {
            text_format(number, sizeof number, "%" PRId64, amount);
            value = slice_of(number);
        }
        if (json_str(v, &value) || json_i64(v, &amount))
            show_row(out, name, value);
    }
}

static void show_account(const struct json_val *a, const struct look *l, struct buf *out)
{
    char text[STORE_URL_MAX + 16], count[2][32];
    show_row(out, "name", json_get_str(a, "name"));
    show_row(out, "provider", json_get_str(a, "provider"));
    size_t n = text_format(text, sizeof text, "%.*s%s", (int)json_get_str(a, "base_url").n,
                           json_get_str(a, "base_url").p,
                           json_get_bool(a, "private", false) ? " (private)" : "");
    show_row(out, "address", (struct slice){text, n});
    out_printf(out, "%-12s%" PRId64 " (a lower number is preferred)\n", "priority",
               json_get_i64(a, "priority", 0));
    out_printf(out, "%-12s%" PRId64 "\n", "weight", json_get_i64(a, "weight", 0));
    show_policy(a, out);
    show_state(a, out);
    show_row(out, "until", json_get_str(a, "until"));
    value_count(count[0], sizeof count[0], json_get_i64(a, "served", 0));
    value_count(count[1], sizeof count[1], json_get_i64(a, "failed", 0));
    out_printf(out, "%-12s%" PRId64 " now, %s served, %s failed since the gateway's start\n",
               "requests", json_get_i64(a, "in_flight", 0), count[0], count[1]);
    show_row(out, "added", json_get_str(a, "created_at"));
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
    bool login = json_get_bool(a, "has_login", false) &&
                 slice_eq(json_get_str(a, "state"), S("login"));
    if (login)
        out_printf(out,
                   TERMS "It has no %s yet, so it cannot serve.\n"
                         "next: sluice account login %.*s\n",
                   has_token(a) ? "token" : "key", (int)name.n, name.p);
    else
        out_printf(out, TERMS "next: sluice account test %.*s\n", (int)name.n, name.p);
}

/* The page of a login: terms, address, and what to do with what it shows. */
static void show_login(const struct json_val *a, const struct look *l, struct buf *out)
{
    struct slice url = json_get_str(a, "url");
    (void)l;
    out_printf(out, TERMS "Open this page in a browser, on any machine, and log in; at its end it "
                          "shows a code to paste here.\n\n");
    out_safe(out, url); /* whole, however long it is */
    out_printf(out, "\n\n");
}

/* A new credential: what it is now, and whether the account serves. */
static void show_login_done(const struct json_val *a, const struct look *l, struct buf *out)
{
    struct slice name = json_get_str(a, "name"), state = json_get_str(a, "state");
    (void)l;
    said(out, has_token(a) ? "has a new token" : "has a new key", a);
    show_token(a, out);
    show_state(a, out);
    if (slice_eq(state, S("ready")))
        out_printf(out, "next: sluice account test %.*s\n", (int)name.n, name.p);
}

static void show_account_state(const struct json_val *a, const struct look *l, struct buf *out)
{
    struct slice name = json_get_str(a, "name"), state = json_get_str(a, "state");
    char reason[128];
    (void)l;
    value_reason(reason, sizeof reason, a);
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
                                            {.title = "GROUP", .rank = 1},
                                            {.title = "MODEL", .rank = 1},
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
        table_cell(&t, json_get_str(k, "group"));
        table_cell(&t, json_get_str(k, "model"));
        cell_time(&t, json_get_str(k, "created_at"));
        cell_time(&t, json_get_str(k, "last_used_at"));
        cell_time(&t, json_get_str(k, "revoked_at"));
    }
    table_print(&t, l, true, out);
    table_free(&t);
}

static void show_key_set(const struct json_val *k, const struct look *l, struct buf *out)
{
    struct slice name = json_get_str(k, "name"), group = json_get_str(k, "group");
    struct slice model = json_get_str(k, "model");
    (void)l;
    out_printf(out, "key `%.*s` is served by the accounts of group `%.*s`\n", (int)name.n, name.p,
               (int)group.n, group.p);
    if (model.n > 0)
        out_printf(out, "requests that name no model get `%.*s`\n", (int)model.n, model.p);
}

static void show_key_revoke(const struct json_val *k, const struct look *l, struct buf *out)
{
    struct slice name = json_get_str(k, "name");
    (void)l;
    out_printf(out, "key `%.*s` revoked; it opens nothing any more\n", (int)name.n, name.p);
}

/* ---- status
 * -----------------------------------------------------------------------------------------------
 */

static void show_certificates(const struct json_val *list, struct buf *out)
{
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json_val *x = json_at(list, i);
        struct slice name = json_get_str(x, "name"), file = json_get_str(x, "file");
        int64_t days = json_get_i64(x, "expires_in_days", 0);
        out_printf(out, "%-12s%.*s (%.*s), %s %" PRId64 " days\n", i == 0 ? "certificate" : "",
                   (int)name.n, name.p, (int)file.n, file.p,
                   days < 14 ? "EXPIRES IN" : "expires in", days);
    }
}

/* How far the drain is, on the first line. */
static void show_drain(const struct json_val *s, struct buf *out)
{
    int64_t left = json_get_i64(json_get(s, "requests"), "active", 0);
    if (!json_get_bool(s, "draining", false)) {
        out_printf(out, "\n");
        return;
    }
    if (slice_eq(json_get_str(s, "state"), S("lame_duck")))
        out_printf(out, ", ending: balancers are told to go elsewhere;");
    else
        out_printf(out, ", ending: no newcomers;");
    out_printf(out, " %" PRId64 " request%s left, %" PRId64 " s at most\n", left,
               left == 1 ? "" : "s", json_get_i64(s, "ends_within_seconds", 0));
}

static void show_sandbox(const struct json_val *x, struct buf *out)
{
    static const char *const PARTS[][2] = {{"files", "files"},
                                           {"ports", "ports"},
                                           {"signals", "signals to others"},
                                           {"calls", "system calls"}};
    struct slice mode = json_get_str(x, "mode");
    bool off = slice_eq(mode, S("off"));
    if (mode.n == 0)
        return;
    out_printf(out, "%-12s%.*s", "sandbox", (int)mode.n, mode.p);
    for (int open = 0; open < 2 && !off; open++) {
        bool first = true;
        for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++) {
            if (json_get_bool(x, PARTS[i][0], false) == (open == 1))
                continue;
            out_printf(out, "%s%s",
                       !first      ? ", "
                       : open == 1 ? "; OPEN, for want of a newer kernel: "
                                   : ": closed are ",
                       PARTS[i][1]);
            first = false;
        }
    }
    out_printf(out, "\n");
}

static void show_running(const struct json_val *s, struct buf *out)
{
    char up[32];
    const struct json_val *listen = json_get(s, "listen");
    struct slice version = json_get_str(s, "version"), at;
    if (!json_get_bool(s, "daemon", false)) {
        out_printf(out, "sluice %.*s: the gateway is not running here\n", (int)version.n,
                   version.p);
        show_row(out, "state", json_get_str(s, "state_dir"));
        return;
    }
    value_ms(up, sizeof up, 1000 * json_get_i64(s, "uptime_in_seconds", 0));
    out_printf(out, "sluice %.*s, up %s, process %" PRId64, (int)version.n, version.p, up,
               json_get_i64(s, "pid", 0));
    show_drain(s, out);
    for (size_t i = 0; i < json_len(listen); i++)
        if (json_str(json_at(listen, i), &at))
            out_printf(out, "%-12s%.*s\n", i == 0 ? "listening" : "", (int)at.n, at.p);
    show_certificates(json_get(s, "certificates"), out);
    show_sandbox(json_get(s, "sandbox"), out);
    show_row(out, "state", json_get_str(s, "state_dir"));
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
    value_count(in, sizeof in, json_get_i64(k, "input", 0));
    value_count(to, sizeof to, json_get_i64(k, "output", 0));
    value_count(cached, sizeof cached, json_get_i64(k, "cache_read", 0));
    value_count(written, sizeof written,
                json_get_i64(k, "cache_write_5m", 0) + json_get_i64(k, "cache_write_1h", 0));
    value_usd(usd, sizeof usd, json_get(s, "cost_usd"));
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

/* Nothing is said of a normal load but the memory. */
static void show_load(const struct json_val *s, struct buf *out)
{
    struct slice level = json_get_str(s, "level"), why = json_get_str(s, "why");
    double mib = 1048576;
    if (s == NULL)
        return;
    out_printf(out, "%-12s%.*s", "load", (int)level.n, level.p);
    if (why.n > 0)
        out_printf(out, " (%.*s)", (int)why.n, why.p);
    out_printf(out, "; %.0f of %.0f MiB of memory, %" PRId64 " of %" PRId64 " descriptors\n",
               (double)json_get_i64(s, "memory_bytes", 0) / mib,
               (double)json_get_i64(s, "memory_limit_bytes", 0) / mib,
               json_get_i64(s, "descriptors", 0), json_get_i64(s, "descriptors_limit", 0));
    int64_t refused = json_get_i64(s, "refused", 0), gone = json_get_i64(s, "let_go", 0);
    if (refused + gone > 0)
        out_printf(out,
                   "%-12s%" PRId64 " requests because of the load, %" PRId64
                   " let go that had been let in\n",
                   "refused", refused, gone);
}

static void show_status(const struct json_val *s, const struct look *l, struct buf *out)
{
    show_running(s, out);
    if (json_get_bool(s, "daemon", false)) {
        show_counts(s, out);
        show_load(json_get(s, "load"), out);
        show_store(json_get(s, "store"), out);
    }
    out_printf(out, "%-12s%" PRId64 "%s\n", "keys", json_get_i64(s, "keys", 0),
               json_get_i64(s, "keys", 0) == 0 ? ": only programs on this machine are served" : "");
    out_printf(out, "\n");
    show_account_list(s, l, out);
}

/* Who asks is the process that takes the place; `sluice upgrade` tells the rest (cli_upgrade.c). */
static void show_upgrade(const struct json_val *root, const struct look *l, struct buf *out)
{
    (void)root;
    (void)l;
    out_printf(out, "the gateway hands over\n");
}

static void show_reload(const struct json_val *s, const struct look *l, struct buf *out)
{
    (void)l;
    out_safe(out, json_get_str(s, "message"));
    out_printf(out, "\n");
}

static void show_backup(const struct json_val *s, const struct look *l, struct buf *out)
{
    (void)l;
    out_printf(out, "written to ");
    out_safe(out, json_get_str(s, "file"));
    out_printf(out, ", %" PRId64 " bytes, under the master key ", json_get_i64(s, "bytes", 0));
    out_safe(out, json_get_str(s, "master_key"));
    out_printf(out, "\n");
    show_reload(s, l, out);
}

static void show_rotated(const struct json_val *s, const struct look *l, struct buf *out)
{
    int64_t unreadable = json_get_i64(s, "unreadable", 0);
    out_printf(out, "the master key ");
    out_safe(out, json_get_str(s, "old_key"));
    out_printf(out, " is replaced by ");
    out_safe(out, json_get_str(s, "new_key"));
    out_printf(out, "; sealed anew: %" PRId64 "\n", json_get_i64(s, "values", 0));
    if (unreadable > 0)
        out_printf(out, "left as they were, for neither opens them: %" PRId64 "\n", unreadable);
    show_reload(s, l, out);
}

/* ---- the table
 * -------------------------------------------------------------------------------------------- */

static const struct {
    const char *verb;
    show_fn *show;
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
    {"account login", show_login},
    {"account callback", show_login_done},
    {"account import", show_login_done},
    {"account test", show_account_test},
    {"provider list", show_provider_list},
    {"group list", show_group_list},
    {"group show", show_group},
    {"group set", show_group},
    {"group remove", show_group_gone},
    {"key add", show_key_add},
    {"key list", show_key_list},
    {"key set", show_key_set},
    {"key revoke", show_key_revoke},
    {"route explain", show_route_explain},
    {"status", show_status},
    {"requests", show_request_list},
    {"requests show", show_request},
    {"reload", show_reload},
    {"upgrade", show_upgrade},
    {"backup", show_backup},
    {"vault rotate", show_rotated},
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
