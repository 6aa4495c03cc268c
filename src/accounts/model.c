/* Models: what a name that a client asked for is called at an account. Pure. */
#include "accounts/inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define RULES_MAX 64 /* of one mapping */
#define LIST_MAX  16 /* names that are taken in turns */

enum rule_kind { RULE_EXACT, RULE_PREFIX };
struct rule {
    enum rule_kind kind;
    struct slice pattern;      /* without the '*' */
    const struct json_val *to; /* a name, or a list of names */
};
struct models {
    struct json *doc;
    struct slice deployment, profile; /* "" = none */
    int n;
    struct rule rule[];
};

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

/* ---- checking -------------------------------------------------------------------------------- */

static bool is_model(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == '"' || s.p[i] == '\\')
            return false;
    }
    return s.n > 0 && s.n < STORE_MODEL_MAX;
}

static enum err name_check(const struct json_val *v, struct slice pattern, char *why, size_t size)
{
    struct slice name = S("");
    if (json_str(v, &name) && is_model(name))
        return OK;
    return wrong(why, size,
                 "models: \"%.*s\" must lead to a name, or to a list of names that are taken in "
                 "turns; names have 1 to %d printable characters and no spaces",
                 (int)(pattern.n < 40 ? pattern.n : 40), pattern.p, STORE_MODEL_MAX - 1);
}

static enum err rule_check(struct slice pattern, const struct json_val *to, char *why, size_t size)
{
    ptrdiff_t star = slice_find(pattern, '*');
    if (!is_model(pattern))
        return wrong(why, size, "models: a name has 1 to %d printable characters and no spaces",
                     STORE_MODEL_MAX - 1);
    if (star >= 0 && (size_t)star + 1 != pattern.n)
        return wrong(why, size, "models: in \"%.*s\", '*' may stand at the end only",
                     (int)pattern.n, pattern.p);
    if (json_type(to) != JSON_ARRAY)
        return name_check(to, pattern, why, size);
    if (json_len(to) == 0 || json_len(to) > LIST_MAX)
        return wrong(why, size, "models: the list of \"%.*s\" must have 1 to %d names",
                     (int)pattern.n, pattern.p, LIST_MAX);
    enum err e = OK;
    for (size_t i = 0; i < json_len(to) && e == OK; i++)
        e = name_check(json_at(to, i), pattern, why, size);
    return e;
}

static enum err rules_check(const struct json_val *map, char *why, size_t size)
{
    struct slice pattern;
    const struct json_val *to;
    enum err e = OK;
    enum json_type t = json_type(map);
    if (t == JSON_NONE || t == JSON_NULL)
        return OK;
    if (t != JSON_OBJECT)
        return wrong(why, size,
                     "models must map names to names, like {\"opus\": \"glm-5.3\", \"gpt-*\": "
                     "\"claude-sonnet-5-5\"}");
    if (json_len(map) > RULES_MAX)
        return wrong(why, size, "models can have %d entries at most", RULES_MAX);
    for (size_t i = 0; e == OK && json_member(map, i, &pattern, &to); i++)
        e = rule_check(pattern, to, why, size);
    return e;
}

enum err models_check(struct slice settings, char *why, size_t why_size)
{
    struct json *doc = NULL;
    why[0] = '\0';
    if (settings.n == 0)
        return OK;
    if (json_parse(settings, &doc) != OK)
        return wrong(why, why_size, "the settings are not a JSON object");
    enum err e = rules_check(json_get(json_root(doc), "models"), why, why_size);
    json_free(doc);
    return e;
}

/* ---- a mapping ------------------------------------------------------------------------------- */

struct models *models_read(struct slice settings)
{
    struct json *doc = NULL;
    char why[256];
    if (settings.n == 0 || json_parse(settings, &doc) != OK)
        return NULL;
    const struct json_val *root = json_root(doc), *map = json_get(root, "models");
    size_t n = json_type(map) == JSON_OBJECT ? json_len(map) : 0;
    struct slice deployment = json_get_str(root, "deployment");
    struct slice profile = json_get_str(root, "inference_profile");
    if (n + deployment.n + profile.n == 0 || rules_check(map, why, sizeof why) != OK) {
        json_free(doc);
        return NULL;
    }
    struct models *m = mem_new(sizeof *m + n * sizeof m->rule[0]);
    *m = (struct models){.doc = doc, .deployment = deployment, .profile = profile, .n = (int)n};
    for (size_t i = 0; i < n; i++) {
        struct rule *r = &m->rule[i];
        *r = (struct rule){.kind = RULE_EXACT};
        if (!json_member(map, i, &r->pattern, &r->to))
            r->pattern = S("");
        if (slice_ends(r->pattern, S("*"))) {
            r->kind = RULE_PREFIX;
            r->pattern = slice_sub(r->pattern, 0, r->pattern.n - 1);
        }
    }
    return m;
}

void models_free(struct models *m)
{
    if (m == NULL)
        return;
    json_free(m->doc);
    mem_free(m);
}

