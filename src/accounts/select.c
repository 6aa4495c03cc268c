/* Choosing: which accounts may serve a request, best first.
 *
 * Lower priority number first. Within one priority a conversation goes to the same account each
 * time, because the provider's prompt cache lives there and a needless switch costs as much as
 * twenty requests (scheduling.md D2). Rendezvous hashing gives that without any memory: nodes agree
 * without talking, a restart changes nothing, and when an account drops out only its own
 * conversations move. */
#include "accounts/accounts.h"

#include <string.h>

struct rank { /* compared field by field, smaller is better */
    int32_t priority;
    uint64_t cost; /* in relation to the weight: compared crosswise, never divided */
    uint64_t weight;
    uint64_t pass; /* second look, for equals: they take turns */
    int64_t id;
};

static uint64_t mix(uint64_t h)
{
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ULL;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebULL;
    return h ^ (h >> 31);
}

/* -log2(h / 2^64) with 20 bits behind the point, in integers so that every machine finds the same.
 */
static uint64_t neg_log2(uint64_t h)
{
    unsigned zeros = 0;
    h |= 1; /* 0 has no logarithm */
    while (h >> 63 == 0) {
        h <<= 1;
        zeros++;
    }
    uint64_t m = h >> 32; /* [1, 2) as 1.31 */
    uint64_t fraction = 0;
    for (int i = 0; i < 20;
         i++) { /* squaring doubles the logarithm: its bits fall out one by one */
        m = m * m >> 31;
        fraction <<= 1;
        if (m >> 32 != 0) {
            fraction |= 1;
            m >>= 1;
        }
    }
    assert(zeros < 64 && fraction < (UINT64_C(1) << 20));
    return ((uint64_t)(zeros + 1) << 20) - fraction;
}

static struct rank rank_of(const struct account *a, uint64_t conversation)
{
    struct rank r = {.priority = a->priority, .pass = a->pass, .id = a->id};
    r.weight = a->weight > 0 ? (uint64_t)a->weight : 1;
    /* Weighted rendezvous: the smallest -log(hash) / weight wins, so that an account of weight 2
     * gets twice the conversations of one of weight 1. */
    if (conversation != 0)
        r.cost = neg_log2(mix(conversation ^ mix((uint64_t)a->id)));
    else
        r.cost = (uint64_t)(a->facts.in_flight < 0 ? 0 : a->facts.in_flight);
    return r;
}

static bool rank_less(const struct rank *a, const struct rank *b)
{
    if (a->priority != b->priority)
        return a->priority < b->priority;
    uint64_t x = a->cost * b->weight, y = b->cost * a->weight;
    if (x != y)
        return x < y;
    return a->pass != b->pass ? a->pass < b->pass : a->id < b->id;
}

static bool was_tried(const struct account_wish *w, int64_t id)
{
    for (int i = 0; i < w->tried_n; i++) {
        if (w->tried[i] == id)
            return true;
    }
    return false;
}

/* Keeps the list in order; the worst falls off a full one. */
static void choice_insert(struct account_choice *c, struct rank ranks[ACCOUNTS_MAX],
                          struct account *a, const struct rank *r)
{
    int i = c->n;
    while (i > 0 && rank_less(r, &ranks[i - 1]))
        i--;
    if (i == ACCOUNTS_MAX)
        return;
    assert(c->n >= 0 && c->n <= ACCOUNTS_MAX);
    int move = (c->n < ACCOUNTS_MAX ? c->n : ACCOUNTS_MAX - 1) - i;
    memmove(&ranks[i + 1], &ranks[i], (size_t)move * sizeof ranks[0]);
    memmove(&c->ready[i + 1], &c->ready[i], (size_t)move * sizeof c->ready[0]);
    ranks[i] = *r;
    c->ready[i] = a;
    if (c->n < ACCOUNTS_MAX)
        c->n++;
}

static enum reply_error resting_kind(enum account_state state, const char *reason)
{
    if (state == ACCOUNT_SPENT || strcmp(reason, "rate_limited") == 0)
        return REPLY_ERROR_RATE_LIMIT;
    if (strcmp(reason, "overloaded") == 0)
        return REPLY_ERROR_OVERLOADED;
    if (strcmp(reason, "spend_limit") == 0)
        return REPLY_ERROR_BILLING;
    return REPLY_ERROR_SERVER;
}

void accounts_choose(struct account_set *set, const struct account_wish *w, int64_t now,
                     struct account_choice *out)
{
    struct rank ranks[ACCOUNTS_MAX];
    char family[WINDOW_FAMILY_MAX];
    *out = (struct account_choice){0};
    (void)model_family(slice_of(w->model), family);
    accounts_clock(set);
    assert(w->tried_n >= 0 && (w->tried_n == 0 || w->tried != NULL));
    for (int i = 0; i < accounts_count(set); i++) {
        struct account *a = accounts_at(set, i);
        if (w->pinned != 0 && a->id != w->pinned)
            continue;
        struct account_status s = account_status_for(&a->facts, family, now);
        bool rests = s.state == ACCOUNT_COOLING || s.state == ACCOUNT_SPENT;
        out->considered += s.state != ACCOUNT_LEAVING;
        out->cooling += rests;
        out->login += s.state == ACCOUNT_LOGIN;
        out->paused += s.state == ACCOUNT_PAUSED;
        if (rests && (out->soonest == 0 || s.until < out->soonest)) {
            out->soonest = s.until;
            out->cooling_for = resting_kind(s.state, s.reason);
        }
        /* A stale token is no reason to leave an account: its refresh is waited for. */
        bool usable = s.state == ACCOUNT_READY || s.state == ACCOUNT_STALE;
        if (usable && !was_tried(w, a->id)) {
            struct rank r = rank_of(a, w->conversation);
            choice_insert(out, ranks, a, &r);
        }
    }
    assert(out->n <= out->considered);
}
