/* Requests of the Chat Completions dialect, read.
 * Facts: wire/openai.md sections 1 and 8, wire/translate-anthropic-openai.md C.
 *
 * Dropped, for nothing else has it:
 *   logit_bias, prediction, store, metadata, service_tier, verbosity, prompt_cache_key and its
 *   retention, moderation, web_search_options; OpenRouter's models, route, provider, transforms,
 *   plugins; `name` of messages; `detail` of images; encrypted reasoning of earlier turns.
 * Refused with a 400, for dropping it would change what the client gets:
 *   n > 1, audio as a modality of the answer. */
#include "codec/openai.h"

#include <string.h>

struct ask_reading {
    struct ask *a;
    const char *why;
    struct slice call_id; /* of the last function_call, which has none of its own */
    int made;             /* ids so far */
};

static enum err refuse(struct ask_reading *r, const char *why)
{
    assert(r->why == NULL && why[0] != '\0'); /* the first one ends it */
    r->why = why;
    return ERR_SYNTAX;
}

/* ---- content --------------------------------------------------------------------------------- */

/* Where parts go: into a turn, or below the result of a call. */
struct place {
    struct turn *turn;
    struct part *result;
};

static struct part *place_part(struct ask_reading *r, const struct place *p, enum part_kind kind)
{
    assert(p->turn != NULL);
    return p->result != NULL ? part_inner(r->a, p->result, kind) : turn_part(r->a, p->turn, kind);
}

static void text_add(struct ask_reading *r, const struct place *p, const struct json_val *text)
{
    struct slice s = {"", 0};
    if (!json_str(text, &s) || s.n == 0) /* empty ones are refused by most */
        return;
    struct part *made = place_part(r, p, PART_TEXT);
    if (made != NULL)
        made->text = ask_str(r->a, text);
}

/* A data: URL is its media type and data, any other an address. */
static void part_url(struct ask_reading *r, struct part *p, const struct json_val *url)
{
    struct slice kept = ask_str(r->a, url);
    assert(p->kind == PART_IMAGE || p->kind == PART_DOCUMENT);
    if (!data_url(kept, &p->media, &p->data))
        p->url = kept;
}

static enum err image_read(struct ask_reading *r, const struct place *p, const struct json_val *v)
{
    const struct json_val *image = json_get(v, "image_url");
    const struct json_val *url = json_type(image) == JSON_OBJECT ? json_get(image, "url") : image;
    if (json_type(url) != JSON_STRING)
        return refuse(r, "messages: image_url: a url is missing");
    struct part *made = place_part(r, p, PART_IMAGE);
    if (made != NULL)
        part_url(r, made, url);
    return OK;
}

struct slice openai_audio_media(struct ask *a, struct slice format)
{
    if (slice_eq(format, S("mp3")))
        return S("audio/mpeg");
    return ask_format(a, "audio/%.*s", (int)(format.n < 32 ? format.n : 32), format.p);
}

static enum err audio_read(struct ask_reading *r, const struct place *p, const struct json_val *v)
{
    const struct json_val *audio = json_get(v, "input_audio");
    struct slice format = json_get_str(audio, "format");
    if (json_type(json_get(audio, "data")) != JSON_STRING)
        return refuse(r, "messages: input_audio: its data is missing");
    struct part *made = place_part(r, p, PART_AUDIO);
    if (made == NULL)
        return OK;
    made->data = ask_str(r->a, json_get(audio, "data"));
    made->media = openai_audio_media(r->a, format);
    return OK;
}

static enum err file_read(struct ask_reading *r, const struct place *p, const struct json_val *v)
{
    const struct json_val *file = json_get(v, "file");
    const struct json_val *data = json_get(file, "file_data");
    struct part *made = place_part(r, p, PART_DOCUMENT);
    if (made == NULL)
        return OK;
    made->name = ask_str(r->a, json_get(file, "filename"));
    made->file = ask_str(r->a, json_get(file, "file_id"));
    if (json_type(data) == JSON_STRING)
        part_url(r, made, data);
    if (made->file.n == 0 && made->data.n == 0 && made->url.n == 0)
        return refuse(r, "messages: file: neither file_id nor file_data is there");
    return OK;
}

