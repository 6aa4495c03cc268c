/* links: base net */
/* Dialling and listening: what is refused, raced, cached, canceled, and when descriptors run out.
 */
#include "net/net.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a name service of our own --------------------------------------------------------------- */

static const struct {
    const char *name;
    const char *addrs[4];
    int error;
} zone[] = {
    {"localhost", {"127.0.0.1"}, 0},
    {"dead.test", {"127.0.0.3", "127.0.0.1"}, 0},
    {"hole.test", {"127.0.0.2", "127.0.0.1"}, 0},
    {"all.dead.test", {"127.0.0.3", "127.0.0.4"}, 0},
    {"rebind.test", {"10.0.0.1", "127.0.0.1", "169.254.169.254"}, 0},
    {"none.test", {NULL}, EAI_NONAME},
    {"again.test", {NULL}, EAI_AGAIN},
    {"empty.test", {NULL}, 0},
    {"stuck.test", {"127.0.0.1"}, 0},
};

static atomic_int lookups, unstuck;
static sem_t unstick;

static struct addrinfo *answer_of(struct in_addr ip, struct addrinfo *next)
{
    struct addrinfo *a = NEW(struct addrinfo);
    struct sockaddr_in *in = NEW(struct sockaddr_in);
    in->sin_family = AF_INET;
    in->sin_addr = ip;
    a->ai_family = AF_INET;
    a->ai_addr = (struct sockaddr *)in;
    a->ai_addrlen = sizeof *in;
    a->ai_next = next;
    return a;
}

/* Takes the C library's place, on libuv's threads. Its header's parameters have reserved names. */
/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    struct in_addr ip;
    (void)service;
    (void)hints;
    atomic_fetch_add(&lookups, 1);
    *out = NULL;
    if (inet_aton(name, &ip) != 0) { /* the C library reads "127.1" and "0x7f.1" as well */
        *out = answer_of(ip, NULL);
        return 0;
    }
    for (size_t i = 0; i < sizeof zone / sizeof zone[0]; i++) {
        if (strcmp(zone[i].name, name) != 0)
            continue;
        if (strcmp(name, "stuck.test") == 0) {
            sem_wait(&unstick);
            atomic_fetch_add(&unstuck, 1);
        }
        for (int k = 3; k >= 0; k--) {
            if (zone[i].addrs[k] != NULL && inet_aton(zone[i].addrs[k], &ip) != 0)
                *out = answer_of(ip, *out);
        }
        return zone[i].error;
    }
    return EAI_NONAME;
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
void freeaddrinfo(struct addrinfo *a)
{
    while (a != NULL) {
        struct addrinfo *next = a->ai_next;
        mem_free(a->ai_addr);
        mem_free(a);
        a = next;
    }
}

#define MAX 64

struct hall {
    struct loop *l;
    struct listener *in;
    struct stream *accepted[MAX];
    size_t n;
    bool close_in_accept, pause_in_accept;
    char dir[32];
    char path[64];
};

struct call { /* one dial */
    struct hall *h;
    struct dial *d;
    int done;
    enum err e;
    const char *why;
    struct stream *s;
};

static void on_accept(void *owner, struct stream *s)
{
    struct hall *h = owner;
    assert_true(h->n < MAX);
    h->accepted[h->n++] = s;
    if (h->pause_in_accept)
        listener_pause(h->in, true);
    if (h->close_in_accept) {
        listener_close(h->in);
        h->in = NULL;
    }
}

static const struct listener_ops in_ops = {on_accept};

static void on_done(void *owner, enum err e, const char *why, struct stream *s)
{
    struct call *c = owner;
    assert_true((e == OK) == (s != NULL));
    assert_true((e == OK) == (why == NULL));
    c->done++;
    c->d = NULL;
    c->e = e;
    c->why = why;
    c->s = s;
    loop_stop(c->h->l);
}

static int setup(void **state)
{
    static struct hall h;
    alarm(60);
    signal(SIGPIPE, SIG_IGN);
    h = (struct hall){.l = loop_new()};
    atomic_store(&lookups, 0);
    sem_init(&unstick, 0, 0);
    text_copy(h.dir, sizeof h.dir, S("/tmp/test-net-XXXXXX"));
    assert_non_null(mkdtemp(h.dir));
    text_format(h.path, sizeof h.path, "%s/sock", h.dir);
    *state = &h;
    return 0;
}

