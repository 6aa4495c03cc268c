/* links: base http codec */
/* What a request names that lives on one account, what a reply makes of that kind, and thinking
 * that is taken out in place. */
#include "codec/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- requests -------------------------------------------------------------------------------- */

static void refs_of(struct slice body, struct request_refs *out)
{
    struct request_facts f;
    const char *why = "";
    if (codec_request_scan(DIALECT_ANTHROPIC, body, &f, &why) != OK)
        fail_msg("%s: %.*s", why, (int)body.n, body.p);
    codec_request_refs(DIALECT_ANTHROPIC, body, &f, out);
}

static void refs_join(const struct request_refs *r, char *out, size_t size)
{
    size_t n = 0;
    out[0] = '\0';
    for (int i = 0; i < r->n; i++)
        n += text_format(out + n, size - n, "%s%s", i > 0 ? " " : "", r->id[i]);
}

#define ASK(content) "{\"messages\":[{\"role\":\"user\",\"content\":" content "}]}"
#define FILE(id)     "{\"type\":\"image\",\"source\":{\"type\":\"file\",\"file_id\":\"" id "\"}}"

static void test_refs(void **state)
{
    static const struct {
        const char *body, *ids;
        bool thread;
    } rows[] = {
        {"{}", "", false},
        {ASK("\"file_id\""), "", false},
        {ASK("[" FILE("file_1") "]"), "file_1", false},
        {ASK("[" FILE("file_1") "," FILE("file_2") "," FILE("file_1") "]"), "file_1 file_2", false},
        {ASK("[{\"source\":{\"file_id\"\n:\t\"f\\u00691\" , \"type\" : \"file\"}}]"), "fi1", false},
        {ASK("[{\"type\":\"container_upload\",\"file_id\":\"file_1\"}]"), "file_1", false},
        {ASK("[{\"type\":\"tool_result\",\"content\":[" FILE("file_1") "]}]"), "file_1", false},
        {ASK("[{\"type\":\"document\",\"source\":{\"type\":\"content\",\"content\":[" FILE(
             "file_1") "]}}]"),
         "file_1", false},
        /* history, arguments, schemas, texts */
        {ASK("[{\"type\":\"bash_code_execution_output\",\"file_id\":\"file_1\"}]"), "", false},
        {ASK("[{\"type\":\"tool_use\",\"input\":{\"type\":\"file\",\"file_id\":\"file_1\"}}]"), "",
         false},
        {ASK("[{\"type\":\"tool_use\",\"input\":{\"a\":[{\"b\":{\"type\":\"file\",\"file_id\":"
             "\"file_1\"}}]}}," FILE("file_2") "]"),
         "file_2", false},
        {ASK("\"{\\\"type\\\":\\\"file\\\",\\\"file_id\\\":\\\"file_1\\\"}\""), "", false},
        {ASK("[{\"type\":\"file\",\"file_id\":null}]"), "", false},
        {ASK("[{\"type\":\"file\",\"file_id\":{\"x\":\"file_1\"}}]"), "", false},
        {ASK("[{\"type\":\"file\",\"file_id\":\"\"}]"), "", false},
        {ASK("[{\"type\":[\"file\"],\"file_id\":\"file_1\"}]"), "", false},
        {ASK("[[\"type\",\"file\",\"file_id\",\"file_1\"]]"), "", false},
        /* the members of the top level */
        {"{\"container\":\"container_1\"}", "container_1", false},
        {"{\"container\":null}", "", false},
        {"{\"container\":{\"id\":\"container_1\",\"skills\":[{\"type\":\"anthropic\",\"skill_id\":"
         "\"pptx\"},{\"type\":\"custom\",\"skill_id\":\"skill_1\"},7]}}",
         "container_1 skill_1", false},
        {"{\"container\":{\"skills\":\"none\"}}", "", false},
        {"{\"thread\":{\"type\":\"create\"}}", "", true},
        {"{\"thread\":{\"type\":\"continue\",\"previous_message_id\":\"msg_1\"}}", "msg_1", true},
        {"{\"thread\":null}", "", false},
        {"{\"diagnostics\":{\"previous_message_id\":\"msg_1\"}}", "", false},
        {"{\"messages\":[{\"content\":[" FILE(
             "file_1") "]}],\"thread\":{\"type\":\"continue\","
                       "\"previous_message_id\":\"msg_1\"},\"container\":\"container_1\"}",
         "container_1 msg_1 file_1", true},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct request_refs r;
        char ids[2048];
        refs_of(slice_of(rows[i].body), &r);
        refs_join(&r, ids, sizeof ids);
        if (strcmp(ids, rows[i].ids) != 0 || r.thread != rows[i].thread)
            fail_msg("%s: `%s`, not `%s`", rows[i].body, ids, rows[i].ids);
    }
}

