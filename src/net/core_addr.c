/* core_addr: addresses as text, as the kernel's structures, and as what a rule needs to know. */
#include "net/addr.h"

#include <arpa/inet.h>
#include <string.h>

/* ---- what is not public ---------------------------------------------------------------------- */

struct range {
    uint8_t ip[16];
    uint8_t bits;
};

/* IPv4, in the first four bytes: IANA's special-purpose registry (RFC 6890 and updates), multicast
 * and class E. None of these may be reached through an origin that came over the network. */
static const struct range private_v4[] = {
    {{0}, 8},             /* "this network": the kernel takes it for itself */
    {{10}, 8},            /* RFC 1918 */
    {{100, 64}, 10},      /* CGNAT, RFC 6598 */
    {{127}, 8},           /* loopback */
    {{169, 254}, 16},     /* link-local, cloud metadata */
    {{172, 16}, 12},      /* RFC 1918 */
    {{192, 0, 0}, 24},    /* IETF protocol assignments */
    {{192, 0, 2}, 24},    /* documentation */
    {{192, 88, 99}, 24},  /* 6to4 relay, deprecated */
    {{192, 168}, 16},     /* RFC 1918 */
    {{198, 18}, 15},      /* benchmarking */
    {{198, 51, 100}, 24}, /* documentation */
    {{203, 0, 113}, 24},  /* documentation */
    {{224}, 4},           /* multicast */
    {{240}, 4},           /* reserved, broadcast */
};

static const struct range private_v6[] = {
    {{0x01, 0x00}, 64},                   /* discard, RFC 6666 */
    {{0x00, 0x64, 0xff, 0x9b, 0, 1}, 48}, /* local NAT64, RFC 8215 */
    {{0x20, 0x01, 0x00, 0x00}, 23},       /* Teredo, ORCHID and the other IETF assignments */
    {{0x20, 0x01, 0x0d, 0xb8}, 32},       /* documentation */
    {{0x3f, 0xff, 0x00}, 20},             /* documentation, RFC 9637 */
    {{0x5f, 0x00}, 16},                   /* SRv6 SIDs */
    {{0xfc}, 7},                          /* ULA, with fd00:ec2::254 */
    {{0xfe, 0x80}, 10},                   /* link-local */
    {{0xfe, 0xc0}, 10},                   /* site-local, deprecated */
    {{0xff}, 8},                          /* multicast */
};

/* IPv6 ranges that carry an IPv4 address, which is what has to be judged. */
static const struct {
    struct range range;
    uint8_t at; /* first byte of the IPv4 address */
} carries_v4[] = {
    {{{[10] = 0xff, [11] = 0xff}, 96}, 12},                       /* ::ffff:a.b.c.d, mapped */
    {{{[8] = 0xff, [9] = 0xff}, 96}, 12},                         /* ::ffff:0:a.b.c.d, SIIT */
    {{{[0] = 0x00, [1] = 0x64, [2] = 0xff, [3] = 0x9b}, 96}, 12}, /* 64:ff9b::a.b.c.d, NAT64 */
    {{{[0] = 0x20, [1] = 0x02}, 16}, 2},                          /* 2002:aabb:ccdd::, 6to4 */
    {{{0}, 96}, 12},                                              /* ::a.b.c.d, with :: and ::1 */
};

static bool in_range(const uint8_t *ip, const struct range *r)
{
    size_t whole = r->bits / 8, left = r->bits % 8;
    if (memcmp(ip, r->ip, whole) != 0)
        return false;
    return left == 0 || (ip[whole] ^ r->ip[whole]) >> (8 - left) == 0;
}

static bool is_private_v4(const uint8_t ip[4])
{
    for (size_t i = 0; i < sizeof private_v4 / sizeof private_v4[0]; i++) {
        if (in_range(ip, &private_v4[i]))
            return true;
    }
    return false;
}

static bool is_private(const uint8_t ip[16])
{
    for (size_t i = 0; i < sizeof carries_v4 / sizeof carries_v4[0]; i++) {
        if (in_range(ip, &carries_v4[i].range))
            return is_private_v4(ip + carries_v4[i].at);
    }
    for (size_t i = 0; i < sizeof private_v6 / sizeof private_v6[0]; i++) {
        if (in_range(ip, &private_v6[i]))
            return true;
    }
    return false;
}

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_mapped(const uint8_t ip[16])
{
    return memcmp(ip, mapped, sizeof mapped) == 0;
}

static bool is_loopback(const uint8_t ip[16])
{
    static const uint8_t one[16] = {[15] = 1};
    return (is_mapped(ip) && ip[12] == 127) || memcmp(ip, one, sizeof one) == 0;
}

/* ---- conversions ----------------------------------------------------------------------------- */

