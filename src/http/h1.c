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

static const llhttp_settings_t *settings(void)
{
    static const llhttp_settings_t S_ = {.on_headers_complete = on_headers_complete};
    return &S_;
}

/* ---- life ---------------------------------------------------------------------------------- */

void h1_init(struct h1 *h, enum h1_role role)
{
    *h = (struct h1){.role = (uint8_t)role};
    buf_init(&h->raw, (role == H1_REQUEST ? HTTP_HEAD_MAX : H1_UPSTREAM_HEAD_MAX) + H1_BEHIND);
    h1_begin(h, false);
}

/* Of use to the next head that begins. One thread only, the loop's. */
#define PARSERS_KEPT 16
#define ROOMS_KEPT   64
#define ROOM_MAX     8192
#define FIT_WORTH    64 /* bytes; for less a head does not move */
static llhttp_t *parsers[PARSERS_KEPT];
static int parsers_n;
static struct room {
    struct buf raw;
    struct http_header *header;
    int header_room;
} rooms[ROOMS_KEPT];
static int rooms_n;

static void parser_give(struct h1 *h)
{
    if (h->parser != NULL && parsers_n < PARSERS_KEPT)
        parsers[parsers_n++] = h->parser;
    else
        mem_free(h->parser);
    h->parser = NULL;
}

static void parser_take(struct h1 *h)
{
    h->parser = parsers_n > 0 ? parsers[--parsers_n] : NEW(llhttp_t);
    llhttp_init(h->parser, h->role == H1_REQUEST ? HTTP_REQUEST : HTTP_RESPONSE, settings());
    h->parser->data = h;
    assert(h->parser->lenient_flags == 0);
}

static void room_give(struct h1 *h)
{
    if (h->raw.cap > 0 && h->raw.cap <= ROOM_MAX && rooms_n < ROOMS_KEPT) {
        rooms[rooms_n++] = (struct room){h->raw, h->header, h->header_room};
        buf_init(&h->raw, h->raw.max);
    } else {
        buf_free(&h->raw);
        mem_free(h->header);
    }
    h->header = NULL;
    h->header_room = 0;
}

static void room_take(struct h1 *h)
{
    if (h->raw.cap > 0 || h->header != NULL || rooms_n == 0)
        return;
    const struct room *r = &rooms[--rooms_n];
    uint32_t max = h->raw.max;
    h->raw = r->raw;
    h->raw.max = max;
    buf_clear(&h->raw);
    h->header = r->header;
    h->header_room = r->header_room;
}

void h1_free(struct h1 *h)
{
    parser_give(h);
    room_give(h);
}

void h1_drop_head(struct h1 *h, struct http_head *head)
{
    assert(h->stage != H1_STAGE_HEAD);
    head->target = head->path = head->query = S("");
    head->header = NULL;
    head->headers = 0;
    head->name_lengths = 0;
    room_give(h);
}

/* A text of a head that has moved. */
static void text_move(struct slice *s, const struct buf *from, const char *to)
{
    size_t at = (size_t)((uintptr_t)s->p - (uintptr_t)from->p);
    assert(at <= from->len && s->n <= from->len - at);
    s->p = to + at;
}

void h1_fit_head(struct h1 *h, struct http_head *head)
{
    size_t n = (size_t)head->headers * sizeof *head->header, cap = h->raw.len + H1_BEHIND;
    size_t had = (size_t)h->header_room * sizeof *head->header;
    assert(h->role == H1_REPLY && h->stage != H1_STAGE_HEAD && h->parser == NULL);
    assert(head->header == h->header && n <= had && cap <= h->raw.cap);
    if (h->raw.cap - cap + had - n < FIT_WORTH)
        return;
    char *raw = mem_try(cap + 1);
    struct http_header *header = mem_try(n);
    if (raw == NULL || header == NULL) {
        mem_free(raw);
        mem_free(header);
        return;
    }
    memcpy(raw, h->raw.p, h->raw.len);
    for (int i = 0; i < head->headers; i++) {
        header[i] = head->header[i];
        text_move(&header[i].name, &h->raw, raw);
        text_move(&header[i].value, &h->raw, raw);
    }
    struct buf own = {.p = raw, .len = h->raw.len, .cap = (uint32_t)cap, .max = h->raw.max};
    room_give(h);
    h->raw = own;
    h->header = head->header = header;
    h->header_room = head->headers;
}

