/* A real account set with one OAuth account, over a simulated network, a real http client and a
 * store whose every answer the test may hold back or spoil. Included by one test file a program: it
 * holds definitions. Link without the rooms net and store. */
#ifndef TEST_TOKEN_BENCH_H
#define TEST_TOKEN_BENCH_H

#include "accounts/accounts.h"
#include "simnet.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SEC      INT64_C(1000)
#define MINUTE   (60 * SEC)
#define HOUR     (60 * MINUTE)
#define LIFE     (8 * HOUR)
#define PEERS    32
#define ANSWERS  64
#define SETTINGS "{\"client_id\":\"cid\",\"token_url\":\"http://auth.test/v1/token\"}"

enum verb { V_ACCOUNTS, V_TOKENS, V_SWAP, V_NOTE, V_TAKE, VERBS };

struct answer { /* that the store owes */
    enum verb verb;
    enum err err;
    bool has_row;
    struct token_row row;
    char access[64], refresh[64];
    store_accounts_fn *accounts;
    store_tokens_fn *tokens;
    store_done_fn *done;
    void *arg;
};

static struct {
    struct loop *loop;
    struct http_client *client;
    struct account_set *set;
    struct account *a;
    int ready;
    struct sim_host *host;
    struct sim_peer *peer[PEERS];
    int peers;

    /* the disk */
    struct account_row account;
    bool removed;
    struct token_row row; /* generation 0: none */
    char access[64], refresh[64];
    char holder[64];
    int64_t lease_until;
    char reason[32]; /* of the last facts */
    struct bytes log;
    enum err spoil[VERBS]; /* what the next answers say in place of the truth */
    bool hold[VERBS];      /* they are given only by let_go */
    struct answer answer[ANSWERS];
    int answers;
    struct task task;
} b;

/* ---- the store ------------------------------------------------------------------------------- */

static void answers_give(void *arg)
{
    bool all = arg == NULL;
    for (int i = 0; i < b.answers;) {
        struct answer x = b.answer[i];
        if (all && b.hold[x.verb]) {
            i++;
            continue;
        }
        memmove(&b.answer[i], &b.answer[i + 1], (size_t)(b.answers - i - 1) * sizeof b.answer[0]);
        b.answers--;
        x.row.access = slice_of(x.access);
        x.row.refresh = slice_of(x.refresh);
        size_t n = x.has_row ? 1 : 0;
        if (x.accounts != NULL)
            x.accounts(x.arg, x.err, &b.account, x.err == OK ? 1 : 0);
        else if (x.tokens != NULL)
            x.tokens(x.arg, x.err, n > 0 ? &x.row : NULL, n);
        else if (x.done != NULL)
            x.done(x.arg, x.err);
    }
}

static struct answer *owe(enum verb v, enum err e, void *arg)
{
    assert_true(b.answers < ANSWERS);
    struct answer *x = &b.answer[b.answers++];
    *x = (struct answer){.verb = v, .err = e, .arg = arg};
    if (b.spoil[v] != OK)
        x->err = b.spoil[v];
    task_post(b.loop, &b.task);
    return x;
}

static void owe_row(struct answer *x)
{
    x->has_row = b.row.generation != 0;
    x->row = b.row;
    text_copy(x->access, sizeof x->access, slice_of(b.access));
    text_copy(x->refresh, sizeof x->refresh, slice_of(b.refresh));
}

void store_accounts_load(struct store *s, store_accounts_fn *done, void *arg)
{
    (void)s;
    owe(V_ACCOUNTS, OK, arg)->accounts = done;
}

void store_facts_put(struct store *s, int64_t account_id, int64_t seen_at, int64_t cool_until,
                     const char *cool_reason)
{
    (void)s, (void)seen_at, (void)cool_until;
    assert_int_equal(account_id, 7);
    text_copy(b.reason, sizeof b.reason, slice_of(cool_reason));
}

void store_tokens_load(struct store *s, store_tokens_fn *done, void *arg)
{
    (void)s;
    bytes_puts(&b.log, S("load "));
    struct answer *x = owe(V_TOKENS, OK, arg);
    x->tokens = done;
    if (x->err == OK)
        owe_row(x);
}

