/* The exchange: one request from its head to its record. States, the one mover, and what the
 * client's connection tells. */
#include "gateway/exchange.h"

#include <string.h>

static const char *const STATE_NAME[X_STATES] = {"head",  "body",   "admit", "wait",
                                                 "token", "dial",   "send",  "reply",
                                                 "relay", "refuse", "flush", "done"};

#define RESERVE_MAX 1048576 /* bytes; longer bodies grow as they come */

#define TO(s)       (1u << (s))
#define TO_END      (TO(X_REFUSE) | TO(X_FLUSH) | TO(X_DONE))
/* Which moves are legal. Arrows back to WAIT and DIAL exist only from states before the commit
 * point: the table forbids late retries. */
static const unsigned LEGAL[X_STATES] = {
    [X_HEAD] = TO(X_BODY) | TO_END,
    [X_BODY] = TO(X_ADMIT) | TO_END,
    [X_ADMIT] = TO(X_WAIT) | TO(X_TOKEN) | TO(X_DIAL) | TO(X_SEND) | TO(X_REPLY) | TO_END,
    [X_WAIT] = TO(X_ADMIT) | TO_END,
    [X_TOKEN] = TO(X_DIAL) | TO(X_SEND) | TO(X_ADMIT) | TO_END,
    [X_DIAL] = TO(X_SEND) | TO(X_ADMIT) | TO_END,
    [X_SEND] = TO(X_REPLY) | TO(X_ADMIT) | TO_END,
    /* REPLY -> TOKEN, DIAL and SEND: the same account once more, with another token or body */
    [X_REPLY] = TO(X_RELAY) | TO(X_TOKEN) | TO(X_DIAL) | TO(X_SEND) | TO(X_ADMIT) | TO_END,
    /* RELAY -> ADMIT only while nothing is committed; exchange_next asserts it */
    [X_RELAY] = TO(X_ADMIT) | TO_END,
    [X_REFUSE] = TO(X_FLUSH) | TO(X_DONE),
    [X_FLUSH] = TO(X_DONE),
    [X_DONE] = 0,
};

static NOINLINE void move_say(const struct exchange *x, enum exchange_state to)
{
    log_debug("exchange", LF_STR("req", x->record.id), LF_STR("from", STATE_NAME[x->state]),
              LF_STR("to", STATE_NAME[to]));
}

static void move_count(const struct exchange *x, enum exchange_state to)
{
    struct gateway_stats *st = &x->g->stats;
    st->streams += (to == X_RELAY) - (x->state == X_RELAY);
    st->waiting += (to == X_WAIT) - (x->state == X_WAIT);
    assert(st->streams >= 0 && st->waiting >= 0);
}

void exchange_move(struct exchange *x, enum exchange_state to)
{
    const unsigned next = TO(to);
    assert((LEGAL[x->state] & next) != 0);
    assert(to != X_ADMIT || !x->relay.committed);
    if (((TO(x->state) | next) & (TO(X_RELAY) | TO(X_WAIT))) != 0)
        move_count(x, to);
    if (log_enabled(LOG_DEBUG))
        move_say(x, to);
    x->state = to;
    if ((next & (TO(X_WAIT) | TO(X_ADMIT))) == 0) /* who looks keeps its place until it finds one */
        line_leave(x);
    /* BODY and FLUSH are timed by the connection (body idle, write stall); every other state that
     * waits has this timer armed by the function that moved it there. */
    if ((next & (TO(X_BODY) | TO(X_REFUSE) | TO(X_FLUSH) | TO(X_DONE))) != 0)
        timer_stop(&x->timer);
}

/* ---- the deadline ---------------------------------------------------------------------------- */

