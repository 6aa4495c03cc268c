/* Replies in the Chat Completions dialect, written: says as chunks, or gathered as one body.
 * Facts: wire/openai.md sections 2 and 3, wire/translate-anthropic-openai.md D.
 *
 * Not written, for the dialect has no words for it: redacted thinking, which stop sequence it was,
 * cache writes by their lifetime, searches and fetches. Thinking goes out as reasoning_content, its
 * signature in reasoning_details, as OpenRouter does; images in `images`, likewise. */
#include "codec/openai.h"
#include "codec/span.h"

#include <string.h>

#define WHOLE_MAX ((size_t)64 << 20)
#define SIGN_MAX  ((size_t)4 << 20) /* thinking longer than this goes without its signature */

struct say_writer {
    bool whole, include_usage;
    bool started, finished, ended;
    char id[80];
    int64_t created;
    char *model;      /* as the client asked */
    struct buf front; /* of every chunk, up to its delta */
    int calls;        /* opened so far */
    bool call_empty;  /* the open one has had no arguments */
    int details;      /* signed thinking so far */
    bool refused;
    enum stop_kind stop;
    struct usage usage;
    char media[64];     /* of the open image */
    struct buf thought; /* the open thinking, for its signature; or the open image */
    /* whole */
    struct buf text, reasoning, refusal, tool_calls, arguments, images, signed_details;
    struct buf probs, refusal_probs;
};

/* ---- small parts ----------------------------------------------------------------------------- */

static enum err usage_print(const struct usage *u, struct jw *w)
{
    int64_t write = u->cache_write_5m + u->cache_write_1h;
    int64_t prompt = u->input + u->cache_read + write;
    jw_obj(w);
    jw_ki64(w, "prompt_tokens", prompt);
    jw_ki64(w, "completion_tokens", u->output);
    jw_ki64(w, "total_tokens", prompt + u->output);
    jw_key(w, "prompt_tokens_details");
    jw_obj(w);
    jw_ki64(w, "cached_tokens", u->cache_read);
    jw_ki64(w, "cache_write_tokens", write);
    jw_end_obj(w);
    jw_key(w, "completion_tokens_details");
    jw_obj(w);
    jw_ki64(w, "reasoning_tokens", u->thinking);
    jw_end_obj(w);
    jw_end_obj(w);
    return w->err;
}

static const char *finish_word(const struct say_writer *w)
{
    switch (w->stop) {
    case STOP_LENGTH:
        return "length";
    case STOP_CALLS:
        return "tool_calls";
    case STOP_REFUSAL: /* a refusal in words stops as any other text */
        return w->refused ? "stop" : "content_filter";
    case STOP_END:
    case STOP_SEQUENCE:
    case STOP_PAUSE:
        break;
    }
    return "stop";
}

static void head_print(const struct say_writer *w, struct jw *j, const char *object)
{
    jw_kcstr(j, "id", w->id);
    jw_kcstr(j, "object", object);
    jw_ki64(j, "created", w->created);
    jw_kcstr(j, "model", w->model);
}

/* ---- chunks ---------------------------------------------------------------------------------- */

static enum err front_print(struct say_writer *w)
{
    struct jw j;
    enum err e = buf_puts(&w->front, S("data: "));
    jw_init(&j, &w->front);
    jw_obj(&j);
    head_print(w, &j, "chat.completion.chunk");
    if (e == OK)
        e = j.err;
    return e == OK ? buf_puts(&w->front, S(",\"choices\":[{\"index\":0,\"delta\":")) : e;
}

static enum err chunk_begin(struct say_writer *w, struct buf *out)
{
    if (!w->started) {
        w->started = true;
        enum err e = front_print(w);
        if (e != OK)
            return e;
    }
    assert(w->front.len > 0);
    return buf_puts(out, buf_slice(&w->front));
}

static enum err chunk_end(const struct say_writer *w, struct slice more, struct buf *out)
{
    enum err e = buf_puts(out, more);
    /* As long as it is not told, it is null; but only for those who wait for it. */
    if (e == OK)
        e = buf_puts(out, w->include_usage ? S("}],\"usage\":null}\n\n") : S("}]}\n\n"));
    return e;
}

#define UNFINISHED S(",\"logprobs\":null,\"finish_reason\":null")

