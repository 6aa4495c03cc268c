/* Verbs that look: the records, the gateway as a whole; and `reload`. */
#include "admin/inside.h"

#include <string.h>

#include "sluice/sluice.h"

#define REQUESTS_DEFAULT 100
#define REQUESTS_MAX     1000

/* ---- requests
 * --------------------------------------------------------------------------------------------- */

static void key_usd(struct jw *w, const char *key, int64_t nano)
{
    jw_key(w, key);
    if (nano < 0)
        jw_null(w);
    else
        jw_f64(w, (double)nano / 1e9);
}

static void attempts_write(struct jw *w, const struct record *r)
{
    int kept = r->attempts < STORE_ATTEMPTS ? r->attempts : STORE_ATTEMPTS;
    jw_ki64(w, "attempts_total", r->attempts);
    jw_key(w, "attempts");
    jw_arr(w);
    for (int i = 0; i < kept; i++) {
        const struct record_attempt *a = &r->attempt[i];
        jw_obj(w);
        jw_kcstr(w, "account", a->account);
        jw_ki64(w, "status", a->status);
        jw_kcstr(w, "reason", a->reason);
        jw_ki64(w, "ms", a->ms);
        jw_end_obj(w);
    }
    jw_end_arr(w);
}

static void usage_write(struct jw *w, const struct record *r)
{
    jw_kbool(w, "usage_known", r->usage_known);
    jw_ki64(w, "input", r->input);
    jw_ki64(w, "output", r->output);
    jw_ki64(w, "cache_read", r->cache_read);
    jw_ki64(w, "cache_write_5m", r->cache_write_5m);
    jw_ki64(w, "cache_write_1h", r->cache_write_1h);
    jw_ki64(w, "thinking", r->thinking);
    jw_ki64(w, "web_searches", r->web_searches);
    jw_ki64(w, "web_fetches", r->web_fetches);
    key_usd(w, "cost_usd", r->cost_nano_usd);
    jw_kcstr(w, "price_date", r->price_date[0] != '\0' ? r->price_date : NULL);
}

/* "warm spare:behind old:spent": the word for the account that was chosen, then the others'. The
 * same words in sentences, where there is one. */
static void choice_write(struct jw *w, const char *why)
{
    struct slice rest = slice_of(why), word = {"", 0}, name = {"", 0};
    slice_cut(&rest, ' ', &word);
    jw_kstr(w, "why", word);
    jw_kcstr(w, "why_text", why_sentence(word));
    jw_key(w, "runners_up");
    jw_arr(w);
    while (slice_cut(&rest, ' ', &word)) {
        if (slice_find(word, ':') < 0)
            continue;
        slice_cut(&word, ':', &name); /* `word` is the word now */
        jw_obj(w);
        jw_kstr(w, "account", name);
        jw_kstr(w, "why", word);
        jw_kcstr(w, "why_text", why_sentence(word));
        jw_end_obj(w);
    }
    jw_end_arr(w);
}

static void record_write(struct jw *w, const struct record *r)
{
    int last = r->attempts < STORE_ATTEMPTS ? r->attempts - 1 : STORE_ATTEMPTS - 1;
    jw_obj(w);
    jw_kcstr(w, "id", r->id);
    jw_ki64(w, "row", r->row);
    jw_ktime(w, "at", r->at);
    jw_kcstr(w, "key", r->key_name[0] != '\0' ? r->key_name : NULL);
    jw_kcstr(w, "client", r->client);
    jw_kcstr(w, "account", last >= 0 ? r->attempt[last].account : NULL);
    jw_kcstr(w, "route", r->route);
    jw_kcstr(w, "group", r->group);
    choice_write(w, r->why);
    jw_kcstr(w, "model_asked", r->model_asked);
    jw_kcstr(w, "model_answered", r->model_answered);
    jw_kbool(w, "stream", r->stream);
    jw_ki64(w, "status", r->status);
    jw_kcstr(w, "end", r->end);
    attempts_write(w, r);
    jw_key(w, "ttfb_ms");
    if (r->ttfb_ms < 0)
        jw_null(w);
    else
        jw_i64(w, r->ttfb_ms);
    jw_ki64(w, "duration_ms", r->duration_ms);
    usage_write(w, r);
    jw_kcstr(w, "session", r->session);
    jw_kcstr(w, "upstream_id", r->upstream_id);
    jw_kcstr(w, "service_tier", r->service_tier);
    jw_kcstr(w, "stop_reason", r->stop_reason);
    jw_ki64(w, "bytes_in", r->bytes_in);
    jw_ki64(w, "bytes_out", r->bytes_out);
    jw_end_obj(w);
}

