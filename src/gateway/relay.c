/* The river: a reply's body on its way to the client.
 *
 *    upstream --bytes--> observer --whole events--> [held] --commit--> [out] --flush--> client
 *                     '-> translate -----^                     '-> [next] while out is in flight
 *
 * The same bytes go out that came in, or, where the client speaks otherwise, what they mean in its
 * words; what follows holds for both. A translated reply that is no stream is made at its end. An
 * SSE reply is passed on event by event: half an event waits in `held` for its other half, so that
 * whatever the gateway itself must say (a ping, an error) can always stand between two events.
 * Before the commit `held` also keeps the opening without content, so that another account may
 * still be tried. What one read of the upstream brings is gathered in `out` and goes out at its
 * end, together with the head or the last chunk if they are due: so a read makes one write, and no
 * event waits for a later turn. `out` must stay as it is while a write is outstanding; past
 * NEXT_HIGH bytes in `next` the upstream stops being read, and the silence deadline rests. */
#include "gateway/exchange.h"

#include <string.h>

#define TOLD_MS   5000 /* for the end of a reply whose last event has come */
#define HELD_MAX  (RELAY_HIGH * 4)
#define JSON_HELD ((size_t)8192)      /* of a body that may be an error: longer ones are answers */
#define MADE_KEEP 4096                /* of its memory, while nothing comes */
#define MADE_MAX  ((size_t)128 << 20) /* of one translated event: codec bounds what comes in */
#define NEXT_HIGH (RELAY_HIGH / 4)    /* and what one read may bring besides */

void relay_init(struct relay *r)
{
    *r = (struct relay){0};
    buf_init(&r->made, MADE_MAX);
    buf_init(&r->held, HELD_MAX);
    buf_init(&r->out, RELAY_MAX);
    buf_init(&r->next, RELAY_MAX);
}

void relay_free(struct relay *r)
{
    buf_free(&r->made);
    buf_free(&r->held);
    buf_free(&r->out);
    buf_free(&r->next);
}

/* ---- the head to the client ------------------------------------------------------------------ */

/* What is between the provider and the gateway only. `limits`: so are those of the account, which
 * is shared: they would be read as the client's own (clients.md). */
static bool is_kept_from_client(struct slice name, bool limits)
{
    switch (name.n > 0 ? name.p[0] : '\0') { /* most names are decided by their first letter */
    case 'a':
        /* Which web pages may read an answer is not the provider's to say: it would let any page
         * spend a key, or use a gateway that has none (robustness.md B8). */
        return slice_eq(name, S("alt-svc")) || slice_starts(name, S("access-control-")) ||
               (limits && (slice_starts(name, S("anthropic-ratelimit-")) ||
                           slice_starts(name, S("anthropic-priority-")) ||
                           slice_starts(name, S("anthropic-fast-"))));
    case 'n':
        return slice_eq(name, S("nel"));
    case 'o':
        return limits &&
               (slice_eq(name, S("openai-organization")) || slice_eq(name, S("openai-project")));
    case 'r':
        return slice_eq(name, S("report-to"));
    case 's':
        return slice_eq(name, S("set-cookie")) || slice_eq(name, S("server-timing")) ||
               slice_eq(name, S("strict-transport-security"));
    case 'x':
        return slice_starts(name, S("x-sluice-")) ||
               (limits && slice_starts(name, S("x-ratelimit-")));
    default:
        return false;
    }
}

/* What stays true of an answer whose text has become another one. */
static bool is_about_retries(struct slice name)
{
    return slice_eq(name, S("retry-after")) || slice_eq(name, S("retry-after-ms")) ||
           slice_eq(name, S("x-should-retry"));
}

