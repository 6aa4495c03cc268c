/* The token of an account: the pair in memory, who waits for a new one, and when the next refresh
 * begins. How one goes is in refresh.c. */
#include "accounts/inside.h"

#include <string.h>

#define SECOND        INT64_C(1000)
#define BACKOFF_FIRST (5 * SECOND)
#define BACKOFF_MAX   (300 * SECOND)
#define STALE_MS      (30 * SECOND)   /* so little left is not enough for a request to arrive */
#define LOOK_MS       (3600 * SECOND) /* the wall clock may be set: look again this often */
#define SPREAD_MS     (3 * SECOND)    /* overdue tokens are not all refreshed at once */

static int64_t wall_of(const struct entry *e)
{
    return loop_wall(e->set->loop);
}

static bool is_at(int64_t at, int64_t now)
{
    return at != 0 && at <= now;
}

static bool token_is_used_up(const struct account_facts *f, int64_t now)
{
    return f->token_refused || is_at(f->token_expires_at, now);
}

/* A number of the account's own, the same on every run. */
static int64_t spread_of(const struct entry *e, int64_t range)
{
    uint64_t h = ((uint64_t)e->a.id * 0x9e3779b97f4a7c15ULL) >> 33;
    assert(range > 0);
    return (int64_t)(h % (uint64_t)range);
}

/* ---- waiters --------------------------------------------------------------------------------- */

static void waiters_call(void *arg)
{
    struct account_set *set = arg;
    assert(list_empty(&set->calling));
    while (!list_empty(&set->told)) { /* what a call brings about waits for the next turn */
        struct link *l = set->told.next;
        list_remove(l);
        list_push(&set->calling, l);
    }
    while (!list_empty(&set->calling)) {
        struct token_wait *w = CONTAINER(set->calling.next, struct token_wait, link);
        list_remove(&w->link);
        w->done(w->arg, w->result);
    }
}

static void waiter_tell(struct account_set *set, struct token_wait *w, enum err e)
{
    assert(e != ERR_AGAIN);
    list_remove(&w->link);
    w->result = e;
    list_push(&set->told, &w->link);
    task_post(set->loop, &set->task);
}

void waiters_tell(struct entry *e, enum err result)
{
    struct link *waiters = &e->token->waiters;
    bool works = !token_is_used_up(&e->a.facts, wall_of(e));
    while (!list_empty(waiters)) {
        struct token_wait *w = CONTAINER(waiters->next, struct token_wait, link);
        bool good_enough = works && !w->forced && !e->a.facts.login_needed;
        waiter_tell(e->set, w, good_enough ? OK : result);
    }
}

void account_token_forget(struct token_wait *w)
{
    if (w->link.next != NULL)
        list_remove(&w->link);
}

/* ---- the timer nobody waits for -------------------------------------------------------------- */

/* Wall ms of the next refresh in the background: at three quarters of the life, one part in twenty
 * sooner or later; 0 when the end is not known. */
static int64_t token_due(const struct entry *e)
{
    const struct token *t = e->token;
    int64_t end = e->a.facts.token_expires_at, life = t->lifetime;
    if (end == 0)
        return t->empty ? 1 : 0; /* what was never fetched is due */
    if (life <= 0)
        life = t->refreshed_at > 0 && t->refreshed_at < end ? end - t->refreshed_at : 0;
    if (life <= 0)
        return e->a.facts.token_stale_at;
    int64_t at = end - life / 4 - life / 40 + spread_of(e, life / 20 + 1);
    int64_t first = t->refreshed_at + STALE_MS; /* however short a life is told */
    return at > first || first > end + STALE_MS ? at : first;
}

static bool token_may_refresh(const struct entry *e)
{
    const struct account_facts *f = &e->a.facts;
    return e->set->client != NULL && f->token == TOKEN_HELD && f->token_refreshable &&
           !f->leaving && !f->login_needed;
}

/* Arms the timer for what is to be done when nobody asks: a refresh, or the alert when a token that
 * cannot be refreshed has run out. A timer that a failure has armed stays. */