/* {"KEY":"text"} as the delta. */
static enum err chunk_text(struct say_writer *w, const char *key, struct slice text,
                           struct buf *out)
{
    enum err e = chunk_begin(w, out);
    if (e == OK)
        e = buf_printf(out, "{\"%s\":", key);
    if (e == OK)
        e = json_escape(out, text);
    if (e == OK)
        e = buf_puts(out, S("}"));
    return e == OK ? chunk_end(w, UNFINISHED, out) : e;
}

/* {"KEY":[json]} as the delta. */
static enum err chunk_list(struct say_writer *w, const char *key, struct slice json,
                           struct buf *out)
{
    enum err e = chunk_begin(w, out);
    if (e == OK)
        e = buf_printf(out, "{\"%s\":[", key);
    if (e == OK)
        e = buf_puts(out, json);
    if (e == OK)
        e = buf_puts(out, S("]}"));
    return e == OK ? chunk_end(w, UNFINISHED, out) : e;
}

static enum err chunk_call(struct say_writer *w, struct slice id, struct slice name,
                           struct buf *out)
{
    struct jw j;
    enum err e = chunk_begin(w, out);
    if (e == OK)
        e = buf_printf(out, "{\"tool_calls\":[{\"index\":%d,\"id\":", w->calls);
    if (e == OK)
        e = json_escape(out, id);
    if (e == OK)
        e = buf_puts(out, S(",\"type\":\"function\",\"function\":"));
    jw_init(&j, out);
    jw_obj(&j);
    jw_kstr(&j, "name", name);
    jw_kcstr(&j, "arguments", "");
    jw_end_obj(&j);
    if (e == OK)
        e = j.err;
    if (e == OK)
        e = buf_puts(out, S("}]}"));
    return e == OK ? chunk_end(w, UNFINISHED, out) : e;
}

static enum err chunk_arguments(struct say_writer *w, struct slice text, struct buf *out)
{
    enum err e = chunk_begin(w, out);
    assert(w->calls > 0);
    w->call_empty = false;
    if (e == OK)
        e = buf_printf(out,
                       "{\"tool_calls\":[{\"index\":%d,\"function\":{\"arguments\":", w->calls - 1);
    if (e == OK)
        e = json_escape(out, text);
    if (e == OK)
        e = buf_puts(out, S("}}]}"));
    return e == OK ? chunk_end(w, UNFINISHED, out) : e;
}

static enum err chunk_first(struct say_writer *w, struct buf *out)
{
    enum err e = chunk_begin(w, out);
    if (e == OK)
        e = buf_puts(out, S("{\"role\":\"assistant\",\"content\":\"\"}"));
    return e == OK ? chunk_end(w, UNFINISHED, out) : e;
}

static enum err chunk_logprobs(struct say_writer *w, struct slice probs, struct buf *out)
{
    enum err e = chunk_begin(w, out);
    if (e == OK)
        e = buf_puts(out, S("{\"content\":\"\"},\"logprobs\":"));
    if (e == OK)
        e = buf_puts(out, probs);
    return e == OK ? chunk_end(w, S(",\"finish_reason\":null"), out) : e;
}

static enum err chunk_usage(const struct say_writer *w, struct buf *out)
{
    struct jw j;
    enum err e = buf_puts(out, S("data: "));
    assert(w->include_usage);
    jw_init(&j, out);
    jw_obj(&j);
    head_print(w, &j, "chat.completion.chunk");
    jw_key(&j, "choices");
    jw_arr(&j);
    jw_end_arr(&j);
    jw_key(&j, "usage");
    if (e == OK)
        e = usage_print(&w->usage, &j);
    jw_end_obj(&j);
    if (e == OK)
        e = j.err;
    return e == OK ? buf_puts(out, S("\n\n")) : e;
}

static enum err chunk_stop(struct say_writer *w, struct buf *out)
{
    enum err e = chunk_begin(w, out);
    if (e == OK)
        e = buf_printf(out, "{},\"logprobs\":null,\"finish_reason\":\"%s\"", finish_word(w));
    if (e == OK)
        e = chunk_end(w, S(""), out);
    if (e == OK && w->include_usage)
        e = chunk_usage(w, out);
    return e;
}

/* ---- what both ways need --------------------------------------------------------------------- */

