/* backend: what a storage engine must be able to do.
 *
 * An engine is a table of functions over its own `struct backend`. All of them are synchronous and
 * may wait for a disk or a network: the store calls them on its own thread, never on the loop's
 * (but for open and close, which happen in the caller's). One at a time, never two at once; the
 * engine needs no locks.
 *
 * What every engine must keep to:
 *  - A call happens whole or not at all. After a failure the engine is usable again at once.
 *  - Account, key and token changes, and batches holding objects, survive a power cut once they
 * have answered OK. A batch of records alone may lose its last moments then, but never its order.
 *  - Secrets come sealed and are opaque bytes; a clear one never passes this door.
 *  - Failures are told apart: ERR_BUSY (somebody holds a lock, try again), ERR_FULL (no space),
 *    ERR_IO, ERR_DENIED (not writable), ERR_CORRUPT, ERR_NOMEM. These are the engine's troubles;
 *    ERR_NOTFOUND, ERR_EXISTS and ERR_CONFLICT are answers.
 *  - Nothing here may log, call back (except `each`, during the call) or know the time. */
#ifndef SLUICE_BACKEND_H
#define SLUICE_BACKEND_H

#include "store/packed.h"
#include "store/store.h" /* the rows are those of the store's door */

struct backend; /* the engine's own */

struct backend_options {
    const char *path;    /* the database file; NULL: in memory, gone at close */
    int busy_ms;         /* how long a call may wait for another process's lock */
    int64_t objects_max; /* beyond this many the oldest objects go */
    bool shared;         /* other processes have it open at the same time, and write */
};

/* ---- notes: small facts that ride along with a batch of records ----------------------------- */

/* ms; what is stored and so much newer than what comes was written before the wall clock was set
 * back */
#define STORE_CLOCK_STEP 60000
/* Of two observations the stored one is newer, so that the other is late. */
static inline bool store_is_newer(int64_t stored_at, int64_t at)
{
    return stored_at > at && stored_at - at <= STORE_CLOCK_STEP;
}

struct backend_fact { /* ignored when the account is gone or its stored seen_at is newer */
    int64_t account_id, seen_at, cool_until;
    char cool_reason[32];
};
struct backend_use { /* the later of this and the stored time stays */
    char key_id[STORE_KEYID_MAX];
    int64_t at;
};
/* Windows ride along as rows of the store's door: ignored when the account is gone or the stored
 * seen_at is newer; an account keeps STORE_WINDOWS_MAX of them. */
struct backend_object { /* the newest put of a name wins */
    char name[STORE_OBJECT_MAX];
    int64_t account_id, at;
};

struct backend_batch {
    const struct packed *records; /* the first; see packed_next. The engine numbers them, upward */
    size_t records_n;
    const struct backend_fact *facts;
    size_t facts_n;
    const struct backend_use *uses;
    size_t uses_n;
    const struct backend_object *objects;
    size_t objects_n;
    const struct window_row *windows;
    size_t windows_n;
    /* To be called after each BACKEND_BREATH rows: other threads may want the processor. May be
     * NULL. */
    void (*breathe)(void *arg);
    void *breathe_arg;
};
#define BACKEND_BREATH 32

/* ---- reading and pruning in bites: the store puts other calls between two of them ----------- */

/* A row in `each` is valid during that call only; `sealed` is empty when the account has no secret.
 */
typedef void backend_account_fn(void *arg, const struct account_row *row, struct slice sealed);
typedef void backend_key_fn(void *arg, const struct key_row *row);
typedef void backend_group_fn(void *arg, const struct group_row *row);
typedef void backend_window_fn(void *arg, const struct window_row *row);

struct backend_sealed { /* a token pair; `refresh` is empty when there is none */
    struct slice access, refresh;
};
/* row->access and row->refresh are empty, row->unreadable is false. */
typedef void backend_token_fn(void *arg, const struct token_row *row,
                              const struct backend_sealed *sealed);

/* The mark of the master key: the pepper, sealed under it; and how often that key was replaced. */
#define BACKEND_PEPPER_MAX 256
struct backend_vault {
    char pepper[BACKEND_PEPPER_MAX];
    size_t n; /* 0 = there is none yet */
    int64_t rotations;
};
struct backend_sealed_at { /* see struct vault_place */
    const char *table, *column;
    int64_t row, generation;
};
/* Puts the value, sealed anew, into `out`; left empty, the value stays as it is. */
typedef enum err backend_reseal_fn(void *arg, const struct backend_sealed_at *at,
                                   struct slice sealed, struct buf *out);

struct backend_copy {
    const char *path; /* an empty file of ours */
    bool more;        /* call again */
};
struct backend_look { /* at a database nobody has open */
    int64_t schema;
    char sealed[BACKEND_PEPPER_MAX]; /* the beginning of something sealed; "" = nothing is */
};

struct backend_scan {
    const struct record_query *query;
    struct record *rows; /* room for query->limit */
    size_t n;            /* filled so far */
    int64_t at, from;    /* the engine's place; the caller starts both at 0 */
    bool more;           /* call again: neither the limit nor the end of the table is reached */
};

struct backend_prune {
    int64_t before_at; /* records older than this go; 0 = no age limit */
    int64_t max_bytes; /* then the oldest go until the database fits; 0 = no size limit */
    int64_t removed;   /* rows removed so far; the caller starts it at 0 */
    bool more;         /* call again */
};

struct backend_ops {
    const char *name;

