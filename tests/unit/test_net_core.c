/* links: base netcore */
/* The pure half of the loop: timers, tasks, graveyard; and addresses. */
#include "net/core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct loop { /* a backend of its own: a clock made of an integer */
    struct loop_core core;
    int wakes;
};

static void count_wake(struct loop_core *c)
{
    ((struct loop *)(void *)c)->wakes++;
}

struct probe {
    struct loop *l;
    struct timer timer;
    struct task task;
    char name;
    struct probe *other; /* what the callback acts on */
    int64_t again_at;
    enum { NOTHING, SET_OTHER, STOP_OTHER, POST_SELF, POST_OTHER, CANCEL_OTHER, BURY } act;
};

static char trace[256];

static void note(char c)
{
    size_t n = strlen(trace);
    assert_true(n + 1 < sizeof trace);
    trace[n] = c;
    trace[n + 1] = '\0';
}

static void free_probe(void *mem)
{
    struct probe *p = mem;
    note('+');
    note(p->name);
}

static void act(void *arg)
{
    struct probe *p = arg;
    note(p->name);
    switch (p->act) {
    case NOTHING:
        break;
    case SET_OTHER:
        timer_set(&p->other->timer, p->again_at);
        break;
    case STOP_OTHER:
        timer_stop(&p->other->timer);
        break;
    case POST_SELF:
        task_post(p->l, &p->task);
        break;
    case POST_OTHER:
        task_post(p->l, &p->other->task);
        break;
    case CANCEL_OTHER:
        task_cancel(&p->other->task);
        break;
    case BURY:
        loop_bury(p->l, p, free_probe);
        break;
    }
}

static void probe_init(struct probe *p, struct loop *l, char name)
{
    *p = (struct probe){.l = l, .name = name};
    timer_init(&p->timer, l, act, p);
    task_init(&p->task, act, p);
}

static void begin(struct loop *l, struct probe *p, size_t n)
{
    l->wakes = 0;
    core_init(&l->core, count_wake);
    for (size_t i = 0; i < n; i++)
        probe_init(&p[i], l, (char)('a' + i));
    trace[0] = '\0';
}

/* ---- timers ---------------------------------------------------------------------------------- */

static void timers_fire_in_order(void **state)
{
    (void)state;
    struct loop l;
    struct probe p[5];
    begin(&l, p, 5);
    assert_true(core_next_timer_at(&l.core) == CORE_NEVER);
    timer_set(&p[0].timer, 30);
    timer_set(&p[1].timer, 10);
    timer_set(&p[2].timer, 20);
    timer_set(&p[3].timer, 10); /* after b, being set later */
    timer_set(&p[4].timer, 99);
    assert_int_equal(core_next_timer_at(&l.core), 10);
    assert_int_equal(core_fire_timers(&l.core, 9), 0);
    assert_int_equal(core_fire_timers(&l.core, 30), 4);
    assert_string_equal(trace, "bdca");
    assert_false(timer_armed(&p[0].timer));
    assert_true(timer_armed(&p[4].timer));
    timer_stop(&p[4].timer);
    timer_stop(&p[4].timer);
    assert_int_equal(core_fire_timers(&l.core, 1000), 0);
    core_free(&l.core);
}

/* A crowd that is due at once is let through by and by, in order. */
static void timers_in_a_crowd_take_turns(void **state)
{
    (void)state;
    enum { CROWD = 200 };
    struct loop l;
    struct probe p[CROWD];
    begin(&l, p, CROWD);
    for (int i = 0; i < CROWD; i++)
        timer_set(&p[i].timer, 10 + i / 100);
    static const size_t FIRED[] = {64, 64, 64, 8, 0};
    for (size_t i = 0; i < sizeof FIRED / sizeof FIRED[0]; i++) {
        assert_int_equal(core_fire_timers(&l.core, 20), FIRED[i]);
        assert_true(core_next_timer_at(&l.core) == (i < 3 ? 11 - (i == 0) : CORE_NEVER));
    }
    core_free(&l.core);
}

static void timer_rearmed_moves(void **state)
{
    (void)state;
    struct loop l;
    struct probe p[2];
    begin(&l, p, 2);
    timer_set(&p[0].timer, 10);
    timer_set(&p[1].timer, 20);
    timer_set(&p[0].timer, 30);
    assert_int_equal(core_fire_timers(&l.core, 25), 1);
    assert_string_equal(trace, "b");
    timer_set(&p[1].timer, 26);
    assert_int_equal(core_fire_timers(&l.core, 30), 2);
    assert_string_equal(trace, "bba");
    core_free(&l.core);
}

