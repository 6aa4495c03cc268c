/* store_bench: the work bench of the store's tests. Included once by each of them.
 *
 * The part of net that the store uses, played by an integer clock and a queue: nothing runs until
 * the test says so, so every interleaving is the test's choice. And a fresh state folder, and the
 * verbs wrapped so that a test can call one and look at what came. */
#ifndef STORE_BENCH_H
#define STORE_BENCH_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "net/net.h"
#include "store/store.h"

#include <cmocka.h>

/* ---- a loop made of an integer -------------------------------------------------------------- */

#define BENCH_TIMERS 16

struct loop {
    int64_t now, wall;
    struct timer *timer[BENCH_TIMERS];
    struct worker *worker;
};

struct worker {
    struct loop *loop;
    struct link queue;
    size_t depth, ran, breaths;
};

int64_t loop_now(const struct loop *l)
{
    return l->now;
}

int64_t loop_wall(const struct loop *l)
{
    return l->wall;
}

void timer_init(struct timer *t, struct loop *l, void (*fire)(void *), void *arg)
{
    *t = (struct timer){.loop = l, .index = UINT32_MAX, .fire = fire, .arg = arg};
}

void timer_stop(struct timer *t)
{
    if (t->index != UINT32_MAX)
        t->loop->timer[t->index] = NULL;
    t->index = UINT32_MAX;
}

void timer_set(struct timer *t, int64_t at_ms)
{
    t->at_ms = at_ms;
    for (uint32_t i = 0; t->index == UINT32_MAX; i++) {
        assert_true(i < BENCH_TIMERS);
        if (t->loop->timer[i] == NULL) {
            t->loop->timer[i] = t;
            t->index = i;
        }
    }
}

bool timer_armed(const struct timer *t)
{
    return t->index != UINT32_MAX;
}

struct worker *worker_new(struct loop *l, const char *name)
{
    struct worker *w = NEW(struct worker);
    assert_string_equal(name, "store");
    w->loop = l;
    list_init(&w->queue);
    l->worker = w;
    return w;
}

void worker_post(struct worker *w, struct job *j)
{
    list_push(&w->queue, &j->link);
    w->depth++;
}

size_t worker_depth(const struct worker *w)
{
    return w->depth;
}

int64_t worker_stuck_ms(const struct worker *w)
{
    (void)w;
    return 0;
}

bool worker_breathe(struct worker *w)
{
    w->breaths++;
    return true;
}

/* Runs the oldest job and its `done`; false when there is none. */
static bool bench_step(struct loop *l)
{
    struct worker *w = l->worker;
    if (w == NULL || list_empty(&w->queue))
        return false;
    struct job *j = CONTAINER(w->queue.next, struct job, link);
    list_remove(&j->link);
    w->depth--;
    w->ran++;
    j->run(j);
    if (j->done != NULL)
        j->done(j);
    return true;
}

void worker_free(struct worker *w)
{
    struct loop *l = w->loop;
    while (bench_step(l)) {
    }
    l->worker = NULL;
    mem_free(w);
}

static void bench_settle(struct loop *l)
{
    while (bench_step(l)) {
    }
}

/* Lets `ms` pass: every timer at its time, every job at once. */
__attribute__((unused)) static void bench_pass(struct loop *l, int64_t ms)
{
    int64_t end = l->now + ms;
    bench_settle(l);
    for (;;) {
        struct timer *next = NULL;
        for (int i = 0; i < BENCH_TIMERS; i++) {
            struct timer *t = l->timer[i];
            if (t != NULL && t->at_ms <= end && (next == NULL || t->at_ms < next->at_ms))
                next = t;
        }
        if (next == NULL)
            break;
        if (next->at_ms > l->now) {
            l->wall += next->at_ms - l->now;
            l->now = next->at_ms;
        }
        timer_stop(next);
        next->fire(next->arg);
        bench_settle(l);
    }
    l->wall += end - l->now;
    l->now = end;
}

/* ---- a state folder ------------------------------------------------------------------------- */

#define BENCH_WALL INT64_C(1790000000000)

struct bench {
    struct loop loop;
    char dir[64];
    struct store_options options;
    struct store *s;
    char why[512];
};

__attribute__((unused)) static const char *bench_path(const struct bench *b, const char *name)
{
    static char path[128];
    (void)text_format(path, sizeof path, "%s/%s", b->dir, name);
    return path;
}

static enum err bench_try_open(struct bench *b)
{
    b->loop = (struct loop){.now = 1000, .wall = BENCH_WALL};
    return store_open(&b->loop, &b->options, &b->s, b->why, sizeof b->why);
}