/* One element of reasoning_details: the thinking that was just said, with its signature. */
static enum err detail_print(struct say_writer *w, struct slice sign, struct buf *out)
{
    struct jw j;
    jw_init(&j, out);
    jw_obj(&j);
    jw_kcstr(&j, "type", "reasoning.text");
    jw_kstr(&j, "text", buf_slice(&w->thought));
    jw_kstr(&j, "signature", sign);
    jw_kcstr(&j, "format", "anthropic-claude-v1");
    jw_ki64(&j, "index", w->details++);
    jw_end_obj(&j);
    return j.err;
}

static enum err image_print(const struct say_writer *w, struct buf *out)
{
    enum err e = buf_puts(out, S("{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:"));
    if (e == OK)
        e = buf_printf(out, "%s;base64,", w->media);
    if (e == OK)
        e = buf_puts(out, buf_slice(&w->thought));
    return e == OK ? buf_puts(out, S("\"}}")) : e;
}

/* Base64 and a media type need no escapes, unless somebody lies. */
static bool is_plain(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c <= ' ' || c == '"' || c == '\\' || c > '~')
            return false;
    }
    return s.n > 0;
}

/* Remembers what an image or a signature will need. */
static enum err gather(struct say_writer *w, const struct say *s)
{
    if (s->kind == SAY_OPEN) {
        buf_clear(&w->thought);
        text_copy(w->media, sizeof w->media, s->name);
        return OK;
    }
    if (s->what == BLOCK_IMAGE)
        return buf_puts(&w->thought, s->text);
    if (s->what == BLOCK_THINKING && w->thought.len + s->text.n <= SIGN_MAX)
        return buf_puts(&w->thought, s->text);
    return OK;
}

static bool image_is_sound(const struct say_writer *w)
{
    return is_plain(buf_slice(&w->thought)) && is_plain(slice_of(w->media));
}

static enum err list_comma(struct buf *list)
{
    return list->len > 0 ? buf_puts(list, S(",")) : OK;
}

/* ---- the stream ------------------------------------------------------------------------------ */

static enum err chunks_open(struct say_writer *w, const struct say *s, struct buf *out)
{
    if (s->what != BLOCK_CALL)
        return gather(w, s);
    enum err e = chunk_call(w, s->id, s->name, out);
    w->calls++;
    assert(w->calls > 0);
    w->call_empty = true;
    return e;
}

static enum err chunks_delta(struct say_writer *w, const struct say *s, struct buf *out)
{
    enum err e = gather(w, s);
    if (e != OK || s->text.n == 0)
        return e;
    switch (s->what) {
    case BLOCK_TEXT:
        return chunk_text(w, "content", s->text, out);
    case BLOCK_THINKING:
        return chunk_text(w, "reasoning_content", s->text, out);
    case BLOCK_REFUSAL:
        w->refused = true;
        return chunk_text(w, "refusal", s->text, out);
    case BLOCK_CALL:
        return chunk_arguments(w, s->text, out);
    case BLOCK_REDACTED:
    case BLOCK_IMAGE:
        break;
    }
    return OK;
}

/* A signature or an image: an element of a list, made in a buffer of its own. */
static enum err chunks_element(struct say_writer *w, const struct say *s, struct buf *out)
{
    struct buf one;
    bool sign = s->kind == SAY_SIGN;
    buf_init(&one, WHOLE_MAX);
    enum err e = sign ? detail_print(w, s->text, &one) : image_print(w, &one);
    if (e == OK)
        e = chunk_list(w, sign ? "reasoning_details" : "images", buf_slice(&one), out);
    buf_free(&one);
    return e;
}

static enum err chunks_write(struct say_writer *w, const struct say *s, struct buf *out)
{
    switch (s->kind) {
    case SAY_START:
        return chunk_first(w, out);
    case SAY_OPEN:
        return chunks_open(w, s, out);
    case SAY_DELTA:
        return chunks_delta(w, s, out);
    case SAY_SIGN:
        return chunks_element(w, s, out);
    case SAY_CLOSE:
        if (s->what == BLOCK_CALL && w->call_empty)
            return chunk_arguments(w, S("{}"), out);
        if (s->what == BLOCK_IMAGE && image_is_sound(w))
            return chunks_element(w, s, out);
        return OK;
    case SAY_LOGPROBS:
        return chunk_logprobs(w, s->text, out);
    case SAY_STOP:
        return chunk_stop(w, out);
    case SAY_END:
        return buf_puts(out, S("data: [DONE]\n\n"));
    case SAY_ERROR:
        return dialect_openai.error_event(s->status, s->text, S(""), out);
    case SAY_LIFE:
        return buf_puts(out, dialect_openai.ping);
    }
    return OK;
}

