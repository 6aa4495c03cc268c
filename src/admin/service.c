/* The life of a call, its arguments and its failures. */
#include "admin/inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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
    if (c->more_free != NULL)
        c->more_free(c->more);
    mem_free(c);
}

void call_forget(struct verb_call *c)
{
    c->done = NULL;
    if (c->leave != NULL && c->leave(c->more))
        call_free(c);
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
    list_init(&a->logins);
    return a;
}

/* The store and the gateway are stopped next and will not call what is freed here. */
void admin_free(struct admin *a)
{
    assert(list_empty(&a->faces)); /* the server on the socket is freed before */
    while (!list_empty(&a->calls))
        call_free(CONTAINER(a->calls.next, struct verb_call, link));
    login_forget(a, 0);
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
