/* links: base http codec sim accounts */
/* Credentials that are fetched, over a real account set, a real http client and scripted peers: at
 * Entra, at Google, and at metadata services. The bench of the OAuth tests is at work here too; its
 * store must never be asked, for nothing of this is stored. */
#include "cloud_rows.h"
#include "rsa_keys.h"
#include "token_bench.h"

#include "sluice/sluice.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define CANARY   "canary-5ecret"

static struct tls_client *tls;
static const char *env_value[CONFIG_ENV_COUNT];
static char dir[] = "/tmp/sluice-cloud-XXXXXX";

static const char *env(enum config_env which)
{
    assert_true((int)which < CONFIG_ENV_COUNT);
    return env_value[which];
}

/* ---- the bench ------------------------------------------------------------------------------- */

static void cloud_disk(const char *provider, const char *settings, const char *secret)
{
    static const struct http_client_limits limits = {
        .connect_ms = 5000, .idle_ms = 55000, .max_idle = 3};
    const char *why;
    bench_disk();
    http_client_free(b.client);
    assert_int_equal(tls_client_new(NULL, NULL, &tls, &why), OK);
    b.client = http_client_new(b.loop, &limits, tls);
    sim_host(b.loop, "entra", S("login.microsoftonline.com"), 443);
    sim_host(b.loop, "gitlab", S("gitlab.com"), 443);
    sim_host(b.loop, "google", S("oauth2.googleapis.com"), 443);
    sim_host(b.loop, "imds", S("169.254.169.254"), 80);
    sim_host(b.loop, "imds6", S("fd00:ec2::254"), 80);
    sim_host(b.loop, "ecs", S("169.254.170.2"), 80);
    sim_host(b.loop, "evil", S("10.0.0.1"), 80);
    text_copy(b.account.provider, sizeof b.account.provider, slice_of(provider));
    text_copy(b.account.settings, sizeof b.account.settings, slice_of(settings));
    text_copy(b.account.base_url, sizeof b.account.base_url,
              S("https://bedrock-runtime.eu-west-1.amazonaws.com"));
    b.account.secret = slice_of(secret);
}

static void cloud_load(void)
{
    b.set = accounts_new(b.loop, NULL, on_ready, NULL);
    accounts_set_env(b.set, env);
    accounts_set_client(b.set, b.client);
    settle();
    b.a = accounts_by_id(b.set, 7);
    assert_non_null(b.a);
    b.log.n = 0;
}

static void cloud_open(const char *provider, const char *settings, const char *secret)
{
    cloud_disk(provider, settings, secret);
    cloud_load();
}

static void cloud_close(void)
{
    LOGGED(""); /* the store was never asked */
    bench_close();
    tls_client_free(tls);
    memset(env_value, 0, sizeof env_value);
}

/* What the newest peer was asked last; forgotten by that. */
static struct slice asked_for(void)
{
    static char text[8192];
    assert_true(b.peers > 0);
    struct bytes *rx = &b.peer[b.peers - 1]->rx;
    assert_true(rx->n < sizeof text);
    memcpy(text, rx->p, rx->n);
    struct slice s = {text, rx->n};
    rx->n = 0;
    return s;
}

#define ASKED(pattern) assert_asked(pattern, __LINE__)
static void assert_asked(const char *pattern, int line)
{
    struct slice s = asked_for();
    if (!bytes_like(s, slice_of(pattern)))
        fail_msg("line %d: sent <%.*s>", line, (int)s.n, s.p);
}

static void assert_signs(const char *name, const char *value)
{
    struct http_header h[ACCOUNT_SIGN_HEADERS];
    char memory[ACCOUNT_SIGN_MEMORY];
    struct sign_request r = {.auth = b.a->provider->door[0].auth,
                             .method = S("POST"),
                             .to = &b.a->door[0].target,
                             .path = S("/model/m/invoke"),
                             .query = S(""),
                             .body = S("{}")};
    int n = -1;
    assert_int_equal(account_sign(b.a, &r, wall(), h, &n, memory, sizeof memory), OK);
    for (int i = 0; i < n; i++) {
        if (slice_eq(h[i].name, slice_of(name)) && bytes_like(h[i].value, slice_of(value)))
            return;
    }
    fail_msg("no %s: %s among %d, the first is %.*s: %.*s", name, value, n, (int)h[0].name.n,
             h[0].name.p, (int)h[0].value.n, h[0].value.p);
}

/* ---- Azure ----------------------------------------------------------------------------------- */

#define ENTRA  "{\"tenant_id\":\"ten\",\"client_id\":\"app\"}"
#define TOKEN1 "{\"token_type\":\"Bearer\",\"expires_in\":3600,\"access_token\":\"tok1\"}"
#define TOKEN2 "{\"token_type\":\"Bearer\",\"expires_in\":3600,\"access_token\":\"tok2\"}"

