/* links: base http codec */
/* Frames of the event stream over hostile bytes. The first byte chooses: the bytes as they are, cut
 * in two, must give the same events and the same end; or, with their checks put right, so that what
 * lies behind them is reached. */
#include "codec/aws_frames.h"
#include "codec/framing.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)       \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

static void u32_put(char *p, uint32_t v)
{
    p[0] = (char)(v >> 24);
    p[1] = (char)(v >> 16);
    p[2] = (char)(v >> 8);
    p[3] = (char)v;
}

/* Makes the checks of each frame right, as far as its lengths can be. */
static void mend(char *p, size_t n)
{
    while (n >= AWS_FRAME_MIN) {
        const uint8_t *b = (const uint8_t *)p;
        size_t length = (size_t)b[2] << 8 | b[3];
        p[0] = p[1] = p[4] = p[5] = 0;
        if (length < AWS_FRAME_MIN || length > n)
            length = n < 65535 ? n : 65535;
        u32_put(p, (uint32_t)length);
        u32_put(p + 8, crypto_crc32((struct slice){p, 8}));
        u32_put(p + length - 4, crypto_crc32((struct slice){p, length - 4}));
        p += length;
        n -= length;
    }
}

static enum err on_event(void *arg, struct slice name, struct slice event)
{
    struct buf *seen = arg;
    MUST(name.n > 0 && name.n < 64);
    if (buf_printf(seen, "<%.*s>", (int)name.n, name.p) != OK)
        return OK; /* more than is compared */
    (void)!buf_puts(seen, event);
    return OK;
}

static enum err play(struct slice bytes, size_t first, struct buf *seen)
{
    struct framer f;
    framer_init(&f, FRAMING_AWS);
    if (first > bytes.n)
        first = bytes.n;
    enum err e = framer_feed(&f, slice_sub(bytes, 0, first), on_event, seen);
    if (e == OK)
        e = framer_feed(&f, slice_sub(bytes, first, bytes.n), on_event, seen);
    if (e == OK)
        e = framer_end(&f, on_event, seen);
    framer_free(&f);
    return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf bytes, one, two, frame;
    if (size < 2)
        return 0;
    buf_init(&bytes, size);
    buf_init(&one, 1 << 20);
    buf_init(&two, 1 << 20);
    buf_init(&frame, AWS_FRAME_MAX);
    MUST(buf_append(&bytes, data + 2, size - 2) == OK);
    if (data[0] % 2 == 0)
        mend(bytes.p, bytes.len);
    enum err e = play(buf_slice(&bytes), 0, &one);
    MUST(play(buf_slice(&bytes), data[1], &two) == e);
    MUST(slice_eq(buf_slice(&one), buf_slice(&two)));
    MUST(e != ERR_LIMIT || data[0] % 2 == 1);
    struct slice text = {(const char *)data, size};
    MUST(aws_frame_put_exception(400 + data[0], text, &frame) == OK);
    buf_clear(&one);
    MUST(play(buf_slice(&frame), 9, &one) == OK && one.len > 0);
    buf_free(&bytes);
    buf_free(&one);
    buf_free(&two);
    buf_free(&frame);
    return 0;
}
