/* Logging in: a page for a person, the code that the person brings back, and what it is exchanged
 * for. And the same end by another way: a token pair that is imported.
 *
 *    account login     -> a login is begun: kept here for 15 minutes, one an account
 *    account callback  -> login.c: CODE -> pair | key -> the store -> memory
 *
 * The old credential is good until the new one is durable, and whatever fails leaves it in force.
 */
#include "admin/inside.h"

#include <string.h>

struct begun { /* a login that waits for its person */
    struct link link;
    int64_t account_id;
    struct oauth_login login;
    struct oauth_config config; /* as it was: the code belongs to it */
    bool busy;                  /* its code is being exchanged */
};

struct ending { /* what a call of callback or import keeps */
    struct admin *admin;
    int64_t account_id;
    struct login *login; /* NULL: not asked yet, or answered */
    char state[OAUTH_VERIFIER_MAX];
    struct buf access, refresh; /* the pair; the key is in `access` */
    int64_t expires_at, lifetime;
    bool again; /* somebody else's change was in the way once */
};

/* ---- logins that were begun
 * ---------------------------------------------------------------------------- */

static void begun_free(struct begun *b)
{
    list_remove(&b->link);
    crypto_wipe(b, sizeof *b);
    mem_free(b);
}

void login_forget(struct admin *a, int64_t account_id)
{
    struct link *next = a->logins.next;
    while (next != &a->logins) {
        struct begun *b = CONTAINER(next, struct begun, link);
        next = next->next;
        if (account_id == 0 || b->account_id == account_id)
            begun_free(b);
    }
}

static struct begun *begun_find(const struct admin *a, int64_t account_id)
{
    for (struct link *l = a->logins.next; l != &a->logins; l = l->next) {
        struct begun *b = CONTAINER(l, struct begun, link);
        if (b->account_id == account_id)
            return b;
    }
    return NULL;
}

static void drop_expired(struct admin *a, int64_t now)
{
    struct link *next = a->logins.next;
    while (next != &a->logins) {
        struct begun *b = CONTAINER(next, struct begun, link);
        next = next->next;
        if (now >= b->login.expires_at)
            begun_free(b);
    }
}

/* The account of the call, if a person can log in there. */
static struct account *call_login_account(struct verb_call *c)
{
    struct account *a = call_account(c);
    if (a == NULL || a->provider->oauth != NULL)
        return a;
    call_fail(c, FAIL_USAGE,
              "`%s` has a secret and no login: give it one with `sluice account set %s "
              "--secret-file FILE`",
              a->provider->name, a->name);
    return NULL;
}

/* ---- account login
 * ------------------------------------------------------------------------------------ */

static void begun_write(struct verb_call *c, const struct account *a, const struct begun *b,
                        struct slice url)
{
    struct jw *w = call_open(c);
    jw_kcstr(w, "name", a->name);
    jw_kcstr(w, "provider", a->provider->name);
    jw_kcstr(w, "ends_in", provider_rotates(a->provider) ? "token" : "api_key");
    jw_kstr(w, "url", url);
    jw_kcstr(w, "state", b->login.state);
    jw_ktime(w, "expires_at", b->login.expires_at);
    jw_ki64(w, "expires_in_seconds", (b->login.expires_at - call_now(c)) / 1000);
    call_reply(c);
}

void verb_account_login(struct verb_call *c)
{
    struct admin *admin = c->admin;
    char why[ADMIN_WHY_MAX];
    struct oauth_config config;
    struct buf url;
    struct account *a = call_login_account(c);
    if (a == NULL)
        return;
    if (call_has(c, "answer")) {
        call_fail(c, FAIL_USAGE, "the answer goes to the callback: it belongs to a login before");
        return;
    }
    if (oauth_config_read(a->provider->oauth, slice_of(a->settings), &config, why, sizeof why) !=
        OK) {
        call_fail(c, FAIL_CONFIG, "account `%s`: %s", a->name, why);
        return;
    }
    login_forget(admin, a->id);
    drop_expired(admin, call_now(c));
    struct begun *b = NEW(struct begun);
    *b = (struct begun){.account_id = a->id, .config = config};
    list_init(&b->link);
    list_push(&admin->logins, &b->link);
    oauth_login_begin(&b->login, call_now(c));
    buf_init(&url, 8192);
    enum err e = oauth_authorize_url(&config, &b->login, &url);
    if (e == OK) {
        begun_write(c, a, b, buf_slice(&url));
    } else {
        begun_free(b);
        call_fail(c, FAIL_CONFIG,
                  "account `%s` has no client_id: this program ships none, so give the one that "
                  "the provider has given you: sluice account set %s --client-id ID",
                  a->name, a->name);
    }
    buf_free(&url);
}

