/* links: base http codec */
/* Translations of hostile replies and requests. The first bytes choose dialects, framings and how
 * the rest is cut. However it is cut, the same comes out, whole events only; what comes out is
 * bounded by what went in; a request that is translated is JSON. */
#include "codec/dialect.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)       \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

/* Those that have a row; a new one is added here. */
static const enum dialect dialects[] = {DIALECT_ANTHROPIC, DIALECT_OPENAI, DIALECT_RESPONSES,
                                        DIALECT_GEMINI, DIALECT_OLLAMA};
#define DIALECTS (sizeof dialects / sizeof dialects[0])
static const enum framing ins[] = {FRAMING_SSE, FRAMING_WHOLE, FRAMING_AWS, FRAMING_LINES,
                                   FRAMING_ARRAY};
static const enum framing outs[] = {FRAMING_SSE, FRAMING_WHOLE, FRAMING_AWS, FRAMING_ARRAY};

struct played {
    struct buf out;
    enum err e;
    struct observation seen;
    struct reply_words words;
};

static bool between(const struct translate_plan *p, struct slice out)
{
    if ((p->out != FRAMING_SSE && p->out != FRAMING_LINES) || out.n == 0)
        return true;
    return slice_ends(out, p->out == FRAMING_SSE ? S("\n\n") : S("\n"));
}

static void play(const struct translate_plan *p, struct slice in, size_t first, size_t step,
                 struct played *d)
{
    struct translate *t = translate_new(p);
    buf_init(&d->out, (size_t)64 << 20);
    d->e = OK;
    for (size_t at = 0, n = 0; at < in.n && d->e == OK; at += n) {
        n = at == 0 && first > 0 ? first : step;
        n = n == 0 || n > in.n - at ? in.n - at : n;
        char *copy = mem_slicedup(slice_sub(in, at, at + n));
        d->e = translate_feed(t, (struct slice){copy, n}, &d->out);
        mem_free(copy);
        MUST(between(p, buf_slice(&d->out)));
    }
    if (d->e == OK)
        d->e = translate_end(t, &d->out);
    MUST(d->e != OK || translate_see(t)->terminal || translate_see(t)->blind ||
         translate_see(t)->error != REPLY_ERROR_NONE);
    if (d->e != OK)
        MUST(translate_error(t, 502, S("broke off"), &d->out) == OK);
    MUST(between(p, buf_slice(&d->out)));
    d->seen = *translate_see(t);
    d->words = *reply_words(&d->seen);
    translate_free(t);
    /* each event becomes at most a few of some hundred bytes, and each byte at most six; frames
     * and events written anew have their own share */
    MUST(d->out.len <= 400 * in.n + 8192);
}

static void same(const struct played *a, const struct played *b)
{
    MUST(a->e == b->e && slice_eq(buf_slice(&a->out), buf_slice(&b->out)));
    MUST(strcmp(a->seen.stop_reason, b->seen.stop_reason) == 0);
    MUST(strcmp(a->words.error_message, b->words.error_message) == 0);
    MUST(a->seen.usage.input == b->seen.usage.input &&
         a->seen.usage.output == b->seen.usage.output);
    MUST(a->seen.meaningful == b->seen.meaningful && a->seen.blind == b->seen.blind);
}

static void reply(const uint8_t *data, struct slice in)
{
    struct translate_plan p = {.from = dialects[data[1] % DIALECTS],
                               .to = dialects[data[1] / 16 % DIALECTS],
                               .in = ins[data[2] % (sizeof ins / sizeof ins[0])],
                               .out = outs[data[2] / 16 % (sizeof outs / sizeof outs[0])],
                               .model = S("asked"),
                               .id = S("x7"),
                               .created = 1790000000,
                               .thinking = data[0] & 2,
                               .include_usage = data[0] & 4};
    struct played whole, cut;
    if (p.to == DIALECT_OLLAMA && p.out != FRAMING_WHOLE) /* whose streams are lines only */
        p.out = FRAMING_LINES;
    play(&p, in, 0, 0, &whole);
    play(&p, in, data[3], data[0] / 16, &cut);
    same(&whole, &cut);
    buf_free(&cut.out);
    play(&p, in, 0, in.n < 600 ? 1 : 61, &cut);
    same(&whole, &cut);
    buf_free(&cut.out);
    buf_free(&whole.out);
}

static void request(const uint8_t *data, struct slice in)
{
    struct ask_target t = {.model = data[0] & 2 ? S("claude-opus-4-6") : S(""),
                           .no_stream_options = data[0] & 4,
                           .max_completion_tokens = data[0] & 8,
                           .reasoning_content = data[0] & 16,
                           .empty_content = data[0] & 32,
                           .first_system_only = data[0] & 64,
                           .no_effort = data[0] & 128,
                           .body_has_no_model = data[3] & 1,
                           .no_cache_control = data[3] & 2,
                           .no_images_by_url = data[3] & 4};
    enum dialect from = dialects[data[1] % DIALECTS], to = dialects[data[1] / 16 % DIALECTS];
    struct names *names = codec_names_new();
    struct json *doc = NULL;
    struct ask_facts facts;
    struct buf out;
    const char *why = NULL;
    buf_init(&out, (size_t)64 << 20);
    enum err e = codec_ask_translate(from, to, in, &t, names, &out, &why);
    MUST((e == OK) == (why[0] == '\0'));
    MUST(e != OK ||
         (json_parse(buf_slice(&out), &doc) == OK && json_type(json_root(doc)) == JSON_OBJECT));
    MUST(e == OK || out.len == 0);
    json_free(doc);
    codec_ask_facts(from, in, &facts);
    int status = 400 + data[0] % 200;
    buf_clear(&out);
    MUST(codec_error_translate(from, to, &status, in, S("r"), &out) == OK);
    MUST(status >= 400 && status < 600 && out.len < 8192);
    codec_names_free(names);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;
    struct slice in = {(const char *)data + 4, size - 4};
    if (data[0] & 1)
        request(data, in);
    else
        reply(data, in);
    return 0;
}
