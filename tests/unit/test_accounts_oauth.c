/* links: base http codec accounts */
/* The messages of OAuth: configuration, login, tokens, verdicts. All pure. */
#include "accounts/accounts.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NOW      INT64_C(1795255200000)

static const struct oauth_config *presets(void)
{
    return provider_find(S("claude-oauth"))->oauth;
}

static struct oauth_config config(const char *settings)
{
    struct oauth_config c;
    char why[256];
    assert_int_equal(oauth_config_read(presets(), slice_of(settings), &c, why, sizeof why), OK);
    return c;
}

static void assert_text(const struct buf *b, const char *want)
{
    if (!slice_eq(buf_slice(b), slice_of(want)))
        fail_msg("got \"%.*s\", want \"%s\"", (int)b->len, b->p, want);
}

/* ---- configuration --------------------------------------------------------------------------- */

static void test_config(void **state)
{
    char why[256], settings[1024];
    struct oauth_config c = config("");
    (void)state;
    assert_string_equal(c.token_url, "https://platform.claude.com/v1/oauth/token");
    assert_string_equal(c.client_id, "");
    c = config("{\"client_id\":\"c\",\"token_url\":\"https://t.test/x\",\"weight\":3}");
    assert_string_equal(c.token_url, "https://t.test/x");
    assert_string_equal(c.client_id, "c");
    assert_string_equal(c.scope, presets()->scope);
    assert_int_equal(oauth_config_read(presets(), S("{"), &c, why, sizeof why), ERR_SYNTAX);
    assert_true(why[0] != '\0');
    assert_int_equal(oauth_config_read(presets(), S("null"), &c, why, sizeof why), ERR_SYNTAX);
    memset(settings, 'a', sizeof settings); /* a client_id of 128 bytes has no room for its NUL */
    memcpy(settings, "{\"client_id\":\"", 14);
    memcpy(settings + 14 + 128, "\"}", 3);
    assert_int_equal(oauth_config_read(presets(), slice_of(settings), &c, why, sizeof why),
                     ERR_SYNTAX);
    assert_non_null(strstr(why, "too long"));
    memcpy(settings + 14 + 127, "\"}", 3);
    assert_int_equal(oauth_config_read(presets(), slice_of(settings), &c, why, sizeof why), OK);
}

/* What a login ends in is the provider's affair: a pair that rotates, or a key that stays. */
static void test_console(void **state)
{
    char why[256];
    struct oauth_config c;
    const struct provider *console = provider_find(S("console"));
    (void)state;
    assert_true(provider_rotates(provider_find(S("claude-oauth"))));
    assert_false(provider_rotates(console));
    assert_false(provider_rotates(provider_find(S("anthropic"))));
    assert_string_equal(presets()->key_url, "");
    assert_int_equal(oauth_config_read(console->oauth, S(""), &c, why, sizeof why), OK);
    assert_string_equal(c.authorize_url, "https://platform.claude.com/oauth/authorize");
    assert_string_equal(c.key_url, "https://api.anthropic.com/api/oauth/claude_cli/create_api_key");
    assert_string_equal(c.scope, "org:create_api_key user:profile");
    assert_string_equal(c.client_id, ""); /* none is shipped */
    assert_int_equal(
        oauth_config_read(console->oauth, S("{\"key_url\":\"ftp://x\"}"), &c, why, sizeof why),
        ERR_SYNTAX);
    assert_non_null(strstr(why, "key_url"));
    assert_int_equal(
        oauth_config_read(console->oauth, S("{\"key_url\":\"http://a:1/k\"}"), &c, why, sizeof why),
        OK);
    assert_string_equal(c.key_url, "http://a:1/k");
}

/* ---- login ----------------------------------------------------------------------------------- */

