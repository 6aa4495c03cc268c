/* h1: see h1.h. */
#include "http/h1.h"

#include <string.h>

/* ---- what llhttp tells, during one call of it ---------------------------------------------- */

static struct h1 *h1_of(llhttp_t *p)
{
    assert(p->data != NULL);
    return p->data;
}

static int on_headers_complete(llhttp_t *p)
{
    h1_of(p)->head_done = true;
    return HPE_PAUSED;
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
    h1_of(p)->span = (struct slice){at, n};
    return 0;
}

/* A pause after every chunk: so a call of llhttp finds one span of body bytes at most. */
static int on_chunk_complete(llhttp_t *p)
{
    struct h1 *h = h1_of(p);
    h->chunk_done = true;
    return h->last_chunk ? 0 : HPE_PAUSED;
}

/* A pause before the trailers too: they are measured apart from the line of the last chunk. */
static int on_chunk_header(llhttp_t *p)
{
    if (p->content_length > 0)
        return 0;
    h1_of(p)->last_line = true;
    return HPE_PAUSED;
}

static int on_message_complete(llhttp_t *p)
{
    h1_of(p)->message_done = true;
    return HPE_PAUSED;
}

/* llhttp lets pass in a quoted value what we let pass in no line. */
static int on_extension(llhttp_t *p, const char *at, size_t n)
{
    struct h1 *h = h1_of(p);
    h->extensions += n > H1_EXTENSIONS_MAX ? H1_EXTENSIONS_MAX + 1 : (uint32_t)n;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)at[i] < 0x20 || at[i] == 0x7f)
            return HPE_USER;
    return h->extensions > H1_EXTENSIONS_MAX ? HPE_USER : 0;
}

static const llhttp_settings_t *settings(void)
{
    static const llhttp_settings_t S_ = {.on_headers_complete = on_headers_complete,
                                         .on_body = on_body,
                                         .on_chunk_header = on_chunk_header,
                                         .on_chunk_complete = on_chunk_complete,
                                         .on_chunk_extension_name = on_extension,
                                         .on_chunk_extension_value = on_extension,
                                         .on_message_complete = on_message_complete};
    return &S_;
}

/* ---- life ---------------------------------------------------------------------------------- */

void h1_init(struct h1 *h, enum h1_role role)
{
    *h = (struct h1){.role = (uint8_t)role};
    buf_init(&h->raw, role == H1_REQUEST ? HTTP_HEAD_MAX : H1_UPSTREAM_HEAD_MAX);
    h1_begin(h, false);
}

void h1_free(struct h1 *h)
{
    buf_free(&h->raw);
    mem_free(h->header);
    h->header = NULL;
    h->header_room = 0;
}

void h1_begin(struct h1 *h, bool head_request)
{
    llhttp_init(&h->parser, h->role == H1_REQUEST ? HTTP_REQUEST : HTTP_RESPONSE, settings());
    h->parser.data = h;
    assert(h->parser.lenient_flags == 0);
    buf_clear(&h->raw);
    h->left = 0;
    h->why = NULL;
    h->status = 0;
    h->extensions = h->overhead = 0;
    h->stage = H1_STAGE_HEAD;
    h->framing = H1_NONE;
    h->head_request = head_request;
    h->http10 = h->last_chunk = h->message_done = false;
}

bool h1_is_read(const struct h1 *h)
{
    return h->stage >= H1_STAGE_LAST;
}

bool h1_is_fresh(const struct h1 *h)
{
    return h->stage == H1_STAGE_HEAD && h->raw.len == 0;
}

static enum h1_event bad(struct h1 *h, int status, const char *why)
{
    assert(why != NULL && status >= 400);
    h->stage = H1_STAGE_BROKEN;
    h->status = status;
    h->why = why;
    return H1_BAD;
}

/* Gives `n` bytes to llhttp and tells how many it took: all, or those before its pause. */
static llhttp_errno_t feed(struct h1 *h, const char *p, size_t n, size_t *took)
{
    h->span = (struct slice){p, 0};
    h->head_done = h->chunk_done = h->last_line = false;
    llhttp_resume(&h->parser);
    assert(h->parser.lenient_flags == 0);
    llhttp_errno_t e = llhttp_execute(&h->parser, p, n);
    *took = n;
    if (e == HPE_PAUSED) {
        const char *stop = llhttp_get_error_pos(&h->parser);
        assert(stop >= p && stop <= p + n);
        *took = (size_t)(stop - p);
        return HPE_OK;
    }
    return e;
}

/* ---- heads --------------------------------------------------------------------------------- */

static enum h1_event head_refused(struct h1 *h, llhttp_errno_t e)
{
    bool known = h->parser.http_major == 1 && h->parser.http_minor <= 1;
    bool version = (e == HPE_INVALID_VERSION && !known) || e == HPE_PAUSED_H2_UPGRADE;
    const char *reason = llhttp_get_error_reason(&h->parser);
    if (version)
        return bad(h, 505, "only HTTP/1.1 is spoken here");
    return bad(h, 400, reason != NULL && reason[0] != '\0' ? reason : "the head is malformed");
}

static enum h1_event head_too_long(struct h1 *h)
{
    bool in_first_line = h->raw.len == 0 || memchr(h->raw.p, '\n', h->raw.len) == NULL;
    if (in_first_line)
        return bad(h, 414, "the request line is too long");
    return bad(h, 431, "the head is too large");
}

