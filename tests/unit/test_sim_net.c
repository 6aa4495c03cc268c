/* links: sim */
/* The simulated network keeps the promises of net/net.h, and tells when the house breaks one. */
#include "simnet.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <string.h>

struct end { /* one side of the house */
    struct stream *stream;
    struct listener *listener;
    struct loop *loop;
    struct bytes got;
    int ends, errors, written;
    enum err error;
    bool echo, inside;
    char reply[64];
};

static void on_read(void *owner, struct slice bytes)
{
    struct end *e = owner;
    assert_false(e->inside);
    bytes_puts(&e->got, bytes);
    if (!e->echo)
        return;
    text_copy(e->reply, sizeof e->reply, bytes);
    const struct slice v[2] = {S("<"), slice_of(e->reply)};
    e->inside = true;
    enum err r = stream_write(e->stream, v, 2);
    e->inside = false;
    assert_true(r == OK || r == ERR_AGAIN);
    assert_int_equal(r == ERR_AGAIN, stream_writing(e->stream));
}

static void on_end(void *owner)
{
    ((struct end *)owner)->ends++;
}

static void on_error(void *owner, enum err e, const char *why)
{
    struct end *x = owner;
    assert_non_null(why);
    x->errors++;
    x->error = e;
}

static void on_written(void *owner)
{
    struct end *e = owner;
    assert_false(e->inside);
    e->written++;
}

static const struct stream_ops OPS = {on_read, on_end, on_error, on_written};

static void on_accept(void *owner, struct stream *s)
{
    struct end *e = owner;
    e->stream = s;
    stream_own(s, &OPS, e);
    stream_read(s, true);
}

static void end_open(struct end *e)
{
    static const struct listener_ops ops = {on_accept};
    struct addr a;
    *e = (struct end){.loop = loop_new()};
    assert_int_equal(addr_parse(S("127.0.0.1:8080"), &a), OK);
    assert_int_equal(listener_open(e->loop, &a, NULL, &ops, e, &e->listener), OK);
}

static void end_close(struct end *e)
{
    struct sim_counts c;
    listener_close(e->listener);
    assert_true(sim_advance(e->loop, 60000));
    sim_live_counts(e->loop, &c);
    assert_int_equal(c.streams + c.dials + c.listeners + c.jobs, 0);
    assert_int_equal(c.timers, 0);
    loop_free(e->loop);
    bytes_free(&e->got);
}

static void assert_rx(const struct sim_peer *p, const char *want)
{
    assert_int_equal(p->rx.n, strlen(want));
    assert_memory_equal(p->rx.p, want, p->rx.n);
}

static void test_bytes_cross_in_every_weather(void **state)
{
    (void)state;
    for (int take = 0; take < SIM_TAKES; take++)
        for (size_t chunk = 0; chunk < 4; chunk++) {
            struct end e;
            end_open(&e);
            const struct sim_weather w = {
                .read_max = chunk, .reads_per_turn = 1, .take = (enum sim_take)take};
            sim_weather_set(e.loop, &w);
            struct sim_peer *p = sim_connect(e.loop, "c", S(""));
            assert_true(sim_settle(e.loop));
            assert_non_null(e.stream);
            const struct slice v[3] = {S("one"), S(""), S("two!")};
            enum err r = stream_write(e.stream, v, 3);
            assert_int_equal(r, take == SIM_TAKE_ALL ? OK : ERR_AGAIN);
            sim_send(p, S("hello there"));
            assert_true(sim_settle(e.loop));
            assert_int_equal(e.got.n, 11);
            assert_int_equal(e.written, take != SIM_TAKE_ALL);
            assert_rx(p, "onetwo!");
            stream_abort(e.stream);
            end_close(&e);
        }
}

