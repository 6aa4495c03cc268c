/* links: base net */
/* Plain streams over real sockets: bytes, backpressure, ends, and death inside every callback. */
#include "net/loop_uv.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum event { READ, END, ERROR, WRITTEN, EVENTS };

/* One side of a connection, and what is to happen in its callbacks. */
struct side {
    struct stream *s;
    struct buf got;
    int count[EVENTS];
    enum err e;
    const char *why;
    void (*hook[EVENTS])(struct side *);
    struct side *other;
    size_t stop_at; /* loop_stop when so many bytes have come */
};

struct pair {
    struct loop *l;
    struct listener *in;
    struct side a, b; /* a dialled, b accepted */
    char *big;
};

static struct pair *pair; /* the callbacks know their loop through it */

static void event(struct side *x, enum event ev)
{
    x->count[ev]++;
    if (x->hook[ev] != NULL)
        x->hook[ev](x);
}

static void on_read(void *owner, struct slice bytes)
{
    struct side *x = owner;
    assert_true(bytes.n > 0);
    assert_int_equal(buf_append(&x->got, bytes.p, bytes.n), OK);
    event(x, READ);
    if (x->stop_at > 0 && x->got.len >= x->stop_at)
        loop_stop(pair->l);
}

static void on_end(void *owner)
{
    event(owner, END);
}

static void on_error(void *owner, enum err e, const char *why)
{
    struct side *x = owner;
    assert_non_null(why);
    x->e = e;
    x->why = why;
    event(x, ERROR);
}

static void on_written(void *owner)
{
    struct side *x = owner;
    assert_false(stream_writing(x->s));
    event(x, WRITTEN);
}

static const struct stream_ops side_ops = {on_read, on_end, on_error, on_written};

static void own(struct side *x, struct stream *s)
{
    x->s = s;
    stream_own(s, &side_ops, x);
}

static void on_accept(void *owner, struct stream *s)
{
    struct pair *p = owner;
    own(&p->b, s);
    if (p->a.s != NULL)
        loop_stop(p->l);
}

static void on_dialled(void *owner, enum err e, const char *why, struct stream *s)
{
    struct pair *p = owner;
    assert_int_equal(e, OK);
    assert_null(why);
    own(&p->a, s);
    if (p->b.s != NULL)
        loop_stop(p->l);
}

static const struct listener_ops in_ops = {on_accept};

#define BIG ((size_t)8 << 20)

static int setup(void **state)
{
    alarm(60);
    signal(SIGPIPE, SIG_IGN);
    struct pair *p = NEW(struct pair);
    struct addr any;
    p->l = loop_new();
    pair = p;
    buf_init(&p->a.got, 2 * BIG);
    buf_init(&p->b.got, 2 * BIG);
    p->a.other = &p->b;
    p->b.other = &p->a;
    p->big = mem_new(BIG);
    for (size_t i = 0; i < BIG; i++)
        p->big[i] = (char)(i * 31 + i / 251);
    assert_int_equal(addr_parse(S("127.0.0.1:0"), &any), OK);
    assert_int_equal(listener_open(p->l, &any, NULL, &in_ops, p, &p->in), OK);
    struct dial_target t = {
        .host = S("127.0.0.1"), .port = listener_addr(p->in)->port, .allow_private = true};
    dial_start(p->l, &t, on_dialled, p);
    loop_run(p->l);
    assert_non_null(p->a.s);
    assert_non_null(p->b.s);
    listener_close(p->in);
    *state = p;
    return 0;
}

static void drop(struct side *x)
{
    if (x->s != NULL)
        stream_abort(x->s);
    x->s = NULL;
}

static int teardown(void **state)
{
    struct pair *p = *state;
    drop(&p->a);
    drop(&p->b);
    loop_free(p->l);
    buf_free(&p->a.got);
    buf_free(&p->b.got);
    mem_free(p->big);
    mem_free(p);
    fault_target = 0;
    return 0;
}

static void stop(struct side *x)
{
    (void)x;
    loop_stop(pair->l);
}

