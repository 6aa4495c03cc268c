/* links: base http codec sim accounts */
/* The end of a login, over a simulated network: a code becomes a pair, or a key. */
#include "accounts/accounts.h"
#include "simnet.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "sluice/sluice.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define PEERS    8

static struct {
    struct loop *loop;
    struct http_client *client;
    struct sim_host *tokens, *keys;
    struct sim_peer *peer[PEERS];
    int peers;
    struct oauth_config config;
    struct login *login;
    /* what came of it */
    int called;
    enum err e;
    char access[64], refresh[64], key[64], why[400];
    int64_t expires_at;
} b;

static const struct oauth_login LOGIN = {
    .verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    .state = "St4te_-x",
    .expires_at = INT64_MAX,
};

static void settle(void)
{
    assert_true(sim_settle(b.loop));
}

static void on_dialled(void *arg, struct sim_host *h, struct sim_peer *p)
{
    (void)arg, (void)h;
    assert_true(b.peers < PEERS);
    b.peer[b.peers++] = p;
}

static void bench_open(void)
{
    static const struct http_client_limits limits = {
        .connect_ms = 5000, .idle_ms = 55000, .max_idle = 3};
    struct sim_hooks hooks = {.on_dialled = on_dialled};
    char why[256];
    memset(&b, 0, sizeof b);
    b.loop = loop_new();
    sim_hooks_set(b.loop, &hooks);
    b.tokens = sim_host(b.loop, "tokens", S("auth.test"), 80);
    b.keys = sim_host(b.loop, "keys", S("keys.test"), 8080);
    b.client = http_client_new(b.loop, &limits, NULL);
    assert_int_equal(
        oauth_config_read(provider_find(S("console"))->oauth,
                          S("{\"client_id\":\"cid\",\"token_url\":\"http://auth.test/v1/token\","
                            "\"key_url\":\"http://keys.test:8080/make\"}"),
                          &b.config, why, sizeof why),
        OK);
}

static void bench_close(void)
{
    struct sim_counts left;
    http_client_free(b.client);
    assert_true(sim_advance(b.loop, 40000));
    settle();
    sim_live_counts(b.loop, &left);
    assert_int_equal(left.streams + left.dials, 0);
    assert_int_equal(left.timers, 0);
    assert_false(left.tasks);
    loop_free(b.loop);
}

static void on_login(void *arg, enum err e, const struct oauth_tokens *t, struct slice key,
                     const char *why)
{
    assert_ptr_equal(arg, &b);
    b.called++;
    b.login = NULL;
    b.e = e;
    text_copy(b.why, sizeof b.why, slice_of(why));
    text_copy(b.key, sizeof b.key, key);
    if (t == NULL)
        return;
    text_copy(b.access, sizeof b.access, t->access);
    text_copy(b.refresh, sizeof b.refresh, t->refresh);
    b.expires_at = t->expires_at;
}

static void start(enum login_mode mode)
{
    char code[] = "c0de/1";
    b.called = 0;
    b.login = login_start(b.loop, b.client, &b.config, mode, false, &LOGIN, slice_of(code),
                          on_login, &b);
    memset(code, 'x', sizeof code); /* everything is copied */
    assert_int_equal(b.called, 0);
    settle();
}

static void reply(int code, const char *body)
{
    struct bytes t = {0};
    assert_true(b.peers > 0);
    bytes_printf(&t, "HTTP/1.1 %d X\r\nlocation: http://evil.test/\r\ncontent-length: %zu\r\n\r\n",
                 code, strlen(body));
    bytes_puts(&t, slice_of(body));
    sim_send(b.peer[b.peers - 1], bytes_slice(&t));
    settle();
    bytes_free(&t);
}

static void sent(const char *want)
{
    struct slice got = bytes_slice(&b.peer[b.peers - 1]->rx);
    if (!slice_eq(got, slice_of(want)))
        fail_msg("sent <%.*s>\nwant <%s>", (int)got.n, got.p, want);
}

#define PAIR "{\"access_token\":\"at1\",\"refresh_token\":\"rt1\",\"expires_in\":28800}"

#define CODE_REQUEST                                                                           \
    "POST /v1/token HTTP/1.1\r\nhost: auth.test\r\ncontent-type: application/json\r\naccept: " \
    "application/json\r\nuser-agent: sluice/" SLUICE_VERSION "\r\ncontent-length: 215\r\n\r\n" \
    "{\"grant_type\":\"authorization_code\",\"code\":\"c0de/1\",\"redirect_uri\":"             \
    "\"https://platform.claude.com/oauth/code/callback\",\"client_id\":\"cid\","               \
    "\"code_verifier\":\"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk\",\"state\":\"St4te_-x\"}"
