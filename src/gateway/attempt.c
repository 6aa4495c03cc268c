/* One try at one account: the request that goes out, and what its reply's head means.
 *
 * The client's head is never relayed: a new one is built from what may pass. Everything that is not
 * about this hop or somebody's credential is an open set and passes (clients.md, fact 8). */
#include "gateway/exchange.h"

#include <string.h>

/* ---- the request upstream -------------------------------------------------------------------- */

static bool is_one_of(struct slice name, const char *const *list)
{
    for (; *list != NULL; list++)
        if (slice_eq(name, slice_of(*list)))
            return true;
    return false;
}

/* Client credentials, and what tells a provider about the network in front of us. */
static bool is_kept_from_upstream(struct slice name)
{
    static const char *const LIST[] = {"authorization", "x-api-key", "cookie",          "forwarded",
                                       "via",           "x-real-ip", "accept-encoding", NULL};
    return is_one_of(name, LIST) || slice_starts(name, S("x-forwarded-")) ||
           slice_starts(name, S("x-sluice-"));
}

/* True when the comma-separated list holds `value`. */
static bool list_holds(struct slice list, struct slice value)
{
    struct slice part;
    while (slice_cut(&list, ',', &part))
        if (slice_eq(slice_trim(part), value))
            return true;
    return false;
}

/* What the provider asks of anthropic-beta beside the client's own list, which passes as it is. */
static int attempt_beta(const struct account *a, struct http_header *out, int n,
                        char beta[BETA_MAX])
{
    struct slice need = slice_of(a->provider->beta);
    struct slice name = S("anthropic-beta");
    if (need.n == 0)
        return n;
    for (int i = 0; i < n; i++) {
        struct slice has = out[i].value;
        if (!slice_eq(out[i].name, name))
            continue;
        if (has.n + need.n + 2 > BETA_MAX)
            break; /* as a line of its own, which means the same */
        if (!list_holds(has, need)) {
            size_t len = text_format(beta, BETA_MAX, "%.*s,%s", (int)has.n, has.p, need.p);
            out[i].value = (struct slice){beta, len};
        }
        return n;
    }
    out[n] = (struct http_header){name, need};
    return n + 1;
}

int attempt_headers(const struct exchange *x, const struct account *a,
                    struct http_header out[HTTP_HEADERS_MAX], char beta[BETA_MAX])
{
    const struct http_head *in = http_call_head(x->call);
    int n = 0;
    for (int i = 0; i < in->headers && n < HTTP_HEADERS_MAX - 3; i++) {
        struct slice name = in->header[i].name;
        if (!http_is_hop_header(name) && !is_kept_from_upstream(name) &&
            !http_connection_lists(in, name))
            out[n++] = in->header[i];
    }
    n = attempt_beta(a, out, n, beta);
    /* the observer reads the reply as it passes, so it must come as it is */
    out[n++] = (struct http_header){S("accept-encoding"), S("identity")};
    return n;
}

static int64_t first_byte_ms(const struct exchange *x)
{
    const struct config *c = x->g->config;
    return x->sse_asked ? c->stream_first_byte_timeout : c->first_byte_timeout;
}

/* ---- the reply's head ------------------------------------------------------------------------ */

static enum reply_kind reply_kind_of(const struct exchange *x, const struct http_head *head)
{
    const struct slice *type = http_find(head, "content-type");
    const struct slice *coding = http_find(head, "content-encoding");
    if (type == NULL || (coding != NULL && !slice_ieq(*coding, S("identity"))))
        return REPLY_OPAQUE;
    if (x->route.kind == ROUTE_MESSAGES && slice_istarts(*type, S("text/event-stream")))
        return REPLY_SSE;
    if ((x->route.kind == ROUTE_MESSAGES || x->route.kind == ROUTE_COUNT) &&
        slice_istarts(*type, S("application/json")))
        return REPLY_JSON;
    return REPLY_OPAQUE;
}

/* Replies that must be whole before anything of them goes out: errors (the verdict may be another
 * account), and those whose text the gateway changes or remembers. */
static bool reply_is_collected(const struct exchange *x, const struct http_head *head)
{
    if (head->status >= 300)
        return true;
    const struct slice *type = http_find(head, "content-type");
    bool json = type != NULL && slice_istarts(*type, S("application/json"));
    enum http_method m = http_call_head(x->call)->method;
    if (x->route.kind == ROUTE_BATCHES)
        return json && m != HTTP_HEAD;
    return x->route.kind == ROUTE_FILES && json && m == HTTP_POST;
}