static void test_entra(void **state)
{
    static struct waiter x[500];
    (void)state;
    cloud_open("azure-foundry", ENTRA, CANARY);
    assert_int_equal(status().state, ACCOUNT_STALE); /* before the first use */
    assert_int_equal(b.a->generation, 0);
    assert_int_equal(b.peers, 0);
    for (int i = 0; i < 500; i++)
        ask(&x[i], i % 2 == 0, 0);
    settle();
    assert_int_equal(b.peers, 1); /* one for all */
    assert_true(b.peer[0]->tls);
    ASKED("POST /ten/oauth2/v2.0/token HTTP/1.1\r\nhost: login.microsoftonline.com\r\n"
          "accept: application/json\r\nuser-agent: sluice/" SLUICE_VERSION "\r\n"
          "content-type: application/x-www-form-urlencoded\r\ncontent-length: 130\r\n\r\n"
          "grant_type=client_credentials&client_id=app&client_secret=" CANARY
          "&scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default");
    assert_int_equal(accounts_refreshing(b.set), 0); /* nothing to lose: a drain need not wait */
    reply(200, "", TOKEN1);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(x[i].called, 1);
        assert_int_equal(x[i].e, OK);
    }
    CREDENTIAL("Bearer tok1");
    assert_signs("authorization", "Bearer tok1");
    assert_int_equal(b.a->generation, 1);
    assert_int_equal(status().state, ACCOUNT_READY);
    assert_int_equal(asked(false, 0), OK);
    assert_int_equal(b.peers, 1);
    cloud_close();
}

/* Nobody asks: fetched soon after the start, then at three quarters of its life, more or less. */
static void test_background(void **state)
{
    (void)state;
    cloud_open("azure-foundry", ENTRA, CANARY);
    int64_t first = until_asked(1);
    assert_true(first <= 3 * SEC);
    reply(200, "", TOKEN1);
    int64_t second = until_asked(2);
    assert_true(second >= 42 * MINUTE && second <= 48 * MINUTE);
    assert_int_equal(status().state, ACCOUNT_READY); /* the old one goes on meanwhile */
    CREDENTIAL("Bearer tok1");
    reply(200, "", TOKEN2);
    CREDENTIAL("Bearer tok2");
    assert_int_equal(b.a->generation, 2);
    cloud_close();
}

/* A 401 on the generation in use fetches once; a late one on an older generation does not. */
static void test_forced(void **state)
{
    (void)state;
    cloud_open("azure-foundry", ENTRA, CANARY);
    assert_int_equal(asked(false, 0), ERR_AGAIN);
    reply(200, "", TOKEN1);
    assert_int_equal(asked(true, 0), OK);
    assert_int_equal(b.peers, 1);
    struct waiter x, y;
    ask(&x, true, 1);
    ask(&y, false, 0);
    assert_int_equal(status().state, ACCOUNT_STALE); /* used up, whatever its time says */
    settle();
    reply(200, "", TOKEN2);
    assert_int_equal(x.e, OK);
    assert_int_equal(y.e, OK);
    assert_int_equal(x.called + y.called, 2);
    CREDENTIAL("Bearer tok2");
    assert_int_equal(asked(true, 1), OK);
    advance(MINUTE);
    assert_int_equal(b.a->generation, 2);
    cloud_close();
}

/* What comes with the token goes where it goes, and leaves with it. */
static void test_gitlab(void **state)
{
    (void)state;
    cloud_open("gitlab", "", "glpat-" CANARY);
    assert_int_equal(account_sign_count(b.a), SIGV4_HEADERS);
    struct waiter x;
    ask(&x, false, 0);
    settle();
    ASKED("POST /api/v4/ai/third_party_agents/direct_access HTTP/1.1\r\nhost: gitlab.com\r\n"
          "*content-type: application/json\r\nauthorization: Bearer glpat-" CANARY
          "\r\ncontent-length: 2\r\n\r\n{}");
    reply(201, "", "{\"token\":\"tok1\",\"headers\":{\"X-Gitlab-Realm\":\"saas\"}}");
    assert_int_equal(x.e, OK);
    CREDENTIAL("Bearer tok1");
    assert_signs("authorization", "Bearer tok1");
    assert_signs("x-gitlab-realm", "saas");
    assert_int_equal(account_sign_count(b.a), SIGV4_HEADERS + 1);
    /* it is good for half an hour, of which the last quarter is not waited for */
    int64_t again = until_asked(2);
    assert_true(again >= 21 * MINUTE && again <= 24 * MINUTE);
    reply(201, "", "{\"token\":\"tok2\",\"headers\":{\"X-Gitlab-Realm\":\"sm\",\"x-2\":\"b\"}}");
    CREDENTIAL("Bearer tok2");
    assert_signs("x-gitlab-realm", "sm");
    assert_signs("x-2", "b");
    cloud_close();
}

