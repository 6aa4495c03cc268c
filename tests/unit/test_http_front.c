/* links: base sim http */
/* Who is behind proxies; and how many connections there may be, of what kind and for how long. */
#include "http_site.h"

#include "http/forwarded.h"

/* ---- forwarded: pure ------------------------------------------------------------------------- */

static void who(const char *peer, enum http_forwarded which, const char *const *lines,
                struct addr *out)
{
    static struct cidr trusted[3];
    struct http_header h[8];
    struct http_head head = {.header = h};
    struct addr a;
    assert_int_equal(cidr_parse(S("10.0.0.0/8"), &trusted[0]), OK);
    assert_int_equal(cidr_parse(S("2001:db8::/32"), &trusted[1]), OK);
    assert_int_equal(cidr_parse(S("127.0.0.1"), &trusted[2]), OK);
    assert_int_equal(addr_parse(slice_of(peer), &a), OK);
    h[head.headers++] = (struct http_header){S("host"), S("x")};
    for (; *lines != NULL; lines++) {
        struct slice line = slice_of(*lines), name;
        assert_true(slice_cut(&line, ':', &name));
        h[head.headers++] = (struct http_header){name, slice_trim(line)};
    }
    forwarded_client(&head, which, trusted, 3, &a, out);
    assert_false(out->is_loopback);
}

static void test_x_forwarded_for(void **state)
{
    (void)state;
    static const struct {
        const char *lines[4], *want;
    } ROWS[] = {
        {{NULL}, "10.0.0.1:9"},
        {{"x-forwarded-for: 192.0.2.7", NULL}, "192.0.2.7"},
        {{"x-forwarded-for: 192.0.2.7:123", NULL}, "192.0.2.7:123"},
        /* what stands before the last stranger was written by the stranger */
        {{"x-forwarded-for: 127.0.0.1, 192.0.2.7", NULL}, "192.0.2.7"},
        {{"x-forwarded-for: 127.0.0.1", "x-forwarded-for: 192.0.2.7", NULL}, "192.0.2.7"},
        {{"x-forwarded-for: garbage, 192.0.2.7", NULL}, "192.0.2.7"},
        /* through two of ours */
        {{"x-forwarded-for: 1.1.1.1, 192.0.2.7, 10.2.2.2", NULL}, "192.0.2.7"},
        {{"x-forwarded-for: 1.1.1.1, 192.0.2.7", "x-forwarded-for: 10.2.2.2", NULL}, "192.0.2.7"},
        {{"x-forwarded-for: 10.1.1.1 ,\t10.2.2.2", NULL}, "10.1.1.1"}, /* all are ours */
        {{"x-forwarded-for: 2606::7", NULL}, "2606::7"},
        {{"x-forwarded-for: [2606::7]", NULL}, "2606::7"},
        {{"x-forwarded-for: [2606::7]:77, 2001:db8::9", NULL}, "[2606::7]:77"},
        {{"x-forwarded-for: ::ffff:192.0.2.7", NULL}, "192.0.2.7"},
        {{"x-forwarded-for: ,, 192.0.2.7 ,", NULL}, "192.0.2.7"},
        /* says that it is this machine: it is believed as an address, never as this machine */
        {{"x-forwarded-for: ::1", NULL}, "::1"},
        /* not to be read */
        {{"x-forwarded-for: unknown", NULL}, "10.0.0.1:9"},
        {{"x-forwarded-for: 192.0.2.7, unknown", NULL}, "10.0.0.1:9"},
        {{"x-forwarded-for: 192.0.2.7, 10.1.1.1.1", NULL}, "10.0.0.1:9"},
        {{"x-forwarded-for: 192.0.2.256", NULL}, "10.0.0.1:9"},
        {{"x-forwarded-for: 192.0.2.7:", NULL}, "10.0.0.1:9"},
        {{"x-forwarded-for: 192.0.2.7:99999", NULL}, "10.0.0.1:9"},
        {{"x-forwarded-for: [2606::7", NULL}, "10.0.0.1:9"},
        {{"x-forwarded-for: 192.0.2.7;10.1.1.1", NULL}, "10.0.0.1:9"},
        {{"x-forwarded-for: unknown, 10.3.3.3", NULL}, "10.0.0.1:9"},
        /* the other header counts for nothing */
        {{"forwarded: for=192.0.2.7", NULL}, "10.0.0.1:9"},
        {{"x-real-ip: 192.0.2.7", NULL}, "10.0.0.1:9"},
    };
    struct addr a;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        who("10.0.0.1:9", HTTP_FORWARDED_X_FOR, ROWS[i].lines, &a);
        if (strcmp(a.text, ROWS[i].want) != 0)
            fail_msg("%s: %s, not %s", ROWS[i].lines[0], a.text, ROWS[i].want);
    }
    static const char *const LOCAL[] = {"x-forwarded-for: 127.0.0.1", NULL}, *const NONE[] = {NULL};
    who("127.0.0.1:9", HTTP_FORWARDED_X_FOR, LOCAL, &a); /* asserts that it is not this machine */
    who("127.0.0.1:9", HTTP_FORWARDED_X_FOR, NONE, &a);
    who("127.0.0.1:9", HTTP_FORWARDED_OFF, LOCAL, &a);
    assert_string_equal(a.text, "127.0.0.1:9");
}

