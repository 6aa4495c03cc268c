/* Groups of accounts drawn for people. */
#include "admin/show.h"

#include <string.h>

/* "claude-opus -> premium, others -> default" */
static void routes_text(char *out, size_t size, const struct json_val *list)
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < json_len(list) && n + 4 < size; i++) {
        const struct json_val *r = json_at(list, i);
        struct slice prefix = json_get_str(r, "prefix"), group = json_get_str(r, "group");
        if (prefix.n == 0)
            prefix = S("others");
        n += text_format(out + n, size - n, "%s%.*s -> %.*s", n > 0 ? ", " : "", (int)prefix.n,
                         prefix.p, (int)group.n, group.p);
    }
}

/* "fast -> claude-haiku-5-5, gpt-* -> a | b" */
void value_models(char *out, size_t size, const struct json_val *models)
{
    struct slice pattern, name;
    const struct json_val *to;
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; n + 8 < size && json_member(models, i, &pattern, &to); i++) {
        n += text_format(out + n, size - n, "%s%.*s ->", n > 0 ? ", " : "", (int)pattern.n,
                         pattern.p);
        size_t names = json_type(to) == JSON_ARRAY ? json_len(to) : 1;
        for (size_t k = 0; k < names && n + 8 < size; k++) {
            name = S("");
            (void)json_str(json_type(to) == JSON_ARRAY ? json_at(to, k) : to, &name);
            n += text_format(out + n, size - n, "%s %.*s", k > 0 ? " |" : "", (int)name.n, name.p);
        }
    }
}

void show_provider_list(const struct json_val *root, const struct look *l, struct buf *out)
{
    static const struct column COLUMNS[] = {{.title = "NAME"},
                                            {.title = "DIALECTS"},
                                            {.title = "CREDENTIAL", .rank = 2},
                                            {.title = "SETTINGS", .rank = 3},
                                            {.title = "WHAT", .rank = 1}};
    const struct json_val *list = json_get(root, "providers");
    struct table t;
    char text[400];
    table_init(&t, COLUMNS, (int)(sizeof COLUMNS / sizeof *COLUMNS));
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json_val *p = json_at(list, i);
        table_cell(&t, json_get_str(p, "name"));
        value_list(text, sizeof text, json_get(p, "dialects"));
        table_cell(&t, slice_of(text));
        table_cell(&t, json_get_str(p, "credential"));
        value_list(text, sizeof text, json_get(p, "settings"));
        table_cell(&t, slice_of(text));
        table_cell(&t, json_get_str(p, "help"));
    }
    table_print(&t, l, true, out);
    table_free(&t);
}

void show_group(const struct json_val *g, const struct look *l, struct buf *out)
{
    char text[2048];
    struct slice strategy = json_get_str(g, "strategy"), help = json_get_str(g, "strategy_help");
    (void)l;
    show_row(out, "group", json_get_str(g, "name"));
    out_printf(out, "%-12s%.*s%s%.*s\n", "strategy", (int)strategy.n, strategy.p,
               help.n > 0 ? ": " : "", (int)help.n, help.p);
    show_row(out, "affinity",
             json_get_bool(g, "affinity", false)
                 ? S("on: a conversation stays where its prompt cache is warm")
                 : S("off"));
    routes_text(text, sizeof text, json_get(g, "routes"));
    if (text[0] != '\0')
        show_row(out, "routes", slice_of(text));
    value_models(text, sizeof text, json_get(g, "models"));
    if (text[0] != '\0')
        show_row(out, "models", slice_of(text));
    value_list(text, sizeof text, json_get(g, "accounts"));
    show_row(out, "accounts", slice_of(text));
    value_list(text, sizeof text, json_get(g, "keys"));
    show_row(out, "keys", slice_of(text));
}

void show_group_list(const struct json_val *root, const struct look *l, struct buf *out)
{
    static const struct column COLUMNS[] = {{.title = "NAME"},
                                            {.title = "STRATEGY"},
                                            {.title = "AFFINITY", .rank = 2},
                                            {.title = "ACCOUNTS"},
                                            {.title = "KEYS", .right = true, .rank = 1},
                                            {.title = "ROUTES", .rank = 3}};
    const struct json_val *list = json_get(root, "groups");
    struct table t;
    char text[400];
    table_init(&t, COLUMNS, (int)(sizeof COLUMNS / sizeof *COLUMNS));
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json_val *g = json_at(list, i);
        table_cell(&t, json_get_str(g, "name"));
        table_cell(&t, json_get_str(g, "strategy"));
        table_cell(&t, json_get_bool(g, "affinity", false) ? S("on") : S("off"));
        value_list(text, sizeof text, json_get(g, "accounts"));
        table_cell(&t, slice_of(text));
        table_cellf(&t, "%zu", json_len(json_get(g, "keys")));
        routes_text(text, sizeof text, json_get(g, "routes"));
        table_cell(&t, slice_of(text));
    }
    table_print(&t, l, true, out);
    table_free(&t);
}

void show_group_gone(const struct json_val *g, const struct look *l, struct buf *out)
{
    struct slice name = json_get_str(g, "name");
    (void)l;
    out_printf(out, "group `%.*s` removed\n", (int)name.n, name.p);
}
