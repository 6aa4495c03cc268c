/* links: base http codec accounts */
/* Windows: what heads and usage payloads tell, and how observations come together. */
#include "accounts/windows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* 2026-11-21T10:00:00Z, in ms and in epoch seconds */
#define NOW      INT64_C(1795255200000)
#define SEC      INT64_C(1000)
#define MIN      (60 * SEC)
#define HOUR     (60 * MIN)
#define DAY      (24 * HOUR)

#define IN_1H    "1795258800"
#define IN_2H    "1795262400"
#define IN_3D    "1795514400"
#define AGO_1H   "1795251600"
#define R        "anthropic-ratelimit-"
#define U        "anthropic-ratelimit-unified-"

static void head_of(struct http_head *h, int status, const char *lines)
{
    static struct http_header header[HTTP_HEADERS_MAX];
    struct slice rest = slice_of(lines), line, name;
    *h = (struct http_head){.status = status, .content_length = -1, .header = header};
    while (slice_cut(&rest, '\n', &line)) {
        if (slice_cut(&line, ':', &name))
            h->header[h->headers++] = (struct http_header){name, slice_trim(line)};
    }
}

static int read_head(int status, const char *lines, struct window out[WINDOW_KINDS])
{
    struct http_head head;
    head_of(&head, status, lines);
    memset(out, 0, WINDOW_KINDS * sizeof out[0]);
    return windows_read_head(&head, NOW, out);
}

static void assert_near(double got, double want)
{
    if (got < want - 1e-9 || got > want + 1e-9)
        fail_msg("%f instead of %f", got, want);
}

/* ---- names ----------------------------------------------------------------------------------- */

static void test_names(void **state)
{
    (void)state;
    for (int i = 0; i < WINDOW_KINDS; i++) {
        enum window_kind k = WINDOW_KINDS;
        assert_true(window_kind_of(slice_of(window_name((enum window_kind)i)), &k));
        assert_int_equal(k, i);
    }
    enum window_kind k = WINDOW_KINDS;
    assert_true(window_kind_of(S("7d_opus"), &k));
    assert_int_equal(k, WINDOW_7D_MODEL);
    assert_false(window_kind_of(S("7d_"), &k));
    assert_false(window_kind_of(S(""), &k));
    assert_false(window_kind_of(S("8h"), &k));
    assert_int_equal(window_length(WINDOW_5H), 5 * HOUR);
    assert_int_equal(window_length(WINDOW_7D_MODEL), 7 * DAY);
    assert_int_equal(window_length(WINDOW_TOKENS), 0);
}

static void test_families(void **state)
{
    static const char *const rows[][2] = {
        {"claude-opus-5-5", "opus"},
        {"claude-3-opus-20240229", "opus"},
        {"claude-3-5-haiku", "haiku"},
        {"Claude-Sonnet-4.6[1m]", "sonnet"},
        {"us.anthropic.claude-fable-5-1-v1:0", "fable"},
        {"publishers/anthropic/models/claude-mythos-5@20261001", "mythos"},
        {"Opus", "opus"},
        {"Claude Opus 5", "opus"},
        {"claude", ""},
        {"claude-2.1", ""},
        {"claude-claude-opus", "opus"},
        {"glm-4.6", ""},
        {"5", ""},
        {"", ""},
        {"claude-abcdefghijklmnopqrstuvwxyz-1", "abcdefghijklmnopqrstuvw"},
    };
    char out[WINDOW_FAMILY_MAX];
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_string_equal(model_family(slice_of(rows[i][0]), out), rows[i][1]);
}

/* ---- heads ----------------------------------------------------------------------------------- */

struct want {
    int status;
    const char *lines;
    int n;
    enum window_kind k;
    bool closed;
    double used;
    int64_t in; /* reset, from NOW; 0 = not told */
    const char *family;
};

