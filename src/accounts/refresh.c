/* The refresh of a token: at most one an account, over all processes on the folder.
 *
 *    LEASE -> READ -> NOTE -> POST -> SWAP -> credential      a moved generation at READ or AGAIN,
 *      ^        |              |       | ^                    or a conflict at SWAP: the stored
 *      '-- WAIT-'            AGAIN     '-'  disk: every 1 s   pair is adopted
 *
 * A refresh token is used up by the request that carries it, and the pair in the answer is all
 * there is of the account. So nothing here is cut once the request is out; the new pair is on the
 * disk before its first use; and before an account is called dead the store is read again, because
 * the usual reason of an invalid_grant is that somebody else was quicker. */
#include "accounts/inside.h"

#include <string.h>

#include "sluice/sluice.h"

#define SECOND         INT64_C(1000)
#define LEASE_MS       (60 * SECOND)
#define LEASE_PATIENCE (90 * SECOND) /* for another's lease, which cannot last as long */
#define POST_MS        (30 * SECOND)
#define CONFIG_MS      (300 * SECOND) /* only a person mends a configuration: no hurry */
#define ANSWER_MAX     65536
#define BODY_MAX       (STORE_SECRET_MAX * 6 + 1024) /* a token with every byte escaped */
#define POOL_APART     (UINT64_C(1) << 63)

enum refresh_state { R_LEASE, R_READ, R_WAIT, R_NOTE, R_POST, R_AGAIN, R_SWAP, R_SWAP_WAIT };

struct refresh {
    struct entry *entry; /* NULL: an orphan, which waits for the store's last word only */
    enum refresh_state state;
    bool owed;       /* the store owes a callback */
    bool sent;       /* the refresh token may have reached the provider */
    bool leased;     /* ours until it runs out */
    bool overlong;   /* the answer is no token answer */
    const char *why; /* static: what the provider said of a dead pair */
    int64_t generation, began_at;
    struct timer timer;
    struct oauth_config config; /* as it was at the start: slices of the target point into it */
    struct http_request *request;
    int status;
    const struct http_head *head;
    struct buf body, answer;
    struct secret *access, *refresh; /* the new pair */
    int64_t expires_at, lifetime, refreshed_at;
    int64_t told_at; /* when the log was last told that the pair cannot be stored */
    struct refresh *next_orphan;
};

/* Refreshes whose set was freed while the store still owed them a call. */
static struct refresh *orphans;

/* ---- the end --------------------------------------------------------------------------------- */

/* All but the memory itself. */
static void refresh_clear(struct refresh *r)
{
    if (r->request != NULL)
        http_request_abort(r->request);
    r->request = NULL;
    timer_stop(&r->timer);
    buf_wipe(&r->body);
    buf_wipe(&r->answer);
    secrets_free(r->access);
    secrets_free(r->refresh);
    r->access = r->refresh = NULL;
}

static struct slice lease_name(const struct entry *e, char out[STORE_NAME_MAX])
{
    return (struct slice){out, text_format(out, STORE_NAME_MAX, "refresh:%" PRId64, e->a.id)};
}

static void refresh_end(struct refresh *r, enum err result)
{
    struct entry *e = r->entry;
    char name[STORE_NAME_MAX];
    assert(!r->owed && e->token->on == r);
    refresh_clear(r);
    if (r->leased)
        store_lease_drop(e->set->store, lease_name(e, name), slice_of(e->set->holder));
    mem_free(r);
    token_ended(e, result);
}

static void on_nothing(void *arg, enum err e)
{
    (void)arg;
    if (e != OK)
        log_debug("a refresh's note stays", LF_STR("err", err_name(e)));
}

/* The provider has answered and there is no new pair, or it was never asked: nothing is lost. */
static void note_clear(struct refresh *r)
{
    struct entry *e = r->entry;
    store_token_note(e->set->store, e->a.id, r->generation, 0, on_nothing, NULL);
}

/* A person has logged in meanwhile: what this refresh came to is of no interest. */
static bool refresh_is_moot(const struct refresh *r)
{
    return r->entry->a.generation != r->generation;
}

static void refresh_end_moot(struct refresh *r)
{
    refresh_end(r, r->entry->a.facts.token == TOKEN_HELD ? OK : ERR_DENIED);
}

/* Not now: the next try comes by the token's timer. */
static void refresh_later(struct refresh *r, enum err err, const char *why, int64_t wait)
{
    struct entry *e = r->entry;
    if (refresh_is_moot(r)) {
        refresh_end_moot(r);
        return;
    }
    int64_t rest = token_failed(e, err, why, wait);
    log_warn("token refresh failed", LF_STR("account", e->a.name), LF_STR("why", why),
             LF_STR("err", err_name(err)), LF_INT("status", r->status), LF_INT("retry_ms", rest));
    refresh_end(r, err);
}

