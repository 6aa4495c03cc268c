/* What the two ends of the benchmark share: time, HTTP heads, stamps. Linux only. */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <time.h>

/* The same clock for both ends: an event carries the time at which it was sent. */
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

/* As many descriptors as the machine allows. */
static inline void raise_descriptors(void)
{
    struct rlimit lim;
    getrlimit(RLIMIT_NOFILE, &lim);
    lim.rlim_cur = lim.rlim_max;
    setrlimit(RLIMIT_NOFILE, &lim);
}

/* NAME=VALUE among the arguments, or the default. */
static inline const char *word(int argc, char **argv, const char *name, const char *none)
{
    size_t n = strlen(name);
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], name, n) == 0 && argv[i][n] == '=')
            return argv[i] + n + 1;
    return none;
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

/* An event's text begins with '@' and the time it was sent at, in us, in so many digits. */
#define STAMP_DIGITS 16

static inline void stamp_put(char *digits, int64_t at)
{
    for (int i = STAMP_DIGITS - 1; i >= 0; i--, at /= 10)
        digits[i] = (char)('0' + at % 10);
}

#endif
