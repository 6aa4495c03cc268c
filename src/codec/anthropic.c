/* The Anthropic Messages dialect: what is read in requests, events, bodies and errors.
 * Facts: wire/anthropic-messages.md, sections 3 (requests), 5 and 6 (replies), 7 (errors). */
#include "codec/anthropic.h"
#include "codec/openai.h"
#include "codec/scan.h"

#include <string.h>

#define KEY_N(name) (sizeof(name) - 1) /* what keys are told by first */

/* ---- requests -------------------------------------------------------------------------------- */

struct request_scan {
    struct request_facts *out;
    /* of what the conversation's identity may come from */
    struct span metadata, cache_key, system, messages;
};

/* metadata.user_id: a string holding JSON with session_id, or user_..._session_<uuid>. */
static uint64_t session_hash(struct slice body, struct span metadata)
{
    char user[512], session[128];
    struct span v;
    struct slice object = span_slice(body, metadata);
    if (!span_member(object, S("user_id"), &v) || !json_span_text(object, v, user, sizeof user))
        return 0;
    struct slice text = slice_of(user);
    if (slice_starts(text, S("{"))) {
        if (span_member(text, S("session_id"), &v) &&
            json_span_text(text, v, session, sizeof session) && session[0] != '\0')
            return codec_session_hash(slice_of(session));
        return 0;
    }
    ptrdiff_t at = slice_search(text, S("_session_"));
    if (at < 0)
        return 0;
    text = slice_sub(text, (size_t)at + sizeof "_session_" - 1, text.n);
    return codec_session_hash(text);
}

/* Not a field of this dialect, but some clients and frameworks send it in every one. */
static uint64_t cache_key_hash(struct slice body, struct span v)
{
    char key[256];
    return json_span_text(body, v, key, sizeof key) ? codec_session_hash(slice_of(key)) : 0;
}

/* Where the content of the first message of role user begins. Turns are only ever added behind it;
 * a client that compacts its talk changes it, but then the cache is cold anyway. */
static bool first_user_content(struct slice body, size_t messages, size_t *content)
{
    struct span_list list;
    struct span v;
    size_t at = 0;
    char role[SCAN_ROLE];
    span_list_init(&list, slice_sub(body, messages, body.n));
    for (int i = 0; i < 8 && span_list_find(&list, &at) == OK; i++) {
        if (scan_turn(body, messages + at, role, content) && strcmp(role, "user") == 0)
            return *content > 0;
        if (span_list_cross(&list, &v) != OK)
            break;
    }
    return false;
}

/* 0 when there is nothing to go by. */
static uint64_t conversation_of(struct slice body, const struct request_scan *at)
{
    struct scan_talk t;
    size_t content = 0;
    uint64_t given = 0;
    if (at->metadata.to > 0)
        given = session_hash(body, at->metadata);
    if (given == 0 && at->cache_key.to > 0)
        given = cache_key_hash(body, at->cache_key);
    if (given != 0)
        return given;
    scan_talk_init(&t, body);
    if (at->system.to > 0)
        scan_talk_add(&t, at->system.from);
    if (at->messages.to > 0 && first_user_content(body, at->messages.from, &content))
        scan_talk_add(&t, content);
    return scan_talk_hash(&t);
}

/* Marks stand at the end of the system prompt, and those of an hour before the others. */
static bool asks_for_hour(struct slice value)
{
    return slice_search(value, S("\"1h\"")) >= 0;
}

