/* net: the loop, its clock and timers, the worker thread, streams, TLS, dialling and listening.
 *
 * The only room that may include uv.h and mbedTLS's TLS. It moves bytes and knows nothing of HTTP.
 * All of it belongs to one thread, the loop's; only `worker` runs elsewhere, and talks by messages.
 *
 * The room is in two halves behind one door. src/net/core_*.c is pure (timer heap, deferred tasks,
 * graveyard); the rest sits on libuv and is replaced, in tests/flow, by a simulated network with a
 * clock made of an integer. So no other room may assume that a file descriptor exists.
 *
 * Rules of every object here (design.md section 5):
 *  - After x_finish(), x_abort() or x_cancel() returns, x never calls its owner again; its
 *    memory goes when its last handle has closed.
 *  - No callback runs inside the call that caused it; an immediate failure is a return value, or is
 *    reported in the next turn.
 *  - Polite finish (flush, close_notify, FIN, bounded linger) and abort are two verbs. */
#ifndef SLUICE_NET_H
#define SLUICE_NET_H

#include "base/base.h"
#include "net/load.h"

struct loop;

/* ---- loop and clock -------------------------------------------------------------------------- */

struct loop *loop_new(void);
void loop_free(struct loop *l); /* every handle must be closed; asserts it */
void loop_run(struct loop *l);  /* until loop_stop, or until nothing is left to wait for */
void loop_stop(struct loop *l);
/* Monotonic milliseconds, read once a turn. Wall milliseconds since 1970. Both free to call. */
int64_t loop_now(const struct loop *l);
int64_t loop_wall(const struct loop *l);
int64_t loop_now_us(const struct loop *l); /* monotonic, read at the call */

/* Work for the next turn, embedded in its owner. Posting a posted task does nothing. Cancelling is
 * idempotent and final: the function will not run. Tasks posted by a task run in the turn after. */
struct task {
    struct link link;
    void (*run)(void *arg);
    void *arg;
};
void task_init(struct task *t, void (*run)(void *), void *arg);
void task_post(struct loop *l, struct task *t);
void task_cancel(struct task *t);

/* Frees `mem` with `free_fn` between two turns, when nobody's callback can be on the stack. */
void loop_bury(struct loop *l, void *mem, void (*free_fn)(void *));

/* Calls `fn` on the loop when the process gets `signum`. One handler a signal. */
void loop_on_signal(struct loop *l, int signum, void (*fn)(void *arg, int signum), void *arg);

/* ---- timers: one binary heap over one clock -------------------------------------------------- */

struct timer {
    struct loop *loop;
    int64_t at_ms;  /* monotonic */
    uint32_t index; /* place in the heap, UINT32_MAX = not armed */
    uint64_t order; /* equal times fire in the order they were set */
    void (*fire)(void *arg);
    void *arg;
};
void timer_init(struct timer *t, struct loop *l, void (*fire)(void *), void *arg);
/* Absolute; a past time fires in the next turn, never inside the call. Re-arming moves it. */
void timer_set(struct timer *t, int64_t at_ms);
void timer_stop(struct timer *t); /* immediate and idempotent: fire will not run */
bool timer_armed(const struct timer *t);

/* ---- worker: one thread, one queue, in order ------------------------------------------------- */

struct worker;
struct job {
    struct link link;
    void (*run)(struct job *j);  /* on the worker's thread; owns *j meanwhile */
    void (*done)(struct job *j); /* on the loop's thread, in a later turn; may be NULL */
};
struct worker *worker_new(struct loop *l, const char *name);
void worker_post(struct worker *w, struct job *j);
size_t worker_depth(const struct worker *w);     /* jobs posted and not yet done */
int64_t worker_stuck_ms(const struct worker *w); /* there are some, none has ended for so long */
#define WORKER_POLITE_MS 20
bool worker_breathe(struct worker *w); /* in a long `run`: others may go first; false: too old */
void worker_free(struct worker *w);    /* runs the queue, calls each `done`, joins. Blocks */

/* ---- addresses ------------------------------------------------------------------------------- */

