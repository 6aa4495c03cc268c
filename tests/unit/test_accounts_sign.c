/* links: base netcore http codec accounts */
/* How credentials go into requests, when a reply refuses them, and what a person may give. */
#include "accounts_fake.h"
#include "cloud_rows.h"
#include "net/core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define CANARY   "canary-5ecret"

struct loop { /* nothing turns here, but the accounts have timers */
    struct loop_core core;
};

static void wake(struct loop_core *c)
{
    (void)c;
}

static void test_refused(void **state)
{
    static const struct {
        const char *provider;
        int status;
        const char *type, *body;
        bool refused;
    } rows[] = {
        {"azure-foundry", 401, NULL, "", true},
        {"azure-foundry", 403, "ExpiredTokenException", "", false},
        {"bedrock", 401, NULL, "", true},
        {"bedrock", 403, "ExpiredTokenException", "", true},
        {"bedrock", 403, "ExpiredTokenException:http://internal.amazon.com/coral/", "", true},
        {"bedrock", 403, "UnrecognizedClientException", "", true},
        {"bedrock", 403, "InvalidSignatureException", "", true},
        {"bedrock", 403, "AccessDeniedException", "{\"__type\":\"ExpiredTokenException\"}", false},
        {"bedrock", 403, NULL, "{\"__type\":\"com.amazon.coral.service#ExpiredTokenException\"}",
         true},
        {"bedrock", 403, NULL, "{\"__type\":\"AccessDeniedException\"}", false},
        {"bedrock", 403, NULL, "<html>", false},
        {"bedrock", 403, NULL, "", false},
        {"bedrock", 429, "ThrottlingException", "", false},
        {"bedrock", 200, "ExpiredTokenException", "", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct account a = {.provider = provider_find(slice_of(rows[i].provider))};
        struct http_header h = {S("x-amzn-errortype"), slice_of(rows[i].type)};
        struct http_head head = {
            .status = rows[i].status, .header = &h, .headers = rows[i].type != NULL};
        if (account_credential_refused(&a, &head, slice_of(rows[i].body)) != rows[i].refused)
            fail_msg("row %zu", i);
    }
}

/* How a fixed secret goes into requests, by the scheme of the door. */
static void test_schemes(void **state)
{
    static const struct {
        enum auth_scheme auth;
        const char *secret, *name, *value;
    } rows[] = {
        {AUTH_X_API_KEY, "k", "x-api-key", "k"},
        {AUTH_API_KEY, "k", "api-key", "k"},
        {AUTH_GOOG_API_KEY, "k", "x-goog-api-key", "k"},
        {AUTH_BEARER, "k", "authorization", "Bearer k"},
        {AUTH_NONE, "k", "authorization", "Bearer k"},
        {AUTH_SIGV4, "k", "authorization", "Bearer k"},
        {AUTH_SIGV4, "AK:k", "authorization", "AWS4-HMAC-SHA256 Credential=AK/"},
        {AUTH_X_API_KEY, "Bearer k", "authorization", "Bearer k"},
        {AUTH_API_KEY, "Bearer k", "authorization", "Bearer k"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct http_header h[ACCOUNT_SIGN_HEADERS];
        char memory[ACCOUNT_SIGN_MEMORY];
        int n = 0;
        struct account_row row = fake_row(7, "a", 0, 1);
        text_copy(row.provider, sizeof row.provider, S("azure-foundry"));
        text_copy(row.base_url, sizeof row.base_url, S("https://x.eu-west-1.amazonaws.com"));
        row.secret = slice_of(rows[i].secret);
        struct account_set *set = fake_set(&row, 1);
        struct account *a = accounts_by_id(set, 7);
        struct sign_request r = {.auth = rows[i].auth,
                                 .method = S("POST"),
                                 .to = &a->door[0].target,
                                 .path = S("/"),
                                 .query = S(""),
                                 .body = S("")};
        assert_int_equal(account_sign(a, &r, fake.wall, h, &n, memory, sizeof memory), OK);
        assert_true(n >= 1 && slice_eq(h[n - 1].name, slice_of(rows[i].name)));
        assert_true(slice_starts(h[n - 1].value, slice_of(rows[i].value)));
        if (rows[i].auth == AUTH_BEARER)
            assert_int_equal(account_sign(a, &r, fake.wall, h, &n, memory, 7), ERR_LIMIT);
        accounts_free(set);
    }
}

/* What is signed is the host as the client sends it, and the region is the host's. */
static void test_host(void **state)
{
    static const char *const rows[][3] = {
        {"https://bedrock-runtime.eu-west-1.amazonaws.com",
         "bedrock-runtime.eu-west-1.amazonaws.com", "eu-west-1"},
        {"https://bedrock-runtime.eu-west-1.amazonaws.com:443",
         "bedrock-runtime.eu-west-1.amazonaws.com", "eu-west-1"},
        {"https://bedrock-runtime.eu-west-1.amazonaws.com:8443",
         "bedrock-runtime.eu-west-1.amazonaws.com:8443", "eu-west-1"},
        {"http://[::1]:8080", "[::1]:8080", "r-1"},
        {"http://localhost", "localhost", "r-1"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct http_header mine[ACCOUNT_SIGN_HEADERS], want[SIGV4_HEADERS];
        char memory[2][ACCOUNT_SIGN_MEMORY];
        struct account_row row = fake_row(7, "a", 0, 1);
        int n = 0, wanted = 0;
        text_copy(row.provider, sizeof row.provider, S("bedrock"));
        text_copy(row.base_url, sizeof row.base_url, slice_of(rows[i][0]));
        if (i > 2)
            text_copy(row.settings, sizeof row.settings, S("{\"region\":\"r-1\"}"));
        row.secret = S("AK:s");
        struct account_set *set = fake_set(&row, 1);
        struct account *a = accounts_by_id(set, 7);
        const struct sign_request r = {.auth = AUTH_SIGV4,
                                       .method = S("POST"),
                                       .to = &a->door[0].target,
                                       .path = S("/model/m%3A0/invoke"),
                                       .query = S(""),
                                       .body = S("{}")};
        struct sigv4_request q = {.method = r.method,
                                  .host = slice_of(rows[i][1]),
                                  .path = r.path,
                                  .query = r.query,
                                  .tell_hash = true,
                                  .region = slice_of(rows[i][2]),
                                  .service = S("bedrock"),
                                  .keys = {S("AK"), S("s"), S("")},
                                  .now = fake.wall};
        crypto_sha256(q.body_hash, r.body);
        assert_int_equal(account_sign(a, &r, fake.wall, mine, &n, memory[0], sizeof memory[0]), OK);
        assert_int_equal(sigv4_sign(&q, want, &wanted, memory[1], sizeof memory[1]), OK);
        assert_int_equal(n, wanted);
        for (int k = 0; k < n; k++) {
            assert_true(slice_eq(mine[k].name, want[k].name));
            assert_true(slice_eq(mine[k].value, want[k].value));
        }
        accounts_free(set);
    }
}

/* An account without a secret: refused, unless its provider needs none. */
static void test_without(void **state)
{
    struct http_header h[ACCOUNT_SIGN_HEADERS];
    char memory[ACCOUNT_SIGN_MEMORY];
    struct sign_request r = {.auth = AUTH_NONE};
    static const char *const providers[] = {"local", "azure-foundry", "bedrock"};
    (void)state;
    for (size_t i = 0; i < COUNT(providers); i++) {
        int n = -1;
        struct account_row row = fake_row(7, "a", 0, 1);
        text_copy(row.provider, sizeof row.provider, slice_of(providers[i]));
        text_copy(row.base_url, sizeof row.base_url, S("https://h.example"));
        row.secret = S("");
        struct account_set *set = fake_set(&row, 1);
        struct account *a = accounts_by_id(set, 7);
        enum account_state want = i == 0 ? ACCOUNT_READY : i == 1 ? ACCOUNT_LOGIN : ACCOUNT_STALE;
        assert_int_equal(account_status(&a->facts, fake.wall).state, want);
        enum err e = account_sign(a, &r, fake.wall, h, &n, memory, sizeof memory);
        assert_int_equal(e, i == 0 ? OK : ERR_STATE);
        assert_int_equal(n, 0);
        accounts_free(set);
    }
}

static void test_account_check(void **state)
{
    static const struct {
        const char *provider, *settings, *base_url, *secret;
        int64_t id;
        enum err e;
    } rows[] = {
        {"azure-foundry", "{}", "https://r.services.ai.azure.com", CANARY, 0, OK},
        {"azure-foundry", "{}", "https://r.services.ai.azure.com", "", 0, ERR_SYNTAX},
        {"azure-foundry", "{}", "https://r.services.ai.azure.com", "", 7, OK},
        {"azure-foundry", "{}", "", CANARY, 0, ERR_SYNTAX},
        {"azure-foundry", "{\"client_id\":\"c\"}", "https://r.azure.com", CANARY, 0, ERR_SYNTAX},
        {"azure-foundry",
         "{\"tenant_id\":\"t\",\"client_id\":\"c\",\"token_url\":\"http://x.com/t\"}",
         "https://r.azure.com", CANARY, 0, ERR_SYNTAX},
        {"azure-foundry",
         "{\"tenant_id\":\"t\",\"client_id\":\"c\",\"token_url\":\"https://10.0.0.1/t\"}",
         "https://r.azure.com", CANARY, 0, ERR_DENIED},
        {"bedrock", "{}", "https://bedrock-runtime.eu-west-1.amazonaws.com", "AK:" CANARY, 0, OK},
        {"bedrock", "{}", "https://vpc.example.com", "AK:" CANARY, 0, ERR_SYNTAX},
        {"bedrock", "{\"region\":\"eu-west-1\"}", "https://vpc.example.com", "", 0, OK},
        {"bedrock", "{\"credential\":\"env\",\"region\":\"eu-west-1\"}", "https://vpc.example.com",
         "AK:" CANARY, 0, ERR_SYNTAX},
        {"vertex-ai", "{}", "https://aiplatform.googleapis.com", CANARY, 0, ERR_SYNTAX},
        {"vertex-ai", "{}", "https://aiplatform.googleapis.com", "", 0, OK},
        {"vertex-ai", "{}", "http://10.0.0.1", "", 0, ERR_DENIED},
    };
    char why[300];
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct account_row row = {
            .id = rows[i].id, .priority = 1, .weight = 1, .secret = slice_of(rows[i].secret)};
        text_copy(row.name, sizeof row.name, S("a"));
        text_copy(row.provider, sizeof row.provider, slice_of(rows[i].provider));
        text_copy(row.settings, sizeof row.settings, slice_of(rows[i].settings));
        text_copy(row.base_url, sizeof row.base_url, slice_of(rows[i].base_url));
        enum err e = account_check(&row, why, sizeof why);
        if (e != rows[i].e || (e == OK) != (why[0] == '\0'))
            fail_msg("row %zu: %s, %s", i, err_name(e), why);
        assert_true(slice_search(slice_of(why), S(CANARY)) < 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),       cmocka_unit_test(test_schemes),
        cmocka_unit_test(test_host),          cmocka_unit_test(test_without),
        cmocka_unit_test(test_account_check),
    };

    struct loop loop = {0};
    crypto_init();
    core_init(&loop.core, wake);
    fake_loop = &loop;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    core_free(&loop.core);
    return failed;
}
