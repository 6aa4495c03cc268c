/* Verbs on groups of accounts: how each chooses, and who is in it. */
#include "admin/inside.h"

#include <stdio.h>
#include <string.h>

#define NAMES_MAX 400 /* of those who stand in the way, as one text */

/* ---- what is shown
 * ----------------------------------------------------------------------------------------- */

static bool account_is_in(const struct account *a, const char *group)
{
    struct account_policy p;
    char why[ADMIN_WHY_MAX];
    if (a->facts.leaving)
        return false;
    if (account_policy_read(slice_of(a->settings), &p, why, sizeof why) != OK)
        p = (struct account_policy){0};
    return account_policy_in(&p, group);
}

static void members_write(struct jw *w, const struct admin *admin, const char *group)
{
    struct account_set *set = admin->p.accounts;
    const struct key_row *key;
    size_t at = 0;
    jw_key(w, "accounts");
    jw_arr(w);
    for (int i = 0; i < accounts_count(set); i++)
        if (account_is_in(accounts_at(set, i), group))
            jw_cstr(w, accounts_at(set, i)->name);
    jw_end_arr(w);
    jw_key(w, "keys");
    jw_arr(w);
    while (keys_next(admin->p.keys, &at, &key))
        if (key->revoked_at == 0 &&
            strcmp(key->group[0] != '\0' ? key->group : GROUP_DEFAULT, group) == 0)
            jw_cstr(w, key->name);
    jw_end_arr(w);
}

static void group_write(struct jw *w, const struct admin *admin, const struct group *g)
{
    jw_kcstr(w, "name", g->name);
    jw_kcstr(w, "strategy", strategy_name(g->strategy));
    jw_kcstr(w, "strategy_help", strategy_help(g->strategy));
    jw_kbool(w, "affinity", g->affinity);
    jw_key(w, "routes");
    jw_arr(w);
    for (int i = 0; i < g->routes; i++) {
        jw_obj(w);
        jw_kcstr(w, "prefix", g->route[i].prefix);
        jw_kcstr(w, "group", g->route[i].group);
        jw_end_obj(w);
    }
    jw_end_arr(w);
    jw_key(w, "models");
    models_write(g->models, w);
    members_write(w, admin, g->name);
}

void verb_group_list(struct verb_call *c)
{
    const struct group *g;
    struct jw *w = call_open(c);
    jw_key(w, "groups");
    jw_arr(w);
    for (int i = 0; (g = accounts_group_at(c->admin->p.accounts, i)) != NULL; i++) {
        jw_obj(w);
        group_write(w, c->admin, g);
        jw_end_obj(w);
    }
    jw_end_arr(w);
    call_reply(c);
}

void verb_group_show(struct verb_call *c)
{
    const struct group *g = call_group(c, call_text(c, "name"));
    if (g == NULL)
        return;
    group_write(call_open(c), c->admin, g);
    call_reply(c);
}

/* ---- group set
 * --------------------------------------------------------------------------------------------- */

static void on_group(void *arg, enum err e, const struct group_row *rows, size_t n)
{
    struct verb_call *c = arg;
    const struct admin_parts *p = &c->admin->p;
    if (e != OK) {
        call_fail_store(c, e);
        return;
    }
    assert(n == 1);
    accounts_group_apply(p->accounts, &rows[0]);
    gateway_accounts_changed(p->gateway);
    const struct group *g = accounts_group(p->accounts, rows[0].name);
    if (g == NULL) {
        call_fail(c, FAIL_STORE, "the group was stored, but cannot be loaded; see the log");
        return;
    }
    group_write(call_open(c), c->admin, g);
    call_reply(c);
}

/* "PREFIX=GROUP,..." as the member `routes`. False: the call has been failed. */
static bool routes_put(struct verb_call *c, struct jw *w, const char *text)
{
    struct slice rest = slice_of(text), one, prefix;
    char key[STORE_MODEL_MAX];
    jw_key(w, "routes");
    jw_obj(w);
    while (slice_cut(&rest, ',', &one)) {
        struct slice group = slice_trim(one);
        ptrdiff_t at = slice_find(group, '=');
        if (group.n == 0)
            continue;
        if (at < 0 || (size_t)at >= sizeof key) {
            call_fail(c, FAIL_USAGE,
                      "a route is PREFIX=GROUP, the beginning of a model's name and who serves it: "
                      "`%.*s` is none",
                      (int)(group.n < 60 ? group.n : 60), group.p);
            return false;
        }
        slice_cut(&group, '=', &prefix);
        text_copy(key, sizeof key, slice_trim(prefix));
        jw_key(w, key);
        jw_str(w, slice_trim(group));
    }
    jw_end_obj(w);
    return true;
}

static void routes_keep(struct jw *w, const struct group *g)
{
    if (g == NULL || g->routes == 0)
        return;
    jw_key(w, "routes");
    jw_obj(w);
    for (int i = 0; i < g->routes; i++)
        jw_kcstr(w, g->route[i].prefix, g->route[i].group);
    jw_end_obj(w);
}

