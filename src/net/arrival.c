/* arrival: see arrival.h. */
#include "net/arrival.h"

#include "net/platform.h"
#include "net/proxy.h"
#include "net/tls.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A peer that has kept us waiting for so long may be closed for another one: one that has yet to
 * say its first words, which come with a connection; one that has been in line for so long that it
 * may have given up. */
#define PATIENCE_MS    50
#define QUEUED_MS      1000
#define LOOK_MS        20
#define SAY_MS         10000
#define PEEK           1024
#define RECORD_HEAD    5 /* type, version, length: RFC 8446 section 5.1 */
#define RECORD_MOST    (RECORD_HEAD + 16384)
#define PICK_FROM      128 /* of those who wait, the newest */
/* Of all descriptors: who arrives may take what nobody else has taken, but not the last of them. */
#define FDS_SHARE(all) ((all) / 5 * 4)

enum arrival_state { ARRIVAL_HEADER, ARRIVAL_HELLO, ARRIVAL_QUEUED, ARRIVAL_SHAKE, ARRIVAL_HELD };

struct arrival {
    struct link link; /* in the porch */
    struct link mute; /* in its list of those that have yet to speak */
    struct link slot; /* in the server's taken or waiting */
    struct loop *loop;
    struct porch *porch; /* NULL once it is gone */
    enum arrival_state state;
    int64_t since; /* the state began */
    struct timer timer;
    struct tls_server *tls; /* counted; NULL: plain */
    struct addr peer;
    int fd; /* until it is the stream's */
    uv_poll_t poll;
    bool polled;  /* poll is a handle, open or closing: the memory is libuv's, too */
    bool polling; /* open */
    bool gone;
    uint8_t source; /* a hash of where it comes from */
    size_t peeked;  /* HELLO: bytes seen at the latest look */
    struct proxy_reader proxy;
    struct stream *s;
};

/* ---- the end --------------------------------------------------------------------------------- */

static void arrival_bury(void *mem)
{
    mem_free(mem);
}

static void on_poll_closed(uv_handle_t *h)
{
    struct arrival *a = h->data;
    a->polled = false;
    a->loop->open--;
    if (a->gone)
        mem_free(a);
}

static void poll_close(struct arrival *a)
{
    if (!a->polling)
        return;
    a->polling = false;
    uv_close((uv_handle_t *)&a->poll, on_poll_closed);
}

static struct arrival *arrival_of_slot(struct link *l)
{
    return CONTAINER(l, struct arrival, slot);
}

/* Out of the server's lists; who waits there looks again in the next turn. */
static void slot_leave(struct arrival *a)
{
    if (list_empty(&a->slot))
        return;
    struct tls_slots *slots = tls_server_slots(a->tls);
    if (a->state == ARRIVAL_QUEUED) {
        slots->waiting_n--;
    } else {
        assert(slots->taken_of[a->source] > 0);
        slots->taken_of[a->source]--;
        slots->taken_n--;
    }
    assert(slots->waiting_n >= 0 && slots->taken_n >= 0);
    list_remove(&a->slot);
    if (slots->waiting_n > 0)
        task_post(a->loop, &slots->more);
}

/* All but the stream, which the caller has taken or is about to end. */
static void arrival_leave(struct arrival *a)
{
    struct porch *p = a->porch;
    assert(!a->gone && p->stats.arrivals > 0);
    a->gone = true;
    p->stats.arrivals--;
    slot_leave(a);
    list_remove(&a->link);
    list_remove(&a->mute);
    timer_stop(&a->timer);
    proxy_free(&a->proxy);
    poll_close(a);
    if (a->fd >= 0) {
        close(a->fd);
        a->loop->fds--;
    }
    if (a->tls != NULL)
        tls_server_unref(a->tls);
    a->porch = NULL;
    if (!a->polled)
        loop_bury(p->loop, a, arrival_bury);
}

static void arrival_drop(struct arrival *a)
{
    if (a->s != NULL)
        stream_abort(a->s);
    arrival_leave(a);
}

