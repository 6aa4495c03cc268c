/* The gateway itself: what all exchanges share, its drain, and the probe of one account. */
#include "gateway/exchange.h"

#include <string.h>

#define MODELS_MAX 4194304

struct gateway *gateway_new(const struct gateway_parts *p)
{
    struct gateway *g = NEW(struct gateway);
    g->p = *p;
    g->config = p->config;
    list_init(&g->exchanges);
    list_init(&g->orphans);
    list_init(&g->line);
    list_init(&g->guesses);
    list_init(&g->probes);
    list_init(&g->plans);
    buf_init(&g->models, MODELS_MAX);
    buf_init(&g->spare, RELAY_MAX);
    return g;
}

void gateway_set_config(struct gateway *g, const struct config *c)
{
    g->config = c;
}

struct http_server_limits gateway_server_limits(const struct config *c)
{
    return (struct http_server_limits){
        .head_ms = c->head_timeout,
        .body_idle_ms = c->body_timeout,
        .keep_alive_ms = c->keep_alive,
        .write_ms = c->write_timeout,
        .max_body = c->max_body,
        .max_requests = 1000,
        .max_connections = (int32_t)c->max_connections,
    };
}

void gateway_accounts_changed(struct gateway *g)
{
    buf_clear(&g->models);
    for (struct link *l = g->exchanges.next; l != &g->exchanges; l = l->next) {
        struct exchange *x = CONTAINER(l, struct exchange, link);
        if (x->state == X_WAIT)
            timer_set(&x->timer, loop_now(g->p.loop));
    }
}

void gateway_drain(struct gateway *g, const char *word)
{
    assert(word != NULL);
    g->draining = word;
}

/* The drain's limit is up: every stream that is left ends with a word. */
void gateway_reap(struct gateway *g)
{
    struct link *l, *next;
    g->draining = "reaping";
    for (l = g->exchanges.next; l != &g->exchanges; l = next) {
        struct exchange *x = CONTAINER(l, struct exchange, link);
        next = l->next;
        if (x->state == X_RELAY && x->relay.committed) {
            if (x->relay.end == NULL)
                relay_broken(x, ERR_CANCELED, "the gateway is shutting down", "drained");
        } else if (x->state != X_FLUSH) {
            if (x->attempt.account != NULL)
                exchange_note_attempt(x, "drained");
            attempt_drop(x);
            models_drop(x);
            answer_error(x, 529, "sluice: the gateway is shutting down; try again.", 5, true,
                         "drained");
        }
    }
}

void gateway_stats_get(const struct gateway *g, struct gateway_stats *out)
{
    *out = g->stats;
}

/* ---- probe ----------------------------------------------------------------------------------- */

#define PROBE_DEADLINE_MS 15000

struct probe {
    struct gateway *g;
    struct link link;
    struct account *account;
    const struct account_door *door;
    struct http_request *request; /* NULL: could not be sent */
    struct timer timer;
    int64_t started_at;
    int status;
    struct buf body;
    gateway_probe_fn *done;
    void *arg;
};

static void probe_free(void *arg)
{
    mem_free(arg);
}

static void probe_over(struct probe *p, enum err e, const char *why)
{
    assert(p->account->refs > 0);
    timer_stop(&p->timer);
    list_remove(&p->link);
    p->request = NULL;
    if (p->done != NULL)
        p->done(p->arg, e, p->status, why, loop_now(p->g->p.loop) - p->started_at);
    attempt_release(p->g, p->account);
    buf_free(&p->body);
    loop_bury(p->g->p.loop, p, probe_free);
}

static void probe_on_head(void *owner, const struct http_head *head)
{
    struct probe *p = owner;
    p->status = head->status;
}

static void probe_on_body(void *owner, struct slice bytes)
{
    struct probe *p = owner;
    if (p->status >= 300 && buf_append(&p->body, bytes.p, bytes.n) != OK)
        buf_clear(&p->body);
}

