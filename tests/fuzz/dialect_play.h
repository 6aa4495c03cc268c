/* What the fuzz targets of single dialects do with hostile bytes:
 *   a reply watched: any split gives the same observation and lets the same bytes through;
 *   a reply read: what is said keeps the contract, and what is written of it again is sound JSON;
 *   a request: scanned; asked in another dialect, it is JSON;
 *   a request of another dialect: the same, the other way. */
#ifndef FUZZ_DIALECT_PLAY_H
#define FUZZ_DIALECT_PLAY_H

#include "../unit/codec_contract.h"
#include "../unit/codec_watch.h"

static inline void play_watch(enum dialect d, enum reply_kind kind, struct slice bytes,
                              uint8_t split)
{
    struct watch whole, cut;
    struct reply_words words = {0};
    struct observation o = {.words = &words};
    watch_play_as(&whole, d, kind, bytes, 0, 0);
    MUST(whole.forwarded <= bytes.n);
    watch_play_as(&cut, d, kind, bytes, split, split / 8);
    MUST(strcmp(whole.seen, cut.seen) == 0 && whole.forwarded == cut.forwarded);
    watch_play_as(&cut, d, kind, bytes, 0, bytes.n < 600 ? 1 : 61);
    MUST(strcmp(whole.seen, cut.seen) == 0 && whole.forwarded == cut.forwarded);
    codec_error_read(d, 400 + split, bytes, &o);
    MUST(o.error != REPLY_ERROR_NONE);
}

struct play_echo {
    struct contract contract;
    const struct dialect_canon *canon;
    struct say_writer *writer;
    struct buf out;
};

static inline enum err play_say(void *arg, const struct say *s)
{
    struct play_echo *e = arg;
    enum err err = contract_say(&e->contract, s);
    return err == OK ? e->canon->write(e->writer, s, &e->out) : err;
}

static inline void play_check(struct slice json)
{
    struct json *doc = NULL;
    MUST(json_parse(json, &doc) == OK && json_type(json_root(doc)) == JSON_OBJECT);
    json_free(doc);
}

/* The JSON of each event that was written, or the one body. */
static inline void play_written(struct slice text, bool whole)
{
    struct slice line;
    if (whole && text.n > 0)
        play_check(text);
    while (!whole && slice_cut(&text, '\n', &line)) {
        if (slice_starts(line, S("data: ")))
            line = slice_sub(line, 6, line.n);
        if (line.n > 0)
            play_check(line);
    }
}

/* Each line is one event's data. */
static inline void play_reader(enum dialect d, struct slice bytes, bool whole, bool out_whole)
{
    const struct dialect_canon *canon = dialect_ops_of(d)->canon;
    struct say_context context = {.model = S("m"), .id = S("x"), .thinking = true};
    struct say_reader *r = canon->reader_new(&context);
    struct play_echo echo = {.canon = canon, .writer = canon->writer_new(&context, out_whole)};
    struct slice line;
    enum err e = OK;
    buf_init(&echo.out, (size_t)64 << 20);
    if (whole)
        e = canon->read(r, S(""), bytes, true, play_say, &echo);
    while (!whole && e == OK && slice_cut(&bytes, '\n', &line))
        e = canon->read(r, S(""), line, false, play_say, &echo);
    if (e == OK)
        (void)canon->read_end(r, play_say, &echo);
    play_written(buf_slice(&echo.out), out_whole);
    canon->reader_free(r);
    canon->writer_free(echo.writer);
    buf_free(&echo.out);
}

static inline void play_ask(enum dialect from, enum dialect to, struct slice body,
                            struct slice model)
{
    struct ask_target t = {.model = model};
    struct names *names = codec_names_new();
    struct buf out;
    const char *why = "";
    buf_init(&out, (size_t)64 << 20);
    enum err e = codec_ask_translate(from, to, body, &t, names, &out, &why);
    MUST((e == OK) == (why[0] == '\0') && (e == OK || out.len == 0));
    if (e == OK)
        play_check(buf_slice(&out));
    buf_free(&out);
    codec_names_free(names);
}

static inline void play_request(enum dialect d, struct slice body)
{
    struct request_facts f;
    struct request_refs refs;
    const char *why = "";
    enum err e = codec_request_scan(d, body, &f, &why);
    MUST((e == OK) == (why[0] == '\0'));
    if (e != OK)
        return;
    MUST(f.model_span.to <= body.n && f.container.to <= body.n && f.max_tokens >= -1);
    codec_request_refs(d, body, &f, &refs);
    MUST(refs.n >= 0 && refs.n <= REQUEST_REFS_MAX);
}

/* The first byte chooses what the bytes behind the second are taken for. */
static inline void play_all(enum dialect d, enum reply_kind stream, struct slice model,
                            const uint8_t *data, size_t size)
{
    static const enum dialect others[] = {DIALECT_ANTHROPIC, DIALECT_OPENAI, DIALECT_GEMINI,
                                          DIALECT_OLLAMA};
    if (size < 2)
        return;
    /* an own copy, so that reading past its end is found */
    char *copy = mem_slicedup((struct slice){(const char *)data + 2, size - 2});
    struct slice bytes = {copy, size - 2};
    enum dialect other = others[data[1] % 4];
    switch (data[0] % 7) {
    case 0:
        play_watch(d, REPLY_JSON, bytes, data[1]);
        break;
    case 1:
        play_watch(d, stream, bytes, data[1]);
        break;
    case 2:
        play_reader(d, bytes, true, (data[1] & 1) != 0);
        break;
    case 3:
        play_reader(d, bytes, false, (data[1] & 1) != 0);
        break;
    case 4:
        play_request(d, bytes);
        break;
    case 5:
        play_ask(d, other, bytes, S("m"));
        break;
    default:
        play_ask(other, d, bytes, model);
    }
    mem_free(copy);
}

#endif
