/* links: base net */
/* Listeners in company: two on one address, and a unix socket that is taken over. */
#include "net/net.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define CALLERS 40

struct hall {
    struct loop *l;
    struct listener *in[3];
    int accepted[3];
    char dir[64], path[96];
};

static struct hall hall;

static void accept_0(void *owner, struct stream *s)
{
    ++((struct hall *)owner)->accepted[0];
    stream_abort(s);
}

static void accept_1(void *owner, struct stream *s)
{
    ++((struct hall *)owner)->accepted[1];
    stream_abort(s);
}

static void accept_2(void *owner, struct stream *s)
{
    ++((struct hall *)owner)->accepted[2];
    stream_abort(s);
}

static const struct listener_ops ops[3] = {{accept_0}, {accept_1}, {accept_2}};

static int setup(void **state)
{
    crypto_init();
    signal(SIGPIPE, SIG_IGN);
    hall = (struct hall){.l = loop_new()};
    text_copy(hall.dir, sizeof hall.dir, S("/tmp/test-net-XXXXXX"));
    assert_non_null(mkdtemp(hall.dir));
    text_format(hall.path, sizeof hall.path, "%s/sock", hall.dir);
    *state = &hall;
    return 0;
}

static void leave(struct hall *h, int i)
{
    listener_close(h->in[i]);
    h->in[i] = NULL;
}

static int teardown(void **state)
{
    struct hall *h = *state;
    for (int i = 0; i < 3; i++) {
        if (h->in[i] != NULL)
            leave(h, i);
    }
    loop_free(h->l);
    assert_int_not_equal(unlink(h->path), 0); /* who made it has removed it */
    assert_int_equal(rmdir(h->dir), 0);       /* and nothing else was left */
    return 0;
}

static void enter(struct hall *h, int i, struct addr *a)
{
    assert_int_equal(listener_open_shared(h->l, a, NULL, &ops[i], h, &h->in[i]), OK);
    *a = *listener_addr(h->in[i]);
}

static void on_timer(void *arg)
{
    loop_stop(arg);
}

/* Until everything that has come is dealt with. */
static void some_turns(struct hall *h)
{
    struct timer t;
    timer_init(&t, h->l, on_timer, h->l);
    timer_set(&t, loop_now(h->l) + 20);
    loop_run(h->l);
}

static int caller(const struct addr *a)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(a->port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (const struct sockaddr *)&at, sizeof at) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* So many come; returns how many were refused. */
static int callers(struct hall *h, const struct addr *a, int n)
{
    int refused = 0;
    memset(h->accepted, 0, sizeof h->accepted);
    for (int i = 0; i < n; i++) {
        int fd = caller(a);
        if (fd >= 0)
            close(fd);
        else
            refused++;
    }
    some_turns(h);
    return refused;
}

/* ---- TCP ------------------------------------------------------------------------------------- */

/* While there are two, all go to the second; who is left has all. */
static void the_second_has_all(void **state)
{
    struct hall *h = *state;
    struct addr a;
    assert_int_equal(addr_parse(S("127.0.0.1:0"), &a), OK);
    enter(h, 0, &a);
    assert_int_equal(callers(h, &a, CALLERS), 0);
    assert_int_equal(h->accepted[0], CALLERS);
    for (int round = 0; round < 4; round++) {
        int older = round % 2, newer = 1 - older;
        enter(h, newer, &a);
        assert_int_equal(callers(h, &a, CALLERS), 0);
        assert_int_equal(h->accepted[newer], CALLERS);
        assert_int_equal(h->accepted[older], 0);
        if (round == 2) { /* the newer one dies again, the older one goes on */
            leave(h, newer);
            assert_int_equal(callers(h, &a, CALLERS), 0);
            assert_int_equal(h->accepted[older], CALLERS);
            enter(h, newer, &a);
        }
        leave(h, older);
        assert_int_equal(callers(h, &a, CALLERS), 0);
        assert_int_equal(h->accepted[newer], CALLERS);
    }
}

