/* http: heads, HTTP/1.1 in both roles, SSE framing, the server and the client with its idle pools.
 *
 * The only room that may include llhttp.h; every lenient switch stays off. It knows nothing of LLMs
 * or accounts: it turns bytes into messages and messages into bytes, strictly (robustness.md B2,
 * B3). Framing is never relayed: each side's head is parsed whole and the other side's is built
 * anew. */
#ifndef SLUICE_HTTP_H
#define SLUICE_HTTP_H

#include "base/base.h"
#include "net/net.h"

/* ---- heads --------------------------------------------------------------------------------- */

#define HTTP_HEADERS_MAX 100
#define HTTP_HEAD_MAX    32768 /* bytes of a whole head; upstream heads: 65536 */
#define HTTP_LINE_MAX    16384

struct http_header {
    struct slice name, value; /* name in lower case in parsed heads, value trimmed */
};
enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_PATCH,
    HTTP_OPTIONS
};

/* A parsed head. Slices point into memory that lives as long as the message. */
struct http_head {
    enum http_method method; /* requests */
    int status;              /* responses */
    struct slice target;     /* raw, as sent */
    struct slice path;  /* raw path without query; begins with '/'; no dot segments, no %00, and
                           %2f only where http_server_ops allow it */
    struct slice query; /* without '?', "" when absent */
    struct http_header *header; /* HTTP_HEADERS_MAX of them at most */
    uint64_t name_lengths; /* HTTP_NAME_LENGTH of each header's name; 0: nobody has gathered them */
    int64_t content_length; /* -1 = not given */
    int headers;
    bool chunked;
    bool connection; /* there is a Connection header */
    bool keep_alive; /* as far as the head tells */
    bool expect_continue;
};
/* First value by lower-case name; NULL when absent. Most of what is asked for is not there, and has
 * a length that no header's name has: here, so that a literal's is known to the compiler. */
#define HTTP_NAME_LENGTH(n) (UINT64_C(1) << ((n)&63))
const struct slice *http_find_slice(const struct http_head *h, struct slice name);
static inline const struct slice *http_find(const struct http_head *h, const char *name)
{
    struct slice s = slice_of(name);
    if (h->name_lengths != 0 && (h->name_lengths & HTTP_NAME_LENGTH(s.n)) == 0)
        return NULL;
    return http_find_slice(h, s);
}
const char *http_method_name(enum http_method m);
const char *http_reason(int status); /* "Too Many Requests"; "" if unknown */
/* True for connection, keep-alive, te, trailer, transfer-encoding, upgrade, proxy-*, host,
 * content-length, expect: what a relay builds anew (RFC 9110 7.6.1). */
bool http_is_hop_header(struct slice lower_name);
/* True when `name` is listed in the head's Connection header. */
bool http_connection_lists(const struct http_head *h, struct slice lower_name);

/* Of a Host header's value, its port aside: whether it is an address in digits; one of this
 * machine, in digits or `localhost`; one of some names ("example.com", "*.example.com"). No web
 * page can make a browser say a name that is not its own, whatever addresses that name is given
 * (rebinding). */
bool http_host_is_number(struct slice host);
bool http_host_is_local(struct slice host);
bool http_host_is(struct slice host, const char *const *names, int n);

/* ---- server -------------------------------------------------------------------------------- */

struct http_server;
struct http_call; /* one request being served and the place to answer it; owned by its connection */

struct http_handler {
    /* The head is complete (100-continue not yet sent). Return the object that serves the call, or
     * answer and return any non-NULL. Called once a request. Nothing of `call` may be used after
     * `gone` or after the answer has ended with http_end / http_cut. */
    void *(*open)(void *ctx, struct http_call *call, const struct http_head *head);
    /* Body bytes, then `complete` (also without a body). Both wait for http_call_read, and are not
     * called any more once the answer has ended. */
    void (*body)(void *x, struct slice bytes);
    void (*complete)(void *x);
    /* Optional: where the next bytes of a body of known length should be read to, `*n` of them and
     * one byte behind them, which is nobody's; `*n` may be made less. NULL: anywhere. If any come,
     * `body` is told of them, in that memory, before anything else. */
    char *(*room)(void *x, size_t *n);
    /* A write that answered ERR_AGAIN is done: its bytes are the handler's again. */
    void (*written)(void *x);
    /* The client went away, broke the protocol in its body, was too slow or was drained away:
     * nothing more can be said to it. Last call to x. `why` is static. Who only ends its side
     * behind a whole request, before the answer begins, is served, and hears interim replies (102)
     * until then: one that is gone meets them with a reset. HTTP/1.0 has none: there an end is the
     * end. */
    void (*gone)(void *x, enum err e, const char *why);
};

