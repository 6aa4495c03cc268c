#include "store/store.h"
#include "store/folder.h"
#include "store/inside.h"

#include <string.h>

/* ---- trouble: counted always, logged seldom ------------------------------------------------- */

bool err_is_trouble(enum err e)
{
    switch (e) {
    case ERR_BUSY:
    case ERR_FULL:
    case ERR_IO:
    case ERR_DENIED:
    case ERR_CORRUPT:
    case ERR_NOMEM:
        return true;
    default:
        return false;
    }
}

const char *engine_why(const struct store *s, enum err e)
{
    const char *why = s->ops->why(s->backend);
    return err_is_trouble(e) && why[0] != '\0' ? why : err_name(e);
}

void trouble_log(struct store *s, enum err e, const char *why)
{
    int64_t now = loop_now(s->loop);
    assert(e > OK && e < ERR_COUNT);
    if (s->logged_at[e] != 0 && now - s->logged_at[e] < LOG_EVERY_MS) {
        s->unlogged[e]++;
        return;
    }
    log_error("store trouble", LF_STR("error", err_name(e)), LF_STR("why", why),
              LF_INT("waiting", s->ring.count), LF_INT("unlogged", s->unlogged[e]));
    s->logged_at[e] = now;
    s->unlogged[e] = 0;
}

void store_note(struct store *s, enum err e, const char *why, bool wrote)
{
    if (e == OK) {
        if (wrote && s->stats.last_error != OK) {
            log_info("store writes again", LF_STR("after", err_name(s->stats.last_error)));
            s->stats.last_error = OK;
        }
        return;
    }
    if (!err_is_trouble(e))
        return;
    s->stats.failures++;
    s->stats.last_error = e;
    s->stats.last_error_at = loop_wall(s->loop);
    trouble_log(s, e, why);
    drain_watch(s);
}

void store_stats_get(const struct store *s, struct store_stats *out)
{
    *out = s->stats;
    out->queued = s->ring.count;
    out->stuck_ms = s->worker != NULL ? worker_stuck_ms(s->worker) : 0;
}

const uint8_t *store_pepper(const struct store *s)
{
    return vault_pepper(&s->keys.vault);
}

/* ---- pruning by the clock ------------------------------------------------------------------- */

void store_set_limits(struct store *s, int64_t max_age_ms, int64_t max_bytes)
{
    assert(max_age_ms >= 0 && max_bytes >= 0);
    s->max_age_ms = max_age_ms;
    s->max_bytes = max_bytes;
}

static void prune_fire(void *arg)
{
    struct store *s = arg;
    prune_start(s);
    drain_trim(s);
    timer_set(&s->prune_timer, loop_now(s->loop) + PRUNE_EVERY_MS);
}

/* ---- open ----------------------------------------------------------------------------------- */

enum err store_folder(const char *dir, char *why, size_t why_size)
{
    return folder_make(dir, why, why_size);
}

static enum err open_files(struct store *s, const struct store_options *o, char *db, char *why,
                           size_t why_size)
{
    const char *dir = o->dir;
    char path[FOLDER_PATH_MAX];
    enum err e = folder_make(dir, why, why_size);
    if (e != OK)
        return e;
    (void)text_format(path, sizeof path, "%s/sluice.lock", dir);
    e = folder_lock(path, s->shared, &s->lock_fd, why, why_size);
    if (e != OK)
        return e;
    (void)text_format(db, FOLDER_PATH_MAX, "%s/sluice.db", dir);
    e = keyring_open(&s->keys, &o->key, dir, folder_has_file(db), why, why_size);
    if (e == OK)
        e = folder_touch(db, why, why_size); /* 0600; SQLite gives its other files the same mode */
    return e;
}

static enum err open_engine(struct store *s, const char *db, char *why, size_t why_size)
{
    struct backend_options o = {.path = db,
                                .busy_ms = s->shared ? BUSY_SHARED_MS : BUSY_MS,
                                .objects_max = OBJECTS_MAX,
                                .shared = s->shared};
    enum err e = s->ops->open(&o, &s->backend, why, why_size);
    if (e != OK)
        return e;
    assert(s->backend != NULL);
    if (db != NULL)
        e = folder_sync_parent(db);
    if (e != OK)
        (void)text_format(why, why_size, "cannot make %s durable: the disk refuses", db);
    return e;
}

static void store_dispose(struct store *s)
{
    if (s->backend != NULL)
        s->ops->close(s->backend);
    keyring_close(&s->keys);
    if (s->lock_fd >= 0)
        folder_unlock(s->lock_fd);
    mem_free(s);
}

static void store_start(struct store *s, size_t ring)
{
    s->worker = worker_new(s->loop, "store");
    s->stats.db_bytes = s->ops->bytes(s->backend);
    list_init(&s->waiting);
    map_init(&s->used);
    drain_init(s, ring);
    watch_init(s);
    timer_init(&s->prune_timer, s->loop, prune_fire, s);
    timer_set(&s->prune_timer, loop_now(s->loop) + PRUNE_FIRST_MS);
}

enum err store_open(struct loop *l, const struct store_options *o, struct store **out, char *why,
                    size_t why_size)
{
    char db[FOLDER_PATH_MAX];
    struct store *s = NEW(struct store);
    enum err e = OK;
    assert(why_size > 0 && l != NULL);
    *out = NULL;
    why[0] = '\0';
    s->loop = l;
    s->ops = &backend_sqlite;
    s->lock_fd = -1;
    s->shared = o->shared;
    store_set_limits(s, o->records_max_age_ms, o->records_max_bytes);
    if (o->dir != NULL)
        e = open_files(s, o, db, why, why_size);
    else
        e = keyring_open(&s->keys, &o->key, NULL, false, why, why_size);
    if (e == OK)
        e = open_engine(s, o->dir != NULL ? db : NULL, why, why_size);
    if (e == OK)
        e = keyring_settle(s, true, why, why_size);
    if (e != OK) {
        assert(why[0] != '\0');
        store_dispose(s);
        return e;
    }
    store_start(s, o->ring != 0 ? o->ring : RING_DEFAULT);
    *out = s;
    return OK;
}

/* ---- close ---------------------------------------------------------------------------------- */

void store_close(struct store *s)
{
    struct slice key;
    size_t at = 0;
    void *value;
    assert(!s->closing);
    s->closing = true; /* from here on no `done` calls back, posts or arms anything */
    timer_stop(&s->drain.timer);
    timer_stop(&s->prune_timer);
    watch_close(s);
    worker_free(s->worker);
    s->worker = NULL;
    /* The thread has joined: the engine is ours, here. */
    s->ops->patience(s->backend, BUSY_CLOSING_MS);
    drain_close(s);
    verbs_close(s);
    drain_free(s);
    while (map_next(&s->used, &at, &key, &value))
        mem_free(value);
    map_free(&s->used);
    store_dispose(s);
}
