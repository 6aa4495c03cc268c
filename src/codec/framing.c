/* Framings, in and out. What lies whole within the bytes at hand is used where it is; only what is
 * cut is copied, and every copy has a maximum. */
#include "codec/framing.h"
#include "codec/aws_frames.h"
#include "codec/canon.h"
#include "codec/span.h"

#include <string.h>

#define KEEP_CAP ((size_t)16 * 1024) /* what a stream may hold on to between two events */

enum array_state {
    ARRAY_START,   /* the bracket is awaited */
    ARRAY_BETWEEN, /* an element, a comma or the end */
    ARRAY_WITHIN,  /* an element */
    ARRAY_OVER
};

void framer_init(struct framer *f, enum framing kind)
{
    assert((int)kind >= FRAMING_WHOLE && kind <= FRAMING_ARRAY);
    *f = (struct framer){.kind = kind, .state = ARRAY_START};
    sse_init(&f->sse, FRAMING_EVENT_MAX);
    buf_init(&f->held, kind == FRAMING_AWS ? AWS_FRAME_MAX : FRAMING_EVENT_MAX);
    buf_init(&f->json, AWS_FRAME_MAX);
}

void framer_free(struct framer *f)
{
    sse_free(&f->sse);
    buf_free(&f->held);
    buf_free(&f->json);
}

/* One long event must not cost its memory until the stream ends. */
static void buf_slim(struct buf *b)
{
    if (b->len == 0 && b->cap > KEEP_CAP)
        buf_free(b);
}

static void framer_tell(struct framer *f, struct slice name, struct slice data)
{
    if (f->err == OK)
        f->err = f->fn(f->arg, name, data);
}

static void framer_hold(struct framer *f, struct slice bytes)
{
    if (f->err == OK)
        f->err = buf_puts(&f->held, bytes);
}

/* ---- SSE ------------------------------------------------------------------------------------- */

/* Is this all of an event's data, though its blank line never came? */
static bool is_complete(struct slice data)
{
    size_t end = 0;
    return slice_eq(data, S("[DONE]")) ||
           (span_value(data, span_skip_space(data, 0), 1, &end) == OK && end == data.n);
}

static void on_sse(void *arg, const struct sse_event *e)
{
    struct framer *f = arg;
    if (f->err == OK && e->overflow)
        f->err = ERR_LIMIT;
    if (f->err == OK && f->ending && !is_complete(e->data))
        f->err = ERR_EOF;
    framer_tell(f, e->name, e->data);
}

static void sse_take(struct framer *f, struct slice bytes)
{
    sse_feed(&f->sse, bytes, on_sse, f);
    buf_slim(&f->sse.line);
    buf_slim(&f->sse.data);
}

/* Some servers forget the blank line behind their last event. If it is whole it counts; if not, it
 * was cut. */
static void sse_finish(struct framer *f)
{
    if (sse_at_boundary(&f->sse))
        return;
    f->ending = true;
    sse_feed(&f->sse, S("\n\n"), on_sse, f);
}

/* ---- lines ----------------------------------------------------------------------------------- */

static struct slice line_trim(struct slice line)
{
    while (line.n > 0 && text_blank(slice_sub(line, line.n - 1, line.n)))
        line.n--;
    return slice_sub(line, span_skip_space(line, 0), line.n);
}

static void line_tell(struct framer *f, struct slice line)
{
    line = line_trim(line);
    if (line.n > 0)
        framer_tell(f, S(""), line);
}

static void lines_take(struct framer *f, struct slice bytes)
{
    while (bytes.n > 0 && f->err == OK) {
        const char *end = memchr(bytes.p, '\n', bytes.n);
        if (end == NULL) {
            framer_hold(f, bytes);
            return;
        }
        struct slice line = slice_sub(bytes, 0, (size_t)(end - bytes.p));
        bytes = slice_sub(bytes, line.n + 1, bytes.n);
        if (f->held.len > 0) {
            framer_hold(f, line);
            line = buf_slice(&f->held);
        } else if (line.n > FRAMING_EVENT_MAX) {
            f->err = ERR_LIMIT;
        }
        if (f->err == OK)
            line_tell(f, line);
        buf_clear(&f->held);
        buf_slim(&f->held);
    }
}

static void lines_finish(struct framer *f)
{
    struct slice rest = line_trim(buf_slice(&f->held)); /* the last line needs no end */
    if (rest.n > 0 && !is_complete(rest))
        f->err = ERR_EOF;
    else
        line_tell(f, rest);
    buf_clear(&f->held);
}

/* ---- array ----------------------------------------------------------------------------------- */

/* One byte within an element; true when it is the element's last. */
static bool element_step(struct framer *f, char c)
{
    if (f->in_string) {
        bool was_escaped = f->escaped;
        f->escaped = !was_escaped && c == '\\';
        f->in_string = was_escaped || c != '"';
        return false;
    }
    if (c == '"')
        f->in_string = true;
    else if (c == '{' || c == '[')
        f->depth++;
    else if (c == '}' || c == ']')
        f->depth--;
    assert(f->depth >= 0); /* it stands at an opening bracket, or within */
    return f->depth == 0;
}

