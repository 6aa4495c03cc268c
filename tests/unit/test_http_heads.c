/* links: base http */
/* A head that stands whole in what came is read by our reader first, and by llhttp only where it
 * frames the message; of one that comes in pieces llhttp reads all. Nobody may see a difference,
 * nor one where a head has moved to. */
#include "http/h1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#ifndef HEADS_TRIED
#define HEADS_TRIED 20000
#endif
#define HEAD_SPACE 1024
#define PADDING    "0123456789012345678901234567890123456789"

/* All that can be told of reading `in`, the first `cut` bytes of it alone; 0: all at once. */
static char *head_read_in(struct slice in, enum h1_role role, size_t cut)
{
    struct http_head head = {0};
    struct slice body, first = slice_sub(in, 0, cut), rest = slice_sub(in, cut, in.n);
    enum h1_event e = H1_MORE;
    struct buf t;
    struct h1 h;
    buf_init(&t, 1 << 20);
    h1_init(&h, role);
    if (cut > 0)
        e = h1_next(&h, &first, &head, &body);
    if (e == H1_MORE)
        e = h1_next(&h, &rest, &head, &body);
    assert_int_equal(buf_printf(&t, "%d status=%d %s", (int)e, h.status, h.why ? h.why : ""), OK);
    if (e == H1_HEADERS) {
        assert_int_equal(buf_printf(&t, "left=%zu method=%d status=%d framing=%d length=%" PRId64,
                                    first.n + rest.n, (int)head.method, head.status, h.framing,
                                    h.left),
                         OK);
        assert_int_equal(buf_printf(&t, " http10=%d keep=%d connection=%d expect=%d", h.http10,
                                    head.keep_alive, head.connection, head.expect_continue),
                         OK);
        assert_int_equal(buf_printf(&t, " path=%.*s query=%.*s", (int)head.path.n, head.path.p,
                                    (int)head.query.n, head.query.p),
                         OK);
    }
    for (int i = 0; e == H1_HEADERS && i < head.headers; i++) {
        const struct http_header *f = &head.header[i];
        assert_int_equal(
            buf_printf(&t, " %.*s=%.*s", (int)f->name.n, f->name.p, (int)f->value.n, f->value.p),
            OK);
    }
    h1_free(&h);
    return buf_take(&t);
}

static uint32_t dice(uint32_t *seed, uint32_t n)
{
    *seed = *seed * 1664525 + 1013904223;
    return (*seed >> 8) % n;
}

/* A head of some lines, a few of its bytes replaced, left out or doubled. */
static size_t head_make(char out[HEAD_SPACE], enum h1_role role, uint32_t *seed)
{
    static const char *const START[2][4] = {
        {"GET /a HTTP/1.1\r\n", "POST /v1/messages?b=c HTTP/1.1\r\n", "\r\nPOST / HTTP/1.1\r\n",
         "HEAD / HTTP/1.0\r\n"},
        {"HTTP/1.1 200 OK\r\n", "HTTP/1.1 204\r\n", "HTTP/1.0 200 OK\r\n",
         "HTTP/1.1 429 Too Many \xfc\r\n"}};
    static const char *const LINE[] = {"content-length: 5\r\n",
                                       "Content-Length:\t12 \r\n",
                                       "Transfer-Encoding: chunked\r\n",
                                       "transfer-encoding: gzip, chunked\r\n",
                                       "Connection: Upgrade, close\r\n",
                                       "Connection: keep-alive\r\n",
                                       "Upgrade: h2c\r\n",
                                       "Proxy-Connection: close\r\n",
                                       "Expect: 100-continue\r\n",
                                       "x: y\r\n",
                                       "content-type: application/json\r\n",
                                       "Content-Lengt: 5\r\n",
                                       "content-lengthy: 5\r\n",
                                       "transfer-encodinf: chunked\r\n",
                                       "x-empty:\r\n",
                                       "a-name-of-many-bytes: \t\xc3\xa4 \"text\" of as many\t\r\n",
                                       "a~b|c: d\r\n",
                                       " folded\r\n",
                                       "host: b\r\n",
                                       "x: y\nz: 0\r\n"};
    static const char BYTES[] = "\r\n\t :,;\0\x7f\x80-_aZ09";
    char *at = head_copy(out, slice_of(START[role == H1_REPLY][dice(seed, 4)]));
    if (dice(seed, 8) > 0)
        at = head_copy(at, S("Host: a\r\n"));
    for (uint32_t n = dice(seed, 6); n > 0; n--)
        at = head_copy(at, slice_of(LINE[dice(seed, sizeof LINE / sizeof LINE[0])]));
    at = head_copy(at, S("\r\nhello"));
    size_t n = (size_t)(at - out);
    for (uint32_t changes = dice(seed, 4); changes > 0; changes--) {
        size_t i = dice(seed, (uint32_t)n);
        uint32_t way = dice(seed, 3);
        if (way == 0)
            out[i] = BYTES[dice(seed, sizeof BYTES - 1)];
        else if (way == 1)
            memmove(out + i, out + i + 1, --n - i);
        else
            memmove(out + i + 1, out + i, n++ - i);
    }
    assert_true(n <= HEAD_SPACE);
    return n;
}

