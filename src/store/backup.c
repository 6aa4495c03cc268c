#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1 /* POSIX 2008 under -std=c17 */
#endif
/* Copies of the whole database, out and back in. What is sealed stays sealed in them. */
#include "store/folder.h"
#include "store/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- out ------------------------------------------------------------------------------------ */

struct backup_verb {
    struct verb v;
    store_copied_fn *done;
    void *arg;
    bool replace, begun;
    char part[STORE_URL_MAX + 16]; /* the copy until it is whole */
    struct backend_copy copy;
    struct store_copy told;
};

#define BACKUP(verb) CONTAINER(verb, struct backup_verb, v)

static enum err refuse(struct store_copy *c, int n, const char *what, const char *path)
{
    (void)text_format(c->why, sizeof c->why, "cannot %s %s: %s", what, path, strerror(n));
    switch (n) {
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_DENIED;
    case ENOENT:
    case ENOTDIR:
        return ERR_NOTFOUND;
    case EEXIST:
        return ERR_EXISTS;
    case ENOSPC:
    case EDQUOT:
        return ERR_FULL;
    default:
        return ERR_IO;
    }
}

static enum err backup_begin(struct backup_verb *k)
{
    struct stat st;
    if (k->v.store->copying) {
        (void)text_format(k->told.why, sizeof k->told.why, "another backup is being made");
        return ERR_BUSY;
    }
    if (lstat(k->told.file, &st) == 0 && (!k->replace || !S_ISREG(st.st_mode))) {
        (void)text_format(k->told.why, sizeof k->told.why, "%s is there already%s", k->told.file,
                          S_ISREG(st.st_mode) ? ": --replace puts the new one in its place"
                                              : ", and is no regular file");
        return ERR_EXISTS;
    }
    (void)text_format(k->part, sizeof k->part, "%s.part", k->told.file);
    (void)unlink(k->part); /* left by a process that was killed meanwhile */
    int fd = open(k->part, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return refuse(&k->told, errno, "make", k->part);
    (void)close(fd);
    k->begun = k->v.store->copying = true;
    k->copy.path = k->part;
    return OK;
}

static enum err backup_place(struct backup_verb *k)
{
    struct stat st;
    enum err e = OK;
    if (stat(k->part, &st) != 0 || rename(k->part, k->told.file) != 0)
        return refuse(&k->told, errno, "finish", k->told.file);
    k->begun = false;
    k->told.bytes = st.st_size;
    e = folder_sync_parent(k->told.file);
    if (e != OK)
        (void)text_format(k->told.why, sizeof k->told.why, "cannot make %s durable", k->told.file);
    return e;
}

static void backup_run(struct verb *v)
{
    struct backup_verb *k = BACKUP(v);
    struct store *s = v->store;
    if (!k->begun)
        v->err = backup_begin(k);
    if (v->err == OK) {
        v->err = s->ops->copy(s->backend, &k->copy);
        if (v->err != OK)
            text_copy(k->told.why, sizeof k->told.why, slice_of(s->ops->why(s->backend)));
    }
    v->again = v->err == OK && k->copy.more;
    if (v->err == OK && !v->again)
        v->err = backup_place(k);
    if (!v->again && k->copy.path != NULL)
        s->copying = false;
    if (v->err != OK && k->begun) {
        (void)unlink(k->part);
        k->begun = false;
    }
    text_copy(k->told.key, sizeof k->told.key, slice_of(s->keys.vault.kid));
}

static void backup_finish(struct verb *v)
{
    struct backup_verb *k = BACKUP(v);
    if (v->err == OK)
        log_info("a backup was written", LF_STR("file", k->told.file),
                 LF_INT("bytes", k->told.bytes));
    if (v->err != OK && k->told.why[0] == '\0')
        text_copy(k->told.why, sizeof k->told.why, slice_of(v->why));
    k->done(k->arg, v->err, &k->told);
}

static void backup_destroy(struct verb *v)
{
    struct backup_verb *k = BACKUP(v);
    if (k->begun) /* the store closes: the engine gives its end up */
        (void)unlink(k->part);
    mem_free(k);
}

void store_backup(struct store *s, const char *file, bool replace, store_copied_fn *done, void *arg)
{
    struct backup_verb *k = NEW(struct backup_verb);
    assert(done != NULL);
    k->v = (struct verb){.run = backup_run, .finish = backup_finish, .destroy = backup_destroy};
    k->done = done;
    k->arg = arg;
    k->replace = replace;
    text_copy(k->told.file, sizeof k->told.file, slice_of(file));
    if (file[0] != '/' || strlen(file) >= sizeof k->told.file) {
        (void)text_format(k->told.why, sizeof k->told.why,
                          "an absolute path of less than %d bytes is wanted", STORE_URL_MAX);
        k->v.err = ERR_RANGE;
    }
    verb_submit(s, &k->v);
}

/* ---- back in -------------------------------------------------------------------------------- */

static enum err copy_bytes(int from, int to, struct store_copy *c, const char *path)
{
    char chunk[65536];
    for (;;) {
        ssize_t n = read(from, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return refuse(c, errno, "read", c->file);
        if (n == 0)
            break;
        if (!folder_write(to, (struct slice){chunk, (size_t)n}))
            return refuse(c, errno, "write", path);
        c->bytes += n;
    }
    return fsync(to) == 0 ? OK : refuse(c, errno, "write", path);
}

static enum err copy_file(struct store_copy *c, const char *path)
{
    struct stat st;
    enum err e;
    int to = -1, from = open(c->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (from < 0)
        return refuse(c, errno, "open", c->file);
    if (fstat(from, &st) != 0 || !S_ISREG(st.st_mode)) {
        (void)text_format(c->why, sizeof c->why, "%s is not a regular file", c->file);
        e = ERR_NOTFOUND;
        goto out;
    }
    (void)unlink(path);
    to = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    e = to < 0 ? refuse(c, errno, "make", path) : copy_bytes(from, to, c, path);
out:
    (void)close(from);
    if (to >= 0)
        (void)close(to);
    return e;
}

static enum err look_at(struct store_copy *c, const char *path)
{
    struct backend_look look;
    char why[256];
    enum err e = backend_sqlite.look(path, &look, why, sizeof why);
    if (e != OK) {
        (void)text_format(c->why, sizeof c->why, "%s cannot be restored: %s", c->file, why);
        return e;
    }
    c->schema = look.schema;
    if (!vault_kid_of(slice_of(look.sealed), c->key))
        c->key[0] = '\0';
    return OK;
}

/* No key at all is fine: it is not in the copy, and may follow. */
static enum err key_fits(const struct store_options *o, struct store_copy *c)
{
    struct keyring k;
    char own[FOLDER_PATH_MAX];
    (void)text_format(own, sizeof own, "%s/master.key", o->dir);
    if (o->key.text.n == 0 && o->key.file == NULL && !folder_has_file(own))
        return OK;
    enum err e = keyring_open(&k, &o->key, o->dir, true, c->why, sizeof c->why);
    if (e == OK && c->key[0] != '\0' && strcmp(k.vault.kid, c->key) != 0) {
        (void)text_format(c->why, sizeof c->why,
                          "%s needs the master key with the fingerprint %s, and the one from %s is "
                          "%s: put the right one in its place first; nothing was changed",
                          c->file, c->key, k.name, k.vault.kid);
        e = ERR_DENIED;
    }
    c->has_key = e == OK;
    keyring_close(&k);
    return e;
}

static enum err move_aside(struct store_copy *c, const char *db, bool replace)
{
    static const char *const PARTS[] = {"-wal", "-shm", ""};
    char from[FOLDER_PATH_MAX], to[FOLDER_PATH_MAX];
    int number = 1;
    if (access(db, F_OK) != 0)
        return OK;
    if (!replace) {
        (void)text_format(c->why, sizeof c->why,
                          "%s is there already: --replace moves it aside first", db);
        return ERR_EXISTS;
    }
    do {
        (void)text_format(to, sizeof to, "%s.before-%d", db, number);
    } while (access(to, F_OK) == 0 && ++number < 10000);
    for (size_t i = 0; i < 3; i++) {
        (void)text_format(from, sizeof from, "%s%s", db, PARTS[i]);
        (void)text_format(to, sizeof to, "%s.before-%d%s", db, number, PARTS[i]);
        if (rename(from, to) != 0 && (errno != ENOENT || i == 2))
            return refuse(c, errno, "move aside", from);
    }
    return OK;
}

static enum err restore_locked(const struct store_options *o, bool replace, struct store_copy *c)
{
    char db[FOLDER_PATH_MAX], part[FOLDER_PATH_MAX];
    (void)text_format(db, sizeof db, "%s/sluice.db", o->dir);
    (void)text_format(part, sizeof part, "%s/sluice.db.restore", o->dir);
    enum err e = OK;
    if (!replace && access(db, F_OK) == 0)
        e = move_aside(c, db, false);
    if (e == OK)
        e = copy_file(c, part);
    if (e == OK)
        e = look_at(c, part);
    if (e == OK)
        e = key_fits(o, c);
    if (e == OK)
        e = move_aside(c, db, replace);
    if (e == OK && (rename(part, db) != 0 || folder_sync_parent(db) != OK))
        e = refuse(c, errno, "put in place", db);
    if (e != OK)
        (void)unlink(part);
    return e;
}

enum err store_restore(const struct store_options *o, const char *file, bool replace,
                       struct store_copy *c)
{
    char path[FOLDER_PATH_MAX];
    int lock = -1;
    assert(o->dir != NULL);
    *c = (struct store_copy){0};
    text_copy(c->file, sizeof c->file, slice_of(file));
    enum err e = strlen(file) < sizeof c->file ? OK : refuse(c, ENAMETOOLONG, "open", c->file);
    if (e == OK)
        e = folder_make(o->dir, c->why, sizeof c->why);
    if (e != OK)
        return e;
    (void)text_format(path, sizeof path, "%s/sluice.lock", o->dir);
    e = folder_lock(path, false, &lock, c->why, sizeof c->why);
    if (e != OK)
        return e;
    e = restore_locked(o, replace, c);
    folder_unlock(lock);
    return e;
}
