/* links: base http codec sim accounts */
/* Asking how full the windows are: when, of whom, and what an answer may change. */
#include "token_bench.h"

#include "sluice/sluice.h"

#define KEEP                                                                                 \
    "{\"client_id\":\"cid\",\"token_url\":\"http://auth.test/v1/token\",\"quota\":\"team\"," \
    "\"pause_at\":90}"
#define FIVE(used, resets) \
    "{\"five_hour\":{\"utilization\":" used ",\"resets_at\":\"2026-11-21T" resets ":00Z\"}}"

/* One account with a token of `left` ms; the wall clock begins at 12:00. */
static void begin_with(const char *settings, int64_t left)
{
    bench_disk();
    disk_put(1, "at1", "rt1", loop_wall(b.loop) + left);
    b.row.lifetime = 48 * HOUR; /* no refresh gets in the way */
    b.row.refreshed_at = b.row.expires_at - b.row.lifetime;
    text_copy(b.account.base_url, sizeof b.account.base_url, S("http://api.test/pre"));
    text_copy(b.account.settings, sizeof b.account.settings, slice_of(settings));
    (void)sim_host(b.loop, "api", S("api.test"), 80);
    bench_load(false);
    accounts_set_client(b.set, b.client);
}

static void begin(void)
{
    begin_with(KEEP, 48 * HOUR);
}

static void use(void)
{
    account_hold(b.a);
    account_release(b.set, b.a);
}

/* Lets time pass in which the account is used every minute; how often was the endpoint asked? */
static int asked_within(int64_t ms, bool used)
{
    int before = b.peers;
    for (int64_t t = 0; t < ms; t += MINUTE) {
        if (used)
            use();
        advance(MINUTE);
    }
    return b.peers - before;
}

/* Used all the time; how long until the endpoint is asked the n-th time? */
static int64_t until_polled(int n)
{
    int64_t begun = wall();
    while (b.peers < n && wall() < begun + 4 * HOUR) {
        use();
        advance(SEC);
    }
    assert_int_equal(b.peers, n);
    return wall() - begun;
}

static const struct window *five(void)
{
    return &b.a->facts.window[WINDOW_5H];
}

static void assert_sent(const char *part)
{
    struct slice all = bytes_slice(&b.peer[b.peers - 1]->rx);
    if (slice_search(all, slice_of(part)) < 0)
        fail_msg("no <%s> in <%.*s>", part, (int)all.n, all.p);
}

/* ---- the question ---------------------------------------------------------------------------- */

static void test_asks(void **state)
{
    (void)state;
    begin();
    int64_t first = until_polled(1);
    assert_true(first >= MINUTE && first <= 3 * MINUTE);
    assert_sent("GET /pre/api/oauth/usage HTTP/1.1\r\n");
    assert_sent("host: api.test\r\n");
    assert_sent("authorization: Bearer at1\r\n");
    assert_sent("anthropic-beta: oauth-2025-04-20\r\n");
    assert_sent("user-agent: sluice/" SLUICE_VERSION "\r\n");
    reply(200, "", FIVE("42", "15:00"));
    assert_true(five()->used > 0.41 && five()->used < 0.43);
    assert_int_equal(five()->resets_at, SIM_EPOCH_MS + 3 * HOUR);
    assert_int_equal(status().state, ACCOUNT_READY);
    int64_t next = until_polled(2);
    assert_true(next >= 5 * MINUTE && next <= 6 * MINUTE + 21 * SEC);
    bench_close();
}

/* Use that nobody told us of reaches the line a person has drawn; a new window ends it. */
static void test_pause_at(void **state)
{
    (void)state;
    begin();
    until_polled(1);
    reply(200, "", FIVE("93", "15:00"));
    assert_int_equal(status().state, ACCOUNT_SPENT);
    assert_string_equal(status().reason, "pause_at");
    int64_t begun = wall();
    (void)until_asked(2); /* also unused: that is why it is unused */
    assert_true(wall() - begun <= 6 * MINUTE + 21 * SEC);
    reply(200, "", FIVE("3", "17:00"));
    assert_int_equal(status().state, ACCOUNT_READY);
    bench_close();
}

