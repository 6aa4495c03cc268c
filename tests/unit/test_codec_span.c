/* links: base http codec */
/* The span scanner: by table, against the tree parser under random text, and at every offset of its
 * 64-byte blocks. */
#include "codec/codec.h"
#include "codec/span.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* All members as "key=value;", then how the walk ended. */
static void walk(struct slice text, char *out, size_t size)
{
    struct json_scan s;
    struct slice key;
    struct span v;
    enum err e;
    size_t n = 0;
    json_scan_init(&s, text);
    while ((e = json_scan_next(&s, &key, &v)) == OK) {
        struct slice value = span_slice(text, v);
        n += text_format(out + n, size - n, "%.*s=%.*s;", (int)key.n, key.p, (int)value.n, value.p);
    }
    (void)text_format(out + n, size - n, "%s",
                      e == ERR_NOTFOUND ? "."
                      : e == ERR_LIMIT  ? "DEEP"
                                        : "BAD");
    /* an end is an end, however often it is asked for */
    assert_int_equal(json_scan_next(&s, &key, &v), e == ERR_LIMIT ? ERR_SYNTAX : e);
}

static void test_walk(void **state)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"{}", "."},
        {" \n{ \t}\r\n ", "."},
        {"{\"a\":1}", "a=1;."},
        {" { \"a\" : 1 , \"b\" : \"x\" } ", "a=1;b=\"x\";."},
        {"{\"a\":{\"b\":[1,{\"c\":\"}]\"}]},\"d\":[]}", "a={\"b\":[1,{\"c\":\"}]\"}]};d=[];."},
        {"{\"a\":true,\"b\":false,\"c\":null}", "a=true;b=false;c=null;."},
        {"{\"a\":-0.5e+10,\"b\":0}", "a=-0.5e+10;b=0;."},
        {"{\"a\\\"b\":\"\\\\\"}", "a\\\"b=\"\\\\\";."},
        {"{\"a\":\"\\u00e9\"}", "a=\"\\u00e9\";."},
        {"{\"a\":[\"\\\\\",\"\\\"]\"]}", "a=[\"\\\\\",\"\\\"]\"];."},
        {"", "BAD"},
        {" ", "BAD"},
        {"[]", "BAD"},
        {"\"a\"", "BAD"},
        {"null", "BAD"},
        {"{", "BAD"},
        {"{\"a\"", "BAD"},
        {"{\"a\":", "BAD"},
        {"{\"a\":1", "a=1;BAD"},
        {"{\"a\":1,", "a=1;BAD"},
        {"{\"a\":1,}", "a=1;BAD"},
        {"{,\"a\":1}", "BAD"},
        {"{\"a\":1 \"b\":2}", "a=1;BAD"},
        {"{\"a\":1,,\"b\":2}", "a=1;BAD"},
        {"{\"a\" 1}", "BAD"},
        {"{a:1}", "BAD"},
        {"{'a':1}", "BAD"},
        {"{\"a\":1}x", "a=1;BAD"},
        {"{\"a\":1}{}", "a=1;BAD"},
        {"{\"a\":01}", "BAD"},
        {"{\"a\":+1}", "BAD"},
        {"{\"a\":.5}", "BAD"},
        {"{\"a\":1.}", "BAD"},
        {"{\"a\":1e}", "BAD"},
        {"{\"a\":-}", "BAD"},
        {"{\"a\":nul}", "BAD"},
        {"{\"a\":nulL}", "BAD"},
        {"{\"a\":truex}", "a=true;BAD"},
        {"{\"a\":NaN}", "BAD"},
        {"{\"a\":}", "BAD"},
        {"{\"a\":[}]}", "BAD"},
        {"{\"a\":{]}}", "BAD"},
        {"{\"a\":[}", "BAD"},
        {"{\"a\":[1,2}", "BAD"},
        {"{\"a\":[\"x]}", "BAD"},
        {"{\"a\":[\\\"x\"]}", "BAD"},
        {"{\"a\":\"x\ny\"}", "BAD"},
        {"{\"a\":[\"x\ty\"]}", "BAD"},
        {"{\"a\":\"\\x\"}", "BAD"},
        {"{\"a\":[\"\\x\"]}", "BAD"},
        {"{\"a\":\"\\u12g4\"}", "BAD"},
        {"{\"a\":[\"\\u12g4\"]}", "BAD"},
        {"{\"a\":\"\\u12\"}", "BAD"},
        {"{\"a\":\"\\", "BAD"},
        {"{\"a\":[\"\\", "BAD"},
        {"{\"a\":[\"\\u00", "BAD"},
        {"\xef\xbb\xbf{}", "BAD"},
        {"{\"a\":1]", "a=1;BAD"},
    };
    char got[512];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        walk(slice_of(rows[i].text), got, sizeof got);
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s\n   got %s\n  want %s", rows[i].text, got, rows[i].want);
    }
}

