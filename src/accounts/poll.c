/* Asking a provider how full an account's windows are, when no reply has told it lately.
 *
 * Every reply tells it for nothing, so this is for the rest: an account whose owner uses it
 * elsewhere too, and one that rests until its window's reset and may be open again before. The
 * endpoint is itself limited, by address more than by account, and harshly: one question at a time
 * over the whole set, each account at most every five minutes, and none whose answer could change
 * no choice. What goes wrong here says nothing about the account. */
#include "accounts/inside.h"

#include <string.h>

#include "sluice/sluice.h"

#define SECOND     INT64_C(1000)
#define MINUTE     (60 * SECOND)
#define EVERY_MS   (5 * MINUTE)
#define SPREAD_MS  MINUTE        /* up to so much later, each account its own */
#define LAPSE_MS   (15 * MINUTE) /* not used for so long: nobody waits for news */
#define REST_MAX   (60 * MINUTE) /* after failures, or as the endpoint asks */
#define FIRST_MS   MINUTE        /* after an account has come: its first replies will tell */
#define LOOK_MS    (20 * SECOND)
#define IDLE_MS    (5 * MINUTE) /* between looks while no account can be asked about */
#define ANSWER_MS  (15 * SECOND)
#define ANSWER_MAX 65536

struct poll {
    struct account_set *set;
    struct timer timer; /* the next look, or the deadline of the question under way */
    struct http_request *request;
    int64_t account, generation; /* of the one that is asked about */
    int status;
    int64_t wait; /* that the endpoint asks for, ms */
    bool overlong;
    struct buf answer;
};

/* ---- whom to ask about ----------------------------------------------------------------------- */

static bool has_usage(const struct entry *e)
{
    const struct provider *p = e->a.provider;
    if (p->usage == USAGE_NONE || e->a.doors == 0 || e->secret == NULL)
        return p->usage == USAGE_ANTHROPIC && e->token != NULL;
    /* An address of its own may be anybody's: the credential goes to no other one then. */
    return e->token != NULL || e->a.own_url[0] == '\0' || p->usage_url[0] == '/';
}

static bool is_comparable(const struct account *a, const struct account *b)
{
    const struct account_policy *p = &a->facts.policy;
    if (a == b || b->facts.leaving || b->facts.paused)
        return false;
    if (p->groups == 0)
        return account_policy_in(&b->facts.policy, GROUP_DEFAULT);
    for (int i = 0; i < p->groups; i++) {
        if (account_policy_in(&b->facts.policy, p->group[i]))
            return true;
    }
    return false;
}

/* Somebody chooses between this account and another one, or a person's rule asks for its use. */
static bool use_matters(const struct account_set *set, const struct account *a)
{
    const struct account_policy *p = &a->facts.policy;
    if (p->pause_at > 0 || p->pause_on_overage)
        return true;
    for (int i = 0; i < set->n; i++) {
        if (is_comparable(a, &set->entry[i]->a))
            return true;
    }
    return false;
}

static int64_t windows_seen_at(const struct account_facts *f)
{
    int64_t at = 0;
    for (int k = 0; k <= WINDOW_OVERAGE; k++) {
        const struct window *w = &f->window[k];
        at = w->known && w->seen_at > at ? w->seen_at : at;
    }
    return at;
}

/* What the provider has ordered lasts longer than it takes to ask whether it still holds: for the
 * account, or for a family of models. */
static bool rest_is_long(const struct account_facts *f, const struct account_status *s,
                         int64_t wall)
{
    if (s->state == ACCOUNT_SPENT)
        return true;
    if (s->state == ACCOUNT_COOLING)
        return strcmp(s->reason, "rate_limited") == 0 && s->until - wall > EVERY_MS;
    for (int i = 0; i < ACCOUNT_FAMILIES; i++) {
        if (f->family[i].until - wall > EVERY_MS)
            return true;
    }
    return false;
}

static bool poll_is_due(const struct account_set *set, const struct entry *e, int64_t now,
                        int64_t wall)
{
    const struct account *a = &e->a;
    const struct account_facts *f = &a->facts;
    const struct poll_state *p = &e->poll;
    bool rotates = e->token != NULL;
    if (!has_usage(e) || (rotates && e->token->on != NULL) || now < p->next_at ||
        (rotates && p->barred == a->generation))
        return false;
    struct account_status s = account_status(f, wall);
    bool rests = rest_is_long(f, &s, wall);
    if (!rests && s.state != ACCOUNT_READY && s.state != ACCOUNT_FULL)
        return false;
    if (rotates && f->token != TOKEN_HELD)
        return false;
    if (f->token_refused || (f->token_expires_at != 0 && f->token_expires_at <= wall))
        return false; /* a spent account's token may have run out unseen: nobody refreshes it */
    bool used = p->used_at != 0 && now - p->used_at < LAPSE_MS;
    int64_t seen = wall - windows_seen_at(f);
    bool fresh = seen >= 0 && seen < EVERY_MS;
    return !fresh && (rests || (used && use_matters(set, a)));
}

