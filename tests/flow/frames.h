/* frames: AWS's event streams as the far ends see them (wire/bedrock.md section 3), written apart
 * from src/codec on purpose: the second opinion on what the house puts on the wire. */
#ifndef FLOW_FRAMES_H
#define FLOW_FRAMES_H

#include "message.h"

/* Appends a data frame around one event's JSON. */
void frames_event(struct bytes *out, struct slice json);
/* Appends an exception: its name and its message. */
void frames_exception(struct bytes *out, struct slice name, struct slice message);
bool message_is_aws(const struct message *m);
/* Appends the frames of `body` as if they were SSE, an exception as an event of that name; what is
 * no frame, or has a wrong check, as an event "bad". */
void frames_plain(struct slice body, struct bytes *out);

#endif
