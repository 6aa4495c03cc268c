/* simloop: a loop whose clock is an integer, its worker, its dials and its listeners. */
#include "simloop.h"

#include <string.h>

#define SIM_IDLE_TURNS                                                         \
    10000 /* turns without a byte crossing, until the house counts as spinning \
           */

void sim_trace(const struct loop *l, const char *who, const char *what, struct slice bytes)
{
    if (l->hooks.trace != NULL)
        l->hooks.trace(l->hooks.arg, who, what, bytes);
}

void sim_moved(struct loop *l)
{
    l->moved = true;
}

/* ---- loop and clock ------------------------------------------------------------------ */

struct loop *loop_new(void)
{
    struct loop *l = NEW(struct loop);
    core_init(&l->core, NULL);
    l->now = SIM_START_MS;
    list_init(&l->peers);
    list_init(&l->streams);
    list_init(&l->hosts);
    list_init(&l->dials);
    list_init(&l->listeners);
    list_init(&l->workers);
    list_init(&l->arrivals);
    return l;
}

void loop_free(struct loop *l)
{
    core_empty_graveyard(&l->core);
    assert(l->live.streams == 0 && l->live.dials == 0 && l->live.listeners == 0);
    assert(l->live.workers == 0);
    while (!list_empty(&l->peers))
        sim_peer_free(CONTAINER(l->peers.next, struct sim_peer, link));
    while (!list_empty(&l->hosts)) {
        struct sim_host *h = CONTAINER(l->hosts.next, struct sim_host, link);
        list_remove(&h->link);
        mem_free(h);
    }
    core_free(&l->core);
    mem_free(l);
}

int64_t loop_now(const struct loop *l)
{
    return l->now;
}

int64_t loop_wall(const struct loop *l)
{
    return SIM_EPOCH_MS + (l->now - SIM_START_MS) + l->wall_step;
}

void sim_wall_step(struct loop *l, int64_t ms)
{
    l->wall_step += ms;
}

int64_t loop_now_us(const struct loop *l)
{
    return l->now * 1000;
}

void loop_on_signal(struct loop *l, int signum, void (*fn)(void *arg, int signum), void *arg)
{
    for (int i = 0; i < SIM_SIGNALS; i++) {
        struct sim_signal *s = &l->signal[i];
        if (s->fn == NULL || s->signum == signum) {
            *s = (struct sim_signal){.signum = signum, .fn = fn, .arg = arg};
            return;
        }
    }
    assert(!"too many signals for the simulated loop");
}

bool sim_signal(struct loop *l, int signum)
{
    for (int i = 0; i < SIM_SIGNALS; i++)
        if (l->signal[i].fn != NULL && l->signal[i].signum == signum) {
            l->signal[i].pending = true;
            return true;
        }
    return false;
}

int64_t net_fd_limit(void)
{
    return 1024;
}

void sim_hooks_set(struct loop *l, const struct sim_hooks *h)
{
    l->hooks = *h;
}

void sim_weather_set(struct loop *l, const struct sim_weather *w)
{
    assert(w->take < SIM_TAKES && w->reads_per_turn >= 0);
    l->weather = *w;
}

/* ---- worker: the other thread, played on this one ------------------------------------ */

struct worker {
    struct link link;
    struct loop *loop;
    struct link posted, ran;
    size_t depth;
};

struct worker *worker_new(struct loop *l, const char *name)
{
    struct worker *w = NEW(struct worker);
    assert(name != NULL);
    w->loop = l;
    list_init(&w->posted);
    list_init(&w->ran);
    list_init(&w->link);
    list_push(&l->workers, &w->link);
    l->live.workers++;
    return w;
}

void worker_post(struct worker *w, struct job *j)
{
    assert(j->run != NULL);
    list_init(&j->link);
    list_push(&w->posted, &j->link);
    w->depth++;
    w->loop->live.jobs++;
}

int64_t worker_stuck_ms(const struct worker *w)
{
    (void)w;
    return 0;
}

bool worker_breathe(struct worker *w)
{
    (void)w;
    return false; /* there is no other thread */
}

size_t worker_depth(const struct worker *w)
{
    return w->depth;
}

static void job_over(struct worker *w)
{
    assert(w->depth > 0);
    w->depth--;
    w->loop->live.jobs--;
}

/* Runs the oldest job. The store's own failures have their own tests: no fault is injected here. */
static void worker_run_one(struct worker *w)
{
    struct job *j = CONTAINER(w->posted.next, struct job, link);
    list_remove(&j->link);
    uint64_t target = fault_target;
    fault_target = 0;
    if (j->done != NULL) {
        j->run(j);
        list_push(&w->ran, &j->link);
    } else {
        j->run(j); /* may free j */
        job_over(w);
    }
    fault_target = target;
}

