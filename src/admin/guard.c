/* guard: who may ask at all, before any verb is looked for.
 *
 * Over the unix socket the listener has looked whose process it is, and no browser gets there. Over
 * an address a browser on the way could be made to ask by any page it shows: so the gateway must be
 * asked by a name that no page can have, no page of another origin may be behind it, and whoever
 * asks must bring the token, if there is one (certificates are TLS's matter). */
#include "admin/inside.h"

#define BEARER S("bearer ")

static bool has_token(const struct admin *a, const struct http_head *head)
{
    uint8_t digest[CRYPTO_SHA256];
    const struct slice *given = http_find(head, "authorization");
    struct slice token = S("");
    if (given != NULL && slice_istarts(*given, BEARER))
        token = slice_trim(slice_sub(*given, BEARER.n, given->n));
    crypto_sha256(digest, token);
    return crypto_equal(digest, a->token, sizeof digest);
}

/* "http://HOST" or "https://HOST", where HOST is what the request itself is addressed to. */
static bool origin_is(struct slice origin, struct slice host)
{
    if (slice_istarts(origin, S("https://")))
        return slice_ieq(slice_sub(origin, 8, origin.n), host);
    return slice_istarts(origin, S("http://")) && slice_ieq(slice_sub(origin, 7, origin.n), host);
}

static bool is_from_elsewhere(const struct http_head *head, bool browsers)
{
    const struct slice *origin = http_find(head, "origin"), *host = http_find(head, "host");
    const struct slice *site = http_find(head, "sec-fetch-site");
    if (origin != NULL && (!browsers || host == NULL || !origin_is(*origin, *host)))
        return true;
    return site != NULL && !slice_eq(*site, S("same-origin")) && !slice_eq(*site, S("none"));
}

static bool is_named(const struct config *c, const struct http_head *head)
{
    const struct slice *host = http_find(head, "host");
    return host != NULL && (http_host_is_number(*host) || http_host_is_local(*host) ||
                            http_host_is(*host, c->admin_host, c->admin_hosts));
}

/* A form of a page's cannot send JSON without asking first, and is never answered then. */
static bool is_form(const struct http_head *head)
{
    const struct slice *type = http_find(head, "content-type");
    bool body = head->content_length > 0 || head->chunked;
    return body && (type == NULL || !slice_istarts(*type, S("application/json")));
}

int guard_check(const struct admin *a, const struct http_head *head, const struct addr *peer,
                const char **why)
{
    if (is_from_elsewhere(head, !peer->is_unix)) {
        *why = "no page of another origin may ask here";
        return 403;
    }
    if (peer->is_unix)
        return 0;
    if (!is_named(a->p.config, head)) {
        *why = "the gateway is not asked by this name here (`admin_hosts`)";
        return 421;
    }
    if (a->has_token && !has_token(a, head)) {
        *why = "the token of `admin_token_file` is wanted: `authorization: Bearer TOKEN`";
        return 401;
    }
    if (is_form(head)) {
        *why = "the body must be JSON, and say so: `content-type: application/json`";
        return 415;
    }
    return 0;
}

void admin_set_token(struct admin *a, struct slice token)
{
    a->has_token = token.n > 0;
    crypto_sha256(a->token, token);
}
