/* Arenas: many small things that die together.
 *
 *     head -> [next|size|....used....|free] -> [next|size|full] -> NULL
 *
 * Only the newest block is filled; what is left over in an older one is lost until the reset. Under
 * AddressSanitizer the bytes nobody was given are poisoned, so that a write past the end of one
 * thing into the next, and any use after a reset, is caught as if each thing came from malloc. */
#include "base/base.h"

#include <stdalign.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#define ARENA_ALIGN 16
#define ARENA_FIRST 4096       /* bytes of the first block, header included */
#define ARENA_LARGE (64 << 10) /* blocks double up to here; a reset keeps none that is larger */

struct arena_block {
    struct arena_block *next;
    size_t size; /* of data[] */
    alignas(ARENA_ALIGN) char data[];
};

static_assert(sizeof(struct arena_block) % ARENA_ALIGN == 0, "data starts aligned");

static void arena_check(const struct arena *a)
{
    assert(a != NULL);
    assert(a->total <= a->max);
    assert(a->head == NULL ? a->used == 0 : a->used <= a->head->size);
}

void arena_init(struct arena *a, size_t max)
{
    assert(a != NULL);
    assert(max < PTRDIFF_MAX);
    *a = (struct arena){.max = max};
}

static void block_free(struct arena_block *b)
{
    ASAN_UNPOISON_MEMORY_REGION(b->data, b->size);
    mem_free(b);
}

void arena_free(struct arena *a)
{
    arena_check(a);
    for (struct arena_block *b = a->head, *next; b != NULL; b = next) {
        next = b->next;
        block_free(b);
    }
    arena_init(a, a->max);
}

/* Keeps the largest block that is not oversized: one guest with a huge luggage must not make every
 * later one hold a huge room. */
void arena_reset(struct arena *a)
{
    struct arena_block *keep = NULL;

    arena_check(a);
    for (struct arena_block *b = a->head, *next; b != NULL; b = next) {
        struct arena_block *drop = b;
        next = b->next;
        if (b->size <= ARENA_LARGE && (keep == NULL || b->size > keep->size)) {
            drop = keep;
            keep = b;
        }
        if (drop != NULL)
            block_free(drop);
    }
    a->head = keep;
    a->used = 0;
    a->total = 0;
    if (keep != NULL) {
        keep->next = NULL;
        a->total = keep->size;
        ASAN_POISON_MEMORY_REGION(keep->data, keep->size);
    }
    arena_check(a);
}

/* A new head with room for at least `n` bytes (a multiple of the alignment); NULL when refused. */
static struct arena_block *arena_grow(struct arena *a, size_t n)
{
    size_t left = (a->max - a->total) & ~(size_t)(ARENA_ALIGN - 1);
    size_t size = a->head == NULL ? ARENA_FIRST - sizeof(struct arena_block) : 2 * a->head->size;

    if (n > left)
        return NULL;
    size = size < ARENA_LARGE ? size : ARENA_LARGE;
    size = size < left ? size : left;
    size = size < n ? n : size;
    assert(size >= n && size <= left);
    struct arena_block *b = mem_try(sizeof(struct arena_block) + size);
    if (b == NULL)
        return NULL;
    b->next = a->head;
    b->size = size;
    ASAN_POISON_MEMORY_REGION(b->data, b->size);
    a->head = b;
    a->used = 0;
    a->total += size;
    return b;
}

void *arena_try(struct arena *a, size_t n)
{
    arena_check(a);
    if (fault_here() || n > a->max)
        return NULL;
    size_t rounded = (n + (n == 0) + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    struct arena_block *b = a->head;

    if (b == NULL || rounded > b->size - a->used)
        b = arena_grow(a, rounded);
    if (b == NULL)
        return NULL;
    void *p = b->data + a->used;
    ASAN_UNPOISON_MEMORY_REGION(p, n);
    a->used += rounded;
    assert((uintptr_t)p % ARENA_ALIGN == 0);
    return p;
}

struct slice arena_dup(struct arena *a, struct slice s)
{
    assert(s.p != NULL || s.n == 0);
    char *p = s.n < SIZE_MAX ? arena_try(a, s.n + 1) : NULL;

    if (p == NULL)
        return (struct slice){NULL, 0};
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return (struct slice){p, s.n};
}
