/* Verbs on client keys. */
#include "admin/inside.h"

#include <stdlib.h>
#include <string.h>

#define KEY_MODEL_MAX 96 /* as long as a request may name one */

bool name_is_good(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char ch = s.p[i];
        bool good = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
                    (ch >= '0' && ch <= '9') || ch == '.' || ch == '_' || ch == '-';
        if (!good)
            return false;
    }
    return s.n >= 1 && s.n < STORE_NAME_MAX;
}

/* Where a client on this machine reaches the gateway. */
static void client_url(const struct admin *a, char *out, size_t size)
{
    const struct config *c = a->p.config;
    struct json *doc = NULL;
    struct buf b;
    struct jw w;
    struct config_listen at = {.addr = S("")};
    struct slice bound = {0};
    if (c->listens > 0)
        config_listen_at(c, 0, &at);
    buf_init(&b, 65536);
    if (a->p.describe != NULL) { /* the daemon knows the port the kernel gave */
        jw_init(&w, &b);
        jw_obj(&w);
        a->p.describe(a->p.arg, &w);
        jw_end_obj(&w);
        if (w.err == OK && json_parse(buf_slice(&b), &doc) == OK)
            json_str(json_at(json_get(json_root(doc), "listen"), 0), &bound);
    }
    if (c->public_url != NULL)
        text_copy(out, size, slice_of(c->public_url));
    else if (bound.n > 0)
        text_copy(out, size, bound);
    else
        text_format(out, size, "http%s://%.*s", at.tls ? "s" : "", (int)at.addr.n, at.addr.p);
    json_free(doc);
    buf_free(&b);
}

static const char *group_of(const struct key_row *row)
{
    return row->group[0] != '\0' ? row->group : GROUP_DEFAULT;
}

/* The group that the call names; "" is the default's. False: there is none, and the call has been
 * failed. */
static bool take_group(struct verb_call *c, struct key_row *row)
{
    const char *name = call_text(c, "group");
    if (name == NULL)
        return true;
    if (name[0] != '\0' && call_group(c, name) == NULL)
        return false;
    text_copy(row->group, sizeof row->group,
              strcmp(name, GROUP_DEFAULT) == 0 ? S("") : slice_of(name));
    return true;
}

/* The model that the call gives the key, kept among its settings; "" takes it away. */
static bool take_model(struct verb_call *c, struct key_row *row)
{
    const char *name = call_text(c, "model");
    struct json *doc = NULL;
    struct slice key;
    const struct json_val *value;
    struct buf out;
    struct jw w;
    if (name == NULL)
        return true;
    if (strlen(name) >= KEY_MODEL_MAX) {
        call_fail(c, FAIL_USAGE, "the model's name is too long: at most %d characters",
                  KEY_MODEL_MAX - 1);
        return false;
    }
    if (row->settings[0] != '\0' && json_parse(slice_of(row->settings), &doc) != OK)
        doc = NULL; /* nobody else could read them either */
    buf_init(&out, sizeof row->settings - 1);
    jw_init(&w, &out);
    jw_obj(&w);
    for (size_t i = 0; json_member(json_root(doc), i, &key, &value); i++) {
        char member[256];
        text_copy(member, sizeof member, key);
        if (strcmp(member, "model") == 0)
            continue;
        jw_key(&w, member);
        json_copy(&w, value);
    }
    if (name[0] != '\0')
        jw_kcstr(&w, "model", name);
    jw_end_obj(&w);
    if (w.err == OK)
        text_copy(row->settings, sizeof row->settings, out.len > 2 ? buf_slice(&out) : S(""));
    else
        call_fail(c, FAIL_USAGE, "the key's settings are too long together");
    buf_free(&out);
    json_free(doc);
    return w.err == OK;
}

static void model_write(struct jw *w, const struct key_row *row)
{
    struct json *doc = NULL;
    if (row->settings[0] != '\0' && json_parse(slice_of(row->settings), &doc) != OK)
        doc = NULL;
    jw_kstr(w, "model", json_get_str(json_root(doc), "model"));
    json_free(doc);
}

