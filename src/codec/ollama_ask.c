/* Requests of the Ollama dialect, read (/api/chat). Facts: wire/ollama.md.
 *
 * Dropped, for nothing else has it:
 *   keep_alive, truncate, shift; of options all that is not read here, num_ctx and what tunes the
 *   machine among it, min_p, typical_p, repeat_penalty and its kin.
 * Results have the name of their tool and seldom an id: each is that of the first call of its name
 * that has none yet. */
#include "codec/ollama.h"
#include "codec/openai.h"
#include "codec/talk.h"

#include <string.h>

struct ask_reading {
    struct ask *a;
    const char *why;
    struct call_book book;
    bool answering; /* the last message was a result: calls of before still wait for theirs */
};

static enum err refuse(struct ask_reading *r, const char *why)
{
    r->why = why;
    return ERR_SYNTAX;
}

/* ---- messages -------------------------------------------------------------------------------- */

/* Told by the first letters of its base64, for the dialect does not say. */
static struct slice media_of(struct slice data)
{
    static const struct {
        const char *begin, *media;
    } kinds[] = {
        {"iVBOR", "image/png"},
        {"/9j/", "image/jpeg"},
        {"R0lG", "image/gif"},
        {"UklG", "image/webp"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (slice_starts(data, slice_of(kinds[i].begin)))
            return slice_of(kinds[i].media);
    }
    return S("image/png");
}

static enum err images_read(struct ask_reading *r, struct turn *t, struct part *result,
                            const struct json_val *list)
{
    struct slice text = {"", 0};
    assert(t != NULL && (result == NULL || result->kind == PART_RESULT));
    if (openai_says(list) && json_type(list) != JSON_ARRAY)
        return refuse(r, "messages: images: Input should be an array of base64 strings");
    for (size_t i = 0; i < json_len(list); i++) {
        if (!json_str(json_at(list, i), &text) || text.n == 0)
            return refuse(r, "messages: images: Input should be an array of base64 strings");
        struct part *p = result != NULL ? part_inner(r->a, result, PART_IMAGE)
                                        : turn_part(r->a, t, PART_IMAGE);
        if (p == NULL)
            return OK;
        p->data = ask_str(r->a, json_at(list, i));
        (void)data_url(p->data, &p->media, &p->data);
        if (p->media.n == 0)
            p->media = media_of(p->data);
    }
    return OK;
}

static void text_add(struct ask_reading *r, struct turn *t, enum part_kind kind,
                     const struct json_val *text)
{
    struct slice s = {"", 0};
    struct part *p = json_str(text, &s) && s.n > 0 ? turn_part(r->a, t, kind) : NULL;
    if (p != NULL)
        p->text = ask_str(r->a, text);
}

static enum err plain_read(struct ask_reading *r, const struct json_val *m, enum role role)
{
    struct turn *t = ask_turn(r->a, role);
    if (t == NULL)
        return OK;
    text_add(r, t, PART_TEXT, json_get(m, "content"));
    return images_read(r, t, NULL, json_get(m, "images"));
}

static enum err call_read(struct ask_reading *r, struct turn *t, const struct json_val *call)
{
    const struct json_val *f = json_get(call, "function");
    if (json_get_str(f, "name").n == 0)
        return refuse(r, "messages: tool_calls: each needs a function's name");
    struct part *p = turn_part(r->a, t, PART_CALL);
    if (p == NULL)
        return OK;
    p->id = ask_str(r->a, json_get(call, "id"));
    p->name = ask_str(r->a, json_get(f, "name"));
    p->text = openai_arguments(r->a, json_get(f, "arguments"));
    call_book_call(&r->book, p);
    assert(p->id.n > 0 || r->a->full);
    return OK;
}

static enum err assistant_read(struct ask_reading *r, const struct json_val *m)
{
    const struct json_val *calls = json_get(m, "tool_calls");
    struct turn *t = ask_turn(r->a, ROLE_ASSISTANT);
    enum err e = OK;
    if (t == NULL)
        return OK;
    if (r->answering)
        call_book_forget(&r->book);
    r->answering = false;
    text_add(r, t, PART_THINKING, json_get(m, "thinking"));
    text_add(r, t, PART_TEXT, json_get(m, "content"));
    for (size_t i = 0; e == OK && i < json_len(calls); i++)
        e = call_read(r, t, json_at(calls, i));
    return e;
}

static enum err result_read(struct ask_reading *r, const struct json_val *m)
{
    struct turn *t = ask_turn(r->a, ROLE_USER);
    struct part *p = t == NULL ? NULL : turn_part(r->a, t, PART_RESULT);
    struct slice text = {"", 0};
    if (p == NULL)
        return OK;
    r->answering = true;
    p->id = ask_str(r->a, json_get(m, "tool_call_id"));
    p->name = ask_str(r->a, json_get(m, "tool_name"));
    if (p->name.n == 0)
        p->name = ask_str(r->a, json_get(m, "name"));
    call_book_result(&r->book, p);
    assert(p->id.n > 0 || r->a->full);
    if (json_str(json_get(m, "content"), &text) && text.n > 0) {
        struct part *inner = part_inner(r->a, p, PART_TEXT);
        if (inner != NULL)
            inner->text = ask_str(r->a, json_get(m, "content"));
    }
    return images_read(r, t, p, json_get(m, "images"));
}

static enum err message_read(struct ask_reading *r, const struct json_val *m)
{
    struct slice role = json_get_str(m, "role");
    enum json_type content = json_type(json_get(m, "content"));
    if (json_type(m) != JSON_OBJECT)
        return refuse(r, "messages: Input should be an array of objects");
    if (content > JSON_NULL && content != JSON_STRING)
        return refuse(r, "messages: content: Input should be a string");
    if (slice_eq(role, S("user")))
        return plain_read(r, m, ROLE_USER);
    if (slice_eq(role, S("assistant")))
        return assistant_read(r, m);
    if (slice_eq(role, S("tool")))
        return result_read(r, m);
    if (slice_eq(role, S("system")))
        return plain_read(r, m, ROLE_SYSTEM);
    return refuse(r, "messages: role: Input should be 'system', 'user', 'assistant' or 'tool'");
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

/* ---- tools and settings ---------------------------------------------------------------------- */

static enum err tools_read(struct ask_reading *r, const struct json_val *list)
{
    if (openai_says(list) && json_type(list) != JSON_ARRAY)
        return refuse(r, "tools: Input should be an array");
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json_val *f = json_get(json_at(list, i), "function");
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
    }
    return OK;
}

static enum err think_read(struct ask_reading *r, const struct json_val *v)
{
    struct slice word = {"", 0};
    bool think = false;
    if (json_bool(v, &think)) {
        r->a->effort = think ? EFFORT_MEDIUM : EFFORT_NONE;
    } else if (json_str(v, &word) && word.n > 0) {
        if (!effort_find(word, &r->a->effort))
            return refuse(r, "think: Input should be a boolean, 'low', 'medium' or 'high'");
    }
    r->a->show_thinking = r->a->effort > EFFORT_NONE;
    return OK;
}

static enum err format_read(struct ask_reading *r, const struct json_val *v)
{
    struct slice word = {"", 0};
    if (json_type(v) == JSON_OBJECT) {
        r->a->format = FORMAT_SCHEMA;
        r->a->schema_name = S("output");
        r->a->schema = ask_json(r->a, v);
        r->a->schema_strict = true; /* it is held to it by grammar */
    } else if (json_str(v, &word) && word.n > 0) {
        if (!slice_eq(word, S("json")))
            return refuse(r, "format: Input should be 'json' or a JSON schema");
        r->a->format = FORMAT_JSON;
    }
    return OK;
}

static void stops_read(struct ask *a, const struct json_val *v)
{
    struct slice s = ask_str(a, v);
    if (s.n > 0)
        a->stop[a->stops++] = s;
    for (size_t i = 0; json_type(v) == JSON_ARRAY && i < json_len(v) && a->stops < ASK_STOPS; i++) {
        s = ask_str(a, json_at(v, i));
        if (s.n > 0)
            a->stop[a->stops++] = s;
    }
}

static void options_read(struct ask *a, const struct json_val *o)
{
    (void)json_i64(json_get(o, "num_predict"), &a->max_tokens);
    if (a->max_tokens < 0) /* -1 and -2: as many as there is room for */
        a->max_tokens = -1;
    (void)json_f64(json_get(o, "temperature"), &a->temperature);
    (void)json_f64(json_get(o, "top_p"), &a->top_p);
    (void)json_i64(json_get(o, "top_k"), &a->top_k);
    (void)json_i64(json_get(o, "seed"), &a->seed);
    (void)json_f64(json_get(o, "presence_penalty"), &a->presence_penalty);
    (void)json_f64(json_get(o, "frequency_penalty"), &a->frequency_penalty);
    stops_read(a, json_get(o, "stop"));
    assert(a->max_tokens >= -1 && a->stops <= ASK_STOPS);
}

static enum err root_read(struct ask_reading *r, const struct json_val *root)
{
    struct ask *a = r->a;
    a->model = ask_str(a, json_get(root, "model"));
    a->stream = json_get_bool(root, "stream", true);
    a->logprobs = json_get_bool(root, "logprobs", false);
    (void)json_i64(json_get(root, "top_logprobs"), &a->top_logprobs);
    options_read(a, json_get(root, "options"));
    enum err e = messages_read(r, json_get(root, "messages"));
    if (e == OK)
        e = tools_read(r, json_get(root, "tools"));
    if (e == OK)
        e = think_read(r, json_get(root, "think"));
    return e == OK ? format_read(r, json_get(root, "format")) : e;
}

enum err ollama_ask_read(struct slice body, struct ask *out, const char **why)
{
    struct ask_reading r = {.a = out, .why = ""};
    struct json *doc = NULL;
    enum err e = ask_parse(body, &doc, why);
    if (e != OK)
        return e;
    call_book_init(&r.book, out);
    e = root_read(&r, json_root(doc));
    call_book_free(&r.book);
    json_free(doc);
    if (e != OK)
        *why = r.why;
    assert(e == OK || **why != '\0');
    return e;
}
