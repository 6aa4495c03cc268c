/* A command line taken apart, by the table of verbs and the table of options. */
#include "admin/inside.h"

#include <string.h>

bool verb_takes_options(const struct verb *v)
{
    return strcmp(v->name, "serve") == 0 || strcmp(v->name, "config check") == 0 ||
           strcmp(v->name, "upgrade") == 0;
}

#define VERBS_MAX 96 /* more than there are: for the nearest one to a misspelt one */

struct parser {
    struct command *c;
    char **argv;
    int argc, at;
    char *why;
    size_t size;
    bool only_words; /* behind "--" */
};

/* ---- verbs
 * ------------------------------------------------------------------------------------------------
 */

static bool is_group(struct slice word)
{
    const struct verb *v;
    for (int i = 0; (v = verb_at(i)) != NULL; i++) {
        struct slice name = slice_of(v->name);
        if (slice_starts(name, word) && name.n > word.n && name.p[word.n] == ' ')
            return true;
    }
    return false;
}

static const struct verb *verb_named(const char *a, const char *b)
{
    char name[64];
    const struct verb *v;
    text_format(name, sizeof name, "%s%s%s", a, b != NULL ? " " : "", b != NULL ? b : "");
    for (int i = 0; (v = verb_at(i)) != NULL; i++)
        if (strcmp(v->name, name) == 0)
            return v;
    return NULL;
}

/* First words, or second ones behind `group`. */
static const char *verb_closest(const char *group, const char *word)
{
    static char names[VERBS_MAX][32];
    const char *list[VERBS_MAX];
    const struct verb *v;
    size_t n = 0;
    for (int i = 0; (v = verb_at(i)) != NULL && n < VERBS_MAX; i++) {
        struct slice rest = slice_of(v->name), first;
        slice_cut(&rest, ' ', &first);
        if (group != NULL && !slice_eq(first, slice_of(group)))
            continue;
        text_copy(names[n], sizeof names[n], group != NULL ? rest : first);
        list[n] = names[n];
        n++;
    }
    return text_closest(slice_of(word), list, n);
}

static enum err unknown_verb(struct parser *p, const char *group, const char *word)
{
    const char *near = verb_closest(group, word);
    text_format(p->why, p->size, "there is no command `%s%s%s`%s%s%s%s%s", group ? group : "",
                group ? " " : "", word, near ? "; did you mean `" : "", near && group ? group : "",
                near && group ? " " : "", near ? near : "", near ? "`?" : "");
    return ERR_SYNTAX;
}

static enum err take_verb_word(struct parser *p, const char *word)
{
    struct command *c = p->c;
    const char *group = c->words_n > 0 ? c->words[0] : NULL;
    if (c->words_n == 0 && !c->help && strcmp(word, "help") == 0) {
        c->help = true; /* `help VERB` is `VERB --help` */
        return OK;
    }
    c->verb = group == NULL ? verb_named(word, NULL) : verb_named(group, word);
    if (c->verb == NULL && (group != NULL || !is_group(slice_of(word))))
        return unknown_verb(p, group, word);
    c->words[c->words_n++] = word;
    return OK;
}

/* `requests` is a command, and so is `requests show`: the second word decides. */
static bool take_second_word(struct command *c, const char *word)
{
    const struct verb *v = c->words_n == 1 ? verb_named(c->words[0], word) : NULL;
    for (int i = 0; v != NULL && i < verb_args_n(c->verb); i++)
        if (c->args.v[i].given)
            return false;
    if (v == NULL)
        return false;
    c->verb = v;
    c->words[c->words_n++] = word;
    return true;
}

static enum err take_positional(struct parser *p, const char *word)
{
    struct command *c = p->c;
    if (!p->only_words && take_second_word(c, word))
        return OK;
    int n = verb_args_n(c->verb);
    for (int i = 0; i < n; i++)
        if (c->verb->arg[i].positional && !c->args.v[i].given)
            return verb_arg_set(c->verb, &c->args, i, slice_of(word), p->why, p->size);
    if (c->help)
        return OK;
    text_format(p->why, p->size, "`%s` is one word too many for `sluice %s`", word, c->verb->name);
    return ERR_SYNTAX;
}

/* ---- flags
 * ------------------------------------------------------------------------------------------------
 */

static const char *const GLOBAL_FLAGS[] = {"state-dir", "config", "json", "help"};

/* The value of a flag: behind its '=', else the next word. */
static enum err flag_value(struct parser *p, struct slice name, const char *equals,
                           const char **value)
{
    if (equals != NULL) {
        *value = equals + 1;
        return OK;
    }
    if (p->at == p->argc) {
        text_format(p->why, p->size, "--%.*s needs a value", (int)name.n, name.p);
        return ERR_SYNTAX;
    }
    *value = p->argv[p->at++];
    return OK;
}

