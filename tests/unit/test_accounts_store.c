/* links: base http codec sim store accounts */
/* Tokens over the real store: two sets on one folder, as two processes would be, and restarts. */
#include "accounts/accounts.h"
#include "simnet.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SEC   INT64_C(1000)
#define LIFE  (8 * 3600 * SEC)
#define SETS  2
#define CROWD 50

struct waiter {
    struct token_wait w;
    int called;
    enum err e;
};

struct bench {
    struct loop *loop;
    struct store *store;
    struct http_client *client[SETS];
    struct account_set *set[SETS];
    struct sim_peer *peer[64];
    int peers, ready;
    int64_t id;
};

static void on_dialled(void *arg, struct sim_host *h, struct sim_peer *p)
{
    struct bench *b = arg;
    (void)h;
    assert_true(b->peers < 64);
    b->peer[b->peers++] = p;
}

static void on_ready(void *arg, enum err e)
{
    struct bench *b = arg;
    assert_int_equal(e, OK);
    b->ready++;
}

static void on_added(void *arg, enum err e, const struct account_row *rows, size_t n)
{
    struct bench *b = arg;
    assert_int_equal(e, OK);
    assert_int_equal(n, 1);
    b->id = rows[0].id;
}

static void on_swapped(void *arg, enum err e, const struct token_row *rows, size_t n)
{
    struct bench *b = arg;
    assert_int_equal(e, OK);
    assert_int_equal(n, 1);
    for (int i = 0; i < SETS; i++) {
        if (b->set[i] != NULL)
            accounts_token_put(b->set[i], &rows[0]);
    }
}

static void settle(struct bench *b)
{
    assert_true(sim_settle(b->loop));
}

static void put(struct bench *b, int64_t expect, const char *access, const char *refresh,
                int64_t left)
{
    int64_t now = loop_wall(b->loop);
    const struct token_row row = {.account_id = b->id,
                                  .expires_at = now + left,
                                  .lifetime = LIFE,
                                  .refreshed_at = now + left - LIFE,
                                  .access = slice_of(access),
                                  .refresh = slice_of(refresh)};
    store_token_swap(b->store, expect, &row, on_swapped, b);
    settle(b);
}

static void sets_open(struct bench *b)
{
    b->ready = 0;
    for (int i = 0; i < SETS; i++) {
        b->set[i] = accounts_new(b->loop, b->store, on_ready, b);
        accounts_set_client(b->set[i], b->client[i]);
    }
    settle(b);
    assert_int_equal(b->ready, SETS);
}

static void sets_close(struct bench *b)
{
    for (int i = 0; i < SETS; i++) {
        accounts_set_client(b->set[i], NULL);
        accounts_free(b->set[i]);
        b->set[i] = NULL;
    }
}

static void bench_open(struct bench *b)
{
    static const struct http_client_limits limits = {
        .connect_ms = 5000, .idle_ms = 55000, .max_idle = 3};
    const struct store_options o = {.dir = NULL};
    struct account_row row = {.weight = 1, .secret = {"", 0}};
    char why[256];
    *b = (struct bench){.loop = loop_new()};
    struct sim_hooks hooks = {.arg = b, .on_dialled = on_dialled};
    sim_hooks_set(b->loop, &hooks);
    (void)sim_host(b->loop, "auth", S("auth.test"), 80);
    for (int i = 0; i < SETS; i++)
        b->client[i] = http_client_new(b->loop, &limits, NULL);
    assert_int_equal(store_open(b->loop, &o, &b->store, why, sizeof why), OK);
    text_copy(row.name, sizeof row.name, S("max"));
    text_copy(row.provider, sizeof row.provider, S("claude-oauth"));
    text_copy(row.settings, sizeof row.settings,
              S("{\"client_id\":\"cid\",\"token_url\":\"http://auth.test/t\"}"));
    store_account_add(b->store, &row, on_added, b);
    settle(b);
}

static void bench_close(struct bench *b)
{
    sets_close(b);
    store_close(b->store);
    for (int i = 0; i < SETS; i++)
        http_client_free(b->client[i]);
    assert_true(sim_advance(b->loop, 40 * SEC));
    loop_free(b->loop);
}

static void on_token(void *arg, enum err e)
{
    struct waiter *x = arg;
    x->called++;
    x->e = e;
}

static struct account *account(struct bench *b, int i)
{
    return accounts_by_id(b->set[i], b->id);
}

static void crowd_ask(struct bench *b, struct waiter x[SETS][CROWD], bool forced)
{
    for (int i = 0; i < SETS; i++) {
        struct account *a = account(b, i);
        for (int k = 0; k < CROWD; k++) {
            x[i][k] = (struct waiter){.w = {.done = on_token, .arg = &x[i][k]}};
            account_token_get(b->set[i], a, forced, a->generation, &x[i][k].w);
        }
    }
}

static void reply(struct bench *b, int code, const char *body)
{
    char text[512];
    size_t n = text_format(text, sizeof text, "HTTP/1.1 %d X\r\ncontent-length: %zu\r\n\r\n%s",
                           code, strlen(body), body);
    sim_send(b->peer[b->peers - 1], (struct slice){text, n});
    settle(b);
}

static void assert_all(struct bench *b, struct waiter x[SETS][CROWD], enum err e,
                       const char *credential, int64_t generation)
{
    for (int i = 0; i < SETS; i++) {
        for (int k = 0; k < CROWD; k++) {
            assert_int_equal(x[i][k].called, 1);
            assert_int_equal(x[i][k].e, e);
        }
        assert_true(slice_eq(account(b, i)->credential.value, slice_of(credential)));
        assert_int_equal(account(b, i)->generation, generation);
    }
}

