/* Bounded growable buffers.
 *
 * One byte more than `cap` is always allocated, so that printing and buf_take have room for a NUL
 * even in a buffer that is filled to its maximum. */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BUF_MIN 64 /* bytes of the first allocation */

static void buf_check(const struct buf *b)
{
    assert(b != NULL);
    assert(b->len <= b->cap);
    assert(b->cap <= b->max);
    assert(b->p != NULL || b->cap == 0);
}

void buf_init(struct buf *b, size_t max)
{
    assert(b != NULL);
    assert(max < PTRDIFF_MAX); /* a maximum nobody can reach is none */
    *b = (struct buf){.max = max < BUF_MOST ? (uint32_t)max : BUF_MOST};
}

void buf_release(struct buf *b)
{
    buf_check(b);
    mem_free(b->p);
    buf_init(b, b->max);
}

/* Doubling keeps appends linear; the last step may be smaller, as it ends exactly at the maximum.
 */
static size_t buf_next_cap(const struct buf *b, size_t need)
{
    size_t room = (size_t)b->cap + 1;

    assert(need <= b->max && b->max <= BUF_MOST);
    if (room < BUF_MIN / 2)
        room = BUF_MIN / 2;
    while (room - 1 < need)
        room *= 2; /* need <= BUF_MOST, so this cannot wrap */
    return room - 1 < b->max ? room - 1 : b->max;
}

enum err buf_grow(struct buf *b, size_t more)
{
    buf_check(b);
    if (more > b->max - b->len)
        return ERR_LIMIT;
    size_t cap = buf_next_cap(b, b->len + more);
    char *p = mem_try_grow(b->p, cap + 1);

    if (p == NULL)
        return ERR_NOMEM;
    b->p = p;
    b->cap = (uint32_t)cap;
    assert(b->cap - b->len >= more);
    return OK;
}

enum err buf_exact(struct buf *b, size_t n)
{
    assert(b->p == NULL && b->cap == 0 && b->len == 0);
    if (n > b->max)
        return ERR_LIMIT;
    b->p = mem_try(n + 1);
    if (b->p == NULL)
        return ERR_NOMEM;
    b->cap = (uint32_t)n;
    return OK;
}

enum err buf_append(struct buf *b, const void *p, size_t n)
{
    assert(p != NULL || n == 0);
    enum err e = buf_reserve(b, n);

    if (e != OK || n == 0)
        return e;
    memcpy(b->p + b->len, p, n);
    b->len += n;
    return OK;
}

enum err buf_puts(struct buf *b, struct slice s)
{
    return buf_append(b, s.p, s.n);
}

enum err buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    enum err e = OK;
    int n;

    buf_check(b);
    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0)
        e = ERR_SYNTAX; /* the C library could not print it: a wide character or a huge width */
    if (e == OK)
        e = buf_reserve(b, (size_t)n);
    if (e == OK && n > 0) {
        int written = vsnprintf(b->p + b->len, (size_t)n + 1, fmt, again);
        assert(written == n);
        (void)written;
        b->len += (size_t)n;
    }
    va_end(again);
    return e;
}

void buf_consume(struct buf *b, size_t n)
{
    buf_check(b);
    assert(n <= b->len);
    if (n > 0 && n < b->len)
        memmove(b->p, b->p + n, b->len - n);
    b->len -= n;
}

char *buf_take(struct buf *b)
{
    buf_check(b);
    char *p = mem_grow(b->p, b->len + 1);

    p[b->len] = '\0';
    buf_init(b, b->max);
    return p;
}
