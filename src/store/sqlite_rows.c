/* Accounts, client keys and objects: few rows, changed by people, durable. */
#include "store/sqlite.h"

#include <string.h>

/* ---- accounts ------------------------------------------------------------------------------- */

enum err rows_account_id(struct backend *b, int64_t *id)
{
    int64_t last = 0;
    enum err e = tx_begin(b, true);
    if (e != OK)
        return e;
    e = meta_get(b, "last_account", 0, &last);
    if (e == OK)
        e = meta_put(b, "last_account", last + 1);
    e = tx_end(b, true, e);
    if (e == OK)
        *id = last + 1;
    return e;
}

static void account_read(sqlite3_stmt *st, struct account_row *row, struct slice *sealed)
{
    *row = (struct account_row){.id = sqlite3_column_int64(st, 0),
                                .version = sqlite3_column_int64(st, 1),
                                .priority = sqlite3_column_int(st, 5),
                                .weight = sqlite3_column_int(st, 6),
                                .paused = sqlite3_column_int(st, 7) != 0,
                                .allow_private = sqlite3_column_int(st, 8) != 0,
                                .created_at = sqlite3_column_int64(st, 9),
                                .cool_until = sqlite3_column_int64(st, 10),
                                .facts_seen_at = sqlite3_column_int64(st, 12)};
    col_copy(st, 2, row->name, sizeof row->name);
    col_copy(st, 3, row->provider, sizeof row->provider);
    col_copy(st, 4, row->base_url, sizeof row->base_url);
    col_copy(st, 11, row->cool_reason, sizeof row->cool_reason);
    col_copy(st, 14, row->settings, sizeof row->settings);
    sealed->p = (const char *)sqlite3_column_text(st, 13);
    sealed->n = sealed->p == NULL ? 0 : (size_t)sqlite3_column_bytes(st, 13);
}

enum err rows_accounts_load(struct backend *b, int64_t id, backend_account_fn *each, void *arg)
{
    enum err e;
    int rc;
    sqlite3_stmt *st = stmt_use(b, id == 0 ? ST_ACCOUNTS : ST_ACCOUNT, &e);
    if (st == NULL)
        return e;
    if (id != 0)
        (void)sqlite3_bind_int64(st, 1, id);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct account_row row;
        struct slice sealed;
        account_read(st, &row, &sealed);
        each(arg, &row, sealed);
    }
    if (rc != SQLITE_DONE)
        e = sq_fail(b, rc);
    stmt_end(st);
    return e;
}

enum err rows_account_add(struct backend *b, const struct account_row *row, struct slice sealed)
{
    enum err e = tx_begin(b, true);
    sqlite3_stmt *st;
    assert(row->id > 0 && row->name[0] != '\0');
    if (e != OK)
        return e;
    if (sealed.n > 0)
        e = sealed_check(b);
    st = e == OK ? stmt_use(b, ST_ACCOUNT_ADD, &e) : NULL;
    if (st != NULL) {
        (void)sqlite3_bind_int64(st, 1, row->id);
        bind_cstr(st, 2, row->name);
        bind_cstr(st, 3, row->provider);
        bind_cstr(st, 4, row->base_url);
        (void)sqlite3_bind_int(st, 5, row->priority);
        (void)sqlite3_bind_int(st, 6, row->weight);
        (void)sqlite3_bind_int(st, 7, row->paused);
        (void)sqlite3_bind_int(st, 8, row->allow_private);
        (void)sqlite3_bind_int64(st, 9, row->created_at);
        (void)sqlite3_bind_int64(st, 10, row->cool_until);
        bind_cstr(st, 11, row->cool_reason);
        (void)sqlite3_bind_int64(st, 12, row->facts_seen_at);
        bind_slice(st, 13, sealed);
        bind_cstr(st, 14, row->settings);
        e = stmt_run(b, st);
    }
    return tx_end_told(b, true, e);
}

enum err rows_account_missing(struct backend *b, int64_t id)
{
    enum err e;
    int64_t found = 0;
    sqlite3_stmt *st = stmt_use(b, ST_ACCOUNT, &e);
    if (st == NULL)
        return e;
    (void)sqlite3_bind_int64(st, 1, id);
    e = stmt_int(b, st, 0, &found);
    if (e != OK)
        return e;
    return found == 0 ? ERR_NOTFOUND : ERR_CONFLICT;
}

