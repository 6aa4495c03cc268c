/* Doors: where an account's requests go. The provider's rows say it, with the account's settings
 * filled in once, when the account is read; per request only the model is left to be put in. Pure.
 */
#include "accounts/inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SETTING_MAX 128

const char *dialect_word(enum dialect d)
{
    static const char *const words[DIALECT_COUNT] = {
        [DIALECT_ANTHROPIC] = "anthropic", [DIALECT_OPENAI] = "openai",
        [DIALECT_RESPONSES] = "responses", [DIALECT_GEMINI] = "gemini",
        [DIALECT_OLLAMA] = "ollama",
    };
    assert((int)d >= 0 && d < DIALECT_COUNT);
    return words[d];
}

static enum err wrong(char *why, size_t size, const char *fmt, ...) PRINTF_LIKE(3, 4);
static enum err wrong(char *why, size_t size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(why, size, fmt, ap);
    va_end(ap);
    assert(size > 0 && n >= 0);
    return ERR_SYNTAX;
}

/* ---- settings into templates ----------------------------------------------------------------- */

struct fill { /* of one account's templates */
    const struct provider *provider;
    const struct json_val *settings;
    char *why;
    size_t size;
};

/* What may stand in a host or a path without changing what they are. A path's single dots are
 * refused where the URL is read. */
static bool is_plain(struct slice s, bool host)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && c != '-' && (host || c == '\0' || strchr("._:~", c) == NULL))
            return false;
    }
    return s.n > 0 && s.n < SETTING_MAX;
}

/* The host of Google's models by region: wire/vertex.md. */
static size_t host_of_region(struct slice region, char *out, size_t size)
{
    int n = (int)region.n;
    if (slice_eq(region, S("global")))
        return text_format(out, size, "aiplatform.googleapis.com");
    if (slice_eq(region, S("us")) || slice_eq(region, S("eu")))
        return text_format(out, size, "aiplatform.%.*s.rep.googleapis.com", n, region.p);
    return text_format(out, size, "%.*s-aiplatform.googleapis.com", n, region.p);
}

static const char *flag_of(const char *key, char *out, size_t size)
{
    text_copy(out, size, slice_of(key));
    for (char *p = out; *p != '\0'; p++)
        if (*p == '_')
            *p = '-';
    return out;
}

/* What stands for "{NAME}" or "{NAME=VALUE}". */
static enum err setting_fill(const struct fill *f, struct slice name, bool host, char *out,
                             size_t size)
{
    char key[32], flag[32];
    struct slice otherwise = name, value;
    (void)slice_cut(&otherwise, '=', &name);
    bool region = slice_eq(name, S("host"));
    text_copy(key, sizeof key, region ? S("region") : name);
    value = json_get_str(f->settings, key);
    if (value.n == 0)
        value = otherwise;
    if (value.n == 0)
        return wrong(f->why, f->size, "provider %s needs the setting \"%s\": give --%s",
                     f->provider->name, key, flag_of(key, flag, sizeof flag));
    if (!is_plain(value, host))
        return wrong(f->why, f->size,
                     "the setting \"%s\" cannot stand in an address: letters, digits and '-'", key);
    if (region)
        (void)host_of_region(value, out, size);
    else
        text_copy(out, size, value);
    return OK;
}

/* Appends `template`, settings filled in. `host`: it begins with a scheme and a host. */
static enum err fill_put(const struct fill *f, const char *template, bool host, char *out,
                         size_t size)
{
    struct slice rest = slice_of(template), part;
    size_t n = strlen(out);
    while (rest.n > 0) {
        char value[SETTING_MAX + 64] = "";
        ptrdiff_t open = slice_find(rest, '{');
        part = slice_sub(rest, 0, open < 0 ? rest.n : (size_t)open);
        rest = slice_sub(rest, part.n, rest.n);
        if (n + part.n >= size)
            return wrong(f->why, f->size, "the address becomes too long");
        n += text_format(out + n, size - n, "%.*s", (int)part.n, part.p);
        host = host && slice_find(slice_sub(part, part.n < 8 ? part.n : 8, part.n), '/') < 0;
        if (rest.n == 0)
            break;
        ptrdiff_t close = slice_find(rest, '}');
        assert(close > 1);
        enum err e = setting_fill(f, slice_sub(rest, 1, (size_t)close), host, value, sizeof value);
        if (e != OK)
            return e;
        rest = slice_sub(rest, (size_t)close + 1, rest.n);
        if (n + strlen(value) >= size)
            return wrong(f->why, f->size, "the address becomes too long");
        n += text_format(out + n, size - n, "%s", value);
    }
    return OK;
}

