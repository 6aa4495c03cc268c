/* h1: HTTP/1.1 messages out of bytes, and heads into bytes, in both roles. Private to http.
 *
 * Two readers must agree on every head: llhttp, every lenient switch off, and head_parse, with
 * rules of its own (robustness.md B2). What either refuses, or what they see differently, is
 * refused. A head that stands whole in what came is read by head_parse first; if that has nothing
 * against it, llhttp sees only the lines that decide about framing. Of any other head llhttp sees
 * the bytes as they arrive, and finds its end; then head_parse reads what was collected.
 *
 * The framing of a body is decided here, in one place: chunks are read by chunks.c, a body of a
 * known length, or until the end of the connection, is only counted. So llhttp is there while a
 * head comes, and the heads of all messages share a few of them.
 *
 *            head complete          no body, or its last byte
 *     HEAD ----------------> BODY ---------------------------> LAST --> OVER
 *       '-----------------------'----> BROKEN (an error stays an error)
 */
#ifndef SLUICE_HTTP_H1_H
#define SLUICE_HTTP_H1_H

#include "http/http.h"

/* llhttp's names for methods are the door's too: they are renamed while its header is read. */
#define HTTP_DELETE  LLHTTP_DELETE
#define HTTP_GET     LLHTTP_GET
#define HTTP_HEAD    LLHTTP_HEAD
#define HTTP_POST    LLHTTP_POST
#define HTTP_PUT     LLHTTP_PUT
#define HTTP_OPTIONS LLHTTP_OPTIONS
#define HTTP_PATCH   LLHTTP_PATCH
#include <llhttp.h>
#undef HTTP_DELETE
#undef HTTP_GET
#undef HTTP_HEAD
#undef HTTP_POST
#undef HTTP_PUT
#undef HTTP_OPTIONS
#undef HTTP_PATCH

#define H1_UPSTREAM_HEAD_MAX  65536
#define H1_BEHIND             16   /* zeros behind a head while it is read again */
#define H1_CHUNK_LINE_MAX     320  /* size, extensions and the line ends around a chunk */
#define H1_EXTENSIONS_MAX     256  /* bytes of chunk extensions in a message (CVE-2024-22019) */
#define H1_TRAILERS_MAX       8192 /* read and dropped */
#define H1_LENGTH_DIGITS_IN   10   /* of a request's content-length */
#define H1_LENGTH_DIGITS_BACK 18   /* of a reply's */

enum h1_role { H1_REQUEST, H1_REPLY };
enum h1_stage { H1_STAGE_HEAD, H1_STAGE_BODY, H1_STAGE_LAST, H1_STAGE_OVER, H1_STAGE_BROKEN };
/* Until the end of the connection: a reply that is cut by a proper end looks whole (RFC 9112 6.3
 * (8)). A reset is none; and whoever understands the body, the codec's reader, has the last word: a
 * message without its end is cut for the client, too. A file that nobody reads goes out as it came.
 */
enum h1_framing { H1_NONE, H1_LENGTH, H1_CHUNKED, H1_UNTIL_END };
enum h1_event {
    H1_MORE, /* nothing to report until more bytes come */
    H1_HEADERS,
    H1_BODY,
    H1_END,
    H1_BAD /* see why and status */
};

struct chunks {
    uint64_t left;                       /* data of this chunk still to come */
    uint32_t line, extensions, trailers; /* bytes, against their bounds */
    uint8_t state, name_n;
    char name[sizeof "transfer-encoding"]; /* the beginning of a trailer's name */
};
void chunks_begin(struct chunks *c);
/* Takes bytes off the front of `*in`: H1_BODY, with `*body` a part of `*in`; H1_MORE when all of it
 * is taken; H1_END behind the last byte of the message; H1_BAD, and why. */
enum h1_event chunks_next(struct chunks *c, struct slice *in, struct slice *body, const char **why);

struct h1 {
    llhttp_t *parser; /* while a head comes */
    struct buf raw; /* the head as it came, names in lower case: the head's slices point into it */
    struct http_header *header; /* ... and are kept here */
    int header_room;
    int status; /* what to answer to a bad request */
    const char *why;
    const char *coded_slash; /* see http_server_ops; set after h1_init */
    int64_t left;            /* body bytes still to come, when counted */
    struct chunks chunks;
    uint8_t role, stage, framing;
    bool head_request; /* this is the reply to a HEAD: no body whatever it says */
    bool http10;       /* the peer speaks HTTP/1.0 */
    bool head_done;    /* seen by the call of llhttp that has just returned */
};

void h1_init(struct h1 *h, enum h1_role role);
void h1_free(struct h1 *h);
/* Ready for the next message on the connection; the memory of the head is reused. */
void h1_begin(struct h1 *h, bool head_request);
/* Nothing will be looked up in the head any more: its memory is for others. */
void h1_drop_head(struct h1 *h, struct http_head *head);
/* The head stays for long: it moves to memory of its own size, if there is any; what was borrowed
 * from it is gone. */
void h1_fit_head(struct h1 *h, struct http_head *head);
/* Takes bytes off the front of `*in` up to the next thing to report. H1_BODY: `*body` is a part of
 * `*in`. After H1_END nothing more is taken. To be called again until H1_MORE, H1_END or H1_BAD. */
enum h1_event h1_next(struct h1 *h, struct slice *in, struct http_head *head, struct slice *body);
/* The peer has ended the connection: H1_END when that ends the message, H1_MORE when no message had
 * begun, else H1_BAD. */
enum h1_event h1_eof(struct h1 *h);
/* Bytes of a body of known length that are still to come; 0: of any other. */
size_t h1_left(const struct h1 *h);
/* True once nothing more of the message can come. */
bool h1_is_read(const struct h1 *h);

/* Reads the complete head in h->raw, and H1_BEHIND zeros behind it, again, strictly. Names are
 * turned to lower case in place. 0, or the status to answer with and a static reason. Sets
 * h->http10. */
MUST_USE int head_parse_request(struct h1 *h, struct http_head *head, const char **why);
MUST_USE int head_parse_reply(struct h1 *h, struct http_head *head, const char **why);

struct slice method_name(enum http_method m);

/* Letters, digits and '-': what such a byte becomes in a name, where all letters are small. 0: any
 * other byte. */
extern const char name_bytes[256];

/* The path of a request: begins with '/', no dot segment, no backslash, no encoded '/', '\', or
 * control character, no broken escape. NULL or a static reason. `coded_slash` as in
 * http_server_ops, NULL = nowhere. */
const char *path_fault(struct slice path, const char *coded_slash);
/* What a Host header may hold: a name or a bracketed address, and perhaps a port. */
bool host_is_valid(struct slice host);

/* Where there is room for it; the end of what was copied. */
static inline char *head_copy(char *at, struct slice s)
{
    if (s.n > 0)
        memcpy(at, s.p, s.n);
    return at + s.n;
}
/* The lines of a head, written from `at` on, where there is room for them; their end. */
#define HEAD_STATUS_MAX 64
char *head_put_status(char *at, int status);
/* "name: value CRLF" for each header but those that are about one hop or would break the head. */
size_t head_lines_room(const struct http_header *h, int n);
char *head_put_lines(char *at, const struct http_header *h, int n);
#define LENGTH_LINE             "content-length: "
/* `before`, digits, CRLF. */
#define HEAD_NUMBER_MAX(before) (sizeof(before) + TEXT_U64_MAX + 2)
char *head_put_number(char *at, struct slice before, uint64_t v);

#endif
