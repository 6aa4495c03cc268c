/* app_drain: the way from serving to the exit. Pure: time and facts come in, what to do goes out.
 *
 *     SERVING --signal--> LAME DUCK --lead--> DRAINING --idle--> OVER
 *                             |                   |limit           ^
 *                             '--second signal--> REAPING --idle, or the hard limit
 *
 *   LAME DUCK  /readyz says no, so that balancers look elsewhere; newcomers are still served; every
 *              answer sends its connection away, idle ones are closed one by one
 *   DRAINING   nobody new; what runs, runs on; who has been let in but has not spoken yet may
 *   REAPING    what is left ends with an error in its own dialect, and as long as its client takes
 *              to read that
 *   OVER       the process stops
 *
 * A second signal shortens it to REAPING with two seconds, a third one to OVER. A token that is
 * being renewed is waited for until then: a lost one is a lost account (robustness.md A5). */
#ifndef SLUICE_APP_DRAIN_H
#define SLUICE_APP_DRAIN_H

#include "base/base.h"

#define DRAIN_SPEAK_MS   1000  /* for who was let in at the last moment to begin a request */
#define DRAIN_REAP_MS    15000 /* for slow readers to take their error; less with a short limit */
#define DRAIN_HURRY_MS   2000  /* the same after a second signal */
#define DRAIN_REFRESH_MS 20000 /* beyond all that, for a token that is being renewed */

enum drain_state { DRAIN_SERVING, DRAIN_LAME, DRAIN_ON, DRAIN_REAP, DRAIN_OVER };

/* What to do, in this order. */
enum drain_act {
    DRAIN_ACT_LAME = 1, /* not ready any more; answers say close; idle connections fade out */
    DRAIN_ACT_SHUT = 2, /* close the doors, if nobody waits before them; asked again until done */
    DRAIN_ACT_SHUT_NOW = 4, /* close them whoever waits */
    DRAIN_ACT_DRAIN = 8,    /* idle connections are closed */
    DRAIN_ACT_REAP = 16,    /* every call that is left ends with an error */
    DRAIN_ACT_OVER = 32     /* stop; comes once */
};

struct drain {
    enum drain_state state;
    int64_t limit_ms;
    int64_t lame_until, speak_until, reap_at, hard_at;
    bool shut_first; /* another process serves the newcomers: the doors need not wait */
    bool shut, drained;
};

struct drain_facts {
    int64_t active;   /* calls in progress */
    int64_t arriving; /* let in, and yet to bring a request */
    bool renewing;    /* a token */
    bool shut;        /* the doors are closed */
};

/* The first signal, or another process's word that it serves in our place (`shut_first`). */
unsigned drain_begin(struct drain *d, int64_t now, int64_t lead_ms, int64_t limit_ms,
                     bool shut_first);
unsigned drain_hurry(struct drain *d, int64_t now); /* one more signal */
/* To be asked every few milliseconds from drain_begin on. */
unsigned drain_step(struct drain *d, int64_t now, const struct drain_facts *f);
/* How long it may still take, a renewal aside; 0 when over. */
int64_t drain_left_ms(const struct drain *d, int64_t now);
/* "serving", "lame_duck", "draining", "reaping", "over". */
const char *drain_word(enum drain_state s);

#endif
