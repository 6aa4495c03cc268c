/* links: base http codec sim accounts */
/* The refresh of a token: one at a time, durable before its first use, and never lost. */
#include "token_bench.h"

#include "sluice/sluice.h"

/* ---- loading --------------------------------------------------------------------------------- */

static void test_load(void **state)
{
    (void)state;
    bench_open(LIFE);
    assert_int_equal(status().state, ACCOUNT_READY);
    assert_int_equal(b.a->generation, 1);
    assert_true(slice_eq(b.a->credential.name, S("authorization")));
    CREDENTIAL("Bearer at1");
    assert_string_equal(b.a->provider->beta, "oauth-2025-04-20");
    assert_int_equal(account_status(&b.a->facts, wall() + LIFE - 30 * SEC - 1).state,
                     ACCOUNT_READY);
    assert_int_equal(account_status(&b.a->facts, wall() + LIFE - 30 * SEC).state, ACCOUNT_STALE);
    assert_int_equal(asked(false, 0), OK); /* good as it is: the store is not bothered */
    LOGGED("");
    bench_close();
}

static void test_load_odd(void **state)
{
    (void)state;
    bench_disk(); /* no token: added, but not yet logged in */
    bench_load(true);
    assert_int_equal(status().state, ACCOUNT_LOGIN);
    assert_string_equal(status().reason, "no_token");
    assert_int_equal(asked(false, 0), ERR_DENIED);
    bench_close();
    bench_disk();
    disk_put(3, "", "", 0);
    b.row.unreadable = true;
    bench_load(true);
    assert_string_equal(status().reason, "secret_unreadable");
    assert_int_equal(asked(true, 3), ERR_DENIED);
    disk_put(4, "at4", "rt4", wall() + LIFE); /* a new login mends it */
    b.row.access = slice_of(b.access);
    b.row.refresh = slice_of(b.refresh);
    accounts_token_put(b.set, &b.row);
    assert_int_equal(status().state, ACCOUNT_READY);
    CREDENTIAL("Bearer at4");
    bench_close();
    bench_disk(); /* a verdict of before the restart, about the very pair that is loaded */
    text_copy(b.account.cool_reason, sizeof b.account.cool_reason, S("invalid_grant"));
    b.account.facts_seen_at = wall();
    disk_put(2, "at2", "rt2", wall() + LIFE);
    bench_load(true);
    assert_string_equal(status().reason, "invalid_grant");
    bench_close();
    bench_disk(); /* about an older one: somebody has logged in since */
    text_copy(b.account.cool_reason, sizeof b.account.cool_reason, S("invalid_grant"));
    b.account.facts_seen_at = wall() - 1;
    disk_put(2, "at2", "rt2", wall() + LIFE);
    bench_load(true);
    assert_int_equal(status().state, ACCOUNT_READY);
    assert_string_equal(b.reason, "");
    bench_close();
}

static void test_no_client(void **state)
{
    (void)state;
    bench_disk();
    disk_put(1, "at1", "rt1", wall() - 1);
    bench_load(false);
    advance(HOUR); /* the command line looks at accounts, and refreshes none */
    assert_int_equal(status().state, ACCOUNT_STALE);
    assert_int_equal(asked(false, 0), ERR_STATE);
    assert_int_equal(b.peers, 0);
    bench_close();
}

/* ---- one refresh ----------------------------------------------------------------------------- */

