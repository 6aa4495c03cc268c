/* memory: a storage engine of plain arrays (include/sluice/backend.h), so that a run costs
 * microseconds. It carries the name of the SQLite engine, whose place it takes at link time; that
 * one has its own tests, with a disk. Everything in front of it (ring, verbs, vault) is the real
 * store. */
#include "sluice/backend.h"

#include <string.h>

struct memory_account {
    struct account_row row;
    char *sealed;
    size_t sealed_n;
};
struct memory_token {
    struct token_row row;
    char *access, *refresh;
};
struct memory_lease {
    char name[STORE_NAME_MAX], holder[STORE_NAME_MAX];
    int64_t taken_at, until;
};
struct backend {
    struct memory_account *account;
    struct memory_token *token;
    struct memory_lease *lease;
    struct window_row *window;
    struct key_row *key;
    struct group_row *group;
    struct record *record;
    struct backend_object *object;
    size_t accounts, keys, groups, records, objects, tokens, leases, windows;
    int64_t next_account, next_record;
    size_t objects_max;
    struct backend_vault vault;
};

static void *one_more(void *array, size_t n, size_t size)
{
    return (n & (n - 1)) == 0 ? mem_grow(array, (n == 0 ? 1 : 2 * n) * size) : array;
}

static enum err memory_open(const struct backend_options *o, struct backend **out, char *why,
                            size_t why_size)
{
    if (o->path != NULL) {
        text_format(why, why_size, "this engine has no files");
        return ERR_UNSUPPORTED;
    }
    *out = NEW(struct backend);
    (*out)->objects_max = (size_t)o->objects_max;
    return OK;
}

static void token_clear(struct memory_token *t)
{
    mem_free(t->access);
    mem_free(t->refresh);
}

static void memory_close(struct backend *b)
{
    for (size_t i = 0; i < b->accounts; i++)
        mem_free(b->account[i].sealed);
    mem_free(b->account);
    mem_free(b->key);
    mem_free(b->group);
    mem_free(b->record);
    mem_free(b->object);
    for (size_t i = 0; i < b->tokens; i++)
        token_clear(&b->token[i]);
    mem_free(b->token);
    mem_free(b->lease);
    mem_free(b->window);
    mem_free(b);
}

static void memory_patience(struct backend *b, int busy_ms)
{
    (void)b;
    (void)busy_ms;
}

static void memory_share(struct backend *b)
{
    (void)b;
}

static const char *memory_why(const struct backend *b)
{
    (void)b;
    return "";
}

static int64_t memory_bytes(struct backend *b)
{
    return (int64_t)(b->records * sizeof *b->record);
}

static enum err memory_moved(struct backend *b, bool *moved)
{
    (void)b;
    *moved = false;
    return OK;
}

/* ---- accounts ------------------------------------------------------------------------------ */

static enum err memory_account_id(struct backend *b, int64_t *id)
{
    *id = ++b->next_account;
    return OK;
}

static struct memory_account *account_by_id(struct backend *b, int64_t id)
{
    for (size_t i = 0; i < b->accounts; i++)
        if (b->account[i].row.id == id)
            return &b->account[i];
    return NULL;
}

static struct memory_token *token_by_id(struct backend *b, int64_t account_id)
{
    for (size_t i = 0; i < b->tokens; i++)
        if (b->token[i].row.account_id == account_id)
            return &b->token[i];
    return NULL;
}

static bool name_taken(const struct backend *b, const struct account_row *row)
{
    for (size_t i = 0; i < b->accounts; i++)
        if (strcmp(b->account[i].row.name, row->name) == 0 && b->account[i].row.id != row->id)
            return true;
    return false;
}

static void sealed_set(struct memory_account *a, struct slice sealed)
{
    mem_free(a->sealed);
    a->sealed = mem_slicedup(sealed);
    a->sealed_n = sealed.n;
}

static enum err memory_accounts_load(struct backend *b, int64_t id, backend_account_fn *each,
                                     void *arg)
{
    for (size_t i = 0; i < b->accounts; i++) {
        const struct memory_account *a = &b->account[i];
        if (id == 0 || a->row.id == id)
            each(arg, &a->row, (struct slice){a->sealed, a->sealed_n});
    }
    return OK;
}

