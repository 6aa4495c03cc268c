/* links: base net */
/* TLS streams against a small mbedTLS server in a thread, with certificates made here. */
#include "net/net.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/ecp.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>
#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>

#include <cmocka.h>

/* ---- certificates ---------------------------------------------------------------------------- */

enum cert { GOOD, OTHER_NAME, EXPIRED, FUTURE, SELF_SIGNED, STRANGER, ADDRESS, CERTS };

static struct {
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context rng;
    mbedtls_pk_context ca_key, key;
    mbedtls_x509_crt ca, crt[CERTS];
    char ca_file[64];
} made;

static void ok(int r)
{
    if (r != 0) {
        char text[128];
        mbedtls_strerror(r, text, sizeof text);
        print_error("mbedTLS: -0x%04x %s\n", (unsigned)-r, text);
    }
    assert_int_equal(r, 0);
}

static void make_key(mbedtls_pk_context *k)
{
    mbedtls_pk_init(k);
    ok(mbedtls_pk_setup(k, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)));
    ok(mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*k), mbedtls_ctr_drbg_random,
                           &made.rng));
}

struct wish {
    const char *subject, *issuer, *dns;
    uint8_t ip[4];
    const char *from, *to;
    mbedtls_pk_context *key, *issuer_key;
    bool ca;
};

/* Makes a certificate; its PEM text goes to `pem` when that is not NULL. */
static void make_cert(mbedtls_x509_crt *out, const struct wish *w, char *pem, size_t size)
{
    static unsigned char serial = 1;
    char text[4096];
    mbedtls_x509write_cert c;
    mbedtls_x509write_crt_init(&c);
    mbedtls_x509write_crt_set_version(&c, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(&c, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(&c, w->key);
    mbedtls_x509write_crt_set_issuer_key(&c, w->issuer_key);
    ok(mbedtls_x509write_crt_set_subject_name(&c, w->subject));
    ok(mbedtls_x509write_crt_set_issuer_name(&c, w->issuer));
    ok(mbedtls_x509write_crt_set_validity(&c, w->from, w->to));
    ok(mbedtls_x509write_crt_set_serial_raw(&c, &serial, 1));
    serial++;
    ok(mbedtls_x509write_crt_set_basic_constraints(&c, w->ca, -1));
    mbedtls_x509_san_list san = {.node = {.type = MBEDTLS_X509_SAN_DNS_NAME}};
    if (w->dns != NULL) {
        san.node.san.unstructured_name.p = (unsigned char *)(uintptr_t)w->dns;
        san.node.san.unstructured_name.len = strlen(w->dns);
    } else {
        san.node.type = MBEDTLS_X509_SAN_IP_ADDRESS;
        san.node.san.unstructured_name.p = (unsigned char *)(uintptr_t)w->ip;
        san.node.san.unstructured_name.len = 4;
    }
    ok(mbedtls_x509write_crt_set_subject_alternative_name(&c, &san));
    ok(mbedtls_x509write_crt_pem(&c, (unsigned char *)text, sizeof text, mbedtls_ctr_drbg_random,
                                 &made.rng));
    mbedtls_x509_crt_init(out);
    ok(mbedtls_x509_crt_parse(out, (const unsigned char *)text, strlen(text) + 1));
    if (pem != NULL)
        text_copy(pem, size, slice_of(text));
    mbedtls_x509write_crt_free(&c);
}

static int make_all(void **state)
{
    (void)state;
    static char pem[4096];
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(psa_crypto_init(), PSA_SUCCESS);
    mbedtls_entropy_init(&made.entropy);
    mbedtls_ctr_drbg_init(&made.rng);
    ok(mbedtls_ctr_drbg_seed(&made.rng, mbedtls_entropy_func, &made.entropy, NULL, 0));
    make_key(&made.ca_key);
    make_key(&made.key);
    const char *root = "CN=Test Root", *leaf = "CN=leaf", *day = "20200101000000",
               *far = "20991231235959";
    struct wish ca = {root, root, "root", {0}, day, far, &made.ca_key, &made.ca_key, true};
    make_cert(&made.ca, &ca, pem, sizeof pem);
    const struct wish wishes[CERTS] = {
        [GOOD] = {leaf, root, "localhost", {0}, day, far, &made.key, &made.ca_key, false},
        [OTHER_NAME] = {leaf, root, "other.example", {0}, day, far, &made.key, &made.ca_key, false},
        [EXPIRED] =
            {leaf, root, "localhost", {0}, day, "20210101000000", &made.key, &made.ca_key, false},
        [FUTURE] =
            {leaf, root, "localhost", {0}, "20980101000000", far, &made.key, &made.ca_key, false},
        [SELF_SIGNED] = {leaf, leaf, "localhost", {0}, day, far, &made.key, &made.key, false},
        /* says it is from our root, but another key signed it */
        [STRANGER] = {leaf, root, "localhost", {0}, day, far, &made.key, &made.key, false},
        [ADDRESS] = {leaf, root, NULL, {127, 0, 0, 1}, day, far, &made.key, &made.ca_key, false},
    };
    for (int i = 0; i < CERTS; i++)
        make_cert(&made.crt[i], &wishes[i], NULL, 0);
    text_copy(made.ca_file, sizeof made.ca_file, S("/tmp/test-net-ca-XXXXXX"));
    int fd = mkstemp(made.ca_file);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, pem, strlen(pem)), (ssize_t)strlen(pem));
    close(fd);
    return 0;
}

