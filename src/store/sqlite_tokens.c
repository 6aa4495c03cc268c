/* Rotating tokens, leases among processes, and the windows of accounts.
 *
 * Another process may have the same database open, and both may want to refresh the same token. So
 * each change here compares and writes within one transaction that begins IMMEDIATE: the write lock
 * is held before anything is looked at. */
#include "store/sqlite.h"

#include <string.h>

/* ---- tokens --------------------------------------------------------------------------------- */

static struct slice col_slice(sqlite3_stmt *st, int at)
{
    const char *p = (const char *)sqlite3_column_text(st, at);
    int n = sqlite3_column_bytes(st, at);
    return p == NULL || n <= 0 ? S("") : (struct slice){p, (size_t)n};
}

/* The statement is one of those that select TOKEN_COLUMNS; it is ended here. */
static enum err tokens_tell(struct backend *b, sqlite3_stmt *st, backend_token_fn *each, void *arg,
                            size_t *told)
{
    enum err e = OK;
    int rc;
    *told = 0;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct token_row row = {.account_id = sqlite3_column_int64(st, 0),
                                .generation = sqlite3_column_int64(st, 1),
                                .expires_at = sqlite3_column_int64(st, 2),
                                .lifetime = sqlite3_column_int64(st, 3),
                                .refreshed_at = sqlite3_column_int64(st, 4),
                                .noted_at = sqlite3_column_int64(st, 5)};
        struct backend_sealed sealed = {.access = col_slice(st, 6), .refresh = col_slice(st, 7)};
        each(arg, &row, &sealed);
        ++*told;
    }
    if (rc != SQLITE_DONE)
        e = sq_fail(b, rc);
    stmt_end(st);
    return e;
}

enum err rows_tokens_load(struct backend *b, backend_token_fn *each, void *arg)
{
    enum err e;
    size_t told;
    sqlite3_stmt *st = stmt_use(b, ST_TOKENS, &e);
    return st == NULL ? e : tokens_tell(b, st, each, arg, &told);
}

/* OK when the row was written, ERR_CONFLICT when nothing was. */
static enum err token_write(struct backend *b, int64_t expect, const struct token_row *row,
                            const struct backend_sealed *sealed)
{
    enum err e;
    sqlite3_stmt *st = stmt_use(b, expect == 0 ? ST_TOKEN_ADD : ST_TOKEN_SWAP, &e);
    if (st == NULL)
        return e;
    (void)sqlite3_bind_int64(st, 1, row->account_id);
    (void)sqlite3_bind_int64(st, 2, expect + 1);
    (void)sqlite3_bind_int64(st, 3, row->expires_at);
    (void)sqlite3_bind_int64(st, 4, row->lifetime);
    (void)sqlite3_bind_int64(st, 5, row->refreshed_at);
    bind_slice(st, 6, sealed->access);
    bind_slice(st, 7, sealed->refresh);
    e = stmt_run(b, st);
    if (e == OK && sqlite3_changes(b->db) == 0)
        e = ERR_CONFLICT;
    assert(e != OK || sqlite3_changes(b->db) == 1);
    return e;
}

static enum err token_tell(struct backend *b, int64_t account_id, backend_token_fn *each, void *arg,
                           size_t *told)
{
    enum err e;
    sqlite3_stmt *st = stmt_use(b, ST_TOKEN, &e);
    if (st == NULL)
        return e;
    (void)sqlite3_bind_int64(st, 1, account_id);
    return tokens_tell(b, st, each, arg, told);
}

enum err rows_token_swap(struct backend *b, int64_t expect, const struct token_row *row,
                         const struct backend_sealed *sealed, backend_token_fn *each, void *arg)
{
    size_t told = 0;
    enum err e = tx_begin(b, true), read;
    assert(expect >= 0 && row->account_id > 0 && sealed->access.n > 0);
    if (e != OK)
        return e;
    e = sealed_check(b);
    if (e == OK)
        e = token_write(b, expect, row, sealed);
    if (e == OK || e == ERR_CONFLICT) {
        read = token_tell(b, row->account_id, each, arg, &told);
        assert(told <= 1 && (e != OK || read != OK || told == 1));
        if (read != OK)
            e = read;
        else if (e == ERR_CONFLICT && told == 0)
            e = rows_account_missing(b, row->account_id);
    }
    return tx_end_told(b, true, e);
}

static enum err note_missing(struct backend *b, int64_t account_id)
{
    enum err e;
    int64_t found = 0;
    sqlite3_stmt *st = stmt_use(b, ST_TOKEN, &e);
    if (st == NULL)
        return e;
    (void)sqlite3_bind_int64(st, 1, account_id);
    e = stmt_int(b, st, 0, &found);
    if (e != OK)
        return e;
    return found == 0 ? ERR_NOTFOUND : ERR_CONFLICT;
}

