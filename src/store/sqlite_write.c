/* Batches of records and notes, written in one transaction. */
#include "store/sqlite.h"

#include <string.h>

/* ---- a record's attempts ----------------------------------------------------------------------
 *
 * [[account id, account, status, reason, ms], ...]: for people with a SQL prompt, too. */

static enum err tries_print(struct buf *out, const struct packed *p, const char *names)
{
    struct jw w;
    buf_clear(out);
    jw_init(&w, out);
    jw_arr(&w);
    for (int i = 0; i < p->kept; i++) {
        const struct packed_attempt *a = &p->attempt[i];
        size_t n = p->length[PACKED_TEXTS + i];
        jw_arr(&w);
        jw_i64(&w, a->account_id);
        jw_str(&w, (struct slice){names, n});
        jw_i64(&w, a->status);
        jw_cstr(&w, a->reason);
        jw_i64(&w, a->ms);
        jw_end_arr(&w);
        names += n;
    }
    jw_end_arr(&w);
    return w.err;
}

#define TRY_WORD 64
#define TRY_MAX  (3 * TEXT_U64_MAX + 2 * (TRY_WORD + 2) + 16)

/* The one attempt that nearly every record has, printed by hand; what stands before its time is
 * most often that of the row before. */
struct try_text {
    struct packed_attempt a; /* as printed */
    char text[TRY_MAX];
    size_t head; /* printed up to the time; 0 = nothing is */
    size_t name; /* where the account's name stands, and how long it is */
    size_t name_n;
};

static char *try_number(char *p, int64_t n)
{
    if (n < 0)
        *p++ = '-';
    return p + text_from_u64(n < 0 ? ~(uint64_t)n + 1 : (uint64_t)n, p);
}

/* NULL: it is long, or JSON would write it in another way. */
static char *try_word(char *p, const char *s, size_t n)
{
    if (n > TRY_WORD)
        return NULL;
    *p++ = '"';
    for (size_t i = 0; i < n; i++) {
        if (s[i] < ' ' || s[i] >= 0x7f || s[i] == '"' || s[i] == '\\')
            return NULL;
        p[i] = s[i];
    }
    p[n] = '"';
    return p + n + 1;
}

static bool try_head(struct try_text *t, const struct packed_attempt *a, const char *name, size_t n)
{
    char *p = t->text;
    t->head = 0;
    *p++ = '[';
    *p++ = '[';
    p = try_number(p, a->account_id);
    *p++ = ',';
    t->name = (size_t)(p + 1 - t->text);
    t->name_n = n;
    p = try_word(p, name, n);
    if (p == NULL)
        return false;
    *p++ = ',';
    p = try_number(p, a->status);
    *p++ = ',';
    p = try_word(p, a->reason, strlen(a->reason));
    if (p == NULL)
        return false;
    *p++ = ',';
    t->head = (size_t)(p - t->text);
    t->a = *a;
    return true;
}

static bool try_goes_on(const struct try_text *t, const struct packed_attempt *a, const char *name,
                        size_t n)
{
    return t->head != 0 && t->a.account_id == a->account_id && t->a.status == a->status &&
           t->a.reason == a->reason && t->name_n == n && memcmp(t->text + t->name, name, n) == 0;
}

/* As tries_print does it; 0: that one must do it. */
static size_t try_print(struct try_text *t, const struct packed *p, const char *name)
{
    const struct packed_attempt *a = &p->attempt[0];
    if (p->attempts != 1 || a->reason == NULL)
        return 0;
    size_t n = p->length[PACKED_TEXTS];
    if (!try_goes_on(t, a, name, n) && !try_head(t, a, name, n))
        return 0;
    char *end = try_number(t->text + t->head, a->ms);
    *end++ = ']';
    *end++ = ']';
    assert(end - t->text <= TRY_MAX);
    return (size_t)(end - t->text);
}

/* ---- rows ----------------------------------------------------------------------------------- */

/* Rows of a batch are much alike: what is as it was in the row before stays bound, for a bound
 * value survives its step. Texts are those of the batch, which stay where they are meanwhile. */