static void test_single_flight(void **state)
{
    static struct waiter x[500];
    const char *want = "POST /v1/token HTTP/1.1\r\nhost: auth.test\r\ncontent-type: "
                       "application/json\r\naccept: application/json\r\nuser-agent: "
                       "sluice/" SLUICE_VERSION "\r\nanthropic-beta: oauth-2025-04-20\r\n"
                       "content-length: 70\r\n\r\n{\"grant_type\":\"refresh_token\","
                       "\"refresh_token\":\"rt1\",\"client_id\":\"cid\"}";
    (void)state;
    bench_open(0);
    assert_int_equal(status().state, ACCOUNT_STALE);
    for (int i = 0; i < 250; i++)
        ask(&x[i], false, 0);
    settle();
    assert_int_equal(b.peers, 1);
    for (int i = 250; i < 500; i++)
        ask(&x[i], i % 2 == 0, 1); /* some come with a 401 */
    settle();
    assert_int_equal(b.peers, 1);
    assert_int_equal(accounts_refreshing(b.set), 1);
    struct slice sent = bytes_slice(&b.peer[0]->rx);
    if (!slice_eq(sent, slice_of(want)))
        fail_msg("sent <%.*s>", (int)sent.n, sent.p);
    LOGGED("take load note ");
    assert_int_equal(b.row.noted_at, wall());
    reply(200, "", PAIR2);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(x[i].called, 1);
        assert_int_equal(x[i].e, OK);
    }
    LOGGED("swap1 drop ");
    CREDENTIAL("Bearer at2");
    assert_int_equal(b.a->generation, 2);
    assert_string_equal(b.refresh, "rt2");
    assert_int_equal(b.row.expires_at, wall() + LIFE);
    assert_int_equal(b.row.lifetime, LIFE);
    assert_int_equal(b.row.noted_at, 0);
    assert_int_equal(status().state, ACCOUNT_READY);
    assert_int_equal(accounts_refreshing(b.set), 0);
    assert_int_equal(asked(true, 1), OK); /* a late 401 on the old generation */
    advance(MINUTE);
    assert_int_equal(b.peers, 1);
    LOGGED("");
    bench_close();
}

static void test_not_rotated(void **state)
{
    (void)state;
    bench_open(0);
    assert_int_equal(asked(false, 0), ERR_AGAIN);
    reply(200, "", "{\"access_token\":\"at2\"}");
    assert_string_equal(b.access, "at2");
    assert_string_equal(b.refresh, "rt1"); /* stays good */
    assert_int_equal(b.row.expires_at, 0);
    assert_int_equal(status().state, ACCOUNT_READY);
    advance(30 * 24 * HOUR); /* nobody said when it ends: only a 401 will */
    assert_int_equal(b.peers, 1);
    assert_int_equal(asked(true, 2), ERR_AGAIN);
    assert_int_equal(b.peers, 2);
    reply(200, "", "{\"access_token\":\"at3\",\"expires_at\":5000}");
    CREDENTIAL("Bearer at3");
    assert_int_equal(status().state, ACCOUNT_READY); /* timed by a clock that is not ours */
    bench_close();
}

static void test_leaving_waiters(void **state)
{
    struct waiter x[4];
    (void)state;
    bench_open(0);
    for (int i = 0; i < 4; i++)
        ask(&x[i], false, 0);
    account_token_forget(&x[1].w);
    account_token_forget(&x[1].w);
    settle();
    x[0].forgets = &x[2]; /* while both are being told */
    reply(200, "", PAIR2);
    assert_int_equal(x[0].called, 1);
    assert_int_equal(x[1].called, 0);
    assert_int_equal(x[2].called, 0);
    assert_int_equal(x[3].called, 1);
    struct token_wait never = {.done = on_token};
    account_token_forget(&never);
    /* all have gone: the refresh goes on, for whoever comes next */
    ask(&x[0], true, 2);
    settle();
    account_token_forget(&x[0].w);
    reply(200, "", "{\"access_token\":\"at3\",\"refresh_token\":\"rt3\",\"expires_in\":28800}");
    assert_int_equal(x[0].called, 0);
    CREDENTIAL("Bearer at3");
    bench_close();
}

