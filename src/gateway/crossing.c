/* The crossing: what a request is on the other side, at one door of one account.
 *
 *   the door's dialect is the client's:  the same bytes, or with single members spliced
 *   it is another one:                   printed anew from what the codec has read
 *
 * Nothing of a body chooses where a request goes or what credential it carries: that is the
 * account's. Of all a client says only the model's name comes into a path, encoded and checked by
 * account_door_path. */
#include "gateway/exchange.h"

#include <string.h>

static enum wire wire_of(const struct account_door *d)
{
    const struct ask_target *t = &d->of->target;
    if (d->of->dialect != DIALECT_ANTHROPIC || t->version.n == 0)
        return WIRE_PLAIN;
    return d->of->stream == FRAMING_AWS ? WIRE_BEDROCK : WIRE_VERTEX;
}

bool crossing_is_same(const struct exchange *x)
{
    return x->attempt.door->of->dialect == x->route.front.dialect;
}

bool crossing_is_alike(const struct exchange *x)
{
    return crossing_is_same(x) && wire_of(x->attempt.door) == x->route.front.wire;
}

void crossing_init(struct crossing *c)
{
    *c = (struct crossing){.model = ""};
    buf_init(&c->body, 0);
}

void crossing_forget_body(struct exchange *x)
{
    struct crossing *c = &x->crossing;
    x->g->stats.buffered -= (int64_t)c->body.len;
    buf_free(&c->body);
    c->of = NULL;
}

void crossing_free(struct crossing *c)
{
    assert(c->body.len == 0);
    buf_free(&c->body);
    if (c->names != NULL)
        codec_names_free(c->names);
    c->names = NULL;
}

/* ---- betas ----------------------------------------------------------------------------------- */

/* True when the comma-separated list holds `value`. */
static bool list_holds(struct slice list, struct slice value)
{
    struct slice part;
    while (slice_cut(&list, ',', &part))
        if (slice_eq(slice_trim(part), value))
            return true;
    return false;
}

struct cut { /* a body on its way through the knife */
    const struct exchange *x;
    const struct account *account;
    const struct account_door *door;
    struct splice s;
    struct buf model, version, beta; /* what is put in */
};

/* What does not fit is left out: the door would refuse a list of that length. */
static void beta_add(struct buf *all, struct slice one)
{
    size_t before = all->len;
    if (one.n == 0 || list_holds(buf_slice(all), one))
        return;
    if ((before > 0 && buf_puts(all, S(",")) != OK) || buf_puts(all, one) != OK)
        all->len = before;
}

/* Adds what the door knows of a list, each once, by the names that it has there. */
static void betas_add(const struct cut *c, struct buf *all, struct slice list)
{
    const struct beta_rule *rules = c->door->of->betas;
    struct slice part;
    while (slice_cut(&list, ',', &part)) {
        part = slice_trim(part);
        if (rules == NULL)
            beta_add(all, part);
        for (const struct beta_rule *r = rules; r != NULL && r->beta != NULL; r++)
            if (slice_eq(part, slice_of(r->beta)) &&
                (r->with == NULL || slice_search(c->s.text, slice_of(r->with)) >= 0))
                beta_add(all, r->as != NULL ? slice_of(r->as) : part);
    }
}

static void betas_of_head(const struct cut *c, struct buf *all)
{
    const struct http_head *in = http_call_head(c->x->call);
    for (int i = 0; i < in->headers; i++)
        if (slice_eq(in->header[i].name, S("anthropic-beta")))
            betas_add(c, all, in->header[i].value);
    betas_add(c, all, slice_of(c->account->provider->beta));
}

static void betas_of_body(const struct cut *c, struct slice list, struct buf *all)
{
    struct json *doc = NULL;
    struct slice one;
    if (list.n > BETA_MAX || json_parse(list, &doc) != OK)
        return;
    for (size_t i = 0; i < json_len(json_root(doc)); i++)
        if (json_str(json_at(json_root(doc), i), &one))
            betas_add(c, all, one);
    json_free(doc);
}

