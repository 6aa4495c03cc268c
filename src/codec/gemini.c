/* The Gemini dialect: what is read in requests, events, bodies and errors. Facts: wire/gemini.md.
 *
 * A stream has no end of its own: it is over when its framing is, and whole if a reason to stop was
 * told by then. Without alt=sse it is an array of the same objects. */
#include "codec/gemini.h"
#include "codec/openai.h"
#include "codec/scan.h"

#include <string.h>

/* ---- words ----------------------------------------------------------------------------------- */

const struct json_val *gemini_get(const struct json_val *object, const char *name)
{
    char snake[48];
    size_t n = 0;
    const struct json_val *v = json_get(object, name);
    if (json_type(v) != JSON_NONE || object == NULL)
        return v;
    for (const char *p = name; *p != '\0'; p++) {
        assert(n + 2 < sizeof snake);
        bool capital = *p >= 'A' && *p <= 'Z';
        if (capital)
            snake[n++] = '_';
        snake[n++] = capital ? (char)(*p - 'A' + 'a') : *p;
    }
    snake[n] = '\0';
    return json_get(object, snake);
}

struct slice gemini_str(const struct json_val *object, const char *name)
{
    struct slice s = {"", 0};
    (void)json_str(gemini_get(object, name), &s);
    return s;
}

static const struct {
    const char *word;
    enum gemini_end end;
    enum stop_kind stop;
} finishes[] = {
    {"FINISH_REASON_UNSPECIFIED", GEMINI_GOES_ON, STOP_END},
    {"STOP", GEMINI_STOPPED, STOP_END},
    {"MAX_TOKENS", GEMINI_STOPPED, STOP_LENGTH},
    {"CONTINUATION", GEMINI_STOPPED, STOP_PAUSE},
    {"SAFETY", GEMINI_STOPPED, STOP_REFUSAL},
    {"RECITATION", GEMINI_STOPPED, STOP_REFUSAL},
    {"LANGUAGE", GEMINI_STOPPED, STOP_REFUSAL},
    {"BLOCKLIST", GEMINI_STOPPED, STOP_REFUSAL},
    {"PROHIBITED_CONTENT", GEMINI_STOPPED, STOP_REFUSAL},
    {"SPII", GEMINI_STOPPED, STOP_REFUSAL},
    {"MODEL_ARMOR", GEMINI_STOPPED, STOP_REFUSAL},
    {"IMAGE_SAFETY", GEMINI_STOPPED, STOP_REFUSAL},
    {"IMAGE_PROHIBITED_CONTENT", GEMINI_STOPPED, STOP_REFUSAL},
    {"IMAGE_RECITATION", GEMINI_STOPPED, STOP_REFUSAL},
    {"MALFORMED_FUNCTION_CALL", GEMINI_FAILED, STOP_END},
    {"MALFORMED_RESPONSE", GEMINI_FAILED, STOP_END},
    {"UNEXPECTED_TOOL_CALL", GEMINI_FAILED, STOP_END},
    {"TOO_MANY_TOOL_CALLS", GEMINI_FAILED, STOP_END},
    {"MISSING_THOUGHT_SIGNATURE", GEMINI_FAILED, STOP_END},
};

enum gemini_end gemini_finish(struct slice word, enum stop_kind *out)
{
    *out = STOP_END;
    if (word.n == 0)
        return GEMINI_GOES_ON;
    for (size_t i = 0; i < sizeof finishes / sizeof finishes[0]; i++) {
        if (!slice_eq(word, slice_of(finishes[i].word)))
            continue;
        *out = finishes[i].stop;
        return finishes[i].end;
    }
    return GEMINI_STOPPED; /* OTHER, NO_IMAGE, and what comes to be */
}

struct slice gemini_block_reason(const struct json_val *root)
{
    struct slice word = gemini_str(gemini_get(root, "promptFeedback"), "blockReason");
    return slice_eq(word, S("BLOCK_REASON_UNSPECIFIED")) ? S("") : word;
}

