/* The verbs over HTTP, on the unix socket: arguments from the path, the query and a JSON body. */
#include "admin/inside.h"

#include <string.h>

#define BODY_MAX 131072 /* the longest secret, all of it escaped, and room */

/* ---- routing
 * ---------------------------------------------------------------------------------------------- */

/* %XX undone; '+' is no space here. False: broken, or longer than any argument. */
static bool unescape(struct slice s, bool query, char *out, size_t size, struct slice *text)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%' && (s.n - i < 3 || !text_unhex(&c, 1, slice_sub(s, i + 1, i + 3))))
            return false;
        if (s.p[i] == '%')
            i += 2;
        else if (query && c == '+')
            c = ' ';
        if (n == size)
            return false;
        out[n++] = c;
    }
    *text = (struct slice){out, n};
    return true;
}

/* Compares with a verb's path segment by segment; what stands for {x} goes to `args` if not NULL.
 */
static bool path_match(const struct verb *v, struct slice path, struct verb_args *args, char *why,
                       size_t why_size)
{
    struct slice want = slice_of(v->path), a, b;
    char text[ADMIN_TEXT_MAX];
    while (want.n > 0 && path.n > 0) {
        slice_cut(&want, '/', &a);
        slice_cut(&path, '/', &b);
        if (!slice_starts(a, S("{"))) {
            if (!slice_eq(a, b))
                return false;
            continue;
        }
        struct slice value;
        if (b.n == 0)
            return false;
        int i = verb_arg_find(v, slice_sub(a, 1, a.n - 1));
        assert(i >= 0);
        if (args != NULL && (!unescape(b, false, text, sizeof text, &value) ||
                             verb_arg_set(v, args, i, value, why, why_size) != OK))
            return false;
    }
    return want.n == 0 && path.n == 0;
}

static enum err take_query(const struct verb *v, struct slice query, struct verb_args *args,
                           char *why, size_t why_size)
{
    struct slice pair, name;
    char text[ADMIN_TEXT_MAX];
    while (slice_cut(&query, '&', &pair)) {
        if (pair.n == 0)
            continue;
        slice_cut(&pair, '=', &name); /* `pair` is the value now */
        struct slice value;
        int i = verb_arg_find(v, name);
        if (i < 0) {
            text_format(why, why_size, "unknown parameter `%.*s`", (int)(name.n < 40 ? name.n : 40),
                        name.p);
            return ERR_SYNTAX;
        }
        if (!unescape(pair, true, text, sizeof text, &value)) {
            text_format(why, why_size, "`%s` is broken or too long", v->arg[i].name);
            return ERR_SYNTAX;
        }
        enum err e = verb_arg_set(v, args, i, value, why, why_size);
        if (e != OK)
            return e;
    }
    return OK;
}

static enum err take_members(const struct verb *v, const struct json_val *root,
                             struct verb_args *args, char *why, size_t why_size)
{
    struct slice key;
    const struct json_val *value;
    for (size_t k = 0; json_member(root, k, &key, &value); k++) {
        int i = verb_arg_find(v, key);
        if (i < 0) {
            text_format(why, why_size, "unknown member `%.*s`", (int)(key.n < 40 ? key.n : 40),
                        key.p);
            return ERR_SYNTAX;
        }
        enum err e = verb_arg_set_json(v, args, i, value, why, why_size);
        if (e != OK)
            return e;
    }
    return OK;
}

static enum err take_body(const struct verb *v, struct slice body, struct verb_args *args,
                          char *why, size_t why_size)
{
    struct json *doc = NULL;
    if (body.n == 0)
        return OK;
    if (json_parse(body, &doc) != OK || json_type(json_root(doc)) != JSON_OBJECT) {
        json_free(doc);
        text_copy(why, why_size, S("the body must be one JSON object"));
        return ERR_SYNTAX;
    }
    enum err e = take_members(v, json_root(doc), args, why, why_size);
    json_free(doc);
    return e;
}

static const struct verb *api_find(enum http_method m, struct slice path, bool *other_method)
{
    const struct verb *v;
    *other_method = false;
    for (int i = 0; (v = verb_at(i)) != NULL; i++) {
        if (v->path == NULL || !path_match(v, path, NULL, NULL, 0))
            continue;
        if (v->method == m)
            return v;
        *other_method = true;
    }
    return NULL;
}

const struct verb *api_route(enum http_method m, struct slice path, struct slice query,
                             struct slice body, struct verb_args *args, enum fail *f, char *why,
                             size_t why_size)
{
    bool other;
    const struct verb *v = api_find(m, path, &other);
    memset(args, 0, sizeof *args);
    if (v == NULL) {
        *f = FAIL_NOT_FOUND;
        text_format(why, why_size, "no such %s here", other ? "method" : "path");
        return NULL;
    }
    *f = FAIL_USAGE;
    text_copy(why, why_size, S("a name in the path is broken or too long"));
    enum err e = path_match(v, path, args, why, why_size) ? OK : ERR_SYNTAX;
    if (e == OK)
        e = take_query(v, query, args, why, why_size);
    if (e == OK)
        e = take_body(v, body, args, why, why_size);
    if (e == OK)
        e = verb_args_check(v, args, why, why_size);
    if (e == OK)
        return v;
    verb_args_free(v, args);
    return NULL;
}

