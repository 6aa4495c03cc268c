/* links: base store */
#include "store_bench.h"

#include <sqlite3.h>

#include "store/sqlite.h"

struct groups {
    int calls;
    enum err e;
    size_t n;
    struct group_row row[GOT_ROWS];
};

static void got_groups(void *arg, enum err e, const struct group_row *rows, size_t n)
{
    struct groups *g = arg;
    g->calls++;
    g->e = e;
    g->n = n;
    for (size_t i = 0; i < n && i < GOT_ROWS; i++)
        g->row[i] = rows[i];
}

static struct groups groups_load(struct bench *b)
{
    struct groups g = {0};
    store_groups_load(b->s, got_groups, &g);
    ANSWERED(b, &g);
    return g;
}

static struct groups group_put(struct bench *b, const char *name, int64_t version,
                               const char *strategy, const char *settings)
{
    struct groups g = {0};
    struct group_row row = {.version = version};
    text_copy(row.name, sizeof row.name, slice_of(name));
    text_copy(row.strategy, sizeof row.strategy, slice_of(strategy));
    text_copy(row.settings, sizeof row.settings, slice_of(settings));
    store_group_put(b->s, &row, got_groups, &g);
    ANSWERED(b, &g);
    return g;
}

static enum err group_remove(struct bench *b, const char *name)
{
    struct got g = {0};
    store_group_remove(b->s, name, got_word, &g);
    ANSWERED(b, &g);
    return g.e;
}

static void test_groups(void **state)
{
    struct bench *b = *state;
    assert_int_equal(groups_load(b).n, 0);
    struct groups g = group_put(b, "night", 0, "failover", "{\"max\":3}");
    assert_int_equal(g.e, OK);
    assert_int_equal(g.n, 1);
    assert_int_equal(g.row[0].version, 1);
    assert_string_equal(g.row[0].strategy, "failover");
    assert_int_equal(group_put(b, "night", 0, "session", "").e, ERR_EXISTS);
    assert_int_equal(group_put(b, "default", 0, "session", "").e, OK);
    g = group_put(b, "night", 1, "least-used", "{}");
    assert_int_equal(g.e, OK);
    assert_int_equal(g.row[0].version, 2);
    g = group_put(b, "night", 1, "shuffle", ""); /* somebody was quicker */
    assert_int_equal(g.e, ERR_CONFLICT);
    assert_int_equal(g.n, 0);
    assert_int_equal(group_put(b, "nobody", 1, "shuffle", "").e, ERR_NOTFOUND);
    bench_reopen(b);
    g = groups_load(b);
    assert_int_equal(g.e, OK);
    assert_int_equal(g.n, 2);
    assert_string_equal(g.row[0].name, "default"); /* by name */
    assert_string_equal(g.row[0].settings, "");
    assert_string_equal(g.row[1].name, "night");
    assert_string_equal(g.row[1].strategy, "least-used");
    assert_string_equal(g.row[1].settings, "{}");
    assert_int_equal(g.row[1].version, 2);
    assert_int_equal(group_remove(b, "night"), OK);
    assert_int_equal(group_remove(b, "night"), ERR_NOTFOUND);
    assert_int_equal(groups_load(b).n, 1);
    assert_int_equal(group_put(b, "night", 0, "weighted", "").row[0].version, 1);
    assert_int_equal(stats_of(b).failures, 0);
}