static void refresh_dead(struct refresh *r)
{
    struct entry *e = r->entry;
    if (e->token->noted_at != 0)
        log_warn("an answer of the token endpoint was lost earlier", LF_STR("account", e->a.name));
    note_clear(r);
    login_needed(e, r->why);
    refresh_end(r, ERR_DENIED);
}

/* ---- the store's side ------------------------------------------------------------------------ */

/* True for a refresh that nobody waits for any more; it is gone then. */
static bool refresh_is_orphan(struct refresh *r)
{
    assert(r->owed);
    r->owed = false;
    if (r->entry != NULL)
        return false;
    struct refresh **p = &orphans;
    while (*p != r) {
        assert(*p != NULL);
        p = &(*p)->next_orphan;
    }
    *p = r->next_orphan;
    mem_free(r);
    return true;
}

static void refresh_post(struct refresh *r);
static void refresh_swap(struct refresh *r);
static void refresh_lease(struct refresh *r);
static void refresh_read(struct refresh *r, enum refresh_state state);

static const struct token_row *row_of(const struct entry *e, const struct token_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (rows[i].account_id == e->a.id)
            return &rows[i];
    }
    return NULL;
}

static void on_noted(void *arg, enum err err)
{
    struct refresh *r = arg;
    if (refresh_is_orphan(r))
        return;
    if (err == OK && r->entry->set->client != NULL)
        refresh_post(r);
    else if (err == ERR_CONFLICT) /* moved in between: the next try adopts it */
        refresh_later(r, ERR_BUSY, "token_moved", 0);
    else
        refresh_later(r, err != OK ? err : ERR_CANCELED, "store", 0);
}

static void refresh_note(struct refresh *r)
{
    struct entry *e = r->entry;
    r->state = R_NOTE;
    r->owed = true;
    store_token_note(e->set->store, e->a.id, r->generation, loop_wall(e->set->loop), on_noted, r);
}

static void refresh_wait(struct refresh *r)
{
    int64_t now = loop_now(r->entry->set->loop);
    if (now - r->began_at >= LEASE_PATIENCE) {
        refresh_later(r, ERR_BUSY, "lease", 0);
        return;
    }
    r->state = R_WAIT;
    timer_set(&r->timer, now + SECOND);
}

static void on_read(void *arg, enum err err, const struct token_row *rows, size_t n)
{
    struct refresh *r = arg;
    if (refresh_is_orphan(r))
        return;
    struct entry *e = r->entry;
    const struct token_row *row = err == OK ? row_of(e, rows, n) : NULL;
    if (row == NULL) {
        refresh_later(r, err != OK ? err : ERR_NOTFOUND, "store", 0);
    } else if (row->generation != r->generation) {
        if (row->generation < r->generation)
            e->a.generation = 0; /* a disk from the past, but it is the disk that counts */
        log_info("token adopted", LF_STR("account", e->a.name),
                 LF_INT("generation", row->generation));
        token_adopt(e, row);
        refresh_end_moot(r);
    } else if (r->state == R_AGAIN) {
        refresh_dead(r);
    } else if (!r->leased) {
        refresh_wait(r);
    } else {
        e->token->noted_at = row->noted_at;
        refresh_note(r);
    }
}

static void refresh_read(struct refresh *r, enum refresh_state state)
{
    r->state = state;
    r->owed = true;
    store_tokens_load(r->entry->set->store, on_read, r);
}

static void on_leased(void *arg, enum err err)
{
    struct refresh *r = arg;
    if (refresh_is_orphan(r))
        return;
    r->leased = err == OK;
    if (err == OK || err == ERR_BUSY)
        refresh_read(r, R_READ); /* whoever had the lease before may have been quicker */
    else
        refresh_later(r, err, "store", 0);
}

static void refresh_lease(struct refresh *r)
{
    struct entry *e = r->entry;
    char name[STORE_NAME_MAX];
    r->state = R_LEASE;
    r->owed = true;
    store_lease_take(e->set->store, lease_name(e, name), slice_of(e->set->holder),
                     loop_wall(e->set->loop), LEASE_MS, on_leased, r);
}

/* ---- the new pair: durable, then used -------------------------------------------------------- */