struct row_place {
    const struct packed *row;
    const char *text; /* the next one */
};
struct row_binder {
    sqlite3_stmt *st;
    bool all; /* there is no row before */
    int at;   /* the last column bound */
    struct row_place now, last;
    struct try_text one;
};

static const char *row_names(const struct packed *p)
{
    const char *s = packed_texts(p);
    for (int i = 0; i < PACKED_TEXTS; i++)
        s += p->length[i];
    return s;
}

/* Of the last attempt. */
static struct slice row_account(const struct packed *p)
{
    const char *s = row_names(p);
    for (int i = 0; i + 1 < p->kept; i++)
        s += p->length[PACKED_TEXTS + i];
    return (struct slice){s, p->kept > 0 ? p->length[PACKED_TEXTS + p->kept - 1] : 0};
}

static void row_slice(struct row_binder *w, struct slice was, struct slice s)
{
    w->at++;
    if (!w->all && slice_eq(was, s))
        return;
    (void)sqlite3_bind_text(w->st, w->at, s.p, (int)s.n, SQLITE_STATIC);
}

/* The next `n` texts, which are columns one behind the other. */
static void row_texts(struct row_binder *w, enum packed_text first, int n)
{
    const uint8_t *now = &w->now.row->length[first], *last = &w->last.row->length[first];
    size_t size = 0;
    bool same = !w->all;
    for (int i = 0; i < n; i++) {
        size += now[i];
        same &= now[i] == last[i];
    }
    if (same && memcmp(w->now.text, w->last.text, size) == 0) {
        w->at += n;
        w->now.text += size;
        w->last.text += size;
        return;
    }
    for (int i = 0; i < n; i++) {
        row_slice(w, (struct slice){w->last.text, last[i]}, (struct slice){w->now.text, now[i]});
        w->now.text += now[i];
        w->last.text += last[i];
    }
}

static void row_word(struct row_binder *w, const char *was, const char *s)
{
    w->at++;
    if (w->all || was != s)
        bind_cstr(w->st, w->at, s);
}

static void row_number(struct row_binder *w, int64_t was, int64_t n)
{
    w->at++;
    if (w->all || was != n)
        (void)sqlite3_bind_int64(w->st, w->at, n);
}

/* In the order of RECORD_COLUMNS behind `num`, like record_read. */
static void row_bind(struct row_binder *w, const struct packed *p, struct slice tries)
{
    const struct packed *was = w->all ? p : w->now.row;
    w->last = (struct row_place){was, packed_texts(was)};
    w->now = (struct row_place){p, packed_texts(p)};
    w->at = 0;
    row_texts(w, PACKED_ID, 1);
    row_number(w, was->at, p->at);
    row_texts(w, PACKED_KEY_ID, 2);
    row_texts(w, PACKED_CLIENT, 1);
    row_word(w, was->route, p->route);
    row_texts(w, PACKED_MODEL_ASKED, 3);
    row_texts(w, PACKED_UPSTREAM_ID, 1);
    row_number(w, was->stream, p->stream);
    row_number(w, was->status, p->status);
    row_word(w, was->end, p->end);
    row_slice(w, row_account(was), row_account(p));
    row_number(w, was->attempts, p->attempts);
    bind_slice(w->st, ++w->at, tries); /* never the same for long: printed for each row */
    row_number(w, was->ttfb_ms, p->ttfb_ms);
    row_number(w, was->duration_ms, p->duration_ms);
    row_number(w, was->bytes_in, p->bytes_in);
    row_number(w, was->bytes_out, p->bytes_out);
    row_number(w, was->usage_known, p->usage_known);
    row_number(w, was->input, p->input);
    row_number(w, was->output, p->output);
    row_number(w, was->cache_read, p->cache_read);
    row_number(w, was->cache_write_5m, p->cache_write_5m);
    row_number(w, was->cache_write_1h, p->cache_write_1h);
    row_number(w, was->thinking, p->thinking);
    row_number(w, was->web_searches, p->web_searches);
    row_number(w, was->web_fetches, p->web_fetches);
    row_texts(w, PACKED_SERVICE_TIER, 2);
    row_number(w, was->cost_nano_usd, p->cost_nano_usd);
    row_texts(w, PACKED_PRICE_DATE, 3);
    assert(w->at == RECORD_COLUMNS_N && w->now.text == row_names(p));
    w->all = false;
}

