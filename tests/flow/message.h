/* message: HTTP/1.1 as the far ends see it. Written apart from src/http on purpose: it is the
 * second opinion on what the house puts on the wire. It reads whole byte strings again and again;
 * the peers keep everything, so nothing needs to be incremental. */
#ifndef FLOW_MESSAGE_H
#define FLOW_MESSAGE_H

#include "bytes.h"

#define MESSAGE_HEADERS 128

struct message {
    struct slice line; /* the first line */
    struct slice method, target;
    int status;
    struct slice name[MESSAGE_HEADERS], value[MESSAGE_HEADERS];
    int headers;
    struct bytes body; /* without chunk framing, as far as it has come */
    bool any;          /* there is at least one byte */
    bool head;         /* the head is complete */
    bool complete;     /* the whole message is there */
    bool chunked, until_end;
    bool keep_alive;
    const char *bad;  /* malformed: why; else NULL */
    size_t head_size; /* bytes of the head with its blank line */
    size_t size;      /* bytes of the whole message; what is there when incomplete */
    int64_t length;   /* content-length, -1 = none */
};

enum message_kind {
    MESSAGE_REQUEST,
    MESSAGE_RESPONSE,
    MESSAGE_RESPONSE_TO_HEAD /* no body whatever the head says */
};
/* Reads the message at the front of `s`. `ended`: no more bytes will come. Free it always. */
void message_read(struct message *m, enum message_kind kind, struct slice s, bool ended);
void message_free(struct message *m);
/* First value by name, any case; NULL when absent. *count (may be NULL): how often it stands there.
 */
const struct slice *message_find(const struct message *m, struct slice name, int *count);

/* Walks the events of an SSE body: false at the end. An event without its blank line is not given.
 */
struct event {
    struct slice name;
    struct slice data; /* of its first data line */
    struct slice raw;  /* with the blank line */
};
bool event_next(struct slice *rest, struct event *e);
bool message_is_sse(const struct message *m);

#endif
