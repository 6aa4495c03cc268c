/* AWS's keys where there is none in the account: shared files, a container's endpoint, the
 * machine's metadata service (wire/bedrock.md section 6). */
#include "accounts/cloud.h"

#include <string.h>

struct slice aws_region_of(struct slice host)
{
    struct slice label, rest = host;
    if (!slice_ends(host, S(".amazonaws.com")) && !slice_ends(host, S(".amazonaws.com.cn")) &&
        !slice_ends(host, S(".api.aws")))
        return S("");
    while (slice_cut(&rest, '.', &label)) {
        /* "eu-west-1", "us-gov-east-1": ends in "-" and a digit; no service's name does. */
        if (label.n > 4 && label.n < 32 && label.p[label.n - 2] == '-' &&
            label.p[label.n - 1] >= '0' && label.p[label.n - 1] <= '9')
            return label;
    }
    return S("");
}

/* ---- shared files ---------------------------------------------------------------------------- */

/* "[NAME]", in the config file "[profile NAME]" too; "" when it is another kind of section. */
static struct slice section_name(struct slice line, bool config)
{
    ptrdiff_t end = slice_find(line, ']');
    assert(line.n > 0 && line.p[0] == '[');
    if (end < 1)
        return S("");
    struct slice name = slice_trim(slice_sub(line, 1, (size_t)end));
    bool prefixed = slice_starts(name, S("profile ")) || slice_starts(name, S("profile\t"));
    if (prefixed)
        return slice_trim(slice_sub(name, 8, name.n));
    return !config || slice_eq(name, S("default")) ? name : S("");
}

/* A comment behind a value begins with a space. */
static struct slice value_trim(struct slice v)
{
    for (size_t i = 1; i < v.n; i++) {
        if ((v.p[i] == '#' || v.p[i] == ';') && (v.p[i - 1] == ' ' || v.p[i - 1] == '\t')) {
            v = slice_sub(v, 0, i);
            break;
        }
    }
    return slice_trim(v);
}

static void setting_take(struct aws_profile *p, struct slice key, struct slice value)
{
    assert(p != NULL);
    struct slice *to = slice_ieq(key, S("aws_access_key_id"))       ? &p->keys.id
                       : slice_ieq(key, S("aws_secret_access_key")) ? &p->keys.secret
                       : slice_ieq(key, S("aws_session_token"))     ? &p->keys.token
                       : slice_ieq(key, S("region"))                ? &p->region
                                                                    : NULL;
    if (to != NULL) {
        *to = value;
        return;
    }
    if (slice_ieq(key, S("role_arn")) || slice_ieq(key, S("credential_process")) ||
        slice_ieq(key, S("sso_session")) || slice_ieq(key, S("sso_start_url")) ||
        slice_ieq(key, S("web_identity_token_file")))
        p->indirect = true;
}

static void file_read(struct slice text, bool config, struct slice profile, struct aws_profile *out)
{
    struct slice line, key;
    bool inside = false;
    if (slice_starts(text, S("\xef\xbb\xbf")))
        text = slice_sub(text, 3, text.n);
    while (slice_cut(&text, '\n', &line)) {
        bool indented = line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t');
        if (slice_ends(line, S("\r")))
            line = slice_sub(line, 0, line.n - 1);
        line = slice_trim(line);
        if (line.n == 0 || line.p[0] == '#' || line.p[0] == ';')
            continue;
        if (line.p[0] == '[') {
            struct slice name = section_name(line, config);
            inside = name.n > 0 && slice_eq(name, profile);
            out->found = out->found || inside;
            continue;
        }
        if (!inside || indented || slice_find(line, '=') < 0) /* indented: part of another value */
            continue;
        slice_cut(&line, '=', &key);
        setting_take(out, slice_trim(key), value_trim(line));
    }
}

static bool keys_are_good(const struct aws_keys *k)
{
    struct buf text;
    struct aws_keys back;
    buf_init(&text, CLOUD_SECRET_MAX);
    bool good = aws_keys_print(k, &text) == OK && aws_keys_read(buf_slice(&text), &back) == OK &&
                slice_eq(back.id, k->id) && slice_eq(back.secret, k->secret) &&
                slice_eq(back.token, k->token);
    buf_wipe(&text);
    return good;
}

void aws_profile_read(struct slice credentials, struct slice config, struct slice profile,
                      struct aws_profile *out)
{
    static const struct aws_keys none = {{"", 0}, {"", 0}, {"", 0}};
    struct aws_profile first = {.keys = none, .region = {"", 0}}, second = first;
    file_read(credentials, false, profile, &first);
    file_read(config, true, profile, &second);
    *out = first;
    out->found = first.found || second.found;
    out->indirect = first.indirect || second.indirect;
    if (first.keys.id.n == 0)
        out->keys = second.keys; /* a pair is not put together from two files */
    if (first.region.n == 0)
        out->region = second.region;
    assert(out->found || (out->keys.id.n == 0 && !out->indirect));
    if (!keys_are_good(&out->keys))
        out->keys = none;
    else
        out->indirect = false;
}

/* ---- requests -------------------------------------------------------------------------------- */

