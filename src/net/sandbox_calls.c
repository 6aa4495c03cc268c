/* sandbox_calls: which system calls are left to the process.
 *
 * A filter for seccomp, made from the table below. What is listed passes, some of it only with the
 * arguments we use; what no gateway ever does, and every intruder wants, ends the process; all else
 * does not exist (ENOSYS: libraries then do without). */
#include "net/sandbox.h"

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __x86_64__
#define ARCH AUDIT_ARCH_X86_64
#else
#define ARCH AUDIT_ARCH_AARCH64
#endif

/* For the headers of older systems: the numbers of the newest are the same everywhere. */
#ifndef __NR_close_range
#define __NR_close_range 436
#endif
#ifndef __NR_faccessat2
#define __NR_faccessat2 439
#endif
#ifndef __NR_io_uring_setup
#define __NR_io_uring_setup 425
#endif
#ifndef __NR_epoll_pwait2
#define __NR_epoll_pwait2 441
#endif

/* The tools that watch a test build for faults look into the process with calls of their own. */
#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define WATCHED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WATCHED 1
#endif
#ifndef WATCHED
#define WATCHED 0
#endif

/* ---- the table ------------------------------------------------------------------------------- */

static const uint16_t PASS[] = {
    /* bytes */
    __NR_read,
    __NR_write,
    __NR_readv,
    __NR_writev,
    __NR_pread64,
    __NR_pwrite64,
    __NR_preadv,
    __NR_pwritev,
    __NR_lseek,
    __NR_close,
    __NR_close_range,
    __NR_fcntl,
    __NR_dup,
    __NR_dup3,
    __NR_pipe2,
    /* files, as far as sandbox_files lets them be seen */
    __NR_openat,
    __NR_newfstatat,
    __NR_fstat,
    __NR_statx,
    __NR_statfs,
    __NR_fstatfs,
    __NR_faccessat,
    __NR_faccessat2,
    __NR_readlinkat,
    __NR_getdents64,
    __NR_getcwd,
    __NR_fsync,
    __NR_fdatasync,
    __NR_ftruncate,
    __NR_fallocate,
    __NR_flock,
    __NR_unlinkat,
    __NR_renameat,
    __NR_renameat2,
    __NR_mkdirat,
    __NR_fchmod,
    __NR_fchmodat,
    __NR_umask,
    /* memory */
    __NR_munmap,
    __NR_mremap,
    __NR_madvise,
    __NR_mlock,
    __NR_munlock,
    __NR_brk,
    __NR_msync,
    __NR_mincore,
    __NR_membarrier,
    /* sockets */
    __NR_connect,
    __NR_bind,
    __NR_accept,
    __NR_accept4,
    __NR_getsockname,
    __NR_getpeername,
    __NR_getsockopt,
    __NR_setsockopt,
    __NR_sendto,
    __NR_sendmsg,
    __NR_sendmmsg,
    __NR_recvfrom,
    __NR_recvmsg,
    __NR_recvmmsg,
    __NR_shutdown,
    /* waiting */
    __NR_epoll_create1,
    __NR_epoll_ctl,
    __NR_epoll_pwait,
    __NR_epoll_pwait2,
    __NR_ppoll,
    __NR_pselect6,
    __NR_eventfd2,
    __NR_futex,
    __NR_nanosleep,
    __NR_clock_nanosleep,
    __NR_restart_syscall,
    /* the process, its threads, clocks and chance */
    __NR_set_robust_list,
    __NR_get_robust_list,
    __NR_rseq,
    __NR_sched_yield,
    __NR_sched_getaffinity,
    __NR_getcpu,
    __NR_exit,
    __NR_exit_group,
    __NR_gettid,
    __NR_getpid,
    __NR_getppid,
    __NR_getuid,
    __NR_geteuid,
    __NR_getgid,
    __NR_getegid,
    __NR_rt_sigaction,
    __NR_rt_sigprocmask,
    __NR_rt_sigreturn,
    __NR_rt_sigtimedwait,
    __NR_sigaltstack,
    __NR_clock_gettime,
    __NR_clock_getres,
    __NR_gettimeofday,
    __NR_times,
    __NR_getrandom,
    __NR_getrusage,
    __NR_sysinfo,
    __NR_uname,
    __NR_getrlimit,
    __NR_setrlimit,
#ifdef __x86_64__ /* the older spellings of the same */
    __NR_open,
    __NR_stat,
    __NR_lstat,
    __NR_access,
    __NR_readlink,
    __NR_getdents,
    __NR_unlink,
    __NR_rename,
    __NR_mkdir,
    __NR_chmod,
    __NR_dup2,
    __NR_pipe,
    __NR_poll,
    __NR_select,
    __NR_epoll_create,
    __NR_epoll_wait,
    __NR_eventfd,
    __NR_time,
#endif
};

