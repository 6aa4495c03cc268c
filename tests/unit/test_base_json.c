/* links: base */
/* JSON documents and the writer. */
#include "base/base.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void faults_from_now(uint64_t nth)
{
    fault_counter = 0;
    fault_target = nth;
}

static struct json *parse(const char *text)
{
    struct json *doc = NULL;

    assert_int_equal(json_parse(slice_of(text), &doc), OK);
    assert_non_null(doc);
    return doc;
}

static void test_refused(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "}",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "[1 2]",
        "'a'",
        "nul",
        "True",
        "01",
        "1.",
        "+1",
        "NaN",
        "1 2",
        "[1]x",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\n\"",
        "\"\xff\"",
        "\"\xc0\x80\"",
        "{\"a\"}",
        "{\"a\":}",
        "// c\n1",
        "/* c */1",
        "[",
        "1e999",
        "\xef\xbb\xbf{}",
    };
    struct json *doc;

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        doc = (struct json *)(void *)&doc;
        assert_int_equal(json_parse(slice_of(bad[i]), &doc), ERR_SYNTAX);
        assert_null(doc);
    }
    assert_int_equal(json_parse((struct slice){NULL, 0}, &doc), ERR_SYNTAX);
    assert_int_equal(json_parse((struct slice){"1\0", 2}, &doc), ERR_SYNTAX);
    json_free(NULL);
}

static void test_depth(void **state)
{
    char text[400];
    struct json *doc;

    (void)state;
    for (size_t depth = 62; depth <= 67; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        enum err e = json_parse((struct slice){text, 2 * depth}, &doc);
        assert_int_equal(e, depth <= JSON_DEPTH ? OK : ERR_SYNTAX);
        json_free(doc);
    }
    /* brackets inside strings do not count, nor do those that were closed again */
    memset(text, '[', 100);
    text[0] = text[99] = '"';
    assert_int_equal(json_parse((struct slice){text, 100}, &doc), OK);
    json_free(doc);
    doc = parse(
        "[\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\\\"]");
    assert_int_equal(json_len(json_root(doc)), 1);
    json_free(doc);
}

static void test_tree(void **state)
{
    struct json *doc = parse("{\"a\":[1,{\"b\":[true,null,-1.5e3]},[],\"x\"],\"c\":{},\"\":0,"
                             "\"e\":\"\\u00e9\\u0000\\ud83d\\ude00\",\"a\":2}");
    const struct json_val *root = json_root(doc), *a = json_get(root, "a"), *v;
    struct slice s;
    double f;
    bool yes;

    (void)state;
    assert_int_equal(json_type(root), JSON_OBJECT);
    assert_int_equal(json_len(root), 5);
    assert_int_equal(json_type(a), JSON_ARRAY); /* of equal keys the first */
    assert_int_equal(json_len(a), 4);
    assert_int_equal(json_type(json_at(a, 0)), JSON_NUMBER);
    assert_null(json_at(a, 4));
    assert_int_equal(json_len(json_at(a, 2)), 0);
    assert_null(json_at(json_at(a, 2), 0));
    v = json_get(json_at(a, 1), "b");
    assert_true(json_bool(json_at(v, 0), &yes) && yes);
    assert_int_equal(json_type(json_at(v, 1)), JSON_NULL);
    assert_true(json_f64(json_at(v, 2), &f) && f == -1500);
    assert_true(json_str(json_at(a, 3), &s) && slice_eq(s, S("x")));
    assert_int_equal(json_type(json_get(root, "c")), JSON_OBJECT);
    assert_int_equal(json_get_i64(root, "", 7), 0);
    assert_true(json_str(json_get(root, "e"), &s));
    assert_true(slice_eq(s, S("\xc3\xa9\0\xf0\x9f\x98\x80")));
    json_free(doc);
}

static void test_absent(void **state)
{
    struct json *doc = parse("{\"s\":\"x\",\"n\":1,\"b\":false,\"z\":null}");
    const struct json_val *root = json_root(doc);
    const struct json_val *none = json_get(json_at(json_get(root, "no"), 3), "such");
    struct slice s = S("old");
    int64_t i = 42;
    double f = 42;
    bool b = true;

    (void)state;
    assert_null(none);
    assert_null(json_root(NULL));
    assert_int_equal(json_type(none), JSON_NONE);
    assert_int_equal(json_len(none), 0);
    assert_false(json_member(none, 0, NULL, NULL));
    assert_false(json_str(none, &s) || json_i64(none, &i) || json_f64(none, &f));
    assert_false(json_bool(none, &b));
    assert_false(json_i64(json_get(root, "s"), &i) || json_f64(json_get(root, "s"), &f));
    assert_false(json_str(json_get(root, "n"), &s) || json_bool(json_get(root, "n"), &b));
    assert_null(json_get(json_get(root, "s"), "x"));
    assert_null(json_at(root, 0)); /* an object is no array */
    assert_int_equal(json_len(json_get(root, "s")), 0);
    assert_true(slice_eq(s, S("old")) && i == 42 && f == 42 && b);
    assert_true(slice_eq(json_get_str(root, "s"), S("x")));
    assert_int_equal(json_get_str(root, "n").n, 0);
    assert_int_equal(json_get_i64(root, "n", 9), 1);
    assert_int_equal(json_get_i64(root, "s", 9), 9);
    assert_false(json_get_bool(root, "b", true));
    assert_true(json_get_bool(root, "z", true));
    json_free(doc);
}

