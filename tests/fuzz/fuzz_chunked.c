/* links: base http */
/* Chunked bodies over hostile bytes: any split gives the same events, and what is accepted is
 * accepted by llhttp and by a reader that is simple and slow as well, to the byte.
 *
 * The first byte says how many of those that follow are lengths of pieces; the rest is the body. */
#include "http/h1.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)       \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

struct read {
    struct buf body;
    size_t taken; /* up to the end of the message, or all of it */
    enum h1_event end;
    const char *why;
};

static void read_all(struct read *r, const uint8_t *cuts, size_t n_cuts, struct slice in)
{
    struct chunks c;
    size_t k = 0;
    *r = (struct read){.end = H1_MORE};
    buf_init(&r->body, 1 << 24);
    chunks_begin(&c);
    while (r->taken < in.n && r->end != H1_END && r->end != H1_BAD) {
        size_t n = n_cuts == 0 ? in.n : cuts[k++ % n_cuts] > 0 ? cuts[(k - 1) % n_cuts] : 1;
        n = n < in.n - r->taken ? n : in.n - r->taken;
        char *copy = mem_new(n); /* what is read past it is found */
        memcpy(copy, in.p + r->taken, n);
        struct slice piece = {copy, n}, body;
        do {
            body = S("");
            r->end = chunks_next(&c, &piece, &body, &r->why);
            MUST(r->end == H1_BODY || body.n == 0 || r->end == H1_MORE);
            MUST(buf_puts(&r->body, body) == OK);
        } while (r->end == H1_BODY);
        MUST(r->end == H1_END || r->end == H1_BAD || (r->end == H1_MORE && piece.n == 0));
        r->taken += r->end == H1_BAD ? 0 : n - piece.n;
        mem_free(copy);
    }
}

/* ---- the simple one: line by line, and more forgiving -------------------------------------- */

static bool line_at(struct slice in, size_t at, size_t *end)
{
    for (*end = at; *end + 1 < in.n; ++*end) {
        unsigned char ch = (unsigned char)in.p[*end];
        if (ch == '\r')
            return in.p[*end + 1] == '\n';
        if (ch < 0x20 && ch != '\t')
            return false;
    }
    return false;
}

static bool size_of(struct slice line, uint64_t *size)
{
    static const char DIGITS[] = "0123456789abcdef0123456789ABCDEF";
    size_t i = 0;
    *size = 0;
    for (; i < line.n; i++) {
        const char *digit = line.p[i] == '\0' ? NULL : strchr(DIGITS, line.p[i]);
        if (digit == NULL)
            break;
        MUST(*size <= UINT64_MAX >> 4);
        *size = *size * 16 + (uint64_t)(digit - DIGITS) % 16;
    }
    return i > 0 && (i == line.n || line.p[i] == ';');
}

/* Reads a message that was accepted; how many bytes it has. */
static size_t slow_read(struct slice in, struct buf *body, size_t *extensions, size_t *trailers)
{
    size_t at = 0, end;
    uint64_t size;
    for (;;) {
        MUST(line_at(in, at, &end));
        struct slice line = slice_sub(in, at, end);
        MUST(size_of(line, &size));
        ptrdiff_t semicolon = slice_find(line, ';');
        *extensions += semicolon < 0 ? 0 : line.n - (size_t)semicolon;
        at = end + 2;
        if (size == 0)
            break;
        MUST(size <= in.n && at + size + 2 <= in.n);
        MUST(buf_puts(body, slice_sub(in, at, at + (size_t)size)) == OK);
        at += (size_t)size;
        MUST(in.p[at] == '\r' && in.p[at + 1] == '\n');
        at += 2;
    }
    for (;;) {
        MUST(line_at(in, at, &end));
        struct slice line = slice_sub(in, at, end);
        *trailers += line.n + 2;
        at = end + 2;
        if (line.n == 0)
            return at;
        ptrdiff_t colon = slice_find(line, ':');
        MUST(colon > 0 && line.p[0] != ' ' && line.p[0] != '\t');
        MUST(!slice_ieq(slice_sub(line, 0, (size_t)colon), S("content-length")));
        MUST(!slice_ieq(slice_sub(line, 0, (size_t)colon), S("transfer-encoding")));
    }
}

/* ---- llhttp -------------------------------------------------------------------------------- */

static int on_data(llhttp_t *p, const char *at, size_t n)
{
    return buf_append(p->data, at, n) == OK ? 0 : HPE_USER;
}

static int on_over(llhttp_t *p)
{
    (void)p;
    return HPE_PAUSED;
}

static size_t llhttp_read(struct slice in, struct buf *body)
{
    static const llhttp_settings_t WANT = {.on_body = on_data, .on_message_complete = on_over};
    struct slice head = S("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    llhttp_t p;
    llhttp_init(&p, HTTP_REQUEST, &WANT);
    p.data = body;
    MUST(llhttp_execute(&p, head.p, head.n) == HPE_OK);
    MUST(llhttp_execute(&p, in.p, in.n) == HPE_PAUSED);
    return (size_t)(llhttp_get_error_pos(&p) - in.p);
}

/* ---- all of it ----------------------------------------------------------------------------- */

static void same(const struct read *a, const struct read *b)
{
    MUST(a->end == b->end && slice_eq(buf_slice(&a->body), buf_slice(&b->body)));
    MUST(a->end == H1_BAD || a->taken == b->taken);
    MUST(a->end != H1_BAD || a->why == b->why);
}

static void accepted_check(const struct read *r, struct slice in)
{
    struct buf slow, parser;
    size_t extensions = 0, trailers = 0;
    buf_init(&slow, 1 << 24);
    buf_init(&parser, 1 << 24);
    MUST(slow_read(in, &slow, &extensions, &trailers) == r->taken);
    MUST(slice_eq(buf_slice(&slow), buf_slice(&r->body)));
    MUST(extensions <= H1_EXTENSIONS_MAX + in.n / 4 && trailers <= H1_TRAILERS_MAX);
    MUST(llhttp_read(slice_sub(in, 0, r->taken), &parser) == r->taken);
    MUST(slice_eq(buf_slice(&parser), buf_slice(&r->body)));
    buf_free(&slow);
    buf_free(&parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t ONE[] = {1};
    struct read whole, cut, bytes;
    if (size < 1)
        return 0;
    size_t n_cuts = data[0] % 16;
    data++;
    size--;
    n_cuts = n_cuts < size ? n_cuts : size;
    struct slice in = {(const char *)data + n_cuts, size - n_cuts};
    read_all(&whole, NULL, 0, in);
    read_all(&cut, n_cuts > 0 ? data : ONE, n_cuts > 0 ? n_cuts : 1, in);
    same(&whole, &cut);
    if (size < 512) {
        read_all(&bytes, ONE, 1, in);
        same(&whole, &bytes);
        buf_free(&bytes.body);
    }
    if (whole.end == H1_END)
        accepted_check(&whole, in);
    buf_free(&whole.body);
    buf_free(&cut.body);
    return 0;
}