static void test_failures(void **state)
{
    static const struct {
        int status;
        const char *header, *body;
        enum err e;
        enum account_state state;
        const char *reason;
        int64_t rest;
    } rows[] = {
        {401, "", "{\"error\":\"invalid_client\",\"error_description\":\"" CANARY "\"}", ERR_DENIED,
         ACCOUNT_LOGIN, "invalid_client", 300 * SEC},
        {400, "", "{\"error\":\"invalid_grant\"}", ERR_DENIED, ACCOUNT_LOGIN, "invalid_grant",
         300 * SEC},
        {404, "", CANARY, ERR_DENIED, ACCOUNT_LOGIN, "not_found", 300 * SEC},
        {302, "location: http://10.0.0.1/\r\n", "", ERR_DENIED, ACCOUNT_LOGIN, "redirected",
         300 * SEC},
        {500, "", "", ERR_BUSY, ACCOUNT_COOLING, "server_error", 5 * SEC},
        {429, "retry-after: 40\r\n", "", ERR_BUSY, ACCOUNT_COOLING, "rate_limited", 40 * SEC},
        {200, "", "{}", ERR_PROTOCOL, ACCOUNT_COOLING, "bad_answer", 5 * SEC},
        {200, "", "<html>" CANARY, ERR_PROTOCOL, ACCOUNT_COOLING, "bad_answer", 5 * SEC},
        {200, "", "{\"access_token\":\"a\\nb\"}", ERR_PROTOCOL, ACCOUNT_COOLING, "bad_answer",
         5 * SEC},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct waiter x;
        cloud_open("azure-foundry", ENTRA, CANARY);
        ask(&x, false, 0);
        settle();
        reply(rows[i].status, rows[i].header, rows[i].body);
        assert_int_equal(x.called, 1);
        assert_int_equal(x.e, rows[i].e);
        assert_int_equal(status().state, rows[i].state);
        assert_string_equal(status().reason, rows[i].reason);
        assert_int_equal(asked(false, 0), rows[i].state == ACCOUNT_LOGIN ? ERR_DENIED : x.e);
        assert_int_equal(b.peers, 1); /* not within the rest */
        assert_int_equal(b.host->dials, 0);
        advance(rows[i].rest + 1);
        asked_for();
        reply(200, "", TOKEN1); /* mended: nobody has to do anything here */
        assert_int_equal(status().state, ACCOUNT_READY);
        CREDENTIAL("Bearer tok1");
        assert_string_equal(b.reason, ""); /* and nothing of it was stored */
        cloud_close();
    }
}

/* A failure costs more each time, but the credential in hand goes on until it runs out. */
static void test_backoff(void **state)
{
    (void)state;
    cloud_open("azure-foundry", ENTRA, CANARY);
    until_asked(1);
    reply(200, "", TOKEN1);
    until_asked(2);
    int64_t last = 0;
    for (int i = 2; i < 6; i++) {
        reply(503, "connection: close\r\n", "");
        assert_int_equal(status().state, ACCOUNT_READY);
        assert_int_equal(asked(false, 0), OK);
        int64_t rest = until_asked(i + 1);
        assert_true(rest > last);
        last = rest;
    }
    sim_end(b.peer[b.peers - 1], SIM_RST);
    advance(20 * MINUTE); /* dials on, and nobody answers: 30 s each */
    assert_int_not_equal(status().state, ACCOUNT_READY);
    assert_true(b.peers < 30);
    cloud_close();
}

static void test_hangs(void **state)
{
    struct waiter x;
    (void)state;
    cloud_open("azure-foundry", ENTRA, CANARY);
    ask(&x, false, 0);
    advance(30 * SEC - 1);
    assert_int_equal(x.called, 0);
    advance(1);
    assert_int_equal(x.called, 1);
    assert_int_equal(x.e, ERR_TIMEOUT);
    assert_string_equal(status().reason, "no_answer");
    cloud_close();
}

static void test_overlong(void **state)
{
    static char body[70000];
    struct waiter x;
    (void)state;
    memset(body, ' ', sizeof body - 1);
    memcpy(body, TOKEN1, sizeof TOKEN1 - 1);
    cloud_open("azure-foundry", ENTRA, CANARY);
    ask(&x, false, 0);
    settle();
    reply(200, "", body);
    assert_int_equal(x.e, ERR_PROTOCOL);
    cloud_close();
}

static void test_api_key(void **state)
{
    (void)state;
    cloud_open("azure-foundry", "{}", "key-" CANARY);
    assert_int_equal(status().state, ACCOUNT_READY);
    assert_int_equal(b.a->generation, 0); /* a fixed secret: a 401 is final */
    assert_int_equal(asked(false, 0), OK);
    assert_int_equal(asked(true, 0), ERR_DENIED);
    assert_true(slice_eq(b.a->credential.name, S("api-key")));
    CREDENTIAL("key-" CANARY);
    assert_signs("api-key", "key-" CANARY);
    advance(HOUR);
    assert_int_equal(b.peers, 0);
    cloud_close();
}

