/* Requests of the Gemini dialect, read. Facts: wire/gemini.md.
 *
 * Dropped, for nothing else has it:
 *   safetySettings, labels, store, serviceTier; in generationConfig: speechConfig, mediaResolution,
 *   imageConfig, audioTimestamp, enableEnhancedCivicAnswers, enableAffectiveDialog, routing and
 *   model selection; tools that run on the server and their parts; videoMetadata, displayName.
 * Refused with a 400, for dropping it would change what the client gets:
 *   cachedContent, candidateCount > 1, answers in images or audio, text/x.enum, files that Google
 *   keeps (by the writers).
 *
 * What a client has gathered of a stream comes back in pieces: neighbouring contents of a role are
 * one turn, neighbouring texts of the model's one text. A signature stands on the part behind the
 * thinking, and goes back to it. */
#include "codec/gemini.h"
#include "codec/openai.h"
#include "codec/talk.h"

#include <string.h>

#define RUN_MAX ((size_t)256 << 20)

struct ask_reading {
    struct ask *a;
    const char *why;
    struct call_book book;
    struct turn *turn;       /* of the content that is being read */
    struct buf run;          /* of the model's texts so far */
    enum part_kind run_kind; /* TEXT or THINKING */
    struct part *thought; /* the last thinking of the turn that may still be signed; NULL = none */
};

static enum err refuse(struct ask_reading *r, enum err e, const char *why)
{
    r->why = why;
    return e;
}

/* A copy in the arena; "" when that is full. */
static struct slice keep(struct ask *a, struct slice s)
{
    struct slice kept = s.n > 0 ? arena_dup(a->arena, s) : S("");
    if (kept.p != NULL)
        return kept;
    a->full = true;
    return S("");
}

/* ---- texts of the model ---------------------------------------------------------------------- */

/* What has been gathered becomes a part. */
static void run_end(struct ask_reading *r)
{
    struct part *p;
    if (r->run.len == 0)
        return;
    assert(r->turn != NULL && r->turn->role == ROLE_ASSISTANT);
    p = turn_part(r->a, r->turn, r->run_kind);
    if (p != NULL)
        p->text = keep(r->a, buf_slice(&r->run));
    if (r->run_kind == PART_THINKING)
        r->thought = p;
    buf_clear(&r->run);
}

static enum err run_add(struct ask_reading *r, enum part_kind kind, struct slice text)
{
    assert(kind == PART_TEXT || kind == PART_THINKING);
    if (text.n == 0)
        return OK;
    if (r->run_kind != kind)
        run_end(r);
    r->run_kind = kind;
    return buf_puts(&r->run, text);
}

/* Signs the thinking in front, or an empty one that is made for it. */
static enum err sign_add(struct ask_reading *r, struct slice wire)
{
    struct buf sign;
    if (wire.n == 0 || r->turn->role != ROLE_ASSISTANT || slice_eq(wire, S(GEMINI_UNSIGNED)))
        return OK;
    run_end(r);
    struct part *p = r->thought != NULL ? r->thought : turn_part(r->a, r->turn, PART_THINKING);
    r->thought = NULL;
    assert(r->run.len == 0);
    if (p == NULL)
        return OK;
    assert(p->kind == PART_THINKING && p->signature.n == 0);
    buf_init(&sign, wire.n + 64);
    enum err e = gemini_sign_read(wire, &sign);
    p->signature = keep(r->a, buf_slice(&sign));
    buf_free(&sign);
    return e;
}

/* ---- parts ----------------------------------------------------------------------------------- */

static enum part_kind kind_of_media(struct slice media)
{
    if (slice_istarts(media, S("image/")))
        return PART_IMAGE;
    return slice_istarts(media, S("audio/")) ? PART_AUDIO : PART_DOCUMENT;
}

static struct part *place_part(struct ask_reading *r, struct part *result, enum part_kind kind)
{
    return result != NULL ? part_inner(r->a, result, kind) : turn_part(r->a, r->turn, kind);
}

static enum err blob_read(struct ask_reading *r, struct part *result, const struct json_val *v)
{
    const struct json_val *media = gemini_get(v, "mimeType"), *data = json_get(v, "data");
    struct slice kind = gemini_str(v, "mimeType");
    if (json_type(media) != JSON_STRING || json_type(data) != JSON_STRING)
        return refuse(r, ERR_SYNTAX, "contents: parts: inlineData needs mimeType and data");
    struct part *p = place_part(r, result, kind_of_media(kind));
    if (p == NULL)
        return OK;
    p->media = ask_str(r->a, media);
    p->data = ask_str(r->a, data);
    return OK;
}

