/* Which result belongs to which call, found by one walk and a map. */
#include "codec/results.h"

static size_t results_count(const struct ask *a)
{
    size_t n = 0;
    for (const struct turn *t = a->turns; t != NULL; t = t->next) {
        for (const struct part *one = t->parts; t->role == ROLE_USER && one != NULL;
             one = one->next)
            n += one->kind == PART_RESULT;
    }
    return n;
}

enum err results_read(struct results *r, const struct ask *a)
{
    size_t n = results_count(a), at = 0;
    int turn = 0;
    *r = (struct results){.n = 0};
    map_init(&r->by_id);
    if (n == 0)
        return OK;
    r->list = mem_try(n * sizeof *r->list);
    if (r->list == NULL)
        return ERR_NOMEM;
    for (const struct turn *t = a->turns; t != NULL; t = t->next, turn++) {
        for (const struct part *one = t->parts; t->role == ROLE_USER && one != NULL;
             one = one->next) {
            if (one->kind == PART_RESULT)
                r->list[at++] = (struct result){.part = one, .turn = turn};
        }
    }
    assert(at == n);
    r->n = n;
    while (at-- > 0) /* from the last on, so that chains are in order */
        r->list[at].next = map_put(&r->by_id, r->list[at].part->id, &r->list[at]);
    return OK;
}

void results_free(struct results *r)
{
    map_free(&r->by_id);
    mem_free(r->list);
    *r = (struct results){.n = 0};
}

const struct part *results_take(struct results *r, struct slice id, int turn)
{
    struct result *one = map_get(&r->by_id, id);
    while (one != NULL && one->turn < turn)
        one = one->next;
    if (one == NULL)
        return NULL;
    if (one->next != NULL)
        (void)map_put(&r->by_id, id, one->next);
    else
        (void)map_del(&r->by_id, id);
    assert(!one->used && one->turn >= turn);
    one->used = true;
    return one->part;
}

bool results_met(struct results *r)
{
    assert(r->at < r->n);
    return r->list[r->at++].used;
}
