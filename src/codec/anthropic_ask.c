/* Requests of the Messages API, read (wire/anthropic-messages.md sections 3 and 4).
 *
 * What no other dialect has a word for, and what is therefore passed over here:
 *   top level   service_tier, speed, container, inference_geo, diagnostics, context_management,
 *               compaction, mcp_servers, fallbacks, billing_policy, top-level cache_control
 *   blocks      citations, cache ttl, caller, toolset_name
 *   tools       defer_loading, eager_input_streaming, input_examples, allowed_callers
 * What would mean something else if it were dropped is refused: a thread that goes on elsewhere. */
#include "codec/anthropic.h"

#include <string.h>

static const char why_messages[] = "messages: Input should be a valid list of messages";
static const char why_content[] = "messages: content should be a string or a list of blocks";
static const char why_role[] = "messages: role should be user, assistant or system";
static const char why_block[] = "messages: a content block is missing its type";
static const char why_source[] = "messages: a content block is missing its source";
static const char why_system[] = "system: Input should be a string or a list of text blocks";
static const char why_tools[] = "tools: Input should be a valid list of tools";
static const char why_thread[] =
    "thread: a conversation that its provider keeps cannot be continued at another one";

/* Where parts go: to a turn, or below a part. */
struct place {
    struct ask *a;
    struct turn *turn;
    struct part *below;
    struct map *calls; /* parts by the ids of calls so far, to name results */
    const char **why;
};

static struct part *place_part(const struct place *at, enum part_kind kind)
{
    assert(at->below != NULL || at->turn != NULL);
    assert(at->below == NULL || at->below->kind == PART_RESULT);
    return at->below != NULL ? part_inner(at->a, at->below, kind)
                             : turn_part(at->a, at->turn, kind);
}

static enum err refuse(const struct place *at, const char *why)
{
    *at->why = why;
    return ERR_SYNTAX;
}

static enum err content_read(const struct place *at, const struct json_val *content);

static bool has_cache(const struct json_val *block)
{
    return json_type(json_get(block, "cache_control")) == JSON_OBJECT;
}

static enum err text_read(const struct place *at, const struct json_val *text, bool cache)
{
    struct slice s = {"", 0};
    if (!json_str(text, &s))
        return refuse(at, "messages: a text block should have a text");
    if (s.n == 0 && !cache)
        return OK;
    struct part *p = place_part(at, PART_TEXT);
    if (p == NULL)
        return ERR_LIMIT;
    p->text = ask_str(at->a, text);
    p->cache = cache;
    return OK;
}

/* ---- blocks with a source -------------------------------------------------------------------- */

/* The texts and images that a document is made of, one after the other. */
static enum err document_content(const struct place *at, const struct json_val *source)
{
    return content_read(at, json_get(source, "content"));
}

static enum err source_read(const struct place *at, struct part *p, const struct json_val *source)
{
    struct slice type = json_get_str(source, "type");
    if (slice_eq(type, S("base64"))) {
        p->media = ask_str(at->a, json_get(source, "media_type"));
        p->data = ask_str(at->a, json_get(source, "data"));
    } else if (slice_eq(type, S("url"))) {
        p->url = ask_str(at->a, json_get(source, "url"));
    } else if (slice_eq(type, S("file"))) {
        p->file = ask_str(at->a, json_get(source, "file_id"));
    } else if (slice_eq(type, S("text"))) {
        p->text = ask_str(at->a, json_get(source, "data"));
        p->media = S("text/plain");
    } else {
        return refuse(at, why_source);
    }
    bool any = p->data.n > 0 || p->url.n > 0 || p->file.n > 0 || p->text.n > 0;
    return any || at->a->full ? OK : refuse(at, why_source);
}

static enum err image_read(const struct place *at, const struct json_val *block)
{
    struct part *p = place_part(at, PART_IMAGE);
    if (p == NULL)
        return ERR_LIMIT;
    p->cache = has_cache(block);
    return source_read(at, p, json_get(block, "source"));
}

