/* links: base */
/* Numbers, durations, dates, encodings, identifiers. */
#include "base/base.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void test_integers(void **state)
{
    static const struct {
        const char *s;
        bool u_ok, i_ok;
        uint64_t u;
        int64_t i;
    } rows[] = {
        {"0", true, true, 0, 0},
        {"007", true, true, 7, 7},
        {"18446744073709551615", true, false, UINT64_MAX, 0},
        {"18446744073709551616", false, false, 0, 0},
        {"99999999999999999999", false, false, 0, 0},
        {"9223372036854775807", true, true, INT64_MAX, INT64_MAX},
        {"9223372036854775808", true, false, UINT64_C(9223372036854775808), 0},
        {"-9223372036854775808", false, true, 0, INT64_MIN},
        {"-9223372036854775809", false, false, 0, 0},
        {"-0", false, true, 0, 0},
        {"-1", false, true, 0, -1},
        {"+1", false, false, 0, 0},
        {"", false, false, 0, 0},
        {"-", false, false, 0, 0},
        {"--1", false, false, 0, 0},
        {" 1", false, false, 0, 0},
        {"1 ", false, false, 0, 0},
        {"1x", false, false, 0, 0},
        {"0x1", false, false, 0, 0},
        {"1.0", false, false, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t u = 42;
        int64_t n = 42;
        assert_int_equal(text_u64(slice_of(rows[i].s), &u), rows[i].u_ok);
        assert_true(u == (rows[i].u_ok ? rows[i].u : 42)); /* a failure leaves it alone */
        assert_int_equal(text_i64(slice_of(rows[i].s), &n), rows[i].i_ok);
        assert_true(n == (rows[i].i_ok ? rows[i].i : 42));
    }
    uint64_t u;
    assert_false(text_u64((struct slice){"1\0", 2}, &u));
    assert_false(text_u64((struct slice){NULL, 0}, &u));
}

static void test_from_u64(void **state)
{
    static const uint64_t values[] = {0, 9, 10, 12345, UINT64_MAX};
    static const char *const texts[] = {"0", "9", "10", "12345", "18446744073709551615"};

    (void)state;
    for (size_t i = 0; i < COUNT(values); i++) {
        char out[TEXT_U64_MAX];
        assert_int_equal(text_from_u64(values[i], out), strlen(texts[i]));
        assert_string_equal(out, texts[i]);
    }
}

static void test_floats(void **state)
{
    static const struct {
        const char *s;
        double v;
    } good[] = {
        {"0", 0},           {"-0", -0.0},
        {"1.5", 1.5},       {"-2.5e-3", -0.0025},
        {"1e3", 1000},      {"1E+3", 1000},
        {"0.1", 0.1},       {"18446744073709551616", 18446744073709551616.0},
        {"5e-324", 5e-324}, {"1.7976931348623157e308", DBL_MAX},
        {"1e-400", 0},      {"123456789012345678901234567890", 123456789012345678901234567890.0},
    };
    static const char *const bad[] = {
        "",    " 1",  "1 ",  "+1",  ".5",  "1.",    "01",  "1e",   "1e400", "-1e999",
        "inf", "nan", "NaN", "0x1", "1,5", "1.5.5", "--1", "1e5x", "1_000", "-",
    };
    double v = 42;

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_true(text_f64(slice_of(good[i].s), &v));
        assert_true(v == good[i].v);
    }
    v = 42;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_false(text_f64(slice_of(bad[i]), &v));
        assert_true(v == 42);
    }
    assert_false(text_f64((struct slice){"1\0", 2}, &v));
    assert_false(text_f64((struct slice){"12\0"
                                         "34",
                                         5},
                          &v));
}

