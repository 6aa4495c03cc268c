/* What providers other than Anthropic tell of limits, each in its own way: wire/openai.md sections
 * 4, 5 and 8, wire/compat-providers.md, azure.md, gemini.md, vertex.md, bedrock.md. Pure.
 *
 * The same two mistakes are the worst here as in limits.c. So a rest is ordered only where a time
 * is told, or where the provider names its limit. */
#include "accounts/limits.h"

#include <string.h>

#define SECOND   INT64_C(1000)
#define MINUTE   (60 * SECOND)
#define HOUR     (60 * MINUTE)
#define DAY      (24 * HOUR)
#define MONTH    (31 * DAY)
#define NAMED_MS (5 * SECOND) /* a limit is named, but no time */
#define BEIJING  (8 * HOUR)

static bool has(struct slice text, const char *words)
{
    return slice_search(text, slice_of(words)) >= 0;
}

/* ---- OpenAI, and all that speak like it ------------------------------------------------------ */

/* "... Please try again in 1m20.5s. Visit ..."; false: it does not say. */
static bool message_wait(struct slice text, int64_t *ms)
{
    static const struct slice lead = {"try again in ", 13};
    ptrdiff_t at = slice_search(text, lead);
    struct slice word;
    if (at < 0)
        return false;
    struct slice rest = slice_sub(text, (size_t)at + lead.n, text.n);
    if (!slice_cut(&rest, ' ', &word))
        return false;
    while (slice_ends(word, S(".")) || slice_ends(word, S(",")))
        word = slice_sub(word, 0, word.n - 1);
    return duration_read(word, ms);
}

/* The buckets that are told of: true when one is empty, and until when it is full enough. */
static bool bucket_wait(const struct http_head *h, bool *present, int64_t *ms)
{
    static const char *const kinds[] = {"requests", "tokens", "requests-day", "tokens-minute"};
    bool empty = false;
    *present = false;
    *ms = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        char name[48];
        uint64_t left = 0;
        int64_t in = 0;
        text_format(name, sizeof name, "x-ratelimit-remaining-%s", kinds[i]);
        if (!text_u64(limits_header(h, name), &left))
            continue;
        *present = true;
        text_format(name, sizeof name, "x-ratelimit-reset-%s", kinds[i]);
        if (left > 0 || !duration_read(limits_header(h, name), &in) || in > DAY)
            continue;
        empty = true;
        *ms = in > *ms ? in : *ms;
    }
    return empty;
}

/* OpenRouter's: epoch ms, in the head or in the body's metadata. */
static bool router_wait(const struct reply_facts *r, int64_t now, int64_t *ms)
{
    struct json *doc = NULL;
    char text[40];
    int64_t at = 0;
    struct slice v = limits_header(r->head, "x-ratelimit-reset");
    if (v.n == 0 && json_parse(r->body, &doc) == OK) {
        const struct json_val *e = json_get(json_root(doc), "error");
        const struct json_val *h = json_get(json_get(e, "metadata"), "headers");
        text_copy(text, sizeof text, json_get_str(h, "X-RateLimit-Reset"));
        v = slice_of(text);
        json_free(doc);
    }
    if (!window_reset_read(v, &at))
        return false;
    at += reply_skew(r->head, now);
    *ms = at > now ? at - now : 0;
    return *ms <= DAY;
}

/* A limit is named, in the words of one of them. */
static bool names_limit(const struct reply_facts *r)
{
    static const char *const words[] = {"rate_limit", "rate limit",         "Rate limit",
                                        "Throttling", "RESOURCE_EXHAUSTED", "TooManyRequests",
                                        NULL};
    for (int i = 0; words[i] != NULL; i++) {
        if (has(r->body, words[i]))
            return true;
    }
    return false;
}

static struct limit_verdict openai_limited(const struct reply_facts *r, const struct observation *o,
                                           int64_t now)
{
    int64_t wait = 0, bucket = 0;
    bool present = false;
    struct slice text = slice_of(reply_words(o)->error_message), model = slice_of(r->model);
    /* Of this request and no other: it is larger than a minute's worth. */
    if (slice_istarts(text, S("Request too large")))
        return verdict_next("rate_limited");
    /* Of the models that cost nothing; the account serves all others. */
    if (slice_ends(model, S(":free")) || has(text, "free-models-per-"))
        return verdict_next("rate_limited");
    if (limits_retry_after(r->head, now, &wait) || message_wait(text, &wait))
        return verdict_cool("rate_limited", wait);
    if (bucket_wait(r->head, &present, &bucket))
        return verdict_cool("rate_limited", bucket);
    if (router_wait(r, now, &wait))
        return verdict_cool("rate_limited", wait);
    return present || names_limit(r) ? verdict_cool("rate_limited", NAMED_MS)
                                     : verdict_next("rate_limited");
}

