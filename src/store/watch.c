/* Watching what other processes on the folder write. Not a verb: it waits for nothing that was put
 * before it, and nothing waits for it. */
#include "store/inside.h"

/* On the store's thread. */
static void watch_run(struct job *j)
{
    struct watch *w = CONTAINER(j, struct watch, job);
    struct store *s = w->store;
    w->moved = false;
    w->err = fault_here() ? ERR_IO : s->ops->moved(s->backend, &w->moved);
}

static void watch_done(struct job *j)
{
    struct watch *w = CONTAINER(j, struct watch, job);
    struct store *s = w->store;
    w->flying = false;
    if (s->closing)
        return;
    timer_set(&w->timer, loop_now(s->loop) + WATCH_EVERY_MS);
    /* Reading may fail where writing works, and is told by those who need what they read. */
    if (w->err != OK)
        log_debug("the store cannot be watched", LF_STR("err", err_name(w->err)));
    else if (w->moved)
        w->fn(w->arg); /* may close the store */
}

static void watch_fire(void *arg)
{
    struct watch *w = arg;
    struct store *s = w->store;
    assert(!w->flying && !s->closing);
    w->flying = true;
    w->job = (struct job){.run = watch_run, .done = watch_done};
    list_init(&w->job.link);
    worker_post(s->worker, &w->job);
}

void watch_init(struct store *s)
{
    s->watch.store = s;
    timer_init(&s->watch.timer, s->loop, watch_fire, &s->watch);
}

void watch_close(struct store *s)
{
    assert(s->closing);
    timer_stop(&s->watch.timer);
}

void store_watch(struct store *s, void (*fn)(void *arg), void *arg)
{
    assert(fn != NULL && s->watch.fn == NULL);
    s->watch.fn = fn;
    s->watch.arg = arg;
    if (s->shared)
        timer_set(&s->watch.timer, loop_now(s->loop) + WATCH_EVERY_MS);
}
