/* A reply on its way from one dialect and framing to another.
 *
 *   bytes -> framer -> event -> reader -> says -> writer -> frames -> bytes
 *                        |                 |
 *                        |                 '-> the observation, whatever else happens
 *                        '-> frames, untouched, where both sides speak the same dialect; then the
 *                            dialect's observing half looks on, as it does in pass-through
 *
 * Nothing waits: what a piece of the reply completes has gone out when translate_feed returns. What
 * is appended is whole events only; an event that cannot be written to its end is taken back. */
#include "codec/aws_frames.h"
#include "codec/dialect.h"
#include "codec/framing.h"

#include <string.h>

#define MID_KEEP ((size_t)16 * 1024)

struct translate {
    struct translate_plan plan; /* its slices point to the copies below */
    char *model, *id;
    const struct dialect_ops *ops; /* not NULL: events pass untouched, and this one looks on */
    const struct dialect_canon *from, *to;
    struct say_reader *reader; /* NULL where events pass untouched; so is the writer */
    struct say_writer *writer;
    struct framer in;
    struct frames out;
    struct buf mid; /* a writer's SSE text on its way into another framing */
    struct sse mid_sse;
    struct buf *sink;            /* of the call in progress */
    enum err err;                /* sticks */
    bool ended, errored;         /* END or ERROR has been said: nothing follows */
    bool started, stopped, open; /* what the reader has said so far, see is_in_turn */
    enum block_kind what;        /* of the open block */
    int status;                  /* of ERROR, for the client */
    struct reading reading;      /* what was seen; all but .seen is of `ops` */
};

/* ---- life ------------------------------------------------------------------------------------ */

static bool is_whole(enum framing f)
{
    return f == FRAMING_WHOLE;
}

/* Does the writer's own text have this framing? Else it is SSE and is framed anew. */
static bool is_native(const struct translate *t)
{
    enum framing stream = t->plan.to == DIALECT_OLLAMA ? FRAMING_LINES : FRAMING_SSE;
    return is_whole(t->plan.out) || t->plan.out == stream;
}

static void halves_new(struct translate *t)
{
    const struct translate_plan *p = &t->plan;
    struct say_context c = {.model = p->model,
                            .id = p->id,
                            .created = p->created,
                            .thinking = p->thinking,
                            .include_usage = p->include_usage,
                            .names = p->names};
    t->from = dialect_ops_of(p->from)->canon;
    t->to = dialect_ops_of(p->to)->canon;
    assert(t->from != NULL && t->to != NULL); /* routes lead only where there is a translation */
    t->reader = t->from->reader_new(&c);
    t->writer = t->to->writer_new(&c, is_whole(p->out));
}

struct translate *translate_new(const struct translate_plan *p)
{
    struct translate *t = NEW(struct translate);
    bool untouched = p->from == p->to && is_whole(p->in) == is_whole(p->out);
    t->plan = *p;
    t->model = mem_slicedup(p->model);
    t->id = mem_slicedup(p->id);
    t->plan.model = (struct slice){t->model, p->model.n};
    t->plan.id = (struct slice){t->id, p->id.n};
    reading_init(&t->reading);
    if (untouched)
        t->ops = dialect_ops_of(p->from);
    else
        halves_new(t);
    framer_init(&t->in, p->in);
    t->out = (struct frames){.kind = p->out};
    buf_init(&t->mid, 2 * FRAMING_EVENT_MAX);
    sse_init(&t->mid_sse, 2 * FRAMING_EVENT_MAX);
    return t;
}

void translate_free(struct translate *t)
{
    if (t == NULL)
        return;
    if (t->ops == NULL) {
        t->from->reader_free(t->reader);
        t->to->writer_free(t->writer);
    }
    framer_free(&t->in);
    buf_free(&t->mid);
    sse_free(&t->mid_sse);
    reading_free(&t->reading);
    mem_free(t->model);
    mem_free(t->id);
    mem_free(t);
}

const struct observation *translate_see(const struct translate *t)
{
    return &t->reading.seen;
}

int translate_status(const struct translate *t)
{
    return t->status;
}

/* ---- observing ------------------------------------------------------------------------------- */

static void see_usage(struct observation *seen, const struct usage *u)
{
    struct usage before = seen->usage;
    if (!u->known)
        return;
    seen->usage = *u;
    if (u->service_tier[0] == '\0')
        memcpy(seen->usage.service_tier, before.service_tier, sizeof before.service_tier);
    if (u->speed[0] == '\0')
        memcpy(seen->usage.speed, before.speed, sizeof before.speed);
    if (u->inference_geo[0] == '\0')
        memcpy(seen->usage.inference_geo, before.inference_geo, sizeof before.inference_geo);
}

