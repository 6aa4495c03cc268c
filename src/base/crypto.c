/* Thin over mbedTLS. What can only fail for want of entropy or memory ends the process: a gateway
 * that goes on without randomness or with an unkeyed hash is worse than none. */
#include "base/base.h"

#include <mbedtls/constant_time.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/gcm.h>
#include <mbedtls/hkdf.h>
#include <mbedtls/md.h>
#include <mbedtls/pk.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One generator for the house, behind our own lock: whether mbedTLS was built with threads is not
 * ours to know. */
static struct {
    pthread_mutex_t lock;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context drbg;
    bool ready;
    /* Drawn ahead for those who want a few bytes: each draw costs a thousand instructions, and each
     * request's name wants ten bytes. What is given out is wiped. */
    unsigned char pool[512];
    size_t left; /* at the end of the pool */
} rng = {.lock = PTHREAD_MUTEX_INITIALIZER};

#define POOL_TAKE 16 /* at most so many bytes come from the pool */

/* Bytes 0..15 until crypto_init: SipHash's own test vectors are made with this key. */
static uint64_t sip_key[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};

static _Noreturn void crypto_die(const char *what, int code)
{
    fprintf(stderr, "sluice: %s failed (mbedTLS error -0x%04x)\n", what, (unsigned)-code);
    abort();
}

static void must(const char *what, int code)
{
    if (code != 0)
        crypto_die(what, code);
}

void crypto_init(void)
{
    static const unsigned char personal[] = "sluice";

    /* A second call must not change the key under maps that exist. */
    if (rng.ready)
        return;
    mbedtls_entropy_init(&rng.entropy);
    mbedtls_ctr_drbg_init(&rng.drbg);
    must("seeding the random generator",
         mbedtls_ctr_drbg_seed(&rng.drbg, mbedtls_entropy_func, &rng.entropy, personal,
                               sizeof(personal) - 1));
    rng.ready = true;
    crypto_random(sip_key, sizeof(sip_key));
}

static int pool_take(unsigned char *to, size_t n)
{
    int code = 0;

    if (rng.left < n) {
        code = mbedtls_ctr_drbg_random(&rng.drbg, rng.pool, sizeof rng.pool);
        rng.left = sizeof rng.pool;
    }
    unsigned char *from = rng.pool + sizeof rng.pool - rng.left;

    assert(n <= POOL_TAKE && n <= rng.left);
    memcpy(to, from, n);
    mbedtls_platform_zeroize(from, n);
    rng.left -= n;
    return code;
}

void crypto_random(void *p, size_t n)
{
    unsigned char *to = p;
    int code = 0;

    assert(rng.ready); /* crypto_init comes first */
    assert(p != NULL || n == 0);
    pthread_mutex_lock(&rng.lock);
    if (n > 0 && n <= POOL_TAKE) {
        code = pool_take(to, n);
        n = 0;
    }
    while (n > 0 && code == 0) {
        size_t part = n < MBEDTLS_CTR_DRBG_MAX_REQUEST ? n : MBEDTLS_CTR_DRBG_MAX_REQUEST;
        code = mbedtls_ctr_drbg_random(&rng.drbg, to, part);
        to += part;
        n -= part;
    }
    pthread_mutex_unlock(&rng.lock);
    must("the random generator", code);
}

static const unsigned char *bytes(struct slice s)
{
    assert(s.p != NULL || s.n == 0);
    return (const unsigned char *)(s.p != NULL ? s.p : "");
}

void crypto_sha256(uint8_t out[CRYPTO_SHA256], struct slice data)
{
    must("SHA-256", mbedtls_sha256(bytes(data), data.n, out, 0));
}

static const mbedtls_md_info_t *sha256_info(void)
{
    const mbedtls_md_info_t *info = mbedtls_md_info_from_type(MBEDTLS_MD_SHA256);

    assert(info != NULL); /* built without SHA-256 */
    return info;
}

void crypto_hmac_sha256(uint8_t out[CRYPTO_SHA256], const void *key, size_t key_len,
                        struct slice data)
{
    assert(key != NULL || key_len == 0);
    must("HMAC", mbedtls_md_hmac(sha256_info(), bytes((struct slice){key, key_len}), key_len,
                                 bytes(data), data.n, out));
}

