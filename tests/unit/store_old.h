/* store_old: databases as earlier versions of the schema had them. */
#ifndef STORE_OLD_H
#define STORE_OLD_H

/* Schema 1, as its sluice wrote it, with a row in it. */
static const char schema_1[] =
    "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL;"
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
    "CREATE UNIQUE INDEX client_keys_name ON client_keys(name) WHERE revoked_at = 0;"
    "INSERT INTO meta VALUES('last_account', 7);"
    "INSERT INTO accounts VALUES(7,3,'old','anthropic','',1,2,0,0,99,0,'',0,NULL);"
    "PRAGMA user_version=1; PRAGMA application_id=1936487779;";

#endif
