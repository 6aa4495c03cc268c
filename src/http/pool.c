/* pool: idle connections, per origin. See client.h. */
#include "http/client.h"

#include <string.h>

/* ---- origins ------------------------------------------------------------------------------- */

static size_t key_make(char out[ORIGIN_KEY_MAX], const struct http_target *t)
{
    assert(t->host.n > 0 && t->host.n <= 253);
    size_t n = t->host.n;
    memcpy(out, t->host.p, n);
    uint64_t parts[2] = {t->pool, (uint64_t)t->port << 2 | (t->tls ? 2U : 0U) |
                                      (t->allow_private ? 1U : 0U)};
    out[n++] = '/';
    for (int i = 0; i < 2; i++)
        for (int shift = i == 0 ? 60 : 20; shift >= 0; shift -= 4)
            out[n++] = "0123456789abcdef"[parts[i] >> shift & 15];
    assert(n < ORIGIN_KEY_MAX);
    return n;
}

/* What stands behind the path of each request: the port that is usual is left out of `host`. */
static size_t line_make(char out[ORIGIN_LINE_MAX], const struct http_target *t)
{
    bool v6 = slice_find(t->host, ':') >= 0;
    bool usual = t->port == (t->tls ? 443 : 80);
    char *at = head_copy(out, v6 ? S(" HTTP/1.1\r\nhost: [") : S(" HTTP/1.1\r\nhost: "));
    at = head_copy(at, t->host);
    at = head_copy(at, v6 ? S("]") : S(""));
    at = usual ? head_copy(at, S("\r\n")) : head_put_number(at, S(":"), t->port);
    assert(at <= out + ORIGIN_LINE_MAX);
    return (size_t)(at - out);
}

static struct origin **recent_of(struct http_client *c, const struct http_target *t)
{
    return &c->recent[t->pool % ORIGINS_RECENT];
}

static bool origin_is(const struct origin *o, const struct http_target *t)
{
    const struct http_target *at = &o->target;
    return at->pool == t->pool && at->port == t->port && at->tls == t->tls &&
           at->allow_private == t->allow_private && slice_eq(at->host, t->host);
}

static struct origin *origin_new(struct http_client *c, const struct http_target *t,
                                 struct slice key)
{
    struct origin *o = NEW(struct origin);
    o->client = c;
    list_init(&o->idle);
    memcpy(o->key, key.p, key.n);
    o->key_len = key.n;
    o->target = *t;
    o->target.host = (struct slice){o->key, t->host.n};
    o->line_len = line_make(o->line, t);
    (void)map_put(&c->origins, (struct slice){o->key, key.n}, o);
    return o;
}

struct origin *origin_hold(struct http_client *c, const struct http_target *t)
{
    struct origin **recent = recent_of(c, t), *o = *recent;
    if (o == NULL || !origin_is(o, t)) {
        char text[ORIGIN_KEY_MAX];
        struct slice key = {text, key_make(text, t)};
        o = map_get(&c->origins, key);
        if (o == NULL)
            o = origin_new(c, t, key);
        *recent = o;
    }
    o->refs++;
    return o;
}

void origin_release(struct origin *o)
{
    struct origin **recent = recent_of(o->client, &o->target);
    assert(o->refs > 0);
    if (--o->refs > 0)
        return;
    assert(list_empty(&o->idle));
    if (*recent == o)
        *recent = NULL;
    (void)map_del(&o->client->origins, (struct slice){o->key, o->key_len});
    mem_free(o);
}

/* ---- connections --------------------------------------------------------------------------- */

struct upstream *upstream_new(struct origin *o, struct stream *stream)
{
    struct upstream *u = NEW(struct upstream);
    list_init(&u->in_origin);
    list_init(&u->in_client);
    u->origin = o;
    u->stream = stream;
    o->refs++;
    return u;
}

static void pool_remove(struct upstream *u)
{
    if (list_empty(&u->in_client))
        return;
    list_remove(&u->in_client);
    list_remove(&u->in_origin);
    u->origin->client->idle_count--;
}

void upstream_close(struct upstream *u, bool polite)
{
    struct loop *loop = u->origin->client->loop;
    pool_remove(u);
    if (polite)
        stream_finish(u->stream);
    else
        stream_abort(u->stream);
    u->stream = NULL;
    origin_release(u->origin);
    u->origin = NULL;
    loop_bury(loop, u, mem_free);
}

static void idle_on_read(void *owner, struct slice bytes)
{
    (void)bytes; /* whatever it is, nobody has asked for it */
    upstream_close(owner, false);
}

static void idle_on_end(void *owner)
{
    upstream_close(owner, true);
}

static void idle_on_error(void *owner, enum err e, const char *why)
{
    (void)e;
    (void)why;
    upstream_close(owner, false);
}

/* Nothing is ever written on an idle connection: pool_give asserts it. */
static void idle_on_written(void *owner)
{
    (void)owner;
    assert(!"a write on an idle connection");
}

struct upstream *pool_take(struct origin *o)
{
    if (list_empty(&o->idle))
        return NULL;
    struct upstream *u = CONTAINER(o->idle.prev, struct upstream, in_origin);
    pool_remove(u);
    return u;
}

static void pool_arm(struct http_client *c)
{
    if (list_empty(&c->idle) || timer_armed(&c->timer))
        return; /* armed for one that may be gone by then: pool_timer looks again */
    const struct upstream *oldest = CONTAINER(c->idle.next, struct upstream, in_client);
    timer_set(&c->timer, oldest->idle_at + c->limits.idle_ms);
}

void pool_give(struct upstream *u)
{
    static const struct stream_ops OPS = {.on_read = idle_on_read,
                                          .on_end = idle_on_end,
                                          .on_error = idle_on_error,
                                          .on_written = idle_on_written};
    struct http_client *c = u->origin->client;
    assert(list_empty(&u->in_client) && !stream_writing(u->stream));
    if (c->limits.max_idle <= 0) {
        upstream_close(u, true);
        return;
    }
    if (c->idle_count >= c->limits.max_idle)
        upstream_close(CONTAINER(c->idle.next, struct upstream, in_client), true);
    u->idle_at = loop_now(c->loop);
    list_push(&c->idle, &u->in_client);
    list_push(&u->origin->idle, &u->in_origin);
    c->idle_count++;
    stream_own(u->stream, &OPS, u);
    stream_read(u->stream, true);
    pool_arm(c);
}

void pool_close_idle(struct http_client *c)
{
    while (!list_empty(&c->idle))
        upstream_close(CONTAINER(c->idle.next, struct upstream, in_client), true);
    assert(c->idle_count == 0);
}

bool pool_shed(struct http_client *c)
{
    if (list_empty(&c->idle))
        return false;
    upstream_close(CONTAINER(c->idle.next, struct upstream, in_client), false);
    return true;
}

void pool_timer(void *client)
{
    struct http_client *c = client;
    while (!list_empty(&c->idle)) {
        struct upstream *u = CONTAINER(c->idle.next, struct upstream, in_client);
        if (loop_now(c->loop) < u->idle_at + c->limits.idle_ms)
            break;
        upstream_close(u, true);
    }
    pool_arm(c);
}