/* `context` is said to the model beside the document; others have no place for it but the text. */
static enum err document_read(const struct place *at, const struct json_val *block)
{
    const struct json_val *source = json_get(block, "source"),
                          *context = json_get(block, "context");
    struct slice said = {"", 0};
    if (json_str(context, &said) && said.n > 0) {
        enum err e = text_read(at, context, false);
        if (e != OK)
            return e;
    }
    if (slice_eq(json_get_str(source, "type"), S("content")))
        return document_content(at, source);
    struct part *p = place_part(at, PART_DOCUMENT);
    if (p == NULL)
        return ERR_LIMIT;
    p->cache = has_cache(block);
    p->name = ask_str(at->a, json_get(block, "title"));
    return source_read(at, p, source);
}

/* Told as text, with its title and where it is from. */
static enum err search_result_read(const struct place *at, const struct json_val *block)
{
    struct slice title = json_get_str(block, "title"), source = json_get_str(block, "source");
    struct part *p = place_part(at, PART_TEXT);
    if (p == NULL)
        return ERR_LIMIT;
    p->text = ask_format(at->a, "%.*s\n%.*s", (int)title.n, title.p, (int)source.n, source.p);
    return content_read(at, json_get(block, "content"));
}

/* ---- calls and results ----------------------------------------------------------------------- */

static enum err call_read(const struct place *at, const struct json_val *block)
{
    const struct json_val *input = json_get(block, "input");
    struct part *p = place_part(at, PART_CALL);
    if (p == NULL)
        return ERR_LIMIT;
    p->id = ask_str(at->a, json_get(block, "id"));
    p->name = ask_str(at->a, json_get(block, "name"));
    p->text = json_type(input) == JSON_OBJECT ? ask_json(at->a, input) : S("{}");
    p->cache = has_cache(block);
    if (p->id.n > 0)
        (void)map_put(at->calls, p->id, p);
    return OK;
}

static enum err result_read(const struct place *at, const struct json_val *block)
{
    const struct json_val *content = json_get(block, "content");
    struct part *p = place_part(at, PART_RESULT);
    if (p == NULL)
        return ERR_LIMIT;
    p->id = ask_str(at->a, json_get(block, "tool_use_id"));
    p->error = json_get_bool(block, "is_error", false);
    p->cache = has_cache(block);
    const struct part *call = map_get(at->calls, p->id);
    if (call != NULL)
        p->name = call->name;
    if (json_type(content) == JSON_NONE || json_type(content) == JSON_NULL)
        return OK;
    struct place below = *at;
    assert(at->below == NULL); /* results do not nest */
    below.below = p;
    return content_read(&below, content);
}

static enum err thinking_read(const struct place *at, const struct json_val *block)
{
    struct part *p = place_part(at, PART_THINKING);
    if (p == NULL)
        return ERR_LIMIT;
    p->text = ask_str(at->a, json_get(block, "thinking"));
    p->signature = ask_str(at->a, json_get(block, "signature"));
    return OK;
}

static enum err redacted_read(const struct place *at, const struct json_val *block)
{
    struct part *p = place_part(at, PART_REDACTED);
    if (p == NULL)
        return ERR_LIMIT;
    p->data = ask_str(at->a, json_get(block, "data"));
    return OK;
}

static enum err other_read(const struct place *at, const struct json_val *block)
{
    struct part *p = place_part(at, PART_OTHER);
    if (p == NULL)
        return ERR_LIMIT;
    p->name = ask_str(at->a, json_get(block, "type"));
    p->text = ask_json(at->a, block);
    return OK;
}

/* ---- content --------------------------------------------------------------------------------- */

static enum err block_read(const struct place *at, const struct json_val *block)
{
    static const struct {
        const char *type;
        enum err (*read)(const struct place *at, const struct json_val *block);
        bool nested; /* may stand within a result */
    } kinds[] = {
        {"image", image_read, true},
        {"document", document_read, true},
        {"search_result", search_result_read, true},
        {"tool_use", call_read, false},
        {"tool_result", result_read, false},
        {"thinking", thinking_read, false},
        {"redacted_thinking", redacted_read, false},
    };
    struct slice type = json_get_str(block, "type");
    if (type.n == 0)
        return refuse(at, why_block);
    if (slice_eq(type, S("text")))
        return text_read(at, json_get(block, "text"), has_cache(block));
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (slice_eq(type, slice_of(kinds[i].type)) && (kinds[i].nested || at->below == NULL))
            return kinds[i].read(at, block);
    }
    return other_read(at, block);
}

