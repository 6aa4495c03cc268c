/* links: base */
/* Slices, memory, buffers, arenas, maps and lists. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Under the sanitizers nothing is locked. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LOCKS false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LOCKS false
#else
#define LOCKS true
#endif
#else
#define LOCKS true
#endif

static void test_err_names(void **state)
{
    (void)state;
    for (int a = 0; a < ERR_COUNT; a++) {
        assert_true(strlen(err_name((enum err)a)) > 1);
        for (int b = 0; b < a; b++)
            assert_string_not_equal(err_name((enum err)a), err_name((enum err)b));
    }
    assert_string_equal(err_name(ERR_COUNT), "unknown");
    assert_string_equal(err_name(ERR_TIMEOUT), "timeout");
}

/* ---- slices --------------------------------------------------------------------------------- */

static void test_slice_compare(void **state)
{
    static const struct {
        const char *a, *b;
        bool eq, ieq, starts, istarts, ends;
    } rows[] = {
        {"", "", true, true, true, true, true},
        {"a", "", false, false, true, true, true},
        {"", "a", false, false, false, false, false},
        {"Host", "host", false, true, false, true, false},
        {"hostname", "HOST", false, false, false, true, false},
        {"hostname", "name", false, false, false, false, true},
        {"hostname", "host", false, false, true, true, false},
        {"[", "{", false, false, false, false, false}, /* 0x20 apart but no letters */
        {"@", "`", false, false, false, false, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct slice a = slice_of(rows[i].a), b = slice_of(rows[i].b);
        assert_int_equal(slice_eq(a, b), rows[i].eq);
        assert_int_equal(slice_ieq(a, b), rows[i].ieq);
        assert_int_equal(slice_starts(a, b), rows[i].starts);
        assert_int_equal(slice_istarts(a, b), rows[i].istarts);
        assert_int_equal(slice_ends(a, b), rows[i].ends);
    }
    assert_true(slice_eq((struct slice){NULL, 0}, S("")));
    assert_true(slice_eq(slice_of(NULL), S("")));
    assert_true(slice_ends((struct slice){NULL, 0}, S("")));
    assert_false(slice_eq((struct slice){"a\0b", 3}, (struct slice){"a\0c", 3}));
}

/* Every pair of bytes, at every place of texts of every length; each text in memory of its own
 * size, so that a byte read beside it is seen. */
static void test_slice_fold(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 20; n++) {
        char *a = mem_new(n), *b = mem_new(n);
        for (unsigned i = 0; i < 65536; i++) {
            size_t at = i % n;
            uint8_t x = (uint8_t)(i >> 8), y = (uint8_t)i;
            bool letters = (x | 0x20) >= 'a' && (x | 0x20) <= 'z' && (x | 0x20) == (y | 0x20);
            memset(a, 'q', n);
            memset(b, 'Q', n);
            a[at] = (char)x;
            b[at] = (char)y;
            assert_int_equal(slice_ieq((struct slice){a, n}, (struct slice){b, n}),
                             x == y || letters);
        }
        mem_free(a);
        mem_free(b);
    }
}

static void test_slice_has_control(void **state)
{
    char text[45];
    (void)state;
    assert_false(slice_has_control((struct slice){NULL, 0}));
    for (int c = 0; c < 256; c++) {
        for (size_t n = 1; n < sizeof text; n++) {
            bool bad = c < 0x20 || c == 0x7f;
            memset(text, c % 2 ? 0xff : ' ', sizeof text);
            text[n - 1] = (char)c;
            assert_int_equal(slice_has_control((struct slice){text, n}), bad);
            memset(text, 0x80, n - 1);
            assert_int_equal(slice_has_control((struct slice){text, sizeof text}), bad);
        }
    }
}

