/* The end of a login: the code that a person brings back is exchanged for a token pair, and in
 * console mode the pair for an API key (wire/anthropic-oauth.md sections 2 and 7).
 *
 *    CODE --200--> done(tokens)
 *      |
 *      '--200--> KEY --200--> done(api_key)       console mode: the pair is dropped
 *
 * Each request has a connection of its own: one from a pool may die under it, and the http client
 * would send it again, with a code that has perhaps been used. No redirect is followed: a code, a
 * verifier and a token go nowhere else. */
#include "accounts/inside.h"

#include <string.h>

#include "sluice/sluice.h"

#define LOGIN_MS    INT64_C(30000) /* for all of it */
#define ANSWER_MAX  65536
#define BODY_MAX    32768
#define WHY_MAX     320
#define BEARER_MAX  (STORE_SECRET_MAX + 16)
#define LOGIN_APART (UINT64_C(3) << 62) /* no account's pool, and no refresh's */

enum login_state { L_CODE, L_KEY };

struct login {
    struct loop *loop;
    struct http_client *client;
    struct oauth_config config; /* slices of the target point into it */
    enum login_mode mode;
    enum login_state state;
    bool allow_private, overlong;
    login_done_fn *done;
    void *arg;
    struct timer timer;
    struct task task; /* an immediate failure */
    struct http_request *request;
    int status;
    const struct http_head *head;
    struct buf body, answer, bearer;
    enum err failed;
    char why[WHY_MAX];
};

/* ---- the end --------------------------------------------------------------------------------- */

static void login_free(struct login *g)
{
    if (g->request != NULL)
        http_request_abort(g->request);
    timer_stop(&g->timer);
    task_cancel(&g->task);
    buf_wipe(&g->body);
    buf_wipe(&g->answer);
    buf_wipe(&g->bearer);
    crypto_wipe(g, sizeof *g);
    mem_free(g);
}

void login_abort(struct login *g)
{
    if (g != NULL)
        login_free(g);
}

/* The last word; only from a turn of its own. `tokens` and `key` are the answer's, which lives
 * until the owner has been told. */
static void login_end(struct login *g, enum err e, const struct oauth_tokens *tokens,
                      struct slice key)
{
    login_done_fn *done = g->done;
    void *arg = g->arg;
    char why[WHY_MAX];
    assert(e != OK || (tokens != NULL) != (key.n > 0));
    assert(g->request == NULL);
    timer_stop(&g->timer);
    text_copy(why, sizeof why, e == OK ? S("") : slice_of(g->why));
    done(arg, e, tokens, key, why);
    login_free(g); /* the owner may not abort what has ended, so it is there still */
}

static void login_fail(struct login *g, enum err e)
{
    assert(e != OK && g->why[0] != '\0');
    g->head = NULL;
    login_end(g, e, NULL, S(""));
}

static const char *endpoint_name(const struct login *g)
{
    return g->state == L_CODE ? "token endpoint" : "key endpoint";
}

/* ---- answers --------------------------------------------------------------------------------- */

static void login_request(struct login *g);

/* The pair is worth one request: it makes the key. */
static void key_begin(struct login *g, struct slice access)
{
    enum err e = buf_puts(&g->bearer, S("Bearer "));
    if (e == OK)
        e = buf_puts(&g->bearer, access);
    if (e != OK) {
        text_copy(g->why, sizeof g->why, S("out of memory"));
        login_fail(g, e);
        return;
    }
    g->state = L_KEY;
    g->status = 0;
    g->head = NULL;
    buf_wipe(&g->body);
    if (g->answer.p != NULL)
        crypto_wipe(g->answer.p, g->answer.cap);
    buf_clear(&g->answer);
    login_request(g);
}

static void code_answered(struct login *g)
{
    struct oauth_tokens t;
    if (g->overlong || oauth_tokens_read(buf_slice(&g->answer), loop_wall(g->loop), &t) != OK) {
        text_copy(g->why, sizeof g->why,
                  S("the token endpoint's answer is not understood; is it the right address?"));
        login_fail(g, ERR_PROTOCOL);
        return;
    }
    if (g->mode == LOGIN_CONSOLE)
        key_begin(g, t.access);
    else
        login_end(g, OK, &t, S(""));
    oauth_tokens_free(&t);
}

/* A key becomes a header's value and a row of the store. */
static bool key_is_good(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] > '~')
            return false;
    return s.n > 0 && s.n < STORE_SECRET_MAX;
}

static void key_answered(struct login *g)
{
    struct json *doc = NULL;
    struct slice key = {"", 0};
    if (!g->overlong && json_parse(buf_slice(&g->answer), &doc) == OK)
        key = json_get_str(json_root(doc), "raw_key");
    if (!key_is_good(key)) {
        json_free(doc);
        text_copy(g->why, sizeof g->why,
                  S("the key endpoint's answer holds no key; is it the right address?"));
        login_fail(g, ERR_PROTOCOL);
        return;
    }
    /* `g` goes in there; the document owns a copy of the text */
    login_end(g, OK, NULL, key);
    crypto_wipe((void *)(uintptr_t)key.p, key.n);
    json_free(doc);
}

