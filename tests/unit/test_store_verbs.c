/* links: base store */
#include "store_bench.h"

#include "store/inside.h"
#include "store/sqlite.h"

/* ---- accounts ------------------------------------------------------------------------------- */

static void test_account_add(void **state)
{
    struct bench *b = *state;
    struct got g = account_add(b, "work", "sk-one");
    assert_int_equal(g.e, OK);
    assert_int_equal(g.n, 1);
    assert_int_equal(g.account[0].id, 1);
    assert_int_equal(g.account[0].version, 1);
    assert_string_equal(g.account[0].name, "work");
    assert_string_equal(g.account[0].provider, "anthropic");
    assert_string_equal(g.account[0].base_url, "https://api.example.com");
    assert_int_equal(g.account[0].priority, 1);
    assert_int_equal(g.account[0].weight, 10);
    assert_int_equal(g.account[0].created_at, BENCH_WALL);
    assert_false(g.account[0].paused);
    assert_false(g.account[0].secret_unreadable);
    assert_string_equal(g.secret[0], "sk-one");
    assert_int_equal(account_add(b, "work", "sk-two").e, ERR_EXISTS);
    assert_int_equal(account_add(b, "", "sk-two").e, ERR_RANGE);
    g = account_add(b, "bare", "");
    assert_int_equal(g.e, OK);
    assert_int_equal(g.account[0].secret.n, 0);
    assert_false(g.account[0].secret_unreadable);
    bench_reopen(b);
    g = accounts_load(b);
    assert_int_equal(g.n, 2);
    assert_string_equal(g.account[0].name, "work");
    assert_string_equal(g.secret[0], "sk-one");
    assert_string_equal(g.account[1].name, "bare");
    assert_int_equal(stats_of(b).failures, 0);
}

static void test_account_secret_sizes(void **state)
{
    struct bench *b = *state;
    static char big[STORE_SECRET_MAX + 1];
    struct account_row row = account_named("big");
    struct got g = {0};
    memset(big, 'x', sizeof big);
    row.secret = (struct slice){big, STORE_SECRET_MAX + 1};
    store_account_add(b->s, &row, got_accounts, &g);
    ANSWERED(b, &g);
    assert_int_equal(g.e, ERR_LIMIT);
    g = (struct got){0};
    row.secret.n = STORE_SECRET_MAX;
    store_account_add(b->s, &row, got_accounts, &g);
    memset(big, 'y', sizeof big); /* the caller's memory is its own again at once */
    ANSWERED(b, &g);
    assert_int_equal(g.e, OK);
    assert_int_equal(g.account[0].secret.n, STORE_SECRET_MAX);
    assert_memory_equal(g.secret[0], "xxxxxxxx", 8);
}

static void test_account_update(void **state)
{
    struct bench *b = *state;
    struct account_row row = account_add(b, "work", "sk-one").account[0];
    assert_int_equal(account_add(b, "other", "sk-other").e, OK);
    text_copy(row.name, sizeof row.name, S("renamed"));
    text_copy(row.base_url, sizeof row.base_url, S("http://10.0.0.1"));
    row.priority = 5;
    row.weight = 6;
    row.paused = row.allow_private = true;
    row.secret = S("");
    struct got g = account_update(b, &row);
    assert_int_equal(g.e, OK);
    assert_int_equal(g.n, 1);
    assert_int_equal(g.account[0].version, 2);
    assert_string_equal(g.account[0].name, "renamed");
    assert_string_equal(g.account[0].base_url, "http://10.0.0.1");
    assert_int_equal(g.account[0].priority, 5);
    assert_int_equal(g.account[0].weight, 6);
    assert_true(g.account[0].paused && g.account[0].allow_private);
    assert_string_equal(g.secret[0], "sk-one"); /* empty leaves it */
    g = account_update(b, &row);                /* the version has moved on */
    assert_int_equal(g.e, ERR_CONFLICT);
    assert_int_equal(g.n, 0);
    row.version = 2;
    row.secret = S("sk-new");
    g = account_update(b, &row);
    assert_int_equal(g.e, OK);
    assert_string_equal(g.secret[0], "sk-new");
    row.version = 3;
    text_copy(row.name, sizeof row.name, S("other"));
    assert_int_equal(account_update(b, &row).e, ERR_EXISTS);
    row.id = 77;
    assert_int_equal(account_update(b, &row).e, ERR_NOTFOUND);
    bench_reopen(b);
    g = accounts_load(b);
    assert_string_equal(g.account[0].name, "renamed");
    assert_string_equal(g.secret[0], "sk-new");
    assert_int_equal(g.account[0].version, 3);
}

