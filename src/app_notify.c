#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1 /* POSIX 2008 under -std=c17 */
#endif
#include "app_notify.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "config.h"

void app_notify(const char *text)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const char *path = config_env(CONFIG_ENV_NOTIFY_SOCKET);
    size_t n = path == NULL ? 0 : strlen(path);
    if (n < 2 || n >= sizeof to.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(to.sun_path, path, n);
    if (path[0] == '@') /* a name that is in no file system */
        to.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&to, len) < 0)
        log_debug("the service manager cannot be told");
    (void)close(fd);
}

int64_t app_watchdog_ms(void)
{
    const char *pid = config_env(CONFIG_ENV_WATCHDOG_PID);
    const char *usec = config_env(CONFIG_ENV_WATCHDOG_USEC);
    uint64_t n = 0;
    if (usec == NULL || !text_u64(slice_of(usec), &n) || n < 2000 || n > INT64_MAX)
        return 0;
    if (pid != NULL) { /* meant for another process, perhaps our parent */
        uint64_t who = 0;
        if (!text_u64(slice_of(pid), &who) || who != (uint64_t)getpid())
            return 0;
    }
    return (int64_t)(n / 2000);
}
