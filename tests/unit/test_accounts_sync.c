/* links: base http codec sim store accounts */
/* What another process has written: two sets on one store, of which one is told only by a sync. */
#include "accounts/accounts.h"
#include "simnet.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define HOUR (INT64_C(3600) * 1000)

struct bench {
    struct loop *loop;
    struct store *store;
    struct account_set *mine, *other;
    struct account_row row; /* the last one the store has told */
    struct token_row token;
    int ready, synced, failed;
};

static void on_ready(void *arg, enum err e)
{
    struct bench *b = arg;
    assert_int_equal(e, OK);
    b->ready++;
}

static void on_synced(void *arg, enum err e)
{
    struct bench *b = arg;
    b->synced++;
    b->failed += e != OK;
}

static void on_row(void *arg, enum err e, const struct account_row *rows, size_t n)
{
    struct bench *b = arg;
    assert_int_equal(e, OK);
    assert_int_equal(n, 1);
    b->row = rows[0];
    b->row.secret = S("");
    accounts_apply(b->other, &rows[0]);
}

static void on_gone(void *arg, enum err e)
{
    struct bench *b = arg;
    assert_int_equal(e, OK);
    accounts_drop(b->other, b->row.id);
}

static void on_token(void *arg, enum err e, const struct token_row *rows, size_t n)
{
    struct bench *b = arg;
    assert_int_equal(e, OK);
    assert_int_equal(n, 1);
    accounts_token_put(b->other, &rows[0]);
}

static void on_group(void *arg, enum err e, const struct group_row *rows, size_t n)
{
    struct bench *b = arg;
    assert_int_equal(e, OK);
    assert_int_equal(n, 1);
    accounts_group_apply(b->other, &rows[0]);
}

static void settle(struct bench *b)
{
    assert_true(sim_settle(b->loop));
}

static void sync(struct bench *b)
{
    int before = b->synced;
    assert_true(sim_advance(b->loop, 1000)); /* facts and windows go with the records */
    accounts_sync(b->mine, on_synced, b);
    assert_int_equal(b->synced, before); /* never inside the call */
    settle(b);
    assert_int_equal(b->synced, before + 1);
    assert_int_equal(b->failed, 0);
}

static struct account *add(struct bench *b, const char *name, const char *provider,
                           const char *secret)
{
    struct account_row row = {.weight = 1, .secret = slice_of(secret)};
    text_copy(row.name, sizeof row.name, slice_of(name));
    text_copy(row.provider, sizeof row.provider, slice_of(provider));
    if (secret[0] == '\0')
        text_copy(row.settings, sizeof row.settings, S("{\"client_id\":\"cid\"}"));
    store_account_add(b->store, &row, on_row, b);
    settle(b);
    return accounts_by_id(b->other, b->row.id);
}

static void update(struct bench *b)
{
    store_account_update(b->store, &b->row, on_row, b);
    settle(b);
}

static struct account *mine(struct bench *b)
{
    return accounts_by_id(b->mine, b->row.id);
}

static int setup(void **state)
{
    static struct bench bench;
    const struct store_options o = {.dir = NULL};
    char why[256];
    struct bench *b = &bench;
    crypto_init();
    *b = (struct bench){.loop = loop_new()};
    assert_int_equal(store_open(b->loop, &o, &b->store, why, sizeof why), OK);
    b->mine = accounts_new(b->loop, b->store, on_ready, b);
    b->other = accounts_new(b->loop, b->store, on_ready, b);
    settle(b);
    assert_int_equal(b->ready, 2);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    accounts_free(b->mine);
    accounts_free(b->other);
    store_close(b->store);
    loop_free(b->loop);
    return 0;
}

/* ---- accounts -------------------------------------------------------------------------------- */

static void comes_changes_and_goes(void **state)
{
    struct bench *b = *state;
    sync(b);
    assert_int_equal(accounts_count(b->mine), 0);
    (void)add(b, "work", "anthropic", "sk-1");
    assert_null(mine(b));
    sync(b);
    const struct account *a = mine(b);
    assert_non_null(a);
    assert_true(slice_eq(a->credential.value, S("sk-1")));
    b->row.paused = true;
    b->row.priority = 7;
    update(b);
    assert_false(a->facts.paused);
    sync(b);
    assert_ptr_equal(mine(b), a); /* where it was */
    assert_true(a->facts.paused);
    assert_int_equal(a->priority, 7);
    b->row.secret = S("sk-2");
    update(b);
    sync(b);
    assert_true(slice_eq(a->credential.value, S("sk-2")));
    store_account_remove(b->store, b->row.id, on_gone, b);
    settle(b);
    sync(b);
    assert_int_equal(accounts_count(b->mine), 0);
}

