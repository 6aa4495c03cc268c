/* expect: what the script says must be there, and saying well what is there instead. */
#include "frames.h"
#include "run.h"

#include <string.h>

#define SHOWN 600 /* bytes of a wrong value in a message */

/* ---- one check ----------------------------------------------------------------------- */

struct subject { /* what is being checked */
    struct run *r;
    const struct step *st;
    const struct message *m;
    bool request;
};

static bool wrong(const struct subject *s, const struct check *c, const char *what,
                  struct slice found)
{
    struct bytes text = {0};
    struct bytes want = {0};
    bytes_escape(&want, c->value, SHOWN);
    bytes_escape(&text, found, SHOWN);
    run_fail(s->r, s->st->line, "%s %.*s: expected `%.*s`, found `%.*s`", what, (int)c->name.n,
             c->name.p, (int)want.n, want.p, (int)text.n, text.p);
    bytes_free(&text);
    bytes_free(&want);
    return false;
}

static bool check_line(const struct subject *s, const struct check *c)
{
    char status[16];
    size_t n = text_format(status, sizeof status, "%d", s->m->status);
    bool number = !s->request && c->value.n <= 3;
    struct slice found = number ? (struct slice){status, n} : s->m->line;
    struct slice want = c->value;
    /* "HTTP/1.1 200" stands for any reason phrase. */
    if (!s->request && !number && want.n == 12)
        found = slice_sub(found, 0, found.n < 12 ? found.n : 12);
    if (bytes_like(found, want))
        return true;
    struct bytes both = {0};
    bytes_printf(&both, "%.*s | ", (int)s->m->line.n, s->m->line.p);
    bytes_puts(&both, bytes_slice(&s->m->body));
    bool result = wrong(s, c, "first line", bytes_slice(&both));
    bytes_free(&both);
    return result;
}

static bool check_header(const struct subject *s, const struct check *c)
{
    int n;
    const struct slice *v = message_find(s->m, c->name, &n);
    if (v == NULL)
        return wrong(s, c, "header", S("(absent)"));
    if (!bytes_like(*v, c->value))
        return wrong(s, c, "header", *v);
    return n == 1 || wrong(s, c, "header", S("(more than once)"));
}

static bool check_absent(const struct subject *s, const struct check *c)
{
    const struct slice *v = message_find(s->m, c->name, NULL);
    return v == NULL || wrong(s, c, "header that must not be there", *v);
}

/* Body without its ping events. */
static struct slice pings_gone(struct slice body, struct bytes *out)
{
    struct event e;
    while (event_next(&body, &e))
        if (!slice_eq(e.name, S("ping")))
            bytes_puts(out, e.raw);
    bytes_puts(out, body);
    return bytes_slice(out);
}

/* Says where two bodies part. */
static bool same_bytes(const struct subject *s, struct slice found, struct slice want)
{
    size_t i = 0;
    if (slice_eq(found, want))
        return true;
    while (i < found.n && i < want.n && found.p[i] == want.p[i])
        i++;
    struct bytes a = {0}, b = {0};
    bytes_escape(&a, slice_sub(found, i, found.n), 200);
    bytes_escape(&b, slice_sub(want, i, want.n), 200);
    run_fail(
        s->r, s->st->line,
        "bodies of %zu (expected) and %zu bytes part at byte %zu: expected `%.*s`, found `%.*s`",
        want.n, found.n, i, (int)b.n, b.p, (int)a.n, a.p);
    bytes_free(&a);
    bytes_free(&b);
    return false;
}

/* "@upstream A", "@client 1"; with " without pings" behind it. */
static bool check_same(const struct subject *s, const struct check *c)
{
    struct slice rest = c->value, side = S(""), name = S("");
    struct message m = {0};
    (void)slice_cut(&rest, ' ', &side);
    (void)slice_cut(&rest, ' ', &name);
    if (slice_eq(side, S("@client"))) {
        uint64_t n = 0;
        if (!text_u64(name, &n) || n > SCRIPT_CLIENTS || s->r->client[n] == NULL)
            return wrong(s, c, "no such client", S(""));
        client_request(s->r->client[n], &m);
    } else {
        struct upstream *u = upstream_find(s->r, name);
        if (u == NULL || u->current == NULL)
            return wrong(s, c, "no such upstream, or it has answered nothing", S(""));
        struct slice tx = bytes_slice(&u->current->peer->tx);
        message_read(&m, MESSAGE_RESPONSE, slice_sub(tx, u->answer_from, tx.n), true);
    }
    struct bytes a = {0}, b = {0};
    struct slice found = bytes_slice(&s->m->body), want = bytes_slice(&m.body);
    if (slice_eq(rest, S("without pings"))) {
        found = pings_gone(found, &a);
        want = pings_gone(want, &b);
    }
    bool ok = same_bytes(s, found, want);
    bytes_free(&a);
    bytes_free(&b);
    message_free(&m);
    return ok;
}

