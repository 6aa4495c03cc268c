/* The Anthropic Messages dialect: what is read in requests, events, bodies and errors.
 * Facts: wire/anthropic-messages.md, sections 3 (requests), 5 and 6 (replies), 7 (errors). */
#include "codec/dialect.h"
#include "codec/span.h"

#include <string.h>

/* ---- requests -------------------------------------------------------------------------------- */

#define MEMBERS_MAX       1024 /* of the top level; requests have some twenty. Bounds the time. */
#define CONVERSATION_TEXT 4096 /* bytes of text at most that go into the hash, of each part */

static const char why_object[] = "The request body is not a valid JSON object";
static const char why_many[] = "The request body has too many members";
static const char why_depth[] = "The request body is nested too deeply";

struct request_spans { /* of what the conversation's identity may come from */
    struct span metadata, system, messages;
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
            return hash_stable(1, slice_of(session)) | 1;
        return 0;
    }
    ptrdiff_t at = slice_search(text, S("_session_"));
    if (at < 0)
        return 0;
    text = slice_sub(text, (size_t)at + sizeof "_session_" - 1, text.n);
    return text.n == 0 ? 0 : hash_stable(1, text) | 1;
}

/* The hash of a talk that has no session id. It must be the same for every turn of the talk, so it
 * is made of what clients leave alone: the beginnings of the texts of `system` and of the first
 * user message, as they stand in the body. Whatever else those blocks hold is passed over, for
 * cache_control marks wander from turn to turn. So are the tools: they carry marks too, and a tool
 * added on the way makes no new talk. */
struct talk {
    struct slice body; /* known to be sound JSON, as far as the scanner looks */
    uint64_t hash;
    size_t room; /* what may still go into the hash of this part */
    bool any;
};

static void talk_add(struct talk *t, size_t from)
{
    size_t end = 0, near = t->body.n - from;
    if (near > t->room + 1)
        near = t->room + 1;
    struct slice front = slice_sub(t->body, 0, from + near);
    /* Cut short, the string does not end; then its front is all of what is in sight. */
    bool whole = span_string(front, from, &end) == OK;
    struct slice text = slice_sub(front, from + 1, whole ? end - 1 : front.n);
    /* Claude Code's billing line changes with each of its calls. */
    if (text.n == 0 || slice_starts(text, S("x-anthropic-billing-header:")))
        return;
    t->any = true;
    t->hash = hash_stable(t->hash, text);
    assert(text.n <= t->room);
    t->room -= text.n;
}

/* Where the member `key` of the object at `from` begins; what lies behind it is not looked at. */
static bool member_from(struct slice body, size_t from, struct slice key, size_t *at)
{
    struct json_scan s;
    struct slice k;
    struct span v;
    json_scan_init(&s, slice_sub(body, from, body.n));
    while (json_scan_key(&s, &k, at) == OK) {
        if (span_key_is(k, key)) {
            *at += from;
            return true;
        }
        if (json_scan_cross(&s, &v) != OK)
            break;
    }
    return false;
}

/* A `system` or `content` value: a string, or blocks of which those with text count. */
static void talk_add_content(struct talk *t, size_t from)
{
    struct span_list blocks;
    struct span v;
    size_t at = 0, text = 0;
    t->room = CONVERSATION_TEXT;
    if (t->body.p[from] == '"') {
        talk_add(t, from);
        return;
    }
    span_list_init(&blocks, slice_sub(t->body, from, t->body.n));
    for (int i = 0; i < 8 && t->room > 0 && span_list_find(&blocks, &at) == OK; i++) {
        if (member_from(t->body, from + at, S("text"), &text) && t->body.p[text] == '"')
            talk_add(t, text);
        if (t->room == 0 || span_list_cross(&blocks, &v) != OK)
            break;
    }
}

/* Where the content of the first message of role user begins. Turns are only ever added behind it;
 * a client that compacts its talk changes it, but then the cache is cold anyway. */
static bool first_user_content(struct slice body, size_t messages, size_t *content)
{
    struct span_list list;
    struct span v;
    size_t at = 0, role = 0;
    char text[16];
    span_list_init(&list, slice_sub(body, messages, body.n));
    for (int i = 0; i < 8 && span_list_find(&list, &at) == OK; i++) {
        at += messages;
        if (member_from(body, at, S("role"), &role) && span_value(body, role, 3, &v.to) == OK &&
            json_span_text(body, (struct span){role, v.to}, text, sizeof text) &&
            strcmp(text, "user") == 0)
            return member_from(body, at, S("content"), content);
        if (span_list_cross(&list, &v) != OK)
            break;
    }
    return false;
}

