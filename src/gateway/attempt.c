/* One try at one account: the request goes out, and its reply's head says what becomes of it. */
#include "gateway/exchange.h"

#include <string.h>

/* ---- the reply's head ------------------------------------------------------------------------ */

static int64_t first_byte_ms(const struct exchange *x)
{
    const struct config *c = x->g->config;
    return x->sse_asked ? c->stream_first_byte_timeout : c->first_byte_timeout;
}

/* Calls whose replies are understood, and not only passed. */
static bool attempt_asked(const struct exchange *x)
{
    return x->route.kind == ROUTE_CHAT || x->route.kind == ROUTE_COUNT ||
           x->route.kind == ROUTE_TEXTS;
}

struct reply_form {
    bool known;
    enum framing framing;
};

/* How the reply's events are cut out of its bytes, by what its head says. */
static struct reply_form reply_form_of(const struct exchange *x, const struct http_head *head)
{
    const struct slice *type = http_find(head, "content-type");
    const struct slice *coding = http_find(head, "content-encoding");
    const struct provider_door *d = x->attempt.door->of;
    if (type == NULL || (coding != NULL && !slice_ieq(*coding, S("identity"))))
        return (struct reply_form){false, FRAMING_WHOLE};
    if (slice_istarts(*type, S("application/json"))) {
        bool array = x->sse_asked && d->stream == FRAMING_ARRAY;
        return (struct reply_form){true, array ? FRAMING_ARRAY : FRAMING_WHOLE};
    }
    bool stream = x->route.kind == ROUTE_CHAT;
    if (stream && slice_istarts(*type, S("text/event-stream")))
        return (struct reply_form){true, FRAMING_SSE};
    if (stream && slice_istarts(*type, S("application/vnd.amazon.eventstream")))
        return (struct reply_form){true, FRAMING_AWS};
    if (stream && slice_istarts(*type, S("application/x-ndjson")))
        return (struct reply_form){true, FRAMING_LINES};
    return (struct reply_form){false, FRAMING_WHOLE};
}

/* The same bytes can go to the client: it speaks the same dialect, and what it gets is either whole
 * or framed as it is. A reply that streams where none was asked for, or the reverse, is between
 * those two. */
static bool reply_passes(const struct exchange *x, enum framing in)
{
    const struct front *f = &x->route.front;
    if (!crossing_is_same(x))
        return false;
    bool plain = f->stream == x->attempt.door->of->stream || in == FRAMING_WHOLE;
    if (in == FRAMING_AWS || (!plain && in != f->stream))
        return false;
    return !(in == FRAMING_WHOLE && x->sse_asked && f->stream == FRAMING_AWS);
}

static void attempt_translate(struct exchange *x, enum framing in)
{
    struct attempt *a = &x->attempt;
    const struct front *f = &x->route.front;
    struct ask_facts facts;
    struct slice asked = slice_of(x->record.model_asked);
    if (asked.n == 0)
        asked = slice_of(x->plan->facts.model);
    codec_ask_facts(f->dialect, buf_slice(&x->body), &facts);
    const struct translate_plan plan = {.from = a->door->of->dialect,
                                        .to = f->dialect,
                                        .in = in,
                                        .out = x->sse_asked ? f->stream : FRAMING_WHOLE,
                                        .model = asked,
                                        .id = slice_of(x->record.id),
                                        .created = x->record.at / 1000,
                                        .thinking = facts.thinking,
                                        .include_usage = facts.include_usage,
                                        .names = x->crossing.names};
    a->translate = translate_new(&plan);
    buf_free(&x->reply); /* for one that is no stream */
    buf_init(&x->reply, TRANSLATED_MAX);
    a->sse = x->sse_asked;
}

/* Who looks at the reply. False: it is no answer at all. */
static bool attempt_watch(struct exchange *x, const struct http_head *head)
{
    struct attempt *a = &x->attempt;
    struct reply_form form = reply_form_of(x, head);
    enum dialect d = a->door->of->dialect;
    if (attempt_asked(x) && !form.known) {
        /* a 2xx that is neither JSON nor a stream is some proxy's page, not an answer */
        if (http_find(head, "content-encoding") == NULL || !reply_passes(x, FRAMING_WHOLE))
            return false;
    }
    if (!attempt_asked(x) || !form.known) {
        a->observer = observer_new(d, REPLY_OPAQUE);
    } else if (reply_passes(x, form.framing)) {
        a->sse = form.framing == FRAMING_SSE || form.framing == FRAMING_LINES;
        a->observer = observer_new(d, form.framing == FRAMING_SSE     ? REPLY_SSE
                                      : form.framing == FRAMING_LINES ? REPLY_LINES
                                                                      : REPLY_JSON);
    } else {
        attempt_translate(x, form.framing);
    }
    return true;
}