static void worker_done_one(struct worker *w)
{
    struct job *j = CONTAINER(w->ran.next, struct job, link);
    list_remove(&j->link);
    job_over(w);
    j->done(j); /* may free j, and w's owner may go on posting */
}

/* What ran in an earlier turn reports; what was posted before this turn runs. */
static void worker_turn(struct worker *w)
{
    struct link batch;
    list_init(&batch);
    while (!list_empty(&w->ran)) {
        struct link *first = w->ran.next;
        list_remove(first);
        list_push(&batch, first);
    }
    size_t n = 0;
    for (struct link *k = w->posted.next; k != &w->posted; k = k->next)
        n++;
    for (; n > 0; n--) {
        worker_run_one(w);
        sim_moved(w->loop);
    }
    struct loop *l = w->loop;
    while (!list_empty(&batch)) {
        struct job *j = CONTAINER(batch.next, struct job, link);
        list_remove(&j->link);
        job_over(w);
        sim_moved(l);
        j->done(j);
    }
}

void worker_free(struct worker *w)
{
    while (!list_empty(&w->posted) || !list_empty(&w->ran)) {
        while (!list_empty(&w->posted))
            worker_run_one(w);
        while (!list_empty(&w->ran))
            worker_done_one(w);
    }
    assert(w->depth == 0);
    list_remove(&w->link);
    w->loop->live.workers--;
    mem_free(w);
}

/* ---- TLS: only its name -------------------------------------------------------------- */

struct tls_client {
    char mark; /* there is nothing to hold: certificates are verdicts of the scripted host */
};
static int tls_clients; /* alive in this process; runs do not overlap */

enum err tls_client_new(const char *ca_file, const char *ca_env, struct tls_client **out,
                        const char **why)
{
    (void)ca_file;
    (void)ca_env;
    *why = "";
    *out = NEW(struct tls_client);
    tls_clients++;
    return OK;
}

void tls_client_free(struct tls_client *t)
{
    if (t == NULL)
        return;
    assert(tls_clients > 0);
    tls_clients--;
    mem_free(t);
}

/* ---- dialling ------------------------------------------------------------------------ */

struct dial {
    struct link link;
    struct loop *loop;
    struct sim_host *host; /* NULL: nobody has that name */
    enum err verdict;
    bool tls;
    uint64_t born;
    struct timer timer; /* the host's delay */
    bool due;
    dial_done_fn *done;
    void *owner;
};

struct sim_host *sim_host(struct loop *l, const char *name, struct slice host, uint16_t port)
{
    struct sim_host *h = NEW(struct sim_host);
    text_copy(h->host, sizeof h->host, host);
    text_copy(h->name, sizeof h->name, slice_of(name));
    h->port = port;
    list_init(&h->link);
    list_push(&l->hosts, &h->link);
    return h;
}

static struct sim_host *host_find(struct loop *l, struct slice host, uint16_t port)
{
    for (struct link *k = l->hosts.next; k != &l->hosts; k = k->next) {
        struct sim_host *h = CONTAINER(k, struct sim_host, link);
        if (h->port == port && slice_ieq(slice_of(h->host), host))
            return h;
    }
    return NULL;
}

/* A numeric target that is not public is refused before anything is asked, as the real dial does.
 */
static bool target_is_private(const struct dial_target *t)
{
    char text[300];
    struct addr a;
    bool v6 = slice_find(t->host, ':') >= 0;
    size_t n = text_format(text, sizeof text, v6 ? "[%.*s]:%u" : "%.*s:%u", (int)t->host.n,
                           t->host.p, (unsigned)t->port);
    return addr_parse((struct slice){text, n}, &a) == OK && a.is_private;
}

static void dial_due(void *arg)
{
    struct dial *d = arg;
    d->due = true;
}

struct dial *dial_start(struct loop *l, const struct dial_target *t, dial_done_fn *done,
                        void *owner)
{
    assert(t->host.n > 0 && t->host.n <= 253 && t->port != 0 && done != NULL);
    struct dial *d = NEW(struct dial);
    d->loop = l;
    d->host = host_find(l, t->host, t->port);
    d->tls = t->tls != NULL;
    d->born = l->turn;
    d->done = done;
    d->owner = owner;
    d->verdict = d->host == NULL ? ERR_DNS : d->host->verdict;
    if (!t->allow_private && target_is_private(t))
        d->verdict = ERR_DENIED;
    else if (d->host != NULL)
        d->host->dials++;
    if (fault_here())
        d->verdict = ERR_CONNECT;
    timer_init(&d->timer, l, dial_due, d);
    if (d->host != NULL && d->host->delay_ms > 0)
        timer_set(&d->timer, l->now + d->host->delay_ms);
    else
        d->due = true;
    list_init(&d->link);
    list_push(&l->dials, &d->link);
    l->live.dials++;
    sim_trace(l, d->host != NULL ? d->host->name : "?", "dialled", t->host);
    return d;
}

