/* links: base config http codec sim store accounts gateway admin */
/* Logging in, over the API of a house on a simulated network: pages, answers, and what becomes of
 * the credential that was there before, whatever fails. */
#include "admin/inside.h"
#include "simnet.h"
/* For the engine behind the store; both rooms have a `struct verb` of their own. */
#define verb store_verb
#include "store/inside.h"
#undef verb

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MINUTE INT64_C(60000)
#define PEERS  16
#define CANARY "c0de-canary-77"
#define MAX                                                                  \
    "{\"name\":\"max\",\"provider\":\"claude-oauth\",\"client_id\":\"cid\"," \
    "\"token_url\":\"http://auth/v1/token\",\"priority\":3,\"quota\":\"org\"}"
#define CON                                                             \
    "{\"name\":\"con\",\"provider\":\"console\",\"client_id\":\"cid\"," \
    "\"token_url\":\"http://auth/v1/token\",\"key_url\":\"http://keys/make\"}"
#define PAIR(n) \
    "{\"access_token\":\"at." n "\",\"refresh_token\":\"rt." n "\",\"expires_in\":28800}"

static struct {
    struct loop *loop;
    struct store *store;
    struct config *config;
    struct http_client *client;
    struct account_set *set;
    struct key_set *keys;
    struct gateway *gateway;
    struct admin *admin;
    struct sim_peer *peer[PEERS];
    int peers, ready;
    /* the last answer */
    int answers, status;
    struct json *reply;
    char text[8192];
    /* what the disk does next */
    struct backend_ops ops;
    const struct backend_ops *real;
    enum err spoil; /* of the next writes of a credential, `spoils` times */
    int spoils, moves;
    /* what it holds */
    struct token_row row;
    char access[64], refresh[64], secret[64];
} b;

/* ---- a disk that fails when it is told to
 * --------------------------------------------------------------------------- */

static enum err spoiled_swap(struct backend *x, int64_t expect, const struct token_row *row,
                             const struct backend_sealed *sealed, backend_token_fn *each, void *arg)
{
    if (b.spoils > 0) {
        b.spoils--;
        return b.spoil;
    }
    if (b.moves > 0) { /* another process on the folder was quicker */
        b.moves--;
        enum err e = b.real->token_swap(x, expect, row, sealed, each, arg);
        assert_int_equal(e, OK);
    }
    return b.real->token_swap(x, expect, row, sealed, each, arg);
}

static enum err spoiled_update(struct backend *x, const struct account_row *row,
                               struct slice sealed)
{
    if (b.spoils > 0) {
        b.spoils--;
        return b.spoil;
    }
    return b.real->account_update(x, row, sealed);
}

/* ---- the bench
 * ----------------------------------------------------------------------------------- */

static void settle(void)
{
    assert_true(sim_settle(b.loop));
}

static void advance(int64_t ms)
{
    assert_true(sim_advance(b.loop, ms));
    settle();
}

static void on_dialled(void *arg, struct sim_host *h, struct sim_peer *p)
{
    (void)arg, (void)h;
    assert_true(b.peers < PEERS);
    b.peer[b.peers++] = p;
}

static void on_ready(void *arg, enum err e)
{
    (void)arg;
    assert_int_equal(e, OK);
    b.ready++;
}

