/* links: base http sim */
/* The client over a simulated network: what it sends, how it reads, and which connections it keeps.
 */
#include "http/http.h"
#include "simnet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- a site: one client, hosts, and an owner of requests that writes down what it is told --- */

#define PEERS 16

enum act { ACT_NONE, ACT_ABORT, ACT_PAUSE, ACT_AGAIN };

struct site {
    struct loop *loop;
    struct http_client *client;
    struct tls_client *tls;
    struct sim_host *host, *other;
    struct sim_peer *peer[PEERS]; /* in the order of dialling */
    int peers;
    struct http_target target;
    struct http_request *request; /* the newest, while it lives */
    struct bytes log;             /* "sent new;head 200;body 2;end;" */
    struct bytes body;
    struct slice path;                                   /* of the newest request */
    enum act on_sent, on_head, on_body, on_rest, on_end; /* what to do inside that callback */
};

static struct http_request *start(struct site *s, enum http_method m, struct slice path,
                                  struct slice body);

static void act(struct site *s, enum act *what)
{
    enum act a = *what;
    struct http_request *r = s->request;
    *what = ACT_NONE;
    if (a == ACT_ABORT) {
        s->request = NULL;
        http_request_abort(r);
    } else if (a == ACT_PAUSE) {
        http_request_read(r, false);
    } else if (a == ACT_AGAIN) {
        s->request = NULL;
        (void)start(s, HTTP_GET, S("/again"), S(""));
    }
}

static void on_sent(void *owner)
{
    struct site *s = owner;
    bytes_printf(&s->log, "sent new;");
    act(s, &s->on_sent);
}

static void on_head(void *owner, const struct http_head *head)
{
    struct site *s = owner;
    bytes_printf(&s->log, "head %d;", head->status);
    act(s, &s->on_head);
}

static void on_body(void *owner, struct slice bytes)
{
    struct site *s = owner;
    assert_true(bytes.n > 0);
    bytes_puts(&s->body, bytes);
    act(s, &s->on_body);
}

static void on_end(void *owner)
{
    struct site *s = owner;
    bytes_printf(&s->log, "body %zu;end;", s->body.n);
    s->request = NULL;
    act(s, &s->on_end);
}

static void on_fail(void *owner, enum err e, const char *why)
{
    struct site *s = owner;
    assert_non_null(why);
    bytes_printf(&s->log, "fail %s;", err_name(e));
    s->request = NULL;
}

static const struct http_request_ops OPS = {.on_sent = on_sent,
                                            .on_head = on_head,
                                            .on_body = on_body,
                                            .on_end = on_end,
                                            .on_fail = on_fail};

static struct http_request *start_with(struct site *s, enum http_method m, struct slice path,
                                       const struct http_header *h, int n, struct slice body)
{
    assert_null(s->request);
    s->body.n = 0;
    s->request = http_request_start(s->client, &s->target, m, path, h, n, body, &OPS, s);
    assert_non_null(s->request);
    return s->request;
}

static struct http_request *start(struct site *s, enum http_method m, struct slice path,
                                  struct slice body)
{
    return start_with(s, m, path, NULL, 0, body);
}

static void on_dialled(void *arg, struct sim_host *h, struct sim_peer *p)
{
    struct site *s = arg;
    (void)h;
    assert_true(s->peers < PEERS);
    s->peer[s->peers++] = p;
}

static void settle(struct site *s)
{
    assert_true(sim_settle(s->loop));
}

static void advance(struct site *s, int64_t ms)
{
    assert_true(sim_advance(s->loop, ms));
}

static void site_open(struct site *s)
{
    static const struct http_client_limits LIMITS = {
        .connect_ms = 5000, .idle_ms = 55000, .max_idle = 3};
    const char *why;
    *s = (struct site){.target = {.host = S("up.test"), .port = 80, .pool = 1}};
    s->loop = loop_new();
    struct sim_hooks hooks = {.arg = s, .on_dialled = on_dialled};
    sim_hooks_set(s->loop, &hooks);
    s->host = sim_host(s->loop, "up", S("up.test"), 80);
    s->other = sim_host(s->loop, "other", S("up.test"), 443);
    assert_int_equal(tls_client_new(NULL, NULL, &s->tls, &why), OK);
    s->client = http_client_new(s->loop, &LIMITS, s->tls);
}

