/* Verbs on accounts: checked in memory, written by the store, then applied to memory. */
#include "admin/inside.h"

#include <string.h>

/* ---- what is shown
 * ----------------------------------------------------------------------------------------- */

static void until_write(struct jw *w, const char *key, int64_t at, int64_t now)
{
    jw_key(w, key);
    if (at > now)
        jw_i64(w, (at - now + 999) / 1000);
    else
        jw_null(w);
}

static void share_write(struct jw *w, const char *key, double v)
{
    jw_key(w, key);
    if (v >= 0)
        jw_f64(w, v);
    else
        jw_null(w);
}

static void window_write(struct jw *w, const struct window *win, enum window_kind k, int64_t now)
{
    jw_obj(w);
    jw_kcstr(w, "name", window_name(k));
    if (k == WINDOW_7D_MODEL)
        jw_kcstr(w, "family", win->family);
    share_write(w, "used", window_used(win, now));
    jw_kbool(w, "closed", window_is_closed(win, now));
    jw_ktime(w, "started_at", win->started_at);
    jw_ktime(w, "resets_at", win->resets_at);
    until_write(w, "resets_in_seconds", win->resets_at, now);
    share_write(w, "burn_per_hour", window_burn(win, now));
    jw_ktime(w, "seen_at", win->seen_at);
    jw_end_obj(w);
}

/* What the provider has told of the account's limits, and what rests of it alone. */
static void limits_write(struct jw *w, const struct account_facts *f, int64_t now)
{
    jw_key(w, "windows");
    jw_arr(w);
    for (int k = 0; k < WINDOW_KINDS; k++)
        if (f->window[k].known)
            window_write(w, &f->window[k], (enum window_kind)k, now);
    jw_end_arr(w);
    jw_key(w, "resting_families");
    jw_arr(w);
    for (int i = 0; i < ACCOUNT_FAMILIES; i++) {
        const struct family_rest *r = &f->family[i];
        if (r->until <= now)
            continue;
        jw_obj(w);
        jw_kcstr(w, "family", r->family);
        jw_kcstr(w, "reason", r->reason);
        jw_ktime(w, "until", r->until);
        until_write(w, "until_in_seconds", r->until, now);
        jw_end_obj(w);
    }
    jw_end_arr(w);
}

/* Of a rotating token: never the token itself. */
static void token_write(struct jw *w, const struct account *a, int64_t now)
{
    static const char *const NAMES[] = {[TOKEN_NONE] = "none",
                                        [TOKEN_HELD] = "held",
                                        [TOKEN_MISSING] = "missing",
                                        [TOKEN_UNREADABLE] = "unreadable",
                                        [TOKEN_NO_KEY] = "none"};
    const struct account_facts *f = &a->facts;
    jw_key(w, "token");
    if (!provider_rotates(a->provider)) {
        jw_null(w);
        return;
    }
    jw_obj(w);
    jw_kcstr(w, "state", NAMES[f->token]);
    jw_ki64(w, "generation", a->generation);
    jw_kbool(w, "refreshable", f->token_refreshable);
    jw_ktime(w, "expires_at", f->token_expires_at);
    until_write(w, "expires_in_seconds", f->token_expires_at, now);
    jw_kbool(w, "expired", f->token_expires_at != 0 && f->token_expires_at <= now);
    jw_kcstr(w, "refresh_failed", f->token_why != NULL ? f->token_why : "");
    jw_end_obj(w);
}

void account_write(struct jw *w, const struct account *a, int64_t now)
{
    struct account_status st = account_status(&a->facts, now);
    jw_kcstr(w, "name", a->name);
    jw_kcstr(w, "provider", a->provider->name);
    jw_kcstr(w, "base_url", a->own_url[0] != '\0' ? a->own_url : a->door[0].base_url);
    jw_kbool(w, "private", a->allow_private);
    jw_ki64(w, "priority", a->priority);
    jw_ki64(w, "weight", a->weight);
    jw_kcstr(w, "state", account_state_name(st.state));
    jw_kcstr(w, "reason", st.reason);
    jw_ktime(w, "until", st.until);
    until_write(w, "until_in_seconds", st.until, now);
    jw_ki64(w, "in_flight", a->facts.in_flight);
    jw_ki64(w, "served", (int64_t)a->served);
    jw_ki64(w, "failed", (int64_t)a->failed);
    jw_ktime(w, "created_at", a->created_at);
    jw_kbool(w, "has_login", a->provider->oauth != NULL);
    settings_write(w, a);
    limits_write(w, &a->facts, now);
    token_write(w, a, now);
}

