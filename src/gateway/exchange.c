/* The exchange: one request from its head to its record. States, the one mover, the choice. */
#include "gateway/exchange.h"

#include <string.h>

static const char *const STATE_NAME[X_STATES] = {"head",  "body",   "admit", "wait",
                                                 "token", "dial",   "send",  "reply",
                                                 "relay", "refuse", "flush", "done"};

#define LOOKUP_MS   10000  /* for the store to say whose object it is */
#define RESERVE_MAX 262144 /* bytes; longer bodies grow as they come */

#define TO(s)       (1u << (s))
#define TO_END      (TO(X_REFUSE) | TO(X_FLUSH) | TO(X_DONE))
/* Which moves are legal. Arrows back to WAIT and DIAL exist only from states before the commit
 * point: the table forbids late retries. */
static const unsigned LEGAL[X_STATES] = {
    [X_HEAD] = TO(X_BODY) | TO_END,
    [X_BODY] = TO(X_ADMIT) | TO_END,
    [X_ADMIT] = TO(X_WAIT) | TO(X_TOKEN) | TO(X_DIAL) | TO(X_REPLY) | TO_END,
    [X_WAIT] = TO(X_ADMIT) | TO_END,
    [X_TOKEN] = TO(X_DIAL) | TO(X_ADMIT) | TO_END,
    [X_DIAL] = TO(X_SEND) | TO(X_ADMIT) | TO_END,
    [X_SEND] = TO(X_REPLY) | TO(X_ADMIT) | TO_END,
    [X_REPLY] = TO(X_RELAY) | TO(X_TOKEN) | TO(X_ADMIT) | TO_END,
    /* RELAY -> ADMIT only while nothing is committed; exchange_next asserts it */
    [X_RELAY] = TO(X_ADMIT) | TO_END,
    [X_REFUSE] = TO(X_FLUSH) | TO(X_DONE),
    [X_FLUSH] = TO(X_DONE),
    [X_DONE] = 0,
};

void exchange_move(struct exchange *x, enum exchange_state to)
{
    assert(LEGAL[x->state] & TO(to));
    assert(!(to == X_ADMIT && x->relay.committed));
    struct gateway_stats *st = &x->g->stats;
    st->streams += (to == X_RELAY) - (x->state == X_RELAY);
    st->waiting += (to == X_WAIT) - (x->state == X_WAIT);
    assert(st->streams >= 0 && st->waiting >= 0);
    log_debug("exchange", LF_STR("req", x->record.id), LF_STR("from", STATE_NAME[x->state]),
              LF_STR("to", STATE_NAME[to]));
    x->state = to;
    /* BODY and FLUSH are timed by the connection (body idle, write stall); every other state that
     * waits has this timer armed by the function that moved it there. */
    if (to == X_BODY || to == X_REFUSE || to == X_FLUSH || to == X_DONE)
        timer_stop(&x->timer);
}

/* ---- the book -------------------------------------------------------------------------------- */

void exchange_note_attempt(struct exchange *x, const char *reason)
{
    struct record *r = &x->record;
    assert(x->attempt.account != NULL);
    if (x->attempt.noted)
        return;
    x->attempt.noted = true;
    if (r->attempts >= STORE_ATTEMPTS)
        memmove(&r->attempt[0], &r->attempt[1], (STORE_ATTEMPTS - 1) * sizeof r->attempt[0]);
    int at = r->attempts < STORE_ATTEMPTS ? r->attempts : STORE_ATTEMPTS - 1;
    struct record_attempt *a = &r->attempt[at];
    *a = (struct record_attempt){.account_id = x->attempt.account->id,
                                 .status = x->attempt.status,
                                 .reason = reason,
                                 .ms = (int32_t)(loop_now(x->g->p.loop) - x->attempt.started_at)};
    text_copy(a->account, sizeof a->account, slice_of(x->attempt.account->name));
    r->attempts++;
}

