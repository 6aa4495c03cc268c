/* links: base netcore http codec accounts */
/* Breakers: who rests for failures, who finds out whether that is over, and origins that fail. */
#include "accounts_fake.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "accounts/inside.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define SEC      INT64_C(1000)
#define MIN      (60 * SEC)
#define HOUR     (3600 * SEC)

static const struct limit_verdict served = {.verdict = VERDICT_SERVE, .reason = "served"};
static const struct limit_verdict client = {.verdict = VERDICT_CLIENT, .reason = "client_error"};
static const struct limit_verdict failed = {
    .verdict = VERDICT_NEXT, .reason = "connect", .failure = true};
static const struct limit_verdict overloaded = {
    .verdict = VERDICT_NEXT, .reason = "overloaded", .cool_ms = 5000};
static const struct limit_verdict limited = {
    .verdict = VERDICT_NEXT, .reason = "rate_limited", .cool_ms = 20000};
static const struct limit_verdict bare = {.verdict = VERDICT_NEXT, .reason = "rate_limited"};
static const struct limit_verdict ours = {.verdict = VERDICT_NEXT, .reason = "gateway"};

static struct account_set *set;
static struct account *a, *b;

static void begin(void)
{
    struct account_row rows[2] = {fake_row(1, "a", 0, 1), fake_row(2, "b", 1, 1)};
    text_copy(rows[1].base_url, sizeof rows[1].base_url, S("https://b.test"));
    set = fake_set(rows, 2);
    a = accounts_by_id(set, 1);
    b = accounts_by_id(set, 2);
}

static void learn(const struct limit_verdict *v)
{
    accounts_learn(set, a, v, NULL, fake.wall);
}

static void ask(const struct limit_verdict *v)
{
    account_hold(a);
    learn(v);
    account_release(set, a);
}

static int64_t rest(void)
{
    return a->facts.cool_until > fake.wall ? a->facts.cool_until - fake.wall : 0;
}

static bool chosen(const struct account *who)
{
    struct account_wish w = {.model = "claude-opus-5"};
    struct account_choice c;
    accounts_choose(set, &w, fake.wall, &c);
    for (int i = 0; i < c.n; i++) {
        if (c.ready[i] == who)
            return true;
    }
    return false;
}

/* `a` rests for the first time. */
static void begin_resting(void)
{
    begin();
    for (int i = 0; i < 3; i++) {
        assert_true(chosen(a));
        ask(&failed);
    }
    assert_true(rest() >= SEC && rest() <= SEC + SEC / 4);
    assert_false(chosen(a));
}

static void begin_rested(void)
{
    begin_resting();
    fake.wall += rest();
    assert_true(chosen(a));
}

/* ---- one account ----------------------------------------------------------------------------- */

/* The n-th probe that fails doubles the rest, up to a minute. */
static void test_doubles(void **state)
{
    static const int64_t want[] = {1, 2, 4, 8, 16, 32, 48, 48, 48};
    (void)state;
    begin_resting();
    for (size_t i = 0; i < COUNT(want); i++) {
        assert_true(rest() >= want[i] * SEC && rest() <= want[i] * SEC * 5 / 4);
        assert_true(rest() <= MIN);
        assert_string_equal(a->facts.cool_reason, "connect");
        fake.wall += rest();
        ask(&failed);
    }
    fake.wall += rest();
    ask(&served); /* closes it whole: the next failure is the first */
    assert_int_equal(a->facts.failures + a->facts.cool_until + a->facts.probe_at, 0);
    assert_int_equal(fake.put_until, 0);
    ask(&failed);
    ask(&failed);
    assert_true(chosen(a));
    accounts_free(set);
}