static void thinking_add(struct ask_reading *r, const struct place *p, struct slice text,
                         struct slice sign)
{
    struct part *made;
    if (text.n == 0 && sign.n == 0)
        return;
    made = place_part(r, p, PART_THINKING);
    if (made == NULL)
        return;
    struct slice kept = arena_dup(r->a->arena, text), signed_by = arena_dup(r->a->arena, sign);
    if (kept.p == NULL || signed_by.p == NULL) {
        r->a->full = true;
        return;
    }
    made->text = kept;
    made->signature = signed_by;
}

/* Mistral: {"type":"thinking","thinking":"text" or [{"type":"text","text"}]} */
static void thinking_part(struct ask_reading *r, const struct place *p, const struct json_val *v)
{
    const struct json_val *inner = json_get(v, "thinking");
    struct slice text = {"", 0};
    if (json_str(inner, &text))
        thinking_add(r, p, text, S(""));
    for (size_t i = 0; json_type(inner) == JSON_ARRAY && i < json_len(inner); i++)
        thinking_add(r, p, json_get_str(json_at(inner, i), "text"), S(""));
}

static enum err part_read(struct ask_reading *r, const struct place *p, const struct json_val *v)
{
    struct slice type = json_get_str(v, "type");
    struct part *made;
    if (json_type(v) != JSON_OBJECT)
        return refuse(r, "messages: content: a part is no object");
    if (slice_eq(type, S("text"))) {
        struct part *before = p->result != NULL ? p->result->inner_last : p->turn->last;
        text_add(r, p, json_get(v, "text"));
        made = p->result != NULL ? p->result->inner_last : p->turn->last;
        if (made != before && json_type(json_get(v, "cache_control")) == JSON_OBJECT)
            made->cache = true;
        return OK;
    }
    if (slice_eq(type, S("image_url")))
        return image_read(r, p, v);
    if (slice_eq(type, S("input_audio")))
        return audio_read(r, p, v);
    if (slice_eq(type, S("file")))
        return file_read(r, p, v);
    if (slice_eq(type, S("refusal"))) {
        text_add(r, p, json_get(v, "refusal"));
        return OK;
    }
    if (slice_eq(type, S("thinking"))) {
        thinking_part(r, p, v);
        return OK;
    }
    made = place_part(r, p, PART_OTHER);
    if (made != NULL) {
        made->name = ask_str(r->a, json_get(v, "type"));
        made->text = ask_json(r->a, v);
    }
    return OK;
}

static enum err content_read(struct ask_reading *r, const struct place *p, const struct json_val *v)
{
    enum err e = OK;
    switch (json_type(v)) {
    case JSON_STRING:
        text_add(r, p, v);
        break;
    case JSON_ARRAY:
        for (size_t i = 0; e == OK && i < json_len(v); i++)
            e = part_read(r, p, json_at(v, i));
        break;
    case JSON_NONE:
    case JSON_NULL:
        break;
    case JSON_BOOL:
    case JSON_NUMBER:
    case JSON_OBJECT:
        return refuse(r, "messages: content: Input should be a string or an array of parts");
    }
    return e;
}

/* ---- messages -------------------------------------------------------------------------------- */

struct slice openai_arguments(struct ask *a, const struct json_val *v)
{
    struct slice text = {"", 0}, kept = {NULL, 0};
    struct buf b;
    if (json_type(v) == JSON_OBJECT)
        return ask_json(a, v);
    if (!json_str(v, &text))
        return S("{}");
    buf_init(&b, text.n + 2 * JSON_DEPTH);
    /* What cannot be had is not made up: with {} in its place it would be another call. */
    if (call_input(text, &b) == OK)
        kept = arena_dup(a->arena, buf_slice(&b));
    buf_free(&b);
    if (kept.p != NULL)
        return kept;
    a->full = true;
    return S("{}");
}

