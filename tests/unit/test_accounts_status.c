/* links: base netcore http codec accounts */
/* Status: what a person's policy does to it, and which of many troubles is told. */
#include "accounts/inside.h"
#include "accounts_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NOW      INT64_C(1795255200000) /* a Saturday, 10:00:00 */
#define SEC      INT64_C(1000)
#define MIN      (60 * SEC)
#define HOUR     (60 * MIN)

static struct window win(double used, int64_t resets_in, bool closed)
{
    return (struct window){.known = true,
                           .closed = closed,
                           .used = used,
                           .started_at = NOW - HOUR,
                           .resets_at = resets_in == 0 ? 0 : NOW + resets_in,
                           .seen_at = NOW - MIN};
}

static void expect(const struct account_facts *f, int64_t now, enum account_state state, int64_t in,
                   const char *reason, int line)
{
    struct account_status s = account_status(f, now);
    if (s.state != state || s.until != (in == 0 ? 0 : now + in) || strcmp(s.reason, reason) != 0)
        fail_msg("line %d: %s for %lld ms, \"%s\"", line, account_state_name(s.state),
                 (long long)(s.until == 0 ? 0 : s.until - now), s.reason);
}
#define EXPECT(f, state, in, reason) expect(f, NOW, state, in, reason, __LINE__)

static void test_full(void **state)
{
    struct account_facts f = {.in_flight = 2};
    (void)state;
    EXPECT(&f, ACCOUNT_READY, 0, "");
    f.policy.concurrency = 3;
    EXPECT(&f, ACCOUNT_READY, 0, "");
    f.in_flight = 3;
    EXPECT(&f, ACCOUNT_FULL, 0, "concurrency");
    f.in_flight = 4; /* the limit was lowered meanwhile */
    EXPECT(&f, ACCOUNT_FULL, 0, "concurrency");
    assert_string_equal(account_state_name(ACCOUNT_FULL), "full");
}

static void test_pause_at(void **state)
{
    static const struct {
        double five, seven;
        int64_t five_in, seven_in;
        int at;
        enum account_state state;
        int64_t in;
    } rows[] = {
        {0.79, 0.10, HOUR, 9 * HOUR, 80, ACCOUNT_READY, 0},
        {0.80, 0.10, HOUR, 9 * HOUR, 80, ACCOUNT_SPENT, HOUR},
        {0.99, 0.99, HOUR, 9 * HOUR, 0, ACCOUNT_READY, 0},
        {0.10, 0.85, HOUR, 9 * HOUR, 80, ACCOUNT_SPENT, 9 * HOUR},
        {0.90, 0.85, HOUR, 9 * HOUR, 80, ACCOUNT_SPENT, 9 * HOUR}, /* until both are over */
        {0.90, 0.85, 3 * HOUR, 2 * HOUR, 80, ACCOUNT_SPENT, 3 * HOUR},
        {0.29, -1, HOUR, HOUR, 29, ACCOUNT_SPENT, HOUR}, /* whole per cents, as floats have them */
        {-1, -1, HOUR, 9 * HOUR, 80, ACCOUNT_READY, 0},  /* not told */
        {1.20, -1, HOUR, 9 * HOUR, 100, ACCOUNT_SPENT, HOUR},
        {0.95, -1, -HOUR, 9 * HOUR, 80, ACCOUNT_READY, 0},      /* its reset has passed */
        {0.95, -1, 0, 0, 80, ACCOUNT_SPENT, 9 * MIN},           /* no reset told: for ten minutes */
        {0.95, -1, 90 * HOUR, 0, 80, ACCOUNT_SPENT, 299 * MIN}, /* no such window is so long */
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct account_facts f = {.policy.pause_at = rows[i].at};
        f.window[WINDOW_5H] = win(rows[i].five, rows[i].five_in, false);
        f.window[WINDOW_7D] = win(rows[i].seven, rows[i].seven_in, false);
        const char *why = rows[i].state == ACCOUNT_SPENT ? "pause_at" : "";
        expect(&f, NOW, rows[i].state, rows[i].in, why, (int)i);
    }
    /* nobody has told anything for long, and nothing is known at all */
    struct account_facts f = {.policy.pause_at = 50};
    EXPECT(&f, ACCOUNT_READY, 0, "");
    f.window[WINDOW_5H] = win(0.9, 0, false);
    expect(&f, NOW + 9 * MIN, ACCOUNT_READY, 0, "", __LINE__);
    /* only these two windows: a bucket that is nearly empty fills up by itself */
    f.window[WINDOW_5H] = (struct window){0};
    f.window[WINDOW_TOKENS] = f.window[WINDOW_7D_MODEL] = win(0.99, HOUR, false);
    EXPECT(&f, ACCOUNT_READY, 0, "");
}