static void window_close(void)
{
    struct http_header h[] = {
        {S("anthropic-ratelimit-unified-5h-status"), S("rejected")},
        {S("anthropic-ratelimit-unified-5h-reset"), S("1795276800")}, /* 16:00 */
    };
    struct http_head head = {.status = 429, .header = h, .headers = 2, .content_length = -1};
    struct reply_facts r = {.status = 429, .head = &head, .model = "claude-opus-5"};
    struct limit_verdict v = limits_judge(b.a->provider, &r, wall());
    accounts_learn(b.set, b.a, &v, &r, wall());
}

/* A window that a reply has closed may be opened again before its reset. */
static void test_opens_early(void **state)
{
    (void)state;
    begin_with(SETTINGS, 48 * HOUR);
    window_close();
    assert_int_equal(status().state, ACCOUNT_SPENT);
    int64_t after = until_asked(1);   /* the only account, unused: but somebody waits for it */
    assert_true(after >= 5 * MINUTE); /* that reply is news for so long */
    reply(200, "", FIVE("100", "16:00"));
    assert_int_equal(status().state, ACCOUNT_SPENT); /* the endpoint agrees */
    (void)until_asked(2);
    reply(200, "", FIVE("12", "16:00"));
    assert_int_equal(status().state, ACCOUNT_READY);
    assert_int_equal(asked_within(HOUR, true), 0); /* nothing depends on it any more */
    bench_close();
}

static void learn_limited(const char *name, const char *value, const char *model)
{
    struct http_header h[] = {{slice_of(name), slice_of(value)},
                              {S("anthropic-ratelimit-unified-7d_oi-reset"), S("1795608000")}};
    struct http_head head = {.status = 429, .header = h, .headers = 2, .content_length = -1};
    struct reply_facts r = {.status = 429, .head = &head, .model = model};
    struct limit_verdict v = limits_judge(b.a->provider, &r, wall());
    accounts_learn(b.set, b.a, &v, &r, wall());
}

#define WEEK ",\"resets_at\":\"2026-11-25T12:00:00Z\""
#define SCOPED(percent, name)                               \
    "{\"kind\":\"weekly_scoped\",\"percent\":" percent WEEK \
    ",\"scope\":{\"model\":{\"display_name\":\"" name "\"}}}"
#define ALL(five, opus, fable)                             \
    "{\"limits\":[{\"kind\":\"session\",\"percent\":" five \
    ",\"resets_at\":\"2026-11-21T16:00:00Z\"},"            \
    "{\"kind\":\"weekly_all\",\"percent\":30" WEEK         \
    "}," SCOPED(opus, "Opus") "," SCOPED(fable, "Fable") "]}"

/* A bench of hours that was told as a time only. */
static void test_rest_ends(void **state)
{
    (void)state;
    begin_with(SETTINGS, 48 * HOUR);
    learn_limited("retry-after", "36000", "claude-opus-5");
    assert_int_equal(status().state, ACCOUNT_COOLING);
    (void)until_asked(1);
    reply(200, "", ALL("100", "10", "10")); /* it is true */
    assert_int_equal(status().until, SIM_EPOCH_MS + 10 * HOUR);
    (void)until_asked(2);
    reply(200, "", FIVE("3", "17:00")); /* half an answer */
    assert_int_equal(status().state, ACCOUNT_COOLING);
    (void)until_asked(3);
    reply(200, "", ALL("12", "10", "10"));
    assert_int_equal(status().state, ACCOUNT_READY);
    assert_string_equal(b.reason, "");
    learn_limited("retry-after", "36000", "claude-opus-5");
    (void)until_asked(4);
    learn_limited("retry-after", "40000", "claude-opus-5"); /* newer than the answer, nearly */
    reply(200, "", ALL("12", "10", "10"));
    assert_int_equal(status().state, ACCOUNT_COOLING);
    accounts_reset(b.set, b.a);
    learn_limited("retry-after", "200", "claude-opus-5"); /* a short one ends by itself */
    assert_int_equal(asked_within(3 * MINUTE, false), 0);
    bench_close();
}

