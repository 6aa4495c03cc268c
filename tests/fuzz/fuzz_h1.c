/* links: base http */
/* The readers of HTTP/1.1 over hostile bytes: whatever the split, the same message or a refusal.
 *
 * The first byte says: bit 0 reply or request, bit 1 the reply to a HEAD, bit 2 that a coded slash
 * may stand below /model/; the second how many of the bytes that follow are lengths of pieces (0:
 * one byte). The rest is the stream. */
#include "http/h1.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)       \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

#define MESSAGES_MAX 8

struct tale { /* all that was read: heads and bodies, in a form that can be compared */
    struct buf heads, bodies;
    int messages;
    bool refused;
    bool broken_body; /* refused behind a head: then less of the body may have been given out */
    int status;
    const char *why;
};

static void put(struct buf *b, struct slice s)
{
    MUST(buf_puts(b, s) == OK);
    MUST(buf_append(b, "\x1f", 1) == OK);
}

/* Decoded once, a path has no dot segment; and it has slashes that it did not show only in the one
 * segment where they may be. */
static void path_check(struct slice path, const char *below)
{
    struct slice rest = path, segment, piece;
    bool free = below != NULL && slice_starts(path, slice_of(below));
    for (int i = 0; slice_cut(&rest, '/', &segment); i++) {
        char text[HTTP_HEAD_MAX];
        size_t n = 0;
        for (size_t k = 0; k < segment.n; k++) {
            bool coded = segment.p[k] == '%';
            unsigned v = 0;
            if (coded)
                for (int digit = 0; digit < 2; digit++) {
                    char c = (char)(segment.p[++k] | 0x20);
                    v = v * 16 + (unsigned)(c >= 'a' ? c - 'a' + 10 : (c & 0x0f));
                }
            text[n++] = coded ? (char)v : segment.p[k];
            MUST(!coded || text[n - 1] != '/' || (free && i == 2));
        }
        struct slice whole = {text, n};
        while (slice_cut(&whole, '/', &piece))
            MUST(!slice_eq(piece, S(".")) && !slice_eq(piece, S("..")));
    }
}

/* What must hold for every head that is accepted. */
static void head_check(const struct h1 *h, const struct http_head *head)
{
    const char *lo = h->raw.p, *hi = h->raw.p + h->raw.len;
    int lengths = 0, codings = 0, hosts = 0;
    MUST(h->parser == NULL);
    MUST(head->headers >= 0 && head->headers <= HTTP_HEADERS_MAX);
    for (int i = 0; i < head->headers; i++) {
        struct slice name = head->header[i].name, value = head->header[i].value;
        MUST(name.n > 0 && name.p >= lo && name.p + name.n <= hi);
        MUST(value.n == 0 || (value.p >= lo && value.p + value.n <= hi));
        MUST(memchr(name.p, ':', name.n) == NULL && memchr(name.p, ' ', name.n) == NULL);
        for (size_t k = 0; k < value.n; k++)
            MUST(value.p[k] != '\r' && value.p[k] != '\n' && value.p[k] != '\0');
        MUST(slice_trim(value).n == value.n);
        lengths += slice_eq(name, S("content-length"));
        codings += slice_eq(name, S("transfer-encoding"));
        hosts += slice_eq(name, S("host"));
    }
    MUST(lengths + codings <= 1);
    MUST((lengths == 1) == (head->content_length >= 0) && (codings == 1) == head->chunked);
    if (h->role == H1_REPLY) {
        MUST(head->status >= 100 && head->status <= 599);
        return;
    }
    MUST(hosts == 1 || (hosts == 0 && h->http10));
    MUST(head->path.n > 0 && head->path.p[0] == '/');
    MUST(path_fault(head->path, h->coded_slash) == NULL);
    MUST(slice_search(head->path, S("/../")) < 0 && !slice_ends(head->path, S("/..")));
    path_check(head->path, h->coded_slash);
}

static void head_tell(struct tale *t, const struct h1 *h, const struct http_head *head)
{
    char line[128];
    head_check(h, head);
    size_t n = text_format(line, sizeof line, "%d %d %d %d %d %d %d %d %" PRIx64, (int)head->method,
                           head->status, (int)head->content_length, head->chunked, head->connection,
                           head->keep_alive, head->expect_continue, h->http10, head->name_lengths);
    put(&t->heads, (struct slice){line, n});
    put(&t->heads, head->target);
    put(&t->heads, head->path);
    put(&t->heads, head->query);
    for (int i = 0; i < head->headers; i++) {
        put(&t->heads, head->header[i].name);
        put(&t->heads, head->header[i].value);
    }
}

