/* Replies in the Gemini dialect, written: says as responses of a stream, or gathered as one.
 * Facts: wire/gemini.md.
 *
 * A call goes out when its arguments are whole. A signature stands on the part behind the thinking
 * that it signs, or on an empty text if nothing follows. Logprobs stand beside an empty text, or in
 * a whole reply at its end. Not written, for the dialect has no words for it: redacted thinking,
 * which stop sequence it was, writes to a cache, bytes of tokens; and thinking that was not asked
 * for. The opening and a sign of life are empty texts: clients take every line
 * for a response. */
#include "codec/gemini.h"

#include <string.h>

#define WHOLE_MAX ((size_t)64 << 20)

struct say_writer {
    bool whole, thinking; /* asked for */
    bool skip;            /* nothing is written of the open block */
    bool started, ended;
    char id[REQUEST_REF_MAX];
    char *model; /* as the client asked; else as the provider named it */
    enum stop_kind stop;
    struct usage usage;
    struct buf tail;        /* of every event: what stands behind its parts; "" = not made yet */
    struct buf parts;       /* whole: so far */
    struct buf text;        /* of the open block: arguments, an image, or (whole) all of it */
    struct buf sign;        /* on the wire, waiting for its part; "" = none */
    struct buf chosen, top; /* logprobs: elements of the two lists, with their commas */
    bool tops;              /* any of them tells of more than the chosen token */
    char *call_id, *call_name;
    char media[64]; /* of the open image */
};

struct say_writer *gemini_writer_new(const struct say_context *c, bool whole)
{
    struct say_writer *w = NEW(struct say_writer);
    w->whole = whole;
    w->thinking = c->thinking;
    w->model = mem_slicedup(c->model);
    text_copy(w->id, sizeof w->id, c->id);
    buf_init(&w->tail, 1 << 20);
    buf_init(&w->parts, WHOLE_MAX);
    buf_init(&w->text, WHOLE_MAX);
    buf_init(&w->sign, WHOLE_MAX);
    buf_init(&w->chosen, WHOLE_MAX);
    buf_init(&w->top, WHOLE_MAX);
    return w;
}

void gemini_writer_free(struct say_writer *w)
{
    if (w == NULL)
        return;
    buf_free(&w->tail);
    buf_free(&w->parts);
    buf_free(&w->text);
    buf_free(&w->sign);
    buf_free(&w->chosen);
    buf_free(&w->top);
    mem_free(w->model);
    mem_free(w->call_id);
    mem_free(w->call_name);
    mem_free(w);
}

/* ---- parts ----------------------------------------------------------------------------------- */

/* The signature that waits, as the last member of an object. */
static enum err sign_take(struct say_writer *w, struct buf *out)
{
    if (w->sign.len == 0)
        return OK;
    enum err e = buf_puts(out, S(",\"thoughtSignature\":"));
    if (e == OK)
        e = json_escape(out, buf_slice(&w->sign));
    buf_clear(&w->sign);
    assert(w->sign.len == 0); /* given once */
    return e;
}

static enum err text_print(struct say_writer *w, enum block_kind what, struct slice text,
                           struct buf *out)
{
    bool thought = what == BLOCK_THINKING;
    enum err e = buf_puts(out, S("{\"text\":"));
    if (e == OK)
        e = json_escape(out, text);
    if (e == OK && thought)
        e = buf_puts(out, S(",\"thought\":true"));
    if (e == OK && !thought)
        e = sign_take(w, out);
    return e == OK ? buf_puts(out, S("}")) : e;
}

static enum err call_print(struct say_writer *w, struct buf *out)
{
    assert(w->call_id != NULL && w->call_name != NULL);
    enum err e = buf_puts(out, S("{\"functionCall\":{\"id\":"));
    if (e == OK)
        e = json_escape(out, slice_of(w->call_id));
    if (e == OK)
        e = buf_puts(out, S(",\"name\":"));
    if (e == OK)
        e = json_escape(out, slice_of(w->call_name));
    if (e == OK)
        e = buf_puts(out, S(",\"args\":"));
    if (e == OK)
        e = call_input(buf_slice(&w->text), out);
    if (e == OK)
        e = buf_puts(out, S("}"));
    if (e == OK)
        e = sign_take(w, out);
    return e == OK ? buf_puts(out, S("}")) : e;
}

