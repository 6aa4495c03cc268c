/* links: base http sim */
/* The server over a simulated network: what goes over the wire, to the byte, and what the handler
 * is told. */
#include "http_site.h"

#define GET(path)     "GET " path " HTTP/1.1\r\nhost: a\r\n\r\n"
#define POST(path, n) "POST " path " HTTP/1.1\r\nhost: a\r\ncontent-length: " #n "\r\n\r\n"
#define CHUNKED(path) "POST " path " HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
#define R200(n)       "HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: " #n "\r\n\r\n"
#define R200_CLOSE(n) \
    "HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: " #n "\r\nconnection: close\r\n\r\n"
#define R200_STREAM "HTTP/1.1 200 OK\r\nx-a: b\r\ntransfer-encoding: chunked\r\n\r\n"
#define R401_CLOSE \
    "HTTP/1.1 401 Unauthorized\r\nx-a: b\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno"
#define ERROR(line, code)                                                                        \
    "HTTP/1.1 " line                                                                             \
    "\r\ncontent-type: application/json\r\ncontent-length: 5\r\nconnection: close\r\n\r\n{" code \
    "}"

/* ---- one request after the other ----------------------------------------------------------- */

static void keep_alive(struct site *s)
{
    for (int i = 0; i < 3; i++) {
        send_raw(s, GET("/ok"));
        GOT(s, R200(2) "ok");
        send_raw(s, POST("/echo", 5) "hello");
        GOT(s, R200(5) "hello");
        send_raw(s, CHUNKED("/echo") "3\r\nabc\r\n2;x\r\nde\r\n0\r\nt: v\r\n\r\n");
        GOT(s, R200(5) "abcde");
    }
    struct http_server_stats st;
    http_server_stats_get(s->server, &st);
    assert_true(st.accepted == 1 && st.connections == 1 && st.calls == 9 && st.active == 0);
    assert_true(st.refused == 0);
    assert_int_equal(s->client->rx_end, SIM_OPEN);
}

static void no_body(struct site *s)
{
    send_raw(s, GET("/echo"));
    LOGGED(s, "open GET /echo;body 0;complete;");
    GOT(s, R200(0));
    send_raw(s, GET("/hold")); /* nothing is told before it is asked for */
    LOGGED(s, "open GET /hold;");
    http_call_read(s->call, true);
    LOGGED(s, "");
    settle(s);
    LOGGED(s, "body 0;complete;");
    assert_int_equal(answer(s, 200, 0, S("")), OK);
    done(s, false);
    GOT(s, R200(0));
}

static void pipelining(struct site *s)
{
    send_raw(s, GET("/hold") POST("/echo", 3) "abc" GET("/ok") "GET /o");
    LOGGED(s, "open GET /hold;");
    assert_int_equal(answer(s, 200, 1, S("1")), OK);
    done(s, false);
    LOGGED(s, ""); /* the next one begins in a later turn, not inside http_end */
    settle(s);
    LOGGED(s, "open POST /echo;body 3;complete;open GET /ok;");
    GOT(s, R200(1) "1" R200(3) "abc" R200(2) "ok");
    send_raw(s, "k HTTP/1.1\r\nhost: a\r\n\r\n");
    GOT(s, R200(2) "ok");
}

static void pipelining_is_bounded(struct site *s)
{
    struct bytes flood = {0};
    for (int i = 0; i < 20000; i++)
        bytes_puts(&flood, S(GET("/ok")));
    send_raw(s, GET("/hold"));
    sim_send(s->client, bytes_slice(&flood));
    settle(s);
    assert_true(sim_unread(s->client) > flood.n - 16384 - 65536);
    assert_int_equal(answer(s, 200, 0, S("")), OK);
    done(s, false);
    settle(s);
    struct http_server_stats st;
    http_server_stats_get(s->server, &st);
    assert_int_equal(st.calls, 1000); /* max_requests */
    assert_int_equal(s->client->rx_end, SIM_FIN);
    bytes_free(&flood);
}

/* ---- bodies -------------------------------------------------------------------------------- */

#define EXPECT(path) \
    "POST " path " HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n"

static void expect(struct site *s)
{
    send_raw(s, EXPECT("/echo"));
    GOT(s, "HTTP/1.1 100 Continue\r\n\r\n");
    send_raw(s, "abc");
    GOT(s, R200(3) "abc");
    send_raw(s, EXPECT("/echo") "abc"); /* it has not waited: nothing to wait for */
    GOT(s, "HTTP/1.1 100 Continue\r\n\r\n" R200(3) "abc");
    send_raw(s, EXPECT("/refused")); /* will the body come or not? nobody knows: close */
    GOT(s, R401_CLOSE);
    assert_int_equal(s->client->rx_end, SIM_FIN);
}

