/* The one-way street to the disk: request records, and notes (facts, windows, key uses, objects).
 *
 *   store_record --> [ring]--.
 *   facts, windows, ... ---> [fresh] --> [taken] --> one batch, one transaction --> through
 *                                           ^                      |
 *                                           '--- kept, later again -'  (locked, full, I/O)
 *
 * At most one batch is under way. It leaves when BATCH_MAX rows are there or the oldest has waited
 * BATCH_WAIT_MS, or when a verb needs to see what was put before it. A batch that failed is kept as
 * it was and offered again; meanwhile the ring fills, and what finds it full is dropped and
 * counted. */
#include "store/inside.h"

#include <math.h>
#include <string.h>

/* ---- notes ---------------------------------------------------------------------------------- */

static void notes_clear(struct notes *n)
{
    n->facts_n = n->uses_n = n->objects_n = n->windows_n = 0;
}

static bool notes_empty(const struct notes *n)
{
    return n->facts_n == 0 && n->uses_n == 0 && n->objects_n == 0 && n->windows_n == 0;
}

static void notes_free(struct notes *n)
{
    mem_free(n->facts);
    mem_free(n->uses);
    mem_free(n->objects);
    mem_free(n->windows);
    *n = (struct notes){0};
}

/* Room for one more of `size` bytes in a growing array: sizes 16, 32, 64... */
static void *notes_room(void *p, size_t n, size_t size)
{
    assert(n < NOTES_MAX);
    if (n != 0 && (n < 16 || (n & (n - 1)) != 0))
        return p;
    return mem_grow(p, (n == 0 ? 16 : 2 * n) * size);
}

static void notes_put_one(struct store *s, bool urgent)
{
    struct drain *d = &s->drain;
    d->notes_put++;
    if (d->flying || d->stalled)
        return;
    if (urgent)
        drain_kick(s);
    else if (!timer_armed(&d->timer))
        timer_set(&d->timer, loop_now(s->loop) + BATCH_WAIT_MS);
}

void store_facts_put(struct store *s, int64_t account_id, int64_t seen_at, int64_t cool_until,
                     const char *cool_reason)
{
    struct notes *n = &s->drain.fresh;
    struct backend_fact *f = NULL;
    assert(account_id > 0 && !s->closing);
    for (size_t i = 0; i < n->facts_n && f == NULL; i++) {
        if (n->facts[i].account_id == account_id)
            f = &n->facts[i];
    }
    if (f != NULL && store_is_newer(f->seen_at, seen_at))
        return;
    if (f == NULL) {
        if (n->facts_n == NOTES_MAX)
            return; /* more accounts than that change only while the disk is away for long */
        n->facts = notes_room(n->facts, n->facts_n, sizeof *n->facts);
        f = &n->facts[n->facts_n++];
    }
    *f = (struct backend_fact){
        .account_id = account_id, .seen_at = seen_at, .cool_until = cool_until};
    text_copy(f->cool_reason, sizeof f->cool_reason, slice_of(cool_reason));
    notes_put_one(s, false);
}

void store_window_put(struct store *s, const struct window_row *row)
{
    struct notes *n = &s->drain.fresh;
    struct window_row *w = NULL;
    assert(row->account_id > 0 && row->name[0] != '\0' && !s->closing);
    assert(memchr(row->name, '\0', sizeof row->name) != NULL);
    for (size_t i = 0; i < n->windows_n && w == NULL; i++) {
        if (n->windows[i].account_id == row->account_id &&
            strcmp(n->windows[i].name, row->name) == 0)
            w = &n->windows[i];
    }
    if (w != NULL && store_is_newer(w->seen_at, row->seen_at))
        return;
    if (w == NULL) {
        if (n->windows_n == NOTES_MAX)
            return; /* as for facts */
        n->windows = notes_room(n->windows, n->windows_n, sizeof *n->windows);
        w = &n->windows[n->windows_n++];
    }
    *w = *row;
    /* Not a number would be refused by the engine, and the whole batch with it. */
    if (!isfinite(w->used) || w->used < 0)
        w->used = -1;
    notes_put_one(s, false);
}