static void test_from_f64(void **state)
{
    static const struct {
        double v;
        const char *s;
    } rows[] = {
        {0.1, "0.1"},
        {1, "1.0"},
        {-2.5, "-2.5"},
        {1e300, "1e300"},
        {5e-324, "5e-324"},
        {INFINITY, "null"},
        {NAN, "null"},
        {0.000001, "0.000001"},
        {DBL_MAX, "1.7976931348623157e308"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char out[TEXT_F64_MAX];
        assert_int_equal(text_from_f64(rows[i].v, out), strlen(rows[i].s));
        assert_string_equal(out, rows[i].s);
    }
}

static void test_durations(void **state)
{
    static const struct {
        const char *s;
        int64_t unit, ms; /* -1: refused */
    } rows[] = {
        {"250ms", 1000, 250},
        {"10s", 1, 10000},
        {"5m", 1, 300000},
        {"2h", 1, 7200000},
        {"30d", 1, INT64_C(2592000000)},
        {"7", 1000, 7000},
        {"7", 1, 7},
        {"0", 1000, 0},
        {"106751991167d", 1, INT64_C(106751991167) * 86400000},
        {"106751991168d", 1, -1},
        {"9223372036854775808ms", 1, -1},
        {"18446744073709551615", 60000, -1},
        {"s", 1, -1},
        {"ms", 1, -1},
        {"", 1, -1},
        {"-5s", 1, -1},
        {"5 s", 1, -1},
        {"5sec", 1, -1},
        {"1.5s", 1, -1},
        {"5ss", 1, -1},
        {"1h30m", 1, -1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t ms = -1;
        bool ok = text_duration(slice_of(rows[i].s), rows[i].unit, &ms);
        assert_int_equal(ok, rows[i].ms >= 0);
        assert_true(ms == rows[i].ms);
    }
}

static void test_sizes(void **state)
{
    static const struct {
        const char *s;
        bool ok;
        uint64_t n;
    } rows[] = {
        {"0", true, 0},
        {"64k", true, 65536},
        {"32m", true, 32 << 20},
        {"1g", true, 1 << 30},
        {"1G", true, 1 << 30},
        {"123", true, 123},
        {"17179869183g", true, UINT64_C(17179869183) << 30},
        {"17179869184g", false, 0},
        {"k", false, 0},
        {"", false, 0},
        {"1kb", false, 0},
        {"1 k", false, 0},
        {"-1k", false, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint64_t n = 0;
        assert_int_equal(text_size(slice_of(rows[i].s), &n), rows[i].ok);
        assert_true(n == rows[i].n);
    }
}

/* ---- dates ---------------------------------------------------------------------------------- */

static void test_rfc3339(void **state)
{
    static const struct {
        const char *s;
        int64_t ms;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:00.001Z", 1},
        {"1969-12-31T23:59:59.999Z", -1},
        {"2026-08-22T10:15:00Z", INT64_C(1787393700000)},
        {"2026-08-22t10:15:00z", INT64_C(1787393700000)},
        {"2026-08-22 10:15:00Z", INT64_C(1787393700000)},
        {"2026-08-22T12:15:00+02:00", INT64_C(1787393700000)},
        {"2026-08-22T04:45:00-05:30", INT64_C(1787393700000)},
        {"2026-08-22T10:15:00.123456789Z", INT64_C(1787393700123)},
        {"2026-08-22T10:15:00.1Z", INT64_C(1787393700100)},
        {"2024-02-29T00:00:00Z", INT64_C(1709164800000)},
        {"2000-02-29T00:00:00Z", INT64_C(951782400000)},
        {"2016-12-31T23:59:60Z", INT64_C(1483228800000)},
        {"0000-01-01T00:00:00Z", INT64_C(-62167219200000)},
        {"9999-12-31T23:59:59.999Z", INT64_C(253402300799999)},
    };
    static const char *const bad[] = {
        "",
        "2026-08-22",
        "2026-08-22T10:15:00",
        "2026-08-22T10:15Z",
        "2026-8-22T10:15:00Z",
        "2026-13-22T10:15:00Z",
        "2026-00-22T10:15:00Z",
        "2026-08-00T10:15:00Z",
        "2026-02-29T10:15:00Z",
        "1900-02-29T10:15:00Z",
        "2026-04-31T10:15:00Z",
        "2026-08-22T24:00:00Z",
        "2026-08-22T10:60:00Z",
        "2026-08-22T10:15:61Z",
        "2026-08-22T10:15:00.Z",
        "2026-08-22T10:15:00+0200",
        "2026-08-22T10:15:00+24:00",
        "2026-08-22T10:15:00+02:60",
        "2026-08-22T10:15:00Zx",
        " 2026-08-22T10:15:00Z",
        "2026-08-22x10:15:00Z",
        "-026-08-22T10:15:00Z",
    };
    int64_t ms = 0;

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_true(text_rfc3339(slice_of(good[i].s), &ms));
        assert_true(ms == good[i].ms);
    }
    ms = 42;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_false(text_rfc3339(slice_of(bad[i]), &ms));
        assert_int_equal(ms, 42);
    }
    assert_false(text_rfc3339((struct slice){"2026-08-22T10:15:00\0", 20}, &ms));
}

static void test_from_time(void **state)
{
    char out[TEXT_TIME_MAX];
    int64_t back;

    (void)state;
    assert_int_equal(text_from_time(INT64_C(1787393700123), out), 24);
    assert_string_equal(out, "2026-08-22T10:15:00.123Z");
    text_from_time(-1, out);
    assert_string_equal(out, "1969-12-31T23:59:59.999Z");
    text_from_time(INT64_MAX, out);
    assert_string_equal(out, "9999-12-31T23:59:59.999Z");
    text_from_time(INT64_MIN, out);
    assert_string_equal(out, "0000-01-01T00:00:00.000Z");
    /* ten thousand years in steps that meet every day of the year and any time of day */
    for (int64_t ms = INT64_C(-62167219200000); ms < INT64_C(253402300800000);
         ms += INT64_C(11) * 86400000 + 1234567) {
        size_t n = text_from_time(ms, out);
        assert_true(text_rfc3339((struct slice){out, n}, &back));
        assert_true(back == ms);
    }
}

static void test_http_date(void **state)
{
    static const char *const bad[] = {
        "",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sux, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sun,",
        "Sun, 06 ",
        "Sun, 06 No",
    };
    int64_t ms = 42;

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_false(text_http_date(slice_of(bad[i]), &ms));
        assert_int_equal(ms, 42);
    }
    assert_true(text_http_date(S("Sun, 06 Nov 1994 08:49:37 GMT"), &ms));
    assert_true(ms == INT64_C(784111777000));
    assert_true(text_http_date(S("Thu, 01 Jan 1970 00:00:00 GMT"), &ms));
    assert_int_equal(ms, 0);
    assert_true(text_http_date(S("Sat, 31 Dec 2016 23:59:60 GMT"), &ms));
    assert_true(ms == INT64_C(1483228800000));
}

