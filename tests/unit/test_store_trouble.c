/* links: base store */
/* A disk that goes wrong, stays so for a while, and is well again: each kind of trouble, begun at
 * each of the first operations. The store answers every call, keeps what it has said it keeps,
 * counts what it cannot, and needs nobody to go on when the trouble is over. */
#include "store_bench.h"
#include "store_disk.h"

#define RING   256
#define BEGINS 24 /* operations before it begins */

struct kind {
    const char *name;
    enum trouble trouble;
    enum err says[3]; /* what a write may answer; OK ends the list */
    bool reads;       /* what is stored can be read meanwhile */
    bool stalls;      /* no record gets through */
    bool lingers;     /* until the store is opened again: what was not there is remembered so */
};

static const struct kind KINDS[] = {
    {"no room", TROUBLE_FULL, {ERR_FULL}, true, true, false},
    {"read-only", TROUBLE_READ_ONLY, {ERR_IO}, true, true, false},
    {"no sync", TROUBLE_SYNC, {ERR_IO}, true, false, false},
    {"torn writes", TROUBLE_TORN, {ERR_IO}, true, true, false},
    {"locked", TROUBLE_LOCKED, {ERR_BUSY}, true, true, false},
    {"no reads", TROUBLE_READ, {ERR_IO}, false, false, false},
    {"short reads", TROUBLE_SHORT_READ, {ERR_IO, ERR_CORRUPT}, false, false, true},
};

/* The one under test, for messages. */
static const struct kind *now;
static int begins;

static bool said(enum err e)
{
    for (size_t i = 0; i < 3 && now->says[i] != OK; i++)
        if (e == now->says[i])
            return true;
    print_error("%s after %d: %s\n", now->name, begins, err_name(e));
    return false;
}

static void on_rotated(void *arg, enum err e, const struct store_rotation *r)
{
    assert_true(e == OK || r->why[0] != '\0');
    got_word(arg, e);
}

static void on_copied(void *arg, enum err e, const struct store_copy *c)
{
    assert_true(e == OK || c->why[0] != '\0');
    got_word(arg, e);
}

/* What changes something: done, or refused with a reason that fits. True when it was done. */
static bool was_done(enum err e)
{
    if (e != OK)
        assert_true(said(e));
    return e == OK;
}

struct tally {
    size_t accounts, put;
    bool swapped, keyed;
};

static void verbs_try(struct bench *b, struct tally *t)
{
    struct got g = {0};
    t->accounts += was_done(account_add(b, "second", "sk-2").e);
    t->swapped = was_done(token_swap(b, 1, 1, "access-2", "refresh-2").e);
    t->keyed = was_done(key_add(b, "aaaaaaaa", "ci"));
    store_rotate(b->s, S(""), on_rotated, &g);
    ANSWERED(b, &g);
    if (g.e != OK)
        assert_true(said(g.e));
    g = (struct got){0};
    store_prune(b->s, got_word, &g);
    ANSWERED(b, &g);
    if (g.e != OK)
        assert_true(said(g.e));
    g = (struct got){0};
    store_backup(b->s, bench_path(b, "copy"), true, on_copied, &g);
    ANSWERED(b, &g); /* it may not need the disk that is in trouble */
    (void)unlink(bench_path(b, "copy"));
    (void)unlink(bench_path(b, "copy.part"));
    if (now->reads) {
        g = accounts_load(b);
        assert_int_equal(g.e, OK);
        assert_string_equal(g.secret[0], "sk-1");
        assert_false(g.account[0].secret_unreadable);
    }
}

/* More than the ring holds. */
static void records_try(struct bench *b, struct tally *t)
{
    for (int i = 0; i < 10; i++) {
        records_put(b, 0, 60);
        t->put += 60;
        bench_pass(&b->loop, 150);
    }
}

static void tokens_right(struct bench *b, struct tally *t)
{
    struct got g = tokens_load(b);
    assert_int_equal(g.e, OK);
    assert_int_equal(g.n, 1);
    assert_false(g.token[0].unreadable);
    if (t->swapped)
        assert_int_equal(g.token[0].generation, 2);
    assert_string_equal(g.access[0], g.token[0].generation == 2 ? "access-2" : "access-1");
    assert_string_equal(g.refresh[0], g.token[0].generation == 2 ? "refresh-2" : "refresh-1");
}