static void test_azure_instance(void **state)
{
    (void)state;
    cloud_open("azure-foundry", "{\"credential\":\"instance\"}", "");
    assert_int_equal(asked(false, 0), ERR_AGAIN);
    assert_false(b.peer[0]->tls);
    ASKED("GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource="
          "https%3A%2F%2Fcognitiveservices.azure.com HTTP/1.1\r\nhost: 169.254.169.254\r\n"
          "*metadata: true\r\n*");
    reply(200, "",
          "{\"access_token\":\"mi1\",\"expires_in\":\"86399\",\"expires_on\":\"1\","
          "\"resource\":\"x\",\"token_type\":\"Bearer\"}");
    CREDENTIAL("Bearer mi1");
    assert_int_equal(b.a->facts.token_expires_at, wall() + 86399 * SEC);
    cloud_close();
}

/* ---- what a person changes ------------------------------------------------------------------- */

static void apply(const char *settings, const char *secret)
{
    b.account.version++;
    text_copy(b.account.settings, sizeof b.account.settings, slice_of(settings));
    b.account.secret = slice_of(secret);
    accounts_apply(b.set, &b.account);
    settle();
}

static void test_changed(void **state)
{
    struct waiter x;
    (void)state;
    cloud_open("azure-foundry", ENTRA, CANARY);
    ask(&x, false, 0);
    settle();
    apply(ENTRA, "another"); /* while the old secret is on its way */
    assert_int_equal(b.peers, 1);
    reply(200, "", TOKEN1);
    assert_int_equal(x.called, 0); /* the answer is of no interest: it is asked again */
    assert_int_equal(b.a->generation, 0);
    ASKED("*client_secret=another&*");
    reply(200, "", TOKEN2);
    assert_int_equal(x.e, OK);
    CREDENTIAL("Bearer tok2");
    int dials = b.peers;
    apply(ENTRA, "another"); /* nothing changes: what is there stays */
    assert_int_equal(status().state, ACCOUNT_READY);
    apply("{\"tenant_id\":\"two\",\"client_id\":\"app\"}", "another");
    assert_int_equal(status().state, ACCOUNT_STALE);
    assert_int_equal(asked(false, 0), ERR_AGAIN);
    ASKED("POST /two/*");
    apply("{}", "key2"); /* an API key from now on; whoever waits has it */
    ask(&x, false, 0);
    settle();
    assert_int_equal(x.e, OK);
    CREDENTIAL("key2");
    assert_int_equal(b.a->generation, 0);
    assert_int_equal(status().state, ACCOUNT_READY);
    reply(200, "", TOKEN1);
    CREDENTIAL("key2");
    apply(ENTRA, "third"); /* and back */
    assert_int_equal(status().state, ACCOUNT_STALE);
    assert_int_equal(asked(false, 0), ERR_AGAIN);
    ASKED("*client_secret=third&*");
    reply(200, "", TOKEN1);
    CREDENTIAL("Bearer tok1");
    assert_true(b.peers <= dials + 3);
    cloud_close();
}

/* A refused secret is a failure like any other; a new one is tried at once. */
static void test_mended(void **state)
{
    (void)state;
    cloud_open("azure-foundry", ENTRA, CANARY);
    assert_int_equal(asked(false, 0), ERR_AGAIN);
    reply(401, "", "{\"error\":\"invalid_client\"}");
    assert_int_equal(status().state, ACCOUNT_LOGIN);
    apply(ENTRA, "right");
    assert_int_equal(status().state, ACCOUNT_STALE);
    assert_int_equal(asked(false, 0), ERR_AGAIN);
    reply(200, "", TOKEN1);
    assert_int_equal(status().state, ACCOUNT_READY);
    accounts_reset(b.set, b.a);
    assert_int_equal(status().state, ACCOUNT_READY);
    cloud_close();
    cloud_open("azure-foundry", ENTRA, CANARY); /* a reset tries at once, and pretends nothing */
    assert_int_equal(asked(false, 0), ERR_AGAIN);
    reply(401, "connection: close\r\n", "{\"error\":\"invalid_client\"}");
    accounts_reset(b.set, b.a);
    assert_int_equal(status().state, ACCOUNT_STALE);
    assert_int_equal(asked(false, 0), ERR_AGAIN);
    assert_int_equal(b.peers, 2);
    cloud_close();
}

static void test_unreadable(void **state)
{
    (void)state;
    cloud_disk("azure-foundry", ENTRA, "");
    b.account.secret_unreadable = true;
    cloud_load();
    assert_int_equal(status().state, ACCOUNT_LOGIN);
    assert_string_equal(status().reason, "secret_unreadable");
    advance(HOUR);
    assert_int_equal(b.peers, 0);
    b.account.secret_unreadable = false;
    apply(ENTRA, CANARY);
    assert_int_equal(status().state, ACCOUNT_STALE);
    struct token_row row = {.account_id = 7, .generation = 9, .access = S("x")};
    accounts_token_put(b.set, &row); /* nothing that is stored comes in here */
    assert_int_equal(b.a->generation, 0);
    cloud_close();
}

