/* Where a cloud's credential comes from: for each place the requests and files it takes, in their
 * order, as a chain of small functions; each ends in one of the steps of cloud_fetch.h. */
#include "accounts/cloud_fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define GCLOUD ".config/gcloud/application_default_credentials.json"

/* ---- files and the environment ------------------------------------------------------------------
 */

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

static struct slice given_of(const struct fetch *f)
{
    return f->given != NULL ? secret_slice(f->given) : S("");
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
    assert(f->state == F_WORK && f->q.body.len == 0);
    f->why = "bad_key";
    if (file)
        work_read(f);
    struct slice json = file ? buf_slice(&f->text[0]) : given_of(f);
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
    bool secret = from == CREDENTIAL_STATIC || (from == CREDENTIAL_ANY && given_of(f).n > 0);
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

/* ---- GitLab ---------------------------------------------------------------------------------- */

static void gitlab_answered(struct fetch *f)
{
    struct buf value;
    buf_init(&value, CLOUD_SECRET_MAX + COMPANION_TEXT_MAX);
    if (gitlab_answer_read(buf_slice(&f->answer), &value) == OK)
        fetch_done(f, AUTH_BEARER, buf_slice(&value),
                   loop_wall(f->entry->set->loop) + GITLAB_LIFE_MS, GITLAB_LIFE_MS);
    else
        fetch_fail(f, ERR_PROTOCOL, "bad_answer", false, 0);
    buf_wipe(&value);
}

/* ---- the beginning ----------------------------------------------------------------------------
 */

void fetch_begin(struct fetch *f)
{
    switch (f->grant) {
    case GRANT_ENTRA:
        fetch_ask(f, entra_request(&f->config, given_of(f), &f->q), token_answered);
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
    case GRANT_GITLAB:
        fetch_ask(f, gitlab_request(&f->config, given_of(f), &f->q), gitlab_answered);
        break;
    case GRANT_REFRESH:
    case GRANT_FIXED:
        assert(!"a grant that is not fetched");
    }
}
