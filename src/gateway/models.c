/* GET /v1/models over the whole pool: every account that can answer is asked once, whatever it
 * speaks, for its models can be asked for in every dialect. The lists are merged (codec/models.c),
 * told in the client's shape, and a union to which everybody has contributed is kept for five
 * minutes. */
#include "gateway/exchange.h"

#include <string.h>

#define FAN_MAX         32
#define FAN_BODY_MAX    1048576
#define FAN_DEADLINE_MS 10000
#define FAN_CACHE_MS    300000

struct fan_leg {
    struct models_fan *fan;
    struct account *account;
    struct http_request *request; /* NULL: over */
    struct buf body;
    int status;
};
struct models_fan {
    struct exchange *x;
    struct fan_leg leg[FAN_MAX];
    int n, open;
    bool partial; /* some account was not even asked: it rests */
};

static void fan_free(void *arg)
{
    mem_free(arg);
}

/* `last_id`/limit parameters of the query; percent-decoding is not needed for ids. */
static struct slice query_value(struct slice query, struct slice name)
{
    struct slice part;
    while (slice_cut(&query, '&', &part))
        if (slice_starts(part, name) && part.n > name.n && part.p[name.n] == '=')
            return slice_sub(part, name.n + 1, part.n);
    return S("");
}

/* A list in OpenAI's shape as Gemini's clients know it, or Ollama's. */
static enum err models_reshape(enum dialect d, struct slice list, struct buf *out)
{
    struct json *doc = NULL;
    struct jw w;
    enum err e = json_parse(list, &doc);
    if (e != OK)
        return e;
    const struct json_val *data = json_get(json_root(doc), "data");
    jw_init(&w, out);
    jw_obj(&w);
    jw_key(&w, "models");
    jw_arr(&w);
    for (size_t i = 0; i < json_len(data); i++) {
        char name[256];
        struct slice id = json_get_str(json_at(data, i), "id");
        const char *lead = d == DIALECT_GEMINI ? "models/" : "";
        text_format(name, sizeof name, "%s%.*s", lead, (int)id.n, id.p);
        jw_obj(&w);
        jw_kcstr(&w, "name", name);
        jw_kstr(&w, d == DIALECT_GEMINI ? "displayName" : "model", id);
        if (d == DIALECT_GEMINI)
            jw_key(&w, "supportedGenerationMethods");
        if (d == DIALECT_GEMINI)
            jw_raw(&w, S("[\"generateContent\",\"countTokens\"]"));
        jw_end_obj(&w);
    }
    jw_end_arr(&w);
    jw_end_obj(&w);
    json_free(doc);
    return w.err;
}

static enum err models_print(const struct exchange *x, const struct slice *bodies, int n,
                             const struct model_page *page, struct buf *out)
{
    enum dialect d = x->route.front.dialect;
    struct buf list;
    if (d == DIALECT_ANTHROPIC)
        return codec_models_merge(bodies, n, page, out);
    if (d == DIALECT_OPENAI || d == DIALECT_RESPONSES)
        return codec_models_list(bodies, n, out);
    buf_init(&list, out->max);
    enum err e = codec_models_list(bodies, n, &list);
    if (e == OK)
        e = models_reshape(d, buf_slice(&list), out);
    buf_free(&list);
    return e;
}

/* The group's own names, as a list in OpenAI's shape. */
static enum err aliases_print(const struct exchange *x, struct buf *out)
{
    const struct group *g = accounts_group(x->g->p.accounts,
                                           x->group[0] != '\0' ? x->group : GROUP_DEFAULT);
    struct slice name;
    struct jw w;
    jw_init(&w, out);
    jw_obj(&w);
    jw_kcstr(&w, "object", "list");
    jw_key(&w, "data");
    jw_arr(&w);
    for (int i = 0; g != NULL && group_alias(g, i, &name); i++) {
        jw_obj(&w);
        jw_kstr(&w, "id", name);
        jw_kcstr(&w, "object", "model");
        jw_ki64(&w, "created", 0);
        jw_kcstr(&w, "owned_by", "sluice");
        jw_end_obj(&w);
    }
    jw_end_arr(&w);
    jw_end_obj(&w);
    return w.err;
}