static void test_slice_search(void **state)
{
    static const struct {
        const char *s, *needle;
        ptrdiff_t at;
    } rows[] = {
        {"", "", 0},
        {"abc", "", 0},
        {"", "a", -1},
        {"abc", "abc", 0},
        {"abc", "abcd", -1},
        {"aaab", "aab", 1},
        {"abababac", "abac", 4},
        {"xyz", "z", 2},
        {"xyz", "w", -1},
        {"a_", "_b", -1},
        {"_a_b", "a_b", 1},
        {"__a_b", "_a_", 1},
        {"\"a\"", "\"_\"", -1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(slice_search(slice_of(rows[i].s), slice_of(rows[i].needle)), rows[i].at);
    for (unsigned seed = 0; seed < 20000; seed++) { /* as the plain way finds it */
        char text[12], word[4];
        size_t n = seed % 12, m = seed % 3 + 1;
        ptrdiff_t at = -1;
        for (size_t i = 0, r = seed * 2654435761U; i < 16; i++, r = r * 5 + 77)
            i < 12 ? (text[i] = "a_\"b"[r >> 9 & 3]) : (word[i - 12] = "_a\"b"[r >> 9 & 3]);
        for (size_t i = 0; at < 0 && i + m <= n; i++)
            at = memcmp(text + i, word, m) == 0 ? (ptrdiff_t)i : -1;
        assert_int_equal(slice_search((struct slice){text, n}, (struct slice){word, m}), at);
    }
    for (size_t n = 2; n < 300; n++) { /* in memory of its own size */
        char *text = mem_new(n);
        for (size_t at = 0; at + 2 <= n; at++) {
            memset(text, '_', n);
            text[at + 1] = 'i';
            assert_int_equal(slice_search((struct slice){text, n}, S("_i")), at);
            assert_int_equal(slice_search((struct slice){text, n}, S("_ix")), -1);
            assert_int_equal(slice_search((struct slice){text, n}, S("__i")),
                             at > 0 ? (ptrdiff_t)at - 1 : -1);
        }
        mem_free(text);
    }
    assert_int_equal(slice_find(S("a=b=c"), '='), 1);
    assert_int_equal(slice_find(S("abc"), '='), -1);
    assert_int_equal(slice_find((struct slice){NULL, 0}, '='), -1);
    assert_int_equal(slice_find((struct slice){"a\0b", 3}, '\0'), 1);
}

static void test_slice_parts(void **state)
{
    static const char *const cuts[] = {"a", "", "bc"};
    struct slice rest = S("a,,bc,"), part = S("");
    size_t n = 0;

    (void)state;
    while (slice_cut(&rest, ',', &part)) {
        assert_true(n < COUNT(cuts) && slice_eq(part, slice_of(cuts[n])));
        n++;
    }
    assert_int_equal(n, COUNT(cuts));
    assert_true(slice_eq(slice_trim(S(" \t a b\t ")), S("a b")));
    assert_true(slice_eq(slice_trim(S(" \t ")), S("")));
    assert_true(slice_eq(slice_trim(S("\na\r")), S("\na\r"))); /* only SP and HTAB are blank */
    assert_true(slice_eq(slice_sub(S("abcd"), 1, 3), S("bc")));
    assert_int_equal(slice_sub(S("abcd"), 4, 4).n, 0);
    assert_int_equal(slice_sub((struct slice){NULL, 0}, 0, 0).n, 0);
}

/* ---- memory --------------------------------------------------------------------------------- */

static void test_memory(void **state)
{
    unsigned char *p = mem_new(100);
    char *s;

    (void)state;
    for (int i = 0; i < 100; i++)
        assert_int_equal(p[i], 0);
    p[99] = 7;
    p = mem_grow(p, 10000);
    assert_int_equal(p[99], 7);
    mem_free(p);
    mem_free(NULL);
    p = mem_new(0);
    assert_non_null(p);
    mem_free(p);
    assert_null(mem_try(SIZE_MAX));
    assert_null(mem_strdup(NULL));
    s = mem_slicedup((struct slice){"a\0b", 3});
    assert_memory_equal(s, "a\0b", 4);
    mem_free(s);
    s = mem_slicedup((struct slice){NULL, 0});
    assert_string_equal(s, "");
    mem_free(s);
}

static void faults_from_now(uint64_t nth)
{
    fault_counter = 0;
    fault_target = nth;
}

/* What the kernel says of the pages at `p`: its flags, "" when it does not tell. */
static void page_flags(const void *p, char *out, size_t size)
{
    char line[512], at[32];
    bool mine = false;
    FILE *f = fopen("/proc/self/smaps", "r");
    out[0] = '\0';
    text_format(at, sizeof at, "%" PRIxPTR "-", (uintptr_t)p & ~(uintptr_t)4095);
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (strstr(line, at) == line)
            mine = true;
        if (mine && strncmp(line, "VmFlags:", 8) == 0) {
            text_copy(out, size, slice_of(line + 8));
            break;
        }
    }
    if (f != NULL)
        fclose(f);
}

static void test_locked(void **state)
{
    static const size_t SIZES[] = {1, 32, 4095, 4096, 70000};
    char flags[512];
    (void)state;
    for (size_t i = 0; i < COUNT(SIZES); i++) {
        char *p = mem_locked(SIZES[i]);
        for (size_t k = 0; k < SIZES[i]; k++)
            assert_int_equal(p[k], 0);
        memset(p, 'x', SIZES[i]);
        page_flags(p, flags, sizeof flags);
        if (flags[0] != '\0') {
            assert_non_null(strstr(flags, " dd")); /* in no core dump */
            if (LOCKS)
                assert_non_null(strstr(flags, " lo")); /* in no swap file */
        }
        mem_locked_free(p);
    }
    mem_locked_free(NULL);
}

static void test_faults(void **state)
{
    struct buf b;
    struct arena a;
    void *p;

    (void)state;
    buf_init(&b, 100);
    arena_init(&a, 100);
    faults_from_now(1);
    assert_null(mem_try(1));
    p = mem_try(1); /* only the one call fails */
    assert_non_null(p);
    faults_from_now(1);
    assert_null(mem_try_grow(p, 50));
    mem_free(p); /* still there */
    faults_from_now(1);
    assert_int_equal(buf_puts(&b, S("abc")), ERR_NOMEM);
    assert_int_equal(b.len, 0);
    assert_int_equal(buf_puts(&b, S("abc")), OK);
    faults_from_now(1);
    assert_int_equal(buf_puts(&b, S("def")), OK); /* no growth, nothing to fail */
    assert_null(arena_try(&a, 1));
    faults_from_now(1);
    assert_null(arena_dup(&a, S("abc")).p);
    faults_from_now(2);
    assert_null(arena_dup(&a, S("abc")).p); /* the block behind it */
    faults_from_now(0);
    assert_true(slice_eq(buf_slice(&b), S("abcdef")));
    buf_free(&b);
    arena_free(&a);
}

/* ---- buffers -------------------------------------------------------------------------------- */

static void test_buf_exact(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    assert_int_equal(buf_exact(&b, 1001), ERR_LIMIT);
    fault_counter = 0;
    fault_target = 1;
    assert_int_equal(buf_exact(&b, 1000), ERR_NOMEM);
    fault_target = fault_counter = 0;
    assert_true(b.p == NULL && b.cap == 0);
    assert_int_equal(buf_exact(&b, 999), OK);
    assert_int_equal(b.cap, 999);
    memset(b.p, 'x', b.cap + 1); /* a byte more, as in all */
    b.len = b.cap;
    assert_int_equal(buf_append(&b, "y", 1), OK); /* and it grows like others */
    assert_int_equal(buf_append(&b, "y", 1), ERR_LIMIT);
    buf_free(&b);
}

static void test_buf_growth(void **state)
{
    struct buf b;
    size_t growths = 0, cap = 0;

    (void)state;
    buf_init(&b, 100000);
    for (int i = 0; i < 100000; i++) {
        char c = (char)('a' + i % 26);
        assert_int_equal(buf_append(&b, &c, 1), OK);
        growths += b.cap != cap;
        cap = b.cap;
        assert_true(b.cap <= b.max);
    }
    assert_true(growths < 20);
    assert_int_equal(buf_append(&b, "x", 1), ERR_LIMIT);
    assert_int_equal(b.len, 100000);
    assert_int_equal(b.p[99999], 'a' + 99999 % 26);
    assert_int_equal(buf_append(&b, NULL, 0), OK);
    assert_int_equal(buf_reserve(&b, SIZE_MAX), ERR_LIMIT);

    struct buf most;
    buf_init(&most, SIZE_MAX / 4); /* more than a buffer can count */
    assert_int_equal(most.max, BUF_MOST);
    assert_int_equal(buf_reserve(&most, (size_t)BUF_MOST + 1), ERR_LIMIT);
    assert_int_equal(buf_puts(&most, S("x")), OK);
    assert_int_equal(buf_reserve(&most, BUF_MOST), ERR_LIMIT);
    buf_free(&most);
    assert_int_equal(most.max, BUF_MOST);
    buf_free(&b);
    assert_int_equal(b.max, 100000);
    assert_int_equal(buf_puts(&b, S("again")), OK);
    assert_true(slice_eq(buf_slice(&b), S("again")));
    buf_free(&b);
}

static void test_buf_limits(void **state)
{
    struct buf b;

    (void)state;
    for (size_t max = 0; max < 140; max++) {
        char bytes[140];
        memset(bytes, 'x', sizeof(bytes));
        buf_init(&b, max);
        assert_int_equal(buf_append(&b, bytes, max + 1), ERR_LIMIT);
        assert_int_equal(b.len, 0);
        assert_int_equal(buf_append(&b, bytes, max), OK);
        assert_int_equal(buf_append(&b, bytes, 1), ERR_LIMIT);
        char *p = buf_take(&b); /* terminated even when filled to the brim */
        assert_int_equal(strlen(p), max);
        mem_free(p);
        assert_int_equal(b.len, 0);
        assert_int_equal(b.max, max);
    }
}

static void test_buf_printf(void **state)
{
    struct buf b;
    char *p;

    (void)state;
    buf_init(&b, 40);
    assert_int_equal(buf_printf(&b, "%s-%d", "one", 2), OK);
    assert_int_equal(buf_printf(&b, "%s", ""), OK);
    assert_int_equal(buf_printf(&b, "%035d", 1), OK); /* 40 exactly */
    assert_int_equal(b.len, 40);
    assert_int_equal(buf_printf(&b, "x"), ERR_LIMIT);
    assert_int_equal(b.len, 40);
    p = buf_take(&b);
    assert_memory_equal(p, "one-2", 5);
    assert_int_equal(strlen(p), 40);
    mem_free(p);
    p = buf_take(&b);
    assert_string_equal(p, "");
    mem_free(p);
}

static void test_buf_consume(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    assert_int_equal(buf_puts(&b, S("hello world")), OK);
    buf_consume(&b, 0);
    buf_consume(&b, 6);
    assert_true(slice_eq(buf_slice(&b), S("world")));
    buf_consume(&b, 5);
    assert_int_equal(b.len, 0);
    size_t cap = b.cap;
    assert_int_equal(buf_puts(&b, S("x")), OK);
    buf_clear(&b);
    assert_int_equal(b.cap, cap);
    assert_int_equal(buf_slice(&b).n, 0);
    buf_free(&b);
    assert_non_null(buf_slice(&b).p);
}

/* ---- arenas --------------------------------------------------------------------------------- */

static size_t arena_blocks(const struct arena *a)
{
    return a->head != NULL ? 1 + (a->total > 4096) : 0;
}

static void test_arena(void **state)
{
    struct arena a;
    char *things[1000];

    (void)state;
    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < COUNT(things); i++) {
        things[i] = arena_try(&a, i % 97);
        assert_non_null(things[i]);
        assert_int_equal((uintptr_t)things[i] % 16, 0);
        memset(things[i], (int)(i & 0xff), i % 97);
    }
    for (size_t i = 0; i < COUNT(things); i++)
        for (size_t k = 0; k < i % 97; k++)
            assert_int_equal((unsigned char)things[i][k], i & 0xff);
    assert_true(a.total <= a.max);
    struct slice s = arena_dup(&a, (struct slice){"a\0b", 3});
    assert_memory_equal(s.p, "a\0b", 4);
    assert_string_equal(arena_dup(&a, (struct slice){NULL, 0}).p, "");
    assert_int_equal(arena_blocks(&a), 2);
    arena_free(&a);
    assert_int_equal(a.total, 0);
    assert_non_null(arena_try(&a, 10)); /* usable again */
    arena_free(&a);
}

