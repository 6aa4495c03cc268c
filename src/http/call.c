/* call: the verbs with which a handler answers. */
#include "http/conn.h"

#include <string.h>

const struct http_head *http_call_head(const struct http_call *call)
{
    return &call->head;
}

const struct addr *http_call_peer(const struct http_call *call)
{
    return call->proxied ? call->client : stream_peer(call->conn->stream);
}

bool http_writing(const struct http_call *call)
{
    return call->owed;
}

bool http_responded(const struct http_call *call)
{
    return call->responded;
}

int64_t http_bytes_out(const struct http_call *call)
{
    return call->bytes_out;
}

/* ---- writing ------------------------------------------------------------------------------- */

/* The connection is dead; the handler is told in the next turn. */
static enum err conn_died(struct conn *c, enum err e)
{
    assert(e != OK && e != ERR_AGAIN);
    if (c->dead == OK)
        c->dead = e;
    task_post(c->server->loop, &c->task);
    return e;
}

static enum err conn_write(struct conn *c, const struct slice *v, int n)
{
    if (c->dead != OK)
        return c->dead;
    enum err e = stream_write(c->stream, v, n);
    if (e == OK)
        return OK;
    if (e != ERR_AGAIN)
        return conn_died(c, e);
    c->write_at = loop_now(c->server->loop);
    conn_arm(c);
    return ERR_AGAIN;
}

/* For the handler: behind a 100 Continue that is not out yet the answer waits its turn. */
static enum err call_write(struct http_call *call, const struct slice *v, int n)
{
    struct conn *c = call->conn;
    enum err e = ERR_AGAIN;
    assert(!call->owed && call->later_n == 0);
    if (c->dead == OK && stream_writing(c->stream)) {
        call->later = mem_grow(call->later, (size_t)n * sizeof v[0]);
        memcpy(call->later, v, (size_t)n * sizeof v[0]);
        call->later_n = n;
    } else {
        e = conn_write(c, v, n);
    }
    call->owed = e == ERR_AGAIN;
    return e;
}

/* "1a2b" CRLF, by hand: this is done for every event of a stream. */
static struct slice chunk_size_line(struct http_call *call, size_t n)
{
    char *end = call->size_line + sizeof call->size_line, *at = end;
    assert(n > 0); /* a chunk of no bytes is the end of the answer */
    *--at = '\n';
    *--at = '\r';
    for (; n > 0; n >>= 4)
        *--at = "0123456789abcdef"[n & 15];
    return (struct slice){at, (size_t)(end - at)};
}

/* Appends the pieces that carry `bytes` in the answer's framing. */
static int pieces_add(struct http_call *call, struct slice *v, struct slice bytes)
{
    int n = 0;
    if (bytes.n == 0 || call->bodyless)
        return 0;
    if (call->chunked)
        v[n++] = chunk_size_line(call, bytes.n);
    v[n++] = bytes;
    if (call->chunked)
        v[n++] = call->last ? S("\r\n0\r\n\r\n") : S("\r\n");
    if (call->last)
        call->tail_due = false;
    return n;
}

/* More bytes than were declared would be read as the beginning of the next answer. */
static bool body_fits(struct http_call *call, size_t n)
{
    call->bytes_out += (int64_t)n;
    return call->length < 0 || call->bytes_out <= call->length;
}

/* ---- the answer's head --------------------------------------------------------------------- */

/* Whether what is left of the request's body will be read, so that the connection can go on. */
static bool body_will_end(const struct http_call *call)
{
    const struct h1 *h = &call->h1;
    if (h1_is_read(h))
        return true;
    if (call->head.expect_continue && !call->continued)
        return false; /* nobody knows whether the client will send it now */
    return h->framing != H1_LENGTH || h->left <= DRAIN_BYTES;
}

#define CHUNKED_LINE "transfer-encoding: chunked\r\n"
#define CLOSE_LINE   "connection: close\r\n"
#define FRAMING_MAX  (HEAD_NUMBER_MAX(LENGTH_LINE) + sizeof CHUNKED_LINE CLOSE_LINE "\r\n")

static char *framing_put(const struct http_call *call, char *at)
{
    if (call->head.method != HTTP_HEAD && call->bodyless)
        ; /* 204 and 304 speak of no body */
    else if (call->length >= 0)
        at = head_put_number(at, S(LENGTH_LINE), (uint64_t)call->length);
    else if (call->chunked)
        at = head_copy(at, S(CHUNKED_LINE));
    if (call->close)
        at = head_copy(at, S(CLOSE_LINE));
    return head_copy(at, S("\r\n"));
}

