/* links: base store */
#include "store_bench.h"

#include <sqlite3.h>
#include <sys/wait.h>

#include "store/inside.h"
#include "store/sqlite.h"

/* Two stores on one folder, as of two processes, each on a loop of its own. */
struct two {
    struct bench a, b;
    int told_a, told_b;
};

static void told(void *arg)
{
    ++*(int *)arg;
}

static int setup_two(void **state)
{
    struct two *t = NEW(struct two);
    crypto_init();
    bench_folder(&t->a);
    t->a.options.shared = true;
    bench_open(&t->a);
    t->b.options = t->a.options;
    text_copy(t->b.dir, sizeof t->b.dir, slice_of(t->a.dir));
    t->b.options.dir = t->b.dir;
    bench_open(&t->b);
    store_watch(t->a.s, told, &t->told_a);
    store_watch(t->b.s, told, &t->told_b);
    *state = t;
    return 0;
}

static int teardown_two(void **state)
{
    struct two *t = *state;
    bench_close(&t->a);
    bench_close(&t->b);
    bench_sweep(&t->a);
    mem_free(t);
    return 0;
}

/* A moment later: how often each of them was told. */
static void expect_told(struct two *t, int a, int b)
{
    t->told_a = t->told_b = 0;
    for (int i = 0; i < 3; i++) {
        bench_pass(&t->a.loop, WATCH_EVERY_MS);
        bench_pass(&t->b.loop, WATCH_EVERY_MS);
    }
    assert_int_equal(t->told_a, a);
    assert_int_equal(t->told_b, b);
}

/* ---- the lock ------------------------------------------------------------------------------- */

static void test_lock(void **state)
{
    struct bench *b = *state;
    static const struct {
        bool first, second;
        enum err want;
        const char *says;
    } rows[] = {
        {true, true, OK, ""},
        {true, false, ERR_BUSY, "`overlap` on"},
        {false, true, ERR_BUSY, "`overlap` is off"},
        {false, false, ERR_BUSY, "stop it, or give this one another"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bench other = {.options = b->options};
        b->options.shared = rows[i].first;
        other.options.shared = rows[i].second;
        bench_open(b);
        assert_int_equal(bench_try_open(&other), rows[i].want);
        assert_non_null(strstr(other.why, rows[i].says));
        assert_int_equal(account_add(b, "still", "works").e, OK);
        assert_int_equal(account_remove(b, accounts_load(b).account[0].id), OK);
        bench_close(&other);
        bench_close(b);
        b->options.shared = false;
        bench_open(b); /* whatever was shared, nobody holds it any more */
        bench_close(b);
    }
}

static void lock_text(const struct bench *b, char out[32])
{
    int fd = open(bench_path(b, "sluice.lock"), O_RDONLY);
    ssize_t n = read(fd, out, 31);
    out[n > 0 ? n : 0] = '\0';
    (void)close(fd);
}

/* The older one's end does not wipe the newer one's number away. */
static void test_lock_names_the_newer(void **state)
{
    struct bench *b = *state;
    char text[32];
    b->options.shared = true;
    bench_open(b);
    int fd = open(bench_path(b, "sluice.lock"), O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "4242\n", 5), 5); /* as if another had come */
    (void)close(fd);
    bench_close(b);
    lock_text(b, text);
    assert_string_equal(text, "4242\n");
    bench_open(b);
    lock_text(b, text);
    assert_int_equal(atol(text), getpid());
    bench_close(b);
    lock_text(b, text);
    assert_string_equal(text, "");
}

/* ---- what one learns of the other ----------------------------------------------------------- */