static const char *request_member(void *arg, struct slice body, struct slice key, struct span v)
{
    struct request_scan *at = arg;
    switch (key.n) {
    case KEY_N("model"):
        return slice_eq(key, S("model")) ? scan_model(body, v, at->out) : NULL;
    case KEY_N("stream"):
        if (slice_eq(key, S("stream")))
            return scan_stream(span_slice(body, v), at->out);
        if (slice_eq(key, S("system")))
            at->system = v;
        else if (slice_eq(key, S("thread")))
            at->out->thread = v;
        return NULL;
    case KEY_N("messages"):
        if (slice_eq(key, S("messages")))
            at->messages = v;
        else if (slice_eq(key, S("metadata")))
            at->metadata = v;
        return NULL;
    case KEY_N("container"):
        if (slice_eq(key, S("container")))
            at->out->container = v;
        return NULL;
    case KEY_N("max_tokens"):
        return slice_eq(key, S("max_tokens")) ? scan_max_tokens(span_slice(body, v), at->out)
                                              : NULL;
    case KEY_N("cache_control"):
        if (slice_eq(key, S("cache_control")))
            at->out->cache_1h |= asks_for_hour(span_slice(body, v));
        return NULL;
    case KEY_N("prompt_cache_key"):
        if (slice_eq(key, S("prompt_cache_key")))
            at->cache_key = v;
        return NULL;
    default:
        return NULL;
    }
}

static enum err request_read(struct slice body, struct request_facts *out, const char **why)
{
    struct request_scan at = {.out = out};
    enum err e = scan_walk(body, request_member, &at, out, why);
    if (e != OK)
        return e;
    out->conversation = conversation_of(body, &at);
    if (at.system.to > 0)
        out->cache_1h |= asks_for_hour(span_slice(body, at.system));
    return OK;
}

/* ---- errors ---------------------------------------------------------------------------------- */

static const char *error_type(int status)
{
    switch (status) {
    case 401:
        return "authentication_error";
    case 402:
        return "billing_error";
    case 403:
        return "permission_error";
    case 404:
        return "not_found_error";
    case 409:
        return "conflict_error";
    case 413:
        return "request_too_large";
    case 429:
        return "rate_limit_error";
    case 501:
        return "not_supported";
    case 504:
        return "timeout_error";
    case 529:
        return "overloaded_error";
    default:
        return status >= 500 ? "api_error" : "invalid_request_error";
    }
}

static const struct {
    const char *type;
    enum reply_error error;
} error_types[] = {
    {"rate_limit_error", REPLY_ERROR_RATE_LIMIT},
    {"overloaded_error", REPLY_ERROR_OVERLOADED},
    {"api_error", REPLY_ERROR_SERVER},
    {"timeout_error", REPLY_ERROR_SERVER},
    {"authentication_error", REPLY_ERROR_AUTH},
    {"permission_error", REPLY_ERROR_AUTH},
    {"billing_error", REPLY_ERROR_BILLING},
    {"invalid_request_error", REPLY_ERROR_CLIENT},
    {"not_found_error", REPLY_ERROR_CLIENT},
    {"request_too_large", REPLY_ERROR_CLIENT},
    {"conflict_error", REPLY_ERROR_CLIENT},
};

/* Limits a person has set, and empty purses, come as 400 or 429 with these texts (section 7). Only
 * the start of the message counts: further in it may quote the request. */
static bool is_billing_text(struct slice message)
{
    return slice_starts(message, S("You have reached your specified API usage limits")) ||
           slice_starts(message, S("You have reached your specified workspace API usage limits")) ||
           slice_starts(message, S("Your credit balance is too low"));
}

static bool is_billing_code(struct slice code)
{
    return slice_eq(code, S("enforced_spend_limit_reached")) ||
           slice_eq(code, S("contract_spend_limit_reached")) ||
           slice_eq(code, S("linked_organization_spend_limit_reached")) ||
           slice_eq(code, S("linked_organization_billing_unavailable"));
}

static enum reply_error error_class(int status, struct slice type, struct slice message,
                                    struct slice code)
{
    if (is_billing_text(message) || is_billing_code(code))
        return REPLY_ERROR_BILLING;
    if (slice_eq(code, S("organization_on_hold")))
        return REPLY_ERROR_AUTH;
    for (size_t i = 0; i < sizeof error_types / sizeof error_types[0]; i++) {
        if (slice_eq(type, slice_of(error_types[i].type)))
            return error_types[i].error;
    }
    return reply_error_of(status);
}

/* The object that tells type and message: `error`, or the body itself; compatible providers do
 * both. */
