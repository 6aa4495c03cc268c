/* The verbs of tokens, leases and windows: made like those of verbs.c. */
#include "store/inside.h"

#include <string.h>

/* ---- tokens --------------------------------------------------------------------------------- */

struct tokens_verb {
    struct verb v;
    store_tokens_fn *done;
    void *arg;
    int64_t expect;
    struct token_row row; /* the argument; its slices are the copies */
    char *access, *refresh;
    struct token_row *rows;
    struct buf (*clear)[2]; /* of each row: access, refresh */
    size_t n, cap;
    size_t unreadable;
};

#define TOKENS(verb) CONTAINER(verb, struct tokens_verb, v)

/* The columns of an access token with and without a refresh token differ: one whose companion was
 * taken away does not pass for a long-lived one. */
static struct vault_place access_place(const struct token_row *row, bool alone)
{
    return (struct vault_place){.table = "tokens",
                                .column = alone ? "access_alone" : "access",
                                .row = row->account_id,
                                .generation = row->generation};
}

static struct vault_place refresh_place(const struct token_row *row)
{
    return (struct vault_place){.table = "tokens",
                                .column = "refresh",
                                .row = row->account_id,
                                .generation = row->generation};
}

/* A pair is read whole or not at all. */
static enum err token_open(const struct store *s, struct token_row *row,
                           const struct backend_sealed *sealed, struct buf clear[2])
{
    struct vault_place access = access_place(row, sealed->refresh.n == 0);
    struct vault_place refresh = refresh_place(row);
    enum err e = secret_open(s, &access, sealed->access, &clear[0]);
    enum err f = secret_open(s, &refresh, sealed->refresh, &clear[1]);
    if (e == OK)
        e = clear[0].len == 0 ? ERR_CORRUPT : f;
    if (e != OK)
        return e;
    row->access = buf_slice(&clear[0]);
    row->refresh = buf_slice(&clear[1]);
    return OK;
}

static void token_each(void *arg, const struct token_row *row, const struct backend_sealed *sealed)
{
    struct tokens_verb *t = arg;
    struct token_row *mine;
    enum err e;
    if (t->n == t->cap) {
        t->cap = t->cap == 0 ? 8 : 2 * t->cap;
        t->rows = mem_grow(t->rows, t->cap * sizeof *t->rows);
        t->clear = mem_grow(t->clear, t->cap * sizeof *t->clear);
    }
    mine = &t->rows[t->n];
    *mine = *row;
    /* A row and a generation begin at 1; what says otherwise was never sealed for. */
    if (row->account_id <= 0 || row->generation <= 0) {
        buf_init(&t->clear[t->n][0], 1);
        buf_init(&t->clear[t->n][1], 1);
        e = ERR_CORRUPT;
    } else {
        e = token_open(t->v.store, mine, sealed, t->clear[t->n]);
    }
    t->n++;
    if (e == ERR_NOMEM) { /* says nothing about the token: rather no answer than a wrong one */
        t->v.err = e;
    } else if (e != OK) {
        mine->unreadable = true;
        t->unreadable++;
    }
}

static void tokens_forget(struct tokens_verb *t)
{
    for (size_t i = 0; i < t->n; i++) {
        secret_close(&t->clear[i][0]);
        secret_close(&t->clear[i][1]);
    }
    t->n = t->unreadable = 0;
}

static void tokens_load_run(struct verb *v)
{
    struct store *s = v->store;
    struct tokens_verb *t = TOKENS(v);
    enum err e;
    do {
        tokens_forget(t);
        e = s->ops->tokens_load(s->backend, token_each, t);
    } while (e == OK && t->unreadable > 0 && sealed_moved(v));
    if (e != OK)
        v->err = e;
}

static enum err token_seal(const struct tokens_verb *t, struct buf *access, struct buf *refresh)
{
    const struct vault *vault = &t->v.store->keys.vault;
    bool alone = t->row.refresh.n == 0;
    struct vault_place at = access_place(&t->row, alone);
    enum err e = vault_seal(vault, &at, t->row.access, access);
    if (e != OK || alone)
        return e;
    at = refresh_place(&t->row);
    return vault_seal(vault, &at, t->row.refresh, refresh);
}

