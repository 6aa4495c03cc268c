#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1 /* POSIX 2008 under -std=c17 */
#endif
#include "store/keyring.h"
#include "store/inside.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- where it comes from -------------------------------------------------------------------- */

static enum err only_one(struct keyring *k, const char *own, char *why, size_t why_size)
{
    if (!folder_has_file(own))
        return OK;
    (void)text_format(why, why_size,
                      "there are two master keys, %s and %s: exactly one place is wanted. Move the "
                      "file away, or do not name the other",
                      k->name, own);
    return ERR_EXISTS;
}

static enum err open_outside(struct keyring *k, const struct store_key *o, const char *own,
                             char *why, size_t why_size)
{
    enum err e;
    text_copy(k->name, sizeof k->name, slice_of(o->name));
    k->outside = true;
    e = only_one(k, own, why, why_size);
    if (e != OK)
        return e;
    if (o->text.n > 0)
        return vault_open_text(&k->vault, o->text, k->name, why, why_size);
    e = vault_open(&k->vault, o->file, o->lent ? VAULT_LENT : VAULT_NAMED, why, why_size);
    if (e == ERR_NOTFOUND)
        (void)text_format(why, why_size,
                          "the master key file %s is missing: put it back, or for a new state "
                          "folder make one with (umask 077; openssl rand -hex 32 > FILE)",
                          o->file);
    if (e == OK && !o->lent)
        text_copy(k->path, sizeof k->path, slice_of(o->file));
    return e;
}

enum err keyring_open(struct keyring *k, const struct store_key *o, const char *dir,
                      bool has_database, char *why, size_t why_size)
{
    char own[FOLDER_PATH_MAX];
    enum err e;
    *k = (struct keyring){0};
    if (dir == NULL) {
        vault_open_test(&k->vault);
        return OK;
    }
    (void)text_format(own, sizeof own, "%s/master.key", dir);
    if (o->text.n > 0 || (o->file != NULL && strcmp(o->file, own) != 0))
        return open_outside(k, o, own, why, why_size);
    text_copy(k->path, sizeof k->path, slice_of(own));
    text_copy(k->name, sizeof k->name, slice_of(own));
    /* A new key beside an old database would make every secret in it unreadable in silence. */
    e = vault_open(&k->vault, own, has_database ? VAULT_NAMED : VAULT_OWN, why, why_size);
    if (e == ERR_NOTFOUND)
        (void)text_format(why, why_size,
                          "%s is missing and the database holds secrets sealed under it: put it "
                          "back from your backup (or, to give up all account secrets and client "
                          "keys, write 64 random hex digits into a new one, mode 600)",
                          own);
    return e;
}

void keyring_close(struct keyring *k)
{
    vault_wipe(&k->vault);
    vault_wipe(&k->spare);
}

/* ---- which one is in force ------------------------------------------------------------------ */

static const struct vault_place PEPPER = {.table = "vault", .column = "pepper", .row = 1};

static void path_of(const struct keyring *k, const char *kid, char out[FOLDER_PATH_MAX])
{
    (void)text_format(out, FOLDER_PATH_MAX, "%s.%s", k->path, kid);
}

/* The key has come into force: its file takes the place of the old one. A failure does no harm: the
 * next process finds it under its own name. */
static void file_promote(const struct keyring *k)
{
    char path[FOLDER_PATH_MAX];
    if (k->path[0] == '\0')
        return;
    path_of(k, k->vault.kid, path);
    if (rename(path, k->path) != 0) {
        if (errno != ENOENT) /* else another process was quicker */
            log_warn("the new master key stays in its own file", LF_STR("file", path),
                     LF_STR("why", strerror(errno)));
        return;
    }
    if (folder_sync_parent(k->path) != OK)
        log_warn("the folder of the master key cannot be made durable", LF_STR("file", k->path));
}