void models_write(const struct models *m, struct jw *w)
{
    struct slice name = S("");
    jw_obj(w);
    for (int i = 0; m != NULL && i < m->n; i++) {
        const struct rule *r = &m->rule[i];
        char key[STORE_MODEL_MAX];
        text_format(key, sizeof key, "%.*s%s", (int)r->pattern.n, r->pattern.p,
                    r->kind == RULE_PREFIX ? "*" : "");
        jw_key(w, key);
        if (json_str(r->to, &name)) {
            jw_str(w, name);
            continue;
        }
        jw_arr(w);
        for (size_t k = 0; k < json_len(r->to); k++)
            jw_str(w, json_str(json_at(r->to, k), &name) ? name : S(""));
        jw_end_arr(w);
    }
    jw_end_obj(w);
}

/* The exact one, then the family's, then the longest beginning; NULL: none. */
static const struct rule *rule_find(const struct models *m, struct slice asked)
{
    char family[WINDOW_FAMILY_MAX];
    struct slice fam = slice_of(model_family(asked, family));
    const struct rule *of_family = NULL, *prefix = NULL;
    for (int i = 0; i < m->n; i++) {
        const struct rule *r = &m->rule[i];
        if (r->kind == RULE_PREFIX) {
            if (slice_starts(asked, r->pattern) &&
                (prefix == NULL || r->pattern.n > prefix->pattern.n))
                prefix = r;
        } else if (slice_eq(asked, r->pattern)) {
            return r;
        } else if (fam.n > 0 && slice_ieq(fam, r->pattern)) {
            of_family = r;
        }
    }
    return of_family != NULL ? of_family : prefix;
}

static bool mapped(const struct models *m, const char *asked, uint64_t turn, char *out, size_t size)
{
    struct slice name = S("");
    const struct rule *r = m != NULL ? rule_find(m, slice_of(asked)) : NULL;
    if (r == NULL)
        return false;
    const struct json_val *to = r->to;
    if (json_type(to) == JSON_ARRAY)
        to = json_at(to, (size_t)(turn % json_len(to)));
    bool named = json_str(to, &name);
    assert(named && name.n > 0); /* checked when it was read */
    text_copy(out, size, name);
    return named;
}

bool models_map(struct slice settings, const char *asked, uint64_t turn, char *out, size_t size)
{
    struct models *m = models_read(settings);
    bool found = mapped(m, asked, turn, out, size);
    models_free(m);
    return found;
}

bool group_model(const struct group *g, const char *asked, uint64_t turn, char *out, size_t size)
{
    return mapped(g->models, asked, turn, out, size);
}

bool group_alias(const struct group *g, int i, struct slice *name)
{
    static const char *const families[] = {"opus", "sonnet", "haiku"};
    for (int k = 0; g->models != NULL && k < g->models->n; k++) {
        const struct rule *r = &g->models->rule[k];
        bool whole = r->kind == RULE_EXACT;
        for (size_t f = 0; f < sizeof families / sizeof *families; f++)
            whole = whole && !slice_ieq(r->pattern, slice_of(families[f]));
        if (whole && i-- == 0) {
            *name = r->pattern;
            return true;
        }
    }
    return false;
}

/* ---- names ----------------------------------------------------------------------------------- */

static bool starts_any(struct slice name, const char *const *beginnings)
{
    for (; *beginnings != NULL; beginnings++) {
        if (slice_istarts(name, slice_of(*beginnings)))
            return true;
    }
    return false;
}

/* Names that belong to one vendor, so that an account without them need not be asked. */
static bool is_vendors(struct slice name)
{
    static const char *const vendors[] = {
        "claude-",   "gpt-",     "chatgpt-",   "codex-",   "gemini-", "gemma-", "glm-",
        "minimax-",  "kimi-",    "deepseek-",  "qwen",     "grok-",   "sonar",  "mistral-",
        "codestral", "devstral", "ministral-", "command-", "llama-",  NULL};
    return starts_any(name, vendors);
}

/* ---- Claude's names elsewhere ---------------------------------------------------------------- */

#define DATE_LEN 9 /* "-20250929" */

/* The models that partners know by their date only; who asks without one means this one. */
static const struct {
    const char *model, *date;
} dated[] = {
    {"claude-opus-4-1", "20250805"},
    {"claude-opus-4-5", "20251101"},
    {"claude-sonnet-4-5", "20250929"},
    {"claude-haiku-4-5", "20251001"},
};

/* Cuts a date off the end of `name`; "" when there is none, and none is known. */
static struct slice date_cut(struct slice *name)
{
    bool date = name->n > DATE_LEN && name->p[name->n - DATE_LEN] == '-';
    for (size_t i = 1; date && i < DATE_LEN; i++) {
        char c = name->p[name->n - i];
        date = c >= '0' && c <= '9';
    }
    if (date) {
        struct slice d = slice_sub(*name, name->n - DATE_LEN + 1, name->n);
        *name = slice_sub(*name, 0, name->n - DATE_LEN);
        return d;
    }
    for (size_t i = 0; i < sizeof dated / sizeof dated[0]; i++) {
        if (slice_eq(*name, slice_of(dated[i].model)))
            return slice_of(dated[i].date);
    }
    return S("");
}

