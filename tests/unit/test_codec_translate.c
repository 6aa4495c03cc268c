/* links: base http codec */
/* Translations on their way: framings in and out, in every chunking and cut at every byte; how one
 * ends; what is bounded; what it costs. What comes out of which dialect is shown by the golden
 * pairs. */
#include "codec/aws_frames.h"
#include "codec/dialect.h"
#include "codec/framing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#define BIG ((size_t)256 << 20)

static const char message[] =
    "event: message_start\ndata: "
    "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":"
    "\"m\",\"usage\":{\"input_tokens\":5,\"output_tokens\":1}}}\n\n"
    "event: ping\ndata: {\"type\": \"ping\"}\n\n"
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
    "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
    "{\"type\":\"text_delta\",\"text\":\"\xc3\xa9t\xc3\xa9 \\\"\\n\\u00e9\\ud83d\\ude00\"}}\n\n"
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,"
    "\"content_block\":{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"f\",\"input\":{}}}\n\n"
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":"
    "{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\":1}\"}}\n\n"
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\n"
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
    "\"tool_use\"},\"usage\":{\"output_tokens\":9}}\n\n"
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

static struct translate_plan plan(enum dialect from, enum framing in, enum dialect to,
                                  enum framing out)
{
    return (struct translate_plan){.from = from,
                                   .to = to,
                                   .in = in,
                                   .out = out,
                                   .model = S("asked"),
                                   .id = S("x7"),
                                   .created = 1790000000,
                                   .thinking = true,
                                   .include_usage = true};
}

static struct reply_words played_words; /* of the last play */

/* Feeds all of it; what came out, and how it ended. */
static enum err play(const struct translate_plan *p, struct slice in, size_t step, struct buf *out,
                     struct observation *seen)
{
    struct translate *t = translate_new(p);
    enum err e = OK;
    for (size_t at = 0, n = 0; at < in.n && e == OK; at += n) {
        n = step < in.n - at ? step : in.n - at;
        e = translate_feed(t, slice_sub(in, at, at + n), out);
        bool sse = p->out == FRAMING_SSE && out->len > 0;
        assert_true(!sse || slice_ends(buf_slice(out), S("\n\n"))); /* between two events */
    }
    if (e == OK)
        e = translate_end(t, out);
    if (seen != NULL)
        *seen = *translate_see(t);
    played_words = *reply_words(translate_see(t));
    if (seen != NULL)
        seen->words = &played_words;
    translate_free(t);
    return e;
}

/* The stream `message`, in another framing. */
struct framed {
    struct frames frames;
    struct buf *out;
};

static void on_sse(void *arg, const struct sse_event *e)
{
    struct framed *f = arg;
    assert_int_equal(frames_put(&f->frames, e->name, e->data, f->out), OK);
}

static void frame_message(enum framing kind, struct buf *out)
{
    struct framed f = {.frames = {.kind = kind}, .out = out};
    struct sse sse;
    sse_init(&sse, 1 << 20);
    sse_feed(&sse, slice_of(message), on_sse, &f);
    assert_int_equal(frames_end(&f.frames, out), OK);
    sse_free(&sse);
}

/* ---- the same dialect in another framing ----------------------------------------------------- */

static void test_bedrock_stream(void **state)
{
    struct translate_plan p = plan(DIALECT_ANTHROPIC, FRAMING_AWS, DIALECT_ANTHROPIC, FRAMING_SSE);
    struct observation seen;
    struct buf frames, out;
    (void)state;
    buf_init(&frames, 1 << 20);
    buf_init(&out, 1 << 20);
    frame_message(FRAMING_AWS, &frames);
    for (size_t step = 1; step <= frames.len; step += step < 40 ? 1 : 97) {
        buf_clear(&out);
        assert_int_equal(play(&p, buf_slice(&frames), step, &out, &seen), OK);
        assert_true(slice_eq(buf_slice(&out), slice_of(message))); /* to the byte */
        assert_true(seen.terminal && seen.meaningful && !seen.blind);
        assert_int_equal(seen.usage.output, 9);
        assert_string_equal(seen.stop_reason, "tool_use");
    }
    for (size_t cut = 0; cut < frames.len; cut++) {
        buf_clear(&out);
        struct slice part = slice_sub(buf_slice(&frames), 0, cut);
        assert_int_equal(play(&p, part, 13, &out, &seen), ERR_EOF);
        assert_true(slice_starts(slice_of(message), buf_slice(&out)));
        assert_false(seen.terminal);
    }
    buf_free(&frames);
    buf_free(&out);
}

/* Into Bedrock's framing and back: what its clients read is what the upstream said. */
static void test_bedrock_client(void **state)
{
    struct translate_plan to = plan(DIALECT_ANTHROPIC, FRAMING_SSE, DIALECT_ANTHROPIC, FRAMING_AWS);
    struct translate_plan back = plan(DIALECT_ANTHROPIC, FRAMING_AWS, DIALECT_ANTHROPIC,
                                      FRAMING_SSE);
    struct buf frames, out;
    (void)state;
    buf_init(&frames, 1 << 20);
    buf_init(&out, 1 << 20);
    for (size_t step = 1; step < 17; step++) {
        buf_clear(&frames);
        buf_clear(&out);
        assert_int_equal(play(&to, slice_of(message), step, &frames, NULL), OK);
        assert_int_equal(play(&back, buf_slice(&frames), 1000, &out, NULL), OK);
        assert_true(slice_eq(buf_slice(&out), slice_of(message)));
    }
    buf_free(&frames);
    buf_free(&out);
}

