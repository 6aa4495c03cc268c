/* links: base store */
#include "store_bench.h"
#include "store_disk.h"

#include <sys/resource.h>

#include "store/inside.h"
#include "store/sqlite.h"

static struct got object_get(struct bench *b, const char *name)
{
    struct got g = {0};
    store_object_get(b->s, slice_of(name), got_object, &g);
    ANSWERED(b, &g);
    return g;
}

/* ---- when a batch leaves -------------------------------------------------------------------- */

static void test_batch_waits_for_company(void **state)
{
    struct bench *b = *state;
    records_put(b, 0, 1);
    assert_int_equal(worker_depth(b->loop.worker), 0);
    bench_pass(&b->loop, BATCH_WAIT_MS - 1);
    records_put(b, 1, 2); /* does not make the first wait longer */
    assert_int_equal(stats_of(b).records_written, 0);
    assert_int_equal(stats_of(b).queued, 2);
    bench_pass(&b->loop, 1);
    assert_int_equal(stats_of(b).records_written, 2);
    assert_int_equal(stats_of(b).queued, 0);
    assert_int_equal(b->loop.worker->ran, 1);
}

static void test_full_batch_leaves_at_once(void **state)
{
    struct bench *b = *state;
    records_put(b, 0, BATCH_MAX - 1);
    assert_int_equal(worker_depth(b->loop.worker), 0);
    records_put(b, 0, 1200);
    assert_int_equal(worker_depth(b->loop.worker), 1); /* one under way at most */
    assert_true(bench_step(&b->loop));
    assert_int_equal(stats_of(b).records_written, BATCH_MAX);
    assert_int_equal(worker_depth(b->loop.worker), 1);
    assert_true(bench_step(&b->loop));
    assert_true(bench_step(&b->loop));
    assert_int_equal(stats_of(b).records_written, 3 * BATCH_MAX);
    assert_int_equal(worker_depth(b->loop.worker), 0); /* the rest waits for company again */
    assert_int_equal(stats_of(b).queued, BATCH_MAX - 1 + 1200 - 3 * BATCH_MAX);
    bench_pass(&b->loop, BATCH_WAIT_MS);
    assert_int_equal(stats_of(b).queued, 0);
    assert_int_equal(records_count(b), BATCH_MAX - 1 + 1200);
}

/* A long batch gives way to other threads again and again; not when the ring fills, and not at the
 * end, when nobody is left. */
static void test_batch_gives_way(void **state)
{
    struct bench *b = *state;
    const struct worker *w = b->loop.worker;
    const size_t full = BATCH_MAX / BACKEND_BREATH;
    records_put(b, 0, BACKEND_BREATH - 1);
    bench_pass(&b->loop, BATCH_WAIT_MS);
    assert_int_equal(w->breaths, 0);
    records_put(b, 0, BATCH_MAX);
    assert_true(bench_step(&b->loop));
    assert_int_equal(w->breaths, full);
    records_put(b, 0, BATCH_MAX); /* the batch is made up here: there is time */
    records_put(b, 0, RING_DEFAULT / 4);
    assert_true(bench_step(&b->loop));
    assert_int_equal(w->breaths, 2 * full);
    records_put(b, 0, 2 * BATCH_MAX); /* the next one was made up before these, the one after not */
    assert_true(bench_step(&b->loop));
    assert_int_equal(w->breaths, 3 * full);
    assert_true(bench_step(&b->loop));
    assert_int_equal(w->breaths, 3 * full);
    bench_pass(&b->loop, BATCH_WAIT_MS);
    assert_true(w->breaths > 3 * full);
    assert_int_equal(stats_of(b).records_dropped, 0);
    records_put(b, 0, BATCH_MAX - 1);
    bench_reopen(b);
    assert_int_equal(records_count(b), BACKEND_BREATH - 1 + 2 * BATCH_MAX + RING_DEFAULT / 4 +
                                           2 * BATCH_MAX + BATCH_MAX - 1);
}

static int setup_ring_of_8(void **state)
{
    struct bench *b = NEW(struct bench);
    crypto_init();
    b->options.ring = 8;
    bench_open(b);
    *state = b;
    return 0;
}

