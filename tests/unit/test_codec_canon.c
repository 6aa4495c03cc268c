/* links: base http codec */
/* The canonical model by itself: names, words, arguments that broke off, data URLs, JSON printed
 * from a tree; and what only the reader and the writer of Anthropic's requests decide. */
#include "codec/dialect.h"
#include "codec/span.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void test_names(void **state)
{
    static const struct {
        const char *name;
        bool same;
    } rows[] = {
        {"get_weather", true},
        {"A-z_09", true},
        {"", false},
        {"with space", false},
        {"with\nline", false},
        {"n\xc3\xa4me", false},
        {"0123456789012345678901234567890123456789012345678901234567890123", true},
        {"01234567890123456789012345678901234567890123456789012345678901234", false},
        {"01234567890123456789012345678901234567890123456789012345678901235", false},
    };
    struct names *n = names_new();
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice name = slice_of(rows[i].name), written = names_put(n, name, 64);
        struct slice again = names_put(n, name, 64);
        assert_true(slice_eq(written, again)); /* stable: the provider's cache must hit */
        assert_int_equal(slice_eq(written, name), rows[i].same);
        assert_true(written.n > 0 && written.n <= 64);
        for (size_t k = 0; k < written.n; k++)
            assert_non_null(
                memchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-",
                       written.p[k], 64));
        assert_true(slice_eq(names_back(n, written), name));
    }
    assert_true(slice_eq(names_back(n, S("unknown")), S("unknown")));
    assert_true(slice_eq(names_back(NULL, S("unknown")), S("unknown")));
    names_free(n);
    names_free(NULL);
}

static void test_many_names(void **state)
{
    struct names *n = names_new();
    (void)state;
    for (int i = 0; i < 3000; i++) {
        char name[64];
        size_t len = text_format(name, sizeof name, "a tool of number %d", i);
        (void)names_put(n, (struct slice){name, len}, 20);
    }
    for (int i = 0; i < 3000; i++) {
        char name[64];
        size_t len = text_format(name, sizeof name, "a tool of number %d", i);
        struct slice written = names_put(n, (struct slice){name, len}, 20);
        assert_true(slice_eq(names_back(n, written), (struct slice){name, len}));
    }
    names_free(n);
}

static void test_efforts(void **state)
{
    static const struct {
        int64_t budget;
        enum effort e;
    } rows[] = {{-1, EFFORT_UNSET},     {0, EFFORT_NONE},     {1, EFFORT_MINIMAL},
                {512, EFFORT_MINIMAL},  {513, EFFORT_LOW},    {1024, EFFORT_LOW},
                {8192, EFFORT_MEDIUM},  {24576, EFFORT_HIGH}, {24577, EFFORT_XHIGH},
                {INT64_MAX, EFFORT_MAX}};
    enum effort e = EFFORT_UNSET;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(effort_of_budget(rows[i].budget), rows[i].e);
    for (int k = EFFORT_NONE; k <= EFFORT_MAX; k++) {
        assert_true(effort_find(slice_of(effort_name((enum effort)k)), &e));
        assert_int_equal(e, k);
        assert_int_equal(effort_of_budget(budget_of_effort((enum effort)k)), k);
    }
    assert_false(effort_find(S("enormous"), &e));
    assert_false(effort_find(S(""), &e));
}

