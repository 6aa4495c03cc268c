/* The fetching of a cloud's credential: at most one fetch an account, joined by all who wait.
 *
 *    BEGIN -> WORK (files, a signature; on the worker's thread) -> ASK -> ... -> token_take
 *
 * What is fetched can be fetched again, so there is neither lease nor journal here, and nothing is
 * lost when a fetch is given up; the rest (when the next one begins, what a failure costs, who is
 * told) is token.c's and the same for a refresh. Which requests it takes, in which order, is a
 * chain of small functions, one for each place a credential may come from. */
#include "accounts/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "sluice/sluice.h"

#define SECOND      INT64_C(1000)
#define POST_MS     (30 * SECOND)
#define METADATA_MS (5 * SECOND)
#define CONFIG_MS   (300 * SECOND) /* only a person mends a configuration: no hurry */
#define ANSWER_MAX  65536
#define FILE_MAX    262144
#define PATH_MAX_   1024
#define GCLOUD      ".config/gcloud/application_default_credentials.json"
#define POOL_APART  (UINT64_C(1) << 63)

enum fetch_state { F_BEGIN, F_WORK, F_ASK };

struct fetch {
    struct job job;      /* the worker's while the state is WORK */
    struct entry *entry; /* NULL: given up while the worker had it */
    enum fetch_state state;
    uint64_t epoch;
    int64_t began_at;           /* wall ms */
    struct cloud_config config; /* as it was at the start */
    enum grant grant;
    struct buf given;   /* the account's secret */
    struct timer timer; /* the beginning, then the deadline of a request */

    void (*work)(struct fetch *f);     /* on the worker's thread */
    void (*worked)(struct fetch *f);   /* behind it, on the loop's */
    void (*answered)(struct fetch *f); /* a 2xx has come whole */
    char path[2][PATH_MAX_];           /* of files to read; "" = none */
    struct buf text[2];                /* what they held */
    enum err result;                   /* of the work */
    const char *why;                   /* ... static */

    struct cloud_request q;
    struct http_request *request;
    int status;
    const struct http_head *head;
    struct buf answer;
    bool overlong;      /* the answer is none of ours */
    struct buf session; /* of IMDSv2 */
};

/* ---- the end --------------------------------------------------------------------------------- */

static void buf_wipe(struct buf *b)
{
    if (b->p != NULL)
        crypto_wipe(b->p, b->cap);
    buf_free(b);
}

static void fetch_free(struct fetch *f)
{
    assert(f->request == NULL && f->state != F_WORK);
    timer_stop(&f->timer);
    buf_wipe(&f->given);
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

/* Not now: the next try comes by the token's timer. `wrong`: only a person can mend it. */
static void fetch_fail(struct fetch *f, enum err err, const char *why, bool wrong, int64_t wait)
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

static void fetch_wrong(struct fetch *f, const char *why)
{
    fetch_fail(f, ERR_DENIED, why, true, 0);
}

/* Memory may be there the next time; anything else is wrong. */
static void fetch_refuse(struct fetch *f, enum err err, const char *why)
{
    if (err == ERR_NOMEM)
        fetch_fail(f, err, "memory", false, 0);
    else
        fetch_wrong(f, why);
}

static void fetch_done(struct fetch *f, enum auth_scheme auth, struct slice value,
                       int64_t expires_at, int64_t lifetime)
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
    (void)why;
    ask_failed(owner, err);
}

/* Sends the request that `made` has made, or not. */
static void fetch_ask(struct fetch *f, enum err made, void (*answered)(struct fetch *f))
{
    static const struct http_request_ops ops = {
        .on_head = on_head, .on_body = on_body, .on_end = on_end, .on_fail = on_fail};
    struct entry *e = f->entry;
    struct http_target target = {0};
    struct slice path = {"", 0};
    struct http_header h[5];
    const char *why = "";
    int n = 0;
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
    f->state = F_BEGIN;
    if (f->entry == NULL)
        fetch_free(f);
    else if (fetch_is_moot(f))
        fetch_end(f, OK);
    else
        f->worked(f);
}

static void fetch_work(struct fetch *f, void (*work)(struct fetch *f),
                       void (*worked)(struct fetch *f))
{
    struct account_set *set = f->entry->set;
    if (set->worker == NULL)
        set->worker = worker_new(set->loop, "credentials");
    f->state = F_WORK;
    f->work = work;
    f->worked = worked;
    f->job.run = job_run;
    f->job.done = job_done;
    worker_post(set->worker, &f->job);
}

