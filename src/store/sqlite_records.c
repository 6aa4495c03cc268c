/* Records: many rows, written in batches, read by their numbers, pruned from the old end. */
#include "store/sqlite.h"

#include <string.h>

#define SCAN_SPAN    20000 /* numbers looked at in one bite of a filtered query */
#define PRUNE_BITE   1000  /* rows removed in one bite */
#define VACUUM_BITE  512   /* pages given back in one bite */
#define VACUUM_SLACK 1024  /* free pages that may stay in the file, for the rows to come */

static enum err records_edges(struct backend *b, int64_t *lowest, int64_t *highest)
{
    enum err e;
    sqlite3_stmt *st = stmt_use(b, ST_RECORDS_EDGES, &e);
    if (st == NULL)
        return e;
    int rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        *lowest = sqlite3_column_int64(st, 0); /* NULL reads as 0: an empty table */
        *highest = sqlite3_column_int64(st, 1);
    } else {
        e = sq_fail(b, rc);
    }
    stmt_end(st);
    return e;
}

/* `pruned_to` is written whenever rows go, so that numbers grow on though the table be empty. */
enum err records_open(struct backend *b)
{
    int64_t lowest = 0, highest = 0, pruned = 0;
    enum err e = records_edges(b, &lowest, &highest);
    if (e == OK)
        e = meta_get(b, "pruned_to", 0, &pruned);
    if (e != OK)
        return e;
    b->next_record = (highest > pruned ? highest : pruned) + 1;
    assert(b->next_record > 0);
    return OK;
}

/* ---- writing -------------------------------------------------------------------------------- */

static int tries_kept(const struct record *r)
{
    return r->attempts > STORE_ATTEMPTS ? STORE_ATTEMPTS : r->attempts;
}

/* [[account id, account, status, reason, ms], ...]: for people with a SQL prompt, too. */
static enum err tries_print(struct buf *out, const struct record *r)
{
    struct jw w;
    buf_clear(out);
    jw_init(&w, out);
    jw_arr(&w);
    for (int i = 0; i < tries_kept(r); i++) {
        const struct record_attempt *a = &r->attempt[i];
        jw_arr(&w);
        jw_i64(&w, a->account_id);
        jw_cstr(&w, a->account);
        jw_i64(&w, a->status);
        jw_cstr(&w, a->reason);
        jw_i64(&w, a->ms);
        jw_end_arr(&w);
    }
    jw_end_arr(&w);
    return w.err;
}

/* Of the one attempt that nearly every record has. */
#define TRY_WORD 64
#define TRY_MAX  (3 * TEXT_U64_MAX + 2 * (TRY_WORD + 2) + 16)

static char *try_number(char *p, int64_t n)
{
    if (n < 0)
        *p++ = '-';
    return p + text_from_u64(n < 0 ? ~(uint64_t)n + 1 : (uint64_t)n, p);
}

/* NULL: it is long, or JSON would write it in another way. */
static char *try_word(char *p, const char *s)
{
    size_t n = 0;
    *p++ = '"';
    for (; s[n] != '\0' && n < TRY_WORD; n++) {
        if (s[n] < ' ' || s[n] >= 0x7f || s[n] == '"' || s[n] == '\\')
            return NULL;
        p[n] = s[n];
    }
    p[n] = '"';
    return s[n] == '\0' ? p + n + 1 : NULL;
}

/* As tries_print does it, in a quarter of its instructions; 0: that one must do it. */
static size_t try_print(char out[TRY_MAX], const struct record *r)
{
    const struct record_attempt *a = &r->attempt[0];
    char *p = out;
    if (r->attempts != 1 || a->reason == NULL)
        return 0;
    *p++ = '[';
    *p++ = '[';
    p = try_number(p, a->account_id);
    *p++ = ',';
    p = try_word(p, a->account);
    if (p == NULL)
        return 0;
    *p++ = ',';
    p = try_number(p, a->status);
    *p++ = ',';
    p = try_word(p, a->reason);
    if (p == NULL)
        return 0;
    *p++ = ',';
    p = try_number(p, a->ms);
    *p++ = ']';
    *p++ = ']';
    assert(p - out <= TRY_MAX);
    return (size_t)(p - out);
}

