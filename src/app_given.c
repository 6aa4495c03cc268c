/* Sockets from elsewhere: see app_given.h. */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1 /* POSIX 2008 under -std=c17 */
#endif
#include "app_given.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define FIRST_FD 3 /* SD_LISTEN_FDS_START */

enum err given_add(struct given *g, struct slice name, int fd, char *why, size_t size)
{
    struct given_socket s = {.fd = fd};
    assert(fd >= 0);
    if (g->n == GIVEN_MAX || name.n >= sizeof s.name) {
        text_format(why, size, "more than %d sockets were handed over, or one with a long name",
                    GIVEN_MAX);
        (void)close(fd);
        return ERR_LIMIT;
    }
    text_copy(s.name, sizeof s.name, name);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || !listening_at(fd, &s.addr)) {
        text_format(why, size,
                    "descriptor %d (`%s`) was handed over, and is no TCP socket that listens: "
                    "ListenStream= with ADDR:PORT and Accept=no are wanted",
                    fd, s.name);
        (void)close(fd);
        return ERR_SYNTAX;
    }
    g->socket[g->n++] = s;
    return OK;
}

enum err given_by_manager(struct given *g, char *why, size_t size)
{
    const char *pid = config_env(CONFIG_ENV_LISTEN_PID), *fds = config_env(CONFIG_ENV_LISTEN_FDS);
    const char *names = config_env(CONFIG_ENV_LISTEN_FDNAMES);
    struct slice rest = names != NULL ? slice_of(names) : S(""), name;
    uint64_t who = 0, n = 0;
    enum err e = OK;
    *g = (struct given){.managed = true};
    if (pid == NULL || fds == NULL || !text_u64(slice_of(pid), &who) || who != (uint64_t)getpid())
        return OK; /* none, or another process's */
    if (!text_u64(slice_of(fds), &n) || n > GIVEN_MAX) {
        text_format(why, size, "$LISTEN_FDS is `%.64s`: up to %d sockets are understood", fds,
                    GIVEN_MAX);
        return ERR_LIMIT;
    }
    for (int i = 0; i < (int)n && e == OK; i++) {
        if (!slice_cut(&rest, ':', &name))
            name = S("");
        e = given_add(g, name, FIRST_FD + i, why, size);
    }
    if (e != OK)
        given_close(g);
    return e;
}

static bool is_at(const struct given_socket *s, const struct addr *a)
{
    return s->addr.port == a->port && memcmp(s->addr.ip, a->ip, sizeof a->ip) == 0;
}

struct given_socket *given_find(struct given *g, const struct config_listen *l)
{
    struct addr at;
    bool has_addr = l->name.n == 0 && addr_parse(l->addr, &at) == OK;
    for (int i = 0; i < g->n; i++) {
        struct given_socket *s = &g->socket[i];
        struct slice name = slice_of(s->name);
        if (s->fd < 0)
            continue;
        if (slice_eq(name, l->addr) || (l->name.n > 0 && slice_eq(name, l->name)) ||
            (has_addr && is_at(s, &at)))
            return s;
    }
    return NULL;
}

void given_names(const struct given *g, char *out, size_t size)
{
    size_t n = 0;
    out[0] = '\0';
    for (int i = 0; i < g->n; i++)
        n += text_format(out + n, size - n, "%s%s", i > 0 ? ", " : "",
                         g->socket[i].name[0] != '\0' ? g->socket[i].name : "(no name)");
}

const struct given_socket *given_left(const struct given *g)
{
    for (int i = 0; i < g->n; i++)
        if (g->socket[i].fd >= 0)
            return &g->socket[i];
    return NULL;
}

void given_close(struct given *g)
{
    for (int i = 0; i < g->n; i++) {
        if (g->socket[i].fd >= 0)
            (void)close(g->socket[i].fd);
        g->socket[i].fd = -1;
    }
}