/* ---- what a login has brought, into the store
 * --------------------------------------------------------- */

/* The login that was answered here, if no later one has taken its place. */
static struct begun *begun_of(const struct ending *x)
{
    struct begun *b = begun_find(x->admin, x->account_id);
    return b != NULL && strcmp(b->login.state, x->state) == 0 ? b : NULL;
}

static void ending_free(void *more)
{
    struct ending *x = more;
    struct begun *b = x->login != NULL ? begun_of(x) : NULL;
    if (b != NULL) /* given up in the middle: the code has perhaps been used */
        begun_free(b);
    login_abort(x->login);
    buf_wipe(&x->access);
    buf_wipe(&x->refresh);
    mem_free(x);
}

/* Whoever asked has left: a login that is still out there is given up, one that has brought its
 * credential goes on. */
static bool ending_leave(void *more)
{
    const struct ending *x = more;
    return x->login != NULL;
}

static struct ending *ending_new(struct verb_call *c, const struct account *a)
{
    struct ending *x = NEW(struct ending);
    x->admin = c->admin;
    x->account_id = c->account_id = a->id;
    buf_init(&x->access, STORE_SECRET_MAX);
    buf_init(&x->refresh, STORE_SECRET_MAX);
    c->more = x;
    c->more_free = ending_free;
    c->leave = ending_leave;
    return x;
}

/* NULL: it has been removed meanwhile, and the call has been failed. */
static struct account *ending_account(struct verb_call *c)
{
    struct account *a = accounts_by_id(c->admin->p.accounts, c->account_id);
    if (a != NULL && !a->facts.leaving)
        return a;
    call_fail(c, FAIL_NOT_FOUND, "the account has been removed meanwhile");
    return NULL;
}

static void fail_unstored(struct verb_call *c, enum err e)
{
    call_fail(c, e == ERR_CONFLICT ? FAIL_CONFLICT : FAIL_STORE,
              "account `%s`: what the login brought could not be stored (%s); the account is as it "
              "was, so mend that and log in again",
              call_text(c, "name"), err_name(e));
}

static void pair_store(struct verb_call *c, int64_t expect);

static void on_pair(void *arg, enum err e, const struct token_row *rows, size_t n)
{
    struct verb_call *c = arg;
    struct ending *x = c->more;
    if (e == ERR_CONFLICT &&
        !x->again) { /* a refresh was quicker: the login is newer all the same */
        x->again = true;
        pair_store(c, n > 0 ? rows[0].generation : 0);
        return;
    }
    if (e == ERR_NOTFOUND) {
        call_fail(c, FAIL_NOT_FOUND, "the account has been removed meanwhile");
        return;
    }
    if (e != OK) {
        fail_unstored(c, e);
        return;
    }
    assert(n == 1 && rows[0].account_id == c->account_id);
    accounts_token_put(c->admin->p.accounts, &rows[0]);
    log_info("account has a new login", LF_STR("account", call_text(c, "name")),
             LF_INT("generation", rows[0].generation));
    account_answer(c, c->account_id);
}

/* In the place of the generation `expect`, durably; only then it is used. */
static void pair_store(struct verb_call *c, int64_t expect)
{
    struct ending *x = c->more;
    const struct token_row row = {.account_id = c->account_id,
                                  .generation = expect + 1,
                                  .expires_at = x->expires_at,
                                  .lifetime = x->lifetime,
                                  .refreshed_at = call_now(c),
                                  .access = buf_slice(&x->access),
                                  .refresh = buf_slice(&x->refresh)};
    store_token_swap(c->admin->p.store, expect, &row, on_pair, c);
}

static void pair_begin(struct verb_call *c, const struct account *a, const struct oauth_tokens *t)
{
    struct ending *x = c->more;
    enum err e = buf_puts(&x->access, t->access);
    if (e == OK)
        e = buf_puts(&x->refresh, t->refresh);
    if (e != OK) {
        fail_unstored(c, e);
        return;
    }
    x->expires_at = t->expires_at;
    x->lifetime = t->lifetime;
    pair_store(c, a->generation);
}

static void key_store(struct verb_call *c, const struct account *a);

