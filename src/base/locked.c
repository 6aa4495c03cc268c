#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1 /* MAP_ANONYMOUS, madvise under -std=c17 */
#endif
/* locked: memory for secrets, in pages of its own. */
#include "base/base.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Before the memory: how much of it there is to wipe. */
union locked_head {
    size_t n;
    max_align_t align;
};

static size_t pages(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    assert(page > sizeof(union locked_head) && n < SIZE_MAX - 2 * page);
    return (n + sizeof(union locked_head) + page - 1) / page * page;
}

void *mem_locked(size_t n)
{
    size_t size = pages(n);
    union locked_head *h = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                                0);
    assert(h != MAP_FAILED); /* as for any other memory that must be there */
    if (mlock(h, size) != 0)
        log_debug("memory of a secret cannot be locked", LF_STR("why", strerror(errno)));
#ifdef MADV_DONTDUMP
    (void)madvise(h, size, MADV_DONTDUMP);
#endif
    h->n = size;
    return h + 1;
}

void mem_locked_free(void *p)
{
    if (p == NULL)
        return;
    union locked_head *h = (union locked_head *)p - 1;
    size_t size = h->n;
    crypto_wipe(h, size);
    (void)munmap(h, size); /* which unlocks it */
}
