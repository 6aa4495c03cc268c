/* simstream: streams whose other end is a scripted peer. */
#include "simloop.h"

#include <string.h>

#define SIM_READ_MAX    65536
#define LINGER_MS       2000  /* after the flush; see stream_finish in net.h */
#define LINGER_FLUSH_MS 30000 /* for the flush itself */

/* ---- far ends ------------------------------------------------------------------------ */

struct sim_peer *sim_peer_new(struct loop *l, const char *name)
{
    struct sim_peer *p = NEW(struct sim_peer);
    p->loop = l;
    p->vanish_at = SIZE_MAX;
    text_copy(p->name, sizeof p->name, slice_of(name));
    list_init(&p->link);
    list_push(&l->peers, &p->link);
    return p;
}

void sim_peer_free(struct sim_peer *p)
{
    assert(p->stream == NULL);
    list_remove(&p->link);
    bytes_free(&p->tx);
    bytes_free(&p->rx);
    mem_free(p);
}

size_t sim_unread(const struct sim_peer *p)
{
    return p->tx.n - p->tx_read;
}

static const char *end_name(enum sim_end how)
{
    static const char *const NAME[] = {"open", "fin", "cut", "rst"};
    return NAME[how];
}

static void peer_close(struct sim_peer *p, enum sim_end how)
{
    assert(how != SIM_OPEN);
    if (p->gone)
        return;
    p->gone = true;
    if (p->tx_end == SIM_OPEN || how == SIM_RST)
        p->tx_end = how;
    sim_trace(p->loop, p->name, "closes", slice_of(end_name(how)));
}

void sim_send(struct sim_peer *p, struct slice bytes)
{
    if (p->gone || p->tx_end != SIM_OPEN)
        return;
    bool vanish = p->tx.n + bytes.n >= p->vanish_at;
    if (vanish)
        bytes.n = p->vanish_at - p->tx.n;
    bytes_puts(&p->tx, bytes);
    sim_trace(p->loop, p->name, ">", bytes);
    if (vanish)
        peer_close(p, p->vanish_how);
}

void sim_end(struct sim_peer *p, enum sim_end how)
{
    peer_close(p, how);
}

void sim_shut(struct sim_peer *p)
{
    if (p->gone || p->tx_end != SIM_OPEN)
        return;
    p->tx_end = SIM_FIN;
    sim_trace(p->loop, p->name, "shuts", S(""));
}

void sim_reading(struct sim_peer *p, bool on)
{
    p->not_reading = !on;
    if (on)
        p->rx_held = 0;
    sim_trace(p->loop, p->name, on ? "reads" : "stops reading", S(""));
}

/* How many bytes the path to the peer takes now. */
static size_t peer_room(const struct sim_peer *p)
{
    if (!p->not_reading)
        return SIZE_MAX;
    return p->rx_held >= SIM_WINDOW ? 0 : SIM_WINDOW - p->rx_held;
}

static void peer_take(struct sim_peer *p, const char *bytes, size_t n)
{
    assert(n <= peer_room(p));
    if (p->gone)
        return; /* goes nowhere */
    bytes_add(&p->rx, bytes, n);
    if (p->not_reading)
        p->rx_held += n;
    sim_trace(p->loop, p->name, "<", (struct slice){bytes, n});
}

/* ---- a stream's life ----------------------------------------------------------------- */

static void linger_over(void *arg);

struct stream *sim_stream_new(struct loop *l, struct sim_peer *p)
{
    struct stream *s = NEW(struct stream);
    s->loop = l;
    s->peer = p;
    s->born = l->turn;
    p->stream = s;
    timer_init(&s->linger, l, linger_over, s);
    list_init(&s->link);
    list_push(&l->streams, &s->link);
    l->live.streams++;
    return s;
}

static void stream_free(void *mem)
{
    struct stream *s = mem;
    assert(s->life == STREAM_CLOSED && !timer_armed(&s->linger));
    bytes_free(&s->pend_was);
    bytes_free(&s->rest);
    mem_free(s);
}

/* The house's side is gone; the far end sees `how` unless it has been told an end before. */
static void stream_close(struct stream *s, enum sim_end how)
{
    struct sim_peer *p = s->peer;
    assert(s->life != STREAM_CLOSED);
    if (p->rx_end == SIM_OPEN || (p->rx_end == SIM_FIN && how == SIM_RST && sim_unread(p) > 0))
        p->rx_end = how;
    sim_trace(s->loop, p->name, "house closes", slice_of(end_name(how)));
    p->stream = NULL;
    s->life = STREAM_CLOSED;
    timer_stop(&s->linger);
    list_remove(&s->link);
    s->loop->live.streams--;
    loop_bury(s->loop, s, stream_free);
}

void stream_own(struct stream *s, const struct stream_ops *ops, void *owner)
{
    assert(s->life == STREAM_LIVE || s->life == STREAM_DEAD);
    assert(ops->on_read != NULL && ops->on_end != NULL && ops->on_error != NULL &&
           ops->on_written != NULL);
    s->ops = ops;
    s->owner = owner;
}

