/* cloud: the credentials of accounts at Azure, AWS, Google and GitLab: the messages, pure. Opened
 * by accounts.h; who sends them is cloud_fetch.c.
 *
 * What a person gives is kept as the account's secret and settings. What a request carries is made
 * of it: at once (a key), or by asking somebody (a token endpoint, the machine's metadata service),
 * again and again, for what is fetched runs out (wire/azure.md section 2, wire/bedrock.md section
 * 6, wire/vertex.md "Authentication"). */
#ifndef SLUICE_ACCOUNTS_CLOUD_H
#define SLUICE_ACCOUNTS_CLOUD_H

#include "accounts/sigv4.h"
#include "config.h"
#include "http/http.h"

/* ---- configuration --------------------------------------------------------------------------- */

enum cloud { CLOUD_NONE, CLOUD_AZURE, CLOUD_AWS, CLOUD_GOOGLE, CLOUD_GITLAB };
enum credential_from { /* the setting "credential"; which ones there are depends on the cloud */
                       CREDENTIAL_ANY,     /* "" or "default": the secret if there is one, else the
                                              cloud's chain */
                       CREDENTIAL_STATIC,  /* "static": the secret */
                       CREDENTIAL_ENV,     /* "env": the environment of this process */
                       CREDENTIAL_PROFILE, /* "profile": the shared files of the cloud's own tools
                                            */
                       CREDENTIAL_CONTAINER, /* "container": the container's endpoint (AWS) */
                       CREDENTIAL_INSTANCE,  /* "instance": the machine's metadata service */
};
/* Of an account; a provider row has one with its presets. */
struct cloud_config {
    enum cloud cloud;
    enum credential_from from;
    bool ipv6;          /* "metadata_ipv6": AWS's metadata service by fd00:ec2::254 */
    char tenant_id[64]; /* Entra: with client_id, the secret is the client secret of an application
                         */
    char client_id[128];
    char scope[256];
    char token_url[256];    /* in place of the cloud's own, for its other sovereign parts */
    char region[32];        /* AWS; "" = the one in the host name */
    char service[32];       /* AWS, as it is signed; a preset */
    char profile[64];       /* AWS; "" = $AWS_PROFILE, then "default" */
    char project[64];       /* Google; "" = the key's own */
    char quota_project[64]; /* Google: x-goog-user-project */
};
/* The settings with these names over `presets`; other keys are not looked at. ERR_SYNTAX with a
 * sentence in `why`. */
MUST_USE enum err cloud_config_read(const struct cloud_config *presets, struct slice settings,
                                    struct cloud_config *out, char *why, size_t why_size);
const char *cloud_credential_name(enum credential_from f);

bool cloud_config_same(const struct cloud_config *a, const struct cloud_config *b);

/* How what a request carries is come by. */
enum grant {
    GRANT_REFRESH,  /* OAuth: a rotating pair, see oauth.h */
    GRANT_FIXED,    /* it is the secret */
    GRANT_ENTRA,    /* Azure, client credentials: the secret buys a token */
    GRANT_GOOGLE,   /* a key of a service account signs an assertion, which buys a token */
    GRANT_METADATA, /* Azure and Google: the machine's metadata service has a token */
    GRANT_AWS,      /* AWS: keys from the environment, files, a container or the machine */
    GRANT_GITLAB,   /* GitLab: the secret buys a token, which travels with companions */
};
enum grant cloud_grant(const struct cloud_config *c, bool has_secret);
/* Checks a secret as a person gave it: JSON with an RSA key that can sign, keys of AWS, one word.
 * Without one: whether the configuration can do without. ERR_SYNTAX with a sentence in `why`. */
MUST_USE enum err cloud_check(const struct cloud_config *c, struct slice secret, char *why,
                              size_t why_size);
/* The region a host of AWS belongs to ("bedrock-runtime.eu-west-1.amazonaws.com"); "" if none. */
struct slice aws_region_of(struct slice host);

/* ---- requests -------------------------------------------------------------------------------- */

#define CLOUD_SECRET_MAX 16384
#define CLOUD_BODY_MAX   65536
struct cloud_request {
    enum http_method method;
    bool metadata;    /* to a metadata service: see cloud_target */
    char url[768];    /* with the query */
    const char *form; /* content type, static; NULL: no body */
    const char *flag; /* a header that metadata services want, static; NULL: none */
    const char *flag_value;
    const char *secret_name; /* a header whose value is `secret`, static; NULL: none */
    struct buf secret, body;
};
void cloud_request_init(struct cloud_request *q);
void cloud_request_free(struct cloud_request *q); /* wipes; can be filled again */
/* Where it goes: slices into q->url. A metadata request must go to one of the clouds' fixed
 * link-local addresses, over plain HTTP, and only for those the address checks are lifted; any
 * other one needs https, unless `allow_private`. ERR_DENIED, ERR_SYNTAX with a static `why`. */
