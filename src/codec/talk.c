/* Walking a conversation in which two speak by turns, and matching results with their calls. */
#include "codec/talk.h"

#include <string.h>

/* ---- messages -------------------------------------------------------------------------------- */

static bool turn_counts(const struct turn *t, talk_counts_fn *counts)
{
    if (t->role == ROLE_SYSTEM)
        return false;
    for (const struct part *part = t->parts; part != NULL; part = part->next) {
        if (counts(t->role, part))
            return true;
    }
    return false;
}

bool talk_next(struct turn *t, talk_counts_fn *counts, struct talk_message *m)
{
    while (t != NULL && !turn_counts(t, counts))
        t = t->next;
    *m = (struct talk_message){.first = t, .role = t != NULL ? t->role : ROLE_USER};
    while (t != NULL && (!turn_counts(t, counts) || t->role == m->role))
        t = t->next;
    m->end = t;
    assert(m->role != ROLE_SYSTEM);
    return m->first != NULL;
}

struct part *talk_part(const struct talk_message *m, struct turn **at, struct part *part)
{
    if (part != NULL && part->next != NULL)
        return part->next;
    struct turn *t = part != NULL ? (*at)->next : *at;
    while (t != m->end && (t->role != m->role || t->parts == NULL))
        t = t->next;
    *at = t;
    return t != m->end ? t->parts : NULL;
}

void talk_map(const struct talk_message *m, enum part_kind kind, struct map *by_id)
{
    struct turn *at = m->first;
    for (struct part *p = NULL; (p = talk_part(m, &at, p)) != NULL;) {
        if (p->kind == kind && map_get(by_id, p->id) == NULL)
            (void)map_put(by_id, p->id, p);
    }
}

/* ---- calls and results ----------------------------------------------------------------------- */

struct call_waits {
    struct part *call;
    struct call_waits *next, *last; /* last: told by the first of a row only */
};

void call_book_init(struct call_book *b, struct ask *a)
{
    *b = (struct call_book){.a = a};
    map_init(&b->waiting);
}

void call_book_free(struct call_book *b)
{
    map_free(&b->waiting);
}

void call_book_forget(struct call_book *b)
{
    map_free(&b->waiting);
    map_init(&b->waiting);
}

void call_book_call(struct call_book *b, struct part *call)
{
    assert(call->kind == PART_CALL);
    b->made++;
    if (call->id.n == 0)
        call->id = ask_format(b->a, "call_%d", b->made);
    struct call_waits *one = arena_try(b->a->arena, sizeof *one);
    if (one == NULL) {
        b->a->full = true;
        return;
    }
    *one = (struct call_waits){.call = call, .last = one};
    struct call_waits *first = map_get(&b->waiting, call->name);
    if (first == NULL) {
        (void)map_put(&b->waiting, call->name, one);
    } else {
        assert(first->last->next == NULL);
        first->last->next = one;
        first->last = one;
    }
}

void call_book_result(struct call_book *b, struct part *result)
{
    assert(result->kind == PART_RESULT);
    struct call_waits *first = map_get(&b->waiting, result->name);
    bool same = first != NULL && (result->id.n == 0 || slice_eq(result->id, first->call->id));
    if (result->id.n == 0)
        result->id = same ? first->call->id : ask_format(b->a, "result_%d", ++b->made);
    if (!same)
        return;
    if (first->next == NULL) {
        (void)map_del(&b->waiting, result->name);
        return;
    }
    first->next->last = first->last;
    (void)map_put(&b->waiting, result->name, first->next);
}