static void test_exception(void **state)
{
    struct translate_plan p = plan(DIALECT_ANTHROPIC, FRAMING_AWS, DIALECT_ANTHROPIC, FRAMING_SSE);
    struct translate_plan o = plan(DIALECT_ANTHROPIC, FRAMING_AWS, DIALECT_OPENAI, FRAMING_SSE);
    struct observation seen;
    struct buf frames, out;
    (void)state;
    buf_init(&frames, 1 << 20);
    buf_init(&out, 1 << 20);
    assert_int_equal(aws_frame_put_exception(429, S("Too many tokens"), &frames), OK);
    assert_int_equal(play(&p, buf_slice(&frames), 5, &out, &seen), OK);
    assert_string_equal(reply_words(&seen)->error_type, "rate_limit_error");
    assert_int_equal(seen.error, REPLY_ERROR_RATE_LIMIT);
    assert_true(!seen.meaningful && !seen.terminal);
    assert_true(slice_starts(buf_slice(&out), S("event: error\ndata: {\"type\":\"error\"")));
    buf_clear(&out);
    assert_int_equal(play(&o, buf_slice(&frames), 5, &out, &seen), OK);
    assert_true(slice_starts(buf_slice(&out), S("data: {\"error\":")));
    buf_free(&frames);
    buf_free(&out);
}

/* Whoever only watches disturbs nothing: what makes no sense passes, and the watcher says so. */
static void test_untouched_nonsense(void **state)
{
    struct translate_plan p = plan(DIALECT_ANTHROPIC, FRAMING_SSE, DIALECT_ANTHROPIC, FRAMING_AWS);
    struct observation seen;
    struct buf out;
    (void)state;
    buf_init(&out, 1 << 20);
    struct slice in = S(
        "event: message_start\ndata: {]\n\nevent: new\ndata: {\"type\":\"new\"}\n\n");
    assert_int_equal(play(&p, in, 9, &out, &seen), ERR_EOF);
    assert_true(seen.blind);
    struct slice rest = buf_slice(&out);
    for (int i = 0; i < 2; i++) {
        size_t length = 0;
        assert_int_equal(aws_frame_length(rest, &length), OK);
        rest = slice_sub(rest, length, rest.n);
    }
    assert_int_equal(rest.n, 0);
    struct buf odd; /* nonsense before a message that ends well does not make it a cut one */
    buf_init(&odd, 1 << 16);
    buf_clear(&out);
    assert_int_equal(buf_puts(&odd, in), OK);
    assert_int_equal(buf_puts(&odd, slice_of(message)), OK);
    assert_int_equal(play(&p, buf_slice(&odd), 9, &out, &seen), OK);
    assert_true(seen.blind && seen.terminal && seen.usage.output == 9);
    buf_free(&odd);
    buf_free(&out);
}

/* ---- another dialect ------------------------------------------------------------------------- */

static void test_every_cut(void **state)
{
    static const enum framing outs[] = {FRAMING_SSE, FRAMING_WHOLE};
    struct observation seen;
    struct buf whole, out;
    (void)state;
    buf_init(&whole, 1 << 20);
    buf_init(&out, 1 << 20);
    for (int i = 0; i < 2; i++) {
        struct translate_plan p = plan(DIALECT_ANTHROPIC, FRAMING_SSE, DIALECT_OPENAI, outs[i]);
        buf_clear(&whole);
        assert_int_equal(play(&p, slice_of(message), 7, &whole, &seen), OK);
        /* the last event's data is whole before its blank line */
        for (size_t cut = 0; cut < sizeof message - 1; cut++) {
            buf_clear(&out);
            enum err e = play(&p, slice_sub(slice_of(message), 0, cut), 11, &out, &seen);
            bool behind_end = cut >= sizeof message - 3;
            assert_int_equal(e, behind_end ? OK : ERR_EOF);
            assert_int_equal(seen.terminal, behind_end);
            if (behind_end)
                assert_true(slice_eq(buf_slice(&whole), buf_slice(&out)));
            else
                assert_true(slice_starts(buf_slice(&whole), buf_slice(&out)));
        }
    }
    buf_free(&whole);
    buf_free(&out);
}

/* A Bedrock client in front of an OpenAI provider. */
static void test_openai_to_frames(void **state)
{
    struct translate_plan p = plan(DIALECT_OPENAI, FRAMING_SSE, DIALECT_ANTHROPIC, FRAMING_AWS);
    struct translate_plan back = plan(DIALECT_ANTHROPIC, FRAMING_AWS, DIALECT_OPENAI,
                                      FRAMING_WHOLE);
    struct slice in = S(
        "data: {\"id\":\"c1\",\"model\":\"g\",\"choices\":[{\"index\":0,\"delta\":"
        "{\"content\":\"Hello\"}}]}\n\n"
        "data: {\"id\":\"c1\",\"model\":\"g\",\"choices\":[{\"index\":0,\"delta\":{},"
        "\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n");
    struct buf frames, out, again;
    (void)state;
    buf_init(&frames, 1 << 20);
    buf_init(&again, 1 << 20);
    buf_init(&out, 1 << 20);
    assert_int_equal(play(&p, in, in.n, &frames, NULL), OK);
    assert_int_equal(play(&p, in, 1, &again, NULL), OK);
    assert_true(slice_eq(buf_slice(&frames), buf_slice(&again)));
    assert_int_equal(play(&back, buf_slice(&frames), 10, &out, NULL), OK);
    assert_true(slice_search(buf_slice(&out), S("\"content\":\"Hello\"")) > 0);
    buf_free(&frames);
    buf_free(&again);
    buf_free(&out);
}

