/* The clouds' credentials: what is configured, where requests go, and the messages of Azure. Those
 * of AWS are in cloud_aws.c, of Google in cloud_google.c, of GitLab in cloud_gitlab.c. */
#include "accounts/cloud.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* ---- configuration --------------------------------------------------------------------------- */

static const char *const froms[] = {
    [CREDENTIAL_ANY] = "default",
    [CREDENTIAL_STATIC] = "static",
    [CREDENTIAL_ENV] = "env",
    [CREDENTIAL_PROFILE] = "profile",
    [CREDENTIAL_CONTAINER] = "container",
    [CREDENTIAL_INSTANCE] = "instance",
};
#define FROMS (sizeof froms / sizeof froms[0])

const char *cloud_credential_name(enum credential_from f)
{
    assert((size_t)f < FROMS);
    return froms[f];
}

/* What each cloud can do: an application's login needs its secret, and nobody's environment has
 * it. */
static bool from_is_possible(enum cloud c, enum credential_from f)
{
    if (f == CREDENTIAL_ANY || f == CREDENTIAL_STATIC)
        return true;
    if (c == CLOUD_GITLAB)
        return false;
    if (f == CREDENTIAL_INSTANCE)
        return true;
    if (f == CREDENTIAL_CONTAINER)
        return c == CLOUD_AWS;
    return c != CLOUD_AZURE;
}

static const struct field {
    const char *key;
    size_t at, size;
    const char *extra; /* what it may hold besides letters, digits, '-', '_' and '.' */
} fields[] = {
#define FIELD(k, m, e)                                                              \
    {                                                                               \
        k, offsetof(struct cloud_config, m), sizeof((struct cloud_config *)0)->m, e \
    }
    FIELD("tenant_id", tenant_id, ""), FIELD("client_id", client_id, "@"),
    FIELD("scope", scope, ":/ "),      FIELD("token_url", token_url, ":/[]%"),
    FIELD("region", region, ""),       FIELD("profile", profile, "@:/+ "),
    FIELD("project", project, ":"),    FIELD("quota_project", quota_project, ":"),
#undef FIELD
};
#define FIELDS (sizeof fields / sizeof fields[0])

static bool is_word(struct slice s, const char *extra)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (c == '\0' || (strchr("-_.", c) == NULL && strchr(extra, c) == NULL)))
            return false;
    }
    return true;
}

static enum err field_read(const struct field *f, const struct json_val *v,
                           struct cloud_config *out, char *why, size_t size)
{
    struct slice s;
    if (json_type(v) == JSON_NONE || json_type(v) == JSON_NULL)
        return OK;
    if (!json_str(v, &s) || s.n >= f->size || !is_word(s, f->extra)) {
        text_format(why, size,
                    "the setting \"%s\" is not a word of at most %zu characters without "
                    "special ones",
                    f->key, f->size - 1);
        return ERR_SYNTAX;
    }
    if (s.n > 0)
        text_copy((char *)out + f->at, f->size, s);
    return OK;
}

static enum err from_read(const struct json_val *v, struct cloud_config *out, char *why,
                          size_t size)
{
    struct slice s = S("");
    if (json_type(v) == JSON_NONE || json_type(v) == JSON_NULL)
        return OK;
    bool is_text = json_str(v, &s);
    if (is_text && s.n == 0)
        s = S("default");
    for (size_t i = 0; is_text && i < FROMS; i++) {
        if (slice_eq(s, slice_of(froms[i])) &&
            from_is_possible(out->cloud, (enum credential_from)i)) {
            out->from = (enum credential_from)i;
            return OK;
        }
    }
    text_copy(why, size,
              out->cloud == CLOUD_AZURE ? S("the setting \"credential\" is \"default\", \"static\" "
                                            "or \"instance\" for an account of Azure")
              : out->cloud == CLOUD_GITLAB
                  ? S("the setting \"credential\" is \"default\" or \"static\" for an account of "
                      "GitLab")
              : out->cloud == CLOUD_GOOGLE
                  ? S("the setting \"credential\" is \"default\", \"static\", \"env\", \"profile\" "
                      "or \"instance\" for an account of Google")
                  : S("the setting \"credential\" is \"default\", \"static\", \"env\", "
                      "\"profile\", \"container\" or \"instance\" for an account of AWS"));
    return ERR_SYNTAX;
}

