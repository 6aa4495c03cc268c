/* Points of Curve25519 are multiplied by HACL*'s code, which is verified, constant in time, and
 * comes with mbedTLS (3rdparty/everest); its own takes six times as long, and each handshake does
 * it twice. mbedTLS offers HACL* for the old interface only, not for what TLS 1.3 calls: so its
 * ecp.c is compiled here with two names changed, and those two stand below. */
#include <mbedtls/build_info.h>

#define mbedtls_ecp_mul             soft_ecp_mul
#define mbedtls_ecp_mul_restartable soft_ecp_mul_restartable
#include "ecp.c" /* mbedTLS's */
#undef mbedtls_ecp_mul
#undef mbedtls_ecp_mul_restartable

#include <stdbool.h>

#if defined(__SIZEOF_INT128__) && __SIZEOF_INT128__ == 16
#define MBEDTLS_HAVE_INT128
/* Everest's */
#include "Hacl_Curve25519.c"
#include "kremlib/FStar_UInt64_FStar_UInt32_FStar_UInt16_FStar_UInt8.c"

#define BYTES 32 /* of a scalar, and of a coordinate */

/* As in RFC 7748: the product's coordinate. Scalar and point are checked as mbedTLS checks them:
 * clamped, and of no small order. */
static int mul_25519(mbedtls_ecp_group *g, mbedtls_ecp_point *r, const mbedtls_mpi *m,
                     const mbedtls_ecp_point *p)
{
    unsigned char secret[BYTES], point[BYTES], product[BYTES];
    int ret;
    MBEDTLS_MPI_CHK(mbedtls_ecp_check_privkey(g, m));
    MBEDTLS_MPI_CHK(mbedtls_ecp_check_pubkey(g, p));
    MBEDTLS_MPI_CHK(mbedtls_mpi_write_binary_le(m, secret, BYTES));
    MBEDTLS_MPI_CHK(mbedtls_mpi_write_binary_le(&p->X, point, BYTES));
    Hacl_Curve25519_crypto_scalarmult(product, secret, point);
    MBEDTLS_MPI_CHK(mbedtls_mpi_read_binary_le(&r->X, product, BYTES));
    MBEDTLS_MPI_CHK(mbedtls_mpi_lset(&r->Z, 1));
    mbedtls_mpi_free(&r->Y);
cleanup:
    mbedtls_platform_zeroize(secret, sizeof secret);
    mbedtls_platform_zeroize(product, sizeof product);
    return ret;
}

static bool is_25519(const mbedtls_ecp_group *g)
{
    return g->id == MBEDTLS_ECP_DP_CURVE25519;
}

#else

static int mul_25519(mbedtls_ecp_group *g, mbedtls_ecp_point *r, const mbedtls_mpi *m,
                     const mbedtls_ecp_point *p)
{
    return MBEDTLS_ERR_ECP_FEATURE_UNAVAILABLE;
}

static bool is_25519(const mbedtls_ecp_group *g)
{
    return false;
}

#endif

int mbedtls_ecp_mul_restartable(mbedtls_ecp_group *g, mbedtls_ecp_point *r, const mbedtls_mpi *m,
                                const mbedtls_ecp_point *p,
                                int (*rng)(void *, unsigned char *, size_t), void *rng_arg,
                                mbedtls_ecp_restart_ctx *restart)
{
    if (rng != NULL && is_25519(g))
        return mul_25519(g, r, m, p);
    return soft_ecp_mul_restartable(g, r, m, p, rng, rng_arg, restart);
}

int mbedtls_ecp_mul(mbedtls_ecp_group *g, mbedtls_ecp_point *r, const mbedtls_mpi *m,
                    const mbedtls_ecp_point *p, int (*rng)(void *, unsigned char *, size_t),
                    void *rng_arg)
{
    return mbedtls_ecp_mul_restartable(g, r, m, p, rng, rng_arg, NULL);
}