static enum err betas_print(struct slice all, struct buf *out)
{
    struct slice part;
    struct jw w;
    jw_init(&w, out);
    jw_arr(&w);
    while (slice_cut(&all, ',', &part))
        jw_str(&w, part);
    jw_end_arr(&w);
    return w.err;
}

/* ---- the same dialect: splicing -------------------------------------------------------------- */

/* The client speaks the door's own interface. */
static bool cut_is_alike(const struct cut *c)
{
    return wire_of(c->door) == c->x->route.front.wire;
}

static void cut_model(struct cut *c, const char *name)
{
    const struct request_facts *f = &c->x->plan->facts;
    const struct ask_target *t = &c->door->of->target;
    bool same = f->model_span.to != 0 && strcmp(name, c->x->record.model_asked) == 0;
    if (same && !t->body_has_no_model)
        return; /* as nearly always: it stands there as it should */
    const char *path = c->door->of->path[c->x->route.front.call];
    bool in_path = path != NULL && strstr(path, "{model}") != NULL;
    if (t->body_has_no_model && in_path)
        splice_drop(&c->s, S("model"));
    else if (in_path && f->model_span.to == 0)
        return;
    else if (name[0] == '\0' || same)
        return;
    else if (json_escape(&c->model, slice_of(name)) != OK)
        return;
    else if (f->model_span.to == 0)
        splice_add(&c->s, S("model"), buf_slice(&c->model));
    else
        splice_put(&c->s, f->model_span, buf_slice(&c->model));
}

static void cut_stream(struct cut *c)
{
    const struct exchange *x = c->x;
    const struct front *f = &x->route.front;
    struct slice body = buf_slice(&x->body), want = x->plan->facts.stream ? S("true") : S("false");
    struct span v;
    if (x->route.kind != ROUTE_CHAT || f->dialect == DIALECT_GEMINI)
        return;
    if (c->door->of->target.body_has_no_stream) {
        splice_drop(&c->s, S("stream"));
        return;
    }
    if (!f->stream_in_path)
        return; /* looked for only then: a body may be long */
    bool told = splice_find(body, S("stream"), &v);
    if (!told && !x->plan->facts.stream)
        return;
    if (!told || !slice_eq(slice_sub(body, v.from, v.to), want))
        splice_set(&c->s, S("stream"), want);
}

static void cut_version(struct cut *c)
{
    const struct ask_target *t = &c->door->of->target;
    struct span v;
    if (t->version.n == 0 && c->x->route.front.wire == WIRE_PLAIN)
        return;
    bool told = splice_find(c->s.text, S("anthropic_version"), &v);
    if (t->version.n == 0) {
        if (told)
            splice_drop(&c->s, S("anthropic_version"));
        return;
    }
    if (told && cut_is_alike(c))
        return; /* its clients know best which one they mean */
    if (json_escape(&c->version, t->version) == OK)
        splice_set(&c->s, S("anthropic_version"), buf_slice(&c->version));
}

/* Betas travel in a header, or at AWS in the body. Gathers those that go. */
static void cut_betas(struct cut *c, struct crossing *out)
{
    const struct provider_door *d = c->door->of;
    struct span v = {0, 0};
    struct buf *beta = &c->x->plan->beta;
    buf_clear(beta);
    out->betas = !cut_is_alike(c) && (d->betas != NULL || c->x->route.front.wire == WIRE_BEDROCK);
    if (!d->beta_in_body && !out->betas)
        return; /* the header passes as it is */
    bool told = splice_find(c->s.text, S("anthropic_beta"), &v);
    if (d->beta_in_body && told && cut_is_alike(c))
        return; /* and so does the body */
    if (told)
        betas_of_body(c, slice_sub(c->s.text, v.from, v.to), beta);
    betas_of_head(c, beta);
    if (!d->beta_in_body || beta->len == 0)
        splice_drop(&c->s, S("anthropic_beta"));
    else if (betas_print(buf_slice(beta), &c->beta) == OK)
        splice_set(&c->s, S("anthropic_beta"), buf_slice(&c->beta));
}

