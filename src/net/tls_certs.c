/* tls_certs: see tls_certs.h. */
#include "net/tls_certs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbedtls/oid.h>

#define FILE_MAX     262144
/* A certificate message must fit in one record of MBEDTLS_SSL_OUT_CONTENT_LEN: mbedTLS cannot split
 * its own. Each certificate has five bytes around it, the message a few more. */
#define CHAIN_MAX    (MBEDTLS_SSL_OUT_CONTENT_LEN - 64)
#define CHAIN_EXTRA  5
#define RSA_BITS_MIN 2048

static enum err refuse(char *why, size_t size, enum err e, const char *fmt, ...) PRINTF_LIKE(4, 5);
static enum err refuse(char *why, size_t size, enum err e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(why, size, fmt, ap);
    va_end(ap);
    assert(n >= 0 && e != OK);
    return e;
}

/* ---- files ----------------------------------------------------------------------------------- */

/* A key that others may read is no secret. One exception: root owns it and lends it to a group, as
 * systems do that keep all keys in one place, and Kubernetes for a pod's group. */
static enum err key_mode(const char *path, const struct stat *st, char *why, size_t size)
{
    bool lent = st->st_uid == 0 && (st->st_mode & 077) == 040;
    if ((st->st_mode & 077) == 0 || lent)
        return OK;
    return refuse(why, size, ERR_DENIED,
                  "%s: this private key can be read or changed by others (mode %03o): chmod 600 %s",
                  path, (unsigned)st->st_mode & 0777, path);
}

static enum err file_read(const char *path, bool secret, struct buf *out, char *why, size_t size)
{
    char chunk[8192];
    struct stat st;
    ssize_t got = 0;
    enum err e = OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return refuse(why, size, errno == EACCES ? ERR_DENIED : ERR_NOTFOUND,
                      "%s: cannot be read: %s", path, strerror(errno));
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        e = refuse(why, size, ERR_NOTFOUND, "%s: is no file", path);
    else if (secret)
        e = key_mode(path, &st, why, size);
    while (e == OK && (got = read(fd, chunk, sizeof chunk)) > 0) {
        if (buf_append(out, chunk, (size_t)got) != OK)
            e = refuse(why, size, ERR_SYNTAX, "%s: is too large for what it should be", path);
    }
    close(fd);
    crypto_wipe(chunk, sizeof chunk);
    if (e == OK && got < 0)
        e = refuse(why, size, ERR_NOTFOUND, "%s: cannot be read", path);
    /* mbedTLS wants the end of PEM text to be marked, and counted. */
    if (e == OK && buf_append(out, "", 1) != OK)
        e = refuse(why, size, ERR_SYNTAX, "%s: is too large for what it should be", path);
    return e;
}

/* ---- a chain --------------------------------------------------------------------------------- */

static int64_t wall_of(const mbedtls_x509_time *t)
{
    char text[64];
    int64_t ms = 0;
    text_format(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02dZ", t->year, t->mon, t->day,
                t->hour, t->min, t->sec);
    return text_rfc3339(slice_of(text), &ms) ? ms : 0;
}

static enum err chain_parse(mbedtls_x509_crt *chain, const char *file, const struct buf *pem,
                            char *why, size_t size)
{
    int r = mbedtls_x509_crt_parse(chain, (const unsigned char *)pem->p, pem->len);
    if (r == 0 && chain->version != 0)
        return OK;
    if (r > 0)
        return refuse(why, size, ERR_SYNTAX, "%s: %d of its certificates cannot be read", file, r);
    return refuse(why, size, ERR_SYNTAX, "%s: there is no certificate (PEM) in it", file);
}

static enum err chain_times(struct cert_pair *p, int64_t now, char *why, size_t size)
{
    char text[TEXT_TIME_MAX];
    p->not_after = INT64_MAX;
    for (const mbedtls_x509_crt *x = &p->chain; x != NULL; x = x->next) {
        int64_t from = wall_of(&x->valid_from), to = wall_of(&x->valid_to);
        if (now >= to) {
            text_from_time(to, text);
            return refuse(why, size, ERR_CERT, "%s: the certificate expired on %.10s: renew it",
                          p->cert_file, text);
        }
        if (now < from) {
            text_from_time(from, text);
            return refuse(why, size, ERR_CERT, "%s: the certificate is not valid before %s",
                          p->cert_file, text);
        }
        if (to < p->not_after)
            p->not_after = to;
    }
    return OK;
}

