/* store: what must survive a restart.
 *
 * Accounts and their facts, gateway keys, one record per request, and who made which batch or file.
 * The verbs are atomic and asynchronous; no SQL, no rows, no transactions leak through this door.
 * The engine (include/sluice/backend.h; SQLite in WAL mode) runs on the store's own thread and
 * talks to the loop by messages: the loop never waits for the disk.
 *
 * Secrets are sealed by the vault before they reach the engine (AES-256-GCM, key derived per row
 * from the master key, bound to table, row and column), so no clear byte of one is ever in a file.
 *
 * Callbacks come on the loop's thread in a later turn, exactly once a call; rows handed to one are
 * valid during it only. After store_close nothing is called. */
#ifndef SLUICE_STORE_H
#define SLUICE_STORE_H

#include "base/base.h"
#include "net/net.h"

struct store;
#define STORE_NAME_MAX     64 /* account, key and lease names, with the NUL */
#define STORE_URL_MAX      512
#define STORE_MODEL_MAX    96
#define STORE_KEYID_MAX    16
#define STORE_SECRET_MAX   16384
#define STORE_ATTEMPTS     6
#define STORE_SETTINGS_MAX 4096
#define STORE_GROUP_MAX    32  /* names of groups and of shared quotas, with the NUL */
#define STORE_WHY_MAX      128 /* why an account was chosen, see struct record */
#define STORE_OBJECT_MAX   128
#define STORE_WINDOWS_MAX  64 /* of one account; beyond, those seen longest ago go */

struct store_key {     /* where the master key comes from: from exactly one place */
    const char *file;  /* a key file; NULL: `master.key` in the folder, made with the database */
    bool lent;         /* `file` is a service manager's (a credential of systemd's) */
    struct slice text; /* the key itself, 64 hex digits; wins when not empty */
    const char *name;  /* of `file` or `text`, for sentences: "$SLUICE_MASTER_KEY" */
};

struct store_options {
    const char *dir;            /* state folder, created 0700; NULL: a memory store (tests) */
    int64_t records_max_age_ms; /* 0 = keep */
    int64_t records_max_bytes;  /* of the database file, 0 = no bound */
    size_t ring;                /* records waiting for the disk at most; 0 = 16384 */
    bool shared;                /* other processes that say so, too, may have the same folder */
    struct store_key key;       /* all zero: the folder's own file */
};

/* Opens or creates everything in the calling thread: takes the folder's lock (ERR_BUSY: another
 * process has it and does not share it, or this one would not), reads the master key (ERR_DENIED:
 * others can read its file, or it is given and not the database's; ERR_EXISTS: there are two),
 * opens `sluice.db`, migrates its schema. `why` gets a sentence that says what to do next. */
MUST_USE enum err store_open(struct loop *l, const struct store_options *o, struct store **out,
                             char *why, size_t why_size);
/* Makes the folder beforehand, and judges it: ERR_DENIED when others own it or may change it. */
MUST_USE enum err store_folder(const char *dir, char *why, size_t why_size);
/* Flushes the ring, checkpoints, closes, joins the thread. Blocks: for shutdown only. */
void store_close(struct store *s);
void store_set_limits(struct store *s, int64_t max_age_ms, int64_t max_bytes); /* after a reload */
/* Of a shared store: from now on `fn` is called, within a second or so and never inside another
 * call, when another process has changed an account, its facts, its token, a group or a key. */
void store_watch(struct store *s, void (*fn)(void *arg), void *arg);
typedef void store_done_fn(void *arg, enum err e);
/* Shares one that was opened alone, from now on: store_watch is due then. ERR_BUSY, ERR_IO. */
void store_share(struct store *s, store_done_fn *done, void *arg);
/* ---- accounts ------------------------------------------------------------------------------- */
struct account_row {
    int64_t id;      /* given by the store, never reused */
    int64_t version; /* grows by one with each change by a person */
    char name[STORE_NAME_MAX];
    char provider[32];
    char base_url[STORE_URL_MAX]; /* "" = the provider's own */
    int32_t priority, weight;
    bool paused, allow_private;
    char settings[STORE_SETTINGS_MAX]; /* JSON object of what only accounts reads; "" = {} */
    int64_t created_at;
    /* facts that survive: see accounts.h */
    int64_t cool_until; /* wall ms, 0 = none */
    char cool_reason[32];
    int64_t facts_seen_at;
    struct slice secret;    /* clear, in memory only; borrowed; what a callback is given is wiped */
    bool secret_unreadable; /* sealed under another master key: the row is kept as it is */
};
typedef void store_accounts_fn(void *arg, enum err e, const struct account_row *rows, size_t n);
void store_accounts_load(struct store *s, store_accounts_fn *done, void *arg);
/* Adds (row->id == 0): ERR_EXISTS when the name is taken, ERR_SYNTAX when `settings` is neither
 * empty nor a JSON object. `done` gets the row as stored. */
