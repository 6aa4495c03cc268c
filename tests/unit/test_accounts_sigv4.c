/* links: base http accounts */
/* AWS Signature Version 4 against the published vectors (wire/bedrock.md section 4), and the bounds
 * of what it signs. */
#include "accounts/sigv4.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define SECRET   "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
#define AT_2015  INT64_C(1440938160000) /* 20150830T123600Z */
#define AT_2026  INT64_C(1767323045000) /* 20260102T030405Z */
#define BODY                                                                                   \
    "{\"anthropic_version\":\"bedrock-2023-05-31\",\"max_tokens\":16,\"messages\":[{\"role\":" \
    "\"user\",\"content\":\"hi\"}]}"

static const struct aws_keys example = {{"AKIDEXAMPLE", 11}, {SECRET, sizeof SECRET - 1}, {"", 0}};

struct signed_request {
    struct http_header h[SIGV4_HEADERS];
    int n;
    char memory[SIGV4_MEMORY];
};

static struct slice value_of(const struct signed_request *s, const char *name)
{
    for (int i = 0; i < s->n; i++) {
        if (slice_eq(s->h[i].name, slice_of(name)))
            return s->h[i].value;
    }
    return S("");
}

static void assert_signed(const struct sigv4_request *r, const char *signature, int line)
{
    struct signed_request s;
    assert_int_equal(sigv4_sign(r, s.h, &s.n, s.memory, sizeof s.memory), OK);
    struct slice a = value_of(&s, "authorization");
    char want[96];
    text_format(want, sizeof want, ", Signature=%s", signature);
    if (!slice_ends(a, slice_of(want)))
        fail_msg("line %d: <%.*s>, wanted %s", line, (int)a.n, a.p, signature);
}

/* The suite's own request: service "service", no header but host and x-amz-date. */
static struct sigv4_request suite(const char *method, const char *path, const char *query)
{
    struct sigv4_request r = {.method = slice_of(method),
                              .host = S("example.amazonaws.com"),
                              .path = slice_of(path),
                              .query = slice_of(query),
                              .region = S("us-east-1"),
                              .service = S("service"),
                              .keys = example,
                              .now = AT_2015};
    crypto_sha256(r.body_hash, S(""));
    return r;
}

#define VANILLA "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"