static void dial_close(struct dial *d)
{
    timer_stop(&d->timer);
    list_remove(&d->link);
    d->loop->live.dials--;
    loop_bury(d->loop, d, mem_free);
}

void dial_cancel(struct dial *d)
{
    assert(d->done != NULL);
    d->done = NULL;
    dial_close(d);
}

static const char *dial_why(enum err e)
{
    switch (e) {
    case ERR_DNS:
        return "name not found";
    case ERR_CERT:
        return "certificate not accepted";
    case ERR_TLS:
        return "handshake failed";
    case ERR_DENIED:
        return "address is not public";
    case ERR_TIMEOUT:
        return "connect timed out";
    default:
        return "connection refused";
    }
}

static void dial_conclude(struct dial *d)
{
    struct loop *l = d->loop;
    dial_done_fn *done = d->done;
    void *owner = d->owner;
    enum err verdict = d->verdict;
    struct stream *s = NULL;
    const char *why = "";
    d->done = NULL;
    if (verdict == OK) {
        char name[64];
        text_format(name, sizeof name, "%s.%d", d->host->name, d->host->dials);
        struct sim_peer *p = sim_peer_new(l, name);
        p->tls = d->tls;
        text_format(p->addr.text, sizeof p->addr.text, "203.0.113.1:%u", (unsigned)d->host->port);
        s = sim_stream_new(l, p);
        sim_trace(l, p->name, "connected", S(""));
        if (l->hooks.on_dialled != NULL)
            l->hooks.on_dialled(l->hooks.arg, d->host, p);
    } else {
        why = dial_why(verdict);
        sim_trace(l, d->host != NULL ? d->host->name : "?", "refused", slice_of(why));
    }
    dial_close(d);
    done(owner, verdict, why, s);
    assert(s == NULL || s->ops != NULL || s->life == STREAM_CLOSED);
}

static void dials_turn(struct loop *l)
{
    for (struct link *k = l->dials.next, *next; k != &l->dials; k = next) {
        struct dial *d = CONTAINER(k, struct dial, link);
        next = k->next;
        if (!d->due || d->verdict == ERR_AGAIN || d->born >= l->turn)
            continue;
        sim_moved(l);
        dial_conclude(d);
        next = l->dials.next; /* the callback may have cancelled any other */
    }
}

/* ---- listening ----------------------------------------------------------------------- */

struct arrival {
    struct link link;
    struct sim_peer *peer;
    uint64_t born;
};

enum err listener_open(struct loop *l, const struct addr *a, const char *path,
                       const struct listener_ops *ops, void *owner, struct listener **out)
{
    assert((a != NULL || path != NULL) && ops->on_accept != NULL);
    if (fault_here())
        return ERR_EXISTS;
    struct listener *li = NEW(struct listener);
    li->loop = l;
    if (path != NULL)
        li->addr = (struct addr){.text = "unix", .is_unix = true, .is_loopback = true};
    else
        li->addr = *a;
    li->ops = *ops;
    li->owner = owner;
    list_init(&li->link);
    list_push(&l->listeners, &li->link);
    l->live.listeners++;
    *out = li;
    return OK;
}

const struct addr *listener_addr(const struct listener *l)
{
    return &l->addr;
}

void listener_pause(struct listener *l, bool paused)
{
    l->paused = paused;
}

void listener_close(struct listener *li)
{
    list_remove(&li->link);
    li->loop->live.listeners--;
    loop_bury(li->loop, li, mem_free);
}

struct sim_peer *sim_connect(struct loop *l, const char *name, struct slice from)
{
    struct sim_peer *p = sim_peer_new(l, name);
    enum err e = addr_parse(from.n > 0 ? from : S("127.0.0.1:50000"), &p->addr);
    assert(e == OK);
    struct arrival *a = NEW(struct arrival);
    a->peer = p;
    a->born = l->turn;
    list_init(&a->link);
    list_push(&l->arrivals, &a->link);
    return p;
}

