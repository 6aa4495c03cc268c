/* Prices: list price per token, as data with a date. Source: wire/pricing.md.
 *
 * Every column is stored, none derived: the cache multipliers differ between models. Prices are
 * whole nano-USD per token (1 USD per million tokens = 1000), so that sums are exact. */
#include "accounts/accounts.h"

#include <string.h>

#define PRICE_DATE  "2026-11-20"
#define SEARCH_NANO INT64_C(10000000)  /* 10 USD per 1,000 web searches */
#define COUNT_MAX   (INT64_C(1) << 40) /* larger counts are nonsense and would overflow */

struct rates {
    int64_t input, write_5m, write_1h, read, output;
};
struct price {
    const char *model;
    size_t n; /* of its bytes */
    struct rates rates;
    bool us;             /* inference_geo "us" costs a tenth more (Claude 4.6 and later) */
    int64_t above;       /* a longer prompt than this pays `second` for all of it; 0 = never */
    struct rates second; /* with above == 0: the fast mode's, if it has any */
};

#define GPT_LONG 272000
#define FABLE_5_1                       \
    {                                   \
        10000, 12500, 20000, 250, 50000 \
    }
#define FABLE_5                          \
    {                                    \
        10000, 12500, 20000, 1000, 50000 \
    }
#define OPUS_5                        \
    {                                 \
        5000, 6250, 10000, 500, 25000 \
    }
#define OPUS_FAST                        \
    {                                    \
        10000, 12500, 20000, 1000, 50000 \
    }
#define OPUS_4                           \
    {                                    \
        15000, 18750, 30000, 1500, 75000 \
    }
#define SONNET_4                     \
    {                                \
        3000, 3750, 6000, 300, 15000 \
    }

#define MODEL(name) .model = name, .n = sizeof name - 1

static const struct price rows[] = {
    {MODEL("claude-fable-5-2"), .rates = FABLE_5_1, .us = true},
    {MODEL("claude-mythos-5-2"), .rates = FABLE_5_1, .us = true},
    {MODEL("claude-fable-5-1"), .rates = FABLE_5_1, .us = true},
    {MODEL("claude-mythos-5-1"), .rates = FABLE_5_1, .us = true},
    {MODEL("claude-fable-5"), .rates = FABLE_5, .us = true},
    {MODEL("claude-mythos-5"), .rates = FABLE_5, .us = true},
    {MODEL("claude-opus-5-5"), .rates = {4000, 5000, 8000, 200, 20000}, .us = true,
     .second = {8000, 10000, 16000, 400, 40000}},
    {MODEL("claude-opus-5"), .rates = OPUS_5, .us = true, .second = OPUS_FAST},
    {MODEL("claude-opus-4-8"), .rates = OPUS_5, .us = true, .second = OPUS_FAST},
    {MODEL("claude-opus-4-7"), .rates = OPUS_5, .us = true},
    {MODEL("claude-opus-4-6"), .rates = OPUS_5, .us = true},
    {MODEL("claude-opus-4-5"), .rates = OPUS_5},
    {MODEL("claude-opus-4-1"), .rates = OPUS_4},
    {MODEL("claude-opus-4"), .rates = OPUS_4},
    {MODEL("claude-opus-4-0"), .rates = OPUS_4},
    {MODEL("claude-sonnet-5-5"), .rates = {2000, 2500, 4000, 100, 10000}, .us = true},
    {MODEL("claude-sonnet-5"), .rates = {2000, 2500, 4000, 200, 10000}, .us = true},
    {MODEL("claude-sonnet-4-6"), .rates = SONNET_4, .us = true},
    {MODEL("claude-sonnet-4-5"), .rates = SONNET_4},
    {MODEL("claude-sonnet-4"), .rates = SONNET_4},
    {MODEL("claude-sonnet-4-0"), .rates = SONNET_4},
    {MODEL("claude-haiku-5-5"), .rates = {100, 125, 200, 10, 500}, .us = true, .above = 100000,
     .second = {500, 625, 1000, 50, 2500}},
    {MODEL("claude-haiku-4-5"), .rates = {1000, 1250, 2000, 100, 5000}},
    {MODEL("claude-3-5-haiku"), .rates = {800, 1000, 1600, 80, 4000}},
    /* OpenAI: where a write to the cache has no price of its own it is input like any other. */
    {MODEL("gpt-6-astra"), .rates = {10000, 12500, 12500, 1000, 50000}, .above = GPT_LONG,
     .second = {20000, 25000, 25000, 2000, 75000}},
    {MODEL("gpt-6-sol"), .rates = {2000, 2500, 2500, 200, 10000}, .above = GPT_LONG,
     .second = {4000, 5000, 5000, 400, 15000}},
    {MODEL("gpt-6-luna"), .rates = {100, 125, 125, 10, 500}, .above = GPT_LONG,
     .second = {200, 250, 250, 20, 750}},
    {MODEL("gpt-5-6-sol"), .rates = {4000, 5000, 5000, 400, 20000}, .above = GPT_LONG,
     .second = {8000, 10000, 10000, 800, 30000}},
    {MODEL("gpt-5-6-terra"), .rates = {2000, 2000, 2000, 200, 12000}, .above = GPT_LONG,
     .second = {4000, 4000, 4000, 400, 18000}},
    {MODEL("gpt-5-6-luna"), .rates = {200, 200, 200, 20, 1200}, .above = GPT_LONG,
     .second = {400, 400, 400, 40, 1800}},
    {MODEL("gpt-5-5"), .rates = {5000, 5000, 5000, 500, 30000}},
    {MODEL("gpt-5-4"), .rates = {2500, 2500, 2500, 250, 15000}},
    {MODEL("gpt-5-4-mini"), .rates = {750, 750, 750, 75, 4500}},
};