static enum err token_swap_once(struct tokens_verb *t)
{
    struct store *s = t->v.store;
    struct buf access, refresh;
    buf_init(&access, VAULT_SEALED_MAX);
    buf_init(&refresh, VAULT_SEALED_MAX);
    tokens_forget(t);
    enum err e = token_seal(t, &access, &refresh);
    if (e == OK) {
        struct backend_sealed sealed = {buf_slice(&access), buf_slice(&refresh)};
        e = s->ops->token_swap(s->backend, t->expect, &t->row, &sealed, token_each, t);
    }
    buf_free(&access);
    buf_free(&refresh);
    return e;
}

static void token_swap_run(struct verb *v)
{
    struct tokens_verb *t = TOKENS(v);
    enum err e;
    do {
        e = token_swap_once(t);
        if (e == ERR_CONFLICT && t->unreadable > 0 && sealed_moved(v))
            e = token_swap_once(t);
    } while (e == ERR_STATE && sealed_again(v));
    if (e != OK && v->err == OK) /* else keeps what token_each has found */
        v->err = e;
}

static void tokens_finish(struct verb *v)
{
    struct tokens_verb *t = TOKENS(v);
    bool told = v->err == OK || v->err == ERR_CONFLICT;
    if (t->unreadable > 0)
        log_warn("tokens cannot be read: sealed under another master key, or damaged",
                 LF_INT("accounts", t->unreadable));
    t->done(t->arg, v->err, told ? t->rows : NULL, told ? t->n : 0);
}

static void tokens_destroy(struct verb *v)
{
    struct tokens_verb *t = TOKENS(v);
    tokens_forget(t);
    secret_free(t->access, t->row.access.n);
    secret_free(t->refresh, t->row.refresh.n);
    mem_free(t->rows);
    mem_free(t->clear);
    mem_free(t);
}

static struct tokens_verb *tokens_new(void (*run)(struct verb *), bool writes,
                                      store_tokens_fn *done, void *arg)
{
    struct tokens_verb *t = NEW(struct tokens_verb);
    assert(done != NULL);
    t->v = (struct verb){
        .run = run, .finish = tokens_finish, .destroy = tokens_destroy, .writes = writes};
    t->done = done;
    t->arg = arg;
    return t;
}

void store_tokens_load(struct store *s, store_tokens_fn *done, void *arg)
{
    verb_submit(s, &tokens_new(tokens_load_run, false, done, arg)->v);
}

void store_token_swap(struct store *s, int64_t expect, const struct token_row *row,
                      store_tokens_fn *done, void *arg)
{
    struct tokens_verb *t = tokens_new(token_swap_run, true, done, arg);
    assert(row->account_id > 0 && expect >= 0 && expect < INT64_MAX);
    t->expect = expect;
    t->row = *row;
    t->row.generation = expect + 1;
    t->row.access = t->row.refresh = (struct slice){NULL, 0};
    if (row->access.n == 0)
        t->v.err = ERR_RANGE;
    else if (row->access.n > STORE_SECRET_MAX || row->refresh.n > STORE_SECRET_MAX)
        t->v.err = ERR_LIMIT;
    if (t->v.err == OK) {
        t->access = secret_copy(row->access);
        t->refresh = secret_copy(row->refresh);
        t->row.access = (struct slice){t->access, row->access.n};
        t->row.refresh = (struct slice){t->refresh, row->refresh.n};
    }
    verb_submit(s, &t->v);
}

/* ---- the note of a refresh, and leases ------------------------------------------------------ */

struct mark_verb {
    struct verb v;
    store_done_fn *done;
    void *arg;
    int64_t account_id, generation;
    int64_t at, ttl_ms;
    char name[STORE_NAME_MAX], holder[STORE_NAME_MAX];
};

#define MARK(verb) CONTAINER(verb, struct mark_verb, v)

static void mark_finish(struct verb *v)
{
    struct mark_verb *m = MARK(v);
    if (m->done != NULL)
        m->done(m->arg, v->err);
}

static void mark_destroy(struct verb *v)
{
    mem_free(MARK(v));
}

