/* Requests in the Gemini dialect, written. Facts: wire/gemini.md.
 *
 * Dropped, for the dialect cannot say it:
 *   cache breakpoints; `user`; a refusal of parallel calls; `strict`; redacted thinking, unsigned
 *   thinking and such as another provider has signed; tools and parts of another dialect's own;
 *   stop sequences past the fifth; names of documents.
 * Said in other words:
 *   system messages, wherever they stood, are the system instruction; results without a call become
 *   text, calls without a result get one that says so; images of results stand behind them where a
 *   model cannot have them inside; a format beside tools is an instruction, where a model cannot
 *   have both.
 * Refused: images and documents that only have another provider's file id. */
#include "codec/gemini.h"
#include "codec/span.h"
#include "codec/talk.h"

#include <string.h>

#define NAME_LEN 64
#define TEXT_MAX ((size_t)256 << 20)

struct put {
    const struct ask *a;
    const struct ask_target *t;
    struct names *names;
    int generation;
    struct jw w;
    enum err err;
    const char *why;
    struct buf text;           /* for joining */
    const struct part *signer; /* the thinking whose signature waits for `carrier` */
    const struct part *carrier;
    const struct part *signed_before; /* thinking whose signature has been given already */
    bool first_call;                  /* of a message is still to come */
};

static void fail(struct put *p, enum err e, const char *why)
{
    if (e == OK || p->err != OK)
        return;
    p->err = e;
    p->why = why;
}

static void text_add(struct put *p, struct slice s)
{
    fail(p, buf_puts(&p->text, s), "");
}

static bool is_new(const struct put *p)
{
    return p->generation >= 30 || p->generation == 0;
}

/* ---- what counts ----------------------------------------------------------------------------- */

static bool is_medium(const struct part *part)
{
    bool told = part->data.n > 0 || part->url.n > 0 || part->file.n > 0;
    return part->kind == PART_IMAGE || part->kind == PART_AUDIO ||
           (part->kind == PART_DOCUMENT && told);
}

/* Does anything of it come out, said by `role`? */
static bool part_counts(enum role role, const struct part *part)
{
    switch (part->kind) {
    case PART_TEXT:
        return !text_blank(part->text);
    case PART_THINKING:
        return role == ROLE_ASSISTANT && gemini_signed(part->signature);
    case PART_CALL:
        return role == ROLE_ASSISTANT;
    case PART_DOCUMENT:
        return role == ROLE_USER && (is_medium(part) || part->name.n + part->text.n > 0);
    case PART_IMAGE:
    case PART_AUDIO:
    case PART_RESULT:
        return role == ROLE_USER;
    case PART_REDACTED:
    case PART_OTHER:
        break;
    }
    return false;
}

/* ---- parts ----------------------------------------------------------------------------------- */

static void text_put(struct put *p, struct slice text)
{
    jw_obj(&p->w);
    jw_kstr(&p->w, "text", text);
    jw_end_obj(&p->w);
}

/* By the end of its name, of those that models take. */
static struct slice media_of(struct slice url)
{
    static const struct {
        const char *end, *media;
    } ends[] = {
        {".png", "image/png"},   {".jpg", "image/jpeg"}, {".jpeg", "image/jpeg"},
        {".webp", "image/webp"}, {".gif", "image/gif"},  {".pdf", "application/pdf"},
    };
    ptrdiff_t query = slice_find(url, '?');
    if (query >= 0)
        url = slice_sub(url, 0, (size_t)query);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (slice_ends(url, slice_of(ends[i].end)))
            return slice_of(ends[i].media);
    }
    return S("");
}

static void file_put(struct put *p, const struct part *part)
{
    bool googles = slice_starts(part->file, S("gs://")) ||
                   slice_starts(part->file, S("https://generativelanguage.googleapis.com/"));
    struct slice media = part->media.n > 0 ? part->media : media_of(part->url);
    if (part->file.n > 0 && !googles)
        fail(p, ERR_UNSUPPORTED, "messages: a file kept by another provider cannot be used here");
    if (part->file.n == 0 && part->url.n == 0)
        fail(p, ERR_UNSUPPORTED, "messages: a part has neither data nor an address");
    if (part->file.n == 0 && p->t->no_images_by_url)
        fail(p, ERR_UNSUPPORTED,
             "messages: this model takes images by their data only, not by URL");
    jw_key(&p->w, "fileData");
    jw_obj(&p->w);
    if (media.n > 0)
        jw_kstr(&p->w, "mimeType", media);
    jw_kstr(&p->w, "fileUri", googles ? part->file : part->url);
    jw_end_obj(&p->w);
}

