/* How many tokens a request may have, where nobody upstream counts them.
 *
 * Four bytes of text are about a token: of English prose and of code, by all vendors' tokenizers
 * within a third either way, of other scripts less well, on the high side. What is counted is the
 * text of all strings that a model reads: messages, system, tools with their names, descriptions
 * and schemas; not keys, ids and signatures. Pictures are charged at a fixed price, since base64 is
 * no text. Each message and each tool has a few tokens of its own. The answer says so in a header:
 * x-sluice-estimated. */
#include "gateway/exchange.h"

#define BYTES_A_TOKEN  4
#define MEDIA_TOKENS   1600 /* of a picture of about a megapixel */
#define MESSAGE_TOKENS 4
#define DEPTH_MAX      60
#define TREE_MAX       ((size_t)4 << 20) /* longer ones are not worth a tree */

struct count {
    int64_t bytes, tokens;
};

static bool is_silent(struct slice key)
{
    static const char *const KEYS[] = {"type",
                                       "role",
                                       "id",
                                       "tool_use_id",
                                       "signature",
                                       "call_id",
                                       "model",
                                       "cache_control",
                                       "mime_type",
                                       "mimeType",
                                       "metadata",
                                       "media_type",
                                       "user",
                                       "thoughtSignature",
                                       "encrypted_content"};
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++)
        if (slice_eq(key, slice_of(KEYS[i])))
            return true;
    return false;
}

static bool is_media(struct slice key, struct slice value)
{
    bool name = slice_eq(key, S("data")) || slice_eq(key, S("file_data")) ||
                slice_eq(key, S("images"));
    return value.n > 256 && (name || slice_starts(value, S("data:")));
}

static void count_value(struct count *c, struct slice key, const struct json_val *v, int depth)
{
    struct slice text;
    const struct json_val *member;
    if (depth > DEPTH_MAX || is_silent(key))
        return;
    switch (json_type(v)) {
    case JSON_STRING:
        if (!json_str(v, &text))
            return;
        if (is_media(key, text))
            c->tokens += MEDIA_TOKENS;
        else
            c->bytes += (int64_t)text.n;
        return;
    case JSON_ARRAY:
        for (size_t i = 0; i < json_len(v); i++)
            count_value(c, key, json_at(v, i), depth + 1);
        if (depth == 1) /* messages, contents, tools */
            c->tokens += MESSAGE_TOKENS * (int64_t)json_len(v);
        return;
    case JSON_OBJECT:
        for (size_t i = 0; json_member(v, i, &key, &member); i++) {
            if (depth > 2) /* names of parameters are read too */
                c->bytes += (int64_t)key.n;
            count_value(c, key, member, depth + 1);
        }
        return;
    case JSON_NUMBER:
    case JSON_BOOL:
        c->bytes += depth > 2;
        return;
    case JSON_NULL:
    case JSON_NONE:
        return;
    }
}

int64_t estimate_tokens(struct slice body)
{
    struct json *doc = NULL;
    struct count c = {0, 0};
    if (body.n > TREE_MAX || json_parse(body, &doc) != OK) /* or it is too deep for one */
        return (int64_t)(body.n / BYTES_A_TOKEN) + 1;
    count_value(&c, S(""), json_root(doc), 0);
    json_free(doc);
    assert(c.bytes >= 0 && c.tokens >= 0);
    return c.tokens + (c.bytes + BYTES_A_TOKEN - 1) / BYTES_A_TOKEN;
}

/* Bedrock's question holds the request in base64: {"input":{"invokeModel":{"body":"..."}}}. */
static bool unwrapped(struct slice body, struct buf *out)
{
    struct json *doc = NULL;
    if (json_parse(body, &doc) != OK)
        return false;
    const struct json_val *input = json_get(json_root(doc), "input");
    struct slice coded = json_get_str(json_get(input, "invokeModel"), "body");
    bool ok = coded.n > 0 && text_unbase64(out, coded, false) == OK;
    json_free(doc);
    return ok;
}

static int64_t estimate_for(const struct exchange *x)
{
    struct buf plain;
    struct slice body = buf_slice(&x->body);
    buf_init(&plain, x->body.max);
    if (x->route.front.wire == WIRE_BEDROCK && unwrapped(body, &plain))
        body = buf_slice(&plain);
    int64_t tokens = estimate_tokens(body);
    buf_free(&plain);
    return tokens;
}

static void count_answer(struct exchange *x, int64_t tokens, bool estimated)
{
    const struct front *f = &x->route.front;
    const char *key = f->wire == WIRE_BEDROCK           ? "inputTokens"
                      : f->dialect == DIALECT_GEMINI    ? "totalTokens"
                      : f->dialect == DIALECT_ANTHROPIC ? "input_tokens"
                                                        : "tokens";
    struct http_header h[3] = {{S("content-type"), S("application/json")},
                               {S("x-sluice-request-id"), slice_of(x->record.id)},
                               {S("x-sluice-estimated"), S("true")}};
    buf_clear(&x->reply);
    if (buf_printf(&x->reply, "{\"%s\":%" PRId64 "}", key, tokens) != OK) {
        answer_error(x, 503, "sluice: out of memory for this request; try again.", 5, true,
                     "overloaded");
        return;
    }
    x->g->stats.served++;
    answer_send(x, 200, h, estimated ? 3 : 2, "complete");
}

void estimate_answer(struct exchange *x)
{
    count_answer(x, estimate_for(x), true);
}

/* {"inputTokens":N}; -1: it is none. */
static int64_t counted_tokens(struct slice body)
{
    struct json *doc = NULL;
    int64_t tokens = -1;
    if (json_parse(body, &doc) != OK)
        return -1;
    if (!json_i64(json_get(json_root(doc), "inputTokens"), &tokens) || tokens < 0)
        tokens = -1;
    json_free(doc);
    return tokens;
}

bool estimate_settles(struct exchange *x)
{
    if (!crossing_counts_coded(x))
        return false;
    struct reply_facts r = {.status = x->attempt.status, .head = x->attempt.head};
    int64_t tokens = r.status == 200 ? counted_tokens(buf_slice(&x->reply)) : -1;
    if (tokens >= 0) {
        struct limit_verdict v = attempt_judged(x, &r);
        exchange_learn(x, &v, REPLY_ERROR_NONE);
        exchange_note_attempt(x, v.reason);
        count_answer(x, tokens, false);
    } else {
        exchange_note_attempt(x, "not_counted");
        attempt_drop(x);
        estimate_answer(x);
    }
    return true;
}