static const struct json_val *json_path(const struct json_val *v, struct slice path)
{
    struct slice part;
    while (slice_cut(&path, '.', &part)) {
        char key[128];
        uint64_t i;
        text_copy(key, sizeof key, part);
        v = json_type(v) == JSON_ARRAY && text_u64(part, &i) ? json_at(v, (size_t)i)
                                                             : json_get(v, key);
    }
    return v;
}

static size_t json_text(const struct json_val *v, char *out, size_t size)
{
    struct slice str;
    int64_t i;
    double f;
    bool b;
    if (json_str(v, &str))
        return text_format(out, size, "%.*s", (int)str.n, str.p);
    if (json_i64(v, &i))
        return text_format(out, size, "%" PRId64, i);
    if (json_f64(v, &f))
        return text_format(out, size, "%g", f);
    if (json_bool(v, &b))
        return text_format(out, size, "%s", b ? "true" : "false");
    switch (json_type(v)) {
    case JSON_NULL:
        return text_format(out, size, "null");
    case JSON_ARRAY:
    case JSON_OBJECT:
        return text_format(out, size, "[%zu]", json_len(v));
    default:
        return text_format(out, size, "(absent)");
    }
}

static bool check_json(const struct subject *s, const struct check *c)
{
    char text[2048];
    struct json *doc = NULL;
    if (json_parse(bytes_slice(&s->m->body), &doc) != OK)
        return wrong(s, c, "body is no JSON;", bytes_slice(&s->m->body));
    size_t n = json_text(json_path(json_root(doc), c->name), text, sizeof text);
    bool ok = bytes_like((struct slice){text, n}, c->value);
    json_free(doc);
    return ok || wrong(s, c, "json", (struct slice){text, n});
}

static bool check_events(const struct subject *s, const struct check *c)
{
    struct bytes names = {0};
    struct slice rest = bytes_slice(&s->m->body);
    struct event e;
    while (event_next(&rest, &e)) {
        if (names.n > 0)
            bytes_puts(&names, S(" "));
        bytes_puts(&names, e.name.n > 0 ? e.name : S("message"));
    }
    bool ok = bytes_like(bytes_slice(&names), c->value) ||
              wrong(s, c, "events", bytes_slice(&names));
    bytes_free(&names);
    return ok;
}

static bool check_event(const struct subject *s, const struct check *c)
{
    struct slice rest = bytes_slice(&s->m->body);
    struct event e;
    while (event_next(&rest, &e))
        if (slice_eq(e.name, c->name) && slice_search(e.data, c->value) >= 0)
            return true;
    return wrong(s, c, "no such event:", bytes_slice(&s->m->body));
}

static bool check_one(const struct subject *s, const struct check *c)
{
    struct slice body = bytes_slice(&s->m->body);
    switch (c->kind) {
    case CHECK_LINE:
        return check_line(s, c);
    case CHECK_HEADER:
        return check_header(s, c);
    case CHECK_ABSENT:
        return check_absent(s, c);
    case CHECK_BODY_IS:
        return same_bytes(s, body, c->value);
    case CHECK_BODY_SAME:
        return check_same(s, c);
    case CHECK_BODY_HAS:
        return slice_search(body, c->value) >= 0 || wrong(s, c, "body", body);
    case CHECK_BODY_LACKS:
        return slice_search(body, c->value) < 0 || wrong(s, c, "body must not hold", body);
    case CHECK_BODY_LIKE:
        return bytes_like(body, c->value) || wrong(s, c, "body", body);
    case CHECK_JSON:
        return check_json(s, c);
    case CHECK_EVENTS:
        return check_events(s, c);
    case CHECK_EVENT:
        return check_event(s, c);
    case CHECK_FIELD:
        break;
    }
    assert(!"a field check on a message");
    return false;
}

static bool check_all(struct run *r, const struct step *st, const struct message *m, bool request)
{
    struct message shown = *m;
    struct bytes plain = {0};
    const struct subject s = {r, st, &shown, request};
    bool ok = true;
    /* The checks read with base's fallible calls: those are not the house's. */
    assert(fault_target == 0);
    if (message_is_aws(m)) {
        frames_plain(bytes_slice(&m->body), &plain);
        shown.body = plain;
    }
    for (int i = 0; i < st->checks && ok; i++)
        ok = check_one(&s, &st->check[i]);
    bytes_free(&plain);
    return ok;
}

/* ---- clients ------------------------------------------------------------------------- */