static void token_arm(struct entry *e)
{
    struct token *t = e->token;
    struct loop *l = e->set->loop;
    const struct account_facts *f = &e->a.facts;
    bool refresh = token_may_refresh(e);
    bool alert = e->set->client != NULL && f->token == TOKEN_HELD && !f->token_refreshable;
    int64_t at = refresh ? token_due(e) : alert && !t->alerted ? f->token_expires_at : 0;
    bool busy = token_is_busy(e);
    if (refresh && !busy && t->failures > 0 && timer_armed(&t->timer))
        return;
    if (busy || at == 0) {
        timer_stop(&t->timer);
        return;
    }
    int64_t in = at - wall_of(e);
    in = in > LOOK_MS ? LOOK_MS : in > 0 ? in : spread_of(e, SPREAD_MS);
    timer_set(&t->timer, loop_now(l) + in);
}

static void token_start(struct entry *e)
{
    assert(e->token->grant != GRANT_FIXED && !token_is_busy(e));
    if (e->token->grant == GRANT_REFRESH)
        refresh_start(e);
    else
        fetch_start(e);
}

static void token_tick(void *arg)
{
    struct entry *e = arg;
    struct token *t = e->token;
    const struct account_facts *f = &e->a.facts;
    int64_t now = wall_of(e);
    if (token_is_busy(e))
        return;
    if (token_may_refresh(e) && (t->failures > 0 || is_at(token_due(e), now))) {
        token_start(e);
        return;
    }
    if (!f->token_refreshable && is_at(f->token_expires_at, now) && !t->alerted) {
        t->alerted = true;
        e->set->logins_lost++;
        log_error("account needs login", LF_STR("account", e->a.name),
                  LF_STR("why", "token_expired"));
    }
    token_arm(e);
}

/* ---- the pair in memory ---------------------------------------------------------------------- */

static void token_install(struct entry *e, const struct token_row *row)
{
    struct account_facts *f = &e->a.facts;
    struct token *t = e->token;
    assert(row->generation > e->a.generation && row->access.n > 0);
    credential_set(e, t->auth, row->access);
    if (t->grant == GRANT_REFRESH) {
        secrets_free(t->refresh);
        t->refresh = row->refresh.n > 0 ? secret_new(AUTH_X_API_KEY, row->refresh, NULL) : NULL;
    }
    t->empty = false;
    t->lifetime = row->lifetime;
    t->refreshed_at = row->refreshed_at;
    t->noted_at = row->noted_at;
    t->alerted = false;
    e->a.generation = row->generation;
    f->token = TOKEN_HELD;
    f->token_refused = false;
    f->token_refreshable = t->grant != GRANT_REFRESH ||
                           (t->refresh != NULL && t->config.client_id[0] != '\0');
    f->token_expires_at = row->expires_at;
    /* Of a short life not all may count as its end, or every request would refresh. */
    int64_t margin = row->lifetime > 0 && row->lifetime < 4 * STALE_MS ? row->lifetime / 4
                                                                       : STALE_MS;
    f->token_stale_at = row->expires_at > margin ? row->expires_at - margin : row->expires_at;
}

/* A new token is a new start for an account that was refused for the old one; not while loading,
 * when the verdict may well be about the pair that is being loaded. */
static void login_forgive(struct entry *e)
{
    struct account_facts *f = &e->a.facts;
    bool newer = !e->set->loading || e->token->refreshed_at > f->seen_at;
    bool for_token = strcmp(f->cool_reason, "unauthorized") == 0 ||
                     oauth_is_dead_word(f->cool_reason);
    if (!f->login_needed || !newer || !for_token)
        return;
    facts_clear(&e->a);
    f->seen_at = wall_of(e);
    facts_store(e->set, &e->a);
}

void token_recovered(struct entry *e)
{
    struct account_facts *f = &e->a.facts;
    e->token->failures = 0;
    e->token->last = OK;
    f->token_retry_at = 0;
    f->token_wrong = false;
    f->token_why = NULL;
    timer_stop(&e->token->timer);
}

