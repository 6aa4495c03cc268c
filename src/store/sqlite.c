#include "store/sqlite.h"

#include <string.h>

/* The order of records is the order of their numbers, so a range of numbers is a range of time and
 * the table needs no index. A filtered scan looks at no more than SCAN_SPAN numbers at a time, so
 * that whatever else waits for the store's thread gets its turn. */
#define RECORD_COLUMNS                                                                         \
    "num,id,at,key_id,key_name,client,route,model_asked,model_answered,session,upstream_id,"   \
    "stream,status,ended,account,attempts,tries,ttfb_ms,duration_ms,bytes_in,bytes_out,"       \
    "usage_known,input,output,cache_read,cache_write_5m,cache_write_1h,thinking,web_searches," \
    "web_fetches,service_tier,stop_reason,cost_nano_usd,price_date,grp,why"
#define RECORD_MARKS  "(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
#define RECORDS_FOUR  RECORD_MARKS "," RECORD_MARKS "," RECORD_MARKS "," RECORD_MARKS
/* All of the table's columns in their order: then what is bound is not copied once more. OR FAIL:
 * what has gone wrong is taken back with the transaction, and no way back to the statement's begin
 * need be kept. */
#define RECORD_ADD    "INSERT OR FAIL INTO records(" RECORD_COLUMNS ") VALUES"
#define RECORD_FILTER "(?3 IS NULL OR account = ?3) AND (?4 IS NULL OR key_name = ?4)"
#define ACCOUNT_COLUMNS                                                                  \
    "id,version,name,provider,base_url,priority,weight,paused,allow_private,created_at," \
    "cool_until,cool_reason,facts_seen_at,secret,settings"
#define KEY_COLUMNS   "id,name,digest,created_at,last_used_at,revoked_at,grp,settings"
#define GROUP_COLUMNS "name,version,strategy,settings"
#define TOKEN_COLUMNS \
    "account_id,generation,expires_at,lifetime,refreshed_at,noted_at,access,refresh"
#define WINDOW_COLUMNS "account_id,name,used,closed,started_at,resets_at,seen_at"
#define CLOCK_STEP     TEXT_OF(STORE_CLOCK_STEP)
#define TEXT_OF(n)     TEXT_OF_IT(n)
#define TEXT_OF_IT(n)  #n
/* The subquery counts rows, not numbers: holes left by an earlier pruning do not stop a later one.
 */
#define OLDEST         "num IN (SELECT num FROM records ORDER BY num LIMIT ?1)"