const struct observation *attempt_see(const struct exchange *x)
{
    const struct attempt *a = &x->attempt;
    if (a->translate != NULL)
        return translate_see(a->translate);
    return a->observer != NULL ? observer_see(a->observer) : NULL;
}

struct limit_verdict attempt_judged(const struct exchange *x, struct reply_facts *r)
{
    const struct attempt *a = &x->attempt;
    if (a->door != NULL)
        r->dialect = a->door->of->dialect;
    if (r->in_stream != REPLY_ERROR_NONE)
        r->seen = attempt_see(x);
    return limits_judge(a->account->provider, r, loop_wall(x->g->p.loop));
}

/* Replies that must be whole before anything of them goes out: errors (the verdict may be another
 * account), and those whose text the gateway changes or remembers. */
static bool reply_is_collected(const struct exchange *x, const struct http_head *head)
{
    if (head->status >= 300 || crossing_counts_coded(x))
        return true;
    const struct slice *type = http_find(head, "content-type");
    bool json = type != NULL && slice_istarts(*type, S("application/json"));
    enum http_method m = http_call_head(x->call)->method;
    if (x->route.kind == ROUTE_BATCHES || x->route.kind == ROUTE_JOBS)
        return json && m != HTTP_HEAD;
    bool makes = x->route.kind == ROUTE_FILES || x->route.kind == ROUTE_STATE;
    return makes && json && m == HTTP_POST;
}

/* Before the commit: learn from it, and on to the next account. `reason` NULL: as judged. */
static void attempt_failed(struct exchange *x, enum err e, const char *reason)
{
    struct reply_facts f = {.failure = e};
    struct limit_verdict v = attempt_judged(x, &f);
    exchange_next(x, &v, reason != NULL ? reason : v.reason, e);
}

static void attempt_on_sent(void *owner)
{
    struct exchange *x = owner;
    if (x->state == X_DIAL) {
        exchange_move(x, X_SEND);
        timer_set(&x->timer, loop_now(x->g->p.loop) + first_byte_ms(x));
    }
}

/* Each vendor has a name of its own for it. */
static void note_upstream_id(struct exchange *x, const struct http_head *head)
{
    const struct slice *id = http_find(head, "request-id");
    if (id == NULL)
        id = http_find(head, "x-request-id");
    if (id == NULL)
        id = http_find(head, "x-amzn-requestid");
    x->plan->upstream_id[0] = '\0';
    if (id != NULL)
        text_copy(x->plan->upstream_id, sizeof x->plan->upstream_id, *id);
}

static void attempt_on_head(void *owner, const struct http_head *head)
{
    struct exchange *x = owner;
    struct attempt *a = &x->attempt;
    assert(a->request != NULL && a->head == NULL);
    if (x->state == X_DIAL)
        exchange_move(x, X_SEND);
    exchange_move(x, X_REPLY);
    a->head = head;
    a->status = head->status;
    note_upstream_id(x, head);
    a->collect = reply_is_collected(x, head);
    if (a->collect) {
        /* silence is measured from here; for errors too: a body that does not come is no answer */
        timer_set(&x->timer, loop_now(x->g->p.loop) +
                                 (head->status >= 300 ? 5000 : x->g->config->silence_timeout));
        buf_clear(&x->reply);
        return;
    }
    if (!attempt_watch(x, head)) {
        attempt_failed(x, ERR_PROTOCOL, "not_an_answer");
        return;
    }
    exchange_move(x, X_RELAY);
    relay_begin(x);
}

/* ---- a collected reply ----------------------------------------------------------------------- */

/* What the head, and the body as far as it has come, say. */
static struct limit_verdict attempt_verdict(const struct exchange *x)
{
    const struct attempt *a = &x->attempt;
    struct reply_facts f = {.status = a->status, .head = a->head, .body = buf_slice(&x->reply)};
    return attempt_judged(x, &f);
}