static enum err memory_account_add(struct backend *b, const struct account_row *row,
                                   struct slice sealed)
{
    assert(row->id > 0 && account_by_id(b, row->id) == NULL);
    if (name_taken(b, row))
        return ERR_EXISTS;
    b->account = one_more(b->account, b->accounts, sizeof *b->account);
    struct memory_account *a = &b->account[b->accounts++];
    *a = (struct memory_account){.row = *row};
    a->row.secret = (struct slice){"", 0};
    sealed_set(a, sealed);
    return OK;
}

static enum err memory_account_update(struct backend *b, const struct account_row *row,
                                      struct slice sealed)
{
    struct memory_account *a = account_by_id(b, row->id);
    if (a == NULL)
        return ERR_NOTFOUND;
    if (a->row.version != row->version)
        return ERR_CONFLICT;
    if (name_taken(b, row))
        return ERR_EXISTS;
    text_copy(a->row.name, sizeof a->row.name, slice_of(row->name));
    text_copy(a->row.base_url, sizeof a->row.base_url, slice_of(row->base_url));
    a->row.priority = row->priority;
    a->row.weight = row->weight;
    a->row.paused = row->paused;
    a->row.allow_private = row->allow_private;
    text_copy(a->row.settings, sizeof a->row.settings, slice_of(row->settings));
    a->row.version++;
    if (sealed.n > 0)
        sealed_set(a, sealed);
    return OK;
}

static enum err memory_account_remove(struct backend *b, int64_t id)
{
    struct memory_account *a = account_by_id(b, id);
    if (a == NULL)
        return ERR_NOTFOUND;
    mem_free(a->sealed);
    memmove(a, a + 1, (size_t)(&b->account[b->accounts] - (a + 1)) * sizeof *a);
    b->accounts--;
    size_t kept = 0;
    for (size_t i = 0; i < b->objects; i++)
        if (b->object[i].account_id != id)
            b->object[kept++] = b->object[i];
    b->objects = kept;
    kept = 0;
    for (size_t i = 0; i < b->windows; i++)
        if (b->window[i].account_id != id)
            b->window[kept++] = b->window[i];
    b->windows = kept;
    struct memory_token *t = token_by_id(b, id);
    if (t != NULL) {
        token_clear(t);
        *t = b->token[--b->tokens];
    }
    return OK;
}

/* ---- tokens and leases --------------------------------------------------------------------- */

static void token_tell(const struct memory_token *t, backend_token_fn *each, void *arg)
{
    struct backend_sealed sealed = {.access = slice_of(t->access), .refresh = slice_of(t->refresh)};
    each(arg, &t->row, &sealed);
}

static enum err memory_tokens_load(struct backend *b, backend_token_fn *each, void *arg)
{
    for (size_t i = 0; i < b->tokens; i++)
        token_tell(&b->token[i], each, arg);
    return OK;
}

static enum err memory_token_swap(struct backend *b, int64_t expect, const struct token_row *row,
                                  const struct backend_sealed *sealed, backend_token_fn *each,
                                  void *arg)
{
    struct memory_token *t = token_by_id(b, row->account_id);
    if (account_by_id(b, row->account_id) == NULL)
        return ERR_NOTFOUND;
    if ((t == NULL ? 0 : t->row.generation) != expect) {
        if (t != NULL)
            token_tell(t, each, arg);
        return ERR_CONFLICT;
    }
    if (t == NULL) {
        b->token = mem_grow(b->token, (b->tokens + 1) * sizeof *b->token);
        t = &b->token[b->tokens++];
    } else {
        token_clear(t);
    }
    *t = (struct memory_token){.row = *row,
                               .access = mem_slicedup(sealed->access),
                               .refresh = mem_slicedup(sealed->refresh)};
    t->row.generation = expect + 1;
    t->row.noted_at = 0;
    t->row.access = t->row.refresh = (struct slice){"", 0};
    token_tell(t, each, arg);
    return OK;
}

