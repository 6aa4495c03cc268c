/* The program as its users see it: argv in; text or JSON and an exit code out. */
#include "admin/cli.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "sluice/sluice.h"

#define LOCK_TRIES  100 /* with a pause each: another command holds the folder only for a moment */
#define LOCK_PAUSE  50  /* ms */
#define FOLLOW_MS   500
#define FOLLOW_ROWS 10

/* ---- output
 * -----------------------------------------------------------------------------------------------
 */

/* False when nobody reads it any more, which is no fault of ours (`sluice requests | head`). */
bool cli_emit(struct buf *out)
{
    if (out->len > 0)
        fwrite(out->p, 1, out->len, stdout);
    buf_clear(out);
    return fflush(stdout) == 0 && !ferror(stdout);
}

int cli_emit_end(struct buf *out, int code)
{
    errno = 0;
    bool good = cli_emit(out);
    int why = errno;
    if (out->p != NULL) /* a new key may have been in it */
        crypto_wipe(out->p, out->cap);
    buf_free(out);
    if (good || why == EPIPE)
        return code;
    fprintf(stderr, "sluice: cannot write the output: %s\n", strerror(why));
    return EXIT_FAIL;
}

int cli_complain(const char *why, int code)
{
    struct buf out;
    buf_init(&out, OUT_MAX);
    out_safe(&out, slice_of(why));
    fprintf(stderr, "sluice: %.*s\n", (int)out.len, out.p != NULL ? out.p : "");
    buf_free(&out);
    return code;
}

static struct look look_find(void)
{
    struct look l = {0};
    struct winsize size;
    if (!isatty(STDOUT_FILENO))
        return l;
    l.colour = config_env(CONFIG_ENV_NO_COLOR) == NULL;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        l.width = size.ws_col;
    return l;
}

/* ---- calling a verb
 * --------------------------------------------------------------------------------------- */

static void on_answer(void *arg, int status, struct slice json)
{
    struct answer *a = arg;
    a->status = status;
    a->done = true;
    if (buf_puts(&a->body, json) != OK)
        a->status = 0;
    loop_stop(a->loop);
}

void answer_free(struct answer *a)
{
    if (a->body.p != NULL)
        crypto_wipe(a->body.p, a->body.cap);
    buf_free(&a->body);
}

void answer_init(struct answer *a)
{
    *a = (struct answer){.status = 0};
    buf_init(&a->body, ADMIN_REPLY_MAX);
}

static int offline_call(struct cli *x, const struct verb *v, struct verb_args *args,
                        struct answer *a)
{
    a->loop = admin_loop(x->admin);
    call_start(x->admin, v, args, on_answer, a);
    while (!a->done)
        loop_run(a->loop);
    return EXIT_OK;
}

void cli_close(struct cli *x)
{
    if (x->admin != NULL)
        x->hooks->offline_close(x->admin);
    x->admin = NULL;
}

static void socket_path(const struct cli *x, char *out, size_t size)
{
    text_format(out, size, "%s/%s", x->config->state_dir, ADMIN_SOCKET);
}

static int local_exit(enum err e)
{
    switch (e) {
    case ERR_DENIED:
        return EXIT_DENIED;
    case ERR_RANGE:
        return EXIT_CONFIG;
    default:
        return EXIT_UNREACHABLE;
    }
}

/* Asks the daemon; without one, opens the store itself. Another command may hold the folder for a
 * moment, or a daemon may just be starting: then both are tried again for a while. */
int cli_call(struct cli *x, const struct verb *v, struct verb_args *args, struct answer *a)
{
    char path[1200];
    if (x->admin != NULL)
        return offline_call(x, v, args, a);
    socket_path(x, path, sizeof path);
    for (int i = 0;; i++) {
        enum err e = local_call(path, v, args, &a->status, &a->body, x->why, sizeof x->why);
        if (e == OK)
            return EXIT_OK;
        if (e != ERR_NOTFOUND)
            return cli_complain(x->why, local_exit(e));
        e = x->hooks->offline_open(x->config, &x->admin, x->why, sizeof x->why);
        if (e == OK)
            return offline_call(x, v, args, a);
        if (e != ERR_BUSY)
            return cli_complain(x->why, e == ERR_DENIED ? EXIT_DENIED : EXIT_FAIL);
        if (i == LOCK_TRIES)
            break;
        poll(NULL, 0, LOCK_PAUSE);
    }
    text_format(x->why, sizeof x->why,
                "a process holds the state folder %s, but does not answer on %s; is a gateway "
                "stopping or starting? Try again, or look at its log",
                x->config->state_dir, path);
    return cli_complain(x->why, EXIT_UNREACHABLE);
}

