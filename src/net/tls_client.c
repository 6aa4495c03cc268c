/* tls_client: the client's role: trusted roots, verification, the session cache. */
#include "net/tls.h"

#include <string.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl_ciphersuites.h>
#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>

/* Origins whose last session is kept, for a handshake at a fifth of the price. */
#define SESSIONS_MAX 256

#define KEY_MAX      272 /* a name of 253 bytes, ':', a port */

struct tls_client {
    size_t refs; /* the owner, and every connection: its configuration is in use until the end */
    mbedtls_ssl_config conf;
    mbedtls_x509_crt roots;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context rng;
    const char *alpn[2];
    int *suites;         /* what is offered, best first */
    struct map sessions; /* "host:port" -> mbedtls_ssl_session; the loop's thread only */
};

/* One connection's part. */
struct peer {
    struct tls_client *client;
    char host[KEY_MAX]; /* the name the certificate must have */
    char key[KEY_MAX];
};

/* ---- session cache --------------------------------------------------------------------------- */

static void session_free(mbedtls_ssl_session *x)
{
    if (x == NULL)
        return;
    mbedtls_ssl_session_free(x);
    mem_free(x);
}

static void session_drop(struct peer *p)
{
    session_free(map_del(&p->client->sessions, slice_of(p->key)));
}

static void session_keep(struct peer *p, const mbedtls_ssl_context *ssl)
{
    struct map *m = &p->client->sessions;
    mbedtls_ssl_session *x = NEW(mbedtls_ssl_session);
    mbedtls_ssl_session_init(x);
    if (mbedtls_ssl_get_session(ssl, x) != 0) {
        session_free(x);
        return;
    }
    size_t at = 0;
    struct slice key;
    void *any;
    if (m->live >= SESSIONS_MAX && map_next(m, &at, &key, &any)) /* any of them will do */
        session_free(map_del(m, key));
    session_free(map_put(m, slice_of(p->key), x));
    assert(m->live <= SESSIONS_MAX);
}

/* ---- the role -------------------------------------------------------------------------------- */

static int client_prepare(void *role, mbedtls_ssl_context *ssl)
{
    struct peer *p = role;
    int r = mbedtls_ssl_set_hostname(ssl, p->host);
    const mbedtls_ssl_session *x = map_get(&p->client->sessions, slice_of(p->key));
    if (r == 0 && x != NULL && mbedtls_ssl_set_session(ssl, x) != 0)
        session_drop(p); /* a full handshake, then */
    return r;
}

static enum err client_ready(void *role, const mbedtls_ssl_context *ssl, const char **why)
{
    (void)why;
    /* TLS 1.3 sends its sessions later, as tickets. */
    if (mbedtls_ssl_get_version_number(ssl) == MBEDTLS_SSL_VERSION_TLS1_2)
        session_keep(role, ssl);
    return OK;
}

static void client_ticket(void *role, const mbedtls_ssl_context *ssl)
{
    session_keep(role, ssl);
}

enum err tls_cert_refused(uint32_t flags, const char **why)
{
    static const struct {
        uint32_t flag;
        const char *why;
    } table[] = {
        {MBEDTLS_X509_BADCERT_NOT_TRUSTED, "certificate is self-signed or from an unknown issuer"},
        {MBEDTLS_X509_BADCERT_EXPIRED, "certificate has expired"},
        {MBEDTLS_X509_BADCERT_FUTURE, "certificate is not valid yet"},
        {MBEDTLS_X509_BADCERT_CN_MISMATCH, "certificate is for another name"},
        {MBEDTLS_X509_BADCERT_REVOKED, "certificate has been revoked"},
        {MBEDTLS_X509_BADCERT_BAD_MD | MBEDTLS_X509_BADCERT_BAD_PK | MBEDTLS_X509_BADCERT_BAD_KEY,
         "certificate uses a weak key or signature"},
        {MBEDTLS_X509_BADCERT_KEY_USAGE | MBEDTLS_X509_BADCERT_EXT_KEY_USAGE |
             MBEDTLS_X509_BADCERT_NS_CERT_TYPE,
         "certificate is not for this use"},
        {MBEDTLS_X509_BADCERT_MISSING, "the peer sent no certificate"},
    };
    *why = "certificate was not accepted";
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (flags & table[i].flag) {
            *why = table[i].why;
            break;
        }
    }
    return ERR_CERT;
}

static enum err client_refused(void *role, const mbedtls_ssl_context *ssl, int code,
                               const char **why)
{
    session_drop(role); /* whatever it was, the next one starts afresh */
    uint32_t flags = mbedtls_ssl_get_verify_result(ssl);
    if (code == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED || (flags != 0 && flags != UINT32_MAX))
        return tls_cert_refused(flags == UINT32_MAX ? 0 : flags, why);
    switch (code) {
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
        *why = "the peer refused the TLS handshake";
        break;
    case MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION:
        *why = "no TLS version in common";
        break;
    case MBEDTLS_ERR_SSL_INVALID_RECORD:
    case MBEDTLS_ERR_SSL_UNEXPECTED_RECORD:
        *why = "the peer does not speak TLS";
        break;
    case MBEDTLS_ERR_SSL_ALLOC_FAILED:
        *why = "out of memory";
        return ERR_NOMEM;
    default:
        *why = "TLS handshake failed";
        break;
    }
    return ERR_TLS;
}

