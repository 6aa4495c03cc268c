/* links: base http codec */
/* The span scanner, and all that is built on it, over hostile bytes. What the tree parser takes,
 * the scanner takes and reads the same; what the scanner takes, it keeps within the text; rewriting
 * a body changes nothing but what it is for. */
#include "codec/codec.h"
#include "codec/span.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)       \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

static void compare_member(struct slice text, const struct json_val *want, struct slice key,
                           struct span v)
{
    char got[256];
    struct slice whole;
    struct json *one = NULL;
    MUST(v.from < v.to && v.to <= text.n);
    (void)key;
    bool is_text = json_span_text(text, v, got, sizeof got);
    char plain[sizeof got];
    if (span_text_plain(text, v, plain, sizeof plain))
        MUST(is_text && strcmp(plain, got) == 0);
    if (want == NULL)
        return;
    MUST(json_parse(span_slice(text, v), &one) == OK);
    MUST(json_type(json_root(one)) == json_type(want));
    json_free(one);
    MUST(is_text == json_str(want, &whole));
    if (is_text && whole.n < sizeof got && memchr(whole.p, '\0', whole.n) == NULL)
        MUST(slice_eq(slice_of(got), whole));
}

static void fuzz_scan(struct slice text, const struct json_val *root)
{
    struct json_scan s;
    struct slice key, want_key;
    struct span v;
    size_t i = 0;
    enum err e;
    json_scan_init(&s, text);
    while ((e = json_scan_next(&s, &key, &v)) == OK) {
        const struct json_val *want = NULL;
        if (root != NULL) {
            MUST(json_member(root, i++, &want_key, &want));
            /* the scanner stands in for NUL, the tree keeps it */
            MUST(span_key_is(key, want_key) || memchr(want_key.p, '\0', want_key.n) != NULL);
        }
        compare_member(text, want, key, v);
    }
    if (root != NULL)
        MUST(e == ERR_NOTFOUND && i == json_len(root));
}

static void fuzz_request(struct slice text)
{
    struct request_facts f;
    const char *why = NULL;
    enum err e = codec_request_scan(DIALECT_ANTHROPIC, text, &f, &why);
    MUST(why != NULL && (e == OK) == (*why == '\0'));
    MUST(f.model_span.from <= f.model_span.to && f.model_span.to <= text.n);
    MUST(strlen(f.model) < sizeof f.model);
    MUST(f.max_tokens >= -1);
}

static void fuzz_batch(struct slice text)
{
    char id[32];
    struct buf once, twice;
    codec_object_id(text, id, sizeof id);
    MUST(strlen(id) < sizeof id);
    buf_init(&once, 1 << 20);
    buf_init(&twice, 1 << 20);
    if (codec_results_rewrite(text, S("http://gw"), &once) == OK) {
        /* done twice it is done once */
        MUST(codec_results_rewrite(buf_slice(&once), S("http://gw"), &twice) == OK);
        MUST(slice_eq(buf_slice(&once), buf_slice(&twice)));
        if (slice_search(text, S("://")) < 0 && slice_search(text, S("\\/")) < 0)
            MUST(slice_eq(buf_slice(&once), text));
    }
    buf_free(&once);
    buf_free(&twice);
}

static void fuzz_models(struct slice text)
{
    struct buf out;
    struct json *doc = NULL;
    struct slice bodies[2] = {text, S("{\"data\":[{\"id\":\"x\"}]}")};
    struct model_page page = {.limit = text.n > 0 ? text.p[0] : 0};
    buf_init(&out, 1 << 22);
    if (codec_models_merge(bodies, 2, &page, &out) == OK) {
        MUST(json_parse(buf_slice(&out), &doc) == OK);
        MUST(json_len(json_get(json_root(doc), "data")) >= 1);
        json_free(doc);
    }
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json *doc = NULL;
    struct slice text = {(const char *)data, size};
    bool good = json_parse(text, &doc) == OK && json_type(json_root(doc)) == JSON_OBJECT;
    fuzz_scan(text, good ? json_root(doc) : NULL);
    json_free(doc);
    fuzz_request(text);
    fuzz_batch(text);
    fuzz_models(text);
    return 0;
}
