/* server: its connections, its limits, and the memory of calls. See conn.h. */
#include "http/conn.h"

#include <string.h>

/* ---- the young: slow heads must not take the places of those who ask ------------------------- */

static int32_t young_max(const struct http_server *s)
{
    int32_t most = s->limits.max_connections / 4 * 3;
    return most > YOUNG_MIN ? most : YOUNG_MIN;
}

/* The one that has taken longest for its head, and more than the time in which all look alike. */
static struct conn *young_stale(const struct http_server *s)
{
    if (list_empty(&s->young))
        return NULL;
    struct conn *c = CONTAINER(s->young.next, struct conn, young);
    return loop_now(s->loop) - c->young_at >= YOUNG_MS ? c : NULL;
}

static void young_spare(struct http_server *s, struct conn *c)
{
    assert(!c->parsing && c->state != CONN_CLOSED);
    s->stats.crowded++;
    conn_close(c, false);
}

void young_enter(struct http_server *s, struct conn *c)
{
    if (!list_empty(&c->young))
        return; /* since it was accepted */
    c->young_at = loop_now(s->loop);
    list_push(&s->young, &c->young);
    if (++s->young_n <= young_max(s))
        return;
    struct conn *stale = young_stale(s);
    if (stale == NULL)
        return; /* the next ones wait outside: see server_watch */
    assert(stale != c);
    young_spare(s, stale);
}

void young_leave(struct http_server *s, struct conn *c)
{
    if (list_empty(&c->young))
        return;
    list_remove(&c->young);
    s->young_n--;
    s->young_bytes -= c->head_bytes;
    c->head_bytes = 0;
    assert(s->young_n >= 0 && s->young_bytes >= 0);
}

void young_grow(struct http_server *s, struct conn *c, size_t n)
{
    assert(!list_empty(&c->young) && n <= INT32_MAX);
    c->head_bytes += (int32_t)n;
    s->young_bytes += (int64_t)n;
    while (s->young_bytes > YOUNG_BYTES) {
        struct conn *stale = young_stale(s);
        if (stale == NULL || stale == c)
            break; /* its own bytes have a bound as well */
        young_spare(s, stale);
    }
}

/* ---- room ---------------------------------------------------------------------------------- */

/* A connection whose end hurts least; NULL when each one is needed. */
static struct conn *server_spare(const struct http_server *s)
{
    struct conn *stale = young_stale(s);
    if (stale != NULL)
        return stale;
    for (struct link *k = s->idle.next; k != &s->idle; k = k->next) {
        struct conn *c = CONTAINER(k, struct conn, link);
        assert(c->state == CONN_IDLE);
        /* not one whose next request is here already */
        if (c->calls > 0 && c->pending.len == 0)
            return c;
    }
    return NULL;
}

/* ---- load ---------------------------------------------------------------------------------- */

#define EASE_LEAST_MS 2000
#define EASE_AT_ONCE  256 /* closed at each look */

enum load_level server_load(const struct http_server *s)
{
    return s->limits.ignores_load ? LOAD_NORMAL : loop_load(s->loop)->level;
}

int64_t server_keep_ms(const struct http_server *s)
{
    int64_t most = s->limits.keep_alive_ms;
    return s->limits.ignores_load ? most : load_ease(loop_load(s->loop), most, EASE_LEAST_MS);
}

void http_server_ease(struct http_server *s)
{
    int64_t since = loop_now(s->loop) - server_keep_ms(s);
    struct link *k = s->idle.next, *next;
    for (int n = 0; k != &s->idle && n < EASE_AT_ONCE; k = next) {
        struct conn *c = CONTAINER(k, struct conn, link);
        next = k->next;
        if (c->since > since)
            break; /* idle for longest first */
        if (c->calls > 0 && c->pending.len == 0) {
            conn_close(c, true);
            n++;
        }
    }
}

/* ---- sources --------------------------------------------------------------------------------- */

/* An IPv6 host has a whole /64 to itself. */
static struct slice source_key(const struct addr *a, char key[16])
{
    static const char mapped[12] = {[10] = (char)0xff, [11] = (char)0xff};
    memcpy(key, a->ip, 16);
    if (memcmp(key, mapped, sizeof mapped) != 0)
        memset(key + 8, 0, 8);
    return (struct slice){key, 16};
}

/* True when one more connection of `a` is fine; *out is who is counted, or NULL. */
static bool source_enter(struct http_server *s, const struct addr *a, struct source **out)
{
    char key[16];
    *out = NULL;
    if (s->limits.max_per_source == 0 || a->is_unix || a->is_loopback ||
        cidr_has(s->trusted, s->trusted_n, a))
        return true;
    struct source *source = map_get(&s->sources, source_key(a, key));
    if (source == NULL) {
        source = NEW(struct source);
        memcpy(source->key, key, sizeof key);
        (void)map_put(&s->sources, (struct slice){key, sizeof key}, source);
    }
    if (source->connections >= s->limits.max_per_source)
        return false;
    source->connections++;
    *out = source;
    return true;
}

