/* links: base http codec accounts */
/* Judging hostile replies, of any provider: header lines up to an empty one, then the body.
 * Whatever is said, no account is benched for more than seven days, and only a 2xx is served. */
#include "accounts/accounts.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)       \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

#define WEEK (INT64_C(7) * 24 * 3600 * 1000)

static void head_read(struct http_head *h, struct slice *rest)
{
    struct slice line, name;
    while (h->headers < HTTP_HEADERS_MAX && slice_cut(rest, '\n', &line) && line.n > 0) {
        if (slice_cut(&line, ':', &name))
            h->header[h->headers++] = (struct http_header){name, slice_trim(line)};
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_header header[HTTP_HEADERS_MAX];
    struct http_head head;
    if (size < 3)
        return 0;
    struct slice rest = {(const char *)data + 3, size - 3};
    memset(&head, 0, sizeof head);
    head.header = header;
    head.status = 100 + (data[0] | (data[1] & 1) << 8);
    head_read(&head, &rest);
    struct reply_facts r = {.status = head.status,
                            .head = &head,
                            .body = rest,
                            .in_stream = (enum reply_error)(data[2] % 8),
                            .model = (data[1] & 2) != 0 ? "claude-opus-5-5" : NULL};
    int64_t now = INT64_C(1795255200000);
    int rows = 0;
    while (provider_at(rows) != NULL)
        rows++;
    const struct provider *p = provider_at((data[1] >> 2) % rows);
    r.dialect = p->door[data[2] / 8 % p->doors].dialect;
    struct limit_verdict v = limits_judge(p, &r, now);
    struct limit_verdict again = limits_judge(p, &r, now);
    MUST(v.cool_ms >= 0 && v.cool_ms <= WEEK && v.cool_ms == again.cool_ms);
    MUST(v.family_ms >= 0 && v.family_ms <= WEEK && (v.family_ms == 0 || v.cool_ms == 0));
    MUST(v.reason != NULL && v.reason[0] != '\0' && strlen(v.reason) < 32);
    MUST(v.verdict == again.verdict && v.reason == again.reason);
    if (v.verdict != VERDICT_NEXT)
        MUST(v.cool_ms == 0 && !v.login_needed && !v.failure);
    bool good = head.status / 100 == 2 && r.in_stream == REPLY_ERROR_NONE;
    MUST((v.verdict == VERDICT_SERVE) == (good || head.status == 304));
    return 0;
}
