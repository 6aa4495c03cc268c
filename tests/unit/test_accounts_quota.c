/* links: base netcore http codec accounts */
/* Accounts that spend one quota know the same of it; and replies teach the same in any order. */
#include "accounts_fake.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define SEC      INT64_C(1000)
#define MIN      (60 * SEC)
#define HOUR     (3600 * SEC)
#define DAY      (24 * HOUR)
#define NOW      INT64_C(1795255200000) /* 2026-11-21T10:00:00Z, as fake_set says */
#define R        "anthropic-ratelimit-"
#define U        "anthropic-ratelimit-unified-"
#define IN_1H    "1795258800"
#define IN_2H    "1795262400"
#define IN_3D    "1795514400"
#define SHARED   "{\"quota\":\"team\"}"

#define SPENT                                                                      \
    "retry-after: 7200\n" U "status: rejected\n" U "reset: " IN_2H "\n" U          \
    "5h-status: rejected\n" U "5h-utilization: 1.01\n" U "5h-reset: " IN_2H "\n" U \
    "7d-status: allowed\n" U "7d-utilization: 0.5\n" U "7d-reset: " IN_3D
#define FABLE                                                               \
    "retry-after: 3600\n" U "status: rejected\n" U "5h-status: allowed\n" U \
    "7d-status: allowed\n" U "7d_oi-status: rejected\n" U "7d_oi-reset: " IN_3D
#define LIMIT "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"m\"}}"

static struct account_set *set;

static struct account_row row_of(int64_t id, const char *url, const char *settings)
{
    char name[8];
    (void)text_format(name, sizeof name, "n%d", (int)id);
    struct account_row row = fake_row(id, name, 0, 1);
    text_copy(row.base_url, sizeof row.base_url, slice_of(url));
    text_copy(row.settings, sizeof row.settings, slice_of(settings));
    return row;
}

/* 1, 2 and 3 share; 4 has the same word at another server, 5 another word, 6 and 7 none. */
static void begin(void)
{
    struct account_row rows[7];
    for (int i = 0; i < 7; i++)
        rows[i] = row_of(i + 1,
                         i == 3   ? "https://other.test"
                         : i == 2 ? "https://API.test/x"
                                  : "https://api.test",
                         i < 4    ? SHARED
                         : i == 4 ? "{\"quota\":\"Team\"}"
                                  : "");
    set = fake_set(rows, COUNT(rows));
}

static struct account *at(int64_t id)
{
    return accounts_by_id(set, id);
}

static struct account_status status(int64_t id)
{
    return account_status(&at(id)->facts, fake.wall);
}

struct said {
    const char *model;
    int status;
    const char *lines, *body;
    enum reply_error in_stream;
};

static void reply(struct account *a, const struct said *s)
{
    struct slice rest = slice_of(s->lines), line, name;
    struct http_header header[32];
    struct http_head head = {.status = s->status, .content_length = -1, .header = header};
    while (slice_cut(&rest, '\n', &line)) {
        if (slice_cut(&line, ':', &name))
            head.header[head.headers++] = (struct http_header){name, slice_trim(line)};
    }
    struct reply_facts r = {.status = s->status,
                            .head = &head,
                            .body = slice_of(s->body != NULL    ? s->body
                                             : s->status == 429 ? LIMIT
                                                                : ""),
                            .in_stream = s->in_stream,
                            .model = s->model != NULL ? s->model : "claude-opus-5"};
    struct limit_verdict v = limits_judge(a->provider, &r, fake.wall);
    accounts_learn(set, a, &v, &r, fake.wall);
}

static void say(int64_t id, int status, const char *lines)
{
    reply(at(id), &(struct said){.status = status, .lines = lines});
}

static int puts_of(const char *name)
{
    int n = 0;
    for (int i = 0; i < fake.window_puts && i < 64; i++)
        n += strcmp(fake.window[i].name, name) == 0;
    return n;
}

/* ---- one quota ------------------------------------------------------------------------------- */

static void test_windows(void **state)
{
    (void)state;
    begin();
    say(2, 429, SPENT);
    for (int64_t id = 1; id <= 3; id++) {
        assert_int_equal(status(id).state, ACCOUNT_SPENT);
        assert_int_equal(status(id).until, NOW + 2 * HOUR);
    }
    for (int64_t id = 4; id <= 6; id++)
        assert_int_equal(status(id).state, ACCOUNT_READY);
    assert_int_equal(puts_of("5h"), 3); /* stored for each */
    assert_int_equal(puts_of("7d"), 3);
    fake.wall += 2 * MIN;
    say(1, 200, U "5h-status: allowed\n" U "5h-utilization: 0.4\n" U "5h-reset: " IN_2H);
    for (int64_t id = 1; id <= 3; id++)
        assert_int_equal(status(id).state, ACCOUNT_READY);
    accounts_free(set);
}

