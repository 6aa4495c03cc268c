/* house: starts, stops and questions the house under test. */
#include "house.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KEY_BODY 56 /* of a key, before its checksum: slc_ + 8 + _ + 43 */

struct rig {
    struct house house;
    struct loop *loop;
    const struct config *config;
    struct http_server *server;
    struct listener *listener;
    int added;      /* accounts confirmed by the store */
    enum err ready; /* ERR_AGAIN until the house has loaded */
    enum err error;
    struct map words; /* the records' static strings */
    struct record *out;
    int found;
};

/* ---- keys ---------------------------------------------------------------------------- */

static const char BASE62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

void rig_key_text(struct slice name, char text[KEY_TEXT_MAX])
{
    uint64_t h = 1469598103934665603u; /* FNV-1a of the name feeds a small generator */
    for (size_t i = 0; i < name.n; i++)
        h = (h ^ (uint8_t)name.p[i]) * 1099511628211u;
    memcpy(text, "slc_", 4);
    for (size_t i = 4; i < KEY_BODY; i++) {
        h = h * 6364136223846793005u + 1442695040888963407u;
        text[i] = i == 12 ? '_' : BASE62[(h >> 33) % 62];
    }
    uint32_t c = crypto_crc32((struct slice){text, KEY_BODY});
    for (int i = KEY_BODY + 5; i >= KEY_BODY; i--, c /= 62)
        text[i] = BASE62[c % 62];
    text[KEY_BODY + 6] = '\0';
}

static void key_add(struct rig *h, const struct script_key *k)
{
    struct key_row row = {.created_at = loop_wall(h->loop)};
    memcpy(row.id, k->text.p + 4, 8);
    text_copy(row.name, sizeof row.name, k->name);
    text_copy(row.group, sizeof row.group, k->group);
    text_copy(row.settings, sizeof row.settings, k->settings);
    crypto_hmac_sha256(row.digest, store_pepper(h->house.store), 32, k->text);
    keys_put(h->house.keys, &row);
    store_key_add(h->house.store, &row, NULL, NULL);
}

/* ---- accounts ------------------------------------------------------------------------ */

bool rig_account_host(const struct script_account *a, struct slice *host, uint16_t *port)
{
    static struct account_door door[PROVIDER_DOORS]; /* the host is a slice into it */
    struct account_row row = {.allow_private = true};
    char why[256];
    const struct provider *p = provider_find(a->provider);
    text_copy(row.base_url, sizeof row.base_url, a->url);
    text_copy(row.settings, sizeof row.settings, a->settings);
    if (p == NULL || account_doors_open(p, &row, door, why, sizeof why) == 0)
        return false;
    *host = door[0].target.host;
    *port = door[0].target.port;
    return true;
}

static void account_row_fill(struct account_row *row, const struct script_account *a)
{
    memset(row, 0, sizeof *row);
    text_copy(row->name, sizeof row->name, a->name);
    text_copy(row->provider, sizeof row->provider, a->provider);
    text_copy(row->base_url, sizeof row->base_url, a->url);
    row->priority = (int32_t)a->priority;
    row->weight = (int32_t)a->weight;
    row->paused = a->paused;
    row->allow_private = a->allow_private;
    row->secret = a->token.n > 0 ? S("") : a->secret;
    text_copy(row->settings, sizeof row->settings, a->settings);
}

static void on_row(void *arg, enum err e, const struct account_row *rows, size_t n)
{
    struct rig *h = arg;
    if (e != OK)
        h->error = e;
    for (size_t i = 0; e == OK && i < n; i++)
        accounts_apply(h->house.accounts, &rows[i]);
    if (h->house.gateway != NULL) /* as the verbs of accounts do */
        gateway_accounts_changed(h->house.gateway);
    h->added++;
}

static void on_token(void *arg, enum err e, const struct token_row *rows, size_t n)
{
    struct rig *h = arg;
    if (e != OK)
        h->error = e;
    for (size_t i = 0; e == OK && i < n; i++)
        accounts_token_put(h->house.accounts, &rows[i]);
}