static enum err call_read(struct ask_reading *r, struct turn *t, const struct json_val *v)
{
    const struct json_val *f = json_get(v, "function"), *custom = json_get(v, "custom");
    bool free_text = json_type(custom) == JSON_OBJECT;
    const struct json_val *name = json_get(free_text ? custom : f, "name");
    struct part *p = turn_part(r->a, t, PART_CALL);
    if (json_get_str(v, "id").n == 0 || json_type(name) != JSON_STRING)
        return refuse(r, "messages: tool_calls: each needs an id and a function's name");
    if (p == NULL)
        return OK;
    p->id = ask_str(r->a, json_get(v, "id"));
    p->name = ask_str(r->a, name);
    p->text = free_text ? ask_json(r->a, custom) : openai_arguments(r->a, json_get(f, "arguments"));
    return OK;
}

/* The older form: one call, no id; the next message of role function is its result. */
static enum err old_call_read(struct ask_reading *r, struct turn *t, const struct json_val *v)
{
    if (json_type(json_get(v, "name")) != JSON_STRING)
        return refuse(r, "messages: function_call: its name is missing");
    struct part *p = turn_part(r->a, t, PART_CALL);
    if (p == NULL)
        return OK;
    r->call_id = ask_format(r->a, "call_function_%d", ++r->made);
    p->id = r->call_id;
    p->name = ask_str(r->a, json_get(v, "name"));
    p->text = openai_arguments(r->a, json_get(v, "arguments"));
    return OK;
}

/* Thinking that came with the message. Of details only text and its signature are of use; the rest
 * is encrypted for its own provider. */
static void reasoning_read(struct ask_reading *r, const struct place *p, const struct json_val *m)
{
    const struct json_val *details = json_get(m, "reasoning_details");
    struct slice text = json_get_str(m, "reasoning_content");
    bool any = false;
    for (size_t i = 0; i < json_len(details); i++) {
        const struct json_val *d = json_at(details, i);
        if (!slice_eq(json_get_str(d, "type"), S("reasoning.text")))
            continue;
        thinking_add(r, p, json_get_str(d, "text"), json_get_str(d, "signature"));
        any = true;
    }
    if (any)
        return;
    thinking_add(r, p, text.n > 0 ? text : json_get_str(m, "reasoning"), S(""));
}

static enum err assistant_read(struct ask_reading *r, const struct json_val *m)
{
    const struct json_val *calls = json_get(m, "tool_calls"), *old = json_get(m, "function_call");
    struct place p = {.turn = ask_turn(r->a, ROLE_ASSISTANT)};
    if (p.turn == NULL)
        return OK;
    reasoning_read(r, &p, m);
    enum err e = content_read(r, &p, json_get(m, "content"));
    if (e == OK)
        text_add(r, &p, json_get(m, "refusal"));
    for (size_t i = 0; e == OK && i < json_len(calls); i++)
        e = call_read(r, p.turn, json_at(calls, i));
    if (e == OK && json_type(old) == JSON_OBJECT)
        e = old_call_read(r, p.turn, old);
    return e;
}

static enum err result_read(struct ask_reading *r, const struct json_val *m, bool old)
{
    struct turn *t = ask_turn(r->a, ROLE_USER);
    struct part *p = t == NULL ? NULL : turn_part(r->a, t, PART_RESULT);
    if (p == NULL)
        return OK;
    p->id = old ? r->call_id : ask_str(r->a, json_get(m, "tool_call_id"));
    p->name = ask_str(r->a, json_get(m, "name"));
    if (!old && p->id.n == 0 && !r->a->full)
        return refuse(r, "messages: a message of role tool needs a tool_call_id");
    struct place place = {.turn = t, .result = p};
    return content_read(r, &place, json_get(m, "content"));
}

static enum err plain_read(struct ask_reading *r, const struct json_val *m, enum role role)
{
    struct place p = {.turn = ask_turn(r->a, role)};
    return p.turn == NULL ? OK : content_read(r, &p, json_get(m, "content"));
}

