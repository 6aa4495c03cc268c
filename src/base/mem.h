/* Errors, slices, memory, bounded buffers, arenas, maps and lists.
 *
 * Sizes that we chose: allocation never returns NULL, it ends the process with a message.
 * Sizes that a peer chose: only `mem_try`, `buf_*` and `arena_*`, which may fail and say so.
 * No buffer is without a maximum. */
#ifndef SLUICE_BASE_MEM_H
#define SLUICE_BASE_MEM_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MUST_USE          __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
/* Of the long way of a function whose short way is nearly always taken: it keeps its registers and
 * its stack to itself. */
#define NOINLINE          __attribute__((noinline))
/* Of what is done so often that its state must stay in registers. */
#define INLINED           __attribute__((always_inline)) inline
/* Of a large local that is filled as far as it is read: the compiler, which is told to zero what
 * lies on the stack, may leave it. */
#if defined(__has_attribute)
#if __has_attribute(uninitialized)
#define FILLED_LATER __attribute__((uninitialized))
#endif
#endif
#ifndef FILLED_LATER
#define FILLED_LATER
#endif

/* What can go wrong, as far as a caller has to tell cases apart. The layer that knows the reason
 * logs it once and hands on a static string besides; see `err_name` for a short word. */
enum err {
    OK = 0,
    ERR_AGAIN,  /* not an error: accepted, the rest happens later */
    ERR_NOMEM,  /* a size a peer chose could not be had */
    ERR_LIMIT,  /* a configured maximum would be passed */
    ERR_SYNTAX, /* bytes that do not parse */
    ERR_RANGE,  /* a value outside its bounds */
    ERR_NOTFOUND,
    ERR_EXISTS,
    ERR_CONFLICT, /* the version or generation has moved on */
    ERR_STATE,    /* not possible in this state */
    ERR_EOF,      /* the peer finished early */
    ERR_RESET,    /* the peer, or the path to it, broke the connection */
    ERR_TIMEOUT,
    ERR_DNS,
    ERR_CONNECT,
    ERR_TLS,      /* handshake or record failure */
    ERR_CERT,     /* the peer's certificate was not accepted */
    ERR_PROTOCOL, /* the peer broke HTTP */
    ERR_DENIED,   /* a rule forbids it */
    ERR_CANCELED,
    ERR_IO,      /* disk or operating system */
    ERR_BUSY,    /* locked or out of a bounded resource, try later */
    ERR_FULL,    /* disk full */
    ERR_CORRUPT, /* stored bytes fail their check */
    ERR_UNSUPPORTED,
    ERR_COUNT
};

/* A short stable word for `e` ("timeout", "reset"); never NULL. */
const char *err_name(enum err e);

/* ---- slices: borrowed bytes, not terminated ------------------------------------------------ */

struct slice {
    const char *p;
    size_t n;
};

#define S(literal) ((struct slice){"" literal, sizeof(literal) - 1})

/* In the door, because nearly every call has a literal on one side: its length is then known to the
 * compiler, and most comparisons end with the lengths. */
static inline struct slice slice_of(const char *cstr) /* NULL gives the empty slice */
{
    return cstr != NULL ? (struct slice){cstr, strlen(cstr)} : (struct slice){"", 0};
}
static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
/* ASCII case folded, as in the two below. */
bool bytes_ieq(const char *a, const char *b, size_t n);
static inline bool slice_ieq(struct slice a, struct slice b)
{
    return a.n == b.n && bytes_ieq(a.p, b.p, a.n);
}
static inline bool slice_starts(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}
static inline bool slice_istarts(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && bytes_ieq(s.p, prefix.p, prefix.n);
}
bool slice_ends(struct slice s, struct slice suffix);
/* Offset of the first `c`, or -1. */
ptrdiff_t slice_find(struct slice s, char c);
ptrdiff_t slice_search(struct slice s, struct slice needle);
/* The same for a caller who knows which two bytes of his needle are rare: those at `pair`. */
ptrdiff_t slice_search_pair(struct slice s, struct slice needle, size_t pair);
extern const char *const slice_nothing; /* "" */
static inline struct slice slice_sub(struct slice s, size_t from, size_t to)
{
    assert(from <= to && to <= s.n);
    return (struct slice){s.p != NULL ? s.p + from : slice_nothing, to - from};
}
struct slice slice_trim(struct slice s); /* SP and HTAB at both ends */
bool slice_has_control(struct slice s);  /* a byte under 0x20 (HTAB too), or 0x7f */
/* Cuts the part before `sep` off `*s` (all of it without a `sep`); false when `*s` is empty. */
bool slice_cut(struct slice *s, char sep, struct slice *part);

/* ---- memory -------------------------------------------------------------------------------- */

/* Once, before anything else: lets the C library keep what is freed, within reason. Else a body of
 * some hundred KiB is taken from the system anew for every request, page by page. And pages are
 * small ones, also where the system would make huge ones by itself. */
void mem_init(void);
void mem_trim(void);               /* gives the system back what is free; may take milliseconds */
void *mem_new(size_t n);           /* zeroed; never NULL */
void *mem_grow(void *p, size_t n); /* realloc; never NULL */
MUST_USE void *mem_try(size_t n);  /* not zeroed; NULL when refused */
MUST_USE void *mem_try_grow(void *p, size_t n);
void mem_free(void *p); /* NULL is fine */
/* For secrets that live long: zeroed, in pages of its own that are neither swapped nor dumped, as
 * far as the process may lock memory. Wiped by mem_locked_free, and by that alone. */