struct http_server_limits {
    int64_t head_ms;       /* a whole head must arrive within, 10 s */
    int64_t body_idle_ms;  /* between two reads of a body, 60 s */
    int64_t keep_alive_ms; /* idle, 620 s */
    int64_t write_ms;      /* a blocked write must move within, 60 s */
    int64_t max_body;      /* 413 beyond (declared length: at once, unread) */
    int32_t max_requests;  /* per connection, then close: 1000 */
    int32_t max_connections;
    int64_t max_age_ms;     /* of a connection, +-10 %: then the next answer closes; 0: none */
    int32_t max_per_source; /* connections from one address, or one /64; 0: no bound */
    bool ignores_load;      /* the levels of net/load.h do not concern this server */
};
/* Every connection's head is at most HTTP_HEAD_MAX / HTTP_HEADERS_MAX: 431. Pipelined bytes are
 * kept (16 KiB at most, then unread) until the answer before has ended. Protocol errors are
 * answered by the server itself, through `error_body`: 400, 408, 413, 414, 417, 431, 501 or 505,
 * and close. `coded_slash` (static; NULL: nowhere): a beginning of paths, "/x/"; in the one segment
 * right behind it "%2F" may stand, of which dot segments are made as little as of '/'. */
struct http_server_ops {
    struct http_handler handler;
    const char *coded_slash;
    /* Writes the body of one of the server's own error answers; content type JSON. May be NULL.
     * `target`: raw, as far as it has come, and unchecked: fit to choose a shape by. */
    void (*error_body)(void *ctx, int status, const char *why, struct slice target,
                       struct buf *out);
};
struct http_server *http_server_new(struct loop *l, const struct http_server_limits *limits,
                                    const struct http_server_ops *ops, void *ctx);
void http_server_set_limits(struct http_server *s, const struct http_server_limits *limits);
/* Whose word about their clients is believed, and in which header (never both): http_call_peer is
 * then who they say, and never is_loopback, nor is a trusted one itself. Copied; 64 at most. */
enum http_forwarded { HTTP_FORWARDED_OFF, HTTP_FORWARDED_X_FOR, HTTP_FORWARDED_RFC7239 };
void http_server_trust(struct http_server *s, const struct cidr *proxies, int n,
                       enum http_forwarded header);
/* Adds a connection; takes the stream over. One more than its source may have is aborted (trusted
 * proxies, this machine and unix sockets are no sources). Of the connections that have yet to
 * complete a head there are at most three quarters of all, with 8 MiB: the one that has taken
 * longest, and more than 50 ms, makes room. At max_connections such a one does, too, or else the
 * one idle for longest after an answer. If there is none the new one is aborted. */
void http_server_add(struct http_server *s, struct stream *stream);
/* Tells when the server is full and nothing can be spared, and when that is over: whoever listens
 * pauses meanwhile, and newcomers wait in the kernel's queue instead of being turned away: in a
 * rush all look as if they had nothing to say. `fn` must call nothing of the server. */
void http_server_on_full(struct http_server *s, void (*fn)(void *arg, bool full), void *arg);
/* After each look at the load (see loop_watch), while it is not normal: closes idle connections
 * that have had what time there is now. Besides, a server obeys by itself: at `drain` each answer
 * ends its connection, at `guard` a newcomer takes the place of one that can be spared. */
