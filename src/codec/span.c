/* The span scanner: where the members of a JSON object stand in its text.
 *
 * Our own, not the library's, because splicing needs byte offsets and because a request of 100 KiB
 * must not become a tree only to have one word read. Nested values are crossed in blocks of 64
 * bytes: each block becomes five bit masks, a prefix XOR over the quotes tells which bytes lie
 * within strings, and only the brackets outside of them (a few per block) are looked at one by one.
 * What is checked: the grammar of the top level; inside nested values the strings (escapes, no
 * control characters), the kinds of brackets and the depth. What is not: commas, colons and words
 * inside nested values; the provider reads those. */
#include "codec/span.h"

#include <string.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define BLOCK 64

struct masks { /* bit i: byte i of the block is ... */
    uint64_t quote, open, close;
    /* ... what most blocks have nothing of; only set when `rare` is */
    uint64_t backslash, control;
    uint64_t simple; /* one that may stand behind a backslash */
    bool rare;
};

#if defined(__SSE2__)

static uint64_t mask_of(__m128i m, unsigned lane)
{
    return (uint64_t)(uint32_t)_mm_movemask_epi8(m) << (16U * lane);
}

static __m128i is_byte(__m128i v, char c)
{
    return _mm_cmpeq_epi8(v, _mm_set1_epi8(c));
}

static __m128i is_control(__m128i v)
{
    return _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
}

static __m128i block_lane(const char *p, unsigned i)
{
    return _mm_loadu_si128((const __m128i *)(const void *)(p + 16U * i));
}

/* The masks that most blocks have no bit in. */
static NOINLINE void masks_read_rare(struct masks *m, const char *p)
{
    m->backslash = m->control = m->simple = 0;
    for (unsigned i = 0; i < 4; i++) {
        __m128i v = block_lane(p, i);
        __m128i s = _mm_or_si128(_mm_or_si128(is_byte(v, '"'), is_byte(v, '\\')),
                                 _mm_or_si128(is_byte(v, '/'), is_byte(v, 'b')));
        s = _mm_or_si128(s, _mm_or_si128(is_byte(v, 'f'), is_byte(v, 'n')));
        s = _mm_or_si128(s, _mm_or_si128(is_byte(v, 'r'), is_byte(v, 't')));
        m->simple |= mask_of(s, i);
        m->backslash |= mask_of(is_byte(v, '\\'), i);
        m->control |= mask_of(is_control(v), i);
    }
}

static void masks_read_16(struct masks *m, const char *p, bool escaped)
{
    __m128i rare = _mm_setzero_si128();
    m->quote = m->open = m->close = 0;
    for (unsigned i = 0; i < 4; i++) {
        __m128i v = block_lane(p, i);
        /* '[' and '{', ']' and '}' differ in one bit only */
        __m128i folded = _mm_or_si128(v, _mm_set1_epi8(0x20));
        m->quote |= mask_of(is_byte(v, '"'), i);
        m->open |= mask_of(is_byte(folded, '{'), i);
        m->close |= mask_of(is_byte(folded, '}'), i);
        rare = _mm_or_si128(rare, _mm_or_si128(is_byte(v, '\\'), is_control(v)));
    }
    m->rare = escaped || _mm_movemask_epi8(rare) != 0;
    if (m->rare)
        masks_read_rare(m, p);
}

/* What needs AVX2 is asked for at run time: the program is one for all. */
#define AVX2     __attribute__((target("avx2")))
#define HAS_AVX2 __builtin_cpu_supports("avx2")

