/* late: see late.h. */
#include "net/stream.h"

#include <string.h>

static struct late_piece *piece_of(const struct stream *s)
{
    struct late_piece *p = s->late > 0 ? &s->loop->late.piece[s->late - 1] : NULL;
    assert(p == NULL || p->s == s);
    return p;
}

bool late_take(struct stream *s, const struct slice *v, int n)
{
    struct late *late = &s->loop->late;
    struct late_piece *p = piece_of(s);
    size_t all = 0;
    for (int i = 0; i < n; i++)
        all += v[i].n;
    if (all == 0 || all > LATE_MOST || s->queued > 0)
        return all == 0;
    bool full = late->len + all > LATE_BYTES;
    if (p != NULL && (full || p->at + p->n != late->len))
        return false; /* others have come behind it */
    if (p == NULL) {
        if (full || late->pieces == LATE_STREAMS)
            late_flush(s->loop);
        p = &late->piece[late->pieces++];
        *p = (struct late_piece){.s = s, .at = late->len};
        s->late = (uint8_t)late->pieces;
    }
    for (int i = 0; i < n; i++) {
        if (v[i].n == 0)
            continue; /* may be NULL */
        memcpy(late->bytes + late->len, v[i].p, v[i].n);
        late->len += (uint32_t)v[i].n;
    }
    p->n += (uint32_t)all;
    assert(late->len <= LATE_BYTES && p->at + p->n == late->len);
    return true;
}

struct slice late_drop(struct stream *s)
{
    struct late_piece *p = piece_of(s);
    if (p == NULL)
        return S("");
    p->s = NULL;
    s->late = 0;
    return (struct slice){s->loop->late.bytes + p->at, p->n};
}

void late_flush(struct loop *l)
{
    struct late *late = &l->late;
    for (uint32_t i = 0; i < late->pieces; i++) {
        if (late->piece[i].s != NULL)
            wire_late(late->piece[i].s); /* calls nobody back */
    }
    late->pieces = late->len = 0;
}
