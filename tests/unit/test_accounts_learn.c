/* links: base netcore http codec accounts */
/* What replies teach: windows, rests of model families, and a wall clock that is set. */
#include "accounts_fake.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SEC   INT64_C(1000)
#define MIN   (60 * SEC)
#define HOUR  (3600 * SEC)
#define DAY   (24 * HOUR)
#define NOW   INT64_C(1795255200000) /* 2026-11-21T10:00:00Z, as fake_set says */
#define R     "anthropic-ratelimit-"
#define U     "anthropic-ratelimit-unified-"
#define IN_1H "1795258800"
#define IN_2H "1795262400"
#define IN_3D "1795514400"

#define SPENT                                                                      \
    "retry-after: 7200\n" U "status: rejected\n" U "reset: " IN_2H "\n" U          \
    "5h-status: rejected\n" U "5h-utilization: 1.01\n" U "5h-reset: " IN_2H "\n" U \
    "7d-status: allowed\n" U "7d-utilization: 0.5\n" U "7d-reset: " IN_3D
#define FABLE                                                               \
    "retry-after: 3600\n" U "status: rejected\n" U "5h-status: allowed\n" U \
    "7d-status: allowed\n" U "7d_oi-status: rejected\n" U "7d_oi-reset: " IN_3D
#define FINE \
    U "status: allowed\n" U "5h-status: allowed\n" U "5h-utilization: 0.25\n" U "5h-reset: " IN_2H
#define LIMIT "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"m\"}}"

static struct account_set *set;
static struct account *a;

static void begin_with(const struct window_row *rows, size_t n)
{
    struct account_row row = fake_row(1, "a", 0, 1);
    set = fake_set_with(&row, 1, rows, n);
    a = accounts_at(set, 0);
}

static void begin(void)
{
    begin_with(NULL, 0);
}

/* One reply, as the gateway hands it on. */
static void reply_to(const char *model, int status, const char *lines)
{
    struct slice rest = slice_of(lines), line, name;
    struct http_header header[32];
    struct http_head head = {.status = status, .content_length = -1, .header = header};
    while (slice_cut(&rest, '\n', &line)) {
        if (slice_cut(&line, ':', &name))
            head.header[head.headers++] = (struct http_header){name, slice_trim(line)};
    }
    struct reply_facts r = {
        .status = status, .head = &head, .body = status == 429 ? S(LIMIT) : S(""), .model = model};
    struct limit_verdict v = limits_judge(a->provider, &r, fake.wall);
    accounts_learn(set, a, &v, &r, fake.wall);
}

static void reply(int status, const char *lines)
{
    reply_to("claude-opus-5", status, lines);
}

static struct account_status status(void)
{
    return account_status(&a->facts, fake.wall);
}

static struct account_status status_for(const char *family)
{
    return account_status_for(&a->facts, family, fake.wall);
}

static void assert_ready(void)
{
    assert_int_equal(status().state, ACCOUNT_READY);
}

static void assert_near(double got, double want)
{
    assert_true(got > want - 1e-9 && got < want + 1e-9);
}

static const struct window_row *last_put(const char *name)
{
    for (int i = fake.window_puts - 1; i >= 0 && i > fake.window_puts - 64; i--) {
        if (strcmp(fake.window[i % 64].name, name) == 0)
            return &fake.window[i % 64];
    }
    fail_msg("no window %s was stored", name);
    return NULL;
}

/* ---- windows --------------------------------------------------------------------------------- */

static void test_every_reply(void **state)
{
    (void)state;
    begin();
    reply(200, FINE);
    const struct window *w = &a->facts.window[WINDOW_5H];
    assert_true(w->known);
    assert_near(w->used, 0.25);
    assert_int_equal(w->started_at, NOW - 3 * HOUR);
    assert_int_equal(fake.window_puts, 1);
    assert_int_equal(last_put("5h")->account_id, 1);
    assert_int_equal(last_put("5h")->resets_at, NOW + 2 * HOUR);
    assert_ready();
    reply(200, FINE); /* no news: no write */
    assert_int_equal(fake.window_puts, 1);
    reply(400, U "5h-utilization: 0.5"); /* whatever the status */
    assert_near(a->facts.window[WINDOW_5H].used, 0.5);
    assert_int_equal(fake.window_puts, 2);
    reply(500, U "7d-utilization: 0.75");
    assert_near(a->facts.window[WINDOW_7D].used, 0.75);
    struct limit_verdict served = {.verdict = VERDICT_SERVE, .reason = "served"};
    struct reply_facts headless = {.status = 0};
    accounts_learn(set, a, &served, &headless, fake.wall);
    assert_int_equal(fake.window_puts, 3);
    assert_int_equal(fake.puts, 0);
    accounts_free(set);
}

