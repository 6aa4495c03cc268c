/* app_given: listening sockets that somebody else has opened for us: a service manager
 * (sd_listen_fds(3)), or the process whose place we take. */
#ifndef SLUICE_APP_GIVEN_H
#define SLUICE_APP_GIVEN_H

#include "base/base.h"
#include "config.h"
#include "net/net.h"

#define GIVEN_MAX      (2 * CONFIG_LISTEN_MAX)
#define GIVEN_NAME_MAX 256

struct given_socket {
    char name[GIVEN_NAME_MAX]; /* FileDescriptorName=, or what `listen` said in the other process */
    struct addr addr;
    int fd; /* closed on exec; -1: a listener has it */
};
struct given {
    struct given_socket socket[GIVEN_MAX];
    int n;
    bool managed; /* a service manager's: what nobody serves there is a mistake */
};

/* What $LISTEN_PID, $LISTEN_FDS and $LISTEN_FDNAMES say; none is fine. ERR_SYNTAX: one of them is
 * no TCP socket that listens, ERR_LIMIT: too many; `why` gets a sentence. */
MUST_USE enum err given_by_manager(struct given *g, char *why, size_t size);
/* The same from numbers and names, for who hands over. Takes the descriptors, whatever comes of it.
 */
MUST_USE enum err given_add(struct given *g, struct slice name, int fd, char *why, size_t size);
/* The one for this line of `listen`: by name, or by its address; NULL: none. */
struct given_socket *given_find(struct given *g, const struct config_listen *l);
/* "web, admin" */
void given_names(const struct given *g, char *out, size_t size);
/* One that nobody has taken; NULL: none is left. */
const struct given_socket *given_left(const struct given *g);
void given_close(struct given *g); /* those that nobody has taken */

#endif
