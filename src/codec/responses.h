/* Inside the codec room: what the files of the Responses dialect share. */
#ifndef SLUICE_CODEC_RESPONSES_H
#define SLUICE_CODEC_RESPONSES_H

#include "codec/openai.h"

/* Thinking is signed by whoever thought it, and clients carry the signature without looking at it.
 * So that it comes home, and only home, it says whose it is: `encrypted_content` of this dialect
 * goes to other dialects behind SIGN_OURS (canon.h), theirs come into `encrypted_content`
 * behind SIGN_THEIRS, and what only they can read behind SIGN_REDACTED. */
#define SIGN_OURS     "openai#"
#define SIGN_THEIRS   "signature#"
#define SIGN_REDACTED "redacted#"
/* Takes `mark` off the front of `s`; false when it does not stand there. */
bool sign_take(struct slice *s, struct slice mark);

/* A usage object, counted as Anthropic counts; `out` stays as it was when it tells nothing. */
void responses_usage(const struct json_val *v, struct usage *out);
/* The error that a reply tells: an `error` event, a response that has failed, a body. Fills error,
 * error_type and error_message of `out`; returns it as an HTTP status. */
int responses_error(const struct json_val *root, struct observation *out);
/* What the dialect calls an error of this status. */
const char *responses_code(int status, struct slice type, struct slice message);

/* responses_ask.c, responses_put.c, responses_say.c, responses_tell.c: the four halves of
 * canon_responses. */
enum err responses_ask_read(struct slice body, struct ask *out, const char **why);
enum err responses_ask_write(const struct ask *a, const struct ask_target *t, struct names *names,
                             struct buf *out, const char **why);
struct say_writer *responses_writer_new(const struct say_context *c, bool whole);
void responses_writer_free(struct say_writer *w);
enum err responses_write(struct say_writer *w, const struct say *s, struct buf *out);

#endif
