/* links: base netcore http codec accounts */
/* The set: rows in and out, credentials, lifetimes, and what replies teach. */
#include "accounts_fake.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define SEC      INT64_C(1000)
#define HOUR     (3600 * SEC)
#define DAY      (24 * HOUR)

static struct limit_verdict verdict(enum verdict v, const char *reason, int64_t cool)
{
    return (struct limit_verdict){.verdict = v, .reason = reason, .cool_ms = cool};
}

static const struct limit_verdict served = {.verdict = VERDICT_SERVE, .reason = "served"};
static const struct limit_verdict failed = {
    .verdict = VERDICT_NEXT, .reason = "connect", .failure = true};
static const struct limit_verdict refused = {
    .verdict = VERDICT_NEXT, .reason = "unauthorized", .login_needed = true};

static enum account_state state_of(const struct account *a)
{
    return account_status(&a->facts, fake.wall).state;
}

static void assert_credential(const struct account *a, const char *name, const char *value)
{
    assert_true(slice_eq(a->credential.name, slice_of(name)));
    assert_true(slice_eq(a->credential.value, slice_of(value)));
}

/* ---- status ---------------------------------------------------------------------------------- */

#define TOKEN      .token = TOKEN_HELD, .token_refreshable = true
#define FAILED(at) .token_retry_at = (at), .token_why = "no_answer"

