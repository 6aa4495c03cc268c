/* The verbs of groups: made like those of verbs.c. */
#include "store/inside.h"

struct groups_verb {
    struct verb v;
    store_groups_fn *each_done;
    store_done_fn *done;
    void *arg;
    struct group_row row; /* the argument */
    struct group_row *rows;
    size_t n, cap;
};

#define GROUPS(verb) CONTAINER(verb, struct groups_verb, v)

static void group_each(void *arg, const struct group_row *row)
{
    struct groups_verb *g = arg;
    if (g->n == g->cap) {
        g->cap = g->cap == 0 ? 8 : 2 * g->cap;
        g->rows = mem_grow(g->rows, g->cap * sizeof *g->rows);
    }
    g->rows[g->n++] = *row;
}

static void groups_load_run(struct verb *v)
{
    v->err = v->store->ops->groups_load(v->store->backend, NULL, group_each, GROUPS(v));
}

static void group_put_run(struct verb *v)
{
    struct groups_verb *g = GROUPS(v);
    struct store *s = v->store;
    v->err = s->ops->group_put(s->backend, &g->row);
    if (v->err == OK)
        v->err = s->ops->groups_load(s->backend, g->row.name, group_each, g);
}

static void group_remove_run(struct verb *v)
{
    v->err = v->store->ops->group_remove(v->store->backend, GROUPS(v)->row.name);
}

static void groups_finish(struct verb *v)
{
    struct groups_verb *g = GROUPS(v);
    if (g->each_done != NULL)
        g->each_done(g->arg, v->err, v->err == OK ? g->rows : NULL, v->err == OK ? g->n : 0);
    else if (g->done != NULL)
        g->done(g->arg, v->err);
}

static void groups_destroy(struct verb *v)
{
    mem_free(GROUPS(v)->rows);
    mem_free(GROUPS(v));
}

static struct groups_verb *groups_new(void (*run)(struct verb *), bool writes, void *arg)
{
    struct groups_verb *g = NEW(struct groups_verb);
    g->v = (struct verb){
        .run = run, .finish = groups_finish, .destroy = groups_destroy, .writes = writes};
    g->arg = arg;
    return g;
}

void store_groups_load(struct store *s, store_groups_fn *done, void *arg)
{
    struct groups_verb *g = groups_new(groups_load_run, false, arg);
    assert(done != NULL);
    g->each_done = done;
    verb_submit(s, &g->v);
}

void store_group_put(struct store *s, const struct group_row *row, store_groups_fn *done, void *arg)
{
    struct groups_verb *g = groups_new(group_put_run, true, arg);
    assert(done != NULL && row->version >= 0);
    g->each_done = done;
    g->row = *row;
    g->v.err = row->name[0] == '\0' ? ERR_RANGE : settings_check(row->settings);
    verb_submit(s, &g->v);
}

void store_group_remove(struct store *s, const char *name, store_done_fn *done, void *arg)
{
    struct groups_verb *g = groups_new(group_remove_run, true, arg);
    g->done = done;
    if (slice_of(name).n >= sizeof g->row.name)
        g->v.err = ERR_NOTFOUND; /* cut, it could be another's name */
    else
        text_copy(g->row.name, sizeof g->row.name, slice_of(name));
    verb_submit(s, &g->v);
}
