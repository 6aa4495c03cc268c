/* Requests in the Ollama dialect, written (/api/chat). Facts: wire/ollama.md.
 *
 * Dropped, for the dialect cannot say it:
 *   cache breakpoints; `user`; `strict`; a refusal of parallel calls; signatures and redacted
 *   thinking; tools and parts of another dialect's own; a last message of the assistant (a
 * prefill). Said in other words: system messages, wherever they stood, are the first message; a
 * forced call is an instruction, and where no call is wanted no tool is told; a failed result
 * begins with "Error: "; images of results follow in a user message; results without a call become
 * text, calls without a result get one that says so. Refused: images but by their data, documents
 * but by their text, audio. */
#include "codec/ollama.h"
#include "codec/openai.h"
#include "codec/talk.h"

#include <math.h>
#include <string.h>

#define NAME_LEN 64
#define TEXT_MAX ((size_t)256 << 20)

struct put {
    const struct ask *a;
    const struct ask_target *t;
    struct names *names;
    struct jw w;
    enum err err;
    const char *why;
    struct buf text;
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

/* Text behind other text, with `between` if there is any. */
static void text_join(struct put *p, const char *between, struct slice s)
{
    if (s.n == 0)
        return;
    if (p->text.len > 0)
        text_add(p, slice_of(between));
    text_add(p, s);
}

/* ---- what counts ----------------------------------------------------------------------------- */

static bool part_counts(enum role role, const struct part *part)
{
    switch (part->kind) {
    case PART_TEXT:
        return part->text.n > 0;
    case PART_CALL:
        return role == ROLE_ASSISTANT;
    case PART_IMAGE:
    case PART_DOCUMENT:
    case PART_AUDIO:
    case PART_RESULT:
        return role == ROLE_USER;
    case PART_THINKING: /* goes along, but is no message of its own */
    case PART_REDACTED:
    case PART_OTHER:
        break;
    }
    return false;
}

/* The data of an image; "" for any other part. What cannot be told ends the request. */
static struct slice image_data(struct put *p, const struct part *part)
{
    struct slice media = part->media, data = part->data;
    bool told = part->data.n > 0 || part->url.n > 0 || part->file.n > 0;
    if (part->kind == PART_AUDIO)
        fail(p, ERR_UNSUPPORTED, "messages: this provider takes no audio");
    if (part->kind == PART_DOCUMENT && told)
        fail(p, ERR_UNSUPPORTED, "messages: this provider takes documents by their text only");
    if (part->kind != PART_IMAGE)
        return S("");
    if (data.n == 0)
        (void)data_url(part->url, &media, &data);
    if (data.n == 0)
        fail(p, ERR_UNSUPPORTED,
             "messages: images: this provider takes them by their data (base64) only, not by URL");
    return data;
}

/* ---- messages -------------------------------------------------------------------------------- */

static void message_open(struct put *p, const char *role, struct slice text)
{
    jw_obj(&p->w);
    jw_kcstr(&p->w, "role", role);
    jw_kstr(&p->w, "content", text);
}

static void message_text(struct put *p, const char *role, struct slice text)
{
    message_open(p, role, text);
    jw_end_obj(&p->w);
}

static void result_join(struct put *p, const struct part *result)
{
    if (result->error)
        text_add(p, S("Error: "));
    size_t front = p->text.len;
    for (const struct part *in = result->inner; in != NULL; in = in->next) {
        struct slice text = in->kind == PART_IMAGE ? S("[image: see below]") : in->text;
        if (in->kind == PART_OTHER || text.n == 0)
            continue;
        if (p->text.len > front)
            text_add(p, S("\n"));
        text_add(p, text);
    }
}

static void result_put(struct put *p, const struct part *call, const struct part *result)
{
    assert(call->kind == PART_CALL);
    buf_clear(&p->text);
    if (result != NULL)
        result_join(p, result);
    else
        text_add(p, S("No result"));
    message_open(p, "tool", buf_slice(&p->text));
    jw_kstr(&p->w, "tool_name", names_put(p->names, call->name, NAME_LEN));
    if (call->id.n > 0)
        jw_kstr(&p->w, "tool_call_id", call->id);
    jw_end_obj(&p->w);
}

/* A walk over what a user's message shows: its own parts, and what results hold that is no text.
 * `each` is called for every part of them. */
struct shown {
    struct put *p;
    const struct map *calls, *results; /* by their ids */
    bool any_image;
};

static bool is_told(const struct shown *s, const struct part *result)
{
    return map_get(s->calls, result->id) != NULL && map_get(s->results, result->id) == result;
}

static void shown_text(struct shown *s, const struct part *part)
{
    if (part->kind == PART_TEXT || part->kind == PART_DOCUMENT) {
        if (part->kind == PART_DOCUMENT)
            text_join(s->p, "\n\n", part->name);
        text_join(s->p, part->name.n > 0 ? "\n" : "\n\n", part->text);
    } else if (part->kind == PART_RESULT && !is_told(s, part)) {
        text_join(s->p, "\n\n", S("Result of an earlier tool call:\n"));
        result_join(s->p, part);
    }
}

static void shown_image(struct shown *s, const struct part *part)
{
    struct slice data = image_data(s->p, part);
    if (data.n == 0)
        return;
    if (!s->any_image) {
        jw_key(&s->p->w, "images");
        jw_arr(&s->p->w);
    }
    s->any_image = true;
    jw_str(&s->p->w, data);
}

static bool has_image(const struct part *part)
{
    bool image = part->kind == PART_IMAGE || part->kind == PART_AUDIO;
    for (const struct part *in = part->inner; in != NULL && !image; in = in->next)
        image = in->kind != PART_TEXT;
    return image || (part->kind == PART_DOCUMENT && part->data.n > 0);
}

static void shown_put(struct shown *s, const struct talk_message *m)
{
    struct put *p = s->p;
    struct turn *at = m->first;
    bool images = false;
    buf_clear(&p->text);
    for (struct part *part = NULL; (part = talk_part(m, &at, part)) != NULL;) {
        shown_text(s, part);
        images = images || has_image(part);
    }
    if (p->text.len == 0 && !images)
        return;
    message_open(p, "user", buf_slice(&p->text));
    at = m->first;
    for (struct part *part = NULL; (part = talk_part(m, &at, part)) != NULL;) {
        shown_image(s, part);
        for (const struct part *in = part->inner; in != NULL; in = in->next)
            shown_image(s, in);
    }
    if (s->any_image)
        jw_end_arr(&p->w);
    jw_end_obj(&p->w);
}

/* Results in the order of their calls, then one message of all the rest. */
static void user_put(struct put *p, const struct talk_message *before, const struct talk_message *m)
{
    struct map calls, results;
    struct shown s = {.p = p, .calls = &calls, .results = &results};
    struct turn *at = before->first;
    assert(m->role == ROLE_USER);
    map_init(&calls);
    map_init(&results);
    talk_map(before, PART_CALL, &calls);
    talk_map(m, PART_RESULT, &results);
    for (struct part *call = NULL; (call = talk_part(before, &at, call)) != NULL;) {
        if (call->kind == PART_CALL)
            result_put(p, call, map_get(&results, call->id));
    }
    shown_put(&s, m);
    map_free(&calls);
    map_free(&results);
}

static void call_put(struct put *p, const struct part *part)
{
    struct jw *w = &p->w;
    buf_clear(&p->text);
    fail(p, call_input(part->text, &p->text), "");
    jw_obj(w);
    if (part->id.n > 0)
        jw_kstr(w, "id", part->id);
    jw_key(w, "function");
    jw_obj(w);
    jw_kstr(w, "name", names_put(p->names, part->name, NAME_LEN));
    jw_key(w, "arguments");
    jw_raw(w, buf_slice(&p->text));
    jw_end_obj(w);
    jw_end_obj(w);
}

/* Texts of a turn are pieces of one; those of two turns are not. */
static void kind_join(struct put *p, const struct talk_message *m, enum part_kind kind)
{
    struct turn *at = m->first;
    const struct turn *last = NULL;
    buf_clear(&p->text);
    for (struct part *part = NULL; (part = talk_part(m, &at, part)) != NULL;) {
        if (part->kind != kind || part->text.n == 0)
            continue;
        text_join(p, last == at ? "" : "\n\n", part->text);
        last = at;
    }
}

static void assistant_put(struct put *p, const struct talk_message *m)
{
    struct turn *at = m->first;
    bool calls = false;
    assert(m->role == ROLE_ASSISTANT && m->first != NULL);
    kind_join(p, m, PART_TEXT);
    message_open(p, "assistant", buf_slice(&p->text));
    kind_join(p, m, PART_THINKING);
    if (p->text.len > 0)
        jw_kstr(&p->w, "thinking", buf_slice(&p->text));
    for (struct part *part = NULL; (part = talk_part(m, &at, part)) != NULL;) {
        if (part->kind != PART_CALL)
            continue;
        if (!calls) {
            jw_key(&p->w, "tool_calls");
            jw_arr(&p->w);
        }
        calls = true;
        call_put(p, part);
    }
    if (calls)
        jw_end_arr(&p->w);
    jw_end_obj(&p->w);
}

static bool has_calls(const struct talk_message *m)
{
    struct turn *at = m->first;
    for (struct part *part = NULL; (part = talk_part(m, &at, part)) != NULL;) {
        if (part->kind == PART_CALL)
            return true;
    }
    return false;
}

static bool choice_is_hint(const struct ask *a)
{
    return a->tools != NULL && (a->choice == CHOICE_ANY || a->choice == CHOICE_ONE);
}

static void system_put(struct put *p)
{
    buf_clear(&p->text);
    for (const struct turn *t = p->a->turns; t != NULL; t = t->next) {
        for (const struct part *part = t->parts; part != NULL; part = part->next) {
            /* Claude Code's own line changes with each call: it would spoil a prefix cache. */
            if (t->role == ROLE_SYSTEM && part->kind == PART_TEXT &&
                !slice_starts(part->text, S("x-anthropic-billing-header:")))
                text_join(p, "\n\n", part->text);
        }
    }
    if (choice_is_hint(p->a)) {
        bool one = p->a->choice == CHOICE_ONE;
        struct slice name = one ? names_put(p->names, p->a->choice_name, NAME_LEN) : S("");
        if (p->text.len > 0)
            text_add(p, S("\n\n"));
        fail(p, choice_hint(p->a, name, &p->text), "");
    }
    if (p->text.len > 0)
        message_text(p, "system", buf_slice(&p->text));
}

static void messages_put(struct put *p)
{
    static const struct talk_message nothing = {.role = ROLE_USER};
    struct talk_message before = nothing, m;
    bool any = talk_next(p->a->turns, part_counts, &m);
    jw_key(&p->w, "messages");
    jw_arr(&p->w);
    system_put(p);
    for (; any && p->err == OK; any = talk_next(m.end, part_counts, &m)) {
        struct talk_message next;
        bool last = !talk_next(m.end, part_counts, &next);
        if (m.role == ROLE_USER)
            user_put(p, &before, &m);
        else if (!last || has_calls(&m) || before.first == NULL)
            assistant_put(p, &m);
        before = m;
    }
    if (p->err == OK && before.role == ROLE_ASSISTANT && has_calls(&before))
        user_put(p, &before, &nothing);
    jw_end_arr(&p->w);
}

/* ---- tools and settings ---------------------------------------------------------------------- */

static void tool_put(struct put *p, const struct tool *t)
{
    struct jw *w = &p->w;
    jw_obj(w);
    jw_kcstr(w, "type", "function");
    jw_key(w, "function");
    jw_obj(w);
    jw_kstr(w, "name", names_put(p->names, t->name, NAME_LEN));
    if (t->description.n > 0)
        jw_kstr(w, "description", t->description);
    openai_schema_put(w, "parameters", t->schema);
    jw_end_obj(w);
    jw_end_obj(w);
}

/* There is no choice of tools: those that may not be called are not told. */
static void tools_put(struct put *p)
{
    bool any = false;
    for (const struct tool *t = p->a->tools; t != NULL; t = t->next) {
        bool function = t->other.n == 0 && t->name.n > 0;
        if (!function || p->a->choice == CHOICE_NONE)
            continue;
        if (!any) {
            jw_key(&p->w, "tools");
            jw_arr(&p->w);
        }
        any = true;
        tool_put(p, t);
    }
    if (any)
        jw_end_arr(&p->w);
}

/* The others only think or do not; older servers refuse a level for them. */
static bool takes_levels(const struct put *p)
{
    struct slice model = p->t->model.n > 0 ? p->t->model : p->a->model;
    return slice_search(model, S("gpt-oss")) >= 0;
}

static void think_put(struct put *p)
{
    const struct ask *a = p->a;
    enum effort e = a->effort;
    if (a->thinking_budget == 0)
        e = EFFORT_NONE;
    else if (e == EFFORT_UNSET && a->thinking_budget > 0)
        e = effort_of_budget(a->thinking_budget);
    if (e == EFFORT_UNSET || p->t->no_effort)
        return;
    if (!takes_levels(p) || e == EFFORT_NONE)
        jw_kbool(&p->w, "think", e != EFFORT_NONE);
    else
        jw_kcstr(&p->w, "think", e <= EFFORT_LOW ? "low" : e == EFFORT_MEDIUM ? "medium" : "high");
}

static void number_put(struct jw *w, const char *key, double v)
{
    if (isfinite(v))
        jw_kf64(w, key, v);
}

static void stops_put(struct jw *w, const struct ask *a)
{
    if (a->stops == 0)
        return;
    jw_key(w, "stop");
    jw_arr(w);
    for (int i = 0; i < a->stops; i++)
        jw_str(w, a->stop[i]);
    jw_end_arr(w);
}

static void options_put(struct put *p)
{
    const struct ask *a = p->a;
    struct jw w;
    buf_clear(&p->text);
    jw_init(&w, &p->text);
    jw_obj(&w);
    if (p->t->num_ctx > 0)
        jw_ki64(&w, "num_ctx", p->t->num_ctx);
    if (a->max_tokens >= 0)
        jw_ki64(&w, "num_predict", a->max_tokens > 0 ? a->max_tokens : 1);
    if (!p->t->no_temperature) {
        number_put(&w, "temperature", a->temperature);
        number_put(&w, "top_p", a->top_p);
        if (a->top_k > 0)
            jw_ki64(&w, "top_k", a->top_k);
        number_put(&w, "presence_penalty", a->presence_penalty);
        number_put(&w, "frequency_penalty", a->frequency_penalty);
    }
    if (a->seed != -1)
        jw_ki64(&w, "seed", a->seed);
    stops_put(&w, a);
    jw_end_obj(&w);
    assert(w.err != OK || w.depth == 0);
    fail(p, w.err, "");
    if (p->text.len <= sizeof "{}" - 1)
        return;
    jw_key(&p->w, "options");
    jw_raw(&p->w, buf_slice(&p->text));
}

static void format_put(struct put *p)
{
    if (p->a->format == FORMAT_JSON || (p->a->format == FORMAT_SCHEMA && p->a->schema.n == 0)) {
        jw_kcstr(&p->w, "format", "json");
    } else if (p->a->format == FORMAT_SCHEMA) {
        jw_key(&p->w, "format");
        jw_raw(&p->w, p->a->schema);
    }
}

enum err ollama_ask_write(const struct ask *a, const struct ask_target *t, struct names *names,
                          struct buf *out, const char **why)
{
    struct put p = {.a = a, .t = t, .names = names, .why = ""};
    buf_init(&p.text, TEXT_MAX);
    jw_init(&p.w, out);
    jw_obj(&p.w);
    jw_kstr(&p.w, "model", t->model.n > 0 ? t->model : a->model);
    jw_kbool(&p.w, "stream", a->stream); /* who says nothing gets a stream */
    messages_put(&p);
    tools_put(&p);
    format_put(&p);
    think_put(&p);
    options_put(&p);
    if (a->logprobs)
        jw_kbool(&p.w, "logprobs", true);
    if (a->logprobs && a->top_logprobs > 0)
        jw_ki64(&p.w, "top_logprobs", a->top_logprobs);
    jw_end_obj(&p.w);
    fail(&p, p.w.err, "");
    assert(p.err != OK || p.w.depth == 0); /* what was opened has been closed */
    buf_free(&p.text);
    *why = p.why;
    return p.err;
}
