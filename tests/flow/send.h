/* send: the text of a `>` block turned into the bytes a peer sends. */
#ifndef FLOW_SEND_H
#define FLOW_SEND_H

#include "bytes.h"

/* Feed the block's lines in order, then take the bytes. */
struct sender {
    struct bytes head, body, event, literal;
    enum { SEND_HEAD, SEND_NONE, SEND_LITERAL, SEND_TEXT, SEND_SSE, SEND_AWS } mode;
    bool has_head, chunked, sse, aws, json, counted;
    const char *error; /* static */
};
void sender_init(struct sender *s, struct slice first_line);
void sender_line(struct sender *s, struct slice line);
/* All bytes, appended to `out`; frees what the sender held. */
void sender_end(struct sender *s, struct bytes *out);

#endif