static void test_ring_full(void **state)
{
    struct bench *b = *state;
    records_put(b, 0, 11);
    assert_int_equal(stats_of(b).queued, 8);
    assert_int_equal(stats_of(b).records_dropped, 3);
    bench_pass(&b->loop, BATCH_WAIT_MS);
    assert_int_equal(stats_of(b).queued, 0);
    assert_int_equal(records_count(b), 8);
}

/* Around the ring's end, with rows coming while a batch is under way: every row once, in order. */
static void test_ring_wraps(void **state)
{
    struct bench *b = *state;
    struct record_query q = {.forward = true, .limit = 1000};
    int put = 0;
    for (int round = 0; round < 40; round++) {
        records_put(b, put, put + 1 + round % 5);
        put += 1 + round % 5;
        bench_pass(&b->loop, BATCH_WAIT_MS - 1);
        drain_kick(b->s);
        records_put(b, put, put + 3);
        put += 3;
        bench_pass(&b->loop, 2 * BATCH_WAIT_MS);
    }
    assert_int_equal(stats_of(b).records_dropped, 0);
    struct got g = records_query(b, &q);
    assert_int_equal(g.n, put);
    for (int i = 0; i < put; i++)
        assert_int_equal(g.record[i].ttfb_ms, i);
    mem_free(g.record);
}

/* All clients leave in one turn of the loop: every row is written, in order, and the memory they
 * have waited in goes again. */
static void test_burst(void **state)
{
    struct bench *b = *state;
    struct ring *g = &b->s->ring;
    struct record_query q = {.forward = true, .limit = 1000};
    assert_true(sizeof(struct block) + RING_BLOCK > 1 << 20); /* unmapped when freed: mem_init */
    for (int round = 0; round < 2; round++) {
        int n = round == 0 ? 10000 : RING_DEFAULT;
        int64_t before = q.after_row;
        records_put(b, 0, n);
        assert_int_equal(stats_of(b).queued, n);
        bench_pass(&b->loop, BATCH_WAIT_MS);
        assert_int_equal(stats_of(b).queued, 0);
        assert_int_equal(stats_of(b).records_dropped, 0);
        while (q.after_row < before + n) {
            struct got got = records_query(b, &q);
            assert_true(got.e == OK && got.n > 0);
            for (size_t i = 0; i < got.n; i++)
                assert_int_equal(got.record[i].ttfb_ms, q.after_row++ - before);
            mem_free(got.record);
        }
        assert_true(list_empty(&g->blocks)); /* one is kept for the next row */
        assert_non_null(g->spare);
        drain_trim(b->s);
        assert_null(g->spare);
    }
}

/* The end comes while a batch is under way and many more wait. */
static void test_close_with_a_full_ring(void **state)
{
    struct bench *b = *state;
    struct record_query q = {.forward = true, .limit = 1};
    records_put(b, 0, RING_DEFAULT);
    bench_reopen(b);
    assert_int_equal(records_count(b), RING_DEFAULT);
    q.after_row = RING_DEFAULT - 1;
    struct got g = records_query(b, &q);
    assert_int_equal(g.record[0].ttfb_ms, RING_DEFAULT - 1);
    mem_free(g.record);
}

/* As many rows wait when they are as long as rows can be. */
static void test_burst_of_long_rows(void **state)
{
    struct bench *b = *state;
    struct record_query q = {.forward = true, .limit = 1};
    struct record r = record_make(1);
    char *texts[] = {r.id,  r.key_name,   r.client, r.model_asked, r.model_answered,
                     r.why, r.upstream_id};
    size_t sizes[] = {sizeof r.id,          sizeof r.key_name,       sizeof r.client,
                      sizeof r.model_asked, sizeof r.model_answered, sizeof r.why,
                      sizeof r.upstream_id};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        memset(texts[i], 'x', sizes[i] - 1);
    r.attempts = STORE_ATTEMPTS;
    for (int i = 0; i < STORE_ATTEMPTS; i++) {
        memset(r.attempt[i].account, 'a' + i, sizeof r.attempt[i].account - 1);
        r.attempt[i].reason = "served";
    }
    for (int i = 0; i < RING_DEFAULT + 1; i++)
        store_record(b->s, &r);
    assert_int_equal(stats_of(b).queued, RING_DEFAULT);
    assert_int_equal(stats_of(b).records_dropped, 1);
    bench_pass(&b->loop, BATCH_WAIT_MS);
    assert_int_equal(stats_of(b).queued, 0);
    assert_int_equal(records_count(b), RING_DEFAULT);
    q.after_row = RING_DEFAULT - 1;
    struct got g = records_query(b, &q);
    assert_string_equal(g.record[0].why, r.why);
    assert_string_equal(g.record[0].attempt[STORE_ATTEMPTS - 1].account,
                        r.attempt[STORE_ATTEMPTS - 1].account);
    mem_free(g.record);
}

