/* stream: the inside of a stream, for dial, listen and TLS. Private to net.
 *
 *      OPEN --> DEAD ----------------------.        DEAD: on_error was told, or a write refused
 *       |        |                         v
 *       |        '--> (finish, abort) --> CLOSED    CLOSED: uv_close called; the memory goes when
 *       |--> (abort) ---------------------^ ^               libuv and the handshake's thread let go
 *       '--> (finish) FLUSH --> LINGER -----'
 *
 * FLUSH: what is queued goes out, then the FIN. LINGER: until the peer's FIN, or two seconds. */
#ifndef SLUICE_NET_STREAM_H
#define SLUICE_NET_STREAM_H

#include "net/loop_uv.h"

enum stream_state { STREAM_OPEN, STREAM_DEAD, STREAM_FLUSH, STREAM_LINGER, STREAM_CLOSED };
enum { LAST_NONE, LAST_END, LAST_ERROR };

struct tls;

/* What only the end of a stream needs. */
struct farewell {
    struct link link; /* in loop->finishing */
    struct stream *s;
    struct timer deadline; /* FLUSH and LINGER */
    uv_shutdown_t shutdown;
};

/* There are two of them in every stream of events that is held for minutes: what a stream needs
 * now and then is not kept in it. */
struct stream {
    struct loop *loop;
    const struct stream_ops *ops; /* NULL: nobody's */
    void *owner;
    struct tls *tls;    /* NULL: plain */
    uint32_t queued;    /* requests in libuv's hands */
    uint16_t read_turn; /* the loop's, at its latest read */
    uint8_t late;       /* one more than its place among loop->late; 0: none */
    uint8_t rest_n;     /* of `rest` */
    uint8_t state;      /* enum stream_state */
    uint8_t last;       /* how the reading side ended, kept until the owner wants to read */
    uint8_t last_err;   /* enum err */
    bool want;          /* the owner wants to read */
    bool reading;       /* libuv is told to read; stopped only when bytes come unwanted */
    bool ended;         /* on_end was called, or the FIN was seen while finishing */
    bool writing;       /* the owner waits for on_written */
    bool dialled : 1;   /* the peer is a server */
    bool broke : 1;     /* a write that the owner knows nothing of failed; told in the next turn */
    /* The owner's bytes that nobody has taken yet: in loop->rest while stream_write is on the
     * stack, in memory of their own while a write is outstanding, NULL else. */
    struct slice *rest;
    struct task deliver; /* hidden bytes, or `last`, for an owner who began to read */
    const char *last_why;
    struct addr *peer;         /* NULL: nobody has asked yet */
    struct farewell *farewell; /* from FLUSH on */
    union {                    /* last: a TCP stream has no room for a pipe's handle */
        uv_handle_t any;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } h;
};

/* Without a socket yet: dial connects it, listen opens it. */
struct stream *stream_new(struct loop *l, bool tcp);
void stream_set_peer(struct stream *s, const struct addr *a); /* copied */

/* Raw bytes to the wire, at the end of the turn if they are few; what the kernel does not take is
 * copied and queued (ERR_AGAIN, not bounded: the caller bounds it). Any other error: the connection
 * is broken, the caller reports. */
MUST_USE enum err wire_send(struct stream *s, const char *p, size_t n, const char **why);
/* Queues a copy without trying: its end is reported in a later turn. ERR_AGAIN, or an error. */
MUST_USE enum err wire_queue(struct stream *s, const char *p, size_t n, const char **why);

/* Hands what is late to the kernel, or queues it; a failure is told in the next turn. */
void wire_late(struct stream *s);

/* The connection is dead: tells the owner (or the handshake) unless nobody listens. */
void stream_fail(struct stream *s, enum err e, const char *why);
/* The reading side is over: on_end (LAST_END), or on_error, as soon as the owner wants to read. */
void stream_last(struct stream *s, enum err e, const char *why);
/* Tells libuv to read if bytes are wanted and it does not. */
void stream_arm(struct stream *s);
/* Ends a stream whose handshake has failed so that the alert, which says why, reaches the peer. */
void stream_refuse(struct stream *s);
/* Called by TLS when a handshake's thread has let go of a stream that is CLOSED meanwhile. */
void stream_release(struct stream *s);

/* A turn ends: each stream has its share of the next one. */
void reads_renew(struct loop *l);

/* The owner's unsent bytes: copies at most n to `out` and drops them; returns how many. */
size_t rest_take(struct stream *s, char *out, size_t n);
size_t rest_size(const struct stream *s);
void rest_drop(struct stream *s, size_t n);

#endif
