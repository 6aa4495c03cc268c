/* The CLI's way to the daemon: one blocking request over the unix socket; and secrets from files.
 */
#include "admin/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#define LOCAL_TIMEOUT_S 45 /* longer than the longest verb: a login waits 30 s */
#define LOCAL_REPLY_MAX (ADMIN_REPLY_MAX + 65536)

/* ---- the request
 * ------------------------------------------------------------------------------------------ */

static void put(struct buf *out, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void put(struct buf *out, const char *fmt, ...)
{
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    assert(n >= 0 && (size_t)n < sizeof text);
    enum err e = buf_append(out, text, (size_t)n);
    assert(e == OK); /* arguments are bounded, so the request is */
}

static void escape(struct buf *out, const char *s)
{
    for (; *s != '\0'; s++) {
        char c = *s;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '_' || c == '.' || c == '~';
        if (plain)
            put(out, "%c", c);
        else
            put(out, "%%%02X", (unsigned)(unsigned char)c);
    }
}

static void write_path(const struct verb *v, const struct verb_args *args, struct buf *out)
{
    for (const char *p = v->path; *p != '\0'; p++) {
        const char *end = *p == '{' ? strchr(p, '}') : NULL;
        if (end == NULL) {
            put(out, "%c", *p);
            continue;
        }
        int i = verb_arg_find(v, (struct slice){p + 1, (size_t)(end - p - 1)});
        assert(i >= 0 && args->v[i].given);
        escape(out, args->v[i].text);
        p = end;
    }
}

static bool in_path(const struct verb *v, int i)
{
    char place[64];
    text_format(place, sizeof place, "{%s}", v->arg[i].name);
    return strstr(v->path, place) != NULL;
}

static void write_query(const struct verb *v, const struct verb_args *args, struct buf *out)
{
    char sep = '?';
    for (int i = 0; i < verb_args_n(v); i++) {
        const struct verb_value *value = &args->v[i];
        if (!value->given || in_path(v, i))
            continue;
        put(out, "%c%s=", sep, v->arg[i].name);
        if (v->arg[i].type == ARG_INT)
            put(out, "%" PRId64, value->number);
        else if (v->arg[i].type == ARG_BOOL)
            put(out, "%s", value->flag ? "true" : "false");
        else
            escape(out, value->text);
        sep = '&';
    }
}

static void write_members(const struct verb *v, const struct verb_args *args, struct buf *out)
{
    struct jw w;
    jw_init(&w, out);
    jw_obj(&w);
    for (int i = 0; i < verb_args_n(v); i++) {
        const struct verb_value *value = &args->v[i];
        if (!value->given || in_path(v, i))
            continue;
        if (v->arg[i].type == ARG_INT)
            jw_ki64(&w, v->arg[i].name, value->number);
        else if (v->arg[i].type == ARG_BOOL)
            jw_kbool(&w, v->arg[i].name, value->flag);
        else
            jw_kcstr(&w, v->arg[i].name, value->text);
    }
    jw_end_obj(&w);
    assert(w.err == OK);
}

void local_request(const struct verb *v, const struct verb_args *args, struct buf *out)
{
    bool query = v->method == HTTP_GET;
    struct buf body;
    buf_init(&body, ADMIN_REPLY_MAX);
    if (!query)
        write_members(v, args, &body);
    put(out, "%s ", http_method_name(v->method));
    write_path(v, args, out);
    if (query)
        write_query(v, args, out);
    put(out, " HTTP/1.1\r\nHost: sluice\r\nConnection: close\r\n");
    if (!query)
        put(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", body.len);
    put(out, "\r\n");
    enum err e = buf_puts(out, buf_slice(&body));
    assert(e == OK);
    if (body.p != NULL)
        crypto_wipe(body.p, body.cap);
    buf_free(&body);
}

/* ---- the way there and back
 * ------------------------------------------------------------------------------- */

static enum err local_connect(const char *path, int *out, char *why, size_t why_size)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = LOCAL_TIMEOUT_S};
    if (strlen(path) >= sizeof at.sun_path) {
        text_format(why, why_size,
                    "the path %s is too long for a unix socket (%zu bytes, at most %zu): choose a "
                    "shorter --state-dir",
                    path, strlen(path), sizeof at.sun_path - 1);
        return ERR_RANGE;
    }
    memcpy(at.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        text_format(why, why_size, "no socket: %s", strerror(errno));
        return ERR_IO;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0 ||
        connect(fd, (const struct sockaddr *)&at, sizeof at) != 0) {
        int code = errno;
        close(fd);
        text_format(why, why_size, "%s: %s", path, strerror(code));
        if (code == ENOENT || code == ECONNREFUSED || code == ENOTDIR)
            return ERR_NOTFOUND;
        return code == EACCES || code == EPERM ? ERR_DENIED : ERR_IO;
    }
    *out = fd;
    return OK;
}

