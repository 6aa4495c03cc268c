/* links: base http codec */
/* The observer over hostile replies: any split of the input gives the same observation and forwards
 * the same number of bytes, always of whole events. The first two bytes choose the kind and the
 * split. */
#include "../unit/codec_watch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)       \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

static void fuzz_error(int status, struct slice body)
{
    struct reply_words words = {0};
    struct observation o = {.words = &words};
    codec_error_read(DIALECT_ANTHROPIC, status, body, &o);
    MUST(o.error != REPLY_ERROR_NONE);
    MUST(strlen(reply_words(&o)->error_type) < sizeof reply_words(&o)->error_type);
    MUST(strlen(reply_words(&o)->error_message) < sizeof reply_words(&o)->error_message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct watch whole, cut;
    if (size < 2)
        return 0;
    enum reply_kind kind = data[0] % 8 == 0 ? REPLY_JSON : REPLY_SSE;
    struct slice bytes = {(const char *)data + 2, size - 2};
    watch_play(&whole, kind, bytes, 0, 0);
    MUST(whole.forwarded <= bytes.n);
    watch_play(&cut, kind, bytes, data[1], data[0] / 8);
    MUST(strcmp(whole.seen, cut.seen) == 0 && whole.forwarded == cut.forwarded);
    watch_play(&cut, kind, bytes, 0,
               bytes.n < 600 ? 1 : 61); /* long ones would take all the time */
    MUST(strcmp(whole.seen, cut.seen) == 0 && whole.forwarded == cut.forwarded);
    fuzz_error(400 + data[1], bytes);
    return 0;
}
