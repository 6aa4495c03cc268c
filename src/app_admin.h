/* app_admin: the admin's door that is an address, and who may come in by it and by the unix socket.
 */
#ifndef SLUICE_APP_ADMIN_H
#define SLUICE_APP_ADMIN_H

#include "admin/admin.h"
#include "base/base.h"
#include "config.h"
#include "net/net.h"

struct admin_tcp { /* all zero: closed */
    struct tls_server *tls;
    struct listener *listener;
};
/* Does nothing without `admin_listen`. On an error `why` gets a sentence, and admin_tcp_close is
 * still owed. ERR_CERT: one of the files. */
MUST_USE enum err admin_tcp_open(struct admin_tcp *t, struct loop *l, const struct config *c,
                                 struct admin *admin, const struct listener_ops *ops, void *owner,
                                 char *why, size_t why_size);
/* Certificates and the token are read again. An error: both are as they were. */
MUST_USE enum err admin_tcp_reload(struct admin_tcp *t, const struct config *c, struct admin *admin,
                                   char *why, size_t why_size);
void admin_tcp_close(struct admin_tcp *t);
/* Member `admin_listen` of an open object: where it is, or null. */
void admin_tcp_describe(const struct admin_tcp *t, struct jw *w);
/* Whether the process behind a connection to the unix socket belongs to our user, or to root. The
 * file's mode says the same; this holds also where that was changed. */
bool admin_peer_may(const struct addr *peer);

#endif
