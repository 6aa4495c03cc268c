/* tls_server: the server's role: certificates in force, session tickets, files that are watched. */
#include "net/arrival.h"
#include "net/tls.h"
#include "net/tls_certs.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#include <mbedtls/entropy.h>
#include <mbedtls/ssl_ciphersuites.h>
#include <mbedtls/ssl_ticket.h>
#include <psa/crypto.h>

/* A ticket's key serves for so long, and opens what it has sealed for as long again. */
#define TICKET_S       43200
#define WATCH_MS       30000
#define EXPIRY_WARN_MS (INT64_C(14) * 86400000)
#define EXPIRY_SAY_MS  INT64_C(86400000)
#define SLOTS          512 /* of about 40 KiB each */
/* An answer to ours has to cross the network. */
#define ANSWER_MS      500
#define FILES_MAX      (2 * TLS_PAIRS_MAX + 1)

struct stamp { /* of a file when it was last looked at; all zero: it was not there */
    dev_t dev;
    ino_t ino;
    off_t size;
    int64_t mtime_ns;
};

struct tls_server {
    size_t refs; /* the owner, arrivals and connections */
    struct loop *loop;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context rng;
    mbedtls_ssl_ticket_context tickets;
    struct certs *certs; /* in force */
    struct tls_pair pair[TLS_PAIRS_MAX];
    int pairs;
    char *client_ca;
    enum tls_client_auth auth;
    struct stamp stamp[FILES_MAX];
    struct timer watch;
    int64_t said_at; /* monotonic: when an expiry that is near was last said */
    struct tls_gate gate;
    struct tls_slots slots;
    uint64_t handshakes, refused;
    atomic_uint_fast64_t resumed; /* counted by threads */
};

/* One connection's part. */
struct guest {
    struct tls_server *server;
    struct certs *certs;
};

/* ---- on a thread ----------------------------------------------------------------------------- */

static int on_name(void *arg, mbedtls_ssl_context *ssl, const unsigned char *name, size_t n)
{
    const struct certs *c = arg;
    char lower[256];
    if (n >= sizeof lower)
        n = 0;
    for (size_t i = 0; i < n; i++)
        lower[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + ('a' - 'A') : name[i]);
    struct cert_pair *p = certs_pick(c, (struct slice){lower, n});
    return mbedtls_ssl_set_hs_own_cert(ssl, &p->chain, &p->key);
}

static int ticket_write(void *arg, const mbedtls_ssl_session *x, unsigned char *from,
                        const unsigned char *end, size_t *n, uint32_t *lifetime)
{
    struct tls_server *t = arg;
    return mbedtls_ssl_ticket_write(&t->tickets, x, from, end, n, lifetime);
}

static int ticket_parse(void *arg, mbedtls_ssl_session *x, unsigned char *p, size_t n)
{
    struct tls_server *t = arg;
    int r = mbedtls_ssl_ticket_parse(&t->tickets, x, p, n);
    if (r == 0)
        atomic_fetch_add(&t->resumed, 1);
    return r;
}

/* ---- the role -------------------------------------------------------------------------------- */

static int guest_prepare(void *role, mbedtls_ssl_context *ssl)
{
    (void)role;
    (void)ssl;
    return 0;
}

static enum err guest_ready(void *role, const mbedtls_ssl_context *ssl, const char **why)
{
    const struct guest *g = role;
    uint32_t flags = mbedtls_ssl_get_verify_result(ssl);
    g->server->handshakes++;
    /* mbedTLS lets a bad certificate pass where none is needed; we do not. */
    flags &= ~(uint32_t)(MBEDTLS_X509_BADCERT_MISSING | MBEDTLS_X509_BADCERT_SKIP_VERIFY);
    if (g->certs->auth == TLS_CLIENT_OFF || flags == 0)
        return OK;
    return tls_cert_refused(flags, why);
}

static void guest_ticket(void *role, const mbedtls_ssl_context *ssl)
{
    (void)role; /* servers get none */
    (void)ssl;
}

