/* links: base */
/* The log: both formats, hostile values, lines that are too long, descriptors that do not take
 * them. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int ends[2]; /* a pipe: the log writes to [1] */

static int64_t noon(void *arg)
{
    return *(int64_t *)arg;
}

static int64_t now = INT64_C(1787393700123);

static int set_up(void **state)
{
    (void)state;
    return pipe(ends) != 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0 ||
           fcntl(ends[1], F_SETFL, O_NONBLOCK) != 0;
}

static int tear_down(void **state)
{
    (void)state;
    log_set_level(LOG_OFF);
    return close(ends[0]) != 0 || close(ends[1]) != 0;
}

static void start(enum log_format format)
{
    log_init(ends[1], format, LOG_INFO, noon, &now);
}

/* All that was written since the last time. */
static struct slice written(void)
{
    static char out[16384];
    ssize_t n = read(ends[0], out, sizeof(out));

    assert_true(n > 0 || errno == EAGAIN);
    return (struct slice){out, n > 0 ? (size_t)n : 0};
}

static void test_silent_before_init(void **state)
{
    (void)state;
    assert_false(log_enabled(LOG_ERROR));
    log_error("nobody hears");
    assert_int_equal(written().n, 0);
}

static void test_text(void **state)
{
    (void)state;
    start(LOG_TEXT);
    log_info("listening", LF_STR("address", "127.0.0.1"), LF_INT("port", 8080),
             LF_FLOAT("share", 0.5), LF_BOOL("tls", false), LF_SLICE("empty", S("")));
    assert_true(slice_eq(written(), S("2026-08-22T10:15:00.123Z INFO listening address=127.0.0.1 "
                                      "port=8080 share=0.5 tls=false empty=\"\"\n")));
    log_warn("plain words");
    assert_true(slice_eq(written(), S("2026-08-22T10:15:00.123Z WARN plain words\n")));
    log_error("e", LF_INT("min", INT64_MIN), LF_STR("none", NULL));
    assert_true(slice_eq(written(), S("2026-08-22T10:15:00.123Z ERROR e "
                                      "min=-9223372036854775808 none=\"\"\n")));
    log_event(LOG_INFO, "no fields", NULL);
    assert_true(slice_eq(written(), S("2026-08-22T10:15:00.123Z INFO no fields\n")));
}

static void test_json(void **state)
{
    (void)state;
    start(LOG_JSON);
    log_warn("slow \"peer\"", LF_STR("who", "a b"), LF_INT("n", -1), LF_BOOL("yes", true),
             LF_FLOAT("f", 1e300 * 1e300));
    assert_true(slice_eq(written(), S("{\"ts\":\"2026-08-22T10:15:00.123Z\",\"level\":\"warn\","
                                      "\"msg\":\"slow \\\"peer\\\"\",\"who\":\"a b\",\"n\":-1,"
                                      "\"yes\":true,\"f\":null}\n")));
}

static void test_levels(void **state)
{
    static const char *const names[] = {"debug", "info", "warn", "error", "off"};
    enum log_level level = LOG_WARN;

    (void)state;
    start(LOG_TEXT);
    log_debug("too fine");
    assert_int_equal(written().n, 0);
    log_set_level(LOG_DEBUG);
    log_debug("fine");
    assert_true(written().n > 0);
    log_set_level(LOG_OFF);
    log_error("off");
    log_event(LOG_OFF, "off is no level to log at", NULL);
    assert_int_equal(written().n, 0);
    for (size_t i = 0; i < COUNT(names); i++) {
        assert_true(log_level_parse(slice_of(names[i]), &level));
        assert_int_equal(level, i);
    }
    assert_false(log_level_parse(S("verbose"), &level));
    assert_false(log_level_parse(S(""), &level));
    assert_int_equal(level, LOG_OFF);
}

/* A peer may send any bytes: the line stays one line, printable, and its fields stay its own. */
static void test_forgery(void **state)
{
    static const struct {
        struct slice in;
        const char *out;
    } rows[] = {
        {{"x\n2026-01-01 INFO forged", 24}, "v=\"x\\n2026-01-01 INFO forged\""},
        {{"a=b", 3}, "v=\"a=b\""},
        {{"a b", 3}, "v=\"a b\""},
        {{"\"", 1}, "v=\"\\\"\""},
        {{"\\", 1}, "v=\"\\\\\""},
        {{"\x1b[2J", 4}, "v=\"\\u001b[2J\""},
        {{"\0", 1}, "v=\"\\u0000\""},
        {{"\r\t\x7f", 3}, "v=\"\\u000d\\u0009\\u007f\""},
        {{"\xc2\x9b", 2}, "v=\"\\u009b\""},     /* C1: a terminal's escape */
        {{"\xe2\x80\xae", 3}, "v=\"\\u202e\""}, /* right-to-left override */
        {{"\xe2\x80\xa8", 3}, "v=\"\\u2028\""}, /* line separator */
        {{"\xe2\x81\xa6", 3}, "v=\"\\u2066\""},
        {{"\xc3\xa9\xe2\x82\xac", 5}, "v=\"\xc3\xa9\xe2\x82\xac\""},
        {{"\xff", 1}, "v=\"\xef\xbf\xbd\""},
    };
    (void)state;
    start(LOG_TEXT);
    for (size_t i = 0; i < COUNT(rows); i++) {
        log_info("m", LF_SLICE("v", rows[i].in));
        struct slice line = written();
        assert_true(slice_starts(line, S("2026-08-22T10:15:00.123Z INFO m ")));
        assert_true(slice_eq(slice_sub(line, 32, line.n - 1), slice_of(rows[i].out)));
        assert_int_equal(slice_find(line, '\n'), line.n - 1);
    }
}

