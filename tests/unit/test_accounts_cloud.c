/* links: base http accounts */
/* The messages of the clouds' credentials: settings, requests, answers, files; by tables. */
#include "accounts/cloud.h"
#include "rsa_keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define NOW      INT64_C(1795255200000)
#define CANARY   "canary-5ecret"

static const struct cloud_config azure = {.cloud = CLOUD_AZURE},
                                 aws = {.cloud = CLOUD_AWS, .service = "bedrock"},
                                 google = {.cloud = CLOUD_GOOGLE},
                                 gitlab = {.cloud = CLOUD_GITLAB,
                                           .token_url = "https://gitlab.com"};

/* ---- configuration --------------------------------------------------------------------------- */

static void test_config(void **state)
{
    static const struct {
        const struct cloud_config *presets;
        const char *settings;
        enum err e;
        enum credential_from from;
    } rows[] = {
        {&azure, "", OK, CREDENTIAL_ANY},
        {&azure, "{}", OK, CREDENTIAL_ANY},
        {&azure, "{\"credential\":\"\"}", OK, CREDENTIAL_ANY},
        {&azure, "{\"credential\":null,\"region\":null}", OK, CREDENTIAL_ANY},
        {&azure, "{\"credential\":\"instance\"}", OK, CREDENTIAL_INSTANCE},
        {&azure, "{\"credential\":\"instance\",\"client_id\":\"c\"}", OK, CREDENTIAL_INSTANCE},
        {&azure, "{\"credential\":\"env\"}", ERR_SYNTAX, CREDENTIAL_ANY},
        {&azure, "{\"credential\":\"container\"}", ERR_SYNTAX, CREDENTIAL_ANY},
        {&azure, "{\"tenant_id\":\"t\"}", ERR_SYNTAX, CREDENTIAL_ANY},
        {&azure, "{\"client_id\":\"c\"}", ERR_SYNTAX, CREDENTIAL_ANY},
        {&azure, "{\"tenant_id\":\"t\",\"client_id\":\"c\"}", OK, CREDENTIAL_ANY},
        {&azure, "{\"tenant_id\":\"a/b\",\"client_id\":\"c\"}", ERR_SYNTAX, CREDENTIAL_ANY},
        {&azure, "{\"tenant_id\":\"a?b\",\"client_id\":\"c\"}", ERR_SYNTAX, CREDENTIAL_ANY},
        {&azure, "{\"token_url\":\"https://login.microsoftonline.us/t/oauth2/v2.0/token\"}", OK,
         CREDENTIAL_ANY},
        {&azure, "{\"token_url\":\"ftp://x\"}", ERR_SYNTAX, CREDENTIAL_ANY},
        {&azure, "{\"token_url\":\"https://u@x/\"}", ERR_SYNTAX, CREDENTIAL_ANY},
        {&azure, "[]", ERR_SYNTAX, CREDENTIAL_ANY},
        {&azure, "{", ERR_SYNTAX, CREDENTIAL_ANY},
        {&aws, "{\"credential\":\"env\"}", OK, CREDENTIAL_ENV},
        {&aws, "{\"credential\":\"profile\",\"profile\":\"My Team/x\"}", OK, CREDENTIAL_PROFILE},
        {&aws, "{\"credential\":\"container\"}", OK, CREDENTIAL_CONTAINER},
        {&aws, "{\"credential\":\"static\",\"region\":\"eu-west-1\"}", OK, CREDENTIAL_STATIC},
        {&aws, "{\"credential\":\"magic\"}", ERR_SYNTAX, CREDENTIAL_ANY},
        {&aws, "{\"credential\":7}", ERR_SYNTAX, CREDENTIAL_ANY},
        {&aws, "{\"region\":7}", ERR_SYNTAX, CREDENTIAL_ANY},
        {&aws, "{\"region\":\"eu west\"}", ERR_SYNTAX, CREDENTIAL_ANY},
        {&aws, "{\"region\":\"eu-west-1\\u0000\"}", ERR_SYNTAX, CREDENTIAL_ANY},
        {&aws, "{\"profile\":\"a]\\n[b\"}", ERR_SYNTAX, CREDENTIAL_ANY},
        {&aws, "{\"region\":\"0123456789012345678901234567890\"}", OK, CREDENTIAL_ANY},
        {&aws, "{\"region\":\"01234567890123456789012345678901\"}", ERR_SYNTAX, CREDENTIAL_ANY},
        {&google, "{\"credential\":\"env\",\"quota_project\":\"p:1\"}", OK, CREDENTIAL_ENV},
        {&google, "{\"credential\":\"container\"}", ERR_SYNTAX, CREDENTIAL_ANY},
        {&gitlab, "{\"credential\":\"static\"}", OK, CREDENTIAL_STATIC},
        {&gitlab, "{\"credential\":\"instance\"}", ERR_SYNTAX, CREDENTIAL_ANY},
        {&gitlab, "{\"credential\":\"env\"}", ERR_SYNTAX, CREDENTIAL_ANY},
        {&gitlab, "{\"token_url\":\"https://gitlab.example.com\"}", OK, CREDENTIAL_ANY},
    };
    struct cloud_config c;
    char why[200];
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        enum err e = cloud_config_read(rows[i].presets, slice_of(rows[i].settings), &c, why,
                                       sizeof why);
        if (e != rows[i].e || c.from != rows[i].from || (e == OK) != (why[0] == '\0'))
            fail_msg("%s: %s, %s", rows[i].settings, err_name(e), why);
        assert_true(cloud_config_same(&c, &c));
        assert_int_equal(c.cloud, rows[i].presets->cloud);
    }
    assert_int_equal(cloud_config_read(&aws, S("{\"metadata_ipv6\":true,\"region\":\"r-1\"}"), &c,
                                       why, sizeof why),
                     OK);
    assert_true(c.ipv6);
    assert_string_equal(c.region, "r-1");
    assert_string_equal(c.service, "bedrock");
    assert_false(cloud_config_same(&c, &aws));
}

