/* judge: what must hold after every run, whatever broke in it.
 *
 *  - A client that is still there has its whole reply, or its connection has ended.
 *  - A reply that looks complete is complete: an SSE body ends with message_stop or an error event,
 * any other 200 body is one that an upstream sent whole, or that the plain run gave too.
 *  - Exactly one record for each request that reached the gateway.
 *  - Nothing is left when the house has gone. */
#include "frames.h"
#include "run.h"

#include <string.h>

/* ---- replies ------------------------------------------------------------------------- */

/* Complete requests in what the house was given of this client; *head: also one more head. */
static int requests_given(const struct conn *c, bool *head)
{
    struct slice s = slice_sub(bytes_slice(&c->peer->tx), 0, c->peer->tx_read);
    int n = 0;
    *head = false;
    while (s.n > 0) {
        struct message m;
        message_read(&m, MESSAGE_REQUEST, s, false);
        bool complete = m.complete;
        *head = m.head && !complete;
        s = slice_sub(s, m.size, s.n);
        message_free(&m);
        if (!complete)
            break;
        n++;
    }
    return n;
}

/* Complete final replies this client has got. */
static int replies_got(const struct conn *c, bool *partial)
{
    struct slice s = bytes_slice(&c->peer->rx);
    int n = 0;
    *partial = false;
    while (s.n > 0) {
        struct message m;
        message_read(&m, reply_kind(c, n), s, c->peer->rx_end != SIM_OPEN);
        bool complete = m.complete;
        n += complete && m.status >= 200;
        s = slice_sub(s, m.size, s.n);
        message_free(&m);
        if (!complete) {
            *partial = true;
            break;
        }
    }
    return n;
}

static bool conn_waits(const struct conn *c)
{
    bool head, partial;
    if (c->client == 0 || c->peer->gone || c->peer->rx_end != SIM_OPEN || c->peer->not_reading)
        return false;
    return requests_given(c, &head) > replies_got(c, &partial) || partial;
}

bool judge_waiting(struct run *r)
{
    for (int i = 0; i < r->conns; i++)
        if (conn_waits(&r->conn[i]))
            return true;
    return false;
}

/* Appends the events' raw bytes but for pings. */
static void body_plain(const struct message *m, struct bytes *out)
{
    struct slice rest = bytes_slice(&m->body);
    struct event e;
    if (message_is_sse(m))
        while (event_next(&rest, &e))
            if (!slice_eq(e.name, S("ping")))
                bytes_puts(out, e.raw);
    bytes_puts(out, rest);
}

static void body_note(struct bytes *set, const struct message *m)
{
    struct bytes body = {0};
    body_plain(m, &body);
    bytes_add(set, &body.n, sizeof body.n);
    bytes_puts(set, bytes_slice(&body));
    bytes_free(&body);
}

static bool body_known(const struct bytes *set, struct slice body)
{
    size_t at = 0, n;
    while (at < set->n) {
        memcpy(&n, set->p + at, sizeof n);
        at += sizeof n;
        assert(n <= set->n - at);
        if (slice_eq(body, slice_sub(bytes_slice(set), at, at + n)))
            return true;
        at += n;
    }
    return false;
}

/* Adds the bodies of all complete replies in `s`. */
static void bodies_note(struct bytes *set, struct slice s, const struct conn *c, bool ended)
{
    for (int n = 0; s.n > 0;) {
        struct message m;
        message_read(&m, c != NULL ? reply_kind(c, n) : MESSAGE_RESPONSE, s, ended);
        bool complete = m.complete;
        n += complete && m.status >= 200;
        if (complete && m.status / 100 == 2)
            body_note(set, &m);
        s = slice_sub(s, m.size, s.n);
        message_free(&m);
        if (!complete)
            return;
    }
}

/* What upstreams sent whole in this run. One that was cut by FIN without a length has sent nothing.
 */
static void upstream_bodies(const struct run *r, struct bytes *set)
{
    for (int i = 0; i < r->conns; i++)
        if (r->conn[i].client == 0) {
            const struct sim_peer *p = r->conn[i].peer;
            bool ended = p->tx_end == SIM_FIN && p->vanish_at == SIZE_MAX;
            bodies_note(set, bytes_slice(&p->tx), NULL, ended);
        }
}

/* The last event that is not a ping. */
static bool sse_ended(const struct message *m)
{
    struct slice rest = bytes_slice(&m->body);
    struct event e;
    struct slice last = S("");
    while (event_next(&rest, &e))
        if (!slice_eq(e.name, S("ping")))
            last = e.name;
    return slice_eq(last, S("message_stop")) || slice_eq(last, S("error"));
}

static bool reply_honest(const struct run *r, const struct message *m, const struct bytes *whole)
{
    if (!m->complete || m->status / 100 != 2 || r->script->loose_bodies || r->script->translated)
        return true;
    if (message_is_sse(m) && sse_ended(m))
        return true; /* an error event tells the truth; message_stop is checked below */
    struct bytes body = {0};
    body_plain(m, &body);
    bool known = body.n == 0 || body_known(whole, bytes_slice(&body));
    if (!known && r->plain != NULL)
        known = body_known(&r->plain->bodies, bytes_slice(&body));
    bytes_free(&body);
    return known || r->plain == NULL;
}

