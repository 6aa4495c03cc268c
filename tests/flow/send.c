/* send: heads get their CRLFs, bodies their length or their chunks. */
#include "send.h"

#include "frames.h"

void sender_init(struct sender *s, struct slice first_line)
{
    *s = (struct sender){.mode = SEND_NONE};
    if (!slice_starts(first_line, S("%"))) {
        s->mode = SEND_HEAD;
        s->has_head = true;
    }
}

static void chunk_put(struct sender *s, struct slice text)
{
    s->chunked = true;
    if (text.n == 0)
        return;
    bytes_printf(&s->body, "%zx\r\n", text.n);
    bytes_puts(&s->body, text);
    bytes_puts(&s->body, S("\r\n"));
}

/* The event collected so far, with the blank line it needs, as one chunk. */
static void event_flush(struct sender *s)
{
    if (s->event.n == 0)
        return;
    bytes_puts(&s->event, S("\n"));
    chunk_put(s, bytes_slice(&s->event));
    s->event.n = 0;
}

/* One event a line; each frame is one chunk. */
static void frame_put(struct sender *s, struct slice line)
{
    struct bytes frame = {0};
    if (line.n == 0)
        return;
    frames_event(&frame, line);
    chunk_put(s, bytes_slice(&frame));
    bytes_free(&frame);
}

/* %exception NAME MESSAGE */
static void exception_put(struct sender *s, struct slice rest)
{
    struct bytes frame = {0};
    struct slice name = S("");
    (void)slice_cut(&rest, ' ', &name);
    frames_exception(&frame, name, rest);
    chunk_put(s, bytes_slice(&frame));
    bytes_free(&frame);
}

static void repeat_put(struct sender *s, struct slice rest)
{
    struct slice count = S("");
    uint64_t n = 0;
    struct bytes text = {0};
    if (!slice_cut(&rest, ' ', &count) || !text_u64(count, &n))
        s->error = "%repeat needs a number and a text";
    bytes_unescape(&text, rest);
    for (uint64_t i = 0; i < n; i++) {
        if (s->mode == SEND_SSE || s->chunked)
            chunk_put(s, bytes_slice(&text));
        else
            bytes_puts(s->mode == SEND_LITERAL ? &s->literal : &s->body, bytes_slice(&text));
    }
    bytes_free(&text);
}

static void directive(struct sender *s, struct slice line)
{
    struct slice rest = line, word = S("");
    struct bytes text = {0};
    (void)slice_cut(&rest, ' ', &word);
    event_flush(s);
    if (slice_eq(word, S("%body")) || slice_eq(word, S("%json"))) {
        s->mode = SEND_LITERAL;
        s->counted = true;
        s->json |= slice_eq(word, S("%json"));
        bytes_puts(&s->literal, rest);
    } else if (slice_eq(word, S("%sse"))) {
        s->mode = SEND_SSE;
        s->sse = s->chunked = true;
    } else if (slice_eq(word, S("%aws"))) {
        s->mode = SEND_AWS;
        s->aws = s->chunked = true;
    } else if (slice_eq(word, S("%exception"))) {
        exception_put(s, rest);
    } else if (slice_eq(word, S("%text"))) {
        s->mode = SEND_TEXT;
    } else if (slice_eq(word, S("%chunk"))) {
        bytes_unescape(&text, rest);
        chunk_put(s, bytes_slice(&text));
    } else if (slice_eq(word, S("%end"))) {
        s->chunked = true;
        bytes_puts(&s->body, S("0\r\n\r\n"));
    } else if (slice_eq(word, S("%raw"))) {
        bytes_unescape(s->mode == SEND_LITERAL ? &s->literal : &s->body, rest);
    } else if (slice_eq(word, S("%repeat"))) {
        repeat_put(s, rest);
    } else {
        s->error = "unknown % line";
    }
    if (s->mode == SEND_HEAD)
        s->mode = SEND_NONE;
    bytes_free(&text);
}

void sender_line(struct sender *s, struct slice line)
{
    if (slice_starts(line, S("%"))) {
        directive(s, line);
        return;
    }
    switch (s->mode) {
    case SEND_HEAD:
        if (line.n == 0) {
            s->mode = SEND_NONE;
            break;
        }
        bytes_puts(&s->head, line);
        bytes_puts(&s->head, S("\r\n"));
        break;
    case SEND_LITERAL:
        if (s->literal.n > 0)
            bytes_puts(&s->literal, S("\n"));
        bytes_puts(&s->literal, line);
        break;
    case SEND_TEXT:
        bytes_puts(&s->body, line);
        bytes_puts(&s->body, S("\n"));
        break;
    case SEND_AWS:
        frame_put(s, line);
        break;
    case SEND_SSE:
        if (line.n == 0) {
            event_flush(s);
            break;
        }
        bytes_puts(&s->event, line);
        bytes_puts(&s->event, S("\n"));
        break;
    default:
        if (line.n > 0)
            s->error = "a body line without %body, %text or %sse before it";
    }
}

static bool head_has(const struct sender *s, struct slice name)
{
    struct slice rest = bytes_slice(&s->head), line;
    while (slice_cut(&rest, '\n', &line))
        if (slice_istarts(line, name))
            return true;
    return false;
}

void sender_end(struct sender *s, struct bytes *out)
{
    event_flush(s);
    if (s->has_head) {
        bytes_puts(out, bytes_slice(&s->head));
        if (s->sse && !head_has(s, S("content-type:")))
            bytes_puts(out, S("content-type: text/event-stream; charset=utf-8\r\n"));
        if (s->aws && !head_has(s, S("content-type:")))
            bytes_puts(out, S("content-type: application/vnd.amazon.eventstream\r\n"));
        if (s->json && !head_has(s, S("content-type:")))
            bytes_puts(out, S("content-type: application/json\r\n"));
        if (s->chunked && !head_has(s, S("transfer-encoding:")))
            bytes_puts(out, S("transfer-encoding: chunked\r\n"));
        if (s->counted)
            bytes_printf(out, "content-length: %zu\r\n", s->literal.n);
        bytes_puts(out, S("\r\n"));
    }
    bytes_puts(out, bytes_slice(&s->literal));
    bytes_puts(out, bytes_slice(&s->body));
    bytes_free(&s->head);
    bytes_free(&s->body);
    bytes_free(&s->event);
    bytes_free(&s->literal);
}
