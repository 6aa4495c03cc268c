/* Errors and usage of the Chat Completions dialect, in the shapes that its many servers give them.
 * Facts: wire/openai.md sections 2, 4 and 8, wire/compat-providers.md, wire/azure.md. */
#include "codec/openai.h"

#include <string.h>

/* ---- errors ---------------------------------------------------------------------------------- */

/* Words of `code`, `type` and `status`, of several houses. They go before the status, for much is
 * told as a 400 or 429. */
static const struct {
    const char *word;
    enum reply_error error;
} words[] = {
    {"insufficient_quota", REPLY_ERROR_BILLING},
    {"billing_hard_limit_reached", REPLY_ERROR_BILLING},
    {"billing_not_active", REPLY_ERROR_BILLING},
    {"insufficient_balance", REPLY_ERROR_BILLING},
    {"exceeded_current_quota_error", REPLY_ERROR_BILLING}, /* Kimi */
    {"Arrearage", REPLY_ERROR_BILLING},                    /* Qwen */
    {"billing_error", REPLY_ERROR_BILLING},
    {"rate_limit_exceeded", REPLY_ERROR_RATE_LIMIT},
    {"rate_limit_error", REPLY_ERROR_RATE_LIMIT},
    {"rate_limit_reached_error", REPLY_ERROR_RATE_LIMIT}, /* Kimi */
    {"RESOURCE_EXHAUSTED", REPLY_ERROR_RATE_LIMIT},       /* Gemini */
    {"too_many_requests", REPLY_ERROR_RATE_LIMIT},
    {"usage_limit_reached", REPLY_ERROR_RATE_LIMIT},     /* ChatGPT */
    {"engine_overloaded_error", REPLY_ERROR_OVERLOADED}, /* Kimi */
    {"overloaded_error", REPLY_ERROR_OVERLOADED},
    {"capacity_exceeded", REPLY_ERROR_OVERLOADED}, /* Groq, with 498 */
    {"UNAVAILABLE", REPLY_ERROR_OVERLOADED},       /* Gemini */
    {"server_is_overloaded", REPLY_ERROR_OVERLOADED},
    {"slow_down", REPLY_ERROR_OVERLOADED},
    {"insufficient_system_resource", REPLY_ERROR_OVERLOADED},
    {"invalid_api_key", REPLY_ERROR_AUTH},
    {"API_KEY_INVALID", REPLY_ERROR_AUTH},
    {"invalid_authentication_error", REPLY_ERROR_AUTH}, /* Kimi */
    {"authentication_error", REPLY_ERROR_AUTH},
    {"permission_error", REPLY_ERROR_AUTH},
    {"UNAUTHENTICATED", REPLY_ERROR_AUTH},
    {"PERMISSION_DENIED", REPLY_ERROR_AUTH},
    {"context_length_exceeded", REPLY_ERROR_CLIENT},
    {"content_filter", REPLY_ERROR_CLIENT},
    {"invalid_prompt", REPLY_ERROR_CLIENT},
    {"model_not_found", REPLY_ERROR_CLIENT},
    {"tool_use_failed", REPLY_ERROR_CLIENT}, /* Groq */
    {"unsupported_parameter", REPLY_ERROR_CLIENT},
    {"unsupported_value", REPLY_ERROR_CLIENT},
    {"server_error", REPLY_ERROR_SERVER},
    {"api_error", REPLY_ERROR_SERVER},
    {"internal_error", REPLY_ERROR_SERVER},
};

static enum reply_error error_by_word(struct slice word)
{
    if (slice_starts(word, S("Throttling"))) /* Qwen: Throttling.RateQuota and others */
        return REPLY_ERROR_RATE_LIMIT;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (slice_eq(word, slice_of(words[i].word)))
            return words[i].error;
    }
    return REPLY_ERROR_NONE;
}

static enum reply_error error_by_status(int status)
{
    if (status == 503 || status == 498)
        return REPLY_ERROR_OVERLOADED;
    if (status == 408)
        return REPLY_ERROR_SERVER;
    return reply_error_of(status);
}

