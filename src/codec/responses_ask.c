/* Requests of the Responses dialect, read.
 * Facts: wire/openai.md section 7.
 *
 * Dropped, for nothing else has it:
 *   store, metadata, include (but for logprobs), truncation, service_tier, text.verbosity,
 *   prompt_cache_key and its kin, max_tool_calls, moderation, context_management, stream_options;
 *   ids, status and phase of items; `detail` of images; tools that the provider runs itself, what
 *   they did in earlier turns, and a choice of one; thinking that only OpenAI can read.
 * Refused with a 400, for dropping it would change what the client gets:
 *   what the provider is to remember: previous_response_id, conversation, prompt, item_reference,
 *   compaction items; background. */
#include "codec/responses.h"

#include <string.h>

struct ask_reading {
    struct ask *a;
    const char *why;
    struct buf text; /* for joining */
};

static enum err refuse(struct ask_reading *r, const char *why)
{
    assert(r->why == NULL && why[0] != '\0'); /* the first one ends it */
    r->why = why;
    return ERR_SYNTAX;
}

static enum err cannot(struct ask_reading *r, const char *why)
{
    assert(r->why == NULL && why[0] != '\0');
    r->why = why;
    return ERR_UNSUPPORTED;
}

/* A copy that lives as long as the ask; a text may hold NULs. */
static struct slice keep(struct ask_reading *r, struct slice s)
{
    struct slice kept = s.n > 0 ? arena_dup(r->a->arena, s) : S("");
    if (kept.p != NULL)
        return kept;
    r->a->full = true;
    return S("");
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
    assert(p->kind == PART_IMAGE);
    if (!data_url(kept, &p->media, &p->data))
        p->url = kept;
}

static enum err image_read(struct ask_reading *r, const struct place *p, const struct json_val *v)
{
    const struct json_val *image = json_get(v, "image_url");
    struct part *made = place_part(r, p, PART_IMAGE);
    if (made == NULL)
        return OK;
    if (json_type(image) == JSON_OBJECT) /* as in Chat Completions */
        image = json_get(image, "url");
    made->file = ask_str(r->a, json_get(v, "file_id"));
    part_url(r, made, image);
    if (made->file.n == 0 && made->url.n == 0 && made->data.n == 0)
        return refuse(r, "input: input_image: neither image_url nor file_id is there");
    return OK;
}

static enum err file_read(struct ask_reading *r, const struct place *p, const struct json_val *v)
{
    const struct json_val *data = json_get(v, "file_data");
    struct part *made = place_part(r, p, PART_DOCUMENT);
    if (made == NULL)
        return OK;
    made->name = ask_str(r->a, json_get(v, "filename"));
    made->file = ask_str(r->a, json_get(v, "file_id"));
    made->url = ask_str(r->a, json_get(v, "file_url"));
    if (json_type(data) == JSON_STRING) {
        struct slice kept = ask_str(r->a, data);
        if (!data_url(kept, &made->media, &made->data)) { /* bare base64 is taken too */
            made->media = S("application/pdf");
            made->data = kept;
        }
    }
    if (made->file.n == 0 && made->url.n == 0 && made->data.n == 0)
        return refuse(r, "input: input_file: none of file_data, file_url and file_id is there");
    return OK;
}

static enum err audio_read(struct ask_reading *r, const struct place *p, const struct json_val *v)
{
    const struct json_val *audio = json_get(v, "input_audio");
    if (json_type(json_get(audio, "data")) != JSON_STRING)
        return refuse(r, "input: input_audio: its data is missing");
    struct part *made = place_part(r, p, PART_AUDIO);
    if (made == NULL)
        return OK;
    made->data = ask_str(r->a, json_get(audio, "data"));
    made->media = openai_audio_media(r->a, json_get_str(audio, "format"));
    return OK;
}