void source_leave(struct http_server *s, struct source *source)
{
    if (source == NULL || --source->connections > 0)
        return;
    assert(source->connections == 0);
    (void)map_del(&s->sources, (struct slice){source->key, sizeof source->key});
    mem_free(source);
}

static void source_refused(struct http_server *s, struct stream *stream)
{
    int64_t now = loop_now(s->loop);
    s->stats.crowded++;
    if (now >= s->say_at) {
        s->say_at = now + SAY_MS;
        log_warn("a source has too many connections", LF_STR("peer", stream_peer(stream)->text),
                 LF_INT("limit", s->limits.max_per_source));
    }
    stream_abort(stream);
}

/* ---- fullness -------------------------------------------------------------------------------- */

void server_watch(struct http_server *s)
{
    bool full = s->stats.connections >= s->limits.max_connections && server_spare(s) == NULL;
    full = full || (s->young_n >= young_max(s) && young_stale(s) == NULL);
    if (full)
        timer_set(&s->silent, loop_now(s->loop) + YOUNG_MS / 2);
    else
        timer_stop(&s->silent);
    if (full == s->full)
        return;
    s->full = full;
    if (s->on_full != NULL)
        s->on_full(s->on_full_arg, full);
}

static void silent_turn(void *arg)
{
    server_watch(arg);
}

void http_server_on_full(struct http_server *s, void (*fn)(void *arg, bool full), void *arg)
{
    assert(fn != NULL && s->on_full == NULL);
    s->on_full = fn;
    s->on_full_arg = arg;
    if (s->full)
        fn(arg, true);
}

/* ---- winding up ---------------------------------------------------------------------------- */

/* Closes up to `n` of those who have been answered, longest idle first, and whose next request is
 * not here yet. */
static void idle_close(struct http_server *s, size_t n)
{
    struct link *k = s->idle.next;
    while (k != &s->idle && n > 0) {
        struct conn *c = CONTAINER(k, struct conn, link);
        k = k->next;
        if (c->calls == 0 || c->pending.len > 0)
            continue;
        conn_close(c, true);
        n--;
    }
}

/* Those that have been idle for a while: who asks again every moment learns from its next answer
 * that the connection ends, and that is better than to cross its next request on the way. */
static size_t idle_count(const struct http_server *s)
{
    size_t n = 0;
    for (const struct link *k = s->idle.next; k != &s->idle; k = k->next) {
        const struct conn *c = CONTAINER(k, struct conn, link);
        if (loop_now(s->loop) - c->since < FADE_IDLE_MS)
            break;
        n++;
    }
    return n;
}

/* So many that the last one goes when the time is over. */
static void fade_turn(void *arg)
{
    struct http_server *s = arg;
    int64_t left = s->fade_until - loop_now(s->loop);
    assert(s->lame && !s->freed);
    if (left <= FADE_MS) {
        idle_close(s, SIZE_MAX);
        return;
    }
    size_t turns = (size_t)(left / FADE_MS), n = idle_count(s);
    idle_close(s, (n + turns - 1) / turns);
    timer_set(&s->fade, loop_now(s->loop) + FADE_MS);
}

/* ---- birth and death ----------------------------------------------------------------------- */

struct http_server *http_server_new(struct loop *l, const struct http_server_limits *limits,
                                    const struct http_server_ops *ops, void *ctx)
{
    assert(ops->handler.open != NULL && ops->handler.body != NULL);
    assert(ops->handler.complete != NULL && ops->handler.gone != NULL);
    assert(ops->handler.written != NULL);
    struct http_server *s = NEW(struct http_server);
    s->loop = l;
    s->ops = *ops;
    s->ctx = ctx;
    list_init(&s->idle);
    list_init(&s->busy);
    list_init(&s->young);
    list_init(&s->free_calls);
    buf_init(&s->spare, ANSWER_HEAD_MAX);
    map_init(&s->sources);
    timer_init(&s->silent, l, silent_turn, s);
    timer_init(&s->fade, l, fade_turn, s);
    http_server_set_limits(s, limits);
    return s;
}

void http_server_set_limits(struct http_server *s, const struct http_server_limits *limits)
{
    assert(limits->head_ms > 0 && limits->body_idle_ms > 0 && limits->keep_alive_ms > 0);
    assert(limits->write_ms > 0 && limits->max_body >= 0);
    assert(limits->max_requests > 0 && limits->max_connections > 0);
    assert(limits->max_age_ms >= 0 && limits->max_per_source >= 0);
    s->limits = *limits;
    server_watch(s);
}