static void test_names(void **state)
{
    struct slice name = S(
        "mcp__a server__a tool with a name that no provider would ever take as it is");
    struct translate_plan p = plan(DIALECT_ANTHROPIC, FRAMING_WHOLE, DIALECT_OPENAI, FRAMING_WHOLE);
    struct names *names = codec_names_new();
    struct ask_target target = {.model = S("")};
    struct buf ask, body, in, out;
    const char *why = "";
    char written[128];
    struct span v;
    (void)state;
    buf_init(&ask, 1 << 16);
    buf_init(&body, 1 << 16);
    buf_init(&in, 1 << 16);
    buf_init(&out, 1 << 16);
    assert_int_equal(
        buf_printf(&ask,
                   "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],"
                   "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"%.*s\"}}]}",
                   (int)name.n, name.p),
        OK);
    assert_int_equal(codec_ask_translate(DIALECT_OPENAI, DIALECT_ANTHROPIC, buf_slice(&ask),
                                         &target, names, &body, &why),
                     OK);
    ptrdiff_t at = slice_search(buf_slice(&body), S("\"name\":"));
    assert_true(at > 0);
    v.from = (size_t)at + 7;
    v.to = v.from + 1 + (size_t)slice_find(slice_sub(buf_slice(&body), v.from + 1, body.len), '"') +
           1;
    assert_true(json_span_text(buf_slice(&body), v, written, sizeof written));
    assert_true(strlen(written) <= 64);
    assert_int_equal(buf_printf(&in,
                                "{\"id\":\"msg_1\",\"type\":\"message\",\"content\":[{\"type\":"
                                "\"tool_use\",\"id\":\"t\",\"name\":\"%s\",\"input\":{}}],"
                                "\"stop_reason\":\"tool_use\"}",
                                written),
                     OK);
    p.names = names;
    assert_int_equal(play(&p, buf_slice(&in), 100, &out, NULL), OK);
    assert_true(slice_search(buf_slice(&out), name) > 0);
    codec_names_free(names);
    buf_free(&ask);
    buf_free(&body);
    buf_free(&in);
    buf_free(&out);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void error_of(enum dialect from, enum framing in, enum dialect to, enum framing out_framing,
                     struct buf *out)
{
    struct translate_plan p = plan(from, in, to, out_framing);
    struct translate *t = translate_new(&p);
    buf_clear(out);
    assert_int_equal(translate_error(t, 529, S("Over \"loaded\""), out), OK);
    size_t n = out->len;
    assert_int_equal(translate_error(t, 500, S("again"), out), OK); /* only the first counts */
    assert_int_equal(out->len, n);
    translate_free(t);
}

static void test_error_ends(void **state)
{
    struct aws_frame f;
    struct buf out;
    (void)state;
    buf_init(&out, 1 << 16);
    error_of(DIALECT_OPENAI, FRAMING_SSE, DIALECT_ANTHROPIC, FRAMING_SSE, &out);
    assert_true(slice_starts(buf_slice(&out), S("event: error\ndata: {\"type\":\"error\"")));
    assert_true(slice_search(buf_slice(&out), S("overloaded_error")) > 0);
    error_of(DIALECT_ANTHROPIC, FRAMING_AWS, DIALECT_ANTHROPIC, FRAMING_SSE, &out);
    assert_true(slice_starts(buf_slice(&out), S("event: error\ndata: {\"type\":\"error\"")));
    error_of(DIALECT_OPENAI, FRAMING_SSE, DIALECT_ANTHROPIC, FRAMING_WHOLE, &out);
    assert_true(slice_starts(buf_slice(&out), S("{\"type\":\"error\"")));
    error_of(DIALECT_ANTHROPIC, FRAMING_WHOLE, DIALECT_ANTHROPIC, FRAMING_WHOLE, &out);
    assert_true(slice_starts(buf_slice(&out), S("{\"type\":\"error\"")));
    error_of(DIALECT_ANTHROPIC, FRAMING_SSE, DIALECT_OPENAI, FRAMING_SSE, &out);
    assert_true(slice_starts(buf_slice(&out), S("data: {\"error\"")));
    assert_true(slice_search(buf_slice(&out), S("[DONE]")) < 0);
    for (int i = 0; i < 2; i++) { /* both ways into frames: written, and untouched */
        error_of(i == 0 ? DIALECT_OPENAI : DIALECT_ANTHROPIC, FRAMING_SSE, DIALECT_ANTHROPIC,
                 FRAMING_AWS, &out);
        assert_int_equal(aws_frame_read(buf_slice(&out), &f), OK);
        assert_true(slice_eq(f.kind, S("serviceUnavailableException")));
        assert_true(slice_eq(f.payload, S("{\"message\":\"Over \\\"loaded\\\"\"}")));
    }
    buf_free(&out);
}

static void test_ping(void **state)
{
    static const struct {
        enum dialect from, to;
        enum framing out;
        const char *want;
    } cases[] = {
        {DIALECT_OPENAI, DIALECT_ANTHROPIC, FRAMING_SSE,
         "event: ping\ndata: {\"type\": \"ping\"}\n\n"},
        {DIALECT_ANTHROPIC, DIALECT_OPENAI, FRAMING_SSE, ": ping\n\n"},
        {DIALECT_ANTHROPIC, DIALECT_OPENAI, FRAMING_WHOLE, ""},
    };
    struct buf out;
    (void)state;
    buf_init(&out, 1 << 16);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct translate_plan p = plan(cases[i].from, FRAMING_SSE, cases[i].to, cases[i].out);
        struct translate *t = translate_new(&p);
        buf_clear(&out);
        assert_int_equal(translate_ping(t, &out), OK);
        assert_true(slice_eq(buf_slice(&out), slice_of(cases[i].want)));
        assert_false(translate_see(t)->meaningful);
        translate_free(t);
    }
    for (int i = 0; i < 2; i++) { /* into frames: written, and untouched */
        struct translate_plan p = plan(i ? DIALECT_OPENAI : DIALECT_ANTHROPIC, FRAMING_SSE,
                                       DIALECT_ANTHROPIC, FRAMING_AWS);
        struct translate *t = translate_new(&p);
        struct aws_frame f;
        buf_clear(&out);
        assert_int_equal(translate_ping(t, &out), OK);
        assert_int_equal(aws_frame_read(buf_slice(&out), &f), OK);
        assert_true(slice_eq(f.kind, S("chunk")));
        translate_free(t);
    }
    buf_free(&out);
}