static void arrivals_turn(struct loop *l)
{
    for (struct link *k = l->arrivals.next, *next; k != &l->arrivals; k = next) {
        struct arrival *a = CONTAINER(k, struct arrival, link);
        struct sim_peer *p = a->peer;
        struct listener *li = NULL;
        next = k->next;
        if (!list_empty(&l->listeners))
            li = CONTAINER(l->listeners.prev, struct listener, link);
        if (li != NULL && (li->paused || a->born >= l->turn))
            continue;
        list_remove(k);
        mem_free(a);
        sim_moved(l);
        if (li == NULL) { /* nobody listens any more */
            p->rx_end = SIM_RST;
            sim_trace(l, p->name, "connection refused", S(""));
            continue;
        }
        struct stream *s = sim_stream_new(l, p);
        sim_trace(l, p->name, "accepted", S(""));
        li->ops.on_accept(li->owner, s);
        assert(s->ops != NULL || s->life == STREAM_CLOSED);
    }
}

static void arrivals_drop(struct loop *l)
{
    while (!list_empty(&l->arrivals)) {
        struct arrival *a = CONTAINER(l->arrivals.next, struct arrival, link);
        list_remove(&a->link);
        mem_free(a);
    }
}

/* ---- the turn ------------------------------------------------------------------------ */

static void signals_turn(struct loop *l)
{
    for (int i = 0; i < SIM_SIGNALS; i++)
        if (l->signal[i].pending) {
            l->signal[i].pending = false;
            sim_moved(l);
            l->signal[i].fn(l->signal[i].arg, l->signal[i].signum);
        }
}

static bool sim_turn(struct loop *l)
{
    l->turn++;
    l->moved = false;
    if (core_fire_timers(&l->core, l->now) > 0)
        sim_moved(l);
    if (core_run_tasks(&l->core) > 0)
        sim_moved(l);
    core_empty_graveyard(&l->core);
    signals_turn(l);
    for (struct link *k = l->workers.next, *next; k != &l->workers; k = next) {
        next = k->next;
        worker_turn(CONTAINER(k, struct worker, link));
    }
    dials_turn(l);
    arrivals_turn(l);
    sim_streams_turn(l);
    core_empty_graveyard(&l->core);
    return l->moved || core_has_tasks(&l->core) || core_next_timer_at(&l->core) <= l->now;
}

static bool turn_is_due(const struct loop *l)
{
    /* A dial, an arrival or a job of this very turn waits for the next one without having moved. */
    for (struct link *k = l->dials.next; k != &l->dials; k = k->next) {
        const struct dial *d = CONTAINER(k, struct dial, link);
        if (d->due && d->verdict != ERR_AGAIN)
            return true;
    }
    if (!list_empty(&l->arrivals)) {
        const struct listener *li = CONTAINER(l->listeners.prev, struct listener, link);
        return list_empty(&l->listeners) || !li->paused;
    }
    return false;
}

/* Bytes crossed so far, both ways: what tells work from spinning. */
static size_t bytes_crossed(const struct loop *l)
{
    size_t n = 0;
    for (struct link *k = l->peers.next; k != &l->peers; k = k->next) {
        const struct sim_peer *p = CONTAINER(k, struct sim_peer, link);
        n += p->rx.n + p->tx_read;
    }
    return n;
}

bool sim_settle(struct loop *l)
{
    size_t crossed = bytes_crossed(l);
    int idle = 0;
    for (;;) {
        if (sim_turn(l) || turn_is_due(l)) {
            if (++idle < SIM_IDLE_TURNS)
                continue;
            size_t now = bytes_crossed(l);
            if (now == crossed)
                return false;
            crossed = now;
            idle = 0;
            continue;
        }
        if (l->hooks.on_rest == NULL || !l->hooks.on_rest(l->hooks.arg))
            return true;
    }
}

bool sim_step(struct loop *l, int64_t until)
{
    int64_t next = core_next_timer_at(&l->core);
    if (next > until)
        return false;
    if (next > l->now)
        l->now = next;
    return true;
}

bool sim_advance(struct loop *l, int64_t ms)
{
    int64_t until = l->now + ms;
    assert(ms >= 0);
    if (!sim_settle(l))
        return false;
    while (sim_step(l, until))
        if (!sim_settle(l))
            return false;
    l->now = until;
    return sim_settle(l);
}

void loop_stop(struct loop *l)
{
    l->stopped = true;
}

void loop_run(struct loop *l)
{
    l->stopped = false;
    while (!l->stopped)
        if (!sim_turn(l) && !turn_is_due(l) && !sim_step(l, CORE_NEVER - 1))
            break;
    arrivals_drop(l);
}

void sim_live_counts(const struct loop *l, struct sim_counts *out)
{
    *out = l->live;
    out->timers = l->core.heap_len;
    out->tasks = core_has_tasks(&l->core);
    out->tls = tls_clients;
}