static void test_arena_max(void **state)
{
    struct arena a;
    size_t got = 0;

    (void)state;
    arena_init(&a, 10000);
    assert_null(arena_try(&a, 10001));
    assert_null(arena_try(&a, SIZE_MAX));
    assert_null(arena_try(&a, SIZE_MAX - 15));
    assert_int_equal(a.total, 0);
    while (arena_try(&a, 16) != NULL)
        got += 16;
    assert_true(got > 9900 && got <= 10000); /* the last bytes are handed out too */
    assert_null(arena_dup(&a, S("0123456789abcdef")).p);
    arena_free(&a);
    arena_init(&a, 0);
    assert_null(arena_try(&a, 0));
    arena_free(&a);
}

static void test_arena_reset(void **state)
{
    struct arena a;
    void *first;

    (void)state;
    arena_init(&a, 1 << 20);
    first = arena_try(&a, 100);
    assert_non_null(first);
    arena_reset(&a);
    assert_ptr_equal(arena_try(&a, 100), first); /* the block was kept */
    assert_non_null(arena_try(&a, 20000));
    assert_non_null(arena_try(&a, 500000));
    arena_reset(&a);
    assert_in_range(a.total, 20000, 65536); /* the largest but not the huge one */
    size_t total = a.total;
    for (int i = 0; i < 100; i++) {
        assert_non_null(arena_try(&a, 20000));
        arena_reset(&a);
        assert_int_equal(a.total, total);
    }
    arena_free(&a);
    assert_non_null(arena_try(&a, 500000));
    arena_reset(&a);
    assert_int_equal(a.total, 0);
    arena_free(&a);
}

