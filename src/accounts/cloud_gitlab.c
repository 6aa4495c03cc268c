/* GitLab's token for third parties' agents: it is bought with a personal access token, lives half
 * an hour, and travels with headers that say whose it is (wire/compat-providers.md, GitLab). */
#include "accounts/cloud.h"

#include <string.h>

#define DIRECT_ACCESS "/api/v4/ai/third_party_agents/direct_access"

/* A self-managed instance may be given by its address alone. */
enum err gitlab_request(const struct cloud_config *c, struct slice secret, struct cloud_request *q)
{
    struct slice url = slice_of(c->token_url);
    if (secret.n == 0 || url.n == 0)
        return ERR_STATE;
    assert(c->cloud == CLOUD_GITLAB && q->body.len == 0 && q->secret.len == 0);
    while (slice_ends(url, S("/")))
        url = slice_sub(url, 0, url.n - 1);
    bool whole = slice_ends(url, S(DIRECT_ACCESS));
    q->method = HTTP_POST;
    q->form = "application/json";
    q->secret_name = "authorization";
    enum err e = cloud_url(q, "%.*s%s", (int)url.n, url.p, whole ? "" : DIRECT_ACCESS);
    if (e == OK && !slice_starts(secret, S("Bearer ")))
        e = buf_puts(&q->secret, S("Bearer "));
    e = e == OK ? buf_puts(&q->secret, secret) : e;
    return e == OK ? buf_puts(&q->body, S("{}")) : e;
}

bool companion_next(struct slice *lines, struct http_header *out)
{
    struct slice line;
    if (!slice_cut(lines, '\n', &line))
        return false;
    ptrdiff_t colon = slice_find(line, ':');
    assert(colon > 0 && (size_t)colon + 2 <= line.n); /* as companion_put has written it */
    out->name = slice_sub(line, 0, (size_t)colon);
    out->value = slice_sub(line, (size_t)colon + 2, line.n);
    return true;
}

static bool is_name(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!alnum && c != '-' && c != '_')
            return false;
    }
    return s.n > 0;
}

static bool is_value(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < ' ' || s.p[i] > '~')
            return false;
    }
    return true;
}

/* What is ours to say: how the connection is used, what the body is, and by what credential. */
static bool is_ours(struct slice name)
{
    static const char *const names[] = {
        "host",      "expect",  "accept",         "accept-encoding", "user-agent", "authorization",
        "x-api-key", "api-key", "x-goog-api-key", "cookie",          "forwarded",  "via"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (slice_eq(name, slice_of(names[i])))
            return true;
    }
    return http_is_hop_header(name) || slice_starts(name, S("content-")) ||
           slice_starts(name, S("proxy-")) || slice_starts(name, S("anthropic-"));
}

static enum err companion_put(struct slice given, struct slice value, struct buf *out)
{
    char text[128];
    if (given.n >= sizeof text)
        return ERR_LIMIT;
    for (size_t i = 0; i < given.n; i++)
        text[i] = (char)(given.p[i] >= 'A' && given.p[i] <= 'Z' ? given.p[i] + 32 : given.p[i]);
    struct slice name = {text, given.n};
    value = slice_trim(value);
    if (!is_name(name) || !is_value(value))
        return ERR_SYNTAX;
    if (is_ours(name))
        return OK;
    enum err e = buf_puts(out, name);
    e = e == OK ? buf_puts(out, S(": ")) : e;
    e = e == OK ? buf_puts(out, value) : e;
    return e == OK ? buf_puts(out, S("\n")) : e;
}

static enum err companions_put(const struct json_val *o, struct buf *out)
{
    struct slice name, value;
    const struct json_val *v;
    size_t from = out->len;
    enum err e = OK;
    int n = 0;
    for (size_t i = 0; e == OK && json_member(o, i, &name, &v); i++) {
        char number[32];
        int64_t integer;
        if (json_i64(v, &integer)) {
            text_format(number, sizeof number, "%lld", (long long)integer);
            value = slice_of(number);
        } else if (!json_str(v, &value)) {
            continue; /* null: it has none */
        }
        e = ++n > COMPANIONS_MAX ? ERR_LIMIT : companion_put(name, value, out);
    }
    return e == OK && out->len - from > COMPANION_TEXT_MAX ? ERR_LIMIT : e;
}

enum err gitlab_answer_read(struct slice body, struct buf *value)
{
    struct json *doc = NULL;
    enum err e = json_parse(body, &doc);
    if (e != OK)
        return e;
    struct slice token = json_get_str(json_root(doc), "token");
    if (token.n == 0 || token.n >= CLOUD_SECRET_MAX || !is_value(token) ||
        slice_find(token, ' ') >= 0)
        e = ERR_SYNTAX;
    e = e == OK ? buf_puts(value, token) : e;
    e = e == OK ? buf_puts(value, S("\n")) : e;
    e = e == OK ? companions_put(json_get(json_root(doc), "headers"), value) : e;
    if (token.n > 0) /* the document's own copy */
        crypto_wipe((void *)(uintptr_t)token.p, token.n);
    json_free(doc);
    return e;
}