void anthropic_error(int status, const struct json_val *root, struct observation *out)
{
    const struct json_val *e = json_get(root, "error");
    struct slice type, message = {"", 0}, code;
    if (json_str(e, &message)) /* {"error": "text"} */
        e = NULL;
    else if (json_type(e) != JSON_OBJECT)
        e = root;
    type = json_get_str(e, "type");
    if (message.n == 0)
        message = json_get_str(e, "message");
    if (message.n == 0)
        message = json_get_str(root, "detail");
    code = json_get_str(json_get(e, "details"), "error_code");
    if (code.n == 0)
        code = json_get_str(e, "code");
    out->error = error_class(status, type, message, code);
    struct reply_words *words = reply_words_room(out);
    text_copy(words->error_type, sizeof words->error_type, type);
    text_copy(words->error_message, sizeof words->error_message, message);
}

static void error_read(int status, struct slice body, struct observation *out)
{
    struct json *doc = NULL;
    out->error = reply_error_of(status);
    if (json_parse(body, &doc) == OK && json_type(json_root(doc)) == JSON_OBJECT)
        anthropic_error(status, json_root(doc), out);
    json_free(doc);
}

/* ---- replies --------------------------------------------------------------------------------- */

static int64_t or_zero(int64_t v)
{
    return v < 0 ? 0 : v;
}

/* Tokens of a compaction on the way are told in `iterations` only, not in the totals (section 5).
 * Rare enough for a tree. */
static bool take_iterations(struct reading *r, struct slice text)
{
    struct json *doc = NULL;
    if (text.n == 0 || text.p[0] != '[')
        return true;
    if (json_parse(text, &doc) != OK)
        return false;
    const struct json_val *list = json_root(doc);
    size_t n = json_len(list);
    if (n <= 256)
        r->aside_input = r->aside_output = r->aside_cache_read = r->aside_cache_write = 0;
    for (size_t i = 0; i < n && n <= 256; i++) {
        const struct json_val *one = json_at(list, i);
        int64_t in = 0, out = 0, read = 0, write = 0;
        if (!slice_eq(json_get_str(one, "type"), S("compaction")))
            continue;
        reading_count(&in, one, "input_tokens");
        reading_count(&out, one, "output_tokens");
        reading_count(&read, one, "cache_read_input_tokens");
        reading_count(&write, one, "cache_creation_input_tokens");
        r->aside_input += in;
        r->aside_output += out;
        r->aside_cache_read += read;
        r->aside_cache_write += write;
    }
    json_free(doc);
    return true;
}

/* What has been told so far, put together. Of the cache writes a later event may tell the sum only:
 * what the split does not cover counts as the cheaper 5 minutes (wire/pricing.md). */
static void usage_settle(struct reading *r)
{
    struct usage *u = &r->seen.usage;
    int64_t split = or_zero(r->cache_write_5m) + or_zero(r->cache_write_1h);
    int64_t rest = r->cache_write > split ? r->cache_write - split : 0;
    assert(rest >= 0 && r->aside_input >= 0 && r->aside_output >= 0);
    u->known = r->input >= 0 || r->output >= 0;
    u->input = or_zero(r->input) + r->aside_input;
    u->output = or_zero(r->output) + r->aside_output;
    u->cache_read = or_zero(r->cache_read) + r->aside_cache_read;
    u->cache_write_5m = or_zero(r->cache_write_5m) + rest + r->aside_cache_write;
    u->cache_write_1h = or_zero(r->cache_write_1h);
    u->thinking = or_zero(r->thinking);
    u->web_searches = or_zero(r->web_searches);
    u->web_fetches = or_zero(r->web_fetches);
}

/* The members of `object`; none when it is absent or something else. False: it makes no sense. */
static bool members(struct slice object, span_place_fn *place, void *into)
{
    return object.n == 0 || object.p[0] != '{' || span_members(object, place, into);
}

struct pair_at { /* two counts of an object within usage */
    struct slice key_a, key_b;
    struct span a, b;
};