static const char *const stmt_sql[ST_COUNT] = {
    [ST_BEGIN] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_PAGE_COUNT] = "PRAGMA page_count",
    [ST_FREE_COUNT] = "PRAGMA freelist_count",
    [ST_DATA_VERSION] = "PRAGMA data_version",
    [ST_META_GET] = "SELECT value FROM meta WHERE name = ?1",
    [ST_META_PUT] = "INSERT OR REPLACE INTO meta(name,value) VALUES(?1,?2)",
    [ST_ACCOUNTS] = "SELECT " ACCOUNT_COLUMNS " FROM accounts ORDER BY id",
    [ST_ACCOUNT] = "SELECT " ACCOUNT_COLUMNS " FROM accounts WHERE id = ?1",
    [ST_ACCOUNT_ADD] = "INSERT INTO accounts(" ACCOUNT_COLUMNS
                       ") VALUES(?1,1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)",
    [ST_ACCOUNT_UPDATE] = "UPDATE accounts SET version=version+1,name=?3,priority=?4,weight=?5,"
                          "paused=?6,base_url=?7,allow_private=?8,settings=?9 "
                          "WHERE id=?1 AND version=?2",
    [ST_ACCOUNT_SECRET] = "UPDATE accounts SET secret=?2 WHERE id=?1",
    [ST_ACCOUNT_REMOVE] = "DELETE FROM accounts WHERE id=?1",
    [ST_ACCOUNT_OBJECTS] = "DELETE FROM objects WHERE account_id=?1",
    [ST_ACCOUNT_TOKENS] = "DELETE FROM tokens WHERE account_id=?1",
    [ST_ACCOUNT_WINDOWS] = "DELETE FROM windows WHERE account_id=?1",
    [ST_ACCOUNT_FACTS] = "UPDATE accounts SET facts_seen_at=?2,cool_until=?3,cool_reason=?4 "
                         "WHERE id=?1 AND (facts_seen_at<=?2 OR facts_seen_at>?2+" CLOCK_STEP ")",
    [ST_KEYS] = "SELECT " KEY_COLUMNS " FROM client_keys ORDER BY created_at,id",
    [ST_KEY_ADD] = "INSERT INTO client_keys(" KEY_COLUMNS ") VALUES(?1,?2,?3,?4,?5,?6,?7,?8)",
    [ST_KEY_UPDATE] = "UPDATE client_keys SET name=?2,grp=?3,settings=?4 WHERE id=?1",
    [ST_KEY_REVOKE] = "UPDATE client_keys SET revoked_at=iif(revoked_at=0,?2,revoked_at) "
                      "WHERE id=?1",
    [ST_KEY_USED] = "UPDATE client_keys SET last_used_at=?2 WHERE id=?1 AND last_used_at<?2",
    [ST_GROUPS] = "SELECT " GROUP_COLUMNS " FROM groups ORDER BY name",
    [ST_GROUP] = "SELECT " GROUP_COLUMNS " FROM groups WHERE name=?1",
    [ST_GROUP_ADD] = "INSERT INTO groups(" GROUP_COLUMNS ") VALUES(?1,1,?3,?4)",
    [ST_GROUP_UPDATE] = "UPDATE groups SET version=version+1,strategy=?3,settings=?4 "
                        "WHERE name=?1 AND version=?2",
    [ST_GROUP_REMOVE] = "DELETE FROM groups WHERE name=?1",
    [ST_RECORD_ADD] = RECORD_ADD RECORD_MARKS,
    [ST_RECORDS_ADD] = RECORD_ADD RECORDS_FOUR "," RECORDS_FOUR,
    [ST_RECORDS_UP] = "SELECT " RECORD_COLUMNS
                      " FROM records WHERE num>?1 AND num<?2 AND " RECORD_FILTER
                      " ORDER BY num LIMIT ?5",
    [ST_RECORDS_DOWN] = "SELECT " RECORD_COLUMNS
                        " FROM records WHERE num>?1 AND num<?2 AND " RECORD_FILTER
                        " ORDER BY num DESC LIMIT ?5",
    [ST_RECORDS_ID] = "SELECT " RECORD_COLUMNS " FROM records WHERE num>?1 AND num<?2 AND id=?3",
    /* Of the row at this number or the next one there is. */
    [ST_RECORDS_ENDED] =
        "SELECT num,at+duration_ms FROM records WHERE num>=?1 ORDER BY num LIMIT 1",
    [ST_RECORDS_EDGES] = "SELECT (SELECT min(num) FROM records),(SELECT max(num) FROM records)",
    [ST_RECORDS_OLD] = "DELETE FROM records WHERE " OLDEST " AND at<?2",
    [ST_RECORDS_OLDEST] = "DELETE FROM records WHERE " OLDEST,
    [ST_OBJECT_PUT] = "INSERT OR REPLACE INTO objects(name,account_id,at) VALUES(?1,?2,?3)",
    [ST_OBJECT_GET] = "SELECT account_id FROM objects WHERE name=?1",
    [ST_OBJECTS_TRIM] = "DELETE FROM objects WHERE seq IN (SELECT seq FROM objects WHERE "
                        "seq<=(SELECT max(seq) FROM objects)-?1 ORDER BY seq LIMIT 1000)",
    [ST_TOKENS] = "SELECT " TOKEN_COLUMNS " FROM tokens ORDER BY account_id",
    [ST_TOKEN] = "SELECT " TOKEN_COLUMNS " FROM tokens WHERE account_id=?1",
    /* The two ways of a swap take the same arguments; ?2 is the new generation. */
    [ST_TOKEN_ADD] = "INSERT OR IGNORE INTO tokens(" TOKEN_COLUMNS ") "
                     "SELECT ?1,?2,?3,?4,?5,0,?6,?7 WHERE EXISTS(SELECT 1 FROM accounts "
                     "WHERE id=?1)",
    [ST_TOKEN_SWAP] = "UPDATE tokens SET generation=?2,expires_at=?3,lifetime=?4,refreshed_at=?5,"
                      "noted_at=0,access=?6,refresh=?7 WHERE account_id=?1 AND generation=?2-1",
    [ST_TOKEN_NOTE] = "UPDATE tokens SET noted_at=?3 WHERE account_id=?1 AND generation=?2",
    [ST_LEASE_TAKE] = "INSERT INTO leases(name,holder,taken_at,until) VALUES(?1,?2,?3,?3+?4) "
                      "ON CONFLICT(name) DO UPDATE SET holder=excluded.holder,"
                      "taken_at=excluded.taken_at,until=excluded.until "
                      "WHERE holder=excluded.holder OR until<=?3 OR until-?3>2*(until-taken_at)",
    [ST_LEASE_DROP] = "DELETE FROM leases WHERE name=?1 AND holder=?2",
    [ST_WINDOWS] = "SELECT " WINDOW_COLUMNS " FROM windows ORDER BY account_id,name",
    [ST_WINDOW_UPDATE] = "UPDATE windows SET used=?3,closed=?4,started_at=?5,resets_at=?6,"
                         "seen_at=?7 WHERE account_id=?1 AND name=?2 AND (seen_at<=?7 OR "
                         "seen_at>?7+" CLOCK_STEP ")",
    [ST_WINDOW_ADD] = "INSERT OR IGNORE INTO windows(" WINDOW_COLUMNS ") "
                      "SELECT ?1,?2,?3,?4,?5,?6,?7 WHERE EXISTS(SELECT 1 FROM accounts "
                      "WHERE id=?1)",
    [ST_WINDOWS_TRIM] = "DELETE FROM windows WHERE account_id=?1 AND name IN (SELECT name FROM "
                        "windows WHERE account_id=?1 ORDER BY seen_at DESC,name LIMIT -1 "
                        "OFFSET ?2)",
    [ST_VAULT] = "SELECT pepper FROM vault WHERE id=1",
    [ST_VAULT_ADD] = "INSERT INTO vault(id,pepper) VALUES(1,?1)",
    [ST_VAULT_SET] = "INSERT OR REPLACE INTO vault(id,pepper) VALUES(1,?1)",
    /* The next row that has something sealed. */
    [ST_SEALED_ACCOUNT] =
        "SELECT id,0,secret,NULL FROM accounts WHERE id>?1 AND secret<>'' ORDER BY id LIMIT 1",
    [ST_SEALED_TOKEN] = "SELECT account_id,generation,access,refresh FROM tokens "
                        "WHERE account_id>?1 ORDER BY account_id LIMIT 1",
    [ST_RESEAL_TOKEN] = "UPDATE tokens SET access=?2,refresh=?3 WHERE account_id=?1",
};