static int bench_open(void **state)
{
    static const struct http_client_limits limits = {
        .connect_ms = 5000, .idle_ms = 55000, .max_idle = 3};
    struct config_error ce;
    char why[256];
    struct sim_hooks hooks = {.on_dialled = on_dialled};
    struct store_options o = {.ring = 64};
    (void)state;
    memset(&b, 0, sizeof b);
    b.loop = loop_new();
    sim_hooks_set(b.loop, &hooks);
    sim_host(b.loop, "auth", S("auth"), 80);
    sim_host(b.loop, "keys", S("keys"), 80);
    assert_int_equal(config_load(NULL, NULL, 0, &b.config, &ce), OK);
    assert_int_equal(store_open(b.loop, &o, &b.store, why, sizeof why), OK);
    b.real = b.store->ops;
    b.ops = *b.real;
    b.ops.token_swap = spoiled_swap;
    b.ops.account_update = spoiled_update;
    b.store->ops = &b.ops;
    b.client = http_client_new(b.loop, &limits, NULL);
    b.keys = keys_new(store_pepper(b.store));
    b.set = accounts_new(b.loop, b.store, on_ready, NULL);
    settle();
    assert_int_equal(b.ready, 1);
    accounts_set_client(b.set, b.client);
    struct gateway_parts g = {.loop = b.loop,
                              .store = b.store,
                              .accounts = b.set,
                              .keys = b.keys,
                              .client = b.client,
                              .config = b.config};
    b.gateway = gateway_new(&g);
    struct admin_parts p = {.loop = b.loop,
                            .store = b.store,
                            .accounts = b.set,
                            .keys = b.keys,
                            .gateway = b.gateway,
                            .client = b.client,
                            .config = b.config,
                            .daemon = true};
    b.admin = admin_new(&p);
    return 0;
}

static int bench_close(void **state)
{
    struct sim_counts left;
    (void)state;
    if (b.admin != NULL)
        admin_free(b.admin);
    accounts_set_client(b.set, NULL);
    store_close(b.store);
    gateway_free(b.gateway);
    http_client_free(b.client);
    accounts_free(b.set);
    keys_free(b.keys);
    config_free(b.config);
    json_free(b.reply);
    assert_true(sim_advance(b.loop, 40000));
    sim_live_counts(b.loop, &left);
    assert_int_equal(left.streams + left.dials, 0);
    assert_int_equal(left.timers, 0);
    loop_free(b.loop);
    return 0;
}

static void on_answer(void *arg, int status, struct slice json)
{
    uint64_t armed = fault_target;
    (void)arg;
    fault_target = 0; /* the test itself is spared */
    b.answers++;
    b.status = status;
    json_free(b.reply);
    b.reply = NULL;
    text_copy(b.text, sizeof b.text, json);
    assert_int_equal(json_parse(json, &b.reply), OK);
    assert_null(strstr(b.text, CANARY));  /* no answer tells a code, */
    assert_null(strstr(b.text, "\"at.")); /* a token (no random text holds a dot) or a key */
    assert_null(strstr(b.text, "\"rt."));
    assert_null(strstr(b.text, "sk-ant"));
    fault_target = armed;
}

static struct verb_call *ask(enum http_method m, const char *path, const char *body)
{
    struct verb_args args;
    enum fail f;
    char why[ADMIN_WHY_MAX] = "";
    const struct verb *v = api_route(m, slice_of(path), S(""), slice_of(body), &args, &f, why,
                                     sizeof why);
    if (v == NULL)
        fail_msg("%s: %s", path, why);
    b.answers = 0;
    return call_start(b.admin, v, &args, on_answer, NULL);
}

static void post(int status, const char *path, const char *body)
{
    ask(HTTP_POST, path, body);
    settle();
    if (b.answers != 1 || b.status != status)
        fail_msg("%s: %d answers, %d, not %d: %s", path, b.answers, b.status, status, b.text);
}

static void says(const char *text)
{
    if (strstr(b.text, text) == NULL)
        fail_msg("no `%s` in: %s", text, b.text);
}

static struct slice member(const char *key)
{
    return json_get_str(json_root(b.reply), key);
}

static struct account *account(const char *name)
{
    struct account *a = accounts_by_name(b.set, slice_of(name));
    assert_non_null(a);
    return a;
}

static enum account_state state_of(const char *name)
{
    return account_status(&account(name)->facts, loop_wall(b.loop)).state;
}

static bool credential_is(const char *name, const char *want)
{
    return slice_eq(account(name)->credential.value, slice_of(want));
}

/* Begins a login; its state, to be pasted. */
static void begin(const char *path, char answer[128])
{
    post(200, path, "");
    assert_true(slice_search(member("url"), member("state")) > 0);
    assert_true(slice_search(member("url"), S("code_challenge=")) > 0);
    text_format(answer, 128, "{\"answer\":\"" CANARY "#%.*s\"}", (int)member("state").n,
                member("state").p);
}

