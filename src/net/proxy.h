/* proxy: the PROXY protocol's header, versions 1 and 2, by which a balancer says whose connection
 * it brings (haproxy doc/proxy-protocol.txt). Private to net; pure.
 *
 * The header is looked for, never guessed: without one a connection is refused. Nothing behind it
 * is taken: what follows belongs to TLS or HTTP. */
#ifndef SLUICE_NET_PROXY_H
#define SLUICE_NET_PROXY_H

#include "net/net.h"

#define PROXY_V1_MAX 107 /* a line with its CRLF */
#define PROXY_V2_MAX \
    (16 + 216 + 4096) /* head, the longest addresses, what else may come with them */

struct proxy_reader {
    struct buf bytes; /* of the header so far */
    size_t want;      /* version 2: bytes of the whole header, 0 = not known yet */
};
struct proxy_told {
    /* The connection is the balancer's own (a health check), or of a kind that has no address: the
     * socket's address stays. */
    bool local;
    struct addr from; /* never is_loopback: who comes through a balancer is not this machine */
};
void proxy_init(struct proxy_reader *r);
void proxy_free(struct proxy_reader *r);
/* Takes bytes of the header from the front of `in` and says how many. ERR_AGAIN: all were taken and
 * more are needed. OK: the header is complete, *out is filled. Else `why` (static) says what is
 * wrong, and the reader is good for nothing more. */
MUST_USE enum err proxy_feed(struct proxy_reader *r, struct slice in, size_t *taken,
                             struct proxy_told *out, const char **why);

#endif