/* Fields that only make sense together, and the token URL. */
static enum err config_check(const struct cloud_config *c, char *why, size_t size)
{
    struct http_target t = {0};
    struct slice prefix;
    const char *reason = "";
    if (c->token_url[0] != '\0' &&
        http_url_parse(slice_of(c->token_url), &t, &prefix, &reason) != OK) {
        text_format(why, size, "the setting \"token_url\" is not usable: %s", reason);
        return ERR_SYNTAX;
    }
    bool instance = c->from == CREDENTIAL_INSTANCE;
    if (c->cloud == CLOUD_AZURE && !instance &&
        (c->tenant_id[0] != '\0') != (c->client_id[0] != '\0')) {
        text_copy(why, size,
                  S("an application's login needs both \"tenant_id\" and \"client_id\"; for an API "
                    "key give neither"));
        return ERR_SYNTAX;
    }
    return OK;
}

enum err cloud_config_read(const struct cloud_config *presets, struct slice settings,
                           struct cloud_config *out, char *why, size_t why_size)
{
    struct json *doc = NULL;
    assert(why_size > 0 && presets->cloud != CLOUD_NONE);
    *out = *presets;
    why[0] = '\0';
    if (settings.n > 0 &&
        (json_parse(settings, &doc) != OK || json_type(json_root(doc)) != JSON_OBJECT)) {
        json_free(doc);
        text_copy(why, why_size, S("the settings are not a JSON object"));
        return ERR_SYNTAX;
    }
    const struct json_val *o = doc != NULL ? json_root(doc) : NULL;
    enum err e = from_read(json_get(o, "credential"), out, why, why_size);
    for (size_t i = 0; e == OK && i < FIELDS; i++)
        e = field_read(&fields[i], json_get(o, fields[i].key), out, why, why_size);
    out->ipv6 = json_get_bool(o, "metadata_ipv6", presets->ipv6);
    json_free(doc);
    e = e == OK ? config_check(out, why, why_size) : e;
    if (e != OK)
        *out = *presets;
    return e;
}

bool cloud_config_same(const struct cloud_config *a, const struct cloud_config *b)
{
    bool same = a->cloud == b->cloud && a->from == b->from && a->ipv6 == b->ipv6 &&
                strcmp(a->service, b->service) == 0;
    for (size_t i = 0; same && i < FIELDS; i++)
        same = strcmp((const char *)a + fields[i].at, (const char *)b + fields[i].at) == 0;
    return same;
}

enum grant cloud_grant(const struct cloud_config *c, bool has_secret)
{
    bool any = c->from == CREDENTIAL_ANY;
    bool given = c->from == CREDENTIAL_STATIC || (any && has_secret);
    switch (c->cloud) {
    case CLOUD_AZURE:
        if (c->from == CREDENTIAL_INSTANCE)
            return GRANT_METADATA;
        return c->client_id[0] != '\0' ? GRANT_ENTRA : GRANT_FIXED;
    case CLOUD_AWS:
        return given ? GRANT_FIXED : GRANT_AWS;
    case CLOUD_GOOGLE:
        return c->from == CREDENTIAL_INSTANCE ? GRANT_METADATA : GRANT_GOOGLE;
    case CLOUD_GITLAB:
        return GRANT_GITLAB;
    case CLOUD_NONE:
        break;
    }
    return GRANT_FIXED;
}

/* ---- checking what a person gave ------------------------------------------------------------- */

static enum err wrong(char *why, size_t size, struct slice text)
{
    text_copy(why, size, text);
    return ERR_SYNTAX;
}

