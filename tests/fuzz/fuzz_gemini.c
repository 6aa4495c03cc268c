/* links: base http codec */
/* The Gemini dialect over hostile bytes: see dialect_play.h. Its schemas and signatures too. */
#include "dialect_play.h"

#include "codec/gemini.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A schema cut down is JSON; taken for one of the subset, it becomes JSON too. */
static void fuzz_schema(struct slice text)
{
    struct json *doc = NULL;
    struct buf out;
    if (json_parse(text, &doc) != OK)
        return;
    buf_init(&out, (size_t)64 << 20);
    MUST(gemini_schema_cut(text, &out) == OK);
    play_check(buf_slice(&out));
    buf_clear(&out);
    if (json_type(json_root(doc)) == JSON_OBJECT) {
        MUST(gemini_schema_plain(json_root(doc), &out) == OK);
        play_check(buf_slice(&out));
        buf_clear(&out);
        MUST(gemini_schema_bare(text, &out) == OK);
        play_check(buf_slice(&out));
    }
    json_free(doc);
    buf_free(&out);
}

/* A signature comes back as it went out, whoever made it. */
static void fuzz_sign(struct slice sign)
{
    struct buf wire, back;
    buf_init(&wire, 1 << 20);
    buf_init(&back, 1 << 20);
    MUST(gemini_sign_read(sign, &back) == OK && back.len > 0);
    buf_clear(&back);
    bool empty = sign.n == 0 || slice_eq(sign, S(GEMINI_SIGNED));
    if (!empty && text_is_utf8(sign) && sign.n < 10000) {
        MUST(gemini_sign_write(sign, &wire) == OK);
        MUST(gemini_sign_read(buf_slice(&wire), &back) == OK);
        bool own = gemini_signed(sign) &&
                   slice_starts(slice_sub(sign, sizeof GEMINI_SIGNED - 1, sign.n), S("U0xV"));
        MUST(own || slice_eq(buf_slice(&back), sign));
    }
    buf_free(&wire);
    buf_free(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const models[] = {"gemini-3-flash", "gemini-2.5-pro", "gemini-2.0-flash",
                                         "gemini-flash-latest"};
    if (size < 2)
        return 0;
    struct slice bytes = {(const char *)data + 2, size - 2};
    if (data[0] == 254)
        fuzz_schema(bytes);
    else if (data[0] == 255)
        fuzz_sign(bytes);
    else
        play_all(DIALECT_GEMINI, REPLY_SSE, slice_of(models[data[1] / 4 % 4]), data, size);
    return 0;
}
