/* gateway: the house's purpose. Route, authenticate, choose, carry, book.
 *
 * A request becomes an *exchange* (one per request, states in exchange.c), which makes one
 * *attempt* after another until one is worth carrying, and then a *relay* until the end. SQL, TLS
 * and the CLI are unknown here. The one promise above all: until something meaningful has been
 * given to the client a failed attempt can be made good by another account; from then on, never.
 *
 *        route --> auth --> exchange --> attempt 1..n --> relay --> record
 */
#ifndef SLUICE_GATEWAY_H
#define SLUICE_GATEWAY_H

#include "accounts/accounts.h"
#include "base/base.h"
#include "config.h"
#include "http/http.h"
#include "net/net.h"
#include "store/store.h"

/* ---- client keys ----------------------------------------------------------------------------- */

/* Format: slc_ + 8 base62 (id) + _ + 43 base62 (256 random bits) + 6 base62 (CRC-32 of all before).
 * Only HMAC-SHA-256(pepper, key) is kept; looked up by id, compared in constant time. */
#define KEY_TEXT_MAX 64
struct key_set;
struct key_set *keys_new(const uint8_t *pepper /* 32 bytes, borrowed */);
void keys_free(struct key_set *k);
void keys_put(struct key_set *k, const struct key_row *row); /* add or replace */
/* All that were ever made, revoked ones too: revoking the last key must not open the door. */
int keys_count(const struct key_set *k);
const struct key_row *keys_by_name(const struct key_set *k, struct slice name);
bool keys_next(const struct key_set *k, size_t *at, const struct key_row **row);
/* Makes a new key: the text to be shown once, and the row to store. */
void keys_generate(const struct key_set *k, struct slice name, int64_t now, char text[KEY_TEXT_MAX],
                   struct key_row *row);
/* The row of a presented key, or NULL (malformed, unknown or revoked: all take the same time). */
struct key_row *keys_check(struct key_set *k, struct slice presented);

/* ---- the gateway ----------------------------------------------------------------------------- */

struct gateway;
struct gateway_parts { /* all borrowed */
    struct loop *loop;
    struct store *store;
    struct account_set *accounts;
    struct key_set *keys;
    struct http_client *client;
    const struct config *config;
};
struct gateway *gateway_new(const struct gateway_parts *p);
void gateway_free(struct gateway *g); /* no exchange may be left: free the servers first */
void gateway_set_config(struct gateway *g, const struct config *c); /* after a reload */
/* What to give to http_server_new, with the gateway as its ctx. */
const struct http_server_ops *gateway_server_ops(void);
struct http_server_limits gateway_server_limits(const struct config *c);
/* Accounts were added, changed or removed by a person: what was derived from them is made anew, and
 * requests that wait in line look again. */
void gateway_accounts_changed(struct gateway *g);
/* From now on /readyz says 503 and `word`, static, as its reason; new requests are still served. */
void gateway_drain(struct gateway *g, const char *word);
/* Ends every stream that is left with an error event (drained), for when the drain's limit is up.
 */
void gateway_reap(struct gateway *g);

/* After each look at the load (see loop_watch): at `guard` requests that hold much and have had no
 * answer yet are let go, the largest first. Besides, the gateway obeys by itself: from `shed` on
 * new ones are refused, but for health. */
void gateway_relieve(struct gateway *g);

/* The number by which a conversation is known, for wishes: of a session's id as its client sends
 * it, with the key it uses (what clients choose must not reach into another key's conversations; ""
 * = none), or 16 hex digits as records show them, which are the number itself. */
uint64_t conversation_of(struct slice session, struct slice key_id);
uint64_t conversation_of_session(struct slice session); /* ... of a client without a key */

struct gateway_stats {
    int64_t active, streams, waiting; /* exchanges now: all, relaying, in line */
    uint64_t requests, served, refused, failed, client_gone, failovers;
    uint64_t shed, relieved; /* refused because of the load; ... though they had been let in */
    int64_t buffered;        /* bytes of request bodies held */
    struct usage tokens;     /* sums since start */
    int64_t cost_nano_usd;
};
void gateway_stats_get(const struct gateway *g, struct gateway_stats *out);
/* Sends a minimal question (GET /v1/models?limit=1) to one account outside of any exchange, for
 * `account test`. `done` gets the status (0 = none) and a static or copied reason. */
typedef void gateway_probe_fn(void *arg, enum err e, int status, const char *why, int64_t ms);
void gateway_probe(struct gateway *g, struct account *a, gateway_probe_fn *done, void *arg);

#endif
