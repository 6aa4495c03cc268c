/* links: base http */
/* The readers of HTTP/1.1 messages: what they accept, exactly, and what they refuse; at every
 * split. */
#include "http/h1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- a message as one line of text --------------------------------------------------------- */

struct tale {
    struct buf text;
    struct buf body;
    int status; /* of the refusal; 0: none */
    bool ended;
};

static void tell(struct tale *t, const char *fmt, struct slice s)
{
    assert_int_equal(buf_printf(&t->text, fmt, (int)s.n, s.p), OK);
}

static void tell_head(struct tale *t, const struct h1 *h, const struct http_head *head)
{
    struct slice version = h->http10 ? S("1.0") : S("1.1");
    if (h->role == H1_REQUEST) {
        tell(t, "%.*s", slice_of(http_method_name(head->method)));
        tell(t, " %.*s", head->path);
        if (head->query.n > 0)
            tell(t, "?%.*s", head->query);
    } else {
        assert_int_equal(buf_printf(&t->text, "%d", head->status), OK);
    }
    tell(t, " %.*s", version);
    assert_int_equal(buf_printf(&t->text, " cl=%d%s%s%s", (int)head->content_length,
                                head->chunked ? " chunked" : "", head->keep_alive ? " keep" : "",
                                head->expect_continue ? " expect" : ""),
                     OK);
    for (int i = 0; i < head->headers; i++) {
        tell(t, " %.*s", head->header[i].name);
        tell(t, "=%.*s", head->header[i].value);
    }
}

/* Feeds one piece; what is left of it is what the parser did not want. */
static size_t feed(struct tale *t, struct h1 *h, struct slice piece, bool head_request)
{
    struct http_head head;
    struct slice body;
    /* memory of exactly this size, gone afterwards: a slice kept too long is found */
    char *copy = mem_new(piece.n > 0 ? piece.n : 1);
    memcpy(copy, piece.p, piece.n);
    struct slice in = {copy, piece.n};
    bool more = !t->ended && t->status == 0;
    while (more) {
        switch (h1_next(h, &in, &head, &body)) {
        case H1_HEADERS:
            tell_head(t, h, &head);
            if (h->role == H1_REPLY && head.status < 200) {
                tell(t, "%.*s", S(" / "));
                h1_begin(h, head_request);
            }
            break;
        case H1_BODY:
            assert_true(body.n > 0);
            assert_int_equal(buf_puts(&t->body, body), OK);
            break;
        case H1_END:
            t->ended = true;
            more = false;
            break;
        case H1_BAD:
            t->status = h->status;
            assert_non_null(h->why);
            more = false;
            break;
        case H1_MORE:
            assert_int_equal(in.n, 0);
            more = false;
            break;
        }
    }
    mem_free(copy);
    return in.n;
}

static void tale_end(struct tale *t, struct h1 *h, size_t left, bool eof)
{
    if (eof && !t->ended && t->status == 0) {
        enum h1_event e = h1_eof(h);
        t->ended = e == H1_END;
        t->status = e == H1_BAD ? 599 : 0;
    }
    if (t->status != 0) {
        buf_clear(&t->text);
        assert_int_equal(buf_printf(&t->text, "%d", t->status), OK);
        return;
    }
    if (t->body.len > 0)
        tell(t, " [%.*s]", buf_slice(&t->body));
    tell(t, "%.*s", t->ended ? S(" end") : S(" ..."));
    if (left > 0)
        assert_int_equal(buf_printf(&t->text, " +%zu", left), OK);
}

/* Reads `in` cut into pieces of `step` bytes, or in two at `cut`. */
static char *read_in(struct slice in, enum h1_role role, bool head_request, bool eof, size_t cut,
                     size_t step)
{
    struct h1 h;
    struct tale t = {0};
    size_t at = 0, left = 0;
    buf_init(&t.text, 1 << 20);
    buf_init(&t.body, 1 << 20);
    h1_init(&h, role);
    h1_begin(&h, head_request);
    while (at < in.n) {
        size_t n = step > 0 ? step : at == 0 && cut > 0 ? cut : in.n - at;
        n = n < in.n - at ? n : in.n - at;
        left += feed(&t, &h, (struct slice){in.p + at, n}, head_request);
        at += n;
    }
    tale_end(&t, &h, left, eof);
    h1_free(&h);
    buf_free(&t.body);
    return buf_take(&t.text);
}

static void check(struct slice in, enum h1_role role, bool head_request, bool eof, const char *want)
{
    char *got = read_in(in, role, head_request, eof, 0, 0);
    if (strcmp(got, want) != 0)
        print_error("input: %.*s\n", (int)(in.n < 300 ? in.n : 300), in.p);
    assert_string_equal(got, want);
    mem_free(got);
    for (size_t cut = 1; cut<in.n; cut += in.n> 4000 ? 997 : 1) {
        got = read_in(in, role, head_request, eof, cut, 0);
        assert_string_equal(got, want);
        mem_free(got);
    }
    for (size_t step = 1; step <= 3; step++) {
        got = read_in(in, role, head_request, eof, 0, step);
        assert_string_equal(got, want);
        mem_free(got);
    }
}

static void request(struct slice in, const char *want)
{
    check(in, H1_REQUEST, false, false, want);
}

static void reply(struct slice in, const char *want)
{
    check(in, H1_REPLY, false, true, want);
}

struct row {
    struct slice in;
    const char *want;
};
#define ROW(in, want)              \
    {                              \
        {in, sizeof(in) - 1}, want \
    }

/* ---- requests ------------------------------------------------------------------------------ */

#define H  "Host: a\r\n"
#define CH H "Transfer-Encoding: chunked\r\n\r\n"
#define P  "POST / HTTP/1.1\r\n"
#define PC "POST / 1.1 cl=-1 chunked keep host=a transfer-encoding=chunked"

