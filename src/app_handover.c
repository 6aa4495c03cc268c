/* Handing over, and taking over: see app_handover.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* struct ucred */
#endif
#include "app_handover.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define NAME_START "sluice.take."
#define FIRST_LINE "sluice-handover 1"
#define TEXT_MAX   8192
#define FDS_MAX    (CONFIG_LISTEN_MAX + 2)
#define TAKE_MS    10000 /* for the running one to give what it has promised */
#define YOURS_MS   5000
#define GIVE_MS    60000 /* for the newer one to be ready */
#define LOOK_MS    20

static enum err sentence(enum err e, char *why, size_t size, const char *text)
{
    text_copy(why, size, slice_of(text));
    return e;
}

static bool place(struct sockaddr_un *at, const char *dir, const char *name)
{
    *at = (struct sockaddr_un){.sun_family = AF_UNIX};
    size_t n = text_format(at->sun_path, sizeof at->sun_path, "%s/%s", dir, name);
    return n < sizeof at->sun_path - 1;
}

/* The number of the process at the other end, if it runs as our user; -1: it does not. */
static int64_t friend_of(int fd)
{
#ifdef SO_PEERCRED
    struct ucred who;
    socklen_t n = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) != 0 || who.uid != geteuid())
        return -1;
    return (int64_t)who.pid;
#else
    (void)fd;
    return -1;
#endif
}

/* ---- the newer process ----------------------------------------------------------------------- */

static int take_listen(const char *dir, struct sockaddr_un *at, char *name, size_t size, char *why,
                       size_t why_size)
{
    text_format(name, size, NAME_START "%" PRId64, (int64_t)getpid());
    if (!place(at, dir, name)) {
        text_copy(why, why_size, S("the state folder's path is too long for a unix socket"));
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)unlink(at->sun_path); /* of a process that had our number before us */
    if (fd >= 0 && bind(fd, (const struct sockaddr *)at, sizeof *at) == 0 &&
        chmod(at->sun_path, S_IRUSR | S_IWUSR) == 0 && listen(fd, 1) == 0)
        return fd;
    text_format(why, why_size, "no unix socket can be made in the state folder: %s",
                strerror(errno));
    if (fd >= 0) {
        (void)unlink(at->sun_path);
        (void)close(fd);
    }
    return -1;
}

static bool wait_for(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int r;
    do
        r = poll(&p, 1, ms);
    while (r < 0 && errno == EINTR);
    return r > 0;
}

struct parcel {
    char text[TEXT_MAX];
    size_t n;
    int fd[FDS_MAX];
    int fds, used;
};

static void parcel_close(struct parcel *p)
{
    for (int i = p->used; i < p->fds; i++)
        (void)close(p->fd[i]);
    p->fds = p->used = 0;
}

static void parcel_fds(struct parcel *p, struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        const unsigned char *at = CMSG_DATA(c);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, at + i * sizeof fd, sizeof fd);
            if (p->fds < FDS_MAX)
                p->fd[p->fds++] = fd;
            else
                (void)close(fd);
        }
    }
}

/* All of it, up to the line "end". */
static bool parcel_receive(struct parcel *p, int link)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(FDS_MAX * sizeof(int))];
    } control;
    while (!slice_ends((struct slice){p->text, p->n}, S("\nend\n"))) {
        struct iovec v = {.iov_base = p->text + p->n, .iov_len = sizeof p->text - p->n};
        struct msghdr m = {.msg_iov = &v,
                           .msg_iovlen = 1,
                           .msg_control = &control,
                           .msg_controllen = sizeof control};
        if (v.iov_len == 0 || !wait_for(link, TAKE_MS))
            return false;
        ssize_t got = recvmsg(link, &m, MSG_CMSG_CLOEXEC);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        parcel_fds(p, &m);
        p->n += (size_t)got;
    }
    return true;
}

static int parcel_fd(struct parcel *p)
{
    return p->used < p->fds ? p->fd[p->used++] : -1;
}

