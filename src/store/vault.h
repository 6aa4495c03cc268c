/* vault: the master key, and what is sealed under it.
 *
 * The master key never leaves this file but as keys derived from it (HKDF-SHA-256): one per sealed
 * value, one for the digests of gateway keys, and a short fingerprint. A sealed value is text,
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

struct vault {
    uint8_t key[CRYPTO_KEY];
    uint8_t pepper[CRYPTO_SHA256];
    char kid[VAULT_KID_MAX];
};

/* Which value: static words, the number of its row, and for one that is replaced over and over its
 * generation (0 = has none): an old copy put back does not open either. */
struct vault_place {
    const char *table, *column;
    int64_t row, generation;
};

/* Reads `path`; makes it when it is not there and `may_create`. ERR_DENIED: others than the owner
 * can reach it; ERR_SYNTAX: not a key file; ERR_NOTFOUND, ERR_IO. `why` gets a sentence. */
MUST_USE enum err vault_open(struct vault *v, const char *path, bool may_create, char *why,
                             size_t why_size);
/* A fixed key that protects nothing: for stores that live in memory. */
void vault_open_test(struct vault *v);
void vault_wipe(struct vault *v);

/* Any thread. ERR_LIMIT, ERR_NOMEM. */
MUST_USE enum err vault_seal(const struct vault *v, const struct vault_place *at,
                             struct slice clear, struct buf *out);
/* Any thread. Into an empty buffer, which never leaves an unwiped copy behind. ERR_CORRUPT: another
 * master key, another place or changed bytes; ERR_LIMIT, ERR_NOMEM. */
MUST_USE enum err vault_unseal(const struct vault *v, const struct vault_place *at,
                               struct slice sealed, struct buf *out);

#endif
