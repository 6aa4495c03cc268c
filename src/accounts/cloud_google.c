/* Google's credentials: the key of a service account, which signs an assertion (RFC 7523), a login
 * of gcloud's, and the metadata service (wire/vertex.md "Authentication"). */
#include "accounts/cloud.h"

#include <string.h>

#define SCOPE     "https://www.googleapis.com/auth/cloud-platform"
#define TOKEN_URL "https://oauth2.googleapis.com/token"
#define LIFE_S    3600 /* the longest that is taken */

static bool is_printable(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= ' ' || s.p[i] > '~')
            return false;
    }
    return true;
}

static enum err user_read(const struct json_val *o, struct google_key *k, const char **why)
{
    k->user = true;
    k->client_id = json_get_str(o, "client_id");
    k->client_secret = json_get_str(o, "client_secret");
    k->refresh_token = json_get_str(o, "refresh_token");
    k->quota_project = json_get_str(o, "quota_project_id");
    if (k->client_id.n > 0 && k->client_secret.n > 0 && k->refresh_token.n > 0)
        return OK;
    *why = "it has no client_id, client_secret or refresh_token";
    return ERR_SYNTAX;
}

static enum err service_read(const struct json_val *o, struct google_key *k, const char **why)
{
    k->email = json_get_str(o, "client_email");
    k->private_key = json_get_str(o, "private_key");
    k->private_key_id = json_get_str(o, "private_key_id");
    if (k->email.n > 0 && k->private_key.n > 0)
        return OK;
    *why = "it has no client_email or no private_key";
    return ERR_SYNTAX;
}

static enum err key_read(const struct json_val *o, struct google_key *k, const char **why)
{
    struct slice type = json_get_str(o, "type");
    struct http_target t = {0};
    struct slice prefix;
    const char *reason;
    enum err e;
    if (slice_eq(type, S("authorized_user"))) {
        e = user_read(o, k, why);
    } else if (slice_eq(type, S("service_account"))) {
        e = service_read(o, k, why);
    } else {
        *why = type.n == 0 ? "it has no type"
                           : "only service_account and authorized_user are known";
        return type.n == 0 ? ERR_SYNTAX : ERR_UNSUPPORTED;
    }
    k->project = json_get_str(o, "project_id");
    k->token_uri = json_get_str(o, "token_uri");
    if (k->token_uri.n == 0)
        k->token_uri = S(TOKEN_URL);
    if (e == OK && (!is_printable(k->project) || !is_printable(k->quota_project) ||
                    http_url_parse(k->token_uri, &t, &prefix, &reason) != OK)) {
        *why = "its token_uri or project_id is malformed";
        e = ERR_SYNTAX;
    }
    return e;
}

enum err google_key_read(struct slice json, struct google_key *out, const char **why)
{
    static const struct slice none = {"", 0};
    *out = (struct google_key){NULL, false, none, none, none, none, none, none, none, none, none};
    *why = "it is no JSON object";
    enum err e = json.n > CLOUD_SECRET_MAX ? ERR_SYNTAX : json_parse(json, &out->doc);
    if (e != OK)
        return e;
    e = ERR_SYNTAX;
    if (json_type(json_root(out->doc)) == JSON_OBJECT)
        e = key_read(json_root(out->doc), out, why);
    if (e != OK)
        google_key_free(out);
    return e;
}

static void slice_wipe(struct slice *s)
{
    /* The document owns a copy of the text, so writing to it harms nobody. */
    if (s->n > 0)
        crypto_wipe((void *)(uintptr_t)s->p, s->n);
    *s = S("");
}

void google_key_free(struct google_key *k)
{
    slice_wipe(&k->private_key);
    slice_wipe(&k->client_secret);
    slice_wipe(&k->refresh_token);
    json_free(k->doc);
    k->doc = NULL;
    assert(k->private_key.n == 0 && k->client_secret.n == 0 && k->refresh_token.n == 0);
    k->email = k->private_key_id = k->project = k->token_uri = S("");
    k->client_id = k->quota_project = S("");
}