static int free_all(void **state)
{
    (void)state;
    unlink(made.ca_file);
    for (int i = 0; i < CERTS; i++)
        mbedtls_x509_crt_free(&made.crt[i]);
    mbedtls_x509_crt_free(&made.ca);
    mbedtls_pk_free(&made.ca_key);
    mbedtls_pk_free(&made.key);
    mbedtls_ctr_drbg_free(&made.rng);
    mbedtls_entropy_free(&made.entropy);
    mbedtls_psa_crypto_free();
    return 0;
}

/* ---- the server ------------------------------------------------------------------------------ */

enum play {
    ECHO,      /* what comes goes back; answers close_notify with its own */
    SEND,      /* BIG bytes, close_notify, FIN */
    CUT,       /* "partial", then FIN without close_notify */
    GARBAGE,   /* "partial", then bytes that are no record */
    RESET,     /* RST after the handshake */
    LATE_READ, /* reads only when told to, then counts */
    PLAIN,     /* speaks HTTP instead of TLS */
    CLOSE,     /* hangs up during the handshake */
    TWO,       /* two records and a close_notify in one write */
    SILENT,    /* never answers the hello */
};

#define BIG ((size_t)1 << 20)

struct server {
    pthread_t thread;
    int listening;
    uint16_t port;
    enum cert cert;
    enum play play;
    int most; /* TLS version */
    int conns;
    mbedtls_ssl_config conf;
    mbedtls_ssl_ticket_context tickets;
    char *big;
    int go[2]; /* a byte lets LATE_READ and SILENT go on */
    int fd;
    struct buf held; /* TWO: what would be written */
    bool holding;
    atomic_int resumed, got, clean; /* sessions resumed; bytes got; close_notify seen */
    atomic_int suite;               /* with TLS 1.3 mbedTLS takes the client's first */
};

static int parse_ticket(void *arg, mbedtls_ssl_session *session, unsigned char *buf, size_t len)
{
    struct server *v = arg;
    int r = mbedtls_ssl_ticket_parse(&v->tickets, session, buf, len);
    if (r == 0)
        atomic_fetch_add(&v->resumed, 1);
    return r;
}

static int write_ticket(void *arg, const mbedtls_ssl_session *session, unsigned char *start,
                        const unsigned char *end, size_t *len, uint32_t *lifetime)
{
    struct server *v = arg;
    return mbedtls_ssl_ticket_write(&v->tickets, session, start, end, len, lifetime);
}

static int server_recv(void *arg, unsigned char *p, size_t n)
{
    ssize_t r = recv(((struct server *)arg)->fd, p, n, 0);
    return r < 0 ? MBEDTLS_ERR_SSL_INTERNAL_ERROR : (int)r;
}