static void test_buckets(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 120; i++) { /* two minutes, a reply a second */
        char lines[160];
        (void)text_format(lines, sizeof lines, R "tokens-limit: 1000\n" R "tokens-remaining: %d",
                          900 - i);
        fake.wall += SEC;
        reply(200, lines);
    }
    assert_int_equal(fake.window_puts, 2);
    assert_near(a->facts.window[WINDOW_TOKENS].used, 0.219);
    reply(429, R "tokens-limit: 1000\n" R "tokens-remaining: 0\n" R
                 "tokens-reset: 2026-11-21T10:02:20Z");
    assert_int_equal(status().state, ACCOUNT_COOLING); /* for seconds: no window of the account */
    assert_int_equal(status().until, fake.wall + 20 * SEC);
    accounts_free(set);
}

static void test_spent(void **state)
{
    (void)state;
    begin();
    reply(429, SPENT);
    assert_int_equal(status().state, ACCOUNT_SPENT);
    assert_int_equal(status().until, NOW + 2 * HOUR);
    assert_string_equal(status().reason, "session_limit");
    assert_int_equal(a->facts.cool_until, 0); /* the window says it */
    assert_true(last_put("5h")->closed);
    assert_false(last_put("7d")->closed);
    fake.wall = NOW + 2 * HOUR - 1;
    assert_int_equal(status().state, ACCOUNT_SPENT);
    fake.wall = NOW + 2 * HOUR; /* and no longer */
    assert_ready();
    reply(200, U "5h-status: allowed\n" U "5h-utilization: 0.01\n" U "5h-reset: 1795280400");
    assert_near(a->facts.window[WINDOW_5H].used, 0.01);
    assert_int_equal(a->facts.window[WINDOW_5H].started_at, NOW + 2 * HOUR);
    assert_false(last_put("5h")->closed);
    accounts_free(set);
}

static void test_spent_weekly(void **state)
{
    (void)state;
    begin();
    reply(429, U "5h-status: rejected\n" U "5h-reset: " IN_1H "\n" U "7d-status: rejected\n" U
                 "7d-reset: " IN_3D);
    assert_int_equal(status().state, ACCOUNT_SPENT);
    assert_int_equal(status().until, NOW + 3 * DAY);
    assert_string_equal(status().reason, "weekly_limit");
    accounts_free(set);
    /* a rest beyond the window's, and one that no reset explains */
    begin();
    reply(429, U "5h-status: rejected\n" U "5h-reset: " IN_1H "\nretry-after: 7200");
    assert_int_equal(status().state, ACCOUNT_COOLING);
    assert_int_equal(status().until, NOW + 2 * HOUR);
    accounts_free(set);
    begin();
    reply(429, U "5h-status: rejected\nretry-after: 7200");
    assert_int_equal(status().state, ACCOUNT_COOLING);
    assert_int_equal(status().until, NOW + 2 * HOUR);
    accounts_free(set);
    /* a past reset benches nobody */
    begin();
    reply(429, U "5h-status: rejected\n" U "5h-reset: 1795251600");
    assert_ready();
    accounts_free(set);
}

/* What was under way when the window closed says nothing; what came later does. */
static void test_reopened(void **state)
{
    (void)state;
    begin();
    reply(429, SPENT);
    fake.wall += 30 * SEC;
    reply(200, FINE);
    assert_int_equal(status().state, ACCOUNT_SPENT);
    fake.wall += 31 * SEC;
    reply(200, FINE); /* the provider has opened it again */
    assert_ready();
    assert_false(last_put("5h")->closed);
    accounts_free(set);
}

static void test_jitter(void **state)
{
    (void)state;
    begin();
    reply(200, FINE);
    for (int i = 0; i < 50; i++) {
        char lines[160];
        fake.wall += SEC;
        (void)text_format(lines, sizeof lines, U "5h-utilization: 0.25\n" U "5h-reset: %d",
                          1795262400 + i % 3 - 1);
        reply(200, lines);
    }
    assert_int_equal(fake.window_puts, 1); /* one window, no news */
    assert_int_equal(a->facts.window[WINDOW_5H].started_at, NOW - 3 * HOUR);
    accounts_free(set);
}

