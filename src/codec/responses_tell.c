/* Replies in the Responses dialect, written: says as events, or gathered as one body.
 * Facts: wire/openai.md section 7.
 *
 * Each block is an item of its own. Thinking is a reasoning item with a summary; its signature is
 * its encrypted_content (see responses.h). The events that open and end a reply carry the whole
 * response, and at the end all its items; clients read them there, so they are gathered while they
 * go out. What the request had asked for is not known here: the response says of it what it would
 * if nothing had been asked.
 *
 * Not written, for the dialect has no words for it: which stop sequence it was, cache writes by
 * their lifetime, searches and fetches. */
#include "codec/responses.h"
#include "codec/span.h"

#include <string.h>

#define WHOLE_MAX ((size_t)64 << 20)

struct say_writer {
    bool whole, started, ended;
    char id[80];   /* resp_... */
    char tail[56]; /* what the ids of items end with */
    int64_t created, sequence;
    char *model;       /* as the client asked */
    struct buf output; /* items that are over, with commas */
    /* the open block */
    enum block_kind what;
    bool open;          /* its item has been begun */
    bool broken;        /* ... and ends with the reply, by an error */
    int64_t index;      /* of its item */
    char item[80];      /* its id */
    char media[64];     /* of an image */
    struct buf name;    /* of a call */
    struct buf call_id; /* likewise */
    struct buf text, sign, probs;
    struct buf front; /* of every delta, up to its text */
    /* the end */
    bool refused, stopped;
    enum stop_kind stop;
    struct usage usage;
};

/* ---- the response ---------------------------------------------------------------------------- */

static void usage_print(const struct usage *u, struct jw *j)
{
    int64_t write = u->cache_write_5m + u->cache_write_1h;
    int64_t input = u->input + u->cache_read + write;
    assert(u->known && input >= u->cache_read);
    jw_obj(j);
    jw_ki64(j, "input_tokens", input);
    jw_key(j, "input_tokens_details");
    jw_obj(j);
    jw_ki64(j, "cached_tokens", u->cache_read);
    jw_ki64(j, "cache_write_tokens", write);
    jw_end_obj(j);
    jw_ki64(j, "output_tokens", u->output);
    jw_key(j, "output_tokens_details");
    jw_obj(j);
    jw_ki64(j, "reasoning_tokens", u->thinking);
    jw_end_obj(j);
    jw_ki64(j, "total_tokens", input + u->output);
    jw_end_obj(j);
}

/* NULL: it is complete. A refusal in words is an answer like any other. */
static const char *incomplete_reason(const struct say_writer *w)
{
    if (w->stopped && w->stop == STOP_LENGTH)
        return "max_output_tokens";
    return w->stopped && w->stop == STOP_REFUSAL && !w->refused ? "content_filter" : NULL;
}

static void empty_put(struct jw *j, const char *key, bool list)
{
    jw_key(j, key);
    if (list) {
        jw_arr(j);
        jw_end_arr(j);
    } else {
        jw_obj(j);
        jw_end_obj(j);
    }
}

static void settings_print(struct jw *j)
{
    jw_kcstr(j, "instructions", NULL);
    jw_kcstr(j, "max_output_tokens", NULL);
    empty_put(j, "metadata", false);
    jw_kbool(j, "parallel_tool_calls", true);
    jw_kcstr(j, "previous_response_id", NULL);
    jw_key(j, "reasoning");
    jw_obj(j);
    jw_kcstr(j, "effort", NULL);
    jw_kcstr(j, "summary", NULL);
    jw_end_obj(j);
    jw_kbool(j, "store", false);
    jw_kcstr(j, "temperature", NULL);
    jw_key(j, "text");
    jw_obj(j);
    jw_key(j, "format");
    jw_obj(j);
    jw_kcstr(j, "type", "text");
    jw_end_obj(j);
    jw_end_obj(j);
    jw_kcstr(j, "tool_choice", "auto");
    empty_put(j, "tools", true);
    jw_kcstr(j, "top_p", NULL);
    jw_kcstr(j, "truncation", "disabled");
}