static void test_nothing_is_called_inside_the_call(void **state)
{
    (void)state;
    struct end e;
    end_open(&e);
    e.echo = true;
    struct sim_peer *p = sim_connect(e.loop, "c", S("10.1.2.3:99"));
    sim_send(p, S("ab"));
    assert_null(e.stream);
    assert_true(sim_settle(e.loop));
    assert_rx(p, "<ab");
    assert_string_equal(stream_peer(e.stream)->text, "10.1.2.3:99");
    assert_true(stream_peer(e.stream)->is_private);
    stream_abort(e.stream);
    end_close(&e);
}

static void test_reading_off_leaves_bytes_where_they_are(void **state)
{
    (void)state;
    struct end e;
    end_open(&e);
    struct sim_peer *p = sim_connect(e.loop, "c", S(""));
    assert_true(sim_settle(e.loop));
    stream_read(e.stream, false);
    sim_send(p, S("later"));
    sim_end(p, SIM_FIN);
    assert_true(sim_settle(e.loop));
    assert_int_equal(e.got.n, 0);
    assert_int_equal(e.ends, 0);
    assert_int_equal(sim_unread(p), 5);
    stream_read(e.stream, true);
    assert_int_equal(e.got.n, 0);
    assert_true(sim_settle(e.loop));
    assert_int_equal(e.got.n, 5);
    assert_int_equal(e.ends, 1);
    stream_abort(e.stream);
    end_close(&e);
}

static void test_a_peer_that_stops_reading_stops_the_writer(void **state)
{
    (void)state;
    static char big[3 * SIM_WINDOW];
    struct end e;
    end_open(&e);
    struct sim_peer *p = sim_connect(e.loop, "c", S(""));
    sim_reading(p, false);
    assert_true(sim_settle(e.loop));
    const struct slice v = {big, sizeof big};
    assert_int_equal(stream_write(e.stream, &v, 1), ERR_AGAIN);
    assert_true(sim_advance(e.loop, 3600000));
    assert_int_equal(e.written, 0);
    assert_int_equal(p->rx.n, SIM_WINDOW);
    sim_reading(p, true);
    assert_true(sim_settle(e.loop));
    assert_int_equal(e.written, 1);
    assert_int_equal(p->rx.n, sizeof big);
    stream_abort(e.stream);
    end_close(&e);
}

static void test_finish_flushes_says_goodbye_and_lingers(void **state)
{
    (void)state;
    struct end e;
    struct sim_counts c;
    end_open(&e);
    const struct sim_weather w = {.take = SIM_TAKE_SLOW};
    sim_weather_set(e.loop, &w);
    struct sim_peer *p = sim_connect(e.loop, "c", S(""));
    assert_true(sim_settle(e.loop));
    char text[] = "goodbye";
    const struct slice v = slice_of(text);
    assert_int_equal(stream_write(e.stream, &v, 1), ERR_AGAIN);
    stream_finish(e.stream);
    memset(text, 'x', sizeof text - 1); /* ours again */
    assert_true(sim_settle(e.loop));
    assert_rx(p, "goodbye");
    assert_int_equal(p->rx_end, SIM_FIN);
    assert_int_equal(e.written, 0);
    sim_send(p, S("late words"));
    assert_true(sim_settle(e.loop));
    assert_int_equal(e.got.n, 0);
    sim_live_counts(e.loop, &c);
    assert_int_equal(c.streams, 1);
    assert_true(sim_advance(e.loop, 2000));
    sim_live_counts(e.loop, &c);
    assert_int_equal(c.streams, 0);
    assert_int_equal(p->rx_end, SIM_FIN);
    end_close(&e);
}

static void test_abort_is_told_apart(void **state)
{
    (void)state;
    for (int unread = 0; unread < 2; unread++) {
        struct end e;
        end_open(&e);
        struct sim_peer *p = sim_connect(e.loop, "c", S(""));
        assert_true(sim_settle(e.loop));
        if (unread)
            sim_send(p, S("never read"));
        stream_abort(e.stream);
        assert_true(sim_settle(e.loop));
        assert_int_equal(p->rx_end, unread ? SIM_RST : SIM_FIN);
        end_close(&e);
    }
}

