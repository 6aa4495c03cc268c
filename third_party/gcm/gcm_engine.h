/* The functions of Intel's ipsec-mb that are used, one row for each kind of CPU. Private. */
#ifndef SLUICE_GCM_ENGINE_H
#define SLUICE_GCM_ENGINE_H

#include <stddef.h>
#include <stdint.h>

/* Layouts of the library: round keys, then powers of the hash key; and what one call needs. */
#define GCM_ROUND_KEYS (16 * 15)
#define GCM_SCRATCH    128
#define GCM_ALIGN      64

typedef void gcm_crypt_fn(const void *keys, void *scratch, uint8_t *out, const uint8_t *in,
                          uint64_t n, const uint8_t *iv, const uint8_t *add, uint64_t add_n,
                          uint8_t *tag, uint64_t tag_n);
/* Fills in the powers of the hash key behind the round keys. */
typedef void gcm_powers_fn(void *keys);
typedef void gcm_round_keys_fn(const void *key, void *round_keys);

struct gcm_width { /* of a key */
    gcm_round_keys_fn *round_keys;
    gcm_powers_fn *powers;
    gcm_crypt_fn *encrypt, *decrypt;
};

struct gcm_engine {
    const char *name;
    size_t keys_size;
    struct gcm_width aes128, aes256;
};

/* Those this machine can run, best first; NULL past the end. */
const struct gcm_engine *gcm_engine_at(int i);

#endif
