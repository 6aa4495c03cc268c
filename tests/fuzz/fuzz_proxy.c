/* links: base net */
/* PROXY headers over hostile bytes: whatever the split, the same answer, and not a byte is taken
 * that is not the header's. The first byte says how long the pieces are. */
#include "net/proxy.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)       \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

struct got {
    enum err e;
    size_t taken;
    struct proxy_told told;
};

static struct got feed(struct slice in, size_t step)
{
    struct proxy_reader r;
    const char *why = NULL;
    struct got g = {.e = ERR_AGAIN};
    proxy_init(&r);
    while (g.e == ERR_AGAIN && g.taken < in.n) {
        size_t n = in.n - g.taken < step ? in.n - g.taken : step, took;
        g.e = proxy_feed(&r, slice_sub(in, g.taken, g.taken + n), &took, &g.told, &why);
        MUST(took <= n && (g.e != ERR_AGAIN || took == n));
        MUST(g.e == OK || g.e == ERR_AGAIN || why != NULL);
        g.taken += took;
    }
    MUST(g.taken <= PROXY_V2_MAX);
    proxy_free(&r);
    return g;
}

static void proxy_check(struct slice in, size_t step)
{
    struct got whole = feed(in, in.n), parts = feed(in, step);
    MUST(whole.e == parts.e);
    if (whole.e != OK)
        return;
    MUST(whole.taken == parts.taken && whole.told.local == parts.told.local);
    MUST(strcmp(whole.told.from.text, parts.told.from.text) == 0);
    MUST(!whole.told.from.is_loopback);
    /* the header alone is as good, and one byte less is not enough */
    MUST(feed(slice_sub(in, 0, whole.taken), step).e == OK);
    MUST(feed(slice_sub(in, 0, whole.taken - 1), step).e == ERR_AGAIN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    proxy_check((struct slice){(const char *)data + 1, size - 1}, (size_t)(data[0] >> 1) % 40 + 1);
    return 0;
}
