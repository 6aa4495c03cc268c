/* Requests in the Chat Completions dialect, written.
 * Facts: wire/openai.md section 1, wire/translate-anthropic-openai.md A.
 *
 * Dropped, for the dialect cannot say it:
 *   top_k; cache breakpoints; signatures and redacted thinking; thinking of earlier turns, unless
 *   the target wants it (`reasoning_content`); tools of another dialect's own and a choice of one;
 *   parts of another dialect's own; stop sequences past the fourth, and blank ones; a last message
 *   of the assistant (a prefill), which these servers take for history; `strict` of a schema that
 *   breaks the rules of strictness; "$schema".
 * Said in other words:
 *   a failed result begins with "Error: "; images and files of results follow in a user message;
 *   results without a call become text; calls without a result get one that says so; system
 *   messages behind the first turn, where they are refused, become a reminder of the user's.
 * Refused: images and documents that only have another provider's file id, documents by address. */
#include "codec/openai.h"
#include "codec/results.h"

#include <string.h>

#define NAME_LEN 64
#define ID_LEN   40
#define TEXT_MAX ((size_t)256 << 20)

struct put {
    const struct ask *a;
    const struct ask_target *t;
    struct names *names;
    struct jw w;
    enum err err;
    const char *why;
    struct results results;
    const struct part **shown; /* what the next user message is to show */
    size_t shown_n, shown_cap;
    struct buf text; /* for joining */
    bool any_user;
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
static void text_join(struct put *p, struct slice between, struct slice s)
{
    if (s.n == 0)
        return;
    if (p->text.len > 0)
        text_add(p, between);
    text_add(p, s);
}

static struct slice name_put(const struct put *p, struct slice name)
{
    return names_put(p->names, name, NAME_LEN);
}

/* ---- parts ----------------------------------------------------------------------------------- */

static void shown_push(struct put *p, const struct part *one)
{
    if (p->shown_n == p->shown_cap) {
        size_t cap = p->shown_cap == 0 ? 16 : p->shown_cap * 2;
        const struct part **grown = mem_try_grow((void *)p->shown, cap * sizeof *grown);
        if (grown == NULL) {
            fail(p, ERR_NOMEM, "");
            return;
        }
        p->shown = grown;
        p->shown_cap = cap;
    }
    assert(one != NULL && p->shown_n < p->shown_cap);
    p->shown[p->shown_n++] = one;
}

static bool is_text_document(const struct part *one)
{
    return one->kind == PART_DOCUMENT && one->data.n == 0 && one->url.n == 0 && one->file.n == 0;
}

static bool is_medium(const struct part *one)
{
    return one->kind == PART_IMAGE || one->kind == PART_AUDIO ||
           (one->kind == PART_DOCUMENT && !is_text_document(one));
}

/* The text of what a call gave. What a message of role tool cannot hold is shown behind it. */
static void result_join(struct put *p, const struct part *result)
{
    size_t start = p->text.len;
    assert(result->kind == PART_RESULT);
    if (result->error)
        text_add(p, S("Error: "));
    size_t front = p->text.len;
    for (const struct part *one = result->inner; one != NULL; one = one->next) {
        bool medium = is_medium(one);
        struct slice text = medium ? (one->kind == PART_IMAGE ? S("[image: see below]")
                                                              : S("[file: see below]"))
                                   : one->text;
        if (one->kind == PART_OTHER || text.n == 0)
            continue;
        if (p->text.len > front)
            text_add(p, S("\n"));
        text_add(p, text);
        if (medium)
            shown_push(p, one);
    }
    assert(p->err != OK || p->text.len >= start);
}

static void text_of_part(struct put *p, const struct part *one)
{
    switch (one->kind) {
    case PART_TEXT:
        text_join(p, S("\n\n"), one->text);
        break;
    case PART_DOCUMENT:
        text_join(p, S("\n\n"), one->name);
        text_join(p, S("\n"), one->text);
        break;
    case PART_RESULT: /* of a call that is not there any more */
        text_join(p, S("\n\n"), S("Result of an earlier tool call:\n"));
        result_join(p, one);
        break;
    case PART_IMAGE:
    case PART_AUDIO:
    case PART_THINKING:
    case PART_REDACTED:
    case PART_CALL:
    case PART_OTHER:
        break;
    }
}

static void url_put(struct put *p, const struct part *one, struct slice media)
{
    buf_clear(&p->text);
    text_add(p, S("data:"));
    text_add(p, one->media.n > 0 ? one->media : media);
    text_add(p, S(";base64,"));
    text_add(p, one->data);
    jw_str(&p->w, buf_slice(&p->text));
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
    jw_kcstr(w, "type", "image_url");
    jw_key(w, "image_url");
    jw_obj(w);
    jw_key(w, "url");
    if (one->data.n > 0)
        url_put(p, one, S("image/png"));
    else
        jw_str(w, one->url);
    jw_end_obj(w);
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

static void file_put(struct put *p, const struct part *one)
{
    struct jw *w = &p->w;
    if (one->data.n == 0)
        fail(p, ERR_UNSUPPORTED, "messages: a document can be given by its data or text only");
    jw_kcstr(w, "type", "file");
    jw_key(w, "file");
    jw_obj(w);
    jw_kstr(w, "filename", one->name.n > 0 ? one->name : S("document.pdf"));
    jw_key(w, "file_data");
    url_put(p, one, S("application/pdf"));
    jw_end_obj(w);
}

static void medium_put(struct put *p, const struct part *one)
{
    assert(is_medium(one));
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

static void message_text(struct put *p, const char *role, struct slice text)
{
    jw_obj(&p->w);
    jw_kcstr(&p->w, "role", role);
    jw_kstr(&p->w, "content", text);
    jw_end_obj(&p->w);
}

/* Some servers take a string only: parts are for what is no text. */
static void user_parts(struct put *p)
{
    struct jw *w = &p->w;
    jw_obj(w);
    jw_kcstr(w, "role", "user");
    jw_key(w, "content");
    jw_arr(w);
    for (size_t i = 0; i < p->shown_n; i++) { /* results may push more while this walks */
        const struct part *one = p->shown[i];
        if (is_medium(one)) {
            medium_put(p, one);
            continue;
        }
        buf_clear(&p->text);
        text_of_part(p, one);
        if (p->text.len == 0)
            continue;
        jw_obj(w);
        jw_kcstr(w, "type", "text");
        jw_kstr(w, "text", buf_slice(&p->text));
        jw_end_obj(w);
    }
    jw_end_arr(w);
    jw_end_obj(w);
}

static void user_put(struct put *p)
{
    bool media = false;
    buf_clear(&p->text);
    for (size_t i = 0; i < p->shown_n; i++) {
        const struct part *one = p->shown[i];
        media = media || is_medium(one);
        for (const struct part *in = one->kind == PART_RESULT ? one->inner : NULL; in != NULL;
             in = in->next)
            media = media || is_medium(in);
    }
    if (media) {
        user_parts(p);
        p->any_user = true;
    } else {
        for (size_t i = 0; i < p->shown_n; i++)
            text_of_part(p, p->shown[i]);
        if (p->text.len > 0) {
            message_text(p, "user", buf_slice(&p->text));
            p->any_user = true;
        }
    }
    p->shown_n = 0;
}

static void system_join(struct put *p, const struct turn *t)
{
    for (const struct part *one = t->parts; one != NULL; one = one->next) {
        /* Claude Code's own line changes with each call: it would spoil a prefix cache. */
        if (one->kind == PART_TEXT && !slice_starts(one->text, S("x-anthropic-billing-header:")))
            text_join(p, S("\n\n"), one->text);
    }
}

static const struct turn *system_turns(struct put *p, const struct turn *t, int *turn)
{
    assert(t->role == ROLE_SYSTEM);
    user_put(p); /* what results still have to show */
    buf_clear(&p->text);
    for (; t != NULL && t->role == ROLE_SYSTEM; t = t->next, ++*turn)
        system_join(p, t);
    if (p->text.len > 0)
        message_text(p, "system", buf_slice(&p->text));
    return t;
}

/* A system turn where none may stand any more: words within the user's next message. */
static void reminder_push(struct put *p, const struct turn *t)
{
    struct part *made = arena_try(p->a->arena, sizeof *made);
    struct buf b;
    buf_clear(&p->text);
    system_join(p, t);
    if (p->text.len == 0)
        return;
    buf_init(&b, p->text.len + 64);
    fail(p, buf_puts(&b, S("<system-reminder>\n")), "");
    fail(p, buf_puts(&b, buf_slice(&p->text)), "");
    fail(p, buf_puts(&b, S("\n</system-reminder>")), "");
    struct slice text = arena_dup(p->a->arena, buf_slice(&b));
    buf_free(&b);
    if (made == NULL || text.p == NULL) {
        fail(p, ERR_LIMIT, "The request is too large to be translated");
        return;
    }
    *made = (struct part){.kind = PART_TEXT, .text = text};
    shown_push(p, made);
}

/* True for turns that go into a message of the user's. */
static bool is_users(const struct put *p, const struct turn *t, int turn)
{
    return t->role == ROLE_USER || (t->role == ROLE_SYSTEM && turn > 0 && p->t->first_system_only);
}

/* One message of what stands in neighbouring turns of the user. */
static const struct turn *user_turns(struct put *p, const struct turn *t, int *turn)
{
    for (; t != NULL && is_users(p, t, *turn); t = t->next, ++*turn) {
        if (t->role == ROLE_SYSTEM) {
            reminder_push(p, t);
            continue;
        }
        for (const struct part *one = t->parts; one != NULL; one = one->next) {
            if (one->kind != PART_RESULT) {
                shown_push(p, one);
                continue;
            }
            if (!results_met(&p->results))
                shown_push(p, one);
        }
    }
    user_put(p);
    return t;
}

/* Ids must be short, and of letters and digits with some: made anew from the old one, the same each
 * time. */
static void id_put(struct put *p, const char *key, struct slice id)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    char made[ID_LEN];
    bool fine = p->t->short_call_ids ? id.n == 9 : id.n > 0 && id.n <= ID_LEN;
    for (size_t i = 0; p->t->short_call_ids && fine && i < id.n; i++)
        fine = memchr(digits, id.p[i], sizeof digits - 1) != NULL;
    if (fine) {
        jw_kstr(&p->w, key, id);
        return;
    }
    uint64_t h = hash_stable(3, id);
    if (p->t->short_call_ids) {
        for (int i = 0; i < 9; i++, h /= 62)
            made[i] = digits[h % 62];
        made[9] = '\0';
    } else {
        (void)text_format(made, sizeof made, "call_%016" PRIx64, h);
    }
    jw_kcstr(&p->w, key, made);
}

static void call_put(struct put *p, const struct part *call)
{
    struct jw *w = &p->w;
    assert(call->kind == PART_CALL);
    jw_obj(w);
    id_put(p, "id", call->id);
    jw_kcstr(w, "type", "function");
    jw_key(w, "function");
    jw_obj(w);
    jw_kstr(w, "name", name_put(p, call->name));
    jw_kstr(w, "arguments", call->text.n > 0 ? call->text : S("{}"));
    jw_end_obj(w);
    jw_end_obj(w);
}

static void result_put(struct put *p, const struct part *call, int turn)
{
    struct jw *w = &p->w;
    const struct part *result = results_take(&p->results, call->id, turn);
    buf_clear(&p->text);
    if (result != NULL)
        result_join(p, result);
    else
        text_add(p, S("No result"));
    jw_obj(w);
    jw_kcstr(w, "role", "tool");
    id_put(p, "tool_call_id", call->id);
    jw_kstr(w, "content", buf_slice(&p->text));
    jw_end_obj(w);
}

/* A run of the assistant's turns: neighbours, or those that only a system turn parts. */
struct run {
    const struct turn *from, *to;
    int turn; /* the number of `from` */
    size_t calls, texts, thoughts;
};

static void run_read(struct run *run, const struct turn *t, int turn)
{
    assert(t->role == ROLE_ASSISTANT);
    *run = (struct run){.from = t, .turn = turn};
    for (; t != NULL && t->role == ROLE_ASSISTANT; t = t->next) {
        for (const struct part *one = t->parts; one != NULL; one = one->next) {
            run->calls += one->kind == PART_CALL;
            run->texts += one->kind == PART_TEXT && one->text.n > 0;
            run->thoughts += one->kind == PART_THINKING && one->text.n > 0;
        }
    }
    run->to = t;
}

static void run_join(struct put *p, const struct run *run, enum part_kind kind)
{
    buf_clear(&p->text);
    for (const struct turn *t = run->from; t != run->to; t = t->next) {
        struct slice between = S("\n\n"); /* within a turn, texts are pieces of one */
        for (const struct part *one = t->parts; one != NULL; one = one->next) {
            if (one->kind != kind || one->text.n == 0)
                continue;
            text_join(p, between, one->text);
            between = S("");
        }
    }
}

static void run_calls(struct put *p, const struct run *run)
{
    jw_key(&p->w, "tool_calls");
    jw_arr(&p->w);
    for (const struct turn *t = run->from; t != run->to; t = t->next) {
        for (const struct part *one = t->parts; one != NULL; one = one->next) {
            if (one->kind == PART_CALL)
                call_put(p, one);
        }
    }
    jw_end_arr(&p->w);
}

static void run_message(struct put *p, const struct run *run)
{
    struct jw *w = &p->w;
    jw_obj(w);
    jw_kcstr(w, "role", "assistant");
    run_join(p, run, PART_TEXT);
    jw_key(w, "content");
    if (run->texts > 0 || run->calls == 0 || p->t->empty_content)
        jw_str(w, buf_slice(&p->text));
    else
        jw_null(w);
    if (p->t->reasoning_content && run->thoughts > 0) {
        run_join(p, run, PART_THINKING);
        jw_kstr(w, "reasoning_content", buf_slice(&p->text));
    }
    if (run->calls > 0)
        run_calls(p, run);
    jw_end_obj(w);
}

static const struct turn *assistant_turns(struct put *p, const struct turn *t, int *turn)
{
    struct run run;
    run_read(&run, t, *turn);
    user_put(p);
    bool prefill = run.to == NULL && run.calls == 0 && p->any_user;
    bool empty = run.texts == 0 && run.calls == 0;
    if (!prefill && !empty)
        run_message(p, &run);
    for (t = run.from; t != run.to; t = t->next, ++*turn) {
        for (const struct part *one = t->parts; one != NULL; one = one->next) {
            if (one->kind == PART_CALL)
                result_put(p, one, *turn);
        }
    }
    return t;
}

static void messages_put(struct put *p)
{
    const struct turn *t = p->a->turns;
    int turn = 0;
    jw_key(&p->w, "messages");
    jw_arr(&p->w);
    while (t != NULL && p->err == OK && p->w.err == OK) {
        if (is_users(p, t, turn))
            t = user_turns(p, t, &turn);
        else if (t->role == ROLE_SYSTEM)
            t = system_turns(p, t, &turn);
        else
            t = assistant_turns(p, t, &turn);
    }
    user_put(p);
    assert(p->shown_n == 0);
    assert(p->err != OK || p->w.err != OK || p->results.at == p->results.n);
    jw_end_arr(&p->w);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void put_free(struct put *p)
{
    results_free(&p->results);
    mem_free((void *)p->shown);
    buf_free(&p->text);
}

enum err openai_ask_write(const struct ask *a, const struct ask_target *t, struct names *names,
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
        messages_put(&p);
    openai_settings_put(&p.w, a, t, names);
    jw_end_obj(&p.w);
    fail(&p, p.w.err, "");
    put_free(&p);
    assert(p.err != OK || p.w.depth == 0);
    *why = p.why;
    return p.err;
}
