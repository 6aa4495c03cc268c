/* links: base http codec accounts */
/* Judging the replies of providers that tell of limits in their own way: a row per fact. */
#include "accounts/inside.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* 2026-11-21T10:00:00Z, which is 18:00 in Beijing */
#define NOW      INT64_C(1795255200000)
#define SEC      INT64_C(1000)
#define MIN      (60 * SEC)
#define HOUR     (60 * MIN)
#define DAY      (24 * HOUR)

#define OAI(type, code, message) \
    "{\"error\":{\"message\":\"" message "\",\"type\":\"" type "\",\"code\":\"" code "\"}}"
#define ANT(type, message) \
    "{\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\"" message "\"}}"
#define GOO(code, status, details)                                         \
    "{\"error\":{\"code\":" code ",\"message\":\"m\",\"status\":\"" status \
    "\",\"details\":[" details "]}}"

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

enum { SERVE = VERDICT_SERVE, CLIENT = VERDICT_CLIENT, NEXT = VERDICT_NEXT };
enum { LOGIN = 1, FAILURE = 2 };
#define BUSY (-1) /* 3 to 10 s */

struct row {
    const char *provider;
    enum dialect dialect;
    int status;
    const char *lines, *body;
    int verdict;
    const char *reason;
    int64_t cool;
    int flags;
};

static void check(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct row *r = &rows[i];
        struct http_head head;
        head_of(&head, r->status, r->lines);
        struct reply_facts f = {.status = r->status,
                                .head = &head,
                                .body = slice_of(r->body),
                                .dialect = r->dialect,
                                .model = strstr(r->body, "free-") != NULL ? "a/b:free" : "m-1"};
        struct limit_verdict v = limits_judge(provider_find(slice_of(r->provider)), &f, NOW);
        int flags = (v.login_needed ? LOGIN : 0) | (v.failure ? FAILURE : 0);
        bool cool = r->cool == BUSY ? v.cool_ms >= 3 * SEC && v.cool_ms <= 10 * SEC + 1
                                    : v.cool_ms == r->cool;
        if ((int)v.verdict != r->verdict || strcmp(v.reason, r->reason) != 0 || !cool ||
            flags != r->flags || v.family_ms != 0)
            fail_msg("row %zu: %s %d: verdict %d %s cool %" PRId64 " flags %d", i, r->provider,
                     r->status, v.verdict, v.reason, v.cool_ms, flags);
    }
}

#define A DIALECT_ANTHROPIC
#define O DIALECT_OPENAI
#define P DIALECT_RESPONSES
#define G DIALECT_GEMINI

