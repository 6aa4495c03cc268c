/* links: base app */
/* The way from serving to the exit, and the pulse, on a clock made of an integer. */
#include "app_drain.h"
#include "app_pulse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define LEAD  5000
#define LIMIT 300000
#define BEGIN 1000 /* when the signal comes */

/* One step of a scenario: at `at` ms after the signal these facts hold; what is to be done, and the
 * state after it. */
struct step {
    int64_t at;
    struct drain_facts f;
    unsigned act;
    enum drain_state state;
};
#define SHUT .shut = true
enum {
    A_SHUT = DRAIN_ACT_SHUT,
    A_NOW = DRAIN_ACT_SHUT_NOW,
    A_DRAIN = DRAIN_ACT_DRAIN,
    A_REAP = DRAIN_ACT_REAP,
    A_OVER = DRAIN_ACT_OVER
};

static void play(struct drain *d, const struct step *s, int n)
{
    for (int i = 0; i < n; i++) {
        unsigned act = drain_step(d, BEGIN + s[i].at, &s[i].f);
        if (act != s[i].act || d->state != s[i].state)
            fail_msg("step %d: act %u and %s, not %u and %s", i, act, drain_word(d->state),
                     s[i].act, drain_word(s[i].state));
    }
}
#define PLAY(d, ...)                                             \
    do {                                                         \
        const struct step steps[] = {__VA_ARGS__};               \
        play((d), steps, (int)(sizeof steps / sizeof steps[0])); \
    } while (0)

static struct drain begun(int64_t lead, int64_t limit, bool shut_first)
{
    struct drain d = {.state = DRAIN_SERVING};
    unsigned want = DRAIN_ACT_LAME | (shut_first ? DRAIN_ACT_SHUT : 0);
    assert_int_equal(drain_begin(&d, BEGIN, lead, limit, shut_first), want);
    assert_int_equal(d.state, DRAIN_LAME);
    return d;
}

static void nothing_happens_without_a_signal(void **state)
{
    struct drain d = {.state = DRAIN_SERVING};
    (void)state;
    PLAY(&d, {0, {.active = 0}, 0, DRAIN_SERVING}, {999999, {SHUT}, 0, DRAIN_SERVING});
    assert_int_equal(drain_hurry(&d, BEGIN), 0);
    assert_int_equal(drain_left_ms(&d, BEGIN), 0);
}

static void the_whole_way(void **state)
{
    struct drain d = begun(LEAD, LIMIT, false);
    (void)state;
    assert_int_equal(drain_left_ms(&d, BEGIN), LEAD + LIMIT + DRAIN_REAP_MS);
    /* 320 s in all: what a service manager must allow, a renewal aside */
    assert_int_equal(LEAD + LIMIT + DRAIN_REAP_MS, 320000);
    PLAY(&d, {0, {.active = 9}, 0, DRAIN_LAME}, {4999, {.active = 0}, 0, DRAIN_LAME},
         {5000, {.active = 9}, A_SHUT, DRAIN_LAME}, {5020, {.active = 9}, A_SHUT, DRAIN_LAME},
         {5040, {.active = 9, SHUT}, A_DRAIN, DRAIN_ON}, {5060, {.active = 9, SHUT}, 0, DRAIN_ON},
         {304999, {.active = 9, SHUT}, 0, DRAIN_ON},
         {305000, {.active = 9, SHUT}, A_REAP, DRAIN_REAP},
         {305020, {.active = 3, SHUT}, 0, DRAIN_REAP}, {319999, {.active = 1, SHUT}, 0, DRAIN_REAP},
         {320000, {.active = 1, SHUT}, A_OVER, DRAIN_OVER}, {320020, {SHUT}, 0, DRAIN_OVER});
    assert_int_equal(drain_left_ms(&d, BEGIN + 320020), 0);
}

static void an_idle_one_goes_when_its_doors_are_shut(void **state)
{
    struct drain d = begun(0, LIMIT, false);
    (void)state;
    PLAY(&d, {0, {.active = 0}, A_SHUT, DRAIN_LAME}, {20, {SHUT}, A_DRAIN, DRAIN_ON},
         {40, {SHUT}, A_OVER, DRAIN_OVER});
}

