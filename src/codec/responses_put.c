/* Requests in the Responses dialect, written.
 * Facts: wire/openai.md section 7, wire/translate-anthropic-openai.md A.
 *
 * Dropped, for the dialect cannot say it:
 *   stop sequences, top_k, seed, penalties; cache breakpoints; thinking that was signed elsewhere
 *   or not at all, for it would be refused; audio in results; tools of another dialect's own and a
 *   choice of one;
 *   parts of another dialect's own; a last message of the assistant (a prefill), which is taken for
 *   history here; `strict` of a schema that breaks the rules of strictness; "$schema".
 * Said in other words:
 *   a failed result begins with "Error: "; results without a call become text; calls without a
 *   result get one that says so.
 * Refused: images and documents that only have another provider's file id. */
#include "codec/responses.h"
#include "codec/results.h"

#include <math.h>
#include <string.h>

#define NAME_LEN   64
#define ID_LEN     64
#define TOKENS_MIN 16 /* fewer are refused */
#define TEXT_MAX   ((size_t)256 << 20)

struct put {
    const struct ask *a;
    const struct ask_target *t;
    struct names *names;
    struct jw w;
    enum err err;
    const char *why;
    struct results results;
    struct buf text; /* for joining */
    bool any_user;
    bool message; /* a message is being written: its content is open */
};

static void fail(struct put *p, enum err e, const char *why)
{
    assert(why != NULL);
    if (e == OK || p->err != OK)
        return;
    p->err = e;
    p->why = why;
}

static void text_add(struct put *p, struct slice s)
{
    fail(p, buf_puts(&p->text, s), "");
}

/* ---- parts ----------------------------------------------------------------------------------- */

static void text_put(struct put *p, const char *type, struct slice text)
{
    struct jw *w = &p->w;
    jw_obj(w);
    jw_kcstr(w, "type", type);
    jw_kstr(w, "text", text);
    jw_end_obj(w);
}

static void data_put(struct put *p, const char *key, const struct part *one, struct slice media)
{
    buf_clear(&p->text);
    text_add(p, S("data:"));
    text_add(p, one->media.n > 0 ? one->media : media);
    text_add(p, S(";base64,"));
    text_add(p, one->data);
    jw_kstr(&p->w, key, buf_slice(&p->text));
}

static void image_put(struct put *p, const struct part *one)
{
    struct jw *w = &p->w;
    if (one->data.n == 0 && one->url.n == 0)
        fail(p, ERR_UNSUPPORTED,
             "messages: an image by its file id is known to another provider only");
    if (one->data.n == 0 && p->t->no_images_by_url)
        fail(p, ERR_UNSUPPORTED,
             "messages: this model takes images by their data only, not by URL");
    jw_kcstr(w, "type", "input_image");
    jw_kcstr(w, "detail", "auto");
    if (one->data.n > 0)
        data_put(p, "image_url", one, S("image/png"));
    else
        jw_kstr(w, "image_url", one->url);
}

static void file_put(struct put *p, const struct part *one)
{
    struct jw *w = &p->w;
    if (one->data.n == 0 && one->url.n == 0)
        fail(p, ERR_UNSUPPORTED,
             "messages: a document by its file id is known to another provider only");
    jw_kcstr(w, "type", "input_file");
    if (one->data.n == 0) {
        jw_kstr(w, "file_url", one->url);
        return;
    }
    jw_kstr(w, "filename", one->name.n > 0 ? one->name : S("document.pdf"));
    data_put(p, "file_data", one, S("application/pdf"));
}

static void audio_put(struct put *p, const struct part *one)
{
    struct jw *w = &p->w;
    struct slice format = one->media;
    if (slice_eq(format, S("audio/mpeg")))
        format = S("mp3");
    else if (slice_starts(format, S("audio/")))
        format = slice_sub(format, sizeof "audio/" - 1, format.n);
    if (one->data.n == 0)
        fail(p, ERR_UNSUPPORTED, "messages: audio can be given by its data only");
    jw_kcstr(w, "type", "input_audio");
    jw_key(w, "input_audio");
    jw_obj(w);
    jw_kstr(w, "data", one->data);
    jw_kstr(w, "format", format.n > 0 ? format : S("wav"));
    jw_end_obj(w);
}