static int teardown(void **state)
{
    struct hall *h = *state;
    if (h->in != NULL)
        listener_close(h->in);
    for (size_t i = 0; i < h->n; i++)
        stream_abort(h->accepted[i]);
    loop_free(h->l);
    unlink(h->path);
    rmdir(h->dir);
    fault_target = 0;
    return 0;
}

static void listen_at(struct hall *h, const char *at)
{
    struct addr a;
    assert_int_equal(addr_parse(slice_of(at), &a), OK);
    assert_int_equal(listener_open(h->l, &a, NULL, &in_ops, h, &h->in), OK);
    assert_true(listener_addr(h->in)->port != 0);
}

static void start(struct hall *h, struct call *c, const char *host, bool allow_private)
{
    struct dial_target t = {.host = slice_of(host), .allow_private = allow_private};
    *c = (struct call){.h = h};
    t.port = h->in != NULL ? listener_addr(h->in)->port : 9;
    c->d = dial_start(h->l, &t, on_done, c);
    assert_int_equal(c->done, 0); /* never inside the call */
}

static void dial(struct hall *h, struct call *c, const char *host, bool allow_private)
{
    start(h, c, host, allow_private);
    while (c->done == 0)
        loop_run(h->l);
    assert_int_equal(c->done, 1);
}

struct turns {
    struct loop *l;
    struct task task;
    int left;
};

static void turn(void *arg)
{
    struct turns *t = arg;
    if (--t->left == 0)
        loop_stop(t->l);
    else
        task_post(t->l, &t->task);
}

static void some_turns(struct hall *h)
{
    struct turns t = {.l = h->l, .left = 30};
    task_init(&t.task, turn, &t);
    task_post(h->l, &t.task);
    while (t.left > 0)
        loop_run(h->l);
}

/* ---- dialling -------------------------------------------------------------------------------- */

static void dial_numeric(void **state)
{
    struct hall *h = *state;
    struct call c;
    listen_at(h, "127.0.0.1:0");
    dial(h, &c, "127.0.0.1", true);
    assert_int_equal(c.e, OK);
    assert_string_equal(stream_peer(c.s)->text, listener_addr(h->in)->text);
    stream_abort(c.s);
}

static void dial_name_and_its_cached_answer(void **state)
{
    struct hall *h = *state;
    struct call c;
    listen_at(h, "127.0.0.1:0");
    for (int i = 0; i < 3; i++) {
        dial(h, &c, i == 1 ? "LocalHost" : "localhost", true);
        assert_int_equal(c.e, OK);
        assert_true(stream_peer(c.s)->is_loopback);
        stream_abort(c.s);
    }
    assert_int_equal(atomic_load(&lookups), 1);
    for (int i = 0; i < 3; i++)
        dial(h, &c, "none.test", true);
    assert_int_equal(atomic_load(&lookups), 2); /* for a second, failures too */
}

static void dial_failing_names(void **state)
{
    struct hall *h = *state;
    struct call c;
    dial(h, &c, "none.test", true);
    assert_int_equal(c.e, ERR_DNS);
    assert_string_equal(c.why, "the name does not exist");
    dial(h, &c, "again.test", true);
    assert_int_equal(c.e, ERR_DNS);
    assert_string_equal(c.why, "no answer from the name server");
    dial(h, &c, "empty.test", true);
    assert_int_equal(c.e, ERR_DNS);
}

static void dial_goes_on_to_the_next_address(void **state)
{
    struct hall *h = *state;
    struct call c;
    listen_at(h, "127.0.0.1:0");
    int64_t start = loop_now(h->l);
    dial(h, &c, "dead.test", true);
    assert_int_equal(c.e, OK);
    assert_string_equal(stream_peer(c.s)->text, listener_addr(h->in)->text);
    assert_true(loop_now(h->l) - start < 200); /* refused: no reason to wait */
    stream_abort(c.s);
    dial(h, &c, "all.dead.test", true);
    assert_int_equal(c.e, ERR_CONNECT);
}