/* A reply's head says the same where it has moved to. */
static void head_move(struct tale *t, struct h1 *h, struct http_head *head)
{
    struct tale before = {0}, after = {0};
    buf_init(&before.heads, t->heads.max);
    buf_init(&after.heads, t->heads.max);
    head_tell(&before, h, head);
    h1_fit_head(h, head);
    head_tell(&after, h, head);
    MUST(slice_eq(buf_slice(&before.heads), buf_slice(&after.heads)));
    buf_free(&before.heads);
    buf_free(&after.heads);
}

/* False when the stream is over for the reader. */
static bool feed(struct tale *t, struct h1 *h, struct slice in, bool head_request)
{
    struct http_head head;
    struct slice body;
    for (;;) {
        size_t before = in.n;
        enum h1_event e = h1_next(h, &in, &head, &body);
        MUST(in.n <= before);
        switch (e) {
        case H1_MORE:
            MUST(in.n == 0);
            return true;
        case H1_HEADERS:
            head_tell(t, h, &head);
            if (h->role == H1_REPLY)
                head_move(t, h, &head);
            if (h->role == H1_REPLY && head.status < 200)
                h1_begin(h, head_request);
            break;
        case H1_BODY:
            MUST(body.n > 0 && before - in.n >= body.n);
            MUST(buf_puts(&t->bodies, body) == OK);
            break;
        case H1_END:
            put(&t->bodies, S("|"));
            if (++t->messages == MESSAGES_MAX)
                return false;
            h1_begin(h, head_request);
            break;
        case H1_BAD:
            MUST(h->why != NULL && h->status >= 400 && h->status <= 505);
            t->refused = true;
            t->broken_body = h->framing != H1_NONE;
            t->status = h->status;
            t->why = h->why;
            MUST(h1_next(h, &in, &head, &body) == H1_BAD);
            return false;
        }
    }
}

static void read_all(struct tale *t, uint8_t flags, const uint8_t *cuts, size_t n_cuts,
                     struct slice in)
{
    struct h1 h;
    size_t at = 0, k = 0;
    bool head_request = (flags & 2) != 0, more = true;
    *t = (struct tale){0};
    buf_init(&t->heads, 1 << 24);
    buf_init(&t->bodies, 1 << 24);
    h1_init(&h, flags & 1 ? H1_REPLY : H1_REQUEST);
    h.coded_slash = flags & 4 ? "/model/" : NULL;
    h1_begin(&h, head_request);
    while (more && at < in.n) {
        size_t n = n_cuts == 0 ? in.n : cuts[k++ % n_cuts] > 0 ? cuts[(k - 1) % n_cuts] : 1;
        n = n < in.n - at ? n : in.n - at;
        char *copy = mem_new(n); /* what is read past it, or kept, is found */
        memcpy(copy, in.p + at, n);
        more = feed(t, &h, (struct slice){copy, n}, head_request);
        mem_free(copy);
        at += n;
    }
    if (more) {
        enum h1_event e = h1_eof(&h);
        put(&t->bodies, e == H1_END ? S("end") : e == H1_BAD ? S("bad") : S("none"));
    }
    h1_free(&h);
}

static void tale_free(struct tale *t)
{
    buf_free(&t->heads);
    buf_free(&t->bodies);
}

static void same(const struct tale *a, const struct tale *b)
{
    MUST(a->refused == b->refused && a->status == b->status && a->messages == b->messages);
    MUST(!a->refused || strcmp(a->why, b->why) == 0);
    MUST(slice_eq(buf_slice(&a->heads), buf_slice(&b->heads)));
    if (a->broken_body) { /* llhttp gives no body out of the call in which it finds an error */
        struct slice x = buf_slice(&a->bodies), y = buf_slice(&b->bodies);
        MUST(x.n < y.n ? slice_starts(y, x) : slice_starts(x, y));
    } else {
        MUST(slice_eq(buf_slice(&a->bodies), buf_slice(&b->bodies)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t ONE[] = {1};
    struct tale whole, cut, bytes;
    if (size < 2)
        return 0;
    uint8_t flags = data[0];
    size_t n_cuts = data[1] % 16;
    data += 2;
    size -= 2;
    n_cuts = n_cuts < size ? n_cuts : size;
    const uint8_t *cuts = data;
    struct slice in = {(const char *)data + n_cuts, size - n_cuts};
    read_all(&whole, flags, NULL, 0, in);
    read_all(&cut, flags, n_cuts > 0 ? cuts : ONE, n_cuts > 0 ? n_cuts : 1, in);
    same(&whole, &cut);
    if (size < 512) {
        read_all(&bytes, flags, ONE, 1, in);
        same(&whole, &bytes);
        tale_free(&bytes);
    }
    tale_free(&whole);
    tale_free(&cut);
    return 0;
}