static int64_t spread_of(const struct entry *e, int64_t now)
{
    uint64_t h = ((uint64_t)e->a.id * 0x9e3779b97f4a7c15ULL) ^ (uint64_t)now;
    h = (h ^ (h >> 31)) * 0xbf58476d1ce4e5b9ULL;
    return (int64_t)((h >> 33) % (uint64_t)SPREAD_MS);
}

/* The one that has waited longest. */
static struct entry *poll_pick(struct account_set *set, int64_t now, int64_t wall)
{
    struct entry *best = NULL;
    for (int i = 0; i < set->n; i++) {
        struct entry *e = set->entry[i];
        if (e->poll.next_at == 0)
            e->poll.next_at = now + FIRST_MS + spread_of(e, now);
        if (poll_is_due(set, e, now, wall) &&
            (best == NULL || e->poll.next_at < best->poll.next_at))
            best = e;
    }
    return best;
}

/* ---- one question ---------------------------------------------------------------------------- */

static void poll_look(struct poll *p)
{
    int64_t in = IDLE_MS;
    for (int i = 0; i < p->set->n; i++) {
        if (has_usage(p->set->entry[i]))
            in = LOOK_MS;
    }
    timer_set(&p->timer, loop_now(p->set->loop) + in);
}

/* What the next question has to wait for. */
static void poll_rest(struct entry *e, int64_t wait)
{
    int64_t now = loop_now(e->set->loop), rest = EVERY_MS;
    for (int32_t i = 1; i < e->poll.failures && rest < REST_MAX; i++)
        rest *= 2;
    rest = wait > rest ? wait : rest;
    rest = rest < REST_MAX ? rest : REST_MAX;
    e->poll.next_at = now + rest + spread_of(e, now);
}

/* A rest without a window, by a 429 that told a time only, ends when all windows are told to be
 * open. Should there be another reason for it, the next 429 says so. */
static void rest_end(struct account_set *set, struct account *a,
                     const struct window seen[WINDOW_KINDS], int64_t wall)
{
    struct account_facts *f = &a->facts;
    for (int k = WINDOW_5H; k <= WINDOW_7D; k++) {
        if (!seen[k].known || seen[k].closed || seen[k].used >= 1)
            return;
    }
    if (f->login_needed || f->cool_until <= wall || strcmp(f->cool_reason, "rate_limited") != 0 ||
        wall - f->seen_at <= MINUTE)
        return;
    f->cool_until = 0;
    f->cool_reason[0] = '\0';
    f->seen_at = wall;
    facts_store(set, a);
    log_info("a rest is over before its time", LF_STR("account", a->name));
}

/* The tightest window of all families is not always that of one that rests. */
static void families_learn(struct account_set *set, struct account *a, struct slice body,
                           int64_t wall)
{
    for (int i = 0; i < ACCOUNT_FAMILIES; i++) {
        struct window seen[WINDOW_KINDS] = {0};
        struct family_rest r = a->facts.family[i];
        if (r.until <= wall || !windows_read_usage_of(body, r.family, wall, &seen[WINDOW_7D_MODEL]))
            continue;
        windows_take(set, a, seen, wall);
        if (!seen[WINDOW_7D_MODEL].closed)
            families_open(&a->facts, &seen[WINDOW_7D_MODEL]);
    }
}

static void usage_take(struct account_set *set, struct account *a,
                       const struct window seen[WINDOW_KINDS], struct slice body, int64_t wall)
{
    if (a->provider->usage == USAGE_ANTHROPIC)
        families_learn(set, a, body, wall);
    windows_take(set, a, seen, wall);
    rest_end(set, a, seen, wall);
}

static void usage_learn(struct account_set *set, struct account *a, struct slice body)
{
    struct window seen[WINDOW_KINDS] = {0};
    struct account *b;
    int at = 0;
    int64_t wall = loop_wall(set->loop);
    accounts_clock(set);
    if (usage_windows_read(a->provider->usage, body, wall, seen) == 0) {
        log_info("a usage answer tells nothing", LF_STR("account", a->name));
        return;
    }
    log_debug("usage polled", LF_STR("account", a->name));
    usage_take(set, a, seen, body, wall);
    while ((b = quota_next(set, a, &at)) != NULL)
        usage_take(set, b, seen, body, wall);
}

static void poll_judge(struct poll *p, struct entry *e)
{
    bool good = p->status == 200 && !p->overlong;
    e->poll.failures = good ? 0 : e->poll.failures + (e->poll.failures < 1000);
    poll_rest(e, p->wait);
    if (good) {
        usage_learn(p->set, &e->a, buf_slice(&p->answer));
        return;
    }
    if (p->status == 403) /* its scope lacks the profile, and will until another login */
        e->poll.barred = p->generation;
    log_info("usage not told", LF_STR("account", e->a.name), LF_INT("status", p->status),
             LF_INT("retry_ms", e->poll.next_at - loop_now(p->set->loop)));
}

