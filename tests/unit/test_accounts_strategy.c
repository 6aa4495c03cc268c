/* links: base netcore http codec accounts */
/* Choosing within groups: the strategies, warm conversations, what is worth a wait, rescues, and
 * the reasons that are told for all of it. */
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
static struct account_choice c;

static struct account *acc(int64_t id)
{
    return accounts_by_id(set, id);
}

static struct account_row row_with(int64_t id, const char *name, int32_t priority, int32_t weight,
                                   const char *settings)
{
    struct account_row r = fake_row(id, name, priority, weight);
    text_copy(r.settings, sizeof r.settings, slice_of(settings));
    return r;
}

static void group(const char *name, const char *strategy, const char *settings)
{
    struct group_row r = {.version = 1};
    text_copy(r.name, sizeof r.name, slice_of(name));
    text_copy(r.strategy, sizeof r.strategy, slice_of(strategy));
    text_copy(r.settings, sizeof r.settings, slice_of(settings));
    accounts_group_apply(set, &r);
    assert_non_null(accounts_group(set, name));
}

/* "name:why name:why " */
static const char *chosen(const struct account_wish *w)
{
    static char out[2048];
    size_t n = 0;
    accounts_choose(set, w, fake.wall, &c);
    out[0] = '\0';
    for (int i = 0; i < c.n; i++)
        n += text_format(out + n, sizeof out - n, "%s:%s ", c.ready[i]->name, why_name(c.why[i]));
    return out;
}

static const char *explained(const struct account_wish *w)
{
    static char out[4096];
    struct account_explained e[ACCOUNTS_MAX];
    size_t n = 0;
    int all = accounts_explain(set, w, fake.wall, e);
    out[0] = '\0';
    for (int i = 0; i < all; i++)
        n += text_format(out + n, sizeof out - n, "%s:%s:%s ", e[i].account->name,
                         why_name(e[i].why), account_state_name(e[i].status.state));
    return out;
}

static void rest(int64_t id, const char *reason, int64_t ms)
{
    struct account_facts *f = &acc(id)->facts;
    f->cool_until = fake.wall + ms;
    text_copy(f->cool_reason, sizeof f->cool_reason, slice_of(reason));
}

static void window(int64_t id, enum window_kind k, double used, int64_t resets_in)
{
    acc(id)->facts.window[k] = (struct window){.known = true,
                                               .used = used,
                                               .started_at = fake.wall - 1,
                                               .resets_at = fake.wall + resets_in,
                                               .seen_at = fake.wall};
}

static void begin(const char *strategy)
{
    struct account_row rows[] = {fake_row(1, "a", 0, 1), fake_row(2, "b", 0, 1),
                                 fake_row(3, "c", 0, 2), fake_row(4, "z", 5, 1)};
    set = fake_set(rows, COUNT(rows));
    group(GROUP_DEFAULT, strategy, "");
}

/* ---- each strategy --------------------------------------------------------------------------- */

static void test_session(void **state)
{
    struct account_wish w = {.model = "", .conversation = 99};
    (void)state;
    begin("session");
    const int64_t cold = (accounts_choose(set, &w, fake.wall, &c), c.ready[0]->id);
    /* whose window is open and ends soonest, for every conversation */
    window(1, WINDOW_5H, 0.5, 3 * HOUR);
    window(2, WINDOW_5H, 0.9, 2 * HOUR);
    window(4, WINDOW_5H, 0.9, HOUR); /* of another priority */
    for (w.conversation = 1; w.conversation < 200; w.conversation++)
        assert_string_equal(chosen(&w), "b:strategy a:behind c:behind z:priority ");
    w.conversation = 0; /* none: spread, also over the others */
    assert_string_equal(chosen(&w), "a:strategy b:behind c:behind z:priority ");
    account_hold(acc(1));
    assert_string_equal(chosen(&w), "b:strategy c:behind a:behind z:priority ");
    account_release(set, acc(1));
    /* closed, past, not begun, longer than such a window can be: no window to finish */
    w.conversation = 99;
    acc(2)->facts.window[WINDOW_5H].closed = true;
    acc(1)->facts.window[WINDOW_5H].started_at = 0;
    accounts_choose(set, &w, fake.wall, &c);
    assert_true(c.n == 3 && (c.ready[0]->id == cold || cold == 2));
    window(1, WINDOW_5H, 0.5, 6 * HOUR);
    window(2, WINDOW_5H, 0.5, -SEC);
    accounts_choose(set, &w, fake.wall, &c);
    assert_int_equal(c.ready[0]->id, cold);
    accounts_free(set);
}

