/* loop_uv: the loop over libuv: turns, the lone timer, signals.
 *
 * One turn of libuv, and what of ours runs where:
 *
 *     on_turn        tasks posted before, then what was written late, then the graveyard
 *     wait           until I/O or clock_at; on_woke notes its end: from there to the end of the
 *                    next on_turn a turn is measured
 *     I/O callbacks  streams, listeners, dials, workers' answers, signals
 *     closing        the memory of what was closed
 *     on_clock       timers that are due */
#include "net/loop_uv.h"
#include "net/platform.h"
#include "net/stream.h"
#include "net/tls.h"

/* Connections we are through with hold a descriptor until the peer hangs up, or for seconds: so
 * many of all descriptors at most, else peers that do not hang up would use up the rest. */
#define FINISHING_SHARE 8
#define FDS_OTHER       24 /* files, listeners, the loop's own */

static struct loop *loop_of(uv_handle_t *h)
{
    return h->loop->data;
}

/* ---- clock and turns ------------------------------------------------------------------------- */

static void on_clock(uv_timer_t *h);

/* Re-arms libuv's timer only when the earliest deadline has come EARLIER. When it moved later, the
 * timer fires once in vain and is armed anew from there: requests that push their deadlines ahead
 * cost nothing. */
static void clock_arm(struct loop *l)
{
    int64_t at = core_next_timer_at(&l->core);
    if (at == CORE_NEVER)
        return;
    uv_ref((uv_handle_t *)&l->clock);
    if (at >= l->clock_at)
        return;
    int64_t wait = at - loop_now(l);
    int r = uv_timer_start(&l->clock, on_clock, wait > 0 ? (uint64_t)wait : 0, 0);
    assert(r == 0);
    (void)r;
    l->clock_at = at;
}

static void on_clock(uv_timer_t *h)
{
    struct loop *l = loop_of((uv_handle_t *)h);
    l->clock_at = CORE_NEVER;
    core_fire_timers(&l->core, loop_now(l));
    clock_arm(l);
}

static void on_busy(uv_idle_t *h)
{
    (void)h; /* its being active is all it is for */
}

static void loop_wake(struct loop_core *c)
{
    struct loop *l = (struct loop *)(void *)c;
    if (core_has_tasks(c))
        uv_idle_start(&l->busy, on_busy);
    clock_arm(l);
}

/* uv_now is still what it was when the wait ended. */
static void on_woke(uv_check_t *h)
{
    struct loop *l = loop_of((uv_handle_t *)h);
    l->woke_at = (int64_t)uv_now(&l->uv);
}

static void turn_measure(struct loop *l)
{
    uv_update_time(&l->uv);
    int64_t took = loop_now(l) - l->woke_at;
    if (l->woke_at >= 0 && took > l->lag_ms)
        l->lag_ms = took;
}

static void loop_measure(struct loop_core *c, struct load_numbers *out)
{
    struct loop *l = (struct loop *)(void *)c;
    *out = (struct load_numbers){.memory = platform_memory(l->memory_fd),
                                 .memory_limit = l->memory_limit,
                                 .lag_ms = l->lag_ms,
                                 .fds = l->fds + FDS_OTHER,
                                 .fds_limit = l->fds_max};
    l->lag_ms = 0;
}

static void on_turn(uv_prepare_t *h)
{
    struct loop *l = loop_of((uv_handle_t *)h);
    core_run_tasks(&l->core);
    late_flush(l);
    reads_renew(l);
    core_empty_graveyard(&l->core);
    if (!core_has_tasks(&l->core))
        uv_idle_stop(&l->busy);
    /* A clock that waits for a deadline nobody has any more must not keep the loop alive. */
    if (core_next_timer_at(&l->core) == CORE_NEVER)
        uv_unref((uv_handle_t *)&l->clock);
    turn_measure(l);
}

int64_t loop_now(const struct loop *l)
{
    return (int64_t)uv_now(&l->uv);
}

static NOINLINE int64_t wall_read(struct loop *l)
{
    uv_timespec64_t t;
    int r = uv_clock_gettime(UV_CLOCK_REALTIME, &t);
    assert(r == 0);
    (void)r;
    l->wall_ms = t.tv_sec * 1000 + t.tv_nsec / 1000000;
    l->wall_at = loop_now(l);
    return l->wall_ms;
}

/* Read at most once for each loop_now: a request asks for it a dozen times. */
int64_t loop_wall(const struct loop *l)
{
    if (l->wall_at == loop_now(l) && l->wall_ms != 0)
        return l->wall_ms;
    return wall_read((struct loop *)(uintptr_t)l); /* only what it remembers changes */
}

int64_t loop_now_us(const struct loop *l)
{
    (void)l;
    return (int64_t)(uv_hrtime() / 1000);
}

/* ---- signals --------------------------------------------------------------------------------- */

struct sig {
    struct link link;
    uv_signal_t handle;
    void (*fn)(void *arg, int signum);
    void *arg;
};

static void on_signal(uv_signal_t *h, int signum)
{
    struct sig *s = h->data;
    s->fn(s->arg, signum);
}

void loop_on_signal(struct loop *l, int signum, void (*fn)(void *arg, int signum), void *arg)
{
    assert(fn != NULL);
    for (struct link *at = l->signals.next; at != &l->signals; at = at->next) {
        struct sig *old = CONTAINER(at, struct sig, link);
        if (old->handle.signum == signum) {
            old->fn = fn;
            old->arg = arg;
            return;
        }
    }
    struct sig *s = NEW(struct sig);
    s->fn = fn;
    s->arg = arg;
    s->handle.data = s;
    list_init(&s->link);
    list_push(&l->signals, &s->link);
    l->open++;
    int r = uv_signal_init(&l->uv, &s->handle);
    assert(r == 0);
    r = uv_signal_start(&s->handle, on_signal, signum);
    assert(r == 0);
    (void)r;
    uv_unref((uv_handle_t *)&s->handle);
}

