/* conn: see conn.h. */
#include "http/conn.h"

#include <string.h>

/* ---- states and the deadline --------------------------------------------------------------- */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t conn_deadline(const struct conn *c)
{
    const struct http_server_limits *l = &c->server->limits;
    int64_t at = NEVER;
    switch (c->state) {
    case CONN_IDLE: /* a new connection has come to say something */
        return c->since + (c->calls == 0 ? l->head_ms : server_keep_ms(c->server));
    case CONN_HEAD: /* the whole head, however it drips */
        return c->since + l->head_ms;
    case CONN_OPEN: /* the handler has deadlines of its own; ours are those on the client */
        if (stream_writing(c->stream))
            at = c->write_at + l->write_ms;
        if (c->call->want && !h1_is_read(&c->call->h1))
            at = earlier(at, c->body_at + l->body_idle_ms);
        return c->probe_at > 0 ? earlier(at, c->probe_at) : at;
    case CONN_FLUSH:
        return c->write_at + l->write_ms;
    case CONN_DRAIN:
        return c->since + DRAIN_MS;
    case CONN_CLOSED:
        break;
    }
    return NEVER;
}

void conn_arm(struct conn *c)
{
    int64_t at = conn_deadline(c);
    if (at != NEVER && (!timer_armed(&c->timer) || c->timer.at_ms > at))
        timer_set(&c->timer, at);
    assert(c->state == CONN_OPEN || c->state == CONN_CLOSED || timer_armed(&c->timer));
}

static bool is_serving(enum conn_state s)
{
    return s == CONN_OPEN || s == CONN_FLUSH || s == CONN_DRAIN;
}

void conn_move(struct conn *c, enum conn_state to)
{
    static const unsigned char MAY[] = {
        [CONN_IDLE] = 1 << CONN_HEAD | 1 << CONN_CLOSED,
        [CONN_HEAD] = 1 << CONN_OPEN | 1 << CONN_CLOSED,
        [CONN_OPEN] = 1 << CONN_FLUSH | 1 << CONN_DRAIN | 1 << CONN_IDLE | 1 << CONN_CLOSED,
        [CONN_FLUSH] = 1 << CONN_DRAIN | 1 << CONN_IDLE | 1 << CONN_CLOSED,
        [CONN_DRAIN] = 1 << CONN_IDLE | 1 << CONN_CLOSED,
        [CONN_CLOSED] = 0,
    };
    struct http_server *s = c->server;
    assert(MAY[c->state] & 1 << to);
    s->stats.active += (is_serving(to) ? 1 : 0) - (is_serving(c->state) ? 1 : 0);
    c->state = to;
    c->since = loop_now(s->loop);
    if (to == CONN_IDLE || to == CONN_HEAD || to == CONN_CLOSED)
        list_remove(&c->link);
    if (to == CONN_IDLE)
        list_push(&s->idle, &c->link);
    else if (to == CONN_HEAD)
        list_push(&s->busy, &c->link);
    if (to != CONN_CLOSED)
        conn_arm(c);
    if (to != CONN_HEAD) /* most heads come in one piece: see step_head */
        young_leave(s, c);
    if (s->full && to != CONN_HEAD && to != CONN_CLOSED)
        server_watch(s);
}

/* ---- the end ------------------------------------------------------------------------------- */

static void conn_bury(void *mem)
{
    struct conn *c = mem;
    if (c->call != NULL)
        call_release(c->server, c->call);
    buf_free(&c->pending);
    mem_free(c);
}

void conn_close(struct conn *c, bool polite)
{
    conn_move(c, CONN_CLOSED);
    c->server->stats.connections--;
    source_leave(c->server, c->source);
    c->source = NULL;
    if (c->server->full)
        server_watch(c->server);
    timer_stop(&c->timer);
    task_cancel(&c->task);
    if (polite && c->dead == OK)
        stream_finish(c->stream);
    else
        stream_abort(c->stream);
    c->stream = NULL;
    loop_bury(c->server->loop, c, conn_bury);
}

