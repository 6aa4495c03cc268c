/* sandbox_files: which files the process may still open, and which ports it may still bind.
 *
 * Landlock, by its bare system calls: what a kernel knows is asked for (its ABI number), and the
 * headers of the machine that built the program do not matter. A rule stands for a file or for all
 * that is under a folder; nothing can be taken back or added later. */
#include "net/net.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#ifdef __linux__

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* The numbers are the same on every architecture (asm-generic/unistd.h). */
#define NR_CREATE_RULESET 444L
#define NR_ADD_RULE       445L
#define NR_RESTRICT_SELF  446L
#define WANT_VERSION      1U
#define RULE_PATH         1L
#define RULE_PORT         2L

/* linux/landlock.h */
enum {
    FS_EXECUTE = 1 << 0,
    FS_WRITE_FILE = 1 << 1,
    FS_READ_FILE = 1 << 2,
    FS_READ_DIR = 1 << 3,
    FS_REMOVE_FILE = 1 << 5,
    FS_MAKE_REG = 1 << 8,
    FS_MAKE_SOCK = 1 << 9,
    FS_ABI_1 = (1 << 13) - 1,
    FS_REFER = 1 << 13,    /* ABI 2 */
    FS_TRUNCATE = 1 << 14, /* 3 */
    FS_IOCTL_DEV = 1 << 15 /* 5 */
};
#define NET_BIND_TCP   UINT64_C(1) /* 4 */
#define SCOPE_ABSTRACT UINT64_C(1) /* 6 */
#define SCOPE_SIGNAL   UINT64_C(2)

struct ruleset_attr {
    uint64_t fs, net, scoped;
};
struct path_attr {
    uint64_t allowed;
    int32_t fd;
} __attribute__((packed));
struct port_attr {
    uint64_t allowed, port;
};

static int64_t known_rights(int abi)
{
    int64_t r = FS_ABI_1;
    if (abi >= 2)
        r |= FS_REFER;
    if (abi >= 3)
        r |= FS_TRUNCATE;
    if (abi >= 5)
        r |= FS_IOCTL_DEV;
    return r;
}

/* Nobody needs EXECUTE: it is for execve, not for the libraries that a resolver loads. */
static int64_t path_rights(const struct sandbox_path *p, bool folder)
{
    int64_t r = FS_READ_FILE;
    if (p->write)
        r |= FS_WRITE_FILE | FS_TRUNCATE;
    if (folder)
        r |= FS_READ_DIR;
    if (folder && p->write)
        r |= FS_REMOVE_FILE | FS_MAKE_REG | FS_MAKE_SOCK;
    return r;
}

/* What is not there needs no rule, and what cannot be had now could not be had later. */
static bool path_add(int set, int64_t known, const struct sandbox_path *p)
{
    struct stat st;
    int fd = open(p->path, O_PATH | O_CLOEXEC);
    bool good = false;
    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0) {
        struct path_attr a = {.allowed = (uint64_t)(path_rights(p, S_ISDIR(st.st_mode)) & known),
                              .fd = fd};
        good = syscall(NR_ADD_RULE, set, RULE_PATH, &a, 0UL) == 0;
    }
    (void)close(fd);
    return good;
}

static bool ports_add(int set, const struct sandbox_rules *r)
{
    for (int i = 0; i < r->ports; i++) {
        struct port_attr a = {.allowed = NET_BIND_TCP, .port = r->port[i]};
        if (syscall(NR_ADD_RULE, set, RULE_PORT, &a, 0UL) != 0)
            return false;
    }
    return true;
}

static size_t attr_make(const struct sandbox_rules *r, int abi, struct ruleset_attr *a)
{
    *a = (struct ruleset_attr){.fs = (uint64_t)known_rights(abi)};
    if (abi >= 4)
        a->net = NET_BIND_TCP;
    if (abi >= 6)
        a->scoped = SCOPE_SIGNAL | (r->abstract_sockets ? 0 : SCOPE_ABSTRACT);
    return abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
}

enum err sandbox_files(const struct sandbox_rules *r, struct sandbox *out)
{
    struct ruleset_attr attr;
    long abi = syscall(NR_CREATE_RULESET, NULL, 0UL, WANT_VERSION);
    if (abi < 1)
        return ERR_UNSUPPORTED;
    size_t size = attr_make(r, (int)abi, &attr);
    assert(size <= sizeof attr);
    int set = (int)syscall(NR_CREATE_RULESET, &attr, size, 0U);
    if (set < 0)
        return ERR_UNSUPPORTED;
    int n = 0;
    for (int i = 0; i < r->paths; i++)
        n += path_add(set, known_rights((int)abi), &r->path[i]) ? 1 : 0;
    bool good = (abi < 4 || ports_add(set, r)) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                syscall(NR_RESTRICT_SELF, set, 0U) == 0;
    (void)close(set);
    if (!good)
        return ERR_IO;
    out->files = true;
    out->ports = abi >= 4;
    out->signals = abi >= 6;
    out->abi = (int)abi;
    out->paths = n;
    return OK;
}

#else

enum err sandbox_files(const struct sandbox_rules *r, struct sandbox *out)
{
    (void)r;
    (void)out;
    return ERR_UNSUPPORTED;
}

#endif
