/* late: what streams write in a turn goes to the kernel when the turn's events are done, one write
 * behind the other. Private to net.
 *
 * A write to a peer that sleeps wakes it; on a loopback, or between processes of one machine, that
 * is a tenth of what a request costs. Peers that are written to back to back are woken once, and
 * several writes of a turn to one stream leave as one. What is here has been taken from its owner:
 * his memory is his own again.
 *
 * A turn with much to do must not keep what is ready: LATE_STREAMS, or LATE_BYTES, and all goes
 * out. What is long goes out at once, behind what its stream still has here. */
#ifndef SLUICE_NET_LATE_H
#define SLUICE_NET_LATE_H

#include "base/base.h"

#define LATE_STREAMS 32
#define LATE_BYTES   65536
#define LATE_MOST    8192 /* longer ones: a copy would cost more than a wake */

struct stream;
struct loop;

struct late_piece {
    struct stream *s; /* NULL: gone since */
    uint32_t at, n;   /* of bytes */
};
struct late {
    struct late_piece piece[LATE_STREAMS];
    uint32_t pieces, len;
    char bytes[LATE_BYTES];
};

/* Takes all of v, when it is short enough and nothing of s is with libuv. May send what others have
 * here. False: nothing was taken. */
bool late_take(struct stream *s, const struct slice *v, int n);
/* What s has here, and it has nothing here any more. Valid until the next late_take. */
struct slice late_drop(struct stream *s);
/* Sends all: whoever's connection turns out to be broken is told in the next turn. */
void late_flush(struct loop *l);

#endif