/* Exactly one finds out; the others see it rest. */
static void test_half_open(void **state)
{
    int let_in = 0;
    (void)state;
    begin_rested();
    for (int i = 0; i < 20; i++) {
        if (!chosen(a))
            continue;
        account_hold(a);
        let_in++;
    }
    assert_int_equal(let_in, 1);
    assert_int_equal(account_status(&a->facts, fake.wall).state, ACCOUNT_COOLING);
    assert_true(account_status(&a->facts, fake.wall).until > fake.wall);
    fake.wall += 10 * SEC; /* it takes its time */
    assert_false(chosen(a));
    learn(&served);
    assert_true(chosen(a)); /* at once, with that request still under way */
    account_hold(a);
    assert_true(chosen(a));
    account_release(set, a);
    account_release(set, a);
    accounts_free(set);
}

/* The client left, nothing is known: the next one tries. */
static void test_left(void **state)
{
    (void)state;
    begin_rested();
    account_hold(a);
    assert_false(chosen(a));
    account_release(set, a);
    assert_true(chosen(a));
    account_hold(a);
    assert_false(chosen(a));
    ask(&failed);
    assert_true(rest() >= 2 * SEC);
    account_release(set, a);
    assert_false(chosen(a));
    accounts_free(set);
}

/* Streams from before the rest are still under way: their end is not the probe's. */
static void test_older(void **state)
{
    (void)state;
    begin();
    account_hold(a);
    account_hold(a);
    ask(&failed);
    ask(&failed);
    ask(&failed);
    fake.wall += rest();
    account_hold(a);
    account_release(set, a); /* one of the old ones */
    assert_false(chosen(a));
    account_release(set, a); /* the other, or the probe: it cannot be told */
    assert_false(chosen(a));
    fake.wall += ACCOUNT_PROBE_MS - 1;
    assert_false(chosen(a));
    fake.wall += 1; /* nobody is kept out for ever by one that is only slow */
    assert_true(chosen(a));
    account_hold(a);
    assert_false(chosen(a)); /* and again one at a time */
    account_release(set, a);
    account_release(set, a);
    assert_true(chosen(a));
    accounts_free(set);
}

/* A probe that fails is over, though older ones are still under way. */
static void test_older_fails(void **state)
{
    (void)state;
    begin();
    account_hold(a);
    for (int i = 0; i < 3; i++)
        ask(&failed);
    fake.wall += rest();
    ask(&failed);
    assert_true(rest() >= 2 * SEC);
    fake.wall += rest();
    assert_true(chosen(a));
    account_release(set, a);
    accounts_free(set);
}

/* Whoever comes in by another way (what it asks for is there alone) does not make the probe last.
 */
static void test_probe_ends(void **state)
{
    struct account_facts f = {.probe_at = 5000};
    (void)state;
    begin_rested();
    account_hold(a);
    fake.wall += ACCOUNT_PROBE_MS - SEC;
    account_hold(a);
    assert_false(chosen(a));
    fake.wall += SEC;
    assert_true(chosen(a));
    account_release(set, a);
    account_release(set, a);
    accounts_free(set);
    assert_true(breaker_is_probing(&f, 5000));
    assert_true(breaker_is_probing(&f, 5000 + ACCOUNT_PROBE_MS - 1));
    assert_false(breaker_is_probing(&f, 5000 + ACCOUNT_PROBE_MS));
    assert_false(breaker_is_probing(&f, 4999)); /* a clock that was set back, unnoticed yet */
}

/* Twenty fail for one reason: the server went away. That is one rest, and the first. */
static void test_storm(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 20; i++)
        account_hold(a);
    for (int i = 0; i < 10; i++)
        learn(&failed);
    int64_t until = a->facts.cool_until;
    assert_true(rest() <= SEC * 5 / 4);
    int puts = fake.puts;
    for (int i = 0; i < 5; i++)
        learn(&failed);
    fake.wall = until + SEC; /* stragglers, sent before the rest and failing behind it */
    for (int i = 0; i < 5; i++)
        learn(&failed);
    assert_int_equal(a->facts.cool_until, until);
    assert_int_equal(fake.puts, puts); /* no news, no write */
    for (int i = 0; i < 20; i++)
        account_release(set, a);
    assert_true(chosen(a));
    ask(&failed);
    assert_true(rest() >= 2 * SEC && rest() <= 2 * SEC * 5 / 4);
    accounts_free(set);
}