static const struct row openai_rows[] = {
    {"openai", O, 429, "retry-after: 20", OAI("requests", "rate_limit_exceeded", "m"), NEXT,
     "rate_limited", 20 * SEC, 0},
    {"openai", O, 429, "retry-after-ms: 1500\nretry-after: 2",
     OAI("tokens", "rate_limit_exceeded", "m"), NEXT, "rate_limited", 1500, 0},
    {"openai", P, 429, "retry-after: 20", OAI("requests", "rate_limit_exceeded", "m"), NEXT,
     "rate_limited", 20 * SEC, 0},
    {"openai", O, 429, "",
     OAI("tokens", "rate_limit_exceeded",
         "Rate limit reached for m in organization o on tokens per min (TPM): Limit 30000, "
         "Used "
         "29000, Requested 3000. Please try again in 1m4.2s. Visit https://x"),
     NEXT, "rate_limited", 64200, 0},
    {"openai", O, 429, "", OAI("requests", "rate_limit_exceeded", "Please try again in 120ms."),
     NEXT, "rate_limited", 120, 0},
    {"openai", O, 429, "x-ratelimit-remaining-requests: 0\nx-ratelimit-reset-requests: 2m59.56s",
     "{}", NEXT, "rate_limited", 179560, 0},
    {"openai", O, 429,
     "x-ratelimit-remaining-requests: 9\nx-ratelimit-reset-requests: 1s\n"
     "x-ratelimit-remaining-tokens: 0\nx-ratelimit-reset-tokens: 6m0s",
     "{}", NEXT, "rate_limited", 6 * MIN, 0},
    {"openai", O, 429, "x-ratelimit-remaining-requests: 9\nx-ratelimit-reset-requests: 1s", "",
     NEXT, "rate_limited", 5 * SEC, 0},
    {"openai", O, 429, "x-ratelimit-remaining-requests: 0\nx-ratelimit-reset-requests: 9999h", "",
     NEXT, "rate_limited", 5 * SEC, 0},
    {"openai", O, 429, "", OAI("requests", "rate_limit_exceeded", "m"), NEXT, "rate_limited",
     5 * SEC, 0},
    {"openai", O, 429, "", "<html>", NEXT, "rate_limited", 0, 0},
    {"openai", O, 429, "", OAI("insufficient_quota", "insufficient_quota", "m"), NEXT,
     "spend_limit", HOUR, 0},
    {"openai", O, 429, "retry-after: 1", OAI("insufficient_quota", "insufficient_quota", "m"), NEXT,
     "spend_limit", HOUR, 0},
    {"openai", O, 429, "retry-after: 60",
     OAI("tokens", "rate_limit_exceeded", "Request too large for m on tokens per min"), NEXT,
     "rate_limited", 0, 0},
    {"openai", O, 400, "", OAI("invalid_request_error", "context_length_exceeded", "m"), CLIENT,
     "client_error", 0, 0},
    {"openai", O, 400, "", OAI("invalid_request_error", "unsupported_parameter", "m"), CLIENT,
     "client_error", 0, 0},
    {"openai", O, 400, "", OAI("x", "billing_hard_limit_reached", "m"), NEXT, "spend_limit", HOUR,
     0},
    {"openai", O, 401, "", OAI("invalid_request_error", "invalid_api_key", "m"), NEXT,
     "unauthorized", 0, LOGIN},
    {"openai", O, 403, "", OAI("request_forbidden", "unsupported_country", "Country, region"),
     CLIENT, "client_error", 0, 0},
    {"openai", O, 404, "", OAI("invalid_request_error", "model_not_found", "m"), CLIENT,
     "client_error", 0, 0},
    {"openai", O, 500, "", OAI("server_error", "", "m"), NEXT, "server_error", 0, FAILURE},
    {"openai", O, 503, "", OAI("server_error", "", "m"), NEXT, "overloaded", BUSY, 0},
    {"xai", O, 400, "", "{\"code\":\"x\",\"error\":\"Incorrect API key provided: xa***.\"}", NEXT,
     "unauthorized", 0, LOGIN},
    {"groq", O, 413, "",
     OAI("tokens", "rate_limit_exceeded", "Request too large for model m on TPM"), NEXT,
     "rate_limited", 0, 0},
    {"groq", O, 413, "", OAI("invalid_request_error", "", "too large"), CLIENT, "client_error", 0,
     0},
    {"groq", O, 498, "", OAI("x", "capacity_exceeded", "m"), NEXT, "overloaded", BUSY, 0},
    {"groq", O, 400, "", OAI("invalid_request_error", "tool_use_failed", "m"), CLIENT,
     "client_error", 0, 0},
    {"groq", O, 429, "retry-after: 7\nx-ratelimit-remaining-tokens: 0",
     OAI("tokens", "rate_limit_exceeded", "Please try again in 7.66s."), NEXT, "rate_limited",
     7 * SEC, 0},
    {"cerebras", O, 429,
     "x-ratelimit-remaining-tokens-minute: 0\nx-ratelimit-reset-tokens-minute: 12.5", "", NEXT,
     "rate_limited", 12500, 0},
    {"deepseek", O, 402, "", OAI("unknown_error", "invalid_request_error", "Insufficient Balance"),
     NEXT, "spend_limit", HOUR, 0},
    {"deepseek", A, 402, "", ANT("error", "Insufficient Balance"), NEXT, "spend_limit", HOUR, 0},
    {"deepseek", A, 503, "", "", NEXT, "overloaded", BUSY, 0},
    {"kimi", O, 429, "", OAI("engine_overloaded_error", "", "m"), NEXT, "overloaded", BUSY, 0},
    {"kimi", O, 429, "", OAI("rate_limit_reached_error", "", "m"), NEXT, "rate_limited", 5 * SEC,
     0},
    {"kimi", O, 429, "", OAI("exceeded_current_quota_error", "", "m"), NEXT, "spend_limit", HOUR,
     0},
    {"qwen", O, 429, "", OAI("", "Throttling.RateQuota", "m"), NEXT, "rate_limited", 5 * SEC, 0},
    {"qwen", O, 400, "", OAI("", "Arrearage", "m"), NEXT, "spend_limit", HOUR, 0},
    {"mistral", O, 429, "", "{\"message\":\"Requests rate limit exceeded\"}", NEXT, "rate_limited",
     5 * SEC, 0},
    {"ollama-cloud", A, 429, "", "", NEXT, "rate_limited", 0, 0},
    {"ollama", A, 404, "", "{\"error\":\"model \\\"x\\\" not found, try pulling it first\"}",
     CLIENT, "client_error", 0, 0},
    {"azure-openai", O, 429, "retry-after: 26\nretry-after-ms: 25300",
     OAI("", "429", "Requests have exceeded call rate limit"), NEXT, "rate_limited", 25300, 0},
    {"azure-openai", O, 401, "", OAI("", "401", "Access denied due to invalid subscription key"),
     NEXT, "unauthorized", 0, LOGIN},
    {"azure-openai", O, 404, "", OAI("", "DeploymentNotFound", "m"), CLIENT, "client_error", 0, 0},
    {"azure-openai", O, 400, "", OAI("", "content_filter", "m"), CLIENT, "client_error", 0, 0},
    {"azure-openai", O, 403, "", OAI("", "AuthorizationFailed", "m"), NEXT, "forbidden", 0, 0},
    {"azure-foundry", A, 403, "", OAI("", "PermissionDenied", "m"), NEXT, "forbidden", 0, 0},
    {"azure-foundry", A, 429, "retry-after: 9", "", NEXT, "rate_limited", 9 * SEC, 0},
    {"azure-foundry", A, 429, "", "", NEXT, "rate_limited", 0, 0},
    {"azure-foundry", A, 404, "", OAI("", "DeploymentNotFound", "m"), CLIENT, "client_error", 0, 0},
};