static void disk_put(int64_t generation, const char *access, const char *refresh, int64_t expires)
{
    b.row = (struct token_row){.account_id = 7,
                               .generation = generation,
                               .expires_at = expires,
                               .refreshed_at = loop_wall(b.loop)};
    b.row.lifetime = expires > b.row.refreshed_at ? expires - b.row.refreshed_at : 0;
    text_copy(b.access, sizeof b.access, slice_of(access));
    text_copy(b.refresh, sizeof b.refresh, slice_of(refresh));
}

void store_token_swap(struct store *s, int64_t expect, const struct token_row *row,
                      store_tokens_fn *done, void *arg)
{
    (void)s;
    bytes_printf(&b.log, "swap%d ", (int)expect);
    assert_int_equal(row->account_id, 7);
    struct answer *x = owe(V_SWAP, OK, arg);
    x->tokens = done;
    if (x->err != OK)
        return;
    if (b.removed) {
        x->err = ERR_NOTFOUND;
    } else if (b.row.generation != expect) {
        x->err = ERR_CONFLICT;
        owe_row(x);
    } else {
        b.row = *row;
        b.row.generation = expect + 1;
        text_copy(b.access, sizeof b.access, row->access);
        text_copy(b.refresh, sizeof b.refresh, row->refresh);
        owe_row(x);
    }
}

void store_token_note(struct store *s, int64_t account_id, int64_t generation, int64_t at,
                      store_done_fn *done, void *arg)
{
    (void)s;
    assert_int_equal(account_id, 7);
    bytes_puts(&b.log, at != 0 ? S("note ") : S("unnote "));
    enum err e = b.row.generation == generation ? OK : ERR_CONFLICT;
    if (e == OK)
        b.row.noted_at = at;
    owe(V_NOTE, e, arg)->done = done;
}

/* The bench is about tokens: nothing is known of windows and groups, and that is
 * told at once. */
void store_windows_load(struct store *s, store_windows_fn *done, void *arg)
{
    (void)s;
    done(arg, OK, NULL, 0);
}

void store_groups_load(struct store *s, store_groups_fn *done, void *arg)
{
    (void)s;
    done(arg, OK, NULL, 0);
}

void store_window_put(struct store *s, const struct window_row *row)
{
    (void)s, (void)row;
}

void store_lease_take(struct store *s, struct slice name, struct slice holder, int64_t now,
                      int64_t ttl_ms, store_done_fn *done, void *arg)
{
    (void)s;
    bytes_puts(&b.log, S("take "));
    assert_true(slice_eq(name, S("refresh:7")) && holder.n == 32 && ttl_ms == MINUTE);
    bool mine = b.holder[0] == '\0' || slice_eq(slice_of(b.holder), holder);
    enum err e = mine || now >= b.lease_until ? OK : ERR_BUSY;
    struct answer *x = owe(V_TAKE, e, arg);
    x->done = done;
    if (x->err != OK)
        return;
    text_copy(b.holder, sizeof b.holder, holder);
    b.lease_until = now + ttl_ms;
}

void store_lease_drop(struct store *s, struct slice name, struct slice holder)
{
    (void)s, (void)name;
    bytes_puts(&b.log, S("drop "));
    if (slice_eq(slice_of(b.holder), holder))
        b.holder[0] = '\0';
}

/* ---- the bench ------------------------------------------------------------------------------- */

static void settle(void)
{
    assert_true(sim_settle(b.loop));
}

static void advance(int64_t ms)
{
    assert_true(sim_advance(b.loop, ms));
    settle();
}

static inline void let_go(enum verb v)
{
    b.hold[v] = false;
    task_post(b.loop, &b.task);
    settle();
}

static void on_ready(void *arg, enum err e)
{
    (void)arg;
    assert_int_equal(e, OK);
    b.ready++;
}

static void on_dialled(void *arg, struct sim_host *h, struct sim_peer *p)
{
    (void)arg, (void)h;
    assert_true(b.peers < PEERS);
    b.peer[b.peers++] = p;
}

static int64_t wall(void)
{
    return loop_wall(b.loop);
}

/* A loop and a disk; the set is still to come. */
static void bench_disk(void)
{
    static const struct http_client_limits limits = {
        .connect_ms = 5000, .idle_ms = 55000, .max_idle = 3};
    memset(&b, 0, sizeof b);
    b.loop = loop_new();
    struct sim_hooks hooks = {.on_dialled = on_dialled};
    sim_hooks_set(b.loop, &hooks);
    b.host = sim_host(b.loop, "auth", S("auth.test"), 80);
    b.client = http_client_new(b.loop, &limits, NULL);
    task_init(&b.task, answers_give, NULL);
    b.account = (struct account_row){.id = 7, .version = 1, .weight = 1, .secret = {"", 0}};
    text_copy(b.account.name, sizeof b.account.name, S("max"));
    text_copy(b.account.provider, sizeof b.account.provider, S("claude-oauth"));
    text_copy(b.account.settings, sizeof b.account.settings, S(SETTINGS));
}