/* Files that Google keeps are known by their address. */
static bool is_googles(struct slice uri)
{
    return slice_starts(uri, S("https://generativelanguage.googleapis.com/")) ||
           slice_starts(uri, S("gs://"));
}

static enum err file_read(struct ask_reading *r, struct part *result, const struct json_val *v)
{
    const struct json_val *uri = gemini_get(v, "fileUri");
    struct slice media = gemini_str(v, "mimeType"), text = {"", 0};
    if (!json_str(uri, &text) || text.n == 0)
        return refuse(r, ERR_SYNTAX, "contents: parts: fileData needs a fileUri");
    struct part *p = place_part(r, result, kind_of_media(media));
    if (p == NULL)
        return OK;
    if (!is_googles(text)) {
        p->url = ask_str(r->a, uri);
        return OK;
    }
    p->media = ask_str(r->a, gemini_get(v, "mimeType"));
    p->file = ask_str(r->a, uri);
    return OK;
}

static enum err call_read(struct ask_reading *r, const struct json_val *v)
{
    const struct json_val *args = json_get(v, "args");
    if (json_get_str(v, "name").n == 0)
        return refuse(r, ERR_SYNTAX, "contents: parts: functionCall needs a name");
    if (r->turn->role != ROLE_ASSISTANT)
        return refuse(r, ERR_SYNTAX,
                      "contents: parts: functionCall stands in contents of role "
                      "model only");
    struct part *p = turn_part(r->a, r->turn, PART_CALL);
    if (p == NULL)
        return OK;
    p->id = ask_str(r->a, json_get(v, "id"));
    p->name = ask_str(r->a, json_get(v, "name"));
    p->text = json_type(args) == JSON_OBJECT ? ask_json(r->a, args) : S("{}");
    r->thought = NULL; /* what it was thought for has been done */
    call_book_call(&r->book, p);
    assert(p->id.n > 0 || r->a->full);
    return OK;
}

/* {"result":"text"} and its kin are the text; {"error":...} says that it failed. Anything else is
 * told as it is. */
static struct slice response_text(struct ask *a, const struct json_val *v, bool *failed)
{
    static const char *const words[] = {"result", "output", "content", "error"};
    struct slice text;
    *failed = false;
    if (json_type(v) == JSON_NONE || json_len(v) == 0)
        return S("");
    for (size_t i = 0; json_len(v) == 1 && i < sizeof words / sizeof words[0]; i++) {
        const struct json_val *told = json_get(v, words[i]);
        if (json_type(told) == JSON_NONE)
            continue;
        *failed = i == 3;
        return json_str(told, &text) ? ask_str(a, told) : ask_json(a, told);
    }
    return ask_json(a, v);
}

static enum err media_read(struct ask_reading *r, struct part *result, const struct json_val *part)
{
    const struct json_val *blob = gemini_get(part, "inlineData");
    const struct json_val *file = gemini_get(part, "fileData");
    if (json_type(blob) == JSON_OBJECT)
        return blob_read(r, result, blob);
    return json_type(file) == JSON_OBJECT ? file_read(r, result, file) : OK;
}

static enum err response_read(struct ask_reading *r, const struct json_val *v)
{
    const struct json_val *media = json_get(v, "parts");
    enum err e = OK;
    if (json_get_str(v, "name").n == 0)
        return refuse(r, ERR_SYNTAX, "contents: parts: functionResponse needs a name");
    if (r->turn->role != ROLE_USER)
        return refuse(r, ERR_SYNTAX,
                      "contents: parts: functionResponse stands in contents of role "
                      "user only");
    struct part *p = turn_part(r->a, r->turn, PART_RESULT);
    if (p == NULL)
        return OK;
    p->id = ask_str(r->a, json_get(v, "id"));
    p->name = ask_str(r->a, json_get(v, "name"));
    call_book_result(&r->book, p);
    assert(p->id.n > 0 || r->a->full);
    struct slice text = response_text(r->a, json_get(v, "response"), &p->error);
    struct part *inner = text.n > 0 ? part_inner(r->a, p, PART_TEXT) : NULL;
    if (inner != NULL)
        inner->text = text;
    for (size_t i = 0; e == OK && i < json_len(media); i++)
        e = media_read(r, p, json_at(media, i));
    return e;
}

static void other_read(struct ask_reading *r, const struct json_val *part)
{
    static const char *const kinds[] = {"executableCode", "codeExecutionResult", "toolCall",
                                        "toolResponse"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (json_type(gemini_get(part, kinds[i])) != JSON_OBJECT)
            continue;
        struct part *p = turn_part(r->a, r->turn, PART_OTHER);
        if (p == NULL)
            return;
        p->name = slice_of(kinds[i]);
        p->text = ask_json(r->a, part);
    }
}

