/* links: base store */
#include "store_bench.h"

#include <math.h>

#include "store/inside.h"
#include "store/sqlite.h"

/* ---- leases --------------------------------------------------------------------------------- */

static void lease_drop(struct bench *b, const char *name, const char *holder)
{
    store_lease_drop(b->s, slice_of(name), slice_of(holder));
    bench_settle(&b->loop);
}

static void test_lease(void **state)
{
    struct bench *b = *state;
    assert_int_equal(lease_take(b, "refresh/1", "A", 1000, 100), OK);
    assert_int_equal(lease_take(b, "refresh/1", "B", 1099, 100), ERR_BUSY);
    assert_int_equal(lease_take(b, "refresh/2", "B", 1099, 100), OK); /* another one */
    assert_int_equal(lease_take(b, "refresh/1", "A", 1050, 100), OK); /* extends */
    assert_int_equal(lease_take(b, "refresh/1", "B", 1149, 100), ERR_BUSY);
    assert_int_equal(lease_take(b, "refresh/1", "B", 1150, 100), OK); /* has run out */
    assert_int_equal(lease_take(b, "refresh/1", "A", 1151, 100), ERR_BUSY);
    lease_drop(b, "refresh/1", "A"); /* not A's to drop */
    assert_int_equal(lease_take(b, "refresh/1", "A", 1151, 100), ERR_BUSY);
    lease_drop(b, "refresh/1", "B");
    assert_int_equal(lease_take(b, "refresh/1", "A", 1151, 100), OK);
    lease_drop(b, "no such lease", "A");
    assert_int_equal(lease_take(b, "refresh/1", "B", 1200, 1), ERR_BUSY); /* however short */
    assert_int_equal(stats_of(b).failures, 0); /* another's lease is no trouble of the disk */
    assert_int_equal(stats_of(b).last_error, OK);
}

static void test_lease_names(void **state)
{
    struct bench *b = *state;
    char name[STORE_NAME_MAX + 1];
    struct got g = {0};
    memset(name, 'n', sizeof name);
    name[STORE_NAME_MAX] = '\0';
    assert_int_equal(lease_take(b, name, "A", 1, 10), ERR_RANGE);
    assert_int_equal(lease_take(b, "n", name, 1, 10), ERR_RANGE);
    assert_int_equal(lease_take(b, "", "A", 1, 10), ERR_RANGE);
    assert_int_equal(lease_take(b, "n", "", 1, 10), ERR_RANGE);
    lease_drop(b, "", "");
    lease_drop(b, name, "A");
    store_lease_take(b->s, (struct slice){"a\0b", 3}, S("A"), 1, 10, got_word, &g);
    ANSWERED(b, &g);
    assert_int_equal(g.e, ERR_RANGE);
    name[STORE_NAME_MAX - 1] = '\0';
    assert_int_equal(lease_take(b, name, name, 1, 10), OK);
    assert_int_equal(lease_take(b, name, "A", 1, 10), ERR_BUSY);
    assert_int_equal(stats_of(b).failures, 0);
}

/* The holder is dead and the clock has gone back an hour: nobody waits that hour. */
static void test_lease_and_a_clock_that_goes_back(void **state)
{
    struct bench *b = *state;
    int64_t now = BENCH_WALL, ttl = 30000, hour = 3600000;
    assert_int_equal(lease_take(b, "r", "dead", now, ttl), OK);
    assert_int_equal(lease_take(b, "r", "B", now - 5000, ttl), ERR_BUSY); /* a small step: wait */
    assert_int_equal(lease_take(b, "r", "B", now - ttl, ttl), ERR_BUSY);
    assert_int_equal(lease_take(b, "r", "B", now - hour, ttl), OK);
    assert_int_equal(lease_take(b, "r", "C", now - hour + ttl - 1, ttl), ERR_BUSY);
    assert_int_equal(lease_take(b, "r", "C", now - hour + ttl, ttl), OK);
    assert_int_equal(lease_take(b, "r", "D", now + hour, ttl), OK); /* forth: it looks run out */
}

/* Two connections to one file, as of two processes. */
static void test_lease_over_two_connections(void **state)
{
    struct bench *b = *state;
    struct backend *e[2];
    char why[256] = "";
    const struct backend_ops *ops = &backend_sqlite;
    char path[128];
    text_copy(path, sizeof path, slice_of(bench_path(b, "sluice.db")));
    struct backend_options o = {.path = path, .busy_ms = 0, .objects_max = 10};
    bench_close(b);
    for (int i = 0; i < 2; i++)
        assert_int_equal(ops->open(&o, &e[i], why, sizeof why), OK);
    assert_int_equal(ops->lease_take(e[0], S("r"), S("A"), 1000, 100), OK);
    assert_int_equal(ops->lease_take(e[1], S("r"), S("B"), 1000, 100), ERR_CONFLICT);
    assert_int_equal(ops->lease_take(e[0], S("r"), S("A"), 1050, 100), OK);
    assert_int_equal(ops->lease_take(e[1], S("r"), S("B"), 1120, 100), ERR_CONFLICT);
    assert_int_equal(ops->lease_take(e[1], S("r"), S("B"), 1150, 100), OK);
    assert_int_equal(ops->lease_take(e[0], S("r"), S("A"), 1150, 100), ERR_CONFLICT);
    assert_int_equal(ops->lease_drop(e[0], S("r"), S("A")), OK);
    assert_int_equal(ops->lease_take(e[0], S("r"), S("A"), 1150, 100), ERR_CONFLICT);
    assert_int_equal(ops->lease_drop(e[1], S("r"), S("B")), OK);
    assert_int_equal(ops->lease_take(e[0], S("r"), S("A"), 1150, 100), OK);
    /* While one of them writes, the other is told so and not a lie. */
    assert_int_equal(tx_begin(e[0], false), OK);
    assert_int_equal(ops->lease_take(e[1], S("r"), S("B"), 2000, 100), ERR_BUSY);
    assert_int_equal(tx_end(e[0], false, OK), OK);
    assert_int_equal(ops->lease_take(e[1], S("r"), S("B"), 2000, 100), OK);
    for (int i = 0; i < 2; i++)
        ops->close(e[i]);
}