/* An address that swallows everything: a listener whose queue is full. */
static void dial_races_a_silent_address(void **state)
{
    struct hall *h = *state;
    struct call c;
    int fd[8];
    listen_at(h, "127.0.0.1:0");
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(listener_addr(h->in)->port)};
    assert_int_not_equal(inet_aton("127.0.0.2", &at.sin_addr), 0);
    fd[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(fd[0], (struct sockaddr *)&at, sizeof at) < 0) {
        close(fd[0]); /* not every system has all of 127/8 */
        skip();
    }
    assert_int_equal(listen(fd[0], 0), 0);
    for (int i = 1; i < 8; i++) {
        fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fd[i], (struct sockaddr *)&at, sizeof at);
    }
    int64_t start = loop_now(h->l);
    dial(h, &c, "hole.test", true);
    assert_int_equal(c.e, OK);
    assert_string_equal(stream_peer(c.s)->text, listener_addr(h->in)->text);
    assert_true(loop_now(h->l) - start >= 250); /* RFC 8305's head start */
    stream_abort(c.s);
    struct call canceled;
    struct dial_target t = {
        .host = S("127.0.0.2"), .port = listener_addr(h->in)->port, .allow_private = true};
    canceled = (struct call){.h = h};
    struct dial *d = dial_start(h->l, &t, on_done, &canceled);
    some_turns(h);
    dial_cancel(d); /* while connecting */
    some_turns(h);
    assert_int_equal(canceled.done, 0);
    for (int i = 0; i < 8; i++)
        close(fd[i]);
}

/* A name server that never answers holds up neither the dialler nor the process's end. */
static void loop_ends_under_a_stuck_lookup(void **state)
{
    struct hall *h = *state;
    struct call c;
    start(h, &c, "stuck.test", true);
    some_turns(h);
    dial_cancel(c.d);
    loop_free(h->l);
    sem_post(&unstick); /* the thread writes to memory that must still be there */
    h->l = loop_new();
    while (atomic_load(&unstuck) == 0) /* the next test's setup makes the semaphore anew */
        some_turns(h);
    assert_int_equal(c.done, 0);
}

static void dials_share_a_lookup(void **state)
{
    struct hall *h = *state;
    struct call c[5];
    listen_at(h, "127.0.0.1:0");
    for (int i = 0; i < 5; i++)
        start(h, &c[i], "localhost", true);
    dial_cancel(c[2].d);
    for (int i = 0; i < 5; i++) {
        while (i != 2 && c[i].done == 0)
            loop_run(h->l);
        assert_int_equal(c[i].done, i != 2);
        if (i != 2) {
            assert_int_equal(c[i].e, OK);
            stream_abort(c[i].s);
        }
    }
    assert_int_equal(atomic_load(&lookups), 1);
}

static void dial_both_families(void **state)
{
    struct hall *h = *state;
    struct call c;
    listen_at(h, ":0"); /* all interfaces, both families */
    dial(h, &c, "127.0.0.1", true);
    assert_int_equal(c.e, OK);
    while (h->n == 0)
        loop_run(h->l);
    assert_true(stream_peer(h->accepted[0])->is_loopback); /* not "::ffff:..." */
    assert_true(slice_starts(slice_of(stream_peer(h->accepted[0])->text), S("127.0.0.1:")));
    stream_abort(c.s);
}

static void dial_refused(void **state)
{
    struct hall *h = *state;
    struct call c;
    listen_at(h, "127.0.0.1:0");
    struct dial_target t = {
        .host = S("127.0.0.1"), .port = listener_addr(h->in)->port, .allow_private = true};
    listener_close(h->in);
    h->in = NULL;
    c = (struct call){.h = h};
    dial_start(h->l, &t, on_done, &c);
    while (c.done == 0)
        loop_run(h->l);
    assert_int_equal(c.e, ERR_CONNECT);
    assert_string_equal(c.why, "connection refused");
}

