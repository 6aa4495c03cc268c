/* links: base store */
#include "store_bench.h"
#include "store_old.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include "store/sqlite.h"

static sqlite3 *db_open(const struct bench *b)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(bench_path(b, "sluice.db"), &db), SQLITE_OK);
    return db;
}

static void db_exec(sqlite3 *db, const char *sql)
{
    char *message = NULL;
    int rc = sqlite3_exec(db, sql, NULL, NULL, &message);
    if (rc != SQLITE_OK)
        print_error("%s: %s\n", sql, message);
    assert_int_equal(rc, SQLITE_OK);
}

static int64_t db_int(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    int64_t v = sqlite3_column_int64(st, 0);
    assert_int_equal(sqlite3_finalize(st), SQLITE_OK);
    return v;
}

static void db_close(sqlite3 *db)
{
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void test_settings(void **state)
{
    struct bench *b = *state;
    bench_open(b);
    bench_close(b);
    sqlite3 *db = db_open(b);
    assert_int_equal(db_int(db, "PRAGMA user_version"), SCHEMA_VERSION);
    assert_int_equal(db_int(db, "PRAGMA application_id"), SCHEMA_APPLICATION);
    assert_int_equal(db_int(db, "PRAGMA auto_vacuum"), 2);
    assert_int_equal(
        db_int(db, "SELECT count(*) FROM pragma_journal_mode WHERE journal_mode='wal'"), 1);
    /* A record must stay cheap: no index beside its number. */
    assert_int_equal(db_int(db, "SELECT count(*) FROM sqlite_schema WHERE tbl_name='records'"), 1);
    db_close(db);
    struct stat st;
    assert_int_not_equal(stat(bench_path(b, "sluice.db-wal"), &st), 0); /* folded back at close */
}

static void test_migration(void **state)
{
    struct bench *b = *state;
    /* The key first, as it would have been. */
    bench_open(b);
    bench_close(b);
    assert_int_equal(unlink(bench_path(b, "sluice.db")), 0);
    sqlite3 *db = db_open(b);
    db_exec(db, schema_1);
    db_close(db);
    bench_open(b);
    struct got g = accounts_load(b);
    assert_int_equal(g.n, 1);
    assert_int_equal(g.account[0].id, 7);
    assert_int_equal(g.account[0].version, 3);
    assert_string_equal(g.account[0].name, "old");
    assert_int_equal(account_add(b, "new", "sk").account[0].id, 8);
    records_put(b, 0, 5);
    assert_int_equal(records_count(b), 5);
    bench_close(b);
    db = db_open(b);
    assert_int_equal(db_int(db, "PRAGMA user_version"), SCHEMA_VERSION);
    db_close(db);
}

/* A step that fails leaves nothing of itself: the next start finds the version before it. */
static void test_migration_is_whole_or_not_at_all(void **state)
{
    struct bench *b = *state;
    bench_open(b);
    bench_close(b);
    assert_int_equal(unlink(bench_path(b, "sluice.db")), 0);
    sqlite3 *db = db_open(b);
    db_exec(db, schema_1);
    db_exec(db, "CREATE TABLE objects(in_the_way)"); /* step 3 will stumble */
    db_close(db);
    assert_int_not_equal(bench_try_open(b), OK);
    assert_non_null(strstr(b->why, "already exists"));
    db = db_open(b);
    assert_int_equal(db_int(db, "PRAGMA user_version"), 2);
    db_exec(db, "DROP TABLE objects");
    db_close(db);
    bench_open(b);
    assert_int_equal(accounts_load(b).n, 1);
}

static void test_refused_databases(void **state)
{
    struct bench *b = *state;
    static const struct {
        const char *sql;
        enum err want;
        const char *says;
    } rows[] = {
        {"PRAGMA user_version=7; PRAGMA application_id=1936487779", ERR_UNSUPPORTED,
         "newer sluice"},
        {"PRAGMA user_version=3; PRAGMA application_id=5", ERR_UNSUPPORTED,
         "not a sluice database"},
        {"PRAGMA user_version=3", ERR_UNSUPPORTED, "not a sluice database"},
        {"CREATE TABLE photos(x)", ERR_UNSUPPORTED, "not a sluice database"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)unlink(bench_path(b, "sluice.db"));
        bench_open(b);
        bench_close(b);
        assert_int_equal(unlink(bench_path(b, "sluice.db")), 0);
        sqlite3 *db = db_open(b);
        db_exec(db, rows[i].sql);
        db_close(db);
        assert_int_equal(bench_try_open(b), rows[i].want);
        assert_non_null(strstr(b->why, rows[i].says));
        db = db_open(b); /* untouched */
        assert_int_equal(db_int(db, "SELECT count(*) FROM sqlite_schema WHERE name='accounts'"), 0);
        db_close(db);
    }
}

static void test_not_a_database(void **state)
{
    struct bench *b = *state;
    bench_open(b);
    bench_close(b);
    int fd = open(bench_path(b, "sluice.db"), O_WRONLY | O_TRUNC);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(write(fd, "this is no database\n", 20), 20);
    (void)close(fd);
    assert_int_equal(bench_try_open(b), ERR_CORRUPT);
    assert_non_null(strstr(b->why, "backup"));
}

static void test_lock(void **state)
{
    struct bench *b = *state;
    struct bench other = {.options = b->options};
    char pid[32] = "";
    char want[64];
    bench_open(b);
    assert_int_equal(bench_try_open(&other), ERR_BUSY);
    assert_null(other.s);
    (void)text_format(want, sizeof want, "process %d", (int)getpid());
    assert_non_null(strstr(other.why, want));
    int fd = open(bench_path(b, "sluice.lock"), O_RDONLY);
    assert_true(read(fd, pid, sizeof pid - 1) > 0);
    (void)close(fd);
    assert_int_equal(atol(pid), getpid());
    assert_int_equal(account_add(b, "still", "works").e, OK);
    bench_close(b);
    assert_int_equal(bench_try_open(&other), OK);
    store_close(other.s);
}

static void test_folder(void **state)
{
    struct bench *b = *state;
    char deep[128], file[128];
    struct stat st;
    (void)text_format(deep, sizeof deep, "%s/a/b", b->dir);
    b->options.dir = deep;
    bench_open(b);
    bench_close(b);
    assert_int_equal(stat(deep, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    struct bench inner = {0};
    text_copy(inner.dir, sizeof inner.dir, slice_of(deep));
    bench_sweep(&inner);
    assert_int_equal(rmdir(bench_path(b, "a")), 0);

    (void)text_format(file, sizeof file, "%s/sluice.db", b->dir);
    assert_int_equal(close(open(file, O_CREAT | O_WRONLY, 0600)), 0);
    b->options.dir = file;
    assert_int_equal(bench_try_open(b), ERR_STATE);
    assert_non_null(strstr(b->why, "not a folder"));
    b->options.dir = "";
    assert_int_equal(bench_try_open(b), ERR_RANGE);
    b->options.dir = "/proc/no/such";
    assert_int_not_equal(bench_try_open(b), OK);
    assert_true(b->why[0] != '\0');
}

/* As another user, because root may write anywhere. */
static void test_read_only_folder(void **state)
{
    struct bench *b = *state;
    uid_t was = geteuid();
    bench_open(b);
    bench_close(b);
    if (was == 0) {
        static const char *const names[] = {"", "sluice.db", "sluice.lock", "master.key"};
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            assert_int_equal(chown(bench_path(b, names[i]), 65534, 65534), 0);
        assert_int_equal(seteuid(65534), 0);
    }
    assert_int_equal(chmod(b->dir, 0500), 0);
    enum err no_new_files = bench_try_open(b); /* the log cannot be made */
    char why[512];
    memcpy(why, b->why, sizeof why);
    bench_close(b);
    assert_int_equal(chmod(b->dir, 0700), 0);
    assert_int_equal(chmod(bench_path(b, "sluice.db"), 0400), 0);
    enum err read_only_file = bench_try_open(b);
    bench_close(b);
    assert_int_equal(chmod(bench_path(b, "sluice.db"), 0600), 0);
    enum err again = bench_try_open(b);
    bench_close(b);
    if (was == 0)
        assert_int_equal(seteuid(was), 0);
    assert_int_not_equal(no_new_files, OK);
    assert_non_null(strstr(why, "sluice.db"));
    assert_int_equal(read_only_file, ERR_DENIED);
    assert_int_equal(again, OK);
}

static void test_memory_store_has_no_files(void **state)
{
    struct bench *b = *state;
    b->options.dir = NULL;
    bench_open(b);
    assert_int_equal(account_add(b, "a", "s").e, OK);
    records_put(b, 0, 600);
    assert_int_equal(records_count(b), 600);
    bench_reopen(b);
    assert_int_equal(accounts_load(b).n, 0); /* gone with it */
}

/* ---- killed in the middle of a write -------------------------------------------------------- */

struct progress { /* what the child has been told is written */
    int32_t accounts;
    int32_t records;
};

/* Writes for ever; after each step it says how far it was told things have got. */
static void child_run(struct bench *b, int fd)
{
    struct progress p = {0, 0};
    bench_open(b);
    for (int i = 0;; i++) {
        char name[32];
        (void)text_format(name, sizeof name, "account-%d", i);
        if (account_add(b, name, "secret").e == OK)
            p.accounts++;
        records_put(b, p.records, p.records + 700);
        bench_pass(&b->loop, 200);
        p.records = (int32_t)stats_of(b).records_written;
        if (write(fd, &p, sizeof p) != (ssize_t)sizeof p)
            _exit(1);
    }
}

static struct progress kill_after(struct bench *b, int steps)
{
    struct progress p = {0, 0}, next;
    int pipe_fd[2], status = 0;
    assert_int_equal(pipe(pipe_fd), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(pipe_fd[0]);
        child_run(b, pipe_fd[1]);
    }
    (void)close(pipe_fd[1]);
    for (int i = 0; i < steps; i++) {
        assert_int_equal(read(pipe_fd[0], &p, sizeof p), sizeof p);
    }
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    while (read(pipe_fd[0], &next, sizeof next) == (ssize_t)sizeof next)
        p = next; /* said before it died */
    (void)close(pipe_fd[0]);
    return p;
}

static void test_killed_while_writing(void **state)
{
    struct bench *b = *state;
    for (int steps = 1; steps <= 12; steps++) {
        struct progress p = kill_after(b, steps);
        sqlite3 *db = db_open(b);
        assert_int_equal(
            db_int(db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check='ok'"),
            1);
        db_close(db);
        bench_open(b);
        struct got g = accounts_load(b);
        assert_int_equal(g.e, OK);
        assert_in_range(g.n, p.accounts, p.accounts + 1);
        for (size_t i = 0; i < g.n && i < GOT_ROWS; i++)
            assert_false(g.account[i].secret_unreadable);
        assert_in_range(records_count(b), p.records, p.records + 700);
        records_put(b, 0, 3);
        assert_true(records_count(b) >= (size_t)p.records + 3);
        bench_close(b);
        assert_int_equal(unlink(bench_path(b, "sluice.db")), 0);
    }
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, bench_setup_closed, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_settings),
        WITH(test_migration),
        WITH(test_migration_is_whole_or_not_at_all),
        WITH(test_refused_databases),
        WITH(test_not_a_database),
        WITH(test_lock),
        WITH(test_folder),
        WITH(test_read_only_folder),
        WITH(test_memory_store_has_no_files),
        WITH(test_killed_while_writing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
