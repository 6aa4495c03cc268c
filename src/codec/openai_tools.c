/* Tools and the other settings of a request in the Chat Completions dialect, written.
 * Facts: wire/openai.md section 1, wire/translate-anthropic-openai.md A. */
#include "codec/openai.h"
#include "codec/span.h"

#include <math.h>
#include <string.h>

#define STOPS_MAX  4
#define USER_LEN   64
#define NAME_LEN   64
#define STRICT_MAX 1000 /* members of one object in a strict schema; past it, it is none */

/* ---- schemas --------------------------------------------------------------------------------- */

static bool is_listed(const struct json_val *list, struct slice word)
{
    struct slice one;
    for (size_t i = 0; i < json_len(list); i++) {
        if (json_str(json_at(list, i), &one) && slice_eq(one, word))
            return true;
    }
    return false;
}

/* Strictness wants of every object that nothing else may stand in it and that all must. */
static bool is_closed(const struct json_val *v)
{
    const struct json_val *properties = json_get(v, "properties"), *must = json_get(v, "required");
    size_t n = json_len(properties);
    struct slice key;
    const struct json_val *one;
    assert(json_type(v) == JSON_OBJECT);
    if (json_get_bool(v, "additionalProperties", true) || n > STRICT_MAX || json_len(must) != n)
        return false;
    for (size_t i = 0; json_member(properties, i, &key, &one); i++) {
        if (!is_listed(must, key))
            return false;
    }
    return true;
}

static bool schema_strict(const struct json_val *v);

static bool all_strict(const struct json_val *v)
{
    struct slice key;
    const struct json_val *one;
    if (json_type(v) == JSON_OBJECT) {
        for (size_t i = 0; json_member(v, i, &key, &one); i++) {
            if (!schema_strict(one))
                return false;
        }
    } else {
        for (size_t i = 0; i < json_len(v); i++) {
            if (!schema_strict(json_at(v, i)))
                return false;
        }
    }
    return true;
}

/* Goes as deep as the tree, which is at most JSON_DEPTH. */
static bool schema_strict(const struct json_val *v)
{
    static const char *const refused[] = {"allOf",
                                          "oneOf",
                                          "not",
                                          "if",
                                          "dependentRequired",
                                          "dependentSchemas",
                                          "then",
                                          "patternProperties",
                                          "else"};
    const struct json_val *items = json_get(v, "items");
    struct slice type = json_get_str(v, "type");
    if (json_type(v) != JSON_OBJECT)
        return false;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (json_type(json_get(v, refused[i])) != JSON_NONE)
            return false;
    }
    bool object = slice_eq(type, S("object")) || json_type(json_get(v, "properties")) != JSON_NONE;
    if ((object && !is_closed(v)) || (json_type(items) != JSON_NONE && !schema_strict(items)))
        return false;
    return all_strict(json_get(v, "properties")) && all_strict(json_get(v, "anyOf")) &&
           all_strict(json_get(v, "$defs")) && all_strict(json_get(v, "definitions"));
}

bool openai_schema_strict(struct slice schema)
{
    struct json *doc = NULL;
    if (json_parse(schema, &doc) != OK)
        return false;
    const struct json_val *root = json_root(doc);
    bool strict = slice_eq(json_get_str(root, "type"), S("object")) && schema_strict(root);
    json_free(doc);
    return strict;
}

/* What a top level is known to have. */
struct schema_has {
    bool any, type, properties, other; /* other: what stands for properties, as $ref or anyOf */
};

static enum err member_put(struct slice key, struct slice value, struct schema_has *has,
                           struct buf *out)
{
    if (span_key_is(key, S("$schema")))
        return OK;
    has->type = has->type || span_key_is(key, S("type"));
    has->properties = has->properties || span_key_is(key, S("properties"));
    has->other = has->other || span_key_is(key, S("$ref")) || span_key_is(key, S("anyOf")) ||
                 span_key_is(key, S("oneOf")) || span_key_is(key, S("allOf"));
    assert(key.p != NULL && value.n > 0);
    enum err e = buf_puts(out, has->any ? S(",\"") : S("\""));
    has->any = true;
    if (e == OK)
        e = buf_puts(out, key);
    if (e == OK)
        e = buf_puts(out, S("\":"));
    return e == OK ? buf_puts(out, value) : e;
}