/* The upstream's head as far as it is for the client; `anew`: the body has been written anew. */
static int relay_headers(const struct exchange *x, bool anew, struct slice type,
                         struct http_header out[HTTP_HEADERS_MAX])
{
    const struct http_head *in = x->attempt.head;
    bool limits = !x->g->config->pass_ratelimit_headers;
    int n = 0;
    for (int i = 0; i < in->headers && n < HTTP_HEADERS_MAX - 4; i++) {
        struct slice name = in->header[i].name;
        if (!http_is_hop_header(name) && !is_kept_from_client(name, limits) &&
            !http_connection_lists(in, name) && (!anew || is_about_retries(name)))
            out[n++] = in->header[i];
    }
    if (anew)
        out[n++] = (struct http_header){S("content-type"), type};
    out[n++] = (struct http_header){S("x-sluice-request-id"),
                                    {x->record.id, sizeof x->record.id - 1}};
    if (x->attempt.sse) /* a proxy in front must not gather events (robustness.md A4) */
        out[n++] = (struct http_header){S("x-accel-buffering"), S("no")};
    return n;
}

static void relay_note_served(struct exchange *x)
{
    struct reply_facts f = {.status = x->attempt.status, .head = x->attempt.head};
    struct limit_verdict v = attempt_judged(x, &f);
    if (x->attempt.noted)
        return;
    repair_learn(x);
    exchange_learn(x, &v, REPLY_ERROR_NONE);
    exchange_note_attempt(x, v.reason);
}

/* The memory that the gateway keeps for whoever begins to hold or to gather. */
static void relay_fill(struct exchange *x, struct buf *b)
{
    struct buf *spare = &x->g->spare;
    if (b->cap > 0 || spare->cap == 0 || spare->cap > b->max)
        return;
    uint32_t max = b->max;
    *b = *spare;
    b->max = max;
    buf_init(spare, RELAY_MAX);
}

/* Empties a buffer whose bytes are gone; the gateway keeps one for the next relay that gathers. */
static void relay_clear(struct exchange *x, struct buf *b)
{
    struct buf *spare = &x->g->spare;
    if (spare->cap == 0 && b->cap > 0 && b->cap <= RELAY_HIGH * 2) {
        uint32_t max = b->max;
        *spare = *b;
        spare->max = RELAY_MAX;
        buf_clear(spare);
        buf_init(b, max);
    } else {
        buf_free(b);
    }
}

static enum err relay_respond(struct exchange *x)
{
    struct http_header h[HTTP_HEADERS_MAX] FILLED_LATER;
    bool anew = x->attempt.translate != NULL;
    int n = relay_headers(x, anew, front_stream_type(&x->route.front), h);
    int64_t length = x->attempt.sse || anew ? -1 : x->attempt.head->content_length;
    x->relay.head_due = false;
    return http_respond(x->call, x->attempt.status, h, n, length, buf_slice(&x->relay.out));
}

/* Writes what is gathered. ERR_AGAIN: a write is outstanding, `written` follows. Any other error:
 * the client is lost, `gone` follows. `last`: nothing will come behind it. */
static enum err relay_flush(struct exchange *x, bool last)
{
    struct relay *r = &x->relay;
    if (http_writing(x->call))
        return ERR_AGAIN;
    if (!r->head_due && r->out.len == 0)
        return OK;
    r->client_at = loop_now(x->g->p.loop);
    if (last)
        http_last(x->call);
    enum err e = r->head_due ? relay_respond(x) : http_write(x->call, buf_slice(&r->out));
    if (e != ERR_AGAIN)
        relay_clear(x, &r->out);
    return e;
}

/* Nothing can be said any more: lets the upstream go and ends as soon as what is written is out. */
static void relay_close(struct exchange *x, bool cut, const char *end)
{
    struct relay *r = &x->relay;
    assert(r->committed && x->state == X_RELAY);
    (void)relay_flush(x, !cut); /* an error: the connection is dead, and ends below all the same */
    if (x->attempt.request != NULL) {
        http_request_abort(x->attempt.request);
        x->attempt.request = NULL;
    }
    r->end = end;
    r->cut = cut;
    timer_stop(&x->timer);
    if (http_writing(x->call))
        return; /* relay_written goes on from here */
    exchange_book(x, end);
    x->g->stats.served += !cut && x->attempt.status < 300;
    if (cut)
        http_cut(x->call);
    else
        http_end(x->call);
    exchange_done(x);
}

static bool relay_is_over(const struct exchange *x)
{
    return x->state != X_RELAY || x->relay.end != NULL;
}

