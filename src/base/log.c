/* One line per event, built on the stack and written whole.
 *
 * A line is never longer than LOG_LINE bytes: that is also what a pipe takes in one piece, so that
 * two writers' lines do not mix. Values that do not fit are cut and say how much is missing; fields
 * that do not fit are left out and the line ends with `cut=true`. */
#include "base/base.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define LOG_LINE  4096
#define LOG_TAIL  32   /* kept free for the cut mark, the brace and the newline */
#define LOG_VALUE 1024 /* bytes of one value as printed */
#define LOG_MARK  32   /* "...(+18446744073709551615)" and a quote */

struct line {
    size_t n;
    bool json;
    char p[LOG_LINE];
};

/* Written by log_init before there is a second thread; only the atomics change later. */
static struct {
    int fd;
    enum log_format format;
    int64_t (*clock_ms)(void *);
    void *clock_arg;
    atomic_int min;
    atomic_bool torn; /* the last line was written in part: the next one starts a new line */
    atomic_uint_fast64_t dropped;
} sink = {.fd = -1, .min = LOG_OFF};

static const char *const level_names[] = {"debug", "info", "warn", "error", "off"};
static const char *const level_marks[] = {"DEBUG", "INFO", "WARN", "ERROR"};

void log_init(int fd, enum log_format format, enum log_level min, int64_t (*clock_ms)(void *),
              void *clock_arg)
{
    assert(fd >= 0);
    assert(clock_ms != NULL);
    sink.fd = fd;
    sink.format = format;
    sink.clock_ms = clock_ms;
    sink.clock_arg = clock_arg;
    log_set_level(min);
}