static int server_send(void *arg, const unsigned char *p, size_t n)
{
    struct server *v = arg;
    if (v->holding)
        return buf_append(&v->held, p, n) == OK ? (int)n : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
    ssize_t r = send(v->fd, p, n, MSG_NOSIGNAL);
    return r < 0 ? MBEDTLS_ERR_SSL_INTERNAL_ERROR : (int)r;
}

static void write_all(mbedtls_ssl_context *ssl, const char *p, size_t n)
{
    while (n > 0) {
        int r = mbedtls_ssl_write(ssl, (const unsigned char *)p, n);
        if (r <= 0)
            return;
        p += r;
        n -= (size_t)r;
    }
}

/* Reads until the end; echoes if told to. */
static void read_all(struct server *v, mbedtls_ssl_context *ssl, bool echo)
{
    unsigned char buf[16384];
    for (;;) {
        int r = mbedtls_ssl_read(ssl, buf, sizeof buf);
        if (r == MBEDTLS_ERR_SSL_WANT_READ)
            continue;
        if (r == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
            atomic_fetch_add(&v->clean, 1);
            mbedtls_ssl_close_notify(ssl);
        }
        if (r <= 0)
            return;
        atomic_fetch_add(&v->got, r);
        if (echo)
            write_all(ssl, (const char *)buf, (size_t)r);
    }
}

static void wait_go(struct server *v)
{
    char c;
    assert(read(v->go[0], &c, 1) == 1);
}

static void play_two(struct server *v, mbedtls_ssl_context *ssl)
{
    buf_init(&v->held, 1 << 16);
    v->holding = true;
    write_all(ssl, "one", 3);
    write_all(ssl, "two", 3);
    mbedtls_ssl_close_notify(ssl);
    v->holding = false;
    assert(send(v->fd, v->held.p, v->held.len, MSG_NOSIGNAL) == (ssize_t)v->held.len);
    buf_free(&v->held);
}

static void play_tls(struct server *v, mbedtls_ssl_context *ssl)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    switch (v->play) {
    case ECHO:
        read_all(v, ssl, true);
        break;
    case SEND:
        write_all(ssl, v->big, BIG);
        mbedtls_ssl_close_notify(ssl);
        break;
    case CUT:
        write_all(ssl, "partial", 7);
        break;
    case GARBAGE:
        write_all(ssl, "partial", 7);
        (void)send(v->fd, "these are no records", 20, MSG_NOSIGNAL);
        break;
    case RESET:
        setsockopt(v->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        break;
    case LATE_READ:
        wait_go(v);
        read_all(v, ssl, false);
        break;
    case TWO:
        play_two(v, ssl);
        break;
    default:
        break;
    }
}

static void serve(struct server *v)
{
    char byte;
    char hello[16384];
    if (v->play == CLOSE) {
        (void)recv(v->fd, hello, sizeof hello, 0); /* else it would be a reset */
        return;
    }
    if (v->play == SILENT) {
        wait_go(v);
        return;
    }
    if (v->play == PLAIN) {
        (void)recv(v->fd, &byte, 1, 0);
        (void)send(v->fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, MSG_NOSIGNAL);
        return;
    }
    mbedtls_ssl_context ssl;
    mbedtls_ssl_init(&ssl);
    assert(mbedtls_ssl_setup(&ssl, &v->conf) == 0);
    mbedtls_ssl_set_bio(&ssl, v, server_send, server_recv, NULL);
    if (mbedtls_ssl_handshake(&ssl) == 0) {
        atomic_store(&v->suite, mbedtls_ssl_get_ciphersuite_id_from_ssl(&ssl));
        play_tls(v, &ssl);
    }
    if (v->play != RESET) { /* FIN, and not RST: take what has come */
        shutdown(v->fd, SHUT_WR);
        while (recv(v->fd, &byte, 1, 0) > 0)
            continue;
    }
    mbedtls_ssl_free(&ssl);
}