static bool is_digit(struct slice s, size_t i)
{
    return i < s.n && s.p[i] >= '0' && s.p[i] <= '9';
}

/* wire/bedrock.md section 2: what came before 2026 has a version at its end. */
static void name_aws(struct slice name, struct slice profile, char *out, size_t size)
{
    struct slice date = date_cut(&name);
    bool none = slice_eq(profile, S("none"));
    if (profile.n == 0)
        profile = S("global");
    const char *end = "";
    if (slice_starts(date, S("202")) && date.p[3] < '6')
        end = "-v1:0";
    else if (slice_eq(name, S("claude-opus-4-6")))
        end = "-v1";
    text_format(out, size, "%.*s%santhropic.%.*s%s%.*s%s", none ? 0 : (int)profile.n, profile.p,
                none ? "" : ".", (int)name.n, name.p, date.n > 0 ? "-" : "", (int)date.n, date.p,
                end);
}

/* "anthropic/claude-opus-5.5": a version's numbers are parted by a dot. */
static void name_router(struct slice name, char *out, size_t size)
{
    (void)date_cut(&name);
    size_t n = text_format(out, size, "anthropic/%.*s", (int)name.n, name.p);
    struct slice put = {out, n};
    for (size_t i = 1; i + 1 < n; i++) {
        if (out[i] == '-' && is_digit(put, i - 1) && is_digit(put, i + 1))
            out[i] = '.';
    }
}

static void name_claude(enum claude_names names, struct slice name, struct slice profile, char *out,
                        size_t size)
{
    struct slice whole = name, date;
    switch (names) {
    case NAMES_ROUTER:
        name_router(name, out, size);
        return;
    case NAMES_AWS:
        name_aws(name, profile, out, size);
        return;
    case NAMES_MANTLE:
        text_format(out, size, "anthropic.%.*s", (int)name.n, name.p);
        return;
    case NAMES_GOOGLE:
        date = date_cut(&name);
        text_format(out, size, "%.*s%s%.*s", (int)name.n, name.p, date.n > 0 ? "@" : "",
                    (int)date.n, date.p);
        return;
    case NAMES_OWN:
        break;
    }
    text_copy(out, size, whole);
}

/* ---- an account's models --------------------------------------------------------------------- */

/* What stands in for a model of Claude's; NULL: nothing does. What is none of the two smaller
 * families is the largest. */
static const char *stand_in(const struct provider *p, struct slice asked)
{
    char family[WINDOW_FAMILY_MAX];
    if (p->opus == NULL)
        return NULL;
    struct slice f = slice_of(model_family(asked, family));
    if (slice_eq(f, S("haiku")))
        return p->haiku;
    if (slice_eq(f, S("sonnet")))
        return p->sonnet;
    return slice_istarts(asked, S("claude-")) || slice_eq(f, S("opus")) ? p->opus : NULL;
}

static bool is_renamed(const struct provider *p, struct slice asked)
{
    return p->names != NAMES_OWN && slice_istarts(asked, S("claude-"));
}

/* Anthropic's own row led elsewhere: some server that speaks like it, and may have any model. */
static bool is_led_elsewhere(const struct account *a)
{
    const struct provider *p = a->provider;
    return a->own_url[0] != '\0' && p->opus == NULL && p->cloud == NULL;
}

/* NULL: it does not have such a model; `asked` itself: it is called so, or as NAMES say. */
static const char *provider_model(const struct account *a, const char *asked)
{
    const struct provider *p = a->provider;
    struct slice name = slice_of(asked);
    if (name.n == 0 || is_renamed(p, name) || (p->models != NULL && starts_any(name, p->models)))
        return asked;
    const char *other = stand_in(p, name);
    if (other != NULL)
        return other;
    return p->models == NULL || !is_vendors(name) || is_led_elsewhere(a) ? asked : NULL;
}

bool account_model(const struct account *a, const char *asked, uint64_t turn, char *out,
                   size_t size)
{
    const struct models *m = a->models;
    if (mapped(m, asked, turn, out, size))
        return true;
    if (m != NULL && m->deployment.n > 0) {
        text_copy(out, size, m->deployment);
        return true;
    }
    const char *name = provider_model(a, asked);
    if (name == asked && is_renamed(a->provider, slice_of(asked)))
        name_claude(a->provider->names, slice_of(asked), m != NULL ? m->profile : S(""), out, size);
    else
        text_copy(out, size, slice_of(name != NULL ? name : asked));
    return name != NULL;
}

bool account_has_model(const struct account *a, const char *asked)
{
    const struct models *m = a->models;
    return provider_model(a, asked) != NULL ||
           (m != NULL && (m->deployment.n > 0 || rule_find(m, slice_of(asked)) != NULL));
}