static void test_account_numbers_are_never_reused(void **state)
{
    struct bench *b = *state;
    assert_int_equal(account_add(b, "a", "s").account[0].id, 1);
    assert_int_equal(account_add(b, "b", "s").account[0].id, 2);
    assert_int_equal(account_remove(b, 2), OK);
    assert_int_equal(account_remove(b, 2), ERR_NOTFOUND);
    assert_int_equal(account_add(b, "c", "s").account[0].id, 3);
    assert_int_equal(account_remove(b, 3), OK);
    bench_reopen(b);
    assert_int_equal(account_add(b, "d", "s").account[0].id, 4);
    assert_int_equal(accounts_load(b).n, 2);
}

static void test_facts(void **state)
{
    struct bench *b = *state;
    static const struct {
        int64_t seen_at, cool_until;
        const char *reason;
        int64_t want_until;
        const char *want;
    } rows[] = {
        {100, 500, "rate_limited", 500, "rate_limited"},
        {90, 900, "late reply", 500, "rate_limited"}, /* older: ignored */
        {100, 600, "same moment", 600, "same moment"},
        {200, 0, "", 0, ""},
        {150, 700, "late again", 0, ""},
        {300, 800, "a reason longer than its thirty-two bytes", 800,
         "a reason longer than its thirty"},
        {3600000, 3700000, "an hour ahead", 3700000, "an hour ahead"},
        {3540000, 9, "a minute late", 3700000, "an hour ahead"},
        {3539999, 0, "the clock was set", 0, "the clock was set"},
        {310, 0, "again", 0, "again"},
    };
    assert_int_equal(account_add(b, "work", "sk").e, OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        store_facts_put(b->s, 1, rows[i].seen_at, rows[i].cool_until, rows[i].reason);
        struct got g = accounts_load(b); /* sees what was put before it */
        assert_int_equal(g.account[0].cool_until, rows[i].want_until);
        assert_string_equal(g.account[0].cool_reason, rows[i].want);
        assert_int_equal(g.account[0].version, 1); /* no person did this */
    }
    /* Coalesced in any order, the last seen wins; an account that is gone disturbs nobody. */
    store_facts_put(b->s, 1, 410, 41, "old");
    store_facts_put(b->s, 1, 430, 43, "new");
    store_facts_put(b->s, 1, 420, 42, "middle");
    store_facts_put(b->s, 99, 1, 1, "nobody");
    bench_reopen(b);
    struct got g = accounts_load(b);
    assert_int_equal(g.n, 1);
    assert_int_equal(g.account[0].cool_until, 43);
    assert_int_equal(g.account[0].facts_seen_at, 430);
    assert_int_equal(stats_of(b).failures, 0);
}

/* ---- keys ----------------------------------------------------------------------------------- */

static void test_keys(void **state)
{
    struct bench *b = *state;
    struct got g = {0};
    uint8_t digest[CRYPTO_SHA256];
    assert_int_equal(key_add(b, "aaaaaaaa", "ci"), OK);
    assert_int_equal(key_add(b, "aaaaaaaa", "other"), ERR_EXISTS);
    assert_int_equal(key_add(b, "bbbbbbbb", "ci"), ERR_EXISTS);
    assert_int_equal(key_add(b, "", "empty"), ERR_RANGE);
    store_key_revoke(b->s, "aaaaaaaa", BENCH_WALL + 5, got_word, &g);
    ANSWERED(b, &g);
    assert_int_equal(g.e, OK);
    g = (struct got){0};
    store_key_revoke(b->s, "aaaaaaaa", BENCH_WALL + 9, got_word, &g); /* the first time stays */
    ANSWERED(b, &g);
    assert_int_equal(g.e, OK);
    g = (struct got){0};
    store_key_revoke(b->s, "zzzzzzzz", BENCH_WALL, got_word, &g);
    ANSWERED(b, &g);
    assert_int_equal(g.e, ERR_NOTFOUND);
    assert_int_equal(key_add(b, "cccccccc", "ci"), OK); /* a revoked key's name is free */
    bench_reopen(b);
    g = keys_load(b);
    assert_int_equal(g.e, OK);
    assert_int_equal(g.n, 2);
    assert_string_equal(g.key[0].id, "aaaaaaaa");
    assert_string_equal(g.key[0].name, "ci");
    assert_int_equal(g.key[0].revoked_at, BENCH_WALL + 5);
    assert_int_equal(g.key[1].revoked_at, 0);
    crypto_sha256(digest, S("cccccccc"));
    assert_memory_equal(g.key[1].digest, digest, sizeof digest);
}