static int status_of(enum reply_error error)
{
    switch (error) {
    case REPLY_ERROR_RATE_LIMIT:
        return 429;
    case REPLY_ERROR_OVERLOADED:
        return 503;
    case REPLY_ERROR_AUTH:
        return 401;
    case REPLY_ERROR_BILLING:
        return 402;
    case REPLY_ERROR_CLIENT:
        return 400;
    case REPLY_ERROR_NONE:
    case REPLY_ERROR_SERVER:
    case REPLY_ERROR_OTHER:
        break;
    }
    return 500;
}

/* MiniMax: {"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}, with a 200. */
static enum reply_error error_of_base(int64_t code)
{
    assert(code != 0); /* that is success */
    switch (code) {
    case 1001:
    case 1002:
    case 1039:
        return REPLY_ERROR_RATE_LIMIT;
    case 1004:
    case 2049:
        return REPLY_ERROR_AUTH;
    case 1008:
        return REPLY_ERROR_BILLING;
    case 1026:
    case 1027:
    case 2013:
        return REPLY_ERROR_CLIENT;
    default:
        return REPLY_ERROR_SERVER;
    }
}

/* What a server said, picked from its shape. */
struct told {
    struct slice type, code, message, raw;
    int64_t number; /* a numeric code, 0 when there is none */
    bool bad_key, moderated;
};

/* Gemini says 400 for a wrong key, and its reason in `details`; xAI says so in the text alone. */
static bool is_bad_key(const struct json_val *e, struct slice message)
{
    const struct json_val *details = json_get(e, "details");
    for (size_t i = 0; i < json_len(details) && i < 16; i++) {
        if (slice_eq(json_get_str(json_at(details, i), "reason"), S("API_KEY_INVALID")))
            return true;
    }
    return slice_starts(message, S("Incorrect API key provided"));
}

/* FastAPI: {"detail":"text"} or {"detail":[{"msg":...}]} or {"detail":{"message":...}}. */
static struct slice detail_text(const struct json_val *root)
{
    const struct json_val *d = json_get(root, "detail");
    struct slice text = {"", 0};
    if (json_str(d, &text))
        return text;
    if (json_type(d) == JSON_ARRAY)
        return json_get_str(json_at(d, 0), "msg");
    return json_get_str(d, "message");
}

static void told_read(const struct json_val *root, struct told *out)
{
    const struct json_val *e = json_get(root, "error");
    struct slice text = {"", 0};
    *out = (struct told){.type = text, .code = text, .message = text, .raw = text};
    if (json_str(e, &text)) { /* Ollama, xAI: {"error":"text"} */
        out->message = text;
        e = root;
    } else if (json_type(e) != JSON_OBJECT) { /* Mistral: {"object":"error","message":...} */
        e = root;
    }
    const struct json_val *code = json_get(e, "code"), *meta = json_get(e, "metadata");
    out->type = json_get_str(e, "type");
    if (out->type.n == 0)
        out->type = json_get_str(e, "status"); /* Gemini */
    if (json_str(code, &out->code)) {
        if (!text_i64(out->code, &out->number)) /* Azure: "401" */
            out->number = 0;
    } else if (!json_i64(code, &out->number)) {
        out->number = 0;
    }
    if (out->message.n == 0)
        out->message = json_get_str(e, "message");
    if (out->message.n == 0)
        out->message = detail_text(root);
    assert(out->message.p != NULL && out->type.p != NULL);
    out->raw = json_get_str(meta, "raw");
    out->moderated = json_len(json_get(meta, "reasons")) > 0;
    out->bad_key = is_bad_key(e, out->message);
}

static enum reply_error told_class(int status, const struct told *t)
{
    enum reply_error error = error_by_word(t->code);
    if (t->bad_key)
        return REPLY_ERROR_AUTH;
    if (t->moderated)
        return REPLY_ERROR_CLIENT;
    if (error == REPLY_ERROR_NONE)
        error = error_by_word(t->type);
    if (error != REPLY_ERROR_NONE)
        return error;
    if (status == 0 && slice_eq(t->type, S("invalid_request_error")))
        return REPLY_ERROR_CLIENT;
    return error_by_status(status);
}

