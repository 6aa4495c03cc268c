/* Inside the codec room: which result belongs to which call. Some dialects refuse a request in
 * which a call has no result, or a result no call, and histories that were cut or moved have both.
 */
#ifndef SLUICE_CODEC_RESULTS_H
#define SLUICE_CODEC_RESULTS_H

#include "codec/canon.h"

struct result { /* of a call, wherever it stands */
    const struct part *part;
    int turn;
    bool used;
    struct result *next; /* with the same id, later on */
};
struct results {
    struct map by_id; /* call id -> the first struct result that may still be had */
    struct result *list;
    size_t n, at; /* at: of the next one that the walk will meet */
};
/* All results of the users' turns of `a`, which must outlive them. ERR_NOMEM. */
MUST_USE enum err results_read(struct results *r, const struct ask *a);
void results_free(struct results *r);
/* The first result with this id behind the call's turn, by number, that no earlier call has taken:
 * some servers use their ids anew in every turn. NULL: there is none. */
const struct part *results_take(struct results *r, struct slice id, int turn);
/* Asked once for each result, in their order: has a call taken it? */
bool results_met(struct results *r);

#endif