static void test_removed(void **state)
{
    struct waiter x;
    (void)state;
    cloud_open("azure-foundry", ENTRA, CANARY);
    account_hold(b.a);
    ask(&x, false, 0);
    settle();
    accounts_drop(b.set, 7);
    reply(200, "", TOKEN1);
    assert_int_equal(x.called, 1);
    account_release(b.set, b.a);
    settle();
    assert_null(accounts_by_id(b.set, 7));
    cloud_close();
}

/* ---- Google ---------------------------------------------------------------------------------- */

static const char *key_text(const char *token_uri)
{
    static char text[8192];
    struct buf out;
    struct jw w;
    buf_init(&out, sizeof text - 1);
    jw_init(&w, &out);
    jw_obj(&w);
    jw_kcstr(&w, "type", "service_account");
    jw_kcstr(&w, "private_key", rsa_pkcs8);
    jw_kcstr(&w, "client_email", "sa@p");
    if (token_uri != NULL)
        jw_kcstr(&w, "token_uri", token_uri);
    jw_end_obj(&w);
    assert_int_equal(w.err, OK);
    text_copy(text, sizeof text, buf_slice(&out));
    buf_free(&out);
    return text;
}

#define JWT                                                                       \
    "POST /token HTTP/1.1\r\nhost: oauth2.googleapis.com\r\n*\r\n\r\n"            \
    "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=" \
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.*.*"

static void test_google(void **state)
{
    struct sim_counts n;
    (void)state;
    cloud_open("vertex-ai", "{\"quota_project\":\"q\"}", key_text(NULL));
    assert_int_equal(asked(false, 0), ERR_AGAIN);
    sim_live_counts(b.loop, &n);
    assert_int_equal(n.workers, 1); /* the signature is made aside */
    ASKED(JWT);
    reply(200, "", "{\"access_token\":\"ya29.x\",\"expires_in\":3599,\"token_type\":\"Bearer\"}");
    assert_signs("authorization", "Bearer ya29.x");
    assert_signs("x-goog-user-project", "q");
    cloud_close();
}

/* The key itself tells where its assertion goes; not into this network. */
static void test_google_address(void **state)
{
    static const char *const urls[] = {"http://10.0.0.1/token", "https://10.0.0.1/token",
                                       "http://169.254.169.254/token"};
    (void)state;
    for (size_t i = 0; i < COUNT(urls); i++) {
        struct waiter x;
        cloud_open("vertex-ai", "{}", key_text(urls[i]));
        ask(&x, false, 0);
        settle();
        assert_int_equal(x.called, 1);
        assert_int_not_equal(x.e, OK);
        assert_int_equal(b.peers, 0);
        cloud_close();
    }
}