static void timer_set_for_the_past_waits_a_turn(void **state)
{
    (void)state;
    struct loop l;
    struct probe p[3];
    begin(&l, p, 3);
    p[0].act = SET_OTHER; /* a sets c for the past; b is due as well */
    p[0].other = &p[2];
    p[0].again_at = -5;
    timer_set(&p[0].timer, 10);
    timer_set(&p[1].timer, 40);
    assert_int_equal(core_fire_timers(&l.core, 50), 2);
    assert_string_equal(trace, "ab");
    assert_int_equal(core_next_timer_at(&l.core), 50);
    assert_int_equal(core_fire_timers(&l.core, 50), 1); /* the clock need not move */
    assert_string_equal(trace, "abc");
    core_free(&l.core);
}

static void timer_that_sets_itself_does_not_spin(void **state)
{
    (void)state;
    struct loop l;
    struct probe p[1];
    begin(&l, p, 1);
    p[0].act = SET_OTHER;
    p[0].other = &p[0];
    timer_set(&p[0].timer, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(core_fire_timers(&l.core, 7), 1);
    assert_string_equal(trace, "aaa");
    timer_stop(&p[0].timer);
    core_free(&l.core);
}

static void timer_stopped_by_a_callback_stays_silent(void **state)
{
    (void)state;
    struct loop l;
    struct probe p[2];
    begin(&l, p, 2);
    p[0].act = STOP_OTHER;
    p[0].other = &p[1];
    timer_set(&p[0].timer, 10);
    timer_set(&p[1].timer, 10);
    assert_int_equal(core_fire_timers(&l.core, 10), 1);
    assert_string_equal(trace, "a");
    assert_false(timer_armed(&p[1].timer));
    core_free(&l.core);
}

static void wake_only_when_the_earliest_comes_earlier(void **state)
{
    (void)state;
    struct loop l;
    struct probe p[3];
    begin(&l, p, 3);
    timer_set(&p[0].timer, 100);
    assert_int_equal(l.wakes, 1);
    timer_set(&p[1].timer, 200); /* behind */
    timer_set(&p[0].timer, 150); /* later */
    timer_set(&p[0].timer, 150); /* unmoved */
    assert_int_equal(l.wakes, 1);
    timer_set(&p[1].timer, 50); /* overtakes */
    assert_int_equal(l.wakes, 2);
    timer_stop(&p[1].timer);
    timer_stop(&p[0].timer);
    assert_int_equal(l.wakes, 2);
    task_post(&l, &p[0].task);
    assert_int_equal(l.wakes, 3);
    task_post(&l, &p[1].task); /* the queue was not empty */
    assert_int_equal(l.wakes, 3);
    assert_int_equal(core_run_tasks(&l.core), 2);
    core_free(&l.core);
}

/* The heap against a plain array, under a long random walk of set, move, stop and fire. */
#define MANY 200

static int fired_flags[MANY];

static void mark(void *arg)
{
    *(int *)arg = 1;
}

static uint32_t step_random(uint32_t *x)
{
    *x = *x * 1664525u + 1013904223u;
    return *x >> 8;
}

static void heap_agrees_with_a_plain_array(void **state)
{
    (void)state;
    struct loop l;
    static struct timer t[MANY];
    int64_t at[MANY];
    int64_t now = 0;
    uint32_t x = 12345;
    begin(&l, NULL, 0);
    for (int i = 0; i < MANY; i++) {
        timer_init(&t[i], &l, mark, &fired_flags[i]);
        at[i] = -1;
    }
    for (int round = 0; round < 20000; round++) {
        size_t i = step_random(&x) % MANY;
        uint32_t what = step_random(&x) % 10;
        if (what < 6) {
            at[i] = now + step_random(&x) % 500;
            timer_set(&t[i], at[i]);
        } else if (what < 8) {
            at[i] = -1;
            timer_stop(&t[i]);
        } else {
            now += step_random(&x) % 40;
            memset(fired_flags, 0, sizeof fired_flags);
            core_fire_timers(&l.core, now);
            for (int k = 0; k < MANY; k++) {
                assert_int_equal(fired_flags[k], at[k] >= 0 && at[k] <= now);
                if (fired_flags[k])
                    at[k] = -1;
            }
        }
        int64_t least = CORE_NEVER;
        for (int k = 0; k < MANY; k++) {
            assert_int_equal(timer_armed(&t[k]), at[k] >= 0);
            if (at[k] >= 0 && at[k] < least)
                least = at[k];
        }
        assert_true(core_next_timer_at(&l.core) == least);
    }
    for (int k = 0; k < MANY; k++)
        timer_stop(&t[k]);
    core_free(&l.core);
}

/* ---- tasks ----------------------------------------------------------------------------------- */

static void tasks_run_in_order_and_once(void **state)
{
    (void)state;
    struct loop l;
    struct probe p[3];
    begin(&l, p, 3);
    task_post(&l, &p[1].task);
    task_post(&l, &p[0].task);
    task_post(&l, &p[1].task); /* posted already */
    task_post(&l, &p[2].task);
    task_cancel(&p[2].task);
    task_cancel(&p[2].task);
    assert_true(core_has_tasks(&l.core));
    assert_int_equal(core_run_tasks(&l.core), 2);
    assert_string_equal(trace, "ba");
    assert_false(core_has_tasks(&l.core));
    assert_int_equal(core_run_tasks(&l.core), 0);
    core_free(&l.core);
}

static void task_posted_by_a_task_waits_a_turn(void **state)
{
    (void)state;
    struct loop l;
    struct probe p[2];
    begin(&l, p, 2);
    p[0].act = POST_SELF;
    p[1].act = POST_OTHER;
    p[1].other = &p[0]; /* posted already */
    task_post(&l, &p[0].task);
    task_post(&l, &p[1].task);
    assert_int_equal(core_run_tasks(&l.core), 2);
    assert_string_equal(trace, "ab");
    assert_int_equal(core_run_tasks(&l.core), 1);
    assert_string_equal(trace, "aba");
    assert_true(core_has_tasks(&l.core));
    task_cancel(&p[0].task);
    assert_false(core_has_tasks(&l.core));
    core_free(&l.core);
}

static void task_canceled_by_a_task_does_not_run(void **state)
{
    (void)state;
    struct loop l;
    struct probe p[3];
    begin(&l, p, 3);
    p[0].act = CANCEL_OTHER;
    p[0].other = &p[1];
    for (int i = 0; i < 3; i++)
        task_post(&l, &p[i].task);
    assert_int_equal(core_run_tasks(&l.core), 2);
    assert_string_equal(trace, "ac");
    core_free(&l.core);
}

/* ---- graveyard ------------------------------------------------------------------------------- */

static struct loop *burying;
static struct probe *second;

static void free_and_bury(void *mem)
{
    free_probe(mem);
    loop_bury(burying, second, free_probe);
}

static void graveyard_frees_in_order_and_to_the_end(void **state)
{
    (void)state;
    struct loop l;
    struct probe p[4];
    begin(&l, p, 4);
    p[0].act = BURY; /* itself, on its own stack */
    task_post(&l, &p[0].task);
    assert_int_equal(core_run_tasks(&l.core), 1);
    assert_string_equal(trace, "a");
    burying = &l;
    second = &p[3];
    loop_bury(&l, &p[1], free_and_bury);
    loop_bury(&l, &p[2], free_probe);
    core_empty_graveyard(&l.core);
    assert_string_equal(trace, "a+a+b+c+d");
    core_empty_graveyard(&l.core);
    assert_string_equal(trace, "a+a+b+c+d");
    core_free(&l.core);
}

static void graveyard_is_emptied_at_the_end(void **state)
{
    (void)state;
    struct loop l;
    struct probe p[1];
    begin(&l, p, 1);
    for (int i = 0; i < 100; i++) /* more than the first allocation holds */
        loop_bury(&l, mem_new(16), mem_free);
    loop_bury(&l, &p[0], free_probe);
    core_free(&l.core);
    assert_string_equal(trace, "+a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_in_order),
        cmocka_unit_test(timers_in_a_crowd_take_turns),
        cmocka_unit_test(timer_rearmed_moves),
        cmocka_unit_test(timer_set_for_the_past_waits_a_turn),
        cmocka_unit_test(timer_that_sets_itself_does_not_spin),
        cmocka_unit_test(timer_stopped_by_a_callback_stays_silent),
        cmocka_unit_test(wake_only_when_the_earliest_comes_earlier),
        cmocka_unit_test(heap_agrees_with_a_plain_array),
        cmocka_unit_test(tasks_run_in_order_and_once),
        cmocka_unit_test(task_posted_by_a_task_waits_a_turn),
        cmocka_unit_test(task_canceled_by_a_task_does_not_run),
        cmocka_unit_test(graveyard_frees_in_order_and_to_the_end),
        cmocka_unit_test(graveyard_is_emptied_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
