/* The verbs with an answer: each is a job that carries its arguments there and its result back.
 *
 * A verb sees everything that was put before it (records, facts, objects): it waits for the batches
 * that hold it, unless the disk refuses them; then it goes ahead and says what it finds. */
#include "store/folder.h"
#include "store/inside.h"

#include <string.h>

/* ---- the way of every verb ------------------------------------------------------------------ */

/* On the store's thread. */
static void verb_run(struct job *j)
{
    struct verb *v = CONTAINER(j, struct verb, job);
    v->again = false;
    if (v->err == OK)
        v->run(v);
    if (v->err != OK && v->why[0] == '\0')
        text_copy(v->why, sizeof v->why, slice_of(engine_why(v->store, v->err)));
}

static void verb_done(struct job *j)
{
    struct verb *v = CONTAINER(j, struct verb, job);
    struct store *s = v->store;
    if (!s->closing) {
        store_note(s, v->err, v->why, v->writes);
        if (v->err == OK && v->again) {
            worker_post(s->worker, &v->job);
            return;
        }
        v->finish(v); /* may close the store */
    }
    v->destroy(v);
}

static void verb_send(struct verb *v)
{
    worker_post(v->store->worker, &v->job);
}

static bool verb_ready(const struct verb *v)
{
    const struct drain *d = &v->store->drain;
    return d->stalled || (d->records_done >= v->after_records && d->notes_done >= v->after_notes);
}

void verb_submit(struct store *s, struct verb *v)
{
    assert(!s->closing && v->run != NULL && v->finish != NULL && v->destroy != NULL);
    v->job = (struct job){.run = verb_run, .done = verb_done};
    list_init(&v->job.link);
    list_init(&v->wait);
    v->store = s;
    v->after_records = s->drain.records_put;
    v->after_notes = s->drain.notes_put;
    if (v->err == OK && fault_here())
        v->err = ERR_IO;
    if (list_empty(&s->waiting) && verb_ready(v)) {
        verb_send(v);
        return;
    }
    list_push(&s->waiting, &v->wait);
    drain_kick(s);
}

void verb_release(struct store *s)
{
    while (!list_empty(&s->waiting)) {
        struct verb *v = CONTAINER(s->waiting.next, struct verb, wait);
        if (!verb_ready(v))
            return;
        list_remove(&v->wait);
        verb_send(v);
    }
}

void verbs_close(struct store *s)
{
    assert(s->closing && s->worker == NULL);
    while (!list_empty(&s->waiting)) {
        struct verb *v = CONTAINER(s->waiting.next, struct verb, wait);
        list_remove(&v->wait);
        if (v->writes) /* what was asked for is done, though nobody will be told */
            verb_run(&v->job);
        v->destroy(v);
    }
}

static void plain_destroy(struct verb *v)
{
    mem_free(v);
}

/* ---- clear secrets: copied, opened, wiped --------------------------------------------------- */

char *secret_copy(struct slice clear)
{
    char *copy;
    assert(clear.n <= STORE_SECRET_MAX);
    if (clear.n == 0)
        return NULL;
    copy = mem_new(clear.n);
    memcpy(copy, clear.p, clear.n);
    return copy;
}

void secret_free(char *copy, size_t n)
{
    if (copy != NULL)
        crypto_wipe(copy, n);
    mem_free(copy);
}

enum err secret_open(const struct store *s, const struct vault_place *at, struct slice sealed,
                     struct buf *clear)
{
    buf_init(clear, STORE_SECRET_MAX + CRYPTO_NONCE + CRYPTO_TAG + 1);
    return sealed.n == 0 ? OK : vault_unseal(&s->keys.vault, at, sealed, clear);
}

bool sealed_again(struct verb *v)
{
    char why[STORE_WHY_LONG];
    enum err e = keyring_settle(v->store, false, why, sizeof why);
    if (e == OK)
        return true;
    v->err = e;
    text_copy(v->why, sizeof v->why, slice_of(why));
    return false;
}

bool sealed_moved(struct verb *v)
{
    char before[VAULT_KID_MAX], why[STORE_WHY_LONG];
    struct keyring *k = &v->store->keys;
    text_copy(before, sizeof before, slice_of(k->vault.kid));
    return v->store->shared && keyring_settle(v->store, false, why, sizeof why) == OK &&
           strcmp(before, k->vault.kid) != 0;
}

