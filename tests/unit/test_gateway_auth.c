/* links: base config net http codec store accounts gateway */
/* Whose request it is: both headers, both forms, and the door that is open only to this machine. */
#include "gateway/exchange.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NOW      INT64_C(1800000000000)

static const uint8_t pepper[32] = {1, 2, 3};

struct door {
    struct key_set *keys;
    char good[KEY_TEXT_MAX], revoked[KEY_TEXT_MAX], unknown[KEY_TEXT_MAX];
};

static void door_open(struct door *d)
{
    struct key_row row;
    d->keys = keys_new(pepper);
    keys_generate(d->keys, S("team"), NOW, d->good, &row);
    keys_put(d->keys, &row);
    keys_generate(d->keys, S("gone"), NOW, d->revoked, &row);
    row.revoked_at = NOW;
    keys_put(d->keys, &row);
    keys_generate(d->keys, S("never kept"), NOW, d->unknown, &row);
}

/* A header line "name: value", in which $G, $R and $U stand for the keys. */
static void head_add(struct http_head *h, const struct door *d, const char *line, char text[256])
{
    const char *colon = strstr(line, ": "), *mark = strchr(line, '$');
    assert_non_null(colon);
    if (mark == NULL)
        text_format(text, 256, "%s", colon + 2);
    else
        text_format(text, 256, "%.*s%s", (int)(mark - colon - 2), colon + 2,
                    mark[1] == 'G'   ? d->good
                    : mark[1] == 'R' ? d->revoked
                                     : d->unknown);
    h->header[h->headers++] = (struct http_header){{line, (size_t)(colon - line)}, slice_of(text)};
}

static enum auth_result ask(const struct door *d, const char *const *lines, int n,
                            const struct addr *peer, struct key_row **key)
{
    static char text[8][256];
    struct http_header header[8];
    struct http_head h;
    memset(&h, 0, sizeof h);
    h.header = header;
    for (int i = 0; i < n; i++)
        head_add(&h, d, lines[i], text[i]);
    return auth_check(d->keys, &h, peer, key);
}

static void test_credentials(void **state)
{
    static const struct {
        const char *line[2];
        enum auth_result want;
    } rows[] = {
        {{NULL}, AUTH_MISSING},
        {{"x-api-key: $G"}, AUTH_OK},
        {{"authorization: Bearer $G"}, AUTH_OK},
        {{"authorization: bearer $G"}, AUTH_OK},
        {{"authorization: Bearer   $G"}, AUTH_OK},
        {{"authorization: $G"}, AUTH_OK},
        {{"x-api-key: Bearer $G"}, AUTH_OK},
        {{"x-api-key: $R"}, AUTH_WRONG},
        {{"x-api-key: $U"}, AUTH_WRONG},
        {{"x-api-key: "}, AUTH_WRONG},
        {{"authorization: Bearer "}, AUTH_WRONG},
        {{"authorization: Basic abc"}, AUTH_WRONG},
        {{"x-other: $G"}, AUTH_MISSING},
        /* one good one is enough, wherever it stands (clients.md, fact 1) */
        {{"x-api-key: $G", "authorization: Bearer $U"}, AUTH_OK},
        {{"x-api-key: $U", "authorization: Bearer $G"}, AUTH_OK},
        {{"x-api-key: $G", "authorization: Bearer sk-ant-oat01-x"}, AUTH_OK},
        {{"x-api-key: sk-ant-api03-x", "authorization: Bearer $G"}, AUTH_OK},
        /* a vendor's own token is told apart from a wrong key */
        {{"authorization: Bearer sk-ant-oat01-x"}, AUTH_VENDOR_TOKEN},
        {{"x-api-key: sk-ant-api03-x"}, AUTH_VENDOR_TOKEN},
        {{"x-api-key: $U", "authorization: Bearer sk-ant-oat01-x"}, AUTH_VENDOR_TOKEN},
        {{"x-api-key: $R", "authorization: Bearer $U"}, AUTH_WRONG},
    };
    static const struct addr peer = {.text = "127.0.0.1:1", .is_loopback = true};
    struct door d;
    (void)state;
    door_open(&d);
    for (size_t i = 0; i < COUNT(rows); i++) {
        int n = rows[i].line[0] == NULL ? 0 : rows[i].line[1] == NULL ? 1 : 2;
        struct key_row *key = (struct key_row *)&d;
        enum auth_result got = ask(&d, rows[i].line, n, &peer, &key);
        if (got != rows[i].want)
            fail_msg("row %zu: %d instead of %d", i, (int)got, (int)rows[i].want);
        assert_true((key != NULL) == (got == AUTH_OK));
        assert_true(key == NULL || strcmp(key->name, "team") == 0);
    }
    keys_free(d.keys);
}

/* A key was made: nobody is let in for being near. */
static void test_near_is_not_enough(void **state)
{
    static const struct addr loopback = {.text = "127.0.0.1:1", .is_loopback = true};
    static const struct addr unix_peer = {.text = "unix", .is_unix = true, .is_loopback = true};
    struct door d;
    struct key_row *key;
    (void)state;
    door_open(&d);
    assert_int_equal(ask(&d, NULL, 0, &loopback, &key), AUTH_MISSING);
    assert_int_equal(ask(&d, NULL, 0, &unix_peer, &key), AUTH_MISSING);
    keys_free(d.keys);
    /* ... nor after the last key was revoked */
    d.keys = keys_new(pepper);
    struct key_row row;
    keys_generate(d.keys, S("last"), NOW, d.revoked, &row);
    row.revoked_at = NOW;
    keys_put(d.keys, &row);
    assert_int_equal(ask(&d, NULL, 0, &loopback, &key), AUTH_MISSING);
    keys_free(d.keys);
}