/* The minute of the last put of each key, so that a busy key costs one look-up a request. */
static bool used_is_new(struct store *s, const char *id, int64_t minute)
{
    int64_t *last = map_get(&s->used, slice_of(id));
    if (last != NULL && *last >= minute)
        return false;
    if (last == NULL) {
        last = NEW(int64_t);
        (void)map_put(&s->used, slice_of(id), last);
    }
    *last = minute;
    return true;
}

void store_key_used(struct store *s, const char *id, int64_t at)
{
    struct notes *n = &s->drain.fresh;
    struct backend_use *u = NULL;
    int64_t minute = at - at % 60000;
    assert(id[0] != '\0' && strlen(id) < STORE_KEYID_MAX && !s->closing);
    if (!used_is_new(s, id, minute))
        return;
    for (size_t i = 0; i < n->uses_n && u == NULL; i++) {
        if (strcmp(n->uses[i].key_id, id) == 0)
            u = &n->uses[i];
    }
    if (u == NULL) {
        if (n->uses_n == NOTES_MAX)
            return;
        n->uses = notes_room(n->uses, n->uses_n, sizeof *n->uses);
        u = &n->uses[n->uses_n++];
        text_copy(u->key_id, sizeof u->key_id, slice_of(id));
    }
    u->at = minute;
    notes_put_one(s, false);
}

void store_object_put(struct store *s, struct slice object, int64_t account_id, int64_t at)
{
    struct notes *n = &s->drain.fresh;
    struct backend_object *o;
    assert(account_id > 0 && !s->closing);
    if (object.n == 0 || object.n >= STORE_OBJECT_MAX || n->objects_n == NOTES_MAX) {
        s->stats.failures++;
        trouble_log(s, ERR_LIMIT, "an object's name is too long, or too many of them wait");
        return;
    }
    n->objects = notes_room(n->objects, n->objects_n, sizeof *n->objects);
    o = &n->objects[n->objects_n++];
    text_copy(o->name, sizeof o->name, object);
    o->account_id = account_id;
    o->at = at;
    notes_put_one(s, true); /* a batch somebody pays for: losing it would lose its results */
}

static int64_t notes_find(const struct notes *n, struct slice name)
{
    for (size_t i = n->objects_n; i-- > 0;) {
        if (slice_eq(slice_of(n->objects[i].name), name))
            return n->objects[i].account_id;
    }
    return 0;
}

int64_t drain_find_object(const struct store *s, struct slice name)
{
    int64_t id = notes_find(&s->drain.fresh, name);
    return id != 0 ? id : notes_find(&s->drain.taken, name);
}

/* ---- records -------------------------------------------------------------------------------- */

static size_t block_rows(const struct ring *g)
{
    return g->cap < BATCH_MAX ? g->cap : BATCH_MAX;
}

static struct block *block_first(const struct ring *g)
{
    return list_empty(&g->blocks) ? NULL : CONTAINER(g->blocks.next, struct block, link);
}

/* The one with room for a row, at the end. */
static struct block *block_open(struct ring *g)
{
    struct block *b = g->spare;
    static_assert(BATCH_MAX * PACKED_MAX <= RING_BLOCK, "there is room for long rows, too");
    if (!list_empty(&g->blocks)) {
        struct block *last = CONTAINER(g->blocks.prev, struct block, link);
        if (last->put < block_rows(g))
            return last;
    }
    g->spare = NULL;
    if (b == NULL) {
        b = mem_new(sizeof *b + RING_BLOCK);
        list_init(&b->link);
    }
    b->first = b->end = b->rows = b->put = 0;
    list_push(&g->blocks, &b->link);
    return b;
}

/* `n` rows, which end at `end` of the first block, are through. */
static void ring_drop(struct ring *g, size_t n, size_t end)
{
    struct block *b = block_first(g);
    if (n == 0)
        return;
    assert(b != NULL && n <= b->rows && n <= g->count && end > b->first && end <= b->end);
    g->count -= n;
    b->rows -= n;
    b->first = end;
    assert((b->rows == 0) == (b->first == b->end));
    if (b->rows > 0)
        return;
    list_remove(&b->link);
    if (g->spare != NULL)
        mem_free(b);
    else
        g->spare = b;
}

