/* A site for tests of the server over the simulated network: one server, one client, and a handler
 * that writes down what it is told. */
#ifndef TEST_HTTP_SITE_H
#define TEST_HTTP_SITE_H

#include "http/http.h"
#include "simnet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct site {
    struct loop *loop;
    struct listener *listener;
    struct http_server *server;
    struct http_server_limits limits;
    struct sim_peer *client;
    struct bytes log;       /* "open GET /x;body 3;complete;written;gone reset;" */
    struct bytes body;      /* of the newest call */
    struct http_call *call; /* the newest one, unless it is over */
    struct slice later;     /* to be written by `written`, then http_end */
    size_t read;            /* of client->rx, by got() */
    char *place;            /* where the body of "/place" is read to; gone once it is complete */
    size_t place_most;      /* at once; 0: any number */
    size_t placed;          /* body bytes that were read to it, of all calls */
};

static inline void say(struct site *s, const char *what)
{
    bytes_puts(&s->log, slice_of(what));
    bytes_puts(&s->log, S(";"));
}

static inline void done(struct site *s, bool cut)
{
    struct http_call *call = s->call;
    s->call = NULL;
    if (cut)
        http_cut(call);
    else
        http_end(call);
}

static inline enum err answer(struct site *s, int status, int64_t length, struct slice body)
{
    struct http_header h[] = {{S("x-a"), S("b")}};
    return http_respond(s->call, status, h, 1, length, body);
}

/* What the path says is done at once; the test does the rest. */
static inline void *on_open(void *ctx, struct http_call *call, const struct http_head *head)
{
    struct site *s = ctx;
    assert_null(s->call);
    s->call = call;
    s->body.n = 0;
    bytes_printf(&s->log, "open %s %.*s;", http_method_name(head->method), (int)head->path.n,
                 head->path.p);
    assert_ptr_equal(http_call_head(call), head);
    if (slice_eq(head->path, S("/ok"))) {
        enum err e = answer(s, 200, 2, S("ok"));
        if (e == ERR_AGAIN)
            return s;
        done(s, false);
    } else if (slice_eq(head->path, S("/refused"))) {
        if (answer(s, 401, 2, S("no")) != ERR_AGAIN)
            done(s, false);
    } else if (slice_eq(head->path, S("/cut"))) {
        done(s, true);
    } else if (!slice_eq(head->path, S("/hold"))) {
        http_call_read(call, true);
    }
    return s;
}

/* Memory of just the size that a body needs, and the one byte behind it. */
static inline char *on_room(void *x, size_t *n)
{
    struct site *s = x;
    const struct http_head *head = http_call_head(s->call);
    if (!slice_eq(head->path, S("/place")))
        return NULL;
    assert_true(*n > 0 && s->body.n + *n <= (size_t)head->content_length);
    if (s->place == NULL)
        s->place = mem_new((size_t)head->content_length + 1);
    if (s->place_most > 0 && *n > s->place_most)
        *n = s->place_most;
    return s->place + s->body.n;
}

static inline void on_body(void *x, struct slice bytes)
{
    struct site *s = x;
    assert_true(bytes.n > 0);
    if (s->place != NULL && bytes.p == s->place + s->body.n)
        s->placed += bytes.n;
    bytes_puts(&s->body, bytes);
    struct slice path = http_call_head(s->call)->path;
    if (slice_eq(path, S("/early"))) { /* has seen enough */
        if (answer(s, 200, 5, S("early")) == OK)
            done(s, false);
    } else if (slice_eq(path, S("/early-cut"))) {
        done(s, true);
    }
}

static inline void on_complete(void *x)
{
    struct site *s = x;
    struct slice path = http_call_head(s->call)->path;
    bytes_printf(&s->log, "body %zu;complete;", s->body.n);
    mem_free(s->place);
    s->place = NULL;
    if (slice_eq(path, S("/echo")) || slice_eq(path, S("/place"))) {
        if (answer(s, 200, (int64_t)s->body.n, bytes_slice(&s->body)) == OK)
            done(s, false);
    }
}