/* What comes behind the end, or behind an error, changes nothing. */
static void test_behind_the_end(void **state)
{
    struct translate_plan p = plan(DIALECT_ANTHROPIC, FRAMING_SSE, DIALECT_OPENAI, FRAMING_SSE);
    struct observation seen;
    struct buf in, once, twice;
    (void)state;
    buf_init(&in, 1 << 16);
    buf_init(&once, 1 << 16);
    buf_init(&twice, 1 << 16);
    assert_int_equal(buf_puts(&in, slice_of(message)), OK);
    assert_int_equal(play(&p, buf_slice(&in), 50, &once, NULL), OK);
    assert_int_equal(buf_puts(&in, slice_of(message)), OK);
    assert_int_equal(buf_puts(&in, S("event: x\ndata: ]]]")), OK);
    assert_int_equal(play(&p, buf_slice(&in), 50, &twice, &seen), OK);
    assert_true(slice_eq(buf_slice(&once), buf_slice(&twice)));
    buf_free(&in);
    buf_free(&once);
    buf_free(&twice);
}

/* Servers that forget to begin or to end blocks, and blocks that are passed over among them. */
static void test_sloppy(void **state)
{
    static const char start[] =
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\"}}\n\n";
    static const char *const middles[] = {
        "data: "
        "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"other\"}}\n\n",
        "data: {\"type\":\"content_block_start\",\"index\":0}\n\n",
        "data: "
        "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\"}}\n\n"
        "data: "
        "{\"type\":\"content_block_start\",\"index\":5,\"content_block\":{\"type\":\"text\"}}\n\n",
        "data: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
        "",
    };
    static const char end[] =
        "data: {\"type\":\"content_block_delta\",\"index\":5,\"delta\":{\"type\":\"text_delta\","
        "\"text\":\"said\"}}\n\ndata: {\"type\":\"message_stop\"}\n\n";
    struct translate_plan p = plan(DIALECT_ANTHROPIC, FRAMING_SSE, DIALECT_OPENAI, FRAMING_SSE);
    struct buf in, out;
    (void)state;
    buf_init(&in, 1 << 16);
    buf_init(&out, 1 << 16);
    for (size_t i = 0; i < sizeof middles / sizeof middles[0]; i++) {
        buf_clear(&in);
        buf_clear(&out);
        assert_int_equal(buf_puts(&in, slice_of(start)), OK);
        assert_int_equal(buf_puts(&in, slice_of(middles[i])), OK);
        assert_int_equal(buf_puts(&in, slice_of(end)), OK);
        assert_int_equal(play(&p, buf_slice(&in), 20, &out, NULL), OK);
        assert_true(slice_search(buf_slice(&out), S("\"content\":\"said\"")) > 0);
    }
    buf_free(&in);
    buf_free(&out);
}