static void ring_free(struct ring *g)
{
    struct block *b;
    while ((b = block_first(g)) != NULL) {
        list_remove(&b->link);
        mem_free(b);
    }
    mem_free(g->spare);
    g->spare = NULL;
    g->count = 0;
}

static void block_put(struct block *b, const struct record *r, const struct record_texts *t)
{
    struct packed *p = (struct packed *)(void *)&b->bytes[b->end];
    assert(b->end + PACKED_MAX <= RING_BLOCK);
    record_pack(p, r, t);
    b->end += p->size;
    b->rows++;
    b->put++;
}

void store_record_with(struct store *s, const struct record *r, const struct record_texts *t)
{
    struct drain *d = &s->drain;
    struct ring *g = &s->ring;
    assert(g->count <= g->cap && !s->closing);
    if (g->count == g->cap) {
        s->stats.records_dropped++;
        trouble_log(s, ERR_LIMIT, "the ring is full: request records are dropped");
        return;
    }
    block_put(block_open(g), r, t);
    g->count++;
    d->records_put++;
    if (d->flying || d->stalled)
        return;
    if (g->count >= BATCH_MAX)
        drain_kick(s);
    else if (!timer_armed(&d->timer))
        timer_set(&d->timer, loop_now(s->loop) + BATCH_WAIT_MS);
}

void store_record(struct store *s, const struct record *r)
{
    struct record_texts t = record_texts_of(r);
    store_record_with(s, r, &t);
}

/* ---- the batch ------------------------------------------------------------------------------ */

bool drain_idle(const struct store *s)
{
    const struct drain *d = &s->drain;
    return d->records_done == d->records_put && d->notes_done == d->notes_put;
}

/* A batch in one go takes a processor from the loop and its peers for a millisecond. */
static void batch_breathe(void *arg)
{
    struct worker *w = arg;
    (void)worker_breathe(w);
}

/* Whether there is time for that: not when the ring fills, and nobody else is there at the end. */
static bool batch_may_breathe(const struct store *s)
{
    return s->worker != NULL && s->ring.count <= s->ring.cap / 4;
}

/* A failed batch is offered again with the same notes; rows that came meanwhile may join it. */
static void batch_fill(struct store *s)
{
    struct drain *d = &s->drain;
    const struct block *b = block_first(&s->ring);
    if (notes_empty(&d->taken)) {
        struct notes spare = d->taken;
        d->taken = d->fresh;
        d->fresh = spare;
        d->notes_taken = d->notes_put;
    }
    const void *rows = b != NULL ? &b->bytes[b->first] : NULL;
    d->batch_end = b != NULL ? b->end : 0;
    d->batch = (struct backend_batch){.records = rows,
                                      .records_n = b != NULL ? b->rows : 0,
                                      .facts = d->taken.facts,
                                      .facts_n = d->taken.facts_n,
                                      .uses = d->taken.uses,
                                      .uses_n = d->taken.uses_n,
                                      .objects = d->taken.objects,
                                      .objects_n = d->taken.objects_n,
                                      .windows = d->taken.windows,
                                      .windows_n = d->taken.windows_n,
                                      .breathe = batch_may_breathe(s) ? batch_breathe : NULL,
                                      .breathe_arg = s->worker};
}

/* On the store's thread. */
static void drain_run(struct job *j)
{
    struct drain *d = CONTAINER(j, struct drain, job);
    struct store *s = d->store;
    if (d->err == OK)
        d->err = s->ops->apply(s->backend, &d->batch);
    if (d->err != OK)
        text_copy(d->why, sizeof d->why, slice_of(engine_why(s, d->err)));
    d->bytes = s->ops->bytes(s->backend);
}

static void batch_through(struct store *s)
{
    struct drain *d = &s->drain;
    ring_drop(&s->ring, d->batch.records_n, d->batch_end);
    d->records_done += d->batch.records_n;
    d->notes_done = d->notes_taken;
    notes_clear(&d->taken);
    d->batch = (struct backend_batch){0};
    assert(d->records_done + s->ring.count == d->records_put);
}

