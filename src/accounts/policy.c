/* Policy: settings, as a person gave them, into structs; with sentences that say what to do. Pure.
 */
#include "accounts/provider.h"

#include "accounts/policy.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CONCURRENCY_MAX 100000

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

/* Of a group or a shared quota: as an account's, but shorter. */
static bool is_name(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (i == 0 || c == '\0' || strchr("-_.@", c) == NULL))
            return false;
    }
    return s.n > 0 && s.n < STORE_GROUP_MAX;
}

static enum err name_wrong(char *why, size_t size, const char *what, struct slice name)
{
    return wrong(why, size,
                 "%s \"%.*s\": a name has 1 to %d letters, digits, '-', '_', '.' and '@', and "
                 "begins with a letter or digit",
                 what, (int)(name.n < 40 ? name.n : 40), name.p, STORE_GROUP_MAX - 1);
}

/* The settings' object; NULL in `*doc` for "". */
static enum err settings_open(struct slice settings, struct json **doc, char *why, size_t size)
{
    *doc = NULL;
    if (settings.n == 0)
        return OK;
    if (json_parse(settings, doc) == OK && json_type(json_root(*doc)) == JSON_OBJECT)
        return OK;
    json_free(*doc);
    *doc = NULL;
    return wrong(why, size, "the settings are not a JSON object");
}

static bool is_absent(const struct json_val *v)
{
    enum json_type t = json_type(v);
    return t == JSON_NONE || t == JSON_NULL;
}

/* ---- of an account --------------------------------------------------------------------------- */

struct sheet { /* being read */
    const struct json_val *root;
    char *why;
    size_t size;
};

static enum err groups_read(const struct sheet *s, struct account_policy *out)
{
    const struct json_val *v = json_get(s->root, "groups");
    if (is_absent(v))
        return OK;
    if (json_type(v) != JSON_ARRAY)
        return wrong(s->why, s->size, "groups must be a list of names");
    if (json_len(v) > ACCOUNT_GROUPS_MAX)
        return wrong(s->why, s->size, "an account can be in %d groups at most", ACCOUNT_GROUPS_MAX);
    for (size_t i = 0; i < json_len(v); i++) {
        struct slice name = S("");
        if (!json_str(json_at(v, i), &name))
            return wrong(s->why, s->size, "groups must be a list of names");
        if (!is_name(name))
            return name_wrong(s->why, s->size, "group", name);
        text_copy(out->group[out->groups++], STORE_GROUP_MAX, name);
    }
    return OK;
}

static enum err quota_read(const struct sheet *s, struct account_policy *out)
{
    const struct json_val *v = json_get(s->root, "quota");
    struct slice name = S("");
    if (is_absent(v))
        return OK;
    if (!json_str(v, &name))
        return wrong(s->why, s->size, "quota must be the name that its accounts share");
    if (name.n > 0 && !is_name(name))
        return name_wrong(s->why, s->size, "quota", name);
    text_copy(out->quota, sizeof out->quota, name);
    return OK;
}

static enum err number_read(const struct sheet *s, const char *key, int64_t max, const char *help,
                            int32_t *out)
{
    const struct json_val *v = json_get(s->root, key);
    int64_t n = 0;
    if (is_absent(v))
        return OK;
    assert(max > 0 && max <= INT32_MAX);
    if (!json_i64(v, &n) || n < 0 || n > max)
        return wrong(s->why, s->size, "%s must be a whole number from 0 to %d: %s", key, (int)max,
                     help);
    *out = (int32_t)n;
    return OK;
}

static enum err flag_read(const struct sheet *s, const char *key, bool *out)
{
    const struct json_val *v = json_get(s->root, key);
    if (is_absent(v) || json_bool(v, out))
        return OK;
    return wrong(s->why, s->size, "%s must be true or false", key);
}

static enum err peak_read(const struct sheet *s, struct account_policy *out)
{
    const struct json_val *v = json_get(s->root, "peak_hours");
    struct slice text = S("");
    if (is_absent(v))
        return OK;
    if (json_str(v, &text) && (text.n == 0 || peak_hours_read(text, &out->peak) == OK))
        return OK;
    return wrong(s->why, s->size,
                 "peak_hours must be a span like \"14:00-18:00\", with days before it or a zone "
                 "behind it if need be: \"Mon-Fri 14:00-18:00 +08:00\"");
}

enum err account_policy_read(struct slice settings, struct account_policy *out, char *why,
                             size_t why_size)
{
    struct account_policy p = {.groups = 0};
    struct json *doc = NULL;
    enum err e = settings_open(settings, &doc, why, why_size);
    if (e != OK)
        return e;
    const struct sheet s = {json_root(doc), why, why_size};
    if ((e = groups_read(&s, &p)) != OK || (e = quota_read(&s, &p)) != OK ||
        (e = number_read(&s, "concurrency", CONCURRENCY_MAX,
                         "requests in flight at most, 0 for no limit", &p.concurrency)) != OK ||
        (e = number_read(&s, "pause_at", 100,
                         "per cent of its windows at which the account rests, 0 for never",
                         &p.pause_at)) != OK ||
        (e = flag_read(&s, "pause_on_overage", &p.pause_on_overage)) != OK ||
        (e = peak_read(&s, &p)) != OK || (e = models_check(settings, why, why_size)) != OK)
        goto out;
    assert(p.groups >= 0 && p.groups <= ACCOUNT_GROUPS_MAX);
    *out = p;
out:
    json_free(doc);
    return e;
}

