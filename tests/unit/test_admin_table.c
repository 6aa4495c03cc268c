/* The table of verbs and what walks it: command lines, HTTP requests, help, drawing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "admin/inside.h"

#define N(a) (sizeof(a) / sizeof *(a))

/* ---- the table itself
 * --------------------------------------------------------------------------- */

static void each_verb_is_whole(void **state)
{
    const struct verb *v, *w;
    (void)state;
    for (int i = 0; (v = verb_at(i)) != NULL; i++) {
        char begins[80];
        assert_non_null(v->help);
        assert_non_null(v->example);
        text_format(begins, sizeof begins, "sluice %s", v->name);
        assert_true(slice_search(slice_of(v->example), slice_of(begins)) >= 0);
        assert_int_equal(v->path == NULL, v->handler == NULL);
        for (int k = 0; k < i; k++) {
            w = verb_at(k);
            assert_string_not_equal(v->name, w->name);
            if (v->path != NULL && w->path != NULL && v->method == w->method)
                assert_string_not_equal(v->path, w->path);
        }
    }
    assert_null(verb_at(-1));
}

static void each_argument_is_whole(void **state)
{
    const struct verb *v;
    (void)state;
    for (int i = 0; (v = verb_at(i)) != NULL; i++) {
        bool optional = false;
        for (int k = 0; k < verb_args_n(v); k++) {
            const struct arg_spec *s = &v->arg[k];
            assert_non_null(s->help);
            assert_int_equal(s->type == ARG_BOOL, s->value == NULL);
            assert_int_equal(verb_arg_find(v, slice_of(s->name)), k);
            /* a positional one behind an optional one could not be told from it */
            assert_false(s->positional && optional);
            optional = optional || (s->positional && !s->required);
        }
    }
}

/* Each {x} of a path is a required positional argument. */
static void each_path_can_be_filled(void **state)
{
    const struct verb *v;
    int places = 0;
    (void)state;
    for (int i = 0; (v = verb_at(i)) != NULL; i++) {
        const char *p = v->path;
        while (p != NULL && (p = strchr(p, '{')) != NULL) {
            const char *end = strchr(p, '}');
            assert_non_null(end);
            int k = verb_arg_find(v, (struct slice){p + 1, (size_t)(end - p - 1)});
            assert_true(k >= 0 && v->arg[k].positional && v->arg[k].required);
            places++;
            p = end;
        }
    }
    assert_true(places >= 6);
}

static bool has(const struct buf *b, const char *text)
{
    return slice_search(buf_slice(b), slice_of(text)) >= 0;
}

static void help_names_every_flag(void **state)
{
    const struct verb *v;
    struct buf all;
    (void)state;
    buf_init(&all, 1 << 20);
    help_all(&all);
    for (int i = 0; (v = verb_at(i)) != NULL; i++) {
        struct buf b;
        struct slice rest, line;
        buf_init(&b, 1 << 20);
        help_verb(v, &b);
        assert_true(has(&all, v->name));
        assert_true(has(&b, v->help) && has(&b, "usage: sluice "));
        if (strcmp(v->name, "help") != 0)
            assert_true(has(&b, "--state-dir DIR") && has(&b, "--json"));
        for (int k = 0; k < verb_args_n(v); k++) {
            char flag[64];
            verb_arg_flag(&v->arg[k], flag, sizeof flag);
            assert_true(has(&b, v->arg[k].positional ? v->arg[k].value : flag));
        }
        rest = buf_slice(&b);
        while (slice_cut(&rest, '\n', &line))
            if (!verb_takes_options(v))
                assert_in_range(line.n, 0, 80);
        buf_free(&b);
    }
    buf_clear(&all);
    assert_true(help_group("account", &all) && has(&all, "account add NAME"));
    assert_false(has(&all, "key add"));
    assert_false(help_group("serve", &all));
    buf_free(&all);
}

static void failures_have_words_and_codes(void **state)
{
    (void)state;
    assert_int_equal(fail_exit(S("usage")), 2);
    assert_int_equal(fail_exit(S("no_daemon")), 3);
    assert_int_equal(fail_exit(S("not_found")), 5);
    assert_int_equal(fail_exit(S("conflict")), 6);
    assert_int_equal(fail_exit(S("denied")), 77);
    assert_int_equal(fail_exit(S("bad_config")), 78);
    assert_int_equal(fail_exit(S("something else")), 1);
    for (int f = 0; f < FAIL_COUNT; f++) {
        assert_in_range(fail_status((enum fail)f), 400, 599);
        assert_true(strlen(fail_code((enum fail)f)) > 2);
    }
}