/* ---- encodings ------------------------------------------------------------------------------ */

static void test_base64(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *std, *url;
    } rows[] = {
        {"", 0, "", ""},
        {"f", 1, "Zg==", "Zg"},
        {"fo", 2, "Zm8=", "Zm8"},
        {"foo", 3, "Zm9v", "Zm9v"},
        {"foobar", 6, "Zm9vYmFy", "Zm9vYmFy"},
        {"\xfb\xff\xfe\x00", 4, "+//+AA==", "-__-AA"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf b;
        buf_init(&b, 100);
        assert_int_equal(text_base64(&b, rows[i].bytes, rows[i].n, false), OK);
        assert_true(slice_eq(buf_slice(&b), slice_of(rows[i].std)));
        buf_clear(&b);
        assert_int_equal(text_base64(&b, rows[i].bytes, rows[i].n, true), OK);
        assert_true(slice_eq(buf_slice(&b), slice_of(rows[i].url)));
        buf_clear(&b);
        assert_int_equal(buf_puts(&b, S("x")), OK);
        assert_int_equal(text_unbase64(&b, slice_of(rows[i].std), false), OK);
        assert_int_equal(text_unbase64(&b, slice_of(rows[i].url), true), OK);
        assert_int_equal(b.len, 1 + 2 * rows[i].n); /* appended, not overwritten */
        assert_memory_equal(b.p + 1, rows[i].bytes, rows[i].n);
        assert_memory_equal(b.p + 1 + rows[i].n, rows[i].bytes, rows[i].n);
        buf_free(&b);
    }
}