enum err rows_token_note(struct backend *b, int64_t account_id, int64_t generation, int64_t at)
{
    bool durable = at != 0; /* a note that lasts too long only makes somebody careful */
    enum err e = tx_begin(b, durable);
    sqlite3_stmt *st;
    assert(account_id > 0 && generation > 0 && at >= 0);
    if (e != OK)
        return e;
    st = stmt_use(b, ST_TOKEN_NOTE, &e);
    if (st != NULL) {
        (void)sqlite3_bind_int64(st, 1, account_id);
        (void)sqlite3_bind_int64(st, 2, generation);
        (void)sqlite3_bind_int64(st, 3, at);
        e = stmt_run(b, st);
        if (e == OK && sqlite3_changes(b->db) == 0)
            e = note_missing(b, account_id);
    }
    return tx_end(b, durable, e);
}

/* ---- leases --------------------------------------------------------------------------------- */

/* Not durable: a power cut ends every process that could hold one. */
enum err rows_lease_take(struct backend *b, struct slice name, struct slice holder, int64_t now,
                         int64_t ttl_ms)
{
    enum err e = tx_begin(b, false);
    sqlite3_stmt *st;
    assert(name.n > 0 && holder.n > 0 && ttl_ms > 0);
    if (e != OK)
        return e;
    st = stmt_use(b, ST_LEASE_TAKE, &e);
    if (st != NULL) {
        bind_slice(st, 1, name);
        bind_slice(st, 2, holder);
        (void)sqlite3_bind_int64(st, 3, now);
        (void)sqlite3_bind_int64(st, 4, ttl_ms);
        e = stmt_run(b, st);
        if (e == OK && sqlite3_changes(b->db) == 0)
            e = ERR_CONFLICT;
    }
    return tx_end(b, false, e);
}

enum err rows_lease_drop(struct backend *b, struct slice name, struct slice holder)
{
    enum err e = tx_begin(b, false);
    sqlite3_stmt *st;
    assert(name.n > 0 && holder.n > 0);
    if (e != OK)
        return e;
    st = stmt_use(b, ST_LEASE_DROP, &e);
    if (st != NULL) {
        bind_slice(st, 1, name);
        bind_slice(st, 2, holder);
        e = stmt_run(b, st);
    }
    return tx_end(b, false, e);
}

/* ---- windows -------------------------------------------------------------------------------- */

enum err rows_windows_load(struct backend *b, backend_window_fn *each, void *arg)
{
    enum err e;
    int rc;
    sqlite3_stmt *st = stmt_use(b, ST_WINDOWS, &e);
    if (st == NULL)
        return e;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct window_row row = {.account_id = sqlite3_column_int64(st, 0),
                                 .used = sqlite3_column_double(st, 2),
                                 .closed = sqlite3_column_int(st, 3) != 0,
                                 .started_at = sqlite3_column_int64(st, 4),
                                 .resets_at = sqlite3_column_int64(st, 5),
                                 .seen_at = sqlite3_column_int64(st, 6)};
        col_copy(st, 1, row.name, sizeof row.name);
        each(arg, &row);
    }
    if (rc != SQLITE_DONE)
        e = sq_fail(b, rc);
    stmt_end(st);
    return e;
}

static enum err window_run(struct backend *b, enum stmt which, const struct window_row *w,
                           int *changed)
{
    enum err e;
    sqlite3_stmt *st = stmt_use(b, which, &e);
    if (st == NULL)
        return e;
    (void)sqlite3_bind_int64(st, 1, w->account_id);
    bind_cstr(st, 2, w->name);
    (void)sqlite3_bind_double(st, 3, w->used);
    (void)sqlite3_bind_int(st, 4, w->closed);
    (void)sqlite3_bind_int64(st, 5, w->started_at);
    (void)sqlite3_bind_int64(st, 6, w->resets_at);
    (void)sqlite3_bind_int64(st, 7, w->seen_at);
    e = stmt_run(b, st);
    *changed = sqlite3_changes(b->db);
    return e;
}

/* The names are a provider's: whatever it invents, an account's share of the table is bounded. */
static enum err windows_trim(struct backend *b, int64_t account_id)
{
    enum err e;
    sqlite3_stmt *st = stmt_use(b, ST_WINDOWS_TRIM, &e);
    if (st == NULL)
        return e;
    (void)sqlite3_bind_int64(st, 1, account_id);
    (void)sqlite3_bind_int(st, 2, STORE_WINDOWS_MAX);
    return stmt_run(b, st);
}

/* Nearly always the row is there; only one that was not can be one too many. */
enum err rows_windows(struct backend *b, const struct window_row *w, size_t n)
{
    enum err e = OK;
    for (size_t i = 0; i < n && e == OK; i++) {
        int changed = 0;
        e = window_run(b, ST_WINDOW_UPDATE, &w[i], &changed);
        if (e != OK || changed != 0)
            continue;
        e = window_run(b, ST_WINDOW_ADD, &w[i], &changed);
        if (e == OK && changed != 0)
            e = windows_trim(b, w[i].account_id);
    }
    return e;
}
