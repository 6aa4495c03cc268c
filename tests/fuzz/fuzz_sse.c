/* links: base http */
/* Server-sent events over hostile bytes: any split gives the same events, and the same as a reader
 * that is simple and slow.
 *
 * The first byte chooses the maximum, the second how many of the bytes that follow are lengths of
 * pieces (0: one byte). The rest is the stream. */
#include "http/http.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)       \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

struct seen {
    struct buf text;
    size_t max;
};

static void put(struct seen *s, struct slice name, struct slice data, bool overflow)
{
    MUST(buf_puts(&s->text, name) == OK);
    MUST(buf_puts(&s->text, overflow ? S("\x01\x02") : S("\x01")) == OK);
    MUST(buf_puts(&s->text, data) == OK);
    MUST(buf_puts(&s->text, S("\x03")) == OK);
}

static void on_event(void *arg, const struct sse_event *e)
{
    struct seen *s = arg;
    MUST(e->data.n <= s->max && e->name.n <= 64);
    MUST(!e->overflow || e->data.n == 0);
    put(s, e->name, e->data, e->overflow);
}

static bool read_all(struct seen *s, size_t max, const uint8_t *cuts, size_t n_cuts,
                     struct slice in)
{
    struct sse sse;
    size_t at = 0, k = 0;
    s->max = max;
    buf_init(&s->text, 1 << 24);
    sse_init(&sse, max);
    while (at < in.n) {
        size_t n = n_cuts == 0 ? in.n : cuts[k++ % n_cuts] > 0 ? cuts[(k - 1) % n_cuts] : 1;
        n = n < in.n - at ? n : in.n - at;
        char *copy = mem_new(n);
        memcpy(copy, in.p + at, n);
        sse_feed(&sse, (struct slice){copy, n}, on_event, s);
        mem_free(copy);
        at += n;
        MUST(sse.data.len <= max && sse.line.len <= max + 256);
    }
    bool boundary = sse_at_boundary(&sse);
    sse_free(&sse);
    return boundary;
}

/* ---- the slow reader: the standard's own words, one line after the other ------------------- */

struct slow {
    struct buf data;
    char name[64];
    size_t name_len;
    bool has_data, overflow;
};

static void slow_reset(struct slow *w)
{
    buf_clear(&w->data);
    w->name_len = 0;
    w->has_data = w->overflow = false;
}

static void slow_line(struct slow *w, struct seen *s, struct slice line)
{
    if (line.n == 0) {
        if (w->has_data || w->overflow)
            put(s, (struct slice){w->name, w->name_len}, w->overflow ? S("") : buf_slice(&w->data),
                w->overflow);
        slow_reset(w);
        return;
    }
    ptrdiff_t colon = slice_find(line, ':');
    struct slice field = colon < 0 ? line : slice_sub(line, 0, (size_t)colon);
    struct slice value = colon < 0 ? S("") : slice_sub(line, (size_t)colon + 1, line.n);
    if (value.n > 0 && value.p[0] == ' ')
        value = slice_sub(value, 1, value.n);
    if (slice_eq(field, S("event"))) {
        if (value.n > 64) {
            w->overflow = true;
        } else {
            memcpy(w->name, value.p, value.n);
            w->name_len = value.n;
        }
    } else if (slice_eq(field, S("data"))) {
        if ((w->has_data && buf_puts(&w->data, S("\n")) != OK) || buf_puts(&w->data, value) != OK)
            w->overflow = true;
        w->has_data = true;
    }
}

static void slow_all(struct seen *s, size_t max, struct slice in)
{
    struct slow w = {0};
    size_t from = slice_starts(in, S("\xef\xbb\xbf")) ? 3 : 0;
    s->max = max;
    buf_init(&s->text, 1 << 24);
    buf_init(&w.data, max);
    for (size_t i = from; i < in.n; i++) {
        if (in.p[i] != '\n' && in.p[i] != '\r')
            continue;
        slow_line(&w, s, slice_sub(in, from, i));
        if (in.p[i] == '\r' && i + 1 < in.n && in.p[i + 1] == '\n')
            i++;
        from = i + 1;
    }
    buf_free(&w.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t ONE[] = {1};
    struct seen whole, cut, bytes, slow;
    if (size < 2)
        return 0;
    size_t max = data[0] < 128 ? data[0] : 4096;
    size_t n_cuts = data[1] % 16;
    data += 2;
    size -= 2;
    n_cuts = n_cuts < size ? n_cuts : size;
    struct slice in = {(const char *)data + n_cuts, size - n_cuts};
    bool a = read_all(&whole, max, NULL, 0, in);
    bool b = read_all(&cut, max, n_cuts > 0 ? data : ONE, n_cuts > 0 ? n_cuts : 1, in);
    bool c = read_all(&bytes, max, ONE, 1, in);
    slow_all(&slow, max, in);
    MUST(a == b && b == c);
    MUST(slice_eq(buf_slice(&whole.text), buf_slice(&cut.text)));
    MUST(slice_eq(buf_slice(&whole.text), buf_slice(&bytes.text)));
    MUST(slice_eq(buf_slice(&whole.text), buf_slice(&slow.text)));
    buf_free(&whole.text);
    buf_free(&cut.text);
    buf_free(&bytes.text);
    buf_free(&slow.text);
    return 0;
}