static enum err check_google(struct slice secret, char *why, size_t size)
{
    struct google_key k;
    const char *reason = "";
    enum err e = google_key_read(secret, &k, &reason);
    if (e == OK && !k.user) {
        e = crypto_rsa_check(k.private_key);
        reason = e == ERR_RANGE ? "its private key has fewer than 2048 bits"
                                : "its private key is no RSA key in PEM form";
    }
    google_key_free(&k);
    if (e == OK)
        return OK;
    text_format(why, size, "the secret is not the JSON file of a service account's key: %s",
                reason);
    return ERR_SYNTAX;
}

static enum err check_word(struct slice secret, char *why, size_t size)
{
    for (size_t i = 0; i < secret.n; i++) {
        if (secret.p[i] <= ' ' || secret.p[i] > '~')
            return wrong(why, size,
                         S("the secret holds a space, a line break or another character that no "
                           "key has: give the key alone"));
    }
    return OK;
}

enum err cloud_check(const struct cloud_config *c, struct slice secret, char *why, size_t why_size)
{
    struct aws_keys keys;
    enum grant g = cloud_grant(c, secret.n > 0);
    why[0] = '\0';
    if (secret.n >= CLOUD_SECRET_MAX)
        return wrong(why, why_size, S("the secret is too long to be a key"));
    if (secret.n == 0) {
        bool needs = g == GRANT_FIXED || g == GRANT_ENTRA || g == GRANT_GITLAB ||
                     (g == GRANT_GOOGLE && c->from == CREDENTIAL_STATIC);
        return needs ? wrong(why, why_size,
                             S("the secret is empty: put the provider's key into the file or on "
                               "standard input"))
                     : OK;
    }
    if (g == GRANT_METADATA || g == GRANT_AWS)
        return wrong(why, why_size,
                     S("this account's credential comes from elsewhere: give no secret, or set "
                       "\"credential\" to \"static\""));
    if (g == GRANT_GOOGLE)
        return c->from == CREDENTIAL_STATIC || c->from == CREDENTIAL_ANY
                   ? check_google(secret, why, why_size)
                   : wrong(why, why_size,
                           S("this account's credential comes from a file of its own: give no "
                             "secret, or set \"credential\" to \"static\""));
    if (c->cloud == CLOUD_AWS && slice_find(secret, ':') >= 0)
        return aws_keys_read(secret, &keys) == OK
                   ? OK
                   : wrong(why, why_size,
                           S("the secret is neither an API key of Bedrock nor ACCESS_KEY_ID:"
                             "SECRET_ACCESS_KEY, with :SESSION_TOKEN behind it for temporary "
                             "ones"));
    if (slice_starts(secret, S("Bearer ")))
        secret = slice_sub(secret, 7, secret.n);
    return check_word(secret, why, why_size);
}

/* ---- requests -------------------------------------------------------------------------------- */

void cloud_request_init(struct cloud_request *q)
{
    *q = (struct cloud_request){.method = HTTP_GET};
    buf_init(&q->secret, CLOUD_SECRET_MAX);
    buf_init(&q->body, CLOUD_BODY_MAX);
}

void cloud_request_free(struct cloud_request *q)
{
    assert(q->secret.max == CLOUD_SECRET_MAX && q->body.max == CLOUD_BODY_MAX); /* initialised */
    buf_wipe(&q->secret);
    buf_wipe(&q->body);
    cloud_request_init(q);
}

enum err cloud_url(struct cloud_request *q, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(q->url, sizeof q->url, fmt, ap);
    va_end(ap);
    return n >= 0 && (size_t)n < sizeof q->url ? OK : ERR_LIMIT;
}

/* The metadata services: of Azure, Google and EC2, and those of ECS and EKS (wire/bedrock.md
 * section 6; the addresses AWS's own SDKs allow a container's endpoint to have). */
