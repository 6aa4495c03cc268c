/* client: one request upstream and its reply. See client.h. */
#include "http/client.h"

#include <string.h>

/* ---- life ---------------------------------------------------------------------------------- */

static void dial_expired(void *arg);
static void request_turn(void *arg);

static void request_free(struct http_request *r)
{
    h1_free(&r->h1);
    buf_free(&r->out);
    buf_free(&r->held);
    mem_free(r);
}

/* Between turns: nobody's callback can still be looking at it. */
static void request_bury(void *mem)
{
    struct http_request *r = mem;
    struct http_client *c = r->client;
    assert(r->state == REQUEST_OVER);
    if (c->free_count >= REQUESTS_KEPT) {
        request_free(r);
        return;
    }
    buf_free(&r->held);
    if (r->h1.raw.cap > REQUEST_BUF_KEPT)
        buf_free(&r->h1.raw);
    if (r->out.cap > REQUEST_BUF_KEPT)
        buf_free(&r->out);
    list_unshift(&c->free_requests, &r->link);
    c->free_count++;
}

static struct http_request *request_new(struct http_client *c)
{
    struct http_request *r;
    if (list_empty(&c->free_requests)) {
        r = NEW(struct http_request);
        r->client = c;
        list_init(&r->link);
        h1_init(&r->h1, H1_REPLY);
        buf_init(&r->out, REQUEST_HEAD_MAX);
        buf_init(&r->held, HELD_MAX);
        timer_init(&r->timer, c->loop, dial_expired, r);
        task_init(&r->task, request_turn, r);
    } else {
        r = CONTAINER(c->free_requests.next, struct http_request, link);
        list_remove(&r->link);
        c->free_count--;
        buf_clear(&r->out);
    }
    assert(r->up == NULL && r->dial == NULL && r->origin == NULL);
    r->state = REQUEST_DIAL;
    r->failed = OK;
    r->why = NULL;
    r->interim = 0;
    r->reused = r->retried = r->starting = r->sent = r->begun = false;
    r->paused = r->ended = r->parsing = false;
    list_push(&c->requests, &r->link);
    return r;
}

/* The connection is dealt with already. After this only the memory is left, until the turn ends. */
static void request_over(struct http_request *r)
{
    assert(r->state != REQUEST_OVER && r->up == NULL);
    r->state = REQUEST_OVER;
    timer_stop(&r->timer);
    task_cancel(&r->task);
    if (r->dial != NULL)
        dial_cancel(r->dial);
    r->dial = NULL;
    list_remove(&r->link);
    origin_release(r->origin);
    r->origin = NULL;
    loop_bury(r->client->loop, r, request_bury);
}

static void request_let_go(struct http_request *r, bool polite)
{
    if (r->up != NULL)
        upstream_close(r->up, polite);
    r->up = NULL;
}

void http_request_abort(struct http_request *r)
{
    assert(r->state != REQUEST_OVER);
    request_let_go(r, false);
    request_over(r);
}

static void request_fail(struct http_request *r, enum err e, const char *why)
{
    assert(e != OK && why != NULL);
    request_let_go(r, false);
    if (r->starting) {
        r->failed = e;
        r->why = why;
        task_post(r->client->loop, &r->task);
        return;
    }
    request_over(r);
    r->ops->on_fail(r->owner, e, why);
}

bool http_request_connected(const struct http_request *r)
{
    return r->up != NULL;
}

bool http_request_sent(const struct http_request *r)
{
    return r->sent;
}

void http_request_fit_head(struct http_request *r)
{
    assert(r->state == REQUEST_LIVE && r->head.status >= 200);
    h1_fit_head(&r->h1, &r->head);
}

/* ---- dialling ------------------------------------------------------------------------------ */

static void request_send(struct http_request *r);
static void request_dial(struct http_request *r);

