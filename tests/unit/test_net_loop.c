/* links: base net */
/* The libuv loop: turns, the lone timer, signals; and the worker thread. */
#include "net/net.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char trace[128];

static void note(char c)
{
    size_t n = strlen(trace);
    assert_true(n + 1 < sizeof trace);
    trace[n] = c;
    trace[n + 1] = '\0';
}

static int setup(void **state)
{
    trace[0] = '\0';
    alarm(60); /* a loop that never ends is a failure, not a hang */
    *state = loop_new();
    return 0;
}

static int teardown(void **state)
{
    loop_free(*state);
    return 0;
}

static void note_arg(void *arg)
{
    note(*(const char *)arg);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void empty_loop_ends(void **state)
{
    loop_run(*state);
    loop_run(*state);
    assert_true(loop_now(*state) > 0);
    assert_true(loop_now_us(*state) >= loop_now(*state) * 1000);
    assert_true(loop_wall(*state) > INT64_C(1700000000000));
}

static void timers_fire_then_the_loop_ends(void **state)
{
    struct loop *l = *state;
    struct timer a, b, never;
    timer_init(&a, l, note_arg, (void *)(uintptr_t) "a");
    timer_init(&b, l, note_arg, (void *)(uintptr_t) "b");
    timer_init(&never, l, note_arg, (void *)(uintptr_t) "x");
    timer_set(&never, loop_now(l) + 3600000);
    timer_set(&a, loop_now(l) + 3);
    timer_set(&b, loop_now(l) - 3);
    timer_stop(&never); /* must not keep the loop */
    loop_run(l);
    assert_string_equal(trace, "ba");
}

static void deadline_moved_later_is_kept(void **state)
{
    struct loop *l = *state;
    struct timer a;
    timer_init(&a, l, note_arg, (void *)(uintptr_t) "a");
    int64_t start = loop_now(l);
    timer_set(&a, start + 1);
    timer_set(&a, start + 20); /* libuv's timer still fires at 1 */
    loop_run(l);
    assert_string_equal(trace, "a");
    assert_true(loop_now(l) >= start + 20);
}

struct chain {
    struct loop *l;
    struct task task;
    struct timer timer;
    int left;
};

static void chain_task(void *arg)
{
    struct chain *c = arg;
    note('t');
    if (--c->left > 0)
        task_post(c->l, &c->task);
}

static void chain_timer(void *arg)
{
    struct chain *c = arg;
    note('c');
    if (--c->left > 0)
        timer_set(&c->timer, loop_now(c->l) - 1);
}

static void tasks_and_timers_chain(void **state)
{
    struct chain c = {.l = *state, .left = 3};
    task_init(&c.task, chain_task, &c);
    timer_init(&c.timer, c.l, chain_timer, &c);
    task_post(c.l, &c.task);
    loop_run(c.l);
    assert_string_equal(trace, "ttt");
    c.left = 2;
    timer_set(&c.timer, 0);
    loop_run(c.l);
    assert_string_equal(trace, "tttcc");
}

static void note_free(void *mem)
{
    note('f');
    mem_free(mem);
}

static void bury_in_task(void *arg)
{
    note('b');
    loop_bury(arg, mem_new(8), note_free);
    note('e');
}

static void buried_memory_goes_after_the_callback(void **state)
{
    struct loop *l = *state;
    struct task t;
    task_init(&t, bury_in_task, l);
    task_post(l, &t);
    loop_run(l);
    assert_string_equal(trace, "bef");
    loop_bury(l, mem_new(8), note_free); /* and loop_free empties what is left */
    loop_run(l);
    assert_string_equal(trace, "beff");
}

static void stop_in_task(void *arg)
{
    note('s');
    loop_stop(arg);
}

static void stop_ends_a_loop_that_has_work(void **state)
{
    struct loop *l = *state;
    struct timer far;
    struct task t;
    timer_init(&far, l, note_arg, (void *)(uintptr_t) "x");
    timer_set(&far, loop_now(l) + 3600000);
    task_init(&t, stop_in_task, l);
    task_post(l, &t);
    loop_run(l);
    assert_string_equal(trace, "s");
    timer_stop(&far);
}

static void got_signal(void *arg, int signum)
{
    note(signum == SIGUSR1 ? '1' : '2');
    loop_stop(arg);
}

static void other_signal(void *arg, int signum)
{
    (void)signum;
    note('o');
    loop_stop(arg);
}

static void raise_usr1(void *arg)
{
    (void)arg;
    raise(SIGUSR1);
}

static void signals_arrive_on_the_loop(void **state)
{
    struct loop *l = *state;
    struct task t;
    struct timer hold; /* handlers alone do not keep a loop */
    timer_init(&hold, l, note_arg, (void *)(uintptr_t) "x");
    loop_on_signal(l, SIGUSR1, got_signal, l);
    loop_on_signal(l, SIGUSR2, got_signal, l);
    loop_run(l);
    assert_string_equal(trace, "");
    timer_set(&hold, loop_now(l) + 3600000);
    task_init(&t, raise_usr1, NULL);
    task_post(l, &t);
    loop_run(l);
    assert_string_equal(trace, "1");
    loop_on_signal(l, SIGUSR1, other_signal, l); /* takes its place */
    task_post(l, &t);
    loop_run(l);
    assert_string_equal(trace, "1o");
    timer_stop(&hold);
}

/* ---- worker ---------------------------------------------------------------------------------- */

#define JOBS 50

struct work {
    struct job job;
    struct worker *w;
    int number;
    int again;
    bool frees;
};

static atomic_int ran;
static int done;
static uintptr_t loop_thread_mark;

static _Thread_local char thread_mark;

static void work_run(struct job *j)
{
    struct work *x = (struct work *)j;
    assert(x->number == atomic_load(&ran)); /* in order; cmocka's asserts are for its own thread */
    assert((uintptr_t)&thread_mark != loop_thread_mark);
    atomic_fetch_add(&ran, 1);
}

static void work_done(struct job *j)
{
    struct work *x = (struct work *)j;
    assert_true((uintptr_t)&thread_mark == loop_thread_mark);
    done++;
    if (x->again > 0) {
        x->again--;
        x->number = atomic_load(&ran);
        worker_post(x->w, &x->job);
    } else if (x->frees) {
        worker_free(x->w);
        note('w');
    }
}

static void worker_begin(void)
{
    atomic_store(&ran, 0);
    done = 0;
    loop_thread_mark = (uintptr_t)&thread_mark;
}

static void worker_runs_in_order_and_answers(void **state)
{
    struct worker *w = worker_new(*state, "test-worker-long-name");
    static struct work x[JOBS];
    worker_begin();
    for (int i = 0; i < JOBS; i++) {
        x[i] = (struct work){.job = {.run = work_run, .done = work_done}, .w = w, .number = i};
        worker_post(w, &x[i].job);
    }
    assert_int_equal(worker_depth(w), JOBS);
    assert_int_equal(done, 0); /* never inside the call */
    loop_run(*state);          /* ends when every job is done */
    assert_int_equal(done, JOBS);
    assert_int_equal(worker_depth(w), 0);
    worker_free(w);
}

static void worker_may_be_posted_to_from_done(void **state)
{
    struct worker *w = worker_new(*state, "test");
    struct work x = {.job = {.run = work_run, .done = work_done}, .w = w, .again = 5};
    worker_begin();
    worker_post(w, &x.job);
    loop_run(*state);
    assert_int_equal(done, 6);
    worker_free(w);
}

static void worker_free_finishes_everything(void **state)
{
    struct worker *w = worker_new(*state, "test");
    static struct work x[JOBS];
    worker_begin();
    for (int i = 0; i < JOBS; i++) {
        x[i] = (struct work){.job = {.run = work_run, .done = work_done}, .w = w, .number = i};
        x[i].again = i == JOBS - 1 ? 3 : 0;
        worker_post(w, &x[i].job);
    }
    worker_free(w);
    assert_int_equal(done, JOBS + 3);
    assert_int_equal(atomic_load(&ran), JOBS + 3);
}

static void worker_may_be_freed_from_done(void **state)
{
    struct worker *w = worker_new(*state, "test");
    static struct work x[JOBS];
    worker_begin();
    for (int i = 0; i < JOBS; i++) {
        x[i] = (struct work){.job = {.run = work_run, .done = work_done}, .w = w, .number = i};
        x[i].frees = i == 10;
        worker_post(w, &x[i].job);
    }
    loop_run(*state);
    assert_string_equal(trace, "w");
    assert_int_equal(done, JOBS);
}

static void worker_without_done(void **state)
{
    struct worker *w = worker_new(*state, "test");
    struct work x = {.job = {.run = work_run}, .w = w};
    worker_begin();
    worker_post(w, &x.job);
    loop_run(*state);
    assert_int_equal(atomic_load(&ran), 1);
    worker_free(w);
}

static void breathe_run(struct job *j)
{
    struct work *x = (struct work *)j;
    while (worker_breathe(x->w))
        atomic_fetch_add(&ran, 1);
}

/* A job gives way again and again, and then no more: on a busy machine it must come to its end. */
static void worker_breathes_while_a_job_is_young(void **state)
{
    struct worker *w = worker_new(*state, "test");
    struct work x[2];
    worker_begin();
    int64_t from = loop_now_us(*state);
    for (int i = 0; i < 2; i++) { /* the second one is young again */
        x[i] = (struct work){.job = {.run = breathe_run, .done = work_done}, .w = w};
        worker_post(w, &x[i].job);
    }
    loop_run(*state);
    assert_true(loop_now_us(*state) - from >= 2 * WORKER_POLITE_MS * 1000);
    assert_true(atomic_load(&ran) >= 2);
    assert_int_equal(done, 2);
    worker_free(w);
}

static void descriptors_have_a_limit(void **state)
{
    (void)state;
    int64_t n = net_fd_limit();
    assert_true(n > 0 && n <= 1 << 20);
    assert_int_equal(net_fd_limit(), n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(empty_loop_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(timers_fire_then_the_loop_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(deadline_moved_later_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(tasks_and_timers_chain, setup, teardown),
        cmocka_unit_test_setup_teardown(buried_memory_goes_after_the_callback, setup, teardown),
        cmocka_unit_test_setup_teardown(stop_ends_a_loop_that_has_work, setup, teardown),
        cmocka_unit_test_setup_teardown(signals_arrive_on_the_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(worker_runs_in_order_and_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(worker_may_be_posted_to_from_done, setup, teardown),
        cmocka_unit_test_setup_teardown(worker_free_finishes_everything, setup, teardown),
        cmocka_unit_test_setup_teardown(worker_may_be_freed_from_done, setup, teardown),
        cmocka_unit_test_setup_teardown(worker_without_done, setup, teardown),
        cmocka_unit_test_setup_teardown(worker_breathes_while_a_job_is_young, setup, teardown),
        cmocka_unit_test(descriptors_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