/* An error that came with a 200: its head is not sent yet where one body was asked for. */
static void test_status(void **state)
{
    static const struct {
        enum dialect from, to;
        const char *body;
        int status;
    } rows[] = {
        {DIALECT_ANTHROPIC, DIALECT_OPENAI,
         "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}", 503},
        {DIALECT_ANTHROPIC, DIALECT_OPENAI,
         "{\"type\":\"error\",\"error\":{\"type\":\"1308\",\"message\":\"x\"}}", 500},
        {DIALECT_OPENAI, DIALECT_ANTHROPIC, "{\"error\":{\"code\":503,\"message\":\"x\"}}", 529},
        {DIALECT_ANTHROPIC, DIALECT_ANTHROPIC,
         "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"x\"}}", 429},
        {DIALECT_ANTHROPIC, DIALECT_OPENAI, "{\"content\":[]}", 0},
        {DIALECT_ANTHROPIC, DIALECT_OPENAI,
         "{\"base_resp\":{\"status_code\":1002,\"status_msg\":\"slow down\"}}", 429},
    };
    struct buf out;
    (void)state;
    buf_init(&out, 1 << 16);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct translate_plan p = plan(rows[i].from, FRAMING_WHOLE, rows[i].to, FRAMING_WHOLE);
        struct translate *t = translate_new(&p);
        assert_int_equal(translate_feed(t, slice_of(rows[i].body), &out), OK);
        assert_int_equal(translate_status(t), 0);
        assert_int_equal(translate_end(t, &out), OK);
        assert_int_equal(translate_status(t), rows[i].status);
        translate_free(t);
    }
    buf_free(&out);
}

static void test_tongues(void **state)
{
    static const struct {
        enum framing in;
        const char *bytes;
        enum err e;
    } rows[] = {
        {FRAMING_WHOLE, "<html>", ERR_SYNTAX},
        {FRAMING_WHOLE, "", ERR_SYNTAX},
        {FRAMING_WHOLE, "[]", ERR_SYNTAX},
        {FRAMING_WHOLE, "{}", ERR_SYNTAX},
        {FRAMING_WHOLE, "{\"content\":1}", ERR_SYNTAX},
        {FRAMING_SSE, "<html>\n\n", ERR_EOF},
        {FRAMING_SSE, "data: <html>\n\n", ERR_SYNTAX},
        {FRAMING_SSE, "event: content_block_delta\ndata: {}\n\n", ERR_SYNTAX},
        {FRAMING_SSE, "event: message_stop\ndata: {}\n\n", ERR_SYNTAX}, /* of what? */
        {FRAMING_SSE, "", ERR_EOF},
        {FRAMING_LINES, "{}\n", ERR_SYNTAX},
        {FRAMING_ARRAY, "{", ERR_EOF},
        {FRAMING_ARRAY, "<", ERR_SYNTAX},
        {FRAMING_AWS, "0123456789ab", ERR_CORRUPT},
        {FRAMING_AWS, "0123456789a", ERR_EOF},
    };
    struct buf out;
    (void)state;
    buf_init(&out, 1 << 16);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct translate_plan p = plan(DIALECT_ANTHROPIC, rows[i].in, DIALECT_OPENAI, FRAMING_SSE);
        buf_clear(&out);
        enum err e = play(&p, slice_of(rows[i].bytes), 3, &out, NULL);
        if (e != rows[i].e)
            fail_msg("%zu: %s", i, err_name(e));
        assert_int_equal(out.len, 0);
    }
    buf_free(&out);
}

/* ---- framings by themselves ------------------------------------------------------------------ */

struct collected {
    struct buf text;
};

static enum err on_event(void *arg, struct slice name, struct slice data)
{
    struct collected *c = arg;
    enum err e = buf_printf(&c->text, "<%.*s|%.*s>", (int)name.n, name.p, (int)data.n, data.p);
    return e;
}

static void test_framings(void **state)
{
    static const struct {
        enum framing kind;
        const char *bytes, *want;
        enum err end;
    } rows[] = {
        {FRAMING_LINES, "{\"a\":1}\n\n \r\n{\"b\":2}\r\n{\"c\":3}\r",
         "<|{\"a\":1}><|{\"b\":2}><|{\"c\":3}>", OK},
        {FRAMING_LINES, "", "", OK},
        {FRAMING_ARRAY, "[{\"a\":1},\n{\"b\":[\"]}\\\"\",{}]}\n]\n",
         "<|{\"a\":1}><|{\"b\":[\"]}\\\"\",{}]}>", OK},
        {FRAMING_ARRAY, " [ ] ", "", OK},
        {FRAMING_ARRAY, "[{\"a\":1}", "<|{\"a\":1}>", ERR_EOF},
        {FRAMING_ARRAY, "[{\"a\":\"\\", "", ERR_EOF},
        {FRAMING_ARRAY, " {\"error\":{\"code\":1}} ", "<|{\"error\":{\"code\":1}}>", OK},
        {FRAMING_WHOLE, "{\"a\":\n1}", "<|{\"a\":\n1}>", OK},
        {FRAMING_SSE, "event: a\ndata: 1\ndata: 2\n\n: c\n\ndata: 3\n\n", "<a|1\n2><|3>", OK},
        {FRAMING_SSE, "data: 1\r\n\r\ndata: [DONE]", "<|1><|[DONE]>", OK},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice in = slice_of(rows[i].bytes);
        for (size_t step = 1; step <= 17; step++) {
            struct collected c;
            struct framer f;
            buf_init(&c.text, 1 << 16);
            framer_init(&f, rows[i].kind);
            for (size_t at = 0, n = 0; at < in.n; at += n) {
                n = step < in.n - at ? step : in.n - at;
                assert_int_equal(framer_feed(&f, slice_sub(in, at, at + n), on_event, &c), OK);
            }
            assert_int_equal(framer_end(&f, on_event, &c), rows[i].end);
            if (!slice_eq(buf_slice(&c.text), slice_of(rows[i].want)))
                fail_msg("%zu in pieces of %zu: %.*s", i, step, (int)c.text.len, c.text.p);
            framer_free(&f);
            buf_free(&c.text);
        }
    }
}

