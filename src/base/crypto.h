/* The few primitives the house needs; the algorithms are mbedTLS's.
 *
 * Call crypto_init() once before anything else, on the main thread. All other functions may be
 * called from any thread. Failures of the primitives themselves (no entropy) end the process. */
#ifndef SLUICE_BASE_CRYPTO_H
#define SLUICE_BASE_CRYPTO_H

#include "base/mem.h"

#define CRYPTO_SHA256 32
#define CRYPTO_KEY    32 /* AES-256 */
#define CRYPTO_NONCE  12 /* 96-bit random nonce, new for every seal */
#define CRYPTO_TAG    16

void crypto_init(void);
void crypto_random(void *p, size_t n);
void crypto_sha256(uint8_t out[CRYPTO_SHA256], struct slice data);
void crypto_hmac_sha256(uint8_t out[CRYPTO_SHA256], const void *key, size_t key_len,
                        struct slice data);
/* HKDF-SHA-256 (RFC 5869), extract and expand; n <= 255 * 32. */
void crypto_hkdf(void *out, size_t n, const void *key, size_t key_len, struct slice salt,
                 struct slice info);

/* AES-256-GCM. Sealed form: nonce(12) | ciphertext | tag(16). `aad` is bound, not stored. */
MUST_USE enum err crypto_seal(struct buf *out, const uint8_t key[CRYPTO_KEY], struct slice aad,
                              struct slice plain);
/* ERR_CORRUPT when the tag does not fit: wrong key, changed bytes or another row's aad. */
MUST_USE enum err crypto_open(struct buf *out, const uint8_t key[CRYPTO_KEY], struct slice aad,
                              struct slice sealed);

/* RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 section 8.2) over `data`, appended to `out` raw. `pem`
 * is a private key, PKCS#8 or PKCS#1, not encrypted; it is parsed for the call and wiped behind it.
 * ERR_SYNTAX: no such key, or not RSA; ERR_RANGE: fewer than 2048 bits, or more than 8192;
 * ERR_CORRUPT: its parts do not fit each other. Blocks for some 5 ms (2048 bits): on a worker. */
#define CRYPTO_RSA_MAX 1024 /* bytes of a signature */
#define CRYPTO_PEM_MAX 16384
MUST_USE enum err crypto_rsa_sign(struct buf *out, struct slice pem, struct slice data);
/* Whether such a signature could be made, without making one. */
MUST_USE enum err crypto_rsa_check(struct slice pem);

bool crypto_equal(const void *a, const void *b, size_t n); /* constant time */
void crypto_wipe(void *p, size_t n);                       /* never optimised away */
void buf_wipe(struct buf *b);                              /* crypto_wipe, then buf_free */
uint32_t crypto_crc32(struct slice data);                  /* IEEE 802.3, as in zip */
/* SipHash-2-4 under a key drawn at crypto_init (a fixed one before it). */
uint64_t crypto_siphash(struct slice data);
/* Of 128 bits: two of 64 would cost twice as much. */
void crypto_siphash128(struct slice data, uint64_t out[2]);

#endif
