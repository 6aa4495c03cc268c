/* play: walks through the steps. Everything happens in settled moments: after each step the house
 * is turned until only time could bring something new. */
#include "run.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TRACE_BYTES     3000
#define BROKEN_LIMIT_MS (2 * 3600 * INT64_C(1000))
#define STOP_LIMIT_MS   60000
#define GONE_MS         75 /* so long it takes to see that a client is gone */

void run_fail(struct run *r, int line, const char *fmt, ...)
{
    char what[900];
    va_list ap;
    if (r->failed)
        return;
    r->failed = true;
    va_start(ap, fmt);
    int n = vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    assert(n >= 0);
    if (line > 0)
        text_format(r->out->why, sizeof r->out->why, "%s:%d: %s", r->script->file, line, what);
    else
        text_format(r->out->why, sizeof r->out->why, "%s: %s", r->script->file, what);
}

/* ---- the transcript ------------------------------------------------------------------ */

static void trace_put(void *arg, const char *who, const char *what, struct slice bytes)
{
    struct run *r = arg;
    struct bytes *t = &r->out->transcript;
    size_t from = t->n;
    int64_t ms = loop_wall(r->loop) - SIM_EPOCH_MS;
    bytes_printf(t, "  %4" PRId64 ".%03ds  %-10s %s ", ms / 1000, (int)(ms % 1000), who, what);
    bytes_escape(t, bytes, TRACE_BYTES);
    bytes_puts(t, S("\n"));
    if (r->plan->live)
        (void)fwrite(t->p + from, 1, t->n - from, stderr);
}

static void trace_step(struct run *r, const struct step *st)
{
    char text[32];
    text_format(text, sizeof text, "-- line %d", st->line);
    if (r->plan->trace)
        trace_put(r, "script", text, S(""));
}

/* ---- connections --------------------------------------------------------------------- */

static struct conn *conn_new(struct run *r, struct sim_peer *p, int client)
{
    assert(r->conns < CONNS_MAX);
    struct conn *c = &r->conn[r->conns++];
    *c = (struct conn){.peer = p, .client = client};
    p->tag = c;
    if (r->plan->mode == MODE_CUT && slice_eq(slice_of(p->name), slice_of(r->plan->cut_peer))) {
        p->vanish_at = r->plan->cut_at;
        p->vanish_how = r->plan->cut_how;
    }
    return c;
}

static void on_dialled(void *arg, struct sim_host *h, struct sim_peer *p)
{
    struct run *r = arg;
    struct upstream *u = h->tag;
    assert(u != NULL);
    (void)conn_new(r, p, 0);
    if (u->deaf)
        sim_reading(p, false);
    if (u->current == NULL)
        u->answer_from = 0;
}

/* The connection of a client that can still be written to; a new one if need be. NULL: the client
 * has vanished, as this run wants it. */
static struct conn *client_conn(struct run *r, const struct step *st)
{
    struct conn *c = r->client[st->client];
    if (c != NULL && c->peer->vanish_at != SIZE_MAX && c->peer->gone)
        return NULL;
    if (c != NULL && !c->peer->gone && c->peer->rx_end == SIM_OPEN)
        return c;
    char name[64];
    text_format(name, sizeof name, "client %d.%d", st->client, ++r->client_conns[st->client]);
    c = conn_new(r, sim_connect(r->loop, name, st->from), st->client);
    r->client[st->client] = c;
    return c;
}

enum message_kind reply_kind(const struct conn *c, int n)
{
    struct slice s = bytes_slice(&c->peer->tx);
    for (int i = 0; i <= n; i++) {
        struct message m;
        message_read(&m, MESSAGE_REQUEST, s, false);
        bool head = m.head && slice_eq(m.method, S("HEAD"));
        bool more = m.complete;
        s = slice_sub(s, m.size, s.n);
        message_free(&m);
        if (i == n)
            return head ? MESSAGE_RESPONSE_TO_HEAD : MESSAGE_RESPONSE;
        if (!more)
            break;
    }
    return MESSAGE_RESPONSE;
}

void client_request(const struct conn *c, struct message *m)
{
    struct slice s = bytes_slice(&c->peer->tx);
    message_read(m, MESSAGE_REQUEST, s, false);
    while (m->complete && m->size < s.n) {
        s = slice_sub(s, m->size, s.n);
        message_free(m);
        message_read(m, MESSAGE_REQUEST, s, false);
    }
}