static void test_call_input(void **state)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"", "{}"},
        {" \n", "{}"},
        {"{\"a\": 1}", "{\"a\": 1}"},
        {"[1]", "{}"},
        {"null", "{}"},
        {"not json", "{}"},
        {"{\"a\":1", "{\"a\":1}"},
        {"{\"a\":[1,{\"b\":2", "{\"a\":[1,{\"b\":2}]}"},
        {"{\"a\":\"tex", "{\"a\":\"tex\"}"},
        {"{\"a\":\"tex\\", "{\"a\":\"tex\"}"},
        {"{\"a\":1,", "{\"a\":1}"},
        {"{\"a\":1, ", "{\"a\":1}"},
        {"{\"a\":", "{\"a\":null}"},
        {"{\"a\"", "{\"a\":null}"},
        {"{\"a", "{\"a\":null}"},
        {"{", "{}"},
        {"{\"a\":tru", "{}"},
        {"{\"a\":1}}", "{}"},
        {"{\"a\":]", "{}"},
        {"\"", "{}"},
    };
    struct buf out;
    (void)state;
    buf_init(&out, 4096);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        buf_clear(&out);
        assert_int_equal(call_input(slice_of(rows[i].text), &out), OK);
        if (!slice_eq(buf_slice(&out), slice_of(rows[i].want)))
            fail_msg("%s: %.*s", rows[i].text, (int)out.len, out.p);
    }
    char deep[400];
    memset(deep, '[', sizeof deep);
    buf_clear(&out);
    assert_int_equal(call_input((struct slice){deep, sizeof deep}, &out), OK);
    assert_true(slice_eq(buf_slice(&out), S("{}")));
    buf_free(&out);
}

static void test_data_url(void **state)
{
    struct slice media, data;
    (void)state;
    assert_true(data_url(S("data:image/png;base64,AAAA"), &media, &data));
    assert_true(slice_eq(media, S("image/png")) && slice_eq(data, S("AAAA")));
    assert_true(data_url(S("DATA:text/plain;charset=utf-8;base64,"), &media, &data));
    assert_true(slice_eq(media, S("text/plain")) && data.n == 0);
    assert_false(data_url(S("data:text/plain,hello"), &media, &data));
    assert_false(data_url(S("data:image/png;base64"), &media, &data));
    assert_false(data_url(S("https://example.org/data:;base64,"), &media, &data));
    assert_false(data_url(S(""), &media, &data));
}

static void test_tree_print(void **state)
{
    static const char text[] = "{\"a\":[1,-2,1.5,1e300,true,false,null,\"\\u00e9\\n\\\"\"],\"\":{},"
                               "\"big\":9223372036854775807,\"b\":[]}";
    static const char want[] =
        "{\"a\":[1,-2,1.5,1e300,true,false,null,\"\xc3\xa9\\n\\\"\"],\"\":{},"
        "\"big\":9223372036854775807,\"b\":[]}";
    char deep[2 * JSON_DEPTH];
    struct json *doc = NULL;
    struct arena arena;
    struct ask a;
    (void)state;
    arena_init(&arena, 1 << 20);
    ask_init(&a, &arena);
    assert_int_equal(json_parse(slice_of(text), &doc), OK);
    assert_true(slice_eq(ask_json(&a, json_root(doc)), slice_of(want)));
    json_free(doc);
    memset(deep, '[', JSON_DEPTH); /* as deep as trees go */
    memset(deep + JSON_DEPTH, ']', JSON_DEPTH);
    struct slice s = {deep, sizeof deep};
    assert_int_equal(json_parse(s, &doc), OK);
    assert_true(slice_eq(ask_json(&a, json_root(doc)), s));
    json_free(doc);
    assert_int_equal(ask_json(&a, NULL).n, 0);
    assert_false(a.full);
    arena_free(&arena);
}

static void test_span_text(void **state)
{
    struct buf room;
    struct slice out;
    (void)state;
    buf_init(&room, 64);
    assert_int_equal(span_text(S("\"plain\""), (struct span){0, 7}, &room, &out), OK);
    assert_true(slice_eq(out, S("plain")) && room.cap == 0); /* nothing was copied */
    assert_int_equal(span_text(S("\"\\ud83d\\ude00\\u0000\""), (struct span){0, 20}, &room, &out),
                     OK);
    assert_true(slice_eq(out, S("\xf0\x9f\x98\x80\xef\xbf\xbd")));
    assert_int_equal(span_text(S("12"), (struct span){0, 2}, &room, &out), ERR_SYNTAX);
    assert_int_equal(span_text(S("\"a\"b"), (struct span){0, 4}, &room, &out), ERR_SYNTAX);
    assert_int_equal(span_text(S("\"a"), (struct span){0, 2}, &room, &out), ERR_SYNTAX);
    buf_free(&room);
}

/* ---- asks ------------------------------------------------------------------------------------ */

