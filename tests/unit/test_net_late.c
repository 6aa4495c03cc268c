/* links: base net */
/* Many streams that write, pause, finish and abort as it comes, in the same turns: each byte
 * arrives in its place, and who finished has been heard to the end. */
#include "net/loop_uv.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define PAIRS   (LATE_STREAMS + 9)
#define PATTERN 65536
#define PERIOD  251
#define STEPS   3000

struct end {
    struct stream *s;
    struct end *other; /* NULL: the first byte has not told yet */
    size_t sent, got;
    bool read, over; /* over: the peer's end, or an error, has been told */
    bool finished;   /* by stream_finish, with nothing left unread on this side */
    bool ended, failed;
};

static struct world {
    struct loop *l;
    struct listener *in;
    struct end a[PAIRS], b[PAIRS];
    int dialled, accepted, met, heard;
    uint32_t dice;
    int steps;
    struct task step;
    char pattern[PATTERN + PERIOD];
} w;

static uint32_t roll(uint32_t n)
{
    w.dice = w.dice * 1664525u + 1013904223u;
    return (w.dice >> 8) % n;
}

static int number_of(const struct end *x)
{
    return x >= w.b && x < w.b + PAIRS ? PAIRS + (int)(x - w.b) : (int)(x - w.a);
}

/* What the end called `number` says at this place of its stream. */
static const char *saying(int number, size_t at)
{
    return w.pattern + ((size_t)number * 7 + at) % PERIOD;
}

static void meet(struct end *b, int number)
{
    assert_in_range(number, 0, PAIRS - 1);
    b->other = &w.a[number];
    w.a[number].other = b;
    w.met++;
}

static void on_read(void *owner, struct slice bytes)
{
    struct end *x = owner;
    assert_false(x->over);
    if (x->other == NULL) {
        meet(x, (unsigned char)bytes.p[0]);
        bytes = slice_sub(bytes, 1, bytes.n);
    }
    assert_true(x->got + bytes.n <= x->other->sent);
    for (size_t at = 0; at < bytes.n;) { /* the pattern is longer than its period */
        size_t part = bytes.n - at < PATTERN / 2 ? bytes.n - at : PATTERN / 2;
        assert_memory_equal(bytes.p + at, saying(number_of(x->other), x->got + at), part);
        at += part;
    }
    x->got += bytes.n;
}

static void leave(struct end *x, bool politely)
{
    if (politely)
        stream_finish(x->s);
    else
        stream_abort(x->s);
    x->s = NULL;
}

static void on_end(void *owner)
{
    struct end *x = owner;
    assert_false(x->over);
    x->over = x->ended = true;
    if (x->other != NULL && x->other->finished) {
        assert_int_equal(x->got, x->other->sent);
        w.heard++;
    }
}

static void on_error(void *owner, enum err e, const char *why)
{
    struct end *x = owner;
    assert_false(x->failed);
    assert_true(e == ERR_RESET && why != NULL);
    x->over = x->failed = true;
}

static void on_written(void *owner)
{
    struct end *x = owner;
    assert_false(stream_writing(x->s));
}

static const struct stream_ops ops = {
    .on_read = on_read, .on_end = on_end, .on_error = on_error, .on_written = on_written};

static void own(struct end *x, struct stream *s)
{
    x->s = s;
    x->read = true;
    stream_own(s, &ops, x);
    stream_read(s, true);
}

static void on_accept(void *owner, struct stream *s)
{
    (void)owner;
    own(&w.b[w.accepted++], s);
}

static void on_dialled(void *owner, enum err e, const char *why, struct stream *s)
{
    struct end *x = owner;
    (void)why;
    assert_int_equal(e, OK);
    own(x, s);
    char number = (char)(x - w.a);
    assert_int_equal(stream_write(s, &(struct slice){&number, 1}, 1), OK);
    w.dialled++;
}

static void say(struct end *x)
{
    static const uint32_t size[] = {1, 40, 700, 4000, LATE_MOST, LATE_MOST + 1, 30000};
    struct slice v[2];
    size_t at = x->sent;
    for (int i = 0; i < 2; i++) {
        v[i].n = 1 + roll(size[roll(sizeof size / sizeof size[0])]);
        v[i].p = saying(number_of(x), at);
        at += v[i].n;
    }
    enum err e = stream_write(x->s, v, 2);
    if (e == OK || e == ERR_AGAIN)
        x->sent = at;
    else
        leave(x, false);
}

/* Something of what an owner may do. */
static void act(struct end *x)
{
    if (x->s == NULL || x->other == NULL)
        return;
    uint32_t luck = roll(1000);
    if (x->failed || luck == 0) {
        leave(x, x->failed && luck < 500);
    } else if (x->over || luck < 3) {
        x->finished = !x->failed && x->read;
        leave(x, true);
    } else if (luck < 60) {
        x->read = !x->read;
        stream_read(x->s, x->read);
    } else if (luck < 700 && !stream_writing(x->s)) {
        say(x);
    }
}

static void on_step(void *arg)
{
    (void)arg;
    for (int i = 0; i < 12; i++)
        act(roll(2) ? &w.a[roll(PAIRS)] : &w.b[roll(PAIRS)]);
    if (++w.steps < STEPS)
        task_post(w.l, &w.step);
    else
        loop_stop(w.l);
}

static void open_all(void)
{
    struct addr any;
    assert_int_equal(addr_parse(S("127.0.0.1:0"), &any), OK);
    static const struct listener_ops in = {on_accept};
    assert_int_equal(listener_open(w.l, &any, NULL, &in, NULL, &w.in), OK);
    struct dial_target t = {
        .host = S("127.0.0.1"), .port = listener_addr(w.in)->port, .allow_private = true};
    for (int i = 0; i < PAIRS; i++)
        dial_start(w.l, &t, on_dialled, &w.a[i]);
    task_init(&w.step, on_step, NULL);
    task_post(w.l, &w.step);
}

static void play(uint32_t seed)
{
    memset(&w, 0, sizeof w);
    w.dice = seed;
    for (size_t i = 0; i < sizeof w.pattern; i++)
        w.pattern[i] = (char)(i % PERIOD);
    w.l = loop_new();
    open_all();
    loop_run(w.l);
    assert_int_equal(w.met, PAIRS);
    for (int i = 0; i < PAIRS; i++) {
        if (w.a[i].s != NULL)
            leave(&w.a[i], false);
        if (w.b[i].s != NULL)
            leave(&w.b[i], false);
    }
    listener_close(w.in);
    loop_free(w.l);
}

static void lives_of_many(void **state)
{
    (void)state;
    int heard = 0;
    alarm(60);
    signal(SIGPIPE, SIG_IGN);
    for (uint32_t seed = 1; seed <= 8; seed++) {
        play(seed);
        heard += w.heard;
    }
    assert_true(heard > 20); /* or this has tested nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lives_of_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