/* A family's week, while another family's is tighter. */
static void test_family_opens(void **state)
{
    (void)state;
    begin_with(SETTINGS, 48 * HOUR);
    learn_limited("anthropic-ratelimit-unified-7d_oi-status", "rejected", "claude-fable-5");
    assert_int_equal(status().state, ACCOUNT_READY);
    assert_int_equal(account_status_for(&b.a->facts, "fable", wall()).state, ACCOUNT_SPENT);
    (void)until_asked(1);
    reply(200, "", ALL("12", "60", "100"));
    assert_int_equal(account_status_for(&b.a->facts, "fable", wall()).state, ACCOUNT_SPENT);
    (void)until_asked(2);
    reply(200, "", ALL("12", "60", "20"));
    assert_int_equal(account_status_for(&b.a->facts, "fable", wall()).state, ACCOUNT_READY);
    assert_int_equal(account_status_for(&b.a->facts, "opus", wall()).state, ACCOUNT_READY);
    assert_int_equal(asked_within(HOUR, true), 0);
    bench_close();
}

/* ---- of whom --------------------------------------------------------------------------------- */

static bool other_paused;

static void add_other(const char *settings)
{
    struct account_row row = {.id = 8, .version = 1, .weight = 1, .secret = S("sk-ant-api03-x")};
    text_copy(row.name, sizeof row.name, S("other"));
    text_copy(row.provider, sizeof row.provider, S("anthropic"));
    text_copy(row.settings, sizeof row.settings, slice_of(settings));
    row.paused = other_paused;
    accounts_apply(b.set, &row);
}

static void test_matters(void **state)
{
    (void)state;
    begin_with(SETTINGS, 48 * HOUR);
    assert_int_equal(asked_within(HOUR, true), 0); /* there is no choice */
    add_other("{\"groups\":[\"apart\"]}");
    assert_int_equal(asked_within(HOUR, true), 0);
    other_paused = true;
    add_other("{\"groups\":[\"apart\",\"default\"]}");
    assert_int_equal(asked_within(HOUR, true), 0);
    other_paused = false;
    add_other("{\"groups\":[\"apart\",\"default\"]}");
    until_polled(1);
    bench_close();
    begin_with("{\"client_id\":\"cid\",\"groups\":[\"x\",\"y\"]}", 48 * HOUR);
    add_other("{\"groups\":[\"y\"]}");
    until_polled(1);
    bench_close();
}

static void test_used(void **state)
{
    (void)state;
    begin();
    assert_int_equal(asked_within(HOUR, false), 0);
    use();
    until_polled(1);
    reply(500, "", "");
    use();
    assert_int_equal(asked_within(14 * MINUTE, false), 1);
    reply(500, "", "");
    assert_int_equal(asked_within(2 * HOUR, false), 0); /* nobody cares any more */
    bench_close();
}

/* What replies tell need not be asked. */
static void test_fresh(void **state)
{
    struct http_header h[] = {{S("anthropic-ratelimit-unified-5h-utilization"), S("0.5")}};
    struct http_head head = {.status = 200, .header = h, .headers = 1, .content_length = -1};
    struct reply_facts r = {.status = 200, .head = &head};
    struct limit_verdict v = {.verdict = VERDICT_SERVE, .reason = "served"};
    (void)state;
    begin();
    for (int i = 0; i < 30; i++) {
        use();
        accounts_learn(b.set, b.a, &v, &r, wall());
        advance(4 * MINUTE);
    }
    assert_int_equal(b.peers, 0);
    until_polled(1);
    bench_close();
}