void stream_read(struct stream *s, bool on)
{
    assert(s->life == STREAM_LIVE || s->life == STREAM_DEAD);
    assert(s->ops != NULL);
    s->reading = on;
}

const struct addr *stream_peer(const struct stream *s)
{
    return &s->peer->addr;
}

bool stream_is_tls(const struct stream *s)
{
    return s->peer->tls;
}

const char *stream_tls_version(const struct stream *s)
{
    return s->peer->tls ? "TLSv1.3" : "";
}

/* ---- writing ------------------------------------------------------------------------- */

bool stream_writing(const struct stream *s)
{
    return s->pend_n > 0;
}

static size_t pend_left(const struct stream *s)
{
    return s->pend_was.n - s->pend_done;
}

/* Takes `n` bytes out of the caller's memory, which must still be what it was at the call. */
static void pend_move(struct stream *s, size_t n)
{
    assert(n <= pend_left(s));
    while (n > 0) {
        struct slice v = s->pend[s->pend_at];
        size_t part = v.n - s->pend_off < n ? v.n - s->pend_off : n;
        const char *p = v.p + s->pend_off;
        assert(memcmp(p, s->pend_was.p + s->pend_done, part) == 0);
        peer_take(s->peer, p, part);
        s->pend_done += part;
        s->pend_off += part;
        n -= part;
        if (s->pend_off == v.n) {
            s->pend_at++;
            s->pend_off = 0;
        }
    }
}

static void pend_clear(struct stream *s)
{
    s->pend_n = s->pend_at = s->pend_turns = 0;
    s->pend_off = s->pend_done = 0;
    s->pend_was.n = 0;
}

/* What the weather lets through of `left` bytes: at the call (turns == 0) or later. */
static size_t weather_takes(enum sim_take take, size_t left, int turns)
{
    switch (take) {
    case SIM_TAKE_LATER:
        return turns == 0 ? 0 : left;
    case SIM_TAKE_HALF:
        return turns == 0 ? left / 2 : left;
    case SIM_TAKE_CRUMBS:
        return turns == 0 ? (left > 1 ? 1 : 0) : (left + 1) / 2;
    case SIM_TAKE_TAIL:
        return turns == 0 ? left - 1 : left;
    case SIM_TAKE_SLOW:
        return turns < 4 ? 0 : left;
    default:
        return left;
    }
}

/* Moves what path and weather let through; true if any byte moved. */
static bool pend_push(struct stream *s)
{
    size_t left = pend_left(s), room = peer_room(s->peer);
    size_t n = weather_takes(s->loop->weather.take, left, s->pend_turns);
    n = n < room ? n : room;
    pend_move(s, n);
    return n > 0;
}

enum err stream_write(struct stream *s, const struct slice *v, int n)
{
    struct sim_peer *p = s->peer;
    assert(n >= 0 && n <= STREAM_IOV);
    assert(s->life == STREAM_LIVE || s->life == STREAM_DEAD);
    assert(!stream_writing(s));
    if (fault_here()) {
        s->life = STREAM_DEAD;
        sim_trace(s->loop, p->name, "fault: write fails", S(""));
    }
    if (s->life == STREAM_DEAD || (p->gone && (p->tx_end == SIM_RST || p->swallowed))) {
        s->life = STREAM_DEAD;
        return ERR_RESET;
    }
    for (int i = 0; i < n; i++) {
        if (v[i].n == 0)
            continue;
        s->pend[s->pend_n++] = v[i];
        bytes_puts(&s->pend_was, v[i]);
    }
    if (s->pend_n == 0)
        return OK;
    if (p->gone) { /* the path takes it; the answer will be a reset */
        p->swallowed = s->reset_due = true;
        pend_clear(s);
        return OK;
    }
    (void)pend_push(s);
    if (pend_left(s) > 0)
        return ERR_AGAIN;
    pend_clear(s);
    return OK;
}

/* ---- ending -------------------------------------------------------------------------- */

void stream_abort(struct stream *s)
{
    assert(s->life == STREAM_LIVE || s->life == STREAM_DEAD);
    bool hard = s->life == STREAM_DEAD || sim_unread(s->peer) > 0;
    stream_close(s, hard ? SIM_RST : s->peer->tls ? SIM_CUT : SIM_FIN);
}

void stream_finish(struct stream *s)
{
    assert(s->life == STREAM_LIVE || s->life == STREAM_DEAD);
    if (s->life == STREAM_DEAD) {
        stream_close(s, SIM_RST);
        return;
    }
    if (stream_writing(s))
        bytes_add(&s->rest, s->pend_was.p + s->pend_done, pend_left(s));
    pend_clear(s);
    s->life = STREAM_LINGERING;
    s->ops = NULL;
    s->owner = NULL;
    timer_set(&s->linger, s->loop->now + LINGER_FLUSH_MS);
}