/* ---- an address of the account's own --------------------------------------------------------- */

static bool tail_cut(struct slice *s, const char *under, const char *path)
{
    char tail[STORE_URL_MAX];
    size_t n = text_format(tail, sizeof tail, "%s%s", under != NULL ? under : "", path);
    if (n == 0 || memchr(tail, '{', n) != NULL || !slice_ends(*s, (struct slice){tail, n}))
        return false;
    *s = slice_sub(*s, 0, s->n - n);
    return true;
}

/* A base as people copy it from a page: with a slash, "/v1" or a whole call at its end, which the
 * door brings itself (wire/compat-providers.md). */
static struct slice base_trim(struct slice base, const struct provider_door *d)
{
    const char *chat = d->path[API_CHAT];
    bool v1 = slice_starts(slice_of(d->under != NULL && d->under[0] != '\0' ? d->under : chat),
                           S("/v1"));
    while (slice_ends(base, S("/")))
        base = slice_sub(base, 0, base.n - 1);
    if (!tail_cut(&base, d->under, chat) && (d->under == NULL || !tail_cut(&base, d->under, "")) &&
        v1)
        (void)tail_cut(&base, NULL, "/v1");
    return base;
}

static bool same_base(const struct provider_door *a, const struct provider_door *b)
{
    return a->base_url == b->base_url ||
           (a->base_url != NULL && b->base_url != NULL && strcmp(a->base_url, b->base_url) == 0);
}

/* False: at an address of the account's own there is no such door. */
static bool door_is_there(const struct provider *p, const struct provider_door *d,
                          struct slice dialect)
{
    if (dialect.n > 0)
        return slice_eq(dialect, slice_of(dialect_word(d->dialect)));
    return same_base(d, &p->door[0]) && !d->by_choice;
}

/* ---- opening --------------------------------------------------------------------------------- */

static enum err door_open(const struct fill *f, const struct provider_door *d,
                          const struct account_row *row, struct slice own, struct account_door *out)
{
    const char *fault = "";
    enum err e = OK;
    *out = (struct account_door){.of = d};
    if (own.n > 0)
        text_copy(out->base_url, sizeof out->base_url, own);
    else
        e = fill_put(f, d->base_url, true, out->base_url, sizeof out->base_url);
    if (e == OK && d->under != NULL)
        e = fill_put(f, d->under, false, out->base_url, sizeof out->base_url);
    if (e == OK && d->query != NULL)
        e = fill_put(f, d->query, false, out->query, sizeof out->query);
    if (e != OK)
        return e;
    if (http_url_parse(slice_of(out->base_url), &out->target, &out->prefix, &fault) != OK)
        return wrong(f->why, f->size, "base URL: %s", fault);
    out->target.pool = (uint64_t)row->id;
    out->target.allow_private = row->allow_private;
    return OK;
}

static int doors_open(const struct fill *f, const struct account_row *row, struct account_door *out)
{
    const struct provider *p = f->provider;
    struct slice own = slice_of(row->base_url), word = json_get_str(f->settings, "dialect");
    int64_t num_ctx = json_get_i64(f->settings, "num_ctx", 0);
    int n = 0;
    if (num_ctx > 0)
        word = slice_of(dialect_word(DIALECT_OLLAMA));
    if (own.n == 0 && p->door[0].base_url == NULL) {
        (void)wrong(f->why, f->size, "this provider has no address of its own: give --base-url");
        return 0;
    }
    for (int i = 0; own.n > 0 && i < p->doors; i++) {
        if (door_is_there(p, &p->door[i], word))
            own = base_trim(own, &p->door[i]);
    }
    for (int i = 0; i < p->doors; i++) {
        const struct provider_door *d = &p->door[i];
        bool there = own.n > 0 ? door_is_there(p, d, word)
                               : (word.n == 0 && !d->by_choice) ||
                                     slice_eq(word, slice_of(dialect_word(d->dialect)));
        if (!there)
            continue;
        if (door_open(f, d, row, own, &out[n]) != OK)
            return 0;
        out[n].num_ctx = num_ctx > 0 ? num_ctx : 0;
        n++;
    }
    if (n == 0)
        (void)wrong(f->why, f->size, "provider %s speaks no dialect \"%.*s\"", p->name,
                    (int)(word.n < 40 ? word.n : 40), word.p);
    return n;
}