static void see(struct translate *t, const struct say *s)
{
    struct observation *seen = &t->reading.seen;
    struct reply_words *words;
    switch (s->kind) {
    case SAY_START:
        text_copy(seen->model, sizeof seen->model, s->model);
        text_copy(seen->message_id, sizeof seen->message_id, s->id);
        see_usage(seen, &s->usage);
        return;
    case SAY_LIFE:
        return;
    case SAY_ERROR:
        seen->error = s->error != REPLY_ERROR_NONE ? s->error : REPLY_ERROR_OTHER;
        see_usage(seen, &s->usage);
        words = reply_words_room(seen);
        text_copy(words->error_type, sizeof words->error_type, s->error_type);
        text_copy(words->error_message, sizeof words->error_message, s->text);
        t->errored = true;
        t->status = error_status_in(t->plan.to, s->status >= 400 ? s->status : 500, seen->error,
                                    s->error_type, s->text);
        return;
    case SAY_STOP:
        text_copy(seen->stop_reason, sizeof seen->stop_reason, slice_of(stop_name(s->stop)));
        see_usage(seen, &s->usage);
        break;
    case SAY_END:
        seen->terminal = t->ended = true;
        break;
    case SAY_OPEN:
    case SAY_DELTA:
    case SAY_SIGN:
    case SAY_CLOSE:
    case SAY_LOGPROBS:
        break;
    }
    seen->meaningful = true;
}

/* The order that canon.h promises the writers. A reader that breaks it has met something it did not
 * expect: that ends the reply, not the process. */