    /* Opens, creates or migrates. `why` gets a sentence for the operator when it fails. */
    enum err (*open)(const struct backend_options *o, struct backend **out, char *why,
                     size_t why_size);
    /* Folds what is pending into the main file and closes. */
    void (*close)(struct backend *b);
    /* How long a call may wait for another process's lock from now on. */
    void (*patience)(struct backend *b, int busy_ms);
    /* Other processes may have it open from now on, and write: see backend_options.shared. */
    void (*share)(struct backend *b);
    /* What went wrong in the last call that failed, in the engine's words; never NULL. */
    const char *(*why)(const struct backend *b);
    int64_t (*bytes)(struct backend *b); /* of the database; 0 when it cannot be told */

    /* True once after others have changed what is not a record, an object, a window or a time of
     * use; only of a shared engine. Cheap: it is asked every second. */
    enum err (*moved)(struct backend *b, bool *moved);

    /* A number for a new account: never given twice, not even after a restart. The account's
     * secret is sealed under it, so it must be known before the row exists. */
    enum err (*account_id)(struct backend *b, int64_t *id);
    /* One account, or all of them in order of their numbers when `id` is 0. */
    enum err (*accounts_load)(struct backend *b, int64_t id, backend_account_fn *each, void *arg);
    /* ERR_EXISTS when the name is taken. row->secret is not looked at. */
    enum err (*account_add)(struct backend *b, const struct account_row *row, struct slice sealed);
    /* ERR_NOTFOUND, ERR_CONFLICT (another version), ERR_EXISTS (name). Raises the version by one.
     * An empty `sealed` leaves the stored one as it is. */
    enum err (*account_update)(struct backend *b, const struct account_row *row,
                               struct slice sealed);
    /* ERR_NOTFOUND. Its objects, tokens and windows go too, its records stay. */
    enum err (*account_remove)(struct backend *b, int64_t id);

    enum err (*keys_load)(struct backend *b, backend_key_fn *each, void *arg);
    /* ERR_EXISTS: the id is taken, or the name by a key that is not revoked. */
    enum err (*key_add)(struct backend *b, const struct key_row *row);
    /* Changes name, group and settings. ERR_NOTFOUND, ERR_EXISTS (the name, as above). */
    enum err (*key_update)(struct backend *b, const struct key_row *row);
    /* ERR_NOTFOUND. Revoking a revoked key keeps its first time. */
    enum err (*key_revoke)(struct backend *b, const char *id, int64_t at);

    /* One group, or all of them in order of their names when `name` is NULL. */
    enum err (*groups_load)(struct backend *b, const char *name, backend_group_fn *each, void *arg);
    /* row->version 0 adds it as version 1 (ERR_EXISTS); else it is changed and its version raised
     * by one: ERR_NOTFOUND, ERR_CONFLICT (another version). */
    enum err (*group_put)(struct backend *b, const struct group_row *row);
    enum err (*group_remove)(struct backend *b, const char *name); /* ERR_NOTFOUND */

    /* All of it in one transaction. An empty batch writes something of the engine's own: OK says
     * that writing works. */
    enum err (*apply)(struct backend *b, const struct backend_batch *batch);
    enum err (*records_scan)(struct backend *b, struct backend_scan *scan);
    enum err (*prune)(struct backend *b, struct backend_prune *prune);
    enum err (*object_get)(struct backend *b, struct slice name, int64_t *account_id);

    enum err (*tokens_load)(struct backend *b, backend_token_fn *each, void *arg);
    /* Stores the pair as generation expect + 1, without a note, if `expect` is the stored one (0:
     * none is); clear slices in `row` are not looked at. Compared and written as one, also against
     * other processes. `each` gets the row that is then stored; a failure behind it (not
     * ERR_CONFLICT) makes what it got void. ERR_CONFLICT: another generation is stored, which
     * `each` has got, or none; ERR_NOTFOUND: no such account. */
    enum err (*token_swap)(struct backend *b, int64_t expect, const struct token_row *row,
                           const struct backend_sealed *sealed, backend_token_fn *each, void *arg);
    /* `at` 0 takes the note back. ERR_CONFLICT: another generation; ERR_NOTFOUND: no token. */
    enum err (*token_note)(struct backend *b, int64_t account_id, int64_t generation, int64_t at);

    /* Compared and written as one, also against other processes; need not survive a power cut. May
     * be taken when nobody has it, the holder has it, its time is over, or the clock has gone back
     * so far that it would last longer than twice its ttl. ERR_CONFLICT: another holder has it
     * (ERR_BUSY is the engine's own trouble). */
    enum err (*lease_take)(struct backend *b, struct slice name, struct slice holder, int64_t now,
                           int64_t ttl_ms);
    /* OK also when it was not held. */
    enum err (*lease_drop)(struct backend *b, struct slice name, struct slice holder);

    enum err (*windows_load)(struct backend *b, backend_window_fn *each, void *arg);

    enum err (*vault_load)(struct backend *b, struct backend_vault *out);
    enum err (*vault_put)(struct backend *b, struct slice pepper); /* ERR_EXISTS: there is one */
    /* The caller seals under the key of that many rotations from now on. While it is another's, all
     * that writes something sealed answers ERR_STATE and writes nothing. */
    void (*vault_take)(struct backend *b, int64_t rotations);
    /* All that is sealed, and the pepper, replaced in one transaction, which counts as a rotation
     * and takes it. What `fn` answers, unless OK, ends it. */
    enum err (*reseal)(struct backend *b, struct slice pepper, backend_reseal_fn *fn, void *arg);
    /* Writes a copy, in bites; whole and durable when it answers OK without `more`. One at a time:
     * ERR_BUSY. */
    enum err (*copy)(struct backend *b, struct backend_copy *c);
    /* Looks at all of a database. ERR_CORRUPT, ERR_UNSUPPORTED (not ours, or a newer one's). */
    enum err (*look)(const char *path, struct backend_look *out, char *why, size_t why_size);
};

/* The engine every installation has: one file, SQLite in WAL mode. */
extern const struct backend_ops backend_sqlite;

#endif