static void test_grant(void **state)
{
    static const struct {
        struct cloud_config c;
        enum grant with, without; /* a secret */
    } rows[] = {
        {{.cloud = CLOUD_AZURE}, GRANT_FIXED, GRANT_FIXED},
        {{.cloud = CLOUD_AZURE, .tenant_id = "t", .client_id = "c"}, GRANT_ENTRA, GRANT_ENTRA},
        {{.cloud = CLOUD_AZURE, .from = CREDENTIAL_INSTANCE}, GRANT_METADATA, GRANT_METADATA},
        {{.cloud = CLOUD_AWS}, GRANT_FIXED, GRANT_AWS},
        {{.cloud = CLOUD_AWS, .from = CREDENTIAL_STATIC}, GRANT_FIXED, GRANT_FIXED},
        {{.cloud = CLOUD_AWS, .from = CREDENTIAL_ENV}, GRANT_AWS, GRANT_AWS},
        {{.cloud = CLOUD_AWS, .from = CREDENTIAL_INSTANCE}, GRANT_AWS, GRANT_AWS},
        {{.cloud = CLOUD_GOOGLE}, GRANT_GOOGLE, GRANT_GOOGLE},
        {{.cloud = CLOUD_GOOGLE, .from = CREDENTIAL_PROFILE}, GRANT_GOOGLE, GRANT_GOOGLE},
        {{.cloud = CLOUD_GOOGLE, .from = CREDENTIAL_INSTANCE}, GRANT_METADATA, GRANT_METADATA},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(cloud_grant(&rows[i].c, true), rows[i].with);
        assert_int_equal(cloud_grant(&rows[i].c, false), rows[i].without);
        assert_true(strlen(cloud_credential_name(rows[i].c.from)) > 0);
    }
}

/* A service account's key as it is downloaded. */
static void key_print(struct buf *out, const char *pem, const char *type)
{
    struct jw w;
    jw_init(&w, out);
    jw_obj(&w);
    jw_kcstr(&w, "type", type);
    jw_kcstr(&w, "project_id", "my-project");
    jw_kcstr(&w, "private_key_id", "kid1");
    jw_kcstr(&w, "private_key", pem);
    jw_kcstr(&w, "client_email", "sa@my-project.iam.gserviceaccount.com");
    jw_kcstr(&w, "client_id", "1");
    jw_kcstr(&w, "token_uri", "https://oauth2.googleapis.com/token");
    jw_end_obj(&w);
    assert_int_equal(w.err, OK);
}