static const char *last_account(const struct record *r)
{
    int n = tries_kept(r);
    return n > 0 ? r->attempt[n - 1].account : "";
}

/* Rows of a batch are much alike: what is as it was in the row before stays bound, for a bound
 * value survives its step. Texts are those of the records, which stay where they are during the
 * batch. */
struct row_binder {
    sqlite3_stmt *st;
    bool begun; /* a row has been bound */
    int at;     /* the last column bound */
    union bound {
        const char *text;
        int64_t number;
    } was[RECORD_COLUMNS_N + 1]; /* by number of the parameter */
    char tries[TRY_MAX];
};

static void row_text(struct row_binder *w, const char *s)
{
    const char **was = &w->was[++w->at].text;
    if (w->begun && (*was == s || (*was != NULL && s != NULL && strcmp(*was, s) == 0)))
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

/* In the order of RECORD_COLUMNS behind `num`, like record_read. */
static void row_bind(struct row_binder *w, const struct record *r, struct slice tries)
{
    w->at = 0;
    row_text(w, r->id);
    row_number(w, r->at);
    row_text(w, r->key_id);
    row_text(w, r->key_name);
    row_text(w, r->client);
    row_text(w, r->route);
    row_text(w, r->model_asked);
    row_text(w, r->model_answered);
    row_text(w, r->session);
    row_text(w, r->upstream_id);
    row_number(w, r->stream);
    row_number(w, r->status);
    row_text(w, r->end);
    row_text(w, last_account(r));
    row_number(w, r->attempts);
    bind_slice(w->st, ++w->at, tries); /* never the same for long: printed for each row */
    row_number(w, r->ttfb_ms);
    row_number(w, r->duration_ms);
    row_number(w, r->bytes_in);
    row_number(w, r->bytes_out);
    row_number(w, r->usage_known);
    row_number(w, r->input);
    row_number(w, r->output);
    row_number(w, r->cache_read);
    row_number(w, r->cache_write_5m);
    row_number(w, r->cache_write_1h);
    row_number(w, r->thinking);
    row_number(w, r->web_searches);
    row_number(w, r->web_fetches);
    row_text(w, r->service_tier);
    row_text(w, r->stop_reason);
    row_number(w, r->cost_nano_usd);
    row_text(w, r->price_date);
    row_text(w, r->group);
    row_text(w, r->why);
    assert(w->at == RECORD_COLUMNS_N);
    w->begun = true;
}

static enum err row_write(struct backend *b, struct row_binder *w, const struct record *r)
{
    size_t n = try_print(w->tries, r);
    int rc;
    enum err e = n == 0 ? tries_print(&b->text, r) : OK;
    if (e != OK)
        return e;
    row_bind(w, r, n == 0 ? buf_slice(&b->text) : (struct slice){w->tries, n});
    rc = sqlite3_step(w->st);
    if (rc != SQLITE_DONE)
        e = sq_fail(b, rc);
    (void)sqlite3_reset(w->st);
    return e;
}

/* Rows [from, to): the first is given the number `num`, or counts on where the table ends. */
static enum err rows_write(struct backend *b, enum stmt which, int64_t num,
                           const struct backend_batch *batch, size_t from, size_t to)
{
    struct row_binder w = {0};
    enum err e;
    w.st = stmt_use(b, which, &e);
    if (w.st == NULL)
        return e;
    if (which == ST_RECORD_FIRST)
        (void)sqlite3_bind_int64(w.st, RECORD_COLUMNS_N + 1, num);
    assert(sqlite3_bind_parameter_count(w.st) == RECORD_COLUMNS_N + (which == ST_RECORD_FIRST));
    for (size_t i = from; i < to && e == OK; i++) {
        if (batch->breathe != NULL && i % BACKEND_BREATH == BACKEND_BREATH - 1)
            batch->breathe(batch->breathe_arg);
        e = row_write(b, &w, &batch->records[i]);
    }
    stmt_end(w.st);
    return e;
}

/* The first row is given its number. The others get the next ones from the engine, which knows the
 * table's end and need not look whether the number is taken. */
static enum err records_write(struct backend *b, const struct backend_batch *batch)
{
    size_t n = batch->records_n;
    enum err e;
    if (n == 0)
        return OK;
    e = rows_write(b, ST_RECORD_FIRST, b->next_record, batch, 0, 1);
    if (e == OK && n > 1)
        e = rows_write(b, ST_RECORD_ADD, 0, batch, 1, n);
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

/* ---- reading -------------------------------------------------------------------------------- */

/* Words that were static when they were written are static again: kept once, as long as the engine
 * lives. A file full of foreign words cannot make the table grow without end. */
static const char *intern(struct backend *b, struct slice s)
{
    if (s.n > 64)
        s.n = 64;
    for (size_t i = 0; i < b->words; i++) {
        if (slice_eq(slice_of(b->word[i]), s))
            return b->word[i];
    }
    if (b->words == INTERN_MAX)
        return "?";
    b->word[b->words] = mem_slicedup(s);
    return b->word[b->words++];
}

static struct slice col_slice(sqlite3_stmt *st, int at)
{
    const char *p = (const char *)sqlite3_column_text(st, at);
    return p == NULL ? S("") : (struct slice){p, (size_t)sqlite3_column_bytes(st, at)};
}

static void tries_read(struct backend *b, struct slice text, struct record *r)
{
    struct json *doc = NULL;
    const struct json_val *all;
    /* A row somebody has damaged keeps its other columns. */
    if (json_parse(text, &doc) != OK)
        return;
    all = json_root(doc);
    for (size_t i = 0; i < json_len(all) && i < STORE_ATTEMPTS; i++) {
        const struct json_val *one = json_at(all, i);
        struct record_attempt *a = &r->attempt[i];
        struct slice name = S(""), reason = S("");
        int64_t status = 0, ms = 0;
        (void)json_i64(json_at(one, 0), &a->account_id);
        (void)json_str(json_at(one, 1), &name);
        (void)json_i64(json_at(one, 2), &status);
        (void)json_str(json_at(one, 3), &reason);
        (void)json_i64(json_at(one, 4), &ms);
        text_copy(a->account, sizeof a->account, name);
        a->status = (int32_t)status;
        a->reason = intern(b, reason);
        a->ms = (int32_t)ms;
    }
    json_free(doc);
}

/* In the order of RECORD_COLUMNS, like row_bind. */
static void record_read(struct backend *b, sqlite3_stmt *st, struct record *r)
{
    int at = 0;
    *r = (struct record){.row = sqlite3_column_int64(st, at)};
    for (size_t i = 0; i < STORE_ATTEMPTS; i++)
        r->attempt[i].reason = "";
    col_copy(st, ++at, r->id, sizeof r->id);
    r->at = sqlite3_column_int64(st, ++at);
    col_copy(st, ++at, r->key_id, sizeof r->key_id);
    col_copy(st, ++at, r->key_name, sizeof r->key_name);
    col_copy(st, ++at, r->client, sizeof r->client);
    r->route = intern(b, col_slice(st, ++at));
    col_copy(st, ++at, r->model_asked, sizeof r->model_asked);
    col_copy(st, ++at, r->model_answered, sizeof r->model_answered);
    col_copy(st, ++at, r->session, sizeof r->session);
    col_copy(st, ++at, r->upstream_id, sizeof r->upstream_id);
    r->stream = sqlite3_column_int(st, ++at) != 0;
    r->status = sqlite3_column_int(st, ++at);
    r->end = intern(b, col_slice(st, ++at));
    ++at; /* the last attempt's account: only filters need it */
    r->attempts = sqlite3_column_int(st, ++at);
    if (r->attempts < 0)
        r->attempts = 0;
    tries_read(b, col_slice(st, ++at), r);
    r->ttfb_ms = sqlite3_column_int(st, ++at);
    r->duration_ms = sqlite3_column_int(st, ++at);
    r->bytes_in = sqlite3_column_int64(st, ++at);
    r->bytes_out = sqlite3_column_int64(st, ++at);
    r->usage_known = sqlite3_column_int(st, ++at) != 0;
    r->input = sqlite3_column_int64(st, ++at);
    r->output = sqlite3_column_int64(st, ++at);
    r->cache_read = sqlite3_column_int64(st, ++at);
    r->cache_write_5m = sqlite3_column_int64(st, ++at);
    r->cache_write_1h = sqlite3_column_int64(st, ++at);
    r->thinking = sqlite3_column_int64(st, ++at);
    r->web_searches = sqlite3_column_int(st, ++at);
    r->web_fetches = sqlite3_column_int(st, ++at);
    col_copy(st, ++at, r->service_tier, sizeof r->service_tier);
    col_copy(st, ++at, r->stop_reason, sizeof r->stop_reason);
    r->cost_nano_usd = sqlite3_column_int64(st, ++at);
    col_copy(st, ++at, r->price_date, sizeof r->price_date);
    col_copy(st, ++at, r->group, sizeof r->group);
    col_copy(st, ++at, r->why, sizeof r->why);
    assert(at + 1 == sqlite3_column_count(st));
}

/* ---- one record by its name ----------------------------------------------------------------- */

/* The name is a UUIDv7, which begins with the moment the request came; its row was written when it
 * had ended. Rows stand nearly in the order of their ends: so the first that ended after the name
 * was made is found by halving, and the walk goes on from there to the newest. What is not found
 * there (a clock that was set back, a name nobody has) is looked for in the rest. */
#define END_SLACK_MS 10000 /* processes and clocks disagree by less, as a rule */

static bool id_time(struct slice id, int64_t *ms)
{
    uint8_t b[6];
    if (id.n != TEXT_UUID_MAX - 1 || id.p[8] != '-' || id.p[14] != '7' ||
        !text_unhex(b, 4, slice_sub(id, 0, 8)) || !text_unhex(b + 4, 2, slice_sub(id, 9, 13)))
        return false;
    *ms = 0;
    for (size_t i = 0; i < sizeof b; i++)
        *ms = *ms << 8 | b[i];
    return true;
}

/* Where the row at `num`, or the next one there is, stands, and when it ended. */
static enum err record_ended(struct backend *b, int64_t num, int64_t *found, int64_t *at)
{
    enum err e;
    int rc;
    sqlite3_stmt *st = stmt_use(b, ST_RECORDS_ENDED, &e);
    if (st == NULL)
        return e;
    (void)sqlite3_bind_int64(st, 1, num);
    rc = sqlite3_step(st);
    *found = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : INT64_MAX;
    *at = rc == SQLITE_ROW ? sqlite3_column_int64(st, 1) : INT64_MAX;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        e = sq_fail(b, rc);
    stmt_end(st);
    return e;
}

/* The lowest number whose row ended at `ms` or later; `highest` + 1 when there is none. */
static enum err records_since(struct backend *b, int64_t ms, int64_t lowest, int64_t highest,
                              int64_t *num)
{
    int64_t low = lowest, high = highest + 1;
    while (low < high) {
        int64_t mid = low + (high - low) / 2, found = INT64_MAX, at = INT64_MAX;
        enum err e = record_ended(b, mid, &found, &at);
        if (e != OK)
            return e;
        if (found >= high || at >= ms)
            high = mid;
        else
            low = found + 1;
    }
    *num = low;
    return OK;
}

/* The numbers this bite looks at, both ends outside. scan->from is where the walk upward began, and
 * -1 from when it goes downward; scan->at is the edge of what has been seen. */
static void id_window(struct backend_scan *scan, int64_t lowest, int64_t highest, int64_t *above,
                      int64_t *below)
{
    if (scan->from > 0) {
        *above = scan->at;
        *below = highest - *above > SCAN_SPAN ? *above + SCAN_SPAN + 1 : highest + 1;
        scan->at = *below - 1;
        if (scan->at >= highest) {
            scan->at = scan->from;
            scan->from = -1;
        }
    } else {
        *below = scan->at;
        *above = *below - lowest > SCAN_SPAN ? *below - SCAN_SPAN - 1 : lowest - 1;
        scan->at = *above + 1;
    }
    scan->more = scan->from > 0 || scan->at > lowest;
}

static enum err id_begin(struct backend *b, struct backend_scan *scan, int64_t lowest,
                         int64_t highest)
{
    int64_t ms;
    enum err e = OK;
    if (highest < 1 || !id_time(slice_of(scan->query->id), &ms))
        return ERR_NOTFOUND;
    e = records_since(b, ms - END_SLACK_MS, lowest, highest, &scan->from);
    if (scan->from < 1)
        scan->from = 1;
    scan->at = scan->from - 1;
    return e;
}

static enum err records_scan_id(struct backend *b, struct backend_scan *scan)
{
    int64_t lowest = 0, highest = 0, above, below;
    sqlite3_stmt *st;
    int rc;
    enum err e = records_edges(b, &lowest, &highest);
    if (e == OK && scan->from == 0)
        e = id_begin(b, scan, lowest, highest);
    if (e != OK) {
        scan->more = false;
        return e == ERR_NOTFOUND ? OK : e; /* nobody's name: nothing is found */
    }
    id_window(scan, lowest, highest, &above, &below);
    st = stmt_use(b, ST_RECORDS_ID, &e);
    if (st == NULL)
        return e;
    (void)sqlite3_bind_int64(st, 1, above);
    (void)sqlite3_bind_int64(st, 2, below);
    bind_cstr(st, 3, scan->query->id);
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        record_read(b, st, &scan->rows[scan->n++]);
        scan->more = false;
    } else if (rc != SQLITE_DONE) {
        e = sq_fail(b, rc);
    }
    stmt_end(st);
    return e;
}

/* ---- many of them --------------------------------------------------------------------------- */

/* The numbers this bite looks at, both ends outside; scan->at is the edge of what has been seen. */
static enum err scan_window(struct backend *b, struct backend_scan *scan, int64_t *above,
                            int64_t *below)
{
    const struct record_query *q = scan->query;
    int64_t lowest = 0, highest = 0;
    enum err e = records_edges(b, &lowest, &highest);
    if (e != OK)
        return e;
    if (q->forward) {
        *above = scan->at > q->after_row ? scan->at : q->after_row;
        if (*above < lowest - 1)
            *above = lowest - 1;
        *below = *above >= highest
                     ? *above + 1
                     : (highest - *above > SCAN_SPAN ? *above + SCAN_SPAN + 1 : highest + 1);
        scan->at = *below - 1;
        scan->more = scan->at < highest;
    } else {
        *below = q->before_row > 0 && q->before_row <= highest ? q->before_row : highest + 1;
        if (scan->at > 0 && scan->at < *below)
            *below = scan->at;
        *above = *below - lowest > SCAN_SPAN ? *below - SCAN_SPAN - 1 : lowest - 1;
        scan->at = *above + 1;
        scan->more = scan->at > lowest;
    }
    return OK;
}

enum err records_scan(struct backend *b, struct backend_scan *scan)
{
    const struct record_query *q = scan->query;
    size_t limit = (size_t)q->limit;
    int64_t above = 0, below = 0;
    int rc = SQLITE_DONE;
    sqlite3_stmt *st;
    enum err e;
    assert(q->limit > 0 && scan->n < limit);
    if (q->id != NULL)
        return records_scan_id(b, scan);
    e = scan_window(b, scan, &above, &below);
    if (e != OK)
        return e;
    st = stmt_use(b, q->forward ? ST_RECORDS_UP : ST_RECORDS_DOWN, &e);
    if (st == NULL)
        return e;
    (void)sqlite3_bind_int64(st, 1, above);
    (void)sqlite3_bind_int64(st, 2, below);
    if (q->account != NULL)
        bind_cstr(st, 3, q->account);
    if (q->key != NULL)
        bind_cstr(st, 4, q->key);
    (void)sqlite3_bind_int64(st, 5, (int64_t)(limit - scan->n));
    while (scan->n < limit && (rc = sqlite3_step(st)) == SQLITE_ROW)
        record_read(b, st, &scan->rows[scan->n++]);
    if (rc != SQLITE_DONE && rc != SQLITE_ROW)
        e = sq_fail(b, rc);
    stmt_end(st);
    if (scan->n == limit)
        scan->more = false;
    return e;
}

/* ---- pruning -------------------------------------------------------------------------------- */

struct room {
    int64_t pages, unused;
};

static enum err room_get(struct backend *b, struct room *r)
{
    enum err e;
    sqlite3_stmt *st = stmt_use(b, ST_PAGE_COUNT, &e);
    if (st != NULL)
        e = stmt_int(b, st, 0, &r->pages);
    if (e != OK)
        return e;
    st = stmt_use(b, ST_FREE_COUNT, &e);
    if (st != NULL)
        e = stmt_int(b, st, 0, &r->unused);
    return e;
}

static bool room_lacking(const struct backend *b, const struct backend_prune *p,
                         const struct room *r)
{
    return p->max_bytes > 0 && (r->pages - r->unused) * b->page_size > p->max_bytes;
}

static enum err prune_delete(struct backend *b, enum stmt which, int64_t before_at, int64_t *gone)
{
    enum err e;
    sqlite3_stmt *st = stmt_use(b, which, &e);
    if (st == NULL)
        return e;
    (void)sqlite3_bind_int64(st, 1, PRUNE_BITE);
    if (which == ST_RECORDS_OLD)
        (void)sqlite3_bind_int64(st, 2, before_at);
    e = stmt_run(b, st);
    if (e == OK)
        *gone += sqlite3_changes(b->db);
    return e;
}

/* Gives free pages back when the file is over its size, or far more is free than will be needed. */
static enum err prune_vacuum(struct backend *b, struct backend_prune *p, const struct room *r)
{
    char sql[64];
    bool over = p->max_bytes > 0 && r->pages * b->page_size > p->max_bytes;
    if (r->unused <= (over ? 0 : VACUUM_SLACK))
        return OK;
    (void)text_format(sql, sizeof sql, "PRAGMA incremental_vacuum(%d)", VACUUM_BITE);
    p->more = true;
    return sq_exec(b, sql);
}

/* One bite: by age first, then by size; then space, once nothing more has to go. */
static enum err prune_bite(struct backend *b, struct backend_prune *p)
{
    struct room r = {0, 0};
    int64_t gone = 0;
    enum err e = OK;
    if (p->before_at > 0)
        e = prune_delete(b, ST_RECORDS_OLD, p->before_at, &gone);
    if (e == OK)
        e = room_get(b, &r);
    if (e == OK && gone == 0 && room_lacking(b, p, &r))
        e = prune_delete(b, ST_RECORDS_OLDEST, 0, &gone);
    if (e == OK && gone > 0)
        e = meta_put(b, "pruned_to", b->next_record - 1);
    if (e != OK)
        return e;
    p->more = gone > 0;
    p->removed += gone;
    return gone > 0 ? OK : prune_vacuum(b, p, &r);
}

enum err records_prune(struct backend *b, struct backend_prune *p)
{
    struct room before = {0, 0}, after = {0, 0};
    enum err e = tx_begin(b, false);
    int64_t removed = p->removed;
    p->more = false;
    if (e != OK)
        return e;
    e = records_open(b); /* what goes may be another process's newest */
    if (e == OK)
        e = room_get(b, &before);
    if (e == OK)
        e = prune_bite(b, p);
    e = tx_end(b, false, e);
    if (e == OK)
        e = room_get(b, &after);
    /* A database without auto_vacuum (made by another tool) gives nothing back: do not try on. */
    if (e == OK && p->more && p->removed == removed && after.pages == before.pages &&
        after.unused == before.unused)
        p->more = false;
    if (e != OK)
        p->more = false;
    return e;
}
