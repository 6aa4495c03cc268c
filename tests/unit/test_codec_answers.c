/* links: base http codec */
/* What is written and rewritten: errors in the client's dialect, error bodies read, model lists,
 * batches. */
#include "codec/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void assert_buf(struct buf *b, const char *want)
{
    if (!slice_eq(buf_slice(b), slice_of(want)))
        fail_msg("got  %.*s\nwant %s", (int)b->len, b->p, want);
    buf_clear(b);
}

static void test_error_body(void **state)
{
    static const struct {
        int status;
        const char *type;
    } rows[] = {
        {400, "invalid_request_error"},
        {401, "authentication_error"},
        {402, "billing_error"},
        {403, "permission_error"},
        {404, "not_found_error"},
        {405, "invalid_request_error"},
        {408, "invalid_request_error"},
        {409, "conflict_error"},
        {413, "request_too_large"},
        {429, "rate_limit_error"},
        {500, "api_error"},
        {501, "not_supported"},
        {502, "api_error"},
        {503, "api_error"},
        {504, "timeout_error"},
        {529, "overloaded_error"},
    };
    struct buf b;
    char want[200];
    (void)state;
    buf_init(&b, 4096);
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(
            codec_error_body(DIALECT_ANTHROPIC, rows[i].status, S("no \"x\"\n"), S("req_1"), &b),
            OK);
        (void)text_format(want, sizeof want,
                          "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":\"no "
                          "\\\"x\\\"\\n\"},\"request_id\":\"req_1\"}",
                          rows[i].type);
        assert_buf(&b, want);
    }
    assert_int_equal(codec_error_body(DIALECT_ANTHROPIC, 500, S("m"), S(""), &b), OK);
    assert_buf(&b, "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"m\"},"
                   "\"request_id\":null}");
    buf_free(&b);
    buf_init(&b, 10);
    assert_int_equal(codec_error_body(DIALECT_ANTHROPIC, 500, S("m"), S(""), &b), ERR_LIMIT);
    buf_free(&b);
}

/* What the gateway says in a stream is understood by an observer, and is a whole event. */
static void test_own_events(void **state)
{
    struct buf b;
    struct observer *o = observer_new(DIALECT_ANTHROPIC, REPLY_SSE);
    struct slice ping = codec_ping(DIALECT_ANTHROPIC);
    (void)state;
    assert_true(slice_eq(ping, S("event: ping\ndata: {\"type\": \"ping\"}\n\n")));
    assert_int_equal(observer_feed(o, ping), ping.n);
    assert_false(observer_see(o)->meaningful || observer_see(o)->blind);
    buf_init(&b, 4096);
    assert_int_equal(codec_error_event(DIALECT_ANTHROPIC, 529, S("line\r\n\r\nbreak"), S("id"), &b),
                     OK);
    assert_int_equal(observer_feed(o, buf_slice(&b)), b.len);
    assert_int_equal(observer_see(o)->error, REPLY_ERROR_OVERLOADED);
    assert_string_equal(reply_words(observer_see(o))->error_message, "line\r\n\r\nbreak");
    buf_free(&b);
    observer_free(o);
}