/* What the tools of a test build do besides, when they look into the process at its end. */
static const uint16_t PASS_WATCHED[] = {
    __NR_ptrace,
    __NR_process_vm_readv,
    __NR_wait4,
    __NR_clone,
    __NR_prctl,
    __NR_tgkill,
    __NR_kill,
    __NR_mprotect,
    __NR_mmap,
    __NR_ioctl,
    __NR_prlimit64,
    __NR_sched_getparam,
    __NR_sched_getscheduler,
    __NR_set_tid_address,
#ifdef __x86_64__
    __NR_arch_prctl,
#endif
};

/* Whatever asks for one of these is no longer the program that was started. */
static const uint16_t KILL[] = {
    __NR_execve,
    __NR_execveat,
    __NR_ptrace,
    __NR_process_vm_readv,
    __NR_process_vm_writev,
    __NR_bpf,
    __NR_mount,
    __NR_umount2,
    __NR_pivot_root,
    __NR_chroot,
    __NR_setns,
    __NR_unshare,
    __NR_kexec_load,
    __NR_init_module,
    __NR_finit_module,
    __NR_delete_module,
    __NR_open_by_handle_at,
    __NR_perf_event_open,
    __NR_keyctl,
    __NR_add_key,
    __NR_request_key,
    __NR_swapon,
    __NR_reboot,
    __NR_setuid,
    __NR_setgid,
    __NR_setresuid,
    __NR_setresgid,
    __NR_setgroups,
    __NR_capset,
#ifdef __x86_64__
    __NR_fork,
    __NR_vfork,
#endif
};

/* Calls that pass with one of a few values of one argument (the low half of it: none of these are
 * longer). */
struct narrow {
    uint16_t nr;
    uint8_t arg, n;
    uint16_t error;
    uint32_t mask; /* what of the argument is looked at */
    uint32_t value[8];
};
#define ALL UINT32_MAX
#define PID 0 /* put in when the filter is made: this process */
static const struct narrow NARROW[] = {
    {__NR_socketpair, 0, 1, EAFNOSUPPORT, ALL, {AF_UNIX}},
    /* No memory that is or becomes code, but for what a resolver's modules bring in files. */
    {__NR_mprotect, 2, 1, EACCES, PROT_EXEC, {0}},
    {__NR_clone, 0, 1, EPERM, CLONE_THREAD, {CLONE_THREAD}},
    /* names of threads and of memory; nobody may make the process transparent again */
    {__NR_prctl, 0, 3, EPERM, ALL, {PR_SET_NAME, PR_GET_NAME, 0x53564d41 /* PR_SET_VMA */}},
    /* TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX, SIOCGIFINDEX */
    {__NR_ioctl, 1, 7, ENOTTY, ALL, {0x5401, 0x5413, 0x541b, 0x5421, 0x5450, 0x5451, 0x8933}},
    {__NR_prlimit64, 0, 1, EPERM, ALL, {0}},
    {__NR_kill, 0, 1, EPERM, ALL, {PID}},
    {__NR_tgkill, 0, 1, EPERM, ALL, {PID}},
};

/* ---- the filter ------------------------------------------------------------------------------ */

#define FILTER_MAX 512
struct filter {
    struct sock_filter at[FILTER_MAX];
    uint16_t n;
};

static void put(struct filter *f, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
    assert(f->n < FILTER_MAX);
    f->at[f->n++] = (struct sock_filter){.code = code, .jt = yes, .jf = no, .k = k};
}

