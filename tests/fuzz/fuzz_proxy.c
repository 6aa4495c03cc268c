/* links: base net http */
/* PROXY headers over hostile bytes: whatever the split, the same answer, and not a byte is taken
 * that is not the header's. And the headers in which proxies name their clients.
 *
 * The first byte: bit 0, the rest is the value of a header; else how long the pieces are. */
#include "http/forwarded.h"
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

static void forwarded_check(struct slice value, enum http_forwarded which)
{
    struct http_header h[2];
    struct http_head head = {.header = h, .headers = 2};
    struct cidr trusted[2];
    struct addr peer, out, again;
    MUST(cidr_parse(S("10.0.0.0/8"), &trusted[0]) == OK);
    MUST(cidr_parse(S("fd00::/8"), &trusted[1]) == OK);
    MUST(addr_parse(S("10.0.0.1:1"), &peer) == OK);
    struct slice name = which == HTTP_FORWARDED_RFC7239 ? S("forwarded") : S("x-forwarded-for");
    h[0] = h[1] = (struct http_header){name, value};
    forwarded_client(&head, which, trusted, 2, &peer, &out);
    MUST(!out.is_loopback && strlen(out.text) > 0);
    /* what our own proxy appends is the end of it, whatever a stranger has put before */
    h[1].value = which == HTTP_FORWARDED_RFC7239 ? S("for=192.0.2.7") : S("192.0.2.7");
    forwarded_client(&head, which, trusted, 2, &peer, &again);
    MUST(strcmp(again.text, "192.0.2.7") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct slice rest = {(const char *)data + 1, size - 1};
    if (data[0] & 1)
        forwarded_check(rest, data[0] & 2 ? HTTP_FORWARDED_RFC7239 : HTTP_FORWARDED_X_FOR);
    else
        proxy_check(rest, (size_t)(data[0] >> 1) % 40 + 1);
    return 0;
}
