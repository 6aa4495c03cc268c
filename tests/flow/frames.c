/* frames: big-endian lengths, two checks, headers, a payload with base64 in it. */
#include "frames.h"

#include <string.h>

static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void put_u32(struct bytes *out, uint32_t v)
{
    const char b[4] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};
    bytes_add(out, b, 4);
}

static uint32_t get_u32(struct slice s, size_t at)
{
    const uint8_t *p = (const uint8_t *)s.p + at;
    assert(at + 4 <= s.n);
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_base64(struct bytes *out, struct slice s)
{
    for (size_t i = 0; i < s.n; i += 3) {
        uint32_t v = 0;
        for (size_t k = 0; k < 3; k++)
            v = v << 8 | (i + k < s.n ? (uint8_t)s.p[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            bytes_add(out, i + k > s.n ? "=" : &DIGITS[(v >> (18 - 6 * k)) & 63], 1);
    }
}

static bool get_base64(struct slice s, struct bytes *out)
{
    uint32_t v = 0;
    int bits = 0;
    while (slice_ends(s, S("=")))
        s.n--;
    for (size_t i = 0; i < s.n; i++) {
        const char *d = memchr(DIGITS, s.p[i], 64);
        if (d == NULL)
            return false;
        v = v << 6 | (uint32_t)(d - DIGITS);
        bits += 6;
        if (bits < 8)
            continue;
        bits -= 8;
        bytes_add(out, &(const char){(char)(v >> bits)}, 1);
        v &= (1u << bits) - 1;
    }
    return true;
}

static void put_header(struct bytes *out, struct slice name, struct slice value)
{
    assert(name.n < 256 && value.n < 32768);
    bytes_add(out, &(const char){(char)name.n}, 1);
    bytes_puts(out, name);
    bytes_add(out, "\x07", 1);
    bytes_add(out, (const char[]){(char)(value.n >> 8), (char)value.n}, 2);
    bytes_puts(out, value);
}

static void put_frame(struct bytes *out, struct slice headers, struct slice payload)
{
    size_t from = out->n;
    put_u32(out, (uint32_t)(headers.n + payload.n + 16));
    put_u32(out, (uint32_t)headers.n);
    put_u32(out, crypto_crc32((struct slice){out->p + from, 8}));
    bytes_puts(out, headers);
    bytes_puts(out, payload);
    put_u32(out, crypto_crc32((struct slice){out->p + from, out->n - from}));
}

void frames_event(struct bytes *out, struct slice json)
{
    struct bytes headers = {0}, payload = {0};
    put_header(&headers, S(":event-type"), S("chunk"));
    put_header(&headers, S(":content-type"), S("application/json"));
    put_header(&headers, S(":message-type"), S("event"));
    bytes_puts(&payload, S("{\"bytes\":\""));
    put_base64(&payload, json);
    bytes_puts(&payload, S("\",\"p\":\"abcd\"}"));
    put_frame(out, bytes_slice(&headers), bytes_slice(&payload));
    bytes_free(&headers);
    bytes_free(&payload);
}

void frames_exception(struct bytes *out, struct slice name, struct slice message)
{
    struct bytes headers = {0}, payload = {0};
    put_header(&headers, S(":exception-type"), name);
    put_header(&headers, S(":content-type"), S("application/json"));
    put_header(&headers, S(":message-type"), S("exception"));
    bytes_printf(&payload, "{\"message\":\"%.*s\"}", (int)message.n, message.p);
    put_frame(out, bytes_slice(&headers), bytes_slice(&payload));
    bytes_free(&headers);
    bytes_free(&payload);
}

bool message_is_aws(const struct message *m)
{
    const struct slice *type = message_find(m, S("content-type"), NULL);
    return type != NULL && slice_istarts(*type, S("application/vnd.amazon.eventstream"));
}

/* The value of a header of the frame's; only strings are known. "" = none. */
static struct slice frame_header(struct slice headers, struct slice name)
{
    for (size_t at = 0; at < headers.n;) {
        size_t len = (uint8_t)headers.p[at];
        if (at + 1 + len + 3 > headers.n || headers.p[at + 1 + len] != 7)
            return S("");
        struct slice is = slice_sub(headers, at + 1, at + 1 + len);
        at += len + 2;
        size_t n = (size_t)((uint8_t)headers.p[at] << 8 | (uint8_t)headers.p[at + 1]);
        at += 2;
        if (at + n > headers.n)
            return S("");
        if (slice_eq(is, name))
            return slice_sub(headers, at, at + n);
        at += n;
    }
    return S("");
}

/* "..." behind "key":" ; without escapes. */
static struct slice text_behind(struct slice json, struct slice lead)
{
    ptrdiff_t at = slice_search(json, lead);
    if (at < 0)
        return S("");
    struct slice rest = slice_sub(json, (size_t)at + lead.n, json.n);
    ptrdiff_t end = slice_find(rest, '"');
    return slice_sub(rest, 0, end < 0 ? 0 : (size_t)end);
}

static void event_plain(struct slice headers, struct slice payload, struct bytes *out)
{
    struct slice exception = frame_header(headers, S(":exception-type"));
    struct bytes json = {0};
    struct slice name = exception;
    if (exception.n > 0)
        bytes_puts(&json, payload);
    else if (get_base64(text_behind(payload, S("\"bytes\":\"")), &json))
        name = text_behind(bytes_slice(&json), S("\"type\":\""));
    else
        name = S("bad");
    bytes_printf(out, "event: %.*s\ndata: %.*s\n\n", (int)name.n, name.p, (int)json.n,
                 json.p != NULL ? json.p : "");
    bytes_free(&json);
}

void frames_plain(struct slice body, struct bytes *out)
{
    while (body.n >= 16) {
        size_t total = get_u32(body, 0), headers = get_u32(body, 4);
        if (total > body.n)
            break; /* half a frame */
        if (total < 16 || headers > total - 16 ||
            get_u32(body, 8) != crypto_crc32(slice_sub(body, 0, 8)) ||
            get_u32(body, total - 4) != crypto_crc32(slice_sub(body, 0, total - 4))) {
            bytes_puts(out, S("event: bad\ndata: \n\n"));
            return;
        }
        event_plain(slice_sub(body, 12, 12 + headers), slice_sub(body, 12 + headers, total - 4),
                    out);
        body = slice_sub(body, total, body.n);
    }
    if (body.n > 0)
        bytes_puts(out, S("event: half\ndata: \n\n"));
}