static void test_openai(void **state)
{
    (void)state;
    check(openai_rows, COUNT(openai_rows));
}

static void test_openrouter(void **state)
{
#define ROUTER(code, message, more) \
    "{\"error\":{\"code\":" code ",\"message\":\"" message "\"" more "}}"
    static const struct row rows[] = {
        {"openrouter", O, 402, "", ROUTER("402", "Insufficient credits", ""), NEXT, "spend_limit",
         HOUR, 0},
        {"openrouter", O, 402, "",
         ROUTER("402",
                "This request requires more credits. You requested up to 65536 tokens, but "
                "can only afford 4000",
                ""),
         NEXT, "spend_limit", 0, 0},
        {"openrouter", O, 429, "retry-after: 3", ROUTER("429", "m", ""), NEXT, "rate_limited",
         3 * SEC, 0},
        {"openrouter", O, 429, "",
         ROUTER("429", "m",
                ",\"metadata\":{\"headers\":{\"X-RateLimit-Limit\":\"20\","
                "\"X-RateLimit-Remaining\":\"0\",\"X-RateLimit-Reset\":\"1795255242000\"}}"),
         NEXT, "rate_limited", 42 * SEC, 0},
        {"openrouter", O, 429, "x-ratelimit-remaining: 0\nx-ratelimit-reset: 1795255207000", "{}",
         NEXT, "rate_limited", 7 * SEC, 0},
        {"openrouter", O, 429, "x-ratelimit-reset: 1895255207000", "{}", NEXT, "rate_limited", 0,
         0},
        {"openrouter", O, 429, "x-ratelimit-reset: 1795298400000",
         ROUTER("429", "Rate limit exceeded: free-models-per-day", ""), NEXT, "rate_limited", 0, 0},
        {"openrouter", O, 403, "",
         ROUTER("403", "flagged", ",\"metadata\":{\"reasons\":[\"violence\"]}"), CLIENT,
         "client_error", 0, 0},
        {"openrouter", O, 502, "", ROUTER("502", "m", ""), NEXT, "server_error", 0, FAILURE},
        {"openrouter", O, 503, "", ROUTER("503", "no provider", ""), NEXT, "overloaded", BUSY, 0},
        {"openrouter", A, 429, "retry-after: 3", ANT("rate_limit_error", "m"), NEXT, "rate_limited",
         3 * SEC, 0},
    };
    (void)state;
    check(rows, COUNT(rows));
}