/* The other reader has the last word, and both must have seen the same message. */
static int head_judge(struct h1 *h, struct http_head *head, const char **why)
{
    const llhttp_t *p = &h->parser;
    bool request = h->role == H1_REQUEST;
    int status = request ? head_parse_request(h, head, why) : head_parse_reply(h, head, why);
    if (status != 0)
        return status;
    bool counted = (p->flags & F_CONTENT_LENGTH) != 0, chunked = (p->flags & F_CHUNKED) != 0;
    bool same = counted == (head->content_length >= 0) && chunked == head->chunked &&
                ((p->flags & F_TRANSFER_ENCODING) != 0) == head->chunked && p->http_major == 1 &&
                p->http_minor == (h->http10 ? 0 : 1);
    if (counted)
        same = same && p->content_length == (uint64_t)head->content_length;
    if (request)
        same = same && strcmp(llhttp_method_name((llhttp_method_t)p->method),
                              http_method_name(head->method)) == 0;
    else
        same = same && p->status_code == head->status;
    *why = "the head can be read in two ways";
    return same ? 0 : 400;
}

static bool reply_has_no_body(const struct h1 *h, int status)
{
    return h->head_request || status < 200 || status == 204 || status == 304;
}

static void framing_decide(struct h1 *h, const struct http_head *head)
{
    bool reply = h->role == H1_REPLY;
    h->left = 0;
    if (reply && reply_has_no_body(h, head->status)) {
        h->framing = H1_NONE;
    } else if (head->chunked) {
        h->framing = H1_CHUNKED;
    } else if (head->content_length >= 0) {
        h->framing = H1_LENGTH;
        h->left = head->content_length;
    } else {
        h->framing = reply ? H1_UNTIL_END : H1_NONE;
    }
    bool none = h->framing == H1_NONE || (h->framing == H1_LENGTH && h->left == 0);
    h->stage = none ? H1_STAGE_LAST : H1_STAGE_BODY;
}

static enum h1_event head_more(struct h1 *h, struct slice *in, struct http_head *head)
{
    size_t room = h->raw.max - h->raw.len, took;
    const char *why = NULL;
    if (in->n == 0)
        return H1_MORE;
    llhttp_errno_t e = feed(h, in->p, in->n < room ? in->n : room, &took);
    if (e != HPE_OK)
        return head_refused(h, e);
    if (buf_append(&h->raw, in->p, took) != OK)
        return bad(h, 503, "out of memory for this head");
    *in = slice_sub(*in, took, in->n);
    if (!h->head_done)
        return h->raw.len == h->raw.max ? head_too_long(h) : H1_MORE;
    int status = head_judge(h, head, &why);
    if (status != 0)
        return bad(h, status, why);
    framing_decide(h, head);
    return H1_HEADERS;
}

/* ---- bodies -------------------------------------------------------------------------------- */

/* What is not body of the bytes just taken belongs to a chunk's line or to the trailers. */
static bool overhead_fits(struct h1 *h, size_t n)
{
    size_t max = h->last_chunk ? H1_TRAILERS_MAX : H1_CHUNK_LINE_MAX;
    if (n > max || h->overhead + n > max)
        return false;
    h->overhead += (uint32_t)n;
    if (h->chunk_done || h->last_line)
        h->overhead = 0;
    h->last_chunk = h->last_chunk || h->last_line;
    return true;
}

static enum h1_event chunks_more(struct h1 *h, struct slice *in, struct slice *body)
{
    while (in->n > 0) {
        size_t took;
        llhttp_errno_t e = feed(h, in->p, in->n, &took);
        if (e != HPE_OK)
            return bad(h, 400, "the chunked body is malformed");
        assert(h->span.n <= took);
        if (!overhead_fits(h, took - h->span.n))
            return bad(h, 400, "a chunk's line, or the trailers, are too long");
        *in = slice_sub(*in, took, in->n);
        *body = h->span;
        if (h->message_done)
            h->stage = H1_STAGE_LAST;
        if (body->n > 0)
            return H1_BODY;
        if (h->message_done)
            break;
    }
    return H1_MORE;
}

static enum h1_event body_more(struct h1 *h, struct slice *in, struct slice *body)
{
    if (in->n == 0)
        return H1_MORE;
    if (h->framing == H1_CHUNKED)
        return chunks_more(h, in, body);
    size_t n = in->n;
    if (h->framing == H1_LENGTH) {
        assert(h->left > 0);
        n = (uint64_t)h->left < n ? (size_t)h->left : n;
        h->left -= (int64_t)n;
        if (h->left == 0)
            h->stage = H1_STAGE_LAST;
    }
    *body = slice_sub(*in, 0, n);
    *in = slice_sub(*in, n, in->n);
    return H1_BODY;
}

enum h1_event h1_next(struct h1 *h, struct slice *in, struct http_head *head, struct slice *body)
{
    enum h1_event e = H1_MORE;
    *body = S("");
    if (h->stage == H1_STAGE_HEAD)
        return head_more(h, in, head);
    if (h->stage == H1_STAGE_BROKEN)
        return H1_BAD;
    if (h->stage == H1_STAGE_BODY)
        e = body_more(h, in, body);
    if (e == H1_MORE && h->stage == H1_STAGE_LAST) {
        h->stage = H1_STAGE_OVER;
        e = H1_END;
    }
    return e;
}

enum h1_event h1_eof(struct h1 *h)
{
    switch ((enum h1_stage)h->stage) {
    case H1_STAGE_HEAD:
        return h->raw.len == 0 ? H1_MORE : bad(h, 400, "the head is incomplete");
    case H1_STAGE_BODY:
        if (h->framing != H1_UNTIL_END)
            return bad(h, 400, "the body is incomplete");
        h->stage = H1_STAGE_OVER;
        return H1_END;
    case H1_STAGE_LAST:
        h->stage = H1_STAGE_OVER;
        return H1_END;
    case H1_STAGE_OVER:
        return H1_MORE;
    case H1_STAGE_BROKEN:
        break;
    }
    return H1_BAD;
}