struct account *call_account(struct verb_call *c)
{
    const char *name = call_text(c, "name");
    struct account *a = accounts_by_name(c->admin->p.accounts, slice_of(name));
    if (a == NULL)
        call_fail(c, FAIL_NOT_FOUND, "there is no account `%s`; `sluice account list` shows them",
                  name);
    return a;
}

void verb_account_list(struct verb_call *c)
{
    struct account_set *set = c->admin->p.accounts;
    struct jw *w = call_open(c);
    int64_t now = call_now(c);
    jw_key(w, "accounts");
    jw_arr(w);
    for (int i = 0; i < accounts_count(set); i++) {
        jw_obj(w);
        account_write(w, accounts_at(set, i), now);
        jw_end_obj(w);
    }
    jw_end_arr(w);
    call_reply(c);
}

void verb_account_show(struct verb_call *c)
{
    struct account *a = call_account(c);
    if (a == NULL)
        return;
    account_write(call_open(c), a, call_now(c));
    call_reply(c);
}

/* ---- checking what a person gave
 * ---------------------------------------------------------------------------- */

static const char *row_url(const struct account_row *row)
{
    const struct provider *p = provider_find(slice_of(row->provider));
    if (row->base_url[0] != '\0')
        return row->base_url;
    return p != NULL && p->door[0].base_url != NULL ? p->door[0].base_url : "";
}

static bool is_numeric_host(const char *url)
{
    struct http_target t = {0};
    struct slice prefix;
    const char *why;
    struct addr addr;
    char text[280];
    if (http_url_parse(slice_of(url), &t, &prefix, &why) != OK)
        return false;
    bool six = slice_find(t.host, ':') >= 0;
    size_t n = text_format(text, sizeof text, six ? "[%.*s]:1" : "%.*s:1", (int)t.host.n, t.host.p);
    return addr_parse((struct slice){text, n}, &addr) == OK;
}

/* Whether the base URL itself, whatever the row's other addresses are, leads into this machine or
 * its network. */
static bool base_is_private(const struct account_row *row)
{
    struct account_row r = {.weight = 1, .name = "x", .secret = S("x")};
    char why[ADMIN_WHY_MAX];
    text_copy(r.provider, sizeof r.provider, S("anthropic-compatible"));
    text_copy(r.base_url, sizeof r.base_url, slice_of(row_url(row)));
    return account_check(&r, why, sizeof why) == ERR_DENIED;
}

/* Sets row->allow_private if the address is private, or a name that its owner says is. In the clear
 * a credential may cross only that much of a network. False: the call has been failed. */
static bool check_row(struct verb_call *c, struct account_row *row, bool said_private)
{
    char why[ADMIN_WHY_MAX];
    row->allow_private = true;
    enum err e = account_check(row, why, sizeof why);
    if (e != OK) {
        call_fail(c, FAIL_USAGE, "%s", why);
        return false;
    }
    row->allow_private = false;
    e = account_check(row, why, sizeof why);
    assert(e == OK || e == ERR_DENIED);
    bool named = said_private && !is_numeric_host(row_url(row));
    row->allow_private = e == ERR_DENIED || named;
    if (!named && !base_is_private(row) && slice_istarts(slice_of(row_url(row)), S("http://"))) {
        call_fail(c, FAIL_USAGE,
                  "`%s` would carry the secret over a network in the clear: use https://, or, if "
                  "it is a name in your own network, add --allow-private",
                  row_url(row));
        return false;
    }
    return true;
}

/* Texts longer than the row has room for must not be cut without a word. */
static bool check_lengths(struct verb_call *c, const char *name, const char *url)
{
    if (name != NULL && strlen(name) >= STORE_NAME_MAX) {
        call_fail(c, FAIL_USAGE, "the name is too long: at most %d characters", STORE_NAME_MAX - 1);
        return false;
    }
    if (url != NULL && strlen(url) >= STORE_URL_MAX) {
        call_fail(c, FAIL_USAGE, "the URL is too long: at most %d characters", STORE_URL_MAX - 1);
        return false;
    }
    return true;
}

/* False: out of an int32_t's bounds, and the call has been failed. */
static bool take_int(struct verb_call *c, const char *name, int32_t *out)
{
    int64_t v = call_int(c, name, *out);
    if (v < INT32_MIN || v > INT32_MAX) {
        call_fail(c, FAIL_USAGE, "%s is out of bounds", name);
        return false;
    }
    *out = (int32_t)v;
    return true;
}