static void test_zai(void **state)
{
    static const struct row rows[] = {
        {"zai", A, 429, "",
         ANT("1308",
             "Usage limit reached for 5 hour. Your limit will reset at 2026-11-21 20:30:15"),
         NEXT, "rate_limited", 2 * HOUR + 30 * MIN + 15 * SEC, 0},
        {"zai", O, 429, "",
         OAI("", "1308",
             "Usage limit reached for 5 hour. Your limit will reset at 2026-11-21 "
             "18:00:10"),
         NEXT, "rate_limited", 10 * SEC, 0},
        /* its own Date says that our clock is ten minutes ahead */
        {"zai", A, 429, "date: Sat, 21 Nov 2026 09:50:00 GMT",
         ANT("1308", "Your limit will reset at 2026-11-21 17:55:00"), NEXT, "rate_limited", 5 * MIN,
         0},
        {"zai", A, 429, "", ANT("1308", "Your limit will reset at 2026-11-21 17:00:00"), NEXT,
         "rate_limited", 0, 0},
        {"zai", A, 429, "", ANT("1308", "Your limit will reset at 2099-11-21 17:00:00"), NEXT,
         "rate_limited", HOUR, 0},
        {"zai", A, 429, "", ANT("1308", "Your limit will reset at soon"), NEXT, "rate_limited",
         HOUR, 0},
        {"zai", A, 429, "",
         ANT("1310", "Weekly limit. Your limit will reset at 2026-11-23 18:00:00"), NEXT,
         "rate_limited", 2 * DAY, 0},
        {"zai", A, 429, "", ANT("1302", "High concurrency usage of this API"), NEXT, "rate_limited",
         5 * SEC, 0},
        {"zai", A, 429, "retry-after: 2", ANT("1302", "m"), NEXT, "rate_limited", 2 * SEC, 0},
        {"zai", A, 429, "", ANT("1113", "Insufficient balance or no resource package."), NEXT,
         "spend_limit", HOUR, 0},
        {"zai-api", O, 429, "", OAI("", "1113", "Insufficient balance"), NEXT, "spend_limit", HOUR,
         0},
        {"zai", A, 429, "", ANT("1312", "busy"), NEXT, "overloaded", BUSY, 0},
        {"zai", A, 429, "", "", NEXT, "rate_limited", 0, 0},
        {"zai", A, 401, "", ANT("1001", "m"), NEXT, "unauthorized", 0, LOGIN},
        {"zai", A, 400, "", ANT("1210", "invalid parameters"), CLIENT, "client_error", 0, 0},
    };
    (void)state;
    check(rows, COUNT(rows));
}