#define PAIR(n) "{\"access_token\":\"at" n "\",\"refresh_token\":\"rt" n "\",\"expires_in\":28800}"

/* Two processes, one folder: the loser of the lease waits for the winner and takes what it got. */
static void test_two_sets(void **state)
{
    static struct waiter x[SETS][CROWD];
    struct bench b;
    (void)state;
    bench_open(&b);
    put(&b, 0, "at1", "rt1", 0);
    sets_open(&b);
    for (int round = 1; round < 6; round++) {
        char pair[128], credential[32];
        text_format(pair, sizeof pair,
                    "{\"access_token\":\"at%d\",\"refresh_token\":\"rt%d\",\"expires_in\":28800}",
                    round + 1, round + 1);
        text_format(credential, sizeof credential, "Bearer at%d", round + 1);
        crowd_ask(&b, x, true);
        settle(&b);
        assert_int_equal(b.peers, round); /* one request, whoever sends it */
        assert_true(sim_advance(b.loop, 5 * SEC));
        assert_int_equal(b.peers, round);
        reply(&b, 200, pair);
        assert_true(sim_advance(b.loop, SEC));
        assert_all(&b, x, OK, credential, round + 1);
    }
    sets_close(&b);
    sets_open(&b); /* after a restart the rotated pair is there */
    assert_true(slice_eq(account(&b, 0)->credential.value, S("Bearer at6")));
    crowd_ask(&b, x, true);
    settle(&b);
    struct slice sent = bytes_slice(&b.peer[b.peers - 1]->rx);
    assert_true(slice_search(sent, S("\"refresh_token\":\"rt6\"")) > 0);
    reply(&b, 200, PAIR("7"));
    assert_true(sim_advance(b.loop, SEC));
    assert_all(&b, x, OK, "Bearer at7", 7);
    bench_close(&b);
}

static void test_dead_everywhere(void **state)
{
    static struct waiter x[SETS][CROWD];
    struct bench b;
    (void)state;
    bench_open(&b);
    put(&b, 0, "at1", "rt1", 0);
    sets_open(&b);
    crowd_ask(&b, x, false);
    settle(&b);
    reply(&b, 400, "{\"error\":\"invalid_grant\"}");
    assert_true(sim_advance(b.loop, SEC));
    reply(&b, 400, "{\"error\":\"invalid_grant\"}"); /* the other learns it for itself */
    assert_all(&b, x, ERR_DENIED, "Bearer at1", 1);
    assert_int_equal(b.peers, 2);
    for (int i = 0; i < SETS; i++) {
        struct account_status s = account_status(&account(&b, i)->facts, loop_wall(b.loop));
        assert_int_equal(s.state, ACCOUNT_LOGIN);
        assert_string_equal(s.reason, "invalid_grant");
    }
    sets_close(&b);
    sets_open(&b); /* still so after a restart */
    struct account_status s = account_status(&account(&b, 0)->facts, loop_wall(b.loop));
    assert_string_equal(s.reason, "invalid_grant");
    assert_true(sim_advance(b.loop, SEC));
    put(&b, 1, "at2", "rt2", LIFE); /* until somebody logs in */
    crowd_ask(&b, x, false);
    settle(&b);
    assert_all(&b, x, OK, "Bearer at2", 2);
    sets_close(&b);
    sets_open(&b);
    s = account_status(&account(&b, 0)->facts, loop_wall(b.loop));
    assert_int_equal(s.state, ACCOUNT_READY);
    bench_close(&b);
}

struct turns {
    struct task task;
    struct loop *loop;
    int left;
};

static void turn(void *arg)
{
    struct turns *t = arg;
    if (t->left-- > 0)
        task_post(t->loop, &t->task);
    else
        loop_stop(t->loop);
}

static void run_turns(struct bench *b, int n)
{
    struct turns t = {.loop = b->loop, .left = n};
    task_init(&t.task, turn, &t);
    task_post(b->loop, &t.task);
    loop_run(b->loop);
}

/* Closed at every moment of a refresh: what the provider had answered and the store was handed is
 * there at the next start, and the account works or is refreshed again. */
static void test_closed_anywhere(void **state)
{
    int before = 0, after = 0;
    (void)state;
    for (int turns = 0; turns < 60; turns++) {
        static struct waiter x[SETS][CROWD];
        struct bench b;
        bench_open(&b);
        put(&b, 0, "at1", "rt1", 0);
        sets_open(&b);
        crowd_ask(&b, x, false);
        if (turns >= 30) {
            settle(&b);
            sim_send(b.peer[0], S("HTTP/1.1 200 OK\r\ncontent-length: 63\r\n\r\n" PAIR("2")));
        }
        run_turns(&b, turns % 30);
        sets_close(&b);
        settle(&b); /* what the store was handed, it finishes */
        sets_open(&b);
        const struct account *a = account(&b, 0);
        struct account_status s = account_status(&a->facts, loop_wall(b.loop));
        assert_int_equal(s.state, a->generation == 1 ? ACCOUNT_STALE : ACCOUNT_READY);
        assert_int_equal(account(&b, 1)->generation, a->generation);
        before += a->generation == 1;
        after += a->generation == 2;
        crowd_ask(&b, x, false); /* no lease is left behind */
        assert_true(sim_advance(b.loop, 2 * SEC));
        if (a->generation == 1)
            reply(&b, 200, PAIR("2"));
        assert_true(sim_advance(b.loop, SEC));
        assert_all(&b, x, OK, "Bearer at2", 2);
        bench_close(&b);
    }
    if (before < 30 || after < 20)
        fail_msg("%d before, %d after", before, after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_sets),
        cmocka_unit_test(test_dead_everywhere),
        cmocka_unit_test(test_closed_anywhere),
    };
    crypto_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
