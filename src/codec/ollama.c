/* The Ollama dialect: what is read in requests, lines, bodies and errors. Facts: wire/ollama.md.
 * /api/generate and /api/embed have the same shapes as far as anything is read in them here. */
#include "codec/ollama.h"
#include "codec/openai.h"
#include "codec/scan.h"

#include <string.h>

/* ---- requests -------------------------------------------------------------------------------- */

struct request_scan {
    struct request_facts *out;
    struct span messages;
};

static const char *options_read(struct slice options, struct request_facts *out)
{
    struct span v;
    if (!span_member(options, S("num_predict"), &v))
        return NULL;
    return scan_max_tokens(span_slice(options, v), out) == NULL
               ? NULL
               : "options.num_predict: Input should be a valid integer";
}

static const char *request_member(void *arg, struct slice body, struct slice key, struct span v)
{
    struct request_scan *at = arg;
    struct slice value = span_slice(body, v);
    if (slice_eq(key, S("model")))
        return scan_model(body, v, at->out);
    if (slice_eq(key, S("stream"))) {
        const char *wrong = scan_stream(value, at->out);
        if (slice_eq(value, S("null")))
            at->out->stream = true;
        return wrong;
    }
    if (slice_eq(key, S("options")))
        return options_read(value, at->out);
    if (slice_eq(key, S("messages")))
        at->messages = v;
    return NULL;
}

/* Who says nothing gets a stream. */
static enum err request_read(struct slice body, struct request_facts *out, const char **why)
{
    struct request_scan at = {.out = out};
    struct scan_talk t;
    out->stream = true;
    enum err e = scan_walk(body, request_member, &at, out, why);
    if (e != OK)
        return e;
    scan_talk_init(&t, body);
    if (at.messages.to > 0)
        openai_talk(&t, at.messages.from);
    out->conversation = scan_talk_hash(&t);
    return OK;
}

/* ---- replies --------------------------------------------------------------------------------- */

bool ollama_usage(const struct json_val *root, struct usage *out)
{
    int64_t prompt = -1, eval = -1;
    reading_count(&prompt, root, "prompt_eval_count");
    reading_count(&eval, root, "eval_count");
    if (prompt < 0 && eval < 0)
        return false;
    *out = (struct usage){.known = true};
    out->input = prompt > 0 ? prompt : 0; /* not told where all of it was cached */
    out->output = eval > 0 ? eval : 0;
    assert(out->known && out->input >= 0 && out->output >= 0);
    return true;
}

static enum event_use event_use(struct slice name)
{
    (void)name;
    return EVENT_SNIFF; /* lines have no names */
}

static bool line_says(const struct json_val *root)
{
    const struct json_val *m = json_get(root, "message");
    return openai_says(json_get(m, "content")) || openai_says(json_get(m, "thinking")) ||
           openai_says(json_get(m, "tool_calls")) || openai_says(json_get(m, "images")) ||
           openai_says(json_get(root, "response")) || openai_says(json_get(root, "thinking"));
}

static void line_read(struct reading *r, const struct json_val *root)
{
    struct observation *seen = &r->seen;
    if (openai_says(json_get(root, "error"))) { /* not meaningful: another may be tried */
        (void)ollama_error(0, root, seen);
        return;
    }
    reading_text(seen->model, sizeof seen->model, root, "model");
    seen->meaningful = seen->meaningful || line_says(root);
    (void)ollama_usage(root, &seen->usage);
    if (!json_get_bool(root, "done", false))
        return;
    reading_text(seen->stop_reason, sizeof seen->stop_reason, root, "done_reason");
    seen->meaningful = seen->terminal = true;
}

/* Nearly every line is of this kind. What stands inside of strings cannot be taken for it: quotes
 * are escaped there. */
static bool is_plain(const struct reading *r, struct slice data)
{
    return r->seen.meaningful && r->seen.model[0] != '\0' && slice_starts(data, S("{")) &&
           slice_ends(data, S(",\"done\":false}")) && slice_search(data, S("\"error\":")) < 0;
}

static bool json_read(struct reading *r, struct slice json)
{
    struct json *doc = NULL;
    if (json_parse(json, &doc) != OK)
        return false;
    bool sense = json_type(json_root(doc)) == JSON_OBJECT;
    if (sense)
        line_read(r, json_root(doc));
    json_free(doc);
    return sense;
}

static bool event_read(struct reading *r, struct slice name, struct slice data)
{
    (void)name;
    data = slice_trim(data);
    return data.n == 0 || is_plain(r, data) || json_read(r, data);
}

/* ---- errors ---------------------------------------------------------------------------------- */

static const struct {
    const char *phrase;
    enum reply_error error;
    int status;
} phrases[] = {
    {"not found, try pulling it first", REPLY_ERROR_CLIENT, 404},
    {"unauthorized", REPLY_ERROR_AUTH, 401},
    {"usage limit", REPLY_ERROR_RATE_LIMIT, 429},
    {"rate limit", REPLY_ERROR_RATE_LIMIT, 429},
    {"too many concurrent requests", REPLY_ERROR_RATE_LIMIT, 429},
    {"server busy", REPLY_ERROR_OVERLOADED, 503},
    {"overloaded", REPLY_ERROR_OVERLOADED, 503},
    {"does not support", REPLY_ERROR_CLIENT, 400},
    {"exceeds the context", REPLY_ERROR_CLIENT, 400},
    {"exceeds maximum context length", REPLY_ERROR_CLIENT, 400},
};

int ollama_error(int status, const struct json_val *root, struct observation *out)
{
    bool told = status >= 400;
    int known = openai_error(status, root, out); /* its compatible door has the same errors */
    struct slice text = slice_of(reply_words(out)->error_message);
    for (size_t i = 0; !told && i < sizeof phrases / sizeof phrases[0]; i++) {
        if (slice_search(text, slice_of(phrases[i].phrase)) < 0)
            continue;
        out->error = phrases[i].error;
        return phrases[i].status;
    }
    if (!told && out->error == REPLY_ERROR_OTHER)
        out->error = REPLY_ERROR_SERVER; /* the model's runner has stopped, mostly */
    assert(out->error != REPLY_ERROR_NONE);
    return known;
}

static void error_read(int status, struct slice body, struct observation *out)
{
    struct json *doc = NULL;
    struct reply_words words = {0};
    struct observation none = {.words = &words};
    bool sense = json_parse(body, &doc) == OK;
    (void)ollama_error(status, sense ? json_root(doc) : NULL, sense ? out : &none);
    if (!sense)
        out->error = none.error;
    json_free(doc);
}

static const char *error_type(int status)
{
    (void)status; /* there are none */
    return "error";
}

enum err ollama_error_print(int status, struct slice message, struct slice request_id,
                            struct buf *out)
{
    struct jw w;
    assert(status >= 400);
    (void)request_id;
    jw_init(&w, out);
    jw_obj(&w);
    jw_kstr(&w, "error", message);
    jw_end_obj(&w);
    return w.err;
}

static enum err error_event(int status, struct slice message, struct slice request_id,
                            struct buf *out)
{
    enum err e = ollama_error_print(status, message, request_id, out);
    return e == OK ? buf_puts(out, S("\n")) : e;
}

/* Some of the clients parse every line, empty ones too: there is no ping. */
const struct dialect_ops dialect_ollama = {
    .name = "ollama",
    .ping = {"", 0},
    .request = request_read,
    .event_use = event_use,
    .event = event_read,
    .body = json_read,
    .error_type = error_type,
    .error_read = error_read,
    .error_print = ollama_error_print,
    .error_event = error_event,
    .canon = &canon_ollama,
};