/* Not without end: what is gathered goes out, and what waits behind that stops the reading. */
static void relay_gathered(struct exchange *x)
{
    struct relay *r = &x->relay;
    if (r->out.len > RELAY_HIGH)
        (void)relay_flush(x, false);
    if (r->next.len > NEXT_HIGH && !r->paused && x->attempt.request != NULL) {
        r->paused = true;
        http_request_read(x->attempt.request, false);
    }
}

/* Gathers `bytes` for the client, or keeps them for after the write in flight. May end the relay.
 */
static void relay_push(struct exchange *x, struct slice bytes)
{
    struct relay *r = &x->relay;
    if (bytes.n == 0 || relay_is_over(x))
        return;
    assert(r->committed);
    struct buf *b = http_writing(x->call) ? &r->next : &r->out;
    relay_fill(x, b);
    if (buf_append(b, bytes.p, bytes.n) != OK) {
        buf_free(&r->next); /* what is lost is lost at the end: the rest stays in order */
        relay_close(x, true, "gateway_error");
        return;
    }
    relay_gathered(x);
}

/* The message's own end has come: what is still missing is the provider's way of saying so. */
static bool relay_is_told(const struct exchange *x)
{
    const struct observation *o = attempt_see(x);
    return x->attempt.sse && o->terminal && !o->blind;
}

/* How long the provider may say nothing. */
static int64_t silence_ms(const struct exchange *x)
{
    int64_t ms = x->g->config->silence_timeout;
    return relay_is_told(x) && ms > TOLD_MS ? TOLD_MS : ms;
}

/* The beginning of a body that may turn out to be an error is here. */
static bool relay_has_json(const struct exchange *x)
{
    return !x->attempt.sse && !x->relay.committed && x->relay.held.len > 0;
}

static void relay_arm(struct exchange *x)
{
    struct relay *r = &x->relay;
    const struct config *c = x->g->config;
    int64_t now = loop_now(x->g->p.loop), at = r->last_at + silence_ms(x);
    if ((x->attempt.sse && !relay_is_told(x)) || relay_has_json(x)) {
        int64_t next = r->committed ? r->client_at + c->ping_interval : r->hold_until;
        if (r->mid_event && next <= now) /* a ping is due, but there is no place for it */
            next = now + c->ping_interval;
        if (next < at)
            at = next;
    }
    timer_set(&x->timer, at);
    r->arm_due = false;
}

void relay_rest(struct exchange *x)
{
    struct relay *r = &x->relay;
    if (r->made.cap > MADE_KEEP)
        buf_free(&r->made);
    if (relay_is_over(x))
        return;
    (void)relay_flush(x, false);
    if (r->arm_due)
        relay_arm(x);
    if (r->committed)
        plan_settle(x);
}

/* The commit point: the head and everything held goes out; from here on there is no other account.
 * If it goes on the deadline must be armed anew: it was set for the end of holding back, and pings
 * may be due long before that. */
static void relay_commit(struct exchange *x)
{
    struct relay *r = &x->relay;
    assert(!r->committed && x->attempt.head != NULL);
    r->committed = r->head_due = true;
    r->client_at = loop_now(x->g->p.loop);
    x->record.status = x->attempt.status;
    x->record.ttfb_ms = (int32_t)(r->client_at - x->opened_at);
    if (x->attempt.request != NULL && http_request_sent(x->attempt.request))
        exchange_forget_body(x); /* a stream may last for an hour */
    relay_note_served(x);
}

void relay_begin(struct exchange *x)
{
    struct relay *r = &x->relay;
    int64_t now = loop_now(x->g->p.loop);
    assert(x->state == X_RELAY && attempt_see(x) != NULL);
    if (x->attempt.translate != NULL) /* an event may become longer than what is read at once */
        r->held.max = r->out.max = r->next.max = MADE_MAX;
    r->last_at = r->client_at = now;
    r->hold_until = now + x->g->config->hold_back;
    r->arm_due = true;
}

/* An error event before anything meaningful: nothing was given to the client, so it may be made
 * good. */
static bool relay_failed_early(struct exchange *x, const struct observation *o)
{
    struct reply_facts f = {
        .status = x->attempt.status, .head = x->attempt.head, .in_stream = o->error};
    struct limit_verdict v = attempt_judged(x, &f);
    if (v.verdict != VERDICT_NEXT)
        return false;
    exchange_next(x, &v, v.reason, OK);
    return true;
}