void token_take(struct entry *e, const struct token_row *row)
{
    token_install(e, row);
    token_recovered(e);
    login_forgive(e);
    token_arm(e);
}

void token_adopt(struct entry *e, const struct token_row *row)
{
    struct account_facts *f = &e->a.facts;
    assert(row->account_id == e->a.id);
    if (e->token->grant != GRANT_REFRESH || row->generation < e->a.generation ||
        (row->generation == e->a.generation && f->token != TOKEN_UNREADABLE))
        return;
    if (row->unreadable || row->access.n == 0) { /* kept as it is: the right key may come back */
        e->a.generation = row->generation;
        f->token = TOKEN_UNREADABLE;
        e->set->logins_lost++;
        log_error("account needs login", LF_STR("account", e->a.name),
                  LF_STR("why", "secret_unreadable"));
        return;
    }
    if (row->generation == e->a.generation)
        e->a.generation--; /* was unreadable, and is not any more */
    token_take(e, row);
}

void token_reset(struct entry *e)
{
    if (e->token == NULL)
        return;
    e->a.facts.token_refused = e->token->empty;
    token_recovered(e);
    token_arm(e);
}

void accounts_token_put(struct account_set *set, const struct token_row *row)
{
    struct account *a = accounts_by_id(set, row->account_id);
    if (a == NULL || entry_of(a)->token == NULL)
        return;
    int64_t before = a->generation;
    token_adopt(entry_of(a), row);
    if (a->generation == before)
        return;
    facts_clear(a); /* a person has logged in: a new start */
    a->facts.seen_at = loop_wall(set->loop);
    facts_store(set, a);
    token_arm(entry_of(a));
}

/* ---- what a refresh came to ------------------------------------------------------------------ */

int64_t token_failed(struct entry *e, enum err err, const char *why, int64_t wait)
{
    struct token *t = e->token;
    struct account_facts *f = &e->a.facts;
    int64_t rest = BACKOFF_FIRST;
    assert(err != OK && wait >= 0);
    for (int32_t i = 0; i < t->failures && rest < BACKOFF_MAX; i++)
        rest *= 2;
    rest = rest < BACKOFF_MAX ? rest : BACKOFF_MAX;
    rest = wait > rest ? wait : rest;
    rest = rest < OAUTH_RETRY_MAX ? rest : OAUTH_RETRY_MAX;
    t->failures += t->failures < 1000;
    t->last = err;
    f->token_retry_at = wall_of(e) + rest;
    f->token_why = why;
    timer_set(&t->timer, loop_now(e->set->loop) + rest);
    return rest;
}

void token_ended(struct entry *e, enum err result)
{
    e->token->on = NULL;
    e->token->fetch = NULL;
    waiters_tell(e, result);
    token_arm(e);
    entry_settle(e);
}

/* ---- asking for a token ---------------------------------------------------------------------- */

/* What can be told at once; ERR_AGAIN: there is a refresh to wait for. */
static enum err token_ask(struct entry *e, bool forced, int64_t seen)
{
    struct token *t = e->token;
    struct account_facts *f = &e->a.facts;
    int64_t now = wall_of(e);
    if (t == NULL || t->grant == GRANT_FIXED)
        return forced ? ERR_DENIED : OK;
    if (f->login_needed || f->token != TOKEN_HELD)
        return ERR_DENIED;
    forced = forced && seen >= e->a.generation;
    f->token_refused = f->token_refused || forced;
    if (!token_is_used_up(f, now) && !is_at(f->token_stale_at, now))
        return OK;
    if (!f->token_refreshable) {
        if (f->token_refused)
            login_needed(e, "unauthorized");
        return token_is_used_up(f, now) ? ERR_DENIED : OK;
    }
    if (t->fetch != NULL || (t->on != NULL && !refresh_waits_for_disk(t->on)))
        return ERR_AGAIN;
    bool resting = t->on != NULL || (t->failures > 0 && timer_armed(&t->timer));
    if (!resting && token_may_refresh(e)) {
        token_start(e);
        return ERR_AGAIN;
    }
    if (!token_is_used_up(f, now))
        return OK;
    return resting ? t->last : ERR_STATE;
}