static void test_pause_on_overage(void **state)
{
    struct account_facts f = {.policy.pause_on_overage = true};
    (void)state;
    f.window[WINDOW_5H] = win(0.99, HOUR, false);
    f.window[WINDOW_7D] = win(0.50, 50 * HOUR, false);
    f.window[WINDOW_OVERAGE] = win(0.10, 0, false); /* there is some, none is used */
    EXPECT(&f, ACCOUNT_READY, 0, "");
    f.window[WINDOW_5H].used = 1.0; /* full, and nobody is refused: it is paid for */
    EXPECT(&f, ACCOUNT_SPENT, HOUR, "overage");
    expect(&f, NOW + HOUR, ACCOUNT_READY, 0, "", __LINE__);
    f.window[WINDOW_7D].used = 1.01;
    EXPECT(&f, ACCOUNT_SPENT, 50 * HOUR, "overage");
    f.window[WINDOW_OVERAGE].closed = true; /* off: then a full window would be closed */
    EXPECT(&f, ACCOUNT_READY, 0, "");
    f.window[WINDOW_OVERAGE] = (struct window){0};
    EXPECT(&f, ACCOUNT_READY, 0, "");
    f.window[WINDOW_OVERAGE] = win(-1, 0, false);
    f.window[WINDOW_7D] = (struct window){0};
    f.window[WINDOW_5H].closed = true; /* refused: no matter of policy */
    EXPECT(&f, ACCOUNT_SPENT, HOUR, "session_limit");
    f.window[WINDOW_5H].closed = false;
    f.policy.pause_on_overage = false;
    EXPECT(&f, ACCOUNT_READY, 0, "");
}

static void test_peak(void **state)
{
    struct account_facts f = {.in_flight = 0};
    (void)state;
    assert_int_equal(peak_hours_read(S("Sat 09:30-11:00"), &f.policy.peak), OK);
    EXPECT(&f, ACCOUNT_COOLING, HOUR, "peak_hours");
    expect(&f, NOW + HOUR, ACCOUNT_READY, 0, "", __LINE__);
    expect(&f, NOW - HOUR, ACCOUNT_READY, 0, "", __LINE__);
}

static void test_probing(void **state)
{
    struct account_facts f = {.failures = 5, .in_flight = 1};
    (void)state;
    f.probe_at = NOW;
    EXPECT(&f, ACCOUNT_COOLING, SEC, "probing");
    f.probe_at = NOW - ACCOUNT_PROBE_MS; /* too long ago: whatever became of it */
    EXPECT(&f, ACCOUNT_READY, 0, "");
    f.probe_at = NOW;
    f.cool_until = NOW + MIN; /* and it is told already that it failed */
    text_copy(f.cool_reason, sizeof f.cool_reason, S("connect"));
    EXPECT(&f, ACCOUNT_COOLING, MIN, "connect");
}