int gemini_generation(struct slice model)
{
    ptrdiff_t at = slice_search(model, S("gemini-"));
    if (at < 0)
        return -1;
    struct slice rest = slice_sub(model, (size_t)at + sizeof "gemini-" - 1, model.n);
    if (rest.n == 0 || rest.p[0] < '0' || rest.p[0] > '9')
        return 0;
    int generation = 10 * (rest.p[0] - '0');
    if (rest.n > 2 && rest.p[1] == '.' && rest.p[2] >= '0' && rest.p[2] <= '9')
        generation += rest.p[2] - '0';
    assert(generation >= 0 && generation < 100);
    return generation;
}

/* ---- requests -------------------------------------------------------------------------------- */

#define CONTENTS_LOOK 8 /* so far in, the first content of a user is looked for */

struct request_scan {
    struct request_facts *out;
    struct span system, contents;
};

static bool parts_at(struct slice body, size_t from, size_t *at)
{
    return scan_member_at(body, from, S("parts"), at);
}

/* The user's first content; one that names no role is his. */
static void contents_read(struct scan_talk *t, size_t contents)
{
    struct span_list list;
    struct span v;
    size_t at = 0, parts = 0;
    char role[16];
    assert(contents < t->body.n);
    span_list_init(&list, slice_sub(t->body, contents, t->body.n));
    for (int i = 0; i < CONTENTS_LOOK && span_list_find(&list, &at) == OK; i++) {
        at += contents;
        bool told = scan_member_text(t->body, at, S("role"), role, sizeof role);
        if (!told || strcmp(role, "user") == 0) {
            if (parts_at(t->body, at, &parts))
                scan_talk_add(t, parts);
            break;
        }
        if (span_list_cross(&list, &v) != OK)
            break;
    }
}

static uint64_t conversation_of(struct slice body, const struct request_scan *at)
{
    struct scan_talk t;
    size_t parts = 0;
    assert(at->system.to <= body.n && at->contents.to <= body.n);
    scan_talk_init(&t, body);
    if (at->system.to > 0 && parts_at(body, at->system.from, &parts))
        scan_talk_add(&t, parts);
    if (at->contents.to > 0)
        contents_read(&t, at->contents.from);
    return scan_talk_hash(&t);
}

static bool key_is(struct slice key, struct slice camel, struct slice snake)
{
    return slice_eq(key, camel) || slice_eq(key, snake);
}

static const char *config_read(struct slice config, struct request_facts *out)
{
    struct span v;
    if (!span_member(config, S("maxOutputTokens"), &v) &&
        !span_member(config, S("max_output_tokens"), &v))
        return NULL;
    return scan_max_tokens(span_slice(config, v), out) == NULL
               ? NULL
               : "generationConfig.maxOutputTokens: Input should be a valid integer";
}