/* ---- accounts with tokens
 * ------------------------------------------------------------------------------------ */

/* What stands in for the credential fits the provider. An unknown one is account_check's affair. */
static bool check_credential(struct verb_call *c, const struct provider *p)
{
    if (p == NULL)
        return true;
    const char *odd = settings_of_login(c);
    if (p->oauth == NULL && p->cloud == NULL && !p->no_secret && !call_has(c, "secret")) {
        call_fail(c, FAIL_USAGE,
                  "--secret-file FILE is missing: file with the provider's key, - for standard "
                  "input; never an argument");
        return false;
    }
    if (call_has(c, "token") && !provider_rotates(p))
        odd = "token-file";
    bool may = p->oauth != NULL || p->cloud != NULL;
    if (odd != NULL && (!may || strcmp(odd, "token-file") == 0)) {
        call_fail(c, FAIL_USAGE, "`%s` is for providers with OAuth; `%s` takes a secret", odd,
                  p->name);
        return false;
    }
    return true;
}

bool call_tokens(struct verb_call *c, struct oauth_tokens *t)
{
    if (oauth_tokens_read(call_secret(c, "token"), call_now(c), t) == OK)
        return true;
    call_fail(c, FAIL_USAGE,
              "the token file is not understood: it must be a JSON object with access_token, "
              "refresh_token and expires_in or expires_at");
    return false;
}

/* ---- changing
 * --------------------------------------------------------------------------------------------- */

void account_answer(struct verb_call *c, int64_t id)
{
    const struct admin_parts *p = &c->admin->p;
    struct account *a = accounts_by_id(p->accounts, id);
    if (a == NULL) {
        call_fail(c, FAIL_STORE, "the account was stored, but cannot be loaded; see the log");
        return;
    }
    if (c->flag)
        accounts_reset(p->accounts, a);
    gateway_accounts_changed(p->gateway);
    account_write(call_open(c), a, call_now(c));
    call_reply(c);
}

void account_stored(void *arg, enum err e, const struct account_row *rows, size_t n)
{
    struct verb_call *c = arg;
    const struct admin_parts *p = &c->admin->p;
    if (e != OK) {
        call_fail_store(c, e);
        return;
    }
    assert(n == 1);
    accounts_apply(p->accounts, &rows[0]);
    account_answer(c, rows[0].id);
}

/* The account was added for its tokens' sake: without them it goes again. */
static void on_undone(void *arg, enum err e)
{
    struct verb_call *c = arg;
    if (e != OK)
        call_fail(c, FAIL_STORE,
                  "the tokens could not be stored (%s), but the account was; remove it and try "
                  "again",
                  err_name(c->failed));
    else
        call_fail_store(c, c->failed);
}

static void on_imported(void *arg, enum err e, const struct token_row *rows, size_t n)
{
    struct verb_call *c = arg;
    const struct admin_parts *p = &c->admin->p;
    if (e != OK) {
        c->failed = e;
        store_account_remove(p->store, c->account.id, on_undone, c);
        return;
    }
    assert(n == 1 && rows[0].account_id == c->account.id);
    accounts_apply(p->accounts, &c->account);
    accounts_token_put(p->accounts, &rows[0]);
    account_answer(c, c->account.id);
}

static void on_added(void *arg, enum err e, const struct account_row *rows, size_t n)
{
    struct verb_call *c = arg;
    struct oauth_tokens t;
    if (e != OK || !call_has(c, "token")) {
        account_stored(c, e, rows, n);
        return;
    }
    assert(n == 1 && rows[0].secret.n == 0);
    c->account = rows[0];
    c->account.secret = S(""); /* the store's slices end with this call */
    enum err good = oauth_tokens_read(call_secret(c, "token"), call_now(c), &t);
    assert(good == OK); /* it was read before the account was added */
    const struct token_row token = {.account_id = c->account.id,
                                    .generation = 1,
                                    .expires_at = t.expires_at,
                                    .lifetime = t.lifetime,
                                    .refreshed_at = call_now(c),
                                    .access = t.access,
                                    .refresh = t.refresh};
    store_token_swap(c->admin->p.store, 0, &token, on_imported, c); /* takes copies */
    oauth_tokens_free(&t);
}

