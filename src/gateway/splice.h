/* Private to gateway: a JSON object's text with a few members changed, and every other byte as it
 * was. Pure. */
#ifndef SLUICE_SPLICE_H
#define SLUICE_SPLICE_H

#include "codec/codec.h"

#define SPLICE_MAX 24 /* edits of one body; more is ERR_LIMIT */

struct splice_edit {
    struct span cut;
    struct slice put; /* borrowed until splice_write */
};
struct splice {
    struct slice text; /* an object, as codec_request_scan has accepted it */
    struct splice_edit edit[SPLICE_MAX];
    int n;
    struct splice_gone { /* members that go, as spans from their key to their value's end */
        struct span at;
    } gone[SPLICE_MAX];
    int n_gone;
    struct splice_new {
        struct slice key, value; /* borrowed; the key needs no escapes, the value is JSON */
    } added[SPLICE_MAX];
    int n_added;
    bool full;
};
void splice_init(struct splice *s, struct slice text);
/* The top-level member `key`, escapes in the text's own keys undone; false: there is none. */
bool splice_find(struct slice text, struct slice key, struct span *value);
/* `put` in place of `cut`; several edits do not overlap, and may come in any order. */
void splice_put(struct splice *s, struct span cut, struct slice put);
/* The members of that name go, with the comma that parts them from their neighbours. */
void splice_drop(struct splice *s, struct slice key);
/* The members of all other names go: `keys` ends with a NULL. */
void splice_keep(struct splice *s, const char *const *keys);
/* A member more, in front of the others. */
void splice_add(struct splice *s, struct slice key, struct slice value);
/* The value of a member, which is added if there is none. */
void splice_set(struct splice *s, struct slice key, struct slice value);
bool splice_is_empty(const struct splice *s); /* nothing is to be changed */
/* Appends the changed text. ERR_LIMIT, ERR_NOMEM; ERR_SYNTAX: `text` is no object. */
MUST_USE enum err splice_write(const struct splice *s, struct buf *out);

#endif
