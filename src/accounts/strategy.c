/* Strategies: of accounts that may all serve, and that priority does not tell apart, which is
 * better. One small function each, and one row in the table. Pure.
 *
 * Whatever is compared is an integer, so that every machine comes to the same order. */
#include "accounts/inside.h"

#include <string.h>

#define FIVE_HOURS (INT64_C(5) * 3600000)
#define JITTER     INT64_C(60000)

static uint64_t mix(uint64_t h)
{
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ULL;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebULL;
    return h ^ (h >> 31);
}

/* -log2(h / 2^64) with 24 bits behind the point. The table has log2(1 + i/64); between its rows a
 * straight line is 0.005 % off, which is nothing among weights. */
static uint64_t neg_log2(uint64_t h)
{
    static const uint32_t log2_of[65] = {
        0,        375270,   744810,   1108793,  1467383,  1820738,  2169009,  2512340,  2850868,
        3184728,  3514044,  3838941,  4159533,  4475935,  4788255,  5096595,  5401057,  5701737,
        5998727,  6292118,  6581994,  6868440,  7151536,  7431359,  7707984,  7981483,  8251926,
        8519380,  8783912,  9045584,  9304457,  9560591,  9814042,  10064867, 10313120, 10558852,
        10802114, 11042956, 11281425, 11517568, 11751428, 11983051, 12212479, 12439752, 12664911,
        12887994, 13109041, 13328087, 13545168, 13760320, 13973576, 14184969, 14394532, 14602297,
        14808293, 15012551, 15215099, 15415967, 15615181, 15812769, 16008758, 16203172, 16396036,
        16587377, 16777216};
    uint64_t zeros = 0;
    h |= 1; /* 0 has no logarithm */
    while (h >> 63 == 0) {
        h <<= 1;
        zeros++;
    }
    size_t row = h >> 57 & 63;
    uint64_t between = h >> 25 & 0xffffffff;
    uint64_t low = log2_of[row], high = log2_of[row + 1];
    uint64_t fraction = low + ((high - low) * between >> 32);
    assert(zeros < 64 && fraction < (UINT64_C(1) << 24));
    return ((zeros + 1) << 24) - fraction;
}

/* In its weight's proportion: two of weight 2 are as much as one of weight 1. */
static uint64_t by_weight(uint64_t cost, const struct account *a)
{
    assert(cost < UINT64_C(1) << 31);
    return (cost << 32) / (a->weight > 0 ? (uint64_t)a->weight : 1);
}

static uint64_t in_flight(const struct account *a)
{
    return a->facts.in_flight > 0 ? (uint64_t)a->facts.in_flight : 0;
}

/* ---- the strategies -------------------------------------------------------------------------- */

static void rank_least_loaded(const struct asked *q, const struct account *a, struct rank *r)
{
    (void)q;
    r->cost = by_weight(in_flight(a), a);
    r->turn = a->pass;
}

/* Weighted rendezvous: the smallest -log(hash) / weight wins, so that an account of weight 2 gets
 * twice the conversations of one of weight 1. No memory is needed: nodes agree without talking, a
 * restart changes nothing, and when an account drops out only its own conversations move. */
static uint64_t rendezvous(uint64_t key, const struct account *a)
{
    return by_weight(neg_log2(mix(key ^ mix((uint64_t)a->id))), a);
}

/* When the five-hour window that is in use ends; 0 = none is. */
static int64_t session_end(const struct account *a, int64_t now)
{
    const struct window *w = &a->facts.window[WINDOW_5H];
    bool open = w->known && w->started_at != 0 && w->resets_at > now && !w->closed;
    return open && w->resets_at - now <= FIVE_HOURS + JITTER ? w->resets_at : 0;
}

/* What is paid for by the hour is used up first, and the other windows stay unopened. */
static void rank_session(const struct asked *q, const struct account *a, struct rank *r)
{
    int64_t end = q->conversation != 0 ? session_end(a, q->now) : 0;
    if (q->conversation == 0)
        rank_least_loaded(q, a, r);
    else if (end != 0)
        r->cost = (uint64_t)end;
    else
        r->cost = (UINT64_C(1) << 63) | rendezvous(q->conversation, a);
}