void http_server_ease(struct http_server *s);
/* From now on every answer carries "connection: close", and connections that have been answered and
 * are idle are closed one by one within `ms`, longest idle first. Newcomers are served. */
void http_server_fade(struct http_server *s, int64_t ms);
/* Drain: the same at once. Who has yet to bring a first request may still do so. */
void http_server_drain(struct http_server *s);
/* Cuts every connection that is left (after `gone`). The server is gone when this returns. */
void http_server_free(struct http_server *s);
struct http_server_stats {
    int64_t connections, active;       /* active: with a call in progress */
    int64_t young;                     /* their first or next head has yet to be complete */
    uint64_t accepted, calls, refused; /* refused: answered by the server itself with an error */
    uint64_t crowded; /* closed to make room, or turned away because of their source */
};
void http_server_stats_get(const struct http_server *s, struct http_server_stats *out);

const struct http_head *http_call_head(const struct http_call *c);
/* Who asks: the stream's peer, or whom a trusted proxy names. */
const struct addr *http_call_peer(const struct http_call *c);
/* An answer that may last for an hour has begun: nothing will be looked up in the request's head
 * any more but its method and its flags. */
void http_call_forget_head(struct http_call *c);
/* Pauses or resumes the arrival of body bytes. */
void http_call_read(struct http_call *c, bool on);
/* For when the handler decides to take the body: sends 100 Continue if it was asked for. Automatic
 * at the first http_call_read(c, true); a new call does not read until told. */

/* Sends the head. `length` >= 0: content-length; -1: chunked (HTTP/1.0 clients: until close). Adds
 * date-less, minimal framing headers; `h` must hold no hop-by-hop header. With `body` non-empty it
 * goes out in the same vectored write; if it is the whole answer call http_end next.
 * A HEAD request, 204 and 304 send no body whatever is written. */
MUST_USE enum err http_respond(struct http_call *c, int status, const struct http_header *h, int n,
                               int64_t length, struct slice body);
/* Body bytes in the chosen framing. OK: gone. ERR_AGAIN: `bytes` must stay as they are until
 * `written`; nothing may be written before. Other: the connection is dead (or the bytes are more
 * than the declared length, which kills it); `gone` still comes. */
MUST_USE enum err http_write(struct http_call *c, struct slice bytes);
bool http_writing(const struct http_call *c);
/* The next http_respond or http_write carries the last bytes of the answer: what ends its framing
 * goes out in the same vectored write. http_end must still be called. */
void http_last(struct http_call *c);
/* The answer is complete. The rest of an unread request body is drained (64 KiB / 2 s at most, else
 * close). Fewer bytes than the declared length make it an http_cut. The call is over.
 * With a write outstanding (http_writing) the answer ends once that is flushed; its bytes must stay
 * until then, so exactly one more call to the handler follows: `written`, or `gone`. */
void http_end(struct http_call *c);
/* The answer ended early: what is written is flushed, then the connection is closed without the
 * last chunk, so that it cannot look complete. The call is over, nothing follows, and the bytes of
 * an outstanding write are the caller's again. */
void http_cut(struct http_call *c);
bool http_responded(const struct http_call *c);    /* http_respond has been called */
int64_t http_bytes_out(const struct http_call *c); /* body bytes accepted so far */

/* ---- client -------------------------------------------------------------------------------- */

struct http_client;
struct http_client_limits {
    int64_t connect_ms; /* names and addresses together: 5 s; doubled when there is TLS to do */
    int64_t idle_ms;    /* an idle pooled connection lives this long: 55 s */
    int32_t max_idle;   /* in all: oldest closed first */
};
struct http_client *http_client_new(struct loop *l, const struct http_client_limits *limits,
                                    struct tls_client *tls /* borrowed; NULL: no https */);
void http_client_free(struct http_client *c); /* aborts what is left */
void http_client_close_idle(struct http_client *c);
int64_t http_client_idle(const struct http_client *c);

/* Where a request goes. Connections are pooled per (scheme, host, port, pool): never shared between
 * two accounts, so that a desync cannot mix tenants. */