static enum err row_write(struct backend *b, struct row_binder *w, const struct packed *p)
{
    const char *names = row_names(p);
    size_t n = try_print(&w->one, p, names);
    int rc;
    enum err e = n == 0 ? tries_print(&b->text, p, names) : OK;
    if (e != OK)
        return e;
    row_bind(w, p, n == 0 ? buf_slice(&b->text) : (struct slice){w->one.text, n});
    rc = sqlite3_step(w->st);
    if (rc != SQLITE_DONE)
        e = sq_fail(b, rc);
    (void)sqlite3_reset(w->st);
    return e;
}

/* Rows [from, to), of which *p is the first, and then the one behind them: the first one is given
 * the number `num`, or they count on where the table ends. */
static enum err rows_write(struct backend *b, enum stmt which, int64_t num,
                           const struct backend_batch *batch, size_t from, size_t to,
                           const struct packed **p)
{
    struct row_binder w = {.all = true};
    enum err e;
    w.st = stmt_use(b, which, &e);
    if (w.st == NULL)
        return e;
    if (which == ST_RECORD_FIRST)
        (void)sqlite3_bind_int64(w.st, RECORD_COLUMNS_N + 1, num);
    assert(sqlite3_bind_parameter_count(w.st) == RECORD_COLUMNS_N + (which == ST_RECORD_FIRST));
    for (size_t i = from; i < to && e == OK; i++, *p = packed_next(*p)) {
        if (batch->breathe != NULL && i % BACKEND_BREATH == BACKEND_BREATH - 1)
            batch->breathe(batch->breathe_arg);
        e = row_write(b, &w, *p);
    }
    stmt_end(w.st);
    return e;
}

/* The first row is given its number. The others get the next ones from the engine, which knows the
 * table's end and need not look whether the number is taken. */
static enum err records_write(struct backend *b, const struct backend_batch *batch)
{
    const struct packed *p = batch->records;
    size_t n = batch->records_n;
    enum err e;
    if (n == 0)
        return OK;
    e = rows_write(b, ST_RECORD_FIRST, b->next_record, batch, 0, 1, &p);
    if (e == OK && n > 1)
        e = rows_write(b, ST_RECORD_ADD, 0, batch, 1, n, &p);
    assert(e != OK || sqlite3_last_insert_rowid(b->db) == b->next_record + (int64_t)n - 1);
    return e;
}

static bool batch_empty(const struct backend_batch *batch)
{
    return batch->records_n + batch->facts_n + batch->uses_n + batch->objects_n +
               batch->windows_n ==
           0;
}

enum err records_apply(struct backend *b, const struct backend_batch *batch)
{
    bool durable = batch->objects_n > 0;
    enum err e = tx_begin(b, durable);
    if (e != OK)
        return e;
    e = records_open(b); /* another process may have put rows, or pruned them */
    if (e == OK)
        e = records_write(b, batch);
    if (e == OK)
        e = rows_facts(b, batch->facts, batch->facts_n);
    if (e == OK)
        e = rows_uses(b, batch->uses, batch->uses_n);
    if (e == OK)
        e = rows_objects(b, batch->objects, batch->objects_n);
    if (e == OK)
        e = rows_windows(b, batch->windows, batch->windows_n);
    if (e == OK && batch_empty(batch))
        e = meta_put(b, "alive", b->next_record); /* a page of the file, all the same */
    e = batch->facts_n > 0 ? tx_end_told(b, durable, e) : tx_end(b, durable, e);
    if (e == OK)
        b->next_record += (int64_t)batch->records_n;
    return e;
}