static void book_usage(struct exchange *x)
{
    const struct observation *o = observer_see(x->attempt.observer);
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
    if (!u->known || x->route.kind != ROUTE_MESSAGES)
        return;
    const char *date = "", *model = o->model[0] != '\0' ? o->model : x->facts.model;
    r->cost_nano_usd = price_nano_usd(model, u, false, &date);
    text_copy(r->price_date, sizeof r->price_date, slice_of(date));
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
    if (x->attempt.observer != NULL)
        book_usage(x);
    if (x->call != NULL)
        r->bytes_out = http_bytes_out(x->call);
    book_totals(x);
    store_record(x->g->p.store, r);
    log_info(
        "request", LF_STR("req", r->id), LF_STR("key", r->key_name), LF_STR("route", r->route),
        LF_STR("model", r->model_asked), LF_INT("status", r->status), LF_STR("end", end),
        LF_STR("account",
               r->attempts > 0
                   ? r->attempt[r->attempts < STORE_ATTEMPTS ? r->attempts - 1 : STORE_ATTEMPTS - 1]
                         .account
                   : ""),
        LF_INT("attempts", r->attempts), LF_INT("ttfb_ms", r->ttfb_ms),
        LF_INT("dur_ms", r->duration_ms), LF_INT("in", r->input), LF_INT("out", r->output),
        LF_INT("cr", r->cache_read), LF_INT("cw5", r->cache_write_5m),
        LF_INT("cw1h", r->cache_write_1h));
}

/* ---- choosing -------------------------------------------------------------------------------- */

static bool exchange_may_try(const struct exchange *x)
{
    return x->record.attempts < x->g->config->max_attempts && x->tried_n < EXCHANGE_TRIED_MAX;
}

/* None is ready but one soon: stand in line until then. False when it is not worth it. */
static bool exchange_wait(struct exchange *x, const struct account_choice *c)
{
    struct loop *l = x->g->p.loop;
    if (c->soonest == 0 || !exchange_may_try(x))
        return false;
    if (x->wait_until == 0)
        x->wait_until = loop_now(l) + x->g->config->queue_timeout;
    int64_t in = c->soonest - loop_wall(l);
    int64_t at = loop_now(l) + (in > 0 ? in : 0) + 1;
    if (at > x->wait_until)
        return false;
    exchange_move(x, X_WAIT);
    x->tried_n = 0; /* who failed before the wait may do better after it */
    timer_set(&x->timer, at);
    return true;
}

static void exchange_choose(struct exchange *x, struct account_choice *c)
{
    struct account_wish w = {.model = x->facts.model,
                             .conversation = x->conversation,
                             .pinned = x->pinned,
                             .tried = x->tried,
                             .tried_n = x->tried_n};
    accounts_choose(x->g->p.accounts, &w, loop_wall(x->g->p.loop), c);
}

void exchange_admit(struct exchange *x)
{
    struct account_choice c;
    assert(x->attempt.account == NULL && x->fan == NULL);
    if (x->state != X_ADMIT)
        exchange_move(x, X_ADMIT);
    exchange_choose(x, &c);
    if (c.n > 0 && exchange_may_try(x)) {
        x->tried[x->tried_n++] = c.ready[0]->id;
        attempt_start(x, c.ready[0]);
    } else if (!exchange_wait(x, &c)) {
        exchange_fail(x);
    }
}

/* Batches and files are made once: a second account would make, and bill, a second one. */
static bool exchange_makes(const struct exchange *x)
{
    return (x->route.kind == ROUTE_BATCHES || x->route.kind == ROUTE_FILES) &&
           http_call_head(x->call)->method == HTTP_POST;
}

void exchange_learn(struct exchange *x, const struct limit_verdict *v)
{
    const struct attempt *a = &x->attempt;
    struct reply_facts r = {.status = a->status, .head = a->head, .model = x->facts.model};
    accounts_learn(x->g->p.accounts, a->account, v, &r, loop_wall(x->g->p.loop));
}