static void all_right(struct bench *b, struct tally *t, size_t records)
{
    struct got g = accounts_load(b);
    assert_int_equal(g.e, OK);
    assert_in_range(g.n, t->accounts, 2);
    for (size_t i = 0; i < g.n; i++)
        assert_string_equal(g.secret[i], i == 0 ? "sk-1" : "sk-2");
    tokens_right(b, t);
    assert_true(!t->keyed || keys_load(b).n == 1);
    assert_int_equal(records_count(b), records);
}

/* The refresh that was under way is done again, as its owner does: once, and not twice. */
static void swap_again(struct bench *b, struct tally *t)
{
    if (t->swapped)
        return;
    struct got g = token_swap(b, 1, 1, "access-2", "refresh-2");
    if (g.e == ERR_CONFLICT) {
        assert_int_equal(g.token[0].generation, 2);
        assert_string_equal(g.access[0], "access-2");
    } else {
        assert_int_equal(g.e, OK);
    }
    t->swapped = true;
}

static void play(void)
{
    struct bench b = {.options.ring = RING};
    struct tally t = {.accounts = 1};
    disk_folder(&b);
    bench_open(&b);
    assert_int_equal(account_add(&b, "first", "sk-1").e, OK);
    assert_int_equal(token_swap(&b, 1, 0, "access-1", "refresh-1").e, OK);
    bench_reopen(&b); /* nothing in memory of it */
    disk_fail(now->trouble, begins, true);
    records_try(&b, &t);
    verbs_try(&b, &t);
    records_try(&b, &t);
    struct store_stats st = stats_of(&b);
    assert_int_equal(st.records_written + st.queued + st.records_dropped, t.put);
    bool met = st.failures > 0;
    if (met) {
        assert_true(st.last_error == OK || said(st.last_error));
        assert_true(st.last_error == OK || st.last_error_at >= BENCH_WALL);
    }
    disk_heal();
    bench_pass(&b.loop, 5000);
    st = stats_of(&b);
    if (now->lingers) {
        bench_close(&b); /* what waits is written, or counted */
        bench_open(&b);
        swap_again(&b, &t);
        assert_in_range(records_count(&b), st.records_written, st.records_written + st.queued);
        all_right(&b, &t, records_count(&b));
        goto out;
    }
    assert_int_equal(st.last_error, OK);
    assert_int_equal(st.queued, 0);
    assert_int_equal(st.records_written + st.records_dropped, t.put);
    if (begins == 0) {
        assert_true(met);
        assert_true(!now->stalls || st.records_dropped == t.put - RING);
    }
    swap_again(&b, &t);
    all_right(&b, &t, st.records_written);
    bench_reopen(&b);
    all_right(&b, &t, st.records_written);
    assert_int_equal(account_add(&b, "third", "sk-3").e, OK);
out:
    bench_close(&b);
    bench_sweep(&b);
}

static void test_kind(void **state)
{
    now = *state;
    for (begins = 0; begins < BEGINS; begins++)
        play();
}

/* A disk in trouble when the store is opened: no crash, a sentence, and nothing is harmed. */
static void test_opened_in_trouble(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof KINDS / sizeof KINDS[0]; k++) {
        struct bench b = {0};
        int refused = 0;
        now = &KINDS[k];
        disk_folder(&b);
        for (begins = 0; begins < BEGINS; begins++) {
            disk_fail(now->trouble, begins, true);
            enum err e = bench_try_open(&b);
            if (e != OK)
                assert_true(b.why[0] != '\0' && strchr(b.why, ':') != NULL);
            refused += e != OK;
            bench_close(&b);
            disk_heal();
        }
        assert_true(refused > 0 || now->trouble == TROUBLE_LOCKED);
        bench_open(&b);
        assert_int_equal(account_add(&b, "first", "sk-1").e, OK);
        bench_reopen(&b);
        assert_string_equal(accounts_load(&b).secret[0], "sk-1");
        bench_close(&b);
        bench_sweep(&b);
    }
}

static int install(void **state)
{
    (void)state;
    crypto_init();
    disk_install();
    return 0;
}

int main(void)
{
    struct CMUnitTest tests[sizeof KINDS / sizeof KINDS[0] + 1];
    size_t n = 0;
    for (; n < sizeof KINDS / sizeof KINDS[0]; n++) {
        tests[n] = (struct CMUnitTest)cmocka_unit_test(test_kind);
        tests[n].name = KINDS[n].name;
        tests[n].initial_state = (void *)(uintptr_t)&KINDS[n];
    }
    tests[n] = (struct CMUnitTest)cmocka_unit_test(test_opened_in_trouble);
    return cmocka_run_group_tests(tests, install, NULL);
}