static void test_durable_first(void **state)
{
    struct waiter x;
    (void)state;
    bench_open(0);
    account_hold(b.a); /* a request in flight with the old token */
    struct slice old = b.a->credential.value;
    b.hold[V_NOTE] = true;
    ask(&x, false, 0);
    settle();
    assert_int_equal(b.peers, 0); /* nothing is sent before the note is on the disk */
    let_go(V_NOTE);
    assert_int_equal(b.peers, 1);
    b.hold[V_SWAP] = true;
    reply(200, "", PAIR2);
    advance(10 * SEC);
    assert_int_equal(x.called, 0);
    CREDENTIAL("Bearer at1"); /* nor used before the pair is */
    assert_int_equal(accounts_refreshing(b.set), 1);
    let_go(V_SWAP);
    assert_int_equal(x.called, 1);
    CREDENTIAL("Bearer at2");
    assert_true(slice_eq(old, S("Bearer at1"))); /* what is in flight stays readable */
    account_release(b.set, b.a);
    bench_close();
}

static void test_note_fails(void **state)
{
    (void)state;
    bench_open(0);
    b.spoil[V_NOTE] = ERR_FULL;
    assert_int_equal(asked(false, 0), ERR_FULL);
    assert_int_equal(b.peers, 0);
    assert_int_equal(status().state, ACCOUNT_COOLING);
    assert_string_equal(b.holder, "");
    b.spoil[V_NOTE] = OK;
    advance(5 * SEC);
    assert_int_equal(b.peers, 1);
    bench_close();
}

static void test_disk_full(void **state)
{
    struct waiter x, y;
    (void)state;
    bench_open(0);
    ask(&x, false, 0);
    settle();
    b.spoil[V_SWAP] = ERR_FULL;
    LOGGED("take load note ");
    reply(200, "", PAIR2);
    assert_int_equal(x.called, 1); /* nobody is kept waiting for a disk */
    assert_int_equal(x.e, ERR_FULL);
    assert_int_equal(asked(false, 0), ERR_FULL);
    CREDENTIAL("Bearer at1");
    assert_int_equal(status().state, ACCOUNT_COOLING);
    advance(3 * SEC);
    LOGGED("swap1 swap1 swap1 swap1 ");
    assert_int_equal(accounts_refreshing(b.set), 1);
    b.spoil[V_SWAP] = OK;
    b.hold[V_SWAP] = true;
    advance(SEC);
    ask(&y, false, 0); /* the disk is being asked: this one may wait */
    let_go(V_SWAP);
    assert_int_equal(y.e, OK);
    CREDENTIAL("Bearer at2");
    assert_int_equal(status().state, ACCOUNT_READY);
    assert_int_equal(b.peers, 1); /* the provider was asked once */
    bench_close();
    /* while the old token lasts, nobody notices */
    bench_open(LIFE / 4);
    b.spoil[V_SWAP] = ERR_IO;
    until_asked(1);
    reply(200, "", PAIR2);
    advance(5 * SEC);
    assert_int_equal(asked(false, 0), OK);
    CREDENTIAL("Bearer at1");
    assert_int_equal(status().state, ACCOUNT_READY);
    bench_close();
}

/* ---- somebody else was quicker --------------------------------------------------------------- */

static void test_forced(void **state)
{
    struct waiter x;
    (void)state;
    bench_open(LIFE);
    assert_int_equal(asked(true, 0), OK); /* the generation has moved since */
    assert_int_equal(b.peers, 0);
    ask(&x, true, 1);
    assert_int_equal(status().state, ACCOUNT_STALE); /* nobody else is sent into the same 401 */
    settle();
    reply(200, "", PAIR2);
    assert_int_equal(x.e, OK);
    assert_int_equal(status().state, ACCOUNT_READY);
    assert_int_equal(asked(true, 1), OK);
    assert_int_equal(b.peers, 1);
    bench_close();
}