/* From the file at `path`, if it is the one with that fingerprint. */
static bool take_file(struct keyring *k, const char *path, const char *kid)
{
    struct vault found = {0};
    char why[256];
    bool good = vault_open(&found, path, VAULT_NAMED, why, sizeof why) == OK &&
                strcmp(found.kid, kid) == 0;
    if (good)
        vault_move(&k->vault, &found);
    vault_wipe(&found);
    return good;
}

/* Whatever key has that fingerprint, from wherever it can be had. */
static bool key_find(struct keyring *k, const char *kid)
{
    char path[FOLDER_PATH_MAX];
    if (strcmp(k->vault.kid, kid) == 0)
        return true;
    if (k->spare.in != NULL && strcmp(k->spare.kid, kid) == 0) {
        vault_move(&k->vault, &k->spare);
        file_promote(k);
        return true;
    }
    if (k->path[0] == '\0')
        return false;
    path_of(k, kid, path);
    if (take_file(k, path, kid)) {
        file_promote(k);
        return true;
    }
    return take_file(k, k->path, kid); /* another process has moved it there */
}

static enum err pepper_seal(const struct vault *under, const uint8_t *pepper, struct buf *out)
{
    return vault_seal(under, &PEPPER, (struct slice){(const char *)pepper, CRYPTO_SHA256}, out);
}

/* What was derived until now is kept from now on, so that it outlives the key. */
static enum err pepper_begin(struct store *s, struct backend_vault *out)
{
    struct buf sealed;
    buf_init(&sealed, VAULT_SEALED_MAX);
    enum err e = pepper_seal(&s->keys.vault, vault_pepper(&s->keys.vault), &sealed);
    if (e == OK)
        e = s->ops->vault_put(s->backend, buf_slice(&sealed));
    if (e == ERR_EXISTS) /* another process was quicker */
        e = OK;
    if (e == OK)
        e = s->ops->vault_load(s->backend, out);
    buf_free(&sealed);
    return e;
}

static enum err pepper_take(struct store *s, const struct backend_vault *have)
{
    struct buf clear;
    enum err e = secret_open(s, &PEPPER, (struct slice){have->pepper, have->n}, &clear);
    if (e == OK && clear.len != CRYPTO_SHA256)
        e = ERR_CORRUPT;
    if (e == OK)
        vault_set_pepper(&s->keys.vault, (const uint8_t *)clear.p);
    secret_close(&clear);
    return e;
}

static bool is_kid(const char *s)
{
    size_t n = 0;
    while ((s[n] >= '0' && s[n] <= '9') || (s[n] >= 'a' && s[n] <= 'f'))
        n++;
    /* ".new": killed while it was written */
    return n == VAULT_KID_MAX - 1 && (s[n] == '\0' || strcmp(s + n, ".new") == 0);
}

/* Keys of rotations that never happened. Only while nobody else can be in the middle of one, and
 * only in a folder that is ours. */
static void tidy(const struct store *s)
{
    char dir[FOLDER_PATH_MAX], path[FOLDER_PATH_MAX];
    const struct keyring *k = &s->keys;
    struct dirent *one;
    if (s->shared || k->outside || k->path[0] == '\0')
        return;
    const char *base = strrchr(k->path, '/');
    assert(base != NULL);
    text_copy(dir, sizeof dir, (struct slice){k->path, (size_t)(base - k->path) + 1});
    size_t n = strlen(++base);
    DIR *d = opendir(dir);
    while (d != NULL && (one = readdir(d)) != NULL) {
        const char *name = one->d_name;
        if (strncmp(name, base, n) != 0 || name[n] != '.' || !is_kid(name + n + 1))
            continue;
        path_of(k, name + n + 1, path);
        (void)unlink(path);
    }
    if (d != NULL)
        (void)closedir(d);
}

static enum err wrong_key(const struct keyring *k, const char *kid, char *why, size_t why_size)
{
    (void)text_format(why, why_size,
                      "the database is sealed under the master key with the fingerprint %s, and "
                      "the one from %s is %s: hand over the right one",
                      kid[0] != '\0' ? kid : "(damaged)", k->name, k->vault.kid);
    return ERR_DENIED;
}