static void test_base64_bad(void **state)
{
    static const struct {
        const char *s;
        bool url;
    } rows[] = {
        {"Zg", false},
        {"Zg=", false},
        {"Zh==", false},
        {"Z===", false},
        {"====", false},
        {"Zm9", false},
        {"Zm9=", false},
        {"Z", true},
        {"Zg==", true},
        {"Zh", true},
        {"Zm9v\n", true},
        {"Zm 9", false},
        {"-__-", false},
        {"+//+", true},
        {"Zg==Zg==", false},
        {"=Zg=", false},
        {"\xff\xff\xff\xff", true},
    };
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(text_unbase64(&b, slice_of(rows[i].s), rows[i].url), ERR_SYNTAX);
        assert_int_equal(b.len, 0);
    }
    buf_free(&b);
    buf_init(&b, 3);
    assert_int_equal(text_base64(&b, "abc", 3, true), ERR_LIMIT);
    assert_int_equal(text_unbase64(&b, S("Zm9vYmFy"), true), ERR_LIMIT);
    assert_int_equal(text_unbase64(&b, S("Zm9v"), true), OK);
    assert_true(slice_eq(buf_slice(&b), S("foo")));
    buf_free(&b);
}

static void test_hex(void **state)
{
    uint8_t bytes[4] = {0x00, 0x9f, 0xa0, 0xff};
    uint8_t back[4] = {1, 1, 1, 1};
    char text[9];

    (void)state;
    text_hex(text, bytes, 4);
    assert_string_equal(text, "009fa0ff");
    assert_false(text_unhex(back, 4, S("009fa0f")));
    assert_false(text_unhex(back, 4, S("009fa0ff0")));
    assert_false(text_unhex(back, 4, S("009fa0fg")));
    assert_false(text_unhex(back, 4, S("009fa0ff00")));
    assert_int_equal(back[0], 1);
    assert_true(text_unhex(back, 4, S("009FA0fF")));
    assert_memory_equal(back, bytes, 4);
    assert_true(text_unhex(NULL, 0, S("")));
}

/* All pairs of digits at each place, against the other way to print them. */
static void test_hex64(void **state)
{
    char text[17], out[18];

    (void)state;
    for (uint64_t i = 0; i < 256 * 8; i++) {
        uint64_t v = (i & 255) << (i / 256 * 8) | (i % 3 == 0 ? UINT64_C(0x9ae1bcd27f3805f6) : 0);
        uint8_t bytes[8];
        for (int k = 0; k < 8; k++)
            bytes[k] = (uint8_t)(v >> (56 - 8 * k));
        text_hex(text, bytes, sizeof bytes);
        memset(out, '#', sizeof out);
        text_hex64(out + 1, v);
        assert_memory_equal(out + 1, text, 16);
        assert_true(out[0] == '#' && out[17] == '#');
    }
}

static void test_uuid(void **state)
{
    static const uint8_t random[10] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t none[10];
    char out[TEXT_UUID_MAX];

    (void)state;
    text_uuid7(out, INT64_C(0x017f22e279b0), none); /* the time of RFC 9562, A.6 */
    assert_string_equal(out, "017f22e2-79b0-7000-8000-000000000000");
    text_uuid7(out, INT64_C(0x017f22e279b0), random);
    assert_string_equal(out, "017f22e2-79b0-7fff-bfff-ffffffffffff");
    text_uuid7(out, INT64_C(0x7017f22e279b0),
               (const uint8_t *)"\xa1\xb2\xc3\xd4\xe5\xf6\x07\x18\x29\x3a");
    assert_string_equal(out, "017f22e2-79b0-71b2-83d4-e5f60718293a"); /* 48 bits of the time */
}

/* ---- words ---------------------------------------------------------------------------------- */

static void test_closest(void **state)
{
    static const char *const words[] = {"listen", "state_dir", "log_level", "log", "a"};
    static const struct {
        const char *word, *best;
    } rows[] = {
        {"lisen", "listen"},
        {"listne", "listen"},
        {"log_levle", "log_level"},
        {"state-dir", "state_dir"},
        {"listen", "listen"},
        {"completely", NULL},
        {"", NULL},
        {"b", NULL},
        {"lgo", "log"},
        {"xyz", NULL},
    };
    char long_word[200];

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *best = text_closest(slice_of(rows[i].word), words, COUNT(words));
        if (rows[i].best == NULL)
            assert_null(best);
        else
            assert_string_equal(best, rows[i].best);
    }
    memset(long_word, 'a', sizeof(long_word));
    assert_null(text_closest((struct slice){long_word, sizeof(long_word)}, words, COUNT(words)));
    assert_null(text_closest(S("a"), NULL, 0));
}