static void probe_on_end(void *owner)
{
    struct probe *p = owner;
    struct reply_words words = {0};
    struct observation o = {.words = &words};
    if (p->status >= 300)
        codec_error_read(p->door->of->dialect, p->status, buf_slice(&p->body), &o);
    probe_over(p, OK, reply_words(&o)->error_message);
}

static void probe_on_fail(void *owner, enum err e, const char *why)
{
    struct probe *p = owner;
    p->status = 0;
    probe_over(p, e, why);
}

static void probe_timer(void *arg)
{
    struct probe *p = arg;
    p->status = 0;
    if (p->request == NULL) {
        probe_over(p, ERR_UNSUPPORTED, "there is nothing to ask this account that costs nothing");
        return;
    }
    http_request_abort(p->request);
    probe_over(p, ERR_TIMEOUT, "no answer within 15 s");
}

static const struct http_request_ops PROBE = {.on_head = probe_on_head,
                                              .on_body = probe_on_body,
                                              .on_end = probe_on_end,
                                              .on_fail = probe_on_fail};

/* The list of models costs nothing; who has none cannot be asked. */
static enum err probe_send(struct probe *p)
{
    const struct account *a = p->account;
    char memory[CROSSING_MEMORY];
    struct buf path;
    struct http_header h[HTTP_HEADERS_MAX] = {{S("accept"), S("application/json")},
                                              {S("accept-encoding"), S("identity")},
                                              {S("user-agent"), S("sluice")},
                                              {S("anthropic-version"), S("2023-06-01")}};
    int n = 3;
    for (int i = 0; i < a->doors && p->door == NULL; i++)
        if (a->door[i].of->path[API_MODELS] != NULL)
            p->door = &a->door[i];
    if (p->door == NULL)
        return ERR_UNSUPPORTED;
    n += p->door->of->dialect == DIALECT_ANTHROPIC;
    buf_init(&path, HTTP_LINE_MAX);
    enum err e = account_door_path(a, p->door, API_MODELS, false, S(""), S(""), S("limit=1"),
                                   &path);
    if (e == OK)
        e = crossing_sign(a, p->door, S("GET"), buf_slice(&path), S(""), loop_wall(p->g->p.loop), h,
                          &n, memory, sizeof memory);
    if (e == OK)
        p->request = http_request_start(p->g->p.client, &p->door->target, HTTP_GET,
                                        buf_slice(&path), h, n, S(""), &PROBE, p);
    crypto_wipe(memory, sizeof memory);
    buf_free(&path);
    return e;
}

void gateway_probe(struct gateway *g, struct account *a, gateway_probe_fn *done, void *arg)
{
    struct probe *p = NEW(struct probe);
    *p = (struct probe){.g = g, .account = a, .done = done, .arg = arg};
    p->started_at = loop_now(g->p.loop);
    list_init(&p->link);
    list_push(&g->probes, &p->link);
    buf_init(&p->body, 65536);
    timer_init(&p->timer, g->p.loop, probe_timer, p);
    account_hold(a);
    bool sent = probe_send(p) == OK;
    timer_set(&p->timer, p->started_at + (sent ? PROBE_DEADLINE_MS : 0));
}

void gateway_free(struct gateway *g)
{
    assert(list_empty(&g->exchanges) && list_empty(&g->line) && g->called == 0);
    while (!list_empty(&g->orphans)) {
        struct exchange *x = CONTAINER(g->orphans.next, struct exchange, link);
        list_remove(&x->link);
        exchange_free(x);
    }
    while (!list_empty(&g->probes)) {
        struct probe *p = CONTAINER(g->probes.next, struct probe, link);
        if (p->request != NULL)
            http_request_abort(p->request);
        p->done = NULL;
        probe_over(p, ERR_CANCELED, "shutting down");
    }
    pin_forget(g);
    plan_forget(g);
    buf_free(&g->models);
    buf_free(&g->spare);
    mem_free(g);
}
