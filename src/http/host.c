/* host: what a Host header says, as far as a rule needs to know. */
#include "http/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>

/* The name or number in "name", "name:8080", "1.2.3.4:80", "[::1]:80"; false: it is none. */
static bool host_name(struct slice host, struct slice *out)
{
    uint64_t port;
    bool v6 = slice_starts(host, S("["));
    ptrdiff_t end = slice_find(host, v6 ? ']' : ':');
    if (v6 && end < 0)
        return false;
    size_t n = end < 0 ? host.n : (size_t)end + (v6 ? 1 : 0);
    struct slice rest = slice_sub(host, n, host.n);
    *out = slice_sub(host, 0, n);
    if (n == 0 || rest.n == 0)
        return n > 0;
    return rest.p[0] == ':' && text_u64(slice_sub(rest, 1, rest.n), &port) && port <= 65535;
}

bool http_host_is_number(struct slice host)
{
    char z[INET6_ADDRSTRLEN];
    uint8_t ip[16];
    struct slice name;
    if (!host_name(host, &name))
        return false;
    bool v6 = slice_starts(name, S("["));
    if (v6)
        name = slice_sub(name, 1, name.n - 1);
    if (name.n == 0 || name.n >= sizeof z)
        return false;
    text_copy(z, sizeof z, name);
    return inet_pton(v6 ? AF_INET6 : AF_INET, z, ip) == 1;
}

bool http_host_is_local(struct slice host)
{
    struct slice name;
    if (!host_name(host, &name))
        return false;
    if (slice_ieq(name, S("localhost")) || slice_eq(name, S("[::1]")))
        return true;
    return slice_starts(name, S("127.")) && http_host_is_number(name);
}

/* A name may end in the root's dot. */
static struct slice without_dot(struct slice s)
{
    return slice_ends(s, S(".")) ? slice_sub(s, 0, s.n - 1) : s;
}

bool http_host_is(struct slice host, const char *const *names, int n)
{
    struct slice name;
    if (!host_name(host, &name))
        return false;
    name = without_dot(name);
    for (int i = 0; i < n; i++) {
        struct slice want = without_dot(slice_of(names[i]));
        if (slice_ieq(name, want))
            return true;
        if (!slice_starts(want, S("*.")) || name.n < want.n)
            continue;
        /* "*.example.com": whatever stands before the dot, but something */
        if (slice_ieq(slice_sub(name, name.n - (want.n - 1), name.n), slice_sub(want, 1, want.n)))
            return true;
    }
    return false;
}
