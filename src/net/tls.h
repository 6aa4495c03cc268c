/* tls: TLS records between a stream and its owner; the same for both roles. Private to net.
 *
 * Ciphertext in, ciphertext out: mbedTLS never sees a descriptor. The handshake's arithmetic
 * (1-4 ms) runs on libuv's thread pool, one step at a time; while a step is there, `busy` is set
 * and the loop touches nothing of the session but `hold`. Records are handled on the loop.
 *
 * A role (tls_client.c) brings the configuration and a struct tls_role. */
#ifndef SLUICE_NET_TLS_H
#define SLUICE_NET_TLS_H

#include "net/stream.h"

#include <mbedtls/ssl.h>

struct tls_role {
    /* The handshake is over, on the loop; `tls_session` may be asked. */
    void (*ready)(void *role, const mbedtls_ssl_context *ssl);
    /* A session ticket has come (TLS 1.3). */
    void (*ticket)(void *role, const mbedtls_ssl_context *ssl);
    /* The handshake gave `code`: which error, and why; static text. */
    enum err (*refused)(void *role, const mbedtls_ssl_context *ssl, int code, const char **why);
    void (*free)(void *role);
};

/* Exactly one call, in a later turn, unless the stream is aborted before. After an error the caller
 * aborts the stream. */
typedef void tls_done_fn(void *arg, enum err e, const char *why);

/* Puts TLS under a connected stream that has no owner, and begins the handshake. `prepare` sets
 * what is particular to this connection (name, session). Takes `role` in any case. */
MUST_USE enum err tls_start(struct stream *s, const mbedtls_ssl_config *conf,
                            int (*prepare)(void *role, mbedtls_ssl_context *ssl),
                            const struct tls_role *ops, void *role, tls_done_fn *done, void *arg);

struct tls_client;
/* The client's role: verifies the chain and that the certificate is for `host`. */
MUST_USE enum err tls_client_start(struct tls_client *t, struct stream *s, const char *host,
                                   uint16_t port, tls_done_fn *done, void *arg);

/* ---- what stream.c asks of a stream with TLS ------------------------------------------------- */

bool tls_ready(const struct tls *t); /* the handshake is over */
/* Can it take ciphertext now? False while it holds enough that nobody has wanted yet. */
bool tls_hungry(const struct stream *s);
/* Ciphertext has come; may call the owner. */
void tls_input(struct stream *s, struct slice bytes);
/* Delivers what is hidden, as long as the owner wants it. */
void tls_pump(struct stream *s);
bool tls_hiding(const struct stream *s); /* bytes are here that the owner has not had */
/* The peer's FIN. */
void tls_eof(struct stream *s);
/* Sends s->rest: OK, ERR_AGAIN (or more is queued), or an error. */
MUST_USE enum err tls_push(struct stream *s, const char **why);
/* Sends all of s->rest at once, and close_notify. ERR_AGAIN and OK are both fine. */
MUST_USE enum err tls_goodbye(struct stream *s, const char **why);
/* The connection broke during the handshake: the handshake's caller is told, when it may be. */
void tls_broke(struct stream *s, enum err e, const char *why);
/* False when a thread is still busy with it: stream_release will be called. */
MUST_USE bool tls_free(struct stream *s);
const char *tls_version(const struct tls *t);
void tls_scratch_free(struct tls_scratch *scratch);

#endif
