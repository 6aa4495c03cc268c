/* The fetching of a cloud's credential: at most one fetch an account, joined by all who wait.
 *
 *    BEGIN -> WORK (files, a signature; on the worker's thread) -> ASK -> ... -> token_take
 *
 * What is fetched can be fetched again, so there is neither lease nor journal here, and nothing is
 * lost when a fetch is given up; the rest (when the next one begins, what a failure costs, who is
 * told) is token.c's and the same for a refresh. Which requests it takes, in which order, is
 * cloud_from.c's business. */
#include "accounts/cloud_fetch.h"

#include <string.h>

#include "sluice/sluice.h"

#define SECOND      INT64_C(1000)
#define POST_MS     (30 * SECOND)
#define METADATA_MS (5 * SECOND)
#define CONFIG_MS   (300 * SECOND) /* only a person mends a configuration: no hurry */
#define ANSWER_MAX  65536
#define POOL_APART  (UINT64_C(1) << 63)

/* ---- the end --------------------------------------------------------------------------------- */

static void fetch_free(struct fetch *f)
{
    assert(f->request == NULL && f->state != F_WORK);
    timer_stop(&f->timer);
    secrets_free(f->given);
    buf_wipe(&f->text[0]);
    buf_wipe(&f->text[1]);
    buf_wipe(&f->answer);
    buf_wipe(&f->session);
    cloud_request_free(&f->q);
    mem_free(f);
}

/* The account was given another configuration meanwhile: what this came to is of no interest. */
static bool fetch_is_moot(const struct fetch *f)
{
    return f->entry->token->epoch != f->epoch;
}

static void fetch_end(struct fetch *f, enum err result)
{
    struct entry *e = f->entry;
    struct token *t = e->token;
    bool again = fetch_is_moot(f) && t->grant != GRANT_FIXED && e->set->client != NULL &&
                 !e->a.facts.leaving;
    assert(t->fetch == f);
    if (fetch_is_moot(f))
        result = OK;
    fetch_free(f);
    t->fetch = NULL;
    if (again)
        fetch_start(e); /* who waits does so for the credential of today */
    else
        token_ended(e, result);
}

void fetch_fail(struct fetch *f, enum err err, const char *why, bool wrong, int64_t wait)
{
    struct entry *e = f->entry;
    struct account_facts *facts = &e->a.facts;
    assert(err != OK);
    if (fetch_is_moot(f)) {
        fetch_end(f, OK);
        return;
    }
    if (wrong && !facts->token_wrong)
        log_error("the credential of an account cannot be had", LF_STR("account", e->a.name),
                  LF_STR("why", why), LF_INT("status", f->status));
    facts->token_wrong = wrong;
    int64_t rest = token_failed(e, err, why, wrong ? CONFIG_MS : wait);
    log_warn("credential not fetched", LF_STR("account", e->a.name), LF_STR("why", why),
             LF_STR("err", err_name(err)), LF_INT("status", f->status), LF_INT("retry_ms", rest));
    fetch_end(f, err);
}

void fetch_wrong(struct fetch *f, const char *why)
{
    fetch_fail(f, ERR_DENIED, why, true, 0);
}

void fetch_refuse(struct fetch *f, enum err err, const char *why)
{
    if (err == ERR_NOMEM)
        fetch_fail(f, err, "memory", false, 0);
    else
        fetch_wrong(f, why);
}