static enum err local_io(const char *what, char *why, size_t why_size)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        text_format(why, why_size, "the gateway did not answer within %d s", LOCAL_TIMEOUT_S);
        return ERR_TIMEOUT;
    }
    text_format(why, why_size, "the gateway broke the connection while %s: %s", what,
                strerror(errno));
    return ERR_RESET;
}

static enum err local_send(int fd, struct slice s, char *why, size_t why_size)
{
    while (s.n > 0) {
        ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return local_io("it was being asked", why, why_size);
        s = slice_sub(s, (size_t)n, s.n);
    }
    return OK;
}

static enum err local_receive(int fd, struct buf *out, char *why, size_t why_size)
{
    char chunk[16384];
    for (;;) {
        ssize_t n = recv(fd, chunk, sizeof chunk, 0);
        if (n == 0)
            return OK;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return local_io("it answered", why, why_size);
        if (buf_append(out, chunk, (size_t)n) != OK) {
            text_copy(why, why_size, S("the gateway's answer is too long"));
            return ERR_LIMIT;
        }
    }
}

/* "HTTP/1.1 200 OK", headers with the length, the body whole. It is our own server that speaks, and
 * it always gives a length. */
static enum err local_split(struct slice all, int *status, struct slice *body)
{
    ptrdiff_t end = slice_search(all, S("\r\n\r\n"));
    uint64_t code = 0, length = UINT64_MAX;
    struct slice head, line;
    if (end < 0 || !slice_starts(all, S("HTTP/1.1 ")) || end < 12 ||
        !text_u64(slice_sub(all, 9, 12), &code))
        return ERR_PROTOCOL;
    head = slice_sub(all, 0, (size_t)end);
    *body = slice_sub(all, (size_t)end + 4, all.n);
    while (slice_cut(&head, '\n', &line))
        if (slice_istarts(line, S("content-length:"))) {
            struct slice v = slice_sub(line, 15, line.n);
            if (slice_ends(v, S("\r")))
                v.n--;
            if (!text_u64(slice_trim(v), &length))
                return ERR_PROTOCOL;
        }
    *status = (int)code;
    return length == body->n ? OK : ERR_PROTOCOL;
}

enum err local_call(const char *socket_path, const struct verb *v, const struct verb_args *args,
                    int *status, struct buf *body, char *why, size_t why_size)
{
    struct buf request, reply;
    struct slice text;
    int fd = -1;
    buf_init(&request, ADMIN_REPLY_MAX);
    buf_init(&reply, LOCAL_REPLY_MAX);
    enum err e = local_connect(socket_path, &fd, why, why_size);
    if (e != OK)
        return e;
    local_request(v, args, &request);
    e = local_send(fd, buf_slice(&request), why, why_size);
    if (e == OK)
        e = local_receive(fd, &reply, why, why_size);
    if (e == OK) {
        e = local_split(buf_slice(&reply), status, &text);
        if (e == OK)
            e = buf_puts(body, text);
        if (e != OK)
            text_copy(why, why_size, S("the gateway ended before its answer was complete"));
    }
    close(fd);
    crypto_wipe(request.p, request.cap);
    if (reply.p != NULL)
        crypto_wipe(reply.p, reply.cap);
    buf_free(&request);
    buf_free(&reply);
    return e;
}

/* ---- secrets
 * ---------------------------------------------------------------------------------------------- */

/* Written to when Ctrl-C comes, whichever thread is told and whatever the waiting one does then. */
static int stop[2];

static void on_interrupt(int signum)
{
    int before = errno;
    ssize_t n = write(stop[1], "", 1);
    (void)n;
    (void)signum;
    errno = before;
}

