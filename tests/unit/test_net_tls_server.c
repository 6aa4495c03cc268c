/* links: base net */
/* Listeners that serve TLS and expect PROXY headers, on loopback; and the judgement of files. */
#include "net/arrival.h"
#include "net/tls.h"
#include "net/tls_certs.h"
#include "net_certs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

static struct mint mint;

/* ---- files ----------------------------------------------------------------------------------- */

static int make_all(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    crypto_init();
    mint_open(&mint);
    static const struct coin COINS[] = {
        {.name = "good", .dns = {"localhost", "A.Example", "*.Wild.example"}},
        {.name = "second", .dns = {"second.example", "*.wild.example"}},
        {.name = "exact", .dns = {"x.wild.example"}},
        {.name = "expired", .dns = {"localhost"}, .to = "20210101000000"},
        {.name = "future", .dns = {"localhost"}, .from = "20980101000000"},
        {.name = "client", .dns = {"client"}, .client = "yes"},
        {.name = "chain", .dns = {"localhost"}, .with_root = true},
        {.name = "soon", .dns = {"localhost"}, .to = "20300101000000"},
    };
    for (size_t i = 0; i < sizeof COINS / sizeof COINS[0]; i++)
        mint_coin(&mint, &COINS[i]);
    mint_write(&mint, "garbage.pem", "this is no certificate\n", 0600);
    mint_write(&mint, "empty.pem", "", 0600);
    return 0;
}

static int free_all(void **state)
{
    (void)state;
    mint_close(&mint);
    return 0;
}

static void copy_file(const char *from, const char *to, mode_t mode)
{
    char text[16384];
    FILE *f = fopen(mint_path(&mint, from), "r");
    assert_non_null(f);
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = '\0';
    fclose(f);
    mint_write(&mint, to, text, mode);
}

static void test_files(void **state)
{
    (void)state;
    static const struct {
        const char *cert, *key;
        enum err e;
        const char *says;
    } ROWS[] = {
        {"good.pem", "good.key", OK, ""},
        {"chain.pem", "chain.key", OK, ""},
        {"none.pem", "good.key", ERR_NOTFOUND, "none.pem: cannot be read: No such file"},
        {"good.pem", "none.key", ERR_NOTFOUND, "none.key: cannot be read: No such file"},
        {"garbage.pem", "good.key", ERR_SYNTAX, "no certificate"},
        {"empty.pem", "good.key", ERR_SYNTAX, "no certificate"},
        {"good.key", "good.key", ERR_SYNTAX, "no certificate"},
        {"good.pem", "garbage.pem", ERR_SYNTAX, "no private key"},
        {"good.pem", "second.key", ERR_CERT, "does not belong to the certificate in"},
        {"expired.pem", "expired.key", ERR_CERT, "expired on 2021-01-01"},
        {"future.pem", "future.key", ERR_CERT, "not valid before 2098-01-01"},
        {"client.pem", "client.key", ERR_CERT, "not for a server"},
        {"good.pem", "open.key", ERR_DENIED, "chmod 600"},
        {"twice.pem", "good.key", ERR_CERT, "not one chain"},
    };
    char pem[16384], why[512];
    const int64_t now = INT64_C(1795262400000); /* 2026-11-21 */
    copy_file("good.key", "open.key", 0644);
    copy_file("good.pem", "twice.pem", 0644);
    FILE *f = fopen(mint_path(&mint, "twice.pem"), "a");
    FILE *more = fopen(mint_path(&mint, "second.pem"), "r");
    size_t n = fread(pem, 1, sizeof pem, more);
    assert_int_equal(fwrite(pem, 1, n, f), n);
    fclose(f);
    fclose(more);
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        struct tls_pair files = {mint_path(&mint, ROWS[i].cert), mint_path(&mint, ROWS[i].key)};
        struct cert_pair *p = NULL;
        why[0] = '\0';
        enum err e = cert_pair_load(&files, NULL, now, &mint.rng, &p, why, sizeof why);
        if (e != ROWS[i].e || strstr(why, ROWS[i].says) == NULL)
            fail_msg("%s, %s: %s: %s", ROWS[i].cert, ROWS[i].key, err_name(e), why);
        if (e == OK)
            cert_pair_unref(p);
    }
}