static void test_arena_full(void **state)
{
    struct ask_target t = {.model = S("")};
    struct names *names = names_new();
    struct buf body, out;
    const char *why = "";
    (void)state;
    buf_init(&body, 1 << 20);
    buf_init(&out, 1 << 20);
    assert_int_equal(buf_puts(&body, S("{\"messages\":[")), OK);
    for (int i = 0; i < 2000; i++)
        assert_int_equal(buf_puts(&body, S("{\"role\":\"user\",\"content\":\"some text\"},")), OK);
    assert_int_equal(buf_puts(&body, S("{\"role\":\"user\",\"content\":\"x\"}]}")), OK);
    assert_int_equal(codec_ask_translate(DIALECT_ANTHROPIC, DIALECT_ANTHROPIC, buf_slice(&body), &t,
                                         names, &out, &why),
                     OK);
    for (size_t max = 0; max < 60000; max += 997) { /* never half a request */
        struct arena arena;
        struct ask a;
        arena_init(&arena, max);
        ask_init(&a, &arena);
        enum err e = canon_anthropic.ask_read(buf_slice(&body), &a, &why);
        assert_true(e != OK || a.full);
        arena_free(&arena);
    }
    struct buf small;
    for (size_t max = 0; max < out.len; max += 4999) {
        buf_init(&small, max);
        assert_int_equal(codec_ask_translate(DIALECT_ANTHROPIC, DIALECT_ANTHROPIC, buf_slice(&body),
                                             &t, names, &small, &why),
                         ERR_LIMIT);
        assert_true(small.len == 0 && why[0] != '\0');
        buf_free(&small);
    }
    buf_free(&body);
    buf_free(&out);
    names_free(names);
}

static void test_refused(void **state)
{
    static const struct {
        const char *body;
        enum err e;
    } rows[] = {
        {"", ERR_SYNTAX},
        {"[]", ERR_SYNTAX},
        {"{}", ERR_SYNTAX},
        {"{\"messages\":[]}", ERR_SYNTAX},
        {"{\"messages\":{}}", ERR_SYNTAX},
        {"{\"messages\":[1]}", ERR_SYNTAX},
        {"{\"messages\":[{\"role\":\"user\"}]}", ERR_SYNTAX},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[1]}]}", ERR_SYNTAX},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}", ERR_SYNTAX},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\"}]}]}", ERR_SYNTAX},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":"
         "{\"type\":\"base64\"}}]}]}",
         ERR_SYNTAX},
        {"{\"system\":1,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", ERR_SYNTAX},
        {"{\"tools\":1,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", ERR_SYNTAX},
        {"{\"tools\":[1],\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}", ERR_SYNTAX},
        {"{\"thread\":{\"type\":\"continue\"},\"messages\":[]}", ERR_UNSUPPORTED},
        {"{\"thread\":{\"type\":\"create\"},\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
         OK},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ask_target t = {.model = S("")};
        struct names *names = names_new();
        struct buf out;
        const char *why = NULL;
        buf_init(&out, 1 << 16);
        enum err e = codec_ask_translate(DIALECT_ANTHROPIC, DIALECT_ANTHROPIC,
                                         slice_of(rows[i].body), &t, names, &out, &why);
        if (e != rows[i].e)
            fail_msg("%s: %s", rows[i].body, err_name(e));
        assert_int_equal(e == OK, why[0] == '\0');
        assert_int_equal(e == OK, out.len > 0);
        buf_free(&out);
        names_free(names);
    }
}

static void test_too_many_values(void **state)
{
    struct json *doc = NULL;
    struct buf body;
    const char *why = "";
    (void)state;
    buf_init(&body, (size_t)8 << 20);
    assert_int_equal(buf_puts(&body, S("{\"a\":[1")), OK);
    while (body.len < ((size_t)6 << 20))
        assert_int_equal(buf_puts(&body, S(",1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1")), OK);
    assert_int_equal(buf_puts(&body, S("]}")), OK);
    assert_int_equal(ask_parse(buf_slice(&body), &doc, &why), ERR_LIMIT);
    assert_null(doc);
    assert_true(why[0] != '\0');
    buf_free(&body);
}

