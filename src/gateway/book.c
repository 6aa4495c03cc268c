/* The book: exactly one record per exchange, and what is remembered beyond it, where the
 * conversation's prompt cache is. */
#include "gateway/exchange.h"

#include <string.h>

#define WARM_SHORT \
    (INT64_C(5) * 60 * 1000) /* so long the provider keeps a cache that is not used */
#define WARM_LONG (INT64_C(60) * 60 * 1000)

static struct record_attempt *last_attempt(struct draft *r)
{
    assert(r->attempts > 0);
    return &r->attempt[r->attempts < STORE_ATTEMPTS ? r->attempts - 1 : STORE_ATTEMPTS - 1];
}

void exchange_note_attempt(struct exchange *x, const char *reason)
{
    struct draft *r = &x->record;
    assert(x->attempt.account != NULL);
    if (x->attempt.noted)
        return;
    assert(x->plan != NULL); /* there is no room for one more without it */
    x->attempt.noted = true;
    if (r->attempts >= STORE_ATTEMPTS)
        memmove(&r->attempt[0], &r->attempt[1], (STORE_ATTEMPTS - 1) * sizeof r->attempt[0]);
    r->attempts++;
    struct record_attempt *a = last_attempt(r);
    *a = (struct record_attempt){.account_id = x->attempt.account->id,
                                 .status = x->attempt.status,
                                 .reason = reason,
                                 .ms = (int32_t)(loop_now(x->g->p.loop) - x->attempt.started_at)};
    text_copy(a->account, sizeof a->account, slice_of(x->attempt.account->name));
}

void exchange_amend_attempt(struct exchange *x, const char *reason)
{
    assert(x->attempt.noted);
    last_attempt(&x->record)->reason = reason;
}

static void book_usage(const struct exchange *x, struct record *r)
{
    const struct observation *o = attempt_see(x);
    const struct usage *u = &o->usage;
    r->usage_known = u->known;
    r->input = u->input;
    r->output = u->output;
    r->cache_read = u->cache_read;
    r->cache_write_5m = u->cache_write_5m;
    r->cache_write_1h = u->cache_write_1h;
    r->thinking = u->thinking;
    r->web_searches = (int32_t)u->web_searches;
    r->web_fetches = (int32_t)u->web_fetches;
    text_copy(r->service_tier, sizeof r->service_tier, slice_of(u->service_tier));
    text_copy(r->stop_reason, sizeof r->stop_reason, slice_of(o->stop_reason));
    text_copy(r->model_answered, sizeof r->model_answered, slice_of(o->model));
    if (!u->known || x->route.kind != ROUTE_CHAT)
        return;
    const char *date = "", *model = o->model[0] != '\0' ? o->model : x->model;
    r->cost_nano_usd = price_nano_usd(model, u, false, &date);
    text_copy(r->price_date, sizeof r->price_date, slice_of(date));
}

static int64_t context_of(const struct record *r)
{
    if (!r->usage_known) /* four bytes are about a token */
        return r->bytes_in / 4;
    return r->input + r->cache_read + r->cache_write_5m + r->cache_write_1h + r->output;
}

/* What was answered, wholly or in part, the provider has read, and keeps for a while. */
static void book_warm(struct exchange *x, const struct record *r)
{
    bool hour = r->cache_write_1h > 0 || x->cache_1h;
    if (x->route.kind != ROUTE_CHAT || x->conversation == 0 || !x->relay.committed ||
        x->attempt.status >= 300)
        return;
    accounts_warm(x->g->p.accounts, x->conversation, x->attempt.account,
                  hour ? WARM_LONG : WARM_SHORT, context_of(r), loop_wall(x->g->p.loop));
}

/* Totals in memory move at the same moment as the book. */
static void book_totals(struct exchange *x, const struct record *r)
{
    struct gateway_stats *st = &x->g->stats;
    st->tokens.input += r->input;
    st->tokens.output += r->output;
    st->tokens.cache_read += r->cache_read;
    st->tokens.cache_write_5m += r->cache_write_5m;
    st->tokens.cache_write_1h += r->cache_write_1h;
    if (r->cost_nano_usd > 0)
        st->cost_nano_usd += r->cost_nano_usd;
}

/* 16 digits. */
static void session_print(struct record *r, uint64_t conversation)
{
    char *out = r->session;
    static_assert(sizeof r->session > 16, "the number fits");
    for (int i = 15; i >= 0; i--, conversation >>= 4)
        out[i] = "0123456789abcdef"[conversation & 15];
    out[16] = '\0';
}

/* What is known before the end. */
static void book_open(const struct exchange *x, struct record *r)
{
    const struct draft *d = &x->record;
    *r = (struct record){.at = d->at,
                         .route = d->route,
                         .end = "",
                         .stream = x->stream_asked,
                         .status = d->status,
                         .attempts = d->attempts,
                         .ttfb_ms = d->ttfb_ms,
                         .duration_ms = (int32_t)(loop_now(x->g->p.loop) - x->opened_at),
                         .bytes_in = d->bytes_in,
                         .cost_nano_usd = -1};
    size_t n = (size_t)(d->attempts < STORE_ATTEMPTS ? d->attempts : STORE_ATTEMPTS);
    memcpy(r->attempt, d->attempt, n * sizeof r->attempt[0]);
    text_copy(r->id, sizeof r->id, slice_of(d->id));
    text_copy(r->key_id, sizeof r->key_id, slice_of(d->key_id));
    text_copy(r->key_name, sizeof r->key_name, slice_of(d->key_name));
    text_copy(r->model_asked, sizeof r->model_asked, slice_of(d->model_asked));
    text_copy(r->group, sizeof r->group, slice_of(d->group));
    text_copy(r->why, sizeof r->why, slice_of(d->why));
    text_copy(r->upstream_id, sizeof r->upstream_id, slice_of(d->upstream_id));
    if (x->conversation != 0)
        session_print(r, x->conversation);
    if (x->call == NULL)
        return;
    text_copy(r->client, sizeof r->client, slice_of(http_call_peer(x->call)->text));
    r->bytes_out = http_bytes_out(x->call);
}

void exchange_book(struct exchange *x, const char *end)
{
    if (x->counted)
        return;
    x->counted = true;
    struct record whole FILLED_LATER, *r = &whole;
    book_open(x, r);
    r->end = end;
    if (attempt_see(x) != NULL) {
        book_usage(x, r);
        book_warm(x, r);
    }
    book_totals(x, r);
    store_record(x->g->p.store, r);
    log_info("request", LF_STR("req", r->id), LF_STR("key", r->key_name), LF_STR("route", r->route),
             LF_STR("model", r->model_asked), LF_INT("status", r->status), LF_STR("end", end),
             LF_STR("account", r->attempts > 0 ? last_attempt(&x->record)->account : ""),
             LF_STR("group", r->group), LF_STR("why", r->why), LF_INT("attempts", r->attempts),
             LF_INT("ttfb_ms", r->ttfb_ms), LF_INT("dur_ms", r->duration_ms),
             LF_INT("in", r->input), LF_INT("out", r->output), LF_INT("cr", r->cache_read),
             LF_INT("cw5", r->cache_write_5m), LF_INT("cw1h", r->cache_write_1h));
}
