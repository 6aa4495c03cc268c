/* links: base config net http codec store accounts gateway */
/* Names of models as clouds write them, and how many tokens a request is thought to have. */
#include "gateway/exchange.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void test_plain(void **state)
{
    static const struct {
        enum wire wire;
        const char *name, *plain;
    } rows[] = {
        {WIRE_BEDROCK, "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
         "claude-sonnet-4-5-20250929"},
        {WIRE_BEDROCK, "anthropic.claude-opus-4-6-v1", "claude-opus-4-6"},
        {WIRE_BEDROCK, "global.anthropic.claude-opus-5", "claude-opus-5"},
        {WIRE_BEDROCK, "anthropic.claude-3-5-sonnet-20241022-v2:0", "claude-3-5-sonnet-20241022"},
        {WIRE_BEDROCK, "amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"},
        {WIRE_BEDROCK, "claude-opus-5", "claude-opus-5"},
        {WIRE_BEDROCK, "", ""},
        {WIRE_VERTEX, "claude-sonnet-4-5@20250929", "claude-sonnet-4-5-20250929"},
        {WIRE_VERTEX, "claude-opus-5@default", "claude-opus-5"},
        {WIRE_VERTEX, "claude-opus-5@team", "claude-opus-5@team"},
        {WIRE_VERTEX, "gemini@20250929", "gemini@20250929"},
        {WIRE_PLAIN, "us.anthropic.claude-opus-5-v1", "us.anthropic.claude-opus-5-v1"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char name[96];
        text_copy(name, sizeof name, slice_of(rows[i].name));
        model_plain(rows[i].wire, name);
        assert_string_equal(name, rows[i].plain);
    }
}

static void test_estimate(void **state)
{
    char deep[256] = "";
    (void)state;
    assert_int_equal(estimate_tokens(S("{}")), 0);
    /* sixteen bytes of text, and a message's own */
    assert_int_equal(
        estimate_tokens(S("{\"messages\":[{\"role\":\"user\",\"content\":\"0123456789abcdef\"}]}")),
        8);
    /* what no model reads costs nothing */
    assert_int_equal(
        estimate_tokens(S("{\"model\":\"claude-with-a-long-name\",\"metadata\":{\"user_id\":"
                          "\"0123456789abcdef\"},\"max_tokens\":100}")),
        0);
    struct buf b;
    buf_init(&b, 1 << 20);
    assert_int_equal(
        buf_puts(&b, S("{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\","
                       "\"source\":{\"type\":\"base64\",\"data\":\"")),
        OK);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(buf_puts(&b, S("AAAAAAAAAA")), OK);
    assert_int_equal(buf_puts(&b, S("\"}}]}]}")), OK);
    int64_t n = estimate_tokens(buf_slice(&b));
    assert_in_range(n, 1600, 1700); /* a picture is no text */
    buf_free(&b);
    /* what cannot be read as a tree is measured */
    memset(deep, '[', 200);
    assert_int_equal(estimate_tokens(slice_of(deep)), 51);
}

static void test_front_errors(void **state)
{
    const struct front bedrock = {.wire = WIRE_BEDROCK}, openai = {.dialect = DIALECT_OPENAI},
                       plain = {.dialect = DIALECT_ANTHROPIC}, vertex = {.wire = WIRE_VERTEX};
    struct buf b;
    int status = 400;
    (void)state;
    assert_int_equal(front_status(&bedrock, 529), 503);
    assert_int_equal(front_status(&openai, 529), 503);
    assert_int_equal(front_status(&plain, 529), 529);
    assert_int_equal(front_status(&openai, 429), 429);
    assert_int_equal(front_status(&vertex, 401), 403);
    assert_int_equal(front_status(&plain, 401), 401);
    buf_init(&b, 4096);
    assert_int_equal(front_error(&bedrock, 429, S("slow \"down\""), S("id"), &b), OK);
    assert_true(slice_eq(buf_slice(&b), S("{\"message\":\"slow \\\"down\\\"\"}")));
    buf_clear(&b);
    assert_int_equal(front_error_of(&bedrock, DIALECT_OPENAI, &status,
                                    S("{\"error\":{\"message\":\"maximum context length is 8\","
                                      "\"code\":\"context_length_exceeded\"}}"),
                                    S("id"), &b),
                     OK);
    assert_int_equal(status, 400);
    assert_true(slice_starts(buf_slice(&b), S("{\"message\":\"prompt is too long")));
    struct http_header h = front_error_header(&bedrock, 429);
    assert_true(slice_eq(h.value, S("ThrottlingException")));
    assert_int_equal(front_error_header(&plain, 429).name.n, 0);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plain),
                                       cmocka_unit_test(test_estimate),
                                       cmocka_unit_test(test_front_errors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
