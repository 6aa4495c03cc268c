#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1 /* POSIX 2008 and flock under -std=c17 */
#endif
#include "store/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHARE_TRIES    100
#define SHARE_PAUSE_MS 50

static enum err errno_err(int n)
{
    switch (n) {
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_DENIED;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return ERR_FULL;
    default:
        return ERR_IO;
    }
}

static enum err fail(int n, const char *verb, const char *path, char *why, size_t why_size)
{
    (void)text_format(why, why_size, "cannot %s %s: %s", verb, path, strerror(n));
    return errno_err(n);
}

/* Who may change the folder may put another database, key or socket in the place of ours. */
static enum err folder_judge(const char *dir, const struct stat *st, char *why, size_t why_size)
{
    if (!S_ISDIR(st->st_mode)) {
        (void)text_format(why, why_size, "%s is not a folder: choose another --state-dir", dir);
        return ERR_STATE;
    }
    if (st->st_uid != geteuid() && st->st_uid != 0 && geteuid() != 0) {
        (void)text_format(why, why_size,
                          "the folder %s belongs to another user: run sluice as its owner, or "
                          "choose another --state-dir",
                          dir);
        return ERR_DENIED;
    }
    if ((st->st_mode & 022) != 0) {
        (void)text_format(why, why_size,
                          "the folder %s can be changed by its group or by others (mode %04o): "
                          "chmod 700 %s, and look at what is in it",
                          dir, (unsigned)(st->st_mode & 07777), dir);
        return ERR_DENIED;
    }
    return OK;
}

enum err folder_make(const char *dir, char *why, size_t why_size)
{
    char path[FOLDER_PATH_MAX];
    struct stat st;
    size_t n = strlen(dir);
    assert(why_size > 0);
    if (n == 0 || n >= sizeof path - 64) { /* 64: for the names of the files in it */
        (void)text_format(why, why_size, "the state folder's name is empty or too long");
        return ERR_RANGE;
    }
    for (size_t i = 1; i <= n; i++) {
        if (i < n && dir[i] != '/')
            continue;
        text_copy(path, sizeof path, (struct slice){dir, i});
        if (mkdir(path, 0700) == 0 || errno == EEXIST)
            continue;
        /* A parent on a read-only or foreign disk may refuse mkdir though it exists. */
        int n_err = errno;
        if (stat(path, &st) != 0)
            return fail(n_err, "make the folder", path, why, why_size);
    }
    if (stat(dir, &st) != 0)
        return fail(errno, "open the folder", dir, why, why_size);
    return folder_judge(dir, &st, why, why_size);
}

static void lock_owner(int fd, char out[TEXT_U64_MAX])
{
    ssize_t n = pread(fd, out, TEXT_U64_MAX - 1, 0);
    size_t len = 0;
    while (n > 0 && len < (size_t)n && out[len] >= '0' && out[len] <= '9')
        len++;
    out[len] = '\0';
}

static void lock_refused(const char *path, int fd, bool shared, char *why, size_t why_size)
{
    char pid[TEXT_U64_MAX];
    /* Who shares it would have let us in; who does not may have been refused by one who does. */
    bool others_share = !shared && flock(fd, LOCK_SH | LOCK_NB) == 0;
    lock_owner(fd, pid);
    (void)text_format(
        why, why_size, "another sluice%s%s uses this state folder (%s)%s",
        pid[0] != '\0' ? ", process " : "", pid, path,
        others_share ? " and shares it only with a gateway that has `overlap` on, too: turn it on, "
                       "or stop that process"
        : shared     ? " alone, for its `overlap` is off: stop it first"
                     : ": stop it, or give this one another --state-dir");
}

enum err folder_lock(const char *path, bool shared, int *out, char *why, size_t why_size)
{
    char pid[TEXT_U64_MAX];
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    *out = -1;
    if (fd < 0)
        return fail(errno, "open the lock file", path, why, why_size);
    if (flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) {
        int n_err = errno;
        if (n_err == EWOULDBLOCK)
            lock_refused(path, fd, shared, why, why_size);
        (void)close(fd);
        return n_err == EWOULDBLOCK ? ERR_BUSY : fail(n_err, "lock", path, why, why_size);
    }
    size_t n = text_from_u64((uint64_t)getpid(), pid);
    pid[n] = '\n';
    /* Only people read the number: a full disk is no reason to refuse. */
    if (ftruncate(fd, 0) == 0)
        (void)folder_write(fd, (struct slice){pid, n + 1});
    *out = fd;
    return OK;
}

/* The kernel lets go of the one lock before it takes the other: somebody may come in between, whose
 * stay is short (a command), or who is another gateway. */
enum err folder_share(int fd)
{
    assert(fd >= 0);
    for (int i = 0; i < SHARE_TRIES; i++) {
        if (flock(fd, LOCK_SH | LOCK_NB) == 0)
            return OK;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return ERR_IO;
        (void)poll(NULL, 0, SHARE_PAUSE_MS);
    }
    return ERR_BUSY;
}

void folder_unlock(int fd)
{
    char pid[TEXT_U64_MAX], own[TEXT_U64_MAX];
    assert(fd >= 0);
    lock_owner(fd, pid);
    (void)text_from_u64((uint64_t)getpid(), own);
    /* The file stays: removing it could remove the one another process has just locked. And who
     * came to share it later has put its own number there. */
    if (strcmp(pid, own) == 0 && ftruncate(fd, 0) != 0)
        log_debug("lock file not emptied", LF_STR("why", strerror(errno)));
    (void)close(fd);
}

bool folder_has_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0;
}

enum err folder_touch(const char *path, char *why, size_t why_size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail(errno, "open the database", path, why, why_size);
    (void)close(fd);
    return OK;
}

enum err folder_sync_parent(const char *path)
{
    char dir[FOLDER_PATH_MAX];
    const char *slash = strrchr(path, '/');
    enum err e = OK;
    if (slash == NULL)
        text_copy(dir, sizeof dir, S("."));
    else
        text_copy(dir, sizeof dir, (struct slice){path, (size_t)(slash - path) + 1});
    int fd = open(dir, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return ERR_IO;
    if (fsync(fd) != 0 && errno != EINVAL) /* EINVAL: a file system that has no such thing */
        e = ERR_IO;
    (void)close(fd);
    return e;
}

bool folder_write(int fd, struct slice bytes)
{
    while (bytes.n > 0) {
        ssize_t w = write(fd, bytes.p, bytes.n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return false;
        bytes = slice_sub(bytes, (size_t)w, bytes.n);
    }
    return true;
}