void conn_lost(struct conn *c, enum err e, const char *why)
{
    struct http_call *call = c->call;
    if (!is_serving(c->state) || call->x == NULL)
        return;
    bool tell = !call->over || call->owed;
    call->over = true;
    call->owed = false;
    if (tell)
        c->server->ops.handler.gone(call->x, e, why);
}

/* The request's body cannot be had: an answer if none has begun, else an end that shows. */
static void conn_break(struct conn *c, enum err e, int status, const char *why)
{
    bool can_say = !c->call->responded;
    bool until_end = c->call->responded && !c->call->chunked && c->call->length < 0;
    conn_lost(c, e, why);
    if (can_say)
        conn_refuse(c, status, why);
    else
        conn_close(c, !until_end);
}

/* ---- reading ------------------------------------------------------------------------------- */

/* The stream is read unless enough bytes wait to be parsed: else its end would go unnoticed. */
static void conn_read_more(struct conn *c)
{
    bool on = c->pending.len < PENDING_STOP;
    if (on != c->reading) {
        c->reading = on;
        stream_read(c->stream, on);
    }
}

static void conn_turn_later(struct conn *c)
{
    task_post(c->server->loop, &c->task);
}

void conn_want(struct conn *c, bool on)
{
    c->call->want = on;
    if (on) {
        c->body_at = c->rate_at = loop_now(c->server->loop);
        c->rate_bytes = 0;
        if (!c->parsing)
            conn_turn_later(c);
    }
    conn_arm(c);
}

static void head_begin(struct conn *c)
{
    assert(c->call == NULL);
    c->call = call_new(c->server);
    c->call->conn = c;
    c->calls++;
    conn_move(c, CONN_HEAD);
}

static void call_open(struct conn *c)
{
    struct http_server *s = c->server;
    struct http_call *call = c->call;
    assert(call != NULL && call->conn == c);
    if (call->head.content_length > s->limits.max_body) {
        conn_refuse(c, 413, "the request body is larger than this server takes");
        return;
    }
    conn_move(c, CONN_OPEN);
    s->stats.calls++;
    const struct addr *peer = stream_peer(c->stream);
    call->proxied = s->trusted_n > 0 && cidr_has(s->trusted, s->trusted_n, peer);
    if (call->proxied) {
        if (call->client == NULL)
            call->client = NEW(struct addr);
        forwarded_client(&call->head, s->forwarded, s->trusted, s->trusted_n, peer, call->client);
    }
    void *x = s->ops.handler.open(s->ctx, call, &call->head);
    assert(x != NULL);
    /* open may have answered: then the call is over, and its memory may serve again already */
    if (is_serving(c->state) && c->call == call)
        call->x = x;
}

/* Slow bodies: see RATE_MS. Time in which the handler does not read does not count. */
static bool body_is_slow(struct conn *c, size_t n)
{
    int64_t now = loop_now(c->server->loop);
    c->body_at = now;
    if (c->rate_bytes < RATE_BYTES)
        c->rate_bytes += n > RATE_BYTES ? RATE_BYTES : (int32_t)n;
    if (now - c->rate_at < RATE_MS)
        return false;
    bool slow = c->rate_bytes < RATE_BYTES && !h1_is_read(&c->call->h1);
    c->rate_at = now;
    c->rate_bytes = 0;
    return slow;
}

static void body_take(struct conn *c, struct slice body)
{
    struct http_call *call = c->call;
    call->received += (int64_t)body.n;
    if (call->received > c->server->limits.max_body) {
        conn_break(c, ERR_LIMIT, 413, "the request body is larger than this server takes");
        return;
    }
    if (body_is_slow(c, body.n)) {
        conn_break(c, ERR_TIMEOUT, 408, "the request body comes too slowly");
        return;
    }
    c->server->ops.handler.body(call->x, body);
}