static void on_record(void *arg, enum err e, const struct record *rows, size_t n)
{
    struct verb_call *c = arg;
    if (e != OK) {
        call_fail_store(c, e);
        return;
    }
    if (n == 0) {
        call_fail(c, FAIL_NOT_FOUND,
                  "there is no record of request `%s`: an id is what the answer's header "
                  "x-sluice-request-id says; records go in time, and come a moment after the end",
                  call_text(c, "id"));
        return;
    }
    struct jw *w = call_open(c);
    jw_key(w, "request");
    record_write(w, &rows[0]);
    call_reply(c);
}

void verb_request_show(struct verb_call *c)
{
    struct record_query q = {.limit = 1, .id = call_text(c, "id")};
    store_records_query(c->admin->p.store, &q, on_record, c);
}

/* The newest last, whichever way they were asked for. */
static void on_records(void *arg, enum err e, const struct record *rows, size_t n)
{
    struct verb_call *c = arg;
    if (e != OK) {
        call_fail_store(c, e);
        return;
    }
    struct jw *w = call_open(c);
    jw_kbool(w, "daemon", c->admin->p.daemon);
    jw_key(w, "requests");
    jw_arr(w);
    for (size_t i = 0; i < n; i++)
        record_write(w, &rows[c->flag ? i : n - 1 - i]);
    jw_end_arr(w);
    call_reply(c);
}

void verb_requests(struct verb_call *c)
{
    struct record_query q = {.after_row = call_int(c, "after", 0),
                             .before_row = call_int(c, "before", 0),
                             .forward = call_has(c, "after"),
                             .account = call_text(c, "account"),
                             .key = call_text(c, "key")};
    int64_t limit = call_int(c, "limit", REQUESTS_DEFAULT);
    if (limit < 1 || limit > REQUESTS_MAX) {
        call_fail(c, FAIL_USAGE, "limit must be from 1 to %d", REQUESTS_MAX);
        return;
    }
    if (q.after_row < 0 || q.before_row < 0 || (q.forward && call_has(c, "before"))) {
        call_fail(c, FAIL_USAGE, "give either after or before, a row number from an earlier reply");
        return;
    }
    q.limit = (int32_t)limit;
    c->flag = q.forward;
    store_records_query(c->admin->p.store, &q, on_records, c);
}

/* ---- status
 * -----------------------------------------------------------------------------------------------
 */

static void gateway_write(struct jw *w, const struct gateway_stats *s)
{
    jw_key(w, "requests");
    jw_obj(w);
    jw_ki64(w, "total", (int64_t)s->requests);
    jw_ki64(w, "served", (int64_t)s->served);
    jw_ki64(w, "refused", (int64_t)s->refused);
    jw_ki64(w, "failed", (int64_t)s->failed);
    jw_ki64(w, "client_gone", (int64_t)s->client_gone);
    jw_ki64(w, "failovers", (int64_t)s->failovers);
    jw_ki64(w, "active", s->active);
    jw_ki64(w, "streams", s->streams);
    jw_ki64(w, "waiting", s->waiting);
    jw_ki64(w, "buffered_bytes", s->buffered);
    jw_end_obj(w);
    jw_key(w, "tokens");
    jw_obj(w);
    jw_ki64(w, "input", s->tokens.input);
    jw_ki64(w, "output", s->tokens.output);
    jw_ki64(w, "cache_read", s->tokens.cache_read);
    jw_ki64(w, "cache_write_5m", s->tokens.cache_write_5m);
    jw_ki64(w, "cache_write_1h", s->tokens.cache_write_1h);
    jw_end_obj(w);
    key_usd(w, "cost_usd", s->cost_nano_usd);
}