static void test_not_these(void **state)
{
    (void)state;
    begin();
    b.a->facts.paused = true;
    assert_int_equal(asked_within(HOUR, true), 0);
    b.a->facts.paused = false;
    b.a->facts.login_needed = true;
    assert_int_equal(asked_within(HOUR, true), 0);
    b.a->facts.login_needed = false;
    b.a->facts.token_refused = true;
    assert_int_equal(asked_within(HOUR, true), 0);
    b.a->facts.token_refused = false;
    b.a->facts.cool_until = wall() + HOUR; /* for failures: its server has other worries */
    assert_int_equal(asked_within(50 * MINUTE, true), 0);
    b.a->facts.cool_until = 0;
    until_polled(1);
    bench_close();
    begin(); /* spent, and its token runs out meanwhile: nobody refreshes it for this */
    window_close();
    b.a->facts.token_expires_at = b.a->facts.token_stale_at = wall() + MINUTE;
    b.a->facts.token_refreshable = false;
    assert_int_equal(asked_within(3 * HOUR, false), 0);
    bench_close();
    begin(); /* spent, and refused since */
    window_close();
    b.a->facts.token_refused = true;
    assert_int_equal(asked_within(3 * HOUR, false), 0);
    bench_close();
}

/* ---- when it does not answer ----------------------------------------------------------------- */

static void test_limited(void **state)
{
    (void)state;
    begin();
    until_polled(1);
    reply(429, "retry-after: 1500\r\n", "");
    assert_int_equal(status().state, ACCOUNT_READY); /* its own limit, not the account's */
    int64_t wait = until_polled(2);
    assert_true(wait >= 25 * MINUTE && wait <= 27 * MINUTE);
    reply(429, "retry-after: 0\r\n", "");
    wait = until_polled(3);
    assert_true(wait >= 10 * MINUTE && wait <= 12 * MINUTE);
    reply(429, "retry-after: 999999\r\n", "");
    wait = until_polled(4);
    assert_true(wait >= HOUR && wait <= 62 * MINUTE);
    assert_int_equal(b.a->facts.failures, 0);
    bench_close();
}

static void test_forbidden(void **state)
{
    (void)state;
    begin();
    until_polled(1);
    reply(403, "", "{\"error\":{\"message\":\"scope requirement user:profile\"}}");
    assert_int_equal(status().state, ACCOUNT_READY);
    assert_int_equal(asked_within(5 * HOUR, true), 0);
    disk_put(2, "at2", "rt2", wall() + 48 * HOUR);
    b.row.lifetime = 48 * HOUR;
    b.row.access = slice_of(b.access);
    b.row.refresh = slice_of(b.refresh);
    accounts_token_put(b.set, &b.row);
    until_polled(2); /* a new login may have the scope */
    assert_sent("authorization: Bearer at2\r\n");
    bench_close();
}

static void test_failures(void **state)
{
    static const int64_t minutes[] = {5, 10, 20, 40, 60, 60};
    static char long_body[70000];
    (void)state;
    begin();
    memset(long_body, ' ', sizeof long_body - 1);
    memcpy(long_body, FIVE("99", "15:00"), sizeof FIVE("99", "15:00") - 1);
    until_polled(1);
    for (int i = 0; i < 6; i++) {
        switch (i) {
        case 0:
            reply(500, "", "oops");
            break;
        case 1:
            sim_end(b.peer[b.peers - 1], SIM_RST);
            settle();
            break;
        case 2:
            reply(200, "", long_body); /* more than anybody should send */
            break;
        case 3:
            reply(302, "location: http://evil.test/\r\n", "");
            break;
        case 4:
            reply(401, "", "{}");
            break;
        default:
            break; /* no answer at all: given up after 15 s */
        }
        assert_int_equal(status().state, ACCOUNT_READY);
        assert_false(five()->known);
        int64_t wait = until_polled(b.peers + 1);
        assert_true(wait >= minutes[i] * MINUTE && wait <= (minutes[i] + 1) * MINUTE + 36 * SEC);
    }
    reply(200, "", "{\"five_hour\":null,\"x\":[1,{\"y\":2}]}"); /* nothing, but an answer */
    assert_true(until_polled(b.peers + 1) <= 6 * MINUTE + 21 * SEC);
    assert_int_equal(b.a->facts.failures, 0);
    assert_int_equal(b.a->failed, 0);
    bench_close();
}