int account_doors_open(const struct provider *p, const struct account_row *row,
                       struct account_door out[PROVIDER_DOORS], char *why, size_t why_size)
{
    struct json *doc = NULL;
    assert(p->doors > 0 && p->doors <= PROVIDER_DOORS && why_size > 0);
    why[0] = '\0';
    if (row->settings[0] != '\0' && json_parse(slice_of(row->settings), &doc) != OK) {
        (void)wrong(why, why_size, "the settings are not a JSON object");
        return 0;
    }
    const struct fill f = {p, doc != NULL ? json_root(doc) : NULL, why, why_size};
    int n = doors_open(&f, row, out);
    json_free(doc);
    assert(n > 0 || why[0] != '\0');
    return n;
}

/* ---- per request ----------------------------------------------------------------------------- */

static const struct account_door *door_with(const struct account *a, enum api call)
{
    for (int i = 0; i < a->doors; i++) {
        if (a->door[i].of->path[call] != NULL)
            return &a->door[i];
    }
    return NULL;
}

const struct account_door *account_door_for(const struct account *a, enum dialect client,
                                            enum api call)
{
    assert((int)call >= 0 && call < API_KINDS && a->doors <= PROVIDER_DOORS);
    const struct account_door *same = NULL;
    for (int i = 0; i < a->doors && same == NULL; i++) {
        if (a->door[i].of->dialect == client)
            same = &a->door[i];
    }
    if (same != NULL && same->of->path[call] != NULL)
        return same;
    if (call == API_CHAT)
        return door_with(a, call);
    if (call != API_COUNT)
        return NULL;
    /* Estimated where nobody counts; a door of its own dialect is told of by its name then. */
    const struct account_door *d = door_with(a, call);
    if (d != NULL)
        return d;
    return same != NULL ? same : door_with(a, API_CHAT);
}

/* A slash in a model's name must not become one of the path. '@' and '=' are as good raw. */
static enum err model_put(struct slice model, struct buf *out)
{
    static const char hex[] = "0123456789ABCDEF";
    enum err e = OK;
    if (model.n == 0 || slice_eq(model, S(".")) || slice_eq(model, S("..")))
        return ERR_SYNTAX;
    for (size_t i = 0; i < model.n && e == OK; i++) {
        unsigned char c = (unsigned char)model.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (c < 0x20 || c == 0x7f || c == '\\')
            return ERR_SYNTAX;
        if (alnum || c == '-' || c == '.' || c == '_' || c == '~' || c == '@')
            e = buf_append(out, &c, 1);
        else
            e = buf_append(out, (const char[]){'%', hex[c >> 4], hex[c & 15]}, 3);
    }
    return e;
}

static enum err template_put(const char *template, struct slice model, struct buf *out)
{
    static const struct slice mark = {"{model}", 7};
    struct slice rest = slice_of(template);
    ptrdiff_t at = slice_find(rest, '{'); /* the table has it in no other sense */
    if (at < 0)
        return buf_puts(out, rest);
    assert(slice_starts(slice_sub(rest, (size_t)at, rest.n), mark));
    enum err e = buf_puts(out, slice_sub(rest, 0, (size_t)at));
    if (e == OK)
        e = model_put(model, out);
    return e == OK ? buf_puts(out, slice_sub(rest, (size_t)at + mark.n, rest.n)) : e;
}

/* What has been put so far holds a '?' only where it begins a query. */
static enum err query_put(struct slice query, struct buf *out)
{
    if (query.n == 0)
        return OK;
    enum err e = buf_puts(out, slice_find(buf_slice(out), '?') >= 0 ? S("&") : S("?"));
    return e == OK ? buf_puts(out, query) : e;
}

enum err account_door_path(const struct account *a, const struct account_door *d, enum api call,
                           bool stream, struct slice model, struct slice path, struct slice query,
                           struct buf *out)
{
    const struct provider_door *of = d->of;
    const char *template = of->path[call];
    assert((int)call >= 0 && call < API_KINDS && a->doors > 0);
    if (template == NULL)
        return ERR_NOTFOUND;
    if (call == API_CHAT && stream && of->stream_path != NULL)
        template = of->stream_path;
    enum err e = d->prefix.n > 0 ? buf_puts(out, d->prefix) : OK;
    if (call == API_OTHER) {
        struct slice lead = slice_of(template);
        bool whole = path.n == lead.n || (path.n > lead.n && path.p[lead.n] == '/');
        if (!slice_starts(path, lead) || !whole)
            return ERR_NOTFOUND;
        e = e == OK ? buf_puts(out, slice_sub(path, lead.n, path.n)) : e;
    } else if (e == OK) {
        e = template_put(template, model, out);
    }
    if (e == OK && d->query[0] != '\0')
        e = query_put(slice_of(d->query), out);
    return e == OK && of->keep_query ? query_put(query, out) : e;
}