/* The verdict is in and another account would not do better. */
static void attempt_settle(struct exchange *x, const struct limit_verdict *v)
{
    exchange_learn(x, v, REPLY_ERROR_NONE);
    exchange_note_attempt(x, v->reason);
}

/* The reply is whole: an error may be for another account to mend, a 2xx is served. */
static void attempt_judge(struct exchange *x)
{
    if (token_replays(x) || estimate_settles(x))
        return;
    struct limit_verdict v = attempt_verdict(x);
    if (v.verdict == VERDICT_NEXT) {
        exchange_next(x, &v, v.reason, OK);
        return;
    }
    if (repair_replays(x, &v))
        return;
    attempt_settle(x, &v);
    if (!repair_failed(x))
        relay_collected(x);
}

/* An error reply broke off. Its head says enough for the verdict; half of its text is worth none.
 */
static void attempt_broke_off(struct exchange *x)
{
    struct limit_verdict v = attempt_verdict(x);
    if (v.verdict == VERDICT_NEXT) {
        exchange_next(x, &v, v.reason, OK);
        return;
    }
    int status = x->attempt.status;
    attempt_settle(x, &v);
    attempt_drop(x);
    answer_error(x, status, "sluice: the provider refused this and broke off while saying why.", -1,
                 false, "client_error");
}

/* An error reply is longer than what is kept of one: its beginning decides. If it is the client's
 * it passes like any other body. */
static void attempt_spill(struct exchange *x, struct slice rest)
{
    struct limit_verdict v = attempt_verdict(x);
    if (v.verdict == VERDICT_NEXT || !crossing_is_alike(x)) {
        attempt_broke_off(x);
        return;
    }
    attempt_settle(x, &v);
    x->attempt.collect = false;
    x->attempt.observer = observer_new(x->attempt.door->of->dialect, REPLY_OPAQUE);
    exchange_move(x, X_RELAY);
    relay_begin(x);
    relay_bytes(x, buf_slice(&x->reply));
    if (x->state == X_RELAY)
        relay_bytes(x, rest);
    buf_free(&x->reply);
}

static void attempt_too_long(struct exchange *x)
{
    struct limit_verdict v = attempt_verdict(x);
    attempt_settle(x, &v);
    attempt_drop(x);
    answer_error(x, 502, "sluice: the reply is too long for its links to be rewritten.", -1, false,
                 "upstream_error");
}

static void attempt_collect(struct exchange *x, struct slice bytes)
{
    size_t max = x->attempt.status >= 300 ? ERROR_BODY_MAX : COLLECT_MAX;
    assert(x->state == X_REPLY && x->reply.len <= max);
    if (bytes.n <= max - x->reply.len && buf_append(&x->reply, bytes.p, bytes.n) == OK)
        return;
    if (x->attempt.status >= 300)
        attempt_spill(x, bytes);
    else
        attempt_too_long(x);
}

/* ---- what the connection tells --------------------------------------------------------------- */

static void attempt_on_body(void *owner, struct slice bytes)
{
    struct exchange *x = owner;
    if (x->attempt.collect)
        attempt_collect(x, bytes);
    else
        relay_bytes(x, bytes);
}

static void attempt_on_rest(void *owner)
{
    struct exchange *x = owner;
    if (x->state == X_RELAY)
        relay_rest(x);
}

static void attempt_on_end(void *owner)
{
    struct exchange *x = owner;
    x->attempt.request = NULL; /* its head lives until this callback returns */
    if (x->attempt.collect)
        attempt_judge(x);
    else
        relay_end(x);
}

void attempt_lost(struct exchange *x, enum err e)
{
    if (x->state == X_REPLY && x->attempt.collect && x->attempt.status >= 300)
        attempt_broke_off(x);
    else
        attempt_failed(x, e, NULL);
}

static void attempt_on_fail(void *owner, enum err e, const char *why)
{
    struct exchange *x = owner;
    x->attempt.request = NULL;
    log_warn("upstream failed", LF_STR("req", x->record.id),
             LF_STR("account", x->attempt.account->name), LF_STR("err", err_name(e)),
             LF_STR("why", why));
    if (x->state == X_RELAY && x->relay.committed) {
        relay_broken(x, e, why, "upstream_cut");
        return;
    }
    attempt_lost(x, e);
}

static const struct http_request_ops OPS = {.on_sent = attempt_on_sent,
                                            .on_head = attempt_on_head,
                                            .on_body = attempt_on_body,
                                            .on_rest = attempt_on_rest,
                                            .on_end = attempt_on_end,
                                            .on_fail = attempt_on_fail};