static inline void on_written(void *x)
{
    struct site *s = x;
    say(s, "written");
    if (s->call != NULL && s->later.n > 0) {
        struct slice more = s->later;
        s->later = S("");
        if (http_write(s->call, more) == ERR_AGAIN)
            return;
    }
    if (s->call != NULL && !slice_eq(http_call_head(s->call)->path, S("/hold")))
        done(s, false);
}

static inline void on_gone(void *x, enum err e, const char *why)
{
    struct site *s = x;
    assert_non_null(why);
    bytes_printf(&s->log, "gone %s;", err_name(e));
    s->call = NULL;
}

static inline void on_error_body(void *ctx, int status, const char *why, struct slice target,
                                 struct buf *out)
{
    (void)ctx;
    (void)target;
    assert_non_null(why);
    assert_int_equal(buf_printf(out, "{%d}", status), OK);
}

static inline void on_accept(void *owner, struct stream *stream)
{
    struct site *s = owner;
    http_server_add(s->server, stream);
}

static inline void settle(struct site *s)
{
    assert_true(sim_settle(s->loop));
}

static inline void advance(struct site *s, int64_t ms)
{
    assert_true(sim_advance(s->loop, ms));
}

static inline struct sim_peer *newcomer(struct site *s)
{
    struct sim_peer *p = sim_connect(s->loop, "client", S(""));
    settle(s);
    return p;
}

static inline void site_open(struct site *s)
{
    static const struct listener_ops L = {.on_accept = on_accept};
    static const struct http_server_ops OPS = {.handler = {.open = on_open,
                                                           .body = on_body,
                                                           .complete = on_complete,
                                                           .room = on_room,
                                                           .written = on_written,
                                                           .gone = on_gone},
                                               .error_body = on_error_body};
    struct addr addr;
    *s = (struct site){.limits = {.head_ms = 10000,
                                  .body_idle_ms = 60000,
                                  .keep_alive_ms = 620000,
                                  .write_ms = 60000,
                                  .max_body = 1000000,
                                  .max_requests = 1000,
                                  .max_connections = 100}};
    s->loop = loop_new();
    s->server = http_server_new(s->loop, &s->limits, &OPS, s);
    assert_int_equal(addr_parse(S("127.0.0.1:80"), &addr), OK);
    assert_int_equal(listener_open(s->loop, &addr, NULL, &L, s, &s->listener), OK);
    s->client = newcomer(s);
}

static inline void limits_set(struct site *s)
{
    http_server_set_limits(s->server, &s->limits);
}

/* Nothing may be left behind. */
static inline void site_close(struct site *s)
{
    struct sim_counts left;
    http_server_free(s->server);
    listener_close(s->listener);
    assert_null(s->call); /* what was left has been told to be gone */
    advance(s, 40000);    /* lingering ends */
    sim_live_counts(s->loop, &left);
    assert_int_equal(left.streams, 0);
    assert_int_equal(left.timers, 0);
    assert_false(left.tasks);
    loop_free(s->loop);
    bytes_free(&s->log);
    bytes_free(&s->body);
    mem_free(s->place);
}

static inline void send_raw(struct site *s, const char *text)
{
    sim_send(s->client, slice_of(text));
    settle(s);
}

/* What the client has received since the last call. */
#define GOT(s, text)    assert_got(s, text, __LINE__)
#define LOGGED(s, text) assert_logged(s, text, __LINE__)

static inline void assert_same(struct slice got, const char *want, int line)
{
    if (!slice_eq(got, slice_of(want)))
        fail_msg("line %d: got <%.*s>, wanted <%s>", line, (int)got.n, got.p, want);
}

static inline void assert_got(struct site *s, const char *want, int line)
{
    struct slice all = bytes_slice(&s->client->rx);
    size_t from = s->read;
    s->read = all.n;
    assert_same(all.p == NULL ? S("") : slice_sub(all, from, all.n), want, line);
}

static inline void assert_logged(struct site *s, const char *want, int line)
{
    assert_same(bytes_slice(&s->log), want, line);
    s->log.n = 0;
}

static inline int site_setup(void **state)
{
    static struct site s;
    site_open(&s);
    *state = &s;
    return 0;
}

static inline int site_teardown(void **state)
{
    site_close(*state);
    return 0;
}

#define WITH_SITE(test) cmocka_unit_test_setup_teardown(test, site_setup, site_teardown)

#endif