static enum err guest_refused(void *role, const mbedtls_ssl_context *ssl, int code,
                              const char **why)
{
    (void)role;
    uint32_t flags = mbedtls_ssl_get_verify_result(ssl);
    switch (code) {
    case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
    case MBEDTLS_ERR_SSL_BAD_CERTIFICATE:
        return tls_cert_refused(flags == UINT32_MAX ? 0 : flags, why);
    case MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE:
        *why = "the client sent no certificate";
        return ERR_CERT;
    case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
        *why = "the client broke off the handshake: it does not trust the certificate, perhaps";
        break;
    case MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION:
        *why = "no TLS version in common";
        break;
    case MBEDTLS_ERR_SSL_NO_APPLICATION_PROTOCOL:
        *why = "the client does not speak HTTP/1.1";
        break;
    case MBEDTLS_ERR_SSL_INVALID_RECORD:
    case MBEDTLS_ERR_SSL_UNEXPECTED_RECORD:
        *why = "the client does not speak TLS";
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

static void guest_free(void *role)
{
    struct guest *g = role;
    certs_unref(g->certs);
    tls_server_unref(g->server);
    mem_free(g);
}

enum err tls_server_start(struct tls_server *t, struct stream *s, tls_done_fn *done, void *arg)
{
    static const struct tls_role ROLE = {
        .ready = guest_ready, .ticket = guest_ticket, .refused = guest_refused, .free = guest_free};
    struct guest *g = NEW(struct guest);
    g->server = t;
    g->certs = t->certs;
    t->refs++;
    t->certs->refs++;
    return tls_start(s, &g->certs->conf, guest_prepare, &ROLE, g, &t->gate, done, arg);
}

/* ---- the configuration ----------------------------------------------------------------------- */

/* A server's own order: AES in hardware first, then what is fast without it. All are AEAD, and all
 * of TLS 1.2 are ECDHE. */
static const int SUITES[] = {MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
                             MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
                             MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
                             MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                             MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                             MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                             MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
                             MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                             MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
                             0};
static const uint16_t GROUPS[] = {
    MBEDTLS_SSL_IANA_TLS_GROUP_X25519, MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
    MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1, MBEDTLS_SSL_IANA_TLS_GROUP_NONE};

static enum err certs_configure(struct tls_server *t, struct certs *c)
{
    static const int MODE[] = {[TLS_CLIENT_OFF] = MBEDTLS_SSL_VERIFY_NONE,
                               [TLS_CLIENT_OPTIONAL] = MBEDTLS_SSL_VERIFY_OPTIONAL,
                               [TLS_CLIENT_REQUIRED] = MBEDTLS_SSL_VERIFY_REQUIRED};
    mbedtls_ssl_config *f = &c->conf;
    if (mbedtls_ssl_config_defaults(f, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0)
        return ERR_NOMEM;
    mbedtls_ssl_conf_min_tls_version(f, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_rng(f, mbedtls_ctr_drbg_random, &t->rng);
    mbedtls_ssl_conf_ciphersuites(f, SUITES);
    mbedtls_ssl_conf_groups(f, GROUPS);
    mbedtls_ssl_conf_tls13_key_exchange_modes(
        f, MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL |
               MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_EPHEMERAL);
    mbedtls_ssl_conf_authmode(f, MODE[c->auth]);
    if (c->auth != TLS_CLIENT_OFF)
        mbedtls_ssl_conf_ca_chain(f, &c->ca->crt, NULL);
    else /* a resumed session would carry yesterday's certificate */
        mbedtls_ssl_conf_session_tickets_cb(f, ticket_write, ticket_parse, t);
    mbedtls_ssl_conf_sni(f, on_name, c);
    if (mbedtls_ssl_conf_own_cert(f, &c->pair[0]->chain, &c->pair[0]->key) != 0 ||
        mbedtls_ssl_conf_alpn_protocols(f, c->alpn) != 0)
        return ERR_NOMEM;
    return OK;
}

/* The pair of these two files that is in force, or NULL. */
static struct cert_pair *pair_in_force(const struct tls_server *t, const struct tls_pair *files)
{
    for (int i = 0; t->certs != NULL && i < t->certs->pairs; i++) {
        struct cert_pair *p = t->certs->pair[i];
        if (strcmp(p->cert_file, files->cert) == 0 && strcmp(p->key_file, files->key) == 0)
            return p;
    }
    return NULL;
}

struct refusal { /* the first one's sentence */
    char *why;
    size_t size;
    bool any;
};

static void refusal_say(struct refusal *r, const char *text, bool stays)
{
    log_warn("refused", LF_STR("why", text), LF_BOOL("predecessor_stays", stays));
    if (!r->any)
        text_format(r->why, r->size, "%s%s", text, stays ? "; the one in force stays" : "");
    r->any = true;
}

static enum err pairs_load(struct tls_server *t, struct certs *c, struct refusal *r)
{
    for (int i = 0; i < t->pairs; i++) {
        char text[512];
        struct cert_pair *old = pair_in_force(t, &t->pair[i]), *got = NULL;
        enum err e = cert_pair_load(&t->pair[i], old, loop_wall(t->loop), &t->rng, &got, text,
                                    sizeof text);
        if (e != OK) {
            refusal_say(r, text, old != NULL);
            if (old == NULL)
                return e;
            old->refs++;
            got = old;
        } else if (got != old) {
            log_info("certificate taken", LF_STR("file", got->cert_file),
                     LF_STR("name", got->names > 0 ? got->name[0] : ""),
                     LF_INT("days", (got->not_after - loop_wall(t->loop)) / EXPIRY_SAY_MS));
        }
        c->pair[c->pairs++] = got;
    }
    return OK;
}

static enum err ca_load(struct tls_server *t, struct certs *c, bool same_file, struct refusal *r)
{
    char text[512];
    struct cert_ca *old = same_file && t->certs != NULL ? t->certs->ca : NULL;
    c->auth = t->client_ca == NULL ? TLS_CLIENT_OFF : t->auth;
    if (c->auth == TLS_CLIENT_OFF)
        return OK;
    enum err e = cert_ca_load(t->client_ca, old, &c->ca, text, sizeof text);
    if (e == OK)
        return OK;
    refusal_say(r, text, old != NULL);
    if (old == NULL)
        return e;
    old->refs++;
    c->ca = old;
    return OK;
}

/* ---- what is watched ------------------------------------------------------------------------- */

static const char *file_at(const struct tls_server *t, int i)
{
    if (i < 2 * t->pairs)
        return i % 2 == 0 ? t->pair[i / 2].cert : t->pair[i / 2].key;
    return i == 2 * t->pairs ? t->client_ca : NULL;
}

/* True when a file is not the one that was looked at before. */
static bool stamps_take(struct tls_server *t)
{
    bool changed = false;
    const char *file;
    for (int i = 0; (file = file_at(t, i)) != NULL; i++) {
        struct stamp now = {0};
        struct stat st;
        if (stat(file, &st) == 0) {
            now.dev = st.st_dev;
            now.ino = st.st_ino;
            now.size = st.st_size;
            now.mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
        }
        const struct stamp *was = &t->stamp[i];
        changed |= now.dev != was->dev || now.ino != was->ino || now.size != was->size ||
                   now.mtime_ns != was->mtime_ns;
        t->stamp[i] = now;
    }
    return changed;
}

static void expiry_say(struct tls_server *t)
{
    int64_t now = loop_now(t->loop), wall = loop_wall(t->loop);
    if (t->said_at != 0 && now - t->said_at < EXPIRY_SAY_MS)
        return;
    for (int i = 0; i < t->certs->pairs; i++) {
        const struct cert_pair *p = t->certs->pair[i];
        int64_t left = p->not_after - wall;
        if (left >= EXPIRY_WARN_MS)
            continue;
        log_warn(left > 0 ? "a certificate expires soon" : "a certificate has expired",
                 LF_STR("file", p->cert_file), LF_INT("days", left / EXPIRY_SAY_MS));
        t->said_at = now > 0 ? now : 1;
    }
}

void tls_server_look(void *arg)
{
    struct tls_server *t = arg;
    char why[512];
    timer_set(&t->watch, loop_now(t->loop) + WATCH_MS);
    if (stamps_take(t) && tls_server_reload(t, NULL, why, sizeof why) == OK)
        t->said_at = 0;
    expiry_say(t);
}

/* ---- options --------------------------------------------------------------------------------- */

static void options_copy(struct tls_server *t, const struct tls_server_options *o)
{
    assert(o->pairs > 0 && o->pairs <= TLS_PAIRS_MAX);
    for (int i = 0; i < o->pairs; i++)
        t->pair[i] = (struct tls_pair){mem_strdup(o->pair[i].cert), mem_strdup(o->pair[i].key)};
    t->pairs = o->pairs;
    t->client_ca = mem_strdup(o->client_ca);
    t->auth = o->client_auth;
}

/* The strings are ours: the type says const for those who read. */
static void options_free(struct tls_pair *pair, int n, char *client_ca)
{
    for (int i = 0; i < n; i++) {
        mem_free((void *)(uintptr_t)pair[i].cert);
        mem_free((void *)(uintptr_t)pair[i].key);
    }
    mem_free(client_ca);
}

/* Makes what the options say the snapshot in force. */
static enum err certs_renew(struct tls_server *t, bool same_ca, struct refusal *r)
{
    struct certs *c = certs_new();
    enum err e = pairs_load(t, c, r);
    if (e == OK)
        e = ca_load(t, c, same_ca, r);
    if (e == OK) {
        e = certs_configure(t, c);
        if (e != OK)
            refusal_say(r, "TLS could not be set up", true);
    }
    if (e != OK) {
        certs_unref(c);
        return e;
    }
    if (t->certs != NULL)
        certs_unref(t->certs);
    t->certs = c;
    return OK;
}

enum err tls_server_reload(struct tls_server *t, const struct tls_server_options *o, char *why,
                           size_t size)
{
    struct refusal r = {.why = why, .size = size};
    struct tls_pair was[TLS_PAIRS_MAX];
    int was_n = t->pairs;
    char *was_ca = t->client_ca;
    enum tls_client_auth was_auth = t->auth;
    memcpy(was, t->pair, sizeof was);
    if (o != NULL)
        options_copy(t, o);
    bool same_ca = was_ca != NULL && t->client_ca != NULL && strcmp(was_ca, t->client_ca) == 0;
    (void)stamps_take(t); /* before the files are read: a change meanwhile is seen later */
    enum err e = certs_renew(t, same_ca, &r);
    if (o == NULL)
        return e == OK && r.any ? ERR_CONFLICT : e;
    if (e != OK) {
        options_free(t->pair, t->pairs, t->client_ca);
        memcpy(t->pair, was, sizeof was);
        t->pairs = was_n;
        t->client_ca = was_ca;
        t->auth = was_auth;
    } else {
        options_free(was, was_n, was_ca);
    }
    return e == OK && r.any ? ERR_CONFLICT : e;
}

/* ---- birth and death ------------------------------------------------------------------------- */

void tls_server_ref(struct tls_server *t)
{
    t->refs++;
}

void tls_server_unref(struct tls_server *t)
{
    assert(t->refs > 0);
    if (--t->refs > 0)
        return;
    assert(t->slots.taken_n == 0 && t->slots.waiting_n == 0 && t->gate.running == 0);
    if (t->certs != NULL)
        certs_unref(t->certs);
    options_free(t->pair, t->pairs, t->client_ca);
    mbedtls_ssl_ticket_free(&t->tickets);
    mbedtls_ctr_drbg_free(&t->rng);
    mbedtls_entropy_free(&t->entropy);
    mem_free(t);
}

static enum err server_seed(struct tls_server *t)
{
    if (psa_crypto_init() != PSA_SUCCESS ||
        mbedtls_ctr_drbg_seed(&t->rng, mbedtls_entropy_func, &t->entropy, NULL, 0) != 0 ||
        mbedtls_ssl_ticket_setup(&t->tickets, mbedtls_ctr_drbg_random, &t->rng,
                                 MBEDTLS_CIPHER_AES_256_GCM, TICKET_S) != 0)
        return ERR_IO;
    return OK;
}

/* One core is the loop's. */
static int gate_width(void)
{
    unsigned cores = uv_available_parallelism();
    return cores > 3 ? 3 : cores > 1 ? (int)cores - 1 : 1;
}

enum err tls_server_new(struct loop *l, const struct tls_server_options *o, struct tls_server **out,
                        char *why, size_t size)
{
    struct tls_server *t = NEW(struct tls_server);
    struct refusal r = {.why = why, .size = size};
    t->refs = 1;
    t->loop = l;
    mbedtls_entropy_init(&t->entropy);
    mbedtls_ctr_drbg_init(&t->rng);
    mbedtls_ssl_ticket_init(&t->tickets);
    tls_gate_init(&t->gate, gate_width());
    t->slots.most = SLOTS;
    t->slots.patience_ms = ANSWER_MS;
    list_init(&t->slots.taken);
    list_init(&t->slots.waiting);
    timer_init(&t->slots.look, l, arrival_slots_look, &t->slots);
    task_init(&t->slots.more, arrival_slots_look, &t->slots);
    t->slots.gate = &t->gate;
    t->gate.loop = l;
    timer_init(&t->watch, l, tls_server_look, t);
    options_copy(t, o);
    (void)stamps_take(t);
    enum err e = server_seed(t);
    if (e != OK)
        refusal_say(&r, "TLS could not be set up: no random numbers", false);
    else
        e = certs_renew(t, false, &r);
    if (e != OK) {
        tls_server_unref(t);
        return e;
    }
    timer_set(&t->watch, loop_now(l) + WATCH_MS);
    expiry_say(t);
    *out = t;
    return OK;
}

void tls_server_free(struct tls_server *t)
{
    timer_stop(&t->watch);
    timer_stop(&t->slots.look);
    task_cancel(&t->slots.more);
    t->gate.ready = NULL;
    tls_server_unref(t);
}

/* ---- what others ask ------------------------------------------------------------------------- */

struct tls_slots *tls_server_slots(struct tls_server *t)
{
    return &t->slots;
}

bool tls_server_cert(const struct tls_server *t, int i, struct tls_cert_info *out)
{
    if (i < 0 || i >= t->certs->pairs)
        return false;
    const struct cert_pair *p = t->certs->pair[i];
    *out = (struct tls_cert_info){
        .file = p->cert_file, .name = p->names > 0 ? p->name[0] : "", .expires_at = p->not_after};
    return true;
}

void tls_server_refused(struct tls_server *t)
{
    t->refused++;
}

void tls_server_stats_get(const struct tls_server *t, struct tls_server_stats *out)
{
    *out = (struct tls_server_stats){.handshakes = t->handshakes,
                                     .resumed = atomic_load(&t->resumed),
                                     .refused = t->refused,
                                     .in_progress = t->slots.taken_n,
                                     .waiting = t->slots.waiting_n};
}
