/* A connected socket that does not block, with or without TLS.
 *
 * TLS is OpenSSL's on purpose: a handshake costs this end a tenth of what it costs with mbedTLS, so
 * that it is the gateway that is measured. The cipher is AES-128-GCM, the curve P-256, whatever the
 * peer would like; sessions are never resumed. Without OpenSSL's headers there is no TLS here. */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct wire {
    int fd;
    void *tls; /* NULL: plain */
};

bool wire_has_tls(void);
void wire_tls_client(void);
void wire_tls_server(const char *cert, const char *key);
void wire_open(struct wire *w, int fd, bool tls, bool server);
/* 1: ready, 0: later, -1: failed. At once without TLS. */
int wire_shake(struct wire *w);
/* As read and write: 0 is the end, -1 with EAGAIN is later. */
ssize_t wire_read(struct wire *w, char *p, size_t n);
ssize_t wire_write(struct wire *w, const char *p, size_t n);
void wire_finish(struct wire *w); /* close_notify; nothing more is sent */
void wire_close(struct wire *w);

#endif