static void site_close(struct site *s)
{
    struct sim_counts left;
    http_client_free(s->client);
    tls_client_free(s->tls);
    advance(s, 40000);
    sim_live_counts(s->loop, &left);
    assert_int_equal(left.streams, 0);
    assert_int_equal(left.dials, 0);
    assert_int_equal(left.timers, 0);
    assert_false(left.tasks);
    loop_free(s->loop);
    bytes_free(&s->log);
    bytes_free(&s->body);
}

#define SENT(s, i, text) assert_sent(s, i, text, __LINE__)
#define LOGGED(s, text)  assert_logged(s, text, __LINE__)
#define BODY(s, text)    assert_same(bytes_slice(&(s)->body), text, __LINE__)

static void assert_same(struct slice got, const char *want, int line)
{
    if (!slice_eq(got, slice_of(want)))
        fail_msg("line %d: got <%.*s>, wanted <%s>", line, (int)got.n, got.p, want);
}

/* All that peer `i` has received since the last look at it. */
static void assert_sent(struct site *s, int i, const char *want, int line)
{
    assert_true(i < s->peers);
    assert_same(bytes_slice(&s->peer[i]->rx), want, line);
    s->peer[i]->rx.n = 0;
}

static void assert_logged(struct site *s, const char *want, int line)
{
    assert_same(bytes_slice(&s->log), want, line);
    s->log.n = 0;
}

static void reply(struct site *s, int i, const char *text)
{
    sim_send(s->peer[i], slice_of(text));
    settle(s);
}

static void get(struct site *s)
{
    (void)start(s, HTTP_GET, S("/x"), S(""));
    settle(s);
}

#define GET_X "GET /x HTTP/1.1\r\nhost: up.test\r\n\r\n"
#define OK2   "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

/* ---- what goes out ------------------------------------------------------------------------- */

static void requests(struct site *s)
{
    struct http_header h[] = {
        {S("a"), S("b")},       {S("connection"), S("close")}, {S("content-length"), S("7")},
        {S("host"), S("evil")}, {S("x"), S("y\r\nz: 1")},      {S("c"), S("")}};
    (void)start_with(s, HTTP_POST, S("/p?q=1"), h, 6, S("hello"));
    assert_false(http_request_connected(s->request));
    LOGGED(s, "");
    settle(s);
    assert_true(http_request_connected(s->request));
    LOGGED(s, "sent new;");
    SENT(s, 0,
         "POST /p?q=1 HTTP/1.1\r\nhost: up.test\r\na: b\r\nc: \r\ncontent-length: 5\r\n\r\nhello");
    reply(s, 0, OK2);
    LOGGED(s, "head 200;body 2;end;");
    (void)start(s, HTTP_POST, S("/p"), S(""));
    settle(s);
    SENT(s, 0, "POST /p HTTP/1.1\r\nhost: up.test\r\ncontent-length: 0\r\n\r\n");
    reply(s, 0, OK2);
    (void)start(s, HTTP_DELETE, S("/p"), S(""));
    settle(s);
    SENT(s, 0, "DELETE /p HTTP/1.1\r\nhost: up.test\r\n\r\n");
    reply(s, 0, OK2);
    (void)sim_host(s->loop, "six", S("2001:db8::1"), 8080);
    s->target.host = S("2001:db8::1");
    s->target.port = 8080;
    s->target.allow_private = true;
    get(s);
    SENT(s, 1, "GET /x HTTP/1.1\r\nhost: [2001:db8::1]:8080\r\n\r\n");
}

static void bad_paths(struct site *s)
{
    static const char *const PATHS[] = {"", "x", "/a b", "/a\r\nb: c", "/\x7f", "/\xc3\xa4"};
    for (size_t i = 0; i < sizeof PATHS / sizeof PATHS[0]; i++) {
        (void)start(s, HTTP_GET, slice_of(PATHS[i]), S(""));
        LOGGED(s, ""); /* not inside the call */
        settle(s);
        LOGGED(s, "fail syntax;");
    }
    assert_int_equal(s->peers, 0);
}

/* The head is the client's own copy: what it was made of may go at once. */
static void head_is_copied(struct site *s)
{
    char *path = mem_strdup("/x"), *value = mem_strdup("v");
    struct http_header *h = NEW(struct http_header);
    *h = (struct http_header){S("n"), slice_of(value)};
    (void)start_with(s, HTTP_GET, slice_of(path), h, 1, S(""));
    mem_free(path);
    mem_free(value);
    mem_free(h);
    settle(s);
    SENT(s, 0, "GET /x HTTP/1.1\r\nhost: up.test\r\nn: v\r\n\r\n");
}

