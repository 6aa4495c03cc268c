/* vault: the master key, and what is sealed under it.
 *
 * The master key leaves vault.c only into its file, and as keys derived from it (HKDF-SHA-256): one
 * per sealed value, one for the digests of gateway keys, and a short fingerprint. A sealed value is
 * text,
 *
 *     v1.<fingerprint of the master key, 8 hex digits>.<base64url of nonce | ciphertext | tag>
 *
 * and is bound to its table, row and column twice: by the key it is sealed with and by the data
 * that is authenticated with it. Copied into another row it does not open. */
#ifndef SLUICE_STORE_VAULT_H
#define SLUICE_STORE_VAULT_H

#include "base/base.h"

#define VAULT_KID_MAX    9                    /* 8 hex digits and NUL */
#define VAULT_SEALED_MAX (32 * 1024)          /* of the text form */
#define VAULT_FILE_BYTES (2 * CRYPTO_KEY + 1) /* hex and a newline */

struct vault_locked; /* the key and the pepper, in memory that is neither swapped nor dumped */
struct vault {
    struct vault_locked *in; /* NULL: no key */
    char kid[VAULT_KID_MAX];
};

/* Which value: static words, the number of its row, and for one that is replaced over and over its
 * generation (0 = has none): an old copy put back does not open either. */
struct vault_place {
    const char *table, *column;
    int64_t row, generation;
};

/* Where a key file comes from decides how closely it is looked at. */
enum vault_file {
    VAULT_OWN,   /* made when it is not there */
    VAULT_NAMED, /* must be there */
    VAULT_LENT   /* must be there, in a folder that a service manager keeps for us: its group may
                    read it, for that is how an access list shows */
};
/* Reads `path`, or makes it. ERR_DENIED: others than the owner can reach it; ERR_SYNTAX: not a key
 * file; ERR_NOTFOUND, ERR_IO. `why` gets a sentence. `v` is
 * zero, and stays so unless the answer is OK. */
MUST_USE enum err vault_open(struct vault *v, const char *path, enum vault_file kind, char *why,
                             size_t why_size);
/* From text: 64 hex digits, and a newline if need be. `name` is for the sentence. ERR_SYNTAX. */
MUST_USE enum err vault_open_text(struct vault *v, struct slice text, const char *name, char *why,
                                  size_t why_size);
/* A new key at random, into one that is zero. */
void vault_draw(struct vault *v);
/* Writes its key file, whole and durable when it answers OK. */
MUST_USE enum err vault_save(const struct vault *v, const char *path, char *why, size_t why_size);
/* A fixed key that protects nothing: for stores that live in memory. */
void vault_open_test(struct vault *v);
void vault_wipe(struct vault *v); /* also of one that was never opened but is zero */
/* The key of `from`, which is empty afterwards, in place of that of `v`, if it has one: then its
 * pepper stays, and stays where it is. */
void vault_move(struct vault *v, struct vault *from);

/* For the digests of gateway keys. Derived from the first master key there was, and kept sealed
 * since: it outlives the key. Valid until vault_wipe, at an address that stays. */
const uint8_t *vault_pepper(const struct vault *v);
void vault_set_pepper(struct vault *v, const uint8_t pepper[CRYPTO_SHA256]);

/* The fingerprint a sealed text names; false: it is no sealed text. */
bool vault_kid_of(struct slice sealed, char kid[VAULT_KID_MAX]);

/* Any thread. ERR_LIMIT, ERR_NOMEM. */
MUST_USE enum err vault_seal(const struct vault *v, const struct vault_place *at,
                             struct slice clear, struct buf *out);
/* Any thread. Into an empty buffer, which never leaves an unwiped copy behind. ERR_CORRUPT: another
 * master key, another place or changed bytes; ERR_LIMIT, ERR_NOMEM. */
MUST_USE enum err vault_unseal(const struct vault *v, const struct vault_place *at,
                               struct slice sealed, struct buf *out);

#endif