/* Not a device or a pipe, whose end may never come. */
static enum err file_read(const char *path, struct buf *out)
{
    char chunk[4096];
    ssize_t got = 0;
    enum err e = OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? ERR_NOTFOUND : ERR_DENIED;
    while (e == OK && (got = read(fd, chunk, sizeof chunk)) > 0)
        e = buf_append(out, chunk, (size_t)got);
    close(fd);
    crypto_wipe(chunk, sizeof chunk);
    return got < 0 ? ERR_IO : e;
}

static void work_read(struct fetch *f)
{
    f->result = OK;
    for (int i = 0; i < 2 && f->result == OK; i++) {
        buf_clear(&f->text[i]);
        if (f->path[i][0] == '\0')
            continue;
        f->result = file_read(f->path[i], &f->text[i]);
        if (f->result == ERR_NOTFOUND) /* which says that there is nothing in it */
            f->result = OK;
    }
}

static const char *env_of(const struct fetch *f, enum config_env which)
{
    return f->entry->set->env != NULL ? f->entry->set->env(which) : NULL;
}

/* The file that `which` (CONFIG_ENV_COUNT: none) names, else `under` the home. */
static void path_of(struct fetch *f, int i, enum config_env which, const char *under)
{
    const char *given = which < CONFIG_ENV_COUNT ? env_of(f, which) : NULL;
    const char *home = env_of(f, CONFIG_ENV_HOME);
    size_t n = 0;
    if (given != NULL)
        n = text_format(f->path[i], sizeof f->path[i], "%s", given);
    else if (home != NULL && under != NULL)
        n = text_format(f->path[i], sizeof f->path[i], "%s/%s", home, under);
    if (n == 0 || n == sizeof f->path[i] - 1)
        f->path[i][0] = '\0';
}

/* ---- tokens: Azure and Google ---------------------------------------------------------------- */

static void token_answered(struct fetch *f)
{
    struct oauth_tokens t;
    if (oauth_tokens_read(buf_slice(&f->answer), loop_wall(f->entry->set->loop), &t) != OK) {
        fetch_fail(f, ERR_PROTOCOL, "bad_answer", false, 0);
        return;
    }
    struct buf value;
    buf_init(&value, STORE_SECRET_MAX);
    enum err e = buf_puts(&value, t.access);
    int64_t expires_at = t.expires_at, lifetime = t.lifetime;
    oauth_tokens_free(&t);
    if (e == OK)
        fetch_done(f, AUTH_BEARER, buf_slice(&value), expires_at, lifetime);
    else
        fetch_fail(f, e, "bad_answer", false, 0);
    buf_wipe(&value);
}

static void metadata_begin(struct fetch *f)
{
    enum err e = f->config.cloud == CLOUD_AZURE ? azure_instance_request(&f->config, &f->q)
                                                : google_instance_request(&f->config, &f->q);
    fetch_ask(f, e, token_answered);
}

/* Reads the key, from the secret or a file, and makes the request of it. */
static void work_google(struct fetch *f)
{
    struct google_key k;
    const char *reason;
    bool file = f->path[0][0] != '\0';
    f->why = "bad_key";
    if (file)
        work_read(f);
    struct slice json = buf_slice(file ? &f->text[0] : &f->given);
    if (file && (f->result != OK || json.n == 0)) {
        f->result = f->result == OK ? ERR_NOTFOUND : f->result;
        f->why = "no_credentials";
        return;
    }
    f->result = google_key_read(json, &k, &reason);
    if (f->result == OK)
        f->result = google_request(&k, &f->config, f->began_at, &f->q);
    google_key_free(&k);
}

static void google_worked(struct fetch *f)
{
    if (f->result == OK)
        fetch_ask(f, OK, token_answered);
    else if (f->result == ERR_NOTFOUND && f->config.from == CREDENTIAL_ANY &&
             env_of(f, CONFIG_ENV_GOOGLE_APPLICATION_CREDENTIALS) == NULL)
        metadata_begin(f); /* but a file that is named and not there is a mistake */
    else
        fetch_refuse(f, f->result, f->why);
}