void exchange_next(struct exchange *x, const struct limit_verdict *v, const char *reason,
                   enum err failure)
{
    assert(!x->relay.committed);
    assert(x->attempt.account != NULL);
    exchange_learn(x, v);
    exchange_note_attempt(x, reason);
    log_info("attempt failed", LF_STR("req", x->record.id),
             LF_STR("account", x->attempt.account->name), LF_STR("reason", reason),
             LF_INT("status", x->attempt.status));
    x->last = *v;
    x->last.reason = reason;
    x->last_failure = failure;
    bool maybe_made = x->state != X_DIAL && x->state != X_TOKEN && failure != OK &&
                      exchange_makes(x);
    attempt_drop(x);
    if (maybe_made) {
        x->g->stats.failed++;
        answer_error(x, 502,
                     "sluice: the provider was lost after it had been asked to make this; it may "
                     "have done so, look before asking again.",
                     -1, false, "upstream_error");
        return;
    }
    x->g->stats.failovers++;
    exchange_admit(x);
}

/* Whole seconds, upwards, at least 1. */
static int64_t seconds_until(const struct exchange *x, int64_t wall_ms)
{
    int64_t ms = wall_ms - loop_wall(x->g->p.loop);
    return ms <= 0 ? 1 : (ms + 999) / 1000;
}

static void fail_cooling(struct exchange *x, const struct account_choice *c)
{
    char text[256];
    int64_t wait = seconds_until(x, c->soonest);
    bool busy = c->cooling_for == REPLY_ERROR_OVERLOADED || c->cooling_for == REPLY_ERROR_SERVER;
    text_format(text, sizeof text,
                "sluice: %s; the first of %d account%s can serve again in %" PRId64 " s.",
                busy ? "the provider is overloaded or failing" : "every account is rate limited",
                c->considered, c->considered == 1 ? "" : "s", wait);
    /* Claude Code waits up to 60 s and gives up at once beyond; the SDKs would sleep for all of it
     * (clients.md, fact 5) */
    answer_error(x, busy ? 529 : 429, text, wait, wait <= 60, busy ? "overloaded" : "rate_limited");
}

/* The last attempt's failure, in the words of the field. */
static void fail_last(struct exchange *x)
{
    char text[256];
    const char *why = x->last.reason;
    text_format(text, sizeof text, "sluice: no account could serve this request (last: %s).", why);
    if (strcmp(why, "overloaded") == 0)
        answer_error(x, 529, text, 5, true, "overloaded");
    else if (strcmp(why, "rate_limited") == 0 || strcmp(why, "throttled") == 0)
        answer_error(x, 429, text, 5, true, "rate_limited");
    else if (x->last_failure == ERR_TIMEOUT)
        answer_error(x, 504, text, -1, true, "timeout");
    else if (x->last_failure == ERR_BUSY || x->last_failure == ERR_NOMEM)
        answer_error(x, 503, "sluice: out of a resource this request needs; try again.", 5, true,
                     "overloaded");
    else if (x->last.login_needed)
        answer_error(x, 503, text, -1, false, "no_account");
    else
        answer_error(x, 502, text, -1, true, "upstream_error");
}

void exchange_fail(struct exchange *x)
{
    struct account_choice c;
    x->tried_n = 0; /* to see when the first one comes back, whoever it is */
    exchange_choose(x, &c);
    x->g->stats.failed++;
    if (c.considered == 0 && x->pinned == 0)
        answer_error(x, 503, "sluice: no account is configured; add one with `sluice account add`.",
                     -1, false, "no_account");
    else if (c.n == 0 && c.soonest != 0)
        fail_cooling(x, &c);
    else if (x->record.attempts > 0)
        fail_last(x);
    else if (x->pinned != 0)
        answer_error(x, 503,
                     c.considered == 0
                         ? "sluice: the account that holds this object was removed."
                         : "sluice: the account that holds this object cannot serve now; see "
                           "`sluice account list`.",
                     -1, false, "no_account");
    else
        answer_error(x, 503,
                     "sluice: every account is paused or needs attention; see "
                     "`sluice account list`.",
                     -1, false, "no_account");
}