static void who_was_let_in_last_may_speak(void **state)
{
    struct drain d = begun(0, LIMIT, false), silent = begun(0, LIMIT, false);
    (void)state;
    PLAY(&d, {0, {.arriving = 2}, A_SHUT, DRAIN_LAME},
         {20, {.arriving = 2, SHUT}, A_DRAIN, DRAIN_ON}, {40, {.arriving = 2, SHUT}, 0, DRAIN_ON},
         {600, {.active = 1, SHUT}, 0, DRAIN_ON}, {620, {SHUT}, A_OVER, DRAIN_OVER});
    /* ... but for a second, not for ever */
    PLAY(&silent, {0, {.arriving = 1}, A_SHUT, DRAIN_LAME},
         {20, {.arriving = 1, SHUT}, A_DRAIN, DRAIN_ON}, {1019, {.arriving = 1, SHUT}, 0, DRAIN_ON},
         {1020, {.arriving = 1, SHUT}, A_OVER, DRAIN_OVER});
}

static void who_waits_outside_is_not_lost(void **state)
{
    struct drain d = begun(0, 1000, false);
    (void)state; /* every place is taken, and calls go on: the doors stay, up to the limit */
    PLAY(&d, {0, {.active = 8}, A_SHUT, DRAIN_LAME}, {500, {.active = 8}, A_SHUT, DRAIN_LAME},
         {999, {.active = 8}, A_SHUT, DRAIN_LAME},
         {1000, {.active = 8}, A_NOW | A_DRAIN | A_REAP, DRAIN_REAP},
         {1020, {.active = 0, SHUT}, 0 | A_OVER, DRAIN_OVER});
}

static void a_successor_takes_the_newcomers_at_once(void **state)
{
    struct drain d = begun(1000, LIMIT, true);
    (void)state;
    PLAY(&d, {0, {.active = 0}, A_SHUT, DRAIN_LAME}, {20, {SHUT}, 0, DRAIN_LAME},
         {999, {SHUT}, 0, DRAIN_LAME}, {1000, {.active = 4, SHUT}, A_DRAIN, DRAIN_ON},
         {1020, {.active = 4, SHUT}, 0, DRAIN_ON}, {1040, {SHUT}, A_OVER, DRAIN_OVER});
}

static void a_token_is_waited_for(void **state)
{
    struct drain d = begun(0, LIMIT, false), late = begun(0, 0, false);
    (void)state;
    PLAY(&d, {0, {.renewing = true}, A_SHUT, DRAIN_LAME},
         {20, {.renewing = true, SHUT}, A_DRAIN, DRAIN_ON},
         {40, {.renewing = true, SHUT}, 0, DRAIN_ON}, {60, {SHUT}, A_OVER, DRAIN_OVER});
    PLAY(&late, {0, {.renewing = true}, A_NOW | A_DRAIN | A_REAP, DRAIN_REAP},
         {2000, {.renewing = true, SHUT}, 0, DRAIN_REAP},
         {21999, {.renewing = true, SHUT}, 0, DRAIN_REAP},
         {22000, {.renewing = true, SHUT}, A_OVER, DRAIN_OVER});
}

static void a_second_signal_reaps_a_third_ends(void **state)
{
    for (int64_t at = 0; at <= 6000; at += 2000) { /* in the lame duck, and in the drain */
        struct drain d = begun(LEAD, LIMIT, false);
        PLAY(&d, {0, {.active = 9}, 0, DRAIN_LAME});
        if (at > LEAD)
            PLAY(&d, {5000, {.active = 9, SHUT}, A_DRAIN, DRAIN_ON});
        assert_int_equal(drain_hurry(&d, BEGIN + at), 0);
        struct drain_facts f = {.active = 9, .shut = at > LEAD};
        unsigned act = drain_step(&d, BEGIN + at, &f);
        assert_true((act & DRAIN_ACT_REAP) != 0 && d.state == DRAIN_REAP);
        assert_int_equal((act & DRAIN_ACT_SHUT_NOW) != 0, at <= LEAD);
        assert_int_equal(drain_left_ms(&d, BEGIN + at), DRAIN_HURRY_MS);
        f.shut = f.renewing = true;
        assert_int_equal(drain_step(&d, BEGIN + at + DRAIN_HURRY_MS, &f), 0); /* for the token */
        assert_int_equal(drain_hurry(&d, BEGIN + at + 2020), DRAIN_ACT_OVER);
        assert_int_equal(d.state, DRAIN_OVER);
        assert_int_equal(drain_hurry(&d, BEGIN + at + 2040), 0); /* told once */
    }
    (void)state;
}

static void a_second_signal_never_lengthens(void **state)
{
    struct drain d = begun(0, 100, false);
    (void)state;
    PLAY(&d, {0, {.active = 1}, A_SHUT, DRAIN_LAME}, {20, {.active = 1, SHUT}, A_DRAIN, DRAIN_ON});
    int64_t left = drain_left_ms(&d, BEGIN + 50);
    assert_int_equal(drain_hurry(&d, BEGIN + 50), 0);
    assert_in_range(drain_left_ms(&d, BEGIN + 50), 1, left);
}

