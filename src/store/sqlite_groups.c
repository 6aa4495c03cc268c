/* Groups of accounts: few rows, changed by people, durable. */
#include "store/sqlite.h"

enum err rows_groups_load(struct backend *b, const char *name, backend_group_fn *each, void *arg)
{
    enum err e;
    int rc;
    sqlite3_stmt *st = stmt_use(b, name == NULL ? ST_GROUPS : ST_GROUP, &e);
    if (st == NULL)
        return e;
    if (name != NULL)
        bind_cstr(st, 1, name);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct group_row row = {.version = sqlite3_column_int64(st, 1)};
        col_copy(st, 0, row.name, sizeof row.name);
        col_copy(st, 2, row.strategy, sizeof row.strategy);
        col_copy(st, 3, row.settings, sizeof row.settings);
        each(arg, &row);
    }
    if (rc != SQLITE_DONE)
        e = sq_fail(b, rc);
    stmt_end(st);
    return e;
}

/* Nothing was changed: ERR_NOTFOUND without such a group, else ERR_CONFLICT. */
static enum err group_missing(struct backend *b, const char *name)
{
    enum err e;
    int rc;
    sqlite3_stmt *st = stmt_use(b, ST_GROUP, &e);
    if (st == NULL)
        return e;
    bind_cstr(st, 1, name);
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        e = ERR_CONFLICT;
    else
        e = rc == SQLITE_DONE ? ERR_NOTFOUND : sq_fail(b, rc);
    stmt_end(st);
    return e;
}

enum err rows_group_put(struct backend *b, const struct group_row *row)
{
    enum err e = tx_begin(b, true);
    sqlite3_stmt *st;
    assert(row->name[0] != '\0' && row->version >= 0);
    if (e != OK)
        return e;
    st = stmt_use(b, row->version == 0 ? ST_GROUP_ADD : ST_GROUP_UPDATE, &e);
    if (st != NULL) {
        bind_cstr(st, 1, row->name);
        if (row->version != 0)
            (void)sqlite3_bind_int64(st, 2, row->version);
        bind_cstr(st, 3, row->strategy);
        bind_cstr(st, 4, row->settings);
        e = stmt_run(b, st);
        if (e == OK && sqlite3_changes(b->db) == 0)
            e = group_missing(b, row->name);
    }
    return tx_end_told(b, true, e);
}

enum err rows_group_remove(struct backend *b, const char *name)
{
    enum err e = tx_begin(b, true);
    sqlite3_stmt *st;
    if (e != OK)
        return e;
    st = stmt_use(b, ST_GROUP_REMOVE, &e);
    if (st != NULL) {
        bind_cstr(st, 1, name);
        e = stmt_run(b, st);
        if (e == OK && sqlite3_changes(b->db) == 0)
            e = ERR_NOTFOUND;
    }
    return tx_end_told(b, true, e);
}
