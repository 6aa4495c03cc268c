/* Judging: what a reply says about the request, and what about the account.
 *
 * Pure: no clock, no dice, no memory. The classes are those of scheduling.md D4 and
 * wire/anthropic-ratelimits.md section 3. Two mistakes are worse than all others, and every rule
 * here leans away from them: benching a healthy account (one bare 429 says nothing about it), and
 * failing over what the client must read itself (a 400's text). */
#include "accounts/limits.h"

#include <string.h>

#define SECOND     INT64_C(1000)
#define HOUR       (3600 * SECOND)
#define MINUTE_MAX (60 * SECOND) /* a per-minute bucket is full again after that */
#define RESET_MAX  (32 * 24 * HOUR)
#define FAMILY_MS  (5 * 60 * SECOND) /* a family's rest when no time is told */
#define STREAM_MS  (30 * SECOND)     /* an account's, by an error that comes inside a reply */

static const struct limit_verdict pass_on = {.verdict = VERDICT_CLIENT, .reason = "client_error"};

struct limit_verdict verdict_next(const char *reason)
{
    return (struct limit_verdict){.verdict = VERDICT_NEXT, .reason = reason};
}

struct limit_verdict verdict_failure(const char *reason)
{
    return (struct limit_verdict){.verdict = VERDICT_NEXT, .reason = reason, .failure = true};
}

struct limit_verdict verdict_cool(const char *reason, int64_t ms)
{
    struct limit_verdict v = verdict_next(reason);
    v.cool_ms = ms < 0 ? 0 : ms > ACCOUNT_BENCH_MAX ? ACCOUNT_BENCH_MAX : ms;
    return v;
}

/* Only for the family of the model asked for; the account goes on with all others. */
struct limit_verdict verdict_family(const char *reason, int64_t ms)
{
    struct limit_verdict v = verdict_next(reason);
    v.family_ms = ms > ACCOUNT_BENCH_MAX ? ACCOUNT_BENCH_MAX : ms;
    return v;
}

struct limit_verdict verdict_login(const char *reason)
{
    struct limit_verdict v = verdict_next(reason);
    v.login_needed = true;
    return v;
}

/* ---- headers --------------------------------------------------------------------------------- */

struct slice limits_header(const struct http_head *h, const char *name)
{
    const struct slice *v = h != NULL ? http_find(h, name) : NULL;
    return v != NULL ? *v : (struct slice){"", 0};
}

/* A decimal number of `unit` ms, as ms; numbers too large to be meant are cut to the bench's bound.
 */
static bool number_ms(struct slice s, double unit, int64_t *out)
{
    double v = 0;
    if (!text_f64(s, &v) || !(v >= 0))
        return false;
    v *= unit;
    assert(v >= 0);
    *out = v > (double)ACCOUNT_BENCH_MAX ? ACCOUNT_BENCH_MAX : (int64_t)v;
    return true;
}

bool limits_retry_after(const struct http_head *h, int64_t now, int64_t *ms)
{
    int64_t at = 0;
    struct slice v = limits_header(h, "retry-after-ms");
    if (v.n > 0 && number_ms(v, 1, ms))
        return true;
    v = limits_header(h, "retry-after");
    if (v.n == 0)
        return false;
    if (number_ms(v, (double)SECOND, ms))
        return true;
    if (!text_http_date(v, &at) && !text_rfc3339(v, &at))
        return false;
    at += reply_skew(h, now);
    *ms = at > now ? at - now : 0;
    return true;
}

/* A reset, ms from now; 0 when it is past. False also for one so far away that no limit lasts until
 * then: whatever that number is, it is not worth a week's bench. */