static void send_reply(int code, const char *body)
{
    struct bytes t = {0};
    assert_true(b.peers > 0);
    bytes_printf(&t, "HTTP/1.1 %d X\r\ncontent-length: %zu\r\n\r\n%s", code, strlen(body), body);
    sim_send(b.peer[b.peers - 1], bytes_slice(&t));
    bytes_free(&t);
    settle();
}

#define LOGIN    "/api/accounts/max/login"
#define CALLBACK "/api/accounts/max/login/callback"

/* The whole way; the pair is number `n`. */
static void log_in(const char *pair)
{
    char answer[128];
    int before = b.peers;
    begin(LOGIN, answer);
    ask(HTTP_POST, CALLBACK, answer);
    settle();
    assert_int_equal(b.answers, 0);
    assert_int_equal(b.peers, before + 1);
    send_reply(200, pair);
    assert_int_equal(b.answers, 1);
}

static void on_tokens(void *arg, enum err e, const struct token_row *rows, size_t n)
{
    (void)arg;
    assert_int_equal(e, OK);
    b.row = n > 0 ? rows[0] : (struct token_row){0};
    text_copy(b.access, sizeof b.access, n > 0 ? rows[0].access : S(""));
    text_copy(b.refresh, sizeof b.refresh, n > 0 ? rows[0].refresh : S(""));
}

static void on_accounts(void *arg, enum err e, const struct account_row *rows, size_t n)
{
    (void)arg;
    assert_int_equal(e, OK);
    for (size_t i = 0; i < n; i++)
        text_copy(b.secret, sizeof b.secret, rows[i].secret);
}

/* What is on the disk: the pair, and the secret of the newest account. */
static void disk_read(void)
{
    store_tokens_load(b.store, on_tokens, NULL);
    store_accounts_load(b.store, on_accounts, NULL);
    settle();
}

/* ---- a login that goes well
 * ----------------------------------------------------------------------- */

static void a_new_account(void **state)
{
    (void)state;
    post(200, "/api/accounts", MAX);
    assert_true(slice_eq(member("state"), S("login")));
    assert_true(slice_eq(member("reason"), S("no_token")));
    assert_true(json_get_bool(json_root(b.reply), "has_login", false));
    log_in(PAIR("1"));
    assert_int_equal(b.status, 200);
    assert_true(slice_eq(member("state"), S("ready")));
    assert_true(slice_eq(member("name"), S("max")));
    assert_int_equal(json_get_i64(json_get(json_root(b.reply), "token"), "generation", 0), 1);
    assert_true(credential_is("max", "Bearer at.1"));
    disk_read();
    assert_int_equal(b.row.generation, 1);
    assert_int_equal(b.row.lifetime, 28800000);
    assert_string_equal(b.access, "at.1");
    assert_string_equal(b.refresh, "rt.1");
    struct slice sent = bytes_slice(&b.peer[0]->rx);
    assert_true(slice_search(sent, S("\"code\":\"" CANARY "\"")) > 0);
    assert_true(slice_search(sent, S("\"code_verifier\":\"")) > 0);
    post(404, CALLBACK, "{\"answer\":\"a#b\"}"); /* it is over */
    says("no login is under way");
}

/* It keeps its id, its settings and its history; the new pair follows the old one. */
static void a_dead_account(void **state)
{
    (void)state;
    post(200, "/api/accounts", MAX);
    log_in(PAIR("1"));
    struct account *a = account("max");
    int64_t id = a->id, created = a->created_at;
    a->served = 7;
    a->facts.login_needed = true;
    text_copy(a->facts.cool_reason, sizeof a->facts.cool_reason, S("invalid_grant"));
    assert_int_equal(state_of("max"), ACCOUNT_LOGIN);
    log_in(PAIR("2"));
    assert_int_equal(b.status, 200);
    a = account("max");
    assert_int_equal(state_of("max"), ACCOUNT_READY);
    assert_int_equal(a->id, id);
    assert_int_equal(a->created_at, created);
    assert_int_equal(a->served, 7);
    assert_int_equal(a->priority, 3);
    assert_non_null(strstr(a->settings, "\"quota\":\"org\""));
    assert_int_equal(a->generation, 2);
    assert_true(credential_is("max", "Bearer at.2"));
    disk_read();
    assert_string_equal(b.refresh, "rt.2");
    post(200, "/api/accounts/max/import", "{\"token\":\"{\\\"access_token\\\":\\\"at.3\\\"}\"}");
    assert_true(credential_is("max", "Bearer at.3"));
    assert_int_equal(account("max")->generation, 3);
}

