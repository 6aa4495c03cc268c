/* Choosing: which account is asked next, who stands in line instead, and what is said when nobody
 * can serve. The order of accounts is the accounts room's; here it meets the others who want the
 * same. */
#include "gateway/exchange.h"

#include <string.h>

#define WARM_MS    (INT64_C(15) * 1000) /* for the account where the cache is warm; no longer */
#define WARM_TRIES 2                    /* ... that have failed: then the cache is worth no more */

static bool exchange_may_try(const struct exchange *x)
{
    return x->record.attempts < x->g->config->max_attempts && x->plan->tried_n < EXCHANGE_TRIED_MAX;
}

struct account_wish exchange_wish(const struct exchange *x)
{
    return (struct account_wish){.group = x->group[0] != '\0' ? x->group : NULL,
                                 .model = x->plan->facts.model,
                                 .conversation = x->conversation,
                                 .parent = x->parent,
                                 .dice = x->plan->dice,
                                 .dialect = x->route.front.dialect,
                                 .call = x->route.front.call,
                                 .pinned = x->pinned != 0 ? x->pinned : x->plan->forced,
                                 .tried = x->plan->tried,
                                 .tried_n = x->plan->tried_n};
}

static void exchange_choose(struct exchange *x, struct account_choice *c)
{
    struct account_wish w = exchange_wish(x);
    accounts_choose(x->g->p.accounts, &w, loop_wall(x->g->p.loop), c);
    static_assert(sizeof x->plan->group == sizeof c->group, "copied whole");
    memcpy(x->plan->group, c->group, sizeof c->group);
}

/* ---- standing in line ------------------------------------------------------------------------ */

/* What keeps an exchange from the accounts that could serve it. */
struct hindrance {
    bool slot, retry;
};

/* The place in c->ready of the account to ask now; -1: none, `h` says why not. */
static int choice_pick(const struct exchange *x, const struct account_choice *c,
                       struct hindrance *h)
{
    *h = (struct hindrance){false, false};
    for (int i = 0; i < c->n; i++) {
        /* a rest of our own must not be all that a client hears of; who has failed knows better */
        if (c->why[i] == WHY_RESCUE && x->retrying)
            continue;
        if (!line_has_room(x, c->ready[i]))
            h->slot = true;
        else if (!retry_may(x, c->ready[i]))
            h->retry = true;
        else
            return i;
    }
    return -1;
}

static void wait_begin(struct exchange *x, int64_t at)
{
    assert(at > loop_now(x->g->p.loop));
    exchange_move(x, X_WAIT);
    line_join(x);
    timer_set(&x->timer, at);
}

static int64_t wait_limit(struct exchange *x)
{
    int64_t now = loop_now(x->g->p.loop);
    if (x->plan->wait_until == 0) {
        x->plan->wait_until = now + x->g->config->queue_timeout;
        x->plan->warm_until = now + WARM_MS;
    }
    return x->plan->wait_until;
}

/* A warm cache is worth one more try, but not the last one: that is for somebody else. */
static bool warm_is_worth_it(const struct exchange *x)
{
    int tries = x->record.attempts;
    return tries == 0 || (tries < WARM_TRIES && tries + 2 <= x->g->config->max_attempts);
}

/* The prompt cache is warm on an account that is full, or rests for a moment: to wait for it is
 * cheaper than to begin anew elsewhere. */
static bool exchange_waits_warm(struct exchange *x, const struct account_choice *c)
{
    struct loop *l = x->g->p.loop;
    const struct account *a = c->worth_waiting;
    int64_t now = loop_now(l), until = wait_limit(x);
    if (until > x->plan->warm_until)
        until = x->plan->warm_until;
    if (now >= until || !exchange_may_try(x) || !warm_is_worth_it(x))
        return false;
    int64_t in = a != NULL ? c->worth_until - loop_wall(l) : until - now;
    if (in < 0)
        in = 0;
    x->plan->tried_n = 0; /* it may be the one that has just said: not now */
    x->plan->waits_for = a != NULL ? a->id : c->ready[0]->id;
    x->for_slot = true;
    x->for_retry = false;
    wait_begin(x, now + in + 1 < until ? now + in + 1 : until);
    return true;
}

/* None can be asked now, but one may soon: stand in line until then. False when it is not worth it.
 */
