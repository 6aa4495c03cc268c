#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1 /* POSIX 2008 under -std=c17 */
#endif
#include "store/vault.h"
#include "store/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct vault_locked {
    uint8_t key[CRYPTO_KEY];
    uint8_t pepper[CRYPTO_SHA256];
};

/* ---- memory --------------------------------------------------------------------------------- */

void vault_wipe(struct vault *v)
{
    mem_locked_free(v->in);
    *v = (struct vault){0};
}

void vault_move(struct vault *v, struct vault *from)
{
    assert(from->in != NULL && v != from);
    if (v->in == NULL) {
        *v = *from;
        *from = (struct vault){0};
        return;
    }
    memcpy(v->in->key, from->in->key, sizeof v->in->key);
    memcpy(v->kid, from->kid, sizeof v->kid);
    vault_wipe(from);
}

static void vault_set(struct vault *v, const uint8_t key[CRYPTO_KEY])
{
    uint8_t id[4];
    assert(v->in == NULL);
    v->in = mem_locked(sizeof *v->in);
    memcpy(v->in->key, key, CRYPTO_KEY);
    crypto_hkdf(v->in->pepper, sizeof v->in->pepper, key, CRYPTO_KEY, S(""), S("sluice/v1/pepper"));
    crypto_hkdf(id, sizeof id, key, CRYPTO_KEY, S(""), S("sluice/v1/kid"));
    text_hex(v->kid, id, sizeof id);
    assert(v->kid[VAULT_KID_MAX - 1] == '\0');
}

const uint8_t *vault_pepper(const struct vault *v)
{
    assert(v->in != NULL);
    return v->in->pepper;
}

void vault_set_pepper(struct vault *v, const uint8_t pepper[CRYPTO_SHA256])
{
    memcpy(v->in->pepper, pepper, CRYPTO_SHA256);
}

/* ---- key files ------------------------------------------------------------------------------ */

static bool key_parse(struct vault *v, struct slice text)
{
    uint8_t key[CRYPTO_KEY];
    if (text.n == VAULT_FILE_BYTES && text.p[text.n - 1] == '\n')
        text.n--;
    bool good = text.n == 2 * (size_t)CRYPTO_KEY && text_unhex(key, sizeof key, text);
    if (good)
        vault_set(v, key);
    crypto_wipe(key, sizeof key);
    return good;
}

enum err vault_open_text(struct vault *v, struct slice text, const char *name, char *why,
                         size_t why_size)
{
    if (key_parse(v, text))
        return OK;
    (void)text_format(why, why_size,
                      "%s is not a master key: 64 hex digits are wanted, as `openssl rand -hex 32` "
                      "makes them",
                      name);
    return ERR_SYNTAX;
}

/* Judged on the open descriptor, so that the file that was judged is the file that is read. */
static enum err key_file_check(int fd, const char *path, enum vault_file kind, char *why,
                               size_t why_size)
{
    mode_t shut = kind == VAULT_LENT ? 027 : 077;
    struct stat st;
    if (fstat(fd, &st) != 0) {
        (void)text_format(why, why_size, "cannot examine %s: %s", path, strerror(errno));
        return ERR_IO;
    }
    if (!S_ISREG(st.st_mode)) {
        (void)text_format(why, why_size, "%s is not a regular file", path);
        return ERR_DENIED;
    }
    if (st.st_uid != geteuid() && st.st_uid != 0) {
        (void)text_format(why, why_size,
                          "%s belongs to another user: run sluice as its owner, or chown it", path);
        return ERR_DENIED;
    }
    if ((st.st_mode & shut) != 0) {
        (void)text_format(why, why_size,
                          "%s can be reached by its group or by others (mode %04o): "
                          "chmod 600 %s, and take the key as known if others use this machine",
                          path, (unsigned)(st.st_mode & 07777), path);
        return ERR_DENIED;
    }
    return OK;
}