static void a_key_is_made(void **state)
{
    char answer[128];
    (void)state;
    post(200, "/api/accounts", CON);
    assert_true(slice_eq(member("reason"), S("no_key")));
    for (int i = 1; i < 3; i++) {
        char key[64], want[32];
        begin("/api/accounts/con/login", answer);
        assert_true(slice_eq(member("ends_in"), S("api_key")));
        assert_true(slice_starts(member("url"), S("https://platform.claude.com/oauth/authorize?")));
        assert_true(slice_search(member("url"), S("org%3Acreate_api_key%20user%3Aprofile")) > 0);
        ask(HTTP_POST, "/api/accounts/con/login/callback", answer);
        settle();
        send_reply(200, PAIR("1"));
        assert_int_equal(b.answers, 0);
        text_format(want, sizeof want, "sk-ant-api03-%d", i);
        text_format(key, sizeof key, "{\"raw_key\":\"%s\"}", want);
        if (i == 2) { /* somebody changes the account meanwhile: that is no hindrance */
            b.spoil = ERR_CONFLICT;
            b.spoils = 1;
        }
        send_reply(200, key);
        assert_int_equal(b.status, 200);
        assert_true(slice_eq(member("state"), S("ready")));
        assert_true(credential_is("con", want));
        assert_true(slice_eq(account("con")->credential.name, S("x-api-key")));
        disk_read();
        assert_string_equal(b.secret, want);
        assert_int_equal(b.row.generation, 0); /* the pair is dropped */
    }
    begin("/api/accounts/con/login", answer);
    ask(HTTP_POST, "/api/accounts/con/login/callback", answer);
    settle();
    send_reply(200, PAIR("1"));
    b.spoil = ERR_FULL;
    b.spoils = 1;
    send_reply(200, "{\"raw_key\":\"sk-ant-api03-lost\"}");
    assert_int_equal(b.status, 500);
    assert_true(credential_is("con", "sk-ant-api03-2"));
    disk_read();
    assert_string_equal(b.secret, "sk-ant-api03-2");
}

/* ---- answers that lead nowhere
 * ---------------------------------------------------------------------- */

static void answers_that_do_not_fit(void **state)
{
    char first[128], second[128];
    (void)state;
    post(200, "/api/accounts", MAX);
    post(404, CALLBACK, "{\"answer\":\"a#b\"}");
    begin(LOGIN, first);
    post(400, CALLBACK, "{\"answer\":\"only-a-code\"}");
    post(400, CALLBACK, "{\"answer\":\"\"}");
    post(403, CALLBACK, "{\"answer\":\"" CANARY "#another\"}");
    says("belongs to another login");
    begin(LOGIN, second); /* takes the place of the first */
    post(403, CALLBACK, first);
    assert_int_equal(b.peers, 0);
    ask(HTTP_POST, CALLBACK, second); /* none of these was its end */
    settle();
    assert_int_equal(b.peers, 1);
    post(409, CALLBACK, second); /* twice: the second one waits for nothing */
    says("just being finished");
    b.answers = 0;
    send_reply(200, PAIR("1"));
    assert_int_equal(b.answers, 1);
    assert_int_equal(b.status, 200);
    assert_int_equal(b.peers, 1);
    assert_int_equal(state_of("max"), ACCOUNT_READY);
}

static void fifteen_minutes(void **state)
{
    char answer[128];
    (void)state;
    post(200, "/api/accounts", MAX);
    begin(LOGIN, answer);
    assert_int_equal(json_get_i64(json_root(b.reply), "expires_in_seconds", 0), 900);
    advance(15 * MINUTE);
    post(409, CALLBACK, answer);
    says("has expired");
    post(404, CALLBACK, answer);
    begin(LOGIN, answer);
    advance(15 * MINUTE - 1);
    ask(HTTP_POST, CALLBACK, answer);
    settle();
    send_reply(200, PAIR("1"));
    assert_int_equal(b.status, 200);
    assert_int_equal(b.peers, 1);
}

