/* listen: TCP and unix listeners.
 *
 * The descriptor is polled and accepted from here rather than by libuv, which answers a full
 * descriptor table by accepting and dropping whoever waits; we leave them in the queue and look
 * again soon. */
#include "net/arrival.h"
#include "net/platform.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ACCEPTS_A_TURN 64
#define LAST_ACCEPTS   4096 /* more than a queue holds */
#define STARVED_MS     100
#define STARVED_LOG_MS 60000
#define CROWDED_MS     5 /* the porch is full: look again */

struct listener {
    uv_poll_t poll;
    struct loop *loop;
    int fd;
    const struct listener_ops *ops;
    void *owner;
    struct addr addr;
    char *path; /* of a unix socket */
    dev_t dev;  /* which file at path is ours */
    ino_t ino;
    bool paused;  /* by the owner */
    bool retired; /* nobody new: the descriptor is gone, the porch may be lived in */
    bool closed, poll_closed;
    struct timer starved; /* armed: out of descriptors, or of room: accepting rests */
    struct porch porch;
    int64_t logged_at; /* monotonic; 0: never */
};

static void on_ready(uv_poll_t *h, int status, int events);

static void poll_update(struct listener *l)
{
    assert(!l->closed);
    if (l->retired)
        return;
    bool on = !l->paused && !timer_armed(&l->starved);
    int r = on ? uv_poll_start(&l->poll, UV_READABLE, on_ready) : uv_poll_stop(&l->poll);
    assert(r == 0);
    (void)r;
}

static void on_starved_end(void *arg)
{
    poll_update(arg);
}

/* The connections stay in the kernel's queue until descriptors are free again. */
static void starve(struct listener *l, int r)
{
    int64_t now = loop_now(l->loop);
    if (l->logged_at == 0 || now - l->logged_at >= STARVED_LOG_MS) {
        l->logged_at = now;
        log_warn("cannot accept connections, trying again", LF_STR("address", l->addr.text),
                 LF_STR("reason", uv_strerror(r)));
    }
    timer_set(&l->starved, now + STARVED_MS);
    poll_update(l);
}

static void unix_peer(struct addr *who, int fd)
{
    int64_t pid = 0;
    addr_unix(who);
    if (platform_peer(fd, &who->uid, &pid))
        text_format(who->text, sizeof who->text, "user %" PRId64 ", process %" PRId64, who->uid,
                    pid);
}

static void accepted(struct listener *l, int fd, const struct sockaddr_storage *peer)
{
    bool tcp = !l->addr.is_unix;
    if (tcp && porch_is_needed(&l->porch)) {
        struct addr a;
        addr_from_sock(&a, (const struct sockaddr *)peer);
        porch_take(&l->porch, fd, &a);
        return;
    }
    struct stream *s = stream_new(l->loop, tcp);
    int r = tcp ? uv_tcp_open(&s->h.tcp, fd) : uv_pipe_open(&s->h.pipe, fd);
    if (r < 0) {
        close(fd);
        stream_abort(s);
        return;
    }
    struct addr who;
    if (tcp)
        addr_from_sock(&who, (const struct sockaddr *)peer);
    else
        unix_peer(&who, fd);
    stream_set_peer(s, &who);
    l->ops->on_accept(l->owner, s); /* may pause or close the listener */
}

static void on_arrived(void *arg, struct stream *s)
{
    struct listener *l = arg;
    l->ops->on_accept(l->owner, s);
}

/* False: newcomers wait in the kernel's queue for a moment. */
static bool has_room(struct listener *l)
{
    if (!porch_is_needed(&l->porch) || porch_has_room(&l->porch))
        return true;
    timer_set(&l->starved, loop_now(l->loop) + CROWDED_MS);
    poll_update(l);
    return false;
}

static bool may_accept(struct listener *l)
{
    return !l->paused && !l->closed && !timer_armed(&l->starved) && has_room(l);
}

/* Takes in `n` of those who wait at most; true when nobody is left. */
static bool accept_some(struct listener *l, int n)
{
    while (n-- > 0 && may_accept(l)) {
        struct sockaddr_storage peer;
        int fd = platform_accept(l->fd, !l->addr.is_unix, &peer);
        if (fd == -EAGAIN)
            return true;
        if (fd < 0) {
            starve(l, fd);
            return false;
        }
        accepted(l, fd, &peer);
    }
    return false;
}

static void on_ready(uv_poll_t *h, int status, int events)
{
    (void)events;
    (void)status; /* an error shows again in accept */
    (void)accept_some(h->data, ACCEPTS_A_TURN);
}

static void unix_remember(struct listener *l, const char *path)
{
    struct stat st;
    l->path = mem_strdup(path);
    if (stat(path, &st) == 0) {
        l->dev = st.st_dev;
        l->ino = st.st_ino;
    }
    addr_unix(&l->addr);
}

static int open_tcp(const struct addr *a, bool shared)
{
    union sock at;
    addr_to_sock(a, &at);
    int fd = platform_listen_tcp(&at, shared);
    if (fd == -EAFNOSUPPORT && slice_starts(slice_of(a->text), S("[::]:"))) {
        /* All interfaces, on a machine without IPv6. */
        at = (union sock){.v4 = {.sin_family = AF_INET}};
        sock_set_port(&at, a->port);
        fd = platform_listen_tcp(&at, shared);
    }
    return fd;
}