static enum err part_read(struct ask_reading *r, const struct place *p, const struct json_val *v)
{
    struct slice type = json_get_str(v, "type");
    if (json_type(v) != JSON_OBJECT)
        return refuse(r, "input: content: a part is no object");
    if (slice_eq(type, S("input_text")) || slice_eq(type, S("output_text")) ||
        slice_eq(type, S("text"))) {
        text_add(r, p, json_get(v, "text"));
        return OK;
    }
    if (slice_eq(type, S("refusal"))) {
        text_add(r, p, json_get(v, "refusal"));
        return OK;
    }
    if (slice_eq(type, S("input_image")))
        return image_read(r, p, v);
    if (slice_eq(type, S("input_file")))
        return file_read(r, p, v);
    if (slice_eq(type, S("input_audio")))
        return audio_read(r, p, v);
    struct part *made = place_part(r, p, PART_OTHER);
    if (made != NULL) {
        made->name = ask_str(r->a, json_get(v, "type"));
        made->text = ask_json(r->a, v);
    }
    return OK;
}

static enum err content_read(struct ask_reading *r, const struct place *p, const struct json_val *v)
{
    enum err e = OK;
    if (json_type(v) == JSON_STRING) {
        text_add(r, p, v);
        return OK;
    }
    if (openai_says(v) && json_type(v) != JSON_ARRAY)
        return refuse(r, "input: content: Input should be a string or an array of parts");
    for (size_t i = 0; e == OK && !r->a->full && i < json_len(v); i++)
        e = part_read(r, p, json_at(v, i));
    return e;
}

/* ---- items ----------------------------------------------------------------------------------- */

/* Items that belong together are one turn: thinking, text and calls of one reply; what came out of
 * the calls. */
static struct turn *turn_go_on(struct ask_reading *r, enum role role)
{
    struct turn *last = r->a->last;
    assert((last == NULL) == (r->a->turns == NULL));
    return last != NULL && last->role == role ? last : ask_turn(r->a, role);
}

/* A second message of a reply is no piece of the first. */
static struct turn *turn_of_words(struct ask_reading *r)
{
    struct turn *t = turn_go_on(r, ROLE_ASSISTANT);
    for (const struct part *p = t != NULL ? t->parts : NULL; p != NULL; p = p->next) {
        if (p->kind == PART_TEXT)
            return ask_turn(r->a, ROLE_ASSISTANT);
    }
    return t;
}

static enum err message_read(struct ask_reading *r, const struct json_val *v)
{
    struct slice role = json_get_str(v, "role");
    struct place p = {.turn = NULL};
    if (slice_eq(role, S("user")))
        p.turn = turn_go_on(r, ROLE_USER);
    else if (slice_eq(role, S("assistant")))
        p.turn = turn_of_words(r);
    else if (slice_eq(role, S("system")) || slice_eq(role, S("developer")))
        p.turn = ask_turn(r->a, ROLE_SYSTEM);
    else
        return refuse(r, "input: role: Input should be 'user', 'assistant', 'system' or "
                         "'developer'");
    return p.turn == NULL ? OK : content_read(r, &p, json_get(v, "content"));
}

/* What was said to a tool that takes no JSON: an object of one member. */
static enum err free_text_read(struct ask_reading *r, struct part *p, const struct json_val *input)
{
    assert(p->kind == PART_CALL);
    buf_clear(&r->text);
    enum err e = buf_puts(&r->text, S("{\"input\":"));
    if (e == OK)
        e = tree_print(&r->text, input);
    if (e == OK)
        e = buf_puts(&r->text, S("}"));
    if (e == OK)
        p->text = keep(r, buf_slice(&r->text));
    return e;
}

static enum err call_read(struct ask_reading *r, const struct json_val *v)
{
    bool free_text = slice_eq(json_get_str(v, "type"), S("custom_tool_call"));
    if (json_get_str(v, "call_id").n == 0 || json_get_str(v, "name").n == 0)
        return refuse(r, "input: a function_call needs a call_id and a name");
    struct turn *t = turn_go_on(r, ROLE_ASSISTANT);
    struct part *p = t == NULL ? NULL : turn_part(r->a, t, PART_CALL);
    if (p == NULL)
        return OK;
    p->id = ask_str(r->a, json_get(v, "call_id"));
    p->name = ask_str(r->a, json_get(v, "name"));
    if (free_text)
        return free_text_read(r, p, json_get(v, "input"));
    p->text = openai_arguments(r->a, json_get(v, "arguments"));
    return OK;
}