/* A string or blocks. */
static enum err content_read(const struct place *at, const struct json_val *content)
{
    size_t n = json_len(content);
    enum err e = OK;
    if (json_type(content) == JSON_STRING)
        return text_read(at, content, false);
    if (json_type(content) != JSON_ARRAY)
        return refuse(at, why_content);
    for (size_t i = 0; e == OK && i < n; i++)
        e = block_read(at, json_at(content, i));
    return e;
}

static enum err message_read(struct place *at, const struct json_val *m)
{
    struct slice word = json_get_str(m, "role");
    enum role role = ROLE_USER;
    if (slice_eq(word, S("assistant")))
        role = ROLE_ASSISTANT;
    else if (slice_eq(word, S("system")))
        role = ROLE_SYSTEM;
    else if (!slice_eq(word, S("user")))
        return refuse(at, why_role);
    at->turn = ask_turn(at->a, role);
    return at->turn != NULL ? content_read(at, json_get(m, "content")) : ERR_LIMIT;
}

static enum err messages_read(struct ask *a, const struct json_val *list, const char **why)
{
    struct map calls;
    struct place at = {.a = a, .calls = &calls, .why = why};
    size_t n = json_len(list);
    enum err e = OK;
    if (json_type(list) != JSON_ARRAY || n == 0)
        return refuse(&at, why_messages);
    map_init(&calls);
    for (size_t i = 0; e == OK && i < n; i++)
        e = message_read(&at, json_at(list, i));
    map_free(&calls);
    return e;
}

/* Claude Code's billing line is for Anthropic alone, and changes with each call: in another
 * provider's prompt it would only spoil the cache. */
static bool is_billing_line(const struct json_val *text)
{
    struct slice s;
    return json_str(text, &s) && slice_starts(s, S("x-anthropic-billing-header:"));
}

static enum err system_read(struct ask *a, const struct json_val *v, const char **why)
{
    struct place at = {.a = a, .why = why};
    enum json_type type = json_type(v);
    enum err e = OK;
    if (type == JSON_NONE || type == JSON_NULL)
        return OK;
    if (type != JSON_STRING && type != JSON_ARRAY)
        return refuse(&at, why_system);
    at.turn = ask_turn(a, ROLE_SYSTEM);
    if (at.turn == NULL)
        return ERR_LIMIT;
    if (type == JSON_STRING)
        return is_billing_line(v) ? OK : text_read(&at, v, false);
    for (size_t i = 0; e == OK && i < json_len(v); i++) {
        const struct json_val *block = json_at(v, i), *text = json_get(block, "text");
        if (!slice_eq(json_get_str(block, "type"), S("text")))
            return refuse(&at, why_system);
        if (!is_billing_line(text))
            e = text_read(&at, text, has_cache(block));
    }
    return e;
}

/* ---- tools ----------------------------------------------------------------------------------- */

static enum err tool_read(struct ask *a, const struct json_val *v)
{
    struct slice type = json_get_str(v, "type");
    bool own = type.n > 0 && !slice_eq(type, S("custom"));
    struct tool *t = ask_tool(a);
    if (t == NULL)
        return ERR_LIMIT;
    t->name = ask_str(a, json_get(v, "name"));
    t->cache = has_cache(v);
    if (own) {
        t->other = ask_str(a, json_get(v, "type"));
        t->schema = ask_json(a, v);
        return OK;
    }
    t->description = ask_str(a, json_get(v, "description"));
    t->schema = ask_json(a, json_get(v, "input_schema"));
    t->strict = json_get_bool(v, "strict", false);
    return OK;
}

static enum err tools_read(struct ask *a, const struct json_val *list, const char **why)
{
    enum json_type type = json_type(list);
    enum err e = OK;
    if (type == JSON_NONE || type == JSON_NULL)
        return OK;
    for (size_t i = 0; e == OK && i < json_len(list); i++) {
        if (json_type(json_at(list, i)) != JSON_OBJECT)
            type = JSON_NULL;
        else
            e = tool_read(a, json_at(list, i));
    }
    if (type == JSON_ARRAY)
        return e;
    *why = why_tools;
    return ERR_SYNTAX;
}

