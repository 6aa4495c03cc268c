/* Certificates as PEM files in a folder of their own, for tests of TLS. */
#ifndef TEST_NET_CERTS_H
#define TEST_NET_CERTS_H

#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/ecp.h>
#include <mbedtls/entropy.h>
#include <mbedtls/oid.h>
#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>

#include <cmocka.h>

struct mint {
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context rng;
    mbedtls_pk_context ca_key;
    char ca_pem[4096];
    char dir[64];
    unsigned char serial;
    char made[64][96]; /* files, to be removed */
    int files;
};

struct coin {              /* one certificate with its key; what is NULL has a default */
    const char *name;      /* file names: NAME.pem, NAME.key */
    const char *dns[4];    /* subject alternative names */
    const char *from, *to; /* "20200101000000" */
    const char *client;    /* not NULL: for a client, not a server */
    bool with_root;        /* the root follows in the file */
};

static inline void mint_ok(int r)
{
    assert_int_equal(r, 0);
}

static inline const char *mint_path(struct mint *m, const char *file)
{
    static char path[4][160];
    static int at;
    at = (at + 1) % 4;
    text_format(path[at], sizeof path[at], "%s/%s", m->dir, file);
    return path[at];
}

static inline void mint_write(struct mint *m, const char *file, const char *text, mode_t mode)
{
    const char *path = mint_path(m, file);
    bool known = false;
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
    for (int i = 0; i < m->files; i++)
        known |= strcmp(m->made[i], path) == 0;
    if (!known)
        text_copy(m->made[m->files++], sizeof m->made[0], slice_of(path));
}

static inline void mint_key(struct mint *m, mbedtls_pk_context *k)
{
    mbedtls_pk_init(k);
    mint_ok(mbedtls_pk_setup(k, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)));
    mint_ok(mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*k),
                                mbedtls_ctr_drbg_random, &m->rng));
}

/* The PEM of a certificate for `c`, signed by the root, or the root itself (c NULL). */
static inline void mint_cert(struct mint *m, const struct coin *c, mbedtls_pk_context *key,
                             char *pem, size_t size)
{
    mbedtls_x509write_cert w;
    mbedtls_x509_san_list san[4] = {0};
    mbedtls_x509write_crt_init(&w);
    mbedtls_x509write_crt_set_version(&w, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(&w, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(&w, key);
    mbedtls_x509write_crt_set_issuer_key(&w, &m->ca_key);
    mint_ok(mbedtls_x509write_crt_set_subject_name(&w, c == NULL ? "CN=Test Root" : "CN=leaf"));
    mint_ok(mbedtls_x509write_crt_set_issuer_name(&w, "CN=Test Root"));
    mint_ok(mbedtls_x509write_crt_set_validity(
        &w, c != NULL && c->from != NULL ? c->from : "20200101000000",
        c != NULL && c->to != NULL ? c->to : "20991231235959"));
    m->serial++;
    mint_ok(mbedtls_x509write_crt_set_serial_raw(&w, &m->serial, 1));
    mint_ok(mbedtls_x509write_crt_set_basic_constraints(&w, c == NULL, -1));
    for (int i = 0; c != NULL && i < 4 && c->dns[i] != NULL; i++) {
        san[i].node.type = MBEDTLS_X509_SAN_DNS_NAME;
        san[i].node.san.unstructured_name.p = (unsigned char *)(uintptr_t)c->dns[i];
        san[i].node.san.unstructured_name.len = strlen(c->dns[i]);
        if (i > 0)
            san[i - 1].next = &san[i];
    }
    if (c != NULL && c->dns[0] != NULL)
        mint_ok(mbedtls_x509write_crt_set_subject_alternative_name(&w, san));
    if (c != NULL && c->client != NULL) {
        mbedtls_asn1_sequence use = {
            .buf = {.tag = MBEDTLS_ASN1_OID,
                    .len = MBEDTLS_OID_SIZE(MBEDTLS_OID_CLIENT_AUTH),
                    .p = (unsigned char *)(uintptr_t)MBEDTLS_OID_CLIENT_AUTH}};
        mint_ok(mbedtls_x509write_crt_set_ext_key_usage(&w, &use));
    }
    mint_ok(mbedtls_x509write_crt_pem(&w, (unsigned char *)pem, size, mbedtls_ctr_drbg_random,
                                      &m->rng));
    mbedtls_x509write_crt_free(&w);
}

static inline void mint_open(struct mint *m)
{
    memset(m, 0, sizeof *m);
    text_copy(m->dir, sizeof m->dir, S("/tmp/test-net-certs-XXXXXX"));
    assert_non_null(mkdtemp(m->dir));
    assert_int_equal(psa_crypto_init(), PSA_SUCCESS);
    mbedtls_entropy_init(&m->entropy);
    mbedtls_ctr_drbg_init(&m->rng);
    mint_ok(mbedtls_ctr_drbg_seed(&m->rng, mbedtls_entropy_func, &m->entropy, NULL, 0));
    mint_key(m, &m->ca_key);
    mint_cert(m, NULL, &m->ca_key, m->ca_pem, sizeof m->ca_pem);
    mint_write(m, "root.pem", m->ca_pem, 0644);
}

/* Writes NAME.pem and NAME.key. */
static inline void mint_coin(struct mint *m, const struct coin *c)
{
    static char pem[16384];
    char file[96];
    mbedtls_pk_context key;
    mint_key(m, &key);
    mint_cert(m, c, &key, pem, sizeof pem);
    if (c->with_root) {
        size_t n = strlen(pem);
        text_copy(pem + n, sizeof pem - n, slice_of(m->ca_pem));
    }
    text_format(file, sizeof file, "%s.pem", c->name);
    mint_write(m, file, pem, 0644);
    mint_ok(mbedtls_pk_write_key_pem(&key, (unsigned char *)pem, sizeof pem));
    text_format(file, sizeof file, "%s.key", c->name);
    mint_write(m, file, pem, 0600);
    mbedtls_pk_free(&key);
}

static inline void mint_close(struct mint *m)
{
    for (int i = 0; i < m->files; i++)
        unlink(m->made[i]);
    assert_int_equal(rmdir(m->dir), 0);
    mbedtls_pk_free(&m->ca_key);
    mbedtls_ctr_drbg_free(&m->rng);
    mbedtls_entropy_free(&m->entropy);
    mbedtls_psa_crypto_free();
}

#endif