/* ---- maps ----------------------------------------------------------------------------------- */

static struct slice number(char out[TEXT_U64_MAX], size_t i)
{
    return (struct slice){out, text_from_u64(i, out)};
}

static void test_map(void **state)
{
    static int values[5000];
    struct map m;
    char text[TEXT_U64_MAX];

    (void)state;
    map_init(&m);
    assert_null(map_get(&m, S("x")));
    assert_null(map_del(&m, S("x")));
    for (size_t i = 0; i < COUNT(values); i++)
        assert_null(map_put(&m, number(text, i), &values[i]));
    assert_int_equal(m.live, COUNT(values));
    for (size_t i = 0; i < COUNT(values); i++)
        assert_ptr_equal(map_get(&m, number(text, i)), &values[i]);
    assert_ptr_equal(map_put(&m, S("7"), &values[0]), &values[7]);
    assert_ptr_equal(map_get(&m, S("7")), &values[0]);
    for (size_t i = 0; i < COUNT(values); i += 2)
        assert_non_null(map_del(&m, number(text, i)));
    for (size_t i = 0; i < COUNT(values); i++)
        assert_int_equal(map_get(&m, number(text, i)) != NULL, i % 2);
    assert_int_equal(m.live, COUNT(values) / 2);
    map_free(&m);
    assert_null(map_get(&m, S("1")));
    map_free(&m);
}

