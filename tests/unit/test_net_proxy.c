/* links: base net */
/* PROXY headers, versions 1 and 2, at every chunking. */
#include "net/proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What became of `in`, given `step` bytes at a time (0: all at once). */
struct got {
    enum err e;
    size_t taken;
    struct proxy_told told;
    const char *why;
};

static struct got feed(struct slice in, size_t step)
{
    struct proxy_reader r;
    struct got g = {.e = ERR_AGAIN, .why = ""};
    proxy_init(&r);
    while (g.e == ERR_AGAIN && g.taken < in.n) {
        size_t n = step == 0 || step > in.n - g.taken ? in.n - g.taken : step, took;
        g.e = proxy_feed(&r, slice_sub(in, g.taken, g.taken + n), &took, &g.told, &g.why);
        assert_true(took <= n);
        assert_true(g.e != ERR_AGAIN || took == n);
        g.taken += took;
    }
    proxy_free(&r);
    return g;
}

/* The same at every chunking, with and without bytes behind the header. */
static struct got feed_all(struct slice header)
{
    char more[8192];
    assert_true(header.n + 20 < sizeof more);
    memcpy(more, header.p, header.n);
    memcpy(more + header.n, "GET / HTTP/1.1\r\n\r\nPR", 20);
    struct got whole = feed(header, 0);
    for (size_t step = 0; step <= 20; step++) {
        struct got g = feed((struct slice){more, header.n + 20}, step);
        if (whole.e == ERR_AGAIN)
            continue; /* what follows completes it, in one way or another */
        assert_int_equal(g.e, whole.e);
        if (g.e == OK) {
            assert_int_equal(g.taken, header.n);
            assert_int_equal(g.told.local, whole.told.local);
            assert_string_equal(g.told.from.text, whole.told.from.text);
        }
    }
    return whole;
}

static void test_v1(void **state)
{
    (void)state;
    static const struct {
        const char *line, *from; /* from NULL: local; "": refused */
    } ROWS[] = {
        {"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", "192.0.2.1:56324"},
        {"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", "[2001:db8::1]:1"},
        {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535"},
        {"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", "127.0.0.1:1"},
        {"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
        {"PROXY UNKNOWN\r\n", NULL},
        {"PROXY UNKNOWN ffff:: whatever 1 2\r\n", NULL},
        {"PROXY UNKNOWNX\r\n", ""},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n", ""},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 1\r\n", ""},
        {"PROXY TCP4  192.0.2.1 198.51.100.2 56324 443\r\n", ""},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 56324 65536\r\n", ""},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 056324 443\r\n", ""},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 -1 443\r\n", ""},
        {"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", ""},
        {"PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n", ""},
        {"PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n", ""},
        {"PROXY TCP5 192.0.2.1 198.51.100.2 1 2\r\n", ""},
        {"PROXY tcp4 192.0.2.1 198.51.100.2 1 2\r\n", ""},
        {"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n", ""},
        {"PROXY \r\n", ""},
        {"PROXY\r\n", ""},
        {"PRAXY TCP4 192.0.2.1 198.51.100.2 1 2\r\n", ""},
        {"GET / HTTP/1.1\r\n", ""},
        {"\r\nPROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\n", ""},
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        struct got g = feed_all(slice_of(ROWS[i].line));
        if (ROWS[i].from != NULL && ROWS[i].from[0] == '\0') {
            if (g.e == OK || g.e == ERR_AGAIN)
                fail_msg("taken: %s", ROWS[i].line);
            assert_true(strlen(g.why) > 0);
            continue;
        }
        assert_int_equal(g.e, OK);
        assert_int_equal(g.told.local, ROWS[i].from == NULL);
        if (ROWS[i].from != NULL)
            assert_string_equal(g.told.from.text, ROWS[i].from);
        assert_false(g.told.from.is_loopback);
    }
}

