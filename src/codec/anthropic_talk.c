/* The conversation of an Anthropic request, written for clients that speak something else.
 *
 * It is put into the only order that the API takes: system texts are not here (they stand in front
 * of it), neighbours of the same role become one message, each call is followed by its result at
 * the front of the next message, no text is empty, and the user speaks first.
 *
 * Dropped: thinking that is unsigned or signed elsewhere, for a signature is all that makes it
 * acceptable (F16), and parts of another dialect alone. Refused, because something else would be
 * asked: audio, images of other kinds, files that another provider keeps. */
#include "codec/anthropic_put.h"
#include "codec/talk.h"

#include <string.h>

static const char why_audio[] = "messages: this provider takes no audio";
static const char why_image[] = "messages: images must be JPEG, PNG, GIF or WebP";
static const char why_url[] = "messages: this provider takes images inline only, not by their URL";
static const char why_file[] = "messages: a file kept by another provider cannot be used here";

/* ---- blocks, and what they are made of ---- */

void put_cache(struct put *p, bool marked)
{
    if (!marked || p->t->no_cache_control || p->marks++ < p->marks_skip)
        return;
    jw_key(&p->w, "cache_control");
    jw_obj(&p->w);
    jw_kcstr(&p->w, "type", "ephemeral");
    jw_end_obj(&p->w);
}

static enum err refuse(const struct put *p, const char *why)
{
    *p->why = why;
    return ERR_UNSUPPORTED;
}

void put_text(struct put *p, struct slice text, bool cache)
{
    jw_obj(&p->w);
    jw_kcstr(&p->w, "type", "text");
    jw_kstr(&p->w, "text", text);
    put_cache(p, cache);
    jw_end_obj(&p->w);
}

