/* Checking an account as a person gave it, with sentences that say what to do. */
#include "accounts/accounts.h"

#include <string.h>

static bool is_name(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (i == 0 || strchr("-_.@", c) == NULL))
            return false;
    }
    return s.n > 0;
}

static enum err wrong(char *why, size_t size, const char *text)
{
    text_copy(why, size, slice_of(text));
    return ERR_SYNTAX;
}

/* A secret becomes a header's value: printable ASCII, without spaces but for one behind "Bearer".
 */
static enum err check_secret(const struct account_row *row, char *why, size_t size)
{
    struct slice s = row->secret;
    const struct provider *p = provider_find(slice_of(row->provider));
    /* It is made by a login, or nobody asks for one. */
    bool may_lack = row->id != 0 || (p != NULL && (p->oauth != NULL || p->no_secret));
    if (s.n == 0)
        return may_lack ? OK
                        : wrong(why, size,
                                "the secret is empty: put the provider's key "
                                "into the file or on standard input");
    if (s.n >= STORE_SECRET_MAX)
        return wrong(why, size, "the secret is too long to be a key");
    if (slice_starts(s, S("Bearer ")))
        s = slice_sub(s, 7, s.n);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= ' ' || s.p[i] > '~')
            return wrong(why, size,
                         "the secret holds a space, a line break or another character "
                         "that no key has: give the key alone");
    }
    return s.n > 0 ? OK : wrong(why, size, "the secret is \"Bearer\" without a token");
}

/* Names of this machine and its network, and numeric addresses that are not public. Other names are
 * judged by what they resolve to, when they are dialled. */
static bool is_private_host(struct slice host)
{
    static const char *const tails[] = {".localhost", ".local", ".internal", ".home.arpa"};
    struct addr a;
    char text[280];
    if (slice_ieq(host, S("localhost")))
        return true;
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        struct slice tail = slice_of(tails[i]);
        if (host.n > tail.n && slice_ieq(slice_sub(host, host.n - tail.n, host.n), tail))
            return true;
    }
    bool six = slice_find(host, ':') >= 0;
    size_t n = text_format(text, sizeof text, six ? "[%.*s]:1" : "%.*s:1", (int)host.n, host.p);
    return addr_parse((struct slice){text, n}, &a) == OK && (a.is_private || a.is_loopback);
}

static enum err check_url(const struct account_row *row, const char *what, const char *url,
                          struct http_target *t, char *why, size_t size)
{
    const char *reason = "";
    struct slice prefix;
    *t = (struct http_target){0};
    enum err e = http_url_parse(slice_of(url), t, &prefix, &reason);
    if (e != OK) {
        text_format(why, size, "%s: %s", what, reason);
        return e;
    }
    if (!row->allow_private && is_private_host(t->host)) {
        text_format(why, size,
                    "the %s leads into this machine or its network: add the account with the "
                    "command line on this machine, or allow private addresses for it",
                    what);
        return ERR_DENIED;
    }
    return OK;
}

static enum err check_base(const struct account_row *row, const struct provider *p, char *why,
                           size_t size)
{
    struct account_door door[PROVIDER_DOORS];
    struct http_target t;
    enum err e = OK;
    int n = account_doors_open(p, row, door, why, size);
    if (n == 0)
        return ERR_SYNTAX;
    for (int i = 0; i < n && e == OK; i++)
        e = check_url(row, "base URL", door[i].base_url, &t, why, size);
    return e;
}

/* An address that a login or a refresh sends its secrets to. */
static enum err check_endpoint(const struct account_row *row, const char *what, const char *url,
                               char *why, size_t size)
{
    struct http_target t;
    enum err e = check_url(row, what, url, &t, why, size);
    if (e != OK)
        return e;
    /* They cross no network in the clear; within one's own, a name has no dot. */
    if (!t.tls && !is_private_host(t.host) && slice_find(t.host, '.') >= 0) {
        text_format(why, size, "the %s must begin with https://", what);
        return ERR_SYNTAX;
    }
    if (!t.tls && !row->allow_private) {
        text_format(why, size, "a %s without https:// needs private addresses allowed", what);
        return ERR_DENIED;
    }
    return OK;
}