/* As if somebody had imported them. Only then anything happens by itself: refreshes, polls. */
static void tokens_import(struct rig *h, const struct script *s)
{
    bool some = false;
    for (int i = 0; i < s->accounts; i++) {
        const struct script_account *sa = &s->account[i];
        const struct account *a = accounts_by_name(h->house.accounts, sa->name);
        int64_t now = loop_wall(h->loop);
        some = some || (a != NULL && a->provider->cloud != NULL && a->facts.token != TOKEN_NONE);
        if (sa->token.n == 0 || a == NULL)
            continue;
        some = true;
        const struct token_row row = {.account_id = a->id,
                                      .generation = 1,
                                      .expires_at = now + sa->token_ms,
                                      .lifetime = sa->token_ms,
                                      .refreshed_at = now,
                                      .access = sa->token,
                                      .refresh = S("rt1")};
        store_token_swap(h->house.store, 0, &row, on_token, h);
    }
    if (some)
        accounts_set_client(h->house.accounts, h->house.client);
}

/* ---- up and down --------------------------------------------------------------------- */

struct config *rig_config(const struct script *s, char *why, size_t why_size)
{
    struct config *c = NULL;
    struct config_error e = {.text = ""};
    char path[64];
    const struct config_flag flags[] = {{"state-dir", "/nonexistent"}};
    FILE *f = tmpfile();
    if (f == NULL || fwrite(s->config.p, 1, s->config.n, f) != s->config.n || fflush(f) != 0) {
        text_format(why, why_size, "no temporary file for the configuration");
    } else {
        text_format(path, sizeof path, "/dev/fd/%d", fileno(f));
        rewind(f);
        if (config_load(path, flags, 1, &c, &e) != OK)
            text_format(why, why_size, "configuration: %s", e.text);
    }
    if (f != NULL)
        fclose(f);
    return c;
}

static void on_ready(void *arg, enum err e)
{
    struct rig *h = arg;
    h->ready = e;
}

static void on_accept(void *owner, struct stream *s)
{
    struct rig *h = owner;
    http_server_add(h->server, s);
}

static void on_group(void *arg, enum err e, const struct group_row *rows, size_t n)
{
    struct rig *h = arg;
    if (e != OK)
        h->error = e;
    for (size_t i = 0; e == OK && i < n; i++)
        accounts_group_apply(h->house.accounts, &rows[i]);
}

static bool groups_load(struct rig *h, const struct script *s, char *why, size_t why_size)
{
    for (int i = 0; i < s->groups; i++) {
        struct group_row row = {.version = 0};
        struct group group;
        text_copy(row.name, sizeof row.name, s->group[i].name);
        text_copy(row.strategy, sizeof row.strategy, s->group[i].strategy);
        text_copy(row.settings, sizeof row.settings, s->group[i].settings);
        if (group_read(&row, &group, why, why_size) != OK)
            return false;
        store_group_put(h->house.store, &row, on_group, h);
    }
    return true;
}

static bool rig_load(struct rig *h, const struct script *s, char *why, size_t why_size)
{
    struct account_row row;
    for (int i = 0; i < s->keys; i++)
        key_add(h, &s->key[i]);
    if (!groups_load(h, s, why, why_size))
        return false;
    for (int i = 0; i < s->accounts; i++) {
        account_row_fill(&row, &s->account[i]);
        if (account_check(&row, why, why_size) != OK)
            return false;
        store_account_add(h->house.store, &row, on_row, h);
    }
    if (!sim_settle(h->loop) || h->added != s->accounts || h->error != OK) {
        text_format(why, why_size, "the store does not take the accounts");
        return false;
    }
    tokens_import(h, s);
    if (!sim_settle(h->loop) || h->error != OK) {
        text_format(why, why_size, "the store does not take the tokens");
        return false;
    }
    return true;
}

static bool rig_listen(struct rig *h)
{
    static const struct listener_ops ops = {on_accept};
    const struct http_server_limits limits = gateway_server_limits(h->config);
    struct addr a;
    h->server = http_server_new(h->loop, &limits, gateway_server_ops(), h->house.gateway);
    return addr_parse(S("127.0.0.1:8080"), &a) == OK &&
           listener_open(h->loop, &a, NULL, &ops, h, &h->listener) == OK;
}