static enum err result_read(struct ask_reading *r, const struct json_val *v)
{
    if (json_get_str(v, "call_id").n == 0)
        return refuse(r, "input: a function_call_output needs a call_id");
    struct turn *t = turn_go_on(r, ROLE_USER);
    struct part *p = t == NULL ? NULL : turn_part(r->a, t, PART_RESULT);
    if (p == NULL)
        return OK;
    struct place place = {.turn = t, .result = p};
    p->id = ask_str(r->a, json_get(v, "call_id"));
    return content_read(r, &place, json_get(v, "output"));
}

/* The texts of a list, each a paragraph, into r->text. */
static enum err texts_join(struct ask_reading *r, const struct json_val *list)
{
    enum err e = OK;
    for (size_t i = 0; e == OK && i < json_len(list); i++) {
        struct slice text = json_get_str(json_at(list, i), "text");
        if (r->text.len > 0 && text.n > 0)
            e = buf_puts(&r->text, S("\n\n"));
        if (e == OK)
            e = buf_puts(&r->text, text);
    }
    return e;
}

/* Thinking of an earlier turn. Who has signed it is told by what its signature begins with. */
static enum err reasoning_read(struct ask_reading *r, const struct json_val *v)
{
    struct slice code = json_get_str(v, "encrypted_content");
    bool redacted = sign_take(&code, S(SIGN_REDACTED));
    bool theirs = !redacted && sign_take(&code, S(SIGN_THEIRS));
    buf_clear(&r->text);
    enum err e = texts_join(r, json_get(v, "content"));
    if (e == OK && r->text.len == 0)
        e = texts_join(r, json_get(v, "summary"));
    if (e != OK || (r->text.len == 0 && code.n == 0))
        return e;
    struct turn *t = turn_go_on(r, ROLE_ASSISTANT);
    struct part *p = t == NULL ? NULL
                               : turn_part(r->a, t, redacted ? PART_REDACTED : PART_THINKING);
    if (p == NULL)
        return OK;
    assert(!redacted || !theirs);
    if (redacted) {
        p->data = keep(r, code);
        return OK;
    }
    p->text = keep(r, buf_slice(&r->text));
    if (code.n == 0 || theirs) {
        p->signature = keep(r, code);
        return OK;
    }
    buf_clear(&r->text);
    e = buf_puts(&r->text, S(SIGN_OURS));
    if (e == OK)
        e = buf_puts(&r->text, code);
    if (e == OK)
        p->signature = keep(r, buf_slice(&r->text));
    return e;
}

/* What a tool of the provider's did, and whatever else there may be. */
static enum err other_read(struct ask_reading *r, const struct json_val *v)
{
    struct turn *t = turn_go_on(r, ROLE_ASSISTANT);
    struct part *p = t == NULL ? NULL : turn_part(r->a, t, PART_OTHER);
    if (p == NULL)
        return OK;
    p->name = ask_str(r->a, json_get(v, "type"));
    p->text = ask_json(r->a, v);
    return OK;
}

static enum err item_read(struct ask_reading *r, const struct json_val *v)
{
    struct slice type = json_get_str(v, "type");
    if (json_type(v) != JSON_OBJECT)
        return refuse(r, "input: Input should be a string or an array of items");
    if (slice_eq(type, S("message")) || (type.n == 0 && json_get_str(v, "role").n > 0))
        return message_read(r, v);
    if (slice_eq(type, S("function_call")) || slice_eq(type, S("custom_tool_call")))
        return call_read(r, v);
    if (slice_eq(type, S("function_call_output")) || slice_eq(type, S("custom_tool_call_output")))
        return result_read(r, v);
    if (slice_eq(type, S("reasoning")))
        return reasoning_read(r, v);
    if (slice_eq(type, S("item_reference")) || (type.n == 0 && json_get_str(v, "id").n > 0))
        return cannot(r, "input: item_reference: this model's provider does not keep earlier "
                         "items; send them whole");
    if (slice_eq(type, S("compaction")))
        return cannot(r, "input: compaction: only the provider that has made it can read it");
    if (type.n == 0)
        return refuse(r, "input: an item has no type");
    return other_read(r, v);
}

static enum err input_read(struct ask_reading *r, const struct json_val *input)
{
    enum err e = OK;
    if (json_type(input) == JSON_STRING) {
        struct place p = {.turn = ask_turn(r->a, ROLE_USER)};
        if (p.turn != NULL)
            text_add(r, &p, input);
        return OK;
    }
    if (json_type(input) != JSON_ARRAY)
        return refuse(r, "input: Input should be a string or an array of items");
    for (size_t i = 0; e == OK && !r->a->full && i < json_len(input); i++)
        e = item_read(r, json_at(input, i));
    return e;
}

