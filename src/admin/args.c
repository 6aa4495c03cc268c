/* The values of a verb's arguments: from text, from JSON. */
#include "admin/inside.h"

#include <string.h>

int verb_args_n(const struct verb *v)
{
    int n = 0;
    while (n < VERB_ARGS_MAX && v->arg[n].name != NULL)
        n++;
    return n;
}

int verb_arg_find(const struct verb *v, struct slice name)
{
    int n = verb_args_n(v);
    for (int i = 0; i < n; i++)
        if (slice_eq(name, slice_of(v->arg[i].name)))
            return i;
    return -1;
}

void verb_arg_flag(const struct arg_spec *s, char *out, size_t size)
{
    size_t n = text_format(out, size, "--%s%s", s->name, s->type == ARG_SECRET ? "-file" : "");
    for (size_t i = 2; i < n; i++)
        out[i] = out[i] == '_' ? '-' : out[i];
}

static enum err arg_begin(const struct arg_spec *s, struct verb_value *v, char *why, size_t size)
{
    if (v->given && !s->many) {
        text_format(why, size, "`%s` is given twice", s->name);
        return ERR_SYNTAX;
    }
    return OK;
}

/* One more of those that may be given again. */
static enum err add_text(const struct arg_spec *s, struct verb_value *v, struct slice text,
                         char *why, size_t size)
{
    struct buf all;
    assert(s->many && s->type == ARG_STRING);
    buf_init(&all, ADMIN_TEXT_MAX);
    enum err e = buf_puts(&all, slice_of(v->text));
    if (e == OK && all.len > 0)
        e = buf_puts(&all, S(","));
    if (e == OK)
        e = buf_puts(&all, text);
    if (e == OK) {
        mem_free(v->text);
        v->text = mem_slicedup(buf_slice(&all));
    } else {
        text_format(why, size, "`%s` is too long (at most %d bytes)", s->name, ADMIN_TEXT_MAX);
        e = ERR_SYNTAX;
    }
    buf_free(&all);
    return e;
}

static enum err set_text(const struct arg_spec *s, struct verb_value *v, struct slice text,
                         char *why, size_t size)
{
    size_t max = s->type == ARG_SECRET ? STORE_SECRET_MAX : ADMIN_TEXT_MAX;
    if (text.n > max) {
        text_format(why, size, "`%s` is too long (at most %zu bytes)", s->name, max);
        return ERR_SYNTAX;
    }
    if (text.n > 0 && memchr(text.p, '\0', text.n) != NULL) {
        text_format(why, size, "`%s` holds a NUL byte", s->name);
        return ERR_SYNTAX;
    }
    if (v->given)
        return add_text(s, v, text, why, size);
    v->text = mem_slicedup(text);
    v->given = true;
    return OK;
}

static enum err set_switch(const struct arg_spec *s, struct verb_value *v, struct slice text,
                           char *why, size_t size)
{
    bool on = slice_eq(text, S("on")) || slice_eq(text, S("true"));
    bool off = slice_eq(text, S("off")) || slice_eq(text, S("false"));
    if (!on && !off && text.n > 0) {
        text_format(why, size, "`%s` is either on or off", s->name);
        return ERR_SYNTAX;
    }
    v->text = mem_strdup(on ? "on" : off ? "off" : "");
    v->flag = on;
    v->given = true;
    return OK;
}

static enum err set_bool(const struct arg_spec *s, struct verb_value *v, struct slice text,
                         char *why, size_t size)
{
    bool yes = slice_eq(text, S("true")) || slice_eq(text, S("1")) || text.n == 0;
    if (!yes && !slice_eq(text, S("false")) && !slice_eq(text, S("0"))) {
        text_format(why, size, "`%s` is either true or false", s->name);
        return ERR_SYNTAX;
    }
    v->flag = yes;
    v->given = true;
    return OK;
}

