/* The observer: watches a reply go by and never touches it.
 *
 * For SSE it does its own framing. The framer in http hands out events; the relay needs to know
 * where, in the bytes it holds, the last whole event ends, and nearly all events (text deltas) need
 * no reading at all: of those only the line ends are found, by memchr, and not one byte is copied.
 *
 *     bytes --> lines --> blank line: end of event --> name says: read it, or only note that it was
 *                 |
 *                 '-- the first 6 bytes of a line tell its field; a line may arrive in any pieces
 */
#include "codec/dialect.h"
#include "codec/framing.h"

#include <string.h>

#define EVENT_MAX ((size_t)256 * 1024) /* of the events that are read; their like is 1 KiB */
#define BODY_MAX  ((size_t)1024 * 1024)
#define KEEP_CAP  ((size_t)8 * 1024) /* an idle observer keeps at most this much memory */
#define IDLE_MAX  256
#define LEAD      6 /* strlen("event:"): enough to tell every field */

enum line_kind {
    LINE_UNKNOWN, /* fewer than LEAD bytes so far */
    LINE_NAME,
    LINE_DATA,
    LINE_COMMENT,
    LINE_OTHER, /* id, retry, unknown ones and garbage */
};

struct observer {
    struct reading reading;
    const struct dialect_ops *ops;
    enum reply_kind kind;
    struct buf text; /* SSE: data of the event so far; JSON: the body so far */
    struct observer *next_idle;
    /* SSE: the line so far */
    enum line_kind line;
    char lead[LEAD];
    uint8_t lead_len;
    bool line_empty; /* nothing of it has been seen */
    bool value_started;
    bool after_cr;   /* the last byte was CR: an LF now belongs to it */
    bool first_line; /* a byte order mark may stand in front */
    /* SSE: the event so far */
    bool pending;       /* a field of it has been seen */
    bool has_data;      /* a data field of it has been seen */
    bool overflow;      /* its data was longer than EVENT_MAX */
    bool at_boundary;   /* between two events */
    bool any_event;     /* there has been one: this really is an event stream */
    enum event_use use; /* by its name so far; renewed when a name line is complete */
    uint8_t name_len;
    char name[32]; /* longer names are cut: no dialect reads one */
    /* JSON */
    bool json_started, json_over;
    struct framer *framer; /* LINES, and JSON that is a stream in an array; NULL: none */
};

/* Idle ones, for reuse: a busy gateway makes one per request. One thread only, the loop's. */
static struct observer *idle;
static int idle_n;
/* Memory for the next event that is read, whoever's: a stream that is held for an hour keeps none.
 */
static struct buf spare = {.max = KEEP_CAP};

static void text_take(struct observer *o)
{
    if (o->text.cap > 0 || spare.cap == 0)
        return;
    uint32_t max = o->text.max;
    o->text = spare;
    o->text.max = max;
    buf_init(&spare, KEEP_CAP);
}

static void text_give(struct observer *o)
{
    if (o->text.cap == 0)
        return;
    if (o->text.cap > KEEP_CAP || spare.cap > 0) {
        buf_free(&o->text);
        return;
    }
    spare = o->text;
    spare.max = KEEP_CAP;
    buf_clear(&spare);
    buf_init(&o->text, o->text.max);
}

static void event_reset(struct observer *o)
{
    o->pending = o->has_data = o->overflow = false;
    o->name_len = 0;
    o->use = EVENT_SNIFF;
    text_give(o);
}

static void line_reset(struct observer *o)
{
    o->line = LINE_UNKNOWN;
    o->lead_len = 0;
    o->line_empty = true;
    o->value_started = false;
}

struct observer *observer_new(enum dialect d, enum reply_kind kind)
{
    struct observer *o = idle;
    if (o != NULL) {
        idle = o->next_idle;
        idle_n--;
    } else {
        o = NEW(struct observer);
    }
    const struct dialect_ops *ops = dialect_ops_of(d);
    size_t max = kind == REPLY_JSON ? BODY_MAX : EVENT_MAX;
    *o = (struct observer){.ops = ops, .kind = kind};
    buf_init(&o->text, ops->reply_max > max ? ops->reply_max : max);
    o->first_line = o->at_boundary = true;
    reading_init(&o->reading);
    event_reset(o);
    line_reset(o);
    return o;
}

