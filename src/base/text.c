/* Numbers, identifiers, copies, suggestions. Every parser here reads hostile bytes: it looks at no
 * byte outside its slice and computes nothing that may overflow. */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool text_u64(struct slice s, uint64_t *out)
{
    uint64_t v = 0;

    assert(out != NULL);
    if (s.n == 0)
        return false;
    const char *p = s.p, *end = p + s.n, *fits = s.n > 19 ? p + 19 : end; /* 19 digits always do */
    for (; p < fits; p++) {
        unsigned digit = (unsigned char)*p - (unsigned)'0';
        if (digit > 9)
            return false;
        v = v * 10 + digit;
    }
    for (; p < end; p++) {
        unsigned digit = (unsigned char)*p - (unsigned)'0';
        if (digit > 9 || v > (UINT64_MAX - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *out = v;
    return true;
}

bool text_i64(struct slice s, int64_t *out)
{
    bool minus = s.n > 0 && s.p[0] == '-';
    uint64_t v;

    assert(out != NULL);
    if (!text_u64(minus ? slice_sub(s, 1, s.n) : s, &v))
        return false;
    if (v > (uint64_t)INT64_MAX + minus)
        return false;
    if (minus && v > 0)
        *out = -(int64_t)(v - 1) - 1; /* the smallest one has no positive twin */
    else
        *out = (int64_t)v;
    return true;
}

static bool scale(struct slice digits, uint64_t unit, uint64_t max, uint64_t *out)
{
    uint64_t v;

    assert(unit > 0);
    if (!text_u64(digits, &v) || v > max / unit)
        return false;
    *out = v * unit;
    return true;
}

bool text_duration(struct slice s, int64_t unit_ms, int64_t *out)
{
    static const struct {
        struct slice suffix; /* "ms" stands before "s" */
        uint64_t ms;
    } units[] = {
        {{"ms", 2}, 1},          {{"s", 1}, 1000},         {{"m", 1}, 60 * 1000},
        {{"h", 1}, 3600 * 1000}, {{"d", 1}, 86400 * 1000},
    };
    uint64_t unit = (uint64_t)unit_ms;
    uint64_t ms;

    assert(unit_ms > 0 && out != NULL);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (slice_ends(s, units[i].suffix)) {
            unit = units[i].ms;
            s = slice_sub(s, 0, s.n - units[i].suffix.n);
            break;
        }
    }
    if (!scale(s, unit, INT64_MAX, &ms))
        return false;
    *out = (int64_t)ms;
    return true;
}

bool text_size(struct slice s, uint64_t *out)
{
    char last = s.n > 0 ? s.p[s.n - 1] : '\0';
    uint64_t unit = 1;

    assert(out != NULL);
    if (last == 'k' || last == 'K')
        unit = UINT64_C(1) << 10;
    else if (last == 'm' || last == 'M')
        unit = UINT64_C(1) << 20;
    else if (last == 'g' || last == 'G')
        unit = UINT64_C(1) << 30;
    if (unit > 1)
        s = slice_sub(s, 0, s.n - 1);
    return scale(s, unit, UINT64_MAX, out);
}

size_t text_from_u64(uint64_t v, char out[TEXT_U64_MAX])
{
    size_t n = 1;

    for (uint64_t most = 9; v > most && n < TEXT_U64_MAX - 1; most = most * 10 + 9)
        n++;
    out[n] = '\0';
    for (size_t i = n; i-- > 0; v /= 10)
        out[i] = (char)('0' + v % 10);
    assert(v == 0);
    return n;
}

void text_uuid7(char out[TEXT_UUID_MAX], int64_t ms, const uint8_t random[10])
{
    char digits[32];
    uint64_t low = 0;

    assert(random != NULL);
    for (int i = 2; i < 10; i++)
        low = low << 8 | random[i];
    low = (low & UINT64_MAX >> 2) | UINT64_C(2) << 62; /* RFC 9562's variant */
    text_hex64(digits, (uint64_t)ms << 16 | 0x7000 | (uint64_t)(random[0] & 0x0f) << 8 | random[1]);
    text_hex64(digits + 16, low);
    memcpy(out, digits, 8);
    memcpy(out + 9, digits + 8, 4);
    memcpy(out + 14, digits + 12, 4);
    memcpy(out + 19, digits + 16, 4);
    memcpy(out + 24, digits + 20, 12);
    out[8] = out[13] = out[18] = out[23] = '-';
    out[TEXT_UUID_MAX - 1] = '\0';
}

/* ---- "did you mean" ------------------------------------------------------------------------- */

#define CLOSEST_EDITS 3
#define CLOSEST_WORD  64 /* longer words are compared by nobody */

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;

    return ab < c ? ab : c;
}

/* Levenshtein's distance over one row; both words at most CLOSEST_WORD long. */
static size_t distance(struct slice a, struct slice b)
{
    size_t row[CLOSEST_WORD + 1];

    assert(a.n <= CLOSEST_WORD && b.n <= CLOSEST_WORD);
    for (size_t j = 0; j <= b.n; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a.p[i - 1] != b.p[j - 1]));
            diagonal = above;
        }
    }
    return row[b.n];
}