enum err keyring_settle(struct store *s, bool opening, char *why, size_t why_size)
{
    struct keyring *k = &s->keys;
    struct backend_vault have;
    char kid[VAULT_KID_MAX] = "";
    enum err e = s->ops->vault_load(s->backend, &have);
    if (e == OK && have.n == 0 && opening)
        e = pepper_begin(s, &have);
    if (e != OK) {
        (void)text_format(why, why_size, "cannot read the key's mark: %s", engine_why(s, e));
        return e;
    }
    if (vault_kid_of((struct slice){have.pepper, have.n}, kid) && key_find(k, kid)) {
        vault_wipe(&k->spare);
        s->ops->vault_take(s->backend, have.rotations);
        e = opening ? pepper_take(s, &have) : OK;
        if (e != OK)
            (void)text_format(why, why_size, "the database's pepper is damaged: restore a backup");
        else if (opening)
            tidy(s);
        return e;
    }
    e = wrong_key(k, kid, why, why_size);
    if (!opening || k->outside)
        return e;
    why[0] = '\0';
    s->ops->vault_take(s->backend, have.rotations);
    log_warn("another master key than the database's: secrets and client keys cannot be used",
             LF_STR("wanted", kid), LF_STR("found", k->vault.kid));
    return OK;
}

/* ---- another takes its place ---------------------------------------------------------------- */

struct rotate_verb {
    struct verb v;
    store_rotated_fn *done;
    void *arg;
    char *text; /* the new key, if one was handed over */
    size_t text_n;
    struct vault fresh;
    struct store_rotation told;
};

#define ROTATE(verb) CONTAINER(verb, struct rotate_verb, v)

static enum err refuse(struct rotate_verb *r, enum err e, const char *fmt, const char *word)
{
    (void)text_format(r->told.why, sizeof r->told.why, fmt, word);
    return e;
}

static enum err fresh_get(struct rotate_verb *r)
{
    struct keyring *k = &r->v.store->keys;
    bool ours = k->path[0] != '\0';
    char *why = r->told.why;
    if (!ours && r->text_n == 0)
        return refuse(r, ERR_UNSUPPORTED,
                      "the master key comes from %s: make a new one there, hand it over with "
                      "--new-key-file, and have it come from there from then on",
                      k->name);
    if (!ours && r->v.store->shared)
        return refuse(r, ERR_UNSUPPORTED,
                      "the master key comes from %s, and another process on the folder could not "
                      "be told the new one: restart the gateway without `overlap` first "
                      "(stop and start, not `sluice upgrade`)",
                      k->name);
    if (r->text_n == 0)
        vault_draw(&r->fresh);
    else if (vault_open_text(&r->fresh, (struct slice){r->text, r->text_n}, "the new key", why,
                             sizeof r->told.why) != OK)
        return ERR_SYNTAX;
    if (strcmp(r->fresh.kid, k->vault.kid) == 0)
        return refuse(r, ERR_EXISTS, "the new key is %s", "the one that is in force already");
    return OK;
}

static enum err reseal_value(struct rotate_verb *r, const struct vault_place *at,
                             struct slice sealed, struct buf *out)
{
    struct buf clear;
    enum err e = secret_open(r->v.store, at, sealed, &clear);
    if (e == OK && clear.len > 0)
        e = vault_seal(&r->fresh, at, buf_slice(&clear), out);
    secret_close(&clear);
    return e;
}

/* What cannot be read stays as it is: another key may open it some day. */
static enum err on_reseal(void *arg, const struct backend_sealed_at *at, struct slice sealed,
                          struct buf *out)
{
    struct rotate_verb *r = arg;
    struct vault_place place = {
        .table = at->table, .column = at->column, .row = at->row, .generation = at->generation};
    enum err e = place.row > 0 && place.generation >= 0 ? reseal_value(r, &place, sealed, out)
                                                        : ERR_CORRUPT;
    if (e == OK) {
        r->told.values++;
    } else if (e == ERR_CORRUPT) {
        r->told.unreadable++;
        e = OK;
    }
    return e;
}