static void test_told(void **state)
{
    struct two *t = *state;
    struct got g = {0};
    expect_told(t, 0, 0);
    struct account_row row = account_add(&t->a, "work", "sk").account[0];
    expect_told(t, 0, 1);
    assert_string_equal(accounts_load(&t->b).account[0].name, "work");
    row.secret = S("");
    row.paused = true;
    assert_int_equal(account_update(&t->b, &row).e, OK);
    expect_told(t, 1, 0);
    assert_true(accounts_load(&t->a).account[0].paused);
    assert_int_equal(account_update(&t->a, &row).e, ERR_CONFLICT); /* nothing happened */
    expect_told(t, 0, 0);
    store_facts_put(t->a.s, row.id, 50, 60, "rate_limited");
    expect_told(t, 0, 1);
    assert_int_equal(accounts_load(&t->b).account[0].cool_until, 60);
    assert_int_equal(token_swap(&t->b, row.id, 0, "access-1", "refresh-1").e, OK);
    expect_told(t, 1, 0);
    assert_string_equal(tokens_load(&t->a).access[0], "access-1");
    assert_int_equal(key_add(&t->a, "aaaaaaaa", "ci"), OK);
    expect_told(t, 0, 1);
    store_key_update(t->b.s, &(struct key_row){.id = "aaaaaaaa", .name = "ci-2"}, got_word, &g);
    expect_told(t, 1, 0);
    store_key_revoke(t->a.s, "aaaaaaaa", 5, got_word, &g);
    expect_told(t, 0, 1);
    store_group_remove(t->a.s, "none", got_word, &g); /* nothing happened */
    expect_told(t, 0, 0);
    assert_int_equal(account_remove(&t->b, row.id), OK);
    expect_told(t, 1, 0);
    assert_int_equal(accounts_load(&t->a).n, 0);
}

static void got_groups(void *arg, enum err e, const struct group_row *rows, size_t n)
{
    struct got *g = arg;
    g->calls++;
    g->e = e;
    g->n = n;
    assert_true(e != OK || rows[0].version == 1);
}

static void test_told_of_groups(void **state)
{
    struct two *t = *state;
    struct got g = {0};
    store_group_put(t->a.s, &(struct group_row){.name = "night"}, got_groups, &g);
    ANSWERED(&t->a, &g);
    assert_int_equal(g.e, OK);
    expect_told(t, 0, 1);
    g = (struct got){0};
    store_groups_load(t->b.s, got_groups, &g);
    ANSWERED(&t->b, &g);
    assert_int_equal(g.n, 1);
    store_group_remove(t->b.s, "night", got_word, &g);
    expect_told(t, 1, 0);
}

/* Many changes are one word; one's own are none, also between two of the other's. */
static void test_told_once(void **state)
{
    struct two *t = *state;
    for (int i = 0; i < 5; i++) {
        char name[16];
        (void)text_format(name, sizeof name, "a%d", i);
        (void)account_new(&t->a, name);
        (void)text_format(name, sizeof name, "b%d", i);
        (void)account_new(&t->b, name);
    }
    expect_told(t, 1, 1);
    (void)account_new(&t->a, "own"); /* after which a's own count is right again */
    expect_told(t, 0, 1);
    (void)account_new(&t->b, "theirs");
    (void)account_new(&t->a, "own-2"); /* on top of one that a has not been told of */
    expect_told(t, 1, 1);
    assert_int_equal(accounts_load(&t->a).n, 13);
}

/* What happens all the time is no news. */
static void test_not_told(void **state)
{
    struct two *t = *state;
    int64_t id = account_new(&t->a, "work");
    assert_int_equal(key_add(&t->a, "aaaaaaaa", "ci"), OK);
    expect_told(t, 0, 1);
    records_put(&t->a, 0, 50);
    window_put(&t->a, id, "5h", 0.5, 7);
    store_key_used(t->a.s, "aaaaaaaa", BENCH_WALL);
    store_object_put(t->a.s, S("batch"), id, BENCH_WALL);
    assert_int_equal(lease_take(&t->a, "r", "A", 5, 10), OK);
    expect_told(t, 0, 0);
    assert_int_equal(records_count(&t->b), 50); /* but there it is */
}

/* A disk that fails while it is watched is no end of the watch. */
static void test_watch_goes_on(void **state)
{
    struct two *t = *state;
    fault_counter = 0;
    fault_target = 1;
    bench_pass(&t->b.loop, WATCH_EVERY_MS);
    fault_target = 0;
    assert_int_equal(t->told_b, 0);
    (void)account_new(&t->a, "work");
    expect_told(t, 0, 1);
}

static void on_news_close(void *arg)
{
    struct bench *b = arg;
    store_close(b->s);
    b->s = NULL;
}

static void test_close_in_the_word(void **state)
{
    struct two *t = *state;
    bench_close(&t->b);
    bench_open(&t->b);
    store_watch(t->b.s, on_news_close, &t->b);
    (void)account_new(&t->a, "work");
    bench_pass(&t->b.loop, WATCH_EVERY_MS);
    assert_null(t->b.s);
}

/* ---- records of both ------------------------------------------------------------------------ */