static enum err text_read(struct ask_reading *r, const struct json_val *part, struct slice text)
{
    bool thought = json_get_bool(part, "thought", false);
    if (r->turn->role == ROLE_ASSISTANT)
        return run_add(r, thought ? PART_THINKING : PART_TEXT, text);
    if (text.n == 0 || thought)
        return OK;
    struct part *p = turn_part(r->a, r->turn, PART_TEXT);
    if (p != NULL)
        p->text = keep(r->a, text);
    return OK;
}

static enum err part_read(struct ask_reading *r, const struct json_val *part)
{
    const struct json_val *call = gemini_get(part, "functionCall");
    const struct json_val *response = gemini_get(part, "functionResponse");
    struct slice sign = gemini_str(part, "thoughtSignature"), text = {"", 0};
    bool behind = false;
    enum err e = OK;
    if (json_type(part) != JSON_OBJECT)
        return refuse(r, ERR_SYNTAX, "contents: parts: a part is no object");
    bool is_text = json_str(json_get(part, "text"), &text);
    /* Its own signature is a thought's; that of a text which goes on stands behind it. */
    behind = is_text && (json_get_bool(part, "thought", false) ||
                         (r->run.len > 0 && r->run_kind == PART_TEXT));
    if (!behind)
        e = sign_add(r, sign);
    if (e == OK && is_text)
        e = text_read(r, part, text);
    if (e == OK && behind)
        e = sign_add(r, sign);
    if (e != OK || is_text)
        return e;
    run_end(r);
    if (json_type(call) == JSON_OBJECT)
        return call_read(r, call);
    if (json_type(response) == JSON_OBJECT)
        return response_read(r, response);
    other_read(r, part);
    return media_read(r, NULL, part);
}

/* ---- contents -------------------------------------------------------------------------------- */

static enum err content_read(struct ask_reading *r, const struct json_val *c)
{
    const struct json_val *parts = json_get(c, "parts");
    struct slice word = json_get_str(c, "role");
    enum role role = slice_eq(word, S("model")) ? ROLE_ASSISTANT : ROLE_USER;
    enum err e = OK;
    if (json_type(c) != JSON_OBJECT)
        return refuse(r, ERR_SYNTAX, "contents: Input should be an array of objects");
    if (role == ROLE_USER && word.n > 0 && !slice_eq(word, S("user")) &&
        !slice_eq(word, S("function")))
        return refuse(r, ERR_SYNTAX, "contents: role: Input should be 'user' or 'model'");
    if (r->turn == NULL || r->turn->role != role) {
        run_end(r);
        r->thought = NULL;
        r->turn = ask_turn(r->a, role);
        if (role == ROLE_ASSISTANT)
            call_book_forget(&r->book);
    }
    assert(r->turn == NULL || r->turn->role == role);
    for (size_t i = 0; e == OK && r->turn != NULL && !r->a->full && i < json_len(parts); i++)
        e = part_read(r, json_at(parts, i));
    return e;
}

static enum err contents_read(struct ask_reading *r, const struct json_val *list)
{
    enum err e = OK;
    if (json_type(list) != JSON_ARRAY || json_len(list) == 0)
        return refuse(r, ERR_SYNTAX, "contents: Input should be an array of contents");
    for (size_t i = 0; e == OK && !r->a->full && i < json_len(list); i++)
        e = content_read(r, json_at(list, i));
    if (e == OK && !r->a->full)
        run_end(r);
    assert(e != OK || r->a->full || r->run.len == 0);
    return e;
}

static void system_read(struct ask *a, const struct json_val *v)
{
    const struct json_val *parts = json_get(v, "parts");
    struct slice text = {"", 0};
    struct turn *t = json_len(parts) > 0 ? ask_turn(a, ROLE_SYSTEM) : NULL;
    for (size_t i = 0; t != NULL && i < json_len(parts); i++) {
        const struct json_val *one = json_get(json_at(parts, i), "text");
        struct part *p = json_str(one, &text) && text.n > 0 ? turn_part(a, t, PART_TEXT) : NULL;
        if (p != NULL)
            p->text = ask_str(a, one);
    }
}

/* ---- tools ----------------------------------------------------------------------------------- */

/* The one that is a JSON Schema already, else the one that is nearly one. */
static struct slice schema_read(struct ask *a, const struct json_val *json,
                                const struct json_val *subset)
{
    struct buf b;
    struct slice kept = S("");
    if (json_type(json) == JSON_OBJECT)
        return ask_json(a, json);
    if (json_type(subset) != JSON_OBJECT)
        return kept;
    buf_init(&b, a->arena->max);
    if (gemini_schema_plain(subset, &b) == OK)
        kept = keep(a, buf_slice(&b));
    else
        a->full = true;
    buf_free(&b);
    return kept;
}