static void test_challenge(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 100); /* RFC 7636, appendix B */
    assert_int_equal(oauth_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", &b), OK);
    assert_text(&b, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    buf_free(&b);
}

static void test_begin(void **state)
{
    struct oauth_login a, b;
    (void)state;
    oauth_login_begin(&a, NOW);
    oauth_login_begin(&b, NOW);
    assert_int_equal(strlen(a.verifier), 43);
    assert_int_equal(strlen(a.state), 43);
    assert_string_not_equal(a.verifier, a.state);
    assert_string_not_equal(a.verifier, b.verifier);
    assert_string_not_equal(a.state, b.state);
    assert_int_equal(a.expires_at, NOW + 15 * 60000);
}

static const struct oauth_login LOGIN = {
    .verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    .state = "St4te_-x",
    .expires_at = NOW + 1000,
};

static void test_url(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 4096);
    struct oauth_config c = config("{\"client_id\":\"my&client/x\",\"scope\":\"a:b c\"}");
    assert_int_equal(oauth_authorize_url(&c, &LOGIN, &b), OK);
    assert_text(&b, "https://claude.ai/oauth/authorize?code=true&client_id=my%26client%2Fx"
                    "&response_type=code&redirect_uri=https%3A%2F%2Fplatform.claude.com%2Foauth"
                    "%2Fcode%2Fcallback&scope=a%3Ab%20c&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t"
                    "8URWbuGJSstw-cM&code_challenge_method=S256&state=St4te_-x");
    buf_clear(&b);
    c = config("{\"client_id\":\"c\",\"authorize_url\":\"https://a.test/x?y=1\"}");
    assert_int_equal(oauth_authorize_url(&c, &LOGIN, &b), OK);
    assert_true(slice_starts(buf_slice(&b), S("https://a.test/x?y=1&code=true&client_id=c&")));
    c = config("");
    assert_int_equal(oauth_authorize_url(&c, &LOGIN, &b), ERR_STATE);
    buf_free(&b);
    buf_init(&b, 100);
    c = config("{\"client_id\":\"c\"}");
    assert_int_equal(oauth_authorize_url(&c, &LOGIN, &b), ERR_LIMIT);
    buf_free(&b);
}

static void test_pasted(void **state)
{
    static const struct {
        const char *pasted, *code;
        enum err e;
    } rows[] = {
        {"CODE#St4te_-x", "CODE", OK},
        {"  CODE#St4te_-x\r\n", "CODE", OK},
        {"\"CODE#St4te_-x\"", "CODE", OK},
        {"CO\n  DE#St4te\n_-x", "CODE", OK}, /* broken by a terminal */
        {"CODE#St4te_-x&junk=1", "CODE", OK},
        {"CODE&junk=1#St4te_-x", "CODE", OK},
        {"CODE&a=b#St4te_-x&c=d", "CODE", OK},
        {"https://platform.claude.com/oauth/code/callback?code=CODE&state=St4te_-x", "CODE", OK},
        {"http://localhost:54545/callback?state=St4te_-x&code=CO%2FDE%3d#_=_", "CO/DE=", OK},
        {"https://x.test/cb?code=CODE#St4te_-x", "CODE", OK},
        {"code=CODE&state=St4te_-x", "CODE", OK},
        {"?code=CODE&state=St4te_-x", "CODE", OK},
        {"state=St4te_-x&code=CODE", "CODE", OK},
        {"CODE", NULL, ERR_SYNTAX},
        {"CODE#", NULL, ERR_SYNTAX},
        {"#St4te_-x", NULL, ERR_SYNTAX},
        {"", NULL, ERR_SYNTAX},
        {"   ", NULL, ERR_SYNTAX},
        {"&#&", NULL, ERR_SYNTAX},
        {"https://x.test/cb?error=access_denied&state=St4te_-x", NULL, ERR_SYNTAX},
        {"https://x.test/cb?code=CODE", NULL, ERR_SYNTAX},
        {"https://x.test/cb?code=A%0aB&state=St4te_-x", NULL, ERR_SYNTAX},
        {"https://x.test/cb?code=%00&state=St4te_-x", NULL, ERR_SYNTAX},
        {"CODE#St4te_-y", NULL, ERR_DENIED},
        {"CODE#St4te_-", NULL, ERR_DENIED},
        {"CODE#St4te_-xx", NULL, ERR_DENIED},
        {"CODE#st4te_-x", NULL, ERR_DENIED},
    };
    struct buf code;
    (void)state;
    buf_init(&code, 4096);
    for (size_t i = 0; i < COUNT(rows); i++) {
        buf_clear(&code);
        enum err e = oauth_login_answer(&LOGIN, slice_of(rows[i].pasted), NOW, &code);
        if (e != rows[i].e)
            fail_msg("row %zu: %s", i, err_name(e));
        assert_text(&code, rows[i].code != NULL ? rows[i].code : "");
    }
    buf_clear(&code);
    assert_int_equal(oauth_login_answer(&LOGIN, S("CODE#St4te_-x"), NOW + 999, &code), OK);
    assert_int_equal(oauth_login_answer(&LOGIN, S("CODE#St4te_-x"), NOW + 1000, &code),
                     ERR_TIMEOUT);
    const struct oauth_login none = {.expires_at = INT64_MAX}; /* no login is under way */
    assert_int_equal(oauth_login_answer(&none, S("CODE#"), NOW, &code), ERR_SYNTAX);
    char *giant = mem_new(9000);
    memset(giant, 'C', 8999);
    assert_int_equal(oauth_login_answer(&LOGIN, slice_of(giant), NOW, &code), ERR_SYNTAX);
    memcpy(giant + 3000, "#St4te_-x", 10);
    assert_int_equal(oauth_login_answer(&LOGIN, slice_of(giant), NOW, &code), ERR_SYNTAX);
    mem_free(giant);
    buf_free(&code);
}