static void test_depth(void **state)
{
    char text[400];
    (void)state;
    for (int depth = 1; depth <= 130;
         depth++) { /* depth of the value; the object around it is one */
        for (int kind = 0; kind < 2; kind++) {
            size_t n = text_format(text, sizeof text, "{\"a\":");
            memset(text + n, kind == 0 ? '[' : '{', (size_t)depth);
            memset(text + n + depth, kind == 0 ? ']' : '}', (size_t)depth);
            n += 2 * (size_t)depth;
            text[n++] = '}';
            struct json_scan s;
            struct slice key;
            struct span v;
            json_scan_init(&s, (struct slice){text, n});
            enum err want = depth + 1 <= SPAN_DEPTH ? OK : ERR_LIMIT;
            assert_int_equal(json_scan_next(&s, &key, &v), want);
            if (want == OK)
                assert_int_equal(json_scan_next(&s, &key, &v), ERR_NOTFOUND);
        }
    }
}

static void test_text(void **state)
{
    static const struct {
        const char *value, *want; /* want NULL: no string */
    } rows[] = {
        {"\"\"", ""},
        {"\"abc\"", "abc"},
        {"\"a\\\"b\\\\c\\/d\"", "a\"b\\c/d"},
        {"\"\\b\\f\\n\\r\\t\"", "\b\f\n\r\t"},
        {"\"\\u0041\\u00e9\\u20AC\"", "A\xc3\xa9\xe2\x82\xac"},
        {"\"\\ud83d\\ude00!\"", "\xf0\x9f\x98\x80!"},
        {"\"\\ud83d\"", "\xef\xbf\xbd"},
        {"\"\\ud83dx\"", "\xef\xbf\xbdx"},
        {"\"\\ude00\\ud83d\"", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\"a\\u0000b\"", "a\xef\xbf\xbd"
                          "b"},
        {"12", NULL},
        {"null", NULL},
        {"[\"a\"]", NULL},
    };
    char got[64];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice t = slice_of(rows[i].value);
        bool is = json_span_text(t, (struct span){0, t.n}, got, sizeof got);
        assert_int_equal(is, rows[i].want != NULL);
        assert_string_equal(got, rows[i].want != NULL ? rows[i].want : "");
        bool plain = is && memchr(t.p, '\\', t.n) == NULL;
        for (size_t size = 1; size < 8; size++) {
            bool fits = plain && t.n - 2 < size;
            assert_int_equal(span_text_plain(t, (struct span){0, t.n}, got, size), fits);
            if (fits)
                assert_string_equal(got, rows[i].want);
        }
    }
    assert_false(span_text_plain(S("\"\xc3\xa9\""), (struct span){0, 4}, got, sizeof got));
    assert_false(json_span_text(S("\"ab\""), (struct span){0, 3}, got, sizeof got));
    assert_false(json_span_text(S("\"ab\""), (struct span){0, 0}, got, sizeof got));
}

static void test_text_truncated(void **state)
{
    struct slice t = S("\"abc\xc3\xa9"
                       "def\\u20acxyz\"");
    const char *whole = "abc\xc3\xa9"
                        "def\xe2\x82\xacxyz";
    char got[32];
    (void)state;
    for (size_t size = 1; size <= sizeof got; size++) {
        assert_true(json_span_text(t, (struct span){0, t.n}, got, size));
        assert_true(strlen(got) < size);
        assert_memory_equal(got, whole, strlen(got));
        assert_true(text_is_utf8(slice_of(got))); /* never half a character */
        assert_true(strlen(got) + 4 >= size || strlen(got) == strlen(whole));
    }
}