static void unread_body_is_drained(struct site *s)
{
    send_raw(s, POST("/refused", 10) "01234");
    GOT(s, "HTTP/1.1 401 Unauthorized\r\nx-a: b\r\ncontent-length: 2\r\n\r\nno");
    send_raw(s, "56789" GET("/ok"));
    GOT(s, R200(2) "ok");
    send_raw(s, CHUNKED("/refused") "3\r\nabc\r\n0\r\n\r\n" GET("/ok"));
    GOT(s, "HTTP/1.1 401 Unauthorized\r\nx-a: b\r\ncontent-length: 2\r\n\r\nno" R200(2) "ok");
    send_raw(s, POST("/refused", 10) "01234"); /* the rest does not come */
    GOT(s, "HTTP/1.1 401 Unauthorized\r\nx-a: b\r\ncontent-length: 2\r\n\r\nno");
    advance(s, 1999);
    assert_int_equal(s->client->rx_end, SIM_OPEN);
    advance(s, 1);
    assert_int_equal(s->client->rx_end, SIM_FIN);
    GOT(s, "");
}

static void long_unread_body_closes(struct site *s)
{
    send_raw(s, POST("/refused", 65537) "0");
    GOT(s, R401_CLOSE);
    assert_int_equal(s->client->rx_end, SIM_FIN);
}

static void endless_unread_body_closes(struct site *s)
{
    send_raw(s, CHUNKED("/refused"));
    GOT(s, "HTTP/1.1 401 Unauthorized\r\nx-a: b\r\ncontent-length: 2\r\n\r\nno");
    for (int i = 0; i < 70; i++) {
        assert_int_equal(s->client->rx_end, SIM_OPEN);
        struct bytes chunk = {0};
        bytes_printf(&chunk, "3e8\r\n%01000d\r\n", 0);
        sim_send(s->client, bytes_slice(&chunk));
        bytes_free(&chunk);
        settle(s);
        if (s->client->rx_end == SIM_FIN)
            break;
    }
    assert_int_equal(s->client->rx_end, SIM_FIN);
    GOT(s, "");
}

static void too_large(struct site *s)
{
    send_raw(s, "POST /echo HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\n"
                "content-length: 1000001\r\n\r\n");
    GOT(s, ERROR("413 Content Too Large", "413"));
    LOGGED(s, ""); /* unread, and the handler has heard nothing of it */
    assert_int_equal(s->client->rx_end, SIM_FIN);
}

static void too_large_in_chunks(struct site *s)
{
    s->limits.max_body = 5;
    limits_set(s);
    send_raw(s, CHUNKED("/echo") "5\r\nabcde\r\n");
    GOT(s, "");
    send_raw(s, "1\r\nf\r\n");
    LOGGED(s, "open POST /echo;gone limit;");
    GOT(s, ERROR("413 Content Too Large", "413"));
    assert_int_equal(s->client->rx_end, SIM_FIN);
}

static void answered_inside_body(struct site *s)
{
    send_raw(s, CHUNKED("/early") "1\r\na\r\n1\r\nb\r\n0\r\n\r\n" GET("/ok"));
    LOGGED(s, "open POST /early;open GET /ok;");
    GOT(s, R200(5) "early" R200(2) "ok");
    assert_int_equal(s->body.n, 0);
    send_raw(s, CHUNKED("/early-cut") "1\r\na\r\n1\r\nb\r\n0\r\n\r\n" GET("/ok"));
    LOGGED(s, "open POST /early-cut;");
    GOT(s, "");
    assert_int_equal(s->client->rx_end, SIM_FIN);
}

static void paused_body(struct site *s)
{
    send_raw(s, POST("/hold", 100000));
    struct bytes body = {0};
    for (int i = 0; i < 100; i++)
        bytes_printf(&body, "%01000d", 0);
    sim_send(s->client, bytes_slice(&body));
    settle(s);
    assert_int_equal(s->body.n, 0);
    assert_true(sim_unread(s->client) >= 100000 - 16384 - 65536);
    http_call_read(s->call, true);
    assert_int_equal(s->body.n, 0); /* nothing inside the call */
    settle(s);
    assert_int_equal(s->body.n, 100000);
    LOGGED(s, "open POST /hold;body 100000;complete;");
    bytes_free(&body);
}

static void broken_body(struct site *s)
{
    send_raw(s, CHUNKED("/echo") "3\r\nabc\r\nxyz\r\n");
    LOGGED(s, "open POST /echo;gone protocol;");
    GOT(s, ERROR("400 Bad Request", "400"));
    assert_int_equal(s->client->rx_end, SIM_FIN);
    s->client = newcomer(s);
    s->read = 0;
    send_raw(s, CHUNKED("/hold") "3\r\nabc\r\n");
    http_call_read(s->call, true);
    settle(s);
    assert_int_equal(answer(s, 200, -1, S("part")), OK);
    send_raw(s, "zz\r\n"); /* too late for a 400: the answer is cut */
    LOGGED(s, "open POST /hold;gone protocol;");
    GOT(s, R200_STREAM "4\r\npart\r\n");
    assert_int_equal(s->client->rx_end, SIM_FIN);
}