static void code_refused(struct login *g, enum oauth_verdict v, const char *word)
{
    if (v == OAUTH_DEAD) {
        text_format(g->why, sizeof g->why,
                    "the provider refuses the code (%s): it is good once, and for a few minutes",
                    word);
        login_fail(g, ERR_DENIED);
    } else if (v == OAUTH_WRONG) {
        text_format(g->why, sizeof g->why,
                    "the token endpoint refuses the request (%s, status %d): check the client id, "
                    "the redirect URI, the scope and the addresses of the account",
                    word, g->status);
        login_fail(g, ERR_DENIED);
    } else {
        text_format(g->why, sizeof g->why, "the token endpoint cannot answer now (%s, status %d)",
                    word, g->status);
        login_fail(g, ERR_BUSY);
    }
}

static void key_refused(struct login *g)
{
    bool denied = g->status == 401 || g->status == 403;
    bool later = g->status == 429 || g->status == 408 || g->status >= 500;
    text_format(g->why, sizeof g->why,
                denied  ? "the provider makes no key for this person (status %d): the scope "
                          "org:create_api_key and the right to make keys are needed"
                : later ? "the key endpoint cannot answer now (status %d)"
                        : "the key endpoint refuses the request (status %d); is it the right "
                          "address?",
                g->status);
    login_fail(g, later ? ERR_BUSY : ERR_DENIED);
}

static void login_judge(struct login *g)
{
    const char *word = "";
    int64_t wait = 0;
    if (g->state == L_KEY) {
        if (g->status / 100 == 2)
            key_answered(g);
        else
            key_refused(g);
        return;
    }
    enum oauth_verdict v = oauth_judge(g->status, g->head, buf_slice(&g->answer),
                                       loop_wall(g->loop), &word, &wait);
    if (v == OAUTH_OK)
        code_answered(g);
    else
        code_refused(g, v, word);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void on_head(void *owner, const struct http_head *head)
{
    struct login *g = owner;
    g->status = head->status;
    g->head = head;
}

static void on_body(void *owner, struct slice bytes)
{
    struct login *g = owner;
    g->overlong = g->overlong || buf_append(&g->answer, bytes.p, bytes.n) != OK;
}

static void on_end(void *owner)
{
    struct login *g = owner;
    g->request = NULL;
    login_judge(g);
}

static void on_fail(void *owner, enum err e, const char *why)
{
    struct login *g = owner;
    g->request = NULL;
    text_format(g->why, sizeof g->why, "the %s gave no answer: %s (%s)", endpoint_name(g), why,
                err_name(e));
    login_fail(g, e);
}

static void on_deadline(void *arg)
{
    struct login *g = arg;
    http_request_abort(g->request);
    g->request = NULL;
    text_format(g->why, sizeof g->why, "the %s did not answer within %d s", endpoint_name(g),
                (int)(LOGIN_MS / 1000));
    login_fail(g, ERR_TIMEOUT);
}

static void on_late_failure(void *arg)
{
    struct login *g = arg;
    login_fail(g, g->failed);
}

/* Never fails inside the call that caused it. */
static void fail_later(struct login *g, enum err e)
{
    g->failed = e;
    timer_stop(&g->timer);
    task_post(g->loop, &g->task);
}

static void login_request(struct login *g)
{
    static const struct http_request_ops ops = {
        .on_head = on_head, .on_body = on_body, .on_end = on_end, .on_fail = on_fail};
    struct http_target target = {0};
    struct slice path = {"", 0};
    const char *why = "";
    bool code = g->state == L_CODE;
    const char *url = code ? g->config.token_url : g->config.key_url;
    enum err e = http_url_parse(slice_of(url), &target, &path, &why);
    if (e != OK) { /* checked when it was given: only a broken row comes here */
        text_format(g->why, sizeof g->why, "the address of the %s is bad: %s", endpoint_name(g),
                    why);
        fail_later(g, e);
        return;
    }
    crypto_random(&target.pool, sizeof target.pool);
    target.pool |= LOGIN_APART;
    target.allow_private = g->allow_private;
    const struct http_header h[] = {
        {S("content-type"), code ? S("application/json") : S("application/x-www-form-urlencoded")},
        {S("accept"), S("application/json")},
        {S("user-agent"), S("sluice/" SLUICE_VERSION)},
        {S("authorization"), buf_slice(&g->bearer)}};
    g->request = http_request_start(g->client, &target, HTTP_POST, path.n > 0 ? path : S("/"), h,
                                    code ? 3 : 4, buf_slice(&g->body), &ops, g);
}

/* ---- the login ------------------------------------------------------------------------------- */

struct login *login_start(struct loop *l, struct http_client *client, const struct oauth_config *c,
                          enum login_mode mode, bool allow_private, const struct oauth_login *o,
                          struct slice code, login_done_fn *done, void *arg)
{
    struct login *g = NEW(struct login);
    assert(client != NULL && done != NULL && code.n > 0);
    *g = (struct login){.loop = l,
                        .client = client,
                        .config = *c,
                        .mode = mode,
                        .allow_private = allow_private,
                        .done = done,
                        .arg = arg};
    timer_init(&g->timer, l, on_deadline, g);
    task_init(&g->task, on_late_failure, g);
    buf_init(&g->body, BODY_MAX);
    buf_init(&g->answer, ANSWER_MAX);
    buf_init(&g->bearer, BEARER_MAX);
    enum err e = oauth_exchange_body(c, o, code, &g->body);
    if (e != OK) {
        text_copy(g->why, sizeof g->why,
                  e == ERR_STATE ? S("no client_id: give it with --client-id")
                                 : S("the code is too long to be one"));
        fail_later(g, e);
        return g;
    }
    login_request(g);
    if (g->request != NULL)
        timer_set(&g->timer, loop_now(l) + LOGIN_MS);
    return g;
}