static void *server_main(void *arg)
{
    struct server *v = arg;
    for (int i = 0; i < v->conns; i++) {
        v->fd = accept(v->listening, NULL, NULL);
        assert(v->fd >= 0);
        int on = 1;
        setsockopt(v->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        serve(v);
        close(v->fd);
    }
    return NULL;
}

static void server_begin(struct server *v)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    mbedtls_ssl_config_init(&v->conf);
    mbedtls_ssl_ticket_init(&v->tickets);
    ok(mbedtls_ssl_config_defaults(&v->conf, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM,
                                   MBEDTLS_SSL_PRESET_DEFAULT));
    mbedtls_ssl_conf_rng(&v->conf, mbedtls_ctr_drbg_random, &made.rng);
    ok(mbedtls_ssl_conf_own_cert(&v->conf, &made.crt[v->cert], &made.key));
    ok(mbedtls_ssl_ticket_setup(&v->tickets, mbedtls_ctr_drbg_random, &made.rng,
                                MBEDTLS_CIPHER_AES_256_GCM, 86400));
    mbedtls_ssl_conf_session_tickets_cb(&v->conf, write_ticket, parse_ticket, v);
    if (v->most == 12)
        mbedtls_ssl_conf_max_tls_version(&v->conf, MBEDTLS_SSL_VERSION_TLS1_2);
    v->big = mem_new(BIG);
    for (size_t i = 0; i < BIG; i++)
        v->big[i] = (char)(i * 7 + i / 253);
    assert_int_equal(pipe(v->go), 0);
    v->listening = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(v->listening >= 0);
    assert_int_equal(bind(v->listening, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(v->listening, 16), 0);
    assert_int_equal(getsockname(v->listening, (struct sockaddr *)&at, &len), 0);
    v->port = ntohs(at.sin_port);
    if (v->conns == 0)
        v->conns = 1;
    assert_int_equal(pthread_create(&v->thread, NULL, server_main, v), 0);
}

static void server_go(struct server *v)
{
    assert_int_equal(write(v->go[1], "x", 1), 1);
}

static void server_end(struct server *v)
{
    pthread_join(v->thread, NULL);
    close(v->listening);
    close(v->go[0]);
    close(v->go[1]);
    mbedtls_ssl_config_free(&v->conf);
    mbedtls_ssl_ticket_free(&v->tickets);
    mem_free(v->big);
}

/* ---- the client ------------------------------------------------------------------------------ */

struct client {
    struct loop *l;
    struct tls_client *tls;
    struct server *v;
    int dialled;
    enum err dial_err;
    const char *dial_why;
    struct stream *s;
    struct buf got;
    int reads, ends, errors, writes;
    enum err e;
    const char *why;
    size_t stop_at;
    bool pause, abort_in_read;
};

static void on_read(void *owner, struct slice bytes)
{
    struct client *c = owner;
    c->reads++;
    assert_int_equal(c->ends, 0);
    assert_int_equal(buf_append(&c->got, bytes.p, bytes.n), OK);
    if (c->pause) {
        stream_read(c->s, false);
        loop_stop(c->l);
    }
    if (c->abort_in_read) {
        stream_abort(c->s);
        c->s = NULL;
        loop_stop(c->l);
    }
    if (c->stop_at > 0 && c->got.len >= c->stop_at)
        loop_stop(c->l);
}

static void on_end(void *owner)
{
    struct client *c = owner;
    c->ends++;
    loop_stop(c->l);
}

static void on_error(void *owner, enum err e, const char *why)
{
    struct client *c = owner;
    c->errors++;
    c->e = e;
    c->why = why;
    loop_stop(c->l);
}

static void on_written(void *owner)
{
    struct client *c = owner;
    c->writes++;
    loop_stop(c->l);
}

static const struct stream_ops ops = {on_read, on_end, on_error, on_written};

static void on_done(void *owner, enum err e, const char *why, struct stream *s)
{
    struct client *c = owner;
    c->dialled++;
    c->dial_err = e;
    c->dial_why = why;
    c->s = s;
    if (s != NULL)
        stream_own(s, &ops, c);
    loop_stop(c->l);
}

static struct client client;

static int setup(void **state)
{
    const char *why = NULL;
    alarm(60);
    client = (struct client){.l = loop_new()};
    buf_init(&client.got, 4 * BIG);
    assert_int_equal(tls_client_new(made.ca_file, NULL, &client.tls, &why), OK);
    *state = &client;
    return 0;
}

static void drop(struct client *c)
{
    if (c->s != NULL)
        stream_abort(c->s);
    c->s = NULL;
}

static int teardown(void **state)
{
    struct client *c = *state;
    drop(c);
    tls_client_free(c->tls); /* connections that are closing still hold it */
    loop_free(c->l);
    buf_free(&c->got);
    return 0;
}

static struct dial *start(struct client *c, struct server *v, const char *host)
{
    struct dial_target t = {
        .host = slice_of(host), .port = v->port, .tls = c->tls, .allow_private = true};
    c->v = v;
    c->dialled = 0;
    return dial_start(c->l, &t, on_done, c);
}

static void dial(struct client *c, struct server *v, const char *host)
{
    start(c, v, host);
    while (c->dialled == 0)
        loop_run(c->l);
}

static void connect_ok(struct client *c, struct server *v)
{
    dial(c, v, "localhost");
    if (c->dial_err != OK)
        print_error("dial: %s\n", c->dial_why);
    assert_int_equal(c->dial_err, OK);
    assert_true(stream_is_tls(c->s));
}

static void wait_for(struct client *c, size_t n)
{
    c->stop_at = n;
    while (c->got.len < n && c->errors + c->ends == 0)
        loop_run(c->l);
    c->stop_at = 0;
    assert_true(c->got.len >= n);
}

static void wait_over(struct client *c)
{
    while (c->errors + c->ends == 0)
        loop_run(c->l);
}

static enum err write_text(struct client *c, const char *text)
{
    struct slice v = slice_of(text);
    return stream_write(c->s, &v, 1);
}

/* ---- good ------------------------------------------------------------------------------------ */

static void echo(struct client *c, int most, const char *version)
{
    struct server v = {.cert = GOOD, .play = ECHO, .most = most};
    struct slice parts[3] = {S("head "), S(""), S("and body")};
    server_begin(&v);
    connect_ok(c, &v);
    assert_string_equal(stream_tls_version(c->s), version);
    stream_read(c->s, true);
    assert_int_equal(write_text(c, "hello"), OK);
    wait_for(c, 5);
    assert_int_equal(stream_write(c->s, parts, 3), OK);
    wait_for(c, 18);
    assert_memory_equal(c->got.p, "hellohead and body", 18);
    stream_finish(c->s);
    c->s = NULL;
    loop_run(c->l); /* ends: the server answers close_notify and FIN */
    server_end(&v);
    assert_int_equal(atomic_load(&v.clean), 1);
    if (most == 13)
        assert_int_equal(atomic_load(&v.suite), MBEDTLS_TLS1_3_AES_128_GCM_SHA256);
    assert_int_equal(c->errors + c->ends, 0);
}

static void echo_13(void **state)
{
    echo(*state, 13, "TLSv1.3");
}

static void echo_12(void **state)
{
    echo(*state, 12, "TLSv1.2");
}

static void address_in_certificate(void **state)
{
    struct client *c = *state;
    struct server v = {.cert = ADDRESS, .play = ECHO};
    server_begin(&v);
    dial(c, &v, "127.0.0.1");
    assert_int_equal(c->dial_err, OK);
    stream_finish(c->s);
    c->s = NULL;
    loop_run(c->l);
    server_end(&v);
}

static void big_answer_and_close_notify(void **state)
{
    struct client *c = *state;
    struct server v = {.cert = GOOD, .play = SEND};
    server_begin(&v);
    connect_ok(c, &v);
    stream_read(c->s, true);
    wait_over(c);
    assert_int_equal(c->ends, 1);
    assert_int_equal(c->errors, 0);
    assert_int_equal(c->got.len, BIG);
    assert_memory_equal(c->got.p, v.big, BIG);
    drop(c);
    server_end(&v);
}

static void pausing_hides_nothing(void **state)
{
    struct client *c = *state;
    struct server v = {.cert = GOOD, .play = SEND};
    server_begin(&v);
    connect_ok(c, &v);
    c->pause = true;
    while (c->got.len < BIG) {
        int had = c->reads;
        stream_read(c->s, true);
        assert_int_equal(c->reads, had); /* never inside the call */
        loop_run(c->l);
        assert_int_equal(c->reads, had + 1); /* and once paused, no more */
        assert_int_equal(c->ends + c->errors, 0);
    }
    assert_memory_equal(c->got.p, v.big, BIG);
    stream_read(c->s, true);
    wait_over(c);
    assert_int_equal(c->ends, 1);
    drop(c);
    server_end(&v);
}

static void records_that_came_together(void **state)
{
    struct client *c = *state;
    struct server v = {.cert = GOOD, .play = TWO};
    server_begin(&v);
    connect_ok(c, &v);
    stream_read(c->s, true);
    wait_over(c);
    assert_int_equal(c->got.len, 6);
    assert_memory_equal(c->got.p, "onetwo", 6);
    assert_int_equal(c->reads, 1); /* one call, so one write to whoever is behind */
    assert_int_equal(c->ends, 1);
    drop(c);
    server_end(&v);
}

static void paused_before_the_end(void **state)
{
    struct client *c = *state;
    struct server v = {.cert = GOOD, .play = TWO};
    server_begin(&v);
    connect_ok(c, &v);
    c->pause = true;
    stream_read(c->s, true);
    while (c->reads == 0)
        loop_run(c->l);
    assert_int_equal(c->ends, 0); /* known already, but not wanted */
    stream_read(c->s, true);
    assert_int_equal(c->ends, 0);
    wait_over(c);
    assert_int_equal(c->ends, 1);
    drop(c);
    server_end(&v);
}

static void blocked_write(void **state)
{
    struct client *c = *state;
    struct server v = {.cert = GOOD, .play = LATE_READ};
    size_t n = 16 * BIG;
    char *big = mem_new(n);
    struct slice parts[2] = {{big, 1000}, {big + 1000, n - 1000}};
    server_begin(&v);
    connect_ok(c, &v);
    assert_int_equal(stream_write(c->s, parts, 2), ERR_AGAIN);
    assert_true(stream_writing(c->s));
    server_go(&v);
    while (c->writes == 0)
        loop_run(c->l);
    assert_int_equal(write_text(c, "x"), OK);
    stream_finish(c->s);
    c->s = NULL;
    loop_run(c->l);
    server_end(&v);
    assert_int_equal(atomic_load(&v.got), n + 1);
    assert_int_equal(atomic_load(&v.clean), 1);
    assert_int_equal(c->writes, 1);
    mem_free(big);
}

static void finish_with_a_blocked_write(void **state)
{
    struct client *c = *state;
    struct server v = {.cert = GOOD, .play = LATE_READ};
    size_t n = 16 * BIG;
    char *big = mem_new(n);
    struct slice part = {big, n};
    server_begin(&v);
    connect_ok(c, &v);
    assert_int_equal(stream_write(c->s, &part, 1), ERR_AGAIN);
    stream_finish(c->s);
    c->s = NULL;
    mem_free(big); /* ours again */
    server_go(&v);
    loop_run(c->l);
    server_end(&v);
    assert_int_equal(atomic_load(&v.got), n);
    assert_int_equal(atomic_load(&v.clean), 1);
    assert_int_equal(c->writes, 0);
}

/* Handshakes share the roots, the random numbers and the threads. */
#define MANY 8

static int many_done;

static void many_on_done(void *owner, enum err e, const char *why, struct stream *s)
{
    struct client *c = owner;
    assert_int_equal(e, OK);
    assert_null(why);
    stream_own(s, &ops, c);
    stream_finish(s);
    many_done++;
}

static void many_at_once(void **state)
{
    struct client *c = *state;
    static struct server v[MANY];
    many_done = 0;
    for (int i = 0; i < MANY; i++) {
        v[i] = (struct server){.cert = GOOD, .play = ECHO, .most = i % 2 ? 12 : 13};
        server_begin(&v[i]);
        struct dial_target t = {
            .host = S("localhost"), .port = v[i].port, .tls = c->tls, .allow_private = true};
        dial_start(c->l, &t, many_on_done, c);
    }
    loop_run(c->l);
    assert_int_equal(many_done, MANY);
    for (int i = 0; i < MANY; i++) {
        server_end(&v[i]);
        assert_int_equal(atomic_load(&v[i].clean), 1);
    }
}

/* ---- resumption ------------------------------------------------------------------------------ */

static void resume(struct client *c, int most)
{
    struct server v = {.cert = GOOD, .play = ECHO, .most = most, .conns = 3};
    server_begin(&v);
    for (int i = 0; i < 3; i++) {
        connect_ok(c, &v);
        stream_read(c->s, true);
        assert_int_equal(write_text(c, "x"), OK);
        wait_for(c, (size_t)i + 1);
        stream_finish(c->s);
        c->s = NULL;
        loop_run(c->l);
    }
    server_end(&v);
    assert_int_equal(atomic_load(&v.resumed), 2);
}

static void resumes_13(void **state)
{
    resume(*state, 13);
}

static void resumes_12(void **state)
{
    resume(*state, 12);
}

/* A session the server has forgotten costs a full handshake, not a failure. */
static void forgotten_session(void **state)
{
    struct client *c = *state;
    struct server v = {.cert = GOOD, .play = ECHO};
    server_begin(&v);
    connect_ok(c, &v);
    stream_read(c->s, true);
    assert_int_equal(write_text(c, "x"), OK);
    wait_for(c, 1);
    stream_finish(c->s);
    c->s = NULL;
    loop_run(c->l);
    pthread_join(v.thread, NULL);
    mbedtls_ssl_ticket_free(&v.tickets); /* new ticket keys */
    mbedtls_ssl_ticket_init(&v.tickets);
    ok(mbedtls_ssl_ticket_setup(&v.tickets, mbedtls_ctr_drbg_random, &made.rng,
                                MBEDTLS_CIPHER_AES_256_GCM, 86400));
    assert_int_equal(pthread_create(&v.thread, NULL, server_main, &v), 0);
    connect_ok(c, &v);
    stream_finish(c->s);
    c->s = NULL;
    loop_run(c->l);
    server_end(&v);
    assert_int_equal(atomic_load(&v.resumed), 0);
}

/* ---- refused --------------------------------------------------------------------------------- */

static void refusals(void **state)
{
    struct client *c = *state;
    static const struct {
        enum cert cert;
        enum play play;
        const char *host;
        enum err e;
        const char *why;
    } table[] = {
        {OTHER_NAME, ECHO, "localhost", ERR_CERT, "certificate is for another name"},
        {GOOD, ECHO, "127.0.0.1", ERR_CERT, "certificate is for another name"},
        {EXPIRED, ECHO, "localhost", ERR_CERT, "certificate has expired"},
        {FUTURE, ECHO, "localhost", ERR_CERT, "certificate is not valid yet"},
        {SELF_SIGNED, ECHO, "localhost", ERR_CERT,
         "certificate is self-signed or from an unknown issuer"},
        {STRANGER, ECHO, "localhost", ERR_CERT,
         "certificate is self-signed or from an unknown issuer"},
        {GOOD, PLAIN, "localhost", ERR_TLS, "the peer does not speak TLS"},
        {GOOD, CLOSE, "localhost", ERR_TLS, "connection closed during the TLS handshake"},
    };
    for (int most = 12; most <= 13; most++) {
        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
            struct server v = {.cert = table[i].cert, .play = table[i].play, .most = most};
            server_begin(&v);
            dial(c, &v, table[i].host);
            server_end(&v);
            assert_null(c->s);
            assert_int_equal(c->dialled, 1);
            assert_string_equal(c->dial_why, table[i].why);
            assert_int_equal(c->dial_err, table[i].e);
        }
    }
}