static bool is_text_document(const struct part *one)
{
    return one->kind == PART_DOCUMENT && one->data.n == 0 && one->url.n == 0 && one->file.n == 0;
}

/* A part of what the user says, or of what a call gave. */
static void input_put(struct put *p, const struct part *one)
{
    if (one->kind == PART_TEXT || is_text_document(one)) {
        buf_clear(&p->text);
        if (one->kind == PART_DOCUMENT && one->name.n > 0) {
            text_add(p, one->name);
            text_add(p, S("\n"));
        }
        text_add(p, one->text);
        if (p->text.len > 0)
            text_put(p, "input_text", buf_slice(&p->text));
        return;
    }
    if (one->kind != PART_IMAGE && one->kind != PART_DOCUMENT && one->kind != PART_AUDIO)
        return;
    jw_obj(&p->w);
    if (one->kind == PART_IMAGE)
        image_put(p, one);
    else if (one->kind == PART_AUDIO)
        audio_put(p, one);
    else
        file_put(p, one);
    jw_end_obj(&p->w);
}

/* ---- messages -------------------------------------------------------------------------------- */

static void message_open(struct put *p, const char *role)
{
    if (p->message)
        return;
    p->message = true;
    jw_obj(&p->w);
    jw_kcstr(&p->w, "type", "message");
    jw_kcstr(&p->w, "role", role);
    jw_key(&p->w, "content");
    jw_arr(&p->w);
}

static void message_close(struct put *p)
{
    if (!p->message)
        return;
    p->message = false;
    jw_end_arr(&p->w);
    jw_end_obj(&p->w);
}

/* Longer ids are refused: made anew from the old one, the same each time. */
static void id_put(struct put *p, struct slice id)
{
    char made[32];
    if (id.n > 0 && id.n <= ID_LEN) {
        jw_kstr(&p->w, "call_id", id);
        return;
    }
    (void)text_format(made, sizeof made, "call_%016" PRIx64, hash_stable(3, id));
    jw_kcstr(&p->w, "call_id", made);
}

/* ---- results --------------------------------------------------------------------------------- */

static bool is_words(const struct part *one)
{
    return one->kind == PART_TEXT || is_text_document(one) || one->kind == PART_OTHER ||
           one->kind == PART_AUDIO;
}

/* One text, where there is nothing else. */
static void result_text(struct put *p, const struct part *result)
{
    buf_clear(&p->text);
    if (result->error)
        text_add(p, S("Error: "));
    size_t front = p->text.len;
    for (const struct part *one = result->inner; one != NULL; one = one->next) {
        if ((one->kind != PART_TEXT && one->kind != PART_DOCUMENT) || one->text.n == 0)
            continue;
        if (p->text.len > front)
            text_add(p, S("\n"));
        text_add(p, one->text);
    }
}

static void result_output(struct put *p, const struct part *result)
{
    bool words = true;
    jw_key(&p->w, "output");
    for (const struct part *one = result->inner; one != NULL; one = one->next)
        words = words && is_words(one);
    if (words) {
        result_text(p, result);
        jw_str(&p->w, buf_slice(&p->text));
        return;
    }
    jw_arr(&p->w);
    if (result->error)
        text_put(p, "input_text", S("Error:"));
    for (const struct part *one = result->inner; one != NULL; one = one->next) {
        if (one->kind != PART_AUDIO)
            input_put(p, one);
    }
    jw_end_arr(&p->w);
}

static void result_put(struct put *p, const struct part *call, int turn)
{
    const struct part *result = results_take(&p->results, call->id, turn);
    assert(call->kind == PART_CALL && !p->message);
    jw_obj(&p->w);
    jw_kcstr(&p->w, "type", "function_call_output");
    id_put(p, call->id);
    if (result != NULL)
        result_output(p, result);
    else
        jw_kcstr(&p->w, "output", "No result");
    jw_end_obj(&p->w);
}