/* ---- answers ------------------------------------------------------------------------------- */

static void streaming(struct site *s)
{
    send_raw(s, GET("/hold"));
    assert_false(http_responded(s->call));
    assert_int_equal(answer(s, 200, -1, S("")), OK);
    assert_true(http_responded(s->call));
    GOT(s, R200_STREAM);
    assert_int_equal(http_write(s->call, S("event")), OK);
    assert_int_equal(http_write(s->call, S("")), OK);
    GOT(s, "5\r\nevent\r\n");
    char big[300];
    memset(big, 'x', sizeof big);
    assert_int_equal(http_write(s->call, (struct slice){big, 299}), OK);
    assert_int_equal(http_bytes_out(s->call), 304);
    settle(s);
    s->read += 5 + 299 + 2;
    assert_int_equal(memcmp(s->client->rx.p + s->read - 306, "12b\r\n", 5), 0);
    done(s, false);
    GOT(s, "0\r\n\r\n");
    send_raw(s, GET("/ok"));
    GOT(s, R200(2) "ok");
}

/* The end of the framing goes out with the last bytes, and only once. */
static void last_bytes(struct site *s)
{
    send_raw(s, GET("/hold"));
    assert_int_equal(answer(s, 200, -1, S("a")), OK);
    http_last(s->call);
    assert_int_equal(http_write(s->call, S("bc")), OK);
    GOT(s, R200_STREAM "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n");
    done(s, false);
    GOT(s, "");
    send_raw(s, GET("/hold")); /* all in one */
    http_last(s->call);
    assert_int_equal(answer(s, 200, -1, S("all")), OK);
    GOT(s, R200_STREAM "3\r\nall\r\n0\r\n\r\n");
    done(s, false);
    send_raw(s, GET("/hold")); /* nothing more came: http_end writes it after all */
    assert_int_equal(answer(s, 200, -1, S("a")), OK);
    http_last(s->call);
    done(s, false);
    GOT(s, R200_STREAM "1\r\na\r\n0\r\n\r\n");
    send_raw(s, "HEAD /hold HTTP/1.1\r\nhost: a\r\n\r\n");
    http_last(s->call);
    assert_int_equal(answer(s, 200, -1, S("all")), OK);
    done(s, false);
    GOT(s, R200_STREAM);
    send_raw(s, GET("/hold"));
    http_last(s->call);
    assert_int_equal(answer(s, 200, 3, S("all")), OK);
    done(s, false);
    GOT(s, R200(3) "all");
    struct sim_weather slow = {.take = SIM_TAKE_CRUMBS};
    sim_weather_set(s->loop, &slow);
    send_raw(s, GET("/hold"));
    http_last(s->call);
    assert_int_equal(answer(s, 200, -1, S("all")), ERR_AGAIN);
    done(s, false);
    s->log.n = 0;
    settle(s);
    LOGGED(s, "written;");
    GOT(s, R200_STREAM "3\r\nall\r\n0\r\n\r\n");
}