static void test_garbage(void **state)
{
    static const char *const bodies[] = {"",
                                         "[]",
                                         "null",
                                         "{\"five_hour\":{\"utilization\":-3}}",
                                         "{\"five_hour\":{\"utilization\":\"42\"}}",
                                         "{\"limits\":7}",
                                         "<html>"};
    (void)state;
    begin();
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        until_polled((int)i + 1);
        reply(200, "", bodies[i]);
        assert_int_equal(status().state, ACCOUNT_READY);
        assert_false(five()->known);
    }
    bench_close();
}

/* ---- what happens meanwhile ------------------------------------------------------------------ */

static void test_meanwhile(void **state)
{
    (void)state;
    begin(); /* the client goes while a question is out */
    until_polled(1);
    accounts_set_client(b.set, NULL);
    accounts_set_client(b.set, NULL);
    assert_int_equal(asked_within(HOUR, true), 0);
    accounts_set_client(b.set, b.client);
    until_polled(2);
    bench_close();
    begin(); /* the account goes */
    until_polled(1);
    accounts_drop(b.set, 7);
    b.a = NULL;
    reply(200, "", FIVE("93", "15:00"));
    assert_int_equal(accounts_count(b.set), 0);
    advance(HOUR);
    bench_close();
    begin(); /* another login: perhaps another person's account */
    until_polled(1);
    disk_put(2, "at2", "rt2", wall() + 48 * HOUR);
    b.row.access = slice_of(b.access);
    b.row.refresh = slice_of(b.refresh);
    accounts_token_put(b.set, &b.row);
    reply(200, "", FIVE("93", "15:00"));
    assert_false(five()->known);
    bench_close();
}

/* What one is told holds for those that spend the same; and then they need not ask. */
static void test_quota(void **state)
{
    (void)state;
    begin();
    struct account_row row = {.id = 8, .version = 1, .weight = 1, .secret = S("sk-ant-api03-x")};
    text_copy(row.name, sizeof row.name, S("other"));
    text_copy(row.provider, sizeof row.provider, S("anthropic"));
    text_copy(row.base_url, sizeof row.base_url, S("http://api.test"));
    text_copy(row.settings, sizeof row.settings, S("{\"quota\":\"team\"}"));
    accounts_apply(b.set, &row);
    struct account *other = accounts_by_id(b.set, 8);
    until_polled(1);
    text_copy(other->facts.cool_reason, sizeof other->facts.cool_reason, S("connect"));
    other->facts.cool_until = wall() + HOUR;
    other->facts.seen_at = wall() - HOUR;
    reply(200, "", ALL("20", "10", "10"));
    assert_string_equal(account_status(&other->facts, wall()).reason, "connect"); /* its own */
    other->facts.cool_until = 0;
    until_polled(2);
    reply(200, "", FIVE("100", "16:00"));
    assert_int_equal(account_status(&other->facts, wall()).state, ACCOUNT_SPENT);
    bench_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_asks),         cmocka_unit_test(test_pause_at),
        cmocka_unit_test(test_opens_early),  cmocka_unit_test(test_rest_ends),
        cmocka_unit_test(test_family_opens), cmocka_unit_test(test_matters),
        cmocka_unit_test(test_used),         cmocka_unit_test(test_fresh),
        cmocka_unit_test(test_not_these),    cmocka_unit_test(test_limited),
        cmocka_unit_test(test_forbidden),    cmocka_unit_test(test_failures),
        cmocka_unit_test(test_garbage),      cmocka_unit_test(test_meanwhile),
        cmocka_unit_test(test_quota),
    };
    crypto_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
