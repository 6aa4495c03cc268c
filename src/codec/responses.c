/* The OpenAI Responses dialect: what is read in requests, events, bodies and errors.
 * Facts: wire/openai.md section 7. `/responses/compact` has the same shapes as far as anything is
 * read in them here.
 *
 * The events that open and end a reply carry the whole response, and with it the tools and the
 * instructions of its request: some hundred KiB. So they are walked by byte offsets, and only the
 * few small values that are wanted become trees. */
#include "codec/responses.h"
#include "codec/scan.h"

#include <string.h>

/* ---- requests -------------------------------------------------------------------------------- */

#define ITEMS_LOOK 8 /* so far in, the first message of a user is looked for */

struct request_scan {
    struct request_facts *out;
    struct span cache_key, instructions, input;
};

/* The first message of the user among the items of `input`. */
static void items_talk(struct scan_talk *t, size_t input)
{
    struct span_list list;
    struct span v;
    size_t at = 0, content = 0;
    char role[SCAN_ROLE];
    assert(input < t->body.n);
    span_list_init(&list, slice_sub(t->body, input, t->body.n));
    for (int i = 0; i < ITEMS_LOOK && span_list_find(&list, &at) == OK; i++) {
        at += input;
        if (scan_turn(t->body, at, role, &content)) {
            bool user = strcmp(role, "user") == 0;
            if (content > 0 && strcmp(role, "assistant") != 0)
                scan_talk_add(t, content);
            if (user)
                return;
        }
        if (span_list_cross(&list, &v) != OK)
            return;
    }
}

/* A request that goes on from an earlier reply begins with what is new: nothing in it stays the
 * same from turn to turn. It is led by the reference, which knows its account. */
static uint64_t conversation_of(struct slice body, const struct request_scan *at)
{
    struct scan_talk t;
    struct span id = at->out->container;
    char key[256];
    if (at->cache_key.to > 0 && json_span_text(body, at->cache_key, key, sizeof key) &&
        key[0] != '\0')
        return hash_stable(2, slice_of(key)) | 1;
    if (id.to > 0 && body.p[id.from] == '{' && span_member(span_slice(body, id), S("id"), &id)) {
        id.from += at->out->container.from;
        id.to += at->out->container.from;
    }
    if (id.to > 0 && json_span_text(body, id, key, sizeof key) && key[0] != '\0')
        return hash_stable(5, slice_of(key)) | 1;
    if (at->out->thread.to > 0)
        return 0;
    scan_talk_init(&t, body);
    if (at->instructions.to > 0)
        scan_talk_add(&t, at->instructions.from);
    if (at->input.to > 0 && body.p[at->input.from] == '[')
        items_talk(&t, at->input.from);
    else if (at->input.to > 0)
        scan_talk_add(&t, at->input.from);
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
    if (slice_eq(key, S("max_output_tokens")))
        return scan_max_tokens(value, at->out) == NULL
                   ? NULL
                   : "max_output_tokens: Input should be a valid integer";
    if (slice_eq(value, S("null")))
        return NULL;
    if (slice_eq(key, S("store")))
        at->out->stored = !slice_eq(value, S("false"));
    else if (slice_eq(key, S("previous_response_id")))
        at->out->thread = v;
    else if (slice_eq(key, S("conversation")))
        at->out->container = v;
    else if (slice_eq(key, S("prompt_cache_key")))
        at->cache_key = v;
    else if (slice_eq(key, S("instructions")))
        at->instructions = v;
    else if (slice_eq(key, S("input")))
        at->input = v;
    return NULL;
}

static enum err request_read(struct slice body, struct request_facts *out, const char **why)
{
    struct request_scan at = {.out = out};
    out->stored = true;
    enum err e = scan_walk(body, request_member, &at, out, why);
    assert(out->thread.to <= body.n && out->container.to <= body.n);
    if (e == OK)
        out->conversation = conversation_of(body, &at);
    return e;
}

/* ---- errors ---------------------------------------------------------------------------------- */

bool sign_take(struct slice *s, struct slice mark)
{
    if (!slice_starts(*s, mark))
        return false;
    *s = slice_sub(*s, mark.n, s->n);
    return true;
}

