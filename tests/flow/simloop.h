/* Private to the simulated network: the loop, and what its two files share.
 *
 *   simloop.c    loop, clock, worker, signals, hosts and dials, listeners, the turn
 *   simstream.c  streams and their far ends */
#ifndef FLOW_SIMLOOP_H
#define FLOW_SIMLOOP_H

#include "simnet.h"

#define SIM_START_MS 1000000 /* not 0: a forgotten time stamp must not look like now */
#define SIM_SIGNALS  8

struct sim_signal {
    int signum;
    bool pending;
    void (*fn)(void *arg, int signum);
    void *arg;
};

struct loop {
    struct loop_core core;  /* first: see net/core.h */
    int64_t now, wall_step; /* wall_step: how far the wall clock was set */
    uint64_t turn;
    bool stopped;
    bool moved; /* something happened in this turn */
    struct sim_weather weather;
    struct sim_hooks hooks;
    struct link peers, streams, hosts, dials, listeners, workers;
    struct link arrivals; /* peers waiting for a listener, by struct arrival */
    struct sim_signal signal[SIM_SIGNALS];
    struct sim_counts live;
};

struct listener {
    struct link link;
    struct loop *loop;
    struct addr addr;
    struct listener_ops ops;
    void *owner;
    bool paused;
};

enum stream_life {
    STREAM_LIVE,
    STREAM_DEAD,      /* the owner has been told of an error and owes an abort */
    STREAM_LINGERING, /* finished by the owner: flush, FIN, discard, close */
    STREAM_CLOSED     /* buried */
};
struct stream {
    struct link link; /* in the loop's streams */
    struct loop *loop;
    struct sim_peer *peer;
    enum stream_life life;
    uint64_t born; /* turn: its first events come in a later one */
    const struct stream_ops *ops;
    void *owner;
    bool reading;
    bool end_told;  /* on_end has been called */
    bool fin_sent;  /* lingering: the far end has been told */
    bool reset_due; /* a write went to a closed peer: its answer is a reset */
    bool callback;  /* a callback of this stream is on the stack */

    struct slice pend[STREAM_IOV]; /* the outstanding write: the caller's memory */
    int pend_n, pend_at;
    size_t pend_off;       /* within pend[pend_at] */
    struct bytes pend_was; /* a copy made at the call: the memory must not change meanwhile */
    size_t pend_done;      /* bytes of pend_was already gone */
    int pend_turns;        /* turns that this write has been waiting */
    struct bytes rest;     /* lingering: what had not gone at finish */
    size_t rest_off;
    struct timer linger;
};

/* A connected pair; the stream has no owner yet. */
struct stream *sim_stream_new(struct loop *l, struct sim_peer *p);
/* One turn's I/O of all streams. */
void sim_streams_turn(struct loop *l);
struct sim_peer *sim_peer_new(struct loop *l, const char *name);
void sim_peer_free(struct sim_peer *p);
void sim_trace(const struct loop *l, const char *who, const char *what, struct slice bytes);
void sim_moved(struct loop *l);

#endif
