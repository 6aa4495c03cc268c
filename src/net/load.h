/* load: how near the process is to its bounds, and how much it should still take on. Part of net's
 * door.
 *
 *      level     memory   longest turn   descriptors   what follows (robustness.md A10)
 *      normal
 *      warm       85 %       50 ms          70 %       idle connections go earlier: see load_ease
 *      drain      92 %      200 ms                     each answer ends its connection
 *      shed       95 %      500 ms                     new requests are answered with a refusal
 *      guard      98 %                                 newcomers take an idle one's place; what is
 *                                                      held and has not begun to answer is let go
 *
 * A level is reached at once by memory and descriptors, and by turns that have been long for a
 * second; it is left when the numbers have been well below it for two seconds. What runs already is
 * never hurt below guard, and a stream that has begun not even there. */
#ifndef SLUICE_NET_LOAD_H
#define SLUICE_NET_LOAD_H

#include "base/base.h"

enum load_level { LOAD_NORMAL, LOAD_WARM, LOAD_DRAIN, LOAD_SHED, LOAD_GUARD, LOAD_LEVELS };
const char *load_name(enum load_level level);

struct load_numbers {
    int64_t memory, memory_limit; /* bytes; 0: not known */
    int64_t lag_ms;               /* of the turns since the last look, the longest */
    int64_t fds, fds_limit;
};
struct load {
    enum load_level level;
    const char *why; /* "memory", "slow turns" or "descriptors"; "" = normal */
    struct load_numbers seen;
    int64_t lag_since[LOAD_LEVELS]; /* turns have been that long since then; -1: they are not */
    int64_t below_since;            /* the numbers would do for less; -1: they would not */
    uint64_t changes;
};
void load_init(struct load *x);
/* What is to be done, by the numbers at `now` (monotonic ms); pure. True when the level changed. */
bool load_step(struct load *x, const struct load_numbers *n, int64_t now);
/* A time that is long in good days, for days like this: `most` when normal, `least` at 95 % of the
 * memory or of the descriptors, in between by degrees. */
int64_t load_ease(const struct load *x, int64_t most, int64_t least);

struct loop;
const struct load *loop_load(const struct loop *l);
/* Looks from now on, four times a second, and calls `look` after each; `memory_limit` 0: what the
 * system permits. May be called again with another limit. `look` may be NULL. */
void loop_watch(struct loop *l, int64_t memory_limit, void (*look)(void *arg, bool changed),
                void *arg);
void loop_unwatch(struct loop *l); /* idempotent */

#endif
