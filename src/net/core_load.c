/* core_load: see load.h. */
#include "net/core.h"

#include <inttypes.h>

#define LOOK_MS  250
#define HELD_MS  1000 /* long turns count when there have been some for so long */
#define BELOW_MS 2000
#define TRIM_MS  10000

/* Tenths of a per cent; ms. 0: it says nothing about this level. */
static const struct {
    const char *name;
    int32_t memory, fds, lag_ms;
} LEVEL[LOAD_LEVELS] = {
    [LOAD_NORMAL] = {"normal", 0, 0, 0},   [LOAD_WARM] = {"warm", 850, 700, 50},
    [LOAD_DRAIN] = {"drain", 920, 0, 200}, [LOAD_SHED] = {"shed", 950, 0, 500},
    [LOAD_GUARD] = {"guard", 980, 0, 0},
};
#define EASE_END      950

/* So much below a bound the numbers must be until it counts as left; of long turns the half. */
#define MARGIN_MEMORY 30
#define MARGIN_FDS    50

const char *load_name(enum load_level level)
{
    assert((unsigned)level < LOAD_LEVELS);
    return LEVEL[level].name;
}

void load_init(struct load *x)
{
    *x = (struct load){.why = "", .below_since = -1};
    for (int i = 0; i < LOAD_LEVELS; i++)
        x->lag_since[i] = -1;
}

static int32_t permille(int64_t part, int64_t whole)
{
    if (whole <= 0 || part <= 0)
        return 0;
    int64_t p = part > INT64_MAX / 1000 ? 1000 : part * 1000 / whole;
    return p > 2000 ? 2000 : (int32_t)p;
}

static enum load_level raise(enum load_level to, enum load_level from, const char *word,
                             const char **why)
{
    if (to <= from)
        return from;
    *why = word;
    return to;
}

/* The highest level whose bound is reached; bounds are lower by a margin for who wants to leave. */
static enum load_level level_of(const struct load *x, const struct load_numbers *n, int64_t now,
                                bool leaving, const char **why)
{
    int32_t memory = permille(n->memory, n->memory_limit) + (leaving ? MARGIN_MEMORY : 0);
    int32_t fds = permille(n->fds, n->fds_limit) + (leaving ? MARGIN_FDS : 0);
    enum load_level level = LOAD_NORMAL;
    *why = "";
    for (int i = LOAD_WARM; i < LOAD_LEVELS; i++) {
        enum load_level at = (enum load_level)i;
        bool lags = leaving ? n->lag_ms * 2 > LEVEL[i].lag_ms
                            : x->lag_since[i] >= 0 && now - x->lag_since[i] >= HELD_MS;
        if (LEVEL[i].memory > 0 && memory >= LEVEL[i].memory)
            level = raise(at, level, "memory", why);
        if (LEVEL[i].lag_ms > 0 && lags)
            level = raise(at, level, "slow turns", why);
        if (LEVEL[i].fds > 0 && fds >= LEVEL[i].fds)
            level = raise(at, level, "descriptors", why);
    }
    return level;
}

static void lag_note(struct load *x, int64_t lag_ms, int64_t now)
{
    for (int i = LOAD_WARM; i < LOAD_LEVELS; i++) {
        if (LEVEL[i].lag_ms == 0 || lag_ms <= LEVEL[i].lag_ms)
            x->lag_since[i] = -1;
        else if (x->lag_since[i] < 0)
            x->lag_since[i] = now;
    }
}

bool load_step(struct load *x, const struct load_numbers *n, int64_t now)
{
    const char *why, *easy_why;
    enum load_level was = x->level;
    lag_note(x, n->lag_ms, now);
    x->seen = *n;
    enum load_level level = level_of(x, n, now, false, &why);
    enum load_level easy = level_of(x, n, now, true, &easy_why);
    assert(easy <= LOAD_GUARD && level <= LOAD_GUARD);
    if (level >= was || easy >= was) {
        x->below_since = -1;
        if (level > was) {
            x->level = level;
            x->why = why;
        }
    } else if (x->below_since < 0) {
        x->below_since = now;
    } else if (now - x->below_since >= BELOW_MS) {
        x->below_since = -1;
        x->level = easy;
        x->why = easy_why;
    }
    x->changes += x->level != was;
    return x->level != was;
}

int64_t load_ease(const struct load *x, int64_t most, int64_t least)
{
    if (x->level == LOAD_NORMAL || most <= least)
        return most;
    int32_t by[2] = {(permille(x->seen.memory, x->seen.memory_limit) - LEVEL[LOAD_WARM].memory) *
                         1000 / (EASE_END - LEVEL[LOAD_WARM].memory),
                     (permille(x->seen.fds, x->seen.fds_limit) - LEVEL[LOAD_WARM].fds) * 1000 /
                         (EASE_END - LEVEL[LOAD_WARM].fds)};
    int32_t far = by[0] > by[1] ? by[0] : by[1];
    if (far <= 0)
        return most;
    return far >= 1000 ? least : most - (most - least) / 1000 * far;
}

/* ---- the loop's --------------------------------------------------------------------------------
 */

const struct load *loop_load(const struct loop *l)
{
    return &((const struct loop_core *)(const void *)l)->load;
}

static void say_change(const struct load *x)
{
    char text[64] = "";
    if (x->seen.memory_limit > 0)
        text_format(text, sizeof text, "%" PRId64 " of %" PRId64 " MiB", x->seen.memory >> 20,
                    x->seen.memory_limit >> 20);
    log_warn("load", LF_STR("level", load_name(x->level)), LF_STR("why", x->why),
             LF_STR("memory", text), LF_INT("turn_ms", x->seen.lag_ms),
             LF_INT("descriptors", x->seen.fds));
}

static void on_look(void *arg)
{
    struct loop *l = arg;
    struct loop_core *c = loop_core_of(l);
    struct load_numbers n = {0};
    int64_t now = loop_now(l);
    timer_set(&c->look, now + LOOK_MS);
    if (c->measure != NULL)
        c->measure(c, &n);
    if (c->memory_limit > 0)
        n.memory_limit = c->memory_limit;
    bool changed = load_step(&c->load, &n, now);
    if (changed)
        say_change(&c->load);
    /* What was freed is given back before it counts against us: else one rush would last. */
    if (c->load.level >= LOAD_WARM && now >= c->trim_at &&
        n.memory >= n.memory_limit / 1000 * (LEVEL[LOAD_WARM].memory - MARGIN_MEMORY)) {
        c->trim_at = now + TRIM_MS;
        mem_trim();
    }
    if (c->on_look != NULL)
        c->on_look(c->on_look_arg, changed);
}

void loop_watch(struct loop *l, int64_t memory_limit, void (*look)(void *arg, bool changed),
                void *arg)
{
    struct loop_core *c = loop_core_of(l);
    assert(memory_limit >= 0);
    c->memory_limit = memory_limit;
    c->on_look = look;
    c->on_look_arg = arg;
    if (c->look.loop == NULL)
        timer_init(&c->look, l, on_look, l);
    timer_set(&c->look, loop_now(l) + LOOK_MS);
}

void loop_unwatch(struct loop *l)
{
    struct loop_core *c = loop_core_of(l);
    if (c->look.loop != NULL)
        timer_stop(&c->look);
}
