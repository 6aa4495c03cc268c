/* links: base http codec */
/* The observer's framing: where events end, at every chunking, whatever the stream looks like. What
 * it reads in whole replies is shown by test_codec_golden. */
#include "codec_watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Pieces are separated by '|' in the tables; the digits say what each feed must answer. */
static void test_boundaries(void **state)
{
    static const struct {
        const char *pieces;
        size_t want[8];
    } rows[] = {
        {"event: ping\ndata: {}\n\n", {22}},
        {"event: ping\ndata: {}\n|\n", {0, 1}},
        {"event: ping\nda|ta: {}\n\nevent: p|ing\n", {0, 8, 0}},
        {"data: {}\n\ndata: {}\n\nda", {20}},
        {"data: {}\r\n\r\n", {12}},
        {"data: {}\r\n\r|\n", {11, 1}},
        {"data: {}\r|\n\r|\n", {0, 2, 1}},
        {"data: {}\r\r", {10}},
        {"data: {}\r|\r", {0, 1}},
        {"data: {}\r|\n|\r|\n|d", {0, 0, 1, 1, 0}},
        {"data: {}\n\r\n", {11}},
        {"\n", {1}},
        {"\n\n|\n", {2, 1}},
        {": alive\n", {8}},
        {": ali|ve\n|: again\n", {0, 3, 8}},
        {"data: {}\n: inside\n|\n", {0, 1}},
        {": a\ndata: {}\n|\n: b\n", {4, 5}},
        {"\xef\xbb|\xbf"
         "data: {}\n\n",
         {0, 11}},
        {"id: 1\n|\n", {0, 1}},
        {"||data: {}\n\n", {0, 0, 10}},
        {"d|\n|\n", {0, 0, 1}},
        {":|\n", {0, 1}},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct observer *o = observer_new(DIALECT_ANTHROPIC, REPLY_SSE);
        struct slice rest = slice_of(rows[i].pieces), piece;
        bool more = true;
        for (size_t k = 0; more; k++) {
            ptrdiff_t bar = slice_find(rest, '|');
            more = bar >= 0;
            piece = more ? slice_sub(rest, 0, (size_t)bar) : rest;
            rest = more ? slice_sub(rest, (size_t)bar + 1, rest.n) : rest;
            size_t got = observer_feed(o, piece);
            if (got != rows[i].want[k])
                fail_msg("row %zu piece %zu: %zu, expected %zu", i, k, got, rows[i].want[k]);
        }
        observer_free(o);
    }
}