/* ---- the whole body -------------------------------------------------------------------------- */

static enum err whole_open(struct say_writer *w, const struct say *s)
{
    struct jw j;
    if (s->what != BLOCK_CALL)
        return gather(w, s);
    assert((w->calls > 0) == (w->tool_calls.len > 0));
    enum err e = list_comma(&w->tool_calls);
    buf_clear(&w->arguments);
    if (e == OK)
        e = buf_puts(&w->tool_calls, S("{\"id\":"));
    if (e == OK)
        e = json_escape(&w->tool_calls, s->id);
    if (e == OK)
        e = buf_puts(&w->tool_calls, S(",\"type\":\"function\",\"function\":"));
    jw_init(&j, &w->tool_calls); /* left open: the arguments come when the call is over */
    jw_obj(&j);
    jw_kstr(&j, "name", s->name);
    w->calls++;
    return e == OK ? j.err : e;
}

static enum err whole_delta(struct say_writer *w, const struct say *s)
{
    enum err e = gather(w, s);
    if (e != OK)
        return e;
    switch (s->what) {
    case BLOCK_TEXT:
        return buf_puts(&w->text, s->text);
    case BLOCK_THINKING:
        return buf_puts(&w->reasoning, s->text);
    case BLOCK_REFUSAL:
        w->refused = w->refused || s->text.n > 0;
        return buf_puts(&w->refusal, s->text);
    case BLOCK_CALL:
        return buf_puts(&w->arguments, s->text);
    case BLOCK_REDACTED:
    case BLOCK_IMAGE:
        break;
    }
    return OK;
}

static enum err whole_close(struct say_writer *w, const struct say *s)
{
    enum err e = OK;
    if (s->what == BLOCK_CALL) {
        struct slice text = buf_slice(&w->arguments);
        assert(w->calls > 0);
        e = buf_puts(&w->tool_calls, S(",\"arguments\":"));
        if (e == OK)
            e = json_escape(&w->tool_calls, text_blank(text) ? S("{}") : text);
        return e == OK ? buf_puts(&w->tool_calls, S("}}")) : e;
    }
    if (s->what != BLOCK_IMAGE || !image_is_sound(w))
        return OK;
    e = list_comma(&w->images);
    return e == OK ? image_print(w, &w->images) : e;
}

/* The elements of the list `key` go behind those that are there already. */
static enum err probs_add(struct slice probs, struct slice key, struct buf *list)
{
    struct span v;
    if (!span_member(probs, key, &v))
        return OK;
    struct slice array = span_slice(probs, v);
    if (!slice_starts(array, S("[")) || !slice_ends(array, S("]")))
        return OK;
    assert(array.n >= 2);
    struct slice inner = slice_sub(array, 1, array.n - 1);
    if (text_blank(inner))
        return OK;
    enum err e = list_comma(list);
    return e == OK ? buf_puts(list, inner) : e;
}

static void list_print(struct jw *j, const char *key, const struct buf *list)
{
    if (list->len == 0)
        return;
    jw_key(j, key);
    jw_arr(j);
    jw_raw(j, buf_slice(list)); /* elements with their commas: the writer adds none of its own */
    jw_end_arr(j);
}

static void message_print(const struct say_writer *w, struct jw *j)
{
    jw_obj(j);
    jw_kcstr(j, "role", "assistant");
    jw_key(j, "content");
    if (w->text.len > 0 || (w->tool_calls.len == 0 && !w->refused))
        jw_str(j, buf_slice(&w->text));
    else
        jw_null(j);
    jw_key(j, "refusal");
    if (w->refused)
        jw_str(j, buf_slice(&w->refusal));
    else
        jw_null(j);
    if (w->reasoning.len > 0)
        jw_kstr(j, "reasoning_content", buf_slice(&w->reasoning));
    list_print(j, "reasoning_details", &w->signed_details);
    list_print(j, "images", &w->images);
    list_print(j, "tool_calls", &w->tool_calls);
    jw_end_obj(j);
}

