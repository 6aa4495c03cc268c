/* The row of dialects, and what is the same for all of them. */
#include "codec/dialect.h"
#include "codec/span.h"

#include <string.h>

static const struct dialect_ops *const rows[DIALECT_COUNT] = {
    [DIALECT_ANTHROPIC] = &dialect_anthropic, [DIALECT_OPENAI] = &dialect_openai,
    [DIALECT_RESPONSES] = &dialect_responses, [DIALECT_GEMINI] = &dialect_gemini,
    [DIALECT_OLLAMA] = &dialect_ollama,
};

const struct dialect_ops *dialect_ops_of(enum dialect d)
{
    assert((int)d >= 0 && d < DIALECT_COUNT && rows[d] != NULL);
    return rows[d];
}

void reading_init(struct reading *r)
{
    r->input = r->output = r->cache_read = r->thinking = -1;
    r->web_searches = r->web_fetches = -1;
    r->cache_write = r->cache_write_5m = r->cache_write_1h = -1;
}

void reading_free(struct reading *r)
{
    mem_free(r->seen.words);
    r->seen.words = NULL;
}

const struct reply_words *reply_words(const struct observation *o)
{
    static const struct reply_words none;
    return o->words != NULL ? o->words : &none;
}

struct reply_words *reply_words_room(struct observation *o)
{
    if (o->words == NULL)
        o->words = NEW(struct reply_words);
    return o->words;
}

#define TOKENS_MAX ((int64_t)1 << 40) /* more is nonsense, and would overflow a price */

void reading_count(int64_t *into, const struct json_val *object, const char *key)
{
    int64_t v = -1;
    if (json_i64(json_get(object, key), &v) && v >= 0 && v <= TOKENS_MAX)
        *into = v;
}

void reading_text(char *into, size_t size, const struct json_val *object, const char *key)
{
    struct slice s;
    if (json_str(json_get(object, key), &s) && s.n > 0)
        text_copy(into, size, s);
}

/* A number as JSON writes them; whole ones also when written as 1.0 or 1e3. */
static bool span_count(struct slice digits, int64_t *out)
{
    double f;
    *out = small_count(digits);
    if (*out >= 0 || text_i64(digits, out))
        return true;
    if (!text_f64(digits, &f) || !(f >= 0 && f <= (double)TOKENS_MAX) || f != (double)(int64_t)f)
        return false;
    *out = (int64_t)f;
    return true;
}

void reading_count_at(int64_t *into, struct slice text, struct span at)
{
    int64_t v = -1;
    if (span_count(span_slice(text, at), &v) && v >= 0 && v <= TOKENS_MAX)
        *into = v;
}

void reading_text_at(char *into, size_t size, struct slice text, struct span at)
{
    assert(size > 0 && at.from < at.to);
    if (at.to - at.from <= 2 || span_text_plain(text, at, into, size))
        return;
    struct slice raw = span_slice(text, at);
    if (raw.p[0] == '"' && text_is_utf8(raw))
        (void)json_span_text(text, at, into, size);
}

enum reply_error reply_error_of(int status)
{
    switch (status) {
    case 401:
    case 403:
        return REPLY_ERROR_AUTH;
    case 402:
        return REPLY_ERROR_BILLING;
    case 429:
        return REPLY_ERROR_RATE_LIMIT;
    case 529:
        return REPLY_ERROR_OVERLOADED;
    default:
        if (status >= 500)
            return REPLY_ERROR_SERVER;
        return status >= 400 ? REPLY_ERROR_CLIENT : REPLY_ERROR_OTHER;
    }
}

uint64_t codec_session_hash(struct slice id)
{
    return id.n > 0 ? hash_stable(1, id) | 1 : 0;
}

enum err codec_request_scan(enum dialect d, struct slice body, struct request_facts *out,
                            const char **why)
{
    *out = (struct request_facts){.max_tokens = -1};
    *why = "";
    enum err e = dialect_ops_of(d)->request(body, out, why);
    assert((e == OK) == (**why == '\0'));
    return e;
}

static enum err error_print(const struct dialect_ops *ops, int status, struct slice message,
                            struct slice request_id, struct buf *out)
{
    struct jw w;
    jw_init(&w, out);
    jw_obj(&w);
    jw_kcstr(&w, "type", "error");
    jw_key(&w, "error");
    jw_obj(&w);
    jw_kcstr(&w, "type", ops->error_type(status));
    jw_kstr(&w, "message", message);
    jw_end_obj(&w);
    jw_key(&w, "request_id");
    if (request_id.n > 0)
        jw_str(&w, request_id);
    else
        jw_null(&w);
    jw_end_obj(&w);
    return w.err;
}

enum err codec_error_body(enum dialect d, int status, struct slice message, struct slice request_id,
                          struct buf *out)
{
    const struct dialect_ops *ops = dialect_ops_of(d);
    if (ops->error_print != NULL)
        return ops->error_print(status, message, request_id, out);
    return error_print(ops, status, message, request_id, out);
}

enum err codec_error_event(enum dialect d, int status, struct slice message,
                           struct slice request_id, struct buf *out)
{
    const struct dialect_ops *ops = dialect_ops_of(d);
    if (ops->error_event != NULL)
        return ops->error_event(status, message, request_id, out);
    enum err e = buf_puts(out, S("event: error\ndata: "));
    if (e == OK)
        e = codec_error_body(d, status, message, request_id, out);
    if (e == OK)
        e = buf_puts(out, S("\n\n"));
    return e;
}

struct slice codec_ping(enum dialect d)
{
    return dialect_ops_of(d)->ping;
}

void codec_error_read(enum dialect d, int status, struct slice body, struct observation *out)
{
    dialect_ops_of(d)->error_read(status, body, out);
    assert(out->error != REPLY_ERROR_NONE);
}

/* Eight bytes, lowest first: the same on any byte order. */
static INLINED uint64_t word_at(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;
    return (uint64_t)b[0] | (uint64_t)b[1] << 8 | (uint64_t)b[2] << 16 | (uint64_t)b[3] << 24 |
           (uint64_t)b[4] << 32 | (uint64_t)b[5] << 40 | (uint64_t)b[6] << 48 |
           (uint64_t)b[7] << 56;
}

static INLINED uint64_t hash_word(uint64_t h, uint64_t word)
{
    h = (h ^ word) * 0xff51afd7ed558ccdULL;
    return h ^ (h >> 32);
}

uint64_t hash_stable(uint64_t seed, struct slice text)
{
    uint64_t h = seed ^ (text.n * 0x9e3779b97f4a7c15ULL);
    const char *p = text.p, *end = text.p + text.n / 8 * 8;
    for (const char *far = p + text.n / 32 * 32; p != far; p += 32) {
        h = hash_word(h, word_at(p));
        h = hash_word(h, word_at(p + 8));
        h = hash_word(h, word_at(p + 16));
        h = hash_word(h, word_at(p + 24));
    }
    for (; p != end; p += 8)
        h = hash_word(h, word_at(p));
    if (text.n % 8 > 0) {
        uint64_t rest = 0;
        for (size_t i = text.n % 8; i-- > 0;)
            rest = rest << 8 | (uint8_t)p[i];
        h = hash_word(h, rest);
    }
    h = (h ^ (h >> 29)) * 0xc4ceb9fe1a85ec53ULL;
    return h ^ (h >> 32);
}
