/* links: base config netcore net app */
/* Handing over, with a partner that does not keep to the rules; and sockets of a service manager.
 */
#include "app_given.h"
#include "app_handover.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define HELLO "sluice-handover 1\n"

static char dir[64];
static pid_t child;

static int set_up(void **state)
{
    (void)state;
    text_copy(dir, sizeof dir, S("/tmp/test-handover-XXXXXX"));
    assert_non_null(mkdtemp(dir));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(rmdir(dir), 0); /* nothing was left in it */
    return 0;
}

static int listening(bool loopback)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    at.sin_addr.s_addr = htonl(loopback ? INADDR_LOOPBACK : INADDR_ANY);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static int descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    int n = 0;
    assert_non_null(d);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

/* ---- a gateway that is asked, and what it says ------------------------------------------------
 */

struct say {
    const char *text; /* NULL: it connects and leaves */
    int listeners, others;
    bool in_pieces;
    enum err refuses;
};

static void send_fds(int to, const char *text, size_t n, const int *fd, int fds)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(64 * sizeof(int))];
    } control;
    memset(&control, 0, sizeof control);
    struct iovec v = {.iov_base = (char *)(uintptr_t)text, .iov_len = n};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    if (fds > 0) {
        m.msg_control = &control;
        m.msg_controllen = CMSG_SPACE((size_t)fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN((size_t)fds * sizeof(int));
        memcpy(CMSG_DATA(c), fd, (size_t)fds * sizeof(int));
    }
    (void)sendmsg(to, &m, MSG_NOSIGNAL);
}

static void speak(const struct say *s, const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd[64], n = 0;
    text_format(at.sun_path, sizeof at.sun_path, "%s/%s", dir, name);
    int to = socket(AF_UNIX, SOCK_STREAM, 0);
    if (to < 0 || connect(to, (const struct sockaddr *)&at, sizeof at) != 0)
        _exit(1);
    for (int i = 0; i < s->listeners; i++)
        fd[n++] = listening(true);
    for (int i = 0; i < s->others; i++)
        fd[n++] = open("/dev/null", O_RDWR);
    size_t all = s->text == NULL ? 0 : strlen(s->text);
    for (size_t i = 0; s->in_pieces && i < all; i++)
        send_fds(to, s->text + i, 1, fd, i == 0 ? n : 0);
    if (!s->in_pieces && all > 0)
        send_fds(to, s->text, all, fd, n);
    char word[16];
    if (s->text != NULL && slice_ends(slice_of(s->text), S("end\n")))
        (void)!read(to, word, sizeof word); /* "serving", or its end */
    _exit(0);
}

static enum err on_ask(void *arg, const char *socket, char *why, size_t size)
{
    const struct say *s = arg;
    assert_true(handover_name_is_good(socket));
    if (s->refuses != OK) {
        text_copy(why, size, S("not now"));
        return s->refuses;
    }
    fflush(NULL);
    child = fork();
    if (child == 0)
        speak(s, socket);
    return OK;
}

static enum err take(const struct say *s, struct handover *h, char why[256])
{
    int status;
    child = 0;
    why[0] = '\0';
    enum err e = handover_take(h, dir, on_ask, (void *)(uintptr_t)s, why, 256);
    if (child > 0 && e != OK)
        assert_int_equal(waitpid(child, &status, 0), child);
    return e;
}