/* What Z.AI says inside a 200 it means as much. */
static void test_zai_in_a_200(void **state)
{
    static const struct {
        const char *type, *text;
        enum verdict verdict;
        const char *reason;
        int64_t cool;
    } rows[] = {
        {"1308", "Your limit will reset at 2026-11-21 20:30:15", VERDICT_NEXT, "rate_limited",
         2 * HOUR + 30 * MIN + 15 * SEC},
        {"1302", "High concurrency", VERDICT_NEXT, "rate_limited", 5 * SEC},
        {"1113", "Insufficient balance", VERDICT_NEXT, "spend_limit", HOUR},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct reply_words words = {0};
        struct observation o = {.error = REPLY_ERROR_OTHER, .words = &words};
        text_copy(words.error_type, sizeof words.error_type, slice_of(rows[i].type));
        text_copy(words.error_message, sizeof words.error_message, slice_of(rows[i].text));
        struct http_head head = {.status = 200};
        const struct reply_facts r = {
            .status = 200, .head = &head, .in_stream = o.error, .seen = &o};
        struct limit_verdict v = limits_judge(provider_find(S("zai")), &r, NOW);
        if (v.verdict != rows[i].verdict || strcmp(v.reason, rows[i].reason) != 0 ||
            v.cool_ms != rows[i].cool)
            fail_msg("%s: %s, %lld ms", rows[i].type, v.reason, (long long)v.cool_ms);
        /* others' codes mean nothing of the kind */
        v = limits_judge(provider_find(S("anthropic")), &r, NOW);
        assert_true(v.failure && v.cool_ms == 0);
    }
}

static void test_google(void **state)
{
#define RETRY(delay) \
    "{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\",\"retryDelay\":\"" delay "\"}"
    static const struct row rows[] = {
        {"gemini", G, 429, "", GOO("429", "RESOURCE_EXHAUSTED", RETRY("34s")), NEXT, "rate_limited",
         34 * SEC, 0},
        {"gemini", O, 429, "", "[" GOO("429", "RESOURCE_EXHAUSTED", RETRY("34.5s")) "]", NEXT,
         "rate_limited", 34500, 0},
        {"gemini", G, 429, "",
         GOO("429", "RESOURCE_EXHAUSTED",
             "{\"violations\":[{\"quotaId\":\"GenerateRequestsPerDayPerProjectPerModel\"}]}," RETRY(
                 "20s")),
         NEXT, "rate_limited", HOUR, 0},
        {"gemini", G, 429, "", GOO("429", "RESOURCE_EXHAUSTED", ""), NEXT, "rate_limited", 5 * SEC,
         0},
        {"gemini", G, 429, "", GOO("429", "RESOURCE_EXHAUSTED", RETRY("soon")), NEXT,
         "rate_limited", 5 * SEC, 0},
        {"gemini", G, 429, "", "", NEXT, "rate_limited", 0, 0},
        {"gemini", G, 400, "", GOO("400", "INVALID_ARGUMENT", "{\"reason\":\"API_KEY_INVALID\"}"),
         NEXT, "unauthorized", 0, LOGIN},
        {"gemini", G, 400, "", GOO("400", "INVALID_ARGUMENT", ""), CLIENT, "client_error", 0, 0},
        {"gemini", G, 503, "", GOO("503", "UNAVAILABLE", ""), NEXT, "overloaded", BUSY, 0},
        {"gemini", G, 404, "", GOO("404", "NOT_FOUND", ""), CLIENT, "client_error", 0, 0},
        {"gemini", G, 504, "", GOO("504", "DEADLINE_EXCEEDED", ""), NEXT, "server_error", 0,
         FAILURE},
        {"vertex-ai", A, 429, "", GOO("429", "RESOURCE_EXHAUSTED", ""), NEXT, "rate_limited",
         5 * SEC, 0},
        {"vertex-ai", A, 429, "", "[" GOO("429", "RESOURCE_EXHAUSTED", RETRY("3s")) "]", NEXT,
         "rate_limited", 3 * SEC, 0},
        {"vertex-ai", A, 403, "", GOO("403", "PERMISSION_DENIED", ""), NEXT, "forbidden", 0, 0},
        {"vertex-ai", A, 401, "", GOO("401", "UNAUTHENTICATED", ""), NEXT, "unauthorized", 0,
         LOGIN},
        {"vertex-ai", A, 404, "", GOO("404", "NOT_FOUND", ""), CLIENT, "client_error", 0, 0},
        {"vertex-ai", A, 400, "", ANT("invalid_request_error", "prompt is too long"), CLIENT,
         "client_error", 0, 0},
    };
    (void)state;
    check(rows, COUNT(rows));
}