static void dial_done(void *owner, enum err e, const char *why, struct stream *s)
{
    struct http_request *r = owner;
    assert(r->state == REQUEST_DIAL && (e == OK) == (s != NULL));
    r->dial = NULL;
    timer_stop(&r->timer);
    if (e == ERR_BUSY && pool_shed(r->client)) {
        request_dial(r); /* with the descriptor that has become free */
        return;
    }
    if (e != OK) {
        request_fail(r, e, why);
        return;
    }
    r->up = upstream_new(r->origin, s);
    if (r->ops->on_sent != NULL)
        r->ops->on_sent(r->owner);
    if (r->state == REQUEST_DIAL)
        request_send(r);
}

static void dial_expired(void *arg)
{
    struct http_request *r = arg;
    assert(r->state == REQUEST_DIAL);
    dial_cancel(r->dial);
    r->dial = NULL;
    request_fail(r, ERR_TIMEOUT, "no connection within the time allowed");
}

static void request_dial(struct http_request *r)
{
    struct http_client *c = r->client;
    const struct http_target *t = &r->origin->target;
    r->state = REQUEST_DIAL;
    if (t->tls && c->tls == NULL) {
        request_fail(r, ERR_UNSUPPORTED, "there is no TLS here");
        return;
    }
    struct dial_target to = {.host = t->host,
                             .port = t->port,
                             .tls = t->tls ? c->tls : NULL,
                             .allow_private = t->allow_private};
    timer_set(&r->timer, loop_now(c->loop) + c->limits.connect_ms * (t->tls ? 2 : 1));
    r->dial = dial_start(c->loop, &to, dial_done, r);
}

/* ---- a broken connection ------------------------------------------------------------------- */

/* A pooled connection may have died while it was idle, and nobody could know. As long as no byte of
 * a reply has come the request is made once more, on a new one. */
static void request_broken(struct http_request *r, enum err e, const char *why)
{
    bool stale = r->reused && !r->retried && !r->begun;
    if (!stale) {
        request_fail(r, e, why);
        return;
    }
    request_let_go(r, false);
    r->retried = true;
    r->reused = r->ended = false;
    r->failed = OK;
    request_dial(r);
}

/* ---- the reply ----------------------------------------------------------------------------- */

/* The reply is complete; `*rest` is what came behind it. */
static void request_complete(struct http_request *r, struct slice rest)
{
    struct upstream *u = r->up;
    bool sent = r->sent && !stream_writing(u->stream);
    bool clean = sent && rest.n == 0 && !r->ended && r->failed == OK && r->head.keep_alive &&
                 r->h1.framing != H1_UNTIL_END;
    r->up = NULL;
    if (clean)
        pool_give(u);
    else
        upstream_close(u, sent && rest.n == 0 && r->failed == OK);
    request_over(r);
    r->ops->on_end(r->owner);
}

/* The memory of the request's head is for the next request. */
static void head_give(struct http_request *r)
{
    struct buf *spare = &r->client->spare;
    if (spare->cap == 0 && r->out.cap <= REQUEST_BUF_KEPT) {
        *spare = r->out;
        buf_init(&r->out, REQUEST_HEAD_MAX);
    } else {
        buf_free(&r->out);
    }
}

static void reply_head(struct http_request *r)
{
    if (r->head.status >= 200) {
        /* It will not be sent again; and a reply of unknown length may last for an hour. */
        if (r->h1.framing != H1_LENGTH && r->sent && !stream_writing(r->up->stream))
            head_give(r);
        r->ops->on_head(r->owner, &r->head);
        return;
    }
    if (r->head.status == 101)
        request_fail(r, ERR_PROTOCOL, "the upstream changed protocols unasked");
    else if (++r->interim > INTERIM_MAX)
        request_fail(r, ERR_PROTOCOL, "the upstream sent too many interim replies");
    else
        h1_begin(&r->h1, r->head_method);
}

static bool reply_step(struct http_request *r, struct slice *in)
{
    struct slice body;
    if (r->state != REQUEST_LIVE || r->paused)
        return false;
    switch (h1_next(&r->h1, in, &r->head, &body)) {
    case H1_HEADERS:
        reply_head(r);
        return true;
    case H1_BODY:
        r->ops->on_body(r->owner, body);
        return true;
    case H1_END:
        request_complete(r, *in);
        return false;
    case H1_BAD:
        request_fail(r, ERR_PROTOCOL, r->h1.why);
        return false;
    default:
        return false;
    }
}

