/* links: base config net http codec store accounts gateway */
/* Path and method -> kind of request. */
#include "gateway/exchange.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void test_kinds(void **state)
{
    static const struct {
        enum http_method m;
        const char *path;
        enum route_kind kind;
        const char *name;
    } rows[] = {
        {HTTP_HEAD, "/", ROUTE_HELLO, "hello"},
        {HTTP_GET, "/", ROUTE_HELLO, "hello"},
        {HTTP_POST, "/", ROUTE_METHOD, "hello"},
        {HTTP_HEAD, "/api/hello", ROUTE_HELLO, "hello"},
        {HTTP_GET, "/api/hello/x", ROUTE_UNKNOWN, "unknown"},
        {HTTP_GET, "/livez", ROUTE_LIVEZ, "livez"},
        {HTTP_GET, "/readyz", ROUTE_READYZ, "readyz"},
        {HTTP_GET, "/health", ROUTE_READYZ, "health"},
        {HTTP_DELETE, "/livez", ROUTE_METHOD, "livez"},
        {HTTP_POST, "/v1/messages", ROUTE_CHAT, "messages"},
        {HTTP_GET, "/v1/messages", ROUTE_METHOD, "messages"},
        {HTTP_HEAD, "/v1/messages", ROUTE_METHOD, "messages"},
        {HTTP_POST, "/v1/messages/count_tokens", ROUTE_COUNT, "count_tokens"},
        {HTTP_GET, "/v1/messages/count_tokens", ROUTE_METHOD, "count_tokens"},
        {HTTP_POST, "/v1/messages/batches", ROUTE_BATCHES, "batches"},
        {HTTP_GET, "/v1/messages/batches/b_1/results", ROUTE_BATCHES, "batches"},
        {HTTP_POST, "/v1/messages/batchesX", ROUTE_OTHER, "other"},
        {HTTP_POST, "/v1/messages/other", ROUTE_OTHER, "other"},
        {HTTP_POST, "/v1/files", ROUTE_FILES, "files"},
        {HTTP_DELETE, "/v1/files/file_1", ROUTE_FILES, "files"},
        {HTTP_GET, "/v1/models", ROUTE_MODELS, "models"},
        {HTTP_POST, "/v1/models", ROUTE_METHOD, "models"},
        {HTTP_GET, "/v1/models/claude-opus-5-5", ROUTE_OTHER, "model"},
        {HTTP_GET, "/v1/models/claude-opus-5-5%5B1m%5D", ROUTE_OTHER, "model"},
        {HTTP_GET, "/v1/models/vendor/model", ROUTE_OTHER, "model"},
        {HTTP_POST, "/v1/models/gemini-3-pro:generateContent", ROUTE_CHAT, "gemini"},
        {HTTP_POST, "/v1beta/models/gemini-3-pro:generateContent", ROUTE_CHAT, "gemini"},
        {HTTP_POST, "/v1/models/gemini-3-pro:streamGenerateContent", ROUTE_CHAT, "gemini"},
        {HTTP_POST, "/v1/models/gemini-3-pro:countTokens", ROUTE_COUNT, "gemini_count"},
        {HTTP_GET, "/v1/models/gemini-3-pro:generateContent", ROUTE_METHOD, "gemini"},
        {HTTP_POST, "/v1/complete", ROUTE_OTHER, "other"},
        {HTTP_GET, "/v1", ROUTE_OTHER, "other"},
        {HTTP_GET, "/v1x", ROUTE_UNKNOWN, "unknown"},
        {HTTP_GET, "/v2/messages", ROUTE_UNKNOWN, "unknown"},
        {HTTP_POST, "/V1/messages", ROUTE_UNKNOWN, "unknown"},
        {HTTP_GET, "/favicon.ico", ROUTE_UNKNOWN, "unknown"},
        {HTTP_POST, "/v1/chat/completions", ROUTE_CHAT, "chat"},
        {HTTP_POST, "/chat/completions", ROUTE_CHAT, "chat"},
        {HTTP_GET, "/v1/chat/completions", ROUTE_METHOD, "chat"},
        {HTTP_POST, "/v1/embeddings", ROUTE_TEXTS, "embeddings"},
        {HTTP_POST, "/v1/responses", ROUTE_CHAT, "responses"},
        {HTTP_POST, "/v1/responses/compact", ROUTE_TEXTS, "compact"},
        {HTTP_GET, "/v1/responses/resp_1", ROUTE_STATE, "responses_state"},
        {HTTP_POST, "/v1/responses/resp_1/cancel", ROUTE_STATE, "responses_state"},
        {HTTP_POST, "/model/m%3A0/invoke", ROUTE_CHAT, "bedrock"},
        {HTTP_POST, "/model/m/invoke-with-response-stream", ROUTE_CHAT, "bedrock"},
        {HTTP_POST, "/model/m/count-tokens", ROUTE_COUNT, "bedrock_count"},
        {HTTP_POST, "/model/m/converse", ROUTE_UNKNOWN, "unknown"},
        {HTTP_POST, "/model/m/x/invoke", ROUTE_UNKNOWN, "unknown"},
        {HTTP_POST, "/model//invoke", ROUTE_UNKNOWN, "unknown"},
        {HTTP_GET, "/inference-profiles", ROUTE_PROFILES, "profiles"},
        {HTTP_POST, "/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict",
         ROUTE_CHAT, "vertex"},
        {HTTP_POST, "/projects/p/locations/l/publishers/anthropic/models/m@1:streamRawPredict",
         ROUTE_CHAT, "vertex"},
        {HTTP_POST,
         "/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict",
         ROUTE_COUNT, "vertex_count"},
        {HTTP_POST, "/projects/p/locations/l/publishers/google/models/m:rawPredict", ROUTE_UNKNOWN,
         "unknown"},
        {HTTP_POST, "/v1beta/models/g:generateContent", ROUTE_CHAT, "gemini"},
        {HTTP_POST, "/v1beta/models/g:streamGenerateContent", ROUTE_CHAT, "gemini"},
        {HTTP_POST, "/v1beta/models/g:countTokens", ROUTE_COUNT, "gemini_count"},
        {HTTP_POST, "/v1beta/models/:countTokens", ROUTE_UNKNOWN, "unknown"},
        {HTTP_GET, "/v1beta/models", ROUTE_MODELS, "models"},
        {HTTP_POST, "/api/chat", ROUTE_CHAT, "ollama"},
        {HTTP_GET, "/api/tags", ROUTE_MODELS, "models"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct route r = route_find(rows[i].m, slice_of(rows[i].path));
        if (r.kind != rows[i].kind || strcmp(r.name, rows[i].name) != 0)
            fail_msg("%s %s: %s, kind %d", http_method_name(rows[i].m), rows[i].path, r.name,
                     (int)r.kind);
    }
}

/* Whose list of models is meant is told by the way the client shows who it is. */
static void test_settled(void **state)
{
    static const struct {
        const char *path, *name, *value;
        enum dialect dialect;
    } rows[] = {
        {"/v1/models", "x-api-key", "k", DIALECT_ANTHROPIC},
        {"/v1/models", "authorization", "Bearer k", DIALECT_OPENAI},
        {"/v1/models", "x-goog-api-key", "k", DIALECT_GEMINI},
        {"/v1/models", "anthropic-version", "2023-06-01", DIALECT_ANTHROPIC},
        {"/v1/models/m", "authorization", "Bearer k", DIALECT_OPENAI},
        {"/v1/models/m", "x-api-key", "k", DIALECT_ANTHROPIC},
        {"/v1/skills", "authorization", "Bearer k", DIALECT_ANTHROPIC},
        {"/v1beta/models", "x-api-key", "k", DIALECT_GEMINI},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct http_header h = {slice_of(rows[i].name), slice_of(rows[i].value)};
        struct http_head head = {.header = &h, .headers = 1};
        struct route r = route_find(HTTP_GET, slice_of(rows[i].path));
        route_settle(&r, &head);
        if (r.front.dialect != rows[i].dialect)
            fail_msg("%s with %s: %d", rows[i].path, rows[i].name, (int)r.front.dialect);
    }
}

/* Other spellings of a path that a provider might fold into it. */
static void test_spellings(void **state)
{
    static const char *const paths[] = {
        "/v1//messages",  "//v1/messages",    "/v1/messages/",         "/v1/%6dessages",
        "/v1/%6Dessages", "/v1/messages%2e",  "/v1/messages/%7e",      "/v1/messages%",
        "/v1/messages%4", "/v1/messages%zz",  "/v1/messages/batches/", "/v1/files//file_1",
        "/livez/",        "/v1/%63omplete/x", "/v1/messages;x",        "/v1/messages/batches/b;v=1",
        "/v1/Messages",   "/V1/messages",     "/v1/FILES/file_1",      "/v1/messages/Batches",
        "/LIVEZ",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(paths); i++) {
        struct route r = route_find(HTTP_POST, slice_of(paths[i]));
        if (r.kind != ROUTE_UNKNOWN)
            fail_msg("%s is %s", paths[i], r.name);
    }
}

static void test_objects(void **state)
{
    static const struct {
        const char *path, *object;
    } rows[] = {
        {"/v1/messages/batches", ""},
        {"/v1/messages/batches/msgbatch_01", "msgbatch_01"},
        {"/v1/messages/batches/msgbatch_01/results", "msgbatch_01"},
        {"/v1/messages/batches/msgbatch_01/cancel", "msgbatch_01"},
        {"/v1/files", ""},
        {"/v1/files/file_9/content", "file_9"},
        {"/v1/models/claude", ""},
        {"/v1/other/thing", ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct slice path = slice_of(rows[i].path);
        struct route r = route_find(HTTP_GET, path);
        if (!slice_eq(r.object, slice_of(rows[i].object)))
            fail_msg("%s: object %.*s", rows[i].path, (int)r.object.n, r.object.p);
        /* a part of the path, not a copy */
        assert_true(r.object.n == 0 || (r.object.p > path.p && r.object.p < path.p + path.n));
    }
}

static void test_fronts(void **state)
{
    static const struct {
        const char *path;
        enum dialect dialect;
        enum api call;
        enum wire wire;
        enum framing stream;
        bool streams;
        const char *model;
    } rows[] = {
        {"/v1/messages", DIALECT_ANTHROPIC, API_CHAT, WIRE_PLAIN, FRAMING_SSE, false, ""},
        {"/v1/chat/completions", DIALECT_OPENAI, API_CHAT, WIRE_PLAIN, FRAMING_SSE, false, ""},
        {"/v1/responses/compact", DIALECT_RESPONSES, API_COMPACT, WIRE_PLAIN, FRAMING_SSE, false,
         ""},
        {"/model/a%3A0/invoke", DIALECT_ANTHROPIC, API_CHAT, WIRE_BEDROCK, FRAMING_AWS, false,
         "a%3A0"},
        {"/model/a/invoke-with-response-stream", DIALECT_ANTHROPIC, API_CHAT, WIRE_BEDROCK,
         FRAMING_AWS, true, "a"},
        {"/projects/p/locations/l/publishers/anthropic/models/a@2:streamRawPredict",
         DIALECT_ANTHROPIC, API_CHAT, WIRE_VERTEX, FRAMING_SSE, true, "a@2"},
        {"/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict",
         DIALECT_ANTHROPIC, API_COUNT, WIRE_VERTEX, FRAMING_SSE, false, ""},
        {"/v1beta/models/g:x:streamGenerateContent", DIALECT_GEMINI, API_CHAT, WIRE_PLAIN,
         FRAMING_ARRAY, true, "g:x"},
        {"/api/chat", DIALECT_OLLAMA, API_CHAT, WIRE_PLAIN, FRAMING_LINES, false, ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct route r = route_find(HTTP_POST, slice_of(rows[i].path));
        const struct front *f = &r.front;
        if (f->dialect != rows[i].dialect || f->call != rows[i].call || f->wire != rows[i].wire ||
            f->stream != rows[i].stream || f->streams != rows[i].streams ||
            !slice_eq(r.model, slice_of(rows[i].model)))
            fail_msg("%s: another front, model %.*s", rows[i].path, (int)r.model.n, r.model.p);
    }
}

/* What a path may name: nothing that could end a segment, a string or a line. */
static void test_models_in_paths(void **state)
{
    static const struct {
        const char *coded, *plain; /* NULL: refused */
    } rows[] = {
        {"claude", "claude"}, {"a%3A0", "a:0"},   {"a@2025", "a@2025"}, {"arn%3Aaws", "arn:aws"},
        {"%2e%2e%2fx", NULL}, {"a%2F..", NULL},   {"..", NULL},         {".", NULL},
        {"a%2Fb", "a/b"},     {"a%2F%2Fb", NULL}, {"%2Fa", NULL},       {"a%2F", NULL},
        {"a%00b", NULL},      {"a%0d%0ab", NULL}, {"a%22b", NULL},      {"a%5Cb", NULL},
        {"a%20b", NULL},      {"a%", NULL},       {"a%4", NULL},        {"a%zz", NULL},
        {"%C3%A9", NULL},     {"", NULL},         {"x%3Fy", "x?y"},
    };
    char out[32], small[4];
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool ok = route_model(slice_of(rows[i].coded), out, sizeof out);
        if (ok != (rows[i].plain != NULL) || (ok && strcmp(out, rows[i].plain) != 0))
            fail_msg("%s is %s", rows[i].coded, ok ? out : "refused");
    }
    assert_true(route_model(S("abc"), small, sizeof small));
    assert_false(route_model(S("abcd"), small, sizeof small));
}

/* The same path, asked by clients of two vendors. */
static void test_settle(void **state)
{
    static const struct {
        const char *name, *query;
        enum dialect dialect;
        enum framing stream;
    } rows[] = {
        {"authorization", "", DIALECT_OPENAI, FRAMING_SSE},
        {"x-api-key", "", DIALECT_ANTHROPIC, FRAMING_SSE},
        {"anthropic-version", "", DIALECT_ANTHROPIC, FRAMING_SSE},
        {"accept", "", DIALECT_ANTHROPIC, FRAMING_SSE},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct http_header h = {slice_of(rows[i].name), S("x")};
        struct http_head head = {
            .path = S("/v1/models"), .query = S(""), .header = &h, .headers = 1};
        struct route r = route_find(HTTP_GET, head.path);
        route_settle(&r, &head);
        assert_int_equal(r.front.dialect, rows[i].dialect);
    }
    struct http_head head = {.path = S("/v1beta/models/g:streamGenerateContent"),
                             .query = S("a=1&alt=sse")};
    struct route r = route_find(HTTP_POST, head.path);
    route_settle(&r, &head);
    assert_int_equal(r.front.stream, FRAMING_SSE);
    head.query = S("xalt=sse&alt=json");
    r = route_find(HTTP_POST, head.path);
    route_settle(&r, &head);
    assert_int_equal(r.front.stream, FRAMING_ARRAY);
}

/* How errors are worded that come before anything is routed, or for what is not served. */
static void test_guess(void **state)
{
    static const struct {
        const char *path;
        enum dialect dialect;
        enum wire wire;
    } rows[] = {
        {"", DIALECT_ANTHROPIC, WIRE_PLAIN},
        {"/", DIALECT_ANTHROPIC, WIRE_PLAIN},
        {"/v1/messages", DIALECT_ANTHROPIC, WIRE_PLAIN},
        {"/v1/chat/completions", DIALECT_OPENAI, WIRE_PLAIN},
        {"/v1/embeddings/x", DIALECT_OPENAI, WIRE_PLAIN},
        {"/v1/responses", DIALECT_RESPONSES, WIRE_PLAIN},
        {"/v1beta/models/g:generateContent", DIALECT_GEMINI, WIRE_PLAIN},
        {"/v1/models/g:streamGenerateContent", DIALECT_GEMINI, WIRE_PLAIN},
        {"/v1/models/g", DIALECT_ANTHROPIC, WIRE_PLAIN},
        {"/model/m/converse", DIALECT_ANTHROPIC, WIRE_BEDROCK},
        {"/v1/projects/p/x", DIALECT_ANTHROPIC, WIRE_VERTEX},
        {"/api/generate", DIALECT_OLLAMA, WIRE_PLAIN},
        {"/api/hello", DIALECT_ANTHROPIC, WIRE_PLAIN},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct front f = route_guess(slice_of(rows[i].path));
        if (f.dialect != rows[i].dialect || f.wire != rows[i].wire)
            fail_msg("%s: dialect %d, wire %d", rows[i].path, (int)f.dialect, (int)f.wire);
    }
}

static void test_allow(void **state)
{
    char text[ROUTE_ALLOW_MAX];
    (void)state;
    struct route r = route_find(HTTP_GET, S("/v1/chat/completions"));
    assert_int_equal(r.kind, ROUTE_METHOD);
    assert_true(slice_eq(route_allow(&r, text), S("POST")));
    r = route_find(HTTP_POST, S("/v1/models"));
    assert_int_equal(r.kind, ROUTE_METHOD);
    assert_true(slice_eq(route_allow(&r, text), S("GET, HEAD")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),     cmocka_unit_test(test_settled),
        cmocka_unit_test(test_spellings), cmocka_unit_test(test_objects),
        cmocka_unit_test(test_fronts),    cmocka_unit_test(test_models_in_paths),
        cmocka_unit_test(test_guess),     cmocka_unit_test(test_allow),
        cmocka_unit_test(test_settle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