static void test_no_key_was_made(void **state)
{
    static const struct {
        const char *line[2];
        bool loopback;
        enum auth_result want;
    } rows[] = {
        {{"host: localhost:8080"}, true, AUTH_ANONYMOUS},
        {{"host: LOCALHOST"}, true, AUTH_ANONYMOUS},
        {{"host: 127.0.0.1:8080"}, true, AUTH_ANONYMOUS},
        {{"host: 127.1.2.3"}, true, AUTH_ANONYMOUS},
        {{"host: [::1]:8080"}, true, AUTH_ANONYMOUS},
        {{NULL}, true, AUTH_ANONYMOUS}, /* HTTP/1.0 */
        {{"host: localhost", "x-api-key: anything"}, true, AUTH_ANONYMOUS},
        {{"host: 127.0.0.1:8080"}, false, AUTH_NOT_LOCAL},
        {{NULL}, false, AUTH_NOT_LOCAL},
        /* names that lead here by somebody else's DNS */
        {{"host: gateway.example.com"}, true, AUTH_NOT_LOCAL},
        {{"host: 127.example.com:8080"}, true, AUTH_NOT_LOCAL},
        {{"host: 127.0.0.1.example.com"}, true, AUTH_NOT_LOCAL},
        {{"host: localhost.example.com"}, true, AUTH_NOT_LOCAL},
        {{"host: [::1].example.com"}, true, AUTH_NOT_LOCAL},
        {{"host: "}, true, AUTH_NOT_LOCAL},
        {{"host: [::1"}, true, AUTH_NOT_LOCAL},
        {{"host: [::2]:8080"}, true, AUTH_NOT_LOCAL},
        /* web pages, and what a proxy brings in from elsewhere */
        {{"host: localhost", "origin: http://localhost"}, true, AUTH_NOT_LOCAL},
        {{"host: localhost", "sec-fetch-site: same-origin"}, true, AUTH_NOT_LOCAL},
        {{"host: 127.0.0.1:8080", "x-forwarded-for: 192.0.2.1"}, true, AUTH_NOT_LOCAL},
        {{"host: 127.0.0.1:8080", "forwarded: for=192.0.2.1"}, true, AUTH_NOT_LOCAL},
        {{"host: 127.0.0.1:8080", "x-real-ip: 192.0.2.1"}, true, AUTH_NOT_LOCAL},
        {{"host: 127.0.0.1:8080", "via: 1.1 proxy"}, true, AUTH_NOT_LOCAL},
        /* a logged-in client's own token is refused here too */
        {{"host: localhost", "authorization: Bearer sk-ant-oat01-x"}, true, AUTH_VENDOR_TOKEN},
    };
    struct door d = {.keys = keys_new(pepper)};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct addr peer = {.text = "x", .is_loopback = rows[i].loopback};
        int n = rows[i].line[0] == NULL ? 0 : rows[i].line[1] == NULL ? 1 : 2;
        struct key_row *key;
        enum auth_result got = ask(&d, rows[i].line, n, &peer, &key);
        if (got != rows[i].want)
            fail_msg("row %zu: %d instead of %d", i, (int)got, (int)rows[i].want);
        assert_null(key);
    }
    struct addr unix_peer = {.text = "unix", .is_unix = true};
    struct key_row *key;
    static const char *const foreign[] = {"host: example.com"};
    assert_int_equal(ask(&d, foreign, 1, &unix_peer, &key), AUTH_ANONYMOUS);
    keys_free(d.keys);
}

static int setup(void **state)
{
    (void)state;
    crypto_init();
    return 0;
}

static void test_strikes(void **state)
{
    (void)state;
    struct strikes *s = NEW(struct strikes);
    struct addr a, b;
    assert_int_equal(addr_parse(S("10.0.0.1:999"), &a), OK);
    assert_int_equal(addr_parse(S("10.0.0.2:999"), &b), OK);
    for (int i = 0; i < STRIKES_BURST; i++)
        assert_true(strikes_allow(s, &a, 1000));
    assert_false(strikes_allow(s, &a, 1000));
    a.port++; /* another port is the same source; another address is not */
    assert_false(strikes_allow(s, &a, 1000));
    assert_true(strikes_allow(s, &b, 1000));
    assert_false(strikes_allow(s, &a, 1000 + STRIKES_EACH_MS - 1));
    assert_true(strikes_allow(s, &a, 1000 + STRIKES_EACH_MS));
    assert_false(strikes_allow(s, &a, 1000 + STRIKES_EACH_MS));
    /* all is forgiven after a while, and no more than the burst */
    for (int i = 0; i < STRIKES_BURST; i++)
        assert_true(strikes_allow(s, &a, 10000000));
    assert_false(strikes_allow(s, &a, 10000000));
    mem_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strikes),
        cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_near_is_not_enough),
        cmocka_unit_test(test_no_key_was_made),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