static enum err image_print(struct say_writer *w, struct buf *out)
{
    assert(w->text.len > 0);
    enum err e = buf_puts(out, S("{\"inlineData\":{\"mimeType\":"));
    if (e == OK)
        e = json_escape(out, slice_of(w->media));
    if (e == OK)
        e = buf_puts(out, S(",\"data\":"));
    if (e == OK)
        e = json_escape(out, buf_slice(&w->text));
    if (e == OK)
        e = buf_puts(out, S("}"));
    if (e == OK)
        e = sign_take(w, out);
    return e == OK ? buf_puts(out, S("}")) : e;
}

/* ---- events ---------------------------------------------------------------------------------- */

#define FRONT "data: {\"candidates\":[{\"content\":{\"parts\":["
#define BACK  "],\"role\":\"model\"}"

static enum err tail_make(struct say_writer *w)
{
    assert(!w->whole && w->model != NULL);
    if (w->tail.len > 0)
        return OK;
    enum err e = buf_puts(&w->tail, S(BACK ",\"index\":0}],\"modelVersion\":"));
    if (e == OK)
        e = json_escape(&w->tail, slice_of(w->model));
    if (e == OK)
        e = buf_puts(&w->tail, S(",\"responseId\":"));
    if (e == OK)
        e = json_escape(&w->tail, slice_of(w->id));
    return e == OK ? buf_puts(&w->tail, S("}\n\n")) : e;
}

/* Begins a part: in an event of its own, or behind the others. */
static enum err part_begin(struct say_writer *w, struct buf *out)
{
    if (w->whole)
        return w->parts.len > 0 ? buf_puts(&w->parts, S(",")) : OK;
    return buf_puts(out, S(FRONT));
}

static enum err part_end(struct say_writer *w, struct buf *out)
{
    if (w->whole)
        return OK;
    enum err e = tail_make(w);
    return e == OK ? buf_puts(out, buf_slice(&w->tail)) : e;
}

static enum err text_part(struct say_writer *w, enum block_kind what, struct slice text,
                          struct buf *out)
{
    enum err e = part_begin(w, out);
    if (e == OK)
        e = text_print(w, what, text, w->whole ? &w->parts : out);
    return e == OK ? part_end(w, out) : e;
}