static void probs_print(const struct say_writer *w, struct jw *j)
{
    jw_key(j, "logprobs");
    if (w->probs.len == 0 && w->refusal_probs.len == 0) {
        jw_null(j);
        return;
    }
    jw_obj(j);
    list_print(j, "content", &w->probs);
    list_print(j, "refusal", &w->refusal_probs);
    jw_end_obj(j);
}

static enum err whole_print(const struct say_writer *w, struct buf *out)
{
    struct jw j;
    jw_init(&j, out);
    jw_obj(&j);
    head_print(w, &j, "chat.completion");
    jw_key(&j, "choices");
    jw_arr(&j);
    jw_obj(&j);
    jw_ki64(&j, "index", 0);
    jw_key(&j, "message");
    message_print(w, &j);
    probs_print(w, &j);
    jw_kcstr(&j, "finish_reason", finish_word(w));
    jw_end_obj(&j);
    jw_end_arr(&j);
    if (w->usage.known) {
        jw_key(&j, "usage");
        (void)usage_print(&w->usage, &j);
    }
    jw_end_obj(&j);
    return j.err;
}

static enum err whole_write(struct say_writer *w, const struct say *s, struct buf *out)
{
    enum err e = OK;
    switch (s->kind) {
    case SAY_OPEN:
        return whole_open(w, s);
    case SAY_DELTA:
        return whole_delta(w, s);
    case SAY_SIGN:
        e = list_comma(&w->signed_details);
        return e == OK ? detail_print(w, s->text, &w->signed_details) : e;
    case SAY_CLOSE:
        return whole_close(w, s);
    case SAY_LOGPROBS:
        e = probs_add(s->text, S("content"), &w->probs);
        return e == OK ? probs_add(s->text, S("refusal"), &w->refusal_probs) : e;
    case SAY_END:
        return whole_print(w, out);
    case SAY_ERROR:
        return openai_error_print(s->status, s->text, S(""), out);
    case SAY_START:
    case SAY_STOP:
    case SAY_LIFE:
        break;
    }
    return OK;
}

/* ---- the writer ------------------------------------------------------------------------------ */

enum err openai_write(struct say_writer *w, const struct say *s, struct buf *out)
{
    if (w->ended) /* nothing follows an end or an error */
        return OK;
    if (s->kind == SAY_START && slice_starts(s->id, S("chatcmpl-")))
        text_copy(w->id, sizeof w->id, s->id);
    if (s->kind == SAY_STOP) {
        w->stop = s->stop;
        w->usage = s->usage;
    }
    assert(s->kind != SAY_ERROR || s->status >= 400);
    w->ended = s->kind == SAY_END || s->kind == SAY_ERROR;
    return w->whole ? whole_write(w, s, out) : chunks_write(w, s, out);
}

struct say_writer *openai_writer_new(const struct say_context *c, bool whole)
{
    struct say_writer *w = NEW(struct say_writer);
    struct buf *const bufs[] = {&w->front,          &w->thought,    &w->text,         &w->reasoning,
                                &w->refusal,        &w->tool_calls, &w->arguments,    &w->images,
                                &w->signed_details, &w->probs,      &w->refusal_probs};
    for (size_t i = 0; i < sizeof bufs / sizeof bufs[0]; i++)
        buf_init(bufs[i], WHOLE_MAX);
    w->whole = whole;
    w->include_usage = c->include_usage;
    w->created = c->created;
    w->model = mem_slicedup(c->model);
    (void)text_format(w->id, sizeof w->id, "chatcmpl-%.*s", (int)(c->id.n < 64 ? c->id.n : 64),
                      c->id.p);
    return w;
}

void openai_writer_free(struct say_writer *w)
{
    if (w == NULL)
        return;
    struct buf *const bufs[] = {&w->front,          &w->thought,    &w->text,         &w->reasoning,
                                &w->refusal,        &w->tool_calls, &w->arguments,    &w->images,
                                &w->signed_details, &w->probs,      &w->refusal_probs};
    for (size_t i = 0; i < sizeof bufs / sizeof bufs[0]; i++)
        buf_free(bufs[i]);
    mem_free(w->model);
    mem_free(w);
}
