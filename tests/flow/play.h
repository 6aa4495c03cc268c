/* play: one run of one scenario, from an empty house to an empty house. */
#ifndef FLOW_PLAY_H
#define FLOW_PLAY_H

#include "house.h"
#include "message.h"
#include "script.h"
#include "simnet.h"

enum mode { MODE_PLAIN, MODE_SPLIT, MODE_STALL, MODE_CUT, MODE_TORTURE, MODES };

struct plan { /* what is different about this run */
    const struct config *config;
    enum mode mode;
    struct sim_weather weather;
    uint64_t fault;    /* TORTURE: this call fails; UINT64_MAX: none does, but all are counted */
    char cut_peer[64]; /* CUT: "client 1.1", "A.2" */
    size_t cut_at;
    enum sim_end cut_how;
    bool counted; /* no provider may be asked more often than the records tell */
    bool trace;   /* keep a transcript */
    bool live;    /* ... and write it to stderr as it happens, for runs that crash */
};

#define OUTCOME_PEERS 128
struct outcome {
    bool ok;
    char why[1024];
    struct bytes transcript;
    uint64_t faults; /* fallible calls that were made */
    struct {         /* of each peer that sent anything: what there is to cut */
        char name[64];
        size_t sent;
        bool tls;
    } peer[OUTCOME_PEERS];
    int peers;
    struct bytes bodies; /* complete 200 bodies that clients got, each with its length before it */
};

/* `plain` is the outcome of the plain run, for comparison; NULL for that run itself. */
void play(const struct script *s, const struct plan *p, const struct outcome *plain,
          struct outcome *out);
void outcome_free(struct outcome *o);

#endif