static void test_frames_out(void **state)
{
    static const struct {
        enum framing kind;
        const char *want;
    } rows[] = {
        {FRAMING_SSE, "event: a\ndata: {\"x\":\ndata: 1}\n\ndata: {}\n\n"},
        {FRAMING_LINES, "{\"x\": 1}\n{}\n"},
        {FRAMING_ARRAY, "[{\"x\":\n1},\n{}]\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct frames f = {.kind = rows[i].kind};
        struct buf out;
        buf_init(&out, 1 << 16);
        assert_int_equal(frames_put(&f, S("a"), S("{\"x\":\n1}"), &out), OK);
        assert_int_equal(frames_put(&f, S(""), S("{}"), &out), OK);
        assert_int_equal(frames_end(&f, &out), OK);
        assert_int_equal(frames_end(&f, &out), OK); /* once only */
        if (!slice_eq(buf_slice(&out), slice_of(rows[i].want)))
            fail_msg("%zu: %.*s", i, (int)out.len, out.p);
        buf_free(&out);
    }
}

/* ---- bounds ---------------------------------------------------------------------------------- */

static void long_line(size_t n, struct buf *in)
{
    static const char head[] =
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\"}}\n\n"
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
        "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
        "{\"type\":\"text_delta\",\"text\":\"";
    assert_int_equal(buf_puts(in, slice_of(head)), OK);
    while (in->len < n)
        assert_int_equal(buf_puts(in, S("a line of text, with an escape or two: \\n\\u00e9")), OK);
    assert_int_equal(buf_puts(in, S("\"}}\n\n")), OK);
}

static void test_long_line(void **state)
{
    struct translate_plan p = plan(DIALECT_ANTHROPIC, FRAMING_SSE, DIALECT_OPENAI, FRAMING_SSE);
    struct buf in, out;
    (void)state;
    buf_init(&in, BIG);
    buf_init(&out, BIG);
    long_line((size_t)10 << 20, &in);
    assert_int_equal(play(&p, buf_slice(&in), 65536, &out, NULL), ERR_EOF);
    assert_true(out.len > (size_t)9 << 20);
    buf_clear(&in);
    buf_clear(&out);
    long_line((size_t)33 << 20, &in);
    assert_int_equal(play(&p, buf_slice(&in), 65536, &out, NULL), ERR_LIMIT);
    assert_true(out.len < 1000);
    buf_clear(&out);
    p.in = FRAMING_WHOLE;
    assert_int_equal(play(&p, buf_slice(&in), 65536, &out, NULL), ERR_LIMIT);
    p.in = FRAMING_LINES;
    buf_consume(&in, (size_t)slice_search(buf_slice(&in), S("a line")));
    assert_int_equal(play(&p, buf_slice(&in), 65536, &out, NULL), ERR_LIMIT);
    assert_int_equal(out.len, 0);
    buf_free(&in);
    buf_free(&out);
}

/* A client's buffer that is full: what does not fit whole is not there at all. */
static void test_full_client(void **state)
{
    struct translate_plan p = plan(DIALECT_ANTHROPIC, FRAMING_SSE, DIALECT_OPENAI, FRAMING_SSE);
    struct buf whole, out;
    (void)state;
    buf_init(&whole, 1 << 16);
    assert_int_equal(play(&p, slice_of(message), 1000, &whole, NULL), OK);
    for (size_t max = 0; max < whole.len; max += 7) {
        buf_init(&out, max);
        assert_int_equal(play(&p, slice_of(message), 1000, &out, NULL), ERR_LIMIT);
        assert_true(slice_starts(buf_slice(&whole), buf_slice(&out)));
        assert_true(out.len == 0 || slice_ends(buf_slice(&out), S("\n\n")));
        buf_free(&out);
    }
    buf_free(&whole);
}

/* ---- when memory is short -------------------------------------------------------------------- */

/* Every fallible call fails once, each in its turn: nothing is lost unnoticed, and what came out is
 * the beginning of what would have. */
static void test_torture(void **state)
{
    static const struct {
        enum dialect from, to;
        enum framing in, out;
    } rows[] = {
        {DIALECT_ANTHROPIC, DIALECT_OPENAI, FRAMING_SSE, FRAMING_SSE},
        {DIALECT_ANTHROPIC, DIALECT_ANTHROPIC, FRAMING_SSE, FRAMING_AWS},
        {DIALECT_ANTHROPIC, DIALECT_ANTHROPIC, FRAMING_SSE, FRAMING_WHOLE},
        {DIALECT_ANTHROPIC, DIALECT_OPENAI, FRAMING_SSE, FRAMING_WHOLE},
    };
    struct buf whole, out;
    (void)state;
    buf_init(&whole, 1 << 20);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct translate_plan p = plan(rows[i].from, rows[i].in, rows[i].to, rows[i].out);
        struct observation seen;
        uint64_t n = 0;
        buf_clear(&whole);
        assert_int_equal(play(&p, slice_of(message), 31, &whole, NULL), OK);
        do {
            buf_init(&out, 1 << 20);
            fault_counter = 0;
            fault_target = ++n;
            enum err e = play(&p, slice_of(message), 31, &out, &seen);
            fault_target = 0;
            assert_true(slice_starts(buf_slice(&whole), buf_slice(&out)));
            assert_true(e != OK || seen.blind || out.len == whole.len);
            assert_true(e != OK || seen.blind || seen.usage.output == 9);
            buf_free(&out);
        } while (fault_counter >= n);
        assert_true(n > 10);
    }
    buf_free(&whole);
}