/* However many there are, sixteen are looked up; a batch is not scanned before. */
static void test_refs_bounded(void **state)
{
    struct buf b;
    struct request_refs r;
    const struct request_facts none = {.max_tokens = -1};
    (void)state;
    buf_init(&b, 1 << 20);
    assert_int_equal(buf_puts(&b, S("{\"requests\":[")), OK);
    for (int i = 0; i < 100; i++)
        assert_int_equal(
            buf_printf(&b, "%s{\"params\":{\"x\":{\"type\":\"file\",\"file_id\":\"file_%d\"}}}",
                       i > 0 ? "," : "", i),
            OK);
    assert_int_equal(buf_puts(&b, S("]}")), OK);
    codec_request_refs(DIALECT_ANTHROPIC, buf_slice(&b), &none, &r);
    assert_int_equal(r.n, REQUEST_REFS_MAX);
    assert_string_equal(r.id[0], "file_0");
    assert_string_equal(r.id[REQUEST_REFS_MAX - 1], "file_15");
    buf_clear(&b);
    assert_int_equal(buf_printf(&b, "{\"type\":\"file\",\"file_id\":\"%0*d\"}", 300, 7), OK);
    codec_request_refs(DIALECT_ANTHROPIC, buf_slice(&b), &none, &r);
    assert_int_equal(r.n, 1); /* cut: nobody has made it, whatever it is */
    assert_int_equal(strlen(r.id[0]), REQUEST_REF_MAX - 1);
    buf_free(&b);
}

/* A batch's body is whatever the client sends: every front of a good one, and brackets galore. */
static void test_refs_broken(void **state)
{
    static const char body[] =
        "{\"a\":[{\"type\":\"file\",\"file_id\":\"file_1\"}],\"b\":\"\\\"\"}";
    const struct request_facts none = {.max_tokens = -1};
    struct request_refs r;
    char deep[400];
    (void)state;
    for (size_t n = 0; n < sizeof body; n++) {
        codec_request_refs(DIALECT_ANTHROPIC, (struct slice){body, n}, &none, &r);
        assert_true(r.n == (n >= 40));
    }
    memset(deep, '[', sizeof deep);
    memcpy(deep + 300, "\"file_id\"", 9);
    codec_request_refs(DIALECT_ANTHROPIC, (struct slice){deep, sizeof deep}, &none, &r);
    assert_int_equal(r.n, 0);
    memset(deep, '}', sizeof deep);
    memcpy(deep + 300, "\"file_id\"", 9);
    codec_request_refs(DIALECT_ANTHROPIC, (struct slice){deep, sizeof deep}, &none, &r);
    assert_int_equal(r.n, 0);
}

/* Wherever the member stands, it is found: the search steps over most bytes. */
static void test_refs_found_anywhere(void **state)
{
    char body[200];
    struct request_refs r;
    const struct request_facts none = {.max_tokens = -1};
    (void)state;
    for (int pad = 0; pad < 40; pad++) {
        size_t n = text_format(body, sizeof body,
                               "{\"x\":\"%.*s\",\"type\":\"file\",\"file_id\":\"file_1\"}", pad,
                               "\\\"file_id\\\"file_idfile_i_id_file_\\\"file_id\\\"");
        if (pad > 0 && strchr("\\", body[5 + pad]) != NULL && body[6 + pad] == '"')
            continue; /* half an escape */
        codec_request_refs(DIALECT_ANTHROPIC, (struct slice){body, n}, &none, &r);
        assert_int_equal(r.n, 1);
    }
}

/* Full of the byte that it is searched by: it is found all the same, and in time. */
static void test_refs_crowded(void **state)
{
    struct buf b;
    struct request_refs r;
    const struct request_facts none = {.max_tokens = -1};
    (void)state;
    buf_init(&b, 1 << 24);
    for (int n = 0; n < 3000; n += 61) {
        buf_clear(&b);
        assert_int_equal(buf_puts(&b, S("{\"x\":\"")), OK);
        for (int i = 0; i < n; i++)
            assert_int_equal(buf_puts(&b, i % 7 == 0 ? S("file_id") : S("_")), OK);
        assert_int_equal(buf_puts(&b, S("\",\"type\":\"file\",\"file_id\":\"file_1\"}")), OK);
        codec_request_refs(DIALECT_ANTHROPIC, buf_slice(&b), &none, &r);
        assert_int_equal(r.n, 1);
        assert_string_equal(r.id[0], "file_1");
    }
    buf_free(&b);
}