/* Names are compared as text, ASCII only: others come to the wire as "xn--". */
static void chain_names(struct cert_pair *p)
{
    const mbedtls_x509_sequence *k = &p->chain.subject_alt_names;
    for (; k != NULL && p->names < PAIR_NAMES_MAX; k = k->next) {
        mbedtls_x509_subject_alternative_name san;
        if (k->buf.p == NULL || mbedtls_x509_parse_subject_alt_name(&k->buf, &san) != 0)
            continue;
        if (san.type == MBEDTLS_X509_SAN_DNS_NAME && san.san.unstructured_name.len > 0) {
            p->name = mem_grow(p->name, (size_t)(p->names + 1) * sizeof *p->name);
            char *z = mem_slicedup((struct slice){(const char *)san.san.unstructured_name.p,
                                                  san.san.unstructured_name.len});
            for (char *c = z; *c != '\0'; c++)
                *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + ('a' - 'A')) : *c;
            p->name[p->names++] = z;
        }
        mbedtls_x509_free_subject_alt_name(&san);
    }
}

static enum err chain_fits(const struct cert_pair *p, char *why, size_t size)
{
    size_t n = 0;
    for (const mbedtls_x509_crt *x = &p->chain; x != NULL; x = x->next)
        n += x->raw.len + CHAIN_EXTRA;
    if (n > CHAIN_MAX)
        return refuse(why, size, ERR_CERT,
                      "%s: the chain has %zu bytes, at most %d can be sent: leave the root "
                      "certificate out",
                      p->cert_file, n, CHAIN_MAX);
    for (const mbedtls_x509_crt *x = &p->chain; x->next != NULL; x = x->next) {
        const mbedtls_x509_buf *by = &x->issuer_raw, *is = &x->next->subject_raw;
        if (by->len != is->len || memcmp(by->p, is->p, is->len) != 0)
            return refuse(why, size, ERR_CERT,
                          "%s: its certificates are not one chain: the server's own comes first, "
                          "each next one is of who signed the one before",
                          p->cert_file);
    }
    return OK;
}

static enum err chain_use(const struct cert_pair *p, char *why, size_t size)
{
    const mbedtls_x509_crt *x = &p->chain;
    if (mbedtls_x509_crt_check_key_usage(x, MBEDTLS_X509_KU_DIGITAL_SIGNATURE) != 0 ||
        mbedtls_x509_crt_check_extended_key_usage(x, MBEDTLS_OID_SERVER_AUTH,
                                                  MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH)) != 0)
        return refuse(why, size, ERR_CERT, "%s: the certificate is not for a server", p->cert_file);
    return OK;
}

/* ---- the key --------------------------------------------------------------------------------- */

static enum err key_parse(struct cert_pair *p, const struct buf *pem, mbedtls_ctr_drbg_context *rng,
                          char *why, size_t size)
{
    int r = mbedtls_pk_parse_key(&p->key, (const unsigned char *)pem->p, pem->len, NULL, 0,
                                 mbedtls_ctr_drbg_random, rng);
    if (r == MBEDTLS_ERR_PK_PASSWORD_REQUIRED || r == MBEDTLS_ERR_PK_PASSWORD_MISMATCH)
        return refuse(why, size, ERR_SYNTAX,
                      "%s: the key is encrypted, and nobody is there to type the password: "
                      "openssl pkey -in %s -out FILE",
                      p->key_file, p->key_file);
    if (r != 0)
        return refuse(why, size, ERR_SYNTAX,
                      "%s: there is no private key (PEM; RSA or ECDSA) in it", p->key_file);
    mbedtls_pk_type_t type = mbedtls_pk_get_type(&p->key);
    size_t bits = mbedtls_pk_get_bitlen(&p->key);
    if (type == MBEDTLS_PK_RSA && bits < RSA_BITS_MIN)
        return refuse(why, size, ERR_CERT, "%s: an RSA key of %zu bits is too short: use ECDSA",
                      p->key_file, bits);
    if (!mbedtls_pk_can_do(&p->key, MBEDTLS_PK_RSA) &&
        !mbedtls_pk_can_do(&p->key, MBEDTLS_PK_ECDSA))
        return refuse(why, size, ERR_CERT, "%s: neither an RSA nor an ECDSA key", p->key_file);
    if (mbedtls_pk_check_pair(&p->chain.pk, &p->key, mbedtls_ctr_drbg_random, rng) != 0)
        return refuse(why, size, ERR_CERT, "%s: this key does not belong to the certificate in %s",
                      p->key_file, p->cert_file);
    return OK;
}

/* ---- a pair ---------------------------------------------------------------------------------- */

static void digest_of(uint8_t out[CRYPTO_SHA256], const struct buf *cert, const struct buf *key)
{
    uint8_t two[2 * CRYPTO_SHA256];
    crypto_sha256(two, buf_slice(cert));
    crypto_sha256(two + CRYPTO_SHA256, buf_slice(key));
    crypto_sha256(out, (struct slice){(const char *)two, sizeof two});
}

static enum err pair_fill(struct cert_pair *p, const struct buf *cert, const struct buf *key,
                          int64_t now, mbedtls_ctr_drbg_context *rng, char *why, size_t size)
{
    enum err e = chain_parse(&p->chain, p->cert_file, cert, why, size);
    if (e == OK)
        e = chain_times(p, now, why, size);
    if (e == OK)
        e = chain_fits(p, why, size);
    if (e == OK)
        e = chain_use(p, why, size);
    if (e == OK)
        e = key_parse(p, key, rng, why, size);
    if (e == OK)
        chain_names(p);
    return e;
}