static enum err account_change(struct backend *b, const struct account_row *row)
{
    enum err e;
    sqlite3_stmt *st = stmt_use(b, ST_ACCOUNT_UPDATE, &e);
    if (st == NULL)
        return e;
    (void)sqlite3_bind_int64(st, 1, row->id);
    (void)sqlite3_bind_int64(st, 2, row->version);
    bind_cstr(st, 3, row->name);
    (void)sqlite3_bind_int(st, 4, row->priority);
    (void)sqlite3_bind_int(st, 5, row->weight);
    (void)sqlite3_bind_int(st, 6, row->paused);
    bind_cstr(st, 7, row->base_url);
    (void)sqlite3_bind_int(st, 8, row->allow_private);
    bind_cstr(st, 9, row->settings);
    e = stmt_run(b, st);
    if (e == OK && sqlite3_changes(b->db) == 0)
        e = rows_account_missing(b, row->id);
    return e;
}

enum err rows_account_update(struct backend *b, const struct account_row *row, struct slice sealed)
{
    enum err e = tx_begin(b, true);
    assert(row->id > 0 && row->name[0] != '\0');
    if (e != OK)
        return e;
    e = sealed.n > 0 ? sealed_check(b) : OK;
    if (e == OK)
        e = account_change(b, row);
    if (e == OK && sealed.n > 0) {
        sqlite3_stmt *st = stmt_use(b, ST_ACCOUNT_SECRET, &e);
        if (st != NULL) {
            (void)sqlite3_bind_int64(st, 1, row->id);
            bind_slice(st, 2, sealed);
            e = stmt_run(b, st);
        }
    }
    return tx_end_told(b, true, e);
}

enum err rows_account_remove(struct backend *b, int64_t id)
{
    static const enum stmt all[] = {ST_ACCOUNT_OBJECTS, ST_ACCOUNT_TOKENS, ST_ACCOUNT_WINDOWS,
                                    ST_ACCOUNT_REMOVE};
    enum err e = tx_begin(b, true);
    if (e != OK)
        return e;
    for (size_t i = 0; i < sizeof all / sizeof all[0] && e == OK; i++) {
        sqlite3_stmt *st = stmt_use(b, all[i], &e);
        if (st == NULL)
            break;
        (void)sqlite3_bind_int64(st, 1, id);
        e = stmt_run(b, st);
    }
    if (e == OK && sqlite3_changes(b->db) == 0) /* of the last one, the account itself */
        e = ERR_NOTFOUND;
    return tx_end_told(b, true, e);
}

enum err rows_facts(struct backend *b, const struct backend_fact *f, size_t n)
{
    enum err e = OK;
    for (size_t i = 0; i < n && e == OK; i++) {
        sqlite3_stmt *st = stmt_use(b, ST_ACCOUNT_FACTS, &e);
        if (st == NULL)
            break;
        (void)sqlite3_bind_int64(st, 1, f[i].account_id);
        (void)sqlite3_bind_int64(st, 2, f[i].seen_at);
        (void)sqlite3_bind_int64(st, 3, f[i].cool_until);
        bind_cstr(st, 4, f[i].cool_reason);
        e = stmt_run(b, st);
    }
    return e;
}

/* ---- client keys ---------------------------------------------------------------------------- */

enum err rows_keys_load(struct backend *b, backend_key_fn *each, void *arg)
{
    enum err e;
    int rc;
    sqlite3_stmt *st = stmt_use(b, ST_KEYS, &e);
    if (st == NULL)
        return e;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct key_row row = {.created_at = sqlite3_column_int64(st, 3),
                              .last_used_at = sqlite3_column_int64(st, 4),
                              .revoked_at = sqlite3_column_int64(st, 5)};
        const void *digest = sqlite3_column_blob(st, 2);
        col_copy(st, 0, row.id, sizeof row.id);
        col_copy(st, 1, row.name, sizeof row.name);
        col_copy(st, 6, row.group, sizeof row.group);
        col_copy(st, 7, row.settings, sizeof row.settings);
        /* A damaged digest stays zero, which no key has. */
        if (digest != NULL && sqlite3_column_bytes(st, 2) == CRYPTO_SHA256)
            memcpy(row.digest, digest, sizeof row.digest);
        each(arg, &row);
    }
    if (rc != SQLITE_DONE)
        e = sq_fail(b, rc);
    stmt_end(st);
    return e;
}