static void refused_by_the_provider(void **state)
{
    static const struct {
        int code;
        const char *body;
        int status;
        const char *says;
    } ROWS[] = {
        {400, "{\"error\":\"invalid_grant\",\"error_description\":\"" CANARY "\"}", 403,
         "refuses the code"},
        {401, "{\"error\":\"invalid_client\"}", 403, "check the client id"},
        {500, "", 502, "cannot answer now"},
        {200, "{}", 502, "not understood"},
    };
    char answer[128];
    (void)state;
    post(200, "/api/accounts", MAX);
    log_in(PAIR("1"));
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        begin(LOGIN, answer);
        ask(HTTP_POST, CALLBACK, answer);
        settle();
        send_reply(ROWS[i].code, ROWS[i].body);
        assert_int_equal(b.answers, 1);
        assert_int_equal(b.status, ROWS[i].status);
        says(ROWS[i].says);
        says("sluice account login max");
        post(404, CALLBACK, answer); /* a code is good once */
        assert_true(credential_is("max", "Bearer at.1"));
        assert_int_equal(state_of("max"), ACCOUNT_READY);
    }
}

/* ---- what fails afterwards
 * ------------------------------------------------------------------------- */

/* The old pair is in force, on the disk and in memory, and nobody says otherwise. */
static void a_swap_that_fails(void **state)
{
    static const enum err ERRS[] = {ERR_FULL, ERR_IO, ERR_BUSY};
    (void)state;
    post(200, "/api/accounts", MAX);
    log_in(PAIR("1"));
    for (size_t i = 0; i < sizeof ERRS / sizeof *ERRS; i++) {
        b.spoil = ERRS[i];
        b.spoils = 1;
        log_in(PAIR("2"));
        assert_int_equal(b.status, 500);
        says("the account is as it was");
        assert_true(credential_is("max", "Bearer at.1"));
        assert_int_equal(account("max")->generation, 1);
        assert_int_equal(state_of("max"), ACCOUNT_READY);
        disk_read();
        assert_string_equal(b.access, "at.1");
        assert_string_equal(b.refresh, "rt.1");
        assert_int_equal(b.row.generation, 1);
    }
    log_in(PAIR("3"));
    assert_int_equal(b.status, 200);
    assert_true(credential_is("max", "Bearer at.3"));
}

static void a_swap_that_comes_second(void **state)
{
    (void)state;
    post(200, "/api/accounts", MAX);
    log_in(PAIR("1"));
    b.moves = 1;
    log_in(PAIR("2"));
    assert_int_equal(b.status, 200);
    assert_int_equal(account("max")->generation, 3);
    assert_true(credential_is("max", "Bearer at.2"));
    b.moves = 2; /* again and again: a person is told */
    log_in(PAIR("3"));
    assert_int_equal(b.status, 409);
    says("the account is as it was");
    assert_true(credential_is("max", "Bearer at.2"));
}

static void an_account_that_goes(void **state)
{
    char answer[128];
    (void)state;
    post(200, "/api/accounts", MAX);
    begin(LOGIN, answer);
    ask(HTTP_POST, CALLBACK, answer);
    settle();
    ask(HTTP_DELETE, "/api/accounts/max", "");
    settle();
    assert_int_equal(b.status, 200);
    b.answers = 0;
    send_reply(200, PAIR("1"));
    assert_int_equal(b.answers, 1);
    assert_int_equal(b.status, 404);
    says("removed meanwhile");
    disk_read();
    assert_int_equal(b.row.generation, 0);
}

