/* links: base http codec */
/* What is read in a request: the facts, what is refused, and the identity of a conversation. */
#include "codec/codec.h"
#include "codec/dialect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void test_facts(void **state)
{
    static const struct {
        const char *body, *model, *span;
        bool stream;
        int64_t max_tokens;
    } rows[] = {
        {"{}", "", "", false, -1},
        {"{\"model\":\"claude-opus-5-5\"}", "claude-opus-5-5", "\"claude-opus-5-5\"", false, -1},
        {"{ \"stream\" : true , \"max_tokens\" : 64000 , \"model\" : \"m\" }", "m", "\"m\"", true,
         64000},
        {"{\"model\":\"a\\u002fb\",\"stream\":false}", "a/b", "\"a\\u002fb\"", false, -1},
        {"{\"mod\\u0065l\":\"m\",\"\\u0073tream\":true}", "m", "\"m\"", true, -1},
        {"{\"model\":null,\"stream\":null,\"max_tokens\":null}", "", "", false, -1},
        {"{\"metadata\":{\"model\":\"x\",\"stream\":true},\"model\":\"y\"}", "y", "\"y\"", false,
         -1},
        {"{\"messages\":[{\"model\":\"x\"}]}", "", "", false, -1},
        {"{\"max_tokens\":0}", "", "", false, 0},
        {"{\"max_tokens\":-5}", "", "", false, -1},
        {"{\"max_tokens\":1.5e3}", "", "", false, -1}, /* the provider's to judge */
        {"{\"max_tokens\":99999999999999999999}", "", "", false, -1},
        {"{\"stream\":false,\"stream\":true}", "", "", true, -1}, /* the last one counts */
        {"{\"Model\":\"x\"}", "", "", false, -1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct request_facts f;
        const char *why = NULL;
        struct slice body = slice_of(rows[i].body);
        assert_int_equal(codec_request_scan(DIALECT_ANTHROPIC, body, &f, &why), OK);
        assert_string_equal(why, "");
        assert_string_equal(f.model, rows[i].model);
        assert_true(
            slice_eq(slice_sub(body, f.model_span.from, f.model_span.to), slice_of(rows[i].span)));
        assert_int_equal(f.stream, rows[i].stream);
        assert_int_equal(f.max_tokens, rows[i].max_tokens);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *body;
        enum err e;
        const char *why;
    } rows[] = {
        {"", ERR_SYNTAX, "JSON object"},
        {"[]", ERR_SYNTAX, "JSON object"},
        {"{\"model\":\"m\"", ERR_SYNTAX, "JSON object"},
        {"{\"model\":\"m\"} x", ERR_SYNTAX, "JSON object"},
        {"{\"model\":\"m\",\"model\":\"n\"}", ERR_SYNTAX, "twice"},
        {"{\"model\":\"m\",\"mode\\u006c\":\"n\"}", ERR_SYNTAX, "twice"},
        {"{\"model\":1}", ERR_SYNTAX, "model: "},
        {"{\"model\":[\"m\"]}", ERR_SYNTAX, "model: "},
        {"{\"stream\":\"true\"}", ERR_SYNTAX, "stream: "},
        {"{\"stream\":1}", ERR_SYNTAX, "stream: "},
        {"{\"max_tokens\":\"64\"}", ERR_SYNTAX, "max_tokens: "},
        {"{\"max_tokens\":[]}", ERR_SYNTAX, "max_tokens: "},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct request_facts f;
        const char *why = "";
        enum err e = codec_request_scan(DIALECT_ANTHROPIC, slice_of(rows[i].body), &f, &why);
        assert_int_equal(e, rows[i].e);
        assert_non_null(strstr(why, rows[i].why));
    }
}

static void test_too_deep(void **state)
{
    char body[300];
    struct request_facts f;
    const char *why = "";
    size_t n = text_format(body, sizeof body, "{\"messages\":");
    (void)state;
    memset(body + n, '[', 64);
    memset(body + n + 64, ']', 64);
    body[n + 128] = '}';
    assert_int_equal(codec_request_scan(DIALECT_ANTHROPIC, (struct slice){body, n + 129}, &f, &why),
                     ERR_LIMIT);
    assert_non_null(strstr(why, "deep"));
}

/* Millions of members would hold up everybody else. */
static void test_too_many(void **state)
{
    struct buf b;
    struct request_facts f;
    const char *why = "";
    (void)state;
    buf_init(&b, 1 << 16);
    for (int members = 1023; members <= 1026; members++) {
        buf_clear(&b);
        assert_int_equal(buf_puts(&b, S("{\"model\":\"m\"")), OK);
        for (int i = 1; i < members; i++)
            assert_int_equal(buf_puts(&b, S(",\"a\":1")), OK);
        assert_int_equal(buf_puts(&b, S("}")), OK);
        enum err e = codec_request_scan(DIALECT_ANTHROPIC, buf_slice(&b), &f, &why);
        assert_int_equal(e, members <= 1024 ? OK : ERR_SYNTAX);
    }
    assert_non_null(strstr(why, "too many"));
    buf_free(&b);
}

static void test_long_model(void **state)
{
    struct buf b;
    struct request_facts f;
    const char *why = "";
    (void)state;
    buf_init(&b, 4096);
    assert_int_equal(buf_printf(&b, "{\"model\":\"%0300d\"}", 7), OK);
    assert_int_equal(codec_request_scan(DIALECT_ANTHROPIC, buf_slice(&b), &f, &why), OK);
    assert_int_equal(strlen(f.model), sizeof f.model - 1);
    assert_int_equal(f.model_span.to - f.model_span.from, 302); /* the span is whole all the same */
    buf_free(&b);
}

/* ---- conversations --------------------------------------------------------------------------- */

static uint64_t talk(const char *body)
{
    struct request_facts f;
    const char *why = "";
    if (codec_request_scan(DIALECT_ANTHROPIC, slice_of(body), &f, &why) != OK)
        fail_msg("%s: %s", why, body);
    return f.conversation;
}

#define UUID_1 "0b6f9d7e-6a51-4b1e-9df0-3a8f6f1d2c11"
#define UUID_2 "0b6f9d7e-6a51-4b1e-9df0-3a8f6f1d2c12"
#define JSON_ID(u)                                                                        \
    "{\"metadata\":{\"user_id\":\"{\\\"device_id\\\":\\\"d\\\",\\\"session_id\\\":\\\"" u \
    "\\\"}\"},\"messages\":[]}"
#define OLD_ID(u) "{\"metadata\":{\"user_id\":\"user_ab_account__session_" u "\"},\"messages\":[]}"

static void test_session(void **state)
{
    (void)state;
    assert_true(talk(JSON_ID(UUID_1)) != 0);
    assert_true(talk(JSON_ID(UUID_1)) == talk(JSON_ID(UUID_1)));
    assert_true(talk(JSON_ID(UUID_1)) != talk(JSON_ID(UUID_2)));
    assert_true(talk(JSON_ID(UUID_1)) == talk(OLD_ID(UUID_1))); /* a client that is updated */
    assert_true(talk(OLD_ID(UUID_1)) != talk(OLD_ID(UUID_2)));
    /* the same on every machine and after every restart: caches depend on it */
    assert_true(talk(JSON_ID(UUID_1)) == UINT64_C(0x5ea038186a0d62cb));
    /* the session wins over the texts */
    assert_true(talk("{\"metadata\":{\"user_id\":\"x_session_1\"},\"system\":\"a\"}") ==
                talk("{\"metadata\":{\"user_id\":\"x_session_1\"},\"system\":\"b\"}"));
}

/* A key for the cache is an id like that of a session, and ranks behind it. */
static void test_cache_key(void **state)
{
    (void)state;
    uint64_t key = talk("{\"prompt_cache_key\":\"talk-7\",\"system\":\"a\"}");
    assert_true(key == codec_session_hash(S("talk-7")));
    assert_true(key == talk("{\"system\":\"b\",\"prompt_cache_key\":\"talk-7\"}"));
    assert_true(key != talk("{\"prompt_cache_key\":\"talk-8\",\"system\":\"a\"}"));
    assert_true(
        talk("{\"prompt_cache_key\":\"talk-7\",\"metadata\":{\"user_id\":\"x_session_1\"}}") ==
        codec_session_hash(S("1")));
    assert_true(talk("{\"prompt_cache_key\":\"\",\"system\":\"a\"}") == talk("{\"system\":\"a\"}"));
    assert_true(talk("{\"prompt_cache_key\":7,\"system\":\"a\"}") == talk("{\"system\":\"a\"}"));
    assert_true(talk("{\"prompt_cache_key\":null}") == 0);
    assert_true(codec_session_hash(S("")) == 0);
}

/* A fleet that is updated one by one must agree with itself, and its caches stay where they are:
 * what these texts hash to never changes. */
static void test_hash_stays(void **state)
{
    static const struct {
        size_t n;
        uint64_t hash;
    } rows[] = {
        {0, UINT64_C(0x61a715f2d80e63b7)},  {1, UINT64_C(0xa149157e5aaf9bf0)},
        {7, UINT64_C(0xa6486f5d56c1ee9a)},  {8, UINT64_C(0x45b4eb31463f2983)},
        {9, UINT64_C(0xae1abcacc35482a2)},  {33, UINT64_C(0x96a97c8e0c41359b)},
        {57, UINT64_C(0xb45ad3355e9f3b71)}, {81, UINT64_C(0x71db3d2d2abbbf31)},
    };
    struct slice text = S(
        "The same for the same bytes, in every version: conversations stay where they are.");
    (void)state;
    assert_int_equal(text.n, 81);
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_true(hash_stable(7, slice_sub(text, 0, rows[i].n)) == rows[i].hash);
    assert_true(codec_session_hash(S("0123-4567-89ab")) == UINT64_C(0x6eb5c9dbb4fae071));
    assert_true(
        talk("{\"system\":[{\"type\":\"text\",\"text\":\"Be brief.\"}],\"messages\":[{\"role\":"
             "\"user\",\"content\":\"Why is the sky blue? I have been asking myself since I "
             "was a child.\"}]}") == UINT64_C(0x206a92842066f4ab));
}

/* Role and content of a message in any order, and more than once: of each the first counts. */
static void test_first_turn(void **state)
{
    static const struct {
        const char *messages;
        bool same; /* as one message of role user that says "a" */
    } rows[] = {
        {"[{\"role\":\"user\",\"content\":\"a\"}]", true},
        {"[{\"content\":\"a\",\"role\":\"user\"}]", true},
        {"[{\"x\":[{}],\"content\":\"a\",\"y\":{},\"role\":\"user\",\"z\":0}]", true},
        {"[{\"r\\u006fle\":\"us\\u0065r\",\"c\\u006fntent\":\"a\"}]", true},
        {"[{\"role\":\"user\",\"content\":\"a\",\"content\":\"b\",\"role\":\"assistant\"}]", true},
        {"[{\"content\":\"a\",\"content\":\"b\",\"role\":\"user\"}]", true},
        {"[{\"role\":\"assistant\",\"content\":\"b\"},{\"role\":\"user\",\"content\":\"a\"}]",
         true},
        {"[{\"role\":7,\"role\":\"user\",\"content\":\"b\"},{\"role\":\"user\",\"content\":\"a\"}]",
         true},
        {"[{\"content\":\"b\"},{\"role\":\"user\",\"content\":\"a\"}]", true},
        {"[{\"content\":\"b\" \"role\":\"user\"},{\"role\":\"user\",\"content\":\"a\"}]", true},
        {"[{\"role\":\"user\",\"content\":\"a\" nonsense}]", true},
        {"[{\"role\":\"user\",\"content\":\"b\"},{\"role\":\"user\",\"content\":\"a\"}]", false},
        {"[{\"role\":\"user\"},{\"role\":\"user\",\"content\":\"a\"}]", false},
        {"[{\"role\":\"user\" \"content\":\"a\"}]", false},
        {"[{\"role\":\"user\",\"Content\":\"a\"}]", false},
        {"[{\"role\":\"users\",\"content\":\"a\"}]", false},
    };
    char body[256];
    (void)state;
    uint64_t want = talk("{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}");
    assert_true(want != 0);
    for (size_t i = 0; i < COUNT(rows); i++) {
        (void)text_format(body, sizeof body, "{\"messages\":%s}", rows[i].messages);
        if ((talk(body) == want) != rows[i].same)
            fail_msg("%s", body);
    }
}

/* How long the client wants its cache kept, and where what lives on one account stands. */
static void test_cache_hour(void **state)
{
    static const struct {
        const char *body;
        bool hour;
    } rows[] = {
        {"{}", false},
        {"{\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"}}", true},
        {"{\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"5m\"}}", false},
        {"{\"cache_control\":{\"type\":\"ephemeral\"}}", false},
        {"{\"system\":[{\"text\":\"a\",\"cache_control\":{\"ttl\":\"1h\"}}]}", true},
        {"{\"system\":[{\"text\":\"say \\\"1h\\\"\"}]}", false},
        {"{\"messages\":[{\"content\":\"1h\"}]}", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct request_facts f;
        const char *why = "";
        assert_int_equal(codec_request_scan(DIALECT_ANTHROPIC, slice_of(rows[i].body), &f, &why),
                         OK);
        if (f.cache_1h != rows[i].hour)
            fail_msg("%s", rows[i].body);
        assert_true(f.container.to == 0 && f.thread.to == 0);
    }
}

static void test_no_session(void **state)
{
    static const char *const none[] = {
        "{}",
        "{\"messages\":[]}",
        "{\"messages\":{}}",
        "{\"messages\":\"user\"}",
        "{\"messages\":[1,2,3]}",
        "{\"messages\":[{\"role\":\"user\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":7}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}",
        "{\"messages\":[{\"role\":\"assistant\",\"content\":\"hi\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\"}]}]}",
        "{\"messages\":[{\"role\":}],\"system\":[{\"text\":}]}", /* the scanner lets these pass */
        "{\"messages\":[{\"role\":\"user\",\"content\":}]}",
        "{\"system\":[]}",
        "{\"system\":[{\"text\":1}]}",
        "{\"system\":null}",
        "{\"metadata\":null}",
        "{\"metadata\":{\"user_id\":7}}",
        "{\"metadata\":{\"user_id\":\"somebody\"}}",
        "{\"metadata\":{\"user_id\":\"{}\"}}",
        "{\"metadata\":{\"user_id\":\"{broken\"}}",
        "{\"metadata\":{\"user_id\":\"x_session_\"}}",
        "{\"tools\":[{\"name\":\"t\"}]}",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(none); i++) {
        if (talk(none[i]) != 0)
            fail_msg("an identity out of nothing: %s", none[i]);
    }
}