static void a_whole_parcel(void **state)
{
    struct say s = {.text = HELLO
                    "listen 127.0.0.1:0\nlisten fd:web\nstdout\nstderr\n"
                    "watchdog 30000000\nnotify /run/systemd/notify\nlater words\nend\n",
                    .listeners = 2,
                    .others = 2};
    struct handover h;
    char why[256];
    (void)state;
    for (int pieces = 0; pieces < 2; pieces++) {
        int before = descriptors();
        s.in_pieces = pieces == 1;
        assert_int_equal(take(&s, &h, why), OK);
        assert_int_equal(h.pid, child);
        assert_int_equal(h.given.n, 2);
        assert_string_equal(h.given.socket[1].name, "fd:web");
        assert_true(h.given.socket[0].addr.is_loopback && h.given.socket[0].addr.port > 0);
        assert_true(h.out >= 0 && h.err >= 0);
        assert_int_equal(h.manager.watchdog_us, 30000000);
        assert_string_equal(h.manager.socket, "/run/systemd/notify");
        for (int i = 0; i < 2; i++) /* none goes to a program that is run */
            assert_true(fcntl(h.given.socket[i].fd, F_GETFD) & FD_CLOEXEC);
        assert_true((fcntl(h.out, F_GETFD) & FD_CLOEXEC) && (fcntl(h.link, F_GETFD) & FD_CLOEXEC));
        assert_int_equal(handover_serving(&h), ERR_BUSY); /* it has ended, and not said "yours" */
        handover_close(&h);
        handover_close(&h);
        assert_int_equal(waitpid(child, NULL, 0), child);
        assert_int_equal(descriptors(), before);
    }
}

static void parcels_that_are_none(void **state)
{
    static char endless[9000];
    memset(endless, 'x', sizeof endless - 1);
    const struct say all[] = {
        {.text = NULL},
        {.text = "sluice-handover 2\nend\n"},
        {.text = "\nend\n"},
        {.text = HELLO "end\n"},
        {.text = HELLO "listen 127.0.0.1:0\nend\n"},              /* and no descriptor */
        {.text = HELLO "listen 127.0.0.1:0\nend\n", .others = 1}, /* no socket */
        {.text = HELLO "listen a\nlisten b\nend\n", .listeners = 1},
        {.text = HELLO "stdout\nend\n"},
        {.text = HELLO "listen a\nwatchdog much\nend\n", .listeners = 1},
        {.text = HELLO "listen a\nwatchdog 99999999999999999999\nend\n", .listeners = 1},
        {.text = HELLO "listen a\n", .listeners = 1}, /* broken off */
        {.text = endless},
        {.text = endless, .listeners = 3, .others = 3},
        {.refuses = ERR_CONFLICT},
        {.refuses = ERR_NOTFOUND},
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct handover h;
        char why[256];
        int before = descriptors();
        assert_int_not_equal(take(&all[i], &h, why), OK);
        assert_true(strlen(why) > 5);
        assert_true(h.link == -1 && h.out == -1 && h.err == -1);
        assert_int_equal(descriptors(), before);
    }
}

static void more_descriptors_than_said(void **state)
{
    const struct say s = {.text = HELLO "listen a\nend\n", .listeners = 1, .others = 40};
    struct handover h;
    char why[256];
    int before = descriptors();
    (void)state;
    assert_int_equal(take(&s, &h, why), OK);
    assert_int_equal(h.given.n, 1);
    handover_close(&h);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(descriptors(), before); /* those that nobody asked for are closed */
}

static void a_name_of_a_socket(void **state)
{
    static const char *const bad[] = {"",  "sluice.take.",     "sluice.take.x", "sluice.take.1/..",
                                      ".", "../sluice.take.1", "sluice.sock",   "sluice.take.-1"};
    (void)state;
    assert_true(handover_name_is_good("sluice.take.1"));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(handover_name_is_good(bad[i]));
}

/* ---- the giver --------------------------------------------------------------------------------
 */

struct told {
    struct loop *l;
    int n;
    enum err e;
    int64_t pid;
};

static void on_told(void *arg, enum err e, int64_t pid)
{
    struct told *t = arg;
    t->n++;
    t->e = e;
    t->pid = pid;
    loop_stop(t->l);
}