/* ---- upstreams ----------------------------------------------------------------------- */

static void request_add(struct upstream *u, struct conn *c, size_t from, size_t to)
{
    if (u->requests == u->cap) {
        u->cap = u->cap ? 2 * u->cap : 8;
        u->request = mem_grow(u->request, (size_t)u->cap * sizeof *u->request);
    }
    u->request[u->requests++] = (struct request){.conn = c, .from = from, .to = to};
}

static void scan_conn(struct upstream *u, struct conn *c)
{
    const struct bytes *rx = &c->peer->rx;
    if (rx->n == c->seen)
        return;
    c->seen = rx->n;
    for (;;) {
        struct message m;
        struct slice rest = slice_sub(bytes_slice(rx), c->scanned, rx->n);
        message_read(&m, MESSAGE_REQUEST, rest, false);
        bool complete = m.complete;
        size_t size = m.size;
        message_free(&m);
        if (!complete)
            return;
        request_add(u, c, c->scanned, c->scanned + size);
        c->scanned += size;
    }
}

/* Answers what came in since, where an upstream serves; true when anything was sent. */
static bool serve_all(struct upstream *u)
{
    bool sent = false;
    for (int i = 0; i < u->requests && u->serves.n > 0; i++) {
        struct request *q = &u->request[i];
        if (q->served || i < u->used)
            continue;
        q->served = true;
        q->answer_from = q->conn->peer->tx.n;
        u->current = q->conn;
        u->answer_from = q->answer_from;
        sim_send(q->conn->peer, u->serves);
        sent = true;
    }
    return sent;
}

static struct upstream *conn_upstream(struct run *r, const struct conn *c)
{
    struct slice name = slice_of(c->peer->name);
    for (int i = 0; i < r->upstreams; i++) {
        struct slice own = slice_of(r->upstream[i].host->name);
        if (slice_starts(name, own) && name.n > own.n && name.p[own.n] == '.')
            return &r->upstream[i];
    }
    return NULL;
}

static bool on_rest(void *arg)
{
    struct run *r = arg;
    bool sent = false;
    for (int i = 0; i < r->conns; i++)
        if (r->conn[i].client == 0) {
            struct upstream *u = conn_upstream(r, &r->conn[i]);
            assert(u != NULL);
            scan_conn(u, &r->conn[i]);
        }
    for (int i = 0; i < r->upstreams; i++)
        sent |= serve_all(&r->upstream[i]);
    return sent;
}

static void upstream_add(struct run *r, struct slice name, struct slice host, uint16_t port)
{
    int at = 0;
    assert(r->names < UPSTREAMS_MAX);
    while (at < r->upstreams && (r->upstream[at].host->port != port ||
                                 !slice_ieq(slice_of(r->upstream[at].host->host), host)))
        at++;
    if (at == r->upstreams) {
        char text[48];
        assert(r->upstreams < UPSTREAMS_MAX);
        struct upstream *u = &r->upstream[r->upstreams++];
        text_copy(text, sizeof text, name);
        *u = (struct upstream){.host = sim_host(r->loop, text, host, port), .serves = S("")};
        u->host->tag = u;
    }
    r->name[r->names++] = (struct name){name, at};
}

struct upstream *upstream_find(struct run *r, struct slice name)
{
    for (int i = 0; i < r->names; i++)
        if (slice_eq(r->name[i].name, name))
            return &r->upstream[r->name[i].upstream];
    for (int i = 0; i < r->upstreams; i++) {
        char full[300];
        struct upstream *u = &r->upstream[i];
        text_format(full, sizeof full, "%s:%u", u->host->host, (unsigned)u->host->port);
        if (slice_eq(name, slice_of(u->host->host)) || slice_eq(name, slice_of(full)))
            return u;
    }
    return NULL;
}

static struct conn *newest_conn(struct run *r, const struct upstream *u)
{
    for (int i = r->conns - 1; i >= 0; i--)
        if (r->conn[i].client == 0 && conn_upstream(r, &r->conn[i]) == u)
            return &r->conn[i];
    return NULL;
}

/* Where `>` goes: to the request looked at last, else the next one that came in, else the newest
 * connection, whose request is not yet complete. */
static struct conn *answer_conn(struct run *r, struct upstream *u)
{
    if (u->current == NULL) {
        bool complete = u->used < u->requests;
        u->current = complete ? u->request[u->used++].conn : newest_conn(r, u);
        u->answer_from = u->current != NULL ? u->current->peer->tx.n : 0;
    }
    return u->current;
}