static bool wants_interim(const struct step *st)
{
    return st->checks > 0 && st->check[0].kind == CHECK_LINE &&
           (slice_starts(st->check[0].value, S("1")) ||
            slice_starts(st->check[0].value, S("HTTP/1.1 1")));
}

/* The next reply, behind interim ones unless such a one is asked for. */
static void reply_read(const struct step *st, struct conn *c, struct message *m)
{
    struct slice rx = bytes_slice(&c->peer->rx);
    bool ended = c->peer->rx_end != SIM_OPEN;
    for (;;) {
        message_read(m, reply_kind(c, c->replies), slice_sub(rx, c->rx_off, rx.n), ended);
        if (!m->complete || m->status >= 200 || wants_interim(st))
            return;
        c->rx_off += m->size;
        message_free(m);
    }
}

static const char *reply_trouble(const struct step *st, const struct conn *c,
                                 const struct message *m)
{
    bool ended = c->peer->rx_end != SIM_OPEN;
    if (m->bad != NULL)
        return m->bad;
    if (!m->any)
        return ended ? "no reply: the connection has ended" : "no reply yet";
    if (!m->head)
        return "only a part of a head";
    if (st->how == HOW_WHOLE && !m->complete)
        return ended ? "the reply is incomplete and the connection has ended"
                     : "the reply is incomplete so far";
    if (st->how == HOW_BROKEN && m->complete)
        return "the reply is complete; it should be cut short";
    if (st->how == HOW_BROKEN && !ended)
        return "the connection is still open; it should be cut";
    return NULL;
}

static bool expect_reply(struct run *r, const struct step *st, struct conn *c)
{
    struct message m;
    reply_read(st, c, &m);
    const char *trouble = reply_trouble(st, c, &m);
    bool ok = trouble == NULL;
    if (!ok) {
        struct bytes text = {0};
        struct slice rx = bytes_slice(&c->peer->rx);
        bytes_escape(&text, slice_sub(rx, c->rx_off, rx.n), SHOWN);
        run_fail(r, st->line, "client %d: %s: `%.*s`", st->client, trouble, (int)text.n, text.p);
        bytes_free(&text);
    } else {
        ok = check_all(r, st, &m, false);
    }
    if (ok && st->how == HOW_WHOLE) {
        c->rx_off += m.size;
        c->replies += m.status >= 200;
    }
    message_free(&m);
    return ok;
}

static bool expect_eof(struct run *r, const struct step *st, struct conn *c)
{
    bool left = c->rx_off < c->peer->rx.n;
    if (c->peer->rx_end == SIM_OPEN)
        run_fail(r, st->line, "client %d: the connection is still open", st->client);
    else if (st->how == HOW_CLEAN && (left || c->peer->rx_end == SIM_RST))
        run_fail(r, st->line, "client %d: the end is not clean", st->client);
    else if (st->how == HOW_BROKEN && !left)
        run_fail(r, st->line, "client %d: nothing was cut short", st->client);
    return !r->failed;
}

bool expect_client(struct run *r, const struct step *st)
{
    struct conn *c = r->client[st->client];
    if (c == NULL) {
        run_fail(r, st->line, "client %d has never connected", st->client);
        return false;
    }
    switch (st->kind) {
    case STEP_EXPECT:
        return expect_reply(r, st, c);
    case STEP_NOTHING:
        if (c->rx_off < c->peer->rx.n) {
            struct bytes text = {0};
            bytes_escape(&text, slice_sub(bytes_slice(&c->peer->rx), c->rx_off, c->peer->rx.n),
                         SHOWN);
            run_fail(r, st->line, "client %d got `%.*s`", st->client, (int)text.n, text.p);
            bytes_free(&text);
        }
        break;
    case STEP_EOF:
        return expect_eof(r, st, c);
    case STEP_STILL_OPEN:
        if (c->peer->rx_end != SIM_OPEN)
            run_fail(r, st->line, "client %d: the connection has ended", st->client);
        break;
    default:
        run_fail(r, st->line, "a client cannot do that");
    }
    return !r->failed;
}

/* ---- upstreams ----------------------------------------------------------------------- */

static bool expect_request(struct run *r, const struct step *st, struct upstream *u)
{
    u->current = NULL;
    if (u->used == u->requests) {
        run_fail(r, r->check ? st->line : 0, "%.*s has received no further request",
                 (int)st->upstream.n, st->upstream.p);
        return false;
    }
    struct request *q = &u->request[u->used++];
    u->current = q->conn;
    u->answer_from = q->served ? q->answer_from : q->conn->peer->tx.n;
    if (!r->check)
        return true;
    struct message m;
    message_read(&m, MESSAGE_REQUEST, slice_sub(bytes_slice(&q->conn->peer->rx), q->from, q->to),
                 false);
    bool ok = check_all(r, st, &m, true);
    message_free(&m);
    return ok;
}

