/* platform: sockets, limits and names of threads, as far as systems differ. */
#include "net/platform.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/filter.h>
#endif

/* As many as the system permits: who does not find room asks again after a second. */
#define LISTEN_BACKLOG  65535

/* Seconds: first probe, distance between probes, lost probes that mean death. */
#define KEEPALIVE_IDLE  60
#define KEEPALIVE_EVERY 15
#define KEEPALIVE_LOST  4

#ifdef __linux__
/* Accepted sockets get these options from the listening one: three system calls saved for each. */
#define INHERITS_OPTIONS true
#else
#define INHERITS_OPTIONS false
#endif

static void set_int(int fd, int level, int name, int value)
{
    /* Best effort: a socket that is less well tuned still works. */
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

void platform_tune(int fd)
{
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
#if defined(TCP_KEEPIDLE)
    set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE);
#elif defined(TCP_KEEPALIVE)
    set_int(fd, IPPROTO_TCP, TCP_KEEPALIVE, KEEPALIVE_IDLE);
#endif
#if defined(TCP_KEEPINTVL) && defined(TCP_KEEPCNT)
    set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_EVERY);
    set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_LOST);
#endif
}

static int fd_prepare(int fd)
{
#ifndef __linux__
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
#endif
    return fd;
}

static int socket_new(int family)
{
#ifdef __linux__
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
#else
    int fd = socket(family, SOCK_STREAM, 0);
#endif
    return fd < 0 ? -errno : fd_prepare(fd);
}