void store_account_add(struct store *s, const struct account_row *row, store_accounts_fn *done,
                       void *arg);
/* Changes name, priority, weight, paused, base_url, allow_private and settings of row->id, if
 * row->version is still current (ERR_CONFLICT), and the secret if it is not empty. `done` gets the
 * new row. Settings are replaced whole: whoever changes something else hands them back as they
 * were. */
void store_account_update(struct store *s, const struct account_row *row, store_accounts_fn *done,
                          void *arg);
/* Its tokens, windows and objects go with it; its records stay. */
void store_account_remove(struct store *s, int64_t id, store_done_fn *done, void *arg);
/* Last seen wins: ignored when the stored seen_at is newer, by a minute at most: by more, the clock
 * was set back. Fire and forget, coalesced. */
void store_facts_put(struct store *s, int64_t account_id, int64_t seen_at, int64_t cool_until,
                     const char *cool_reason);

/* ---- tokens: rotating credentials ---------------------------------------------------------- */
/* A refresh token is worth an account: the pair that was used is dead the moment the provider has
 * answered, so the new one is on the disk before its first use, and a swap names the generation it
 * replaces. */
struct token_row {
    int64_t account_id;
    int64_t generation; /* grows by one with each swap; the first is 1 */
    int64_t expires_at; /* of the access token, wall ms; 0 = not told */
    int64_t lifetime;   /* ms from refreshed_at to expires_at as the provider told; 0 = not told */
    int64_t refreshed_at;
    int64_t noted_at; /* when a refresh of this generation was noted that has not ended; 0 = none */
    struct slice access, refresh; /* clear, in memory only; refresh "" = a long-lived token */
    bool unreadable; /* sealed under another master key, for another row or another generation:
                        kept as it is until a swap replaces it; both slices are empty */
};
typedef void store_tokens_fn(void *arg, enum err e, const struct token_row *rows, size_t n);
void store_tokens_load(struct store *s, store_tokens_fn *done, void *arg);
/* Stores `row` (generation expect + 1) if the stored generation is still `expect` (0 = none yet).
 * `done` gets the row as stored, durable; with ERR_CONFLICT the row that is stored instead (n == 0:
 * there is none). After a failure of the disk the swap may have happened all the same: swapped
 * again, the conflict shows it. ERR_NOTFOUND: no such account; ERR_RANGE: `access` is empty;
 * ERR_LIMIT: more than STORE_SECRET_MAX bytes. */
void store_token_swap(struct store *s, int64_t expect, const struct token_row *row,
                      store_tokens_fn *done, void *arg);
/* The journal of a refresh: noted, durably, before the request goes out, and cleared by the swap or
 * by `at` 0 (answered, and it was no new pair). A note found at load (noted_at) says that an answer
 * may have been lost. ERR_CONFLICT: another generation is stored; ERR_NOTFOUND: none is. */
void store_token_note(struct store *s, int64_t account_id, int64_t generation, int64_t at,
                      store_done_fn *done, void *arg);
/* One holder at a time, over all processes on the folder: ERR_BUSY while another's has not run out.
 * Taking what one holds already extends it. `now` is wall ms; should that clock go back, nobody
 * waits longer than twice the holder's ttl. Name and holder have 1..63 bytes without a NUL, else
 * ERR_RANGE. Dropping what another holds does nothing. */
void store_lease_take(struct store *s, struct slice name, struct slice holder, int64_t now,
                      int64_t ttl_ms, store_done_fn *done, void *arg);
void store_lease_drop(struct store *s, struct slice name, struct slice holder);

/* ---- windows: what an account has used of its limits ---------------------------------------- */
struct window_row {
    int64_t account_id;
    char name[32]; /* "5h", "7d", "7d_opus", "requests", ... */
    double used;   /* 0..1 and beyond; -1 = not told, also for what is no such number */
    bool closed;   /* the provider refuses until resets_at */
    int64_t started_at, resets_at, seen_at; /* wall ms, 0 = not known */
};
typedef void store_windows_fn(void *arg, enum err e, const struct window_row *rows, size_t n);
void store_windows_load(struct store *s, store_windows_fn *done, void *arg);
/* Last seen wins, and of two seen at the same moment the later put; fire and forget, coalesced by
 * (account, name), written with the records. */
