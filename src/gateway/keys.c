/* Gateway keys: made once, shown once, kept as a keyed digest. */
#include "gateway/gateway.h"

#include <string.h>

#define KEY_PREFIX "slc_"
#define KEY_ID     8
#define KEY_SECRET 43
#define KEY_CHECK  6
#define KEY_LEN    (4 + KEY_ID + 1 + KEY_SECRET + KEY_CHECK)

static const char BASE62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

#define KEYS_LATELY 256

struct client_key {
    struct key_row row;
    /* A keyed hash of the text that was last found right, to know it again by: 128 bits nobody
     * outside can compute, for a fiftieth of the digest's price. Zeros: none yet. */
    uint64_t seen[2];
};

struct key_set {
    struct map by_id; /* of struct client_key */
    const uint8_t *pepper;
    struct client_key *lately[KEYS_LATELY]; /* found right, by the first number of `seen` */
    struct key_row nobody; /* compared with when the id is unknown, so that time tells nothing */
};

struct key_set *keys_new(const uint8_t *pepper)
{
    struct key_set *k = NEW(struct key_set);
    map_init(&k->by_id);
    k->pepper = pepper;
    return k;
}

void keys_free(struct key_set *k)
{
    size_t at = 0;
    void *row;
    while (map_next(&k->by_id, &at, NULL, &row))
        mem_free(row);
    map_free(&k->by_id);
    mem_free(k);
}

void keys_put(struct key_set *k, const struct key_row *row)
{
    struct client_key *mine = map_get(&k->by_id, slice_of(row->id));
    if (mine == NULL) {
        mine = NEW(struct client_key);
        void *old = map_put(&k->by_id, slice_of(row->id), mine);
        assert(old == NULL);
    }
    *mine = (struct client_key){.row = *row};
}

bool keys_next(const struct key_set *k, size_t *at, const struct key_row **row)
{
    void *v;
    if (!map_next(&k->by_id, at, NULL, &v))
        return false;
    *row = &((struct client_key *)v)->row;
    return true;
}

int keys_count(const struct key_set *k)
{
    return (int)k->by_id.live;
}

const struct key_row *keys_by_name(const struct key_set *k, struct slice name)
{
    size_t at = 0;
    const struct key_row *row, *revoked = NULL;
    while (keys_next(k, &at, &row)) {
        if (!slice_eq(slice_of(row->name), name))
            continue;
        if (row->revoked_at == 0)
            return row;
        revoked = row;
    }
    return revoked;
}

/* n characters of base62 without bias: bytes of 248 and more are thrown away. */
static void base62_random(char *out, size_t n)
{
    uint8_t pool[64];
    size_t at = sizeof pool;
    for (size_t i = 0; i < n;) {
        if (at == sizeof pool) {
            crypto_random(pool, sizeof pool);
            at = 0;
        }
        uint8_t b = pool[at++];
        if (b < 248)
            out[i++] = BASE62[b % 62];
    }
    crypto_wipe(pool, sizeof pool);
}

static void key_checksum(const char *text, size_t n, char out[KEY_CHECK])
{
    uint32_t c = crypto_crc32((struct slice){text, n});
    for (int i = KEY_CHECK - 1; i >= 0; i--) {
        out[i] = BASE62[c % 62];
        c /= 62;
    }
}

static void key_digest(const struct key_set *k, struct slice text, uint8_t out[CRYPTO_SHA256])
{
    crypto_hmac_sha256(out, k->pepper, 32, text);
}

void keys_generate(const struct key_set *k, struct slice name, int64_t now, char text[KEY_TEXT_MAX],
                   struct key_row *row)
{
    static_assert(KEY_LEN < KEY_TEXT_MAX, "a key fits");
    memset(row, 0, sizeof *row);
    memcpy(text, KEY_PREFIX, 4);
    do
        base62_random(text + 4, KEY_ID);
    while (map_get(&k->by_id, (struct slice){text + 4, KEY_ID}) != NULL);
    text[4 + KEY_ID] = '_';
    base62_random(text + 5 + KEY_ID, KEY_SECRET);
    key_checksum(text, KEY_LEN - KEY_CHECK, text + KEY_LEN - KEY_CHECK);
    text[KEY_LEN] = '\0';
    memcpy(row->id, text + 4, KEY_ID);
    text_copy(row->name, sizeof row->name, name);
    row->created_at = now;
    key_digest(k, (struct slice){text, KEY_LEN}, row->digest);
}

/* Both numbers are always looked at, so that time tells nothing. */
static bool is_seen(const struct client_key *c, const uint64_t seen[2])
{
    return ((c->seen[0] ^ seen[0]) | (c->seen[1] ^ seen[1])) == 0;
}

struct key_row *keys_check(struct key_set *k, struct slice presented)
{
    char check[KEY_CHECK];
    if (presented.n != KEY_LEN || !slice_starts(presented, S(KEY_PREFIX)))
        return NULL; /* tells no secret: the form is public */
    uint64_t seen[2];
    crypto_siphash128(presented, seen);
    struct client_key **place = &k->lately[seen[0] % KEYS_LATELY], *c = *place;
    if (c != NULL && c->row.revoked_at == 0 && is_seen(c, seen))
        return &c->row;
    key_checksum(presented.p, KEY_LEN - KEY_CHECK, check);
    if (memcmp(check, presented.p + KEY_LEN - KEY_CHECK, KEY_CHECK) != 0)
        return NULL;
    c = map_get(&k->by_id, (struct slice){presented.p + 4, KEY_ID});
    bool known = c != NULL && c->row.revoked_at == 0;
    uint8_t digest[CRYPTO_SHA256];
    key_digest(k, presented, digest);
    bool same = crypto_equal(digest, (known ? &c->row : &k->nobody)->digest, sizeof digest);
    if (!known || !same)
        return NULL;
    memcpy(c->seen, seen, sizeof seen);
    *place = c;
    return &c->row;
}