static struct mark_verb *mark_new(void (*run)(struct verb *), store_done_fn *done, void *arg)
{
    struct mark_verb *m = NEW(struct mark_verb);
    m->v = (struct verb){
        .run = run, .finish = mark_finish, .destroy = mark_destroy, .writes = true};
    m->done = done;
    m->arg = arg;
    return m;
}

static void token_note_run(struct verb *v)
{
    struct mark_verb *m = MARK(v);
    v->err = v->store->ops->token_note(v->store->backend, m->account_id, m->generation, m->at);
}

void store_token_note(struct store *s, int64_t account_id, int64_t generation, int64_t at,
                      store_done_fn *done, void *arg)
{
    struct mark_verb *m = mark_new(token_note_run, done, arg);
    assert(account_id > 0 && generation > 0 && at >= 0);
    m->account_id = account_id;
    m->generation = generation;
    m->at = at;
    verb_submit(s, &m->v);
}

static void lease_name(struct mark_verb *m, char out[STORE_NAME_MAX], struct slice name)
{
    if (name.n == 0 || name.n >= STORE_NAME_MAX || slice_find(name, '\0') >= 0)
        m->v.err = ERR_RANGE;
    else
        text_copy(out, STORE_NAME_MAX, name);
}

static void lease_take_run(struct verb *v)
{
    struct mark_verb *m = MARK(v);
    v->err = v->store->ops->lease_take(v->store->backend, slice_of(m->name), slice_of(m->holder),
                                       m->at, m->ttl_ms);
}

/* The engine's word for another's lease is not the one for its own trouble, which is counted and
 * logged; to the caller both say: not now. */
static void lease_take_finish(struct verb *v)
{
    if (v->err == ERR_CONFLICT)
        v->err = ERR_BUSY;
    mark_finish(v);
}

void store_lease_take(struct store *s, struct slice name, struct slice holder, int64_t now,
                      int64_t ttl_ms, store_done_fn *done, void *arg)
{
    struct mark_verb *m = mark_new(lease_take_run, done, arg);
    assert(ttl_ms > 0 && now >= 0);
    m->v.finish = lease_take_finish;
    lease_name(m, m->name, name);
    lease_name(m, m->holder, holder);
    m->at = now;
    m->ttl_ms = ttl_ms;
    verb_submit(s, &m->v);
}

static void lease_drop_run(struct verb *v)
{
    struct mark_verb *m = MARK(v);
    v->err = v->store->ops->lease_drop(v->store->backend, slice_of(m->name), slice_of(m->holder));
}

void store_lease_drop(struct store *s, struct slice name, struct slice holder)
{
    struct mark_verb *m = mark_new(lease_drop_run, NULL, NULL);
    lease_name(m, m->name, name);
    lease_name(m, m->holder, holder);
    verb_submit(s, &m->v);
}

/* ---- windows -------------------------------------------------------------------------------- */

struct windows_verb {
    struct verb v;
    store_windows_fn *done;
    void *arg;
    struct window_row *rows;
    size_t n, cap;
};

#define WINDOWS(verb) CONTAINER(verb, struct windows_verb, v)

static void window_each(void *arg, const struct window_row *row)
{
    struct windows_verb *w = arg;
    if (w->n == w->cap) {
        w->cap = w->cap == 0 ? 16 : 2 * w->cap;
        w->rows = mem_grow(w->rows, w->cap * sizeof *w->rows);
    }
    w->rows[w->n++] = *row;
}

static void windows_run(struct verb *v)
{
    v->err = v->store->ops->windows_load(v->store->backend, window_each, WINDOWS(v));
}

static void windows_finish(struct verb *v)
{
    struct windows_verb *w = WINDOWS(v);
    w->done(w->arg, v->err, v->err == OK ? w->rows : NULL, v->err == OK ? w->n : 0);
}

static void windows_destroy(struct verb *v)
{
    mem_free(WINDOWS(v)->rows);
    mem_free(WINDOWS(v));
}

void store_windows_load(struct store *s, store_windows_fn *done, void *arg)
{
    struct windows_verb *w = NEW(struct windows_verb);
    assert(done != NULL);
    w->v = (struct verb){.run = windows_run, .finish = windows_finish, .destroy = windows_destroy};
    w->done = done;
    w->arg = arg;
    verb_submit(s, &w->v);
}