#define KEY_REQUEST                                                                 \
    "POST /make HTTP/1.1\r\nhost: keys.test:8080\r\ncontent-type: "                 \
    "application/x-www-form-urlencoded\r\naccept: application/json\r\nuser-agent: " \
    "sluice/" SLUICE_VERSION "\r\nauthorization: Bearer at1\r\ncontent-length: 0\r\n\r\n"

static void test_tokens(void **state)
{
    (void)state;
    bench_open();
    start(LOGIN_TOKENS);
    assert_int_equal(b.peers, 1);
    sent(CODE_REQUEST);
    reply(200, PAIR);
    assert_int_equal(b.called, 1);
    assert_int_equal(b.e, OK);
    assert_string_equal(b.access, "at1");
    assert_string_equal(b.refresh, "rt1");
    assert_string_equal(b.key, "");
    assert_string_equal(b.why, "");
    assert_int_equal(b.expires_at, loop_wall(b.loop) + 28800000);
    assert_int_equal(b.keys->dials, 0);
    start(LOGIN_TOKENS); /* never on the same connection: it could be sent twice */
    assert_int_equal(b.peers, 2);
    reply(200, "{\"access_token\":\"long-lived\"}");
    assert_string_equal(b.access, "long-lived");
    assert_string_equal(b.refresh, "");
    bench_close();
}

static void test_console(void **state)
{
    (void)state;
    bench_open();
    start(LOGIN_CONSOLE);
    sent(CODE_REQUEST);
    reply(200, PAIR);
    assert_int_equal(b.called, 0);
    assert_int_equal(b.peers, 2);
    sent(KEY_REQUEST);
    reply(200, "{\"raw_key\":\"sk-ant-api03-new\"}");
    assert_int_equal(b.called, 1);
    assert_int_equal(b.e, OK);
    assert_string_equal(b.key, "sk-ant-api03-new");
    assert_string_equal(b.access, ""); /* the pair is dropped */
    bench_close();
}