/* Every byte value, alone and in a long run, gives one line that reads back as JSON. */
static void test_any_bytes(void **state)
{
    char run[3000];

    (void)state;
    start(LOG_JSON);
    for (int c = 0; c < 256; c++) {
        memset(run, c, sizeof(run));
        log_info("m", LF_SLICE("one", ((struct slice){run, 1})),
                 LF_SLICE("many", ((struct slice){run, sizeof(run)})), LF_INT("after", 7));
        struct slice line = written();
        struct json *doc;
        assert_in_range(line.n, 100, 4096);
        assert_int_equal(slice_find(line, '\n'), line.n - 1);
        assert_int_equal(json_parse(slice_sub(line, 0, line.n - 1), &doc), OK);
        struct slice many = json_get_str(json_root(doc), "many");
        assert_true(slice_search(many, S("...(+")) > 0);
        assert_int_equal(json_get_i64(json_root(doc), "after", 0), 7);
        json_free(doc);
    }
}

static void test_cut(void **state)
{
    char run[2000];

    (void)state;
    memset(run, 'x', sizeof(run));
    start(LOG_TEXT);
    log_info("m", LF_SLICE("v", ((struct slice){run, 1024})));
    assert_int_equal(slice_search(written(), S("...(+")), -1);
    log_info("m", LF_SLICE("v", ((struct slice){run, 1025})));
    assert_true(slice_ends(written(), S("xxx...(+1)\"\n")));
    memset(run, '\n', sizeof(run));
    log_info("m", LF_SLICE("v", ((struct slice){run, 600})));
    assert_true(slice_ends(written(), S("\\n\\n...(+88)\"\n")));
    /* not in the middle of a character: 1024 is no multiple of 3 */
    for (size_t i = 0; i + 3 <= sizeof(run); i += 3)
        memcpy(run + i, "\xe2\x82\xac", 3);
    log_info("m", LF_SLICE("v", ((struct slice){run, 1026})));
    struct slice line = written();
    assert_true(slice_ends(line, S("\xe2\x82\xac...(+3)\"\n")));
    assert_true(text_is_utf8(line));
}

/* More fields than a line holds: it stays within 4 KiB and says that some are missing. */
static void test_full_line(void **state)
{
    char run[5000];
    struct log_field fields[101];

    (void)state;
    for (size_t value = 1; value < sizeof(run); value = value * 3 / 2 + 1) {
        memset(run, '\x01', sizeof(run)); /* six bytes each when printed */
        for (int i = 0; i < 100; i++)
            fields[i] = LF_SLICE("some_key", ((struct slice){run, value}));
        fields[100] = LF_END;
        struct json *doc;
        start(LOG_JSON);
        log_event(LOG_INFO, "m", fields);
        struct slice line = written();
        assert_in_range(line.n, 2000, 4096);
        assert_int_equal(json_parse(slice_sub(line, 0, line.n - 1), &doc), OK);
        bool whole = json_len(json_root(doc)) == 103;
        assert_int_equal(whole, value < 5);
        assert_int_equal(json_get_bool(json_root(doc), "cut", false), !whole);
        json_free(doc);
        start(LOG_TEXT);
        log_event(LOG_INFO, "m", fields);
        line = written();
        assert_in_range(line.n, 1500, 4096);
        assert_int_equal(slice_find(line, '\n'), line.n - 1);
    }
    start(LOG_JSON);
    memset(run, 'k', sizeof(run));
    run[sizeof(run) - 1] = '\0';
    fields[0] = LF_INT(run, 1);
    fields[1] = LF_END;
    log_event(LOG_INFO, run, fields);
    assert_in_range(written().n, 1024, 1400);
}

static void test_full_pipe(void **state)
{
    char page[4096];
    uint64_t before = log_dropped();

    (void)state;
    start(LOG_TEXT);
    memset(page, ' ', sizeof(page));
    while (write(ends[1], page, sizeof(page)) > 0)
        continue;
    while (write(ends[1], page, 1) > 0)
        continue;
    errno = ENOENT;
    log_info("lost");
    assert_int_equal(errno, ENOENT);
    assert_int_equal(log_dropped(), before + 1);
    while (written().n > 0)
        continue;
    log_info("heard");
    assert_true(slice_eq(written(), S("2026-08-22T10:15:00.123Z INFO heard\n")));
    assert_int_equal(log_dropped(), before + 1);
}

/* A descriptor that took half a line: the rest is lost, the next line is whole and on its own. */
static void test_torn_line(void **state)
{
    FILE *file = tmpfile();
    struct rlimit old, small;
    char text[200] = {0};
    uint64_t before = log_dropped();

    (void)state;
    assert_non_null(file);
    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 10;
    log_init(fileno(file), LOG_TEXT, LOG_INFO, noon, &now);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    log_info("first");
    log_info("second");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(log_dropped(), before + 2);
    log_info("third");
    log_info("fourth");
    assert_int_equal(log_dropped(), before + 2);
    assert_true(pread(fileno(file), text, sizeof(text) - 1, 0) > 0);
    assert_string_equal(text, "2026-08-22\n2026-08-22T10:15:00.123Z INFO third\n"
                              "2026-08-22T10:15:00.123Z INFO fourth\n");
    fclose(file);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_silent_before_init),
        TEST(test_text),
        TEST(test_json),
        TEST(test_levels),
        TEST(test_forgery),
        TEST(test_any_bytes),
        TEST(test_cut),
        TEST(test_full_line),
        TEST(test_full_pipe),
        TEST(test_torn_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