static void no_body_answers(struct site *s)
{
    static const struct {
        const char *method;
        int status, length;
        const char *want;
    } ROWS[] = {
        {"HEAD", 200, 4, "HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 4\r\n\r\n"},
        {"HEAD", 200, -1, R200_STREAM},
        {"GET", 204, 0, "HTTP/1.1 204 No Content\r\nx-a: b\r\n\r\n"},
        {"GET", 204, -1, "HTTP/1.1 204 No Content\r\nx-a: b\r\n\r\n"},
        {"GET", 304, 4, "HTTP/1.1 304 Not Modified\r\nx-a: b\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        char text[100];
        text_format(text, sizeof text, "%s /hold HTTP/1.1\r\nhost: a\r\n\r\n", ROWS[i].method);
        send_raw(s, text);
        struct slice body = ROWS[i].length == 0 ? S("") : S("abcd");
        assert_int_equal(answer(s, ROWS[i].status, ROWS[i].length, body), OK);
        done(s, false);
        GOT(s, ROWS[i].want);
        send_raw(s, GET("/ok"));
        GOT(s, R200(2) "ok");
    }
}

static void old_clients(struct site *s)
{
    send_raw(s, "GET /hold HTTP/1.0\r\n\r\n");
    assert_int_equal(answer(s, 200, -1, S("a")), OK);
    assert_int_equal(http_write(s->call, S("bc")), OK);
    done(s, false);
    settle(s);
    GOT(s, "HTTP/1.1 200 OK\r\nx-a: b\r\nconnection: close\r\n\r\nabc");
    assert_int_equal(s->client->rx_end, SIM_FIN);
    s->client = newcomer(s);
    s->read = 0;
    send_raw(s, "GET /ok HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
    GOT(s, R200_CLOSE(2) "ok");
    assert_int_equal(s->client->rx_end, SIM_FIN);
}

static void close_asked(struct site *s)
{
    send_raw(s, "GET /ok HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" GET("/ok"));
    GOT(s, R200_CLOSE(2) "ok");
    LOGGED(s, "open GET /ok;");
    assert_int_equal(s->client->rx_end, SIM_FIN);
}

static void cut_is_no_end(struct site *s)
{
    send_raw(s, GET("/hold"));
    assert_int_equal(answer(s, 200, -1, S("part")), OK);
    done(s, true);
    settle(s);
    GOT(s, R200_STREAM "4\r\npart\r\n");
    assert_int_equal(s->client->rx_end, SIM_FIN);
    s->client = newcomer(s);
    s->read = 0;
    send_raw(s, GET("/cut"));
    GOT(s, "");
    assert_int_equal(s->client->rx_end, SIM_FIN);
    s->client = newcomer(s);
    s->read = 0;
    send_raw(s, GET("/hold"));
    assert_int_equal(answer(s, 200, 10, S("part")), OK);
    done(s, false); /* an end before the declared length is a cut */
    settle(s);
    GOT(s, R200(10) "part");
    assert_int_equal(s->client->rx_end, SIM_FIN);
}

static void too_many_bytes(struct site *s)
{
    send_raw(s, GET("/hold"));
    assert_int_equal(answer(s, 200, 3, S("ab")), OK);
    assert_int_equal(http_write(s->call, S("cd")), ERR_STATE);
    LOGGED(s, "open GET /hold;");
    settle(s);
    LOGGED(s, "gone state;");
    GOT(s, R200(3) "ab");
    assert_true(s->client->rx_end != SIM_OPEN);
}

static void unsafe_headers_are_left_out(struct site *s)
{
    struct http_header h[] = {{S("transfer-encoding"), S("chunked")},
                              {S("content-length"), S("9")},
                              {S("connection"), S("upgrade")},
                              {S("x"), S("a\r\nset-cookie: b")},
                              {S("y"), S("z")}};
    send_raw(s, GET("/hold"));
    assert_int_equal(http_respond(s->call, 200, h, 5, 2, S("ok")), OK);
    done(s, false);
    GOT(s, "HTTP/1.1 200 OK\r\ny: z\r\ncontent-length: 2\r\n\r\nok");
}

/* ---- writes that take their time ----------------------------------------------------------- */

static void weather(struct site *s, enum sim_take take)
{
    struct sim_weather w = {.take = take};
    sim_weather_set(s->loop, &w);
}

static void slow_writes(struct site *s)
{
    weather(s, SIM_TAKE_LATER);
    send_raw(s, GET("/hold"));
    assert_int_equal(answer(s, 200, -1, S("abc")), ERR_AGAIN);
    assert_true(http_writing(s->call));
    LOGGED(s, "open GET /hold;");
    settle(s);
    LOGGED(s, "written;");
    assert_false(http_writing(s->call));
    assert_int_equal(http_write(s->call, S("de")), ERR_AGAIN);
    done(s, false); /* with a write outstanding: one more call comes */
    LOGGED(s, "");
    settle(s);
    LOGGED(s, "written;");
    GOT(s, R200_STREAM "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    weather(s, SIM_TAKE_ALL);
    send_raw(s, GET("/ok"));
    GOT(s, R200(2) "ok");
}

static void cut_with_a_write_outstanding(struct site *s)
{
    weather(s, SIM_TAKE_SLOW);
    send_raw(s, GET("/hold"));
    char *bytes = mem_strdup("precious");
    assert_int_equal(answer(s, 200, -1, slice_of(bytes)), ERR_AGAIN);
    done(s, true);
    memset(bytes, '?', 8); /* ours again */
    mem_free(bytes);
    settle(s);
    LOGGED(s, "open GET /hold;");
    GOT(s, R200_STREAM "8\r\nprecious\r\n");
    assert_int_equal(s->client->rx_end, SIM_FIN);
}

static void gone_while_flushing(struct site *s)
{
    sim_reading(s->client, false);
    send_raw(s, GET("/hold"));
    char big[20000];
    memset(big, 'x', sizeof big);
    assert_int_equal(answer(s, 200, sizeof big, (struct slice){big, sizeof big}), ERR_AGAIN);
    done(s, false);
    sim_end(s->client, SIM_RST);
    settle(s);
    LOGGED(s, "open GET /hold;gone reset;");
}

static void slow_reader(struct site *s)
{
    sim_reading(s->client, false);
    send_raw(s, GET("/hold"));
    char big[20000];
    memset(big, 'x', sizeof big);
    assert_int_equal(answer(s, 200, -1, (struct slice){big, sizeof big}), ERR_AGAIN);
    advance(s, 59999);
    LOGGED(s, "open GET /hold;");
    advance(s, 1);
    LOGGED(s, "gone timeout;");
    assert_true(s->client->rx_end != SIM_OPEN);
}

static void slow_reader_at_the_end(struct site *s)
{
    sim_reading(s->client, false);
    send_raw(s, GET("/hold"));
    char big[20000];
    memset(big, 'x', sizeof big);
    assert_int_equal(answer(s, 200, sizeof big, (struct slice){big, sizeof big}), ERR_AGAIN);
    done(s, false);
    advance(s, 60000);
    LOGGED(s, "open GET /hold;gone timeout;");
    assert_true(s->client->rx_end != SIM_OPEN);
}

static void interim_before_answer(struct site *s)
{
    weather(s, SIM_TAKE_SLOW);
    send_raw(s,
             "POST /hold HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n");
    http_call_read(s->call, true);
    /* the 100 Continue is still on its way: the answer waits behind it */
    assert_int_equal(answer(s, 200, 2, S("ok")), ERR_AGAIN);
    settle(s);
    LOGGED(s, "open POST /hold;written;");
    GOT(s, "HTTP/1.1 100 Continue\r\n\r\n" R200(2) "ok");
    sim_send(s->client, S("abc"));
    settle(s);
    done(s, false);
    settle(s);
    send_raw(s, GET("/ok"));
    GOT(s, R200(2) "ok");
}

/* ---- deadlines ----------------------------------------------------------------------------- */

static void slow_head(struct site *s)
{
    for (int i = 0; i < 10; i++) { /* it drips, but the limit is on the whole */
        send_raw(s, (char[]){"GET /ok HTT"[i], '\0'});
        assert_int_equal(s->client->rx_end, SIM_OPEN);
        advance(s, 1000);
    }
    GOT(s, ERROR("408 Request Timeout", "408"));
    assert_int_equal(s->client->rx_end, SIM_FIN);
    s->client = newcomer(s);
    s->read = 0;
    advance(s, 9999);
    assert_int_equal(s->client->rx_end, SIM_OPEN);
    advance(s, 1);
    GOT(s, ""); /* one that never said anything is told nothing */
    assert_int_equal(s->client->rx_end, SIM_FIN);
}

static void idle(struct site *s)
{
    send_raw(s, GET("/ok"));
    advance(s, 600000);
    send_raw(s, GET("/ok"));
    GOT(s, R200(2) "ok" R200(2) "ok");
    advance(s, 619999);
    assert_int_equal(s->client->rx_end, SIM_OPEN);
    advance(s, 1);
    assert_int_equal(s->client->rx_end, SIM_FIN);
    GOT(s, "");
}

static void slow_body(struct site *s)
{
    send_raw(s, POST("/echo", 10) "abc");
    advance(s, 20000);
    send_raw(s, "d");
    advance(s, 59999);
    LOGGED(s, "open POST /echo;");
    advance(s, 1);
    LOGGED(s, "gone timeout;");
    GOT(s, ERROR("408 Request Timeout", "408"));
    assert_int_equal(s->client->rx_end, SIM_FIN);
}

static void dripping_body(struct site *s)
{
    send_raw(s, POST("/echo", 1000));
    for (int i = 0; i < 31 && s->call != NULL; i++) {
        send_raw(s, "x");
        advance(s, 1000);
    }
    LOGGED(s, "open POST /echo;gone timeout;");
    GOT(s, ERROR("408 Request Timeout", "408"));
}

static void busy_handler_has_no_deadline(struct site *s)
{
    send_raw(s, POST("/hold", 3) "a"); /* and a body nobody reads has none either */
    advance(s, 3600000);
    LOGGED(s, "open POST /hold;");
    http_call_read(s->call, true);
    settle(s);
    advance(s, 59999); /* begins when somebody waits for it */
    LOGGED(s, "");
    advance(s, 1);
    LOGGED(s, "gone timeout;");
}

/* ---- ends ---------------------------------------------------------------------------------- */

static void client_leaves(struct site *s)
{
    static const enum sim_end HOW[] = {SIM_FIN, SIM_RST};
    for (int i = 0; i < 4; i++) {
        send_raw(s, i < 2 ? GET("/hold") : POST("/echo", 9) "a");
        sim_end(s->client, HOW[i % 2]);
        settle(s);
        if (i == 0) { /* it may have ended its side only: an interim reply, and another one */
            LOGGED(s, "open GET /hold;");
            advance(s, 75);
        }
        LOGGED(s, i == 0   ? "gone reset;"
                  : i == 1 ? "open GET /hold;gone reset;"
                  : i == 2 ? "open POST /echo;gone eof;"
                           : "open POST /echo;gone reset;");
        assert_null(s->client->stream);
        s->client = newcomer(s);
        s->read = 0;
    }
    sim_shut(s->client); /* between requests */
    settle(s);
    assert_int_equal(s->client->rx_end, SIM_FIN);
    s->client = newcomer(s);
    send_raw(s, "GET /x HT"); /* in the middle of a head */
    sim_shut(s->client);
    settle(s);
    assert_int_equal(s->client->rx_end, SIM_FIN);
    LOGGED(s, "");
}

#define R102 "HTTP/1.1 102 Processing\r\n\r\n"

/* Who only has no more to say is served; who is gone meets a reset: see conn_probe. */
static void half_closed_is_served(struct site *s)
{
    send_raw(s, GET("/hold") GET("/never"));
    sim_shut(s->client);
    advance(s, 24);
    GOT(s, "");
    advance(s, 1);
    GOT(s, R102);
    advance(s, 49);
    GOT(s, "");
    advance(s, 1);
    GOT(s, R102);
    advance(s, 200 + 800 + 3200 + 12800 + 12800);
    GOT(s, R102 R102 R102 R102 R102);
    assert_int_equal(answer(s, 200, 3, S("")), OK);
    advance(s, 30000); /* it has begun: nothing may come between */
    assert_int_equal(http_write(s->call, S("abc")), OK);
    done(s, false);
    settle(s);
    GOT(s, R200_CLOSE(3) "abc");
    assert_int_equal(s->client->rx_end, SIM_FIN);
    LOGGED(s, "open GET /hold;");
}

static void half_closed_with_a_body(struct site *s)
{
    sim_send(s->client, S(POST("/echo", 3) "abc"));
    sim_shut(s->client);
    settle(s);
    LOGGED(s, "open POST /echo;body 3;complete;");
    assert_int_equal(s->client->rx_end, SIM_FIN);
    s->client = newcomer(s); /* the handler takes the body later than the end comes */
    s->read = 0;
    sim_send(s->client, S(POST("/hold", 3) "abc"));
    sim_shut(s->client);
    settle(s);
    LOGGED(s, "open POST /hold;");
    http_call_read(s->call, true);
    settle(s);
    LOGGED(s, "body 3;complete;");
    advance(s, 25);
    GOT(s, R102);
    sim_end(s->client, SIM_FIN);
    advance(s, 50); /* meets a reset, and the next one sees it */
    LOGGED(s, "");
    advance(s, 200);
    LOGGED(s, "gone reset;");
    s->client = newcomer(s); /* the same, and it is not whole */
    s->read = 0;
    sim_send(s->client, S(POST("/hold", 4) "abc"));
    sim_shut(s->client);
    settle(s);
    LOGGED(s, "open POST /hold;");
    http_call_read(s->call, true);
    settle(s);
    LOGGED(s, "gone eof;");
    GOT(s, "");
}

/* Nothing can be said to HTTP/1.0 before its answer; and while an answer comes nobody hangs up who
 * wants the rest. */
static void half_closed_is_gone(struct site *s)
{
    send_raw(s, "GET /hold HTTP/1.0\r\n\r\n");
    sim_shut(s->client);
    settle(s);
    LOGGED(s, "open GET /hold;gone eof;");
    s->client = newcomer(s);
    send_raw(s, GET("/hold"));
    assert_int_equal(answer(s, 200, -1, S("so far")), OK);
    sim_shut(s->client);
    settle(s);
    LOGGED(s, "open GET /hold;gone eof;");
}

static void half_closed_gets_what_is_on_its_way(struct site *s)
{
    weather(s, SIM_TAKE_SLOW);
    sim_send(s->client, S(GET("/hold")));
    settle(s);
    assert_int_equal(answer(s, 200, -1, S("all")), ERR_AGAIN);
    done(s, false);
    sim_shut(s->client);
    settle(s);
    LOGGED(s, "open GET /hold;written;");
    GOT(s, R200_STREAM "3\r\nall\r\n0\r\n\r\n");
    assert_int_equal(s->client->rx_end, SIM_FIN);
}

static void drain(struct site *s)
{
    struct sim_peer *idle_one = s->client, *busy = newcomer(s), *late = newcomer(s);
    struct sim_peer *fresh = newcomer(s);
    send_raw(s, GET("/ok"));
    GOT(s, R200(2) "ok");
    s->read = 0;
    s->client = busy;
    send_raw(s, GET("/hold"));
    s->client = late;
    send_raw(s, "GET /o");
    http_server_drain(s->server);
    settle(s);
    assert_int_equal(idle_one->rx_end, SIM_FIN);
    assert_int_equal(busy->rx_end, SIM_OPEN);
    assert_int_equal(answer(s, 200, 1, S("1")), OK);
    done(s, false);
    settle(s);
    s->client = fresh; /* has yet to say something: what it sends may be on its way */
    assert_int_equal(fresh->rx_end, SIM_OPEN);
    send_raw(s, GET("/ok"));
    GOT(s, R200_CLOSE(2) "ok");
    s->read = 0;
    s->client = busy;
    GOT(s, R200_CLOSE(1) "1");
    assert_int_equal(busy->rx_end, SIM_FIN);
    s->client = late; /* had begun: is served, once */
    s->read = 0;
    send_raw(s, "k HTTP/1.1\r\nhost: a\r\n\r\n");
    GOT(s, R200_CLOSE(2) "ok");
    assert_int_equal(late->rx_end, SIM_FIN);
    s->client = newcomer(s); /* the last sweep of the listener brings one more */
    s->read = 0;
    send_raw(s, GET("/ok"));
    GOT(s, R200_CLOSE(2) "ok");
    assert_int_equal(s->client->rx_end, SIM_FIN);
}

/* The lame duck: answers end their connections, and of those that are idle some go at a time, the
 * longest idle first. */
static void fade(struct site *s)
{
    struct sim_peer *idle[10], *fresh;
    for (int i = 0; i < 10; i++) {
        idle[i] = i == 0 ? s->client : newcomer(s);
        s->client = idle[i];
        s->read = 0;
        send_raw(s, GET("/ok"));
        GOT(s, R200(2) "ok");
    }
    fresh = newcomer(s);
    http_server_fade(s->server, 1000);
    settle(s);
    for (int i = 0; i < 10; i++)
        assert_int_equal(idle[i]->rx_end, SIM_OPEN);
    s->client = idle[9]; /* one that asks again is served, and goes */
    send_raw(s, GET("/ok"));
    GOT(s, R200_CLOSE(2) "ok");
    assert_int_equal(idle[9]->rx_end, SIM_FIN);
    int before = 0;
    for (int t = 0; t < 1000; t += 100) {
        int gone = 0;
        advance(s, 100);
        for (int i = 0; i < 9; i++) {
            gone += idle[i]->rx_end == SIM_FIN;
            assert_true(i == 0 || idle[i - 1]->rx_end == SIM_FIN || idle[i]->rx_end == SIM_OPEN);
        }
        assert_in_range(gone - before, 0, 2); /* never many at a time */
        before = gone;
    }
    assert_int_equal(before, 9);
    assert_int_equal(fresh->rx_end, SIM_OPEN);
    s->client = newcomer(s); /* is served as ever, once */
    s->read = 0;
    send_raw(s, GET("/ok"));
    GOT(s, R200_CLOSE(2) "ok");
    assert_int_equal(s->client->rx_end, SIM_FIN);
}

static void drain_after_the_head(struct site *s)
{
    send_raw(s, GET("/hold"));
    assert_int_equal(answer(s, 200, -1, S("a")), OK);
    http_server_drain(s->server);
    done(s, false);
    settle(s);
    GOT(s, R200_STREAM "1\r\na\r\n0\r\n\r\n");
    assert_int_equal(s->client->rx_end, SIM_FIN);
}

static void freed_while_busy(struct site *s)
{
    send_raw(s, GET("/hold"));
    newcomer(s);
    /* site_close does the rest */
}

static void connections_are_limited(struct site *s)
{
    struct sim_peer *first = s->client, *second;
    s->limits.max_connections = 2;
    limits_set(s);
    send_raw(s, GET("/hold"));
    second = newcomer(s);
    advance(s, 50);                       /* it says nothing */
    struct sim_peer *third = newcomer(s); /* takes the place of the silent one */
    assert_true(second->rx_end != SIM_OPEN);
    assert_int_equal(third->rx_end, SIM_OPEN);
    sim_send(third, S("GET "));
    settle(s);
    struct sim_peer *fourth = newcomer(s); /* none is idle */
    assert_true(fourth->rx_end != SIM_OPEN);
    assert_int_equal(first->rx_end, SIM_OPEN);
    struct http_server_stats st;
    http_server_stats_get(s->server, &st);
    assert_true(st.connections == 2 && st.active == 1 && st.accepted == 3 && st.refused == 1);
}

static void on_full(void *arg, bool full)
{
    struct site *s = arg;
    listener_pause(s->listener, full);
    say(s, full ? "full" : "room");
}

/* In a rush nobody is turned away who has had no time to say anything; all are served in turn. */
static void newcomers_wait_when_it_is_full(struct site *s)
{
    struct sim_peer *p[5] = {s->client};
    s->limits.max_connections = 2;
    limits_set(s);
    http_server_on_full(s->server, on_full, s);
    for (int i = 1; i < 5; i++)
        p[i] = sim_connect(s->loop, "client", S(""));
    settle(s);
    LOGGED(s, "full;");
    for (int i = 0; i < 5; i++) {
        assert_int_equal(p[i]->rx_end, SIM_OPEN);
        sim_send(p[i], slice_of(GET("/ok")));
    }
    settle(s);
    for (int i = 0; i < 5; i++)
        assert_true(slice_starts(bytes_slice(&p[i]->rx), S("HTTP/1.1 200 OK")));
    struct http_server_stats st;
    http_server_stats_get(s->server, &st);
    assert_true(st.accepted == 5 && st.refused == 0 && st.connections == 2);
}

/* Connections that never say anything do not keep others out for longer than a moment. */
static void the_silent_make_room(struct site *s)
{
    struct sim_peer *silent = s->client;
    s->limits.max_connections = 1;
    limits_set(s);
    http_server_on_full(s->server, on_full, s);
    LOGGED(s, "full;");
    struct sim_peer *second = newcomer(s);
    sim_send(second, slice_of(GET("/ok")));
    advance(s, 40);
    assert_int_equal(second->rx.n, 0);
    assert_int_equal(silent->rx_end, SIM_OPEN);
    advance(s, 40);
    assert_true(silent->rx_end != SIM_OPEN);
    assert_true(slice_starts(bytes_slice(&second->rx), S("HTTP/1.1 200 OK")));
}

static void requests_are_limited(struct site *s)
{
    s->limits.max_requests = 2;
    limits_set(s);
    send_raw(s, GET("/ok") GET("/ok") GET("/ok"));
    GOT(s, R200(2) "ok" R200_CLOSE(2) "ok");
    assert_int_equal(s->client->rx_end, SIM_FIN);
}

static void refusals(struct site *s)
{
    static const struct {
        const char *in, *want;
    } ROWS[] = {
        {"GET / HTTP/1.1\r\n\r\n", ERROR("400 Bad Request", "400")},
        {"rubbish\r\n\r\n", ERROR("400 Bad Request", "400")},
        {"BREW / HTTP/1.1\r\nhost: a\r\n\r\n", ERROR("400 Bad Request", "400")},
        {"TRACE / HTTP/1.1\r\nhost: a\r\n\r\n", ERROR("501 Not Implemented", "501")},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ERROR("505 HTTP Version Not Supported", "505")},
        {"GET /.. HTTP/1.1\r\nhost: a\r\n\r\n", ERROR("400 Bad Request", "400")},
        {GET("/ok") "\x01", R200(2) "ok" ERROR("400 Bad Request", "400")},
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        send_raw(s, ROWS[i].in);
        GOT(s, ROWS[i].want);
        assert_int_equal(s->client->rx_end, SIM_FIN);
        send_raw(s, GET("/ok")); /* nothing more is looked at */
        GOT(s, "");
        s->client = newcomer(s);
        s->read = 0;
    }
    struct http_server_stats st;
    http_server_stats_get(s->server, &st);
    assert_int_equal(st.refused, 7);
    assert_int_equal(st.calls, 1);
    struct bytes long_head = {0};
    bytes_printf(&long_head, "GET / HTTP/1.1\r\nhost: a\r\n");
    for (int i = 0; i < 40; i++)
        bytes_printf(&long_head, "x-%d: %01000d\r\n", i, 0);
    sim_send(s->client, bytes_slice(&long_head));
    settle(s);
    GOT(s, ERROR("431 Request Header Fields Too Large", "431"));
    bytes_free(&long_head);
}

/* ---- everything, however the bytes cross --------------------------------------------------- */

static void conversation(struct site *s)
{
    send_raw(s, GET("/ok") POST("/echo", 5) "hello" CHUNKED("/refused") "3\r\nabc\r\n0\r\n\r\n");
    send_raw(s, CHUNKED("/echo") "1\r\nx\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n");
    send_raw(s, "HEAD /ok HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" GET("/ok"));
    GOT(s, R200(2) "ok" R200(
               5) "hello"
                  "HTTP/1.1 401 Unauthorized\r\nx-a: b\r\ncontent-length: 2\r\n\r\nno" R200(
                      17) "x0123456789abcdef" R200_CLOSE(2));
    assert_int_equal(s->client->rx_end, SIM_FIN);
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

#define SITE_TESTS(X)                      \
    X(keep_alive)                          \
    X(no_body)                             \
    X(pipelining)                          \
    X(pipelining_is_bounded)               \
    X(expect)                              \
    X(unread_body_is_drained)              \
    X(long_unread_body_closes)             \
    X(endless_unread_body_closes)          \
    X(too_large)                           \
    X(too_large_in_chunks)                 \
    X(answered_inside_body)                \
    X(paused_body)                         \
    X(broken_body)                         \
    X(streaming)                           \
    X(last_bytes)                          \
    X(no_body_answers)                     \
    X(old_clients)                         \
    X(close_asked)                         \
    X(cut_is_no_end)                       \
    X(too_many_bytes)                      \
    X(unsafe_headers_are_left_out)         \
    X(slow_writes)                         \
    X(cut_with_a_write_outstanding)        \
    X(gone_while_flushing)                 \
    X(slow_reader)                         \
    X(slow_reader_at_the_end)              \
    X(interim_before_answer)               \
    X(slow_head)                           \
    X(idle)                                \
    X(slow_body)                           \
    X(dripping_body)                       \
    X(busy_handler_has_no_deadline)        \
    X(client_leaves)                       \
    X(half_closed_is_served)               \
    X(half_closed_with_a_body)             \
    X(half_closed_is_gone)                 \
    X(half_closed_gets_what_is_on_its_way) \
    X(drain)                               \
    X(fade)                                \
    X(drain_after_the_head)                \
    X(freed_while_busy)                    \
    X(connections_are_limited)             \
    X(newcomers_wait_when_it_is_full)      \
    X(the_silent_make_room)                \
    X(requests_are_limited)                \
    X(refusals)

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