static void test_adopt_before(void **state)
{
    (void)state;
    bench_open(0);
    disk_put(5, "at5", "rt5", wall() + LIFE); /* another process, the same folder */
    assert_int_equal(asked(false, 0), OK);
    CREDENTIAL("Bearer at5");
    assert_int_equal(b.a->generation, 5);
    assert_int_equal(b.peers, 0);
    LOGGED("take load drop ");
    bench_close();
    bench_open(0); /* a folder put back from a backup: the disk counts */
    b.row.generation = 9;
    b.row.access = slice_of(b.access);
    b.row.refresh = slice_of(b.refresh);
    accounts_token_put(b.set, &b.row);
    disk_put(3, "at3", "rt3", wall() + LIFE);
    assert_int_equal(asked(false, 0), OK);
    assert_int_equal(b.a->generation, 3);
    CREDENTIAL("Bearer at3");
    bench_close();
}

static void test_dead(void **state)
{
    struct waiter x;
    (void)state;
    bench_open(LIFE);
    ask(&x, true, 1);
    settle();
    b.log.n = 0;
    reply(400, "", "{\"error\":\"invalid_grant\"}");
    assert_int_equal(x.e, ERR_DENIED);
    LOGGED("load unnote drop "); /* read again before it is called dead */
    assert_int_equal(status().state, ACCOUNT_LOGIN);
    assert_string_equal(status().reason, "invalid_grant");
    assert_string_equal(b.reason, "invalid_grant");
    assert_int_equal(asked(false, 0), ERR_DENIED);
    advance(24 * HOUR);
    assert_int_equal(b.peers, 1); /* not tried again: only a person helps */
    assert_string_equal(b.access, "at1");
    assert_string_equal(b.refresh, "rt1"); /* nor thrown away */
    disk_put(2, "at2", "rt2", wall() + LIFE);
    b.row.access = slice_of(b.access);
    b.row.refresh = slice_of(b.refresh);
    accounts_token_put(b.set, &b.row);
    assert_int_equal(status().state, ACCOUNT_READY);
    assert_string_equal(b.reason, "");
    CREDENTIAL("Bearer at2");
    bench_close();
}

static void test_dead_but_moved(void **state)
{
    struct waiter x;
    (void)state;
    bench_open(0);
    ask(&x, false, 0);
    settle();
    disk_put(2, "at2", "rt2", wall() + LIFE);
    reply(400, "", "{\"error\":\"invalid_grant\"}");
    assert_int_equal(x.e, OK);
    CREDENTIAL("Bearer at2");
    assert_int_equal(status().state, ACCOUNT_READY);
    assert_int_equal(b.peers, 1);
    bench_close();
    bench_open(0); /* whether it has moved cannot be told: not dead */
    ask(&x, false, 0);
    settle();
    b.spoil[V_TOKENS] = ERR_IO;
    reply(400, "", "{\"error\":\"invalid_grant\"}");
    assert_int_equal(x.e, ERR_IO);
    assert_int_equal(status().state, ACCOUNT_COOLING);
    bench_close();
}

static void test_conflict(void **state)
{
    struct waiter x;
    (void)state;
    bench_open(0);
    ask(&x, false, 0);
    settle();
    disk_put(4, "at4", "rt4", wall() + LIFE);
    reply(200, "", PAIR2);
    assert_int_equal(x.e, OK);
    CREDENTIAL("Bearer at4");
    assert_int_equal(b.a->generation, 4);
    bench_close();
}

static void test_login_meanwhile(void **state)
{
    static const char *const answers[] = {PAIR2, "{\"error\":\"invalid_grant\"}", "junk"};
    static const int codes[] = {200, 400, 503};
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct waiter x;
        bench_open(0);
        ask(&x, false, 0);
        settle();
        disk_put(2, "long", "", 0); /* a long-lived token at that */
        b.row.access = slice_of(b.access);
        b.row.refresh = slice_of(b.refresh);
        accounts_token_put(b.set, &b.row);
        if (i < 3)
            reply(codes[i], "", answers[i]);
        else
            advance(30 * SEC);
        assert_int_equal(x.e, OK);
        CREDENTIAL("Bearer long");
        assert_int_equal(status().state, ACCOUNT_READY);
        assert_int_equal(b.row.generation, 2);
        bench_close();
    }
}

