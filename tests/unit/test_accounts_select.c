/* links: base netcore http codec accounts */
/* Choosing: order, stickiness, weights, and what is told when nobody can serve. */
#include "accounts_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MIN      INT64_C(60000)

static const struct account_wish any = {.model = ""};

static const char *names_of(const struct account_choice *c)
{
    static char out[512];
    size_t n = 0;
    out[0] = '\0';
    for (int i = 0; i < c->n; i++)
        n += text_format(out + n, sizeof out - n, "%s ", c->ready[i]->name);
    return out;
}

static void test_states(void **state)
{
    struct account_row rows[] = {fake_row(1, "a", 0, 1), fake_row(2, "b", 0, 1),
                                 fake_row(3, "c", 1, 1), fake_row(4, "d", 1, 1),
                                 fake_row(5, "e", 2, 1)};
    struct account_choice c;
    (void)state;
    rows[3].paused = true;
    struct account_set *set = fake_set(rows, COUNT(rows));
    accounts_choose(set, &any, fake.wall, &c);
    assert_string_equal(names_of(&c), "a b c e ");
    assert_int_equal(c.considered, 5);
    assert_int_equal(c.paused, 1);
    assert_int_equal(c.soonest, 0);
    /* one of each */
    struct account *a = accounts_by_id(set, 1), *b = accounts_by_id(set, 2);
    a->facts.cool_until = fake.wall + 9 * MIN;
    text_copy(a->facts.cool_reason, 32, S("rate_limited"));
    b->facts.cool_until = fake.wall + 2 * MIN;
    text_copy(b->facts.cool_reason, 32, S("overloaded"));
    accounts_by_id(set, 3)->facts.login_needed = true;
    account_hold(accounts_by_id(set, 5));
    accounts_drop(set, 5);
    accounts_choose(set, &any, fake.wall, &c);
    assert_int_equal(c.n, 0);
    assert_int_equal(c.considered, 4);
    assert_int_equal(c.cooling, 2);
    assert_int_equal(c.login, 1);
    assert_int_equal(c.paused, 1);
    assert_int_equal(c.soonest, fake.wall + 2 * MIN);
    assert_int_equal(c.cooling_for, REPLY_ERROR_OVERLOADED);
    accounts_choose(set, &any, fake.wall + 2 * MIN, &c); /* time alone brings it back */
    assert_string_equal(names_of(&c), "b ");
    assert_int_equal(c.cooling_for, REPLY_ERROR_RATE_LIMIT);
    account_release(set, accounts_by_id(set, 5));
    accounts_free(set);
}

static void test_cooling_kinds(void **state)
{
    static const struct {
        const char *reason;
        enum reply_error kind;
    } rows[] = {
        {"rate_limited", REPLY_ERROR_RATE_LIMIT}, {"overloaded", REPLY_ERROR_OVERLOADED},
        {"spend_limit", REPLY_ERROR_BILLING},     {"connect", REPLY_ERROR_SERVER},
        {"server_error", REPLY_ERROR_SERVER},
    };
    struct account_row row = fake_row(1, "a", 0, 1);
    struct account_set *set = fake_set(&row, 1);
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct account_choice c;
        struct account *a = accounts_at(set, 0);
        a->facts.cool_until = fake.wall + 1;
        text_copy(a->facts.cool_reason, 32, slice_of(rows[i].reason));
        accounts_choose(set, &any, fake.wall, &c);
        assert_int_equal(c.cooling_for, rows[i].kind);
    }
    accounts_free(set);
}

/* A stale token is refreshed by whoever is sent there: it costs an account no turn. */
static void test_stale(void **state)
{
    struct account_row rows[] = {fake_row(1, "a", 0, 1), fake_row(2, "b", 1, 1)};
    struct account_choice c;
    (void)state;
    struct account_set *set = fake_set(rows, COUNT(rows));
    struct account_facts *f = &accounts_by_id(set, 1)->facts;
    f->token = TOKEN_HELD;
    f->token_refreshable = f->token_refused = true;
    accounts_choose(set, &any, fake.wall, &c);
    assert_string_equal(names_of(&c), "a b ");
    f->token_retry_at = fake.wall + 5000; /* not while a failed refresh rests */
    f->token_why = "server_error";
    accounts_choose(set, &any, fake.wall, &c);
    assert_string_equal(names_of(&c), "b ");
    assert_int_equal(c.cooling, 1);
    assert_int_equal(c.soonest, fake.wall + 5000);
    f->token_wrong = true;
    accounts_choose(set, &any, fake.wall, &c);
    assert_string_equal(names_of(&c), "b ");
    assert_int_equal(c.login, 1);
    accounts_free(set);
}

static void test_tried_and_pinned(void **state)
{
    struct account_row rows[] = {fake_row(1, "a", 0, 1), fake_row(2, "b", 0, 1),
                                 fake_row(3, "c", 1, 1)};
    int64_t tried[] = {1, 3};
    struct account_choice c;
    (void)state;
    struct account_set *set = fake_set(rows, COUNT(rows));
    struct account_wish w = {.model = "", .tried = tried, .tried_n = 2};
    accounts_choose(set, &w, fake.wall, &c);
    assert_string_equal(names_of(&c), "b ");
    assert_int_equal(c.considered, 3);
    w = (struct account_wish){.model = "", .pinned = 3, .conversation = 99};
    accounts_choose(set, &w, fake.wall, &c);
    assert_string_equal(names_of(&c), "c ");
    assert_int_equal(c.considered, 1);
    w.pinned = 44; /* its account has been removed */
    accounts_choose(set, &w, fake.wall, &c);
    assert_int_equal(c.n, 0);
    assert_int_equal(c.considered, 0);
    accounts_free(set);
}