/* A signature whose part did not come. */
static enum err sign_flush(struct say_writer *w, struct buf *out)
{
    return w->sign.len > 0 ? text_part(w, BLOCK_TEXT, S(""), out) : OK;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static enum err block_open(struct say_writer *w, const struct say *s, struct buf *out)
{
    w->skip = s->what == BLOCK_REDACTED || (s->what == BLOCK_THINKING && !w->thinking);
    buf_clear(&w->text);
    if (s->what == BLOCK_CALL) {
        mem_free(w->call_id);
        mem_free(w->call_name);
        w->call_id = mem_slicedup(s->id);
        w->call_name = mem_slicedup(s->name);
    } else if (s->what == BLOCK_IMAGE) {
        text_copy(w->media, sizeof w->media, s->name);
    }
    return s->what == BLOCK_THINKING && !w->skip ? sign_flush(w, out) : OK;
}

static enum err block_delta(struct say_writer *w, const struct say *s, struct buf *out)
{
    if (w->skip || s->text.n == 0)
        return OK;
    if (w->whole || s->what == BLOCK_CALL || s->what == BLOCK_IMAGE)
        return buf_puts(&w->text, s->text);
    return text_part(w, s->what, s->text, out);
}

static enum err block_close(struct say_writer *w, const struct say *s, struct buf *out)
{
    bool object = s->what == BLOCK_CALL || (s->what == BLOCK_IMAGE && w->text.len > 0);
    struct buf *into = w->whole ? &w->parts : out;
    enum err e = OK;
    if (w->skip)
        return OK;
    if (object) {
        e = part_begin(w, out);
        if (e == OK)
            e = s->what == BLOCK_CALL ? call_print(w, into) : image_print(w, into);
        if (e == OK)
            e = part_end(w, out);
    } else if (w->text.len > 0) {
        assert(w->whole);
        e = text_part(w, s->what, buf_slice(&w->text), out);
    }
    buf_clear(&w->text);
    return e;
}

/* In a whole reply the thinking is not yet printed when its signature comes; it waits likewise. */
static enum err sign_take_in(struct say_writer *w, const struct say *s)
{
    if (w->skip || s->text.n == 0)
        return OK;
    buf_clear(&w->sign);
    return gemini_sign_write(s->text, &w->sign);
}

/* ---- logprobs -------------------------------------------------------------------------------- */

static void token_put(struct jw *j, const struct json_val *v)
{
    double p = 0;
    (void)json_f64(json_get(v, "logprob"), &p);
    jw_obj(j);
    jw_kstr(j, "token", json_get_str(v, "token"));
    jw_kf64(j, "logProbability", p);
    jw_end_obj(j);
}

/* One token of OpenAI's list as an element of each of Gemini's two. */
static enum err logprob_put(struct say_writer *w, const struct json_val *v)
{
    const struct json_val *tops = json_get(v, "top_logprobs");
    struct jw chosen, top;
    enum err e = w->chosen.len > 0 ? buf_puts(&w->chosen, S(",")) : OK;
    if (e == OK && w->top.len > 0)
        e = buf_puts(&w->top, S(","));
    if (e != OK)
        return e;
    jw_init(&chosen, &w->chosen);
    token_put(&chosen, v);
    jw_init(&top, &w->top);
    jw_obj(&top);
    jw_key(&top, "candidates");
    jw_arr(&top);
    for (size_t i = 0; i < json_len(tops); i++)
        token_put(&top, json_at(tops, i));
    jw_end_arr(&top);
    jw_end_obj(&top);
    w->tops = w->tops || json_len(tops) > 0;
    return chosen.err == OK ? top.err : chosen.err;
}

static enum err logprobs_print(struct say_writer *w, struct buf *out)
{
    enum err e = buf_puts(out, S(",\"logprobsResult\":{\"chosenCandidates\":["));
    e = e == OK ? buf_puts(out, buf_slice(&w->chosen)) : e;
    e = e == OK && w->tops ? buf_puts(out, S("],\"topCandidates\":[")) : e;
    e = e == OK && w->tops ? buf_puts(out, buf_slice(&w->top)) : e;
    e = e == OK ? buf_puts(out, S("]}")) : e;
    buf_clear(&w->chosen);
    buf_clear(&w->top);
    w->tops = false;
    return e;
}

/* `text`: OpenAI's object. What it is none of is left out: it is not what the reply is about. */
static enum err logprobs_put(struct say_writer *w, struct slice text, struct buf *out)
{
    struct json *doc = NULL;
    enum err e = OK;
    if (json_parse(text, &doc) != OK)
        return OK;
    const struct json_val *list = json_get(json_root(doc), "content");
    for (size_t i = 0; e == OK && i < json_len(list); i++)
        e = logprob_put(w, json_at(list, i));
    json_free(doc);
    if (e != OK || w->whole || w->chosen.len == 0)
        return e;
    e = tail_make(w);
    e = e == OK ? buf_puts(out, S(FRONT "{\"text\":\"\"}" BACK)) : e;
    e = e == OK ? logprobs_print(w, out) : e;
    struct slice tail = buf_slice(&w->tail);
    return e == OK ? buf_puts(out, slice_sub(tail, sizeof BACK - 1, tail.n)) : e;
}

/* ---- the end --------------------------------------------------------------------------------- */

static const char *finish_word(enum stop_kind stop)
{
    switch (stop) {
    case STOP_LENGTH:
        return "MAX_TOKENS";
    case STOP_REFUSAL:
        return "SAFETY";
    case STOP_END:
    case STOP_CALLS:
    case STOP_SEQUENCE:
    case STOP_PAUSE:
        break;
    }
    return "STOP";
}

static void usage_print(struct jw *j, const struct usage *u)
{
    int64_t prompt = u->input + u->cache_read + u->cache_write_5m + u->cache_write_1h;
    int64_t thoughts = u->thinking < u->output ? u->thinking : u->output;
    if (!u->known)
        return;
    assert(prompt >= 0 && thoughts >= 0 && u->output >= thoughts);
    jw_key(j, "usageMetadata");
    jw_obj(j);
    jw_ki64(j, "promptTokenCount", prompt);
    jw_ki64(j, "candidatesTokenCount", u->output - thoughts);
    if (thoughts > 0)
        jw_ki64(j, "thoughtsTokenCount", thoughts);
    if (u->cache_read > 0)
        jw_ki64(j, "cachedContentTokenCount", u->cache_read);
    jw_ki64(j, "totalTokenCount", prompt + u->output);
    jw_end_obj(j);
}

/* The response that brings the end: with the last signature, if it waits still. There is always a
 * part, for clients look for one. */
static enum err last_print(struct say_writer *w, struct buf *out)
{
    struct jw j;
    enum err e = OK;
    if (w->parts.len == 0 || w->sign.len > 0) {
        e = w->parts.len > 0 ? buf_puts(&w->parts, S(",")) : OK;
        if (e == OK)
            e = text_print(w, BLOCK_TEXT, S(""), &w->parts);
    }
    assert(e != OK || (w->parts.len > 0 && w->sign.len == 0));
    jw_init(&j, out);
    jw_obj(&j);
    jw_key(&j, "candidates");
    jw_arr(&j);
    jw_obj(&j);
    jw_key(&j, "content");
    jw_obj(&j);
    jw_key(&j, "parts");
    jw_arr(&j);
    jw_raw(&j, buf_slice(&w->parts)); /* elements with their commas */
    jw_end_arr(&j);
    jw_kcstr(&j, "role", "model");
    jw_end_obj(&j);
    jw_kcstr(&j, "finishReason", finish_word(w->stop));
    jw_ki64(&j, "index", 0);
    if (e == OK && w->chosen.len > 0)
        e = logprobs_print(w, out); /* a member more of the same object */
    jw_end_obj(&j);
    jw_end_arr(&j);
    usage_print(&j, &w->usage);
    jw_kcstr(&j, "modelVersion", w->model);
    jw_kcstr(&j, "responseId", w->id);
    jw_end_obj(&j);
    return e == OK ? j.err : e;
}

static enum err reply_stop(struct say_writer *w, const struct say *s, struct buf *out)
{
    w->stop = s->stop;
    if (s->usage.known)
        w->usage = s->usage;
    if (w->whole)
        return OK;
    enum err e = buf_puts(out, S("data: "));
    if (e == OK)
        e = last_print(w, out);
    return e == OK ? buf_puts(out, S("\n\n")) : e;
}

static enum err reply_error(struct say_writer *w, const struct say *s, struct buf *out)
{
    char text[1024];
    int status = s->status >= 400 ? s->status : 500;
    status = error_status_in(DIALECT_GEMINI, status, s->error, s->error_type, s->text);
    error_text_in(DIALECT_GEMINI, s->error_type, s->text, text, sizeof text);
    if (w->whole)
        return gemini_error_print(status, slice_of(text), S(""), out);
    enum err e = sign_flush(w, out);
    return e == OK ? dialect_gemini.error_event(status, slice_of(text), S(""), out) : e;
}

/* An empty text; the signature that waits is not its. */
static enum err empty_put(struct say_writer *w, struct buf *out)
{
    enum err e = w->whole ? OK : buf_puts(out, S(FRONT "{\"text\":\"\"}"));
    return e == OK ? part_end(w, out) : e;
}

static enum err reply_start(struct say_writer *w, const struct say *s, struct buf *out)
{
    w->started = true;
    if (s->id.n > 0)
        text_copy(w->id, sizeof w->id, s->id);
    if (w->model[0] == '\0') { /* it stands in the path, where the gateway need not look */
        mem_free(w->model);
        w->model = mem_slicedup(s->model);
    }
    if (s->usage.known)
        w->usage = s->usage;
    return empty_put(w, out);
}

enum err gemini_write(struct say_writer *w, const struct say *s, struct buf *out)
{
    if (w->ended) /* nothing follows an end or an error */
        return OK;
    w->ended = s->kind == SAY_END || s->kind == SAY_ERROR;
    assert(w->started || s->kind == SAY_START || s->kind == SAY_ERROR || s->kind == SAY_LIFE);
    switch (s->kind) {
    case SAY_START:
        return reply_start(w, s, out);
    case SAY_OPEN:
        return block_open(w, s, out);
    case SAY_DELTA:
        return block_delta(w, s, out);
    case SAY_SIGN:
        return sign_take_in(w, s);
    case SAY_CLOSE:
        return block_close(w, s, out);
    case SAY_STOP:
        return reply_stop(w, s, out);
    case SAY_END:
        return w->whole ? last_print(w, out) : OK;
    case SAY_ERROR:
        return reply_error(w, s, out);
    case SAY_LIFE:
        return w->started ? empty_put(w, out) : OK;
    case SAY_LOGPROBS:
        return logprobs_put(w, s->text, out);
    }
    return OK;
}