static struct slice media_default(enum part_kind kind)
{
    if (kind == PART_IMAGE)
        return S("image/png");
    return kind == PART_AUDIO ? S("audio/wav") : S("application/pdf");
}

static void medium_put(struct put *p, const struct part *part)
{
    struct slice media = part->media, data = part->data;
    if (data.n == 0 && part->url.n > 0)
        (void)data_url(part->url, &media, &data);
    jw_obj(&p->w);
    if (data.n > 0) {
        jw_key(&p->w, "inlineData");
        jw_obj(&p->w);
        jw_kstr(&p->w, "mimeType", media.n > 0 ? media : media_default(part->kind));
        jw_kstr(&p->w, "data", data);
        jw_end_obj(&p->w);
    } else {
        file_put(p, part);
    }
    jw_end_obj(&p->w);
}

static void document_put(struct put *p, const struct part *part)
{
    buf_clear(&p->text);
    text_add(p, part->name);
    if (part->name.n > 0 && part->text.n > 0)
        text_add(p, S("\n"));
    text_add(p, part->text);
    if (p->text.len > 0)
        text_put(p, buf_slice(&p->text));
}

/* ---- results --------------------------------------------------------------------------------- */

/* The texts of a result, one to a line. */
static void result_join(struct put *p, const struct part *result)
{
    buf_clear(&p->text);
    for (const struct part *in = result->inner; in != NULL; in = in->next) {
        if (is_medium(in) || in->kind == PART_OTHER || in->text.n == 0)
            continue;
        if (p->text.len > 0)
            text_add(p, S("\n"));
        text_add(p, in->text);
    }
}

static void result_media(struct put *p, const struct part *result)
{
    for (const struct part *in = result->inner; in != NULL; in = in->next) {
        if (is_medium(in))
            medium_put(p, in);
    }
}

static bool has_media(const struct part *result)
{
    for (const struct part *in = result->inner; in != NULL; in = in->next) {
        if (is_medium(in))
            return true;
    }
    return false;
}

static void result_put(struct put *p, const struct part *call, const struct part *result)
{
    struct jw *w = &p->w;
    assert(call->kind == PART_CALL && result->kind == PART_RESULT);
    jw_obj(w);
    jw_key(w, "functionResponse");
    jw_obj(w);
    if (call->id.n > 0)
        jw_kstr(w, "id", call->id);
    jw_kstr(w, "name", names_put(p->names, call->name, NAME_LEN));
    jw_key(w, "response");
    jw_obj(w);
    result_join(p, result);
    jw_kstr(w, result->error ? "error" : "result", buf_slice(&p->text));
    jw_end_obj(w);
    if (is_new(p) && has_media(result)) {
        jw_key(w, "parts");
        jw_arr(w);
        result_media(p, result);
        jw_end_arr(w);
    }
    jw_end_obj(w);
    jw_end_obj(w);
}

/* There must be as many results as there were calls. */
static void result_missing(struct put *p, const struct part *call)
{
    struct part said = {.kind = PART_TEXT, .text = S("No result was given")};
    struct part made = {.kind = PART_RESULT, .error = true, .inner = &said};
    result_put(p, call, &made);
}

static void orphan_put(struct put *p, const struct part *result)
{
    text_put(p, result->error ? S("The result of an earlier tool call (an error):")
                              : S("The result of an earlier tool call:"));
    result_join(p, result);
    if (p->text.len > 0)
        text_put(p, buf_slice(&p->text));
    result_media(p, result);
}

/* ---- the user's messages --------------------------------------------------------------------- */

static void user_part(struct put *p, const struct part *part)
{
    if (is_medium(part))
        medium_put(p, part);
    else if (part->kind == PART_DOCUMENT)
        document_put(p, part);
    else if (part->kind == PART_TEXT && !text_blank(part->text))
        text_put(p, part->text);
}