/* 0 when there is nothing to go by. */
static uint64_t conversation_of(struct slice body, const struct request_spans *at)
{
    struct talk t = {.body = body};
    size_t content = 0;
    if (at->metadata.to > 0) {
        uint64_t session = session_hash(body, at->metadata);
        if (session != 0)
            return session;
    }
    if (at->system.to > 0)
        talk_add_content(&t, at->system.from);
    if (at->messages.to > 0 && first_user_content(body, at->messages.from, &content))
        talk_add_content(&t, content);
    return t.any ? t.hash | 1 : 0;
}

static const char *read_model(struct slice body, struct span v, struct request_facts *out)
{
    if (out->model_span.to > 0)
        return "model: given twice";
    if (slice_eq(span_slice(body, v), S("null")))
        return NULL; /* the provider has its own words for it */
    if (!json_span_text(body, v, out->model, sizeof out->model))
        return "model: Input should be a valid string";
    assert(v.to - v.from >= 2); /* its quotes */
    out->model_span = v;
    return NULL;
}

static const char *read_stream(struct slice value, struct request_facts *out)
{
    out->stream = slice_eq(value, S("true"));
    if (out->stream || slice_eq(value, S("false")) || slice_eq(value, S("null")))
        return NULL;
    return "stream: Input should be a valid boolean";
}

static const char *read_max_tokens(struct slice value, struct request_facts *out)
{
    int64_t n = -1;
    out->max_tokens = -1;
    if (text_i64(value, &n))
        out->max_tokens = n < 0 ? -1 : n;
    else if (value.p[0] != '-' && (value.p[0] < '0' || value.p[0] > '9') &&
             !slice_eq(value, S("null")))
        return "max_tokens: Input should be a valid integer";
    return NULL;
}

/* One member of the top level; a static sentence when it cannot be. */
static const char *read_member(struct slice body, struct slice key, struct span v,
                               struct request_facts *out, struct request_spans *at)
{
    struct slice value = span_slice(body, v);
    if (span_key_is(key, S("model")))
        return read_model(body, v, out);
    if (span_key_is(key, S("stream")))
        return read_stream(value, out);
    if (span_key_is(key, S("max_tokens")))
        return read_max_tokens(value, out);
    if (span_key_is(key, S("metadata")))
        at->metadata = v;
    else if (span_key_is(key, S("system")))
        at->system = v;
    else if (span_key_is(key, S("messages")))
        at->messages = v;
    return NULL;
}

static enum err request_read(struct slice body, struct request_facts *out, const char **why)
{
    struct request_spans at = {{0, 0}, {0, 0}, {0, 0}};
    struct json_scan s;
    struct slice key;
    struct span v;
    enum err e = OK;
    int members = 0;
    json_scan_init(&s, body);
    while ((e = json_scan_next(&s, &key, &v)) == OK) {
        const char *wrong = ++members > MEMBERS_MAX ? why_many
                                                    : read_member(body, key, v, out, &at);
        if (wrong != NULL) {
            *why = wrong;
            return ERR_SYNTAX;
        }
    }
    if (e != ERR_NOTFOUND) {
        *why = e == ERR_LIMIT ? why_depth : why_object;
        return e;
    }
    out->conversation = conversation_of(body, &at);
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

static enum reply_error error_by_status(int status)
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
    return error_by_status(status);
}

/* The object that tells type and message: `error`, or the body itself; compatible providers do
 * both. */
static void error_value_read(int status, const struct json_val *root, struct observation *out)
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
    text_copy(out->error_type, sizeof out->error_type, type);
    text_copy(out->error_message, sizeof out->error_message, message);
}

static void error_read(int status, struct slice body, struct observation *out)
{
    struct json *doc = NULL;
    out->error = error_by_status(status);
    if (json_parse(body, &doc) == OK && json_type(json_root(doc)) == JSON_OBJECT)
        error_value_read(status, json_root(doc), out);
    json_free(doc);
}

/* ---- replies --------------------------------------------------------------------------------- */

#define TOKENS_MAX ((int64_t)1 << 40) /* more is nonsense, and would overflow a price */

/* The last value that is not null wins; nonsense counts as null. */
static void take_count(int64_t *into, const struct json_val *object, const char *key)
{
    int64_t v = -1;
    if (json_i64(json_get(object, key), &v) && v >= 0 && v <= TOKENS_MAX)
        *into = v;
}

static void take_text(char *into, size_t size, const struct json_val *object, const char *key)
{
    struct slice s;
    if (json_str(json_get(object, key), &s) && s.n > 0)
        text_copy(into, size, s);
}

static int64_t or_zero(int64_t v)
{
    return v < 0 ? 0 : v;
}

/* Tokens of a compaction on the way are told in `iterations` only, not in the totals (section 5).
 */