/* ---- windows -------------------------------------------------------------------------------- */

static void test_windows(void **state)
{
    struct bench *b = *state;
    int64_t id = account_new(b, "work"), other = account_new(b, "other");
    static const struct {
        int64_t seen_at;
        double used, want;
    } rows[] = {
        {100, 0.25, 0.25},   {99, 0.9, 0.25}, /* a late reply turns nothing back */
        {100, 0.5, 0.5},                      /* of the same moment the later put */
        {101, 1.5, 1.5},     {200, -1, -1},       {150, 0.1, -1},
        {3600000, 0.2, 0.2},                      /* the wall clock is an hour ahead */
        {3540000, 0.3, 0.2},                      /* a minute late */
        {3600000, 0.2, 0.2}, {3539999, 0.4, 0.4}, /* more: it was set back in between */
        {3539999, 0.4, 0.4}, {201, -1, -1},       {201, -1, -1},
    };
    size_t ran;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        window_put(b, id, "5h", rows[i].used, rows[i].seen_at);
        if (i % 2 == 0) { /* in one batch with the next, or in one of its own */
            struct got g = windows_load(b);
            assert_int_equal(g.e, OK);
            assert_int_equal(g.n, 1);
            assert_true(g.window[0].used == rows[i].want);
        }
    }
    window_put(b, id, "7d", 0.75, 10);
    window_put(b, other, "5h", 1.25, 10);
    bench_reopen(b);
    struct got g = windows_load(b);
    assert_int_equal(g.n, 3);
    assert_string_equal(g.window[0].name, "5h");
    assert_true(g.window[0].used == -1);
    assert_int_equal(g.window[0].seen_at, 201);
    assert_int_equal(g.window[0].started_at, 196);
    assert_int_equal(g.window[0].resets_at, 208);
    assert_false(g.window[0].closed);
    assert_string_equal(g.window[1].name, "7d");
    assert_true(g.window[1].used == 0.75);
    assert_int_equal(g.window[2].account_id, other);
    assert_true(g.window[2].closed);
    /* Coalesced: however many, one batch, after the usual wait. */
    ran = b->loop.worker->ran;
    for (int i = 0; i < 1000; i++)
        window_put(b, id, i % 2 == 0 ? "5h" : "7d", (double)i / 1000, 1000 + i);
    assert_int_equal(b->s->drain.fresh.windows_n, 2);
    bench_pass(&b->loop, BATCH_WAIT_MS);
    assert_int_equal(b->loop.worker->ran, ran + 1);
    g = windows_load(b);
    assert_true(g.window[0].used == 0.998 && g.window[1].used == 0.999);
}

/* What is no number is "not told", and takes nothing else of its batch with it. */
static void test_window_odd_numbers(void **state)
{
    struct bench *b = *state;
    int64_t id = account_new(b, "work");
    window_put(b, id, "nan", (double)NAN, 1);
    window_put(b, id, "inf", (double)INFINITY, 1);
    window_put(b, id, "minus", -0.5, 1);
    window_put(b, id, "much", 1e300, 1);
    window_put(b, id, "zero", 0, 1);
    records_put(b, 0, 3);
    struct got g = windows_load(b);
    assert_int_equal(g.n, 5);
    assert_string_equal(g.window[0].name, "inf");
    assert_true(g.window[0].used == -1);
    assert_string_equal(g.window[1].name, "minus");
    assert_true(g.window[1].used == -1);
    assert_true(g.window[2].used == 1e300);
    assert_string_equal(g.window[3].name, "nan");
    assert_true(g.window[3].used == -1);
    assert_true(g.window[4].used == 0);
    assert_int_equal(records_count(b), 3);
    assert_int_equal(stats_of(b).failures, 0);
}

/* A provider that invents names fills no disk: those seen last stay. */
static void test_windows_are_bounded(void **state)
{
    struct bench *b = *state;
    int64_t id = account_new(b, "work"), other = account_new(b, "other");
    char name[32];
    window_put(b, other, "5h", 0.5, 1);
    for (int i = 0; i < 3 * STORE_WINDOWS_MAX; i++) {
        (void)text_format(name, sizeof name, "made_up_%d", i);
        window_put(b, id, name, 0.5, 1000 + i);
        if (i % 10 == 0)
            bench_pass(&b->loop, BATCH_WAIT_MS);
    }
    assert_int_equal(account_remove(b, other), OK);
    struct got g = windows_load(b);
    assert_int_equal(g.n, STORE_WINDOWS_MAX);
    for (size_t i = 0; i < g.n; i++)
        assert_true(g.window[i].seen_at >= 1000 + 2 * STORE_WINDOWS_MAX);
}

#define WITH(test)      cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)
#define IN_MEMORY(test) cmocka_unit_test_setup_teardown(test, bench_setup_memory, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_MEMORY(test_lease),
        IN_MEMORY(test_lease_names),
        IN_MEMORY(test_lease_and_a_clock_that_goes_back),
        WITH(test_lease_over_two_connections),
        WITH(test_windows),
        IN_MEMORY(test_window_odd_numbers),
        IN_MEMORY(test_windows_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