static void on_swapped(void *arg, enum err err, const struct token_row *rows, size_t n)
{
    struct refresh *r = arg;
    if (refresh_is_orphan(r))
        return;
    struct entry *e = r->entry;
    const struct token_row *row = err == OK || err == ERR_CONFLICT ? row_of(e, rows, n) : NULL;
    if (row != NULL) {
        token_adopt(e, row);
        token_recovered(e);
        log_info(err == OK ? "token refreshed" : "token adopted", LF_STR("account", e->a.name),
                 LF_INT("generation", e->a.generation),
                 LF_INT("for_ms",
                        row->expires_at != 0 ? row->expires_at - loop_wall(e->set->loop) : -1));
        refresh_end_moot(r);
        return;
    }
    if (err == OK || err == ERR_CONFLICT || err == ERR_NOTFOUND) { /* removed by a person */
        refresh_later(r, ERR_NOTFOUND, "store", 0);
        return;
    }
    /* The only copy of the account: tried until the disk takes it. Nobody is kept waiting for it.
     */
    int64_t now = loop_now(e->set->loop);
    if (r->told_at == 0 || now - r->told_at >= 60 * SECOND) {
        r->told_at = now;
        log_error("a new token cannot be stored; trying every second", LF_STR("account", e->a.name),
                  LF_STR("err", err_name(err)));
    }
    r->state = R_SWAP_WAIT;
    timer_set(&r->timer, now + SECOND);
    e->token->last = err;
    e->a.facts.token_why = "store";
    e->a.facts.token_retry_at = loop_wall(e->set->loop) + SECOND;
    waiters_tell(e, err);
}

static void swap_submit(struct refresh *r, store_tokens_fn *done, void *arg)
{
    struct entry *e = r->entry;
    const struct token_row row = {.account_id = e->a.id,
                                  .generation = r->generation + 1,
                                  .expires_at = r->expires_at,
                                  .lifetime = r->lifetime,
                                  .refreshed_at = r->refreshed_at,
                                  .access = secret_slice(r->access),
                                  .refresh = secret_slice(r->refresh)};
    store_token_swap(e->set->store, r->generation, &row, done, arg);
}

static void refresh_swap(struct refresh *r)
{
    r->state = R_SWAP;
    r->owed = true;
    swap_submit(r, on_swapped, r);
}

/* ---- the provider's side --------------------------------------------------------------------- */

static void answer_ok(struct refresh *r)
{
    struct entry *e = r->entry;
    struct oauth_tokens t;
    int64_t now = loop_wall(e->set->loop);
    if (r->overlong || oauth_tokens_read(buf_slice(&r->answer), now, &t) != OK) {
        refresh_later(r, ERR_PROTOCOL, "bad_answer", 0);
        return;
    }
    assert(e->token->refresh != NULL);
    bool same = t.refresh.n == 0; /* not rotated: the old one stays good */
    r->access = secret_new(AUTH_X_API_KEY, t.access, NULL);
    r->refresh = secret_new(AUTH_X_API_KEY, same ? secret_slice(e->token->refresh) : t.refresh,
                            NULL);
    /* A new token that is over already was timed by another clock than ours. */
    r->expires_at = t.expires_at > now ? t.expires_at : 0;
    r->lifetime = t.lifetime;
    r->refreshed_at = now;
    oauth_tokens_free(&t);
    refresh_swap(r);
}

static void answer_judge(struct refresh *r)
{
    const char *why = "";
    int64_t wait = 0;
    struct entry *e = r->entry;
    struct account_facts *f = &e->a.facts;
    timer_stop(&r->timer);
    if (refresh_is_moot(r)) {
        r->head = NULL;
        refresh_end_moot(r);
        return;
    }
    enum oauth_verdict v = oauth_judge(r->status, r->head, buf_slice(&r->answer),
                                       loop_wall(e->set->loop), &why, &wait);
    r->head = NULL;
    if (v == OAUTH_OK) {
        answer_ok(r);
        return;
    }
    if (v == OAUTH_DEAD) {
        r->why = why;
        refresh_read(r, R_AGAIN);
        return;
    }
    if (r->status / 100 == 4)
        note_clear(r);
    if (v == OAUTH_WRONG && !f->token_wrong)
        log_error("the token endpoint refuses the configuration of an account",
                  LF_STR("account", e->a.name), LF_STR("why", why), LF_INT("status", r->status));
    f->token_wrong = v == OAUTH_WRONG;
    if (v == OAUTH_WRONG)
        refresh_later(r, ERR_DENIED, why, CONFIG_MS);
    else
        refresh_later(r, ERR_BUSY, why, wait);
}

static void on_sent(void *owner)
{
    struct refresh *r = owner;
    r->sent = true;
}

static void on_head(void *owner, const struct http_head *head)
{
    struct refresh *r = owner;
    r->status = head->status;
    r->head = head;
}

static void on_body(void *owner, struct slice bytes)
{
    struct refresh *r = owner;
    r->overlong = r->overlong || buf_append(&r->answer, bytes.p, bytes.n) != OK;
}