/* One that is in use lives until it is let go. */
static void goes_while_it_serves(void **state)
{
    struct bench *b = *state;
    (void)add(b, "work", "anthropic", "sk-1");
    sync(b);
    struct account *a = mine(b);
    account_hold(a);
    store_account_remove(b->store, b->row.id, on_gone, b);
    settle(b);
    sync(b);
    assert_true(a->facts.leaving);
    sync(b); /* once more is as good as once */
    account_release(b->mine, a);
    assert_int_equal(accounts_count(b->mine), 0);
}

/* What is added while the rows are on their way is not taken for gone. */
static void added_meanwhile(void **state)
{
    struct bench *b = *state;
    struct account_set *set = b->other;
    accounts_sync(set, on_synced, b);
    struct account *a = add(b, "work", "anthropic", "sk-1");
    assert_non_null(a);
    assert_int_equal(b->synced, 1);
    assert_ptr_equal(accounts_by_name(set, S("work")), a);
    assert_false(a->facts.leaving);
}

/* ---- facts and windows ----------------------------------------------------------------------- */

static void rest(struct bench *b, struct account_set *set, int64_t ms)
{
    struct account *a = accounts_by_id(set, b->row.id);
    struct limit_verdict v = {.verdict = VERDICT_NEXT, .reason = "rate_limited", .cool_ms = ms};
    accounts_learn(set, a, &v, NULL, loop_wall(b->loop));
}

static void facts_newest_wins(void **state)
{
    struct bench *b = *state;
    const struct account *theirs = add(b, "work", "anthropic", "sk-1");
    sync(b);
    const struct account *a = mine(b);
    rest(b, b->other, HOUR);
    sync(b);
    int64_t now = loop_wall(b->loop);
    assert_int_equal(a->facts.cool_until, theirs->facts.cool_until);
    assert_int_equal(account_status(&a->facts, now).state, ACCOUNT_COOLING);
    /* what is known here and was seen later stays */
    assert_true(sim_advance(b->loop, 5000));
    rest(b, b->mine, 2 * HOUR);
    int64_t until = a->facts.cool_until;
    accounts_sync(b->mine, on_synced, b);
    settle(b);
    assert_int_equal(a->facts.cool_until, until);
    /* a person says that it may serve again, to the other process */
    assert_true(sim_advance(b->loop, 5000));
    accounts_reset(b->other, accounts_by_id(b->other, b->row.id));
    sync(b);
    assert_int_equal(a->facts.cool_until, 0);
    assert_int_equal(account_status(&a->facts, loop_wall(b->loop)).state, ACCOUNT_READY);
}

/* Rows from before the clock was set back are no news for ever. */
static void facts_from_the_future(void **state)
{
    struct bench *b = *state;
    (void)add(b, "work", "anthropic", "sk-1");
    sync(b);
    rest(b, b->other, 5 * HOUR);
    assert_true(sim_advance(b->loop, 1000));
    sim_wall_step(b->loop, -3 * HOUR);
    sync(b);
    assert_int_equal(mine(b)->facts.cool_until, 0);
}

