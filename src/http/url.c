/* url: addresses of upstreams, and the rules for paths and hosts. */
#include "http/h1.h"

#include <string.h>

static int hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* One character of a path, decoded once; -1: it must not be there. */
static int path_char(struct slice path, size_t *at)
{
    unsigned char c = (unsigned char)path.p[*at];
    if (c <= 0x20 || c >= 0x7f || c == '\\' || c == '?' || c == '#')
        return -1;
    (*at)++;
    if (c != '%')
        return c;
    if (path.n - *at < 2)
        return -1;
    int high = hex_value((unsigned char)path.p[*at]);
    int low = hex_value((unsigned char)path.p[*at + 1]);
    *at += 2;
    if (high < 0 || low < 0)
        return -1;
    int v = high * 16 + low;
    return v == '\\' || v < 0x20 || v == 0x7f ? -1 : v;
}

/* Where "%2F" may stand: [from, to). */
static struct slice coded_segment(struct slice path, const char *below)
{
    if (below == NULL || !slice_starts(path, slice_of(below)))
        return S("");
    struct slice rest = slice_sub(path, strlen(below), path.n);
    ptrdiff_t end = slice_find(rest, '/');
    return slice_sub(rest, 0, end < 0 ? rest.n : (size_t)end);
}

/* Nearly every path: nothing that is coded, and no segment begins with a dot. */
static bool path_is_plain(struct slice path)
{
    for (size_t i = 1; i < path.n; i++) {
        unsigned char c = (unsigned char)path.p[i];
        bool plain = name_bytes[c] != '\0' || c == '/' || c == '_' || c == ':';
        if (!plain && (c != '.' || path.p[i - 1] == '/'))
            return false;
    }
    return true;
}

const char *path_fault(struct slice path, const char *coded_slash)
{
    size_t at = 0, dots = 0, others = 0;
    if (path.n == 0 || path.p[0] != '/')
        return "the path does not begin with a slash";
    if (path_is_plain(path))
        return NULL;
    struct slice free = coded_segment(path, coded_slash);
    while (at < path.n) {
        const char *p = path.p + at;
        bool coded = *p == '%', allowed = free.n > 0 && p >= free.p && p < free.p + free.n;
        int c = path_char(path, &at);
        bool slash = c == '/';
        if (c < 0 || (slash && coded && !allowed))
            return "the path holds a character or an escape that is not allowed";
        if (slash) {
            if (others == 0 && (dots == 1 || dots == 2))
                break;
            dots = others = 0;
        } else if (c == '.') {
            dots++;
        } else {
            others++;
        }
    }
    if (others == 0 && (dots == 1 || dots == 2))
        return "the path holds a dot segment";
    return NULL;
}

static bool is_host_name(struct slice s)
{
    for (const char *p = s.p, *end = p + s.n; p < end; p++)
        if (name_bytes[(unsigned char)*p] == '\0' && *p != '.' && *p != '_')
            return false;
    return s.n > 0 && s.n <= 253;
}

/* What stands in brackets; whether it is an address at all is seen when it is used. */
static bool is_host_v6(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (hex_value((unsigned char)s.p[i]) < 0 && s.p[i] != ':' && s.p[i] != '.')
            return false;
    return s.n <= 45 && slice_find(s, ':') >= 0;
}

bool host_is_valid(struct slice host)
{
    bool v6 = host.n > 0 && host.p[0] == '[';
    ptrdiff_t end = slice_find(host, v6 ? ']' : ':');
    uint64_t port;
    if (v6 && (end < 0 || !is_host_v6(slice_sub(host, 1, (size_t)end))))
        return false;
    size_t cut = v6 ? (size_t)end + 1 : end < 0 ? host.n : (size_t)end;
    if (!v6 && !is_host_name(slice_sub(host, 0, cut)))
        return false;
    struct slice rest = slice_sub(host, cut, host.n);
    if (rest.n <= 1) /* a port may be empty: RFC 3986 3.2.3 */
        return rest.n == 0 || rest.p[0] == ':';
    return rest.p[0] == ':' && rest.n <= 6 && text_u64(slice_sub(rest, 1, rest.n), &port) &&
           port <= 65535;
}

/* ---- http_url_parse ------------------------------------------------------------------------ */

static const char *scheme_cut(struct slice *url, struct http_target *t)
{
    if (slice_istarts(*url, S("https://"))) {
        t->tls = true;
        t->port = 443;
        *url = slice_sub(*url, 8, url->n);
    } else if (slice_istarts(*url, S("http://"))) {
        t->tls = false;
        t->port = 80;
        *url = slice_sub(*url, 7, url->n);
    } else {
        return "the URL does not begin with http:// or https://";
    }
    return NULL;
}

static const char *port_read(struct slice s, uint16_t *port)
{
    uint64_t v;
    if (s.n > 5 || !text_u64(s, &v) || v == 0 || v > 65535)
        return "the port in the URL is not a number from 1 to 65535";
    *port = (uint16_t)v;
    return NULL;
}

static const char *authority_read(struct slice a, struct http_target *t)
{
    bool v6 = a.n > 0 && a.p[0] == '[';
    ptrdiff_t end;
    if (slice_find(a, '@') >= 0)
        return "the URL holds a user name";
    if (v6) {
        end = slice_find(a, ']');
        if (end < 0)
            return "the URL's IPv6 address has no closing bracket";
        t->host = slice_sub(a, 1, (size_t)end);
        a = slice_sub(a, (size_t)end + 1, a.n);
        if (slice_find(t->host, ':') < 0 || (a.n > 0 && a.p[0] != ':'))
            return "the URL's IPv6 address is malformed";
    } else {
        end = slice_find(a, ':');
        t->host = end < 0 ? a : slice_sub(a, 0, (size_t)end);
        a = slice_sub(a, t->host.n, a.n);
    }
    if (!(v6 ? is_host_v6(t->host) : is_host_name(t->host)))
        return "the URL has no valid host name";
    return a.n > 0 ? port_read(slice_sub(a, 1, a.n), &t->port) : NULL;
}

enum err http_url_parse(struct slice url, struct http_target *t, struct slice *prefix,
                        const char **why)
{
    struct http_target out = *t; /* `pool` and `allow_private` are the caller's */
    *why = scheme_cut(&url, &out);
    if (*why != NULL)
        return ERR_SYNTAX;
    if (slice_find(url, '?') >= 0 || slice_find(url, '#') >= 0) {
        *why = "the URL holds a query or a fragment";
        return ERR_SYNTAX;
    }
    ptrdiff_t slash = slice_find(url, '/');
    size_t cut = slash < 0 ? url.n : (size_t)slash;
    struct slice path = slice_sub(url, cut, url.n);
    *why = authority_read(slice_sub(url, 0, cut), &out);
    if (*why == NULL && path.n > 0)
        *why = path_fault(path, NULL);
    if (*why != NULL)
        return ERR_SYNTAX;
    while (path.n > 0 && path.p[path.n - 1] == '/')
        path.n--;
    assert(out.host.n > 0 && out.port > 0);
    *t = out;
    *prefix = path.n > 0 ? path : S("");
    return OK;
}