void fetch_done(struct fetch *f, enum auth_scheme auth, struct slice value, int64_t expires_at,
                int64_t lifetime)
{
    struct entry *e = f->entry;
    int64_t now = loop_wall(e->set->loop);
    assert(value.n > 0);
    if (fetch_is_moot(f)) {
        fetch_end(f, OK);
        return;
    }
    /* A new one that is over already was timed by another clock than ours. */
    bool timed = expires_at > now;
    struct token_row row = {.account_id = e->a.id,
                            .generation = e->a.generation + 1,
                            .expires_at = timed ? expires_at : 0,
                            .lifetime = !timed         ? 0
                                        : lifetime > 0 ? lifetime
                                                       : expires_at - now,
                            .refreshed_at = now,
                            .access = value,
                            .refresh = {"", 0}};
    e->token->auth = auth;
    token_take(e, &row);
    log_info("credential fetched", LF_STR("account", e->a.name),
             LF_INT("generation", e->a.generation),
             LF_INT("for_ms", timed ? expires_at - now : -1));
    fetch_end(f, OK);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void answer_judge(struct fetch *f)
{
    const char *why = "";
    int64_t wait = 0;
    timer_stop(&f->timer);
    enum oauth_verdict v = oauth_judge(f->status, f->head, buf_slice(&f->answer),
                                       loop_wall(f->entry->set->loop), &why, &wait);
    f->head = NULL;
    if (v == OAUTH_OK && f->overlong)
        fetch_fail(f, ERR_PROTOCOL, "bad_answer", false, 0);
    else if (v == OAUTH_OK)
        f->answered(f);
    else if (v == OAUTH_LATER)
        fetch_fail(f, ERR_BUSY, why, false, wait);
    else
        fetch_wrong(f, why);
}

static void on_head(void *owner, const struct http_head *head)
{
    struct fetch *f = owner;
    f->status = head->status;
    f->head = head;
}

static void on_body(void *owner, struct slice bytes)
{
    struct fetch *f = owner;
    f->overlong = f->overlong || buf_append(&f->answer, bytes.p, bytes.n) != OK;
}

static void on_end(void *owner)
{
    struct fetch *f = owner;
    f->request = NULL;
    answer_judge(f);
}

static void ask_failed(struct fetch *f, enum err err)
{
    f->request = NULL;
    f->head = NULL;
    timer_stop(&f->timer);
    /* Nobody at the end of the chain: this machine is none of the cloud's. */
    bool chain = f->q.metadata && f->config.from == CREDENTIAL_ANY;
    fetch_fail(f, err, chain ? "no_credentials" : "no_answer", false, 0);
}

static void on_fail(void *owner, enum err err, const char *why)
{
    const struct fetch *f = owner;
    log_info("no answer where a credential comes from", LF_STR("account", f->entry->a.name),
             LF_STR("why", why));
    ask_failed(owner, err);
}

void fetch_ask(struct fetch *f, enum err made, void (*answered)(struct fetch *f))
{
    static const struct http_request_ops ops = {
        .on_head = on_head, .on_body = on_body, .on_end = on_end, .on_fail = on_fail};
    struct entry *e = f->entry;
    struct http_target target = {0};
    struct slice path = {"", 0};
    struct http_header h[5];
    const char *why = "";
    int n = 0;
    assert(f->state != F_WORK && f->request == NULL && e->set->client != NULL);
    if (made == OK)
        made = cloud_target(&f->q, e->a.allow_private, &target, &path, &why);
    if (made != OK) {
        log_debug("no request for a credential", LF_STR("account", e->a.name), LF_STR("why", why),
                  LF_STR("err", err_name(made)));
        fetch_refuse(f, made, "bad_request");
        return;
    }
    target.pool = POOL_APART | (uint64_t)e->a.id;
    h[n++] = (struct http_header){S("accept"), S("application/json")};
    h[n++] = (struct http_header){S("user-agent"), S("sluice/" SLUICE_VERSION)};
    if (f->q.form != NULL)
        h[n++] = (struct http_header){S("content-type"), slice_of(f->q.form)};
    if (f->q.flag != NULL)
        h[n++] = (struct http_header){slice_of(f->q.flag), slice_of(f->q.flag_value)};
    if (f->q.secret_name != NULL)
        h[n++] = (struct http_header){slice_of(f->q.secret_name), buf_slice(&f->q.secret)};
    f->state = F_ASK;
    f->answered = answered;
    f->status = 0;
    f->overlong = false;
    buf_clear(&f->answer);
    timer_set(&f->timer, loop_now(e->set->loop) + (f->q.metadata ? METADATA_MS : POST_MS));
    f->request = http_request_start(e->set->client, &target, f->q.method, path, h, n,
                                    buf_slice(&f->q.body), &ops, f);
}

/* ---- working --------------------------------------------------------------------------------- */

static void job_run(struct job *j)
{
    struct fetch *f = CONTAINER(j, struct fetch, job);
    f->work(f);
}

static void job_done(struct job *j)
{
    struct fetch *f = CONTAINER(j, struct fetch, job);
    assert(f->state == F_WORK && f->request == NULL);
    f->state = F_BEGIN;
    if (f->entry == NULL)
        fetch_free(f);
    else if (fetch_is_moot(f))
        fetch_end(f, OK);
    else
        f->worked(f);
}

void fetch_work(struct fetch *f, void (*work)(struct fetch *f), void (*worked)(struct fetch *f))
{
    struct account_set *set = f->entry->set;
    assert(f->state != F_WORK && f->request == NULL && !timer_armed(&f->timer));
    if (set->worker == NULL)
        set->worker = worker_new(set->loop, "credentials");
    f->state = F_WORK;
    f->work = work;
    f->worked = worked;
    f->job.run = job_run;
    f->job.done = job_done;
    worker_post(set->worker, &f->job);
}

/* ---- the fetch ------------------------------------------------------------------------------- */

static void fetch_timer(void *arg)
{
    struct fetch *f = arg;
    assert(f->state != F_WORK);
    if (f->state == F_BEGIN) {
        if (fetch_is_moot(f))
            fetch_end(f, OK);
        else
            fetch_begin(f);
        return;
    }
    assert(f->request != NULL);
    http_request_abort(f->request);
    ask_failed(f, ERR_TIMEOUT);
}

void fetch_start(struct entry *e)
{
    struct fetch *f = NEW(struct fetch);
    struct token *t = e->token;
    assert(t->fetch == NULL && t->on == NULL && e->set->client != NULL);
    f->entry = e;
    f->epoch = t->epoch;
    f->began_at = loop_wall(e->set->loop);
    f->config = t->cloud;
    f->grant = t->grant;
    buf_init(&f->text[0], FETCH_FILE_MAX);
    buf_init(&f->text[1], FETCH_FILE_MAX);
    buf_init(&f->answer, ANSWER_MAX);
    buf_init(&f->session, 2048);
    cloud_request_init(&f->q);
    timer_init(&f->timer, e->set->loop, fetch_timer, f);
    timer_stop(&t->timer);
    t->fetch = f;
    if (t->refresh != NULL) /* another one may be given meanwhile */
        f->given = secret_new(AUTH_X_API_KEY, secret_slice(t->refresh), NULL);
    timer_set(&f->timer, loop_now(e->set->loop)); /* the next turn: nobody is called in this one */
}

void fetch_abandon(struct fetch *f)
{
    assert(f->entry->token->fetch == f);
    f->entry->token->fetch = NULL;
    f->entry = NULL;
    timer_stop(&f->timer);
    if (f->request != NULL)
        http_request_abort(f->request);
    f->request = NULL;
    if (f->state != F_WORK)
        fetch_free(f);
}

/* ---- the account ----------------------------------------------------------------------------- */

void accounts_set_env(struct account_set *set, cloud_env_fn *env)
{
    assert(set->client == NULL);
    set->env = env;
}

/* The secret itself goes into requests. */
static void cloud_fix(struct entry *e)
{
    struct token *t = e->token;
    struct account_facts *f = &e->a.facts;
    f->token = TOKEN_NONE;
    f->token_refreshable = false;
    e->a.generation = 0;
    t->empty = false;
    token_reset(e);
    if (t->refresh == NULL) {
        secret_lost(&e->a);
        return;
    }
    struct slice given = secret_slice(t->refresh);
    credential_set(e, auth_of_secret(e->a.provider->door[0].auth, given), given);
}

/* What goes into requests is to be fetched; what was fetched before is not used any more. */
static void cloud_unfix(struct entry *e)
{
    struct account_facts *f = &e->a.facts;
    f->token = TOKEN_HELD;
    f->token_refreshable = true;
    f->token_expires_at = f->token_stale_at = 0;
    e->token->lifetime = 0;
    e->token->empty = true;
    token_reset(e);
}

void cloud_apply(struct entry *e, const struct account_row *row, bool fresh)
{
    char why[256];
    struct cloud_config c;
    const struct cloud_config *presets = e->a.provider->cloud;
    assert(presets != NULL && row->id == e->a.id);
    token_open(e);
    struct token *t = e->token;
    if (cloud_config_read(presets, slice_of(row->settings), &c, why, sizeof why) != OK)
        /* checked when it was given: only a broken row comes here */
        log_error("account has bad settings", LF_STR("account", e->a.name), LF_STR("why", why));
    if (row->secret_unreadable) {
        secret_lost(&e->a);
        return;
    }
    if (strcmp(e->a.facts.cool_reason, "secret_unreadable") == 0)
        facts_clear(&e->a);
    bool news = row->secret.n > 0 && !secret_same(t->refresh, row->secret);
    if (news) {
        secrets_free(t->refresh);
        t->refresh = secret_new(AUTH_X_API_KEY, row->secret, NULL);
    }
    enum grant grant = cloud_grant(&c, t->refresh != NULL);
    if (!news && grant == t->grant && cloud_config_same(&c, &t->cloud))
        return;
    t->cloud = c;
    t->grant = grant;
    t->epoch++;
    if (grant == GRANT_FIXED)
        cloud_fix(e);
    else
        cloud_unfix(e);
    if (fresh || (grant == GRANT_FIXED && t->refresh == NULL))
        return;
    facts_clear(&e->a); /* a new credential deserves a new start */
    windows_clear(e->set, &e->a, true);
    facts_store(e->set, &e->a);
}
