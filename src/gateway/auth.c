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

/* With no key ever made only this machine's own programs are served: no web page may make a browser
 * of this machine ask for it (robustness.md B8: rebinding, cross-site), and no proxy on this
 * machine may bring in the rest of the world. */
static bool is_local_program(const struct http_head *head, const struct addr *peer)
{
    static const char *const FOREIGN[] = {"origin",    "sec-fetch-site", "x-forwarded-for",
                                          "forwarded", "x-real-ip",      "via"};
    if (peer->is_unix)
        return true;
    for (size_t i = 0; i < sizeof FOREIGN / sizeof *FOREIGN; i++)
        if (http_find(head, FOREIGN[i]) != NULL)
            return false;
    const struct slice *host = http_find(head, "host");
    return peer->is_loopback && (host == NULL || http_host_is_local(*host));
}

bool auth_host(const struct config *c, const struct http_head *head, const struct addr *peer)
{
    const struct slice *host = http_find(head, "host");
    if (c->hosts == 0 || peer->is_unix)
        return true;
    if (host == NULL)
        return false;
    return http_host_is(*host, c->host, c->hosts) ||
           (peer->is_loopback && http_host_is_local(*host));
}

static bool query_has_key(struct slice query)
{
    struct slice part;
    while (slice_cut(&query, '&', &part))
        if (slice_starts(part, S("key=")))
            return true;
    return false;
}

enum auth_result auth_check(struct key_set *keys, const struct http_head *head,
                            const struct addr *peer, struct key_row **key)
{
    static const char *const PLACES[] = {"x-api-key", "authorization", "x-goog-api-key", "api-key"};
    const struct slice *given[sizeof PLACES / sizeof *PLACES];
    bool any = false, vendor = false;
    *key = NULL;
    for (size_t i = 0; i < sizeof PLACES / sizeof *PLACES; i++) {
        given[i] = http_find(head, PLACES[i]);
        if (given[i] == NULL)
            continue;
        struct slice token = bearer_token(*given[i]);
        any = true;
        vendor |= is_vendor_token(token);
        *key = keys_check(keys, token);
        if (*key != NULL)
            return AUTH_OK;
    }
    if (vendor)
        return AUTH_VENDOR_TOKEN;
    if (keys_count(keys) == 0)
        return is_local_program(head, peer) ? AUTH_ANONYMOUS : AUTH_NOT_LOCAL;
    if (given[1] != NULL && slice_starts(*given[1], S("AWS4-HMAC-")))
        return AUTH_SIGNED;
    if (!any && query_has_key(head->query))
        return AUTH_IN_QUERY;
    return any ? AUTH_WRONG : AUTH_MISSING;
}

bool strikes_allow(struct strikes *s, const struct addr *peer, int64_t now)
{
    /* A slot may be shared by chance: the harm is a 429 in place of a 401. */
    uint64_t source = crypto_siphash((struct slice){(const char *)peer->ip, sizeof peer->ip});
    struct strikes_slot *slot = &s->slot[source % STRIKES_SLOTS];
    if (slot->source != source || slot->full_at < now)
        *slot = (struct strikes_slot){.source = source, .full_at = now};
    if (slot->full_at - now > (int64_t)(STRIKES_BURST - 1) * STRIKES_EACH_MS)
        return false;
    slot->full_at += STRIKES_EACH_MS;
    return true;
}