int responses_error(const struct json_val *root, struct observation *out)
{
    const struct json_val *response = json_get(root, "response");
    int64_t told = json_get_i64(root, "status", 0); /* beside the error, over web sockets */
    if (json_type(response) == JSON_OBJECT)
        root = response;
    int status = openai_error(told >= 400 && told < 600 ? (int)told : 0, root, out);
    assert(out->error != REPLY_ERROR_NONE && status >= 400);
    if (out->error != REPLY_ERROR_OTHER)
        return status;
    /* Codes of what is wrong with an image or a prompt, of which there are ever more. */
    struct reply_words *words = reply_words_room(out);
    struct slice code = slice_of(words->error_type);
    bool client = slice_starts(code, S("invalid_")) || slice_search(code, S("image")) >= 0 ||
                  slice_search(code, S("policy")) >= 0;
    out->error = client ? REPLY_ERROR_CLIENT : REPLY_ERROR_SERVER;
    /* The event's type or the response's status, which say nothing more. */
    if (slice_eq(code, S("error")) || slice_eq(code, S("failed")) || code.n == 0)
        text_copy(words->error_type, sizeof words->error_type, S("server_error"));
    return client ? 400 : 500;
}

const char *responses_code(int status, struct slice type, struct slice message)
{
    if (error_is_too_long(type, message))
        return "context_length_exceeded";
    if (status == 402)
        return "insufficient_quota";
    if (status == 429)
        return "rate_limit_exceeded";
    return status >= 500 ? "server_error" : "invalid_prompt";
}

static const char *error_type(int status)
{
    return dialect_openai.error_type(status);
}

static void error_read(int status, struct slice body, struct observation *out)
{
    dialect_openai.error_read(status, body, out);
}

static enum err error_event(int status, struct slice message, struct slice request_id,
                            struct buf *out)
{
    struct jw w;
    (void)request_id;
    assert(status >= 400);
    enum err e = buf_puts(out, S("event: error\ndata: "));
    jw_init(&w, out);
    jw_obj(&w);
    jw_kcstr(&w, "type", "error");
    jw_kcstr(&w, "code", responses_code(status, S(""), message));
    jw_kstr(&w, "message", message);
    jw_kcstr(&w, "param", NULL);
    jw_ki64(&w, "sequence_number", 0);
    jw_end_obj(&w);
    if (e == OK)
        e = w.err;
    return e == OK ? buf_puts(out, S("\n\n")) : e;
}

/* ---- replies --------------------------------------------------------------------------------- */

#define NAME_KEPT 32 /* bytes of an event's name that the observer keeps */

/* What begins an item says nothing yet: another account may still be tried. */
static enum event_use event_use(struct slice name)
{
    static const char *const reads[] = {"response.created",    "response.completed",
                                        "response.incomplete", "response.failed",
                                        "response.cancelled",  "error"};
    static const char *const lives[] = {"response.in_progress",
                                        "response.queued",
                                        "response.output_item.added",
                                        "response.content_part.added",
                                        "response.reasoning_summary_part.added",
                                        "keepalive",
                                        "ping"};
    if (name.n == 0)
        return EVENT_SNIFF;
    for (size_t i = 0; i < sizeof reads / sizeof reads[0]; i++) {
        if (slice_eq(name, slice_of(reads[i])))
            return EVENT_READ;
    }
    for (size_t i = 0; i < sizeof lives / sizeof lives[0]; i++) {
        struct slice life = slice_of(lives[i]);
        if (slice_eq(name, life) || (name.n == NAME_KEPT && slice_starts(life, name)))
            return EVENT_LIFE;
    }
    return EVENT_PASS;
}

/* The container that code has run in, if any has: a member of one of the items. Within a string its
 * quotes would be escaped. */
static void container_read(struct observation *seen, struct slice output)
{
    ptrdiff_t hit = slice_search(output, S("\"container_id\""));
    if (hit < 0)
        return;
    size_t at = span_skip_space(output, (size_t)hit + sizeof "\"container_id\"" - 1);
    if (at >= output.n || output.p[at] != ':')
        return;
    struct span v = {span_skip_space(output, at + 1), 0};
    if (v.from < output.n && output.p[v.from] == '"' && span_string(output, v.from, &v.to) == OK) {
        struct reply_words *words = reply_words_room(seen);
        (void)json_span_text(output, v, words->container, sizeof words->container);
    }
}

void responses_usage(const struct json_val *v, struct usage *out)
{
    if (json_type(json_get(v, "input_tokens")) == JSON_NUMBER ||
        json_type(json_get(v, "output_tokens")) == JSON_NUMBER)
        openai_usage_read(v, out);
}

struct response_told { /* by one response object */
    char status[24], reason[32];
    struct span error;
};

static void usage_tell(struct observation *seen, struct slice json)
{
    struct json *doc = NULL;
    if (json_parse(json, &doc) == OK)
        responses_usage(json_root(doc), &seen->usage);
    json_free(doc);
}