static struct span *pair_place(void *into, struct slice key)
{
    struct pair_at *at = into;
    if (slice_eq(key, at->key_a))
        return &at->a;
    return slice_eq(key, at->key_b) ? &at->b : NULL;
}

static bool take_counts(struct slice usage, struct span v, struct slice key_a, int64_t *a,
                        struct slice key_b, int64_t *b)
{
    struct pair_at at = {.key_a = key_a, .key_b = key_b};
    struct slice object = span_slice(usage, v);
    if (!members(object, pair_place, &at))
        return false;
    reading_span_count(a, object, at.a);
    reading_span_count(b, object, at.b);
    return true;
}

struct usage_at { /* where the members of usage stand */
    struct span input, output, cache_read, cache_write, iterations;
    struct span split, details, tools; /* objects with counts of their own */
    struct span tier, speed, geo;
};

#define KEY_OF(name, member) (slice_eq(key, S(name)) ? &at->member : NULL)

static struct span *usage_place(void *into, struct slice key)
{
    struct usage_at *at = into;
    switch (key.n) {
    case KEY_N("speed"):
        return KEY_OF("speed", speed);
    case KEY_N("iterations"):
        return KEY_OF("iterations", iterations);
    case KEY_N("input_tokens"):
        return key.p[0] == 'i' ? KEY_OF("input_tokens", input) : KEY_OF("service_tier", tier);
    case KEY_N("output_tokens"):
        return key.p[0] == 'o' ? KEY_OF("output_tokens", output) : KEY_OF("inference_geo", geo);
    case KEY_N("cache_creation"):
        return KEY_OF("cache_creation", split);
    case KEY_N("server_tool_use"):
        return KEY_OF("server_tool_use", tools);
    case KEY_N("output_tokens_details"):
        return KEY_OF("output_tokens_details", details);
    case KEY_N("cache_read_input_tokens"):
        return KEY_OF("cache_read_input_tokens", cache_read);
    case KEY_N("cache_creation_input_tokens"):
        return KEY_OF("cache_creation_input_tokens", cache_write);
    default:
        return NULL;
    }
}

/* What stands in objects and lists of its own. */
static bool take_nested(struct reading *r, struct slice v, const struct usage_at *at)
{
    int64_t none = 0;
    return take_counts(v, at->split, S("ephemeral_5m_input_tokens"), &r->cache_write_5m,
                       S("ephemeral_1h_input_tokens"), &r->cache_write_1h) &&
           take_counts(v, at->details, S("thinking_tokens"), &r->thinking, S(""), &none) &&
           take_counts(v, at->tools, S("web_search_requests"), &r->web_searches,
                       S("web_fetch_requests"), &r->web_fetches) &&
           take_iterations(r, span_slice(v, at->iterations));
}

bool anthropic_usage(struct reading *r, struct slice v)
{
    struct usage *u = &r->seen.usage;
    struct usage_at at = {{0, 0}};
    if (v.n == 0 || v.p[0] != '{')
        return true;
    if (!span_members(v, usage_place, &at))
        return false;
    if ((at.split.to | at.details.to | at.tools.to | at.iterations.to) != 0 &&
        !take_nested(r, v, &at))
        return false;
    reading_span_count(&r->input, v, at.input);
    reading_span_count(&r->output, v, at.output);
    reading_span_count(&r->cache_read, v, at.cache_read);
    reading_span_count(&r->cache_write, v, at.cache_write);
    reading_span_text(u->service_tier, sizeof u->service_tier, v, at.tier);
    reading_span_text(u->speed, sizeof u->speed, v, at.speed);
    reading_span_text(u->inference_geo, sizeof u->inference_geo, v, at.geo);
    usage_settle(r);
    return true;
}

static struct span *container_place(void *into, struct slice key)
{
    return slice_eq(key, S("id")) ? into : NULL;
}

/* `v`: the id of a container within it. */
static bool container_read(struct observation *seen, struct slice v)
{
    struct span id = {0, 0};
    if (!members(v, container_place, &id))
        return false;
    if (id.to > 0) {
        struct reply_words *words = reply_words_room(seen);
        reading_span_text(words->container, sizeof words->container, v, id);
    }
    return true;
}