static void client_unref(struct tls_client *t)
{
    assert(t->refs > 0);
    if (--t->refs > 0)
        return;
    size_t at = 0;
    struct slice key;
    void *x;
    while (map_next(&t->sessions, &at, &key, &x))
        session_free(x);
    map_free(&t->sessions);
    mbedtls_ssl_config_free(&t->conf);
    mem_free(t->suites);
    mbedtls_x509_crt_free(&t->roots);
    mbedtls_ctr_drbg_free(&t->rng);
    mbedtls_entropy_free(&t->entropy);
    mem_free(t);
}

static void client_peer_free(void *role)
{
    struct peer *p = role;
    client_unref(p->client);
    mem_free(p);
}

static const struct tls_role client_role = {
    .ready = client_ready,
    .ticket = client_ticket,
    .refused = client_refused,
    .free = client_peer_free,
};

enum err tls_client_start(struct tls_client *t, struct stream *s, const char *host, uint16_t port,
                          tls_done_fn *done, void *arg)
{
    struct peer *p = NEW(struct peer);
    p->client = t;
    t->refs++;
    text_copy(p->host, sizeof p->host, slice_of(host));
    text_format(p->key, sizeof p->key, "%s:%u", host, (unsigned)port);
    return tls_start(s, &t->conf, client_prepare, &client_role, p, NULL, done, arg);
}

/* ---- roots and configuration ----------------------------------------------------------------- */

static enum err roots_load(mbedtls_x509_crt *roots, const char *file, const char **why)
{
    int r = mbedtls_x509_crt_parse_file(roots, file);
    if (r == MBEDTLS_ERR_PK_FILE_IO_ERROR) {
        *why = "the file of trusted certificates cannot be read";
        return ERR_NOTFOUND;
    }
    /* A positive number counts the certificates that were passed over. */
    if (r < 0 || roots->version == 0) {
        *why = "the file of trusted certificates holds none";
        return ERR_SYNTAX;
    }
    return OK;
}

static enum err roots_find(mbedtls_x509_crt *roots, const char *ca_file, const char *ca_env,
                           const char **why)
{
    static const char *const places[] = {
        "/etc/ssl/certs/ca-certificates.crt",                /* Debian, Ubuntu, Arch, Alpine */
        "/etc/pki/tls/certs/ca-bundle.crt",                  /* Fedora, RHEL */
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* RHEL */
        "/etc/ssl/ca-bundle.pem",                            /* openSUSE */
        "/etc/ssl/cert.pem",                                 /* macOS, BSD */
    };
    if (ca_file != NULL)
        return roots_load(roots, ca_file, why);
    if (ca_env != NULL && ca_env[0] != '\0')
        return roots_load(roots, ca_env, why);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        if (roots_load(roots, places[i], why) == OK)
            return OK;
    }
    *why = "this system has no trusted certificates (install ca-certificates)";
    return ERR_NOTFOUND;
}

/* mbedTLS would offer ChaCha20 first, which it does at a hundredth of the speed of AES in hardware;
 * many servers take the client's first. Whatever else it knows is offered after these. */
static void suites_order(struct tls_client *t)
{
    static const int FIRST[] = {
        MBEDTLS_TLS1_3_AES_128_GCM_SHA256, MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
        MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256, MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256};
    const size_t first = sizeof FIRST / sizeof FIRST[0];
    const int *all = mbedtls_ssl_list_ciphersuites();
    size_t n = 0, have = first;
    while (all[n] != 0)
        n++;
    t->suites = mem_new((first + n + 1) * sizeof t->suites[0]); /* zeros: the end is one */
    memcpy(t->suites, FIRST, sizeof FIRST);
    for (size_t i = 0; i < n; i++) {
        size_t at = 0;
        while (at < first && all[i] != FIRST[at])
            at++;
        if (at == first)
            t->suites[have++] = all[i];
    }
    assert(have <= first + n && t->suites[have] == 0);
    mbedtls_ssl_conf_ciphersuites(&t->conf, t->suites);
}

static enum err configure(struct tls_client *t, const char **why)
{
    *why = "TLS could not be set up";
    if (psa_crypto_init() != PSA_SUCCESS ||
        mbedtls_ctr_drbg_seed(&t->rng, mbedtls_entropy_func, &t->entropy, NULL, 0) != 0)
        return ERR_IO;
    if (mbedtls_ssl_config_defaults(&t->conf, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0)
        return ERR_NOMEM;
    mbedtls_ssl_conf_min_tls_version(&t->conf, MBEDTLS_SSL_VERSION_TLS1_2);
    suites_order(t);
    mbedtls_ssl_conf_authmode(&t->conf, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_ca_chain(&t->conf, &t->roots, NULL);
    mbedtls_ssl_conf_rng(&t->conf, mbedtls_ctr_drbg_random, &t->rng);
    /* Without this a TLS 1.3 ticket is dropped in silence, and nothing is ever resumed. */
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
        &t->conf, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
    t->alpn[0] = "http/1.1"; /* servers that prefer h2 ask */
    if (mbedtls_ssl_conf_alpn_protocols(&t->conf, t->alpn) != 0)
        return ERR_NOMEM;
    return OK;
}

enum err tls_client_new(const char *ca_file, const char *ca_env, struct tls_client **out,
                        const char **why)
{
    struct tls_client *t = NEW(struct tls_client);
    t->refs = 1;
    map_init(&t->sessions);
    mbedtls_ssl_config_init(&t->conf);
    mbedtls_x509_crt_init(&t->roots);
    mbedtls_entropy_init(&t->entropy);
    mbedtls_ctr_drbg_init(&t->rng);
    enum err e = configure(t, why);
    if (e == OK)
        e = roots_find(&t->roots, ca_file, ca_env, why);
    if (e != OK) {
        client_unref(t);
        return e;
    }
    *out = t;
    return OK;
}

void tls_client_free(struct tls_client *t)
{
    client_unref(t);
}