static void test_aws(void **state)
{
#define T    "x-amzn-errortype: "
#define M(m) "{\"message\":\"" m "\"}"
    static const struct row rows[] = {
        {"bedrock", A, 429, T "ThrottlingException", M("Too many requests"), NEXT, "rate_limited",
         5 * SEC, 0},
        {"bedrock", A, 429, T "ThrottlingException:http://internal.amazon.com/coral/",
         M("Too many tokens per day, please wait"), NEXT, "rate_limited", HOUR, 0},
        {"bedrock", A, 429, "", "{\"__type\":\"a.b#ThrottlingException\",\"message\":\"m\"}", NEXT,
         "rate_limited", 5 * SEC, 0},
        {"bedrock", A, 429, T "ModelNotReadyException", M("m"), NEXT, "overloaded", BUSY, 0},
        {"bedrock", A, 400, T "ServiceQuotaExceededException", M("m"), NEXT, "rate_limited", MIN,
         0},
        {"bedrock", A, 503, T "ServiceUnavailableException", M("m"), NEXT, "overloaded", BUSY, 0},
        {"bedrock", A, 424, T "ModelErrorException", M("m"), NEXT, "server_error", 0, FAILURE},
        {"bedrock", A, 424, "", M("m"), NEXT, "server_error", 0, FAILURE},
        {"bedrock", A, 408, T "ModelTimeoutException", M("m"), NEXT, "timeout", 0, FAILURE},
        {"bedrock", A, 500, T "InternalServerException", M("m"), NEXT, "server_error", 0, FAILURE},
        {"bedrock", A, 403, T "ExpiredTokenException", M("m"), NEXT, "unauthorized", 0, LOGIN},
        {"bedrock", A, 403, T "UnrecognizedClientException", M("m"), NEXT, "unauthorized", 0,
         LOGIN},
        {"bedrock", A, 403, T "AccessDeniedException", M("m"), NEXT, "forbidden", 0, 0},
        {"bedrock", A, 400, T "ValidationException",
         M("Invocation of model ID x with on-demand throughput isn't supported"), CLIENT,
         "client_error", 0, 0},
        {"bedrock", A, 400, T "ValidationException", M("Input is too long for requested model."),
         CLIENT, "client_error", 0, 0},
        {"bedrock", A, 404, T "ResourceNotFoundException", M("m"), CLIENT, "client_error", 0, 0},
        {"bedrock", A, 429, "", "", NEXT, "rate_limited", 0, 0},
        {"bedrock-mantle", A, 429, "retry-after: 4", ANT("rate_limit_error", "m"), NEXT,
         "rate_limited", 4 * SEC, 0},
    };
    (void)state;
    check(rows, COUNT(rows));
}