static void reply_parse(struct http_request *r, struct slice *in)
{
    assert(!r->parsing);
    r->parsing = true;
    while (reply_step(r, in))
        ;
    r->parsing = false;
    if (r->state == REQUEST_LIVE && r->ops->on_rest != NULL)
        r->ops->on_rest(r->owner);
}

/* What had to wait until the bytes before it were parsed. */
static void reply_settle(struct http_request *r)
{
    if (r->failed != OK) {
        request_broken(r, r->failed, r->why);
    } else if (r->ended) {
        if (h1_eof(&r->h1) == H1_END)
            request_complete(r, S(""));
        else
            request_broken(r, ERR_EOF, "the upstream closed the connection early");
    }
}

static void reply_on_read(void *owner, struct slice bytes)
{
    struct http_request *r = owner;
    r->begun = true;
    if (r->held.len == 0)
        reply_parse(r, &bytes);
    if (r->state != REQUEST_LIVE || bytes.n == 0)
        return;
    assert(r->paused || r->held.len > 0);
    if (buf_puts(&r->held, bytes) != OK)
        request_fail(r, ERR_NOMEM, "out of memory for a reply");
}

static bool reply_waits(const struct http_request *r)
{
    return r->paused || r->held.len > 0;
}

static void reply_on_end(void *owner)
{
    struct http_request *r = owner;
    r->ended = true;
    if (!reply_waits(r))
        reply_settle(r);
}

static void reply_on_error(void *owner, enum err e, const char *why)
{
    struct http_request *r = owner;
    r->failed = e;
    r->why = why;
    if (!reply_waits(r))
        reply_settle(r);
}

static void reply_on_written(void *owner)
{
    struct http_request *r = owner;
    r->sent = true;
}

/* The turn after: an immediate failure, or bytes that were held while the owner paused. */
static void request_turn(void *arg)
{
    struct http_request *r = arg;
    if (r->state == REQUEST_DIAL || r->up == NULL) {
        if (r->failed != OK)
            request_fail(r, r->failed, r->why);
        return;
    }
    struct slice in = buf_slice(&r->held);
    size_t before = in.n;
    reply_parse(r, &in);
    if (r->state != REQUEST_LIVE)
        return;
    buf_consume(&r->held, before - in.n);
    if (r->paused)
        return;
    assert(r->held.len == 0);
    buf_free(&r->held);
    if (r->failed != OK || r->ended)
        reply_settle(r);
    else
        stream_read(r->up->stream, true);
}

void http_request_read(struct http_request *r, bool on)
{
    assert(r->state != REQUEST_OVER);
    if (on != r->paused)
        return;
    r->paused = !on;
    if (r->state != REQUEST_LIVE)
        return; /* request_send will look at it */
    if (!on)
        stream_read(r->up->stream, false);
    else
        task_post(r->client->loop, &r->task);
}

/* ---- the request --------------------------------------------------------------------------- */

static void request_send(struct http_request *r)
{
    static const struct stream_ops OPS = {.on_read = reply_on_read,
                                          .on_end = reply_on_end,
                                          .on_error = reply_on_error,
                                          .on_written = reply_on_written};
    struct slice v[2] = {buf_slice(&r->out), r->body};
    r->state = REQUEST_LIVE;
    r->sent = false;
    h1_begin(&r->h1, r->head_method);
    stream_own(r->up->stream, &OPS, r);
    stream_read(r->up->stream, !r->paused);
    enum err e = stream_write(r->up->stream, v, r->body.n > 0 ? 2 : 1);
    if (e == OK)
        r->sent = true;
    else if (e != ERR_AGAIN)
        request_broken(r, e, "the connection broke while the request was sent");
}

