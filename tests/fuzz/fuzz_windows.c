/* links: base http accounts */
/* Windows out of hostile replies: two observations of the same account, by head or by usage
 * payload, at times that need not go forward. Whatever is told, nobody is benched for longer than a
 * window lasts, and what is known stays in its bounds.
 *
 * The first byte: bits 0 and 1, whether the first and the second text is a payload; bits 2 to 4,
 * the hundreds of the status. The second byte: minutes between the two, signed. The texts are
 * divided by a NUL. */
#include "accounts/windows.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)       \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

#define NOW  INT64_C(1795255200000)
#define WEEK (INT64_C(7) * 24 * 3600 * 1000)

static void head_read(struct http_head *h, struct slice text)
{
    struct slice line, name;
    while (h->headers < HTTP_HEADERS_MAX && slice_cut(&text, '\n', &line)) {
        if (slice_cut(&line, ':', &name))
            h->header[h->headers++] = (struct http_header){name, slice_trim(line)};
    }
}

static void window_check(const struct window *w, enum window_kind k, int64_t seen_at)
{
    MUST(w->known && w->seen_at == seen_at);
    MUST(w->used >= -1 && w->used <= 1000);
    MUST(w->resets_at >= -WEEK && w->started_at <= w->resets_at);
    MUST(memchr(w->family, 0, sizeof w->family) != NULL);
    MUST(k == WINDOW_7D_MODEL || w->family[0] == '\0');
    (void)window_burn(w, seen_at);
}

static int windows_read(struct slice text, bool payload, int status, int64_t now,
                        struct window out[WINDOW_KINDS])
{
    static struct http_header header[HTTP_HEADERS_MAX];
    struct http_head head = {.status = status, .header = header};
    head_read(&head, text);
    int n = payload ? windows_read_usage(text, now, out) : windows_read_head(&head, now, out);
    for (int k = 0; k < WINDOW_KINDS; k++) {
        n -= out[k].known;
        if (out[k].known)
            window_check(&out[k], (enum window_kind)k, now);
    }
    MUST(n == 0);
    struct window one;
    if (payload && out[WINDOW_7D_MODEL].known && out[WINDOW_7D_MODEL].family[0] != '\0') {
        /* the tightest of all is the tightest of its family */
        MUST(windows_read_usage_of(text, out[WINDOW_7D_MODEL].family, now, &one));
        MUST(one.closed == out[WINDOW_7D_MODEL].closed &&
             one.resets_at == out[WINDOW_7D_MODEL].resets_at);
    }
    int64_t skew = reply_skew(&head, now);
    MUST(skew > -WEEK && skew < WEEK);
    return n;
}

static void merge_check(struct window *known, const struct window *seen, enum window_kind k)
{
    struct window before = *known;
    bool news = window_merge(known, seen, k);
    if (!news)
        MUST(known->closed == before.closed && known->resets_at == before.resets_at);
    MUST(known->seen_at >= before.seen_at);
    struct window again = *known;
    MUST(!window_merge(&again, known, k)); /* what is known is no news */
    int64_t last = window_length(k) != 0 ? window_length(k) : WEEK;
    for (int64_t now = known->seen_at - 3600000; now < known->seen_at + 2 * last; now += last / 4) {
        int64_t until = window_closed_until(known, k, now);
        MUST(until == 0 || (until > now && until <= known->seen_at + last));
        MUST(until == 0 || known->closed);
        double used = window_used(known, now);
        MUST(used >= -1 && used <= 1000);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct slice rest = {(const char *)data + 2, size - 2}, first = {"", 0};
    struct window known[WINDOW_KINDS] = {0}, seen[WINDOW_KINDS] = {0};
    char family[WINDOW_FAMILY_MAX];
    int status = (data[0] >> 2 & 7) * 100 + 29;
    int64_t later = NOW + (int64_t)(int8_t)data[1] * 60000;
    (void)slice_cut(&rest, '\0', &first);
    (void)windows_read(first, (data[0] & 1) != 0, status, NOW, known);
    (void)windows_read(rest, (data[0] & 2) != 0, status, later, seen);
    MUST(model_family(first, family) == family && strlen(family) < sizeof family);
    for (int k = 0; k < WINDOW_KINDS; k++) {
        if (seen[k].known)
            merge_check(&known[k], &seen[k], (enum window_kind)k);
    }
    return 0;
}