static bool is_digits(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
    }
    return true;
}

/* What may follow a model's name without making another model of it: a date, "-latest", "[1m]", or
 * a deployment's "@..." and ":...". "claude-opus-4-9" is not a claude-opus-4: better no price than
 * a wrong one. */
static bool is_suffix(const char *s)
{
    size_t n = strlen(s);
    if (n == 0 || s[0] == '[' || s[0] == '@' || s[0] == ':')
        return true;
    if (strncmp(s, "-latest", 7) == 0)
        return is_suffix(s + 7);
    if (strncmp(s, "-v1", 3) == 0) /* Bedrock */
        return is_suffix(s + 3);
    if (n >= 11 && s[0] == '-' && is_digits(s + 1, 4) && s[5] == '-' && is_digits(s + 6, 2) &&
        s[8] == '-' && is_digits(s + 9, 2)) /* OpenAI */
        return is_suffix(s + 11);
    return n >= 9 && s[0] == '-' && is_digits(s + 1, 8) && is_suffix(s + 9);
}

#define PRICE_NAME_MAX 96

static const struct price *price_search(const char *model)
{
    char name[PRICE_NAME_MAX];
    struct slice given = slice_of(model);
    /* Of Bedrock's profiles only the global one costs the list price. */
    static const struct slice leads[] = {
        {"anthropic/", 10}, {"openai/", 7}, {"global.anthropic.", 17}, {"anthropic.", 10}};
    for (size_t i = 0; i < sizeof leads / sizeof leads[0]; i++) {
        if (slice_starts(given, leads[i])) {
            given = slice_sub(given, leads[i].n, given.n);
            break;
        }
    }
    text_copy(name, sizeof name, given);
    given.n = given.n < sizeof name ? given.n : sizeof name - 1;
    for (char *c = name; *c != '\0'; c++) { /* resellers write claude-opus-5.5 */
        if (*c == '.')
            *c = '-';
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct price *p = &rows[i];
        bool ends = p->n <= given.n && name[p->n - 1] == p->model[p->n - 1]; /* most differ here */
        if (ends && memcmp(name, p->model, p->n) == 0 && is_suffix(name + p->n))
            return p;
    }
    return NULL;
}

/* The models that were priced lately, by the lengths of their names, and their rows: there are few.
 * The loop's thread only. All empty is right: a model without a name has no price. */
static struct {
    char model[PRICE_NAME_MAX];
    const struct price *row;
} known[8];

static const struct price *price_find(const char *model)
{
    size_t n = strlen(model), at = n % (sizeof known / sizeof known[0]);
    if (n >= sizeof known[at].model)
        return price_search(model);
    if (memcmp(known[at].model, model, n + 1) != 0) {
        memcpy(known[at].model, model, n + 1);
        known[at].row = price_search(model);
    }
    return known[at].row;
}

/* Of a word in an array that has room for `literal`: a few bytes, which need no call. */
#define WORD_IS(array, literal) \
    (sizeof(array) >= sizeof "" literal && memcmp(array, literal, sizeof literal) == 0)

static int64_t bounded(int64_t count)
{
    return count < 0 ? 0 : count > COUNT_MAX ? COUNT_MAX : count;
}

static const struct rates *rates_for(const struct price *p, const struct usage *u)
{
    int64_t prompt = bounded(u->input) + bounded(u->cache_read) + bounded(u->cache_write_5m) +
                     bounded(u->cache_write_1h);
    if (p->above > 0)
        return prompt > p->above ? &p->second : &p->rates;
    bool fast = WORD_IS(u->speed, "fast") && p->second.input > 0;
    return fast ? &p->second : &p->rates;
}

int64_t price_nano_usd(const char *model, const struct usage *u, bool batch, const char **date)
{
    const struct price *p = price_find(model);
    *date = PRICE_DATE;
    if (p == NULL)
        return -1;
    const struct rates *r = rates_for(p, u);
    int64_t sum = bounded(u->input) * r->input + bounded(u->output) * r->output +
                  bounded(u->cache_read) * r->read + bounded(u->cache_write_5m) * r->write_5m +
                  bounded(u->cache_write_1h) * r->write_1h;
    if (batch || WORD_IS(u->service_tier, "batch") || WORD_IS(u->service_tier, "flex"))
        sum /= 2;
    if (p->us && WORD_IS(u->inference_geo, "us"))
        sum += sum / 10;
    int64_t searches = bounded(u->web_searches);
    sum += (searches < 1000000 ? searches : 1000000) * SEARCH_NANO;
    assert(sum >= 0);
    return sum;
}
