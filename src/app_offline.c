/* The store opened for a CLI without a daemon, and a backup put back. */
#include "app_offline.h"

#include "app_guard.h"
#include "app_key.h"

struct offline {
    struct house house;
    struct loop *loop;
    bool ready;
    enum err failed;
};
static struct offline offline; /* one at most in a process: the CLI's */

static void on_offline_ready(void *arg, enum err e)
{
    struct offline *o = arg;
    o->ready = true;
    o->failed = e;
    loop_stop(o->loop);
}

static void offline_undo(void)
{
    house_stop(&offline.house);
    loop_run(offline.loop);
    loop_free(offline.loop);
    offline = (struct offline){0};
    app_unguard();
}

enum err app_offline_open(const struct config *c, struct admin **out, char *why, size_t size)
{
    static struct app_key key; /* taken once, however often the folder is busy */
    static bool have;
    enum err e = OK;
    app_guard(c->allow_core_dumps);
    if (!have)
        e = app_key_get(&key, c, why, size);
    if (e != OK)
        return e;
    have = true;
    offline = (struct offline){.loop = loop_new()};
    e = house_start(&offline.house, offline.loop, c, HOUSE_ALONE, &key.key, on_offline_ready,
                    &offline, why, size);
    if (e != ERR_BUSY) {
        app_key_wipe(&key);
        have = false;
    }
    if (e != OK) {
        loop_run(offline.loop);
        loop_free(offline.loop);
        app_unguard();
        return e;
    }
    while (!offline.ready)
        loop_run(offline.loop);
    if (offline.failed != OK) {
        e = offline.failed;
        text_format(why, size, "cannot read the store: %s", err_name(e));
        offline_undo();
        return e;
    }
    struct admin_parts parts = {.loop = offline.loop,
                                .store = offline.house.store,
                                .accounts = offline.house.accounts,
                                .keys = offline.house.keys,
                                .gateway = offline.house.gateway,
                                .client = offline.house.client,
                                .config = c,
                                .started_at = loop_wall(offline.loop)};
    *out = admin_new(&parts);
    return OK;
}

void app_offline_close(struct admin *a)
{
    admin_free(a);
    offline_undo();
}

enum err app_restore(const struct config *c, const char *file, bool replace, struct store_copy *out)
{
    struct app_key key;
    *out = (struct store_copy){0};
    app_guard(c->allow_core_dumps);
    enum err e = app_key_get(&key, c, out->why, sizeof out->why);
    if (e == OK) {
        struct store_options o = {.dir = c->state_dir, .key = key.key};
        e = store_restore(&o, file, replace, out);
        app_key_wipe(&key);
    }
    app_unguard();
    return e;
}