static void check_head(const struct want *w)
{
    struct window out[WINDOW_KINDS];
    int n = read_head(w->status, w->lines, out);
    const struct window *got = &out[w->k];
    int64_t in = got->resets_at == 0 ? 0 : got->resets_at - NOW;
    bool used = got->used > w->used - 1e-9 && got->used < w->used + 1e-9;
    if (n != w->n || (n > 0 && (!got->known || got->closed != w->closed || !used || in != w->in ||
                                strcmp(got->family, w->family) != 0)))
        fail_msg("[%s]: %d windows, known %d closed %d used %f in %" PRId64 " of %s", w->lines, n,
                 got->known, got->closed, got->used, in, got->family);
    for (int k = 0; k < WINDOW_KINDS; k++) {
        int64_t length = window_length((enum window_kind)k);
        assert_int_equal(out[k].seen_at, out[k].known ? NOW : 0);
        if (out[k].started_at != 0)
            assert_int_equal(out[k].started_at, out[k].resets_at - length);
    }
}

static void test_heads(void **state)
{
    static const struct want rows[] = {
        {200, "", 0, WINDOW_5H, false, 0, 0, ""},
        {200, "content-type: text/plain", 0, WINDOW_5H, false, 0, 0, ""},
        {200, U "5h-utilization: 0.42", 1, WINDOW_5H, false, 0.42, 0, ""},
        {200, U "5h-status: allowed\n" U "5h-reset: " IN_1H, 1, WINDOW_5H, false, -1, HOUR, ""},
        {200, U "5h-reset: 2026-11-21T11:00:00Z", 1, WINDOW_5H, false, -1, HOUR, ""},
        {200, U "5h-reset: " IN_1H "000", 1, WINDOW_5H, false, -1, HOUR, ""}, /* in ms */
        {200, U "7d-utilization: 1.01\n" U "7d-status: allowed_warning\n" U "7d-reset: " IN_3D, 1,
         WINDOW_7D, false, 1.01, 3 * DAY, ""},
        {429, U "7d-status: rejected\n" U "7d-reset: " IN_3D, 1, WINDOW_7D, true, -1, 3 * DAY, ""},
        {429, U "7d-status: blocked", 1, WINDOW_7D, true, -1, 0, ""},
        /* full without a word, and with its reset to come, past or not told */
        {200, U "5h-utilization: 1\n" U "5h-reset: " IN_1H, 1, WINDOW_5H, true, 1, HOUR, ""},
        {200, U "5h-utilization: 1\n" U "5h-reset: " AGO_1H, 1, WINDOW_5H, false, 1, -HOUR, ""},
        {200, U "5h-utilization: 1", 1, WINDOW_5H, false, 1, 0, ""},
        /* a full one that extra usage pays for refuses nobody; on a 429 nothing paid */
        {200, U "5h-status: rejected\n" U "5h-reset: " IN_1H "\n" U "overage-in-use: true", 2,
         WINDOW_5H, false, 1, HOUR, ""},
        {200, U "5h-utilization: 1.2\n" U "5h-reset: " IN_1H "\n" U "overage-in-use: true", 2,
         WINDOW_OVERAGE, false, -1, 0, ""},
        {200, U "5h-status: rejected\n" U "5h-reset: " IN_1H "\n" U "overage-status: allowed", 2,
         WINDOW_5H, false, 1, HOUR, ""},
        {200, U "5h-status: rejected\n" U "5h-reset: " IN_1H "\n" U "overage-status: rejected", 2,
         WINDOW_5H, true, -1, HOUR, ""},
        {429, U "5h-status: rejected\n" U "5h-reset: " IN_1H "\n" U "overage-in-use: true", 1,
         WINDOW_5H, true, -1, HOUR, ""},
        {200, U "overage-status: rejected\n" U "overage-disabled-reason: org_level_disabled", 1,
         WINDOW_OVERAGE, true, -1, 0, ""},
        /* of a model's class */
        {429, U "7d_oi-status: rejected\n" U "7d_oi-reset: " IN_3D, 1, WINDOW_7D_MODEL, true, -1,
         3 * DAY, ""},
        {200, U "7d_sonnet-utilization: 0.9\n" U "7d_opus-utilization: 0.2", 1, WINDOW_7D_MODEL,
         false, 0.9, 0, "sonnet"},
        {429, U "7d_sonnet-utilization: 0.9\n" U "7d_opus-status: rejected", 1, WINDOW_7D_MODEL,
         true, -1, 0, "opus"},
        {200, U "7d_-status: rejected", 0, WINDOW_7D_MODEL, true, -1, 0, ""},
        /* the overall verdict alone, and what it was about */
        {429, U "status: rejected\n" U "reset: " IN_1H "\n" U "representative-claim: five_hour", 1,
         WINDOW_5H, true, -1, HOUR, ""},
        {429, U "status: rejected\n" U "reset: " IN_3D "\n" U "representative-claim: seven_day", 1,
         WINDOW_7D, true, -1, 3 * DAY, ""},
        {429,
         U "status: rejected\n" U "reset: " IN_3D "\n" U "representative-claim: seven_day_opus", 1,
         WINDOW_7D_MODEL, true, -1, 3 * DAY, "opus"},
        {429,
         U "status: rejected\n" U "reset: " IN_3D "\n" U
           "representative-claim: seven_day_overage_included",
         1, WINDOW_7D_MODEL, true, -1, 3 * DAY, ""},
        {429, U "status: rejected\n" U "reset: " IN_3D, 0, WINDOW_7D, true, -1, 0, ""},
        {429, U "status: rejected\n" U "representative-claim: five_hour\n" U "5h-status: allowed",
         1, WINDOW_5H, false, -1, 0, ""},
        /* what makes no sense is not told */
        {200, U "5h-utilization: nan", 0, WINDOW_5H, false, 0, 0, ""},
        {200, U "5h-utilization: -0.1", 0, WINDOW_5H, false, 0, 0, ""},
        {200, U "5h-utilization: 1e9", 0, WINDOW_5H, false, 0, 0, ""},
        {200, U "5h-reset: soon", 0, WINDOW_5H, false, 0, 0, ""},
        {200, U "5h-reset: 0", 0, WINDOW_5H, false, 0, 0, ""},
        {200, U "5h-reset: 99999999999999999999", 0, WINDOW_5H, false, 0, 0, ""},
        {200, U "5h-reset: " IN_3D, 0, WINDOW_5H, false, 0, 0, ""}, /* no 5 hours last so long */
        {200, U "5h-reset: 1969-11-21T11:00:00Z", 0, WINDOW_5H, false, 0, 0, ""},
        {200, U "5h-utilization: 0.1\n" U "5h-utilization: 0.9", 1, WINDOW_5H, false, 0.1, 0, ""},
        {200, U "5h-utilization:\n" U "5h-", 0, WINDOW_5H, false, 0, 0, ""},
        /* an API key's buckets */
        {200,
         R "tokens-limit: 1000\n" R "tokens-remaining: 250\n" R
           "tokens-reset: 2026-11-21T10:00:20Z",
         1, WINDOW_TOKENS, false, 0.75, 20 * SEC, ""},
        {429,
         R "input-tokens-limit: 1000\n" R "input-tokens-remaining: 0\n" R
           "input-tokens-reset: 2026-11-21T10:00:20Z",
         1, WINDOW_INPUT, true, 1, 20 * SEC, ""},
        {429, R "output-tokens-limit: 10\n" R "output-tokens-remaining: 0", 1, WINDOW_OUTPUT, false,
         1, 0, ""},
        {200, R "requests-limit: 10\n" R "requests-remaining: 20", 1, WINDOW_REQUESTS, false, 0, 0,
         ""},
        {200, R "requests-limit: 0\n" R "requests-remaining: 0", 0, WINDOW_REQUESTS, false, 0, 0,
         ""},
        {200, R "requests-remaining: 5", 0, WINDOW_REQUESTS, false, 0, 0, ""},
        {200, R "requests-limit: -1\n" R "requests-remaining: 5", 0, WINDOW_REQUESTS, false, 0, 0,
         ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        check_head(&rows[i]);
}

/* The recorded set of wire/anthropic-ratelimits.md, moved in time. */
static void test_head_whole(void **state)
{
    struct window w[WINDOW_KINDS];
    (void)state;
    int n = read_head(429,
                      "retry-after: 3600\n" U "status: rejected\n" U "reset: " IN_1H "\n" U
                      "representative-claim: five_hour\n" U "fallback-percentage: 0.5\n" U
                      "5h-status: rejected\n" U "5h-utilization: 1.01\n" U "5h-reset: " IN_1H "\n" U
                      "5h-surpassed-threshold: 1.0\n" U "7d-status: allowed\n" U
                      "7d-utilization: 0.69\n" U "7d-reset: " IN_3D "\n" U
                      "overage-status: rejected\n" U "overage-disabled-reason: org_level_disabled",
                      w);
    assert_int_equal(n, 3);
    assert_true(w[WINDOW_5H].closed);
    assert_int_equal(w[WINDOW_5H].started_at, NOW - 4 * HOUR);
    assert_false(w[WINDOW_7D].closed);
    assert_near(w[WINDOW_7D].used, 0.69);
    assert_int_equal(w[WINDOW_7D].started_at, NOW - 4 * DAY);
    assert_true(w[WINDOW_OVERAGE].closed);
    /* others stay as they are */
    struct http_head head;
    w[WINDOW_TOKENS] = (struct window){.known = true, .used = 0.5, .seen_at = 7};
    head_of(&head, 200, U "5h-utilization: 0.1");
    assert_int_equal(windows_read_head(&head, NOW, w), 1);
    assert_int_equal(w[WINDOW_TOKENS].seen_at, 7);
}

/* Our clock is wrong, and the reply's Date says by how much. */
static void test_skew(void **state)
{
    static const struct {
        const char *date;
        int64_t skew;
    } rows[] = {
        {"", 0},
        {"date: Sat, 21 Nov 2026 10:00:00 GMT", 0},
        {"date: Sat, 21 Nov 2026 10:01:00 GMT", 0},
        {"date: Sat, 21 Nov 2026 11:00:00 GMT", -HOUR},
        {"date: Sat, 21 Nov 2026 09:00:00 GMT", HOUR},
        {"date: Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"date: tomorrow", 0},
    };
    struct http_head head;
    struct window w[WINDOW_KINDS] = {0};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        head_of(&head, 200, rows[i].date);
        assert_int_equal(reply_skew(&head, NOW), rows[i].skew);
    }
    head_of(&head, 429,
            "date: Sat, 21 Nov 2026 11:00:00 GMT\n" U "5h-status: rejected\n" U "5h-reset: " IN_2H);
    assert_int_equal(windows_read_head(&head, NOW, w), 1);
    assert_int_equal(w[WINDOW_5H].resets_at, NOW + HOUR); /* an hour from the reply's own time */
    assert_int_equal(reply_skew(NULL, NOW), 0);
}

/* ---- the usage payload ----------------------------------------------------------------------- */

static int read_usage(const char *text, struct window out[WINDOW_KINDS])
{
    memset(out, 0, WINDOW_KINDS * sizeof out[0]);
    return windows_read_usage(slice_of(text), NOW, out);
}

static void test_usage_old(void **state)
{
    struct window w[WINDOW_KINDS];
    (void)state;
    int n = read_usage(
        "{\"five_hour\":{\"utilization\":42.0,\"resets_at\":\"2026-11-21T12:00:00.123456+00:00\"},"
        "\"seven_day\":{\"utilization\":17,\"resets_at\":\"2026-11-24T10:00:00+00:00\"},"
        "\"seven_day_oauth_apps\":{\"utilization\":99},\"seven_day_opus\":null,"
        "\"seven_day_sonnet\":{\"utilization\":3.0,\"resets_at\":null},\"iguana_necktie\":null,"
        "\"extra_usage\":{\"is_enabled\":false,\"monthly_limit\":null,\"utilization\":null}}",
        w);
    assert_int_equal(n, 4);
    assert_near(w[WINDOW_5H].used, 0.42);
    assert_int_equal(w[WINDOW_5H].resets_at, NOW + 2 * HOUR + 123);
    assert_int_equal(w[WINDOW_5H].started_at, NOW - 3 * HOUR + 123);
    assert_near(w[WINDOW_7D].used, 0.17);
    assert_int_equal(w[WINDOW_7D].resets_at, NOW + 3 * DAY);
    assert_near(w[WINDOW_7D_MODEL].used, 0.03);
    assert_string_equal(w[WINDOW_7D_MODEL].family, "sonnet");
    assert_int_equal(w[WINDOW_7D_MODEL].started_at, 0); /* idle: the next message opens it */
    assert_true(w[WINDOW_OVERAGE].closed);
    assert_false(w[WINDOW_5H].closed);
}

static void test_usage_new(void **state)
{
    struct window w[WINDOW_KINDS];
    (void)state;
    int n = read_usage(
        "{\"limits\":[{\"kind\":\"session\",\"percent\":100,\"resets_at\":\"2026-11-21T12:00:00Z\"}"
        ","
        "{\"kind\":\"weekly_all\",\"percent\":17,\"resets_at\":1795514400},"
        "{\"kind\":\"weekly_scoped\",\"percent\":60,\"resets_at\":\"2026-11-24T10:00:00Z\","
        "\"scope\":{\"model\":{\"id\":null,\"display_name\":\"Opus\"}}},"
        "{\"kind\":\"weekly_scoped\",\"percent\":10,\"scope\":{\"model\":{\"id\":\"claude-haiku-"
        "5\"}"
        "}},{\"kind\":\"monthly\",\"percent\":1},7,null],"
        "\"spend\":{\"enabled\":false,\"percent\":null}}",
        w);
    assert_int_equal(n, 4);
    assert_true(w[WINDOW_5H].closed);
    assert_int_equal(window_closed_until(&w[WINDOW_5H], WINDOW_5H, NOW), NOW + 2 * HOUR);
    assert_int_equal(w[WINDOW_7D].resets_at, NOW + 3 * DAY);
    assert_near(w[WINDOW_7D_MODEL].used, 0.6);
    assert_string_equal(w[WINDOW_7D_MODEL].family, "opus");
    /* full, but extra usage is on: it refuses nobody, as long as there is any */
    n = read_usage("{\"limits\":[{\"kind\":\"session\",\"percent\":100,\"resets_at\":"
                   "\"2026-11-21T12:00:00Z\"}],\"spend\":{\"enabled\":true,\"percent\":30}}",
                   w);
    assert_int_equal(n, 2);
    assert_false(w[WINDOW_5H].closed || w[WINDOW_OVERAGE].closed);
    assert_near(w[WINDOW_OVERAGE].used, 0.3);
    (void)read_usage("{\"five_hour\":{\"utilization\":101,\"resets_at\":\"2026-11-21T12:00:00Z\"},"
                     "\"extra_usage\":{\"is_enabled\":true,\"utilization\":100}}",
                     w);
    assert_true(w[WINDOW_5H].closed && w[WINDOW_OVERAGE].closed);
}

/* Of one family, be it not the tightest; in either shape. */
static void test_usage_of(void **state)
{
    static const char old[] =
        "{\"five_hour\":{\"utilization\":7},\"seven_day_opus\":{\"utilization\":"
        "80},\"seven_day_sonnet\":{\"utilization\":3}}";
    static const char new[] = "{\"limits\":[{\"kind\":\"weekly_scoped\",\"percent\":100,\"resets_"
                              "at\":\"2026-11-24T10:00:00Z\","
                              "\"scope\":{\"model\":{\"display_name\":\"Opus\"}}},{\"kind\":"
                              "\"weekly_scoped\",\"percent\":"
                              "4,\"scope\":{\"model\":{\"id\":\"claude-fable-5-1\"}}}]}";
    struct window w;
    (void)state;
    assert_true(windows_read_usage_of(slice_of(old), "sonnet", NOW, &w));
    assert_near(w.used, 0.03);
    assert_true(windows_read_usage_of(slice_of(old), "opus", NOW, &w));
    assert_near(w.used, 0.8);
    assert_false(windows_read_usage_of(slice_of(old), "fable", NOW, &w));
    assert_true(windows_read_usage_of(slice_of(new), "fable", NOW, &w));
    assert_near(w.used, 0.04);
    assert_string_equal(w.family, "fable");
    assert_false(w.closed);
    assert_true(windows_read_usage_of(slice_of(new), "opus", NOW, &w));
    assert_true(w.closed);
    assert_false(windows_read_usage_of(S("{"), "opus", NOW, &w));
    assert_false(windows_read_usage_of(S("{\"limits\":[7]}"), "opus", NOW, &w));
}

static void test_usage_bad(void **state)
{
    static const char *const rows[] = {"",
                                       "{",
                                       "[]",
                                       "7",
                                       "null",
                                       "{}",
                                       "{\"five_hour\":null,\"limits\":null}",
                                       "{\"five_hour\":{\"utilization\":null}}",
                                       "{\"five_hour\":{\"utilization\":\"42\"}}",
                                       "{\"five_hour\":{\"utilization\":-1}}",
                                       "{\"limits\":{\"kind\":\"session\",\"percent\":1}}",
                                       "{\"limits\":[{\"kind\":7,\"percent\":1}]}",
                                       "{\"error\":{\"type\":\"rate_limit_error\"}}"};
    struct window w[WINDOW_KINDS];
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_int_equal(read_usage(rows[i], w), 0);
    /* a past reset is told, and closes nothing */
    assert_int_equal(read_usage("{\"five_hour\":{\"utilization\":100,\"resets_at\":"
                                "\"2026-11-21T09:00:00Z\"}}",
                                w),
                     1);
    assert_false(w[WINDOW_5H].closed);
    assert_near(window_used(&w[WINDOW_5H], NOW), 0);
    size_t n = 70000;
    char *big = mem_new(n + 1);
    memset(big, ' ', n);
    big[0] = '{', big[n - 1] = '}';
    assert_int_equal(read_usage(big, w), 0);
    mem_free(big);
}

/* ---- coming together ------------------------------------------------------------------------- */

static struct window at(int64_t seen, double used, int64_t resets, bool closed)
{
    return (struct window){.known = true,
                           .closed = closed,
                           .used = used,
                           .started_at = resets != 0 ? resets - 5 * HOUR : 0,
                           .resets_at = resets,
                           .seen_at = seen};
}

static void test_merge(void **state)
{
    const int64_t r = NOW + 2 * HOUR, later = NOW + MIN;
    const struct {
        struct window known, seen, want;
        bool news;
    } rows[] = {
        /* the first one, an older one, an unknown one, the same again */
        {{0}, at(NOW, 0.1, r, false), at(NOW, 0.1, r, false), true},
        {at(NOW, 0.2, r, false), at(NOW - 1, 0.9, r, true), at(NOW, 0.2, r, false), false},
        {at(NOW, 0.2, r, false), {0}, at(NOW, 0.2, r, false), false},
        {at(NOW, 0.2, r, false), at(later, 0.2, r, false), at(later, 0.2, r, false), false},
        /* jitter, either way: the same window, the larger use */
        {at(NOW, 0.2, r, false), at(later, 0.3, r + 1879, false), at(later, 0.3, r, false), true},
        {at(NOW, 0.2, r, false), at(later, 0.1, r + 1879, false), at(later, 0.2, r, false), false},
        {at(NOW, 0.2, r, false), at(later, 0.3, r - MIN, false), at(later, 0.3, r, false), true},
        {at(NOW, 0.2, r, false), at(later, 0.3, r + MIN, false), at(later, 0.3, r, false), true},
        /* forward: a new window */
        {at(NOW, 0.9, r, false), at(later, 0.1, r + MIN + 1, false),
         at(later, 0.1, r + MIN + 1, false), true},
        {at(NOW, 1, r, true), at(r + 1, 0.01, r + 5 * HOUR, false),
         at(r + 1, 0.01, r + 5 * HOUR, false), true},
        /* backward: the provider has revised it; or late news of the window before */
        {at(NOW, 0.9, r, false), at(later, 0.1, r - HOUR, false), at(later, 0.1, r - HOUR, false),
         true},
        {at(NOW, 0.1, r, false), at(later, 1, NOW, true), at(NOW, 0.1, r, false), false},
        /* the reset is not told, or not known yet */
        {at(NOW, 0.2, r, false), at(later, 0.3, 0, false), at(later, 0.3, r, false), true},
        {at(NOW, 0.2, r, false), at(r + 1, 0, 0, false), at(r + 1, 0, 0, false), true},
        {at(NOW, 0.2, 0, false), at(later, 0.1, r, false), at(later, 0.2, r, false), true},
        {at(NOW, -1, r, false), at(later, 0.1, r, false), at(later, 0.1, r, false), true},
        {at(NOW, 0.1, r, false), at(later, -1, r, false), at(later, 0.1, r, false), false},
        /* closing, with the later of the two resets; opening, not by what was under way */
        {at(NOW, 0.2, r, false), at(later, 1, r + SEC, true), at(later, 1, r + SEC, true), true},
        {at(NOW, 1, r, true), at(later, 0.9, r, false), at(NOW, 1, r, true), false},
        {at(NOW, 1, r, true), at(later + 1, 0.9, r, false), at(later + 1, 1, r, false), true},
        {at(NOW, 1, r, true), at(later, 1, r, true), at(later, 1, r, true), false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct window w = rows[i].known;
        const struct window *want = &rows[i].want;
        bool news = window_merge(&w, &rows[i].seen, WINDOW_5H);
        bool used = w.used > want->used - 1e-9 && w.used < want->used + 1e-9;
        int64_t drift = w.started_at - want->started_at;
        if (news != rows[i].news || w.closed != want->closed || !used ||
            w.resets_at != want->resets_at || w.seen_at != want->seen_at || drift < -MIN ||
            drift > MIN)
            fail_msg("row %zu: news %d closed %d used %f reset %" PRId64 " seen %" PRId64, i, news,
                     w.closed, w.used, w.resets_at - NOW, w.seen_at - NOW);
    }
}

/* 1,564 observations within two seconds of one reset are one window (better-ccflare PR 381). */
static void test_jitter(void **state)
{
    struct window w = {0};
    int windows = 0;
    (void)state;
    for (int i = 0; i < 1564; i++) {
        int64_t jitter = (i * 7919) % 1880;
        struct window seen = at(NOW + i * 9 * SEC, 0.0001 * i, NOW + 5 * HOUR + jitter, false);
        int64_t before = w.started_at;
        (void)window_merge(&w, &seen, WINDOW_5H);
        windows += w.started_at != before;
    }
    assert_int_equal(windows, 1);
    assert_near(w.used, 0.1563);
}

static void test_merge_families(void **state)
{
    const int64_t r = NOW + 2 * DAY;
    struct window w = at(NOW, 0.5, r, false), other = at(NOW + 1, 0.9, r, false);
    (void)state;
    text_copy(w.family, sizeof w.family, S("opus"));
    /* closed, but whose class? Not opus' */
    struct window oi = at(NOW + 1, -1, r, true);
    struct window x = w;
    assert_true(window_merge(&x, &oi, WINDOW_7D_MODEL));
    assert_string_equal(x.family, "");
    /* told by the refusal of a request for it: remembered, and opened by whatever says so later */
    text_copy(oi.family, sizeof oi.family, S("fable"));
    assert_true(window_merge(&x, &oi, WINDOW_7D_MODEL));
    assert_string_equal(x.family, "fable");
    assert_int_equal(window_closed_until(&x, WINDOW_7D_MODEL, NOW), r);
    /* a closed one is not replaced by another family's open one */
    text_copy(other.family, sizeof other.family, S("opus"));
    assert_false(window_merge(&x, &other, WINDOW_7D_MODEL));
    assert_string_equal(x.family, "fable");
    struct window open = at(NOW + 2 * MIN, 0.2, r, false);
    assert_true(window_merge(&x, &open, WINDOW_7D_MODEL));
    assert_false(x.closed);
    assert_string_equal(x.family, "fable");
    other.seen_at = NOW + 3 * MIN;
    assert_true(window_merge(&x, &other, WINDOW_7D_MODEL));
    assert_string_equal(x.family, "opus");
}

static void test_buckets(void **state)
{
    struct window w = {0}, a = at(NOW, 0.9, NOW + 10 * SEC, true),
                  b = at(NOW + SEC, 0.1, NOW + 12 * SEC, false);
    (void)state;
    assert_true(window_merge(&w, &a, WINDOW_TOKENS));
    assert_true(window_merge(&w, &b, WINDOW_TOKENS)); /* it refills: the newest counts */
    assert_near(w.used, 0.1);
    assert_false(w.closed);
    assert_false(window_merge(&w, &a, WINDOW_TOKENS));
}

/* ---- as of now ------------------------------------------------------------------------------- */

static void test_until(void **state)
{
    static const struct {
        int64_t resets, seen, now, want; /* from NOW; want 0 = open */
    } rows[] = {
        {HOUR, 0, 0, HOUR},
        {HOUR, 0, HOUR - 1, HOUR},
        {HOUR, 0, HOUR, 0},
        {HOUR, 0, 2 * HOUR, 0},
        /* no longer than it lasts, from when it was seen */
        {6 * HOUR, 0, 0, 5 * HOUR},
        {30 * DAY, 0, 5 * HOUR - 1, 5 * HOUR},
        {30 * DAY, 0, 5 * HOUR, 0},
        /* the wall clock steps an hour either way */
        {2 * HOUR, 0, -HOUR, 2 * HOUR},
        {30 * MIN, 0, HOUR, 0},
        {-MIN, 0, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct window w = at(NOW + rows[i].seen, 1, NOW + rows[i].resets, true);
        int64_t until = window_closed_until(&w, WINDOW_5H, NOW + rows[i].now);
        assert_int_equal(until, rows[i].want == 0 ? 0 : NOW + rows[i].want);
        assert_int_equal(window_is_closed(&w, NOW + rows[i].now), until != 0);
        w.closed = false;
        assert_int_equal(window_closed_until(&w, WINDOW_5H, NOW + rows[i].now), 0);
    }
    struct window w = at(NOW, 1, 0, true); /* without a reset nobody is benched */
    assert_int_equal(window_closed_until(&w, WINDOW_5H, NOW), 0);
    assert_false(window_is_closed(&w, NOW));
}

static void test_use(void **state)
{
    struct window w = at(NOW, 0.6, NOW + 2 * HOUR, false);
    (void)state;
    assert_near(window_used(&w, NOW), 0.6);
    assert_near(window_used(&w, NOW + 2 * HOUR), 0);
    assert_near(window_burn(&w, NOW), 0.2); /* 0.6 in three hours */
    assert_near(window_burn(&w, NOW + HOUR), 0.2);
    assert_near(window_burn(&w, NOW + 2 * HOUR), -1);
    w.seen_at = w.started_at + 59 * SEC; /* too young */
    assert_near(window_burn(&w, NOW), -1);
    w.used = -1;
    assert_near(window_used(&w, NOW), -1);
    w = (struct window){.used = 0.5};
    assert_near(window_used(&w, NOW), -1);
    assert_near(window_burn(&w, NOW), -1);
    w = at(NOW, 0.5, 0, false);
    assert_near(window_used(&w, NOW), 0.5);
    assert_near(window_burn(&w, NOW), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),     cmocka_unit_test(test_families),
        cmocka_unit_test(test_heads),     cmocka_unit_test(test_head_whole),
        cmocka_unit_test(test_skew),      cmocka_unit_test(test_usage_old),
        cmocka_unit_test(test_usage_new), cmocka_unit_test(test_usage_of),
        cmocka_unit_test(test_usage_bad), cmocka_unit_test(test_merge),
        cmocka_unit_test(test_jitter),    cmocka_unit_test(test_merge_families),
        cmocka_unit_test(test_buckets),   cmocka_unit_test(test_until),
        cmocka_unit_test(test_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