/* Everything else of `a` follows from ip and port. */
static void addr_complete(struct addr *a)
{
    char host[INET6_ADDRSTRLEN];
    bool v4 = is_mapped(a->ip);
    const char *ok = v4 ? inet_ntop(AF_INET, a->ip + 12, host, sizeof host)
                        : inet_ntop(AF_INET6, a->ip, host, sizeof host);
    assert(ok != NULL);
    (void)ok;
    text_format(a->text, sizeof a->text, v4 ? "%s:%u" : "[%s]:%u", host, (unsigned)a->port);
    a->is_unix = false;
    a->is_loopback = is_loopback(a->ip);
    a->is_private = is_private(a->ip);
    assert(a->is_private || !a->is_loopback);
}

void addr_unix(struct addr *a)
{
    *a = (struct addr){.is_unix = true, .is_loopback = true, .is_private = true, .uid = -1};
    text_copy(a->text, sizeof a->text, S("unix"));
}

void addr_from_sock(struct addr *a, const struct sockaddr *sa)
{
    *a = (struct addr){.port = 0};
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, sa, sizeof v4);
        memcpy(a->ip, mapped, sizeof mapped);
        memcpy(a->ip + 12, &v4.sin_addr, 4);
        a->port = ntohs(v4.sin_port);
        addr_complete(a);
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, sa, sizeof v6);
        memcpy(a->ip, &v6.sin6_addr, 16);
        a->port = ntohs(v6.sin6_port);
        addr_complete(a);
    } else {
        addr_unix(a);
    }
}

void addr_to_sock(const struct addr *a, union sock *out)
{
    assert(!a->is_unix);
    memset(out, 0, sizeof *out);
    if (is_mapped(a->ip)) {
        out->v4.sin_family = AF_INET;
        memcpy(&out->v4.sin_addr, a->ip + 12, 4);
    } else {
        out->v6.sin6_family = AF_INET6;
        memcpy(&out->v6.sin6_addr, a->ip, 16);
    }
    sock_set_port(out, a->port);
}

socklen_t sock_len(const union sock *s)
{
    return s->any.sa_family == AF_INET ? sizeof s->v4 : sizeof s->v6;
}

void sock_set_port(union sock *s, uint16_t port)
{
    if (s->any.sa_family == AF_INET)
        s->v4.sin_port = htons(port);
    else
        s->v6.sin6_port = htons(port);
}

bool addr_numeric(struct slice host, union sock *out)
{
    char z[INET6_ADDRSTRLEN];
    if (host.n == 0 || host.n >= sizeof z || memchr(host.p, 0, host.n) != NULL)
        return false;
    text_copy(z, sizeof z, host);
    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, z, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        return true;
    }
    if (inet_pton(AF_INET6, z, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        return true;
    }
    return false;
}

enum err addr_parse(struct slice s, struct addr *out)
{
    ptrdiff_t colon = -1;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == ':')
            colon = (ptrdiff_t)i;
    }
    if (colon < 0)
        return ERR_SYNTAX;
    struct slice host = slice_sub(s, 0, (size_t)colon);
    uint64_t port;
    if (!text_u64(slice_sub(s, (size_t)colon + 1, s.n), &port))
        return ERR_SYNTAX;
    bool brackets = host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
    if (brackets)
        host = slice_sub(host, 1, host.n - 1);
    union sock sock;
    if (!addr_numeric(colon == 0 ? S("::") : host, &sock))
        return ERR_SYNTAX;
    /* A bare "::1:80" could be read in two ways. */
    if (colon > 0 && brackets != (sock.any.sa_family == AF_INET6))
        return ERR_SYNTAX;
    if (port > UINT16_MAX)
        return ERR_RANGE;
    sock_set_port(&sock, (uint16_t)port);
    addr_from_sock(out, &sock.any);
    return OK;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

enum err cidr_parse(struct slice s, struct cidr *out)
{
    union sock sock;
    struct addr a;
    uint64_t bits = 128;
    struct slice host = s;
    ptrdiff_t slash = slice_find(s, '/');
    if (slash >= 0)
        host = slice_sub(s, 0, (size_t)slash);
    if (!addr_numeric(host, &sock))
        return ERR_SYNTAX;
    addr_from_sock(&a, &sock.any);
    bool v4 = sock.any.sa_family == AF_INET;
    if (slash >= 0) {
        if (!text_u64(slice_sub(s, (size_t)slash + 1, s.n), &bits))
            return ERR_SYNTAX;
        if (bits > (v4 ? 32 : 128))
            return ERR_RANGE;
        bits += v4 ? 96 : 0;
    }
    for (size_t i = bits; i < 128; i++) {
        if (a.ip[i / 8] >> (7 - i % 8) & 1)
            return ERR_RANGE; /* "10.1.2.3/8" says two things */
    }
    memcpy(out->ip, a.ip, sizeof out->ip);
    out->bits = (uint8_t)bits;
    return OK;
}

bool cidr_has(const struct cidr *c, int n, const struct addr *a)
{
    for (int i = 0; i < n && !a->is_unix; i++) {
        struct range r = {.bits = c[i].bits};
        memcpy(r.ip, c[i].ip, sizeof r.ip);
        if (in_range(a->ip, &r))
            return true;
    }
    return false;
}