static enum err message_read(struct ask_reading *r, const struct json_val *m)
{
    struct slice role = json_get_str(m, "role");
    if (json_type(m) != JSON_OBJECT)
        return refuse(r, "messages: Input should be an array of objects");
    if (slice_eq(role, S("user")))
        return plain_read(r, m, ROLE_USER);
    if (slice_eq(role, S("assistant")))
        return assistant_read(r, m);
    if (slice_eq(role, S("tool")))
        return result_read(r, m, false);
    if (slice_eq(role, S("system")) || slice_eq(role, S("developer")))
        return plain_read(r, m, ROLE_SYSTEM);
    if (slice_eq(role, S("function")))
        return result_read(r, m, true);
    return refuse(r, "messages: role: Input should be 'system', 'developer', 'user', 'assistant' "
                     "or 'tool'");
}

static enum err messages_read(struct ask_reading *r, const struct json_val *list)
{
    enum err e = OK;
    if (json_type(list) != JSON_ARRAY)
        return refuse(r, "messages: Input should be an array");
    for (size_t i = 0; e == OK && !r->a->full && i < json_len(list); i++)
        e = message_read(r, json_at(list, i));
    return e;
}

/* ---- tools ----------------------------------------------------------------------------------- */

static enum err function_add(struct ask_reading *r, const struct json_val *f, bool cache)
{
    const struct json_val *schema = json_get(f, "parameters");
    if (json_get_str(f, "name").n == 0)
        return refuse(r, "tools: a function's name is missing");
    struct tool *t = ask_tool(r->a);
    if (t == NULL)
        return OK;
    t->name = ask_str(r->a, json_get(f, "name"));
    t->description = ask_str(r->a, json_get(f, "description"));
    if (json_type(schema) == JSON_OBJECT)
        t->schema = ask_json(r->a, schema);
    t->strict = json_get_bool(f, "strict", false);
    t->cache = cache;
    return OK;
}

static enum err tool_read(struct ask_reading *r, const struct json_val *v)
{
    struct slice type = json_get_str(v, "type");
    if (json_type(v) != JSON_OBJECT)
        return refuse(r, "tools: Input should be an array of objects");
    if (slice_eq(type, S("function")) || json_type(json_get(v, "function")) == JSON_OBJECT)
        return function_add(r, json_get(v, "function"),
                            json_type(json_get(v, "cache_control")) == JSON_OBJECT);
    struct tool *t = ask_tool(r->a);
    if (t == NULL)
        return OK;
    t->other = type.n > 0 ? ask_str(r->a, json_get(v, "type")) : S("unknown");
    t->name = ask_str(r->a, json_get(json_get(v, "custom"), "name"));
    t->schema = ask_json(r->a, v);
    return OK;
}

static enum err tools_read(struct ask_reading *r, const struct json_val *root)
{
    const struct json_val *tools = json_get(root, "tools"), *old = json_get(root, "functions");
    enum err e = OK;
    if (openai_says(tools) && json_type(tools) != JSON_ARRAY)
        return refuse(r, "tools: Input should be an array");
    for (size_t i = 0; e == OK && i < json_len(tools); i++)
        e = tool_read(r, json_at(tools, i));
    for (size_t i = 0; e == OK && json_len(tools) == 0 && i < json_len(old); i++)
        e = function_add(r, json_at(old, i), false);
    return e;
}

bool openai_choice_word(struct ask *a, struct slice word)
{
    if (slice_eq(word, S("auto")))
        a->choice = CHOICE_AUTO;
    else if (slice_eq(word, S("none")))
        a->choice = CHOICE_NONE;
    else if (slice_eq(word, S("required")) || slice_eq(word, S("any")))
        a->choice = CHOICE_ANY;
    else
        return false;
    return true;
}

static bool is_allowed(const struct json_val *allowed, struct slice name)
{
    for (size_t i = 0; i < json_len(allowed) && i < 1024; i++) {
        const struct json_val *one = json_at(allowed, i);
        if (slice_eq(json_get_str(json_get(one, "function"), "name"), name) ||
            slice_eq(json_get_str(json_get(one, "custom"), "name"), name))
            return true;
    }
    return false;
}