void crypto_hkdf(void *out, size_t n, const void *key, size_t key_len, struct slice salt,
                 struct slice info)
{
    assert(n <= 255 * CRYPTO_SHA256);
    assert(out != NULL && (key != NULL || key_len == 0));
    must("HKDF",
         mbedtls_hkdf(sha256_info(), bytes(salt), salt.n, bytes((struct slice){key, key_len}),
                      key_len, bytes(info), info.n, out, n));
}

static void gcm_start(mbedtls_gcm_context *gcm, const uint8_t key[CRYPTO_KEY])
{
    mbedtls_gcm_init(gcm);
    must("AES-GCM key", mbedtls_gcm_setkey(gcm, MBEDTLS_CIPHER_ID_AES, key, CRYPTO_KEY * 8));
}

enum err crypto_seal(struct buf *out, const uint8_t key[CRYPTO_KEY], struct slice aad,
                     struct slice plain)
{
    mbedtls_gcm_context gcm;
    enum err e;

    assert(key != NULL);
    if (plain.n > PTRDIFF_MAX - CRYPTO_NONCE - CRYPTO_TAG)
        return ERR_LIMIT;
    e = buf_reserve(out, CRYPTO_NONCE + plain.n + CRYPTO_TAG);
    if (e != OK)
        return e;
    uint8_t *nonce = (uint8_t *)out->p + out->len;
    uint8_t *text = nonce + CRYPTO_NONCE;

    crypto_random(nonce, CRYPTO_NONCE);
    gcm_start(&gcm, key);
    must("AES-GCM", mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, plain.n, nonce,
                                              CRYPTO_NONCE, bytes(aad), aad.n, bytes(plain), text,
                                              CRYPTO_TAG, text + plain.n));
    mbedtls_gcm_free(&gcm);
    out->len += CRYPTO_NONCE + plain.n + CRYPTO_TAG;
    assert(out->len <= out->cap);
    return OK;
}

enum err crypto_open(struct buf *out, const uint8_t key[CRYPTO_KEY], struct slice aad,
                     struct slice sealed)
{
    mbedtls_gcm_context gcm;
    enum err e;
    int code;

    assert(key != NULL);
    if (sealed.n < CRYPTO_NONCE + CRYPTO_TAG)
        return ERR_CORRUPT;
    size_t n = sealed.n - CRYPTO_NONCE - CRYPTO_TAG;
    const unsigned char *nonce = bytes(sealed);

    /* one byte at least, so that there is an address to decrypt nothing to */
    e = buf_reserve(out, n > 0 ? n : 1);
    if (e != OK)
        return e;
    gcm_start(&gcm, key);
    code = mbedtls_gcm_auth_decrypt(&gcm, n, nonce, CRYPTO_NONCE, bytes(aad), aad.n,
                                    nonce + CRYPTO_NONCE + n, CRYPTO_TAG, nonce + CRYPTO_NONCE,
                                    (unsigned char *)out->p + out->len);
    mbedtls_gcm_free(&gcm);
    if (code == MBEDTLS_ERR_GCM_AUTH_FAILED)
        return ERR_CORRUPT; /* and mbedTLS has wiped what it had decrypted */
    must("AES-GCM", code);
    out->len += n;
    assert(out->len <= out->cap);
    return OK;
}

/* ---- RSA signatures ----------------------------------------------------------------------------
 */

static int rsa_random(void *arg, unsigned char *p, size_t n)
{
    (void)arg;
    crypto_random(p, n);
    return 0;
}

/* Gives a key that can sign; else there is nothing to free. */
static enum err rsa_parse(mbedtls_pk_context *pk, struct slice pem)
{
    if (pem.n == 0 || pem.n > CRYPTO_PEM_MAX || memchr(pem.p, 0, pem.n) != NULL ||
        slice_search(pem, S("-----BEGIN ")) < 0)
        return ERR_SYNTAX;
    unsigned char *text = mem_new(pem.n + 1); /* mbedTLS tells PEM by the NUL at its end */
    memcpy(text, pem.p, pem.n);
    mbedtls_pk_init(pk);
    int code = mbedtls_pk_parse_key(pk, text, pem.n + 1, NULL, 0, rsa_random, NULL);
    crypto_wipe(text, pem.n);
    mem_free(text);
    enum err e = OK;
    if (code != 0 || mbedtls_pk_get_type(pk) != MBEDTLS_PK_RSA)
        e = ERR_SYNTAX;
    else if (mbedtls_pk_get_bitlen(pk) < 2048 || mbedtls_pk_get_len(pk) > CRYPTO_RSA_MAX)
        e = ERR_RANGE;
    if (e != OK)
        mbedtls_pk_free(pk); /* which wipes what it held */
    return e;
}