static void test_least_used(void **state)
{
    struct account_wish w = {.model = "claude-opus-5", .conversation = 5};
    (void)state;
    begin("least-used");
    window(1, WINDOW_5H, 0.30, HOUR);
    window(2, WINDOW_5H, 0.10, HOUR);
    window(2, WINDOW_7D, 0.40, HOUR);
    window(3, WINDOW_5H, 0.35, HOUR);
    assert_string_equal(chosen(&w), "a:strategy c:behind b:behind z:priority ");
    window(1, WINDOW_7D_MODEL, 0.80, HOUR); /* of another family: no matter */
    text_copy(acc(1)->facts.window[WINDOW_7D_MODEL].family, WINDOW_FAMILY_MAX, S("sonnet"));
    assert_string_equal(chosen(&w), "a:strategy c:behind b:behind z:priority ");
    w.model = "claude-sonnet-5";
    assert_string_equal(chosen(&w), "c:strategy b:behind a:behind z:priority ");
    window(3, WINDOW_5H, 0.99, -1); /* its reset has passed: empty */
    window(2, WINDOW_5H, 0, HOUR);
    window(2, WINDOW_7D, 0, HOUR);
    acc(3)->served = 4; /* equals: who has served less, requests in flight counted */
    acc(2)->served = 3;
    assert_string_equal(chosen(&w), "b:strategy c:behind a:behind z:priority ");
    for (int i = 0; i < 2; i++)
        account_hold(acc(2));
    assert_string_equal(chosen(&w), "c:strategy b:behind a:behind z:priority ");
    for (int i = 0; i < 2; i++)
        account_release(set, acc(2));
    window(3, WINDOW_OVERAGE, 0.9, HOUR); /* what is paid besides is no limit */
    window(2, WINDOW_OUTPUT, 0.5, MIN);
    assert_string_equal(chosen(&w), "c:strategy b:behind a:behind z:priority ");
    accounts_free(set);
}

static void serve(const struct account_wish *w, char *log)
{
    size_t n = strlen(log);
    accounts_choose(set, w, fake.wall, &c);
    assert_true(c.n > 0);
    account_hold(c.ready[0]);
    log[n] = c.ready[0]->name[0];
    log[n + 1] = '\0';
    account_release(set, c.ready[0]);
}

static void test_round_robin(void **state)
{
    struct account_wish w = {.model = ""};
    char log[64] = "";
    (void)state;
    begin("round-robin");
    for (int i = 0; i < 7; i++) {
        w.conversation = (uint64_t)i / 2 + 1;
        serve(&w, log);
        accounts_warm(set, w.conversation, c.ready[0], 5 * MIN, 50000, fake.wall);
    }
    assert_string_equal(log, "abcabca"); /* no weights, and nothing sticks */
    rest(2, "rate_limited", MIN);
    for (int i = 0; i < 4; i++)
        serve(&w, log);
    assert_string_equal(log + 7, "caca");
    fake.wall += MIN; /* it has waited longest; it does not make up for it */
    for (int i = 0; i < 6; i++)
        serve(&w, log);
    assert_string_equal(log + 11, "bcabca");
    accounts_free(set);
}

static void test_weighted(void **state)
{
    struct account_wish w = {.model = "", .conversation = 0};
    char log[64] = "";
    (void)state;
    begin("weighted");
    for (int i = 0; i < 12; i++) {
        w.conversation = (uint64_t)i + 1;
        serve(&w, log);
    }
    /* smooth: c has half of them, and never two in a row more often than needed */
    assert_string_equal(log, "abccabccabcc");
    accounts_free(set);
}

