/* Private to gateway: the desk, where a request says what it wants and whose it is. */
#ifndef SLUICE_DESK_H
#define SLUICE_DESK_H

#include "gateway/gateway.h"

/* ---- routes ---------------------------------------------------------------------------------- */

enum route_kind {
    ROUTE_HELLO, /* HEAD / and /api/hello: any answer will do (clients.md) */
    ROUTE_LIVEZ,
    ROUTE_READYZ,
    ROUTE_MESSAGES,
    ROUTE_COUNT,
    ROUTE_BATCHES,
    ROUTE_FILES,
    ROUTE_MODELS,  /* the list, not one model */
    ROUTE_OTHER,   /* any other /v1/...: to an Anthropic account */
    ROUTE_UNKNOWN, /* 404 */
    ROUTE_METHOD,  /* 405 */
};
struct route {
    enum route_kind kind;
    const char *name;    /* for the record */
    struct slice object; /* batch or file id in the path, "" when none */
};
struct route route_find(enum http_method m, struct slice path);

/* ---- whose request --------------------------------------------------------------------------- */

enum auth_result {
    AUTH_OK,
    AUTH_ANONYMOUS,
    AUTH_MISSING,
    AUTH_WRONG,
    AUTH_VENDOR_TOKEN,
    AUTH_NOT_LOCAL
};
/* OK: *key is the client's row. ANONYMOUS: no key is configured and the client is local. */
enum auth_result auth_check(struct key_set *keys, const struct http_head *head,
                            const struct addr *peer, struct key_row **key);

/* Sources that keep presenting bad keys, so that guessing is slow and cheap to refuse
 * (robustness.md B3: 10 a minute). By source, never by key: nobody can be locked out by somebody
 * else's guesses. */
#define STRIKES_SLOTS   1024
#define STRIKES_BURST   30
#define STRIKES_EACH_MS 6000 /* one more is forgiven after each */
struct strikes {
    struct strikes_slot {
        uint64_t source;
        int64_t full_at; /* loop_now when nothing is held against it any more */
    } slot[STRIKES_SLOTS];
};
/* Notes one bad key from `peer`; false when that was one too many. */
bool strikes_allow(struct strikes *s, const struct addr *peer, int64_t now);

#endif
