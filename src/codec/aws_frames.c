/* Frames of Amazon's event stream, both ways. The checks are made before anything is believed: of
 * the prelude before its lengths are used, of the whole before a header is looked at. */
#include "codec/aws_frames.h"
#include "codec/span.h"

#include <string.h>

/* ---- reading --------------------------------------------------------------------------------- */

static uint32_t u32_at(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | (uint32_t)b[3];
}

static size_t u16_at(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;
    return (size_t)b[0] << 8 | (size_t)b[1];
}

enum err aws_frame_length(struct slice prelude, size_t *length)
{
    assert(prelude.n >= AWS_FRAME_PRELUDE);
    *length = 0;
    if (crypto_crc32(slice_sub(prelude, 0, 8)) != u32_at(prelude.p + 8))
        return ERR_CORRUPT;
    size_t total = u32_at(prelude.p), headers = u32_at(prelude.p + 4);
    if (total < AWS_FRAME_MIN || headers > total - AWS_FRAME_MIN)
        return ERR_SYNTAX;
    if (total > AWS_FRAME_MAX)
        return ERR_LIMIT;
    *length = total;
    return OK;
}

/* Bytes of a header's value of this type, or of what tells its length (types 6 and 7). */
static bool value_size(int type, size_t *size)
{
    static const uint8_t sizes[] = {0, 0, 1, 2, 4, 8, 2, 2, 8, 16};
    if (type < 0 || (size_t)type >= sizeof sizes)
        return false;
    *size = sizes[type];
    return true;
}

/* Takes one header off the front. `value` is "" for all but strings and bytes. */
static bool header_take(struct slice *rest, struct slice *name, struct slice *value)
{
    size_t size = 0;
    if (rest->n < 1)
        return false;
    size_t name_len = (uint8_t)rest->p[0];
    if (rest->n < 2 + name_len)
        return false;
    *name = slice_sub(*rest, 1, 1 + name_len);
    int type = (uint8_t)rest->p[1 + name_len];
    *rest = slice_sub(*rest, 2 + name_len, rest->n);
    if (!value_size(type, &size) || rest->n < size)
        return false;
    *value = S("");
    if (type == 6 || type == 7) {
        size_t n = u16_at(rest->p);
        if (rest->n - 2 < n)
            return false;
        *value = slice_sub(*rest, 2, 2 + n);
        size += n;
    }
    *rest = slice_sub(*rest, size, rest->n);
    return true;
}

enum err aws_frame_read(struct slice frame, struct aws_frame *out)
{
    struct slice name, value;
    *out = (struct aws_frame){.message_type = S("")};
    out->kind = out->message = out->payload = S("");
    assert(frame.n >= AWS_FRAME_MIN && frame.n == u32_at(frame.p));
    if (crypto_crc32(slice_sub(frame, 0, frame.n - 4)) != u32_at(frame.p + frame.n - 4))
        return ERR_CORRUPT;
    size_t headers_end = AWS_FRAME_PRELUDE + (size_t)u32_at(frame.p + 4);
    assert(headers_end <= frame.n - 4);
    struct slice headers = slice_sub(frame, AWS_FRAME_PRELUDE, headers_end);
    while (headers.n > 0) {
        if (!header_take(&headers, &name, &value))
            return ERR_SYNTAX;
        if (slice_eq(name, S(":message-type")))
            out->message_type = value;
        else if (slice_eq(name, S(":event-type")) || slice_eq(name, S(":exception-type")) ||
                 slice_eq(name, S(":error-code")))
            out->kind = value;
        else if (slice_eq(name, S(":error-message")))
            out->message = value;
    }
    out->payload = slice_sub(frame, headers_end, frame.n - 4);
    return OK;
}

enum err aws_frame_event(const struct aws_frame *f, struct buf *json)
{
    struct span v;
    struct buf room;
    struct slice coded;
    if (f->payload.n == 0 || !span_member(f->payload, S("bytes"), &v))
        return ERR_NOTFOUND;
    buf_init(&room, AWS_FRAME_MAX);
    enum err e = span_text(f->payload, v, &room, &coded);
    if (e == OK)
        e = text_unbase64(json, coded, false);
    buf_free(&room);
    return e;
}

/* ---- exceptions ------------------------------------------------------------------------------ */

/* Named with a capital in the schema, with a small letter in streams (section 3). */
static const struct {
    const char *name, *type;
} exceptions[] = {
    {"validationException", "invalid_request_error"},
    {"accessDeniedException", "permission_error"},
    {"resourceNotFoundException", "not_found_error"},
    {"modelTimeoutException", "timeout_error"},
    {"modelErrorException", "api_error"},
    {"modelStreamErrorException", "api_error"},
    {"throttlingException", "rate_limit_error"},
    {"modelNotReadyException", "overloaded_error"},
    {"serviceQuotaExceededException", "rate_limit_error"},
    {"conflictException", "invalid_request_error"},
    {"internalServerException", "api_error"},
    {"serviceUnavailableException", "overloaded_error"},
    {"unrecognizedClientException", "authentication_error"},
    {"invalidSignatureException", "authentication_error"},
    {"expiredTokenException", "authentication_error"},
};