static void test_group_arguments(void **state)
{
    struct bench *b = *state;
    static const struct {
        const char *name, *settings;
        enum err want;
    } rows[] = {
        {"", "", ERR_RANGE},           {"a", "[]", ERR_SYNTAX},    {"a", "{", ERR_SYNTAX},
        {"a", "\"text\"", ERR_SYNTAX}, {"a", "{} {}", ERR_SYNTAX}, {"a", "{\"x\":[1]}", OK},
    };
    char longer[2 * STORE_GROUP_MAX];
    struct groups g = {0};
    struct group_row row = {.name = "unterminated"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(group_put(b, rows[i].name, 0, "session", rows[i].settings).e,
                         rows[i].want);
    memset(row.settings, ' ', sizeof row.settings);
    store_group_put(b->s, &row, got_groups, &g);
    ANSWERED(b, &g);
    assert_int_equal(g.e, ERR_SYNTAX);
    /* A name that is cut to fit must not hit another. */
    memset(longer, 'n', sizeof longer);
    longer[STORE_GROUP_MAX - 1] = '\0';
    assert_int_equal(group_put(b, longer, 0, "session", "").e, OK);
    longer[STORE_GROUP_MAX - 1] = 'n';
    longer[STORE_GROUP_MAX] = '\0';
    assert_int_equal(group_remove(b, longer), ERR_NOTFOUND);
    assert_int_equal(groups_load(b).n, 2);
}

/* ---- what a key is bound to ----------------------------------------------------------------- */

static enum err key_update(struct bench *b, const char *id, const char *name, const char *group,
                           const char *settings)
{
    struct got g = {0};
    struct key_row row = {.created_at = 5, .revoked_at = 6, .last_used_at = 7}; /* not looked at */
    text_copy(row.id, sizeof row.id, slice_of(id));
    text_copy(row.name, sizeof row.name, slice_of(name));
    text_copy(row.group, sizeof row.group, slice_of(group));
    text_copy(row.settings, sizeof row.settings, slice_of(settings));
    store_key_update(b->s, &row, got_word, &g);
    ANSWERED(b, &g);
    return g.e;
}

static void test_key_update(void **state)
{
    struct bench *b = *state;
    struct got g = {0};
    struct key_row row = {.id = "cccccccc",
                          .name = "bound",
                          .created_at = BENCH_WALL + 1,
                          .group = "night",
                          .settings = "{\"model\":\"m\"}"};
    assert_int_equal(key_add(b, "aaaaaaaa", "ci"), OK);
    assert_int_equal(key_add(b, "bbbbbbbb", "ide"), OK);
    store_key_add(b->s, &row, got_word, &g);
    ANSWERED(b, &g);
    assert_int_equal(g.e, OK);
    assert_int_equal(key_update(b, "aaaaaaaa", "ci-2", "day", "{\"a\":1}"), OK);
    assert_int_equal(key_update(b, "aaaaaaaa", "ide", "day", ""), ERR_EXISTS);
    assert_int_equal(key_update(b, "zzzzzzzz", "z", "", ""), ERR_NOTFOUND);
    assert_int_equal(key_update(b, "", "z", "", ""), ERR_RANGE);
    assert_int_equal(key_update(b, "aaaaaaaa", "ci-2", "", "[1]"), ERR_SYNTAX);
    bench_reopen(b);
    g = keys_load(b);
    assert_int_equal(g.n, 3);
    assert_string_equal(g.key[0].name, "ci-2");
    assert_string_equal(g.key[0].group, "day");
    assert_string_equal(g.key[0].settings, "{\"a\":1}");
    assert_int_equal(g.key[0].created_at, BENCH_WALL); /* only what is said to change */
    assert_int_equal(g.key[0].revoked_at, 0);
    assert_int_equal(g.key[0].last_used_at, 0);
    uint8_t digest[CRYPTO_SHA256];
    crypto_sha256(digest, S("aaaaaaaa"));
    assert_memory_equal(g.key[0].digest, digest, sizeof digest);
    assert_string_equal(g.key[1].group, "");
    assert_string_equal(g.key[2].group, "night");
    assert_string_equal(g.key[2].settings, "{\"model\":\"m\"}");
    assert_int_equal(key_update(b, "aaaaaaaa", "ci", "", ""), OK); /* back to the default */
    assert_string_equal(keys_load(b).key[0].group, "");
}

/* ---- from the schema before ----------------------------------------------------------------- */

/* Schema 4, as its sluice wrote it, with something in every table that changes. */
static const char schema_4[] =
    "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL;"
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE accounts("
    " id INTEGER PRIMARY KEY, version INTEGER NOT NULL, name TEXT NOT NULL UNIQUE,"
    " provider TEXT NOT NULL, base_url TEXT NOT NULL, priority INTEGER NOT NULL,"
    " weight INTEGER NOT NULL, paused INTEGER NOT NULL, allow_private INTEGER NOT NULL,"
    " created_at INTEGER NOT NULL, cool_until INTEGER NOT NULL, cool_reason TEXT NOT NULL,"
    " facts_seen_at INTEGER NOT NULL, secret TEXT, settings TEXT NOT NULL DEFAULT '') STRICT;"
    "CREATE TABLE client_keys("
    " id TEXT PRIMARY KEY, name TEXT NOT NULL, digest BLOB NOT NULL,"
    " created_at INTEGER NOT NULL, last_used_at INTEGER NOT NULL,"
    " revoked_at INTEGER NOT NULL) STRICT;"
    "CREATE UNIQUE INDEX client_keys_name ON client_keys(name) WHERE revoked_at = 0;"
    "CREATE TABLE records("
    " num INTEGER PRIMARY KEY, id TEXT, at INTEGER, key_id TEXT, key_name TEXT, client TEXT,"
    " route TEXT, model_asked TEXT, model_answered TEXT, session TEXT, upstream_id TEXT,"
    " stream INTEGER, status INTEGER, ended TEXT, account TEXT, attempts INTEGER, tries TEXT,"
    " ttfb_ms INTEGER, duration_ms INTEGER, bytes_in INTEGER, bytes_out INTEGER,"
    " usage_known INTEGER, input INTEGER, output INTEGER, cache_read INTEGER,"
    " cache_write_5m INTEGER, cache_write_1h INTEGER, thinking INTEGER, web_searches INTEGER,"
    " web_fetches INTEGER, service_tier TEXT, stop_reason TEXT, cost_nano_usd INTEGER,"
    " price_date TEXT) STRICT;"
    "CREATE TABLE objects("
    " seq INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, account_id INTEGER NOT NULL,"
    " at INTEGER NOT NULL) STRICT;"
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
    " seen_at INTEGER NOT NULL, PRIMARY KEY(account_id, name)) STRICT, WITHOUT ROWID;"
    "INSERT INTO meta VALUES('last_account', 7);"
    "INSERT INTO accounts VALUES(7,3,'old','anthropic','',1,2,0,0,99,0,'',0,NULL,'{\"a\":1}');"
    "INSERT INTO client_keys VALUES('aaaaaaaa','ide',zeroblob(32),5,6,0);"
    "INSERT INTO client_keys VALUES('bbbbbbbb','ide',zeroblob(32),6,0,7);"
    "INSERT INTO records(num,id,at,ended,route,status) VALUES(41,'r',9,'complete','messages',200);"
    "INSERT INTO windows VALUES(7,'5h',0.5,0,1,2,3);"
    "PRAGMA user_version=4; PRAGMA application_id=1936487779;";

static int64_t sql(const struct bench *b, const char *text, const char *number)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    int64_t v;
    assert_int_equal(sqlite3_open(bench_path(b, "sluice.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, number, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    v = sqlite3_column_int64(st, 0);
    assert_int_equal(sqlite3_finalize(st), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return v;
}

static void schema_4_make(struct bench *b)
{
    bench_close(b); /* it made the key */
    assert_int_equal(unlink(bench_path(b, "sluice.db")), 0);
    assert_int_equal(sql(b, schema_4, "PRAGMA user_version"), 4);
}

static void schema_4_check(struct bench *b)
{
    struct got g = keys_load(b);
    assert_int_equal(g.n, 2);
    assert_string_equal(g.key[0].name, "ide");
    assert_string_equal(g.key[0].group, "");
    assert_string_equal(g.key[0].settings, "");
    assert_int_equal(g.key[0].last_used_at, 6);
    assert_int_equal(g.key[1].revoked_at, 7);
    g = accounts_load(b);
    assert_int_equal(g.n, 1);
    assert_string_equal(g.account[0].settings, "{\"a\":1}");
    assert_int_equal(windows_load(b).n, 1);
    g = records_query(b, &(struct record_query){.limit = 1});
    assert_int_equal(g.n, 1);
    assert_int_equal(g.record[0].row, 41);
    assert_string_equal(g.record[0].group, "");
    assert_string_equal(g.record[0].why, "");
    mem_free(g.record);
    assert_int_equal(groups_load(b).n, 0);
}

static void test_migration(void **state)
{
    struct bench *b = *state;
    schema_4_make(b);
    for (int round = 0; round < 2; round++) {
        bench_open(b);
        schema_4_check(b);
        bench_close(b);
        assert_int_equal(sql(b, "", "PRAGMA user_version"), SCHEMA_VERSION);
    }
    bench_open(b);
    assert_int_equal(group_put(b, "night", 0, "session", "").e, OK);
    assert_int_equal(key_update(b, "aaaaaaaa", "ide", "night", "{}"), OK);
    assert_string_equal(keys_load(b).key[0].group, "night");
    struct record r = record_make(3);
    text_copy(r.why, sizeof r.why, S("warm spare:behind"));
    store_record(b->s, &r);
    struct got g = records_query(b, &(struct record_query){.limit = 1});
    assert_int_equal(g.record[0].row, 42);
    assert_string_equal(g.record[0].why, "warm spare:behind");
    mem_free(g.record);
}

static void test_migration_is_one_step(void **state)
{
    struct bench *b = *state;
    static const struct {
        const char *make, *drop;
    } rows[] = {
        {"CREATE TABLE groups(in_the_way)", "DROP TABLE groups"},
        {"ALTER TABLE client_keys ADD COLUMN settings TEXT",
         "ALTER TABLE client_keys DROP settings"},
        {"ALTER TABLE records ADD COLUMN why TEXT", "ALTER TABLE records DROP why"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        schema_4_make(b);
        (void)sql(b, rows[i].make, "PRAGMA user_version");
        assert_int_not_equal(bench_try_open(b), OK);
        assert_int_equal(sql(b, "", "PRAGMA user_version"), 4);
        assert_int_equal(
            sql(b, rows[i].drop,
                "SELECT count(*) FROM pragma_table_info('client_keys') WHERE name='grp'"),
            0);
        bench_open(b);
        schema_4_check(b);
    }
}

/* ---- trouble -------------------------------------------------------------------------------- */

/* Whatever fails, at whatever place: one answer each, and what was answered OK is there. */
static void test_every_fault(void **state)
{
    struct bench *b = *state;
    int64_t version = 0;
    assert_int_equal(key_add(b, "aaaaaaaa", "ci"), OK);
    for (uint64_t nth = 1; nth < 30; nth++) {
        struct groups g[2] = {{0}};
        struct got k = {0}, gone = {0};
        struct group_row row = {.name = "g", .version = version};
        struct key_row key = {.id = "aaaaaaaa", .name = "ci"};
        (void)text_format(row.settings, sizeof row.settings, "{\"nth\":%d}", (int)nth);
        (void)text_format(key.group, sizeof key.group, "g%d", (int)nth);
        fault_counter = 0;
        fault_target = nth;
        store_group_put(b->s, &row, got_groups, &g[0]);
        store_groups_load(b->s, got_groups, &g[1]);
        store_key_update(b->s, &key, got_word, &k);
        store_group_remove(b->s, "nobody", got_word, &gone);
        bench_pass(&b->loop, 5000);
        fault_target = 0;
        assert_int_equal(g[0].calls + g[1].calls, 2);
        assert_int_equal(k.calls + gone.calls, 2);
        assert_int_not_equal(gone.e, OK);
        struct groups now = groups_load(b);
        if (g[0].e == OK) {
            assert_int_equal(now.n, 1);
            assert_string_equal(now.row[0].settings, row.settings);
        }
        if (k.e == OK)
            assert_string_equal(keys_load(b).key[0].group, key.group);
        version = now.n == 0 ? 0 : now.row[0].version;
    }
    assert_true(version > 20);
    assert_true(stats_of(b).failures > 0);
}

/* Closed with verbs under way: what was asked for is done, nobody is called. */
static void test_close_with_verbs_under_way(void **state)
{
    struct bench *b = *state;
    struct groups g = {0};
    struct group_row row = {.name = "g", .strategy = "session"};
    store_groups_load(b->s, got_groups, &g);
    store_group_put(b->s, &row, got_groups, &g);
    records_put(b, 0, 5);
    row.version = 1;
    text_copy(row.strategy, sizeof row.strategy, S("weighted"));
    store_group_put(b->s, &row, got_groups, &g); /* waits for the records */
    bench_close(b);
    assert_int_equal(g.calls, 0);
    bench_open(b);
    g = groups_load(b);
    assert_int_equal(g.n, 1);
    assert_int_equal(g.row[0].version, 2);
    assert_string_equal(g.row[0].strategy, "weighted");
}

#define WITH(test)      cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)
#define IN_MEMORY(test) cmocka_unit_test_setup_teardown(test, bench_setup_memory, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_groups),
        IN_MEMORY(test_group_arguments),
        WITH(test_key_update),
        WITH(test_migration),
        WITH(test_migration_is_one_step),
        IN_MEMORY(test_every_fault),
        WITH(test_close_with_verbs_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