void account_token_get(struct account_set *set, struct account *a, bool forced, int64_t seen,
                       struct token_wait *w)
{
    struct entry *e = entry_of(a);
    assert(e->set == set && w->done != NULL);
    if (w->link.next == NULL)
        list_init(&w->link);
    assert(list_empty(&w->link)); /* one question at a time */
    w->forced = forced && e->token != NULL && seen >= a->generation;
    enum err r = token_ask(e, forced, seen);
    if (r == ERR_AGAIN)
        list_push(&e->token->waiters, &w->link);
    else
        waiter_tell(set, w, r);
}

int accounts_refreshing(const struct account_set *set)
{
    int n = 0;
    for (int i = 0; i < set->n; i++) {
        const struct token *t = set->entry[i]->token;
        n += t != NULL && t->on != NULL && refresh_is_serious(t->on);
    }
    return n;
}

/* ---- accounts come and go -------------------------------------------------------------------- */

void token_open(struct entry *e)
{
    if (e->token != NULL)
        return;
    e->token = NEW(struct token);
    e->token->auth = AUTH_BEARER;
    list_init(&e->token->waiters);
    timer_init(&e->token->timer, e->set->loop, token_tick, e);
    e->a.facts.token = TOKEN_MISSING;
}

void token_configure(struct entry *e, const struct account_row *row)
{
    char why[256];
    struct token *t = e->token;
    struct account_facts *f = &e->a.facts;
    struct oauth_config fresh;
    if (oauth_config_read(e->a.provider->oauth, slice_of(row->settings), &fresh, why, sizeof why) !=
        OK) {
        /* checked when it was given: only a broken row comes here */
        log_error("account has bad settings", LF_STR("account", e->a.name), LF_STR("why", why));
        fresh = *e->a.provider->oauth;
    }
    bool changed = memcmp(&fresh, &t->config, sizeof fresh) != 0;
    t->config = fresh;
    f->token_refreshable = t->refresh != NULL && fresh.client_id[0] != '\0';
    if (changed)
        token_reset(e);
}

bool token_is_busy(const struct entry *e)
{
    return e->token != NULL && (e->token->on != NULL || e->token->fetch != NULL);
}

void accounts_set_client(struct account_set *set, struct http_client *client)
{
    uint8_t random[16];
    if (client != NULL && set->holder[0] == '\0') {
        crypto_random(random, sizeof random);
        text_hex(set->holder, random, sizeof random);
    }
    if (client == NULL)
        polls_end(set);
    set->client = client;
    if (client != NULL)
        polls_begin(set);
    for (int i = set->n - 1; i >= 0; i--) { /* backwards: the last refresh may be the last hold */
        struct entry *e = set->entry[i];
        if (e->token == NULL)
            continue;
        if (client == NULL && token_is_busy(e)) {
            if (e->token->on != NULL)
                refresh_abandon(e->token->on);
            else
                fetch_abandon(e->token->fetch);
            waiters_tell(e, ERR_CANCELED);
        }
        token_arm(e);
        entry_settle(e);
    }
    if (client == NULL && set->worker != NULL) {
        worker_free(set->worker);
        set->worker = NULL;
    }
}

void token_free(struct entry *e)
{
    struct token *t = e->token;
    if (t == NULL)
        return;
    assert(t->on == NULL && t->fetch == NULL && list_empty(&t->waiters));
    timer_stop(&t->timer);
    secrets_free(t->refresh);
    mem_free(t);
    e->token = NULL;
}

void tokens_open(struct account_set *set)
{
    list_init(&set->told);
    list_init(&set->calling);
    task_init(&set->task, waiters_call, set);
}

void tokens_free(struct account_set *set)
{
    if (set->client != NULL)
        accounts_set_client(set, NULL);
    task_cancel(&set->task);
    while (!list_empty(&set->told))
        list_remove(set->told.next);
    assert(list_empty(&set->calling));
}