/* Each has rows of its own, the numbers are everybody's, and nobody runs into trouble. */
static void test_records_of_both(void **state)
{
    struct two *t = *state;
    for (int i = 0; i < 20; i++) {
        records_put(&t->a, 0, 7);
        bench_pass(&t->a.loop, BATCH_WAIT_MS);
        records_put(&t->b, 0, 5);
        bench_pass(&t->b.loop, BATCH_WAIT_MS);
    }
    assert_int_equal(records_count(&t->a), 240);
    assert_int_equal(records_count(&t->b), 240);
    assert_int_equal(stats_of(&t->a).failures + stats_of(&t->b).failures, 0);
    struct got g = records_query(&t->a, &(struct record_query){.limit = 1});
    assert_int_equal(g.record[0].row, 240);
    mem_free(g.record);
}

/* One removes rows that the other wrote and it never saw: their numbers do not come again. */
static void test_prune_of_the_others(void **state)
{
    struct two *t = *state;
    struct got done = {0};
    records_put(&t->a, 0, 3);
    bench_pass(&t->a.loop, BATCH_WAIT_MS);
    records_put(&t->b, 0, 10);
    bench_pass(&t->b.loop, BATCH_WAIT_MS);
    store_set_limits(t->a.s, 1, 0);
    bench_pass(&t->a.loop, 1000);
    store_prune(t->a.s, got_word, &done);
    ANSWERED(&t->a, &done);
    assert_int_equal(records_count(&t->b), 0);
    records_put(&t->a, 0, 1);
    bench_pass(&t->a.loop, BATCH_WAIT_MS);
    struct got g = records_query(&t->b, &(struct record_query){.limit = 1});
    assert_int_equal(g.record[0].row, 14);
    mem_free(g.record);
}

/* The older one's end neither waits for the newer one nor disturbs it. */
static void test_one_ends(void **state)
{
    struct two *t = *state;
    int64_t id = account_new(&t->a, "work");
    assert_int_equal(token_swap(&t->a, id, 0, "access-1", "refresh-1").e, OK);
    records_put(&t->a, 0, 30);
    bench_close(&t->a);
    assert_int_equal(records_count(&t->b), 30);
    assert_int_equal(token_swap(&t->b, id, 1, "access-2", "refresh-2").e, OK);
    records_put(&t->b, 0, 3);
    bench_close(&t->b);
    struct stat st;
    assert_int_not_equal(stat(bench_path(&t->a, "sluice.db-wal"), &st), 0); /* the last one folds */
    t->a.options.shared = false;
    bench_open(&t->a);
    assert_int_equal(records_count(&t->a), 33);
    assert_string_equal(tokens_load(&t->a).access[0], "access-2");
}

/* ---- two that start at once ----------------------------------------------------------------- */

static pid_t start_one(struct bench *b)
{
    pid_t pid = fork();
    if (pid == 0) {
        enum err e = bench_try_open(b);
        if (e == OK)
            store_close(b->s);
        _exit(e == OK ? 0 : 1);
    }
    return pid;
}

/* Both find a database to be brought to today's schema, and both succeed. */
static void test_two_migrate_at_once(void **state)
{
    struct bench *b = *state;
    b->options.shared = true;
    bench_open(b);
    bench_close(b);
    for (int round = 0; round < 15; round++) {
        sqlite3 *db = NULL;
        pid_t pid[2];
        assert_int_equal(sqlite3_open(bench_path(b, "sluice.db"), &db), SQLITE_OK);
        assert_int_equal(
            sqlite3_exec(db,
                         "DROP TABLE vault; DROP TABLE groups; ALTER TABLE client_keys DROP grp;"
                         "ALTER TABLE client_keys DROP settings;"
                         "ALTER TABLE records DROP grp; ALTER TABLE records DROP why;"
                         "PRAGMA user_version=4;",
                         NULL, NULL, NULL),
            SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        for (int i = 0; i < 2; i++)
            pid[i] = start_one(b);
        for (int i = 0; i < 2; i++) {
            int status = -1;
            assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
            assert_int_equal(status, 0);
        }
    }
}

#define TWO(test)    cmocka_unit_test_setup_teardown(test, setup_two, teardown_two)
#define CLOSED(test) cmocka_unit_test_setup_teardown(test, bench_setup_closed, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CLOSED(test_lock),
        CLOSED(test_lock_names_the_newer),
        TWO(test_told),
        TWO(test_told_of_groups),
        TWO(test_told_once),
        TWO(test_not_told),
        TWO(test_watch_goes_on),
        TWO(test_close_in_the_word),
        TWO(test_records_of_both),
        TWO(test_prune_of_the_others),
        TWO(test_one_ends),
        CLOSED(test_two_migrate_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
