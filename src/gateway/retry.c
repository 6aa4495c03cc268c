/* Retries: how many may be under way, so that a provider that breaks down is not asked twice for
 * everything it could not answer once.
 *
 * A move is free when the account is the reason: a limit, a spent window, a refused credential. It
 * is a retry when a server failed: then another one may be failing with it, and a tenth of the
 * exchanges (at least three) may find that out at a time. The rest stand in line; they are not
 * refused. As soon as an account has served, everybody may go there, for it is healthy; when the
 * retries fail as well, the accounts rest, and those in line have nowhere to go. Whoever has waited
 * as long as he may goes to an account of which nothing bad is known, budget or not: one account's
 * outage never becomes a client's error while another can serve. */
#include "gateway/exchange.h"

#include <string.h>

#define RETRIES_MIN  3
#define RETRIES_PART 10    /* one of so many exchanges */
#define HEALTH_MS    10000 /* so long is a sign of life, or of trouble, believed */

/* ---- what accounts have shown ---------------------------------------------------------------- */

static struct health *health_of(struct gateway *g, const struct account *a)
{
    struct health *h = &g->health[(uint64_t)a->id % HEALTH_SLOTS];
    if (h->id != a->id)
        *h = (struct health){.id = a->id, .good_at = INT64_MIN, .bad_at = INT64_MIN};
    return h;
}

static bool is_recent(int64_t at, int64_t now)
{
    return at != INT64_MIN && now - at <= HEALTH_MS;
}

static bool account_is_good(struct gateway *g, const struct account *a)
{
    const struct health *h = health_of(g, a);
    return h->good_at > h->bad_at && is_recent(h->good_at, loop_now(g->p.loop));
}

static bool account_is_bad(struct gateway *g, const struct account *a)
{
    const struct health *h = health_of(g, a);
    return h->bad_at >= h->good_at && is_recent(h->bad_at, loop_now(g->p.loop));
}

bool retry_is_due_to(const struct limit_verdict *v)
{
    return v->verdict == VERDICT_NEXT && (v->failure || strcmp(v->reason, "overloaded") == 0);
}

void retry_learn(struct exchange *x, const struct limit_verdict *v)
{
    struct health *h = health_of(x->g, x->attempt.account);
    int64_t now = loop_now(x->g->p.loop);
    if (v->verdict != VERDICT_NEXT)
        h->good_at = now;
    else if (retry_is_due_to(v))
        h->bad_at = now;
}

/* ---- the budget ------------------------------------------------------------------------------ */

static int64_t retries_max(const struct gateway *g)
{
    int64_t part = g->stats.active / RETRIES_PART;
    return part > RETRIES_MIN ? part : RETRIES_MIN;
}

static bool has_waited(const struct exchange *x)
{
    if (x->g->config->queue_timeout == 0) /* nobody may */
        return true;
    return x->plan->wait_until != 0 && loop_now(x->g->p.loop) >= x->plan->wait_until;
}

bool retry_may(const struct exchange *x, const struct account *a)
{
    if (!x->retrying || account_is_good(x->g, a) || x->g->retries < retries_max(x->g))
        return true;
    return has_waited(x) && !account_is_bad(x->g, a);
}

void retry_take(struct exchange *x, const struct account *a)
{
    assert(!x->retry_held);
    if (!x->retrying || account_is_good(x->g, a))
        return;
    x->retry_held = true;
    x->g->retries++;
}

void retry_look(struct gateway *g)
{
    if (g->retries < retries_max(g))
        line_look_retry(g);
}

void retry_give(struct exchange *x)
{
    if (!x->retry_held)
        return;
    x->retry_held = false;
    assert(x->g->retries > 0);
    x->g->retries--;
    retry_look(x->g);
}
