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
    size_t n = p->length[PACKED_TEXTS];
    if (p->attempts != 1 || a->reason == NULL)
        return 0;
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
struct row_binder {
    sqlite3_stmt *st;
    bool begun; /* a row has been bound */
    int at;     /* the last column bound */
    const struct packed *row;
    const char *text; /* of the row: the next one to be bound */
    int texts;        /* bound so far */
    struct bound {
        const char *text;
        int64_t number;          /* or the length of the text */
    } was[RECORD_COLUMNS_N + 1]; /* by number of the parameter */
    struct try_text one;
};

static void row_slice(struct row_binder *w, const char *s, size_t n)
{
    struct bound *was = &w->was[++w->at];
    if (w->begun && was->number == (int64_t)n && memcmp(was->text, s, n) == 0)
        return;
    *was = (struct bound){s, (int64_t)n};
    (void)sqlite3_bind_text(w->st, w->at, s, (int)n, SQLITE_STATIC);
}

static void row_text(struct row_binder *w, enum packed_text which)
{
    const char *s = w->text;
    assert((int)which == w->texts); /* they lie in the order of the columns */
    w->texts++;
    w->text += w->row->length[which];
    row_slice(w, s, w->row->length[which]);
}

static void row_word(struct row_binder *w, const char *s)
{
    const char **was = &w->was[++w->at].text;
    if (w->begun && *was == s)
        return;
    *was = s;
    bind_cstr(w->st, w->at, s);
}

static void row_number(struct row_binder *w, int64_t n)
{
    int64_t *was = &w->was[++w->at].number;
    if (w->begun && *was == n)
        return;
    *was = n;
    (void)sqlite3_bind_int64(w->st, w->at, n);
}

static const char *row_names(const struct packed *p)
{
    const char *s = packed_texts(p);
    for (int i = 0; i < PACKED_TEXTS; i++)
        s += p->length[i];
    return s;
}

static struct slice row_account(const struct packed *p, const char *names)
{
    for (int i = 0; i + 1 < p->kept; i++)
        names += p->length[PACKED_TEXTS + i];
    return (struct slice){names, p->kept > 0 ? p->length[PACKED_TEXTS + p->kept - 1] : 0};
}

/* In the order of RECORD_COLUMNS behind `num`, like record_read. */
static void row_bind(struct row_binder *w, const struct packed *p, struct slice account,
                     struct slice tries)
{
    w->at = w->texts = 0;
    w->row = p;
    w->text = packed_texts(p);
    row_text(w, PACKED_ID);
    row_number(w, p->at);
    row_text(w, PACKED_KEY_ID);
    row_text(w, PACKED_KEY_NAME);
    row_text(w, PACKED_CLIENT);
    row_word(w, p->route);
    row_text(w, PACKED_MODEL_ASKED);
    row_text(w, PACKED_MODEL_ANSWERED);
    row_text(w, PACKED_SESSION);
    row_text(w, PACKED_UPSTREAM_ID);
    row_number(w, p->stream);
    row_number(w, p->status);
    row_word(w, p->end);
    row_slice(w, account.p, account.n);
    row_number(w, p->attempts);
    bind_slice(w->st, ++w->at, tries); /* never the same for long: printed for each row */
    row_number(w, p->ttfb_ms);
    row_number(w, p->duration_ms);
    row_number(w, p->bytes_in);
    row_number(w, p->bytes_out);
    row_number(w, p->usage_known);
    row_number(w, p->input);
    row_number(w, p->output);
    row_number(w, p->cache_read);
    row_number(w, p->cache_write_5m);
    row_number(w, p->cache_write_1h);
    row_number(w, p->thinking);
    row_number(w, p->web_searches);
    row_number(w, p->web_fetches);
    row_text(w, PACKED_SERVICE_TIER);
    row_text(w, PACKED_STOP_REASON);
    row_number(w, p->cost_nano_usd);
    row_text(w, PACKED_PRICE_DATE);
    row_text(w, PACKED_GROUP);
    row_text(w, PACKED_WHY);
    assert(w->at == RECORD_COLUMNS_N && w->texts == PACKED_TEXTS);
    w->begun = true;
}

static enum err row_write(struct backend *b, struct row_binder *w, const struct packed *p)
{
    const char *names = row_names(p);
    size_t n = try_print(&w->one, p, names);
    int rc;
    enum err e = n == 0 ? tries_print(&b->text, p, names) : OK;
    if (e != OK)
        return e;
    row_bind(w, p, row_account(p, names),
             n == 0 ? buf_slice(&b->text) : (struct slice){w->one.text, n});
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
    struct row_binder w = {0};
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
