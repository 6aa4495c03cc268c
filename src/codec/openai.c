/* The OpenAI Chat Completions dialect: what is read in requests, chunks, bodies and errors.
 * Facts: wire/openai.md sections 1 to 4, wire/compat-providers.md. Embeddings and the older
 * completions have the same shapes as far as anything is read in them here. */
#include "codec/openai.h"
#include "codec/scan.h"

#include <string.h>

/* ---- requests -------------------------------------------------------------------------------- */

#define MESSAGES_LOOK 8 /* so far in, the first message of a user is looked for */

struct request_scan {
    struct request_facts *out;
    struct span cache_key, messages;
    bool completion_max; /* max_completion_tokens was told: it goes before its older twin */
};

static bool is_system(const char *role)
{
    return strcmp(role, "system") == 0 || strcmp(role, "developer") == 0;
}

/* The system's first message and the user's first, whichever comes first. */
void openai_talk(struct scan_talk *t, size_t messages)
{
    struct span_list list;
    struct span v;
    size_t at = 0, content = 0;
    bool system = false;
    char role[SCAN_ROLE];
    assert(messages < t->body.n);
    span_list_init(&list, slice_sub(t->body, messages, t->body.n));
    for (int i = 0; i < MESSAGES_LOOK && span_list_find(&list, &at) == OK; i++) {
        at += messages;
        if (scan_turn(t->body, at, role, &content)) {
            bool user = strcmp(role, "user") == 0;
            if ((user || (is_system(role) && !system)) && content > 0)
                scan_talk_add(t, content);
            if (user)
                break;
            system = system || is_system(role);
        }
        if (span_list_cross(&list, &v) != OK)
            break;
    }
}

/* prompt_cache_key says outright which requests share a prefix. `user` does not: it is a person
 * with many talks, or one word for all the persons of an application. */
static uint64_t conversation_of(struct slice body, const struct request_scan *at)
{
    struct scan_talk t;
    char key[256];
    if (at->cache_key.to > 0 && json_span_text(body, at->cache_key, key, sizeof key) &&
        key[0] != '\0')
        return hash_stable(2, slice_of(key)) | 1;
    scan_talk_init(&t, body);
    if (at->messages.to > 0)
        openai_talk(&t, at->messages.from);
    return scan_talk_hash(&t);
}

static const char *request_member(void *arg, struct slice body, struct slice key, struct span v)
{
    struct request_scan *at = arg;
    struct slice value = span_slice(body, v);
    assert(value.n > 0 && at->out != NULL);
    if (slice_eq(key, S("model")))
        return scan_model(body, v, at->out);
    if (slice_eq(key, S("stream")))
        return scan_stream(value, at->out);
    if (slice_eq(key, S("max_completion_tokens"))) {
        at->completion_max = !slice_eq(value, S("null"));
        return scan_max_tokens(value, at->out) == NULL
                   ? NULL
                   : "max_completion_tokens: Input should be a valid integer";
    }
    if (slice_eq(key, S("max_tokens"))) {
        struct request_facts twin = {.max_tokens = -1};
        return scan_max_tokens(value, at->completion_max ? &twin : at->out);
    }
    if (slice_eq(key, S("prompt_cache_key")))
        at->cache_key = v;
    else if (slice_eq(key, S("messages")))
        at->messages = v;
    return NULL;
}

static enum err request_read(struct slice body, struct request_facts *out, const char **why)
{
    struct request_scan at = {.out = out};
    enum err e = scan_walk(body, request_member, &at, out, why);
    if (e == OK)
        out->conversation = conversation_of(body, &at);
    return e;
}

/* ---- replies --------------------------------------------------------------------------------- */

static enum event_use event_use(struct slice name)
{
    if (slice_eq(name, S("error")))
        return EVENT_READ;
    return slice_eq(name, S("ping")) ? EVENT_LIFE : EVENT_SNIFF;
}

/* True when what follows a key is a value other than null. */
static bool has_value(struct slice data, size_t at)
{
    at = span_skip_space(data, at);
    if (at < data.n && data.p[at] == ':')
        at = span_skip_space(data, at + 1);
    return !slice_starts(slice_sub(data, at, data.n), S("null"));
}

/* The keys whose values must be read, by their first letter: those of a text's chunk have others,
 * nearly all. */
static struct slice key_by_letter(char letter)
{
    switch (letter) {
    case 'f':
        return S("finish_reason\"");
    case 'u':
        return S("usage\"");
    case 'e':
        return S("error\"");
    case 'b':
        return S("base_resp\"");
    default:
        return S("");
    }
}

/* A chunk in which there is nothing but more text. Nearly every chunk has the keys of interest and
 * null behind them. What stands inside of strings cannot be taken for a key: its quotes are escaped
 * there. One pass from quote to quote, over every chunk of every stream. */