/* Ids of calls: a letter of another alphabet is replaced, and its hash keeps two ids apart. */
static void id_put(struct put *p, const char *key, struct slice id)
{
    char room[96];
    size_t n = 0;
    bool legal = id.n > 0;
    for (size_t i = 0; i < id.n; i++) {
        char c = id.p[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '-';
        legal = legal && good;
        if (n < 64)
            room[n++] = good ? c : '_';
    }
    if (!legal) {
        n += text_format(room + n, sizeof room - n, "%s%016" PRIx64, n > 0 ? "_" : "toolu_",
                         hash_stable(5, id));
        id = (struct slice){room, n};
    }
    jw_kstr(&p->w, key, id);
}

/* ---- sources --------------------------------------------------------------------------------- */

static bool is_image_media(struct slice media)
{
    return slice_eq(media, S("image/jpeg")) || slice_eq(media, S("image/png")) ||
           slice_eq(media, S("image/gif")) || slice_eq(media, S("image/webp"));
}

static void source_put(struct put *p, const char *type, struct slice media, const char *key,
                       struct slice value)
{
    jw_key(&p->w, "source");
    jw_obj(&p->w);
    jw_kcstr(&p->w, "type", type);
    if (media.n > 0)
        jw_kstr(&p->w, "media_type", media);
    jw_kstr(&p->w, key, value);
    jw_end_obj(&p->w);
}

static enum err image_put(struct put *p, const struct part *part)
{
    struct slice media = part->media, data = part->data;
    if (data.n == 0 && data_url(part->url, &media, &data) && data.n == 0)
        return refuse(p, why_image);
    if (slice_eq(media, S("image/jpg")))
        media = S("image/jpeg");
    if (data.n > 0 && !is_image_media(media))
        return refuse(p, why_image);
    if (data.n == 0 && part->url.n == 0)
        return refuse(p, why_file);
    if (data.n == 0 && p->t->no_images_by_url)
        return refuse(p, why_url);
    jw_obj(&p->w);
    jw_kcstr(&p->w, "type", "image");
    if (data.n > 0)
        source_put(p, "base64", media, "data", data);
    else
        source_put(p, "url", S(""), "url", part->url);
    put_cache(p, part->cache);
    jw_end_obj(&p->w);
    return OK;
}

/* A text file in base64 is told as the text it is. */
static enum err text_file(struct slice media, struct slice data, struct buf *text)
{
    if (!slice_starts(media, S("text/")))
        return ERR_SYNTAX;
    enum err e = text_unbase64(text, data, false);
    return e == OK && !text_is_utf8(buf_slice(text)) ? ERR_SYNTAX : e;
}

static enum err document_source(struct put *p, const struct part *part)
{
    struct buf text;
    struct slice media = part->media, data = part->data;
    if (data.n == 0 && part->url.n > 0)
        (void)data_url(part->url, &media, &data);
    buf_init(&text, data.n + 4);
    enum err e = part->text.n == 0 ? text_file(media, data, &text) : OK;
    if (e != OK && e != ERR_SYNTAX)
        p->w.err = e;
    if (part->text.n > 0)
        source_put(p, "text", S("text/plain"), "data", part->text);
    else if (data.n > 0 && e == OK)
        source_put(p, "text", S("text/plain"), "data", buf_slice(&text));
    else if (data.n > 0)
        source_put(p, "base64", media.n > 0 ? media : S("application/pdf"), "data", data);
    else
        source_put(p, "url", S(""), "url", part->url);
    buf_free(&text);
    return p->w.err;
}

static enum err document_put(struct put *p, const struct part *part)
{
    if (part->text.n == 0 && part->data.n == 0) {
        if (part->url.n == 0)
            return refuse(p, why_file);
        if (p->t->no_images_by_url && !slice_istarts(part->url, S("data:")))
            return refuse(p, why_url);
    }
    jw_obj(&p->w);
    jw_kcstr(&p->w, "type", "document");
    enum err e = document_source(p, part);
    if (part->name.n > 0)
        jw_kstr(&p->w, "title", part->name);
    put_cache(p, part->cache);
    jw_end_obj(&p->w);
    return e;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static void call_put(struct put *p, const struct part *part)
{
    struct buf input;
    buf_init(&input, part->text.n + 256);
    if (p->w.err == OK)
        p->w.err = call_input(part->text, &input);
    jw_obj(&p->w);
    jw_kcstr(&p->w, "type", "tool_use");
    id_put(p, "id", part->id);
    jw_kstr(&p->w, "name", names_put(p->names, part->name, PUT_NAME_LEN));
    jw_key(&p->w, "input");
    jw_raw(&p->w, buf_slice(&input));
    put_cache(p, part->cache);
    jw_end_obj(&p->w);
    buf_free(&input);
}

static void thinking_put(struct put *p, const struct part *part)
{
    jw_obj(&p->w);
    jw_kcstr(&p->w, "type", "thinking");
    jw_kstr(&p->w, "thinking", part->text);
    jw_kstr(&p->w, "signature", part->signature);
    jw_end_obj(&p->w);
}

static void redacted_put(struct put *p, const struct part *part)
{
    jw_obj(&p->w);
    jw_kcstr(&p->w, "type", "redacted_thinking");
    jw_kstr(&p->w, "data", part->data);
    jw_end_obj(&p->w);
}

/* Does anything of it come out as a block, said by `role`? */
static bool part_counts(enum role role, const struct part *part)
{
    switch (part->kind) {
    case PART_TEXT:
        return !text_blank(part->text);
    case PART_THINKING:
        return role == ROLE_ASSISTANT && signature_is_anthropic(part->signature);
    case PART_REDACTED:
        return role == ROLE_ASSISTANT && part->data.n > 0;
    case PART_CALL:
        return role == ROLE_ASSISTANT;
    case PART_RESULT:
    case PART_IMAGE:
    case PART_DOCUMENT:
    case PART_AUDIO:
        return role == ROLE_USER;
    case PART_OTHER:
        break;
    }
    return false;
}

/* Everything but results. */
static enum err part_put(struct put *p, enum role role, const struct part *part)
{
    if (!part_counts(role, part))
        return OK;
    switch (part->kind) {
    case PART_TEXT:
        put_text(p, part->text, part->cache);
        break;
    case PART_IMAGE:
        return image_put(p, part);
    case PART_DOCUMENT:
        return document_put(p, part);
    case PART_AUDIO:
        return refuse(p, why_audio);
    case PART_THINKING:
        thinking_put(p, part);
        break;
    case PART_REDACTED:
        redacted_put(p, part);
        break;
    case PART_CALL:
        call_put(p, part);
        break;
    case PART_RESULT:
    case PART_OTHER:
        break;
    }
    return OK;
}

static enum err result_put(struct put *p, const struct part *part)
{
    enum err e = OK;
    bool any = false;
    for (const struct part *in = part->inner; in != NULL; in = in->next)
        any = any || part_counts(ROLE_USER, in);
    jw_obj(&p->w);
    jw_kcstr(&p->w, "type", "tool_result");
    id_put(p, "tool_use_id", part->id);
    if (any) {
        jw_key(&p->w, "content");
        jw_arr(&p->w);
        for (const struct part *in = part->inner; in != NULL && e == OK; in = in->next)
            e = part_put(p, ROLE_USER, in);
        jw_end_arr(&p->w);
    }
    if (part->error)
        jw_kbool(&p->w, "is_error", true);
    put_cache(p, part->cache);
    jw_end_obj(&p->w);
    return e;
}

/* A call whose result is not there: the API takes none without. */
static enum err result_missing(struct put *p, const struct part *call)
{
    struct part said = {.kind = PART_TEXT, .text = S("No result was given")};
    struct part made = {.kind = PART_RESULT, .id = call->id, .error = true, .inner = &said};
    return result_put(p, &made);
}

/* A result whose call is not there any more, because the client shortened the talk: as text. */
static enum err orphan_put(struct put *p, const struct part *part)
{
    enum err e = OK;
    put_text(p,
             part->error ? S("The result of an earlier tool call (an error):")
                         : S("The result of an earlier tool call:"),
             false);
    for (const struct part *in = part->inner; in != NULL && e == OK; in = in->next)
        e = part_put(p, ROLE_USER, in);
    return e;
}

/* ---- messages -------------------------------------------------------------------------------- */

/* Results first, in the order of their calls, then the rest in its own order. */
static enum err user_put(struct put *p, const struct talk_message *before,
                         const struct talk_message *m)
{
    struct map calls, results;
    struct turn *at = before->first;
    enum err e = OK;
    map_init(&calls);
    map_init(&results);
    talk_map(before, PART_CALL, &calls);
    talk_map(m, PART_RESULT, &results);
    for (struct part *call = NULL; e == OK && (call = talk_part(before, &at, call)) != NULL;) {
        if (call->kind != PART_CALL)
            continue;
        const struct part *result = map_get(&results, call->id);
        e = result != NULL ? result_put(p, result) : result_missing(p, call);
    }
    at = m->first;
    for (struct part *part = NULL; e == OK && (part = talk_part(m, &at, part)) != NULL;) {
        bool told = map_get(&calls, part->id) != NULL && map_get(&results, part->id) == part;
        if (part->kind != PART_RESULT)
            e = part_put(p, ROLE_USER, part);
        else if (!told)
            e = orphan_put(p, part);
    }
    map_free(&calls);
    map_free(&results);
    return e;
}

/* A last text of the assistant's must not end with white space. */
static enum err last_part_put(struct put *p, const struct part *part)
{
    struct part trimmed = *part;
    while (trimmed.kind == PART_TEXT && trimmed.text.n > 0 &&
           text_blank(slice_sub(trimmed.text, trimmed.text.n - 1, trimmed.text.n)))
        trimmed.text.n--;
    return part_put(p, ROLE_ASSISTANT, &trimmed);
}

static enum err assistant_put(struct put *p, const struct talk_message *m)
{
    struct turn *at = m->first;
    enum err e = OK;
    for (struct part *part = NULL; e == OK && (part = talk_part(m, &at, part)) != NULL;)
        e = m->end == NULL && part->next == NULL ? last_part_put(p, part)
                                                 : part_put(p, ROLE_ASSISTANT, part);
    return e;
}

static void message_open(struct put *p, enum role role)
{
    jw_obj(&p->w);
    jw_kcstr(&p->w, "role", role == ROLE_USER ? "user" : "assistant");
    jw_key(&p->w, "content");
    jw_arr(&p->w);
}

static void message_close(struct put *p)
{
    jw_end_arr(&p->w);
    jw_end_obj(&p->w);
}

static void filler_put(struct put *p, struct slice text)
{
    message_open(p, ROLE_USER);
    put_text(p, text, false);
    message_close(p);
}

/* What stands behind the last word of the assistant's, where the API wants one of the user's. */
static enum err last_word(struct put *p, const struct talk_message *last)
{
    static const struct talk_message nothing = {.role = ROLE_USER};
    struct turn *at = last->first;
    bool calls = false;
    enum err e = OK;
    for (struct part *part = NULL; (part = talk_part(last, &at, part)) != NULL;)
        calls = calls || part->kind == PART_CALL;
    if (calls) {
        message_open(p, ROLE_USER);
        e = user_put(p, last, &nothing);
        message_close(p);
    } else if (!p->m.prefill) {
        filler_put(p, S("Continue."));
    }
    return e;
}

enum err put_messages(struct put *p)
{
    struct talk_message before = {.role = ROLE_USER}, m;
    enum err e = OK;
    jw_arr(&p->w);
    bool any = talk_next(p->a->turns, part_counts, &m);
    if (!any || m.role != ROLE_USER)
        filler_put(p, S("."));
    for (; any && e == OK; any = talk_next(m.end, part_counts, &m)) {
        message_open(p, m.role);
        e = m.role == ROLE_USER ? user_put(p, &before, &m) : assistant_put(p, &m);
        message_close(p);
        before = m;
    }
    if (e == OK && before.role == ROLE_ASSISTANT)
        e = last_word(p, &before);
    jw_end_arr(&p->w);
    return e;
}