/* More than two are no plan, but nobody is lost among them. */
static void three_of_them(void **state)
{
    struct hall *h = *state;
    struct addr a;
    assert_int_equal(addr_parse(S("127.0.0.1:0"), &a), OK);
    for (int i = 0; i < 3; i++)
        enter(h, i, &a);
    assert_int_equal(callers(h, &a, CALLERS), 0);
    assert_int_equal(h->accepted[0] + h->accepted[1] + h->accepted[2], CALLERS);
    leave(h, 1);
    assert_int_equal(callers(h, &a, CALLERS), 0);
    assert_int_equal(h->accepted[0] + h->accepted[2], CALLERS);
}

/* Only among those who say so. */
static void not_with_others(void **state)
{
    struct hall *h = *state;
    struct addr a;
    assert_int_equal(addr_parse(S("127.0.0.1:0"), &a), OK);
    enter(h, 0, &a);
    assert_int_equal(listener_open(h->l, &a, NULL, &ops[1], h, &h->in[1]), ERR_EXISTS);
    leave(h, 0);
    assert_int_equal(listener_open(h->l, &a, NULL, &ops[1], h, &h->in[1]), OK);
    assert_int_equal(listener_open_shared(h->l, &a, NULL, &ops[0], h, &h->in[0]), ERR_EXISTS);
    assert_false(listener_is_lost(h->in[1]));
}

/* ---- a unix socket --------------------------------------------------------------------------- */

static int unix_caller(const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    text_copy(at.sun_path, sizeof at.sun_path, slice_of(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (const struct sockaddr *)&at, sizeof at) == 0)
        return fd;
    close(fd);
    return -1;
}

static void unix_socket_is_taken_over(void **state)
{
    struct hall *h = *state;
    struct stat st;
    for (int i = 0; i < 2; i++)
        assert_int_equal(listener_open_shared(h->l, NULL, h->path, &ops[i], h, &h->in[i]), OK);
    assert_int_equal(stat(h->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_true(listener_is_lost(h->in[0]));
    assert_false(listener_is_lost(h->in[1]));
    int fd = unix_caller(h->path);
    assert_true(fd >= 0);
    some_turns(h);
    assert_int_equal(h->accepted[0], 0);
    assert_int_equal(h->accepted[1], 1);
    close(fd);
    leave(h, 0); /* the older one's end leaves the newer one's file alone */
    assert_false(listener_is_lost(h->in[1]));
    fd = unix_caller(h->path);
    assert_true(fd >= 0);
    close(fd);
}

/* The newer one ends first: the older one notices and puts itself there again. */
static void unix_socket_is_taken_back(void **state)
{
    struct hall *h = *state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(listener_open_shared(h->l, NULL, h->path, &ops[i], h, &h->in[i]), OK);
    assert_int_equal(listener_open(h->l, NULL, h->path, &ops[2], h, &h->in[2]), ERR_EXISTS);
    leave(h, 1);
    assert_true(listener_is_lost(h->in[0]));
    assert_int_equal(listener_open(h->l, NULL, h->path, &ops[2], h, &h->in[2]), OK);
    leave(h, 0);
    assert_false(listener_is_lost(h->in[2]));
    int fd = unix_caller(h->path);
    some_turns(h);
    assert_int_equal(h->accepted[2], 1);
    close(fd);
}

static void unix_socket_refused(void **state)
{
    struct hall *h = *state;
    char far[128];
    memset(far, 'x', sizeof far);
    far[0] = '/';
    far[105] = '\0'; /* fits, but not with what is put behind it for the while */
    assert_int_equal(listener_open_shared(h->l, NULL, far, &ops[0], h, &h->in[0]), ERR_RANGE);
    assert_int_equal(listener_open_shared(h->l, NULL, "/nowhere/at/all", &ops[0], h, &h->in[0]),
                     ERR_IO);
    assert_int_equal(listener_open_shared(h->l, NULL, h->dir, &ops[0], h, &h->in[0]), ERR_EXISTS);
    int fd = open(h->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    close(fd);
    assert_int_equal(listener_open_shared(h->l, NULL, h->path, &ops[0], h, &h->in[0]), ERR_EXISTS);
    assert_int_equal(unlink(h->path), 0);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(the_second_has_all),        WITH(three_of_them),
        WITH(not_with_others),           WITH(unix_socket_is_taken_over),
        WITH(unix_socket_is_taken_back), WITH(unix_socket_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