static void wait_for(struct side *x, size_t bytes)
{
    x->stop_at = bytes;
    if (x->got.len < bytes)
        loop_run(pair->l);
    x->stop_at = 0;
    assert_true(x->got.len >= bytes);
}

/* Runs until x has had this event `n` times. */
static void wait_event(struct side *x, enum event ev, int n)
{
    void (*old)(struct side *) = x->hook[ev];
    x->hook[ev] = stop;
    while (x->count[ev] < n)
        loop_run(pair->l);
    x->hook[ev] = old;
}

static enum err write_text(struct side *x, const char *text)
{
    struct slice v = slice_of(text);
    return stream_write(x->s, &v, 1);
}

static enum err write_big(struct side *x, size_t n)
{
    struct slice v = {pair->big, n};
    return stream_write(x->s, &v, 1);
}

/* A few turns of the loop: loopback sockets need no more to show what they have. */
struct turns {
    struct task task;
    int left;
};

static void turn(void *arg)
{
    struct turns *t = arg;
    if (--t->left == 0)
        loop_stop(pair->l);
    else
        task_post(pair->l, &t->task);
}

static void some_turns(void)
{
    struct turns t = {.left = 30};
    task_init(&t.task, turn, &t);
    task_post(pair->l, &t.task);
    while (t.left > 0)
        loop_run(pair->l);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static void bytes_go_both_ways(void **state)
{
    struct pair *p = *state;
    stream_read(p->a.s, true);
    stream_read(p->b.s, true);
    assert_int_equal(write_text(&p->a, "ping"), OK);
    assert_false(stream_writing(p->a.s));
    wait_for(&p->b, 4);
    assert_int_equal(write_text(&p->b, "pong!"), OK);
    wait_for(&p->a, 5);
    assert_memory_equal(p->b.got.p, "ping", 4);
    assert_memory_equal(p->a.got.p, "pong!", 5);
    assert_int_equal(p->a.count[WRITTEN] + p->b.count[WRITTEN], 0); /* OK needs no callback */
    assert_true(stream_peer(p->a.s)->is_loopback);
    assert_true(stream_peer(p->b.s)->port > 0);
    assert_false(stream_is_tls(p->a.s));
    assert_string_equal(stream_tls_version(p->a.s), "");
}

static void slices_go_out_in_order(void **state)
{
    struct pair *p = *state;
    struct slice v[STREAM_IOV] = {S("1"),   S(""),  S("22"), {NULL, 0},
                                  S("333"), S("4"), S(""),   S("55555")};
    stream_read(p->b.s, true);
    assert_int_equal(stream_write(p->a.s, v, STREAM_IOV), OK);
    assert_int_equal(stream_write(p->a.s, v, 0), OK);
    wait_for(&p->b, 12);
    assert_memory_equal(p->b.got.p, "122333455555", 12);
}

static void blocked_write_reports_once(void **state)
{
    struct pair *p = *state;
    struct slice v[5] = {
        {p->big, 100}, {p->big + 100, BIG / 2}, S(""), {p->big + 100 + BIG / 2, 1}, {NULL, 0}};
    v[4] = (struct slice){p->big + 101 + BIG / 2, BIG - 101 - BIG / 2};
    assert_int_equal(stream_write(p->a.s, v, 5), ERR_AGAIN);
    assert_true(stream_writing(p->a.s));
    some_turns();
    assert_int_equal(p->a.count[WRITTEN], 0); /* nobody reads */
    stream_read(p->b.s, true);
    wait_for(&p->b, BIG);
    assert_memory_equal(p->b.got.p, p->big, BIG);
    if (p->a.count[WRITTEN] == 0)
        wait_event(&p->a, WRITTEN, 1);
    some_turns();
    assert_int_equal(p->a.count[WRITTEN], 1);
    assert_int_equal(write_text(&p->a, "after"), OK);
    wait_for(&p->b, BIG + 5);
}

static void write_more(struct side *x)
{
    if (x->count[WRITTEN] < 3)
        assert_int_equal(write_big(x, BIG), ERR_AGAIN);
}

static void writing_goes_on_from_on_written(void **state)
{
    struct pair *p = *state;
    buf_free(&p->b.got);
    buf_init(&p->b.got, 3 * BIG);
    p->a.hook[WRITTEN] = write_more;
    assert_int_equal(write_big(&p->a, BIG), ERR_AGAIN);
    stream_read(p->b.s, true);
    wait_for(&p->b, 3 * BIG);
    for (size_t i = 0; i < 3; i++)
        assert_memory_equal(p->b.got.p + i * BIG, p->big, BIG);
}

static void paused_reader_gets_nothing(void **state)
{
    struct pair *p = *state;
    stream_read(p->b.s, true);
    stream_read(p->b.s, false);
    assert_int_equal(write_text(&p->a, "one"), OK);
    some_turns();
    assert_int_equal(p->b.count[READ], 0);
    stream_read(p->b.s, true);
    assert_int_equal(p->b.count[READ], 0); /* never inside the call */
    wait_for(&p->b, 3);
    stream_read(p->b.s, false);
    stream_finish(p->a.s);
    p->a.s = NULL;
    some_turns();
    assert_int_equal(p->b.count[END], 0);
    stream_read(p->b.s, true);
    wait_event(&p->b, END, 1);
    assert_int_equal(p->b.count[READ], 1);
}

static void pause_in_callback(struct side *x)
{
    stream_read(x->s, false);
}

static void pausing_inside_on_read_stops_it(void **state)
{
    struct pair *p = *state;
    p->b.hook[READ] = pause_in_callback;
    stream_read(p->b.s, true);
    (void)write_big(&p->a, BIG);
    some_turns();
    assert_int_equal(p->b.count[READ], 1); /* of many */
    for (int i = 2; i < 6; i++) {
        size_t had = p->b.got.len;
        stream_read(p->b.s, true);
        wait_for(&p->b, had + 1);
        assert_int_equal(p->b.count[READ], i);
    }
    p->b.hook[READ] = NULL;
    stream_read(p->b.s, true);
    wait_for(&p->b, BIG);
    assert_memory_equal(p->b.got.p, p->big, BIG);
}

/* ---- fairness: what one stream, and one turn, may read -----------------------------------------
 */

/* A task that runs in each turn, and what was read since it did. */
struct share {
    struct task task;
    int reads[2], most_reads; /* of b and a */
    size_t had[2], first;     /* first: bytes of a turn's first read */
    size_t second;            /* the most that the other one was given behind it */
    bool slow;
};
static struct share share;

static void share_turn(void *arg)
{
    (void)arg;
    share.reads[0] = share.reads[1] = 0;
    task_post(pair->l, &share.task);
}

static void share_read(struct side *x)
{
    int i = x == &pair->a;
    size_t n = x->got.len - share.had[i];
    share.had[i] = x->got.len;
    if (share.reads[!i] == 0)
        share.first = n;
    else if (share.first >= CLOCK_BYTES && n > share.second)
        share.second = n;
    if (++share.reads[i] > share.most_reads)
        share.most_reads = share.reads[i];
    int64_t until = loop_now_us(pair->l) + (share.slow ? (CROWD_MS + 1) * 1000 : 0);
    while (loop_now_us(pair->l) < until)
        ;
}

static void share_begin(struct pair *p, bool slow)
{
    memset(&share, 0, sizeof share);
    share.slow = slow;
    task_init(&share.task, share_turn, NULL);
    task_post(p->l, &share.task);
    p->a.hook[READ] = p->b.hook[READ] = share_read;
}

static void one_stream_has_its_share_of_a_turn(void **state)
{
    struct pair *p = *state;
    share_begin(p, false);
    assert_int_equal(write_big(&p->a, BIG), ERR_AGAIN);
    some_turns(); /* megabytes lie ready */
    stream_read(p->b.s, true);
    wait_for(&p->b, BIG);
    task_cancel(&share.task);
    assert_memory_equal(p->b.got.p, p->big, BIG);
    assert_in_range(share.most_reads, 1, READS_MOST);
}

static void a_long_turn_reads_little(void **state)
{
    struct pair *p = *state;
    size_t half = (size_t)1 << 20;
    share_begin(p, true);
    (void)write_big(&p->a, half);
    (void)write_big(&p->b, half);
    some_turns();
    stream_read(p->a.s, true);
    stream_read(p->b.s, true);
    wait_for(&p->b, half);
    wait_for(&p->a, half);
    task_cancel(&share.task);
    assert_memory_equal(p->b.got.p, p->big, half);
    assert_memory_equal(p->a.got.p, p->big, half);
    assert_int_equal(share.most_reads, 1);
    assert_in_range(share.second, 1, CROWD_SIZE);
}

static struct side heir;

static void hand_over(struct side *x)
{
    heir.s = x->s;
    stream_own(x->s, &side_ops, &heir);
}

static void new_owner_inside_on_read(void **state)
{
    struct pair *p = *state;
    memset(&heir, 0, sizeof heir);
    buf_init(&heir.got, BIG);
    p->b.hook[READ] = hand_over;
    stream_read(p->b.s, true);
    assert_int_equal(write_text(&p->a, "first"), OK);
    wait_for(&p->b, 5);
    assert_int_equal(write_text(&p->a, "second"), OK);
    wait_for(&heir, 6); /* reading went on */
    stream_finish(p->a.s);
    p->a.s = NULL;
    wait_event(&heir, END, 1);
    assert_int_equal(p->b.count[READ], 1);
    assert_int_equal(p->b.count[END], 0);
    buf_free(&heir.got);
}

/* ---- late: what is written in a turn leaves at its end ----------------------------------------
 */

static void writes_of_a_turn_leave_as_one(void **state)
{
    struct pair *p = *state;
    stream_read(p->b.s, true);
    assert_int_equal(write_text(&p->a, "one, "), OK);
    assert_int_equal(write_text(&p->a, "two, "), OK);
    struct slice v[2] = {S("three"), S("!")};
    assert_int_equal(stream_write(p->a.s, v, 2), OK);
    wait_for(&p->b, 16);
    assert_memory_equal(p->b.got.p, "one, two, three!", 16);
    assert_int_equal(p->b.count[READ], 1);
}

static void memory_is_the_owners_after_ok(void **state)
{
    struct pair *p = *state;
    char words[] = "as it was";
    struct slice v = {words, 9};
    stream_read(p->b.s, true);
    assert_int_equal(stream_write(p->a.s, &v, 1), OK);
    memset(words, 'x', sizeof words);
    wait_for(&p->b, 9);
    assert_memory_equal(p->b.got.p, "as it was", 9);
}

/* Of every size, in turns, many more than fit: each stream's bytes stay in their order. */
static void late_bytes_stay_in_order(void **state)
{
    struct pair *p = *state;
    static const size_t step[] = {1, LATE_MOST, 3, LATE_MOST + 1, 700, 20000, LATE_MOST - 1};
    size_t at[2] = {0, 0}, sizes = sizeof step / sizeof step[0];
    stream_read(p->a.s, true);
    stream_read(p->b.s, true);
    for (size_t i = 0; i < 300; i++) {
        bool second = i % 5 == 1 || i % 3 == 1;
        struct side *x = second ? &p->b : &p->a;
        struct slice v = {p->big + at[second], step[(i + i / 7) % sizes]};
        enum err e = stream_write(x->s, &v, 1);
        assert_true(e == OK || e == ERR_AGAIN);
        if (e == ERR_AGAIN)
            wait_event(x, WRITTEN, x->count[WRITTEN] + 1);
        at[second] += v.n;
        if (i % 64 == 63)
            some_turns();
    }
    wait_for(&p->b, at[0]);
    wait_for(&p->a, at[1]);
    assert_memory_equal(p->b.got.p, p->big, at[0]);
    assert_memory_equal(p->a.got.p, p->big, at[1]);
    assert_int_equal(p->b.got.len, at[0]);
}

static void what_the_kernel_takes_in_part_goes_on(void **state)
{
    struct pair *p = *state;
    size_t at = 0;
    enum err e = OK;
    for (; at + LATE_MOST <= BIG && e == OK; at += LATE_MOST) { /* until it is full */
        struct slice v = {p->big + at, LATE_MOST};
        e = stream_write(p->a.s, &v, 1);
        late_flush(p->l);
    }
    assert_int_equal(e, ERR_AGAIN);
    stream_read(p->b.s, true);
    wait_for(&p->b, at);
    if (p->a.count[WRITTEN] == 0)
        wait_event(&p->a, WRITTEN, 1);
    assert_memory_equal(p->b.got.p, p->big, at);
}

static void finish_takes_nothing_back(void **state)
{
    struct pair *p = *state;
    stream_read(p->b.s, true);
    assert_int_equal(write_text(&p->a, "from a"), OK);
    stream_finish(p->a.s);
    p->a.s = NULL;
    wait_event(&p->b, END, 1);
    assert_int_equal(p->b.got.len, 6);
}

static void abort_takes_nothing_back(void **state)
{
    struct pair *p = *state;
    stream_read(p->b.s, true);
    assert_int_equal(write_text(&p->a, "last words"), OK);
    drop(&p->a);
    wait_event(&p->b, END, 1);
    assert_memory_equal(p->b.got.p, "last words", 10);
}

/* a is reset and does not know it yet. */
static void make_reset(struct pair *p)
{
    assert_int_equal(write_text(&p->a, "unread"), OK);
    some_turns();
    drop(&p->b);
    some_turns();
}

static void late_failure_is_told_once(void **state)
{
    struct pair *p = *state;
    make_reset(p);
    assert_int_equal(write_text(&p->a, "x"), OK);
    assert_int_equal(p->a.count[ERROR], 0);
    wait_event(&p->a, ERROR, 1);
    assert_int_equal(p->a.e, ERR_RESET);
    some_turns();
    assert_int_equal(p->a.count[ERROR], 1);
    assert_int_equal(write_text(&p->a, "x"), ERR_RESET);
}

static void late_failure_is_the_next_writes(void **state)
{
    struct pair *p = *state;
    make_reset(p);
    assert_int_equal(write_text(&p->a, "x"), OK);
    late_flush(p->l);
    assert_int_equal(write_text(&p->a, "y"), ERR_RESET);
    some_turns();
    assert_int_equal(p->a.count[ERROR], 0); /* it has been told */
}

/* What still lies there from a peer that is gone is not taken for the answer to what never left. */
static void late_failure_ends_the_reading(void **state)
{
    struct pair *p = *state;
    stream_read(p->a.s, true);
    assert_int_equal(write_text(&p->a, "unread"), OK);
    some_turns();
    assert_int_equal(write_text(&p->b, "last words"), OK);
    drop(&p->b);
    assert_int_equal(write_text(&p->a, "x"), OK);
    wait_event(&p->a, ERROR, 1);
    assert_int_equal(p->a.e, ERR_RESET);
    assert_int_equal(p->a.got.len, 0);
}

static void late_failure_of_the_finished_is_nobodys(void **state)
{
    struct pair *p = *state;
    make_reset(p);
    assert_int_equal(write_text(&p->a, "x"), OK);
    late_flush(p->l);
    stream_finish(p->a.s);
    p->a.s = NULL;
    loop_run(p->l);
    assert_int_equal(p->a.count[ERROR], 0);
}

/* The loop ends when there is nothing to wait for, but not with something unsent. */
static void loop_ends_with_nothing_late(void **state)
{
    struct pair *p = *state;
    assert_int_equal(write_text(&p->a, "x"), OK);
    loop_run(p->l);
    assert_int_equal(p->l->late.pieces, 0);
    stream_read(p->b.s, true);
    wait_for(&p->b, 1);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void finish_delivers_everything(void **state)
{
    struct pair *p = *state;
    assert_int_equal(write_big(&p->a, BIG), ERR_AGAIN);
    stream_finish(p->a.s);
    p->a.s = NULL;
    char *copy = mem_new(BIG);
    memcpy(copy, p->big, BIG);
    memset(p->big, 0xee, BIG); /* it is ours again */
    stream_read(p->b.s, true);
    wait_event(&p->b, END, 1);
    assert_int_equal(p->b.got.len, BIG);
    assert_memory_equal(p->b.got.p, copy, BIG);
    mem_free(copy);
    assert_int_equal(p->a.count[WRITTEN], 0); /* finished: not a word to the owner */
    assert_int_equal(write_text(&p->b, "half open"), OK);
}

static void finish_discards_what_still_comes(void **state)
{
    struct pair *p = *state;
    stream_read(p->a.s, true);
    stream_finish(p->a.s);
    p->a.s = NULL;
    stream_read(p->b.s, true);
    wait_event(&p->b, END, 1);
    assert_int_equal(write_big(&p->b, BIG), ERR_AGAIN); /* it lingers, so nothing is reset */
    wait_event(&p->b, WRITTEN, 1);
    assert_int_equal(p->b.count[ERROR], 0);
    stream_finish(p->b.s);
    p->b.s = NULL;
    loop_run(p->l); /* both FINs are through: nothing waits for the two seconds */
    assert_int_equal(p->a.count[READ], 0);
}

static void finish_after_the_peers_end_closes(void **state)
{
    struct pair *p = *state;
    stream_read(p->a.s, true);
    stream_read(p->b.s, true);
    stream_finish(p->b.s);
    p->b.s = NULL;
    wait_event(&p->a, END, 1);
    int64_t before = loop_now(p->l);
    assert_int_equal(write_text(&p->a, "bye"), OK);
    stream_finish(p->a.s);
    p->a.s = NULL;
    loop_run(p->l);
    assert_true(loop_now(p->l) - before < 1500);
}

/* A peer that never hangs up holds no descriptor of ours when they are wanted elsewhere. */
static void finish_lingers_only_while_there_is_room(void **state)
{
    struct pair *p = *state;
    int64_t before = loop_now(p->l);
    p->l->finishing_max = 0;
    stream_read(p->a.s, true);
    stream_finish(p->a.s);
    p->a.s = NULL;
    loop_run(p->l);
    assert_true(loop_now(p->l) - before < 1500); /* not the two seconds of lingering */
    stream_read(p->b.s, true);
    wait_event(&p->b, END, 1);
}

static void abort_with_unread_bytes_resets(void **state)
{
    struct pair *p = *state;
    stream_read(p->a.s, true);
    assert_int_equal(write_text(&p->a, "never read"), OK);
    some_turns();
    stream_abort(p->b.s);
    p->b.s = NULL;
    wait_event(&p->a, ERROR, 1);
    assert_int_equal(p->a.e, ERR_RESET);
    assert_int_equal(write_text(&p->a, "x"), ERR_RESET); /* dead, and says so */
    assert_int_equal(p->a.count[ERROR], 1);
    assert_int_equal(p->a.count[END], 0);
    stream_read(p->a.s, true);
    stream_finish(p->a.s); /* not polite to the dead, but allowed */
    p->a.s = NULL;
}

/* libuv takes a reset that comes with the last bytes for an end. */
static void reset_behind_bytes_is_no_end(void **state)
{
    struct pair *p = *state;
    assert_int_equal(write_text(&p->a, "unread, so b resets"), OK);
    some_turns();
    assert_int_equal(write_text(&p->b, "last words"), OK);
    stream_abort(p->b.s);
    p->b.s = NULL;
    some_turns();
    stream_read(p->a.s, true);
    wait_event(&p->a, ERROR, 1);
    assert_int_equal(p->a.e, ERR_RESET);
    assert_int_equal(p->a.count[END], 0);
}

static void reset_reaches_a_blocked_writer(void **state)
{
    struct pair *p = *state; /* which does not read */
    assert_int_equal(write_big(&p->a, BIG), ERR_AGAIN);
    some_turns();
    stream_abort(p->b.s);
    p->b.s = NULL;
    wait_event(&p->a, ERROR, 1);
    assert_int_equal(p->a.e, ERR_RESET);
    assert_false(stream_writing(p->a.s));
    assert_int_equal(p->a.count[WRITTEN], 0);
}

static void abort_drops_a_blocked_write(void **state)
{
    struct pair *p = *state;
    assert_int_equal(write_big(&p->a, BIG), ERR_AGAIN);
    stream_abort(p->a.s);
    p->a.s = NULL;
    memset(p->big, 0, BIG);
    stream_read(p->b.s, true);
    while (p->b.count[END] + p->b.count[ERROR] == 0) {
        p->b.hook[END] = p->b.hook[ERROR] = stop;
        loop_run(p->l);
    }
    assert_true(p->b.got.len < BIG);
    assert_int_equal(p->a.count[WRITTEN] + p->a.count[ERROR], 0);
}

static void lingering_stream_does_not_hold_up_loop_free(void **state)
{
    struct pair *p = *state;
    assert_int_equal(write_big(&p->a, BIG), ERR_AGAIN);
    stream_finish(p->a.s); /* cannot flush: nobody reads. teardown's loop_free cuts it off */
    p->a.s = NULL;
    assert_int_equal(p->b.count[READ], 0);
}

/* ---- death inside callbacks ------------------------------------------------------------------ */

static void kill_abort(struct side *x)
{
    stream_abort(x->s);
    x->s = NULL;
    loop_stop(pair->l);
}

static void kill_finish(struct side *x)
{
    stream_finish(x->s);
    x->s = NULL;
    loop_stop(pair->l);
}

static void kill_other(struct side *x)
{
    drop(x->other);
    loop_stop(pair->l);
}

typedef void killer(struct side *x);

static void make_event(struct pair *p, enum event ev)
{
    stream_read(p->a.s, true);
    switch (ev) {
    case READ:
        (void)write_big(&p->b, BIG);
        break;
    case END:
        stream_finish(p->b.s);
        p->b.s = NULL;
        break;
    case ERROR:
        assert_int_equal(write_text(&p->a, "unread"), OK);
        some_turns();
        stream_abort(p->b.s);
        p->b.s = NULL;
        break;
    case WRITTEN:
        stream_read(p->b.s, true);
        assert_int_equal(write_big(&p->a, BIG), ERR_AGAIN);
        break;
    case EVENTS:
        break;
    }
}

static void die_in(void **state, enum event ev, killer *kill)
{
    struct pair *p = *state;
    p->a.hook[ev] = kill;
    make_event(p, ev);
    loop_run(p->l);
    while (p->a.count[ev] == 0)
        loop_run(p->l);
    int calls = 0;
    some_turns();
    for (int i = 0; i < EVENTS; i++)
        calls += p->a.count[i];
    if (kill != kill_other)
        assert_int_equal(calls, 1); /* not one more */
    assert_true(calls >= 1);
}

static void abort_in_on_read(void **state)
{
    die_in(state, READ, kill_abort);
}

static void abort_in_on_end(void **state)
{
    die_in(state, END, kill_abort);
}

static void abort_in_on_error(void **state)
{
    die_in(state, ERROR, kill_abort);
}

static void abort_in_on_written(void **state)
{
    die_in(state, WRITTEN, kill_abort);
}

static void finish_in_on_read(void **state)
{
    die_in(state, READ, kill_finish);
}

static void finish_in_on_end(void **state)
{
    die_in(state, END, kill_finish);
}

static void finish_in_on_error(void **state)
{
    die_in(state, ERROR, kill_finish);
}

static void finish_in_on_written(void **state)
{
    die_in(state, WRITTEN, kill_finish);
}

static void other_side_dies_in_on_read(void **state)
{
    die_in(state, READ, kill_other);
}

static void other_side_dies_in_on_written(void **state)
{
    die_in(state, WRITTEN, kill_other);
}

/* ---- injected failure ------------------------------------------------------------------------ */

static void injected_write_failure_kills_the_stream(void **state)
{
    struct pair *p = *state;
    stream_read(p->a.s, true);
    fault_target = fault_counter + 1;
    assert_int_equal(write_text(&p->a, "x"), ERR_RESET);
    assert_int_equal(write_text(&p->a, "x"), ERR_RESET);
    some_turns();
    assert_int_equal(p->a.count[ERROR], 0);
    assert_false(stream_writing(p->a.s));
}

/* ---- where bytes are read to ------------------------------------------------------------------
 */

static char place[4096 + 1];
static size_t place_most, placed; /* the latter: of all that was read */
static bool place_asked;

static char *place_room(void *owner, size_t *n)
{
    const struct side *x = owner;
    assert_true(*n > sizeof place);
    place_asked = true;
    if (x->got.len % 3 == 1) {
        *n = 5; /* so many at most, anywhere */
        return NULL;
    }
    *n = place_most;
    return place;
}

static void place_read(void *owner, struct slice bytes)
{
    assert_true(place_asked); /* anew before each read */
    place_asked = false;
    assert_true(bytes.n <= (bytes.p == place ? place_most : 5));
    placed += bytes.p == place ? bytes.n : 0;
    assert_int_equal(place[place_most], 'x');
    on_read(owner, bytes);
}

static void bytes_are_read_where_they_should_be(void **state)
{
    static const struct stream_ops OPS = {place_read, on_end, on_error, on_written, place_room};
    struct pair *p = *state;
    size_t n = 0;
    stream_own(p->b.s, &OPS, &p->b);
    stream_read(p->b.s, true);
    memset(place, 'x', sizeof place);
    for (place_most = 1; place_most < sizeof place; place_most = place_most * 4 + 3) {
        assert_int_equal(write_big(&p->a, 20000), OK);
        n += 20000;
        wait_for(&p->b, n);
        memset(place, 'x', sizeof place);
    }
    for (size_t i = 0; i < n; i += 20000)
        assert_memory_equal(p->b.got.p + i, p->big, 20000);
    assert_true(placed > n / 2);
    stream_finish(p->a.s);
    p->a.s = NULL;
    wait_event(&p->b, END, 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(bytes_go_both_ways),
        T(bytes_are_read_where_they_should_be),
        T(slices_go_out_in_order),
        T(blocked_write_reports_once),
        T(writing_goes_on_from_on_written),
        T(paused_reader_gets_nothing),
        T(pausing_inside_on_read_stops_it),
        T(new_owner_inside_on_read),
        T(one_stream_has_its_share_of_a_turn),
        T(a_long_turn_reads_little),
        T(writes_of_a_turn_leave_as_one),
        T(memory_is_the_owners_after_ok),
        T(late_bytes_stay_in_order),
        T(what_the_kernel_takes_in_part_goes_on),
        T(finish_takes_nothing_back),
        T(abort_takes_nothing_back),
        T(late_failure_is_told_once),
        T(late_failure_is_the_next_writes),
        T(late_failure_ends_the_reading),
        T(late_failure_of_the_finished_is_nobodys),
        T(loop_ends_with_nothing_late),
        T(finish_delivers_everything),
        T(finish_discards_what_still_comes),
        T(finish_after_the_peers_end_closes),
        T(finish_lingers_only_while_there_is_room),
        T(abort_with_unread_bytes_resets),
        T(reset_behind_bytes_is_no_end),
        T(reset_reaches_a_blocked_writer),
        T(abort_drops_a_blocked_write),
        T(lingering_stream_does_not_hold_up_loop_free),
        T(abort_in_on_read),
        T(abort_in_on_end),
        T(abort_in_on_error),
        T(abort_in_on_written),
        T(finish_in_on_read),
        T(finish_in_on_end),
        T(finish_in_on_error),
        T(finish_in_on_written),
        T(other_side_dies_in_on_read),
        T(other_side_dies_in_on_written),
        T(injected_write_failure_kills_the_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