static bool judge_openai(const struct reply_facts *r, const struct observation *o, int64_t now,
                         struct limit_verdict *out)
{
    switch (r->status) {
    case 400: /* a wrong key is told by 400 here and there */
        if (o->error != REPLY_ERROR_AUTH)
            return false;
        *out = verdict_login("unauthorized");
        return true;
    case 402:
        if (!has(slice_of(reply_words(o)->error_message), "can only afford"))
            return false;
        *out = verdict_next("spend_limit"); /* a smaller one would do */
        return true;
    case 403:
        if (!has(r->body, "API_KEY_INVALID") && !has(r->body, "invalid_api_key"))
            return false;
        *out = verdict_login("unauthorized");
        return true;
    case 413:
        if (o->error != REPLY_ERROR_RATE_LIMIT)
            return false;
        *out = verdict_next("rate_limited"); /* Groq: more than its tokens a minute */
        return true;
    case 429:
        if (o->error == REPLY_ERROR_BILLING)
            return false;
        *out = o->error == REPLY_ERROR_OVERLOADED ? limits_overloaded(r->head, now)
                                                  : openai_limited(r, o, now);
        return true;
    case 498: /* Groq: no capacity for the flexible tier */
    case 503:
        *out = limits_overloaded(r->head, now);
        return true;
    default:
        return false;
    }
}

/* ---- Z.AI ------------------------------------------------------------------------------------ */

/* "... Your limit will reset at 2025-10-03 08:23:14": the time of Beijing. ms from now. */
static bool beijing_wait(const struct reply_facts *r, struct slice text, int64_t now, int64_t *ms)
{
    static const struct slice lead = {"reset at ", 9};
    char time[32];
    int64_t at = 0;
    ptrdiff_t i = slice_search(text, lead);
    if (i < 0)
        return false;
    struct slice rest = slice_sub(text, (size_t)i + lead.n, text.n);
    if (rest.n < 19 || (rest.p[10] != ' ' && rest.p[10] != 'T'))
        return false;
    text_format(time, sizeof time, "%.10sT%.8sZ", rest.p, rest.p + 11);
    if (!text_rfc3339(slice_of(time), &at))
        return false;
    at += reply_skew(r->head, now) - BEIJING;
    *ms = at > now ? at - now : 0;
    return *ms <= MONTH;
}

static bool judge_zai_code(const struct reply_facts *r, const struct observation *o, int64_t now,
                           struct limit_verdict *out)
{
    uint64_t code = 0;
    int64_t wait = 0;
    if (!text_u64(slice_of(reply_words(o)->error_type), &code))
        return false;
    switch (code) {
    case 1302: /* too many at once, too often, too busy */
    case 1303:
    case 1305:
        *out = verdict_cool("rate_limited",
                            limits_retry_after(r->head, now, &wait) ? wait : NAMED_MS);
        return true;
    case 1304: /* the plan's windows: of calls a day, of five hours, of a week */
    case 1308:
    case 1310:
        *out = verdict_cool(
            "rate_limited",
            beijing_wait(r, slice_of(reply_words(o)->error_message), now, &wait) ? wait : HOUR);
        return true;
    case 1112: /* locked */
    case 1113: /* no balance */
    case 1309: /* the plan is over */
        *out = limits_spent(r->head, r->body, now);
        return true;
    case 1312:
        *out = limits_overloaded(r->head, now);
        return true;
    default:
        return false;
    }
}

static bool judge_zai(const struct reply_facts *r, const struct observation *o, int64_t now,
                      struct limit_verdict *out)
{
    uint64_t code = 0;
    return text_u64(slice_of(reply_words(o)->error_type), &code) ? judge_zai_code(r, o, now, out)
                                                                 : judge_openai(r, o, now, out);
}

/* ---- Google ---------------------------------------------------------------------------------- */

/* RetryInfo's delay; *day: a quota of a day is spent. */
static bool google_wait(struct slice body, bool *day, int64_t *ms)
{
    struct json *doc = NULL;
    bool told = false;
    *day = has(body, "PerDay");
    if (json_parse(body, &doc) != OK)
        return false;
    const struct json_val *root = json_root(doc);
    if (json_type(root) == JSON_ARRAY)
        root = json_at(root, 0);
    const struct json_val *details = json_get(json_get(root, "error"), "details");
    for (size_t i = 0; i < json_len(details) && i < 16 && !told; i++)
        told = duration_read(json_get_str(json_at(details, i), "retryDelay"), ms);
    json_free(doc);
    return told;
}

static struct limit_verdict google_limited(const struct reply_facts *r, int64_t now)
{
    int64_t wait = 0;
    bool day = false;
    bool told = google_wait(r->body, &day, &wait) || limits_retry_after(r->head, now, &wait);
    if (day)
        return verdict_cool("rate_limited", wait > HOUR ? wait : HOUR);
    if (told)
        return verdict_cool("rate_limited", wait);
    return names_limit(r) ? verdict_cool("rate_limited", NAMED_MS) : verdict_next("rate_limited");
}