static void test_v1_without_end(void **state)
{
    (void)state;
    char line[300];
    memset(line, 'x', sizeof line);
    memcpy(line, "PROXY UNKNOWN ", 14);
    for (size_t step = 0; step < 12; step++) {
        struct got g = feed((struct slice){line, sizeof line}, step);
        assert_int_equal(g.e, ERR_LIMIT);
        assert_int_equal(g.taken, PROXY_V1_MAX);
    }
    assert_int_equal(feed((struct slice){line, 106}, 0).e, ERR_AGAIN);
    line[105] = '\r';
    line[106] = '\n';
    assert_int_equal(feed((struct slice){line, 107}, 0).e, OK);
}

/* ---- version 2 ------------------------------------------------------------------------------- */

static struct slice v2(char *out, unsigned version, unsigned kind, const void *body, size_t n)
{
    memcpy(out, "\r\n\r\n\0\r\nQUIT\n", 12);
    out[12] = (char)version;
    out[13] = (char)kind;
    out[14] = (char)(n >> 8);
    out[15] = (char)(n & 255);
    if (n > 0)
        memcpy(out + 16, body, n);
    return (struct slice){out, 16 + n};
}

static const unsigned char V4[12] = {192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 1, 0xbb};

static void test_v2(void **state)
{
    (void)state;
    char out[8192], body[8000] = {0};
    struct got g = feed_all(v2(out, 0x21, 0x11, V4, 12));
    assert_int_equal(g.e, OK);
    assert_string_equal(g.told.from.text, "192.0.2.1:56324");
    body[0] = 0x20;
    body[1] = 0x01;
    body[15] = 7;
    body[33] = 80;
    g = feed_all(v2(out, 0x21, 0x21, body, 36));
    assert_int_equal(g.e, OK);
    assert_string_equal(g.told.from.text, "[2001::7]:80");
    /* whoever says it is this machine is not */
    memset(body, 0, 36);
    body[15] = 1;
    g = feed_all(v2(out, 0x21, 0x21, body, 36));
    assert_string_equal(g.told.from.text, "[::1]:0");
    assert_false(g.told.from.is_loopback);
    static const struct {
        unsigned version, kind;
        size_t n;
        int e; /* 1: local */
    } ROWS[] = {
        {0x20, 0x11, 12, 1},   {0x20, 0x00, 0, 1},     {0x20, 0xff, 77, 1}, /* LOCAL */
        {0x21, 0x00, 0, 1},    {0x21, 0x00, 50, 1},    {0x21, 0x31, 216, 1}, {0x21, 0x32, 216, 1},
        {0x21, 0x12, 12, 1},   {0x21, 0x22, 36, 1},    {0x21, 0x11, 11, -1}, {0x21, 0x21, 35, -1},
        {0x21, 0x31, 215, -1}, {0x21, 0x41, 216, -1},  {0x21, 0x13, 12, -1}, {0x21, 0x01, 0, -1},
        {0x22, 0x11, 12, -1},  {0x11, 0x11, 12, -1},   {0x31, 0x11, 12, -1}, {0x00, 0x11, 12, -1},
        {0x20, 0x00, 4312, 1}, {0x20, 0x00, 4313, -1},
    };
    memset(body, 0, sizeof body);
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        g = feed_all(v2(out, ROWS[i].version, ROWS[i].kind, body, ROWS[i].n));
        if (ROWS[i].e < 0 && (g.e == OK || g.e == ERR_AGAIN))
            fail_msg("row %zu was taken", i);
        if (ROWS[i].e == 1) {
            assert_int_equal(g.e, OK);
            assert_true(g.told.local);
        }
    }
}