bool account_policy_in(const struct account_policy *p, const char *group)
{
    if (p->groups == 0)
        return strcmp(group, GROUP_DEFAULT) == 0;
    for (int i = 0; i < p->groups; i++) {
        if (p->group[i][0] == group[0] && strcmp(p->group[i], group) == 0)
            return true;
    }
    return false;
}

/* ---- of a group ------------------------------------------------------------------------------ */

static enum err strategy_read(const struct group_row *row, struct group *out, char *why,
                              size_t size)
{
    const char *names[STRATEGY_COUNT];
    char all[160];
    size_t n = 0;
    if (row->strategy[0] == '\0' || strategy_find(slice_of(row->strategy), &out->strategy))
        return OK; /* the first of them, if none is named */
    for (int i = 0; i < STRATEGY_COUNT; i++) {
        names[i] = strategy_name((enum strategy)i);
        n += text_format(all + n, sizeof all - n, "%s%s", i == 0 ? "" : ", ", names[i]);
    }
    const char *near = text_closest(slice_of(row->strategy), names, STRATEGY_COUNT);
    if (near != NULL)
        return wrong(why, size, "unknown strategy \"%s\"; did you mean \"%s\"?", row->strategy,
                     near);
    return wrong(why, size, "unknown strategy \"%s\": there are %s", row->strategy, all);
}

static enum err route_read(struct group *g, struct slice prefix, const struct json_val *to,
                           char *why, size_t size)
{
    struct slice name = S("");
    if (prefix.n >= STORE_MODEL_MAX)
        return wrong(why, size, "a route's prefix has %d characters at most", STORE_MODEL_MAX - 1);
    if (!json_str(to, &name))
        return wrong(why, size, "route \"%.*s\" must name a group", (int)prefix.n, prefix.p);
    if (!is_name(name))
        return name_wrong(why, size, "group", name);
    if (slice_eq(name, slice_of(g->name)))
        return wrong(why, size, "route \"%.*s\" leads back to group %s itself", (int)prefix.n,
                     prefix.p, g->name);
    for (int i = 0; i < g->routes; i++) {
        if (slice_eq(prefix, slice_of(g->route[i].prefix)))
            return wrong(why, size, "route \"%.*s\" is given twice", (int)prefix.n, prefix.p);
    }
    assert(g->routes >= 0 && g->routes < GROUP_ROUTES_MAX && prefix.n < sizeof g->route[0].prefix);
    struct group_route *r = &g->route[g->routes++];
    text_copy(r->prefix, sizeof r->prefix, prefix);
    text_copy(r->group, sizeof r->group, name);
    return OK;
}

static enum err routes_read(const struct json_val *root, struct group *g, char *why, size_t size)
{
    static const char example[] = "{\"claude-opus\": \"premium\", \"\": \"" GROUP_DEFAULT "\"}";
    const struct json_val *v = json_get(root, "routes"), *to = NULL;
    struct slice prefix;
    bool none = is_absent(v) || (json_type(v) == JSON_OBJECT && json_len(v) == 0);
    if (g->strategy != STRATEGY_MODEL)
        return none ? OK
                    : wrong(why, size, "routes need the strategy \"%s\"",
                            strategy_name(STRATEGY_MODEL));
    if (none || json_type(v) != JSON_OBJECT)
        return wrong(why, size,
                     "the strategy \"%s\" needs routes, from prefixes of models to "
                     "groups, like %s",
                     strategy_name(STRATEGY_MODEL), example);
    if (json_len(v) > GROUP_ROUTES_MAX)
        return wrong(why, size, "a group can have %d routes at most", GROUP_ROUTES_MAX);
    for (size_t i = 0; json_member(v, i, &prefix, &to); i++) {
        enum err e = route_read(g, prefix, to, why, size);
        if (e != OK)
            return e;
    }
    return OK;
}

enum err group_read(const struct group_row *row, struct group *out, char *why, size_t why_size)
{
    struct group g = {.version = row->version};
    struct json *doc = NULL;
    assert(why_size > 0);
    if (!is_name(slice_of(row->name)))
        return name_wrong(why, why_size, "group", slice_of(row->name));
    text_copy(g.name, sizeof g.name, slice_of(row->name));
    enum err e = strategy_read(row, &g, why, why_size);
    if (e == OK)
        e = settings_open(slice_of(row->settings), &doc, why, why_size);
    if (e != OK)
        return e;
    const struct sheet s = {json_root(doc), why, why_size};
    g.affinity = strategy_sticky(g.strategy);
    e = flag_read(&s, "affinity", &g.affinity);
    if (e == OK)
        e = routes_read(s.root, &g, why, why_size);
    if (e == OK)
        e = models_check(slice_of(row->settings), why, why_size);
    assert(e != OK || (g.strategy == STRATEGY_MODEL) == (g.routes > 0));
    if (e == OK)
        *out = g;
    json_free(doc);
    return e;
}