static void test_error_read(void **state)
{
#define ERROR(type, message) \
    "{\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\"" message "\"}}"
    static const struct {
        int status;
        const char *body;
        enum reply_error error;
        const char *type, *message;
    } rows[] = {
        {429, ERROR("rate_limit_error", "m"), REPLY_ERROR_RATE_LIMIT, "rate_limit_error", "m"},
        {529, ERROR("overloaded_error", "m"), REPLY_ERROR_OVERLOADED, "overloaded_error", "m"},
        {503, ERROR("overloaded_error", "m"), REPLY_ERROR_OVERLOADED, "overloaded_error", "m"},
        {500, ERROR("api_error", "m"), REPLY_ERROR_SERVER, "api_error", "m"},
        {401, ERROR("authentication_error", "m"), REPLY_ERROR_AUTH, "authentication_error", "m"},
        {400, ERROR("invalid_request_error", "m"), REPLY_ERROR_CLIENT, "invalid_request_error",
         "m"},
        {400, ERROR("invalid_request_error", "You have reached your specified API usage limits. x"),
         REPLY_ERROR_BILLING, "invalid_request_error",
         "You have reached your specified API usage limits. x"},
        {400, ERROR("invalid_request_error", "Your credit balance is too low to access"),
         REPLY_ERROR_BILLING, "invalid_request_error", "Your credit balance is too low to access"},
        /* a quotation of the request is not the provider speaking */
        {400,
         ERROR("invalid_request_error",
               "bad text: You have reached your specified API usage limits"),
         REPLY_ERROR_CLIENT, "invalid_request_error",
         "bad text: You have reached your specified API usage limits"},
        {429,
         "{\"error\":{\"type\":\"rate_limit_error\",\"message\":\"m\",\"details\":{\"error_code\":"
         "\"enforced_spend_limit_reached\"}}}",
         REPLY_ERROR_BILLING, "rate_limit_error", "m"},
        {400,
         "{\"error\":{\"type\":\"invalid_request_error\",\"details\":{\"error_code\":"
         "\"organization_on_hold\"}}}",
         REPLY_ERROR_AUTH, "invalid_request_error", ""},
        {500, "{\"error\":\"text only\"}", REPLY_ERROR_SERVER, "", "text only"},
        {404, "{\"message\":\"flat\",\"type\":\"x\"}", REPLY_ERROR_CLIENT, "x", "flat"},
        {422, "{\"detail\":\"fast\"}", REPLY_ERROR_CLIENT, "", "fast"},
        {429, ERROR("1308", "Usage limit reached"), REPLY_ERROR_RATE_LIMIT, "1308",
         "Usage limit reached"},
        {403, "<html>no</html>", REPLY_ERROR_AUTH, "", ""},
        {402, "", REPLY_ERROR_BILLING, "", ""},
        {502, "[1]", REPLY_ERROR_SERVER, "", ""},
        {529, "{\"error\":{\"type\":7,\"message\":[]}}", REPLY_ERROR_OVERLOADED, "", ""},
        {429, "{\"error\":{\"type\":\"rate_limit_error\",\"mess", REPLY_ERROR_RATE_LIMIT, "", ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct reply_words words = {0};
        struct observation o = {.words = &words};
        codec_error_read(DIALECT_ANTHROPIC, rows[i].status, slice_of(rows[i].body), &o);
        if (o.error != rows[i].error || strcmp(reply_words(&o)->error_type, rows[i].type) != 0 ||
            strcmp(reply_words(&o)->error_message, rows[i].message) != 0)
            fail_msg("%d %s: %d %s %s", rows[i].status, rows[i].body, o.error,
                     reply_words(&o)->error_type, reply_words(&o)->error_message);
    }
}

/* ---- model lists ----------------------------------------------------------------------------- */

#define M(id, at) "{\"type\":\"model\",\"id\":\"" id "\",\"created_at\":\"" at "\"}"

static void merge(struct buf *b, const char *const *bodies, int n, struct model_page page)
{
    struct slice s[8];
    for (int i = 0; i < n; i++)
        s[i] = slice_of(bodies[i]);
    assert_int_equal(codec_models_merge(s, n, &page, b), OK);
}

static void test_models_union(void **state)
{
    static const char *const bodies[] = {
        "{\"data\":[" M("b", "2026-02-01T00:00:00Z") "," M("a", "2026-01-01T00:00:00Z") "]}",
        "<html>",
        "{\"data\":[{\"id\":\"old\"},{\"id\":7},{},3," M("c", "2026-03-01T00:00:00Z") "]}",
        "{\"data\":[" M("b", "2030-01-01T00:00:00Z") "," M("d", "2026-02-01T00:00:00Z") "]}",
        "{\"data\":[{\"id\":\"evil\",\"x\":nonsense}]}",
        "{\"data\":{\"id\":\"e\"}}",
        "[]",
    };
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 16);
    merge(&b, bodies, COUNT(bodies), (struct model_page){0});
    assert_buf(
        &b,
        "{\"data\":[" M("c", "2026-03-01T00:00:00Z") "," M("b", "2026-02-01T00:00:00Z") "," M(
            "d",
            "2026-02-01T00:00:00Z") "," M("a",
                                          "2026-01-01T00:00:00Z") ",{\"id\":"
                                                                  "\"old\"}],"
                                                                  "\"first_id\":\"c\",\"last_id\":"
                                                                  "\"old\",\"has_more\":false}");
    merge(&b, bodies, 0, (struct model_page){0});
    assert_buf(&b, "{\"data\":[],\"first_id\":null,\"last_id\":null,\"has_more\":false}");
    buf_free(&b);
}