static bool is_plain(const struct reading *r, struct slice data)
{
    if (!r->seen.meaningful || r->seen.message_id[0] == '\0' || !slice_starts(data, S("{")) ||
        !slice_ends(data, S("}")))
        return false;
    for (size_t at = 0; at + 1 < data.n; at++) {
        const char *quote = memchr(data.p + at, '"', data.n - 1 - at);
        if (quote == NULL)
            break;
        at = (size_t)(quote - data.p);
        assert(at + 1 < data.n);
        struct slice key = key_by_letter(data.p[at + 1]);
        if (key.n > 0 && slice_starts(slice_sub(data, at + 1, data.n), key) &&
            has_value(data, at + 1 + key.n))
            return false;
    }
    return true;
}

/* The opening chunk says who speaks and nothing else. */
static bool delta_says(const struct json_val *delta)
{
    struct slice key;
    const struct json_val *v;
    for (size_t i = 0; json_member(delta, i, &key, &v); i++) {
        if (!slice_eq(key, S("role")) && openai_says(v))
            return true;
    }
    return false;
}

static void choices_read(struct reading *r, const struct json_val *choices)
{
    struct observation *seen = &r->seen;
    for (size_t i = 0; i < json_len(choices) && i < 128; i++) {
        const struct json_val *c = json_at(choices, i);
        if (openai_finish_failed(json_get_str(c, "finish_reason"), seen))
            return;
        reading_text(seen->stop_reason, sizeof seen->stop_reason, c, "finish_reason");
        if (openai_says(json_get(c, "finish_reason")) || delta_says(json_get(c, "delta")) ||
            delta_says(json_get(c, "message")) || openai_says(json_get(c, "text")))
            seen->meaningful = true;
    }
}

static void message_read(struct reading *r, const struct json_val *root)
{
    struct observation *seen = &r->seen;
    reading_text(seen->model, sizeof seen->model, root, "model");
    reading_text(seen->message_id, sizeof seen->message_id, root, "id");
    (void)openai_usage(root, &seen->usage);
    if (openai_is_error(root)) /* not meaningful: another account may be tried before any text */
        (void)openai_error(0, root, seen);
    else
        choices_read(r, json_get(root, "choices"));
}

static bool event_read(struct reading *r, struct slice name, struct slice data)
{
    struct json *doc = NULL;
    data = slice_trim(data);
    if (slice_eq(data, S("[DONE]"))) {
        r->seen.meaningful = r->seen.terminal = true;
        return true;
    }
    if (data.n == 0 || (name.n == 0 && is_plain(r, data)))
        return true;
    if (json_parse(data, &doc) != OK)
        return false;
    const struct json_val *root = json_root(doc);
    bool sense = json_type(root) == JSON_OBJECT || json_type(root) == JSON_ARRAY;
    if (sense && (slice_eq(name, S("error")) || json_type(root) == JSON_ARRAY))
        (void)openai_error(0, root, &r->seen);
    else if (sense)
        message_read(r, root);
    json_free(doc);
    assert(!r->seen.terminal || r->seen.meaningful);
    return sense;
}

/* A completion, an error, or another object of the API (a model list, embeddings). */
static bool body_read(struct reading *r, struct slice json)
{
    struct json *doc = NULL;
    if (json_parse(json, &doc) != OK)
        return false;
    message_read(r, json_root(doc));
    json_free(doc);
    return true;
}

/* ---- errors ---------------------------------------------------------------------------------- */

static const char *error_type(int status)
{
    if (status == 402)
        return "insufficient_quota";
    if (status == 429)
        return "rate_limit_exceeded";
    return status >= 500 ? "server_error" : "invalid_request_error";
}

static void error_read(int status, struct slice body, struct observation *out)
{
    struct json *doc = NULL;
    struct reply_words words = {0};
    struct observation none = {.words = &words};
    bool sense = json_parse(body, &doc) == OK;
    (void)openai_error(status, sense ? json_root(doc) : NULL, sense ? out : &none);
    if (!sense)
        out->error = none.error;
    assert(out->error != REPLY_ERROR_NONE);
    json_free(doc);
}

static enum err error_event(int status, struct slice message, struct slice request_id,
                            struct buf *out)
{
    enum err e = buf_puts(out, S("data: "));
    if (e == OK)
        e = openai_error_print(status, message, request_id, out);
    if (e == OK)
        e = buf_puts(out, S("\n\n"));
    return e;
}

#define PING ": ping\n\n"

const struct dialect_ops dialect_openai = {
    .name = "openai",
    .ping = {PING, sizeof PING - 1},
    .stop_ends = true,
    .request = request_read,
    .event_use = event_use,
    .event = event_read,
    .body = body_read,
    .error_type = error_type,
    .error_read = error_read,
    .error_print = openai_error_print,
    .error_event = error_event,
    .canon = &canon_openai,
};
