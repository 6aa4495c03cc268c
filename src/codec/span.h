/* Inside the codec room: walking JSON text by byte offsets, without a tree. */
#ifndef SLUICE_CODEC_SPAN_H
#define SLUICE_CODEC_SPAN_H

#include "codec/codec.h"

#define SPAN_DEPTH 64 /* of nesting, the outermost value being at depth 1 */

/* The value that begins at `at` (no white space before it): OK and the offset behind it. `depth` is
 * how deep the value stands, 1 for the outermost. ERR_SYNTAX, ERR_LIMIT. */
MUST_USE enum err span_value(struct slice text, size_t at, int depth, size_t *end);
/* The string whose opening quote is at `at`: OK and the offset behind its closing quote. */
MUST_USE enum err span_string(struct slice text, size_t at, size_t *end);
/* Offset of the first byte at or behind `at` that is no white space. */
size_t span_skip_space(struct slice text, size_t at);
/* Offset of the first quote, backslash or control character at or behind `at`; text.n: none. */
size_t span_plain(struct slice text, size_t at);

/* Walks the elements of an array, like json_scan the members of an object. */
struct span_list {
    struct slice text;
    size_t at;
    int state;
};
void span_list_init(struct span_list *l, struct slice text);
MUST_USE enum err span_list_next(struct span_list *l, struct span *value);

/* Both walks in two halves, for when only the beginning of a value is wanted: first where it
 * begins, then, if one is to go on, across it. The text may be longer than the object or array, as
 * long as its end is not reached. */
MUST_USE enum err json_scan_key(struct json_scan *s, struct slice *key, size_t *from);
MUST_USE enum err json_scan_cross(struct json_scan *s, struct span *value);
MUST_USE enum err span_list_find(struct span_list *l, size_t *from);
MUST_USE enum err span_list_cross(struct span_list *l, struct span *value);

struct slice span_slice(struct slice text, struct span v);
/* The member `key` of the object `text`; false when there is none or `text` is no object. */
bool span_member(struct slice text, struct slice key, struct span *value);
/* The text of the JSON string at `v`: its own bytes if nothing in it is escaped, else undone into
 * `room`, which is cleared first. ERR_SYNTAX: no string. */
MUST_USE enum err span_text(struct slice text, struct span v, struct buf *room, struct slice *out);
/* The string at `v`, where a walk has found one, if nothing in it is escaped or beyond ASCII and it
 * has room. False: then json_span_text may know it. */
bool span_text_plain(struct slice text, struct span v, char *out, size_t size);
/* The raw key as it reads, for comparisons with keys of SPAN_KEY bytes at most: itself when nothing
 * in it is escaped, else undone into `room`. */
#define SPAN_KEY 64
struct slice span_key(struct slice raw, char *room, size_t size);
bool span_key_undone_is(struct slice raw, struct slice name); /* behind the next one */
/* True when the raw key is `name`, whichever way its letters are escaped. */
static inline bool span_key_is(struct slice raw, struct slice name)
{
    /* escapes only ever make a key longer */
    return raw.n > name.n ? span_key_undone_is(raw, name) : slice_eq(raw, name);
}

/* Where in `into` the value of this key is to be noted; NULL: nobody wants it. */
typedef struct span *span_place_fn(void *into, struct slice key);
/* Several members of the object `text` in one pass. The spans are {0,0} to begin with; of equal
 * keys the first one counts. False when `text` is no object, or none that ends well. */
bool span_members(struct slice text, span_place_fn *place, void *into);
/* All members in their order, the keys as span_key has them, until `each` says what is wrong with
 * one: ERR_CANCELED. ERR_RANGE: there are more than `max`. Else as json_scan_next. `file_ids`, if
 * not NULL, becomes true when a string in one of the nested values is file_id, file_ids or
 * container: none is missed, but others that begin so may be taken for one. */
typedef const char *span_each_fn(void *arg, struct slice text, struct slice key, struct span v);
MUST_USE enum err span_each(struct slice text, int max, span_each_fn *each, void *arg,
                            bool *file_ids, const char **wrong);

#endif