static enum err head_write(struct http_request *r, enum http_method method, struct slice path,
                           const struct http_header *h, int n)
{
    struct buf *out = &r->out, *spare = &r->client->spare;
    if (out->cap == 0 && spare->cap > 0) {
        *out = *spare;
        buf_init(spare, REQUEST_HEAD_MAX);
        buf_clear(out);
    }
    bool counted = r->body.n > 0 || method == HTTP_POST || method == HTTP_PUT ||
                   method == HTTP_PATCH;
    struct slice verb = method_name(method), line = {r->origin->line, r->origin->line_len};
    size_t room = verb.n + 1 + path.n + line.n + head_lines_room(h, n) +
                  HEAD_NUMBER_MAX(LENGTH_LINE) + 2;
    enum err e = buf_reserve(out, room);
    if (e != OK)
        return e;
    assert(out->len == 0);
    char *at = head_copy(out->p, verb);
    *at++ = ' ';
    at = head_copy(at, path);
    at = head_copy(at, line);
    at = head_put_lines(at, h, n);
    if (counted)
        at = head_put_number(at, S(LENGTH_LINE), r->body.n);
    at = head_copy(at, S("\r\n"));
    out->len = (size_t)(at - out->p);
    assert(out->len <= room);
    return OK;
}

/* What would end the request line early. */
static bool path_is_safe(struct slice path)
{
    if (path.n == 0 || path.p[0] != '/')
        return false;
    for (const char *p = path.p, *end = p + path.n; p < end; p++)
        if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f)
            return false;
    return true;
}

struct http_request *http_request_start(struct http_client *c, const struct http_target *t,
                                        enum http_method method, struct slice path_and_query,
                                        const struct http_header *h, int n, struct slice body,
                                        const struct http_request_ops *ops, void *owner)
{
    struct http_request *r = request_new(c);
    assert(ops->on_head != NULL && ops->on_body != NULL);
    assert(ops->on_end != NULL && ops->on_fail != NULL);
    r->ops = ops;
    r->owner = owner;
    r->body = body;
    r->head_method = method == HTTP_HEAD;
    r->origin = origin_hold(c, t);
    r->starting = true;
    enum err e = path_is_safe(path_and_query) ? OK : ERR_SYNTAX;
    if (e != OK) {
        request_fail(r, e, "the path holds what no request line may hold");
    } else if ((e = head_write(r, method, path_and_query, h, n)) != OK) {
        request_fail(r, e, "the request's head is too large");
    } else if ((r->up = pool_take(r->origin)) != NULL) {
        r->reused = true;
        request_send(r);
    } else {
        request_dial(r);
    }
    r->starting = false;
    return r;
}

/* ---- the client ---------------------------------------------------------------------------- */

struct http_client *http_client_new(struct loop *l, const struct http_client_limits *limits,
                                    struct tls_client *tls)
{
    assert(limits->connect_ms > 0 && limits->idle_ms > 0);
    struct http_client *c = NEW(struct http_client);
    c->loop = l;
    c->limits = *limits;
    c->tls = tls;
    map_init(&c->origins);
    list_init(&c->idle);
    list_init(&c->requests);
    list_init(&c->free_requests);
    buf_init(&c->spare, REQUEST_HEAD_MAX);
    timer_init(&c->timer, l, pool_timer, c);
    return c;
}

static void client_bury(void *mem)
{
    struct http_client *c = mem;
    while (!list_empty(&c->free_requests)) {
        struct http_request *r = CONTAINER(c->free_requests.next, struct http_request, link);
        list_remove(&r->link);
        request_free(r);
    }
    map_free(&c->origins);
    buf_free(&c->spare);
    mem_free(c);
}

void http_client_free(struct http_client *c)
{
    while (!list_empty(&c->requests))
        http_request_abort(CONTAINER(c->requests.next, struct http_request, link));
    pool_close_idle(c);
    timer_stop(&c->timer);
    assert(c->origins.live == 0);
    loop_bury(c->loop, c, client_bury); /* after its requests, which were buried before it */
}

void http_client_close_idle(struct http_client *c)
{
    pool_close_idle(c);
}

int64_t http_client_idle(const struct http_client *c)
{
    return c->idle_count;
}