enum err cert_pair_load(const struct tls_pair *files, struct cert_pair *old, int64_t now,
                        mbedtls_ctr_drbg_context *rng, struct cert_pair **out, char *why,
                        size_t size)
{
    struct buf cert, key;
    uint8_t digest[CRYPTO_SHA256];
    struct cert_pair *p = NULL;
    buf_init(&cert, FILE_MAX);
    buf_init(&key, FILE_MAX);
    enum err e = file_read(files->cert, false, &cert, why, size);
    if (e == OK)
        e = file_read(files->key, true, &key, why, size);
    if (e != OK)
        goto out;
    digest_of(digest, &cert, &key);
    if (old != NULL && memcmp(digest, old->digest, sizeof digest) == 0) {
        old->refs++;
        *out = old;
        goto out;
    }
    p = NEW(struct cert_pair);
    p->refs = 1;
    p->cert_file = mem_strdup(files->cert);
    p->key_file = mem_strdup(files->key);
    memcpy(p->digest, digest, sizeof digest);
    mbedtls_x509_crt_init(&p->chain);
    mbedtls_pk_init(&p->key);
    e = pair_fill(p, &cert, &key, now, rng, why, size);
    if (e == OK)
        *out = p;
    else
        cert_pair_unref(p);
out:
    buf_free(&cert);
    buf_wipe(&key);
    return e;
}

void cert_pair_unref(struct cert_pair *p)
{
    assert(p->refs > 0);
    if (--p->refs > 0)
        return;
    mbedtls_x509_crt_free(&p->chain);
    mbedtls_pk_free(&p->key);
    for (int i = 0; i < p->names; i++)
        mem_free(p->name[i]);
    mem_free(p->name);
    mem_free(p->cert_file);
    mem_free(p->key_file);
    mem_free(p);
}

int cert_pair_match(const struct cert_pair *p, struct slice name)
{
    int best = 0;
    ptrdiff_t dot = slice_find(name, '.');
    struct slice tail = dot > 0 ? slice_sub(name, (size_t)dot, name.n) : S("");
    for (int i = 0; i < p->names && best < 2; i++) {
        struct slice is = slice_of(p->name[i]);
        if (slice_eq(is, name))
            best = 2;
        else if (tail.n > 1 && slice_starts(is, S("*.")) && slice_eq(slice_sub(is, 1, is.n), tail))
            best = 1;
    }
    return best;
}

/* ---- clients' authorities -------------------------------------------------------------------- */

enum err cert_ca_load(const char *file, struct cert_ca *old, struct cert_ca **out, char *why,
                      size_t size)
{
    struct buf pem;
    uint8_t digest[CRYPTO_SHA256];
    buf_init(&pem, 16 * FILE_MAX);
    enum err e = file_read(file, false, &pem, why, size);
    if (e != OK)
        goto out;
    crypto_sha256(digest, buf_slice(&pem));
    if (old != NULL && memcmp(digest, old->digest, sizeof digest) == 0) {
        old->refs++;
        *out = old;
        goto out;
    }
    struct cert_ca *c = NEW(struct cert_ca);
    c->refs = 1;
    memcpy(c->digest, digest, sizeof digest);
    mbedtls_x509_crt_init(&c->crt);
    e = chain_parse(&c->crt, file, &pem, why, size);
    if (e == OK)
        *out = c;
    else
        cert_ca_unref(c);
out:
    buf_free(&pem);
    return e;
}

void cert_ca_unref(struct cert_ca *c)
{
    assert(c->refs > 0);
    if (--c->refs > 0)
        return;
    mbedtls_x509_crt_free(&c->crt);
    mem_free(c);
}

/* ---- a snapshot ------------------------------------------------------------------------------ */

struct certs *certs_new(void)
{
    struct certs *c = NEW(struct certs);
    c->refs = 1;
    mbedtls_ssl_config_init(&c->conf);
    c->alpn[0] = "http/1.1";
    return c;
}

void certs_unref(struct certs *c)
{
    assert(c->refs > 0);
    if (--c->refs > 0)
        return;
    mbedtls_ssl_config_free(&c->conf);
    if (c->ca != NULL)
        cert_ca_unref(c->ca);
    for (int i = 0; i < c->pairs; i++)
        cert_pair_unref(c->pair[i]);
    mem_free(c);
}

struct cert_pair *certs_pick(const struct certs *c, struct slice name)
{
    struct cert_pair *by_wildcard = NULL;
    assert(c->pairs > 0);
    for (int i = 0; i < c->pairs; i++) {
        int m = cert_pair_match(c->pair[i], name);
        if (m == 2)
            return c->pair[i];
        if (m == 1 && by_wildcard == NULL)
            by_wildcard = c->pair[i];
    }
    return by_wildcard != NULL ? by_wildcard : c->pair[0];
}
