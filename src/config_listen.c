/* What is said about where and how clients connect: addresses, certificates, proxies. */
#include "config.h"

#include <arpa/inet.h>
#include <string.h>

#include "config_private.h"

/* ---- one address ----------------------------------------------------------------------------- */

void config_listen_at(const struct config *c, int i, struct config_listen *out)
{
    assert(i >= 0 && i < c->listens);
    struct slice a = slice_of(c->listen[i]);
    *out = (struct config_listen){.tls = c->tls_certs > 0, .proxy = c->proxy_protocol};
    if (slice_istarts(a, S("proxy+"))) {
        out->proxy = true;
        a = slice_sub(a, 6, a.n);
    }
    if (slice_istarts(a, S("http://"))) {
        out->tls = false;
        a = slice_sub(a, 7, a.n);
    } else if (slice_istarts(a, S("https://"))) {
        out->tls = true;
        a = slice_sub(a, 8, a.n);
    }
    out->addr = slice_ends(a, S("/")) ? slice_sub(a, 0, a.n - 1) : a;
    out->name = slice_starts(out->addr, S("fd:")) ? slice_sub(out->addr, 3, out->addr.n) : S("");
}

/* A socket that is handed over is where it is; who takes it judges its address. */
static enum err check_name(const char *listen, struct slice name, struct config_error *e)
{
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] <= ' ' || name.p[i] == ':' || name.p[i] == 0x7f)
            return config_fail(e, ERR_SYNTAX,
                               "listen: `%s`: a socket's name has no such characters", listen);
    return OK;
}

bool config_is_loopback(struct slice s)
{
    return slice_starts(s, S("127.")) || slice_starts(s, S("[::1]:"));
}

/* `said` is what the option holds, `a` the address in it. */
static enum err check_addr(const char *option, const char *said, struct slice a,
                           struct config_error *e)
{
    uint64_t port;
    size_t colon = a.n;
    while (colon > 0 && a.p[colon - 1] != ':')
        colon--;
    if (colon == 0 || colon == a.n || a.p[a.n - 1] == ']')
        return config_fail(e, ERR_SYNTAX, "%s: `%s` has no port; write ADDR:PORT", option, said);
    if (!text_u64(slice_sub(a, colon, a.n), &port) || port > 65535)
        return config_fail(e, ERR_RANGE, "%s: `%s`: the port must be a number from 0 to 65535",
                           option, said);
    if (slice_istarts(a, S("localhost:")))
        return config_fail(e, ERR_SYNTAX, "%s: `%s` is a name; write 127.0.0.1:%.*s or [::1]:%.*s",
                           option, said, (int)(a.n - colon), a.p + colon, (int)(a.n - colon),
                           a.p + colon);
    return OK;
}

/* As far as text tells: the address itself is judged by who listens on it. */
static enum err check_listen(const struct config *c, int i, struct config_error *e)
{
    struct config_listen l;
    config_listen_at(c, i, &l);
    struct slice a = l.addr;
    enum err r = l.name.n > 0 ? check_name(c->listen[i], l.name, e)
                              : check_addr("listen", c->listen[i], a, e);
    if (r != OK)
        return r;
    if (l.tls && c->tls_certs == 0)
        return config_fail(e, ERR_NOTFOUND,
                           "listen: `%s` needs a certificate: give tls_cert and tls_key",
                           c->listen[i]);
    if (l.proxy && c->trusted_proxies == 0)
        return config_fail(e, ERR_NOTFOUND,
                           "listen: `%s` expects PROXY headers, and nobody is trusted to send "
                           "them: name the balancers' addresses in trusted_proxies",
                           c->listen[i]);
    if (!l.tls && !c->allow_public_listen && l.name.n == 0 && !config_is_loopback(a))
        return config_fail(e, ERR_DENIED,
                           "listen: `%s` is not a loopback address, and keys and prompts would "
                           "cross the network in the clear; give tls_cert and tls_key, or put TLS "
                           "in front and set allow_public_listen: true",
                           c->listen[i]);
    return OK;
}

/* ---- the rest -------------------------------------------------------------------------------- */