static void test_bodies(void **state)
{
    struct buf b;
    struct oauth_config c = config("{\"client_id\":\"c\\\"1\"}");
    (void)state;
    buf_init(&b, 4096);
    assert_int_equal(oauth_exchange_body(&c, &LOGIN, S("CO\"DE"), &b), OK);
    assert_text(&b, "{\"grant_type\":\"authorization_code\",\"code\":\"CO\\\"DE\",\"redirect_uri\":"
                    "\"https://platform.claude.com/oauth/code/callback\",\"client_id\":\"c\\\"1\","
                    "\"code_verifier\":\"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk\","
                    "\"state\":\"St4te_-x\"}");
    buf_clear(&b);
    assert_int_equal(oauth_refresh_body(&c, S("rt\\1"), &b), OK);
    assert_text(&b, "{\"grant_type\":\"refresh_token\",\"refresh_token\":\"rt\\\\1\","
                    "\"client_id\":\"c\\\"1\"}");
    assert_int_equal(oauth_refresh_body(&c, S(""), &b), ERR_STATE);
    c.client_id[0] = '\0';
    assert_int_equal(oauth_refresh_body(&c, S("rt"), &b), ERR_STATE);
    assert_int_equal(oauth_exchange_body(&c, &LOGIN, S("CODE"), &b), ERR_STATE);
    buf_free(&b);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static void test_tokens(void **state)
{
    static const struct {
        const char *body, *access, *refresh;
        int64_t expires_at, lifetime;
    } rows[] = {
        {"{\"token_type\":\"Bearer\",\"access_token\":\"at\",\"expires_in\":28800,"
         "\"refresh_token\":\"rt\",\"scope\":\"a b\",\"account\":{\"uuid\":\"u\"}}",
         "at", "rt", NOW + 28800000, 28800000},
        {"{\"access_token\":\"at\"}", "at", "", 0, 0},
        {"{\"access_token\":\"at\",\"refresh_token\":null,\"expires_in\":null}", "at", "", 0, 0},
        {"{\"access_token\":\"at\",\"expires_in\":\"3600\"}", "at", "", NOW + 3600000, 3600000},
        {"{\"access_token\":\"at\",\"expires_in\":0.5}", "at", "", NOW + 500, 500},
        {"{\"access_token\":\"at\",\"expires_in\":0}", "at", "", 0, 0},
        {"{\"access_token\":\"at\",\"expires_in\":-5}", "at", "", 0, 0},
        {"{\"access_token\":\"at\",\"expires_in\":1e300}", "at", "", 0, 0},
        {"{\"access_token\":\"at\",\"expires_at\":1795258800}", "at", "", INT64_C(1795258800000),
         0},
        {"{\"access_token\":\"at\",\"expires_at\":1795258800123}", "at", "", INT64_C(1795258800123),
         0},
        {"{\"access_token\":\"at\",\"expires_at\":\"1795258800\"}", "at", "",
         INT64_C(1795258800000), 0},
        {"{\"access_token\":\"at\",\"expires_at\":\"2026-11-21T12:00:00Z\"}", "at", "",
         INT64_C(1795262400000), 0},
        {"{\"access_token\":\"at\",\"expires_at\":\"soon\"}", "at", "", 0, 0},
        {"{\"access_token\":\"at\",\"expires_at\":1e20}", "at", "", 0, 0},
        {"{\"access_token\":\"at\",\"expires_in\":60,\"expires_at\":1795258800}", "at", "",
         NOW + 60000, 60000},
        {"{\"claudeAiOauth\":{\"accessToken\":\"at\",\"refreshToken\":\"rt\","
         "\"expiresAt\":1795258800123,\"scopes\":[\"a\"],\"subscriptionType\":\"max\"}}",
         "at", "rt", INT64_C(1795258800123), 0},
        {"{\"version\":1,\"type\":\"oauth_token\",\"access_token\":\"at\",\"expires_at\":"
         "1795258800,"
         "\"refresh_token\":\"rt\"}",
         "at", "rt", INT64_C(1795258800000), 0},
        {"", NULL, NULL, 0, 0},
        {"{", NULL, NULL, 0, 0},
        {"[]", NULL, NULL, 0, 0},
        {"{}", NULL, NULL, 0, 0},
        {"{\"access_token\":\"\"}", NULL, NULL, 0, 0},
        {"{\"access_token\":5}", NULL, NULL, 0, 0},
        {"{\"access_token\":\"a b\"}", NULL, NULL, 0, 0},
        {"{\"access_token\":\"a\\r\\nx: y\"}", NULL, NULL, 0, 0},
        {"{\"access_token\":\"at\",\"refresh_token\":\"r\\u0000t\"}", NULL, NULL, 0, 0},
        {"{\"access_token\":\"\xc3\xa9\"}", NULL, NULL, 0, 0},
        {"{\"refresh_token\":\"rt\"}", NULL, NULL, 0, 0},
        {"{\"error\":\"invalid_grant\"}", NULL, NULL, 0, 0},
    };
    struct oauth_tokens t;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        enum err e = oauth_tokens_read(slice_of(rows[i].body), NOW, &t);
        if ((e == OK) != (rows[i].access != NULL))
            fail_msg("row %zu: %s", i, err_name(e));
        if (e != OK) {
            assert_null(t.doc);
            assert_int_equal(t.access.n + t.refresh.n, 0);
            continue;
        }
        assert_true(slice_eq(t.access, slice_of(rows[i].access)));
        assert_true(slice_eq(t.refresh, slice_of(rows[i].refresh)));
        if (t.expires_at != rows[i].expires_at || t.lifetime != rows[i].lifetime)
            fail_msg("row %zu: expires_at %lld, lifetime %lld", i, (long long)t.expires_at,
                     (long long)t.lifetime);
        oauth_tokens_free(&t);
        assert_null(t.doc);
        oauth_tokens_free(&t);
    }
}

