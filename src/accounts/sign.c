/* The headers that carry an account's credential. */
#include "accounts/inside.h"

#include <string.h>

const char *auth_header(enum auth_scheme s)
{
    static const char *const names[] = {
        [AUTH_X_API_KEY] = "x-api-key",
        [AUTH_BEARER] = "authorization",
        [AUTH_API_KEY] = "api-key",
        [AUTH_GOOG_API_KEY] = "x-goog-api-key",
        [AUTH_SIGV4] = "",
        [AUTH_NONE] = "",
    };
    assert((int)s >= 0 && (size_t)s < sizeof names / sizeof names[0]);
    return names[s];
}

enum auth_scheme auth_of_secret(enum auth_scheme s, struct slice secret)
{
    if (slice_starts(secret, S("Bearer ")) || (s == AUTH_NONE && secret.n > 0) ||
        (s == AUTH_SIGV4 && slice_find(secret, ':') < 0))
        return AUTH_BEARER;
    return s;
}

int account_sign_count(const struct account *a)
{
    const struct entry *e = CONTAINER(a, struct entry, a);
    struct slice lines = e->secret != NULL ? secret_companions(e->secret) : S("");
    struct http_header h;
    int n = SIGV4_HEADERS;
    while (lines.n > 0 && companion_next(&lines, &h))
        n++;
    return n;
}

/* As the client writes it into the Host header. */
static struct slice host_print(const struct http_target *t, char *out, size_t size)
{
    bool six = slice_find(t->host, ':') >= 0;
    size_t n = text_format(out, size, six ? "[%.*s]" : "%.*s", (int)t->host.n, t->host.p);
    if (t->port != (t->tls ? 443 : 80))
        n += text_format(out + n, size - n, ":%u", (unsigned)t->port);
    return (struct slice){out, n};
}

static enum err sign_aws(const struct entry *e, const struct sign_request *r, int64_t now,
                         struct http_header *out, int *n, char *memory, size_t size)
{
    const struct cloud_config *c = e->token != NULL ? &e->token->cloud : NULL;
    char host[300]; /* names have 253 bytes at most */
    struct sigv4_request q = {.method = r->method,
                              .host = host_print(r->to, host, sizeof host),
                              .path = r->path,
                              .query = r->query,
                              .header = r->header,
                              .headers = r->headers,
                              .tell_hash = true,
                              .region = slice_of(c != NULL ? c->region : ""),
                              .service = slice_of(c != NULL ? c->service : ""),
                              .now = now};
    if (q.region.n == 0)
        q.region = aws_region_of(r->to->host);
    if (q.service.n == 0)
        q.service = S("bedrock");
    enum err err = aws_keys_read(secret_slice(e->secret), &q.keys);
    if (err != OK)
        return err;
    crypto_sha256(q.body_hash, r->body);
    return sigv4_sign(&q, out, n, memory, size);
}

/* "Bearer " and the secret, where that was not put together beforehand. */
static enum err sign_bearer(const struct secret *s, struct http_header *out, char *memory,
                            size_t size)
{
    static const struct slice lead = {"Bearer ", 7};
    struct slice raw = secret_slice(s);
    if (slice_starts(raw, lead)) {
        *out = (struct http_header){S("authorization"), raw};
        return OK;
    }
    if (lead.n + raw.n > size)
        return ERR_LIMIT;
    memcpy(memory, lead.p, lead.n);
    memcpy(memory + lead.n, raw.p, raw.n);
    *out = (struct http_header){S("authorization"), {memory, lead.n + raw.n}};
    return OK;
}

enum err account_sign(const struct account *a, const struct sign_request *r, int64_t now,
                      struct http_header out[ACCOUNT_SIGN_HEADERS], int *n, char *memory,
                      size_t size)
{
    const struct entry *e = CONTAINER(a, struct entry, a);
    const struct token *t = e->token;
    enum err err = OK;
    *n = 0;
    if (e->secret == NULL)
        return a->facts.token == TOKEN_NONE && !a->facts.login_needed ? OK : ERR_STATE;
    struct slice raw = slice_sub(secret_slice(e->secret), e->secret->lead, e->secret->n);
    bool fetched = t != NULL && t->grant != GRANT_FIXED;
    enum auth_scheme auth = fetched ? e->auth : auth_of_secret(r->auth, raw);
    if (auth == AUTH_SIGV4)
        return sign_aws(e, r, now, out, n, memory, size);
    if (auth == AUTH_BEARER)
        err = sign_bearer(e->secret, &out[0], memory, size);
    else
        out[0] = (struct http_header){slice_of(auth_header(auth)), raw};
    if (err != OK)
        return err;
    assert(out[0].name.n > 0 && out[0].value.n > 0);
    *n = 1;
    if (t != NULL && t->cloud.quota_project[0] != '\0')
        out[(*n)++] = (struct http_header){S("x-goog-user-project"),
                                           slice_of(t->cloud.quota_project)};
    struct slice lines = secret_companions(e->secret);
    while (lines.n > 0 && *n < ACCOUNT_SIGN_HEADERS && companion_next(&lines, &out[*n]))
        (*n)++;
    assert(lines.n == 0);
    return OK;
}

/* The error's name of a reply of AWS: "NAME", "NAME:http://...", "prefix#NAME". */
static bool aws_refuses(struct slice name)
{
    static const char *const words[] = {"ExpiredToken",
                                        "ExpiredTokenException",
                                        "UnrecognizedClientException",
                                        "InvalidSignatureException",
                                        "InvalidClientTokenId",
                                        "RequestExpired"};
    struct slice word;
    ptrdiff_t hash = slice_find(name, '#');
    if (hash >= 0)
        name = slice_sub(name, (size_t)hash + 1, name.n);
    if (!slice_cut(&name, ':', &word))
        return false;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (slice_eq(word, slice_of(words[i])))
            return true;
    }
    return false;
}

bool account_credential_refused(const struct account *a, const struct http_head *head,
                                struct slice body)
{
    struct json *doc = NULL;
    if (head->status == 401)
        return true;
    bool aws = a->provider->cloud != NULL && a->provider->cloud->cloud == CLOUD_AWS;
    if (!aws || (head->status != 403 && head->status != 400))
        return false;
    const struct slice *type = http_find(head, "x-amzn-errortype");
    if (type != NULL)
        return aws_refuses(*type);
    if (json_parse(body, &doc) != OK)
        return false;
    bool refuses = aws_refuses(json_get_str(json_root(doc), "__type"));
    json_free(doc);
    return refuses;
}
