/* platform_memory: how much memory the process has, and how much it may have. */
#include "net/platform.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define TEXT_MAX 4096

#ifdef __linux__
static struct slice file_read(const char *path, char text[TEXT_MAX])
{
    ssize_t n = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, text, TEXT_MAX);
        close(fd);
    }
    return (struct slice){text, n > 0 ? (size_t)n : 0};
}

/* A number in a file of its own; INT64_MAX when it is none ("max"). */
static int64_t limit_in(const char *path)
{
    char text[TEXT_MAX];
    struct slice rest = file_read(path, text), line;
    uint64_t n;
    if (!slice_cut(&rest, '\n', &line) || !text_u64(line, &n) || n == 0 || n > INT64_MAX)
        return INT64_MAX;
    return (int64_t)n;
}

/* The smallest limit of the group and of all above it. */
static int64_t limit_below(const char *root, struct slice group, const char *file)
{
    char path[TEXT_MAX];
    int64_t least = INT64_MAX;
    while (group.n > 0 && group.n < TEXT_MAX / 2) {
        text_format(path, sizeof path, "%s%.*s/%s", root, (int)group.n, group.p, file);
        int64_t limit = limit_in(path);
        least = limit < least ? limit : least;
        while (group.n > 0 && group.p[--group.n] != '/')
            ;
    }
    text_format(path, sizeof path, "%s/%s", root, file);
    int64_t limit = limit_in(path);
    return limit < least ? limit : least;
}

/* "0::/system.slice/x" is version 2's group, "5:memory:/x" version 1's. In a container both often
 * show a path that is not there: then the root is what we have. */
static int64_t container_limit(void)
{
    char text[TEXT_MAX];
    struct slice rest = file_read("/proc/self/cgroup", text), line;
    int64_t least = INT64_MAX;
    while (slice_cut(&rest, '\n', &line)) {
        struct slice number, kind;
        int64_t limit = INT64_MAX;
        if (!slice_cut(&line, ':', &number) || !slice_cut(&line, ':', &kind))
            continue;
        if (kind.n == 0)
            limit = limit_below("/sys/fs/cgroup", line, "memory.max");
        else if (slice_search(kind, S("memory")) >= 0)
            limit = limit_below("/sys/fs/cgroup/memory", line, "memory.limit_in_bytes");
        least = limit < least ? limit : least;
    }
    return least;
}
#endif

int platform_memory_open(int64_t *limit)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    *limit = pages > 0 && size > 0 ? (int64_t)pages * size : 0;
#ifdef __linux__
    int64_t container = container_limit();
    if (*limit == 0 || container < *limit)
        *limit = container < INT64_MAX ? container : 0;
    return open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
#else
    return -1;
#endif
}

int64_t platform_memory(int fd)
{
    char text[128];
    uint64_t pages;
    ssize_t n = fd >= 0 ? pread(fd, text, sizeof text, 0) : -1;
    struct slice rest = {text, n > 0 ? (size_t)n : 0}, size, resident;
    bool told = slice_cut(&rest, ' ', &size) && slice_cut(&rest, ' ', &resident);
    if (!told || !text_u64(resident, &pages))
        return 0;
    assert(pages < (uint64_t)1 << 40);
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

void platform_memory_close(int fd)
{
    if (fd >= 0)
        close(fd);
}