/* The turns of one talk, as clients send them: marks move, turns are added, tools come and go. */
static void test_turns(void **state)
{
    static const char *const turns[] = {
        "{\"system\":[{\"type\":\"text\",\"text\":\"You are S.\",\"cache_control\":{\"type\":"
        "\"ephemeral\"}}],\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
        "\"text\":"
        "\"Fix it\",\"cache_control\":{\"type\":\"ephemeral\"}}]}]}",
        "{\"system\":[{\"type\":\"text\",\"text\":\"You are "
        "S.\"}],\"messages\":[{\"role\":\"user\","
        "\"content\":[{\"type\":\"text\",\"text\":\"Fix it\"}]},{\"role\":\"assistant\","
        "\"content\":\"ok\"}]}",
        "{\"tools\":[{\"name\":\"t\"}],\"messages\":[{\"content\":\"Fix it\",\"role\":\"user\"},"
        "{\"role\":\"user\",\"content\":\"more\"}],\"system\":\"You are S.\"}",
        "{\"system\":[{\"type\":\"text\",\"text\":\"x-anthropic-billing-header: cc_version=1;\"},"
        "{\"text\":\"You are S.\"}],\"messages\":[{\"role\":\"system\",\"content\":\"other\"},"
        "{\"role\":\"user\",\"content\":\"Fix it\"}]}",
    };
    uint64_t first = talk(turns[0]);
    (void)state;
    assert_true(first != 0);
    for (size_t i = 1; i < COUNT(turns); i++)
        assert_true(talk(turns[i]) == first);
    assert_true(
        talk("{\"system\":\"You are T.\",\"messages\":[{\"role\":\"user\",\"content\":\"Fix "
             "it\"}]}") != first);
    assert_true(
        talk("{\"system\":\"You are S.\",\"messages\":[{\"role\":\"user\",\"content\":\"Fix "
             "that\"}]}") != first);
    /* the border between the parts counts */
    assert_true(talk("{\"system\":\"ab\",\"messages\":[{\"role\":\"user\",\"content\":\"c\"}]}") !=
                talk("{\"system\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"bc\"}]}"));
}