static void test_check(void **state)
{
    static const struct cloud_config entra = {
        .cloud = CLOUD_AZURE, .tenant_id = "t", .client_id = "c"};
    static const struct cloud_config env = {.cloud = CLOUD_AWS, .from = CREDENTIAL_ENV};
    static const struct cloud_config file = {.cloud = CLOUD_GOOGLE, .from = CREDENTIAL_ENV};
    static const struct cloud_config given = {.cloud = CLOUD_GOOGLE, .from = CREDENTIAL_STATIC};
    static const struct {
        const struct cloud_config *c;
        const char *secret;
        enum err e;
    } rows[] = {
        {&azure, CANARY, OK},
        {&azure, "", ERR_SYNTAX},
        {&azure, CANARY " x", ERR_SYNTAX},
        {&entra, CANARY, OK},
        {&entra, "", ERR_SYNTAX},
        {&gitlab, "glpat-" CANARY, OK},
        {&gitlab, "", ERR_SYNTAX},
        {&gitlab, "a b", ERR_SYNTAX},
        {&entra, CANARY "\n", ERR_SYNTAX},
        {&aws, "", OK},
        {&aws, "AKID:" CANARY, OK},
        {&aws, "AKID:" CANARY ":token", OK},
        {&aws, "ABSK" CANARY, OK},
        {&aws, "Bearer ABSK" CANARY, OK},
        {&aws, "AK ID:" CANARY, ERR_SYNTAX},
        {&aws, "AKID: " CANARY, ERR_SYNTAX},
        {&env, "", OK},
        {&env, "AKID:" CANARY, ERR_SYNTAX},
        {&google, "", OK},
        {&given, "", ERR_SYNTAX},
        {&google, CANARY, ERR_SYNTAX},
        {&google, "{\"" CANARY "\":1}", ERR_SYNTAX},
        {&google, "{\"type\":\"external_account\",\"x\":\"" CANARY "\"}", ERR_SYNTAX},
        {&google,
         "{\"type\":\"service_account\",\"client_email\":\"e\",\"private_key\":\"" CANARY "\"}",
         ERR_SYNTAX},
        {&google,
         "{\"type\":\"authorized_user\",\"client_id\":\"c\",\"client_secret\":\"" CANARY
         "\",\"refresh_token\":\"r\"}",
         OK},
        {&file, "", OK},
        {&file, CANARY, ERR_SYNTAX},
    };
    char why[300];
    struct buf key;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        enum err e = cloud_check(rows[i].c, slice_of(rows[i].secret), why, sizeof why);
        if (e != rows[i].e || (e == OK) != (why[0] == '\0'))
            fail_msg("%zu %s: %s, %s", i, rows[i].secret, err_name(e), why);
        assert_true(slice_search(slice_of(why), S(CANARY)) < 0);
    }
    buf_init(&key, 8192);
    key_print(&key, rsa_pkcs8, "service_account");
    assert_int_equal(cloud_check(&google, buf_slice(&key), why, sizeof why), OK);
    buf_clear(&key);
    key_print(&key, rsa_1024, "service_account");
    assert_int_equal(cloud_check(&google, buf_slice(&key), why, sizeof why), ERR_SYNTAX);
    assert_true(slice_search(slice_of(why), S("2048 bits")) > 0);
    buf_clear(&key);
    key_print(&key, ec_p256, "service_account");
    assert_int_equal(cloud_check(&google, buf_slice(&key), why, sizeof why), ERR_SYNTAX);
    buf_free(&key);
}