/* What one stream, fed whole, lets the observer see. */
static void test_seen(void **state)
{
    static const struct {
        const char *bytes;
        bool meaningful, terminal, blind;
        enum reply_error error;
    } rows[] = {
        {"", false, false, false, REPLY_ERROR_NONE},
        {"event: ping\ndata: {\"type\":\"ping\"}\n\n", false, false, false, REPLY_ERROR_NONE},
        {"event: content_block_start\ndata: {}\n\n", true, false, false, REPLY_ERROR_NONE},
        {"event: content_block_start\ndata: {}\n", false, false, false, REPLY_ERROR_NONE},
        {"event: content_block_start\n\n", false, false, false, REPLY_ERROR_NONE},
        {"data: {}\nevent: vendor\n\n", true, false, false, REPLY_ERROR_NONE},
        {"event: message_stop\nevent: ping\ndata: {}\n\n", false, false, false, REPLY_ERROR_NONE},
        {"event: ping\nevent: message_stop\ndata: {}\n\n", true, true, false, REPLY_ERROR_NONE},
        {"event: message_stop\ndata: \n\n", false, false, true, REPLY_ERROR_NONE},
        {"event: message_stop\ndata: []\n\n", false, false, true, REPLY_ERROR_NONE},
        {"event: message_stopp\ndata: {}\n\n", true, false, false, REPLY_ERROR_NONE},
        {"event:  message_stop\ndata: {}\n\n", true, false, false,
         REPLY_ERROR_NONE}, /* two spaces */
        {"EVENT: message_stop\ndata: {}\n\n", false, false, true, REPLY_ERROR_NONE},
        {"event: a-name-that-is-far-longer-than-anything-a-dialect-would-read\ndata: 1\n\n", true,
         false, false, REPLY_ERROR_NONE},
        {"data: {\"type\":\"message_stop\"}\n\n", true, true, false, REPLY_ERROR_NONE},
        {"data: {\"type\":\"content_block_delta\"}\n\n", true, false, false, REPLY_ERROR_NONE},
        {"data: {\"type\":\"ping\"}\n\n", false, false, false, REPLY_ERROR_NONE},
        {"data: [DONE]\n\n", false, false, false, REPLY_ERROR_NONE},
        {"data: nonsense\n\n", false, false, true, REPLY_ERROR_NONE},
        {"data: {\"choices\":[]}\n\n", false, false, true, REPLY_ERROR_NONE}, /* another dialect */
        {"{\"type\":\"error\"}\n\n", false, false, true, REPLY_ERROR_NONE},
        {"<html>", false, false, true, REPLY_ERROR_NONE},
        {"event: vendor\ndata: 1\n\nx-more: 1\n\n", true, false, false, REPLY_ERROR_NONE},
        {"event: vendor\ndata: 1\n\n<html>\n\n", true, false, true, REPLY_ERROR_NONE},
        {"event: error\ndata: {\"error\":{\"type\":\"api_error\"}}\n\n", false, false, false,
         REPLY_ERROR_SERVER},
        {"event: error\ndata: {\"error\":{\"type\":\"vendor_error\"}}\n\n", false, false, false,
         REPLY_ERROR_OTHER},
        {"event: error\ndata: {\"error\":\"gone\"}\n\n", false, false, false, REPLY_ERROR_OTHER},
        {"event: error\ndata: {}\n\n", false, false, false, REPLY_ERROR_OTHER},
        {"data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n", false, false,
         false, REPLY_ERROR_OVERLOADED},
        {"event: message_delta\ndata: {\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":"
         "{\"output_tokens\":2}}\n\n",
         true, false, false, REPLY_ERROR_NONE},
        {"event: message_delta\ndata: {}\n\n", true, false, false, REPLY_ERROR_NONE},
        /* one of its members makes no sense: then another account may still be tried */
        {"event: message_delta\ndata: {\"delta\":{\"stop_reason\" 1}}\n\n", false, false, true,
         REPLY_ERROR_NONE},
        {"event: message_delta\ndata: {\"delta\":{\"container\":{\"id\",}}}\n\n", false, false,
         true, REPLY_ERROR_NONE},
        {"event: message_delta\ndata: {\"usage\":{\"output_tokens\":2,}}\n\n", false, false, true,
         REPLY_ERROR_NONE},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct observer *o = observer_new(DIALECT_ANTHROPIC, REPLY_SSE);
        struct slice b = slice_of(rows[i].bytes);
        (void)observer_feed(o, b);
        observer_end(o);
        const struct observation *s = observer_see(o);
        if (s->meaningful != rows[i].meaningful || s->terminal != rows[i].terminal ||
            s->blind != rows[i].blind || s->error != rows[i].error)
            fail_msg("%s\n meaningful=%d terminal=%d blind=%d error=%d", rows[i].bytes,
                     s->meaningful, s->terminal, s->blind, s->error);
        observer_free(o);
    }
}

/* Streams put together at random from pieces of all kinds: every chunking sees the same. */
static void test_any_chunking(void **state)
{
    static const char *const parts[] = {
        "\n",
        "\r",
        "\r\n",
        "\n\n",
        "event: ",
        "event:",
        "data: ",
        "data:",
        "data",
        ": c",
        "id: 1",
        "message_start",
        "message_delta",
        "message_stop",
        "error",
        "ping",
        "content_block_delta",
        "{\"type\":\"message_delta\",\"usage\":{\"output_tokens\":5}}",
        "{\"type\":\"message_start\",\"message\":{\"model\":\"m\",\"usage\":{\"input_tokens\":3}}}",
        "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}",
        "<",
        " ",
        "\xef\xbb\xbf",
        "x",
        "event: message_delta\ndata: {\"usage\":{\"output_tokens\":9}}\n\n",
        "event: content_block_delta\r\ndata: {\"text\":\"\"}\r\n\r\n"};
    struct buf b;
    uint64_t seed = 1;
    (void)state;
    buf_init(&b, 1 << 16);
    for (int round = 0; round < 1500; round++) {
        struct watch whole, cut;
        buf_clear(&b);
        for (int n = 0; n < 14; n++) {
            seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
            assert_int_equal(buf_puts(&b, slice_of(parts[(seed >> 33) % COUNT(parts)])), OK);
        }
        watch_play(&whole, REPLY_SSE, buf_slice(&b), 0, 0);
        for (size_t step = 1; step <= 9; step++) {
            watch_play(&cut, REPLY_SSE, buf_slice(&b), (size_t)(seed >> 40) % 7, step);
            assert_string_equal(cut.seen, whole.seen);
            assert_int_equal(cut.forwarded, whole.forwarded);
        }
    }
    buf_free(&b);
}