/* `code` says more than `type` where it is a word; a number is as good as none. */
static void told_write(const struct told *t, struct observation *out)
{
    struct reply_words *say = reply_words_room(out);
    if (out->error == REPLY_ERROR_CLIENT && error_is_too_long(t->code, t->message))
        text_copy(say->error_type, sizeof say->error_type, S("context_length_exceeded"));
    else if (t->code.n > 0 && t->number == 0)
        text_copy(say->error_type, sizeof say->error_type, t->code);
    else if (t->type.n > 0)
        text_copy(say->error_type, sizeof say->error_type, t->type);
    else if (t->number != 0)
        (void)text_format(say->error_type, sizeof say->error_type, "%" PRId64, t->number);
    if (t->raw.n > 0) { /* OpenRouter: what the provider behind it said */
        char raw[200];
        text_copy(raw, sizeof raw, t->raw);
        (void)text_format(say->error_message, sizeof say->error_message, "%.*s: %s",
                          (int)(t->message.n < 50 ? t->message.n : 50), t->message.p, raw);
    } else {
        text_copy(say->error_message, sizeof say->error_message, t->message);
    }
}

static const struct json_val *base_resp(const struct json_val *root)
{
    const struct json_val *base = json_get(root, "base_resp");
    return json_get_i64(base, "status_code", 0) != 0 ? base : NULL;
}

bool openai_is_error(const struct json_val *root)
{
    const struct json_val *e = json_get(root, "error");
    return openai_says(e) || slice_eq(json_get_str(root, "object"), S("error")) ||
           base_resp(root) != NULL;
}

int openai_error(int status, const struct json_val *root, struct observation *out)
{
    struct told t;
    if (json_type(root) == JSON_ARRAY) /* Gemini's compatible door, at times */
        root = json_at(root, 0);
    const struct json_val *base = base_resp(root);
    if (base != NULL && json_type(json_get(root, "error")) == JSON_NONE) {
        int64_t code = json_get_i64(base, "status_code", 0);
        struct reply_words *say = reply_words_room(out);
        out->error = error_of_base(code);
        (void)text_format(say->error_type, sizeof say->error_type, "%" PRId64, code);
        text_copy(say->error_message, sizeof say->error_message, json_get_str(base, "status_msg"));
        return status >= 400 ? status : status_of(out->error);
    }
    told_read(root, &t);
    if (status < 400 && t.number >= 400 && t.number < 600)
        status = (int)t.number;
    out->error = told_class(status, &t);
    told_write(&t, out);
    assert(out->error != REPLY_ERROR_NONE);
    status = status >= 400 ? status : status_of(out->error);
    assert(status >= 400);
    return status;
}

bool openai_finish_failed(struct slice word, struct observation *out)
{
    bool busy = slice_eq(word, S("insufficient_system_resource")); /* DeepSeek */
    if (!busy && !slice_eq(word, S("error")))
        return false;
    struct reply_words *say = reply_words_room(out);
    out->error = busy ? REPLY_ERROR_OVERLOADED : REPLY_ERROR_SERVER;
    text_copy(say->error_type, sizeof say->error_type, busy ? word : S("server_error"));
    text_copy(say->error_message, sizeof say->error_message,
              S("The upstream broke the reply off with an error"));
    return true;
}

enum err openai_error_print(int status, struct slice message, struct slice request_id,
                            struct buf *out)
{
    const char *type = "invalid_request_error", *code = NULL;
    struct jw w;
    (void)request_id; /* its place is a header */
    if (status == 401)
        code = "invalid_api_key";
    else if (status == 402)
        type = code = "insufficient_quota";
    else if (status == 404)
        code = "not_found";
    else if (status == 429)
        type = code = "rate_limit_exceeded";
    else if (status >= 500)
        type = "server_error";
    else if (error_is_too_long(S(""), message))
        code = "context_length_exceeded";
    jw_init(&w, out);
    jw_obj(&w);
    jw_key(&w, "error");
    jw_obj(&w);
    jw_kstr(&w, "message", message);
    jw_kcstr(&w, "type", type);
    jw_kcstr(&w, "param", NULL);
    jw_kcstr(&w, "code", code);
    jw_end_obj(&w);
    jw_end_obj(&w);
    return w.err;
}

