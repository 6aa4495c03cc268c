/* sqlite: what the files of the SQLite engine share. Together with schema.c they are the only ones
 * that include sqlite3.h.
 *
 * Every statement is prepared once and kept; each use ends in stmt_end, on all paths, because a
 * statement that is not reset holds its read transaction open and so keeps the write-ahead log from
 * being folded back. Records are written with sqlite3_reset alone: what they have bound stays. */
#ifndef SLUICE_STORE_SQLITE_H
#define SLUICE_STORE_SQLITE_H

#include <sqlite3.h>

#include "base/base.h"
#include "sluice/backend.h"

enum stmt {
    ST_BEGIN,
    ST_COMMIT,
    ST_PAGE_COUNT,
    ST_FREE_COUNT,
    ST_DATA_VERSION,
    ST_META_GET,
    ST_META_PUT,
    ST_ACCOUNTS,
    ST_ACCOUNT,
    ST_ACCOUNT_ADD,
    ST_ACCOUNT_UPDATE,
    ST_ACCOUNT_SECRET,
    ST_ACCOUNT_REMOVE,
    ST_ACCOUNT_OBJECTS,
    ST_ACCOUNT_TOKENS,
    ST_ACCOUNT_WINDOWS,
    ST_ACCOUNT_FACTS,
    ST_KEYS,
    ST_KEY_ADD,
    ST_KEY_UPDATE,
    ST_KEY_REVOKE,
    ST_KEY_USED,
    ST_GROUPS,
    ST_GROUP,
    ST_GROUP_ADD,
    ST_GROUP_UPDATE,
    ST_GROUP_REMOVE,
    ST_RECORD_ADD,
    ST_RECORDS_ADD,
    ST_RECORDS_UP,
    ST_RECORDS_DOWN,
    ST_RECORDS_ID,
    ST_RECORDS_ENDED,
    ST_RECORDS_EDGES,
    ST_RECORDS_OLD,
    ST_RECORDS_OLDEST,
    ST_OBJECT_PUT,
    ST_OBJECT_GET,
    ST_OBJECTS_TRIM,
    ST_TOKENS,
    ST_TOKEN,
    ST_TOKEN_ADD,
    ST_TOKEN_SWAP,
    ST_TOKEN_NOTE,
    ST_LEASE_TAKE,
    ST_LEASE_DROP,
    ST_WINDOWS,
    ST_WINDOW_UPDATE,
    ST_WINDOW_ADD,
    ST_WINDOWS_TRIM,
    ST_VAULT,
    ST_VAULT_ADD,
    ST_VAULT_SET,
    ST_SEALED_ACCOUNT,
    ST_SEALED_TOKEN,
    ST_RESEAL_TOKEN,
    ST_COUNT
};

#define RECORD_COLUMNS_N 36  /* of `records` */
#define RECORDS_MANY     8   /* rows of ST_RECORDS_ADD */
#define INTERN_MAX       256 /* different words of ours that may come back from the disk */
#define WHY_MAX          160

struct backend {
    sqlite3 *db;
    sqlite3_stmt *stmt[ST_COUNT];
    int64_t next_record; /* the number of the next record */
    int64_t objects_max;
    int64_t page_size;
    int64_t data_version; /* SQLite's count of what other connections wrote, when last looked at */
    int64_t changes;      /* the count in `meta`, as far as we know what lies behind it */
    int64_t rotations;    /* of the master key that what comes in is sealed under */
    struct copying *copying; /* a copy that is under way; NULL = none is */
    bool memory, shared;
    char why[WHY_MAX];
    bool utf8;                /* the file's texts are */
    struct record_rows *rows; /* what is bound for the records written last */
    char *word[INTERN_MAX];
    size_t words;
};

/* ---- sqlite.c ------------------------------------------------------------------------------- */

/* Our word for what SQLite answered, and SQLite's own sentence into b->why. */
MUST_USE enum err sq_fail(struct backend *b, int rc);
MUST_USE enum err sq_exec(struct backend *b, const char *sql);
/* The prepared statement, reset and unbound; NULL and *e when it cannot be had. */
sqlite3_stmt *stmt_use(struct backend *b, enum stmt which, enum err *e);
void stmt_end(sqlite3_stmt *st);
/* Steps a statement that gives no row to its end, and ends it. */
MUST_USE enum err stmt_run(struct backend *b, sqlite3_stmt *st);
/* One number, with `absent` when there is no row or a NULL. */
MUST_USE enum err stmt_int(struct backend *b, sqlite3_stmt *st, int64_t absent, int64_t *out);

/* Every write happens between these two. A durable one is on the disk when tx_end answers OK. */
MUST_USE enum err tx_begin(struct backend *b, bool durable);
/* Commits if `e` is OK, else takes everything back; answers what has come of it. */
MUST_USE enum err tx_end(struct backend *b, bool durable, enum err e);