/* ---- replies ------------------------------------------------------------------------------- */

static void replies(struct site *s)
{
    static const struct {
        enum http_method method;
        const char *in, *log, *body;
        bool kept, fin;
    } ROWS[] = {
        {HTTP_GET, OK2, "head 200;body 2;end;", "ok", true, false},
        {HTTP_GET,
         "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\nt: "
         "v\r\n\r\n",
         "head 200;body 3;end;", "abc", true, false},
        {HTTP_HEAD, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", "head 200;body 0;end;", "",
         true, false},
        {HTTP_GET, "HTTP/1.1 204 No Content\r\n\r\n", "head 204;body 0;end;", "", true, false},
        {HTTP_GET, "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", "head 304;body 0;end;",
         "", true, false},
        {HTTP_GET, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n" OK2,
         "head 200;body 2;end;", "ok", true, false},
        {HTTP_GET, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\na",
         "head 200;body 1;end;", "a", false, false},
        {HTTP_GET, "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\na",
         "head 200;body 1;end;", "a", false, false},
        {HTTP_GET, OK2 "x", "head 200;body 2;end;", "ok", false, false},
        {HTTP_GET, OK2 OK2, "head 200;body 2;end;", "ok", false, false},
        {HTTP_HEAD, OK2, "head 200;body 0;end;", "", false, false}, /* a body where none may be */
        {HTTP_GET, "HTTP/1.1 204 No Content\r\n\r\nx", "head 204;body 0;end;", "", false, false},
        {HTTP_GET, "HTTP/1.1 200 OK\r\n\r\nuntil", "head 200;body 5;end;", "until", false, true},
        {HTTP_GET, "HTTP/1.0 200 OK\r\n\r\n", "head 200;body 0;end;", "", false, true},
        {HTTP_GET, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort", "head 200;fail eof;",
         "short", false, true},
        {HTTP_GET, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n",
         "head 200;fail eof;", "ab", false, true},
        {HTTP_GET, "HTTP/1.1 200 OK\r\ncont", "fail eof;", "", false, true},
        {HTTP_GET, "", "fail eof;", "", false, true},
        {HTTP_GET, "HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\nrubbish", "fail protocol;", "",
         false, false},
        {HTTP_GET, "rubbish", "fail protocol;", "", false, false},
        {HTTP_GET, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
         "fail protocol;", "", false, false},
        {HTTP_GET, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na",
         "fail protocol;", "", false, false},
        {HTTP_GET, "HTTP/1.1 200 OK\r\na: b\n\r\n", "fail protocol;", "", false, false},
        {HTTP_GET, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
         "head 200;fail protocol;", "", false, false},
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        s->target.pool = 100 + i; /* a connection of its own */
        s->peers = 0;
        (void)start(s, ROWS[i].method, S("/x"), S(""));
        settle(s);
        LOGGED(s, "sent new;");
        reply(s, 0, ROWS[i].in);
        if (ROWS[i].fin) {
            sim_end(s->peer[0], SIM_FIN);
            settle(s);
        }
        LOGGED(s, ROWS[i].log);
        BODY(s, ROWS[i].body);
        assert_int_equal(http_client_idle(s->client), ROWS[i].kept ? 1 : 0);
        assert_int_equal(s->peer[0]->rx_end != SIM_OPEN || s->peer[0]->gone, !ROWS[i].kept);
        http_client_close_idle(s->client);
        settle(s);
    }
}

static void interim_is_bounded(struct site *s)
{
    get(s);
    for (int i = 0; i < 8; i++)
        reply(s, 0, "HTTP/1.1 100 Continue\r\n\r\n");
    LOGGED(s, "sent new;");
    reply(s, 0, "HTTP/1.1 100 Continue\r\n\r\n");
    LOGGED(s, "fail protocol;");
}

