/* Inside the codec room: how a reader of replies says its blocks, one open at a time. */
#ifndef SLUICE_CODEC_BLOCKS_H
#define SLUICE_CODEC_BLOCKS_H

#include "codec/canon.h"

struct blocks {
    bool started; /* START has been said: the reader sets it */
    bool open;
    enum block_kind what; /* the open one */
    say_fn *say;          /* of the read that is going on */
    void *arg;
};
MUST_USE enum err blocks_tell(struct blocks *b, const struct say *s);
/* Closes the one that is open, if any. */
MUST_USE enum err blocks_close(struct blocks *b);
/* Closes the one before. A CALL has its id and its name. */
MUST_USE enum err blocks_open(struct blocks *b, enum block_kind what, struct slice id,
                              struct slice name);
MUST_USE enum err blocks_delta(struct blocks *b, struct slice text); /* "" says nothing */
bool blocks_is_open(const struct blocks *b, enum block_kind what);

#endif