static void test_forwarded(void **state)
{
    (void)state;
    static const struct {
        const char *lines[4], *want;
    } ROWS[] = {
        {{"forwarded: for=192.0.2.7", NULL}, "192.0.2.7"},
        {{"forwarded: For=\"192.0.2.7:47\";proto=http;by=10.0.0.1", NULL}, "192.0.2.7:47"},
        {{"forwarded: proto=http ; for=\"[2606::7]:4711\"", NULL}, "[2606::7]:4711"},
        {{"forwarded: for=1.1.1.1, for=192.0.2.7, for=10.1.1.1", NULL}, "192.0.2.7"},
        {{"forwarded: for=127.0.0.1", "forwarded: for=192.0.2.7", NULL}, "192.0.2.7"},
        {{"forwarded: for=unknown", NULL}, "10.0.0.1:9"},
        {{"forwarded: for=_secret", NULL}, "10.0.0.1:9"},
        {{"forwarded: by=192.0.2.7", NULL}, "10.0.0.1:9"},
        {{"forwarded: for=192.0.2.7;for=192.0.2.8", NULL}, "10.0.0.1:9"},
        {{"forwarded: for=\"192.0.2.7", NULL}, "10.0.0.1:9"},
        {{"forwarded: for=", NULL}, "10.0.0.1:9"},
        {{"forwarded: for=\"\"", NULL}, "10.0.0.1:9"},
        {{"x-forwarded-for: 192.0.2.7", NULL}, "10.0.0.1:9"},
    };
    struct addr a;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        who("10.0.0.1:9", HTTP_FORWARDED_RFC7239, ROWS[i].lines, &a);
        if (strcmp(a.text, ROWS[i].want) != 0)
            fail_msg("%s: %s, not %s", ROWS[i].lines[0], a.text, ROWS[i].want);
    }
}

static void test_forwarded_bounds(void **state)
{
    (void)state;
    char line[4096] = "x-forwarded-for: 192.0.2.7";
    const char *lines[] = {line, NULL};
    struct addr a;
    size_t n = strlen(line);
    for (int i = 0; i < 31; i++)
        n += text_format(line + n, sizeof line - n, ",10.1.1.1");
    who("10.0.0.1:9", HTTP_FORWARDED_X_FOR, lines, &a);
    assert_string_equal(a.text, "192.0.2.7");
    text_format(line + n, sizeof line - n, ",10.1.1.1");
    who("10.0.0.1:9", HTTP_FORWARDED_X_FOR, lines, &a);
    assert_string_equal(a.text, "10.0.0.1:9");
    memset(line + 17, 'x', 3000); /* a stranger's words before it are nobody's concern */
    memcpy(line + 3017, ", 192.0.2.9", 12);
    who("10.0.0.1:9", HTTP_FORWARDED_X_FOR, lines, &a);
    assert_string_equal(a.text, "192.0.2.9");
    memset(line + 17, ' ', 2100);
    memcpy(line + 17, "192.0.2.8,", 10);
    memcpy(line + 2117, "192.0.2.7", 10);
    who("10.0.0.1:9", HTTP_FORWARDED_X_FOR, lines, &a);
    assert_string_equal(a.text, "10.0.0.1:9");
}

/* ---- through the server ---------------------------------------------------------------------- */