static void error_print(const struct say *s, struct jw *j)
{
    char text[1024];
    error_text_in(DIALECT_RESPONSES, s->error_type, s->text, text, sizeof text);
    jw_key(j, "error");
    jw_obj(j);
    jw_kcstr(j, "code", responses_code(s->status, s->error_type, s->text));
    jw_kcstr(j, "message", text);
    jw_end_obj(j);
}

/* `failed`: the error that ends it, or NULL. */
static void response_print(const struct say_writer *w, const char *status, const struct say *failed,
                           struct jw *j)
{
    const char *reason = incomplete_reason(w);
    jw_obj(j);
    jw_kcstr(j, "id", w->id);
    jw_kcstr(j, "object", "response");
    jw_ki64(j, "created_at", w->created);
    jw_kcstr(j, "status", status);
    jw_kbool(j, "background", false);
    if (failed != NULL)
        error_print(failed, j);
    else
        jw_kcstr(j, "error", NULL);
    jw_key(j, "incomplete_details");
    if (reason != NULL && failed == NULL) {
        jw_obj(j);
        jw_kcstr(j, "reason", reason);
        jw_end_obj(j);
    } else {
        jw_null(j);
    }
    jw_kcstr(j, "model", w->model);
    jw_key(j, "output");
    jw_arr(j);
    if (w->output.len > 0)
        jw_raw(j, buf_slice(&w->output)); /* with commas of its own */
    jw_end_arr(j);
    settings_print(j);
    jw_key(j, "usage");
    if (w->stopped && w->usage.known)
        usage_print(&w->usage, j);
    else
        jw_null(j);
    jw_end_obj(j);
}

/* ---- events ---------------------------------------------------------------------------------- */

/* event: NAME, data: {"type":NAME, up to the members of its own. */
static void event_begin(struct say_writer *w, const char *name, struct jw *j, struct buf *out)
{
    enum err e = buf_printf(out, "event: %s\ndata: ", name);
    jw_init(j, out);
    j->err = e;
    jw_obj(j);
    jw_kcstr(j, "type", name);
    jw_ki64(j, "sequence_number", w->sequence++);
}

static enum err event_end(struct jw *j)
{
    jw_end_obj(j);
    assert(j->err != OK || j->depth == 0);
    return j->err == OK ? buf_puts(j->out, S("\n\n")) : j->err;
}

static enum err response_event(struct say_writer *w, const char *name, const char *status,
                               const struct say *failed, struct buf *out)
{
    struct jw j;
    event_begin(w, name, &j, out);
    jw_key(&j, "response");
    response_print(w, status, failed, &j);
    return event_end(&j);
}

static enum err start_events(struct say_writer *w, struct buf *out)
{
    if (w->started)
        return OK;
    w->started = true;
    enum err e = response_event(w, "response.created", "in_progress", NULL, out);
    return e == OK ? response_event(w, "response.in_progress", "in_progress", NULL, out) : e;
}

/* ---- items ----------------------------------------------------------------------------------- */

static bool is_text(const struct say_writer *w)
{
    return w->what == BLOCK_TEXT || w->what == BLOCK_REFUSAL;
}

static void item_id(struct say_writer *w)
{
    static const char *const fronts[] = {
        [BLOCK_TEXT] = "msg", [BLOCK_THINKING] = "rs", [BLOCK_REDACTED] = "rs",
        [BLOCK_CALL] = "fc",  [BLOCK_IMAGE] = "ig",    [BLOCK_REFUSAL] = "msg"};
    (void)text_format(w->item, sizeof w->item, "%s_%s_%" PRId64, fronts[w->what], w->tail,
                      w->index);
}

static const char *item_status(const struct say_writer *w, bool whole)
{
    if (w->broken)
        return "incomplete";
    return whole ? "completed" : "in_progress";
}