/* Until there is something to read, or `stop_fd` (-1: none) has something. */
static enum err wait_for(int fd, int stop_fd)
{
    fd_set set;
    assert(fd >= 0 && fd < FD_SETSIZE && stop_fd < FD_SETSIZE);
    if (stop_fd < 0)
        return OK;
    do {
        FD_ZERO(&set);
        FD_SET(fd, &set);
        FD_SET(stop_fd, &set);
        if (select((fd > stop_fd ? fd : stop_fd) + 1, &set, NULL, NULL, NULL) >= 0)
            return FD_ISSET(stop_fd, &set) ? ERR_CANCELED : OK;
    } while (errno == EINTR);
    return ERR_IO;
}

static enum err read_all(int fd, struct buf *out, bool one_line, int stop_fd)
{
    char chunk[4096];
    enum err e = OK;
    while (e == OK && (e = wait_for(fd, stop_fd)) == OK) {
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            e = n < 0 ? ERR_IO : OK;
            break;
        }
        e = buf_append(out, chunk, (size_t)n);
        if (one_line && memchr(chunk, '\n', (size_t)n) != NULL)
            break;
    }
    crypto_wipe(chunk, sizeof chunk);
    return e;
}

/* Typed at a terminal: asked for, and not shown. Ctrl-C must not leave the terminal blind. */
static enum err read_terminal(const char *prompt, struct buf *out)
{
    struct termios shown, hidden;
    struct sigaction ours = {.sa_handler = on_interrupt}, before;
    bool hides = tcgetattr(STDIN_FILENO, &shown) == 0;
    if (pipe(stop) != 0)
        return ERR_IO;
    sigaction(SIGINT, &ours, &before);
    if (hides) {
        hidden = shown;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        hides = tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden) == 0;
    }
    /* Only now: what a quick hand, or a program, answers must be neither shown nor flushed. */
    fprintf(stderr, "%s (it is not shown): ", prompt);
    enum err e = read_all(STDIN_FILENO, out, true, stop[0]);
    if (hides && tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown) != 0)
        fputs("(the terminal still hides what is typed: `stty echo` shows it)", stderr);
    sigaction(SIGINT, &before, NULL);
    close(stop[0]);
    close(stop[1]);
    fputs("\n", stderr);
    return e;
}

static enum err read_file(const char *file, struct buf *out, char *why, size_t why_size)
{
    struct stat st;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        text_format(why, why_size, "%s: %s", file, strerror(errno));
        if (fd >= 0)
            close(fd);
        return ERR_NOTFOUND;
    }
    if (S_ISREG(st.st_mode) && (st.st_mode & 077) != 0)
        fprintf(stderr,
                "sluice: warning: %s can be read by other users; `chmod 600` it, or remove it\n",
                file);
    enum err e = read_all(fd, out, false, -1);
    close(fd);
    if (e == ERR_IO)
        text_format(why, why_size, "%s: cannot be read", file);
    return e;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

enum err local_secret(const char *file, const char *prompt, bool one_line, struct buf *out,
                      char *why, size_t why_size)
{
    enum err e;
    why[0] = '\0';
    buf_init(out, STORE_SECRET_MAX);
    if (strcmp(file, "-") != 0)
        e = read_file(file, out, why, why_size);
    else
        e = isatty(STDIN_FILENO) ? read_terminal(prompt, out)
                                 : read_all(STDIN_FILENO, out, one_line, -1);
    if (e != OK) {
        if (why[0] == '\0')
            text_copy(why, why_size,
                      e == ERR_IO         ? S("standard input cannot be read")
                      : e == ERR_CANCELED ? S("interrupted; nothing was changed")
                                          : S("it is larger than 16 KiB: that is no secret"));
        return e;
    }
    while (out->len > 0 && is_blank(out->p[out->len - 1]))
        out->len--;
    size_t lead = 0;
    while (lead < out->len && is_blank(out->p[lead]))
        lead++;
    buf_consume(out, lead);
    if (out->len > 0)
        return OK;
    text_format(why, why_size, "%s is empty",
                strcmp(file, "-") != 0 ? file : "what standard input has brought");
    return ERR_SYNTAX;
}