/* MiniMax tells its errors with a 200; what the codec made of them comes here as a class. */
static void test_minimax(void **state)
{
    static const struct {
        const char *provider;
        enum reply_error error;
        const char *reason;
        int64_t cool;
        bool login;
    } rows[] = {
        {"minimax", REPLY_ERROR_RATE_LIMIT, "rate_limited", 30 * SEC, false},
        {"minimax", REPLY_ERROR_AUTH, "unauthorized", 0, true},
        {"minimax", REPLY_ERROR_BILLING, "spend_limit", HOUR, false},
        {"zai", REPLY_ERROR_AUTH, "unauthorized", 0, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct http_head head;
        head_of(&head, 200, "");
        struct reply_facts f = {.status = 200, .head = &head, .in_stream = rows[i].error};
        struct limit_verdict v = limits_judge(provider_find(slice_of(rows[i].provider)), &f, NOW);
        assert_int_equal(v.verdict, NEXT);
        assert_string_equal(v.reason, rows[i].reason);
        assert_int_equal(v.cool_ms, rows[i].cool);
        assert_int_equal(v.login_needed, rows[i].login);
    }
}

static void test_durations(void **state)
{
    static const struct {
        const char *text;
        int64_t ms; /* -1: none */
    } rows[] = {
        {"1s", 1000},
        {"6m0s", 6 * MIN},
        {"120ms", 120},
        {"1h2m3.5s", HOUR + 2 * MIN + 3500},
        {"2m59.56s", 179560},
        {"12.5", 12500},
        {"0", 0},
        {"0s", 0},
        {" 3s ", 3000},
        {"1d", DAY},
        {"34.074824224s", 34074},
        {"500us", 0},
        {"1500\xc2\xb5s", 1},
        {"7ns", 0},
        {"", -1},
        {"s", -1},
        {"-1s", -1},
        {"1x", -1},
        {"1s2", -1},
        {"1m 2s", -1},
        {"1..2s", -1},
        {"nan", -1},
        {"1e9s", -1},
        {"99999999999999999999999h", -1},
        {"1 s", -1},
        {"1m-2s", -1},
        {"31d", 31 * DAY},
        {"32d", -1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t ms = -1;
        bool good = duration_read(slice_of(rows[i].text), &ms);
        if (good != (rows[i].ms >= 0) || (good && ms != rows[i].ms))
            fail_msg("\"%s\": %d %" PRId64, rows[i].text, good, ms);
    }
}

static void test_windows(void **state)
{
    static const struct {
        const char *lines;
        int n;
        double requests, tokens; /* used, -1 = not known */
        int64_t requests_in;
    } rows[] = {
        {"x-ratelimit-limit-requests: 500\nx-ratelimit-remaining-requests: 125\n"
         "x-ratelimit-reset-requests: 1m30s\nx-ratelimit-limit-tokens: 1000\n"
         "x-ratelimit-remaining-tokens: 1000\nx-ratelimit-reset-tokens: 0s",
         2, 0.75, 0, 90 * SEC},
        {"x-ratelimit-limit-requests-day: 10\nx-ratelimit-remaining-requests-day: 0\n"
         "x-ratelimit-reset-requests-day: 3600.5",
         1, 1, -1, HOUR + 500},
        {"x-ratelimit-limit-requests: 0\nx-ratelimit-remaining-requests: 0", 0, -1, -1, 0},
        {"x-ratelimit-limit-requests: 10", 0, -1, -1, 0},
        {"x-ratelimit-remaining-requests: 10", 0, -1, -1, 0},
        {"x-ratelimit-limit-requests: 10\nx-ratelimit-remaining-requests: 99\n"
         "x-ratelimit-reset-requests: never",
         1, 0, -1, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct window w[WINDOW_KINDS] = {0};
        struct http_head head;
        head_of(&head, 200, rows[i].lines);
        assert_int_equal(windows_read_head(&head, NOW, w), rows[i].n);
        const struct window *r = &w[WINDOW_REQUESTS], *t = &w[WINDOW_TOKENS];
        assert_int_equal(r->known, rows[i].requests >= 0);
        assert_int_equal(t->known, rows[i].tokens >= 0);
        if (r->known) {
            assert_float_equal(r->used, rows[i].requests, 0.001);
            assert_int_equal(r->resets_at,
                             rows[i].requests_in == 0 ? 0 : NOW + rows[i].requests_in);
            assert_false(r->closed); /* it is one model's */
        }
        if (t->known)
            assert_float_equal(t->used, rows[i].tokens, 0.001);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_openai),  cmocka_unit_test(test_openrouter),
        cmocka_unit_test(test_zai),     cmocka_unit_test(test_zai_in_a_200),
        cmocka_unit_test(test_google),  cmocka_unit_test(test_aws),
        cmocka_unit_test(test_minimax), cmocka_unit_test(test_durations),
        cmocka_unit_test(test_windows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
