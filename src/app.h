/* app: the composition root. Starts the rooms upward, stops them downward; owns the loop, the
 * config snapshot, the store, the accounts, the HTTP client, the servers and the admin. */
#ifndef SLUICE_APP_H
#define SLUICE_APP_H

#include "admin/admin.h"

/* The rooms up to the gateway, put together: the daemon, the offline CLI and tests/flow all live in
 * one. */
struct house {
    struct loop *loop;
    const struct config *config;
    struct store *store;
    struct tls_client *tls;
    struct http_client *client;
    struct key_set *keys;
    struct account_set *accounts;
    struct gateway *gateway;
    void (*ready)(void *arg, enum err e); /* accounts and keys are loaded */
    void *arg;
    int loading;
    enum err failed;
    struct timer resync; /* what another process has written could not be read: tried again */
    bool watching, syncing, sync_again;
};
enum house_store {
    HOUSE_MEMORY, /* without files, for tests */
    HOUSE_ALONE,
    HOUSE_SHARED, /* other processes may have the folder, too */
};
/* On an error everything is undone and `why` says what to do. OK: `ready` comes once, in a later
 * turn. `key`: a master key from elsewhere than the folder; NULL: from there. */
MUST_USE enum err house_start(struct house *h, struct loop *l, const struct config *c,
                              enum house_store kind, const struct store_key *key,
                              void (*ready)(void *arg, enum err e), void *arg, char *why,
                              size_t why_size);
/* Once ready, of a shared one: what another process changes of accounts, groups, tokens and keys is
 * known here a second later. */
void house_watch(struct house *h);
void house_set_config(struct house *h, const struct config *c);
/* How many descriptors clients may have at most. The rest is for as many upstreams, half as many
 * idle ones, and a reserve for files and listeners. */
int64_t house_client_share(void);
/* Servers that lead here must be freed before. */
void house_stop(struct house *h);

/* Hooks for cli_main. */
extern const struct cli_hooks APP_HOOKS;

#endif