enum err crypto_rsa_check(struct slice pem)
{
    mbedtls_pk_context pk;
    enum err e = rsa_parse(&pk, pem);
    if (e == OK)
        mbedtls_pk_free(&pk);
    return e;
}

enum err crypto_rsa_sign(struct buf *out, struct slice pem, struct slice data)
{
    mbedtls_pk_context pk;
    unsigned char signature[CRYPTO_RSA_MAX];
    uint8_t hash[CRYPTO_SHA256];
    size_t n = 0;
    enum err e = rsa_parse(&pk, pem);
    if (e != OK)
        return e;
    crypto_sha256(hash, data);
    /* The generator is for blinding: the signature itself is the same every time. */
    int code = mbedtls_pk_sign(&pk, MBEDTLS_MD_SHA256, hash, sizeof hash, signature,
                               sizeof signature, &n, rsa_random, NULL);
    assert(code != 0 || n == mbedtls_pk_get_len(&pk));
    mbedtls_pk_free(&pk);
    return code == 0 ? buf_append(out, signature, n) : ERR_CORRUPT;
}

bool crypto_equal(const void *a, const void *b, size_t n)
{
    assert((a != NULL && b != NULL) || n == 0);
    return n == 0 || mbedtls_ct_memcmp(a, b, n) == 0;
}

void crypto_wipe(void *p, size_t n)
{
    assert(p != NULL || n == 0);
    if (n > 0)
        mbedtls_platform_zeroize(p, n);
}

void buf_wipe(struct buf *b)
{
    if (b->p != NULL)
        crypto_wipe(b->p, b->cap);
    buf_free(b);
}

/* Half a byte at a time: sixteen words of table, and nobody sums up more than a key or an id. */
uint32_t crypto_crc32(struct slice data)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    const unsigned char *p = bytes(data);
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < data.n; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

/* ---- SipHash-2-4 (Aumasson and Bernstein) -----------------------------------------------------
 */

static uint64_t rotl(uint64_t v, int by)
{
    return v << by | v >> (64 - by);
}

/* Inlined, so that the state stays in registers: each request is hashed for several maps. */
static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

static inline void sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
}

/* Little-endian, whatever the machine is. Spelled out, so that compilers make one load of it. */
static inline uint64_t load64(const unsigned char *p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24 |
           (uint64_t)p[4] << 32 | (uint64_t)p[5] << 40 | (uint64_t)p[6] << 48 |
           (uint64_t)p[7] << 56;
}

static INLINED void sip_open(uint64_t v[4])
{
    v[0] = sip_key[0] ^ UINT64_C(0x736f6d6570736575);
    v[1] = sip_key[1] ^ UINT64_C(0x646f72616e646f6d);
    v[2] = sip_key[0] ^ UINT64_C(0x6c7967656e657261);
    v[3] = sip_key[1] ^ UINT64_C(0x7465646279746573);
}

static INLINED void sip_take(uint64_t v[4], struct slice data)
{
    const unsigned char *p = bytes(data);
    uint64_t last = (uint64_t)data.n << 56;
    size_t i = 0;

    for (; data.n - i >= 8; i += 8)
        sip_word(v, load64(p + i));
    assert(data.n - i < 8);
    if (i > 0 && i < data.n) /* the last eight bytes, less those that are through */
        last |= load64(p + data.n - 8) >> (8 * (8 - (data.n - i)));
    for (size_t at = i; i == 0 && at < data.n; at++)
        last |= (uint64_t)p[at] << (8 * at);
    sip_word(v, last);
}

static INLINED uint64_t sip_close(uint64_t v[4])
{
    sip_round(v);
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t crypto_siphash(struct slice data)
{
    uint64_t v[4];

    sip_open(v);
    sip_take(v, data);
    v[2] ^= 0xff;
    return sip_close(v);
}

void crypto_siphash128(struct slice data, uint64_t out[2])
{
    uint64_t v[4];

    sip_open(v);
    v[1] ^= 0xee;
    sip_take(v, data);
    v[2] ^= 0xee;
    out[0] = sip_close(v);
    v[1] ^= 0xdd;
    out[1] = sip_close(v);
}