static void models_answer(struct exchange *x, const struct slice *lists, int n)
{
    struct slice bodies[FAN_MAX + 1];
    struct buf aliases;
    struct slice query = http_call_head(x->call)->query;
    struct http_header h[2] = {{S("content-type"), S("application/json")},
                               {S("x-sluice-request-id"), slice_of(x->record.id)}};
    struct model_page page = {.after_id = query_value(query, S("after_id")),
                              .before_id = query_value(query, S("before_id"))};
    uint64_t limit;
    if (text_u64(query_value(query, S("limit")), &limit) && limit >= 1)
        page.limit = limit > 1000 ? 1000 : (int64_t)limit;
    assert(n > 0 && n <= FAN_MAX);
    memcpy(bodies, lists, (size_t)n * sizeof *lists);
    buf_init(&aliases, FAN_BODY_MAX);
    if (aliases_print(x, &aliases) == OK)
        bodies[n++] = buf_slice(&aliases);
    buf_clear(&x->reply);
    enum err e = models_print(x, bodies, n, &page, &x->reply);
    buf_free(&aliases);
    models_drop(x); /* the answer may take its time: nobody who is late may come back here */
    if (e != OK) {
        answer_error(x, 502, "sluice: no account's model list could be read.", -1, true,
                     "upstream_error");
        return;
    }
    x->g->stats.served++;
    answer_send(x, 200, h, 2, "complete");
}

/* Keeps the union of the lists that came, as one list of everything. */
static void models_keep(struct exchange *x, const struct slice *bodies, int n)
{
    struct gateway *g = x->g;
    struct model_page all = {.limit = 1000};
    buf_clear(&g->models);
    text_copy(g->models_group, sizeof g->models_group, slice_of(x->group));
    if (codec_models_merge(bodies, n, &all, &g->models) == OK)
        g->models_at = loop_now(g->p.loop);
    else
        buf_clear(&g->models);
}

void models_drop(struct exchange *x)
{
    struct models_fan *f = x->fan;
    if (f == NULL)
        return;
    x->fan = NULL;
    f->x = NULL;
    for (int i = 0; i < f->n; i++) {
        struct fan_leg *leg = &f->leg[i];
        if (leg->request != NULL)
            http_request_abort(leg->request);
        leg->request = NULL;
        attempt_release(x->g, leg->account);
        buf_free(&leg->body);
    }
    loop_bury(x->g->p.loop, f, fan_free);
}

/* Would say the same again: a list, or a word that there is none. */
static bool leg_is_definite(const struct fan_leg *leg)
{
    return leg->status == 200 || (leg->status >= 400 && leg->status < 500 && leg->status != 429);
}

void models_finish(struct exchange *x)
{
    struct models_fan *f = x->fan;
    assert(f != NULL && x->state == X_REPLY);
    struct slice bodies[FAN_MAX];
    int n = 0;
    bool whole = !f->partial && f->open == 0;
    for (int i = 0; i < f->n; i++) {
        whole = whole && leg_is_definite(&f->leg[i]);
        if (f->leg[i].request == NULL && f->leg[i].status == 200)
            bodies[n++] = buf_slice(&f->leg[i].body);
    }
    if (n == 0) {
        models_drop(x);
        answer_error(x, 502, "sluice: no account answered with its model list.", -1, true,
                     "upstream_error");
        return;
    }
    if (whole)
        models_keep(x, bodies, n);
    models_answer(x, bodies, n);
}

static void leg_over(struct fan_leg *leg)
{
    struct models_fan *f = leg->fan;
    leg->request = NULL;
    assert(f->open > 0);
    if (--f->open == 0 && f->x != NULL)
        models_finish(f->x);
}

static void leg_on_head(void *owner, const struct http_head *head)
{
    struct fan_leg *leg = owner;
    leg->status = head->status;
}

static void leg_on_body(void *owner, struct slice bytes)
{
    struct fan_leg *leg = owner;
    if (buf_append(&leg->body, bytes.p, bytes.n) != OK)
        leg->status = 0; /* too long to be a list of models */
}

static void leg_on_end(void *owner)
{
    leg_over(owner);
}

static void leg_on_fail(void *owner, enum err e, const char *why)
{
    struct fan_leg *leg = owner;
    log_info("no model list", LF_STR("account", leg->account->name), LF_STR("err", err_name(e)),
             LF_STR("why", why));
    leg->status = 0;
    leg_over(leg);
}