static void framer_drop(struct observer *o)
{
    if (o->framer == NULL)
        return;
    framer_free(o->framer);
    mem_free(o->framer);
    o->framer = NULL;
}

void observer_free(struct observer *o)
{
    if (o == NULL)
        return;
    assert(o->ops != NULL && idle_n >= 0);
    framer_drop(o);
    text_give(o);
    reading_free(&o->reading);
    if (idle_n == IDLE_MAX) {
        mem_free(o);
        return;
    }
    o->ops = NULL; /* freeing it twice fails the assert above */
    o->next_idle = idle;
    idle = o;
    idle_n++;
}

const struct observation *observer_see(const struct observer *o)
{
    return &o->reading.seen;
}

/* ---- events ---------------------------------------------------------------------------------- */

static struct slice event_name(const struct observer *o)
{
    return (struct slice){o->name, o->name_len};
}

static bool collecting(const struct observer *o)
{
    return o->use == EVENT_READ || o->use == EVENT_SNIFF;
}

/* A blank line: the event, if there is one, is complete. */
static void event_end(struct observer *o)
{
    struct observation *seen = &o->reading.seen;
    o->any_event = o->any_event || o->has_data;
    if (o->has_data) { /* without data nothing is dispatched (EventSource 9.2.6) */
        switch (o->use) {
        case EVENT_LIFE:
            break;
        case EVENT_PASS:
            seen->meaningful = true;
            break;
        case EVENT_READ:
        case EVENT_SNIFF:
            if (o->overflow && o->ops->event_cut != NULL)
                o->ops->event_cut(&o->reading, event_name(o));
            if (o->overflow || !o->ops->event(&o->reading, event_name(o), buf_slice(&o->text)))
                seen->blind = true;
            break;
        }
    }
    event_reset(o);
}

static void data_add(struct observer *o, const char *p, size_t n)
{
    text_take(o);
    if (!o->overflow && buf_append(&o->text, p, n) != OK)
        o->overflow = true;
}

static void name_add(struct observer *o, const char *p, size_t n)
{
    size_t room = sizeof o->name - o->name_len;
    size_t take = n < room ? n : room;
    memcpy(o->name + o->name_len, p, take);
    o->name_len = (uint8_t)(o->name_len + take);
    assert(o->name_len <= sizeof o->name);
}

/* Bytes of the field's value. One space behind the colon is not part of it. */
static void value_add(struct observer *o, const char *p, size_t n)
{
    if (n > 0 && !o->value_started) {
        o->value_started = true;
        if (*p == ' ') {
            p++;
            n--;
        }
    }
    if (o->line == LINE_NAME)
        name_add(o, p, n);
    else if (o->line == LINE_DATA && collecting(o))
        data_add(o, p, n);
}

/* ---- lines ----------------------------------------------------------------------------------- */

static bool lead_is(const struct observer *o, struct slice field)
{
    struct slice lead = {o->lead, o->lead_len};
    if (slice_eq(lead, field)) /* the whole line: a field without colon has the empty value */
        return true;
    return lead.n > field.n && lead.p[field.n] == ':' && memcmp(lead.p, field.p, field.n) == 0;
}

/* Tells the line's field from its first bytes: LEAD of them, or fewer if that is the whole line. */
static void line_decide(struct observer *o)
{
    size_t used = o->lead_len;
    assert(o->line == LINE_UNKNOWN && used > 0 && used <= LEAD);
    if (o->lead[0] == ':') {
        o->line = LINE_COMMENT;
        return;
    }
    o->pending = true;
    o->at_boundary = false;
    if (lead_is(o, S("event"))) {
        o->line = LINE_NAME;
        o->name_len = 0; /* the last name wins */
    } else if (lead_is(o, S("data"))) {
        o->line = LINE_DATA;
        if (o->has_data && collecting(o))
            data_add(o, "\n", 1);
        o->has_data = true;
        used = sizeof "data:" - 1;
    } else if (lead_is(o, S("id")) || lead_is(o, S("retry"))) {
        o->line = LINE_OTHER;
    } else {
        /* Unknown fields are to be ignored (9.2.6); but a reply that begins with one is an error
         * page, and a line that cannot be a field is no part of an event stream. */
        bool letter = (o->lead[0] >= 'a' && o->lead[0] <= 'z') ||
                      (o->lead[0] >= 'A' && o->lead[0] <= 'Z');
        o->line = LINE_OTHER;
        if (!o->any_event || !letter)
            o->reading.seen.blind = true;
    }
    if (used < o->lead_len)
        value_add(o, o->lead + used, o->lead_len - used);
}

