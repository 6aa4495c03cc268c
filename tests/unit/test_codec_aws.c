/* links: base http codec */
/* Frames of the event stream: the published ones of wire/bedrock.md section 3, what is written read
 * back, and everything that may be wrong with one. */
#include "codec/aws_frames.h"
#include "codec/framing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const char data_hex[] =
    "000000e20000004bd638d3ce0b3a6576656e742d747970650700056368756e6b0d3a636f6e74656e742d74797065"
    "0700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d747970650700056576656e747b22627974"
    "6573223a2265794a306558426c496a6f695932397564475675644639696247396a6131396b5a57783059534973496d"
    "6c755a475634496a6f774c434a6b5a5778305953493665794a306558426c496a6f69644756346446396b5a57783059"
    "534973496e526c654851694f694a4961534a3966513d3d222c2270223a2261626364227d528ecb0b";
static const char delta[] = "{\"type\":\"content_block_delta\",\"index\":0,"
                            "\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}";
static const char throttled[] =
    "{\"message\":\"Too many tokens, please wait before trying again.\"}";

static size_t unhex(const char *hex, uint8_t *out, size_t size)
{
    memset(out, 0, size);
    size_t n = strlen(hex) / 2;
    assert_true(n <= size && text_unhex(out, n, slice_of(hex)));
    return n;
}

static struct slice slice_at(const uint8_t *p, size_t n)
{
    return (struct slice){(const char *)p, n};
}

static void test_published(void **state)
{
    uint8_t bytes[512];
    size_t n = unhex(data_hex, bytes, sizeof bytes), length = 0;
    struct aws_frame f;
    struct buf json;
    (void)state;
    assert_int_equal(n, 226);
    buf_init(&json, 4096);
    assert_int_equal(aws_frame_length(slice_at(bytes, n), &length), OK);
    assert_int_equal(length, 226);
    assert_int_equal(aws_frame_read(slice_at(bytes, n), &f), OK);
    assert_true(slice_eq(f.message_type, S("event")) && slice_eq(f.kind, S("chunk")));
    assert_int_equal(aws_frame_event(&f, &json), OK);
    assert_true(slice_eq(buf_slice(&json), slice_of(delta)));
    n = unhex("000000100000000005c248eb7d98c8ff", bytes, sizeof bytes);
    assert_int_equal(aws_frame_length(slice_at(bytes, n), &length), OK);
    assert_int_equal(length, 16);
    assert_int_equal(aws_frame_read(slice_at(bytes, n), &f), OK);
    assert_int_equal(f.payload.n, 0);
    buf_clear(&json);
    assert_int_equal(aws_frame_event(&f, &json), ERR_NOTFOUND);
    buf_free(&json);
}

/* The published exception is told by its lengths and checks: ours is the same frame. */
static void test_published_exception(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 4096);
    assert_int_equal(
        aws_frame_put_exception(429, S("Too many tokens, please wait before trying again."), &b),
        OK);
    assert_int_equal(b.len, 176);
    char hex[17];
    text_hex(hex, b.p, 8);
    assert_string_equal(hex, "000000b000000061"); /* 176, headers 97 */
    text_hex(hex, b.p + 8, 4);
    assert_string_equal(hex, "4f5086b3");
    text_hex(hex, b.p + 172, 4);
    assert_string_equal(hex, "f70ae57f");
    assert_true(slice_search(buf_slice(&b), slice_of(throttled)) > 0);
    buf_free(&b);
}

static void test_written_and_read(void **state)
{
    struct buf frame, json;
    struct aws_frame f;
    size_t length = 0;
    (void)state;
    buf_init(&frame, AWS_FRAME_MAX + 1024);
    buf_init(&json, AWS_FRAME_MAX);
    assert_int_equal(aws_frame_put(slice_of(delta), &frame), OK);
    assert_int_equal(aws_frame_length(buf_slice(&frame), &length), OK);
    assert_int_equal(length, frame.len);
    assert_int_equal(aws_frame_read(buf_slice(&frame), &f), OK);
    assert_int_equal(aws_frame_event(&f, &json), OK);
    assert_true(slice_eq(buf_slice(&json), slice_of(delta)));
    buf_free(&frame);
    buf_free(&json);
}