static void test_torture_asks(void **state)
{
    static const char ask[] =
        "{\"model\":\"claude-opus-4-6\",\"max_tokens\":5,\"system\":[{\"type\":\"text\",\"text\":"
        "\"s\"},"
        "{\"type\":\"text\",\"text\":\"t\"}],\"messages\":[{\"role\":\"user\",\"content\":[{"
        "\"type\":"
        "\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/"
        "png\",\"data\":\"AAAA\"}},"
        "{\"type\":\"document\",\"source\":{\"type\":\"base64\",\"media_type\":\"text/plain\","
        "\"data\":\"aGk=\"}}]},{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":"
        "\"a b\","
        "\"name\":\"n m\",\"input\":{\"x\":[1,2]}}]},{\"role\":\"user\",\"content\":[{\"type\":"
        "\"tool_result\",\"tool_use_id\":\"a b\",\"content\":\"r\"}]}],\"tools\":[{\"name\":\"n "
        "m\","
        "\"input_schema\":{}}],\"thinking\":{\"type\":\"adaptive\"},\"tool_choice\":{\"type\":"
        "\"any\"},\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":"
        "{\"type\":\"object\",\"properties\":{}}}}}";
    static const enum dialect tos[] = {DIALECT_ANTHROPIC, DIALECT_OPENAI};
    struct ask_target t = {.model = S("")};
    const char *why = "";
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct buf whole, out;
        struct names *names = codec_names_new();
        uint64_t n = 0;
        buf_init(&whole, 1 << 20);
        assert_int_equal(
            codec_ask_translate(DIALECT_ANTHROPIC, tos[i], slice_of(ask), &t, names, &whole, &why),
            OK);
        do {
            buf_init(&out, 1 << 20);
            fault_counter = 0;
            fault_target = ++n;
            enum err e = codec_ask_translate(DIALECT_ANTHROPIC, tos[i], slice_of(ask), &t, names,
                                             &out, &why);
            fault_target = 0;
            assert_true(e == OK ? slice_eq(buf_slice(&whole), buf_slice(&out)) : out.len == 0);
            assert_int_equal(e == OK, why[0] == '\0');
            buf_free(&out);
        } while (fault_counter >= n);
        assert_true(n > 20);
        codec_names_free(names);
        buf_free(&whole);
    }
}

/* ---- errors ---------------------------------------------------------------------------------- */