static void exchange_timer(void *arg)
{
    struct exchange *x = arg;
    assert(x->call != NULL);
    switch (x->state) {
    case X_ADMIT:
        pin_unknown(x); /* a disk that hangs */
        break;
    case X_WAIT:
        exchange_look(x);
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

static const uint8_t *dice_throw(struct gateway *g)
{
    if (g->dice_n == 0) {
        crypto_random(g->dice, sizeof g->dice);
        g->dice_n = IDS_AHEAD;
    }
    assert(g->dice_n > 0 && g->dice_n <= IDS_AHEAD);
    return g->dice[--g->dice_n];
}

static void record_open(struct exchange *x, const struct http_head *head)
{
    struct draft *r = &x->record;
    const uint8_t *random = dice_throw(x->g);
    r->at = loop_wall(x->g->p.loop);
    r->ttfb_ms = -1;
    r->route = x->route.name;
    text_uuid7(r->id, r->at, random);
    static_assert(sizeof x->plan->dice <= ID_RANDOM, "they are enough for both");
    memcpy(&x->plan->dice, random, sizeof x->plan->dice);
    talk_open(x, head);
}

static void exchange_take_key(struct exchange *x, const struct key_row *key)
{
    static_assert(sizeof x->record.key_id == sizeof key->id &&
                      sizeof x->plan->key_name == sizeof key->name &&
                      sizeof x->group == sizeof key->group,
                  "copied whole: shorter than to look for their ends");
    memcpy(x->record.key_id, key->id, sizeof key->id);
    memcpy(x->plan->key_name, key->name, sizeof key->name);
    memcpy(x->group, key->group, sizeof key->group);
    model_of_key(x, key);
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
        [AUTH_SIGNED] = "sluice: this request is signed for AWS, and no gateway key can be in a "
                        "signature. Send "
                        "the key as a bearer token: AWS_BEARER_TOKEN_BEDROCK, or for Claude Code "
                        "CLAUDE_CODE_SKIP_BEDROCK_AUTH=1 with ANTHROPIC_AUTH_TOKEN.",
        [AUTH_IN_QUERY] =
            "sluice: a key in the query (?key=) ends up in logs and is not taken; send it as "
            "x-goog-api-key.",
        [AUTH_NOT_LOCAL] =
            "sluice: no gateway key is configured, so only programs on the gateway's own "
            "machine are served; make one with `sluice key add NAME`.",
    };
    struct key_row *key;
    enum auth_result a = auth_check(x->g->p.keys, head, http_call_peer(x->call), &key);
    if (a == AUTH_ANONYMOUS)
        return false;
    if (a == AUTH_OK) {
        exchange_take_key(x, key);
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

/* For the next ones. Not the gateway's, which they may outlive by a turn. One thread only. */
#define IDLE_MAX 64
static struct exchange *idle;
static int idle_n;

static struct exchange *exchange_new(struct gateway *g, struct http_call *call)
{
    struct exchange *x = idle;
    if (x != NULL) {
        idle = x->next_idle;
        idle_n--;
        memset(x, 0, sizeof *x);
    } else {
        x = NEW(struct exchange);
    }
    x->g = g;
    x->call = call;
    x->opened_at = loop_now(g->p.loop);
    list_init(&x->link);
    list_init(&x->line);
    list_push(&g->exchanges, &x->link);
    buf_init(&x->body, (size_t)g->config->max_body);
    buf_init(&x->reply, COLLECT_MAX);
    crossing_init(&x->crossing);
    plan_begin(x);
    x->plan->turn = g->stats.requests;
    timer_init(&x->timer, g->p.loop, exchange_timer, x);
    g->stats.active++;
    g->stats.requests++;
    return x;
}

static void *exchange_open(void *ctx, struct http_call *call, const struct http_head *head)
{
    struct exchange *x = exchange_new(ctx, call);
    x->route = route_find(head->method, head->path);
    route_settle(&x->route, head);
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
    if (!auth_host(x->g->config, head, http_call_peer(call))) {
        answer_error(x, 421, "sluice: this gateway does not go by that name (`hosts`).", -1, false,
                     "refused");
        return x;
    }
    if (exchange_refused(x, head))
        return x;
    if (x->route.kind == ROUTE_METHOD) {
        answer_error(x, 405, "sluice: this path does not take this method.", -1, false, "refused");
        return x;
    }
    if (shed_refuses(x))
        return x;
    exchange_move(x, X_BODY);
    http_call_read(call, true);
    return x;
}

/* Room for the whole body, as it is announced: it need not move while it comes. What is promised
 * and never sent takes no memory, only addresses: its pages are had when they are written. */
static enum err body_reserve(struct exchange *x)
{
    int64_t length = http_call_head(x->call)->content_length;
    if (x->body.cap > 0 || length <= 0)
        return OK;
    return buf_exact(&x->body, (size_t)(length < RESERVE_MAX ? length : RESERVE_MAX));
}

/* The bytes behind those that are here. */
static char *exchange_room(void *arg, size_t *n)
{
    struct exchange *x = arg;
    struct buf *b = &x->body;
    if (x->state != X_BODY || x->g->stats.buffered + (int64_t)*n > shed_body_room(x->g) ||
        body_reserve(x) != OK)
        return NULL;
    if (b->len == b->cap && buf_reserve(b, *n < b->cap ? *n : b->cap) != OK)
        return NULL;
    if (*n > b->cap - b->len)
        *n = b->cap - b->len;
    return *n > 0 ? b->p + b->len : NULL; /* a buffer has a byte more than it can hold */
}

static void exchange_body(void *arg, struct slice bytes)
{
    struct exchange *x = arg;
    struct gateway *g = x->g;
    if (x->state != X_BODY)
        return; /* refused, and the answer is still being written */
    if (g->stats.buffered + (int64_t)bytes.n > shed_body_room(g)) {
        answer_error(x, 503, "sluice: too many request bodies are being held; try again.", 5, true,
                     "overloaded");
        return;
    }
    bool in_place = x->body.cap > 0 && bytes.p == x->body.p + x->body.len;
    enum err e = in_place ? OK : body_reserve(x);
    if (in_place)
        x->body.len += bytes.n; /* see exchange_room */
    else if (e == OK)
        e = buf_append(&x->body, bytes.p, bytes.n);
    assert(x->body.len <= x->body.cap);
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
    if (codec_request_scan(x->route.front.dialect, buf_slice(&x->body), &x->plan->facts, &why) !=
        OK) {
        char text[256];
        text_format(text, sizeof text, "sluice: %s", why);
        answer_error(x, 400, text, -1, false, "refused");
        return false;
    }
    talk_settle(x);
    if (!model_settle(x))
        return false;
    x->stream_asked = x->plan->facts.stream;
    x->cache_1h = x->plan->facts.cache_1h;
    x->sse_asked = x->plan->facts.stream && x->route.kind == ROUTE_CHAT;
    return true;
}

void exchange_free(void *arg)
{
    struct exchange *x = arg;
    buf_free(&x->body);
    buf_free(&x->reply);
    crossing_free(&x->crossing);
    relay_free(&x->relay);
    if (idle_n == IDLE_MAX) {
        mem_free(x);
        return;
    }
    x->next_idle = idle;
    idle = x;
    idle_n++;
}

static void exchange_complete(void *arg)
{
    struct exchange *x = arg;
    if (x->state != X_BODY)
        return;
    switch (x->route.kind) {
    case ROUTE_CHAT:
    case ROUTE_COUNT:
    case ROUTE_TEXTS:
        if (exchange_scan(x))
            pin_find(x);
        break;
    case ROUTE_MODELS:
        models_start(x);
        break;
    case ROUTE_PROFILES:
        answer_profiles(x);
        break;
    case ROUTE_BATCHES:
    case ROUTE_FILES:
    case ROUTE_JOBS:
    case ROUTE_STATE:
        if (model_forced(x))
            pin_find(x);
        break;
    default:
        if (model_forced(x))
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
    exchange_book(x, x->g->draining != NULL && e == ERR_CANCELED ? "drained" : "client_gone");
    x->g->stats.client_gone++;
    x->call = NULL;
    exchange_done(x);
}

void exchange_forget_body(struct exchange *x)
{
    x->g->stats.buffered -= (int64_t)x->body.len;
    buf_free(&x->body);
    crossing_forget_body(x);
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
    plan_end(x);
    assert(x->g->stats.active >= 0 && x->g->stats.buffered >= 0);
    list_remove(&x->link);
    if (x->lookups > 0)
        list_push(&x->g->orphans, &x->link);
    else
        loop_bury(x->g->p.loop, x, exchange_free);
}

static const struct http_server_ops OPS;

const struct http_server_ops *gateway_server_ops(void)
{
    return &OPS;
}

static void server_error_body(void *ctx, int status, const char *why, struct slice target,
                              struct buf *out)
{
    (void)ctx;
    char text[160];
    struct slice path = S("");
    (void)slice_cut(&target, '?', &path);
    const struct front f = route_guess(path);
    text_format(text, sizeof text, "sluice: %s", why);
    if (front_error(&f, status, slice_of(text), S(""), out) != OK)
        buf_clear(out);
}

static const struct http_server_ops OPS = {
    .handler = {.open = exchange_open,
                .body = exchange_body,
                .room = exchange_room,
                .complete = exchange_complete,
                .written = exchange_written,
                .gone = exchange_gone},
    .coded_slash = ROUTE_CODED_SLASH,
    .error_body = server_error_body,
};