/* A stranger's mistake is worth a line, but not one each. */
static void say_refused(struct porch *p, const struct addr *peer, const char *why)
{
    int64_t now = loop_now(p->loop);
    if (p->said_at != 0 && now - p->said_at < SAY_MS) {
        p->unsaid++;
        log_debug("connection refused", LF_STR("peer", peer->text), LF_STR("why", why));
        return;
    }
    log_info("connection refused", LF_STR("peer", peer->text), LF_STR("why", why),
             LF_INT("others_unsaid", p->unsaid));
    p->said_at = now > 0 ? now : 1;
    p->unsaid = 0;
}

/* The descriptor becomes a stream. */
static bool arrival_stream(struct arrival *a)
{
    assert(a->s == NULL && a->fd >= 0 && !a->polling);
    a->s = stream_new(a->loop, true);
    platform_want(a->fd, 1);
    if (uv_tcp_open(&a->s->h.tcp, a->fd) < 0)
        return false;
    a->fd = -1;
    a->loop->fds--; /* the stream has counted it */
    stream_set_peer(a->s, &a->peer);
    return true;
}

/* ---- to the owner ---------------------------------------------------------------------------- */

static void arrival_move(struct arrival *a, enum arrival_state to, int64_t deadline_ms)
{
    int64_t now = loop_now(a->porch->loop);
    a->state = to;
    a->since = now;
    timer_set(&a->timer, now + deadline_ms);
}

static void arrival_pass(struct arrival *a)
{
    struct porch *p = a->porch;
    struct stream *s = a->s;
    arrival_leave(a);
    p->pass(p->arg, s); /* may pause or close the listener */
}

static void arrival_ready(struct arrival *a)
{
    slot_leave(a);
    if (!a->porch->paused) {
        arrival_pass(a);
        return;
    }
    arrival_move(a, ARRIVAL_HELD, a->porch->o.handshake_ms);
}

static struct arrival *porch_held(struct porch *p)
{
    for (struct link *k = p->all.next; k != &p->all; k = k->next) {
        struct arrival *a = CONTAINER(k, struct arrival, link);
        if (a->state == ARRIVAL_HELD)
            return a;
    }
    return NULL;
}

static void on_deliver(void *arg)
{
    struct porch *p = arg;
    struct arrival *a;
    if (p->paused || (a = porch_held(p)) == NULL)
        return;
    task_post(p->loop, &p->deliver); /* before: the owner may close the listener */
    if (a->s->state == STREAM_OPEN)
        arrival_pass(a);
    else /* it broke while nobody was there to be told */
        arrival_drop(a);
}

/* ---- TLS ------------------------------------------------------------------------------------- */

static void on_handshake(void *arg, enum err e, const char *why)
{
    struct arrival *a = arg;
    if (e == OK) {
        arrival_ready(a);
        return;
    }
    a->porch->stats.no_handshake++;
    tls_server_refused(a->tls);
    say_refused(a->porch, &a->peer, why);
    stream_refuse(a->s);
    arrival_leave(a);
}

/* Has its answer to ours, or its first words, kept us waiting for too long? */
static bool shake_idles(const struct arrival *a, int64_t now)
{
    if (a->state != ARRIVAL_SHAKE || tls_busy(a->s->tls))
        return false;
    return now - a->since >=
           (tls_answered(a->s->tls) ? tls_server_slots(a->tls)->patience_ms : PATIENCE_MS);
}

/* The oldest handshake that waits for its peer, for too long; NULL if there is none. */
static struct arrival *slots_idle(struct tls_slots *slots, int64_t now)
{
    for (struct link *k = slots->taken.next; k != &slots->taken; k = k->next) {
        struct arrival *a = arrival_of_slot(k);
        if (now - a->since < PATIENCE_MS)
            break; /* oldest first */
        if (shake_idles(a, now))
            return a;
    }
    return NULL;
}

/* Of the newest, one whose source has the fewest places: a few sources with many connections each
 * must not keep the others waiting. */
static struct arrival *slots_pick(struct tls_slots *slots)
{
    struct arrival *best = NULL;
    struct link *k = slots->waiting.prev;
    for (int i = 0; i < PICK_FROM && k != &slots->waiting; i++, k = k->prev) {
        struct arrival *a = arrival_of_slot(k);
        if (best == NULL || slots->taken_of[a->source] < slots->taken_of[best->source])
            best = a;
    }
    assert(best != NULL && best->state == ARRIVAL_QUEUED);
    return best;
}