static void head_is_bounded(struct site *s)
{
    struct bytes line = {0};
    get(s);
    reply(s, 0, "HTTP/1.1 200 OK\r\n");
    bytes_printf(&line, "x: %01000d\r\n", 0);
    for (int i = 0; i < 70 && s->request != NULL; i++) {
        sim_send(s->peer[0], bytes_slice(&line));
        settle(s);
    }
    LOGGED(s, "sent new;fail protocol;");
    assert_true(s->peer[0]->rx_end != SIM_OPEN);
    bytes_free(&line);
}

/* ---- the pool ------------------------------------------------------------------------------ */

static void reuse(struct site *s)
{
    for (int i = 0; i < 3; i++) {
        get(s);
        LOGGED(s, i == 0 ? "sent new;" : "");
        assert_int_equal(http_client_idle(s->client), 0);
        SENT(s, 0, GET_X);
        reply(s, 0, OK2);
        LOGGED(s, "head 200;body 2;end;");
        assert_int_equal(http_client_idle(s->client), 1);
    }
    assert_int_equal(s->peers, 1);
    s->target.pool = 2; /* another account: never the same connection */
    get(s);
    assert_int_equal(s->peers, 2);
    reply(s, 1, OK2);
    s->target.port = 443; /* another port */
    get(s);
    assert_int_equal(s->peers, 3);
    reply(s, 2, OK2);
    s->target.allow_private = true; /* dialled under another rule */
    get(s);
    assert_int_equal(s->peers, 4);
    reply(s, 3, OK2);
    assert_int_equal(http_client_idle(s->client), 3); /* max_idle: the oldest has been closed */
    assert_int_equal(s->peer[0]->rx_end, SIM_FIN);
    assert_int_equal(s->peer[1]->rx_end, SIM_OPEN);
}

/* An origin is found again by the number of its pool alone only when all else is the same, and not
 * once it is gone. */
static void origins_side_by_side(struct site *s)
{
    static const struct {
        const char *host, *line;
        uint64_t pool; /* all of them at one place in the list of those used last */
        uint16_t port;
    } ROWS[] = {{"up.test", "up.test", 3, 80},
                {"a.test", "a.test", 3, 80},
                {"up.test", "up.test:443", 3, 443},
                {"up.test", "up.test", 3 + 16, 80},
                {"up.test", "up.test", 3 + (UINT64_C(1) << 32), 80},
                {"::1", "[::1]:8080", 3, 8080}};
    (void)sim_host(s->loop, "a", S("a.test"), 80);
    (void)sim_host(s->loop, "one", S("::1"), 8080);
    int n = (int)(sizeof ROWS / sizeof ROWS[0]);
    for (int round = 0; round < 2; round++) {
        s->peers = 0;
        for (int i = 0; i < n; i++) {
            char want[128];
            s->target = (struct http_target){.host = slice_of(ROWS[i].host),
                                             .port = ROWS[i].port,
                                             .pool = ROWS[i].pool,
                                             .allow_private = true};
            for (int again = 0; again < 2; again++) { /* the second time on the same connection */
                get(s);
                assert_int_equal(s->peers, i + 1);
                (void)text_format(want, sizeof want, "GET /x HTTP/1.1\r\nhost: %s\r\n\r\n",
                                  ROWS[i].line);
                SENT(s, i, want);
                reply(s, i, OK2);
            }
        }
        http_client_close_idle(s->client); /* and with them their origins */
        settle(s);
    }
}

static void newest_first(struct site *s)
{
    struct http_request *first = start(s, HTTP_GET, S("/1"), S(""));
    s->request = NULL;
    get(s);
    assert_ptr_not_equal(first, s->request);
    reply(s, 0, OK2);
    advance(s, 10);
    reply(s, 1, OK2);
    LOGGED(s, "sent new;sent new;head 200;body 2;end;head 200;body 4;end;");
    s->peer[1]->rx.n = 0;
    get(s);
    SENT(s, 1, GET_X);
    assert_int_equal(http_client_idle(s->client), 1);
}

static void idle_connections_watch(struct site *s)
{
    static const enum sim_end HOW[] = {SIM_OPEN, SIM_FIN, SIM_RST};
    for (int i = 0; i < 3; i++) {
        get(s);
        reply(s, i, OK2);
        assert_int_equal(http_client_idle(s->client), 1);
        if (HOW[i] == SIM_OPEN)
            reply(s, i, "x"); /* a byte nobody has asked for */
        else
            sim_end(s->peer[i], HOW[i]);
        settle(s);
        assert_int_equal(http_client_idle(s->client), 0);
        assert_int_equal(s->peers, i + 1);
    }
    assert_true(s->peer[0]->rx_end != SIM_OPEN);
}

