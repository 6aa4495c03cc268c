/* Errors of one dialect in the words of another (wire/translate-anthropic-openai.md section E).
 *
 * What must survive is what clients act on: the status, and that a prompt was too long, for Claude
 * Code compacts its talk when a message begins with those words. */
#include "codec/dialect.h"

#include <string.h>

#define TOO_LONG "prompt is too long"

/* Only the front of a message is looked at: further in it may quote the request. */
bool error_is_too_long(struct slice type, struct slice message)
{
    static const char *const texts[] = {
        TOO_LONG,
        "Input is too long", /* Bedrock */
        "maximum context length",
        "context_length_exceeded",
        "exceeds the context window",
        "exceeds the maximum number of tokens", /* Gemini */
        "maximum prompt length",
        "Prompt is too long",
        "input length and `max_tokens` exceed context limit",
    };
    if (slice_eq(type, S("context_length_exceeded")))
        return true;
    struct slice front = slice_sub(message, 0, message.n < 200 ? message.n : 200);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (slice_search(front, slice_of(texts[i])) >= 0)
            return true;
    }
    return false;
}

/* Statuses of others that Anthropic's clients do not know. */
static int status_anthropic(int status, enum reply_error error)
{
    if (error == REPLY_ERROR_OVERLOADED || status == 503)
        return 529;
    if (error == REPLY_ERROR_AUTH && status == 400) /* Gemini: a wrong key */
        return 401;
    if (status == 408)
        return 504;
    if (status == 424) /* Bedrock: the model failed */
        return 500;
    return status;
}

int error_status_in(enum dialect to, int status, enum reply_error error, struct slice type,
                    struct slice message)
{
    if (error == REPLY_ERROR_CLIENT && error_is_too_long(type, message))
        return 400;
    if (to == DIALECT_ANTHROPIC)
        return status_anthropic(status, error);
    return status == 529 ? 503 : status;
}

void error_text_in(enum dialect to, struct slice type, struct slice message, char *out, size_t size)
{
    assert(size > 0);
    if (message.n == 0)
        message = S("The provider answered with an error that says nothing");
    if (to == DIALECT_ANTHROPIC && error_is_too_long(type, message) &&
        !slice_starts(message, S(TOO_LONG))) {
        size_t n = text_format(out, size, "%s: ", TOO_LONG);
        text_copy(out + n, size - n, message);
        return;
    }
    text_copy(out, size, message);
}

enum err codec_error_translate(enum dialect from, enum dialect to, int *status, struct slice body,
                               struct slice request_id, struct buf *out)
{
    char text[320];
    struct reply_words words = {0};
    struct observation o = {.words = &words};
    assert(*status >= 400);
    codec_error_read(from, *status, body, &o);
    struct slice type = slice_of(reply_words(&o)->error_type),
                 message = slice_of(reply_words(&o)->error_message);
    *status = error_status_in(to, *status, o.error, type, message);
    error_text_in(to, type, message, text, sizeof text);
    return codec_error_body(to, *status, slice_of(text), request_id, out);
}
