/* links: base netcore http codec accounts */
/* What choosing costs, and what the memory of conversations takes. The figures are printed; the
 * bounds are generous, for a busy machine. Nothing is bounded under a sanitizer. */
#include "accounts/inside.h"
#include "accounts_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define ACCOUNTS      64
#define CONVERSATIONS 10000
#define ROUNDS        40
#define BATCH         500
#define BOUND_NS      20000.0

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#else
#define SANITIZED false
#endif
#else
#define SANITIZED false
#endif

static double cpu_ns(void)
{
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint64_t conversation(uint64_t i)
{
    return (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static struct account_set *team(void)
{
    static const char settings[] = "{\"groups\":[\"default\",\"other\"],\"concurrency\":50,"
                                   "\"pause_at\":95,\"pause_on_overage\":true,"
                                   "\"peak_hours\":\"Mon-Fri 02:00-03:00 +08:00\"}";
    char name[16];
    struct account_set *set = fake_set(NULL, 0);
    for (int i = 0; i < ACCOUNTS; i++) {
        (void)text_format(name, sizeof name, "n%02d", i);
        struct account_row r = fake_row(i + 1, name, i % 3, 1 + i % 5);
        if (i % 2 == 0) /* some with all that a person can set, some with nothing */
            text_copy(r.settings, sizeof r.settings, slice_of(settings));
        accounts_apply(set, &r);
        struct account *a = accounts_by_id(set, i + 1);
        if (i % 3 == 0)
            continue;
        a->facts.window[WINDOW_5H] = (struct window){.known = true,
                                                     .used = 0.01 * i,
                                                     .started_at = fake.wall - 1000,
                                                     .resets_at = fake.wall + 3600000 + i * 60000,
                                                     .seen_at = fake.wall};
        a->facts.window[WINDOW_7D] = a->facts.window[WINDOW_5H];
    }
    for (uint64_t i = 0; i < CONVERSATIONS; i++)
        accounts_warm(set, conversation(i), accounts_at(set, (int)(i % ACCOUNTS)), 300000, 50000,
                      fake.wall);
    assert_int_equal(accounts_warm_count(set), CONVERSATIONS);
    return set;
}

/* The fastest batch: what it costs when nobody else has the processor. */
static double choose_ns(struct account_set *set, bool warm)
{
    static struct account_choice c;
    double best = 1e18;
    uint64_t found = 0;
    for (int r = 0; r < ROUNDS; r++) {
        double at = cpu_ns();
        for (uint64_t i = 0; i < BATCH; i++) {
            uint64_t n = ((uint64_t)r * BATCH * 7 + i * 13) % CONVERSATIONS;
            struct account_wish w = {.model = "claude-opus-5-5",
                                     .dice = i,
                                     .conversation = conversation(warm ? n : n + (1u << 30))};
            accounts_choose(set, &w, fake.wall, &c);
            found += (uint64_t)c.n;
        }
        double took = (cpu_ns() - at) / BATCH;
        best = took < best ? took : best;
    }
    assert_true(found >= (uint64_t)ROUNDS * BATCH * ACCOUNTS / 2);
    return best;
}

static void test_choosing(void **state)
{
    (void)state;
    struct account_set *set = team();
    for (int i = 0; i < STRATEGY_COUNT; i++) {
        struct group_row row = {.version = 1};
        if (i == STRATEGY_MODEL)
            continue;
        text_copy(row.name, sizeof row.name, S("default"));
        text_copy(row.strategy, sizeof row.strategy, slice_of(strategy_name((enum strategy)i)));
        accounts_group_apply(set, &row);
        double warm = choose_ns(set, true), cold = choose_ns(set, false);
        printf("choosing among %d, %-12s %5.0f ns warm, %5.0f ns cold\n", ACCOUNTS,
               strategy_name((enum strategy)i), warm, cold);
        if (!SANITIZED)
            assert_true(warm < BOUND_NS && cold < BOUND_NS);
    }
    accounts_free(set);
}

static void test_warming(void **state)
{
    enum { N = 3 * AFFINITY_MAX };
    (void)state;
    struct account_set *set = team();
    double at = cpu_ns();
    for (uint64_t i = 0; i < N; i++)
        accounts_warm(set, conversation(i), accounts_at(set, (int)(i % ACCOUNTS)), 300000, 50000,
                      fake.wall);
    double each = (cpu_ns() - at) / N;
    printf("warming: %.0f ns each, %d entries, %zu KiB\n", each, accounts_warm_count(set),
           affinity_bytes(&set->affinity) / 1024);
    assert_true(affinity_bytes(&set->affinity) <= (size_t)4 << 20);
    assert_int_equal(accounts_warm_count(set), AFFINITY_MAX);
    if (!SANITIZED)
        assert_true(each < BOUND_NS);
    accounts_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choosing),
        cmocka_unit_test(test_warming),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