static void idle_connections_age(struct site *s)
{
    get(s);
    reply(s, 0, OK2);
    advance(s, 30000);
    s->target.pool = 2;
    get(s);
    reply(s, 1, OK2);
    advance(s, 24999);
    assert_int_equal(http_client_idle(s->client), 2);
    advance(s, 1);
    assert_int_equal(http_client_idle(s->client), 1);
    assert_int_equal(s->peer[0]->rx_end, SIM_FIN);
    advance(s, 29999);
    assert_int_equal(s->peer[1]->rx_end, SIM_OPEN);
    advance(s, 1);
    assert_int_equal(s->peer[1]->rx_end, SIM_FIN);
    assert_int_equal(http_client_idle(s->client), 0);
}

static void stale_connections_are_replaced(struct site *s)
{
    static const enum sim_end HOW[] = {SIM_FIN, SIM_RST};
    for (int i = 0; i < 2; i++) {
        s->target.pool = 10 + (uint64_t)i;
        s->peers = 0;
        get(s);
        reply(s, 0, OK2);
        s->log.n = 0;
        (void)start(s, HTTP_POST, S("/y"), S("body"));
        sim_end(s->peer[0], HOW[i]); /* at the same moment */
        settle(s);
        assert_int_equal(s->peers, 2);
        SENT(s, 1, "POST /y HTTP/1.1\r\nhost: up.test\r\ncontent-length: 4\r\n\r\nbody");
        reply(s, 1, OK2);
        LOGGED(s, "sent new;head 200;body 2;end;");
    }
}

static void stale_only_once(struct site *s)
{
    get(s);
    reply(s, 0, OK2);
    s->log.n = 0;
    get(s);
    sim_end(s->peer[0], SIM_FIN);
    settle(s);
    sim_end(s->peer[1], SIM_FIN);
    settle(s);
    LOGGED(s, "sent new;fail eof;");
    assert_int_equal(s->peers, 2);
}

static void not_stale_once_it_has_spoken(struct site *s)
{
    get(s);
    reply(s, 0, OK2);
    s->log.n = 0;
    get(s);
    reply(s, 0, "H");
    sim_end(s->peer[0], SIM_RST);
    settle(s);
    LOGGED(s, "fail reset;");
    assert_int_equal(s->peers, 1);
}

static void stale_and_then_unreachable(struct site *s)
{
    get(s);
    reply(s, 0, OK2);
    s->log.n = 0;
    s->host->verdict = ERR_CONNECT;
    get(s);
    sim_end(s->peer[0], SIM_FIN);
    settle(s);
    LOGGED(s, "fail connect;");
}

/* ---- dialling ------------------------------------------------------------------------------ */

/* Out of descriptors: those of idle connections are used instead. */
static void idle_connections_make_room(struct site *s)
{
    for (int i = 0; i < 2; i++) {
        s->target.pool = 20 + (uint64_t)i;
        get(s);
        reply(s, i, OK2);
    }
    assert_int_equal(http_client_idle(s->client), 2);
    s->log.n = 0;
    s->target.pool = 22;
    s->host->verdict = ERR_BUSY;
    get(s);
    settle(s);
    LOGGED(s, "fail busy;");
    assert_int_equal(s->host->dials, 2 + 3); /* once more for each */
    assert_int_equal(http_client_idle(s->client), 0);
}

static void dial_failures(struct site *s)
{
    static const enum err VERDICT[] = {ERR_CONNECT, ERR_DNS, ERR_CERT, ERR_TLS, ERR_DENIED};
    for (size_t i = 0; i < sizeof VERDICT / sizeof VERDICT[0]; i++) {
        char want[64];
        s->host->verdict = VERDICT[i];
        get(s);
        text_format(want, sizeof want, "fail %s;", err_name(VERDICT[i]));
        LOGGED(s, want);
    }
}

static void dial_deadline(struct site *s)
{
    s->host->verdict = s->other->verdict = ERR_AGAIN;
    get(s);
    advance(s, 4999);
    LOGGED(s, "");
    advance(s, 1);
    LOGGED(s, "fail timeout;");
    s->target.tls = true; /* twice the time when there is TLS to do */
    s->target.port = 443;
    get(s);
    advance(s, 9999);
    LOGGED(s, "");
    advance(s, 1);
    LOGGED(s, "fail timeout;");
}