static void framing_choose(struct http_call *call, int status, int64_t length)
{
    struct http_server *s = call->conn->server;
    bool until_end = length < 0 && call->h1.http10;
    call->length = length;
    call->bodyless = call->head.method == HTTP_HEAD || status == 204 || status == 304;
    call->chunked = length < 0 && !until_end;
    call->tail_due = call->chunked && !call->bodyless;
    call->close = !call->head.keep_alive || until_end || call->conn->half || s->lame ||
                  call->conn->calls >= s->limits.max_requests ||
                  loop_now(s->loop) >= call->conn->old_at || server_load(s) >= LOAD_DRAIN ||
                  !body_will_end(call);
}

/* The head has gone out; if what follows may last, its memory is for other answers. */
static void head_out(struct http_call *call)
{
    struct buf *spare = &call->conn->server->spare;
    if (call->length >= 0 || call->out.cap == 0)
        return;
    if (spare->cap == 0 && call->out.cap <= RAW_KEPT) {
        *spare = call->out;
        buf_init(&call->out, ANSWER_HEAD_MAX);
    } else {
        buf_free(&call->out);
    }
}

/* The answer's head, whole. */
static enum err head_in(struct http_call *call, int status, const struct http_header *h, int n)
{
    struct buf *spare = &call->conn->server->spare;
    if (call->out.cap == 0 && spare->cap > 0) {
        call->out = *spare;
        buf_init(spare, ANSWER_HEAD_MAX);
    }
    buf_clear(&call->out);
    size_t room = HEAD_STATUS_MAX + head_lines_room(h, n) + FRAMING_MAX;
    enum err e = buf_reserve(&call->out, room);
    if (e != OK)
        return e;
    char *at = head_put_status(call->out.p, status);
    at = framing_put(call, head_put_lines(at, h, n));
    call->out.len = (size_t)(at - call->out.p);
    assert(call->out.len <= room);
    return OK;
}

enum err http_respond(struct http_call *call, int status, const struct http_header *h, int n,
                      int64_t length, struct slice body)
{
    struct conn *c = call->conn;
    struct slice v[4];
    assert(!call->over && !call->responded);
    assert(status >= 200 && status <= 999 && length >= -1);
    call->responded = true;
    framing_choose(call, status, length);
    if (c->dead != OK)
        return c->dead;
    if (!body_fits(call, body.n))
        return conn_died(c, ERR_STATE);
    enum err e = head_in(call, status, h, n);
    if (e != OK)
        return conn_died(c, e);
    v[0] = buf_slice(&call->out);
    e = call_write(call, v, 1 + pieces_add(call, v + 1, body));
    if (e == OK)
        head_out(call);
    return e;
}

enum err http_write(struct http_call *call, struct slice bytes)
{
    struct slice v[3];
    assert(!call->over && call->responded && !call->owed);
    assert(call->tail_due || !call->chunked || call->bodyless); /* behind the last there is none */
    if (call->conn->dead != OK)
        return call->conn->dead;
    if (!body_fits(call, bytes.n))
        return conn_died(call->conn, ERR_STATE);
    int n = pieces_add(call, v, bytes);
    return n > 0 ? call_write(call, v, n) : OK;
}

void http_last(struct http_call *call)
{
    assert(!call->over && !call->owed);
    call->last = true;
}

/* ---- the answer's end ---------------------------------------------------------------------- */

/* Nothing is outstanding: the last chunk, and on. */
static void call_tail(struct conn *c)
{
    struct http_call *call = c->call;
    struct slice tail = S("0\r\n\r\n");
    if (call->tail_due) {
        call->tail_due = false;
        enum err e = conn_write(c, &tail, 1);
        if (e == ERR_AGAIN) {
            if (c->state != CONN_FLUSH)
                conn_move(c, CONN_FLUSH);
            return;
        }
        if (e != OK) {
            conn_close(c, false);
            return;
        }
    }
    conn_answered(c);
}

