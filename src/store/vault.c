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

static void vault_derive(struct vault *v)
{
    uint8_t id[4];
    crypto_hkdf(v->pepper, sizeof v->pepper, v->key, sizeof v->key, S(""), S("sluice/v1/pepper"));
    crypto_hkdf(id, sizeof id, v->key, sizeof v->key, S(""), S("sluice/v1/kid"));
    text_hex(v->kid, id, sizeof id);
    assert(v->kid[VAULT_KID_MAX - 1] == '\0');
}

static enum err key_parse(struct vault *v, const char *path, struct slice text, char *why,
                          size_t why_size)
{
    if (text.n == VAULT_FILE_BYTES && text.p[text.n - 1] == '\n')
        text.n--;
    if (text.n != 2 * (size_t)CRYPTO_KEY || !text_unhex(v->key, sizeof v->key, text)) {
        (void)text_format(why, why_size,
                          "%s is not a master key (64 hex digits and a newline): "
                          "put the right file back from your backup",
                          path);
        return ERR_SYNTAX;
    }
    return OK;
}

/* Judged on the open descriptor, so that the file that was judged is the file that is read. */
static enum err key_file_check(int fd, const char *path, char *why, size_t why_size)
{
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
    if ((st.st_mode & 077) != 0) {
        (void)text_format(why, why_size,
                          "%s can be reached by its group or by others (mode %04o): "
                          "chmod 600 %s, and take the key as known if others use this machine",
                          path, (unsigned)(st.st_mode & 07777), path);
        return ERR_DENIED;
    }
    return OK;
}

static enum err key_read(struct vault *v, int fd, const char *path, char *why, size_t why_size)
{
    char text[VAULT_FILE_BYTES + 1]; /* one more, to notice a longer file */
    size_t n = 0;
    enum err e = key_file_check(fd, path, why, why_size);
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
    e = key_parse(v, path, (struct slice){text, n}, why, why_size);
out:
    crypto_wipe(text, sizeof text);
    return e;
}

/* Written under another name and renamed once it is on the disk: a key file is whole or absent,
 * also after a power cut. The folder's lock is held, so nobody else makes one at the same time. */
static enum err key_create(struct vault *v, const char *path, char *why, size_t why_size)
{
    char tmp[FOLDER_PATH_MAX], text[VAULT_FILE_BYTES + 1];
    enum err e = ERR_IO;
    int fd = -1;
    (void)text_format(tmp, sizeof tmp, "%s.new", path);
    crypto_random(v->key, sizeof v->key);
    text_hex(text, v->key, sizeof v->key);
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
        (void)text_format(why, why_size, "cannot make the master key file %s: %s", path,
                          strerror(errno));
        e = errno == ENOSPC || errno == EDQUOT ? ERR_FULL : e;
    }
    if (fd >= 0)
        (void)close(fd);
    if (e != OK)
        (void)unlink(tmp);
    crypto_wipe(text, sizeof text);
    return e;
}

enum err vault_open(struct vault *v, const char *path, bool may_create, char *why, size_t why_size)
{
    enum err e;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    assert(why_size > 0);
    if (fd >= 0) {
        e = key_read(v, fd, path, why, why_size);
        (void)close(fd);
    } else if (errno == ENOENT && may_create) {
        e = key_create(v, path, why, why_size);
    } else if (errno == ENOENT) {
        (void)text_format(why, why_size,
                          "%s is missing and the database holds secrets sealed under it: put it "
                          "back from your backup (or, to give up all account secrets and client "
                          "keys, write 64 random hex digits into a new one, mode 600)",
                          path);
        e = ERR_NOTFOUND;
    } else {
        (void)text_format(why, why_size, "cannot open %s: %s", path, strerror(errno));
        e = errno == EACCES || errno == EPERM ? ERR_DENIED : ERR_IO;
    }
    if (e == OK)
        vault_derive(v);
    else
        vault_wipe(v);
    return e;
}

void vault_open_test(struct vault *v)
{
    memset(v->key, 0x5a, sizeof v->key);
    vault_derive(v);
}

void vault_wipe(struct vault *v)
{
    crypto_wipe(v, sizeof *v);
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
    crypto_hkdf(out, CRYPTO_KEY, v->key, sizeof v->key, (struct slice){t->salt, t->salt_n},
                (struct slice){t->info, t->info_n});
}

enum err vault_seal(const struct vault *v, const struct vault_place *at, struct slice clear,
                    struct buf *out)
{
    struct place_text t;
    uint8_t key[CRYPTO_KEY];
    struct buf raw;
    enum err e;
    assert(v->kid[0] != '\0' && clear.n > 0);
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

/* Cuts "v1." and the fingerprint off; false when it is not ours. */
static bool sealed_head(const struct vault *v, struct slice *sealed)
{
    struct slice part;
    if (!slice_cut(sealed, '.', &part) || !slice_eq(part, S("v1")))
        return false;
    if (!slice_cut(sealed, '.', &part) || !slice_eq(part, slice_of(v->kid)))
        return false;
    return sealed->n > 0;
}

enum err vault_unseal(const struct vault *v, const struct vault_place *at, struct slice sealed,
                      struct buf *out)
{
    struct place_text t;
    uint8_t key[CRYPTO_KEY];
    struct buf raw;
    enum err e;
    assert(v->kid[0] != '\0' && out->len == 0);
    if (!sealed_head(v, &sealed))
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