static void google_begin(struct fetch *f)
{
    enum credential_from from = f->config.from;
    bool secret = from == CREDENTIAL_STATIC || (from == CREDENTIAL_ANY && f->given.len > 0);
    if (from == CREDENTIAL_ENV || from == CREDENTIAL_ANY)
        path_of(f, 0, CONFIG_ENV_GOOGLE_APPLICATION_CREDENTIALS, NULL);
    if (f->path[0][0] == '\0' && (from == CREDENTIAL_PROFILE || from == CREDENTIAL_ANY))
        path_of(f, 0, CONFIG_ENV_COUNT, GCLOUD);
    if (secret)
        f->path[0][0] = '\0';
    if (secret || f->path[0][0] != '\0')
        fetch_work(f, work_google, google_worked);
    else if (from == CREDENTIAL_ANY)
        metadata_begin(f);
    else
        fetch_wrong(f, "no_credentials");
}

/* ---- keys: AWS ------------------------------------------------------------------------------- */

static void keys_done(struct fetch *f, const struct aws_keys *k)
{
    struct buf value;
    struct aws_keys back;
    buf_init(&value, STORE_SECRET_MAX);
    enum err e = aws_keys_print(k, &value);
    e = e == OK ? aws_keys_read(buf_slice(&value), &back) : e;
    if (e == OK)
        fetch_done(f, AUTH_SIGV4, buf_slice(&value), 0, 0);
    else
        fetch_refuse(f, e, "bad_key");
    buf_wipe(&value);
}

static void keys_answered(struct fetch *f)
{
    struct buf value;
    int64_t expires_at = 0;
    buf_init(&value, STORE_SECRET_MAX);
    if (aws_answer_read(buf_slice(&f->answer), &value, &expires_at) == OK)
        fetch_done(f, AUTH_SIGV4, buf_slice(&value), expires_at, 0);
    else
        fetch_fail(f, ERR_PROTOCOL, "bad_answer", false, 0);
    buf_wipe(&value);
}

/* The next request of a fetch begins with nothing of the one before. */
static struct cloud_request *request_again(struct fetch *f)
{
    cloud_request_free(&f->q);
    return &f->q;
}

static void role_answered(struct fetch *f)
{
    struct slice role;
    if (aws_role_read(buf_slice(&f->answer), &role) != OK)
        fetch_wrong(f, "no_role");
    else
        fetch_ask(f, aws_keys_request(&f->config, buf_slice(&f->session), role, request_again(f)),
                  keys_answered);
}

static void session_answered(struct fetch *f)
{
    enum err e = aws_session_read(buf_slice(&f->answer), &f->session);
    if (e != OK)
        fetch_fail(f, ERR_PROTOCOL, "bad_answer", false, 0);
    else
        fetch_ask(f, aws_role_request(&f->config, buf_slice(&f->session), request_again(f)),
                  role_answered);
}

static void instance_begin(struct fetch *f)
{
    const char *off = env_of(f, CONFIG_ENV_AWS_EC2_METADATA_DISABLED);
    if (off != NULL && slice_ieq(slice_of(off), S("true")))
        fetch_wrong(f, "no_credentials");
    else
        fetch_ask(f, aws_session_request(&f->config, &f->q), session_answered);
}

static void container_ask(struct fetch *f)
{
    const char *token = env_of(f, CONFIG_ENV_AWS_CONTAINER_TOKEN);
    struct slice file = buf_slice(&f->text[0]);
    enum err e = aws_container_request(f->entry->set->env, file.n > 0 ? file : slice_of(token),
                                       &f->q);
    if (e == ERR_NOTFOUND && f->config.from == CREDENTIAL_ANY)
        instance_begin(f);
    else if (e == ERR_NOTFOUND)
        fetch_wrong(f, "no_credentials");
    else
        fetch_ask(f, e, keys_answered);
}

static void container_worked(struct fetch *f)
{
    if (f->result == OK && f->text[0].len > 0)
        container_ask(f);
    else
        fetch_refuse(f, f->result, "no_container_token");
}

static void container_begin(struct fetch *f)
{
    f->path[0][0] = f->path[1][0] = '\0';
    buf_clear(&f->text[0]);
    if (env_of(f, CONFIG_ENV_AWS_CONTAINER_RELATIVE_URI) != NULL ||
        env_of(f, CONFIG_ENV_AWS_CONTAINER_FULL_URI) != NULL)
        path_of(f, 0, CONFIG_ENV_AWS_CONTAINER_TOKEN_FILE, NULL);
    if (f->path[0][0] != '\0') /* read each time: the token in it rotates */
        fetch_work(f, work_read, container_worked);
    else
        container_ask(f);
}

