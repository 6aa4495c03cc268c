/* mbedTLS's AES-GCM functions over an engine. TLS and the vault use three of them: set a key, and
 * encrypt or decrypt a whole message with a nonce of 12 bytes. Those go to the engine; whatever
 * else the interface allows goes to mbedTLS's own code. */
#include "gcm_engine.h"
#include "gcm_soft.h"

#include <mbedtls/constant_time.h>
#include <mbedtls/gcm.h>
#include <mbedtls/platform.h>
#include <mbedtls/platform_util.h>

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#define MESSAGE_MAX ((UINT64_C(1) << 36) - 32) /* NIST SP 800-38D, section 5.2.1.1 */
#define TAG         16
#define NONCE       12

static atomic_int in_use; /* index of the engine of new keys */

const char *gcm_engine_name(int i)
{
    const struct gcm_engine *e = gcm_engine_at(i);
    if (e != NULL)
        return e->name;
    return i == 0 || (i > 0 && gcm_engine_at(i - 1) != NULL) ? "mbedtls" : NULL;
}

void gcm_engine_use(int i)
{
    assert(gcm_engine_name(i) != NULL);
    atomic_store(&in_use, i);
}

/* ---- keys ------------------------------------------------------------------------------------ */

void mbedtls_gcm_init(mbedtls_gcm_context *c)
{
    memset(c, 0, sizeof *c);
}

void mbedtls_gcm_free(mbedtls_gcm_context *c)
{
    if (c == NULL)
        return;
    if (c->memory != NULL) {
        mbedtls_platform_zeroize(c->keys, c->engine->keys_size);
        mbedtls_free(c->memory);
    }
    soft_gcm_delete(c->soft);
    memset(c, 0, sizeof *c);
}

static const struct gcm_width *width_of(const mbedtls_gcm_context *c)
{
    return c->key_bits == 128 ? &c->engine->aes128 : &c->engine->aes256;
}

/* mbedTLS's own context for this key: the key stands at the beginning of its round keys. */
static int soft_need(mbedtls_gcm_context *c)
{
    if (c->soft != NULL)
        return 0;
    if (c->engine == NULL)
        return MBEDTLS_ERR_GCM_BAD_INPUT; /* no key was set */
    c->soft = soft_gcm_new();
    if (c->soft == NULL)
        return MBEDTLS_ERR_CIPHER_ALLOC_FAILED;
    int r = soft_gcm_setkey(c->soft, MBEDTLS_CIPHER_ID_AES, c->keys, c->key_bits);
    if (r != 0) {
        soft_gcm_delete(c->soft);
        c->soft = NULL;
    }
    return r;
}

static int soft_setkey(mbedtls_gcm_context *c, mbedtls_cipher_id_t cipher, const unsigned char *key,
                       unsigned int bits)
{
    c->soft = soft_gcm_new();
    if (c->soft == NULL)
        return MBEDTLS_ERR_CIPHER_ALLOC_FAILED;
    int r = soft_gcm_setkey(c->soft, cipher, key, bits);
    if (r != 0)
        mbedtls_gcm_free(c);
    return r;
}

int mbedtls_gcm_setkey(mbedtls_gcm_context *c, mbedtls_cipher_id_t cipher, const unsigned char *key,
                       unsigned int bits)
{
    const struct gcm_engine *e = gcm_engine_at(atomic_load(&in_use));
    mbedtls_gcm_free(c);
    if (e == NULL || cipher != MBEDTLS_CIPHER_ID_AES || (bits != 128 && bits != 256))
        return soft_setkey(c, cipher, key, bits);
    c->memory = mbedtls_calloc(1, e->keys_size + GCM_ALIGN - 1);
    if (c->memory == NULL)
        return MBEDTLS_ERR_CIPHER_ALLOC_FAILED;
    uintptr_t at = ((uintptr_t)c->memory + GCM_ALIGN - 1) & ~(uintptr_t)(GCM_ALIGN - 1);
    c->keys = (unsigned char *)c->memory + (at - (uintptr_t)c->memory);
    c->engine = e;
    c->key_bits = bits;
    width_of(c)->round_keys(key, c->keys);
    width_of(c)->powers(c->keys);
    return 0;
}

/* ---- whole messages -------------------------------------------------------------------------- */