MUST_USE enum err cloud_target(const struct cloud_request *q, bool allow_private,
                               struct http_target *t, struct slice *path, const char **why);

#define CLOUD_FORM "application/x-www-form-urlencoded"
/* Formats q->url; ERR_LIMIT when it does not fit. */
MUST_USE enum err cloud_url(struct cloud_request *q, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Each fills a request that is initialised. ERR_STATE: something it needs is not configured. */
MUST_USE enum err entra_request(const struct cloud_config *c, struct slice secret,
                                struct cloud_request *q);
MUST_USE enum err azure_instance_request(const struct cloud_config *c, struct cloud_request *q);
MUST_USE enum err google_instance_request(const struct cloud_config *c, struct cloud_request *q);
/* The answers to these are token answers: oauth_tokens_read. */

/* ---- Google's keys --------------------------------------------------------------------------- */

struct google_key { /* slices into the parsed document: end it with google_key_free */
    struct json *doc;
    bool user; /* "authorized_user": a login of gcloud's; else a service account */
    struct slice email, private_key, private_key_id, project, token_uri;
    struct slice client_id, client_secret, refresh_token, quota_project; /* of a user */
};
/* ERR_UNSUPPORTED: of another type ("external_account", ...); ERR_SYNTAX. */
MUST_USE enum err google_key_read(struct slice json, struct google_key *out, const char **why);
void google_key_free(struct google_key *k); /* wipes; idempotent */
/* HEADER.CLAIMS, as they are signed; the key is good for an hour from `now`, wall ms. */
MUST_USE enum err google_assertion(const struct google_key *k, const struct cloud_config *c,
                                   int64_t now, struct buf *out);
/* The whole request; of a service account it makes the signature, which blocks for some ms: on a
 * worker. ERR_SYNTAX, ERR_RANGE, ERR_CORRUPT: the private key. */
MUST_USE enum err google_request(const struct google_key *k, const struct cloud_config *c,
                                 int64_t now, struct cloud_request *q);

/* ---- GitLab's token ---------------------------------------------------------------------------
 */

/* Headers that a fetched credential brings along: they identify its owner, and go wherever it goes.
 * A fetched value is the credential alone, or with such lines behind it: "TOKEN\nNAME: VALUE\n..."
 */
#define COMPANIONS_MAX     24
#define COMPANION_TEXT_MAX 4096
/* The next one of `lines`, which loses it; false behind the last. */
bool companion_next(struct slice *lines, struct http_header *out);
/* Good for half an hour, which the answer does not say (wire/compat-providers.md, GitLab). */
#define GITLAB_LIFE_MS (INT64_C(1800) * 1000)
MUST_USE enum err gitlab_request(const struct cloud_config *c, struct slice secret,
                                 struct cloud_request *q);
/* Appends the token and its companions; those that would speak for our own connection or
 * credential (host, content-length, authorization, x-api-key, ...) are left out. */
MUST_USE enum err gitlab_answer_read(struct slice body, struct buf *value);

/* ---- AWS's keys ------------------------------------------------------------------------------ */

struct account_set;
typedef const char *cloud_env_fn(enum config_env which); /* config_env, or a test's */
/* Who knows the environment; without one it is empty. Before accounts_set_client. */
void accounts_set_env(struct account_set *set, cloud_env_fn *env);
struct aws_profile {      /* slices into the texts */
    struct aws_keys keys; /* id "": none */
    struct slice region;
    bool found; /* there is such a profile */
    bool
        indirect; /* its keys come by way of a role, a process or a login, which is not done here */
};
/* A profile of the shared credentials file, and for what that does not tell of the config file;
 * either may be "". */
void aws_profile_read(struct slice credentials, struct slice config, struct slice profile,
                      struct aws_profile *out);
/* From AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI; ERR_NOTFOUND: neither is set. `token`
 * is what AWS_CONTAINER_AUTHORIZATION_TOKEN or its file holds, "" = none. */
MUST_USE enum err aws_container_request(cloud_env_fn *env, struct slice token,
                                        struct cloud_request *q);
/* IMDSv2: a session token, the name of the role, the role's keys. */
MUST_USE enum err aws_session_request(const struct cloud_config *c, struct cloud_request *q);
MUST_USE enum err aws_session_read(struct slice body, struct buf *session);
MUST_USE enum err aws_role_request(const struct cloud_config *c, struct slice session,
                                   struct cloud_request *q);
MUST_USE enum err aws_role_read(struct slice body, struct slice *role); /* into `body` */
MUST_USE enum err aws_keys_request(const struct cloud_config *c, struct slice session,
                                   struct slice role, struct cloud_request *q);
/* The container's and the machine's answer: keys as aws_keys_print has them, appended, and when
 * they run out (wall ms, 0 = not told). */
MUST_USE enum err aws_answer_read(struct slice body, struct buf *keys, int64_t *expires_at);

#endif