/* ---- command lines
 * ------------------------------------------------------------------------------ */

#define WORDS_MAX 16

static int split(char *line, char **argv)
{
    int n = 0;
    argv[n++] = (char *)(uintptr_t) "sluice";
    for (char *p = line; *p != '\0';) {
        argv[n++] = p;
        p += strcspn(p, " ");
        if (*p == ' ')
            *p++ = '\0';
    }
    assert_true(n < WORDS_MAX);
    return n;
}

static enum err parse(const char *text, char *line, size_t size, struct command *c, char *why,
                      size_t why_size)
{
    char *argv[WORDS_MAX];
    text_copy(line, size, slice_of(text));
    int argc = split(line, argv);
    return command_parse(c, argc, argv, why, why_size);
}

static void good_lines(void **state)
{
    static const struct {
        const char *line, *verb, *arg, *value; /* one argument of interest */
    } CASES[] = {
        {"account list", "account list", NULL, NULL},
        {"account show a", "account show", "name", "a"},
        {"--state-dir /x account show a", "account show", "name", "a"},
        {"account --json show a", "account show", "name", "a"},
        {"account show --state-dir=/x a --json", "account show", "name", "a"},
        {"account show -- --json", "account show", "name", "--json"},
        {"account rename a b", "account rename", "new_name", "b"},
        {"account add a --provider p --secret-file -", "account add", "provider", "p"},
        {"account add --provider=p --secret-file=f a", "account add", "name", "a"},
        {"account set a --base-url=", "account set", "base_url", ""},
        {"requests --account x --limit 7", "requests", "account", "x"},
        {"requests show some-id", "requests show", "id", "some-id"},
        {"requests --json show some-id", "requests show", "id", "some-id"},
        {"help requests show", "requests show", NULL, NULL},
        {"group set g --route a=b --route c=d", "group set", "route", "a=b,c=d"},
        {"account set a --group x --group=y,z", "account set", "group", "x,y,z"},
        {"account set a --pause-on-overage off", "account set", "pause_on_overage", "off"},
        {"account login a --answer-file f", "account login", "name", "a"},
        {"serve --demo --listen 127.0.0.1:1 --listen 127.0.0.1:2", "serve", NULL, NULL},
        {"serve --pass-ratelimit-headers --config f", "serve", NULL, NULL},
        {"config check --max-body 1m", "config check", NULL, NULL},
        {"version", "version", NULL, NULL},
        {"--version", "version", NULL, NULL},
        {"account add --help", "account add", NULL, NULL},
        {"help account add", "account add", NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < N(CASES); i++) {
        struct command c;
        char line[256], why[ADMIN_WHY_MAX];
        enum err e = parse(CASES[i].line, line, sizeof line, &c, why, sizeof why);
        if (e != OK)
            fail_msg("%s: %s", CASES[i].line, why);
        assert_string_equal(c.verb->name, CASES[i].verb);
        if (CASES[i].arg != NULL) {
            int k = verb_arg_find(c.verb, slice_of(CASES[i].arg));
            assert_true(k >= 0 && c.args.v[k].given);
            assert_string_equal(c.args.v[k].text, CASES[i].value);
        }
        command_free(&c);
    }
}

static void details_of_lines(void **state)
{
    struct command c;
    char line[256], why[ADMIN_WHY_MAX];
    (void)state;
    assert_int_equal(parse("serve --demo --listen 127.0.0.1:1 --listen=127.0.0.1:2 --config f "
                           "--allow-public-listen --state-dir d",
                           line, sizeof line, &c, why, sizeof why),
                     OK);
    assert_true(c.args.v[verb_arg_find(c.verb, S("demo"))].flag);
    assert_string_equal(c.config_file, "f");
    assert_int_equal(c.flags, 4);
    assert_string_equal(c.flag[0].name, "listen");
    assert_string_equal(c.flag[1].value, "127.0.0.1:2");
    assert_string_equal(c.flag[2].name, "allow-public-listen");
    assert_string_equal(c.flag[2].value, "true");
    assert_string_equal(c.flag[3].name, "state-dir");
    command_free(&c);
    assert_int_equal(parse("requests -f --limit -3 --json", line, sizeof line, &c, why, sizeof why),
                     OK);
    assert_true(c.json && c.args.v[verb_arg_find(c.verb, S("follow"))].flag);
    assert_int_equal(c.args.v[verb_arg_find(c.verb, S("limit"))].number, -3);
    command_free(&c);
    assert_int_equal(
        parse("account add x --provider p --secret-file f", line, sizeof line, &c, why, sizeof why),
        OK);
    assert_string_equal(c.secret_file, "f");
    assert_false(c.args.v[verb_arg_find(c.verb, S("secret"))].given);
    command_free(&c);
    assert_int_equal(parse("account", line, sizeof line, &c, why, sizeof why), OK);
    assert_null(c.verb);
    assert_int_equal(c.words_n, 1);
    command_free(&c);
    assert_int_equal(parse("", line, sizeof line, &c, why, sizeof why), OK);
    assert_true(c.verb == NULL && c.words_n == 0);
}

static void bad_lines(void **state)
{
    static const struct {
        const char *line, *why; /* a part of the sentence */
    } CASES[] = {
        {"nonsense", "no command `nonsense`"},
        {"acount", "did you mean `account`?"},
        {"account lst", "did you mean `account list`?"},
        {"account nonsense", "no command `account nonsense`"},
        {"account show", "NAME is missing"},
        {"account show a b", "`b` is one word too many"},
        {"account rename a", "NEW is missing"},
        {"account add a --secret-file -", "--provider KIND is missing"},
        {"account add a --provider p --secret-file f --token-file g",
         "either --secret-file or --token-file"},
        {"account add a --provider p --provider q --secret-file f", "`provider` is given twice"},
        {"account add a --provider p --secret-file f --secret-file g", "given twice"},
        {"account add a --provder p", "did you mean --provider?"},
        {"account add a --provider", "--provider needs a value"},
        {"account add a --priority x", "whole number, not `x`"},
        {"account add a --secret s", "--secret-file"},
        {"account add a --api-key s", "seen by every user"},
        {"account set a --token s", "--secret-file"},
        {"account list --key s", "no flag --key"},
        {"account list --json=yes", "--json takes no value"},
        {"account list --jsn", "did you mean --json?"},
        {"account list --listen x", "no flag --listen"},
        {"account list --state-dir", "--state-dir needs a value"},
        {"serve --lisen x", "did you mean --listen?"},
        {"serve --no_such", "no flag --no_such"},
        {"serve now", "`now` is one word too many"},
        {"--listen x serve", "put the command first"},
        {"requests -x", "no flag -x for `sluice requests`"},
        {"requests -ff", "no flag -ff"},
        {"requests --follow=perhaps", "either true or false"},
        {"requests --limit 3 show x", "`show` is one word too many"},
        {"requests shw", "`shw` is one word too many"},
        {"group set g --affinity perhaps", "either on or off"},
        {"account callback a", "--answer-file FILE is missing"},
        {"account import a --token x", "use --token-file FILE"},
        {"route explain", "--model M is missing"},
        {"help nonsense", "no command `nonsense`"},
        {"key add a b", "one word too many"},
    };
    (void)state;
    for (size_t i = 0; i < N(CASES); i++) {
        struct command c;
        char line[256], why[ADMIN_WHY_MAX];
        enum err e = parse(CASES[i].line, line, sizeof line, &c, why, sizeof why);
        if (e == OK || strstr(why, CASES[i].why) == NULL)
            fail_msg("%s: %d %s", CASES[i].line, (int)e, why);
        command_free(&c);
    }
}

static void too_many_options(void **state)
{
    char *argv[2 + 2 * COMMAND_FLAGS_MAX + 2];
    struct command c;
    char why[ADMIN_WHY_MAX];
    int n = 0;
    (void)state;
    argv[n++] = (char *)(uintptr_t) "sluice";
    argv[n++] = (char *)(uintptr_t) "serve";
    for (int i = 0; i <= COMMAND_FLAGS_MAX; i++) {
        argv[n++] = (char *)(uintptr_t) "--listen";
        argv[n++] = (char *)(uintptr_t) "127.0.0.1:0";
    }
    assert_int_equal(command_parse(&c, n, argv, why, sizeof why), ERR_SYNTAX);
    assert_string_equal(why, "too many options");
    command_free(&c);
}

/* ---- requests over the socket
 * ------------------------------------------------------------------- */

static void fill(const struct verb *v, struct verb_args *a, const char *text)
{
    char why[ADMIN_WHY_MAX];
    for (int k = 0; k < verb_args_n(v); k++) {
        const char *s = v->arg[k].type == ARG_INT      ? "-12"
                        : v->arg[k].type == ARG_BOOL   ? "false"
                        : v->arg[k].type == ARG_SWITCH ? "off"
                                                       : text;
        assert_int_equal(verb_arg_set(v, a, k, slice_of(s), why, sizeof why), OK);
    }
}

/* What the CLI asks over the socket is what the API understands: each verb, with all its arguments,
 * of the most awkward texts. */
static void requests_arrive_as_they_were_meant(void **state)
{
    static const char *const TEXTS[] = {"plain", "a/b c?d&e=f#g%41+", "\"\\\n\t\xc3\xbc", "..",
                                        "{name}"};
    const struct verb *v;
    (void)state;
    for (size_t t = 0; t < N(TEXTS); t++) {
        for (int i = 0; (v = verb_at(i)) != NULL; i++) {
            struct verb_args args = {0}, got;
            struct buf out;
            enum fail f;
            char why[ADMIN_WHY_MAX] = "";
            if (v->path == NULL)
                continue;
            fill(v, &args, TEXTS[t]);
            buf_init(&out, 1 << 20);
            local_request(v, &args, &out);
            struct slice all = buf_slice(&out), line, method, target, query;
            ptrdiff_t end = slice_search(all, S("\r\n\r\n"));
            assert_true(end > 0);
            assert_true(has(&out, "\r\nConnection: close\r\n") && has(&out, "\r\nHost: "));
            struct slice body = slice_sub(all, (size_t)end + 4, all.n);
            slice_cut(&all, '\r', &line);
            slice_cut(&line, ' ', &method);
            slice_cut(&line, ' ', &target);
            assert_true(slice_eq(line, S("HTTP/1.1")));
            assert_true(slice_eq(method, slice_of(http_method_name(v->method))));
            query = target;
            slice_cut(&query, '?', &target);
            const struct verb *w = api_route(v->method, target, query, body, &got, &f, why,
                                             sizeof why);
            if (w != v)
                fail_msg("%s: %s", v->name, why);
            for (int k = 0; k < verb_args_n(v); k++) {
                assert_true(got.v[k].given);
                assert_int_equal(got.v[k].number, args.v[k].number);
                assert_int_equal(got.v[k].flag, args.v[k].flag);
                if (args.v[k].text != NULL)
                    assert_string_equal(got.v[k].text, args.v[k].text);
            }
            verb_args_free(v, &args);
            verb_args_free(v, &got);
            buf_free(&out);
        }
    }
}

static void routes(void **state)
{
    static const struct {
        enum http_method method;
        const char *path, *query, *body, *verb, *why;
    } CASES[] = {
        {HTTP_GET, "/api/accounts", "", "", "account list", NULL},
        {HTTP_GET, "/api/accounts/", "", "", "account list", NULL},
        {HTTP_GET, "/api/accounts/a%20b", "", "", "account show", NULL},
        {HTTP_GET, "/api/requests", "limit=5&account=x&", "", "requests", NULL},
        {HTTP_POST, "/api/keys", "", "{\"name\":\"x\"}", "key add", NULL},
        {HTTP_POST, "/api/keys", "name=x", "", "key add", NULL},
        {HTTP_POST, "/api/reload", "", "{}", "reload", NULL},
        {HTTP_PATCH, "/api/accounts/x", "", "{\"priority\":2,\"weight\":null}", "account set",
         NULL},
        {HTTP_GET, "/api/requests/abc", "", "", "requests show", NULL},
        {HTTP_POST, "/api/accounts/x/login", "", "", "account login", NULL},
        {HTTP_POST, "/api/accounts/x/login/callback", "", "{\"answer\":\"a#b\"}",
         "account callback", NULL},
        {HTTP_PUT, "/api/groups/x", "", "{\"affinity\":false,\"route\":[\"a=b\",\"c=d\"]}",
         "group set", NULL},
        {HTTP_PUT, "/api/groups/x", "", "{\"affinity\":\"on\",\"route\":\"a=b\"}", "group set",
         NULL},
        {HTTP_PUT, "/api/groups/x", "", "{\"affinity\":7}", NULL, "`affinity` must be true, false"},
        {HTTP_PUT, "/api/groups/x", "", "{\"affinity\":\"x\"}", NULL, "either on or off"},
        {HTTP_PUT, "/api/groups/x", "", "{\"route\":[7]}", NULL, "array of strings"},
        {HTTP_PUT, "/api/groups/x", "", "{\"strategy\":[\"x\"]}", NULL, "must be a string"},
        {HTTP_GET, "/api/route/explain", "model=x", "", "route explain", NULL},
        {HTTP_GET, "/", "", "", NULL, "no such path"},
        {HTTP_GET, "/api", "", "", NULL, "no such path"},
        {HTTP_GET, "/api/accounts//", "", "", NULL, "no such path"},
        {HTTP_GET, "/api/accounts/x/y", "", "", NULL, "no such path"},
        {HTTP_PUT, "/api/accounts", "", "", NULL, "no such method"},
        {HTTP_GET, "/api/accounts/%4", "", "", NULL, "in the path is broken"},
        {HTTP_GET, "/api/accounts/%zz", "", "", NULL, "in the path is broken"},
        {HTTP_GET, "/api/accounts/%00", "", "", NULL, "NUL"},
        {HTTP_GET, "/api/requests", "limit=x", "", NULL, "whole number"},
        {HTTP_GET, "/api/requests", "limit=1&limit=2", "", NULL, "given twice"},
        {HTTP_GET, "/api/requests", "nope=1", "", NULL, "unknown parameter `nope`"},
        {HTTP_GET, "/api/requests", "account=%G1", "", NULL, "broken"},
        {HTTP_POST, "/api/keys", "", "", NULL, "NAME is missing"},
        {HTTP_POST, "/api/keys", "", "{\"name\":null}", NULL, "NAME is missing"},
        {HTTP_POST, "/api/keys", "", "{\"name\":7}", NULL, "`name` must be a string"},
        {HTTP_POST, "/api/keys", "", "{\"name\":\"a\\u0000b\"}", NULL, "NUL"},
        {HTTP_POST, "/api/keys", "name=x", "{\"name\":\"x\"}", NULL, "given twice"},
        {HTTP_POST, "/api/keys", "", "{\"name\":\"x\",\"y\":1}", NULL, "unknown member `y`"},
        {HTTP_POST, "/api/keys", "", "[]", NULL, "one JSON object"},
        {HTTP_POST, "/api/keys", "", "{\"name\":", NULL, "one JSON object"},
        {HTTP_PATCH, "/api/accounts/x", "", "{\"priority\":1.5}", NULL, "whole number"},
        {HTTP_PATCH, "/api/accounts/x", "", "{\"name\":\"y\"}", NULL, "given twice"},
        {HTTP_POST, "/api/accounts", "", "{\"name\":\"x\",\"provider\":\"y\"}", "account add",
         NULL},
    };
    (void)state;
    for (size_t i = 0; i < N(CASES); i++) {
        struct verb_args args;
        enum fail f;
        char why[ADMIN_WHY_MAX] = "";
        const struct verb *v = api_route(CASES[i].method, slice_of(CASES[i].path),
                                         slice_of(CASES[i].query), slice_of(CASES[i].body), &args,
                                         &f, why, sizeof why);
        if (CASES[i].verb != NULL) {
            if (v == NULL)
                fail_msg("%s: %s", CASES[i].path, why);
            assert_string_equal(v->name, CASES[i].verb);
            verb_args_free(v, &args);
        } else if (v != NULL || strstr(why, CASES[i].why) == NULL) {
            fail_msg("%s?%s %s: %s", CASES[i].path, CASES[i].query, CASES[i].body, why);
        }
    }
}

static void long_arguments_are_refused(void **state)
{
    const struct verb *v = NULL;
    char why[ADMIN_WHY_MAX];
    (void)state;
    for (int i = 0; verb_at(i) != NULL; i++)
        if (strcmp(verb_at(i)->name, "account add") == 0)
            v = verb_at(i);
    if (v == NULL)
        fail_msg("no account add");
    for (int k = 0; v != NULL && k < verb_args_n(v); k++) {
        struct verb_args a = {0};
        char *text = mem_new(STORE_SECRET_MAX + 2);
        size_t max = v->arg[k].type == ARG_SECRET ? STORE_SECRET_MAX : ADMIN_TEXT_MAX;
        memset(text, 'x', STORE_SECRET_MAX + 1);
        if (v->arg[k].type == ARG_STRING || v->arg[k].type == ARG_SECRET) {
            assert_int_equal(verb_arg_set(v, &a, k, (struct slice){text, max + 1}, why, sizeof why),
                             ERR_SYNTAX);
            assert_false(a.v[k].given);
            assert_int_equal(verb_arg_set(v, &a, k, (struct slice){text, max}, why, sizeof why),
                             OK);
        }
        verb_args_free(v, &a);
        mem_free(text);
    }
}

/* ---- drawing
 * ------------------------------------------------------------------------------------ */

static void tables(void **state)
{
    static const struct column C[] = {{.title = "NAME"},
                                      {.title = "N", .right = true, .least = 3, .rank = 1},
                                      {.title = "STATE", .mood = true, .rank = 2}};
    struct table t;
    struct buf out;
    (void)state;
    table_init(&t, C, 3);
    table_cell(&t, S("\xc3\xbc\x1b[31m"));
    table_cellf(&t, "%d", 7);
    table_cell(&t, S("login"));
    table_cell(&t, S("longer-name"));
    table_cellf(&t, "%d", 12345);
    table_cell(&t, S(""));
    buf_init(&out, 1 << 16);
    table_print(&t, &(struct look){0}, true, &out);
    char *text = buf_take(&out);
    assert_string_equal(text, "NAME             N  STATE\n"
                              "\xc3\xbc?[31m           7  login\n"
                              "longer-name  12345  -\n");
    mem_free(text);
    table_print(&t, &(struct look){.width = 20}, false, &out);
    text = buf_take(&out);
    assert_string_equal(text, "\xc3\xbc?[31m           7\nlonger-name  12345\n");
    mem_free(text);
    table_print(&t, &(struct look){.width = 5, .colour = true}, true, &out);
    text = buf_take(&out);
    assert_string_equal(text, "\033[1mNAME\033[0m\n\xc3\xbc?[31m\nlonger-name\n");
    mem_free(text);
    table_print(&t, &(struct look){.colour = true}, false, &out);
    assert_true(has(&out, "\033[31mlogin\033[0m\n"));
    buf_free(&out);
    table_free(&t);
}

static void text_is_made_harmless(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, 4096);
    out_safe(&out, S("a\x1b]0;x\x07\r\n\x7f\xc2\x9b\xff\xc3(\xe2\x82\xac"));
    char *text = buf_take(&out);
    assert_string_equal(text, "a?]0;x?????\?\?(\xe2\x82\xac");
    mem_free(text);
}

