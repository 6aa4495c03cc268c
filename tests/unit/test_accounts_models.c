/* links: base netcore http codec accounts */
/* What a model is called at an account, and who does not have it. */
#include "accounts_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The precedence: exact, family, the longest beginning; a list in turns. */
static void test_map(void **state)
{
    static const char settings[] =
        "{\"models\":{\"*\":\"rest\",\"claude-*\":\"c\",\"claude-opus-*\":\"co\",\"opus\":\"fam\","
        "\"claude-opus-5\":\"exact\",\"gpt-4o\":[\"a\",\"b\",\"c\"],\"glm-*\":[\"x\"]}}";
    static const struct {
        const char *asked;
        uint64_t turn;
        const char *got;
    } rows[] = {
        {"claude-opus-5", 0, "exact"},
        {"claude-opus-5-5", 0, "fam"},
        {"opus", 9, "fam"},
        {"Opus", 0, "fam"},
        {"claude-sonnet-5", 0, "c"},
        {"claude-", 0, "c"},
        {"gpt-4o", 0, "a"},
        {"gpt-4o", 1, "b"},
        {"gpt-4o", 5, "c"},
        {"gpt-4o", UINT64_MAX, "a"},
        {"gpt-4o-mini", 0, "rest"},
        {"glm-4", 7, "x"},
        {"anything", 0, "rest"},
        {"", 0, "rest"},
    };
    char out[STORE_MODEL_MAX];
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_true(models_map(slice_of(settings), rows[i].asked, rows[i].turn, out, sizeof out));
        assert_string_equal(out, rows[i].got);
    }
    assert_false(models_map(S("{\"models\":{\"opus\":\"x\"}}"), "sonnet", 0, out, sizeof out));
    assert_false(models_map(S("{\"models\":{\"gpt-*\":\"x\"}}"), "gpt", 0, out, sizeof out));
    assert_false(models_map(S(""), "opus", 0, out, sizeof out));
    assert_false(models_map(S("{}"), "opus", 0, out, sizeof out));
    assert_false(models_map(S("{"), "opus", 0, out, sizeof out));
    /* a short buffer cuts, and is terminated */
    assert_true(models_map(slice_of(settings), "claude-opus-5", 0, out, 3));
    assert_string_equal(out, "ex");
}

static void test_check(void **state)
{
    static const struct {
        const char *settings, *says; /* NULL: it is good */
    } rows[] = {
        {"", NULL},
        {"{}", NULL},
        {"{\"models\":null}", NULL},
        {"{\"models\":{}}", NULL},
        {"{\"models\":{\"opus\":\"x@a\",\"a/b:c\":[\"d\"]}}", NULL},
        {"{\"models\":[]}", "must map"},
        {"{\"models\":\"x\"}", "must map"},
        {"{\"models\":{\"\":\"x\"}}", "printable"},
        {"{\"models\":{\"a b\":\"x\"}}", "printable"},
        {"{\"models\":{\"a*b\":\"x\"}}", "'*'"},
        {"{\"models\":{\"**\":\"x\"}}", "'*'"},
        {"{\"models\":{\"a\":\"\"}}", "must lead"},
        {"{\"models\":{\"a\":5}}", "must lead"},
        {"{\"models\":{\"a\":[]}}", "1 to"},
        {"{\"models\":{\"a\":[\"x\",1]}}", "must lead"},
        {"{\"models\":{\"a\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\","
         "\"12\",\"13\",\"14\",\"15\",\"16\",\"17\"]}}",
         "1 to"},
        {"{\"models\":{\"a\":\"x\\u0000y\"}}", "must lead"},
        {"{", "JSON"},
    };
    char why[256];
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct account_policy p;
        enum err e = models_check(slice_of(rows[i].settings), why, sizeof why);
        if ((e == OK) != (rows[i].says == NULL) ||
            (rows[i].says != NULL && strstr(why, rows[i].says) == NULL))
            fail_msg("row %zu: %s", i, why);
        assert_int_equal(account_policy_read(slice_of(rows[i].settings), &p, why, sizeof why), e);
    }
}

