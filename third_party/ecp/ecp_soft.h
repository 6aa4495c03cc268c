/* mbedTLS's own multiplication of a point, beside the one that takes its place; for the tests. */
#ifndef SLUICE_ECP_SOFT_H
#define SLUICE_ECP_SOFT_H

#include <mbedtls/ecp.h>

int soft_ecp_mul(mbedtls_ecp_group *g, mbedtls_ecp_point *r, const mbedtls_mpi *m,
                 const mbedtls_ecp_point *p, int (*rng)(void *, unsigned char *, size_t),
                 void *rng_arg);
/* 1/a modulo the prime of P-256, of an a below 2^256; of 0 it is 0. */
int ecp_inverse_p256(mbedtls_mpi *to, const mbedtls_mpi *a);

#endif