static void test_numbers(void **state)
{
    static const struct {
        const char *s;
        bool whole;
        int64_t i;
        double f;
    } rows[] = {
        {"0", true, 0, 0},
        {"-0", true, 0, 0},
        {"-1", true, -1, -1},
        {"1.0", true, 1, 1},
        {"1e3", true, 1000, 1000},
        {"1.5", false, 0, 1.5},
        {"9223372036854775807", true, INT64_MAX, 9223372036854775807.0},
        {"9223372036854775808", false, 0, 9223372036854775808.0},
        {"-9223372036854775808", true, INT64_MIN, -9223372036854775808.0},
        {"-9223372036854775809", false, 0, -9223372036854775809.0},
        {"18446744073709551615", false, 0, 18446744073709551615.0},
        {"18446744073709551616", false, 0, 18446744073709551616.0},
        {"1e16", false, 0, 1e16},
        {"1e300", false, 0, 1e300},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct json *doc = parse(rows[i].s);
        int64_t n = 0;
        double f = NAN;
        assert_int_equal(json_i64(json_root(doc), &n), rows[i].whole);
        assert_true(n == rows[i].i);
        assert_true(json_f64(json_root(doc), &f));
        assert_true(f == rows[i].f);
        json_free(doc);
    }
}

/* Any element of a large array of arrays is found at once; the sum of all indexes proves the order.
 */
static void test_large(void **state)
{
    enum { N = 200000 };
    struct buf b;
    struct json *doc;
    struct slice key;
    const struct json_val *v;
    size_t n = 0;

    (void)state;
    buf_init(&b, 32 << 20);
    assert_int_equal(buf_puts(&b, S("{\"list\":[")), OK);
    for (int i = 0; i < N; i++)
        assert_int_equal(buf_printf(&b, "%s[%d]", i > 0 ? "," : "", i), OK);
    assert_int_equal(buf_puts(&b, S("],\"map\":{")), OK);
    for (int i = 0; i < N; i++)
        assert_int_equal(buf_printf(&b, "%s\"%d\":{\"i\":%d}", i > 0 ? "," : "", i, i), OK);
    assert_int_equal(buf_puts(&b, S("}}")), OK);
    assert_int_equal(json_parse(buf_slice(&b), &doc), OK);
    buf_free(&b); /* the document borrows nothing */
    const struct json_val *list = json_get(json_root(doc), "list");
    for (size_t i = N; i-- > 0;) {
        int64_t got = -1;
        assert_true(json_i64(json_at(json_at(list, i), 0), &got));
        n += (size_t)got == i;
    }
    const struct json_val *map = json_get(json_root(doc), "map");
    for (size_t i = 0; json_member(map, i, &key, &v); i++) {
        uint64_t name = 0;
        assert_true(text_u64(key, &name));
        n += name == i && json_get_i64(v, "i", -1) == (int64_t)i;
    }
    assert_int_equal(n, 2 * N);
    json_free(doc);
}

static void refuse_each(struct slice text, uint64_t least)
{
    struct json *doc;
    uint64_t nth = 1;

    for (;; nth++) {
        faults_from_now(nth);
        enum err e = json_parse(text, &doc);
        if (e == OK)
            break;
        assert_int_equal(e, ERR_NOMEM);
        assert_null(doc);
        assert_true(nth < 20);
    }
    faults_from_now(0);
    assert_true(nth >= least);
    json_free(doc);
}

static void test_parse_faults(void **state)
{
    static char large[8192] = "[1";

    (void)state;
    refuse_each(S("{\"a\":[1,2,{\"b\":\"\\n\"}]}"), 3); /* text, values: each was refused once */
    memset(large + 2, ' ', sizeof(large) - 3);
    large[sizeof(large) - 2] = ']';
    refuse_each(slice_of(large), 4); /* and yyjson's document, which is on the stack else */
}

/* What yyjson needs at most is known beforehand: short texts of many values never run out of it. */
static void test_parse_dense(void **state)
{
    static char text[2048];

    (void)state;
    for (size_t n = 1; n < sizeof(text) / 2; n++) {
        struct json *doc;
        for (size_t i = 0; i < n; i++) {
            text[2 * i] = i == 0 ? '[' : ',';
            text[2 * i + 1] = '1';
        }
        text[2 * n] = ']';
        assert_int_equal(json_parse((struct slice){text, 2 * n + 1}, &doc), OK);
        assert_int_equal(json_len(json_root(doc)), n);
        json_free(doc);
    }
}

/* ---- writer --------------------------------------------------------------------------------- */

