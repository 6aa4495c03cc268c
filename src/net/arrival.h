/* arrival: a connection between accept and its owner: the PROXY header, then the handshake. Private
 * to net.
 *
 *     accept --> HEADER --> HELLO --> QUEUED --> SHAKE --> HELD --> the owner's
 *                (proxy)    (TLS)     (TLS)      (TLS)    (while the listener is paused)
 *     any of them --> gone
 *
 * HELLO: what opens the handshake is not here whole. Until then a peer costs a descriptor and some
 * hundred bytes: it is the kernel that gathers what it drips. QUEUED: for a place, of which there
 * are so many as the threads can serve at once; the newest is first, for its peer is the one that
 * is most likely still to be waiting.
 *
 * Those whose peer makes us wait are the first to go when room is needed: else a handful of sockets
 * that never speak would keep everybody out. */
#ifndef SLUICE_NET_ARRIVAL_H
#define SLUICE_NET_ARRIVAL_H

#include "net/stream.h"

#define TRUSTED_MAX 64

struct porch { /* a listener's arrivals; embedded in it */
    struct loop *loop;
    struct listener_options o;
    struct cidr trusted[TRUSTED_MAX];
    struct link all;  /* oldest first */
    struct link mute; /* of them, those that have yet to speak (HEADER, HELLO), oldest first */
    struct task deliver;
    bool paused;
    struct listener_stats stats;
    int64_t said_at; /* monotonic: when a refusal was last logged; 0: never */
    uint64_t unsaid;
    void (*pass)(void *arg, struct stream *s);
    void *arg;
};
void porch_init(struct porch *p, struct loop *l, void (*pass)(void *arg, struct stream *s),
                void *arg);
void porch_set(struct porch *p, const struct listener_options *o);
bool porch_is_needed(const struct porch *p); /* else connections may go to the owner at once */
/* Is there room for one more, or somebody who can be closed for it? */
bool porch_has_room(const struct porch *p);
/* Takes the descriptor, whatever becomes of it. */
void porch_take(struct porch *p, int fd, const struct addr *peer);
void porch_pause(struct porch *p, bool paused);
void porch_free(struct porch *p); /* all that is in it is closed */

/* Of a server's struct tls_slots: by its timer, and when the threads want more. */
void arrival_slots_look(void *arg);

#endif