/* Whatever happens in whatever order: it ends, in time, and reaps and says OVER once at most. */
static void it_always_ends(void **state)
{
    uint64_t dice = 88172645463325252u;
    (void)state;
    for (int run = 0; run < 20000; run++) {
        struct drain d = begun(run % 3 * 1000, run % 7 * 500, run % 2 == 0);
        struct drain_facts f = {.active = 5};
        int reaps = 0, overs = 0, drains = 0;
        int64_t t = 0, end = run % 3 * 1000 + run % 7 * 500 + DRAIN_REAP_MS + DRAIN_REFRESH_MS;
        while (d.state != DRAIN_OVER) {
            dice ^= dice << 13, dice ^= dice >> 7, dice ^= dice << 17;
            f.active = (int64_t)(dice % 5);
            f.arriving = (int64_t)(dice / 8 % 3);
            f.renewing = dice / 64 % 4 == 0;
            unsigned act = dice / 512 % 97 == 0 ? drain_hurry(&d, BEGIN + t) : 0;
            act |= drain_step(&d, BEGIN + t, &f);
            reaps += (act & DRAIN_ACT_REAP) != 0;
            drains += (act & DRAIN_ACT_DRAIN) != 0;
            overs += (act & DRAIN_ACT_OVER) != 0;
            if (act & (DRAIN_ACT_SHUT | DRAIN_ACT_SHUT_NOW))
                f.shut = (act & DRAIN_ACT_SHUT_NOW) != 0 || dice / 4096 % 4 == 0;
            t += 20;
            assert_true(t <= end + 40);
        }
        assert_true(reaps <= 1 && overs == 1 && drains <= 1);
    }
}

/* ---- the pulse ------------------------------------------------------------------------------- */

static void a_steady_loop_feeds_the_watchdog(void **state)
{
    struct pulse p;
    int fed = 0;
    (void)state;
    pulse_init(&p, 500, 10000);
    for (int64_t t = 500; t < 60500; t += PULSE_BEAT_MS) {
        enum pulse_verdict v = pulse_beat(&p, t, 9999);
        assert_true(v == PULSE_FEED || v == PULSE_WAIT);
        fed += v == PULSE_FEED;
    }
    assert_int_equal(fed, 6);
}

static void a_late_loop_and_a_stuck_store_do_not(void **state)
{
    struct pulse p;
    (void)state;
    pulse_init(&p, 0, 10000);
    assert_int_equal(pulse_beat(&p, 0, 0), PULSE_FEED);
    assert_int_equal(pulse_beat(&p, 1000, 0), PULSE_WAIT);
    assert_int_equal(pulse_beat(&p, 3000, 0), PULSE_WAIT); /* was due at 2000 */
    assert_int_equal(pulse_beat(&p, 10000, 0), PULSE_LOOP_LATE);
    for (int64_t t = 11000; t < 20000; t += PULSE_BEAT_MS)
        assert_int_equal(pulse_beat(&p, t, 0), PULSE_WAIT);
    assert_int_equal(pulse_beat(&p, 20000, PULSE_STUCK_MS), PULSE_STORE_STUCK);
    for (int64_t t = 21000; t < 30000; t += PULSE_BEAT_MS)
        assert_int_equal(pulse_beat(&p, t, PULSE_STUCK_MS), PULSE_WAIT);
    assert_int_equal(pulse_beat(&p, 30000, 0), PULSE_FEED); /* both are over */
}

static void a_quick_watchdog_gets_quick_beats(void **state)
{
    struct pulse p;
    (void)state;
    pulse_init(&p, 0, 100);
    for (int64_t t = 0; t < 1000; t += 100) {
        assert_int_equal(pulse_beat(&p, t, 0), PULSE_FEED);
        assert_int_equal(p.due_at, t + 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_happens_without_a_signal),
        cmocka_unit_test(the_whole_way),
        cmocka_unit_test(an_idle_one_goes_when_its_doors_are_shut),
        cmocka_unit_test(who_was_let_in_last_may_speak),
        cmocka_unit_test(who_waits_outside_is_not_lost),
        cmocka_unit_test(a_successor_takes_the_newcomers_at_once),
        cmocka_unit_test(a_token_is_waited_for),
        cmocka_unit_test(a_second_signal_reaps_a_third_ends),
        cmocka_unit_test(a_second_signal_never_lengthens),
        cmocka_unit_test(it_always_ends),
        cmocka_unit_test(a_steady_loop_feeds_the_watchdog),
        cmocka_unit_test(a_late_loop_and_a_stuck_store_do_not),
        cmocka_unit_test(a_quick_watchdog_gets_quick_beats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