static void test_status(void **state)
{
    static const struct {
        struct account_facts f;
        enum account_state want;
        const char *reason;
    } rows[] = {
        {{0}, ACCOUNT_READY, ""},
        {{.cool_until = 1001, .cool_reason = "rate_limited"}, ACCOUNT_COOLING, "rate_limited"},
        {{.cool_until = 1000, .cool_reason = "rate_limited"}, ACCOUNT_READY, ""},
        {{.cool_until = 999}, ACCOUNT_READY, ""},
        {{.cool_until = 1000 + 7 * DAY}, ACCOUNT_COOLING, ""},
        {{.cool_until = 1001 + 7 * DAY}, ACCOUNT_READY, ""}, /* written under a wrong clock */
        {{.cool_until = INT64_MAX}, ACCOUNT_READY, ""},
        {{.login_needed = true, .cool_reason = "unauthorized"}, ACCOUNT_LOGIN, "unauthorized"},
        {{.login_needed = true}, ACCOUNT_LOGIN, "unauthorized"},
        {{.login_needed = true, .cool_until = 5000}, ACCOUNT_LOGIN, "unauthorized"},
        {{.paused = true, .login_needed = true, .cool_until = 5000}, ACCOUNT_PAUSED, "paused"},
        {{.leaving = true, .paused = true, .login_needed = true}, ACCOUNT_LEAVING, "removed"},
        /* rotating tokens */
        {{.token = TOKEN_MISSING}, ACCOUNT_LOGIN, "no_token"},
        {{.token = TOKEN_UNREADABLE}, ACCOUNT_LOGIN, "secret_unreadable"},
        {{.token = TOKEN_MISSING, .paused = true}, ACCOUNT_PAUSED, "paused"},
        {{TOKEN, .token_expires_at = 1001, .token_stale_at = 1001}, ACCOUNT_READY, ""},
        {{TOKEN, .token_expires_at = 2000, .token_stale_at = 1000}, ACCOUNT_STALE, ""},
        {{TOKEN, .token_expires_at = 1000, .token_stale_at = 900}, ACCOUNT_STALE, ""},
        {{TOKEN}, ACCOUNT_READY, ""}, /* nobody said when it ends */
        {{TOKEN, .token_refused = true}, ACCOUNT_STALE, ""},
        {{TOKEN, .token_refused = true, FAILED(1001)}, ACCOUNT_COOLING, "no_answer"},
        {{TOKEN, .token_refused = true, FAILED(1000)}, ACCOUNT_STALE, ""},
        {{TOKEN, .token_refused = true, FAILED(1000 + HOUR)}, ACCOUNT_COOLING, "no_answer"},
        {{TOKEN, .token_refused = true, FAILED(1001 + HOUR)}, ACCOUNT_STALE, ""},
        {{TOKEN, .token_expires_at = 1001, .token_stale_at = 5, FAILED(1500)}, ACCOUNT_STALE, ""},
        {{TOKEN, .token_expires_at = 999, FAILED(1500), .token_wrong = true},
         ACCOUNT_LOGIN,
         "no_answer"},
        {{TOKEN, .token_expires_at = 1001, FAILED(1500), .token_wrong = true}, ACCOUNT_READY, ""},
        {{TOKEN, .token_refused = true, .cool_until = 1500, .cool_reason = "rate_limited"},
         ACCOUNT_COOLING,
         "rate_limited"},
        {{TOKEN, .token_refused = true, FAILED(1600), .cool_until = 1500},
         ACCOUNT_COOLING,
         "no_answer"},
        {{TOKEN, .token_refused = true, FAILED(1400), .cool_until = 1500, .cool_reason = "x"},
         ACCOUNT_COOLING,
         "x"},
        {{.token = TOKEN_HELD, .token_expires_at = 1001, .token_stale_at = 5}, ACCOUNT_READY, ""},
        {{.token = TOKEN_HELD, .token_expires_at = 1000}, ACCOUNT_LOGIN, "token_expired"},
        {{.token = TOKEN_HELD, .token_refused = true}, ACCOUNT_LOGIN, "unauthorized"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct account_status s = account_status(&rows[i].f, 1000);
        assert_int_equal(s.state, rows[i].want);
        assert_string_equal(s.reason, rows[i].reason);
        assert_true((s.until != 0) == (s.state == ACCOUNT_COOLING));
        assert_true(account_state_name(s.state)[0] != '\0');
    }
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void test_load(void **state)
{
    struct account_row rows[] = {fake_row(3, "zoe", 0, 1), fake_row(1, "bob", 10, 1),
                                 fake_row(2, "ada", 10, 5), fake_row(4, "old", 0, 1)};
    char names[200];
    (void)state;
    text_copy(rows[3].provider, sizeof rows[3].provider, S("from-the-future"));
    rows[1].paused = true;
    rows[0].cool_until = INT64_C(1795255200000) + HOUR;
    text_copy(rows[0].cool_reason, sizeof rows[0].cool_reason, S("rate_limited"));
    rows[2].facts_seen_at = 5;
    text_copy(rows[2].cool_reason, sizeof rows[2].cool_reason, S("unauthorized"));
    struct account_set *set = fake_set(rows, COUNT(rows));
    assert_int_equal(fake.ready, 1);
    assert_int_equal(fake.ready_err, OK);
    assert_true(slice_eq(fake_names(set, names, sizeof names), S("zoe ada bob ")));
    assert_int_equal(state_of(accounts_at(set, 0)), ACCOUNT_COOLING);
    assert_int_equal(state_of(accounts_at(set, 1)), ACCOUNT_LOGIN); /* refused before the restart */
    assert_int_equal(state_of(accounts_at(set, 2)), ACCOUNT_PAUSED);
    const struct account *a = accounts_by_name(set, S("ada"));
    assert_non_null(a);
    assert_int_equal(a->id, 2);
    assert_true(a->door[0].target.tls && a->door[0].target.port == 443 &&
                a->door[0].target.pool == 2);
    assert_true(slice_eq(a->door[0].target.host, S("api.anthropic.com")));
    assert_int_equal(a->door[0].prefix.n, 0);
    assert_credential(a, "x-api-key", "sk-ant-api03-x");
    assert_null(accounts_by_name(set, S("old")));
    assert_null(accounts_by_id(set, 4));
    assert_int_equal(fake.puts, 0); /* loading writes nothing */
    accounts_free(set);
}

static void test_load_fails(void **state)
{
    struct account_row row = fake_row(1, "a", 0, 1);
    (void)state;
    memset(&fake, 0, sizeof fake);
    struct account_set *set = accounts_new(NULL, NULL, fake_ready, NULL);
    assert_int_equal(fake.ready, 0);
    fake.done(fake.done_arg, ERR_CORRUPT, &row, 1);
    assert_int_equal(fake.ready, 1);
    assert_int_equal(fake.ready_err, ERR_CORRUPT);
    assert_int_equal(accounts_count(set), 0);
    accounts_free(set);
    /* freed before the rows have come: nobody is told, nothing is touched */
    set = accounts_new(NULL, NULL, fake_ready, NULL);
    accounts_free(set);
    struct account_set *other = accounts_new(NULL, NULL, fake_ready, NULL);
    void *other_arg = fake.done_arg;
    fake.done(set, OK, &row, 1);
    assert_int_equal(fake.ready, 1);
    fake.done(other_arg, OK, NULL, 0);
    assert_int_equal(fake.ready, 1); /* the tokens are still to come */
    fake.tokens(other_arg, ERR_IO, NULL, 0);
    assert_int_equal(fake.ready, 2);
    assert_int_equal(fake.ready_err, ERR_IO);
    accounts_free(other);
    /* freed between the rows and the tokens */
    set = accounts_new(NULL, NULL, fake_ready, NULL);
    fake.done(fake.done_arg, OK, &row, 1);
    accounts_free(set);
    fake.tokens(fake.done_arg, OK, NULL, 0);
    assert_int_equal(fake.ready, 2);
    accounts_free(NULL);
}

static void test_bases(void **state)
{
    static const struct {
        const char *url, *host, *prefix;
        uint16_t port;
        bool tls;
    } rows[] = {
        {"https://api.z.ai/api/anthropic", "api.z.ai", "/api/anthropic", 443, true},
        {"https://api.z.ai/api/anthropic/", "api.z.ai", "/api/anthropic", 443, true},
        {"https://x.example/api/v1", "x.example", "/api", 443, true},
        {"https://x.example/api/v1/", "x.example", "/api", 443, true},
        {"https://x.example/v1/messages", "x.example", "", 443, true},
        {"https://x.example/apiv1", "x.example", "/apiv1", 443, true},
        {"http://127.0.0.1:11434", "127.0.0.1", "", 11434, false},
        {"http://[::1]:8080/x", "::1", "/x", 8080, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct account_row row = fake_row(7, "a", 0, 1);
        text_copy(row.provider, sizeof row.provider, S("anthropic-compatible"));
        text_copy(row.base_url, sizeof row.base_url, slice_of(rows[i].url));
        row.allow_private = i >= 6;
        struct account_set *set = fake_set(&row, 1);
        const struct account *a = accounts_at(set, 0);
        memset(&row, 'x', sizeof row); /* nothing may point into the row */
        assert_true(slice_eq(a->door[0].target.host, slice_of(rows[i].host)));
        assert_true(slice_eq(a->door[0].prefix, slice_of(rows[i].prefix)));
        assert_int_equal(a->door[0].target.port, rows[i].port);
        assert_int_equal(a->door[0].target.tls, rows[i].tls);
        assert_int_equal(a->door[0].target.allow_private, i >= 6);
        accounts_free(set);
    }
}

static void test_broken_row(void **state)
{
    struct account_row row = fake_row(7, "a", 0, 0);
    (void)state;
    text_copy(row.base_url, sizeof row.base_url, S("gopher://x"));
    struct account_set *set = fake_set(&row, 1);
    assert_int_equal(state_of(accounts_at(set, 0)), ACCOUNT_PAUSED); /* shown, not served */
    assert_int_equal(accounts_at(set, 0)->weight, 1);
    accounts_free(set);
}

static void test_credentials(void **state)
{
    struct account_row row = fake_row(1, "a", 0, 1);
    (void)state;
    row.secret = S("Bearer tok");
    struct account_set *set = fake_set(&row, 1);
    struct account *a = accounts_at(set, 0);
    assert_credential(a, "authorization", "Bearer tok");
    /* an update without a secret keeps it, and keeps the facts */
    accounts_learn(set, a, &refused, NULL, fake.wall);
    row.secret = S("");
    row.version = 2;
    row.priority = 5;
    accounts_apply(set, &row);
    assert_credential(a, "authorization", "Bearer tok");
    assert_int_equal(a->version, 2);
    assert_int_equal(state_of(a), ACCOUNT_LOGIN);
    /* the same secret again is no new one */
    row.secret = S("Bearer tok");
    accounts_apply(set, &row);
    assert_int_equal(state_of(a), ACCOUNT_LOGIN);
    /* a new one is a new start, and what requests in flight hold stays readable */
    account_hold(a);
    struct slice old = a->credential.value;
    int puts = fake.puts;
    row.secret = S("key-2");
    accounts_apply(set, &row);
    assert_credential(a, "x-api-key", "key-2");
    assert_true(slice_eq(old, S("Bearer tok")));
    assert_int_equal(state_of(a), ACCOUNT_READY);
    assert_int_equal(fake.puts, puts + 1);
    assert_string_equal(fake.put_reason, "");
    account_release(set, a);
    assert_credential(a, "x-api-key", "key-2");
    accounts_free(set);
}

static void test_unreadable(void **state)
{
    struct account_row row = fake_row(1, "a", 0, 1);
    (void)state;
    row.secret = S("");
    row.secret_unreadable = true;
    struct account_set *set = fake_set(&row, 1);
    struct account *a = accounts_at(set, 0);
    assert_int_equal(state_of(a), ACCOUNT_LOGIN);
    assert_string_equal(account_status(&a->facts, 0).reason, "secret_unreadable");
    accounts_reset(set, a);
    assert_int_equal(state_of(a), ACCOUNT_LOGIN); /* only a new secret mends it */
    row.secret_unreadable = false;
    row.secret = S("key");
    accounts_apply(set, &row);
    assert_int_equal(state_of(a), ACCOUNT_READY);
    accounts_free(set);
    /* a row without any secret can serve no more than an unreadable one */
    row.secret = S("");
    set = fake_set(&row, 1);
    assert_int_equal(state_of(accounts_at(set, 0)), ACCOUNT_LOGIN);
    accounts_free(set);
}

static void test_order_and_removal(void **state)
{
    struct account_row rows[] = {fake_row(1, "a", 5, 1), fake_row(2, "b", 5, 1),
                                 fake_row(3, "c", 5, 1)};
    char names[200];
    (void)state;
    struct account_set *set = fake_set(rows, COUNT(rows));
    struct account *a = accounts_by_name(set, S("a")), *b = accounts_by_name(set, S("b"));
    rows[0].priority = 9;
    accounts_apply(set, &rows[0]);
    assert_true(slice_eq(fake_names(set, names, sizeof names), S("b c a ")));
    text_copy(rows[2].name, sizeof rows[2].name, S("aa"));
    accounts_apply(set, &rows[2]);
    assert_true(slice_eq(fake_names(set, names, sizeof names), S("aa b a ")));
    assert_ptr_equal(accounts_by_id(set, 1), a); /* addresses stay */
    /* removed while two requests are under way: it leaves with the last */
    account_hold(b);
    account_hold(b);
    accounts_drop(set, 2);
    assert_int_equal(state_of(b), ACCOUNT_LEAVING);
    assert_null(accounts_by_name(set, S("b")));
    accounts_learn(set, b, &failed, NULL, fake.wall);
    account_release(set, b);
    assert_int_equal(accounts_count(set), 3);
    /* meanwhile the name may be given anew */
    struct account_row again = fake_row(4, "b", 5, 1);
    accounts_apply(set, &again);
    assert_int_equal(accounts_by_name(set, S("b"))->id, 4);
    account_release(set, b);
    assert_true(slice_eq(fake_names(set, names, sizeof names), S("aa b a ")));
    assert_null(accounts_by_id(set, 2));
    accounts_drop(set, 1);
    accounts_drop(set, 77);
    assert_int_equal(accounts_count(set), 2);
    accounts_free(set);
}

static void test_many(void **state)
{
    char name[16];
    (void)state;
    struct account_set *set = fake_set(NULL, 0);
    for (int i = 0; i < 1100; i++) {
        (void)text_format(name, sizeof name, "n%d", (i * 7919) % 1100);
        struct account_row r = fake_row(i + 1, name, (i * 31) % 7, 1);
        accounts_apply(set, &r);
    }
    assert_int_equal(accounts_count(set), 1024);
    for (int i = 1; i < accounts_count(set); i++) {
        const struct account *x = accounts_at(set, i - 1), *y = accounts_at(set, i);
        assert_true(x->priority < y->priority ||
                    (x->priority == y->priority && strcmp(x->name, y->name) < 0));
    }
    accounts_free(set);
}

/* ---- learning -------------------------------------------------------------------------------- */

static struct account_set *one(struct account **a)
{
    struct account_row row = fake_row(1, "a", 0, 1);
    struct account_set *set = fake_set(&row, 1);
    *a = accounts_at(set, 0);
    return set;
}

/* How long, and who may try then: test_accounts_breaker.c. */
static void test_failures(void **state)
{
    struct account *a;
    struct account_set *set = one(&a);
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(state_of(a), ACCOUNT_READY);
        accounts_learn(set, a, &failed, NULL, fake.wall);
    }
    struct account_status s = account_status(&a->facts, fake.wall);
    assert_int_equal(s.state, ACCOUNT_COOLING);
    assert_string_equal(s.reason, "connect");
    assert_int_equal(fake.put_until, s.until);
    fake.wall += 1;
    accounts_learn(set, a, &served, NULL,
                   fake.wall); /* it lives: rest and row of failures are over */
    assert_int_equal(state_of(a), ACCOUNT_READY);
    assert_int_equal(a->facts.failures, 0);
    assert_int_equal(fake.put_until, 0);
    accounts_learn(set, a, &failed, NULL, ++fake.wall);
    assert_int_equal(state_of(a), ACCOUNT_READY);
    assert_int_equal(a->served, 1);
    assert_int_equal(a->failed, 4);
    assert_int_equal(accounts_logins_lost(set), 0);
    accounts_free(set);
}

static void test_cooldowns(void **state)
{
    struct account *a;
    struct account_set *set = one(&a);
    struct limit_verdict hours = verdict(VERDICT_NEXT, "rate_limited", 2 * HOUR);
    struct limit_verdict seconds = verdict(VERDICT_NEXT, "overloaded", 5 * SEC);
    struct limit_verdict bare = verdict(VERDICT_NEXT, "rate_limited", 0);
    (void)state;
    accounts_learn(set, a, &bare, NULL, fake.wall);
    assert_int_equal(state_of(a), ACCOUNT_READY);
    assert_int_equal(fake.puts, 0);
    int64_t until = fake.wall + 2 * HOUR;
    accounts_learn(set, a, &hours, NULL, fake.wall);
    assert_int_equal(a->facts.cool_until, until);
    assert_int_equal(fake.puts, 1);
    assert_int_equal(fake.put_id, 1);
    assert_int_equal(fake.put_until, until);
    assert_string_equal(fake.put_reason, "rate_limited");
    /* replies that were under way do not shorten it: neither lesser troubles nor a success */
    fake.wall += SEC;
    accounts_learn(set, a, &seconds, NULL, fake.wall);
    accounts_learn(set, a, &failed, NULL, fake.wall);
    accounts_learn(set, a, &served, NULL, fake.wall);
    assert_int_equal(a->facts.cool_until, until);
    assert_string_equal(a->facts.cool_reason, "rate_limited");
    assert_int_equal(fake.puts, 1); /* and cost no write */
    fake.wall = until;
    assert_int_equal(state_of(a), ACCOUNT_READY);
    accounts_learn(set, a, &hours, NULL, fake.wall);
    assert_int_equal(a->facts.cool_until, until + 2 * HOUR);
    accounts_reset(set, a);
    assert_int_equal(state_of(a), ACCOUNT_READY);
    assert_int_equal(fake.put_until, 0);
    accounts_free(set);
}

static void test_login(void **state)
{
    struct account *a;
    struct account_set *set = one(&a);
    struct limit_verdict limit = verdict(VERDICT_NEXT, "rate_limited", HOUR);
    (void)state;
    accounts_learn(set, a, &refused, NULL, fake.wall);
    assert_int_equal(state_of(a), ACCOUNT_LOGIN);
    assert_int_equal(fake.puts, 1);
    assert_string_equal(fake.put_reason, "unauthorized");
    accounts_learn(set, a, &refused, NULL, fake.wall); /* nineteen others were under way */
    accounts_learn(set, a, &limit, NULL, fake.wall);
    accounts_learn(set, a, &served, NULL, fake.wall);
    assert_int_equal(fake.puts, 1);
    assert_int_equal(accounts_logins_lost(set), 1);
    assert_string_equal(account_status(&a->facts, fake.wall).reason, "unauthorized");
    accounts_reset(set, a);
    assert_int_equal(state_of(a), ACCOUNT_READY);
    assert_string_equal(fake.put_reason, "");
    accounts_free(set);
}

static void test_clock(void **state)
{
    struct account *a;
    struct account_set *set = one(&a);
    struct limit_verdict limit = verdict(VERDICT_NEXT, "rate_limited", HOUR);
    (void)state;
    accounts_learn(set, a, &served, NULL, fake.wall);
    accounts_learn(set, a, &limit, NULL, fake.wall - 10); /* late: something newer is known */
    assert_int_equal(state_of(a), ACCOUNT_READY);
    fake.wall -= HOUR; /* the wall clock is set back: it goes on learning */
    fake.step -= HOUR;
    accounts_learn(set, a, &limit, NULL, fake.wall);
    assert_int_equal(state_of(a), ACCOUNT_COOLING);
    accounts_free(set);
}

/* What was stored before the wall clock was set back: no rest is longer than it was to be. */
static void test_stored_ahead(void **state)
{
    static const struct {
        int64_t seen_in, cool_in;
        enum account_state want;
        int64_t until_in;
    } rows[] = {
        {-HOUR, HOUR, ACCOUNT_COOLING, HOUR},
        {30 * SEC, HOUR, ACCOUNT_COOLING, HOUR}, /* clocks jitter */
        {HOUR, HOUR + 1800 * SEC, ACCOUNT_COOLING, 1800 * SEC},
        {HOUR, HOUR, ACCOUNT_READY, 0},
        {300 * DAY, 300 * DAY + HOUR, ACCOUNT_COOLING, HOUR},
        {HOUR, -HOUR, ACCOUNT_READY, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct account_row row = fake_row(1, "a", 0, 1);
        int64_t now = INT64_C(1795255200000);
        row.facts_seen_at = now + rows[i].seen_in;
        row.cool_until = now + rows[i].cool_in;
        text_copy(row.cool_reason, sizeof row.cool_reason, S("rate_limited"));
        struct account_set *set = fake_set(&row, 1);
        struct account *a = accounts_at(set, 0);
        assert_int_equal(fake.wall, now);
        assert_int_equal(state_of(a), rows[i].want);
        if (rows[i].want == ACCOUNT_COOLING)
            assert_int_equal(account_status(&a->facts, now).until, now + rows[i].until_in);
        accounts_learn(set, a, &refused, NULL, fake.wall); /* and it is not deaf */
        assert_int_equal(state_of(a),
                         rows[i].seen_in == 30 * SEC ? ACCOUNT_COOLING : ACCOUNT_LOGIN);
        accounts_free(set);
    }
}

static void test_client_errors(void **state)
{
    struct account *a;
    struct account_set *set = one(&a);
    struct limit_verdict client = verdict(VERDICT_CLIENT, "client_error", 0);
    (void)state;
    accounts_learn(set, a, &failed, NULL, fake.wall);
    accounts_learn(set, a, &failed, NULL, fake.wall);
    accounts_learn(set, a, &client, NULL, fake.wall); /* a 400 is a sign of life */
    assert_int_equal(a->facts.failures, 0);
    assert_int_equal(a->served, 1);
    assert_int_equal(fake.puts, 0);
    accounts_free(set);
}

/* ---- checking what a person gives ------------------------------------------------------------ */

static void test_check(void **state)
{
    static const struct {
        const char *name, *provider, *url, *secret;
        int32_t priority, weight;
        bool allow_private;
        enum err e;
        const char *why;
    } rows[] = {
        {"team-1", "anthropic", "", "sk-ant-api03-x", 0, 1, false, OK, ""},
        {"a@b.c_d", "anthropic", "", "k", 1000, 1000, false, OK, ""},
        {"zai", "anthropic-compatible", "https://api.z.ai/api/anthropic", "Bearer k", 0, 1, false,
         OK, ""},
        {"local", "anthropic-compatible", "http://127.0.0.1:11434", "k", 0, 1, true, OK, ""},
        {"", "anthropic", "", "k", 0, 1, false, ERR_SYNTAX, "name"},
        {"-x", "anthropic", "", "k", 0, 1, false, ERR_SYNTAX, "name"},
        {"a b", "anthropic", "", "k", 0, 1, false, ERR_SYNTAX, "name"},
        {"a/b", "anthropic", "", "k", 0, 1, false, ERR_SYNTAX, "name"},
        {"a\xc3\xa9", "anthropic", "", "k", 0, 1, false, ERR_SYNTAX, "name"},
        {"a", "antropic", "", "k", 0, 1, false, ERR_NOTFOUND, "did you mean \"anthropic\"?"},
        {"a", "quux", "", "k", 0, 1, false, ERR_NOTFOUND, "unknown provider \"quux\""},
        {"a", "bedrock", "", "k", 0, 1, false, ERR_SYNTAX, "\"region\""},
        {"a", "ollama", "", "", 0, 1, false, ERR_DENIED, "private"},
        {"a", "ollama", "", "", 0, 1, true, OK, ""},
        {"a", "anthropic-compatible", "", "k", 0, 1, false, ERR_SYNTAX, "--base-url"},
        {"a", "anthropic", "ftp://x", "k", 0, 1, false, ERR_SYNTAX, "base URL: "},
        {"a", "anthropic", "https://u:p@x", "k", 0, 1, false, ERR_SYNTAX, "base URL: "},
        {"a", "anthropic", "http://127.0.0.1:11434", "k", 0, 1, false, ERR_DENIED, "private"},
        {"a", "anthropic", "http://localhost", "k", 0, 1, false, ERR_DENIED, "private"},
        {"a", "anthropic", "http://x.LocalHost", "k", 0, 1, false, ERR_DENIED, "private"},
        {"a", "anthropic", "https://nas.local/x", "k", 0, 1, false, ERR_DENIED, "private"},
        {"a", "anthropic", "https://10.1.2.3", "k", 0, 1, false, ERR_DENIED, "private"},
        {"a", "anthropic", "https://169.254.169.254", "k", 0, 1, false, ERR_DENIED, "private"},
        {"a", "anthropic", "https://[::1]", "k", 0, 1, false, ERR_DENIED, "private"},
        {"a", "anthropic", "https://[::ffff:127.0.0.1]", "k", 0, 1, false, ERR_DENIED, "private"},
        {"a", "anthropic", "https://8.8.8.8", "k", 0, 1, false, OK, ""},
        {"a", "claude-oauth", "", "k", 0, 1, false, ERR_SYNTAX, "has no secret"},
        {"a", "claude-oauth", "", "", 0, 1, false, ERR_SYNTAX, "no client_id"},
        {"a", "anthropic", "", "k", -1, 1, false, ERR_RANGE, "priority"},
        {"a", "anthropic", "", "k", 1001, 1, false, ERR_RANGE, "priority"},
        {"a", "anthropic", "", "k", 0, 0, false, ERR_RANGE, "weight"},
        {"a", "anthropic", "", "k", 0, 1001, false, ERR_RANGE, "weight"},
        {"a", "anthropic", "", "", 0, 1, false, ERR_SYNTAX, "empty"},
        {"a", "anthropic", "", "k\n", 0, 1, false, ERR_SYNTAX, "line break"},
        {"a", "anthropic", "", "k\r\nx-evil: 1", 0, 1, false, ERR_SYNTAX, "line break"},
        {"a", "anthropic", "", "a b", 0, 1, false, ERR_SYNTAX, "space"},
        {"a", "anthropic", "", "\xc3\xa9", 0, 1, false, ERR_SYNTAX, "character"},
        {"a", "anthropic", "", "Bearer ", 0, 1, false, ERR_SYNTAX, "Bearer"},
        {"a", "anthropic", "", "Bearer a b", 0, 1, false, ERR_SYNTAX, "space"},
    };
    char why[256];
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct account_row r = fake_row(0, rows[i].name, rows[i].priority, rows[i].weight);
        text_copy(r.provider, sizeof r.provider, slice_of(rows[i].provider));
        text_copy(r.base_url, sizeof r.base_url, slice_of(rows[i].url));
        r.secret = slice_of(rows[i].secret);
        r.allow_private = rows[i].allow_private;
        enum err e = account_check(&r, why, sizeof why);
        if (e != rows[i].e || strstr(why, rows[i].why) == NULL || (e == OK) != (why[0] == '\0'))
            fail_msg("row %zu: %s, \"%s\"", i, err_name(e), why);
        if (rows[i].secret[0] != '\0' && strlen(rows[i].secret) > 3)
            assert_null(strstr(why, rows[i].secret)); /* a secret is never told */
    }
    struct account_row r = fake_row(5, "a", 0, 1); /* an update need not bring the secret */
    r.secret = S("");
    assert_int_equal(account_check(&r, why, sizeof why), OK);
    char *giant = mem_new(STORE_SECRET_MAX + 1);
    memset(giant, 'k', STORE_SECRET_MAX);
    r.secret = (struct slice){giant, STORE_SECRET_MAX};
    assert_int_equal(account_check(&r, why, sizeof why), ERR_SYNTAX);
    mem_free(giant);
}

static void test_check_oauth(void **state)
{
    static const struct {
        const char *url, *settings;
        bool allow_private;
        enum err e;
        const char *why;
    } rows[] = {
        {"", "{\"client_id\":\"9d1c\"}", false, OK, ""},
        {"", "{\"client_id\":\"x\",\"scope\":\"a b\",\"other\":[1]}", false, OK, ""},
        {"", "", false, ERR_SYNTAX, "terms"},
        {"", "{}", false, ERR_SYNTAX, "--client-id"},
        {"", "[]", false, ERR_SYNTAX, "JSON object"},
        {"", "{\"client_id\":1}", false, ERR_SYNTAX, "\"client_id\""},
        {"", "{\"client_id\":\"\"}", false, ERR_SYNTAX, "\"client_id\""},
        {"", "{\"client_id\":\"a b\"}", false, ERR_SYNTAX, "without spaces"},
        {"", "{\"client_id\":\"x\",\"scope\":\"a\\n\"}", false, ERR_SYNTAX, "\"scope\""},
        {"", "{\"client_id\":\"x\",\"token_url\":\"ftp://x\"}", false, ERR_SYNTAX, "\"token_url\""},
        {"", "{\"client_id\":\"x\",\"authorize_url\":\"javascript:x\"}", false, ERR_SYNTAX,
         "https://"},
        {"", "{\"client_id\":\"x\",\"redirect_uri\":\"http://localhost:54545/callback\"}", false,
         OK, ""},
        {"", "{\"client_id\":\"x\",\"token_url\":\"https://10.0.0.1/t\"}", false, ERR_DENIED,
         "token URL"},
        {"", "{\"client_id\":\"x\",\"token_url\":\"https://10.0.0.1/t\"}", true, OK, ""},
        {"", "{\"client_id\":\"x\",\"token_url\":\"http://127.0.0.1:9/t\"}", true, OK, ""},
        {"", "{\"client_id\":\"x\",\"token_url\":\"http://127.0.0.1:9/t\"}", false, ERR_DENIED,
         "token URL"},
        {"", "{\"client_id\":\"x\",\"token_url\":\"http://mock/t\"}", false, ERR_DENIED, "private"},
        {"", "{\"client_id\":\"x\",\"token_url\":\"http://mock/t\"}", true, OK, ""},
        {"", "{\"client_id\":\"x\",\"token_url\":\"http://evil.test/t\"}", true, ERR_SYNTAX,
         "https://"},
        {"http://127.0.0.1:1", "{\"client_id\":\"x\"}", false, ERR_DENIED, "base URL"},
    };
    char why[512];
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct account_row r = fake_row(0, "a", 0, 1);
        text_copy(r.provider, sizeof r.provider, S("claude-oauth"));
        text_copy(r.base_url, sizeof r.base_url, slice_of(rows[i].url));
        text_copy(r.settings, sizeof r.settings, slice_of(rows[i].settings));
        r.allow_private = rows[i].allow_private;
        r.secret = S("");
        enum err e = account_check(&r, why, sizeof why);
        if (e != rows[i].e || strstr(why, rows[i].why) == NULL || (e == OK) != (why[0] == '\0'))
            fail_msg("row %zu: %s, \"%s\"", i, err_name(e), why);
    }
}

static void test_providers(void **state)
{
    int n = 0;
    (void)state;
    for (const struct provider *p; (p = provider_at(n)) != NULL; n++) {
        assert_ptr_equal(provider_find(slice_of(p->name)), p);
        assert_true(p->help[0] != '\0' && strlen(p->name) < 32 && p->beta != NULL);
        assert_true(p->oauth == NULL || p->oauth->client_id[0] == '\0'); /* none is shipped */
    }
    assert_true(n >= 4);
    assert_null(provider_at(-1));
    assert_null(provider_find(S("")));
    assert_null(provider_find(S("Anthropic")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),        cmocka_unit_test(test_load),
        cmocka_unit_test(test_load_fails),    cmocka_unit_test(test_bases),
        cmocka_unit_test(test_broken_row),    cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_unreadable),    cmocka_unit_test(test_order_and_removal),
        cmocka_unit_test(test_many),          cmocka_unit_test(test_failures),
        cmocka_unit_test(test_cooldowns),     cmocka_unit_test(test_login),
        cmocka_unit_test(test_clock),         cmocka_unit_test(test_stored_ahead),
        cmocka_unit_test(test_client_errors), cmocka_unit_test(test_check),
        cmocka_unit_test(test_providers),     cmocka_unit_test(test_check_oauth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
