/* forwarded: who is behind proxies, by what they say in the head. Private to http; pure. */
#ifndef SLUICE_HTTP_FORWARDED_H
#define SLUICE_HTTP_FORWARDED_H

#include "http/http.h"

/* `peer` is one of the trusted. Each proxy appends whom it serves, so the list is read from its
 * end: past what trusted ones have said, up to the first who is not one of them. What stands before
 * was written by a stranger, and is not looked at. What cannot be read on that way, or more of it
 * than 32 elements or 2 KiB, makes it the peer. Nobody in *out is_loopback. */
void forwarded_client(const struct http_head *head, enum http_forwarded which,
                      const struct cidr *trusted, int n, const struct addr *peer, struct addr *out);

#endif