/* A translated reply is known by nobody's bytes. What tells of an error tells the truth; who claims
 * to be whole needs somebody upstream who was: there are never more of the first than of the
 * second. */
static bool reply_claims(const struct message *m)
{
    struct slice body = bytes_slice(&m->body);
    return m->complete && m->status / 100 == 2 && body.n > 0 &&
           slice_search(body, S("error")) < 0 && slice_search(body, S("xception")) < 0 &&
           slice_search(body, S("inferenceProfile")) < 0 && /* the gateway's own word */
           message_find(m, S("x-sluice-estimated"), NULL) == NULL;
}

/* Whole by its framing, or its last word has been said before that broke off. */
static bool message_was_said(const struct message *m)
{
    static const char *const ends[] = {"message_stop",        "[DONE]",        "response.completed",
                                       "response.incomplete", "\"done\":true", "\"finishReason\""};
    struct bytes plain = {0};
    struct slice body = bytes_slice(&m->body);
    if (message_is_aws(m))
        frames_plain(body, &plain);
    bool said = m->complete;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        said = said ||
               slice_search(message_is_aws(m) ? bytes_slice(&plain) : body, slice_of(ends[i])) >= 0;
    bytes_free(&plain);
    return said;
}

static int upstreams_said(const struct run *r)
{
    int count = 0;
    for (int i = 0; i < r->conns; i++) {
        if (r->conn[i].client > 0)
            continue;
        const struct sim_peer *p = r->conn[i].peer;
        struct slice s = bytes_slice(&p->tx);
        for (bool more = true; more && s.n > 0;) {
            struct message m;
            message_read(&m, MESSAGE_RESPONSE, s, p->tx_end == SIM_FIN && p->vanish_at == SIZE_MAX);
            more = m.complete;
            count += m.head && m.status / 100 == 2 && message_was_said(&m);
            s = slice_sub(s, m.size, s.n);
            message_free(&m);
        }
    }
    return count;
}

static void judge_client(struct run *r, const struct conn *c, const struct bytes *whole)
{
    struct slice s = bytes_slice(&c->peer->rx);
    for (int n = 0; s.n > 0 && !r->failed;) {
        struct message m;
        message_read(&m, reply_kind(c, n), s, c->peer->rx_end != SIM_OPEN);
        bool complete = m.complete;
        n += complete && m.status >= 200;
        r->claims += reply_claims(&m);
        if (m.bad != NULL)
            run_fail(r, 0, "%s got a malformed reply: %s", c->peer->name, m.bad);
        else if (m.until_end && m.keep_alive)
            run_fail(r, 0, "%s got a reply without any length", c->peer->name);
        else if (!reply_honest(r, &m, whole))
            run_fail(r, 0, "%s got a reply that looks complete and is not: `%.*s`", c->peer->name,
                     (int)(m.body.n < 400 ? m.body.n : 400), m.body.p);
        s = slice_sub(s, m.size, s.n);
        message_free(&m);
        if (!complete)
            break;
    }
}

void judge_replies(struct run *r)
{
    struct bytes whole = {0};
    upstream_bodies(r, &whole);
    for (int i = 0; i < r->conns && !r->failed; i++) {
        const struct conn *c = &r->conn[i];
        if (c->client == 0)
            continue;
        judge_client(r, c, &whole);
        if (!r->failed && !r->check && conn_waits(c))
            run_fail(r, 0, "%s is still waiting for its reply", c->peer->name);
        if (r->plain == NULL)
            bodies_note(&r->out->bodies, bytes_slice(&c->peer->rx), c, c->peer->rx_end != SIM_OPEN);
    }
    int sent = upstreams_said(r);
    if (!r->failed && r->script->translated && r->claims > sent)
        run_fail(r, 0, "%d replies look complete, but only %d were", r->claims, sent);
    bytes_free(&whole);
}

/* ---- records ------------------------------------------------------------------------- */

static bool key_known(const struct run *r, const struct message *m)
{
    const char *const header[] = {"x-api-key", "authorization", "x-goog-api-key", "api-key"};
    for (int h = 0; h < 4; h++) {
        const struct slice *v = message_find(m, slice_of(header[h]), NULL);
        if (v == NULL)
            continue;
        struct slice token = *v;
        if (slice_istarts(token, S("bearer ")))
            token = slice_trim(slice_sub(token, 7, token.n));
        for (int k = 0; k < r->script->keys; k++)
            if (slice_eq(token, r->script->key[k].text))
                return true;
    }
    return r->script->keys == 0;
}

/* A request that must be booked: for a provider, from somebody we know. */
static bool is_booked(const struct run *r, const struct message *m)
{
    static const char *const roots[] = {"/v1/",      "/v1beta/",   "/model/", "/api/chat",
                                        "/api/tags", "/projects/", "/chat/",  "/responses"};
    bool ours = false;
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
        ours = ours || slice_starts(m->target, slice_of(roots[i]));
    return m->bad == NULL && ours && key_known(r, m);
}