static void canceled_during_the_handshake(void **state)
{
    struct client *c = *state;
    for (int turns = 0; turns < 40; turns++) { /* at every stage of it */
        struct server v = {.cert = GOOD, .play = turns % 2 ? ECHO : SILENT};
        server_begin(&v);
        struct dial *d = start(c, &v, "localhost");
        struct timer t;
        struct task k;
        timer_init(&t, c->l, (void (*)(void *))loop_stop, c->l);
        task_init(&k, (void (*)(void *))loop_stop, c->l);
        for (int i = 0; i < turns && c->dialled == 0; i++) {
            if (i < 20)
                task_post(c->l, &k);
            else
                timer_set(&t, loop_now(c->l) + 1);
            loop_run(c->l);
            timer_stop(&t);
            task_cancel(&k);
        }
        if (c->dialled == 0)
            dial_cancel(d);
        else
            drop(c);
        c->dialled = 0;
        if (v.play == SILENT)
            server_go(&v);
        /* The dial may have been canceled before it connected: let the server see somebody. */
        struct sockaddr_in at = {.sin_family = AF_INET,
                                 .sin_port = htons(v.port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        (void)connect(fd, (struct sockaddr *)&at, sizeof at);
        close(fd);
        task_post(c->l, &k);
        loop_run(c->l);
        server_end(&v);
        assert_int_equal(c->dialled, 0);
    }
}

/* ---- ends that are not clean ----------------------------------------------------------------- */

static void unclean(struct client *c, enum play play, int most, enum err e, const char *why)
{
    struct server v = {.cert = GOOD, .play = play, .most = most};
    server_begin(&v);
    connect_ok(c, &v);
    stream_read(c->s, true);
    wait_over(c);
    assert_int_equal(c->ends, 0); /* an aborted transfer must not look complete */
    assert_int_equal(c->errors, 1);
    assert_int_equal(c->e, e);
    if (why != NULL)
        assert_string_equal(c->why, why);
    if (play != RESET) {
        assert_int_equal(c->got.len, 7);
        assert_memory_equal(c->got.p, "partial", 7);
    }
    assert_int_equal(write_text(c, "x"), ERR_RESET);
    drop(c);
    server_end(&v);
}

static void cut_without_close_notify(void **state)
{
    unclean(*state, CUT, 13, ERR_EOF, "connection closed without TLS close_notify");
}

static void cut_without_close_notify_12(void **state)
{
    unclean(*state, CUT, 12, ERR_EOF, "connection closed without TLS close_notify");
}

static void garbage_between_records(void **state)
{
    unclean(*state, GARBAGE, 13, ERR_TLS, NULL);
}

static void reset_by_the_server(void **state)
{
    unclean(*state, RESET, 13, ERR_RESET, NULL);
}

static void abort_in_on_read(void **state)
{
    struct client *c = *state;
    struct server v = {.cert = GOOD, .play = SEND};
    server_begin(&v);
    connect_ok(c, &v);
    c->abort_in_read = true;
    stream_read(c->s, true);
    while (c->reads == 0)
        loop_run(c->l);
    loop_run(c->l);
    assert_int_equal(c->reads, 1);
    assert_int_equal(c->ends + c->errors, 0);
    server_end(&v);
}

/* ---- roots ----------------------------------------------------------------------------------- */

static void roots_must_be_there(void **state)
{
    struct tls_client *t = NULL;
    const char *why = NULL;
    (void)state;
    assert_int_equal(tls_client_new("/nowhere/ca.pem", NULL, &t, &why), ERR_NOTFOUND);
    assert_non_null(why);
    assert_int_equal(tls_client_new("/dev/null", NULL, &t, &why), ERR_SYNTAX);
    assert_int_equal(tls_client_new(NULL, "/nowhere/ca.pem", &t, &why), ERR_NOTFOUND);
    assert_int_equal(tls_client_new(SLUICE_TESTS_DIR "/unit/test_net_tls.c", NULL, &t, &why),
                     ERR_SYNTAX);
    assert_null(t);
    assert_int_equal(tls_client_new(NULL, made.ca_file, &t, &why), OK);
    tls_client_free(t);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(echo_13),
        T(echo_12),
        T(address_in_certificate),
        T(big_answer_and_close_notify),
        T(pausing_hides_nothing),
        T(records_that_came_together),
        T(paused_before_the_end),
        T(blocked_write),
        T(finish_with_a_blocked_write),
        T(many_at_once),
        T(resumes_13),
        T(resumes_12),
        T(forgotten_session),
        T(refusals),
        T(canceled_during_the_handshake),
        T(cut_without_close_notify),
        T(cut_without_close_notify_12),
        T(garbage_between_records),
        T(reset_by_the_server),
        T(abort_in_on_read),
        cmocka_unit_test(roots_must_be_there),
    };
    return cmocka_run_group_tests(tests, make_all, free_all);
}