/* Only the beginning of long texts is read, in one block or in many. */
static void test_long_texts(void **state)
{
    uint64_t seen[3];
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 3; i++) { /* the second differs at the front, the third at the end */
        buf_clear(&b);
        assert_int_equal(buf_printf(&b,
                                    "{\"messages\":[{\"role\":\"user\",\"content\":\"%d%0*d%d\"}]}",
                                    i == 1, 200000, 7, i == 2),
                         OK);
        char *text = mem_slicedup(buf_slice(&b));
        seen[i] = talk(text);
        mem_free(text);
    }
    assert_true(seen[0] != 0 && seen[0] != seen[1] && seen[0] == seen[2]);
    buf_clear(&b);
    assert_int_equal(buf_puts(&b, S("{\"system\":[")), OK);
    for (int i = 0; i < 500; i++)
        assert_int_equal(buf_printf(&b, "{\"text\":\"%0*d\"},", 900, i), OK);
    assert_int_equal(buf_puts(&b, S("{}]}")), OK);
    char *text = mem_slicedup(buf_slice(&b));
    assert_true(talk(text) != 0);
    mem_free(text);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts),      cmocka_unit_test(test_refused),
        cmocka_unit_test(test_too_deep),   cmocka_unit_test(test_long_model),
        cmocka_unit_test(test_too_many),   cmocka_unit_test(test_session),
        cmocka_unit_test(test_no_session), cmocka_unit_test(test_turns),
        cmocka_unit_test(test_long_texts), cmocka_unit_test(test_cache_key),
        cmocka_unit_test(test_cache_hour), cmocka_unit_test(test_hash_stays),
        cmocka_unit_test(test_first_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