static void test_writer(void **state)
{
    struct buf b;
    struct jw w;

    (void)state;
    buf_init(&b, 1000);
    jw_init(&w, &b);
    jw_obj(&w);
    jw_kstr(&w, "s", S("x"));
    jw_kcstr(&w, "none", NULL);
    jw_ki64(&w, "min", INT64_MIN);
    jw_ki64(&w, "max", INT64_MAX);
    jw_kf64(&w, "f", 0.25);
    jw_kf64(&w, "nan", NAN);
    jw_kbool(&w, "t", true);
    jw_ktime(&w, "at", 1);
    jw_ktime(&w, "never", 0);
    jw_key(&w, "list");
    jw_arr(&w);
    jw_null(&w);
    jw_bool(&w, false);
    jw_arr(&w);
    jw_end_arr(&w);
    jw_obj(&w);
    jw_end_obj(&w);
    jw_raw(&w, S("{\"raw\":1}"));
    jw_raw(&w, S(""));
    jw_cstr(&w, "");
    jw_end_arr(&w);
    jw_ki64(&w, "last", 0);
    jw_end_obj(&w);
    assert_int_equal(w.err, OK);
    assert_int_equal(w.depth, 0);
    assert_true(slice_eq(
        buf_slice(&b),
        S("{\"s\":\"x\",\"none\":null,\"min\":-9223372036854775808,\"max\":9223372036854775807,"
          "\"f\":0.25,\"nan\":null,\"t\":true,\"at\":\"1970-01-01T00:00:00.001Z\",\"never\":null,"
          "\"list\":[null,false,[],{},{\"raw\":1},null,\"\"],\"last\":0}")));
    buf_free(&b);
}

static void test_writer_limit(void **state)
{
    struct buf b;
    struct jw w;

    (void)state;
    buf_init(&b, 10);
    jw_init(&w, &b);
    jw_obj(&w);
    jw_kstr(&w, "key", S("too long"));
    assert_int_equal(w.err, ERR_LIMIT);
    jw_kbool(&w, "b", true); /* would fit, but the error sticks */
    jw_end_obj(&w);
    assert_int_equal(w.err, ERR_LIMIT);
    assert_true(slice_eq(buf_slice(&b), S("{\"key\":")));
    assert_int_equal(w.depth, 0);
    buf_free(&b);
}

static void test_writer_depth(void **state)
{
    struct buf b;
    struct jw w;
    struct json *doc;

    (void)state;
    buf_init(&b, 1000);
    jw_init(&w, &b);
    for (int i = 0; i < JSON_DEPTH - 1; i++)
        jw_arr(&w);
    jw_i64(&w, 1);
    jw_i64(&w, 2);
    for (int i = 0; i < JSON_DEPTH - 1; i++)
        jw_end_arr(&w);
    assert_int_equal(w.err, OK);
    assert_int_equal(json_parse(buf_slice(&b), &doc), OK);
    json_free(doc);
    buf_free(&b);
}

static void test_escape(void **state)
{
    static const struct {
        struct slice in;
        const char *out;
    } rows[] = {
        {{"", 0}, "\"\""},
        {{NULL, 0}, "\"\""},
        {{"a\"b\\c/", 6}, "\"a\\\"b\\\\c/\""},
        {{"\n\r\t\b\x1f\x7f", 6}, "\"\\n\\r\\t\\u0008\\u001f\x7f\""},
        {{"\0", 1}, "\"\\u0000\""},
        {{"\xc3\xa9", 2}, "\"\xc3\xa9\""},
        {{"\xff", 1}, "\"\xef\xbf\xbd\""},
        {{"a\xc3", 2}, "\"a\xef\xbf\xbd\""},
        {{"\xed\xa0\x80", 3}, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    for (size_t i = 0; i < COUNT(rows); i++) {
        buf_clear(&b);
        assert_int_equal(json_escape(&b, rows[i].in), OK);
        assert_true(slice_eq(buf_slice(&b), slice_of(rows[i].out)));
    }
    buf_free(&b);
    buf_init(&b, 8);
    assert_int_equal(buf_puts(&b, S("ab")), OK);
    assert_int_equal(json_escape(&b, S("abcde")), ERR_LIMIT);
    assert_true(slice_eq(buf_slice(&b), S("ab"))); /* no half string */
    assert_int_equal(json_escape(&b, S("abcd")), OK);
    buf_free(&b);
}

/* Every byte pair written and read back is the same when it was UTF-8. */
static void test_escape_round_trip(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    for (unsigned v = 0; v < 65536; v++) {
        char raw[2] = {(char)(v >> 8), (char)(v & 0xff)};
        struct slice in = {raw, 2}, out;
        struct json *doc;
        buf_clear(&b);
        assert_int_equal(json_escape(&b, in), OK);
        assert_int_equal(json_parse(buf_slice(&b), &doc), OK);
        assert_true(json_str(json_root(doc), &out));
        bool valid = text_utf8_at(in) == 2 || (raw[0] >= 0 && raw[1] >= 0);
        assert_int_equal(slice_eq(in, out), valid);
        json_free(doc);
    }
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_absent),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_parse_faults),
        cmocka_unit_test(test_parse_dense),
        cmocka_unit_test(test_writer),
        cmocka_unit_test(test_writer_limit),
        cmocka_unit_test(test_writer_depth),
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_escape_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
