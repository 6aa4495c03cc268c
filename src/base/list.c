/* Intrusive circular lists: a link that is in no list points to itself, as an empty head does. */
#include "base/base.h"

static inline __attribute__((always_inline)) void link_check(const struct link *l)
{
    assert(l->next != NULL && l->prev != NULL && /* else list_init was forgotten */
           l->next->prev == l && l->prev->next == l);
}

void list_init(struct link *head)
{
    assert(head != NULL);
    head->prev = head;
    head->next = head;
}

bool list_empty(const struct link *head)
{
    link_check(head);
    return head->next == head;
}

static void link_between(struct link *prev, struct link *l, struct link *next)
{
    assert(l->next == l); /* in two lists at once */
    l->prev = prev;
    l->next = next;
    prev->next = l;
    next->prev = l;
}

void list_push(struct link *head, struct link *l)
{
    link_check(head);
    link_check(l);
    assert(l != head);
    link_between(head->prev, l, head);
}

void list_unshift(struct link *head, struct link *l)
{
    link_check(head);
    link_check(l);
    assert(l != head);
    link_between(head, l, head->next);
}

void list_remove(struct link *l)
{
    link_check(l);
    l->prev->next = l->next;
    l->next->prev = l->prev;
    list_init(l);
}
