/* conn: one client's connection and the one call on it. Private to http.
 *
 *             first byte      head complete         http_end
 *      IDLE ------------> HEAD ------------> OPEN ------------> FLUSH  bytes are still going out
 *       ^                                     |                   |
 *       |                                     '---------+---------'
 *       |                request's body not read yet    v
 *       '-------------------------------------------- DRAIN
 *      any of them ---> CLOSED: the stream is given away, the memory awaits the graveyard
 *
 * One timer a connection. It is set lazily: a deadline that moves later leaves the timer where it
 * is, and the timer looks again when it fires. */
#ifndef SLUICE_HTTP_CONN_H
#define SLUICE_HTTP_CONN_H

#include "http/forwarded.h"
#include "http/h1.h"

#define PENDING_STOP    16384   /* with so many bytes unparsed the stream is not read */
#define PENDING_MAX     1048576 /* ... and one read more than that must fit */
#define READ_FIRST      16384   /* at once, before it is known where a body should be read to */
#define DRAIN_BYTES     65536   /* of a body nobody wanted */
#define DRAIN_MS        2000
#define RATE_MS         30000 /* a body brings at least RATE_BYTES in every RATE_MS */
#define RATE_BYTES      30720
/* A client that has ended its side hears interim replies while its answer is not there, if that
 * takes longer than the first of these; between them, from the second to the last, four times
 * longer each. If it is gone altogether, the first one meets a reset, and the next behind its round
 * trip sees it. */
#define PROBE_AFTER_MS  25
#define PROBE_FIRST_MS  50
#define PROBE_LAST_MS   12800
#define CALLS_KEPT      256  /* in the free list */
#define RAW_KEPT        8192 /* of a call in the free list: larger buffers are given back */
#define ANSWER_HEAD_MAX 262144
#define NEVER           INT64_MAX
#define TRUSTED_MAX     64
/* A head comes with its connection, in one piece: when room is needed, one that has taken longer
 * can be spared, the slowest first. Short, for so many times a second can strangers fill all the
 * places there are; who is honest and slow is in danger only while they do. */
#define YOUNG_MS        50
#define YOUNG_MIN       16                 /* so many may always be without a head */
#define YOUNG_BYTES     ((int64_t)8 << 20) /* ... and have sent so much of it in all */
#define SAY_MS          60000
#define FADE_MS         50 /* between two steps of http_server_fade */
#define FADE_IDLE_MS    500

enum conn_state { CONN_IDLE, CONN_HEAD, CONN_OPEN, CONN_FLUSH, CONN_DRAIN, CONN_CLOSED };

struct conn {
    struct link link;  /* in the server's idle or busy list */
    struct link young; /* in its list of those that have yet to complete a head */
    struct http_server *server;
    struct source *source;  /* NULL: not counted */
    struct http_call *call; /* from HEAD to DRAIN */
    struct timer timer;
    struct task task;   /* what must not happen inside the call that caused it */
    struct buf pending; /* bytes read and not yet parsed */
    int64_t since;      /* the state began */
    int64_t young_at;   /* it was accepted, or its head began */
    int64_t old_at;     /* from here on an answer is the last one */
    int64_t body_at;    /* last body bytes, or the handler began to wait for them */
    int64_t write_at;   /* the outstanding write was offered */
    int64_t rate_at;    /* the body's rate is measured since */
    int64_t probe_at;   /* half closed: the next interim reply; 0: none yet */
    int64_t probe_ms;   /* ... and how long to wait for the one behind it */
    int64_t drained;
    size_t room; /* body bytes that are being read to where the handler wants them */
    struct stream *stream;
    int32_t rate_bytes;
    int32_t calls;      /* begun on this connection */
    int32_t head_bytes; /* of the head so far, while it is young */
    enum conn_state state;
    enum err dead; /* a write failed: the next turn tells */
    bool reading, parsing, ended_here;
    bool half; /* the client has ended its side: it will say no more */
};