static void test_requests(void **state)
{
    static const struct row ROWS[] = {
        ROW("GET / HTTP/1.1\r\n" H "\r\n", "GET / 1.1 cl=-1 keep host=a end"),
        ROW("GET / HTTP/1.1\r\nhost: a:\r\n\r\n", "GET / 1.1 cl=-1 keep host=a: end"),
        ROW("GET / HTTP/1.1\r\nhost: [::1]:80\r\n\r\n", "GET / 1.1 cl=-1 keep host=[::1]:80 end"),
        ROW("\r\nGET / HTTP/1.1\r\n" H "\r\n", "GET / 1.1 cl=-1 keep host=a end"),
        ROW("GET /v1/models?limit=1000&x=%2f HTTP/1.1\r\n" H "\r\n",
            "GET /v1/models?limit=1000&x=%2f 1.1 cl=-1 keep host=a end"),
        ROW("HEAD /a/..b/.c/%7e HTTP/1.1\r\n" H "\r\n",
            "HEAD /a/..b/.c/%7e 1.1 cl=-1 keep host=a end"),
        ROW("GET http://A:80/x?y HTTP/1.1\r\nHost: a:80\r\n\r\n",
            "GET /x?y 1.1 cl=-1 keep host=a:80 end"),
        ROW("GET / HTTP/1.0\r\n\r\n", "GET / 1.0 cl=-1 end"),
        ROW("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            "GET / 1.0 cl=-1 connection=keep-alive end"),
        ROW("GET / HTTP/1.1\r\n" H "Connection: foo, Close\r\n\r\n",
            "GET / 1.1 cl=-1 host=a connection=foo, Close end"),
        ROW(P H "Content-Length: 5\r\n\r\nhello",
            "POST / 1.1 cl=5 keep host=a content-length=5 [hello] end"),
        ROW(P H "Content-Length: 5\r\n\r\nhelloGET /", /* the next request is left alone */
            "POST / 1.1 cl=5 keep host=a content-length=5 [hello] end +5"),
        ROW(P H "content-length:\t007 \r\n\r\n1234567",
            "POST / 1.1 cl=7 keep host=a content-length=007 [1234567] end"),
        ROW(P H "Content-Length: 0\r\n\r\n", "POST / 1.1 cl=0 keep host=a content-length=0 end"),
        ROW(P H "Content-Length: 9\r\n\r\nabc",
            "POST / 1.1 cl=9 keep host=a content-length=9 [abc] ..."),
        ROW(P H "Content-Length: 4\r\nExpect: 100-Continue\r\n\r\nabcd",
            "POST / 1.1 cl=4 keep expect host=a content-length=4 expect=100-Continue [abcd] end"),
        ROW("GET / HTTP/1.1\r\n" H "Expect: 100-continue\r\n\r\n",
            "GET / 1.1 cl=-1 keep host=a expect=100-continue end"),
        ROW(P CH "3\r\nabc\r\n0\r\n\r\n", PC " [abc] end"),
        ROW(P CH "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\nrest", PC " [abc0123456789] end +4"),
        ROW(P CH "0003;a=b;c=\"d e\"\r\nabc\r\n0;x\r\n\r\n", PC " [abc] end"),
        ROW(P CH "1\r\na\r\n0\r\nX-Trailer: v\r\nHost: b\r\n\r\n", PC " [a] end"),
        ROW(P H "TRANSFER-ENCODING: Chunked\r\n\r\n0\r\n\r\n",
            "POST / 1.1 cl=-1 chunked keep host=a transfer-encoding=Chunked end"),
        /* no upgrade, however it is asked for: the body is read as always */
        ROW(P "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n" CH "1\r\na\r\n0\r\n\r\nPRI",
            "POST / 1.1 cl=-1 chunked keep connection=Upgrade, HTTP2-Settings upgrade=h2c host=a "
            "transfer-encoding=chunked [a] end +3"),
        ROW("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" H "\r\nxx",
            "GET / 1.1 cl=-1 keep connection=Upgrade upgrade=websocket host=a end +2"),
        ROW("GET / HTTP/1.1\r\n" H "X-Empty:\r\nX-Text: \t a\tb \xc3\xa4~ \t\r\n\r\n",
            "GET / 1.1 cl=-1 keep host=a x-empty= x-text=a\tb \xc3\xa4~ end"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++)
        request(ROWS[i].in, ROWS[i].want);
}

static void test_bad_start_lines(void **state)
{
    static const struct row ROWS[] = {
        ROW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"),
        ROW("GET / HTTP/2.0\r\n" H "\r\n", "505"),
        ROW("GET / HTTP/0.9\r\n" H "\r\n", "505"),
        ROW("GET / HTTP/1.2\r\n" H "\r\n", "505"),
        ROW("GET / HTTP/9.9\r\n" H "\r\n", "505"),
        ROW("GET /\r\n" H "\r\n", "400"),
        ROW("GET  / HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET /  HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET / x HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET / HTTP/1.1 \r\n" H "\r\n", "400"),
        ROW("GET / http/1.1\r\n" H "\r\n", "400"),
        ROW("GET / ICE/1.0\r\n" H "\r\n", "400"),
        ROW("\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("\nGET / HTTP/1.1\r\n" H "\r\n", "400"),
        ROW(" GET / HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("get / HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("FROB / HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("PROPFIND / HTTP/1.1\r\n" H "\r\n", "501"),
        ROW("TRACE / HTTP/1.1\r\n" H "\r\n", "501"),
        ROW("CONNECT a:1 HTTP/1.1\r\n" H "\r\n", "501"),
        ROW("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400"),
        ROW("GET / HTTP/1.1\n" H "\r\n", "400"),
        ROW("GET / HTTP/1.1\r" H "\r\n", "400"),
        ROW("OPTIONS * HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET x HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET http://b/ HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET http://a HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET http://u@a/ HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET ftp://a/ HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET http://a/ HTTP/1.0\r\n\r\n", "400"),
        ROW("GET /a#b HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET /a?b#c HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET /\x01 HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET /a\tb HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET /. HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET /a/../b HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET /a/%2e%2E/b HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET /a/.%2e HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET /a%2fb HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET /a%5Cb HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET /a\\b HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET /a%00 HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET /a%0d%0a HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET /a%zz HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET /a%2 HTTP/1.1\r\n" H "\r\n", "400"),
        ROW("GET /a% HTTP/1.1\r\n" H "\r\n", "400"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++)
        request(ROWS[i].in, ROWS[i].want);
}

static void test_bad_fields(void **state)
{
    static const struct row ROWS[] = {
        ROW("GET / HTTP/1.1\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\nHost:\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\n" H H "\r\n", "400"),
        ROW("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\nHost: a?x\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\nHost: a:000080\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\nHost: :80\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\nHost: [::1]a\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\nHost: [1.2.3.4]\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\nHost: [fe80::1%25lo]\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\n" H "a_b: c\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\n" H "a.b: c\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\n" H "a b: c\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\n" H ": c\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\n" H "rubbish\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\n" H "a\xc3: c\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\n" H "a\0: c\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\n" H "a: b\0c\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\n" H "a: b\x7f\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\n" H "a: b\x0b\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\n" H "a: b\r\n c\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\n" H "a: b\r\n\tc\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", "400"),
        ROW("GET / HTTP/1.1\r\n" H "Expect: 200-ok\r\n\r\n", "417"),
        ROW(P H "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", "400"),
        ROW(P H "Content-Length: 1\r\nContent-Length: 2\r\n\r\na", "400"),
        ROW(P H "Content-Length: 1, 1\r\n\r\na", "400"),
        ROW(P H "Content-Length: +1\r\n\r\na", "400"),
        ROW(P H "Content-Length: -1\r\n\r\na", "400"),
        ROW(P H "Content-Length: 0x1\r\n\r\na", "400"),
        ROW(P H "Content-Length: 1_0\r\n\r\na", "400"),
        ROW(P H "Content-Length:\r\n\r\na", "400"),
        ROW(P H "Content-Length: 12345678901\r\n\r\na", "400"),
        ROW(P H "Content-Length: 99999999999999999999\r\n\r\na", "400"),
        ROW(P H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
        ROW(P H "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", "400"),
        ROW(P H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
        ROW(P H "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
        ROW(P H "Transfer-Encoding: chunked, chunked\r\n\r\n", "400"),
        ROW(P H "Transfer-Encoding: gzip, chunked\r\n\r\n", "400"),
        ROW(P H "Transfer-Encoding: chunked, identity\r\n\r\n", "400"),
        ROW(P H "Transfer-Encoding: xchunked\r\n\r\n", "400"),
        ROW(P H "Transfer-Encoding: chunked;q=1\r\n\r\n", "400"),
        ROW(P H "Transfer-Encoding: \"chunked\"\r\n\r\n", "400"),
        ROW(P H "Transfer-Encoding:\r\n\r\n", "400"),
        ROW(P H "Transfer-Encoding: \x0b"
                "chunked\r\n\r\n",
            "400"),
        ROW("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++)
        request(ROWS[i].in, ROWS[i].want);
}

/* One row for each defect of the list in robustness.md B2. */
static void test_llhttp_history(void **state)
{
    static const struct row ROWS[] = {
        ROW(P H "Content-Length: 1 2\r\n\r\nab", "400"),                    /* 2018-7159 */
        ROW(P H "Transfer-Encoding: chunkedchunked\r\n\r\n", "400"),        /* 2019-15605 */
        ROW(P H "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "400"),     /* 2019-15605 */
        ROW(P H "Transfer-Encoding: chunked \r\n\r\n0\r\n\r\n", PC " end"), /* 2019-15606 */
        ROW("GET / HTTP/1.1\r\n" H "Content\rLength: 1\r\n\r\n", "400"),    /* 2020-8201 */
        ROW(P H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked-false\r\n\r\n",
            "400"),                                                       /* 2020-8287 */
        ROW(P H "Content-Length : 1\r\n\r\na", "400"),                    /* 2021-22959 */
        ROW(P CH "2\r\r;a\r\n02\r\n\r\n\r\n0\r\n\r\n", "400"),            /* 2021-22960 */
        ROW(P CH "1;\nxx\r\na\r\n0\r\n\r\n", "400"),                      /* 2021-22960 */
        ROW(P H "Transfer-Encoding: chunked, x\r\n\r\n0\r\n\r\n", "400"), /* 2022-32213 */
        ROW("GET / HTTP/1.1\r\n" H "a: b\nc: d\r\n\r\n", "400"),          /* 2022-32214 */
        ROW(P H "Transfer-Encoding: chunked\r\n , identity\r\n\r\n0\r\n\r\n", "400"), /* -32215 */
        ROW(P H "Transfer-Encoding: chunked\n\r\n0\r\n\r\n", "400"),      /* 2022-35256 */
        ROW("GET / HTTP/1.1\r\n" H "a: b\rc: d\r\n\r\n", "400"),          /* 2023-30589 */
        ROW("GET / HTTP/1.1\r\n" H "a: b\r\r\n\r\n", "400"),              /* 2023-30589 */
        ROW("GET / HTTP/1.1\r\n" H "\ra: b\r\n\r\n", "400"),              /* 2023-30589 */
        ROW("GET / HTTP/1.1\r\n Content-Length: 1\r\n" H "\r\na", "400"), /* 2024-27982 */
        ROW("GET / HTTP/1.1\r\n" H " Content-Length: 1\r\n\r\na", "400"), /* 2024-27982 */
        ROW("GET / HTTP/1.1\r\n" H "\r\rX", "400"),                       /* 2025-23167 */
        ROW("GET / HTTP/1.1\r\n" H "a: b\r\n\rX\r\n\r\n", "400"),         /* 2025-23167 */
    };
    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++)
        request(ROWS[i].in, ROWS[i].want);
}

static void test_bad_chunks(void **state)
{
    static const struct row ROWS[] = {
        ROW(P CH "\r\na\r\n0\r\n\r\n", "400"),
        ROW(P CH "0x1\r\na\r\n0\r\n\r\n", "400"),
        ROW(P CH "+1\r\na\r\n0\r\n\r\n", "400"),
        ROW(P CH "-1\r\na\r\n0\r\n\r\n", "400"),
        ROW(P CH "1_0\r\na\r\n0\r\n\r\n", "400"),
        ROW(P CH "_1\r\na\r\n0\r\n\r\n", "400"),
        ROW(P CH " 1\r\na\r\n0\r\n\r\n", "400"),
        ROW(P CH "1 \r\na\r\n0\r\n\r\n", "400"),
        ROW(P CH "g\r\na\r\n0\r\n\r\n", "400"),
        ROW(P CH "ffffffffffffffffff\r\na\r\n0\r\n\r\n", "400"),
        ROW(P CH "1\na\r\n0\r\n\r\n", "400"),
        ROW(P CH "1\ra\r\n0\r\n\r\n", "400"),
        ROW(P CH "1\r\nab\r\n0\r\n\r\n", "400"),
        ROW(P CH "1\r\na\n0\r\n\r\n", "400"),
        ROW(P CH "1\r\na0\r\n\r\n", "400"),
        ROW(P CH "1\r\na\r\n0\n\n", "400"),
        ROW(P CH "1;a\rb\r\na\r\n0\r\n\r\n", "400"),
        ROW(P CH "1;a=\"\n\"\r\na\r\n0\r\n\r\n", "400"),
        ROW(P CH "1;a=\"\x01\"\r\na\r\n0\r\n\r\n", "400"),
        ROW(P CH "1;;\r\na\r\n0\r\n\r\n", "400"),
        ROW(P CH "0\r\nx y: z\r\n\r\n", "400"),
        ROW(P CH "0\r\nx: y\r z\r\n\r\n", "400"),
        ROW(P CH "0\r\n\rX", "400"),
        ROW(P CH "0\r\nTransfer-Encoding: x\r\n\r\n", "400"),
        ROW(P CH "0\r\nContent-Length: 1\r\n\r\n", "400"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++)
        request(ROWS[i].in, ROWS[i].want);
}

/* ---- chunks, against llhttp ---------------------------------------------------------------- */

/* What llhttp makes of a chunked body: its bytes, and how many of `in` it took; false: refused or
 * not whole. */
struct oracle {
    char body[512];
    size_t n;
    bool whole;
};

static int oracle_body(llhttp_t *p, const char *at, size_t n)
{
    struct oracle *o = p->data;
    assert_true(o->n + n <= sizeof o->body);
    memcpy(o->body + o->n, at, n);
    o->n += n;
    return 0;
}

static int oracle_over(llhttp_t *p)
{
    ((struct oracle *)p->data)->whole = true;
    return HPE_PAUSED;
}

static bool oracle_read(struct oracle *o, struct slice in, size_t *took)
{
    static const char head[] = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    static const llhttp_settings_t S_ = {.on_body = oracle_body,
                                         .on_message_complete = oracle_over};
    llhttp_t p;
    llhttp_init(&p, HTTP_REQUEST, &S_);
    *o = (struct oracle){.n = 0};
    p.data = o;
    assert_int_equal(llhttp_execute(&p, head, sizeof head - 1), HPE_OK);
    bool paused = llhttp_execute(&p, in.p, in.n) == HPE_PAUSED;
    *took = paused ? (size_t)(llhttp_get_error_pos(&p) - in.p) : 0;
    return paused && o->whole;
}

static bool chunks_read(struct oracle *o, struct slice in, size_t *took)
{
    struct chunks c;
    const char *why = NULL;
    struct slice body;
    size_t all = in.n;
    enum h1_event e = H1_BODY;
    *o = (struct oracle){.n = 0};
    chunks_begin(&c);
    while (e == H1_BODY) {
        body = S("");
        e = chunks_next(&c, &in, &body, &why);
        memcpy(o->body + o->n, body.p, body.n);
        o->n += body.n;
    }
    assert_int_equal(e == H1_BAD, why != NULL);
    *took = all - in.n;
    return e == H1_END;
}

/* What we take, llhttp takes too, and reads the same. */
static void test_chunks_agree(void **state)
{
    static const char *const PARTS[] = {"1",
                                        "a",
                                        "0",
                                        "00",
                                        "\r\n",
                                        "\r",
                                        "\n",
                                        ";",
                                        "x=y",
                                        "\"",
                                        "\\",
                                        " ",
                                        "\t",
                                        "5\r\nhello",
                                        "F\r\n",
                                        "0\r\n",
                                        "T: v",
                                        ":",
                                        "\x80",
                                        "\x7f",
                                        "\x01",
                                        "3;q=\"a\\\"b\"\r\nabc",
                                        "0\r\n\r\n",
                                        "content-length: 1",
                                        "transfer-encoding:x"};
    uint64_t dice = 42;
    int taken = 0;
    (void)state;
    for (int round = 0; round < 200000; round++) {
        char text[256];
        size_t n = 0, ours, theirs;
        struct oracle a, b;
        for (int i = 0; i < 1 + round % 9; i++) {
            dice = dice * 6364136223846793005ULL + 1442695040888963407ULL;
            const char *part = PARTS[(dice >> 33) % (sizeof PARTS / sizeof PARTS[0])];
            n += text_format(text + n, sizeof text - n, "%s", part);
        }
        if (!chunks_read(&a, (struct slice){text, n}, &ours))
            continue;
        taken++;
        if (!oracle_read(&b, (struct slice){text, n}, &theirs) || ours != theirs || a.n != b.n ||
            memcmp(a.body, b.body, a.n) != 0)
            fail_msg("read in two ways: %.*s", (int)n, text);
    }
    assert_true(taken > 1000);
}

/* ---- limits -------------------------------------------------------------------------------- */

/* `before`, then `n` times `c`, then `after`. */
static struct slice padded(struct buf *b, const char *before, char c, size_t n, const char *after)
{
    buf_clear(b);
    assert_int_equal(buf_puts(b, slice_of(before)), OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(buf_append(b, &c, 1), OK);
    assert_int_equal(buf_puts(b, slice_of(after)), OK);
    return buf_slice(b);
}

static void limit(struct slice in, enum h1_role role, const char *want)
{
    static const size_t STEPS[] = {0, 1, 4099};
    for (size_t i = 0; i < 3; i++) {
        char *got = read_in(in, role, false, false, 0, STEPS[i]);
        assert_int_equal(strncmp(got, want, strlen(want)), 0);
        mem_free(got);
    }
}

static void test_limits(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 20);
    limit(padded(&b, "GET /?", 'x', 16360, " HTTP/1.1\r\n" H "\r\n"), H1_REQUEST, "GET /?x");
    limit(padded(&b, "GET /?", 'x', 16400, " HTTP/1.1\r\n" H "\r\n"), H1_REQUEST, "414");
    limit(padded(&b, "GET /?", 'x', 40000, " HTTP/1.1\r\n" H "\r\n"), H1_REQUEST, "414");
    limit(padded(&b, "GET /?", 'x', 100000, ""), H1_REQUEST, "414");
    limit(padded(&b, "GET / HTTP/1.1\r\n" H "a: ", 'x', 16381, "\r\n\r\n"), H1_REQUEST,
          "GET / 1.1");
    limit(padded(&b, "GET / HTTP/1.1\r\n" H "a: ", 'x', 16382, "\r\n\r\n"), H1_REQUEST, "431");
    limit(padded(&b, "GET / HTTP/1.1\r\n" H "a: ", 'x', 40000, "\r\n\r\n"), H1_REQUEST, "431");
    limit(padded(&b, "GET / HTTP/1.1\r\n", '\r', 100000, ""), H1_REQUEST, "400");
    limit(padded(&b, P CH "1;", 'x', 250, "\r\na\r\n0\r\n\r\n"), H1_REQUEST, PC " [a] end");
    limit(padded(&b, P CH "1;", 'x', 257, "\r\na\r\n0\r\n\r\n"), H1_REQUEST, "400");
    limit(padded(&b, P CH "1;", 'x', 100000, ""), H1_REQUEST, "400"); /* CVE-2024-22019 */
    limit(padded(&b, P CH "", '0', 200, "1\r\na\r\n0\r\n\r\n"), H1_REQUEST, PC " [a] end");
    limit(padded(&b, P CH "", '0', 400, "1\r\na\r\n0\r\n\r\n"), H1_REQUEST, "400");
    limit(padded(&b, P CH "", '0', 400, "\r\n\r\n"), H1_REQUEST, "400");
    limit(padded(&b, P CH "0\r\nx: ", 'x', 8000, "\r\n\r\n"), H1_REQUEST, PC " end");
    limit(padded(&b, P CH "0\r\nx: ", 'x', 8192, "\r\n\r\n"), H1_REQUEST, "400");
    limit(padded(&b, "HTTP/1.1 200 OK\r\na: ", 'x', 16000, "\r\ncontent-length: 0\r\n\r\n"),
          H1_REPLY, "200");
    limit(padded(&b, "HTTP/1.1 200 OK\r\na: ", 'x', 100000, "\r\n\r\n"), H1_REPLY, "431");
    buf_free(&b);
}

/* Extensions are counted over a message: one byte a chunk is enough of them in time. */
static void test_extensions_add_up(void **state)
{
    struct buf b;
    (void)state;
    for (int n = 200; n <= 300; n += 100) {
        buf_init(&b, 1 << 20);
        assert_int_equal(buf_puts(&b, S(P CH)), OK);
        for (int i = 0; i < n; i++)
            assert_int_equal(buf_puts(&b, S("1;x\r\na\r\n")), OK);
        assert_int_equal(buf_puts(&b, S("0\r\n\r\n")), OK);
        limit(buf_slice(&b), H1_REQUEST, n == 200 ? PC : "400");
        buf_free(&b);
    }
}

static void test_header_count(void **state)
{
    struct buf b;
    (void)state;
    for (int n = 99; n <= 100; n++) {
        buf_init(&b, 1 << 20);
        assert_int_equal(buf_puts(&b, S("GET / HTTP/1.1\r\n" H)), OK);
        for (int i = 0; i < n; i++)
            assert_int_equal(buf_printf(&b, "x%d: y\r\n", i), OK);
        assert_int_equal(buf_puts(&b, S("\r\n")), OK);
        limit(buf_slice(&b), H1_REQUEST, n == 99 ? "GET /" : "431");
        buf_free(&b);
    }
}

/* Any byte at any place of a name or a value, in both roles: lines are read eight bytes at a time
 * where they are as they should be, and otherwise with a word about what is wrong. */
static bool byte_is_fine(bool in_name, bool request, int c)
{
    bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (in_name)
        return alnum || c == '-' || (!request && c != 0 && strchr("!#$%&'*+.^_`|~", c) != NULL);
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static void byte_read(bool in_name, enum h1_role role, size_t at, int c)
{
    char text[160], lead[24] = "nnnnnnnnnnnnnnnnnnnn", value[24] = "vvvvvvvvvvvvvvvvvvvv";
    const char *start = role == H1_REQUEST ? "GET / HTTP/1.1\r\n" H : "HTTP/1.1 204 No\r\n";
    struct h1 h;
    struct http_head head;
    struct slice body;
    (in_name ? lead : value)[at] = (char)c;
    size_t n = strlen(start);
    memcpy(text, start, n);
    memcpy(text + n, lead, 20);
    memcpy(text + n + 20, ": ", 2);
    memcpy(text + n + 22, value, 20);
    memcpy(text + n + 42, " \r\nz: 1\r\n\r\n", 11);
    struct slice in = {text, n + 53};
    h1_init(&h, role);
    /* the second reading finds room for all headers, the first may have had to make it */
    for (int i = 0; i < 2; i++) {
        struct slice rest = in;
        h1_begin(&h, false);
        bool taken = h1_next(&h, &rest, &head, &body) == H1_HEADERS;
        bool cut = in_name && c == ':'; /* the name ends there */
        assert_int_equal(taken, (cut && at > 0) || byte_is_fine(in_name, role == H1_REQUEST, c));
        if (!taken)
            continue;
        const struct http_header *f = &head.header[role == H1_REQUEST ? 1 : 0];
        assert_int_equal(f->name.n, cut ? at : 20);
        assert_true(slice_eq(head.header[head.headers - 1].value, S("1")));
        assert_true(http_find(&head, "z") != NULL && http_find(&head, "host") != &f->value);
        if (cut)
            continue;
        bool blank = !in_name && (c == ' ' || c == '\t') && (at == 0 || at == 19);
        assert_int_equal(f->value.n, blank ? 19 : 20);
    }
    h1_free(&h);
}

static void test_any_byte(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        for (size_t at = 0; at < 20; at++) {
            byte_read(false, H1_REQUEST, at, c);
            byte_read(false, H1_REPLY, at, c);
            byte_read(true, H1_REQUEST, at, c);
            byte_read(true, H1_REPLY, at, c);
        }
    }
}

static void test_no_lenience(void **state)
{
    struct h1 h;
    struct http_head head;
    struct slice body, in = S("POST / HTTP/1.1\r\n" CH "1\r\na\r\n0\r\n\r\n");
    (void)state;
    h1_init(&h, H1_REQUEST);
    for (int i = 0; i < 2; i++) { /* the second message finds the parser of the first */
        struct slice front = slice_sub(in, 0, 20), rest = in;
        assert_null(h.parser);
        assert_int_equal(h1_next(&h, &front, &head, &body), H1_MORE);
        assert_non_null(h.parser);
        assert_int_equal(h.parser->lenient_flags, 0);
        llhttp_reset(h.parser);
        assert_int_equal(h.parser->lenient_flags, 0);
        h1_begin(&h, false);
        while (h1_next(&h, &rest, &head, &body) != H1_END)
            assert_null(h.parser); /* it is there for heads only */
        h1_begin(&h, false);
    }
    h1_free(&h);
}

/* ---- replies ------------------------------------------------------------------------------- */

#define OK11 "HTTP/1.1 200 OK\r\n"

static void test_replies(void **state)
{
    static const struct row ROWS[] = {
        ROW(OK11 "Content-Length: 2\r\n\r\nhi", "200 1.1 cl=2 keep content-length=2 [hi] end"),
        ROW("HTTP/1.1 204\r\n\r\n", "204 1.1 cl=-1 keep end"),
        ROW("HTTP/1.1 204 \r\n\r\n", "204 1.1 cl=-1 keep end"),
        ROW("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            "304 1.1 cl=9 keep content-length=9 end"),
        ROW(OK11 "\r\nuntil the end", "200 1.1 cl=-1 keep [until the end] end"),
        ROW(OK11 "\r\n", "200 1.1 cl=-1 keep end"),
        ROW("HTTP/1.0 200 OK\r\n\r\nold", "200 1.0 cl=-1 [old] end"),
        ROW("HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\no",
            "200 1.0 cl=1 content-length=1 connection=keep-alive [o] end"),
        ROW(OK11 "Connection: close\r\nContent-Length: 1\r\n\r\nx",
            "200 1.1 cl=1 connection=close content-length=1 [x] end"),
        ROW(OK11 "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nE-Tag: 1\r\n\r\n",
            "200 1.1 cl=-1 chunked keep transfer-encoding=chunked [abc] end"),
        ROW(OK11 "X_a.b!: 1\r\nContent-Length: 0\r\n\r\n",
            "200 1.1 cl=0 keep x_a.b!=1 content-length=0 end"),
        ROW("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OK11
            "Content-Length: 1\r\n\r\na",
            "100 1.1 cl=-1 keep / 103 1.1 cl=-1 keep link=x / 200 1.1 cl=1 keep content-length=1 "
            "[a] end"),
        ROW(OK11 "Content-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n",
            "200 1.1 cl=2 keep content-length=2 [hi] end +17"),
        ROW("HTTP/1.1 529 \xc3\x9c"
            "berlastet\r\nContent-Length: 0\r\n\r\n",
            "529 1.1 cl=0 keep content-length=0 end"),
        ROW(OK11 "Content-Length: 5\r\n\r\nhi", "599"), /* ended early */
        ROW(OK11 "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", "599"),
        ROW(OK11 "Content-Le", "599"),
        ROW(OK11 "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", "400"),
        ROW(OK11 "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
        ROW(OK11 "Transfer-Encoding: gzip\r\n\r\nabc", "400"),
        ROW(OK11 "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "400"),
        ROW("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
        ROW("HTTP/1.1 200 OK\ncontent-length: 2\n\n{}", "400"),
        ROW(OK11 "x: b\rset-cookie: c\r\n\r\n", "400"),
        ROW(OK11 "x: b\r\n c\r\n\r\n", "400"),
        ROW("HTTP/1.1 99 Odd\r\n\r\n", "400"),
        ROW("HTTP/1.1 600 Odd\r\n\r\n", "400"),
        ROW("HTTP/1.1 2000 Odd\r\n\r\n", "400"),
        ROW("HTTP/1.1 200 O\x01\r\n\r\n", "400"),
        ROW("HTTP/1.1  200 OK\r\n\r\n", "400"),
        ROW("HTTP/2.0 200 OK\r\n\r\n", "505"),
        ROW("HTTP/1.1 200 OK\r\r\n\r\n", "400"),
        ROW("ICY 200 OK\r\n\r\n", "400"),
        ROW("{\"error\":1}", "400"),
        ROW("\r\nHTTP/1.1 200 OK\r\n\r\n", "400"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++)
        reply(ROWS[i].in, ROWS[i].want);
    check(S(OK11 "Content-Length: 100\r\n\r\n"), H1_REPLY, true, true,
          "200 1.1 cl=100 keep content-length=100 end");
    check(S(OK11 "Transfer-Encoding: chunked\r\n\r\n"), H1_REPLY, true, true,
          "200 1.1 cl=-1 chunked keep transfer-encoding=chunked end");
    check(S(OK11 "\r\n"), H1_REPLY, true, true, "200 1.1 cl=-1 keep end");
}

/* ---- the model of a head ------------------------------------------------------------------- */

static void test_head_helpers(void **state)
{
    struct http_header lines[] = {
        {S("connection"), S("X-Hop , close")}, {S("a"), S("1")}, {S("a"), S("2")}};
    struct http_head h = {.headers = 3, .header = lines, .connection = true};
    (void)state;
    assert_true(slice_eq(*http_find(&h, "a"), S("1")));
    assert_null(http_find(&h, "A"));
    assert_null(http_find(&h, "b"));
    assert_true(http_connection_lists(&h, S("x-hop")));
    assert_false(http_connection_lists(&h, S("x-ho")));
    assert_string_equal(http_method_name(HTTP_OPTIONS), "OPTIONS");
    assert_string_equal(http_reason(429), "Too Many Requests");
    assert_string_equal(http_reason(299), "");
    static const char *const HOP[] = {"connection",
                                      "keep-alive",
                                      "te",
                                      "trailer",
                                      "transfer-encoding",
                                      "upgrade",
                                      "proxy-authenticate",
                                      "proxy-connection",
                                      "host",
                                      "content-length",
                                      "expect"};
    static const char *const END[] = {
        "content-type", "cookie",         "tea",           "x-host", "",
        "accept",       "anthropic-beta", "authorization", "proxy",  "t"};
    for (size_t i = 0; i < sizeof HOP / sizeof HOP[0]; i++)
        assert_true(http_is_hop_header(slice_of(HOP[i])));
    for (size_t i = 0; i < sizeof END / sizeof END[0]; i++)
        assert_false(http_is_hop_header(slice_of(END[i])));
}

static void test_heads_written(void **state)
{
    struct http_header h[] = {{S("a"), S("b")},
                              {S("transfer-encoding"), S("chunked")},
                              {S("split"), S("x\r\nset-cookie: y")},
                              {S("sp\nlit"), S("x")},
                              {S("nul"), S("x\0y")},
                              {S(""), S("x")},
                              {S("empty"), S("")}};
    size_t room = HEAD_STATUS_MAX + head_lines_room(h, 7) + HEAD_NUMBER_MAX("n: ");
    char *text = mem_new(room), *at;
    (void)state;
    at = head_put_lines(head_put_status(text, 529), h, 7);
    at = head_put_number(at, S("n: "), 18446744073709551615U);
    assert_true(slice_eq((struct slice){text, (size_t)(at - text)},
                         S("HTTP/1.1 529 Overloaded\r\na: b\r\nempty: \r\n"
                           "n: 18446744073709551615\r\n")));
    mem_free(text);
}

/* Each byte in each place of names and values of each length: all that could end a line is left
 * out, and the rest goes out as it is. */
static void test_lines_written(void **state)
{
    char name[40], value[40], want[100];
    (void)state;
    memset(name, 'n', sizeof name);
    for (size_t n = 1; n <= sizeof value; n++) {
        for (size_t i = 0; i < 2 * n; i++) {
            for (int c = 0; c < 256; c += c < 64 ? 1 : 37) {
                char *at = i < n ? &name[i] : &value[i - n];
                memset(value, 'v', sizeof value);
                *at = (char)c;
                struct http_header h = {{name, n}, {value, n}};
                size_t room = head_lines_room(&h, 1);
                char *text = mem_new(room), *end = head_put_lines(text, &h, 1);
                bool breaks = c == '\r' || c == '\n' || c == '\0';
                size_t whole = (size_t)snprintf(want, sizeof want, "%.*s: %.*s\r\n", (int)n, name,
                                                (int)n, value);
                assert_int_equal(end - text, breaks ? 0 : whole);
                assert_memory_equal(text, want, breaks ? 0 : whole);
                mem_free(text);
                *at = 'n';
            }
        }
    }
}

/* What the strict reader must make of a name or a value with the byte `c` in it. */
static bool may_stand(enum h1_role role, bool in_name, int c)
{
    bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!in_name)
        return c == '\t' || (c >= 0x20 && c != 0x7f);
    return plain || c == '-' || (role == H1_REPLY && c != 0 && strchr("!#$%&'*+.^_`|~", c) != NULL);
}

/* One header in a head: name and value of `n` bytes, the byte `c` at `i` of one of them. */
static void check_line(enum h1_role role, size_t n, size_t i, bool in_name, int c)
{
    char text[256], name[40], value[40], low[40];
    struct http_head head;
    struct slice body;
    struct h1 h;
    memset(name, 'N', sizeof name);
    memset(value, 'V', sizeof value);
    (in_name ? name : value)[i] = (char)c;
    char *at = head_copy(text, role == H1_REQUEST ? S("GET / HTTP/1.1\r\nhost: a\r\n")
                                                  : S("HTTP/1.1 200 OK\r\n"));
    at = head_copy(at, (struct slice){name, n});
    at = head_copy(at, S(":"));
    at = head_copy(at, (struct slice){value, n});
    at = head_copy(at, S("\r\nZ: Z\r\n\r\n"));
    struct slice in = {text, (size_t)(at - text)};
    h1_init(&h, role);
    enum h1_event e = h1_next(&h, &in, &head, &body);
    if (may_stand(role, in_name, c)) {
        const struct http_header *f = &head.header[role == H1_REQUEST ? 1 : 0];
        for (size_t k = 0; k < n; k++)
            low[k] = (char)(name[k] >= 'A' && name[k] <= 'Z' ? name[k] + 32 : name[k]);
        assert_int_equal(e, H1_HEADERS);
        assert_int_equal(head.headers, role == H1_REQUEST ? 3 : 2);
        assert_true(slice_eq(f->name, (struct slice){low, n}));
        assert_true(slice_eq(f->value, slice_trim((struct slice){value, n})));
        assert_true(slice_eq(f[1].name, S("z")) && slice_eq(f[1].value, S("Z")));
    } else {
        assert_int_equal(e, H1_BAD);
        assert_int_equal(h.status, 400);
    }
    h1_free(&h);
}

static void test_lines_read(void **state)
{
    static const size_t SIZES[] = {1, 2, 15, 16, 17, 32, 33};
    (void)state;
    for (size_t k = 0; k < sizeof SIZES / sizeof SIZES[0]; k++)
        for (size_t i = 0; i < SIZES[k]; i++)
            for (int c = 0; c < 256; c++)
                for (int way = 0; way < 4; way++)
                    if (c != ':' || way / 2 == 0) /* a colon in a name ends it */
                        check_line(way % 2 == 0 ? H1_REQUEST : H1_REPLY, SIZES[k], i, way / 2 == 1,
                                   c);
}

static void test_urls(void **state)
{
    static const struct {
        const char *url, *host, *prefix; /* host NULL: refused */
        int port;
        bool tls;
    } ROWS[] = {
        {"https://api.anthropic.com", "api.anthropic.com", "", 443, true},
        {"HTTPS://API.x/", "API.x", "", 443, true},
        {"http://127.0.0.1:8080/v1//", "127.0.0.1", "/v1", 8080, false},
        {"http://[::1]:11434/a/b", "::1", "/a/b", 11434, false},
        {"https://[fe80::1]", "fe80::1", "", 443, true},
        {"https://h/pre%20fix", "h", "/pre%20fix", 443, true},
        {"ftp://h", NULL, NULL, 0, false},
        {"h:80", NULL, NULL, 0, false},
        {"", NULL, NULL, 0, false},
        {"https://", NULL, NULL, 0, false},
        {"https:///x", NULL, NULL, 0, false},
        {"https://:80", NULL, NULL, 0, false},
        {"https://u@h", NULL, NULL, 0, false},
        {"https://u:p@h", NULL, NULL, 0, false},
        {"https://h:", NULL, NULL, 0, false},
        {"https://h:0", NULL, NULL, 0, false},
        {"https://h:65536", NULL, NULL, 0, false},
        {"https://h:80x", NULL, NULL, 0, false},
        {"https://h:+80", NULL, NULL, 0, false},
        {"https://h?x", NULL, NULL, 0, false},
        {"https://h/x?y", NULL, NULL, 0, false},
        {"https://h#x", NULL, NULL, 0, false},
        {"https://h/..", NULL, NULL, 0, false},
        {"https://h/a%2fb", NULL, NULL, 0, false},
        {"https://h/a b", NULL, NULL, 0, false},
        {"https://h h/", NULL, NULL, 0, false},
        {"https://h\\x/", NULL, NULL, 0, false},
        {"https://[::1", NULL, NULL, 0, false},
        {"https://[::1]x", NULL, NULL, 0, false},
        {"https://[]", NULL, NULL, 0, false},
        {"https://[abc]", NULL, NULL, 0, false},
        {"https://a:b:1", NULL, NULL, 0, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        struct http_target t = {.pool = 7, .allow_private = true};
        struct slice prefix = S("unset");
        const char *why = NULL;
        enum err e = http_url_parse(slice_of(ROWS[i].url), &t, &prefix, &why);
        if (ROWS[i].host == NULL) {
            assert_int_equal(e, ERR_SYNTAX);
            assert_non_null(why);
            assert_true(slice_eq(prefix, S("unset")));
            continue;
        }
        assert_int_equal(e, OK);
        assert_true(slice_eq(t.host, slice_of(ROWS[i].host)));
        assert_true(slice_eq(prefix, slice_of(ROWS[i].prefix)));
        assert_int_equal(t.port, ROWS[i].port);
        assert_int_equal(t.tls, ROWS[i].tls);
        assert_true(t.pool == 7 && t.allow_private);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),      cmocka_unit_test(test_bad_start_lines),
        cmocka_unit_test(test_bad_fields),    cmocka_unit_test(test_llhttp_history),
        cmocka_unit_test(test_bad_chunks),    cmocka_unit_test(test_chunks_agree),
        cmocka_unit_test(test_limits),        cmocka_unit_test(test_extensions_add_up),
        cmocka_unit_test(test_any_byte),      cmocka_unit_test(test_header_count),
        cmocka_unit_test(test_no_lenience),   cmocka_unit_test(test_replies),
        cmocka_unit_test(test_head_helpers),  cmocka_unit_test(test_heads_written),
        cmocka_unit_test(test_lines_written), cmocka_unit_test(test_lines_read),
        cmocka_unit_test(test_urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