static void test_key_used(void **state)
{
    struct bench *b = *state;
    int64_t minute = BENCH_WALL - BENCH_WALL % 60000;
    assert_int_equal(key_add(b, "aaaaaaaa", "ci"), OK);
    assert_int_equal(keys_load(b).key[0].last_used_at, 0);
    size_t ran = b->loop.worker->ran;
    for (int i = 0; i < 1000; i++)
        store_key_used(b->s, "aaaaaaaa", minute + 59 * i);
    bench_pass(&b->loop, 1000);
    assert_int_equal(b->loop.worker->ran, ran + 1); /* one write for all of them */
    assert_int_equal(keys_load(b).key[0].last_used_at, minute);
    store_key_used(b->s, "aaaaaaaa", minute + 60000);
    store_key_used(b->s, "aaaaaaaa", minute - 60000); /* a clock that went back */
    store_key_used(b->s, "unknown1", minute);
    bench_reopen(b);
    assert_int_equal(keys_load(b).key[0].last_used_at, minute + 60000);
}

static void test_pepper(void **state)
{
    struct bench *b = *state;
    uint8_t before[CRYPTO_SHA256], zero[CRYPTO_SHA256] = {0};
    memcpy(before, store_pepper(b->s), sizeof before);
    assert_memory_not_equal(before, zero, sizeof zero);
    bench_reopen(b);
    assert_memory_equal(before, store_pepper(b->s), sizeof before);
}

/* ---- records -------------------------------------------------------------------------------- */

static void records_equal(const struct record *a, const struct record *b)
{
    assert_string_equal(a->id, b->id);
    assert_int_equal(a->at, b->at);
    assert_string_equal(a->key_id, b->key_id);
    assert_string_equal(a->key_name, b->key_name);
    assert_string_equal(a->client, b->client);
    assert_string_equal(a->route, b->route);
    assert_string_equal(a->model_asked, b->model_asked);
    assert_string_equal(a->model_answered, b->model_answered);
    assert_string_equal(a->session, b->session);
    assert_string_equal(a->group, b->group);
    assert_string_equal(a->why, b->why);
    assert_string_equal(a->upstream_id, b->upstream_id);
    assert_int_equal(a->stream, b->stream);
    assert_int_equal(a->status, b->status);
    assert_string_equal(a->end, b->end);
    assert_int_equal(a->attempts, b->attempts);
    for (int i = 0; i < STORE_ATTEMPTS && i < b->attempts; i++) {
        assert_int_equal(a->attempt[i].account_id, b->attempt[i].account_id);
        assert_string_equal(a->attempt[i].account, b->attempt[i].account);
        assert_int_equal(a->attempt[i].status, b->attempt[i].status);
        assert_string_equal(a->attempt[i].reason, b->attempt[i].reason);
        assert_int_equal(a->attempt[i].ms, b->attempt[i].ms);
    }
    assert_int_equal(a->ttfb_ms, b->ttfb_ms);
    assert_int_equal(a->duration_ms, b->duration_ms);
    assert_int_equal(a->bytes_in, b->bytes_in);
    assert_int_equal(a->bytes_out, b->bytes_out);
    assert_int_equal(a->usage_known, b->usage_known);
    assert_int_equal(a->input, b->input);
    assert_int_equal(a->output, b->output);
    assert_int_equal(a->cache_read, b->cache_read);
    assert_int_equal(a->cache_write_5m, b->cache_write_5m);
    assert_int_equal(a->cache_write_1h, b->cache_write_1h);
    assert_int_equal(a->thinking, b->thinking);
    assert_int_equal(a->web_searches, b->web_searches);
    assert_int_equal(a->web_fetches, b->web_fetches);
    assert_string_equal(a->service_tier, b->service_tier);
    assert_string_equal(a->stop_reason, b->stop_reason);
    assert_int_equal(a->cost_nano_usd, b->cost_nano_usd);
    assert_string_equal(a->price_date, b->price_date);
}

