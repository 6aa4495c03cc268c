/* proxy: see proxy.h. */
#include "net/proxy.h"

#include "net/addr.h"

#include <string.h>

#define V2_HEAD 16

static const char v2_signature[12] = {'\r', '\n', '\r', '\n', 0,   '\r',
                                      '\n', 'Q',  'U',  'I',  'T', '\n'};
static const char v1_begin[6] = {'P', 'R', 'O', 'X', 'Y', ' '};

void proxy_init(struct proxy_reader *r)
{
    buf_init(&r->bytes, PROXY_V2_MAX);
    r->want = 0;
}

void proxy_free(struct proxy_reader *r)
{
    buf_free(&r->bytes);
}

static void told_addr(struct proxy_told *out, const union sock *sock)
{
    out->local = false;
    addr_from_sock(&out->from, &sock->any);
    out->from.is_loopback = false;
}

/* ---- version 1: one line of text ------------------------------------------------------------- */

static bool v1_port(struct slice s, uint16_t *out)
{
    uint64_t v;
    if (!text_u64(s, &v) || v > UINT16_MAX || (s.n > 1 && s.p[0] == '0'))
        return false;
    *out = (uint16_t)v;
    return true;
}

/* "TCP4 SRC DST SPORT DPORT", single spaces. */
static bool v1_tcp(struct slice s, struct proxy_told *out)
{
    struct slice part[5];
    union sock from, to;
    uint16_t port, other;
    for (int i = 0; i < 5; i++) {
        ptrdiff_t end = slice_find(s, ' ');
        if ((end < 0) != (i == 4))
            return false;
        part[i] = i < 4 ? slice_sub(s, 0, (size_t)end) : s;
        if (i < 4)
            s = slice_sub(s, (size_t)end + 1, s.n);
    }
    bool v4 = slice_eq(part[0], S("TCP4")), v6 = slice_eq(part[0], S("TCP6"));
    if ((!v4 && !v6) || !addr_numeric(part[1], &from) || !addr_numeric(part[2], &to) ||
        !v1_port(part[3], &port) || !v1_port(part[4], &other))
        return false;
    int family = v4 ? AF_INET : AF_INET6;
    if (from.any.sa_family != family || to.any.sa_family != family)
        return false;
    sock_set_port(&from, port);
    told_addr(out, &from);
    return true;
}

/* `line` ends with CRLF. What follows UNKNOWN is to be passed over. */
static enum err v1_parse(struct slice line, struct proxy_told *out, const char **why)
{
    *why = "a PROXY header (version 1) that cannot be read";
    if (line.n < 2 + sizeof v1_begin || line.p[line.n - 2] != '\r')
        return ERR_PROTOCOL;
    struct slice rest = slice_sub(line, sizeof v1_begin, line.n - 2);
    *out = (struct proxy_told){.local = true};
    if (slice_eq(rest, S("UNKNOWN")) || slice_starts(rest, S("UNKNOWN ")))
        return OK;
    return v1_tcp(rest, out) ? OK : ERR_PROTOCOL;
}

/* ---- version 2: binary ----------------------------------------------------------------------- */

static unsigned u16_at(const char *p)
{
    return (unsigned)(unsigned char)p[0] << 8 | (unsigned char)p[1];
}

static uint32_t u32_at(const char *p)
{
    return (uint32_t)u16_at(p) << 16 | u16_at(p + 2);
}

/* CRC-32C (Castagnoli), bit by bit: a header is short, and comes once a connection. The four bytes
 * at `hole` count as zero. */
static uint32_t crc32c(struct slice s, size_t hole)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < s.n; i++) {
        crc ^= i >= hole && i < hole + 4 ? 0 : (unsigned char)s.p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
    }
    return ~crc;
}

/* What comes behind the addresses: well formed, and its checksum right if it has one. */
static bool v2_extras(struct slice all, size_t at)
{
    enum { CRC32C = 0x03 };
    while (at < all.n) {
        if (all.n - at < 3)
            return false;
        size_t n = u16_at(all.p + at + 1), value = at + 3;
        if (n > all.n - value)
            return false;
        if (all.p[at] == CRC32C && (n != 4 || u32_at(all.p + value) != crc32c(all, value)))
            return false;
        at = value + n;
    }
    return true;
}

/* Bytes of addresses of a family and kind; -1: no such thing. */
static int v2_addresses(unsigned char kind)
{
    switch (kind) {
    case 0x00: /* none */
        return 0;
    case 0x11: /* IPv4, TCP and UDP */
    case 0x12:
        return 12;
    case 0x21: /* IPv6 */
    case 0x22:
        return 36;
    case 0x31: /* unix */
    case 0x32:
        return 216;
    default:
        return -1;
    }
}