/* What goes wrong after the commit the client has to bear; the account learns from it all the same,
 * and the record says so. */
static void relay_learn(struct exchange *x, struct reply_facts *f)
{
    struct limit_verdict v = attempt_judged(x, f);
    assert(x->relay.committed);
    if (x->attempt.learnt || v.verdict != VERDICT_NEXT)
        return;
    x->attempt.learnt = true;
    exchange_learn(x, &v, f->in_stream);
    exchange_amend_attempt(x, v.reason);
    log_info("failed after its beginning", LF_STR("req", x->record.id),
             LF_STR("account", x->attempt.account->name), LF_STR("reason", v.reason));
}

static NOINLINE void relay_learn_late(struct exchange *x, enum reply_error error)
{
    struct reply_facts f = {
        .status = x->attempt.status, .head = x->attempt.head, .in_stream = error};
    relay_learn(x, &f);
}

/* Some say 200 and mean an error, in a body of a few lines (OpenRouter, Z.AI, MiniMax). */
static bool relay_json_holds(const struct exchange *x, const struct observation *o, size_t more)
{
    bool asked = x->route.kind == ROUTE_CHAT || x->route.kind == ROUTE_COUNT;
    return asked && x->attempt.translate == NULL && !o->blind &&
           x->attempt.head->content_length < (int64_t)JSON_HELD &&
           x->relay.held.len + more < JSON_HELD;
}

/* True while an opening without content should stay here: another account could still serve. */
static bool relay_holds(const struct exchange *x, const struct observation *o, size_t more)
{
    if (!x->attempt.sse)
        return relay_json_holds(x, o, more);
    return !o->meaningful && !o->terminal && !o->blind && o->error == REPLY_ERROR_NONE &&
           x->relay.held.len + more < HELD_MAX / 2;
}

/* Keeps bytes that end `tail` bytes after the last whole event. */
static void relay_hold(struct exchange *x, struct slice bytes, size_t boundary)
{
    struct relay *r = &x->relay;
    r->tail = boundary > 0 ? bytes.n - boundary : r->tail + bytes.n;
    if (!x->attempt.sse) /* for this turn or two only; it goes on as it is: see relay_give_held */
        relay_fill(x, &r->held);
    if (buf_append(&r->held, bytes.p, bytes.n) != OK)
        relay_broken(x, ERR_NOMEM, "out of memory", "gateway_error");
    assert(r->tail <= HELD_MAX);
}

/* Whole events for the client, without the one that it has not asked for. */
static NOINLINE void relay_push_asked(struct exchange *x, struct slice events)
{
    struct span at;
    while (codec_usage_event(x->route.front.dialect, events, &at)) {
        relay_push(x, slice_sub(events, 0, at.from));
        events = slice_sub(events, at.to, events.n);
    }
    relay_push(x, events);
}

static void relay_push_events(struct exchange *x, struct slice events)
{
    if (x->crossing.usage_wished && x->attempt.observer != NULL)
        relay_push_asked(x, events);
    else
        relay_push(x, events);
}

/* What is held goes out; where nothing has been gathered before it, in the memory it lies in. */
static void relay_give_held(struct exchange *x)
{
    struct relay *r = &x->relay;
    if (r->out.len > 0 || http_writing(x->call) || relay_is_over(x) || x->crossing.usage_wished) {
        relay_push_events(x, buf_slice(&r->held));
    } else if (r->held.len > 0) {
        uint32_t max = r->out.max;
        assert(r->held.cap <= max);
        buf_free(&r->out);
        r->out = r->held;
        r->out.max = max;
        buf_init(&r->held, r->held.max);
        relay_gathered(x);
    }
    relay_clear(x, &r->held);
}

/* `take` bytes of `bytes`, and what is held in front of them. */
static void relay_give(struct exchange *x, struct slice bytes, size_t take)
{
    struct relay *r = &x->relay;
    struct slice front = slice_sub(bytes, 0, take);
    if (r->held.len > 0 && x->crossing.usage_wished) {
        /* an event may have begun there; with it in one piece it can be told what it is */
        if (buf_append(&r->held, front.p, front.n) != OK) {
            relay_close(x, true, "gateway_error");
            return;
        }
        front = S("");
    }
    if (r->held.cap > 0)
        relay_give_held(x);
    relay_push_events(x, front);
}