/* The content of a message: one part, as far as it has come. */
static void part_print(const struct say_writer *w, bool whole, struct jw *j)
{
    struct slice text = whole ? buf_slice(&w->text) : S("");
    jw_obj(j);
    if (w->what == BLOCK_REFUSAL) {
        jw_kcstr(j, "type", "refusal");
        jw_kstr(j, "refusal", text);
    } else {
        jw_kcstr(j, "type", "output_text");
        jw_kstr(j, "text", text);
        empty_put(j, "annotations", true);
        jw_key(j, "logprobs");
        jw_arr(j);
        if (whole && w->probs.len > 0)
            jw_raw(j, buf_slice(&w->probs));
        jw_end_arr(j);
    }
    jw_end_obj(j);
}

static void message_print(const struct say_writer *w, bool whole, struct jw *j)
{
    jw_kcstr(j, "type", "message");
    jw_kcstr(j, "status", item_status(w, whole));
    jw_kcstr(j, "role", "assistant");
    jw_key(j, "content");
    jw_arr(j);
    if (whole)
        part_print(w, true, j);
    jw_end_arr(j);
}

static void summary_print(const struct say_writer *w, bool whole, struct jw *j)
{
    jw_obj(j);
    jw_kcstr(j, "type", "summary_text");
    jw_kstr(j, "text", whole ? buf_slice(&w->text) : S(""));
    jw_end_obj(j);
}

static void reasoning_print(const struct say_writer *w, bool whole, struct jw *j)
{
    jw_kcstr(j, "type", "reasoning");
    jw_key(j, "summary");
    jw_arr(j);
    if (whole && w->what == BLOCK_THINKING && w->text.len > 0)
        summary_print(w, true, j);
    jw_end_arr(j);
    if (whole && w->sign.len > 0)
        jw_kstr(j, "encrypted_content", buf_slice(&w->sign));
}

static void call_print(const struct say_writer *w, bool whole, struct jw *j)
{
    jw_kcstr(j, "type", "function_call");
    jw_kcstr(j, "status", item_status(w, whole));
    jw_kstr(j, "arguments", whole ? buf_slice(&w->text) : S(""));
    jw_kstr(j, "call_id", buf_slice(&w->call_id));
    jw_kstr(j, "name", buf_slice(&w->name));
}

static void image_print(const struct say_writer *w, bool whole, struct jw *j)
{
    struct slice format = slice_of(w->media);
    (void)sign_take(&format, S("image/"));
    jw_kcstr(j, "type", "image_generation_call");
    jw_kcstr(j, "status", item_status(w, whole));
    jw_kstr(j, "output_format", format);
    jw_key(j, "result");
    if (whole)
        jw_str(j, buf_slice(&w->text));
    else
        jw_null(j);
}

/* The item as it begins, or whole. */
static void item_print(const struct say_writer *w, bool whole, struct jw *j)
{
    jw_obj(j);
    jw_kcstr(j, "id", w->item);
    switch (w->what) {
    case BLOCK_TEXT:
    case BLOCK_REFUSAL:
        message_print(w, whole, j);
        break;
    case BLOCK_THINKING:
    case BLOCK_REDACTED:
        reasoning_print(w, whole, j);
        break;
    case BLOCK_CALL:
        call_print(w, whole, j);
        break;
    case BLOCK_IMAGE:
        image_print(w, whole, j);
        break;
    }
    jw_end_obj(j);
}

static enum err item_event(struct say_writer *w, const char *name, bool whole, struct buf *out)
{
    struct jw j;
    assert(w->started && w->open && !w->whole);
    event_begin(w, name, &j, out);
    jw_ki64(&j, "output_index", w->index);
    jw_key(&j, "item");
    item_print(w, whole, &j);
    return event_end(&j);
}

/* An event about the inside of the item: "content_index" or "summary_index" is 0. */
static void inner_begin(struct say_writer *w, const char *name, struct jw *j, struct buf *out)
{
    event_begin(w, name, j, out);
    jw_kcstr(j, "item_id", w->item);
    jw_ki64(j, "output_index", w->index);
    if (is_text(w))
        jw_ki64(j, "content_index", 0);
    else if (w->what == BLOCK_THINKING)
        jw_ki64(j, "summary_index", 0);
}

