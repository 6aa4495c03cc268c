/* dial: names to addresses, addresses raced, TLS put on top.
 *
 *     lookup (shared by all dials to a name, cached) -> attempts, 250 ms apart -> TLS -> done */
#include "net/platform.h"
#include "net/tls.h"

#include <netdb.h>
#include <string.h>

#define HOST_MAX   254 /* RFC 1035: 253 characters, and NUL */
#define ADDRS_MAX  16
#define NAMES_MAX  256
#define ANSWER_MS  30000
#define FAILURE_MS 1000
#define ATTEMPT_MS 250 /* RFC 8305 section 8, "Connection Attempt Delay" */

/* ---- names ----------------------------------------------------------------------------------- */

struct resolver {
    struct map names; /* host in lower case -> struct lookup */
    size_t in_flight; /* requests a thread is busy with */
};

struct lookup {
    uv_getaddrinfo_t req;
    struct loop *loop;
    struct link waiters; /* dials */
    bool in_flight;
    int64_t fresh_until; /* monotonic; the answer below counts until then */
    enum err e;
    const char *why;
    union sock addrs[ADDRS_MAX];
    size_t n;
};

struct resolver *resolver_new(void)
{
    struct resolver *r = NEW(struct resolver);
    map_init(&r->names);
    return r;
}

bool resolver_busy(const struct resolver *r)
{
    return r->in_flight > 0;
}

void resolver_free(struct resolver *r)
{
    assert(r->in_flight == 0);
    size_t at = 0;
    struct slice key;
    void *value;
    while (map_next(&r->names, &at, &key, &value)) {
        assert(list_empty(&((struct lookup *)value)->waiters));
        mem_free(value);
    }
    map_free(&r->names);
    mem_free(r);
}

static enum err dns_err(int r, const char **why)
{
    switch (r) {
    case UV_EAI_NONAME:
#ifdef UV_EAI_NODATA
    case UV_EAI_NODATA:
#endif
        *why = "the name does not exist";
        break;
    case UV_EAI_AGAIN:
    case UV_ETIMEDOUT:
        *why = "no answer from the name server";
        break;
    default:
        *why = "the name could not be resolved";
        break;
    }
    return ERR_DNS;
}

/* Copies the answer, IPv6 and IPv4 in turn, IPv6 first (RFC 8305 section 4). */
static void lookup_keep(struct lookup *k, const struct addrinfo *answer)
{
    const struct addrinfo *at[2] = {answer, answer};
    const int family[2] = {AF_INET6, AF_INET};
    k->n = 0;
    for (int turn = 0; k->n < ADDRS_MAX && (at[0] != NULL || at[1] != NULL); turn = !turn) {
        while (at[turn] != NULL && at[turn]->ai_family != family[turn])
            at[turn] = at[turn]->ai_next;
        if (at[turn] == NULL)
            continue;
        union sock *s = &k->addrs[k->n++];
        memset(s, 0, sizeof *s);
        memcpy(s, at[turn]->ai_addr, family[turn] == AF_INET ? sizeof s->v4 : sizeof s->v6);
        at[turn] = at[turn]->ai_next;
    }
}

static void dial_resolved(struct dial *d, const struct lookup *k);
static struct dial *dial_waiting(struct link *l);

static void lookup_end(struct lookup *k, enum err e, const char *why)
{
    k->e = e;
    k->why = why;
    k->fresh_until = loop_now(k->loop) + (e == OK ? ANSWER_MS : FAILURE_MS);
    while (!list_empty(&k->waiters)) {
        struct dial *d = dial_waiting(k->waiters.next);
        list_remove(k->waiters.next);
        dial_resolved(d, k);
    }
}

static void on_answer(uv_getaddrinfo_t *req, int status, struct addrinfo *answer)
{
    struct lookup *k = req->data;
    const char *why = NULL;
    enum err e = OK;
    assert(k->in_flight && k->loop->resolver->in_flight > 0);
    k->in_flight = false;
    k->loop->resolver->in_flight--;
    if (status < 0) {
        e = dns_err(status, &why);
    } else {
        lookup_keep(k, answer);
        uv_freeaddrinfo(answer);
        if (k->n == 0)
            e = dns_err(UV_EAI_NONAME, &why);
    }
    lookup_end(k, e, why);
}

/* Makes room by forgetting every answer that nobody waits for. */
static void names_sweep(struct map *m)
{
    size_t at = 0;
    struct slice key;
    void *value;
    while (map_next(m, &at, &key, &value)) {
        struct lookup *k = value;
        if (!k->in_flight && list_empty(&k->waiters)) {
            map_del(m, key);
            mem_free(k);
        }
    }
}

