/* core: the half of the loop that is pure: timer heap, deferred tasks, graveyard. Private to net.
 *
 * No libuv, no clock, no descriptor. Each backend (loop_uv.c, and the simulated network of
 * tests/flow) defines its own `struct loop` with `struct loop_core` as the FIRST member; the door's
 * timer_*, task_* and loop_bury are implemented once, in core_loop.c, and work on both.
 *
 * One turn of a backend:
 *
 *     now = the clock
 *     core_fire_timers(c, now)     timers due, oldest deadline first
 *     core_run_tasks(c)            the tasks that were posted before this call
 *     core_empty_graveyard(c)      nobody's callback is on the stack here
 *     wait for I/O until core_next_timer_at(c), or not at all while core_has_tasks(c)
 *     call what became ready
 *
 * The backend still owes the door: loop_new, loop_free, loop_run, loop_stop, loop_now, loop_wall,
 * loop_now_us, loop_on_signal, worker_*, stream_*, dial_*, listener_*, tls_client_*. */
#ifndef SLUICE_NET_CORE_H
#define SLUICE_NET_CORE_H

#include "net/net.h"

#define CORE_NEVER INT64_MAX
#define TIMER_IDLE UINT32_MAX /* struct timer.index of a timer that is not armed */

struct grave {
    void *mem;
    void (*free_fn)(void *);
};

struct loop_core {
    /* Called when a task is posted to an empty queue, or the earliest deadline moved EARLIER; never
     * when it moves later. It may only make a note or arm a clock: it must call nobody back. May be
     * NULL for a backend that looks before each wait. */
    void (*wake)(struct loop_core *c);

    struct timer **heap; /* smallest (at_ms, order) first */
    uint32_t heap_len, heap_cap;
    uint64_t next_order;
    int64_t fired_at; /* `now` of the latest pass: no timer is set before it */

    struct link tasks;   /* posted, for the next core_run_tasks */
    struct link running; /* the batch of the core_run_tasks on the stack */

    struct grave *graves;
    size_t grave_len, grave_cap;

    struct load load; /* see load.h */
    struct timer look;
    int64_t memory_limit; /* 0: as measured */
    int64_t trim_at;
    void (*measure)(struct loop_core *c, struct load_numbers *out); /* the backend's, or NULL */
    void (*on_look)(void *arg, bool changed);
    void *on_look_arg;

    bool in_callback; /* a timer or task function is on the stack: the graveyard must wait */
};

void core_init(struct loop_core *c, void (*wake)(struct loop_core *c));
/* Empties the graveyard; asserts that no timer is armed and no task posted. */
void core_free(struct loop_core *c);

/* Fires the timers with at_ms <= now that were set before this call, 64 at most; returns how many.
 * More may be due still: core_next_timer_at tells. */
size_t core_fire_timers(struct loop_core *c, int64_t now);
/* The earliest deadline, or CORE_NEVER. */
int64_t core_next_timer_at(const struct loop_core *c);

/* Runs the tasks posted before this call, in order; returns how many ran. */
size_t core_run_tasks(struct loop_core *c);
bool core_has_tasks(const struct loop_core *c);

/* Frees what was buried, in order, and what that buries in turn. Call it only between turns. */
void core_empty_graveyard(struct loop_core *c);

/* The core of a loop: its first member. */
static inline struct loop_core *loop_core_of(struct loop *l)
{
    return (struct loop_core *)(void *)l;
}

#endif