static enum err schema_members(struct slice schema, struct buf *out)
{
    struct schema_has has = {0};
    struct json_scan s;
    struct slice key;
    struct span v;
    enum err e = buf_puts(out, S("{"));
    json_scan_init(&s, schema);
    while (e == OK && json_scan_next(&s, &key, &v) == OK)
        e = member_put(key, span_slice(schema, v), &has, out);
    if (e == OK && !has.type && !has.other)
        e = buf_puts(out, has.any ? S(",\"type\":\"object\"") : S("\"type\":\"object\""));
    if (e == OK && !has.properties && !has.other) /* there is a type in front of it by now */
        e = buf_puts(out, S(",\"properties\":{}"));
    return e == OK ? buf_puts(out, S("}")) : e;
}

void openai_schema_put(struct jw *w, const char *key, struct slice schema)
{
    struct buf b;
    buf_init(&b, schema.n + 64);
    enum err e = schema_members(schema, &b);
    jw_key(w, key);
    jw_raw(w, buf_slice(&b));
    if (w->err == OK)
        w->err = e;
    buf_free(&b);
}

/* ---- tools ----------------------------------------------------------------------------------- */

static bool is_function(const struct tool *t)
{
    return t->other.n == 0 && t->name.n > 0;
}

static void tool_put(struct jw *w, const struct tool *t, struct names *names)
{
    assert(is_function(t));
    jw_obj(w);
    jw_kcstr(w, "type", "function");
    jw_key(w, "function");
    jw_obj(w);
    jw_kstr(w, "name", names_put(names, t->name, NAME_LEN));
    if (t->description.n > 0)
        jw_kstr(w, "description", t->description);
    openai_schema_put(w, "parameters", t->schema);
    if (t->strict && openai_schema_strict(t->schema))
        jw_kbool(w, "strict", true);
    jw_end_obj(w);
    jw_end_obj(w);
}

static void choice_put(struct jw *w, const struct ask *a, bool named, struct names *names)
{
    static const char *const words[] = {
        [CHOICE_AUTO] = "auto", [CHOICE_ANY] = "required", [CHOICE_NONE] = "none"};
    if (a->choice == CHOICE_UNSET || (a->choice == CHOICE_ONE && !named))
        return;
    jw_key(w, "tool_choice");
    if (a->choice != CHOICE_ONE) {
        assert(words[a->choice] != NULL);
        jw_cstr(w, words[a->choice]);
        return;
    }
    jw_obj(w);
    jw_kcstr(w, "type", "function");
    jw_key(w, "function");
    jw_obj(w);
    jw_kstr(w, "name", names_put(names, a->choice_name, NAME_LEN));
    jw_end_obj(w);
    jw_end_obj(w);
}

/* Without any tool left, a choice of tools would be refused. */
static void tools_put(struct jw *w, const struct ask *a, struct names *names)
{
    bool any = false, named = false;
    for (const struct tool *t = a->tools; t != NULL; t = t->next) {
        any = any || is_function(t);
        named = named || (is_function(t) && slice_eq(t->name, a->choice_name));
    }
    if (!any)
        return;
    jw_key(w, "tools");
    jw_arr(w);
    for (const struct tool *t = a->tools; t != NULL; t = t->next) {
        if (is_function(t))
            tool_put(w, t, names);
    }
    jw_end_arr(w);
    choice_put(w, a, named, names);
    if (a->parallel == 0)
        jw_kbool(w, "parallel_tool_calls", false);
}

/* ---- settings -------------------------------------------------------------------------------- */