/* What the endpoints answer, and what a person is told. `at_key`: the code was good. */
static void test_refusals(void **state)
{
    static const struct {
        bool at_key;
        int status;
        const char *body;
        enum err e;
        const char *why;
    } rows[] = {
        {false, 400, "{\"error\":\"invalid_grant\"}", ERR_DENIED, "refuses the code"},
        {false, 401, "{\"error\":\"invalid_client\"}", ERR_DENIED, "check the client id"},
        {false, 404, "", ERR_DENIED, "not_found, status 404"},
        {false, 302, "", ERR_DENIED, "redirected"},
        {false, 403, "<html>", ERR_BUSY, "forbidden"},
        {false, 429, "{}", ERR_BUSY, "cannot answer now"},
        {false, 500, "", ERR_BUSY, "cannot answer now"},
        {false, 200, "", ERR_PROTOCOL, "not understood"},
        {false, 200, "{\"access_token\":7}", ERR_PROTOCOL, "not understood"},
        {false, 200, "{\"access_token\":\"a b\"}", ERR_PROTOCOL, "not understood"},
        {true, 401, "{}", ERR_DENIED, "org:create_api_key"},
        {true, 403, "{}", ERR_DENIED, "the right to make keys"},
        {true, 404, "{}", ERR_DENIED, "status 404"},
        {true, 302, "{\"raw_key\":\"k\"}", ERR_DENIED, "status 302"},
        {true, 503, "{}", ERR_BUSY, "the key endpoint cannot answer now"},
        {true, 200, "", ERR_PROTOCOL, "holds no key"},
        {true, 200, "[]", ERR_PROTOCOL, "holds no key"},
        {true, 200, "{\"raw_key\":\"\"}", ERR_PROTOCOL, "holds no key"},
        {true, 200, "{\"raw_key\":\"two words\"}", ERR_PROTOCOL, "holds no key"},
        {true, 200, "{\"raw_key\":7}", ERR_PROTOCOL, "holds no key"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        bench_open();
        start(LOGIN_CONSOLE);
        if (rows[i].at_key)
            reply(200, PAIR);
        assert_int_equal(b.called, 0);
        reply(rows[i].status, rows[i].body);
        if (b.called != 1 || b.e != rows[i].e || strstr(b.why, rows[i].why) == NULL)
            fail_msg("row %zu: %d, %s, \"%s\"", i, b.called, err_name(b.e), b.why);
        assert_null(strstr(b.why, "c0de"));
        assert_null(strstr(b.why, "at1"));
        assert_int_equal(b.peers, rows[i].at_key ? 2 : 1);
        bench_close();
    }
}

/* An answer without an end in sight is read up to a bound, and is none. */
static void test_overlong(void **state)
{
    char *body = mem_new(70000);
    (void)state;
    memset(body, ' ', 69000);
    text_copy(body + 69000, 900, S("{\"access_token\":\"at1\"}"));
    for (int at_key = 0; at_key < 2; at_key++) {
        bench_open();
        start(LOGIN_CONSOLE);
        if (at_key)
            reply(200, PAIR);
        reply(200, body);
        assert_int_equal(b.e, ERR_PROTOCOL);
        assert_int_equal(b.called, 1);
        bench_close();
    }
    mem_free(body);
}

static void test_no_answer(void **state)
{
    (void)state;
    bench_open();
    b.tokens->verdict = ERR_CONNECT;
    start(LOGIN_TOKENS);
    assert_int_equal(b.called, 1);
    assert_int_equal(b.e, ERR_CONNECT);
    assert_non_null(strstr(b.why, "the token endpoint gave no answer"));
    b.tokens->verdict = OK;
    start(LOGIN_TOKENS); /* breaks off */
    sim_end(b.peer[0], SIM_RST);
    settle();
    assert_int_equal(b.called, 1);
    assert_true(b.e != OK);
    assert_int_equal(b.peers, 1); /* and is never sent again */
    start(LOGIN_CONSOLE);         /* thirty seconds for all of it */
    assert_true(sim_advance(b.loop, 20000));
    reply(200, PAIR);
    assert_int_equal(b.peers, 3);
    assert_true(sim_advance(b.loop, 9999));
    assert_int_equal(b.called, 0);
    assert_true(sim_advance(b.loop, 1));
    settle();
    assert_int_equal(b.called, 1);
    assert_int_equal(b.e, ERR_TIMEOUT);
    assert_non_null(strstr(b.why, "the key endpoint did not answer within 30 s"));
    bench_close();
}

static void test_bad_configuration(void **state)
{
    char code[9000];
    (void)state;
    bench_open();
    b.config.client_id[0] = '\0';
    start(LOGIN_TOKENS);
    assert_int_equal(b.e, ERR_STATE);
    assert_non_null(strstr(b.why, "client_id"));
    text_copy(b.config.client_id, sizeof b.config.client_id, S("cid"));
    text_copy(b.config.key_url, sizeof b.config.key_url, S("nonsense"));
    start(LOGIN_CONSOLE);
    reply(200, PAIR);
    assert_int_equal(b.called, 1);
    assert_true(b.e != OK);
    assert_non_null(strstr(b.why, "the address of the key endpoint is bad"));
    text_copy(b.config.token_url, sizeof b.config.token_url, S(""));
    start(LOGIN_TOKENS);
    assert_int_equal(b.called, 1);
    assert_non_null(strstr(b.why, "the address of the token endpoint is bad"));
    memset(code, '\x01', sizeof code); /* six times as long when it is written */
    b.called = 0;
    b.login = login_start(b.loop, b.client, &b.config, LOGIN_TOKENS, false, &LOGIN,
                          (struct slice){code, sizeof code}, on_login, &b);
    settle();
    assert_int_equal(b.called, 1);
    assert_int_equal(b.e, ERR_LIMIT);
    bench_close();
}

/* Given up at any moment: nothing is called, nothing is left. */
static void test_abort(void **state)
{
    (void)state;
    login_abort(NULL);
    for (int moment = 0; moment < 5; moment++) {
        bench_open();
        if (moment == 4)
            b.config.client_id[0] = '\0'; /* its failure is under way */
        b.login = login_start(b.loop, b.client, &b.config, LOGIN_CONSOLE, false, &LOGIN, S("c"),
                              on_login, &b);
        if (moment >= 1 && moment < 4)
            settle();
        if (moment >= 2 && moment < 4)
            sim_send(b.peer[0], S("HTTP/1.1 200 OK\r\ncontent-length: 29\r\n\r\n{\"acc"));
        if (moment == 3) {
            sim_send(b.peer[0], S("ess_token\":\"at1\"}       "));
            settle();
            assert_int_equal(b.peers, 2);
        }
        login_abort(b.login);
        settle();
        assert_int_equal(b.called, 0);
        bench_close();
    }
}

/* Every chunking of the answers gives the same. */
static void test_crumbs(void **state)
{
    static const struct sim_weather crumbs = {.read_max = 1, .take = SIM_TAKE_CRUMBS};
    (void)state;
    bench_open();
    sim_weather_set(b.loop, &crumbs);
    start(LOGIN_CONSOLE);
    reply(200, PAIR);
    sent(KEY_REQUEST);
    reply(201, "{\"raw_key\":\"k1\",\"more\":[1,2]}");
    assert_int_equal(b.e, OK);
    assert_string_equal(b.key, "k1");
    bench_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),    cmocka_unit_test(test_console),
        cmocka_unit_test(test_refusals),  cmocka_unit_test(test_overlong),
        cmocka_unit_test(test_no_answer), cmocka_unit_test(test_bad_configuration),
        cmocka_unit_test(test_abort),     cmocka_unit_test(test_crumbs),
    };
    crypto_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