void secret_close(struct buf *clear)
{
    if (clear->p != NULL)
        crypto_wipe(clear->p, clear->cap);
    buf_free(clear);
}

/* ---- accounts ------------------------------------------------------------------------------- */

struct accounts_verb {
    struct verb v; /* first: plain_destroy frees it */
    store_accounts_fn *done;
    void *arg;
    struct account_row row; /* the argument; its secret is the copy */
    char *secret;
    struct account_row *rows;
    struct buf *clear; /* the secret of each row */
    size_t n, cap;
    size_t unreadable;
};

#define ACCOUNTS(verb) CONTAINER(verb, struct accounts_verb, v)

static struct vault_place account_place(int64_t id)
{
    return (struct vault_place){.table = "accounts", .column = "secret", .row = id};
}

static void account_open_secret(struct accounts_verb *a, struct account_row *row,
                                struct slice sealed, struct buf *clear)
{
    struct vault_place at = account_place(row->id);
    enum err e = secret_open(a->v.store, &at, sealed, clear);
    if (e == OK) {
        row->secret = buf_slice(clear);
    } else if (e == ERR_NOMEM) { /* says nothing about the secret: rather no answer than a wrong */
        a->v.err = e;
    } else {
        row->secret_unreadable = true;
        a->unreadable++;
    }
}

static void account_each(void *arg, const struct account_row *row, struct slice sealed)
{
    struct accounts_verb *a = arg;
    if (a->n == a->cap) {
        a->cap = a->cap == 0 ? 8 : 2 * a->cap;
        a->rows = mem_grow(a->rows, a->cap * sizeof *a->rows);
        a->clear = mem_grow(a->clear, a->cap * sizeof *a->clear);
    }
    a->rows[a->n] = *row;
    account_open_secret(a, &a->rows[a->n], sealed, &a->clear[a->n]);
    a->n++;
}

static void accounts_forget(struct accounts_verb *a)
{
    for (size_t i = 0; i < a->n; i++)
        secret_close(&a->clear[i]);
    a->n = a->unreadable = 0;
}

static void accounts_collect(struct accounts_verb *a, int64_t id)
{
    struct store *s = a->v.store;
    enum err e;
    do {
        accounts_forget(a);
        e = s->ops->accounts_load(s->backend, id, account_each, a);
    } while (e == OK && a->unreadable > 0 && sealed_moved(&a->v));
    if (e != OK)
        a->v.err = e;
}

static void accounts_load_run(struct verb *v)
{
    accounts_collect(ACCOUNTS(v), 0);
}

/* Seals the row's secret, if there is one, under the row's number. */
static enum err account_seal(struct accounts_verb *a, struct buf *sealed)
{
    struct vault_place at = account_place(a->row.id);
    buf_init(sealed, VAULT_SEALED_MAX);
    if (a->row.secret.n == 0)
        return OK;
    return vault_seal(&a->v.store->keys.vault, &at, a->row.secret, sealed);
}

static void account_add_run(struct verb *v)
{
    struct accounts_verb *a = ACCOUNTS(v);
    struct store *s = v->store;
    struct buf sealed;
    v->err = s->ops->account_id(s->backend, &a->row.id);
    if (v->err != OK)
        return;
    do {
        v->err = account_seal(a, &sealed);
        if (v->err == OK)
            v->err = s->ops->account_add(s->backend, &a->row, buf_slice(&sealed));
        buf_free(&sealed);
    } while (v->err == ERR_STATE && sealed_again(v));
    if (v->err == OK)
        accounts_collect(a, a->row.id);
}

static void account_update_run(struct verb *v)
{
    struct accounts_verb *a = ACCOUNTS(v);
    struct store *s = v->store;
    struct buf sealed;
    do {
        v->err = account_seal(a, &sealed);
        if (v->err == OK)
            v->err = s->ops->account_update(s->backend, &a->row, buf_slice(&sealed));
        buf_free(&sealed);
    } while (v->err == ERR_STATE && sealed_again(v));
    if (v->err == OK)
        accounts_collect(a, a->row.id);
}