/* What the scan has seen on its way decides whether the body is searched: a name may stand anywhere
 * in the blocks that it goes by. */
static bool scan_sees(enum dialect d, struct slice body, struct request_refs *out)
{
    struct request_facts f;
    const char *why = "";
    if (codec_request_scan(d, body, &f, &why) != OK)
        fail_msg("%s: %.*s", why, (int)body.n, body.p);
    codec_request_refs(d, body, &f, out);
    return !f.no_file_ids;
}

static void test_refs_seen(void **state)
{
    static const struct {
        enum dialect d;
        const char *rest, *id;
        bool seen;
    } rows[] = {
        {DIALECT_ANTHROPIC, "\"type\":\"file\",\"file_id\":\"file_1\"", "file_1", true},
        {DIALECT_ANTHROPIC, "\"type\":\"file\",\"file_id\" : \"\\u0066ile_1\"", "file_1", true},
        {DIALECT_ANTHROPIC, "\"y\":\"\\\"\",\"file_id\":\"f\",\"type\":\"file\"", "f", true},
        {DIALECT_ANTHROPIC, "\"y\":\"\\\\\",\"file_id\":\"f\",\"type\":\"file\"", "f", true},
        {DIALECT_ANTHROPIC, "\"file_ids\":[\"file_1\"]", NULL, true},
        {DIALECT_ANTHROPIC, "\"y\":\"file_id\"", NULL, true},
        {DIALECT_ANTHROPIC, "\"y\":\"{\\\"file_id\\\":7}\",\"z\":\"_file_id\"", NULL, false},
        {DIALECT_ANTHROPIC, "\"file_i\":\"file\",\"ile_id\":{\"id\":\"file_\"}", NULL, false},
        {DIALECT_ANTHROPIC, "\"content\":\"message\",\"code_interpreter\":7", NULL, false},
        {DIALECT_RESPONSES, "\"type\":\"file_search\",\"file_ids\":[\"file_1\"]", "file_1", true},
        {DIALECT_RESPONSES, "\"type\":\"code_interpreter\",\"container\":\"cntr_1\"", "cntr_1",
         true},
        {DIALECT_RESPONSES, "\"type\":\"code_interpreter_call\",\"container\":\"c\"", NULL, true},
        {DIALECT_RESPONSES, "\"type\":\"code_interpreter\",\"Container\":\"c\"", NULL, false},
    };
    char body[600], pad[301];
    struct request_refs r;
    (void)state;
    memset(pad, 'p', sizeof pad);
    for (size_t i = 0; i < COUNT(rows) * 300; i++) {
        int n = (int)(i % 300), behind = n % 7 * 11;
        size_t len = text_format(body, sizeof body, "{\"tools\":[{\"x\":\"%.*s\",%s}%*s]%*s}", n,
                                 pad, rows[i / 300].rest, behind, "", behind / 2, "");
        struct slice text = {body, len};
        bool seen = scan_sees(rows[i / 300].d, text, &r);
        if (seen != rows[i / 300].seen || r.n != (rows[i / 300].id != NULL))
            fail_msg("%s: %s", body, seen ? "seen" : "not seen");
        if (r.n > 0)
            assert_string_equal(r.id[0], rows[i / 300].id);
    }
}

/* ---- replies --------------------------------------------------------------------------------- */

static void watch(struct ref_watch *w, struct slice b, char *out, size_t size)
{
    size_t n = strlen(out);
    while (ref_watch_next(w, &b))
        n += text_format(out + n, size - n, "%s ", w->id);
    assert_int_equal(b.n, 0);
}