/* Keys that come and go for ever must not make the table grow. */
static void test_map_churn(void **state)
{
    struct map m;
    char text[TEXT_U64_MAX];
    int value;

    (void)state;
    map_init(&m);
    for (size_t i = 0; i < 20000; i++) {
        assert_null(map_put(&m, number(text, i), &value));
        if (i >= 10)
            assert_ptr_equal(map_del(&m, number(text, i - 10)), &value);
    }
    assert_int_equal(m.live, 10);
    assert_true(m.cap <= 64);
    map_free(&m);
}

static void test_map_keys(void **state)
{
    struct map m;
    int a, b, c;

    (void)state;
    map_init(&m);
    assert_null(map_put(&m, (struct slice){"k\0a", 3}, &a));
    assert_null(map_put(&m, (struct slice){"k\0b", 3}, &b));
    assert_null(map_put(&m, S(""), &c));
    assert_ptr_equal(map_get(&m, (struct slice){"k\0a", 3}), &a);
    assert_ptr_equal(map_get(&m, (struct slice){"k\0b", 3}), &b);
    assert_ptr_equal(map_get(&m, (struct slice){NULL, 0}), &c);
    assert_null(map_get(&m, S("k")));
    map_free(&m);
}

static void test_map_walk(void **state)
{
    static int values[100];
    struct map m;
    char text[TEXT_U64_MAX];
    struct slice key;
    size_t at = 0, seen = 0;
    void *value;

    (void)state;
    map_init(&m);
    assert_false(map_next(&m, &at, &key, &value));
    for (size_t i = 0; i < COUNT(values); i++)
        assert_null(map_put(&m, number(text, i), &values[i]));
    for (at = 0; map_next(&m, &at, &key, &value);) {
        uint64_t i;
        assert_true(text_u64(key, &i));
        assert_ptr_equal(value, &values[i]);
        assert_int_equal(values[i]++, 0); /* each one once */
        seen++;
        if (i % 3 != 0)
            assert_ptr_equal(map_del(&m, key), value); /* with the entry's own key */
    }
    assert_int_equal(seen, COUNT(values));
    assert_int_equal(m.live, 34);
    for (at = 0; map_next(&m, &at, NULL, NULL);)
        seen--;
    assert_int_equal(seen, 66);
    map_free(&m);
}