/* Two groups share an account, and one of them is far busier: the shares hold in both. */
static void test_weighted_groups(void **state)
{
    struct account_row rows[] = {
        row_with(1, "a", 0, 1, "{\"groups\":[\"x\"]}"),
        row_with(2, "b", 0, 4, "{\"groups\":[\"x\"]}"),
        row_with(3, "c", 0, 1, "{\"groups\":[\"y\"]}"),
        row_with(4, "d", 0, 3, "{\"groups\":[\"y\"]}"),
        row_with(5, "e", 0, 2, "{\"groups\":[\"x\",\"y\"]}"),
    };
    int got[2][6] = {{0}};
    (void)state;
    set = fake_set(rows, COUNT(rows));
    group("x", "weighted", "{\"affinity\":false}");
    group("y", "weighted", "{\"affinity\":false}");
    accounts_by_id(set, 5)->facts.paused = true; /* first the two alone */
    for (int i = 0; i < 11000; i++) {
        struct account_wish w = {.group = i % 11 == 10 ? "y" : "x", .model = ""};
        char log[2] = "";
        serve(&w, log);
        got[i % 11 == 10][c.ready[0]->id]++;
    }
    assert_int_equal(got[0][1] + got[0][2], 10000);
    assert_true(abs(got[0][1] - 2000) <= 2);
    assert_true(abs(got[1][3] - 250) <= 2 && abs(got[1][4] - 750) <= 2);
    /* with the shared one nobody starves */
    memset(got, 0, sizeof got);
    accounts_by_id(set, 5)->facts.paused = false;
    for (int i = 0; i < 11000; i++) {
        struct account_wish w = {.group = i % 2 == 0 ? "y" : "x", .model = ""};
        char log[2] = "";
        serve(&w, log);
        got[0][c.ready[0]->id]++;
    }
    for (int i = 1; i <= 5; i++)
        assert_true(got[0][i] > 500);
    accounts_free(set);
}

static void test_shuffle(void **state)
{
    int got[5] = {0}, second[5] = {0};
    (void)state;
    begin("shuffle");
    enum { N = 40000 };
    for (uint64_t i = 1; i <= N; i++) {
        struct account_wish w = {.model = "", .dice = i, .conversation = 7};
        accounts_choose(set, &w, fake.wall, &c);
        got[c.ready[0]->id]++;
        second[c.ready[1]->id]++;
    }
    assert_true(abs(got[1] - N / 4) < N / 80 && abs(got[2] - N / 4) < N / 80);
    assert_true(abs(got[3] - N / 2) < N / 40);
    assert_int_equal(got[4], 0);
    assert_true(second[1] > N / 5 && second[2] > N / 5 && second[3] > N / 5 && second[4] == 0);
    /* without dice: other ones with each request */
    memset(got, 0, sizeof got);
    for (int i = 0; i < 100; i++) {
        struct account_wish w = {.model = ""};
        char log[2] = "";
        serve(&w, log);
        got[c.ready[0]->id]++;
    }
    assert_true(got[1] > 5 && got[2] > 5 && got[3] > 5);
    accounts_free(set);
}

static void test_failover(void **state)
{
    struct account_wish w = {.model = ""};
    (void)state;
    begin("failover");
    for (w.conversation = 0; w.conversation < 50; w.conversation++) {
        assert_string_equal(chosen(&w), "a:strategy b:behind c:behind z:priority ");
        account_hold(acc(1));
    }
    rest(1, "rate_limited", MIN);
    assert_string_equal(chosen(&w), "b:strategy c:behind z:priority ");
    rest(2, "rate_limited", MIN);
    rest(3, "rate_limited", MIN);
    assert_string_equal(chosen(&w), "z:only ");
    fake.wall += MIN; /* what begins cold goes back by itself */
    assert_string_equal(chosen(&w), "a:strategy b:behind c:behind z:priority ");
    while (acc(1)->refs > 0)
        account_release(set, acc(1));
    accounts_free(set);
}

static void test_least_loaded(void **state)
{
    struct account_wish w = {.model = "", .conversation = 3};
    int got[5] = {0};
    (void)state;
    begin("least-loaded");
    for (int i = 0; i < 40; i++) {
        accounts_choose(set, &w, fake.wall, &c);
        account_hold(c.ready[0]);
        got[c.ready[0]->id]++;
    }
    assert_true(got[1] == 10 && got[2] == 10 && got[3] == 20 && got[4] == 0);
    for (int id = 1; id <= 3; id++) {
        while (acc(id)->refs > 0)
            account_release(set, acc(id));
    }
    accounts_free(set);
}

/* ---- groups ---------------------------------------------------------------------------------- */

