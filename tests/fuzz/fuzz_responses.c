/* links: base http codec */
/* The Responses dialect over hostile bytes. The first byte chooses what they are taken for:
 *   a reply watched: any split gives the same observation and lets the same bytes through;
 *   a reply read: what is said keeps the contract, and it can be written again in this dialect;
 *   a request: scanned, and what it refers to found.
 * Translations to the other dialects are fuzz_translate's. */
#include "../unit/codec_contract.h"
#include "../unit/codec_watch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_watch(enum reply_kind kind, struct slice bytes, uint8_t split)
{
    struct watch whole, cut;
    struct reply_words words = {0};
    struct observation o = {.words = &words};
    watch_play_as(&whole, DIALECT_RESPONSES, kind, bytes, 0, 0);
    MUST(whole.forwarded <= bytes.n);
    watch_play_as(&cut, DIALECT_RESPONSES, kind, bytes, split, split / 8);
    MUST(strcmp(whole.seen, cut.seen) == 0 && whole.forwarded == cut.forwarded);
    watch_play_as(&cut, DIALECT_RESPONSES, kind, bytes, 0, bytes.n < 600 ? 1 : 61);
    MUST(strcmp(whole.seen, cut.seen) == 0 && whole.forwarded == cut.forwarded);
    codec_error_read(DIALECT_RESPONSES, 400 + split, bytes, &o);
    MUST(o.error != REPLY_ERROR_NONE);
}

struct echo {
    struct contract contract;
    struct say_writer *writer;
    struct buf out;
};

static enum err on_say(void *arg, const struct say *s)
{
    struct echo *e = arg;
    enum err err = contract_say(&e->contract, s);
    return err == OK ? canon_responses.write(e->writer, s, &e->out) : err;
}

/* The JSON of each event that was written, or the one body. */
static void check_written(struct slice text, bool whole)
{
    struct json *doc = NULL;
    struct slice line;
    while (!whole && slice_cut(&text, '\n', &line)) {
        if (!slice_starts(line, S("data: ")))
            continue;
        MUST(json_parse(slice_sub(line, 6, line.n), &doc) == OK);
        json_free(doc);
    }
    if (whole && text.n > 0) {
        MUST(json_parse(text, &doc) == OK);
        json_free(doc);
    }
}

/* Each line is one event's data; with a blank in front its name comes first. */
static void fuzz_reader(struct slice bytes, bool whole, bool out_whole)
{
    struct say_context context = {.model = S("m"), .id = S("x")};
    struct say_reader *r = canon_responses.reader_new(&context);
    struct echo echo = {.writer = canon_responses.writer_new(&context, out_whole)};
    struct slice line, name;
    enum err e = OK;
    buf_init(&echo.out, (size_t)64 << 20);
    if (whole)
        e = canon_responses.read(r, S(""), bytes, true, on_say, &echo);
    while (!whole && e == OK && slice_cut(&bytes, '\n', &line)) {
        name = S("");
        if (slice_starts(line, S(" "))) {
            line = slice_sub(line, 1, line.n);
            (void)slice_cut(&line, ' ', &name);
        }
        e = canon_responses.read(r, name, line, false, on_say, &echo);
    }
    if (e == OK)
        (void)canon_responses.read_end(r, on_say, &echo);
    check_written(buf_slice(&echo.out), out_whole);
    canon_responses.reader_free(r);
    canon_responses.writer_free(echo.writer);
    buf_free(&echo.out);
}

static void fuzz_request(struct slice body)
{
    struct request_facts f;
    struct request_refs refs;
    const char *why = "";
    if (codec_request_scan(DIALECT_RESPONSES, body, &f, &why) != OK) {
        MUST(why[0] != '\0');
        return;
    }
    MUST(f.model_span.to <= body.n && f.thread.to <= body.n && f.container.to <= body.n);
    codec_request_refs(DIALECT_RESPONSES, body, &f, &refs);
    MUST(refs.n >= 0 && refs.n <= REQUEST_REFS_MAX && refs.thread == f.stored);
    for (int i = 0; i < refs.n; i++)
        MUST(refs.id[i][0] != '\0' && strlen(refs.id[i]) < REQUEST_REF_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    /* an own copy, so that reading past its end is found */
    char *copy = mem_slicedup((struct slice){(const char *)data + 2, size - 2});
    struct slice bytes = {copy, size - 2};
    switch (data[0] % 5) {
    case 0:
        fuzz_watch(REPLY_JSON, bytes, data[1]);
        break;
    case 1:
        fuzz_watch(REPLY_SSE, bytes, data[1]);
        break;
    case 2:
        fuzz_reader(bytes, true, data[1] & 1);
        break;
    case 3:
        fuzz_reader(bytes, false, data[1] & 1);
        break;
    default:
        fuzz_request(bytes);
    }
    mem_free(copy);
    return 0;
}