/* {"mode":"auto","tools":[...]}: the others are as if they were not there. */
static bool choice_allowed(struct ask *a, const struct json_val *v)
{
    const struct json_val *allowed = json_get(v, "tools");
    struct tool *kept = NULL, **link = &a->tools;
    while (*link != NULL) {
        if (is_allowed(allowed, (*link)->name)) {
            kept = *link;
            link = &kept->next;
        } else {
            *link = (*link)->next;
        }
    }
    a->last_tool = kept;
    assert((a->tools == NULL) == (kept == NULL) && (kept == NULL || kept->next == NULL));
    return openai_choice_word(a, json_get_str(v, "mode"));
}

static enum err choice_read(struct ask_reading *r, const struct json_val *root)
{
    const struct json_val *v = json_get(root, "tool_choice");
    const struct json_val *allowed = json_get(v, "allowed_tools");
    struct slice word = {"", 0};
    if (!openai_says(v))
        v = json_get(root, "function_call"); /* {"name"} or a word */
    if (!openai_says(v) || (json_str(v, &word) && openai_choice_word(r->a, word)))
        return OK;
    if (json_type(allowed) == JSON_OBJECT && choice_allowed(r->a, allowed))
        return OK;
    const struct json_val *name = json_get(json_get(v, "function"), "name");
    if (name == NULL)
        name = json_get(json_get(v, "custom"), "name");
    if (name == NULL)
        name = json_get(v, "name");
    if (json_type(name) != JSON_STRING)
        return refuse(r, "tool_choice: Input should be 'none', 'auto', 'required' or a function");
    r->a->choice = CHOICE_ONE;
    r->a->choice_name = ask_str(r->a, name);
    assert(r->a->choice_name.p != NULL);
    return OK;
}

/* ---- settings -------------------------------------------------------------------------------- */

static enum err effort_read(struct ask_reading *r, const struct json_val *root)
{
    const struct json_val *reasoning = json_get(root, "reasoning"); /* OpenRouter */
    const struct json_val *thinking = json_get(root, "thinking");   /* DeepSeek, GLM, Kimi */
    struct slice word = json_get_str(root, "reasoning_effort");
    struct slice type = json_get_str(thinking, "type");
    struct ask *a = r->a;
    if (word.n == 0)
        word = json_get_str(reasoning, "effort");
    if (word.n > 0 && !effort_find(word, &a->effort))
        return refuse(r, "reasoning_effort: Input should be 'none', 'minimal', 'low', 'medium', "
                         "'high', 'xhigh' or 'max'");
    a->thinking_budget = json_get_i64(reasoning, "max_tokens",
                                      json_get_i64(thinking, "budget_tokens", -1));
    if (a->thinking_budget < -1)
        a->thinking_budget = -1;
    assert(a->thinking_budget >= -1);
    if (a->effort != EFFORT_UNSET || a->thinking_budget >= 0)
        return OK;
    if (!json_get_bool(reasoning, "enabled", true) || slice_eq(type, S("disabled")))
        a->effort = EFFORT_NONE;
    else if (json_get_bool(reasoning, "enabled", false) || slice_eq(type, S("enabled")))
        a->effort = EFFORT_MEDIUM;
    return OK;
}

static enum err format_read(struct ask_reading *r, const struct json_val *root)
{
    const struct json_val *v = json_get(root, "response_format");
    const struct json_val *told = json_get(v, "json_schema"), *schema = json_get(told, "schema");
    struct slice type = json_get_str(v, "type");
    if (slice_eq(type, S("json_object"))) {
        r->a->format = FORMAT_JSON;
    } else if (slice_eq(type, S("json_schema"))) {
        if (json_type(schema) != JSON_OBJECT)
            return refuse(r, "response_format: json_schema: its schema is missing");
        r->a->format = FORMAT_SCHEMA;
        r->a->schema_name = ask_str(r->a, json_get(told, "name"));
        r->a->schema = ask_json(r->a, schema);
        r->a->schema_strict = json_get_bool(told, "strict", false);
    } else if (openai_says(v) && !slice_eq(type, S("text"))) {
        return refuse(r, "response_format: type: Input should be 'text', 'json_object' or "
                         "'json_schema'");
    }
    return OK;
}