static void windows_open_again(void **state)
{
    struct bench *b = *state;
    (void)add(b, "work", "anthropic", "sk-1");
    int64_t now = loop_wall(b->loop);
    struct window_row w = {.account_id = b->row.id,
                           .name = "5h",
                           .used = 1,
                           .closed = true,
                           .started_at = now - HOUR,
                           .resets_at = now + HOUR,
                           .seen_at = now};
    store_window_put(b->store, &w);
    sync(b);
    const struct account *a = mine(b);
    assert_int_equal(account_status(&a->facts, now).state, ACCOUNT_SPENT);
    w.closed = false;
    w.used = 0.2;
    w.seen_at = now + 500;
    store_window_put(b->store, &w);
    sync(b);
    assert_int_equal(account_status(&a->facts, now).state, ACCOUNT_READY);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static void swap(struct bench *b, int64_t expect, const char *access)
{
    const struct token_row row = {.account_id = b->row.id,
                                  .expires_at = loop_wall(b->loop) + 8 * HOUR,
                                  .lifetime = 8 * HOUR,
                                  .refreshed_at = loop_wall(b->loop),
                                  .access = slice_of(access),
                                  .refresh = S("refresh")};
    store_token_swap(b->store, expect, &row, on_token, b);
    settle(b);
}

/* A token that another process has renewed is used here, and is no reason to forget a rest. */
static void token_of_a_newer_generation(void **state)
{
    struct bench *b = *state;
    (void)add(b, "max", "claude-oauth", "");
    swap(b, 0, "access-1");
    sync(b);
    const struct account *a = mine(b);
    assert_int_equal(a->generation, 1);
    assert_true(slice_eq(a->credential.value, S("Bearer access-1")));
    rest(b, b->mine, HOUR);
    int64_t until = a->facts.cool_until;
    swap(b, 1, "access-2");
    sync(b);
    assert_int_equal(a->generation, 2);
    assert_true(slice_eq(a->credential.value, S("Bearer access-2")));
    assert_true(until > 0);
    assert_int_equal(a->facts.cool_until, until);
}

/* ---- groups ---------------------------------------------------------------------------------- */

static void groups(void **state)
{
    struct bench *b = *state;
    struct group_row row = {.name = "night", .strategy = "failover"};
    store_group_put(b->store, &row, on_group, b);
    sync(b);
    assert_int_equal(accounts_group(b->mine, "night")->strategy, STRATEGY_FAILOVER);
    row.version = 1;
    text_copy(row.strategy, sizeof row.strategy, S("shuffle"));
    store_group_put(b->store, &row, on_group, b);
    sync(b);
    assert_int_equal(accounts_group(b->mine, "night")->strategy, STRATEGY_SHUFFLE);
    store_group_remove(b->store, "night", NULL, NULL);
    sync(b);
    assert_null(accounts_group(b->mine, "night"));
    assert_non_null(accounts_group(b->mine, GROUP_DEFAULT));
}

/* ---- trouble --------------------------------------------------------------------------------- */

/* Whatever fails: one answer each, and the next one brings what is missing. */
static void every_fault(void **state)
{
    struct bench *b = *state;
    (void)add(b, "max", "claude-oauth", "");
    int64_t generation = 0;
    for (uint64_t nth = 1; nth < 20; nth++) {
        char access[32];
        (void)text_format(access, sizeof access, "access-%d", (int)nth);
        swap(b, generation++, access);
        int before = b->synced;
        fault_counter = 0;
        fault_target = nth;
        accounts_sync(b->mine, on_synced, b);
        settle(b);
        fault_target = 0;
        assert_int_equal(b->synced, before + 1);
        b->failed = 0;
        sync(b);
        assert_int_equal(mine(b)->generation, generation);
    }
}

struct turns {
    struct task task;
    struct loop *loop;
    int left;
};

static void turn(void *arg)
{
    struct turns *t = arg;
    if (t->left-- > 0)
        task_post(t->loop, &t->task);
    else
        loop_stop(t->loop);
}

/* Freed at every point of the way: nobody is called, nothing is left. */
static void freed_anywhere(void **state)
{
    struct bench *b = *state;
    (void)add(b, "work", "anthropic", "sk-1");
    for (int turns = 0; turns < 12; turns++) {
        b->synced = 0;
        accounts_sync(b->mine, on_synced, b);
        accounts_sync(b->mine, on_synced, b);
        struct turns t = {.loop = b->loop, .left = turns};
        task_init(&t.task, turn, &t);
        task_post(b->loop, &t.task);
        loop_run(b->loop);
        int before = b->synced;
        accounts_free(b->mine);
        settle(b);
        assert_int_equal(b->synced, before);
        b->mine = accounts_new(b->loop, b->store, on_ready, b);
        settle(b);
    }
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(comes_changes_and_goes),
        WITH(goes_while_it_serves),
        WITH(added_meanwhile),
        WITH(facts_newest_wins),
        WITH(facts_from_the_future),
        WITH(windows_open_again),
        WITH(groups),
        WITH(token_of_a_newer_generation),
        WITH(every_fault),
        WITH(freed_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