static struct lookup *lookup_of(struct loop *l, const char *host)
{
    struct map *m = &l->resolver->names;
    struct lookup *k = map_get(m, slice_of(host));
    if (k != NULL)
        return k;
    if (m->live >= NAMES_MAX)
        names_sweep(m);
    k = NEW(struct lookup);
    k->loop = l;
    k->req.data = k;
    k->fresh_until = INT64_MIN;
    list_init(&k->waiters);
    void *old = map_put(m, slice_of(host), k);
    assert(old == NULL);
    (void)old;
    return k;
}

/* Asks, unless that is going on. ERR_AGAIN: the waiters will hear. */
static enum err lookup_ask(struct lookup *k, const char *host, const char **why)
{
    if (k->in_flight)
        return ERR_AGAIN;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    /* Families this machine has no address of are not asked for: some name servers let such a
     * question time out. Not so for names of the machine itself, whose interface does not count. */
    if (!slice_eq(slice_of(host), S("localhost")) && !slice_ends(slice_of(host), S(".localhost")))
        hints.ai_flags = AI_ADDRCONFIG;
    int r = uv_getaddrinfo(&k->loop->uv, &k->req, on_answer, host, NULL, &hints);
    if (r < 0)
        return dns_err(r, why);
    k->in_flight = true;
    k->loop->resolver->in_flight++;
    return ERR_AGAIN;
}

/* ---- a dial ---------------------------------------------------------------------------------- */

struct attempt { /* lives until its callback: libuv calls it in any case */
    uv_connect_t req;
    struct dial *dial; /* NULL: given up */
    struct stream *s;
};

struct dial {
    struct loop *loop;
    dial_done_fn *done;
    void *owner;
    struct tls_client *tls;
    bool allow_private;
    char host[HOST_MAX];
    uint16_t port;
    struct link waiting; /* in lookup->waiters */
    struct timer next;   /* starts the next attempt */
    struct task report;  /* failures found inside a call */
    union sock addrs[ADDRS_MAX];
    size_t n, at; /* addresses, and how many were begun */
    struct attempt *tries[ADDRS_MAX];
    size_t open;      /* attempts in flight */
    struct stream *s; /* the winner, during its TLS handshake */
    enum err e;       /* how the latest attempt failed */
    const char *why;
};

static struct dial *dial_waiting(struct link *l)
{
    return CONTAINER(l, struct dial, waiting);
}

static void tries_drop(struct dial *d)
{
    for (size_t i = 0; i < d->at; i++) {
        struct attempt *a = d->tries[i];
        if (a == NULL)
            continue;
        d->tries[i] = NULL;
        d->open--;
        a->dial = NULL;
        stream_abort(a->s);
    }
    assert(d->open == 0);
}

static void dial_free(struct dial *d)
{
    timer_stop(&d->next);
    task_cancel(&d->report);
    list_remove(&d->waiting);
    tries_drop(d);
    if (d->s != NULL)
        stream_abort(d->s);
    mem_free(d);
}

/* The one call of done; *d is gone. */
static void dial_end(struct dial *d, enum err e, const char *why, struct stream *s)
{
    dial_done_fn *done = d->done;
    void *owner = d->owner;
    assert((e == OK) == (s != NULL));
    d->s = NULL;
    dial_free(d);
    done(owner, e, why, s);
}

static void on_report(void *arg)
{
    struct dial *d = arg;
    assert(d->e != OK);
    dial_end(d, d->e, d->why, NULL);
}

/* Ends it in the next turn. */
static void dial_fail(struct dial *d, enum err e, const char *why)
{
    d->e = e;
    d->why = why;
    task_post(d->loop, &d->report);
}

static void on_tls(void *arg, enum err e, const char *why)
{
    struct dial *d = arg;
    struct stream *s = d->s;
    if (e != OK) {
        stream_abort(s);
        s = NULL;
    }
    dial_end(d, e, why, s);
}

static void dial_won(struct dial *d, struct stream *s)
{
    timer_stop(&d->next);
    tries_drop(d);
    uv_os_fd_t fd;
    if (s->h.any.type == UV_TCP && uv_fileno(&s->h.any, &fd) == 0)
        platform_tune(fd);
    if (d->tls == NULL) {
        dial_end(d, OK, NULL, s);
        return;
    }
    d->s = s;
    if (tls_client_start(d->tls, s, d->host, d->port, on_tls, d) != OK) {
        d->s = NULL;
        stream_abort(s);
        dial_end(d, ERR_NOMEM, "out of memory", NULL);
    }
}

static void dial_try(struct dial *d);