static const char *file_put(const char *name, const char *text)
{
    static char path[4][256];
    static int at;
    char *p = path[at++ % 4];
    text_format(p, sizeof path[0], "%s/%s", dir, name);
    int fd = open(p, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return p;
}

static void test_google_files(void **state)
{
    (void)state;
    cloud_disk("vertex-ai", "{\"credential\":\"env\"}", "");
    env_value[CONFIG_ENV_GOOGLE_APPLICATION_CREDENTIALS] = file_put("sa.json", key_text(NULL));
    cloud_load();
    assert_int_equal(asked(false, 0), ERR_AGAIN);
    ASKED(JWT);
    cloud_close();
    cloud_disk("vertex-ai", "{}", ""); /* named and not there: nobody else is asked */
    env_value[CONFIG_ENV_GOOGLE_APPLICATION_CREDENTIALS] = "/nonexistent/x.json";
    cloud_load();
    assert_int_equal(asked(false, 0), ERR_DENIED);
    assert_string_equal(status().reason, "no_credentials");
    assert_int_equal(b.peers, 0);
    cloud_close();
    cloud_disk("vertex-ai", "{}", "");
    env_value[CONFIG_ENV_HOME] = dir; /* no file there: the machine */
    cloud_load();
    assert_int_equal(asked(false, 0), ERR_AGAIN);
    ASKED("GET /computeMetadata/v1/instance/service-accounts/default/token HTTP/1.1\r\n"
          "host: 169.254.169.254\r\n*metadata-flavor: Google\r\n*");
    reply(200, "", "{\"access_token\":\"gce1\",\"expires_in\":3000,\"token_type\":\"Bearer\"}");
    CREDENTIAL("Bearer gce1");
    cloud_close();
    cloud_disk("vertex-ai", "{\"credential\":\"env\"}", "");
    env_value[CONFIG_ENV_GOOGLE_APPLICATION_CREDENTIALS] = file_put("bad.json", "{\"" CANARY);
    cloud_load();
    assert_int_equal(asked(false, 0), ERR_DENIED);
    assert_string_equal(status().reason, "bad_key");
    cloud_close();
}

/* ---- AWS ------------------------------------------------------------------------------------- */

#define AWS_ANSWER(id, at)                                                           \
    "{\"Code\":\"Success\",\"AccessKeyId\":\"" id "\",\"SecretAccessKey\":\"" CANARY \
    "\",\"Token\":\"sess\",\"Expiration\":\"" at "\"}"

static void test_aws_static(void **state)
{
    (void)state;
    cloud_open("bedrock", "{}", "AKSTATIC:" CANARY);
    assert_int_equal(status().state, ACCOUNT_READY);
    assert_int_equal(b.a->credential.value.n, 0); /* the secret itself goes nowhere */
    assert_signs("authorization",
                 "AWS4-HMAC-SHA256 Credential=AKSTATIC/20261121/eu-west-1/bedrock/aws4_request, "
                 "SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=*");
    apply("{\"region\":\"us-east-2\"}", "AKSTATIC:" CANARY ":tok");
    assert_signs("authorization", "*/us-east-2/bedrock/aws4_request, SignedHeaders=host;"
                                  "x-amz-content-sha256;x-amz-date;x-amz-security-token, *");
    assert_signs("x-amz-security-token", "tok");
    apply("{}", "ABSKkey");
    assert_signs("authorization", "Bearer ABSKkey");
    CREDENTIAL("Bearer ABSKkey");
    assert_int_equal(b.peers, 0);
    cloud_close();
}

static void test_aws_env(void **state)
{
    (void)state;
    cloud_disk("bedrock", "{\"credential\":\"env\"}", "");
    env_value[CONFIG_ENV_AWS_ACCESS_KEY_ID] = "AKENV";
    env_value[CONFIG_ENV_AWS_SECRET_ACCESS_KEY] = CANARY;
    cloud_load();
    struct waiter x;
    ask(&x, false, 0);
    settle();
    assert_int_equal(x.e, OK);
    assert_signs("authorization", "AWS4-HMAC-SHA256 Credential=AKENV/*");
    env_value[CONFIG_ENV_AWS_BEARER_TOKEN] = "ABSKenv"; /* seen when it is looked at again */
    assert_int_equal(asked(true, 1), OK);
    assert_signs("authorization", "Bearer ABSKenv");
    cloud_close();
    cloud_open("bedrock", "{\"credential\":\"env\"}", "");
    assert_int_equal(asked(false, 0), ERR_DENIED);
    assert_string_equal(status().reason, "no_credentials");
    cloud_close();
    cloud_disk("bedrock", "{\"credential\":\"env\"}", "");
    env_value[CONFIG_ENV_AWS_ACCESS_KEY_ID] = "AK ENV";
    env_value[CONFIG_ENV_AWS_SECRET_ACCESS_KEY] = CANARY;
    cloud_load();
    assert_int_equal(asked(false, 0), ERR_DENIED);
    assert_string_equal(status().reason, "bad_key");
    cloud_close();
}

static void test_aws_profile(void **state)
{
    static const struct {
        const char *settings, *reason, *signs;
    } rows[] = {
        {"{\"credential\":\"profile\"}", "", "*Credential=AKDEF/*"},
        {"{\"credential\":\"profile\",\"profile\":\"team\"}", "", "*Credential=AKTEAM/*"},
        {"{\"credential\":\"profile\",\"profile\":\"role\"}", "indirect_profile", NULL},
        {"{\"profile\":\"role\"}", "indirect_profile", NULL},
        {"{\"credential\":\"profile\",\"profile\":\"none\"}", "no_profile", NULL},
        {"{\"credential\":\"profile\",\"profile\":\"empty\"}", "no_credentials", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        cloud_disk("bedrock", rows[i].settings, "");
        env_value[CONFIG_ENV_AWS_SHARED_CREDENTIALS_FILE] = file_put(
            "credentials", "[default]\naws_access_key_id=AKDEF\naws_secret_access_key=" CANARY
                           "\n[team]\naws_access_key_id=AKTEAM\naws_secret_access_key=" CANARY);
        env_value[CONFIG_ENV_AWS_CONFIG_FILE] = file_put(
            "config", "[profile role]\nrole_arn=x\n[profile empty]\nregion=x\n");
        cloud_load();
        enum err e = asked(false, 0);
        assert_int_equal(e, rows[i].signs != NULL ? OK : ERR_DENIED);
        assert_string_equal(status().reason, rows[i].reason);
        if (e == OK)
            assert_signs("authorization", rows[i].signs);
        assert_int_equal(b.peers, 0);
        cloud_close();
    }
}

static void test_aws_container(void **state)
{
    (void)state;
    cloud_disk("bedrock", "{}", "");
    env_value[CONFIG_ENV_AWS_CONTAINER_RELATIVE_URI] = "/v2/credentials/u";
    env_value[CONFIG_ENV_AWS_CONTAINER_TOKEN_FILE] = file_put("token", "Basic abc\n");
    cloud_load();
    assert_int_equal(asked(false, 0), ERR_AGAIN);
    ASKED("GET /v2/credentials/u HTTP/1.1\r\nhost: 169.254.170.2\r\n*authorization: Basic abc\r\n"
          "*");
    reply(200, "", AWS_ANSWER("ASECS", "2026-11-21T18:00:00Z"));
    assert_int_equal(b.a->facts.token_expires_at, SIM_EPOCH_MS + 6 * HOUR);
    assert_signs("authorization", "*Credential=ASECS/*x-amz-security-token*");
    assert_signs("x-amz-security-token", "sess");
    int64_t next = until_asked(b.peers + 1); /* at three quarters of its life */
    assert_true(next > 4 * HOUR && next < 5 * HOUR);
    cloud_close();
    cloud_disk("bedrock", "{\"credential\":\"container\"}", "");
    env_value[CONFIG_ENV_AWS_CONTAINER_FULL_URI] = "http://10.0.0.1/credentials";
    cloud_load();
    assert_int_equal(asked(false, 0), ERR_DENIED);
    assert_string_equal(status().reason, "bad_request");
    assert_int_equal(b.peers, 0);
    cloud_close();
    cloud_disk("bedrock", "{\"credential\":\"container\"}", "");
    env_value[CONFIG_ENV_AWS_CONTAINER_RELATIVE_URI] = "/c";
    env_value[CONFIG_ENV_AWS_CONTAINER_TOKEN_FILE] = "/nonexistent/token";
    cloud_load();
    assert_int_equal(asked(false, 0), ERR_DENIED);
    assert_string_equal(status().reason, "no_container_token");
    cloud_close();
}

static void imds_answers(const char *id, const char *at)
{
    char text[512];
    ASKED("PUT /latest/api/token HTTP/1.1\r\n*x-aws-ec2-metadata-token-ttl-seconds: 300\r\n*");
    reply(200, "", "AQAEsession==");
    ASKED("GET /latest/meta-data/iam/security-credentials/ HTTP/1.1\r\n"
          "*x-aws-ec2-metadata-token: AQAEsession==\r\n*");
    reply(200, "", "gateway-role");
    ASKED("GET /latest/meta-data/iam/security-credentials/gateway-role HTTP/1.1\r\n"
          "*x-aws-ec2-metadata-token: AQAEsession==\r\n*");
    text_format(text, sizeof text,
                "{\"Code\":\"Success\",\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"" CANARY
                "\",\"Token\":\"sess\",\"Expiration\":\"%s\"}",
                id, at);
    reply(200, "", text);
}

/* The end of the chain, on one connection; asked again it gives the same keys until it has others,
 * and is not asked without end. */
static void test_aws_instance(void **state)
{
    int asks = 0;
    (void)state;
    cloud_disk("bedrock", "{}", "");
    env_value[CONFIG_ENV_HOME] = dir;
    cloud_load();
    assert_int_equal(asked(false, 0), ERR_AGAIN);
    imds_answers("ASEC2", "2026-11-21T18:00:00Z");
    assert_int_equal(b.peers, 1);
    assert_signs("authorization", "*Credential=ASEC2/*");
    while (wall() < SIM_EPOCH_MS + 6 * HOUR - 5 * MINUTE && asks < 20) {
        until_asked(b.peers + 1);
        imds_answers("ASEC2", "2026-11-21T18:00:00Z");
        assert_int_equal(status().state, ACCOUNT_READY);
        asks++;
    }
    assert_in_range(asks, 2, 8);
    assert_int_equal(asked(true, b.a->generation), ERR_AGAIN); /* "ExpiredToken" */
    imds_answers("ASNEW", "2026-11-22T18:00:00Z");
    assert_signs("authorization", "*Credential=ASNEW/*");
    cloud_close();
    cloud_open("bedrock", "{\"credential\":\"instance\",\"metadata_ipv6\":true}", "");
    assert_int_equal(asked(false, 0), ERR_AGAIN);
    ASKED("PUT /latest/api/token HTTP/1.1\r\nhost: [fd00:ec2::254]\r\n*");
    cloud_close();
}

static void test_aws_nowhere(void **state)
{
    struct waiter x;
    (void)state;
    cloud_open("bedrock", "{}", ""); /* a machine that is none of AWS's: nobody answers */
    ask(&x, false, 0);
    advance(5 * SEC);
    assert_int_equal(x.called, 1);
    assert_int_equal(x.e, ERR_TIMEOUT);
    assert_string_equal(status().reason, "no_credentials");
    cloud_close();
    cloud_disk("bedrock", "{}", "");
    env_value[CONFIG_ENV_AWS_EC2_METADATA_DISABLED] = "TRUE";
    cloud_load();
    assert_int_equal(asked(false, 0), ERR_DENIED);
    assert_string_equal(status().reason, "no_credentials");
    assert_int_equal(b.peers, 0);
    cloud_close();
    cloud_open("bedrock", "{\"credential\":\"instance\"}", ""); /* a machine without a role */
    assert_int_equal(asked(false, 0), ERR_AGAIN);
    reply(200, "", "t");
    reply(404, "", "<html>");
    assert_string_equal(status().reason, "not_found");
    cloud_close();
}

/* ---- endings --------------------------------------------------------------------------------- */

/* Given up at every point of a fetch: while the worker has it, while it asks, between two asks. */
static void test_abandoned(void **state)
{
    (void)state;
    for (int at = 0; at < 6; at++) {
        struct waiter x = {.called = 0};
        bool is_google = at < 3;
        if (is_google)
            cloud_open("vertex-ai", "{}", key_text(NULL));
        else
            cloud_open("bedrock", "{\"credential\":\"instance\"}", "");
        ask(&x, false, 0);
        if (at == 1)
            assert_true(sim_step(b.loop, loop_now(b.loop)));
        if (at > 1)
            settle();
        for (int i = 3; i < at; i++)
            reply(200, "", "t");
        set_close();
        settle();
        assert_int_equal(x.called, 0); /* the set is gone, and with it who waited */
        cloud_close();
    }
}

/* The Nth call that can fail does so: each time either a credential or a reason, and no leak. */
static void test_torture(void **state)
{
    int lost = 0;
    (void)state;
    for (uint64_t n = 1; n < 60; n++) {
        struct waiter x;
        if (n % 2 == 0)
            cloud_open("vertex-ai", "{}", key_text(NULL));
        else
            cloud_open("azure-foundry", ENTRA, CANARY);
        ask(&x, false, 0);
        fault_counter = 0;
        fault_target = n;
        settle();
        if (b.peers > 0)
            reply(200, "", TOKEN1);
        fault_target = 0;
        if (x.called == 0)
            advance(30 * SEC);
        assert_int_equal(x.called, 1);
        lost += x.e != OK;
        assert_true((x.e == OK) == (status().state == ACCOUNT_READY));
        if (x.e != OK) /* nobody has to act for that */
            assert_int_equal(status().state, ACCOUNT_COOLING);
        cloud_close();
    }
    assert_in_range(lost, 5, 55);
}

/* The log of all the tests before: every failure has told its reason in it, and no secret. */
static void test_log(void **state)
{
    static const char *const secrets[] = {CANARY, "tok1", "tok2",   "ya29.x", "AQAEsession",
                                          "abc",  "sess", "Bearer", "PRIVATE"};
    static const char *const words[] = {"invalid_client", "no_answer",    "no_profile",
                                        "bad_request",    "rate_limited", "credential fetched"};
    static char text[262144];
    char path[256];
    (void)state;
    (void)let_go; /* of the bench, for the other tests */
    (void)bench_open;
    text_format(path, sizeof path, "%s/log", dir);
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, text, sizeof text);
    close(fd);
    assert_true(n > 4000 && (size_t)n < sizeof text);
    for (size_t i = 0; i < COUNT(secrets); i++) {
        ptrdiff_t at = slice_search((struct slice){text, (size_t)n}, slice_of(secrets[i]));
        if (at >= 0)
            fail_msg("%s in the log: %.80s", secrets[i], text + at);
    }
    for (size_t i = 0; i < COUNT(words); i++)
        assert_true(slice_search((struct slice){text, (size_t)n}, slice_of(words[i])) >= 0);
}

static int64_t log_clock(void *arg)
{
    (void)arg;
    return SIM_EPOCH_MS;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entra),         cmocka_unit_test(test_gitlab),
        cmocka_unit_test(test_background),    cmocka_unit_test(test_forced),
        cmocka_unit_test(test_failures),      cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_hangs),         cmocka_unit_test(test_overlong),
        cmocka_unit_test(test_api_key),       cmocka_unit_test(test_azure_instance),
        cmocka_unit_test(test_changed),       cmocka_unit_test(test_mended),
        cmocka_unit_test(test_unreadable),    cmocka_unit_test(test_removed),
        cmocka_unit_test(test_google),        cmocka_unit_test(test_google_address),
        cmocka_unit_test(test_google_files),  cmocka_unit_test(test_aws_static),
        cmocka_unit_test(test_aws_env),       cmocka_unit_test(test_aws_profile),
        cmocka_unit_test(test_aws_container), cmocka_unit_test(test_aws_instance),
        cmocka_unit_test(test_aws_nowhere),   cmocka_unit_test(test_abandoned),
        cmocka_unit_test(test_torture),       cmocka_unit_test(test_log), /* the last one */
    };

    crypto_init();
    assert(mkdtemp(dir) != NULL);
    char log_path[256];
    text_format(log_path, sizeof log_path, "%s/log", dir);
    log_init(open(log_path, O_WRONLY | O_CREAT, 0600), LOG_TEXT, LOG_DEBUG, log_clock, NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    static const char *const names[] = {"log",         "sa.json", "bad.json",
                                        "credentials", "config",  "token"};
    for (size_t i = 0; i < COUNT(names); i++) {
        char path[256];
        text_format(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
    return failed;
}