static bool exchange_waits(struct exchange *x, const struct account_choice *c,
                           const struct hindrance *h)
{
    struct loop *l = x->g->p.loop;
    int64_t now = loop_now(l), until = wait_limit(x), in = 0;
    bool rested = false;
    if (now >= until || !exchange_may_try(x))
        return false;
    if (c->soonest != 0) {
        in = c->soonest - loop_wall(l);
        in = in > 0 ? in : 0;
        rested = now + in + 1 <= until;
    }
    bool slot = h->slot || c->full > 0;
    if (!rested && !slot && !h->retry)
        return false;
    if (rested)
        until = now + in + 1;
    if (!slot && !h->retry)
        x->plan->tried_n = 0; /* who failed before the wait may do better after it */
    x->plan->waits_for = 0;
    x->for_slot = slot;
    x->for_retry = h->retry;
    wait_begin(x, until);
    return true;
}

/* ---- the reason, for the record -------------------------------------------------------------- */

struct words {
    char *text;
    size_t size, n;
    bool full; /* one did not fit: nothing behind it may stand in its place */
};

static void words_add(struct words *w, const char *name, const char *word)
{
    size_t space = w->n > 0, a = strlen(name), colon = a > 0, b = strlen(word);
    w->full = w->full || w->n + space + a + colon + b >= w->size;
    if (w->full)
        return;
    char *p = w->text + w->n;
    if (space)
        *p++ = ' ';
    memcpy(p, name, a);
    p += a;
    if (colon)
        *p++ = ':';
    memcpy(p, word, b + 1);
    w->n += space + a + colon + b;
    assert(w->n < w->size && w->text[w->n] == '\0');
}

/* Those who could not serve are told of by their state; with all ready there are none. */
static void words_add_others(struct words *w, struct exchange *x, const struct account_choice *c)
{
    struct account_explained all[ACCOUNTS_MAX];
    struct account_wish wish = exchange_wish(x);
    int n = accounts_explain(x->g->p.accounts, &wish, loop_wall(x->g->p.loop), all);
    for (int i = 0; i < n && !w->full; i++) {
        bool listed = false;
        for (int k = 0; k < c->n; k++)
            listed = listed || c->ready[k] == all[i].account;
        if (!listed && all[i].why != WHY_GROUP)
            words_add(w, all[i].account->name,
                      all[i].why == WHY_STATE ? account_state_name(all[i].status.state)
                                              : why_name(all[i].why));
    }
}

static void note_why(struct exchange *x, const struct account_choice *c, int chosen)
{
    struct slice first = slice_of(chosen >= 0 ? why_name(c->why[chosen]) : "none");
    struct words w = {.text = x->plan->why, .size = sizeof x->plan->why, .n = first.n};
    text_copy(w.text, w.size, first);
    for (int i = 0; i < c->n; i++)
        if (i != chosen)
            words_add(&w, c->ready[i]->name, why_name(i < chosen ? WHY_BEHIND : c->why[i]));
    if (c->n < c->considered)
        words_add_others(&w, x, c);
}

/* ---- the choice ------------------------------------------------------------------------------ */

static void exchange_take(struct exchange *x, struct account *a)
{
    x->plan->tried[x->plan->tried_n++] = a->id;
    x->plan->waits_for = 0;
    retry_take(x, a);
    attempt_start(x, a);
}

/* Warm, and free, but others were in line for it before. */
static bool warm_is_taken(const struct exchange *x, const struct account_choice *c)
{
    return c->n > 0 && c->why[0] == WHY_WARM && !line_has_room(x, c->ready[0]);
}

void exchange_admit(struct exchange *x)
{
    struct account_choice c FILLED_LATER;
    struct hindrance h;
    assert(x->attempt.account == NULL && x->fan == NULL && !x->called);
    if (x->state != X_ADMIT)
        exchange_move(x, X_ADMIT);
    exchange_choose(x, &c);
    if ((c.worth_waiting != NULL || warm_is_taken(x, &c)) && exchange_waits_warm(x, &c))
        return;
    int i = choice_pick(x, &c, &h);
    if (i >= 0 && exchange_may_try(x)) {
        note_why(x, &c, i);
        exchange_take(x, c.ready[i]);
    } else if (!exchange_waits(x, &c, &h)) {
        exchange_fail(x);
    }
}

