/* core_loop: timer heap, deferred tasks and graveyard, without a clock or a descriptor. */
#include "net/core.h"

/* Deadlines that end in one pass: a thousand connections that were opened together and are late
 * together must not hold up all others. The rest is due at once in the next turn. */
#define FIRED_MOST 64

void core_init(struct loop_core *c, void (*wake)(struct loop_core *c))
{
    *c = (struct loop_core){.wake = wake, .fired_at = INT64_MIN};
    list_init(&c->tasks);
    list_init(&c->running);
    load_init(&c->load);
}

void core_free(struct loop_core *c)
{
    core_empty_graveyard(c);
    assert(c->heap_len == 0);
    assert(list_empty(&c->tasks));
    mem_free(c->heap);
    mem_free(c->graves);
    c->heap = NULL;
    c->graves = NULL;
}

/* ---- timer heap ------------------------------------------------------------------------------ */

static bool timer_before(const struct timer *a, const struct timer *b)
{
    if (a->at_ms != b->at_ms)
        return a->at_ms < b->at_ms;
    return a->order < b->order;
}

static void heap_place(struct loop_core *c, struct timer *t, uint32_t i)
{
    assert(i < c->heap_len);
    c->heap[i] = t;
    t->index = i;
}

static void heap_up(struct loop_core *c, struct timer *t, uint32_t i)
{
    while (i > 0) {
        uint32_t parent = (i - 1) / 2;
        if (!timer_before(t, c->heap[parent]))
            break;
        heap_place(c, c->heap[parent], i);
        i = parent;
    }
    heap_place(c, t, i);
}

static void heap_down(struct loop_core *c, struct timer *t, uint32_t i)
{
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= c->heap_len)
            break;
        if (child + 1 < c->heap_len && timer_before(c->heap[child + 1], c->heap[child]))
            child++;
        if (!timer_before(c->heap[child], t))
            break;
        heap_place(c, c->heap[child], i);
        i = child;
    }
    heap_place(c, t, i);
}

static void heap_settle(struct loop_core *c, struct timer *t, uint32_t i)
{
    if (i > 0 && timer_before(t, c->heap[(i - 1) / 2]))
        heap_up(c, t, i);
    else
        heap_down(c, t, i);
}

static void heap_add(struct loop_core *c, struct timer *t)
{
    if (c->heap_len == c->heap_cap) {
        assert(c->heap_cap < UINT32_MAX / 4);
        c->heap_cap = c->heap_cap ? 2 * c->heap_cap : 64;
        c->heap = mem_grow(c->heap, c->heap_cap * sizeof c->heap[0]);
    }
    c->heap_len++;
    heap_up(c, t, c->heap_len - 1);
}

static void heap_remove(struct loop_core *c, struct timer *t)
{
    uint32_t i = t->index;
    assert(i < c->heap_len && c->heap[i] == t);
    struct timer *last = c->heap[--c->heap_len];
    t->index = TIMER_IDLE;
    if (last != t)
        heap_settle(c, last, i);
}

int64_t core_next_timer_at(const struct loop_core *c)
{
    return c->heap_len ? c->heap[0]->at_ms : CORE_NEVER;
}

size_t core_fire_timers(struct loop_core *c, int64_t now)
{
    assert(!c->in_callback);
    size_t fired = 0;
    /* What a callback sets for the past is moved to `now` by timer_set and has a higher order than
     * all that was due before: so the first timer with such an order ends the pass. */
    uint64_t limit = c->next_order;
    if (c->fired_at < now)
        c->fired_at = now;
    c->in_callback = true;
    while (c->heap_len > 0 && fired < FIRED_MOST) {
        struct timer *t = c->heap[0];
        if (t->at_ms > now || t->order >= limit)
            break;
        heap_remove(c, t);
        t->fire(t->arg); /* may free t */
        fired++;
    }
    c->in_callback = false;
    return fired;
}

void timer_init(struct timer *t, struct loop *l, void (*fire)(void *), void *arg)
{
    assert(l != NULL && fire != NULL);
    *t = (struct timer){.loop = l, .index = TIMER_IDLE, .fire = fire, .arg = arg};
}

void timer_set(struct timer *t, int64_t at_ms)
{
    struct loop_core *c = loop_core_of(t->loop);
    int64_t earliest = core_next_timer_at(c);
    t->at_ms = at_ms < c->fired_at ? c->fired_at : at_ms;
    t->order = c->next_order++;
    if (t->index == TIMER_IDLE)
        heap_add(c, t);
    else
        heap_settle(c, t, t->index);
    assert(timer_armed(t));
    if (c->wake != NULL && core_next_timer_at(c) < earliest)
        c->wake(c);
}

void timer_stop(struct timer *t)
{
    if (timer_armed(t))
        heap_remove(loop_core_of(t->loop), t);
    assert(!timer_armed(t));
}

bool timer_armed(const struct timer *t)
{
    return t->index != TIMER_IDLE;
}

/* ---- tasks ----------------------------------------------------------------------------------- */

void task_init(struct task *t, void (*run)(void *), void *arg)
{
    assert(run != NULL);
    list_init(&t->link);
    t->run = run;
    t->arg = arg;
}

void task_post(struct loop *l, struct task *t)
{
    struct loop_core *c = loop_core_of(l);
    assert(t->run != NULL);
    if (!list_empty(&t->link))
        return;
    bool first = list_empty(&c->tasks);
    list_push(&c->tasks, &t->link);
    if (first && c->wake != NULL)
        c->wake(c);
}

void task_cancel(struct task *t)
{
    list_remove(&t->link);
}

bool core_has_tasks(const struct loop_core *c)
{
    return !list_empty(&c->tasks);
}

size_t core_run_tasks(struct loop_core *c)
{
    assert(!c->in_callback);
    assert(list_empty(&c->running));
    size_t ran = 0;
    /* The batch moves to its own list, so that what it posts waits for the next call, and so that a
     * task may cancel another one of the same batch. */
    while (!list_empty(&c->tasks)) {
        struct link *first = c->tasks.next;
        list_remove(first);
        list_push(&c->running, first);
    }
    c->in_callback = true;
    while (!list_empty(&c->running)) {
        struct task *t = CONTAINER(c->running.next, struct task, link);
        list_remove(&t->link);
        t->run(t->arg); /* may free t */
        ran++;
    }
    c->in_callback = false;
    return ran;
}

/* ---- graveyard ------------------------------------------------------------------------------- */

void loop_bury(struct loop *l, void *mem, void (*free_fn)(void *))
{
    struct loop_core *c = loop_core_of(l);
    assert(mem != NULL && free_fn != NULL);
    if (c->grave_len == c->grave_cap) {
        c->grave_cap = c->grave_cap ? 2 * c->grave_cap : 16;
        c->graves = mem_grow(c->graves, c->grave_cap * sizeof c->graves[0]);
    }
    c->graves[c->grave_len++] = (struct grave){mem, free_fn};
}

void core_empty_graveyard(struct loop_core *c)
{
    assert(!c->in_callback);
    /* By index: free_fn may bury more, which may move the array. */
    for (size_t i = 0; i < c->grave_len; i++) {
        struct grave g = c->graves[i];
        g.free_fn(g.mem);
    }
    c->grave_len = 0;
}
