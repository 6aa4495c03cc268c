/* links: base net http */
/* The headers in which proxies name their clients, over hostile bytes: what our own proxies have
 * said counts, and nothing that stands before it.
 *
 * The first byte: bit 0 which header, bit 1 whether the second line of the value is a header of its
 * own. The rest is the value; a LF in it begins the second one. */
#include "http/forwarded.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)       \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

static struct cidr trusted[3];
static struct addr peer;

static void read_lines(const struct slice *value, int n, bool rfc7239, struct addr *out)
{
    struct http_header h[6] = {{S("host"), S("x")}, {S("x-real-ip"), S("192.0.2.99")}};
    struct http_head head = {.header = h, .headers = n + 2};
    for (int i = 0; i < n; i++)
        h[i + 2] = (struct http_header){rfc7239 ? S("forwarded") : S("x-forwarded-for"), value[i]};
    memset(out, 0xa5, sizeof *out);
    forwarded_client(&head, rfc7239 ? HTTP_FORWARDED_RFC7239 : HTTP_FORWARDED_X_FOR, trusted, 3,
                     &peer, out);
    MUST(!out->is_loopback && memchr(out->text, '\0', sizeof out->text) != NULL);
    MUST(strlen(out->text) > 0);
}

static bool same(const struct addr *a, const struct addr *b)
{
    return strcmp(a->text, b->text) == 0 && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

/* A list may be cut into several headers wherever it has a comma. */
static void cut_check(struct slice value, bool rfc7239, const struct addr *want)
{
    for (size_t i = 0; i < value.n && i < 64; i++) {
        if (value.p[i] != ',')
            continue;
        struct slice two[2] = {slice_sub(value, 0, i), slice_sub(value, i + 1, value.n)};
        struct addr got;
        read_lines(two, 2, rfc7239, &got);
        MUST(same(&got, want));
    }
}

/* What our own proxy appends is the end of it, whatever a stranger has put before. */
static void append_check(const struct slice *value, int n, bool rfc7239)
{
    struct slice more[4] = {value[0], n > 1 ? value[1] : S("")};
    struct buf joined;
    struct addr got;
    struct slice own = rfc7239 ? S("for=\"192.0.2.7:80\"") : S("192.0.2.7:80");
    more[n] = own;
    read_lines(more, n + 1, rfc7239, &got);
    MUST(strcmp(got.text, "192.0.2.7:80") == 0);
    buf_init(&joined, 1 << 22);
    MUST(buf_puts(&joined, value[n - 1]) == OK && buf_puts(&joined, S(", ")) == OK);
    MUST(buf_puts(&joined, own) == OK);
    more[n - 1] = buf_slice(&joined);
    read_lines(more, n, rfc7239, &got);
    MUST(strcmp(got.text, "192.0.2.7:80") == 0);
    /* one of ours behind it says whom it serves: still the same */
    MUST(buf_puts(&joined, rfc7239 ? S(",for=10.1.2.3") : S(",10.1.2.3")) == OK);
    more[n - 1] = buf_slice(&joined);
    read_lines(more, n, rfc7239, &got);
    MUST(strcmp(got.text, "192.0.2.7:80") == 0);
    buf_free(&joined);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice value[2], rest = {(const char *)data + 1, size - 1};
    struct addr whole, off;
    int n = 1;
    if (size < 2)
        return 0;
    MUST(cidr_parse(S("10.0.0.0/8"), &trusted[0]) == OK);
    MUST(cidr_parse(S("fd00::/8"), &trusted[1]) == OK);
    MUST(cidr_parse(S("127.0.0.1"), &trusted[2]) == OK);
    MUST(addr_parse(S("10.0.0.1:1"), &peer) == OK);
    bool rfc7239 = (data[0] & 1) != 0;
    value[0] = rest;
    ptrdiff_t lf = data[0] & 2 ? slice_find(rest, '\n') : -1;
    if (lf >= 0) {
        value[0] = slice_sub(rest, 0, (size_t)lf);
        value[1] = slice_sub(rest, (size_t)lf + 1, rest.n);
        n = 2;
    }
    read_lines(value, n, rfc7239, &whole);
    /* the peer, or somebody who can be parsed from what is shown of him */
    if (!same(&whole, &peer)) {
        struct slice shown = slice_of(whole.text);
        MUST(shown.n < ADDR_TEXT_MAX && slice_find(shown, ',') < 0 && slice_find(shown, ' ') < 0);
    }
    if (n == 1)
        cut_check(value[0], rfc7239, &whole);
    append_check(value, n, rfc7239);
    struct http_header h = {S("x-forwarded-for"), rest};
    struct http_head head = {.header = &h, .headers = 1};
    forwarded_client(&head, HTTP_FORWARDED_OFF, trusted, 3, &peer, &off);
    MUST(same(&off, &peer));
    return 0;
}