/* Books what came of the batch; true when it is to be kept and offered again. */
static bool batch_settle(struct store *s)
{
    struct drain *d = &s->drain;
    size_t n = d->batch.records_n;
    store_note(s, d->err, d->why, true);
    if (d->bytes > 0)
        s->stats.db_bytes = d->bytes;
    if (err_is_trouble(d->err))
        return true;
    /* What the engine will never take (a value out of its bounds) must not block the rest. */
    if (d->err == OK) {
        s->stats.records_written += n;
    } else {
        s->stats.records_dropped += n;
        s->stats.failures++;
        trouble_log(s, d->err, d->why);
    }
    batch_through(s);
    return false;
}

static void drain_next(struct store *s)
{
    struct drain *d = &s->drain;
    assert(!d->flying && !d->stalled);
    if (drain_idle(s))
        return;
    if (s->ring.count >= BATCH_MAX || !list_empty(&s->waiting) || d->fresh.objects_n > 0)
        drain_kick(s);
    else if (!timer_armed(&d->timer))
        timer_set(&d->timer, loop_now(s->loop) + BATCH_WAIT_MS);
}

static void drain_done(struct job *j)
{
    struct drain *d = CONTAINER(j, struct drain, job);
    struct store *s = d->store;
    assert(d->flying);
    d->flying = false;
    d->stalled = batch_settle(s);
    if (s->closing)
        return;
    if (d->stalled)
        timer_set(&d->timer,
                  loop_now(s->loop) + (d->err == ERR_BUSY ? RETRY_BUSY_MS : RETRY_OTHER_MS));
    verb_release(s);
    if (!d->stalled)
        drain_next(s);
    if (s->max_bytes > 0 && s->stats.db_bytes > s->max_bytes + s->max_bytes / 8 &&
        loop_now(s->loop) - s->pruned_at >= PRUNE_SOON_MS)
        prune_start(s);
}

static void drain_start(struct store *s)
{
    struct drain *d = &s->drain;
    assert(!d->flying);
    timer_stop(&d->timer);
    batch_fill(s);
    d->flying = true;
    d->err = fault_here() ? ERR_IO : OK;
    worker_post(s->worker, &d->job);
}

void drain_kick(struct store *s)
{
    if (!s->drain.flying && !s->drain.stalled && !drain_idle(s))
        drain_start(s);
}

static void drain_fire(void *arg)
{
    struct store *s = arg;
    assert(!s->drain.flying);
    s->drain.stalled = false;
    if (!drain_idle(s) || s->stats.last_error != OK)
        drain_start(s);
}

void drain_watch(struct store *s)
{
    struct drain *d = &s->drain;
    if (!s->closing && !d->flying && !d->stalled && !timer_armed(&d->timer))
        timer_set(&d->timer, loop_now(s->loop) + RETRY_OTHER_MS);
}

void drain_init(struct store *s, size_t ring)
{
    struct drain *d = &s->drain;
    assert(ring > 0);
    s->ring.cap = ring;
    list_init(&s->ring.blocks);
    d->store = s;
    d->job = (struct job){.run = drain_run, .done = drain_done};
    list_init(&d->job.link);
    timer_init(&d->timer, s->loop, drain_fire, s);
}

void drain_close(struct store *s)
{
    struct drain *d = &s->drain;
    assert(s->closing && !d->flying && s->worker == NULL);
    while (!drain_idle(s)) {
        batch_fill(s);
        d->err = OK;
        drain_run(&d->job);
        if (batch_settle(s))
            break;
    }
    if (s->ring.count > 0) {
        s->stats.records_dropped += s->ring.count;
        log_error("records lost at shutdown", LF_INT("records", s->ring.count),
                  LF_STR("error", err_name(d->err)), LF_STR("why", d->why));
    }
}

void drain_free(struct store *s)
{
    notes_free(&s->drain.fresh);
    notes_free(&s->drain.taken);
    ring_free(&s->ring);
}

void drain_trim(struct store *s)
{
    mem_free(s->ring.spare);
    s->ring.spare = NULL;
}