/* The hello that was waited for is in the kernel's hands: taken from there at once, so that the
 * gate knows of this step before the next one is let in. */
static void arrival_shake(struct arrival *a)
{
    struct loop *l = a->loop;
    poll_close(a);
    arrival_move(a, ARRIVAL_SHAKE, a->porch->o.handshake_ms);
    ssize_t n = recv(a->fd, l->read_buf, TLS_READ_SIZE, 0);
    if (n <= 0 || !arrival_stream(a) || tls_server_start(a->tls, a->s, on_handshake, a) != OK) {
        arrival_drop(a);
        return;
    }
    tls_input(a->s, (struct slice){l->read_buf, (size_t)n}); /* may be the end of it */
}

static void slots_run(struct tls_slots *slots, int64_t now)
{
    while (slots->waiting_n > 0 && !tls_gate_busy(slots->gate)) {
        if (slots->taken_n >= slots->most) {
            struct arrival *idle = slots_idle(slots, now);
            if (idle == NULL)
                break;
            idle->porch->stats.crowded++;
            arrival_drop(idle);
        }
        struct arrival *a = slots_pick(slots);
        list_remove(&a->slot);
        slots->waiting_n--;
        list_push(&slots->taken, &a->slot);
        slots->taken_n++;
        slots->taken_of[a->source]++;
        arrival_shake(a);
    }
    slots->gate->ready = slots->waiting_n > 0 ? &slots->more : NULL;
    if (slots->waiting_n > 0)
        timer_set(&slots->look, now + LOOK_MS);
}

void arrival_slots_look(void *arg)
{
    struct tls_slots *slots = arg;
    slots_run(slots, loop_now(slots->look.loop));
}

/* ---- the socket ------------------------------------------------------------------------------ */

static uint8_t source_hash(const struct addr *a)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    bool v4 = memcmp(a->ip, mapped, sizeof mapped) == 0;
    return (uint8_t)crypto_siphash((struct slice){(const char *)a->ip, v4 ? 16 : 8});
}

static void on_readable(uv_poll_t *h, int status, int events);

/* What opens the handshake is here: it may begin, in its turn. Who hangs up while waiting for that
 * must not keep a place. */
static void arrival_queue(struct arrival *a)
{
    struct tls_slots *slots = tls_server_slots(a->tls);
    list_remove(&a->mute);
    a->source = source_hash(&a->peer);
    arrival_move(a, ARRIVAL_QUEUED, a->porch->o.handshake_ms);
    list_push(&slots->waiting, &a->slot);
    slots->waiting_n++;
    slots_run(slots, loop_now(a->loop));
    if (!a->gone && a->state == ARRIVAL_QUEUED &&
        uv_poll_start(&a->poll, UV_DISCONNECT, on_readable) < 0)
        arrival_drop(a);
}

/* It does not speak TLS: told so, in TLS, without a thread's help (RFC 8446 section 6). What it
 * said is taken first, else the answer would be lost to a reset. */
static void refuse_foreign(struct arrival *a)
{
    static const char alert[] = {21, 3, 3, 0, 2, 2, 10}; /* fatal: unexpected message */
    ssize_t n = recv(a->fd, a->loop->read_buf, NET_READ_SIZE, 0);
    if (n > 0)
        n = send(a->fd, alert, sizeof alert, MSG_NOSIGNAL);
    a->porch->stats.no_handshake++;
    tls_server_refused(a->tls);
    say_refused(a->porch, &a->peer,
                n > 0 ? "the client does not speak TLS" : "connection reset by the peer");
    arrival_drop(a);
}

/* The header, if one was due, is through. */
static void arrival_open(struct arrival *a)
{
    assert(a->tls == NULL);
    poll_close(a);
    list_remove(&a->mute);
    if (arrival_stream(a))
        arrival_ready(a);
    else
        arrival_drop(a);
}

#define HANDSHAKE_RECORD 22

