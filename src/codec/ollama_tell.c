/* Replies in the Ollama dialect, written: says as lines, or gathered as one body.
 * Facts: wire/ollama.md.
 *
 * A call goes out when its arguments are whole. Not written, for the dialect has no words for it:
 * signatures, redacted thinking, which stop sequence it was, a refusal (its text is text), tokens
 * read from and written to a cache apart from the others, images; and thinking that was not asked
 * for. Durations are not known. */
#include "codec/ollama.h"
#include "codec/span.h"

#include <string.h>

#define WHOLE_MAX ((size_t)64 << 20)

struct say_writer {
    bool whole, thinking; /* asked for */
    bool skip;            /* nothing is written of the open block */
    bool started, ended;
    char created[TEXT_TIME_MAX];
    char *model;
    struct buf front; /* of every line: up to its message; "" = not made yet */
    struct buf arguments;
    char *call_id, *call_name;
    enum stop_kind stop;
    struct usage usage;
    /* whole */
    struct buf text, thought, calls, probs;
};

struct say_writer *ollama_writer_new(const struct say_context *c, bool whole)
{
    struct say_writer *w = NEW(struct say_writer);
    struct buf *const bufs[] = {&w->front,   &w->arguments, &w->text,
                                &w->thought, &w->calls,     &w->probs};
    for (size_t i = 0; i < sizeof bufs / sizeof bufs[0]; i++)
        buf_init(bufs[i], WHOLE_MAX);
    w->whole = whole;
    w->thinking = c->thinking;
    w->model = mem_slicedup(c->model);
    (void)text_from_time(c->created * 1000, w->created);
    return w;
}

void ollama_writer_free(struct say_writer *w)
{
    if (w == NULL)
        return;
    struct buf *const bufs[] = {&w->front,   &w->arguments, &w->text,
                                &w->thought, &w->calls,     &w->probs};
    for (size_t i = 0; i < sizeof bufs / sizeof bufs[0]; i++)
        buf_free(bufs[i]);
    mem_free(w->model);
    mem_free(w->call_id);
    mem_free(w->call_name);
    mem_free(w);
}

/* ---- lines ----------------------------------------------------------------------------------- */

#define DONE_NOT ",\"done\":false}\n"

static enum err front_put(struct say_writer *w, struct buf *out)
{
    enum err e = OK;
    assert(!w->whole && w->model != NULL);
    if (w->front.len == 0) {
        e = buf_puts(&w->front, S("{\"model\":"));
        if (e == OK)
            e = json_escape(&w->front, slice_of(w->model));
        if (e == OK)
            e = buf_printf(&w->front, ",\"created_at\":\"%s\",\"message\":", w->created);
    }
    return e == OK ? buf_puts(out, buf_slice(&w->front)) : e;
}

static enum err text_line(struct say_writer *w, bool thought, struct slice text, struct buf *out)
{
    enum err e = front_put(w, out);
    if (e == OK)
        e = buf_puts(out, thought ? S("{\"role\":\"assistant\",\"content\":\"\",\"thinking\":")
                                  : S("{\"role\":\"assistant\",\"content\":"));
    if (e == OK)
        e = json_escape(out, text);
    return e == OK ? buf_puts(out, S("}" DONE_NOT)) : e;
}

static enum err call_print(const struct say_writer *w, struct buf *out)
{
    assert(w->call_id != NULL && w->call_name != NULL);
    enum err e = buf_puts(out, S("{\"id\":"));
    if (e == OK)
        e = json_escape(out, slice_of(w->call_id));
    if (e == OK)
        e = buf_puts(out, S(",\"function\":{\"name\":"));
    if (e == OK)
        e = json_escape(out, slice_of(w->call_name));
    if (e == OK)
        e = buf_puts(out, S(",\"arguments\":"));
    if (e == OK)
        e = call_input(buf_slice(&w->arguments), out);
    return e == OK ? buf_puts(out, S("}}")) : e;
}

