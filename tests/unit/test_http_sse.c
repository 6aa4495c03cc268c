/* links: base http */
/* Server-sent events: what is an event, and that it does not depend on where the stream is cut. */
#include "http/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct seen {
    struct buf text; /* "name|data;" for each event, LF in data as '/', "name|!;" for an overflow */
};

static void on_event(void *arg, const struct sse_event *e)
{
    struct seen *s = arg;
    assert_int_equal(buf_puts(&s->text, e->name), OK);
    assert_int_equal(buf_puts(&s->text, e->overflow ? S("|!") : S("|")), OK);
    assert_true(!e->overflow || e->data.n == 0);
    for (size_t i = 0; i < e->data.n; i++)
        assert_int_equal(buf_append(&s->text, e->data.p[i] == '\n' ? "/" : &e->data.p[i], 1), OK);
    assert_int_equal(buf_puts(&s->text, S(";")), OK);
}

/* Each piece in memory of exactly its size that is gone afterwards. */
static void feed(struct sse *s, struct seen *seen, struct slice piece)
{
    char *copy = mem_new(piece.n > 0 ? piece.n : 1);
    memcpy(copy, piece.p, piece.n);
    sse_feed(s, (struct slice){copy, piece.n}, on_event, seen);
    mem_free(copy);
}

/* All of `in`, cut after each byte whose bit is set in `cuts` (from the first byte on), or, with
 * `step`, every so many bytes. */
static char *events_of(struct slice in, size_t max, uint32_t cuts, size_t step, bool *boundary)
{
    struct sse s;
    struct seen seen = {0};
    size_t from = 0;
    buf_init(&seen.text, 1 << 20);
    sse_init(&s, max);
    for (size_t i = 0; i < in.n; i++) {
        bool cut = step > 0 ? (i + 1) % step == 0 : i < 32 && (cuts >> i & 1);
        if (!cut && i + 1 < in.n)
            continue;
        feed(&s, &seen, slice_sub(in, from, i + 1));
        from = i + 1;
    }
    *boundary = sse_at_boundary(&s);
    sse_free(&s);
    return buf_take(&seen.text);
}

static void check(struct slice in, size_t max, const char *want, bool at_boundary)
{
    bool boundary;
    uint32_t all = in.n <= 13 ? 1U << (in.n - 1) : 0;
    char *got = events_of(in, max, 0, 0, &boundary);
    assert_string_equal(got, want);
    assert_int_equal(boundary, at_boundary);
    mem_free(got);
    for (uint32_t cuts = 1; cuts < all; cuts++) {
        got = events_of(in, max, cuts, 0, &boundary);
        assert_string_equal(got, want);
        assert_int_equal(boundary, at_boundary);
        mem_free(got);
    }
    for (size_t step = 1; step < in.n && step < 200; step++) {
        got = events_of(in, max, 0, step, &boundary);
        assert_string_equal(got, want);
        assert_int_equal(boundary, at_boundary);
        mem_free(got);
    }
}

#define L(text)                \
    {                          \
        text, sizeof(text) - 1 \
    }

static void test_events(void **state)
{
    static const struct {
        struct slice in;
        const char *want;
        bool boundary;
    } ROWS[] = {
        {L("data: a\n\n"), "|a;", true},
        {L("data:a\r\n\r\n"), "|a;", true},
        {L("data:a\r\r"), "|a;", true},
        {L("data:a\r\n\n"), "|a;", true},
        {L("data:a\n\r\n"), "|a;", true},
        {L("data:  a \n\n"), "| a ;", true},
        {L("data\n\n"), "|;", true},
        {L("data:\n\n"), "|;", true},
        {L("data\ndata\n\n"), "|/;", true},
        {L("\n\n\r\n\r\n"), "", true},
        {L(":x\n"), "", true},
        {L(":x"), "", false},
        {L("event:x\n\n"), "", true}, /* no data: no event */
        {L("id:1\n"), "", false},
        {L("data:a\n"), "", false},
        {L("data:a"), "", false},
        {L("data:a\n\nd"), "|a;", false},
        {{"\xef\xbb\xbf"
          "data:a\n\n",
          11},
         "|a;",
         true},
        {{"\xef\xbb"
          "data:a\n\n",
          10},
         "",
         true}, /* then the field has another name */
        {{"\xef\xbb\xbf\xef\xbb\xbf"
          "data:a\n\n",
          14},
         "",
         true},
        {L("data:\xef\xbb\xbf\n\n"), "|\xef\xbb\xbf;", true},
        {L(" data:a\n\n"), "", true},
        {L("Data:a\n\n"), "", true},
        {L("data :a\n\n"), "", true},
        {L("data:\0\n\n"), "|", true}, /* NUL is data; the text stops there */
    };
    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++)
        check(ROWS[i].in, 1000, ROWS[i].want, ROWS[i].boundary);
}

static void test_streams(void **state)
{
    (void)state;
    check(S("event: message_start\ndata: {\"a\":1}\n\nevent: ping\ndata: {}\n\n"
            ": keep-alive\n\nretry: 10\nid: 7\ndata: one\ndata: two\n\ndata: [DONE]\n\n"),
          1000, "message_start|{\"a\":1};ping|{};|one/two;|[DONE];", true);
    /* an event name counts for its event only; the last one given wins */
    check(S("event: a\nevent: b\ndata: 1\n\ndata: 2\n\nevent: c\n\ndata: 3\n\n"), 1000,
          "b|1;|2;|3;", true);
    check(S("data: a\rdata: b\r\rdata: c\n\ndata: d\r\n\r\n"), 1000, "|a/b;|c;|d;", true);
    check(S("event: x\ndata: cut off\n"), 1000, "", false);
}

static void test_overflow(void **state)
{
    (void)state;
    check(S("data: 12345678\n\ndata: ok\n\n"), 8, "|12345678;|ok;", true);
    check(S("event: e\ndata: 123456789\n\ndata: ok\n\n"), 8, "e|!;|ok;", true);
    check(S("data: 1234\ndata: 567\n\ndata: 1234\ndata: 5678\n\n"), 8, "|1234/567;|!;", true);
    check(S("data: 123456789\ndata: x\nevent: late\n\n"), 8, "late|!;", true);
    struct buf b;
    buf_init(&b, 1 << 20);
    for (int kind = 0; kind < 4; kind++) { /* lines far longer than the line buffer */
        static const char *const FIELD[] = {": ", "id: ", "data: ", "event: "};
        static const char *const WANT[] = {"|a;|b;", "|a;|b;", "|!;|b;", "|!;|b;"};
        buf_clear(&b);
        assert_int_equal(buf_puts(&b, slice_of(FIELD[kind])), OK);
        for (int i = 0; i < 500; i++)
            assert_int_equal(buf_puts(&b, S("x")), OK);
        assert_int_equal(buf_puts(&b, S("\ndata: a\n\ndata: b\n\n")), OK);
        check(buf_slice(&b), 8, WANT[kind], true);
    }
    buf_free(&b);
}

static void test_long_names(void **state)
{
    char text[200];
    (void)state;
    size_t n = text_format(text, sizeof text, "event: %064d\ndata: x\n\n", 1);
    char want[100];
    text_format(want, sizeof want, "%064d|x;", 1);
    check((struct slice){text, n}, 16, want, true);
    n = text_format(text, sizeof text, "event: %065d\ndata: x\n\n", 1);
    check((struct slice){text, n}, 16, "|!;", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_overflow),
        cmocka_unit_test(test_long_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