/* The ids 39, 38 ... 0; a page as "first..last more". */
static void test_models_pages(void **state)
{
    static const struct {
        struct model_page page;
        const char *want;
    } rows[] = {
        {{0, {"", 0}, {"", 0}}, "m39..m20 1"},        {{1000, {"", 0}, {"", 0}}, "m39..m00 0"},
        {{5, {"", 0}, {"", 0}}, "m39..m35 1"},        {{5, {"m35", 3}, {"", 0}}, "m34..m30 1"},
        {{5, {"m05", 3}, {"", 0}}, "m04..m00 0"},     {{5, {"m00", 3}, {"", 0}}, ".. 0"},
        {{5, {"gone", 4}, {"", 0}}, ".. 0"},          {{5, {"", 0}, {"m30", 3}}, "m35..m31 1"},
        {{5, {"", 0}, {"m37", 3}}, "m39..m38 0"},     {{5, {"", 0}, {"m39", 3}}, ".. 0"},
        {{5, {"", 0}, {"gone", 4}}, ".. 0"},          {{-3, {"", 0}, {"", 0}}, "m39..m39 1"},
        {{99999, {"m39", 3}, {"", 0}}, "m38..m00 0"},
    };
    struct buf in, out;
    struct json *doc = NULL;
    char got[64];
    (void)state;
    buf_init(&in, 1 << 16);
    buf_init(&out, 1 << 16);
    assert_int_equal(buf_puts(&in, S("{\"data\":[")), OK);
    for (int i = 0; i < 40; i++)
        assert_int_equal(
            buf_printf(&in, "%s{\"id\":\"m%02d\",\"created_at\":\"2026-01-%02dT%02d:00:00Z\"}",
                       i > 0 ? "," : "", i, i / 2 + 1, i % 2),
            OK);
    assert_int_equal(buf_puts(&in, S("]}")), OK);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct slice body = buf_slice(&in);
        buf_clear(&out);
        assert_int_equal(codec_models_merge(&body, 1, &rows[i].page, &out), OK);
        assert_int_equal(json_parse(buf_slice(&out), &doc), OK);
        const struct json_val *root = json_root(doc);
        struct slice first = json_get_str(root, "first_id"), last = json_get_str(root, "last_id");
        (void)text_format(got, sizeof got, "%.*s..%.*s %d", (int)first.n, first.p, (int)last.n,
                          last.p, json_get_bool(root, "has_more", false));
        assert_string_equal(got, rows[i].want);
        json_free(doc);
    }
    buf_free(&in);
    buf_free(&out);
}

static void test_models_faults(void **state)
{
    struct slice body = S("{\"data\":[" M("a", "2026-01-01T00:00:00Z") "]}");
    struct model_page page = {0};
    int failed = 0;
    (void)state;
    for (uint64_t nth = 1; nth <= 20; nth++) {
        struct buf b;
        buf_init(&b, 4096);
        fault_counter = 0;
        fault_target = nth;
        enum err e = codec_models_merge(&body, 1, &page, &b);
        fault_target = 0;
        assert_true(e == OK || e == ERR_NOMEM);
        failed += e == ERR_NOMEM;
        buf_free(&b);
    }
    assert_true(failed > 0);
}

