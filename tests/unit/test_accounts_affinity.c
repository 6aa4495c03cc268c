/* links: base netcore http codec accounts */
/* The memory of conversations: what is warm where, for how long, and that it stays bounded. */
#include "accounts/inside.h"
#include "accounts_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define SEC      INT64_C(1000)
#define MIN      (60 * SEC)
#define HOUR     (60 * MIN)

static struct account_set *set;
static struct account *a, *b;

static void begin(void)
{
    struct account_row rows[] = {fake_row(1, "a", 0, 1), fake_row(2, "b", 0, 1)};
    set = fake_set(rows, COUNT(rows));
    a = accounts_by_id(set, 1);
    b = accounts_by_id(set, 2);
}

static struct account *at(uint64_t conversation)
{
    return accounts_warm_at(set, conversation, fake.wall, NULL);
}

static void test_ttl(void **state)
{
    int64_t context = -1;
    (void)state;
    begin();
    assert_null(at(7));
    accounts_warm(set, 7, a, 5 * MIN, 40000, fake.wall);
    assert_ptr_equal(accounts_warm_at(set, 7, fake.wall, &context), a);
    assert_int_equal(context, 40000);
    assert_null(at(8));
    fake.wall += 5 * MIN - 10 * SEC - 1; /* a guard of ten seconds */
    assert_ptr_equal(at(7), a);
    fake.wall += 1;
    assert_null(at(7));
    assert_int_equal(accounts_warm_count(set), 1);
    accounts_warm(set, 7, a, 5 * MIN, 41000, fake.wall); /* served anew: warm anew */
    assert_ptr_equal(at(7), a);
    accounts_warm(set, 7, b, 5 * MIN, 100, fake.wall); /* it has moved */
    assert_ptr_equal(accounts_warm_at(set, 7, fake.wall, &context), b);
    assert_int_equal(context, 100);
    assert_int_equal(accounts_warm_count(set), 1);
    accounts_free(set);
}

/* Something small on the side says nothing of the long talk; a new beginning, or another account,
 * does. */
static void test_aside(void **state)
{
    static const struct {
        int64_t after, context, known;
        bool moves;
    } rows[] = {
        {0, 40000, 40000, false},          {SEC, 9999, 40000, false},  {SEC, 10000, 10000, false},
        {SEC, 2499, 10000, false},         {SEC, 0, 10000, false},     {SEC, -3, 10000, false},
        {5 * MIN - 10 * SEC, 5, 5, false}, {SEC, 80000, 80000, false}, {SEC, 7, 7, true},
    };
    (void)state;
    begin();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct account *to = rows[i].moves ? b : a;
        int64_t context = -1;
        fake.wall += rows[i].after;
        accounts_warm(set, 7, to, 5 * MIN, rows[i].context, fake.wall);
        assert_ptr_equal(accounts_warm_at(set, 7, fake.wall, &context), to);
        assert_int_equal(context, rows[i].known);
    }
    accounts_free(set);
}

/* What was written for an hour lasts, when later replies only read it; not on another account. */
static void test_hour(void **state)
{
    (void)state;
    begin();
    accounts_warm(set, 7, a, HOUR, 1000, fake.wall);
    fake.wall += 10 * MIN;
    accounts_warm(set, 7, a, 5 * MIN, 1000, fake.wall);
    fake.wall += 20 * MIN;
    assert_ptr_equal(at(7), a);
    accounts_warm(set, 7, b, 5 * MIN, 1000, fake.wall);
    fake.wall += 5 * MIN;
    assert_null(at(7));
    accounts_free(set);
}

static void test_odd_values(void **state)
{
    int64_t context = 0;
    (void)state;
    begin();
    accounts_warm(set, 0, a, 5 * MIN, 1, fake.wall); /* no conversation */
    accounts_warm(set, 1, a, 0, 1, fake.wall);
    accounts_warm(set, 2, a, -5, 1, fake.wall);
    accounts_warm(set, 3, a, 10 * SEC, 1, fake.wall);
    assert_int_equal(accounts_warm_count(set), 0);
    assert_null(at(0));
    accounts_warm(set, 4, a, INT64_MAX, INT64_MAX, fake.wall);
    assert_ptr_equal(accounts_warm_at(set, 4, fake.wall, &context), a);
    assert_int_equal(context, UINT32_MAX);
    fake.wall += 25 * HOUR;
    assert_null(at(4));
    accounts_warm(set, UINT64_MAX, a, 5 * MIN, -3, fake.wall);
    assert_ptr_equal(accounts_warm_at(set, UINT64_MAX, fake.wall, &context), a);
    assert_int_equal(context, 0);
    accounts_free(set);
}