static void put_load(struct filter *f, size_t offset)
{
    put(f, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void put_return(struct filter *f, uint32_t what)
{
    put(f, BPF_RET | BPF_K, what, 0, 0);
}

static void put_nr(struct filter *f, uint16_t nr, uint32_t what)
{
    put(f, BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1);
    put_return(f, what);
}

static size_t arg_at(int i)
{
    /* both architectures are little-endian: the low half comes first */
    return offsetof(struct seccomp_data, args) + (size_t)i * sizeof(uint64_t);
}

static uint32_t error_of(int n)
{
    return SECCOMP_RET_ERRNO | ((uint32_t)n & SECCOMP_RET_DATA);
}

static void put_narrow(struct filter *f, const struct narrow *w)
{
    uint8_t n = w->n;
    bool self = w->nr == __NR_kill || w->nr == __NR_tgkill;
    put(f, BPF_JMP | BPF_JEQ | BPF_K, w->nr, 0, (uint8_t)(2 * n + 3));
    put_load(f, arg_at(w->arg));
    put(f, BPF_ALU | BPF_AND | BPF_K, w->mask, 0, 0);
    for (uint8_t i = 0; i < n; i++) {
        put(f, BPF_JMP | BPF_JEQ | BPF_K, self ? (uint32_t)getpid() : w->value[i], 0, 1);
        put_return(f, SECCOMP_RET_ALLOW);
    }
    put_return(f, error_of(w->error));
}

/* Streams and datagrams of the three families; no raw sockets, no netlink, nothing exotic. */
static void put_socket(struct filter *f)
{
    put(f, BPF_JMP | BPF_JEQ | BPF_K, __NR_socket, 0, 11);
    put_load(f, arg_at(0));
    put(f, BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 3, 0);
    put(f, BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 2, 0);
    put(f, BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 1, 0);
    put_return(f, error_of(EAFNOSUPPORT));
    put_load(f, arg_at(1));
    put(f, BPF_ALU | BPF_AND | BPF_K, 0xf, 0, 0);
    put(f, BPF_JMP | BPF_JEQ | BPF_K, SOCK_STREAM, 1, 0);
    put(f, BPF_JMP | BPF_JEQ | BPF_K, SOCK_DGRAM, 0, 1);
    put_return(f, SECCOMP_RET_ALLOW);
    put_return(f, error_of(EPERM));
}

/* Code comes out of files only and is never writable; with `strict` none comes any more. */
static void put_mmap(struct filter *f, bool strict)
{
    put(f, BPF_JMP | BPF_JEQ | BPF_K, __NR_mmap, 0, 8);
    put_load(f, arg_at(2));
    put(f, BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 4);
    put(f, BPF_JMP | BPF_JSET | BPF_K, strict ? PROT_EXEC : PROT_WRITE, 2, 0);
    put_load(f, arg_at(3));
    put(f, BPF_JMP | BPF_JSET | BPF_K, MAP_ANONYMOUS, 0, 1);
    put_return(f, error_of(EACCES));
    put_return(f, SECCOMP_RET_ALLOW);
    put_return(f, SECCOMP_RET_KILL_PROCESS); /* not reached */
}

static void filter_make(struct filter *f, bool strict, bool watched)
{
    f->n = 0;
    put_load(f, offsetof(struct seccomp_data, arch));
    put(f, BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
    put_return(f, SECCOMP_RET_KILL_PROCESS);
    put_load(f, offsetof(struct seccomp_data, nr));
    /* x32 has the same architecture and other numbers. */
    put(f, BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1);
    put_return(f, SECCOMP_RET_KILL_PROCESS);
    for (size_t i = 0; watched && i < sizeof PASS_WATCHED / sizeof *PASS_WATCHED; i++)
        put_nr(f, PASS_WATCHED[i], SECCOMP_RET_ALLOW); /* first: some are below, too */
    for (size_t i = 0; i < sizeof KILL / sizeof *KILL; i++)
        put_nr(f, KILL[i], SECCOMP_RET_KILL_PROCESS);
    for (size_t i = 0; i < sizeof PASS / sizeof *PASS; i++)
        put_nr(f, PASS[i], SECCOMP_RET_ALLOW);
    put_nr(f, __NR_listen, strict ? error_of(EPERM) : SECCOMP_RET_ALLOW);
    for (size_t i = 0; i < sizeof NARROW / sizeof *NARROW; i++)
        put_narrow(f, &NARROW[i]);
    put_socket(f);
    put_mmap(f, strict);
    put_return(f, error_of(ENOSYS));
}

/* `flags`: SECCOMP_FILTER_FLAG_TSYNC: of all threads, those that are there run with it from here
 * on, or it is refused. */
static enum err filter_install(struct filter *f, unsigned flags)
{
    struct sock_fprog program = {.len = f->n, .filter = f->at};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return ERR_DENIED;
    if (syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) != 0)
        return errno == ENOSYS || errno == EINVAL ? ERR_UNSUPPORTED : ERR_IO;
    return OK;
}

enum err sandbox_begin(void)
{
    struct filter f = {.n = 0};
    put_load(&f, offsetof(struct seccomp_data, nr));
    put_nr(&f, __NR_io_uring_setup, error_of(ENOSYS));
    put_return(&f, SECCOMP_RET_ALLOW);
    return filter_install(&f, 0);
}

enum err sandbox_close(bool strict, bool watched, struct sandbox *out)
{
    struct filter f;
    filter_make(&f, strict, watched);
    enum err e = filter_install(&f, SECCOMP_FILTER_FLAG_TSYNC);
    out->calls = e == OK;
    return e;
}

enum err sandbox_calls(bool strict, struct sandbox *out)
{
    return sandbox_close(strict, WATCHED, out);
}

#else

enum err sandbox_begin(void)
{
    return ERR_UNSUPPORTED;
}

enum err sandbox_close(bool strict, bool watched, struct sandbox *out)
{
    (void)strict;
    (void)watched;
    (void)out;
    return ERR_UNSUPPORTED;
}

enum err sandbox_calls(bool strict, struct sandbox *out)
{
    (void)strict;
    (void)out;
    return ERR_UNSUPPORTED;
}

#endif