/* It is tried although it rests, because there is no other: that proves nothing about the time
 * after the rest, unless it is served. */
static void test_rescue(void **state)
{
    struct limit_verdict asks = {
        .verdict = VERDICT_NEXT, .reason = "server_error", .cool_ms = 20 * SEC, .failure = true};
    (void)state;
    begin_resting();
    int64_t until = a->facts.cool_until;
    for (int i = 0; i < 100; i++) {
        fake.wall += 1;
        ask(&failed);
    }
    assert_int_equal(a->facts.cool_until, until);
    assert_int_equal(a->facts.failures, 3);
    ask(&asks); /* what the server itself asks for is heard */
    assert_int_equal(rest(), 20 * SEC);
    fake.wall += rest();
    ask(&asks); /* also of a probe, whose own rest would be shorter */
    assert_int_equal(rest(), 20 * SEC);
    ask(&served);
    assert_int_equal(rest(), 0);
    assert_int_equal(a->facts.failures, 0);
    ask(&failed);
    ask(&failed);
    ask(&asks); /* and of the failure that trips it */
    assert_int_equal(rest(), 20 * SEC);
    accounts_free(set);
}

/* What a probe's answer may be, but for success and failure. */
static void test_answers(void **state)
{
    static const struct {
        const struct limit_verdict *v;
        int32_t failures;
        int64_t rest;
    } rows[] = {
        {&client, 0, 0}, {&limited, 0, 20 * SEC},
        {&bare, 0, 0},   {&overloaded, 3, 5 * SEC}, /* says nothing of this account */
        {&ours, 3, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        begin_rested();
        ask(rows[i].v);
        assert_int_equal(a->facts.failures, rows[i].failures);
        assert_int_equal(rest(), rows[i].rest);
        assert_int_equal(a->facts.probe_at, 0);
        fake.wall += rest();
        account_hold(a); /* tried again, by one, if it is not known yet */
        assert_int_equal(chosen(a), rows[i].failures == 0);
        account_release(set, a);
        accounts_free(set);
    }
}

/* Overload makes no streak, however much of it there is; and it ends none. */
static void test_overload(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 50; i++) {
        ask(&overloaded);
        assert_true(rest() <= 10 * SEC);
        assert_int_equal(a->facts.failures, 0);
        fake.wall += rest();
    }
    account_hold(a);
    assert_true(chosen(a)); /* and nobody is on trial behind it */
    account_release(set, a);
    accounts_free(set);
}

static void broken(void)
{
    static const struct limit_verdict reset = {
        .verdict = VERDICT_NEXT, .reason = "reset", .failure = true};
    struct reply_facts begun = {.status = 200};
    account_hold(a);
    learn(&served); /* when it begins */
    accounts_learn(set, a, &reset, &begun, fake.wall);
    account_release(set, a);
}

/* Replies that all break off bench, though each of them began well; a few among many do not. */
static void test_broken_off(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 3; i++) {
        broken();
        assert_int_equal(rest(), 0);
    }
    broken();
    assert_true(rest() >= SEC && rest() <= SEC * 5 / 4);
    assert_string_equal(a->facts.cool_reason, "reset");
    fake.wall += rest();
    ask(&served);
    assert_true(chosen(a));
    for (int i = 0; i < 500; i++) {
        if (i % 5 == 0)
            broken();
        else
            ask(&served);
        assert_int_equal(rest(), 0);
    }
    accounts_free(set);
    begin(); /* before their beginning was passed on: three in a row, like any failure */
    struct reply_facts r = {.status = 200};
    for (int i = 0; i < 3; i++)
        accounts_learn(set, a, &failed, &r, fake.wall);
    assert_true(rest() >= SEC);
    accounts_reset(set, a);
    assert_int_equal(a->facts.cut + a->facts.failures, 0);
    accounts_free(set);
}

