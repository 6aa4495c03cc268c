/* links: base netcore */
/* How much load there is, by numbers alone. */
#include "net/core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N  LOAD_NORMAL
#define W  LOAD_WARM
#define D  LOAD_DRAIN
#define S_ LOAD_SHED
#define G  LOAD_GUARD

/* One look a row: after how long, and what it sees (tenths of a per cent; ms). */
struct row {
    int ms, memory, fds, lag;
    enum load_level level;
    const char *why;
};

static void walk(const struct row *rows, size_t n)
{
    struct load x;
    int64_t now = 1000;
    uint64_t changes = 0;
    load_init(&x);
    for (size_t i = 0; i < n; i++) {
        enum load_level was = x.level;
        struct load_numbers seen = {.memory = rows[i].memory,
                                    .memory_limit = 1000,
                                    .fds = rows[i].fds,
                                    .fds_limit = 1000,
                                    .lag_ms = rows[i].lag};
        now += rows[i].ms;
        bool changed = load_step(&x, &seen, now);
        changes += changed;
        if (x.level != rows[i].level || strcmp(x.why, rows[i].why) != 0)
            fail_msg("row %zu: %s (%s), not %s (%s)", i, load_name(x.level), x.why,
                     load_name(rows[i].level), rows[i].why);
        assert_true(changed == (was != x.level));
    }
    assert_true(x.changes == changes);
}
#define WALK(rows) walk(rows, sizeof rows / sizeof rows[0])

static void memory_raises_at_once_and_lowers_late(void **state)
{
    (void)state;
    static const struct row ROWS[] = {
        {0, 0, 0, 0, N, ""},
        {250, 849, 0, 0, N, ""},
        {250, 850, 0, 0, W, "memory"},
        {250, 919, 0, 0, W, "memory"},
        {250, 920, 0, 0, D, "memory"},
        {250, 950, 0, 0, S_, "memory"},
        {250, 980, 0, 0, G, "memory"},
        {250, 2000, 0, 0, G, "memory"},
        /* a little less is not less */
        {250, 960, 0, 0, G, "memory"},
        {60000, 951, 0, 0, G, "memory"},
        /* less for two seconds is */
        {250, 949, 0, 0, G, "memory"},
        {1999, 949, 0, 0, G, "memory"},
        {1, 949, 0, 0, S_, "memory"},
        /* less, then more: from the beginning */
        {250, 800, 0, 0, S_, "memory"},
        {1900, 940, 0, 0, S_, "memory"},
        {250, 800, 0, 0, S_, "memory"},
        {1900, 800, 0, 0, S_, "memory"},
        {100, 800, 0, 0, N, ""}, /* several at once */
        {250, 1000, 0, 0, G, "memory"},
    };
    WALK(ROWS);
}

static void turns_must_be_long_for_a_second(void **state)
{
    (void)state;
    static const struct row ROWS[] = {
        /* one of ten seconds: the process was stopped, perhaps */
        {250, 0, 0, 10000, N, ""},
        {250, 0, 0, 0, N, ""},
        {250, 0, 0, 51, N, ""},
        {999, 0, 0, 51, N, ""},
        {1, 0, 0, 51, W, "slow turns"},
        {250, 0, 0, 201, W, "slow turns"},
        {1000, 0, 0, 501, D, "slow turns"},
        {1000, 0, 0, 501, S_, "slow turns"},
        {60000, 0, 0, 5000, S_, "slow turns"}, /* never guard: to stop helps nobody */
        {250, 0, 0, 300, S_, "slow turns"},    /* more than half of it */
        {2000, 0, 0, 250, S_, "slow turns"},
        {2000, 0, 0, 250, D, "slow turns"},
        {250, 0, 0, 10, D, "slow turns"},
        {2000, 0, 0, 10, N, ""},
        /* memory has the word when it says more */
        {250, 930, 0, 60, D, "memory"},
        {1000, 930, 0, 60, D, "memory"},
    };
    WALK(ROWS);
}