static enum err memory_token_note(struct backend *b, int64_t account_id, int64_t generation,
                                  int64_t at)
{
    struct memory_token *t = token_by_id(b, account_id);
    if (t == NULL)
        return ERR_NOTFOUND;
    if (t->row.generation != generation)
        return ERR_CONFLICT;
    t->row.noted_at = at;
    return OK;
}

static struct memory_lease *lease_by_name(struct backend *b, struct slice name)
{
    for (size_t i = 0; i < b->leases; i++)
        if (slice_eq(slice_of(b->lease[i].name), name))
            return &b->lease[i];
    return NULL;
}

static enum err memory_lease_take(struct backend *b, struct slice name, struct slice holder,
                                  int64_t now, int64_t ttl_ms)
{
    struct memory_lease *l = lease_by_name(b, name);
    if (l != NULL && !slice_eq(slice_of(l->holder), holder) && l->until > now &&
        l->until - now <= 2 * (l->until - l->taken_at))
        return ERR_CONFLICT;
    if (l == NULL) {
        b->lease = mem_grow(b->lease, (b->leases + 1) * sizeof *b->lease);
        l = &b->lease[b->leases++];
    }
    *l = (struct memory_lease){.taken_at = now, .until = now + ttl_ms};
    text_copy(l->name, sizeof l->name, name);
    text_copy(l->holder, sizeof l->holder, holder);
    return OK;
}

static enum err memory_lease_drop(struct backend *b, struct slice name, struct slice holder)
{
    struct memory_lease *l = lease_by_name(b, name);
    if (l != NULL && slice_eq(slice_of(l->holder), holder))
        *l = b->lease[--b->leases];
    return OK;
}

/* ---- keys ---------------------------------------------------------------------------------- */

static enum err memory_keys_load(struct backend *b, backend_key_fn *each, void *arg)
{
    for (size_t i = 0; i < b->keys; i++)
        each(arg, &b->key[i]);
    return OK;
}

static enum err memory_key_add(struct backend *b, const struct key_row *row)
{
    for (size_t i = 0; i < b->keys; i++)
        if (strcmp(b->key[i].id, row->id) == 0 ||
            (strcmp(b->key[i].name, row->name) == 0 && b->key[i].revoked_at == 0))
            return ERR_EXISTS;
    b->key = one_more(b->key, b->keys, sizeof *b->key);
    b->key[b->keys++] = *row;
    return OK;
}

static enum err memory_key_update(struct backend *b, const struct key_row *row)
{
    struct key_row *mine = NULL;
    bool taken = false;
    for (size_t i = 0; i < b->keys; i++)
        if (strcmp(b->key[i].id, row->id) == 0)
            mine = &b->key[i];
        else
            taken |= strcmp(b->key[i].name, row->name) == 0 && b->key[i].revoked_at == 0;
    if (mine == NULL)
        return ERR_NOTFOUND;
    if (taken && mine->revoked_at == 0)
        return ERR_EXISTS;
    memcpy(mine->name, row->name, sizeof mine->name);
    memcpy(mine->group, row->group, sizeof mine->group);
    memcpy(mine->settings, row->settings, sizeof mine->settings);
    return OK;
}

static enum err memory_key_revoke(struct backend *b, const char *id, int64_t at)
{
    for (size_t i = 0; i < b->keys; i++)
        if (strcmp(b->key[i].id, id) == 0) {
            if (b->key[i].revoked_at == 0)
                b->key[i].revoked_at = at;
            return OK;
        }
    return ERR_NOTFOUND;
}

/* ---- groups -------------------------------------------------------------------------------- */

/* Where it is, or where it would be: the array is in order of names. */
static size_t group_place(const struct backend *b, const char *name, bool *found)
{
    size_t i = 0;
    while (i < b->groups && strcmp(b->group[i].name, name) < 0)
        i++;
    *found = i < b->groups && strcmp(b->group[i].name, name) == 0;
    return i;
}

static enum err memory_groups_load(struct backend *b, const char *name, backend_group_fn *each,
                                   void *arg)
{
    for (size_t i = 0; i < b->groups; i++)
        if (name == NULL || strcmp(b->group[i].name, name) == 0)
            each(arg, &b->group[i]);
    return OK;
}

