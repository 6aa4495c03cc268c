/* Batches of records and notes, written in one transaction. */
#include "store/sqlite.h"

#include <stdalign.h>
#include <string.h>

/* ---- a record's attempts ----------------------------------------------------------------------
 *
 * [[account id, account, status, reason, ms], ...]: for people with a SQL prompt, too. */

#define TRIES_MAX 65536

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

/* ---- rows -------------------------------------------------------------------------------------
 *
 * One statement writes RECORDS_MANY rows, another what is left over, one by one: to begin and to
 * end a statement costs a fifth of what a row does. What is bound stays so, from batch to batch,
 * for rows are much alike: the texts of a row lie in a place of their own, and those of the next
 * one are put there; as long as their lengths are the same the engine, which has no copy, need not
 * be told. */

struct row_place {
    alignas(struct packed) char bytes[PACKED_MAX]; /* as bound: a record without attempts */
    bool bound;
    ptrdiff_t names; /* there the attempts' accounts begin */
    struct slice tries;
    struct try_text one;
    struct buf many;
};
#define ROW_PLACES (1 + RECORDS_MANY) /* of ST_RECORD_ADD, and of ST_RECORDS_ADD */
struct record_rows {
    struct row_place place[ROW_PLACES];
};
struct row_binder {
    sqlite3_stmt *st;
    int at; /* the last column bound */
    struct row_place *place;
    const struct packed *was, *now;
    bool all;                 /* nothing is bound yet */
    bool stay;                /* the texts are as long as before */
    ptrdiff_t text_was, text; /* there the next one begins */
};

static struct record_rows *rows_new(void)
{
    struct record_rows *rows = NEW(struct record_rows);
    for (size_t i = 0; i < ROW_PLACES; i++)
        buf_init(&rows->place[i].many, TRIES_MAX);
    return rows;
}

void records_close(struct backend *b)
{
    for (size_t i = 0; b->rows != NULL && i < ROW_PLACES; i++)
        buf_free(&b->rows->place[i].many);
    mem_free(b->rows);
}

static ptrdiff_t row_texts_at(const struct packed *p)
{
    return packed_texts(p) - (const char *)p;
}

static ptrdiff_t row_names_at(const struct packed *p)
{
    ptrdiff_t at = row_texts_at(p);
    for (int i = 0; i < PACKED_TEXTS; i++)
        at += p->length[i];
    return at;
}

static void row_text(struct row_binder *w, ptrdiff_t at, int n)
{
    (void)sqlite3_bind_text(w->st, w->at, &w->place->bytes[at], n, SQLITE_STATIC);
}

/* The next `n` texts, which are columns one behind the other. */
static void row_texts(struct row_binder *w, enum packed_text first, int n)
{
    if (w->stay) {
        w->at += n;
        return;
    }
    for (int i = (int)first; i < (int)first + n; i++) {
        w->at++;
        if (w->all || w->text != w->text_was || w->now->length[i] != w->was->length[i])
            row_text(w, w->text, w->now->length[i]);
        w->text += w->now->length[i];
        w->text_was += w->was->length[i];
    }
}

/* Of the last attempt. */
static void row_account(struct row_binder *w, ptrdiff_t names)
{
    const uint8_t *length = &w->now->length[PACKED_TEXTS];
    const int last = w->now->kept - 1;
    w->at++;
    if (w->stay)
        return;
    for (int i = 0; i < last; i++)
        names += length[i];
    row_text(w, names, last < 0 ? 0 : length[last]);
}