/* What `bytes` are for the client, in r->made; false when they make no sense. */
static bool relay_translate(struct exchange *x, struct slice *bytes)
{
    struct relay *r = &x->relay;
    buf_clear(&r->made);
    enum err e = translate_feed(x->attempt.translate, *bytes, &r->made);
    *bytes = buf_slice(&r->made);
    if (e == OK)
        return true;
    if (r->committed)
        relay_push(x, *bytes);
    if (!relay_is_over(x))
        relay_broken(x, e == ERR_NOMEM ? e : ERR_PROTOCOL, "the reply makes no sense",
                     e == ERR_NOMEM ? "gateway_error" : "upstream_error");
    return false;
}

/* The provider refuses at the beginning of a reply that says 200, and nobody else would do better:
 * that is an answer with the status it should have had. */
static void relay_refused(struct exchange *x, const struct observation *o)
{
    const struct front *f = &x->route.front;
    struct slice id = slice_of(x->record.id), text = slice_of(reply_words(o)->error_message);
    struct http_header h[3] = {{S("content-type"), S("application/json")},
                               {S("x-sluice-request-id"), id}};
    struct buf plain;
    int status = translate_status(x->attempt.translate);
    struct reply_facts r = {
        .status = x->attempt.status, .head = x->attempt.head, .in_stream = o->error};
    struct limit_verdict v = attempt_judged(x, &r);
    if (status < 400)
        status = 500;
    buf_init(&plain, 65536);
    buf_clear(&x->reply);
    if (codec_error_body(DIALECT_ANTHROPIC, status, text, id, &plain) != OK ||
        front_error_of(f, DIALECT_ANTHROPIC, &status, buf_slice(&plain), id, &x->reply) != OK)
        buf_clear(&x->reply);
    buf_free(&plain);
    exchange_learn(x, &v, o->error);
    exchange_note_attempt(x, v.reason);
    attempt_drop(x);
    h[2] = front_error_header(f, status);
    answer_send(x, status, h, h[2].name.n > 0 ? 3 : 2, "client_error");
}

static void relay_gather(struct exchange *x, struct slice bytes)
{
    if (buf_append(&x->reply, bytes.p, bytes.n) != OK)
        relay_broken(x, ERR_NOMEM, "out of memory", "gateway_error");
}

/* Before the commit: true when these bytes go no further for now. */
static bool relay_stops(struct exchange *x, const struct observation *o, struct slice bytes,
                        size_t boundary)
{
    struct relay *r = &x->relay;
    bool sse = x->attempt.sse, early = sse && !o->meaningful;
    if (early && o->error != REPLY_ERROR_NONE) {
        if (relay_failed_early(x, o))
            return true;
        if (x->attempt.translate != NULL) {
            relay_refused(x, o);
            return true;
        }
    }
    if (early && o->blind) { /* some proxy's page under a stream's name */
        relay_broken(x, ERR_PROTOCOL, "the reply is no event stream", "upstream_error");
        return true;
    }
    if (!relay_holds(x, o, bytes.n))
        return false;
    if (!sse && r->held.len == 0)
        r->hold_until = r->last_at + x->g->config->hold_back;
    relay_hold(x, bytes, boundary);
    if (!relay_is_over(x)) /* else there was no memory to hold them */
        r->arm_due = true;
    return true;
}