static double window_use(const struct account_facts *f, enum window_kind k, int64_t now)
{
    return f->window[k].known ? window_used(&f->window[k], now) : 0;
}

static void rank_least_used(const struct asked *q, const struct account *a, struct rank *r)
{
    const struct account_facts *f = &a->facts;
    double most = 0;
    for (int k = 0; k < WINDOW_KINDS; k++) {
        if (k == WINDOW_OVERAGE ||
            (k == WINDOW_7D_MODEL && strcmp(f->window[k].family, q->family) != 0))
            continue;
        double used = window_use(f, (enum window_kind)k, q->now);
        most = used > most ? used : most;
    }
    r->cost = (uint64_t)((most < 1000 ? most : 1000) * 1e6);
    r->turn = a->served + a->failed + in_flight(a);
}

static void rank_round_robin(const struct asked *q, const struct account *a, struct rank *r)
{
    (void)q;
    r->turn = a->turn;
}

static void rank_weighted(const struct asked *q, const struct account *a, struct rank *r)
{
    (void)q;
    r->turn = a->pass;
}

static void rank_shuffle(const struct asked *q, const struct account *a, struct rank *r)
{
    r->cost = rendezvous(mix(q->dice), a);
}

static void rank_failover(const struct asked *q, const struct account *a, struct rank *r)
{
    (void)q, (void)a;
    r->cost = r->turn = 0; /* the set is in that order */
}

static const struct {
    const char *name, *help;
    void (*rank)(const struct asked *q, const struct account *a, struct rank *r);
    bool sticky;
} strategies[STRATEGY_COUNT] = {
    [STRATEGY_SESSION] = {"session",
                          "stays on the account whose five-hour window ends soonest; without an "
                          "open window each conversation has its own account",
                          rank_session, true},
    [STRATEGY_LEAST_USED] = {"least-used",
                             "the account whose fullest window is the least used, then the one "
                             "that has served least",
                             rank_least_used, true},
    [STRATEGY_ROUND_ROBIN] = {"round-robin", "the account that has waited longest",
                              rank_round_robin, false},
    [STRATEGY_WEIGHTED] = {"weighted", "in turns, in the proportion of the weights", rank_weighted,
                           true},
    [STRATEGY_SHUFFLE] = {"shuffle", "by chance, in the proportion of the weights", rank_shuffle,
                          false},
    [STRATEGY_FAILOVER] = {"failover",
                           "the first account that can serve, by priority, then by name",
                           rank_failover, true},
    [STRATEGY_LEAST_LOADED] = {"least-loaded",
                               "the account with the fewest requests in flight for its weight",
                               rank_least_loaded, true},
    [STRATEGY_MODEL] = {"model", "the model asked for names another group, by its longest prefix",
                        rank_failover, true},
};

const char *strategy_name(enum strategy s)
{
    assert((int)s >= 0 && s < STRATEGY_COUNT);
    return strategies[s].name;
}

const char *strategy_help(enum strategy s)
{
    assert((int)s >= 0 && s < STRATEGY_COUNT);
    return strategies[s].help;
}

bool strategy_sticky(enum strategy s)
{
    assert((int)s >= 0 && s < STRATEGY_COUNT);
    return strategies[s].sticky;
}

bool strategy_find(struct slice name, enum strategy *out)
{
    for (int i = 0; i < STRATEGY_COUNT; i++) {
        if (slice_eq(name, slice_of(strategies[i].name))) {
            *out = (enum strategy)i;
            return true;
        }
    }
    return false;
}

void strategy_rank(const struct asked *q, const struct account *a, struct rank *r)
{
    assert((int)q->strategy >= 0 && q->strategy < STRATEGY_COUNT);
    r->cost = r->turn = 0;
    strategies[q->strategy].rank(q, a, r);
}
