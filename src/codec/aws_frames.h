/* Inside the codec room: frames of application/vnd.amazon.eventstream (wire/bedrock.md section 3).
 *
 *   u32 total | u32 headers | u32 crc of these 8 | headers | payload | u32 crc of all before
 *
 * A data frame's payload is {"bytes":"<base64 of one event's JSON>"}; exceptions and errors tell
 * their kind in a header. */
#ifndef SLUICE_CODEC_AWS_FRAMES_H
#define SLUICE_CODEC_AWS_FRAMES_H

#include "base/base.h"

#define AWS_FRAME_MAX     ((size_t)16 << 20)
#define AWS_FRAME_PRELUDE 12
#define AWS_FRAME_MIN     16

struct aws_frame {
    struct slice message_type; /* ":message-type": event, exception, error; "" = not told */
    struct slice kind;         /* ":event-type", ":exception-type" or ":error-code" */
    struct slice message;      /* ":error-message" */
    struct slice payload;
};
/* How long the frame is that begins with these AWS_FRAME_PRELUDE bytes. ERR_SYNTAX: lengths that
 * cannot be; ERR_LIMIT: longer than AWS_FRAME_MAX; ERR_CORRUPT: the prelude's check is wrong. */
MUST_USE enum err aws_frame_length(struct slice prelude, size_t *length);
/* Reads a frame that is there whole, its prelude checked; slices point into it. ERR_CORRUPT: the
 * message's check is wrong; ERR_SYNTAX: headers that cannot be. */
MUST_USE enum err aws_frame_read(struct slice frame, struct aws_frame *out);
/* The event's JSON out of a data frame. ERR_NOTFOUND: there is none in it. */
MUST_USE enum err aws_frame_event(const struct aws_frame *f, struct buf *json);
/* An exception or error as {"type":"error","error":{...}}, in Anthropic's words. */
MUST_USE enum err aws_frame_error(const struct aws_frame *f, struct buf *json);

/* A data frame around one event's JSON, and an exception frame. */
MUST_USE enum err aws_frame_put(struct slice json, struct buf *out);
MUST_USE enum err aws_frame_put_exception(int status, struct slice message, struct buf *out);

#endif
