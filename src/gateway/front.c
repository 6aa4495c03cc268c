/* The front: what the gateway says itself, said as the client's API says it. */
#include "gateway/exchange.h"

int front_status(const struct front *f, int status)
{
    bool anthropic = f->dialect == DIALECT_ANTHROPIC && f->wire != WIRE_BEDROCK;
    /* To Google's clients a 401 is a token that ran out: they come again, Claude Code for minutes
     * and whatever x-should-retry says (measured with 2.1.197). A 403 they show. */
    if (status == 401 && f->wire == WIRE_VERTEX)
        return 403;
    return status == 529 && !anthropic ? 503 : status;
}

/* {"message": ...}, as AWS says it. */
static enum err bedrock_error(struct slice message, struct buf *out)
{
    struct jw w;
    jw_init(&w, out);
    jw_obj(&w);
    jw_kstr(&w, "message", message);
    jw_end_obj(&w);
    return w.err;
}

enum err front_error(const struct front *f, int status, struct slice message,
                     struct slice request_id, struct buf *out)
{
    if (f->wire == WIRE_BEDROCK)
        return bedrock_error(message, out);
    return codec_error_body(f->dialect, status, message, request_id, out);
}

enum err front_error_of(const struct front *f, enum dialect from, int *status, struct slice body,
                        struct slice request_id, struct buf *out)
{
    struct reply_words words = {0};
    struct observation o = {.words = &words};
    struct buf plain;
    if (f->wire != WIRE_BEDROCK)
        return codec_error_translate(from, f->dialect, status, body, request_id, out);
    buf_init(&plain, 65536);
    enum err e = codec_error_translate(from, DIALECT_ANTHROPIC, status, body, request_id, &plain);
    if (e == OK) {
        codec_error_read(DIALECT_ANTHROPIC, *status, buf_slice(&plain), &o);
        *status = front_status(f, *status);
        e = bedrock_error(slice_of(reply_words(&o)->error_message), out);
    }
    buf_free(&plain);
    return e;
}

/* wire/bedrock.md section 3. */
static const char *exception_name(int status)
{
    switch (status) {
    case 401:
    case 403:
        return "AccessDeniedException";
    case 404:
        return "ResourceNotFoundException";
    case 408:
    case 504:
        return "ModelTimeoutException";
    case 424:
        return "ModelErrorException";
    case 429:
        return "ThrottlingException";
    case 503:
        return "ServiceUnavailableException";
    default:
        return status >= 500 ? "InternalServerException" : "ValidationException";
    }
}

struct http_header front_error_header(const struct front *f, int status)
{
    if (f->wire != WIRE_BEDROCK)
        return (struct http_header){S(""), S("")};
    return (struct http_header){S("x-amzn-errortype"), slice_of(exception_name(status))};
}

struct slice front_stream_type(const struct front *f)
{
    switch (f->stream) {
    case FRAMING_AWS:
        return S("application/vnd.amazon.eventstream");
    case FRAMING_LINES:
        return S("application/x-ndjson");
    case FRAMING_WHOLE:
    case FRAMING_ARRAY:
        return S("application/json");
    case FRAMING_SSE:
        break;
    }
    return S("text/event-stream; charset=utf-8");
}