/* What an account needs whose credential comes of a login. A token pair is stored apart from the
 * row. */
static enum err check_oauth(const struct account_row *row, const struct provider *p, char *why,
                            size_t size)
{
    struct oauth_config c;
    if (row->secret.n > 0 && provider_rotates(p))
        return wrong(why, size,
                     "an account of this provider has no secret: log in with `sluice account "
                     "login NAME`, or import its tokens with --token-file");
    enum err e = oauth_config_read(p->oauth, slice_of(row->settings), &c, why, size);
    if (e != OK)
        return e;
    if (c.client_id[0] == '\0')
        return wrong(why, size,
                     "no client_id: this program ships none, so give the one that the provider "
                     "has given you (--client-id). Read the provider's terms first: Anthropic "
                     "keeps the login of Claude plans for its own applications; an API key "
                     "(--provider anthropic) is the way for everything else");
    e = check_endpoint(row, "token URL", c.token_url, why, size);
    if (e == OK && p->login == LOGIN_CONSOLE)
        e = check_endpoint(row, "key URL", c.key_url, why, size);
    return e;
}

/* What an account of a cloud has in place of a secret, or as one. A secret that is not given is the
 * one that is stored. */
static enum err check_cloud(const struct account_row *row, const struct provider *p, char *why,
                            size_t size)
{
    struct cloud_config c;
    struct http_target t = {0};
    struct slice prefix;
    const char *reason;
    enum err e = cloud_config_read(p->cloud, slice_of(row->settings), &c, why, size);
    if (e == OK && c.token_url[0] != '\0')
        e = check_endpoint(row, "token URL", c.token_url, why, size);
    if (e == OK && (row->id == 0 || row->secret.n > 0))
        e = cloud_check(&c, row->secret, why, size);
    if (e != OK || c.cloud != CLOUD_AWS || c.region[0] != '\0' || row->base_url[0] == '\0')
        return e;
    if (http_url_parse(slice_of(row->base_url), &t, &prefix, &reason) == OK &&
        aws_region_of(t.host).n == 0)
        return wrong(why, size,
                     "the base URL does not tell its region, which a signature needs: give the "
                     "setting \"region\"");
    return OK;
}

static const struct provider *check_provider(const struct account_row *row, char *why, size_t size)
{
    const char *names[64];
    size_t n = 0;
    const struct provider *p = provider_find(slice_of(row->provider));
    if (p != NULL)
        return p;
    for (int i = 0; provider_at(i) != NULL && n < sizeof names / sizeof names[0]; i++)
        names[n++] = provider_at(i)->name;
    const char *near = text_closest(slice_of(row->provider), names, n);
    text_format(why, size, "unknown provider \"%s\"%s%s%s; `sluice provider list` shows them all",
                row->provider, near != NULL ? "; did you mean \"" : "", near != NULL ? near : "",
                near != NULL ? "\"?" : "");
    return NULL;
}

enum err account_check(const struct account_row *row, char *why, size_t why_size)
{
    assert(why_size > 0);
    why[0] = '\0';
    if (!is_name(slice_of(row->name)))
        return wrong(why, why_size,
                     "a name is made of letters, digits, '-', '_', '.' and '@', and "
                     "begins with a letter or digit");
    const struct provider *p = check_provider(row, why, why_size);
    if (p == NULL)
        return ERR_NOTFOUND;
    if (row->priority < 0 || row->priority > 1000) {
        text_copy(why, why_size, S("priority must be from 0 (first) to 1000"));
        return ERR_RANGE;
    }
    if (row->weight < 1 || row->weight > 1000) {
        text_copy(why, why_size, S("weight must be from 1 to 1000"));
        return ERR_RANGE;
    }
    struct account_policy policy;
    enum err e = p->oauth != NULL ? check_oauth(row, p, why, why_size) : OK;
    if (e == OK && p->cloud != NULL)
        e = check_cloud(row, p, why, why_size);
    else if (e == OK && !provider_rotates(p))
        e = check_secret(row, why, why_size);
    if (e == OK)
        e = account_policy_read(slice_of(row->settings), &policy, why, why_size);
    return e == OK ? check_base(row, p, why, why_size) : e;
}