#define ADDR_TEXT_MAX 64
struct addr { /* an IPv4, IPv6 or unix socket address, as text and as what a rule needs to know */
    char text[ADDR_TEXT_MAX]; /* "127.0.0.1:8080", "[::1]:8080", "unix" */
    uint8_t ip[16];           /* IPv6, or IPv4 mapped into it */
    uint16_t port;
    /* private: RFC 1918, CGNAT, ULA, link-local, loopback, ... A unix address is all three. */
    bool is_unix, is_loopback, is_private;
    int64_t uid; /* whose process it is at the other end of a unix socket; -1: nobody has told */
};
/* "HOST:PORT", "[V6]:PORT", ":PORT" (all interfaces); numeric hosts only. ERR_SYNTAX, ERR_RANGE. */
MUST_USE enum err addr_parse(struct slice s, struct addr *out);

/* A block of addresses, as rules name them: "10.0.0.0/8", "2001:db8::/32", or one address. Bits
 * beyond the prefix must be zero. ERR_SYNTAX, ERR_RANGE. */
struct cidr {
    uint8_t ip[16]; /* as in struct addr */
    uint8_t bits;   /* of the 128 */
};
MUST_USE enum err cidr_parse(struct slice s, struct cidr *out);
bool cidr_has(const struct cidr *c, int n, const struct addr *a); /* never a unix address */

/* ---- streams: a connected byte pipe, with or without TLS ------------------------------------- */

struct stream;
struct stream_ops {
    /* Bytes, valid during the call only. */
    void (*on_read)(void *owner, struct slice bytes);
    /* The peer will send no more (FIN; with TLS after close_notify, a bare FIN is an error). */
    void (*on_end)(void *owner);
    /* The connection is dead. The owner still owes it a stream_abort. `why` is static. */
    void (*on_error)(void *owner, enum err e, const char *why);
    /* A write that answered ERR_AGAIN has been handed to the kernel whole. */
    void (*on_written)(void *owner);
    /* Optional, not with TLS: where the next `*n` bytes, or less, are read to; NULL: anywhere. */
    char *(*room)(void *owner, size_t *n);
};
/* Makes `owner` the stream's owner from now on (leases change hands). Reading stays as it was. */
void stream_own(struct stream *s, const struct stream_ops *ops, void *owner);
/* Starts or stops reading; a new stream does not read. Bytes already decrypted are delivered in the
 * next turn after a restart, never inside the call. */
void stream_read(struct stream *s, bool on);
/* Writes all of `v[0..n)`, at most STREAM_IOV slices: a few bytes at the end of this turn, together
 * with what else is written in it, more at once if the kernel takes them.
 * OK: everything is taken and the memory is the caller's again. ERR_AGAIN: accepted; the memory
 * must stay as it is until on_written; no other write may be offered before. Anything else: the
 * stream is dead (no on_error follows), the caller aborts it. That what was taken could not be sent
 * is told by the next write or by on_error, whichever comes first. */
#define STREAM_IOV 8
MUST_USE enum err stream_write(struct stream *s, const struct slice *v, int n);
bool stream_writing(const struct stream *s); /* an ERR_AGAIN is outstanding */
/* Flushes (at most 30 s), says goodbye, then discards what the peer still sends for at most 2 s,
 * and closes. Bytes of an outstanding write are copied if need be: the caller's memory is free when
 * it returns. */
void stream_finish(struct stream *s);
/* Closes at once; what an ERR_AGAIN was the answer to is lost (RST if data unread). */
void stream_abort(struct stream *s);
const struct addr *stream_peer(const struct stream *s);
bool stream_is_tls(const struct stream *s);
/* A static word for the TLS version or "" ("TLSv1.3"). */
const char *stream_tls_version(const struct stream *s);

/* ---- TLS, client side ------------------------------------------------------------------------ */

struct tls_client; /* trusted roots, configuration and the session cache: one for the process */
/* Reads the roots: `ca_file` if not NULL, else $SSL_CERT_FILE as passed in `ca_env`, else the
 * system's usual places. ERR_NOTFOUND when there are none, ERR_SYNTAX when unreadable; `why`
 * (static) says which. Name and chain are always verified; there is no switch. */