static void test_error_statuses(void **state)
{
    static const struct {
        enum dialect from, to;
        int status, want;
        const char *body, *text;
    } rows[] = {
        {DIALECT_ANTHROPIC, DIALECT_OPENAI, 529, 503, "{}", "server_error"},
        {DIALECT_ANTHROPIC, DIALECT_ANTHROPIC, 424, 500, "{\"message\":\"failed\"}", "api_error"},
        {DIALECT_ANTHROPIC, DIALECT_ANTHROPIC, 503, 529, "{\"message\":\"x\"}", "overloaded_error"},
        {DIALECT_ANTHROPIC, DIALECT_ANTHROPIC, 400, 400,
         "{\"message\":\"Input is too long for requested model.\"}", "\"prompt is too long: Input"},
        {DIALECT_ANTHROPIC, DIALECT_ANTHROPIC, 400, 400,
         "{\"error\":{\"message\":\"prompt is too long: 3 tokens > 2 maximum\"}}",
         "\"prompt is too long: 3"},
        {DIALECT_OPENAI, DIALECT_ANTHROPIC, 408, 504, "", "timeout_error"},
        {DIALECT_OPENAI, DIALECT_ANTHROPIC, 413, 413, "", "request_too_large"},
        {DIALECT_OPENAI, DIALECT_ANTHROPIC, 404, 404, "{\"error\":\"no\"}", "not_found_error"},
        {DIALECT_OPENAI, DIALECT_ANTHROPIC, 500, 500, "\xff\xfe", "says nothing"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out;
        int status = rows[i].status;
        buf_init(&out, 1 << 16);
        assert_int_equal(codec_error_translate(rows[i].from, rows[i].to, &status,
                                               slice_of(rows[i].body), S("r"), &out),
                         OK);
        assert_int_equal(status, rows[i].want);
        if (slice_search(buf_slice(&out), slice_of(rows[i].text)) < 0)
            fail_msg("%zu: %.*s", i, (int)out.len, out.p);
        buf_free(&out);
    }
}

static void test_facts(void **state)
{
    static const struct {
        enum dialect d;
        const char *body;
        struct ask_facts want;
    } rows[] = {
        {DIALECT_ANTHROPIC,
         "{\"stream\":true,\"thinking\":{\"type\":\"enabled\"}}",
         {true, false, true}},
        {DIALECT_ANTHROPIC, "{\"thinking\":{\"type\":\"disabled\"}}", {false, false, false}},
        {DIALECT_OPENAI,
         "{\"stream\":true,\"stream_options\":{\"include_usage\":true}}",
         {true, true, true}},
        {DIALECT_OLLAMA, "{}", {true, false, false}},
        {DIALECT_OLLAMA, "{\"stream\":false,\"think\":\"low\"}", {false, false, true}},
        {DIALECT_GEMINI,
         "{\"generationConfig\":{\"thinkingConfig\":{\"includeThoughts\":true}}}",
         {false, false, true}},
        {DIALECT_ANTHROPIC, "nonsense", {false, false, false}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct ask_facts f;
        codec_ask_facts(rows[i].d, slice_of(rows[i].body), &f);
        assert_int_equal(f.stream, rows[i].want.stream);
        assert_int_equal(f.include_usage, rows[i].want.include_usage);
        assert_int_equal(f.thinking, rows[i].want.thinking);
    }
}

/* ---- cost ------------------------------------------------------------------------------------ */

/* Prints what one delta costs; the limit is generous, for sanitizers and loaded machines. */
static void cost(const char *what, const struct translate_plan *p, struct slice head,
                 struct slice event, int events)
{
    struct translate *t = translate_new(p);
    struct buf out;
    buf_init(&out, BIG);
    assert_int_equal(translate_feed(t, head, &out), OK);
    clock_t from = clock();
    for (int i = 0; i < events; i++) {
        assert_int_equal(translate_feed(t, event, &out), OK);
        buf_clear(&out);
    }
    double us = (double)(clock() - from) * 1e6 / CLOCKS_PER_SEC / events;
    printf("           %s: %.2f us a delta\n", what, us);
    assert_true(us < 200);
    translate_free(t);
    buf_free(&out);
}

static void test_cost(void **state)
{
    struct slice delta = S("event: content_block_delta\ndata: {\"type\":\"content_block_delta\","
                           "\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" some words "
                           "of\\n usual \\\"length\\\"\"}}\n\n");
    struct slice start = S("event: message_start\ndata: {\"type\":\"message_start\",\"message\":"
                           "{\"id\":\"m\"}}\n\n");
    struct slice chunk = S(
        "data: {\"id\":\"chatcmpl-Ex\",\"object\":\"chat.completion.chunk\","
        "\"created\":1790000000,\"model\":\"gpt-6-sol\",\"choices\":[{\"index\":0,"
        "\"delta\":{\"content\":\" some words of\\n usual \\\"length\\\"\"},"
        "\"finish_reason\":null}],\"usage\":null}\n\n");
    struct translate_plan a = plan(DIALECT_ANTHROPIC, FRAMING_SSE, DIALECT_OPENAI, FRAMING_SSE);
    struct translate_plan o = plan(DIALECT_OPENAI, FRAMING_SSE, DIALECT_ANTHROPIC, FRAMING_SSE);
    struct translate_plan b = plan(DIALECT_ANTHROPIC, FRAMING_AWS, DIALECT_ANTHROPIC, FRAMING_SSE);
    struct translate_plan to_r = plan(DIALECT_ANTHROPIC, FRAMING_SSE, DIALECT_RESPONSES,
                                      FRAMING_SSE);
    struct translate_plan r = plan(DIALECT_RESPONSES, FRAMING_SSE, DIALECT_ANTHROPIC, FRAMING_SSE);
    struct slice piece = S(
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\","
        "\"sequence_number\":4,\"item_id\":\"msg_68\",\"output_index\":0,\"content_index\":0,"
        "\"delta\":\" some words of\\n usual \\\"length\\\"\",\"logprobs\":[],"
        "\"obfuscation\":\"aZ\"}\n\n");
    struct buf frame, none;
    (void)state;
    buf_init(&frame, 1 << 16);
    buf_init(&none, 1 << 16);
    struct slice json = slice_sub(delta, (size_t)slice_find(delta, '{'), delta.n - 2);
    assert_int_equal(aws_frame_put(S("{\"type\":\"message_start\",\"message\":{}}"), &none), OK);
    assert_int_equal(aws_frame_put(json, &frame), OK);
    cost("anthropic to openai", &a, start, delta, 20000);
    cost("openai to anthropic", &o, S(""), chunk, 20000);
    cost("anthropic to responses", &to_r, start, delta, 20000);
    cost("responses to anthropic", &r, S(""), piece, 20000);
    cost("bedrock's frames to anthropic", &b, buf_slice(&none), buf_slice(&frame), 20000);
    buf_free(&frame);
    buf_free(&none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bedrock_stream), cmocka_unit_test(test_bedrock_client),
        cmocka_unit_test(test_exception),      cmocka_unit_test(test_untouched_nonsense),
        cmocka_unit_test(test_every_cut),      cmocka_unit_test(test_openai_to_frames),
        cmocka_unit_test(test_names),          cmocka_unit_test(test_error_ends),
        cmocka_unit_test(test_ping),           cmocka_unit_test(test_behind_the_end),
        cmocka_unit_test(test_status),         cmocka_unit_test(test_sloppy),
        cmocka_unit_test(test_tongues),        cmocka_unit_test(test_framings),
        cmocka_unit_test(test_frames_out),     cmocka_unit_test(test_long_line),
        cmocka_unit_test(test_full_client),    cmocka_unit_test(test_torture),
        cmocka_unit_test(test_torture_asks),   cmocka_unit_test(test_error_statuses),
        cmocka_unit_test(test_facts),          cmocka_unit_test(test_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