struct message_at { /* where the members of a message stand that are read */
    struct span type, model, id, stop, container, usage;
    struct span base; /* no member of a message, but of an error that looks like one */
};

static struct span *message_place(void *into, struct slice key)
{
    struct message_at *at = into;
    switch (key.n) {
    case KEY_N("id"):
        return KEY_OF("id", id);
    case KEY_N("type"):
        return KEY_OF("type", type);
    case KEY_N("model"):
        return key.p[0] == 'm' ? KEY_OF("model", model) : KEY_OF("usage", usage);
    case KEY_N("container"):
        return key.p[0] == 'c' ? KEY_OF("container", container) : KEY_OF("base_resp", base);
    case KEY_N("stop_reason"):
        return KEY_OF("stop_reason", stop);
    default:
        return NULL;
    }
}

static bool message_take(struct reading *r, struct slice m, const struct message_at *at)
{
    struct observation *seen = &r->seen;
    reading_span_text(seen->model, sizeof seen->model, m, at->model);
    reading_span_text(seen->message_id, sizeof seen->message_id, m, at->id);
    reading_span_text(seen->stop_reason, sizeof seen->stop_reason, m, at->stop);
    return (at->container.to == 0 || container_read(seen, span_slice(m, at->container))) &&
           anthropic_usage(r, span_slice(m, at->usage));
}

enum event_kind { KIND_START, KIND_DELTA, KIND_STOP, KIND_ERROR, KIND_PING, KIND_PASS };

/* Asked for every event, and nearly always about one that is of no interest: so by length first. */
static enum event_kind event_kind(struct slice name)
{
    switch (name.n) {
    case sizeof "ping" - 1:
        return memcmp(name.p, "ping", name.n) == 0 ? KIND_PING : KIND_PASS;
    case sizeof "error" - 1:
        return memcmp(name.p, "error", name.n) == 0 ? KIND_ERROR : KIND_PASS;
    case sizeof "message_stop" - 1:
        return memcmp(name.p, "message_stop", name.n) == 0 ? KIND_STOP : KIND_PASS;
    case sizeof "message_start" - 1:
        if (memcmp(name.p, "message_start", name.n) == 0)
            return KIND_START;
        return memcmp(name.p, "message_delta", name.n) == 0 ? KIND_DELTA : KIND_PASS;
    default:
        return KIND_PASS;
    }
}

static enum event_use event_use(struct slice name)
{
    if (name.n == 0)
        return EVENT_SNIFF;
    switch (event_kind(name)) {
    case KIND_START:
    case KIND_DELTA:
    case KIND_STOP:
    case KIND_ERROR:
        return EVENT_READ;
    case KIND_PING:
        return EVENT_LIFE;
    case KIND_PASS:
        break;
    }
    return EVENT_PASS;
}

struct delta_at {
    struct span delta, usage;    /* of the event */
    struct span stop, container; /* of its delta */
};

static struct span *delta_place(void *into, struct slice key)
{
    struct delta_at *at = into;
    if (key.n != KEY_N("delta"))
        return NULL;
    return key.p[0] == 'd' ? KEY_OF("delta", delta) : KEY_OF("usage", usage);
}

static struct span *told_place(void *into, struct slice key)
{
    struct delta_at *at = into;
    return key.n == KEY_N("container") ? KEY_OF("container", container)
                                       : KEY_OF("stop_reason", stop);
}

/* Of an event that tells something: what it tells. Until all of it made sense it has told nothing,
 * and another account may be tried. */
static bool delta_read(struct reading *r, struct slice data)
{
    struct observation *seen = &r->seen;
    struct delta_at at = {{0, 0}};
    if (!span_members(data, delta_place, &at))
        return false;
    struct slice d = span_slice(data, at.delta);
    if (!members(d, told_place, &at))
        return false;
    reading_span_text(seen->stop_reason, sizeof seen->stop_reason, d, at.stop);
    if (!container_read(seen, span_slice(d, at.container)) ||
        !anthropic_usage(r, span_slice(data, at.usage)))
        return false;
    seen->meaningful = true;
    return true;
}

