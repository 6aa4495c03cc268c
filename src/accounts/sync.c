/* What another process has written comes in, row by row, like at the start.
 *
 * The store's answers come in the order of the questions: what this process has asked the store to
 * change before is in the rows, and what it asks for later comes after them. So an account that is
 * not in the rows is gone, and none that was just added is taken for gone. */
#include "accounts/inside.h"

#include <string.h>

struct sync {
    struct account_set *set; /* NULL: it was freed while the store owed rows */
    store_done_fn *done;
    void *arg;
    struct sync *next; /* of the set, or of the orphans */
};

static struct sync *orphans;

static void sync_unlink(struct sync **p, const struct sync *y)
{
    while (*p != y) {
        assert(*p != NULL);
        p = &(*p)->next;
    }
    *p = y->next;
}

/* True for one whose set is gone; it is gone then, too. */
static bool sync_is_orphan(struct sync *y)
{
    if (y->set != NULL)
        return false;
    sync_unlink(&orphans, y);
    mem_free(y);
    return true;
}

static void sync_end(struct sync *y, enum err e)
{
    store_done_fn *done = y->done;
    void *arg = y->arg;
    sync_unlink(&y->set->sync, y);
    mem_free(y);
    if (e != OK)
        log_warn("what another process has written is not known", LF_STR("err", err_name(e)));
    done(arg, e); /* may free the set */
}

void sync_abandon(struct account_set *set)
{
    while (set->sync != NULL) {
        struct sync *y = set->sync;
        set->sync = y->next;
        y->set = NULL;
        y->next = orphans;
        orphans = y;
    }
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Newest wins; what claims to be from the future was written before the clock was set back. */
static void facts_take(struct account_set *set, struct account *a, const struct account_row *row)
{
    if (row->facts_seen_at <= a->facts.seen_at || row->facts_seen_at > loop_wall(set->loop))
        return;
    facts_load(a, row);
    if (row->cool_until == 0 && row->cool_reason[0] == '\0') { /* it serves, or somebody says so */
        a->facts.failures = 0;
        a->facts.probe_at = 0;
    }
}

static void account_take(struct account_set *set, const struct account_row *row)
{
    struct account *a = accounts_by_id(set, row->id);
    if (a == NULL || a->version != row->version)
        accounts_apply(set, row);
    if (a != NULL)
        facts_take(set, a, row);
}

static void accounts_miss(struct account_set *set, const struct account_row *rows, size_t n)
{
    for (int i = set->n - 1; i >= 0; i--) { /* backwards: a dropped one leaves its place at once */
        const struct account *a = &set->entry[i]->a;
        size_t at = 0;
        while (at < n && rows[at].id != a->id)
            at++;
        if (at == n && !a->facts.leaving) {
            log_info("account removed by another process", LF_STR("account", a->name));
            accounts_drop(set, a->id);
        }
    }
}

static void groups_take(struct account_set *set, const struct group_row *rows, size_t n)
{
    for (int i = set->groups - 1; i >= 0; i--) {
        size_t at = 0;
        while (at < n && strcmp(rows[at].name, set->group[i]->name) != 0)
            at++;
        if (at == n)
            accounts_group_drop(set, set->group[i]->name);
    }
    for (size_t i = 0; i < n; i++)
        accounts_group_apply(set, &rows[i]);
}

/* ---- one after the other --------------------------------------------------------------------- */

static void on_groups(void *arg, enum err e, const struct group_row *rows, size_t n)
{
    struct sync *y = arg;
    if (sync_is_orphan(y))
        return;
    if (e == OK)
        groups_take(y->set, rows, n);
    sync_end(y, e);
}

static void on_windows(void *arg, enum err e, const struct window_row *rows, size_t n)
{
    struct sync *y = arg;
    if (sync_is_orphan(y))
        return;
    if (e == OK)
        windows_load(y->set, rows, n);
    if (e == OK)
        store_groups_load(y->set->store, on_groups, y);
    else
        sync_end(y, e);
}

static void on_tokens(void *arg, enum err e, const struct token_row *rows, size_t n)
{
    struct sync *y = arg;
    if (sync_is_orphan(y))
        return;
    for (size_t i = 0; e == OK && i < n; i++) {
        struct account *a = accounts_by_id(y->set, rows[i].account_id);
        if (a != NULL && entry_of(a)->token != NULL)
            token_adopt(entry_of(a), &rows[i]);
    }
    if (e == OK)
        store_windows_load(y->set->store, on_windows, y);
    else
        sync_end(y, e);
}

static void on_accounts(void *arg, enum err e, const struct account_row *rows, size_t n)
{
    struct sync *y = arg;
    if (sync_is_orphan(y))
        return;
    for (size_t i = 0; e == OK && i < n; i++)
        account_take(y->set, &rows[i]);
    if (e == OK)
        accounts_miss(y->set, rows, n);
    if (e == OK)
        store_tokens_load(y->set->store, on_tokens, y);
    else
        sync_end(y, e);
}

void accounts_sync(struct account_set *set, store_done_fn *done, void *arg)
{
    struct sync *y = NEW(struct sync);
    assert(done != NULL && !set->dead);
    *y = (struct sync){.set = set, .done = done, .arg = arg, .next = set->sync};
    set->sync = y;
    store_accounts_load(set->store, on_accounts, y);
}
