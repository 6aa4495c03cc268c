/* The book: exactly one record per exchange, and what is remembered beyond it, where the
 * conversation's prompt cache is. */
#include "gateway/exchange.h"

#include <string.h>

#define WARM_SHORT \
    (INT64_C(5) * 60 * 1000) /* so long the provider keeps a cache that is not used */
#define WARM_LONG (INT64_C(60) * 60 * 1000)

static struct record_attempt *last_attempt(struct record *r)
{
    assert(r->attempts > 0);
    return &r->attempt[r->attempts < STORE_ATTEMPTS ? r->attempts - 1 : STORE_ATTEMPTS - 1];
}

void exchange_note_attempt(struct exchange *x, const char *reason)
{
    struct record *r = &x->record;
    assert(x->attempt.account != NULL);
    if (x->attempt.noted)
        return;
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

static void book_usage(struct exchange *x)
{
    const struct observation *o = attempt_see(x);
    struct record *r = &x->record;
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
    const char *date = "", *model = o->model[0] != '\0' ? o->model : x->facts.model;
    r->cost_nano_usd = price_nano_usd(model, u, false, &date);
    text_copy(r->price_date, sizeof r->price_date, slice_of(date));
}

/* Clients ask small things on the side under the session's name; the long talk is still there. */
static int64_t context_of(const struct exchange *x)
{
    const struct record *r = &x->record;
    int64_t now = loop_wall(x->g->p.loop), before = 0;
    int64_t context = r->input + r->cache_read + r->cache_write_5m + r->cache_write_1h + r->output;
    if (!r->usage_known) /* four bytes are about a token */
        context = r->bytes_in / 4;
    if (accounts_warm_at(x->g->p.accounts, x->conversation, now, &before) != x->attempt.account)
        return context;
    return context < before / 4 ? before : context;
}

/* What was answered, wholly or in part, the provider has read, and keeps for a while. */
static void book_warm(struct exchange *x)
{
    const struct record *r = &x->record;
    bool hour = r->cache_write_1h > 0 || x->facts.cache_1h;
    if (x->route.kind != ROUTE_CHAT || x->conversation == 0 || !x->relay.committed ||
        x->attempt.status >= 300)
        return;
    accounts_warm(x->g->p.accounts, x->conversation, x->attempt.account,
                  hour ? WARM_LONG : WARM_SHORT, context_of(x), loop_wall(x->g->p.loop));
}

/* Totals in memory move at the same moment as the book. */
static void book_totals(struct exchange *x)
{
    struct gateway_stats *st = &x->g->stats;
    const struct record *r = &x->record;
    st->tokens.input += r->input;
    st->tokens.output += r->output;
    st->tokens.cache_read += r->cache_read;
    st->tokens.cache_write_5m += r->cache_write_5m;
    st->tokens.cache_write_1h += r->cache_write_1h;
    if (r->cost_nano_usd > 0)
        st->cost_nano_usd += r->cost_nano_usd;
}

void exchange_book(struct exchange *x, const char *end)
{
    if (x->counted)
        return;
    x->counted = true;
    struct record *r = &x->record;
    r->end = end;
    r->duration_ms = (int32_t)(loop_now(x->g->p.loop) - x->opened_at);
    r->cost_nano_usd = -1;
    if (attempt_see(x) != NULL) {
        book_usage(x);
        book_warm(x);
    }
    if (x->call != NULL)
        r->bytes_out = http_bytes_out(x->call);
    book_totals(x);
    store_record(x->g->p.store, r);
    log_info("request", LF_STR("req", r->id), LF_STR("key", r->key_name), LF_STR("route", r->route),
             LF_STR("model", r->model_asked), LF_INT("status", r->status), LF_STR("end", end),
             LF_STR("account", r->attempts > 0 ? last_attempt(r)->account : ""),
             LF_STR("group", r->group), LF_STR("why", r->why), LF_INT("attempts", r->attempts),
             LF_INT("ttfb_ms", r->ttfb_ms), LF_INT("dur_ms", r->duration_ms),
             LF_INT("in", r->input), LF_INT("out", r->output), LF_INT("cr", r->cache_read),
             LF_INT("cw5", r->cache_write_5m), LF_INT("cw1h", r->cache_write_1h));
}