int platform_accept(int fd, bool tcp, struct sockaddr_storage *peer)
{
    int got;
    do {
        socklen_t len = sizeof *peer;
        peer->ss_family = AF_UNSPEC;
#ifdef __linux__
        got = accept4(fd, (struct sockaddr *)peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
        got = accept(fd, (struct sockaddr *)peer, &len);
#endif
        /* A client that gave up in the queue is not the listener's trouble: take the next one. */
    } while (got < 0 && (errno == EINTR || errno == ECONNABORTED || errno == EPROTO));
    if (got < 0)
        return errno == EWOULDBLOCK ? -EAGAIN : -errno;
    got = fd_prepare(got);
    if (got >= 0 && tcp && !INHERITS_OPTIONS)
        platform_tune(got);
    return got;
}

/* All who listen on one address with SO_REUSEPORT are numbered as they came, and newcomers are
 * spread over them by a hash. A listener that closes takes those in its queue with it; so while
 * there are two, all go to the second: it is the one that stays, and the first one's queue is empty
 * when it closes. The program that says so is the whole group's and outlives who brought it. With
 * one listener left there is no number 1, and the kernel falls back to what it has. */
static int share_port(int fd)
{
#ifdef SO_REUSEPORT
    int on = 1;
    return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0 ? -errno : 0;
#else
    (void)fd;
    return -ENOTSUP;
#endif
}

static void share_prefer_second(int fd)
{
#ifdef SO_ATTACH_REUSEPORT_CBPF
    struct sock_filter second[] = {{BPF_RET | BPF_K, 0, 0, 1}};
    struct sock_fprog program = {.len = 1, .filter = second};
    /* Best effort: without it the hash spreads them until the first one closes. */
    (void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program);
#else
    (void)fd;
#endif
}

int platform_listen_tcp(const union sock *at, bool shared)
{
    int r = 0;
#ifndef __linux__
    if (shared) /* elsewhere the option has another meaning, or takes connections from others */
        return -ENOTSUP;
#endif
    int fd = socket_new(at->any.sa_family);
    if (fd < 0)
        return fd;
    set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (shared)
        r = share_port(fd);
    if (at->any.sa_family == AF_INET6)
        set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    platform_tune(fd);
    if (r == 0 && (bind(fd, &at->any, sock_len(at)) < 0 || listen(fd, LISTEN_BACKLOG) < 0))
        r = -errno;
    if (r < 0) {
        close(fd);
        return r;
    }
    if (shared)
        share_prefer_second(fd);
    return fd;
}

/* Removes the socket file a dead process left at `path`; -EADDRINUSE when somebody answers there,
 * or when it is something else than a socket. */
static int unix_clear(const struct sockaddr_un *at)
{
    struct stat st;
    if (lstat(at->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EADDRINUSE;
    int fd = socket_new(AF_UNIX);
    if (fd < 0)
        return fd;
    int r = connect(fd, (const struct sockaddr *)at, sizeof *at);
    bool refused = r < 0 && errno == ECONNREFUSED;
    close(fd);
    if (!refused)
        return -EADDRINUSE;
    return unlink(at->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

/* Where the socket is made: at its path, or beside it, to be moved over the one before. */
static int unix_place(struct sockaddr_un *at, const char *path, bool shared)
{
    char place[sizeof at->sun_path + 32], pid[TEXT_U64_MAX];
    (void)text_from_u64((uint64_t)getpid(), pid);
    size_t n = text_format(place, sizeof place, "%s%s%s", path, shared ? "." : "",
                           shared ? pid : "");
    if (n >= sizeof at->sun_path)
        return -ENAMETOOLONG;
    memcpy(at->sun_path, place, n + 1);
    if (!shared)
        return unix_clear(at);
    return unlink(place) < 0 && errno != ENOENT ? -errno : 0;
}

int platform_listen_unix(const char *path, bool shared)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct stat st;
    int r = unix_place(&at, path, shared);
    if (r < 0)
        return r;
    if (shared && lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
        return -EADDRINUSE; /* somebody's file is not ours to replace */
    int fd = socket_new(AF_UNIX);
    if (fd < 0)
        return fd;
    /* Nobody can connect before listen(): so the mode is right before the first connection, and the
     * process's umask, which other threads depend on, is left alone. */
    if (bind(fd, (const struct sockaddr *)&at, sizeof at) < 0)
        r = -errno;
    else if (chmod(at.sun_path, S_IRUSR | S_IWUSR) < 0 || listen(fd, LISTEN_BACKLOG) < 0 ||
             (shared && rename(at.sun_path, path) < 0)) {
        r = -errno;
        (void)unlink(at.sun_path);
    }
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}

bool platform_is_listening(int fd)
{
    int type = 0, listens = 0;
    socklen_t n = sizeof type, m = sizeof listens;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_STREAM &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &m) == 0 && listens != 0;
}

int platform_adopt(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return -errno;
    platform_tune(fd);
    return 0;
}

void platform_want(int fd, size_t n)
{
    set_int(fd, SOL_SOCKET, SO_RCVLOWAT, (int)n);
}

bool platform_peer(int fd, int64_t *uid, int64_t *pid)
{
#ifdef SO_PEERCRED
    struct ucred who;
    socklen_t len = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
        return false;
    *uid = (int64_t)who.uid;
    *pid = who.pid;
    return true;
#else
    (void)fd;
    (void)uid;
    (void)pid;
    return false;
#endif
}

int platform_error(int fd)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        return 0;
    return -error;
}

void platform_name_thread(const char *name)
{
#ifdef __linux__
    char z[16];
    text_copy(z, sizeof z, slice_of(name));
    (void)pthread_setname_np(pthread_self(), z);
#else
    (void)name;
#endif
}

int64_t net_fd_limit(void)
{
    const rlim_t most = 1 << 20; /* "unlimited", and what no table of ours should follow */
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) < 0)
        return 256;
    if (r.rlim_cur < r.rlim_max) {
        struct rlimit raised = {r.rlim_max, r.rlim_max};
        if (raised.rlim_cur == RLIM_INFINITY || raised.rlim_cur > most)
            raised.rlim_cur = r.rlim_cur > most ? r.rlim_cur : most;
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
            r = raised;
    }
    assert(r.rlim_cur > 0);
    return r.rlim_cur > most ? (int64_t)most : (int64_t)r.rlim_cur;
}
