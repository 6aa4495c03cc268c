/* links: base http codec */
/* What requests name and replies make, over hostile bodies: any split of a reply gives the same
 * ids, and what is taken out of a request leaves a sound one with nothing more to take out. */
#include "codec/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)       \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

struct ids {
    char text[4096];
    size_t n;
};

static void watch(struct ids *out, struct slice bytes, size_t step)
{
    struct ref_watch w;
    ref_watch_init(&w);
    out->n = 0;
    for (size_t at = 0; at < bytes.n; at += step) {
        struct slice piece = slice_sub(bytes, at, at + step < bytes.n ? at + step : bytes.n);
        while (ref_watch_next(&w, &piece))
            if (out->n + REQUEST_REF_MAX + 2 < sizeof out->text)
                out->n += text_format(out->text + out->n, sizeof out->text - out->n, "%s\n", w.id);
        MUST(piece.n == 0);
    }
    ref_watch_free(&w);
}

static void fuzz_watch(struct slice bytes, size_t step)
{
    struct ids whole, cut;
    watch(&whole, bytes, bytes.n + 1);
    watch(&cut, bytes, step);
    MUST(whole.n == cut.n && memcmp(whole.text, cut.text, whole.n) == 0);
}

static void fuzz_strip(struct slice body)
{
    struct buf once, twice;
    struct request_facts f;
    const char *why = "";
    struct thinking_strip done, more;
    bool sound = codec_request_scan(DIALECT_ANTHROPIC, body, &f, &why) == OK;
    buf_init(&once, (size_t)1 << 24);
    buf_init(&twice, (size_t)1 << 24);
    if (codec_thinking_strip(body, 1000000, &once, &done) == OK && sound) {
        struct request_facts g;
        MUST(done.gone > 0 || done.off || slice_eq(buf_slice(&once), body));
        MUST(codec_request_scan(DIALECT_ANTHROPIC, buf_slice(&once), &g, &why) == OK);
        MUST(g.stream == f.stream && strcmp(g.model, f.model) == 0);
        MUST(codec_thinking_strip(buf_slice(&once), 1000000, &twice, &more) == OK);
        MUST(more.gone == 0 && more.messages <= done.messages);
    }
    buf_free(&once);
    buf_free(&twice);
}

/* What the scan has seen of names spares a search, and never hides what that would have found. */
static void fuzz_seen(enum dialect d, struct slice lead, struct slice bytes)
{
    struct buf body;
    struct request_facts f;
    struct request_refs seen, searched;
    const char *why = "";
    buf_init(&body, (size_t)1 << 24);
    MUST(buf_puts(&body, lead) == OK && buf_puts(&body, bytes) == OK);
    MUST(buf_puts(&body, S("}")) == OK);
    if (codec_request_scan(d, buf_slice(&body), &f, &why) == OK) {
        codec_request_refs(d, buf_slice(&body), &f, &seen);
        f.no_file_ids = false;
        codec_request_refs(d, buf_slice(&body), &f, &searched);
        MUST(seen.n == searched.n && seen.thread == searched.thread);
        for (int i = 0; i < seen.n; i++)
            MUST(strcmp(seen.id[i], searched.id[i]) == 0);
    }
    buf_free(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct request_refs r;
    struct request_facts f;
    const char *why = "";
    const struct request_facts none = {.max_tokens = -1};
    if (size < 1)
        return 0;
    struct slice bytes = {(const char *)data + 1, size - 1};
    fuzz_watch(bytes, 1 + data[0] % 32);
    fuzz_strip(bytes);
    fuzz_seen(DIALECT_ANTHROPIC, S("{\"messages\":"), bytes);
    fuzz_seen(DIALECT_RESPONSES, S("{\"input\":"), bytes);
    fuzz_seen(DIALECT_RESPONSES, S("{\"tools\":[],\"tools\":"), bytes);
    codec_request_refs(DIALECT_ANTHROPIC, bytes, &none, &r);
    MUST(r.n >= 0 && r.n <= REQUEST_REFS_MAX);
    if (codec_request_scan(DIALECT_ANTHROPIC, bytes, &f, &why) == OK)
        codec_request_refs(DIALECT_ANTHROPIC, bytes, &f, &r);
    return 0;
}
