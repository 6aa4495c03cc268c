/* simnet: the door of net (src/net/net.h) without a kernel.
 *
 * The house under test sees an ordinary loop; the runner sees, of each connection, the far end: a
 * `sim_peer`. The clock is an integer that moves only by sim_advance. A turn is: timers, tasks,
 * worker jobs, dials, accepts, streams, graveyard; nothing is called inside the call that caused
 * it.
 *
 *     house: struct stream  <==== tx (peer -> house) =====  struct sim_peer: script
 *                           ===== rx (house -> peer) ====>
 *
 * What the house does wrong against the contract of net.h is an assert here: a second write while
 * one is outstanding, a changed or freed buffer under an outstanding write, an accepted stream
 * without owner, a use after finish or abort (with ASan). What it forgets shows in sim_live_counts.
 */
#ifndef FLOW_SIMNET_H
#define FLOW_SIMNET_H

#include "bytes.h"
#include "net/core.h"

/* 2026-11-21T12:00:00Z: the wall time at which every run begins. */
#define SIM_EPOCH_MS INT64_C(1795262400000)

/* ---- how bytes cross ----------------------------------------------------------------- */

enum sim_take { /* how much of a write the "kernel" takes: at the call; then in each turn */
                SIM_TAKE_ALL,
                SIM_TAKE_LATER,  /* nothing; all in the next turn */
                SIM_TAKE_HALF,   /* half; the rest in the next turn */
                SIM_TAKE_CRUMBS, /* one byte; half of what is left in each turn */
                SIM_TAKE_TAIL,   /* all but one byte; that one in the next turn */
                SIM_TAKE_SLOW,   /* nothing for three turns; then all */
                SIM_TAKES
};
struct sim_weather {
    size_t read_max;    /* bytes given to one on_read; 0 = 65536 */
    int reads_per_turn; /* on_read calls a stream gets in a turn; 0 = 1 */
    enum sim_take take;
};

/* ---- the far ends -------------------------------------------------------------------- */

enum sim_end {
    SIM_OPEN,
    SIM_FIN, /* a proper end: FIN, with TLS after close_notify */
    SIM_CUT, /* TLS only: FIN without close_notify; on a plain connection the same as FIN */
    SIM_RST
};
#define SIM_WINDOW 16384 /* bytes the path holds for a peer that has stopped reading */

struct sim_peer {
    struct link link; /* in the loop's peers, for as long as the loop */
    struct loop *loop;
    struct stream *stream; /* NULL before the accept, and once the house has closed its side */
    char name[64];         /* "client 1", "A.2": for the transcript */
    bool tls;
    struct addr addr; /* as the house sees it */
    void *tag;        /* the runner's */

    struct bytes tx;     /* all that the peer has sent */
    size_t tx_read;      /* ... of which the house has been given so much */
    enum sim_end tx_end; /* behind the last byte of tx */
    struct bytes rx;     /* all that the house has sent */
    size_t rx_held; /* ... of which the newest so many are in the path: the peer is not reading */
    enum sim_end rx_end; /* how the house ended its side */
    bool not_reading;
    bool gone;      /* has closed both ways: what comes now is answered by a reset */
    bool swallowed; /* the one write that a closed peer's path takes has been taken */

    size_t vanish_at; /* after so many bytes of tx the peer vanishes; SIZE_MAX = never */
    enum sim_end vanish_how;
};

/* A client connects: accepted by the newest listener in a later turn. `from` "" = 127.0.0.1:50000.
 */
struct sim_peer *sim_connect(struct loop *l, const char *name, struct slice from);
/* Nothing happens when the peer has ended or vanished. */
void sim_send(struct sim_peer *p, struct slice bytes);
void sim_end(struct sim_peer *p, enum sim_end how); /* closes both ways */
void sim_shut(struct sim_peer *p);                  /* FIN, but keeps reading */
void sim_reading(struct sim_peer *p, bool on);

/* An upstream host. Each dial that is accepted makes a new peer. */
struct sim_host {
    struct link link;
    char host[256];
    uint16_t port;
    char name[48];
    enum err verdict; /* of the next dials; OK = accepted, ERR_AGAIN = they hang */
    int64_t delay_ms; /* until the verdict */
    int dials;        /* started so far */
    void *tag;
};
struct sim_host *sim_host(struct loop *l, const char *name, struct slice host, uint16_t port);

/* ---- driving ------------------------------------------------------------------------- */

struct sim_hooks {
    void *arg;
    /* The house has connected to `h`; `p` is the new far end. */
    void (*on_dialled)(void *arg, struct sim_host *h, struct sim_peer *p);
    /* Nothing can move but time. True: the hook has sent something, so that there is more to do. */
    bool (*on_rest)(void *arg);
    /* The transcript; may be NULL. `bytes` may be empty. */
    void (*trace)(void *arg, const char *who, const char *what, struct slice bytes);
};
void sim_hooks_set(struct loop *l, const struct sim_hooks *h);
void sim_weather_set(struct loop *l, const struct sim_weather *w);

/* Turns until only time can bring anything; false: it does not come to rest. */
MUST_USE bool sim_settle(struct loop *l);
/* Moves time by `ms`, stopping at each timer on the way. */
MUST_USE bool sim_advance(struct loop *l, int64_t ms);
/* Somebody sets the wall clock; the other one does not notice. */
void sim_wall_step(struct loop *l, int64_t ms);
/* Moves time to the next timer, unless that is later than `until` (loop_now); false: none. */
bool sim_step(struct loop *l, int64_t until);
/* Delivers a signal in the next turn; false when nobody listens for it. */
bool sim_signal(struct loop *l, int signum);

struct sim_counts {
    int streams, dials, listeners, jobs, workers, tls;
    uint32_t timers;
    bool tasks;
};
void sim_live_counts(const struct loop *l, struct sim_counts *out);
size_t sim_unread(const struct sim_peer *p); /* sent by the peer, not yet given to the house */

#endif