static void test_lease(void **state)
{
    struct waiter x;
    (void)state;
    bench_open(0);
    text_copy(b.holder, sizeof b.holder, S("another process"));
    b.lease_until = wall() + 3500;
    ask(&x, false, 0);
    settle();
    assert_int_equal(accounts_refreshing(b.set), 0); /* a drain need not wait for others */
    LOGGED("take load ");
    advance(2 * SEC);
    LOGGED("take load take load ");
    assert_int_equal(x.called, 0);
    disk_put(2, "at2", "rt2", wall() + LIFE); /* the other has done it */
    advance(SEC);
    assert_int_equal(x.e, OK);
    assert_int_equal(b.peers, 0);
    CREDENTIAL("Bearer at2");
    assert_string_equal(b.holder, "another process"); /* ... whose lease it stays */
    bench_close();
    bench_open(0); /* the other has died: its lease runs out */
    text_copy(b.holder, sizeof b.holder, S("another process"));
    b.lease_until = wall() + MINUTE;
    ask(&x, false, 0);
    advance(MINUTE);
    assert_int_equal(b.peers, 1);
    reply(200, "", PAIR2);
    assert_int_equal(x.e, OK);
    bench_close();
    bench_open(0); /* and one that never ends */
    text_copy(b.holder, sizeof b.holder, S("another process"));
    b.lease_until = INT64_MAX;
    ask(&x, false, 0);
    advance(91 * SEC);
    assert_int_equal(x.e, ERR_BUSY);
    assert_int_equal(b.peers, 0);
    bench_close();
}

/* ---- not now --------------------------------------------------------------------------------- */

static void test_backoff(void **state)
{
    static const int64_t rest[] = {5, 10, 20, 40, 80, 160, 300, 300};
    (void)state;
    bench_open(0);
    assert_int_equal(asked(false, 0), ERR_AGAIN);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(b.peers, i + 1);
        reply(503, "", "");
        assert_int_equal(status().state, ACCOUNT_COOLING);
        assert_string_equal(status().reason, "server_error");
        assert_int_equal(status().until, wall() + rest[i] * SEC);
        assert_int_equal(asked(false, 0), ERR_BUSY); /* asking makes it no quicker */
        assert_int_equal(asked(true, 1), ERR_BUSY);
        advance(rest[i] * SEC - 1);
        assert_int_equal(b.peers, i + 1);
        advance(1);
    }
    reply(200, "", PAIR2);
    assert_int_equal(status().state, ACCOUNT_READY);
    assert_int_equal(asked(true, 2), ERR_AGAIN);
    reply(500, "", "");
    assert_int_equal(status().until, wall() + 5 * SEC); /* from the start again */
    bench_close();
}

static void test_retry_after(void **state)
{
    (void)state;
    bench_open(0);
    assert_int_equal(asked(false, 0), ERR_AGAIN);
    b.log.n = 0;
    reply(429, "retry-after: 100\r\n", "{\"error\":{\"type\":\"rate_limit_error\"}}");
    LOGGED("unnote drop "); /* an answer: nothing can have been lost */
    assert_int_equal(status().until, wall() + 100 * SEC);
    advance(100 * SEC);
    assert_int_equal(b.peers, 2);
    reply(429, "retry-after: 1\r\n", "");
    assert_int_equal(status().until, wall() + 10 * SEC);
    advance(10 * SEC);
    reply(429, "retry-after: 999999\r\n", "");
    assert_int_equal(status().until, wall() + HOUR);
    accounts_reset(b.set, b.a); /* a person need not wait */
    assert_int_equal(asked(false, 0), ERR_AGAIN);
    assert_int_equal(b.peers, 4);
    bench_close();
}

