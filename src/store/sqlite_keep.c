#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1 /* POSIX 2008 under -std=c17 */
#endif
/* What keeps the database: the mark of the master key, sealing all of it anew, and copies. */
#include "store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define META_ROTATIONS "rotations"
#define SEALED_MAX     (32 * 1024)

/* ---- the mark of the master key ------------------------------------------------------------- */

enum err sealed_check(struct backend *b)
{
    int64_t rotations = 0;
    enum err e = meta_get(b, META_ROTATIONS, 0, &rotations);
    if (e == OK && rotations != b->rotations)
        e = ERR_STATE;
    return e;
}

void keep_vault_take(struct backend *b, int64_t rotations)
{
    assert(rotations >= 0);
    b->rotations = rotations;
}

/* Read as one: a rotation does both, and this lies within one transaction. */
enum err keep_vault_load(struct backend *b, struct backend_vault *out)
{
    enum err e = tx_begin(b, false);
    sqlite3_stmt *st;
    *out = (struct backend_vault){0};
    if (e != OK)
        return e;
    st = stmt_use(b, ST_VAULT, &e);
    if (st != NULL) {
        int rc = sqlite3_step(st);
        if (rc == SQLITE_ROW) {
            col_copy(st, 0, out->pepper, sizeof out->pepper);
            out->n = strlen(out->pepper);
        } else if (rc != SQLITE_DONE) {
            e = sq_fail(b, rc);
        }
        stmt_end(st);
    }
    if (e == OK)
        e = meta_get(b, META_ROTATIONS, 0, &out->rotations);
    return tx_end(b, false, e);
}

static enum err pepper_write(struct backend *b, enum stmt which, struct slice pepper)
{
    enum err e;
    sqlite3_stmt *st = stmt_use(b, which, &e);
    assert(pepper.n > 0 && pepper.n < BACKEND_PEPPER_MAX);
    if (st == NULL)
        return e;
    bind_slice(st, 1, pepper);
    return stmt_run(b, st);
}

enum err keep_vault_put(struct backend *b, struct slice pepper)
{
    enum err e = tx_begin(b, true);
    return e != OK ? e : tx_end(b, true, pepper_write(b, ST_VAULT_ADD, pepper));
}

/* ---- sealing anew --------------------------------------------------------------------------- */

struct reseal {
    struct backend *b;
    backend_reseal_fn *fn;
    void *arg;
    int64_t row, generation;
    struct buf was[2], is[2]; /* of the row: what is sealed in it, before and after */
};

/* Copied out: the row is written while nothing reads it. False behind the last one. */
static bool reseal_next(struct reseal *r, enum stmt which, enum err *e)
{
    sqlite3_stmt *st = stmt_use(r->b, which, e);
    bool found = false;
    if (st == NULL)
        return false;
    (void)sqlite3_bind_int64(st, 1, r->row);
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        found = true;
        r->row = sqlite3_column_int64(st, 0);
        r->generation = sqlite3_column_int64(st, 1);
        for (int i = 0; i < 2 && *e == OK; i++) {
            const char *p = (const char *)sqlite3_column_text(st, 2 + i);
            int n = sqlite3_column_bytes(st, 2 + i);
            buf_clear(&r->was[i]);
            buf_clear(&r->is[i]);
            if (p != NULL && n > 0)
                *e = buf_append(&r->was[i], p, (size_t)n);
        }
    } else if (rc != SQLITE_DONE) {
        *e = sq_fail(r->b, rc);
    }
    stmt_end(st);
    return found && *e == OK;
}

static enum err reseal_one(struct reseal *r, int i, const char *table, const char *column)
{
    struct backend_sealed_at at = {table, column, r->row, r->generation};
    if (r->was[i].len == 0)
        return OK;
    return r->fn(r->arg, &at, buf_slice(&r->was[i]), &r->is[i]);
}

static struct slice reseal_got(const struct reseal *r, int i)
{
    return buf_slice(r->is[i].len > 0 ? &r->is[i] : &r->was[i]);
}

