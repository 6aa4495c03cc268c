/* addr: struct addr from and to the kernel's socket addresses. Private to net; pure. */
#ifndef SLUICE_NET_ADDR_H
#define SLUICE_NET_ADDR_H

#include "net/net.h"

#include <netinet/in.h>
#include <sys/socket.h>

/* An IPv4 or IPv6 socket address; what resolvers and connect(2) deal in. */
union sock {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* Fills text and flags; anything that is not IPv4 or IPv6 becomes the unix address. */
void addr_from_sock(struct addr *a, const struct sockaddr *sa);
void addr_unix(struct addr *a);
/* IPv4-mapped addresses become IPv4 ones. */
void addr_to_sock(const struct addr *a, union sock *out);
/* A numeric IPv4 or IPv6 address without brackets, port or zone. */
bool addr_numeric(struct slice host, union sock *out);
socklen_t sock_len(const union sock *s);
void sock_set_port(union sock *s, uint16_t port);

#endif
