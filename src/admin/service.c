/* The verbs, and the life of a call. */
#include "admin/inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NAME_ARG                                                                                   \
    {                                                                                              \
        .name = "name", .type = ARG_STRING, .positional = true, .required = true, .value = "NAME", \
        .help = "the account's name"                                                               \
    }
#define SECRET_HELP "file with the provider's key, - for standard input; never an argument"

static const struct verb VERBS[] = {
    {.name = "serve",
     .arg = {{.name = "demo",
              .type = ARG_BOOL,
              .help = "add the built-in demo provider, and a key to use it with"}},
     .help = "run the gateway until SIGTERM",
     .example = "sluice serve\n"
                "sluice serve --demo --listen 127.0.0.1:8080\n"
                "sluice serve --config sluice.yaml"},
    {.name = "account add",
     .method = HTTP_POST,
     .path = "/api/accounts",
     .arg = {{.name = "name",
              .type = ARG_STRING,
              .positional = true,
              .required = true,
              .value = "NAME",
              .help = "what you call it: letters, digits, '.', '_' and '-'"},
             {.name = "provider",
              .type = ARG_STRING,
              .required = true,
              .value = "KIND",
              .help = "who serves it, see below"},
             {.name = "base_url",
              .type = ARG_STRING,
              .value = "URL",
              .help = "where it is served; default: the provider's own address"},
             {.name = "priority",
              .type = ARG_INT,
              .value = "N",
              .help = "0 to 1000, a lower number is preferred (default 0)"},
             {.name = "weight",
              .type = ARG_INT,
              .value = "N",
              .help = "1 to 1000, its share among accounts of one priority (default 1)"},
             {.name = "allow_private",
              .type = ARG_BOOL,
              .help = "the name in --base-url may lead into your own network"},
             {.name = "secret", .type = ARG_SECRET, .value = "FILE", .help = SECRET_HELP},
             {.name = "token",
              .type = ARG_SECRET,
              .value = "FILE",
              .help = "in place of a secret, for a provider with OAuth: a JSON file with "
                      "access_token, refresh_token and expires_in or expires_at; - for standard "
                      "input; without it, it cannot serve"},
             {.name = "client_id",
              .type = ARG_STRING,
              .value = "ID",
              .help = "OAuth: the client id that the provider has given you"},
             {.name = "token_url",
              .type = ARG_STRING,
              .value = "URL",
              .help = "OAuth: where tokens are renewed; default: the provider's"},
             {.name = "authorize_url",
              .type = ARG_STRING,
              .value = "URL",
              .help = "OAuth: the page a person logs in on; default: the provider's"},
             {.name = "redirect_uri",
              .type = ARG_STRING,
              .value = "URI",
              .help = "OAuth: where that page sends the code; default: the provider's"},
             {.name = "scope",
              .type = ARG_STRING,
              .value = "S",
              .help = "OAuth: what is asked for; default: the provider's"}},
     .handler = verb_account_add,
     .help = "add a provider account to the pool",
     .example = "sluice account add work --provider anthropic --secret-file key.txt\n"
                "pass show anthropic | \\\n"
                "  sluice account add work --provider anthropic --secret-file -\n"
                "sluice account add box --provider anthropic-compatible \\\n"
                "  --base-url http://127.0.0.1:11434 --secret-file key.txt\n"
                "sluice account add plan --provider claude-oauth --client-id ID \\\n"
                "  --token-file tokens.json"},
    {.name = "account list",
     .method = HTTP_GET,
     .path = "/api/accounts",
     .handler = verb_account_list,
     .help = "list the accounts and whether each can serve",
     .example = "sluice account list\nsluice account list --json"},
    {.name = "account show",
     .method = HTTP_GET,
     .path = "/api/accounts/{name}",
     .arg = {NAME_ARG},
     .handler = verb_account_show,
     .help = "show one account: its state, why and until when, and what it has used",
     .example = "sluice account show work"},
    {.name = "account pause",
     .method = HTTP_POST,
     .path = "/api/accounts/{name}/pause",
     .arg = {NAME_ARG},
     .handler = verb_account_pause,
     .help = "give an account no new requests",
     .example = "sluice account pause work"},
    {.name = "account resume",
     .method = HTTP_POST,
     .path = "/api/accounts/{name}/resume",
     .arg = {NAME_ARG},
     .handler = verb_account_resume,
     .help = "end a pause, a cooldown or a refused credential",
     .example = "sluice account resume work"},
    {.name = "account reset-limit",
     .method = HTTP_POST,
     .path = "/api/accounts/{name}/reset-limit",
     .arg = {NAME_ARG},
     .handler = verb_account_reset_limit,
     .help = "forget an account's cooldown and its used-up windows",
     .example = "sluice account reset-limit work"},
    {.name = "account set",
     .method = HTTP_PATCH,
     .path = "/api/accounts/{name}",
     .arg = {NAME_ARG,
             {.name = "priority",
              .type = ARG_INT,
              .value = "N",
              .help = "0 to 1000, a lower number is preferred"},
             {.name = "weight",
              .type = ARG_INT,
              .value = "N",
              .help = "1 to 1000, its share among accounts of one priority"},
             {.name = "base_url",
              .type = ARG_STRING,
              .value = "URL",
              .help = "where it is served; empty: the provider's own address"},
             {.name = "allow_private",
              .type = ARG_BOOL,
              .help = "the name in --base-url may lead into your own network"},
             {.name = "secret", .type = ARG_SECRET, .value = "FILE", .help = SECRET_HELP}},
     .handler = verb_account_set,
     .help = "change an account's priority, weight, address or secret",
     .example = "sluice account set work --priority 1\n"
                "sluice account set work --secret-file new-key.txt"},
    {.name = "account rename",
     .method = HTTP_POST,
     .path = "/api/accounts/{name}/rename",
     .arg = {NAME_ARG,
             {.name = "new_name",
              .type = ARG_STRING,
              .positional = true,
              .required = true,
              .value = "NEW",
              .help = "what to call it from now on"}},
     .handler = verb_account_rename,
     .help = "give an account another name",
     .example = "sluice account rename work team-1"},
    {.name = "account remove",
     .method = HTTP_DELETE,
     .path = "/api/accounts/{name}",
     .arg = {NAME_ARG},
     .handler = verb_account_remove,
     .help = "remove an account; requests it is serving may finish",
     .example = "sluice account remove work"},
    {.name = "account test",
     .method = HTTP_POST,
     .path = "/api/accounts/{name}/test",
     .arg = {NAME_ARG},
     .handler = verb_account_test,
     .help = "ask the provider one small question with this account",
     .example = "sluice account test work"},
    {.name = "key add",
     .method = HTTP_POST,
     .path = "/api/keys",
     .arg = {{.name = "name",
              .type = ARG_STRING,
              .positional = true,
              .required = true,
              .value = "NAME",
              .help = "who will use it: letters, digits, '.', '_' and '-'"}},
     .handler = verb_key_add,
     .help = "make a key for a client; it is shown once",
     .example = "sluice key add alice\nsluice key add ci --json"},
    {.name = "key list",
     .method = HTTP_GET,
     .path = "/api/keys",
     .handler = verb_key_list,
     .help = "list the keys and when each was last used",
     .example = "sluice key list"},
    {.name = "key revoke",
     .method = HTTP_DELETE,
     .path = "/api/keys/{name}",
     .arg = {{.name = "name",
              .type = ARG_STRING,
              .positional = true,
              .required = true,
              .value = "NAME",
              .help = "the key's name"}},
     .handler = verb_key_revoke,
     .help = "end a key, at once",
     .example = "sluice key revoke alice"},
    {.name = "status",
     .method = HTTP_GET,
     .path = "/api/status",
     .handler = verb_status,
     .help = "show what the gateway is doing",
     .example = "sluice status\nsluice status --json"},
    {.name = "requests",
     .method = HTTP_GET,
     .path = "/api/requests",
     .arg = {{.name = "follow",
              .type = ARG_BOOL,
              .letter = 'f',
              .help = "go on and show each request as it ends"},
             {.name = "limit",
              .type = ARG_INT,
              .value = "N",
              .help = "how many at most, 1 to 1000 (default 100; with -f 10)"},
             {.name = "account",
              .type = ARG_STRING,
              .value = "NAME",
              .help = "only those this account was tried for"},
             {.name = "key", .type = ARG_STRING, .value = "NAME", .help = "only those of this key"},
             {.name = "after",
              .type = ARG_INT,
              .value = "ROW",
              .help = "only those newer than this row, the oldest of them first"},
             {.name = "before",
              .type = ARG_INT,
              .value = "ROW",
              .help = "only those older than this row"}},
     .handler = verb_requests,
     .help = "show the newest requests, the newest last",
     .example = "sluice requests\n"
                "sluice requests -f --account work\n"
                "sluice requests --json --limit 1000"},
    {.name = "config check",
     .help = "check the configuration; print each value and where it came from",
     .example = "sluice config check --config sluice.yaml\nsluice config check --json"},
    {.name = "reload",
     .method = HTTP_POST,
     .path = "/api/reload",
     .handler = verb_reload,
     .help = "have the running gateway read its configuration again",
     .example = "sluice reload"},
    {.name = "version", .help = "print the version", .example = "sluice version"},
    {.name = "help",
     .help = "show help on the program or on one command",
     .example = "sluice help\nsluice help account add"},
};
#define VERBS_N ((int)(sizeof VERBS / sizeof VERBS[0]))