static enum err function_read(struct ask_reading *r, const struct json_val *f)
{
    if (json_get_str(f, "name").n == 0)
        return refuse(r, ERR_SYNTAX, "tools: functionDeclarations: a name is missing");
    struct tool *t = ask_tool(r->a);
    if (t == NULL)
        return OK;
    t->name = ask_str(r->a, json_get(f, "name"));
    t->description = ask_str(r->a, json_get(f, "description"));
    t->schema = schema_read(r->a, gemini_get(f, "parametersJsonSchema"), json_get(f, "parameters"));
    return OK;
}

static enum err tool_read(struct ask_reading *r, const struct json_val *v)
{
    const struct json_val *functions = gemini_get(v, "functionDeclarations"), *one;
    struct slice key = {"", 0};
    enum err e = OK;
    for (size_t i = 0; e == OK && i < json_len(functions); i++)
        e = function_read(r, json_at(functions, i));
    if (json_type(functions) != JSON_NONE || !json_member(v, 0, &key, &one))
        return e;
    struct tool *t = ask_tool(r->a);
    if (t == NULL)
        return OK;
    t->other = keep(r->a, key);
    t->schema = ask_json(r->a, v);
    return OK;
}

static enum err tools_read(struct ask_reading *r, const struct json_val *list)
{
    enum err e = OK;
    if (json_type(list) > JSON_NULL && json_type(list) != JSON_ARRAY)
        return refuse(r, ERR_SYNTAX, "tools: Input should be an array");
    for (size_t i = 0; e == OK && i < json_len(list); i++)
        e = tool_read(r, json_at(list, i));
    return e;
}

static bool is_listed(const struct json_val *list, struct slice word)
{
    struct slice one;
    for (size_t i = 0; i < json_len(list) && i < 1024; i++) {
        if (json_str(json_at(list, i), &one) && slice_eq(one, word))
            return true;
    }
    return false;
}

/* Only some may be called: the others are as if they were not there. */
static void tools_filter(struct ask *a, const struct json_val *allowed)
{
    struct tool *kept = NULL, **link = &a->tools;
    while (*link != NULL) {
        if (is_listed(allowed, (*link)->name)) {
            kept = *link;
            link = &kept->next;
        } else {
            *link = (*link)->next;
        }
    }
    a->last_tool = kept;
    assert((a->tools == NULL) == (kept == NULL));
}

static void choice_read(struct ask *a, const struct json_val *root)
{
    const struct json_val *v = gemini_get(gemini_get(root, "toolConfig"), "functionCallingConfig");
    const struct json_val *allowed = gemini_get(v, "allowedFunctionNames");
    struct slice mode = json_get_str(v, "mode");
    if (slice_ieq(mode, S("AUTO")) || slice_ieq(mode, S("VALIDATED")))
        a->choice = CHOICE_AUTO;
    else if (slice_ieq(mode, S("ANY")))
        a->choice = CHOICE_ANY;
    else if (slice_ieq(mode, S("NONE")))
        a->choice = CHOICE_NONE;
    if (json_len(allowed) == 0 || a->choice == CHOICE_NONE)
        return;
    if (json_len(allowed) == 1 && a->choice == CHOICE_ANY) {
        a->choice = CHOICE_ONE;
        a->choice_name = ask_str(a, json_at(allowed, 0));
    } else {
        tools_filter(a, allowed);
    }
}

/* ---- settings -------------------------------------------------------------------------------- */

static void thinking_read(struct ask *a, const struct json_val *v)
{
    struct slice level = gemini_str(v, "thinkingLevel");
    int64_t budget = -1;
    a->show_thinking = false;
    (void)json_bool(gemini_get(v, "includeThoughts"), &a->show_thinking);
    (void)json_i64(gemini_get(v, "thinkingBudget"), &budget);
    if (slice_ieq(level, S("MINIMAL")))
        a->effort = EFFORT_MINIMAL;
    else if (slice_ieq(level, S("LOW")))
        a->effort = EFFORT_LOW;
    else if (slice_ieq(level, S("MEDIUM")))
        a->effort = EFFORT_MEDIUM;
    else if (slice_ieq(level, S("HIGH")))
        a->effort = EFFORT_HIGH;
    else if (budget >= 0)
        a->thinking_budget = budget;
    else if (a->show_thinking) /* as much as the model likes, and it shall be seen */
        a->effort = EFFORT_MEDIUM;
}

