/* worker: one thread, one queue, answers in order. */
#include "net/loop_uv.h"
#include "net/platform.h"

#include <sched.h>

struct worker {
    struct loop *loop;
    uv_thread_t thread;
    uv_async_t answer; /* keeps the loop alive only while jobs are out */
    char name[16];
    /* The loop's thread only. */
    size_t depth;          /* posted and not yet done */
    int64_t moved_at;      /* the first of them was posted, or one has ended */
    struct link answering; /* finished, being told; here so that a `done` may call worker_free */
    bool freeing;

    uint64_t began_ns; /* the job that runs; the worker's thread only */

    uv_mutex_t lock; /* guards all that follows */
    uv_cond_t more, less;
    struct link queued, finished;
    bool quit;
};

/* Moves all of `from` behind `to`. */
static void list_take(struct link *to, struct link *from)
{
    while (!list_empty(from)) {
        struct link *first = from->next;
        list_remove(first);
        list_push(to, first);
    }
}

static void worker_main(void *arg)
{
    struct worker *w = arg;
    platform_name_thread(w->name);
    uv_mutex_lock(&w->lock);
    for (;;) {
        while (list_empty(&w->queued) && !w->quit)
            uv_cond_wait(&w->more, &w->lock);
        if (list_empty(&w->queued))
            break;
        struct job *j = CONTAINER(w->queued.next, struct job, link);
        list_remove(&j->link);
        uv_mutex_unlock(&w->lock);
        w->began_ns = uv_hrtime();
        j->run(j);
        uv_mutex_lock(&w->lock);
        bool first = list_empty(&w->finished);
        list_push(&w->finished, &j->link);
        uv_cond_signal(&w->less);
        if (first)
            uv_async_send(&w->answer);
    }
    uv_mutex_unlock(&w->lock);
}

/* Where many want the processor each time may take milliseconds: a job gives way while it is young,
 * and then goes on to its end. */
bool worker_breathe(struct worker *w)
{
    if (uv_hrtime() - w->began_ns >= (uint64_t)WORKER_POLITE_MS * 1000000)
        return false;
    (void)sched_yield();
    return true;
}

/* Calls `done` of what is finished; the loop's thread. */
static void worker_answer(struct worker *w)
{
    uv_mutex_lock(&w->lock);
    list_take(&w->answering, &w->finished);
    uv_mutex_unlock(&w->lock);
    while (!list_empty(&w->answering)) {
        struct job *j = CONTAINER(w->answering.next, struct job, link);
        list_remove(&j->link);
        assert(w->depth > 0);
        w->moved_at = loop_now(w->loop);
        if (--w->depth == 0 && !w->freeing)
            uv_unref((uv_handle_t *)&w->answer);
        if (j->done != NULL)
            j->done(j); /* may free j, may post again */
    }
}

static void on_answer(uv_async_t *h)
{
    struct worker *w = h->data;
    /* worker_free, called by a `done`, answers by itself. */
    if (!w->freeing)
        worker_answer(w);
}

struct worker *worker_new(struct loop *l, const char *name)
{
    struct worker *w = NEW(struct worker);
    w->loop = l;
    text_copy(w->name, sizeof w->name, slice_of(name));
    list_init(&w->answering);
    list_init(&w->queued);
    list_init(&w->finished);
    int r = uv_mutex_init(&w->lock);
    r |= uv_cond_init(&w->more);
    r |= uv_cond_init(&w->less);
    r |= uv_async_init(&l->uv, &w->answer, on_answer);
    assert(r == 0);
    w->answer.data = w;
    uv_unref((uv_handle_t *)&w->answer);
    l->open++;
    r = uv_thread_create(&w->thread, worker_main, w);
    assert(r == 0);
    (void)r;
    return w;
}

void worker_post(struct worker *w, struct job *j)
{
    assert(j->run != NULL);
    list_init(&j->link);
    if (w->depth == 0)
        w->moved_at = loop_now(w->loop);
    if (w->depth++ == 0 && !w->freeing)
        uv_ref((uv_handle_t *)&w->answer);
    uv_mutex_lock(&w->lock);
    bool first = list_empty(&w->queued);
    list_push(&w->queued, &j->link);
    if (first)
        uv_cond_signal(&w->more);
    uv_mutex_unlock(&w->lock);
}

size_t worker_depth(const struct worker *w)
{
    return w->depth;
}

int64_t worker_stuck_ms(const struct worker *w)
{
    return w->depth > 0 ? loop_now(w->loop) - w->moved_at : 0;
}

static void worker_closed(uv_handle_t *h)
{
    struct worker *w = h->data;
    w->loop->open--;
    mem_free(w);
}

void worker_free(struct worker *w)
{
    assert(!w->freeing);
    w->freeing = true;
    while (w->depth > 0) { /* a `done` may post again */
        uv_mutex_lock(&w->lock);
        while (list_empty(&w->finished) && list_empty(&w->answering))
            uv_cond_wait(&w->less, &w->lock);
        uv_mutex_unlock(&w->lock);
        worker_answer(w);
    }
    uv_mutex_lock(&w->lock);
    w->quit = true;
    uv_cond_signal(&w->more);
    uv_mutex_unlock(&w->lock);
    uv_thread_join(&w->thread);
    uv_cond_destroy(&w->more);
    uv_cond_destroy(&w->less);
    uv_mutex_destroy(&w->lock);
    uv_close((uv_handle_t *)&w->answer, worker_closed);
}
