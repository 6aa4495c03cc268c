/* The one place that asks the C library for memory. */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#ifdef __linux__
#include <sys/prctl.h>
#endif

uint64_t fault_counter;
uint64_t fault_target;

static const char *const err_words[] = {
    [OK] = "ok",
    [ERR_AGAIN] = "again",
    [ERR_NOMEM] = "no_memory",
    [ERR_LIMIT] = "limit",
    [ERR_SYNTAX] = "syntax",
    [ERR_RANGE] = "range",
    [ERR_NOTFOUND] = "not_found",
    [ERR_EXISTS] = "exists",
    [ERR_CONFLICT] = "conflict",
    [ERR_STATE] = "state",
    [ERR_EOF] = "eof",
    [ERR_RESET] = "reset",
    [ERR_TIMEOUT] = "timeout",
    [ERR_DNS] = "dns",
    [ERR_CONNECT] = "connect",
    [ERR_TLS] = "tls",
    [ERR_CERT] = "certificate",
    [ERR_PROTOCOL] = "protocol",
    [ERR_DENIED] = "denied",
    [ERR_CANCELED] = "canceled",
    [ERR_IO] = "io",
    [ERR_BUSY] = "busy",
    [ERR_FULL] = "disk_full",
    [ERR_CORRUPT] = "corrupt",
    [ERR_UNSUPPORTED] = "unsupported",
};

static_assert(sizeof(err_words) / sizeof(err_words[0]) == ERR_COUNT, "a word for every error");

const char *err_name(enum err e)
{
    if ((unsigned)e >= ERR_COUNT)
        return "unknown";
    assert(err_words[e] != NULL);
    return err_words[e];
}

/* Only sizes that we chose get here, so there is nobody to report to: going on with less than the
 * house needs would be worse than a restart by the supervisor. */
static _Noreturn void mem_die(size_t n)
{
    fprintf(stderr, "sluice: out of memory (%zu bytes asked)\n", n);
    abort();
}

void mem_init(void)
{
#ifdef __GLIBC__
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 8 << 20);
#endif
#ifdef __linux__
    /* Where the system makes pages of 2 MiB by itself, a byte of a body that is only promised would
     * take one. */
    (void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
#endif
}

void mem_trim(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}

void *mem_new(size_t n)
{
    assert(n <= PTRDIFF_MAX);
    void *p = calloc(1, n > 0 ? n : 1);

    if (p == NULL)
        mem_die(n);
    return p;
}

void *mem_grow(void *p, size_t n)
{
    assert(n <= PTRDIFF_MAX);
    void *q = realloc(p, n > 0 ? n : 1);

    if (q == NULL)
        mem_die(n);
    return q;
}

void *mem_try(size_t n)
{
    if (fault_here() || n > PTRDIFF_MAX)
        return NULL;
    return malloc(n > 0 ? n : 1);
}

void *mem_try_grow(void *p, size_t n)
{
    if (fault_here() || n > PTRDIFF_MAX)
        return NULL;
    return realloc(p, n > 0 ? n : 1);
}

void mem_free(void *p)
{
    free(p);
}

char *mem_strdup(const char *s)
{
    return s != NULL ? mem_slicedup(slice_of(s)) : NULL;
}

char *mem_slicedup(struct slice s)
{
    assert(s.p != NULL || s.n == 0);
    assert(s.n < PTRDIFF_MAX);
    char *p = mem_grow(NULL, s.n + 1);

    if (s.n > 0)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return p;
}