/* Each verb with a handler is drawn, from an empty reply and from a hostile one, without a control
 * character getting through. */
static void every_reply_is_drawn(void **state)
{
    static const char *const REPLIES[] = {
        "{}", "[]", "{\"name\":7,\"accounts\":{},\"requests\":[1,null],\"keys\":\"x\"}",
        "{\"name\":\"a\\u001b[2J\",\"state\":\"\\u009b\",\"reason\":\"\\u0007\",\"message\":"
        "\"\\u001b"
        "\",\"base_url\":\"\\u001b\",\"key\":\"\\u001b\",\"version\":\"\\u001b\",\"daemon\":true,"
        "\"state_dir\":\"\\u001b\",\"listen\":[\"\\u001b\"],\"store\":{\"last_error\":\"\\u001b\"},"
        "\"accounts\":[{\"name\":\"\\u001b\",\"reason\":\"\\u001b\"}],\"keys\":[{\"name\":\"\\u001b"
        "\",\"created_at\":\"\\u001b2345678901234567890\"}],\"requests\":[{\"model_asked\":"
        "\"\\u001b\",\"at\":\"\\u001b2345678901234567890\"}]}",
        "{\"windows\":[7,{\"name\":\"\\u001b\",\"family\":\"\\u001b\",\"used\":\"x\",\"resets_at\":"
        "\"\\u001b2345678901234567890\"},{\"used\":1e300}],\"resting_families\":[{\"family\":"
        "\"\\u001b\",\"reason\":\"\\u001b\"},null],\"accounts\":[{\"windows\":[{\"name\":\"5h\","
        "\"used\":1e300}]},{\"windows\":7}]}"};
    const struct verb *v;
    (void)state;
    for (size_t r = 0; r < N(REPLIES); r++) {
        struct json *doc;
        assert_int_equal(json_parse(slice_of(REPLIES[r]), &doc), OK);
        for (int i = 0; (v = verb_at(i)) != NULL; i++) {
            struct buf out;
            if (v->handler == NULL)
                continue;
            buf_init(&out, 1 << 20);
            show_reply(v, json_root(doc), &(struct look){.width = 80}, &out);
            assert_true(out.len > 0);
            for (size_t k = 0; k < out.len; k++)
                if ((unsigned char)out.p[k] < ' ' && out.p[k] != '\n')
                    fail_msg("%s lets %d through", v->name, out.p[k]);
            buf_free(&out);
        }
        json_free(doc);
    }
}