void http_end(struct http_call *call)
{
    struct conn *c = call->conn;
    assert(!call->over && c->state == CONN_OPEN);
    bool whole = call->responded &&
                 (call->bodyless || call->length < 0 || call->bytes_out == call->length);
    if (!whole) {
        http_cut(call);
        return;
    }
    call->over = true;
    if (c->dead != OK)
        return; /* the turn that was going to tell it closes the connection instead */
    if (stream_writing(c->stream))
        conn_move(c, CONN_FLUSH);
    else
        call_tail(c);
}

void http_cut(struct http_call *call)
{
    struct conn *c = call->conn;
    assert(!call->over && c->state == CONN_OPEN);
    bool until_end = call->responded && !call->chunked && call->length < 0 && !call->bodyless;
    call->over = true;
    call->owed = false;
    /* where only the end of the connection ends an answer, a proper end would look complete */
    conn_close(c, !until_end);
}

void call_written(struct conn *c)
{
    struct http_call *call = c->call;
    if (call->later_n > 0) {
        int n = call->later_n;
        call->later_n = 0;
        enum err e = conn_write(c, call->later, n);
        if (e != OK)
            return; /* ERR_AGAIN: here again later; else the next turn tells */
    }
    if (c->state != CONN_OPEN && c->state != CONN_FLUSH)
        return;
    conn_arm(c);
    bool owed = call->owed;
    call->owed = false;
    if (call->responded)
        head_out(call);
    if (owed && call->x != NULL)
        c->server->ops.handler.written(call->x);
    if (c->state == CONN_FLUSH && c->call == call && !stream_writing(c->stream))
        call_tail(c);
}

/* ---- the request's body -------------------------------------------------------------------- */

void call_interim(struct conn *c, struct slice reply)
{
    assert(!c->call->responded);
    if (c->dead == OK && !stream_writing(c->stream) && conn_write(c, &reply, 1) != OK)
        assert(c->dead != OK || stream_writing(c->stream)); /* told, or flushed, in a later turn */
}

void http_call_forget_head(struct http_call *call)
{
    assert(call->responded && !call->over);
    if (h1_is_read(&call->h1))
        h1_drop_head(&call->h1, &call->head);
}

void http_call_read(struct http_call *call, bool on)
{
    struct conn *c = call->conn;
    assert(!call->over);
    if (on && call->head.expect_continue && !call->continued && !call->responded) {
        if (call->received == 0 && c->pending.len == 0)
            call_interim(c, S("HTTP/1.1 100 Continue\r\n\r\n"));
        if (c->dead != OK)
            return;
    }
    if (on)
        call->continued = true;
    if (on != call->want)
        conn_want(c, on);
}

/* ---- the server's own answers -------------------------------------------------------------- */

/* The second word of what has come of the request line. */
static struct slice target_seen(const struct conn *c)
{
    struct slice rest = c->call != NULL ? buf_slice(&c->call->h1.raw) : S(""), word = S("");
    size_t n = 0;
    if (!slice_cut(&rest, ' ', &word) || word.n > 16)
        return S("");
    while (n < rest.n && n < HTTP_LINE_MAX && rest.p[n] > ' ' && rest.p[n] <= '~')
        n++;
    return slice_sub(rest, 0, n);
}

#define REFUSAL_LINES "content-type: application/json\r\n" LENGTH_LINE
#define REFUSAL_END   CLOSE_LINE "\r\n"

void conn_refuse(struct conn *c, int status, const char *why)
{
    struct http_server *s = c->server;
    char head[HEAD_STATUS_MAX + HEAD_NUMBER_MAX(REFUSAL_LINES) + sizeof REFUSAL_END], *at;
    struct buf body;
    assert(status >= 400 && why != NULL);
    s->stats.refused++;
    if (c->dead != OK || stream_writing(c->stream)) {
        conn_close(c, c->dead == OK);
        return;
    }
    buf_init(&body, 8192);
    if (s->ops.error_body != NULL)
        s->ops.error_body(s->ctx, status, why, target_seen(c), &body);
    at = head_put_number(head_put_status(head, status), S(REFUSAL_LINES), body.len);
    at = head_copy(at, S(REFUSAL_END));
    assert((size_t)(at - head) <= sizeof head);
    struct slice v[2] = {{head, (size_t)(at - head)}, buf_slice(&body)};
    enum err e = stream_write(c->stream, v, 2);
    /* stream_finish copies what is still outstanding */
    conn_close(c, e == OK || e == ERR_AGAIN);
    buf_free(&body);
}