static bool parcel_line(struct handover *h, struct parcel *p, struct slice line, char *why,
                        size_t size)
{
    struct slice word, rest = line;
    uint64_t n = 0;
    (void)slice_cut(&rest, ' ', &word);
    if (slice_eq(word, S("listen"))) {
        int fd = parcel_fd(p);
        return fd >= 0 && given_add(&h->given, rest, fd, why, size) == OK;
    }
    if (slice_eq(word, S("stdout")))
        return (h->out = parcel_fd(p)) >= 0;
    if (slice_eq(word, S("stderr")))
        return (h->err = parcel_fd(p)) >= 0;
    if (slice_eq(word, S("watchdog"))) {
        if (!text_u64(rest, &n) || n > INT64_MAX)
            return false;
        h->manager.watchdog_us = (int64_t)n;
    } else if (slice_eq(word, S("notify"))) {
        if (rest.n >= sizeof h->manager.socket)
            return false;
        text_copy(h->manager.socket, sizeof h->manager.socket, rest);
    }
    return true; /* words of a later version are passed over */
}

static enum err parcel_read(struct handover *h, struct parcel *p, char *why, size_t size)
{
    struct slice rest = {p->text, p->n}, line;
    if (!slice_cut(&rest, '\n', &line) || !slice_eq(line, S(FIRST_LINE)))
        return sentence(ERR_PROTOCOL, why, size,
                        "the running gateway hands over in a way that this version does not know: "
                        "stop it and start this one");
    text_copy(why, size, S("what the running gateway has handed over is not understood"));
    while (slice_cut(&rest, '\n', &line))
        if (!parcel_line(h, p, line, why, size))
            return ERR_PROTOCOL;
    if (h->given.n > 0)
        return OK;
    return sentence(ERR_PROTOCOL, why, size, "the running gateway has no addresses to hand over");
}

static enum err take_from(struct handover *h, int link, char *why, size_t size)
{
    struct parcel p = {.n = 0};
    enum err e = OK;
    h->link = link;
    h->pid = friend_of(link);
    if (h->pid < 0)
        return sentence(ERR_DENIED, why, size,
                        "who answered is not our user's: run it as the gateway's user");
    if (parcel_receive(&p, link))
        e = parcel_read(h, &p, why, size);
    else
        e = sentence(ERR_EOF, why, size, "the running gateway broke the handover off");
    parcel_close(&p);
    return e;
}

enum err handover_take(struct handover *h, const char *dir, handover_ask_fn *ask, void *arg,
                       char *why, size_t size)
{
    struct sockaddr_un at;
    char name[64];
    int link = -1;
    *h = (struct handover){.link = -1, .out = -1, .err = -1};
    int fd = take_listen(dir, &at, name, sizeof name, why, size);
    if (fd < 0)
        return ERR_IO;
    enum err e = ask(arg, name, why, size);
    if (e == OK) {
        if (wait_for(fd, TAKE_MS))
            link = accept(fd, NULL, NULL);
        if (link >= 0 && fcntl(link, F_SETFD, FD_CLOEXEC) == 0)
            e = take_from(h, link, why, size);
        else
            e = sentence(ERR_TIMEOUT, why, size,
                         "the running gateway has agreed, and then given nothing");
    }
    (void)unlink(at.sun_path);
    (void)close(fd);
    if (e != OK)
        handover_close(h);
    return e;
}

enum err handover_serving(struct handover *h)
{
    static const char words[] = "serving\n";
    char got[8];
    assert(h->link >= 0 && h->pid > 0);
    ssize_t n = send(h->link, words, sizeof words - 1, MSG_NOSIGNAL);
    if (n == (ssize_t)(sizeof words - 1) && wait_for(h->link, YOURS_MS) &&
        recv(h->link, got, sizeof got, 0) > 0)
        return OK;
    return kill((pid_t)h->pid, 0) != 0 && errno == ESRCH ? ERR_NOTFOUND : ERR_BUSY;
}

void handover_speak(struct handover *h)
{
    fflush(stdout);
    if (h->out >= 0)
        (void)dup2(h->out, STDOUT_FILENO);
    if (h->err >= 0)
        (void)dup2(h->err, STDERR_FILENO);
}

