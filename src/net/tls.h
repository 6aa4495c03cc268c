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
    /* The handshake is over, on the loop. OK, or why this peer is refused after all. */
    enum err (*ready)(void *role, const mbedtls_ssl_context *ssl, const char **why);
    /* A session ticket has come (TLS 1.3). */
    void (*ticket)(void *role, const mbedtls_ssl_context *ssl);
    /* The handshake gave `code`: which error, and why; static text. */
    enum err (*refused)(void *role, const mbedtls_ssl_context *ssl, int code, const char **why);
    void (*free)(void *role);
};

/* Exactly one call, in a later turn, unless the stream is aborted before. After an error the caller
 * aborts the stream. */
typedef void tls_done_fn(void *arg, enum err e, const char *why);

/* How many steps of handshakes may be with libuv's threads at one time, of all that go through it:
 * strangers' handshakes must leave threads to names that are looked up and to upstreams, and a core
 * to the loop. The rest wait here, oldest first. */
struct tls_gate {
    int most, running;
    int queued; /* in `waiting` */
    struct link waiting;
    /* Told, in a later turn, when a step has come back. May be NULL. */
    struct loop *loop;
    struct task *ready;
};
void tls_gate_init(struct tls_gate *g, int most);
/* So many steps wait that a newcomer's may wait elsewhere, where it can be chosen or given up. */
bool tls_gate_busy(const struct tls_gate *g);

/* Puts TLS under a connected stream that has no owner, and begins the handshake. `prepare` sets
 * what is particular to this connection (name, session). Takes `role` in any case; the gate, which
 * may be NULL, lives for as long as the role. */
MUST_USE enum err tls_start(struct stream *s, const mbedtls_ssl_config *conf,
                            int (*prepare)(void *role, mbedtls_ssl_context *ssl),
                            const struct tls_role *ops, void *role, struct tls_gate *gate,
                            tls_done_fn *done, void *arg);

struct tls_client;
/* The client's role: verifies the chain and that the certificate is for `host`. */
MUST_USE enum err tls_client_start(struct tls_client *t, struct stream *s, const char *host,
                                   uint16_t port, tls_done_fn *done, void *arg);

/* What mbedTLS's flags of a certificate mean: ERR_CERT and a static text. */
enum err tls_cert_refused(uint32_t flags, const char **why);

/* The server's role, with the certificates in force now. */
MUST_USE enum err tls_server_start(struct tls_server *t, struct stream *s, tls_done_fn *done,
                                   void *arg);
/* What the listeners share of a server: see arrival.c. */
#define SLOT_SOURCES 256
struct tls_slots {
    struct link taken;   /* arrivals whose handshake is going on, oldest first */
    struct link waiting; /* arrivals for which there is no place yet, oldest first */
    int taken_n, waiting_n;
    int most;
    int64_t patience_ms;             /* with a peer whose turn it is, when others wait */
    struct timer look;               /* armed while somebody waits */
    struct task more;                /* posted by the gate */
    struct tls_gate *gate;           /* no handshake begins while it is busy */
    uint16_t taken_of[SLOT_SOURCES]; /* by a hash of where they come from */
};
struct tls_slots *tls_server_slots(struct tls_server *t);
void tls_server_ref(struct tls_server *t);
void tls_server_unref(struct tls_server *t);
/* Have files changed, does a certificate expire? Every 30 s, by a timer. */
void tls_server_look(void *arg);
void tls_server_refused(struct tls_server *t); /* counts it */

/* ---- what stream.c asks of a stream with TLS ------------------------------------------------- */

bool tls_ready(const struct tls *t);    /* the handshake is over */
bool tls_busy(const struct tls *t);     /* the handshake waits for us, not for the peer */
bool tls_answered(const struct tls *t); /* something has been sent in the handshake */
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
