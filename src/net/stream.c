/* stream: plain byte pipes over libuv, and the life of a stream with or without TLS. */
#include "net/addr.h"
#include "net/platform.h"
#include "net/stream.h"
#include "net/tls.h"

#include <limits.h>
#include <string.h>

/* What a blocked write copies: enough to keep libuv's hands full, little enough not to matter. The
 * rest is written from the owner's memory once these bytes are gone. */
#define WIRE_PIECE 4096

/* A peer that does not read what we still owe it, and one that does not hang up after our FIN. */
#define FLUSH_MS   30000
#define LINGER_MS  2000

/* Bytes in libuv's hands, ours and not the owner's: so an owner's memory is free as soon as an
 * abort or a finish returns, whatever libuv still has in flight. */
struct wire {
    uv_write_t req;
    struct stream *s;
    char bytes[];
};

static_assert((int)ERR_COUNT < UINT8_MAX && LATE_STREAMS < UINT8_MAX && STREAM_IOV < UINT8_MAX,
              "struct stream has a byte for each");

static void stream_close(struct stream *s);
static void on_bytes(uv_stream_t *h, ssize_t n, const uv_buf_t *b);

static struct stream *stream_of(uv_handle_t *h)
{
    return h->data;
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool hungry(const struct stream *s)
{
    switch (s->state) {
    case STREAM_OPEN:
        if (s->ended || s->broke || s->last != LAST_NONE)
            return false;
        return s->tls != NULL ? tls_hungry(s) : s->want;
    case STREAM_FLUSH:
    case STREAM_LINGER:
        return !s->ended;
    case STREAM_DEAD:
    case STREAM_CLOSED:
        break;
    }
    return false;
}

/* How much of a stream's bytes may be read now. Who sends as fast as it is read must not keep all
 * others waiting, nor may hundreds of them together: they go on in the next turn. */
static unsigned room_now(struct stream *s)
{
    struct loop *l = s->loop;
    if (l->reader == NULL)
        l->read_at = loop_now(l); /* libuv may poll many times in a turn, and moves it each time */
    if (l->reader != s) {
        l->reader = s;
        l->reads = 0;
    }
    if (l->unclocked >= CLOCK_BYTES && !l->crowded) {
        l->unclocked = 0;
        l->crowded = loop_now_us(l) / 1000 - l->read_at >= CROWD_MS;
    }
    if (l->crowded ? s->read_turn == l->read_turn : l->reads >= READS_MOST)
        return 0;
    l->reads++;
    s->read_turn = l->read_turn;
    if (l->crowded)
        return s->dialled ? CROWD_REPLY_SIZE : CROWD_SIZE;
    return s->dialled ? REPLY_READ_SIZE : s->tls != NULL ? TLS_READ_SIZE : NET_READ_SIZE;
}

void reads_renew(struct loop *l)
{
    l->reader = NULL;
    l->crowded = false;
    l->read_turn++;
}

/* A pause is lazy: libuv is told to stop only when bytes arrive that nobody wants, by giving it no
 * room for them. So pausing and resuming between two messages costs no system call. */
static void on_room(uv_handle_t *h, size_t hint, uv_buf_t *b)
{
    (void)hint;
    struct stream *s = stream_of(h);
    size_t room = hungry(s) ? room_now(s) : 0;
    char *at = NULL;
    if (room > 0 && s->tls == NULL && s->state == STREAM_OPEN && s->ops->room != NULL)
        at = s->ops->room(s->owner, &room);
    assert(room <= NET_READ_SIZE);
    *b = uv_buf_init(at != NULL ? at : room > 0 ? s->loop->read_buf : NULL, (unsigned)room);
}

static void unarm(struct stream *s)
{
    if (s->reading)
        uv_read_stop(&s->h.stream);
    s->reading = false;
}

void stream_arm(struct stream *s)
{
    if (s->reading || !hungry(s))
        return;
    int r = uv_read_start(&s->h.stream, on_room, on_bytes);
    if (r == 0) {
        s->reading = true;
        return;
    }
    const char *why;
    enum err e = uv_err(r, &why);
    s->last = LAST_ERROR; /* told in the next turn */
    s->last_err = (uint8_t)e;
    s->last_why = why;
    task_post(s->loop, &s->deliver);
}

static void on_fin(struct stream *s)
{
    s->reading = false; /* libuv has stopped by itself */
    if (s->state == STREAM_LINGER)
        stream_close(s);
    else if (s->state == STREAM_FLUSH)
        s->ended = true;
    else if (s->tls != NULL)
        tls_eof(s);
    else
        stream_last(s, OK, NULL);
}

/* After a last read libuv takes any hang-up for an end. A reset must not look like one: to a
 * message without a length it would be the end of the message. */
static ssize_t eof_or_error(struct stream *s)
{
    uv_os_fd_t fd;
    int r = 0;
    if (uv_fileno(&s->h.any, &fd) == 0)
        r = platform_error(fd);
    return r < 0 ? r : UV_EOF;
}

static void on_bytes(uv_stream_t *h, ssize_t n, const uv_buf_t *b)
{
    struct stream *s = stream_of((uv_handle_t *)h);
    if (n == 0)
        return; /* EAGAIN */
    if (n == UV_EOF)
        n = eof_or_error(s);
    if (n == UV_ENOBUFS) {
        if (!hungry(s))
            unarm(s); /* else it has had its share of this turn */
    } else if (n == UV_EOF) {
        on_fin(s);
    } else if (n < 0) {
        s->reading = false;
        const char *why;
        enum err e = uv_err((int)n, &why);
        if (s->state == STREAM_OPEN && s->tls != NULL && !tls_ready(s->tls))
            tls_broke(s, e, why);
        else
            stream_last(s, e, why);
    } else if (s->state == STREAM_OPEN) {
        assert((size_t)n <= b->len);
        s->loop->unclocked += (size_t)n;
        struct slice bytes = {b->base, (size_t)n};
        if (s->tls != NULL)
            tls_input(s, bytes);
        else
            s->ops->on_read(s->owner, bytes);
    }
    /* In FLUSH and LINGER what still comes is thrown away. */
}

/* Reports `last` to an owner that wants to read. */
static void tell_last(struct stream *s)
{
    if (s->state != STREAM_OPEN || !s->want || s->last == LAST_NONE)
        return;
    if (s->last == LAST_ERROR) {
        stream_fail(s, s->last_err, s->last_why);
        return;
    }
    s->last = LAST_NONE;
    s->ended = true;
    s->ops->on_end(s->owner);
}

void stream_last(struct stream *s, enum err e, const char *why)
{
    if (s->state == STREAM_FLUSH || s->state == STREAM_LINGER) {
        stream_close(s);
        return;
    }
    if (s->state != STREAM_OPEN || s->ended || s->last != LAST_NONE || s->broke)
        return;
    s->last = e == OK ? LAST_END : LAST_ERROR;
    s->last_err = (uint8_t)e;
    s->last_why = why;
    tell_last(s);
}

static void on_deliver(void *arg)
{
    struct stream *s = arg;
    if (s->broke) {
        stream_fail(s, s->last_err, s->last_why);
        return;
    }
    if (s->state == STREAM_OPEN && s->tls != NULL && tls_ready(s->tls))
        tls_pump(s);
    tell_last(s);
    stream_arm(s);
}

void stream_read(struct stream *s, bool on)
{
    assert(s->state == STREAM_OPEN || s->state == STREAM_DEAD);
    assert(!on || s->ops != NULL);
    if (s->want == on)
        return;
    s->want = on;
    if (!on || s->state != STREAM_OPEN)
        return;
    if (s->last != LAST_NONE || (s->tls != NULL && tls_hiding(s)))
        task_post(s->loop, &s->deliver);
    stream_arm(s);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void rest_clear(struct stream *s)
{
    if (s->rest != s->loop->rest)
        mem_free(s->rest);
    s->rest = NULL;
    s->rest_n = 0;
}

/* What is left of a write that could not go out whole outlives the call. */
static void rest_keep(struct stream *s)
{
    assert(s->rest == s->loop->rest);
    s->rest = NULL;
    if (s->rest_n == 0)
        return;
    s->rest = mem_new((size_t)s->rest_n * sizeof s->rest[0]);
    memcpy(s->rest, s->loop->rest, (size_t)s->rest_n * sizeof s->rest[0]);
}

size_t rest_size(const struct stream *s)
{
    size_t n = 0;
    for (int i = 0; i < s->rest_n; i++)
        n += s->rest[i].n;
    return n;
}

void rest_drop(struct stream *s, size_t n)
{
    uint8_t i = 0;
    while (i < s->rest_n && n >= s->rest[i].n)
        n -= s->rest[i++].n;
    assert(i < s->rest_n || n == 0);
    if (i > 0) {
        s->rest_n = (uint8_t)(s->rest_n - i);
        memmove(s->rest, s->rest + i, (size_t)s->rest_n * sizeof s->rest[0]);
    }
    if (n > 0)
        s->rest[0] = slice_sub(s->rest[0], n, s->rest[0].n);
}

size_t rest_take(struct stream *s, char *out, size_t n)
{
    size_t got = 0;
    for (int i = 0; i < s->rest_n && got < n; i++) {
        size_t part = s->rest[i].n < n - got ? s->rest[i].n : n - got;
        memcpy(out + got, s->rest[i].p, part);
        got += part;
    }
    rest_drop(s, got);
    return got;
}

/* Sends rest, and tells the owner when it was waiting. */
static void push_on(struct stream *s);

static void on_wire(uv_write_t *req, int status)
{
    struct wire *w = CONTAINER(req, struct wire, req);
    struct stream *s = w->s;
    mem_free(w);
    assert(s->queued > 0);
    s->queued--;
    if (s->state == STREAM_CLOSED || s->state == STREAM_DEAD)
        return;
    if (status < 0) {
        const char *why;
        enum err e = uv_err(status, &why);
        stream_fail(s, e, why);
    } else if (s->state == STREAM_OPEN && s->queued == 0 && s->writing) {
        push_on(s);
    }
}

static enum err late_offer(struct stream *s, const char **why);

static enum err wire_submit(struct stream *s, struct wire *w, size_t n, const char **why)
{
    enum err e = s->late > 0 ? late_offer(s, why) : OK; /* it comes before */
    uv_buf_t b = uv_buf_init(w->bytes, (unsigned)n);
    w->s = s;
    int r = e == OK ? uv_write(&w->req, &s->h.stream, &b, 1, on_wire) : 0;
    if (r < 0)
        e = uv_err(r, why);
    if (e != OK) {
        mem_free(w);
        return e;
    }
    s->queued++;
    return ERR_AGAIN;
}

enum err wire_queue(struct stream *s, const char *p, size_t n, const char **why)
{
    assert(n > 0 && n < UINT_MAX);
    struct wire *w = mem_try(sizeof *w + n);
    if (w == NULL)
        return uv_err(UV_ENOMEM, why);
    memcpy(w->bytes, p, n);
    return wire_submit(s, w, n, why);
}

/* Asks the kernel to take what is late and v behind it, in one call. What it does not take of the
 * former is queued; *sent says how much it took of v. */
static enum err wire_offer(struct stream *s, const struct slice *v, int n, size_t *sent,
                           const char **why)
{
    uv_buf_t b[STREAM_IOV + 1];
    unsigned k = 0;
    struct slice late = late_drop(s);
    assert(s->queued == 0 && n <= STREAM_IOV);
    *sent = 0;
    if (late.n > 0)
        b[k++] = uv_buf_init((char *)late.p, (unsigned)late.n);
    for (int i = 0; i < n; i++)
        b[k++] = uv_buf_init((char *)v[i].p, (unsigned)v[i].n);
    int r = k > 0 ? uv_try_write(&s->h.stream, b, k) : 0;
    if (r < 0 && r != UV_EAGAIN)
        return uv_err(r, why);
    size_t took = r > 0 ? (size_t)r : 0;
    if (took < late.n) {
        enum err e = wire_queue(s, late.p + took, late.n - took, why);
        return e == ERR_AGAIN ? OK : e;
    }
    *sent = took - late.n;
    return OK;
}

static enum err late_offer(struct stream *s, const char **why)
{
    size_t none;
    return wire_offer(s, NULL, 0, &none, why);
}

void wire_late(struct stream *s)
{
    const char *why;
    enum err e = s->late > 0 ? late_offer(s, &why) : OK;
    if (e == OK || s->broke)
        return;
    if (s->last != LAST_ERROR) {
        s->last_err = (uint8_t)e;
        s->last_why = why;
    }
    s->broke = true;
    task_post(s->loop, &s->deliver);
}

enum err wire_send(struct stream *s, const char *p, size_t n, const char **why)
{
    size_t sent = 0;
    struct slice v = {p, n};
    if (late_take(s, &v, 1))
        return OK;
    if (s->queued == 0) {
        enum err e = wire_offer(s, &v, 1, &sent, why);
        if (e != OK)
            return e;
    }
    return sent == n ? OK : wire_queue(s, p + sent, n - sent, why);
}

/* Sends s->rest without TLS. The kernel is asked first, with all of it in one call; when it has had
 * enough, one piece goes to libuv, which waits until the socket is writable. */
static enum err plain_push(struct stream *s, const char **why)
{
    if (s->queued == 0) {
        size_t sent;
        enum err e = wire_offer(s, s->rest, s->rest_n, &sent, why);
        if (e != OK)
            return e;
        rest_drop(s, sent);
    }
    size_t n = rest_size(s);
    if (n == 0)
        return OK;
    if (n > WIRE_PIECE)
        n = WIRE_PIECE;
    struct wire *w = mem_try(sizeof *w + n);
    if (w == NULL)
        return uv_err(UV_ENOMEM, why);
    size_t got = rest_take(s, w->bytes, n);
    assert(got == n);
    return wire_submit(s, w, got, why);
}

static enum err push(struct stream *s, const char **why)
{
    return s->tls != NULL ? tls_push(s, why) : plain_push(s, why);
}

static void push_on(struct stream *s)
{
    const char *why = NULL;
    enum err e = push(s, &why);
    if (e == ERR_AGAIN)
        return;
    s->writing = false;
    rest_clear(s);
    if (e != OK)
        stream_fail(s, e, why);
    else
        s->ops->on_written(s->owner);
}

enum err stream_write(struct stream *s, const struct slice *v, int n)
{
    assert(n >= 0 && n <= STREAM_IOV);
    assert(s->state == STREAM_OPEN || s->state == STREAM_DEAD);
    assert(!s->writing && s->rest == NULL && s->rest_n == 0);
    assert(s->ops != NULL);
    if (s->state == STREAM_DEAD)
        return ERR_RESET;
    bool broken = s->broke || fault_here();
    if (!broken && s->tls == NULL && late_take(s, v, n))
        return OK;
    s->rest = s->loop->rest;
    for (int i = 0; i < n; i++) {
        if (v[i].n > 0)
            s->rest[s->rest_n++] = v[i];
    }
    const char *why = NULL;
    enum err e = broken ? ERR_RESET : push(s, &why);
    s->writing = e == ERR_AGAIN;
    if (s->writing)
        rest_keep(s);
    else
        rest_clear(s);
    if (e != OK && e != ERR_AGAIN) {
        s->state = STREAM_DEAD;
        unarm(s);
    }
    return e;
}

bool stream_writing(const struct stream *s)
{
    return s->writing;
}

/* ---- birth ----------------------------------------------------------------------------------- */

static void on_deadline(void *arg)
{
    struct stream *s = arg;
    assert(s->state == STREAM_FLUSH || s->state == STREAM_LINGER);
    stream_close(s);
}

struct stream *stream_new(struct loop *l, bool tcp)
{
    struct stream *s = mem_new(offsetof(struct stream, h) +
                               (tcp ? sizeof(uv_tcp_t) : sizeof(uv_pipe_t)));
    int r = tcp ? uv_tcp_init(&l->uv, &s->h.tcp) : uv_pipe_init(&l->uv, &s->h.pipe, 0);
    assert(r == 0); /* allocates nothing, opens nothing */
    (void)r;
    s->h.any.data = s;
    s->loop = l;
    l->open++;
    l->fds++;
    task_init(&s->deliver, on_deliver, s);
    return s;
}

void stream_own(struct stream *s, const struct stream_ops *ops, void *owner)
{
    assert(s->state == STREAM_OPEN || s->state == STREAM_DEAD);
    assert(ops->on_read != NULL && ops->on_end != NULL && ops->on_error != NULL &&
           ops->on_written != NULL);
    s->ops = ops;
    s->owner = owner;
}

void stream_set_peer(struct stream *s, const struct addr *a)
{
    assert(s->peer == NULL);
    s->peer = NEW(struct addr);
    *s->peer = *a;
}

static void peer_ask(struct stream *s)
{
    struct sockaddr_storage to = {.ss_family = AF_UNSPEC};
    int size = sizeof to;
    struct addr a = {.port = 0};
    if (s->h.any.type != UV_TCP)
        addr_unix(&a);
    else if (uv_tcp_getpeername(&s->h.tcp, (struct sockaddr *)&to, &size) == 0)
        addr_from_sock(&a, (const struct sockaddr *)&to);
    stream_set_peer(s, &a);
}

/* Who was dialled is asked for only when somebody wants to know. */
const struct addr *stream_peer(const struct stream *s)
{
    if (s->peer == NULL)
        peer_ask((struct stream *)(uintptr_t)s); /* only what it remembers changes */
    return s->peer;
}

bool stream_is_tls(const struct stream *s)
{
    return s->tls != NULL;
}

const char *stream_tls_version(const struct stream *s)
{
    return s->tls != NULL ? tls_version(s->tls) : "";
}

/* ---- death ----------------------------------------------------------------------------------- */

void stream_release(struct stream *s)
{
    assert(s->state == STREAM_CLOSED && s->queued == 0 && s->late == 0);
    assert(s->rest == NULL);
    assert(s->farewell == NULL || !timer_armed(&s->farewell->deadline));
    s->loop->open--;
    mem_free(s->farewell);
    mem_free(s->peer);
    mem_free(s);
}

static void on_closed(uv_handle_t *h)
{
    struct stream *s = stream_of(h);
    s->loop->fds--;
    if (s->tls == NULL || tls_free(s))
        stream_release(s);
}

static void stream_close(struct stream *s)
{
    assert(s->state != STREAM_CLOSED);
    wire_late(s); /* what was written is not what is queued: an abort does not take it back */
    s->state = STREAM_CLOSED;
    s->ops = NULL;
    s->owner = NULL;
    rest_clear(s);
    task_cancel(&s->deliver);
    if (s->farewell != NULL) {
        timer_stop(&s->farewell->deadline);
        list_remove(&s->farewell->link);
        s->loop->finishing_n--;
    }
    uv_close(&s->h.any, on_closed);
}

void stream_fail(struct stream *s, enum err e, const char *why)
{
    assert(e != OK && e != ERR_AGAIN && why != NULL);
    if (s->state == STREAM_FLUSH || s->state == STREAM_LINGER) {
        stream_close(s);
        return;
    }
    if (s->state != STREAM_OPEN)
        return;
    if (s->tls != NULL && !tls_ready(s->tls)) {
        tls_broke(s, e, why);
        return;
    }
    s->state = STREAM_DEAD;
    s->writing = false;
    rest_clear(s);
    unarm(s);
    if (s->ops != NULL)
        s->ops->on_error(s->owner, e, why);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    struct stream *s = stream_of((uv_handle_t *)req->handle);
    if (s->state != STREAM_FLUSH)
        return;
    if (status < 0 || s->ended) {
        stream_close(s);
        return;
    }
    s->state = STREAM_LINGER;
    timer_set(&s->farewell->deadline, loop_now(s->loop) + LINGER_MS);
}

/* Hands everything that is still unsent to the kernel or, copied, to libuv. */
static enum err flush(struct stream *s)
{
    const char *why;
    if (s->tls != NULL)
        return tls_goodbye(s, &why);
    size_t n = rest_size(s);
    if (n == 0)
        return OK;
    struct wire *w = mem_try(sizeof *w + n);
    if (w == NULL)
        return ERR_NOMEM;
    size_t got = rest_take(s, w->bytes, n);
    return wire_submit(s, w, got, &why);
}

/* Politeness ends where descriptors do: the oldest one with nothing left to say goes first. */
static void finishing_bound(struct loop *l)
{
    if (l->finishing_n <= l->finishing_max)
        return;
    struct link *at = l->finishing.next;
    while (at != &l->finishing && CONTAINER(at, struct farewell, link)->s->queued > 0)
        at = at->next;
    if (at == &l->finishing)
        at = l->finishing.next;
    stream_close(CONTAINER(at, struct farewell, link)->s);
    assert(l->finishing_n <= l->finishing_max);
}

/* What is queued goes out, then the FIN. */
static void stream_wind_up(struct stream *s)
{
    s->ops = NULL;
    s->owner = NULL;
    s->want = false;
    s->writing = false;
    s->state = STREAM_FLUSH;
    if (s->last != LAST_NONE)
        s->ended = true;
    task_cancel(&s->deliver);
    struct farewell *f = NEW(struct farewell);
    f->s = s;
    list_init(&f->link);
    timer_init(&f->deadline, s->loop, on_deadline, s);
    s->farewell = f;
    list_push(&s->loop->finishing, &f->link);
    s->loop->finishing_n++;
    timer_set(&f->deadline, loop_now(s->loop) + FLUSH_MS);
    stream_arm(s); /* a peer stuck in writing would not read */
    struct loop *l = s->loop;
    if (uv_shutdown(&f->shutdown, &s->h.stream, on_shutdown) < 0)
        stream_close(s);
    finishing_bound(l);
}

void stream_finish(struct stream *s)
{
    assert(s->state == STREAM_OPEN || s->state == STREAM_DEAD);
    assert(s->tls == NULL || tls_ready(s->tls));
    enum err e = s->state == STREAM_DEAD ? ERR_RESET : flush(s);
    wire_late(s);
    if (s->broke || (e != OK && e != ERR_AGAIN) || (s->ended && s->queued == 0))
        stream_close(s); /* nobody to be polite to, or both sides are through */
    else
        stream_wind_up(s);
}

void stream_refuse(struct stream *s)
{
    assert(s->tls != NULL && !tls_busy(s->tls) && s->state == STREAM_DEAD);
    wire_late(s);
    if (s->broke)
        stream_close(s);
    else
        stream_wind_up(s);
}

void stream_abort(struct stream *s)
{
    stream_close(s);
}