static enum err part_event(struct say_writer *w, const char *name, bool whole, struct buf *out)
{
    struct jw j;
    inner_begin(w, name, &j, out);
    jw_key(&j, "part");
    if (w->what == BLOCK_THINKING)
        summary_print(w, whole, &j);
    else
        part_print(w, whole, &j);
    return event_end(&j);
}

/* All of the text. */
static enum err text_event(struct say_writer *w, const char *name, struct buf *out)
{
    struct jw j;
    inner_begin(w, name, &j, out);
    if (w->what == BLOCK_CALL) {
        jw_kstr(&j, "name", buf_slice(&w->name));
        jw_kstr(&j, "arguments", buf_slice(&w->text));
    } else if (w->what == BLOCK_REFUSAL) {
        jw_kstr(&j, "refusal", buf_slice(&w->text));
    } else {
        jw_kstr(&j, "text", buf_slice(&w->text));
    }
    if (w->what == BLOCK_TEXT) {
        jw_key(&j, "logprobs");
        jw_arr(&j);
        if (w->probs.len > 0)
            jw_raw(&j, buf_slice(&w->probs));
        jw_end_arr(&j);
    }
    return event_end(&j);
}

/* Names of the events of a kind of item: of its part, its deltas and their end. */
static const struct item_events {
    const char *part_added, *part_done, *delta, *done;
} item_events[] = {
    [BLOCK_TEXT] = {"response.content_part.added", "response.content_part.done",
                    "response.output_text.delta", "response.output_text.done"},
    [BLOCK_REFUSAL] = {"response.content_part.added", "response.content_part.done",
                       "response.refusal.delta", "response.refusal.done"},
    [BLOCK_THINKING] = {"response.reasoning_summary_part.added",
                        "response.reasoning_summary_part.done",
                        "response.reasoning_summary_text.delta",
                        "response.reasoning_summary_text.done"},
    [BLOCK_CALL] = {NULL, NULL, "response.function_call_arguments.delta",
                    "response.function_call_arguments.done"},
    [BLOCK_REDACTED] = {NULL, NULL, NULL, NULL},
    [BLOCK_IMAGE] = {NULL, NULL, NULL, NULL},
};

/* ---- blocks ---------------------------------------------------------------------------------- */

/* What stands in front of the text in every delta of this item. */
static enum err front_print(struct say_writer *w)
{
    const char *name = item_events[w->what].delta;
    const char *part = is_text(w)                  ? "\"content_index\":0,"
                       : w->what == BLOCK_THINKING ? "\"summary_index\":0,"
                                                   : "";
    buf_clear(&w->front);
    return name == NULL ? OK
                        : buf_printf(&w->front,
                                     "event: %s\ndata: {\"type\":\"%s\",\"item_id\":\"%s\","
                                     "\"output_index\":%" PRId64 ",%s%s\"delta\":",
                                     name, name, w->item, w->index, part,
                                     w->what == BLOCK_TEXT ? "\"logprobs\":[]," : "");
}

static enum err delta_event(struct say_writer *w, struct slice text, struct buf *out)
{
    char digits[TEXT_U64_MAX];
    assert(w->open && w->front.len > 0);
    size_t n = text_from_u64((uint64_t)w->sequence++, digits);
    enum err e = buf_puts(out, buf_slice(&w->front));
    if (e == OK)
        e = json_escape(out, text);
    if (e == OK)
        e = buf_puts(out, S(",\"sequence_number\":"));
    if (e == OK)
        e = buf_append(out, digits, n);
    return e == OK ? buf_puts(out, S("}\n\n")) : e;
}

static enum err block_open(struct say_writer *w, const struct say *s)
{
    struct buf *const bufs[] = {&w->text, &w->sign, &w->probs, &w->name, &w->call_id};
    for (size_t i = 0; i < sizeof bufs / sizeof bufs[0]; i++)
        buf_clear(bufs[i]);
    assert(!w->open);
    w->what = s->what;
    text_copy(w->media, sizeof w->media, s->name);
    item_id(w);
    if (s->what != BLOCK_CALL)
        return OK;
    enum err e = buf_puts(&w->name, s->name);
    return e == OK ? buf_puts(&w->call_id, s->id) : e;
}