static void row_tries(struct row_binder *w, struct slice tries)
{
    struct slice *was = &w->place->tries;
    w->at++;
    if (w->all || was->p != tries.p || was->n != tries.n)
        bind_slice(w->st, w->at, tries);
    *was = tries;
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
static void row_columns(struct row_binder *w, ptrdiff_t names, struct slice tries)
{
    const struct packed *was = w->was, *p = w->now;
    row_texts(w, PACKED_ID, 1);
    row_number(w, was->at, p->at);
    row_texts(w, PACKED_KEY_ID, 3);
    row_word(w, was->route, p->route);
    row_texts(w, PACKED_MODEL_ASKED, 4);
    row_number(w, was->stream, p->stream);
    row_number(w, was->status, p->status);
    row_word(w, was->end, p->end);
    row_account(w, names);
    row_number(w, was->attempts, p->attempts);
    row_tries(w, tries);
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
    assert(w->stay || w->text == names);
}

/* The row that `st` has from its column `num`, `at`, on. */
static enum err row_bind(struct backend *b, sqlite3_stmt *st, int at, struct row_place *place,
                         const struct packed *p)
{
    struct packed *was = (struct packed *)(void *)place->bytes;
    const bool all = !place->bound;
    const bool stay = !all && p->kept == was->kept &&
                      memcmp(p->length, was->length, (size_t)PACKED_TEXTS + p->kept) == 0;
    const ptrdiff_t text = row_texts_at(p), names = stay ? place->names : row_names_at(p);
    struct slice tries = {place->one.text, try_print(&place->one, p, (const char *)p + names)};
    if (tries.n == 0) {
        enum err e = tries_print(&place->many, p, (const char *)p + names);
        if (e != OK)
            return e;
        tries = buf_slice(&place->many);
    }
    memcpy(&place->bytes[text], (const char *)p + text, p->size - (size_t)text);
    struct row_binder w = {.st = st,
                           .at = at,
                           .place = place,
                           .was = was,
                           .now = p,
                           .all = all,
                           .stay = stay,
                           .text_was = all ? text : row_texts_at(was),
                           .text = text};
    row_columns(&w, names, tries);
    assert(w.at == at + RECORD_COLUMNS_N - 1);
    memcpy(was, p, sizeof *p);
    place->names = names;
    place->bound = b->utf8; /* else the engine has its own copies of the texts */
    return OK;
}

/* `n` rows, RECORDS_MANY or one, of which *p is the first, and then the one behind them. The first
 * is given the number `num`, or 0: they count on where the table ends. */
static enum err rows_write(struct backend *b, size_t n, int64_t num, const struct packed **p)
{
    struct row_place *place = n == 1 ? b->rows->place : b->rows->place + 1;
    enum err e;
    sqlite3_stmt *st = stmt_use(b, n == 1 ? ST_RECORD_ADD : ST_RECORDS_ADD, &e);
    if (st == NULL)
        return e;
    assert((size_t)sqlite3_bind_parameter_count(st) == n * RECORD_COLUMNS_N);
    if (num != 0)
        (void)sqlite3_bind_int64(st, 1, num);
    for (size_t i = 0; i < n && e == OK; i++, *p = packed_next(*p))
        e = row_bind(b, st, (int)(i * RECORD_COLUMNS_N + 1), &place[i], *p);
    int rc = e == OK ? sqlite3_step(st) : SQLITE_DONE;
    if (rc != SQLITE_DONE)
        e = sq_fail(b, rc);
    (void)sqlite3_reset(st); /* what is bound stays */
    if (num != 0)
        (void)sqlite3_bind_null(st, 1);
    return e;
}

/* The first row is given its number. The others get the next ones from the engine, which knows the
 * table's end and need not look where it is. */
static enum err records_write(struct backend *b, const struct backend_batch *batch)
{
    const struct packed *p = batch->records;
    const size_t n = batch->records_n;
    enum err e = OK;
    static_assert(BACKEND_BREATH % RECORDS_MANY == 0, "a breath is between two statements");
    if (n > 0 && b->rows == NULL)
        b->rows = rows_new();
    for (size_t done = 0; done < n && e == OK;) {
        const size_t some = n - done < RECORDS_MANY ? 1 : RECORDS_MANY;
        e = rows_write(b, some, done == 0 ? b->next_record : 0, &p);
        done += some;
        if (batch->breathe != NULL && done % BACKEND_BREATH == 0)
            batch->breathe(batch->breathe_arg);
    }
    assert(e != OK || n == 0 ||
           sqlite3_last_insert_rowid(b->db) == b->next_record + (int64_t)n - 1);
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