static const struct http_request_ops LEG = {
    .on_head = leg_on_head, .on_body = leg_on_body, .on_end = leg_on_end, .on_fail = leg_on_fail};

static const struct account_door *models_door(const struct exchange *x, const struct account *a)
{
    const struct account_door *d = account_door_for(a, x->route.front.dialect, API_MODELS);
    for (int i = 0; d == NULL && i < a->doors; i++)
        if (a->door[i].of->path[API_MODELS] != NULL)
            d = &a->door[i];
    return d;
}

/* The client's head, but that it asks for the list itself: not whether its own has changed, nor for
 * a part of it. A client that speaks of no version means the first. */
static int leg_headers(const struct exchange *x, const struct account *a,
                       const struct account_door *d, struct http_header h[HTTP_HEADERS_MAX],
                       char beta[BETA_MAX])
{
    int n = crossing_headers(x, a, d, h, beta), kept = 0;
    bool version = d->of->dialect != DIALECT_ANTHROPIC;
    for (int i = 0; i < n; i++) {
        version = version || slice_eq(h[i].name, S("anthropic-version"));
        if (!slice_starts(h[i].name, S("if-")) && !slice_eq(h[i].name, S("range")))
            h[kept++] = h[i];
    }
    if (!version)
        h[kept++] = (struct http_header){S("anthropic-version"), S("2023-06-01")};
    return kept;
}

/* False: this account cannot be asked. */
static bool leg_start(struct models_fan *f, struct account *a, const struct account_door *d)
{
    struct exchange *x = f->x;
    struct fan_leg *leg = &f->leg[f->n];
    struct http_header h[HTTP_HEADERS_MAX];
    char beta[BETA_MAX], memory[CROSSING_MEMORY];
    struct buf path;
    int n = leg_headers(x, a, d, h, beta);
    buf_init(&path, HTTP_LINE_MAX);
    enum err e = account_door_path(a, d, API_MODELS, false, S(""), S(""), S("limit=1000"), &path);
    if (e == OK)
        e = crossing_sign(a, d, S("GET"), buf_slice(&path), S(""), loop_wall(x->g->p.loop), h, &n,
                          memory, sizeof memory);
    if (e == OK) {
        assert(f->n < FAN_MAX);
        *leg = (struct fan_leg){.fan = f, .account = a};
        buf_init(&leg->body, FAN_BODY_MAX);
        account_hold(a);
        f->n++;
        f->open++;
        leg->request = http_request_start(x->g->p.client, &d->target, HTTP_GET, buf_slice(&path), h,
                                          n, S(""), &LEG, leg);
    }
    crypto_wipe(memory, sizeof memory);
    buf_free(&path);
    return e == OK;
}

static void legs_start(struct exchange *x, const struct account_choice *c)
{
    struct models_fan *f = x->fan;
    for (int i = 0; i < c->n; i++) {
        const struct account_door *d = models_door(x, c->ready[i]);
        if (d != NULL && (f->n == FAN_MAX || !leg_start(f, c->ready[i], d)))
            f->partial = true;
    }
}

void models_start(struct exchange *x)
{
    struct gateway *g = x->g;
    struct account_choice c;
    struct account_wish w = exchange_wish(x);
    assert(x->fan == NULL && x->state == X_BODY);
    w.dialect = DIALECT_COUNT; /* whoever */
    accounts_choose(g->p.accounts, &w, loop_wall(g->p.loop), &c);
    text_copy(x->plan->group, sizeof x->plan->group, slice_of(c.group));
    bool fresh = loop_now(g->p.loop) - g->models_at < FAN_CACHE_MS;
    bool same = strcmp(g->models_group, x->group) == 0;     /* another key may see other accounts */
    if (same && g->models.len > 0 && (fresh || c.n == 0)) { /* an old list is better than none */
        struct slice kept = buf_slice(&g->models);
        models_answer(x, &kept, 1);
        return;
    }
    if (c.n == 0) {
        exchange_fail(x);
        return;
    }
    exchange_move(x, X_ADMIT);
    exchange_move(x, X_REPLY);
    x->fan = NEW(struct models_fan);
    x->fan->x = x;
    x->fan->partial = c.cooling > 0;
    legs_start(x, &c);
    if (x->fan->n == 0) {
        models_finish(x);
        return;
    }
    timer_set(&x->timer, loop_now(g->p.loop) + FAN_DEADLINE_MS);
}
