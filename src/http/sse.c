/* sse: server-sent events out of a byte stream (WHATWG HTML 9.2.6).
 *
 * A line that lies within one chunk is looked at where it is; only one that spans chunks is copied,
 * into `line`. Likewise `data` is used when an event has several data lines or spans chunks. What
 * is reported must not depend on where the stream was cut, limits included. */
#include "http/http.h"

#include <string.h>

#define LINE_SLACK \
    128 /* a line may be longer than the longest event: field names and event names */

static const char BOM[3] = {'\xef', '\xbb', '\xbf'};

/* One call of sse_feed: the data of an event that lies within this chunk, not copied so far. */
struct feed {
    struct sse *s;
    void (*on_event)(void *arg, const struct sse_event *e);
    void *arg;
    struct slice lent; /* .p == NULL: the data is in s->data */
};

void sse_init(struct sse *s, size_t max_event)
{
    *s = (struct sse){0};
    buf_init(&s->line, max_event + LINE_SLACK);
    buf_init(&s->data, max_event);
}

void sse_free(struct sse *s)
{
    buf_free(&s->line);
    buf_free(&s->data);
}

bool sse_at_boundary(const struct sse *s)
{
    return !s->any && !s->long_line && s->line.len == 0 && s->bom % 3 == 0;
}

static void event_clear(struct feed *f)
{
    struct sse *s = f->s;
    f->lent = (struct slice){NULL, 0};
    buf_clear(&s->data);
    s->name_len = 0;
    s->overflow = s->any = s->has_data = false;
}

static void event_overflows(struct feed *f)
{
    f->s->overflow = true;
    f->lent = (struct slice){NULL, 0};
    buf_free(&f->s->data);
}

static void event_dispatch(struct feed *f)
{
    struct sse *s = f->s;
    if (s->has_data || s->overflow) {
        struct sse_event e = {.name = {s->name, s->name_len}, .overflow = s->overflow};
        e.data = s->overflow ? S("") : f->lent.p != NULL ? f->lent : buf_slice(&s->data);
        f->on_event(f->arg, &e);
    }
    event_clear(f);
}

/* Moves lent data into memory of our own. */
static void data_keep(struct feed *f)
{
    if (f->lent.p == NULL)
        return;
    struct slice lent = f->lent;
    f->lent = (struct slice){NULL, 0};
    assert(f->s->data.len == 0);
    if (buf_puts(&f->s->data, lent) != OK)
        event_overflows(f);
}

static void data_add(struct feed *f, struct slice value, bool stays)
{
    struct sse *s = f->s;
    bool first = !s->has_data;
    s->has_data = true;
    if (s->overflow)
        return;
    size_t before = f->lent.p != NULL ? f->lent.n : s->data.len;
    size_t more = value.n + (first ? 0 : 1);
    if (more > s->data.max - before) {
        event_overflows(f);
        return;
    }
    if (first && stays) {
        f->lent = value;
        return;
    }
    data_keep(f);
    if (s->overflow)
        return;
    if ((!first && buf_puts(&s->data, S("\n")) != OK) || buf_puts(&s->data, value) != OK)
        event_overflows(f);
}

/* A whole line; `stays`: its bytes outlive this line, `cut`: only its beginning was kept. */
static void line_take(struct feed *f, struct slice line, bool stays, bool cut)
{
    struct sse *s = f->s;
    if (line.n == 0 && !cut) {
        event_dispatch(f);
        return;
    }
    if (line.n > 0 && line.p[0] == ':')
        return;
    s->any = true;
    ptrdiff_t colon = slice_find(line, ':');
    struct slice field = colon < 0 ? line : slice_sub(line, 0, (size_t)colon);
    struct slice value = colon < 0 ? S("") : slice_sub(line, (size_t)colon + 1, line.n);
    if (value.n > 0 && value.p[0] == ' ')
        value = slice_sub(value, 1, value.n);
    if (slice_eq(field, S("data"))) {
        if (cut)
            event_overflows(f);
        data_add(f, value, stays);
    } else if (slice_eq(field, S("event"))) {
        if (cut || value.n > sizeof s->name) {
            event_overflows(f);
            return;
        }
        if (value.n > 0)
            memcpy(s->name, value.p, value.n);
        s->name_len = (uint8_t)value.n;
    }
}

static void line_keep(struct feed *f, struct slice part)
{
    struct sse *s = f->s;
    size_t room = s->line.max - s->line.len;
    if (part.n > room) {
        s->long_line = true;
        part.n = room;
    }
    if (buf_puts(&s->line, part) != OK) {
        s->long_line = true;
        event_overflows(f); /* out of memory: whatever the line was */
    }
}

static void line_end(struct feed *f, struct slice rest)
{
    struct sse *s = f->s;
    if (s->line.len == 0 && !s->long_line) {
        line_take(f, rest, true, false);
        return;
    }
    line_keep(f, rest);
    bool cut = s->long_line;
    s->long_line = false;
    line_take(f, buf_slice(&s->line), false, cut);
    buf_clear(&s->line);
}

/* Drops a byte order mark at the very start; what only looked like one is put into the line. */
static struct slice bom_skip(struct feed *f, struct slice in)
{
    struct sse *s = f->s;
    while (s->bom < 3 && in.n > 0) {
        if (in.p[0] != BOM[s->bom]) {
            struct slice seen = {BOM, s->bom};
            s->bom = 3;
            if (seen.n > 0)
                line_keep(f, seen);
            break;
        }
        s->bom++;
        in = slice_sub(in, 1, in.n);
    }
    return in;
}

/* Where the first `c` at or after `from` is, or `end`. */
static const char *next_of(const char *from, const char *end, char c)
{
    const char *at = from < end ? memchr(from, c, (size_t)(end - from)) : NULL;
    return at != NULL ? at : end;
}

void sse_feed(struct sse *s, struct slice bytes,
              void (*on_event)(void *arg, const struct sse_event *e), void *arg)
{
    struct feed f = {.s = s, .on_event = on_event, .arg = arg};
    struct slice in = bom_skip(&f, bytes);
    if (in.n == 0)
        return;
    const char *at = in.p, *end = in.p + in.n;
    if (s->after_cr && *at == '\n')
        at++;
    s->after_cr = false;
    const char *lf = next_of(at, end, '\n'), *cr = next_of(at, end, '\r');
    while (at < end) {
        /* looked for again only once passed: a chunk is searched once, however its lines end */
        if (lf < at)
            lf = next_of(at, end, '\n');
        if (cr < at)
            cr = next_of(at, end, '\r');
        const char *stop = lf < cr ? lf : cr;
        struct slice part = {at, (size_t)(stop - at)};
        if (stop == end) {
            line_keep(&f, part);
            break;
        }
        line_end(&f, part);
        at = stop + 1;
        if (*stop == '\r') {
            s->after_cr = at == end;
            if (at < end && *at == '\n')
                at++;
        }
    }
    data_keep(&f);
}