/* ---- errors --------------------------------------------------------------------------------- */

static enum err rc_err(int rc)
{
    if (rc == SQLITE_CONSTRAINT_UNIQUE || rc == SQLITE_CONSTRAINT_PRIMARYKEY)
        return ERR_EXISTS;
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_BUSY;
    case SQLITE_FULL:
        return ERR_FULL;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return ERR_DENIED;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return ERR_CORRUPT;
    case SQLITE_NOMEM:
        return ERR_NOMEM;
    case SQLITE_TOOBIG:
        return ERR_LIMIT;
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
        return ERR_RANGE;
    default:
        return ERR_IO;
    }
}

enum err sq_fail(struct backend *b, int rc)
{
    int full = rc;
    if (b->db != NULL && sqlite3_errcode(b->db) == rc)
        full = sqlite3_extended_errcode(b->db);
    assert(rc != SQLITE_OK && rc != SQLITE_DONE);
    (void)text_format(b->why, sizeof b->why, "%s (sqlite %d)",
                      b->db != NULL ? sqlite3_errmsg(b->db) : sqlite3_errstr(rc), full);
    return rc_err(full);
}

enum err sq_exec(struct backend *b, const char *sql)
{
    int rc = sqlite3_exec(b->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? OK : sq_fail(b, rc);
}

/* ---- statements ----------------------------------------------------------------------------- */

sqlite3_stmt *stmt_use(struct backend *b, enum stmt which, enum err *e)
{
    assert(which < ST_COUNT && stmt_sql[which] != NULL);
    *e = OK;
    if (b->stmt[which] == NULL) {
        int rc = sqlite3_prepare_v3(b->db, stmt_sql[which], -1, SQLITE_PREPARE_PERSISTENT,
                                    &b->stmt[which], NULL);
        if (rc != SQLITE_OK) {
            *e = sq_fail(b, rc);
            return NULL;
        }
    }
    assert(!sqlite3_stmt_busy(b->stmt[which])); /* somebody forgot stmt_end */
    return b->stmt[which];
}

void stmt_end(sqlite3_stmt *st)
{
    (void)sqlite3_reset(st);          /* repeats the error of the step, which has been dealt with */
    (void)sqlite3_clear_bindings(st); /* they point into memory that is about to go */
}

enum err stmt_run(struct backend *b, sqlite3_stmt *st)
{
    int rc = sqlite3_step(st);
    enum err e = rc == SQLITE_DONE ? OK : sq_fail(b, rc);
    assert(rc != SQLITE_ROW);
    stmt_end(st);
    return e;
}

enum err stmt_int(struct backend *b, sqlite3_stmt *st, int64_t absent, int64_t *out)
{
    enum err e = OK;
    int rc = sqlite3_step(st);
    *out = absent;
    if (rc == SQLITE_ROW && sqlite3_column_type(st, 0) != SQLITE_NULL)
        *out = sqlite3_column_int64(st, 0);
    else if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        e = sq_fail(b, rc);
    stmt_end(st);
    return e;
}

void bind_cstr(sqlite3_stmt *st, int at, const char *s)
{
    (void)sqlite3_bind_text(st, at, s, s == NULL ? 0 : (int)strlen(s), SQLITE_STATIC);
}

void bind_slice(sqlite3_stmt *st, int at, struct slice s)
{
    assert(s.n <= INT32_MAX);
    (void)sqlite3_bind_text(st, at, s.n == 0 ? NULL : s.p, (int)s.n, SQLITE_STATIC);
}

void col_copy(sqlite3_stmt *st, int at, char *out, size_t size)
{
    const char *p = (const char *)sqlite3_column_text(st, at);
    int n = sqlite3_column_bytes(st, at);
    text_copy(out, size, p == NULL || n < 0 ? S("") : (struct slice){p, (size_t)n});
}

/* ---- transactions --------------------------------------------------------------------------- */

/* In WAL mode synchronous=NORMAL never loses order and never harms the file, but a power cut may
 * take the last commits. FULL adds one fsync of the log after the commit, which carries every
 * earlier commit in it to the disk as well. So records ride with NORMAL, and what a person was told
 * is stored gets FULL, switched on around its own transaction. */
enum err tx_begin(struct backend *b, bool durable)
{
    enum err e;
    sqlite3_stmt *st;
    assert(sqlite3_get_autocommit(b->db)); /* transactions do not nest */
    if (durable) {
        e = sq_exec(b, "PRAGMA synchronous=FULL");
        if (e != OK)
            return e;
    }
    st = stmt_use(b, ST_BEGIN, &e);
    if (st != NULL)
        e = stmt_run(b, st);
    if (e != OK && durable)
        (void)sqlite3_exec(b->db, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
    return e;
}

enum err tx_end(struct backend *b, bool durable, enum err e)
{
    char why[WHY_MAX];
    if (e == OK) {
        sqlite3_stmt *st = stmt_use(b, ST_COMMIT, &e);
        if (st != NULL)
            e = stmt_run(b, st);
    }
    memcpy(why, b->why, sizeof why); /* of the first failure */
    /* Some failures (disk full, I/O) have rolled back by themselves. */
    if (!sqlite3_get_autocommit(b->db) && sq_exec(b, "ROLLBACK") != OK && e == OK)
        e = ERR_IO;
    assert(e != OK || sqlite3_get_autocommit(b->db));
    if (durable && sq_exec(b, "PRAGMA synchronous=NORMAL") != OK && e == OK)
        e = ERR_IO;
    if (e != OK)
        memcpy(b->why, why, sizeof why);
    return e;
}

enum err meta_get(struct backend *b, const char *name, int64_t absent, int64_t *out)
{
    enum err e;
    sqlite3_stmt *st = stmt_use(b, ST_META_GET, &e);
    if (st == NULL)
        return e;
    bind_cstr(st, 1, name);
    return stmt_int(b, st, absent, out);
}

enum err meta_put(struct backend *b, const char *name, int64_t value)
{
    enum err e;
    sqlite3_stmt *st = stmt_use(b, ST_META_PUT, &e);
    if (st == NULL)
        return e;
    bind_cstr(st, 1, name);
    (void)sqlite3_bind_int64(st, 2, value);
    return stmt_run(b, st);
}

/* ---- what other processes write ------------------------------------------------------------- */

#define META_CHANGES "changes"

enum err tx_end_told(struct backend *b, bool durable, enum err e)
{
    int64_t count = 0;
    if (!b->shared)
        return tx_end(b, durable, e);
    if (e == OK)
        e = meta_get(b, META_CHANGES, 0, &count);
    if (e == OK)
        e = meta_put(b, META_CHANGES, count + 1);
    e = tx_end(b, durable, e);
    if (e == OK && b->changes == count) /* else somebody else's change is still to be told */
        b->changes = count + 1;
    return e;
}

/* SQLite's own count moves with every commit of others, records too, but costs no read; the count
 * in `meta` says whether it was one that matters. */
static enum err sqlite_moved(struct backend *b, bool *moved)
{
    int64_t version = 0, count = 0;
    enum err e;
    sqlite3_stmt *st;
    *moved = false;
    if (!b->shared)
        return OK;
    st = stmt_use(b, ST_DATA_VERSION, &e);
    if (st != NULL)
        e = stmt_int(b, st, 0, &version);
    if (e != OK || version == b->data_version)
        return e;
    e = meta_get(b, META_CHANGES, 0, &count);
    if (e != OK)
        return e;
    *moved = count != b->changes;
    b->data_version = version;
    b->changes = count;
    return OK;
}

/* ---- open and close ------------------------------------------------------------------------- */

/* auto_vacuum comes first: it must be in the file before anything else is. */
static const char setup_sql[] = "PRAGMA auto_vacuum=INCREMENTAL;"
                                "PRAGMA journal_mode=WAL;"
                                "PRAGMA synchronous=NORMAL;"
                                "PRAGMA foreign_keys=ON;"
                                "PRAGMA secure_delete=ON;"
                                "PRAGMA trusted_schema=OFF;"
                                "PRAGMA temp_store=MEMORY;"
                                "PRAGMA wal_autocheckpoint=4000;"
                                "PRAGMA journal_size_limit=16777216;";

static enum err sqlite_setup(struct backend *b, int busy_ms)
{
    sqlite3_stmt *st;
    enum err e;
    if (sqlite3_busy_timeout(b->db, busy_ms) != SQLITE_OK)
        return sq_fail(b, SQLITE_ERROR);
    (void)sqlite3_db_config(b->db, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
    e = sq_exec(b, setup_sql);
    if (e != OK)
        return e;
    st = NULL;
    if (sqlite3_prepare_v2(b->db, "PRAGMA page_size", -1, &st, NULL) == SQLITE_OK &&
        sqlite3_step(st) == SQLITE_ROW)
        b->page_size = sqlite3_column_int64(st, 0);
    (void)sqlite3_finalize(st);
    st = NULL;
    if (sqlite3_prepare_v2(b->db, "PRAGMA encoding", -1, &st, NULL) == SQLITE_OK &&
        sqlite3_step(st) == SQLITE_ROW)
        b->utf8 = strcmp((const char *)sqlite3_column_text(st, 0), "UTF-8") == 0;
    (void)sqlite3_finalize(st);
    return b->page_size > 0 ? OK : sq_fail(b, SQLITE_ERROR);
}

static void open_why(struct backend *b, const char *path, enum err e, char *why, size_t why_size)
{
    const char *todo = "look at the disk and the folder's permissions";
    if (e == ERR_CORRUPT)
        todo = "restore it from a backup, or save what can be saved with `sqlite3 sluice.db "
               ".recover`";
    else if (e == ERR_BUSY)
        todo = "another program holds a lock on it; close that program";
    else if (e == ERR_FULL)
        todo = "the disk is full; make room";
    else if (e == ERR_DENIED)
        todo = "it cannot be written; look at the owner and mode of the file and its folder";
    (void)text_format(why, why_size, "cannot open %s: %s: %s", path != NULL ? path : "memory",
                      b->why, todo);
}

static void sqlite_close(struct backend *b)
{
    /* Nothing left in the log: a copy of the one file is whole. Others must not be made to wait for
     * that; of those who share it the last one folds it anyway. */
    if (b->db != NULL && !b->memory && !b->shared)
        (void)sqlite3_wal_checkpoint_v2(b->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    keep_copy_end(b);
    for (size_t i = 0; i < ST_COUNT; i++)
        (void)sqlite3_finalize(b->stmt[i]);
    int rc = sqlite3_close(b->db);
    assert(rc == SQLITE_OK); /* a statement outside the table is still alive */
    (void)rc;
    for (size_t i = 0; i < b->words; i++)
        mem_free(b->word[i]);
    records_close(b);
    mem_free(b);
}

static enum err sqlite_open(const struct backend_options *o, struct backend **out, char *why,
                            size_t why_size)
{
    struct backend *b = NEW(struct backend);
    enum err e;
    int rc;
    assert(why_size > 0 && o->busy_ms >= 0);
    *out = NULL;
    why[0] = '\0';
    b->memory = o->path == NULL;
    b->objects_max = o->objects_max;
    b->shared = o->shared && o->path != NULL;
    rc = sqlite3_open_v2(b->memory ? ":memory:" : o->path, &b->db,
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    e = rc == SQLITE_OK ? OK : sq_fail(b, rc);
    if (e == OK && sqlite3_db_readonly(b->db, "main") == 1) /* SQLite opens what it may */
        e = sq_fail(b, SQLITE_READONLY);
    if (e == OK)
        e = sqlite_setup(b, o->busy_ms);
    if (e == OK)
        e = schema_migrate(b, why, why_size);
    if (e == OK)
        e = records_open(b);
    if (e == OK) /* from here on it is told, and the rows are loaded after that */
        e = meta_get(b, META_CHANGES, 0, &b->changes);
    if (e != OK) {
        if (why[0] == '\0')
            open_why(b, o->path, e, why, why_size);
        sqlite_close(b);
        return e;
    }
    *out = b;
    return OK;
}

static void sqlite_patience(struct backend *b, int busy_ms)
{
    (void)sqlite3_busy_timeout(b->db, busy_ms);
}

static void sqlite_share(struct backend *b)
{
    b->shared = !b->memory;
}

static const char *sqlite_why(const struct backend *b)
{
    return b->why;
}

static int64_t sqlite_bytes(struct backend *b)
{
    enum err e;
    int64_t pages = 0;
    sqlite3_stmt *st = stmt_use(b, ST_PAGE_COUNT, &e);
    if (st == NULL || stmt_int(b, st, 0, &pages) != OK)
        return 0;
    return pages * b->page_size;
}

const struct backend_ops backend_sqlite = {
    .name = "sqlite",
    .open = sqlite_open,
    .close = sqlite_close,
    .patience = sqlite_patience,
    .share = sqlite_share,
    .why = sqlite_why,
    .bytes = sqlite_bytes,
    .moved = sqlite_moved,
    .account_id = rows_account_id,
    .accounts_load = rows_accounts_load,
    .account_add = rows_account_add,
    .account_update = rows_account_update,
    .account_remove = rows_account_remove,
    .keys_load = rows_keys_load,
    .key_add = rows_key_add,
    .key_update = rows_key_update,
    .key_revoke = rows_key_revoke,
    .groups_load = rows_groups_load,
    .group_put = rows_group_put,
    .group_remove = rows_group_remove,
    .apply = records_apply,
    .records_scan = records_scan,
    .prune = records_prune,
    .object_get = rows_object_get,
    .tokens_load = rows_tokens_load,
    .token_swap = rows_token_swap,
    .token_note = rows_token_note,
    .lease_take = rows_lease_take,
    .lease_drop = rows_lease_drop,
    .windows_load = rows_windows_load,
    .vault_load = keep_vault_load,
    .vault_put = keep_vault_put,
    .vault_take = keep_vault_take,
    .reseal = keep_reseal,
    .copy = keep_copy,
    .look = keep_look,
};