static void tls(struct site *s)
{
    s->target.tls = true;
    s->target.port = 443;
    get(s);
    assert_true(s->peer[0]->tls);
    SENT(s, 0, GET_X);
    reply(s, 0, "HTTP/1.1 200 OK\r\n\r\nuntil");
    sim_end(s->peer[0], SIM_CUT); /* without close_notify it has not ended, it was cut */
    settle(s);
    LOGGED(s, "sent new;head 200;fail eof;");
    get(s);
    reply(s, 1, "HTTP/1.1 200 OK\r\n\r\nuntil");
    sim_end(s->peer[1], SIM_FIN);
    settle(s);
    LOGGED(s, "sent new;head 200;body 5;end;");
}

static void no_tls_here(struct site *s)
{
    static const struct http_client_limits LIMITS = {.connect_ms = 1, .idle_ms = 1, .max_idle = 0};
    struct http_client *plain = http_client_new(s->loop, &LIMITS, NULL), *with = s->client;
    s->client = plain;
    s->target.tls = true;
    (void)start(s, HTTP_GET, S("/x"), S(""));
    LOGGED(s, "");
    settle(s);
    LOGGED(s, "fail unsupported;");
    s->target.tls = false;
    get(s);
    reply(s, 0, OK2);
    LOGGED(s, "sent new;head 200;body 2;end;");
    assert_int_equal(http_client_idle(plain), 0); /* max_idle 0: none is kept */
    s->client = with;
    http_client_free(plain);
}

/* ---- an owner that acts inside its callbacks ----------------------------------------------- */