/* One byte outside of elements; true when an element begins with it. A lone object is taken for an
 * array of one: errors come so. */
static bool between_step(struct framer *f, char c)
{
    if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
        return false;
    if (c == '{' && f->state != ARRAY_OVER)
        return true;
    if (f->state == ARRAY_START && c == '[')
        f->state = ARRAY_BETWEEN;
    else if (f->state == ARRAY_BETWEEN && c == ']')
        f->state = ARRAY_OVER;
    else if (f->state != ARRAY_BETWEEN || c != ',')
        f->err = ERR_SYNTAX;
    return false;
}

static void element_tell(struct framer *f, struct slice element)
{
    if (f->held.len > 0) {
        framer_hold(f, element);
        element = buf_slice(&f->held);
    }
    framer_tell(f, S(""), element);
    buf_clear(&f->held);
    buf_slim(&f->held);
}

static void array_take(struct framer *f, struct slice bytes)
{
    size_t from = 0;
    for (size_t i = 0; i < bytes.n && f->err == OK; i++) {
        if (f->state != ARRAY_WITHIN) {
            bool lone = f->state == ARRAY_START;
            if (!between_step(f, bytes.p[i]))
                continue;
            assert(f->depth == 0 && !f->in_string);
            f->lone = lone;
            f->state = ARRAY_WITHIN;
            from = i;
        }
        if (!element_step(f, bytes.p[i]))
            continue;
        f->state = f->lone ? ARRAY_OVER : ARRAY_BETWEEN;
        element_tell(f, slice_sub(bytes, from, i + 1));
    }
    if (f->err == OK && f->state == ARRAY_WITHIN)
        framer_hold(f, slice_sub(bytes, from, bytes.n));
}

/* ---- AWS ------------------------------------------------------------------------------------- */

static enum err aws_tell(struct framer *f, struct slice frame)
{
    struct aws_frame a;
    char type[64];
    struct span v;
    enum err e = aws_frame_read(frame, &a);
    if (e != OK)
        return e;
    buf_clear(&f->json);
    if (slice_eq(a.message_type, S("exception")) || slice_eq(a.message_type, S("error"))) {
        e = aws_frame_error(&a, &f->json);
    } else {
        e = aws_frame_event(&a, &f->json);
        if (e == ERR_NOTFOUND) /* a kind of frame that is not for us */
            return OK;
    }
    if (e != OK)
        return e;
    struct slice json = buf_slice(&f->json);
    if (span_member(json, S("type"), &v) && json_span_text(json, v, type, sizeof type))
        framer_tell(f, slice_of(type), json); /* without a type it is nothing (section 3) */
    buf_clear(&f->json);
    buf_slim(&f->json);
    return f->err;
}

/* Moves as much of `bytes` into `held` as makes it `want` long. */
static void aws_hold(struct framer *f, struct slice *bytes, size_t want)
{
    size_t n = want > f->held.len ? want - f->held.len : 0;
    if (n > bytes->n)
        n = bytes->n;
    framer_hold(f, slice_sub(*bytes, 0, n));
    *bytes = slice_sub(*bytes, n, bytes->n);
}

/* The frame that is begun in `held` goes on in `bytes`. */
static void aws_go_on(struct framer *f, struct slice *bytes)
{
    size_t length = 0;
    if (f->held.len < AWS_FRAME_PRELUDE)
        aws_hold(f, bytes, AWS_FRAME_PRELUDE);
    if (f->err != OK || f->held.len < AWS_FRAME_PRELUDE)
        return;
    f->err = aws_frame_length(buf_slice(&f->held), &length);
    if (f->err == OK)
        aws_hold(f, bytes, length);
    if (f->err != OK || f->held.len < length)
        return;
    assert(f->held.len == length);
    f->err = aws_tell(f, buf_slice(&f->held));
    buf_clear(&f->held);
    buf_slim(&f->held);
}

static void aws_take(struct framer *f, struct slice bytes)
{
    while (bytes.n > 0 && f->err == OK) {
        size_t length = 0;
        if (f->held.len > 0 || bytes.n < AWS_FRAME_PRELUDE) {
            aws_go_on(f, &bytes);
            continue;
        }
        f->err = aws_frame_length(bytes, &length);
        if (f->err != OK)
            return;
        if (bytes.n < length) {
            framer_hold(f, bytes);
            return;
        }
        f->err = aws_tell(f, slice_sub(bytes, 0, length));
        bytes = slice_sub(bytes, length, bytes.n);
    }
}

/* ---- all of them ----------------------------------------------------------------------------- */