enum err rows_key_add(struct backend *b, const struct key_row *row)
{
    enum err e = tx_begin(b, true);
    sqlite3_stmt *st;
    assert(row->id[0] != '\0');
    if (e != OK)
        return e;
    st = stmt_use(b, ST_KEY_ADD, &e);
    if (st != NULL) {
        bind_cstr(st, 1, row->id);
        bind_cstr(st, 2, row->name);
        (void)sqlite3_bind_blob(st, 3, row->digest, sizeof row->digest, SQLITE_STATIC);
        (void)sqlite3_bind_int64(st, 4, row->created_at);
        (void)sqlite3_bind_int64(st, 5, row->last_used_at);
        (void)sqlite3_bind_int64(st, 6, row->revoked_at);
        bind_cstr(st, 7, row->group);
        bind_cstr(st, 8, row->settings);
        e = stmt_run(b, st);
    }
    return tx_end_told(b, true, e);
}

enum err rows_key_update(struct backend *b, const struct key_row *row)
{
    enum err e = tx_begin(b, true);
    sqlite3_stmt *st;
    assert(row->id[0] != '\0');
    if (e != OK)
        return e;
    st = stmt_use(b, ST_KEY_UPDATE, &e);
    if (st != NULL) {
        bind_cstr(st, 1, row->id);
        bind_cstr(st, 2, row->name);
        bind_cstr(st, 3, row->group);
        bind_cstr(st, 4, row->settings);
        e = stmt_run(b, st);
        if (e == OK && sqlite3_changes(b->db) == 0)
            e = ERR_NOTFOUND;
    }
    return tx_end_told(b, true, e);
}

enum err rows_key_revoke(struct backend *b, const char *id, int64_t at)
{
    enum err e = tx_begin(b, true);
    sqlite3_stmt *st;
    assert(at > 0);
    if (e != OK)
        return e;
    st = stmt_use(b, ST_KEY_REVOKE, &e);
    if (st != NULL) {
        bind_cstr(st, 1, id);
        (void)sqlite3_bind_int64(st, 2, at);
        e = stmt_run(b, st);
        if (e == OK && sqlite3_changes(b->db) == 0)
            e = ERR_NOTFOUND;
    }
    return tx_end_told(b, true, e);
}

enum err rows_uses(struct backend *b, const struct backend_use *u, size_t n)
{
    enum err e = OK;
    for (size_t i = 0; i < n && e == OK; i++) {
        sqlite3_stmt *st = stmt_use(b, ST_KEY_USED, &e);
        if (st == NULL)
            break;
        bind_cstr(st, 1, u[i].key_id);
        (void)sqlite3_bind_int64(st, 2, u[i].at);
        e = stmt_run(b, st);
    }
    return e;
}

/* ---- objects -------------------------------------------------------------------------------- */

enum err rows_objects(struct backend *b, const struct backend_object *o, size_t n)
{
    enum err e = OK;
    sqlite3_stmt *st;
    for (size_t i = 0; i < n && e == OK; i++) {
        st = stmt_use(b, ST_OBJECT_PUT, &e);
        if (st == NULL)
            return e;
        bind_cstr(st, 1, o[i].name);
        (void)sqlite3_bind_int64(st, 2, o[i].account_id);
        (void)sqlite3_bind_int64(st, 3, o[i].at);
        e = stmt_run(b, st);
    }
    if (n == 0 || e != OK)
        return e;
    st = stmt_use(b, ST_OBJECTS_TRIM, &e); /* by the row's number: usually finds nothing, at once */
    if (st == NULL)
        return e;
    (void)sqlite3_bind_int64(st, 1, b->objects_max);
    return stmt_run(b, st);
}

enum err rows_object_get(struct backend *b, struct slice name, int64_t *account_id)
{
    enum err e;
    sqlite3_stmt *st = stmt_use(b, ST_OBJECT_GET, &e);
    if (st == NULL)
        return e;
    bind_slice(st, 1, name);
    e = stmt_int(b, st, 0, account_id);
    if (e == OK && *account_id == 0)
        e = ERR_NOTFOUND;
    return e;
}