static struct span *start_place(void *into, struct slice key)
{
    return slice_eq(key, S("message")) ? into : NULL;
}

static bool start_read(struct reading *r, struct slice data)
{
    struct span message = {0, 0};
    struct message_at at = {{0, 0}};
    if (!span_members(data, start_place, &message))
        return false;
    struct slice m = span_slice(data, message);
    return members(m, message_place, &at) && message_take(r, m, &at);
}

/* Not meaningful: before the first content another account may be tried. */
static bool error_event_read(struct reading *r, struct slice data)
{
    struct json *doc = NULL;
    bool sense = json_parse(data, &doc) == OK && json_type(json_root(doc)) == JSON_OBJECT;
    if (sense)
        anthropic_error(0, json_root(doc), &r->seen);
    json_free(doc);
    return sense;
}

static struct span *none_place(void *into, struct slice key)
{
    (void)key;
    return into;
}

static bool event_take(struct reading *r, enum event_kind kind, struct slice data)
{
    struct observation *seen = &r->seen;
    switch (kind) {
    case KIND_START:
        return start_read(r, data);
    case KIND_DELTA:
        return delta_read(r, data);
    case KIND_STOP:
        if (!span_members(data, none_place, NULL))
            return false;
        seen->meaningful = true;
        seen->terminal = true;
        return true;
    case KIND_ERROR:
        return error_event_read(r, data);
    case KIND_PING:
        return true;
    case KIND_PASS:
        seen->meaningful = true;
        return true;
    }
    return false;
}

/* A few compatible providers send no event names: then data.type is the name. */
static bool event_sniff(struct reading *r, struct slice data)
{
    char type[48];
    struct span v;
    if (slice_eq(data, S("[DONE]"))) /* the other dialect's goodbye, sent by some all the same */
        return true;
    if (!span_member(data, S("type"), &v) || !json_span_text(data, v, type, sizeof type))
        return false;
    return event_take(r, event_kind(slice_of(type)), data);
}

static bool event_read(struct reading *r, struct slice name, struct slice data)
{
    return name.n == 0 ? event_sniff(r, data) : event_take(r, event_kind(name), data);
}

/* An error in a body of status 200. */
static bool error_body_read(struct reading *r, struct slice json, bool typed)
{
    struct json *doc = NULL;
    if (json_parse(json, &doc) != OK)
        return false;
    const struct json_val *root = json_root(doc);
    if (json_get_i64(json_get(root, "base_resp"), "status_code", 0) != 0)
        (void)openai_error(0, root, &r->seen); /* MiniMax tells errors so in any dialect */
    else if (typed)
        anthropic_error(0, root, &r->seen);
    json_free(doc);
    return true;
}

/* A message, an error, or another object of the API (a token count, a batch), of which nothing is
 * read. */
static bool body_read(struct reading *r, struct slice json)
{
    struct message_at at = {{0, 0}};
    char type[16] = "";
    if (json.n == 0 || json.p[0] != '{' || !span_members(json, message_place, &at))
        return false;
    if (slice_eq(span_slice(json, at.type), S("\"message\"")))
        return message_take(r, json, &at);
    if (at.type.to > 0)
        (void)json_span_text(json, at.type, type, sizeof type);
    if (strcmp(type, "message") == 0)
        return message_take(r, json, &at);
    bool is_error = strcmp(type, "error") == 0;
    return (!is_error && at.base.to == 0) || error_body_read(r, json, is_error);
}

#define PING "event: ping\ndata: {\"type\": \"ping\"}\n\n"

const struct dialect_ops dialect_anthropic = {
    .name = "anthropic",
    .ping = {PING, sizeof PING - 1},
    .request = request_read,
    .event_use = event_use,
    .event = event_read,
    .body = body_read,
    .error_type = error_type,
    .error_read = error_read,
    .canon = &canon_anthropic,
};