static void format_put(struct jw *w, const struct ask *a)
{
    if (a->format == FORMAT_UNSET)
        return;
    jw_key(w, "response_format");
    jw_obj(w);
    jw_kcstr(w, "type", a->format == FORMAT_JSON ? "json_object" : "json_schema");
    if (a->format == FORMAT_SCHEMA) {
        jw_key(w, "json_schema");
        jw_obj(w);
        jw_kstr(w, "name", a->schema_name.n > 0 ? a->schema_name : S("output"));
        jw_key(w, "schema");
        jw_raw(w, a->schema);
        jw_kbool(w, "strict", a->schema_strict && openai_schema_strict(a->schema));
        jw_end_obj(w);
    }
    jw_end_obj(w);
}

static enum effort effort_of(const struct ask *a)
{
    if (a->thinking_budget == 0)
        return EFFORT_NONE;
    if (a->effort != EFFORT_UNSET || a->thinking_budget < 0)
        return a->effort;
    return effort_of_budget(a->thinking_budget);
}

/* Few servers know more words than low, medium and high, and most refuse what they do not know.
 * That nothing is to be thought can then only be left unsaid. */
enum effort openai_effort(const struct ask *a, const struct ask_target *t)
{
    enum effort e = t->no_effort ? EFFORT_UNSET : effort_of(a);
    if (t->all_efforts || e == EFFORT_UNSET)
        return e;
    if (e == EFFORT_NONE)
        return EFFORT_UNSET;
    return e < EFFORT_LOW ? EFFORT_LOW : e > EFFORT_HIGH ? EFFORT_HIGH : e;
}

static void number_put(struct jw *w, const char *key, double v)
{
    if (!isnan(v))
        jw_kf64(w, key, v);
}

static void sampling_put(struct jw *w, const struct ask *a, const struct ask_target *t)
{
    if (!t->no_temperature) {
        number_put(w, "temperature", a->temperature);
        number_put(w, "top_p", a->top_p);
        number_put(w, "frequency_penalty", a->frequency_penalty);
        number_put(w, "presence_penalty", a->presence_penalty);
    }
    if (a->seed != -1)
        jw_ki64(w, "seed", a->seed);
    if (a->logprobs) {
        jw_kbool(w, "logprobs", true);
        if (a->top_logprobs >= 0)
            jw_ki64(w, "top_logprobs", a->top_logprobs);
    }
}

static void stops_put(struct jw *w, const struct ask *a)
{
    int n = 0;
    for (int i = 0; i < a->stops && n < STOPS_MAX; i++) {
        if (text_blank(a->stop[i]))
            continue;
        if (n++ == 0) {
            jw_key(w, "stop");
            jw_arr(w);
        }
        jw_str(w, a->stop[i]);
    }
    assert(n >= 0 && n <= STOPS_MAX);
    if (n > 0)
        jw_end_arr(w);
}

void openai_user_put(struct jw *w, struct slice user)
{
    char hash[32];
    if (user.n == 0)
        return;
    if (user.n > USER_LEN) {
        (void)text_format(hash, sizeof hash, "user_%016" PRIx64, hash_stable(4, user));
        user = slice_of(hash);
    }
    assert(user.n <= USER_LEN);
    jw_kstr(w, "user", user);
}

static void stream_put(struct jw *w, const struct ask *a, const struct ask_target *t)
{
    if (!a->stream)
        return;
    jw_kbool(w, "stream", true);
    if (t->no_stream_options)
        return;
    jw_key(w, "stream_options"); /* asked for even if the client does not: it is what is booked */
    jw_obj(w);
    jw_kbool(w, "include_usage", true);
    jw_end_obj(w);
}

void openai_settings_put(struct jw *w, const struct ask *a, const struct ask_target *t,
                         struct names *names)
{
    if (a->max_tokens >= 0) /* 0, to warm a cache, is not known here */
        jw_ki64(w, t->max_completion_tokens ? "max_completion_tokens" : "max_tokens",
                a->max_tokens > 0 ? a->max_tokens : 1);
    stream_put(w, a, t);
    sampling_put(w, a, t);
    stops_put(w, a);
    tools_put(w, a, names);
    format_put(w, a);
    if (openai_effort(a, t) != EFFORT_UNSET)
        jw_kcstr(w, "reasoning_effort", effort_name(openai_effort(a, t)));
    openai_user_put(w, a->user);
}