/* The words and the exit code of a reply that is an error. */
static int answer_error(struct cli *x, const struct answer *a, const struct json_val *root)
{
    const struct json_val *error = json_get(root, "error");
    struct buf out;
    struct slice message = json_get_str(error, "message");
    if (x->cmd.json) {
        buf_init(&out, OUT_MAX);
        if (buf_puts(&out, buf_slice(&a->body)) == OK)
            out_printf(&out, "\n");
        cli_emit_end(&out, EXIT_OK);
    }
    text_copy(x->why, sizeof x->why,
              message.n > 0 ? message : S("the gateway's answer is not understood"));
    return cli_complain(x->why, fail_exit(json_get_str(error, "code")));
}

int answer_show(struct cli *x, const struct verb *v, const struct answer *a)
{
    struct json *doc = NULL;
    struct buf out;
    int code = EXIT_OK;
    buf_init(&out, OUT_MAX);
    if (json_parse(buf_slice(&a->body), &doc) != OK || a->status != 200) {
        code = answer_error(x, a, json_root(doc));
    } else if (x->cmd.json) {
        if (buf_puts(&out, buf_slice(&a->body)) == OK)
            out_printf(&out, "\n");
    } else {
        show_reply(v, json_root(doc), &x->look, &out);
    }
    json_free(doc);
    return cli_emit_end(&out, code);
}

static int run_call(struct cli *x)
{
    struct answer a;
    answer_init(&a);
    int code = cli_call(x, x->cmd.verb, &x->cmd.args, &a);
    cli_close(x); /* nobody waits for the folder while a terminal is slow */
    if (code == EXIT_OK)
        code = answer_show(x, x->cmd.verb, &a);
    answer_free(&a);
    return code;
}

/* ---- requests -f
 * ------------------------------------------------------------------------------------------ */

static void follow_json(const struct json_val *list, struct buf *out)
{
    for (size_t i = 0; i < json_len(list); i++) {
        struct jw w;
        jw_init(&w, out);
        json_copy(&w, json_at(list, i));
        out_printf(out, "\n");
    }
}

static void set_int(struct cli *x, const char *name, int64_t value)
{
    int i = verb_arg_find(x->cmd.verb, slice_of(name));
    assert(i >= 0);
    x->cmd.args.v[i].given = true;
    x->cmd.args.v[i].number = value;
}

/* Prints what a poll brought; false when nobody reads it any more. Moves *last on. */
static bool follow_print(struct cli *x, const struct json_val *root, bool first, int64_t *last)
{
    const struct json_val *list = json_get(root, "requests");
    struct buf out;
    buf_init(&out, OUT_MAX);
    if (x->cmd.json)
        follow_json(list, &out);
    else if (first || json_len(list) > 0)
        show_requests(root, &x->look, first, &out);
    for (size_t i = 0; i < json_len(list); i++)
        *last = json_get_i64(json_at(list, i), "row", *last);
    bool good = cli_emit(&out);
    buf_free(&out);
    return good;
}

static int follow_poll(struct cli *x, const char *path, bool first, int64_t *last, bool *over)
{
    struct answer a;
    struct json *doc = NULL;
    int code = EXIT_OK;
    answer_init(&a);
    enum err e = local_call(path, x->cmd.verb, &x->cmd.args, &a.status, &a.body, x->why,
                            sizeof x->why);
    *over = true;
    if (e == ERR_NOTFOUND) {
        text_format(x->why, sizeof x->why, "no gateway is running in %s: nothing to follow%s",
                    x->config->state_dir, first ? "" : " any more");
        code = cli_complain(x->why, EXIT_UNREACHABLE);
    } else if (e != OK) {
        code = cli_complain(x->why, local_exit(e));
    } else if (json_parse(buf_slice(&a.body), &doc) != OK || a.status != 200) {
        code = answer_error(x, &a, json_root(doc));
    } else {
        *over = !follow_print(x, json_root(doc), first, last);
    }
    json_free(doc);
    answer_free(&a);
    return code;
}

static int run_follow(struct cli *x)
{
    char path[1200];
    int64_t last = 0;
    bool over = false;
    int limit = verb_arg_find(x->cmd.verb, S("limit"));
    socket_path(x, path, sizeof path);
    if (!x->cmd.args.v[limit].given)
        set_int(x, "limit", FOLLOW_ROWS);
    x->look.steady = true;
    int code = follow_poll(x, path, true, &last, &over);
    while (!over) {
        poll(NULL, 0, FOLLOW_MS);
        set_int(x, "after", last);
        set_int(x, "limit", 1000);
        code = follow_poll(x, path, false, &last, &over);
    }
    return code;
}

/* ---- verbs of the CLI alone
 * ------------------------------------------------------------------------------- */

static int run_version(const struct cli *x)
{
    struct buf out;
    buf_init(&out, OUT_MAX);
    if (x->cmd.json)
        out_printf(&out, "{\"schema\":1,\"name\":\"sluice\",\"version\":\"%s\"}\n", SLUICE_VERSION);
    else
        out_printf(&out, "sluice %s\n", SLUICE_VERSION);
    return cli_emit_end(&out, EXIT_OK);
}

