/* Inside the codec room: how events are cut out of a reply's bytes, and how they are put into
 * bytes again. Only here is it known what a stream looks like; readers and writers see events. */
#ifndef SLUICE_CODEC_FRAMING_H
#define SLUICE_CODEC_FRAMING_H

#include "codec/codec.h"

#define FRAMING_EVENT_MAX ((size_t)32 << 20) /* of one event, or of a whole body */

/* ---- in -------------------------------------------------------------------------------------- */

/* One event; name is "" where the framing has none (AWS: the event's own type). An error stops the
 * framer, which returns it. */
typedef enum err framer_fn(void *arg, struct slice name, struct slice data);

struct framer {
    enum framing kind;
    struct sse sse;  /* SSE */
    struct buf held; /* the others: the event so far */
    struct buf json; /* AWS: what was in a frame */
    /* ARRAY: where in it */
    int state, depth;
    bool ending;                   /* SSE: what is left over is told */
    bool in_string, escaped, lone; /* lone: an object where the array should be */
    /* during a call */
    framer_fn *fn;
    void *arg;
    enum err err;
};
void framer_init(struct framer *f, enum framing kind);
void framer_free(struct framer *f);
/* ERR_LIMIT: an event longer than FRAMING_EVENT_MAX (a frame: AWS_FRAME_MAX). ERR_SYNTAX,
 * ERR_CORRUPT: not this framing. ERR_NOMEM. What `fn` returned. */
MUST_USE enum err framer_feed(struct framer *f, struct slice bytes, framer_fn *fn, void *arg);
/* No more will come. WHOLE: now the body is told. ERR_EOF: it ended within an event. */
MUST_USE enum err framer_end(struct framer *f, framer_fn *fn, void *arg);

/* ---- out ------------------------------------------------------------------------------------- */

struct frames { /* events on their way out */
    enum framing kind;
    bool any, over; /* ARRAY: there has been an element; it has been closed */
};
/* Appends one event. An event named "error" becomes an exception where the framing has such. */
MUST_USE enum err frames_put(struct frames *f, struct slice name, struct slice data,
                             struct buf *out);
/* What a framing needs at its end. */
MUST_USE enum err frames_end(struct frames *f, struct buf *out);

#endif