/* Bounds of how many records the requests of this connection make. A pipelined request counts for
 * sure once the reply before it is complete: until then its bytes may lie unread in the server. */
static void records_of(const struct run *r, const struct conn *c, int *least, int *most,
                       int *unbooked)
{
    struct slice s = slice_sub(bytes_slice(&c->peer->tx), 0, c->peer->tx_read);
    bool partial;
    int replies = replies_got(c, &partial);
    for (int i = 0; s.n > 0; i++) {
        struct message m;
        message_read(&m, MESSAGE_REQUEST, s, false);
        if (m.head && is_booked(r, &m)) {
            *least += i <= replies && !(i > 0 && c->peer->rx_end != SIM_OPEN);
            *most += 1;
        } else if (m.head || m.bad != NULL) {
            *most += 1;
            *unbooked += 1;
        }
        bool complete = m.complete;
        s = slice_sub(s, m.size, s.n);
        message_free(&m);
        if (!complete)
            break;
    }
}

static void records_unique(struct run *r, const struct record *rec, int n)
{
    for (int i = 0; i < n && i < RIG_RECORDS; i++) {
        if (rec[i].end == NULL || rec[i].end[0] == '\0' || rec[i].duration_ms < 0)
            run_fail(r, 0, "record %d does not say how it ended", i + 1);
        for (int k = 0; k < i; k++)
            if (strcmp(rec[i].id, rec[k].id) == 0)
                run_fail(r, 0, "request %s was booked twice", rec[i].id);
    }
}

/* Requests that providers were sent, complete or not; each well-formed. */
static int requests_sent(struct run *r)
{
    int count = 0;
    for (int i = 0; i < r->conns; i++) {
        const struct conn *c = &r->conn[i];
        struct slice s = c->client == 0 ? bytes_slice(&c->peer->rx) : S("");
        for (bool more = true; more && s.n > 0;) {
            struct message m;
            message_read(&m, MESSAGE_REQUEST, s, false);
            if (m.bad != NULL)
                run_fail(r, 0, "%s was sent a malformed request: %s", c->peer->name, m.bad);
            more = m.complete;
            count++;
            s = slice_sub(s, m.size, s.n);
            message_free(&m);
        }
    }
    return count;
}

/* What a client has smuggled past us would be a request that nobody has booked. Lists of models are
 * asked for without an attempt being told of. */
static void judge_sent(struct run *r, const struct record *rec, int n)
{
    int sent = requests_sent(r), told = 0;
    for (int i = 0; i < n && i < RIG_RECORDS; i++) {
        if (strcmp(rec[i].route, "models") == 0)
            return;
        told += rec[i].attempts;
    }
    if (n <= RIG_RECORDS && sent > told)
        run_fail(r, 0, "providers were sent %d requests, and the records tell of %d", sent, told);
}

void judge_records(struct run *r)
{
    /* A batch of rows that could not be written is written a little later. */
    if (r->plan->mode == MODE_TORTURE && !sim_advance(r->loop, 3000))
        run_fail(r, 0, "the house does not come to rest");
    struct record *rec = mem_new(RIG_RECORDS * sizeof *rec);
    int n = rig_records(r->house, rec), least = 0, most = 0, unbooked = 0;
    for (int i = 0; i < r->conns; i++)
        if (r->conn[i].client > 0)
            records_of(r, &r->conn[i], &least, &most, &unbooked);
    /* A connection that had no memory for a head has answered for itself; the gateway never saw it.
     */
    int64_t seen = rig_requests(r->house) - unbooked;
    if (r->plan->mode == MODE_TORTURE && seen < least)
        least = seen > 0 ? (int)seen : 0;
    if (r->script->loose_records)
        least = 0;
    if (n < least || n > most)
        run_fail(r, 0, "%d records for %d..%d requests", n, least, most);
    if (!r->failed)
        records_unique(r, rec, n);
    if (!r->failed && r->plan->counted)
        judge_sent(r, rec, n);
    mem_free(rec);
}

/* ---- what is left -------------------------------------------------------------------- */

void judge_leaks(struct run *r)
{
    struct sim_counts c;
    sim_live_counts(r->loop, &c);
    if (c.streams + c.dials + c.listeners + c.jobs + c.workers + c.tls > 0 || c.timers > 0 ||
        c.tasks)
        run_fail(r, 0,
                 "left behind: %d streams, %d dials, %d listeners, %d jobs, %d workers, %d tls, "
                 "%u timers%s",
                 c.streams, c.dials, c.listeners, c.jobs, c.workers, c.tls, c.timers,
                 c.tasks ? ", tasks" : "");
}

void judge_note_peers(struct run *r)
{
    for (int i = 0; i < r->conns && r->out->peers < OUTCOME_PEERS; i++) {
        const struct sim_peer *p = r->conn[i].peer;
        int at = r->out->peers++;
        text_copy(r->out->peer[at].name, sizeof r->out->peer[at].name, slice_of(p->name));
        r->out->peer[at].sent = p->tx.n;
        r->out->peer[at].tls = p->tls;
    }
}