void store_window_put(struct store *s, const struct window_row *row);

/* ---- groups of accounts --------------------------------------------------------------------- */
struct group_row {
    char name[STORE_GROUP_MAX];
    int64_t version;                   /* grows by one with each change; 1 at first */
    char strategy[24];                 /* by its name: see accounts/policy.h */
    char settings[STORE_SETTINGS_MAX]; /* JSON object of what only accounts reads; "" = {} */
};
typedef void store_groups_fn(void *arg, enum err e, const struct group_row *rows, size_t n);
void store_groups_load(struct store *s, store_groups_fn *done, void *arg); /* by name */
/* Adds (row->version == 0: ERR_EXISTS when there is one) or changes it if row->version is still
 * current (ERR_CONFLICT, ERR_NOTFOUND). `done` gets the row as stored. */
void store_group_put(struct store *s, const struct group_row *row, store_groups_fn *done,
                     void *arg);
void store_group_remove(struct store *s, const char *name, store_done_fn *done, void *arg);

/* ---- gateway keys --------------------------------------------------------------------------- */
struct key_row {
    char id[STORE_KEYID_MAX]; /* the public 8 characters */
    char name[STORE_NAME_MAX];
    uint8_t digest[CRYPTO_SHA256];                /* HMAC-SHA-256 under the pepper, never the key */
    int64_t created_at, last_used_at, revoked_at; /* 0 = never */
    char group[STORE_GROUP_MAX];                  /* of accounts that serve it; "" = the default */
    char settings[STORE_SETTINGS_MAX]; /* JSON object of what only gateway reads; "" = {} */
};
typedef void store_keys_fn(void *arg, enum err e, const struct key_row *rows, size_t n);
void store_keys_load(struct store *s, store_keys_fn *done, void *arg);
/* ERR_EXISTS: the id is taken, or the name by a key that is not revoked. */
void store_key_add(struct store *s, const struct key_row *row, store_done_fn *done, void *arg);
/* Changes name, group and settings of row->id. ERR_NOTFOUND, ERR_EXISTS (the name). */
void store_key_update(struct store *s, const struct key_row *row, store_done_fn *done, void *arg);
/* ERR_NOTFOUND. A revoked key keeps its first time. */
void store_key_revoke(struct store *s, const char *id, int64_t at, store_done_fn *done, void *arg);
/* Minute resolution; fire and forget. */
void store_key_used(struct store *s, const char *id, int64_t at);
/* 32 bytes for key digests. Valid as long as the store, and the same under every master key. */
const uint8_t *store_pepper(const struct store *s);

/* ---- records: exactly one per exchange ------------------------------------------------------ */
struct record_attempt {
    int64_t account_id;
    char account[STORE_NAME_MAX];
    int32_t status;     /* HTTP status, 0 = none came */
    const char *reason; /* static: "served", "rate_limited", "overloaded", "connect", ... */
    int32_t ms;         /* from its start to its verdict */
};
struct record {
    int64_t row;       /* given by the store: grows, orders, pages */
    int64_t at;        /* wall ms at the request's head */
    const char *route; /* static */
    const char *end;   /* static: complete, client_gone, upstream_cut, upstream_error, timeout,
                          refused, drained, ... */
    bool stream;
    bool usage_known; /* false: the observer went blind, or nothing reported any */
    int32_t status;   /* what the client got */
    int32_t ttfb_ms;  /* first byte to the client, -1 = none */
    int32_t duration_ms;
    int64_t bytes_in, bytes_out;
    int64_t input, output, cache_read, cache_write_5m, cache_write_1h, thinking;
    int32_t web_searches, web_fetches;
    int64_t cost_nano_usd; /* -1 = no price known */
    int32_t attempts;      /* may exceed STORE_ATTEMPTS: the last ones are kept */
    /* Texts, see struct record_texts. */
    char id[TEXT_UUID_MAX];                                 /* x-sluice-request-id */
    char key_id[STORE_KEYID_MAX], key_name[STORE_NAME_MAX]; /* "" = no key configured */
    char client[ADDR_TEXT_MAX];
    char model_asked[STORE_MODEL_MAX], model_answered[STORE_MODEL_MAX];
    char session[24];            /* short hash of the conversation's identity, "" = none */
    char group[STORE_GROUP_MAX]; /* whose accounts were looked at */
    /* The last choice: the word for the chosen account, then runner-ups as "NAME:WORD", separated
     * by spaces, as many as fit ("warm spare:behind old:spent"). Words: enum why and account
     * states. "" = none was made. */
    char why[STORE_WHY_MAX];
    char upstream_id[64]; /* the provider's request-id */
    char service_tier[16], stop_reason[32];
    char price_date[12];                           /* of the table row that priced it */
    struct record_attempt attempt[STORE_ATTEMPTS]; /* what is not used is not looked at */
};
/* Into the ring; never waits. Ring full: dropped and counted. */
void store_record(struct store *s, const struct record *r);
struct record_texts { /* of that name in struct record, and cut to what it holds */
    struct slice id, key_id, key_name, client, model_asked, model_answered, session, group, why;
    struct slice upstream_id, service_tier, stop_reason, price_date;
};
/* The same of a record whose texts are elsewhere: r's own, from `id` to `price_date`, are not
 * looked at. */