static void test_copies(void **state)
{
    char out[6] = "?????";

    (void)state;
    text_copy(out, sizeof(out), S("hello world"));
    assert_string_equal(out, "hello");
    text_copy(out, sizeof(out), S("hi"));
    assert_string_equal(out, "hi");
    text_copy(out, 1, S("hi"));
    assert_string_equal(out, "");
    text_copy(out, 5, S("abc\xc3\xa9")); /* would cut the e-acute in half */
    assert_string_equal(out, "abc");
    text_copy(out, 4, S("\xf0\x9f\x98\x80"));
    assert_string_equal(out, "");
    text_copy(out, 6, S("\x80\x80\x80\x80\x80\x80\x80\x80")); /* no UTF-8: some of it */
    assert_int_equal(strlen(out), 2);
    text_copy(out, sizeof(out), (struct slice){NULL, 0});
    assert_string_equal(out, "");
    assert_int_equal(text_format(out, sizeof(out), "%d", 12345678), 5);
    assert_string_equal(out, "12345");
    assert_int_equal(text_format(out, sizeof(out), "%d", 1), 1);
    assert_int_equal(text_format(out, 1, "%d", 1), 0);
    assert_string_equal(out, "");
}

static void test_utf8(void **state)
{
    static const struct {
        const char *s;
        size_t at;
        bool ok;
    } rows[] = {
        {"", 0, true},
        {"a", 1, true},
        {"\xc3\xa9", 2, true},
        {"\xe2\x82\xac", 3, true},
        {"\xf0\x9f\x98\x80", 4, true},
        {"\xf4\x8f\xbf\xbf", 4, true},  /* U+10FFFF */
        {"\xf4\x90\x80\x80", 0, false}, /* beyond */
        {"\xed\x9f\xbf", 3, true},      /* U+D7FF */
        {"\xed\xa0\x80", 0, false},     /* a surrogate */
        {"\xc0\x80", 0, false},         /* overlong */
        {"\xc1\xbf", 0, false},         /* overlong */
        {"\xe0\x9f\xbf", 0, false},     /* overlong */
        {"\xe0\xa0\x80", 3, true},      /* U+0800 */
        {"\xf0\x8f\xbf\xbf", 0, false}, /* overlong */
        {"\xf0\x90\x80\x80", 4, true},  /* U+10000 */
        {"\x80", 0, false},
        {"\xc3", 0, false},
        {"\xe2\x82", 0, false},
        {"\xf0\x9f\x98", 0, false},
        {"\xc3(", 0, false},
        {"\xe2\x28\xa1", 0, false},
        {"\xff", 0, false},
        {"a\xff", 1, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(text_utf8_at(slice_of(rows[i].s)), rows[i].at);
        assert_int_equal(text_is_utf8(slice_of(rows[i].s)), rows[i].ok);
    }
    assert_false(text_is_utf8((struct slice){"a\0b", 3}));
    assert_int_equal(text_utf8_at((struct slice){"\0", 1}), 1);
    assert_true(text_is_utf8((struct slice){NULL, 0}));
}

/* Each byte at each place of texts up to three words long. */
static void test_plain(void **state)
{
    char text[24];
    (void)state;
    assert_true(text_is_plain((struct slice){NULL, 0}));
    for (size_t n = 1; n <= sizeof text; n++) {
        for (size_t at = 0; at < n; at++) {
            memset(text, 'a', sizeof text);
            char *heap = mem_slicedup((struct slice){text, n});
            for (int c = 0; c < 256; c++) {
                heap[at] = (char)c;
                if (text_is_plain((struct slice){heap, n}) != (c > 0 && c < 0x80 && c != '\\'))
                    fail_msg("byte %d at %zu of %zu", c, at, n);
            }
            mem_free(heap);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),     cmocka_unit_test(test_integers),
        cmocka_unit_test(test_from_u64),  cmocka_unit_test(test_floats),
        cmocka_unit_test(test_from_f64),  cmocka_unit_test(test_durations),
        cmocka_unit_test(test_sizes),     cmocka_unit_test(test_rfc3339),
        cmocka_unit_test(test_from_time), cmocka_unit_test(test_http_date),
        cmocka_unit_test(test_base64),    cmocka_unit_test(test_base64_bad),
        cmocka_unit_test(test_hex),       cmocka_unit_test(test_hex64),
        cmocka_unit_test(test_uuid),      cmocka_unit_test(test_closest),
        cmocka_unit_test(test_copies),    cmocka_unit_test(test_utf8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