static void test_dropped(void **state)
{
    (void)state;
    begin();
    for (uint64_t i = 1; i <= 1000; i++)
        accounts_warm(set, i, i % 2 == 0 ? a : b, 5 * MIN, 1, fake.wall);
    account_hold(a);
    accounts_drop(set, 1); /* leaves, but a request still holds it */
    assert_int_equal(accounts_warm_count(set), 500);
    for (uint64_t i = 1; i <= 1000; i++)
        assert_ptr_equal(at(i), i % 2 == 0 ? NULL : b);
    accounts_warm(set, 2, a, 5 * MIN, 1, fake.wall); /* ... and is served there */
    assert_null(at(2));
    account_release(set, a); /* gone: nothing may point to it */
    for (uint64_t i = 1; i <= 2000; i++)
        accounts_warm(set, i, b, 5 * MIN, 1, fake.wall);
    assert_int_equal(accounts_warm_count(set), 2000);
    accounts_drop(set, 2);
    assert_int_equal(accounts_warm_count(set), 0);
    accounts_free(set);
}

/* The ones unused for longest go, whatever their time. */
static void test_bound(void **state)
{
    (void)state;
    begin();
    for (uint64_t i = 1; i <= AFFINITY_MAX; i++)
        accounts_warm(set, i, a, i == 1 ? HOUR : 30 * MIN, 1, fake.wall);
    assert_int_equal(accounts_warm_count(set), AFFINITY_MAX);
    size_t bytes = affinity_bytes(&set->affinity);
    assert_true(bytes <= (size_t)3 << 20);
    accounts_warm(set, 1, a, HOUR, 1, fake.wall); /* used: now the second one is the oldest */
    for (uint64_t i = 1; i <= 10; i++)
        accounts_warm(set, AFFINITY_MAX + i, b, 30 * MIN, 1, fake.wall);
    assert_int_equal(accounts_warm_count(set), AFFINITY_MAX);
    assert_ptr_equal(at(1), a);
    for (uint64_t i = 2; i <= 11; i++)
        assert_null(at(i));
    assert_ptr_equal(at(12), a);
    assert_ptr_equal(at(AFFINITY_MAX + 10), b);
    assert_int_equal(affinity_bytes(&set->affinity), bytes);
    accounts_free(set);
}

/* A day of conversations that come and go needs no more room than those of its five minutes. */
static void test_tidy(void **state)
{
    (void)state;
    begin();
    for (uint64_t i = 1; i <= 200000; i++) {
        fake.wall += SEC;
        accounts_warm(set, i, a, 5 * MIN, 1, fake.wall);
        assert_true(accounts_warm_count(set) <= 300);
    }
    assert_true(affinity_bytes(&set->affinity) < 64 * 1024);
    accounts_free(set);
}

static void test_clock(void **state)
{
    (void)state;
    begin();
    accounts_warm(set, 7, a, 5 * MIN, 1, fake.wall);
    fake.wall -= HOUR; /* set back: warm for as long as before */
    fake.step -= HOUR;
    assert_ptr_equal(at(7), a);
    accounts_warm(set, 8, b, 5 * MIN, 1, fake.wall);
    fake.wall += 4 * MIN;
    assert_ptr_equal(at(7), a);
    assert_ptr_equal(at(8), b);
    fake.wall += MIN;
    assert_null(at(7));
    assert_null(at(8));
    accounts_warm(set, 9, a, 5 * MIN, 1, fake.wall);
    fake.wall += HOUR; /* set forward, or slept: cold, and no harm done */
    fake.step += HOUR;
    assert_null(at(9));
    accounts_warm(set, 9, a, 5 * MIN, 1, fake.wall);
    fake.wall += 4 * MIN;
    assert_ptr_equal(at(9), a);
    accounts_free(set);
}

/* Against a plain model: random conversations, accounts, times; ten thousand steps. */
static void test_property(void **state)
{
    enum { N = 600 };
    static struct {
        struct account *account;
        int64_t until, used;
    } model[N];
    uint64_t x = 88172645463325252u;
    (void)state;
    begin();
    memset(model, 0, sizeof model);
    for (int i = 0; i < 100000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        uint64_t c = x % N, name = (c + 1) | c * 7 % 300 << 32; /* some meet in `lately` */
        int64_t ttl = x / 1000 % 3 == 0 ? HOUR : 5 * MIN;
        struct account *to = x / 4096 % 2 == 0 ? a : b;
        fake.wall += (int64_t)(x >> 33) % 2000;
        struct account *got = at(name);
        struct account *want = model[c].until > fake.wall ? model[c].account : NULL;
        assert_ptr_equal(got, want);
        if (x / 8192 % 2 == 0)
            continue;
        accounts_warm(set, name, to, ttl, 1, fake.wall);
        int64_t until = fake.wall + ttl - 10 * SEC;
        if (model[c].account != to || model[c].until < until)
            model[c].until = until;
        model[c].account = to;
    }
    assert_true(accounts_warm_count(set) > 0 && accounts_warm_count(set) <= N);
    accounts_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ttl),        cmocka_unit_test(test_aside),
        cmocka_unit_test(test_hour),       cmocka_unit_test(test_bound),
        cmocka_unit_test(test_odd_values), cmocka_unit_test(test_dropped),
        cmocka_unit_test(test_tidy),       cmocka_unit_test(test_clock),
        cmocka_unit_test(test_property),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
