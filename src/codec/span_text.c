/* What the strings say that the scanner finds: their escapes undone. */
#include "codec/span.h"

#include <string.h>

static uint32_t hex4(const char *p)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        uint32_t c = (uint8_t)p[i];
        assert((c >= '0' && c <= '9') || ((c | 0x20U) >= 'a' && (c | 0x20U) <= 'f'));
        v = v << 4 | (c <= '9' ? c - '0' : (c | 0x20U) - 'a' + 10);
    }
    return v;
}

static size_t utf8_put(char out[4], uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; c >>= 6)
        out[i] = (char)(0x80U | (c & 0x3fU));
    out[0] = (char)((n == 2 ? 0xc0U : n == 3 ? 0xe0U : 0xf0U) | c);
    return n;
}

/* The character of the \u escape whose 'u' is at `*at`; moves to its last digit. Halves of a pair
 * that stand alone, and NUL, which would cut a terminated text short, become U+FFFD. */
static uint32_t escape_u(struct slice t, size_t *at)
{
    uint32_t c = hex4(t.p + *at + 1);
    *at += 4;
    if (c >= 0xd800 && c < 0xdc00 && t.n - *at > 6 && t.p[*at + 1] == '\\' && t.p[*at + 2] == 'u') {
        uint32_t low = hex4(t.p + *at + 3);
        if (low >= 0xdc00 && low < 0xe000) {
            *at += 6;
            return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        }
    }
    return c == 0 || (c >= 0xd800 && c < 0xe000) ? 0xfffd : c;
}

/* One character or escape at `*at`, moving past it. */
static size_t unescape_one(struct slice t, size_t *at, char out[4])
{
    char c = t.p[(*at)++];
    if (c != '\\') {
        out[0] = c;
        return 1;
    }
    c = t.p[*at];
    uint32_t u = 0;
    switch (c) {
    case 'b':
        u = '\b';
        break;
    case 'f':
        u = '\f';
        break;
    case 'n':
        u = '\n';
        break;
    case 'r':
        u = '\r';
        break;
    case 't':
        u = '\t';
        break;
    case 'u':
        u = escape_u(t, at);
        break;
    default:
        u = (uint8_t)c;
        break;
    }
    (*at)++;
    return utf8_put(out, u);
}

/* Takes the last character, which may have been cut, off `len` bytes; ASCII is never cut. */
static size_t utf8_whole(const char *s, size_t len)
{
    while (len > 0 && ((uint8_t)s[len - 1] & 0xc0U) == 0x80)
        len--;
    return len > 0 && (uint8_t)s[len - 1] >= 0xc0 ? len - 1 : len;
}

bool json_span_text(struct slice text, struct span v, char *out, size_t size)
{
    size_t end = 0, len = 0;
    assert(size > 0 && v.to <= text.n);
    out[0] = '\0';
    if (v.from >= v.to || text.p[v.from] != '"')
        return false;
    size_t stop = span_plain(text, v.from + 1);
    if (stop + 1 == v.to && text.p[stop] == '"' && stop - v.from <= size) { /* most of them */
        len = stop - v.from - 1;
        memcpy(out, text.p + v.from + 1, len);
        out[len] = '\0';
        return true;
    }
    if (span_string(text, v.from, &end) != OK || end != v.to)
        return false;
    struct slice raw = slice_sub(text, v.from + 1, v.to - 1);
    for (size_t at = 0; at < raw.n;) {
        char one[4];
        const char *from = raw.p + at;
        size_t n = span_plain(raw, at) - at; /* a run without escapes goes over as it is */
        if (n > 0) {
            if (n >= size - len)
                n = size - len; /* one too many: found out below */
            at += n;
        } else {
            n = unescape_one(raw, &at, one);
            from = one;
        }
        if (len + n >= size) {
            n = from == one ? 0 : size - 1 - len;
            memcpy(out + len, from, n);
            len = utf8_whole(out, len + n);
            break;
        }
        memcpy(out + len, from, n);
        len += n;
    }
    assert(len < size);
    out[len] = '\0';
    return true;
}

bool span_text_plain(struct slice text, struct span v, char *out, size_t size)
{
    assert(v.from < v.to && v.to <= text.n);
    struct slice inner = {text.p + v.from + 1, v.to - v.from - 2};
    if (text.p[v.from] != '"' || inner.n >= size || !text_is_plain(inner))
        return false;
    memcpy(out, inner.p, inner.n);
    out[inner.n] = '\0';
    return true;
}

enum err span_text(struct slice text, struct span v, struct buf *room, struct slice *out)
{
    size_t end = 0;
    *out = (struct slice){"", 0};
    if (v.from >= v.to || v.to > text.n || text.p[v.from] != '"')
        return ERR_SYNTAX;
    if (span_string(text, v.from, &end) != OK || end != v.to)
        return ERR_SYNTAX;
    struct slice raw = slice_sub(text, v.from + 1, v.to - 1);
    if (raw.n == 0 || memchr(raw.p, '\\', raw.n) == NULL) {
        *out = raw;
        return OK;
    }
    buf_clear(room);
    enum err e = buf_reserve(room, raw.n + 1); /* no escape is shorter than what it stands for */
    if (e != OK)
        return e;
    bool is_text = json_span_text(text, v, room->p, raw.n + 1);
    assert(is_text);
    (void)is_text;
    room->len = strlen(room->p); /* a NUL in it has become U+FFFD */
    *out = buf_slice(room);
    return OK;
}

struct slice span_key(struct slice raw, char *room, size_t size)
{
    if (raw.n == 0 || memchr(raw.p, '\\', raw.n) == NULL)
        return raw;
    size_t len = 0;
    for (size_t at = 0; at < raw.n;) {
        char one[4];
        size_t n = unescape_one(raw, &at, one);
        if (size - len < n)
            return raw; /* with its backslash it is the key of nobody */
        memcpy(room + len, one, n);
        len += n;
    }
    assert(len < raw.n);
    return (struct slice){room, len};
}

bool span_key_undone_is(struct slice raw, struct slice name)
{
    size_t len = 0;
    if (slice_find(raw, '\\') < 0)
        return false;
    for (size_t at = 0; at < raw.n;) {
        char one[4];
        size_t n = unescape_one(raw, &at, one);
        if (name.n - len < n || memcmp(name.p + len, one, n) != 0)
            return false;
        len += n;
    }
    return len == name.n;
}