void relay_bytes(struct exchange *x, struct slice bytes)
{
    struct relay *r = &x->relay;
    struct attempt *a = &x->attempt;
    bool sse = a->sse;
    r->last_at = loop_now(x->g->p.loop);
    pin_watch(x, bytes);
    size_t boundary = a->observer != NULL ? observer_feed(a->observer, bytes) : 0;
    if (a->translate != NULL) {
        if (!relay_translate(x, &bytes))
            return;
        boundary = bytes.n;
    }
    assert(boundary <= bytes.n);
    const struct observation *o = attempt_see(x);
    if (o->terminal)
        pin_reply(x);
    if (a->translate != NULL && !sse) { /* whole at the end */
        relay_gather(x, bytes);
        return;
    }
    if (r->committed && o->error != REPLY_ERROR_NONE && sse)
        relay_learn_late(x, o->error);
    if (!r->committed) {
        if (relay_stops(x, o, bytes, boundary))
            return;
        relay_commit(x);
        r->arm_due = true;
    }
    size_t take = boundary, half = bytes.n - boundary + (boundary > 0 ? 0 : r->held.len);
    if (!sse || o->blind || half > RELAY_HIGH)
        take = bytes.n; /* a giant event is not held; nothing can be said in its middle */
    if (take > 0) {
        relay_give(x, bytes, take);
        r->mid_event = take > boundary;
        r->tail = 0;
    }
    if (take < bytes.n && !relay_is_over(x))
        relay_hold(x, slice_sub(bytes, take, bytes.n), 0);
    if (!relay_is_over(x) && relay_is_told(x))
        r->arm_due = true; /* a shorter silence, and no more pings */
}

/* ---- the ends -------------------------------------------------------------------------------- */

void relay_written(struct exchange *x)
{
    struct relay *r = &x->relay;
    assert(x->state == X_RELAY && r->committed);
    relay_clear(x, &r->out);
    r->client_at = loop_now(x->g->p.loop);
    struct buf empty = r->out;
    r->out = r->next;
    r->next = empty;
    if (relay_flush(x, r->end != NULL && !r->cut) != OK)
        return; /* ERR_AGAIN: here again later. Else `gone` follows. */
    if (r->end != NULL) {
        relay_close(x, r->cut, r->end);
    } else if (r->paused) {
        r->paused = false;
        r->last_at = loop_now(x->g->p.loop); /* the silence was ours */
        http_request_read(x->attempt.request, true);
    }
}

/* An answer with nothing in it, or JSON that is not whole where only the connection's end could
 * have told. */
static bool relay_json_lacks(const struct exchange *x, bool was_blind)
{
    const struct http_head *head = x->attempt.head;
    bool until_end = head->content_length < 0 && !head->chunked;
    bool asked = x->route.kind == ROUTE_CHAT || x->route.kind == ROUTE_COUNT;
    if (!x->relay.committed && x->relay.held.len == 0)
        return asked;
    return until_end && !was_blind && attempt_see(x)->blind;
}

/* The reply's translation is complete: a body of known length. */
static void relay_whole(struct exchange *x)
{
    struct http_header h[HTTP_HEADERS_MAX];
    const struct observation *o = attempt_see(x);
    if (o->error != REPLY_ERROR_NONE) {
        if (!relay_failed_early(x, o))
            relay_refused(x, o);
        return;
    }
    int n = relay_headers(x, true, S("application/json"), h);
    x->relay.committed = true;
    relay_note_served(x);
    x->g->stats.served++;
    answer_send(x, x->attempt.status, h, n, "complete");
}

/* The last of the translation; false when it broke off. */
static bool relay_translate_end(struct exchange *x)
{
    struct relay *r = &x->relay;
    struct attempt *a = &x->attempt;
    buf_clear(&r->made);
    enum err e = translate_end(a->translate, a->sse ? &r->made : &x->reply);
    pin_reply(x);
    if (e != OK) {
        if (r->committed)
            relay_push(x, buf_slice(&r->made));
        if (!relay_is_over(x))
            relay_broken(x, e == ERR_NOMEM ? e : ERR_EOF, "the stream ended without its last event",
                         "upstream_cut");
        return false;
    }
    if (!a->sse) {
        relay_whole(x);
        return false;
    }
    if (!r->committed) {
        const struct observation *o = attempt_see(x);
        if (o->error != REPLY_ERROR_NONE && !o->meaningful &&
            (relay_failed_early(x, o) || (relay_refused(x, o), true)))
            return false;
        relay_commit(x);
    }
    relay_push(x, buf_slice(&r->held));
    buf_free(&r->held);
    relay_push(x, buf_slice(&r->made));
    return !relay_is_over(x);
}