static enum err reseal_accounts(struct reseal *r)
{
    enum err e = OK;
    r->row = INT64_MIN;
    while (e == OK && reseal_next(r, ST_SEALED_ACCOUNT, &e)) {
        sqlite3_stmt *st;
        e = reseal_one(r, 0, "accounts", "secret");
        st = e == OK ? stmt_use(r->b, ST_ACCOUNT_SECRET, &e) : NULL;
        if (st == NULL)
            break;
        (void)sqlite3_bind_int64(st, 1, r->row);
        bind_slice(st, 2, reseal_got(r, 0));
        e = stmt_run(r->b, st);
    }
    return e;
}

static enum err reseal_tokens(struct reseal *r)
{
    enum err e = OK;
    r->row = INT64_MIN;
    while (e == OK && reseal_next(r, ST_SEALED_TOKEN, &e)) {
        sqlite3_stmt *st;
        e = reseal_one(r, 0, "tokens", r->was[1].len == 0 ? "access_alone" : "access");
        if (e == OK)
            e = reseal_one(r, 1, "tokens", "refresh");
        st = e == OK ? stmt_use(r->b, ST_RESEAL_TOKEN, &e) : NULL;
        if (st == NULL)
            break;
        (void)sqlite3_bind_int64(st, 1, r->row);
        bind_slice(st, 2, reseal_got(r, 0));
        if (r->was[1].len > 0)
            bind_slice(st, 3, reseal_got(r, 1));
        e = stmt_run(r->b, st);
    }
    return e;
}