static void test_overage(void **state)
{
    (void)state;
    begin();
    reply(200, U "status: allowed\n" U "5h-status: rejected\n" U "5h-reset: " IN_2H "\n" U
                 "overage-in-use: true\n" U "overage-status: allowed");
    assert_ready(); /* it serves: extra usage pays */
    assert_true(a->facts.window[WINDOW_OVERAGE].known);
    accounts_free(set);
}

/* What a person has set about that is heard as soon as a reply says who paid. */
static void test_pause_on_overage(void **state)
{
    (void)state;
    begin();
    a->facts.policy.pause_on_overage = true;
    reply(200, U "5h-utilization: 0.9\n" U "5h-reset: " IN_2H "\n" U "overage-status: allowed");
    assert_ready();
    reply(200, U "5h-status: rejected\n" U "5h-reset: " IN_2H "\n" U "overage-in-use: true");
    assert_int_equal(status().state, ACCOUNT_SPENT);
    assert_string_equal(status().reason, "overage");
    assert_int_equal(status().until, NOW + 2 * HOUR);
    accounts_free(set);
}

/* ---- families -------------------------------------------------------------------------------- */

static int chosen(const char *model, struct account_choice *c)
{
    struct account_wish w = {.model = model};
    accounts_choose(set, &w, fake.wall, c);
    return c->n;
}

static void test_model_limit(void **state)
{
    struct account_choice c;
    (void)state;
    begin();
    reply_to("claude-fable-5-1", 429, FABLE);
    assert_ready();
    assert_int_equal(status_for("fable").state, ACCOUNT_SPENT);
    assert_int_equal(status_for("fable").until, NOW + 3 * DAY);
    assert_string_equal(status_for("fable").reason, "model_limit");
    assert_int_equal(status_for("opus").state, ACCOUNT_READY);
    assert_int_equal(status_for("").state, ACCOUNT_READY);
    assert_true(last_put("7d_fable")->closed);
    assert_int_equal(chosen("claude-fable-5", &c), 0);
    assert_int_equal(c.cooling, 1);
    assert_int_equal(c.soonest, NOW + 3 * DAY);
    assert_int_equal(c.cooling_for, REPLY_ERROR_RATE_LIMIT);
    assert_int_equal(chosen("claude-opus-5", &c), 1);
    assert_int_equal(chosen("", &c), 1);
    assert_int_equal(chosen("mystery-4.6", &c), 1); /* unknown: it may */
    /* another family's replies tell that it still is; and that it is open again */
    fake.wall += HOUR;
    reply(200, U "7d_oi-status: rejected\n" U "7d_oi-reset: " IN_3D);
    assert_int_equal(status_for("fable").state, ACCOUNT_SPENT);
    assert_int_equal(status_for("opus").state, ACCOUNT_READY);
    fake.wall += HOUR;
    reply(200, U "7d_oi-status: allowed\n" U "7d_oi-reset: " IN_3D);
    assert_int_equal(status_for("fable").state, ACCOUNT_READY);
    assert_false(last_put("7d_fable")->closed);
    accounts_free(set);
}

/* A class that is refused to nobody yet benches nobody. */
static void test_model_unknown(void **state)
{
    (void)state;
    begin();
    reply(200, U "7d_oi-status: rejected\n" U "7d_oi-reset: " IN_3D);
    assert_int_equal(status_for("opus").state, ACCOUNT_READY);
    assert_int_equal(status_for("fable").state, ACCOUNT_READY);
    assert_true(last_put("7d_model")->closed);
    reply_to("glm-4.6", 429, FABLE); /* no family to tell it of */
    assert_ready();
    assert_int_equal(status_for("opus").state, ACCOUNT_READY);
    accounts_free(set);
}

static void test_credits(void **state)
{
    (void)state;
    begin();
    reply_to("claude-opus-5", 429,
             U "status: rejected\n" U "5h-status: allowed\n" U "7d-status: allowed\n" U
               "overage-status: rejected\n" U "overage-disabled-reason: out_of_credits");
    assert_ready();
    assert_string_equal(status_for("opus").reason, "out_of_credits");
    assert_int_equal(status_for("opus").until, NOW + 5 * MIN);
    assert_int_equal(status_for("sonnet").state, ACCOUNT_READY);
    fake.wall += 5 * MIN;
    assert_int_equal(status_for("opus").state, ACCOUNT_READY);
    accounts_free(set);
}