static void upstream_reads(struct run *r, struct upstream *u, bool on)
{
    u->deaf = !on;
    for (int i = 0; i < r->conns; i++)
        if (r->conn[i].client == 0 && conn_upstream(r, &r->conn[i]) == u)
            sim_reading(r->conn[i].peer, on);
}

/* ---- steps --------------------------------------------------------------------------- */

static enum sim_end end_of(enum expect_how how)
{
    return how == HOW_CLEAN ? SIM_FIN : how == HOW_BROKEN ? SIM_RST : SIM_CUT;
}

static void client_step(struct run *r, const struct step *st)
{
    struct conn *c;
    switch (st->kind) {
    case STEP_SEND:
        c = client_conn(r, st);
        if (c != NULL)
            sim_send(c->peer, st->data);
        break;
    case STEP_END:
        c = r->client[st->client];
        if (c != NULL)
            sim_end(c->peer, end_of(st->how));
        break;
    case STEP_SHUT:
        c = r->client[st->client];
        if (c != NULL)
            sim_shut(c->peer);
        break;
    case STEP_READS:
        c = st->number ? r->client[st->client] : client_conn(r, st);
        if (c != NULL)
            sim_reading(c->peer, st->number != 0);
        break;
    default:
        if (r->check)
            (void)expect_client(r, st);
    }
}

static void upstream_send(struct run *r, const struct step *st, struct upstream *u)
{
    struct conn *c = answer_conn(r, u);
    if (c != NULL)
        sim_send(c->peer, st->data);
    else if (r->check)
        run_fail(r, st->line, "%.*s has no connection to answer on", (int)st->upstream.n,
                 st->upstream.p);
}

static void upstream_end(struct run *r, const struct step *st, struct upstream *u)
{
    struct conn *c = u->current != NULL ? u->current : newest_conn(r, u);
    if (c != NULL)
        sim_end(c->peer, end_of(st->how));
    else if (r->check)
        run_fail(r, st->line, "%.*s has no connection", (int)st->upstream.n, st->upstream.p);
}

static void upstream_step(struct run *r, const struct step *st)
{
    struct upstream *u = upstream_find(r, st->upstream);
    if (u == NULL) {
        run_fail(r, st->line, "no upstream `%.*s`", (int)st->upstream.n, st->upstream.p);
        return;
    }
    switch (st->kind) {
    case STEP_SEND:
        upstream_send(r, st, u);
        break;
    case STEP_END:
        upstream_end(r, st, u);
        break;
    case STEP_VERDICT:
        u->host->verdict = (enum err)st->number;
        break;
    case STEP_DELAY:
        u->host->delay_ms = st->number;
        break;
    case STEP_SERVES:
        u->serves = st->data;
        break;
    case STEP_READS:
        upstream_reads(r, u, st->number != 0);
        break;
    default:
        (void)expect_upstream(r, st, u);
    }
}

static void records_step(struct run *r, const struct step *st)
{
    struct record *rec = mem_new(RIG_RECORDS * sizeof *rec);
    int n = rig_records(r->house, rec);
    mem_free(rec);
    if (n != st->number)
        run_fail(r, st->line, "%d records, not %" PRId64, n, st->number);
}

static void other_step(struct run *r, const struct step *st)
{
    switch (st->kind) {
    case STEP_CLOCK:
        if (!sim_advance(r->loop, st->number))
            run_fail(r, st->line, "the house does not come to rest");
        break;
    case STEP_RECORD:
        if (r->check)
            (void)expect_record(r, st);
        break;
    case STEP_RECORDS:
        if (r->check)
            records_step(r, st);
        break;
    case STEP_ACCOUNT:
        if (r->check)
            (void)expect_account(r, st);
        break;
    case STEP_SIGNAL:
        if (!sim_signal(r->loop, (int)st->number))
            run_fail(r, st->line, "nobody listens for this signal");
        break;
    case STEP_HOUSE:
        if (!rig_do(r->house, st->name))
            run_fail(r, st->line, "the house knows no `%.*s`", (int)st->name.n, st->name.p);
        break;
    default:
        assert(!"a step of nobody");
    }
}

static void settle(struct run *r, int line)
{
    if (!sim_settle(r->loop))
        run_fail(r, line, "the house does not come to rest: it turns without a byte moving");
}