static const struct verb *verb_called(const char *name)
{
    const struct verb *v = NULL;
    for (int i = 0; (v = verb_at(i)) != NULL && strcmp(v->name, name) != 0; i++)
        ;
    assert_non_null(v);
    return v;
}

static void windows_are_shown(void **state)
{
    static const char account[] =
        "{\"name\":\"work\",\"state\":\"spent\",\"reason\":\"session_limit\",\"until_in_seconds\":"
        "7980,"
        "\"windows\":[{\"name\":\"5h\",\"used\":1.01,\"closed\":true,\"started_at\":"
        "\"2026-11-21T07:13:00.000Z\",\"resets_at\":\"2026-11-21T12:13:00.000Z\",\"resets_in_"
        "seconds\":"
        "7980,\"burn_per_hour\":0.363},{\"name\":\"7d\",\"used\":0.42,\"closed\":false,"
        "\"resets_in_seconds\":null,\"burn_per_hour\":null},{\"name\":\"7d_model\",\"family\":"
        "\"opus\","
        "\"used\":null}],\"resting_families\":[{\"family\":\"fable\",\"reason\":\"model_limit\","
        "\"until_in_seconds\":3600}]}";
    char list[1024];
    struct json *doc;
    struct buf out;
    (void)state;
    buf_init(&out, 65536);
    assert_int_equal(json_parse(slice_of(account), &doc), OK);
    show_reply(verb_called("account show"), json_root(doc), &(struct look){0}, &out);
    assert_true(has(&out, "spent: session_limit, 2h13m") && has(&out, "account reset-limit work"));
    assert_true(has(&out, "101 %, closed") && has(&out, "11-21 12:13:00") && has(&out, "36 %"));
    assert_true(has(&out, "7d_model opus") && has(&out, "fable models only: model_limit, 1h00m"));
    json_free(doc);
    buf_clear(&out);
    text_format(list, sizeof list, "{\"accounts\":[%s]}", account);
    assert_int_equal(json_parse(slice_of(list), &doc), OK);
    show_reply(verb_called("account list"), json_root(doc), &(struct look){0}, &out);
    assert_true(has(&out, "101 %, 2h13m") && has(&out, "42 %  "));
    json_free(doc);
    buf_free(&out);
}