static void dial_denied(void **state)
{
    struct hall *h = *state;
    static const char *const hosts[] = {
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "10.0.0.1",
        "::1",
        "::",
        "169.254.169.254",
        "::ffff:127.0.0.1",
        "fd00::1",
        "64:ff9b::a00:1",
        "fd00:ec2::254",
        "fe80::1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1", /* the resolver reads them */
        "0",
        "0.1",
        "0x0",
        "00000000000",
        "127.0.1",
        "127.255.255.254",
        "127.000.0.01",
        "0x7f000001",
        "0X7F.0x0.0x0.0x1",
        "017700000001",
        "0x7f.0.1",
        "LOCALHOST",
        "::127.0.0.1",
        "0:0:0:0:0:0:0:1",
        "0000::0001",
        "::ffff:7f00:1",
        "::FFFF:127.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::127.0.0.1",
        "64:ff9b::169.254.169.254",
        "::ffff:169.254.169.254",
        "::ffff:a9fe:a9fe",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.16689662",
        "169.254.170.2",
        "10.1",
        "0xa.1",
        "192.168.257",
        "172.31.255.255",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "fc00::1",
        "fdff::1",
        "ff02::1",
        "fec0::1",
        "2001:0:7f00:1::",
    };
    listen_at(h, ":0");
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        struct call c;
        dial(h, &c, hosts[i], false);
        if (c.e != ERR_DENIED)
            print_message("%s: %s\n", hosts[i], c.why ? c.why : "connected");
        assert_int_equal(c.e, ERR_DENIED);
    }
    some_turns(h);
    assert_int_equal(h->n, 0);
}

static void dial_bad_names(void **state)
{
    struct hall *h = *state;
    static char longest[300];
    memset(longest, 'a', sizeof longest - 1);
    const char *const hosts[] = {
        "",
        "a b",
        "a/b",
        "user@host",
        "host\n",
        "[::1]",
        "ex\xc3\xa4mple",
        longest,
        "host%lo",
        "::1%lo",
        "a\tb",
        "http://x",
        /* a label of more than 63 characters: no name server is asked */
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.invalid",
    };
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        struct call c;
        dial(h, &c, hosts[i], true);
        assert_int_equal(c.e, ERR_DNS);
    }
}

static void dial_canceled_stays_silent(void **state)
{
    struct hall *h = *state;
    struct call c[4];
    static const char *const hosts[] = {"127.0.0.1", "localhost", "not a name", "10.0.0.1"};
    listen_at(h, "127.0.0.1:0");
    for (int i = 0; i < 4; i++) {
        start(h, &c[i], hosts[i], i != 3);
        dial_cancel(c[i].d);
    }
    some_turns(h);
    for (int i = 0; i < 4; i++)
        assert_int_equal(c[i].done, 0);
}

static void dial_injected_failure(void **state)
{
    struct hall *h = *state;
    struct call c;
    listen_at(h, "127.0.0.1:0");
    fault_target = fault_counter + 1;
    dial(h, &c, "127.0.0.1", true);
    assert_int_equal(c.e, ERR_CONNECT);
    struct listener *none = NULL;
    struct addr a = *listener_addr(h->in);
    fault_target = fault_counter + 1;
    assert_int_equal(listener_open(h->l, &a, NULL, &in_ops, h, &none), ERR_IO);
    assert_null(none);
}

/* ---- listening ------------------------------------------------------------------------------- */

static void listener_in_use(void **state)
{
    struct hall *h = *state;
    struct listener *second = NULL;
    listen_at(h, "127.0.0.1:0");
    struct addr a = *listener_addr(h->in);
    assert_int_equal(listener_open(h->l, &a, NULL, &in_ops, h, &second), ERR_EXISTS);
    assert_null(second);
}

static void listener_paused_accepts_nobody(void **state)
{
    struct hall *h = *state;
    struct call c;
    listen_at(h, "127.0.0.1:0");
    listener_pause(h->in, true);
    listener_pause(h->in, true);
    dial(h, &c, "127.0.0.1", true); /* the kernel shakes hands */
    some_turns(h);
    assert_int_equal(h->n, 0);
    listener_pause(h->in, false);
    some_turns(h);
    assert_int_equal(h->n, 1);
    stream_abort(c.s);
}

static void listener_paused_and_closed_in_on_accept(void **state)
{
    struct hall *h = *state;
    struct call c[3];
    listen_at(h, "127.0.0.1:0");
    h->pause_in_accept = true;
    for (int i = 0; i < 3; i++)
        dial(h, &c[i], "127.0.0.1", true);
    some_turns(h);
    assert_int_equal(h->n, 1);
    h->pause_in_accept = false;
    h->close_in_accept = true;
    listener_pause(h->in, false);
    some_turns(h);
    assert_int_equal(h->n, 2);
    assert_null(h->in);
    for (int i = 0; i < 3; i++)
        stream_abort(c[i].s);
}

