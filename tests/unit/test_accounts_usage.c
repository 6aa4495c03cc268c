/* links: base http codec sim accounts */
/* The usage endpoints of plans: how their answers read, and how they are asked with a key. */
#include "accounts/inside.h"
#include "token_bench.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* 2026-11-21T10:00:00Z */
#define NOW      INT64_C(1795255200000)
#define DAY      (24 * HOUR)

static void test_reads(void **state)
{
    static const struct {
        enum usage_style style;
        const char *body;
        int n;
        double five, seven; /* used, -1 = not known */
        int64_t five_in, seven_in;
        bool closed; /* the short one */
    } rows[] = {
        {USAGE_ZAI,
         "{\"success\":true,\"data\":{\"limits\":[{\"type\":\"TOKENS_LIMIT\",\"percentage\":12,"
         "\"nextResetTime\":1795262400000},{\"type\":\"TIME_LIMIT\",\"percentage\":99}]}}",
         1, 0.12, -1, 2 * HOUR, 0, false},
        {USAGE_ZAI,
         "{\"data\":{\"limits\":[{\"type\":\"TOKENS_LIMIT\",\"percentage\":100,"
         "\"nextResetTime\":1795262400000},{\"type\":\"TOKENS_LIMIT\",\"percentage\":40,"
         "\"nextResetTime\":1795514400000}]}}",
         2, 1, 0.4, 2 * HOUR, 3 * DAY, true},
        {USAGE_ZAI, "{\"data\":{\"limits\":[{\"type\":\"TOKENS_LIMIT\",\"percentage\":100}]}}", 1,
         1, -1, 0, 0, false}, /* without a reset it refuses nobody */
        {USAGE_ZAI, "{\"success\":false,\"msg\":\"no\"}", 0, -1, -1, 0, 0, false},
        {USAGE_ZAI, "{\"data\":{\"limits\":{\"type\":\"TOKENS_LIMIT\"}}}", 0, -1, -1, 0, 0, false},
        {USAGE_ZAI, "{\"data\":{\"limits\":[{\"type\":\"TOKENS_LIMIT\",\"percentage\":-1}]}}", 0,
         -1, -1, 0, 0, false},
        {USAGE_MINIMAX,
         "{\"base_resp\":{\"status_code\":0},\"model_remains\":[{\"model_name\":\"video\","
         "\"current_interval_remaining_percent\":1},{\"model_name\":\"general\","
         "\"current_interval_remaining_percent\":80,\"end_time\":1795262400000,"
         "\"current_weekly_remaining_percent\":25,\"weekly_end_time\":1795514400000}]}",
         2, 0.2, 0.75, 2 * HOUR, 3 * DAY, false},
        {USAGE_MINIMAX,
         "{\"base_resp\":{\"status_code\":1004},\"model_remains\":[{\"model_name\":\"general\","
         "\"current_interval_remaining_percent\":80}]}",
         0, -1, -1, 0, 0, false},
        {USAGE_NANOGPT,
         "{\"active\":true,\"enforceDailyLimit\":true,\"daily\":{\"percentUsed\":1,\"resetAt\":"
         "1795305600000},\"monthly\":{\"percentUsed\":0.5,\"resetAt\":1795910400000}}",
         2, 1, 0.5, 14 * HOUR, 655200000, true},
        {USAGE_NANOGPT,
         "{\"active\":true,\"enforceDailyLimit\":false,\"daily\":{\"percentUsed\":1},"
         "\"monthly\":{\"percentUsed\":0.5}}",
         1, -1, 0.5, 0, 0, false},
        {USAGE_NANOGPT, "{\"active\":false,\"daily\":{\"percentUsed\":1}}", 0, -1, -1, 0, 0, false},
        {USAGE_KIMI,
         "{\"usage\":{\"limit\":\"100\",\"used\":\"30\",\"resetTime\":\"2026-11-24T10:00:00Z\"},"
         "\"limits\":[{\"window\":{\"duration\":300,\"timeUnit\":\"TIME_UNIT_MINUTE\"},"
         "\"detail\":{\"limit\":\"200\",\"remaining\":\"50\",\"resetTime\":"
         "\"2026-11-21T12:00:00Z\"}}]}",
         2, 0.75, 0.3, 2 * HOUR, 3 * DAY, false},
        {USAGE_KIMI, "{\"usage\":{\"limit\":0,\"used\":1},\"limits\":[{}]}", 0, -1, -1, 0, 0,
         false},
        {USAGE_KIMI, "[]", 0, -1, -1, 0, 0, false},
        {USAGE_KIMI, "nonsense", 0, -1, -1, 0, 0, false},
        {USAGE_ANTHROPIC,
         "{\"five_hour\":{\"utilization\":42,\"resets_at\":\"2026-11-21T12:00:00Z\"}}", 1, 0.42, -1,
         2 * HOUR, 0, false},
        {USAGE_NONE, "{\"five_hour\":{\"utilization\":42}}", 0, -1, -1, 0, 0, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct window w[WINDOW_KINDS] = {0};
        int n = usage_windows_read(rows[i].style, slice_of(rows[i].body), NOW, w);
        if (n != rows[i].n || w[WINDOW_5H].known != (rows[i].five >= 0) ||
            w[WINDOW_7D].known != (rows[i].seven >= 0))
            fail_msg("row %zu: %d", i, n);
        if (w[WINDOW_5H].known) {
            assert_float_equal(w[WINDOW_5H].used, rows[i].five, 0.001);
            assert_int_equal(w[WINDOW_5H].resets_at,
                             rows[i].five_in == 0 ? 0 : NOW + rows[i].five_in);
            assert_int_equal(w[WINDOW_5H].closed, rows[i].closed);
        }
        if (w[WINDOW_7D].known) {
            assert_float_equal(w[WINDOW_7D].used, rows[i].seven, 0.001);
            assert_int_equal(w[WINDOW_7D].resets_at,
                             rows[i].seven_in == 0 ? 0 : NOW + rows[i].seven_in);
        }
    }
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void begin(const char *provider, const char *base_url)
{
    bench_disk();
    text_copy(b.account.provider, sizeof b.account.provider, slice_of(provider));
    text_copy(b.account.base_url, sizeof b.account.base_url, slice_of(base_url));
    text_copy(b.account.settings, sizeof b.account.settings, S("{\"pause_at\":90}"));
    b.account.secret = S("the-key");
    (void)sim_host(b.loop, "api", S("api.test"), 80);
    bench_load(false);
    accounts_set_client(b.set, b.client);
}

static void use_for(int64_t ms)
{
    for (int64_t t = 0; t < ms; t += MINUTE) {
        account_hold(b.a);
        account_release(b.set, b.a);
        advance(MINUTE);
    }
}

/* In use all the time, until the endpoint has been asked so often. */
static void polled(int n)
{
    account_hold(b.a);
    (void)until_asked(n);
    account_release(b.set, b.a);
}

static void assert_sent(const char *part)
{
    struct slice all = bytes_slice(&b.peer[b.peers - 1]->rx);
    if (slice_search(all, slice_of(part)) < 0)
        fail_msg("no <%s> in <%.*s>", part, (int)all.n, all.p);
}

/* With a key there is no token whose state could matter. */
static void test_key(void **state)
{
    (void)state;
    begin("nanogpt", "http://api.test/api");
    polled(1);
    assert_sent("GET /api/subscription/v1/usage HTTP/1.1\r\n");
    assert_sent("x-api-key: the-key\r\n");
    reply(200, "", "{\"active\":true,\"monthly\":{\"percentUsed\":0.95}}");
    assert_float_equal(b.a->facts.window[WINDOW_7D].used, 0.95, 0.001);
    assert_int_equal(status().state, ACCOUNT_SPENT); /* pause_at 90 */
    bench_close();
}

/* A refusal bars nobody for good, and says nothing of the account. */
static void test_refused(void **state)
{
    (void)state;
    begin("kimi-coding", "http://api.test");
    polled(1);
    assert_sent("GET /v1/usages HTTP/1.1\r\n");
    assert_sent("authorization: Bearer the-key\r\n");
    reply(403, "", "{}");
    assert_int_equal(status().state, ACCOUNT_READY);
    polled(2);
    bench_close();
}

/* The endpoint is at another address than the account's own one: that may be anybody's, so the key
 * stays away from the vendor's. And who has none is not asked about. */
static void test_not_asked(void **state)
{
    static const char *const providers[] = {"zai", "minimax", "openai", "anthropic"};
    (void)state;
    for (size_t i = 0; i < COUNT(providers); i++) {
        begin(providers[i], "http://api.test");
        use_for(10 * MINUTE);
        assert_int_equal(b.peers, 0);
        bench_close();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_key),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_not_asked),
    };
    crypto_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