/* Each step takes something off `*in` or says that it is enough for now. */
static bool step_head(struct conn *c, struct slice *in)
{
    struct slice body;
    size_t before = in->n;
    assert(c->call != NULL);
    switch (h1_next(&c->call->h1, in, &c->call->head, &body)) {
    case H1_HEADERS:
        call_open(c);
        return true;
    case H1_MORE:
        young_enter(c->server, c);
        young_grow(c->server, c, before - in->n);
        return false;
    default:
        conn_refuse(c, c->call->h1.status, c->call->h1.why);
        return false;
    }
}

static bool step_open(struct conn *c, struct slice *in)
{
    struct http_call *call = c->call;
    struct slice body;
    assert(call != NULL);
    if (!call->want || call->x == NULL || c->dead != OK)
        return false;
    switch (h1_next(&call->h1, in, &call->head, &body)) {
    case H1_BODY:
        body_take(c, body);
        return true;
    case H1_END:
        c->server->ops.handler.complete(call->x);
        return c->state != CONN_OPEN; /* until the answer there is no more to read */
    case H1_BAD:
        conn_break(c, ERR_PROTOCOL, call->h1.status, call->h1.why);
        return false;
    default:
        return false;
    }
}

static void conn_next(struct conn *c);

static bool step_drain(struct conn *c, struct slice *in)
{
    struct slice body;
    assert(c->call != NULL);
    switch (h1_next(&c->call->h1, in, &c->call->head, &body)) {
    case H1_BODY:
        c->drained += (int64_t)body.n;
        if (c->drained <= DRAIN_BYTES)
            return true;
        break;
    case H1_END:
        conn_next(c);
        return true;
    case H1_MORE:
        return false;
    default:
        break;
    }
    conn_close(c, true);
    return false;
}

static bool conn_step(struct conn *c, struct slice *in)
{
    switch (c->state) {
    case CONN_IDLE:
        if (in->n == 0 || c->ended_here)
            return false; /* a pipelined request waits for a later turn: others first */
        head_begin(c);
        return true;
    case CONN_HEAD:
        return step_head(c, in);
    case CONN_OPEN:
        return step_open(c, in);
    case CONN_DRAIN:
        return step_drain(c, in);
    default:
        return false;
    }
}

/* Parses what may be parsed now; what is left of `in` is to be kept. */
static void conn_parse(struct conn *c, struct slice *in)
{
    assert(!c->parsing);
    c->parsing = true;
    c->ended_here = false;
    while (conn_step(c, in))
        ;
    c->parsing = false;
    assert(c->call != NULL || c->state == CONN_IDLE || c->state == CONN_CLOSED);
    if (c->state != CONN_CLOSED && c->call != NULL && c->call->close && h1_is_read(&c->call->h1))
        in->n = 0; /* behind the last request of a connection nothing is looked at */
}

/* A long body is read to where it is to stay. With its end one byte more is asked for than it has:
 * a read that is not filled needs no other one to find out that there is no more. */
static char *conn_room(void *owner, size_t *n)
{
    struct conn *c = owner;
    const struct http_handler *h = &c->server->ops.handler;
    c->room = 0;
    if (h->room == NULL || c->pending.len > 0)
        return NULL;
    if ((c->state == CONN_IDLE || c->state == CONN_HEAD) && *n > READ_FIRST)
        *n = READ_FIRST;
    if (c->state != CONN_OPEN || !c->call->want || c->call->x == NULL || c->dead != OK || *n < 2)
        return NULL;
    size_t left = h1_left(&c->call->h1), most = left < *n ? left : *n - 1, asked = most;
    char *at = left > 0 ? h->room(c->call->x, &most) : NULL;
    if (at == NULL)
        return NULL;
    assert(most > 0 && most <= asked && asked < *n);
    c->room = most;
    *n = most + (most == left);
    return at;
}