static void test_rests(void **state)
{
    static const struct {
        struct said said;
        const char *reason;
        int64_t rest;
    } rows[] = {
        {{.status = 429, .lines = "retry-after: 90"}, "rate_limited", 90 * SEC},
        {{.status = 402, .lines = "", .body = ""}, "spend_limit", HOUR},
        {{.status = 200, .lines = "", .in_stream = REPLY_ERROR_RATE_LIMIT},
         "rate_limited",
         30 * SEC},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        begin();
        reply(at(3), &rows[i].said);
        for (int64_t id = 1; id <= 3; id++) {
            assert_int_equal(status(id).state, ACCOUNT_COOLING);
            assert_string_equal(status(id).reason, rows[i].reason);
            assert_int_equal(status(id).until, NOW + rows[i].rest);
        }
        assert_int_equal(fake.puts, 3);
        assert_int_equal(fake.put_seen, fake.wall); /* newer than what is stored of any */
        assert_int_equal(status(4).state, ACCOUNT_READY);
        assert_int_equal(status(5).state, ACCOUNT_READY);
        accounts_free(set);
    }
}

static void test_families(void **state)
{
    (void)state;
    begin();
    reply(at(1), &(struct said){.model = "claude-fable-5", .status = 429, .lines = FABLE});
    for (int64_t id = 1; id <= 3; id++) {
        assert_int_equal(status(id).state, ACCOUNT_READY);
        assert_int_equal(account_status_for(&at(id)->facts, "fable", fake.wall).until,
                         NOW + 3 * DAY);
    }
    assert_int_equal(account_status_for(&at(5)->facts, "fable", fake.wall).state, ACCOUNT_READY);
    assert_int_equal(puts_of("7d_fable"), 3);
    accounts_free(set);
}

/* Failures, logins and overload are an account's own. */
static void test_own(void **state)
{
    static const struct said rows[] = {
        {.status = 529, .lines = ""},
        {.status = 401, .lines = ""},
        {.status = 403, .lines = "", .body = LIMIT},
        {.status = 500, .lines = ""},
        {.status = 503, .lines = "retry-after: 20"},
        {.status = 429, .lines = ""}, /* bare: of this request */
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        begin();
        for (int k = 0; k < 4; k++)
            reply(at(1), &rows[i]);
        assert_int_equal(status(2).state, ACCOUNT_READY);
        assert_int_equal(at(2)->facts.failures, 0);
        assert_int_equal(at(2)->facts.cool_until, 0);
        accounts_free(set);
    }
}

/* A rest does not take the place of a reason that only a person can mend. */
static void test_login_stays(void **state)
{
    (void)state;
    begin();
    say(2, 401, "");
    say(1, 429, "retry-after: 90");
    assert_string_equal(status(2).reason, "unauthorized");
    assert_string_equal(status(3).reason, "rate_limited");
    accounts_free(set);
}

static void test_reset(void **state)
{
    (void)state;
    begin();
    say(1, 429, SPENT);
    say(1, 429, "retry-after: 20000");
    reply(at(1), &(struct said){.model = "claude-fable-5", .status = 429, .lines = FABLE});
    say(2, 401, "");
    fake.wall += SEC;
    accounts_reset(set, at(3));
    assert_int_equal(status(1).state, ACCOUNT_READY);
    assert_int_equal(status(3).state, ACCOUNT_READY);
    assert_int_equal(account_status_for(&at(1)->facts, "fable", fake.wall).state, ACCOUNT_READY);
    assert_int_equal(status(2).state, ACCOUNT_LOGIN); /* its own */
    say(4, 429, SPENT);
    accounts_reset(set, at(1));
    assert_int_equal(status(4).state, ACCOUNT_SPENT);
    accounts_free(set);
}