static void test_watch(void **state)
{
    static const struct {
        const char *text, *ids;
    } rows[] = {
        {"", ""},
        {"\"file_id\":\"file_1\"", "file_1 "},
        {"\"file_id\" : \n \"file_1\",\"file_id\":\"file_2\"", "file_1 file_2 "},
        {"\"\"file_id\":\"file_1\"", "file_1 "},
        {"\"file_\"file_id\":\"file_1\"", "file_1 "},
        {"\"file_i\"file_i\"file_id\"\"file_1\"", "file_1 "},
        {"\"file_id\":null,\"x\":\"file_1\"", ""},
        {"\"file_id\":null\"file_id\":\"file_2\"", "file_2 "},
        {"\\\"file_id\\\":\\\"file_1\\\"", ""},
        {"\"file_id\":\"drive-7\",\"file_id\":\"file_2\"", "file_2 "},
        {"\"file_ids\":\"file_1\"", ""},
        {"\"file_id\":\"file_\"", "file_ "},
        {"{\"type\":\"bash_code_execution_output\",\"file_id\":\"file_011Ab\"}]}}\n\ndata:",
         "file_011Ab "},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct slice text = slice_of(rows[i].text);
        for (size_t step = 1; step <= text.n + 1; step++) { /* in pieces of every size */
            struct ref_watch w;
            char out[200] = "";
            ref_watch_init(&w);
            for (size_t at = 0; at < text.n; at += step)
                watch(&w, slice_sub(text, at, at + step < text.n ? at + step : text.n), out,
                      sizeof out);
            ref_watch_free(&w);
            if (strcmp(out, rows[i].ids) != 0)
                fail_msg("%s by %zu: `%s`, not `%s`", text.p, step, out, rows[i].ids);
        }
    }
}

static void test_watch_long(void **state)
{
    struct ref_watch w;
    struct buf b;
    char out[400] = "";
    (void)state;
    buf_init(&b, 4096);
    for (int n = REQUEST_REF_MAX - 8; n < REQUEST_REF_MAX + 8; n++) {
        buf_clear(&b);
        out[0] = '\0';
        assert_int_equal(
            buf_printf(&b, "\"file_id\":\"file_%0*d\",\"file_id\":\"file_2\"", n - 5, 7), OK);
        ref_watch_init(&w);
        watch(&w, buf_slice(&b), out, sizeof out);
        ref_watch_free(&w);
        assert_int_equal(strlen(out), n < REQUEST_REF_MAX ? (size_t)n + 8 : 7);
    }
    buf_free(&b);
}

/* ---- thinking -------------------------------------------------------------------------------- */

#define T    "{\"type\":\"thinking\",\"thinking\":\"a\\\"b\",\"signature\":\"s\"}"
#define R    "{\"type\":\"redacted_thinking\",\"data\":\"x\"}"
#define X    "{\"type\":\"text\",\"text\":\"thinking\"}"
#define U    "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"n\",\"input\":{\"type\":\"thinking\"}}"
#define A(c) "{\"role\":\"assistant\",\"content\":[" c "]}"
#define H    "{\"role\":\"user\",\"content\":\"hi\"}"
#define RES  "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t\"}]}"
#define M(m) "{\"model\":\"m\",\"messages\":[" m "],\"stream\":true}"