const struct verb *verb_at(int i)
{
    return i >= 0 && i < VERBS_N ? &VERBS[i] : NULL;
}

/* ---- failures
 * -------------------------------------------------------------------------------------------- */

static const struct {
    const char *code;
    int status, exit;
} FAILS[FAIL_COUNT] = {
    [FAIL_USAGE] = {"usage", 400, 2},         [FAIL_NOT_FOUND] = {"not_found", 404, 5},
    [FAIL_CONFLICT] = {"conflict", 409, 6},   [FAIL_DENIED] = {"denied", 403, 77},
    [FAIL_UPSTREAM] = {"upstream", 502, 1},   [FAIL_STORE] = {"store", 500, 1},
    [FAIL_NO_DAEMON] = {"no_daemon", 503, 3}, [FAIL_CONFIG] = {"bad_config", 422, 78},
};

int fail_status(enum fail f)
{
    assert((int)f >= 0 && f < FAIL_COUNT);
    return FAILS[f].status;
}

const char *fail_code(enum fail f)
{
    assert((int)f >= 0 && f < FAIL_COUNT);
    return FAILS[f].code;
}

int fail_exit(struct slice code)
{
    for (int i = 0; i < FAIL_COUNT; i++)
        if (slice_eq(code, slice_of(FAILS[i].code)))
            return FAILS[i].exit;
    return 1;
}