/* A script's variable that is not set must not send a secret somewhere else. */
static bool check_empty(struct verb_call *c)
{
    for (int i = 0; i < verb_args_n(c->verb); i++) {
        const struct arg_spec *s = &c->verb->arg[i];
        char flag[64];
        if (s->type != ARG_STRING || s->required || !c->args.v[i].given ||
            c->args.v[i].text[0] != '\0')
            continue;
        verb_arg_flag(s, flag, sizeof flag);
        call_fail(c, FAIL_USAGE, "%s is empty; leave it out for what it is without", flag);
        return false;
    }
    return true;
}

/* Where AWS's keys come from the environment or a profile, so may the region: as AWS's own tools
 * have it. It is kept, so that what the environment says later moves no account. */
static void region_of_env(const struct provider *p, struct account_row *row)
{
    char why[ADMIN_WHY_MAX], with[STORE_SETTINGS_MAX];
    struct cloud_config cloud;
    const char *region = config_env(CONFIG_ENV_AWS_REGION);
    if (region == NULL)
        region = config_env(CONFIG_ENV_AWS_DEFAULT_REGION);
    if (region == NULL || p == NULL || p->cloud == NULL || p->cloud->cloud != CLOUD_AWS ||
        row->secret.n > 0 || row->base_url[0] != '\0' ||
        cloud_config_read(p->cloud, slice_of(row->settings), &cloud, why, sizeof why) != OK)
        return;
    bool from = cloud.from == CREDENTIAL_ANY || cloud.from == CREDENTIAL_ENV ||
                cloud.from == CREDENTIAL_PROFILE;
    if (!from || cloud.region[0] != '\0' || strpbrk(region, "\"\\") != NULL)
        return;
    const char *rest = row->settings[0] == '{' ? row->settings + 1 : "}";
    size_t n = text_format(with, sizeof with, "{\"region\":\"%s\"%s%s", region,
                           rest[0] == '}' ? "" : ",", rest);
    if (n + 1 < sizeof with)
        text_copy(row->settings, sizeof row->settings, slice_of(with));
}

void verb_account_add(struct verb_call *c)
{
    struct account_row row = {.weight = 1, .created_at = call_now(c)};
    const char *name = call_text(c, "name"), *url = call_text(c, "base_url");
    if (!check_lengths(c, name, url) || !take_int(c, "priority", &row.priority) ||
        !take_int(c, "weight", &row.weight))
        return;
    if (!check_empty(c))
        return;
    text_copy(row.name, sizeof row.name, slice_of(name));
    text_copy(row.provider, sizeof row.provider, slice_of(call_text(c, "provider")));
    text_copy(row.base_url, sizeof row.base_url, slice_of(url));
    const struct provider *p = provider_find(slice_of(row.provider));
    struct oauth_tokens t = {0};
    row.secret = call_secret(c, "secret");
    if (!check_credential(c, p) || (p != NULL && !settings_fit(c, p)) ||
        !settings_merge(c, row.settings))
        return;
    region_of_env(p, &row);
    if (!check_row(c, &row, call_flag(c, "allow_private", false)) ||
        (call_has(c, "token") && !call_tokens(c, &t)))
        return;
    oauth_tokens_free(&t);
    if (accounts_by_name(c->admin->p.accounts, slice_of(name)) != NULL) {
        call_fail(c, FAIL_CONFLICT,
                  call_has(c, "token")
                      ? "there is an account `%s` already; give it this token, and keep all else, "
                        "with `sluice account import %s --token-file FILE`"
                      : "there is an account `%s` already; change it with `sluice account set %s`",
                  name, name);
        return;
    }
    store_account_add(c->admin->p.store, &row, on_added, c);
}

void account_row_of(const struct account *a, struct account_row *row)
{
    *row = (struct account_row){.id = a->id,
                                .version = a->version,
                                .priority = a->priority,
                                .weight = a->weight,
                                .paused = a->facts.paused,
                                .allow_private = a->allow_private,
                                .created_at = a->created_at};
    text_copy(row->name, sizeof row->name, slice_of(a->name));
    text_copy(row->provider, sizeof row->provider, slice_of(a->provider->name));
    text_copy(row->base_url, sizeof row->base_url, slice_of(a->own_url));
    text_copy(row->settings, sizeof row->settings, slice_of(a->settings));
}

static void account_change(struct verb_call *c, const struct account_row *row)
{
    store_account_update(c->admin->p.store, row, account_stored, c);
}

void verb_account_pause(struct verb_call *c)
{
    struct account_row row;
    struct account *a = call_account(c);
    if (a == NULL)
        return;
    account_row_of(a, &row);
    row.paused = true;
    account_change(c, &row);
}

