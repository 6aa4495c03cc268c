/* links: base http codec accounts */
/* Judging replies: one table row per class, and the bounds that hold for all of them. */
#include "accounts/accounts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* 2026-11-21T10:00:00Z, in ms and in epoch seconds */
#define NOW      INT64_C(1795255200000)
#define SEC      INT64_C(1000)
#define MIN      (60 * SEC)
#define HOUR     (60 * MIN)
#define DAY      (24 * HOUR)

#define ERROR(type, message) \
    "{\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\"" message "\"}}"
#define CODE(type, code)                              \
    "{\"type\":\"error\",\"error\":{\"type\":\"" type \
    "\",\"message\":\"m\",\"details\":{\"error_code\":\"" code "\"}}}"
#define U "anthropic-ratelimit-unified-"
#define R "anthropic-ratelimit-"

/* "name: value\nname: value" */
static void head_of(struct http_head *h, int status, const char *lines)
{
    static struct http_header header[HTTP_HEADERS_MAX];
    struct slice rest = slice_of(lines), line, name;
    *h = (struct http_head){.status = status, .content_length = -1, .header = header};
    while (slice_cut(&rest, '\n', &line)) {
        if (!slice_cut(&line, ':', &name))
            continue;
        h->header[h->headers++] = (struct http_header){name, slice_trim(line)};
    }
}

static struct limit_verdict judge(int status, const char *lines, const char *body,
                                  enum reply_error in_stream, int64_t now)
{
    struct http_head head;
    head_of(&head, status, lines);
    struct reply_facts r = {.status = status,
                            .head = &head,
                            .body = slice_of(body),
                            .in_stream = in_stream,
                            .model = "claude-opus-5-5"};
    return limits_judge(provider_find(S("anthropic")), &r, now);
}

enum { SERVE = VERDICT_SERVE, CLIENT = VERDICT_CLIENT, NEXT = VERDICT_NEXT };
enum { LOGIN = 1, FAILURE = 2 };

struct row {
    int status;
    const char *lines, *body;
    int verdict;
    const char *reason;
    int64_t cool;
    int flags;
};

static void check(const struct row *r)
{
    struct limit_verdict v = judge(r->status, r->lines, r->body, REPLY_ERROR_NONE, NOW);
    int flags = (v.login_needed ? LOGIN : 0) | (v.failure ? FAILURE : 0);
    if ((int)v.verdict != r->verdict || strcmp(v.reason, r->reason) != 0 || v.cool_ms != r->cool ||
        flags != r->flags)
        fail_msg("%d [%s] %s: verdict %d %s cool %" PRId64 " flags %d", r->status, r->lines,
                 r->body, v.verdict, v.reason, v.cool_ms, flags);
}