static void test_key_is(void **state)
{
    (void)state;
    assert_true(span_key_is(S("model"), S("model")));
    assert_true(span_key_is(S("mod\\u0065l"), S("model")));
    assert_true(span_key_is(S("\\u006d\\u006f\\u0064\\u0065\\u006c"), S("model")));
    assert_false(span_key_is(S("Model"), S("model")));
    assert_false(span_key_is(S("models"), S("model")));
    assert_false(span_key_is(S("mode"), S("model")));
    assert_false(span_key_is(S("mod\\u0065ls"), S("model")));
    assert_false(span_key_is(S("mod\\u0065"), S("model")));
    assert_false(span_key_is(S("mode\\nl"), S("model")));
    assert_false(span_key_is(S("\\\\model"), S("model")));
    char raw[512], name[512], room[SPAN_KEY]; /* of any length */
    for (size_t n = 1; n < 300; n += 7) {
        memset(name, 'k', n);
        memset(raw, 'k', n);
        memcpy(raw + n - 1, "\\u006b", 6);
        struct slice long_raw = {raw, n + 5}, long_name = {name, n};
        assert_true(span_key_is(long_raw, long_name));
        assert_false(span_key_is(long_raw, slice_sub(long_name, 0, n - 1)));
        struct slice undone = span_key(long_raw, room, sizeof room);
        assert_true(slice_eq(undone, n <= sizeof room ? long_name : long_raw));
    }
}

static void test_list(void **state)
{
    struct slice t = S(" [ 1 , {\"a\":[2]} , \"]\" ] ");
    static const char *const want[] = {"1", "{\"a\":[2]}", "\"]\""};
    struct span_list l;
    struct span v;
    (void)state;
    span_list_init(&l, t);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(span_list_next(&l, &v), OK);
        assert_true(slice_eq(span_slice(t, v), slice_of(want[i])));
    }
    assert_int_equal(span_list_next(&l, &v), ERR_NOTFOUND);
    span_list_init(&l, S("[1,]"));
    assert_int_equal(span_list_next(&l, &v), OK);
    assert_int_equal(span_list_next(&l, &v), ERR_SYNTAX);
    span_list_init(&l, S("{}"));
    assert_int_equal(span_list_next(&l, &v), ERR_SYNTAX);
}

static void test_member(void **state)
{
    struct span v;
    struct slice t = S("{\"a\":1,\"b\":{\"a\":2},\"c\":3");
    (void)state;
    assert_true(span_member(t, S("b"), &v));
    assert_true(slice_eq(span_slice(t, v), S("{\"a\":2}")));
    assert_false(span_member(t, S("d"), &v));
    assert_false(span_member(S("[1]"), S("a"), &v));
}

struct noted {
    struct span a, long_name;
};

static struct span *noted_place(void *into, struct slice key)
{
    struct noted *at = into;
    if (slice_eq(key, S("a")))
        return &at->a;
    return slice_eq(key, S("a_name_that_is_long")) ? &at->long_name : NULL;
}

static void test_members(void **state)
{
    static const struct {
        const char *text, *a, *long_name; /* a NULL: makes no sense */
    } rows[] = {
        {"{}", "", ""},
        {" {\"a\":1} ", "1", ""},
        {"{\"a\":1,\"a\":2}", "1", ""},
        {"{\"\\u0061\":1,\"a\":2}", "1", ""},
        {"{\"b\":{\"a\":1},\"a_name_that_is_l\\u006fng\":[1]}", "", "[1]"},
        {"{\"a_name_that_is_long\":true,\"a\":\"\\\\\"}", "\"\\\\\"", "true"},
        {"{\"a\":1", NULL, NULL},
        {"{\"a\":1}}", NULL, NULL},
        {"[\"a\"]", NULL, NULL},
        {"", NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct noted at = {{0, 0}, {0, 0}};
        struct slice t = slice_of(rows[i].text);
        bool sense = span_members(t, noted_place, &at);
        if (sense != (rows[i].a != NULL) ||
            (sense && (!slice_eq(span_slice(t, at.a), slice_of(rows[i].a)) ||
                       !slice_eq(span_slice(t, at.long_name), slice_of(rows[i].long_name)))))
            fail_msg("%s", rows[i].text);
    }
}

static const char *refuse_b(void *arg, struct slice text, struct slice key, struct span v)
{
    int *seen = arg;
    assert_true(v.from < v.to && v.to <= text.n);
    ++*seen;
    return slice_eq(key, S("b")) ? "no b" : NULL;
}

static void test_each(void **state)
{
    const char *wrong = NULL;
    int seen = 0;
    (void)state;
    assert_int_equal(span_each(S("{\"a\":1,\"c\":2}"), 2, refuse_b, &seen, NULL, &wrong), OK);
    assert_int_equal(seen, 2);
    assert_int_equal(span_each(S("{\"a\":1,\"c\":2}"), 1, refuse_b, &seen, NULL, &wrong),
                     ERR_RANGE);
    assert_int_equal(seen, 3);
    assert_null(wrong);
    assert_int_equal(span_each(S("{\"\\u0062\":1,\"c\":2}"), 9, refuse_b, &seen, NULL, &wrong),
                     ERR_CANCELED);
    assert_string_equal(wrong, "no b");
    assert_int_equal(seen, 4);
    assert_int_equal(span_each(S("{\"a\":1"), 9, refuse_b, &seen, NULL, &wrong), ERR_SYNTAX);
}

/* The first byte that stops a string, at each place of texts that fill the wide steps and do not.
 */
static void test_plain_ends(void **state)
{
    static const char stops[] = {'"', '\\', '\n', 0x1f, 0};
    char text[330];
    (void)state;
    memset(text, 'x', sizeof text);
    memcpy(text, "\x7f\xff!# []{}", 9); /* none of them stops */
    for (size_t n = 0; n <= sizeof text; n += n < 70 ? 1 : 13) {
        char *heap = mem_slicedup((struct slice){text, n});
        struct slice t = {heap, n};
        for (size_t stop = n + 1; stop-- > 0;) {
            if (stop < n)
                heap[stop] = stops[stop % sizeof stops];
            for (size_t at = 0; at <= stop; at += at % 7 + 1)
                assert_int_equal(span_plain(t, at), stop);
        }
        mem_free(heap);
    }
}

/* ---- against the tree parser ----------------------------------------------------------------- */

static uint64_t seed;

static unsigned dice(unsigned n)
{
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned)(seed >> 33) % n;
}