struct http_target {
    bool tls;
    struct slice host; /* for dialling, SNI, verification and the Host header */
    uint16_t port;
    uint64_t pool; /* account id */
    bool allow_private;
};
/* "https://host[:port][/prefix]": fills target's tls/host/port with slices into `url` and gives the
 * path prefix without a trailing slash. ERR_SYNTAX with a static `why`. No user info, query,
 * fragment. */
MUST_USE enum err http_url_parse(struct slice url, struct http_target *t, struct slice *prefix,
                                 const char **why);

struct http_request; /* one request upstream and its reply */
struct http_request_ops {
    /* A new connection is there, and the first byte of the request is about to go out. At most once
     * a request; not on a pooled connection, where http_request_connected says so at once.
     * Optional. */
    void (*on_sent)(void *owner);
    /* The reply's head (interim 1xx are swallowed). `head` lives until the request ends. */
    void (*on_head)(void *owner, const struct http_head *head);
    void (*on_body)(void *owner, struct slice bytes);
    /* All that has come so far has been told: what was gathered of it should go on now. Follows
     * on_head and on_body, before the turn ends, unless the request has ended. Optional. */
    void (*on_rest)(void *owner);
    /* The reply is complete by its framing; the connection has gone back to the pool or was closed.
     * Last call; the request is gone. */
    void (*on_end)(void *owner);
    /* No (complete) reply: cannot connect, broke off, broke HTTP. Last call; the request is gone.
     */
    void (*on_fail)(void *owner, enum err e, const char *why);
};
/* Sends method, path, headers and body (host and content-length are added, accept-encoding is not;
 * hop-by-hop headers and values with line ends are left out). The head is copied at once; the body
 * is borrowed until on_end/on_fail/abort. Never NULL; an immediate failure is told in the next
 * turn. An idle connection that turns out dead before the first byte of a reply is replaced once by
 * a fresh one, unseen by the owner. */
struct http_request *http_request_start(struct http_client *c, const struct http_target *t,
                                        enum http_method method, struct slice path_and_query,
                                        const struct http_header *h, int n, struct slice body,
                                        const struct http_request_ops *ops, void *owner);
void http_request_read(struct http_request *r, bool on); /* backpressure */
void http_request_abort(struct http_request *r); /* closes the connection; no call follows */
/* True right after http_request_start: the request is on its way on a pooled connection. */
bool http_request_connected(const struct http_request *r);
/* The upstream has the request whole. Once a byte of the reply has come too it is never sent again,
 * and the body's memory is the caller's. */
bool http_request_sent(const struct http_request *r);
/* The reply goes on and may last for an hour: what was borrowed from its head (the names and values
 * themselves, not `head`) is to be looked up anew. */
void http_request_fit_head(struct http_request *r);

/* ---- SSE framing (WHATWG EventSource 9.2; pure) -------------------------------------------- */

/* Splits a byte stream into events, at any chunking. Line ends LF, CR, CRLF; a BOM is dropped;
 * comment lines are skipped; several data lines are joined with LF. Values are borrowed for the
 * callback. An event longer than the maximum (a name longer than 64 bytes) is reported once with
 * overflow set and no data; one without any data line is not reported. */
struct sse_event {
    struct slice name, data;
    bool overflow;
};
struct sse {
    struct buf line; /* a line that spans chunks */
    struct buf data; /* joined data of the event so far */
    char name[64];
    uint8_t name_len;
    uint8_t bom;                  /* bytes of a byte order mark seen at the start; 3: past it */
    bool after_cr;                /* a LF that comes now belongs to the line end before */
    bool long_line;               /* only the beginning of the line is in `line` */
    bool overflow, has_data, any; /* of the event so far; any: a line that is no comment */
};
void sse_init(struct sse *s, size_t max_event);
void sse_free(struct sse *s);
/* Calls `on_event` for each event completed by `bytes`. */
void sse_feed(struct sse *s, struct slice bytes,
              void (*on_event)(void *arg, const struct sse_event *e), void *arg);
/* True between events: nothing of a next event has been fed yet. */
bool sse_at_boundary(const struct sse *s);

#endif