static void unix_socket(void **state)
{
    struct hall *h = *state;
    struct listener *second = NULL;
    struct stat st;
    assert_int_equal(listener_open(h->l, NULL, h->path, &in_ops, h, &h->in), OK);
    assert_true(listener_addr(h->in)->is_unix);
    assert_int_equal(stat(h->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(listener_open(h->l, NULL, h->path, &in_ops, h, &second), ERR_EXISTS);
    struct call c = {.h = h};
    struct dial_target t = {.path = h->path};
    dial_start(h->l, &t, on_done, &c);
    while (c.done == 0 || h->n == 0)
        loop_run(h->l);
    assert_int_equal(c.e, OK);
    assert_true(stream_peer(c.s)->is_unix);
    while (h->n > 0) /* of the second listener's probe, too */
        stream_abort(h->accepted[--h->n]);
    stream_abort(c.s);
    listener_close(h->in);
    h->in = NULL;
    assert_int_not_equal(stat(h->path, &st), 0);
    c = (struct call){.h = h};
    dial_start(h->l, &t, on_done, &c);
    while (c.done == 0)
        loop_run(h->l);
    assert_int_equal(c.e, ERR_CONNECT);
}

static void unix_socket_left_behind_is_replaced(void **state)
{
    struct hall *h = *state;
    struct stat st;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    text_copy(at.sun_path, sizeof at.sun_path, slice_of(h->path));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof at), 0);
    close(fd); /* its process "died" */
    assert_int_equal(listener_open(h->l, NULL, h->path, &in_ops, h, &h->in), OK);
    /* A successor's file is not removed. */
    assert_int_equal(unlink(h->path), 0);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof at), 0);
    listener_close(h->in);
    h->in = NULL;
    assert_int_equal(stat(h->path, &st), 0);
    close(fd);
}

static void unix_socket_refused(void **state)
{
    struct hall *h = *state;
    char far[300];
    memset(far, 'x', sizeof far - 1);
    far[0] = '/';
    far[sizeof far - 1] = '\0';
    assert_int_equal(listener_open(h->l, NULL, far, &in_ops, h, &h->in), ERR_RANGE);
    assert_int_equal(listener_open(h->l, NULL, "/nowhere/at/all", &in_ops, h, &h->in), ERR_IO);
    assert_int_equal(listener_open(h->l, NULL, h->dir, &in_ops, h, &h->in), ERR_EXISTS);
    assert_null(h->in);
}

/* Out of descriptors the listener rests and takes the connection later; it does not spin, and it
 * does not drop whoever waits. */
static void out_of_descriptors(void **state)
{
    struct hall *h = *state;
    struct call c;
    struct rlimit before, none;
    listen_at(h, "127.0.0.1:0");
    listener_pause(h->in, true);
    dial(h, &c, "127.0.0.1", true);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = dup(0);
    assert_true(next > 0);
    close(next);
    none = before;
    none.rlim_cur = (rlim_t)next;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    listener_pause(h->in, false);
    some_turns(h);
    assert_int_equal(h->n, 0);
    struct call c2;
    dial(h, &c2, "127.0.0.1", true);
    assert_int_equal(c2.e, ERR_BUSY);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    struct turns t = {.l = h->l, .left = 1};
    struct timer again;
    timer_init(&again, h->l, turn, &t);
    timer_set(&again, loop_now(h->l) + 200);
    loop_run(h->l);
    assert_int_equal(h->n, 1);
    stream_abort(c.s);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(dial_numeric),
        T(dial_name_and_its_cached_answer),
        T(dial_failing_names),
        T(dial_goes_on_to_the_next_address),
        T(dial_races_a_silent_address),
        T(loop_ends_under_a_stuck_lookup),
        T(dials_share_a_lookup),
        T(dial_both_families),
        T(dial_refused),
        T(dial_denied),
        T(dial_bad_names),
        T(dial_canceled_stays_silent),
        T(dial_injected_failure),
        T(listener_in_use),
        T(listener_paused_accepts_nobody),
        T(listener_paused_and_closed_in_on_accept),
        T(unix_socket),
        T(unix_socket_left_behind_is_replaced),
        T(unix_socket_refused),
        T(out_of_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