static bool is_in_turn(struct translate *t, const struct say *s)
{
    bool fine = t->started && !t->stopped;
    switch (s->kind) {
    case SAY_START:
        fine = !t->started;
        t->started = true;
        return fine;
    case SAY_OPEN:
        fine = fine && !t->open;
        t->open = true;
        t->what = s->what;
        return fine;
    case SAY_DELTA:
    case SAY_SIGN:
        return fine && t->open && s->what == t->what;
    case SAY_CLOSE:
        fine = fine && t->open && s->what == t->what;
        t->open = false;
        return fine;
    case SAY_STOP:
        fine = fine && !t->open;
        t->stopped = true;
        return fine;
    case SAY_END:
        return t->stopped;
    case SAY_LOGPROBS:
        return fine;
    case SAY_ERROR:
    case SAY_LIFE:
        break;
    }
    return true;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void on_mid(void *arg, const struct sse_event *e)
{
    struct translate *t = arg;
    if (t->err == OK && e->overflow)
        t->err = ERR_LIMIT;
    /* The goodbye of a dialect is no event of another framing. */
    if (t->err == OK && !slice_eq(e->data, S("[DONE]")))
        t->err = frames_put(&t->out, e->name, e->data, t->sink);
}

/* One long event must not cost its memory until the stream ends. */
static void mid_clear(struct translate *t)
{
    if (t->mid.cap > MID_KEEP)
        buf_free(&t->mid);
    buf_clear(&t->mid);
    if (t->mid_sse.data.len == 0 && t->mid_sse.data.cap > MID_KEEP)
        buf_free(&t->mid_sse.data);
}

static enum err write_framed(struct translate *t, const struct say *s)
{
    mid_clear(t);
    enum err e = t->to->write(t->writer, s, &t->mid);
    if (e != OK)
        return e;
    sse_feed(&t->mid_sse, buf_slice(&t->mid), on_mid, t);
    if (t->err == OK && (s->kind == SAY_END || s->kind == SAY_ERROR))
        t->err = frames_end(&t->out, t->sink);
    return t->err;
}

static enum err write_say(struct translate *t, const struct say *s)
{
    size_t start = t->sink->len;
    enum err e = is_native(t) ? t->to->write(t->writer, s, t->sink) : write_framed(t, s);
    assert(t->sink->len >= start); /* writers only append */
    if (e != OK)
        t->sink->len = start;
    return e;
}

static enum err on_say(void *arg, const struct say *s)
{
    struct translate *t = arg;
    struct say said = *s;
    if (t->ended || t->errored)
        return OK;
    if (!is_in_turn(t, s))
        return ERR_SYNTAX;
    see(t, s);
    if (s->kind == SAY_OPEN && s->what == BLOCK_CALL)
        said.name = names_back(t->plan.names, s->name);
    return write_say(t, &said);
}

/* ---- reading --------------------------------------------------------------------------------- */

static int status_of(enum reply_error error)
{
    switch (error) {
    case REPLY_ERROR_RATE_LIMIT:
        return 429;
    case REPLY_ERROR_OVERLOADED:
        return 529;
    case REPLY_ERROR_AUTH:
        return 401;
    case REPLY_ERROR_BILLING:
        return 402;
    case REPLY_ERROR_CLIENT:
        return 400;
    case REPLY_ERROR_NONE:
    case REPLY_ERROR_SERVER:
    case REPLY_ERROR_OTHER:
        break;
    }
    return 500;
}

/* Looks at an event that passes untouched. Who only looks disturbs nothing: what makes no sense to
 * him passes too. */
static void look(struct translate *t, struct slice name, struct slice data)
{
    struct observation *seen = &t->reading.seen;
    enum event_use use = is_whole(t->plan.in) ? EVENT_READ : t->ops->event_use(name);
    bool sense = true;
    if (is_whole(t->plan.in))
        sense = t->ops->body(&t->reading, data);
    else if (use == EVENT_READ || use == EVENT_SNIFF)
        sense = t->ops->event(&t->reading, name, data);
    else if (use == EVENT_PASS)
        seen->meaningful = true;
    if (!sense)
        seen->blind = true;
    if (is_whole(t->plan.in))
        seen->terminal = seen->meaningful = true;
    if (seen->error != REPLY_ERROR_NONE && !t->errored) {
        t->errored = true;
        t->status = error_status_in(t->plan.to, status_of(seen->error), seen->error,
                                    slice_of(reply_words(seen)->error_type),
                                    slice_of(reply_words(seen)->error_message));
    }
    t->ended = seen->terminal;
}

static enum err on_event(void *arg, struct slice name, struct slice data)
{
    struct translate *t = arg;
    if (t->ops != NULL) {
        look(t, name, data);
        return frames_put(&t->out, name, data, t->sink);
    }
    if (t->ended || t->errored)
        return OK;
    return t->from->read(t->reader, name, data, is_whole(t->plan.in), on_say, t);
}

enum err translate_feed(struct translate *t, struct slice bytes, struct buf *out)
{
    assert(t->err == OK && t->sink == NULL); /* not from within a call */
    assert(bytes.p != NULL || bytes.n == 0);
    t->sink = out;
    enum err e = bytes.n > 0 ? framer_feed(&t->in, bytes, on_event, t) : OK;
    if (t->err == OK)
        t->err = e;
    t->sink = NULL;
    return t->err;
}

enum err translate_end(struct translate *t, struct buf *out)
{
    assert(t->err == OK && t->sink == NULL);
    t->sink = out;
    enum err e = framer_end(&t->in, on_event, t);
    struct observation *seen = &t->reading.seen;
    if (e == OK && t->ops != NULL && t->ops->stop_ends && seen->stop_reason[0] != '\0')
        t->ended = seen->terminal = true;
    bool told = t->ended || t->errored;
    if (e == ERR_EOF && told) /* cut behind its end: nothing is lost */
        e = OK;
    if (e == OK && !told && t->ops == NULL)
        e = t->from->read_end(t->reader, on_say, t);
    if (e == OK && !t->ended && !t->errored)
        e = ERR_EOF;
    if (e == OK && t->ops != NULL)
        e = frames_end(&t->out, out);
    if (t->err == OK)
        t->err = e;
    t->sink = NULL;
    return t->err;
}

/* ---- the gateway's own words ----------------------------------------------------------------- */

static enum err error_untouched(struct translate *t, int status, struct slice message,
                                struct buf *out)
{
    enum dialect d = t->plan.to;
    if (t->plan.out == FRAMING_SSE)
        return codec_error_event(d, status, message, t->plan.id, out);
    if (t->plan.out == FRAMING_AWS)
        return aws_frame_put_exception(status, message, out);
    buf_clear(&t->mid);
    enum err e = codec_error_body(d, status, message, t->plan.id, &t->mid);
    if (e == OK)
        e = frames_put(&t->out, S("error"), buf_slice(&t->mid), out);
    return e == OK ? frames_end(&t->out, out) : e;
}

enum err translate_error(struct translate *t, int status, struct slice message, struct buf *out)
{
    struct reply_words words = {0};
    struct observation o = {.words = &words};
    size_t start = out->len;
    enum err e;
    if (t->ended || t->errored) /* the client has been told how it ended */
        return OK;
    t->errored = true;
    if (t->ops != NULL) {
        e = error_untouched(t, status, message, out);
    } else {
        codec_error_read(DIALECT_ANTHROPIC, status, S(""), &o);
        struct say s = {.kind = SAY_ERROR, .status = status, .error = o.error, .text = message};
        s.error_type = slice_of(dialect_ops_of(DIALECT_ANTHROPIC)->error_type(status));
        t->err = OK;
        t->sink = out;
        e = write_say(t, &s);
        t->sink = NULL;
    }
    if (e != OK)
        out->len = start;
    return e;
}

enum err translate_ping(struct translate *t, struct buf *out)
{
    static const struct say life = {.kind = SAY_LIFE};
    assert(t->err == OK);
    enum err e = OK;
    if (t->ended || t->errored || is_whole(t->plan.out))
        return OK;
    t->sink = out;
    if (t->ops == NULL)
        e = write_say(t, &life);
    else if (t->plan.out == FRAMING_SSE)
        e = buf_puts(out, codec_ping(t->plan.to));
    else if (t->plan.out == FRAMING_AWS)
        e = frames_put(&t->out, S("ping"), S("{\"type\": \"ping\"}"), out);
    t->sink = NULL;
    return e;
}