AVX2 static inline __m256i half_of(const char *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

AVX2 static inline uint64_t mask_of2(__m256i low, __m256i high)
{
    return (uint64_t)(uint32_t)_mm256_movemask_epi8(low) |
           (uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32;
}

AVX2 static inline __m256i is_byte2(__m256i v, char c)
{
    return _mm256_cmpeq_epi8(v, _mm256_set1_epi8(c));
}

AVX2 static inline __m256i is_control2(__m256i v)
{
    return _mm256_cmpeq_epi8(_mm256_min_epu8(v, _mm256_set1_epi8(0x1f)), v);
}

AVX2 static inline __m256i is_simple2(__m256i v)
{
    __m256i a = _mm256_or_si256(is_byte2(v, '"'), is_byte2(v, '\\'));
    __m256i b = _mm256_or_si256(is_byte2(v, '/'), is_byte2(v, 'b'));
    __m256i c = _mm256_or_si256(is_byte2(v, 'f'), is_byte2(v, 'n'));
    __m256i d = _mm256_or_si256(is_byte2(v, 'r'), is_byte2(v, 't'));
    return _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
}

/* All of it in halves of 32 bytes. */
AVX2 static INLINED void masks_read_32(struct masks *m, const char *p, bool escaped)
{
    const __m256i blank = _mm256_set1_epi8(0x20);
    __m256i a = half_of(p), b = half_of(p + 32), least = _mm256_min_epu8(a, b);
    __m256i slash_a = is_byte2(a, '\\'), slash_b = is_byte2(b, '\\');
    __m256i rare = _mm256_or_si256(_mm256_or_si256(slash_a, slash_b), is_control2(least));
    m->quote = mask_of2(is_byte2(a, '"'), is_byte2(b, '"'));
    m->rare = escaped || !_mm256_testz_si256(rare, rare);
    if (m->rare) {
        m->backslash = mask_of2(slash_a, slash_b);
        m->control = mask_of2(is_control2(a), is_control2(b));
        m->simple = mask_of2(is_simple2(a), is_simple2(b));
    }
    a = _mm256_or_si256(a, blank);
    b = _mm256_or_si256(b, blank);
    m->open = mask_of2(is_byte2(a, '{'), is_byte2(b, '{'));
    m->close = mask_of2(is_byte2(a, '}'), is_byte2(b, '}'));
}

AVX2 static void masks_read_wide(struct masks *m, const char *p, bool escaped)
{
    masks_read_32(m, p, escaped);
}

static void masks_read(struct masks *m, const char *p, bool escaped)
{
    if (HAS_AVX2)
        masks_read_wide(m, p, escaped);
    else
        masks_read_16(m, p, escaped);
}

#else

enum { IS_QUOTE = 1, IS_BACKSLASH = 2, IS_OPEN = 4, IS_CLOSE = 8, IS_CONTROL = 16, IS_SIMPLE = 32 };

static unsigned class_of(uint8_t c)
{
    static const uint8_t classes[256] = {
        ['"'] = IS_QUOTE | IS_SIMPLE,
        ['\\'] = IS_BACKSLASH | IS_SIMPLE,
        ['{'] = IS_OPEN,
        ['['] = IS_OPEN,
        ['}'] = IS_CLOSE,
        [']'] = IS_CLOSE,
        ['/'] = IS_SIMPLE,
        ['b'] = IS_SIMPLE,
        ['f'] = IS_SIMPLE,
        ['n'] = IS_SIMPLE,
        ['r'] = IS_SIMPLE,
        ['t'] = IS_SIMPLE,
    };
    return c < 0x20 ? IS_CONTROL : classes[c];
}

static void masks_read(struct masks *m, const char *p, bool escaped)
{
    *m = (struct masks){0};
    for (unsigned i = 0; i < BLOCK; i++) {
        uint64_t bit = 1ULL << i;
        unsigned c = class_of((uint8_t)p[i]);
        if (c == 0)
            continue;
        m->quote |= c & IS_QUOTE ? bit : 0;
        m->backslash |= c & IS_BACKSLASH ? bit : 0;
        m->open |= c & IS_OPEN ? bit : 0;
        m->close |= c & IS_CLOSE ? bit : 0;
        m->control |= c & IS_CONTROL ? bit : 0;
        m->simple |= c & IS_SIMPLE ? bit : 0;
    }
    m->rare = escaped || (m->backslash | m->control) != 0;
}

#endif

static unsigned bit_first(uint64_t m)
{
    assert(m != 0);
    return (unsigned)__builtin_ctzll(m);
}

/* Bit i of the result: an odd number of ones in bits 0..i. */
static uint64_t prefix_xor(uint64_t m)
{
    m ^= m << 1;
    m ^= m << 2;
    m ^= m << 4;
    m ^= m << 8;
    m ^= m << 16;
    return m ^ m << 32;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* `at` is the byte behind a backslash within a string. */
static bool escape_ok(struct slice t, size_t at)
{
    if (at >= t.n)
        return false;
    switch (t.p[at]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return true;
    case 'u':
        return t.n - at > 4 && is_hex(t.p[at + 1]) && is_hex(t.p[at + 2]) && is_hex(t.p[at + 3]) &&
               is_hex(t.p[at + 4]);
    default:
        return false;
    }
}

static bool escapes_ok(struct slice t, size_t base, uint64_t escaped)
{
    for (; escaped != 0; escaped &= escaped - 1) {
        if (!escape_ok(t, base + bit_first(escaped)))
            return false;
    }
    return true;
}

/* Which bytes stand behind a backslash that is not itself escaped. `*carry` is 1 when the first
 * byte of this block does, and is set for the next. Blocks without a backslash, most of them, are
 * free. */
static uint64_t escaped_of(uint64_t backslash, uint64_t *carry)
{
    if (backslash == 0) {
        uint64_t e = *carry;
        *carry = 0;
        return e;
    }
    /* A run of backslashes escapes every second byte, counted from its start. Adding a bit at the
     * odd starts makes the carry run to the run's end, where its parity can be read off. */
    const uint64_t even = 0x5555555555555555ULL;
    uint64_t starts = backslash & ~*carry;
    uint64_t follows = (starts << 1) | *carry;
    uint64_t odd_starts = starts & ~even & ~follows;
    uint64_t sum = odd_starts + starts;
    *carry = sum < odd_starts ? 1 : 0;
    return ((sum << 1) ^ even) & follows;
}

/* ---- crossing strings and nested values ------------------------------------------------------ */

struct flow {           /* what one block must know of those before it */
    uint64_t in_string; /* all ones when it begins inside a string */
    uint64_t carry;     /* 1 when its first byte is escaped */
};
struct block {
    struct masks m;
    uint64_t escaped; /* only set when m.rare is */
    uint64_t quotes;  /* those that begin or end a string */
    uint64_t within;  /* the opening quote of a string up to before its closing one */
};

/* What follows from the masks of the next block. */
static INLINED void block_settle(struct block *b, struct flow *f)
{
    b->quotes = b->m.quote;
    if (b->m.rare) {
        b->escaped = escaped_of(b->m.backslash, &f->carry);
        b->quotes &= ~b->escaped;
    }
    b->within = prefix_xor(b->quotes) ^ f->in_string;
    f->in_string = 0 - (b->within >> 63);
}

/* Are the strings in it sound, as far as `mine` says that they belong to the value? */
static inline bool block_sound(const struct block *b, struct slice t, size_t base, uint64_t mine)
{
    if (!b->m.rare)
        return true;
    if (((b->m.control & b->within) | (b->m.backslash & ~b->within)) & mine)
        return false;
    return escapes_ok(t, base, b->escaped & ~b->m.simple & mine);
}

/* The bits before bit `i`, which may be 64. */
static uint64_t bits_before(unsigned i)
{
    return i < BLOCK ? (1ULL << i) - 1 : ~0ULL;
}

static NOINLINE const char *block_last(struct slice t, size_t base, char room[BLOCK])
{
    assert(t.n - base < BLOCK);
    memset(room, ' ', BLOCK);
    memcpy(room, t.p + base, t.n - base);
    return room;
}

/* The 64 bytes at `base`: in the text itself, or, at its end, in `room` with spaces behind them. */
static INLINED const char *block_at(struct slice t, size_t base, char room[BLOCK])
{
    return t.n - base >= BLOCK ? t.p + base : block_last(t, base, room);
}

#if defined(__SSE2__)

/* All ones in the bytes at which the plain text of a string stops. With one bit flipped the quote
 * stands right behind the control characters, and the blank in front of it makes room. */
static inline __m128i stops_of(__m128i v)
{
    __m128i low = _mm_xor_si128(v, _mm_set1_epi8(2));
    __m128i stop = _mm_cmpeq_epi8(_mm_min_epu8(low, _mm_set1_epi8(0x20)), low);
    return _mm_or_si128(stop, is_byte(v, '\\'));
}

static inline unsigned stops_in_lane(const char *p)
{
    return (unsigned)_mm_movemask_epi8(stops_of(block_lane(p, 0)));
}

static bool stops_in_block(const char *p)
{
    __m128i a = _mm_or_si128(stops_of(block_lane(p, 0)), stops_of(block_lane(p, 1)));
    __m128i b = _mm_or_si128(stops_of(block_lane(p, 2)), stops_of(block_lane(p, 3)));
    return _mm_movemask_epi8(_mm_or_si128(a, b)) != 0;
}

AVX2 static inline __m256i stops_of_half(__m256i v)
{
    __m256i low = _mm256_xor_si256(v, _mm256_set1_epi8(2)); /* see stops_of */
    __m256i stop = _mm256_cmpeq_epi8(_mm256_min_epu8(low, _mm256_set1_epi8(0x20)), low);
    return _mm256_or_si256(stop, is_byte2(v, '\\'));
}

AVX2 static inline bool stops_in_four(const char *p)
{
    const __m256i two = _mm256_set1_epi8(2);
    __m256i a = half_of(p), b = half_of(p + 32), c = half_of(p + 64), d = half_of(p + 96);
    __m256i low = _mm256_min_epu8(
        _mm256_min_epu8(_mm256_xor_si256(a, two), _mm256_xor_si256(b, two)),
        _mm256_min_epu8(_mm256_xor_si256(c, two), _mm256_xor_si256(d, two)));
    __m256i stop = _mm256_or_si256(_mm256_or_si256(is_byte2(a, '\\'), is_byte2(b, '\\')),
                                   _mm256_or_si256(is_byte2(c, '\\'), is_byte2(d, '\\')));
    low = _mm256_cmpeq_epi8(_mm256_min_epu8(low, _mm256_set1_epi8(0x20)), low);
    stop = _mm256_or_si256(stop, low);
    return !_mm256_testz_si256(stop, stop);
}

/* Twice as wide, for processors that can: the stop, or less than 32 bytes before the end. */
AVX2 static size_t string_stop_32(struct slice t, size_t at)
{
    for (; t.n - at >= 32; at += 32) {
        unsigned m = (unsigned)_mm256_movemask_epi8(stops_of_half(half_of(t.p + at)));
        if (m != 0)
            return at + bit_first(m);
        while (t.n - at >= 32 + 128 && !stops_in_four(t.p + at + 32))
            at += 128;
    }
    return at;
}

/* Of the last bytes, fewer than 16: some are looked at again. */
static inline size_t string_stop_last(struct slice t, size_t at)
{
    size_t base = t.n - 16;
    assert(t.n >= 16 && at >= base && at <= t.n);
    unsigned m = stops_in_lane(t.p + base) & (~0U << (at - base));
    return m != 0 ? base + bit_first(m) : t.n;
}

/* Behind the first 16 bytes, where most strings, which are words, are over. The other words, names
 * of models and ids, are over 16 bytes later. */
static NOINLINE size_t string_stop_far(struct slice t, size_t at)
{
    if (t.n - at >= 16) {
        unsigned m = stops_in_lane(t.p + at);
        if (m != 0)
            return at + bit_first(m);
        at += 16;
    }
    if (HAS_AVX2)
        at = string_stop_32(t, at);
    else
        while (t.n - at >= BLOCK && !stops_in_block(t.p + at))
            at += BLOCK;
    for (; t.n - at >= 16; at += 16) {
        unsigned m = stops_in_lane(t.p + at);
        if (m != 0)
            return at + bit_first(m);
    }
    return string_stop_last(t, at);
}

#endif

/* Offset of the first quote, backslash or control character at or behind `at`. */
static inline size_t string_stop(struct slice t, size_t at)
{
#if defined(__SSE2__)
    if (t.n - at >= 16) {
        unsigned m = stops_in_lane(t.p + at);
        if (m != 0)
            return at + bit_first(m);
        return string_stop_far(t, at + 16);
    }
    if (t.n >= 16)
        return string_stop_last(t, at);
#endif
    while (at < t.n && t.p[at] != '"' && t.p[at] != '\\' && (uint8_t)t.p[at] >= 0x20)
        at++;
    return at;
}

/* Where to go on from `base`: within a string, whole blocks of plain text, which is what long
 * bodies are made of, are passed over. */
static size_t plain_skip(struct slice t, size_t base, const struct flow *f)
{
    if (base >= t.n || f->in_string == 0 || f->carry != 0)
        return base;
    return base + (string_stop(t, base) - base) / BLOCK * BLOCK;
}

struct nest {
    struct flow flow;
    uint64_t kinds;   /* of the open brackets, the innermost lowest: 1 is a square one */
    int depth, floor; /* the value is over when depth comes back to floor */
};

/* Looks at the brackets of one block. ERR_AGAIN: not over yet. */
static inline enum err nest_brackets(struct nest *n, const char *block, uint64_t open,
                                     uint64_t close, unsigned *over)
{
    for (uint64_t m = open | close; m != 0; m &= m - 1) {
        unsigned i = bit_first(m);
        uint64_t square = (~(uint64_t)(uint8_t)block[i] >> 5) & 1U; /* see masks_read_16 */
        if ((open >> i & 1U) != 0) {
            if (n->depth == SPAN_DEPTH)
                return ERR_LIMIT;
            n->depth++;
            n->kinds = n->kinds << 1 | square;
            continue;
        }
        assert(n->depth > n->floor);
        if ((n->kinds & 1U) != square)
            return ERR_SYNTAX;
        n->kinds >>= 1;
        if (--n->depth == n->floor) {
            *over = i;
            return OK;
        }
    }
    return ERR_AGAIN;
}

/* Is one of the strings that begin in this block file_id, file_ids or container? Most are told by
 * where they end; of those that end in the next block all are looked at. */
static INLINED bool names_file(struct slice t, size_t base, const struct block *b)
{
    const struct slice word = S("\"file_id"), other = S("\"contain");
    uint64_t ends = b->quotes >> word.n | b->quotes >> (word.n + 1) | b->quotes >> (word.n + 2) |
                    ~0ULL << (BLOCK - 2 - word.n);
    for (uint64_t m = b->quotes & b->within & ends; m != 0; m &= m - 1) {
        size_t at = base + bit_first(m);
        if (t.n - at >= word.n &&
            (memcmp(t.p + at, word.p, word.n) == 0 || memcmp(t.p + at, other.p, word.n) == 0))
            return true;
    }
    return false;
}

/* One block of an object or array, its masks read. ERR_AGAIN: not over yet. */
static INLINED enum err nested_block(struct nest *n, struct block *b, struct slice t, size_t base,
                                     const char *p, size_t *end, bool *file_ids)
{
    unsigned over = BLOCK;
    block_settle(b, &n->flow);
    enum err e = nest_brackets(n, p, b->m.open & ~b->within, b->m.close & ~b->within, &over);
    if (e != OK && e != ERR_AGAIN)
        return e;
    /* What lies behind the end is none of this value's business. */
    if (!block_sound(b, t, base, bits_before(over)))
        return ERR_SYNTAX;
    if (file_ids != NULL && !*file_ids)
        *file_ids = names_file(t, base, b);
    if (e == OK)
        *end = base + over + 1;
    return e;
}

#if defined(__SSE2__)

AVX2 static NOINLINE enum err span_nested_32(struct slice t, size_t at, int depth, size_t *end,
                                             bool *file_ids)
{
    struct nest n = {.depth = depth - 1, .floor = depth - 1};
    FILLED_LATER char room[BLOCK];
    FILLED_LATER struct block b;
    for (size_t base = at; base < t.n; base = plain_skip(t, base + BLOCK, &n.flow)) {
        const char *p = block_at(t, base, room);
        masks_read_32(&b.m, p, n.flow.carry != 0);
        enum err e = nested_block(&n, &b, t, base, p, end, file_ids);
        if (e != ERR_AGAIN)
            return e;
    }
    return ERR_SYNTAX;
}

#endif

static NOINLINE enum err span_nested_base(struct slice t, size_t at, int depth, size_t *end,
                                          bool *file_ids)
{
    struct nest n = {.depth = depth - 1, .floor = depth - 1};
    FILLED_LATER char room[BLOCK];
    FILLED_LATER struct block b;
    for (size_t base = at; base < t.n; base = plain_skip(t, base + BLOCK, &n.flow)) {
        const char *p = block_at(t, base, room);
        masks_read(&b.m, p, n.flow.carry != 0);
        enum err e = nested_block(&n, &b, t, base, p, end, file_ids);
        if (e != ERR_AGAIN)
            return e;
    }
    return ERR_SYNTAX;
}

/* The object or array that begins at `at`. Tells, unless NULL, whether file_id was seen. */
static enum err span_nested(struct slice t, size_t at, int depth, size_t *end, bool *file_ids)
{
    assert(depth >= 1 && depth <= SPAN_DEPTH + 1);
#if defined(__SSE2__)
    if (HAS_AVX2)
        return span_nested_32(t, at, depth, end, file_ids);
#endif
    return span_nested_base(t, at, depth, end, file_ids);
}

/* A string with escapes, or with what no string may hold. */
static NOINLINE enum err span_string_long(struct slice t, size_t at, size_t *end)
{
    struct flow f = {0, 0};
    FILLED_LATER char room[BLOCK];
    FILLED_LATER struct block b;
    for (size_t base = at; base < t.n; base = plain_skip(t, base + BLOCK, &f)) {
        masks_read(&b.m, block_at(t, base, room), f.carry != 0);
        block_settle(&b, &f);
        uint64_t quotes = b.quotes;
        if (base == at)
            quotes &= ~1ULL;
        unsigned over = quotes != 0 ? bit_first(quotes) : BLOCK;
        if (!block_sound(&b, t, base, bits_before(over)))
            return ERR_SYNTAX;
        *end = base + over + 1;
        if (quotes != 0)
            return OK;
    }
    return ERR_SYNTAX;
}

/* ---- the other values ------------------------------------------------------------------------ */

/* Where a string ends; `plain` when nothing in it is escaped. 0: it is not sound. */
static INLINED size_t string_end(struct slice text, size_t at, bool *plain)
{
    size_t end = 0, stop = string_stop(text, at + 1);
    *plain = stop < text.n && text.p[stop] == '"';
    if (*plain) /* most keys and words */
        return stop + 1;
    return span_string_long(text, at, &end) == OK ? end : 0;
}

enum err span_string(struct slice text, size_t at, size_t *end)
{
    bool plain = false;
    assert(at < text.n && text.p[at] == '"');
    *end = string_end(text, at, &plain);
    return *end > 0 ? OK : ERR_SYNTAX;
}

static enum err span_word(struct slice t, size_t at, struct slice word, size_t *end)
{
    if (t.n - at < word.n || memcmp(t.p + at, word.p, word.n) != 0)
        return ERR_SYNTAX;
    *end = at + word.n;
    return OK;
}

static size_t digits(struct slice t, size_t at)
{
    while (at < t.n && t.p[at] >= '0' && t.p[at] <= '9')
        at++;
    return at;
}

/* RFC 8259 section 6. */
static NOINLINE enum err span_number(struct slice t, size_t at, size_t *end)
{
    if (at < t.n && t.p[at] == '-')
        at++;
    size_t from = at;
    at = digits(t, at);
    if (at == from || (t.p[from] == '0' && at - from > 1))
        return ERR_SYNTAX;
    if (at < t.n && t.p[at] == '.') {
        from = ++at;
        at = digits(t, at);
        if (at == from)
            return ERR_SYNTAX;
    }
    if (at < t.n && (t.p[at] == 'e' || t.p[at] == 'E')) {
        at++;
        if (at < t.n && (t.p[at] == '+' || t.p[at] == '-'))
            at++;
        from = at;
        at = digits(t, at);
        if (at == from)
            return ERR_SYNTAX;
    }
    *end = at;
    return OK;
}

static enum err span_other(struct slice text, size_t at, int depth, size_t *end, bool *file_ids)
{
    switch (text.p[at]) {
    case '{':
    case '[':
        return span_nested(text, at, depth, end, file_ids);
    case 't':
        return span_word(text, at, S("true"), end);
    case 'f':
        return span_word(text, at, S("false"), end);
    case 'n':
        return span_word(text, at, S("null"), end);
    default:
        return span_number(text, at, end);
    }
}

/* Here and below: what is done for each member is one function, a loop's worth of calls less. */
static INLINED enum err value_end(struct slice text, size_t at, int depth, size_t *end,
                                  bool *file_ids)
{
    bool plain = false;
    if (at >= text.n)
        return ERR_SYNTAX;
    if (text.p[at] != '"')
        return span_other(text, at, depth, end, file_ids);
    *end = string_end(text, at, &plain);
    return *end > 0 ? OK : ERR_SYNTAX;
}

enum err span_value(struct slice text, size_t at, int depth, size_t *end)
{
    return value_end(text, at, depth, end, NULL);
}

static inline size_t skip_space(struct slice text, size_t at)
{
    while (at < text.n && (uint8_t)text.p[at] <= ' ' &&
           (text.p[at] == ' ' || text.p[at] == '\n' || text.p[at] == '\r' || text.p[at] == '\t'))
        at++;
    return at;
}

/* The same where `c` is to come, which nearly always stands at once. */
static INLINED size_t skip_space_to(struct slice text, size_t at, char c)
{
    return at < text.n && text.p[at] == c ? at : skip_space(text, at);
}

size_t span_skip_space(struct slice text, size_t at)
{
    return skip_space(text, at);
}

size_t span_plain(struct slice text, size_t at)
{
    assert(at <= text.n);
    return string_stop(text, at);
}

/* ---- walking one level ----------------------------------------------------------------------- */

enum { WALK_START, WALK_FIRST, WALK_NEXT, WALK_OVER, WALK_BROKEN };

/* Stands the walk in front of the next member or element. ERR_NOTFOUND when there is none. */
static INLINED enum err walk_next(struct slice t, size_t *at, int *state, char open, char close)
{
    assert(*at <= t.n);
    if (*state == WALK_OVER)
        return ERR_NOTFOUND;
    if (*state == WALK_BROKEN)
        return ERR_SYNTAX;
    size_t i = skip_space(t, *at);
    if (*state == WALK_START) {
        if (i >= t.n || t.p[i] != open)
            return ERR_SYNTAX;
        i = skip_space(t, i + 1);
        *state = WALK_FIRST;
    }
    if (i < t.n && t.p[i] == close) {
        i = skip_space(t, i + 1);
        *at = i;
        *state = WALK_OVER;
        return i == t.n ? ERR_NOTFOUND : ERR_SYNTAX;
    }
    if (*state == WALK_NEXT) {
        if (i >= t.n || t.p[i] != ',')
            return ERR_SYNTAX;
        i = skip_space(t, i + 1);
    }
    *state = WALK_NEXT;
    *at = i;
    return OK;
}

void json_scan_init(struct json_scan *s, struct slice text)
{
    *s = (struct json_scan){.text = text, .state = WALK_START};
}

/* The key at `i`; moves to where its value begins. */
static INLINED enum err scan_key(struct json_scan *s, size_t *i, struct slice *key)
{
    const struct slice t = s->text;
    size_t at = *i;
    if (at >= t.n || t.p[at] != '"')
        return ERR_SYNTAX;
    size_t end = string_end(t, at, &s->plain);
    if (end == 0)
        return ERR_SYNTAX;
    *key = (struct slice){t.p + at + 1, end - at - 2};
    at = skip_space_to(t, end, ':');
    if (at >= t.n || t.p[at] != ':')
        return ERR_SYNTAX;
    *i = skip_space(t, at + 1);
    return OK;
}

static INLINED enum err scan_next_key(struct json_scan *s, struct slice *key, size_t *from)
{
    const struct slice t = s->text;
    size_t i = s->at;
    enum err e = OK;
    if (s->state == WALK_NEXT && i < t.n && t.p[i] == ',') /* nearly always */
        i = skip_space_to(t, i + 1, '"');
    else
        e = walk_next(t, &i, &s->state, '{', '}');
    if (e == OK)
        e = scan_key(s, &i, key);
    if (e != OK && e != ERR_NOTFOUND)
        s->state = WALK_BROKEN;
    *from = s->at = i;
    return e;
}

enum err json_scan_key(struct json_scan *s, struct slice *key, size_t *from)
{
    return scan_next_key(s, key, from);
}

static INLINED enum err scan_cross(struct json_scan *s, struct span *value, bool *file_ids)
{
    value->from = s->at;
    enum err e = value_end(s->text, s->at, 2, &value->to, file_ids);
    if (e == OK)
        s->at = value->to;
    else
        s->state = WALK_BROKEN;
    return e;
}

enum err json_scan_cross(struct json_scan *s, struct span *value)
{
    return scan_cross(s, value, NULL);
}

static INLINED enum err scan_next(struct json_scan *s, struct slice *key, struct span *value,
                                  bool *file_ids)
{
    size_t from = 0;
    enum err e = scan_next_key(s, key, &from);
    return e == OK ? scan_cross(s, value, file_ids) : e;
}

enum err json_scan_next(struct json_scan *s, struct slice *key, struct span *value)
{
    return scan_next(s, key, value, NULL);
}

void span_list_init(struct span_list *l, struct slice text)
{
    *l = (struct span_list){.text = text, .state = WALK_START};
}

enum err span_list_find(struct span_list *l, size_t *from)
{
    enum err e = walk_next(l->text, &l->at, &l->state, '[', ']');
    *from = l->at;
    if (e != OK && e != ERR_NOTFOUND)
        l->state = WALK_BROKEN;
    return e;
}

enum err span_list_cross(struct span_list *l, struct span *value)
{
    value->from = l->at;
    enum err e = span_value(l->text, l->at, 2, &value->to);
    if (e == OK)
        l->at = value->to;
    else
        l->state = WALK_BROKEN;
    assert(e != OK || (value->from < value->to && value->to <= l->text.n));
    return e;
}

enum err span_list_next(struct span_list *l, struct span *value)
{
    size_t from = 0;
    enum err e = span_list_find(l, &from);
    return e == OK ? span_list_cross(l, value) : e;
}

struct slice span_slice(struct slice text, struct span v)
{
    return slice_sub(text, v.from, v.to);
}

bool span_member(struct slice text, struct slice key, struct span *value)
{
    struct json_scan s;
    struct slice k;
    struct span v;
    json_scan_init(&s, text);
    while (json_scan_next(&s, &k, &v) == OK) {
        if (span_key_is(k, key)) {
            *value = v;
            return true;
        }
    }
    return false;
}

/* ---- many members at once ----------------------------------------------------------------------
 */

bool span_members(struct slice text, span_place_fn *place, void *into)
{
    FILLED_LATER char room[SPAN_KEY];
    struct json_scan s = {.text = text, .state = WALK_START};
    struct slice key;
    struct span v;
    enum err e;
    while ((e = scan_next(&s, &key, &v, NULL)) == OK) {
        if (!s.plain)
            key = span_key(key, room, sizeof room);
        struct span *at = place(into, key);
        if (at != NULL && at->to == 0) /* of equal keys the first one counts */
            *at = v;
    }
    return e == ERR_NOTFOUND;
}

enum err span_each(struct slice text, int max, span_each_fn *each, void *arg, bool *file_ids,
                   const char **wrong)
{
    FILLED_LATER char room[SPAN_KEY];
    struct json_scan s = {.text = text, .state = WALK_START};
    struct slice key;
    struct span v;
    enum err e;
    while ((e = scan_next(&s, &key, &v, file_ids)) == OK) {
        if (max-- == 0)
            return ERR_RANGE;
        if (!s.plain)
            key = span_key(key, room, sizeof room);
        *wrong = each(arg, text, key, v);
        if (*wrong != NULL)
            return ERR_CANCELED;
    }
    return e == ERR_NOTFOUND ? OK : e;
}