/* What a partner does not know it refuses, and so it does the half of a beta. */
static void cut_members(struct cut *c)
{
    const struct provider_door *d = c->door->of;
    if (d->keep != NULL)
        splice_keep(&c->s, d->keep);
    for (const struct beta_bound *b = d->bound; b != NULL && b->member != NULL; b++) {
        bool goes = false;
        for (const char *const *beta = b->betas; *beta != NULL; beta++)
            goes = goes || list_holds(buf_slice(&c->x->plan->beta), slice_of(*beta));
        if (!goes)
            splice_drop(&c->s, slice_of(b->member));
    }
}

static void cut_rest(struct cut *c, struct crossing *out)
{
    const struct provider_door *d = c->door->of;
    struct usage_wish wish;
    for (const char *const *key = d->drop; key != NULL && *key != NULL; key++)
        splice_drop(&c->s, slice_of(*key));
    if (c->x->route.kind != ROUTE_CHAT || d->target.no_stream_options ||
        !codec_usage_wish(d->dialect, c->s.text, &wish))
        return;
    splice_put(&c->s, wish.cut, wish.put);
    out->usage_wished = true;
}

/* CountTokens takes the body of an InvokeModel, whole, in base64. */
static enum err count_wrap(const struct splice *s, size_t max, struct buf *out)
{
    struct buf plain;
    buf_init(&plain, max);
    enum err e = splice_write(s, &plain);
    e = e == OK ? buf_puts(out, S("{\"input\":{\"invokeModel\":{\"body\":\"")) : e;
    e = e == OK ? text_base64(out, plain.p, plain.len, false) : e;
    e = e == OK ? buf_puts(out, S("\"}}}")) : e;
    buf_free(&plain);
    return e;
}

/* Such a body must say how long the reply may become, and more than it may think. */
static void cut_count(struct cut *c)
{
    struct span v;
    splice_drop(&c->s, S("stream"));
    if (!splice_find(c->s.text, S("max_tokens"), &v))
        splice_add(&c->s, S("max_tokens"), S("32000"));
}

static enum err crossing_splice(struct exchange *x, const struct account *a,
                                const struct account_door *d, const char *name)
{
    struct crossing *out = &x->crossing;
    struct cut c FILLED_LATER;
    c.x = x;
    c.account = a;
    c.door = d;
    bool coded = crossing_counts_coded(x);
    if (coded && cut_is_alike(&c))
        return OK; /* its clients wrap it themselves */
    splice_init(&c.s, buf_slice(&x->body));
    buf_init(&c.model, 1024);
    buf_init(&c.version, 128);
    buf_init(&c.beta, 2 * BETA_MAX);
    cut_model(&c, name);
    if (d->of->dialect == DIALECT_ANTHROPIC) {
        cut_version(&c);
        cut_betas(&c, out);
        if (!cut_is_alike(&c))
            cut_members(&c);
    }
    cut_stream(&c);
    cut_rest(&c, out);
    if (coded)
        cut_count(&c);
    enum err e = OK;
    out->own = coded || !splice_is_empty(&c.s);
    if (coded)
        e = count_wrap(&c.s, out->body.max, &out->body);
    else if (out->own)
        e = splice_write(&c.s, &out->body);
    buf_free(&c.model);
    buf_free(&c.version);
    buf_free(&c.beta);
    return e;
}

/* ---- another dialect: translating ------------------------------------------------------------ */

