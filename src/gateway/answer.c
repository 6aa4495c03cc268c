/* What the gateway says itself: health, refusals, and that nobody could serve. */
#include "gateway/exchange.h"

#include <string.h>

/* Sends x->reply as the whole answer and ends the exchange, now or once it is flushed. */
void answer_send(struct exchange *x, int status, struct http_header *h, int n, const char *end)
{
    struct slice body = buf_slice(&x->reply);
    assert(!http_responded(x->call) && status >= 200);
    assert(x->attempt.request == NULL && x->fan == NULL); /* nobody may come back with a reply */
    x->record.status = status;
    x->record.ttfb_ms = (int32_t)(loop_now(x->g->p.loop) - x->opened_at);
    if (x->state != X_REFUSE)
        exchange_move(x, X_REFUSE);
    exchange_move(x, X_FLUSH);
    enum err e = http_respond(x->call, status, h, n, (int64_t)body.n, body);
    if (e != OK && e != ERR_AGAIN)
        return; /* `gone` follows, and books it */
    exchange_book(x, end);
    if (e == OK) {
        http_end(x->call);
        exchange_done(x);
    } /* else `written` follows */
}

void answer_error(struct exchange *x, int status, const char *message, int64_t retry_after,
                  bool may_retry, const char *end)
{
    const struct front *f = &x->route.front;
    struct http_header h[6];
    char allow[ROUTE_ALLOW_MAX], seconds[TEXT_U64_MAX];
    int n = 0;
    buf_clear(&x->reply);
    status = front_status(f, status);
    if (front_error(f, status, slice_of(message), slice_of(x->record.id), &x->reply) != OK)
        buf_clear(&x->reply);
    h[n++] = (struct http_header){S("content-type"), S("application/json")};
    h[n++] = (struct http_header){S("x-sluice-request-id"), slice_of(x->record.id)};
    if (retry_after >= 0) {
        size_t len = text_from_u64((uint64_t)retry_after, seconds);
        h[n++] = (struct http_header){S("retry-after"), {seconds, len}};
    }
    if (x->route.kind == ROUTE_METHOD && status == 405)
        h[n++] = (struct http_header){S("allow"), route_allow(&x->route, allow)};
    h[n] = front_error_header(f, status);
    n += h[n].name.n > 0;
    if (!may_retry)
        h[n++] = (struct http_header){S("x-should-retry"), S("false")};
    answer_send(x, status, h, n, end);
}

void answer_plain(struct exchange *x, int status, const char *type, struct slice body)
{
    struct http_header h[2] = {{S("content-type"), slice_of(type)},
                               {S("cache-control"), S("no-store")}};
    buf_clear(&x->reply);
    if (buf_puts(&x->reply, body) != OK)
        buf_clear(&x->reply);
    x->counted = true; /* probes are not booked */
    answer_send(x, status, h, 2, "complete");
}

/* Ready means: able to give a precise answer. All accounts exhausted is ready (robustness.md A4):
 * a 429 with a true retry-after beats a connection error at the balancer. */
static int ready_write(struct exchange *x, struct buf *out)
{
    struct gateway *g = x->g;
    const struct load *load = loop_load(g->p.loop);
    struct store_stats st;
    struct jw w;
    store_stats_get(g->p.store, &st);
    bool accounts = accounts_count(g->p.accounts) > 0;
    bool store_ok = st.last_error == OK;
    bool ok = accounts && g->draining == NULL;
    jw_init(&w, out);
    jw_obj(&w);
    jw_kcstr(&w, "status", ok ? "ready" : "not ready");
    jw_key(&w, "reasons");
    jw_arr(&w);
    if (g->draining != NULL)
        jw_cstr(&w, g->draining);
    if (!accounts)
        jw_cstr(&w, "no account is configured");
    if (!store_ok) /* a full disk costs records, not requests: said, but still ready */
        jw_cstr(&w, "the store cannot write");
    if (load->level >= LOAD_SHED) /* a refusal with a time is an answer, too */
        jw_cstr(&w, "overloaded");
    jw_end_arr(&w);
    jw_kcstr(&w, "load", load_name(load->level));
    jw_end_obj(&w);
    return ok && w.err == OK ? 200 : 503;
}

/* Claude Code looks for its models among these at its start, and goes on without. */
void answer_profiles(struct exchange *x)
{
    struct http_header h[2] = {{S("content-type"), S("application/json")},
                               {S("x-sluice-request-id"), slice_of(x->record.id)}};
    buf_clear(&x->reply);
    if (buf_puts(&x->reply, S("{\"inferenceProfileSummaries\":[]}")) != OK)
        buf_clear(&x->reply);
    x->g->stats.served++;
    answer_send(x, 200, h, 2, "complete");
}

void answer_health(struct exchange *x)
{
    struct buf b;
    buf_init(&b, 4096);
    int status = 200;
    if (x->route.kind == ROUTE_READYZ)
        status = ready_write(x, &b);
    else if (buf_puts(&b, x->route.kind == ROUTE_LIVEZ ? S("{\"status\":\"alive\"}")
                                                       : S("{\"name\":\"sluice\"}")) != OK)
        status = 503;
    answer_plain(x, status, "application/json", buf_slice(&b));
    buf_free(&b);
}