static void conn_on_read(void *owner, struct slice bytes)
{
    struct conn *c = owner;
    struct slice behind = S("");
    char byte;
    if (c->room > 0 && bytes.n > c->room) { /* where it lies may be the handler's no more */
        assert(bytes.n == c->room + 1);
        byte = bytes.p[c->room];
        behind = (struct slice){&byte, 1};
        bytes.n = c->room;
    }
    bool in_place = c->room > 0;
    c->room = 0;
    if (c->pending.len == 0)
        conn_parse(c, &bytes);
    if (c->state == CONN_CLOSED)
        return;
    assert(!in_place || bytes.n == 0); /* a body's bytes are taken whole */
    if (behind.n > 0)
        bytes = behind;
    if (bytes.n > 0 && buf_puts(&c->pending, bytes) != OK) {
        conn_lost(c, ERR_NOMEM, "out of memory for what the client sends");
        conn_close(c, false);
        return;
    }
    if (c->pending.len > 0 && c->state == CONN_IDLE)
        conn_turn_later(c);
    conn_read_more(c);
}

static void conn_ended(struct conn *c);

static void conn_turn(void *arg)
{
    struct conn *c = arg;
    if (c->dead != OK) {
        conn_lost(c, c->dead, "the client's connection is broken");
        conn_close(c, false);
        return;
    }
    struct slice in = buf_slice(&c->pending);
    size_t before = in.n;
    conn_parse(c, &in);
    if (c->state == CONN_CLOSED)
        return;
    buf_consume(&c->pending, before - in.n);
    if (c->pending.len == 0)
        buf_free(&c->pending);
    else if (c->state == CONN_IDLE)
        conn_turn_later(c);
    conn_read_more(c);
    if (c->half)
        conn_ended(c);
}

/* ---- after the answer ---------------------------------------------------------------------- */

static void conn_next(struct conn *c)
{
    struct http_server *s = c->server;
    if (c->call->close || s->draining || c->calls >= s->limits.max_requests) {
        conn_close(c, true);
        return;
    }
    conn_move(c, CONN_IDLE);
    call_release(s, c->call);
    c->call = NULL;
    c->ended_here = true;
    if (c->pending.len > 0)
        conn_turn_later(c);
}

void conn_answered(struct conn *c)
{
    struct http_call *call = c->call;
    assert(call->over && !stream_writing(c->stream));
    if (call->close) {
        conn_close(c, true);
    } else if (h1_is_read(&call->h1)) {
        conn_next(c);
    } else {
        c->drained = 0;
        conn_move(c, CONN_DRAIN);
        if (!c->parsing)
            conn_turn_later(c);
    }
}

/* ---- what the stream and the clock tell ---------------------------------------------------- */

/* Is anybody there? A client that has closed altogether answers with a reset, which the next one of
 * these meets; one that only has no more to say skips them (RFC 9110 15.2). Once the answer has
 * begun its bytes find out. */
static void conn_probe(struct conn *c)
{
    assert(c->state == CONN_OPEN && c->half);
    if (c->call->responded) {
        c->probe_at = NEVER;
    } else {
        c->probe_at = loop_now(c->server->loop) + c->probe_ms;
        c->probe_ms = c->probe_ms < PROBE_LAST_MS ? c->probe_ms * 4 : PROBE_LAST_MS;
        call_interim(c, S("HTTP/1.1 102 Processing\r\n\r\n"));
    }
    conn_arm(c);
}

/* Who ends its side behind a whole request is still served. To HTTP/1.0 nothing can be said before
 * the answer, and who ends it while the answer comes has stopped waiting: both are gone. */
static void open_ended(struct conn *c)
{
    const struct http_call *call = c->call;
    bool read = h1_is_read(&call->h1), waits = c->probe_at > 0;
    bool gone = read ? !waits && (call->responded || call->h1.http10) : c->pending.len == 0;
    if (gone) {
        conn_lost(c, ERR_EOF, "the client has closed its connection");
        conn_close(c, false);
    } else if (read && !waits) {
        c->probe_at = loop_now(c->server->loop) + PROBE_AFTER_MS;
        c->probe_ms = PROBE_FIRST_MS;
        conn_arm(c);
    }
}