static void bench_open(struct bench *b)
{
    enum err e = bench_try_open(b);
    if (e != OK)
        print_error("store_open: %s: %s\n", err_name(e), b->why);
    assert_int_equal(e, OK);
    assert_string_equal(b->why, "");
}

static void bench_close(struct bench *b)
{
    if (b->s != NULL)
        store_close(b->s);
    b->s = NULL;
}

__attribute__((unused)) static void bench_reopen(struct bench *b)
{
    bench_close(b);
    bench_open(b);
}

static void bench_folder(struct bench *b)
{
    (void)text_format(b->dir, sizeof b->dir, "/tmp/sluice-store-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    b->options.dir = b->dir;
}

static void bench_sweep(struct bench *b)
{
    static const char *const names[] = {"sluice.db",   "sluice.db-wal", "sluice.db-shm",
                                        "sluice.lock", "master.key",    "master.key.new"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)unlink(bench_path(b, names[i]));
    assert_int_equal(rmdir(b->dir), 0); /* the store leaves nothing else behind */
}

__attribute__((unused)) static int bench_setup(void **state)
{
    struct bench *b = NEW(struct bench);
    crypto_init();
    bench_folder(b);
    bench_open(b);
    *state = b;
    return 0;
}

__attribute__((unused)) static int bench_setup_memory(void **state)
{
    struct bench *b = NEW(struct bench);
    crypto_init();
    bench_open(b);
    *state = b;
    return 0;
}

/* A folder without a store in it yet. */
__attribute__((unused)) static int bench_setup_closed(void **state)
{
    struct bench *b = NEW(struct bench);
    crypto_init();
    bench_folder(b);
    *state = b;
    return 0;
}

__attribute__((unused)) static int bench_teardown(void **state)
{
    struct bench *b = *state;
    bench_close(b);
    if (b->dir[0] != '\0')
        bench_sweep(b);
    mem_free(b);
    return 0;
}

/* ---- verbs, called and waited for ----------------------------------------------------------- */

#define GOT_ROWS   8
#define GOT_SECRET 64

struct got {
    int calls;
    enum err e;
    size_t n;
    struct account_row account[GOT_ROWS];
    char secret[GOT_ROWS][GOT_SECRET]; /* copied: rows die with the callback */
    struct key_row key[GOT_ROWS];
    struct record *record; /* all of them: mem_free */
    int64_t object;
    struct token_row token[GOT_ROWS];
    char access[GOT_ROWS][GOT_SECRET], refresh[GOT_ROWS][GOT_SECRET]; /* copied, as above */
    struct window_row window[STORE_WINDOWS_MAX];
};

__attribute__((unused)) static void got_word(void *arg, enum err e)
{
    struct got *g = arg;
    g->calls++;
    g->e = e;
}

__attribute__((unused)) static void got_accounts(void *arg, enum err e,
                                                 const struct account_row *rows, size_t n)
{
    struct got *g = arg;
    g->calls++;
    g->e = e;
    g->n = n;
    for (size_t i = 0; i < n && i < GOT_ROWS; i++) {
        g->account[i] = rows[i];
        text_copy(g->secret[i], GOT_SECRET, rows[i].secret);
        g->account[i].secret = (struct slice){NULL, rows[i].secret.n};
    }
}

__attribute__((unused)) static void got_keys(void *arg, enum err e, const struct key_row *rows,
                                             size_t n)
{
    struct got *g = arg;
    g->calls++;
    g->e = e;
    g->n = n;
    for (size_t i = 0; i < n && i < GOT_ROWS; i++)
        g->key[i] = rows[i];
}

__attribute__((unused)) static void got_records(void *arg, enum err e, const struct record *rows,
                                                size_t n)
{
    struct got *g = arg;
    g->calls++;
    g->e = e;
    g->n = n;
    mem_free(g->record);
    g->record = NULL;
    if (n > 0) {
        g->record = mem_new(n * sizeof *rows);
        memcpy(g->record, rows, n * sizeof *rows);
    }
}

__attribute__((unused)) static void got_object(void *arg, enum err e, int64_t account_id)
{
    struct got *g = arg;
    g->calls++;
    g->e = e;
    g->object = account_id;
}

__attribute__((unused)) static void got_tokens(void *arg, enum err e, const struct token_row *rows,
                                               size_t n)
{
    struct got *g = arg;
    g->calls++;
    g->e = e;
    g->n = n;
    for (size_t i = 0; i < n && i < GOT_ROWS; i++) {
        g->token[i] = rows[i];
        text_copy(g->access[i], GOT_SECRET, rows[i].access);
        text_copy(g->refresh[i], GOT_SECRET, rows[i].refresh);
        g->token[i].access = (struct slice){NULL, rows[i].access.n};
        g->token[i].refresh = (struct slice){NULL, rows[i].refresh.n};
    }
}

__attribute__((unused)) static void got_windows(void *arg, enum err e,
                                                const struct window_row *rows, size_t n)
{
    struct got *g = arg;
    g->calls++;
    g->e = e;
    g->n = n;
    for (size_t i = 0; i < n && i < STORE_WINDOWS_MAX; i++)
        g->window[i] = rows[i];
}

/* Each of these: exactly one answer, and not inside the call. */
#define ANSWERED(b, g)                   \
    do {                                 \
        assert_int_equal((g)->calls, 0); \
        bench_settle(&(b)->loop);        \
        assert_int_equal((g)->calls, 1); \
    } while (0)

__attribute__((unused)) static struct got accounts_load(struct bench *b)
{
    struct got g = {0};
    store_accounts_load(b->s, got_accounts, &g);
    ANSWERED(b, &g);
    return g;
}

__attribute__((unused)) static struct account_row account_named(const char *name)
{
    struct account_row row = {.priority = 1, .weight = 10, .created_at = BENCH_WALL};
    text_copy(row.name, sizeof row.name, slice_of(name));
    text_copy(row.provider, sizeof row.provider, S("anthropic"));
    text_copy(row.base_url, sizeof row.base_url, S("https://api.example.com"));
    return row;
}

__attribute__((unused)) static struct got account_add(struct bench *b, const char *name,
                                                      const char *secret)
{
    struct got g = {0};
    struct account_row row = account_named(name);
    row.secret = slice_of(secret);
    store_account_add(b->s, &row, got_accounts, &g);
    ANSWERED(b, &g);
    return g;
}

__attribute__((unused)) static struct got account_update(struct bench *b,
                                                         const struct account_row *row)
{
    struct got g = {0};
    store_account_update(b->s, row, got_accounts, &g);
    ANSWERED(b, &g);
    return g;
}

__attribute__((unused)) static enum err account_remove(struct bench *b, int64_t id)
{
    struct got g = {0};
    store_account_remove(b->s, id, got_word, &g);
    ANSWERED(b, &g);
    return g.e;
}

__attribute__((unused)) static int64_t account_new(struct bench *b, const char *name)
{
    struct got g = account_add(b, name, "");
    assert_int_equal(g.e, OK);
    return g.account[0].id;
}

__attribute__((unused)) static enum err lease_take(struct bench *b, const char *name,
                                                   const char *holder, int64_t now, int64_t ttl)
{
    struct got g = {0};
    store_lease_take(b->s, slice_of(name), slice_of(holder), now, ttl, got_word, &g);
    ANSWERED(b, &g);
    return g.e;
}

__attribute__((unused)) static void window_put(struct bench *b, int64_t id, const char *name,
                                               double used, int64_t seen_at)
{
    struct window_row w = {.account_id = id,
                           .used = used,
                           .closed = used >= 1,
                           .started_at = seen_at - 5,
                           .resets_at = seen_at + 7,
                           .seen_at = seen_at};
    text_copy(w.name, sizeof w.name, slice_of(name));
    store_window_put(b->s, &w);
}

__attribute__((unused)) static struct got tokens_load(struct bench *b)
{
    struct got g = {0};
    store_tokens_load(b->s, got_tokens, &g);
    ANSWERED(b, &g);
    return g;
}

__attribute__((unused)) static struct got token_swap(struct bench *b, int64_t account_id,
                                                     int64_t expect, const char *access,
                                                     const char *refresh)
{
    struct got g = {0};
    struct token_row row = {.account_id = account_id,
                            .expires_at = BENCH_WALL + 3600000,
                            .lifetime = 3600000,
                            .refreshed_at = BENCH_WALL,
                            .access = slice_of(access),
                            .refresh = slice_of(refresh)};
    store_token_swap(b->s, expect, &row, got_tokens, &g);
    ANSWERED(b, &g);
    return g;
}

__attribute__((unused)) static enum err token_note(struct bench *b, int64_t account_id,
                                                   int64_t generation, int64_t at)
{
    struct got g = {0};
    store_token_note(b->s, account_id, generation, at, got_word, &g);
    ANSWERED(b, &g);
    return g.e;
}

__attribute__((unused)) static struct got windows_load(struct bench *b)
{
    struct got g = {0};
    store_windows_load(b->s, got_windows, &g);
    ANSWERED(b, &g);
    return g;
}

__attribute__((unused)) static enum err key_add(struct bench *b, const char *id, const char *name)
{
    struct got g = {0};
    struct key_row row = {.created_at = BENCH_WALL};
    text_copy(row.id, sizeof row.id, slice_of(id));
    text_copy(row.name, sizeof row.name, slice_of(name));
    crypto_sha256(row.digest, slice_of(id));
    store_key_add(b->s, &row, got_word, &g);
    ANSWERED(b, &g);
    return g.e;
}

__attribute__((unused)) static struct got keys_load(struct bench *b)
{
    struct got g = {0};
    store_keys_load(b->s, got_keys, &g);
    ANSWERED(b, &g);
    return g;
}

/* A record with something in every field; `i` tells them apart. */
__attribute__((unused)) static struct record record_make(int i)
{
    struct record r = {.at = BENCH_WALL + i,
                       .route = "messages",
                       .stream = i % 2 == 0,
                       .status = 200 + i % 5,
                       .end = "complete",
                       .attempts = 1,
                       .ttfb_ms = i,
                       .duration_ms = 10 * i,
                       .bytes_in = 1000 + i,
                       .bytes_out = 2000 + i,
                       .usage_known = true,
                       .input = 11 + i,
                       .output = 22 + i,
                       .cache_read = 33,
                       .cache_write_5m = 44,
                       .cache_write_1h = 55,
                       .thinking = 66,
                       .web_searches = 7,
                       .web_fetches = 8,
                       .cost_nano_usd = INT64_C(9000000000) + i};
    (void)text_format(r.id, sizeof r.id, "00000000-0000-7000-8000-%012d", i);
    text_copy(r.key_id, sizeof r.key_id, S("Ab3dEf9h"));
    (void)text_format(r.key_name, sizeof r.key_name, "key-%d", i % 3);
    text_copy(r.client, sizeof r.client, S("127.0.0.1:50000"));
    text_copy(r.model_asked, sizeof r.model_asked, S("claude-asked"));
    text_copy(r.model_answered, sizeof r.model_answered, S("claude-answered"));
    text_copy(r.session, sizeof r.session, S("5e55107a"));
    text_copy(r.group, sizeof r.group, S("night"));
    text_copy(r.why, sizeof r.why, S("warm spare:behind old:spent"));
    text_copy(r.upstream_id, sizeof r.upstream_id, S("req_upstream"));
    text_copy(r.service_tier, sizeof r.service_tier, S("standard"));
    text_copy(r.stop_reason, sizeof r.stop_reason, S("end_turn"));
    text_copy(r.price_date, sizeof r.price_date, S("2026-01-01"));
    r.attempt[0] = (struct record_attempt){
        .account_id = 1 + i % 2, .status = 200, .reason = "served", .ms = i};
    (void)text_format(r.attempt[0].account, sizeof r.attempt[0].account, "acc-%d", i % 2);
    return r;
}

__attribute__((unused)) static void records_put(struct bench *b, int from, int to)
{
    for (int i = from; i < to; i++) {
        struct record r = record_make(i);
        store_record(b->s, &r);
    }
}

__attribute__((unused)) static struct got records_query(struct bench *b,
                                                        const struct record_query *q)
{
    struct got g = {0};
    store_records_query(b->s, q, got_records, &g);
    ANSWERED(b, &g);
    return g;
}

/* How many there are, by paging through all of them, checking that each page goes on where the last
 * ended. */
__attribute__((unused)) static size_t records_count(struct bench *b)
{
    struct record_query q = {.forward = true, .limit = 1000};
    size_t all = 0;
    for (;;) {
        struct got g = records_query(b, &q);
        assert_int_equal(g.e, OK);
        for (size_t i = 0; i < g.n; i++) {
            assert_true(g.record[i].row > q.after_row);
            q.after_row = g.record[i].row;
        }
        mem_free(g.record);
        all += g.n;
        if (g.n == 0)
            return all;
    }
}

__attribute__((unused)) static struct store_stats stats_of(const struct bench *b)
{
    struct store_stats st;
    store_stats_get(b->s, &st);
    return st;
}

__attribute__((unused)) static bool file_has(const char *path, const char *needle)
{
    char chunk[65536];
    size_t keep = 0, n, len = strlen(needle);
    bool found = false;
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return false;
    while (!found && (n = fread(chunk + keep, 1, sizeof chunk - keep, f)) > 0) {
        struct slice all = {chunk, keep + n};
        found = slice_search(all, (struct slice){needle, len}) >= 0;
        keep = all.n < len ? all.n : len - 1;
        memmove(chunk, chunk + all.n - keep, keep);
    }
    (void)fclose(f);
    return found;
}

#endif