void h1_begin(struct h1 *h, bool head_request)
{
    parser_give(h);
    buf_clear(&h->raw);
    h->left = 0;
    h->why = NULL;
    h->status = 0;
    h->stage = H1_STAGE_HEAD;
    h->framing = H1_NONE;
    h->head_request = head_request;
    h->http10 = false;
}

bool h1_is_read(const struct h1 *h)
{
    return h->stage >= H1_STAGE_LAST;
}

size_t h1_left(const struct h1 *h)
{
    bool counted = h->stage == H1_STAGE_BODY && h->framing == H1_LENGTH;
    return counted && (uint64_t)h->left <= SIZE_MAX ? (size_t)h->left : 0;
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
    if (h->parser == NULL)
        parser_take(h);
    h->head_done = false;
    llhttp_errno_t e = llhttp_execute(h->parser, p, n);
    *took = n;
    if (e == HPE_PAUSED) {
        const char *stop = llhttp_get_error_pos(h->parser);
        assert(stop >= p && stop <= p + n);
        *took = (size_t)(stop - p);
        return HPE_OK;
    }
    return e;
}

/* ---- heads --------------------------------------------------------------------------------- */

static enum h1_event head_refused(struct h1 *h, llhttp_errno_t e)
{
    bool known = h->parser->http_major == 1 && h->parser->http_minor <= 1;
    bool version = (e == HPE_INVALID_VERSION && !known) || e == HPE_PAUSED_H2_UPGRADE;
    const char *reason = llhttp_get_error_reason(h->parser);
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

static llhttp_method_t method_known(enum http_method m)
{
    static const llhttp_method_t KNOWN[] = {
        [HTTP_GET] = LLHTTP_GET,        [HTTP_HEAD] = LLHTTP_HEAD,     [HTTP_POST] = LLHTTP_POST,
        [HTTP_PUT] = LLHTTP_PUT,        [HTTP_DELETE] = LLHTTP_DELETE, [HTTP_PATCH] = LLHTTP_PATCH,
        [HTTP_OPTIONS] = LLHTTP_OPTIONS};
    assert((size_t)m < sizeof KNOWN / sizeof KNOWN[0]);
    return KNOWN[m];
}

/* Our own reader, over the whole head. */
static int head_read(struct h1 *h, struct http_head *head, const char **why)
{
    return h->role == H1_REQUEST ? head_parse_request(h, head, why)
                                 : head_parse_reply(h, head, why);
}

/* Whether both readers have seen the same message. */
static bool heads_agree(const struct h1 *h, const struct http_head *head)
{
    const llhttp_t *p = h->parser;
    bool counted = (p->flags & F_CONTENT_LENGTH) != 0, chunked = (p->flags & F_CHUNKED) != 0;
    if (counted != (head->content_length >= 0) || chunked != head->chunked ||
        ((p->flags & F_TRANSFER_ENCODING) != 0) != head->chunked || p->http_major != 1 ||
        p->http_minor != (h->http10 ? 0 : 1))
        return false;
    if (counted && p->content_length != (uint64_t)head->content_length)
        return false;
    return h->role == H1_REQUEST ? p->method == method_known(head->method)
                                 : p->status_code == head->status;
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
        chunks_begin(&h->chunks);
    } else if (head->content_length >= 0) {
        h->framing = H1_LENGTH;
        h->left = head->content_length;
    } else {
        h->framing = reply ? H1_UNTIL_END : H1_NONE;
    }
    bool none = h->framing == H1_NONE || (h->framing == H1_LENGTH && h->left == 0);
    h->stage = none ? H1_STAGE_LAST : H1_STAGE_BODY;
}

/* Room for the zeros behind the head is there as well. */
static enum err head_add(struct h1 *h, const char *p, size_t n)
{
    enum err e = buf_reserve(&h->raw, n + H1_BEHIND);
    if (e != OK)
        return e;
    memcpy(h->raw.p + h->raw.len, p, n);
    h->raw.len += n;
    memset(h->raw.p + h->raw.len, 0, H1_BEHIND);
    return OK;
}