MUST_USE enum err tls_client_new(const char *ca_file, const char *ca_env, struct tls_client **out,
                                 const char **why);
/* Connections that are still closing keep what they need of it. */
void tls_client_free(struct tls_client *t);

/* ---- TLS, server side ------------------------------------------------------------------------ */

struct tls_server; /* certificates, and what connections share: one for the process */
#define TLS_PAIRS_MAX 16
struct tls_pair {           /* PEM files */
    const char *cert, *key; /* the chain, the server's own first; its key, readable by us alone */
};
enum tls_client_auth { TLS_CLIENT_OFF, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRED };
struct tls_server_options {      /* copied */
    const struct tls_pair *pair; /* chosen by the name a client asks for; else the first */
    int pairs;
    const char *client_ca;            /* PEM; NULL: clients have no certificates */
    enum tls_client_auth client_auth; /* optional: none is fine, a bad one is not */
};
/* TLS 1.2 (ECDHE and AEAD only) and 1.3, ALPN http/1.1, session tickets (12 h; none when clients
 * have certificates, which are looked at every time). Any error: `why` holds a sentence. A pair
 * that is unreadable, expired, not one chain or not matching is an error. */
MUST_USE enum err tls_server_new(struct loop *l, const struct tls_server_options *o,
                                 struct tls_server **out, char *why, size_t size);
/* Reads the files again; new connections get what is in them, old ones keep what they have. It does
 * so by itself when a file has changed (looked at every 30 s). `o` NULL: the same files.
 * ERR_CONFLICT: what `why` names was refused and its predecessor stays; the rest was taken. Any
 * other error: nothing has changed. */
MUST_USE enum err tls_server_reload(struct tls_server *t, const struct tls_server_options *o,
                                    char *why, size_t size);
void tls_server_free(struct tls_server *t); /* connections keep what they need of it */
struct tls_cert_info {
    const char *file, *name; /* name: the first one it is for, or "" */
    int64_t expires_at;      /* wall ms; of the chain, the earliest */
};
bool tls_server_cert(const struct tls_server *t, int i, struct tls_cert_info *out);
struct tls_server_stats {
    uint64_t handshakes, resumed, refused; /* refused: failed, or too late */
    int64_t in_progress, waiting;          /* 512 at one time; who waits is not read */
};
void tls_server_stats_get(const struct tls_server *t, struct tls_server_stats *out);

/* ---- dialling -------------------------------------------------------------------------------- */

struct dial;
struct dial_target {
    struct slice host; /* a name or a numeric address without brackets; at most 253 bytes */
    uint16_t port;
    struct tls_client *tls; /* NULL: plain */
    bool allow_private;     /* else addresses that are not public are refused: ERR_DENIED */
    const char *path;       /* a unix socket; wins when not NULL (host and port are unused) */
};
/* Resolves (answers are cached for 30 s, errors for 1 s), races the addresses (RFC 8305: 250 ms
 * apart, IPv6 first when both are there), does the TLS handshake. Exactly one `done`, in a later
 * turn: OK and a stream (owned by nobody yet: call stream_own), or an error and a static `why`.
 * No deadline of its own: the owner arms one and calls dial_cancel. */
typedef void dial_done_fn(void *owner, enum err e, const char *why, struct stream *s);
struct dial *dial_start(struct loop *l, const struct dial_target *t, dial_done_fn *done,
                        void *owner);
void dial_cancel(struct dial *d); /* done will not be called */

/* ---- listening ------------------------------------------------------------------------------- */

struct listener;
struct listener_ops {
    /* A new connection. The stream has no owner and is not reading: stream_own, or stream_abort. */
    void (*on_accept)(void *owner, struct stream *s);
};
/* A TCP address, or a unix socket: `path` wins when not NULL (a stale socket file is replaced, mode
 * 0600). ERR_EXISTS: the address is in use; ERR_DENIED; ERR_RANGE: the path is too long; ERR_BUSY:
 * no descriptors; ERR_IO. Out of descriptors, the listener pauses itself for 100 ms at a time, and
 * logs it once a minute. */
MUST_USE enum err listener_open(struct loop *l, const struct addr *a, const char *path,
                                const struct listener_ops *ops, void *owner, struct listener **out);
