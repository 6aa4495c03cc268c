/* mbedTLS's own AES-GCM under other names, beside the one that takes its place. */
#ifndef SLUICE_GCM_SOFT_H
#define SLUICE_GCM_SOFT_H

#include <mbedtls/cipher.h>

struct soft_gcm_context;

struct soft_gcm_context *soft_gcm_new(void); /* NULL: out of memory */
void soft_gcm_delete(struct soft_gcm_context *c);

/* As mbedtls_gcm_...; see mbedtls/gcm.h. */
int soft_gcm_setkey(struct soft_gcm_context *c, mbedtls_cipher_id_t cipher,
                    const unsigned char *key, unsigned int bits);
int soft_gcm_crypt_and_tag(struct soft_gcm_context *c, int mode, size_t n, const unsigned char *iv,
                           size_t iv_n, const unsigned char *add, size_t add_n,
                           const unsigned char *in, unsigned char *out, size_t tag_n,
                           unsigned char *tag);
int soft_gcm_starts(struct soft_gcm_context *c, int mode, const unsigned char *iv, size_t iv_n);
int soft_gcm_update_ad(struct soft_gcm_context *c, const unsigned char *add, size_t add_n);
int soft_gcm_update(struct soft_gcm_context *c, const unsigned char *in, size_t in_n,
                    unsigned char *out, size_t out_size, size_t *out_n);
int soft_gcm_finish(struct soft_gcm_context *c, unsigned char *out, size_t out_size, size_t *out_n,
                    unsigned char *tag, size_t tag_n);

#endif
