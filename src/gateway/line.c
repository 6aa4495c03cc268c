/* The line: exchanges in X_WAIT, in the order in which they came.
 *
 * Each has its own deadline and looks again by itself when something is due. What cannot be known
 * beforehand wakes them from here: a slot of an account that is limited has come free, a retry is
 * over, an account has shown that it serves. Then no more are called than there is room for, the
 * first in line first. A called one looks in the next turn; what it was called for is kept for it
 * until then, so that nobody who comes later gets in between.
 *
 *    [first] [second] [third] ... <- joins at the end; keeps its place while it looks
 *       '- called: its slot counts as taken, its timer is due now */
#include "gateway/exchange.h"

#include <limits.h>
#include <string.h>

/* True when `a` is one that x may have, as far as can be told without choosing. */
static bool line_fits(const struct exchange *x, const struct account *a)
{
    if (x->pinned != 0)
        return x->pinned == a->id;
    if (x->plan->waits_for != 0 && x->plan->waits_for != a->id)
        return false;
    return x->record.group[0] == '\0' || account_policy_in(&a->facts.policy, x->record.group);
}

static struct exchange *line_at(struct link *l)
{
    return CONTAINER(l, struct exchange, line);
}

static void line_call(struct exchange *x, int64_t account)
{
    assert(x->state == X_WAIT && !x->called);
    x->called = true;
    x->called_for = account;
    x->g->called += account != 0;
    timer_set(&x->timer, loop_now(x->g->p.loop));
}

/* Slots of `a` that are kept for those who are called. */
static int line_kept(const struct gateway *g, const struct account *a)
{
    int n = 0, left = g->called;
    for (struct link *l = g->line.next; left > 0 && l != &g->line; l = l->next) {
        const struct exchange *x = line_at(l);
        left -= x->called && x->called_for != 0;
        n += x->called && x->called_for == a->id;
    }
    return n;
}

static int line_room(const struct gateway *g, const struct account *a)
{
    int limit = a->facts.policy.concurrency;
    if (limit <= 0)
        return INT_MAX;
    return limit - a->facts.in_flight - line_kept(g, a);
}

bool line_has_room(const struct exchange *x, const struct account *a)
{
    return x->g->called == 0 || line_room(x->g, a) > 0;
}

/* Calls those behind `from` for whom `a` has room. */
static void line_look_from(struct gateway *g, const struct account *a, struct link *from)
{
    if (from == &g->line || a->facts.policy.concurrency <= 0)
        return;
    int room = line_room(g, a);
    for (struct link *l = from; room > 0 && l != &g->line; l = l->next) {
        struct exchange *x = line_at(l);
        if (x->state == X_WAIT && !x->called && x->for_slot && line_fits(x, a)) {
            line_call(x, a->id);
            room--;
        }
    }
}

void line_look(struct gateway *g, const struct account *a)
{
    line_look_from(g, a, g->line.next);
}

void line_look_retry(struct gateway *g)
{
    for (struct link *l = g->line.next; l != &g->line; l = l->next) {
        struct exchange *x = line_at(l);
        if (x->state == X_WAIT && !x->called && x->for_retry) {
            line_call(x, 0);
            return;
        }
    }
}

/* `a` serves: who was kept from trying it need not fear to make things worse. Whoever it has no
 * room for will see that when he looks. */
void line_serves(struct gateway *g, const struct account *a, bool after_rest)
{
    for (struct link *l = g->line.next; l != &g->line; l = l->next) {
        struct exchange *x = line_at(l);
        if (x->state == X_WAIT && !x->called && (x->for_retry || after_rest) && line_fits(x, a))
            line_call(x, 0);
    }
}

void line_join(struct exchange *x)
{
    if (list_empty(&x->line))
        list_push(&x->g->line, &x->line);
}

/* No longer called: what was kept for x, if it has not taken it, is for those behind it. */
void line_answer(struct exchange *x)
{
    if (!x->called)
        return;
    x->called = false;
    assert(x->g->called >= (x->called_for != 0));
    x->g->called -= x->called_for != 0;
}

void line_pass_on(struct exchange *x, int64_t account)
{
    const struct account *a = account != 0 ? accounts_by_id(x->g->p.accounts, account) : NULL;
    if (a != NULL)
        line_look_from(x->g, a, list_empty(&x->line) ? x->g->line.next : x->line.next);
}

void line_leave(struct exchange *x)
{
    if (list_empty(&x->line))
        return;
    int64_t kept = x->called ? x->called_for : 0;
    line_answer(x);
    list_remove(&x->line);
    x->for_slot = x->for_retry = false;
    line_pass_on(x, kept);
}