static void test_newcomer(void **state)
{
    (void)state;
    begin();
    say(1, 429, SPENT);
    reply(at(1), &(struct said){.model = "claude-fable-5", .status = 429, .lines = FABLE});
    reply(at(1), &(struct said){.status = 402, .lines = "retry-after: 20000"});
    fake.wall += SEC;
    struct account_row row = row_of(9, "https://api.test", SHARED);
    accounts_apply(set, &row);
    assert_int_equal(status(9).until, NOW + 20000 * SEC);
    assert_string_equal(status(9).reason, "spend_limit");
    assert_true(at(9)->facts.window[WINDOW_5H].closed);
    assert_int_equal(account_status_for(&at(9)->facts, "fable", fake.wall).until, NOW + 3 * DAY);
    /* and one that joins later */
    row = row_of(6, "https://api.test", SHARED);
    assert_int_equal(status(6).state, ACCOUNT_READY);
    accounts_apply(set, &row);
    assert_int_equal(status(6).until, NOW + 20000 * SEC);
    /* what it knows better stays */
    row = row_of(5, "https://api.test", SHARED);
    say(5, 200, U "7d-status: allowed\n" U "7d-utilization: 0.75\n" U "7d-reset: " IN_3D);
    accounts_apply(set, &row);
    assert_true(at(5)->facts.window[WINDOW_7D].used > 0.74);
    assert_true(at(5)->facts.window[WINDOW_5H].closed);
    accounts_free(set);
}

/* What is not the quota's is not taken over, and what a person must mend stays. */
static void test_newcomer_own(void **state)
{
    static const struct said credits = {.model = "claude-opus-5",
                                        .status = 429,
                                        .lines = U "overage-disabled-reason: out_of_credits"};
    struct account_row row = row_of(8, "https://api.test", SHARED);
    (void)state;
    begin();
    reply(at(1), &credits);
    reply(at(1), &(struct said){.status = 529, .lines = ""});
    accounts_apply(set, &row);
    assert_int_equal(status(1).state, ACCOUNT_COOLING);
    assert_int_equal(status(8).state, ACCOUNT_READY);
    assert_string_equal(account_status_for(&at(8)->facts, "opus", fake.wall).reason,
                        "out_of_credits");
    say(8, 401, "");
    say(1, 429, "retry-after: 900");
    accounts_apply(set, &row);
    assert_string_equal(status(8).reason, "unauthorized");
    accounts_free(set);
}

/* Who names no quota shares none. */
static void test_none(void **state)
{
    (void)state;
    begin();
    say(6, 429, SPENT);
    say(6, 429, "retry-after: 20000");
    assert_int_equal(status(7).state, ACCOUNT_READY);
    say(7, 429, SPENT);
    accounts_reset(set, at(6));
    assert_int_equal(status(7).state, ACCOUNT_SPENT);
    accounts_free(set);
}

static void test_leaving(void **state)
{
    (void)state;
    begin();
    account_hold(at(2));
    accounts_drop(set, 2);
    say(2, 429, "retry-after: 90"); /* it may still tell the others */
    assert_int_equal(status(1).state, ACCOUNT_COOLING);
    accounts_reset(set, at(1));
    fake.wall += SEC;
    int puts = fake.puts;
    say(1, 429, "retry-after: 90");
    assert_int_equal(fake.puts, puts + 2);
    account_release(set, at(2));
    accounts_free(set);
}

/* ---- any order ------------------------------------------------------------------------------- */

/* Replies that were under way together. None says that it was served: what is open and what is
 * closed in one moment cannot both be true, and a success ends a row of failures. */
static const struct said together[] = {
    {.status = 429, .lines = "retry-after: 30"},
    {.status = 429, .lines = "retry-after: 900"},
    {.status = 429, .lines = SPENT},
    {.status = 429, .lines = U "5h-status: rejected\n" U "5h-reset: " IN_2H},
    {.status = 429, .lines = U "7d-status: rejected\n" U "7d-reset: " IN_3D},
    {.model = "claude-fable-5", .status = 429, .lines = FABLE},
    {.model = "claude-sonnet-5",
     .status = 429,
     .lines = U "overage-disabled-reason: out_of_credits"},
    {.status = 529, .lines = "request-id: x"},
    {.status = 402, .lines = ""},
    {.status = 500, .lines = U "5h-utilization: 0.2\n" U "5h-reset: " IN_2H},
    {.status = 400, .lines = U "5h-utilization: 0.4\n" U "5h-reset: " IN_2H},
    {.status = 200,
     .lines = U "5h-utilization: 0.6\n" U "5h-reset: " IN_2H "\n" U "5h-status: allowed"},
    {.status = 429,
     .lines = R "tokens-limit: 100\n" R "tokens-remaining: 0\n" R
                "tokens-reset: 2026-11-21T10:00:20Z"},
    {.status = 200, .lines = "", .in_stream = REPLY_ERROR_RATE_LIMIT},
};