/* What is said of it, and of the rest what it was. False: the call has been failed. */
static bool row_fill(struct verb_call *c, const struct group *g, struct group_row *row)
{
    struct buf out;
    struct jw w;
    bool good = true;
    const char *strategy = call_text(c, "strategy"), *affinity = call_text(c, "affinity");
    const char *routes = call_text(c, "route"), *models = call_text(c, "model");
    if (strategy != NULL && strlen(strategy) < sizeof row->strategy)
        text_copy(row->strategy, sizeof row->strategy, slice_of(strategy));
    else
        text_copy(row->strategy, sizeof row->strategy,
                  strategy != NULL ? S("?")
                  : g != NULL      ? slice_of(strategy_name(g->strategy))
                                   : slice_of(strategy_name(STRATEGY_SESSION)));
    buf_init(&out, sizeof row->settings - 1);
    jw_init(&w, &out);
    jw_obj(&w);
    /* not named, it follows the strategy: only what differs from that is kept */
    bool same_strategy = g != NULL && strcmp(strategy_name(g->strategy), row->strategy) == 0;
    if (affinity != NULL && affinity[0] != '\0')
        jw_kbool(&w, "affinity", call_flag(c, "affinity", true));
    else if (affinity == NULL && same_strategy)
        jw_kbool(&w, "affinity", g->affinity);
    if (routes == NULL)
        routes_keep(&w, g);
    else if (routes[0] != '\0')
        good = routes_put(c, &w, routes);
    if (good && (models == NULL ? g != NULL && g->models != NULL : models[0] != '\0')) {
        jw_key(&w, "models");
        if (models != NULL)
            good = models_put(c, &w, models);
        else
            models_write(g->models, &w);
    }
    if (!good) {
        buf_free(&out);
        return false;
    }
    jw_end_obj(&w);
    if (w.err == OK)
        text_copy(row->settings, sizeof row->settings, buf_slice(&out));
    buf_free(&out);
    if (w.err != OK)
        call_fail(c, FAIL_USAGE, "the routes and models are too long together");
    return w.err == OK;
}

/* A group that leads on leads to groups that are there. */
static bool routes_are_known(struct verb_call *c, const struct group *g)
{
    for (int i = 0; i < g->routes; i++) {
        if (strcmp(g->route[i].group, g->name) == 0) {
            call_fail(c, FAIL_USAGE, "group `%s` cannot lead to itself", g->name);
            return false;
        }
        if (call_group(c, g->route[i].group) == NULL)
            return false;
    }
    return true;
}

void verb_group_set(struct verb_call *c)
{
    const char *name = call_text(c, "name");
    struct group_row row = {.version = 0};
    struct group read;
    char why[ADMIN_WHY_MAX];
    if (strlen(name) >= sizeof row.name) {
        call_fail(c, FAIL_USAGE, "the name is too long: at most %d characters",
                  STORE_GROUP_MAX - 1);
        return;
    }
    const struct group *g = accounts_group(c->admin->p.accounts, name);
    text_copy(row.name, sizeof row.name, slice_of(name));
    row.version = g != NULL ? g->version : 0;
    if (!row_fill(c, g, &row))
        return;
    if (group_read(&row, &read, why, sizeof why) != OK) {
        call_fail(c, FAIL_USAGE, "%s", why);
        return;
    }
    if (routes_are_known(c, &read))
        store_group_put(c->admin->p.store, &row, on_group, c);
}

/* ---- group remove
 * ------------------------------------------------------------------------------------------ */

static void name_put(char *out, size_t size, const char *kind, const char *name)
{
    size_t n = strlen(out);
    if (n + strlen(kind) + strlen(name) + 8 < size)
        text_format(out + n, size - n, "%s%s `%s`", n > 0 ? ", " : "", kind, name);
    else if (n + 5 < size && (n < 3 || strcmp(out + n - 3, "...") != 0))
        text_format(out + n, size - n, ", ...");
}

/* Who names it: they would be left without accounts. */
static void names_of(const struct admin *admin, const char *group, char *out, size_t size)
{
    struct account_set *set = admin->p.accounts;
    const struct key_row *key;
    const struct group *g;
    size_t at = 0;
    out[0] = '\0';
    for (int i = 0; i < accounts_count(set); i++)
        if (account_is_in(accounts_at(set, i), group))
            name_put(out, size, "account", accounts_at(set, i)->name);
    while (keys_next(admin->p.keys, &at, &key))
        if (key->revoked_at == 0 && strcmp(key->group, group) == 0)
            name_put(out, size, "key", key->name);
    for (int i = 0; (g = accounts_group_at(set, i)) != NULL; i++)
        for (int k = 0; k < g->routes; k++)
            if (strcmp(g->route[k].group, group) == 0)
                name_put(out, size, "a route of group", g->name);
}

static void on_removed(void *arg, enum err e)
{
    struct verb_call *c = arg;
    if (e != OK) {
        call_fail_store(c, e);
        return;
    }
    accounts_group_drop(c->admin->p.accounts, call_text(c, "name"));
    gateway_accounts_changed(c->admin->p.gateway);
    struct jw *w = call_open(c);
    jw_kcstr(w, "name", call_text(c, "name"));
    jw_kbool(w, "removed", true);
    call_reply(c);
}

void verb_group_remove(struct verb_call *c)
{
    char names[NAMES_MAX];
    const char *name = call_text(c, "name");
    const struct group *g = call_group(c, name);
    if (g == NULL)
        return;
    if (strcmp(name, GROUP_DEFAULT) == 0) {
        call_fail(c, FAIL_CONFLICT,
                  "the group `" GROUP_DEFAULT "` cannot be removed: it serves whoever names none");
        return;
    }
    names_of(c->admin, name, names, sizeof names);
    if (names[0] != '\0') {
        call_fail(c, FAIL_CONFLICT, "group `%s` is still named by %s; change these first", name,
                  names);
        return;
    }
    store_group_remove(c->admin->p.store, name, on_removed, c);
}
