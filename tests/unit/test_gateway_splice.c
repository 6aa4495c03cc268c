/* links: base config net http codec store accounts gateway */
/* Changing members of a body without printing the rest anew. */
#include "gateway/splice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* What is done to a body: "-KEY" drops, "=KEY VALUE" sets, "+KEY VALUE" adds, "!"
 * leaves only a and model; "|" parts them. */
static enum err spliced(const char *text, const char *what, struct buf *out)
{
    static const char *const kept[] = {"a", "model", NULL};
    struct splice s;
    struct slice rest = slice_of(what), word, key;
    splice_init(&s, slice_of(text));
    while (slice_cut(&rest, '|', &word)) {
        struct slice value = slice_sub(word, 1, word.n);
        (void)slice_cut(&value, ' ', &key);
        if (word.p[0] == '-')
            splice_drop(&s, key);
        else if (word.p[0] == '!')
            splice_keep(&s, kept);
        else if (word.p[0] == '=')
            splice_set(&s, key, value);
        else
            splice_add(&s, key, value);
    }
    return splice_write(&s, out);
}

static void test_table(void **state)
{
    static const struct {
        const char *text, *what, *want;
    } rows[] = {
        {"{\"a\":1}", "", "{\"a\":1}"},
        {"{\"a\":1,\"b\":2}", "=a 7", "{\"a\":7,\"b\":2}"},
        {"{\"a\":1,\"b\":2}", "=b \"x\"", "{\"a\":1,\"b\":\"x\"}"},
        {"{\"a\":1,\"b\":2}", "=c 3", "{\"c\":3,\"a\":1,\"b\":2}"},
        {"{\"a\":1,\"b\":2}", "-a", "{\"b\":2}"},
        {"{\"a\":1,\"b\":2}", "-b", "{\"a\":1}"},
        {"{\"a\":1,\"b\":2,\"c\":3}", "-b", "{\"a\":1,\"c\":3}"},
        {"{\"a\":1,\"b\":2,\"c\":3}", "-b|-c", "{\"a\":1}"},
        {"{\"a\":1,\"b\":2,\"c\":3}", "-c|-b", "{\"a\":1}"},
        {"{\"a\":1,\"b\":2,\"c\":3}", "-a|-b", "{\"c\":3}"},
        {"{\"a\":1,\"b\":2,\"c\":3}", "-a|-c", "{\"b\":2}"},
        {"{\"a\":1,\"b\":2,\"c\":3}", "-a|-b|-c", "{}"},
        {"{\"a\":1,\"b\":2}", "-a|-b|+x 9", "{\"x\":9}"},
        {"{\"a\":1,\"b\":2,\"c\":3}", "!", "{\"a\":1}"},
        {"{\"b\":2,\"mod\\u0065l\":3,\"b\":4}", "!|-b", "{\"mod\\u0065l\":3}"},
        {"{\"b\":2,\"a\":3}", "-a|!|+x 9", "{\"x\":9}"},
        {"{\"b\":2}", "!", "{}"},
        {"{\"a\":1,\"b\":2}", "-a|+x 9|+y 8", "{\"x\":9,\"y\":8,\"b\":2}"},
        {"{}", "+x 9", "{\"x\":9}"},
        {"{}", "-x", "{}"},
        {" { } ", "+x 9", " {\"x\":9 } "},
        {" {\n  \"a\" : 1 ,\n  \"b\" : 2\n}\n", "-a", " {\n  \"b\" : 2\n}\n"},
        {" {\n  \"a\" : 1 ,\n  \"b\" : 2\n}\n", "-b", " {\n  \"a\" : 1\n}\n"},
        {" {\n  \"a\" : 1 ,\n  \"b\" : 2\n}\n", "=b 3", " {\n  \"a\" : 1 ,\n  \"b\" : 3\n}\n"},
        {" {\n  \"a\" : 1\n}\n", "-a", " {\n}\n"},
        /* a comma, a brace, a quote in a string are nobody's */
        {"{\"s\":\"},{\\\",\\\"m\\\":1\",\"m\":2}", "=m 5",
         "{\"s\":\"},{\\\",\\\"m\\\":1\",\"m\":5}"},
        {"{\"s\":\"\\\\\",\"m\":2,\"t\":[{\"m\":3}]}", "-m", "{\"s\":\"\\\\\",\"t\":[{\"m\":3}]}"},
        {"{\"t\":{\"m\":3},\"m\":2}", "=m 1", "{\"t\":{\"m\":3},\"m\":1}"},
        /* a key in escapes is the same key, and one that stands twice goes twice */
        {"{\"mod\\u0065l\":\"x\",\"b\":1}", "=model \"y\"", "{\"mod\\u0065l\":\"y\",\"b\":1}"},
        {"{\"mod\\u0065l\":\"x\",\"b\":1}", "-model", "{\"b\":1}"},
        {"{\"a\":1,\"b\":2,\"a\":3}", "-a", "{\"b\":2}"},
        {"{\"a\":1,\"b\":2,\"a\":3}", "=a 4", "{\"a\":1,\"b\":2,\"a\":4}"},
        /* what is put into something that goes, goes with it */
        {"{\"a\":1,\"b\":2}", "=a 5|-a", "{\"b\":2}"},
        {"{\"a\":1,\"b\":2}", "-a|=a 5", "{\"b\":2}"},
        {"{\"a\":1,\"b\":2}", "=b 5|-b", "{\"a\":1}"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf out;
        buf_init(&out, 4096);
        assert_int_equal(spliced(rows[i].text, rows[i].what, &out), OK);
        assert_int_equal(buf_puts(&out, (struct slice){"", 1}), OK);
        assert_string_equal(out.p, rows[i].want);
        buf_free(&out);
    }
}

static void test_spans(void **state)
{
    struct slice text = S("{\"stream\":true,\"o\":{\"x\":1}}");
    struct splice s;
    struct buf out;
    (void)state;
    buf_init(&out, 4096);
    splice_init(&s, text);
    assert_true(splice_is_empty(&s));
    splice_put(&s, (struct span){20, 20}, S("\"y\":2,")); /* later places first */
    splice_put(&s, (struct span){1, 1}, S("\"z\":3,"));
    assert_false(splice_is_empty(&s));
    assert_int_equal(splice_write(&s, &out), OK);
    assert_true(slice_eq(buf_slice(&out), S("{\"z\":3,\"stream\":true,\"o\":{\"y\":2,\"x\":1}}")));
    buf_free(&out);
}

static void test_bounds(void **state)
{
    struct splice s;
    struct buf out;
    struct span v;
    (void)state;
    buf_init(&out, 16);
    assert_int_equal(buf_puts(&out, S("abc")), OK);
    splice_init(&s, S("{\"a\":1,\"b\":\"0123456789\"}"));
    splice_set(&s, S("a"), S("2"));
    assert_int_equal(splice_write(&s, &out), ERR_LIMIT);
    assert_int_equal(out.len, 3); /* nothing half */
    splice_init(&s, S("[1]"));
    splice_add(&s, S("a"), S("2"));
    assert_int_not_equal(splice_write(&s, &out), OK);
    splice_init(&s, S("{}"));
    for (int i = 0; i <= SPLICE_MAX; i++)
        splice_add(&s, S("a"), S("2"));
    assert_int_equal(splice_write(&s, &out), ERR_LIMIT);
    assert_false(splice_find(S("{\"aa\":1}"), S("a"), &v));
    assert_true(splice_find(S("{\"a\":1, \"a\": 22}"), S("a"), &v));
    assert_int_equal(v.to - v.from, 2);
    buf_free(&out);
}

/* Every subset of members of an object goes: what is left is an object of the others. */
static void test_subsets(void **state)
{
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    const char *text = "{ \"a\" : 0, \"b\":[1,2] ,\"c\":\"x,y\",\n\"d\":{\"a\":1},\"e\":null }";
    (void)state;
    for (unsigned set = 0; set < 32; set++) {
        struct splice s;
        struct buf out;
        struct json *doc = NULL;
        buf_init(&out, 4096);
        splice_init(&s, slice_of(text));
        for (unsigned i = 0; i < 5; i++)
            if (set & (1u << i))
                splice_drop(&s, slice_of(names[i]));
        assert_int_equal(splice_write(&s, &out), OK);
        assert_int_equal(json_parse(buf_slice(&out), &doc), OK);
        for (unsigned i = 0; i < 5; i++)
            assert_int_equal(json_get(json_root(doc), names[i]) == NULL, (set >> i) & 1);
        json_free(doc);
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_spans),
                                       cmocka_unit_test(test_bounds),
                                       cmocka_unit_test(test_subsets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