static enum err key_read(struct vault *v, int fd, const char *path, enum vault_file kind, char *why,
                         size_t why_size)
{
    char text[VAULT_FILE_BYTES + 1]; /* one more, to notice a longer file */
    size_t n = 0;
    enum err e = key_file_check(fd, path, kind, why, why_size);
    if (e != OK)
        return e;
    while (n < sizeof text) {
        ssize_t r = read(fd, text + n, sizeof text - n);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0) {
            (void)text_format(why, why_size, "cannot read %s: %s", path, strerror(errno));
            e = ERR_IO;
            goto out;
        }
        if (r == 0)
            break;
        n += (size_t)r;
    }
    if (!key_parse(v, (struct slice){text, n})) {
        (void)text_format(why, why_size,
                          "%s is not a master key (64 hex digits and a newline): "
                          "put the right file back from your backup",
                          path);
        e = ERR_SYNTAX;
    }
out:
    crypto_wipe(text, sizeof text);
    return e;
}

/* Written under another name and renamed once it is on the disk: a key file is whole or absent,
 * also after a power cut. The folder's lock is held, so nobody else makes one at the same time. */
enum err vault_save(const struct vault *v, const char *path, char *why, size_t why_size)
{
    char tmp[FOLDER_PATH_MAX], text[VAULT_FILE_BYTES + 1];
    enum err e = ERR_IO;
    int fd = -1;
    assert(v->in != NULL);
    (void)text_format(tmp, sizeof tmp, "%s.new", path);
    text_hex(text, v->in->key, sizeof v->in->key);
    text[VAULT_FILE_BYTES - 1] = '\n';
    (void)unlink(tmp); /* left by a process that was killed right here */
    fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        goto out;
    if (!folder_write(fd, (struct slice){text, VAULT_FILE_BYTES}) || fsync(fd) != 0)
        goto out;
    if (rename(tmp, path) != 0 || folder_sync_parent(path) != OK)
        goto out;
    e = OK;
out:
    if (e != OK) {
        int n = errno;
        (void)text_format(why, why_size, "cannot make the master key file %s: %s", path,
                          strerror(n));
        e = n == ENOSPC || n == EDQUOT                ? ERR_FULL
            : n == EACCES || n == EPERM || n == EROFS ? ERR_DENIED
                                                      : e;
    }
    if (fd >= 0)
        (void)close(fd);
    if (e != OK)
        (void)unlink(tmp);
    crypto_wipe(text, sizeof text);
    return e;
}

void vault_draw(struct vault *v)
{
    uint8_t key[CRYPTO_KEY];
    crypto_random(key, sizeof key);
    vault_set(v, key);
    crypto_wipe(key, sizeof key);
}

static enum err key_create(struct vault *v, const char *path, char *why, size_t why_size)
{
    vault_draw(v);
    enum err e = vault_save(v, path, why, why_size);
    if (e != OK)
        vault_wipe(v);
    return e;
}

enum err vault_open(struct vault *v, const char *path, enum vault_file kind, char *why,
                    size_t why_size)
{
    enum err e;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    assert(why_size > 0);
    if (fd >= 0) {
        e = key_read(v, fd, path, kind, why, why_size);
        (void)close(fd);
    } else if (errno == ENOENT && kind == VAULT_OWN) {
        e = key_create(v, path, why, why_size);
    } else if (errno == ENOENT) {
        (void)text_format(why, why_size, "the master key file %s is missing", path);
        e = ERR_NOTFOUND;
    } else {
        int n = errno;
        (void)text_format(why, why_size, "cannot open %s: %s", path, strerror(n));
        e = n == EACCES || n == EPERM ? ERR_DENIED : ERR_IO;
    }
    return e;
}

void vault_open_test(struct vault *v)
{
    uint8_t key[CRYPTO_KEY];
    *v = (struct vault){0};
    memset(key, 0x5a, sizeof key);
    vault_set(v, key);
}

