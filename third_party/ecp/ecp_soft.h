/* mbedTLS's own multiplication of a point, beside the one that takes its place; for the tests. */
#ifndef SLUICE_ECP_SOFT_H
#define SLUICE_ECP_SOFT_H

#include <mbedtls/ecp.h>

int soft_ecp_mul(mbedtls_ecp_group *g, mbedtls_ecp_point *r, const mbedtls_mpi *m,
                 const mbedtls_ecp_point *p, int (*rng)(void *, unsigned char *, size_t),
                 void *rng_arg);

#endif