static void on_end(void *owner)
{
    struct refresh *r = owner;
    r->request = NULL;
    answer_judge(r);
}

static void on_fail(void *owner, enum err err, const char *why)
{
    struct refresh *r = owner;
    log_info("no answer where a token is renewed", LF_STR("account", r->entry->a.name),
             LF_STR("why", why));
    r->request = NULL;
    r->head = NULL;
    timer_stop(&r->timer);
    if (!r->sent)
        note_clear(r);
    refresh_later(r, err, "no_answer", 0);
}

static void refresh_post(struct refresh *r)
{
    static const struct http_request_ops ops = {.on_sent = on_sent,
                                                .on_head = on_head,
                                                .on_body = on_body,
                                                .on_end = on_end,
                                                .on_fail = on_fail};
    struct entry *e = r->entry;
    struct http_target target = {0};
    struct slice path = {"", 0};
    const char *why = "";
    const char *beta = e->a.provider->beta;
    enum err err = http_url_parse(slice_of(r->config.token_url), &target, &path, &why);
    if (err == OK)
        err = oauth_refresh_body(&r->config, secret_slice(e->token->refresh), &r->body);
    if (err != OK) { /* checked when it was given: only a broken row comes here */
        log_error("account has a bad token endpoint", LF_STR("account", e->a.name),
                  LF_STR("why", why));
        e->a.facts.token_wrong = true;
        note_clear(r);
        refresh_later(r, ERR_DENIED, "bad_token_url", CONFIG_MS);
        return;
    }
    /* A connection of its own: one from a pool may die under the request, and the client would send
     * it again, with a refresh token that has perhaps been used. */
    target.pool = POOL_APART | ++e->set->serial;
    target.allow_private = e->a.allow_private;
    const struct http_header h[] = {{S("content-type"), S("application/json")},
                                    {S("accept"), S("application/json")},
                                    {S("user-agent"), S("sluice/" SLUICE_VERSION)},
                                    {S("anthropic-beta"), slice_of(beta)}};
    r->state = R_POST;
    timer_set(&r->timer, loop_now(e->set->loop) + POST_MS);
    r->request = http_request_start(e->set->client, &target, HTTP_POST, path.n > 0 ? path : S("/"),
                                    h, beta[0] != '\0' ? 4 : 3, buf_slice(&r->body), &ops, r);
}

/* ---- the refresh ----------------------------------------------------------------------------- */

static void refresh_timer(void *arg)
{
    struct refresh *r = arg;
    switch (r->state) {
    case R_WAIT:
        refresh_lease(r);
        break;
    case R_SWAP_WAIT:
        refresh_swap(r);
        break;
    case R_POST:
        http_request_abort(r->request);
        r->request = NULL;
        r->head = NULL;
        if (!r->sent)
            note_clear(r);
        refresh_later(r, ERR_TIMEOUT, "no_answer", 0);
        break;
    default:
        assert(!"a deadline in a state that has none");
    }
}

void refresh_start(struct entry *e)
{
    struct refresh *r = NEW(struct refresh);
    assert(e->token->on == NULL && e->set->client != NULL);
    r->entry = e;
    r->generation = e->a.generation;
    r->began_at = loop_now(e->set->loop);
    r->config = e->token->config;
    timer_init(&r->timer, e->set->loop, refresh_timer, r);
    buf_init(&r->body, BODY_MAX);
    buf_init(&r->answer, ANSWER_MAX);
    timer_stop(&e->token->timer);
    e->token->on = r;
    refresh_lease(r);
}

/* ---- given up -------------------------------------------------------------------------------- */

static void on_last_swap(void *arg, enum err e, const struct token_row *rows, size_t n)
{
    (void)arg;
    (void)rows;
    (void)n;
    if (e != OK)
        log_error("a new token could not be stored", LF_STR("err", err_name(e)));
}

void refresh_abandon(struct refresh *r)
{
    struct entry *e = r->entry;
    char name[STORE_NAME_MAX];
    if (r->state == R_SWAP_WAIT)
        swap_submit(r, on_last_swap, NULL);
    /* behind the swap in the store's queue: who gets the lease next finds the new pair */
    store_lease_drop(e->set->store, lease_name(e, name), slice_of(e->set->holder));
    refresh_clear(r);
    e->token->on = NULL;
    r->entry = NULL;
    if (!r->owed) {
        mem_free(r);
        return;
    }
    r->next_orphan = orphans;
    orphans = r;
}

bool refresh_is_serious(const struct refresh *r)
{
    return r->state != R_WAIT;
}

bool refresh_waits_for_disk(const struct refresh *r)
{
    return r->state == R_SWAP_WAIT;
}