static enum err crossing_translate(struct exchange *x, const struct account_door *d,
                                   const char *name, const char **why)
{
    struct crossing *c = &x->crossing;
    struct ask_target t = d->of->target;
    t.model = slice_of(name);
    t.num_ctx = d->num_ctx;
    t.stream = x->route.front.stream_in_path && x->route.front.streams;
    c->names = codec_names_new();
    c->own = true;
    return codec_ask_translate(x->route.front.dialect, d->of->dialect, buf_slice(&x->body), &t,
                               c->names, &c->body, why);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static bool reads_body(const struct exchange *x)
{
    return x->route.kind == ROUTE_CHAT || x->route.kind == ROUTE_COUNT ||
           x->route.kind == ROUTE_TEXTS;
}

/* Does the door count, in the client's own words? */
static bool door_counts(const struct exchange *x, const struct account_door *d)
{
    return d->of->dialect == x->route.front.dialect && d->of->path[API_COUNT] != NULL &&
           (wire_of(d) == WIRE_BEDROCK || x->route.front.wire != WIRE_BEDROCK);
}

bool crossing_counts_coded(const struct exchange *x)
{
    return x->route.kind == ROUTE_COUNT && wire_of(x->attempt.door) == WIRE_BEDROCK;
}

bool crossing_may_count(const struct exchange *x)
{
    struct account_set *set = x->g->p.accounts;
    for (int i = 0; i < accounts_count(set); i++) {
        const struct account *a = accounts_at(set, i);
        const struct account_door *d = account_door_for(a, x->route.front.dialect, API_COUNT);
        if (d != NULL && door_counts(x, d) && accounts_group_reaches(set, x->group, a))
            return true;
    }
    return false;
}

static void crossing_model(const struct exchange *x, const struct account *a,
                           const struct account_door *d, char *out, size_t size)
{
    const char *asked = x->plan->facts.model;
    enum wire w = wire_of(d);
    if (w != WIRE_PLAIN && w == x->route.front.wire && !x->aliased)
        asked = x->record.model_asked; /* in that cloud's own words */
    if (asked[0] == '\0')
        text_copy(out, size, S(""));
    else
        (void)account_model(a, asked, x->plan->turn, out, size);
}

/* CountTokens knows models, not the profiles that lead to them: "us.anthropic.claude-..." */
static void model_without_profile(char *model)
{
    char *at = strstr(model, ".anthropic.");
    if (at != NULL && strncmp(model, "arn:", 4) != 0)
        memmove(model, at + 1, strlen(at));
}

static enum err crossing_path(struct exchange *x, const struct account *a,
                              const struct account_door *d, const char *name)
{
    const struct http_head *in = http_call_head(x->call);
    bool alike = d->of->dialect == x->route.front.dialect && wire_of(d) == x->route.front.wire &&
                 d->of->dialect != DIALECT_GEMINI;
    buf_clear(&x->plan->path);
    return account_door_path(a, d, x->route.front.call, x->plan->facts.stream, slice_of(name),
                             in->path, alike ? in->query : S(""), &x->plan->path);
}

/* A body for this door, unless the one that was made for it is still there. */
static enum err crossing_body(struct exchange *x, const struct account *a,
                              const struct account_door *d, const char *name, const char **why)
{
    struct crossing *c = &x->crossing;
    bool same = d->of->dialect == x->route.front.dialect;
    if (c->of == d->of && strcmp(c->model, name) == 0)
        return OK;
    crossing_forget_body(x);
    if (c->names != NULL)
        codec_names_free(c->names);
    c->names = NULL;
    c->usage_wished = c->own = c->betas = false;
    buf_init(&c->body, 2 * (size_t)x->body.max + 65536);
    enum err e = OK;
    if (!same)
        e = crossing_translate(x, d, name, why);
    else if (reads_body(x))
        e = crossing_splice(x, a, d, name);
    if (e != OK) {
        buf_free(&c->body);
        return e;
    }
    x->g->stats.buffered += (int64_t)c->body.len;
    c->of = d->of;
    memcpy(x->plan->model_there, name, strlen(name) + 1); /* crossing_make has it in as much room */
    return OK;
}

enum crossed crossing_make(struct exchange *x, const char **why)
{
    const struct account *a = x->attempt.account;
    char name[sizeof x->plan->model_there];
    const struct account_door *d = account_door_for(a, x->route.front.dialect, x->route.front.call);
    x->attempt.door = d;
    *why = "This account does not offer this call";
    if (d == NULL)
        return CROSSED_NOT;
    if (x->route.kind == ROUTE_COUNT && !door_counts(x, d))
        return CROSSED_ESTIMATE;
    crossing_model(x, a, d, name, sizeof name);
    if (crossing_counts_coded(x))
        model_without_profile(name);
    enum err e = crossing_path(x, a, d, name);
    if (e == ERR_SYNTAX)
        *why = "The model's name cannot stand in a path";
    if (e == OK)
        e = crossing_body(x, a, d, name, why);
    return e == OK ? CROSSED : e == ERR_NOMEM ? CROSSED_NOMEM : CROSSED_NOT;
}

struct slice crossing_bytes(const struct exchange *x)
{
    return buf_slice(x->crossing.own ? &x->crossing.body : &x->body);
}

/* ---- headers --------------------------------------------------------------------------------- */

/* Client credentials, whose bill it is, and what tells a provider about the network in front of us.
 */
static bool is_kept_from_upstream(struct slice name)
{
    switch (name.n > 0 ? name.p[0] : '\0') { /* most names are decided by their first letter */
    case 'a':
        return slice_eq(name, S("authorization")) || slice_eq(name, S("api-key")) ||
               slice_eq(name, S("accept-encoding"));
    case 'c':
        return slice_eq(name, S("cookie"));
    case 'f':
        return slice_eq(name, S("forwarded"));
    case 'o':
        return slice_eq(name, S("openai-project")) || slice_eq(name, S("openai-organization"));
    case 'v':
        return slice_eq(name, S("via"));
    case 'x':
        return slice_eq(name, S("x-api-key")) || slice_eq(name, S("x-goog-api-key")) ||
               slice_eq(name, S("x-real-ip")) || slice_eq(name, S("x-goog-user-project")) ||
               slice_starts(name, S("x-forwarded-")) || slice_starts(name, S("x-sluice-")) ||
               slice_starts(name, S("x-amz-")) || slice_starts(name, S("x-amzn-trace"));
    default:
        return false;
    }
}

/* As nearly always: header_passes whatever the name. */
static bool head_passes(const struct exchange *x, const struct account_door *d, enum wire to)
{
    return d->of->dialect == x->route.front.dialect && to == WIRE_PLAIN &&
           to == x->route.front.wire && !d->of->beta_in_body && !x->crossing.betas;
}

/* What of a client's head goes to a door where its dialect is spoken. */
static bool header_passes(const struct exchange *x, const struct account_door *d, enum wire to,
                          struct slice name)
{
    if (d->of->dialect != x->route.front.dialect)
        return slice_eq(name, S("user-agent"));
    if (to != WIRE_PLAIN && slice_eq(name, S("anthropic-version")))
        return false;
    if (slice_eq(name, S("anthropic-beta")))
        return !d->of->beta_in_body && !x->crossing.betas;
    if (to != x->route.front.wire &&
        (slice_eq(name, S("accept")) || slice_starts(name, S("x-amzn-"))))
        return false;
    return true;
}

/* What the provider asks of anthropic-beta beside the client's own list, which passes as it is. */
static int header_beta(const struct account *a, struct http_header *out, int n, char beta[BETA_MAX])
{
    struct slice need = slice_of(a->provider->beta);
    struct slice name = S("anthropic-beta");
    if (need.n == 0)
        return n;
    for (int i = 0; i < n; i++) {
        struct slice has = out[i].value;
        if (!slice_eq(out[i].name, name))
            continue;
        if (has.n + need.n + 2 > BETA_MAX)
            break; /* as a line of its own, which means the same */
        if (!list_holds(has, need)) {
            size_t len = text_format(beta, BETA_MAX, "%.*s,%s", (int)has.n, has.p, need.p);
            out[i].value = (struct slice){beta, len};
        }
        return n;
    }
    out[n] = (struct http_header){name, need};
    return n + 1;
}

static bool has_header(const struct http_header *h, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (slice_eq(h[i].name, slice_of(name)))
            return true;
    return false;
}

static int header_accept(const struct exchange *x, const struct account_door *d,
                         struct http_header *out, int n)
{
    if (d->of->stream != FRAMING_AWS || has_header(out, n, "accept"))
        return n;
    out[n] = (struct http_header){S("accept"), x->plan->facts.stream
                                                   ? S("application/vnd.amazon.eventstream")
                                                   : S("application/json")};
    return n + 1;
}

static int headers_anthropic(const struct exchange *x, const struct account *a,
                             const struct account_door *d, struct http_header *out, int n,
                             char beta[BETA_MAX])
{
    bool foreign = d->of->dialect != x->route.front.dialect || x->route.front.wire != WIRE_PLAIN;
    if (wire_of(d) == WIRE_PLAIN && foreign && !has_header(out, n, "anthropic-version"))
        out[n++] = (struct http_header){S("anthropic-version"), S("2023-06-01")};
    if (d->of->beta_in_body)
        return n;
    if (d->of->dialect == x->route.front.dialect && x->crossing.betas) {
        if (x->plan->beta.len == 0)
            return n;
        out[n] = (struct http_header){S("anthropic-beta"), buf_slice(&x->plan->beta)};
        return n + 1;
    }
    return header_beta(a, out, n, beta);
}

int crossing_headers(const struct exchange *x, const struct account *a,
                     const struct account_door *d, struct http_header out[HTTP_HEADERS_MAX],
                     char beta[BETA_MAX])
{
    const struct http_head *in = http_call_head(x->call);
    int n = 0, max = HTTP_HEADERS_MAX - CROSSING_HEADERS - account_sign_count(a);
    enum wire to = wire_of(d);
    bool all = head_passes(x, d, to);
    for (int i = 0; i < in->headers && n < max; i++) {
        struct slice name = in->header[i].name;
        if (!http_is_hop_header(name) && !is_kept_from_upstream(name) &&
            !http_connection_lists(in, name) && (all || header_passes(x, d, to, name)))
            out[n++] = in->header[i];
    }
    if (x->crossing.own && !has_header(out, n, "content-type"))
        out[n++] = (struct http_header){S("content-type"), S("application/json")};
    if (d->of->dialect == DIALECT_ANTHROPIC)
        n = headers_anthropic(x, a, d, out, n, beta);
    n = header_accept(x, d, out, n);
    /* the observer reads the reply as it passes, so it must come as it is */
    out[n++] = (struct http_header){S("accept-encoding"), S("identity")};
    return n;
}

/* ---- the credential -------------------------------------------------------------------------- */

static bool is_signed(struct slice name)
{
    return slice_eq(name, S("content-type")) || slice_starts(name, S("x-amzn-"));
}

/* Nobody but the account says who it is. */
static int header_drop(struct http_header *h, int n, struct slice name)
{
    int kept = 0;
    while (kept < n && !slice_eq(h[kept].name, name))
        kept++; /* nearly always to the end */
    for (int i = kept + 1; i < n; i++)
        if (!slice_eq(h[i].name, name))
            h[kept++] = h[i];
    return kept;
}

enum err crossing_sign(const struct account *a, const struct account_door *d, struct slice method,
                       struct slice target, struct slice body, int64_t now,
                       struct http_header h[HTTP_HEADERS_MAX], int *n, char *memory, size_t size)
{
    struct http_header cover[HTTP_HEADERS_MAX] FILLED_LATER;
    struct http_header own[ACCOUNT_SIGN_HEADERS] FILLED_LATER;
    struct slice rest = target, path = S("");
    int covers = 0, owns = 0;
    bool signs = d->of->auth == AUTH_SIGV4 || a->provider->cloud != NULL;
    if (signs)
        (void)slice_cut(&rest, '?', &path);
    for (int i = 0; signs && i < *n; i++)
        if (is_signed(h[i].name))
            cover[covers++] = h[i];
    const struct sign_request r = {.auth = d->of->auth,
                                   .method = method,
                                   .to = &d->target,
                                   .path = path,
                                   .query = rest,
                                   .header = cover,
                                   .headers = covers,
                                   .body = body};
    enum err e = account_sign(a, &r, now, own, &owns, memory, size);
    for (int i = 0; e == OK && i < owns; i++) {
        *n = header_drop(h, *n, own[i].name);
        assert(*n < HTTP_HEADERS_MAX);
        h[(*n)++] = own[i];
    }
    return e;
}
