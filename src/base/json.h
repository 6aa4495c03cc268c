/* JSON trees (yyjson behind the curtain) and a streaming writer.
 *
 * Not for the hot path: the body of a passed-through request is never made into a tree (see the
 * span scanner in codec). A document borrows nothing: it copies the text it was parsed from. */
#ifndef SLUICE_BASE_JSON_H
#define SLUICE_BASE_JSON_H

#include "base/mem.h"

struct json;     /* a parsed document, owns everything below it */
struct json_val; /* a value in it; valid until json_free */

enum json_type {
    JSON_NONE,
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

#define JSON_DEPTH 64
/* ERR_SYNTAX (also for anything nested deeper than JSON_DEPTH), ERR_NOMEM, ERR_LIMIT from 4 GiB on.
 * Strict RFC 8259: UTF-8 only, no comments, no NaN. Of equal keys the first one counts. A document
 * may be read by many threads and freed by any one. While parsing, a text of very short values
 * costs up to some 20 times its size: whoever parses what a peer sent bounds it first. */
MUST_USE enum err json_parse(struct slice text, struct json **out);
void json_free(struct json *doc); /* NULL is fine */
const struct json_val *json_root(const struct json *doc);

/* All readers accept NULL and the wrong type and then answer "absent": chains need no checks. */
enum json_type json_type(const struct json_val *v);
const struct json_val *json_get(const struct json_val *object, const char *key);
const struct json_val *json_at(const struct json_val *array, size_t i);
size_t json_len(const struct json_val *v); /* elements or members */
/* i-th member of an object, in the order of the text; like json_at it costs the same for any i. */
bool json_member(const struct json_val *object, size_t i, struct slice *key,
                 const struct json_val **value);
bool json_str(const struct json_val *v, struct slice *out);
/* Whole numbers up to 2^53 also when written as 1.0 or 1e3. */
bool json_i64(const struct json_val *v, int64_t *out);
bool json_f64(const struct json_val *v, double *out);
bool json_bool(const struct json_val *v, bool *out);
/* Shorthands for members, with a default. The slice is empty when absent. */
struct slice json_get_str(const struct json_val *object, const char *key);
int64_t json_get_i64(const struct json_val *object, const char *key, int64_t absent);
bool json_get_bool(const struct json_val *object, const char *key, bool absent);

/* ---- writer -------------------------------------------------------------------------------- */

/* Prints into a buf; commas and escapes are its own business. An error (the buffer's maximum)
 * sticks: check `w->err` once at the end. Strings that are not UTF-8 are written with U+FFFD. At
 * most JSON_DEPTH - 1 objects and arrays may be open at a time. */
struct jw {
    struct buf *out;
    enum err err;
    uint64_t comma; /* one bit per depth */
    unsigned depth;
};

void jw_init(struct jw *w, struct buf *out);
void jw_obj(struct jw *w);
void jw_end_obj(struct jw *w);
void jw_arr(struct jw *w);
void jw_end_arr(struct jw *w);
void jw_key(struct jw *w, const char *key);
void jw_str(struct jw *w, struct slice s);
void jw_cstr(struct jw *w, const char *s); /* NULL writes null */
void jw_i64(struct jw *w, int64_t v);
void jw_f64(struct jw *w, double v); /* not finite writes null */
void jw_bool(struct jw *w, bool v);
void jw_null(struct jw *w);
void jw_raw(struct jw *w, struct slice json); /* already JSON; empty writes null */
void jw_time(struct jw *w, int64_t ms);       /* RFC 3339 string, 0 writes null */
/* jw_key + value in one call. */
void jw_kstr(struct jw *w, const char *key, struct slice s);
void jw_kcstr(struct jw *w, const char *key, const char *s);
void jw_ki64(struct jw *w, const char *key, int64_t v);
void jw_kf64(struct jw *w, const char *key, double v);
void jw_kbool(struct jw *w, const char *key, bool v);
void jw_ktime(struct jw *w, const char *key, int64_t ms);
/* Escapes `s` as a JSON string with its quotes into `out`. */
MUST_USE enum err json_escape(struct buf *out, struct slice s);

#endif
