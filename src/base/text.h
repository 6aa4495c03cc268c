/* Text of all kinds: numbers, times, encodings, identifiers. Nothing here reads a locale or a
 * clock.
 *
 * Times are milliseconds since 1970-01-01 UTC unless the name says otherwise. */
#ifndef SLUICE_BASE_TEXT_H
#define SLUICE_BASE_TEXT_H

#include "base/mem.h"

/* Whole-slice parsers: no sign for u64, no spaces, no trailing bytes; false leaves *out alone. */
bool text_u64(struct slice s, uint64_t *out);
bool text_i64(struct slice s, int64_t *out);
bool text_f64(struct slice s, double *out); /* as JSON writes numbers; finite */

/* "250ms", "10s", "5m", "2h", "30d", or a bare number in `unit_ms`; result in ms. */
bool text_duration(struct slice s, int64_t unit_ms, int64_t *out);
/* "64k", "32m", "1g" (powers of 1024) or bytes. */
bool text_size(struct slice s, uint64_t *out);

#define TEXT_U64_MAX 21
/* Decimal digits, NUL-terminated; returns the length. */
size_t text_from_u64(uint64_t v, char out[TEXT_U64_MAX]);

#define TEXT_F64_MAX 32
/* The shortest decimal that reads back as the same double; "null" when not finite. */
size_t text_from_f64(double v, char out[TEXT_F64_MAX]);

/* RFC 3339 ("2026-08-22T10:15:00Z", fractions and offsets accepted). */
bool text_rfc3339(struct slice s, int64_t *ms);
#define TEXT_TIME_MAX 32
size_t text_from_time(int64_t ms, char out[TEXT_TIME_MAX]); /* "...:00.123Z"; returns the length */
/* RFC 9110 IMF-fixdate ("Sun, 06 Nov 1994 08:49:37 GMT"). */
bool text_http_date(struct slice s, int64_t *ms);

/* Base64url without padding / standard base64 with padding; hex is lower case. */
MUST_USE enum err text_base64(struct buf *out, const void *p, size_t n, bool url);
MUST_USE enum err text_unbase64(struct buf *out, struct slice s, bool url);
void text_hex(char *out /* 2n+1 */, const void *p, size_t n);
void text_hex64(char out[16], uint64_t v);            /* all of its digits, and no NUL */
bool text_unhex(void *out, size_t n, struct slice s); /* exactly 2n digits */

/* UUIDv7 from a time and 10 random bytes, 36 characters and NUL. */
#define TEXT_UUID_MAX 37
void text_uuid7(char out[TEXT_UUID_MAX], int64_t ms, const uint8_t random[10]);

/* Edit distance, bounded: for "did you mean". Returns the best candidate within 3 edits, or NULL. A
 * candidate with as many edits as letters resembles nothing and is never the answer. */
const char *text_closest(struct slice word, const char *const *candidates, size_t n);

/* A terminated copy into `out` (size >= 1), cut to fit but never inside a UTF-8 character. */
void text_copy(char *out, size_t size, struct slice s);
/* snprintf that never leaves `out` unterminated and returns the length really written. */
size_t text_format(char *out, size_t size, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Bytes of the valid UTF-8 character at the front (1 to 4); 0 when there is none. NUL is valid. */
size_t text_utf8_at(struct slice s);
/* True for valid UTF-8 without NUL. */
bool text_is_utf8(struct slice s);
/* True for ASCII without NUL and backslash: what a JSON string says is what it is. */
bool text_is_plain(struct slice s);

#endif