/* What an account of each kind calls what was asked of it; NULL: it has none. */
static void test_accounts(void **state)
{
    static const struct {
        const char *provider, *settings, *asked, *got;
    } rows[] = {
        {"anthropic", "", "claude-opus-5-5", "claude-opus-5-5"},
        {"anthropic", "", "opus", "opus"},
        {"anthropic", "", "gpt-6-sol", NULL},
        {"anthropic", "", "glm-5.3", NULL},
        {"anthropic", "", "my-own-thing", "my-own-thing"},
        {"anthropic", "", "", ""},
        {"anthropic", "{\"models\":{\"gpt-*\":\"claude-sonnet-5-5\"}}", "gpt-6-sol",
         "claude-sonnet-5-5"},
        {"anthropic-compatible", "", "gpt-6-sol", "gpt-6-sol"},
        {"anthropic-compatible", "", "claude-opus-5", "claude-opus-5"},
        {"zai", "", "claude-opus-5", "glm-5.3"},
        {"zai", "", "claude-fable-5-2", "glm-5.3"},
        {"zai", "", "claude-3-5-haiku-20241022", "glm-4.5-air"},
        {"zai", "", "sonnet", "glm-5.3"},
        {"zai", "", "glm-4.7", "glm-4.7"},
        {"zai", "", "GLM-4.7", "GLM-4.7"},
        {"zai", "", "gpt-6-sol", NULL},
        {"zai", "", "new-thing", "new-thing"},
        {"zai", "{\"models\":{\"opus\":\"glm-4.7\"}}", "claude-opus-5", "glm-4.7"},
        {"zai", "{\"models\":{\"opus\":\"glm-4.7\"}}", "claude-sonnet-5", "glm-5.3"},
        {"openai", "", "claude-haiku-4-5", "gpt-6-luna"},
        {"openai", "", "gpt-6.1-sol", "gpt-6.1-sol"},
        {"openai", "", "o3", "o3"},
        {"openai", "", "gemini-2.5-pro", NULL},
        {"deepinfra", "", "claude-opus-5", "claude-opus-5"}, /* it is asked */
        {"ollama", "", "qwen3-coder", "qwen3-coder"},
        {"openrouter", "", "claude-opus-5-5", "anthropic/claude-opus-5.5"},
        {"openrouter", "", "claude-opus-5", "anthropic/claude-opus-5"},
        {"openrouter", "", "claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4.5"},
        {"openrouter", "", "claude-3-5-haiku-20241022", "anthropic/claude-3.5-haiku"},
        {"openrouter", "", "openai/gpt-6-sol:free", "openai/gpt-6-sol:free"},
        {"bedrock", "", "claude-opus-5", "global.anthropic.claude-opus-5"},
        {"bedrock", "", "claude-sonnet-4-5-20250929",
         "global.anthropic.claude-sonnet-4-5-20250929-v1:0"},
        {"bedrock", "", "claude-haiku-4-5", "global.anthropic.claude-haiku-4-5-20251001-v1:0"},
        {"bedrock", "", "claude-opus-4-6", "global.anthropic.claude-opus-4-6-v1"},
        {"bedrock", "", "claude-sonnet-4-6", "global.anthropic.claude-sonnet-4-6"},
        {"bedrock", "{\"inference_profile\":\"eu\"}", "claude-haiku-5-5",
         "eu.anthropic.claude-haiku-5-5"},
        {"bedrock", "{\"inference_profile\":\"none\"}", "claude-haiku-5-5",
         "anthropic.claude-haiku-5-5"},
        {"bedrock", "", "us.anthropic.claude-opus-5", "us.anthropic.claude-opus-5"},
        {"bedrock", "", "arn:aws:bedrock:x", "arn:aws:bedrock:x"},
        {"bedrock", "", "gpt-6-sol", NULL},
        {"bedrock-mantle", "", "claude-opus-5", "anthropic.claude-opus-5"},
        {"vertex-ai", "", "claude-sonnet-4-5", "claude-sonnet-4-5@20250929"},
        {"vertex-ai", "", "claude-opus-4-5-20251101", "claude-opus-4-5@20251101"},
        {"vertex-ai", "", "claude-opus-5", "claude-opus-5"},
        {"vertex-ai", "", "claude-sonnet-4-5@20250929", "claude-sonnet-4-5@20250929"},
        {"azure-openai", "{\"deployment\":\"prod\"}", "gpt-6-sol", "prod"},
        {"azure-openai", "{\"deployment\":\"prod\",\"models\":{\"gpt-4o\":\"old\"}}", "gpt-4o",
         "old"},
        {"azure-openai", "", "anything", "anything"},
        {"azure-foundry", "{\"deployment\":\"d\"}", "gpt-6-sol", "d"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char out[STORE_MODEL_MAX] = "?";
        struct account a = {.provider = provider_find(slice_of(rows[i].provider)),
                            .models = models_read(slice_of(rows[i].settings))};
        bool has = account_model(&a, rows[i].asked, 0, out, sizeof out);
        if (has != (rows[i].got != NULL) || (has && strcmp(out, rows[i].got) != 0))
            fail_msg("%s at %s: %d %s", rows[i].asked, rows[i].provider, has, out);
        assert_int_equal(account_has_model(&a, rows[i].asked), has);
        models_free(a.models);
    }
}

/* At an address of its own Anthropic's row is any server's; a cloud's and a vendor's stay theirs.
 */
static void test_own(void **state)
{
    static const struct {
        const char *provider;
        bool has;
    } rows[] = {
        {"anthropic", true}, {"console", true},  {"zai", false},
        {"openai", false},   {"bedrock", false}, {"vertex-ai", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct account a = {.provider = provider_find(slice_of(rows[i].provider))};
        assert_false(account_has_model(&a, "gemini-2.5-pro"));
        text_copy(a.own_url, sizeof a.own_url, S("https://h.example"));
        assert_int_equal(account_has_model(&a, "gemini-2.5-pro"), rows[i].has);
    }
}

/* Names of any length and kind keep to their buffer. */
static void test_bounds(void **state)
{
    char asked[300], out[STORE_MODEL_MAX];
    (void)state;
    for (int i = 0; provider_at(i) != NULL; i++) {
        struct account a = {.provider = provider_at(i)};
        for (size_t n = 0; n < sizeof asked; n++) {
            memset(asked, n % 2 == 0 ? '1' : '-', n);
            memcpy(asked, "claude-", n < 7 ? n : 7);
            asked[n] = '\0';
            (void)account_model(&a, asked, n, out, sizeof out);
            assert_true(strlen(out) < sizeof out);
            (void)account_model(&a, asked, n, out, 8);
            assert_true(strlen(out) < 8);
        }
    }
}

static void test_group(void **state)
{
    struct group_row row = {.name = "g",
                            .settings = "{\"models\":{\"fast\":[\"claude-haiku-5-5\",\"glm@z\"]}}"};
    struct account_row rows[] = {fake_row(1, "z", 0, 1), fake_row(2, "me@home", 0, 1)};
    struct account_set *set = fake_set(rows, 2);
    char out[STORE_MODEL_MAX];
    (void)state;
    accounts_group_apply(set, &row);
    assert_true(group_model(accounts_group(set, "g"), "fast", 0, out, sizeof out));
    assert_string_equal(out, "claude-haiku-5-5");
    assert_null(accounts_model_account(set, out));
    assert_true(group_model(accounts_group(set, "g"), "fast", 1, out, sizeof out));
    assert_ptr_equal(accounts_model_account(set, out), accounts_by_name(set, S("z")));
    assert_string_equal(out, "glm");
    assert_false(group_model(accounts_group(set, "g"), "slow", 0, out, sizeof out));
    assert_false(group_model(accounts_group(set, GROUP_DEFAULT), "fast", 0, out, sizeof out));
    text_copy(out, sizeof out, S("claude-sonnet-4-5@20250929"));
    assert_null(accounts_model_account(set, out));
    assert_string_equal(out, "claude-sonnet-4-5@20250929");
    text_copy(out, sizeof out, S("claude-sonnet-4-5@20250929@me@home"));
    assert_ptr_equal(accounts_model_account(set, out), accounts_by_name(set, S("me@home")));
    assert_string_equal(out, "claude-sonnet-4-5@20250929");
    text_copy(out, sizeof out, S("@z"));
    assert_null(accounts_model_account(set, out));
    accounts_group_apply(set, &row); /* replaced: the old mapping goes */
    accounts_group_drop(set, "g");
    accounts_group_apply(set, &row);
    accounts_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map),      cmocka_unit_test(test_check),
        cmocka_unit_test(test_accounts), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_own),      cmocka_unit_test(test_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