static void test_still_valid(void **state)
{
    struct waiter x, y;
    (void)state;
    bench_open(20 * SEC); /* stale, but it works */
    ask(&x, false, 0);
    settle();
    reply(503, "", "");
    assert_int_equal(x.e, OK);
    CREDENTIAL("Bearer at1");
    assert_int_equal(status().state, ACCOUNT_STALE);
    assert_int_equal(asked(false, 0), OK);
    ask(&y, true, 1); /* it does not work after all */
    settle();
    assert_int_equal(y.e, ERR_BUSY);
    assert_int_equal(asked(false, 0), ERR_BUSY);
    assert_int_equal(status().state, ACCOUNT_COOLING);
    bench_close();
}

static void test_no_answer(void **state)
{
    struct waiter x;
    (void)state;
    bench_open(0);
    ask(&x, false, 0);
    advance(30 * SEC - 1);
    assert_int_equal(x.called, 0);
    b.log.n = 0;
    advance(1);
    assert_int_equal(x.e, ERR_TIMEOUT);
    LOGGED("drop "); /* the note stays: an answer may have been lost */
    assert_true(b.row.noted_at != 0);
    advance(5 * SEC);
    assert_int_equal(b.peers, 2);
    sim_end(b.peer[1], SIM_RST);
    settle();
    assert_true(b.row.noted_at != 0);
    b.host->verdict = ERR_CONNECT;
    b.log.n = 0;
    advance(10 * SEC);
    LOGGED("take load note unnote drop "); /* never sent: nothing can have been lost */
    assert_int_equal(b.peers, 2);
    assert_int_equal(asked(false, 0), ERR_CONNECT);
    bench_close();
}

static void test_bad_answers(void **state)
{
    char *giant = mem_new(70001);
    (void)state;
    memset(giant, ' ', 70000);
    memcpy(giant + 69900, PAIR2, sizeof PAIR2 - 1);
    const char *answers[] = {"", "OK", "{}", "{\"access_token\":\"a b\"}", giant};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct waiter x;
        bench_open(0);
        ask(&x, false, 0);
        settle();
        reply(200, "", answers[i]);
        assert_int_equal(x.called, 1);
        assert_int_equal(x.e, ERR_PROTOCOL);
        assert_string_equal(status().reason, "bad_answer");
        assert_int_equal(b.row.generation, 1);
        bench_close();
    }
    mem_free(giant);
}

static void test_wrong_config(void **state)
{
    (void)state;
    bench_open(20 * SEC);
    assert_int_equal(asked(false, 0), ERR_AGAIN);
    reply(401, "", "{\"error\":\"invalid_client\"}");
    assert_int_equal(status().state, ACCOUNT_STALE); /* as long as the token lasts */
    advance(20 * SEC);
    assert_int_equal(status().state, ACCOUNT_LOGIN);
    assert_string_equal(status().reason, "invalid_client");
    assert_int_equal(asked(false, 0), ERR_DENIED);
    advance(280 * SEC);
    assert_int_equal(b.peers, 2); /* it may be the endpoint that was wrong */
    reply(302, "location: http://evil.test/\r\n", "");
    assert_int_equal(b.peers, 2);
    text_copy(b.account.settings, sizeof b.account.settings,
              S("{\"client_id\":\"new\",\"token_url\":\"http://auth.test\"}"));
    accounts_apply(b.set, &b.account); /* a person has mended it: at once */
    assert_int_equal(status().state, ACCOUNT_STALE);
    assert_int_equal(asked(false, 0), ERR_AGAIN);
    assert_int_equal(b.peers, 3);
    assert_true(slice_starts(bytes_slice(&b.peer[2]->rx), S("POST / HTTP/1.1\r\n")));
    reply(200, "", PAIR2);
    assert_int_equal(status().state, ACCOUNT_READY);
    accounts_apply(b.set, &b.account); /* nothing new: nothing happens */
    settle();
    assert_int_equal(b.peers, 3);
    text_copy(b.account.settings, sizeof b.account.settings, S("{"));
    accounts_apply(b.set, &b.account); /* a broken row: no client_id, so a long-lived token */
    assert_int_equal(asked(true, 2), ERR_DENIED);
    bench_close();
}