/* A steady stream goes through the same two blocks. */
static void test_ring_takes_turns(void **state)
{
    struct bench *b = *state;
    struct block *seen[2] = {NULL, NULL};
    for (int i = 0; i < 40; i++) {
        records_put(b, 0, BATCH_MAX);
        for (struct link *l = b->s->ring.blocks.next; l != &b->s->ring.blocks; l = l->next) {
            struct block *at = CONTAINER(l, struct block, link);
            int k = seen[0] == NULL || seen[0] == at ? 0 : 1;
            assert_true(seen[k] == NULL || seen[k] == at);
            seen[k] = at;
        }
        if (i > 0) /* the one before, while this one waits */
            assert_true(bench_step(&b->loop));
    }
    assert_non_null(seen[1]);
    bench_pass(&b->loop, BATCH_WAIT_MS);
    assert_int_equal(records_count(b), 40 * BATCH_MAX);
}

/* ---- another program holds the lock --------------------------------------------------------- */

static sqlite3 *lock_take(const struct bench *b)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(bench_path(b, "sluice.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    return db;
}

static void lock_drop(sqlite3 *db)
{
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void test_locked(void **state)
{
    struct bench *b = *state;
    assert_int_equal(account_add(b, "work", "sk").e, OK);
    b->s->ops->patience(b->s->backend, 0); /* no test waits */
    sqlite3 *lock = lock_take(b);
    records_put(b, 0, 5);
    store_object_put(b->s, S("obj"), 1, BENCH_WALL);
    store_facts_put(b->s, 1, 10, 99, "rate_limited");
    bench_pass(&b->loop, BATCH_WAIT_MS);
    assert_int_equal(stats_of(b).failures, 1);
    assert_int_equal(stats_of(b).last_error, ERR_BUSY);
    assert_int_equal(stats_of(b).last_error_at, BENCH_WALL);
    assert_int_equal(stats_of(b).queued, 5);
    /* Nobody waits for the lock: reading works, writing says so, an object is known meanwhile. */
    assert_string_equal(accounts_load(b).secret[0], "sk");
    assert_int_equal(object_get(b, "obj").object, 1);
    assert_int_equal(object_get(b, "none").e, ERR_NOTFOUND);
    assert_int_equal(account_add(b, "other", "sk").e, ERR_BUSY);
    assert_int_equal(account_remove(b, 1), ERR_BUSY);
    assert_int_equal(key_add(b, "aaaaaaaa", "ci"), ERR_BUSY);
    /* Ten seconds of it: a try every 250 ms. */
    uint64_t before = stats_of(b).failures;
    records_put(b, 5, 8);
    bench_pass(&b->loop, 10000);
    assert_in_range(stats_of(b).failures - before, 39, 41);
    assert_int_equal(stats_of(b).queued, 8);
    store_object_put(b->s, S("obj"), 2, BENCH_WALL);
    assert_int_equal(object_get(b, "obj").object, 2);
    lock_drop(lock);
    bench_pass(&b->loop, RETRY_BUSY_MS);
    bench_pass(&b->loop, BATCH_WAIT_MS);
    assert_int_equal(stats_of(b).last_error, OK);
    assert_int_equal(stats_of(b).queued, 0);
    assert_int_equal(stats_of(b).records_dropped, 0);
    assert_int_equal(records_count(b), 8);
    assert_int_equal(object_get(b, "obj").object, 2);
    assert_int_equal(accounts_load(b).account[0].cool_until, 99);
    assert_int_equal(account_add(b, "other", "sk").e, OK);
}

/* The trouble ends when the lock does, though nobody writes meanwhile. */
static void test_trouble_ends_without_traffic(void **state)
{
    struct bench *b = *state;
    b->s->ops->patience(b->s->backend, 0);
    sqlite3 *lock = lock_take(b);
    assert_int_equal(key_add(b, "aaaaaaaa", "ci"), ERR_BUSY);
    assert_int_equal(stats_of(b).last_error, ERR_BUSY);
    bench_pass(&b->loop, 5000);
    assert_int_equal(stats_of(b).last_error, ERR_BUSY);
    lock_drop(lock);
    bench_pass(&b->loop, RETRY_OTHER_MS);
    assert_int_equal(stats_of(b).last_error, OK);
    uint64_t failures = stats_of(b).failures;
    size_t ran = b->loop.worker->ran;
    bench_pass(&b->loop, 50000);
    assert_int_equal(stats_of(b).failures, failures);
    assert_int_equal(b->loop.worker->ran, ran); /* quiet again */
}

static void test_locked_and_ring_full(void **state)
{
    struct bench *b = *state;
    b->s->ops->patience(b->s->backend, 0);
    sqlite3 *lock = lock_take(b);
    for (int i = 0; i < 60; i++) {
        records_put(b, 300 * i, 300 * (i + 1));
        bench_pass(&b->loop, 20);
    }
    assert_int_equal(stats_of(b).queued, RING_DEFAULT);
    assert_int_equal(stats_of(b).records_dropped, 18000 - RING_DEFAULT);
    lock_drop(lock);
    bench_pass(&b->loop, 1000);
    assert_int_equal(stats_of(b).queued, 0);
    assert_int_equal(records_count(b), RING_DEFAULT); /* the first ones, all of them */
}

static void no_patience(struct backend *backend, int busy_ms)
{
    (void)backend;
    assert_int_equal(busy_ms, BUSY_CLOSING_MS);
}

static void test_closed_while_locked(void **state)
{
    struct bench *b = *state;
    b->s->ops->patience(b->s->backend, 0);
    sqlite3 *lock = lock_take(b);
    struct backend_ops impatient = *b->s->ops;
    struct got g = {0};
    impatient.patience = no_patience; /* else it would wait for the lock, in real seconds */
    b->s->ops = &impatient;
    records_put(b, 0, 5);
    bench_pass(&b->loop, BATCH_WAIT_MS);
    assert_int_equal(stats_of(b).queued, 5);
    store_key_revoke(b->s, "aaaaaaaa", 1, got_word, &g);
    bench_close(b); /* the rows are counted as lost, and it goes */
    assert_int_equal(g.calls, 0);
    lock_drop(lock);
    bench_open(b);
    assert_int_equal(records_count(b), 0);
}

/* ---- no room on the disk -------------------------------------------------------------------- */

static void pages_limit(struct bench *b, int pages)
{
    char sql[64];
    (void)text_format(sql, sizeof sql, "PRAGMA max_page_count=%d", pages);
    assert_int_equal(sqlite3_exec(b->s->backend->db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static void test_disk_full(void **state)
{
    struct bench *b = *state;
    records_put(b, 0, 100);
    assert_int_equal(records_count(b), 100);
    pages_limit(b, 1); /* SQLite takes the present size then */
    for (int i = 0; i < 20; i++) {
        records_put(b, 0, 100);
        bench_pass(&b->loop, BATCH_WAIT_MS);
    }
    uint64_t written = stats_of(b).records_written;
    assert_true(written < 600); /* a last page had room */
    assert_int_equal(stats_of(b).last_error, ERR_FULL);
    assert_int_equal(stats_of(b).queued, 2100 - written);
    assert_int_equal(records_count(b), written); /* reading goes on */
    pages_limit(b, 1 << 30);
    bench_pass(&b->loop, 5000);
    assert_int_equal(stats_of(b).last_error, OK);
    assert_int_equal(stats_of(b).records_dropped, 0);
    assert_int_equal(records_count(b), 2100);
}

/* The kernel itself refuses to let any file grow. */
static void test_file_size_limit(void **state)
{
    struct bench *b = *state;
    struct rlimit was, small = {.rlim_cur = 64 * 1024};
    struct got g = {0};
    struct account_row row = account_named("work");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small.rlim_max = was.rlim_max;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    records_put(b, 0, 1000);
    store_account_add(b->s, &row, got_accounts, &g);
    bench_pass(&b->loop, 3000);
    struct store_stats st = stats_of(b);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_int_equal(g.calls, 1);
    assert_int_not_equal(g.e, OK);
    assert_true(st.failures > 0);
    assert_true(st.last_error == ERR_IO || st.last_error == ERR_FULL);
    assert_int_equal(st.queued, 1000);
    bench_pass(&b->loop, 3000);
    assert_int_equal(records_count(b), 1000);
    assert_int_equal(stats_of(b).last_error, OK);
    (void)signal(SIGXFSZ, handler);
}

/* ---- a disk whose nth operation fails ------------------------------------------------------- */

/* What a person was told is stored is on the disk, not in the kernel's memory. */
static void test_changes_are_durable(void **state)
{
    struct bench *b = *state;
    struct got g = {0};
    bench_close(b);
    disk_install();
    bench_open(b);
    records_put(b, 0, 10);
    bench_pass(&b->loop, BATCH_WAIT_MS);
    assert_true(disk.unsynced_log); /* records do not wait for the platter */
    struct account_row row = account_add(b, "work", "sk").account[0];
    assert_false(disk.unsynced_log);
    records_put(b, 0, 10);
    bench_pass(&b->loop, BATCH_WAIT_MS);
    assert_true(disk.unsynced_log); /* and did not learn to */
    row.secret = S("sk-2");
    assert_int_equal(account_update(b, &row).e, OK);
    assert_false(disk.unsynced_log);
    records_put(b, 0, 10);
    bench_pass(&b->loop, BATCH_WAIT_MS);
    assert_true(disk.unsynced_log);
    assert_int_equal(token_swap(b, row.id, 0, "access", "refresh").e, OK);
    assert_false(disk.unsynced_log);
    records_put(b, 0, 10);
    bench_pass(&b->loop, BATCH_WAIT_MS);
    assert_true(disk.unsynced_log);
    assert_int_equal(token_note(b, row.id, 1, BENCH_WALL), OK);
    assert_false(disk.unsynced_log);
    assert_int_equal(key_add(b, "aaaaaaaa", "ci"), OK);
    assert_false(disk.unsynced_log);
    store_key_revoke(b->s, "aaaaaaaa", 1, got_word, &g);
    ANSWERED(b, &g);
    assert_false(disk.unsynced_log);
    records_put(b, 0, 10);
    bench_pass(&b->loop, BATCH_WAIT_MS);
    g = (struct got){0};
    store_key_update(b->s, &(struct key_row){.id = "aaaaaaaa", .name = "x"}, got_word, &g);
    ANSWERED(b, &g);
    assert_int_equal(g.e, OK);
    assert_false(disk.unsynced_log);
    store_object_put(b->s, S("obj"), 1, BENCH_WALL);
    bench_settle(&b->loop);
    assert_false(disk.unsynced_log);
    records_put(b, 0, 10);
    bench_pass(&b->loop, BATCH_WAIT_MS);
    assert_int_equal(account_remove(b, 1), OK);
    assert_false(disk.unsynced_log);
    bench_close(b);
    disk_remove();
    bench_open(b);
}

static bool round_of_work(struct bench *b, int round, size_t *accounts)
{
    char name[32];
    (void)text_format(name, sizeof name, "account-%d", round);
    records_put(b, 0, 40);
    store_object_put(b->s, slice_of(name), round + 1, BENCH_WALL);
    struct got g = account_add(b, name, "secret");
    if (g.e == OK) {
        ++*accounts;
        assert_string_equal(g.secret[0], "secret");
    }
    bench_pass(&b->loop, 3 * RETRY_OTHER_MS);
    return g.e == OK;
}

/* Each write and sync fails once: no crash, nothing accepted is lost, nothing half done is kept. */
static void test_every_disk_operation_fails_once(void **state)
{
    struct bench *b = *state;
    size_t accounts = 0, records = 0;
    int failed = 0;
    bench_close(b);
    disk_install();
    bench_open(b);
    for (int round = 0; round < 60; round++) {
        uint64_t before = stats_of(b).failures;
        disk_fail(TROUBLE_TORN, round, false);
        (void)round_of_work(b, round, &accounts);
        records += 40;
        disk_heal();
        bench_pass(&b->loop, 2 * RETRY_OTHER_MS);
        failed += stats_of(b).failures > before;
        assert_int_equal(stats_of(b).records_dropped, 0);
        assert_int_equal(stats_of(b).queued, 0);
        assert_int_equal(records_count(b), records);
        assert_int_equal(accounts_load(b).n, accounts);
        char name[32];
        (void)text_format(name, sizeof name, "account-%d", round);
        assert_int_equal(object_get(b, name).object, round + 1);
        if (round % 10 == 9)
            bench_reopen(b);
    }
    assert_true(failed > 10);
    bench_close(b);
    disk_remove();
    bench_open(b);
    assert_int_equal(records_count(b), records);
    assert_int_equal(accounts_load(b).n, accounts);
}

/* ---- pruning -------------------------------------------------------------------------------- */

static void test_prune_by_age(void **state)
{
    struct bench *b = *state;
    struct got g = {0};
    store_set_limits(b->s, 3600000, 0);
    b->loop.wall = BENCH_WALL; /* record i is of BENCH_WALL + i */
    records_put(b, 0, 3500);
    store_prune(b->s, got_word, &g);
    ANSWERED(b, &g);
    assert_int_equal(records_count(b), 3500);
    b->loop.wall = BENCH_WALL + 3600000 + 2500;
    g = (struct got){0};
    store_prune(b->s, got_word, &g);
    ANSWERED(b, &g);
    assert_int_equal(g.e, OK);
    assert_int_equal(records_count(b), 1000);
    struct got rows = records_query(b, &(struct record_query){.limit = 1, .forward = true});
    assert_int_equal(rows.record[0].at, BENCH_WALL + 2500);
    mem_free(rows.record);
}

/* Emptied and reopened: numbers go on, so whoever follows the rows misses none. */
static void test_numbers_grow_through_pruning(void **state)
{
    struct bench *b = *state;
    struct got g = {0};
    records_put(b, 0, 50);
    store_set_limits(b->s, 1, 0);
    bench_pass(&b->loop, 60000 - 1);
    assert_int_equal(records_count(b), 50);
    store_prune(b->s, got_word, &g);
    ANSWERED(b, &g);
    assert_int_equal(records_count(b), 0);
    bench_reopen(b);
    records_put(b, 0, 1);
    struct got rows = records_query(b, &(struct record_query){.limit = 5});
    assert_int_equal(rows.n, 1);
    assert_int_equal(rows.record[0].row, 51);
    mem_free(rows.record);
}

static void test_prune_by_the_clock(void **state)
{
    struct bench *b = *state;
    store_set_limits(b->s, 900000, 0);
    records_put(b, 0, 10);
    bench_pass(&b->loop, 800000);
    records_put(b, 400000, 400010);                /* younger than the others by 400 s */
    bench_pass(&b->loop, PRUNE_EVERY_MS - 100000); /* 1300 s: the first ten are too old */
    assert_int_equal(stats_of(b).queued, 0);
    assert_int_equal(records_count(b), 10);
    bench_pass(&b->loop, PRUNE_EVERY_MS);
    assert_int_equal(records_count(b), 0);
}

/* Rows that stay among rows that go, in front of them, do not stop the pruning behind them. */
static void test_prune_past_survivors(void **state)
{
    struct bench *b = *state;
    struct got g = {0};
    struct record odd = record_make(0);
    odd.at = BENCH_WALL + INT64_C(1000000000); /* the clock was wrong for a moment */
    for (int i = 0; i < 30; i++)
        store_record(b->s, &odd);
    records_put(b, 0, 2500);
    store_set_limits(b->s, 1, 0);
    b->loop.wall += 100000;
    for (int i = 0; i < 2; i++) {
        g = (struct got){0};
        store_prune(b->s, got_word, &g);
        ANSWERED(b, &g);
    }
    assert_int_equal(records_count(b), 30);
}

static void test_prune_by_size(void **state)
{
    struct bench *b = *state;
    const int64_t max = 2 * 1024 * 1024;
    struct got g = {0}, other = {0};
    struct stat st;
    for (int i = 0; i < 10; i++) {
        records_put(b, 2000 * i, 2000 * (i + 1));
        bench_pass(&b->loop, 500);
    }
    assert_true(stats_of(b).db_bytes > 2 * max);
    store_set_limits(b->s, 0, max);
    store_prune(b->s, got_word, &g);
    store_object_get(b->s, S("none"), got_object, &other);
    while (other.calls == 0)
        assert_true(bench_step(&b->loop));
    assert_int_equal(g.calls, 0); /* in bites: others need not wait for all of it */
    ANSWERED(b, &g);
    assert_int_equal(g.e, OK);
    assert_true(stats_of(b).db_bytes <= max);
    size_t left = records_count(b);
    assert_in_range(left, 2000, 15000);
    struct got rows = records_query(b, &(struct record_query){.limit = 1});
    assert_int_equal(rows.record[0].at, BENCH_WALL + 19999); /* the newest stay */
    mem_free(rows.record);
    bench_close(b);
    assert_int_equal(stat(bench_path(b, "sluice.db"), &st), 0);
    assert_true(st.st_size <= max); /* and the disk has its room back */
    bench_open(b);
    assert_int_equal(records_count(b), left);
}

/* Rows that come fast do not grow the file without bound until the clock comes round. */
static void test_prune_starts_early(void **state)
{
    struct bench *b = *state;
    const int64_t max = 1024 * 1024;
    int64_t worst = 0;
    store_set_limits(b->s, 0, max);
    bench_pass(&b->loop, PRUNE_SOON_MS);
    for (int i = 0; i < 60; i++) {
        records_put(b, 0, 500);
        bench_pass(&b->loop, 1000);
        if (stats_of(b).db_bytes > worst)
            worst = stats_of(b).db_bytes;
    }
    assert_in_range(worst, max, 5 * max); /* ten seconds of rows over it, no more */
    assert_int_equal(stats_of(b).failures, 0);
}

/* ---- the engine's own bounds ---------------------------------------------------------------- */

static void test_objects_are_bounded(void **state)
{
    struct backend_options o = {.objects_max = 10};
    struct backend_object put = {.account_id = 1};
    struct backend_batch batch = {.objects = &put, .objects_n = 1};
    struct backend *e;
    char why[256];
    int64_t id;
    (void)state;
    assert_int_equal(backend_sqlite.open(&o, &e, why, sizeof why), OK);
    for (int i = 0; i < 50; i++) {
        (void)text_format(put.name, sizeof put.name, "object-%d", i);
        assert_int_equal(backend_sqlite.apply(e, &batch), OK);
    }
    assert_int_equal(backend_sqlite.object_get(e, S("object-39"), &id), ERR_NOTFOUND);
    assert_int_equal(backend_sqlite.object_get(e, S("object-40"), &id), OK);
    assert_int_equal(backend_sqlite.object_get(e, S("object-49"), &id), OK);
    backend_sqlite.close(e);
}

/* Foreign words in the file do not make the process grow, damaged attempts do not lose the row. */
static void test_damaged_rows(void **state)
{
    struct bench *b = *state;
    sqlite3 *db = b->s->backend->db;
    records_put(b, 0, 900);
    assert_int_equal(records_count(b), 900);
    assert_int_equal(
        sqlite3_exec(
            db,
            "UPDATE records SET ended='word '||num; UPDATE records SET tries='[[' WHERE num=1;"
            "UPDATE records SET tries='[1,[],{},null,[1,2,3,4,5]]',attempts=99 WHERE num=2;"
            "UPDATE records SET tries=NULL,route=NULL,attempts=-5 WHERE num=3;",
            NULL, NULL, NULL),
        SQLITE_OK);
    struct got g = records_query(b, &(struct record_query){.limit = 900, .forward = true});
    assert_int_equal(g.e, OK);
    assert_int_equal(g.n, 900);
    assert_string_equal(g.record[0].end, "word 1");
    assert_string_equal(g.record[0].attempt[0].reason, "");
    assert_int_equal(g.record[1].attempts, 99);
    assert_string_equal(g.record[1].attempt[4].reason, "");
    assert_int_equal(g.record[2].attempts, 0);
    assert_string_equal(g.record[2].route, "");
    assert_string_equal(g.record[899].end, "?");
    assert_int_equal(b->s->backend->words, INTERN_MAX);
    mem_free(g.record);
}

/* Several rows go with one statement. When the engine takes all but one of them nothing of the
 * batch stays, and nothing of it is seen in the next one. */
static void test_row_refused(void **state)
{
    struct bench *b = *state;
    sqlite3 *db = b->s->backend->db;
    struct record_query q = {.limit = 1000, .forward = true, .after_row = RECORDS_MANY + 1};
    records_put(b, 0, RECORDS_MANY + 1); /* what is prepared now is prepared anew then */
    bench_pass(&b->loop, BATCH_WAIT_MS);
    assert_int_equal(
        sqlite3_exec(db,
                     "CREATE TRIGGER t BEFORE INSERT ON records WHEN new.status=13 BEGIN "
                     "SELECT raise(FAIL,'no'); END",
                     NULL, NULL, NULL),
        SQLITE_OK);
    for (int bad = 0; bad < 3 * RECORDS_MANY; bad++) {
        for (int i = 0; i < 3 * RECORDS_MANY; i++) {
            struct record r = record_make(bad * 100 + i);
            if (i == bad)
                r.status = 13;
            store_record(b->s, &r);
        }
        bench_pass(&b->loop, BATCH_WAIT_MS);
        assert_int_equal(stats_of(b).records_dropped, (bad + 1) * 3 * RECORDS_MANY);
        records_put(b, bad * 10, bad * 10 + bad);
        bench_pass(&b->loop, BATCH_WAIT_MS);
    }
    assert_int_equal(stats_of(b).queued, 0);
    struct got g = records_query(b, &q);
    assert_int_equal(g.n, 3 * RECORDS_MANY * (3 * RECORDS_MANY - 1) / 2);
    size_t n = 0;
    for (int bad = 0; bad < 3 * RECORDS_MANY; bad++) {
        for (int i = 0; i < bad; i++, n++) {
            struct record r = record_make(bad * 10 + i);
            assert_int_equal(g.record[n].row, RECORDS_MANY + 2 + n);
            assert_string_equal(g.record[n].id, r.id);
            assert_int_equal(g.record[n].status, r.status);
            assert_int_equal(g.record[n].at, r.at);
        }
    }
    mem_free(g.record);
}

/* Another program wrote rows into our table: we go on after them. */
static void test_numbers_taken_by_others(void **state)
{
    struct bench *b = *state;
    sqlite3 *db = NULL;
    records_put(b, 0, 3);
    assert_int_equal(records_count(b), 3);
    assert_int_equal(sqlite3_open(bench_path(b, "sluice.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "INSERT INTO records(num) VALUES(4),(9)", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    records_put(b, 0, 3);
    bench_pass(&b->loop, 1000);
    assert_int_equal(stats_of(b).records_dropped, 0);
    struct got g = records_query(b, &(struct record_query){.limit = 1});
    assert_int_equal(g.record[0].row, 12);
    mem_free(g.record);
}

#define WITH(test)      cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)
#define IN_MEMORY(test) cmocka_unit_test_setup_teardown(test, bench_setup_memory, bench_teardown)
#define RING_8(test)    cmocka_unit_test_setup_teardown(test, setup_ring_of_8, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_MEMORY(test_batch_waits_for_company),
        IN_MEMORY(test_full_batch_leaves_at_once),
        WITH(test_batch_gives_way),
        RING_8(test_ring_full),
        RING_8(test_ring_wraps),
        IN_MEMORY(test_burst),
        IN_MEMORY(test_burst_of_long_rows),
        IN_MEMORY(test_ring_takes_turns),
        WITH(test_close_with_a_full_ring),
        WITH(test_locked),
        WITH(test_trouble_ends_without_traffic),
        WITH(test_locked_and_ring_full),
        WITH(test_closed_while_locked),
        WITH(test_disk_full),
        WITH(test_file_size_limit),
        WITH(test_changes_are_durable),
        WITH(test_every_disk_operation_fails_once),
        IN_MEMORY(test_prune_by_age),
        WITH(test_numbers_grow_through_pruning),
        IN_MEMORY(test_prune_by_the_clock),
        IN_MEMORY(test_prune_past_survivors),
        WITH(test_prune_by_size),
        WITH(test_prune_starts_early),
        cmocka_unit_test(test_objects_are_bounded),
        IN_MEMORY(test_damaged_rows),
        WITH(test_numbers_taken_by_others),
        WITH(test_row_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
