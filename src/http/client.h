/* client: requests upstream, and the connections that wait for the next one. Private to http.
 *
 *   request:   DIAL -----> LIVE -----> OVER
 *                ^           |
 *                '-----------'  once, when a pooled connection was dead before the reply began
 *
 *   upstream:  leased to one request <----> idle in its origin's list and in the client's
 *
 * An idle connection keeps reading: any byte, or the end, closes it. One goes back only when the
 * request is written whole, the reply is complete by its framing, and not a byte more has come. */
#ifndef SLUICE_HTTP_CLIENT_H
#define SLUICE_HTTP_CLIENT_H

#include "http/h1.h"

#define INTERIM_MAX      8       /* 1xx replies before the real one */
#define HELD_MAX         1048576 /* bytes read while the owner pauses: one read of the stream */
#define REQUEST_HEAD_MAX 262144
#define REQUESTS_KEPT    256
#define REQUEST_BUF_KEPT 8192
#define ORIGIN_KEY_MAX   320
#define ORIGIN_LINE_MAX  320
#define ORIGINS_RECENT   16 /* found again without a look into the map */

struct origin { /* a place connections go to, for one pool */
    struct http_client *client;
    struct link idle; /* newest last */
    struct http_target target;
    size_t key_len, line_len;
    int refs;                   /* its connections and its requests */
    char key[ORIGIN_KEY_MAX];   /* begins with the host */
    char line[ORIGIN_LINE_MAX]; /* of each request's head, from behind the path to behind the host
                                 */
};

struct upstream {                     /* a connection */
    struct link in_origin, in_client; /* while idle */
    struct origin *origin;
    struct stream *stream;
    int64_t idle_at;
};

enum request_state { REQUEST_DIAL, REQUEST_LIVE, REQUEST_OVER };

struct http_request {
    struct link link; /* in the client's list of requests, or in its free list */
    struct http_client *client;
    struct origin *origin;
    struct upstream *up;
    struct dial *dial;
    struct timer timer; /* of dialling */
    struct task task;
    struct http_head head;
    struct buf out; /* the request's head: kept for a second try */
    struct slice body;
    const char *why; /* with `failed` */
    struct h1 h1;
    /* What each read needs stands together, with the end of h1: see struct exchange. */
    const struct http_request_ops *ops;
    void *owner;
    struct buf held; /* bytes read and not parsed: the owner pauses */
    enum err failed; /* to be told in the next turn, or behind what is held */
    enum request_state state;
    int interim;
    bool head_method; /* HEAD: the reply has no body */
    bool reused;      /* on a pooled connection */
    bool retried;     /* that was dead, and has been replaced */
    bool starting;    /* http_request_start is on the stack: nothing may be called back */
    bool sent;        /* the request has been written whole */
    bool begun;       /* a byte of the reply has come */
    bool paused;
    bool ended; /* the peer has ended its side behind what is held */
    bool parsing;
};

struct http_client {
    struct loop *loop;
    struct http_client_limits limits;
    struct tls_client *tls;
    struct map origins;
    struct origin *recent[ORIGINS_RECENT]; /* the last one of a pool, by its number; or NULL */
    struct link idle;                      /* oldest first */
    struct link requests, free_requests;
    struct buf spare;   /* memory for the next request's head */
    struct timer timer; /* the oldest idle connection's */
    int64_t idle_count;
    int free_count;
};

/* ---- pool.c -------------------------------------------------------------------------------- */
/* The origin with one more reference. */
struct origin *origin_hold(struct http_client *c, const struct http_target *t);
void origin_release(struct origin *o);
struct upstream *upstream_new(struct origin *o, struct stream *stream);
/* The newest idle connection, or NULL. Its stream belongs to the caller now. */
struct upstream *pool_take(struct origin *o);
void pool_give(struct upstream *u);
void upstream_close(struct upstream *u, bool polite);
void pool_close_idle(struct http_client *c);
/* Closes the one that has been idle for longest, at once; false when there is none. */
bool pool_shed(struct http_client *c);
void pool_timer(void *client);

#endif