static void test_least_loaded(void **state)
{
    struct account_row rows[] = {fake_row(1, "a", 0, 1), fake_row(2, "b", 0, 3),
                                 fake_row(3, "c", 0, 1)};
    int served[3] = {0};
    struct account_choice c;
    (void)state;
    struct account_set *set = fake_set(rows, COUNT(rows));
    for (int i = 0; i < 50; i++) { /* all of them stay in flight */
        accounts_choose(set, &any, fake.wall, &c);
        assert_int_equal(c.n, 3);
        account_hold(c.ready[0]);
        served[c.ready[0]->id - 1]++;
    }
    assert_int_equal(served[0], 10);
    assert_int_equal(served[1], 30);
    assert_int_equal(served[2], 10);
    for (int i = 0; i < 3; i++) {
        while (accounts_at(set, i)->refs > 0)
            account_release(set, accounts_at(set, i));
    }
    /* one at a time: they take turns, three for b */
    memset(served, 0, sizeof served);
    for (int i = 0; i < 50; i++) {
        accounts_choose(set, &any, fake.wall, &c);
        account_hold(c.ready[0]);
        served[c.ready[0]->id - 1]++;
        account_release(set, c.ready[0]);
    }
    assert_int_equal(served[0], 10);
    assert_int_equal(served[1], 30);
    assert_int_equal(served[2], 10);
    /* one that joins takes its turns, and does not make up for the past */
    struct account_row late = fake_row(4, "d", 0, 1);
    accounts_apply(set, &late);
    served[0] = 0;
    for (int i = 0; i < 60; i++) {
        accounts_choose(set, &any, fake.wall, &c);
        account_hold(c.ready[0]);
        served[0] += c.ready[0]->id == 4;
        account_release(set, c.ready[0]);
    }
    assert_true(served[0] >= 9 && served[0] <= 11);
    accounts_free(set);
}

static int64_t home(struct account_set *set, uint64_t conversation)
{
    struct account_choice c;
    struct account_wish w = {.model = "", .conversation = conversation};
    accounts_choose(set, &w, fake.wall, &c);
    return c.n > 0 ? c.ready[0]->id : 0;
}

static void test_sticky(void **state)
{
    struct account_row rows[] = {fake_row(1, "a", 0, 1), fake_row(2, "b", 0, 1),
                                 fake_row(3, "c", 0, 2), fake_row(4, "z", 7, 9)};
    enum { N = 20000 };
    static int64_t before[N];
    int served[5] = {0}, moved = 0, orphans = 0;
    (void)state;
    struct account_set *set = fake_set(rows, COUNT(rows));
    for (uint64_t i = 0; i < N; i++) {
        before[i] = home(set, i + 1);
        served[before[i]]++;
    }
    /* 1 : 1 : 2, within 5 %; the later priority gets nothing */
    assert_int_equal(served[4], 0);
    assert_true(abs(served[1] - N / 4) < N / 80 && abs(served[2] - N / 4) < N / 80);
    assert_true(abs(served[3] - N / 2) < N / 40);
    /* load and luck do not matter */
    account_hold(accounts_by_id(set, 1));
    accounts_by_id(set, 2)->pass = 12345;
    for (uint64_t i = 0; i < N; i++)
        assert_int_equal(home(set, i + 1), before[i]);
    account_release(set, accounts_by_id(set, 1));
    /* one account rests: its conversations move, no other does, and they come back */
    accounts_by_id(set, 1)->facts.cool_until = fake.wall + 1;
    for (uint64_t i = 0; i < N; i++) {
        int64_t now = home(set, i + 1);
        assert_true(now == before[i] || before[i] == 1);
        orphans += before[i] == 1;
        moved += now != before[i];
    }
    assert_int_equal(moved, orphans);
    fake.wall += 1;
    for (uint64_t i = 0; i < N; i++)
        assert_int_equal(home(set, i + 1), before[i]);
    accounts_free(set);
}

/* The same on every machine and in every version: the choice of these is written down. */
static void test_sticky_is_stable(void **state)
{
    struct account_row rows[] = {fake_row(1, "a", 0, 1), fake_row(2, "b", 0, 1),
                                 fake_row(3, "c", 0, 1)};
    char got[32];
    (void)state;
    struct account_set *set = fake_set(rows, COUNT(rows));
    for (int i = 0; i < 20; i++)
        got[i] = (char)('0' + home(set, (uint64_t)i * UINT64_C(0x9e3779b97f4a7c15) + 1));
    got[20] = '\0';
    assert_string_equal(got, "33122112233111111232");
    accounts_free(set);
}

static void test_full_list(void **state)
{
    struct account_choice c;
    char name[16];
    (void)state;
    struct account_set *set = fake_set(NULL, 0);
    for (int i = 0; i < 200; i++) { /* the best ones come last */
        (void)text_format(name, sizeof name, "n%03d", i);
        struct account_row r = fake_row(i + 1, name, 5, 1);
        accounts_apply(set, &r);
        accounts_at(set, i)->pass = (uint64_t)(1000 - i);
    }
    accounts_choose(set, &any, fake.wall, &c);
    assert_int_equal(c.n, ACCOUNTS_MAX);
    assert_int_equal(c.considered, 200);
    for (int i = 0; i < c.n; i++)
        assert_int_equal(c.ready[i]->id, 200 - i);
    accounts_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states),           cmocka_unit_test(test_cooling_kinds),
        cmocka_unit_test(test_tried_and_pinned), cmocka_unit_test(test_least_loaded),
        cmocka_unit_test(test_sticky),           cmocka_unit_test(test_sticky_is_stable),
        cmocka_unit_test(test_full_list),        cmocka_unit_test(test_stale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