static void test_region(void **state)
{
    static const char *const rows[][2] = {
        {"bedrock-runtime.eu-west-1.amazonaws.com", "eu-west-1"},
        {"bedrock-runtime-fips.us-gov-east-1.amazonaws.com", "us-gov-east-1"},
        {"bedrock-runtime.cn-north-1.amazonaws.com.cn", "cn-north-1"},
        {"bedrock-mantle.us-east-1.api.aws", "us-east-1"},
        {"vpce-0a1-x2.bedrock-runtime.us-east-1.vpce.amazonaws.com", "us-east-1"},
        {"bedrock-runtime.amazonaws.com", ""},
        {"bedrock.eu-west-1.example.com", ""},
        {"", ""},
        {".amazonaws.com", ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct slice got = aws_region_of(slice_of(rows[i][0]));
        if (!slice_eq(got, slice_of(rows[i][1])))
            fail_msg("%s: <%.*s>", rows[i][0], (int)got.n, got.p);
    }
}

/* ---- requests -------------------------------------------------------------------------------- */

static void test_target(void **state)
{
    static const struct {
        const char *url;
        bool metadata, allow, lifted;
        enum err e;
        const char *host, *path;
    } rows[] = {
        {"https://login.microsoftonline.com/t/oauth2/v2.0/token", false, false, false, OK,
         "login.microsoftonline.com", "/t/oauth2/v2.0/token"},
        {"https://h:8443", false, false, false, OK, "h", "/"},
        {"https://h/?a=b", false, false, false, OK, "h", "/?a=b"},
        {"http://h/t", false, false, false, ERR_DENIED, NULL, NULL},
        {"http://h/t", false, true, true, OK, "h", "/t"},
        {"http://169.254.169.254/latest/x/", true, false, true, OK, "169.254.169.254",
         "/latest/x/"},
        {"http://169.254.169.254/a?b=c&d", true, false, true, OK, "169.254.169.254", "/a?b=c&d"},
        {"http://[fd00:ec2::254]/latest/x", true, false, true, OK, "fd00:ec2::254", "/latest/x"},
        {"http://169.254.170.2/v2/credentials/u", true, false, true, OK, "169.254.170.2",
         "/v2/credentials/u"},
        {"http://169.254.170.23/v1/credentials", true, false, true, OK, "169.254.170.23",
         "/v1/credentials"},
        {"http://169.254.169.254/latest", false, false, false, ERR_DENIED, NULL, NULL},
        {"http://169.254.169.253/latest", true, false, false, ERR_DENIED, NULL, NULL},
        {"http://127.0.0.1/x", true, false, false, ERR_DENIED, NULL, NULL},
        {"http://127.0.0.1/x", true, true, true, OK, "127.0.0.1", "/x"},
        {"http://10.0.0.1/x", true, false, false, ERR_DENIED, NULL, NULL},
        {"http://169.254.169.254.evil.com/x", true, false, false, ERR_DENIED, NULL, NULL},
        {"http://169.254.169.254@evil.com/x", true, false, false, ERR_SYNTAX, NULL, NULL},
        {"https://169.254.169.254/x", true, false, false, OK, "169.254.169.254", "/x"},
        {"https://container.example/x", true, false, false, OK, "container.example", "/x"},
        {"http://169.254.169.254/a b", true, false, false, ERR_SYNTAX, NULL, NULL},
        {"http://169.254.169.254/a?b c", true, false, false, ERR_SYNTAX, NULL, NULL},
        {"http://169.254.169.254/a?b\r\nx: y", true, false, false, ERR_SYNTAX, NULL, NULL},
        {"file:///etc/passwd", true, true, false, ERR_SYNTAX, NULL, NULL},
        {"", false, true, false, ERR_SYNTAX, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct cloud_request q;
        struct http_target t = {0};
        struct slice path;
        const char *why = "";
        cloud_request_init(&q);
        q.metadata = rows[i].metadata;
        text_copy(q.url, sizeof q.url, slice_of(rows[i].url));
        enum err e = cloud_target(&q, rows[i].allow, &t, &path, &why);
        if (e != rows[i].e)
            fail_msg("%s: %s, %s", rows[i].url, err_name(e), why);
        assert_true((e == OK) == (why[0] == '\0'));
        if (e == OK) {
            assert_true(slice_eq(t.host, slice_of(rows[i].host)));
            assert_true(slice_eq(path, slice_of(rows[i].path)));
            assert_int_equal(t.allow_private, rows[i].lifted);
        }
        cloud_request_free(&q);
    }
}

static void assert_body(const struct cloud_request *q, const char *want)
{
    if (!slice_eq(buf_slice(&q->body), slice_of(want)))
        fail_msg("<%.*s>, wanted <%s>", (int)q->body.len, q->body.p, want);
}

static void test_azure(void **state)
{
    struct cloud_request q;
    struct cloud_config c = {.cloud = CLOUD_AZURE, .tenant_id = "ten-ant", .client_id = "app"};
    (void)state;
    cloud_request_init(&q);
    assert_int_equal(entra_request(&c, S("s~ec/r&t="), &q), OK);
    assert_int_equal(q.method, HTTP_POST);
    assert_string_equal(q.url, "https://login.microsoftonline.com/ten-ant/oauth2/v2.0/token");
    assert_string_equal(q.form, "application/x-www-form-urlencoded");
    assert_body(&q, "grant_type=client_credentials&client_id=app&client_secret=s~ec%2Fr%26t%3D"
                    "&scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default");
    cloud_request_free(&q);
    text_copy(c.scope, sizeof c.scope, S("https://ai.azure.com/.default"));
    text_copy(c.token_url, sizeof c.token_url, S("https://login.example/token"));
    assert_int_equal(entra_request(&c, S("s"), &q), OK);
    assert_string_equal(q.url, "https://login.example/token");
    cloud_request_free(&q);
    assert_int_equal(azure_instance_request(&c, &q), OK);
    assert_string_equal(q.url, "http://169.254.169.254/metadata/identity/oauth2/token?api-version="
                               "2018-02-01&resource=https%3A%2F%2Fai.azure.com&client_id=app");
    assert_string_equal(q.flag, "metadata");
    assert_true(q.metadata && q.method == HTTP_GET && q.form == NULL);
    cloud_request_free(&q);
    assert_int_equal(entra_request(&c, S(""), &q), ERR_STATE);
    assert_int_equal(entra_request(&azure, S("s"), &q), ERR_STATE);
    cloud_request_free(&q);
}

/* ---- GitLab ---------------------------------------------------------------------------------- */

static void test_gitlab(void **state)
{
    static const char *const urls[] = {
        "https://gitlab.com", "https://gitlab.com/",
        "https://gitlab.com/api/v4/ai/third_party_agents/direct_access",
        "https://gitlab.com/api/v4/ai/third_party_agents/direct_access/"};
    struct cloud_request q;
    (void)state;
    for (size_t i = 0; i < COUNT(urls); i++) {
        struct cloud_config c = gitlab;
        cloud_request_init(&q);
        text_copy(c.token_url, sizeof c.token_url, slice_of(urls[i]));
        assert_int_equal(gitlab_request(&c, S("glpat-1"), &q), OK);
        assert_string_equal(q.url, urls[2]);
        assert_int_equal(q.method, HTTP_POST);
        assert_string_equal(q.form, "application/json");
        assert_string_equal(q.secret_name, "authorization");
        assert_true(slice_eq(buf_slice(&q.secret), S("Bearer glpat-1")));
        assert_body(&q, "{}");
        assert_int_equal(gitlab_request(&c, S(""), &q), ERR_STATE);
        cloud_request_free(&q);
    }
}

static void test_gitlab_answer(void **state)
{
    static const struct {
        const char *body, *value; /* NULL: refused */
    } rows[] = {
        {"{\"token\":\"t\",\"headers\":{\"X-Gitlab-Realm\":\"saas\",\"X-Gitlab-Instance-Id\":\"i "
         "1\"}}",
         "t\nx-gitlab-realm: saas\nx-gitlab-instance-id: i 1\n"},
        {"{\"token\":\"t\"}", "t\n"},
        {"{\"token\":\"t\",\"headers\":{\"a\":null,\"b\":7,\"c\":\"\"}}", "t\nb: 7\nc: \n"},
        /* what is ours to say stays ours */
        {"{\"token\":\"t\",\"headers\":{\"Host\":\"evil\",\"x-api-key\":\"k\",\"Authorization\":"
         "\"k\","
         "\"Content-Length\":\"0\",\"Transfer-Encoding\":\"chunked\",\"Connection\":\"close\","
         "\"x\":\"y\"}}",
         "t\nx: y\n"},
        {"{\"token\":\"t\",\"headers\":{\"x\":\"a\\r\\nhost: evil\"}}", NULL},
        {"{\"token\":\"t\",\"headers\":{\"x y\":\"a\"}}", NULL},
        {"{\"token\":\"t\",\"headers\":{\"x:\":\"a\"}}", NULL},
        {"{\"token\":\"t\",\"headers\":{\"\":\"a\"}}", NULL},
        {"{\"token\":\"t\\nx: y\"}", NULL},
        {"{\"token\":\"a b\"}", NULL},
        {"{\"token\":\"\"}", NULL},
        {"{}", NULL},
        {"<html>", NULL},
    };
    struct buf value, many;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        buf_init(&value, 8192);
        enum err e = gitlab_answer_read(slice_of(rows[i].body), &value);
        if ((e == OK) != (rows[i].value != NULL) ||
            (e == OK && !slice_eq(buf_slice(&value), slice_of(rows[i].value))))
            fail_msg("%s: %s <%.*s>", rows[i].body, err_name(e), (int)value.len, value.p);
        buf_free(&value);
    }
    for (int n = COMPANIONS_MAX; n <= COMPANIONS_MAX + 1; n++) {
        struct http_header h;
        char name[48];
        int found = 0;
        buf_init(&many, 8192);
        buf_init(&value, 8192);
        assert_int_equal(buf_puts(&many, S("{\"token\":\"t\",\"headers\":{")), OK);
        for (int i = 0; i < n; i++) {
            text_format(name, sizeof name, "%s\"X-%d\":\"%d\"", i > 0 ? "," : "", i, i);
            assert_int_equal(buf_puts(&many, slice_of(name)), OK);
        }
        assert_int_equal(buf_puts(&many, S("}}")), OK);
        assert_int_equal(gitlab_answer_read(buf_slice(&many), &value),
                         n <= COMPANIONS_MAX ? OK : ERR_LIMIT);
        struct slice lines = slice_sub(buf_slice(&value), 2, value.len);
        while (found < COMPANIONS_MAX && companion_next(&lines, &h)) {
            text_format(name, sizeof name, "x-%d", found++);
            assert_true(slice_eq(h.name, slice_of(name)));
            assert_true(slice_eq(h.value, slice_of(name + 2)));
        }
        assert_int_equal(found, COMPANIONS_MAX);
        buf_free(&many);
        buf_free(&value);
    }
}

/* ---- Google ---------------------------------------------------------------------------------- */

static void test_google_key(void **state)
{
    static const struct {
        const char *json;
        enum err e;
    } rows[] = {
        {"", ERR_SYNTAX},
        {"[]", ERR_SYNTAX},
        {"{}", ERR_SYNTAX},
        {"{\"type\":\"service_account\"}", ERR_SYNTAX},
        {"{\"type\":\"service_account\",\"client_email\":\"e\"}", ERR_SYNTAX},
        {"{\"type\":\"service_account\",\"client_email\":\"e\",\"private_key\":7}", ERR_SYNTAX},
        {"{\"type\":\"service_account\",\"client_email\":\"e\",\"private_key\":\"k\"}", OK},
        {"{\"type\":\"service_account\",\"client_email\":\"e\",\"private_key\":\"k\","
         "\"token_uri\":\"gopher://x\"}",
         ERR_SYNTAX},
        {"{\"type\":\"service_account\",\"client_email\":\"e\",\"private_key\":\"k\","
         "\"project_id\":\"a\\nb\"}",
         ERR_SYNTAX},
        {"{\"type\":\"external_account\"}", ERR_UNSUPPORTED},
        {"{\"type\":\"authorized_user\",\"client_id\":\"c\"}", ERR_SYNTAX},
    };
    struct google_key k;
    const char *why;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        enum err e = google_key_read(slice_of(rows[i].json), &k, &why);
        if (e != rows[i].e)
            fail_msg("%s: %s", rows[i].json, err_name(e));
        assert_true((k.doc != NULL) == (e == OK));
        if (e == OK)
            assert_true(slice_eq(k.token_uri, S("https://oauth2.googleapis.com/token")));
        google_key_free(&k);
        google_key_free(&k);
        assert_null(k.doc);
    }
}