/* More families than there is room for: the rest that is over first is forgotten. */
static void test_many_families(void **state)
{
    static const char *const models[] = {"claude-a-1", "claude-b-1", "claude-c-1", "claude-d-1",
                                         "claude-e-1"};
    (void)state;
    begin();
    for (int i = 0; i < 5; i++) {
        fake.wall += SEC;
        reply_to(models[i], 429,
                 U "status: rejected\n" U "5h-status: allowed\n" U
                   "overage-disabled-reason: out_of_credits");
    }
    assert_int_equal(status_for("a").state, ACCOUNT_READY);
    assert_int_equal(status_for("b").state, ACCOUNT_SPENT);
    assert_int_equal(status_for("e").state, ACCOUNT_SPENT);
    accounts_free(set);
}

static void test_family_and_account(void **state)
{
    (void)state;
    begin();
    reply_to("claude-fable-5", 429, FABLE);
    reply(429, SPENT);
    assert_int_equal(status_for("opus").until, NOW + 2 * HOUR);
    assert_int_equal(status_for("fable").until, NOW + 3 * DAY); /* the later of the two */
    a->facts.paused = true;
    assert_int_equal(status_for("fable").state, ACCOUNT_PAUSED);
    accounts_free(set);
}

/* ---- restart, reset, a new credential -------------------------------------------------------- */

static struct window_row row_of(const char *name, double used, bool closed, int64_t resets)
{
    struct window_row r = {
        .account_id = 1, .used = used, .closed = closed, .resets_at = resets, .seen_at = NOW - MIN};
    text_copy(r.name, sizeof r.name, slice_of(name));
    return r;
}

static void test_restart(void **state)
{
    struct window_row rows[] = {
        row_of("5h", 1, true, NOW + HOUR),
        row_of("7d", 0.5, false, NOW + 3 * DAY),
        row_of("7d_fable", -1, true, NOW + 2 * DAY),
        row_of("7d_opus", 0.2, false, NOW + 2 * DAY),
        row_of("tokens", -1, false, 0), /* nothing is told */
        row_of("8h", 1, true, NOW + HOUR),
        row_of("7d", 1, true, INT64_MAX), /* no such time */
        row_of("7d", 1, true, NOW + HOUR),
    };
    (void)state;
    rows[7].account_id = 99;
    begin_with(rows, sizeof rows / sizeof rows[0]);
    assert_int_equal(fake.ready, 1);
    assert_int_equal(status().state, ACCOUNT_SPENT);
    assert_int_equal(status().until, NOW + HOUR);
    assert_int_equal(status_for("fable").until, NOW + 2 * DAY);
    assert_int_equal(status_for("opus").until, NOW + HOUR);
    assert_near(a->facts.window[WINDOW_7D].used, 0.5);
    assert_false(a->facts.window[WINDOW_7D].closed || a->facts.window[WINDOW_TOKENS].known);
    assert_int_equal(fake.window_puts, 0);
    accounts_free(set);
    /* written under a clock that was ahead: heard, and not stuck */
    rows[0].seen_at = NOW + 30 * DAY;
    rows[0].resets_at = NOW + 30 * DAY + HOUR;
    begin_with(rows, 1);
    assert_int_equal(status().until, NOW + 5 * HOUR);
    fake.wall += 2 * MIN;
    reply(200, FINE);
    assert_ready();
    accounts_free(set);
}

/* The store cannot give them: the accounts serve all the same. */
static void test_not_loaded(void **state)
{
    struct account_row row = fake_row(1, "a", 0, 1);
    (void)state;
    memset(&fake, 0, sizeof fake);
    fake.wall = NOW;
    set = accounts_new(NULL, NULL, fake_ready, NULL);
    fake.done(fake.done_arg, OK, &row, 1);
    fake.tokens(fake.done_arg, OK, NULL, 0);
    assert_int_equal(fake.ready, 0);
    fake.windows(fake.done_arg, ERR_IO, NULL, 0);
    assert_int_equal(fake.ready, 1);
    assert_int_equal(fake.ready_err, OK);
    accounts_free(set);
    set = accounts_new(NULL, NULL, fake_ready, NULL); /* freed while the store owes them */
    fake.done(fake.done_arg, OK, &row, 1);
    fake.tokens(fake.done_arg, OK, NULL, 0);
    accounts_free(set);
    fake.windows(fake.done_arg, OK, NULL, 0);
    assert_int_equal(fake.ready, 1);
}