static void same_in_pieces(struct slice in, enum h1_role role, size_t cut, int *taken)
{
    char *whole = head_read_in(in, role, 0), *pieces = head_read_in(in, role, cut);
    if (strcmp(whole, pieces) != 0)
        print_error("input: %.*s\n", (int)in.n, in.p);
    assert_string_equal(whole, pieces);
    *taken += strstr(whole, "framing=") != NULL;
    mem_free(whole);
    mem_free(pieces);
}

static void test_heads_at_once(void **state)
{
    int taken = 0;
    uint32_t seed = 1;
    (void)state;
    for (int i = 0; i < HEADS_TRIED; i++) {
        char text[HEAD_SPACE];
        enum h1_role role = i % 2 == 0 ? H1_REQUEST : H1_REPLY;
        struct slice in = {text, head_make(text, role, &seed)};
        same_in_pieces(in, role, 1, &taken);
        same_in_pieces(in, role, 1 + dice(&seed, (uint32_t)in.n - 1), &taken);
    }
    assert_true(taken > HEADS_TRIED / 5 && taken < HEADS_TRIED / 5 * 9); /* of two looks at each */
}

/* As long as a head may be, and a byte more; what follows is left alone. */
static void test_longest(void **state)
{
    static const enum h1_role ROLES[] = {H1_REQUEST, H1_REPLY};
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        size_t most = ROLES[k] == H1_REQUEST ? HTTP_HEAD_MAX : H1_UPSTREAM_HEAD_MAX;
        for (size_t n = most - 2; n <= most + 2; n++) {
            char *text = mem_new(n + 4), *at;
            int taken = 0;
            at = head_copy(text, ROLES[k] == H1_REQUEST ? S("GET / HTTP/1.1\r\nhost: a\r\n")
                                                        : S("HTTP/1.1 200 OK\r\n"));
            while (at < text + n - 2) {
                size_t left = (size_t)(text + n - 2 - at), line = left > 9000 ? 8000 : left;
                memset(at, 'a', line);
                at[1] = ':';
                memcpy(at + line - 2, "\r\n", 2);
                at += line;
            }
            memcpy(at, "\r\nmore", 6);
            same_in_pieces((struct slice){text, n + 4}, ROLES[k], 1, &taken);
            assert_int_equal(taken, n <= most);
            mem_free(text);
        }
    }
}

/* Reads a reply's head with so many headers. */
static void reply_of(struct h1 *h, struct http_head *head, int headers)
{
    struct buf text;
    struct slice in, body;
    buf_init(&text, 1 << 20);
    assert_int_equal(buf_puts(&text, S("HTTP/1.1 200 OK\r\n")), OK);
    for (int i = 0; i < headers; i++)
        assert_int_equal(buf_printf(&text, "X-%d:%.*s\r\n", i, i % 40, PADDING), OK);
    assert_int_equal(buf_puts(&text, S("\r\nbody")), OK);
    in = buf_slice(&text);
    h1_begin(h, false);
    assert_int_equal(h1_next(h, &in, head, &body), H1_HEADERS);
    assert_true(slice_eq(in, S("body")));
    assert_int_equal(head->headers, headers);
    buf_free(&text);
}

static void reply_is(const struct http_head *head)
{
    char name[16];
    for (int i = 0; i < head->headers; i++) {
        snprintf(name, sizeof name, "x-%d", i);
        assert_true(slice_eq(head->header[i].name, slice_of(name)));
        assert_true(
            slice_eq(head->header[i].value, slice_sub(slice_of(PADDING), 0, (size_t)i % 40)));
    }
}

/* A head that has moved says what it said, whatever becomes of the memory it came in. */
static void test_head_fits(void **state)
{
    static const int HEADERS[] = {0, 1, 3, 8, 9, 40, 100, 2};
    struct h1 h, other;
    struct http_head head, next;
    (void)state;
    h1_init(&h, H1_REPLY);
    h1_init(&other, H1_REPLY);
    for (size_t i = 0; i < sizeof HEADERS / sizeof HEADERS[0]; i++) {
        reply_of(&h, &head, HEADERS[i]);
        size_t had = h.raw.cap;
        h1_fit_head(&h, &head);
        assert_true(h.raw.cap <= had && h.raw.cap - h.raw.len < 64 + H1_BEHIND);
        assert_true(head.header == h.header && h.header_room - head.headers <= 2);
        reply_of(&other, &next, 100); /* into what has become free */
        reply_is(&head);
        reply_is(&next);
        h1_drop_head(&other, &next);
        reply_of(&other, &next, HEADERS[i]);
        reply_is(&head);
    }
    reply_of(&h, &head, 40); /* a longer one than fits */
    reply_is(&head);
    h1_free(&other);
    h1_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads_at_once),
        cmocka_unit_test(test_longest),
        cmocka_unit_test(test_head_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