/* Whoever asked has left: an exchange is given up, what it has brought is not thrown away. */
static void a_client_that_leaves(void **state)
{
    char answer[128];
    (void)state;
    post(200, "/api/accounts", MAX);
    begin(LOGIN, answer);
    struct verb_call *c = ask(HTTP_POST, CALLBACK, answer);
    settle();
    call_forget(c);
    settle();
    assert_int_equal(b.peer[0]->rx_end != SIM_OPEN, true); /* closed */
    assert_int_equal(b.answers, 0);
    post(404, CALLBACK, answer);
    assert_int_equal(state_of("max"), ACCOUNT_LOGIN);
    begin(LOGIN, answer);
    c = ask(HTTP_POST, CALLBACK, answer);
    call_forget(c); /* before its handler has begun: it has begun nothing yet, and goes on */
    settle();
    assert_int_equal(b.peers, 2);
    send_reply(200, PAIR("1"));
    assert_int_equal(b.answers, 0);
    assert_int_equal(state_of("max"), ACCOUNT_READY);
    begin(LOGIN, answer); /* the house is taken down in the middle */
    ask(HTTP_POST, CALLBACK, answer);
    settle();
    admin_free(b.admin);
    b.admin = NULL;
    settle();
    assert_int_equal(b.answers, 0);
    assert_true(credential_is("max", "Bearer at.1"));
}

/* The Nth call that may fail fails, for every N: an answer comes all the same, and whoever is told
 * that it went well has the new pair, on the disk too. */
static void nothing_is_certain(void **state)
{
    char answer[128];
    int good = 0, n = 0;
    bool fired = true;
    post(200, "/api/accounts", MAX);
    log_in(PAIR("1"));
    for (n = 1; fired && n < 400; n++) {
        int64_t before = account("max")->generation;
        begin(LOGIN, answer);
        ask(HTTP_POST, CALLBACK, answer);
        fault_counter = 0;
        fault_target = (uint64_t)n;
        bool settled = sim_settle(b.loop);
        int peers = b.peers;
        if (b.answers == 0 && b.peer[b.peers - 1]->rx.n > 0)
            send_reply(200, PAIR("2"));
        fired = fault_counter >= fault_target;
        fault_target = 0;
        assert_true(settled);
        settle();
        if (b.answers == 0)
            advance(31000); /* a request that never arrived */
        assert_int_equal(b.answers, 1);
        disk_read();
        if (b.status == 200) {
            good++;
            assert_int_equal(account("max")->generation, before + 1);
            assert_true(credential_is("max", "Bearer at.2"));
        }
        assert_int_equal(state_of("max"), ACCOUNT_READY);
        assert_true(b.row.generation >= before && b.access[0] == 'a');
        assert_int_equal(b.peers, peers);
        bench_close(state);
        bench_open(state);
        post(200, "/api/accounts", MAX);
        log_in(PAIR("1"));
    }
    assert_true(good >= 1 && n > 3 && n < 400);
}

static void what_has_no_login(void **state)
{
    (void)state;
    post(200, "/api/accounts",
         "{\"name\":\"key\",\"provider\":\"anthropic\",\"secret\":\"sk-ant-api03-x\"}");
    post(400, "/api/accounts/key/login", "");
    post(400, "/api/accounts/key/login/callback", "{\"answer\":\"a#b\"}");
    post(400, "/api/accounts/key/import", "{\"token\":\"{}\"}");
    post(404, "/api/accounts/nobody/login", "");
    post(400, "/api/accounts", "{\"name\":\"max\",\"provider\":\"claude-oauth\"}");
    says("no client_id");
    post(200, "/api/accounts", MAX);
    post(400, LOGIN, "{\"answer\":\"a#b\"}"); /* that is the callback's */
    /* a row of before the rule: its login says what is missing */
    text_copy(account("max")->settings, STORE_SETTINGS_MAX, S(""));
    post(422, LOGIN, "");
    says("sluice account set max --client-id ID");
    text_copy(account("max")->settings, STORE_SETTINGS_MAX, S("{\"scope\":7}"));
    post(422, LOGIN, "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_open, bench_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_account),        TEST(a_dead_account),
        TEST(a_key_is_made),        TEST(answers_that_do_not_fit),
        TEST(fifteen_minutes),      TEST(refused_by_the_provider),
        TEST(a_swap_that_fails),    TEST(a_swap_that_comes_second),
        TEST(an_account_that_goes), TEST(a_client_that_leaves),
        TEST(nothing_is_certain),   TEST(what_has_no_login),
    };
    crypto_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