struct rig *rig_start(struct loop *l, const struct script *s, const struct config *c, char *why,
                      size_t why_size)
{
    struct rig *h = NEW(struct rig);
    h->loop = l;
    h->config = c;
    h->ready = ERR_AGAIN;
    map_init(&h->words);
    if (house_start(&h->house, l, c, HOUSE_MEMORY, NULL, on_ready, h, why, why_size) != OK) {
        mem_free(h);
        return NULL;
    }
    bool ok = sim_settle(l) && h->ready == OK;
    if (!ok)
        text_format(why, why_size, "the house does not get ready");
    ok = ok && rig_load(h, s, why, why_size);
    if (ok && !rig_listen(h)) {
        text_format(why, why_size, "the house cannot listen");
        ok = false;
    }
    if (!ok) {
        rig_stop(h);
        return NULL;
    }
    return h;
}

void rig_stop(struct rig *h)
{
    if (h->listener != NULL)
        listener_close(h->listener);
    if (h->server != NULL)
        http_server_free(h->server);
    house_stop(&h->house);
    size_t at = 0;
    void *word;
    while (map_next(&h->words, &at, NULL, &word))
        mem_free(word);
    map_free(&h->words);
    mem_free(h);
}

int64_t rig_in_flight(const struct rig *h)
{
    struct gateway_stats g;
    struct http_server_stats s;
    gateway_stats_get(h->house.gateway, &g);
    http_server_stats_get(h->server, &s);
    assert(g.active >= 0 && s.active >= 0);
    return g.active > s.active ? g.active : s.active;
}

int64_t rig_requests(const struct rig *h)
{
    struct gateway_stats g;
    gateway_stats_get(h->house.gateway, &g);
    return (int64_t)g.requests;
}

/* ---- records ------------------------------------------------------------------------- */

/* The store's static strings are only lent during its callback. */
static const char *word_keep(struct rig *h, const char *text)
{
    if (text == NULL)
        return "";
    char *word = map_get(&h->words, slice_of(text));
    if (word == NULL) {
        word = mem_strdup(text);
        (void)map_put(&h->words, slice_of(text), word);
    }
    return word;
}

static void on_records(void *arg, enum err e, const struct record *rows, size_t n)
{
    struct rig *h = arg;
    h->found = e == OK ? (int)n : -1;
    for (size_t i = 0; e == OK && i < n && i < RIG_RECORDS; i++) {
        struct record *r = &h->out[i];
        *r = rows[i];
        r->route = word_keep(h, r->route);
        r->end = word_keep(h, r->end);
        for (int k = 0; k < STORE_ATTEMPTS; k++)
            r->attempt[k].reason = word_keep(h, r->attempt[k].reason);
    }
}

int rig_records(struct rig *h, struct record *out)
{
    const struct record_query q = {.forward = true, .limit = RIG_RECORDS};
    h->out = out;
    h->found = -1;
    store_records_query(h->house.store, &q, on_records, h);
    if (!sim_settle(h->loop))
        return -1;
    return h->found;
}

static bool attempt_field(const struct record *r, struct slice field, char *out, size_t size)
{
    struct slice number = S("");
    uint64_t i = 0;
    (void)slice_cut(&field, '.', &number);
    if (!text_u64(number, &i) || i == 0 || i > STORE_ATTEMPTS)
        return false;
    const struct record_attempt *a = &r->attempt[i - 1];
    if (r->attempts < (int32_t)i)
        text_format(out, size, "(none)");
    else if (slice_eq(field, S("account")))
        text_format(out, size, "%s", a->account);
    else if (slice_eq(field, S("status")))
        text_format(out, size, "%d", (int)a->status);
    else if (slice_eq(field, S("reason")))
        text_format(out, size, "%s", a->reason);
    else
        return false;
    return true;
}

