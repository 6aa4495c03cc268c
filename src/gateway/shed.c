/* What the gateway does without when memory or time run out: see net/load.h. Who is refused can
 * come again, and is told when; what has begun to reach a client goes on. */
#include "gateway/exchange.h"

#define RETRY_LEAST_S  5
#define RETRY_SPREAD_S 11 /* 5 to 15: they must not all come back at once */
#define RELIEF_LEAST   65536
#define SHED_TEXT      "sluice: the gateway is overloaded; try again."

static int64_t retry_after(const struct exchange *x)
{
    uint64_t dice = crypto_siphash(slice_of(x->record.id));
    return RETRY_LEAST_S + (int64_t)(dice % RETRY_SPREAD_S);
}

bool shed_refuses(struct exchange *x)
{
    struct gateway *g = x->g;
    if (loop_load(g->p.loop)->level < LOAD_SHED)
        return false;
    g->stats.shed++;
    answer_error(x, 529, SHED_TEXT, retry_after(x), true, "overloaded");
    return true;
}

/* Bodies may have half of the memory: they are copied, and replies need room as well. */
int64_t shed_body_room(const struct gateway *g)
{
    int64_t most = g->config->max_buffered, limit = loop_load(g->p.loop)->seen.memory_limit;
    return limit > 0 && limit / 2 < most ? limit / 2 : most;
}

/* What is there, not what room there is for it: letting go a promise gives nothing back. */
static int64_t held_bytes(const struct exchange *x)
{
    return (int64_t)(x->body.len + x->crossing.body.len + x->reply.len);
}

static bool may_be_let_go(const struct exchange *x)
{
    bool over = x->state == X_FLUSH || x->state == X_REFUSE || x->state == X_DONE;
    bool begun = http_responded(x->call) || (x->state == X_RELAY && x->relay.committed);
    return !over && !begun && held_bytes(x) >= RELIEF_LEAST;
}

static struct exchange *largest(const struct gateway *g)
{
    struct exchange *best = NULL;
    for (struct link *l = g->exchanges.next; l != &g->exchanges; l = l->next) {
        struct exchange *x = CONTAINER(l, struct exchange, link);
        if (may_be_let_go(x) && (best == NULL || held_bytes(x) > held_bytes(best)))
            best = x;
    }
    return best;
}

void gateway_relieve(struct gateway *g)
{
    const struct load *load = loop_load(g->p.loop);
    struct exchange *x;
    if (load->level < LOAD_GUARD)
        return;
    int64_t most = load->seen.memory - load->seen.memory_limit / 20 * 19; /* back to 95 % */
    while (most > 0 && (x = largest(g)) != NULL) {
        assert(x->call != NULL);
        most -= held_bytes(x);
        g->stats.relieved++;
        if (x->attempt.account != NULL)
            exchange_note_attempt(x, "overloaded");
        attempt_drop(x);
        models_drop(x);
        answer_error(x, 529, SHED_TEXT, retry_after(x), true, "overloaded");
    }
}