static void v2_from(struct slice all, unsigned char kind, struct proxy_told *out)
{
    union sock sock = {0};
    const char *p = all.p + V2_HEAD;
    if (kind == 0x11) {
        sock.v4.sin_family = AF_INET;
        memcpy(&sock.v4.sin_addr, p, 4);
        sock_set_port(&sock, (uint16_t)u16_at(p + 8));
        told_addr(out, &sock);
    } else if (kind == 0x21) {
        sock.v6.sin6_family = AF_INET6;
        memcpy(&sock.v6.sin6_addr, p, 16);
        sock_set_port(&sock, (uint16_t)u16_at(p + 32));
        told_addr(out, &sock);
    }
}

static enum err v2_parse(struct slice all, struct proxy_told *out, const char **why)
{
    unsigned char kind = (unsigned char)all.p[13];
    assert(all.n >= V2_HEAD);
    *out = (struct proxy_told){.local = true};
    if ((all.p[12] & 0x0f) == 0) /* LOCAL: the rest is to be passed over, whatever it is */
        return OK;
    int n = v2_addresses(kind);
    if (n < 0 || all.n - V2_HEAD < (size_t)n) {
        *why = "a PROXY header of an unknown kind, or too short for its addresses";
        return ERR_PROTOCOL;
    }
    if (kind != 0 && !v2_extras(all, V2_HEAD + (size_t)n)) {
        *why = "a PROXY header whose checksum or extras are wrong";
        return ERR_PROTOCOL;
    }
    v2_from(all, kind, out);
    return OK;
}

/* The first 16 bytes are there: how many will it be? */
static enum err v2_head(struct proxy_reader *r, const char **why)
{
    unsigned char version = (unsigned char)r->bytes.p[12];
    if (version != 0x20 && version != 0x21) {
        *why = "a PROXY header of an unknown version or command";
        return ERR_PROTOCOL;
    }
    r->want = V2_HEAD + u16_at(r->bytes.p + 14);
    if (r->want > PROXY_V2_MAX) {
        *why = "a PROXY header that is too long";
        return ERR_LIMIT;
    }
    return OK;
}

/* ---- both ------------------------------------------------------------------------------------ */

/* What is there must be the beginning of a header. */
static bool begins_well(struct slice s)
{
    const char *like = s.p[0] == 'P' ? v1_begin : v2_signature;
    size_t n = s.p[0] == 'P' ? sizeof v1_begin : sizeof v2_signature;
    return memcmp(s.p, like, s.n < n ? s.n : n) == 0;
}

/* How many bytes may be taken now without taking one that is not the header's. */
static size_t may_take(const struct proxy_reader *r, struct slice in)
{
    size_t have = r->bytes.len;
    bool v1 = have > 0 ? r->bytes.p[0] == 'P' : in.p[0] == 'P';
    if (v1) {
        ptrdiff_t end = slice_find(in, '\n');
        size_t n = end >= 0 ? (size_t)end + 1 : in.n, room = PROXY_V1_MAX - have;
        return n < room ? n : room;
    }
    size_t left = (r->want > 0 ? r->want : V2_HEAD) - have;
    return in.n < left ? in.n : left;
}

enum err proxy_feed(struct proxy_reader *r, struct slice in, size_t *taken, struct proxy_told *out,
                    const char **why)
{
    *taken = 0;
    for (;;) {
        struct slice rest = slice_sub(in, *taken, in.n);
        size_t n = rest.n > 0 ? may_take(r, rest) : 0;
        if (n > 0 && buf_append(&r->bytes, rest.p, n) != OK)
            return ERR_NOMEM;
        *taken += n;
        struct slice all = buf_slice(&r->bytes);
        if (all.n == 0)
            return ERR_AGAIN;
        if (!begins_well(all)) {
            *why = "no PROXY header at the beginning of the connection";
            return ERR_PROTOCOL;
        }
        if (all.p[0] == 'P') {
            if (all.p[all.n - 1] == '\n')
                return v1_parse(all, out, why);
            *why = "a PROXY header (version 1) without an end";
            return all.n >= PROXY_V1_MAX ? ERR_LIMIT : ERR_AGAIN;
        }
        if (all.n >= V2_HEAD && r->want == 0) {
            enum err e = v2_head(r, why);
            if (e != OK)
                return e;
        }
        if (r->want > 0 && all.n == r->want)
            return v2_parse(all, out, why);
        if (*taken == in.n)
            return ERR_AGAIN;
    }
}