const char *text_closest(struct slice word, const char *const *candidates, size_t n)
{
    const char *best = NULL;
    size_t least = CLOSEST_EDITS + 1;

    assert(candidates != NULL || n == 0);
    if (word.n > CLOSEST_WORD)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        struct slice c = slice_of(candidates[i]);
        if (c.n > CLOSEST_WORD)
            continue;
        size_t d = distance(word, c);
        if (d < least && d < word.n && d < c.n) {
            least = d;
            best = candidates[i];
        }
    }
    return best;
}

/* ---- copies --------------------------------------------------------------------------------- */

void text_copy(char *out, size_t size, struct slice s)
{
    size_t n = s.n;

    assert(out != NULL && size >= 1);
    if (n > size - 1) {
        n = size - 1;
        /* at most three steps back: in bytes that are no UTF-8 a cut hurts nobody */
        for (int back = 0; back < 3 && n > 0 && ((uint8_t)s.p[n] & 0xc0) == 0x80; back++)
            n--;
    }
    if (n > 0)
        memcpy(out, s.p, n);
    out[n] = '\0';
}

size_t text_format(char *out, size_t size, const char *fmt, ...)
{
    va_list ap;
    int n;

    assert(out != NULL && size >= 1);
    va_start(ap, fmt);
    n = vsnprintf(out, size, fmt, ap);
    va_end(ap);
    if (n < 0) {
        out[0] = '\0';
        return 0;
    }
    return (size_t)n < size ? (size_t)n : size - 1;
}

/* ---- UTF-8 (RFC 3629) ------------------------------------------------------------------------ */

size_t text_utf8_at(struct slice s)
{
    if (s.n == 0)
        return 0;
    const uint8_t *p = (const uint8_t *)s.p;
    uint8_t low = 0x80, high = 0xbf; /* bounds of the second byte */
    size_t n;

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0; /* a stray continuation, an overlong pair, or past U+10FFFF */
    n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (p[0] == 0xe0)
        low = 0xa0; /* overlong */
    else if (p[0] == 0xed)
        high = 0x9f; /* surrogates */
    else if (p[0] == 0xf0)
        low = 0x90; /* overlong */
    else if (p[0] == 0xf4)
        high = 0x8f; /* past U+10FFFF */
    if (s.n < n || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

#define ONES 0x0101010101010101ULL
#define TOPS 0x8080808080808080ULL

/* Less one, a byte of 0 has its top bit set; the one above, which lent to it, perhaps as well. */
static bool is_plain8(uint64_t w)
{
    uint64_t slash = w ^ ONES * '\\';
    return ((w | (w - ONES) | (slash - ONES)) & TOPS) == 0;
}

bool text_is_plain(struct slice s)
{
    uint64_t w;
    size_t i = 0;

    for (; s.n - i >= 8; i += 8) {
        memcpy(&w, s.p + i, 8);
        if (!is_plain8(w))
            return false;
    }
    for (; i < s.n; i++)
        if ((uint8_t)s.p[i] - 1u >= 0x7f || s.p[i] == '\\')
            return false;
    return true;
}

bool text_is_utf8(struct slice s)
{
    for (size_t i = 0; i < s.n;) {
        uint64_t w;
        if (s.n - i >= 8) { /* eight that are ASCII, and not NUL, which would borrow */
            memcpy(&w, s.p + i, 8);
            if (((w | (w - ONES)) & TOPS) == 0) {
                i += 8;
                continue;
            }
        }
        if ((uint8_t)s.p[i] - 1u < 0x7f) {
            i++;
            continue;
        }
        size_t n = text_utf8_at(slice_sub(s, i, s.n));
        if (n == 0 || s.p[i] == '\0')
            return false;
        i += n;
    }
    return true;
}