/* Nothing more will come: what is not whole with what is here never will be. */
static void conn_ended(struct conn *c)
{
    switch (c->state) {
    case CONN_OPEN:
        open_ended(c);
        break;
    case CONN_FLUSH: /* it may still be reading what is on its way */
        c->call->close = true;
        break;
    case CONN_IDLE:
        if (c->pending.len == 0)
            conn_close(c, true); /* else a turn is due */
        break;
    default:
        conn_close(c, true);
    }
}

static void conn_on_end(void *owner)
{
    struct conn *c = owner;
    c->half = true;
    conn_ended(c);
}

static void conn_on_error(void *owner, enum err e, const char *why)
{
    struct conn *c = owner;
    conn_lost(c, e, why);
    conn_close(c, false);
}

static void conn_on_written(void *owner)
{
    struct conn *c = owner;
    assert(c->call != NULL);
    call_written(c);
}

static void open_expired(struct conn *c)
{
    int64_t now = loop_now(c->server->loop);
    bool slow = stream_writing(c->stream) && now >= c->write_at + c->server->limits.write_ms;
    if (slow) {
        conn_lost(c, ERR_TIMEOUT, "the client reads too slowly");
        conn_close(c, false);
    } else if (c->probe_at > 0 && now >= c->probe_at) {
        conn_probe(c);
    } else {
        conn_break(c, ERR_TIMEOUT, 408, "the request's body did not arrive in time");
    }
}

static void conn_expired(struct conn *c)
{
    switch (c->state) {
    case CONN_HEAD:
        conn_refuse(c, 408, "the request's head did not arrive in time");
        break;
    case CONN_OPEN:
        open_expired(c);
        break;
    case CONN_FLUSH:
        conn_lost(c, ERR_TIMEOUT, "the client reads too slowly");
        conn_close(c, false);
        break;
    default:
        conn_close(c, true);
    }
}

static void conn_on_timer(void *arg)
{
    struct conn *c = arg;
    assert(c->state != CONN_CLOSED);
    int64_t at = conn_deadline(c);
    if (at == NEVER)
        return;
    if (loop_now(c->server->loop) < at)
        timer_set(&c->timer, at);
    else
        conn_expired(c);
}

/* A tenth more or less: connections that began together do not end together. */
static int64_t conn_old_at(const struct http_server *s)
{
    int64_t age = s->limits.max_age_ms, now = loop_now(s->loop);
    uint64_t seed[2] = {s->stats.accepted, (uint64_t)now};
    if (age == 0)
        return NEVER;
    uint64_t dice = crypto_siphash((struct slice){(const char *)seed, sizeof seed});
    return now + age - age / 10 + (int64_t)(dice % (uint64_t)(age / 5 + 1));
}

void conn_start(struct http_server *s, struct stream *stream, struct source *source)
{
    static const struct stream_ops OPS = {.room = conn_room,
                                          .on_read = conn_on_read,
                                          .on_end = conn_on_end,
                                          .on_error = conn_on_error,
                                          .on_written = conn_on_written};
    struct conn *c = NEW(struct conn);
    c->server = s;
    c->stream = stream;
    c->state = CONN_IDLE;
    c->since = loop_now(s->loop);
    c->source = source;
    c->old_at = conn_old_at(s);
    list_init(&c->young);
    buf_init(&c->pending, PENDING_MAX);
    timer_init(&c->timer, s->loop, conn_on_timer, c);
    task_init(&c->task, conn_turn, c);
    list_init(&c->link);
    list_push(&s->idle, &c->link);
    s->stats.connections++;
    young_enter(s, c);
    stream_own(stream, &OPS, c);
    conn_arm(c);
    conn_read_more(c);
}