static void assert_decodes(struct slice *rest, const char *want)
{
    struct slice part;
    struct buf text;
    buf_init(&text, 4096);
    assert_true(slice_cut(rest, '.', &part));
    assert_int_equal(text_unbase64(&text, part, true), OK);
    if (!slice_eq(buf_slice(&text), slice_of(want)))
        fail_msg("<%.*s>", (int)text.len, text.p);
    buf_free(&text);
}

static void test_google_service(void **state)
{
    static const char head[] =
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
    struct google_key k;
    struct cloud_request q;
    struct buf json, jwt, signature;
    const char *why;
    (void)state;
    buf_init(&json, 8192);
    buf_init(&jwt, 8192);
    buf_init(&signature, 1024);
    cloud_request_init(&q);
    key_print(&json, rsa_pkcs8, "service_account");
    assert_int_equal(google_key_read(buf_slice(&json), &k, &why), OK);
    assert_true(slice_eq(k.project, S("my-project")) && !k.user);
    assert_int_equal(google_request(&k, &google, NOW + 999, &q), OK);
    assert_string_equal(q.url, "https://oauth2.googleapis.com/token");
    struct slice body = buf_slice(&q.body);
    assert_true(slice_starts(body, slice_of(head)));
    body = slice_sub(body, sizeof head - 1, body.n);
    assert_int_equal(google_assertion(&k, &google, NOW, &jwt), OK);
    assert_true(slice_starts(body, buf_slice(&jwt)));
    assert_int_equal(crypto_rsa_sign(&signature, slice_of(rsa_pkcs8), buf_slice(&jwt)), OK);
    assert_decodes(&body, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"kid1\"}");
    assert_decodes(&body, "{\"iss\":\"sa@my-project.iam.gserviceaccount.com\",\"scope\":"
                          "\"https://www.googleapis.com/auth/cloud-platform\",\"aud\":"
                          "\"https://oauth2.googleapis.com/token\",\"iat\":1795255200,"
                          "\"exp\":1795258800}");
    buf_clear(&jwt);
    assert_int_equal(text_unbase64(&jwt, body, true), OK);
    assert_true(slice_eq(buf_slice(&jwt), buf_slice(&signature)));
    google_key_free(&k);
    cloud_request_free(&q);
    buf_free(&json);
    buf_free(&jwt);
    buf_free(&signature);
}

