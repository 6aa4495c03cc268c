/* links: base store */
#include "store_bench.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include "store/inside.h"
#include "store/sqlite.h"

/* A second program's connection to the folder's database. */
static void sql(const struct bench *b, const char *text)
{
    sqlite3 *db = NULL;
    char *message = NULL;
    assert_int_equal(sqlite3_open(bench_path(b, "sluice.db"), &db), SQLITE_OK);
    int rc = sqlite3_exec(db, text, NULL, NULL, &message);
    if (rc != SQLITE_OK)
        print_error("%s: %s\n", text, message);
    assert_int_equal(rc, SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int64_t sql_int(const struct bench *b, const char *text)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_open(bench_path(b, "sluice.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, text, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int64_t v = sqlite3_column_int64(st, 0);
    assert_int_equal(sqlite3_finalize(st), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return v;
}

/* ---- tokens --------------------------------------------------------------------------------- */

static void test_token_round_trip(void **state)
{
    struct bench *b = *state;
    int64_t id = account_new(b, "work"), other = account_new(b, "other");
    struct got g = tokens_load(b);
    assert_int_equal(g.e, OK);
    assert_int_equal(g.n, 0);
    g = token_swap(b, id, 0, "access-1", "refresh-1");
    assert_int_equal(g.e, OK);
    assert_int_equal(g.n, 1);
    assert_int_equal(g.token[0].account_id, id);
    assert_int_equal(g.token[0].generation, 1);
    assert_string_equal(g.access[0], "access-1");
    assert_string_equal(g.refresh[0], "refresh-1");
    g = token_swap(b, id, 1, "access-2", "refresh-2");
    assert_int_equal(g.e, OK);
    assert_int_equal(g.token[0].generation, 2);
    assert_int_equal(token_swap(b, other, 0, "long-lived", "").e, OK);
    for (int round = 0; round < 2; round++) {
        g = tokens_load(b);
        assert_int_equal(g.e, OK);
        assert_int_equal(g.n, 2);
        assert_int_equal(g.token[0].account_id, id);
        assert_int_equal(g.token[0].generation, 2);
        assert_int_equal(g.token[0].expires_at, BENCH_WALL + 3600000);
        assert_int_equal(g.token[0].lifetime, 3600000);
        assert_int_equal(g.token[0].refreshed_at, BENCH_WALL);
        assert_int_equal(g.token[0].noted_at, 0);
        assert_string_equal(g.access[0], "access-2");
        assert_string_equal(g.refresh[0], "refresh-2");
        assert_string_equal(g.access[1], "long-lived");
        assert_int_equal(g.token[1].refresh.n, 0);
        assert_false(g.token[0].unreadable || g.token[1].unreadable);
        bench_reopen(b);
    }
    assert_int_equal(stats_of(b).failures, 0);
}

/* Who comes with an old generation changes nothing and is told what is there. */
static void test_swap_conflict(void **state)
{
    struct bench *b = *state;
    int64_t id = account_new(b, "work"), bare = account_new(b, "bare");
    static const int64_t wrong[] = {0, 1, 3, 4, 1000000};
    assert_int_equal(token_swap(b, id, 0, "access-1", "refresh-1").e, OK);
    assert_int_equal(token_swap(b, id, 1, "access-2", "refresh-2").e, OK);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct got g = token_swap(b, id, wrong[i], "access-x", "refresh-x");
        assert_int_equal(g.e, ERR_CONFLICT);
        assert_int_equal(g.n, 1);
        assert_int_equal(g.token[0].generation, 2);
        assert_string_equal(g.access[0], "access-2");
        assert_string_equal(g.refresh[0], "refresh-2");
    }
    struct got g = token_swap(b, bare, 1, "access-x", "refresh-x"); /* none yet */
    assert_int_equal(g.e, ERR_CONFLICT);
    assert_int_equal(g.n, 0);
    assert_int_equal(token_swap(b, 77, 0, "access-x", "").e, ERR_NOTFOUND);
    assert_int_equal(token_swap(b, 77, 5, "access-x", "").e, ERR_NOTFOUND);
    assert_int_equal(token_swap(b, bare, 0, "", "refresh").e, ERR_RANGE);
    g = tokens_load(b);
    assert_int_equal(g.n, 1);
    assert_int_equal(g.token[0].generation, 2);
    assert_int_equal(stats_of(b).failures, 0); /* answers, no trouble */
}

static void test_token_sizes(void **state)
{
    struct bench *b = *state;
    static char big[STORE_SECRET_MAX + 1];
    int64_t id = account_new(b, "work");
    struct token_row row = {.account_id = id};
    memset(big, 'x', sizeof big);
    for (int which = 0; which < 2; which++) {
        struct got g = {0};
        row.access = which == 0 ? (struct slice){big, sizeof big} : S("a");
        row.refresh = which == 1 ? (struct slice){big, sizeof big} : S("r");
        store_token_swap(b->s, 0, &row, got_tokens, &g);
        ANSWERED(b, &g);
        assert_int_equal(g.e, ERR_LIMIT);
        assert_int_equal(g.n, 0);
    }
    struct got g = {0};
    row.access = row.refresh = (struct slice){big, STORE_SECRET_MAX};
    row.generation = 99; /* not the caller's to say */
    row.noted_at = 99;
    store_token_swap(b->s, 0, &row, got_tokens, &g);
    memset(big, 'y', sizeof big); /* the caller's memory is its own again at once */
    ANSWERED(b, &g);
    assert_int_equal(g.e, OK);
    assert_int_equal(g.token[0].generation, 1);
    assert_int_equal(g.token[0].noted_at, 0);
    assert_int_equal(g.token[0].access.n, STORE_SECRET_MAX);
    assert_int_equal(g.token[0].refresh.n, STORE_SECRET_MAX);
    assert_memory_equal(g.access[0], "xxxxxxxx", 8);
    assert_memory_equal(g.refresh[0], "xxxxxxxx", 8);
}

static void test_note(void **state)
{
    struct bench *b = *state;
    int64_t id = account_new(b, "work"), other = account_new(b, "other");
    assert_int_equal(token_note(b, id, 1, 5), ERR_NOTFOUND); /* no token yet */
    assert_int_equal(token_swap(b, id, 0, "access-1", "refresh-1").e, OK);
    assert_int_equal(token_swap(b, other, 0, "other-1", "other-r").e, OK);
    assert_int_equal(token_note(b, id, 2, 5), ERR_CONFLICT);
    assert_int_equal(token_note(b, id, 1, 5), OK);
    bench_reopen(b); /* the process ended while the answer was awaited */
    struct got g = tokens_load(b);
    assert_int_equal(g.token[0].noted_at, 5);
    assert_int_equal(g.token[1].noted_at, 0);
    assert_string_equal(g.access[0], "access-1"); /* untouched by it */
    assert_int_equal(token_swap(b, id, 7, "x", "x").e, ERR_CONFLICT);
    assert_int_equal(tokens_load(b).token[0].noted_at, 5); /* only a swap that happens clears it */
    g = token_swap(b, id, 1, "access-2", "refresh-2");
    assert_int_equal(g.token[0].noted_at, 0);
    assert_int_equal(token_note(b, id, 2, 6), OK);
    assert_int_equal(token_note(b, id, 1, 0), ERR_CONFLICT);
    assert_int_equal(tokens_load(b).token[0].noted_at, 6);
    assert_int_equal(token_note(b, id, 2, 0), OK); /* answered: no new pair */
    assert_int_equal(tokens_load(b).token[0].noted_at, 0);
    assert_int_equal(tokens_load(b).token[0].generation, 2);
}

static void test_remove_takes_all(void **state)
{
    struct bench *b = *state;
    int64_t id = account_new(b, "work"), other = account_new(b, "other");
    struct window_row w = {.name = "5h", .used = 0.5, .seen_at = 10};
    for (int64_t i = id; i <= other; i++) {
        assert_int_equal(token_swap(b, i, 0, "access", "refresh").e, OK);
        assert_int_equal(token_note(b, i, 1, 5), OK);
        w.account_id = i;
        store_window_put(b->s, &w);
    }
    assert_int_equal(account_remove(b, id), OK);
    struct got g = tokens_load(b);
    assert_int_equal(g.n, 1);
    assert_int_equal(g.token[0].account_id, other);
    assert_int_equal(g.token[0].noted_at, 5);
    g = windows_load(b);
    assert_int_equal(g.n, 1);
    assert_int_equal(g.window[0].account_id, other);
    /* What still comes for it is late: nothing of a removed account grows back. */
    w.account_id = id;
    store_window_put(b->s, &w);
    assert_int_equal(token_swap(b, id, 1, "late", "late").e, ERR_NOTFOUND);
    assert_int_equal(token_swap(b, id, 0, "late", "late").e, ERR_NOTFOUND);
    assert_int_equal(token_note(b, id, 1, 5), ERR_NOTFOUND);
    assert_int_equal(windows_load(b).n, 1);
    assert_int_equal(tokens_load(b).n, 1);
    assert_int_equal(account_remove(b, id), ERR_NOTFOUND);
    assert_int_equal(tokens_load(b).n, 1);
}

/* ---- what is on the disk -------------------------------------------------------------------- */

static void test_no_token_byte_on_disk(void **state)
{
    struct bench *b = *state;
    static const char *const files[] = {"sluice.db", "sluice.db-wal", "sluice.db-shm",
                                        "sluice.lock", "master.key"};
    static const char *const canaries[] = {"canary-access", "canary-refresh", "anary-acc"};
    int64_t id = account_new(b, "work-in-clear");
    for (int64_t i = 0; i < 5; i++) {
        struct got g = token_swap(b, id, i, "canary-access-0123", "canary-refresh-0123");
        assert_int_equal(g.e, OK);
        assert_string_equal(g.access[0], "canary-access-0123");
        assert_int_equal(token_note(b, id, i + 1, BENCH_WALL), OK);
    }
    for (int closed = 0; closed < 2; closed++) {
        for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
            for (size_t k = 0; k < sizeof canaries / sizeof canaries[0]; k++)
                assert_false(file_has(bench_path(b, files[i]), canaries[k]));
        bench_close(b);
    }
    assert_true(file_has(bench_path(b, "sluice.db"), "work-in-clear")); /* the search works */
}

/* A sealed token moved to another row, column or generation, or changed, does not open; neither
 * half of its pair is given out, and the row stays as it is until a swap. */
static void test_sealed_tokens_cannot_move(void **state)
{
    struct bench *b = *state;
    static const char *const attacks[] = {
        /* another account's, both or one */
        "UPDATE tokens SET access=(SELECT access FROM tokens WHERE account_id=1),"
        "refresh=(SELECT refresh FROM tokens WHERE account_id=1) WHERE account_id=2",
        "UPDATE tokens SET access=(SELECT access FROM tokens WHERE account_id=1) "
        "WHERE account_id=2",
        "UPDATE tokens SET refresh=(SELECT refresh FROM tokens WHERE account_id=1) "
        "WHERE account_id=2",
        /* an old copy of the pair or of a half of it, under the new generation */
        "UPDATE tokens SET access=(SELECT access FROM old),refresh=(SELECT refresh FROM old) "
        "WHERE account_id=2",
        "UPDATE tokens SET access=(SELECT access FROM old) WHERE account_id=2",
        "UPDATE tokens SET refresh=(SELECT refresh FROM old) WHERE account_id=2",
        /* the generation turned back or on */
        "UPDATE tokens SET generation=generation-1 WHERE account_id=2",
        "UPDATE tokens SET generation=generation+1 WHERE account_id=2",
        "UPDATE tokens SET generation=0 WHERE account_id=2",
        "UPDATE tokens SET generation=-1 WHERE account_id=2",
        /* columns exchanged, the refresh token taken away, bytes changed */
        "UPDATE tokens SET access=refresh,refresh=access WHERE account_id=2",
        "UPDATE tokens SET refresh=NULL WHERE account_id=2",
        "UPDATE tokens SET refresh='' WHERE account_id=2",
        "UPDATE tokens SET access='' WHERE account_id=2",
        "UPDATE tokens SET access=substr(access,1,20)||iif(substr(access,21,1)='A','B','A')||"
        "substr(access,22) WHERE account_id=2",
        "UPDATE tokens SET refresh=substr(refresh,1,30) WHERE account_id=2",
        "UPDATE tokens SET access='v1.00000000.AAAA' WHERE account_id=2",
    };
    assert_int_equal(account_new(b, "a"), 1);
    assert_int_equal(account_new(b, "b"), 2);
    assert_int_equal(token_swap(b, 1, 0, "access-a", "refresh-a").e, OK);
    assert_int_equal(token_swap(b, 2, 0, "access-b", "refresh-b").e, OK);
    for (size_t i = 0; i < sizeof attacks / sizeof attacks[0]; i++) {
        sql(b, "DELETE FROM tokens WHERE account_id=2");
        assert_int_equal(token_swap(b, 2, 0, "access-b", "refresh-b").e, OK);
        sql(b, "CREATE TABLE old AS SELECT * FROM tokens WHERE account_id=2");
        struct got g = token_swap(b, 2, 1, "access-b", "refresh-b");
        assert_string_equal(g.access[0], "access-b");
        assert_false(g.token[0].unreadable);
        sql(b, attacks[i]);
        sql(b, "DROP TABLE old");
        g = tokens_load(b);
        assert_int_equal(g.e, OK);
        assert_int_equal(g.n, 2); /* it is kept */
        assert_string_equal(g.access[0], "access-a");
        assert_false(g.token[0].unreadable);
        assert_true(g.token[1].unreadable);
        assert_int_equal(g.token[1].access.n, 0);
        assert_int_equal(g.token[1].refresh.n, 0);
    }
}

static void key_replace(const struct bench *b, const char *text, char *was, size_t was_size)
{
    int fd = open(bench_path(b, "master.key"), O_RDWR);
    assert_true(fd >= 0);
    if (was != NULL) {
        ssize_t n = read(fd, was, was_size - 1);
        assert_true(n > 0);
        was[n] = '\0';
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    }
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
}

/* Under another master key a pair is kept, byte for byte, whatever is done around it. */
static void test_unreadable_is_kept(void **state)
{
    struct bench *b = *state;
    char right[128];
    char other[66];
    memset(other, 'a', 64);
    other[64] = '\n';
    other[65] = '\0';
    int64_t id = account_new(b, "work");
    assert_int_equal(token_swap(b, id, 0, "access-1", "refresh-1").e, OK);
    bench_close(b);
    key_replace(b, other, right, sizeof right);
    bench_open(b);
    struct got g = tokens_load(b);
    assert_int_equal(g.e, OK);
    assert_true(g.token[0].unreadable);
    assert_int_equal(g.token[0].generation, 1);
    assert_int_equal(token_note(b, id, 1, 9), OK);
    g = token_swap(b, id, 0, "access-x", "refresh-x");
    assert_int_equal(g.e, ERR_CONFLICT);
    assert_true(g.token[0].unreadable);
    struct account_row row = accounts_load(b).account[0];
    row.paused = true;
    assert_int_equal(account_update(b, &row).e, OK);
    bench_close(b);
    key_replace(b, right, NULL, 0);
    bench_open(b);
    g = tokens_load(b);
    assert_false(g.token[0].unreadable);
    assert_string_equal(g.access[0], "access-1");
    assert_string_equal(g.refresh[0], "refresh-1");
    assert_int_equal(g.token[0].noted_at, 9);
}

/* ---- from the schema before ----------------------------------------------------------------- */

/* Schema 3, as its sluice wrote it, with something in every table. */
static const char schema_3[] =
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
    "INSERT INTO meta VALUES('last_account', 7);"
    "INSERT INTO accounts VALUES(7,3,'old','anthropic','https://x.example',1,2,1,1,99,"
    "1790000000500,'rate_limited',98,NULL);"
    "INSERT INTO client_keys VALUES('aaaaaaaa','ide',zeroblob(32),5,6,0);"
    "INSERT INTO records(num,id,at,ended,route,status) VALUES(41,'r',9,'complete','messages',200);"
    "INSERT INTO objects VALUES(1,'batch_1',7,8);"
    "PRAGMA user_version=3; PRAGMA application_id=1936487779;";

static void schema_3_make(struct bench *b, const char *and)
{
    bench_close(b); /* it made the key */
    assert_int_equal(unlink(bench_path(b, "sluice.db")), 0);
    sql(b, schema_3);
    if (and != NULL)
        sql(b, and);
}

static void schema_3_check(struct bench *b)
{
    struct got g = accounts_load(b);
    assert_int_equal(g.n, 1);
    assert_int_equal(g.account[0].id, 7);
    assert_int_equal(g.account[0].version, 3);
    assert_string_equal(g.account[0].name, "old");
    assert_string_equal(g.account[0].base_url, "https://x.example");
    assert_string_equal(g.account[0].settings, "");
    assert_true(g.account[0].paused && g.account[0].allow_private);
    assert_int_equal(g.account[0].cool_until, INT64_C(1790000000500));
    assert_string_equal(g.account[0].cool_reason, "rate_limited");
    assert_int_equal(g.account[0].facts_seen_at, 98);
    g = keys_load(b);
    assert_int_equal(g.n, 1);
    assert_string_equal(g.key[0].name, "ide");
    assert_int_equal(records_count(b), 1);
    struct got o = {0};
    store_object_get(b->s, S("batch_1"), got_object, &o);
    ANSWERED(b, &o);
    assert_int_equal(o.object, 7);
    assert_int_equal(tokens_load(b).n, 0);
    assert_int_equal(windows_load(b).n, 0);
}

static void test_migration_keeps_everything(void **state)
{
    struct bench *b = *state;
    schema_3_make(b, NULL);
    for (int round = 0; round < 2; round++) {
        bench_open(b);
        schema_3_check(b);
        bench_close(b);
        assert_int_equal(sql_int(b, "PRAGMA user_version"), SCHEMA_VERSION);
    }
    bench_open(b);
    assert_int_equal(token_swap(b, 7, 0, "access", "refresh").e, OK);
    struct window_row w = {.account_id = 7, .name = "5h", .used = 0.5, .seen_at = 10};
    store_window_put(b->s, &w);
    assert_int_equal(windows_load(b).n, 1);
    struct account_row row = accounts_load(b).account[0];
    text_copy(row.settings, sizeof row.settings, S("{\"a\":1}"));
    assert_string_equal(account_update(b, &row).account[0].settings, "{\"a\":1}");
}

/* Whatever stands in the way of the step, it leaves nothing of itself. */
static void test_migration_is_one_step(void **state)
{
    struct bench *b = *state;
    static const struct {
        const char *make, *drop;
    } rows[] = {
        {"CREATE TABLE tokens(in_the_way)", "DROP TABLE tokens"},
        {"CREATE TABLE leases(in_the_way)", "DROP TABLE leases"},
        {"CREATE TABLE windows(in_the_way)", "DROP TABLE windows"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        schema_3_make(b, rows[i].make);
        assert_int_not_equal(bench_try_open(b), OK);
        assert_int_equal(sql_int(b, "PRAGMA user_version"), 3);
        assert_int_equal(
            sql_int(b, "SELECT count(*) FROM pragma_table_info('accounts') WHERE name='settings'"),
            0);
        sql(b, rows[i].drop);
        assert_int_equal(sql_int(b, "SELECT count(*) FROM sqlite_schema WHERE type='table' AND "
                                    "name IN ('tokens','leases','windows')"),
                         0);
        bench_open(b);
        schema_3_check(b);
    }
}

/* ---- settings ------------------------------------------------------------------------------- */

static void test_settings(void **state)
{
    struct bench *b = *state;
    static const struct {
        const char *text;
        enum err want;
    } rows[] = {
        {"{\"client_id\":\"x\",\"groups\":[\"a\",{\"b\":null}],\"t\":1e3}", OK},
        {" {\"spaces\" : \"stay\"} ", OK},
        {"{}", OK},
        {"{\"u\":\"\xc3\xa9\xe2\x82\xac\"}", OK},
        {"", OK},
        {"[]", ERR_SYNTAX},
        {"1", ERR_SYNTAX},
        {"\"x\"", ERR_SYNTAX},
        {"null", ERR_SYNTAX},
        {"{", ERR_SYNTAX},
        {"{\"a\":1", ERR_SYNTAX},
        {"{\"a\":1}x", ERR_SYNTAX},
        {"{a:1}", ERR_SYNTAX},
        {"{\"a\":\"\xff\"}", ERR_SYNTAX},
        {" ", ERR_SYNTAX},
    };
    struct account_row row = account_named("first");
    struct got g = {0};
    text_copy(row.settings, sizeof row.settings, S("{\"at\":\"add\"}"));
    store_account_add(b->s, &row, got_accounts, &g);
    ANSWERED(b, &g);
    assert_int_equal(g.e, OK);
    row = g.account[0];
    assert_string_equal(row.settings, "{\"at\":\"add\"}");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct account_row next = row;
        text_copy(next.settings, sizeof next.settings, slice_of(rows[i].text));
        g = account_update(b, &next);
        assert_int_equal(g.e, rows[i].want);
        if (g.e == OK)
            row = g.account[0];
        assert_string_equal(accounts_load(b).account[0].settings, row.settings);
        if (g.e == OK)
            assert_string_equal(row.settings, rows[i].text);
        next.id = 0;
        (void)text_format(next.name, sizeof next.name, "new-%d", (int)i);
        struct got a = {0};
        store_account_add(b->s, &next, got_accounts, &a);
        ANSWERED(b, &a);
        assert_int_equal(a.e, rows[i].want);
    }
    /* The longest, and one that has no end. */
    memset(row.settings, ' ', sizeof row.settings);
    row.settings[0] = '{';
    row.settings[STORE_SETTINGS_MAX - 2] = '}';
    row.settings[STORE_SETTINGS_MAX - 1] = '\0';
    g = account_update(b, &row);
    assert_int_equal(g.e, OK);
    row.version = g.account[0].version;
    bench_reopen(b);
    assert_memory_equal(accounts_load(b).account[0].settings, row.settings, sizeof row.settings);
    row.settings[STORE_SETTINGS_MAX - 1] = '}';
    assert_int_equal(account_update(b, &row).e, ERR_SYNTAX);
}

/* ---- two processes ------------------------------------------------------------------------- */

static void count_token(void *arg, const struct token_row *row, const struct backend_sealed *sealed)
{
    int64_t *generation = arg;
    assert_true(sealed->access.n > 0);
    *generation = row->generation;
}

/* Of two processes that swap the same generation exactly one does. */
static void test_swap_over_two_connections(void **state)
{
    struct bench *b = *state;
    struct backend *e[2];
    char why[256] = "", path[128];
    const struct backend_ops *ops = &backend_sqlite;
    int64_t id = account_new(b, "work"), seen = 0;
    struct token_row row = {.account_id = id};
    struct backend_sealed sealed = {S("v1.x.access"), S("v1.x.refresh")};
    text_copy(path, sizeof path, slice_of(bench_path(b, "sluice.db")));
    struct backend_options o = {.path = path, .busy_ms = 0, .objects_max = 10};
    bench_close(b);
    for (int i = 0; i < 2; i++)
        assert_int_equal(ops->open(&o, &e[i], why, sizeof why), OK);
    for (int64_t g = 0; g < 20; g++) {
        struct backend *first = e[g % 2], *second = e[(g + 1) % 2];
        assert_int_equal(ops->token_swap(first, g, &row, &sealed, count_token, &seen), OK);
        assert_int_equal(seen, g + 1);
        seen = 0;
        assert_int_equal(ops->token_swap(second, g, &row, &sealed, count_token, &seen),
                         ERR_CONFLICT);
        assert_int_equal(seen, g + 1);
        if (g > 0)
            assert_int_equal(ops->token_note(second, id, g, 5), ERR_CONFLICT);
        assert_int_equal(ops->token_note(second, id, g + 1, 5), OK);
    }
    for (int i = 0; i < 2; i++)
        ops->close(e[i]);
}

/* ---- killed in the middle of a refresh ------------------------------------------------------ */

/* What the child was told, in order: a note of `generation` is durable, or a swap to it is. */
struct told {
    int64_t generation;
    int32_t round;
    int32_t swapped;
};

static void tell(int fd, struct told t)
{
    if (write(fd, &t, sizeof t) != (ssize_t)sizeof t)
        _exit(1);
}

/* Refreshes for ever, among the gateway's other writes. */
static void child_run(struct bench *b, int fd, int round)
{
    char access[GOT_SECRET], refresh[GOT_SECRET];
    bench_open(b);
    struct got g = tokens_load(b);
    if (g.n != 1)
        _exit(2);
    int64_t id = g.token[0].account_id;
    tell(fd, (struct told){g.token[0].generation, round, 0});
    for (int64_t now = g.token[0].generation;; now++) {
        records_put(b, 0, (int)(now % 7));
        window_put(b, id, "5h", 0.5, now);
        if (token_note(b, id, now, BENCH_WALL + now) != OK)
            _exit(3);
        tell(fd, (struct told){now, round, 0});
        (void)text_format(access, sizeof access, "access-%d-%d", round, (int)(now + 1));
        (void)text_format(refresh, sizeof refresh, "refresh-%d-%d", round, (int)(now + 1));
        if (token_swap(b, id, now, access, refresh).e != OK)
            _exit(4);
        tell(fd, (struct told){now + 1, round, 1});
    }
}

static uint32_t dice_state = 20260817;
static uint32_t dice(uint32_t n)
{
    dice_state = dice_state * 1664525u + 1013904223u;
    return (dice_state >> 8) % n;
}

/* The moment: after some news, and then as long as some arithmetic takes (up to a few syncs of the
 * disk). */
static void linger(void)
{
    volatile uint32_t x = 1;
    for (uint32_t i = dice(400000); i > 0; i--)
        x = x * 3 + 1;
}

/* What was told last, in `*last`; the number of news. */
static int kill_in_the_middle(struct bench *b, int round, struct told *last)
{
    int pipe_fd[2], status = 0, news = 0;
    struct told t;
    uint32_t wanted = dice(8);
    assert_int_equal(pipe(pipe_fd), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(pipe_fd[0]);
        child_run(b, pipe_fd[1], round);
    }
    (void)close(pipe_fd[1]);
    for (uint32_t i = 0; i < wanted; i++, news++) {
        assert_int_equal(read(pipe_fd[0], &t, sizeof t), sizeof t);
        *last = t;
    }
    linger();
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status)); /* it had not ended by itself: nothing failed in it */
    while (read(pipe_fd[0], &t, sizeof t) == (ssize_t)sizeof t) {
        *last = t; /* said before it died */
        news++;
    }
    (void)close(pipe_fd[0]);
    return news;
}

static void test_killed_while_refreshing(void **state)
{
    struct bench *b = *state;
    int64_t id = account_new(b, "work"), generation = 1;
    int32_t owner = -1; /* the round that made the stored pair */
    int in_flight = 0, noted = 0;
    assert_int_equal(token_swap(b, id, 0, "access--1-1", "refresh--1-1").e, OK);
    bench_close(b);
    for (int round = 0; round < 200; round++) {
        struct told last = {generation, owner, 0};
        char want[GOT_SECRET];
        int news = kill_in_the_middle(b, round, &last);
        bench_open(b);
        struct got g = tokens_load(b);
        assert_int_equal(g.e, OK);
        assert_int_equal(g.n, 1);
        assert_false(g.token[0].unreadable);
        assert_in_range(g.token[0].generation, last.generation, last.generation + 1);
        bool further = g.token[0].generation == last.generation + 1;
        if (news > 1 && !last.swapped) /* a note was durable: it is there, or the swap is */
            assert_true(further == (g.token[0].noted_at == 0));
        if (last.swapped) /* a swap follows a note that is told: not further without one */
            assert_false(further);
        if (further || (news > 1 && last.generation > generation))
            owner = round;
        in_flight += further;
        noted += g.token[0].noted_at != 0;
        generation = g.token[0].generation;
        (void)text_format(want, sizeof want, "access-%d-%d", (int)owner, (int)generation);
        assert_string_equal(g.access[0], want);
        (void)text_format(want, sizeof want, "refresh-%d-%d", (int)owner, (int)generation);
        assert_string_equal(g.refresh[0], want);
        bench_close(b);
    }
    /* The moments were of all kinds. */
    assert_true(in_flight > 0);
    assert_true(noted > 0 && noted < 200);
    assert_true(generation > 200);
    assert_int_equal(
        sql_int(b, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check='ok'"), 1);
}

/* ---- the ways of all verbs ------------------------------------------------------------------ */

/* After store_close nothing is called; but what was to be written is. */
static void test_close_with_verbs_under_way(void **state)
{
    struct bench *b = *state;
    int64_t id = account_new(b, "work");
    struct got g = {0};
    struct token_row row = {.account_id = id, .access = S("late-access"), .refresh = S("late-r")};
    store_object_put(b->s, S("o"), 1, BENCH_WALL); /* its batch flies: what follows waits */
    store_token_swap(b->s, 0, &row, got_tokens, &g);
    store_token_note(b->s, id, 1, 77, got_word, &g);
    store_lease_take(b->s, S("r"), S("A"), 1, 1000, got_word, &g);
    store_tokens_load(b->s, got_tokens, &g);
    store_windows_load(b->s, got_windows, &g);
    window_put(b, id, "5h", 0.5, 10);
    bench_reopen(b);
    assert_int_equal(g.calls, 0);
    g = tokens_load(b);
    assert_int_equal(g.n, 1);
    assert_string_equal(g.access[0], "late-access");
    assert_int_equal(g.token[0].noted_at, 77);
    assert_int_equal(lease_take(b, "r", "B", 2, 1000), ERR_BUSY);
    assert_int_equal(windows_load(b).n, 1);
}

/* Whatever fails, at whatever place: one answer each; a swap that has failed can be swapped again,
 * and then either happens or is found to have happened. */
static void test_every_fault(void **state)
{
    struct bench *b = *state;
    int64_t id = account_new(b, "work"), generation = 0;
    for (uint64_t nth = 1; nth < 40; nth++) {
        struct got g[5] = {{0}};
        char access[32];
        (void)text_format(access, sizeof access, "access-%d", (int)nth);
        struct token_row row = {
            .account_id = id, .access = slice_of(access), .refresh = S("refresh")};
        fault_counter = 0;
        fault_target = nth;
        records_put(b, 0, 3);
        window_put(b, id, "5h", (double)nth, (int64_t)nth);
        store_token_swap(b->s, generation, &row, got_tokens, &g[0]);
        store_tokens_load(b->s, got_tokens, &g[1]);
        store_token_note(b->s, id, generation + 1, 5, got_word, &g[2]);
        store_lease_take(b->s, S("r"), S("A"), 1, 5, got_word, &g[3]);
        store_windows_load(b->s, got_windows, &g[4]);
        bench_pass(&b->loop, 5000);
        fault_target = 0;
        for (int i = 0; i < 5; i++)
            assert_int_equal(g[i].calls, 1);
        if (g[1].e == OK && g[1].n == 1)
            assert_false(g[1].token[0].unreadable);
        if (g[0].e != OK) {
            struct got again = token_swap(b, id, generation, access, "refresh");
            assert_true(again.e == OK || again.e == ERR_CONFLICT);
            assert_int_equal(again.n, 1);
            assert_string_equal(again.access[0], access);
        }
        generation++;
        struct got now = tokens_load(b);
        assert_int_equal(now.token[0].generation, generation);
        assert_string_equal(now.access[0], access);
        assert_true(windows_load(b).window[0].used == (double)nth);
    }
    assert_true(stats_of(b).failures > 0);
    assert_int_equal(stats_of(b).records_dropped, 0);
}

/* The database is locked for longer than anybody waits: the swap says so and nothing is lost. */
static void test_locked(void **state)
{
    struct bench *b = *state;
    sqlite3 *db = NULL;
    int64_t id = account_new(b, "work");
    b->s->ops->patience(b->s->backend, 0);
    assert_int_equal(token_swap(b, id, 0, "access-1", "refresh-1").e, OK);
    assert_int_equal(sqlite3_open(bench_path(b, "sluice.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    struct got g = token_swap(b, id, 1, "access-2", "refresh-2");
    assert_int_equal(g.e, ERR_BUSY);
    assert_int_equal(g.n, 0);
    assert_int_equal(token_note(b, id, 1, 5), ERR_BUSY);
    assert_int_equal(lease_take(b, "r", "A", 1, 10), ERR_BUSY);
    assert_int_equal(stats_of(b).failures, 3);
    assert_string_equal(tokens_load(b).access[0], "access-1"); /* reading goes on */
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(token_swap(b, id, 1, "access-2", "refresh-2").e, OK);
    assert_int_equal(stats_of(b).last_error, OK);
}

#define WITH(test)      cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)
#define IN_MEMORY(test) cmocka_unit_test_setup_teardown(test, bench_setup_memory, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_token_round_trip),
        WITH(test_swap_conflict),
        IN_MEMORY(test_token_sizes),
        WITH(test_note),
        WITH(test_remove_takes_all),
        WITH(test_no_token_byte_on_disk),
        WITH(test_sealed_tokens_cannot_move),
        WITH(test_unreadable_is_kept),
        WITH(test_migration_keeps_everything),
        WITH(test_migration_is_one_step),
        WITH(test_settings),
        WITH(test_swap_over_two_connections),
        WITH(test_killed_while_refreshing),
        WITH(test_close_with_verbs_under_way),
        IN_MEMORY(test_every_fault),
        WITH(test_locked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