static void test_strip(void **state)
{
    static const struct {
        const char *in, *out;
        int gone;
    } rows[] = {
        {M(H), M(H), 0},
        {M(H "," A(X)), M(H "," A(X)), 0},
        {M(H "," A(T "," X)), M(H "," A(X)), 1},
        {M(H "," A(X "," T)), M(H "," A(X)), 1},
        {M(H "," A(T "," R "," X "," T "," U "," R)), M(H "," A(X "," U)), 4},
        {M(H "," A(X "," T "," R)), M(H "," A(X)), 2},
        {M(H "," A(X " , " T " , " R " , " T " , " U)), M(H "," A(X " , " U)), 3},
        {M(H "," A(T) "," A(R) "," A(T) " , " H), M(H " , " H), 3},
        {M(H "," A(T " , \n" X " ," U)), M(H "," A(X " ," U)), 1},
        {M(H " , " A(X " , " T " , " U) " , " RES), M(H " , " A(X " , " U) " , " RES), 1},
        /* a turn of nothing but thinking goes as a whole */
        {M(H "," A(T) "," H), M(H "," H), 1},
        {M(A(T) "," H), M(H), 1},
        {M(H "," A(T "," R)), M(H), 2},
        {M(A(T)), M(""), 1},
        {M(A(T) " , " A(R) "," H "," A(T) "," A(T "," X)), M(H "," A(X)), 4},
        /* not an assistant's, not a block */
        {M("{\"role\":\"user\",\"content\":[" T "]}"), M("{\"role\":\"user\",\"content\":[" T "]}"),
         0},
        {M("{\"role\":\"assistant\",\"content\":\"thinking\"}"),
         M("{\"role\":\"assistant\",\"content\":\"thinking\"}"), 0},
        {M("{\"content\":[" T "," X "],\"role\":\"assistant\"}"),
         M("{\"content\":[" X "],\"role\":\"assistant\"}"), 1},
        {"{}", "{}", 0},
        {"{\"messages\":7}", "{\"messages\":7}", 0},
        {"{\"messages\":[7,[" T "]]}", "{\"messages\":[7,[" T "]]}", 0},
        /* the tool loop */
        {"{\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024},\"messages\":[" H
         "," A(T "," U) "," RES "]}",
         "{\"thinking\":{\"type\":\"disabled\"},\"messages\":[" H "," A(U) "," RES "]}", 1},
        {"{\"messages\":[" H "," A(
             T
             "," U) "," RES
                    "],\"context_management\":{\"edits\":[{\"type\":\"clear_thinking_20251015\"}]},"
                    "\"thinking\":{\"type\":\"enabled\"}}",
         "{\"messages\":[" H "," A(U) "," RES "],\"thinking\":{\"type\":\"disabled\"}}", 1},
        {"{ \"context_management\":{\"edits\":[{\"type\":\"clear_thinking_20251015\"}]} ,"
         "\"thinking\":{\"type\":\"enabled\"},\"messages\":[" A(T "," U) "," RES "]}",
         "{ \"thinking\":{\"type\":\"disabled\"},\"messages\":[" A(U) "," RES "]}", 1},
        {"{\"thinking\":{\"type\":\"enabled\"},\"messages\":[" H "," A(T "," X) "," H "]}",
         "{\"thinking\":{\"type\":\"enabled\"},\"messages\":[" H "," A(X) "," H "]}", 1},
        /* the loop goes on: what was answered without thinking has none */
        {"{\"thinking\":{\"type\":\"enabled\"},\"messages\":[" H "," A(U) "," RES "]}",
         "{\"thinking\":{\"type\":\"disabled\"},\"messages\":[" H "," A(U) "," RES "]}", 0},
        {"{\"thinking\":{\"type\":\"adaptive\"},\"messages\":[" A(T "," U) "," RES "]}",
         "{\"thinking\":{\"type\":\"adaptive\"},\"messages\":[" A(U) "," RES "]}", 1},
    };
    struct buf out;
    (void)state;
    buf_init(&out, 1 << 16);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct thinking_strip done;
        buf_clear(&out);
        assert_int_equal(codec_thinking_strip(slice_of(rows[i].in), 1000, &out, &done), OK);
        if (!slice_eq(buf_slice(&out), slice_of(rows[i].out)) || done.gone != rows[i].gone)
            fail_msg("%s:\n%.*s\nnot\n%s", rows[i].in, (int)out.len, out.p, rows[i].out);
    }
    buf_free(&out);
}

/* Only the messages of old: what has been thought since is good. */
static void test_strip_before(void **state)
{
    static const char body[] = M(H "," A(T "," X) "," H "," A(T "," U) "," RES);
    static const char *const want[] = {body, body, M(H "," A(X) "," H "," A(T "," U) "," RES),
                                       M(H "," A(X) "," H "," A(T "," U) "," RES),
                                       M(H "," A(X) "," H "," A(U) "," RES)};
    struct buf out;
    struct thinking_strip done;
    (void)state;
    buf_init(&out, 4096);
    for (int before = 0; before < 5; before++) {
        buf_clear(&out);
        assert_int_equal(codec_thinking_strip(slice_of(body), before, &out, &done), OK);
        assert_true(slice_eq(buf_slice(&out), slice_of(want[before])));
        assert_int_equal(done.messages, 5);
        assert_int_equal(done.gone, before < 2 ? 0 : before < 4 ? 1 : 2);
        assert_false(done.off);
    }
    /* the loop's own thinking stays, so it goes on thinking */
    static const char loop[] = "{\"thinking\":{\"type\":\"enabled\"},\"messages\":[" A(
        T "," X) "," H "," A(T "," U) "," RES "]}";
    buf_clear(&out);
    assert_int_equal(codec_thinking_strip(slice_of(loop), 1, &out, &done), OK);
    assert_true(done.gone == 1 && !done.off);
    buf_clear(&out);
    assert_int_equal(codec_thinking_strip(slice_of(loop), 3, &out, &done), OK);
    assert_true(done.gone == 2 && done.off);
    buf_free(&out);
}