/* Results in the order of their calls, then the rest in its own. */
static void user_put(struct put *p, const struct talk_message *before, const struct talk_message *m)
{
    struct map calls, results;
    struct turn *at = before->first;
    assert(m->role == ROLE_USER);
    map_init(&calls);
    map_init(&results);
    talk_map(before, PART_CALL, &calls);
    talk_map(m, PART_RESULT, &results);
    for (struct part *call = NULL; (call = talk_part(before, &at, call)) != NULL;) {
        if (call->kind != PART_CALL)
            continue;
        const struct part *result = map_get(&results, call->id);
        if (result != NULL)
            result_put(p, call, result);
        else
            result_missing(p, call);
    }
    at = m->first;
    for (struct part *part = NULL; (part = talk_part(m, &at, part)) != NULL;) {
        bool told = part->kind == PART_RESULT && map_get(&calls, part->id) != NULL &&
                    map_get(&results, part->id) == part;
        if (part->kind != PART_RESULT)
            user_part(p, part);
        else if (!told)
            orphan_put(p, part);
        else if (!is_new(p))
            result_media(p, part);
    }
    map_free(&calls);
    map_free(&results);
}

/* ---- the model's messages -------------------------------------------------------------------- */

/* The part behind a thinking that its signature belongs to: the first call up to the next one that
 * is signed, else the first text. */
static const struct part *carrier_of(const struct talk_message *m, struct turn *at,
                                     struct part *thinking)
{
    const struct part *text = NULL;
    assert(thinking->kind == PART_THINKING && gemini_signed(thinking->signature));
    for (struct part *part = thinking; (part = talk_part(m, &at, part)) != NULL;) {
        if (part->kind == PART_CALL)
            return part;
        if (part->kind == PART_THINKING && gemini_signed(part->signature))
            break;
        if (text == NULL && part->kind == PART_TEXT && !text_blank(part->text))
            text = part;
    }
    return text;
}

static void sign_put(struct put *p, struct slice sign)
{
    struct buf wire;
    buf_init(&wire, sign.n + 16);
    assert(gemini_signed(sign));
    fail(p, gemini_sign_write(sign, &wire), "");
    jw_kstr(&p->w, "thoughtSignature", buf_slice(&wire));
    buf_free(&wire);
}

static void thinking_put(struct put *p, const struct talk_message *m, struct turn *at,
                         struct part *part)
{
    bool given = p->signed_before == part;
    const struct part *carrier = given ? NULL : carrier_of(m, at, part);
    if (carrier != NULL) {
        p->carrier = carrier;
        p->signer = part;
    }
    assert(carrier == NULL || carrier->kind == PART_CALL || carrier->kind == PART_TEXT);
    if (part->text.n == 0 && (given || carrier != NULL))
        return;
    jw_obj(&p->w);
    jw_kstr(&p->w, "text", part->text);
    if (part->text.n > 0)
        jw_kbool(&p->w, "thought", true);
    if (!given && carrier == NULL) /* it stands alone */
        sign_put(p, part->signature);
    jw_end_obj(&p->w);
}

/* The signed thinking behind a text whose signature stood on that text: nothing follows it that
 * could have carried it. */
static struct part *signer_behind(const struct talk_message *m, struct turn *at, struct part *text)
{
    struct part *next = talk_part(m, &at, text);
    assert(text->kind == PART_TEXT);
    if (next == NULL || next->kind != PART_THINKING || !gemini_signed(next->signature) ||
        next->text.n > 0)
        return NULL;
    return carrier_of(m, at, next) == NULL ? next : NULL;
}

static void model_text(struct put *p, const struct talk_message *m, struct turn *at,
                       struct part *part)
{
    struct part *behind = p->carrier == part ? NULL : signer_behind(m, at, part);
    jw_obj(&p->w);
    jw_kstr(&p->w, "text", part->text);
    if (p->carrier == part)
        sign_put(p, p->signer->signature);
    if (behind != NULL) {
        sign_put(p, behind->signature);
        p->signed_before = behind;
    }
    jw_end_obj(&p->w);
}