/* ---- in the background ----------------------------------------------------------------------- */

static void test_background(void **state)
{
    int64_t at[2] = {0, 0};
    (void)state;
    for (int run = 0; run < 2; run++) {
        bench_open(LIFE);
        at[run] = until_asked(1);
        assert_in_range(at[run], LIFE / 40 * 29, LIFE / 40 * 31 + SEC);
        assert_int_equal(status().state, ACCOUNT_READY); /* nobody waits for it */
        reply(200, "", PAIR2);
        CREDENTIAL("Bearer at2");
        assert_in_range(until_asked(2), LIFE / 40 * 29, LIFE / 40 * 31 + SEC); /* and so on */
        bench_close();
    }
    assert_int_equal(at[0], at[1]); /* the jitter is the account's own */
    bench_open(-HOUR);              /* overdue at the start: soon, but not all at once */
    assert_int_equal(b.peers, 0);
    advance(3 * SEC);
    assert_int_equal(b.peers, 1);
    bench_close();
}

static void test_short_life(void **state)
{
    (void)state;
    bench_open(0);
    assert_int_equal(asked(false, 0), ERR_AGAIN);
    reply(200, "", "{\"access_token\":\"at2\",\"refresh_token\":\"rt2\",\"expires_in\":20}");
    assert_int_equal(status().state, ACCOUNT_READY); /* not stale from its first moment on */
    assert_int_equal(asked(false, 0), OK);
    advance(14 * SEC);
    assert_int_equal(status().state, ACCOUNT_READY);
    advance(SEC);
    assert_int_equal(status().state, ACCOUNT_STALE);
    assert_int_equal(b.peers, 1);
    advance(14 * SEC);
    assert_int_equal(b.peers, 1);
    advance(SEC);
    assert_int_equal(b.peers, 2);
    bench_close();
}

static void test_long_lived(void **state)
{
    (void)state;
    bench_disk();
    disk_put(1, "setup", "", wall() + 365 * 24 * HOUR);
    bench_load(true);
    assert_int_equal(status().state, ACCOUNT_READY);
    advance(364 * 24 * HOUR);
    assert_int_equal(asked(false, 0), OK);
    advance(24 * HOUR - 10 * SEC);
    assert_int_equal(status().state, ACCOUNT_READY); /* to its last second */
    assert_int_equal(asked(false, 0), OK);
    advance(10 * SEC);
    assert_int_equal(status().state, ACCOUNT_LOGIN);
    assert_string_equal(status().reason, "token_expired");
    assert_int_equal(asked(false, 0), ERR_DENIED);
    advance(HOUR);
    assert_int_equal(b.peers, 0);
    bench_close();
    bench_disk();
    disk_put(1, "setup", "", 0);
    bench_load(true);
    assert_int_equal(asked(true, 1), ERR_DENIED);
    assert_string_equal(status().reason, "unauthorized");
    assert_string_equal(b.reason, "unauthorized");
    accounts_reset(b.set, b.a);
    assert_int_equal(status().state, ACCOUNT_READY); /* a person said: try again */
    assert_int_equal(b.peers, 0);
    bench_close();
}

/* ---- accounts that go ------------------------------------------------------------------------ */

static void test_pause(void **state)
{
    struct waiter x;
    (void)state;
    bench_open(0);
    ask(&x, false, 0);
    settle();
    b.account.paused = true;
    accounts_apply(b.set, &b.account);
    reply(200, "", PAIR2);
    assert_string_equal(b.refresh, "rt2");
    assert_int_equal(x.e, OK);
    assert_int_equal(status().state, ACCOUNT_PAUSED);
    assert_true(until_asked(2) < LIFE); /* kept alive, so that it works when it is resumed */
    bench_close();
}