/* What models of a generation take, by their names. */
static void test_generations(void **state)
{
    static const struct {
        const char *model, *has, *has_not;
    } rows[] = {
        {"claude-opus-4-6", "\"adaptive\"", "temperature"},
        {"claude-opus-5", "\"adaptive\"", "temperature"},
        {"us.anthropic.claude-opus-4-6-v1", "\"adaptive\"", "budget_tokens"},
        {"anthropic/claude-sonnet-5.5", "\"adaptive\"", "budget_tokens"},
        {"anthropic/claude-opus-4.6", "\"adaptive\"", "budget_tokens"},
        {"anthropic/claude-opus-4.5:thinking", "budget_tokens", "adaptive"},
        {"claude-instant", "budget_tokens", "adaptive"},
        {"claude-sonnet-4-5-20250929", "budget_tokens", "adaptive"},
        {"claude-sonnet-4-5@20250929", "budget_tokens", "adaptive"},
        {"anthropic.claude-haiku-4-5-20251001-v1:0", "budget_tokens", "adaptive"},
        {"claude-opus-4-20250514", "budget_tokens", "adaptive"},
        {"claude-3-7-sonnet-latest", "budget_tokens", "adaptive"},
        {"glm-5.3", "budget_tokens", "adaptive"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ask_target t = {.model = slice_of(rows[i].model)};
        struct names *names = names_new();
        struct arena arena;
        struct ask a;
        struct buf out;
        const char *why = "";
        arena_init(&arena, 1 << 16);
        buf_init(&out, 1 << 16);
        ask_init(&a, &arena);
        a.effort = EFFORT_HIGH;
        a.temperature = 0.5;
        turn_part(&a, ask_turn(&a, ROLE_USER), PART_TEXT)->text = S("Hi");
        assert_int_equal(canon_anthropic.ask_write(&a, &t, names, &out, &why), OK);
        if (slice_search(buf_slice(&out), slice_of(rows[i].has)) < 0 ||
            slice_search(buf_slice(&out), slice_of(rows[i].has_not)) >= 0)
            fail_msg("%s: %.*s", rows[i].model, (int)out.len, out.p);
        arena_free(&arena);
        buf_free(&out);
        names_free(names);
    }
}

/* At most four breakpoints, the last ones; none where they are not taken. */
static void test_breakpoints(void **state)
{
    (void)state;
    for (int marks = 0; marks < 8; marks++) {
        struct ask_target t = {.model = S("claude-opus-4-6"), .no_cache_control = marks == 7};
        struct names *names = names_new();
        struct arena arena;
        struct ask a;
        struct buf out;
        const char *why = "";
        int n = 0;
        arena_init(&arena, 1 << 16);
        buf_init(&out, 1 << 16);
        ask_init(&a, &arena);
        struct turn *turn = ask_turn(&a, ROLE_USER);
        for (int i = 0; i < 8; i++) {
            struct part *p = turn_part(&a, turn, PART_TEXT);
            p->text = S("Hi");
            p->cache = i < marks;
        }
        assert_int_equal(canon_anthropic.ask_write(&a, &t, names, &out, &why), OK);
        struct slice rest = buf_slice(&out);
        for (ptrdiff_t at; (at = slice_search(rest, S("cache_control"))) >= 0; n++)
            rest = slice_sub(rest, (size_t)at + 1, rest.n);
        assert_int_equal(n, marks == 7 ? 0 : marks == 0 ? 1 : marks > 4 ? 4 : marks);
        arena_free(&arena);
        buf_free(&out);
        names_free(names);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),       cmocka_unit_test(test_many_names),
        cmocka_unit_test(test_efforts),     cmocka_unit_test(test_call_input),
        cmocka_unit_test(test_data_url),    cmocka_unit_test(test_tree_print),
        cmocka_unit_test(test_span_text),   cmocka_unit_test(test_arena_full),
        cmocka_unit_test(test_refused),     cmocka_unit_test(test_too_many_values),
        cmocka_unit_test(test_generations), cmocka_unit_test(test_breakpoints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