static enum err memory_group_put(struct backend *b, const struct group_row *row)
{
    bool found;
    size_t at = group_place(b, row->name, &found);
    if (row->version == 0 && found)
        return ERR_EXISTS;
    if (row->version != 0 && !found)
        return ERR_NOTFOUND;
    if (found && b->group[at].version != row->version)
        return ERR_CONFLICT;
    if (!found) {
        b->group = mem_grow(b->group, (b->groups + 1) * sizeof *b->group);
        memmove(&b->group[at + 1], &b->group[at], (b->groups - at) * sizeof *b->group);
        b->groups++;
    }
    b->group[at] = *row;
    b->group[at].version++;
    return OK;
}

static enum err memory_group_remove(struct backend *b, const char *name)
{
    bool found;
    size_t at = group_place(b, name, &found);
    if (!found)
        return ERR_NOTFOUND;
    b->groups--;
    memmove(&b->group[at], &b->group[at + 1], (b->groups - at) * sizeof *b->group);
    return OK;
}

/* ---- batches ------------------------------------------------------------------------------- */

static void fact_apply(struct backend *b, const struct backend_fact *f)
{
    struct memory_account *a = account_by_id(b, f->account_id);
    if (a == NULL || store_is_newer(a->row.facts_seen_at, f->seen_at))
        return;
    a->row.facts_seen_at = f->seen_at;
    a->row.cool_until = f->cool_until;
    memcpy(a->row.cool_reason, f->cool_reason, sizeof a->row.cool_reason);
}

static void use_apply(struct backend *b, const struct backend_use *u)
{
    for (size_t i = 0; i < b->keys; i++)
        if (strcmp(b->key[i].id, u->key_id) == 0 && b->key[i].last_used_at < u->at)
            b->key[i].last_used_at = u->at;
}

static void object_apply(struct backend *b, const struct backend_object *o)
{
    for (size_t i = 0; i < b->objects; i++)
        if (strcmp(b->object[i].name, o->name) == 0) {
            b->object[i] = *o;
            return;
        }
    if (b->objects > 0 && b->objects >= b->objects_max) {
        memmove(b->object, b->object + 1, (b->objects - 1) * sizeof *b->object);
        b->objects--;
    }
    b->object = mem_grow(b->object, (b->objects + 1) * sizeof *b->object);
    b->object[b->objects++] = *o;
}

static struct window_row *window_find(struct backend *b, int64_t account_id, const char *name)
{
    for (size_t i = 0; i < b->windows; i++)
        if (b->window[i].account_id == account_id && strcmp(b->window[i].name, name) == 0)
            return &b->window[i];
    return NULL;
}

static void window_apply(struct backend *b, const struct window_row *row)
{
    struct window_row *w = window_find(b, row->account_id, row->name);
    size_t mine = 0, oldest = SIZE_MAX;
    if (account_by_id(b, row->account_id) == NULL ||
        (w != NULL && store_is_newer(w->seen_at, row->seen_at)))
        return;
    if (w != NULL) {
        *w = *row;
        return;
    }
    b->window = mem_grow(b->window, (b->windows + 1) * sizeof *b->window);
    b->window[b->windows++] = *row;
    for (size_t i = 0; i < b->windows; i++) {
        if (b->window[i].account_id != row->account_id)
            continue;
        mine++;
        if (oldest == SIZE_MAX || b->window[i].seen_at < b->window[oldest].seen_at)
            oldest = i;
    }
    if (mine > STORE_WINDOWS_MAX)
        b->window[oldest] = b->window[--b->windows];
}

static enum err memory_windows_load(struct backend *b, backend_window_fn *each, void *arg)
{
    for (size_t i = 0; i < b->windows; i++)
        each(arg, &b->window[i]);
    return OK;
}

static enum err memory_apply(struct backend *b, const struct backend_batch *batch)
{
    const struct packed *p = batch->records;
    for (size_t i = 0; i < batch->records_n; i++, p = packed_next(p)) {
        b->record = one_more(b->record, b->records, sizeof *b->record);
        record_unpack(&b->record[b->records], p);
        b->record[b->records++].row = ++b->next_record;
    }
    for (size_t i = 0; i < batch->facts_n; i++)
        fact_apply(b, &batch->facts[i]);
    for (size_t i = 0; i < batch->uses_n; i++)
        use_apply(b, &batch->uses[i]);
    for (size_t i = 0; i < batch->objects_n; i++)
        object_apply(b, &batch->objects[i]);
    for (size_t i = 0; i < batch->windows_n; i++)
        window_apply(b, &batch->windows[i]);
    return OK;
}