static void test_groups(void **state)
{
    struct account_row rows[] = {
        fake_row(1, "plain", 0, 1), row_with(2, "gold", 0, 1, "{\"groups\":[\"premium\"]}"),
        row_with(3, "both", 1, 1, "{\"groups\":[\"default\",\"premium\"]}"),
        row_with(4, "lost", 0, 1, "{\"groups\":[\"nowhere\"]}")};
    struct account_wish w = {.model = ""};
    (void)state;
    set = fake_set(rows, COUNT(rows));
    group("premium", "failover", "");
    assert_string_equal(chosen(&w), "plain:strategy both:priority ");
    assert_string_equal(c.group, "default");
    assert_int_equal(c.considered, 2);
    w.group = "";
    assert_string_equal(chosen(&w), "plain:strategy both:priority ");
    w.group = "premium";
    assert_string_equal(chosen(&w), "gold:strategy both:priority ");
    assert_string_equal(c.group, "premium");
    assert_string_equal(explained(&w), "gold:strategy:ready both:priority:ready "
                                       "lost:group:ready plain:group:ready ");
    rest(2, "rate_limited", MIN); /* nobody takes another group's accounts */
    acc(3)->facts.paused = true;
    assert_string_equal(chosen(&w), "");
    assert_int_equal(c.considered, 2);
    assert_int_equal(c.soonest, fake.wall + MIN);
    assert_int_equal(c.paused, 1);
    w.group = "nowhere"; /* an account names it, but there is none */
    assert_string_equal(chosen(&w), "");
    assert_int_equal(c.considered, 0);
    assert_int_equal(c.soonest, 0);
    assert_string_equal(c.group, "nowhere");
    group("nowhere", "session", "");
    assert_string_equal(chosen(&w), "lost:only ");
    accounts_group_drop(set, "nowhere");
    assert_string_equal(chosen(&w), "");
    w.pinned = 4; /* what it holds it holds, whatever its group */
    assert_string_equal(chosen(&w), "lost:pinned ");
    assert_string_equal(explained(&w), "lost:pinned:ready ");
    assert_int_equal(c.considered, 1);
    accounts_free(set);
}

static void test_routes(void **state)
{
    static const struct {
        const char *group, *model, *got, *last;
    } rows[] = {
        {"m", "claude-opus-5", "o:only ", "opus"},
        {"m", "claude-opus-5-mini", "s:only ", "small"}, /* the longest */
        {"m", "claude-sonnet-5", "d:only ", "default"},
        {"m", "other-5", "", "m"}, /* no route */
        {"m", "", "", "m"},
        {"m", "claude", "d:only ", "default"},
        {"n", "claude-opus-5", "o:only ", "opus"}, /* through two */
        {"n", "other-5", "s:only ", "small"},
        {"n", "", "s:only ", "small"},
        {"circle", "x", "", NULL},
        {"gone", "x", "", "missing"},
    };
    struct account_row accounts[] = {row_with(1, "d", 0, 1, ""),
                                     row_with(2, "o", 0, 1, "{\"groups\":[\"opus\",\"m\"]}"),
                                     row_with(3, "s", 0, 1, "{\"groups\":[\"small\",\"n\"]}")};
    (void)state;
    set = fake_set(accounts, COUNT(accounts));
    group("opus", "session", "");
    group("small", "shuffle", "");
    group("m", "model",
          "{\"routes\":{\"claude\":\"default\",\"claude-opus-5-mini\":\"small\","
          "\"claude-opus\":\"opus\"}}");
    group("n", "model", "{\"routes\":{\"\":\"small\",\"claude-\":\"m\"}}");
    group("circle", "model", "{\"routes\":{\"\":\"circle2\"}}");
    group("circle2", "model", "{\"routes\":{\"\":\"circle\"}}");
    group("gone", "model", "{\"routes\":{\"\":\"missing\"}}");
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct account_wish w = {.group = rows[i].group, .model = rows[i].model};
        if (strcmp(chosen(&w), rows[i].got) != 0)
            fail_msg("%s of %s: %s", rows[i].model, rows[i].group, chosen(&w));
        if (rows[i].last != NULL)
            assert_string_equal(c.group, rows[i].last);
    }
    accounts_free(set);
}

/* Whom a key that is bound to a group can lead to, by whatever model. */
static void test_reach(void **state)
{
    static const struct {
        const char *group, *to; /* names of accounts */
    } rows[] = {{"", "d"},    {"default", "d"}, {"opus", "o"}, {"m", "do"},
                {"n", "dos"}, {"circle", "s"},  {"gone", ""},  {"missing", ""}};
    struct account_row accounts[] = {row_with(1, "d", 0, 1, ""),
                                     row_with(2, "o", 0, 1, "{\"groups\":[\"opus\",\"x\"]}"),
                                     row_with(3, "s", 0, 1, "{\"groups\":[\"small\",\"n\"]}"),
                                     row_with(4, "m", 0, 1, "{\"groups\":[\"m\"]}")};
    (void)state;
    set = fake_set(accounts, COUNT(accounts));
    group("opus", "session", "");
    group("small", "shuffle", "");
    group("m", "model", "{\"routes\":{\"claude\":\"default\",\"claude-opus\":\"opus\"}}");
    group("n", "model", "{\"routes\":{\"\":\"small\",\"claude-\":\"m\"}}");
    group("circle", "model", "{\"routes\":{\"\":\"circle2\"}}");
    group("circle2", "model", "{\"routes\":{\"a\":\"circle\",\"b\":\"small\"}}");
    group("gone", "model", "{\"routes\":{\"\":\"missing\"}}");
    for (size_t i = 0; i < COUNT(rows); i++) {
        for (int64_t id = 1; id <= 4; id++) {
            const struct account *a = acc(id);
            bool is = strchr(rows[i].to, a->name[0]) != NULL;
            if (accounts_group_reaches(set, rows[i].group, a) != is)
                fail_msg("%s to %s", rows[i].group, a->name);
        }
    }
    for (int i = 0; i < 200; i++) { /* each leads to the next: there is an end to that */
        char name[16], settings[64];
        text_format(name, sizeof name, "g%d", i);
        text_format(settings, sizeof settings, "{\"routes\":{\"\":\"g%d\"}}", i + 1);
        group(name, "model", settings);
    }
    assert_false(accounts_group_reaches(set, "g0", acc(1)));
    accounts_free(set);
}

