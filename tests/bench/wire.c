/* wire: sockets with and without TLS; see wire.h. */
#include "wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef BENCH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>

static SSL_CTX *client_ctx, *server_ctx;

static SSL_CTX *context(const SSL_METHOD *method)
{
    SSL_CTX *c = SSL_CTX_new(method);
    if (c == NULL || SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(c, "TLS_AES_128_GCM_SHA256") != 1 ||
        SSL_CTX_set_cipher_list(c, "ECDHE-ECDSA-AES128-GCM-SHA256") != 1 ||
        SSL_CTX_set1_groups_list(c, "P-256") != 1) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
    SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                            SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    return c;
}

bool wire_has_tls(void)
{
    return true;
}

void wire_tls_client(void)
{
    client_ctx = context(TLS_client_method());
    SSL_CTX_set_verify(client_ctx, SSL_VERIFY_NONE, NULL);
}

void wire_tls_server(const char *cert, const char *key)
{
    server_ctx = context(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(server_ctx, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(server_ctx, key, SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        exit(1);
    }
}

void wire_open(struct wire *w, int fd, bool tls, bool server)
{
    *w = (struct wire){.fd = fd};
    if (!tls)
        return;
    SSL *s = SSL_new(server ? server_ctx : client_ctx);
    if (s == NULL || SSL_set_fd(s, fd) != 1)
        abort();
    if (server)
        SSL_set_accept_state(s);
    else
        SSL_set_connect_state(s);
    w->tls = s;
}

/* What SSL_* has answered, in the words of read and write. */
static ssize_t verdict(struct wire *w, int r)
{
    if (r > 0)
        return r;
    int e = SSL_get_error(w->tls, r);
    ERR_clear_error();
    if (e == SSL_ERROR_ZERO_RETURN)
        return 0;
    errno = e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
    return -1;
}

int wire_shake(struct wire *w)
{
    if (w->tls == NULL)
        return 1;
    ssize_t r = verdict(w, SSL_do_handshake(w->tls));
    return r > 0 ? 1 : r < 0 && errno == EAGAIN ? 0 : -1;
}

ssize_t wire_read(struct wire *w, char *p, size_t n)
{
    return w->tls == NULL ? read(w->fd, p, n) : verdict(w, SSL_read(w->tls, p, (int)n));
}

ssize_t wire_write(struct wire *w, const char *p, size_t n)
{
    return w->tls == NULL ? write(w->fd, p, n) : verdict(w, SSL_write(w->tls, p, (int)n));
}

void wire_finish(struct wire *w)
{
    if (w->tls != NULL)
        SSL_shutdown(w->tls);
}

void wire_close(struct wire *w)
{
    SSL_free(w->tls);
    w->tls = NULL;
    close(w->fd);
}

#else

static _Noreturn void no_tls(void)
{
    fprintf(stderr, "built without OpenSSL: no TLS\n");
    exit(1);
}

bool wire_has_tls(void)
{
    return false;
}

void wire_tls_client(void)
{
    no_tls();
}

void wire_tls_server(const char *cert, const char *key)
{
    (void)cert;
    (void)key;
    no_tls();
}

void wire_open(struct wire *w, int fd, bool tls, bool server)
{
    (void)server;
    if (tls)
        no_tls();
    *w = (struct wire){.fd = fd};
}

int wire_shake(struct wire *w)
{
    (void)w;
    return 1;
}

ssize_t wire_read(struct wire *w, char *p, size_t n)
{
    return read(w->fd, p, n);
}

ssize_t wire_write(struct wire *w, const char *p, size_t n)
{
    return write(w->fd, p, n);
}

void wire_finish(struct wire *w)
{
    (void)w;
}

void wire_close(struct wire *w)
{
    close(w->fd);
}
#endif