void fail_write(struct buf *out, enum fail f, const char *message)
{
    struct jw w;
    jw_init(&w, out);
    jw_obj(&w);
    jw_key(&w, "error");
    jw_obj(&w);
    jw_kcstr(&w, "code", fail_code(f));
    jw_kcstr(&w, "message", message);
    jw_end_obj(&w);
    jw_end_obj(&w);
}

/* ---- the life of a call
 * ------------------------------------------------------------------------------------- */

static void call_run(void *arg)
{
    struct verb_call *c = arg;
    c->verb->handler(c);
}

struct verb_call *call_start(struct admin *a, const struct verb *v, struct verb_args *args,
                             call_done_fn *done, void *arg)
{
    assert(v->handler != NULL && done != NULL);
    struct verb_call *c = NEW(struct verb_call);
    *c = (struct verb_call){.admin = a, .verb = v, .args = *args, .done = done, .arg = arg};
    memset(args, 0, sizeof *args);
    list_init(&c->link);
    list_push(&a->calls, &c->link);
    buf_init(&c->out, ADMIN_REPLY_MAX);
    task_init(&c->task, call_run, c);
    task_post(a->p.loop, &c->task);
    return c;
}

void call_forget(struct verb_call *c)
{
    c->done = NULL;
}

/* A reply may hold a new key, an argument a secret: neither stays behind in freed memory. */
static void call_free(struct verb_call *c)
{
    task_cancel(&c->task);
    list_remove(&c->link);
    verb_args_free(c->verb, &c->args);
    if (c->out.p != NULL)
        crypto_wipe(c->out.p, c->out.cap);
    buf_free(&c->out);
    crypto_wipe(c->key_text, sizeof c->key_text);
    mem_free(c);
}