static void instructions_read(struct ask_reading *r, const struct json_val *v)
{
    struct slice s = {"", 0};
    struct place p = {.turn = NULL};
    if (!json_str(v, &s) || s.n == 0)
        return;
    p.turn = ask_turn(r->a, ROLE_SYSTEM);
    if (p.turn != NULL)
        text_add(r, &p, v);
}

/* ---- tools ----------------------------------------------------------------------------------- */

static enum err tool_read(struct ask_reading *r, const struct json_val *v)
{
    struct slice type = json_get_str(v, "type");
    const struct json_val *schema = json_get(v, "parameters");
    bool function = slice_eq(type, S("function"));
    if (json_type(v) != JSON_OBJECT || type.n == 0)
        return refuse(r, "tools: Input should be an array of objects with a type");
    if (function && json_get_str(v, "name").n == 0)
        return refuse(r, "tools: a function's name is missing");
    struct tool *t = ask_tool(r->a);
    if (t == NULL)
        return OK;
    t->name = ask_str(r->a, json_get(v, "name"));
    if (!function) {
        t->other = ask_str(r->a, json_get(v, "type"));
        t->schema = ask_json(r->a, v);
        return OK;
    }
    t->description = ask_str(r->a, json_get(v, "description"));
    if (json_type(schema) == JSON_OBJECT)
        t->schema = ask_json(r->a, schema);
    t->strict = json_get_bool(v, "strict", false);
    return OK;
}

static enum err tools_read(struct ask_reading *r, const struct json_val *tools)
{
    enum err e = OK;
    if (openai_says(tools) && json_type(tools) != JSON_ARRAY)
        return refuse(r, "tools: Input should be an array");
    for (size_t i = 0; e == OK && i < json_len(tools); i++)
        e = tool_read(r, json_at(tools, i));
    return e;
}

static bool is_allowed(const struct json_val *allowed, const struct tool *t)
{
    for (size_t i = 0; i < json_len(allowed) && i < 1024; i++) {
        struct slice name = json_get_str(json_at(allowed, i), "name");
        if (name.n > 0 && slice_eq(name, t->name))
            return true;
    }
    return false;
}

/* {"type":"allowed_tools","mode":"auto","tools":[...]}: the others are as if they were not there.
 */