static void test_remove(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        bench_open(0);
        account_hold(b.a);
        struct waiter x;
        ask(&x, false, 0);
        settle();
        b.removed = i == 1 || i == 2;
        accounts_drop(b.set, 7);
        if (i == 2) {
            account_token_forget(&x.w);
            account_release(b.set, b.a);
        }
        assert_int_equal(accounts_count(b.set), 1); /* the refresh is not cut */
        assert_int_equal(accounts_refreshing(b.set), 1);
        if (i == 3)
            advance(30 * SEC);
        else
            reply(200, "", PAIR2);
        assert_string_equal(b.refresh, i == 0 ? "rt2" : "rt1");
        if (i != 2) {
            assert_int_equal(x.called, 1);
            account_release(b.set, b.a);
        }
        assert_int_equal(accounts_count(b.set), 0);
        assert_int_equal(accounts_refreshing(b.set), 0);
        bench_close();
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Shut down at each step, with the store's answers coming later or never before the close. */
static void test_shutdown(void **state)
{
    static const enum verb step[] = {V_TAKE, V_TOKENS, V_NOTE, V_SWAP};
    static const char *const log[] = {"take drop ", "take load drop ", "take load note drop ",
                                      "take load note swap1 drop "};
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct waiter x;
        bench_open(0);
        b.hold[step[i]] = true;
        ask(&x, false, 0);
        settle();
        if (step[i] == V_SWAP)
            reply(200, "", PAIR2);
        accounts_set_client(b.set, NULL);
        settle();
        assert_int_equal(x.called, 1);
        assert_int_equal(x.e, ERR_CANCELED);
        set_close();
        LOGGED(log[i]);
        assert_string_equal(b.access, step[i] == V_SWAP ? "at2" : "at1");
        bench_close();
    }
}

static void test_shutdown_posted(void **state)
{
    (void)state;
    bench_open(0);
    assert_int_equal(asked(false, 0), ERR_AGAIN);
    assert_int_equal(b.peers, 1);
    set_close();
    assert_true(b.row.noted_at != 0); /* the next start sees that an answer may be lost */
    bench_close();
    bench_open(0); /* a waiter that is never told: nobody is left to be */
    struct waiter x;
    ask(&x, false, 0);
    set_close();
    settle();
    assert_int_equal(x.called, 0);
    bench_close();
}

static void test_shutdown_disk(void **state)
{
    (void)state;
    bench_open(0);
    assert_int_equal(asked(false, 0), ERR_AGAIN);
    b.spoil[V_SWAP] = ERR_FULL;
    reply(200, "", PAIR2);
    b.spoil[V_SWAP] = OK; /* room at the last moment */
    b.log.n = 0;
    set_close();
    LOGGED("swap1 drop ");
    assert_string_equal(b.refresh, "rt2");
    bench_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_load_odd),
        cmocka_unit_test(test_no_client),
        cmocka_unit_test(test_single_flight),
        cmocka_unit_test(test_not_rotated),
        cmocka_unit_test(test_leaving_waiters),
        cmocka_unit_test(test_durable_first),
        cmocka_unit_test(test_note_fails),
        cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_forced),
        cmocka_unit_test(test_adopt_before),
        cmocka_unit_test(test_dead),
        cmocka_unit_test(test_dead_but_moved),
        cmocka_unit_test(test_conflict),
        cmocka_unit_test(test_login_meanwhile),
        cmocka_unit_test(test_lease),
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_still_valid),
        cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_bad_answers),
        cmocka_unit_test(test_wrong_config),
        cmocka_unit_test(test_background),
        cmocka_unit_test(test_short_life),
        cmocka_unit_test(test_long_lived),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_shutdown),
        cmocka_unit_test(test_shutdown_posted),
        cmocka_unit_test(test_shutdown_disk),
    };
    crypto_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