/* Our own reader has the last word. */
static int head_judge(struct h1 *h, struct http_head *head, const char **why)
{
    int status = head_read(h, head, why);
    if (status != 0 || heads_agree(h, head))
        return status;
    *why = "the head can be read in two ways";
    return 400;
}

/* llhttp over one line of a head, or some: it must want more. */
static bool line_feed(struct h1 *h, const char *from, const char *to)
{
    size_t took;
    return feed(h, from, (size_t)(to - from), &took) == HPE_OK && !h->head_done;
}

/* llhttp over what decides about framing in a head that our own reader has passed: the start line,
 * the lines of two names, and the empty line. */
static bool framing_feed(struct h1 *h, const struct http_head *head)
{
    const char *end = h->raw.p + h->raw.len - 2;
    size_t took;
    int n = head->headers;
    if (!line_feed(h, h->raw.p, n > 0 ? head->header[0].name.p : end))
        return false;
    for (int i = 0; i < n; i++) { /* each line is a header, and ends where the next one begins */
        const struct http_header *f = &head->header[i];
        if ((slice_eq(f->name, S("content-length")) || slice_eq(f->name, S("transfer-encoding"))) &&
            !line_feed(h, f->name.p, i + 1 < n ? f[1].name.p : end))
            return false;
    }
    return feed(h, end, 2, &took) == HPE_OK && h->head_done && took == 2;
}

/* Nearly every head stands in `in` whole. Then our own reader goes first, and what it passes has
 * no lines but those it sees, to any reader: each ends with the only CR and LF in it, none is
 * folded, and a name is letters and what a token may hold besides. So llhttp need not read the
 * lines that say nothing about framing. False: nothing has happened; whatever is wrong with the
 * head, if anything is, is found and said as for one that comes in pieces. */
static bool head_at_once(struct h1 *h, struct slice in, struct http_head *head)
{
    const char *why = NULL;
    assert(h->raw.len == 0 && h->parser == NULL);
    ptrdiff_t end = slice_search_pair(in, S("\r\n\r\n"), 1);
    if (end < 0 || head_add(h, in.p, (size_t)end + 4) != OK)
        return false;
    bool fine = head_read(h, head, &why) == 0 && framing_feed(h, head) && heads_agree(h, head);
    parser_give(h);
    if (!fine)
        buf_clear(&h->raw);
    return fine;
}

/* Large, and called for a few of the bytes only. */
NOINLINE static enum h1_event head_more(struct h1 *h, struct slice *in, struct http_head *head)
{
    size_t most = h->raw.max - H1_BEHIND, room = most - h->raw.len, took;
    struct slice now = slice_sub(*in, 0, in->n < room ? in->n : room);
    const char *why = NULL;
    if (in->n == 0)
        return H1_MORE;
    room_take(h);
    if (h->raw.len == 0 && head_at_once(h, now, head)) {
        *in = slice_sub(*in, h->raw.len, in->n);
        framing_decide(h, head);
        return H1_HEADERS;
    }
    llhttp_errno_t e = feed(h, now.p, now.n, &took);
    if (e != HPE_OK) { /* whoever answers may want to know whom */
        if (head_add(h, now.p, now.n) != OK)
            buf_clear(&h->raw);
        return head_refused(h, e);
    }
    if (head_add(h, now.p, took) != OK)
        return bad(h, 503, "out of memory for this head");
    *in = slice_sub(*in, took, in->n);
    if (!h->head_done)
        return h->raw.len == most ? head_too_long(h) : H1_MORE;
    int status = head_judge(h, head, &why);
    parser_give(h);
    if (status != 0)
        return bad(h, status, why);
    framing_decide(h, head);
    return H1_HEADERS;
}

/* ---- bodies -------------------------------------------------------------------------------- */

static enum h1_event chunks_more(struct h1 *h, struct slice *in, struct slice *body)
{
    const char *why = NULL;
    enum h1_event e = chunks_next(&h->chunks, in, body, &why);
    if (e == H1_BAD)
        return bad(h, 400, why);
    if (e == H1_END) {
        h->stage = H1_STAGE_LAST;
        return H1_MORE;
    }
    return e;
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
