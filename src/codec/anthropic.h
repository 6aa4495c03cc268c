/* Inside the codec room: what the files of the Anthropic dialect share. */
#ifndef SLUICE_CODEC_ANTHROPIC_H
#define SLUICE_CODEC_ANTHROPIC_H

#include "codec/dialect.h"

/* `v`, the text of a usage object: what it tells goes into `r`, and the sums into r->seen.usage.
 * False when it makes no sense; absent, or something else than an object, it tells nothing. */
MUST_USE bool anthropic_usage(struct reading *r, struct slice v);
/* The error that a body or an event tells: error, error_type and error_message of `out`. */
void anthropic_error(int status, const struct json_val *root, struct observation *out);

/* anthropic_ask.c, anthropic_put.c, anthropic_say.c, anthropic_tell.c: the halves of
 * canon_anthropic. */
enum err anthropic_ask_read(struct slice body, struct ask *out, const char **why);
enum err anthropic_ask_write(const struct ask *a, const struct ask_target *t, struct names *names,
                             struct buf *out, const char **why);
struct say_writer *anthropic_writer_new(const struct say_context *c, bool whole);
void anthropic_writer_free(struct say_writer *w);
enum err anthropic_write(struct say_writer *w, const struct say *s, struct buf *out);

#endif
