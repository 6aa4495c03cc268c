/* Groups in memory, and the way from a group and a model to the accounts that serve it. */
#include "accounts/inside.h"

#include <string.h>

#define GROUPS_MAX 1024
#define REACH_MAX  64 /* groups behind one, all routes together */
#define HOPS_MAX   8  /* groups of the strategy MODEL behind each other: more is a circle */

static const struct group built_in = {
    .name = GROUP_DEFAULT, .strategy = STRATEGY_SESSION, .affinity = true};

/* Where `name` is, or would be. */
static int group_place(const struct account_set *set, const char *name, bool *found)
{
    int from = 0, to = set->groups;
    *found = false;
    while (from < to) {
        int mid = from + (to - from) / 2;
        int c = strcmp(set->group[mid]->name, name);
        if (c == 0) {
            *found = true;
            return mid;
        }
        if (c < 0)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

static const struct group *group_search(struct account_set *set, const char *name)
{
    bool found;
    int at = group_place(set, name, &found);
    if (!found)
        return strcmp(name, GROUP_DEFAULT) == 0 ? &built_in : NULL;
    set->lately = set->group[at];
    return set->lately;
}

/* A request looks for its group several times. */
const struct group *accounts_group(const struct account_set *set, const char *name)
{
    if (set->lately != NULL && strcmp(set->lately->name, name) == 0)
        return set->lately;
    /* only what it remembers changes */
    return group_search((struct account_set *)(uintptr_t)set, name);
}

const struct group *accounts_group_at(const struct account_set *set, int i)
{
    bool found;
    int at = group_place(set, GROUP_DEFAULT, &found);
    assert(i >= 0);
    if (!found && i >= at) {
        if (i == at)
            return &built_in;
        i--;
    }
    return i < set->groups ? set->group[i] : NULL;
}

void accounts_group_apply(struct account_set *set, const struct group_row *row)
{
    char why[256];
    struct group g;
    bool found;
    assert(!set->dead);
    int at = group_place(set, row->name, &found);
    if (group_read(row, &g, why, sizeof why) != OK) { /* checked when it was given */
        log_error("group not loaded", LF_STR("group", row->name), LF_STR("why", why));
        return;
    }
    if (!found && set->groups == GROUPS_MAX) {
        log_warn("group not loaded", LF_STR("group", row->name), LF_STR("why", "too many groups"));
        return;
    }
    if (!found) {
        set->group = mem_grow(set->group, (size_t)(set->groups + 1) * sizeof(struct group *));
        memmove(&set->group[at + 1], &set->group[at],
                (size_t)(set->groups - at) * sizeof(struct group *));
        set->group[at] = NEW(struct group);
        set->groups++;
    }
    assert(strcmp(set->group[at]->name, "") == 0 || strcmp(set->group[at]->name, g.name) == 0);
    models_free(set->group[at]->models);
    *set->group[at] = g;
    set->group[at]->models = models_read(slice_of(row->settings));
    assert(at == 0 || strcmp(set->group[at - 1]->name, g.name) < 0);
}

void accounts_group_drop(struct account_set *set, const char *name)
{
    bool found;
    int at = group_place(set, name, &found);
    if (!found)
        return;
    if (set->lately == set->group[at])
        set->lately = NULL;
    models_free(set->group[at]->models);
    mem_free(set->group[at]);
    set->groups--;
    memmove(&set->group[at], &set->group[at + 1],
            (size_t)(set->groups - at) * sizeof(struct group *));
}

void groups_free(struct account_set *set)
{
    for (int i = 0; i < set->groups; i++) {
        models_free(set->group[i]->models);
        mem_free(set->group[i]);
    }
    mem_free(set->group);
    set->group = NULL;
    set->lately = NULL;
    set->groups = 0;
}

/* The longest prefix wins; NULL when none fits. */
static const char *route_of(const struct group *g, struct slice model)
{
    const struct group_route *best = NULL;
    size_t longest = 0;
    assert(g->strategy == STRATEGY_MODEL && g->routes <= GROUP_ROUTES_MAX);
    for (int i = 0; i < g->routes; i++) {
        struct slice prefix = slice_of(g->route[i].prefix);
        if (slice_starts(model, prefix) && (best == NULL || prefix.n > longest)) {
            best = &g->route[i];
            longest = prefix.n;
        }
    }
    return best != NULL ? best->group : NULL;
}

const struct group *group_resolve(const struct account_set *set, const char *name,
                                  const char *model, char *last)
{
    if (name == NULL || name[0] == '\0')
        name = GROUP_DEFAULT;
    const struct group *g = accounts_group(set, name);
    for (int hops = 1; g != NULL && g->strategy == STRATEGY_MODEL; hops++) {
        const char *next = hops < HOPS_MAX ? route_of(g, slice_of(model)) : NULL;
        if (next == NULL)
            break;
        name = next;
        g = accounts_group(set, name);
    }
    if (g != NULL)
        memcpy(last, g->name, sizeof g->name);
    else
        text_copy(last, STORE_GROUP_MAX, slice_of(name));
    return g != NULL && g->strategy != STRATEGY_MODEL ? g : NULL;
}

/* ---- everybody behind a group ---------------------------------------------------------------- */

struct reach { /* groups that have been come to, each once */
    const struct group *group[REACH_MAX];
    int n;
};

static void reach_add(struct reach *r, const struct group *g)
{
    for (int i = 0; i < r->n; i++) {
        if (r->group[i] == g)
            return;
    }
    assert(r->n >= 0 && r->n <= REACH_MAX);
    if (g != NULL && r->n < REACH_MAX)
        r->group[r->n++] = g;
}

bool accounts_group_reaches(const struct account_set *set, const char *name,
                            const struct account *a)
{
    struct reach r = {.n = 0};
    reach_add(&r, accounts_group(set, name[0] != '\0' ? name : GROUP_DEFAULT));
    for (int i = 0; i < r.n; i++) {
        const struct group *g = r.group[i];
        if (g->strategy != STRATEGY_MODEL && account_policy_in(&a->facts.policy, g->name))
            return true;
        for (int k = 0; k < g->routes; k++)
            reach_add(&r, accounts_group(set, g->route[k].group));
    }
    return false;
}