static enum err reseal_all(struct rotate_verb *r)
{
    struct store *s = r->v.store;
    struct buf pepper;
    buf_init(&pepper, VAULT_SEALED_MAX);
    enum err e = pepper_seal(&r->fresh, vault_pepper(&s->keys.vault), &pepper);
    if (e == OK)
        e = s->ops->reseal(s->backend, buf_slice(&pepper), on_reseal, r);
    buf_free(&pepper);
    return e;
}

/* After a failure of the disk it may have happened all the same: the database tells. If it cannot
 * be asked now, both keys are kept, and the next who needs one asks. */
static enum err rotate_doubt(struct rotate_verb *r, const char *path, enum err e)
{
    struct store *s = r->v.store;
    struct keyring *k = &s->keys;
    char kid[VAULT_KID_MAX], why[STORE_WHY_LONG];
    text_copy(kid, sizeof kid, slice_of(r->fresh.kid));
    (void)text_format(r->told.why, sizeof r->told.why, "the secrets could not be sealed anew: %s",
                      engine_why(s, e));
    vault_wipe(&k->spare);
    vault_move(&k->spare, &r->fresh);
    if (keyring_settle(s, false, why, sizeof why) != OK)
        return e;
    if (strcmp(k->vault.kid, kid) == 0)
        return OK;
    if (path[0] != '\0')
        (void)unlink(path);
    return e;
}

static void rotate_run(struct verb *v)
{
    struct rotate_verb *r = ROTATE(v);
    struct store *s = v->store;
    struct keyring *k = &s->keys;
    char path[FOLDER_PATH_MAX] = "";
    v->err = keyring_settle(s, false, r->told.why, sizeof r->told.why);
    if (v->err == ERR_DENIED) /* given up: what cannot be read stays so */
        v->err = k->outside ? v->err : OK;
    if (v->err == OK)
        v->err = fresh_get(r);
    if (v->err != OK)
        return;
    text_copy(r->told.old_key, sizeof r->told.old_key, slice_of(k->vault.kid));
    text_copy(r->told.new_key, sizeof r->told.new_key, slice_of(r->fresh.kid));
    if (k->path[0] != '\0') {
        path_of(k, r->fresh.kid, path);
        v->err = vault_save(&r->fresh, path, r->told.why, sizeof r->told.why);
        if (v->err != OK)
            return;
    }
    v->err = reseal_all(r);
    if (v->err == OK) {
        vault_move(&k->vault, &r->fresh);
        file_promote(k);
    } else {
        v->err = rotate_doubt(r, path, v->err);
    }
}

static void rotate_finish(struct verb *v)
{
    struct rotate_verb *r = ROTATE(v);
    if (v->err == OK)
        log_info("the master key was rotated", LF_STR("old", r->told.old_key),
                 LF_STR("new", r->told.new_key), LF_INT("values", r->told.values),
                 LF_INT("unreadable", r->told.unreadable));
    if (v->err != OK && r->told.why[0] == '\0')
        text_copy(r->told.why, sizeof r->told.why, slice_of(v->why));
    r->done(r->arg, v->err, &r->told);
}

static void rotate_destroy(struct verb *v)
{
    struct rotate_verb *r = ROTATE(v);
    secret_free(r->text, r->text_n);
    vault_wipe(&r->fresh);
    mem_free(r);
}

void store_rotate(struct store *s, struct slice new_key, store_rotated_fn *done, void *arg)
{
    struct rotate_verb *r = NEW(struct rotate_verb);
    assert(done != NULL);
    r->v = (struct verb){
        .run = rotate_run, .finish = rotate_finish, .destroy = rotate_destroy, .writes = true};
    r->done = done;
    r->arg = arg;
    if (new_key.n > 2 * (size_t)CRYPTO_KEY + 1)
        r->v.err = ERR_LIMIT;
    else
        r->text = secret_copy(new_key);
    r->text_n = r->text == NULL ? 0 : new_key.n;
    verb_submit(s, &r->v);
}
