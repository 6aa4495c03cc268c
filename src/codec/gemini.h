/* Inside the codec room: what the files of the Gemini dialect share. */
#ifndef SLUICE_CODEC_GEMINI_H
#define SLUICE_CODEC_GEMINI_H

#include "codec/dialect.h"

/* ---- words ----------------------------------------------------------------------------------- */

/* A member by its name in camelCase, or in snake_case, which the API takes as well. NULL: none. */
const struct json_val *gemini_get(const struct json_val *object, const char *name);
struct slice gemini_str(const struct json_val *object, const char *name);

enum gemini_end {
    GEMINI_GOES_ON, /* not a reason to stop */
    GEMINI_STOPPED,
    GEMINI_FAILED, /* the model made a mess of its reply: an error */
};
enum gemini_end gemini_finish(struct slice word, enum stop_kind *out);
/* The reason for which a prompt was not answered at all; "" = it was. */
struct slice gemini_block_reason(const struct json_val *root);
/* False, and `out` as it was: none is told. Counted as Anthropic counts: input without what was
 * read from a cache, output with what was thought. */
bool gemini_usage(const struct json_val *root, struct usage *out);
/* As openai_error: {"error":{...}}, also in an array. */
int gemini_error(int status, const struct json_val *root, struct observation *out);
MUST_USE enum err gemini_error_print(int status, struct slice message, struct slice request_id,
                                     struct buf *out);

/* The generation in a model's name: 25 for gemini-2.5-flash, 30 for models/gemini-3-pro; 0 when it
 * is told by no number (gemini-flash-latest), -1 for models of another name. */
int gemini_generation(struct slice model);

/* ---- signatures ------------------------------------------------------------------------------ */

/* Gemini's own are "gemini#..." in the canon. Those of others, on their way to a client that speaks
 * Gemini and will send them back, are wrapped, because its libraries take base64 only. */
#define GEMINI_SIGNED   "gemini#"
/* What stands for the signature of a call that another model has made: a documented word, for a
 * model of generation 3 refuses calls that are unsigned. */
#define GEMINI_UNSIGNED "skip_thought_signature_validator"
bool gemini_signed(struct slice sign); /* made by Gemini */
MUST_USE enum err gemini_sign_read(struct slice wire, struct buf *sign);
MUST_USE enum err gemini_sign_write(struct slice sign, struct buf *wire);

/* ---- schemas --------------------------------------------------------------------------------- */

/* A JSON Schema cut down to the OpenAPI subset that `parameters` and `responseSchema` take. */
MUST_USE enum err gemini_schema_cut(struct slice schema, struct buf *out);
/* A JSON Schema without the member "$schema", which is refused. */
MUST_USE enum err gemini_schema_bare(struct slice schema, struct buf *out);
/* The subset, with its own words (types in capitals, "nullable"), as a JSON Schema. */
MUST_USE enum err gemini_schema_plain(const struct json_val *v, struct buf *out);

/* gemini_ask.c, gemini_put.c, gemini_say.c, gemini_tell.c: the four halves of canon_gemini. */
enum err gemini_ask_read(struct slice body, struct ask *out, const char **why);
enum err gemini_ask_write(const struct ask *a, const struct ask_target *t, struct names *names,
                          struct buf *out, const char **why);
void gemini_settings_put(struct jw *w, const struct ask *a, const struct ask_target *t);
/* True when the model cannot be held to a format while it has tools. */
bool gemini_format_is_hint(const struct ask *a, int generation);
struct say_writer *gemini_writer_new(const struct say_context *c, bool whole);
void gemini_writer_free(struct say_writer *w);
enum err gemini_write(struct say_writer *w, const struct say *s, struct buf *out);

#endif
