/* links: base http codec accounts */
/* Prices, worked out by hand from wire/pricing.md. */
#include "accounts/accounts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a)      (sizeof(a) / sizeof((a)[0]))
#define NANO_PER_CENT INT64_C(10000000)

static int64_t price(const char *model, const struct usage *u, bool batch)
{
    const char *date = NULL;
    int64_t n = price_nano_usd(model, u, batch, &date);
    assert_non_null(date);
    assert_int_equal(strlen(date), 10);
    return n;
}

/* A million of each kind: the sum of the row's columns, in cents. */
static void test_rows(void **state)
{
    static const struct {
        const char *model;
        int64_t cents;
    } rows[] = {
        {"claude-fable-5-2", 1000 + 1250 + 2000 + 25 + 5000},
        {"claude-mythos-5-1", 1000 + 1250 + 2000 + 25 + 5000},
        {"claude-fable-5", 1000 + 1250 + 2000 + 100 + 5000},
        {"claude-opus-5-5", 400 + 500 + 800 + 20 + 2000},
        {"claude-opus-5", 500 + 625 + 1000 + 50 + 2500},
        {"claude-opus-4-8", 500 + 625 + 1000 + 50 + 2500},
        {"claude-opus-4-5-20251101", 500 + 625 + 1000 + 50 + 2500},
        {"claude-opus-4-1-20250805", 1500 + 1875 + 3000 + 150 + 7500},
        {"claude-opus-4-20250514", 1500 + 1875 + 3000 + 150 + 7500},
        {"claude-sonnet-5-5", 200 + 250 + 400 + 10 + 1000},
        {"claude-sonnet-5", 200 + 250 + 400 + 20 + 1000},
        {"claude-sonnet-4-5-20250929", 300 + 375 + 600 + 30 + 1500},
        {"claude-sonnet-4-0", 300 + 375 + 600 + 30 + 1500},
        {"claude-haiku-5-5", 50 + 62 + 100 + 5 + 250}, /* 4 M tokens of prompt: the upper tier */
        {"claude-haiku-4-5-20251001", 100 + 125 + 200 + 10 + 500},
        {"claude-3-5-haiku-latest", 80 + 100 + 160 + 8 + 400},
        {"claude-opus-4-8[1m]", 500 + 625 + 1000 + 50 + 2500},
        {"claude-sonnet-4-5-20250929[1m]", 300 + 375 + 600 + 30 + 1500},
        {"anthropic/claude-opus-5-5", 400 + 500 + 800 + 20 + 2000},
        {"anthropic/claude-sonnet-5.5", 200 + 250 + 400 + 10 + 1000},
        {"claude-haiku-4-5@20251001", 100 + 125 + 200 + 10 + 500},
        {"anthropic/claude-opus-5.5:beta", 400 + 500 + 800 + 20 + 2000},
        {"global.anthropic.claude-sonnet-4-5-20250929-v1:0", 300 + 375 + 600 + 30 + 1500},
        {"anthropic.claude-opus-4-6-v1", 500 + 625 + 1000 + 50 + 2500},
        {"gpt-6-sol",
         400 + 500 + 500 + 40 + 1500}, /* above 272,000: twice, and half as much again */
        {"openai/gpt-6-luna", 20 + 25 + 25 + 2 + 75},
        {"gpt-5.6-sol-2026-07-30", 800 + 1000 + 1000 + 80 + 3000},
        {"gpt-5.5", 500 + 500 + 500 + 50 + 3000},
        {"gpt-5.4", 250 + 250 + 250 + 25 + 1500},
        {"gpt-5.4-mini", 75 + 75 + 75 + 7 + 450},
    };
    struct usage u = {.known = true,
                      .input = 1000000,
                      .output = 1000000,
                      .cache_read = 1000000,
                      .cache_write_5m = 1000000,
                      .cache_write_1h = 1000000,
                      .thinking = 500000}; /* inside output: costs nothing more */
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t got = price(rows[i].model, &u, false) / NANO_PER_CENT;
        if (got != rows[i].cents)
            fail_msg("%s: %" PRId64 ", expected %" PRId64, rows[i].model, got, rows[i].cents);
    }
}

static void test_unknown(void **state)
{
    static const char *const models[] = {"",
                                         "gpt-6.1-sol",
                                         "gpt-6-solar",
                                         "us.anthropic.claude-opus-5",
                                         "claude",
                                         "claude-opus-4-9",
                                         "claude-opus-5-51",
                                         "claude-opus-5-5-preview",
                                         "claude-sonnet-5-2026",
                                         "claude-sonnet-5-2026100x",
                                         "xclaude-opus-5",
                                         "anthropic/",
                                         "claude-haiku-5",
                                         "claude-opus-50"};
    struct usage u = {.known = true, .input = 10};
    (void)state;
    for (size_t i = 0; i < COUNT(models); i++) {
        if (price(models[i], &u, false) != -1)
            fail_msg("a price for %s", models[i]);
    }
}