static bool is_cidr(struct slice s)
{
    char z[INET6_ADDRSTRLEN];
    uint8_t ip[16];
    struct slice host = s;
    uint64_t bits = 0;
    ptrdiff_t slash = slice_find(s, '/');
    if (slash >= 0) {
        host = slice_sub(s, 0, (size_t)slash);
        if (!text_u64(slice_sub(s, (size_t)slash + 1, s.n), &bits))
            return false;
    }
    if (host.n == 0 || host.n >= sizeof z)
        return false;
    text_copy(z, sizeof z, host);
    if (inet_pton(AF_INET, z, ip) == 1)
        return bits <= 32;
    return inet_pton(AF_INET6, z, ip) == 1 && bits <= 128;
}

static enum err check_tls(const struct config *c, struct config_error *e)
{
    static const char *const AUTHS[] = {"off", "optional", "required", NULL};
    if (c->tls_certs != c->tls_keys)
        return config_fail(e, ERR_SYNTAX,
                           "tls_cert, tls_key: %d certificates and %d keys; each certificate needs "
                           "its key, in the same order",
                           c->tls_certs, c->tls_keys);
    if (c->tls_client_auth == NULL || !config_one_of(c->tls_client_auth, AUTHS))
        return config_fail(e, ERR_SYNTAX, "tls_client_auth: use off, optional or required");
    bool asks = strcmp(c->tls_client_auth, "off") != 0;
    if (asks && c->tls_client_ca == NULL)
        return config_fail(e, ERR_NOTFOUND,
                           "tls_client_auth: %s needs tls_client_ca, the authority of the clients",
                           c->tls_client_auth);
    if (asks && c->tls_certs == 0)
        return config_fail(e, ERR_NOTFOUND, "tls_client_auth: %s needs tls_cert and tls_key",
                           c->tls_client_auth);
    return OK;
}

/* Nobody gets in by being near: a token, a certificate, or both. */
static enum err check_admin(const struct config *c, struct config_error *e)
{
    if ((c->admin_tls_cert == NULL) != (c->admin_tls_key == NULL))
        return config_fail(e, ERR_SYNTAX, "admin_tls_cert, admin_tls_key: one needs the other");
    if (c->admin_tls_client_ca != NULL && c->admin_tls_cert == NULL)
        return config_fail(e, ERR_NOTFOUND,
                           "admin_tls_client_ca: needs admin_tls_cert and admin_tls_key");
    if (c->admin_listen == NULL)
        return OK;
    struct slice a = slice_of(c->admin_listen);
    enum err r = check_addr("admin_listen", c->admin_listen, a, e);
    if (r != OK)
        return r;
    if (c->admin_token_file == NULL && c->admin_tls_client_ca == NULL)
        return config_fail(e, ERR_DENIED,
                           "admin_listen: whoever reaches `%s` could do everything; give "
                           "admin_token_file, or admin_tls_client_ca, or both",
                           c->admin_listen);
    if (c->admin_tls_cert == NULL && !config_is_loopback(a))
        return config_fail(e, ERR_DENIED,
                           "admin_listen: `%s` is not a loopback address, and the token would "
                           "cross the network in the clear; give admin_tls_cert and admin_tls_key",
                           c->admin_listen);
    return OK;
}

enum err config_check_listen(const struct config *c, struct config_error *e)
{
    static const char *const HEADERS[] = {"x-forwarded-for", "forwarded", "off", NULL};
    enum err r = OK;
    if (c->listens == 0)
        return config_fail(e, ERR_RANGE, "listen: at least one address is needed");
    for (int i = 0; i < c->trusted_proxies; i++)
        if (!is_cidr(slice_of(c->trusted_proxy[i])))
            return config_fail(e, ERR_SYNTAX,
                               "trusted_proxies: `%s` is no address and no block of addresses such "
                               "as 10.0.0.0/8",
                               c->trusted_proxy[i]);
    if (c->forwarded_header == NULL || !config_one_of(c->forwarded_header, HEADERS))
        return config_fail(e, ERR_SYNTAX,
                           "forwarded_header: use x-forwarded-for, forwarded or off");
    r = check_tls(c, e);
    if (r == OK)
        r = check_admin(c, e);
    for (int i = 0; r == OK && i < c->listens; i++)
        r = check_listen(c, i, e);
    return r;
}
