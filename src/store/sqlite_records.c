/* Records: many rows, read by their numbers, pruned from the old end. Written: sqlite_write.c. */
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