static void linger_over(void *arg)
{
    struct stream *s = arg;
    assert(s->life == STREAM_LINGERING);
    stream_close(s, SIM_RST);
}

/* One turn of a finished stream; true if anything moved. */
static bool linger_turn(struct stream *s)
{
    struct sim_peer *p = s->peer;
    bool moved = false;
    size_t left = s->rest.n - s->rest_off, room = peer_room(p);
    if (left > 0 && room > 0) {
        size_t n = left < room ? left : room;
        peer_take(p, s->rest.p + s->rest_off, n);
        s->rest_off += n;
        moved = true;
    }
    if (s->rest_off == s->rest.n && !s->fin_sent) {
        s->fin_sent = moved = true;
        p->rx_end = SIM_FIN;
        timer_set(&s->linger, s->loop->now + LINGER_MS);
    }
    if (sim_unread(p) > 0) {
        p->tx_read = p->tx.n;
        moved = true;
    }
    if (p->tx_end == SIM_RST || p->gone || (s->fin_sent && p->tx_end != SIM_OPEN)) {
        stream_close(s, p->tx_end == SIM_OPEN ? SIM_FIN : p->tx_end);
        moved = true;
    }
    return moved;
}

/* ---- one turn's I/O ------------------------------------------------------------------ */

static void stream_dies(struct stream *s, enum err e, const char *why)
{
    s->life = STREAM_DEAD;
    pend_clear(s);
    s->ops->on_error(s->owner, e, why);
}

/* The bytes lie in memory of exactly their size that is gone after the call: whoever keeps a slice
 * of them, or reads past them, is found. */
static void stream_deliver(struct stream *s, size_t n)
{
    struct sim_peer *p = s->peer;
    while (n > 0 && s->life == STREAM_LIVE && s->reading) {
        size_t room = SIM_READ_MAX;
        char *at = s->ops->room != NULL && !p->tls ? s->ops->room(s->owner, &room) : NULL;
        assert(room > 0 && room <= SIM_READ_MAX);
        if (room > n)
            room = n;
        char *copy = at == NULL ? mem_new(room) : NULL;
        memcpy(at != NULL ? at : copy, p->tx.p + p->tx_read, room);
        p->tx_read += room;
        n -= room;
        s->ops->on_read(s->owner, (struct slice){at != NULL ? at : copy, room});
        mem_free(copy);
    }
}

static bool stream_pull(struct stream *s)
{
    struct sim_peer *p = s->peer;
    const struct sim_weather *w = &s->loop->weather;
    size_t max = w->read_max > 0 ? w->read_max : SIM_READ_MAX;
    int calls = w->reads_per_turn > 0 ? w->reads_per_turn : 1;
    bool moved = false;
    while (calls-- > 0 && s->life == STREAM_LIVE && s->reading && sim_unread(p) > 0) {
        stream_deliver(s, sim_unread(p) < max ? sim_unread(p) : max);
        moved = true;
    }
    if (moved || s->life != STREAM_LIVE || !s->reading || s->end_told || p->tx_end == SIM_OPEN)
        return moved;
    s->end_told = true;
    if (p->tx_end == SIM_RST)
        stream_dies(s, ERR_RESET, "connection reset by peer");
    else if (p->tx_end == SIM_CUT && p->tls)
        stream_dies(s, ERR_EOF, "closed without close_notify");
    else
        s->ops->on_end(s->owner);
    return true;
}

static bool stream_push(struct stream *s)
{
    if (s->peer->gone) {
        stream_dies(s, ERR_RESET, "connection reset by peer");
        return true;
    }
    s->pend_turns++;
    bool moved = pend_push(s) || (peer_room(s->peer) > 0 && s->pend_turns < 8);
    if (pend_left(s) > 0)
        return moved;
    pend_clear(s);
    s->ops->on_written(s->owner);
    return true;
}

static bool stream_turn(struct stream *s)
{
    bool moved = false;
    if (s->life == STREAM_LINGERING)
        return linger_turn(s);
    /* behind its end a stream is not read any more: only the next write meets the reset */
    if (s->life == STREAM_LIVE && s->reset_due && s->reading && !s->end_told) {
        s->reset_due = false;
        stream_dies(s, ERR_RESET, "connection reset by peer");
        return true;
    }
    if (s->life == STREAM_LIVE && stream_writing(s))
        moved = stream_push(s);
    if (s->life == STREAM_LIVE)
        moved |= stream_pull(s);
    return moved;
}

void sim_streams_turn(struct loop *l)
{
    /* A callback may close any stream: the closed ones leave the list but live until the graveyard
     * is emptied, so the walk starts again from a mark that only moves forward. */
    struct link *k = l->streams.next;
    while (k != &l->streams) {
        struct stream *s = CONTAINER(k, struct stream, link);
        struct link *next = k->next;
        if (s->born < l->turn) {
            s->born = l->turn; /* also marks it as done in this turn */
            if (stream_turn(s))
                sim_moved(l);
            next = l->streams.next;
        }
        k = next;
    }
}
