/* links: base net */
/* The sandbox, from inside: each row runs in a process of its own that gives everything up, and
 * then tries. What a kernel does not have is passed over and said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/sandbox.h"

#ifdef __linux__

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PASSED  0
#define LACKING 99 /* the kernel has no such thing */

static char root[] = "/tmp/sluice-sandbox-XXXXXX";
static char readable[128], writable[128], hidden[128];
static uint16_t port_open, port_shut;

static void join(char *out, size_t size, const char *dir, const char *name)
{
    text_format(out, size, "%s/%s", dir, name);
}

static void file_make(const char *dir, const char *name, const char *text)
{
    char path[256];
    join(path, sizeof path, dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* 0, or the error of opening it. */
static int tried(const char *dir, const char *name, int flags)
{
    char path[256];
    join(path, sizeof path, dir, name);
    int fd = open(path, flags | O_CLOEXEC, 0600);
    int e = fd < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return e;
}

/* ---- a process of its own -------------------------------------------------------------------- */

static int status_of(int (*in_child)(void))
{
    int status = 0;
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        _exit(in_child());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static struct sandbox closed;

static int files_close(void)
{
    const struct sandbox_path path[] = {
        {readable, false}, {writable, true}, {"/nowhere/at/all", true}};
    struct sandbox_rules r = {.path = path, .paths = 3, .port = &port_open, .ports = 1};
    enum err e = sandbox_files(&r, &closed);
    return e == OK ? 0 : e == ERR_UNSUPPORTED ? LACKING : 98;
}

static int calls_close(bool strict)
{
    enum err e = sandbox_close(strict, false, &closed);
    return e == OK ? 0 : e == ERR_UNSUPPORTED ? LACKING : 98;
}

/* ---- files ----------------------------------------------------------------------------------- */

static int old_fd = -1;

static int bind_to(uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    int e = bind(fd, (const struct sockaddr *)&at, sizeof at) < 0 ? errno : 0;
    close(fd);
    return e;
}

static void *thread_tries(void *arg)
{
    *(int *)arg = tried(hidden, "secret", O_RDONLY);
    return NULL;
}

#define WANT(number, condition) \
    if (!(condition))           \
    return number

static int files_child(void)
{
    char a[256], b[256], c;
    pthread_t t;
    int by_thread = 0, e = files_close();
    WANT(e, e == 0);
    WANT(1, closed.files && closed.abi >= 1 && closed.paths == 2);
    WANT(2, tried("/etc", "passwd", O_RDONLY) == EACCES);
    WANT(3, tried(hidden, "secret", O_RDONLY) == EACCES);
    WANT(4, tried(readable, "file", O_RDONLY) == 0);
    WANT(5, tried(readable, "file", O_WRONLY) == EACCES);
    WANT(6, tried(readable, "new", O_WRONLY | O_CREAT) == EACCES);
    WANT(7, tried(writable, "new", O_RDWR | O_CREAT) == 0);
    WANT(8, tried(readable, "../hidden/secret", O_RDONLY) == EACCES);
    WANT(9, tried(writable, "link", O_RDONLY) == EACCES); /* to the secret */
    join(a, sizeof a, writable, "new");
    join(b, sizeof b, hidden, "new");
    WANT(10, rename(a, b) < 0 && (errno == EACCES || errno == EXDEV));
    join(b, sizeof b, writable, "moved");
    WANT(11, rename(a, b) == 0 && unlink(b) == 0);
    WANT(12, pread(old_fd, &c, 1, 0) == 1 && c == 's'); /* opened before: it stays */
    WANT(13, pthread_create(&t, NULL, thread_tries, &by_thread) == 0);
    WANT(14, pthread_join(t, NULL) == 0 && by_thread == EACCES);
    WANT(15, execl("/bin/true", "true", (char *)NULL) < 0 && errno == EACCES);
    WANT(16, symlink("/etc/passwd", b) < 0 && errno == EACCES);
    WANT(17, mkdir(b, 0700) < 0 && errno == EACCES);
    if (closed.signals)
        WANT(20, kill(getppid(), 0) < 0 && errno == EPERM);
    if (closed.ports)
        WANT(21, bind_to(port_open) == 0 && bind_to(port_shut) == EACCES);
    return PASSED;
}

static void test_files(void **state)
{
    (void)state;
    int status = status_of(files_child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == LACKING) {
        print_message("this kernel has no Landlock\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), PASSED);
}

/* ---- calls that end the process -------------------------------------------------------------- */

static long run_execve(void)
{
    char *const argv[] = {(char *)(uintptr_t) "true", NULL};
    return execve("/bin/true", argv, argv + 1);
}
static long run_execveat(void)
{
    return syscall(SYS_execveat, -1, "/bin/true", NULL, NULL, 0);
}
static long run_ptrace(void)
{
    return ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}
static long run_mount(void)
{
    return syscall(SYS_mount, "none", "/tmp", "tmpfs", 0UL, NULL);
}
static long run_bpf(void)
{
    return syscall(SYS_bpf, 0, NULL, 0);
}
static long run_setuid(void)
{
    return syscall(SYS_setuid, 0);
}
static long run_unshare(void)
{
    return syscall(SYS_unshare, 0);
}
static long run_peek(void)
{
    return syscall(SYS_process_vm_readv, getpid(), NULL, 0UL, NULL, 0UL, 0UL);
}
static long run_by_handle(void)
{
    return syscall(SYS_open_by_handle_at, -1, NULL, 0);
}
#ifdef __x86_64__
static long run_x32(void)
{
    return syscall(0x40000000L + SYS_getpid);
}
static long run_vfork(void)
{
    return syscall(SYS_fork); /* not by libc, which has another way */
}
static long run_i386(void)
{
    long r = 20; /* getpid; a filter that looks at numbers alone takes it for writev */
    __asm__ volatile("int $0x80" : "+a"(r) : : "memory");
    return r;
}
#endif

static long (*deadly)(void);

static int deadly_child(void)
{
    int e = calls_close(false);
    WANT(e, e == 0);
    (void)deadly();
    return 1;
}

static void test_deadly(void **state)
{
    static const struct {
        const char *name;
        long (*run)(void);
    } ROWS[] = {
        {"execve", run_execve},
        {"execveat", run_execveat},
        {"ptrace", run_ptrace},
        {"mount", run_mount},
        {"bpf", run_bpf},
        {"setuid", run_setuid},
        {"unshare", run_unshare},
        {"process_vm_readv", run_peek},
        {"by handle", run_by_handle},
#ifdef __x86_64__
        {"x32", run_x32},
        {"fork", run_vfork},
        {"i386", run_i386},
#endif
    };
    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        deadly = ROWS[i].run;
        int status = status_of(deadly_child);
        if (WIFEXITED(status) && WEXITSTATUS(status) == LACKING) {
            print_message("this kernel has no seccomp\n");
            skip();
        }
        bool other = strcmp(ROWS[i].name, "i386") == 0; /* kernels may be without it */
        if (!WIFSIGNALED(status) || (WTERMSIG(status) != SIGSYS && !other))
            fail_msg("%s: status %x", ROWS[i].name, (unsigned)status);
    }
}

/* ---- calls that are refused, and those that are not ------------------------------------------ */

static int socket_of(int family, int type)
{
    int fd = socket(family, type, 0);
    int e = fd < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return e;
}

static int memory_child(void)
{
    size_t n = (size_t)sysconf(_SC_PAGESIZE);
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    WANT(30, p != MAP_FAILED);
    WANT(31, mprotect(p, n, PROT_READ | PROT_EXEC) < 0 && errno == EACCES);
    WANT(32, mprotect(p, n, PROT_READ) == 0);
    WANT(33,
         mmap(NULL, n, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
             errno == EACCES);
    WANT(34, mmap(NULL, n, PROT_WRITE | PROT_EXEC, MAP_PRIVATE, old_fd, 0) == MAP_FAILED &&
                 errno == EACCES);
    WANT(35, munmap(p, n) == 0);
    return PASSED;
}

static int refused_child(void)
{
    int pair[2], e = calls_close(false);
    WANT(e, e == 0);
    WANT(1, socket_of(AF_INET, SOCK_STREAM) == 0 && socket_of(AF_UNIX, SOCK_DGRAM) == 0);
    WANT(2, socket_of(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC) != EPERM);
    WANT(3, socket_of(AF_NETLINK, SOCK_RAW) == EAFNOSUPPORT);
    WANT(4, socket_of(AF_PACKET, SOCK_RAW) == EAFNOSUPPORT);
    WANT(5, socket_of(AF_INET, SOCK_RAW) == EPERM);
    WANT(6, socket_of(AF_INET, SOCK_SEQPACKET) == EPERM);
    WANT(7, socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    WANT(8, syscall(425 /* io_uring_setup */, 4, NULL) < 0 && errno == ENOSYS);
    WANT(9, syscall(SYS_memfd_create, "x", 0) < 0 && errno == ENOSYS);
    WANT(10, syscall(SYS_personality, 0xffffffffUL) < 0 && errno == ENOSYS);
    WANT(11, syscall(9999) < 0 && errno == ENOSYS);
    WANT(12, kill(getppid(), 0) < 0 && errno == EPERM);
    WANT(13, kill(getpid(), 0) == 0);
    WANT(14, prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0 && errno == EPERM);
    WANT(15, fork() < 0 && errno == EPERM);
    WANT(16, syscall(SYS_prlimit64, getppid(), 0, NULL, NULL) < 0 && errno == EPERM);
    WANT(17, symlink("a", "b") < 0 && errno == ENOSYS);
    return PASSED;
}

static void *thread_socket(void *arg)
{
    int *fd = arg; /* waits until the filter is there */
    char c;
    while (read(fd[0], &c, 1) != 1)
        ;
    fd[2] = socket_of(AF_NETLINK, SOCK_RAW);
    return NULL;
}

static int threads_child(void)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
    pthread_t before, after;
    int first[3], second[3];
    WANT(90, pipe(first) == 0 && pipe(second) == 0);
    WANT(91, pthread_create(&before, NULL, thread_socket, first) == 0);
    int e = calls_close(false);
    WANT(e, e == 0);
    WANT(1, write(first[1], "x", 1) == 1 && pthread_join(before, NULL) == 0);
    WANT(2, first[2] == EAFNOSUPPORT);
    WANT(3, pthread_create(&after, NULL, thread_socket, second) == 0);
    WANT(4, write(second[1], "x", 1) == 1 && pthread_join(after, NULL) == 0);
    WANT(5, second[2] == EAFNOSUPPORT);
    /* names are still found, by whatever modules this system has for that */
    WANT(6, getaddrinfo("localhost", "80", &hints, &found) == 0);
    freeaddrinfo(found);
    (void)getaddrinfo("no-such-name.invalid", "80", &hints, &found);
    return memory_child();
}

static int listens(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    join(at.sun_path, sizeof at.sun_path, writable, "socket");
    (void)unlink(at.sun_path);
    WANT(-1, bind(fd, (const struct sockaddr *)&at, sizeof at) == 0);
    int e = listen(fd, 1) < 0 ? errno : 0;
    close(fd);
    return e;
}

static int strict_child(void)
{
    int fd, e = calls_close(true);
    WANT(e, e == 0);
    WANT(1, listens() == EPERM);
    fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    WANT(2, fd >= 0);
    WANT(3, mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED &&
                errno == EACCES);
    WANT(4, mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) != MAP_FAILED);
    return memory_child();
}

static int lax_child(void)
{
    int fd, e = calls_close(false);
    WANT(e, e == 0);
    WANT(1, listens() == 0);
    fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    WANT(2, fd >= 0); /* as a resolver's module is loaded */
    WANT(3, mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) != MAP_FAILED);
    return PASSED;
}

static void test_refused(void **state)
{
    static int (*const ROWS[])(void) = {refused_child, threads_child, strict_child, lax_child};
    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        int status = status_of(ROWS[i]);
        if (WIFEXITED(status) && WEXITSTATUS(status) == LACKING)
            skip();
        if (status != 0)
            fail_msg("row %zu: status %x", i, (unsigned)status);
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

static int setup(void **state)
{
    char link[256], target[256];
    (void)state;
    assert_non_null(mkdtemp(root));
    join(readable, sizeof readable, root, "readable");
    join(writable, sizeof writable, root, "writable");
    join(hidden, sizeof hidden, root, "hidden");
    assert_int_equal(mkdir(readable, 0700) | mkdir(writable, 0700) | mkdir(hidden, 0700), 0);
    file_make(readable, "file", "x");
    file_make(hidden, "secret", "secret");
    join(target, sizeof target, hidden, "secret");
    join(link, sizeof link, writable, "link");
    assert_int_equal(symlink(target, link), 0);
    old_fd = open(target, O_RDONLY | O_CLOEXEC);
    assert_true(old_fd >= 0);
    port_open = (uint16_t)(20000 + getpid() % 20000);
    port_shut = (uint16_t)(port_open + 1);
    return 0;
}

static void file_remove(const char *dir, const char *name)
{
    char path[256];
    join(path, sizeof path, dir, name);
    (void)unlink(path);
}

static int teardown(void **state)
{
    (void)state;
    close(old_fd);
    file_remove(readable, "file");
    file_remove(hidden, "secret");
    file_remove(writable, "link");
    file_remove(writable, "socket");
    file_remove(writable, "new");
    (void)(rmdir(readable) | rmdir(writable) | rmdir(hidden) | rmdir(root));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_deadly),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

#else

static void test_nothing(void **state)
{
    struct sandbox s = {0};
    (void)state;
    assert_int_equal(sandbox_calls(true, &s), ERR_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