/* ---- serving
 * ---------------------------------------------------------------------------------------------- */

/* One HTTP request on the socket. It ends when its answer is flushed or its client has gone; the
 * verb it started may live on, and then answers nobody. */
struct face {
    struct admin *admin;
    struct http_call *call;
    struct verb_call *running;
    struct link link;
    struct buf body, reply;
    bool over; /* the body is longer than any verb's */
};

static void face_free(struct face *x)
{
    list_remove(&x->link);
    if (x->running != NULL)
        call_forget(x->running);
    if (x->body.p != NULL)
        crypto_wipe(x->body.p, x->body.cap);
    if (x->reply.p != NULL)
        crypto_wipe(x->reply.p, x->reply.cap);
    buf_free(&x->body);
    buf_free(&x->reply);
    mem_free(x);
}

static void face_end(struct face *x)
{
    http_end(x->call);
    face_free(x);
}

static void face_send(struct face *x, int status)
{
    const struct http_header h[] = {{S("content-type"), S("application/json")},
                                    {S("cache-control"), S("no-store")},
                                    {S("x-content-type-options"), S("nosniff")},
                                    {S("content-security-policy"), S("default-src 'none'")},
                                    {S("cross-origin-resource-policy"), S("same-origin")},
                                    {S("www-authenticate"), S("Bearer")}};
    struct slice body = buf_slice(&x->reply);
    int n = (int)(sizeof h / sizeof *h) - (status != 401 ? 1 : 0);
    enum err e = http_respond(x->call, status, h, n, (int64_t)body.n, body);
    if (e == OK)
        face_end(x);
    /* ERR_AGAIN: `written` follows. Anything else: `gone` follows. */
}

static void face_fail(struct face *x, enum fail f, const char *why)
{
    buf_clear(&x->reply);
    fail_write(&x->reply, f, why);
    face_send(x, fail_status(f));
}

static void on_called(void *arg, int status, struct slice json)
{
    struct face *x = arg;
    x->running = NULL;
    if (buf_puts(&x->reply, json) != OK) {
        face_fail(x, FAIL_STORE, "out of memory");
        return;
    }
    face_send(x, status);
}

static void face_refuse(struct face *x, int status, const char *why)
{
    const struct http_head *head = http_call_head(x->call);
    log_warn("an admin request is refused", LF_STR("by", http_call_peer(x->call)->text),
             LF_STR("method", http_method_name(head->method)), LF_SLICE("path", head->path),
             LF_INT("status", status));
    fail_write(&x->reply, status == 415 ? FAIL_USAGE : FAIL_DENIED, why);
    face_send(x, status);
}

static void *face_open(void *ctx, struct http_call *call, const struct http_head *head)
{
    struct admin *a = ctx;
    struct face *x = NEW(struct face);
    const char *why = NULL;
    int status = guard_check(a, head, http_call_peer(call), &why);
    *x = (struct face){.admin = a, .call = call};
    list_init(&x->link);
    list_push(&a->faces, &x->link);
    buf_init(&x->body, BODY_MAX);
    buf_init(&x->reply, ADMIN_REPLY_MAX);
    if (status == 0)
        http_call_read(call, true);
    else
        face_refuse(x, status, why);
    return x;
}

static void face_body(void *arg, struct slice bytes)
{
    struct face *x = arg;
    if (!x->over && buf_puts(&x->body, bytes) != OK)
        x->over = true;
}

/* What changes something is told, and by whom. */
static void face_log(const struct face *x, const struct verb *v)
{
    if (v->method == HTTP_GET)
        log_debug("admin", LF_STR("verb", v->name), LF_STR("by", http_call_peer(x->call)->text));
    else
        log_info("admin", LF_STR("verb", v->name), LF_STR("by", http_call_peer(x->call)->text));
}

static void face_complete(void *arg)
{
    struct face *x = arg;
    const struct http_head *head = http_call_head(x->call);
    struct verb_args args;
    char why[ADMIN_WHY_MAX] = "the body is too large";
    enum fail f = FAIL_USAGE;
    const struct verb *v = NULL;
    if (!x->over)
        v = api_route(head->method, head->path, head->query, buf_slice(&x->body), &args, &f, why,
                      sizeof why);
    if (v == NULL) {
        face_fail(x, f, why);
        return;
    }
    face_log(x, v);
    x->running = call_start(x->admin, v, &args, on_called, x);
}

static void face_written(void *arg)
{
    face_end(arg);
}

static void face_gone(void *arg, enum err e, const char *why)
{
    (void)e;
    (void)why;
    face_free(arg);
}

static void face_error_body(void *ctx, int status, const char *why, struct slice target,
                            struct buf *out)
{
    (void)ctx;
    (void)target;
    fail_write(out, status == 404 ? FAIL_NOT_FOUND : FAIL_USAGE, why);
}

const struct http_server_ops *admin_server_ops(void)
{
    static const struct http_server_ops ops = {.handler = {.open = face_open,
                                                           .body = face_body,
                                                           .complete = face_complete,
                                                           .written = face_written,
                                                           .gone = face_gone},
                                               .error_body = face_error_body};
    return &ops;
}