static void test_record_round_trip(void **state)
{
    struct bench *b = *state;
    struct record r[3] = {record_make(1), record_make(2), {.route = "models", .end = "refused"}};
    struct record_query q = {.forward = true, .limit = 10};
    r[1].attempts = 9; /* the last six are there */
    for (int i = 0; i < STORE_ATTEMPTS; i++) {
        r[1].attempt[i] = (struct record_attempt){
            .account_id = 40 + i, .status = 429 + i, .reason = "rate_limited", .ms = 7 * i};
        (void)text_format(r[1].attempt[i].account, sizeof r[1].attempt[i].account,
                          "odd \"name\" \\ %d \xc3\xa9", i);
    }
    r[1].ttfb_ms = r[2].ttfb_ms = -1;
    r[1].cost_nano_usd = -1;
    for (int i = 0; i < 3; i++)
        store_record(b->s, &r[i]);
    bench_reopen(b);
    struct got g = records_query(b, &q);
    assert_int_equal(g.e, OK);
    assert_int_equal(g.n, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(g.record[i].row, i + 1);
        records_equal(&g.record[i], &r[i]);
    }
    mem_free(g.record);
}

/* ---- rows of one batch, each partly as the one before it */

#define FIELD(name)                                                       \
    {                                                                     \
        offsetof(struct record, name), sizeof(((struct record *)0)->name) \
    }
static const struct {
    size_t at, n;
} fields[] = {
    FIELD(id),
    FIELD(at),
    FIELD(key_id),
    FIELD(key_name),
    FIELD(client),
    FIELD(route),
    FIELD(model_asked),
    FIELD(model_answered),
    FIELD(session),
    FIELD(group),
    FIELD(why),
    FIELD(upstream_id),
    FIELD(stream),
    FIELD(status),
    FIELD(end),
    FIELD(ttfb_ms),
    FIELD(duration_ms),
    FIELD(bytes_in),
    FIELD(bytes_out),
    FIELD(usage_known),
    FIELD(input),
    FIELD(output),
    FIELD(cache_read),
    FIELD(cache_write_5m),
    FIELD(thinking),
    FIELD(web_searches),
    FIELD(cache_write_1h),
    FIELD(web_fetches),
    FIELD(attempts),
    FIELD(service_tier),
    FIELD(stop_reason),
    FIELD(cost_nano_usd),
    FIELD(price_date),
};
#define FIELDS (sizeof fields / sizeof fields[0])

static uint32_t dice_throw(uint32_t *dice)
{
    *dice ^= *dice << 13;
    *dice ^= *dice >> 17;
    *dice ^= *dice << 5;
    return *dice >> 8;
}

/* Plain words, and those that JSON writes in another way. */
static struct record_attempt attempt_any(uint32_t *dice)
{
    static const char *const words[] = {
        "served",
        "plain",
        "",
        "a \"b\"",
        "\\",
        "\t",
        "\x7f",
        "caf\xc3\xa9",
        "64bytes_64bytes_64bytes_64bytes_64bytes_64bytes_64bytes_64bytes_", /* the longest kept */
    };
    static const int64_t numbers[] = {0, 1, 429, -1, INT64_MIN, INT64_MAX, INT32_MIN};
    struct record_attempt a = {.account_id = numbers[dice_throw(dice) % 7],
                               .status = (int32_t)numbers[dice_throw(dice) % 4],
                               .reason = words[dice_throw(dice) % 9],
                               .ms = (int32_t)numbers[dice_throw(dice) % 4]};
    text_copy(a.account, sizeof a.account, slice_of(words[dice_throw(dice) % 9]));
    return a;
}

/* Values of all kinds: made, none, small and large. */
static void samples_make(struct record sample[5])
{
    sample[0] = record_make(3);
    sample[1] = record_make(8);
    sample[2] = (struct record){.route = "", .end = ""};
    sample[3] = (struct record){.route = "route", .end = "e", .at = 1, .status = 7, .ttfb_ms = -1};
    sample[4] = (struct record){.route = "x", .end = "end", .at = 5, .cost_nano_usd = -1};
    sample[4].input = INT64_MAX;
    sample[4].output = INT64_MIN;
    for (int i = 0; i < 5; i++)
        sample[i].attempts = (int32_t[]){1, 2, 0, 1, 9}[i];
}

/* What was bound for a row and is still right for the next is not bound again: nothing of one row
 * may be seen in another. */