static void test_google_user(void **state)
{
    struct google_key k;
    struct cloud_request q;
    const char *why;
    (void)state;
    cloud_request_init(&q);
    assert_int_equal(google_key_read(S("{\"type\":\"authorized_user\",\"client_id\":\"c.apps\","
                                       "\"client_secret\":\"s&\",\"refresh_token\":\"1//r\","
                                       "\"quota_project_id\":\"q\"}"),
                                     &k, &why),
                     OK);
    assert_true(k.user && slice_eq(k.quota_project, S("q")));
    assert_int_equal(google_request(&k, &google, NOW, &q), OK);
    assert_body(&q, "grant_type=refresh_token&client_id=c.apps&client_secret=s%26"
                    "&refresh_token=1%2F%2Fr");
    google_key_free(&k);
    cloud_request_free(&q);
    assert_int_equal(google_instance_request(&google, &q), OK);
    assert_string_equal(q.url, "http://169.254.169.254/computeMetadata/v1/instance/"
                               "service-accounts/default/token");
    assert_string_equal(q.flag, "metadata-flavor");
    assert_string_equal(q.flag_value, "Google");
    cloud_request_free(&q);
}

/* ---- AWS ------------------------------------------------------------------------------------- */

#define CREDENTIALS                                                                       \
    "\xef\xbb\xbf# a comment\r\n[default]\r\naws_access_key_id = AKDEFAULT\r\n"           \
    "aws_secret_access_key=def/ault+\r\n\n[ team ]\naws_access_key_id=ASTEAM ; old\n"     \
    "AWS_SECRET_ACCESS_KEY =\tte=am#1 # new\naws_session_token = tok==\n"                 \
    "  aws_access_key_id = NESTED\n; x\n[half]\naws_access_key_id=AKHALF\n"               \
    "[profile odd]\naws_access_key_id=AKODD\naws_secret_access_key=odd\n[broken\n"        \
    "aws_access_key_id=AKBROKEN\naws_secret_access_key=broken\n[]\naws_access_key_id=x\n" \
    "[bad]\naws_access_key_id=AK BAD\naws_secret_access_key=s\n[end]\naws_access_key_id=E"