/* A result whose call is not there any more: the user tells it. */
static void orphan_put(struct put *p, const struct part *result)
{
    assert(result->kind == PART_RESULT && p->message);
    text_put(p, "input_text", S("Result of an earlier tool call:"));
    result_text(p, result);
    if (p->text.len > 0)
        text_put(p, "input_text", buf_slice(&p->text));
    for (const struct part *one = result->inner; one != NULL; one = one->next) {
        if (!is_words(one))
            input_put(p, one);
    }
}

/* ---- turns ----------------------------------------------------------------------------------- */

static bool says_anything(const struct part *one)
{
    switch (one->kind) {
    case PART_TEXT:
        return one->text.n > 0;
    case PART_DOCUMENT:
        return !is_text_document(one) || one->text.n > 0 || one->name.n > 0;
    case PART_IMAGE:
    case PART_AUDIO:
    case PART_RESULT:
        return true;
    case PART_THINKING:
    case PART_REDACTED:
    case PART_CALL:
    case PART_OTHER:
        break;
    }
    return false;
}

static void user_put(struct put *p, const struct turn *t)
{
    assert(t->role == ROLE_USER && !p->message);
    for (const struct part *one = t->parts; one != NULL; one = one->next) {
        if (one->kind == PART_RESULT && results_met(&p->results))
            continue;
        if (!says_anything(one))
            continue;
        message_open(p, "user");
        p->any_user = true;
        if (one->kind == PART_RESULT)
            orphan_put(p, one);
        else
            input_put(p, one);
    }
    message_close(p);
}

static void system_join(struct put *p, const struct turn *t)
{
    for (const struct part *one = t->parts; one != NULL; one = one->next) {
        /* Claude Code's own line changes with each call: it would spoil a prefix cache. */
        if (one->kind != PART_TEXT || one->text.n == 0 ||
            slice_starts(one->text, S("x-anthropic-billing-header:")))
            continue;
        if (p->text.len > 0)
            text_add(p, S("\n\n"));
        text_add(p, one->text);
    }
}

static void system_put(struct put *p, const struct turn *t)
{
    bool users = p->t->first_system_only;
    assert(t->role == ROLE_SYSTEM && !p->message);
    buf_clear(&p->text);
    if (users)
        text_add(p, S("<system-reminder>\n"));
    size_t front = p->text.len;
    system_join(p, t);
    if (p->text.len == front)
        return;
    if (users)
        text_add(p, S("\n</system-reminder>"));
    message_open(p, users ? "user" : "developer");
    text_put(p, "input_text", buf_slice(&p->text));
    message_close(p);
}

/* Thinking is refused without what came of it. */
static bool led_to_anything(const struct part *thinking)
{
    for (const struct part *one = thinking->next; one != NULL; one = one->next) {
        if (one->kind == PART_CALL || (one->kind == PART_TEXT && one->text.n > 0))
            return true;
    }
    return false;
}

/* Only what this dialect has thought itself; its own words are not read again, but its code is. */
static void reasoning_put(struct put *p, const struct part *one)
{
    struct jw *w = &p->w;
    struct slice code = one->signature;
    assert(one->kind == PART_THINKING);
    if (!sign_take(&code, S(SIGN_OURS)) || code.n == 0 || !led_to_anything(one))
        return;
    message_close(p);
    jw_obj(w);
    jw_kcstr(w, "type", "reasoning");
    jw_key(w, "summary");
    jw_arr(w);
    if (one->text.n > 0)
        text_put(p, "summary_text", one->text);
    jw_end_arr(w);
    jw_kstr(w, "encrypted_content", code);
    jw_end_obj(w);
}