static void exchange_owner_unknown(struct exchange *x)
{
    answer_error(x, 503, "sluice: which account holds this object cannot be told now; try again.",
                 5, true, "gateway_error");
}

/* ---- the deadline ---------------------------------------------------------------------------- */

static void exchange_timer(void *arg)
{
    struct exchange *x = arg;
    assert(x->call != NULL);
    switch (x->state) {
    case X_ADMIT:
        exchange_owner_unknown(x); /* a disk that hangs */
        break;
    case X_WAIT:
        exchange_admit(x);
        break;
    case X_TOKEN:
        token_timeout(x);
        break;
    case X_DIAL: /* the client's own connect deadline is shorter; this is the net below it */
    case X_SEND:
    case X_REPLY:
        if (x->fan != NULL)
            models_finish(x);
        else
            attempt_lost(x, ERR_TIMEOUT);
        break;
    case X_RELAY:
        relay_tick(x);
        break;
    default:
        assert(!"a deadline in a state that has none");
    }
}

/* ---- what the connection tells --------------------------------------------------------------- */

/* FNV-1a. Not keyed: another node, and this one after a restart, must send a conversation to the
 * same account, where its prompt cache is. */
static uint64_t text_hash(struct slice s)
{
    uint64_t h = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (uint8_t)s.p[i]) * 0x100000001b3ULL;
    return h;
}

static void record_open(struct exchange *x, const struct http_head *head)
{
    struct record *r = &x->record;
    uint8_t random[10];
    r->at = loop_wall(x->g->p.loop);
    r->ttfb_ms = -1;
    r->cost_nano_usd = -1;
    r->route = x->route.name;
    r->end = "";
    crypto_random(random, sizeof random);
    text_uuid7(r->id, r->at, random);
    text_copy(r->client, sizeof r->client, slice_of(http_call_peer(x->call)->text));
    const struct slice *session = http_find(head, "x-claude-code-session-id");
    if (session != NULL && session->n > 0) {
        /* a subagent is a conversation of its own */
        const struct slice *agent = http_find(head, "x-claude-code-agent-id");
        x->conversation = text_hash(*session) ^ (agent ? text_hash(*agent) * 31 : 0);
    }
}

/* Says no to a request without a good key; true when it did. */
static bool exchange_refused(struct exchange *x, const struct http_head *head)
{
    static const char *const TEXT[] = {
        [AUTH_MISSING] =
            "sluice: a gateway key is required, as x-api-key or as a bearer token; ask "
            "whoever runs this gateway for one (`sluice key add NAME`).",
        [AUTH_WRONG] = "sluice: this gateway key is not known or was revoked.",
        [AUTH_VENDOR_TOKEN] = "sluice: this is a provider's own credential, which this gateway "
                              "neither needs nor keeps. "
                              "Set ANTHROPIC_AUTH_TOKEN to a gateway key (`sluice key add NAME`).",
        [AUTH_NOT_LOCAL] =
            "sluice: no gateway key is configured, so only programs on the gateway's own "
            "machine are served; make one with `sluice key add NAME`.",
    };
    struct key_row *key;
    enum auth_result a = auth_check(x->g->p.keys, head, http_call_peer(x->call), &key);
    if (a == AUTH_ANONYMOUS)
        return false;
    if (a == AUTH_OK) {
        text_copy(x->record.key_id, sizeof x->record.key_id, slice_of(key->id));
        text_copy(x->record.key_name, sizeof x->record.key_name, slice_of(key->name));
        int64_t now = x->record.at;
        if (now - key->last_used_at >= 60000) {
            key->last_used_at = now;
            store_key_used(x->g->p.store, key->id, now);
        }
        return false;
    }
    x->counted = true; /* a stranger writes nothing into the book */
    x->g->stats.refused++;
    if (strikes_allow(&x->g->strikes, http_call_peer(x->call), loop_now(x->g->p.loop)))
        answer_error(x, 401, TEXT[a], -1, false, "refused");
    else
        answer_error(x, 429, "sluice: too many requests without a good key from this address.", 60,
                     false, "refused");
    return true;
}