/* The engine works in place or from one buffer to another; what overlaps otherwise is not for it.
 */
static bool for_engine(const mbedtls_gcm_context *c, size_t n, size_t iv_n, const unsigned char *in,
                       const unsigned char *out)
{
    uintptr_t a = (uintptr_t)in, b = (uintptr_t)out;
    bool apart = n == 0 || a == b || a + n <= b || b + n <= a;
    return c->engine != NULL && iv_n == NONCE && n <= MESSAGE_MAX && apart;
}

/* All 16 bytes of the tag; who wants fewer takes the first ones. */
static void engine_crypt(const mbedtls_gcm_context *c, bool encrypt, size_t n,
                         const unsigned char *iv, const unsigned char *add, size_t add_n,
                         const unsigned char *in, unsigned char *out, unsigned char tag[TAG])
{
    _Alignas(GCM_ALIGN) unsigned char scratch[GCM_SCRATCH] = {0};
    const struct gcm_width *w = width_of(c);
    assert(((uintptr_t)c->keys & (GCM_ALIGN - 1)) == 0);
    (encrypt ? w->encrypt : w->decrypt)(c->keys, scratch, out, in, n, iv, add, add_n, tag, TAG);
    mbedtls_platform_zeroize(scratch, sizeof scratch);
}

int mbedtls_gcm_crypt_and_tag(mbedtls_gcm_context *c, int mode, size_t n, const unsigned char *iv,
                              size_t iv_n, const unsigned char *add, size_t add_n,
                              const unsigned char *in, unsigned char *out, size_t tag_n,
                              unsigned char *tag)
{
    unsigned char whole[TAG];
    if (!for_engine(c, n, iv_n, in, out)) {
        int r = soft_need(c);
        return r != 0 ? r
                      : soft_gcm_crypt_and_tag(c->soft, mode, n, iv, iv_n, add, add_n, in, out,
                                               tag_n, tag);
    }
    if (tag_n > TAG || tag_n < 4)
        return MBEDTLS_ERR_GCM_BAD_INPUT;
    engine_crypt(c, mode == MBEDTLS_GCM_ENCRYPT, n, iv, add, add_n, in, out, whole);
    memcpy(tag, whole, tag_n);
    return 0;
}

int mbedtls_gcm_auth_decrypt(mbedtls_gcm_context *c, size_t n, const unsigned char *iv, size_t iv_n,
                             const unsigned char *add, size_t add_n, const unsigned char *tag,
                             size_t tag_n, const unsigned char *in, unsigned char *out)
{
    unsigned char should[TAG];
    int r = mbedtls_gcm_crypt_and_tag(c, MBEDTLS_GCM_DECRYPT, n, iv, iv_n, add, add_n, in, out,
                                      tag_n, should);
    if (r == 0 && mbedtls_ct_memcmp(tag, should, tag_n) != 0) {
        mbedtls_platform_zeroize(out, n);
        r = MBEDTLS_ERR_GCM_AUTH_FAILED;
    }
    mbedtls_platform_zeroize(should, sizeof should);
    return r;
}

/* ---- messages in parts: nobody here has any -------------------------------------------------- */

int mbedtls_gcm_starts(mbedtls_gcm_context *c, int mode, const unsigned char *iv, size_t iv_n)
{
    int r = soft_need(c);
    return r != 0 ? r : soft_gcm_starts(c->soft, mode, iv, iv_n);
}

int mbedtls_gcm_update_ad(mbedtls_gcm_context *c, const unsigned char *add, size_t add_n)
{
    int r = soft_need(c);
    return r != 0 ? r : soft_gcm_update_ad(c->soft, add, add_n);
}

int mbedtls_gcm_update(mbedtls_gcm_context *c, const unsigned char *in, size_t in_n,
                       unsigned char *out, size_t out_size, size_t *out_n)
{
    int r = soft_need(c);
    return r != 0 ? r : soft_gcm_update(c->soft, in, in_n, out, out_size, out_n);
}

int mbedtls_gcm_finish(mbedtls_gcm_context *c, unsigned char *out, size_t out_size, size_t *out_n,
                       unsigned char *tag, size_t tag_n)
{
    int r = soft_need(c);
    return r != 0 ? r : soft_gcm_finish(c->soft, out, out_size, out_n, tag, tag_n);
}