enum err keep_reseal(struct backend *b, struct slice pepper, backend_reseal_fn *fn, void *arg)
{
    struct reseal r = {.b = b, .fn = fn, .arg = arg};
    enum err e = tx_begin(b, true);
    if (e != OK)
        return e;
    for (int i = 0; i < 2; i++) {
        buf_init(&r.was[i], SEALED_MAX);
        buf_init(&r.is[i], SEALED_MAX);
    }
    e = sealed_check(b);
    if (e == OK)
        e = reseal_accounts(&r);
    if (e == OK)
        e = reseal_tokens(&r);
    if (e == OK)
        e = pepper_write(b, ST_VAULT_SET, pepper);
    if (e == OK)
        e = meta_put(b, META_ROTATIONS, b->rotations + 1);
    e = tx_end_told(b, true, e);
    if (e == OK) {
        b->rotations++;
        /* What was sealed under the old key leaves the log as well, if nobody reads it just now. */
        if (!b->memory)
            (void)sqlite3_wal_checkpoint_v2(b->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    }
    for (int i = 0; i < 2; i++) {
        buf_free(&r.was[i]);
        buf_free(&r.is[i]);
    }
    return e;
}

/* ---- a copy --------------------------------------------------------------------------------- */

#define COPY_PAGES 128 /* in one bite: half a MiB */
#define COPY_TRIES 64  /* bites without coming nearer to the end, because others write; then all */

struct copying {
    sqlite3 *to;
    sqlite3_backup *backup;
    int left, tries;
};

void keep_copy_end(struct backend *b)
{
    if (b->copying == NULL)
        return;
    (void)sqlite3_backup_finish(b->copying->backup);
    (void)sqlite3_close(b->copying->to);
    mem_free(b->copying);
    b->copying = NULL;
}

static enum err copy_begin(struct backend *b, const char *path)
{
    struct copying *c = NEW(struct copying);
    int rc = sqlite3_open_v2(path, &c->to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    b->copying = c;
    c->left = INT32_MAX;
    /* Nobody reads it before it is whole, and what fails is thrown away: no journal is needed. */
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(c->to, "PRAGMA journal_mode=OFF;PRAGMA synchronous=OFF", NULL, NULL,
                          NULL);
    if (rc == SQLITE_OK)
        c->backup = sqlite3_backup_init(c->to, "main", b->db, "main");
    if (c->backup != NULL)
        return OK;
    (void)text_format(b->why, sizeof b->why, "cannot write the copy: %s", sqlite3_errmsg(c->to));
    return rc == SQLITE_FULL ? ERR_FULL : ERR_IO;
}

/* One file that is whole by itself: without a log beside it, and on the disk. */
static enum err copy_seal(struct backend *b, const char *path)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
    if (rc != SQLITE_OK)
        (void)text_format(b->why, sizeof b->why, "cannot finish the copy: %s",
                          db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
    (void)sqlite3_close(db);
    if (rc != SQLITE_OK)
        return rc == SQLITE_FULL ? ERR_FULL : ERR_IO;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    if (!good)
        (void)text_format(b->why, sizeof b->why, "cannot finish the copy: %s", strerror(errno));
    if (fd >= 0)
        (void)close(fd);
    return good ? OK : ERR_IO;
}

enum err keep_copy(struct backend *b, struct backend_copy *c)
{
    bool first = !c->more;
    enum err e = OK;
    if (first && b->copying != NULL)
        return ERR_BUSY;
    if (first)
        e = copy_begin(b, c->path);
    c->more = false;
    if (e == OK) {
        struct copying *k = b->copying;
        int rc = sqlite3_backup_step(k->backup, k->tries > COPY_TRIES ? -1 : COPY_PAGES);
        int left = sqlite3_backup_remaining(k->backup);
        k->tries = left < k->left ? k->tries : k->tries + 1;
        k->left = left < k->left ? left : k->left;
        c->more = rc == SQLITE_OK || rc == SQLITE_BUSY || rc == SQLITE_LOCKED;
        if (!c->more && rc != SQLITE_DONE) {
            (void)text_format(b->why, sizeof b->why, "cannot write the copy: %s",
                              sqlite3_errstr(rc));
            e = (rc & 0xff) == SQLITE_FULL ? ERR_FULL : ERR_IO;
        }
    }
    if (c->more)
        return OK;
    keep_copy_end(b);
    return e == OK ? copy_seal(b, c->path) : e;
}

/* ---- looking at one ------------------------------------------------------------------------- */

static enum err look_rows(struct backend *b, const char *sql, char *out, size_t size)
{
    sqlite3_stmt *st = NULL;
    enum err e = OK;
    int rc = sqlite3_prepare_v2(b->db, sql, -1, &st, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    out[0] = '\0';
    if (rc == SQLITE_ROW)
        col_copy(st, 0, out, size);
    else if (rc != SQLITE_DONE)
        e = sq_fail(b, rc);
    (void)sqlite3_finalize(st);
    return e;
}

static enum err look_sealed(struct backend *b, struct backend_look *out)
{
    static const struct {
        int64_t since;
        const char *sql;
    } PLACES[] = {
        {6, "SELECT pepper FROM vault WHERE id=1"},
        {4, "SELECT substr(access,1,64) FROM tokens LIMIT 1"},
        {1, "SELECT substr(secret,1,64) FROM accounts WHERE secret<>'' LIMIT 1"},
    };
    enum err e = OK;
    for (size_t i = 0; i < 3 && e == OK && out->sealed[0] == '\0'; i++)
        if (out->schema >= PLACES[i].since)
            e = look_rows(b, PLACES[i].sql, out->sealed, sizeof out->sealed);
    return e;
}

static enum err look_inside(struct backend *b, struct backend_look *out, char *why, size_t why_size)
{
    char word[128];
    enum err e = look_rows(b, "PRAGMA integrity_check(1)", word, sizeof word);
    if (e == OK && strcmp(word, "ok") != 0) {
        (void)text_format(b->why, sizeof b->why, "%s", word);
        e = ERR_CORRUPT;
    }
    if (e == OK)
        e = schema_check(b, &out->schema, why, why_size);
    if (e == OK && out->schema == 0) {
        (void)text_format(why, why_size, "it is not a sluice database, or an empty one");
        e = ERR_UNSUPPORTED;
    }
    return e == OK ? look_sealed(b, out) : e;
}

enum err keep_look(const char *path, struct backend_look *out, char *why, size_t why_size)
{
    struct backend *b = NEW(struct backend);
    *out = (struct backend_look){0};
    why[0] = '\0';
    int rc = sqlite3_open_v2(path, &b->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    enum err e = rc == SQLITE_OK ? OK : sq_fail(b, rc);
    if (e == OK)
        e = look_inside(b, out, why, why_size);
    if (e != OK && why[0] == '\0')
        (void)text_format(why, why_size, "it is damaged, or no database: %s", b->why);
    (void)sqlite3_close(b->db);
    mem_free(b);
    return e;
}