static void on_key_added(void *arg, enum err e)
{
    struct verb_call *c = arg;
    char url[512];
    if (e != OK) {
        call_fail_store(c, e);
        return;
    }
    keys_put(c->admin->p.keys, &c->key);
    client_url(c->admin, url, sizeof url);
    struct jw *w = call_open(c);
    jw_kcstr(w, "name", c->key.name);
    jw_kcstr(w, "id", c->key.id);
    jw_kcstr(w, "key", c->key_text);
    jw_kcstr(w, "base_url", url);
    jw_kcstr(w, "group", group_of(&c->key));
    model_write(w, &c->key);
    jw_ktime(w, "created_at", c->key.created_at);
    call_reply(c);
}

void verb_key_add(struct verb_call *c)
{
    struct slice name = slice_of(call_text(c, "name"));
    struct key_set *keys = c->admin->p.keys;
    if (!name_is_good(name)) {
        call_fail(c, FAIL_USAGE,
                  "a key's name has 1 to %d letters, digits, '.', '_' and '-', nothing else",
                  STORE_NAME_MAX - 1);
        return;
    }
    const struct key_row *old = keys_by_name(keys, name);
    if (old != NULL && old->revoked_at == 0) {
        call_fail(c, FAIL_CONFLICT,
                  "there is a key `%s` already; revoke it first, or choose another name",
                  old->name);
        return;
    }
    keys_generate(keys, name, call_now(c), c->key_text, &c->key);
    if (!take_group(c, &c->key) || !take_model(c, &c->key))
        return;
    store_key_add(c->admin->p.store, &c->key, on_key_added, c);
}

/* By age; keys made in the same millisecond by name. */
static int key_compare(const void *x, const void *y)
{
    const struct key_row *a = *(const struct key_row *const *)x;
    const struct key_row *b = *(const struct key_row *const *)y;
    if (a->created_at != b->created_at)
        return a->created_at < b->created_at ? -1 : 1;
    return strcmp(a->name, b->name);
}

static void key_write(struct jw *w, const struct key_row *row)
{
    jw_kcstr(w, "name", row->name);
    jw_kcstr(w, "id", row->id);
    jw_kcstr(w, "group", group_of(row));
    model_write(w, row);
    jw_ktime(w, "created_at", row->created_at);
    jw_ktime(w, "last_used_at", row->last_used_at);
    jw_ktime(w, "revoked_at", row->revoked_at);
}

void verb_key_list(struct verb_call *c)
{
    const struct key_row *row, **all = NULL;
    size_t at = 0, n = 0;
    while (keys_next(c->admin->p.keys, &at, &row)) {
        all = mem_grow(all, (n + 1) * sizeof *all);
        all[n++] = row;
    }
    if (n > 1)
        qsort(all, n, sizeof *all, key_compare);
    struct jw *w = call_open(c);
    jw_key(w, "keys");
    jw_arr(w);
    for (size_t i = 0; i < n; i++) {
        jw_obj(w);
        key_write(w, all[i]);
        jw_end_obj(w);
    }
    jw_end_arr(w);
    mem_free(all);
    call_reply(c);
}

/* A key that is in force; NULL: the call has been failed. */
static const struct key_row *call_key(struct verb_call *c)
{
    const char *name = call_text(c, "name");
    const struct key_row *row = keys_by_name(c->admin->p.keys, slice_of(name));
    if (row != NULL && row->revoked_at == 0)
        return row;
    call_fail(c, FAIL_NOT_FOUND, "there is no key `%s`%s; `sluice key list` shows them", name,
              row != NULL ? " any more, it is revoked" : "");
    return NULL;
}

/* The row is durable: memory follows, then the answer. */
static void on_key_changed(void *arg, enum err e)
{
    struct verb_call *c = arg;
    if (e != OK) {
        call_fail_store(c, e);
        return;
    }
    keys_put(c->admin->p.keys, &c->key);
    key_write(call_open(c), &c->key);
    call_reply(c);
}

void verb_key_set(struct verb_call *c)
{
    const struct key_row *row = call_key(c);
    if (row == NULL)
        return;
    if (!call_has(c, "group") && !call_has(c, "model")) {
        call_fail(c, FAIL_USAGE, "nothing to change: give --group or --model");
        return;
    }
    c->key = *row;
    if (take_group(c, &c->key) && take_model(c, &c->key))
        store_key_update(c->admin->p.store, &c->key, on_key_changed, c);
}

void verb_key_revoke(struct verb_call *c)
{
    const struct key_row *row = call_key(c);
    if (row == NULL)
        return;
    c->key = *row;
    c->key.revoked_at = call_now(c);
    store_key_revoke(c->admin->p.store, row->id, c->key.revoked_at, on_key_changed, c);
}