void http_server_trust(struct http_server *s, const struct cidr *proxies, int n,
                       enum http_forwarded header)
{
    assert(n >= 0 && n <= TRUSTED_MAX);
    for (int i = 0; i < n; i++)
        s->trusted[i] = proxies[i];
    s->trusted_n = n;
    s->forwarded = header;
}

void http_server_add(struct http_server *s, struct stream *stream)
{
    struct source *source;
    if (!source_enter(s, stream_peer(stream), &source)) {
        source_refused(s, stream);
        return;
    }
    bool full = s->stats.connections >= s->limits.max_connections;
    if (full || server_load(s) >= LOAD_GUARD) {
        struct conn *spare = server_spare(s);
        if (spare == NULL && full) {
            s->stats.refused++;
            source_leave(s, source);
            stream_abort(stream);
            return;
        }
        if (spare != NULL) {
            s->stats.crowded++;
            conn_close(spare, spare->calls > 0);
        }
    }
    s->stats.accepted++;
    conn_start(s, stream, source);
    if (s->stats.connections >= s->limits.max_connections || s->young_n >= young_max(s))
        server_watch(s);
}

void http_server_fade(struct http_server *s, int64_t ms)
{
    assert(ms >= 0 && !s->freed);
    s->lame = true;
    s->fade_until = loop_now(s->loop) + ms;
    timer_set(&s->fade, loop_now(s->loop) + (ms < FADE_MS ? ms : FADE_MS));
}

void http_server_drain(struct http_server *s)
{
    s->draining = s->lame = true;
    timer_stop(&s->fade);
    idle_close(s, SIZE_MAX);
}

static void call_free(struct http_call *call)
{
    h1_free(&call->h1);
    buf_free(&call->out);
    mem_free(call->client);
    mem_free(call->later);
    mem_free(call);
}

static void server_bury(void *mem)
{
    struct http_server *s = mem;
    while (!list_empty(&s->free_calls)) {
        struct http_call *call = CONTAINER(s->free_calls.next, struct http_call, link);
        list_remove(&call->link);
        call_free(call);
    }
    buf_free(&s->spare);
    mem_free(s);
}

void http_server_free(struct http_server *s)
{
    struct link *lists[] = {&s->idle, &s->busy};
    assert(!s->freed);
    s->freed = true;
    for (int i = 0; i < 2; i++) {
        while (!list_empty(lists[i])) {
            struct conn *c = CONTAINER(lists[i]->next, struct conn, link);
            assert(!c->parsing); /* not from inside a handler */
            conn_lost(c, ERR_CANCELED, "the server has been stopped");
            conn_close(c, false);
        }
    }
    assert(s->stats.connections == 0 && s->stats.active == 0);
    assert(s->young_n == 0 && s->sources.live == 0);
    map_free(&s->sources);
    timer_stop(&s->silent);
    timer_stop(&s->fade);
    loop_bury(s->loop, s, server_bury); /* after its connections, which were buried before it */
}

void http_server_stats_get(const struct http_server *s, struct http_server_stats *out)
{
    *out = s->stats;
    out->young = s->young_n;
}

/* ---- the memory of calls ------------------------------------------------------------------- */

struct http_call *call_new(struct http_server *s)
{
    struct http_call *call;
    if (list_empty(&s->free_calls)) {
        call = NEW(struct http_call);
        list_init(&call->link);
        h1_init(&call->h1, H1_REQUEST);
        call->h1.coded_slash = s->ops.coded_slash;
        buf_init(&call->out, ANSWER_HEAD_MAX);
        return call;
    }
    call = CONTAINER(s->free_calls.next, struct http_call, link);
    list_remove(&call->link);
    s->free_count--;
    assert(call->conn == NULL);
    h1_begin(&call->h1, false);
    buf_clear(&call->out);
    call->x = NULL;
    call->received = call->length = call->bytes_out = 0;
    call->later_n = 0;
    call->want = call->continued = call->responded = call->over = call->bodyless = false;
    call->chunked = call->last = call->owed = call->tail_due = call->close = false;
    call->proxied = false;
    return call;
}

void call_release(struct http_server *s, struct http_call *call)
{
    call->conn = NULL;
    if (s->free_count < CALLS_KEPT) {
        if (call->h1.raw.cap > RAW_KEPT)
            buf_free(&call->h1.raw);
        if (call->out.cap > RAW_KEPT)
            buf_free(&call->out);
        list_unshift(&s->free_calls, &call->link);
        s->free_count++;
        return;
    }
    call_free(call);
}
