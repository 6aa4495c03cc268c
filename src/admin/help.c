/* Help, printed from the tables. */
#include "admin/inside.h"

#include <string.h>

#define HELP_WIDTH 78
#define HELP_LEFT  24 /* where the explanations begin */

/* "  --flag VALUE      explanation", wrapped. */
static void help_row(struct buf *out, const char *left, const char *text)
{
    struct slice rest = slice_of(text), word;
    size_t at = strlen(left) + 2;
    out_printf(out, "  %s", left);
    if (at >= HELP_LEFT - 1) {
        out_printf(out, "\n%*s", HELP_LEFT, "");
        at = HELP_LEFT;
    } else {
        out_printf(out, "%*s", (int)(HELP_LEFT - at), "");
        at = HELP_LEFT;
    }
    bool first = true;
    while (slice_cut(&rest, ' ', &word)) {
        if (!first && at + 1 + word.n > HELP_WIDTH) {
            out_printf(out, "\n%*s", HELP_LEFT, "");
            at = HELP_LEFT;
        } else if (!first) {
            out_printf(out, " ");
            at++;
        }
        out_printf(out, "%.*s", (int)word.n, word.p);
        at += word.n;
        first = false;
    }
    out_printf(out, "\n");
}

static void help_usage(const struct verb *v, struct buf *out)
{
    out_printf(out, "usage: sluice %s", v->name);
    for (int i = 0; i < verb_args_n(v); i++) {
        const struct arg_spec *s = &v->arg[i];
        char flag[64];
        verb_arg_flag(s, flag, sizeof flag);
        if (s->positional)
            out_printf(out, " %s", s->value);
        else if (s->required)
            out_printf(out, " %s %s", flag, s->value);
    }
    out_printf(out, " [flags]\n\n%s\n", v->help);
}

static void help_args(const struct verb *v, struct buf *out)
{
    for (int i = 0; i < verb_args_n(v); i++) {
        const struct arg_spec *s = &v->arg[i];
        char left[80], flag[64];
        verb_arg_flag(s, flag, sizeof flag);
        if (s->positional)
            text_copy(left, sizeof left, slice_of(s->value));
        else if (s->letter != 0)
            text_format(left, sizeof left, "-%c, %s%s%s", s->letter, flag, s->value ? " " : "",
                        s->value ? s->value : "");
        else
            text_format(left, sizeof left, "%s%s%s", flag, s->value ? " " : "",
                        s->value ? s->value : "");
        help_row(out, left, s->help);
    }
}

static void help_globals(struct buf *out)
{
    help_row(out, "--state-dir DIR", "the gateway's folder: database, master key, admin socket");
    help_row(out, "--config FILE", "configuration file (YAML)");
    help_row(out, "--json", "one JSON object on standard output");
    help_row(out, "-h, --help", "this text");
}

static void help_example(const struct verb *v, struct buf *out)
{
    struct slice rest = slice_of(v->example), line;
    out_printf(out, "\nexamples:\n");
    while (slice_cut(&rest, '\n', &line))
        out_printf(out, "  %.*s\n", (int)line.n, line.p);
}

static void help_providers(struct buf *out)
{
    const struct provider *p;
    out_printf(out, "\nproviders (KIND):\n");
    for (int i = 0; (p = provider_at(i)) != NULL; i++)
        if (p->help != NULL)
            help_row(out, p->name, p->help);
}

static void help_strategies(struct buf *out)
{
    out_printf(out, "\nstrategies (S):\n");
    for (int i = 0; i < STRATEGY_COUNT; i++)
        help_row(out, strategy_name((enum strategy)i), strategy_help((enum strategy)i));
}

void help_verb(const struct verb *v, struct buf *out)
{
    help_usage(v, out);
    help_example(v, out);
    out_printf(out, "\nflags:\n");
    help_args(v, out);
    if (strcmp(v->name, "help") != 0)
        help_globals(out);
    if (strcmp(v->name, "account add") == 0)
        help_providers(out);
    if (strcmp(v->name, "group set") == 0)
        help_strategies(out);
    if (verb_takes_options(v)) {
        out_printf(out, "\noptions (also in the file as name: value, and as $SLUICE_NAME):\n");
        if (config_help(out) != OK)
            out_printf(out, "\n");
    }
}

static void help_line(const struct verb *v, struct buf *out)
{
    char left[80];
    size_t n = text_format(left, sizeof left, "%s", v->name);
    for (int i = 0; i < verb_args_n(v); i++)
        if (v->arg[i].positional)
            n += text_format(left + n, sizeof left - n, " %s", v->arg[i].value);
    help_row(out, left, v->help);
}

bool help_group(const char *group, struct buf *out)
{
    const struct verb *v;
    bool any = false;
    for (int i = 0; (v = verb_at(i)) != NULL; i++) {
        struct slice rest = slice_of(v->name), first;
        slice_cut(&rest, ' ', &first);
        if (rest.n == 0 || !slice_eq(first, slice_of(group)))
            continue;
        if (!any)
            out_printf(out, "usage: sluice %s COMMAND [flags]\n\ncommands:\n", group);
        any = true;
        help_line(v, out);
    }
    if (any)
        out_printf(out, "\n`sluice %s COMMAND --help` tells more about each.\n", group);
    return any;
}

void help_all(struct buf *out)
{
    const struct verb *v;
    out_printf(out, "sluice pools a team's LLM accounts behind one endpoint.\n\n"
                    "usage: sluice COMMAND [flags]\n\n"
                    "to begin:\n"
                    "  sluice serve --demo                       try it, without any account\n"
                    "  sluice account add work --provider anthropic --secret-file key.txt\n"
                    "  sluice key add alice                      a key for a client\n"
                    "  sluice serve\n\n"
                    "commands:\n");
    for (int i = 0; (v = verb_at(i)) != NULL; i++)
        help_line(v, out);
    out_printf(out, "\nflags of every command:\n");
    help_globals(out);
    out_printf(out, "\nThe commands work with the gateway running (over the socket in its state\n"
                    "folder) and without it. `sluice COMMAND --help` tells more about each.\n\n"
                    "exit codes: 0 ok, 1 failure, 2 usage, 3 gateway unreachable, 5 not found,\n"
                    "6 conflict, 77 permission, 78 bad configuration\n");
}