void relay_end(struct exchange *x)
{
    struct relay *r = &x->relay;
    bool sse = x->attempt.sse;
    if (x->attempt.translate != NULL) {
        if (relay_translate_end(x))
            relay_close(x, false,
                        attempt_see(x)->error != REPLY_ERROR_NONE ? "upstream_error" : "complete");
        return;
    }
    const struct observation *o = observer_see(x->attempt.observer);
    bool was_blind = o->blind;
    observer_end(x->attempt.observer);
    pin_reply(x);
    bool whole = !sse || o->terminal || o->blind || o->error != REPLY_ERROR_NONE;
    if (!whole) {
        relay_broken(x, ERR_EOF, "the stream ended without its last event", "upstream_cut");
        return;
    }
    if (!sse && relay_json_lacks(x, was_blind)) {
        relay_broken(x, ERR_EOF, "the reply ended early", "upstream_cut");
        return;
    }
    if (!r->committed && !sse && o->error != REPLY_ERROR_NONE && relay_failed_early(x, o))
        return;
    if (!r->committed)
        relay_commit(x);
    relay_give(x, S(""), 0);
    if (relay_is_over(x))
        return;
    relay_close(x, false,
                x->attempt.status >= 300              ? "client_error"
                : o->error != REPLY_ERROR_NONE && sse ? "upstream_error"
                                                      : "complete");
}

/* Says in the client's stream that it ends here. */
static void relay_say(struct exchange *x, int status, struct slice text)
{
    struct relay *r = &x->relay;
    struct attempt *a = &x->attempt;
    const struct observation *o = attempt_see(x);
    struct buf event;
    buf_init(&event, MADE_MAX);
    enum err e = ERR_STATE;
    if (a->translate != NULL)
        e = translate_error(a->translate, status, text, &event);
    else if (a->sse && !r->mid_event && !o->blind && o->error == REPLY_ERROR_NONE)
        e = codec_error_event(x->route.front.dialect, status, text, slice_of(x->record.id), &event);
    if (e == OK)
        relay_push(x, buf_slice(&event)); /* in place of the half event that is held, if any */
    buf_free(&event);
}

/* The reply cannot be completed. Before the commit another account is tried; after it the client is
 * told in its own dialect and the connection is cut, so that it cannot look like a clean end. */
void relay_broken(struct exchange *x, enum err e, const char *why, const char *end)
{
    struct relay *r = &x->relay;
    if (!r->committed) {
        struct reply_facts f = {.failure = e};
        struct limit_verdict v = attempt_judged(x, &f);
        exchange_next(x, &v, v.reason, e);
        return;
    }
    if (relay_is_told(x)) { /* an error now would spoil a message that is complete */
        relay_close(x, false, "complete");
        return;
    }
    if (e != ERR_CANCELED) { /* else it is us who stop */
        struct reply_facts f = {.failure = e};
        relay_learn(x, &f);
    }
    char text[200];
    text_format(text, sizeof text, "sluice: the stream was interrupted: %s.", why);
    int status = e == ERR_TIMEOUT ? 504 : e == ERR_CANCELED ? 529 : 500;
    relay_say(x, front_status(&x->route.front, status), slice_of(text));
    if (relay_is_over(x))
        return;
    x->g->stats.failed++;
    relay_close(x, true, end);
}

/* A sign of life, in whatever way the client's API has one; where it has none time passes. */
static void relay_ping(struct exchange *x)
{
    struct relay *r = &x->relay;
    r->client_at = loop_now(x->g->p.loop);
    if (x->attempt.translate == NULL) {
        relay_push(x, codec_ping(x->route.front.dialect));
        return;
    }
    buf_clear(&r->made);
    if (translate_ping(x->attempt.translate, &r->made) == OK)
        relay_push(x, buf_slice(&r->made));
}

/* ---- the deadline: silence, pings, and the end of holding back ------------------------------- */

void relay_tick(struct exchange *x)
{
    struct relay *r = &x->relay;
    const struct config *c = x->g->config;
    int64_t now = loop_now(x->g->p.loop);
    assert(r->end == NULL && r->tail <= r->held.len);
    if (r->paused || http_writing(x->call)) {
        /* the slowness is the client's: its own deadline runs in http; and it has bytes to read */
        r->last_at = r->client_at = now;
    } else if (now - r->last_at >= silence_ms(x)) {
        relay_broken(x, ERR_TIMEOUT, "the provider fell silent", "timeout");
        return;
    } else if (x->attempt.sse || relay_has_json(x)) {
        if (!r->committed && now >= r->hold_until) {
            relay_commit(x);
            relay_push(x, slice_sub(buf_slice(&r->held), 0, r->held.len - r->tail));
            buf_consume(&r->held, r->held.len - r->tail);
        } else if (r->committed && !r->mid_event && !relay_is_told(x) &&
                   now - r->client_at >= c->ping_interval) {
            relay_ping(x);
        }
        relay_rest(x);
    }
    if (!relay_is_over(x))
        relay_arm(x);
}