struct outcome {
    struct account_status whole, fable, sonnet;
    char why[32];
    bool closed5, closed7;
    int64_t resets5, resets7, cool;
    double used5;
};

static struct outcome outcome_of(int64_t id)
{
    const struct account_facts *f = &at(id)->facts;
    struct outcome o = {.whole = account_status(f, fake.wall),
                        .fable = account_status_for(f, "fable", fake.wall),
                        .sonnet = account_status_for(f, "sonnet", fake.wall),
                        .closed5 = f->window[WINDOW_5H].closed,
                        .closed7 = f->window[WINDOW_7D].closed,
                        .resets5 = f->window[WINDOW_5H].resets_at,
                        .resets7 = f->window[WINDOW_7D].resets_at,
                        .cool = f->cool_until,
                        .used5 = f->window[WINDOW_5H].used};
    text_copy(o.why, sizeof o.why, slice_of(o.whole.reason)); /* the account ends before it */
    return o;
}

static void assert_same(const struct outcome *x, const struct outcome *y, unsigned round)
{
    bool same = x->whole.state == y->whole.state && x->whole.until == y->whole.until &&
                strcmp(x->why, y->why) == 0 && x->fable.until == y->fable.until &&
                x->sonnet.until == y->sonnet.until && x->closed5 == y->closed5 &&
                x->closed7 == y->closed7 && x->resets5 == y->resets5 && x->resets7 == y->resets7 &&
                !(x->used5 < y->used5 || x->used5 > y->used5);
    if (!same)
        fail_msg("round %u: %s %" PRId64 " fable %" PRId64 " cool %" PRId64
                 " 5h %g; then %s %" PRId64 " fable %" PRId64 " cool %" PRId64 " 5h %g",
                 round, x->why, x->whole.until - NOW, x->fable.until - NOW, x->cool - NOW, x->used5,
                 y->why, y->whole.until - NOW, y->fable.until - NOW, y->cool - NOW, y->used5);
}

/* Any subset in any two orders, on any of the accounts that share. */
static void test_any_order(void **state)
{
    uint64_t seed = 11;
    (void)state;
    for (unsigned round = 0; round < 3000; round++) {
        int pick[COUNT(together)], n = 0;
        struct outcome first = {0};
        for (size_t i = 0; i < COUNT(together); i++) {
            seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
            if (seed >> 62 != 0)
                pick[n++] = (int)i;
        }
        for (int order = 0; order < 2; order++) {
            begin();
            for (int i = n - 1; i > 0; i--) {
                seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
                int k = (int)((seed >> 33) % (uint64_t)(i + 1)), x = pick[i];
                pick[i] = pick[k];
                pick[k] = x;
            }
            for (int i = 0; i < n; i++)
                reply(at(1), &together[pick[i]]);
            struct outcome got = outcome_of(1);
            if (order == 0)
                first = got;
            assert_same(&first, &got, round);
            accounts_free(set);
        }
    }
}

/* The fellows know of windows and of what the provider ordered what the one knows that was told. */
static void test_fellows(void **state)
{
    uint64_t seed = 5;
    (void)state;
    for (unsigned round = 0; round < 500; round++) {
        begin();
        for (int i = 0; i < 12; i++) {
            seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
            const struct said *s = &together[(seed >> 33) % COUNT(together)];
            if (s->status / 100 == 5) /* an account's own */
                continue;
            fake.wall += (int64_t)(seed >> 40) % (10 * MIN);
            reply(at((int64_t)(seed >> 50) % 3 + 1), s);
            struct outcome one = outcome_of(1), two = outcome_of(2), three = outcome_of(3);
            assert_same(&one, &two, round);
            assert_same(&one, &three, round);
        }
        accounts_free(set);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),      cmocka_unit_test(test_rests),
        cmocka_unit_test(test_families),     cmocka_unit_test(test_own),
        cmocka_unit_test(test_login_stays),  cmocka_unit_test(test_reset),
        cmocka_unit_test(test_newcomer),     cmocka_unit_test(test_leaving),
        cmocka_unit_test(test_newcomer_own), cmocka_unit_test(test_none),
        cmocka_unit_test(test_any_order),    cmocka_unit_test(test_fellows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