static void call_put(struct put *p, const struct part *part)
{
    struct jw *w = &p->w;
    assert(part->kind == PART_CALL && (p->carrier != part || p->signer != NULL));
    buf_clear(&p->text);
    fail(p, call_input(part->text, &p->text), "");
    jw_obj(w);
    jw_key(w, "functionCall");
    jw_obj(w);
    if (part->id.n > 0)
        jw_kstr(w, "id", part->id);
    jw_kstr(w, "name", names_put(p->names, part->name, NAME_LEN));
    jw_key(w, "args");
    jw_raw(w, buf_slice(&p->text));
    jw_end_obj(w);
    if (p->carrier == part)
        sign_put(p, p->signer->signature);
    else if (p->first_call && is_new(p))
        jw_kcstr(w, "thoughtSignature", GEMINI_UNSIGNED);
    p->first_call = false;
    jw_end_obj(w);
}

static void model_put(struct put *p, const struct talk_message *m)
{
    struct turn *at = m->first;
    assert(m->role == ROLE_ASSISTANT);
    p->first_call = true;
    p->carrier = p->signer = p->signed_before = NULL;
    for (struct part *part = NULL; (part = talk_part(m, &at, part)) != NULL;) {
        if (!part_counts(ROLE_ASSISTANT, part))
            continue;
        if (part->kind == PART_THINKING)
            thinking_put(p, m, at, part);
        else if (part->kind == PART_CALL)
            call_put(p, part);
        else
            model_text(p, m, at, part);
    }
}

/* ---- contents -------------------------------------------------------------------------------- */

static void content_open(struct put *p, enum role role)
{
    jw_obj(&p->w);
    jw_kcstr(&p->w, "role", role == ROLE_USER ? "user" : "model");
    jw_key(&p->w, "parts");
    jw_arr(&p->w);
}

static void content_close(struct put *p)
{
    jw_end_arr(&p->w);
    jw_end_obj(&p->w);
}

static void filler_put(struct put *p, struct slice text)
{
    content_open(p, ROLE_USER);
    text_put(p, text);
    content_close(p);
}

/* The last word must be the user's. */
static void last_word(struct put *p, const struct talk_message *last)
{
    static const struct talk_message nothing = {.role = ROLE_USER};
    struct turn *at = last->first;
    for (struct part *part = NULL; (part = talk_part(last, &at, part)) != NULL;) {
        if (part->kind != PART_CALL)
            continue;
        content_open(p, ROLE_USER);
        user_put(p, last, &nothing);
        content_close(p);
        return;
    }
    filler_put(p, S("Continue."));
}

static void contents_put(struct put *p)
{
    struct talk_message before = {.role = ROLE_USER}, m;
    bool any = talk_next(p->a->turns, part_counts, &m);
    jw_key(&p->w, "contents");
    jw_arr(&p->w);
    if (!any || m.role != ROLE_USER)
        filler_put(p, S("."));
    for (; any && p->err == OK; any = talk_next(m.end, part_counts, &m)) {
        content_open(p, m.role);
        if (m.role == ROLE_USER)
            user_put(p, &before, &m);
        else
            model_put(p, &m);
        content_close(p);
        before = m;
    }
    if (p->err == OK && before.role == ROLE_ASSISTANT)
        last_word(p, &before);
    jw_end_arr(&p->w);
}

/* ---- the system instruction ------------------------------------------------------------------ */

/* Claude Code's own line changes with each call: it would spoil a prefix cache. */
static bool is_instruction(const struct turn *t, const struct part *part)
{
    return t->role == ROLE_SYSTEM && part->kind == PART_TEXT && !text_blank(part->text) &&
           !slice_starts(part->text, S("x-anthropic-billing-header:"));
}

static void system_put(struct put *p)
{
    bool any = false, hint = gemini_format_is_hint(p->a, p->generation);
    for (const struct turn *t = p->a->turns; t != NULL; t = t->next) {
        for (const struct part *part = t->parts; part != NULL; part = part->next)
            any = any || is_instruction(t, part);
    }
    if (!any && !hint)
        return;
    jw_key(&p->w, "systemInstruction");
    jw_obj(&p->w);
    jw_key(&p->w, "parts");
    jw_arr(&p->w);
    for (const struct turn *t = p->a->turns; t != NULL; t = t->next) {
        for (const struct part *part = t->parts; part != NULL; part = part->next) {
            if (is_instruction(t, part))
                text_put(p, part->text);
        }
    }
    if (hint) {
        buf_clear(&p->text);
        fail(p, format_hint(p->a, &p->text), "");
        text_put(p, buf_slice(&p->text));
    }
    jw_end_arr(&p->w);
    jw_end_obj(&p->w);
}