/* ---- warm conversations ---------------------------------------------------------------------- */

static void test_warm(void **state)
{
    struct account_wish w = {.model = "", .conversation = 42};
    int64_t tried = 4;
    (void)state;
    begin("failover");
    accounts_warm(set, 42, acc(4), 5 * MIN, 50000, fake.wall);
    assert_string_equal(chosen(&w), "z:warm a:behind b:behind c:behind ");
    assert_string_equal(explained(&w), "z:warm:ready a:behind:ready b:behind:ready "
                                       "c:behind:ready ");
    w.conversation = 43; /* another one begins where it is best */
    assert_string_equal(chosen(&w), "a:strategy b:behind c:behind z:priority ");
    w.conversation = 42;
    w.tried = &tried; /* it has just failed: move */
    w.tried_n = 1;
    assert_string_equal(chosen(&w), "a:strategy b:behind c:behind ");
    w.tried_n = 0;
    rest(4, "connect", MIN);
    assert_string_equal(chosen(&w), "a:strategy b:behind c:behind ");
    assert_null(c.worth_waiting);
    fake.wall += 2 * MIN; /* back, and still warm */
    assert_string_equal(chosen(&w), "z:warm a:behind b:behind c:behind ");
    group(GROUP_DEFAULT, "failover", "{\"affinity\":false}");
    assert_string_equal(chosen(&w), "a:strategy b:behind c:behind z:priority ");
    group(GROUP_DEFAULT, "failover", "");
    w.pinned = 2; /* what is pinned is not asked where it is warm */
    assert_string_equal(chosen(&w), "b:pinned ");
    w.pinned = 0;
    fake.wall += 3 * MIN; /* cold: the better priority has it again */
    assert_string_equal(chosen(&w), "a:strategy b:behind c:behind z:priority ");
    accounts_free(set);
}

static void test_warm_in_other_group(void **state)
{
    struct account_row rows[] = {row_with(1, "a", 0, 1, ""),
                                 row_with(2, "b", 0, 1, "{\"groups\":[\"x\"]}")};
    struct account_wish w = {.model = "", .conversation = 42, .parent = 43};
    (void)state;
    set = fake_set(rows, COUNT(rows));
    accounts_warm(set, 42, acc(2), 5 * MIN, 50000, fake.wall);
    accounts_warm(set, 43, acc(2), 5 * MIN, 50000, fake.wall);
    acc(2)->facts.policy.concurrency = acc(2)->facts.in_flight = 1;
    assert_string_equal(chosen(&w), "a:only ");
    assert_null(c.worth_waiting);
    assert_int_equal(c.full, 0);
    acc(2)->facts.in_flight = 0;
    accounts_free(set);
}

static void test_parent(void **state)
{
    struct account_wish w = {.model = "", .conversation = 100, .parent = 42};
    (void)state;
    begin("failover");
    accounts_warm(set, 42, acc(3), 5 * MIN, 50000, fake.wall);
    assert_string_equal(chosen(&w), "c:parent a:behind b:behind z:priority ");
    accounts_warm(set, 100, acc(2), 5 * MIN, 50000, fake.wall); /* has its own by now */
    assert_string_equal(chosen(&w), "b:warm a:behind c:behind z:priority ");
    w.conversation = 101;
    acc(3)->facts.policy.concurrency = 1;
    account_hold(acc(3)); /* no reason to wait */
    assert_string_equal(chosen(&w), "a:strategy b:behind z:priority ");
    assert_null(c.worth_waiting);
    assert_int_equal(c.full, 1);
    account_release(set, acc(3));
    accounts_free(set);
}