static void descriptors_warm_only(void **state)
{
    (void)state;
    static const struct row ROWS[] = {
        {250, 0, 699, 0, N, ""},
        {250, 0, 700, 0, W, "descriptors"},
        {250, 0, 1000, 0, W, "descriptors"},
        {250, 0, 660, 0, W, "descriptors"},
        {9000, 0, 660, 0, W, "descriptors"},
        {250, 0, 640, 0, W, "descriptors"},
        {2000, 0, 640, 0, N, ""},
    };
    WALK(ROWS);
}

/* Nobody knows how much there is: it is no reason. */
static void unknown_limits_say_nothing(void **state)
{
    (void)state;
    struct load x;
    load_init(&x);
    struct load_numbers n = {.memory = INT64_MAX, .fds = INT64_MAX};
    assert_false(load_step(&x, &n, 5));
    assert_int_equal(x.level, N);
    n.memory_limit = INT64_MAX;
    assert_true(load_step(&x, &n, 6)); /* no overflow on the way */
    assert_int_equal(x.level, G);
}

static void times_ease_by_degrees(void **state)
{
    (void)state;
    static const struct {
        int memory, fds;
        int64_t ms;
    } ROWS[] = {{0, 0, 620000},   {840, 690, 620000}, {850, 0, 620000},   {900, 0, 311000},
                {940, 0, 63800},  {950, 0, 2000},     {1000, 1000, 2000}, {0, 700, 620000},
                {0, 825, 311000}, {0, 950, 2000},     {900, 950, 2000},   {940, 825, 63800}};
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        struct load x;
        load_init(&x);
        struct load_numbers n = {
            .memory = ROWS[i].memory, .memory_limit = 1000, .fds = ROWS[i].fds, .fds_limit = 1000};
        (void)load_step(&x, &n, 1);
        assert_int_equal(load_ease(&x, 620000, 2000), ROWS[i].ms);
        assert_int_equal(load_ease(&x, 1000, 2000), 1000); /* what is short stays */
    }
    /* by slow turns nobody's connection ends earlier */
    struct load x;
    load_init(&x);
    struct load_numbers n = {.lag_ms = 900};
    (void)load_step(&x, &n, 1);
    (void)load_step(&x, &n, 1001);
    assert_int_equal(x.level, S_);
    assert_int_equal(load_ease(&x, 620000, 2000), 620000);
}

/* ---- the loop looks -------------------------------------------------------------------------- */

struct loop {
    struct loop_core core;
    int64_t now;
    int looks, changes;
    struct load_numbers next;
};
int64_t loop_now(const struct loop *l)
{
    return l->now;
}

static void measure(struct loop_core *c, struct load_numbers *out)
{
    *out = ((struct loop *)(void *)c)->next;
}

static void on_look(void *arg, bool changed)
{
    struct loop *l = arg;
    l->looks++;
    l->changes += changed;
}

static void the_loop_looks(void **state)
{
    (void)state;
    struct loop l = {.now = 0};
    core_init(&l.core, NULL);
    l.core.measure = measure;
    assert_int_equal(loop_load(&l)->level, N);
    loop_unwatch(&l); /* nothing was begun */
    loop_watch(&l, 0, on_look, &l);
    l.next = (struct load_numbers){.memory = 900, .memory_limit = 1000};
    for (; l.now < 1000; l.now += 50)
        (void)core_fire_timers(&l.core, l.now);
    assert_int_equal(l.looks, 3);
    assert_int_equal(l.changes, 1);
    assert_int_equal(loop_load(&l)->level, W);
    loop_watch(&l, 910, on_look, &l); /* less than there is */
    for (; l.now < 2000; l.now += 50)
        (void)core_fire_timers(&l.core, l.now);
    assert_int_equal(loop_load(&l)->level, G);
    assert_int_equal(loop_load(&l)->seen.memory_limit, 910);
    loop_unwatch(&l);
    core_free(&l.core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_raises_at_once_and_lowers_late),
        cmocka_unit_test(turns_must_be_long_for_a_second),
        cmocka_unit_test(descriptors_warm_only),
        cmocka_unit_test(unknown_limits_say_nothing),
        cmocka_unit_test(times_ease_by_degrees),
        cmocka_unit_test(the_loop_looks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