/* ---- lists ---------------------------------------------------------------------------------- */

struct item {
    int n;
    struct link link;
};

static void test_list(void **state)
{
    struct link head;
    struct item items[4];
    int sum = 0;

    (void)state;
    list_init(&head);
    assert_true(list_empty(&head));
    for (int i = 0; i < 4; i++) {
        items[i].n = i;
        list_init(&items[i].link);
    }
    list_push(&head, &items[1].link);
    list_push(&head, &items[2].link);
    list_unshift(&head, &items[0].link);
    list_push(&head, &items[3].link);
    for (struct link *l = head.next; l != &head; l = l->next)
        sum = sum * 10 + CONTAINER(l, struct item, link)->n;
    assert_int_equal(sum, 123); /* 0, 1, 2, 3 */
    list_remove(&items[2].link);
    list_remove(&items[2].link); /* twice is fine */
    assert_true(list_empty(&items[2].link));
    assert_ptr_equal(items[1].link.next, &items[3].link);
    assert_ptr_equal(items[3].link.prev, &items[1].link);
    list_remove(&items[0].link);
    list_remove(&items[1].link);
    list_remove(&items[3].link);
    assert_true(list_empty(&head));
    list_push(&head, &items[2].link);
    assert_false(list_empty(&head));
}

/* A byte of a promised body takes a page of 4 KiB, not one of 2 MiB. */
static void test_pages(void **state)
{
    (void)state;
    mem_init();
#ifdef __linux__
    assert_int_equal(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err_names),    cmocka_unit_test(test_slice_compare),
        cmocka_unit_test(test_slice_search), cmocka_unit_test(test_slice_has_control),
        cmocka_unit_test(test_slice_fold),   cmocka_unit_test(test_slice_parts),
        cmocka_unit_test(test_memory),       cmocka_unit_test(test_faults),
        cmocka_unit_test(test_buf_growth),   cmocka_unit_test(test_buf_limits),
        cmocka_unit_test(test_buf_exact),    cmocka_unit_test(test_buf_printf),
        cmocka_unit_test(test_buf_consume),  cmocka_unit_test(test_arena),
        cmocka_unit_test(test_arena_max),    cmocka_unit_test(test_arena_reset),
        cmocka_unit_test(test_map),          cmocka_unit_test(test_map_churn),
        cmocka_unit_test(test_map_keys),     cmocka_unit_test(test_map_walk),
        cmocka_unit_test(test_list),         cmocka_unit_test(test_locked),
        cmocka_unit_test(test_pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