static void test_worth_waiting(void **state)
{
    static const struct {
        int64_t context;
        bool full;
        const char *reason;
        int64_t rests, until; /* until 0: not worth it */
    } rows[] = {
        {20001, true, NULL, 0, 15 * SEC},
        {20000, true, NULL, 0, 0},
        {50000, false, "rate_limited", 5000, 5 * SEC},
        {50000, false, "rate_limited", 15000, 15 * SEC},
        {50000, false, "rate_limited", 15001, 0},
        {20000, false, "rate_limited", 5000, 0},
        {50000, false, "connect", 5000, 0},
        {50000, false, "overloaded", 5000, 0},
        {50000, true, "connect", 5000, 0}, /* it rests, and is full besides */
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct account_wish w = {.model = "", .conversation = 42};
        int64_t tried = 3;
        begin("session");
        accounts_warm(set, 42, acc(3), 5 * MIN, rows[i].context, fake.wall);
        acc(3)->facts.policy.concurrency = rows[i].full ? 1 : 0;
        account_hold(acc(3));
        if (rows[i].reason != NULL)
            rest(3, rows[i].reason, rows[i].rests);
        for (int k = 0; k < 2; k++) { /* also when it was this request that was refused there */
            (void)chosen(&w);
            assert_int_equal(c.n, 3);
            assert_ptr_equal(c.worth_waiting, rows[i].until != 0 ? acc(3) : NULL);
            assert_int_equal(c.worth_until, rows[i].until == 0 ? 0 : fake.wall + rows[i].until);
            w.tried = &tried;
            w.tried_n = 1;
        }
        account_release(set, acc(3));
        accounts_free(set);
    }
}

/* ---- full ones, failing origins, rescues ----------------------------------------------------- */

static void test_full(void **state)
{
    struct account_row rows[] = {row_with(1, "a", 0, 1, "{\"concurrency\":2}"),
                                 row_with(2, "b", 1, 1, "{\"concurrency\":1}")};
    struct account_wish w = {.model = ""};
    (void)state;
    set = fake_set(rows, COUNT(rows));
    account_hold(acc(1));
    assert_string_equal(chosen(&w), "a:strategy b:priority ");
    account_hold(acc(1));
    assert_string_equal(chosen(&w), "b:only ");
    assert_int_equal(c.full, 1);
    account_hold(acc(2));
    assert_string_equal(chosen(&w), "");
    assert_int_equal(c.full, 2);
    assert_int_equal(c.cooling, 0);
    assert_int_equal(c.soonest, 0); /* nobody knows when, but soon */
    assert_string_equal(explained(&w), "a:state:full b:state:full ");
    account_release(set, acc(1));
    assert_string_equal(chosen(&w), "a:only ");
    account_release(set, acc(1));
    account_release(set, acc(2));
    accounts_free(set);
}

static void test_origin(void **state)
{
    struct account_row rows[] = {fake_row(1, "a", 0, 1), fake_row(2, "b", 0, 1),
                                 fake_row(3, "c", 3, 1)};
    struct account_wish w = {.model = "", .conversation = 42};
    (void)state;
    text_copy(rows[2].base_url, sizeof rows[2].base_url, S("https://other.example"));
    set = fake_set(rows, COUNT(rows));
    group(GROUP_DEFAULT, "failover", "");
    origin_failed(set, acc(1), fake.wall);
    origin_failed(set, acc(2), fake.wall);
    assert_string_equal(chosen(&w), "c:strategy a:origin b:origin ");
    rest(3, "rate_limited", MIN); /* never a reason to refuse */
    assert_string_equal(chosen(&w), "a:strategy b:behind ");
    fake.wall += MIN; /* long ago */
    assert_string_equal(chosen(&w), "a:strategy b:behind c:priority ");
    accounts_free(set);
}

