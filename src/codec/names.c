/* Tool names that a dialect cannot write, and what stands for them. */
#include "codec/dialect.h"

#include <string.h>

#define HASH_DIGITS  10
#define NAME_MAX_LEN 129 /* no dialect writes longer names */

struct name {
    char *original; /* ours */
    size_t original_len, written_len;
    char written[NAME_MAX_LEN];
};
struct names {
    struct map by_written; /* values: struct name *, ours */
};

struct names *names_new(void)
{
    struct names *n = NEW(struct names);
    map_init(&n->by_written);
    return n;
}

static void name_free(struct name *one)
{
    mem_free(one->original);
    mem_free(one);
}

void names_free(struct names *n)
{
    struct slice key;
    void *value;
    if (n == NULL)
        return;
    for (size_t at = 0; map_next(&n->by_written, &at, &key, &value);)
        name_free(value);
    map_free(&n->by_written);
    mem_free(n);
}

struct names *codec_names_new(void)
{
    return names_new();
}

void codec_names_free(struct names *n)
{
    names_free(n);
}

static bool is_legal(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

static bool name_fits(struct slice name, size_t max)
{
    if (name.n == 0 || name.n > max)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        if (!is_legal(name.p[i]))
            return false;
    }
    return true;
}

/* What stands for `name`, into `out`; stable, for the provider's prompt cache must meet the same
 * name in the next turn. */
static size_t name_shorten(struct slice name, size_t max, char out[NAME_MAX_LEN])
{
    uint8_t hash_bytes[HASH_DIGITS / 2];
    char digits[HASH_DIGITS + 1];
    uint64_t hash = hash_stable(3, name);
    size_t len = 0;
    for (size_t i = 0; i < name.n && len < max - HASH_DIGITS - 1; i++)
        out[len++] = is_legal(name.p[i]) ? name.p[i] : '_';
    for (size_t i = 0; i < sizeof hash_bytes; i++)
        hash_bytes[i] = (uint8_t)(hash >> (8 * i));
    text_hex(digits, hash_bytes, sizeof hash_bytes);
    len += text_format(out + len, NAME_MAX_LEN - len, "_%s", digits);
    assert(len <= max && len > HASH_DIGITS);
    return len;
}

struct slice names_put(struct names *n, struct slice name, size_t max)
{
    char room[NAME_MAX_LEN];
    assert(n != NULL && max > HASH_DIGITS + 1 && max < NAME_MAX_LEN);
    if (name_fits(name, max))
        return name;
    struct slice written = {room, name_shorten(name, max, room)};
    struct name *kept = map_get(&n->by_written, written);
    if (kept == NULL) {
        kept = NEW(struct name);
        kept->original = mem_slicedup(name);
        kept->original_len = name.n;
        memcpy(kept->written, room, written.n);
        kept->written_len = written.n;
        void *before = map_put(&n->by_written, written, kept);
        assert(before == NULL);
        (void)before;
    }
    return (struct slice){kept->written, kept->written_len};
}

struct slice names_back(const struct names *n, struct slice written)
{
    const struct name *kept = n != NULL && written.n > 0 ? map_get(&n->by_written, written) : NULL;
    return kept != NULL ? (struct slice){kept->original, kept->original_len} : written;
}