void exchange_look(struct exchange *x)
{
    struct gateway *g = x->g;
    bool called = x->called;
    int64_t account = x->called_for;
    line_answer(x);
    exchange_admit(x); /* whatever becomes of x, its memory stays for this turn */
    if (!called)
        return;
    if (account != 0)
        line_pass_on(x, account);
    else
        retry_look(g);
}

/* Batches and files are made once: a second account would make, and bill, a second one. */
static bool exchange_makes(const struct exchange *x)
{
    return (x->route.kind == ROUTE_BATCHES || x->route.kind == ROUTE_FILES ||
            x->route.kind == ROUTE_JOBS) &&
           http_call_head(x->call)->method == HTTP_POST;
}

void exchange_learn(struct exchange *x, const struct limit_verdict *v, enum reply_error in_stream)
{
    const struct attempt *a = &x->attempt;
    struct reply_facts r = {
        .status = a->status, .head = a->head, .in_stream = in_stream, .model = x->model};
    if (a->door != NULL && x->crossing.model[0] != '\0')
        r.model = x->crossing.model;
    if (a->door != NULL)
        r.dialect = a->door->of->dialect;
    bool rested = a->account->facts.probe_at != 0;
    accounts_learn(x->g->p.accounts, a->account, v, &r, loop_wall(x->g->p.loop));
    retry_learn(x, v);
    if (v->verdict != VERDICT_NEXT && !list_empty(&x->g->line))
        line_serves(x->g, a->account, rested);
    retry_give(x);
}

void exchange_next(struct exchange *x, const struct limit_verdict *v, const char *reason,
                   enum err failure)
{
    assert(!x->relay.committed);
    assert(x->attempt.account != NULL);
    exchange_learn(x, v, REPLY_ERROR_NONE);
    exchange_note_attempt(x, reason);
    log_info("attempt failed", LF_STR("req", x->record.id),
             LF_STR("account", x->attempt.account->name), LF_STR("reason", reason),
             LF_INT("status", x->attempt.status));
    x->plan->last = *v;
    x->plan->last.reason = reason;
    x->plan->last_failure = failure;
    x->retrying = retry_is_due_to(v);
    bool maybe_made = x->state != X_ADMIT && x->state != X_DIAL && x->state != X_TOKEN &&
                      failure != OK && exchange_makes(x);
    attempt_drop(x);
    if (maybe_made) {
        x->g->stats.failed++;
        answer_error(x, 502,
                     "sluice: the provider was lost after it had been asked to make this; it may "
                     "have done so, look before asking again.",
                     -1, false, "upstream_error");
        return;
    }
    x->g->stats.failovers++;
    exchange_admit(x);
}

/* ---- nobody can ------------------------------------------------------------------------------ */

/* Whole seconds, upwards, at least 1. */
static int64_t seconds_until(const struct exchange *x, int64_t wall_ms)
{
    int64_t ms = wall_ms - loop_wall(x->g->p.loop);
    return ms <= 0 ? 1 : (ms + 999) / 1000;
}

static void fail_cooling(struct exchange *x, const struct account_choice *c)
{
    char text[256];
    int64_t wait = seconds_until(x, c->soonest);
    bool busy = c->cooling_for == REPLY_ERROR_OVERLOADED || c->cooling_for == REPLY_ERROR_SERVER;
    text_format(text, sizeof text,
                "sluice: %s; the first of %d account%s can serve again in %" PRId64 " s.",
                busy ? "the provider is overloaded or failing" : "every account is rate limited",
                c->considered, c->considered == 1 ? "" : "s", wait);
    /* Claude Code waits up to 60 s and gives up at once beyond; the SDKs would sleep for all of it
     * (clients.md, fact 5) */
    answer_error(x, busy ? 529 : 429, text, wait, wait <= 60, busy ? "overloaded" : "rate_limited");
}

static void fail_full(struct exchange *x, const struct account_choice *c)
{
    char text[256];
    text_format(text, sizeof text,
                "sluice: %d of %d account%s serve as many requests at once as they may, and none "
                "became free in time.",
                c->full + c->n, c->considered, c->considered == 1 ? "" : "s");
    answer_error(x, 429, text, 5, true, "full");
}