static void test_statuses(void **state)
{
    static const struct row rows[] = {
        {200, "", "", SERVE, "served", 0, 0},
        {201, "", "", SERVE, "served", 0, 0},
        {304, "", "", SERVE, "served", 0, 0},
        {302, "location: https://evil", "", NEXT, "redirect", 0, FAILURE},
        {400, "", ERROR("invalid_request_error", "prompt is too long: 9 tokens"), CLIENT,
         "client_error", 0, 0},
        {400, "", "", CLIENT, "client_error", 0, 0},
        {401, "", ERROR("authentication_error", "invalid x-api-key"), NEXT, "unauthorized", 0,
         LOGIN},
        {401, "", "<html>", NEXT, "unauthorized", 0, LOGIN},
        {402, "", ERROR("billing_error", "m"), NEXT, "spend_limit", HOUR, 0},
        {402, "", "", NEXT, "spend_limit", HOUR, 0},
        {403, "", ERROR("permission_error", "This organization has been disabled."), NEXT,
         "account_disabled", 0, LOGIN},
        {403, "", ERROR("permission_error", "Your ACCOUNT was Suspended"), NEXT, "account_disabled",
         0, LOGIN},
        {403, "", ERROR("permission_error", "Your account has no access to this model"), NEXT,
         "forbidden", 0, 0},
        {403, "", ERROR("permission_error", "OAuth token has been revoked. Please obtain a new."),
         NEXT, "unauthorized", 0, LOGIN},
        {403, "",
         ERROR("permission_error", "OAuth token does not meet scope requirement user:inference"),
         NEXT, "forbidden", 0, 0},
        {403, "",
         ERROR("permission_error",
               "OAuth authentication is currently not allowed for this organization."),
         NEXT, "account_disabled", 0, LOGIN},
        {403, "", ERROR("permission_error", "no permission for this resource"), CLIENT,
         "client_error", 0, 0},
        {403, "", "<html>blocked</html>", CLIENT, "client_error", 0, 0},
        {403, "", CODE("permission_error", "organization_on_hold"), NEXT, "account_disabled", 0,
         LOGIN},
        {404, "", ERROR("not_found_error", "model: x"), CLIENT, "client_error", 0, 0},
        {405, "", "", CLIENT, "client_error", 0, 0},
        {408, "", "", NEXT, "timeout", 0, FAILURE},
        {409, "", ERROR("conflict_error", "m"), CLIENT, "client_error", 0, 0},
        {413, "", "<html>too large</html>", CLIENT, "client_error", 0, 0},
        {422, "", "", CLIENT, "client_error", 0, 0},
        {498, "", "", CLIENT, "client_error", 0, 0},
        {500, "", ERROR("api_error", "m"), NEXT, "server_error", 0, FAILURE},
        {501, "", "", CLIENT, "client_error", 0, 0},
        {502, "", "<html>", NEXT, "server_error", 0, FAILURE},
        {503, "", "", NEXT, "server_error", 0, FAILURE},
        {503, "retry-after: 20", "", NEXT, "server_error", 20 * SEC, FAILURE},
        {503, "retry-after: 20000", "", NEXT, "server_error", MIN, FAILURE},
        {504, "", "", NEXT, "server_error", 0, FAILURE},
        {505, "", "", CLIENT, "client_error", 0, 0},
        {520, "", "", NEXT, "server_error", 0, FAILURE},
        {599, "", "", NEXT, "server_error", 0, FAILURE},
        {101, "", "", NEXT, "protocol", 0, FAILURE},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        check(&rows[i]);
}

static void test_spent(void **state)
{
    /* to 2026-12-01T00:00:00Z it would be 9 days 14 hours: the bench's bound is 7 days */
    static const struct row rows[] = {
        {429, "", CODE("rate_limit_error", "enforced_spend_limit_reached"), NEXT, "spend_limit",
         7 * DAY, 0},
        {429, "retry-after: 5", CODE("rate_limit_error", "contract_spend_limit_reached"), NEXT,
         "spend_limit", HOUR, 0},
        {400, "",
         ERROR("invalid_request_error",
               "You have reached your specified API usage limits. You will "
               "regain access on 2026-12-01"),
         NEXT, "spend_limit", 7 * DAY, 0},
        {400, "",
         ERROR("invalid_request_error",
               "You have reached your specified API usage limits. You will "
               "regain access on 2026-11-23 at 00:00 UTC."),
         NEXT, "spend_limit", 38 * HOUR, 0},
        {400, "",
         ERROR("invalid_request_error",
               "You have reached your specified API usage limits. You will "
               "regain access on 2026-11-20 at 00:00 UTC."),
         NEXT, "spend_limit", HOUR, 0},
        {400, "",
         ERROR("invalid_request_error",
               "You have reached your specified API usage limits. You will "
               "regain access on Monday"),
         NEXT, "spend_limit", HOUR, 0},
        {400, "",
         ERROR("invalid_request_error",
               "You have reached your specified API usage limits. You will "
               "regain access on "),
         NEXT, "spend_limit", HOUR, 0},
        {402, "retry-after: 7200", ERROR("billing_error", "m"), NEXT, "spend_limit", 2 * HOUR, 0},
        {429, "", CODE("rate_limit_error", "linked_organization_spend_limit_reached"), NEXT,
         "spend_limit", HOUR, 0},
        {400, "",
         ERROR("invalid_request_error",
               "You have reached your specified workspace API usage limits."),
         NEXT, "spend_limit", HOUR, 0},
        {400, "", ERROR("invalid_request_error", "Your credit balance is too low"), NEXT,
         "spend_limit", HOUR, 0},
        {400, "", CODE("invalid_request_error", "organization_on_hold"), NEXT, "account_disabled",
         0, LOGIN},
        {400, "", ERROR("invalid_request_error", "You are out of extra usage for this model"), NEXT,
         "out_of_credits", 0, 0},
        {400, "",
         ERROR("invalid_request_error", "Extra usage is required for long context requests."),
         CLIENT, "client_error", 0, 0},
        {400, "", ERROR("invalid_request_error", "This organization has been disabled."), NEXT,
         "account_disabled", 0, LOGIN},
        {400, "",
         ERROR("invalid_request_error", "messages.0: This organization has been disabled."), CLIENT,
         "client_error", 0, 0},
        {400, "",
         ERROR("invalid_request_error",
               "This credential is only authorized for use with another program and cannot be "
               "used for other API requests."),
         NEXT, "forbidden", 0, 0},
        /* the same words, quoted from the request: the client's own mistake */
        {400, "",
         ERROR("invalid_request_error",
               "messages.0: You have reached your specified API usage limits"),
         CLIENT, "client_error", 0, 0},
    };
    struct limit_verdict v;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        check(&rows[i]);
    /* 2026-12-30T10:00:00Z: until new year's */
    v = judge(429, "", CODE("rate_limit_error", "enforced_spend_limit_reached"), REPLY_ERROR_NONE,
              NOW + 39 * DAY);
    assert_int_equal(v.cool_ms, 38 * HOUR);
}

static void test_rate_limited(void **state)
{
    static const struct row rows[] = {
        /* bare: about the request, not about the account */
        {429, "", ERROR("rate_limit_error", "m"), NEXT, "rate_limited", 0, 0},
        {429, "x-should-retry: true", "", NEXT, "rate_limited", 0, 0},
        {429, "retry-after: soon", "", NEXT, "rate_limited", 0, 0},
        {429, "retry-after: -5", "", NEXT, "rate_limited", 0, 0},
        {429, "retry-after: nan", "", NEXT, "rate_limited", 0, 0},
        {429, "retry-after:", "", NEXT, "rate_limited", 0, 0},
        {429, "", ERROR("rate_limit_error", "Extra usage is required for long context requests."),
         NEXT, "out_of_credits", 0, 0},
        {429, "retry-after: 60",
         ERROR("rate_limit_error", "Extra usage is required for long context requests."), NEXT,
         "out_of_credits", 0, 0},
        {429, "", CODE("rate_limit_error", "ramp_limit_exceeded"), NEXT, "rate_limited", 5 * SEC,
         0},
        {429, "retry-after: 20", CODE("rate_limit_error", "ramp_limit_exceeded"), NEXT,
         "rate_limited", 20 * SEC, 0},
        /* retry-after in all its forms */
        {429, "retry-after: 0", "", NEXT, "rate_limited", 0, 0},
        {429, "retry-after: 30", "", NEXT, "rate_limited", 30 * SEC, 0},
        {429, "retry-after: 1.5", "", NEXT, "rate_limited", 1500, 0},
        {429, "retry-after-ms: 250\nretry-after: 30", "", NEXT, "rate_limited", 250, 0},
        {429, "retry-after-ms: x\nretry-after: 30", "", NEXT, "rate_limited", 30 * SEC, 0},
        {429, "retry-after: Sat, 21 Nov 2026 10:02:00 GMT", "", NEXT, "rate_limited", 2 * MIN, 0},
        {429, "retry-after: Sat, 21 Nov 2026 09:00:00 GMT", "", NEXT, "rate_limited", 0, 0},
        {429, "retry-after: 2026-11-21T10:00:30Z", "", NEXT, "rate_limited", 30 * SEC, 0},
        {429, "retry-after: 99999999999999999999", "", NEXT, "rate_limited", 7 * DAY, 0},
        {429, "retry-after: 1e300", "", NEXT, "rate_limited", 7 * DAY, 0},
        /* an API key's buckets */
        {429,
         R "requests-remaining: 0\n" R "requests-reset: 2026-11-21T10:00:12Z\n" R
           "tokens-remaining: 0\n" R "tokens-reset: 2026-11-21T10:00:20Z",
         "", NEXT, "rate_limited", 20 * SEC, 0},
        {429, R "tokens-remaining: 0\n" R "tokens-reset: 2026-11-21T12:00:00Z", "", NEXT,
         "rate_limited", MIN, 0},
        {429, R "tokens-remaining: 0\n" R "tokens-reset: 2026-11-21T09:00:00Z", "", NEXT,
         "rate_limited", 5 * SEC, 0},
        {429, R "tokens-remaining: 100\n" R "tokens-reset: 2026-11-21T10:00:20Z", "", NEXT,
         "rate_limited", 5 * SEC, 0},
        {429, R "tokens-remaining: 0\n" R "tokens-reset: garbage", "", NEXT, "rate_limited",
         5 * SEC, 0},
        {429, R "tokens-remaining: 0\n" R "tokens-reset: 2026-11-21T10:00:20Z\nretry-after: 7", "",
         NEXT, "rate_limited", 7 * SEC, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        check(&rows[i]);
}

#define IN_1H  "1795258800"
#define IN_2H  "1795262400"
#define IN_9D  "1796032800"
#define AGO_1H "1795251600"

static void test_unified(void **state)
{
    static const struct row rows[] = {
        /* the recorded set of wire/anthropic-ratelimits.md, moved in time */
        {429,
         "retry-after: 3600\nx-should-retry: true\n" U "status: rejected\n" U "reset: " IN_1H "\n" U
         "representative-claim: five_hour\n" U "5h-status: rejected\n" U "5h-utilization: 1.01\n" U
         "5h-reset: " IN_1H "\n" U "7d-status: allowed\n" U "7d-utilization: 0.69\n" U
         "7d-reset: " IN_9D "\n" U "overage-status: rejected\n" U
         "overage-disabled-reason: org_level_disabled",
         ERROR("rate_limit_error", "m"), NEXT, "rate_limited", HOUR, 0},
        /* the latest of the rejected ones */
        {429,
         U "5h-status: rejected\n" U "5h-reset: " IN_1H "\n" U "7d-status: rejected\n" U
           "7d-reset: " IN_2H,
         "", NEXT, "rate_limited", 2 * HOUR, 0},
        {429, U "5h-status: rejected\n" U "5h-reset: " IN_1H "\nretry-after: 7200", "", NEXT,
         "rate_limited", 2 * HOUR, 0},
        {429,
         U "status: rejected\n" U "reset: " IN_2H "\n" U "5h-status: rejected\n" U
           "5h-reset: " IN_1H,
         "", NEXT, "rate_limited", 2 * HOUR, 0},
        {429, U "status: rejected\n" U "reset: " IN_1H, "", NEXT, "rate_limited", HOUR, 0},
        {429, U "status: rejected\n" U "reset: 2026-11-21T11:00:00Z", "", NEXT, "rate_limited",
         HOUR, 0},
        {429, U "7d-status: rejected\n" U "7d-reset: " IN_9D, "", NEXT, "rate_limited", 7 * DAY, 0},
        /* a past reset benches nobody; none at all: a minute */
        {429, U "status: rejected\n" U "reset: " AGO_1H, "", NEXT, "rate_limited", 0, 0},
        {429, U "5h-status: rejected\n" U "5h-reset: " AGO_1H, "", NEXT, "rate_limited", 0, 0},
        {429, U "status: rejected", "", NEXT, "rate_limited", MIN, 0},
        {429, U "status: rejected\n" U "reset: soon", "", NEXT, "rate_limited", MIN, 0},
        {429, U "status: rejected\n" U "reset: 99999999999999999999", "", NEXT, "rate_limited", MIN,
         0},
        {429, U "status: rejected\n" U "reset: 4000000000", "", NEXT, "rate_limited", MIN, 0},
        {429, U "5h-status: rejected\n" U "5h-reset: 4000000000\nretry-after: 30", "", NEXT,
         "rate_limited", 30 * SEC, 0},
        /* only a model's window, or only the extra credits: the account is fine */
        {429,
         "retry-after: 3600\n" U "status: rejected\n" U "reset: " IN_1H "\n" U
         "5h-status: allowed\n" U "7d-status: allowed\n" U "7d_oi-status: rejected\n" U
         "7d_oi-reset: " IN_1H,
         "", NEXT, "model_limit", 0, 0},
        {429,
         U "status: rejected\n" U "reset: " IN_1H "\n" U "5h-status: allowed\n" U
           "7d-status: allowed\n" U "overage-status: rejected\n" U
           "overage-disabled-reason: out_of_credits",
         "", NEXT, "out_of_credits", 0, 0},
        {429,
         U "5h-status: rejected\n" U "5h-reset: " IN_1H "\n" U "7d_oi-status: rejected\n" U
           "7d_oi-reset: " IN_2H "\n" U "overage-disabled-reason: out_of_credits",
         "", NEXT, "rate_limited", HOUR, 0},
        /* extra usage alone is refused: the windows behind it are told to be fine */
        {429,
         U "status: rejected\n" U "reset: " IN_1H "\n" U "representative-claim: overage\n" U
           "5h-status: allowed\n" U "7d-status: allowed\n" U "overage-status: rejected",
         "", NEXT, "out_of_credits", 0, 0},
        {429,
         U "status: rejected\n" U "reset: " IN_1H "\n" U "representative-claim: overage\n" U
           "overage-status: rejected",
         "", NEXT, "rate_limited", HOUR, 0},
        /* only per-window headers, as one production reply had it */
        {429, U "5h-status: rejected\n" U "5h-reset: " IN_1H "\n" U "5h-utilization: 1.0", "", NEXT,
         "rate_limited", HOUR, 0},
        {429, U "status: payment_required\n" U "reset: " IN_1H, "", NEXT, "rate_limited", HOUR, 0},
        {429, U "status: queueing_hard\n" U "reset: " IN_1H, "", NEXT, "rate_limited", 5 * SEC, 0},
        /* windows healthy: a short throttle */
        {429, U "status: allowed\n" U "5h-status: allowed", "", NEXT, "rate_limited", 5 * SEC, 0},
        {429, U "status: allowed_warning\n" U "5h-status: allowed\nretry-after: 12", "", NEXT,
         "rate_limited", 12 * SEC, 0},
        /* rejected windows on a reply that is no refusal change nothing about it */
        {200, U "status: rejected\n" U "reset: " IN_1H, "", SERVE, "served", 0, 0},
        {400, U "status: rejected\n" U "reset: " IN_1H, "", CLIENT, "client_error", 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        check(&rows[i]);
}

/* How long only the family of the model asked for rests. */
static void test_family_rest(void **state)
{
    static const struct {
        int status;
        const char *lines, *body, *reason;
        int64_t rest;
    } rows[] = {
        {429, U "7d_oi-status: rejected\n" U "7d_oi-reset: " IN_2H, "", "model_limit", 2 * HOUR},
        {429, U "7d_oi-status: rejected\n" U "7d_oi-reset: " IN_1H "\nretry-after: 7200", "",
         "model_limit", 2 * HOUR},
        {429, U "7d_oi-status: rejected\n" U "7d_oi-reset: " IN_9D, "", "model_limit", 7 * DAY},
        {429, U "7d_oi-status: rejected\n" U "7d_oi-reset: " AGO_1H, "", "model_limit", 0},
        {429, U "7d_oi-status: rejected", "", "model_limit", 5 * MIN},
        {429,
         U "status: rejected\n" U "reset: " IN_1H "\n" U "representative-claim: seven_day_opus", "",
         "model_limit", HOUR},
        {429, U "status: rejected\n" U "reset: " IN_1H "\n" U "representative-claim: seven_day", "",
         "rate_limited", 0},
        {429, U "status: rejected\n" U "7d_opus-status: rejected\n" U "7d_opus-reset: " IN_2H, "",
         "model_limit", 2 * HOUR},
        {429, U "7d_sonnet-status: rejected\n" U "7d_sonnet-reset: " IN_2H, "", "rate_limited", 0},
        {429,
         U "7d_sonnet-status: rejected\n" U "7d_sonnet-reset: " IN_2H "\n" U
           "7d_opus-status: rejected\n" U "7d_opus-reset: " IN_1H,
         "", "model_limit", HOUR},
        {429, U "7d_-status: rejected", "", "rate_limited", 0},
        {429, U "status: rejected\n" U "overage-disabled-reason: out_of_credits", "",
         "out_of_credits", 5 * MIN},
        {400, "", ERROR("invalid_request_error", "You are out of extra usage for this model"),
         "out_of_credits", 5 * MIN},
        {429, "retry-after: 30", "", "rate_limited", 0},
        {200, U "7d_oi-status: rejected\n" U "7d_oi-reset: " IN_2H, "", "served", 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct limit_verdict v = judge(rows[i].status, rows[i].lines, rows[i].body,
                                       REPLY_ERROR_NONE, NOW);
        if (v.family_ms != rows[i].rest || strcmp(v.reason, rows[i].reason) != 0)
            fail_msg("[%s]: %s %" PRId64, rows[i].lines, v.reason, v.family_ms);
    }
}

/* Our clock is an hour ahead, and the reply's own Date shows it. */
static void test_wrong_clock(void **state)
{
    static const char date[] = "date: Sat, 21 Nov 2026 09:00:00 GMT\n";
    char lines[300];
    (void)state;
    (void)text_format(lines, sizeof lines, "%s" U "5h-status: rejected\n" U "5h-reset: " AGO_1H,
                      date);
    assert_int_equal(judge(429, lines, "", REPLY_ERROR_NONE, NOW).cool_ms, 0);
    (void)text_format(lines, sizeof lines, "%s" U "5h-status: rejected\n" U "5h-reset: 1795255200",
                      date);
    assert_int_equal(judge(429, lines, "", REPLY_ERROR_NONE, NOW).cool_ms, HOUR);
    (void)text_format(lines, sizeof lines, "%sretry-after: Sat, 21 Nov 2026 09:05:00 GMT", date);
    assert_int_equal(judge(429, lines, "", REPLY_ERROR_NONE, NOW).cool_ms, 5 * MIN);
}

static void test_overloaded(void **state)
{
    bool differs = false;
    int64_t first = -1;
    (void)state;
    for (int i = 0; i < 200; i++) {
        char lines[64];
        (void)text_format(lines, sizeof lines, "retry-after: 600\nrequest-id: req_%d", i);
        struct limit_verdict v = judge(529, lines, ERROR("overloaded_error", "Overloaded"),
                                       REPLY_ERROR_NONE, NOW);
        assert_int_equal(v.verdict, VERDICT_NEXT);
        assert_string_equal(v.reason, "overloaded");
        assert_true(v.cool_ms >= 3 * SEC && v.cool_ms <= 10 * SEC);
        assert_false(v.failure || v.login_needed);
        if (first < 0)
            first = v.cool_ms;
        differs = differs || v.cool_ms != first;
    }
    assert_true(differs); /* so that many requests do not come back at once */
    struct limit_verdict a = judge(529, "request-id: x", "", REPLY_ERROR_NONE, NOW);
    struct limit_verdict b = judge(529, "request-id: x", "", REPLY_ERROR_NONE, NOW);
    assert_int_equal(a.cool_ms, b.cool_ms); /* pure */
    a = judge(503, "", ERROR("overloaded_error", "m"), REPLY_ERROR_NONE, NOW);
    assert_string_equal(a.reason, "overloaded");
}

/* The head was that of a success; how long is told nowhere, so the times are ours. */
static void test_in_stream(void **state)
{
    static const struct {
        enum reply_error error;
        const char *lines;
        int verdict;
        const char *reason;
        int64_t cool, family;
        bool failure;
    } rows[] = {
        {REPLY_ERROR_RATE_LIMIT, "", NEXT, "rate_limited", 30 * SEC, 0, false},
        {REPLY_ERROR_RATE_LIMIT,
         "retry-after: 600\n" U "status: allowed\n" U "5h-status: allowed\n" U
         "overage-status: rejected\n" U "overage-disabled-reason: out_of_credits",
         NEXT, "rate_limited", 30 * SEC, 0, false},
        {REPLY_ERROR_RATE_LIMIT, R "tokens-remaining: 0\n" R "tokens-reset: 2026-11-21T10:00:20Z",
         NEXT, "rate_limited", 20 * SEC, 0, false},
        {REPLY_ERROR_RATE_LIMIT, U "5h-status: rejected\n" U "5h-reset: " IN_1H, NEXT,
         "rate_limited", HOUR, 0, false},
        {REPLY_ERROR_RATE_LIMIT, U "status: rejected", NEXT, "rate_limited", 30 * SEC, 0, false},
        {REPLY_ERROR_RATE_LIMIT, U "7d_oi-status: rejected", NEXT, "rate_limited", 30 * SEC, 0,
         false},
        {REPLY_ERROR_RATE_LIMIT, U "7d_oi-status: rejected\n" U "7d_oi-reset: " IN_1H, NEXT,
         "model_limit", 0, HOUR, false},
        {REPLY_ERROR_SERVER, "", NEXT, "server_error", 0, 0, true},
        {REPLY_ERROR_OTHER, "", NEXT, "server_error", 0, 0, true},
        {REPLY_ERROR_AUTH, "", NEXT, "unauthorized", 0, 0, false},
        {REPLY_ERROR_BILLING, "", NEXT, "spend_limit", HOUR, 0, false},
        {REPLY_ERROR_CLIENT, "", CLIENT, "client_error", 0, 0, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct limit_verdict v = judge(200, rows[i].lines, "", rows[i].error, NOW);
        assert_int_equal(v.verdict, rows[i].verdict);
        assert_string_equal(v.reason, rows[i].reason);
        assert_int_equal(v.cool_ms, rows[i].cool);
        assert_int_equal(v.family_ms, rows[i].family);
        assert_int_equal(v.failure, rows[i].failure);
        assert_false(v.login_needed);
    }
    struct limit_verdict v = judge(200, "retry-after: 600", "", REPLY_ERROR_OVERLOADED, NOW);
    assert_string_equal(v.reason, "overloaded");
    assert_true(v.cool_ms >= 3 * SEC && v.cool_ms <= 10 * SEC && !v.failure);
}

static void test_failures(void **state)
{
    static const struct {
        enum err e;
        const char *reason;
        bool failure;
    } rows[] = {
        {ERR_DNS, "dns", true},           {ERR_CONNECT, "connect", true},
        {ERR_TLS, "tls", true},           {ERR_CERT, "certificate", true},
        {ERR_RESET, "reset", true},       {ERR_EOF, "reset", true},
        {ERR_TIMEOUT, "timeout", true},   {ERR_PROTOCOL, "protocol", true},
        {ERR_LIMIT, "protocol", true},    {ERR_DENIED, "denied", true},
        {ERR_NOMEM, "gateway", false},    {ERR_BUSY, "gateway", false},
        {ERR_CANCELED, "gateway", false}, {ERR_IO, "io", true},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct reply_facts r = {.failure = rows[i].e};
        struct limit_verdict v = limits_judge(provider_find(S("anthropic-compatible")), &r, NOW);
        assert_int_equal(v.verdict, VERDICT_NEXT);
        assert_string_equal(v.reason, rows[i].reason);
        assert_int_equal(v.failure, rows[i].failure);
        assert_int_equal(v.cool_ms, 0);
        assert_false(v.login_needed);
    }
}

/* Whatever the headers say: the bounds hold, and a 2xx is served. */
static void test_bounds(void **state)
{
    static const char *const values[] = {"",
                                         "0",
                                         "-1",
                                         "1e9",
                                         "rejected",
                                         "allowed",
                                         IN_9D,
                                         AGO_1H,
                                         "x",
                                         "1.01",
                                         "true",
                                         "9223372036854775807",
                                         "2026-11-21T10:00:20Z",
                                         "9999-12-31T23:59:59Z"};
    static const char *const names[] = {
        "retry-after",    "retry-after-ms",     U "status",       U "reset",
        U "5h-status",    U "5h-reset",         U "7d-status",    U "7d-reset",
        U "7d_oi-status", R "tokens-remaining", R "tokens-reset", U "overage-disabled-reason"};
    uint64_t seed = 7;
    (void)state;
    for (int round = 0; round < 20000; round++) {
        char lines[1024];
        size_t n = 0;
        for (int k = 0; k < 4; k++) {
            seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
            n += text_format(lines + n, sizeof lines - n, "%s: %s\n",
                             names[(seed >> 33) % COUNT(names)],
                             values[(seed >> 20) % COUNT(values)]);
        }
        int status = (int)(seed >> 40) % 450 + 150;
        struct limit_verdict v = judge(status, lines, "", REPLY_ERROR_NONE, NOW);
        assert_true(v.cool_ms >= 0 && v.cool_ms <= 7 * DAY);
        assert_true(v.reason[0] != '\0');
        assert_int_equal(v.verdict == VERDICT_SERVE, status / 100 == 2 || status == 304);
        assert_true(v.verdict == VERDICT_NEXT || (v.cool_ms == 0 && !v.failure && !v.login_needed));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statuses),     cmocka_unit_test(test_spent),
        cmocka_unit_test(test_rate_limited), cmocka_unit_test(test_unified),
        cmocka_unit_test(test_family_rest),  cmocka_unit_test(test_wrong_clock),
        cmocka_unit_test(test_overloaded),   cmocka_unit_test(test_in_stream),
        cmocka_unit_test(test_failures),     cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