static int run_config_check(const struct cli *x)
{
    struct buf out;
    buf_init(&out, OUT_MAX);
    if (x->cmd.json)
        out_printf(&out, "{\"schema\":1,\"options\":");
    enum err e = config_dump(x->config, x->cmd.json, &out);
    if (x->cmd.json)
        out_printf(&out, "}\n");
    return cli_emit_end(&out, e == OK ? EXIT_OK : EXIT_FAIL);
}

static int run_serve(const struct cli *x)
{
    int demo = verb_arg_find(x->cmd.verb, S("demo"));
    int takeover = verb_arg_find(x->cmd.verb, S("takeover"));
    assert(demo >= 0 && takeover >= 0);
    enum serve_how how = x->cmd.args.v[demo].flag ? SERVE_DEMO : SERVE_PLAIN;
    if (x->cmd.args.v[takeover].flag) {
        if (how == SERVE_DEMO)
            return cli_complain("the demo takes nobody's place: give --demo or --takeover",
                                EXIT_USAGE);
        how = SERVE_TAKEOVER;
    }
    return x->hooks->serve(x->config, x->cmd.config_file, x->cmd.flag, x->cmd.flags, how);
}

static int run_help(const struct command *c)
{
    struct buf out;
    buf_init(&out, OUT_MAX);
    if (c->verb != NULL)
        help_verb(c->verb, &out);
    else if (c->words_n == 0 || !help_group(c->words[0], &out))
        help_all(&out);
    return cli_emit_end(&out, EXIT_OK);
}

/* `sluice account`: which of them? */
static int run_group(const struct command *c)
{
    struct buf out;
    buf_init(&out, OUT_MAX);
    help_group(c->words[0], &out);
    fprintf(stderr, "%.*s", (int)out.len, out.p != NULL ? out.p : "");
    buf_free(&out);
    return EXIT_USAGE;
}

/* ---- the whole
 * -------------------------------------------------------------------------------------------- */

static int take_secret(struct cli *x)
{
    struct buf secret;
    int i = x->cmd.secret;
    if (x->cmd.secret_file == NULL)
        return EXIT_OK;
    enum err e = local_secret(x->cmd.secret_file, "Secret", false, &secret, x->why, sizeof x->why);
    if (e == OK)
        e = verb_arg_set(x->cmd.verb, &x->cmd.args, i, buf_slice(&secret), x->why, sizeof x->why);
    if (secret.p != NULL)
        crypto_wipe(secret.p, secret.cap);
    buf_free(&secret);
    if (e == OK)
        return EXIT_OK;
    return cli_complain(x->why, e == ERR_NOTFOUND   ? EXIT_FAIL
                                : e == ERR_CANCELED ? EXIT_INTERRUPTED
                                                    : EXIT_USAGE);
}

static int run_verb(struct cli *x)
{
    const char *name = x->cmd.verb->name;
    if (strcmp(name, "serve") == 0)
        return run_serve(x);
    if (strcmp(name, "config check") == 0)
        return run_config_check(x);
    if (strcmp(name, "upgrade") == 0)
        return run_upgrade(x);
    if (strcmp(name, "account login") == 0)
        return run_login(x);
    if (strcmp(name, "restore") == 0)
        return run_restore(x);
    if (strcmp(name, "backup") == 0)
        return run_backup(x);
    int code = take_secret(x);
    if (code != EXIT_OK)
        return code;
    int follow = verb_arg_find(x->cmd.verb, S("follow"));
    return follow >= 0 && x->cmd.args.v[follow].flag ? run_follow(x) : run_call(x);
}

static int usage_error(const struct cli *x)
{
    const struct verb *v = x->cmd.verb;
    cli_complain(x->why, EXIT_USAGE);
    fprintf(stderr, "`sluice %s%s--help` tells more.\n",
            v != NULL ? v->name : (x->cmd.words_n > 0 ? x->cmd.words[0] : ""),
            v != NULL || x->cmd.words_n > 0 ? " " : "");
    return EXIT_USAGE;
}

static int cli_run(struct cli *x)
{
    struct config_error ce;
    const struct command *c = &x->cmd;
    if (c->help || (c->verb == NULL && c->words_n == 0))
        return run_help(c);
    if (c->verb == NULL)
        return run_group(c);
    if (strcmp(c->verb->name, "help") == 0)
        return run_help(c);
    if (strcmp(c->verb->name, "version") == 0)
        return run_version(x);
    if (config_load(c->config_file, c->flag, c->flags, &x->config, &ce) != OK)
        return cli_complain(ce.text, EXIT_CONFIG);
    return run_verb(x);
}

int cli_main(int argc, char **argv, const struct cli_hooks *hooks)
{
    struct cli *x = NEW(struct cli);
    x->hooks = hooks;
    x->look = look_find();
    int code = command_parse(&x->cmd, argc, argv, x->why, sizeof x->why) == OK ? cli_run(x)
                                                                               : usage_error(x);
    cli_close(x);
    config_free(x->config);
    command_free(&x->cmd);
    mem_free(x);
    return code;
}