/* Everything is wrong at once, and is mended in the order in which it counts. */
static void test_precedence(void **state)
{
    struct account_facts f = {.leaving = true, .paused = true, .login_needed = true};
    (void)state;
    f.token = TOKEN_MISSING;
    f.window[WINDOW_7D] = win(1, 70 * HOUR, true);
    f.window[WINDOW_5H] = win(1, 4 * HOUR, true);
    f.cool_until = NOW + 2 * HOUR;
    text_copy(f.cool_reason, sizeof f.cool_reason, S("unauthorized"));
    f.policy.pause_at = 50;
    assert_int_equal(peak_hours_read(S("09:30-11:00"), &f.policy.peak), OK);
    f.probe_at = NOW;
    f.policy.concurrency = f.in_flight = 1;
    f.window[WINDOW_7D_MODEL] = win(1, 80 * HOUR, true);
    text_copy(f.window[WINDOW_7D_MODEL].family, WINDOW_FAMILY_MAX, S("opus"));
    EXPECT(&f, ACCOUNT_LEAVING, 0, "removed");
    f.leaving = false;
    EXPECT(&f, ACCOUNT_PAUSED, 0, "paused");
    f.paused = false;
    EXPECT(&f, ACCOUNT_LOGIN, 0, "unauthorized");
    assert_int_equal(account_status_for(&f, "opus", NOW).state, ACCOUNT_LOGIN);
    f.login_needed = false;
    EXPECT(&f, ACCOUNT_LOGIN, 0, "no_token");
    f.token = TOKEN_HELD;
    text_copy(f.cool_reason, sizeof f.cool_reason, S("rate_limited"));
    /* among those that time ends, the last one */
    EXPECT(&f, ACCOUNT_SPENT, 70 * HOUR, "weekly_limit");
    struct account_status s = account_status_for(&f, "opus", NOW);
    assert_int_equal(s.until, NOW + 80 * HOUR);
    assert_string_equal(s.reason, "model_limit");
    f.window[WINDOW_7D] = win(0.6, 3 * HOUR, false);
    EXPECT(&f, ACCOUNT_SPENT, 4 * HOUR, "session_limit");
    f.window[WINDOW_5H] = win(0.1, 4 * HOUR, false);
    EXPECT(&f, ACCOUNT_SPENT, 3 * HOUR, "pause_at");
    f.policy.pause_at = 0;
    EXPECT(&f, ACCOUNT_COOLING, 2 * HOUR, "rate_limited");
    f.cool_until = 0;
    EXPECT(&f, ACCOUNT_COOLING, HOUR, "peak_hours");
    f.policy.peak.set = false;
    EXPECT(&f, ACCOUNT_COOLING, SEC, "probing");
    f.probe_at = 0;
    EXPECT(&f, ACCOUNT_FULL, 0, "concurrency");
    /* not soon, for that family */
    assert_int_equal(account_status_for(&f, "opus", NOW).state, ACCOUNT_SPENT);
    assert_int_equal(account_status_for(&f, "sonnet", NOW).state, ACCOUNT_FULL);
    assert_int_equal(account_status_for(&f, "", NOW).state, ACCOUNT_FULL);
    f.token_refreshable = true;
    f.token_stale_at = NOW - 1;
    EXPECT(&f, ACCOUNT_FULL, 0, "concurrency");
    f.in_flight = 0;
    EXPECT(&f, ACCOUNT_STALE, 0, "");
    f.token_stale_at = 0;
    EXPECT(&f, ACCOUNT_READY, 0, "");
}

/* Who may be tried although it rests: only failures that we have counted ourselves stand against
 * it. */