/* ---- tools ----------------------------------------------------------------------------------- */

static bool is_function(const struct tool *t)
{
    return t->other.n == 0 && t->name.n > 0;
}

/* Does an object's schema name any member? The subset must not be told of an object without. */
static bool has_properties(struct slice schema)
{
    struct span v, first;
    struct json_scan s;
    struct slice key;
    if (!span_member(schema, S("properties"), &v))
        return false;
    json_scan_init(&s, span_slice(schema, v));
    return json_scan_next(&s, &key, &first) == OK;
}

static void schema_put(struct put *p, struct slice schema)
{
    bool modern = p->generation <= 0 || p->generation >= 25;
    if (schema.n == 0 || (!modern && !has_properties(schema)))
        return;
    buf_clear(&p->text);
    enum err e = modern ? gemini_schema_bare(schema, &p->text)
                        : gemini_schema_cut(schema, &p->text);
    fail(p, e, "tools: a schema is not valid JSON");
    jw_key(&p->w, modern ? "parametersJsonSchema" : "parameters");
    jw_raw(&p->w, buf_slice(&p->text));
}

static void function_put(struct put *p, const struct tool *t)
{
    jw_obj(&p->w);
    jw_kstr(&p->w, "name", names_put(p->names, t->name, NAME_LEN));
    if (t->description.n > 0)
        jw_kstr(&p->w, "description", t->description);
    schema_put(p, t->schema);
    jw_end_obj(&p->w);
}

static void choice_put(struct put *p, bool named)
{
    static const char *const modes[] = {
        [CHOICE_AUTO] = "AUTO", [CHOICE_ANY] = "ANY", [CHOICE_NONE] = "NONE", [CHOICE_ONE] = "ANY"};
    struct jw *w = &p->w;
    enum tool_choice choice = p->a->choice;
    assert((int)choice >= CHOICE_UNSET && choice <= CHOICE_ONE);
    if (choice == CHOICE_UNSET || (choice == CHOICE_ONE && !named))
        return;
    jw_key(w, "toolConfig");
    jw_obj(w);
    jw_key(w, "functionCallingConfig");
    jw_obj(w);
    jw_kcstr(w, "mode", modes[choice]);
    if (choice == CHOICE_ONE) {
        jw_key(w, "allowedFunctionNames");
        jw_arr(w);
        jw_str(w, names_put(p->names, p->a->choice_name, NAME_LEN));
        jw_end_arr(w);
    }
    jw_end_obj(w);
    jw_end_obj(w);
}

static void tools_put(struct put *p)
{
    bool any = false, named = false;
    for (const struct tool *t = p->a->tools; t != NULL; t = t->next) {
        any = any || is_function(t);
        named = named || (is_function(t) && slice_eq(t->name, p->a->choice_name));
    }
    if (!any)
        return;
    jw_key(&p->w, "tools");
    jw_arr(&p->w);
    jw_obj(&p->w);
    jw_key(&p->w, "functionDeclarations");
    jw_arr(&p->w);
    for (const struct tool *t = p->a->tools; t != NULL; t = t->next) {
        if (is_function(t))
            function_put(p, t);
    }
    jw_end_arr(&p->w);
    jw_end_obj(&p->w);
    jw_end_arr(&p->w);
    choice_put(p, named);
}

/* ---- the whole ------------------------------------------------------------------------------- */

enum err gemini_ask_write(const struct ask *a, const struct ask_target *t, struct names *names,
                          struct buf *out, const char **why)
{
    struct put p = {.a = a, .t = t, .names = names, .why = ""};
    p.generation = gemini_generation(t->model.n > 0 ? t->model : a->model);
    buf_init(&p.text, TEXT_MAX);
    jw_init(&p.w, out);
    jw_obj(&p.w); /* the model and whether it streams are told by the path */
    system_put(&p);
    contents_put(&p);
    tools_put(&p);
    gemini_settings_put(&p.w, a, t);
    jw_end_obj(&p.w);
    fail(&p, p.w.err, "");
    assert(p.err != OK || p.w.depth == 0); /* what was opened has been closed */
    buf_free(&p.text);
    *why = p.why;
    return p.err;
}
