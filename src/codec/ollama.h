/* Inside the codec room: what the files of the Ollama dialect share. */
#ifndef SLUICE_CODEC_OLLAMA_H
#define SLUICE_CODEC_OLLAMA_H

#include "codec/dialect.h"

/* As openai_error: {"error":"text"}. Its texts are all that tells errors inside a stream apart. */
int ollama_error(int status, const struct json_val *root, struct observation *out);
/* False, and `out` as it was: none is told. */
bool ollama_usage(const struct json_val *root, struct usage *out);
MUST_USE enum err ollama_error_print(int status, struct slice message, struct slice request_id,
                                     struct buf *out);

/* ollama_ask.c, ollama_put.c, ollama_say.c, ollama_tell.c: the four halves of canon_ollama. */
enum err ollama_ask_read(struct slice body, struct ask *out, const char **why);
enum err ollama_ask_write(const struct ask *a, const struct ask_target *t, struct names *names,
                          struct buf *out, const char **why);
struct say_writer *ollama_writer_new(const struct say_context *c, bool whole);
void ollama_writer_free(struct say_writer *w);
enum err ollama_write(struct say_writer *w, const struct say *s, struct buf *out);

#endif