#define CONFIG                                                                                 \
    "[default]\nregion = us-east-1\n[profile team]\nregion=eu-west-1\nrole_arn = arn:x\n"      \
    "[half]\naws_secret_access_key=no\n[profile role]\nrole_arn=arn:y\nregion = ap-1\n"        \
    "[profile sso]\nsso_session = s\n[sso-session s]\nsso_start_url = https://x\n"             \
    "[profile cfg]\naws_access_key_id=AKCFG\naws_secret_access_key=cfg\ns3 =\n  region = no\n" \
    "[services x]\nregion = no\n"

static void test_profile(void **state)
{
    static const struct {
        const char *name, *id, *secret, *token, *region;
        bool found, indirect;
    } rows[] = {
        {"default", "AKDEFAULT", "def/ault+", "", "us-east-1", true, false},
        {"team", "ASTEAM", "te=am#1", "tok==", "eu-west-1", true, false},
        {"half", "", "", "", "", true, false}, /* no pair is put together from two files */
        {"odd", "AKODD", "odd", "", "", true, false},
        {"role", "", "", "", "ap-1", true, true},
        {"sso", "", "", "", "", true, true},
        {"s", "", "", "", "", false, false},
        {"cfg", "AKCFG", "cfg", "", "", true, false},
        {"broken", "", "", "", "", false, false},
        {"bad", "", "", "", "", true, false},
        {"end", "", "", "", "", true, false},
        {"none", "", "", "", "", false, false},
        {"", "", "", "", "", false, false},
    };
    struct aws_profile p;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        aws_profile_read(S(CREDENTIALS), S(CONFIG), slice_of(rows[i].name), &p);
        if (!slice_eq(p.keys.id, slice_of(rows[i].id)) ||
            !slice_eq(p.keys.secret, slice_of(rows[i].secret)) ||
            !slice_eq(p.keys.token, slice_of(rows[i].token)) ||
            !slice_eq(p.region, slice_of(rows[i].region)) || p.found != rows[i].found ||
            p.indirect != rows[i].indirect)
            fail_msg("%s: <%.*s> <%.*s> <%.*s> <%.*s> %d %d", rows[i].name, (int)p.keys.id.n,
                     p.keys.id.p, (int)p.keys.secret.n, p.keys.secret.p, (int)p.keys.token.n,
                     p.keys.token.p, (int)p.region.n, p.region.p, p.found, p.indirect);
    }
    aws_profile_read(S(""), S(""), S("default"), &p);
    assert_true(!p.found && p.keys.id.n == 0);
}

static const char *relative, *full;

static const char *env(enum config_env which)
{
    return which == CONFIG_ENV_AWS_CONTAINER_RELATIVE_URI ? relative
           : which == CONFIG_ENV_AWS_CONTAINER_FULL_URI   ? full
                                                          : NULL;
}

static void test_container(void **state)
{
    static const struct {
        const char *relative, *full, *token;
        enum err e;
        const char *url, *header;
    } rows[] = {
        {NULL, NULL, "", ERR_NOTFOUND, "", ""},
        {"/v2/credentials/u-1", NULL, "", OK, "http://169.254.170.2/v2/credentials/u-1", ""},
        {"/v2/c", "http://169.254.170.23/v1/credentials", "t", OK, "http://169.254.170.2/v2/c",
         "t"},
        {NULL, "http://169.254.170.23/v1/credentials", " Basic tok en \r\n", OK,
         "http://169.254.170.23/v1/credentials", "Basic tok en"},
        {NULL, "http://169.254.170.23/", "a\r\nb: c", ERR_SYNTAX, NULL, NULL},
        {".evil.com/x", NULL, "", ERR_SYNTAX, NULL, NULL},
        {"@evil.com/x", NULL, "", ERR_SYNTAX, NULL, NULL},
    };
    struct cloud_request q;
    (void)state;
    cloud_request_init(&q);
    for (size_t i = 0; i < COUNT(rows); i++) {
        relative = rows[i].relative;
        full = rows[i].full;
        enum err e = aws_container_request(env, slice_of(rows[i].token), &q);
        assert_int_equal(e, rows[i].e);
        if (e == OK) {
            assert_string_equal(q.url, rows[i].url);
            assert_true(slice_eq(buf_slice(&q.secret), slice_of(rows[i].header)));
            assert_true((q.secret_name != NULL) == (q.secret.len > 0));
        }
        cloud_request_free(&q);
    }
    assert_int_equal(aws_container_request(NULL, S(""), &q), ERR_NOTFOUND);
    cloud_request_free(&q);
}