/* How many bytes the first record has, as far as `n` of them tell. */
static size_t hello_size(const char *p, size_t n)
{
    const uint8_t *b = (const uint8_t *)p;
    size_t size = n < RECORD_HEAD ? RECORD_HEAD : RECORD_HEAD + (size_t)b[3] * 256 + b[4];
    return size > RECORD_MOST ? n : size;
}

/* Nothing is taken: the bytes stay in the kernel's hands, which wakes us when the record is whole.
 * If it wakes us for less all the same, nothing more will come. */
static void on_hello(struct arrival *a)
{
    ssize_t got = recv(a->fd, a->loop->read_buf, RECORD_MOST, MSG_PEEK);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    size_t n = got > 0 ? (size_t)got : 0, want = hello_size(a->loop->read_buf, n);
    if (n > 0 && a->loop->read_buf[0] != HANDSHAKE_RECORD) {
        refuse_foreign(a);
    } else if (n >= want) {
        arrival_queue(a);
    } else if (n == 0 || n == a->peeked) { /* a check that the port is open looks like that */
        a->porch->stats.no_handshake++;
        tls_server_refused(a->tls);
        arrival_drop(a);
    } else {
        a->peeked = n;
        platform_want(a->fd, want);
    }
}

/* The header is through, or none was due. */
static void arrival_greet(struct arrival *a)
{
    arrival_move(a, ARRIVAL_HELLO, a->porch->o.handshake_ms);
    platform_want(a->fd, RECORD_HEAD);
    on_hello(a);
}

static void refuse_header(struct arrival *a, const char *why)
{
    a->porch->stats.bad_header++;
    say_refused(a->porch, &a->peer, why);
    arrival_drop(a);
}

/* Looks at what has come and takes no byte beyond the header: what follows is for the stream. */
static void on_header(struct arrival *a)
{
    char peek[PEEK];
    struct proxy_told told;
    const char *why = "out of memory";
    enum err e = ERR_AGAIN;
    while (e == ERR_AGAIN) {
        ssize_t n = recv(a->fd, peek, sizeof peek, MSG_PEEK);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
            return;
        if (n <= 0) {
            arrival_drop(a); /* a check that the port is open looks like that */
            return;
        }
        size_t taken;
        e = proxy_feed(&a->proxy, (struct slice){peek, (size_t)n}, &taken, &told, &why);
        if (taken > 0 && recv(a->fd, peek, taken, 0) != (ssize_t)taken)
            e = ERR_IO;
    }
    if (e != OK) {
        refuse_header(a, why);
        return;
    }
    if (!told.local)
        a->peer = told.from;
    a->peer.is_loopback = false;
    if (a->tls != NULL)
        arrival_greet(a);
    else
        arrival_open(a);
}

static void on_readable(uv_poll_t *h, int status, int events)
{
    struct arrival *a = h->data;
    (void)status; /* an error shows again in recv */
    (void)events;
    if (a->state == ARRIVAL_HEADER) {
        on_header(a);
    } else if (a->state == ARRIVAL_HELLO) {
        on_hello(a);
    } else {
        assert(a->state == ARRIVAL_QUEUED);
        a->porch->stats.no_handshake++;
        tls_server_refused(a->tls);
        arrival_drop(a);
    }
}

static void arrival_listen(struct arrival *a)
{
    struct porch *p = a->porch;
    if (uv_poll_init(&p->loop->uv, &a->poll, a->fd) < 0) {
        arrival_drop(a);
        return;
    }
    a->poll.data = a;
    a->polled = a->polling = true;
    a->loop->open++;
    list_push(&p->mute, &a->mute);
    if (uv_poll_start(&a->poll, UV_READABLE, on_readable) < 0) {
        arrival_drop(a);
    } else if (p->o.proxy) {
        arrival_move(a, ARRIVAL_HEADER, p->o.header_ms);
    } else {
        arrival_move(a, ARRIVAL_HELLO, p->o.handshake_ms);
        platform_want(a->fd, RECORD_HEAD);
    }
}

