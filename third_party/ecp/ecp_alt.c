/* Points of Curve25519 are multiplied by HACL*'s code, which is verified, constant in time, and
 * comes with mbedTLS (3rdparty/everest); its own takes six times as long, and each handshake does
 * it twice. mbedTLS offers HACL* for the old interface only, not for what TLS 1.3 calls: so its
 * ecp.c is compiled here with two names changed, and those two stand below. */
#include "common.h" /* mbedTLS's, before any other header of it */

#include "ecp_soft.h"

#include "bignum_internal.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Its inversions of coordinates, too, go to the function below. */
static int field_inverse(mbedtls_mpi *to, const mbedtls_mpi *a, const mbedtls_mpi *p);
#define mbedtls_mpi_gcd_modinv_odd(g, to, a, p) field_inverse(to, a, p)

#define mbedtls_ecp_mul                         soft_ecp_mul
#define mbedtls_ecp_mul_restartable             soft_ecp_mul_restartable
#include "ecp.c" /* mbedTLS's */
#undef mbedtls_ecp_mul
#undef mbedtls_ecp_mul_restartable
#undef mbedtls_mpi_gcd_modinv_odd

#if defined(__SIZEOF_INT128__) && __SIZEOF_INT128__ == 16

/* ---- inverses of coordinates of P-256 ---------------------------------------------------------
 * a^(p-2), by Fermat, with Montgomery products (radix 2^256): a quarter of the time of mbedTLS's
 * binary algorithm, which a handshake runs six times. The steps depend on p alone. */

typedef unsigned __int128 wide;

static const uint64_t P256[4] = {UINT64_C(0xffffffffffffffff), UINT64_C(0x00000000ffffffff), 0,
                                 UINT64_C(0xffffffff00000001)};
/* 2^512 mod p */
static const uint64_t P256_RR[4] = {3, UINT64_C(0xfffffffbffffffff), UINT64_C(0xfffffffffffffffe),
                                    UINT64_C(0x00000004fffffffd)};

/* r = a b / 2^256 mod p, below p if a and b are; r may be a or b. -1/p mod 2^64 is 1. */
static void p256_product(uint64_t r[4], const uint64_t a[4], const uint64_t b[4])
{
    uint64_t t[6] = {0}, d[4], borrow = 0;
    for (int i = 0; i < 4; i++) {
        wide c = 0;
        for (int j = 0; j < 4; j++) {
            c += (wide)a[j] * b[i] + t[j];
            t[j] = (uint64_t)c;
            c >>= 64;
        }
        c += t[4];
        t[4] = (uint64_t)c;
        t[5] = (uint64_t)(c >> 64);
        uint64_t m = t[0];
        c = ((wide)m * P256[0] + t[0]) >> 64;
        for (int j = 1; j < 4; j++) {
            c += (wide)m * P256[j] + t[j];
            t[j - 1] = (uint64_t)c;
            c >>= 64;
        }
        c += t[4];
        t[3] = (uint64_t)c;
        t[4] = t[5] + (uint64_t)(c >> 64);
    }
    for (int j = 0; j < 4; j++) {
        wide x = (wide)t[j] - P256[j] - borrow;
        d[j] = (uint64_t)x;
        borrow = (uint64_t)(x >> 64) & 1;
    }
    /* t[4] is 0 or 1; keep t where it is below p */
    uint64_t keep = 0 - (borrow & (t[4] ^ 1));
    for (int j = 0; j < 4; j++)
        r[j] = (t[j] & keep) | (d[j] & ~keep);
}

static void p256_inverse(uint64_t r[4], const uint64_t a[4])
{
    static const uint64_t ONE[4] = {1, 0, 0, 0};
    uint64_t x[4], y[4];
    p256_product(x, a, P256_RR);
    memcpy(y, x, sizeof y); /* the exponent's highest bit */
    for (int bit = 254; bit >= 0; bit--) {
        uint64_t word = bit < 64 ? P256[0] - 2 : P256[bit / 64];
        p256_product(y, y, y);
        if (word >> bit % 64 & 1)
            p256_product(y, y, x);
    }
    p256_product(r, y, ONE);
    mbedtls_platform_zeroize(x, sizeof x);
    mbedtls_platform_zeroize(y, sizeof y);
}

/* 32 bytes, little-endian, so that it does not matter how wide mbedTLS's limbs are. */
static void words_of(uint64_t w[4], const unsigned char b[32])
{
    for (int i = 0; i < 32; i++)
        w[i / 8] = (i % 8 == 0 ? 0 : w[i / 8]) | (uint64_t)b[i] << 8 * (i % 8);
}

int ecp_inverse_p256(mbedtls_mpi *to, const mbedtls_mpi *a)
{
    unsigned char b[32];
    uint64_t w[4];
    int ret;
    MBEDTLS_MPI_CHK(mbedtls_mpi_write_binary_le(a, b, sizeof b));
    words_of(w, b);
    p256_inverse(w, w);
    for (int i = 0; i < 32; i++)
        b[i] = (unsigned char)(w[i / 8] >> 8 * (i % 8));
    MBEDTLS_MPI_CHK(mbedtls_mpi_read_binary_le(to, b, sizeof b));
cleanup:
    mbedtls_platform_zeroize(w, sizeof w);
    mbedtls_platform_zeroize(b, sizeof b);
    return ret;
}

static bool is_p256(const mbedtls_mpi *p)
{
    unsigned char b[32];
    uint64_t w[4];
    if (mbedtls_mpi_bitlen(p) != 256 || mbedtls_mpi_write_binary_le(p, b, sizeof b) != 0)
        return false;
    words_of(w, b);
    return memcmp(w, P256, sizeof w) == 0;
}

static int field_inverse(mbedtls_mpi *to, const mbedtls_mpi *a, const mbedtls_mpi *p)
{
    /* coordinates are reduced where it is called: below p, and not negative */
    if (is_p256(p) && mbedtls_mpi_cmp_int(a, 0) > 0 && mbedtls_mpi_bitlen(a) <= 256)
        return ecp_inverse_p256(to, a);
    return mbedtls_mpi_gcd_modinv_odd(NULL, to, a, p);
}

/* ---- products of points of Curve25519 -------------------------------------------------------- */

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

int ecp_inverse_p256(mbedtls_mpi *to, const mbedtls_mpi *a)
{
    return MBEDTLS_ERR_ECP_FEATURE_UNAVAILABLE;
}

static int field_inverse(mbedtls_mpi *to, const mbedtls_mpi *a, const mbedtls_mpi *p)
{
    return mbedtls_mpi_gcd_modinv_odd(NULL, to, a, p);
}

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