static void grow_string(struct buf *b)
{
    static const char *const parts[] = {
        "a", "zz",  "\\\"", "\\\\",     "\\n",      "\\u00e9",
        "{", "}",   "[",    "]",        ",",        ":",
        " ", "\\/", "\\t",  "\xc3\xa9", "\\\\\\\\", "text that is a little longer than the others"};
    assert_int_equal(buf_puts(b, S("\"")), OK);
    for (unsigned n = dice(12); n > 0; n--)
        assert_int_equal(buf_puts(b, slice_of(parts[dice(sizeof parts / sizeof parts[0])])), OK);
    assert_int_equal(buf_puts(b, S("\"")), OK);
}

static void grow(struct buf *b, int depth)
{
    static const char *const scalars[] = {"0", "-1", "12.5e-3", "true", "false", "null", "1E9"};
    static const char *const blanks[] = {"", "", "", " ", "\n", "  \t"};
    unsigned kind = depth > 6 ? dice(2) : dice(5);
    if (kind == 0) {
        assert_int_equal(buf_puts(b, slice_of(scalars[dice(7)])), OK);
        return;
    }
    if (kind == 1) {
        grow_string(b);
        return;
    }
    bool object = kind >= 3;
    assert_int_equal(buf_puts(b, object ? S("{") : S("[")), OK);
    for (unsigned n = dice(6), i = 0; i < n; i++) {
        assert_int_equal(buf_puts(b, slice_of(blanks[dice(6)])), OK);
        if (object) {
            grow_string(b);
            assert_int_equal(buf_puts(b, S(":")), OK);
        }
        grow(b, depth + 1);
        assert_int_equal(buf_puts(b, slice_of(blanks[dice(6)])), OK);
        if (i + 1 < n)
            assert_int_equal(buf_puts(b, S(",")), OK);
    }
    assert_int_equal(buf_puts(b, object ? S("}") : S("]")), OK);
}

/* What the tree says about the text, the spans must say too: the same keys in the same order, and
 * values that parse to the same text. */
static void compare(struct slice text, const struct json_val *root)
{
    struct json_scan s;
    struct slice key;
    struct span v;
    struct slice want_key, want_text;
    const struct json_val *want;
    char got[1200];
    size_t i = 0;
    enum err e;
    json_scan_init(&s, text);
    while ((e = json_scan_next(&s, &key, &v)) == OK) {
        assert_true(json_member(root, i++, &want_key, &want));
        assert_true(span_key_is(key, want_key));
        struct json *one = NULL;
        assert_int_equal(json_parse(span_slice(text, v), &one), OK);
        assert_int_equal(json_type(json_root(one)), json_type(want));
        assert_int_equal(json_len(json_root(one)), json_len(want));
        json_free(one);
        bool is_text = json_span_text(text, v, got, sizeof got);
        assert_int_equal(is_text, json_str(want, &want_text));
        if (is_text)
            assert_true(slice_eq(slice_of(got), want_text));
    }
    assert_int_equal(e, ERR_NOTFOUND);
    assert_int_equal(i, json_len(root));
}