/* Modes of a key: ours alone; root may lend it to a group. */
static void test_modes(void **state)
{
    (void)state;
    static const struct {
        mode_t mode;
        bool fine;
    } ROWS[] = {{0600, true},  {0400, true},  {0440, true},  {0640, true}, {0644, false},
                {0604, false}, {0660, false}, {0460, false}, {0601, false}};
    char why[512];
    struct tls_pair files = {mint_path(&mint, "good.pem"), mint_path(&mint, "mode.key")};
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        struct cert_pair *p = NULL;
        copy_file("good.key", "mode.key", ROWS[i].mode);
        bool lent = (ROWS[i].mode & 077) == 040;
        bool fine = ROWS[i].fine && (!lent || geteuid() == 0);
        enum err e = cert_pair_load(&files, NULL, 1, &mint.rng, &p, why, sizeof why);
        assert_int_equal(e == ERR_DENIED, !fine); /* else: not valid before ... */
        assert_null(p);
        chmod(files.key, 0600);
    }
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int pair;
    } ROWS[] = {
        {"localhost", 0},
        {"a.example", 0},
        {"y.wild.example", 0},
        {"x.wild.example", 2},
        {"second.example", 1},
        {"wild.example", 0},
        {"a.b.wild.example", 0},
        {"third.example", 0},
        {"", 0},
        {".wild.example", 0},
        {".", 0},
        {"localhost.", 0},
    };
    char why[512];
    struct certs *c = certs_new();
    static const char *const NAMES[3][2] = {
        {"good.pem", "good.key"}, {"second.pem", "second.key"}, {"exact.pem", "exact.key"}};
    for (int i = 0; i < 3; i++) {
        struct tls_pair files = {mint_path(&mint, NAMES[i][0]), mint_path(&mint, NAMES[i][1])};
        enum err e = cert_pair_load(&files, NULL, INT64_C(1795262400000), &mint.rng,
                                    &c->pair[c->pairs], why, sizeof why);
        assert_int_equal(e, OK);
        c->pairs++;
    }
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        if (certs_pick(c, slice_of(ROWS[i].name)) != c->pair[ROWS[i].pair])
            fail_msg("%s", ROWS[i].name);
    }
    assert_int_equal(cert_pair_match(c->pair[0], S("y.wild.example")), 1);
    assert_int_equal(cert_pair_match(c->pair[0], S("a.b.wild.example")), 0);
    assert_int_equal(cert_pair_match(c->pair[0], S(".wild.example")), 0);
    assert_int_equal(cert_pair_match(c->pair[2], S("y.wild.example")), 0);
    certs_unref(c);
}

/* ---- a listener and its clients -------------------------------------------------------------- */

#define GUESTS 16
struct bench {
    struct loop *loop;
    struct listener *listener;
    struct tls_server *tls;
    struct tls_client *client;
    struct listener_options o;
    struct stream *guest[GUESTS]; /* accepted */
    struct addr peer[GUESTS];
    int guests;
    struct buf got; /* from all guests */
    struct dial *dial;
    struct stream *mine; /* the client's side */
    enum err dialled;
    const char *why;
    bool done, ended;
    int waiting_for; /* guests */
    struct timer bell;
};
static struct bench b;

static void guest_read(void *owner, struct slice bytes)
{
    (void)owner;
    assert_int_equal(buf_puts(&b.got, bytes), OK);
    loop_stop(b.loop);
}
static void guest_end(void *owner)
{
    (void)owner;
    b.ended = true;
    loop_stop(b.loop);
}
static void guest_error(void *owner, enum err e, const char *why)
{
    (void)owner;
    (void)e;
    (void)why;
    b.ended = true;
    loop_stop(b.loop);
}
static void guest_written(void *owner)
{
    (void)owner;
}
static const struct stream_ops GUEST = {.on_read = guest_read,
                                        .on_end = guest_end,
                                        .on_error = guest_error,
                                        .on_written = guest_written};