static void test_rescue(void **state)
{
    struct account_wish w = {.model = ""};
    int64_t tried[2] = {1, 2};
    (void)state;
    begin("failover");
    acc(3)->facts.paused = true;
    rest(4, "rate_limited", HOUR);
    rest(1, "connect", MIN);
    assert_string_equal(chosen(&w), "b:only ");
    rest(2, "server_error", MIN / 2);
    assert_string_equal(chosen(&w), "a:rescue "); /* the best one, not the first that is back */
    assert_int_equal(c.soonest, fake.wall + MIN / 2);
    assert_int_equal(c.cooling, 3);
    assert_string_equal(explained(&w),
                        "a:rescue:cooling b:state:cooling c:state:paused z:state:cooling ");
    account_hold(acc(1)); /* one request at a time */
    assert_string_equal(chosen(&w), "b:rescue ");
    account_hold(acc(2));
    assert_string_equal(chosen(&w), "");
    account_release(set, acc(1));
    account_release(set, acc(2));
    w.tried = tried;
    w.tried_n = 1;
    assert_string_equal(chosen(&w), "b:rescue ");
    w.tried_n = 2;
    assert_string_equal(chosen(&w), "");
    w.tried_n = 0;
    acc(3)->facts.paused = false; /* whoever is full serves soon: no need for a rescue */
    acc(3)->facts.policy.concurrency = 1;
    account_hold(acc(3));
    assert_string_equal(chosen(&w), "");
    account_release(set, acc(3));
    acc(3)->facts.paused = true;
    w.pinned = 2;
    assert_string_equal(chosen(&w), "b:rescue ");
    accounts_free(set);
}

/* ---- for every set --------------------------------------------------------------------------- */

static uint64_t seed = 88172645463325252u;
static uint64_t draw(uint64_t below)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (seed >> 11) % below;
}

static void random_set(int n)
{
    static const char *const settings[] = {"",
                                           "{\"groups\":[\"x\"]}",
                                           "{\"groups\":[\"x\",\"default\"],\"concurrency\":2}",
                                           "{\"pause_at\":80}",
                                           "{\"groups\":[\"y\"],\"pause_on_overage\":true}",
                                           "{\"peak_hours\":\"09:00-11:00\"}"};
    static const char *const reasons[] = {"connect", "rate_limited", "overloaded", "spend_limit"};
    char name[16];
    set = fake_set(NULL, 0);
    for (int i = 1; i <= n; i++) {
        (void)text_format(name, sizeof name, "n%d", (int)draw(1000) * 100 + i);
        struct account_row r = row_with(i, name, (int32_t)draw(3), 1 + (int32_t)draw(5),
                                        settings[draw(COUNT(settings))]);
        r.paused = draw(8) == 0;
        accounts_apply(set, &r);
        struct account *a = acc(i);
        a->facts.login_needed = draw(12) == 0;
        if (draw(4) == 0)
            rest(i, reasons[draw(COUNT(reasons))], (int64_t)draw(20000) - 5000);
        if (draw(3) == 0)
            window(i, WINDOW_5H, (double)draw(110) / 100, (int64_t)draw(6 * HOUR) - HOUR);
        a->facts.window[WINDOW_5H].closed = draw(6) == 0;
        a->served = draw(5);
        for (uint64_t k = draw(4); k > 0; k--)
            account_hold(a);
        if (draw(10) == 0)
            accounts_drop(set, i);
    }
    for (uint64_t k = 1; k <= 20 && accounts_count(set) > 0; k++) {
        const struct account *a = accounts_at(set, (int)draw((uint64_t)accounts_count(set)));
        accounts_warm(set, k, a, 5 * MIN, (int64_t)draw(60000), fake.wall);
    }
    group("x", strategy_name((enum strategy)draw(STRATEGY_MODEL)), "");
    group("default", strategy_name((enum strategy)draw(STRATEGY_MODEL)), "");
    group("y", strategy_name((enum strategy)draw(STRATEGY_MODEL)), "{\"affinity\":true}");
}

static void random_free(void)
{
    for (int i = accounts_count(set) - 1; i >= 0; i--) {
        struct account *a = accounts_at(set, i);
        for (int k = a->refs; k > 0; k--)
            account_release(set, a);
    }
    accounts_free(set);
}

static bool usable(const struct account *a)
{
    enum account_state s = account_status(&a->facts, fake.wall).state;
    return s == ACCOUNT_READY || s == ACCOUNT_STALE;
}

/* Everybody of the group that can serve is there exactly once, and nobody else but one that is
 * rescued; explaining tells of all, in the same order. */