static bool expect_no_request(struct run *r, const struct step *st, struct upstream *u)
{
    if (u->used < u->requests) {
        const struct request *q = &u->request[u->used];
        struct bytes text = {0};
        bytes_escape(&text, slice_sub(bytes_slice(&q->conn->peer->rx), q->from, q->to), SHOWN);
        run_fail(r, st->line, "%.*s has received `%.*s`", (int)st->upstream.n, st->upstream.p,
                 (int)text.n, text.p);
        bytes_free(&text);
    }
    return !r->failed;
}

static bool expect_upstream_end(struct run *r, const struct step *st, struct upstream *u)
{
    struct conn *c = u->current;
    if (c == NULL)
        run_fail(r, st->line, "%.*s: no request looked at yet", (int)st->upstream.n,
                 st->upstream.p);
    else if ((c->peer->rx_end != SIM_OPEN) != (st->kind == STEP_EOF))
        run_fail(r, st->line, "%s: the house has%s ended the connection", c->peer->name,
                 st->kind == STEP_EOF ? " not" : "");
    return !r->failed;
}

static bool expect_number(struct run *r, const struct step *st, struct upstream *u)
{
    if (st->kind == STEP_REQUESTS) {
        bool ok = st->how == HOW_SO_FAR   ? u->requests < st->number
                  : st->how == HOW_BROKEN ? u->requests > st->number
                                          : u->requests == st->number;
        if (!ok)
            run_fail(r, st->line, "%.*s has received %d requests", (int)st->upstream.n,
                     st->upstream.p, u->requests);
        return ok;
    }
    if (st->kind == STEP_DIALS) {
        if (u->host->dials != st->number)
            run_fail(r, st->line, "%.*s was dialled %d times, not %" PRId64, (int)st->upstream.n,
                     st->upstream.p, u->host->dials, st->number);
        return !r->failed;
    }
    size_t unread = u->current != NULL ? sim_unread(u->current->peer) : 0;
    if (st->at_least ? unread <= (size_t)st->number : unread >= (size_t)st->number)
        run_fail(r, st->line, "%.*s: %zu bytes unread", (int)st->upstream.n, st->upstream.p,
                 unread);
    return !r->failed;
}

bool expect_upstream(struct run *r, const struct step *st, struct upstream *u)
{
    if (st->kind == STEP_EXPECT && !r->check) { /* take it if it is there */
        u->current = NULL;
        return u->used == u->requests || expect_request(r, st, u);
    }
    if (!r->check)
        return true;
    switch (st->kind) {
    case STEP_EXPECT:
        return expect_request(r, st, u);
    case STEP_NOTHING:
        return expect_no_request(r, st, u);
    case STEP_EOF:
    case STEP_STILL_OPEN:
        return expect_upstream_end(r, st, u);
    case STEP_DIALS:
    case STEP_REQUESTS:
    case STEP_UNREAD:
        return expect_number(r, st, u);
    default:
        run_fail(r, st->line, "an upstream cannot do that");
        return false;
    }
}

/* ---- records and accounts ------------------------------------------------------------ */

static bool field_wrong(struct run *r, const struct step *st, const struct check *c,
                        const char *found)
{
    run_fail(r, st->line, "%.*s: expected `%.*s`, found `%s`", (int)c->name.n, c->name.p,
             (int)c->value.n, c->value.p, found);
    return false;
}

static bool record_fields(struct run *r, const struct step *st, const struct record *rec)
{
    for (int i = 0; i < st->checks; i++) {
        const struct check *c = &st->check[i];
        char text[600];
        if (!rig_record_field(rec, c->name, text, sizeof text))
            return field_wrong(r, st, c, "(a record has no such field)");
        if (!bytes_like(slice_of(text), c->value))
            return field_wrong(r, st, c, text);
    }
    return true;
}

bool expect_record(struct run *r, const struct step *st)
{
    struct record *rec = mem_new(RIG_RECORDS * sizeof *rec);
    int n = rig_records(r->house, rec);
    int64_t at = st->number > 0 ? st->number - 1 : n - 1;
    if (at < 0 || at >= n)
        run_fail(r, st->line, "there are %d records", n);
    bool ok = !r->failed && record_fields(r, st, &rec[at]);
    mem_free(rec);
    return ok;
}

bool expect_account(struct run *r, const struct step *st)
{
    for (int i = 0; i < st->checks; i++) {
        const struct check *c = &st->check[i];
        char text[600];
        if (!rig_account_field(r->house, st->name, c->name, text, sizeof text))
            return field_wrong(r, st, c, "(no such account or field)");
        if (!bytes_like(slice_of(text), c->value))
            return field_wrong(r, st, c, text);
    }
    return true;
}