static struct exchange *exchange_new(struct gateway *g, struct http_call *call)
{
    struct exchange *x = NEW(struct exchange);
    x->g = g;
    x->call = call;
    x->opened_at = loop_now(g->p.loop);
    x->facts.max_tokens = -1;
    list_init(&x->link);
    list_push(&g->exchanges, &x->link);
    buf_init(&x->body, (size_t)g->config->max_body);
    buf_init(&x->reply, COLLECT_MAX);
    relay_init(&x->relay);
    timer_init(&x->timer, g->p.loop, exchange_timer, x);
    g->stats.active++;
    g->stats.requests++;
    return x;
}

static void *exchange_open(void *ctx, struct http_call *call, const struct http_head *head)
{
    struct exchange *x = exchange_new(ctx, call);
    x->route = route_find(head->method, head->path);
    record_open(x, head);
    switch (x->route.kind) {
    case ROUTE_HELLO:
    case ROUTE_LIVEZ:
    case ROUTE_READYZ:
        answer_health(x);
        return x;
    case ROUTE_UNKNOWN:
        x->counted = true;
        answer_error(x, 404, "sluice: this path is not served here.", -1, false, "refused");
        return x;
    default:
        break;
    }
    if (exchange_refused(x, head))
        return x;
    if (x->route.kind == ROUTE_METHOD) {
        answer_error(x, 405, "sluice: this path does not take this method.", -1, false, "refused");
        return x;
    }
    exchange_move(x, X_BODY);
    http_call_read(call, true);
    return x;
}

static void exchange_body(void *arg, struct slice bytes)
{
    struct exchange *x = arg;
    struct gateway *g = x->g;
    if (x->state != X_BODY)
        return; /* refused, and the answer is still being written */
    if (g->stats.buffered + (int64_t)bytes.n > g->config->max_buffered) {
        answer_error(x, 503, "sluice: too many request bodies are being held; try again.", 5, true,
                     "overloaded");
        return;
    }
    int64_t length = http_call_head(x->call)->content_length;
    enum err e = OK;
    if (x->body.cap == 0 && length > 0) /* what is only promised takes no more memory than this */
        e = buf_reserve(&x->body, (size_t)(length < RESERVE_MAX ? length : RESERVE_MAX));
    if (e == OK)
        e = buf_append(&x->body, bytes.p, bytes.n);
    if (e != OK) {
        bool big = e == ERR_LIMIT;
        answer_error(x, big ? 413 : 503,
                     big ? "sluice: the request body is larger than this gateway takes."
                         : "sluice: out of memory for this request; try again.",
                     big ? -1 : 5, !big, big ? "refused" : "overloaded");
        return;
    }
    g->stats.buffered += (int64_t)bytes.n;
    x->record.bytes_in += (int64_t)bytes.n;
}

/* False when the body is not what it must be; then the answer is on its way. */
static bool exchange_scan(struct exchange *x)
{
    const char *why = NULL;
    if (codec_request_scan(DIALECT_ANTHROPIC, buf_slice(&x->body), &x->facts, &why) != OK) {
        char text[256];
        text_format(text, sizeof text, "sluice: %s", why);
        answer_error(x, 400, text, -1, false, "refused");
        return false;
    }
    if (x->conversation == 0)
        x->conversation = x->facts.conversation;
    x->record.stream = x->facts.stream;
    x->sse_asked = x->facts.stream && x->route.kind == ROUTE_MESSAGES;
    text_copy(x->record.model_asked, sizeof x->record.model_asked, slice_of(x->facts.model));
    if (x->conversation != 0)
        text_format(x->record.session, sizeof x->record.session, "%016" PRIx64, x->conversation);
    return true;
}

