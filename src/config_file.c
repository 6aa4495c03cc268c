/* The configuration file: YAML by libyaml, one mapping of options, `${NAME}` from the environment.
 */
#include <string.h>
#include <yaml.h>

#include "config_private.h"

#define VALUE_MAX 4096

struct reader {
    struct config *c;
    const char *name; /* of the file */
    struct config_error *e;
    yaml_parser_t parser;
};

static enum err refuse(struct reader *r, const yaml_mark_t *at, enum err code, const char *text,
                       struct slice what, const char *hint)
{
    const char *quote = what.n > 0 ? "`" : "";
    text_format(r->e->text, sizeof r->e->text, "%s:%zu: %s%s%s%.*s%s%s%s%s", r->name, at->line + 1,
                text, what.n > 0 ? " " : "", quote, (int)(what.n < 80 ? what.n : 80), what.p, quote,
                hint ? "; did you mean `" : "", hint ? hint : "", hint ? "`?" : "");
    return code;
}

static enum err next_event(struct reader *r, yaml_event_t *ev)
{
    if (yaml_parser_parse(&r->parser, ev))
        return OK;
    text_format(r->e->text, sizeof r->e->text, "%s:%zu: %s", r->name,
                r->parser.problem_mark.line + 1,
                r->parser.problem ? r->parser.problem : "not YAML");
    return ERR_SYNTAX;
}

static struct slice scalar(const yaml_event_t *ev)
{
    return (struct slice){(const char *)ev->data.scalar.value, ev->data.scalar.length};
}

/* Replaces ${NAME}; "$${" stands for a plain "${". */
static enum err expand(struct reader *r, const yaml_mark_t *at, struct slice s, struct buf *out)
{
    enum err e = OK;
    for (size_t i = 0; i < s.n && e == OK; i++) {
        struct slice rest = slice_sub(s, i, s.n);
        if (slice_starts(rest, S("$${"))) {
            e = buf_puts(out, S("${"));
            i += 2;
        } else if (slice_starts(rest, S("${"))) {
            ptrdiff_t end = slice_find(rest, '}');
            if (end < 0)
                return refuse(r, at, ERR_SYNTAX, "no } after ${ in", s, NULL);
            char name[128];
            text_copy(name, sizeof name, slice_sub(rest, 2, (size_t)end));
            const char *v = config_getenv(name);
            if (v == NULL)
                return refuse(r, at, ERR_NOTFOUND,
                              "this environment variable is not set:", slice_of(name), NULL);
            e = buf_puts(out, slice_of(v));
            i += (size_t)end;
        } else {
            e = buf_append(out, &s.p[i], 1);
        }
    }
    return e == OK ? OK : refuse(r, at, ERR_LIMIT, "the value is too long:", s, NULL);
}

static enum err set_value(struct reader *r, const yaml_mark_t *at, int option, struct slice text)
{
    struct buf value;
    char where[300];
    buf_init(&value, VALUE_MAX);
    text_format(where, sizeof where, "%s:%zu", r->name, at->line + 1);
    enum err e = expand(r, at, text, &value);
    if (e == OK && memchr(value.p ? value.p : "", '\0', value.len) != NULL)
        e = refuse(r, at, ERR_SYNTAX, "a NUL byte in", text, NULL);
    if (e == OK)
        e = config_set(r->c, option, buf_slice(&value), CONFIG_FILE, where, r->e);
    buf_free(&value);
    return e;
}

/* The value behind a key: one scalar, or for lists a sequence of scalars. */
static enum err read_value(struct reader *r, int option, struct slice key)
{
    yaml_event_t ev;
    bool list = CONFIG_OPTIONS[option].type == OPT_LIST, inside = false, any = false;
    enum err e;
    do {
        e = next_event(r, &ev);
        if (e != OK)
            return e;
        if (ev.type == YAML_SCALAR_EVENT) {
            e = set_value(r, &ev.start_mark, option, scalar(&ev));
            any = true;
        } else if (ev.type == YAML_SEQUENCE_START_EVENT && list && !inside)
            inside = true;
        else if (ev.type == YAML_SEQUENCE_END_EVENT && any)
            inside = false;
        else
            e = refuse(r, &ev.start_mark, ERR_SYNTAX,
                       list ? "a list of plain values is needed for"
                            : "one plain value is needed for",
                       key, NULL);
        yaml_event_delete(&ev);
    } while (e == OK && inside);
    return e;
}

static enum err read_pair(struct reader *r, const yaml_event_t *key_ev, bool seen[64])
{
    struct slice key = scalar(key_ev);
    int option = config_option_find(key);
    if (option < 0 || slice_find(key, '-') >= 0) {
        const char *flag = config_closest_flag(key), *hint = NULL;
        int best = flag ? config_option_find(slice_of(flag)) : -1;
        if (best >= 0)
            hint = CONFIG_OPTIONS[best].name;
        return refuse(r, &key_ev->start_mark, ERR_SYNTAX, "unknown option", key, hint);
    }
    if (seen[option])
        return refuse(r, &key_ev->start_mark, ERR_SYNTAX, "given twice:", key, NULL);
    seen[option] = true;
    return read_value(r, option, key);
}

static enum err read_document(struct reader *r)
{
    yaml_event_t ev;
    bool seen[64] = {false}, mapping = false, done = false;
    enum err e = OK;
    while (e == OK && !done) {
        e = next_event(r, &ev);
        if (e != OK)
            return e;
        switch (ev.type) {
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
        case YAML_MAPPING_END_EVENT:
            break;
        case YAML_STREAM_END_EVENT:
            done = true;
            break;
        case YAML_MAPPING_START_EVENT:
            if (mapping)
                e = refuse(r, &ev.start_mark, ERR_SYNTAX, "only one mapping of options is allowed",
                           S(""), NULL);
            mapping = true;
            break;
        case YAML_SCALAR_EVENT:
            if (mapping)
                e = read_pair(r, &ev, seen);
            else if (scalar(&ev).n > 0)
                e = refuse(r, &ev.start_mark, ERR_SYNTAX, "`name: value` lines are needed, not",
                           scalar(&ev), NULL);
            break;
        default:
            e = refuse(r, &ev.start_mark, ERR_SYNTAX, "`name: value` lines are needed here", S(""),
                       NULL);
        }
        yaml_event_delete(&ev);
    }
    return e;
}

enum err config_parse_text(struct config *c, const char *name, struct slice text,
                           struct config_error *e)
{
    struct reader r = {.c = c, .name = name, .e = e};
    if (!yaml_parser_initialize(&r.parser)) {
        text_format(e->text, sizeof e->text, "%s: out of memory", name);
        return ERR_NOMEM;
    }
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text.p, text.n);
    enum err result = read_document(&r);
    yaml_parser_delete(&r.parser);
    return result;
}