/* Draws the reply of a verb; all of `wanted`, which ends with NULL, is in it. */
static void drawn(const char *verb, const char *reply, bool colour, const char *const *wanted)
{
    struct json *doc;
    struct buf out;
    buf_init(&out, 65536);
    assert_int_equal(json_parse(slice_of(reply), &doc), OK);
    show_reply(verb_called(verb), json_root(doc), &(struct look){.colour = colour}, &out);
    for (int i = 0; wanted[i] != NULL; i++)
        if (!has(&out, wanted[i]))
            fail_msg("%s: no `%s` in:\n%.*s", verb, wanted[i], (int)out.len, out.p);
    json_free(doc);
    buf_free(&out);
}

static void groups_and_choices_are_shown(void **state)
{
    (void)state;
    drawn("account list",
          "{\"accounts\":[{\"name\":\"a\",\"state\":\"full\",\"reason\":\"concurrency\",\"groups\":"
          "[\"x\",\"y\"]},{\"name\":\"b\",\"state\":\"ready\",\"groups\":[\"default\"]}]}",
          true, (const char *const[]){"GROUPS", "x, y", "\033[33mfull", "concurrency", NULL});
    drawn("account show",
          "{\"name\":\"a\",\"state\":\"full\",\"groups\":[\"x\",\"y\"],\"concurrency\":3,\"pause_"
          "at\":"
          "90,\"pause_on_overage\":true,\"peak_hours\":\"14:00-18:00\",\"quota\":\"org\"}",
          false,
          (const char *const[]){"groups      x, y", "3 requests at a time", "at 90 %",
                                "beyond the plan", "14:00-18:00", "org", "--concurrency N", NULL});
    drawn("route explain",
          "{\"model\":\"m\",\"asked_group\":\"team\",\"group\":\"x\",\"session\":\"00ff\",\"warm_"
          "at\":"
          "\"a\",\"warm_tokens\":9000,\"account\":\"b\",\"worth_waiting_for\":\"a\",\"accounts\":[{"
          "\"account\":\"b\",\"why_text\":\"it is first\",\"state\":\"ready\"},{\"account\":\"a\","
          "\"state\":\"cooling\",\"reason\":\"rate_limited\",\"until_in_seconds\":250,\"why_text\":"
          "\"it rests\"}]}",
          false,
          (const char *const[]){"team, which leads to x", "warm on a (9000 tokens)",
                                "a short while for a", "goes to     b: it is first",
                                "rate_limited, 4m10s", NULL});
    drawn("route explain", "{\"soonest\":\"2026-11-21T12:00:00Z\"}", false,
          (const char *const[]){"nobody now; the first one is back at 2026", NULL});
    drawn("group show",
          "{\"name\":\"g\",\"strategy\":\"model\",\"affinity\":true,\"routes\":[{\"prefix\":\"\","
          "\"group\":\"x\"}],\"accounts\":[\"a\",\"b\"],\"keys\":[]}",
          false, (const char *const[]){"others -> x", "a, b", "on: a conversation", NULL});
    drawn("account login", "{\"url\":\"https://x.test/a?b=c\"}", false,
          (const char *const[]){"the right to use this account", "never imitates another client",
                                "\nhttps://x.test/a?b=c\n", NULL});
}