static void store_write(struct jw *w, const struct store *store)
{
    struct store_stats s;
    store_stats_get(store, &s);
    jw_key(w, "store");
    jw_obj(w);
    jw_ki64(w, "records_written", (int64_t)s.records_written);
    jw_ki64(w, "records_dropped", (int64_t)s.records_dropped);
    jw_ki64(w, "failures", (int64_t)s.failures);
    jw_ki64(w, "queued", (int64_t)s.queued);
    jw_kcstr(w, "last_error", s.last_error != OK ? err_name(s.last_error) : NULL);
    jw_ktime(w, "last_error_at", s.last_error_at);
    jw_ki64(w, "db_bytes", s.db_bytes);
    jw_end_obj(w);
}

void verb_status(struct verb_call *c)
{
    const struct admin_parts *p = &c->admin->p;
    struct gateway_stats stats;
    int64_t now = call_now(c);
    struct jw *w = call_open(c);
    jw_kcstr(w, "version", SLUICE_VERSION);
    jw_kbool(w, "daemon", p->daemon);
    jw_kcstr(w, "state_dir", p->config->state_dir);
    jw_ktime(w, "started_at", p->started_at);
    jw_ki64(w, "uptime_in_seconds", now > p->started_at ? (now - p->started_at) / 1000 : 0);
    if (p->describe != NULL)
        p->describe(p->arg, w);
    gateway_stats_get(p->gateway, &stats);
    gateway_write(w, &stats);
    jw_ki64(w, "keys", keys_count(p->keys));
    jw_key(w, "accounts");
    jw_arr(w);
    for (int i = 0; i < accounts_count(p->accounts); i++) {
        jw_obj(w);
        account_write(w, accounts_at(p->accounts, i), now);
        jw_end_obj(w);
    }
    jw_end_arr(w);
    store_write(w, p->store);
    call_reply(c);
}

/* ---- reload
 * -----------------------------------------------------------------------------------------------
 */

void verb_reload(struct verb_call *c)
{
    const struct admin_parts *p = &c->admin->p;
    char why[ADMIN_WHY_MAX] = "";
    if (p->reload == NULL) {
        call_fail(c, FAIL_NO_DAEMON, "no gateway is running here: nothing to reload");
        return;
    }
    if (p->reload(p->arg, why, sizeof why) != OK) {
        call_fail(c, FAIL_CONFIG, "%s", why);
        return;
    }
    struct jw *w = call_open(c);
    jw_kcstr(w, "message", why);
    call_reply(c);
}

/* ---- upgrade: what the newer process asks of the running one
 * -----------------------------------------------------------------------------------------------
 */

void verb_upgrade(struct verb_call *c)
{
    const struct admin_parts *p = &c->admin->p;
    const char *socket = call_text(c, "socket"), *service = call_text(c, "service");
    char why[ADMIN_WHY_MAX] = "";
    if (p->handover == NULL) {
        call_fail(c, FAIL_NO_DAEMON, "no gateway is running here: there is no place to take");
        return;
    }
    if (p->handover(p->arg, socket != NULL ? socket : "", service != NULL ? service : "", why,
                    sizeof why) != OK) {
        call_fail(c, FAIL_CONFLICT, "%s", why);
        return;
    }
    struct jw *w = call_open(c);
    jw_kcstr(w, "message", "it will be handed over");
    call_reply(c);
}
