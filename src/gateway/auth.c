/* Whose request it is. One function says yes; nothing else looks at a client's credential. */
#include "gateway/exchange.h"

/* The token behind "Bearer ", or the value as it is. */
static struct slice bearer_token(struct slice v)
{
    if (slice_istarts(v, S("bearer ")))
        return slice_trim(slice_sub(v, 7, v.n));
    return v;
}

/* A vendor's own credential, sent by a client that is logged in there (clients.md): never ours. */
static bool is_vendor_token(struct slice token)
{
    return slice_starts(token, S("sk-ant-"));
}

static bool host_is_local(struct slice host)
{
    ptrdiff_t end = slice_starts(host, S("[")) ? slice_find(host, ']') : slice_find(host, ':');
    struct slice name = host;
    if (end >= 0)
        name = slice_sub(host, 0, (size_t)end + (host.p[end] == ']'));
    return slice_ieq(name, S("localhost")) || slice_starts(name, S("127.")) ||
           slice_eq(name, S("[::1]"));
}

/* With no key ever made only this machine's own programs are served, and no web page may make a
 * browser of this machine ask for it (robustness.md B8: rebinding, cross-site). */
static bool is_local_program(const struct http_head *head, const struct addr *peer)
{
    if (peer->is_unix)
        return true;
    const struct slice *host = http_find(head, "host");
    return peer->is_loopback && (host == NULL || host_is_local(*host)) &&
           http_find(head, "origin") == NULL && http_find(head, "sec-fetch-site") == NULL;
}

enum auth_result auth_check(struct key_set *keys, const struct http_head *head,
                            const struct addr *peer, struct key_row **key)
{
    const struct slice *given[2] = {http_find(head, "x-api-key"), http_find(head, "authorization")};
    bool any = false, vendor = false;
    *key = NULL;
    for (int i = 0; i < 2; i++) {
        if (given[i] == NULL)
            continue;
        struct slice token = bearer_token(*given[i]);
        any = true;
        vendor |= is_vendor_token(token);
        if (*key == NULL)
            *key = keys_check(keys, token);
    }
    if (*key != NULL)
        return AUTH_OK;
    if (vendor)
        return AUTH_VENDOR_TOKEN;
    if (keys_count(keys) == 0)
        return is_local_program(head, peer) ? AUTH_ANONYMOUS : AUTH_NOT_LOCAL;
    return any ? AUTH_WRONG : AUTH_MISSING;
}