static void bench_load(bool with_client)
{
    b.set = accounts_new(b.loop, NULL, on_ready, NULL);
    if (with_client)
        accounts_set_client(b.set, b.client);
    settle();
    assert_int_equal(b.ready, 1);
    b.a = accounts_by_id(b.set, 7);
    assert_non_null(b.a);
    b.log.n = 0;
}

/* One account whose token has `left` ms to go of LIFE; 0 = has run out, and nobody was asked yet.
 */
static inline void bench_open(int64_t left)
{
    bench_disk();
    disk_put(1, "at1", "rt1", loop_wall(b.loop) + left);
    b.row.lifetime = LIFE;
    b.row.refreshed_at = b.row.expires_at - LIFE;
    bench_load(true);
    b.log.n = 0;
}

static void set_close(void)
{
    if (b.set == NULL)
        return;
    accounts_set_client(b.set, NULL);
    accounts_free(b.set);
    b.set = NULL;
    b.a = NULL;
}

static void bench_close(void)
{
    struct sim_counts left;
    set_close();
    memset(b.hold, 0, sizeof b.hold);
    task_post(b.loop, &b.task);
    settle(); /* what the store still owes comes late, and finds nobody */
    assert_int_equal(b.answers, 0);
    http_client_free(b.client);
    advance(40000);
    sim_live_counts(b.loop, &left);
    assert_int_equal(left.streams + left.dials, 0);
    assert_int_equal(left.timers, 0);
    assert_false(left.tasks);
    loop_free(b.loop);
    bytes_free(&b.log);
}

/* ---- looking and doing ----------------------------------------------------------------------- */

/* Moves time until the provider has been asked `n` times; how long that was. */
static int64_t until_asked(int n)
{
    int64_t begun = wall();
    while (b.peers < n && wall() < begun + LIFE)
        advance(SEC);
    assert_int_equal(b.peers, n);
    return wall() - begun;
}

struct waiter {
    struct token_wait w;
    int called;
    enum err e;
    struct waiter *forgets; /* inside its call */
};

static void on_token(void *arg, enum err e)
{
    struct waiter *x = arg;
    x->called++;
    x->e = e;
    if (x->forgets != NULL)
        account_token_forget(&x->forgets->w);
}

static void ask(struct waiter *x, bool forced, int64_t seen)
{
    *x = (struct waiter){.w = {.done = on_token, .arg = x}};
    account_token_get(b.set, b.a, forced, seen, &x->w);
    assert_int_equal(x->called, 0); /* never inside the call */
}

static inline enum err asked(bool forced, int64_t seen)
{
    struct waiter x;
    ask(&x, forced, seen);
    settle();
    account_token_forget(&x.w);
    return x.called > 0 ? x.e : ERR_AGAIN;
}

#define LOGGED(text)     assert_logged(text, __LINE__)
#define CREDENTIAL(text) assert_true(slice_eq(b.a->credential.value, S(text)))

static inline void assert_logged(const char *want, int line)
{
    if (!slice_eq(bytes_slice(&b.log), slice_of(want)))
        fail_msg("line %d: the store saw <%.*s>, wanted <%s>", line, (int)b.log.n, b.log.p, want);
    b.log.n = 0;
}

static struct account_status status(void)
{
    return account_status(&b.a->facts, wall());
}

/* The newest peer answers. */
static void reply(int code, const char *header, const char *body)
{
    struct bytes t = {0};
    assert_true(b.peers > 0);
    bytes_printf(&t, "HTTP/1.1 %d X\r\n%scontent-length: %zu\r\n\r\n", code, header, strlen(body));
    bytes_puts(&t, slice_of(body));
    sim_send(b.peer[b.peers - 1], bytes_slice(&t));
    settle();
    bytes_free(&t);
}

#define PAIR2                                                                        \
    "{\"token_type\":\"Bearer\",\"access_token\":\"at2\",\"refresh_token\":\"rt2\"," \
    "\"expires_in\":28800}"

#endif
