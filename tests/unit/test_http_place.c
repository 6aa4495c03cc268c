/* links: base http sim */
/* Bodies that are read to where their handler wants them. */
#include "http_site.h"

#define GET(path)     "GET " path " HTTP/1.1\r\nhost: a\r\n\r\n"
#define POST(path, n) "POST " path " HTTP/1.1\r\nhost: a\r\ncontent-length: " #n "\r\n\r\n"
#define CHUNKED(path) "POST " path " HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
#define R200(n)       "HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: " #n "\r\n\r\n"

/* A body that is read to where the handler wants it, and what comes behind it, however it is cut:
 * by the path, and by the handler's room. */
static void test_body_in_its_place(void **state)
{
    struct site *s = *state;
    send_raw(s, POST("/place", 10) "01234");
    send_raw(s, "56789");
    GOT(s, R200(10) "0123456789");
    assert_int_equal(s->placed, 5); /* what came with the head was elsewhere already */
    for (size_t at = 1; at <= 9; at++) {
        for (size_t most = 0; most <= 4; most++) {
            s->place_most = most;
            s->placed = 0;
            send_raw(s, POST("/place", 10));
            sim_send(s->client, (struct slice){"0123456789", at});
            settle(s);
            sim_send(s->client, (struct slice){&"0123456789"[at], 10 - at});
            send_raw(s, POST("/place", 3) "abc" GET("/ok") "GE");
            GOT(s, R200(10) "0123456789" R200(3) "abc" R200(2) "ok");
            assert_true(s->placed >= 1 && s->placed <= 13);
            send_raw(s, "T /ok HTTP/1.1\r\nhost: a\r\n\r\n");
            GOT(s, R200(2) "ok");
        }
    }
    send_raw(s, CHUNKED("/place") "3\r\nabc\r\n");
    send_raw(s, "2\r\nde\r\n0\r\n\r\n");
    GOT(s, R200(5) "abcde");
    s->log.n = 0;
    send_raw(s, POST("/place", 10) "0");
    send_raw(s, "123");
    sim_end(s->client, SIM_RST);
    settle(s);
    LOGGED(s, "open POST /place;gone reset;");
}

/* More than is read at once before the place is known, and than the handler has room for at once;
 * `close` behind it, so that what follows is never looked at. */
static void test_long_body(void **state)
{
    struct site *s = *state;
    const size_t n = 200000;
    char *text = mem_new(n);
    for (size_t i = 0; i < n; i++)
        text[i] = (char)('a' + i % 26);
    for (int i = 0; i < 4; i++) {
        s->place_most = (size_t[]){0, 1, 4096, 65536}[i];
        s->placed = 0;
        sim_send(s->client, i < 3 ? S(POST("/place", 200000))
                                  : S("POST /place HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
                                      "content-length: 200000\r\n\r\n"));
        sim_send(s->client, (struct slice){text, n});
        send_raw(s, i < 3 ? GET("/ok") : "rest");
        assert_true(s->placed + 16384 >= n && s->placed < n);
        struct slice got = bytes_slice(&s->client->rx);
        assert_true(slice_search(slice_sub(got, s->read, got.n), (struct slice){text, n}) > 0);
        assert_true(i == 3 || slice_ends(got, S(R200(2) "ok")));
        s->read = got.n;
    }
    assert_int_equal(s->client->rx_end, SIM_FIN);
    mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SITE(test_body_in_its_place),
        WITH_SITE(test_long_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