static const char *exception_type(struct slice kind)
{
    for (size_t i = 0; i < sizeof exceptions / sizeof exceptions[0]; i++) {
        if (slice_ieq(kind, slice_of(exceptions[i].name)))
            return exceptions[i].type;
    }
    return "api_error";
}

static enum err error_put(const char *type, struct slice message, struct buf *json)
{
    struct jw w;
    jw_init(&w, json);
    jw_obj(&w);
    jw_kcstr(&w, "type", "error");
    jw_key(&w, "error");
    jw_obj(&w);
    jw_kcstr(&w, "type", type);
    jw_kstr(&w, "message", message);
    jw_end_obj(&w);
    jw_end_obj(&w);
    return w.err;
}

enum err aws_frame_error(const struct aws_frame *f, struct buf *json)
{
    struct json *doc = NULL;
    struct slice message = f->message;
    if (message.n == 0 && json_parse(f->payload, &doc) == OK) {
        message = json_get_str(json_root(doc), "message");
        if (message.n == 0)
            message = json_get_str(json_root(doc), "Message");
    }
    enum err e = error_put(exception_type(f->kind), message.n > 0 ? message : f->kind, json);
    json_free(doc);
    return e;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void u32_put(char *p, size_t v)
{
    assert(v <= UINT32_MAX);
    p[0] = (char)(v >> 24 & 0xff);
    p[1] = (char)(v >> 16 & 0xff);
    p[2] = (char)(v >> 8 & 0xff);
    p[3] = (char)(v & 0xff);
}

/* Ends the frame that begins at `start`, with room for the prelude left there. */
static enum err frame_close(struct buf *out, size_t start, size_t headers_end)
{
    char check[4];
    size_t total = out->len - start + sizeof check;
    if (total > AWS_FRAME_MAX)
        return ERR_LIMIT;
    char *p = out->p + start;
    u32_put(p, total);
    u32_put(p + 4, headers_end - start - AWS_FRAME_PRELUDE);
    u32_put(p + 8, crypto_crc32((struct slice){p, 8}));
    u32_put(check, crypto_crc32((struct slice){p, total - sizeof check}));
    return buf_append(out, check, sizeof check);
}

static enum err header_put(struct buf *out, struct slice name, struct slice value)
{
    assert(name.n < 256 && value.n < 256);
    char lead = (char)name.n, type[3] = {7, 0, (char)value.n};
    enum err e = buf_append(out, &lead, 1);
    if (e == OK)
        e = buf_puts(out, name);
    if (e == OK)
        e = buf_append(out, type, sizeof type);
    return e == OK ? buf_puts(out, value) : e;
}

static enum err headers_put(struct buf *out, struct slice kind_name, struct slice kind,
                            struct slice message_type)
{
    static const char prelude[AWS_FRAME_PRELUDE];
    enum err e = buf_append(out, prelude, sizeof prelude);
    if (e == OK)
        e = header_put(out, kind_name, kind);
    if (e == OK)
        e = header_put(out, S(":content-type"), S("application/json"));
    return e == OK ? header_put(out, S(":message-type"), message_type) : e;
}

enum err aws_frame_put(struct slice json, struct buf *out)
{
    size_t start = out->len, headers_end = 0;
    enum err e = headers_put(out, S(":event-type"), S("chunk"), S("event"));
    headers_end = out->len;
    if (e == OK)
        e = buf_puts(out, S("{\"bytes\":\""));
    if (e == OK)
        e = text_base64(out, json.p, json.n, false);
    if (e == OK)
        e = buf_puts(out, S("\"}"));
    if (e == OK)
        e = frame_close(out, start, headers_end);
    if (e != OK)
        out->len = start;
    return e;
}

/* Only what the stream's schema knows: clients must not meet an exception of another call. */
static const char *exception_of(int status)
{
    switch (status) {
    case 408:
    case 504:
        return "modelTimeoutException";
    case 429:
        return "throttlingException";
    case 503:
    case 529:
        return "serviceUnavailableException";
    default:
        return status >= 400 && status < 500 ? "validationException" : "internalServerException";
    }
}

enum err aws_frame_put_exception(int status, struct slice message, struct buf *out)
{
    size_t start = out->len, headers_end = 0;
    enum err e = headers_put(out, S(":exception-type"), slice_of(exception_of(status)),
                             S("exception"));
    headers_end = out->len;
    if (e == OK)
        e = buf_puts(out, S("{\"message\":"));
    if (e == OK)
        e = json_escape(out, message);
    if (e == OK)
        e = buf_puts(out, S("}"));
    if (e == OK)
        e = frame_close(out, start, headers_end);
    if (e != OK)
        out->len = start;
    return e;
}