static void aborts(struct site *s)
{
    (void)start(s, HTTP_GET, S("/x"), S("")); /* before anything has happened */
    http_request_abort(s->request);
    s->request = NULL;
    settle(s);
    LOGGED(s, "");
    s->on_sent = ACT_ABORT;
    get(s);
    LOGGED(s, "sent new;");
    SENT(s, s->peers - 1, "");
    s->on_head = ACT_ABORT;
    get(s);
    reply(s, s->peers - 1, OK2);
    LOGGED(s, "sent new;head 200;");
    assert_true(s->peer[s->peers - 1]->rx_end != SIM_OPEN);
    s->on_body = ACT_ABORT;
    get(s);
    reply(s, s->peers - 1, OK2);
    LOGGED(s, "sent new;head 200;");
    BODY(s, "ok");
    get(s);
    reply(s, s->peers - 1, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab");
    http_request_abort(s->request); /* in the middle */
    s->request = NULL;
    reply(s, s->peers - 1, "cde");
    LOGGED(s, "sent new;head 200;");
    get(s);
    reply(s, s->peers - 1, OK2);
    s->log.n = 0;
    get(s); /* on a pooled connection */
    LOGGED(s, "");
    http_request_abort(s->request);
    s->request = NULL;
    settle(s);
    assert_int_equal(http_client_idle(s->client), 0);
}

static void again_from_on_end(struct site *s)
{
    s->on_end = ACT_AGAIN;
    get(s);
    s->peer[0]->rx.n = 0;
    reply(s, 0, OK2);
    SENT(s, 0, "GET /again HTTP/1.1\r\nhost: up.test\r\n\r\n");
    reply(s, 0, OK2);
    LOGGED(s, "sent new;head 200;body 2;end;head 200;body 2;end;");
}

/* ---- backpressure -------------------------------------------------------------------------- */

#define CHUNKS \
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n"

static void pause_and_go_on(struct site *s)
{
    s->on_body = ACT_PAUSE;
    get(s);
    reply(s, 0, CHUNKS); /* in one piece: what follows the pause is kept */
    LOGGED(s, "sent new;head 200;");
    BODY(s, "a");
    s->on_body = ACT_PAUSE;
    http_request_read(s->request, true);
    BODY(s, "a");
    settle(s);
    BODY(s, "ab");
    http_request_read(s->request, true);
    settle(s);
    BODY(s, "abc");
    LOGGED(s, "body 3;end;");
    assert_int_equal(http_client_idle(s->client), 1);
}

static void pause_at_the_last_byte(struct site *s)
{
    s->on_body = ACT_PAUSE;
    get(s);
    reply(s, 0, OK2);
    LOGGED(s, "sent new;head 200;");
    http_request_read(s->request, true);
    settle(s);
    LOGGED(s, "body 2;end;");
}

static void pause_stops_the_stream(struct site *s)
{
    get(s);
    reply(s, 0, "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n");
    http_request_read(s->request, false);
    reply(s, 0, "abc");
    assert_int_equal(sim_unread(s->peer[0]), 3);
    http_request_read(s->request, true);
    settle(s);
    BODY(s, "abc");
    reply(s, 0, "def");
    LOGGED(s, "sent new;head 200;body 6;end;");
}

static void the_end_waits_behind_a_pause(struct site *s)
{
    static const enum sim_end HOW[] = {SIM_FIN, SIM_RST};
    for (int i = 0; i < 2; i++) {
        s->on_body = ACT_PAUSE;
        get(s);
        reply(s, i, CHUNKS);
        sim_end(s->peer[i], HOW[i]);
        settle(s);
        BODY(s, "a");
        LOGGED(s, "sent new;head 200;");
        http_request_read(s->request, true);
        settle(s);
        BODY(s, "abc"); /* it was complete before the connection broke */
        LOGGED(s, "body 3;end;");
        assert_int_equal(http_client_idle(s->client), 0);
    }
}

static void paused_from_the_start(struct site *s)
{
    (void)start(s, HTTP_GET, S("/x"), S(""));
    http_request_read(s->request, false);
    settle(s);
    reply(s, 0, OK2);
    LOGGED(s, "sent new;");
    http_request_read(s->request, true);
    settle(s);
    LOGGED(s, "head 200;body 2;end;");
}

static void paused_when_connected(struct site *s)
{
    s->on_sent = ACT_PAUSE;
    get(s);
    SENT(s, 0, GET_X);
    reply(s, 0, OK2);
    LOGGED(s, "sent new;");
    http_request_read(s->request, true);
    settle(s);
    LOGGED(s, "head 200;body 2;end;");
}

static void on_rest(void *owner)
{
    struct site *s = owner;
    bytes_printf(&s->log, "rest %zu;", s->body.n);
    act(s, &s->on_rest);
}

/* Once a read, behind all that it brought; never behind the end. */
static void the_rest(struct site *s)
{
    struct http_request_ops ops = OPS;
    ops.on_rest = on_rest;
    s->request = http_request_start(s->client, &s->target, HTTP_GET, S("/x"), NULL, 0, S(""), &ops,
                                    s);
    settle(s);
    reply(s, 0, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n1\r\n");
    LOGGED(s, "sent new;head 200;rest 2;");
    reply(s, 0, "c\r\n1\r\nd\r\n");
    LOGGED(s, "rest 4;");
    s->on_body = ACT_PAUSE;
    reply(s, 0, "1\r\ne\r\n1\r\nf\r\n");
    LOGGED(s, "rest 5;");
    http_request_read(s->request, true);
    settle(s);
    LOGGED(s, "rest 6;");
    reply(s, 0, "1\r\ng\r\n0\r\n\r\n");
    LOGGED(s, "body 7;end;");
    s->body.n = 0;
    s->on_rest = ACT_ABORT;
    s->request = http_request_start(s->client, &s->target, HTTP_GET, S("/x"), NULL, 0, S(""), &ops,
                                    s);
    reply(s, 0, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab");
    LOGGED(s, "head 200;rest 2;");
    assert_true(s->peer[0]->rx_end != SIM_OPEN);
}

/* ---- a request that takes its time --------------------------------------------------------- */

static void early_reply(struct site *s)
{
    static char big[50000];
    memset(big, 'x', sizeof big);
    (void)start(s, HTTP_POST, S("/x"), (struct slice){big, 10});
    settle(s);
    reply(s, 0, OK2);
    s->log.n = 0;
    sim_reading(s->peer[0], false);
    (void)start(s, HTTP_POST, S("/x"), (struct slice){big, sizeof big});
    settle(s);
    reply(s, 0, "HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno");
    LOGGED(s, "head 413;body 2;end;");
    assert_int_equal(http_client_idle(s->client), 0);
    assert_true(s->peer[0]->rx_end != SIM_OPEN);
}

static void early_head(struct site *s)
{
    static char big[50000];
    memset(big, 'x', sizeof big);
    (void)start(s, HTTP_POST, S("/x"), (struct slice){big, 1});
    settle(s);
    reply(s, 0, OK2);
    s->log.n = 0;
    sim_reading(s->peer[0], false);
    (void)start(s, HTTP_POST, S("/x"), (struct slice){big, sizeof big});
    settle(s);
    reply(s, 0, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha");
    LOGGED(s, "head 200;");
    sim_reading(s->peer[0], true); /* now the request can be sent whole: the connection is clean */
    settle(s);
    reply(s, 0, "lf");
    LOGGED(s, "body 4;end;");
    assert_int_equal(http_client_idle(s->client), 1);
}

static void freed_while_busy(struct site *s)
{
    s->host->verdict = ERR_AGAIN;
    get(s); /* dialling */
    s->request = NULL;
    s->target.port = 443;
    get(s); /* in flight */
    s->request = NULL;
    s->target.pool = 5;
    get(s); /* idle */
    reply(s, 1, OK2);
    (void)start(s, HTTP_GET, S("bad"), S("")); /* failing in the next turn */
    s->log.n = 0;
    http_client_free(s->client);
    settle(s);
    LOGGED(s, "");
    static const struct http_client_limits LIMITS = {.connect_ms = 1, .idle_ms = 1, .max_idle = 1};
    s->client = http_client_new(s->loop, &LIMITS, NULL);
}

/* ---- everything, however the bytes cross --------------------------------------------------- */

static void conversation(struct site *s)
{
    static const char *const REPLIES[] = {OK2, CHUNKS, ("HTTP/1.1 100 Continue\r\n\r\n" OK2),
                                          "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil"};
    static const char *const BODIES[] = {"ok", "abc", "ok", "until"};
    for (int i = 0; i < 4; i++) {
        (void)start(s, HTTP_POST, S("/x"), S("0123456789"));
        settle(s);
        SENT(s, 0, "POST /x HTTP/1.1\r\nhost: up.test\r\ncontent-length: 10\r\n\r\n0123456789");
        reply(s, 0, REPLIES[i]);
        if (i == 3) {
            sim_end(s->peer[0], SIM_FIN);
            settle(s);
        }
        BODY(s, BODIES[i]);
        assert_null(s->request);
    }
    assert_int_equal(s->peers, 1);
}

static void test_any_weather(void **state)
{
    (void)state;
    for (int take = 0; take < SIM_TAKES; take++) {
        for (size_t max = 1; max <= 17; max++) {
            struct site s;
            struct sim_weather w = {
                .read_max = max, .reads_per_turn = 1 + (int)max % 3, .take = (enum sim_take)take};
            site_open(&s);
            sim_weather_set(s.loop, &w);
            conversation(&s);
            site_close(&s);
        }
    }
}

#define SITE_TESTS(X)                 \
    X(requests)                       \
    X(bad_paths)                      \
    X(head_is_copied)                 \
    X(replies)                        \
    X(interim_is_bounded)             \
    X(head_is_bounded)                \
    X(reuse)                          \
    X(origins_side_by_side)           \
    X(newest_first)                   \
    X(idle_connections_watch)         \
    X(idle_connections_age)           \
    X(stale_connections_are_replaced) \
    X(stale_only_once)                \
    X(not_stale_once_it_has_spoken)   \
    X(stale_and_then_unreachable)     \
    X(idle_connections_make_room)     \
    X(dial_failures)                  \
    X(dial_deadline)                  \
    X(tls)                            \
    X(no_tls_here)                    \
    X(aborts)                         \
    X(again_from_on_end)              \
    X(pause_and_go_on)                \
    X(pause_at_the_last_byte)         \
    X(pause_stops_the_stream)         \
    X(the_end_waits_behind_a_pause)   \
    X(paused_from_the_start)          \
    X(paused_when_connected)          \
    X(the_rest)                       \
    X(early_reply)                    \
    X(early_head)                     \
    X(freed_while_busy)

#define DEFINE(name)                      \
    static void test_##name(void **state) \
    {                                     \
        struct site s;                    \
        (void)state;                      \
        site_open(&s);                    \
        name(&s);                         \
        site_close(&s);                   \
    }
#define LIST(name) cmocka_unit_test(test_##name),

SITE_TESTS(DEFINE)

int main(void)
{
    const struct CMUnitTest tests[] = {SITE_TESTS(LIST) cmocka_unit_test(test_any_weather)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