static void test_random(void **state)
{
    struct buf b;
    struct json *doc = NULL;
    (void)state;
    buf_init(&b, 1 << 20);
    for (unsigned round = 0; round < 3000; round++) {
        seed = round;
        buf_clear(&b);
        assert_int_equal(buf_puts(&b, S("{\"first\":")), OK);
        grow(&b, 0);
        assert_int_equal(buf_puts(&b, S(",\"second\":")), OK);
        grow(&b, 0);
        assert_int_equal(buf_puts(&b, S("}")), OK);
        assert_int_equal(json_parse(buf_slice(&b), &doc), OK);
        compare(buf_slice(&b), json_root(doc));
        json_free(doc);
    }
    buf_free(&b);
}

/* A byte changed: whatever the tree parser still takes, the scanner takes too and reads the same.
 * (It may take more: it does not look at commas and words inside nested values.) */
static void test_random_broken(void **state)
{
    static const char bytes[] = "\"\\{}[],: \n\x01n0u";
    struct buf b;
    char got[4096];
    unsigned taken = 0, refused = 0;
    (void)state;
    buf_init(&b, 1 << 20);
    for (unsigned round = 0; round < 6000; round++) {
        struct json *doc = NULL;
        seed = round + 1000000;
        buf_clear(&b);
        assert_int_equal(buf_puts(&b, S("{\"k\":")), OK);
        grow(&b, 1);
        assert_int_equal(buf_puts(&b, S("}")), OK);
        b.p[dice((unsigned)b.len)] = bytes[dice(sizeof bytes - 1)];
        bool good = json_parse(buf_slice(&b), &doc) == OK;
        if (good && json_type(json_root(doc)) == JSON_OBJECT) {
            taken++;
            compare(buf_slice(&b), json_root(doc));
        } else {
            refused++;
            walk(buf_slice(&b), got, sizeof got);
        }
        json_free(doc);
    }
    assert_true(taken > 100 && refused > 100); /* both sides have been tried */
    buf_free(&b);
}

/* The same value moved over all offsets of a block, and cut at every byte. */
static void test_block_edges(void **state)
{
    static const char value[] =
        "{\"k\\\\\":[\"a\\\"\\\\\\\\\\\"]}\",{\"\\u00e9\":\"[\"}],\"e\":\"\\\\\\\\\\\\\"}";
    char text[400];
    (void)state;
    for (size_t pad = 0; pad < 200; pad++) {
        size_t n = 0;
        memcpy(text, "{\"v\":", 5);
        memset(text + 5, ' ', pad);
        n = 5 + pad;
        memcpy(text + n, value, sizeof value - 1);
        n += sizeof value - 1;
        text[n] = '}';
        struct json_scan s;
        struct slice key;
        struct span v;
        json_scan_init(&s, (struct slice){text, n + 1});
        assert_int_equal(json_scan_next(&s, &key, &v), OK);
        assert_int_equal(v.from, 5 + pad);
        assert_int_equal(v.to, n);
        assert_int_equal(json_scan_next(&s, &key, &v), ERR_NOTFOUND);
        for (size_t cut = 0; cut <= n; cut++) {
            char *heap = mem_slicedup((struct slice){text, cut}); /* so that ASan sees the edge */
            json_scan_init(&s, (struct slice){heap, cut});
            enum err e = json_scan_next(&s, &key, &v);
            assert_int_equal(e, cut < n ? ERR_SYNTAX : OK);
            if (e == OK)
                assert_int_equal(json_scan_next(&s, &key, &v), ERR_SYNTAX);
            mem_free(heap);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walk),        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_text),        cmocka_unit_test(test_text_truncated),
        cmocka_unit_test(test_key_is),      cmocka_unit_test(test_list),
        cmocka_unit_test(test_member),      cmocka_unit_test(test_random),
        cmocka_unit_test(test_members),     cmocka_unit_test(test_each),
        cmocka_unit_test(test_plain_ends),  cmocka_unit_test(test_random_broken),
        cmocka_unit_test(test_block_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