static void test_rows_alike(void **state)
{
    enum { ROWS = 3 * BATCH_MAX + 100 };
    struct bench *b = *state;
    struct record sample[5], *r = mem_new(ROWS * sizeof *r);
    struct record_query q = {.forward = true, .limit = 1000};
    uint32_t dice = 1;
    samples_make(sample);
    r[0] = sample[0];
    for (int i = 0; i < ROWS; i++) {
        const uint32_t odds = dice_throw(&dice) % 2 == 0 ? 2 : 30; /* many new, or nearly none */
        if (i > 0)
            r[i] = r[i < RECORDS_MANY || odds == 2 ? i - 1 : i - RECORDS_MANY];
        for (size_t k = 0; k < FIELDS; k++) {
            const struct record *from = &sample[dice_throw(&dice) % 5];
            if (dice_throw(&dice) % odds == 0) /* else as before */
                memcpy((char *)&r[i] + fields[k].at, (const char *)from + fields[k].at,
                       fields[k].n);
        }
        for (int k = 0; k < STORE_ATTEMPTS; k++)
            if (i == 0 || dice_throw(&dice) % odds == 0)
                r[i].attempt[k] = attempt_any(&dice);
        store_record(b->s, &r[i]);
    }
    while (bench_step(&b->loop))
        ;
    bench_pass(&b->loop, BATCH_WAIT_MS);
    for (size_t n = 0; n < ROWS;) {
        struct got g = records_query(b, &q);
        assert_true(g.e == OK && g.n > 0);
        for (size_t i = 0; i < g.n; i++, n++) {
            assert_int_equal(g.record[i].row, n + 1);
            records_equal(&g.record[i], &r[n]);
        }
        q.after_row = (int64_t)n;
        mem_free(g.record);
    }
    mem_free(r);
}

/* A database somebody has made anew with texts of 16 bits: the engine has copies of what is bound.
 */