static void requests_fit_a_terminal(void **state)
{
    struct json *doc;
    struct buf out;
    struct slice rest, line;
    (void)state;
    assert_int_equal(
        json_parse(
            S("{\"requests\":[{\"at\":\"2026-08-22T10:15:04.123Z\",\"key\":\"alice\",\"account\":"
              "\"work\",\"model_answered\":\"claude-sonnet-4-6-20260217\",\"status\":200,\"end\":"
              "\"complete\",\"attempts_total\":1,\"ttfb_ms\":812,\"duration_ms\":61500,\"input\":"
              "12345,\"output\":1234567,\"cost_usd\":0.0123},{\"at\":\"2026-08-22T10:15:04.123Z\","
              "\"ttfb_ms\":null,\"cost_usd\":null}]}"),
            &doc),
        OK);
    buf_init(&out, 65536);
    show_requests(json_root(doc), &(struct look){.width = 80}, true, &out);
    rest = buf_slice(&out);
    while (slice_cut(&rest, '\n', &line))
        assert_in_range(line.n, 20, 80);
    assert_true(has(&out, "08-22 10:15:04") && has(&out, "claude-sonnet-4-6 "));
    buf_clear(&out);
    show_requests(json_root(doc), &(struct look){0}, true, &out);
    assert_true(has(&out, "1m01s") && has(&out, "812ms") && has(&out, "12.3k") &&
                has(&out, "1.2M") && has(&out, "$0.0123") && has(&out, "alice"));
    buf_free(&out);
    json_free(doc);
}

