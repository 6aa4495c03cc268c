/* The rooms up to the gateway, put together and taken apart. */
#include "app.h"

#include <string.h>

static void house_loaded(struct house *h, enum err e)
{
    if (e != OK && h->failed == OK)
        h->failed = e;
    assert(h->loading > 0);
    if (--h->loading == 0)
        h->ready(h->arg, h->failed);
}

static void on_accounts(void *arg, enum err e)
{
    house_loaded(arg, e);
}

static void on_keys(void *arg, enum err e, const struct key_row *rows, size_t n)
{
    struct house *h = arg;
    for (size_t i = 0; e == OK && i < n; i++)
        keys_put(h->keys, &rows[i]);
    house_loaded(h, e);
}

#define FD_RESERVE 32   /* files, listeners, the admin's clients; see app.h */
#define IDLE_MAX   1024 /* idle upstreams */

static int64_t share_of(int64_t fifths)
{
    int64_t share = (net_fd_limit() - FD_RESERVE) / 5 * fifths;
    return share > 4 ? share : 4;
}

int64_t house_client_share(void)
{
    return share_of(2);
}

static enum err house_client(struct house *h, char *why, size_t why_size)
{
    const struct config *c = h->config;
    const char *reason = "";
    enum err e = tls_client_new(c->ca_file, c->ca_env, &h->tls, &reason);
    if (e != OK) {
        text_format(why, why_size,
                    "no trusted root certificates: %s. Install the system's CA bundle (the package "
                    "ca-certificates) or name one with ca_file.",
                    reason);
        return e;
    }
    int64_t idle = share_of(1);
    struct http_client_limits limits = {.connect_ms = c->connect_timeout,
                                        .idle_ms = 55000,
                                        .max_idle = idle < IDLE_MAX ? (int32_t)idle : IDLE_MAX};
    h->client = http_client_new(h->loop, &limits, h->tls);
    return OK;
}

/* ---- another process on the same folder ------------------------------------------------------ */

#define RESYNC_MS 1000

static void house_sync(struct house *h);

static void sync_over(struct house *h, enum err e)
{
    h->syncing = false;
    gateway_accounts_changed(h->gateway);
    if (e != OK)
        timer_set(&h->resync, loop_now(h->loop) + RESYNC_MS);
    else if (h->sync_again)
        house_sync(h);
}

/* Revoked keys keep their rows: none is ever missing. */
static void on_keys_again(void *arg, enum err e, const struct key_row *rows, size_t n)
{
    struct house *h = arg;
    for (size_t i = 0; e == OK && i < n; i++)
        keys_put(h->keys, &rows[i]);
    sync_over(h, e);
}

static void on_accounts_again(void *arg, enum err e)
{
    struct house *h = arg;
    if (e != OK)
        sync_over(h, e);
    else
        store_keys_load(h->store, on_keys_again, h);
}

static void house_sync(struct house *h)
{
    h->sync_again = h->syncing;
    if (h->syncing)
        return;
    h->syncing = true;
    timer_stop(&h->resync);
    accounts_sync(h->accounts, on_accounts_again, h);
}

static void on_resync(void *arg)
{
    house_sync(arg);
}

static void on_news(void *arg)
{
    house_sync(arg);
}

void house_watch(struct house *h)
{
    assert(h->loading == 0 && !h->watching);
    h->watching = true;
    timer_init(&h->resync, h->loop, on_resync, h);
    store_watch(h->store, on_news, h);
}

/* ---- up and down ----------------------------------------------------------------------------- */

enum err house_start(struct house *h, struct loop *l, const struct config *c, enum house_store kind,
                     const struct store_key *key, void (*ready)(void *arg, enum err e), void *arg,
                     char *why, size_t why_size)
{
    bool memory = kind == HOUSE_MEMORY;
    *h = (struct house){.loop = l, .config = c, .ready = ready, .arg = arg, .loading = 2};
    struct store_options o = {.dir = memory ? NULL : c->state_dir,
                              .records_max_age_ms = c->request_log_max_age,
                              .records_max_bytes = c->request_log_max_size,
                              .ring = memory ? 256 : 0,
                              .shared = kind == HOUSE_SHARED};
    if (key != NULL)
        o.key = *key;
    enum err e = store_open(l, &o, &h->store, why, why_size);
    if (e != OK)
        return e;
    e = house_client(h, why, why_size);
    if (e != OK) {
        store_close(h->store);
        h->store = NULL;
        return e;
    }
    h->keys = keys_new(store_pepper(h->store));
    h->accounts = accounts_new(l, h->store, on_accounts, h);
    accounts_set_env(h->accounts, config_env);
    struct gateway_parts parts = {.loop = l,
                                  .store = h->store,
                                  .accounts = h->accounts,
                                  .keys = h->keys,
                                  .client = h->client,
                                  .config = c};
    h->gateway = gateway_new(&parts);
    store_keys_load(h->store, on_keys, h);
    return OK;
}

void house_set_config(struct house *h, const struct config *c)
{
    h->config = c;
    gateway_set_config(h->gateway, c);
    store_set_limits(h->store, c->request_log_max_age, c->request_log_max_size);
}

void house_stop(struct house *h)
{
    if (h->watching)
        timer_stop(&h->resync);
    accounts_set_client(h->accounts, NULL); /* an answer that waits for the disk is handed over */
    store_close(h->store);                  /* first: from here on it tells nobody anything */
    gateway_free(h->gateway);
    http_client_free(h->client);
    accounts_free(h->accounts);
    keys_free(h->keys);
    tls_client_free(h->tls);
    memset(h, 0, sizeof *h);
}