/* The row of failures is not stored, the rest is: behind it one tries first. */
static void test_restart(void **state)
{
    struct account_row row = fake_row(1, "a", 0, 1);
    (void)state;
    row.cool_until = INT64_C(1795255200000) + 2 * SEC;
    row.facts_seen_at = INT64_C(1795255200000) - SEC;
    text_copy(row.cool_reason, sizeof row.cool_reason, S("timeout"));
    set = fake_set(&row, 1);
    a = accounts_at(set, 0);
    fake.wall += 2 * SEC;
    assert_true(chosen(a));
    account_hold(a);
    assert_false(chosen(a));
    learn(&failed);
    account_release(set, a);
    assert_true(rest() >= SEC && rest() <= SEC * 5 / 4);
    accounts_free(set);
    /* one that the provider ordered is simply over */
    text_copy(row.cool_reason, sizeof row.cool_reason, S("rate_limited"));
    set = fake_set(&row, 1);
    a = accounts_at(set, 0);
    fake.wall += 2 * SEC;
    account_hold(a);
    assert_true(chosen(a));
    account_release(set, a);
    accounts_free(set);
}

static void test_reset(void **state)
{
    (void)state;
    begin_rested();
    account_hold(a);
    assert_false(chosen(a));
    accounts_reset(set, a);
    assert_true(chosen(a));
    assert_int_equal(a->facts.failures, 0);
    account_release(set, a);
    accounts_free(set);
}

static void test_clock(void **state)
{
    (void)state;
    begin_rested();
    account_hold(a);
    fake.wall -= HOUR;
    fake.step -= HOUR;
    accounts_clock(set);
    assert_false(chosen(a)); /* the probe goes on */
    fake.wall += ACCOUNT_PROBE_MS;
    assert_true(chosen(a));
    account_release(set, a);
    accounts_free(set);
}

static void test_jitter(void **state)
{
    int64_t low = INT64_MAX, high = 0;
    (void)state;
    for (int64_t id = 1; id <= 400; id++) {
        int64_t ms = breaker_rest(7, INT64_C(1795255200000) + id % 7, id);
        assert_int_equal(ms, breaker_rest(7, INT64_C(1795255200000) + id % 7, id));
        low = ms < low ? ms : low;
        high = ms > high ? ms : high;
        assert_true(breaker_rest(1000, id * 12345, id) <= MIN);
        assert_int_equal(breaker_rest(2, id, id), 0);
    }
    assert_true(low >= 16 * SEC && low < 16500);
    assert_true(high > 19500 && high <= 20 * SEC);
}

/* ---- one origin ------------------------------------------------------------------------------ */

static struct account *c;

/* a and c are at one origin, b at another. */
static void begin_three(void)
{
    struct account_row rows[3] = {fake_row(1, "a", 0, 1), fake_row(2, "b", 0, 1),
                                  fake_row(3, "c", 0, 1)};
    struct account_row plain = fake_row(4, "d", 9, 1);
    text_copy(rows[0].base_url, sizeof rows[0].base_url, S("https://API.test/one"));
    text_copy(rows[1].base_url, sizeof rows[1].base_url, S("https://api.test:8443"));
    text_copy(rows[2].base_url, sizeof rows[2].base_url, S("https://api.test:443/two"));
    set = fake_set(rows, 3);
    a = accounts_by_id(set, 1);
    b = accounts_by_id(set, 2);
    c = accounts_by_id(set, 3);
    text_copy(plain.base_url, sizeof plain.base_url, S("http://api.test:443"));
    plain.paused = plain.allow_private = true;
    accounts_apply(set, &plain);
}

static void tell(struct account *who, const struct limit_verdict *v)
{
    accounts_learn(set, who, v, NULL, fake.wall);
}

static bool fails(const struct account *who)
{
    return account_origin_fails(set, who, fake.wall);
}

