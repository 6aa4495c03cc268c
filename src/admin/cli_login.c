/* `account login` as a person sees it: a page's address, a wait, an answer, and what came of it.
 * Two calls of the same service: the page, and the answer. */
#include "admin/cli.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct verb *verb_called(const char *name)
{
    const struct verb *v = NULL;
    for (int i = 0; (v = verb_at(i)) != NULL; i++)
        if (strcmp(v->name, name) == 0)
            break;
    assert(v != NULL);
    return v;
}

static void arg_put(const struct verb *v, struct verb_args *args, struct slice name,
                    struct slice text)
{
    char why[ADMIN_WHY_MAX];
    int i = verb_arg_find(v, name);
    assert(i >= 0);
    enum err e = verb_arg_set(v, args, i, text, why, sizeof why);
    assert(e == OK); /* it has passed once, or is bounded by whoever read it */
}

static const char *name_of(const struct cli *x)
{
    return x->cmd.args.v[verb_arg_find(x->cmd.verb, S("name"))].text;
}

/* With --json standard output is for the one object at the end: the page goes to the side. */
static int page_show(struct cli *x, const struct answer *a)
{
    struct json *doc = NULL;
    struct buf out;
    if (!x->cmd.json || a->status != 200)
        return answer_show(x, x->cmd.verb, a);
    buf_init(&out, OUT_MAX);
    if (json_parse(buf_slice(&a->body), &doc) == OK)
        show_reply(x->cmd.verb, json_root(doc), &x->look, &out);
    json_free(doc);
    fprintf(stderr, "%.*s", (int)out.len, out.p != NULL ? out.p : "");
    buf_free(&out);
    return EXIT_OK;
}

/* Only begun: whoever has a running gateway may bring the answer later. */
static int begin_show(struct cli *x, const struct answer *a)
{
    if (a->status == 200 && x->admin != NULL) {
        cli_close(x);
        return cli_complain("--begin needs a running gateway, which keeps the login until its "
                            "answer comes",
                            EXIT_UNREACHABLE);
    }
    int code = answer_show(x, x->cmd.verb, a);
    if (code == EXIT_OK && !x->cmd.json)
        printf("then: sluice account callback %s --answer-file -\n", name_of(x));
    return code;
}

static int answer_read(struct cli *x, struct buf *answer)
{
    const char *file = x->cmd.secret_file != NULL ? x->cmd.secret_file : "-";
    fflush(stdout);
    enum err e = local_secret(file, "Paste what the page shows at its end", true, answer, x->why,
                              sizeof x->why);
    if (e == OK)
        return EXIT_OK;
    return cli_complain(x->why, e == ERR_NOTFOUND   ? EXIT_FAIL
                                : e == ERR_CANCELED ? EXIT_INTERRUPTED
                                                    : EXIT_USAGE);
}

static int answer_bring(struct cli *x, struct slice text)
{
    const struct verb *v = verb_called("account callback");
    struct verb_args args = {0};
    struct answer a;
    answer_init(&a);
    arg_put(v, &args, S("name"), slice_of(name_of(x)));
    arg_put(v, &args, S("answer"), text);
    int code = cli_call(x, v, &args, &a);
    verb_args_free(v, &args);
    cli_close(x);
    if (code == EXIT_OK)
        code = answer_show(x, v, &a);
    answer_free(&a);
    return code;
}

int run_login(struct cli *x)
{
    const struct verb *v = x->cmd.verb;
    struct verb_args args = {0};
    struct answer a;
    struct buf answer;
    bool begin = x->cmd.args.v[verb_arg_find(v, S("begin"))].flag;
    answer_init(&a);
    buf_init(&answer, STORE_SECRET_MAX);
    arg_put(v, &args, S("name"), slice_of(name_of(x)));
    int code = cli_call(x, v, &args, &a);
    verb_args_free(v, &args);
    bool good = code == EXIT_OK && a.status == 200;
    if (code == EXIT_OK)
        code = begin ? begin_show(x, &a) : page_show(x, &a);
    if (good && code == EXIT_OK && !begin)
        code = answer_read(x, &answer);
    if (good && code == EXIT_OK && !begin)
        code = answer_bring(x, buf_slice(&answer));
    if (answer.p != NULL)
        crypto_wipe(answer.p, answer.cap);
    buf_free(&answer);
    answer_free(&a);
    return code;
}