/* The first bytes of a line, until its field is known. Returns how many it took. */
static size_t lead_add(struct observer *o, const char *p, size_t n)
{
    size_t want = o->first_line && o->lead_len < 3 ? 3 : LEAD;
    size_t take = want - o->lead_len < n ? want - o->lead_len : n;
    memcpy(o->lead + o->lead_len, p, take);
    o->lead_len = (uint8_t)(o->lead_len + take);
    if (o->first_line && o->lead_len == 3) {
        o->first_line = false;
        if (memcmp(o->lead, "\xef\xbb\xbf", 3) == 0) {
            o->lead_len = 0;
            o->line_empty = true;
        }
    }
    if (o->lead_len == LEAD || (o->lead_len > 0 && o->lead[0] == ':'))
        line_decide(o);
    return take;
}

static void line_add(struct observer *o, const char *p, size_t n)
{
    while (n > 0 && o->line == LINE_UNKNOWN) {
        o->line_empty = false;
        size_t took = lead_add(o, p, n);
        p += took;
        n -= took;
    }
    if (n > 0)
        value_add(o, p, n);
}

/* The line's end has been seen. Afterwards at_boundary tells whether an event ends here too. */
static void line_end(struct observer *o)
{
    o->first_line = false;
    if (o->line_empty) {
        event_end(o);
        o->at_boundary = true;
    } else {
        if (o->line == LINE_UNKNOWN)
            line_decide(o);
        if (o->line == LINE_NAME)
            o->use = o->ops->event_use(event_name(o));
        /* A comment between two events is over with its line: it must not wait for the next event,
         * it is there to be seen now. */
        o->at_boundary = !o->pending;
    }
    line_reset(o);
}

/* A short way for the two lines that make up nearly all of a stream, when they come whole: the
 * name, and data that nobody reads. Does exactly what line_add and line_end would do; false when it
 * is not for this line. */
static bool line_common(struct observer *o, const char *p, size_t n)
{
    if (n < 7 || !o->line_empty || o->first_line)
        return false;
    if (memcmp(p, "data: ", 6) == 0 && !collecting(o)) {
        o->has_data = true;
    } else if (memcmp(p, "event: ", 7) == 0) {
        o->name_len = 0;
        name_add(o, p + 7, n - 7);
        o->use = o->ops->event_use(event_name(o));
    } else {
        return false;
    }
    o->pending = true;
    o->at_boundary = false;
    return true;
}

/* The next line end of each kind. Each byte is searched once for each: were the search for one kind
 * begun anew at every line of the other, a hostile stream could make it take the square of its
 * length. */
struct line_ends {
    size_t lf, cr; /* b.n: there is none any more */
};

static size_t find_from(struct slice b, size_t at, int c)
{
    const char *p = memchr(b.p + at, c, b.n - at);
    return p != NULL ? (size_t)(p - b.p) : b.n;
}

static size_t line_find(struct slice b, size_t at, struct line_ends *e)
{
    assert(at < b.n);
    if (e->lf < at) /* every other line is empty */
        e->lf = b.p[at] == '\n' ? at : find_from(b, at, '\n');
    if (e->cr < at)
        e->cr = find_from(b, at, '\r');
    return e->lf < e->cr ? e->lf : e->cr;
}

static size_t sse_look(struct observer *o, struct slice b)
{
    size_t at = 0, whole = 0;
    if (b.n > 0 && o->after_cr) {
        o->after_cr = false;
        if (b.p[0] == '\n') { /* the second half of a CRLF that came in two pieces */
            at = 1;
            whole = o->at_boundary ? 1 : 0;
        }
    }
    struct line_ends ends = {0, 0};
    if (at < b.n) {
        ends.lf = find_from(b, at, '\n');
        ends.cr = find_from(b, at, '\r');
    }
    while (at < b.n) {
        size_t n = line_find(b, at, &ends) - at;
        bool whole_line = at + n < b.n;
        bool done = whole_line && line_common(o, b.p + at, n);
        if (!done)
            line_add(o, b.p + at, n);
        at += n;
        if (!whole_line)
            break;
        if (!done)
            line_end(o);
        if (b.p[at++] == '\r') {
            if (at == b.n)
                o->after_cr = true;
            else if (b.p[at] == '\n')
                at++;
        }
        if (o->at_boundary)
            whole = at;
    }
    assert(whole <= b.n);
    return whole;
}