static void response_member(struct observation *seen, struct response_told *told,
                            struct slice object, struct slice key, struct span v)
{
    struct slice value = span_slice(object, v);
    struct span reason;
    if (slice_eq(value, S("null")))
        return;
    if (span_key_is(key, S("id")))
        (void)json_span_text(object, v, seen->message_id, sizeof seen->message_id);
    else if (span_key_is(key, S("model")))
        (void)json_span_text(object, v, seen->model, sizeof seen->model);
    else if (span_key_is(key, S("status")))
        (void)json_span_text(object, v, told->status, sizeof told->status);
    else if (span_key_is(key, S("service_tier")))
        (void)json_span_text(object, v, seen->usage.service_tier, sizeof seen->usage.service_tier);
    else if (span_key_is(key, S("usage")))
        usage_tell(seen, value);
    else if (span_key_is(key, S("output")))
        container_read(seen, value);
    else if (span_key_is(key, S("error")))
        told->error = v;
    else if (span_key_is(key, S("incomplete_details")) && span_member(value, S("reason"), &reason))
        (void)json_span_text(value, reason, told->reason, sizeof told->reason);
}

static bool error_tell(struct observation *seen, struct slice json)
{
    struct json *doc = NULL;
    bool sense = json_parse(json, &doc) == OK;
    if (sense)
        (void)responses_error(json_root(doc), seen);
    json_free(doc);
    return sense;
}

/* A response: of an event, or the whole body. */
static bool response_read(struct reading *r, struct slice object)
{
    struct observation *seen = &r->seen;
    struct response_told told = {.status = ""};
    struct json_scan s;
    struct slice key;
    struct span v;
    enum err e;
    json_scan_init(&s, object);
    while ((e = json_scan_next(&s, &key, &v)) == OK)
        response_member(seen, &told, object, key, v);
    if (e != ERR_NOTFOUND)
        return false;
    assert(told.error.to <= object.n);
    struct slice status = slice_of(told.status);
    if (told.error.to > 0 || slice_eq(status, S("failed")))
        return error_tell(seen, object);
    if (told.reason[0] != '\0')
        text_copy(seen->stop_reason, sizeof seen->stop_reason, slice_of(told.reason));
    else if (!slice_eq(status, S("in_progress")) && !slice_eq(status, S("queued")))
        text_copy(seen->stop_reason, sizeof seen->stop_reason, status);
    return true;
}

/* The end of a reply, told by the event's name: its data may be more than is kept. */
static bool is_end(struct slice name)
{
    return slice_eq(name, S("response.completed")) || slice_eq(name, S("response.incomplete")) ||
           slice_eq(name, S("response.cancelled"));
}

static bool named_read(struct reading *r, struct slice name, struct slice data)
{
    struct span v = {0, 0};
    if (slice_eq(name, S("error")))
        return error_tell(&r->seen, data);
    bool sense = span_member(data, S("response"), &v) && response_read(r, span_slice(data, v));
    if (slice_eq(name, S("response.failed")) && r->seen.error == REPLY_ERROR_NONE)
        return sense && error_tell(&r->seen, S("{}"));
    if (is_end(name) && r->seen.error == REPLY_ERROR_NONE)
        r->seen.meaningful = r->seen.terminal = true;
    assert(!r->seen.terminal || r->seen.meaningful);
    return sense;
}

/* Some servers give their events no names; the data has it too. */
static bool event_read(struct reading *r, struct slice name, struct slice data)
{
    char type[48];
    struct span v;
    data = slice_trim(data);
    if (name.n > 0)
        return named_read(r, name, data);
    if (slice_eq(data, S("[DONE]"))) {
        r->seen.meaningful = r->seen.terminal = r->seen.error == REPLY_ERROR_NONE;
        return true;
    }
    if (!span_member(data, S("type"), &v) || !json_span_text(data, v, type, sizeof type))
        return span_member(data, S("error"), &v) && error_tell(&r->seen, data);
    name = slice_of(type);
    switch (event_use(name)) {
    case EVENT_READ:
        return named_read(r, name, data);
    case EVENT_PASS:
        r->seen.meaningful = true;
        break;
    case EVENT_LIFE:
    case EVENT_SNIFF:
        break;
    }
    return true;
}

static void event_cut(struct reading *r, struct slice name)
{
    if (is_end(name) && r->seen.error == REPLY_ERROR_NONE)
        r->seen.meaningful = r->seen.terminal = true;
}

#define PING ": ping\n\n"
#define REPLY_MAX \
    ((size_t)8 << 20) /* the tools of the request, images and documents of the reply */

const struct dialect_ops dialect_responses = {
    .name = "responses",
    .ping = {PING, sizeof PING - 1},
    .reply_max = REPLY_MAX,
    .request = request_read,
    .event_use = event_use,
    .event = event_read,
    .event_cut = event_cut,
    .body = response_read,
    .error_type = error_type,
    .error_read = error_read,
    .error_print = openai_error_print,
    .error_event = error_event,
    .canon = &canon_responses,
};