static void choice_read(struct ask *a, const struct json_val *v)
{
    struct slice type = json_get_str(v, "type");
    if (slice_eq(type, S("auto")))
        a->choice = CHOICE_AUTO;
    else if (slice_eq(type, S("any")))
        a->choice = CHOICE_ANY;
    else if (slice_eq(type, S("none")))
        a->choice = CHOICE_NONE;
    else if (slice_eq(type, S("tool")))
        a->choice = CHOICE_ONE;
    if (a->choice == CHOICE_ONE)
        a->choice_name = ask_str(a, json_get(v, "name"));
    if (json_get_bool(v, "disable_parallel_tool_use", false))
        a->parallel = 0;
}

/* ---- the rest -------------------------------------------------------------------------------- */

static void thinking_config_read(struct ask *a, const struct json_val *root)
{
    const struct json_val *thinking = json_get(root, "thinking");
    struct slice type = json_get_str(thinking, "type");
    (void)effort_find(json_get_str(json_get(root, "output_config"), "effort"), &a->effort);
    if (slice_eq(type, S("enabled"))) {
        a->thinking_budget = json_get_i64(thinking, "budget_tokens", -1);
        if (a->thinking_budget < 0)
            a->thinking_budget = budget_of_effort(EFFORT_MEDIUM);
    } else if (slice_eq(type, S("adaptive"))) {
        if (a->effort == EFFORT_UNSET)
            a->effort = EFFORT_MEDIUM; /* as much as others take when nothing is told */
    } else if (type.n > 0) {           /* disabled, between_tools */
        a->effort = EFFORT_NONE;
        a->thinking_budget = 0;
    }
    a->show_thinking = a->thinking_budget > 0 || slice_eq(type, S("adaptive"));
    if (slice_eq(json_get_str(thinking, "display"), S("omitted")))
        a->show_thinking = false;
}

static void format_read(struct ask *a, const struct json_val *root)
{
    const struct json_val *f = json_get(json_get(root, "output_config"), "format");
    if (json_type(f) != JSON_OBJECT)
        f = json_get(root, "output_format");
    if (!slice_eq(json_get_str(f, "type"), S("json_schema")))
        return;
    a->format = FORMAT_SCHEMA;
    a->schema_name = S("output");
    a->schema = ask_json(a, json_get(f, "schema"));
    a->schema_strict = true; /* the only kind there is */
}

static void numbers_read(struct ask *a, const struct json_val *root)
{
    a->max_tokens = json_get_i64(root, "max_tokens", -1);
    if (a->max_tokens == 0)
        a->max_tokens = 1; /* only warms the cache up; 1 is as close as others come */
    a->top_k = json_get_i64(root, "top_k", -1);
    (void)json_f64(json_get(root, "temperature"), &a->temperature);
    (void)json_f64(json_get(root, "top_p"), &a->top_p);
    a->stream = json_get_bool(root, "stream", false);
}

static void stops_read(struct ask *a, const struct json_val *list)
{
    for (size_t i = 0; i < json_len(list) && a->stops < ASK_STOPS; i++) {
        struct slice s = ask_str(a, json_at(list, i));
        if (!text_blank(s))
            a->stop[a->stops++] = s;
    }
    assert(a->stops >= 0 && a->stops <= ASK_STOPS);
}

static enum err root_read(struct ask *a, const struct json_val *root, const char **why)
{
    if (slice_eq(json_get_str(json_get(root, "thread"), "type"), S("continue"))) {
        *why = why_thread;
        return ERR_UNSUPPORTED;
    }
    a->model = ask_str(a, json_get(root, "model"));
    numbers_read(a, root);
    thinking_config_read(a, root);
    format_read(a, root);
    stops_read(a, json_get(root, "stop_sequences"));
    choice_read(a, json_get(root, "tool_choice"));
    a->user = ask_str(a, json_get(json_get(root, "metadata"), "user_id"));
    enum err e = system_read(a, json_get(root, "system"), why);
    if (e == OK)
        e = tools_read(a, json_get(root, "tools"), why);
    return e == OK ? messages_read(a, json_get(root, "messages"), why) : e;
}

enum err anthropic_ask_read(struct slice body, struct ask *out, const char **why)
{
    struct json *doc = NULL;
    assert(out->turns == NULL && out->arena != NULL); /* fresh from ask_init */
    enum err e = ask_parse(body, &doc, why);
    if (e == OK)
        e = root_read(out, json_root(doc), why);
    json_free(doc);
    return e;
}