static void profile_worked(struct fetch *f)
{
    struct aws_profile p;
    const char *name = f->config.profile[0] != '\0' ? f->config.profile
                                                    : env_of(f, CONFIG_ENV_AWS_PROFILE);
    aws_profile_read(buf_slice(&f->text[0]), buf_slice(&f->text[1]),
                     slice_of(name != NULL ? name : "default"), &p);
    if (f->result != OK)
        fetch_refuse(f, f->result, "unreadable_file");
    else if (p.keys.id.n > 0)
        keys_done(f, &p.keys);
    else if (p.indirect) /* not passed over: what comes behind it is somebody else */
        fetch_wrong(f, "indirect_profile");
    else if (f->config.from == CREDENTIAL_ANY)
        container_begin(f);
    else
        fetch_wrong(f, p.found ? "no_credentials" : "no_profile");
}

static void profile_begin(struct fetch *f)
{
    path_of(f, 0, CONFIG_ENV_AWS_SHARED_CREDENTIALS_FILE, ".aws/credentials");
    path_of(f, 1, CONFIG_ENV_AWS_CONFIG_FILE, ".aws/config");
    fetch_work(f, work_read, profile_worked);
}

static void env_begin(struct fetch *f)
{
    const char *bearer = env_of(f, CONFIG_ENV_AWS_BEARER_TOKEN);
    const struct aws_keys k = {slice_of(env_of(f, CONFIG_ENV_AWS_ACCESS_KEY_ID)),
                               slice_of(env_of(f, CONFIG_ENV_AWS_SECRET_ACCESS_KEY)),
                               slice_of(env_of(f, CONFIG_ENV_AWS_SESSION_TOKEN))};
    if (bearer != NULL)
        fetch_done(f, AUTH_BEARER, slice_of(bearer), 0, 0);
    else if (k.id.n > 0 && k.secret.n > 0)
        keys_done(f, &k);
    else if (f->config.from == CREDENTIAL_ANY)
        profile_begin(f);
    else
        fetch_wrong(f, "no_credentials");
}

static void aws_begin(struct fetch *f)
{
    switch (f->config.from) {
    case CREDENTIAL_PROFILE:
        profile_begin(f);
        break;
    case CREDENTIAL_CONTAINER:
        container_begin(f);
        break;
    case CREDENTIAL_INSTANCE:
        instance_begin(f);
        break;
    case CREDENTIAL_ANY:
    case CREDENTIAL_ENV:
    case CREDENTIAL_STATIC:
        env_begin(f);
        break;
    }
}

/* ---- the fetch ------------------------------------------------------------------------------- */

static void fetch_begin(struct fetch *f)
{
    switch (f->grant) {
    case GRANT_ENTRA:
        fetch_ask(f, entra_request(&f->config, buf_slice(&f->given), &f->q), token_answered);
        break;
    case GRANT_GOOGLE:
        google_begin(f);
        break;
    case GRANT_METADATA:
        metadata_begin(f);
        break;
    case GRANT_AWS:
        aws_begin(f);
        break;
    case GRANT_REFRESH:
    case GRANT_FIXED:
        assert(!"a grant that is not fetched");
    }
}

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
    buf_init(&f->given, STORE_SECRET_MAX);
    buf_init(&f->text[0], FILE_MAX);
    buf_init(&f->text[1], FILE_MAX);
    buf_init(&f->answer, ANSWER_MAX);
    buf_init(&f->session, 2048);
    cloud_request_init(&f->q);
    timer_init(&f->timer, e->set->loop, fetch_timer, f);
    timer_stop(&t->timer);
    t->fetch = f;
    if (t->refresh != NULL && buf_puts(&f->given, secret_slice(t->refresh)) != OK)
        buf_clear(&f->given);                     /* longer than any that is stored */
    timer_set(&f->timer, loop_now(e->set->loop)); /* the next turn: nobody is called in this one */
}

void fetch_abandon(struct fetch *f)
{
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
    credential_set(e, auth_of_secret(e->a.provider->auth, given), given);
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
