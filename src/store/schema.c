#include "store/sqlite.h"

/* One string per version, each run in one transaction that also writes the new version: a step is
 * done or not begun. A released step is never edited; a change is a new step. */
static const char *const step_sql[SCHEMA_VERSION] = {
    /* 1: accounts, client keys, and a few numbers of the store's own */
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE accounts("
    " id INTEGER PRIMARY KEY, version INTEGER NOT NULL, name TEXT NOT NULL UNIQUE,"
    " provider TEXT NOT NULL, base_url TEXT NOT NULL, priority INTEGER NOT NULL,"
    " weight INTEGER NOT NULL, paused INTEGER NOT NULL, allow_private INTEGER NOT NULL,"
    " created_at INTEGER NOT NULL, cool_until INTEGER NOT NULL, cool_reason TEXT NOT NULL,"
    " facts_seen_at INTEGER NOT NULL, secret TEXT) STRICT;"
    "CREATE TABLE client_keys("
    " id TEXT PRIMARY KEY, name TEXT NOT NULL, digest BLOB NOT NULL,"
    " created_at INTEGER NOT NULL, last_used_at INTEGER NOT NULL,"
    " revoked_at INTEGER NOT NULL) STRICT;"
    "CREATE UNIQUE INDEX client_keys_name ON client_keys(name) WHERE revoked_at = 0;",

    /* 2: one row per request. No index but the row's number: each would cost more than the row. */
    "CREATE TABLE records("
    " num INTEGER PRIMARY KEY, id TEXT, at INTEGER, key_id TEXT, key_name TEXT, client TEXT,"
    " route TEXT, model_asked TEXT, model_answered TEXT, session TEXT, upstream_id TEXT,"
    " stream INTEGER, status INTEGER, ended TEXT, account TEXT, attempts INTEGER, tries TEXT,"
    " ttfb_ms INTEGER, duration_ms INTEGER, bytes_in INTEGER, bytes_out INTEGER,"
    " usage_known INTEGER, input INTEGER, output INTEGER, cache_read INTEGER,"
    " cache_write_5m INTEGER, cache_write_1h INTEGER, thinking INTEGER, web_searches INTEGER,"
    " web_fetches INTEGER, service_tier TEXT, stop_reason TEXT, cost_nano_usd INTEGER,"
    " price_date TEXT) STRICT;",

    /* 3: which account made a batch or a file */
    "CREATE TABLE objects("
    " seq INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, account_id INTEGER NOT NULL,"
    " at INTEGER NOT NULL) STRICT;",

    /* 4: accounts that live: settings, rotating tokens with the note of a refresh under way, leases
     * among processes, windows. No foreign keys: what goes with an account is said in one place,
     * and a token goes in no other way. */
    "ALTER TABLE accounts ADD COLUMN settings TEXT NOT NULL DEFAULT '';"
    "CREATE TABLE tokens("
    " account_id INTEGER PRIMARY KEY, generation INTEGER NOT NULL, expires_at INTEGER NOT NULL,"
    " lifetime INTEGER NOT NULL, refreshed_at INTEGER NOT NULL, noted_at INTEGER NOT NULL,"
    " access TEXT NOT NULL, refresh TEXT) STRICT;"
    "CREATE TABLE leases("
    " name TEXT PRIMARY KEY, holder TEXT NOT NULL, taken_at INTEGER NOT NULL,"
    " until INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE windows("
    " account_id INTEGER NOT NULL, name TEXT NOT NULL, used REAL NOT NULL,"
    " closed INTEGER NOT NULL, started_at INTEGER NOT NULL, resets_at INTEGER NOT NULL,"
    " seen_at INTEGER NOT NULL, PRIMARY KEY(account_id, name)) STRICT, WITHOUT ROWID;",

    /* 5: groups of accounts, what keys are bound to, and why a request went where it went */
    "CREATE TABLE groups("
    " name TEXT PRIMARY KEY, version INTEGER NOT NULL, strategy TEXT NOT NULL,"
    " settings TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "ALTER TABLE client_keys ADD COLUMN grp TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE client_keys ADD COLUMN settings TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE records ADD COLUMN grp TEXT;"
    "ALTER TABLE records ADD COLUMN why TEXT;",

    /* 6: the pepper of the client keys' digests, sealed: it names the master key that is in force
     */
    "CREATE TABLE vault(id INTEGER PRIMARY KEY, pepper TEXT NOT NULL) STRICT;",
};

static enum err pragma_int(struct backend *b, const char *sql, int64_t *out)
{
    sqlite3_stmt *st = NULL;
    enum err e = OK;
    int rc = sqlite3_prepare_v2(b->db, sql, -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(st, 0);
    else
        e = sq_fail(b, rc);
    (void)sqlite3_finalize(st);
    return e;
}

static enum err schema_step(struct backend *b, int64_t version)
{
    char sql[96];
    int64_t stored = 0;
    enum err e = tx_begin(b, true);
    assert(version > 0 && version <= SCHEMA_VERSION);
    if (e != OK)
        return e;
    e = pragma_int(b, "PRAGMA user_version", &stored);
    if (e != OK || stored >= version) /* another process has been quicker */
        return tx_end(b, true, e);
    e = sq_exec(b, step_sql[version - 1]);
    (void)text_format(sql, sizeof sql, "PRAGMA user_version=%d;PRAGMA application_id=%d",
                      (int)version, SCHEMA_APPLICATION);
    if (e == OK)
        e = sq_exec(b, sql);
    return tx_end(b, true, e);
}

enum err schema_check(struct backend *b, int64_t *out, char *why, size_t why_size)
{
    int64_t application = 0, tables = 0, version = 0;
    enum err e = pragma_int(b, "PRAGMA user_version", &version);
    if (e == OK)
        e = pragma_int(b, "PRAGMA application_id", &application);
    if (e == OK)
        e = pragma_int(b, "SELECT count(*) FROM sqlite_schema", &tables);
    if (e != OK)
        return e;
    *out = version;
    if (application != SCHEMA_APPLICATION && (tables != 0 || application != 0 || version != 0)) {
        (void)text_format(why, why_size,
                          "sluice.db is not a sluice database: move it away, or choose another "
                          "--state-dir");
        return ERR_UNSUPPORTED;
    }
    if (version > SCHEMA_VERSION) {
        (void)text_format(why, why_size,
                          "sluice.db was written by a newer sluice (schema %d, this one knows %d): "
                          "install that version again, or restore a backup made before it",
                          (int)version, SCHEMA_VERSION);
        return ERR_UNSUPPORTED;
    }
    return OK;
}

enum err schema_migrate(struct backend *b, char *why, size_t why_size)
{
    int64_t version = 0;
    enum err e = schema_check(b, &version, why, why_size);
    while (e == OK && version < SCHEMA_VERSION)
        e = schema_step(b, ++version);
    return e;
}