bool rig_record_field(const struct record *r, struct slice field, char *out, size_t size)
{
    const struct {
        const char *name, *text;
    } texts[] = {{"key", r->key_name},
                 {"client", r->client},
                 {"route", r->route},
                 {"model", r->model_asked},
                 {"answered", r->model_answered},
                 {"session", r->session},
                 {"group", r->group},
                 {"why", r->why},
                 {"upstream_id", r->upstream_id},
                 {"end", r->end},
                 {"tier", r->service_tier},
                 {"stop", r->stop_reason},
                 {"price_date", r->price_date}};
    const struct {
        const char *name;
        int64_t v;
    } numbers[] = {{"status", r->status},
                   {"stream", r->stream},
                   {"attempts", r->attempts},
                   {"ttfb", r->ttfb_ms},
                   {"duration", r->duration_ms},
                   {"bytes_in", r->bytes_in},
                   {"bytes_out", r->bytes_out},
                   {"usage", r->usage_known},
                   {"input", r->input},
                   {"output", r->output},
                   {"read", r->cache_read},
                   {"write5m", r->cache_write_5m},
                   {"write1h", r->cache_write_1h},
                   {"thinking", r->thinking},
                   {"searches", r->web_searches},
                   {"cost", r->cost_nano_usd}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (slice_eq(field, slice_of(texts[i].name))) {
            text_format(out, size, "%s", texts[i].text);
            return true;
        }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (slice_eq(field, slice_of(numbers[i].name))) {
            text_format(out, size, "%" PRId64, numbers[i].v);
            return true;
        }
    if (slice_starts(field, S("attempt.")))
        return attempt_field(r, slice_sub(field, 8, field.n), out, size);
    return false;
}

/* ---- accounts, looked at and handled ------------------------------------------------- */

/* "5h.used" in per cent; "5h.closed"; "5h.resets" and "5h.began" in seconds from and until now. */
static bool window_field(const struct account *a, struct slice field, int64_t now, char *out,
                         size_t size)
{
    struct slice name = S("");
    enum window_kind k;
    if (!slice_cut(&field, '.', &name) || !window_kind_of(name, &k))
        return false;
    const struct window *w = &a->facts.window[k];
    if (!w->known)
        text_format(out, size, "(unknown)");
    else if (slice_eq(field, S("used")))
        text_format(out, size, "%.0f", window_used(w, now) * 100);
    else if (slice_eq(field, S("closed")))
        text_format(out, size, "%s", window_is_closed(w, now) ? "yes" : "no");
    else if (slice_eq(field, S("resets")))
        text_format(out, size, "%" PRId64, (w->resets_at - now) / 1000);
    else if (slice_eq(field, S("began")))
        text_format(out, size, "%" PRId64, (now - w->started_at) / 1000);
    else
        return false;
    return true;
}

static bool account_field(const struct account *a, struct slice field, int64_t now, char *out,
                          size_t size);

/* What a gateway that starts now finds in the store. */
static bool stored_field(struct rig *h, struct slice account, struct slice field, char *out,
                         size_t size)
{
    struct rig other = {.ready = ERR_AGAIN};
    struct account_set *set = accounts_new(h->loop, h->house.store, on_ready, &other);
    bool ok = sim_settle(h->loop) && other.ready == OK;
    const struct account *a = ok ? accounts_by_name(set, account) : NULL;
    ok = a != NULL && account_field(a, field, loop_wall(h->loop), out, size);
    accounts_free(set);
    return ok && sim_settle(h->loop);
}

bool rig_account_field(struct rig *h, struct slice account, struct slice field, char *out,
                       size_t size)
{
    if (slice_starts(field, S("stored.")))
        return stored_field(h, account, slice_sub(field, 7, field.n), out, size);
    const struct account *a = accounts_by_name(h->house.accounts, account);
    return a != NULL && account_field(a, field, loop_wall(h->loop), out, size);
}

static bool account_field(const struct account *a, struct slice field, int64_t now, char *out,
                          size_t size)
{
    struct account_status st = account_status(&a->facts, now);
    if (slice_starts(field, S("rests."))) { /* "rests.opus": seconds, for that family alone */
        char family[WINDOW_FAMILY_MAX];
        text_copy(family, sizeof family, slice_sub(field, 6, field.n));
        st = account_status_for(&a->facts, family, now);
        text_format(out, size, "%" PRId64, st.until == 0 ? 0 : (st.until - now + 999) / 1000);
    } else if (slice_eq(field, S("status")))
        text_format(out, size, "%s", account_state_name(st.state));
    else if (slice_eq(field, S("for"))) /* seconds it is still cooling */
        text_format(out, size, "%" PRId64, (st.until - now + 999) / 1000);
    else if (slice_eq(field, S("reason")))
        text_format(out, size, "%s", st.reason);
    else if (slice_eq(field, S("in_flight")))
        text_format(out, size, "%d", (int)a->facts.in_flight);
    else if (slice_eq(field, S("served")))
        text_format(out, size, "%" PRIu64, a->served);
    else if (slice_eq(field, S("failed")))
        text_format(out, size, "%" PRIu64, a->failed);
    else
        return window_field(a, field, now, out, size);
    return true;
}

/* "+1h" or "-1h": somebody sets the wall clock. */
static bool wall_step(struct rig *h, struct slice by)
{
    bool back = slice_starts(by, S("-"));
    int64_t ms = 0;
    if (by.n < 2 || !text_duration(slice_sub(by, 1, by.n), 1000, &ms))
        return false;
    sim_wall_step(h->loop, back ? -ms : ms);
    return true;
}

/* Told anew by a person; `settings` are JSON. */
static void account_change(struct rig *h, const struct account *a, bool paused,
                           struct slice settings)
{
    struct account_row row = {.id = a->id,
                              .version = a->version,
                              .priority = a->priority,
                              .weight = a->weight,
                              .paused = paused,
                              .allow_private = a->allow_private,
                              .secret = S("")};
    text_copy(row.name, sizeof row.name, slice_of(a->name));
    text_copy(row.provider, sizeof row.provider, slice_of(a->provider->name));
    text_copy(row.base_url, sizeof row.base_url, slice_of(a->own_url));
    text_copy(row.settings, sizeof row.settings, settings);
    store_account_update(h->house.store, &row, on_row, h);
}

/* "A=2": so many requests at once from now on. */
static bool account_limit(struct rig *h, struct slice rest)
{
    struct slice number = rest, name = S("");
    char settings[64];
    uint64_t n = 0;
    if (!slice_cut(&number, '=', &name) || !text_u64(number, &n))
        return false;
    const struct account *a = accounts_by_name(h->house.accounts, name);
    if (a == NULL)
        return false;
    size_t len = text_format(settings, sizeof settings, "{\"concurrency\":%" PRIu64 "}", n);
    account_change(h, a, a->facts.paused, (struct slice){settings, len});
    return true;
}

static void group_remove(struct rig *h, struct slice name)
{
    char text[STORE_GROUP_MAX];
    text_copy(text, sizeof text, name);
    accounts_group_drop(h->house.accounts, text);
    gateway_accounts_changed(h->house.gateway);
}

/* What a look at the load finds: "memory=96" (per cent), "fds=75" (per cent), "lag=600" (ms). */
static bool load_look(struct rig *h, struct slice what)
{
    struct load_numbers n = {.memory_limit = INT64_C(1000) << 20, .fds_limit = 1000};
    struct slice part, key;
    uint64_t v;
    while (slice_cut(&what, ',', &part)) {
        if (!slice_cut(&part, '=', &key) || !text_u64(part, &v) || v > 100000)
            return false;
        if (slice_eq(key, S("memory")))
            n.memory = n.memory_limit / 100 * (int64_t)v;
        else if (slice_eq(key, S("fds")))
            n.fds = n.fds_limit / 100 * (int64_t)v;
        else if (slice_eq(key, S("lag")))
            n.lag_ms = (int64_t)v;
        else
            return false;
    }
    (void)load_step(&loop_core_of(h->loop)->load, &n, loop_now(h->loop));
    http_server_ease(h->server);
    gateway_relieve(h->house.gateway);
    return true;
}

bool rig_do(struct rig *h, struct slice verb)
{
    struct slice rest = verb, word = S("");
    (void)slice_cut(&rest, ':', &word);
    struct account *a = accounts_by_name(h->house.accounts, rest);
    if (slice_eq(verb, S("drain"))) {
        gateway_drain(h->house.gateway, "draining");
        http_server_drain(h->server);
    } else if (slice_eq(verb, S("reap"))) {
        gateway_reap(h->house.gateway);
    } else if (slice_eq(word, S("wall"))) {
        return wall_step(h, rest);
    } else if (slice_eq(word, S("load"))) {
        return load_look(h, rest);
    } else if (slice_eq(word, S("limit"))) {
        return account_limit(h, rest);
    } else if (slice_eq(word, S("ungroup"))) {
        group_remove(h, rest);
    } else if (a == NULL) {
        return false;
    } else if (slice_eq(word, S("pause")) || slice_eq(word, S("resume"))) {
        account_change(h, a, slice_eq(word, S("pause")), slice_of(a->settings));
    } else if (slice_eq(word, S("reset"))) {
        accounts_reset(h->house.accounts, a);
        gateway_accounts_changed(h->house.gateway);
    } else if (slice_eq(word, S("remove"))) {
        accounts_drop(h->house.accounts, a->id);
        gateway_accounts_changed(h->house.gateway);
    } else {
        return false;
    }
    return true;
}