/* The item begins with its first word; a call at once, for its name says much. */
static enum err item_begin(struct say_writer *w, struct buf *out)
{
    const char *part = item_events[w->what].part_added;
    if (w->open)
        return OK;
    w->open = true;
    if (w->whole)
        return OK;
    enum err e = start_events(w, out);
    if (e == OK)
        e = item_event(w, "response.output_item.added", false, out);
    if (e == OK && part != NULL)
        e = part_event(w, part, false, out);
    return e == OK ? front_print(w) : e;
}

static enum err block_delta(struct say_writer *w, struct slice text, struct buf *out)
{
    if (text.n == 0)
        return OK;
    enum err e = item_begin(w, out);
    w->refused = w->refused || w->what == BLOCK_REFUSAL;
    if (e == OK && w->what == BLOCK_REDACTED && w->sign.len == 0)
        e = buf_puts(&w->sign, S(SIGN_REDACTED));
    if (e == OK)
        e = buf_puts(w->what == BLOCK_REDACTED ? &w->sign : &w->text, text);
    if (e != OK || w->whole || w->front.len == 0)
        return e;
    return delta_event(w, text, out);
}

/* Signatures go home as they came, and others under a mark. */
static enum err block_sign(struct say_writer *w, struct slice code, struct buf *out)
{
    bool ours = sign_take(&code, S(SIGN_OURS));
    assert(!ours || code.p != NULL);
    if (code.n == 0 || w->what != BLOCK_THINKING)
        return OK;
    enum err e = w->open ? OK : item_begin(w, out);
    if (e == OK && !ours && w->sign.len == 0)
        e = buf_puts(&w->sign, S(SIGN_THEIRS));
    return e == OK ? buf_puts(&w->sign, code) : e;
}

static enum err output_add(struct say_writer *w)
{
    struct jw j;
    assert(w->open && w->item[0] != '\0');
    enum err e = w->output.len > 0 ? buf_puts(&w->output, S(",")) : OK;
    jw_init(&j, &w->output);
    item_print(w, true, &j);
    return e == OK ? j.err : e;
}

static enum err close_events(struct say_writer *w, struct buf *out)
{
    const struct item_events *names = &item_events[w->what];
    enum err e = names->done != NULL ? text_event(w, names->done, out) : OK;
    if (e == OK && names->part_done != NULL)
        e = part_event(w, names->part_done, true, out);
    return e == OK ? item_event(w, "response.output_item.done", true, out) : e;
}

static enum err block_close(struct say_writer *w, struct buf *out)
{
    enum err e = OK;
    if (w->what == BLOCK_CALL && text_blank(buf_slice(&w->text)))
        e = block_delta(w, S("{}"), out);
    if (e != OK || !w->open)
        return e;
    e = output_add(w);
    if (e == OK && !w->whole)
        e = close_events(w, out);
    w->open = false;
    w->index++;
    return e;
}

/* {"content":[...]} of Chat Completions: its elements are what an output_text has. */
static enum err probs_add(struct say_writer *w, struct slice probs)
{
    struct span v;
    if (w->what != BLOCK_TEXT || !w->open || !span_member(probs, S("content"), &v))
        return OK;
    struct slice list = span_slice(probs, v);
    if (!slice_starts(list, S("[")) || !slice_ends(list, S("]")) ||
        text_blank(slice_sub(list, 1, list.n - 1)))
        return OK;
    enum err e = w->probs.len > 0 ? buf_puts(&w->probs, S(",")) : OK;
    return e == OK ? buf_puts(&w->probs, slice_sub(list, 1, list.n - 1)) : e;
}

/* ---- the end --------------------------------------------------------------------------------- */

