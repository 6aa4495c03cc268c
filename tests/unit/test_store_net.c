/* links: base net store */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/base.h"
#include "net/net.h"
#include "store/store.h"

#include <cmocka.h>

/* The store on the real loop, with its real thread: run under ThreadSanitizer this shows that the
 * two share nothing they should not. */

struct scene {
    struct loop *loop;
    struct store *s;
    struct store_options options;
    char dir[64];
    struct timer timer;
    int64_t target, put, began_us;
    int answers;
};

static void scene_open(struct scene *sc)
{
    char why[256];
    crypto_init();
    sc->loop = loop_new();
    (void)text_format(sc->dir, sizeof sc->dir, "/tmp/sluice-store-XXXXXX");
    assert_non_null(mkdtemp(sc->dir));
    sc->options.dir = sc->dir;
    assert_int_equal(store_open(sc->loop, &sc->options, &sc->s, why, sizeof why), OK);
}

static void scene_close(struct scene *sc)
{
    static const char *const names[] = {"sluice.db", "sluice.lock", "master.key"};
    char path[128];
    store_close(sc->s);
    loop_free(sc->loop);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)text_format(path, sizeof path, "%s/%s", sc->dir, names[i]);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(sc->dir), 0);
}

static struct record record_typical(int64_t i)
{
    struct record r = {.at = INT64_C(1790000000000) + i,
                       .route = "messages",
                       .stream = true,
                       .status = 200,
                       .end = "complete",
                       .attempts = 1,
                       .ttfb_ms = 800,
                       .duration_ms = 9000,
                       .usage_known = true,
                       .input = i,
                       .output = 500,
                       .cost_nano_usd = 123456789};
    (void)text_format(r.id, sizeof r.id, "00000000-0000-7000-8000-%012d", (int)i);
    text_copy(r.key_id, sizeof r.key_id, S("Ab3dEf9h"));
    text_copy(r.key_name, sizeof r.key_name, S("developer"));
    text_copy(r.client, sizeof r.client, S("127.0.0.1:50000"));
    text_copy(r.model_asked, sizeof r.model_asked, S("claude-model-20260101"));
    text_copy(r.model_answered, sizeof r.model_answered, S("claude-model-20260101"));
    text_copy(r.session, sizeof r.session, S("5e55107a5e55107a"));
    text_copy(r.upstream_id, sizeof r.upstream_id, S("req_011CSHoEeqs5C35K2UUqR7Fy"));
    text_copy(r.service_tier, sizeof r.service_tier, S("standard"));
    text_copy(r.stop_reason, sizeof r.stop_reason, S("end_turn"));
    text_copy(r.price_date, sizeof r.price_date, S("2026-01-01"));
    r.attempt[0] = (struct record_attempt){.account_id = 1, .status = 200, .reason = "served"};
    text_copy(r.attempt[0].account, sizeof r.attempt[0].account, S("work"));
    return r;
}

/* ---- verbs from callbacks, one after the other ---------------------------------------------- */

static void on_word(void *arg, enum err e)
{
    struct scene *sc = arg;
    assert_int_equal(e, OK);
    sc->answers++;
    loop_stop(sc->loop);
}

static void on_records(void *arg, enum err e, const struct record *rows, size_t n)
{
    struct scene *sc = arg;
    assert_int_equal(e, OK);
    assert_int_equal(n, 100);
    assert_int_equal(rows[0].row, 2000);
    assert_string_equal(rows[0].route, "messages");
    assert_string_equal(rows[0].attempt[0].reason, "served");
    sc->answers++;
    store_prune(sc->s, on_word, sc);
}

static void on_object(void *arg, enum err e, int64_t account_id)
{
    struct scene *sc = arg;
    assert_int_equal(e, OK);
    assert_int_equal(account_id, 1);
    sc->answers++;
}

static void on_account(void *arg, enum err e, const struct account_row *rows, size_t n)
{
    struct scene *sc = arg;
    assert_int_equal(e, OK);
    assert_int_equal(n, 1);
    assert_true(slice_eq(rows[0].secret, S("sk-secret")));
    sc->answers++;
    for (int i = 0; i < 2000; i++) {
        struct record r = record_typical(i);
        store_record(sc->s, &r);
        store_facts_put(sc->s, rows[0].id, i, i, "reason");
    }
    store_object_put(sc->s, S("obj"), rows[0].id, 1);
    store_object_get(sc->s, S("obj"), on_object, sc);
    store_records_query(sc->s, &(struct record_query){.limit = 100}, on_records, sc);
    assert_int_equal(sc->answers, 1);
}

static void test_verbs_on_the_real_loop(void **state)
{
    struct scene sc = {0};
    struct account_row row = {.weight = 1, .secret = S("sk-secret")};
    struct store_stats st;
    (void)state;
    scene_open(&sc);
    text_copy(row.name, sizeof row.name, S("work"));
    store_account_add(sc.s, &row, on_account, &sc);
    assert_int_equal(sc.answers, 0);
    loop_run(sc.loop);
    assert_int_equal(sc.answers, 4);
    store_stats_get(sc.s, &st);
    assert_int_equal(st.records_written, 2000);
    assert_int_equal(st.failures, 0);
    scene_close(&sc);
}

static void never_word(void *arg, enum err e)
{
    (void)arg;
    (void)e;
    fail(); /* called after store_close */
}

static void test_close_while_the_thread_works(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct scene sc = {0};
        scene_open(&sc);
        for (int k = 0; k < 1500; k++) {
            struct record r = record_typical(k);
            store_record(sc.s, &r);
        }
        store_key_revoke(sc.s, "none", 1, never_word, NULL);
        store_prune(sc.s, never_word, NULL);
        scene_close(&sc);
    }
}

/* ---- how fast ------------------------------------------------------------------------------- */

static void feed(void *arg)
{
    struct scene *sc = arg;
    struct store_stats st;
    store_stats_get(sc->s, &st);
    while (sc->put < sc->target && st.queued + 1 < 4096) {
        struct record r = record_typical(sc->put++);
        store_record(sc->s, &r);
        st.queued++;
    }
    if ((int64_t)st.records_written == sc->target)
        loop_stop(sc->loop);
    else
        timer_set(&sc->timer, loop_now(sc->loop) + 1);
}

static int64_t cpu_us(void)
{
    struct rusage u;
    assert_int_equal(getrusage(RUSAGE_SELF, &u), 0);
    return (int64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
           (int64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void test_a_hundred_thousand_records(void **state)
{
    struct scene sc = {.target = 100000};
    struct store_stats st;
    (void)state;
    scene_open(&sc);
    timer_init(&sc.timer, sc.loop, feed, &sc);
    timer_set(&sc.timer, loop_now(sc.loop));
    int64_t cpu = cpu_us();
    sc.began_us = loop_now_us(sc.loop);
    loop_run(sc.loop);
    int64_t us = loop_now_us(sc.loop) - sc.began_us;
    cpu = cpu_us() - cpu;
    store_stats_get(sc.s, &st);
    assert_int_equal(st.records_written, sc.target);
    assert_int_equal(st.records_dropped, 0);
    print_message("%d records: %d rows/s, %.2f us CPU a row (both threads), %d bytes a row\n",
                  (int)sc.target, (int)(sc.target * 1000000 / us), (double)cpu / 1e5,
                  (int)(st.db_bytes / sc.target));
    scene_close(&sc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verbs_on_the_real_loop),
        cmocka_unit_test(test_close_while_the_thread_works),
        cmocka_unit_test(test_a_hundred_thousand_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