void exchange_free(void *arg)
{
    struct exchange *x = arg;
    buf_free(&x->body);
    buf_free(&x->reply);
    relay_free(&x->relay);
    mem_free(x);
}

static void exchange_owner_known(void *arg, enum err e, int64_t account_id)
{
    struct exchange *x = arg;
    assert(x->lookup);
    x->lookup = false;
    if (x->state == X_DONE) {
        list_remove(&x->link);
        exchange_free(x);
        return;
    }
    if (x->state != X_ADMIT)
        return; /* it took too long: the client is being told so */
    if (e != OK && e != ERR_NOTFOUND) {
        exchange_owner_unknown(x); /* any other account could only say "not found" */
        return;
    }
    x->pinned = account_id; /* 0 when nobody made it here */
    exchange_admit(x);
}

static void exchange_complete(void *arg)
{
    struct exchange *x = arg;
    if (x->state != X_BODY)
        return;
    switch (x->route.kind) {
    case ROUTE_MESSAGES:
    case ROUTE_COUNT:
        if (exchange_scan(x))
            exchange_admit(x);
        break;
    case ROUTE_MODELS:
        models_start(x);
        break;
    case ROUTE_BATCHES:
    case ROUTE_FILES:
        if (x->route.object.n > 0 && x->route.object.n < STORE_OBJECT_MAX) {
            exchange_move(x, X_ADMIT);
            timer_set(&x->timer, loop_now(x->g->p.loop) + LOOKUP_MS);
            x->lookup = true;
            store_object_get(x->g->p.store, x->route.object, exchange_owner_known, x);
            break;
        }
        exchange_admit(x);
        break;
    default:
        exchange_admit(x);
    }
}

static void exchange_written(void *arg)
{
    struct exchange *x = arg;
    if (x->state == X_FLUSH) {
        http_end(x->call);
        exchange_done(x);
    } else {
        relay_written(x);
    }
}

static void exchange_gone(void *arg, enum err e, const char *why)
{
    struct exchange *x = arg;
    log_debug("client gone", LF_STR("req", x->record.id), LF_STR("why", why),
              LF_STR("err", err_name(e)));
    if (x->attempt.account != NULL)
        exchange_note_attempt(x, "client_gone");
    exchange_book(x, x->g->draining && e == ERR_CANCELED ? "drained" : "client_gone");
    x->g->stats.client_gone++;
    x->call = NULL;
    exchange_done(x);
}

void exchange_forget_body(struct exchange *x)
{
    x->g->stats.buffered -= (int64_t)x->body.len;
    buf_free(&x->body);
}

void exchange_done(struct exchange *x)
{
    exchange_move(x, X_DONE);
    assert(x->counted);
    models_drop(x);
    attempt_drop(x);
    x->call = NULL;
    x->g->stats.active--;
    exchange_forget_body(x);
    assert(x->g->stats.active >= 0 && x->g->stats.buffered >= 0);
    list_remove(&x->link);
    if (x->lookup)
        list_push(&x->g->orphans, &x->link);
    else
        loop_bury(x->g->p.loop, x, exchange_free);
}

static const struct http_server_ops OPS;

const struct http_server_ops *gateway_server_ops(void)
{
    return &OPS;
}

static void server_error_body(void *ctx, int status, const char *why, struct buf *out)
{
    (void)ctx;
    char text[160];
    text_format(text, sizeof text, "sluice: %s", why);
    if (codec_error_body(DIALECT_ANTHROPIC, status, slice_of(text), S(""), out) != OK)
        buf_clear(out);
}

static const struct http_server_ops OPS = {
    .handler = {.open = exchange_open,
                .body = exchange_body,
                .complete = exchange_complete,
                .written = exchange_written,
                .gone = exchange_gone},
    .error_body = server_error_body,
};
