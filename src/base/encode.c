/* Base64 (RFC 4648, sections 4 and 5) and hex. Decoding is strict: one text per value, so that two
 * different keys or tokens on paper are never the same one in memory. */
#include "base/base.h"

#include <string.h>

static const char base64_std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

enum err text_base64(struct buf *out, const void *p, size_t n, bool url)
{
    const char *digit = url ? base64_url : base64_std;
    const uint8_t *in = p;
    enum err e;

    assert(p != NULL || n == 0);
    if (n > PTRDIFF_MAX / 2)
        return ERR_LIMIT;
    e = buf_reserve(out, (n + 2) / 3 * 4);
    if (e != OK || n == 0)
        return e;
    char *to = out->p + out->len;
    for (; n > 0; in += 3) {
        size_t got = n < 3 ? n : 3;
        uint32_t v = (uint32_t)in[0] << 16 | (got > 1 ? (uint32_t)in[1] << 8 : 0) |
                     (got > 2 ? (uint32_t)in[2] : 0);
        for (size_t i = 0; i <= got; i++)
            *to++ = digit[v >> (18 - 6 * i) & 63];
        for (size_t i = got + 1; i < 4 && !url; i++)
            *to++ = '=';
        n -= got;
        if (n == 0)
            break;
    }
    out->len = (size_t)(to - out->p);
    assert(out->len <= out->cap);
    return OK;
}

static int base64_value(char c, bool url)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == (url ? '-' : '+'))
        return 62;
    return c == (url ? '_' : '/') ? 63 : -1;
}

enum err text_unbase64(struct buf *out, struct slice s, bool url)
{
    uint32_t bits = 0;
    unsigned held = 0; /* bits not yet written */
    enum err e;

    if (!url) {
        if (s.n % 4 != 0)
            return ERR_SYNTAX;
        for (int pad = 0; pad < 2 && s.n > 0 && s.p[s.n - 1] == '='; pad++)
            s.n--;
    }
    if (s.n % 4 == 1)
        return ERR_SYNTAX;
    e = buf_reserve(out, s.n / 4 * 3 + s.n % 4);
    if (e != OK)
        return e;
    size_t len = out->len;
    for (size_t i = 0; i < s.n; i++) {
        int v = base64_value(s.p[i], url);
        if (v < 0)
            return ERR_SYNTAX;
        bits = bits << 6 | (uint32_t)v;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out->p[len++] = (char)(bits >> held & 0xff);
        }
    }
    if ((bits & ((1u << held) - 1)) != 0)
        return ERR_SYNTAX; /* left-over bits: a second spelling of the same bytes */
    assert(held < 6 && len <= out->cap);
    out->len = len;
    return OK;
}

void text_hex(char *out, const void *p, size_t n)
{
    const uint8_t *in = p;

    assert(out != NULL && (p != NULL || n == 0));
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = "0123456789abcdef"[in[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[in[i] & 15];
    }
    out[2 * n] = '\0';
}

#define EACH_BYTE(b) (UINT64_C(0x0101010101010101) * (b))

/* Eight digits at once: half a byte each, spread over a byte each. The stores are spelled out, so
 * that compilers make one of them. */
static void hex_put8(char *out, uint64_t w)
{
    w = (w | w << 16) & UINT64_C(0x0000ffff0000ffff);
    w = (w | w << 8) & UINT64_C(0x00ff00ff00ff00ff);
    w = (w | w << 4) & EACH_BYTE(0x0f);
    uint64_t letters = (w + EACH_BYTE(6)) >> 4 & EACH_BYTE(1); /* 10 and more */
    w += EACH_BYTE('0') + letters * ('a' - 10 - '0');
    out[0] = (char)(w >> 56);
    out[1] = (char)(w >> 48);
    out[2] = (char)(w >> 40);
    out[3] = (char)(w >> 32);
    out[4] = (char)(w >> 24);
    out[5] = (char)(w >> 16);
    out[6] = (char)(w >> 8);
    out[7] = (char)w;
}

void text_hex64(char out[16], uint64_t v)
{
    hex_put8(out, v >> 32);
    hex_put8(out + 8, v & UINT32_MAX);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool text_unhex(void *out, size_t n, struct slice s)
{
    uint8_t *to = out;

    assert(out != NULL || n == 0);
    if (s.n % 2 != 0 || s.n / 2 != n)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (hex_value(s.p[i]) < 0)
            return false; /* looked for first, so that a failure leaves `out` alone */
    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)((unsigned)hex_value(s.p[2 * i]) << 4 |
                          (unsigned)hex_value(s.p[2 * i + 1]));
    return true;
}