static void test_reset(void **state)
{
    (void)state;
    begin();
    reply(429, SPENT);
    reply_to("claude-fable-5", 429, FABLE);
    accounts_reset(set, a);
    assert_ready();
    assert_int_equal(status_for("fable").state, ACCOUNT_READY);
    assert_false(last_put("5h")->closed || last_put("7d_fable")->closed);
    assert_near(a->facts.window[WINDOW_5H].used, 1.01); /* what was used stays known */
    reply(429, SPENT);                                  /* the provider does not agree */
    assert_int_equal(status().state, ACCOUNT_SPENT);
    accounts_free(set);
}

static void test_new_credential(void **state)
{
    struct account_row row = fake_row(1, "a", 0, 1);
    (void)state;
    begin();
    reply(429, SPENT);
    row.secret = S("sk-ant-api03-other");
    accounts_apply(set, &row);
    assert_ready();
    assert_false(a->facts.window[WINDOW_5H].known || a->facts.window[WINDOW_7D].known);
    assert_near(last_put("5h")->used, -1);
    assert_int_equal(last_put("7d")->resets_at, 0);
    accounts_free(set);
}

/* ---- the wall clock is set ------------------------------------------------------------------- */

static void clock_set(int64_t by)
{
    fake.wall += by;
    fake.step += by;
}

static void test_clock_back(void **state)
{
    struct account_choice c;
    (void)state;
    begin();
    reply(429, SPENT);
    reply_to("claude-fable-5", 429, FABLE);
    clock_set(-HOUR);
    assert_int_equal(chosen("claude-opus-5", &c), 0);
    assert_int_equal(c.soonest, fake.wall + 2 * HOUR); /* not three */
    fake.wall += 2 * HOUR;
    assert_int_equal(chosen("claude-opus-5", &c), 1);
    accounts_free(set);
    /* a cooldown, which the provider told as a time span */
    begin();
    reply(429, "retry-after: 1800");
    clock_set(-HOUR);
    assert_int_equal(chosen("claude-opus-5", &c), 0);
    assert_int_equal(c.soonest, fake.wall + 30 * MIN);
    fake.wall += 30 * MIN;
    assert_int_equal(chosen("claude-opus-5", &c), 1);
    reply(200, FINE); /* and it goes on learning */
    assert_true(a->facts.window[WINDOW_5H].known);
    accounts_free(set);
}

static void test_clock_forward(void **state)
{
    struct account_choice c;
    (void)state;
    begin();
    reply(429, SPENT);
    clock_set(HOUR); /* it may have slept: whoever comes too early is told again */
    fake.wall += HOUR;
    assert_int_equal(chosen("claude-opus-5", &c), 1);
    reply(429, U "5h-status: rejected\n" U "5h-reset: " IN_2H "\nretry-after: 3600");
    assert_int_equal(status().state, ACCOUNT_COOLING); /* that reset is past, by our clock */
    assert_int_equal(status().until, fake.wall + HOUR);
    clock_set(-HOUR);
    assert_int_equal(chosen("claude-opus-5", &c), 0);
    assert_int_equal(c.soonest, fake.wall + HOUR);
    accounts_free(set);
    /* the reply's own Date shows that it is our clock that is wrong */
    begin();
    clock_set(HOUR);
    reply(429,
          "date: Sat, 21 Nov 2026 10:00:00 GMT\n" U "5h-status: rejected\n" U "5h-reset: " IN_1H);
    assert_int_equal(status().state, ACCOUNT_SPENT);
    assert_int_equal(status().until, fake.wall + HOUR);
    accounts_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_reply),
        cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_spent),
        cmocka_unit_test(test_spent_weekly),
        cmocka_unit_test(test_reopened),
        cmocka_unit_test(test_jitter),
        cmocka_unit_test(test_overage),
        cmocka_unit_test(test_model_limit),
        cmocka_unit_test(test_pause_on_overage),
        cmocka_unit_test(test_model_unknown),
        cmocka_unit_test(test_credits),
        cmocka_unit_test(test_many_families),
        cmocka_unit_test(test_family_and_account),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_not_loaded),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_new_credential),
        cmocka_unit_test(test_clock_back),
        cmocka_unit_test(test_clock_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