/* ---- batches --------------------------------------------------------------------------------- */

static void test_object_id(void **state)
{
    char id[16];
    (void)state;
    codec_object_id(S("{\"x\":{\"id\":\"no\"},\"id\":\"batch_1\"}"), id, sizeof id);
    assert_string_equal(id, "batch_1");
    codec_object_id(S("{\"x\":{\"id\":\"no\"}}"), id, sizeof id);
    assert_string_equal(id, "");
    codec_object_id(S("{\"id\":7}"), id, sizeof id);
    assert_string_equal(id, "");
    codec_object_id(S("<html>"), id, sizeof id);
    assert_string_equal(id, "");
    codec_object_id(S("{\"id\":\"0123456789abcdefgh\"}"), id, sizeof id);
    assert_string_equal(id, "0123456789abcde");
}

static void test_results_rewrite(void **state)
{
    static const struct {
        const char *in, *out; /* NULL: unchanged */
    } rows[] = {
        {"{\"results_url\":\"https://api.anthropic.com/v1/messages/batches/b1/results\"}",
         "{\"results_url\":\"http://gw:8080/v1/messages/batches/b1/results\"}"},
        {"{ \"results_url\" :\n\"https://api.anthropic.com/x\" , \"id\" : 1 }",
         "{ \"results_url\" :\n\"http://gw:8080/x\" , \"id\" : 1 }"},
        {"{\"data\":[{\"results_url\":\"https://a/1\"},{\"results_url\":null},{\"results_url\":"
         "\"HTTPS://b:99/2?q#f\"}]}",
         "{\"data\":[{\"results_url\":\"http://gw:8080/"
         "1\"},{\"results_url\":null},{\"results_url\":"
         "\"http://gw:8080/2?q#f\"}]}"},
        {"{\"results_url\":\"https:\\/\\/a.b\\/v1\"}", "{\"results_url\":\"http://gw:8080\\/v1\"}"},
        {"{\"results_url\":\"https://user@host\"}", "{\"results_url\":\"http://gw:8080\"}"},
        {"{\"results_url\":\"https://host?x\"}", "{\"results_url\":\"http://gw:8080?x\"}"},
        {"{\"r\\u0065sults_url\":\"https://a/1\"}", "{\"r\\u0065sults_url\":\"http://gw:8080/1\"}"},
        {"{\"results_url\":\"/relative\"}", NULL},
        {"{\"results_url\":\"ftp://a/b\"}", NULL},
        {"{\"results_url\":null}", NULL},
        {"{\"results_url\":[\"https://a/b\"]}", NULL},
        {"{\"other_url\":\"https://a/b\"}", NULL},
        {"{\"x\":\"results_url\",\"y\":\"https://a/b\"}", NULL},
        {"{\"x\":\"\\\"results_url\\\":\\\"https://a/b\\\"\"}", NULL},
        {"{\"results_url\":\"https:/a\"}", NULL},
        {"{\"results_url\":\"https://a", NULL},
        {"{\"results_url\"", NULL},
        {"", NULL},
        {"\"results_url\"", NULL},
    };
    struct buf b;
    (void)state;
    buf_init(&b, 4096);
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *heap = mem_slicedup(slice_of(rows[i].in));
        assert_int_equal(
            codec_results_rewrite((struct slice){heap, strlen(heap)}, S("http://gw:8080"), &b), OK);
        mem_free(heap);
        assert_buf(&b, rows[i].out != NULL ? rows[i].out : rows[i].in);
    }
    buf_free(&b);
    buf_init(&b, 5);
    assert_int_equal(codec_results_rewrite(slice_of(rows[0].in), S("http://gw:8080"), &b),
                     ERR_LIMIT);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_body),   cmocka_unit_test(test_own_events),
        cmocka_unit_test(test_error_read),   cmocka_unit_test(test_models_union),
        cmocka_unit_test(test_models_pages), cmocka_unit_test(test_models_faults),
        cmocka_unit_test(test_object_id),    cmocka_unit_test(test_results_rewrite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