static void accounts_finish(struct verb *v)
{
    struct accounts_verb *a = ACCOUNTS(v);
    if (a->unreadable > 0)
        log_warn("account secrets cannot be read: sealed under another master key, or damaged",
                 LF_INT("accounts", a->unreadable));
    a->done(a->arg, v->err, v->err == OK ? a->rows : NULL, v->err == OK ? a->n : 0);
}

static void accounts_destroy(struct verb *v)
{
    struct accounts_verb *a = ACCOUNTS(v);
    accounts_forget(a);
    secret_free(a->secret, a->row.secret.n);
    mem_free(a->rows);
    mem_free(a->clear);
    mem_free(a);
}

enum err settings_check(const char settings[STORE_SETTINGS_MAX])
{
    const char *end = memchr(settings, '\0', STORE_SETTINGS_MAX);
    struct json *doc = NULL;
    enum err e;
    if (end == NULL)
        return ERR_SYNTAX;
    if (end == settings)
        return OK;
    e = json_parse((struct slice){settings, (size_t)(end - settings)}, &doc);
    if (e == OK && json_type(json_root(doc)) != JSON_OBJECT)
        e = ERR_SYNTAX;
    json_free(doc);
    return e;
}

static struct accounts_verb *accounts_new(void (*run)(struct verb *), bool writes,
                                          const struct account_row *row, store_accounts_fn *done,
                                          void *arg)
{
    struct accounts_verb *a = NEW(struct accounts_verb);
    assert(done != NULL);
    a->v = (struct verb){
        .run = run, .finish = accounts_finish, .destroy = accounts_destroy, .writes = writes};
    a->done = done;
    a->arg = arg;
    if (row == NULL)
        return a;
    a->row = *row;
    a->row.secret = (struct slice){NULL, 0};
    if (row->name[0] == '\0')
        a->v.err = ERR_RANGE;
    else if (row->secret.n > STORE_SECRET_MAX)
        a->v.err = ERR_LIMIT;
    else
        a->v.err = settings_check(row->settings);
    if (a->v.err == OK) {
        a->secret = secret_copy(row->secret);
        a->row.secret = (struct slice){a->secret, row->secret.n};
    }
    return a;
}

void store_accounts_load(struct store *s, store_accounts_fn *done, void *arg)
{
    verb_submit(s, &accounts_new(accounts_load_run, false, NULL, done, arg)->v);
}

void store_account_add(struct store *s, const struct account_row *row, store_accounts_fn *done,
                       void *arg)
{
    assert(row->id == 0);
    verb_submit(s, &accounts_new(account_add_run, true, row, done, arg)->v);
}

void store_account_update(struct store *s, const struct account_row *row, store_accounts_fn *done,
                          void *arg)
{
    assert(row->id > 0);
    verb_submit(s, &accounts_new(account_update_run, true, row, done, arg)->v);
}

/* ---- verbs whose answer is a word ----------------------------------------------------------- */

struct word_verb {
    struct verb v;
    store_done_fn *done;
    void *arg;
    int64_t id, at;
    char key_id[STORE_KEYID_MAX];
    struct key_row key;
    struct backend_prune prune;
    bool background;
};

#define WORD(verb) CONTAINER(verb, struct word_verb, v)

static void word_finish(struct verb *v)
{
    struct word_verb *w = WORD(v);
    if (w->done != NULL)
        w->done(w->arg, v->err);
}

static struct word_verb *word_new(void (*run)(struct verb *), store_done_fn *done, void *arg)
{
    struct word_verb *w = NEW(struct word_verb);
    w->v = (struct verb){
        .run = run, .finish = word_finish, .destroy = plain_destroy, .writes = true};
    w->done = done;
    w->arg = arg;
    return w;
}

static void account_remove_run(struct verb *v)
{
    v->err = v->store->ops->account_remove(v->store->backend, WORD(v)->id);
}

void store_account_remove(struct store *s, int64_t id, store_done_fn *done, void *arg)
{
    struct word_verb *w = word_new(account_remove_run, done, arg);
    assert(id > 0);
    w->id = id;
    verb_submit(s, &w->v);
}

static void key_argument(struct word_verb *w, const struct key_row *row)
{
    w->key = *row;
    w->v.err = row->id[0] == '\0' ? ERR_RANGE : settings_check(row->settings);
}

static void key_add_run(struct verb *v)
{
    v->err = v->store->ops->key_add(v->store->backend, &WORD(v)->key);
}