static void steps_play(struct run *r)
{
    for (int i = 0; i < r->script->steps && !r->failed; i++) {
        const struct step *st = &r->script->step[i];
        trace_step(r, st);
        if (st->client > 0)
            client_step(r, st);
        else if (st->upstream.n > 0)
            upstream_step(r, st);
        else
            other_step(r, st);
        settle(r, st->line);
    }
}

/* ---- the end ------------------------------------------------------------------------- */

/* Peers broke: time passes until the house has got over it. */
static void outlast(struct run *r)
{
    int64_t until = loop_now(r->loop) + BROKEN_LIMIT_MS;
    while (!r->failed && (rig_in_flight(r->house) > 0 || judge_waiting(r))) {
        if (!sim_step(r->loop, until)) {
            run_fail(r, 0, "%" PRId64 " requests in flight and no deadline ends them%s",
                     rig_in_flight(r->house), judge_waiting(r) ? "; a client waits for ever" : "");
            return;
        }
        settle(r, 0);
    }
}

static void clients_leave(struct run *r)
{
    for (int i = 0; i < r->conns; i++)
        if (r->conn[i].client > 0) {
            sim_reading(r->conn[i].peer, true);
            sim_end(r->conn[i].peer, SIM_FIN);
        }
    settle(r, 0);
    /* an end may be of one side only: the house asks whether anybody is there */
    if (!r->failed && !sim_advance(r->loop, GONE_MS))
        run_fail(r, 0, "the house spins after every client has left");
    if (!r->failed && rig_in_flight(r->house) != 0)
        run_fail(r, 0, "%" PRId64 " requests in flight after every client has left",
                 rig_in_flight(r->house));
}

static void house_ends(struct run *r)
{
    int64_t until = loop_now(r->loop) + STOP_LIMIT_MS;
    rig_stop(r->house);
    r->house = NULL;
    settle(r, 0);
    while (!r->failed && sim_step(r->loop, until))
        settle(r, 0);
}

static void run_open(struct run *r)
{
    const struct script *s = r->script;
    const struct sim_hooks hooks = {
        .arg = r,
        .on_dialled = on_dialled,
        .on_rest = on_rest,
        .trace = r->plan->trace ? trace_put : NULL,
    };
    char why[256] = "";
    r->loop = loop_new();
    sim_hooks_set(r->loop, &hooks);
    for (int i = 0; i < s->accounts; i++) {
        struct slice host;
        uint16_t port;
        if (rig_account_host(&s->account[i], &host, &port))
            upstream_add(r, s->account[i].name, host, port);
    }
    for (int i = 0; i < s->hosts; i++)
        upstream_add(r, s->host[i].name, s->host[i].host, s->host[i].port);
    r->house = rig_start(r->loop, s, r->plan->config, why, sizeof why);
    if (r->house == NULL)
        run_fail(r, 0, "the house does not start: %s", why);
}

/* A run that failed may have left anything behind: its memory is given up rather than looked at. */
static void run_close(struct run *r)
{
    for (int i = 0; i < r->upstreams; i++)
        mem_free(r->upstream[i].request);
    if (!r->failed)
        loop_free(r->loop);
}

static void run_middle(struct run *r)
{
    bool broken = !r->check;
    sim_weather_set(r->loop, &r->plan->weather);
    fault_counter = 0;
    fault_target = r->plan->fault;
    steps_play(r);
    if (broken)
        outlast(r);
    if (!r->failed)
        judge_replies(r);
    clients_leave(r);
    r->out->faults = fault_counter;
    fault_target = 0;
    if (!r->failed)
        judge_records(r);
    if (!r->failed && r->plain == NULL)
        judge_note_peers(r);
}

void play(const struct script *s, const struct plan *p, const struct outcome *plain,
          struct outcome *out)
{
    struct run *r = NEW(struct run);
    memset(out, 0, sizeof *out);
    r->script = s;
    r->plan = p;
    r->plain = plain;
    r->out = out;
    r->check = p->mode == MODE_PLAIN || p->mode == MODE_SPLIT || p->mode == MODE_STALL;
    run_open(r);
    if (r->house != NULL) {
        run_middle(r);
        house_ends(r);
        if (!r->failed)
            judge_leaks(r);
    }
    run_close(r);
    out->ok = !r->failed;
    mem_free(r);
}

void outcome_free(struct outcome *o)
{
    bytes_free(&o->transcript);
    bytes_free(&o->bodies);
}