/* Before the commit: learn from it, and on to the next account. `reason` NULL: as judged. */
static void attempt_failed(struct exchange *x, enum err e, const char *reason)
{
    struct reply_facts f = {.failure = e};
    struct limit_verdict v = limits_judge(x->attempt.account->provider, &f,
                                          loop_wall(x->g->p.loop));
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
    const struct slice *id = http_find(head, "request-id");
    text_copy(x->record.upstream_id, sizeof x->record.upstream_id, id ? *id : S(""));
    a->collect = reply_is_collected(x, head);
    /* silence is measured from here; for errors too: a body that does not come is no answer */
    timer_set(&x->timer, loop_now(x->g->p.loop) +
                             (head->status >= 300 ? 5000 : x->g->config->silence_timeout));
    if (a->collect) {
        buf_clear(&x->reply);
        return;
    }
    enum reply_kind kind = reply_kind_of(x, head);
    bool asked = x->route.kind == ROUTE_MESSAGES || x->route.kind == ROUTE_COUNT;
    if (kind == REPLY_OPAQUE && asked && http_find(head, "content-encoding") == NULL) {
        /* a 2xx that is neither JSON nor a stream is some proxy's page, not an answer */
        attempt_failed(x, ERR_PROTOCOL, "not_an_answer");
        return;
    }
    a->sse = kind == REPLY_SSE;
    a->observer = observer_new(a->account->provider->door[0].dialect, kind);
    exchange_move(x, X_RELAY);
    relay_begin(x);
}

/* ---- a collected reply ----------------------------------------------------------------------- */

/* What the head, and the body as far as it has come, say. */
static struct limit_verdict attempt_verdict(const struct exchange *x)
{
    const struct attempt *a = &x->attempt;
    struct reply_facts f = {.status = a->status, .head = a->head, .body = buf_slice(&x->reply)};
    return limits_judge(a->account->provider, &f, loop_wall(x->g->p.loop));
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
    if (token_replays(x))
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
    if (v.verdict == VERDICT_NEXT) {
        exchange_next(x, &v, v.reason, OK);
        return;
    }
    attempt_settle(x, &v);
    x->attempt.collect = false;
    x->attempt.observer = observer_new(x->attempt.account->provider->door[0].dialect, REPLY_OPAQUE);
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
static void attempt_send(struct exchange *x, const struct account *a, struct slice path)
{
    struct http_header h[HTTP_HEADERS_MAX];
    char beta[BETA_MAX];
    enum http_method method = http_call_head(x->call)->method;
    int64_t now = loop_now(x->g->p.loop), at = now + first_byte_ms(x);
    int n = attempt_headers(x, a, h, beta);
    h[n++] = a->credential;
    x->attempt.generation = a->generation;
    exchange_move(x, X_DIAL);
    x->attempt.request = http_request_start(x->g->p.client, &a->door[0].target, method, path, h, n,
                                            buf_slice(&x->body), &OPS, x);
    if (http_request_connected(x->attempt.request))
        exchange_move(x, X_SEND);
    else
        at += 2 * x->g->config->connect_timeout;
    timer_set(&x->timer, at);
}

/* For an account whose address has a path of its own. */
static void attempt_send_below(struct exchange *x, const struct account *a, struct slice path)
{
    char whole[HTTP_LINE_MAX + STORE_URL_MAX];
    size_t n = text_format(whole, sizeof whole, "%.*s%.*s", (int)a->door[0].prefix.n,
                           a->door[0].prefix.p, (int)path.n, path.p);
    attempt_send(x, a, (struct slice){whole, n});
}

void attempt_go(struct exchange *x)
{
    const struct account *a = x->attempt.account;
    const struct http_head *in = http_call_head(x->call);
    struct slice path = in->path;
    if (in->query.n > 0) /* stands right behind the path and its '?' */
        path.n = (size_t)(in->query.p + in->query.n - path.p);
    if (a->door[0].prefix.n > 0)
        attempt_send_below(x, a, path);
    else
        attempt_send(x, a, path);
}

void attempt_begin(struct exchange *x)
{
    ref_watch_init(&x->attempt.watch);
    repair_ahead(x);
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
    account_token_forget(&a->wait);
    if (a->request != NULL)
        http_request_abort(a->request);
    observer_free(a->observer);
    retry_give(x);
    if (a->account != NULL)
        attempt_release(x->g, a->account);
    *a = (struct attempt){0};
}