/* ---- sealing -------------------------------------------------------------------------------- */

#define PLACE_MAX 160
struct place_text {
    char salt[PLACE_MAX], info[PLACE_MAX], aad[PLACE_MAX];
    size_t salt_n, info_n, aad_n;
};

static void place_print(const struct vault_place *at, struct place_text *t)
{
    assert(at->row > 0); /* a row that has no number yet cannot be sealed for */
    assert(at->generation >= 0);
    t->salt_n = text_format(t->salt, PLACE_MAX, "%s|%" PRId64, at->table, at->row);
    t->info_n = text_format(t->info, PLACE_MAX, "sluice/v1/%s.%s", at->table, at->column);
    t->aad_n = text_format(t->aad, PLACE_MAX, "v1|%s|%" PRId64 "|%s", at->table, at->row,
                           at->column);
    if (at->generation > 0)
        t->aad_n += text_format(t->aad + t->aad_n, PLACE_MAX - t->aad_n, "|%" PRId64,
                                at->generation);
    assert(t->info_n < PLACE_MAX - 1 && t->aad_n < PLACE_MAX - 1);
}

static void row_key(const struct vault *v, const struct place_text *t, uint8_t out[CRYPTO_KEY])
{
    crypto_hkdf(out, CRYPTO_KEY, v->in->key, sizeof v->in->key, (struct slice){t->salt, t->salt_n},
                (struct slice){t->info, t->info_n});
}

enum err vault_seal(const struct vault *v, const struct vault_place *at, struct slice clear,
                    struct buf *out)
{
    struct place_text t;
    uint8_t key[CRYPTO_KEY];
    struct buf raw;
    enum err e;
    assert(v->in != NULL && clear.n > 0);
    place_print(at, &t);
    row_key(v, &t, key);
    buf_init(&raw, VAULT_SEALED_MAX);
    e = crypto_seal(&raw, key, (struct slice){t.aad, t.aad_n}, clear);
    if (e == OK)
        e = buf_printf(out, "v1.%s.", v->kid);
    if (e == OK)
        e = text_base64(out, raw.p, raw.len, true);
    buf_free(&raw);
    crypto_wipe(key, sizeof key);
    return e;
}

/* Cuts "v1." and the fingerprint off; false when there are none. */
static bool sealed_head(struct slice *sealed, struct slice *kid)
{
    struct slice part;
    return slice_cut(sealed, '.', &part) && slice_eq(part, S("v1")) && slice_cut(sealed, '.', kid);
}

bool vault_kid_of(struct slice sealed, char kid[VAULT_KID_MAX])
{
    struct slice part;
    if (!sealed_head(&sealed, &part) || part.n != VAULT_KID_MAX - 1)
        return false;
    text_copy(kid, VAULT_KID_MAX, part);
    return true;
}

enum err vault_unseal(const struct vault *v, const struct vault_place *at, struct slice sealed,
                      struct buf *out)
{
    struct place_text t;
    uint8_t key[CRYPTO_KEY];
    struct slice kid;
    struct buf raw;
    enum err e;
    assert(v->in != NULL && out->len == 0);
    if (!sealed_head(&sealed, &kid) || !slice_eq(kid, slice_of(v->kid)) || sealed.n == 0)
        return ERR_CORRUPT;
    buf_init(&raw, VAULT_SEALED_MAX);
    e = text_unbase64(&raw, sealed, true);
    if (e == ERR_SYNTAX)
        e = ERR_CORRUPT;
    if (e != OK)
        goto out;
    /* Room for all of it at once: growing would leave clear bytes in freed memory. */
    e = buf_reserve(out, raw.len + 1);
    if (e != OK)
        goto out;
    place_print(at, &t);
    row_key(v, &t, key);
    e = crypto_open(out, key, (struct slice){t.aad, t.aad_n}, buf_slice(&raw));
    crypto_wipe(key, sizeof key);
out:
    buf_free(&raw);
    return e;
}