static void test_a_vanished_peer(void **state)
{
    (void)state;
    for (int rst = 0; rst < 2; rst++) {
        struct end e;
        end_open(&e);
        struct sim_peer *p = sim_connect(e.loop, "c", S(""));
        p->vanish_at = 3;
        p->vanish_how = rst ? SIM_RST : SIM_FIN;
        sim_send(p, S("abcdef"));
        sim_send(p, S("ghi"));
        assert_true(sim_settle(e.loop));
        assert_int_equal(e.got.n, 3);
        assert_int_equal(e.ends, !rst);
        assert_int_equal(e.errors, rst);
        const struct slice v = S("x");
        if (!rst) { /* one write goes; its answer is a reset, which only the next hears of */
            assert_int_equal(stream_write(e.stream, &v, 1), OK);
            assert_true(sim_settle(e.loop));
            assert_int_equal(e.errors, 0);
        } else {
            assert_int_equal(e.error, ERR_RESET);
        }
        assert_int_equal(stream_write(e.stream, &v, 1), ERR_RESET);
        stream_abort(e.stream);
        end_close(&e);
    }
}

struct dialled {
    enum err e;
    struct stream *s;
    int calls;
};

static void on_dialled(void *owner, enum err e, const char *why, struct stream *s)
{
    struct dialled *d = owner;
    assert_non_null(why);
    d->e = e;
    d->s = s;
    d->calls++;
    if (s != NULL)
        stream_abort(s);
}

static void test_dials(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        bool allow;
        enum err verdict, want;
    } row[] = {{"a.test", false, OK, OK},
               {"a.test", false, ERR_CERT, ERR_CERT},
               {"a.test", false, ERR_CONNECT, ERR_CONNECT},
               {"b.test", false, OK, ERR_DNS},
               {"127.0.0.1", false, OK, ERR_DENIED},
               {"127.0.0.1", true, OK, OK}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct end e;
        struct dialled d = {.e = ERR_AGAIN};
        end_open(&e);
        struct sim_host *h = sim_host(e.loop, "A", S("a.test"), 443);
        (void)sim_host(e.loop, "L", S("127.0.0.1"), 443);
        h->verdict = row[i].verdict;
        const struct dial_target t = {
            .host = slice_of(row[i].host), .port = 443, .allow_private = row[i].allow};
        assert_non_null(dial_start(e.loop, &t, on_dialled, &d));
        assert_int_equal(d.calls, 0);
        assert_true(sim_settle(e.loop));
        assert_int_equal(d.calls, 1);
        assert_int_equal(d.e, row[i].want);
        end_close(&e);
    }
}

static void test_dials_that_hang_or_are_called_off(void **state)
{
    (void)state;
    struct end e;
    struct dialled d = {.calls = 0};
    end_open(&e);
    struct sim_host *h = sim_host(e.loop, "A", S("a.test"), 443);
    const struct dial_target t = {.host = S("a.test"), .port = 443};
    h->verdict = ERR_AGAIN;
    struct dial *hangs = dial_start(e.loop, &t, on_dialled, &d);
    assert_true(sim_advance(e.loop, 100000));
    assert_int_equal(d.calls, 0);
    dial_cancel(hangs);
    h->verdict = OK;
    h->delay_ms = 300;
    assert_non_null(dial_start(e.loop, &t, on_dialled, &d));
    assert_true(sim_advance(e.loop, 299));
    assert_int_equal(d.calls, 0);
    assert_true(sim_advance(e.loop, 1));
    assert_int_equal(d.calls, 1);
    dial_cancel(dial_start(e.loop, &t, on_dialled, &d));
    struct dial *slow = dial_start(e.loop, &t, on_dialled, &d);
    assert_true(sim_settle(e.loop));
    dial_cancel(slow);
    assert_true(sim_advance(e.loop, 1000));
    assert_int_equal(d.calls, 1);
    assert_int_equal(h->dials, 4);
    end_close(&e);
}

struct work {
    struct job job;
    int ran, done;
    uint64_t seen;
};

static void work_run(struct job *j)
{
    struct work *w = CONTAINER(j, struct work, job);
    w->ran++;
    w->seen = fault_target;
}

