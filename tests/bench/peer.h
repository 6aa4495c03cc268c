/* What the two ends of the benchmark share: an epoll loop's worth of small tools. Linux only. */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static inline void die(const char *what)
{
    perror(what);
    exit(1);
}

/* Length of the head with its blank line, 0 when it is not complete. */
static inline size_t head_length(const char *p, size_t n)
{
    const char *end = memmem(p, n, "\r\n\r\n", 4);
    return end != NULL ? (size_t)(end - p) + 4 : 0;
}

/* The value of a header in a complete head (name in lower case, matched without case), or NULL. */
static inline const char *head_find(const char *head, size_t n, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = head; (line = memchr(line, '\n', n - (size_t)(line - head))) != NULL;) {
        line++;
        size_t left = n - (size_t)(line - head);
        if (left > len && strncasecmp(line, name, len) == 0 && line[len] == ':') {
            const char *v = line + len + 1;
            while (*v == ' ')
                v++;
            return v;
        }
    }
    return NULL;
}

#endif