void *mem_locked(size_t n);
void mem_locked_free(void *p);      /* NULL is fine */
char *mem_strdup(const char *s);    /* NULL gives NULL */
char *mem_slicedup(struct slice s); /* terminated copy */

#define NEW(type) ((type *)mem_new(sizeof(type)))

/* Fault injection for the torture mode of tests/flow: every fallible call asks `fault_here()` first
 * and fails when it says so. In production nothing is armed and the test is one load and a branch.
 */
extern uint64_t fault_counter; /* calls asked so far */
extern uint64_t fault_target;  /* the call number that fails; 0 = none */
static inline bool fault_here(void)
{
    return fault_target != 0 && ++fault_counter == fault_target;
}

/* ---- bounded growable buffer ---------------------------------------------------------------- */

struct buf {
    char *p;
    size_t len;
    uint32_t cap;
    uint32_t max; /* ERR_LIMIT beyond this many bytes */
};
#define BUF_MOST (UINT32_MAX - 1) /* whoever asks for more gets this as a maximum */

void buf_init(struct buf *b, size_t max);
void buf_release(struct buf *b);                        /* behind buf_free */
MUST_USE enum err buf_grow(struct buf *b, size_t more); /* behind buf_reserve */
static inline void buf_free(struct buf *b)              /* usable again afterwards, same max */
{
    if (b->p != NULL)
        buf_release(b);
    assert(b->len == 0 && b->cap == 0);
}
static inline void buf_clear(struct buf *b) /* keeps the memory */
{
    assert(b->len <= b->cap);
    b->len = 0;
}
MUST_USE static inline enum err buf_reserve(struct buf *b, size_t more)
{
    assert(b->len <= b->cap && b->cap <= b->max);
    return more <= b->cap - b->len ? OK : buf_grow(b, more);
}
MUST_USE enum err buf_exact(struct buf *b, size_t n); /* room for n and no more; it has none yet */
/* `p` must not point into the buffer itself. A failure leaves the buffer as it was. */
MUST_USE enum err buf_append(struct buf *b, const void *p, size_t n);
MUST_USE enum err buf_puts(struct buf *b, struct slice s);
MUST_USE enum err buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_consume(struct buf *b, size_t n); /* drops n bytes at the front */
static inline struct slice buf_slice(const struct buf *b)
{
    assert(b->len <= b->cap && (b->p != NULL || b->cap == 0));
    return (struct slice){b->p != NULL ? b->p : "", b->len};
}
/* Detaches the memory, NUL-terminated; the caller frees it with mem_free. Never NULL. */
char *buf_take(struct buf *b);

/* ---- arena: many small things that die together ---------------------------------------------- */

struct arena_block;
struct arena {
    struct arena_block *head;
    size_t used;  /* in the newest block */
    size_t total; /* over all blocks */
    size_t max;
};

void arena_init(struct arena *a, size_t max);
void arena_free(struct arena *a);
void arena_reset(struct arena *a);                   /* keeps one block for reuse */
MUST_USE void *arena_try(struct arena *a, size_t n); /* 16-aligned, not zeroed; NULL at max */
/* Copies, NUL-terminated behind the end; `.p == NULL` when refused. */
MUST_USE struct slice arena_dup(struct arena *a, struct slice s);

/* ---- map: string keys, keyed SipHash with a boot-random key -----------------------------------
 */

/* crypto_init draws the key, so no map outlives it from before. */

struct map_entry {
    char *key; /* terminated copy; NULL in a free slot */
    size_t key_len;
    void *value;
    uint64_t hash;
};
struct map {
    struct map_entry *slot;
    size_t cap, used, live;
};

void map_init(struct map *m);
void map_free(struct map *m); /* frees the keys; values belong to the caller */
void *map_get(const struct map *m, struct slice key); /* NULL when absent */
/* Returns the value it replaced, or NULL; `value` itself is never NULL. */
void *map_put(struct map *m, struct slice key, void *value);
void *map_del(struct map *m, struct slice key); /* the value it held, or NULL */
/* Walks in no order: start with *at = 0; false at the end. Deleting the current entry is allowed.
 */
bool map_next(const struct map *m, size_t *at, struct slice *key, void **value);

/* ---- list: intrusive, circular, with a head ----------------------------------------------------
 */

struct link {
    struct link *prev, *next;
};

/* In the door: each request joins and leaves a dozen lists, and no more is done than the checks. A
 * link that is all zeros, because list_init was forgotten, ends the process at its first load. */
static inline void list_init(struct link *head) /* also makes a single link "not in a list" */
{
    head->prev = head->next = head;
}
static inline bool list_empty(const struct link *head)
{
    assert(head->next->prev == head);
    return head->next == head;
}
static inline void list_between(struct link *prev, struct link *l, struct link *next)
{
    assert(l->next == l && l != next); /* else it is in two lists at once, or is the head */
    assert(prev->next == next && next->prev == prev);
    l->prev = prev;
    l->next = next;
    prev->next = next->prev = l;
}
static inline void list_push(struct link *head, struct link *l) /* at the end */
{
    list_between(head->prev, l, head);
}
static inline void list_unshift(struct link *head, struct link *l) /* at the front */
{
    list_between(head, l, head->next);
}
static inline void list_remove(struct link *l) /* leaves l "not in a list"; idempotent */
{
    assert(l->prev->next == l && l->next->prev == l);
    l->prev->next = l->next;
    l->next->prev = l->prev;
    list_init(l);
}
#define CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