static void fd_drop(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

void handover_close(struct handover *h)
{
    fd_drop(&h->link);
    fd_drop(&h->out);
    fd_drop(&h->err);
    given_close(&h->given);
}

/* ---- the running process --------------------------------------------------------------------- */

bool handover_name_is_good(const char *name)
{
    uint64_t pid;
    struct slice s = slice_of(name);
    return slice_starts(s, S(NAME_START)) &&
           text_u64(slice_sub(s, sizeof NAME_START - 1, s.n), &pid);
}

static void told(struct handover_give *g, enum err e)
{
    timer_stop(&g->look);
    g->told(g->arg, e, g->pid); /* may stop it */
}

static void on_look(void *arg)
{
    struct handover_give *g = arg;
    char got[8];
    int64_t now = loop_now(g->loop);
    ssize_t n = recv(g->fd, got, sizeof got, MSG_DONTWAIT);
    if (n > 0)
        told(g, OK);
    else if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
        told(g, ERR_EOF);
    else if (now >= g->until)
        told(g, ERR_TIMEOUT);
    else
        timer_set(&g->look, now + LOOK_MS);
}

void handover_give_init(struct handover_give *g, struct loop *l, handover_told_fn *told_fn,
                        void *arg)
{
    *g = (struct handover_give){.loop = l, .fd = -1, .told = told_fn, .arg = arg};
    timer_init(&g->look, l, on_look, g);
}

/* The text, and the descriptors in the order of its lines. */
static bool gift_send(int link, const struct handover_gift *gift)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(FDS_MAX * sizeof(int))];
    } control;
    char text[TEXT_MAX];
    int fd[FDS_MAX], n = 0;
    const struct app_manager *m = app_manager();
    size_t at = text_format(text, sizeof text, FIRST_LINE "\n");
    for (; n < gift->n; n++) {
        at += text_format(text + at, sizeof text - at, "listen %s\n", gift->name[n]);
        fd[n] = gift->fd[n];
    }
    at += text_format(text + at, sizeof text - at, "stdout\nstderr\nwatchdog %" PRId64 "\n",
                      m->watchdog_us);
    fd[n++] = STDOUT_FILENO;
    fd[n++] = STDERR_FILENO;
    if (m->socket[0] != '\0')
        at += text_format(text + at, sizeof text - at, "notify %s\n", m->socket);
    at += text_format(text + at, sizeof text - at, "end\n");
    memset(&control, 0, sizeof control);
    struct iovec v = {.iov_base = text, .iov_len = at};
    struct msghdr msg = {.msg_iov = &v,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = CMSG_SPACE((size_t)n * sizeof(int))};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
    memcpy(CMSG_DATA(c), fd, (size_t)n * sizeof(int));
    return sendmsg(link, &msg, MSG_NOSIGNAL) == (ssize_t)at;
}

enum err handover_give(struct handover_give *g, const char *dir, const char *name,
                       const struct handover_gift *gift)
{
    struct sockaddr_un at;
    assert(g->fd < 0 && gift->n <= CONFIG_LISTEN_MAX);
    if (!handover_name_is_good(name) || !place(&at, dir, name))
        return ERR_SYNTAX;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&at, sizeof at) != 0) {
        if (fd >= 0)
            (void)close(fd);
        return ERR_CONNECT;
    }
    int64_t pid = friend_of(fd);
    if (pid < 0 || !gift_send(fd, gift)) {
        (void)close(fd);
        return pid < 0 ? ERR_DENIED : ERR_IO;
    }
    g->fd = fd;
    g->pid = pid;
    g->until = loop_now(g->loop) + GIVE_MS;
    timer_set(&g->look, loop_now(g->loop) + LOOK_MS);
    return OK;
}

void handover_give_yield(struct handover_give *g)
{
    if (g->fd >= 0 && send(g->fd, "yours\n", 6, MSG_NOSIGNAL) != 6)
        log_debug("the newer process does not listen any more");
}

void handover_give_stop(struct handover_give *g)
{
    timer_stop(&g->look);
    fd_drop(&g->fd);
}
