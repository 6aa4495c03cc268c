/* forwarded: see forwarded.h. X-Forwarded-For, and Forwarded (RFC 7239). */
#include "http/forwarded.h"

#include <string.h>

#define ELEMENTS_MAX 32
#define BYTES_MAX    2048

/* "192.0.2.1:0" and "[2001:db8::1]:0", without the port. */
static void node_text(struct addr *a)
{
    struct slice s = slice_of(a->text);
    char host[ADDR_TEXT_MAX];
    assert(slice_ends(s, S(":0")));
    s = slice_sub(s, 0, s.n - 2);
    if (s.p[0] == '[')
        s = slice_sub(s, 1, s.n - 1);
    text_copy(host, sizeof host, s);
    text_copy(a->text, sizeof a->text, slice_of(host));
}

/* "192.0.2.1", "192.0.2.1:80", "[2001:db8::1]:80", and without brackets where no port can be. */
static bool node_parse(struct slice s, struct addr *out)
{
    char text[ADDR_TEXT_MAX];
    int colons = 0;
    for (size_t i = 0; i < s.n; i++)
        colons += s.p[i] == ':';
    if (s.n == 0 || s.n + 5 > sizeof text)
        return false;
    bool bare_v6 = s.p[0] != '[' && colons > 1;
    bool port = !bare_v6 && (s.p[0] == '[' ? s.p[s.n - 1] != ']' : colons == 1);
    size_t n = text_format(text, sizeof text, bare_v6 ? "[%.*s]%s" : "%.*s%s", (int)s.n, s.p,
                           port ? "" : ":0");
    if (addr_parse((struct slice){text, n}, out) != OK)
        return false;
    if (out->port == 0) /* nobody has said one: none is shown */
        node_text(out);
    return true;
}

/* The node of one element of Forwarded: "for=192.0.2.60;proto=http;by=203.0.113.43". */
static bool rfc7239_for(struct slice element, struct slice *out)
{
    struct slice pair;
    bool found = false;
    while (slice_cut(&element, ';', &pair)) {
        pair = slice_trim(pair);
        if (!slice_istarts(pair, S("for=")))
            continue;
        if (found)
            return false;
        found = true;
        *out = slice_sub(pair, 4, pair.n);
    }
    if (found && out->n >= 2 && out->p[0] == '"' && out->p[out->n - 1] == '"')
        *out = slice_sub(*out, 1, out->n - 1);
    return found;
}

/* What has been read so far: what a stranger wrote before that has no bearing on it. */
struct walked {
    int elements;
    size_t bytes;
};

/* Walks one field's list from its end. False: it is decided, *at is who it was. */
static bool walk(struct slice list, bool rfc7239, const struct cidr *trusted, int n,
                 struct walked *w, struct addr *at, bool *bad)
{
    size_t end = list.n;
    for (;;) {
        size_t begin = end;
        struct addr a;
        while (begin > 0 && list.p[begin - 1] != ',')
            begin--;
        struct slice node = slice_trim(slice_sub(list, begin, end));
        w->bytes += end - begin + 1;
        *bad = w->bytes > BYTES_MAX;
        if (*bad)
            return false;
        if (node.n > 0) { /* empty elements are allowed in lists */
            *bad = ++w->elements > ELEMENTS_MAX || (rfc7239 && !rfc7239_for(node, &node)) ||
                   !node_parse(node, &a);
            if (*bad)
                return false;
            *at = a;
            if (!cidr_has(trusted, n, at))
                return false;
        }
        if (begin == 0)
            return true;
        end = begin - 1;
    }
}

void forwarded_client(const struct http_head *head, enum http_forwarded which,
                      const struct cidr *trusted, int n, const struct addr *peer, struct addr *out)
{
    bool rfc7239 = which == HTTP_FORWARDED_RFC7239, bad = false;
    struct slice name = rfc7239 ? S("forwarded") : S("x-forwarded-for");
    struct walked w = {0};
    assert(cidr_has(trusted, n, peer));
    *out = *peer;
    for (int i = head->headers - 1; i >= 0 && which != HTTP_FORWARDED_OFF; i--) {
        if (!slice_eq(head->header[i].name, name))
            continue;
        if (!walk(head->header[i].value, rfc7239, trusted, n, &w, out, &bad))
            break;
    }
    if (bad)
        *out = *peer;
    out->is_loopback = false;
}