static void test_suite(void **state)
{
    static const struct {
        const char *method, *path, *query, *signature;
    } rows[] = {
        {"GET", "/", "", VANILLA},
        {"GET", "", "", VANILLA},
        {"POST", "/", "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
        {"GET", "/", "Param2=value2&Param1=value1",
         "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
        {"GET", "/", "&Param1=value1&&Param2=value2&",
         "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
        {"GET", "/", "Param2=valu%652&Param1=value1",
         "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
        /* get-slash, get-slashes' rule, get-relative and its like: the path is resolved */
        {"GET", "//", "", VANILLA},
        {"GET", "/./", "", VANILLA},
        {"GET", "/foo/..", "", VANILLA},
        {"GET", "/foo/bar/../..", "", VANILLA},
        {"GET", "/../../..", "", VANILLA},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct sigv4_request r = suite(rows[i].method, rows[i].path, rows[i].query);
        assert_signed(&r, rows[i].signature, (int)i);
    }
}

static void test_authorization(void **state)
{
    struct signed_request s;
    struct sigv4_request r = suite("GET", "/", "");
    (void)state;
    assert_int_equal(sigv4_sign(&r, s.h, &s.n, s.memory, sizeof s.memory), OK);
    assert_int_equal(s.n, 2);
    assert_true(slice_eq(value_of(&s, "x-amz-date"), S("20150830T123600Z")));
    assert_true(slice_eq(value_of(&s, "authorization"),
                         S("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/"
                           "aws4_request, SignedHeaders=host;x-amz-date, Signature=" VANILLA)));
}

static struct sigv4_request bedrock(const char *path)
{
    static const struct http_header type = {{"content-type", 12}, {"application/json", 16}};
    struct sigv4_request r = {.method = S("POST"),
                              .host = S("bedrock-runtime.us-east-1.amazonaws.com"),
                              .path = slice_of(path),
                              .query = S(""),
                              .header = &type,
                              .headers = 1,
                              .tell_hash = true,
                              .region = S("us-east-1"),
                              .service = S("bedrock"),
                              .keys = example,
                              .now = AT_2026};
    crypto_sha256(r.body_hash, S(BODY));
    return r;
}

#define MODEL "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke"

static void test_bedrock(void **state)
{
    struct signed_request s;
    struct sigv4_request r = bedrock(MODEL);
    (void)state;
    assert_signed(&r, "2e8e82a0d57658e7f4f14582960092e60844536f684c32466e60d7b2b57e6bdd", __LINE__);
    assert_int_equal(sigv4_sign(&r, s.h, &s.n, s.memory, sizeof s.memory), OK);
    assert_int_equal(s.n, 3);
    assert_true(
        slice_search(value_of(&s, "authorization"),
                     S("SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date,")) > 0);
    assert_true(slice_eq(value_of(&s, "x-amz-content-sha256"),
                         S("616eb59224eb795b641b4c541ad9ee8b939a1e8798f73b54fce66bb79ddbb992")));
    r.keys.token = S("EXAMPLETOKEN");
    assert_signed(&r, "1571af25861798769bc0f117140759c50e245a7b1f930ffc4c072cb1e975c25a", __LINE__);
    assert_int_equal(sigv4_sign(&r, s.h, &s.n, s.memory, sizeof s.memory), OK);
    assert_true(slice_eq(value_of(&s, "x-amz-security-token"), S("EXAMPLETOKEN")));
    r = bedrock("/model/us.anthropic.claude-sonnet-4-5-20250929-v1:0/invoke");
    assert_signed(&r, "f414d8006c0a50d8bc79b58871e2a5c1310a171deb59fecb9c39a6fd277efe93", __LINE__);
}

/* Ids of models as they stand in a path. */
static void test_encode(void **state)
{
    static const struct {
        const char *id, *want;
    } rows[] = {
        {"anthropic.claude-opus-5", "anthropic.claude-opus-5"},
        {"anthropic.claude-sonnet-4-5-20250929-v1:0",
         "anthropic.claude-sonnet-4-5-20250929-v1%3A0"},
        {"arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/ab~c_d",
         "arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Aapplication-inference-profile%2Fab~c_d"},
        {"a b%+\xc3\xa9", "a%20b%25%2B%C3%A9"},
    };
    struct buf out;
    (void)state;
    buf_init(&out, 256);
    for (size_t i = 0; i < COUNT(rows); i++) {
        buf_clear(&out);
        assert_int_equal(sigv4_encode(slice_of(rows[i].id), &out), OK);
        assert_true(slice_eq(buf_slice(&out), slice_of(rows[i].want)));
    }
    buf_free(&out);
}

/* Computed apart from this program, with botocore's rules written down once more in Python. */
static void test_headers(void **state)
{
    static const struct http_header a[] = {
        {{"my-header2", 10}, {"\"a   b   c\"", 11}}, {{"my-header1", 10}, {"  value4 ", 9}},
        {{"my-header1", 10}, {"value1\t \tx", 10}},  {{"host", 4}, {"evil.example.com", 16}},
        {{"authorization", 13}, {"Bearer x", 8}},    {{"x-amz-date", 10}, {"19700101T000000Z", 16}},
    };
    struct sigv4_request r = suite("GET", "/", "");
    struct signed_request s;
    (void)state;
    r.header = a;
    r.headers = COUNT(a);
    assert_signed(&r, "a42d1c082eed4841d9dfe704fd2b3b83205a331f88ebba874f0d29ed651d623f", __LINE__);
    assert_int_equal(sigv4_sign(&r, s.h, &s.n, s.memory, sizeof s.memory), OK);
    assert_true(slice_search(value_of(&s, "authorization"),
                             S("SignedHeaders=host;my-header1;my-header2;x-amz-date,")) > 0);
}

static void test_query(void **state)
{
    struct sigv4_request r = suite("GET", "/a b/%2F:;/", "b=2&b=1&a-x=3&a=%zz+%20%c3%a9&c&=d");
    (void)state;
    assert_signed(&r, "4e94558349294e43acc045109187cc275bfeb81359c81d380b57061ce30aa0db", __LINE__);
}

static void test_bounds(void **state)
{
    struct signed_request s;
    struct http_header many[SIGV4_SIGN_MAX + 1];
    char query[4 * SIGV4_QUERY_MAX + 8] = "", region[256];
    struct sigv4_request r = bedrock(MODEL);
    (void)state;
    r.keys.token = S("T");
    for (size_t size = 0; size < 400; size++) { /* every size is either enough or refused */
        memset(s.memory, 'x', sizeof s.memory);
        enum err e = sigv4_sign(&r, s.h, &s.n, s.memory, size);
        assert_true(e == OK || (e == ERR_LIMIT && s.n == 0));
        assert_int_equal(s.memory[size], 'x');
        assert_true(size < 340 || e == OK);
        assert_true(size > 310 || e != OK);
    }
    for (size_t i = 0; i < COUNT(many); i++)
        many[i] = (struct http_header){S("x-a"), S("1")};
    r.header = many;
    r.headers = SIGV4_SIGN_MAX;
    assert_int_equal(sigv4_sign(&r, s.h, &s.n, s.memory, sizeof s.memory), OK);
    r.headers++;
    assert_int_equal(sigv4_sign(&r, s.h, &s.n, s.memory, sizeof s.memory), ERR_LIMIT);
    r = suite("GET", "/", query);
    for (int i = 0; i < SIGV4_QUERY_MAX; i++)
        memcpy(query + (size_t)i * 4, "a=b&", 5);
    r.query = slice_of(query);
    assert_int_equal(sigv4_sign(&r, s.h, &s.n, s.memory, sizeof s.memory), OK);
    memcpy(query + sizeof query - 8, "a=b", 4);
    r.query = slice_of(query);
    assert_int_equal(sigv4_sign(&r, s.h, &s.n, s.memory, sizeof s.memory), ERR_LIMIT);
    memset(region, 'r', sizeof region);
    r = suite("GET", "/", "");
    r.region = (struct slice){region, sizeof region};
    assert_int_equal(sigv4_sign(&r, s.h, &s.n, s.memory, sizeof s.memory), ERR_LIMIT);
    r.region = S("");
    assert_int_equal(sigv4_sign(&r, s.h, &s.n, s.memory, sizeof s.memory), ERR_SYNTAX);
}

static void test_keys(void **state)
{
    static const struct {
        const char *text, *id, *secret, *token;
    } rows[] = {
        {"AKID:sec/ret+", "AKID", "sec/ret+", ""},
        {"ASIA:s:tok==", "ASIA", "s", "tok=="},
        {"ASIA:s:tok:en", "ASIA", "s", "tok:en"},
        {"", NULL, NULL, NULL},
        {"AKID", NULL, NULL, NULL},
        {"AKID:", NULL, NULL, NULL},
        {":secret", NULL, NULL, NULL},
        {"AK ID:secret", NULL, NULL, NULL},
        {"AK/ID:secret", NULL, NULL, NULL},
        {"AKID:sec\nret", NULL, NULL, NULL},
        {"AKID:secret:to ken", NULL, NULL, NULL},
    };
    struct aws_keys k;
    struct buf out;
    (void)state;
    buf_init(&out, 64);
    for (size_t i = 0; i < COUNT(rows); i++) {
        enum err e = aws_keys_read(slice_of(rows[i].text), &k);
        assert_int_equal(e, rows[i].id != NULL ? OK : ERR_SYNTAX);
        if (e != OK)
            continue;
        assert_true(slice_eq(k.id, slice_of(rows[i].id)));
        assert_true(slice_eq(k.secret, slice_of(rows[i].secret)));
        assert_true(slice_eq(k.token, slice_of(rows[i].token)));
        buf_clear(&out);
        assert_int_equal(aws_keys_print(&k, &out), OK);
        assert_true(slice_eq(buf_slice(&out), slice_of(rows[i].text)));
    }
    out.max = out.cap = (uint32_t)out.len + 2; /* does not fit: nothing is left behind */
    size_t before = out.len;
    assert_int_equal(aws_keys_print(&example, &out), ERR_LIMIT);
    assert_int_equal(out.len, before);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_suite),   cmocka_unit_test(test_authorization),
        cmocka_unit_test(test_bedrock), cmocka_unit_test(test_encode),
        cmocka_unit_test(test_headers), cmocka_unit_test(test_query),
        cmocka_unit_test(test_bounds),  cmocka_unit_test(test_keys),
    };

    crypto_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