static void test_peer(void **state)
{
    struct site *s = *state;
    struct cidr local;
    struct http_server_stats st;
    send_raw(s, "GET /hold HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 192.0.2.7\r\n\r\n");
    assert_true(http_call_peer(s->call)->is_loopback); /* nobody is trusted */
    assert_string_equal(http_call_peer(s->call)->text, "127.0.0.1:50000");
    assert_int_equal(answer(s, 200, 0, S("")), OK);
    done(s, false);
    assert_int_equal(cidr_parse(S("127.0.0.1"), &local), OK);
    http_server_trust(s->server, &local, 1, HTTP_FORWARDED_X_FOR);
    send_raw(s, "GET /hold HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 192.0.2.7\r\n\r\n");
    assert_string_equal(http_call_peer(s->call)->text, "192.0.2.7");
    assert_int_equal(answer(s, 200, 0, S("")), OK);
    done(s, false);
    /* the next call of this connection starts afresh, and in the memory of the one before */
    send_raw(s, "GET /hold HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 127.0.0.1\r\n\r\n");
    assert_false(http_call_peer(s->call)->is_loopback);
    assert_int_equal(answer(s, 200, 0, S("")), OK);
    done(s, false);
    http_server_trust(s->server, NULL, 0, HTTP_FORWARDED_OFF);
    send_raw(s, "GET /hold HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 192.0.2.7\r\n\r\n");
    assert_true(http_call_peer(s->call)->is_loopback);
    assert_int_equal(answer(s, 200, 0, S("")), OK);
    done(s, false);
    http_server_stats_get(s->server, &st);
    assert_int_equal(st.calls, 4);
}

static struct sim_peer *from(struct site *s, const char *text)
{
    struct sim_peer *p = sim_connect(s->loop, "client", slice_of(text));
    settle(s);
    return p;
}

static int64_t connections(struct site *s)
{
    struct http_server_stats st;
    http_server_stats_get(s->server, &st);
    return st.connections;
}

static uint64_t crowded(struct site *s)
{
    struct http_server_stats st;
    http_server_stats_get(s->server, &st);
    return st.crowded;
}

static void test_sources(void **state)
{
    struct site *s = *state;
    struct cidr proxies;
    s->limits.max_per_source = 2;
    limits_set(s);
    struct sim_peer *a = from(s, "192.0.2.1:1");
    from(s, "192.0.2.1:2");
    assert_int_equal(connections(s), 3);
    struct sim_peer *c = from(s, "192.0.2.1:3");
    assert_int_equal(connections(s), 3);
    assert_int_equal(crowded(s), 1);
    assert_true(c->rx_end != SIM_OPEN);
    from(s, "192.0.2.2:1"); /* another one is another one */
    assert_int_equal(connections(s), 4);
    sim_end(a, SIM_FIN); /* a place is free again */
    settle(s);
    assert_int_equal(connections(s), 3);
    from(s, "192.0.2.1:4");
    assert_int_equal(connections(s), 4);
    /* a /64 is one source; another one is not */
    from(s, "[2606:1:2:3::1]:1");
    from(s, "[2606:1:2:3:ffff::2]:1");
    from(s, "[2606:1:2:3::3]:1");
    assert_int_equal(connections(s), 6);
    from(s, "[2606:1:2:4::1]:1");
    assert_int_equal(connections(s), 7);
    /* this machine, and who brings others */
    for (int i = 0; i < 5; i++)
        from(s, "127.0.0.1:7");
    assert_int_equal(connections(s), 12);
    assert_int_equal(cidr_parse(S("10.0.0.0/8"), &proxies), OK);
    http_server_trust(s->server, &proxies, 1, HTTP_FORWARDED_X_FOR);
    for (int i = 0; i < 5; i++)
        from(s, "10.0.0.1:7");
    assert_int_equal(connections(s), 17);
    assert_int_equal(crowded(s), 2);
    s->limits.max_per_source = 0;
    limits_set(s);
    from(s, "192.0.2.1:5");
    assert_int_equal(connections(s), 18);
}

/* After its time a connection ends with its next answer; not all after the same time. */
static void test_age(void **state)
{
    struct site *s = *state;
    int ended = 0, lived = 0;
    s->limits.max_age_ms = 3600000;
    s->limits.keep_alive_ms = 86400000;
    limits_set(s);
    sim_end(s->client, SIM_FIN);
    settle(s);
    struct sim_peer *peer[20];
    for (int i = 0; i < 20; i++) {
        peer[i] = newcomer(s);
        s->client = peer[i];
        send_raw(s, "GET /ok HTTP/1.1\r\nhost: x\r\n\r\n");
    }
    static const struct {
        int64_t at;
        int least, most; /* ended by then, of 20 */
    } ROWS[] = {{3239000, 0, 0}, {3600000, 1, 19}, {3961000, 20, 20}};
    int64_t now = 0;
    for (size_t k = 0; k < 3; k++) {
        advance(s, ROWS[k].at - now);
        now = ROWS[k].at;
        ended = 0;
        for (int i = 0; i < 20; i++) {
            if (peer[i]->rx_end == SIM_OPEN) {
                s->client = peer[i];
                send_raw(s, "GET /ok HTTP/1.1\r\nhost: x\r\n\r\n");
                lived++;
            }
            bool told = slice_search(bytes_slice(&peer[i]->rx), S("connection: close")) >= 0;
            assert_int_equal(told, peer[i]->rx_end != SIM_OPEN);
            ended += told;
        }
        assert_true(ended >= ROWS[k].least && ended <= ROWS[k].most);
    }
    assert_true(lived > 40);
}