/* A read event beyond all measure is not kept, and what was seen before it stands. */
static void test_giant_events(void **state)
{
    struct observer *o = observer_new(DIALECT_ANTHROPIC, REPLY_SSE);
    struct slice start = S("event: message_start\ndata: {\"message\":{\"model\":\"m\"}}\n\n");
    static char chunk[65536];
    (void)state;
    memset(chunk, 'x', sizeof chunk);
    assert_int_equal(observer_feed(o, start), start.n);
    assert_int_equal(observer_feed(o, S("event: content_block_start\ndata: ")), 0);
    for (int i = 0; i < 64; i++) /* 4 MiB of a search result: passed without being kept */
        assert_int_equal(observer_feed(o, (struct slice){chunk, sizeof chunk}), 0);
    assert_int_equal(observer_feed(o, S("\n\n")), 2);
    assert_true(observer_see(o)->meaningful && !observer_see(o)->blind);
    assert_int_equal(observer_feed(o, S("event: message_delta\ndata: ")), 0);
    for (int i = 0; i < 64; i++)
        assert_int_equal(observer_feed(o, (struct slice){chunk, sizeof chunk}), 0);
    assert_int_equal(observer_feed(o, S("\n\n")), 2);
    assert_true(observer_see(o)->blind);
    assert_string_equal(observer_see(o)->model, "m");
    struct slice stop = S("event: message_stop\ndata: {}\n\n");
    assert_int_equal(observer_feed(o, stop), stop.n); /* and it sees again */
    assert_true(observer_see(o)->terminal);
    observer_free(o);
}

static void test_json_too_long(void **state)
{
    struct observer *o = observer_new(DIALECT_ANTHROPIC, REPLY_JSON);
    static char chunk[65536];
    (void)state;
    memset(chunk, ' ', sizeof chunk);
    assert_int_equal(observer_feed(o, S("{\"type\":\"message\",")), 18);
    for (int i = 0; i < 17; i++)
        assert_int_equal(observer_feed(o, (struct slice){chunk, sizeof chunk}), sizeof chunk);
    observer_end(o);
    const struct observation *s = observer_see(o);
    assert_true(s->meaningful && s->blind && s->terminal && !s->usage.known);
    observer_free(o);
}

static void test_opaque(void **state)
{
    struct observer *o = observer_new(DIALECT_ANTHROPIC, REPLY_OPAQUE);
    (void)state;
    assert_false(observer_see(o)->meaningful);
    assert_int_equal(observer_feed(o, S("\x1f\x8b\n\n")), 4);
    assert_true(observer_see(o)->meaningful);
    assert_false(observer_see(o)->terminal);
    observer_end(o);
    assert_true(observer_see(o)->terminal && !observer_see(o)->blind);
    observer_free(o);
}

/* Nothing of an earlier reply may be left in an observer that is used again. */
static void test_reuse(void **state)
{
    struct slice first = S("event: message_start\ndata: {\"message\":{\"model\":\"m\",\"usage\":{"
                           "\"input_tokens\":5}}}\n\n<html>\nevent: message_delta\ndata: {\"x");
    (void)state;
    for (int i = 0; i < 600; i++) {
        struct observer *o = observer_new(DIALECT_ANTHROPIC, i % 2 ? REPLY_JSON : REPLY_SSE);
        const struct observation *s = observer_see(o);
        assert_false(s->meaningful || s->terminal || s->blind || s->usage.known);
        assert_string_equal(s->model, "");
        if (i % 2 == 0)
            assert_int_equal(observer_feed(o, S("\n")), 1);
        (void)observer_feed(o, first);
        observer_free(o);
    }
    struct observer *many[300]; /* more than are kept idle */
    for (size_t i = 0; i < COUNT(many); i++)
        many[i] = observer_new(DIALECT_ANTHROPIC, REPLY_SSE);
    for (size_t i = 0; i < COUNT(many); i++)
        observer_free(many[i]);
    observer_free(NULL);
}

/* Counts a hostile provider may send must not become nonsense. */
static void test_usage_nonsense(void **state)
{
    static const char *const bodies[] = {
        "{\"type\":\"message\",\"usage\":{\"input_tokens\":-1,\"output_tokens\":\"7\"}}",
        "{\"type\":\"message\",\"usage\":{\"input_tokens\":9223372036854775807}}",
        "{\"type\":\"message\",\"usage\":{\"input_tokens\":1e300,\"output_tokens\":1.5}}",
        "{\"type\":\"message\",\"usage\":[1,2]}",
        "{\"type\":\"message\",\"usage\":null}",
        "{\"type\":\"message\",\"usage\":{\"iterations\":{\"type\":\"compaction\"}}}",
        "{\"type\":7,\"usage\":{\"input_tokens\":3}}",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct observer *o = observer_new(DIALECT_ANTHROPIC, REPLY_JSON);
        (void)observer_feed(o, slice_of(bodies[i]));
        observer_end(o);
        const struct observation *s = observer_see(o);
        assert_false(s->usage.known || s->blind);
        assert_int_equal(s->usage.input, 0);
        assert_int_equal(s->usage.output, 0);
        observer_free(o);
    }
}

