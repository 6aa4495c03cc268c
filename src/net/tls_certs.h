/* tls_certs: certificate chains with their keys, and what is made of them: one configuration of the
 * server's role, never changed once it is made. Private to net.
 *
 * A snapshot is counted: by the server whose newest one it is, and by every connection that began
 * under it. A pair is counted by the snapshots that hold it. Threads read; only the loop counts. */
#ifndef SLUICE_NET_TLS_CERTS_H
#define SLUICE_NET_TLS_CERTS_H

#include "net/net.h"

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>

#define PAIR_NAMES_MAX 256 /* of one certificate */

struct cert_pair {
    size_t refs;
    char *cert_file, *key_file;
    uint8_t digest[CRYPTO_SHA256]; /* of both files' bytes */
    mbedtls_x509_crt chain;        /* leaf first */
    mbedtls_pk_context key;
    int64_t not_after; /* wall ms: the earliest of the chain */
    char **name;       /* lower case; "*.example.com" */
    int names;
};

/* Reads and judges the two files at wall time `now`. `old`, if not NULL, is given back, counted
 * once more, when the files hold what they held then: what is in force is not judged again. Else
 * ERR_NOTFOUND, ERR_DENIED, ERR_SYNTAX, ERR_CERT, with a sentence in `why` that says what to do. */
MUST_USE enum err cert_pair_load(const struct tls_pair *files, struct cert_pair *old, int64_t now,
                                 mbedtls_ctr_drbg_context *rng, struct cert_pair **out, char *why,
                                 size_t size);
void cert_pair_unref(struct cert_pair *p);
/* Is `name` (lower case) one that the certificate is for? 2: it says so; 1: by a wildcard; 0: no.
 * A wildcard stands for exactly one label (RFC 6125 section 6.4.3). */
int cert_pair_match(const struct cert_pair *p, struct slice name);

struct cert_ca { /* clients' authorities */
    size_t refs;
    uint8_t digest[CRYPTO_SHA256];
    mbedtls_x509_crt crt;
};
/* As cert_pair_load. */
MUST_USE enum err cert_ca_load(const char *file, struct cert_ca *old, struct cert_ca **out,
                               char *why, size_t size);
void cert_ca_unref(struct cert_ca *c);

struct certs {
    size_t refs;
    mbedtls_ssl_config conf;
    struct cert_pair *pair[TLS_PAIRS_MAX];
    int pairs;
    struct cert_ca *ca; /* NULL: clients are not asked */
    enum tls_client_auth auth;
    const char *alpn[2];
};

struct certs *certs_new(void);
void certs_unref(struct certs *c);
/* The pair for a name that a client asks for: the first exact one, else the first by a wildcard,
 * else the first of all. */
struct cert_pair *certs_pick(const struct certs *c, struct slice name);

#endif