static int setup_wide(void **state)
{
    sqlite3 *db = NULL;
    struct bench *b;
    (void)bench_setup(state);
    b = *state;
    bench_close(b); /* the key is there */
    assert_int_equal(unlink(bench_path(b, "sluice.db")), 0);
    assert_int_equal(sqlite3_open(bench_path(b, "sluice.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "PRAGMA encoding='UTF-16le'; CREATE TABLE t(x);"
                                  "DROP TABLE t; PRAGMA application_id=1936487779",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    bench_open(b);
    return 0;
}

static void test_rows_alike_wide(void **state)
{
    struct bench *b = *state;
    assert_false(b->s->backend->utf8);
    test_rows_alike(state);
}

static void test_records_paging(void **state)
{
    struct bench *b = *state;
    static const struct {
        struct record_query q;
        size_t n;
        int64_t first, last;
    } rows[] = {
        {{.forward = true, .limit = 1000}, 30, 1, 30},
        {{.forward = true, .limit = 10}, 10, 1, 10},
        {{.forward = true, .limit = 10, .after_row = 10}, 10, 11, 20},
        {{.forward = true, .limit = 10, .after_row = 25}, 5, 26, 30},
        {{.forward = true, .limit = 10, .after_row = 30}, 0, 0, 0},
        {{.forward = true, .limit = 10, .after_row = INT64_MAX - 1}, 0, 0, 0},
        {{.limit = 1000}, 30, 30, 1},
        {{.limit = 10}, 10, 30, 21},
        {{.limit = 10, .before_row = 21}, 10, 20, 11},
        {{.limit = 10, .before_row = 5}, 4, 4, 1},
        {{.limit = 10, .before_row = 1}, 0, 0, 0},
        {{.limit = 10, .before_row = INT64_MAX}, 10, 30, 21},
        {{.limit = 1000, .account = "acc-0"}, 15, 29, 1},
        {{.limit = 3, .account = "acc-1"}, 3, 30, 26},
        {{.limit = 1000, .key = "key-2", .forward = true}, 10, 3, 30},
        {{.limit = 1000, .key = "key-2", .account = "acc-0"}, 5, 27, 3},
        {{.limit = 1000, .key = "key-2", .account = "nobody"}, 0, 0, 0},
        {{.limit = 1000, .key = "key-%"}, 0, 0, 0}, /* names are no patterns */
    };
    static const int32_t bad[] = {0, -1, 1001};
    records_put(b, 0, 30);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct got g = records_query(b, &rows[i].q);
        assert_int_equal(g.e, OK);
        assert_int_equal(g.n, rows[i].n);
        if (g.n > 0) {
            assert_int_equal(g.record[0].row, rows[i].first);
            assert_int_equal(g.record[g.n - 1].row, rows[i].last);
        }
        mem_free(g.record);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(records_query(b, &(struct record_query){.limit = bad[i]}).e, ERR_RANGE);
    assert_int_equal(stats_of(b).failures, 0); /* a bad argument is no trouble of the disk */
}

/* `i` is when it came, in seconds; `ms` how long it took. */
static struct record record_at(int i, int64_t at, int32_t ms)
{
    struct record r = record_make(i);
    uint8_t random[10] = {(uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
    r.at = at;
    r.duration_ms = ms;
    text_uuid7(r.id, at, random);
    return r;
}

/* Each row is found by its id, also one that took long, whose clock was wrong, or that stands where
 * its time does not say; and at once, where the time says it. */
static void test_record_by_id(void **state)
{
    struct bench *b = *state;
    static const struct {
        int64_t at;
        int32_t ms;
    } rows[] = {
        {0, 20},      {1000, 20},     {2000, 30}, {3000, 0},     {-5000, 9000000},    {9004000, 10},
        {9005000, 1}, {5000000, 100}, {5001, 30}, {9007000, -1}, {9008000, 86400000},
    };
    enum { N = sizeof rows / sizeof rows[0] };
    struct record r[N];
    static const char *const nobody[] = {"",
                                         "x",
                                         "019a0000-0000-7000-8000-00000000000",
                                         "019a0000-0000-7000-8000-0000000000000",
                                         "019a0000-0000-4000-8000-000000000000",
                                         "019a0000-0000-7000-8000-000000000000",
                                         "00000000-0000-7000-8000-000000000000",
                                         "ffffffff-ffff-7000-8000-000000000000",
                                         "gggggggg-0000-7000-8000-000000000000"};
    for (size_t i = 0; i < sizeof nobody / sizeof nobody[0]; i++) /* of an empty table */
        assert_int_equal(records_query(b, &(struct record_query){.limit = 5, .id = nobody[i]}).n,
                         0);
    for (int i = 0; i < N; i++) {
        r[i] = record_at(i, BENCH_WALL + rows[i].at, rows[i].ms);
        store_record(b->s, &r[i]);
    }
    for (int i = 0; i < N; i++) {
        struct got g = records_query(b, &(struct record_query){.limit = 5, .id = r[i].id});
        assert_int_equal(g.n, 1);
        assert_int_equal(g.record[0].row, i + 1);
        records_equal(&g.record[0], &r[i]);
        mem_free(g.record);
    }
    for (size_t i = 0; i < sizeof nobody / sizeof nobody[0]; i++) {
        struct record_query q = {.limit = 1, .id = nobody[i]};
        struct got g = records_query(b, &q);
        assert_int_equal(g.e, OK);
        assert_int_equal(g.n, 0);
    }
    assert_int_equal(stats_of(b).failures, 0);
}

/* In a long table the row's own bite is the first; a walk through all of it lets others in. */
static void test_record_by_id_is_quick(void **state)
{
    struct bench *b = *state;
    enum { ROWS = 60000 };
    struct record r, first = {0}, middle = {0};
    for (int i = 0; i < ROWS; i++) {
        r = record_at(i, BENCH_WALL + i * 100, 1000);
        if (i == 7)
            first = r;
        if (i == ROWS / 2)
            middle = r;
        store_record(b->s, &r);
        if (i % 1000 == 999)
            bench_pass(&b->loop, 200);
    }
    const struct record *const known[] = {&first, &middle, &r};
    for (size_t i = 0; i < 3; i++) {
        size_t ran = b->loop.worker->ran;
        struct got g = records_query(b, &(struct record_query){.limit = 1, .id = known[i]->id});
        assert_int_equal(g.n, 1);
        assert_string_equal(g.record[0].id, known[i]->id);
        assert_int_equal(b->loop.worker->ran, ran + 1);
        mem_free(g.record);
    }
    struct got scan = {0}, other = {0};
    r = record_at(ROWS, BENCH_WALL + 5, 0); /* nobody's */
    store_records_query(b->s, &(struct record_query){.limit = 1, .id = r.id}, got_records, &scan);
    store_object_get(b->s, S("none"), got_object, &other);
    while (other.calls == 0)
        assert_true(bench_step(&b->loop));
    assert_int_equal(scan.calls, 0);
    ANSWERED(b, &scan);
    assert_int_equal(scan.n, 0);
}

static void test_records_empty(void **state)
{
    struct bench *b = *state;
    assert_int_equal(records_query(b, &(struct record_query){.limit = 5}).n, 0);
    assert_int_equal(
        records_query(b, &(struct record_query){.limit = 5, .forward = true, .after_row = 9}).n, 0);
    assert_int_equal(records_query(b, &(struct record_query){.limit = 5, .before_row = 9}).n, 0);
}

/* A filter that finds little looks at many rows; whoever comes meanwhile is served between. */
static void test_long_scan_lets_others_in(void **state)
{
    struct bench *b = *state;
    struct got scan = {0}, other = {0};
    struct record_query q = {.limit = 10, .key = "the-one"};
    struct record r = record_make(0);
    text_copy(r.key_name, sizeof r.key_name, S("the-one"));
    store_record(b->s, &r);
    for (int from = 1; from < 50001; from += 4000) {
        records_put(b, from, from + 4000);
        bench_pass(&b->loop, 200);
    }
    store_records_query(b->s, &q, got_records, &scan);
    store_object_get(b->s, S("none"), got_object, &other);
    while (other.calls == 0)
        assert_true(bench_step(&b->loop));
    assert_int_equal(scan.calls, 0);
    ANSWERED(b, &scan);
    assert_int_equal(scan.n, 1);
    assert_int_equal(scan.record[0].row, 1);
    mem_free(scan.record);
    scan = (struct got){0};
    q.forward = true;
    store_records_query(b->s, &q, got_records, &scan);
    ANSWERED(b, &scan);
    assert_int_equal(scan.n, 1);
    mem_free(scan.record);
}

/* ---- objects -------------------------------------------------------------------------------- */

static struct got object_get(struct bench *b, const char *name)
{
    struct got g = {0};
    store_object_get(b->s, slice_of(name), got_object, &g);
    ANSWERED(b, &g);
    return g;
}

static void test_objects(void **state)
{
    struct bench *b = *state;
    char longest[STORE_OBJECT_MAX + 1];
    memset(longest, 'n', sizeof longest);
    longest[STORE_OBJECT_MAX] = '\0';
    assert_int_equal(object_get(b, "msgbatch_1").e, ERR_NOTFOUND);
    store_object_put(b->s, S("msgbatch_1"), 3, BENCH_WALL);
    assert_int_equal(object_get(b, "msgbatch_1").object, 3); /* put, then get: never too early */
    store_object_put(b->s, S("msgbatch_1"), 4, BENCH_WALL);
    store_object_put(b->s, S("file_2"), 5, BENCH_WALL);
    assert_int_equal(object_get(b, "msgbatch_1").object, 4);
    assert_int_equal(object_get(b, "").e, ERR_NOTFOUND);
    store_object_put(b->s, slice_of(longest), 6, BENCH_WALL); /* too long: counted, no more */
    assert_int_equal(object_get(b, longest).e, ERR_NOTFOUND);
    assert_int_equal(stats_of(b).failures, 1);
    assert_int_equal(stats_of(b).last_error, OK);
    longest[STORE_OBJECT_MAX - 1] = '\0';
    store_object_put(b->s, slice_of(longest), 7, BENCH_WALL);
    bench_reopen(b);
    assert_int_equal(object_get(b, longest).object, 7);
    assert_int_equal(object_get(b, "msgbatch_1").object, 4);
    assert_int_equal(object_get(b, "file_2").object, 5);
    assert_int_equal(object_get(b, "file_").e, ERR_NOTFOUND);
}

static void test_objects_go_with_their_account(void **state)
{
    struct bench *b = *state;
    assert_int_equal(account_add(b, "a", "s").account[0].id, 1);
    assert_int_equal(account_add(b, "b", "s").account[0].id, 2);
    store_object_put(b->s, S("of-a"), 1, BENCH_WALL);
    store_object_put(b->s, S("of-b"), 2, BENCH_WALL);
    assert_int_equal(account_remove(b, 1), OK);
    assert_int_equal(object_get(b, "of-a").e, ERR_NOTFOUND);
    assert_int_equal(object_get(b, "of-b").object, 2);
}

/* ---- callbacks ------------------------------------------------------------------------------ */

/* After store_close nothing is called; but what was to be written is. */
static void test_close_with_verbs_under_way(void **state)
{
    struct bench *b = *state;
    struct got g = {0};
    struct account_row row = account_named("late");
    row.secret = S("sk-late");
    store_object_put(b->s, S("o"), 1, BENCH_WALL); /* its batch flies: what follows waits */
    store_account_add(b->s, &row, got_accounts, &g);
    store_accounts_load(b->s, got_accounts, &g);
    store_keys_load(b->s, got_keys, &g);
    store_records_query(b->s, &(struct record_query){.limit = 5}, got_records, &g);
    store_object_get(b->s, S("o"), got_object, &g);
    store_prune(b->s, got_word, &g);
    store_facts_put(b->s, 1, 10, 20, "late");
    records_put(b, 0, 10);
    bench_reopen(b);
    assert_int_equal(g.calls, 0);
    g = accounts_load(b);
    assert_int_equal(g.n, 1);
    assert_string_equal(g.secret[0], "sk-late");
    assert_int_equal(records_count(b), 10);
}

static void close_in_callback(void *arg, enum err e, const struct account_row *rows, size_t n)
{
    struct bench *b = arg;
    assert_int_equal(e, OK);
    assert_int_equal(n, 1);
    bench_close(b);
    assert_string_equal(rows[0].name, "work"); /* the rows live as long as the call */
}

static void test_close_in_a_callback(void **state)
{
    struct bench *b = *state;
    struct got g = {0};
    struct account_row row = account_named("work");
    store_account_add(b->s, &row, close_in_callback, b);
    store_keys_load(b->s, got_keys, &g);
    (void)bench_step(&b->loop);
    assert_null(b->s);
    assert_int_equal(g.calls, 0);
    assert_null(b->loop.worker);
}

/* Whatever fails, at whatever place: one answer each, nothing lost that was accepted. */
static void test_every_fault(void **state)
{
    struct bench *b = *state;
    for (uint64_t nth = 1; nth < 40; nth++) {
        struct got g[4] = {{0}};
        struct account_row row = account_named("x");
        (void)text_format(row.name, sizeof row.name, "x%d", (int)nth);
        row.secret = S("sk");
        size_t before = records_count(b);
        fault_counter = 0;
        fault_target = nth;
        records_put(b, 0, 3);
        store_object_put(b->s, S("obj"), (int64_t)nth, BENCH_WALL);
        store_account_add(b->s, &row, got_accounts, &g[0]);
        store_accounts_load(b->s, got_accounts, &g[1]);
        store_object_get(b->s, S("obj"), got_object, &g[2]);
        store_records_query(b->s, &(struct record_query){.limit = 3}, got_records, &g[3]);
        bench_pass(&b->loop, 5000);
        fault_target = 0;
        for (int i = 0; i < 4; i++)
            assert_int_equal(g[i].calls, 1);
        if (g[2].e == OK)
            assert_int_equal(g[2].object, nth);
        if (g[1].e == OK)
            assert_false(g[1].account[0].secret_unreadable);
        mem_free(g[3].record);
        assert_int_equal(records_count(b), before + 3);
        assert_int_equal(object_get(b, "obj").object, nth);
    }
    assert_true(stats_of(b).failures > 0);
    assert_int_equal(stats_of(b).records_dropped, 0);
}

#define WITH(test)      cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)
#define IN_MEMORY(test) cmocka_unit_test_setup_teardown(test, bench_setup_memory, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_account_add),
        IN_MEMORY(test_account_secret_sizes),
        WITH(test_account_update),
        WITH(test_account_numbers_are_never_reused),
        WITH(test_facts),
        WITH(test_keys),
        WITH(test_key_used),
        WITH(test_pepper),
        WITH(test_record_round_trip),
        IN_MEMORY(test_rows_alike),
        cmocka_unit_test_setup_teardown(test_rows_alike_wide, setup_wide, bench_teardown),
        IN_MEMORY(test_records_paging),
        IN_MEMORY(test_record_by_id),
        IN_MEMORY(test_record_by_id_is_quick),
        IN_MEMORY(test_records_empty),
        IN_MEMORY(test_long_scan_lets_others_in),
        WITH(test_objects),
        IN_MEMORY(test_objects_go_with_their_account),
        WITH(test_close_with_verbs_under_way),
        IN_MEMORY(test_close_in_a_callback),
        IN_MEMORY(test_every_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