static void work_done(struct job *j)
{
    struct work *w = CONTAINER(j, struct work, job);
    assert_int_equal(w->ran, 1);
    w->done++;
}

static void test_jobs_run_later_and_undisturbed(void **state)
{
    (void)state;
    struct end e;
    end_open(&e);
    struct worker *k = worker_new(e.loop, "w");
    struct work w = {.job = {.run = work_run, .done = work_done}};
    fault_target = UINT64_MAX;
    worker_post(k, &w.job);
    assert_int_equal(w.ran, 0);
    assert_int_equal(worker_depth(k), 1);
    assert_true(sim_settle(e.loop));
    assert_int_equal(w.done, 1);
    assert_int_equal(w.seen, 0);
    assert_true(fault_target == UINT64_MAX);
    fault_target = 0;
    w = (struct work){.job = {.run = work_run, .done = work_done}};
    worker_post(k, &w.job);
    worker_free(k);
    assert_int_equal(w.done, 1);
    end_close(&e);
}

struct spinner {
    struct task task;
    struct loop *loop;
};

static void spin_on(void *arg)
{
    struct spinner *s = arg;
    task_post(s->loop, &s->task);
}

static void test_spinning_is_noticed(void **state)
{
    (void)state;
    struct end e;
    end_open(&e);
    struct spinner s = {.loop = e.loop};
    task_init(&s.task, spin_on, &s);
    task_post(e.loop, &s.task);
    assert_false(sim_settle(e.loop));
    task_cancel(&s.task);
    end_close(&e);
}

static void test_time_stops_at_each_timer(void **state)
{
    (void)state;
    struct end e;
    end_open(&e);
    assert_true(loop_wall(e.loop) == SIM_EPOCH_MS);
    assert_true(sim_advance(e.loop, 90000));
    assert_true(loop_wall(e.loop) == SIM_EPOCH_MS + 90000);
    assert_true(loop_now_us(e.loop) == loop_now(e.loop) * 1000);
    end_close(&e);
}

static void test_wildcards_and_escapes(void **state)
{
    (void)state;
    static const struct {
        const char *s, *pattern;
        bool fits;
    } row[] = {{"", "", true},           {"", "*", true},       {"abc", "abc", true},
               {"abc", "a*", true},      {"abc", "*c", true},   {"abc", "a*c", true},
               {"abc", "*b*", true},     {"abc", "b", false},   {"abc", "abcd", false},
               {"aXbXc", "a*X*c", true}, {"abc", "a*d", false}, {"abc", "", false}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        assert_int_equal(bytes_like(slice_of(row[i].s), slice_of(row[i].pattern)), row[i].fits);
    struct bytes b = {0}, c = {0};
    bytes_unescape(&b, S("a\\r\\n\\x00\\xff\\\\q\\q\\"));
    assert_int_equal(b.n, 10);
    assert_memory_equal(b.p, "a\r\n\0\xff\\q\\q\\", 10);
    bytes_escape(&c, bytes_slice(&b), 100);
    assert_int_equal(c.n, 21);
    bytes_free(&b);
    bytes_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_cross_in_every_weather),
        cmocka_unit_test(test_nothing_is_called_inside_the_call),
        cmocka_unit_test(test_reading_off_leaves_bytes_where_they_are),
        cmocka_unit_test(test_a_peer_that_stops_reading_stops_the_writer),
        cmocka_unit_test(test_finish_flushes_says_goodbye_and_lingers),
        cmocka_unit_test(test_abort_is_told_apart),
        cmocka_unit_test(test_a_vanished_peer),
        cmocka_unit_test(test_dials),
        cmocka_unit_test(test_dials_that_hang_or_are_called_off),
        cmocka_unit_test(test_jobs_run_later_and_undisturbed),
        cmocka_unit_test(test_spinning_is_noticed),
        cmocka_unit_test(test_time_stops_at_each_timer),
        cmocka_unit_test(test_wildcards_and_escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
