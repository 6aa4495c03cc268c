/* Maps: open addressing, linear probing, tombstones.
 *
 * A slot without a key is free (hash 0) or was given up (hash 1): a search goes on past the latter.
 * `used` counts both taken and given-up slots, and at most three quarters are used, so every search
 * meets a free slot. Nothing moves on a deletion: a walk may delete what it stands on. */
#include "base/base.h"

#include <string.h>

#define MAP_FIRST 16 /* slots; always a power of two */
#define MAP_GONE  1  /* the hash of a slot that was given up */

void map_init(struct map *m)
{
    assert(m != NULL);
    *m = (struct map){0};
}

static void map_check(const struct map *m)
{
    assert(m != NULL);
    assert(m->live <= m->used);
    assert(m->used <= m->cap);
    assert((m->cap & (m->cap - 1)) == 0 || m->cap == 0);
}

void map_free(struct map *m)
{
    map_check(m);
    for (size_t i = 0; i < m->cap; i++)
        mem_free(m->slot[i].key);
    mem_free(m->slot);
    map_init(m);
}

/* The slot that holds `key`, or NULL. */
static struct map_entry *map_find(const struct map *m, struct slice key, uint64_t hash)
{
    map_check(m);
    if (m->cap == 0)
        return NULL;
    for (size_t i = (size_t)hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        struct map_entry *e = &m->slot[i];
        if (e->key == NULL && e->hash != MAP_GONE)
            return NULL;
        if (e->key != NULL && e->hash == hash && slice_eq((struct slice){e->key, e->key_len}, key))
            return e;
    }
}

/* The first slot on the key's way that is free or was given up; there always is one. */
static struct map_entry *map_gap(const struct map *m, uint64_t hash)
{
    size_t i = (size_t)hash & (m->cap - 1);

    assert(m->live < m->cap);
    while (m->slot[i].key != NULL)
        i = (i + 1) & (m->cap - 1);
    return &m->slot[i];
}

/* Makes sure that one more slot may be used: doubles, or only sweeps the tombstones out. */
static void map_make_room(struct map *m)
{
    struct map old = *m;

    if (m->used + 1 <= m->cap / 4 * 3)
        return;
    m->cap = old.live >= old.cap / 2 ? old.cap * 2 : old.cap;
    m->cap = m->cap < MAP_FIRST ? MAP_FIRST : m->cap;
    assert(m->cap <= PTRDIFF_MAX / sizeof(struct map_entry));
    m->slot = mem_new(m->cap * sizeof(struct map_entry));
    m->used = old.live;
    for (size_t i = 0; i < old.cap; i++)
        if (old.slot[i].key != NULL)
            *map_gap(m, old.slot[i].hash) = old.slot[i];
    mem_free(old.slot);
    assert(m->used + 1 <= m->cap / 4 * 3);
}

void *map_get(const struct map *m, struct slice key)
{
    struct map_entry *e = map_find(m, key, crypto_siphash(key));

    return e != NULL ? e->value : NULL;
}

void *map_put(struct map *m, struct slice key, void *value)
{
    uint64_t hash = crypto_siphash(key);
    struct map_entry *e = map_find(m, key, hash);

    assert(value != NULL); /* it could not be told from "absent" */
    if (e != NULL) {
        void *old = e->value;
        e->value = value;
        return old;
    }
    map_make_room(m);
    e = map_gap(m, hash);
    m->used += e->hash != MAP_GONE;
    m->live++;
    *e = (struct map_entry){mem_slicedup(key), key.n, value, hash};
    map_check(m);
    return NULL;
}

void *map_del(struct map *m, struct slice key)
{
    struct map_entry *e = map_find(m, key, crypto_siphash(key));

    if (e == NULL)
        return NULL;
    void *old = e->value;
    /* `key` may point into the entry, so it dies last. */
    mem_free(e->key);
    *e = (struct map_entry){.hash = MAP_GONE};
    m->live--;
    map_check(m);
    return old;
}

bool map_next(const struct map *m, size_t *at, struct slice *key, void **value)
{
    map_check(m);
    assert(at != NULL);
    while (*at < m->cap && m->slot[*at].key == NULL)
        ++*at;
    if (*at >= m->cap)
        return false;
    const struct map_entry *e = &m->slot[(*at)++];

    if (key != NULL)
        *key = (struct slice){e->key, e->key_len};
    if (value != NULL)
        *value = e->value;
    return true;
}