static void test_imds(void **state)
{
    static const struct {
        const char *body, *role;
    } roles[] = {
        {"my-role+x=,.@_", "my-role+x=,.@_"},
        {"role\nother", "role"},
        {"role\r\n", "role"},
        {"", NULL},
        {"\n", NULL},
        {"..", NULL},
        {"a/../b", NULL},
        {"a b", NULL},
        {"<html>", NULL},
        {"a?b", NULL},
    };
    struct cloud_config six = aws;
    struct cloud_request q;
    struct slice role;
    struct buf session;
    (void)state;
    six.ipv6 = true;
    cloud_request_init(&q);
    buf_init(&session, 2048);
    assert_int_equal(aws_session_request(&aws, &q), OK);
    assert_string_equal(q.url, "http://169.254.169.254/latest/api/token");
    assert_true(q.method == HTTP_PUT && q.metadata);
    assert_string_equal(q.flag, "x-aws-ec2-metadata-token-ttl-seconds");
    cloud_request_free(&q);
    assert_int_equal(aws_session_read(S("AQAE=\n"), &session), ERR_SYNTAX);
    assert_int_equal(aws_session_read(S(" AQAE= "), &session), OK);
    assert_true(slice_eq(buf_slice(&session), S("AQAE=")));
    assert_int_equal(aws_session_read(S(""), &session), ERR_SYNTAX);
    assert_int_equal(aws_role_request(&six, S("AQAE="), &q), OK);
    assert_string_equal(q.url, "http://[fd00:ec2::254]/latest/meta-data/iam/security-credentials/");
    assert_string_equal(q.secret_name, "x-aws-ec2-metadata-token");
    cloud_request_free(&q);
    assert_int_equal(aws_role_request(&aws, S(""), &q), ERR_STATE);
    cloud_request_free(&q);
    for (size_t i = 0; i < COUNT(roles); i++) {
        enum err e = aws_role_read(slice_of(roles[i].body), &role);
        assert_int_equal(e, roles[i].role != NULL ? OK : ERR_SYNTAX);
        if (e == OK)
            assert_true(slice_eq(role, slice_of(roles[i].role)));
    }
    assert_int_equal(aws_keys_request(&aws, S("t"), S("r"), &q), OK);
    assert_string_equal(q.url,
                        "http://169.254.169.254/latest/meta-data/iam/security-credentials/r");
    cloud_request_free(&q);
    buf_free(&session);
}

static void test_answer(void **state)
{
    static const struct {
        const char *body, *keys;
        int64_t expires_at;
    } rows[] = {
        {"{\"Code\":\"Success\",\"LastUpdated\":\"x\",\"Type\":\"AWS-HMAC\",\"AccessKeyId\":\"AS\","
         "\"SecretAccessKey\":\"s/\",\"Token\":\"t==\",\"Expiration\":\"2026-11-21T18:00:00Z\"}",
         "AS:s/:t==", INT64_C(1795284000000)},
        {"{\"AccessKeyId\":\"AS\",\"SecretAccessKey\":\"s\"}", "AS:s", 0},
        {"{\"AccessKeyId\":\"AS\",\"SecretAccessKey\":\"s\",\"Expiration\":\"soon\"}", "AS:s", 0},
        {"{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"AccessKeyId\":\"A\",\"SecretAccessKey\":"
         "\"s\"}",
         NULL, 0},
        {"{\"AccessKeyId\":\"A:S\",\"SecretAccessKey\":\"s\"}", NULL, 0},
        {"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s:t\"}", NULL, 0},
        {"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\\n\"}", NULL, 0},
        {"{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Token\":\"t t\"}", NULL, 0},
        {"{\"AccessKeyId\":\"A\"}", NULL, 0},
        {"[]", NULL, 0},
        {"<html>", NULL, 0},
    };
    struct buf keys;
    (void)state;
    buf_init(&keys, 1024);
    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t at = -1;
        enum err e = aws_answer_read(slice_of(rows[i].body), &keys, &at);
        if (e != (rows[i].keys != NULL ? OK : ERR_SYNTAX) || at != rows[i].expires_at ||
            !slice_eq(buf_slice(&keys), slice_of(rows[i].keys)))
            fail_msg("%s: %s <%.*s> %lld", rows[i].body, err_name(e), (int)keys.len, keys.p,
                     (long long)at);
        buf_clear(&keys);
    }
    buf_free(&keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config),        cmocka_unit_test(test_grant),
        cmocka_unit_test(test_check),         cmocka_unit_test(test_region),
        cmocka_unit_test(test_target),        cmocka_unit_test(test_gitlab),
        cmocka_unit_test(test_gitlab_answer), cmocka_unit_test(test_azure),
        cmocka_unit_test(test_google_key),    cmocka_unit_test(test_google_service),
        cmocka_unit_test(test_google_user),   cmocka_unit_test(test_profile),
        cmocka_unit_test(test_container),     cmocka_unit_test(test_imds),
        cmocka_unit_test(test_answer),
    };

    crypto_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