static void on_connect(uv_connect_t *req, int status)
{
    struct attempt *a = CONTAINER(req, struct attempt, req);
    struct dial *d = a->dial;
    struct stream *s = a->s;
    if (d != NULL) {
        for (size_t i = 0; i < d->at; i++) {
            if (d->tries[i] == a)
                d->tries[i] = NULL;
        }
        d->open--;
    }
    mem_free(a);
    if (d == NULL)
        return;
    if (status == 0) {
        dial_won(d, s);
        return;
    }
    d->e = uv_err(status, &d->why);
    stream_abort(s);
    dial_try(d); /* no reason to wait any longer */
}

static struct attempt *attempt_new(struct dial *d, bool tcp)
{
    struct attempt *a = NEW(struct attempt);
    a->dial = d;
    a->s = stream_new(d->loop, tcp);
    a->s->dialled = true;
    d->tries[d->at++] = a;
    d->open++;
    return a;
}

/* Begins with the next address; when there is none and nothing is in flight, it has failed. */
static void dial_try(struct dial *d)
{
    timer_stop(&d->next);
    while (d->at < d->n) {
        const union sock *to = &d->addrs[d->at];
        struct attempt *a = attempt_new(d, true);
        int r = uv_tcp_connect(&a->req, &a->s->h.tcp, &to->any, on_connect);
        if (r == 0) {
            if (d->at < d->n)
                timer_set(&d->next, loop_now(d->loop) + ATTEMPT_MS);
            return;
        }
        d->e = uv_err(r, &d->why);
        d->tries[d->at - 1] = NULL;
        d->open--;
        stream_abort(a->s);
        mem_free(a);
    }
    if (d->open == 0) /* a path that breaks while connecting is a connect error */
        dial_fail(d, d->e == ERR_RESET || d->e == ERR_IO ? ERR_CONNECT : d->e, d->why);
}

static void on_next(void *arg)
{
    dial_try(arg);
}

/* Only addresses the rule allows are kept, and exactly these are connected to: so a name cannot
 * mean one address to the check and another one to connect(2). */
static void dial_addrs(struct dial *d, const union sock *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct addr a;
        addr_from_sock(&a, &from[i].any);
        if (a.is_private && !d->allow_private)
            continue;
        d->addrs[d->n] = from[i];
        sock_set_port(&d->addrs[d->n++], d->port);
    }
    if (d->n == 0)
        dial_fail(d, ERR_DENIED, "the address is not a public one");
    else
        dial_try(d);
}

static void dial_resolved(struct dial *d, const struct lookup *k)
{
    assert(!k->in_flight);
    if (k->e != OK)
        dial_fail(d, k->e, k->why);
    else
        dial_addrs(d, k->addrs, k->n);
}

/* Letters, digits, '-', '_' and '.': what a resolver may be asked, and a certificate may name. */
static bool host_copy(char out[HOST_MAX], struct slice host)
{
    if (host.n == 0 || host.n >= HOST_MAX)
        return false;
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c + ('a' - 'A'));
        bool fine = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                    c == '.' || c == ':';
        if (!fine)
            return false;
        out[i] = c;
    }
    out[host.n] = '\0';
    return true;
}

static void dial_name(struct dial *d, struct slice host)
{
    union sock numeric;
    const char *why = NULL;
    if (!host_copy(d->host, host)) {
        dial_fail(d, ERR_DNS, "this is not a host name");
        return;
    }
    if (addr_numeric(host, &numeric)) {
        dial_addrs(d, &numeric, 1);
        return;
    }
    struct lookup *k = lookup_of(d->loop, d->host);
    if (loop_now(d->loop) < k->fresh_until) {
        dial_resolved(d, k);
        return;
    }
    enum err e = lookup_ask(k, d->host, &why);
    if (e == ERR_AGAIN)
        list_push(&k->waiters, &d->waiting);
    else
        dial_fail(d, e, why);
}

static void dial_path(struct dial *d, const char *path)
{
    struct attempt *a = attempt_new(d, false);
    uv_pipe_connect(&a->req, &a->s->h.pipe, path, on_connect); /* fails in a later turn only */
}

struct dial *dial_start(struct loop *l, const struct dial_target *t, dial_done_fn *done,
                        void *owner)
{
    struct dial *d = NEW(struct dial);
    assert(done != NULL);
    d->loop = l;
    d->done = done;
    d->owner = owner;
    d->tls = t->tls;
    d->allow_private = t->allow_private;
    d->port = t->port;
    list_init(&d->waiting);
    timer_init(&d->next, l, on_next, d);
    task_init(&d->report, on_report, d);
    if (fault_here())
        dial_fail(d, ERR_CONNECT, "connection refused");
    else if (t->path != NULL)
        dial_path(d, t->path);
    else
        dial_name(d, t->host);
    return d;
}

void dial_cancel(struct dial *d)
{
    dial_free(d);
}