/* The same in company with other processes of this user that open it so, for a restart that nobody
 * notices: of a TCP address newcomers go to who opened it second, while there are two, and to the
 * one that is left (Linux; elsewhere ERR_UNSUPPORTED); a unix socket's file takes the place of the
 * one before, whose owner keeps the connections it has. */
MUST_USE enum err listener_open_shared(struct loop *l, const struct addr *a, const char *path,
                                       const struct listener_ops *ops, void *owner,
                                       struct listener **out);
/* What must come before a connection is the owner's: until then it has not been accepted, as far as
 * the owner can tell, and while the listener is paused it waits. In force for newcomers. */
struct listener_options {
    struct tls_server *tls; /* NULL: plain */
    /* A PROXY protocol header (v1 or v2) opens every connection, before TLS, and says who is there;
     * who is not in `trusted` is turned away. Nobody who comes so is_loopback. */
    bool proxy;
    const struct cidr *trusted; /* copied; 64 at most */
    int trusted_n;
    int64_t header_ms, handshake_ms; /* deadlines: 3 s, 10 s */
    /* Between accept and owner at one time. When so many are, one that has kept us waiting (its
     * first words for 50 ms, an answer for half a second) is closed for each newcomer; is there
     * none, newcomers wait in the kernel's queue. */
    int32_t max_arrivals;
};
void listener_set(struct listener *l, const struct listener_options *o); /* of a TCP listener */
struct listener_stats {
    int64_t arrivals;
    uint64_t untrusted, bad_header, no_handshake, crowded;
};
void listener_stats_get(const struct listener *l, struct listener_stats *out);
/* Of a unix socket: what lies at its path is not its file any more. */
bool listener_is_lost(const struct listener *l);
const struct addr *listener_addr(const struct listener *l); /* with the port the kernel gave */
void listener_pause(struct listener *l, bool paused);
/* Nobody new: who waits in the queue is taken in, then the address is given up; who is on the way
 * to the owner still arrives. False: there is no room for all, nothing has changed; unless
 * `at_once`. listener_close is owed as before. */
bool listener_retire(struct listener *l, bool at_once);
void listener_close(struct listener *l); /* removes a unix socket's file, if it is its own */
/* A listener on a TCP socket that listens already, from a service manager or another process. Takes
 * `fd` unless it is ERR_SYNTAX: no such socket; listening_at says whether it is, and where. */
MUST_USE enum err listener_adopt(struct loop *l, int fd, const struct listener_ops *ops,
                                 void *owner, struct listener **out);
bool listening_at(int fd, struct addr *out);
int listener_fd(const struct listener *l); /* to be given to another process */

/* ---- the sandbox: what the process gives up for good (Linux) --------------------------------- */

struct sandbox_path { /* a file, or a folder with all that is in it; links are followed */
    const char *path;
    bool write; /* and made and removed; else only read */
};
struct sandbox_rules {
    const struct sandbox_path *path; /* those that are not there are passed over */
    int paths;
    const uint16_t *port; /* of TCP, that may be bound; 0: one that the kernel chooses */
    int ports;
    bool abstract_sockets; /* unix sockets without a file may be reached */
};
struct sandbox {
    bool files, ports, signals, calls; /* what is closed; signals: to other processes */
    int abi, paths;                    /* Landlock's version, rules in force */
};
/* Before loop_new, which would take a ring for calls that no filter sees. Errors as below. */
MUST_USE enum err sandbox_begin(void);
/* Files, ports and signals: before the first thread is made, which it would not hold. Adds to
 * `out` what was achieved. ERR_UNSUPPORTED: the kernel has none of it; ERR_IO. */
MUST_USE enum err sandbox_files(const struct sandbox_rules *r, struct sandbox *out);
/* System calls, of all threads; whoever tries to run a program then is ended. `strict`: no listener
 * opens any more, and no file becomes code. ERR_UNSUPPORTED, ERR_DENIED, ERR_IO. */
MUST_USE enum err sandbox_calls(bool strict, struct sandbox *out);

/* The process's soft limit of file descriptors after raising it to the hard one. */
int64_t net_fd_limit(void);

#endif