/* What is read without a tree: of equal keys the first one counts, a key may be written with
 * escapes, a number in any way; what is broken inside is noticed where it is read. */
static void test_read_in_place(void **state)
{
    static const struct {
        const char *body, *model, *stop, *container;
        int64_t input, output;
        bool blind;
    } rows[] = {
        {"{\"type\":\"message\",\"model\":\"a\",\"model\":\"b\"}", "a", "", "", 0, 0, false},
        {"{\"t\\u0079pe\":\"mess\\u0061ge\",\"us\\u0061ge\":{\"\\u0069nput_tokens\":7}}", "", "",
         "", 7, 0, false},
        {"{\"type\":\"message\",\"usage\":{\"input_tokens\":1.0,\"output_tokens\":2e3}}", "", "",
         "", 1, 2000, false},
        {"{\"type\":\"message\",\"usage\":{\"input_tokens\":1.5,\"output_tokens\":-3}}", "", "", "",
         0, 0, false},
        {"{\"type\":\"message\",\"usage\":{\"input_tokens\":5,\"input_tokens\":6},\"usage\":{}}",
         "", "", "", 5, 0, false},
        {"{\"type\":\"message\",\"model\":\"m\\\"\\u00e9\",\"stop_reason\":\"\"}", "m\"\xc3\xa9",
         "", "", 0, 0, false},
        {"{\"type\":\"message\",\"model\":\"\xff\",\"stop_reason\":null}", "", "", "", 0, 0, false},
        {"{\"type\":\"message\",\"stop_reason\":\"end_turn\",\"container\":{\"id\":\"c_1\"}}", "",
         "end_turn", "c_1", 0, 0, false},
        {"{\"type\":\"message\",\"model\":\"m\",\"usage\":{\"input_tokens\" 5}}", "m", "", "", 0, 0,
         true},
        {"{\"type\":\"message\",\"model\":\"m\",\"container\":{\"id\":\"c\",}}", "m", "", "", 0, 0,
         true},
        {"{\"type\":\"message\",\"model\":\"m\"", "", "", "", 0, 0, true},
        {"{\"type\":\"message\",\"model\":\"m\"}}", "", "", "", 0, 0, true},
        {"{\"type\":\"messages\",\"model\":\"m\"}", "", "", "", 0, 0, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct observer *o = observer_new(DIALECT_ANTHROPIC, REPLY_JSON);
        (void)observer_feed(o, slice_of(rows[i].body));
        observer_end(o);
        const struct observation *s = observer_see(o);
        assert_string_equal(s->model, rows[i].model);
        assert_string_equal(s->stop_reason, rows[i].stop);
        assert_string_equal(reply_words(s)->container, rows[i].container);
        assert_string_equal(reply_words(s)->error_type, "");
        assert_true(s->usage.input == rows[i].input && s->usage.output == rows[i].output);
        assert_int_equal(s->blind, rows[i].blind);
        observer_free(o);
    }
}

/* Out of memory: blind, never wrong, and the bytes go on. */
static void test_no_memory(void **state)
{
    struct slice b = S("event: message_delta\ndata: {\"usage\":{\"output_tokens\":9}}\n\n"
                       "event: message_stop\ndata: {}\n\n");
    (void)state;
    for (uint64_t nth = 1; nth <= 12; nth++) {
        struct observer *o = observer_new(DIALECT_ANTHROPIC, REPLY_SSE);
        fault_counter = 0;
        fault_target = nth;
        assert_int_equal(observer_feed(o, b), b.n);
        fault_target = 0;
        const struct observation *s = observer_see(o);
        assert_true(s->blind || (s->usage.output == 9 && s->terminal));
        observer_free(o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boundaries),    cmocka_unit_test(test_seen),
        cmocka_unit_test(test_any_chunking),  cmocka_unit_test(test_giant_events),
        cmocka_unit_test(test_json_too_long), cmocka_unit_test(test_opaque),
        cmocka_unit_test(test_reuse),         cmocka_unit_test(test_usage_nonsense),
        cmocka_unit_test(test_no_memory),     cmocka_unit_test(test_read_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