static const char *env_of(cloud_env_fn *env, enum config_env which)
{
    return env != NULL ? env(which) : NULL;
}

enum err aws_container_request(cloud_env_fn *env, struct slice token, struct cloud_request *q)
{
    const char *relative = env_of(env, CONFIG_ENV_AWS_CONTAINER_RELATIVE_URI);
    const char *full = env_of(env, CONFIG_ENV_AWS_CONTAINER_FULL_URI);
    if (relative == NULL && full == NULL)
        return ERR_NOTFOUND;
    enum err e = relative != NULL ? cloud_url(q, "http://169.254.170.2%s", relative)
                                  : cloud_url(q, "%s", full);
    if (e == OK && relative != NULL && relative[0] != '/')
        e = ERR_SYNTAX; /* it would be part of the host's name */
    q->metadata = true;
    while (token.n > 0 && (token.p[token.n - 1] == '\n' || token.p[token.n - 1] == '\r'))
        token.n--; /* a file ends in one */
    token = slice_trim(token);
    for (size_t i = 0; e == OK && i < token.n; i++) {
        if (token.p[i] < ' ' || token.p[i] > '~')
            e = ERR_SYNTAX;
    }
    if (e != OK || token.n == 0)
        return e;
    q->secret_name = "authorization";
    return buf_puts(&q->secret, token);
}

static enum err imds_url(const struct cloud_config *c, const char *path, struct slice more,
                         struct cloud_request *q)
{
    q->metadata = true;
    return cloud_url(q, "http://%s/latest/%s%.*s", c->ipv6 ? "[fd00:ec2::254]" : "169.254.169.254",
                     path, (int)more.n, more.p);
}

enum err aws_session_request(const struct cloud_config *c, struct cloud_request *q)
{
    assert(q->body.len == 0 && q->secret.len == 0); /* a request begins empty */
    q->method = HTTP_PUT;
    q->flag = "x-aws-ec2-metadata-token-ttl-seconds";
    q->flag_value = "300";
    return imds_url(c, "api/token", S(""), q);
}

enum err aws_session_read(struct slice body, struct buf *session)
{
    body = slice_trim(body);
    for (size_t i = 0; i < body.n; i++) {
        if (body.p[i] <= ' ' || body.p[i] > '~')
            return ERR_SYNTAX;
    }
    return body.n > 0 && body.n <= 1024 ? buf_puts(session, body) : ERR_SYNTAX;
}

static enum err session_put(struct slice session, struct cloud_request *q)
{
    if (session.n == 0)
        return ERR_STATE;
    assert(q->metadata && q->secret.len == 0);
    q->secret_name = "x-aws-ec2-metadata-token";
    return buf_puts(&q->secret, session);
}

enum err aws_role_request(const struct cloud_config *c, struct slice session,
                          struct cloud_request *q)
{
    enum err e = imds_url(c, "meta-data/iam/security-credentials/", S(""), q);
    return e == OK ? session_put(session, q) : e;
}

/* One role a line, and there is only one. Its name becomes part of a path. */
enum err aws_role_read(struct slice body, struct slice *role)
{
    static const char more[] = "+=,.@-_";
    *role = S("");
    if (!slice_cut(&body, '\n', role))
        return ERR_SYNTAX;
    if (slice_ends(*role, S("\r")))
        *role = slice_sub(*role, 0, role->n - 1);
    bool dots = role->n > 0;
    for (size_t i = 0; i < role->n; i++) {
        char c = role->p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (c == '\0' || strchr(more, c) == NULL))
            return ERR_SYNTAX;
        dots = dots && c == '.';
    }
    return role->n > 0 && role->n <= 64 && !dots ? OK : ERR_SYNTAX;
}

enum err aws_keys_request(const struct cloud_config *c, struct slice session, struct slice role,
                          struct cloud_request *q)
{
    enum err e = imds_url(c, "meta-data/iam/security-credentials/", role, q);
    return e == OK ? session_put(session, q) : e;
}

/* ---- answers --------------------------------------------------------------------------------- */

enum err aws_answer_read(struct slice body, struct buf *keys, int64_t *expires_at)
{
    struct json *doc = NULL;
    *expires_at = 0;
    enum err e = json_parse(body, &doc);
    if (e != OK)
        return e;
    const struct json_val *o = json_root(doc);
    struct aws_keys k = {json_get_str(o, "AccessKeyId"), json_get_str(o, "SecretAccessKey"),
                         json_get_str(o, "Token")};
    struct slice code = json_get_str(o, "Code"); /* the machine's answer has one */
    if ((code.n > 0 && !slice_eq(code, S("Success"))) || !keys_are_good(&k))
        e = ERR_SYNTAX;
    if (e == OK && !text_rfc3339(json_get_str(o, "Expiration"), expires_at))
        *expires_at = 0;
    e = e == OK ? aws_keys_print(&k, keys) : e;
    if (k.secret.n > 0) /* the document's own copy */
        crypto_wipe((void *)(uintptr_t)k.secret.p, k.secret.n);
    if (k.token.n > 0)
        crypto_wipe((void *)(uintptr_t)k.token.p, k.token.n);
    json_free(doc);
    return e;
}