/* The state of connecting is passed over when a pooled connection is at hand. */
static void attempt_send(struct exchange *x, const struct http_header *h, int n)
{
    struct attempt *a = &x->attempt;
    enum http_method method = http_call_head(x->call)->method;
    int64_t now = loop_now(x->g->p.loop), at = now + first_byte_ms(x);
    a->generation = a->account->generation;
    a->request = http_request_start(x->g->p.client, &a->door->target, method,
                                    buf_slice(&x->plan->path), h, n, crossing_bytes(x), &OPS, x);
    bool connected = http_request_connected(a->request);
    exchange_move(x, connected ? X_SEND : X_DIAL);
    timer_set(&x->timer, connected ? at : at + 2 * x->g->config->connect_timeout);
}

/* Are there credentials in g->memory? Most lie ready with their accounts. */
static bool is_made_there(const struct gateway *g, const struct http_header *h, int n)
{
    const char *end = g->memory + sizeof g->memory;
    bool made = false;
    for (int i = 0; i < n; i++)
        made = made || (h[i].value.p >= g->memory && h[i].value.p < end);
    return made;
}

/* The credential is put in at the last moment: a signature is good for five minutes only. */
void attempt_go(struct exchange *x)
{
    struct gateway *g = x->g;
    struct http_header *h = g->header;
    const struct attempt *a = &x->attempt;
    struct slice method = slice_of(http_method_name(http_call_head(x->call)->method));
    int n = crossing_headers(x, a->account, a->door, h, g->beta), plain = n;
    enum err e = crossing_sign(a->account, a->door, method, buf_slice(&x->plan->path),
                               crossing_bytes(x), loop_wall(x->g->p.loop), h, &n, g->memory,
                               sizeof g->memory);
    bool made = e != OK || is_made_there(g, h + plain, n - plain);
    if (e == OK) {
        attempt_send(x, h, n);
    } else {
        struct limit_verdict v = {.verdict = VERDICT_NEXT, .reason = "no_credential"};
        exchange_next(x, &v, v.reason, e);
    }
    if (made)
        crypto_wipe(g->memory, sizeof g->memory);
}

/* What cannot be said in this account's dialect another's may say; that is no failure of his. */
static void attempt_unsaid(struct exchange *x, const char *why)
{
    x->plan->unsaid = why;
    log_info("cannot be translated", LF_STR("req", x->record.id),
             LF_STR("account", x->attempt.account->name), LF_STR("why", why));
    attempt_drop(x);
    exchange_admit(x);
}

void attempt_begin(struct exchange *x)
{
    const char *why = "";
    ref_watch_init(&x->attempt.watch);
    repair_ahead(x);
    switch (crossing_make(x, &why)) {
    case CROSSED:
        break;
    case CROSSED_ESTIMATE:
        attempt_drop(x);
        estimate_answer(x);
        return;
    case CROSSED_NOT:
        attempt_unsaid(x, why);
        return;
    case CROSSED_NOMEM:
        attempt_drop(x);
        answer_error(x, 503, "sluice: out of memory for this request; try again.", 5, true,
                     "overloaded");
        return;
    }
    if (token_is_stale(x, x->attempt.account))
        token_await(x, false);
    else
        attempt_go(x);
}

void attempt_start(struct exchange *x, struct account *a)
{
    assert(x->attempt.account == NULL);
    x->attempt = (struct attempt){.account = a, .started_at = loop_now(x->g->p.loop)};
    relay_free(&x->relay);
    relay_init(&x->relay);
    account_hold(a);
    attempt_begin(x);
}

void attempt_release(struct gateway *g, struct account *a)
{
    int64_t id = a->id;
    account_release(g->p.accounts, a); /* may be its end */
    a = list_empty(&g->line) ? NULL : accounts_by_id(g->p.accounts, id);
    if (a != NULL)
        line_look(g, a);
}

void attempt_drop(struct exchange *x)
{
    struct attempt *a = &x->attempt;
    if (x->plan != NULL)
        account_token_forget(&x->plan->wait);
    ref_watch_free(&a->watch);
    if (a->request != NULL)
        http_request_abort(a->request);
    observer_free(a->observer);
    translate_free(a->translate);
    retry_give(x);
    if (a->account != NULL)
        attempt_release(x->g, a->account);
    *a = (struct attempt){0};
}