enum err framer_feed(struct framer *f, struct slice bytes, framer_fn *fn, void *arg)
{
    assert(f->err == OK);
    f->fn = fn;
    f->arg = arg;
    switch (f->kind) {
    case FRAMING_WHOLE:
        framer_hold(f, bytes);
        break;
    case FRAMING_SSE:
        sse_take(f, bytes);
        break;
    case FRAMING_AWS:
        aws_take(f, bytes);
        break;
    case FRAMING_LINES:
        lines_take(f, bytes);
        break;
    case FRAMING_ARRAY:
        array_take(f, bytes);
        break;
    }
    return f->err;
}

enum err framer_end(struct framer *f, framer_fn *fn, void *arg)
{
    assert(f->err == OK);
    f->fn = fn;
    f->arg = arg;
    switch (f->kind) {
    case FRAMING_WHOLE:
        framer_tell(f, S(""), buf_slice(&f->held));
        break;
    case FRAMING_SSE:
        sse_finish(f);
        break;
    case FRAMING_LINES:
        lines_finish(f);
        break;
    case FRAMING_AWS:
        f->err = f->held.len > 0 ? ERR_EOF : OK;
        break;
    case FRAMING_ARRAY:
        f->err = f->state == ARRAY_OVER ? OK : ERR_EOF;
        break;
    }
    return f->err;
}

/* ---- out ------------------------------------------------------------------------------------- */

/* `data` with each line end made `with`. In JSON they are white space and never within a string. */
static enum err lines_put(struct buf *out, struct slice data, struct slice with)
{
    enum err e = OK;
    for (size_t at = 0; e == OK && at <= data.n;) {
        size_t end = at;
        while (end < data.n && data.p[end] != '\n' && data.p[end] != '\r')
            end++;
        e = buf_puts(out, slice_sub(data, at, end));
        if (e == OK && end < data.n)
            e = buf_puts(out, with);
        at = end + 1;
    }
    return e;
}

static enum err data_put(struct buf *out, struct slice data, struct slice with)
{
    if (data.n == 0)
        return OK;
    bool one_line = memchr(data.p, '\n', data.n) == NULL && memchr(data.p, '\r', data.n) == NULL;
    return one_line ? buf_puts(out, data) : lines_put(out, data, with);
}

static enum err sse_put(struct slice name, struct slice data, struct buf *out)
{
    enum err e = OK;
    if (name.n > 0)
        e = buf_puts(out, S("event: "));
    if (e == OK && name.n > 0)
        e = data_put(out, name, S(" "));
    if (e == OK)
        e = buf_puts(out, name.n > 0 ? S("\ndata: ") : S("data: "));
    if (e == OK)
        e = data_put(out, data, S("\ndata: "));
    return e == OK ? buf_puts(out, S("\n\n")) : e;
}

/* The status that an error event's exception is to have; a few are all that streams know. */
static int exception_status(const struct observation *o)
{
    switch (o->error) {
    case REPLY_ERROR_RATE_LIMIT:
        return 429;
    case REPLY_ERROR_OVERLOADED:
        return 529;
    case REPLY_ERROR_SERVER:
        return strcmp(reply_words(o)->error_type, "timeout_error") == 0 ? 504 : 500;
    case REPLY_ERROR_AUTH:
    case REPLY_ERROR_BILLING:
    case REPLY_ERROR_CLIENT:
        return 400;
    case REPLY_ERROR_NONE:
    case REPLY_ERROR_OTHER:
        break;
    }
    return 500;
}

static enum err exception_put(struct slice data, struct buf *out)
{
    struct reply_words words = {0};
    struct observation o = {.words = &words};
    codec_error_read(DIALECT_ANTHROPIC, 0, data, &o);
    return aws_frame_put_exception(exception_status(&o), slice_of(reply_words(&o)->error_message),
                                   out);
}

enum err frames_put(struct frames *f, struct slice name, struct slice data, struct buf *out)
{
    size_t start = out->len;
    enum err e = OK;
    switch (f->kind) {
    case FRAMING_WHOLE:
        e = buf_puts(out, data);
        break;
    case FRAMING_SSE:
        e = sse_put(name, data, out);
        break;
    case FRAMING_AWS:
        e = slice_eq(name, S("error")) ? exception_put(data, out) : aws_frame_put(data, out);
        break;
    case FRAMING_LINES:
        e = data_put(out, data, S(" "));
        if (e == OK)
            e = buf_puts(out, S("\n"));
        break;
    case FRAMING_ARRAY:
        e = buf_puts(out, f->any ? S(",\n") : S("["));
        if (e == OK)
            e = buf_puts(out, data);
        f->any = true;
        break;
    }
    assert(out->len >= start);
    if (e != OK)
        out->len = start;
    return e;
}

enum err frames_end(struct frames *f, struct buf *out)
{
    bool open = f->kind == FRAMING_ARRAY && !f->over;
    f->over = true;
    return open ? buf_puts(out, f->any ? S("]\n") : S("[]\n")) : OK;
}