static void check_choice(const struct account_wish *w)
{
    struct account_explained e[ACCOUNTS_MAX];
    int expected = 0;
    accounts_choose(set, w, fake.wall, &c);
    for (int i = 0; i < accounts_count(set); i++) {
        const struct account *a = accounts_at(set, i);
        bool mine = account_policy_in(&a->facts.policy, w->group);
        bool tried = w->tried_n > 0 && w->tried[0] == a->id;
        int seen = 0;
        for (int k = 0; k < c.n; k++)
            seen += c.ready[k] == a;
        bool may = mine && !tried && usable(a);
        expected += may;
        if (c.n > 0 && c.why[0] == WHY_RESCUE && a == c.ready[0])
            assert_true(mine && !tried && account_may_rescue(&a->facts, "", fake.wall));
        else
            assert_int_equal(seen, may);
    }
    assert_true(c.n == expected || (expected == 0 && c.n == 1 && c.why[0] == WHY_RESCUE));
    for (int i = 1; i < c.n; i++) { /* priorities in order, but for the first and failing ones */
        assert_true(c.why[i] >= WHY_BEHIND && c.why[i] <= WHY_ORIGIN);
        assert_true(i == 1 || c.ready[i]->priority >= c.ready[i - 1]->priority);
    }
    int n = accounts_explain(set, w, fake.wall, e);
    assert_int_equal(n, accounts_count(set));
    for (int i = 0; i < n; i++) {
        assert_true(i >= c.n || (e[i].account == c.ready[i] && e[i].why == c.why[i]));
        assert_true(i < c.n || e[i].why >= WHY_TRIED);
        for (int k = 0; k < i; k++)
            assert_ptr_not_equal(e[i].account, e[k].account);
    }
}

static void test_every_set(void **state)
{
    static const char *const groups[] = {"default", "x", "y", "none"};
    int rescued = 0, warm = 0, none = 0;
    (void)state;
    for (int round = 0; round < 3000; round++) {
        random_set((int)draw(24));
        for (int i = 0; i < 8; i++) {
            int64_t tried = (int64_t)draw(24);
            struct account_wish w = {.group = groups[draw(COUNT(groups))],
                                     .model = "",
                                     .conversation = draw(30),
                                     .parent = draw(30),
                                     .dice = draw(1000),
                                     .tried = &tried,
                                     .tried_n = (int)draw(2)};
            if (strcmp(w.group, "none") == 0) {
                accounts_choose(set, &w, fake.wall, &c);
                assert_true(c.n == 0 && c.considered == 0);
                continue;
            }
            check_choice(&w);
            rescued += c.n > 0 && c.why[0] == WHY_RESCUE;
            warm += c.n > 0 && c.why[0] == WHY_WARM;
            none += c.n == 0;
        }
        random_free();
    }
    if (rescued < 50 || warm < 1000 || none < 100) /* it has looked at something */
        fail_msg("%d rescued, %d warm, %d without", rescued, warm, none);
}

/* With any weights the shares hold within 5 %, and an account that drops out moves none but its own
 * conversations. */
static void test_shares(void **state)
{
    static const int32_t weights[][5] = {{1, 1, 1, 1, 1},
                                         {1, 2, 3, 4, 5},
                                         {1, 1, 1, 1, 10},
                                         {7, 3, 3, 3, 3},
                                         {200, 100, 50, 50, 100}};
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    enum { N = 60000 };
    static uint8_t home[N];
    (void)state;
    for (size_t r = 0; r < COUNT(weights); r++) {
        int got[6] = {0}, total = 0;
        set = fake_set(NULL, 0);
        for (int i = 0; i < 5; i++) {
            struct account_row row = fake_row(i + 1, names[i], 0, weights[r][i]);
            accounts_apply(set, &row);
            total += weights[r][i];
        }
        for (uint64_t i = 0; i < N; i++) {
            struct account_wish w = {.model = "", .conversation = i * 77 + 1};
            accounts_choose(set, &w, fake.wall, &c);
            home[i] = (uint8_t)c.ready[0]->id;
            got[home[i]]++;
        }
        for (int i = 0; i < 5; i++) {
            double share = (double)N * weights[r][i] / total;
            assert_true(got[i + 1] > share * 0.95 && got[i + 1] < share * 1.05);
        }
        accounts_drop(set, 3);
        for (uint64_t i = 0; i < N; i++) {
            struct account_wish w = {.model = "", .conversation = i * 77 + 1};
            accounts_choose(set, &w, fake.wall, &c);
            assert_true(home[i] == 3 || home[i] == c.ready[0]->id);
        }
        accounts_free(set);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_session),
        cmocka_unit_test(test_least_used),
        cmocka_unit_test(test_round_robin),
        cmocka_unit_test(test_weighted),
        cmocka_unit_test(test_weighted_groups),
        cmocka_unit_test(test_shuffle),
        cmocka_unit_test(test_failover),
        cmocka_unit_test(test_least_loaded),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_reach),
        cmocka_unit_test(test_warm),
        cmocka_unit_test(test_warm_in_other_group),
        cmocka_unit_test(test_parent),
        cmocka_unit_test(test_worth_waiting),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_origin),
        cmocka_unit_test(test_rescue),
        cmocka_unit_test(test_every_set),
        cmocka_unit_test(test_shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