void store_key_add(struct store *s, const struct key_row *row, store_done_fn *done, void *arg)
{
    struct word_verb *w = word_new(key_add_run, done, arg);
    key_argument(w, row);
    verb_submit(s, &w->v);
}

static void key_update_run(struct verb *v)
{
    v->err = v->store->ops->key_update(v->store->backend, &WORD(v)->key);
}

void store_key_update(struct store *s, const struct key_row *row, store_done_fn *done, void *arg)
{
    struct word_verb *w = word_new(key_update_run, done, arg);
    key_argument(w, row);
    verb_submit(s, &w->v);
}

static void key_revoke_run(struct verb *v)
{
    struct word_verb *w = WORD(v);
    v->err = v->store->ops->key_revoke(v->store->backend, w->key_id, w->at);
}

void store_key_revoke(struct store *s, const char *id, int64_t at, store_done_fn *done, void *arg)
{
    struct word_verb *w = word_new(key_revoke_run, done, arg);
    text_copy(w->key_id, sizeof w->key_id, slice_of(id));
    w->at = at;
    verb_submit(s, &w->v);
}

/* What was put before is not told to others (backend_ops.moved): it is through when this runs, and
 * who comes then reads it at its start. */
static void share_run(struct verb *v)
{
    struct store *s = v->store;
    if (s->shared)
        return;
    v->err = s->lock_fd < 0 ? OK : folder_share(s->lock_fd);
    if (v->err != OK)
        return;
    s->ops->share(s->backend);
    s->ops->patience(s->backend, BUSY_SHARED_MS);
    s->shared = true; /* the loop looks at it in `done` at the earliest */
}

void store_share(struct store *s, store_done_fn *done, void *arg)
{
    struct word_verb *w = word_new(share_run, done, arg);
    w->v.writes = false;
    verb_submit(s, &w->v);
}

/* The limits are read at each bite, on the loop's side: before the first and after each. */
static void prune_limits(struct word_verb *w, const struct store *s)
{
    int64_t now = loop_wall(s->loop);
    w->prune.before_at = s->max_age_ms > 0 && now > s->max_age_ms ? now - s->max_age_ms : 0;
    w->prune.max_bytes = s->max_bytes;
}

static void prune_run(struct verb *v)
{
    struct word_verb *w = WORD(v);
    struct store *s = v->store;
    v->err = s->ops->prune(s->backend, &w->prune);
    v->again = v->err == OK && w->prune.more;
    w->at = s->ops->bytes(s->backend);
}

static void prune_finish(struct verb *v)
{
    struct word_verb *w = WORD(v);
    struct store *s = v->store;
    if (w->at > 0)
        s->stats.db_bytes = w->at;
    if (w->background)
        s->pruning = false;
    if (w->prune.removed > 0)
        log_info("old records removed", LF_INT("records", w->prune.removed),
                 LF_INT("db_bytes", s->stats.db_bytes));
    word_finish(v);
}

static void prune_submit(struct store *s, store_done_fn *done, void *arg, bool background)
{
    struct word_verb *w = word_new(prune_run, done, arg);
    w->v.finish = prune_finish;
    w->background = background;
    prune_limits(w, s);
    s->pruned_at = loop_now(s->loop);
    verb_submit(s, &w->v);
}

void store_prune(struct store *s, store_done_fn *done, void *arg)
{
    prune_submit(s, done, arg, false);
}

void prune_start(struct store *s)
{
    if (s->pruning)
        return;
    s->pruning = true;
    prune_submit(s, NULL, NULL, true);
}

/* ---- client keys ---------------------------------------------------------------------------- */

struct keys_verb {
    struct verb v;
    store_keys_fn *done;
    void *arg;
    struct key_row *rows;
    size_t n, cap;
};

#define KEYS(verb) CONTAINER(verb, struct keys_verb, v)

static void key_each(void *arg, const struct key_row *row)
{
    struct keys_verb *k = arg;
    if (k->n == k->cap) {
        k->cap = k->cap == 0 ? 16 : 2 * k->cap;
        k->rows = mem_grow(k->rows, k->cap * sizeof *k->rows);
    }
    k->rows[k->n++] = *row;
}

static void keys_run(struct verb *v)
{
    v->err = v->store->ops->keys_load(v->store->backend, key_each, KEYS(v));
}