static enum err open_err(int r)
{
    const char *why;
    enum err e = uv_err(r, &why);
    if (r == -ENOTSUP)
        return ERR_UNSUPPORTED;
    switch (e) {
    case ERR_EXISTS:
    case ERR_DENIED:
    case ERR_BUSY:
    case ERR_RANGE:
        return e;
    default:
        return ERR_IO;
    }
}

/* A listener on `fd`, which it takes, also when it fails. */
static enum err open_on(struct loop *loop, int fd, const char *path, const struct listener_ops *ops,
                        void *owner, struct listener **out)
{
    assert(fd >= 0 && ops->on_accept != NULL);
    struct listener *l = NEW(struct listener);
    if (uv_poll_init(&loop->uv, &l->poll, fd) < 0) {
        close(fd);
        mem_free(l);
        return ERR_IO;
    }
    l->poll.data = l;
    l->loop = loop;
    l->fd = fd;
    l->ops = ops;
    l->owner = owner;
    timer_init(&l->starved, loop, on_starved_end, l);
    porch_init(&l->porch, loop, on_arrived, l);
    loop->open++;
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    if (path != NULL)
        unix_remember(l, path);
    else if (getsockname(fd, (struct sockaddr *)&bound, &len) == 0)
        addr_from_sock(&l->addr, (const struct sockaddr *)&bound);
    poll_update(l);
    *out = l;
    return OK;
}

static enum err open_any(struct loop *loop, const struct addr *a, const char *path, bool shared,
                         const struct listener_ops *ops, void *owner, struct listener **out)
{
    assert(path != NULL || (a != NULL && !a->is_unix));
    if (fault_here())
        return ERR_IO;
    int fd = path != NULL ? platform_listen_unix(path, shared) : open_tcp(a, shared);
    return fd < 0 ? open_err(fd) : open_on(loop, fd, path, ops, owner, out);
}

enum err listener_open(struct loop *loop, const struct addr *a, const char *path,
                       const struct listener_ops *ops, void *owner, struct listener **out)
{
    return open_any(loop, a, path, false, ops, owner, out);
}

enum err listener_open_shared(struct loop *loop, const struct addr *a, const char *path,
                              const struct listener_ops *ops, void *owner, struct listener **out)
{
    return open_any(loop, a, path, true, ops, owner, out);
}

enum err listener_adopt(struct loop *loop, int fd, const struct listener_ops *ops, void *owner,
                        struct listener **out)
{
    struct addr a;
    if (!listening_at(fd, &a))
        return ERR_SYNTAX;
    if (platform_adopt(fd) < 0) {
        close(fd);
        return ERR_IO;
    }
    return open_on(loop, fd, NULL, ops, owner, out);
}

bool listening_at(int fd, struct addr *out)
{
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    memset(&bound, 0, sizeof bound);
    if (!platform_is_listening(fd) || getsockname(fd, (struct sockaddr *)&bound, &len) != 0 ||
        (bound.ss_family != AF_INET && bound.ss_family != AF_INET6))
        return false;
    addr_from_sock(out, (const struct sockaddr *)&bound);
    return true;
}

int listener_fd(const struct listener *l)
{
    assert(!l->retired && !l->closed);
    return l->fd;
}

bool listener_is_lost(const struct listener *l)
{
    struct stat st;
    return l->path != NULL &&
           (lstat(l->path, &st) != 0 || st.st_dev != l->dev || st.st_ino != l->ino);
}

const struct addr *listener_addr(const struct listener *l)
{
    return &l->addr;
}

void listener_pause(struct listener *l, bool paused)
{
    l->paused = paused;
    porch_pause(&l->porch, paused);
    poll_update(l);
}

void listener_set(struct listener *l, const struct listener_options *o)
{
    assert(!l->addr.is_unix && !l->closed);
    porch_set(&l->porch, o);
}

void listener_stats_get(const struct listener *l, struct listener_stats *out)
{
    *out = l->porch.stats;
}

static void listener_free(void *mem)
{
    struct listener *l = mem;
    assert(l->closed && l->poll_closed);
    mem_free(l->path);
    mem_free(l);
}

static void on_closed(uv_handle_t *h)
{
    struct listener *l = h->data;
    l->loop->open--;
    l->poll_closed = true;
    if (l->closed)
        listener_free(l);
}

static void descriptor_close(struct listener *l)
{
    l->retired = true;
    timer_stop(&l->starved);
    uv_close((uv_handle_t *)&l->poll, on_closed);
    close(l->fd);
    l->fd = -1;
}

bool listener_retire(struct listener *l, bool at_once)
{
    assert(!l->closed);
    if (l->retired)
        return true;
    if (!accept_some(l, LAST_ACCEPTS) && !at_once)
        return false;
    descriptor_close(l);
    return true;
}

void listener_close(struct listener *l)
{
    assert(!l->closed);
    l->closed = true;
    porch_free(&l->porch);
    if (l->path != NULL && !listener_is_lost(l)) /* a successor may have put its own there */
        (void)unlink(l->path);
    if (!l->retired)
        descriptor_close(l);
    else if (l->poll_closed) /* a callback of ours may be on the stack */
        loop_bury(l->loop, l, listener_free);
}