static void test_origin(void **state)
{
    (void)state;
    begin_three();
    assert_false(fails(a) || fails(b) || fails(c));
    tell(a, &failed);
    assert_false(fails(a)); /* one failure is nobody's */
    fake.wall += 14 * SEC;
    tell(c, &overloaded); /* two accounts within 15 s */
    assert_true(fails(a) && fails(c));
    assert_false(fails(b) || fails(accounts_by_id(set, 4)));
    fake.wall += SEC; /* the first of the two is too old */
    assert_false(fails(a));
    tell(c, &failed);
    assert_true(fails(a));
    tell(a, &limited); /* a limit says nothing, neither way */
    tell(b, &served);  /* nor does another origin */
    assert_true(fails(c));
    tell(c, &client);
    assert_false(fails(a) || fails(c));
    tell(a, &failed);
    tell(a, &failed); /* one account twice */
    assert_true(fails(c));
    tell(c, &served);
    assert_false(fails(a));
    accounts_free(set);
}

/* It is ranked behind, and still chosen when there is nothing else. */
static void test_origin_behind(void **state)
{
    struct account_wish w = {.model = "claude-opus-5"};
    struct account_choice choice;
    (void)state;
    begin_three();
    tell(a, &failed);
    tell(c, &failed);
    accounts_choose(set, &w, fake.wall, &choice);
    assert_int_equal(choice.n, 3);
    assert_ptr_equal(choice.ready[0], b);
    accounts_drop(set, 2);
    accounts_choose(set, &w, fake.wall, &choice);
    assert_int_equal(choice.n, 2);
    accounts_free(set);
}

static void test_origin_clock(void **state)
{
    (void)state;
    begin_three();
    tell(a, &failed);
    tell(c, &failed);
    fake.wall -= HOUR;
    fake.step -= HOUR;
    accounts_clock(set);
    assert_true(fails(a));
    fake.wall += 15 * SEC;
    assert_false(fails(a));
    fake.wall -= HOUR; /* unnoticed yet: never blamed by the future */
    assert_false(fails(a));
    accounts_free(set);
}

/* More origins than are remembered: the oldest trouble is forgotten, nothing else. */
static void test_origin_many(void **state)
{
    struct account_row rows[ORIGINS_MAX + 1];
    (void)state;
    for (int i = 0; i <= ORIGINS_MAX; i++) {
        char name[16];
        (void)text_format(name, sizeof name, "n%d", i);
        rows[i] = fake_row(i + 1, name, 0, 1);
        (void)text_format(rows[i].base_url, sizeof rows[i].base_url, "https://h%d.test", i);
    }
    set = fake_set(rows, ORIGINS_MAX + 1);
    for (int i = 0; i <= ORIGINS_MAX; i++) {
        fake.wall += 10;
        tell(accounts_by_id(set, i + 1), &failed);
        tell(accounts_by_id(set, i + 1), &failed);
    }
    assert_false(fails(accounts_by_id(set, 1)));
    for (int i = 1; i <= ORIGINS_MAX; i++)
        assert_true(fails(accounts_by_id(set, i + 1)));
    fake.wall += 10;
    tell(accounts_by_id(set, ORIGINS_MAX + 1), &failed); /* took the first one's place */
    tell(accounts_by_id(set, 1), &failed);
    assert_false(fails(accounts_by_id(set, 2)));
    assert_true(fails(accounts_by_id(set, ORIGINS_MAX + 1)));
    for (int i = 0; i <= ORIGINS_MAX; i++)
        tell(accounts_by_id(set, i + 1), &served);
    assert_int_equal(set->troubles, 0);
    accounts_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_doubles),       cmocka_unit_test(test_half_open),
        cmocka_unit_test(test_left),          cmocka_unit_test(test_older),
        cmocka_unit_test(test_older_fails),   cmocka_unit_test(test_probe_ends),
        cmocka_unit_test(test_storm),         cmocka_unit_test(test_rescue),
        cmocka_unit_test(test_answers),       cmocka_unit_test(test_overload),
        cmocka_unit_test(test_broken_off),    cmocka_unit_test(test_restart),
        cmocka_unit_test(test_reset),         cmocka_unit_test(test_clock),
        cmocka_unit_test(test_jitter),        cmocka_unit_test(test_origin),
        cmocka_unit_test(test_origin_behind), cmocka_unit_test(test_origin_clock),
        cmocka_unit_test(test_origin_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