static enum err flag_bare(struct parser *p, struct slice name, const char *equals, bool *out)
{
    *out = true;
    if (equals == NULL)
        return OK;
    text_format(p->why, p->size, "--%.*s takes no value", (int)name.n, name.p);
    return ERR_SYNTAX;
}

static enum err take_option(struct parser *p, struct slice name, const char *value)
{
    struct command *c = p->c;
    if (c->flags == COMMAND_FLAGS_MAX) {
        text_copy(p->why, p->size, S("too many options"));
        return ERR_SYNTAX;
    }
    text_copy(c->flag_name[c->flags], sizeof c->flag_name[0], name);
    c->flag[c->flags] = (struct config_flag){.name = c->flag_name[c->flags], .value = value};
    c->flags++;
    return OK;
}

/* ERR_NOTFOUND: no flag of every command. */
static enum err take_global(struct parser *p, struct slice name, const char *equals)
{
    struct command *c = p->c;
    const char *value = NULL;
    enum err e;
    if (slice_eq(name, S("json")))
        return flag_bare(p, name, equals, &c->json);
    if (slice_eq(name, S("help")))
        return flag_bare(p, name, equals, &c->help);
    if (slice_eq(name, S("version")) && c->verb == NULL && c->words_n == 0) {
        c->verb = verb_named("version", NULL);
        return OK;
    }
    if (slice_eq(name, S("config"))) {
        e = flag_value(p, name, equals, &c->config_file);
        return e;
    }
    if (!slice_eq(name, S("state-dir")))
        return ERR_NOTFOUND;
    e = flag_value(p, name, equals, &value);
    return e == OK ? take_option(p, name, value) : e;
}

static enum err take_arg(struct parser *p, int i, struct slice name, const char *equals)
{
    struct command *c = p->c;
    const struct arg_spec *s = &c->verb->arg[i];
    const char *value = "";
    enum err e = OK;
    if (s->type != ARG_BOOL)
        e = flag_value(p, name, equals, &value);
    else if (equals != NULL)
        value = equals + 1;
    if (e != OK)
        return e;
    if (s->type != ARG_SECRET)
        return verb_arg_set(c->verb, &c->args, i, slice_of(value), p->why, p->size);
    if (c->secret_file != NULL) {
        char other[64];
        verb_arg_flag(&c->verb->arg[c->secret], other, sizeof other);
        if (c->secret == i)
            text_format(p->why, p->size, "%s is given twice", other);
        else
            text_format(p->why, p->size, "give either %s or --%.*s", other, (int)name.n, name.p);
        return ERR_SYNTAX;
    }
    c->secret_file = value;
    c->secret = i;
    return OK;
}

static int arg_of_flag(const struct verb *v, struct slice name)
{
    int n = verb_args_n(v);
    char flag[64];
    for (int i = 0; i < n; i++) {
        verb_arg_flag(&v->arg[i], flag, sizeof flag);
        if (!v->arg[i].positional && slice_eq(name, slice_of(flag + 2)))
            return i;
    }
    return -1;
}

static const char *flag_closest(const struct verb *v, struct slice name)
{
    static char flags[VERB_ARGS_MAX][64];
    const char *list[VERB_ARGS_MAX + 8];
    size_t n = 0;
    for (size_t i = 0; i < sizeof GLOBAL_FLAGS / sizeof *GLOBAL_FLAGS; i++)
        list[n++] = GLOBAL_FLAGS[i];
    for (int i = 0; v != NULL && i < verb_args_n(v); i++) {
        verb_arg_flag(&v->arg[i], flags[i], sizeof flags[i]);
        if (!v->arg[i].positional)
            list[n++] = flags[i] + 2;
    }
    const char *near = text_closest(name, list, n);
    const char *option = v != NULL && verb_takes_options(v) ? config_closest_flag(name) : NULL;
    if (near == NULL || option == NULL)
        return near != NULL ? near : option;
    list[0] = near;
    list[1] = option;
    return text_closest(name, list, 2);
}

static const struct arg_spec *secret_of(const struct verb *v)
{
    for (int i = 0; i < verb_args_n(v); i++)
        if (v->arg[i].type == ARG_SECRET)
            return &v->arg[i];
    return NULL;
}