void verb_account_resume(struct verb_call *c)
{
    struct account_row row;
    struct account *a = call_account(c);
    if (a == NULL)
        return;
    account_row_of(a, &row);
    row.paused = false;
    c->flag = true; /* forget a cooldown and a refused credential too */
    account_change(c, &row);
}

void verb_account_reset_limit(struct verb_call *c)
{
    struct account *a = call_account(c);
    if (a == NULL)
        return;
    accounts_reset(c->admin->p.accounts, a);
    gateway_accounts_changed(c->admin->p.gateway);
    account_write(call_open(c), a, call_now(c));
    call_reply(c);
}

void verb_account_rename(struct verb_call *c)
{
    struct account_row row;
    char why[ADMIN_WHY_MAX];
    const char *fresh = call_text(c, "new_name");
    struct account *a = call_account(c);
    if (a == NULL || !check_lengths(c, fresh, NULL))
        return;
    account_row_of(a, &row);
    text_copy(row.name, sizeof row.name, slice_of(fresh));
    if (account_check(&row, why, sizeof why) != OK) {
        call_fail(c, FAIL_USAGE, "%s", why);
        return;
    }
    struct account *other = accounts_by_name(c->admin->p.accounts, slice_of(fresh));
    if (other != NULL && other != a) {
        call_fail(c, FAIL_CONFLICT, "there is an account `%s` already", fresh);
        return;
    }
    account_change(c, &row);
}

static bool set_address(struct verb_call *c, struct account_row *row)
{
    const char *url = call_text(c, "base_url");
    bool said = call_flag(c, "allow_private", row->allow_private);
    if (url == NULL && !call_has(c, "allow_private") && settings_of_login(c) == NULL)
        return true;
    if (url != NULL)
        text_copy(row->base_url, sizeof row->base_url, slice_of(url));
    /* what was permitted for the old address is not for a new one */
    return check_row(c, row, url != NULL ? call_flag(c, "allow_private", false) : said);
}

static bool changes_anything(const struct verb_call *c)
{
    for (int i = 0; i < verb_args_n(c->verb); i++)
        if (!c->verb->arg[i].positional && c->args.v[i].given)
            return true;
    return false;
}

void verb_account_set(struct verb_call *c)
{
    struct account_row row;
    char why[ADMIN_WHY_MAX];
    struct account *a = call_account(c);
    if (a == NULL || !check_lengths(c, NULL, call_text(c, "base_url")))
        return;
    account_row_of(a, &row);
    if (!changes_anything(c)) {
        call_fail(c, FAIL_USAGE,
                  "nothing to change: give --priority, --weight, --base-url, --group, "
                  "--secret-file or another flag; `sluice account set --help` tells of them");
        return;
    }
    const char *odd = settings_of_login(c);
    if (odd != NULL && a->provider->oauth == NULL && a->provider->cloud == NULL) {
        call_fail(c, FAIL_USAGE, "`%s` is for providers with OAuth; `%s` takes a secret", odd,
                  a->provider->name);
        return;
    }
    if (call_has(c, "secret") && call_secret(c, "secret").n == 0) {
        call_fail(c, FAIL_USAGE, "the secret is empty");
        return;
    }
    row.secret = call_secret(c, "secret");
    if (!settings_fit(c, a->provider) || !take_int(c, "priority", &row.priority) ||
        !take_int(c, "weight", &row.weight) || !settings_merge(c, row.settings) ||
        !set_address(c, &row))
        return;
    if (account_check(&row, why, sizeof why) != OK) {
        call_fail(c, FAIL_USAGE, "%s", why);
        return;
    }
    account_change(c, &row);
}

/* ---- removing
 * --------------------------------------------------------------------------------------------- */

static void on_removed(void *arg, enum err e)
{
    struct verb_call *c = arg;
    if (e != OK) {
        call_fail_store(c, e);
        return;
    }
    login_forget(c->admin, c->account_id);
    accounts_drop(c->admin->p.accounts, c->account_id);
    gateway_accounts_changed(c->admin->p.gateway);
    struct jw *w = call_open(c);
    jw_kcstr(w, "name", call_text(c, "name"));
    jw_kbool(w, "removed", true);
    call_reply(c);
}

void verb_account_remove(struct verb_call *c)
{
    struct account *a = call_account(c);
    if (a == NULL)
        return;
    c->account_id = a->id;
    store_account_remove(c->admin->p.store, a->id, on_removed, c);
}