/* ---- collected replies ----------------------------------------------------------------------- */

/* "scheme://host" under which this client knows the gateway. */
static struct slice relay_origin(struct exchange *x, char *out, size_t size)
{
    if (x->g->config->public_url != NULL) {
        struct slice url = slice_of(x->g->config->public_url);
        while (slice_ends(url, S("/")))
            url.n--;
        return url;
    }
    const struct slice *host = http_find(http_call_head(x->call), "host");
    size_t n = text_format(out, size, "http://%.*s", host ? (int)host->n : 0, host ? host->p : "");
    return (struct slice){out, n};
}

/* Batches and files follow the account that made them; a batch's absolute results_url must lead
 * back here, or the client would carry its gateway key to the provider (clients.md, fact 9). */
static void relay_rewrite(struct exchange *x)
{
    char origin[300];
    struct buf out;
    struct slice body = buf_slice(&x->reply);
    if (http_call_head(x->call)->method == HTTP_POST)
        pin_made(x, body);
    if (x->route.kind == ROUTE_JOBS)
        pin_job(x, body);
    if (x->route.kind != ROUTE_BATCHES)
        return;
    buf_init(&out, COLLECT_MAX + 65536);
    if (codec_results_rewrite(body, relay_origin(x, origin, sizeof origin), &out) == OK) {
        buf_free(&x->reply);
        x->reply = out;
    } else {
        buf_free(&out);
    }
}

/* Some providers repeat a credential they find fault with. */
void relay_mask(struct exchange *x)
{
    struct slice secret = x->attempt.account->credential.value, rest = buf_slice(&x->reply);
    ptrdiff_t at;
    if (slice_istarts(secret, S("bearer ")))
        secret = slice_sub(secret, 7, secret.n);
    while (secret.n >= 8 && (at = slice_search(rest, secret)) >= 0) {
        memset(x->reply.p + (x->reply.len - rest.n) + at, '*', secret.n);
        rest = slice_sub(rest, (size_t)at + secret.n, rest.n);
    }
}

/* An error in the words of another dialect, or of another interface, is told in the client's. What
 * comes in its own passes to the byte: clients know their vendor's sentences (clients.md). */
static bool relay_reword(struct exchange *x, int *status)
{
    const struct front *f = &x->route.front;
    struct buf out;
    struct slice body = buf_slice(&x->reply);
    struct span v;
    char type[16] = "";
    if (*status < 400 || crossing_is_alike(x))
        return false;
    if (crossing_is_same(x) && f->wire != WIRE_BEDROCK && splice_find(body, S("type"), &v) &&
        json_span_text(body, v, type, sizeof type) && slice_eq(slice_of(type), S("error")))
        return false;
    buf_init(&out, COLLECT_MAX);
    if (front_error_of(f, x->attempt.door->of->dialect, status, body, slice_of(x->record.id),
                       &out) != OK)
        buf_clear(&out);
    buf_free(&x->reply);
    x->reply = out;
    return true;
}

void relay_collected(struct exchange *x)
{
    struct http_header h[HTTP_HEADERS_MAX];
    bool good = x->attempt.status < 300;
    int status = x->attempt.status;
    if (good)
        relay_rewrite(x);
    else
        relay_mask(x);
    bool anew = relay_reword(x, &status);
    int n = relay_headers(x, anew, S("application/json"), h);
    struct http_header kind = front_error_header(&x->route.front, status);
    if (anew && kind.name.n > 0 && n < HTTP_HEADERS_MAX)
        h[n++] = kind;
    if (good)
        x->g->stats.served++;
    answer_send(x, status, h, n, good ? "complete" : "client_error");
}