static enum err unknown_flag(struct parser *p, struct slice name)
{
    static const char *const SECRETS[] = {"secret",     "api-key",  "apikey",     "key",    "token",
                                          "auth-token", "password", "credential", "answer", "code"};
    const struct verb *v = p->c->verb;
    for (size_t i = 0; v != NULL && i < sizeof SECRETS / sizeof *SECRETS; i++) {
        const struct arg_spec *secret = secret_of(v);
        char flag[64];
        if (secret == NULL || !slice_eq(name, slice_of(SECRETS[i])))
            continue;
        verb_arg_flag(secret, flag, sizeof flag);
        text_format(p->why, p->size,
                    "there is no --%s, on purpose: what is on a command line is seen by every "
                    "user of this machine and kept in the shell's history; use %s FILE, or %s - "
                    "and standard input",
                    SECRETS[i], flag, flag);
        return ERR_SYNTAX;
    }
    bool takes;
    const char *near = flag_closest(v, name);
    if (v == NULL && config_is_flag(name, &takes)) {
        text_format(p->why, p->size, "put the command first: `sluice serve --%.*s ...`",
                    (int)name.n, name.p);
        return ERR_SYNTAX;
    }
    text_format(p->why, p->size, "there is no flag --%.*s%s%s%s%s%s", (int)name.n, name.p,
                v != NULL ? " for `sluice " : "", v != NULL ? v->name : "", v != NULL ? "`" : "",
                near != NULL ? "; did you mean --" : "", near != NULL ? near : "");
    if (near != NULL) {
        size_t n = strlen(p->why);
        text_copy(p->why + n, p->size - n, S("?"));
    }
    return ERR_SYNTAX;
}

static enum err take_long(struct parser *p, const char *word)
{
    const char *equals = strchr(word, '=');
    struct slice name = {word + 2, equals != NULL ? (size_t)(equals - word - 2) : strlen(word + 2)};
    const struct verb *v = p->c->verb;
    bool takes_value;
    enum err e = take_global(p, name, equals);
    if (e != ERR_NOTFOUND)
        return e;
    int i = v != NULL ? arg_of_flag(v, name) : -1;
    if (i >= 0)
        return take_arg(p, i, name, equals);
    if (v == NULL || !verb_takes_options(v) || !config_is_flag(name, &takes_value))
        return unknown_flag(p, name);
    const char *value = equals != NULL ? equals + 1 : "true";
    if (takes_value) {
        e = flag_value(p, name, equals, &value);
        if (e != OK)
            return e;
    }
    return take_option(p, name, value);
}

static enum err take_letter(struct parser *p, const char *word)
{
    const struct verb *v = p->c->verb;
    if (strcmp(word, "-h") == 0) {
        p->c->help = true;
        return OK;
    }
    for (int i = 0; v != NULL && i < verb_args_n(v); i++)
        if (v->arg[i].letter == word[1] && word[2] == '\0')
            return take_arg(p, i, slice_of(word + 1), NULL);
    text_format(p->why, p->size, "there is no flag %s%s%s%s", word, v ? " for `sluice " : "",
                v ? v->name : "", v ? "`" : "");
    return ERR_SYNTAX;
}

/* ---- the whole
 * -------------------------------------------------------------------------------------------- */

static enum err take_word(struct parser *p, const char *word)
{
    if (!p->only_words && strcmp(word, "--") == 0) {
        p->only_words = true;
        return OK;
    }
    if (!p->only_words && word[0] == '-' && word[1] == '-')
        return take_long(p, word);
    if (!p->only_words && word[0] == '-' && word[1] != '\0')
        return take_letter(p, word);
    return p->c->verb == NULL ? take_verb_word(p, word) : take_positional(p, word);
}

/* A secret counts as given when its file is: it is read later, when all else is known to be right.
 */
static enum err check_required(struct command *c, char *why, size_t why_size)
{
    assert(c->secret_file == NULL || c->verb->arg[c->secret].type == ARG_SECRET);
    if (c->secret_file != NULL)
        c->args.v[c->secret].given = true;
    enum err e = verb_args_check(c->verb, &c->args, why, why_size);
    if (c->secret_file != NULL)
        c->args.v[c->secret].given = false;
    return e;
}

enum err command_parse(struct command *c, int argc, char **argv, char *why, size_t why_size)
{
    struct parser p = {.c = c, .argv = argv, .argc = argc, .at = 1, .why = why, .size = why_size};
    enum err e = OK;
    memset(c, 0, sizeof *c);
    why[0] = '\0';
    while (p.at < argc && e == OK)
        e = take_word(&p, argv[p.at++]);
    if (e == OK && c->verb != NULL && !c->help)
        e = check_required(c, why, why_size);
    return e;
}

void command_free(struct command *c)
{
    if (c->verb != NULL)
        verb_args_free(c->verb, &c->args);
}
