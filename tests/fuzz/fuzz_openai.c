/* links: base http codec */
/* The OpenAI dialect over hostile bytes. The first byte chooses what they are taken for:
 *   a reply watched: any split gives the same observation and lets the same bytes through;
 *   a reply translated: any split gives the same bytes, and what is said keeps the contract;
 *   a request: translated without a fault; with the usage wish put in it is still what it was. */
#include "../unit/codec_contract.h"
#include "../unit/codec_watch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- watched --------------------------------------------------------------------------------- */

static void fuzz_watch(enum reply_kind kind, struct slice bytes, uint8_t split)
{
    struct watch whole, cut;
    struct reply_words words = {0};
    struct observation o = {.words = &words};
    struct span where = {0, 0};
    watch_play_as(&whole, DIALECT_OPENAI, kind, bytes, 0, 0);
    MUST(whole.forwarded <= bytes.n);
    watch_play_as(&cut, DIALECT_OPENAI, kind, bytes, split, split / 8);
    MUST(strcmp(whole.seen, cut.seen) == 0 && whole.forwarded == cut.forwarded);
    watch_play_as(&cut, DIALECT_OPENAI, kind, bytes, 0, bytes.n < 600 ? 1 : 61);
    MUST(strcmp(whole.seen, cut.seen) == 0 && whole.forwarded == cut.forwarded);
    codec_error_read(DIALECT_OPENAI, 400 + split, bytes, &o);
    MUST(o.error != REPLY_ERROR_NONE);
    if (codec_usage_event(DIALECT_OPENAI, bytes, &where))
        MUST(where.from < where.to && where.to <= bytes.n);
}

/* ---- translated ------------------------------------------------------------------------------ */

/* Each line is one event's data. */
static void fuzz_reader(struct slice bytes, bool whole)
{
    struct say_context context = {.model = S("m"), .id = S("x")};
    struct say_reader *r = canon_openai.reader_new(&context);
    struct contract c = {false, false, false, false};
    struct slice line;
    enum err e = OK;
    while (e == OK && slice_cut(&bytes, '\n', &line))
        e = canon_openai.read(r, S(""), line, whole, contract_say, &c);
    if (e == OK)
        (void)canon_openai.read_end(r, contract_say, &c);
    canon_openai.reader_free(r);
}

static enum err translate_all(enum dialect to, bool whole, struct slice bytes, size_t step,
                              struct buf *out)
{
    struct translate_plan plan = {.from = DIALECT_OPENAI,
                                  .to = to,
                                  .in = whole ? FRAMING_WHOLE : FRAMING_SSE,
                                  .out = to == DIALECT_OPENAI ? FRAMING_WHOLE : FRAMING_SSE,
                                  .model = S("m"),
                                  .id = S("x"),
                                  .thinking = true};
    struct translate *t = translate_new(&plan);
    enum err e = OK;
    for (size_t at = 0, n = 0; e == OK && at < bytes.n; at += n) {
        n = step == 0 || step > bytes.n - at ? bytes.n - at : step;
        e = translate_feed(t, slice_sub(bytes, at, at + n), out);
    }
    if (e == OK)
        e = translate_end(t, out);
    if (e != OK)
        MUST(translate_error(t, 500, S("x"), out) == OK);
    translate_free(t);
    return e;
}

static void fuzz_translate(bool whole, struct slice bytes, uint8_t split)
{
    struct buf a, b;
    enum dialect to = split % 2 == 0 ? DIALECT_ANTHROPIC : DIALECT_OPENAI;
    buf_init(&a, (size_t)64 << 20);
    buf_init(&b, (size_t)64 << 20);
    enum err all = translate_all(to, whole, bytes, 0, &a);
    enum err cut = translate_all(to, whole, bytes, bytes.n < 600 ? 1 + split / 32 : 61, &b);
    MUST(all == cut && slice_eq(buf_slice(&a), buf_slice(&b)));
    buf_free(&a);
    buf_free(&b);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void fuzz_ask(struct slice body, uint8_t habits)
{
    struct ask_target t = {.model = S("m"),
                           .reasoning_content = (habits & 1) != 0,
                           .first_system_only = (habits & 2) != 0,
                           .short_call_ids = (habits & 4) != 0};
    enum dialect from = habits & 8 ? DIALECT_ANTHROPIC : DIALECT_OPENAI;
    enum dialect to = habits & 16 ? DIALECT_ANTHROPIC : DIALECT_OPENAI;
    struct names *names = codec_names_new();
    struct json *doc = NULL;
    struct buf out;
    const char *why = "";
    buf_init(&out, (size_t)64 << 20);
    enum err e = codec_ask_translate(from, to, body, &t, names, &out, &why);
    MUST(e == OK || why[0] != '\0');
    if (e == OK)
        MUST(json_parse(buf_slice(&out), &doc) == OK);
    json_free(doc);
    buf_free(&out);
    codec_names_free(names);
}

static void fuzz_wish(struct slice body)
{
    struct request_facts f, g;
    struct usage_wish w, again;
    struct buf out;
    const char *why = "";
    if (!codec_usage_wish(DIALECT_OPENAI, body, &w))
        return;
    buf_init(&out, body.n + 64);
    MUST(buf_append(&out, body.p, w.cut.from) == OK && buf_puts(&out, w.put) == OK);
    MUST(buf_append(&out, body.p + w.cut.to, body.n - w.cut.to) == OK);
    MUST(!codec_usage_wish(DIALECT_OPENAI, buf_slice(&out), &again));
    enum err e = codec_request_scan(DIALECT_OPENAI, body, &f, &why);
    MUST(e == codec_request_scan(DIALECT_OPENAI, buf_slice(&out), &g, &why));
    if (e == OK)
        MUST(g.stream && strcmp(f.model, g.model) == 0 && f.conversation == g.conversation);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    /* an own copy, so that reading past its end is found */
    char *copy = mem_slicedup((struct slice){(const char *)data + 2, size - 2});
    struct slice bytes = {copy, size - 2};
    switch (data[0] % 8) {
    case 0:
        fuzz_watch(REPLY_JSON, bytes, data[1]);
        break;
    case 1:
        fuzz_watch(REPLY_SSE, bytes, data[1]);
        break;
    case 2:
        fuzz_translate(true, bytes, data[1]);
        break;
    case 3:
        fuzz_translate(false, bytes, data[1]);
        break;
    case 4:
        fuzz_reader(bytes, false);
        break;
    case 5:
        fuzz_reader(bytes, true);
        break;
    case 6:
        fuzz_wish(bytes);
        break;
    default:
        fuzz_ask(bytes, data[1]);
    }
    mem_free(copy);
    return 0;
}