void log_set_level(enum log_level min)
{
    assert((unsigned)min <= LOG_OFF);
    assert(sink.fd >= 0 || min == LOG_OFF); /* log_init comes first */
    atomic_store_explicit(&sink.min, (int)min, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return level < LOG_OFF && (int)level >= atomic_load_explicit(&sink.min, memory_order_relaxed);
}

bool log_level_parse(struct slice s, enum log_level *out)
{
    assert(out != NULL);
    for (int i = LOG_DEBUG; i <= LOG_OFF; i++) {
        if (slice_eq(s, slice_of(level_names[i]))) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

uint64_t log_dropped(void)
{
    return atomic_load_explicit(&sink.dropped, memory_order_relaxed);
}

/* ---- building a line ---------------------------------------------------------------------------
 */

static void put(struct line *l, struct slice s)
{
    assert(s.n <= sizeof(l->p) - l->n);
    if (s.n > 0)
        memcpy(l->p + l->n, s.p, s.n);
    l->n += s.n;
}

static size_t line_room(const struct line *l)
{
    assert(l->n <= LOG_LINE);
    return l->n < LOG_LINE - LOG_TAIL ? LOG_LINE - LOG_TAIL - l->n : 0;
}

/* Of one valid character of n bytes: may it move a terminal's cursor, end a line or reorder text?
 * Such are C0, DEL, C1, the line separators and the marks of writing direction. */
static bool is_control(const uint8_t *p, size_t n)
{
    if (n == 1)
        return p[0] < 0x20 || p[0] == 0x7f;
    if (n == 2)
        return p[0] == 0xc2 && p[1] < 0xa0;
    if (n != 3 || p[0] != 0xe2)
        return false;
    if (p[1] == 0x80) /* U+200E, U+200F; U+2028 to U+202E */
        return p[2] == 0x8e || p[2] == 0x8f || (p[2] >= 0xa8 && p[2] <= 0xae);
    return p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9; /* U+2066 to U+2069 */
}

static unsigned code_point(const uint8_t *p, size_t n)
{
    assert(n >= 1 && n <= 3);
    if (n == 1)
        return p[0];
    if (n == 2)
        return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
    return (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
}

/* Prints the first character of `s` into `out`; *used says how many bytes of `s` it was. */
static struct slice escape_one(struct slice s, char out[8], size_t *used)
{
    const uint8_t *p = (const uint8_t *)s.p;
    size_t n = text_utf8_at(s);

    *used = n > 0 ? n : 1;
    if (n == 0)
        return S("\xef\xbf\xbd"); /* U+FFFD: not UTF-8 */
    if (p[0] == '"')
        return S("\\\"");
    if (p[0] == '\\')
        return S("\\\\");
    if (p[0] == '\n')
        return S("\\n");
    if (is_control(p, n))
        return (struct slice){out, text_format(out, 8, "\\u%04x", code_point(p, n))};
    return slice_sub(s, 0, n);
}

/* At most `most` bytes, then the mark that says how much of the value is missing. The caller has
 * seen to it that there is room for `most` and the mark. */
static void put_escaped(struct line *l, struct slice s, size_t most)
{
    size_t end = l->n + most;

    while (s.n > 0) {
        char out[8];
        size_t used;
        struct slice c = escape_one(s, out, &used);
        if (l->n + c.n > end)
            break;
        put(l, c);
        s = slice_sub(s, used, s.n);
    }
    if (s.n > 0) {
        char missing[TEXT_U64_MAX];
        put(l, S("...(+"));
        put(l, (struct slice){missing, text_from_u64(s.n, missing)});
        put(l, S(")"));
    }
}

/* Text that needs no quotes cannot be taken for two fields. */
static bool is_bare(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '"' || s.p[i] == '=' || s.p[i] == '\\')
            return false;
    return s.n > 0 && s.n <= LOG_VALUE;
}

static void put_string(struct line *l, struct slice s)
{
    size_t room = line_room(l);
    size_t most = room > LOG_MARK ? room - LOG_MARK : 0;
    bool quotes = l->json || !is_bare(s) || s.n > most;

    if (quotes)
        put(l, S("\""));
    put_escaped(l, s, most < LOG_VALUE ? most : LOG_VALUE);
    if (quotes)
        put(l, S("\""));
}

static void put_i64(struct line *l, int64_t v)
{
    char text[TEXT_U64_MAX + 1];

    put(l, (struct slice){text, text_format(text, sizeof(text), "%" PRId64, v)});
}

static void put_value(struct line *l, const struct log_field *f)
{
    char text[TEXT_F64_MAX];

    switch (f->kind) {
    case LF_KIND_STR:
        put_string(l, f->s);
        break;
    case LF_KIND_INT:
        put_i64(l, f->i);
        break;
    case LF_KIND_FLOAT:
        put(l, (struct slice){text, text_from_f64(f->f, text)});
        break;
    case LF_KIND_BOOL:
        put(l, f->i != 0 ? S("true") : S("false"));
        break;
    }
}

static void put_key(struct line *l, const char *key)
{
    put(l, l->json ? S(",\"") : S(" "));
    put_escaped(l, slice_of(key), 64);
    put(l, l->json ? S("\":") : S("="));
}

static void put_head(struct line *l, enum log_level level, const char *msg)
{
    char when[TEXT_TIME_MAX];
    struct slice ts = {when, text_from_time(sink.clock_ms(sink.clock_arg), when)};

    if (l->json) {
        put(l, S("{\"ts\":\""));
        put(l, ts);
        put(l, S("\",\"level\":\""));
        put(l, slice_of(level_names[level]));
        put(l, S("\",\"msg\":\""));
        put_escaped(l, slice_of(msg), LOG_VALUE);
        put(l, S("\""));
    } else {
        put(l, ts);
        put(l, S(" "));
        put(l, slice_of(level_marks[level]));
        put(l, S(" "));
        put_escaped(l, slice_of(msg), LOG_VALUE);
    }
}

static void put_fields(struct line *l, const struct log_field *f)
{
    for (; f != NULL && f->key != NULL; f++) {
        /* a key of 64 bytes with its own mark, and a number or the shortest cut value */
        if (line_room(l) < 64 + LOG_MARK + 2 * LOG_MARK + 8) {
            put(l, l->json ? S(",\"cut\":true") : S(" cut=true"));
            return;
        }
        put_key(l, f->key);
        put_value(l, f);
    }
}

/* ---- writing it --------------------------------------------------------------------------------
 */

static void drop(void)
{
    atomic_fetch_add_explicit(&sink.dropped, 1, memory_order_relaxed);
}

/* One write(2) as a rule. A descriptor that takes only a part is offered the rest at once; what it
 * does not take then is lost, and the next line begins on a line of its own. */
static void line_write(const char *p, size_t n)
{
    bool begun = false;

    if (atomic_exchange_explicit(&sink.torn, false, memory_order_relaxed)) {
        if (write(sink.fd, "\n", 1) != 1) {
            atomic_store_explicit(&sink.torn, true, memory_order_relaxed);
            drop();
            return;
        }
    }
    while (n > 0) {
        ssize_t took = write(sink.fd, p, n);
        if (took < 0 && errno == EINTR)
            continue;
        if (took <= 0) {
            atomic_store_explicit(&sink.torn, begun, memory_order_relaxed);
            drop();
            return;
        }
        begun = true;
        p += took;
        n -= (size_t)took;
    }
}

void log_event(enum log_level level, const char *msg, const struct log_field *fields)
{
    struct line l;

    assert(msg != NULL);
    if (!log_enabled(level))
        return;
    assert(sink.fd >= 0 && level <= LOG_ERROR);
    l.n = 0;
    l.json = sink.format == LOG_JSON;
    put_head(&l, level, msg);
    put_fields(&l, fields);
    put(&l, l.json ? S("}\n") : S("\n"));
    int keep = errno; /* a caller who logs an error may want to look at it again */
    line_write(l.p, l.n);
    errno = keep;
}
