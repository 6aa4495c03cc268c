/* Inside the codec room: a conversation as those APIs want it where two speak by turns: neighbours
 * of the same role are one message, and the results of calls stand at the front of the message
 * behind the calls. System turns are no part of it. */
#ifndef SLUICE_CODEC_TALK_H
#define SLUICE_CODEC_TALK_H

#include "codec/canon.h"

/* The turns from `first` up to `end` that are of this role. */
struct talk_message {
    struct turn *first, *end;
    enum role role;
};
/* Does anything of a part come out as a part of its message? A turn without any is as if it were
 * not there. */
typedef bool talk_counts_fn(enum role role, const struct part *part);

/* The next message at or behind `t`; false when there is none. */
bool talk_next(struct turn *t, talk_counts_fn *counts, struct talk_message *m);
/* Walks the parts of a message: *at = m->first and NULL to start with; NULL at the end. */
struct part *talk_part(const struct talk_message *m, struct turn **at, struct part *part);
/* The parts of one kind by their ids; of equal ids the first. */
void talk_map(const struct talk_message *m, enum part_kind kind, struct map *by_id);

/* Calls that wait for their results, for dialects in which neither needs an id: a result without
 * one is that of the first call of its name that has none yet. */
struct call_book {
    struct ask *a;
    struct map waiting; /* by name; values: struct call_waits, in the arena */
    int made;           /* ids so far */
};
void call_book_init(struct call_book *b, struct ask *a);
void call_book_free(struct call_book *b);
void call_book_forget(struct call_book *b); /* other calls are made from now on */
/* Gives it an id if it has none: the same for the same talk, however long it has become. */
void call_book_call(struct call_book *b, struct part *call);
void call_book_result(struct call_book *b, struct part *result);

#endif