void store_record_with(struct store *s, const struct record *r, const struct record_texts *t);

struct record_query {
    int64_t after_row, before_row; /* newer than this, oldest first; or older, newest first (0 =
                                      from the newest) */
    bool forward;                  /* which of the two */
    int32_t limit;                 /* 1..1000 */
    const char *account, *key;     /* by name, NULL = any; the account of the last attempt counts */
    const char *id; /* this one alone: its x-sluice-request-id; then nothing above counts but
                       `limit`. NULL = any. Found by its time: quick unless nobody has it */
};
typedef void store_records_fn(void *arg, enum err e, const struct record *rows, size_t n);
void store_records_query(struct store *s, const struct record_query *q, store_records_fn *done,
                         void *arg);
/* Applies the limits now, not within 10 minutes. */
void store_prune(struct store *s, store_done_fn *done, void *arg);

/* ---- who made it: batches and files follow their account ------------------------------------ */
void store_object_put(struct store *s, struct slice object, int64_t account_id, int64_t at);
typedef void store_object_fn(void *arg, enum err e, int64_t account_id); /* ERR_NOTFOUND */
void store_object_get(struct store *s, struct slice object, store_object_fn *done, void *arg);

/* ---- the master key, and copies of it all --------------------------------------------------- */
#define STORE_WHY_LONG 512
struct store_rotation {
    char old_key[9], new_key[9]; /* fingerprints */
    int64_t values, unreadable;  /* sealed anew; left as they were */
    char why[STORE_WHY_LONG];    /* after an error, a sentence */
};
typedef void store_rotated_fn(void *arg, enum err e, const struct store_rotation *r);
/* Seals all under another key: `new_key` (64 hex digits), or a fresh one if that is empty and the
 * key's file is ours. Whole or not at all, whenever it is killed. */
void store_rotate(struct store *s, struct slice new_key, store_rotated_fn *done, void *arg);

struct store_copy {
    char file[STORE_URL_MAX], key[9]; /* `key`: fingerprint of the one it needs; "" = not known */
    int64_t bytes, schema;
    bool has_key;             /* of one restored: the master key is there */
    char why[STORE_WHY_LONG]; /* after an error, a sentence */
};
typedef void store_copied_fn(void *arg, enum err e, const struct store_copy *c);
/* Writes the database to `file` (an absolute path), beside other work, and durably; the master key
 * is not in it. ERR_EXISTS: there is such a file, unless `replace`. */
void store_backup(struct store *s, const char *file, bool replace, store_copied_fn *done,
                  void *arg);
/* Makes `file` the database of o->dir, which nobody has open, after a look at all of it. One that
 * is there: moved aside if `replace`, else ERR_EXISTS. ERR_DENIED: not its master key. Blocks. */
MUST_USE enum err store_restore(const struct store_options *o, const char *file, bool replace,
                                struct store_copy *c);

/* ---- state of the store itself -------------------------------------------------------------- */
struct store_stats {
    uint64_t records_written, records_dropped; /* dropped: ring full, or closing failed */
    uint64_t failures;   /* engine calls that failed: disk full, locked, I/O */
    size_t queued;       /* records in the ring */
    enum err last_error; /* OK once a write has worked again */
    int64_t last_error_at, db_bytes;
    int64_t stuck_ms; /* its thread has had something to do, and ended nothing, for so long */
};
void store_stats_get(const struct store *s, struct store_stats *out);

#endif