static void take_iterations(struct reading *r, const struct json_val *list)
{
    size_t n = json_len(list);
    if (json_type(list) != JSON_ARRAY || n > 256)
        return;
    r->aside_input = r->aside_output = r->aside_cache_read = r->aside_cache_write = 0;
    for (size_t i = 0; i < n; i++) {
        const struct json_val *one = json_at(list, i);
        int64_t in = 0, out = 0, read = 0, write = 0;
        if (!slice_eq(json_get_str(one, "type"), S("compaction")))
            continue;
        take_count(&in, one, "input_tokens");
        take_count(&out, one, "output_tokens");
        take_count(&read, one, "cache_read_input_tokens");
        take_count(&write, one, "cache_creation_input_tokens");
        r->aside_input += in;
        r->aside_output += out;
        r->aside_cache_read += read;
        r->aside_cache_write += write;
    }
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

static void usage_read(struct reading *r, const struct json_val *v)
{
    struct usage *u = &r->seen.usage;
    const struct json_val *split = json_get(v, "cache_creation");
    const struct json_val *tools = json_get(v, "server_tool_use");
    if (json_type(v) != JSON_OBJECT)
        return;
    take_count(&r->input, v, "input_tokens");
    take_count(&r->output, v, "output_tokens");
    take_count(&r->cache_read, v, "cache_read_input_tokens");
    take_count(&r->cache_write, v, "cache_creation_input_tokens");
    take_count(&r->cache_write_5m, split, "ephemeral_5m_input_tokens");
    take_count(&r->cache_write_1h, split, "ephemeral_1h_input_tokens");
    take_count(&r->thinking, json_get(v, "output_tokens_details"), "thinking_tokens");
    take_count(&r->web_searches, tools, "web_search_requests");
    take_count(&r->web_fetches, tools, "web_fetch_requests");
    take_text(u->service_tier, sizeof u->service_tier, v, "service_tier");
    take_text(u->speed, sizeof u->speed, v, "speed");
    take_text(u->inference_geo, sizeof u->inference_geo, v, "inference_geo");
    take_iterations(r, json_get(v, "iterations"));
    usage_settle(r);
}

static void message_read(struct reading *r, const struct json_val *m)
{
    struct observation *seen = &r->seen;
    take_text(seen->model, sizeof seen->model, m, "model");
    take_text(seen->message_id, sizeof seen->message_id, m, "id");
    take_text(seen->stop_reason, sizeof seen->stop_reason, m, "stop_reason");
    usage_read(r, json_get(m, "usage"));
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

static void event_take(struct reading *r, enum event_kind kind, const struct json_val *root)
{
    struct observation *seen = &r->seen;
    switch (kind) {
    case KIND_START:
        message_read(r, json_get(root, "message"));
        break;
    case KIND_DELTA: {
        const struct json_val *delta = json_get(root, "delta");
        seen->meaningful = true;
        take_text(seen->stop_reason, sizeof seen->stop_reason, delta, "stop_reason");
        usage_read(r, json_get(root, "usage"));
        break;
    }
    case KIND_STOP:
        seen->meaningful = true;
        seen->terminal = true;
        break;
    case KIND_ERROR: /* not meaningful: before the first content another account may be tried */
        error_value_read(0, root, seen);
        break;
    case KIND_PING:
        break;
    case KIND_PASS:
        seen->meaningful = true;
        break;
    }
}

/* A few compatible providers send no event names: then data.type is the name. */
static bool event_sniff(struct reading *r, struct slice data)
{
    char type[48];
    struct span v;
    struct json *doc = NULL;
    if (slice_eq(data, S("[DONE]"))) /* the other dialect's goodbye, sent by some all the same */
        return true;
    if (!span_member(data, S("type"), &v) || !json_span_text(data, v, type, sizeof type))
        return false;
    enum event_kind kind = event_kind(slice_of(type));
    if (kind == KIND_PASS || kind == KIND_PING) { /* text, mostly: not worth a tree */
        event_take(r, kind, NULL);
        return true;
    }
    if (json_parse(data, &doc) != OK)
        return false;
    event_take(r, kind, json_root(doc));
    json_free(doc);
    return true;
}

static bool event_read(struct reading *r, struct slice name, struct slice data)
{
    struct json *doc = NULL;
    if (name.n == 0)
        return event_sniff(r, data);
    if (json_parse(data, &doc) != OK)
        return false;
    bool sense = json_type(json_root(doc)) == JSON_OBJECT;
    if (sense)
        event_take(r, event_kind(name), json_root(doc));
    json_free(doc);
    return sense;
}

/* A message, an error, or another object of the API (a token count, a batch), of which nothing is
 * read. */
static bool body_read(struct reading *r, struct slice json)
{
    struct json *doc = NULL;
    if (json_parse(json, &doc) != OK)
        return false;
    const struct json_val *root = json_root(doc);
    struct slice type = json_get_str(root, "type");
    if (slice_eq(type, S("message")))
        message_read(r, root);
    else if (slice_eq(type, S("error")))
        error_value_read(0, root, &r->seen);
    json_free(doc);
    return true;
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
};