static enum err stop_read(struct ask_reading *r, const struct json_val *v)
{
    struct slice one = {"", 0};
    if (json_str(v, &one)) {
        if (one.n > 0)
            r->a->stop[r->a->stops++] = ask_str(r->a, v);
        return OK;
    }
    if (openai_says(v) && json_type(v) != JSON_ARRAY)
        return refuse(r, "stop: Input should be a string or an array of strings");
    assert(r->a->stops == 0);
    if (json_len(v) > ASK_STOPS)
        return refuse(r, "stop: there are too many sequences");
    for (size_t i = 0; i < json_len(v); i++) {
        if (!json_str(json_at(v, i), &one))
            return refuse(r, "stop: Input should be a string or an array of strings");
        if (one.n > 0)
            r->a->stop[r->a->stops++] = ask_str(r->a, json_at(v, i));
    }
    return OK;
}

static bool wants_audio(const struct json_val *root)
{
    const struct json_val *list = json_get(root, "modalities");
    struct slice one = {"", 0};
    for (size_t i = 0; i < json_len(list) && i < 16; i++) {
        if (json_str(json_at(list, i), &one) && slice_eq(one, S("audio")))
            return true;
    }
    return false;
}

static enum err numbers_read(struct ask_reading *r, const struct json_val *root)
{
    struct ask *a = r->a;
    (void)json_f64(json_get(root, "temperature"), &a->temperature);
    (void)json_f64(json_get(root, "top_p"), &a->top_p);
    (void)json_f64(json_get(root, "frequency_penalty"), &a->frequency_penalty);
    (void)json_f64(json_get(root, "presence_penalty"), &a->presence_penalty);
    (void)json_i64(json_get(root, "top_k"), &a->top_k);
    (void)json_i64(json_get(root, "seed"), &a->seed);
    (void)json_i64(json_get(root, "top_logprobs"), &a->top_logprobs);
    (void)json_i64(json_get(root, "n"), &a->n);
    if (!json_i64(json_get(root, "max_completion_tokens"), &a->max_tokens))
        (void)json_i64(json_get(root, "max_tokens"), &a->max_tokens);
    if (a->max_tokens < -1)
        return refuse(r, "max_tokens: Input should be greater than 0");
    if (a->n > 1) {
        r->why = "n: only one choice can be had from this model";
        return ERR_UNSUPPORTED;
    }
    if (wants_audio(root)) {
        r->why = "modalities: audio cannot be had from this model";
        return ERR_UNSUPPORTED;
    }
    return OK;
}

static void flags_read(struct ask *a, const struct json_val *root)
{
    bool parallel = true;
    a->model = ask_str(a, json_get(root, "model"));
    a->stream = json_get_bool(root, "stream", false);
    a->include_usage = json_get_bool(json_get(root, "stream_options"), "include_usage", false);
    a->logprobs = json_get_bool(root, "logprobs", false);
    if (json_bool(json_get(root, "parallel_tool_calls"), &parallel))
        a->parallel = parallel ? 1 : 0;
    a->user = ask_str(a, json_get(root, "safety_identifier"));
    if (a->user.n == 0)
        a->user = ask_str(a, json_get(root, "user"));
}

static enum err root_read(struct ask_reading *r, const struct json_val *root)
{
    flags_read(r->a, root);
    enum err e = messages_read(r, json_get(root, "messages"));
    if (e == OK)
        e = tools_read(r, root);
    if (e == OK)
        e = choice_read(r, root);
    if (e == OK)
        e = effort_read(r, root);
    if (e == OK)
        e = format_read(r, root);
    if (e == OK)
        e = stop_read(r, json_get(root, "stop"));
    return e == OK ? numbers_read(r, root) : e;
}

enum err openai_ask_read(struct slice body, struct ask *out, const char **why)
{
    struct ask_reading r = {.a = out};
    struct json *doc = NULL;
    enum err e = ask_parse(body, &doc, why);
    if (e != OK)
        return e;
    e = root_read(&r, json_root(doc));
    json_free(doc);
    if (e == OK && out->full) {
        r.why = "The request body is too large";
        e = ERR_LIMIT;
    }
    if (e != OK)
        *why = r.why;
    assert(e == OK ? !out->full : *why != NULL);
    return e;
}