static void sig_closed(uv_handle_t *h)
{
    loop_of(h)->open--;
    mem_free(h->data);
}

static void signals_close(struct loop *l)
{
    while (!list_empty(&l->signals)) {
        struct sig *s = CONTAINER(l->signals.next, struct sig, link);
        list_remove(&s->link);
        uv_close((uv_handle_t *)&s->handle, sig_closed);
    }
}

/* ---- birth and death ------------------------------------------------------------------------- */

struct loop *loop_new(void)
{
    struct loop *l = NEW(struct loop);
    core_init(&l->core, loop_wake);
    l->core.measure = loop_measure;
    l->woke_at = -1;
    l->memory_fd = platform_memory_open(&l->memory_limit);
    list_init(&l->signals);
    list_init(&l->finishing);
    l->fds_max = net_fd_limit();
    l->finishing_max = (size_t)l->fds_max / FINISHING_SHARE;
    l->clock_at = CORE_NEVER;
    l->resolver = resolver_new();
    int r = uv_loop_init(&l->uv);
    assert(r == 0); /* out of descriptors before anything began */
    l->uv.data = l;
    r |= uv_timer_init(&l->uv, &l->clock);
    r |= uv_prepare_init(&l->uv, &l->turn);
    r |= uv_idle_init(&l->uv, &l->busy);
    r |= uv_check_init(&l->uv, &l->woke);
    r |= uv_prepare_start(&l->turn, on_turn);
    r |= uv_check_start(&l->woke, on_woke);
    assert(r == 0);
    (void)r;
    uv_unref((uv_handle_t *)&l->turn);
    uv_unref((uv_handle_t *)&l->woke);
    l->open = 4;
    return l;
}

void loop_run(struct loop *l)
{
    bool late;
    do {
        uv_run(&l->uv, UV_RUN_DEFAULT);
        late = l->late.pieces > 0; /* something may have to be waited for after all */
        late_flush(l);
    } while (late && !l->stopped);
    l->stopped = false;
    core_empty_graveyard(&l->core);
}

void loop_stop(struct loop *l)
{
    l->stopped = true;
    uv_stop(&l->uv);
}

static void on_closed(uv_handle_t *h)
{
    loop_of(h)->open--;
}

static void assert_closing(uv_handle_t *h, void *arg)
{
    (void)arg;
    (void)h;
    assert(uv_is_closing(h));
}

/* A resolver's thread may wait for a dead name server for half a minute. The process that wants to
 * end does not wait with it: it leaves it the memory it is going to write to, in this list. */
static struct loop *left_behind;

/* Gives such a thread a tenth of a second. */
static bool resolver_settle(struct loop *l)
{
    for (int i = 0; i < 50 && resolver_busy(l->resolver); i++) {
        uv_sleep(2);
        uv_run(&l->uv, UV_RUN_NOWAIT);
    }
    return !resolver_busy(l->resolver);
}

void loop_free(struct loop *l)
{
    while (!list_empty(&l->finishing))
        stream_abort(CONTAINER(l->finishing.next, struct farewell, link)->s);
    signals_close(l);
    loop_unwatch(l);
    platform_memory_close(l->memory_fd);
    uv_close((uv_handle_t *)&l->clock, on_closed);
    uv_close((uv_handle_t *)&l->turn, on_closed);
    uv_close((uv_handle_t *)&l->woke, on_closed);
    uv_close((uv_handle_t *)&l->busy, on_closed);
    uv_walk(&l->uv, assert_closing, NULL);
    while (l->open > 0)
        uv_run(&l->uv, UV_RUN_ONCE);
    core_free(&l->core);
    tls_scratch_free(l->tls);
    l->tls = NULL;
    if (!resolver_settle(l)) {
        l->left = left_behind;
        left_behind = l;
        return;
    }
    resolver_free(l->resolver);
    int r = uv_loop_close(&l->uv);
    assert(r == 0);
    (void)r;
    mem_free(l);
}

/* ---- errors ---------------------------------------------------------------------------------- */

enum err uv_err(int r, const char **why)
{
    static const struct {
        int code;
        enum err e;
        const char *why;
    } table[] = {
        {UV_ECONNRESET, ERR_RESET, "connection reset by the peer"},
        {UV_EPIPE, ERR_RESET, "connection closed by the peer"},
        {UV_ETIMEDOUT, ERR_TIMEOUT, "connection timed out"},
        {UV_ECONNREFUSED, ERR_CONNECT, "connection refused"},
        {UV_ENETUNREACH, ERR_CONNECT, "network unreachable"},
        {UV_EHOSTUNREACH, ERR_CONNECT, "host unreachable"},
        {UV_EADDRNOTAVAIL, ERR_CONNECT, "no local address or port left"},
        {UV_ENOENT, ERR_CONNECT, "no such socket"},
        {UV_EADDRINUSE, ERR_EXISTS, "address already in use"},
        {UV_EACCES, ERR_DENIED, "permission denied"},
        {UV_EPERM, ERR_DENIED, "permission denied"},
        {UV_EMFILE, ERR_BUSY, "out of file descriptors"},
        {UV_ENFILE, ERR_BUSY, "out of file descriptors"},
        {UV_ENOMEM, ERR_NOMEM, "out of memory"},
        {UV_ENOBUFS, ERR_NOMEM, "out of memory"},
        {UV_ENAMETOOLONG, ERR_RANGE, "path too long"},
    };
    assert(r < 0);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (table[i].code == r) {
            *why = table[i].why;
            return table[i].e;
        }
    }
    *why = "connection failed";
    return ERR_IO;
}