/* The last attempt's failure, in the words of the field. */
static void fail_last(struct exchange *x)
{
    char text[256];
    const char *why = x->plan->last.reason;
    text_format(text, sizeof text, "sluice: no account could serve this request (last: %s).", why);
    if (strcmp(why, "overloaded") == 0)
        answer_error(x, 529, text, 5, true, "overloaded");
    else if (strcmp(why, "rate_limited") == 0 || strcmp(why, "throttled") == 0)
        answer_error(x, 429, text, 5, true, "rate_limited");
    else if (x->plan->last_failure == ERR_TIMEOUT)
        answer_error(x, 504, text, -1, true, "timeout");
    else if (x->plan->last_failure == ERR_BUSY || x->plan->last_failure == ERR_NOMEM)
        answer_error(x, 503, "sluice: out of a resource this request needs; try again.", 5, true,
                     "overloaded");
    else if (x->plan->last.login_needed || strcmp(why, "login_needed") == 0)
        answer_error(x, 503, text, -1, false, "no_account");
    else
        answer_error(x, 502, text, -1, true, "upstream_error");
}

/* Nothing was tried, and nothing will come of waiting. */
static void fail_none(struct exchange *x, const struct account_choice *c)
{
    char text[256];
    const char *group = x->group;
    if (x->pinned == 0 && x->plan->forced != 0)
        text_format(text, sizeof text,
                    "sluice: the account that this request asks for cannot serve it now; see "
                    "`sluice account list`.");
    else if (x->pinned != 0 && c->considered == 0)
        text_format(text, sizeof text, "sluice: the account that holds this object was removed.");
    else if (x->pinned != 0)
        text_format(text, sizeof text,
                    "sluice: the account that holds this object cannot serve now; see "
                    "`sluice account list`.");
    else if (accounts_count(x->g->p.accounts) == 0)
        text_format(text, sizeof text,
                    "sluice: no account is configured; add one with `sluice account add`.");
    else if (c->cooling + c->login + c->paused + c->full + c->n == 0)
        text_format(text, sizeof text, "sluice: no account is in the group %s.",
                    group[0] != '\0' ? group : GROUP_DEFAULT);
    else
        text_format(text, sizeof text,
                    "sluice: every account is paused or needs attention; see "
                    "`sluice account list`.");
    answer_error(x, 503, text, -1, false, "no_account");
}

/* There are accounts, but none for such a request. True when that is the answer. */
static bool fail_unfit(struct exchange *x, const struct account_choice *c)
{
    char text[320];
    if (x->record.attempts > 0 || c->n + c->full + c->cooling + c->paused + c->login > 0)
        return false;
    if (x->plan->unsaid != NULL) {
        text_format(text, sizeof text, "sluice: no account serves this request as it is: %s.",
                    x->plan->unsaid);
        answer_error(x, 400, text, -1, false, "refused");
    } else if (c->no_model > 0) {
        text_format(text, sizeof text,
                    "sluice: no account has the model \"%s\"; see `sluice account list`.",
                    x->plan->facts.model);
        answer_error(x, 404, text, -1, false, "refused");
    } else if (c->no_dialect > 0) {
        answer_error(x, 404, "sluice: no account offers this call.", -1, false, "refused");
    } else {
        return false;
    }
    return true;
}

void exchange_fail(struct exchange *x)
{
    struct account_choice c FILLED_LATER;
    if (x->route.kind == ROUTE_COUNT && !crossing_may_count(x)) {
        estimate_answer(x); /* nobody need be ready for that */
        return;
    }
    if (x->plan->unsaid == NULL)
        x->plan->tried_n = 0; /* to see when the first one comes back, whoever it is */
    exchange_choose(x, &c);
    if (x->record.attempts == 0)
        note_why(x, &c, -1);
    x->g->stats.failed++;
    if (fail_unfit(x, &c))
        return;
    /* one that is ready all the same: its slot is kept for somebody who came before */
    if (c.n == 0 ? c.full > 0 : x->record.attempts == 0)
        fail_full(x, &c);
    else if (c.n == 0 && c.soonest != 0)
        fail_cooling(x, &c);
    else if (x->record.attempts > 0)
        fail_last(x);
    else
        fail_none(x, &c);
}