struct http_call {
    struct link link; /* in the server's free list */
    void *x;          /* the handler's object; NULL until open has returned */
    struct h1 h1;
    struct http_head head;
    struct addr *client; /* whom a trusted proxy named; NULL until one did */
    struct buf out;      /* the answer's head */
    struct slice *later; /* an answer that waits for a 100 Continue to be flushed */
    int64_t received;    /* body bytes */
    /* What each write needs stands together: see struct exchange. */
    struct conn *conn;
    int64_t length; /* of the answer; -1: chunked or until the end */
    int64_t bytes_out;
    char size_line[20]; /* of the chunk that is going out */
    int later_n;
    bool proxied;   /* `client` counts, not the stream's peer */
    bool want;      /* the handler takes body bytes */
    bool continued; /* 100 Continue has been sent, or is not needed any more */
    bool responded, over;
    bool bodyless; /* the answer to a HEAD, a 204 or a 304 */
    bool chunked;  /* the answer's framing */
    bool last;     /* the next write carries the answer's last bytes */
    bool owed;     /* `written` is owed to the handler */
    bool tail_due; /* the last chunk */
    bool close;    /* the connection ends with this answer */
};

struct source {
    char key[16];
    int32_t connections;
};

struct http_server {
    struct loop *loop;
    struct http_server_limits limits;
    struct http_server_ops ops;
    void *ctx;
    struct link idle; /* oldest first */
    struct link busy;
    struct link young; /* oldest first */
    int32_t young_n;
    int64_t young_bytes;
    struct map sources; /* an address, or its /64 -> struct source */
    struct cidr trusted[TRUSTED_MAX];
    int trusted_n;
    enum http_forwarded forwarded;
    int64_t say_at; /* a source with too many connections is logged again from then on */
    struct link free_calls;
    struct buf spare; /* memory for the next answer's head */
    int free_count;
    void (*on_full)(void *arg, bool full); /* NULL: nobody wants to know */
    void *on_full_arg;
    struct timer silent; /* armed while full: silent connections become spare by themselves */
    struct timer fade;   /* armed while idle connections go one by one, until then: */
    int64_t fade_until;
    bool full, lame, draining, freed; /* lame: each answer ends its connection */
    struct http_server_stats stats;
};

/* ---- server.c ------------------------------------------------------------------------------ */
struct http_call *call_new(struct http_server *s);
void call_release(struct http_server *s, struct http_call *call);
/* The connection begins, or a head of which more must come; ... is complete, or it is gone. */
void young_enter(struct http_server *s, struct conn *c);
void young_leave(struct http_server *s, struct conn *c);
/* More of the head of `c` has come, and it is not all. */
void young_grow(struct http_server *s, struct conn *c, size_t n);
void source_leave(struct http_server *s, struct source *source); /* NULL is fine */
/* How much the load is to this server. */
enum load_level server_load(const struct http_server *s);
/* How long a connection may be idle, as things are. */
int64_t server_keep_ms(const struct http_server *s);
/* Tells whoever wants to know when the server has become full, or has room again. */
void server_watch(struct http_server *s);

/* ---- conn.c -------------------------------------------------------------------------------- */
void conn_start(struct http_server *s, struct stream *stream, struct source *source);
/* Sets state, list, gauges and deadline. */
void conn_move(struct conn *c, enum conn_state to);
/* After something has changed that may bring the deadline nearer (body bytes only move it away). */
void conn_arm(struct conn *c);
/* Gives the stream away: politely (what is written goes out), or at once. */
void conn_close(struct conn *c, bool polite);
/* Tells the handler that its call cannot go on, unless the answer has ended. */
void conn_lost(struct conn *c, enum err e, const char *why);
/* The answer is out: on to the next request, the rest of this one's body, or the end. */
void conn_answered(struct conn *c);
/* Body bytes are wanted (or no longer). */
void conn_want(struct conn *c, bool on);

/* ---- call.c -------------------------------------------------------------------------------- */
/* One of the server's own error answers; closes the connection. */
void conn_refuse(struct conn *c, int status, const char *why);
/* An interim reply, unless something is outstanding already. */
void call_interim(struct conn *c, struct slice reply);
/* The stream has taken all that was offered to it. */
void call_written(struct conn *c);

#endif