/* Any bit that is turned over is found, wherever it is. */
static void test_every_bit(void **state)
{
    uint8_t bytes[512];
    size_t n = unhex(data_hex, bytes, sizeof bytes), length = 0;
    struct aws_frame f;
    (void)state;
    for (size_t bit = 0; bit < 8 * n; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        enum err e = aws_frame_length(slice_at(bytes, n), &length);
        if (bit / 8 < AWS_FRAME_PRELUDE)
            assert_int_equal(e, ERR_CORRUPT);
        else
            assert_int_equal(e != OK ? e : aws_frame_read(slice_at(bytes, n), &f), ERR_CORRUPT);
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
}

static void u32_put(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static enum err length_of(uint32_t total, uint32_t headers)
{
    uint8_t p[AWS_FRAME_PRELUDE];
    size_t length = 0;
    u32_put(p, total);
    u32_put(p + 4, headers);
    u32_put(p + 8, crypto_crc32(slice_at(p, 8)));
    return aws_frame_length(slice_at(p, sizeof p), &length);
}

static void test_lengths(void **state)
{
    (void)state;
    assert_int_equal(length_of(16, 0), OK);
    assert_int_equal(length_of(15, 0), ERR_SYNTAX);
    assert_int_equal(length_of(0, 0), ERR_SYNTAX);
    assert_int_equal(length_of(16, 1), ERR_SYNTAX);
    assert_int_equal(length_of(100, UINT32_MAX), ERR_SYNTAX);
    assert_int_equal(length_of(1U << 24, 0), OK);
    assert_int_equal(length_of((1U << 24) + 1, 0), ERR_LIMIT);
    assert_int_equal(length_of(UINT32_MAX, 0), ERR_LIMIT);
}

/* A frame with these headers, its checks right. */
static enum err headers_read(const char *hex)
{
    uint8_t p[256];
    struct aws_frame f;
    size_t n = unhex(hex, p + AWS_FRAME_PRELUDE, sizeof p - 16);
    u32_put(p, (uint32_t)(n + 16));
    u32_put(p + 4, (uint32_t)n);
    u32_put(p + 8, crypto_crc32(slice_at(p, 8)));
    u32_put(p + 12 + n, crypto_crc32(slice_at(p, 12 + n)));
    return aws_frame_read(slice_at(p, n + 16), &f);
}

static void test_headers(void **state)
{
    static const struct {
        const char *hex;
        enum err e;
    } rows[] = {
        {"", OK},
        {"016100", OK},                                       /* true */
        {"016101", OK},                                       /* false */
        {"01610205", OK},                                     /* a byte */
        {"0161030005", OK},                                   /* two */
        {"01610400000005", OK},                               /* four */
        {"0161050000000000000005", OK},                       /* eight */
        {"016106000161", OK},                                 /* bytes */
        {"016107000161", OK},                                 /* a string */
        {"0161080000000000000005", OK},                       /* a time */
        {"016109000102030405060708090a0b0c0d0e0f", OK},       /* a UUID */
        {"016109000102030405060708090a0b0c0d0e", ERR_SYNTAX}, /* cut */
        {"01610a", ERR_SYNTAX},                               /* no such type */
        {"0161ff", ERR_SYNTAX},
        {"01", ERR_SYNTAX},
        {"ff61", ERR_SYNTAX},
        {"016107000261", ERR_SYNTAX}, /* longer than there is */
        {"016107ffff61", ERR_SYNTAX},
        {"01610700", ERR_SYNTAX},
        {"01610600016101610700016100", ERR_SYNTAX}, /* the last one has no end */
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(headers_read(rows[i].hex), rows[i].e);
}

/* ---- in a stream ----------------------------------------------------------------------------- */

struct told {
    int n;
    char name[64];
    struct buf data;
};

static enum err on_event(void *arg, struct slice name, struct slice data)
{
    struct told *t = arg;
    t->n++;
    text_copy(t->name, sizeof t->name, name);
    buf_clear(&t->data);
    return buf_puts(&t->data, data);
}

static enum err feed(struct slice bytes, size_t step, struct told *t)
{
    struct framer f;
    enum err e = OK;
    *t = (struct told){.n = 0};
    buf_init(&t->data, AWS_FRAME_MAX);
    framer_init(&f, FRAMING_AWS);
    for (size_t at = 0, n = 0; at < bytes.n && e == OK; at += n) {
        n = step < bytes.n - at ? step : bytes.n - at;
        e = framer_feed(&f, slice_sub(bytes, at, at + n), on_event, t);
    }
    if (e == OK)
        e = framer_end(&f, on_event, t);
    framer_free(&f);
    return e;
}

static void test_exceptions(void **state)
{
    static const struct {
        int status;
        const char *type;
    } rows[] = {
        {400, "invalid_request_error"}, {429, "rate_limit_error"}, {500, "api_error"},
        {503, "overloaded_error"},      {529, "overloaded_error"}, {504, "timeout_error"},
        {404, "invalid_request_error"}, {502, "api_error"},
    };
    struct buf b;
    struct told t;
    (void)state;
    buf_init(&b, 4096);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        buf_clear(&b);
        assert_int_equal(aws_frame_put_exception(rows[i].status, S("so \"it\" is"), &b), OK);
        assert_int_equal(feed(buf_slice(&b), 3, &t), OK);
        assert_int_equal(t.n, 1);
        assert_string_equal(t.name, "error");
        char want[128];
        (void)text_format(want, sizeof want, "\"%s\",\"message\":\"so \\\"it\\\" is\"",
                          rows[i].type);
        assert_true(slice_search(buf_slice(&t.data), slice_of(want)) > 0);
        buf_free(&t.data);
    }
    buf_free(&b);
}

static void test_stream(void **state)
{
    struct buf b;
    struct told t;
    (void)state;
    buf_init(&b, 1 << 20);
    size_t first = 0;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(aws_frame_put(slice_of(delta), &b), OK);
        first = i == 0 ? b.len : first;
        assert_int_equal(aws_frame_put(S("{\"no\":\"type\"}"), &b), OK); /* is passed over */
    }
    for (size_t step = 1; step < 300; step++) {
        assert_int_equal(feed(buf_slice(&b), step, &t), OK);
        assert_int_equal(t.n, 20);
        assert_string_equal(t.name, "content_block_delta");
        assert_true(slice_eq(buf_slice(&t.data), slice_of(delta)));
        buf_free(&t.data);
    }
    size_t one = b.len / 20;
    for (size_t cut = 0; cut < 2 * one; cut++) { /* cut anywhere: told, unless between two frames */
        bool between = cut == 0 || cut == first || cut == one || cut == one + first;
        assert_int_equal(feed(slice_sub(buf_slice(&b), 0, cut), 7, &t), between ? OK : ERR_EOF);
        assert_true(t.n <= 2);
        buf_free(&t.data);
    }
    b.p[b.len - 1] ^= 1;
    assert_int_equal(feed(buf_slice(&b), 100, &t), ERR_CORRUPT);
    assert_int_equal(t.n, 20);
    buf_free(&t.data);
    buf_free(&b);
}

/* The largest frame passes; one that only claims to be larger is refused before it is waited for.
 */
static void test_large(void **state)
{
    struct buf json, b;
    struct told t;
    (void)state;
    buf_init(&json, AWS_FRAME_MAX);
    buf_init(&b, 2 * AWS_FRAME_MAX);
    assert_int_equal(buf_puts(&json, S("{\"type\":\"x\",\"y\":\"")), OK);
    while (json.len < (size_t)12 * 1000 * 1000)
        assert_int_equal(buf_puts(&json, S("0123456789abcdef0123456789abcdef")), OK);
    assert_int_equal(buf_puts(&json, S("\"}")), OK);
    assert_int_equal(aws_frame_put(buf_slice(&json), &b), OK);
    assert_int_equal(feed(buf_slice(&b), 65536, &t), OK);
    assert_int_equal(t.n, 1);
    assert_true(slice_eq(buf_slice(&t.data), buf_slice(&json)));
    buf_free(&t.data);
    while (json.len < (size_t)13 * 1000 * 1000)
        assert_int_equal(buf_puts(&json, S("0123456789abcdef0123456789abcdef")), OK);
    size_t before = b.len;
    assert_int_equal(aws_frame_put(buf_slice(&json), &b), ERR_LIMIT);
    assert_int_equal(b.len, before);
    uint8_t p[AWS_FRAME_PRELUDE];
    u32_put(p, 0x01000001);
    u32_put(p + 4, 0);
    u32_put(p + 8, crypto_crc32(slice_at(p, 8)));
    assert_int_equal(feed(slice_at(p, sizeof p), 5, &t), ERR_LIMIT);
    buf_free(&t.data);
    assert_int_equal(feed(S("HTTP/1.1 502 Bad Gateway"), 1, &t), ERR_CORRUPT);
    buf_free(&t.data);
    buf_free(&b);
    buf_free(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published),
        cmocka_unit_test(test_published_exception),
        cmocka_unit_test(test_written_and_read),
        cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_exceptions),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