/* The question is over; the account may be gone, or another's by now. */
static void poll_over(struct poll *p)
{
    struct account *a = accounts_by_id(p->set, p->account);
    p->request = NULL;
    if (a != NULL && !a->facts.leaving && a->generation == p->generation)
        poll_judge(p, entry_of(a));
    buf_free(&p->answer);
    poll_look(p);
}

static void on_head(void *owner, const struct http_head *head)
{
    struct poll *p = owner;
    int64_t wait = 0;
    p->status = head->status;
    if (limits_retry_after(head, loop_wall(p->set->loop), &wait))
        p->wait = wait;
}

static void on_body(void *owner, struct slice bytes)
{
    struct poll *p = owner;
    p->overlong = p->overlong || buf_append(&p->answer, bytes.p, bytes.n) != OK;
}

static void on_end(void *owner)
{
    poll_over(owner);
}

static void on_fail(void *owner, enum err err, const char *why)
{
    struct poll *p = owner;
    log_debug("usage not asked", LF_STR("err", err_name(err)), LF_STR("why", why));
    p->status = 0;
    poll_over(p);
}

/* Where it is asked: behind the first door's base, or at an address of its own. */
static enum err poll_target(const struct account *a, struct http_target *t, char *path, size_t size)
{
    const char *url = a->provider->usage_url, *why = "";
    const struct account_door *d = &a->door[0];
    struct slice prefix = d->prefix, rest = slice_of(url);
    *t = d->target;
    if (url[0] != '/') {
        enum err e = http_url_parse(rest, t, &prefix, &why);
        if (e != OK)
            return e;
        t->pool = d->target.pool;
        t->allow_private = false;
        rest = S("");
    }
    text_format(path, size, "%.*s%.*s", (int)prefix.n, prefix.p, (int)rest.n, rest.p);
    return OK;
}

static void poll_send(struct poll *p, struct account *a)
{
    static const struct http_request_ops ops = {
        .on_head = on_head, .on_body = on_body, .on_end = on_end, .on_fail = on_fail};
    char path[STORE_URL_MAX + 128], memory[ACCOUNT_SIGN_MEMORY];
    struct http_target to;
    struct http_header h[ACCOUNT_SIGN_HEADERS + 4];
    int n = 0;
    bool bearer = a->provider->usage == USAGE_MINIMAX;
    enum err e = poll_target(a, &to, path, sizeof path);
    const struct sign_request r = {.auth = bearer ? AUTH_BEARER : a->provider->door[0].auth,
                                   .method = S("GET"),
                                   .to = &to,
                                   .path = slice_of(path),
                                   .query = S(""),
                                   .body = S("")};
    if (e == OK)
        e = account_sign(a, &r, loop_wall(p->set->loop), h, &n, memory, sizeof memory);
    if (e != OK) {
        on_fail(p, e, "no credential");
        return;
    }
    h[n++] = (struct http_header){S("accept"), S("application/json")};
    h[n++] = (struct http_header){S("accept-encoding"), S("identity")};
    h[n++] = (struct http_header){S("user-agent"), S("sluice/" SLUICE_VERSION)};
    if (a->provider->beta[0] != '\0')
        h[n++] = (struct http_header){S("anthropic-beta"), slice_of(a->provider->beta)};
    timer_set(&p->timer, loop_now(p->set->loop) + ANSWER_MS);
    p->request = http_request_start(p->set->client, &to, HTTP_GET, slice_of(path), h, n, S(""),
                                    &ops, p);
}

static void poll_ask(struct poll *p, struct entry *e)
{
    p->account = e->a.id;
    p->generation = e->a.generation;
    p->status = 0;
    p->wait = 0;
    p->overlong = false;
    buf_init(&p->answer, ANSWER_MAX);
    poll_send(p, &e->a);
}

/* ---- one timer for the set ------------------------------------------------------------------- */

static void poll_tick(void *arg)
{
    struct poll *p = arg;
    struct account_set *set = p->set;
    if (p->request != NULL) {
        http_request_abort(p->request);
        p->status = 0;
        poll_over(p);
        return;
    }
    struct entry *e = poll_pick(set, loop_now(set->loop), loop_wall(set->loop));
    if (e != NULL)
        poll_ask(p, e);
    else
        poll_look(p);
}

void polls_begin(struct account_set *set)
{
    if (set->poll != NULL)
        return;
    assert(set->client != NULL);
    struct poll *p = NEW(struct poll);
    p->set = set;
    set->poll = p;
    timer_init(&p->timer, set->loop, poll_tick, p);
    poll_look(p);
}

void polls_end(struct account_set *set)
{
    struct poll *p = set->poll;
    if (p == NULL)
        return;
    if (p->request != NULL)
        http_request_abort(p->request);
    timer_stop(&p->timer);
    buf_free(&p->answer);
    mem_free(p);
    set->poll = NULL;
}
