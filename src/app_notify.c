#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1 /* POSIX 2008 under -std=c17 */
#endif
#include "app_notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "config.h"

static struct app_manager manager; /* the process has one */

/* WATCHDOG_USEC may be meant for another process, perhaps our parent. */
static int64_t watchdog_find(void)
{
    const char *pid = config_env(CONFIG_ENV_WATCHDOG_PID);
    const char *usec = config_env(CONFIG_ENV_WATCHDOG_USEC);
    uint64_t n = 0, who = 0;
    if (usec == NULL || !text_u64(slice_of(usec), &n) || n > INT64_MAX)
        return 0;
    if (pid != NULL && (!text_u64(slice_of(pid), &who) || who != (uint64_t)getpid()))
        return 0;
    return (int64_t)n;
}

void app_manager_find(struct app_manager *m)
{
    const char *path = config_env(CONFIG_ENV_NOTIFY_SOCKET);
    size_t n = path == NULL ? 0 : strlen(path);
    *m = (struct app_manager){.watchdog_us = watchdog_find()};
    if (n >= 2 && n < sizeof m->socket && (path[0] == '/' || path[0] == '@'))
        memcpy(m->socket, path, n);
}

void app_manager_use(const struct app_manager *m)
{
    manager = *m;
}

const struct app_manager *app_manager(void)
{
    return &manager;
}

void app_notify(const char *text)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t n = strlen(manager.socket);
    static_assert(sizeof to.sun_path >= NOTIFY_PATH_MAX - 4, "the path fits");
    if (n == 0 || n >= sizeof to.sun_path)
        return;
    memcpy(to.sun_path, manager.socket, n);
    if (to.sun_path[0] == '@') /* a name that is in no file system */
        to.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&to, len) < 0)
        log_debug("the service manager cannot be told");
    (void)close(fd);
}

void app_notifyf(const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    assert(n >= 0 && (size_t)n < sizeof text);
    app_notify(text);
}

int64_t app_watchdog_ms(void)
{
    return manager.watchdog_us < 3000 ? 0 : manager.watchdog_us / 3000;
}