/* Haiku 5.5 changes its price with the length of the prompt, for the whole request. */
static void test_tier(void **state)
{
    struct usage u = {.known = true,
                      .input = 60000,
                      .cache_read = 30000,
                      .cache_write_5m = 10000,
                      .output = 1000};
    (void)state;
    assert_int_equal(price("claude-haiku-5-5", &u, false),
                     60000 * 100 + 30000 * 10 + 10000 * 125 + 1000 * 500);
    u.cache_write_1h = 1;
    assert_int_equal(price("claude-haiku-5-5", &u, false),
                     60000 * 500 + 30000 * 50 + 10000 * 625 + 1 * 1000 + 1000 * 2500);
}

static void test_rules(void **state)
{
    struct usage u = {.known = true, .input = 1000, .output = 100};
    int64_t plain = 1000 * 5000 + 100 * 25000;
    (void)state;
    assert_int_equal(price("claude-opus-5", &u, false), plain);
    assert_int_equal(price("claude-opus-5", &u, true), plain / 2);
    text_copy(u.service_tier, sizeof u.service_tier, S("batch"));
    assert_int_equal(price("claude-opus-5", &u, false), plain / 2);
    assert_int_equal(price("claude-opus-5", &u, true), plain / 2); /* once */
    text_copy(u.service_tier, sizeof u.service_tier, S("priority"));
    assert_int_equal(price("claude-opus-5", &u, false), plain);
    text_copy(u.speed, sizeof u.speed, S("fast"));
    assert_int_equal(price("claude-opus-5", &u, false), 1000 * 10000 + 100 * 50000);
    assert_int_equal(price("claude-opus-5-5", &u, false), 1000 * 8000 + 100 * 40000);
    assert_int_equal(price("claude-opus-4-7", &u, false), plain); /* has no fast mode */
    u.speed[0] = '\0';
    text_copy(u.inference_geo, sizeof u.inference_geo, S("us"));
    assert_int_equal(price("claude-opus-5", &u, false), plain * 11 / 10);
    assert_int_equal(price("claude-opus-4-6", &u, false), plain * 11 / 10);
    assert_int_equal(price("claude-opus-4-5", &u, false), plain); /* before 4.6 */
    text_copy(u.inference_geo, sizeof u.inference_geo, S("global"));
    u.web_searches = 3;
    u.web_fetches = 5;
    assert_int_equal(price("claude-opus-5", &u, false), plain + 3 * INT64_C(10000000));
    assert_int_equal(price("claude-opus-5", &u, true), plain / 2 + 3 * INT64_C(10000000));
}

static void test_nonsense(void **state)
{
    struct usage u = {.known = true,
                      .input = INT64_MAX,
                      .output = INT64_MAX,
                      .cache_read = INT64_MAX,
                      .cache_write_5m = INT64_MAX,
                      .cache_write_1h = INT64_MAX,
                      .web_searches = INT64_MAX};
    struct usage none = {.input = -5, .output = INT64_MIN};
    (void)state;
    text_copy(u.inference_geo, sizeof u.inference_geo, S("us"));
    assert_true(price("claude-opus-4-1", &u, false) > 0);
    assert_true(price("claude-opus-5", &u, false) > 0);
    assert_int_equal(price("claude-opus-5", &none, false), 0);
}

/* Rows are remembered by the lengths of names: neither turns, nor equal lengths, nor a name that is
 * another's beginning, nor one that is too long, may mix them up. */
static void test_turns(void **state)
{
    static const struct {
        const char *model;
        int64_t nano;
    } rows[] = {
        {"claude-opus-5", 5000},   {"claude-opus-4", 15000},
        {"claude-opus-6", -1},     {"gpt-6-sol", 2000},
        {"gpt-6-so", -1},          {"gpt-5-4", 2500},
        {"claude-opus-5", 5000},   {"claude-opus-4-9", -1},
        {"claude-opus-4-8", 5000}, {"", -1},
        {"gpt-5-4-mini", 750},     {"gpt-6-luna", 100},
        {"gpt-6-sol", 2000},       {"claude-opus-4", 15000},
    };
    struct usage u = {.known = true, .input = 1};
    char longest[120];
    (void)state;
    for (int turn = 0; turn < 3; turn++)
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
            assert_int_equal(price(rows[i].model, &u, false), rows[i].nano);
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    memcpy(longest, "claude-opus-5[", 14); /* what stands in brackets may be as long as it likes */
    assert_int_equal(price(longest, &u, false), 5000);
    longest[0] = 'x';
    assert_int_equal(price(longest, &u, false), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),  cmocka_unit_test(test_unknown),  cmocka_unit_test(test_tier),
        cmocka_unit_test(test_rules), cmocka_unit_test(test_nonsense), cmocka_unit_test(test_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