static void on_key(void *arg, enum err e, const struct account_row *rows, size_t n)
{
    struct verb_call *c = arg;
    struct ending *x = c->more;
    if (e == ERR_CONFLICT && !x->again) { /* changed by a person meanwhile: memory knows */
        const struct account *a = ending_account(c);
        x->again = true;
        if (a != NULL)
            key_store(c, a);
        return;
    }
    if (e != OK && e != ERR_NOTFOUND) {
        fail_unstored(c, e);
        return;
    }
    if (e == OK)
        log_info("account has a new key", LF_STR("account", call_text(c, "name")));
    account_stored(c, e, rows, n);
}

static void key_store(struct verb_call *c, const struct account *a)
{
    struct ending *x = c->more;
    struct account_row row;
    account_row_of(a, &row);
    row.secret = buf_slice(&x->access);
    store_account_update(c->admin->p.store, &row, on_key, c);
}

/* ---- account callback
 * ---------------------------------------------------------------------------------- */

static void on_login(void *arg, enum err e, const struct oauth_tokens *tokens, struct slice api_key,
                     const char *why)
{
    struct verb_call *c = arg;
    struct ending *x = c->more;
    struct begun *b = begun_of(x);
    x->login = NULL;
    if (b != NULL)
        begun_free(b); /* a code is good once, whatever came of it */
    if (e != OK) {
        call_fail(c, e == ERR_DENIED ? FAIL_DENIED : FAIL_UPSTREAM,
                  "account `%s`: %s; begin again with `sluice account login %s`",
                  call_text(c, "name"), why, call_text(c, "name"));
        return;
    }
    const struct account *a = ending_account(c);
    if (a == NULL)
        return;
    if (tokens != NULL) {
        pair_begin(c, a, tokens);
        return;
    }
    enum err put = buf_puts(&x->access, api_key);
    if (put == OK)
        key_store(c, a);
    else
        fail_unstored(c, put);
}

static void fail_answer(struct verb_call *c, enum err e)
{
    const char *name = call_text(c, "name");
    if (e == ERR_TIMEOUT)
        call_fail(c, FAIL_CONFLICT,
                  "this login of account `%s` has expired: it lasts 15 minutes; begin again with "
                  "`sluice account login %s`",
                  name, name);
    else if (e == ERR_DENIED)
        call_fail(c, FAIL_DENIED,
                  "this answer belongs to another login than the one under way for `%s` (its state "
                  "is another one): open the page of this login and bring what it shows",
                  name);
    else if (e == ERR_NOMEM)
        call_fail(c, FAIL_STORE, "out of memory; nothing was changed");
    else
        call_fail(c, FAIL_USAGE,
                  "the answer is not understood: it is CODE#STATE, as the page shows it, or the "
                  "whole address of the page that the login ends on");
}

static void exchange_begin(struct verb_call *c, const struct account *a, struct begun *b,
                           struct slice code)
{
    const struct admin_parts *p = &c->admin->p;
    struct ending *x = ending_new(c, a);
    text_copy(x->state, sizeof x->state, slice_of(b->login.state));
    b->busy = true;
    x->login = login_start(p->loop, p->client, &b->config, a->provider->login, a->allow_private,
                           &b->login, code, on_login, c);
}

void verb_account_callback(struct verb_call *c)
{
    struct buf code;
    const struct account *a = call_login_account(c);
    if (a == NULL)
        return;
    struct begun *b = begun_find(c->admin, a->id);
    if (b == NULL) {
        call_fail(c, FAIL_NOT_FOUND,
                  "no login is under way for account `%s`; begin one with `sluice account login "
                  "%s`",
                  a->name, a->name);
        return;
    }
    if (b->busy) {
        call_fail(c, FAIL_CONFLICT, "this login of account `%s` is just being finished", a->name);
        return;
    }
    buf_init(&code, STORE_SECRET_MAX);
    enum err e = oauth_login_answer(&b->login, call_secret(c, "answer"), call_now(c), &code);
    if (e == OK)
        exchange_begin(c, a, b, buf_slice(&code));
    buf_wipe(&code);
    if (e == ERR_TIMEOUT)
        begun_free(b);
    if (e != OK)
        fail_answer(c, e);
}

/* ---- account import
 * ------------------------------------------------------------------------------------ */

void verb_account_import(struct verb_call *c)
{
    struct oauth_tokens t;
    const struct account *a = call_login_account(c);
    if (a == NULL)
        return;
    if (!provider_rotates(a->provider)) {
        call_fail(c, FAIL_USAGE,
                  "`%s` takes a key and no token: sluice account set %s --secret-file FILE",
                  a->provider->name, a->name);
        return;
    }
    if (!call_tokens(c, &t))
        return;
    ending_new(c, a);
    pair_begin(c, a, &t);
    oauth_tokens_free(&t);
}