/* ---- streams in other framings --------------------------------------------------------------- */

static enum err on_framed(void *arg, struct slice name, struct slice data)
{
    struct observer *o = arg;
    if (!o->ops->event(&o->reading, name, data))
        o->reading.seen.blind = true;
    return OK;
}

/* What is no such framing, or too long, is not followed any further. */
static void framed_look(struct observer *o, enum framing framing, struct slice b)
{
    if (o->json_over || b.n == 0)
        return;
    if (o->framer == NULL) {
        o->framer = NEW(struct framer);
        framer_init(o->framer, framing);
        o->framer->held.max = o->text.max;
    }
    if (framer_feed(o->framer, b, on_framed, o) == OK)
        return;
    o->json_over = o->reading.seen.blind = true;
    framer_drop(o);
}

static size_t lines_look(struct observer *o, struct slice b)
{
    size_t whole = b.n;
    framed_look(o, FRAMING_LINES, b);
    while (whole > 0 && b.p[whole - 1] != '\n')
        whole--;
    return whole;
}

/* The stream is over; whole if its end was told. */
static void framed_end(struct observer *o)
{
    struct observation *seen = &o->reading.seen;
    if (o->framer == NULL || o->json_over || framer_end(o->framer, on_framed, o) != OK)
        return;
    if (o->ops->stop_ends && seen->stop_reason[0] != '\0')
        seen->terminal = true;
}

/* ---- bodies that are no stream --------------------------------------------------------------- */

static void json_look(struct observer *o, struct slice b)
{
    struct observation *seen = &o->reading.seen;
    if (!o->json_started) { /* keep-alive blanks come before some answers */
        while (b.n > 0 && memchr(" \t\r\n", b.p[0], 4) != NULL)
            b = slice_sub(b, 1, b.n);
        if (b.n == 0)
            return;
        o->json_started = true;
        if (b.p[0] == '{')
            seen->meaningful = true;
        else if (b.p[0] == '[' && o->ops->array)
            framed_look(o, FRAMING_ARRAY, slice_sub(b, 0, 1));
        else
            o->json_over = seen->blind = true; /* an HTML page, say */
        if (o->framer != NULL)
            b = slice_sub(b, 1, b.n);
    }
    if (o->framer != NULL) {
        framed_look(o, FRAMING_ARRAY, b);
        return;
    }
    text_take(o);
    if (o->json_over || buf_append(&o->text, b.p, b.n) == OK)
        return;
    o->json_over = seen->blind = true;
    buf_free(&o->text);
}

size_t observer_feed(struct observer *o, struct slice bytes)
{
    assert(o->ops != NULL);
    switch (o->kind) {
    case REPLY_SSE:
        return sse_look(o, bytes);
    case REPLY_JSON:
        json_look(o, bytes);
        break;
    case REPLY_LINES:
        return lines_look(o, bytes);
    case REPLY_OPAQUE:
        if (bytes.n > 0)
            o->reading.seen.meaningful = true;
        break;
    }
    return bytes.n;
}

void observer_end(struct observer *o)
{
    struct observation *seen = &o->reading.seen;
    assert(o->ops != NULL);
    if (o->kind == REPLY_SSE) { /* an event without its blank line is none, framing is no end */
        if (o->ops->stop_ends && seen->stop_reason[0] != '\0')
            seen->terminal = true; /* unless all has been said by then */
        return;
    }
    if (o->kind == REPLY_LINES || o->framer != NULL) {
        framed_end(o);
        return;
    }
    seen->terminal = true;
    if (o->kind == REPLY_JSON && o->json_started && !o->json_over &&
        !o->ops->body(&o->reading, buf_slice(&o->text)))
        seen->blind = true;
}