enum err verb_arg_set(const struct verb *v, struct verb_args *a, int i, struct slice text,
                      char *why, size_t why_size)
{
    assert(i >= 0 && i < verb_args_n(v));
    const struct arg_spec *s = &v->arg[i];
    struct verb_value *value = &a->v[i];
    enum err e = arg_begin(s, value, why, why_size);
    if (e != OK)
        return e;
    if (s->type == ARG_BOOL)
        return set_bool(s, value, text, why, why_size);
    if (s->type == ARG_SWITCH)
        return set_switch(s, value, text, why, why_size);
    if (s->type != ARG_INT)
        return set_text(s, value, text, why, why_size);
    if (!text_i64(text, &value->number)) {
        text_format(why, why_size, "`%s` must be a whole number, not `%.*s`", s->name,
                    (int)(text.n < 40 ? text.n : 40), text.p);
        return ERR_SYNTAX;
    }
    value->given = true;
    return OK;
}

/* An empty one is a value too: none of them. */
static enum err set_array(const struct arg_spec *s, struct verb_value *v, const struct json_val *j,
                          char *why, size_t size)
{
    struct slice text;
    enum err e = set_text(s, v, S(""), why, size);
    for (size_t i = 0; e == OK && i < json_len(j); i++) {
        if (json_str(json_at(j, i), &text)) {
            e = set_text(s, v, text, why, size);
        } else {
            text_format(why, size, "`%s` must be an array of strings", s->name);
            e = ERR_SYNTAX;
        }
    }
    return e;
}

enum err verb_arg_set_json(const struct verb *v, struct verb_args *a, int i,
                           const struct json_val *j, char *why, size_t why_size)
{
    static const char *const WANTED[] = {[ARG_STRING] = "a string",
                                         [ARG_INT] = "a whole number",
                                         [ARG_BOOL] = "true or false",
                                         [ARG_SWITCH] = "true, false, \"on\" or \"off\"",
                                         [ARG_SECRET] = "a string"};
    assert(i >= 0 && i < verb_args_n(v));
    const struct arg_spec *s = &v->arg[i];
    struct verb_value *value = &a->v[i];
    struct slice text;
    bool yes = false;
    enum err e = arg_begin(s, value, why, why_size);
    if (e != OK)
        return e;
    if (json_type(j) == JSON_NULL)
        return OK; /* as if it were not there */
    if ((s->type == ARG_STRING || s->type == ARG_SECRET) && json_str(j, &text))
        return set_text(s, value, text, why, why_size);
    if (s->type == ARG_SWITCH && (json_str(j, &text) || json_bool(j, &yes)))
        return set_switch(s, value,
                          json_type(j) == JSON_STRING ? text
                          : yes                       ? S("on")
                                                      : S("off"),
                          why, why_size);
    if (s->many && json_type(j) == JSON_ARRAY)
        return set_array(s, value, j, why, why_size);
    if ((s->type == ARG_INT && json_i64(j, &value->number)) ||
        (s->type == ARG_BOOL && json_bool(j, &value->flag))) {
        value->given = true;
        return OK;
    }
    text_format(why, why_size, "`%s` must be %s", s->name, WANTED[s->type]);
    return ERR_SYNTAX;
}

enum err verb_args_check(const struct verb *v, const struct verb_args *a, char *why,
                         size_t why_size)
{
    int n = verb_args_n(v);
    for (int i = 0; i < n; i++) {
        const struct arg_spec *s = &v->arg[i];
        char flag[64];
        if (!s->required || a->v[i].given)
            continue;
        verb_arg_flag(s, flag, sizeof flag);
        text_format(why, why_size, "%s%s%s is missing: %s", s->positional ? "" : flag,
                    s->positional ? "" : " ", s->value != NULL ? s->value : "", s->help);
        return ERR_SYNTAX;
    }
    return OK;
}

void verb_args_free(const struct verb *v, struct verb_args *a)
{
    int n = verb_args_n(v);
    for (int i = 0; i < n; i++) {
        char *text = a->v[i].text;
        if (text != NULL && v->arg[i].type == ARG_SECRET)
            crypto_wipe(text, strlen(text));
        mem_free(text);
    }
    memset(a, 0, sizeof *a);
}