static bool record_fits(const struct record *r, const struct record_query *q)
{
    int kept = r->attempts < STORE_ATTEMPTS ? r->attempts : STORE_ATTEMPTS;
    if (q->id != NULL)
        return strcmp(r->id, q->id) == 0;
    if (q->forward ? r->row <= q->after_row : (q->before_row != 0 && r->row >= q->before_row))
        return false;
    if (q->key != NULL && strcmp(r->key_name, q->key) != 0)
        return false;
    return q->account == NULL ||
           (kept > 0 && strcmp(r->attempt[kept - 1].account, q->account) == 0);
}

static enum err memory_records_scan(struct backend *b, struct backend_scan *scan)
{
    const struct record_query *q = scan->query;
    for (size_t i = 0; i < b->records && scan->n < (size_t)q->limit; i++) {
        const struct record *r = &b->record[q->forward ? i : b->records - 1 - i];
        if (record_fits(r, q))
            scan->rows[scan->n++] = *r;
    }
    scan->more = false;
    return OK;
}

static enum err memory_prune(struct backend *b, struct backend_prune *p)
{
    size_t gone = 0;
    while (gone < b->records && b->record[gone].at < p->before_at)
        gone++;
    while (p->max_bytes > 0 && gone < b->records &&
           (int64_t)((b->records - gone) * sizeof *b->record) > p->max_bytes)
        gone++;
    b->records -= gone;
    if (gone > 0)
        memmove(b->record, b->record + gone, b->records * sizeof *b->record);
    p->removed += (int64_t)gone;
    p->more = false;
    return OK;
}

static enum err memory_object_get(struct backend *b, struct slice name, int64_t *account_id)
{
    for (size_t i = 0; i < b->objects; i++)
        if (slice_eq(slice_of(b->object[i].name), name)) {
            *account_id = b->object[i].account_id;
            return OK;
        }
    return ERR_NOTFOUND;
}

/* ---- the key's mark: nobody replaces the key of a house that plays ------------------------- */

static enum err memory_vault_load(struct backend *b, struct backend_vault *out)
{
    *out = b->vault;
    return OK;
}

static enum err memory_vault_put(struct backend *b, struct slice pepper)
{
    assert(pepper.n > 0 && pepper.n < sizeof b->vault.pepper);
    if (b->vault.n > 0)
        return ERR_EXISTS;
    memcpy(b->vault.pepper, pepper.p, pepper.n);
    b->vault.n = pepper.n;
    return OK;
}

static void memory_vault_take(struct backend *b, int64_t rotations)
{
    assert(rotations == b->vault.rotations);
}

const struct backend_ops backend_sqlite = {
    .name = "memory",
    .open = memory_open,
    .close = memory_close,
    .patience = memory_patience,
    .share = memory_share,
    .why = memory_why,
    .bytes = memory_bytes,
    .moved = memory_moved,
    .account_id = memory_account_id,
    .accounts_load = memory_accounts_load,
    .account_add = memory_account_add,
    .account_update = memory_account_update,
    .account_remove = memory_account_remove,
    .keys_load = memory_keys_load,
    .key_add = memory_key_add,
    .key_update = memory_key_update,
    .key_revoke = memory_key_revoke,
    .groups_load = memory_groups_load,
    .group_put = memory_group_put,
    .group_remove = memory_group_remove,
    .apply = memory_apply,
    .records_scan = memory_records_scan,
    .prune = memory_prune,
    .object_get = memory_object_get,
    .tokens_load = memory_tokens_load,
    .token_swap = memory_token_swap,
    .token_note = memory_token_note,
    .lease_take = memory_lease_take,
    .lease_drop = memory_lease_drop,
    .windows_load = memory_windows_load,
    .vault_load = memory_vault_load,
    .vault_put = memory_vault_put,
    .vault_take = memory_vault_take,
};