static enum err reply_end(struct say_writer *w, struct buf *out)
{
    assert(!w->open); /* each block is closed before the end */
    bool complete = incomplete_reason(w) == NULL;
    const char *status = complete ? "completed" : "incomplete";
    struct jw j;
    if (w->whole) {
        jw_init(&j, out);
        response_print(w, status, NULL, &j);
        return j.err;
    }
    enum err e = start_events(w, out);
    if (e != OK)
        return e;
    return response_event(w, complete ? "response.completed" : "response.incomplete", status, NULL,
                          out);
}

static enum err reply_error(struct say_writer *w, const struct say *s, struct buf *out)
{
    char text[1024];
    if (w->whole) {
        int status = error_status_in(DIALECT_RESPONSES, s->status, s->error, s->error_type,
                                     s->text);
        error_text_in(DIALECT_RESPONSES, s->error_type, s->text, text, sizeof text);
        return openai_error_print(status, slice_of(text), S(""), out);
    }
    enum err e = start_events(w, out);
    w->broken = w->open; /* clients keep what there is of it */
    if (e == OK && w->open)
        e = block_close(w, out);
    return e == OK ? response_event(w, "response.failed", "failed", s, out) : e;
}

static void reply_start(struct say_writer *w, const struct say *s)
{
    if (slice_starts(s->id, S("resp_")) && s->id.n < sizeof w->id)
        text_copy(w->id, sizeof w->id, s->id);
    if (w->model[0] == '\0') { /* the client named none: the provider's name will do */
        mem_free(w->model);
        w->model = mem_slicedup(s->model);
    }
}

/* ---- the writer ------------------------------------------------------------------------------ */

static enum err say_write(struct say_writer *w, const struct say *s, struct buf *out)
{
    switch (s->kind) {
    case SAY_START:
        reply_start(w, s);
        return w->whole ? OK : start_events(w, out);
    case SAY_OPEN: {
        enum err e = block_open(w, s);
        return e == OK && s->what == BLOCK_CALL ? item_begin(w, out) : e;
    }
    case SAY_DELTA:
        return block_delta(w, s->text, out);
    case SAY_SIGN:
        return block_sign(w, s->text, out);
    case SAY_CLOSE:
        return block_close(w, out);
    case SAY_LOGPROBS:
        return probs_add(w, s->text);
    case SAY_STOP:
        w->stopped = true;
        w->stop = s->stop;
        w->usage = s->usage;
        return OK;
    case SAY_END:
        return reply_end(w, out);
    case SAY_ERROR:
        return reply_error(w, s, out);
    case SAY_LIFE:
        return w->whole ? OK : buf_puts(out, dialect_responses.ping);
    }
    return OK;
}

enum err responses_write(struct say_writer *w, const struct say *s, struct buf *out)
{
    if (w->ended) /* nothing follows an end or an error */
        return OK;
    w->ended = s->kind == SAY_END || s->kind == SAY_ERROR;
    return say_write(w, s, out);
}

struct say_writer *responses_writer_new(const struct say_context *c, bool whole)
{
    struct say_writer *w = NEW(struct say_writer);
    struct buf *const bufs[] = {&w->output, &w->name,  &w->call_id, &w->text,
                                &w->sign,   &w->probs, &w->front};
    for (size_t i = 0; i < sizeof bufs / sizeof bufs[0]; i++)
        buf_init(bufs[i], WHOLE_MAX);
    w->whole = whole;
    w->created = c->created;
    w->model = mem_slicedup(c->model);
    char clean[CALL_ID_MAX];
    call_id_clean(c->id, clean);
    text_copy(w->tail, sizeof w->tail, slice_of(clean));
    (void)text_format(w->id, sizeof w->id, "resp_%s", w->tail);
    return w;
}

void responses_writer_free(struct say_writer *w)
{
    if (w == NULL)
        return;
    struct buf *const bufs[] = {&w->output, &w->name,  &w->call_id, &w->text,
                                &w->sign,   &w->probs, &w->front};
    for (size_t i = 0; i < sizeof bufs / sizeof bufs[0]; i++)
        buf_free(bufs[i]);
    mem_free(w->model);
    mem_free(w);
}