static void test_strip_fails(void **state)
{
    struct buf out;
    struct thinking_strip done;
    (void)state;
    buf_init(&out, 16);
    assert_int_equal(codec_thinking_strip(S(M(H)), 1000, &out, &done), ERR_LIMIT);
    buf_free(&out);
    buf_init(&out, 4096);
    assert_int_equal(codec_thinking_strip(S("[1]"), 1000, &out, &done), ERR_SYNTAX);
    buf_clear(&out);
    assert_int_equal(codec_thinking_strip(S("{\"a\":1"), 1000, &out, &done), ERR_SYNTAX);
    buf_free(&out);
}

/* Items of reasoning go from a Responses body, and nothing else does. */
static void test_reasoning(void **state)
{
    static const struct {
        const char *in, *out;
        int before, gone;
    } rows[] = {
        {"{\"input\":[{\"type\":\"reasoning\",\"id\":\"r\"}, {\"role\":\"user\"}],\"a\":1}",
         "{\"input\":[{\"role\":\"user\"}],\"a\":1}", 9, 1},
        {"{\"input\":[{\"role\":\"user\"},{\"type\":\"reasoning\"},{\"type\":\"reasoning\"}]}",
         "{\"input\":[{\"role\":\"user\"}]}", 9, 2},
        {"{\"input\":[{\"role\":\"user\"},{\"type\":\"reasoning\"},{\"type\":\"reasoning\"}]}",
         "{\"input\":[{\"role\":\"user\"},{\"type\":\"reasoning\"}]}", 2, 1},
        {"{\"input\":[ {\"type\":\"reasoning\"} ]}", "{\"input\":[  ]}", 9, 1},
        {"{\"input\":\"{\\\"type\\\":\\\"reasoning\\\"}\"}",
         "{\"input\":\"{\\\"type\\\":\\\"reasoning\\\"}\"}", 9, 0},
        {"{\"messages\":[{\"type\":\"reasoning\"}]}", "{\"messages\":[{\"type\":\"reasoning\"}]}",
         9, 0},
    };
    struct thinking_strip done;
    struct buf out;
    (void)state;
    buf_init(&out, 4096);
    for (size_t i = 0; i < COUNT(rows); i++) {
        buf_clear(&out);
        assert_int_equal(codec_reasoning_strip(slice_of(rows[i].in), rows[i].before, &out, &done),
                         OK);
        if (!slice_eq(buf_slice(&out), slice_of(rows[i].out)) || done.gone != rows[i].gone)
            fail_msg("%s:\n%.*s\nnot\n%s", rows[i].in, (int)out.len, out.p, rows[i].out);
        assert_false(done.off);
    }
    buf_clear(&out);
    assert_int_equal(codec_reasoning_strip(S("[1]"), 9, &out, &done), ERR_SYNTAX);
    buf_free(&out);
}

static void test_signature_words(void **state)
{
    static const struct {
        const char *text;
        bool is;
    } rows[] = {
        {"messages.1.content.0: Invalid `signature` in `thinking` block", true},
        {"messages.1.content.0.thinking.signature: Field required", true},
        {"messages.3.content.0: `thinking` or `redacted_thinking` blocks in the latest assistant "
         "message cannot be modified. These blocks must remain as they were.",
         true},
        {"messages.1.content.0.redacted_thinking.data: invalid", true},
        {"thinking_dropped: organization_binding_mismatch", true},
        {"messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
         "`tool_use`.",
         true},
        {"thinking.type: `enabled` is not supported by this model", false},
        {"max_tokens: must be greater than thinking.budget_tokens", false},
        {"The request signature we calculated does not match", false},
        {"The encrypted content gAAA...DQ== could not be verified.", true},
        {"The encrypted content for item rs_1 could not be verified. Reason: Encrypted content "
         "could not be decrypted or parsed.",
         true},
        {"encrypted content is not available to you", false},
        {"", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        if (codec_is_signature_error(slice_of(rows[i].text)) != rows[i].is)
            fail_msg("%s", rows[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refs),
        cmocka_unit_test(test_refs_bounded),
        cmocka_unit_test(test_refs_broken),
        cmocka_unit_test(test_refs_found_anywhere),
        cmocka_unit_test(test_refs_crowded),
        cmocka_unit_test(test_refs_seen),
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_watch_long),
        cmocka_unit_test(test_strip),
        cmocka_unit_test(test_strip_before),
        cmocka_unit_test(test_strip_fails),
        cmocka_unit_test(test_reasoning),
        cmocka_unit_test(test_signature_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