/* One part of the assertion: JSON as base64url. */
static enum err part_put(struct buf *json, struct buf *out)
{
    enum err e = text_base64(out, json->p, json->len, true);
    buf_clear(json);
    return e;
}

enum err google_assertion(const struct google_key *k, const struct cloud_config *c, int64_t now,
                          struct buf *out)
{
    struct buf json;
    struct jw w;
    buf_init(&json, CLOUD_BODY_MAX);
    jw_init(&w, &json);
    jw_obj(&w);
    jw_kcstr(&w, "alg", "RS256");
    jw_kcstr(&w, "typ", "JWT");
    if (k->private_key_id.n > 0)
        jw_kstr(&w, "kid", k->private_key_id);
    jw_end_obj(&w);
    enum err e = w.err == OK ? part_put(&json, out) : w.err;
    e = e == OK ? buf_puts(out, S(".")) : e;
    jw_init(&w, &json);
    jw_obj(&w);
    jw_kstr(&w, "iss", k->email);
    jw_kcstr(&w, "scope", c->scope[0] != '\0' ? c->scope : SCOPE);
    jw_kstr(&w, "aud", k->token_uri);
    jw_ki64(&w, "iat", now / 1000);
    jw_ki64(&w, "exp", now / 1000 + LIFE_S);
    jw_end_obj(&w);
    e = e == OK ? w.err : e;
    e = e == OK ? part_put(&json, out) : e;
    buf_free(&json);
    return e;
}

static enum err service_body(const struct google_key *k, const struct cloud_config *c, int64_t now,
                             struct buf *out)
{
    struct buf jwt, signature;
    buf_init(&jwt, CLOUD_BODY_MAX);
    buf_init(&signature, CRYPTO_RSA_MAX);
    enum err e = google_assertion(k, c, now, &jwt);
    e = e == OK ? crypto_rsa_sign(&signature, k->private_key, buf_slice(&jwt)) : e;
    e = e == OK ? buf_puts(&jwt, S(".")) : e;
    e = e == OK ? text_base64(&jwt, signature.p, signature.len, true) : e;
    e = e == OK ? buf_puts(out, S("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"
                                  "&assertion="))
                : e;
    e = e == OK ? buf_puts(out, buf_slice(&jwt)) : e;
    buf_wipe(&jwt);
    buf_free(&signature);
    return e;
}

static enum err user_body(const struct google_key *k, struct buf *out)
{
    enum err e = buf_puts(out, S("grant_type=refresh_token&client_id="));
    e = e == OK ? sigv4_encode(k->client_id, out) : e;
    e = e == OK ? buf_puts(out, S("&client_secret=")) : e;
    e = e == OK ? sigv4_encode(k->client_secret, out) : e;
    e = e == OK ? buf_puts(out, S("&refresh_token=")) : e;
    return e == OK ? sigv4_encode(k->refresh_token, out) : e;
}

enum err google_request(const struct google_key *k, const struct cloud_config *c, int64_t now,
                        struct cloud_request *q)
{
    assert(k->doc != NULL && q->body.len == 0);
    q->method = HTTP_POST;
    q->form = CLOUD_FORM;
    enum err e = c->token_url[0] != '\0'
                     ? cloud_url(q, "%s", c->token_url)
                     : cloud_url(q, "%.*s", (int)k->token_uri.n, k->token_uri.p);
    if (e != OK)
        return e;
    return k->user ? user_body(k, &q->body) : service_body(k, c, now, &q->body);
}

enum err google_instance_request(const struct cloud_config *c, struct cloud_request *q)
{
    struct buf scope;
    q->metadata = true;
    q->flag = "metadata-flavor";
    q->flag_value = "Google";
    buf_init(&scope, 1024);
    enum err e = sigv4_encode(slice_of(c->scope), &scope);
    if (e == OK)
        e = cloud_url(q,
                      "http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/"
                      "token%s%.*s",
                      scope.len > 0 ? "?scopes=" : "", (int)scope.len,
                      scope.len > 0 ? scope.p : "");
    buf_free(&scope);
    return e;
}