static bool is_metadata_host(struct slice host)
{
    static const char *const fixed[] = {"169.254.169.254", "fd00:ec2::254", "169.254.170.2",
                                        "169.254.170.23", "fd00:ec2::23"};
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        if (slice_eq(host, slice_of(fixed[i])))
            return true;
    }
    return false;
}

enum err cloud_target(const struct cloud_request *q, bool allow_private, struct http_target *t,
                      struct slice *path, const char **why)
{
    struct slice url = slice_of(q->url), base = url, prefix;
    *path = S("/");
    ptrdiff_t query = slice_find(url, '?');
    if (query >= 0)
        base = slice_sub(url, 0, (size_t)query);
    enum err e = http_url_parse(base, t, &prefix, why);
    if (e != OK)
        return e;
    *why = "";
    /* The path as it is in the URL: a slash at its end is not nothing to a metadata service. */
    size_t from = (size_t)(t->host.p - url.p) + t->host.n;
    while (from < base.n && url.p[from] != '/')
        from++;
    if (from < url.n && url.p[from] == '/')
        *path = slice_sub(url, from, url.n);
    for (size_t i = 0; i < path->n; i++) {
        if (path->p[i] <= ' ' || path->p[i] > '~') {
            *why = "the URL's query holds a character that is not allowed";
            return ERR_SYNTAX;
        }
    }
    bool metadata = q->metadata && !t->tls && is_metadata_host(t->host);
    t->allow_private = allow_private || metadata;
    assert(path->n > 0 && path->p[0] == '/');
    if (metadata || t->tls || allow_private)
        return OK;
    *why = "it must begin with https://";
    return ERR_DENIED;
}

/* ---- Azure ----------------------------------------------------------------------------------- */

#define AZURE_SCOPE "https://cognitiveservices.azure.com/.default"
#define LOGIN_URL   "https://login.microsoftonline.com/"

enum err entra_request(const struct cloud_config *c, struct slice secret, struct cloud_request *q)
{
    const char *scope = c->scope[0] != '\0' ? c->scope : AZURE_SCOPE;
    if (c->tenant_id[0] == '\0' || c->client_id[0] == '\0' || secret.n == 0)
        return ERR_STATE;
    assert(c->cloud == CLOUD_AZURE && q->body.len == 0);
    q->method = HTTP_POST;
    q->form = CLOUD_FORM;
    enum err e = c->token_url[0] != '\0'
                     ? cloud_url(q, "%s", c->token_url)
                     : cloud_url(q, LOGIN_URL "%s/oauth2/v2.0/token", c->tenant_id);
    e = e == OK ? buf_puts(&q->body, S("grant_type=client_credentials&client_id=")) : e;
    e = e == OK ? sigv4_encode(slice_of(c->client_id), &q->body) : e;
    e = e == OK ? buf_puts(&q->body, S("&client_secret=")) : e;
    e = e == OK ? sigv4_encode(secret, &q->body) : e;
    e = e == OK ? buf_puts(&q->body, S("&scope=")) : e;
    return e == OK ? sigv4_encode(slice_of(scope), &q->body) : e;
}

enum err azure_instance_request(const struct cloud_config *c, struct cloud_request *q)
{
    struct buf resource;
    struct slice scope = slice_of(c->scope[0] != '\0' ? c->scope : AZURE_SCOPE);
    q->metadata = true;
    q->flag = "metadata";
    q->flag_value = "true";
    if (slice_ends(scope, S("/.default"))) /* scopes are of Entra, resources of what was before */
        scope = slice_sub(scope, 0, scope.n - 9);
    buf_init(&resource, 1024);
    enum err e = sigv4_encode(scope, &resource);
    if (e == OK)
        e = cloud_url(q,
                      "http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01"
                      "&resource=%.*s%s%s",
                      (int)resource.len, resource.p, c->client_id[0] != '\0' ? "&client_id=" : "",
                      c->client_id);
    buf_free(&resource);
    return e;
}
