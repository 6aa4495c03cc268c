/* mbedTLS compiles no AES-GCM of its own once another takes its place. Here its file is compiled
 * all the same, each name of it under another. */
#include <mbedtls/build_info.h>
#undef MBEDTLS_GCM_ALT

#define mbedtls_gcm_context       soft_gcm_context
#define mbedtls_gcm_init          soft_gcm_init
#define mbedtls_gcm_setkey        soft_gcm_setkey
#define mbedtls_gcm_crypt_and_tag soft_gcm_crypt_and_tag
#define mbedtls_gcm_auth_decrypt  soft_gcm_auth_decrypt
#define mbedtls_gcm_starts        soft_gcm_starts
#define mbedtls_gcm_update_ad     soft_gcm_update_ad
#define mbedtls_gcm_update        soft_gcm_update
#define mbedtls_gcm_finish        soft_gcm_finish
#define mbedtls_gcm_free          soft_gcm_free
#define mbedtls_gcm_self_test     soft_gcm_self_test

#include "gcm.c" /* mbedTLS's */

#include "gcm_soft.h"

struct soft_gcm_context *soft_gcm_new(void)
{
    struct soft_gcm_context *c = mbedtls_calloc(1, sizeof *c);
    if (c != NULL)
        soft_gcm_init(c);
    return c;
}

void soft_gcm_delete(struct soft_gcm_context *c)
{
    if (c == NULL)
        return;
    soft_gcm_free(c); /* which wipes it */
    mbedtls_free(c);
}