static bool reset_in(const struct http_head *h, const char *name, int64_t now, int64_t *ms)
{
    int64_t at = 0;
    if (!window_reset_read(limits_header(h, name), &at))
        return false;
    at += reply_skew(h, now);
    *ms = at > now ? at - now : 0;
    return *ms <= RESET_MAX;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

#define UNIFIED "anthropic-ratelimit-unified-"

struct unified { /* the windows of a subscription account, wire/anthropic-ratelimits.md section 2 */
    bool present;
    bool account;  /* a window of the whole account is closed */
    bool model;    /* one of a model class is */
    bool credits;  /* the extra credits are gone: says nothing about the windows */
    bool has_time; /* some reset was told, be it past */
    int64_t ms;    /* until the latest reset of the account's closed windows */
    bool model_has_time;
    int64_t model_ms; /* the same of the model class's */
};

/* The window called by `name`: its closed status and reset count into `u`. */
static bool window_read(struct unified *u, const struct http_head *h, const char *status_name,
                        const char *reset_name, int64_t now)
{
    int64_t ms = 0;
    struct slice status = limits_header(h, status_name);
    u->present = u->present || status.n > 0;
    if (!window_word_closes(status))
        return false;
    if (reset_in(h, reset_name, now, &ms)) {
        u->has_time = true;
        u->ms = later(u->ms, ms);
    }
    return true;
}

/* The windows of model classes, "7d_oi" and its like. One that names another family than that of
 * the model asked for is not why this request was refused; "oi" does not tell its own. */
static bool classes_read(struct unified *u, const struct http_head *h, const char *family,
                         int64_t now)
{
    static const struct slice lead = {UNIFIED "7d_", sizeof UNIFIED "7d_" - 1};
    static const struct slice tail = {"-status", 7};
    bool closed = false;
    for (int i = 0; h != NULL && i < h->headers; i++) {
        struct slice name = h->header[i].name;
        char status[64], reset[64];
        if (!slice_starts(name, lead) || !slice_ends(name, tail) || name.n >= sizeof status ||
            name.n <= lead.n + tail.n)
            continue;
        struct slice of = slice_sub(name, lead.n, name.n - tail.n);
        bool other = family[0] != '\0' && !slice_eq(of, S("oi")) && !slice_eq(of, slice_of(family));
        if (other)
            continue;
        text_copy(status, sizeof status, name);
        text_format(reset, sizeof reset, "%.*s-reset", (int)(name.n - tail.n), name.p);
        closed = window_read(u, h, status, reset, now) || closed;
    }
    return closed;
}

/* What only the representative claim tells: the overall word is about a model's window, or about
 * the extra credits behind windows that are fine. */
static void claim_read(struct unified *u, const struct unified *whole, const struct http_head *h)
{
    struct slice claim = limits_header(h, UNIFIED "representative-claim");
    if (slice_starts(claim, S("seven_day_"))) {
        u->model = true;
        u->model_has_time = whole->has_time;
        u->model_ms = whole->ms;
    }
    if (slice_eq(claim, S("overage")) && limits_header(h, UNIFIED "5h-status").n > 0)
        u->credits = true;
}

static struct unified unified_read(const struct http_head *h, const char *model, int64_t now)
{
    struct unified u = {0}, other = {0}, whole = {0};
    char family[WINDOW_FAMILY_MAX];
    bool five = window_read(&u, h, UNIFIED "5h-status", UNIFIED "5h-reset", now);
    bool seven = window_read(&u, h, UNIFIED "7d-status", UNIFIED "7d-reset", now);
    u.model = classes_read(&other, h, model_family(slice_of(model), family), now);
    bool all = window_read(&whole, h, UNIFIED "status", UNIFIED "reset", now);
    struct slice why = limits_header(h, UNIFIED "overage-disabled-reason");
    u.credits = slice_eq(why, S("out_of_credits"));
    u.present = u.present || other.present || whole.present;
    u.account = five || seven;
    u.model_has_time = other.has_time;
    u.model_ms = other.ms;
    if (all && !u.account && !u.model)
        claim_read(&u, &whole, h);
    /* The overall word alone blames the account only if no narrower reason is told. */
    if (all && !u.account && !u.model && !u.credits)
        u.account = true;
    if (u.account && all) {
        u.has_time = u.has_time || whole.has_time;
        u.ms = later(u.ms, whole.ms);
    }
    return u;
}

/* The per-minute buckets of an API key: present, and until when an empty one fills. */
static bool buckets_read(const struct http_head *h, int64_t now, int64_t *ms)
{
    static const struct {
        const char *remaining, *reset;
    } buckets[] = {
        {"anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"},
        {"anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"},
        {"anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"},
        {"anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"},
    };
    bool present = false;
    *ms = 0;
    for (size_t i = 0; i < sizeof buckets / sizeof buckets[0]; i++) {
        int64_t in = 0;
        uint64_t left = 0;
        struct slice remaining = limits_header(h, buckets[i].remaining);
        present = present || remaining.n > 0;
        if (text_u64(remaining, &left) && left == 0 && reset_in(h, buckets[i].reset, now, &in))
            *ms = later(*ms, in);
    }
    if (*ms > MINUTE_MAX)
        *ms = MINUTE_MAX;
    return present;
}

/* ---- classes --------------------------------------------------------------------------------- */

/* Until 00:00 UTC on the first day of the next month. */
static int64_t month_left(int64_t now)
{
    char text[TEXT_TIME_MAX], first[TEXT_TIME_MAX];
    uint64_t year = 0, month = 0;
    int64_t at = 0;
    size_t n = text_from_time(now, text);
    if (n < 7 || !text_u64((struct slice){text, 4}, &year) ||
        !text_u64((struct slice){text + 5, 2}, &month))
        return HOUR;
    year += month == 12;
    month = month == 12 ? 1 : month + 1;
    n = text_format(first, sizeof first, "%04d-%02d-01T00:00:00Z", (int)year, (int)month);
    return text_rfc3339((struct slice){first, n}, &at) && at > now ? at - now : HOUR;
}

static bool body_has(struct slice body, struct slice words)
{
    return slice_search(body, words) >= 0;
}

/* "... You will regain access on 2026-12-01 at 00:00 UTC.", ms from now; 0 when it is not told. */
static int64_t access_in(struct slice body, int64_t now)
{
    static const struct slice lead = {"regain access on ", 17}, at_word = {" at ", 4};
    char text[TEXT_TIME_MAX];
    int64_t at = 0;
    ptrdiff_t i = slice_search(body, lead);
    if (i < 0)
        return 0;
    struct slice rest = slice_sub(body, (size_t)i + lead.n, body.n);
    struct slice date = slice_sub(rest, 0, rest.n < 10 ? rest.n : 10);
    struct slice clock = {"00:00", 5};
    if (rest.n >= 19 && slice_eq(slice_sub(rest, 10, 14), at_word))
        clock = slice_sub(rest, 14, 19);
    size_t n = text_format(text, sizeof text, "%.*sT%.*s:00Z", (int)date.n, date.p, (int)clock.n,
                           clock.p);
    return text_rfc3339((struct slice){text, n}, &at) && at > now ? at - now : 0;
}

struct limit_verdict limits_spent(const struct http_head *h, struct slice body, int64_t now)
{
    int64_t wait = 0, access = access_in(body, now);
    if (body_has(body, S("enforced_spend_limit_reached")))
        return verdict_cool("spend_limit", month_left(now));
    if (access > 0)
        return verdict_cool("spend_limit", access);
    /* A purse is not filled within seconds, whatever is said about the rate. */
    return verdict_cool("spend_limit",
                        limits_retry_after(h, now, &wait) ? later(wait, HOUR) : HOUR);
}

/* Overload is the provider's, not the account's: a short fixed rest, no streak (scheduling.md D4,
 * D8). The spread keeps the attempts of many requests apart; it is drawn from what differs between
 * replies. */
struct limit_verdict limits_overloaded(const struct http_head *h, int64_t now)
{
    struct slice id = limits_header(h, "request-id");
    uint64_t x = (uint64_t)now * 0x9e3779b97f4a7c15ULL;
    for (size_t i = 0; i < id.n; i++)
        x = (x ^ (uint8_t)id.p[i]) * 0x100000001b3ULL;
    x ^= x >> 32;
    return verdict_cool("overloaded", 3 * SECOND + (int64_t)(x % 7001));
}

static bool mentions_any(struct slice text, const char *const *words)
{
    for (; *words != NULL; words++) {
        struct slice w = slice_of(*words);
        for (size_t i = 0; i + w.n <= text.n; i++) {
            if (slice_ieq(slice_sub(text, i, i + w.n), w))
                return true;
        }
    }
    return false;
}

/* What is over for a while, by the windows that the head tells of; `wait` is what it asks for
 * besides. False: the windows are not the reason. */
static bool judge_windows(const struct unified *u, bool told, int64_t wait,
                          struct limit_verdict *out)
{
    if (u->account) {
        wait = later(wait, u->ms);
        /* A reset that has passed benches nobody; only if no time at all is told, one is made up.
         */
        *out = verdict_cool("rate_limited", told || u->has_time ? wait : MINUTE_MAX);
        return true;
    }
    if (!u->model)
        return false;
    wait = later(wait, u->model_ms); /* the account's other models are fine */
    *out = verdict_family("model_limit", told || u->model_has_time ? wait : FAMILY_MS);
    return true;
}

static struct limit_verdict judge_rate_limited(const struct reply_facts *r,
                                               const struct observation *o, int64_t now)
{
    static const char *const long_context[] = {"long context", NULL};
    int64_t wait = 0, bucket = 0;
    struct limit_verdict v;
    bool told = limits_retry_after(r->head, now, &wait);
    struct unified u = unified_read(r->head, r->model, now);
    if (judge_windows(&u, told, wait, &v))
        return v;
    if (u.credits)
        return verdict_family("out_of_credits", FAMILY_MS);
    if (mentions_any(slice_of(reply_words(o)->error_message),
                     long_context)) /* of this request, and no other */
        return verdict_next("out_of_credits");
    if (told)
        return verdict_cool("rate_limited", wait);
    if (buckets_read(r->head, now, &bucket) || u.present ||
        body_has(r->body, S("ramp_limit_exceeded")))
        return verdict_cool("rate_limited", bucket > 0 ? bucket : 5 * SECOND);
    /* Bare: measured to be about the request, not about the account (scheduling.md D4). */
    return verdict_next("rate_limited");
}

/* The head was that of a success: what it says of credits and of waiting is not about this error.
 * The windows it tells of may well be, for the reply was what filled them. */
static struct limit_verdict judge_limited_in_stream(const struct reply_facts *r, int64_t now)
{
    int64_t bucket = 0;
    struct limit_verdict v;
    struct unified u = unified_read(r->head, r->model, now);
    u.account = u.account && u.ms > 0;
    u.model = u.model && u.model_ms > 0;
    if (judge_windows(&u, true, 0, &v))
        return v;
    (void)buckets_read(r->head, now, &bucket);
    return verdict_cool("rate_limited", bucket > 0 ? bucket : STREAM_MS);
}

/* 403: the account is closed; or this account may not, but another one might; or nobody may. */
static struct limit_verdict judge_forbidden(const struct observation *o, struct slice body)
{
    static const char *const who[] = {"organization", "organisation", "account", NULL};
    static const char *const closed[] = {"disabled",   "suspended",   "on hold",     "banned",
                                         "terminated", "deactivated", "not allowed", "blocked",
                                         "locked",     NULL};
    static const char *const revoked[] = {"token has been revoked", NULL};
    static const char *const scope[] = {"scope requirement", NULL};
    struct slice text = slice_of(reply_words(o)->error_message);
    if (body_has(body, S("organization_on_hold")))
        return verdict_login("account_disabled");
    if (mentions_any(text, revoked))
        return verdict_login("unauthorized");
    if (mentions_any(text, scope))
        return verdict_next("forbidden");
    if (!mentions_any(text, who))
        return pass_on;
    return mentions_any(text, closed) ? verdict_login("account_disabled")
                                      : verdict_next("forbidden");
}

/* 400 is the client's, but for the texts by which a purse or an account speaks. A request may be
 * quoted in the text, so what does not name the purse must be its beginning. */
static struct limit_verdict judge_bad_request(const struct reply_facts *r,
                                              const struct observation *o, int64_t now)
{
    static const char *const credits[] = {"extra usage", NULL};
    static const char *const long_context[] = {"long context", NULL};
    struct slice text = slice_of(reply_words(o)->error_message);
    if (o->error == REPLY_ERROR_BILLING)
        return limits_spent(r->head, r->body, now);
    if (o->error == REPLY_ERROR_AUTH && body_has(r->body, S("organization_on_hold")))
        return verdict_login("account_disabled");
    if (slice_starts(text, S("This organization has been disabled")))
        return verdict_login("account_disabled");
    if (slice_starts(text, S("This credential is only authorized for use with")))
        return verdict_next("forbidden"); /* an account of another kind takes it */
    if (mentions_any(text, credits) && !mentions_any(text, long_context))
        return verdict_family("out_of_credits", FAMILY_MS);
    return pass_on;
}

static struct limit_verdict judge_server_error(const struct reply_facts *r,
                                               const struct observation *o, int64_t now)
{
    int64_t wait = 0;
    if (r->status == 501 || r->status == 505)
        return pass_on;
    if (r->status == 529 || o->error == REPLY_ERROR_OVERLOADED)
        return limits_overloaded(r->head, now);
    struct limit_verdict v = verdict_failure("server_error");
    if (r->status == 503 && limits_retry_after(r->head, now, &wait))
        v.cool_ms = wait < MINUTE_MAX ? wait : MINUTE_MAX;
    return v;
}

/* An error event on a 2xx, before anything meaningful or behind it (200, and then the truth). */
static struct limit_verdict judge_in_stream(const struct provider *p, const struct reply_facts *r,
                                            int64_t now)
{
    struct limit_verdict v;
    if (p->limits == LIMITS_MINIMAX && r->in_stream == REPLY_ERROR_AUTH)
        return verdict_login("unauthorized"); /* it says all it says with a 200 */
    if (r->seen != NULL && limits_told_of_style(p, r, r->seen, now, &v))
        return v;
    switch (r->in_stream) {
    case REPLY_ERROR_RATE_LIMIT:
        return judge_limited_in_stream(r, now);
    case REPLY_ERROR_OVERLOADED:
        return limits_overloaded(r->head, now);
    case REPLY_ERROR_BILLING:
        return limits_spent(r->head, r->body, now);
    case REPLY_ERROR_AUTH: /* the head was accepted, so the credential was: no reason to bench it */
        return verdict_next("unauthorized");
    case REPLY_ERROR_CLIENT:
        return pass_on;
    case REPLY_ERROR_SERVER:
    case REPLY_ERROR_OTHER:
    case REPLY_ERROR_NONE:
        break;
    }
    return verdict_failure("server_error");
}

static struct limit_verdict judge_failure(enum err e)
{
    switch (e) {
    case ERR_DNS:
    case ERR_NOTFOUND:
        return verdict_failure("dns");
    case ERR_CONNECT:
        return verdict_failure("connect");
    case ERR_TLS:
        return verdict_failure("tls");
    case ERR_CERT:
        return verdict_failure("certificate");
    case ERR_RESET:
    case ERR_EOF:
        return verdict_failure("reset");
    case ERR_TIMEOUT:
        return verdict_failure("timeout");
    case ERR_PROTOCOL:
    case ERR_SYNTAX:
    case ERR_LIMIT:
        return verdict_failure("protocol");
    case ERR_DENIED:
        return verdict_failure("denied");
    case ERR_NOMEM: /* ours: says nothing about the account */
    case ERR_BUSY:
    case ERR_CANCELED:
        return verdict_next("gateway");
    default:
        return verdict_failure("io");
    }
}

static struct limit_verdict judge_client_range(const struct reply_facts *r,
                                               const struct observation *o, int64_t now)
{
    switch (r->status) {
    case 400:
        return judge_bad_request(r, o, now);
    case 401:
        return verdict_login("unauthorized");
    case 402:
        return limits_spent(r->head, r->body, now);
    case 403:
        return judge_forbidden(o, r->body);
    case 408:
        return verdict_failure("timeout");
    case 429:
        return o->error == REPLY_ERROR_BILLING ? limits_spent(r->head, r->body, now)
                                               : judge_rate_limited(r, o, now);
    default:
        return pass_on;
    }
}

/* An error's body says what it is. */
static NOINLINE struct limit_verdict judge_error(const struct provider *p,
                                                 const struct reply_facts *r, int64_t now)
{
    struct reply_words words = {0};
    struct observation o = {.words = &words};
    struct limit_verdict v;
    assert(r->status >= 400);
    codec_error_read(r->dialect, r->status, r->body, &o);
    if (!limits_of_style(p, r, &o, now, &v))
        v = r->status >= 500 ? judge_server_error(r, &o, now) : judge_client_range(r, &o, now);
    assert(v.cool_ms >= 0 && v.cool_ms <= ACCOUNT_BENCH_MAX);
    assert(v.verdict == VERDICT_NEXT || (v.cool_ms == 0 && !v.login_needed && !v.failure));
    assert(v.family_ms >= 0 && v.family_ms <= ACCOUNT_BENCH_MAX);
    assert(v.family_ms == 0 || (v.verdict == VERDICT_NEXT && v.cool_ms == 0));
    return v;
}

struct limit_verdict limits_judge(const struct provider *p, const struct reply_facts *r,
                                  int64_t now)
{
    if (r->status == 0)
        return judge_failure(r->failure);
    if (r->status >= 200 && r->status < 300 && r->in_stream != REPLY_ERROR_NONE)
        return judge_in_stream(p, r, now);
    if (r->status >= 200 && r->status < 300)
        return (struct limit_verdict){.verdict = VERDICT_SERVE, .reason = "served"};
    if (r->status == 304)
        return (struct limit_verdict){.verdict = VERDICT_SERVE, .reason = "served"};
    /* A redirect must never reach a client: it would follow with the gateway's key in hand. */
    if (r->status < 400)
        return verdict_failure(r->status < 200 ? "protocol" : "redirect");
    return judge_error(p, r, now);
}