static void on_accept(void *owner, struct stream *s)
{
    (void)owner;
    assert_true(b.guests < GUESTS);
    b.peer[b.guests] = *stream_peer(s);
    b.guest[b.guests++] = s;
    stream_own(s, &GUEST, &b);
    stream_read(s, true);
    loop_stop(b.loop);
}

static void on_dialled(void *owner, enum err e, const char *why, struct stream *s)
{
    (void)owner;
    b.dial = NULL;
    b.done = true;
    b.dialled = e;
    b.why = why;
    b.mine = s;
    if (s != NULL) {
        stream_own(s, &GUEST, &b);
        stream_read(s, true);
    }
    loop_stop(b.loop);
}

static void on_bell(void *arg)
{
    (void)arg;
    loop_stop(b.loop);
}

/* One turn or more, until something has been told, or for `ms`. */
static void pass(int64_t ms)
{
    timer_set(&b.bell, loop_now(b.loop) + ms);
    loop_run(b.loop);
    timer_stop(&b.bell);
}

#define UNTIL(what)                                       \
    do {                                                  \
        int64_t end_ = loop_now_us(b.loop) + 5000000;     \
        while (!(what)) {                                 \
            if (loop_now_us(b.loop) > end_)               \
                fail_msg("waited in vain for %s", #what); \
            pass(20);                                     \
        }                                                 \
    } while (0)

static const char *tell(void)
{
    assert_int_equal(buf_append(&b.got, "", 1), OK);
    return b.got.p;
}

static void options_of(struct tls_server_options *o, struct tls_pair pair[2], const char *name)
{
    static char cert[160], key[160];
    text_format(cert, sizeof cert, "%s/%s.pem", mint.dir, name);
    text_format(key, sizeof key, "%s/%s.key", mint.dir, name);
    pair[0] = (struct tls_pair){cert, key};
    *o = (struct tls_server_options){.pair = pair, .pairs = 1};
}

/* `name` NULL: plain. */
static void bench_open(const char *name, bool proxy)
{
    static const struct listener_ops OPS = {on_accept};
    static struct cidr trusted;
    struct tls_server_options o;
    struct tls_pair pair[2];
    struct addr at;
    char why[512];
    const char *reason;
    memset(&b, 0, sizeof b);
    b.loop = loop_new();
    buf_init(&b.got, 1 << 20);
    timer_init(&b.bell, b.loop, on_bell, NULL);
    assert_int_equal(cidr_parse(S("127.0.0.0/8"), &trusted), OK);
    if (name != NULL) {
        options_of(&o, pair, name);
        assert_int_equal(tls_server_new(b.loop, &o, &b.tls, why, sizeof why), OK);
    }
    assert_int_equal(tls_client_new(mint_path(&mint, "root.pem"), NULL, &b.client, &reason), OK);
    assert_int_equal(addr_parse(S("127.0.0.1:0"), &at), OK);
    assert_int_equal(listener_open(b.loop, &at, NULL, &OPS, NULL, &b.listener), OK);
    b.o = (struct listener_options){.tls = b.tls,
                                    .proxy = proxy,
                                    .trusted = &trusted,
                                    .trusted_n = 1,
                                    .header_ms = 3000,
                                    .handshake_ms = 10000,
                                    .max_arrivals = 64};
    listener_set(b.listener, &b.o);
}

static void bench_close(void)
{
    for (int i = 0; i < b.guests; i++)
        stream_abort(b.guest[i]);
    if (b.dial != NULL)
        dial_cancel(b.dial);
    if (b.mine != NULL)
        stream_abort(b.mine);
    listener_close(b.listener);
    if (b.tls != NULL)
        tls_server_free(b.tls);
    tls_client_free(b.client);
    timer_stop(&b.bell);
    loop_run(b.loop);
    loop_free(b.loop);
    buf_free(&b.got);
}

static void dial(void)
{
    struct dial_target to = {.host = S("127.0.0.1"),
                             .port = listener_addr(b.listener)->port,
                             .tls = b.client,
                             .allow_private = true};
    /* the certificates are for names; "localhost" resolves without anybody being asked */
    to.host = S("localhost");
    b.done = false;
    b.dial = dial_start(b.loop, &to, on_dialled, NULL);
}

static void hang_up(void)
{
    stream_abort(b.mine);
    b.mine = NULL;
}

static int raw(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(listener_addr(b.listener)->port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static void put(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

/* Nothing more comes: closed by the far end. */
static bool is_closed(int fd)
{
    char c[64];
    ssize_t n = recv(fd, c, sizeof c, MSG_DONTWAIT | MSG_PEEK);
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

static struct listener_stats stats(void)
{
    struct listener_stats s;
    listener_stats_get(b.listener, &s);
    return s;
}

/* ---- handshakes ------------------------------------------------------------------------------ */

static void test_handshake(void **state)
{
    (void)state;
    struct slice hello = S("hello");
    struct tls_server_stats t;
    bench_open("good", false);
    for (int i = 0; i < 3; i++) {
        dial();
        UNTIL(b.done && b.guests == i + 1);
        assert_int_equal(b.dialled, OK);
        assert_string_equal(stream_tls_version(b.guest[i]), "TLSv1.3");
        assert_true(stream_is_tls(b.guest[i]));
        assert_true(b.peer[i].is_loopback);
        assert_int_equal(stream_write(b.mine, &hello, 1), OK);
        UNTIL(b.got.len == 5 * (size_t)(i + 1));
        assert_int_equal(stream_write(b.guest[i], &hello, 1), OK); /* brings the ticket, too */
        UNTIL(b.got.len == 5 * (size_t)(i + 1) + 5);
        buf_consume(&b.got, 5);
        hang_up();
    }
    tls_server_stats_get(b.tls, &t);
    assert_int_equal(t.handshakes, 3);
    assert_int_equal(t.resumed, 2);
    assert_int_equal(t.in_progress, 0);
    assert_int_equal(stats().arrivals, 0);
    assert_int_equal(stats().no_handshake, 0);
    bench_close();
}

static void test_not_tls(void **state)
{
    (void)state;
    struct tls_server_stats t;
    bench_open("good", false);
    int fd = raw();
    put(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    UNTIL(stats().no_handshake == 1);
    char said[16];
    UNTIL(recv(fd, said, sizeof said, MSG_DONTWAIT | MSG_PEEK) > 0);
    assert_int_equal(recv(fd, said, sizeof said, 0), 7);
    assert_memory_equal(said, "\x15\x03\x03\x00\x02\x02\x0a", 7); /* an alert, and why */
    assert_int_equal(recv(fd, said, 1, 0), 0); /* a proper end: it is not lost to a reset */
    assert_int_equal(tls_server_slots(b.tls)->taken_n, 0);
    close(fd);
    /* one that hangs up at once is nobody's fault */
    close(raw());
    UNTIL(stats().no_handshake == 2);
    tls_server_stats_get(b.tls, &t);
    assert_int_equal(t.refused, 2);
    assert_int_equal(t.in_progress, 0);
    assert_int_equal(b.guests, 0);
    bench_close();
}

static void test_deadline(void **state)
{
    (void)state;
    bench_open("good", false);
    b.o.handshake_ms = 30;
    listener_set(b.listener, &b.o);
    int fd = raw();
    put(fd, "\x16\x03\x01"); /* the beginning of a hello, and nothing more */
    UNTIL(stats().arrivals == 1);
    UNTIL(is_closed(fd));
    assert_int_equal(stats().no_handshake, 1);
    assert_int_equal(stats().arrivals, 0);
    assert_int_equal(b.guests, 0);
    close(fd);
    bench_close();
}

/* What our own client opens a handshake with. */
static char hail[4096];
static size_t hail_n;

static void hello_learn(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(door, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(door, 1), 0);
    assert_int_equal(getsockname(door, (struct sockaddr *)&at, &len), 0);
    struct dial_target to = {
        .host = S("localhost"), .port = ntohs(at.sin_port), .tls = b.client, .allow_private = true};
    struct dial *d = dial_start(b.loop, &to, on_dialled, NULL);
    int fd;
    UNTIL((fd = accept(door, NULL, NULL)) >= 0);
    ssize_t n;
    UNTIL((n = recv(fd, hail, sizeof hail, MSG_DONTWAIT)) > 0);
    hail_n = (size_t)n;
    assert_true(hail[0] == 22 && hail_n > 100);
    dial_cancel(d);
    close(fd);
    close(door);
}

static void put_hello(int fd, size_t from, size_t to)
{
    assert_int_equal(send(fd, hail + from, to - from, 0), (ssize_t)(to - from));
}

/* Two places, taken by peers that do not answer: who comes later waits until they have had their
 * time, then the oldest goes. Who has yet to say hello takes none. */
static void test_slots(void **state)
{
    (void)state;
    bench_open("good", false);
    hello_learn();
    struct tls_slots *slots = tls_server_slots(b.tls);
    slots->most = 2;
    slots->patience_ms = 250; /* time enough to see who waits, on a busy machine too */
    int mute[2] = {raw(), raw()};
    put_hello(mute[1], 0, hail_n - 1);
    UNTIL(stats().arrivals == 2);
    int silent[2] = {raw(), raw()};
    int64_t from = loop_now(b.loop);
    put_hello(silent[0], 0, hail_n);
    UNTIL(slots->taken_n == 1);
    put_hello(silent[1], 0, hail_n);
    UNTIL(slots->taken_n == 2);
    dial();
    UNTIL(slots->waiting_n == 1);
    assert_int_equal(slots->taken_n, 2);
    UNTIL(b.done);
    assert_int_equal(b.dialled, OK);
    assert_true(loop_now(b.loop) - from >= 250);
    assert_int_equal(stats().crowded, 1);
    assert_false(is_closed(mute[0]));
    for (int i = 0; i < 2; i++) {
        close(mute[i]);
        close(silent[i]);
    }
    bench_close();
}

/* Who hangs up while waiting for a place does not go on waiting. */
static void test_gives_up(void **state)
{
    (void)state;
    struct linger now = {.l_onoff = 1};
    bench_open("good", false);
    hello_learn();
    struct tls_slots *slots = tls_server_slots(b.tls);
    slots->most = 1;
    int silent = raw();
    put_hello(silent, 0, hail_n);
    UNTIL(slots->taken_n == 1);
    for (int i = 0; i < 10; i++) {
        int fd = raw();
        put_hello(fd, 0, hail_n);
        UNTIL(slots->waiting_n == 1);
        if (i % 2 > 0)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(fd);
        UNTIL(slots->waiting_n == 0);
        assert_int_equal(stats().arrivals, 1);
        assert_int_equal(stats().no_handshake, i + 1);
    }
    close(silent);
    bench_close();
}

/* However a hello drips, it begins the handshake when it is whole, and not before. */
static void test_dripping_hello(void **state)
{
    (void)state;
    char answer[64];
    bench_open("good", false);
    hello_learn();
    struct tls_slots *slots = tls_server_slots(b.tls);
    int fd = raw();
    for (size_t i = 0; i < hail_n; i++) {
        assert_int_equal(slots->taken_n, 0);
        put_hello(fd, i, i + 1);
        if (i < 20 || i + 20 > hail_n)
            pass(1);
    }
    UNTIL(recv(fd, answer, sizeof answer, MSG_DONTWAIT | MSG_PEEK) > 5);
    assert_int_equal(answer[0], 22); /* a server hello */
    assert_int_equal(slots->taken_n, 1);
    close(fd);
    UNTIL(stats().arrivals == 0);
    /* half of it, and the end: gone at once, without a place and without a word */
    for (size_t cut = 0; cut < 40; cut += 3) {
        fd = raw();
        if (cut > 0)
            put_hello(fd, 0, cut);
        pass(1);
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        UNTIL(is_closed(fd));
        assert_int_equal(stats().arrivals, 0);
        close(fd);
    }
    bench_close();
}

/* The porch is full of peers that say nothing: newcomers wait in the kernel's queue, then one of
 * them goes. */
static void test_crowded(void **state)
{
    (void)state;
    bench_open("good", false);
    b.o.max_arrivals = 2;
    listener_set(b.listener, &b.o);
    int silent[2] = {raw(), raw()};
    UNTIL(stats().arrivals == 2);
    dial();
    UNTIL(b.done);
    assert_int_equal(b.dialled, OK);
    assert_int_equal(stats().crowded, 1);
    assert_true(is_closed(silent[0]));
    close(silent[0]);
    close(silent[1]);
    bench_close();
}

static void test_paused(void **state)
{
    (void)state;
    bench_open("good", false);
    dial();
    UNTIL(stats().arrivals == 1);
    listener_pause(b.listener, true);
    UNTIL(b.done);
    assert_int_equal(b.dialled, OK); /* as far as the client can tell */
    UNTIL(tls_server_slots(b.tls)->taken_n == 0);
    assert_int_equal(b.guests, 0);
    assert_int_equal(stats().arrivals, 1);
    listener_pause(b.listener, false);
    UNTIL(b.guests == 1);
    assert_int_equal(stats().arrivals, 0);
    bench_close();
}

/* A listener that closes takes along who is on its porch, in every state. */
static void test_close(void **state)
{
    (void)state;
    bench_open("good", false);
    hello_learn();
    tls_server_slots(b.tls)->most = 2;
    int fd[4];
    for (int i = 0; i < 4; i++) {
        fd[i] = raw();
        put_hello(fd[i], 0, i == 0 ? 3 : hail_n);
    }
    UNTIL(stats().arrivals == 4);
    UNTIL(tls_server_slots(b.tls)->taken_n == 2);
    dial();
    UNTIL(stats().arrivals == 5);
    bench_close();
    for (int i = 0; i < 4; i++) {
        char answer[4096];
        while (recv(fd[i], answer, sizeof answer, MSG_DONTWAIT) > 0)
            ; /* what was said before */
        assert_true(is_closed(fd[i]));
        close(fd[i]);
    }
    bench_open("good", true);
    fd[0] = raw();
    put(fd[0], "PROXY");
    fd[1] = raw();
    put(fd[1], "PROXY UNKNOWN\r\n\x16\x03\x01\x40");
    UNTIL(stats().arrivals == 2);
    pass(20);
    bench_close();
    close(fd[0]);
    close(fd[1]);
}

/* Peers that vanish while a thread computes their handshake, and a listener that closes then: the
 * thread keeps what it works on for as long as it does. */
static void test_vanish(void **state)
{
    (void)state;
    struct linger now = {.l_onoff = 1};
    for (int how = 0; how < 3; how++) {
        bench_open("good", false);
        hello_learn();
        struct tls_server_stats t;
        for (int i = 0; i < 60; i++) {
            int fd = raw();
            put_hello(fd, 0, hail_n);
            if (i % 3 > 0) /* else it is seen with the hello */
                pass(1);
            if (i % 2 > 0)
                setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
            close(fd);
        }
        if (how == 0) { /* all of them end by themselves, and a good one is served */
            dial();
            UNTIL(b.done && b.guests == 1);
            UNTIL(stats().arrivals == 0);
            tls_server_stats_get(b.tls, &t);
            assert_int_equal(t.in_progress + t.waiting, 0);
            assert_int_equal(t.handshakes, 1);
        } else if (how == 1) {
            UNTIL(stats().arrivals > 0);
        }
        bench_close();
    }
}

/* ---- reload ---------------------------------------------------------------------------------- */

static int64_t expires(void)
{
    struct tls_cert_info x;
    assert_true(tls_server_cert(b.tls, 0, &x));
    assert_false(tls_server_cert(b.tls, 1, &x));
    return x.expires_at;
}

static void test_reload(void **state)
{
    (void)state;
    char why[512] = "";
    copy_file("good.pem", "live.pem", 0644);
    copy_file("good.key", "live.key", 0600);
    bench_open("live", false);
    int64_t first = expires();
    dial();
    UNTIL(b.done && b.guests == 1);
    struct stream *old = b.mine;
    assert_int_equal(tls_server_reload(b.tls, NULL, why, sizeof why), OK);
    assert_true(expires() == first);
    /* a bad pair: the certificate is new, the key is not */
    copy_file("soon.pem", "live.pem", 0644);
    assert_int_equal(tls_server_reload(b.tls, NULL, why, sizeof why), ERR_CONFLICT);
    assert_non_null(strstr(why, "live.key: this key does not belong"));
    assert_non_null(strstr(why, "the one in force stays"));
    assert_true(expires() == first);
    copy_file("soon.key", "live.key", 0600);
    assert_int_equal(tls_server_reload(b.tls, NULL, why, sizeof why), OK);
    assert_true(expires() == INT64_C(1893456000000)); /* 2030-01-01 */
    copy_file("expired.pem", "live.pem", 0644);
    copy_file("expired.key", "live.key", 0600);
    assert_int_equal(tls_server_reload(b.tls, NULL, why, sizeof why), ERR_CONFLICT);
    assert_non_null(strstr(why, "expired on 2021-01-01"));
    assert_true(expires() == INT64_C(1893456000000));
    /* the connection from before lives on */
    struct slice hello = S("still here");
    assert_int_equal(stream_write(old, &hello, 1), OK);
    UNTIL(b.got.len == hello.n);
    b.mine = NULL;
    dial();
    UNTIL(b.done && b.guests == 2);
    assert_int_equal(b.dialled, OK);
    stream_abort(old);
    /* other files, of which one cannot be had: nothing changes */
    struct tls_server_options o;
    struct tls_pair pair[2];
    options_of(&o, pair, "good");
    o.pairs = 2;
    pair[1] = (struct tls_pair){"/nowhere/x.pem", "/nowhere/x.key"};
    assert_int_equal(tls_server_reload(b.tls, &o, why, sizeof why), ERR_NOTFOUND);
    assert_non_null(strstr(why, "/nowhere/x.pem"));
    assert_true(expires() == INT64_C(1893456000000));
    o.pairs = 1;
    assert_int_equal(tls_server_reload(b.tls, &o, why, sizeof why), OK);
    assert_true(expires() == first);
    bench_close();
}

/* Nobody has to say that a file has changed. */
static void test_watch(void **state)
{
    (void)state;
    copy_file("good.pem", "seen.pem", 0644);
    copy_file("good.key", "seen.key", 0600);
    bench_open("seen", false);
    int64_t first = expires();
    tls_server_look(b.tls);
    assert_true(expires() == first);
    copy_file("soon.pem", "seen.pem", 0644);
    tls_server_look(b.tls); /* half way: the key is still the old one */
    assert_true(expires() == first);
    copy_file("soon.key", "seen.key", 0600);
    tls_server_look(b.tls);
    assert_true(expires() == INT64_C(1893456000000));
    unlink(mint_path(&mint, "seen.pem"));
    tls_server_look(b.tls);
    assert_true(expires() == INT64_C(1893456000000));
    bench_close();
}

static void test_start_refused(void **state)
{
    (void)state;
    struct tls_server_options o;
    struct tls_pair pair[2];
    struct tls_server *t;
    char why[512];
    struct loop *l = loop_new();
    options_of(&o, pair, "expired");
    assert_int_equal(tls_server_new(l, &o, &t, why, sizeof why), ERR_CERT);
    assert_non_null(strstr(why, "expired.pem: the certificate expired on 2021-01-01"));
    assert_null(strstr(why, "stays"));
    options_of(&o, pair, "good");
    o.client_auth = TLS_CLIENT_REQUIRED;
    o.client_ca = mint_path(&mint, "garbage.pem");
    assert_int_equal(tls_server_new(l, &o, &t, why, sizeof why), ERR_SYNTAX);
    loop_run(l);
    loop_free(l);
}

/* From one day to the next clients need certificates: no ticket from before helps. */
static void test_no_ticket_past_auth(void **state)
{
    (void)state;
    struct tls_server_options o;
    struct tls_pair pair[2];
    struct tls_server_stats t;
    char why[512];
    struct slice hello = S("hello");
    bench_open("good", false);
    dial();
    UNTIL(b.done && b.guests == 1);
    assert_int_equal(stream_write(b.guest[0], &hello, 1), OK);
    UNTIL(b.got.len == 5);
    hang_up();
    options_of(&o, pair, "good");
    o.client_auth = TLS_CLIENT_REQUIRED;
    o.client_ca = mint_path(&mint, "root.pem");
    assert_int_equal(tls_server_reload(b.tls, &o, why, sizeof why), OK);
    dial();
    UNTIL(stats().no_handshake == 1);
    assert_int_equal(b.guests, 1);
    tls_server_stats_get(b.tls, &t);
    assert_int_equal(t.resumed, 0);
    bench_close();
}

/* ---- PROXY ----------------------------------------------------------------------------------- */

static void test_proxy(void **state)
{
    (void)state;
    bench_open(NULL, true);
    int fd = raw();
    put(fd, "PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\nGET ");
    UNTIL(b.guests == 1 && b.got.len == 4);
    assert_string_equal(tell(), "GET ");
    assert_string_equal(b.peer[0].text, "192.0.2.7:4711");
    assert_false(b.peer[0].is_loopback);
    buf_clear(&b.got);
    put(fd, "more");
    UNTIL(b.got.len == 4);
    /* byte by byte */
    int slow = raw();
    static const char LINE[] = "PROXY TCP6 2001:db8::9 ::1 1 2\r\n";
    for (size_t i = 0; i + 1 < sizeof LINE; i++) {
        assert_int_equal(send(slow, LINE + i, 1, 0), 1);
        pass(1);
    }
    UNTIL(b.guests == 2);
    assert_string_equal(b.peer[1].text, "[2001:db8::9]:1");
    /* nobody becomes this machine by saying so; and the balancer itself is not it, either */
    int liar = raw(), check = raw();
    put(liar, "PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n");
    UNTIL(b.guests == 3);
    assert_false(b.peer[2].is_loopback);
    put(check, "PROXY UNKNOWN\r\n");
    UNTIL(b.guests == 4);
    assert_true(slice_starts(slice_of(b.peer[3].text), S("127.0.0.1:")));
    assert_false(b.peer[3].is_loopback);
    close(fd);
    close(slow);
    close(liar);
    close(check);
    bench_close();
}

static void test_proxy_refused(void **state)
{
    (void)state;
    bench_open(NULL, true);
    b.o.header_ms = 40;
    listener_set(b.listener, &b.o);
    int fd = raw();
    put(fd, "GET / HTTP/1.1\r\n\r\n");
    UNTIL(stats().bad_header == 1);
    UNTIL(is_closed(fd));
    close(fd);
    fd = raw(); /* says nothing */
    UNTIL(is_closed(fd));
    assert_int_equal(stats().bad_header, 2);
    close(fd);
    struct cidr other;
    assert_int_equal(cidr_parse(S("192.0.2.0/24"), &other), OK);
    b.o.trusted = &other;
    listener_set(b.listener, &b.o);
    fd = raw();
    put(fd, "PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n");
    UNTIL(stats().untrusted == 1);
    UNTIL(is_closed(fd));
    assert_int_equal(b.guests, 0);
    assert_int_equal(stats().arrivals, 0);
    close(fd);
    bench_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_handshake),
        cmocka_unit_test(test_not_tls),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_dripping_hello),
        cmocka_unit_test(test_gives_up),
        cmocka_unit_test(test_vanish),
        cmocka_unit_test(test_crowded),
        cmocka_unit_test(test_paused),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_start_refused),
        cmocka_unit_test(test_no_ticket_past_auth),
        cmocka_unit_test(test_proxy),
        cmocka_unit_test(test_proxy_refused),
    };
    return cmocka_run_group_tests(tests, make_all, free_all);
}