/* ---- usage ----------------------------------------------------------------------------------- */

bool openai_says(const struct json_val *v)
{
    struct slice s;
    switch (json_type(v)) {
    case JSON_NONE:
    case JSON_NULL:
        return false;
    case JSON_STRING:
        return json_str(v, &s) && s.n > 0;
    case JSON_ARRAY:
    case JSON_OBJECT:
        return json_len(v) > 0;
    case JSON_BOOL:
    case JSON_NUMBER:
        break;
    }
    return true;
}

/* The first of several places that tells a count; 0 when none does. */
static int64_t count_of(const struct json_val *a, const char *in_a, const struct json_val *b,
                        const char *in_b)
{
    int64_t n = -1;
    reading_count(&n, a, in_a);
    if (n < 0)
        reading_count(&n, b, in_b);
    return n < 0 ? 0 : n;
}

/* Most count reasoning into completion_tokens. Where the total is more than prompt and completion,
 * what is missing there are tokens of thinking (xAI, Gemini). */
static int64_t thinking_beside(const struct json_val *v, int64_t prompt, const struct usage *u)
{
    int64_t total = 0;
    reading_count(&total, v, "total_tokens");
    int64_t more = total - prompt - u->output;
    assert(prompt >= 0 && u->output >= 0 && u->thinking >= 0);
    if (more <= 0)
        return 0;
    return u->thinking > 0 && u->thinking < more ? u->thinking : more;
}

/* Responses calls them input_tokens_details and output_tokens_details. */
static const struct json_val *details_of(const struct json_val *v, const char *one,
                                         const char *other)
{
    const struct json_val *d = json_get(v, one);
    return json_type(d) == JSON_OBJECT ? d : json_get(v, other);
}

void openai_usage_read(const struct json_val *v, struct usage *u)
{
    const struct json_val *in = details_of(v, "prompt_tokens_details", "input_tokens_details");
    const struct json_val *out = details_of(v, "completion_tokens_details",
                                            "output_tokens_details");
    int64_t prompt = count_of(v, "prompt_tokens", v, "input_tokens");
    int64_t read = count_of(in, "cached_tokens", v, "prompt_cache_hit_tokens"); /* DeepSeek */
    if (read == 0)
        read = count_of(v, "cached_tokens", v, "cache_read_input_tokens"); /* Kimi, proxies */
    int64_t write = count_of(in, "cache_write_tokens", in, "cache_creation_input_tokens");
    if (write == 0)
        write = count_of(v, "cache_creation_input_tokens", NULL, "");
    u->known = true;
    u->thinking = count_of(out, "reasoning_tokens", v, "reasoning_tokens");
    u->output = count_of(v, "completion_tokens", v, "output_tokens");
    int64_t beside = thinking_beside(v, prompt, u);
    u->output += beside;
    if (u->thinking == 0)
        u->thinking = beside;
    u->cache_read = read;
    u->cache_write_5m = write;
    u->input = prompt > read + write ? prompt - read - write : 0;
    u->web_searches = count_of(v, "num_search_queries", json_get(v, "server_tool_use"),
                               "web_search_requests");
    assert(u->input >= 0 && u->output >= beside && u->input <= prompt);
}

bool openai_usage(const struct json_val *root, struct usage *out)
{
    const struct json_val *v = json_get(root, "usage");
    if (json_type(v) != JSON_OBJECT)
        v = json_get(json_get(root, "x_groq"), "usage");
    if (json_type(v) != JSON_OBJECT) /* Kimi */
        v = json_get(json_at(json_get(root, "choices"), 0), "usage");
    reading_text(out->service_tier, sizeof out->service_tier, root, "service_tier");
    if (json_type(v) != JSON_OBJECT || (json_type(json_get(v, "prompt_tokens")) != JSON_NUMBER &&
                                        json_type(json_get(v, "completion_tokens")) != JSON_NUMBER))
        return false;
    openai_usage_read(v, out);
    return true;
}
