/* Inside the codec room: what the files of the Chat Completions dialect share. */
#ifndef SLUICE_CODEC_OPENAI_H
#define SLUICE_CODEC_OPENAI_H

#include "codec/dialect.h"

/* The error that `root` tells, whatever its shape: {"error":{...}} or {"error":"text"}, bare, in an
 * array, as base_resp, as detail. Fills error, error_type and error_message of `out`; returns what
 * it would be as an HTTP status: `status` itself unless that is 0, as it is inside a stream. */
int openai_error(int status, const struct json_val *root, struct observation *out);
/* True when a reply that came with 200 tells an error after all. */
bool openai_is_error(const struct json_val *root);

/* True for a finish_reason that is no end but an error; fills that in. */
bool openai_finish_failed(struct slice word, struct observation *out);

/* The usage of a chunk or of a whole reply, wherever it stands; counted as Anthropic counts, input
 * without what was read from or written to a cache. False, and `out` as it was: none is told. */
bool openai_usage(const struct json_val *root, struct usage *out);

/* One usage object of this API or of Responses. */
void openai_usage_read(const struct json_val *v, struct usage *u);

/* True when a value says anything: not null, not "", [] or {}. */
bool openai_says(const struct json_val *v);

/* {"error":{...}}, the gateway's own or a translated one. */
MUST_USE enum err openai_error_print(int status, struct slice message, struct slice request_id,
                                     struct buf *out);

/* True when a schema keeps the rules of "strict": closed objects in which all is required. */
bool openai_schema_strict(struct slice schema);
/* A member `key` with a schema as these servers take it: with "type" and "properties", without
 * "$schema". */
void openai_schema_put(struct jw *w, const char *key, struct slice schema);
/* How hard to think. Switched off goes before an effort that is told beside it. */
enum effort openai_effort(const struct ask *a, const struct ask_target *t);
/* Who asks, as "user": longer names than are taken become their hash. */
void openai_user_put(struct jw *w, struct slice user);
/* What of a request is neither model nor messages. */
void openai_settings_put(struct jw *w, const struct ask *a, const struct ask_target *t,
                         struct names *names);

/* Who talks: the system's first message and the user's first of the list at `messages`. */
struct scan_talk;
void openai_talk(struct scan_talk *t, size_t messages);

/* Words of requests that Responses has too. The media type of "wav" or "mp3". */
struct slice openai_audio_media(struct ask *a, struct slice format);
/* The arguments of a call as a JSON object; what is none, a weak model's doing, must not end the
 * talk. */
struct slice openai_arguments(struct ask *a, const struct json_val *v);
/* "auto", "none", "required"; false for others. */
bool openai_choice_word(struct ask *a, struct slice word);

/* openai_ask.c, openai_put.c, openai_say.c, openai_tell.c: the four halves of canon_openai. */
enum err openai_ask_read(struct slice body, struct ask *out, const char **why);
enum err openai_ask_write(const struct ask *a, const struct ask_target *t, struct names *names,
                          struct buf *out, const char **why);
struct say_writer *openai_writer_new(const struct say_context *c, bool whole);
void openai_writer_free(struct say_writer *w);
enum err openai_write(struct say_writer *w, const struct say *s, struct buf *out);

#endif
