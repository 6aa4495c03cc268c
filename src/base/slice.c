/* Slices: borrowed bytes. An empty slice may have no pointer, so the C library's mem* functions,
 * which forbid NULL even for nothing, are only reached with at least one byte. */
#include "base/base.h"

#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

const char *const slice_nothing = "";

static bool bytes_eq(const char *a, const char *b, size_t n)
{
    assert(n == 0 || (a != NULL && b != NULL));
    return n == 0 || memcmp(a, b, n) == 0;
}

#define ONES 0x0101010101010101ULL
#define TOPS 0x8080808080808080ULL

static uint64_t load8(const char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return w;
}

/* All of a slice of 1 to 7 bytes, some of them twice. Only ever compared with another one. */
static uint64_t load_few(const char *p, size_t n)
{
    assert(n > 0 && n < 8);
    if (n < 4)
        return (uint64_t)(uint8_t)p[0] | (uint64_t)(uint8_t)p[n / 2] << 8 |
               (uint64_t)(uint8_t)p[n - 1] << 16;
    uint32_t front, back;
    memcpy(&front, p, sizeof front);
    memcpy(&back, p + n - 4, sizeof back);
    return (uint64_t)front | (uint64_t)back << 32;
}

/* Eight letters at once made small: sums that pass a byte's top bit tell the capitals. */
static uint64_t fold8(uint64_t w)
{
    uint64_t low = w & ~TOPS;
    uint64_t from_a = low + ONES * (0x80 - 'A'), past_z = low + ONES * (0x7f - 'Z');
    return w | (((from_a ^ past_z) & ~w & TOPS) >> 2);
}

static bool same8(uint64_t a, uint64_t b)
{
    uint64_t differ = a ^ b;
    return differ == 0 || ((differ & ~(ONES * 0x20)) == 0 && fold8(a) == fold8(b));
}

bool bytes_ieq(const char *a, const char *b, size_t n)
{
    assert(n == 0 || (a != NULL && b != NULL));
    if (n < 8)
        return n == 0 || same8(load_few(a, n), load_few(b, n));
    for (size_t i = 0; i + 8 < n; i += 8)
        if (!same8(load8(a + i), load8(b + i)))
            return false;
    return same8(load8(a + n - 8), load8(b + n - 8));
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

/* Where in a needle the two bytes stand by which it is looked for: in JSON, quotes and small
 * letters stand everywhere, so one of them should be another one. */
static size_t rare_pair(struct slice needle)
{
    assert(needle.n >= 2);
    for (size_t i = 0; i < needle.n; i++) {
        char c = needle.p[i];
        if (c != '"' && c != ' ' && c != ',' && c != ':' && (c < 'a' || c > 'z'))
            return i + 1 < needle.n ? i : i - 1;
    }
    return 0;
}

#if defined(__SSE2__)

/* Of 16 bytes from `p` on, those where the pair stands. */
static inline __m128i pair_in(const char *p, __m128i first, __m128i second)
{
    __m128i a = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(p + 1));
    return _mm_and_si128(_mm_cmpeq_epi8(a, first), _mm_cmpeq_epi8(b, second));
}

__attribute__((target("avx2"))) static inline __m256i pair_in32(const char *p, __m256i first,
                                                                __m256i second)
{
    __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)p);
    __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(p + 1));
    return _mm256_and_si256(_mm256_cmpeq_epi8(a, first), _mm256_cmpeq_epi8(b, second));
}

/* Past 64 bytes at a time in which the pair is not, for processors that can. */
__attribute__((target("avx2"))) static size_t pair_skip_avx2(struct slice s, size_t at,
                                                             const char *pair)
{
    const __m256i first = _mm256_set1_epi8(pair[0]), second = _mm256_set1_epi8(pair[1]);
    for (; s.n - at > 64; at += 64) {
        __m256i hit = _mm256_or_si256(pair_in32(s.p + at, first, second),
                                      pair_in32(s.p + at + 32, first, second));
        if (!_mm256_testz_si256(hit, hit))
            break;
    }
    return at;
}

/* Where the pair stands first, at or behind `at`; s.n when nowhere. */
static size_t pair_find(struct slice s, size_t at, const char *pair)
{
    const __m128i first = _mm_set1_epi8(pair[0]), second = _mm_set1_epi8(pair[1]);
    if (at < s.n && s.n - at >= 128 && __builtin_cpu_supports("avx2"))
        at = pair_skip_avx2(s, at, pair);
    while (s.n > 16 && at + 1 < s.n) { /* the last step goes back over some of what was seen */
        size_t base = s.n - at > 16 ? at : s.n - 17;
        unsigned m = (unsigned)_mm_movemask_epi8(pair_in(s.p + base, first, second));
        m &= ~0u << (at - base);
        if (m != 0)
            return base + (unsigned)__builtin_ctz(m);
        at = base + 16;
    }
    while (at + 1 < s.n && (s.p[at] != pair[0] || s.p[at + 1] != pair[1]))
        at++;
    return at + 1 < s.n ? at : s.n;
}

#else

static size_t pair_find(struct slice s, size_t at, const char *pair)
{
    while (at + 1 < s.n) {
        const char *hit = memchr(s.p + at, pair[0], s.n - at - 1);
        if (hit == NULL)
            break;
        if (hit[1] == pair[1])
            return (size_t)(hit - s.p);
        at = (size_t)(hit - s.p) + 1;
    }
    return s.n;
}

#endif

ptrdiff_t slice_search(struct slice s, struct slice needle)
{
    if (needle.n == 0)
        return 0;
    if (needle.n == 1)
        return slice_find(s, needle.p[0]);
    return slice_search_pair(s, needle, rare_pair(needle));
}

/* Quadratic in the worst case: needles are ours and short. */
ptrdiff_t slice_search_pair(struct slice s, struct slice needle, size_t pair)
{
    assert(pair + 2 <= needle.n);
    for (size_t at = pair; s.n >= needle.n; at++) {
        at = pair_find(s, at, needle.p + pair);
        if (at > s.n - needle.n + pair)
            break;
        if (memcmp(s.p + at - pair, needle.p, needle.n) == 0)
            return (ptrdiff_t)(at - pair);
    }
    return -1;
}

/* A byte under 0x20 borrows into its top bit, which it did not have. */
static bool has_control8(uint64_t w)
{
    uint64_t del = w ^ ONES * 0x7f;
    return ((((w - ONES * 0x20) & ~w) | ((del - ONES) & ~del)) & TOPS) != 0;
}

#if defined(__SSE2__)

static bool has_control16(const char *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    __m128i rub = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f));
    return _mm_movemask_epi8(_mm_or_si128(low, rub)) != 0;
}

/* The last step goes back over some of the bytes of the one before. */
static bool has_control_long(struct slice s)
{
    assert(s.n >= 16);
    for (size_t i = 0; i + 16 < s.n; i += 16)
        if (has_control16(s.p + i))
            return true;
    return has_control16(s.p + s.n - 16);
}

#else

static bool has_control_long(struct slice s)
{
    assert(s.n >= 8);
    for (size_t i = 0; i + 8 < s.n; i += 8)
        if (has_control8(load8(s.p + i)))
            return true;
    return has_control8(load8(s.p + s.n - 8));
}

#endif

bool slice_has_control(struct slice s)
{
    if (s.n >= 16)
        return has_control_long(s);
    if (s.n >= 8)
        return has_control8(load8(s.p)) || has_control8(load8(s.p + s.n - 8));
    /* the bytes that are too many become blanks */
    return s.n > 0 && has_control8(load_few(s.p, s.n) | (s.n < 4 ? ONES * 0x20 << 24 : 0));
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