/* Connections that have yet to complete a head: three quarters of all, and the slowest goes. */
static void test_slow_heads(void **state)
{
    struct site *s = *state;
    struct sim_peer *slow[75];
    sim_end(s->client, SIM_FIN);
    settle(s);
    for (int i = 0; i < 75; i++) {
        slow[i] = newcomer(s);
        sim_send(slow[i], S("GET /ok HTTP/1.1\r\nx-slow: "));
        settle(s);
        advance(s, 2);
    }
    assert_int_equal(connections(s), 75);
    assert_int_equal(crowded(s), 0);
    s->client = newcomer(s); /* a good one: it is served at once, and the slowest is gone */
    assert_int_equal(crowded(s), 1);
    assert_true(slow[0]->rx_end != SIM_OPEN);
    assert_true(slow[1]->rx_end == SIM_OPEN);
    send_raw(s, "GET /ok HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_true(slice_starts(bytes_slice(&s->client->rx), S("HTTP/1.1 200")));
    /* once served it is not one of them: the places are the slow ones' */
    for (int i = 0; i < 15; i++) {
        sim_send(newcomer(s), S("G"));
        settle(s);
    }
    assert_int_equal(crowded(s), 15);
    assert_int_equal(connections(s), 76);
    send_raw(s, "GET /ok HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_true(s->client->rx_end == SIM_OPEN);
    /* the second head of a good one may be slow as well: then it is as slow as the others */
    sim_send(s->client, S("GET /ok"));
    settle(s);
    advance(s, 2000);
    for (int i = 0; i < 75; i++) {
        newcomer(s);
        advance(s, 1);
    }
    assert_true(s->client->rx_end != SIM_OPEN);
}

/* Slow heads hold memory, too: beyond so many bytes of them the slowest goes. */
static void test_long_slow_heads(void **state)
{
    struct site *s = *state;
    enum { EACH = 30000, MOST = (8 << 20) / EACH };
    static char line[10000];
    struct http_server_stats st;
    memset(line, 'a', sizeof line);
    s->limits.max_connections = 1000;
    limits_set(s);
    sim_end(s->client, SIM_FIN);
    settle(s);
    struct sim_peer *first = NULL;
    for (int i = 0; i < MOST + 20; i++) {
        struct sim_peer *p = newcomer(s);
        first = first == NULL ? p : first;
        sim_send(p, S("GET /ok HTTP/1.1\r\n"));
        for (int k = 0; k < EACH / (int)sizeof line; k++) {
            sim_send(p, S("x: "));
            sim_send(p, (struct slice){line, sizeof line});
            sim_send(p, S("\r\n"));
        }
        settle(s);
        advance(s, 1);
    }
    http_server_stats_get(s->server, &st);
    assert_true(st.crowded > 15 && st.crowded < 30);
    assert_true(first->rx_end != SIM_OPEN);
    s->client = newcomer(s);
    send_raw(s, "GET /ok HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_true(slice_starts(bytes_slice(&s->client->rx), S("HTTP/1.1 200")));
}

struct told {
    int full, room;
};
static void on_full(void *arg, bool full)
{
    struct told *t = arg;
    t->full += full;
    t->room += !full;
}

/* In a rush nobody is slow yet: newcomers wait outside, for a moment. */
static void test_rush(void **state)
{
    struct site *s = *state;
    struct told t = {0};
    struct sim_peer *rush[75];
    sim_end(s->client, SIM_FIN);
    settle(s);
    http_server_on_full(s->server, on_full, &t);
    for (int i = 0; i < 75; i++)
        rush[i] = newcomer(s);
    assert_int_equal(t.full, 1);
    assert_int_equal(t.room, 0);
    assert_int_equal(crowded(s), 0);
    s->client = rush[3];
    send_raw(s, "GET /ok HTTP/1.1\r\nhost: x\r\n\r\n"); /* one is through */
    assert_int_equal(t.room, 1);
    newcomer(s);
    assert_int_equal(t.full, 2);
    advance(s, 200);
    assert_int_equal(t.room, 2); /* by themselves */
    assert_int_equal(crowded(s), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_x_forwarded_for),
        cmocka_unit_test(test_forwarded),
        cmocka_unit_test(test_forwarded_bounds),
        WITH_SITE(test_peer),
        WITH_SITE(test_sources),
        WITH_SITE(test_age),
        WITH_SITE(test_slow_heads),
        WITH_SITE(test_long_slow_heads),
        WITH_SITE(test_rush),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