static void a_taker_that_serves_and_one_that_dies(void **state)
{
    struct app_manager m = {.socket = "/run/n", .watchdog_us = 5};
    struct handover_give g;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    (void)state;
    app_manager_use(&m);
    for (int dies = 0; dies < 2; dies++) {
        struct told t = {.l = loop_new()};
        struct handover_gift gift = {.name = {"127.0.0.1:0"}, .n = 1};
        gift.fd[0] = listening(true);
        handover_give_init(&g, t.l, on_told, &t);
        assert_int_equal(handover_give(&g, dir, "sluice.sock", &gift), ERR_SYNTAX);
        assert_int_equal(handover_give(&g, dir, "sluice.take.7", &gift), ERR_CONNECT);
        text_format(at.sun_path, sizeof at.sun_path, "%s/sluice.take.7", dir);
        int door = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_int_equal(bind(door, (const struct sockaddr *)&at, sizeof at), 0);
        assert_int_equal(listen(door, 1), 0);
        assert_int_equal(handover_give(&g, dir, "sluice.take.7", &gift), OK);
        int taker = accept(door, NULL, NULL);
        char got[512];
        ssize_t n = read(taker, got, sizeof got - 1);
        assert_true(n > 0);
        got[n] = '\0';
        assert_true(slice_starts(slice_of(got), S(HELLO "listen 127.0.0.1:0\nstdout\nstderr\n")));
        assert_non_null(strstr(got, "watchdog 5\nnotify /run/n\nend\n"));
        if (dies == 1)
            close(taker);
        else
            assert_int_equal(write(taker, "serving\n", 8), 8);
        loop_run(t.l);
        assert_int_equal(t.n, 1);
        assert_int_equal(t.e, dies == 1 ? ERR_EOF : OK);
        assert_int_equal(t.pid, getpid());
        handover_give_yield(&g);
        if (dies == 0) {
            assert_int_equal(read(taker, got, sizeof got), 6);
            close(taker);
        }
        handover_give_stop(&g);
        handover_give_stop(&g);
        close(gift.fd[0]);
        close(door);
        assert_int_equal(unlink(at.sun_path), 0);
        loop_free(t.l);
    }
}

/* ---- a service manager's sockets --------------------------------------------------------------
 */

static void config_of(const char *listen, struct config **out)
{
    const struct config_flag flags[] = {
        {"state-dir", "/nonexistent"}, {"listen", listen}, {"allow-public-listen", "true"}};
    struct config_error e;
    if (config_load(NULL, flags, 3, out, &e) != OK)
        fail_msg("%s", e.text);
}

static void sockets_are_found_by_name_or_address(void **state)
{
    struct given g = {.managed = true};
    struct config *c;
    struct config_listen l;
    char why[256], text[64];
    int fd = listening(true), any = listening(false);
    (void)state;
    assert_int_equal(given_add(&g, S("web"), fd, why, sizeof why), OK);
    assert_int_equal(given_add(&g, S(""), any, why, sizeof why), OK);
    assert_int_equal(given_add(&g, S("x"), open("/dev/null", O_RDONLY), why, sizeof why),
                     ERR_SYNTAX);
    assert_non_null(strstr(why, "no TCP socket that listens"));
    given_names(&g, text, sizeof text);
    assert_string_equal(text, "web, (no name)");
    text_format(text, sizeof text, "0.0.0.0:%u,fd:web,127.0.0.1:%u,fd:x,127.0.0.1:1",
                g.socket[1].addr.port, g.socket[0].addr.port);
    config_of(text, &c);
    struct given_socket *want[] = {&g.socket[1], &g.socket[0], &g.socket[0], NULL, NULL};
    for (int i = 0; i < 5; i++) {
        config_listen_at(c, i, &l);
        assert_ptr_equal(given_find(&g, &l), want[i]);
    }
    assert_ptr_equal(given_left(&g), &g.socket[0]);
    g.socket[0].fd = -1; /* taken: not found again */
    config_listen_at(c, 1, &l);
    assert_null(given_find(&g, &l));
    assert_ptr_equal(given_left(&g), &g.socket[1]);
    given_close(&g);
    assert_null(given_left(&g));
    close(fd);
    config_free(c);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    crypto_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_whole_parcel, set_up, tear_down),
        cmocka_unit_test_setup_teardown(parcels_that_are_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_descriptors_than_said, set_up, tear_down),
        cmocka_unit_test(a_name_of_a_socket),
        cmocka_unit_test_setup_teardown(a_taker_that_serves_and_one_that_dies, set_up, tear_down),
        cmocka_unit_test(sockets_are_found_by_name_or_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