static enum err call_line(struct say_writer *w, struct buf *out)
{
    enum err e = front_put(w, out);
    if (e == OK)
        e = buf_puts(out, S("{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":["));
    if (e == OK)
        e = call_print(w, out);
    return e == OK ? buf_puts(out, S("]}" DONE_NOT)) : e;
}

/* The tokens of {"content":[...]}, with their brackets; "" when there are none. */
static struct slice tokens_of(struct slice probs)
{
    struct span v;
    struct slice list = {"", 0};
    if (span_member(probs, S("content"), &v))
        list = span_slice(probs, v);
    return slice_starts(list, S("[")) && list.n > 2 ? list : S("");
}

static enum err probs_line(struct say_writer *w, struct slice tokens, struct buf *out)
{
    enum err e = front_put(w, out);
    if (e == OK)
        e = buf_puts(out, S("{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":"));
    size_t start = out->len;
    if (e == OK)
        e = buf_puts(out, tokens);
    for (size_t i = start; i < out->len; i++) {
        if (out->p[i] == '\n' || out->p[i] == '\r')
            out->p[i] = ' '; /* white space of somebody's print, which would end the line */
    }
    return e == OK ? buf_puts(out, S(DONE_NOT)) : e;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static void block_open(struct say_writer *w, const struct say *s)
{
    w->skip = s->what == BLOCK_REDACTED || s->what == BLOCK_IMAGE ||
              (s->what == BLOCK_THINKING && !w->thinking);
    if (s->what != BLOCK_CALL)
        return;
    buf_clear(&w->arguments);
    mem_free(w->call_id);
    mem_free(w->call_name);
    w->call_id = mem_slicedup(s->id);
    w->call_name = mem_slicedup(s->name);
}

static enum err block_delta(struct say_writer *w, const struct say *s, struct buf *out)
{
    bool thought = s->what == BLOCK_THINKING;
    if (w->skip || s->text.n == 0)
        return OK;
    if (s->what == BLOCK_CALL)
        return buf_puts(&w->arguments, s->text);
    if (w->whole)
        return buf_puts(thought ? &w->thought : &w->text, s->text);
    return text_line(w, thought, s->text, out);
}

static enum err block_close(struct say_writer *w, const struct say *s, struct buf *out)
{
    if (s->what != BLOCK_CALL)
        return OK;
    if (!w->whole)
        return call_line(w, out);
    enum err e = w->calls.len > 0 ? buf_puts(&w->calls, S(",")) : OK;
    return e == OK ? call_print(w, &w->calls) : e;
}

static enum err probs_add(struct say_writer *w, struct slice probs, struct buf *out)
{
    struct slice tokens = tokens_of(probs);
    if (tokens.n == 0)
        return OK;
    if (!w->whole)
        return probs_line(w, tokens, out);
    enum err e = w->probs.len > 0 ? buf_puts(&w->probs, S(",")) : OK;
    return e == OK ? buf_puts(&w->probs, slice_sub(tokens, 1, tokens.n - 1)) : e;
}

/* ---- the end --------------------------------------------------------------------------------- */

static void message_print(const struct say_writer *w, struct jw *j)
{
    jw_obj(j);
    jw_kcstr(j, "role", "assistant");
    jw_kstr(j, "content", buf_slice(&w->text));
    if (w->thought.len > 0)
        jw_kstr(j, "thinking", buf_slice(&w->thought));
    if (w->calls.len > 0) {
        jw_key(j, "tool_calls");
        jw_arr(j);
        jw_raw(j, buf_slice(&w->calls)); /* elements with their commas */
        jw_end_arr(j);
    }
    jw_end_obj(j);
}

/* The last line, which is the whole reply where nothing has gone out before. */
static enum err last_print(const struct say_writer *w, struct buf *out)
{
    const struct usage *u = &w->usage;
    struct jw j;
    assert(!u->known || (u->input >= 0 && u->output >= 0));
    assert(w->whole || w->text.len + w->thought.len + w->calls.len + w->probs.len == 0);
    jw_init(&j, out);
    jw_obj(&j);
    jw_kcstr(&j, "model", w->model);
    jw_kcstr(&j, "created_at", w->created);
    jw_key(&j, "message");
    message_print(w, &j);
    if (w->probs.len > 0) {
        jw_key(&j, "logprobs");
        jw_arr(&j);
        jw_raw(&j, buf_slice(&w->probs));
        jw_end_arr(&j);
    }
    jw_kbool(&j, "done", true);
    jw_kcstr(&j, "done_reason", w->stop == STOP_LENGTH ? "length" : "stop");
    if (u->known) {
        jw_ki64(&j, "prompt_eval_count",
                u->input + u->cache_read + u->cache_write_5m + u->cache_write_1h);
        jw_ki64(&j, "eval_count", u->output);
    }
    jw_end_obj(&j);
    return j.err;
}

static enum err reply_stop(struct say_writer *w, const struct say *s, struct buf *out)
{
    w->stop = s->stop;
    if (s->usage.known)
        w->usage = s->usage;
    if (w->whole)
        return OK;
    enum err e = last_print(w, out);
    return e == OK ? buf_puts(out, S("\n")) : e;
}

static enum err reply_error(const struct say_writer *w, const struct say *s, struct buf *out)
{
    char text[1024];
    error_text_in(DIALECT_OLLAMA, s->error_type, s->text, text, sizeof text);
    if (w->whole)
        return ollama_error_print(500, slice_of(text), S(""), out); /* no status is told in it */
    return dialect_ollama.error_event(500, slice_of(text), S(""), out);
}

/* A line that says nothing: a sign of life for a client that parses every line. */
static enum err empty_put(struct say_writer *w, struct buf *out)
{
    return w->started && !w->whole ? text_line(w, false, S(""), out) : OK;
}

static enum err reply_start(struct say_writer *w, const struct say *s, struct buf *out)
{
    w->started = true;
    if (w->model[0] == '\0') {
        mem_free(w->model);
        w->model = mem_slicedup(s->model);
    }
    if (s->usage.known)
        w->usage = s->usage;
    return empty_put(w, out);
}

enum err ollama_write(struct say_writer *w, const struct say *s, struct buf *out)
{
    if (w->ended) /* nothing follows an end or an error */
        return OK;
    w->ended = s->kind == SAY_END || s->kind == SAY_ERROR;
    assert(w->started || s->kind == SAY_START || s->kind == SAY_ERROR || s->kind == SAY_LIFE);
    switch (s->kind) {
    case SAY_START:
        return reply_start(w, s, out);
    case SAY_OPEN:
        block_open(w, s);
        return OK;
    case SAY_DELTA:
        return block_delta(w, s, out);
    case SAY_CLOSE:
        return block_close(w, s, out);
    case SAY_LOGPROBS:
        return probs_add(w, s->text, out);
    case SAY_STOP:
        return reply_stop(w, s, out);
    case SAY_END:
        return w->whole ? last_print(w, out) : OK;
    case SAY_ERROR:
        return reply_error(w, s, out);
    case SAY_LIFE:
        return empty_put(w, out);
    case SAY_SIGN:
        break;
    }
    return OK;
}
