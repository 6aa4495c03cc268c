/* links: base */
/* What replaces parts of mbedTLS's ecp: X25519 against RFC 7748 and mbedTLS's own code, inverses
 * modulo the prime of P-256 by multiplying them back. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <ecp_soft.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int rng(void *arg, unsigned char *p, size_t n)
{
    (void)arg;
    crypto_random(p, n);
    return 0;
}

/* The product's coordinate into `out`; what the library returned. */
static int multiply(uint8_t out[32], const uint8_t scalar[32], const uint8_t point[32], bool soft)
{
    mbedtls_ecp_group g;
    mbedtls_ecp_point p;
    mbedtls_mpi m;
    uint8_t k[32], u[32];
    memcpy(k, scalar, 32);
    memcpy(u, point, 32);
    k[0] &= 248; /* RFC 7748, section 5 */
    k[31] = (uint8_t)((k[31] & 127) | 64);
    u[31] &= 127;
    mbedtls_ecp_group_init(&g);
    mbedtls_ecp_point_init(&p);
    mbedtls_mpi_init(&m);
    assert_int_equal(mbedtls_ecp_group_load(&g, MBEDTLS_ECP_DP_CURVE25519), 0);
    assert_int_equal(mbedtls_mpi_read_binary_le(&m, k, 32), 0);
    assert_int_equal(mbedtls_ecp_point_read_binary(&g, &p, u, 32), 0);
    int r = soft ? soft_ecp_mul(&g, &p, &m, &p, rng, NULL)
                 : mbedtls_ecp_mul(&g, &p, &m, &p, rng, NULL);
    size_t n;
    if (r == 0) {
        assert_int_equal(
            mbedtls_ecp_point_write_binary(&g, &p, MBEDTLS_ECP_PF_UNCOMPRESSED, &n, out, 32), 0);
        assert_int_equal(n, 32);
    }
    mbedtls_mpi_free(&m);
    mbedtls_ecp_point_free(&p);
    mbedtls_ecp_group_free(&g);
    return r;
}

/* RFC 7748, section 5.2: two vectors, and the first steps of the iterated one. */
static void test_rfc(void **state)
{
    static const char *const ROWS[][3] = {
        {"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
         "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
         "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
        {"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
         "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
         "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"},
    };
    uint8_t k[32], u[32], out[32], want[32];
    (void)state;
    for (size_t i = 0; i < COUNT(ROWS); i++) {
        assert_true(text_unhex(k, 32, slice_of(ROWS[i][0])));
        assert_true(text_unhex(u, 32, slice_of(ROWS[i][1])));
        assert_true(text_unhex(want, 32, slice_of(ROWS[i][2])));
        assert_int_equal(multiply(out, k, u, false), 0);
        assert_memory_equal(out, want, 32);
    }
    memset(k, 0, sizeof k);
    k[0] = 9;
    memcpy(u, k, 32);
    for (int i = 1; i <= 1000; i++) {
        assert_int_equal(multiply(out, k, u, false), 0);
        memcpy(u, k, 32);
        memcpy(k, out, 32);
        if (i == 1) {
            assert_true(text_unhex(
                want, 32, S("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079")));
            assert_memory_equal(k, want, 32);
        }
    }
    assert_true(text_unhex(want, 32,
                           S("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51")));
    assert_memory_equal(k, want, 32);
}

/* Random ones, and the edges of the field: what mbedTLS's own code says, a refusal included. */
static void test_same(void **state)
{
    static const char *const EDGES[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "0200000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800", /* of order 8 */
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157", /* of order 8 */
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* p - 1 */
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", /* p */
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    };
    uint8_t k[32], u[32], a[32] = {0}, b[32] = {0};
    int refused = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(EDGES) + 100; i++) {
        crypto_random(k, 32);
        crypto_random(u, 32);
        if (i < COUNT(EDGES))
            assert_true(text_unhex(u, 32, slice_of(EDGES[i])));
        int r = multiply(a, k, u, true);
        assert_int_equal(multiply(b, k, u, false), r);
        assert_memory_equal(a, b, 32);
        refused += r != 0;
    }
    assert_true(refused >= 5);
}

/* a times its inverse is 1 modulo p, at the edges, for single bits and for random a. */
static void test_inverse(void **state)
{
    static const char P[] = "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff";
    mbedtls_mpi p, a, b;
    uint8_t bytes[32];
    (void)state;
    mbedtls_mpi_init(&p);
    mbedtls_mpi_init(&a);
    mbedtls_mpi_init(&b);
    assert_int_equal(mbedtls_mpi_read_string(&p, 16, P), 0);
    for (int i = 0; i < 3000; i++) {
        crypto_random(bytes, sizeof bytes);
        assert_int_equal(mbedtls_mpi_read_binary(&a, bytes, sizeof bytes), 0);
        if (i < 256) { /* 2^i */
            assert_int_equal(mbedtls_mpi_lset(&a, 1), 0);
            assert_int_equal(mbedtls_mpi_shift_l(&a, (size_t)i), 0);
        } else if (i < 512) { /* p - 2^i, p - 1 among them, where it is not negative */
            assert_int_equal(mbedtls_mpi_lset(&a, 1), 0);
            assert_int_equal(mbedtls_mpi_shift_l(&a, (size_t)i - 256), 0);
            assert_int_equal(mbedtls_mpi_sub_mpi(&a, &p, &a), 0);
        } else if (i < 1024) { /* many ones */
            memset(bytes, 0xff, (size_t)i % 33);
            assert_int_equal(mbedtls_mpi_read_binary(&a, bytes, sizeof bytes), 0);
        }
        assert_int_equal(mbedtls_mpi_mod_mpi(&a, &a, &p), 0);
        assert_int_equal(ecp_inverse_p256(&b, &a), 0);
        assert_true(mbedtls_mpi_cmp_mpi(&b, &p) < 0);
        assert_int_equal(mbedtls_mpi_mul_mpi(&b, &b, &a), 0);
        assert_int_equal(mbedtls_mpi_mod_mpi(&b, &b, &p), 0);
        assert_int_equal(mbedtls_mpi_cmp_int(&b, mbedtls_mpi_cmp_int(&a, 0) == 0 ? 0 : 1), 0);
    }
    mbedtls_mpi_free(&p);
    mbedtls_mpi_free(&a);
    mbedtls_mpi_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rfc), cmocka_unit_test(test_same),
                                       cmocka_unit_test(test_inverse)};
    crypto_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