/* The end of a transaction that other processes on the database must learn of. */
MUST_USE enum err tx_end_told(struct backend *b, bool durable, enum err e);

MUST_USE enum err meta_get(struct backend *b, const char *name, int64_t absent, int64_t *out);
MUST_USE enum err meta_put(struct backend *b, const char *name, int64_t value);

/* Terminated strings must stay as they are until stmt_end. */
void bind_cstr(sqlite3_stmt *st, int at, const char *s);
void bind_slice(sqlite3_stmt *st, int at, struct slice s);
void col_copy(sqlite3_stmt *st, int at, char *out, size_t size);

/* ---- sqlite_rows.c -------------------------------------------------------------------------- */

enum err rows_account_id(struct backend *b, int64_t *id);
enum err rows_accounts_load(struct backend *b, int64_t id, backend_account_fn *each, void *arg);
enum err rows_account_add(struct backend *b, const struct account_row *row, struct slice sealed);
enum err rows_account_update(struct backend *b, const struct account_row *row, struct slice sealed);
enum err rows_account_remove(struct backend *b, int64_t id);
/* Nothing was changed: ERR_NOTFOUND without such an account, else ERR_CONFLICT. */
enum err rows_account_missing(struct backend *b, int64_t id);
enum err rows_keys_load(struct backend *b, backend_key_fn *each, void *arg);
enum err rows_key_add(struct backend *b, const struct key_row *row);
enum err rows_key_update(struct backend *b, const struct key_row *row);
enum err rows_key_revoke(struct backend *b, const char *id, int64_t at);
enum err rows_facts(struct backend *b, const struct backend_fact *f, size_t n);
enum err rows_uses(struct backend *b, const struct backend_use *u, size_t n);
enum err rows_objects(struct backend *b, const struct backend_object *o, size_t n);
enum err rows_object_get(struct backend *b, struct slice name, int64_t *account_id);

/* ---- sqlite_groups.c ------------------------------------------------------------------------ */

enum err rows_groups_load(struct backend *b, const char *name, backend_group_fn *each, void *arg);
enum err rows_group_put(struct backend *b, const struct group_row *row);
enum err rows_group_remove(struct backend *b, const char *name);

/* ---- sqlite_tokens.c ------------------------------------------------------------------------ */

enum err rows_tokens_load(struct backend *b, backend_token_fn *each, void *arg);
enum err rows_token_swap(struct backend *b, int64_t expect, const struct token_row *row,
                         const struct backend_sealed *sealed, backend_token_fn *each, void *arg);
enum err rows_token_note(struct backend *b, int64_t account_id, int64_t generation, int64_t at);
enum err rows_lease_take(struct backend *b, struct slice name, struct slice holder, int64_t now,
                         int64_t ttl_ms);
enum err rows_lease_drop(struct backend *b, struct slice name, struct slice holder);
enum err rows_windows_load(struct backend *b, backend_window_fn *each, void *arg);
enum err rows_windows(struct backend *b, const struct window_row *w, size_t n);

/* ---- sqlite_keep.c -------------------------------------------------------------------------- */

/* Within a transaction that writes something sealed: ERR_STATE if the master key is another by now.
 */
MUST_USE enum err sealed_check(struct backend *b);
enum err keep_vault_load(struct backend *b, struct backend_vault *out);
enum err keep_vault_put(struct backend *b, struct slice pepper);
void keep_vault_take(struct backend *b, int64_t rotations);
enum err keep_reseal(struct backend *b, struct slice pepper, backend_reseal_fn *fn, void *arg);
enum err keep_copy(struct backend *b, struct backend_copy *c);
void keep_copy_end(struct backend *b); /* given up */
enum err keep_look(const char *path, struct backend_look *out, char *why, size_t why_size);

/* ---- sqlite_write.c ------------------------------------------------------------------------- */

enum err records_apply(struct backend *b, const struct backend_batch *batch);
void records_close(struct backend *b);

/* ---- sqlite_records.c ----------------------------------------------------------------------- */

/* Where the numbers go on after a restart. */
MUST_USE enum err records_open(struct backend *b);
enum err records_scan(struct backend *b, struct backend_scan *scan);
enum err records_prune(struct backend *b, struct backend_prune *prune);

/* ---- schema.c ------------------------------------------------------------------------------- */

#define SCHEMA_VERSION     6
#define SCHEMA_APPLICATION 0x736c7563 /* "sluc", in the file's header */

/* A database that is empty, or ours and not from the future: else ERR_UNSUPPORTED. */
MUST_USE enum err schema_check(struct backend *b, int64_t *version, char *why, size_t why_size);
/* Brings the database to SCHEMA_VERSION, each step in a transaction of its own. ERR_UNSUPPORTED: it
 * is a newer sluice's, or nobody's we know. */
MUST_USE enum err schema_migrate(struct backend *b, char *why, size_t why_size);

#endif