static void test_rescue(void **state)
{
    static const struct {
        const char *reason;
        int64_t in;
        bool may;
    } rows[] = {
        {"connect", MIN, true},           {"server_error", SEC, true},
        {"timeout", MIN, true},           {"overloaded", 9 * SEC, true},
        {"overloaded", MIN, false},       {"rate_limited", SEC, false},
        {"spend_limit", HOUR, false},     {"unauthorized", MIN, false},
        {"account_disabled", MIN, false}, {"connect", 0, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct account_facts f = {.cool_until = NOW + rows[i].in};
        text_copy(f.cool_reason, sizeof f.cool_reason, slice_of(rows[i].reason));
        if (account_may_rescue(&f, "opus", NOW) != rows[i].may)
            fail_msg("%s", rows[i].reason);
        struct account_facts g = f;
        g.in_flight = 1; /* somebody is at it */
        g.seen_at = NOW - SEC + 1;
        assert_false(account_may_rescue(&g, "", NOW));
        bool own = rows[i].may && is_own_rest(rows[i].reason);
        g.seen_at = NOW - SEC; /* or a stream of old, which finds nothing out */
        assert_int_equal(account_may_rescue(&g, "", NOW), own);
        g.probe_at = NOW - 4 * SEC;
        assert_false(account_may_rescue(&g, "", NOW));
        g.probe_at = NOW - ACCOUNT_PROBE_MS;
        assert_int_equal(account_may_rescue(&g, "", NOW), own);
        g = f; /* the rest is over, and its probe is slow */
        g.cool_until = NOW - 10 * SEC;
        g.in_flight = 1;
        assert_false(account_may_rescue(&g, "", NOW));
        g.probe_at = NOW - 5 * SEC + 1;
        assert_false(account_may_rescue(&g, "", NOW));
        g.probe_at = NOW - 5 * SEC;
        assert_int_equal(account_may_rescue(&g, "", NOW),
                         is_own_rest(rows[i].reason) || strcmp(rows[i].reason, "overloaded") == 0);
        g = f;
        g.paused = true;
        assert_false(account_may_rescue(&g, "", NOW));
        g = f;
        g.window[WINDOW_5H] = win(1, HOUR, true);
        assert_false(account_may_rescue(&g, "", NOW));
        g = f;
        g.family[0] = (struct family_rest){"opus", NOW - 1, NOW + MIN, "model_limit"};
        assert_false(account_may_rescue(&g, "opus", NOW));
        assert_int_equal(account_may_rescue(&g, "sonnet", NOW), rows[i].may);
        g = f;
        g.token = TOKEN_HELD;
        g.token_refreshable = g.token_refused = true;
        g.token_retry_at = NOW + SEC; /* without a token nothing can be tried */
        assert_false(account_may_rescue(&g, "", NOW));
        g.token_retry_at = 0;
        assert_int_equal(account_may_rescue(&g, "", NOW), rows[i].may);
    }
}

/* Whatever the facts: a rest ends, its end is in the future, and what serves has none. */
static void test_property(void **state)
{
    uint64_t x = 88172645463325252u;
    int seen[ACCOUNT_LEAVING + 1] = {0};
    (void)state;
    for (int i = 0; i < 200000; i++) {
        struct account_facts f = {.in_flight = 0};
        uint64_t r[8];
        for (int k = 0; k < 8; k++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            r[k] = x;
        }
        f.leaving = r[0] % 16 == 0;
        f.paused = r[0] / 16 % 16 == 0;
        f.login_needed = r[0] / 256 % 16 == 0;
        f.cool_until = r[1] % 4 == 0 ? NOW + (int64_t)(r[1] / 4 % 1000000000) - 500000000 : 0;
        f.probe_at = r[2] % 4 == 0 ? NOW + (int64_t)(r[2] / 4 % 100000) - 50000 : 0;
        f.policy.pause_at = (int32_t)(r[3] % 3) * 40;
        f.policy.pause_on_overage = r[3] / 8 % 2 == 0;
        f.policy.concurrency = (int32_t)(r[3] / 64 % 3);
        f.in_flight = (int32_t)(r[3] / 512 % 3);
        for (int k = 0; k < 4; k++) {
            f.window[k] = win((double)(r[4 + k] % 120) / 100, 0, r[4 + k] / 1000 % 3 == 0);
            f.window[k].known = r[4 + k] / 4000 % 2 == 0;
            f.window[k].resets_at = (int64_t)(r[4 + k] / 8000 % 3) *
                                    (NOW / 2 + (int64_t)(r[4 + k] >> 40) * 20 - 100000000);
            text_copy(f.window[k].family, WINDOW_FAMILY_MAX, k == 2 ? S("opus") : S(""));
        }
        struct account_status s = account_status_for(&f, r[2] % 2 == 0 ? "opus" : "", NOW);
        bool rests = s.state == ACCOUNT_COOLING || s.state == ACCOUNT_SPENT;
        assert_int_equal(rests, s.until != 0);
        assert_true(!rests || (s.until > NOW && s.until - NOW <= ACCOUNT_BENCH_MAX));
        assert_true((s.state <= ACCOUNT_STALE) == (s.reason[0] == '\0') || f.cool_until > NOW);
        assert_true(s.state != ACCOUNT_FULL || f.in_flight >= f.policy.concurrency);
        if (account_may_rescue(&f, "", NOW))
            assert_int_equal(account_status(&f, NOW).state, ACCOUNT_COOLING);
        seen[s.state]++;
    }
    for (int k = 0; k <= ACCOUNT_LEAVING; k++) /* it has looked at something */
        assert_true(k == ACCOUNT_STALE || seen[k] > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full),    cmocka_unit_test(test_pause_at),
        cmocka_unit_test(test_peak),    cmocka_unit_test(test_pause_on_overage),
        cmocka_unit_test(test_probing), cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_rescue),  cmocka_unit_test(test_property),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
