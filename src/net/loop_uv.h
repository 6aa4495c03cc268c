/* loop_uv: the libuv backend's loop, as its neighbours in src/net see it. Private to net. */
#ifndef SLUICE_NET_LOOP_UV_H
#define SLUICE_NET_LOOP_UV_H

#include "net/core.h"
#include "net/late.h"

#include <uv.h>

/* One read takes at most this much: of a client, the body of most requests in one piece. What an
 * upstream sends may have to be kept for a client that does not read. TLS has to keep what it
 * cannot decrypt yet. */
#define NET_READ_SIZE    262144
#define REPLY_READ_SIZE  32768
#define TLS_READ_SIZE    65536
/* In one turn a stream is read so often; and when the turn has lasted so long, once, and little. */
#define READS_MOST       2
#define CROWD_MS         5
#define CLOCK_BYTES      32768 /* read between two looks at the clock */
#define CROWD_SIZE       65536
#define CROWD_REPLY_SIZE 8192

struct resolver;
struct tls_scratch;

struct loop {
    struct loop_core core; /* first: the core casts */
    uv_loop_t uv;
    uv_timer_t clock;         /* the one timer libuv knows of */
    int64_t clock_at;         /* what it is armed for; may be earlier than the earliest deadline */
    uv_prepare_t turn;        /* once a turn, before the wait: tasks, then the graveyard */
    uv_check_t woke;          /* once a turn, after the wait */
    int64_t woke_at;          /* ... when that was over; -1: no turn has begun */
    int64_t lag_ms;           /* the longest turn since the latest look at the load */
    int memory_fd;            /* tells how much the process has; -1: nobody does */
    int64_t memory_limit;     /* the system's; 0: none */
    uv_idle_t busy;           /* active while tasks are queued: the wait is skipped */
    int64_t wall_ms, wall_at; /* loop_wall, and the loop_now at which it was read */
    struct link signals;
    struct link finishing; /* streams between stream_finish and their end, oldest first */
    size_t finishing_n, finishing_max;
    int64_t fds, fds_max; /* descriptors of connections; the process may have so many of all */
    size_t open;          /* objects of ours whose memory libuv, or a thread, may still use */
    struct resolver *resolver;
    struct loop *left;             /* the next one left behind by loop_free */
    struct tls_scratch *tls;       /* NULL until the first TLS stream */
    struct slice rest[STREAM_IOV]; /* of the stream_write that is on the stack */
    bool stopped;                  /* loop_stop was called, loop_run has not returned since */
    struct late late;
    struct stream *reader; /* who read last in this turn; may be gone: for comparing only */
    int reads;             /* of it, one behind the other */
    uint16_t read_turn;    /* counts the turns */
    int64_t read_at;       /* the first read of this turn */
    bool crowded;          /* this turn has lasted for CROWD_MS */
    size_t unclocked;      /* bytes read since the clock was */
    /* Every read of every stream lands here: a connection owns no buffer while no bytes are in it.
     */
    char read_buf[NET_READ_SIZE];
};

/* What libuv says, as the door's error and a static reason. */
enum err uv_err(int r, const char **why);

struct resolver *resolver_new(void);
/* An answer is awaited on another thread, which writes to the loop's memory. */
bool resolver_busy(const struct resolver *r);
void resolver_free(struct resolver *r); /* not while busy */

#endif
