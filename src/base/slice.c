/* Slices: borrowed bytes. An empty slice may have no pointer, so the C library's mem* functions,
 * which forbid NULL even for nothing, are only reached with at least one byte. */
#include "base/base.h"

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

static bool bytes_eq(const char *a, const char *b, size_t n)
{
    assert(n == 0 || (a != NULL && b != NULL));
    return n == 0 || memcmp(a, b, n) == 0;
}

static unsigned char fold(char c)
{
    unsigned char u = (unsigned char)c;

    return u >= 'A' && u <= 'Z' ? (unsigned char)(u | 0x20) : u;
}

static bool bytes_ieq(const char *a, const char *b, size_t n)
{
    assert(n == 0 || (a != NULL && b != NULL));
    for (size_t i = 0; i < n; i++)
        if (a[i] != b[i] && fold(a[i]) != fold(b[i]))
            return false;
    return true;
}

bool slice_ieq(struct slice a, struct slice b)
{
    return a.n == b.n && bytes_ieq(a.p, b.p, a.n);
}

bool slice_starts(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && bytes_eq(s.p, prefix.p, prefix.n);
}

bool slice_istarts(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && bytes_ieq(s.p, prefix.p, prefix.n);
}

bool slice_ends(struct slice s, struct slice suffix)
{
    return suffix.n == 0 ||
           (s.n >= suffix.n && bytes_eq(s.p + (s.n - suffix.n), suffix.p, suffix.n));
}

ptrdiff_t slice_find(struct slice s, char c)
{
    if (s.n == 0)
        return -1;
    const char *hit = memchr(s.p, c, s.n);

    return hit != NULL ? hit - s.p : -1;
}

/* The byte of a needle by which it is looked for: in JSON, quotes and small letters stand
 * everywhere, and each one that is found in vain costs as much as fifty bytes that are passed over.
 */
static size_t rare_byte(struct slice needle)
{
    for (size_t i = 0; i < needle.n; i++) {
        char c = needle.p[i];
        if (c != '"' && c != ' ' && c != ',' && c != ':' && (c < 'a' || c > 'z'))
            return i;
    }
    return 0;
}

/* Quadratic in the worst case: needles are ours and short. */
ptrdiff_t slice_search(struct slice s, struct slice needle)
{
    size_t at = 0, rare = rare_byte(needle);

    if (needle.n == 0)
        return 0;
    while (s.n - at >= needle.n) {
        const char *hit = memchr(s.p + at + rare, needle.p[rare], s.n - at - needle.n + 1);
        if (hit == NULL)
            return -1;
        if (hit[-(ptrdiff_t)rare] == needle.p[0] && bytes_eq(hit - rare, needle.p, needle.n))
            return hit - rare - s.p;
        at = (size_t)(hit - rare - s.p) + 1;
        assert(at <= s.n);
    }
    return -1;
}

struct slice slice_sub(struct slice s, size_t from, size_t to)
{
    assert(from <= to);
    assert(to <= s.n);
    return (struct slice){s.p != NULL ? s.p + from : "", to - from};
}

/* Eight bytes at a time: a byte under 0x20 borrows into its top bit, which it did not have. */
bool slice_has_control(struct slice s)
{
    const uint64_t ones = 0x0101010101010101ULL, tops = 0x8080808080808080ULL;
    size_t i = 0;

#if defined(__SSE2__)
    const __m128i low = _mm_set1_epi8(0x1f), rub = _mm_set1_epi8(0x7f);
    for (; s.n - i >= 16; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(s.p + i));
        __m128i bad = _mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(v, low), v), _mm_cmpeq_epi8(v, rub));
        if (_mm_movemask_epi8(bad) != 0)
            return true;
    }
#endif
    for (; s.n - i >= 8; i += 8) {
        uint64_t w;
        memcpy(&w, s.p + i, 8);
        uint64_t del = w ^ ones * 0x7f;
        if ((((w - ones * 0x20) & ~w) | ((del - ones) & ~del)) & tops)
            return true;
    }
    for (; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return true;
    return false;
}

struct slice slice_trim(struct slice s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

bool slice_cut(struct slice *s, char sep, struct slice *part)
{
    assert(s != NULL && part != NULL);
    if (s->n == 0)
        return false;
    ptrdiff_t at = slice_find(*s, sep);

    if (at < 0) {
        *part = *s;
        *s = slice_sub(*s, s->n, s->n);
    } else {
        *part = slice_sub(*s, 0, (size_t)at);
        *s = slice_sub(*s, (size_t)at + 1, s->n);
    }
    return true;
}