static void on_deadline(void *arg)
{
    struct arrival *a = arg;
    if (a->state == ARRIVAL_HEADER) {
        refuse_header(a, "no PROXY header in time");
        return;
    }
    if (a->state != ARRIVAL_HELD) {
        a->porch->stats.no_handshake++;
        tls_server_refused(a->tls);
        say_refused(a->porch, &a->peer, "no TLS handshake in time");
    }
    arrival_drop(a);
}

/* ---- the porch ------------------------------------------------------------------------------- */

void porch_init(struct porch *p, struct loop *l, void (*pass)(void *arg, struct stream *s),
                void *arg)
{
    *p = (struct porch){.loop = l, .pass = pass, .arg = arg};
    list_init(&p->all);
    list_init(&p->mute);
    task_init(&p->deliver, on_deliver, p);
}

void porch_set(struct porch *p, const struct listener_options *o)
{
    assert(o->header_ms > 0 && o->handshake_ms > 0 && o->max_arrivals > 0);
    assert(o->trusted_n >= 0 && o->trusted_n <= TRUSTED_MAX);
    if (o->tls != NULL)
        tls_server_ref(o->tls);
    if (p->o.tls != NULL)
        tls_server_unref(p->o.tls);
    p->o = *o;
    for (int i = 0; i < o->trusted_n; i++)
        p->trusted[i] = o->trusted[i];
    p->o.trusted = p->trusted;
}

bool porch_is_needed(const struct porch *p)
{
    return p->o.proxy || p->o.tls != NULL;
}

/* Who can be closed for a newcomer; NULL: nobody. */
static struct arrival *porch_idle(const struct porch *p)
{
    int64_t now = loop_now(p->loop);
    if (!list_empty(&p->mute)) {
        struct arrival *a = CONTAINER(p->mute.next, struct arrival, mute);
        if (now - a->since >= PATIENCE_MS)
            return a;
    }
    if (p->o.tls == NULL)
        return NULL;
    struct tls_slots *slots = tls_server_slots(p->o.tls);
    struct arrival *a = slots_idle(slots, now);
    if (a == NULL && !list_empty(&slots->waiting)) {
        a = arrival_of_slot(slots->waiting.next);
        a = now - a->since >= QUEUED_MS ? a : NULL;
    }
    return a != NULL && a->porch == p ? a : NULL;
}

static bool porch_is_full(const struct porch *p)
{
    return p->stats.arrivals >= p->o.max_arrivals || p->loop->fds >= FDS_SHARE(p->loop->fds_max);
}

bool porch_has_room(const struct porch *p)
{
    return !porch_is_full(p) || porch_idle(p) != NULL;
}

void porch_take(struct porch *p, int fd, const struct addr *peer)
{
    if (p->o.proxy && !cidr_has(p->trusted, p->o.trusted_n, peer)) {
        p->stats.untrusted++;
        say_refused(p, peer, "only trusted_proxies may connect where PROXY headers are expected");
        close(fd);
        return;
    }
    struct arrival *idle = porch_is_full(p) ? porch_idle(p) : NULL;
    if (idle != NULL) {
        p->stats.crowded++;
        arrival_drop(idle);
    }
    struct arrival *a = NEW(struct arrival);
    a->loop = p->loop;
    a->porch = p;
    a->fd = fd;
    p->loop->fds++;
    a->peer = *peer;
    a->tls = p->o.tls;
    if (a->tls != NULL)
        tls_server_ref(a->tls);
    list_init(&a->link);
    list_init(&a->mute);
    list_init(&a->slot);
    list_push(&p->all, &a->link);
    p->stats.arrivals++;
    proxy_init(&a->proxy);
    timer_init(&a->timer, p->loop, on_deadline, a);
    arrival_listen(a);
}

void porch_pause(struct porch *p, bool paused)
{
    p->paused = paused;
    if (!paused && porch_held(p) != NULL)
        task_post(p->loop, &p->deliver);
}

void porch_free(struct porch *p)
{
    task_cancel(&p->deliver);
    while (!list_empty(&p->all)) {
        struct arrival *a = CONTAINER(p->all.next, struct arrival, link);
        assert(a->porch == p);
        arrival_drop(a);
    }
    if (p->o.tls != NULL)
        tls_server_unref(p->o.tls);
    p->o.tls = NULL;
}