static bool judge_google(const struct reply_facts *r, const struct observation *o, int64_t now,
                         struct limit_verdict *out)
{
    if (r->status == 400 && has(r->body, "API_KEY_INVALID"))
        *out = verdict_login("unauthorized");
    else if (r->status == 429 && o->error != REPLY_ERROR_BILLING)
        *out = google_limited(r, now);
    else if (r->status == 503)
        *out = limits_overloaded(r->head, now);
    else
        return false;
    return true;
}

/* ---- AWS ------------------------------------------------------------------------------------- */

/* "NAME", "NAME:http://...", "prefix#NAME", from the head or the body. */
static void aws_name(const struct reply_facts *r, char *out, size_t size)
{
    struct json *doc = NULL;
    struct slice name = limits_header(r->head, "x-amzn-errortype"), word = {"", 0};
    bool read = name.n == 0 && json_parse(r->body, &doc) == OK;
    if (read)
        name = json_get_str(json_root(doc), "__type");
    ptrdiff_t hash = slice_find(name, '#');
    if (hash >= 0)
        name = slice_sub(name, (size_t)hash + 1, name.n);
    (void)slice_cut(&name, ':', &word);
    text_copy(out, size, word);
    if (read)
        json_free(doc);
}

enum aws_class { AWS_LIMITED, AWS_BUSY, AWS_BROKEN, AWS_REFUSED };

static bool aws_class_of(const char *name, enum aws_class *out)
{
    static const struct {
        const char *name;
        enum aws_class class;
    } words[] = {
        {"ThrottlingException", AWS_LIMITED},           {"TooManyRequestsException", AWS_LIMITED},
        {"ServiceQuotaExceededException", AWS_LIMITED}, {"ModelNotReadyException", AWS_BUSY},
        {"ServiceUnavailableException", AWS_BUSY},      {"ModelErrorException", AWS_BROKEN},
        {"ModelStreamErrorException", AWS_BROKEN},      {"InternalServerException", AWS_BROKEN},
        {"ExpiredTokenException", AWS_REFUSED},         {"ExpiredToken", AWS_REFUSED},
        {"UnrecognizedClientException", AWS_REFUSED},   {"InvalidSignatureException", AWS_REFUSED},
        {"InvalidClientTokenId", AWS_REFUSED},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(name, words[i].name) == 0) {
            *out = words[i].class;
            return true;
        }
    }
    return false;
}

static bool judge_aws(const struct reply_facts *r, const struct observation *o, int64_t now,
                      struct limit_verdict *out)
{
    char name[64];
    enum aws_class class;
    int64_t wait = NAMED_MS;
    aws_name(r, name, sizeof name);
    if (!aws_class_of(name, &class)) {
        if (r->status != 424)
            return false;
        class = AWS_BROKEN;
    }
    switch (class) {
    case AWS_LIMITED: /* no time is ever told */
        if (has(slice_of(reply_words(o)->error_message), "per day"))
            wait = HOUR;
        else if (strcmp(name, "ServiceQuotaExceededException") == 0)
            wait = MINUTE;
        *out = verdict_cool("rate_limited", wait);
        return true;
    case AWS_BUSY:
        *out = limits_overloaded(r->head, now);
        return true;
    case AWS_BROKEN:
        *out = verdict_failure("server_error");
        return true;
    case AWS_REFUSED:
        *out = verdict_login("unauthorized");
        return true;
    }
    return false;
}

/* ---- all ------------------------------------------------------------------------------------- */

bool limits_told_of_style(const struct provider *p, const struct reply_facts *r,
                          const struct observation *o, int64_t now, struct limit_verdict *out)
{
    return p->limits == LIMITS_ZAI && judge_zai_code(r, o, now, out);
}

bool limits_of_style(const struct provider *p, const struct reply_facts *r,
                     const struct observation *o, int64_t now, struct limit_verdict *out)
{
    bool judged = false;
    assert(r->status >= 400);
    switch (p->limits) {
    case LIMITS_ANTHROPIC:
        break;
    case LIMITS_OPENAI:
    case LIMITS_MINIMAX:
        judged = judge_openai(r, o, now, out);
        break;
    case LIMITS_ZAI:
        judged = judge_zai(r, o, now, out);
        break;
    case LIMITS_GOOGLE:
        judged = judge_google(r, o, now, out);
        break;
    case LIMITS_AWS:
        judged = judge_aws(r, o, now, out);
        break;
    }
    /* A cloud's 403 is about what this account's role may do; another one's may do more. */
    if (!judged && r->status == 403 && p->cloud != NULL) {
        *out = verdict_next("forbidden");
        judged = true;
    }
    return judged;
}