static void keys_finish(struct verb *v)
{
    struct keys_verb *k = KEYS(v);
    k->done(k->arg, v->err, v->err == OK ? k->rows : NULL, v->err == OK ? k->n : 0);
}

static void keys_destroy(struct verb *v)
{
    mem_free(KEYS(v)->rows);
    mem_free(KEYS(v));
}

void store_keys_load(struct store *s, store_keys_fn *done, void *arg)
{
    struct keys_verb *k = NEW(struct keys_verb);
    assert(done != NULL);
    k->v = (struct verb){.run = keys_run, .finish = keys_finish, .destroy = keys_destroy};
    k->done = done;
    k->arg = arg;
    verb_submit(s, &k->v);
}

/* ---- records -------------------------------------------------------------------------------- */

struct records_verb {
    struct verb v;
    store_records_fn *done;
    void *arg;
    struct record_query query;
    char account[STORE_NAME_MAX], key[STORE_NAME_MAX], id[TEXT_UUID_MAX + 1];
    struct backend_scan scan;
};

#define RECORDS(verb) CONTAINER(verb, struct records_verb, v)

static void records_run(struct verb *v)
{
    struct records_verb *r = RECORDS(v);
    if (r->scan.rows == NULL)
        r->scan.rows = mem_new((size_t)r->query.limit * sizeof *r->scan.rows);
    v->err = v->store->ops->records_scan(v->store->backend, &r->scan);
    v->again = v->err == OK && r->scan.more;
}

static void records_finish(struct verb *v)
{
    struct records_verb *r = RECORDS(v);
    r->done(r->arg, v->err, v->err == OK ? r->scan.rows : NULL, v->err == OK ? r->scan.n : 0);
}

static void records_destroy(struct verb *v)
{
    mem_free(RECORDS(v)->scan.rows);
    mem_free(RECORDS(v));
}

void store_records_query(struct store *s, const struct record_query *q, store_records_fn *done,
                         void *arg)
{
    struct records_verb *r = NEW(struct records_verb);
    assert(done != NULL);
    r->v = (struct verb){.run = records_run, .finish = records_finish, .destroy = records_destroy};
    r->done = done;
    r->arg = arg;
    r->query = *q;
    if (q->account != NULL) {
        text_copy(r->account, sizeof r->account, slice_of(q->account));
        r->query.account = r->account;
    }
    if (q->key != NULL) {
        text_copy(r->key, sizeof r->key, slice_of(q->key));
        r->query.key = r->key;
    }
    if (q->id != NULL) { /* one character longer than a name: cut, it is still nobody's */
        text_copy(r->id, sizeof r->id, slice_of(q->id));
        r->query.id = r->id;
    }
    r->scan.query = &r->query;
    if (q->limit < 1 || q->limit > 1000)
        r->v.err = ERR_RANGE;
    verb_submit(s, &r->v);
}

/* ---- objects -------------------------------------------------------------------------------- */

struct object_verb {
    struct verb v;
    store_object_fn *done;
    void *arg;
    char name[STORE_OBJECT_MAX];
    int64_t account_id;
};

#define OBJECT(verb) CONTAINER(verb, struct object_verb, v)

static void object_run(struct verb *v)
{
    struct object_verb *o = OBJECT(v);
    if (o->account_id == 0)
        v->err = v->store->ops->object_get(v->store->backend, slice_of(o->name), &o->account_id);
}

static void object_finish(struct verb *v)
{
    struct object_verb *o = OBJECT(v);
    o->done(o->arg, v->err, v->err == OK ? o->account_id : 0);
}

void store_object_get(struct store *s, struct slice object, store_object_fn *done, void *arg)
{
    struct object_verb *o = NEW(struct object_verb);
    assert(done != NULL);
    o->v = (struct verb){.run = object_run, .finish = object_finish, .destroy = plain_destroy};
    o->done = done;
    o->arg = arg;
    if (object.n == 0 || object.n >= STORE_OBJECT_MAX)
        o->v.err = ERR_NOTFOUND;
    else
        text_copy(o->name, sizeof o->name, object);
    /* While the disk refuses writes, what was put is known here only. */
    if (o->v.err == OK)
        o->account_id = drain_find_object(s, object);
    verb_submit(s, &o->v);
}