static void test_v2_extras(void **state)
{
    (void)state;
    char out[8192];
    unsigned char body[200];
    struct got g;
    memcpy(body, V4, 12);
    /* authority "a.b", one of no bytes, one that nobody knows */
    static const unsigned char FINE[] = {2, 0, 3, 'a', '.', 'b', 4, 0, 0, 0xee, 0, 1, 9};
    memcpy(body + 12, FINE, sizeof FINE);
    assert_int_equal(feed_all(v2(out, 0x21, 0x11, body, 12 + sizeof FINE)).e, OK);
    /* a length beyond the end, and half a head */
    body[14] = 200;
    assert_int_equal(feed_all(v2(out, 0x21, 0x11, body, 12 + sizeof FINE)).e, ERR_PROTOCOL);
    assert_int_equal(feed_all(v2(out, 0x21, 0x11, body, 14)).e, ERR_PROTOCOL);
    /* the checksum as another program computes it over the header with zeros in its place */
    memcpy(body, V4, 12);
    body[12] = 3;
    body[13] = 0;
    body[14] = 4;
    for (uint32_t wrong = 0; wrong < 2; wrong++) {
        static const unsigned char CRC[4] = {0x20, 0xec, 0x95, 0x49};
        memcpy(body + 15, CRC, 4);
        body[18] = (unsigned char)(body[18] ^ wrong);
        g = feed_all(v2(out, 0x21, 0x11, body, 19));
        assert_int_equal(g.e, wrong ? ERR_PROTOCOL : OK);
    }
    body[14] = 3; /* a checksum of three bytes */
    assert_int_equal(feed_all(v2(out, 0x21, 0x11, body, 18)).e, ERR_PROTOCOL);
}

static void test_cidr(void **state)
{
    (void)state;
    static const struct {
        const char *block, *in, *out;
    } ROWS[] = {
        {"10.0.0.0/8", "10.255.255.255:1", "11.0.0.0:1"},
        {"192.0.2.128/25", "192.0.2.128:1", "192.0.2.127:1"},
        {"192.0.2.1", "192.0.2.1:9", "192.0.2.2:9"},
        {"192.0.2.1/32", "[::ffff:192.0.2.1]:9", "[::192.0.2.1]:9"},
        {"0.0.0.0/0", "8.8.8.8:9", "[2001:db8::]:9"},
        {"2001:db8::/32", "[2001:db8:ffff::1]:9", "[2001:db9::]:9"},
        {"::1", "[::1]:9", "127.0.0.1:9"},
        {"::/0", "[2001:db8::]:9", NULL},
    };
    static const struct {
        const char *block;
        enum err e;
    } BAD[] = {{"10.0.0.0/33", ERR_RANGE}, {"::/129", ERR_RANGE},
               {"10.0.0.1/8", ERR_RANGE},  {"", ERR_SYNTAX},
               {"10.0.0", ERR_SYNTAX},     {"10.0.0.0/", ERR_SYNTAX},
               {"10.0.0.0/a", ERR_SYNTAX}, {"[::1]", ERR_SYNTAX},
               {"all", ERR_SYNTAX},        {"10.0.0.0/-1", ERR_SYNTAX},
               {"10.0.0.0:80", ERR_SYNTAX}};
    struct cidr c;
    struct addr a;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        assert_int_equal(cidr_parse(slice_of(ROWS[i].block), &c), OK);
        assert_int_equal(addr_parse(slice_of(ROWS[i].in), &a), OK);
        assert_true(cidr_has(&c, 1, &a));
        if (ROWS[i].out == NULL)
            continue;
        assert_int_equal(addr_parse(slice_of(ROWS[i].out), &a), OK);
        assert_false(cidr_has(&c, 1, &a));
    }
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        assert_int_equal(cidr_parse(slice_of(BAD[i].block), &c), BAD[i].e);
    a = (struct addr){.is_unix = true};
    assert_int_equal(cidr_parse(S("::/0"), &c), OK);
    assert_false(cidr_has(&c, 1, &a));
    assert_false(cidr_has(&c, 0, &a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v1),   cmocka_unit_test(test_v1_without_end),
        cmocka_unit_test(test_v2),   cmocka_unit_test(test_v2_extras),
        cmocka_unit_test(test_cidr),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