static void call_put(struct put *p, const struct part *call)
{
    struct jw *w = &p->w;
    assert(call->kind == PART_CALL);
    message_close(p);
    jw_obj(w);
    jw_kcstr(w, "type", "function_call");
    id_put(p, call->id);
    jw_kstr(w, "name", names_put(p->names, call->name, NAME_LEN));
    jw_kstr(w, "arguments", call->text.n > 0 ? call->text : S("{}"));
    jw_end_obj(w);
}

static void assistant_part(struct put *p, const struct part *one)
{
    if (one->kind == PART_CALL) {
        call_put(p, one);
    } else if (one->kind == PART_THINKING) {
        reasoning_put(p, one);
    } else if (one->kind == PART_TEXT && one->text.n > 0) {
        message_open(p, "assistant");
        text_put(p, "output_text", one->text);
    }
}

/* Neighbouring turns of the assistant, and the results of their calls. */
static const struct turn *assistant_turns(struct put *p, const struct turn *t, int *turn)
{
    const struct turn *from = t;
    int first = *turn, calls = 0;
    assert(t != NULL && t->role == ROLE_ASSISTANT && !p->message);
    for (; t != NULL && t->role == ROLE_ASSISTANT; t = t->next, ++*turn) {
        for (const struct part *one = t->parts; one != NULL; one = one->next)
            calls += one->kind == PART_CALL;
    }
    if (t == NULL && calls == 0 && p->any_user)
        return NULL; /* a prefill */
    for (const struct turn *one = from; one != t; one = one->next) {
        for (const struct part *part = one->parts; part != NULL; part = part->next)
            assistant_part(p, part);
        message_close(p);
    }
    for (const struct turn *one = from; one != t; one = one->next, first++) {
        for (const struct part *part = one->parts; part != NULL; part = part->next) {
            if (part->kind == PART_CALL)
                result_put(p, part, first);
        }
    }
    return t;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* System turns at the front are instructions. */
static const struct turn *instructions_put(struct put *p, int *turn)
{
    const struct turn *t = p->a->turns;
    buf_clear(&p->text);
    for (; t != NULL && t->role == ROLE_SYSTEM; t = t->next, ++*turn)
        system_join(p, t);
    if (p->text.len > 0)
        jw_kstr(&p->w, "instructions", buf_slice(&p->text));
    return t;
}

static void input_items(struct put *p)
{
    int turn = 0;
    const struct turn *t = instructions_put(p, &turn);
    jw_key(&p->w, "input");
    jw_arr(&p->w);
    while (t != NULL && p->err == OK && p->w.err == OK) {
        if (t->role == ROLE_ASSISTANT) {
            t = assistant_turns(p, t, &turn);
            continue;
        }
        if (t->role == ROLE_USER)
            user_put(p, t);
        else
            system_put(p, t);
        t = t->next;
        turn++;
    }
    assert(!p->message);
    assert(p->err != OK || p->w.err != OK || p->results.at == p->results.n);
    jw_end_arr(&p->w);
}

static bool is_function(const struct tool *t)
{
    return t->other.n == 0 && t->name.n > 0;
}

static void choice_put(struct put *p, bool named)
{
    static const char *const words[] = {
        [CHOICE_AUTO] = "auto", [CHOICE_ANY] = "required", [CHOICE_NONE] = "none"};
    struct jw *w = &p->w;
    if (p->a->choice == CHOICE_UNSET || (p->a->choice == CHOICE_ONE && !named))
        return;
    jw_key(w, "tool_choice");
    if (p->a->choice != CHOICE_ONE) {
        jw_cstr(w, words[p->a->choice]);
        return;
    }
    jw_obj(w);
    jw_kcstr(w, "type", "function");
    jw_kstr(w, "name", names_put(p->names, p->a->choice_name, NAME_LEN));
    jw_end_obj(w);
}

/* `strict` is always told: left out, it would be true. */
static void tool_put(struct put *p, const struct tool *t)
{
    struct jw *w = &p->w;
    assert(is_function(t));
    jw_obj(w);
    jw_kcstr(w, "type", "function");
    jw_kstr(w, "name", names_put(p->names, t->name, NAME_LEN));
    if (t->description.n > 0)
        jw_kstr(w, "description", t->description);
    openai_schema_put(w, "parameters", t->schema);
    jw_kbool(w, "strict", t->strict && openai_schema_strict(t->schema));
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
    for (const struct tool *t = p->a->tools; t != NULL; t = t->next) {
        if (is_function(t))
            tool_put(p, t);
    }
    jw_end_arr(&p->w);
    choice_put(p, named);
    if (p->a->parallel == 0)
        jw_kbool(&p->w, "parallel_tool_calls", false);
}

static void format_put(struct put *p)
{
    const struct ask *a = p->a;
    struct jw *w = &p->w;
    if (a->format == FORMAT_UNSET)
        return;
    jw_key(w, "text");
    jw_obj(w);
    jw_key(w, "format");
    jw_obj(w);
    jw_kcstr(w, "type", a->format == FORMAT_JSON ? "json_object" : "json_schema");
    if (a->format == FORMAT_SCHEMA) {
        jw_kstr(w, "name", a->schema_name.n > 0 ? a->schema_name : S("output"));
        jw_key(w, "schema");
        jw_raw(w, a->schema);
        jw_kbool(w, "strict", a->schema_strict && openai_schema_strict(a->schema));
    }
    jw_end_obj(w);
    jw_end_obj(w);
}

/* Thinking comes back in the next turn, and only by its code: nothing is kept for us there. */
static void reasoning_config_put(struct put *p)
{
    struct jw *w = &p->w;
    enum effort effort = openai_effort(p->a, p->t);
    bool thinks = effort > EFFORT_NONE;
    if (effort != EFFORT_UNSET) {
        jw_key(w, "reasoning");
        jw_obj(w);
        jw_kcstr(w, "effort", effort_name(effort));
        if (thinks && p->a->show_thinking)
            jw_kcstr(w, "summary", "auto");
        jw_end_obj(w);
    }
    if (!thinks && !p->a->logprobs)
        return;
    jw_key(w, "include");
    jw_arr(w);
    if (thinks)
        jw_cstr(w, "reasoning.encrypted_content");
    if (p->a->logprobs)
        jw_cstr(w, "message.output_text.logprobs");
    jw_end_arr(w);
    if (p->a->logprobs && p->a->top_logprobs >= 0)
        jw_ki64(w, "top_logprobs", p->a->top_logprobs);
}

static void settings_put(struct put *p)
{
    const struct ask *a = p->a;
    struct jw *w = &p->w;
    jw_kbool(w, "store", false); /* nobody could name it later */
    if (a->max_tokens >= 0)
        jw_ki64(w, "max_output_tokens", a->max_tokens > TOKENS_MIN ? a->max_tokens : TOKENS_MIN);
    if (a->stream)
        jw_kbool(w, "stream", true);
    if (!isnan(a->temperature) && !p->t->no_temperature)
        jw_kf64(w, "temperature", a->temperature);
    if (!isnan(a->top_p) && !p->t->no_temperature)
        jw_kf64(w, "top_p", a->top_p);
    tools_put(p);
    format_put(p);
    reasoning_config_put(p);
    openai_user_put(w, a->user);
}

enum err responses_ask_write(const struct ask *a, const struct ask_target *t, struct names *names,
                             struct buf *out, const char **why)
{
    struct put p = {.a = a, .t = t, .names = names, .why = ""};
    buf_init(&p.text, TEXT_MAX);
    jw_init(&p.w, out);
    fail(&p, results_read(&p.results, a), "");
    jw_obj(&p.w);
    if (!t->body_has_no_model)
        jw_kstr(&p.w, "model", t->model.n > 0 ? t->model : a->model);
    if (p.err == OK)
        input_items(&p);
    settings_put(&p);
    jw_end_obj(&p.w);
    fail(&p, p.w.err, "");
    results_free(&p.results);
    buf_free(&p.text);
    assert(p.err != OK || p.w.depth == 0);
    *why = p.why;
    return p.err;
}