/* The model and whether the reply streams are told by the path. */
static const char *request_member(void *arg, struct slice body, struct slice key, struct span v)
{
    struct request_scan *at = arg;
    if (slice_eq(key, S("contents"))) {
        at->contents = v;
    } else if (key_is(key, S("systemInstruction"), S("system_instruction"))) {
        at->system = v;
    } else if (key_is(key, S("cachedContent"), S("cached_content"))) {
        if (!slice_eq(span_slice(body, v), S("null")))
            at->out->container = v;
    } else if (key_is(key, S("generationConfig"), S("generation_config"))) {
        return config_read(span_slice(body, v), at->out);
    }
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

bool gemini_usage(const struct json_val *root, struct usage *out)
{
    const struct json_val *v = gemini_get(root, "usageMetadata");
    int64_t prompt = 0, candidates = -1, thoughts = 0, cached = 0, tools = 0, total = 0;
    if (json_type(v) != JSON_OBJECT || json_len(v) == 0)
        return false;
    reading_count(&prompt, v, "promptTokenCount");
    reading_count(&candidates, v, "candidatesTokenCount");
    reading_count(&thoughts, v, "thoughtsTokenCount");
    reading_count(&cached, v, "cachedContentTokenCount");
    reading_count(&tools, v, "toolUsePromptTokenCount");
    reading_count(&total, v, "totalTokenCount");
    if (candidates < 0) { /* left out where it is 0, and by some where it is not */
        candidates = total - prompt - thoughts - tools;
        candidates = candidates > 0 ? candidates : 0;
    }
    *out = (struct usage){.known = true,
                          .input = (prompt > cached ? prompt - cached : 0) + tools,
                          .output = candidates + thoughts,
                          .cache_read = cached,
                          .thinking = thoughts};
    assert(out->input >= 0 && out->output >= out->thinking);
    return true;
}

static enum event_use event_use(struct slice name)
{
    return slice_eq(name, S("ping")) ? EVENT_LIFE : EVENT_SNIFF;
}

/* Parts may be there and say nothing. */
static bool part_says(const struct json_val *part)
{
    struct slice key;
    const struct json_val *v;
    for (size_t i = 0; json_member(part, i, &key, &v); i++) {
        if (!slice_eq(key, S("thought")) && openai_says(v))
            return true;
    }
    return false;
}

static void candidate_read(struct reading *r, const struct json_val *c)
{
    const struct json_val *parts = json_get(json_get(c, "content"), "parts");
    struct slice word = gemini_str(c, "finishReason");
    enum stop_kind stop;
    for (size_t i = 0; i < json_len(parts) && !r->seen.meaningful; i++)
        r->seen.meaningful = part_says(json_at(parts, i));
    if (gemini_finish(word, &stop) == GEMINI_GOES_ON)
        return;
    text_copy(r->seen.stop_reason, sizeof r->seen.stop_reason, word);
    assert(r->seen.stop_reason[0] != '\0'); /* it is what makes a stream whole */
    r->seen.meaningful = true;
}

static void response_read(struct reading *r, const struct json_val *root)
{
    struct observation *seen = &r->seen;
    const struct json_val *candidates = json_get(root, "candidates");
    struct slice blocked = gemini_block_reason(root);
    if (openai_says(json_get(root, "error"))) { /* not meaningful: another may be tried */
        (void)gemini_error(0, root, seen);
        return;
    }
    reading_text(seen->model, sizeof seen->model, root, "modelVersion");
    reading_text(seen->message_id, sizeof seen->message_id, root, "responseId");
    (void)gemini_usage(root, &seen->usage);
    for (size_t i = 0; i < json_len(candidates) && i < 128; i++)
        candidate_read(r, json_at(candidates, i));
    if (blocked.n > 0 && json_len(candidates) == 0) {
        text_copy(seen->stop_reason, sizeof seen->stop_reason, blocked);
        seen->meaningful = true;
    }
}

/* A response, or, with proxies that gather a stream, a list of them. */
static bool json_read(struct reading *r, struct slice json)
{
    struct json *doc = NULL;
    if (json_parse(json, &doc) != OK)
        return false;
    const struct json_val *root = json_root(doc);
    bool sense = json_type(root) == JSON_OBJECT || json_type(root) == JSON_ARRAY;
    if (json_type(root) == JSON_OBJECT)
        response_read(r, root);
    for (size_t i = 0; json_type(root) == JSON_ARRAY && i < json_len(root); i++)
        response_read(r, json_at(root, i));
    json_free(doc);
    return sense;
}

static bool event_read(struct reading *r, struct slice name, struct slice data)
{
    (void)name;
    data = slice_trim(data);
    return data.n == 0 || slice_eq(data, S("[DONE]")) || json_read(r, data);
}

/* ---- errors ---------------------------------------------------------------------------------- */

/* Reasons and phrases that say more than the status does: the key, the bill. */
static enum reply_error error_by_reason(const struct json_val *root, struct slice message)
{
    const struct json_val *details = json_get(json_get(root, "error"), "details");
    for (size_t i = 0; i < json_len(details) && i < 16; i++) {
        struct slice reason = json_get_str(json_at(details, i), "reason");
        if (slice_starts(reason, S("API_KEY_")) || slice_eq(reason, S("ACCESS_TOKEN_EXPIRED")) ||
            slice_eq(reason, S("CONSUMER_SUSPENDED")) || slice_eq(reason, S("CONSUMER_INVALID")))
            return REPLY_ERROR_AUTH;
        if (slice_eq(reason, S("BILLING_DISABLED")))
            return REPLY_ERROR_BILLING;
    }
    if (slice_search(message, S("prepayment credits are depleted")) >= 0 ||
        slice_search(message, S("monthly spending cap")) >= 0)
        return REPLY_ERROR_BILLING;
    return REPLY_ERROR_NONE;
}

int gemini_error(int status, const struct json_val *root, struct observation *out)
{
    if (json_type(root) == JSON_ARRAY)
        root = json_at(root, 0);
    status = openai_error(status, root, out); /* its compatible door has the same errors */
    enum reply_error known = error_by_reason(root, slice_of(reply_words(out)->error_message));
    if (known != REPLY_ERROR_NONE)
        out->error = known;
    assert(out->error != REPLY_ERROR_NONE && status >= 400);
    return status;
}

static void error_read(int status, struct slice body, struct observation *out)
{
    struct json *doc = NULL;
    struct reply_words words = {0};
    struct observation none = {.words = &words};
    bool sense = json_parse(body, &doc) == OK;
    (void)gemini_error(status, sense ? json_root(doc) : NULL, sense ? out : &none);
    if (!sense)
        out->error = none.error;
    json_free(doc);
}

static const char *error_type(int status)
{
    static const struct {
        int status;
        const char *word;
    } words[] = {
        {401, "UNAUTHENTICATED"},
        {402, "FAILED_PRECONDITION"},
        {403, "PERMISSION_DENIED"},
        {404, "NOT_FOUND"},
        {409, "ABORTED"},
        {416, "OUT_OF_RANGE"},
        {429, "RESOURCE_EXHAUSTED"},
        {499, "CANCELLED"},
        {501, "UNIMPLEMENTED"},
        {503, "UNAVAILABLE"},
        {504, "DEADLINE_EXCEEDED"},
        {529, "UNAVAILABLE"},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (words[i].status == status)
            return words[i].word;
    }
    return status >= 500 ? "INTERNAL" : "INVALID_ARGUMENT";
}

enum err gemini_error_print(int status, struct slice message, struct slice request_id,
                            struct buf *out)
{
    struct jw w;
    assert(status >= 400);
    (void)request_id; /* its place is a header */
    jw_init(&w, out);
    jw_obj(&w);
    jw_key(&w, "error");
    jw_obj(&w);
    jw_ki64(&w, "code", status);
    jw_kstr(&w, "message", message);
    jw_kcstr(&w, "status", error_type(status));
    jw_end_obj(&w);
    jw_end_obj(&w);
    return w.err;
}

static enum err error_event(int status, struct slice message, struct slice request_id,
                            struct buf *out)
{
    enum err e = buf_puts(out, S("data: "));
    if (e == OK)
        e = gemini_error_print(status, message, request_id, out);
    return e == OK ? buf_puts(out, S("\n\n")) : e;
}

/* Some of the clients take every line that is not empty for an event: there is no ping. */
const struct dialect_ops dialect_gemini = {
    .name = "gemini",
    .ping = {"", 0},
    .stop_ends = true,
    .array = true,
    .reply_max = (size_t)8 << 20, /* images come in one event */
    .request = request_read,
    .event_use = event_use,
    .event = event_read,
    .body = json_read,
    .error_type = error_type,
    .error_read = error_read,
    .error_print = gemini_error_print,
    .error_event = error_event,
    .canon = &canon_gemini,
};