static bool choice_allowed(struct ask *a, const struct json_val *v)
{
    const struct json_val *allowed = json_get(v, "tools");
    struct tool *kept = NULL, **link = &a->tools;
    while (*link != NULL) {
        if (is_allowed(allowed, *link)) {
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

static enum err choice_read(struct ask_reading *r, const struct json_val *v)
{
    struct slice word = {"", 0}, type = json_get_str(v, "type");
    if (!openai_says(v) || (json_str(v, &word) && openai_choice_word(r->a, word)))
        return OK;
    if (slice_eq(type, S("allowed_tools")) && choice_allowed(r->a, v))
        return OK;
    if (slice_eq(type, S("function")) || slice_eq(type, S("custom"))) {
        if (json_get_str(v, "name").n == 0)
            return refuse(r, "tool_choice: the function's name is missing");
        r->a->choice = CHOICE_ONE;
        r->a->choice_name = ask_str(r->a, json_get(v, "name"));
        assert(r->a->choice_name.n > 0 || r->a->full);
        return OK;
    }
    if (word.n > 0 || type.n == 0 || slice_eq(type, S("allowed_tools")))
        return refuse(r, "tool_choice: Input should be 'none', 'auto', 'required' or a tool");
    return OK; /* one of the provider's own */
}

/* ---- settings -------------------------------------------------------------------------------- */

/* What asks the provider to remember something, or to work without us. */
static enum err memory_read(struct ask_reading *r, const struct json_val *root)
{
    if (openai_says(json_get(root, "previous_response_id")))
        return cannot(r, "previous_response_id: this model's provider does not keep earlier "
                         "responses; send the whole conversation as input");
    if (openai_says(json_get(root, "conversation")))
        return cannot(r, "conversation: this model's provider does not keep conversations; send "
                         "the whole conversation as input");
    if (openai_says(json_get(root, "prompt")))
        return cannot(r, "prompt: this model's provider does not keep prompt templates");
    if (json_get_bool(root, "background", false))
        return cannot(r, "background: this model's provider answers at once or not at all");
    return OK;
}

static enum err reasoning_config_read(struct ask_reading *r, const struct json_val *v)
{
    struct slice word = json_get_str(v, "effort");
    if (word.n > 0 && !effort_find(word, &r->a->effort))
        return refuse(r, "reasoning.effort: Input should be 'none', 'minimal', 'low', 'medium', "
                         "'high', 'xhigh' or 'max'");
    word = json_get_str(v, "summary");
    r->a->show_thinking = word.n > 0 && !slice_eq(word, S("none"));
    return OK;
}

static enum err format_read(struct ask_reading *r, const struct json_val *v)
{
    struct slice type = json_get_str(v, "type");
    if (slice_eq(type, S("json_object"))) {
        r->a->format = FORMAT_JSON;
    } else if (slice_eq(type, S("json_schema"))) {
        if (json_type(json_get(v, "schema")) != JSON_OBJECT)
            return refuse(r, "text.format: json_schema: its schema is missing");
        r->a->format = FORMAT_SCHEMA;
        r->a->schema_name = ask_str(r->a, json_get(v, "name"));
        r->a->schema = ask_json(r->a, json_get(v, "schema"));
        r->a->schema_strict = json_get_bool(v, "strict", false);
    } else if (openai_says(v) && !slice_eq(type, S("text"))) {
        return refuse(r, "text.format: type: Input should be 'text', 'json_object' or "
                         "'json_schema'");
    }
    return OK;
}

static bool includes(const struct json_val *list, struct slice word)
{
    struct slice one = {"", 0};
    for (size_t i = 0; i < json_len(list) && i < 64; i++) {
        if (json_str(json_at(list, i), &one) && slice_eq(one, word))
            return true;
    }
    return false;
}

static enum err flags_read(struct ask_reading *r, const struct json_val *root)
{
    struct ask *a = r->a;
    bool parallel = true;
    a->model = ask_str(a, json_get(root, "model"));
    a->stream = json_get_bool(root, "stream", false);
    a->logprobs = includes(json_get(root, "include"), S("message.output_text.logprobs"));
    (void)json_i64(json_get(root, "top_logprobs"), &a->top_logprobs);
    (void)json_f64(json_get(root, "temperature"), &a->temperature);
    (void)json_f64(json_get(root, "top_p"), &a->top_p);
    (void)json_i64(json_get(root, "max_output_tokens"), &a->max_tokens);
    if (json_bool(json_get(root, "parallel_tool_calls"), &parallel))
        a->parallel = parallel ? 1 : 0;
    a->user = ask_str(a, json_get(root, "safety_identifier"));
    if (a->user.n == 0)
        a->user = ask_str(a, json_get(root, "user"));
    if (a->max_tokens < -1)
        return refuse(r, "max_output_tokens: Input should be greater than 0");
    return OK;
}

static enum err root_read(struct ask_reading *r, const struct json_val *root)
{
    enum err e = memory_read(r, root);
    if (e == OK)
        e = flags_read(r, root);
    if (e == OK) {
        instructions_read(r, json_get(root, "instructions"));
        e = input_read(r, json_get(root, "input"));
    }
    if (e == OK)
        e = tools_read(r, json_get(root, "tools"));
    if (e == OK)
        e = choice_read(r, json_get(root, "tool_choice"));
    if (e == OK)
        e = reasoning_config_read(r, json_get(root, "reasoning"));
    return e == OK ? format_read(r, json_get(json_get(root, "text"), "format")) : e;
}

enum err responses_ask_read(struct slice body, struct ask *out, const char **why)
{
    struct ask_reading r = {.a = out};
    struct json *doc = NULL;
    enum err e = ask_parse(body, &doc, why);
    if (e != OK)
        return e;
    buf_init(&r.text, 6 * body.n + 1024); /* escapes may grow */
    e = root_read(&r, json_root(doc));
    json_free(doc);
    buf_free(&r.text);
    if (e == OK && out->full)
        e = ERR_LIMIT;
    if (e != OK)
        *why = r.why != NULL ? r.why : "The request body is too large";
    assert(e == OK ? !out->full : *why != NULL);
    return e;
}