static enum err format_read(struct ask_reading *r, const struct json_val *config)
{
    struct ask *a = r->a;
    struct slice type = gemini_str(config, "responseMimeType");
    const struct json_val *schema = gemini_get(config, "responseJsonSchema");
    const struct json_val *subset = gemini_get(config, "responseSchema");
    if (json_type(schema) != JSON_OBJECT)
        schema = gemini_get(config, "_responseJsonSchema");
    if (slice_eq(type, S("text/x.enum")))
        return refuse(r, ERR_UNSUPPORTED,
                      "generationConfig.responseMimeType: this model has no "
                      "answers of type text/x.enum");
    if (!slice_eq(type, S("application/json")))
        return OK;
    a->format = FORMAT_JSON;
    a->schema = schema_read(a, schema, subset);
    if (a->schema.n == 0)
        return OK;
    a->format = FORMAT_SCHEMA;
    a->schema_name = S("output");
    a->schema_strict = true;
    return OK;
}

static void stops_read(struct ask *a, const struct json_val *list)
{
    for (size_t i = 0; i < json_len(list) && a->stops < ASK_STOPS; i++) {
        struct slice s = ask_str(a, json_at(list, i));
        if (s.n > 0)
            a->stop[a->stops++] = s;
    }
    assert(a->stops <= ASK_STOPS);
}

static enum err modalities_read(struct ask_reading *r, const struct json_val *list)
{
    struct slice one;
    for (size_t i = 0; i < json_len(list) && i < 16; i++) {
        if (json_str(json_at(list, i), &one) && !slice_ieq(one, S("TEXT")))
            return refuse(r, ERR_UNSUPPORTED,
                          "generationConfig.responseModalities: this model answers in text only");
    }
    return OK;
}

static enum err config_read(struct ask_reading *r, const struct json_val *c)
{
    struct ask *a = r->a;
    (void)json_f64(json_get(c, "temperature"), &a->temperature);
    (void)json_f64(gemini_get(c, "topP"), &a->top_p);
    (void)json_i64(gemini_get(c, "topK"), &a->top_k);
    (void)json_i64(json_get(c, "seed"), &a->seed);
    (void)json_i64(gemini_get(c, "maxOutputTokens"), &a->max_tokens);
    (void)json_f64(gemini_get(c, "presencePenalty"), &a->presence_penalty);
    (void)json_f64(gemini_get(c, "frequencyPenalty"), &a->frequency_penalty);
    (void)json_i64(gemini_get(c, "candidateCount"), &a->n);
    (void)json_i64(json_get(c, "logprobs"), &a->top_logprobs);
    (void)json_bool(gemini_get(c, "responseLogprobs"), &a->logprobs);
    stops_read(a, gemini_get(c, "stopSequences"));
    thinking_read(a, gemini_get(c, "thinkingConfig"));
    if (a->max_tokens < -1)
        return refuse(r, ERR_SYNTAX, "generationConfig.maxOutputTokens: Input should be positive");
    if (a->n > 1)
        return refuse(r, ERR_UNSUPPORTED,
                      "generationConfig.candidateCount: only one candidate can "
                      "be had from this model");
    enum err e = modalities_read(r, gemini_get(c, "responseModalities"));
    return e == OK ? format_read(r, c) : e;
}

static enum err root_read(struct ask_reading *r, const struct json_val *root)
{
    if (openai_says(gemini_get(root, "cachedContent")))
        return refuse(r, ERR_UNSUPPORTED,
                      "cachedContent: what one provider has cached cannot be "
                      "used at another one");
    r->a->model = ask_str(r->a, json_get(root, "model"));
    r->a->stream = json_get_bool(root, "stream", false);
    system_read(r->a, gemini_get(root, "systemInstruction"));
    enum err e = contents_read(r, json_get(root, "contents"));
    if (e == OK)
        e = tools_read(r, json_get(root, "tools"));
    if (e == OK)
        choice_read(r->a, root);
    return e == OK ? config_read(r, gemini_get(root, "generationConfig")) : e;
}

enum err gemini_ask_read(struct slice body, struct ask *out, const char **why)
{
    struct ask_reading r = {.a = out, .why = "", .run_kind = PART_TEXT};
    struct json *doc = NULL;
    enum err e = ask_parse(body, &doc, why);
    if (e != OK)
        return e;
    buf_init(&r.run, RUN_MAX);
    call_book_init(&r.book, out);
    e = root_read(&r, json_root(doc));
    call_book_free(&r.book);
    buf_free(&r.run);
    json_free(doc);
    if (e != OK)
        *why = r.why;
    return e;
}
