/* inside: what the store's own files share.
 *
 *      loop's thread                                   store's thread
 *      store_record, notes -> ring --- one drain job at a time ----> engine
 *      verbs ---- wait until what was put before them is through --> engine
 *               <- done: callbacks, counters, the next drain -------
 *
 * Two threads, no locks: what a posted job points to belongs to the store's thread until its `done`
 * runs. The rows a drain job covers stay in the ring, and the loop writes only outside of them. */
#ifndef SLUICE_STORE_INSIDE_H
#define SLUICE_STORE_INSIDE_H

#include <stdalign.h>

#include "base/base.h"
#include "net/net.h"
#include "sluice/backend.h"
#include "store/keyring.h"
#include "store/store.h"
#include "store/vault.h"

#define RING_DEFAULT    16384
#define RING_BLOCK      1048576 /* bytes of one piece of the ring: unmapped when freed: mem_init */
#define BATCH_MAX       500     /* rows in one commit, and in one piece of the ring */
#define BATCH_WAIT_MS   100     /* a row waits no longer than this for company */
#define RETRY_BUSY_MS   250
#define RETRY_OTHER_MS  1000
#define NOTES_MAX       4096 /* of each kind */
#define PRUNE_FIRST_MS  60000
#define PRUNE_EVERY_MS  600000
#define PRUNE_SOON_MS   10000 /* between two prunings because of size */
#define LOG_EVERY_MS    60000 /* the same kind of trouble is logged once in this time */
#define BUSY_MS         100   /* a lock held by another program is waited for this long */
#define BUSY_SHARED_MS  1000  /* ... when others are expected to write */
#define BUSY_CLOSING_MS 2000
#define WATCH_EVERY_MS  1000
#define OBJECTS_MAX     1000000
#define TROUBLE_MAX     160

/* The ring: pieces that come when the others are full and go when their rows are through. One that
 * is empty is kept, so that a steady stream of records costs no memory and touches the same pages;
 * of a piece those alone are touched that its rows need. The rows of the first piece are the
 * oldest: a batch is what waits in it. */
struct block {
    struct link link;
    size_t first, end; /* bytes [first, end) wait for the disk */
    size_t rows, put;  /* waiting in it; ever put since it was empty */
    alignas(struct packed) char bytes[];
};
struct ring {
    struct link blocks;
    struct block *spare;
    size_t cap, count; /* rows at most; now */
};

/* Small facts on their way to the disk. */
struct notes {
    struct backend_fact *facts;
    struct backend_use *uses;
    struct backend_object *objects;
    struct window_row *windows;
    size_t facts_n, uses_n, objects_n, windows_n;
};

struct drain {
    struct job job;
    struct store *store;
    bool flying;  /* the job is out */
    bool stalled; /* the last one failed; the timer is armed for another try */
    struct timer timer;
    struct backend_batch batch; /* of the flying or failed job */
    size_t batch_end;           /* its rows end there in the first block */
    struct notes fresh, taken;  /* to be put; in the batch */
    enum err err;
    char why[TROUBLE_MAX];
    int64_t bytes;
    /* Everything ever put, and everything that is through: what a verb waits for. */
    uint64_t records_put, records_done, notes_put, notes_taken, notes_done;
};

/* A call with an answer. The specific verbs embed it. */
struct verb {
    struct job job;
    struct store *store;
    struct link wait; /* in store->waiting */
    uint64_t after_records, after_notes;
    bool writes;
    bool again; /* run() asks for another turn: the job goes to the end of the queue */
    enum err err;
    char why[TROUBLE_MAX];
    void (*run)(struct verb *v);     /* store's thread */
    void (*finish)(struct verb *v);  /* loop's thread: the caller's callback */
    void (*destroy)(struct verb *v); /* loop's thread: frees all of it; the store may be gone */
};

/* What other processes write, looked for by the clock. */
struct watch {
    struct job job;
    struct store *store;
    struct timer timer;
    bool flying, moved; /* the job is out; what it has found */
    enum err err;
    void (*fn)(void *arg); /* NULL: nobody wants to know */
    void *arg;
};

struct store {
    struct loop *loop;
    struct worker *worker;
    const struct backend_ops *ops;
    struct backend *backend;
    struct keyring keys;
    int lock_fd;
    bool closing, shared;
    bool copying; /* a backup is under way; the store's thread alone looks at it */
    struct watch watch;
    int64_t max_age_ms, max_bytes;

    struct ring ring; /* a drain job covers the first batch.records_n rows of its first piece */
    struct drain drain;
    struct link waiting; /* verbs, oldest first */
    struct map used;     /* key id -> the minute last put */

    struct timer prune_timer;
    bool pruning; /* by the timer or by size */
    int64_t pruned_at;

    struct store_stats stats;
    int64_t logged_at[ERR_COUNT];
    uint64_t unlogged[ERR_COUNT];
};

/* ---- store.c -------------------------------------------------------------------------------- */

/* Counts and logs what the engine has answered; ERR_NOTFOUND and its like are no trouble. */
void store_note(struct store *s, enum err e, const char *why, bool wrote);
bool err_is_trouble(enum err e);
/* At most once in LOG_EVERY_MS for each `e`. */
void trouble_log(struct store *s, enum err e, const char *why);

/* ---- verbs.c -------------------------------------------------------------------------------- */

/* `v` with run, finish, destroy, writes, and err when the arguments are wrong already. */
void verb_submit(struct store *s, struct verb *v);
char *secret_copy(struct slice clear);  /* NULL for an empty one */
void secret_free(char *copy, size_t n); /* wiped; NULL is fine */
/* Unseals into `clear`, initialised here. An empty `sealed` is OK and leaves it empty. */
MUST_USE enum err secret_open(const struct store *s, const struct vault_place *at,
                              struct slice sealed, struct buf *clear);
void secret_close(struct buf *clear); /* wiped */
/* The engine has answered ERR_STATE: another process has rotated the master key. True once the new
 * one is at hand and the value can be sealed again; false sets v->err. */
bool sealed_again(struct verb *v);
/* Something could not be read: true if that was so, and the new key is at hand now. */
bool sealed_moved(struct verb *v);
/* ERR_SYNTAX unless "" or a JSON object that ends within its array, so that what comes back from
 * the disk can be read. */
MUST_USE enum err settings_check(const char settings[STORE_SETTINGS_MAX]);
void verb_release(struct store *s); /* sends off the waiting verbs whose turn has come */
void verbs_close(struct store *s);  /* runs the waiting ones, in order, without an answer */
void prune_start(struct store *s);  /* in the background */
const char *engine_why(const struct store *s, enum err e);

/* ---- watch.c -------------------------------------------------------------------------------- */

void watch_init(struct store *s);
void watch_close(struct store *s);

/* ---- drain.c -------------------------------------------------------------------------------- */

void drain_init(struct store *s, size_t ring);
bool drain_idle(const struct store *s); /* nothing put that is not through */
void drain_kick(struct store *s);       /* now rather than in BATCH_WAIT_MS */
void drain_close(struct store *s); /* the thread is gone: writes the rest here, or counts it lost */
void drain_free(struct store *s);
void drain_trim(struct store *s); /* gives memory back that only a burst has needed */
/* A write has failed: keeps trying one until it works, so that the trouble is over when it is over
 * and not when the next request comes. */
void drain_watch(struct store *s);
/* An object still on its way; 0 = none. */
int64_t drain_find_object(const struct store *s, struct slice name);

#endif