static void names(void **state)
{
    char long_name[STORE_NAME_MAX + 1];
    (void)state;
    memset(long_name, 'x', sizeof long_name);
    assert_true(name_is_good(S("a")) && name_is_good(S("A-z_0.9")));
    assert_true(name_is_good((struct slice){long_name, STORE_NAME_MAX - 1}));
    assert_false(name_is_good((struct slice){long_name, STORE_NAME_MAX}));
    assert_false(name_is_good(S("")) || name_is_good(S("a b")) || name_is_good(S("a/b")) ||
                 name_is_good(S("\xc3\xbc")) || name_is_good(S("a\n")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_verb_is_whole),
        cmocka_unit_test(each_argument_is_whole),
        cmocka_unit_test(each_path_can_be_filled),
        cmocka_unit_test(help_names_every_flag),
        cmocka_unit_test(failures_have_words_and_codes),
        cmocka_unit_test(good_lines),
        cmocka_unit_test(details_of_lines),
        cmocka_unit_test(bad_lines),
        cmocka_unit_test(too_many_options),
        cmocka_unit_test(requests_arrive_as_they_were_meant),
        cmocka_unit_test(routes),
        cmocka_unit_test(long_arguments_are_refused),
        cmocka_unit_test(tables),
        cmocka_unit_test(text_is_made_harmless),
        cmocka_unit_test(every_reply_is_drawn),
        cmocka_unit_test(windows_are_shown),
        cmocka_unit_test(groups_and_choices_are_shown),
        cmocka_unit_test(requests_fit_a_terminal),
        cmocka_unit_test(names),
    };
    crypto_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