/* ---- verdicts -------------------------------------------------------------------------------- */

static void test_judge(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum oauth_verdict v;
        const char *why;
    } rows[] = {
        {200, "{\"access_token\":\"at\"}", OAUTH_OK, "refreshed"},
        {201, "", OAUTH_OK, "refreshed"}, /* whether there is a token in it is read apart */
        {200, "{\"error\":\"invalid_grant\"}", OAUTH_DEAD, "invalid_grant"},
        {200, "{\"error\":null,\"access_token\":\"at\"}", OAUTH_OK, "refreshed"},
        {400, "{\"error\":\"invalid_grant\",\"error_description\":\"x\"}", OAUTH_DEAD,
         "invalid_grant"},
        {401, "{\"error\":\"invalid_refresh_token\"}", OAUTH_DEAD, "invalid_refresh_token"},
        {403, "{\"error\":\"refresh_token_reused\"}", OAUTH_DEAD, "refresh_token_reused"},
        {400, "{\"error\":{\"type\":\"invalid_grant\",\"message\":\"x\"}}", OAUTH_DEAD,
         "invalid_grant"},
        {401, "{\"error\":{\"type\":\"invalid_request_error\",\"code\":\"refresh_token_reused\"}}",
         OAUTH_DEAD, "refresh_token_reused"},
        {400,
         "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
         "\"message\":\"invalid_grant: gone\"}}",
         OAUTH_DEAD, "invalid_grant"},
        {400, "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\"}}", OAUTH_WRONG,
         "invalid_request_error"},
        {400, "{\"error\":\"invalid_client\"}", OAUTH_WRONG, "invalid_client"},
        {401, "{\"error\":\"invalid_client\"}", OAUTH_WRONG, "invalid_client"},
        {400, "{\"error\":\"invalid_scope\"}", OAUTH_WRONG, "invalid_scope"},
        {400, "{\"error\":\"unheard_of\"}", OAUTH_WRONG, "refused"},
        {400, "invalid_grant", OAUTH_WRONG, "refused"}, /* not JSON: nobody's word */
        {400, "{\"error\":\"slow_down\"}", OAUTH_LATER, "slow_down"},
        {401, "", OAUTH_WRONG, "refused"},
        {404, "", OAUTH_WRONG, "not_found"},
        {405, "", OAUTH_WRONG, "refused"},
        {302, "", OAUTH_WRONG, "redirected"},
        {403, "<html>", OAUTH_LATER, "forbidden"},
        {429, "{\"error\":{\"type\":\"rate_limit_error\"}}", OAUTH_LATER, "rate_limited"},
        {429, "{\"error\":\"invalid_grant\"}", OAUTH_LATER, "rate_limited"},
        {500, "{\"error\":\"invalid_grant\"}", OAUTH_LATER, "server_error"},
        {503, "", OAUTH_LATER, "server_error"},
        {529, "", OAUTH_LATER, "server_error"},
        {408, "", OAUTH_LATER, "server_error"},
        {0, "", OAUTH_LATER, "no_answer"},
    };
    const char *why = NULL;
    int64_t retry = -1;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        enum oauth_verdict v = oauth_judge(rows[i].status, NULL, slice_of(rows[i].body), NOW, &why,
                                           &retry);
        if (v != rows[i].v || strcmp(why, rows[i].why) != 0)
            fail_msg("row %zu: %d, %s", i, (int)v, why);
        assert_int_equal(retry, 0);
    }
    struct http_header row = {S("retry-after"), S("120")};
    const struct http_head head = {.status = 429, .header = &row, .headers = 1};
    assert_int_equal(oauth_judge(429, &head, S(""), NOW, &why, &retry), OAUTH_LATER);
    assert_int_equal(retry, 120000);
    row.value = S("soon");
    assert_int_equal(oauth_judge(429, &head, S(""), NOW, &why, &retry), OAUTH_LATER);
    assert_int_equal(retry, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config),    cmocka_unit_test(test_console),
        cmocka_unit_test(test_challenge), cmocka_unit_test(test_begin),
        cmocka_unit_test(test_url),       cmocka_unit_test(test_pasted),
        cmocka_unit_test(test_bodies),    cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_judge),
    };
    crypto_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