static void call_end(struct verb_call *c, int status)
{
    if (c->done != NULL)
        c->done(c->arg, status, buf_slice(&c->out));
    call_free(c);
}

struct jw *call_open(struct verb_call *c)
{
    assert(c->out.len == 0);
    jw_init(&c->w, &c->out);
    jw_obj(&c->w);
    jw_ki64(&c->w, "schema", 1);
    return &c->w;
}

void call_reply(struct verb_call *c)
{
    jw_end_obj(&c->w);
    if (c->w.err != OK) {
        call_fail(c, FAIL_STORE, "the reply is too large; ask for less with a smaller limit");
        return;
    }
    call_end(c, 200);
}

void call_fail(struct verb_call *c, enum fail f, const char *fmt, ...)
{
    char message[ADMIN_WHY_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    assert(n >= 0);
    buf_clear(&c->out);
    fail_write(&c->out, f, message);
    call_end(c, fail_status(f));
}

void call_fail_store(struct verb_call *c, enum err e)
{
    switch (e) {
    case ERR_EXISTS:
        call_fail(c, FAIL_CONFLICT, "this name is taken already");
        break;
    case ERR_CONFLICT:
        call_fail(c, FAIL_CONFLICT, "somebody else has changed it meanwhile; try again");
        break;
    case ERR_NOTFOUND:
        call_fail(c, FAIL_NOT_FOUND, "it has been removed meanwhile");
        break;
    case ERR_FULL:
        call_fail(c, FAIL_STORE, "the disk of the state folder is full; make room and try again");
        break;
    case ERR_BUSY:
        call_fail(c, FAIL_STORE, "another program holds the database; try again");
        break;
    default:
        call_fail(c, FAIL_STORE, "the store failed (%s); nothing was changed", err_name(e));
    }
}

int64_t call_now(const struct verb_call *c)
{
    return loop_wall(c->admin->p.loop);
}

/* ---- arguments of a call
 * ------------------------------------------------------------------------------------ */

static const struct verb_value *call_value(const struct verb_call *c, const char *name)
{
    int i = verb_arg_find(c->verb, slice_of(name));
    assert(i >= 0); /* a handler asks only for what its row of the table has */
    return &c->args.v[i];
}

bool call_has(const struct verb_call *c, const char *name)
{
    return call_value(c, name)->given;
}

const char *call_text(const struct verb_call *c, const char *name)
{
    const struct verb_value *v = call_value(c, name);
    return v->given ? v->text : NULL;
}

struct slice call_secret(const struct verb_call *c, const char *name)
{
    return slice_of(call_text(c, name));
}

int64_t call_int(const struct verb_call *c, const char *name, int64_t absent)
{
    const struct verb_value *v = call_value(c, name);
    return v->given ? v->number : absent;
}

bool call_flag(const struct verb_call *c, const char *name, bool absent)
{
    const struct verb_value *v = call_value(c, name);
    return v->given ? v->flag : absent;
}

/* ---- the admin
 * ---------------------------------------------------------------------------------------------- */

struct admin *admin_new(const struct admin_parts *p)
{
    struct admin *a = NEW(struct admin);
    assert(p->loop != NULL && p->config != NULL);
    a->p = *p;
    list_init(&a->calls);
    list_init(&a->faces);
    return a;
}

/* The store and the gateway are stopped next and will not call what is freed here. */
void admin_free(struct admin *a)
{
    assert(list_empty(&a->faces)); /* the server on the socket is freed before */
    while (!list_empty(&a->calls))
        call_free(CONTAINER(a->calls.next, struct verb_call, link));
    mem_free(a);
}

void admin_set_config(struct admin *a, const struct config *c)
{
    a->p.config = c;
}

struct loop *admin_loop(const struct admin *a)
{
    return a->p.loop;
}
