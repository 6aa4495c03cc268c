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
    a->account_id = x->attempt.account->id;
    a->status = x->attempt.status;
    a->reason = reason;
    a->ms = (int32_t)(loop_now(x->g->p.loop) - x->attempt.started_at);
    static_assert(sizeof a->account == sizeof x->attempt.account->name, "copied whole");
    memcpy(a->account, x->attempt.account->name, sizeof a->account);
}

void exchange_amend_attempt(struct exchange *x, const char *reason)
{
    assert(x->attempt.noted);
    last_attempt(&x->record)->reason = reason;
}

static void book_usage(const struct exchange *x, struct record *r, struct record_texts *t)
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
    t->service_tier = slice_of(u->service_tier);
    t->stop_reason = slice_of(o->stop_reason);
    t->model_answered = slice_of(o->model);
    if (!u->known || x->route.kind != ROUTE_CHAT)
        return;
    const char *date = "", *model = o->model[0] != '\0' ? o->model : x->model;
    r->cost_nano_usd = price_nano_usd(model, u, false, &date);
    t->price_date = slice_of(date);
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

#define SESSION_DIGITS 16

/* What is known before the end. The texts stay where they are. */
static void book_open(const struct exchange *x, struct record *r, struct record_texts *t)
{
    const struct draft *d = &x->record;
    memset(r, 0, offsetof(struct record, id)); /* what lies behind is not looked at */
    r->at = d->at;
    r->route = d->route;
    r->end = "";
    r->stream = x->stream_asked;
    r->status = d->status;
    r->attempts = d->attempts;
    r->ttfb_ms = d->ttfb_ms;
    r->duration_ms = (int32_t)(loop_now(x->g->p.loop) - x->opened_at);
    r->bytes_in = d->bytes_in;
    r->cost_nano_usd = -1;
    size_t n = (size_t)(d->attempts < STORE_ATTEMPTS ? d->attempts : STORE_ATTEMPTS);
    memcpy(r->attempt, d->attempt, n * sizeof r->attempt[0]);
    *t = (struct record_texts){.id = {d->id, sizeof d->id - 1},
                               .key_id = slice_of(d->key_id),
                               .key_name = slice_of(d->key_name),
                               .model_asked = slice_of(d->model_asked),
                               .group = slice_of(d->group),
                               .why = slice_of(d->why),
                               .upstream_id = slice_of(d->upstream_id)};
    if (x->conversation != 0) {
        static_assert(sizeof r->session > SESSION_DIGITS, "the number fits");
        text_hex64(r->session, x->conversation);
        t->session = (struct slice){r->session, SESSION_DIGITS};
    }
    if (x->call == NULL)
        return;
    t->client = slice_of(http_call_peer(x->call)->text);
    r->bytes_out = http_bytes_out(x->call);
}

void exchange_book(struct exchange *x, const char *end)
{
    if (x->counted)
        return;
    x->counted = true;
    struct record whole FILLED_LATER, *r = &whole;
    struct record_texts t FILLED_LATER;
    book_open(x, r, &t);
    r->end = end;
    if (attempt_see(x) != NULL) {
        book_usage(x, r, &t);
        book_warm(x, r);
    }
    book_totals(x, r);
    store_record_with(x->g->p.store, r, &t);
    log_info("request", LF_SLICE("req", t.id), LF_SLICE("key", t.key_name),
             LF_STR("route", r->route), LF_SLICE("model", t.model_asked),
             LF_INT("status", r->status), LF_STR("end", end),
             LF_STR("account", r->attempts > 0 ? last_attempt(&x->record)->account : ""),
             LF_SLICE("group", t.group), LF_SLICE("why", t.why), LF_INT("attempts", r->attempts),
             LF_INT("ttfb_ms", r->ttfb_ms), LF_INT("dur_ms", r->duration_ms),
             LF_INT("in", r->input), LF_INT("out", r->output), LF_INT("cr", r->cache_read),
             LF_INT("cw5", r->cache_write_5m), LF_INT("cw1h", r->cache_write_1h));
}
