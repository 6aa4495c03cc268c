/* bench_load NAME=VALUE...: clients on loopback, in one thread, and what they see.
 *
 *   pace=closed   each client sends its next request when it has the answer to the one before
 *   pace=open     rate= requests a second begin at their planned times, whether or not those before
 *                 are answered; latency counts from the planned time, so nothing slow is omitted
 *   pace=held     each client opens one stream; measured from when all have had an event
 *   pace=shake    rate= new connections a second (0: clients= at a time, as fast as it goes), each
 *                 a TLS handshake and no more; latency is that of the handshake
 *
 *   port= clients= warm_ms= run_ms=   how many, how long it warms up, how long it measures
 *   requests=N                        so many instead of for a time: for counting instructions
 *   tls=1                             see wire.h
 *   pids=1,2                          whose CPU time and resident memory is told beside it
 *   body= reply= dialect= key=        the request: see request.c
 *
 * Prints "holding N" when measuring begins, and one line of JSON at its end (times in us). */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum step { STEP_IDLE, STEP_SHAKE, STEP_SEND, STEP_HEAD, STEP_BODY, STEP_DEAD };

struct client {
    struct wire wire;
    enum step step;
    bool open, closing; /* the peer will end the connection after this answer */
    bool shaken;
    long events, served;
    int64_t begun_at; /* open loop: when it was planned */
    size_t written;   /* of the request */
    char head[4096];
    size_t head_n;
    long left;    /* of a body with a length; -1: chunked */
    char tail[5]; /* the last bytes of a chunked body */
    int digits;   /* of a stamp that is being read; -1: none */
    int64_t stamp;
    struct client *idle_next;
};
static struct client *clients, *idle;
static int ep, timer, started, flying;
static long quota = LONG_MAX; /* requests that may still begin */
static int64_t planned;       /* open loop: when the next one is due */

static bool measuring(void)
{
    return watch.begin != 0 && watch.end == 0;
}

/* ---- one client ------------------------------------------------------------------------------ */

static void client_begin(struct client *c);
static void client_send(struct client *c);

static void client_fail(struct client *c, const char *why)
{
    if (watch.errors++ == 0)
        fprintf(stderr, "bench_load: %s: %s\n", why, strerror(errno));
    wire_close(&c->wire);
    c->open = false;
    c->step = STEP_DEAD;
    flying--;
}

static void client_connect(struct client *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)wish.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    /* many local addresses, so that ports do not run out */
    long i = c - clients;
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(0x7f000001u + (uint32_t)(i / 16000))};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || (i >= 16000 && bind(fd, (struct sockaddr *)&from, sizeof from) != 0) ||
        connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        die("bench_load: connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    wire_open(&c->wire, fd, wish.tls, false);
    c->open = true;
    c->shaken = false;
    c->closing = false;
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
}

static void client_begin_at(struct client *c, int64_t at)
{
    c->begun_at = at;
    c->head_n = 0;
    c->left = 0;
    c->written = 0;
    c->digits = -1;
    memset(c->tail, 0, sizeof c->tail);
    if (!c->open)
        client_connect(c);
    c->step = c->shaken ? STEP_SEND : STEP_SHAKE;
    flying++;
    client_send(c); /* what comes back is read in a later turn */
}

static void client_begin(struct client *c)
{
    if (quota == 0 || watch.end != 0) {
        c->step = STEP_IDLE;
        return;
    }
    quota--;
    client_begin_at(c, now_us());
}

static void client_rest(struct client *c)
{
    flying--;
    c->step = STEP_IDLE;
    if (wish.pace == PACE_CLOSED || (wish.pace == PACE_SHAKE && wish.rate <= 0)) {
        client_begin(c);
        return;
    }
    c->idle_next = idle;
    idle = c;
}

static void client_answered(struct client *c)
{
    if (measuring() || (wish.pace == PACE_OPEN && watch.end != 0)) {
        if (c->begun_at >= watch.begin && (watch.end == 0 || c->begun_at < watch.end))
            seen_add(SERIES_LATENCY, now_us() - c->begun_at);
        watch.answers += measuring();
    }
    if (c->closing) {
        wire_close(&c->wire);
        c->open = false;
    }
    c->served++;
    client_rest(c);
}

/* ---- what a client reads --------------------------------------------------------------------- */

static void keep_tail(struct client *c, const char *p, size_t n)
{
    if (n >= 5) {
        memcpy(c->tail, p + n - 5, 5);
    } else {
        memmove(c->tail, c->tail + n, 5 - n);
        memcpy(c->tail + 5 - n, p, n);
    }
}

/* Each '@' is followed by the time its event was written at. */
static void read_stamps(struct client *c, const char *p, size_t n)
{
    const char *end = p + n;
    int64_t now = now_us();
    while (p < end) {
        if (c->digits < 0) {
            p = memchr(p, '@', (size_t)(end - p));
            if (p == NULL)
                return;
            p++;
            c->digits = 0;
            c->stamp = 0;
            continue;
        }
        c->stamp = c->stamp * 10 + (*p++ - '0');
        if (++c->digits < STAMP_DIGITS)
            continue;
        c->digits = -1;
        c->events++;
        if (!measuring() || c->stamp < watch.begin)
            continue;
        /* of a burst some, evenly: there are millions */
        if (watch.events++ % (wish.pace == PACE_HELD ? 1 : 7) == 0)
            seen_add(SERIES_DELAY, now - c->stamp);
    }
}

static void on_body(struct client *c, const char *p, size_t n)
{
    if (c->left >= 0) {
        c->left -= (long)n;
        if (c->left <= 0)
            client_answered(c);
        return;
    }
    read_stamps(c, p, n);
    keep_tail(c, p, n);
    if (memcmp(c->tail, "0\r\n\r\n", 5) == 0)
        client_answered(c);
}

static void on_head(struct client *c, const char *p, size_t n)
{
    size_t room = sizeof c->head - c->head_n, take = n < room ? n : room;
    memcpy(c->head + c->head_n, p, take);
    size_t before = c->head_n;
    c->head_n += take;
    size_t head = head_length(c->head, c->head_n);
    if (head == 0)
        return;
    if (strncmp(c->head, "HTTP/1.1 200", 12) != 0) {
        if (watch.errors == 0)
            fprintf(stderr, "bench_load: %.*s\n", (int)c->head_n, c->head);
        client_fail(c, "not the answer that was wanted");
        return;
    }
    const char *length = head_find(c->head, head, "content-length");
    const char *connection = head_find(c->head, head, "connection");
    c->left = length != NULL ? strtol(length, NULL, 10) : -1;
    c->closing = connection != NULL && strncasecmp(connection, "close", 5) == 0;
    c->step = STEP_BODY;
    if (n > head - before)
        on_body(c, p + (head - before), n - (head - before));
}

static void client_read(struct client *c)
{
    static char in[1 << 18];
    ssize_t r;
    long served = c->served;
    do { /* the next answer waits for its turn: nobody may keep us to himself */
        r = wire_read(&c->wire, in, sizeof in);
        if (r > 0 && c->step == STEP_HEAD)
            on_head(c, in, (size_t)r);
        else if (r > 0 && c->step == STEP_BODY)
            on_body(c, in, (size_t)r);
        if (c->served != served)
            return;
    } while (r > 0 && c->open && (c->step == STEP_HEAD || c->step == STEP_BODY));
    if (c->open && (r == 0 || (r < 0 && errno != EAGAIN))) {
        if (c->step == STEP_IDLE) { /* kept by us, given up by the peer */
            wire_close(&c->wire);
            c->open = false;
        } else {
            client_fail(c, r == 0 ? "the connection ended early" : "read");
        }
    }
}

/* A new connection is up; where handshakes are what is measured it has done its work. */
static void client_shake(struct client *c)
{
    int r = wire_shake(&c->wire);
    if (r < 0)
        client_fail(c, "handshake");
    if (r <= 0)
        return;
    c->shaken = true;
    c->step = STEP_SEND;
    if (wish.pace == PACE_SHAKE) {
        if (measuring() && c->begun_at >= watch.begin)
            seen_add(SERIES_LATENCY, now_us() - c->begun_at);
        watch.answers += measuring();
        wire_finish(&c->wire);
        wire_close(&c->wire);
        c->open = false;
        client_rest(c);
    }
}

static void client_send(struct client *c)
{
    if (c->step == STEP_SHAKE)
        client_shake(c);
    while (c->step == STEP_SEND) {
        ssize_t w = wire_write(&c->wire, request + c->written, request_n - c->written);
        if (w > 0)
            c->written += (size_t)w;
        else if (w < 0 && errno == EAGAIN)
            break;
        else
            client_fail(c, "write");
        if (c->step == STEP_SEND && c->written == request_n)
            c->step = STEP_HEAD;
    }
}

static void client_turn(struct client *c)
{
    client_send(c);
    if (c->open && c->step != STEP_SEND && c->step != STEP_SHAKE)
        client_read(c);
}

/* ---- the run --------------------------------------------------------------------------------- */

static void timer_set(int64_t at)
{
    struct itimerspec when = {.it_value = {.tv_sec = at / 1000000, .tv_nsec = at % 1000000 * 1000}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
}

/* Whoever is due begins, if there is a client for it; who waits for one is not forgotten. */
static void begin_planned(void)
{
    int64_t now = now_us();
    while (planned <= now && watch.end == 0) {
        struct client *c = idle;
        if (c != NULL)
            idle = c->idle_next;
        else if (started < wish.clients)
            c = &clients[started++];
        else
            return; /* the next answer calls again */
        if (measuring() && now - planned > watch.late)
            watch.late = now - planned;
        int64_t at = planned;
        planned += (int64_t)(1e6 / wish.rate);
        client_begin_at(c, at);
    }
    if (watch.end == 0)
        timer_set(planned);
}

static bool paced(void)
{
    return wish.rate > 0 && (wish.pace == PACE_OPEN || wish.pace == PACE_SHAKE);
}

static void turn(int timeout)
{
    struct epoll_event got[512];
    int n = epoll_wait(ep, got, 512, timeout);
    for (int i = 0; i < n; i++) {
        struct client *c = got[i].data.ptr;
        if (c != NULL && c->open)
            client_turn(c);
    }
    if (paced() && planned != 0)
        begin_planned();
}

static int64_t run_until(int64_t end)
{
    while (now_us() < end && !(wish.requests > 0 && watch.answers + watch.errors >= wish.requests))
        turn(paced() ? 5 : 10);
    return now_us();
}

static int streams_ready(void)
{
    int ready = 0;
    for (int i = 0; i < wish.clients; i++)
        ready += clients[i].events >= 1;
    return ready;
}

/* All streams are opened, some at a time, and each must have had an event. */
static int open_streams(void)
{
    int64_t end = now_us() + 60000000;
    for (int i = 0; i < wish.clients; i++) {
        client_begin(&clients[i]);
        while (i - streams_ready() > 500 && watch.errors == 0 && now_us() < end)
            turn(1);
        if (i % 16 == 0)
            turn(0);
        if (watch.errors > 0 || now_us() >= end)
            break;
    }
    int ready;
    while ((ready = streams_ready()) < wish.clients && watch.errors == 0 && now_us() < end)
        turn(20);
    if (ready < wish.clients && watch.errors++ == 0)
        fprintf(stderr, "bench_load: only %d of %d streams came up\n", ready, wish.clients);
    return ready;
}

/* No connection is made, and no handshake, while the closed loop is measured. */
static void warm_up(void)
{
    int64_t end = now_us() + 20000000;
    if (wish.pace == PACE_CLOSED)
        for (int i = 0; i < wish.clients && now_us() < end;) {
            if (clients[i].served > 0 || clients[i].step == STEP_DEAD)
                i++;
            else
                turn(1);
        }
    run_until(now_us() + wish.warm_us);
}

static int start(void)
{
    int ready = 0;
    if (wish.pace == PACE_HELD) {
        ready = open_streams();
        run_until(now_us() + wish.warm_us);
    } else if (paced()) {
        planned = now_us();
        begin_planned();
        run_until(now_us() + wish.warm_us);
    } else {
        if (wish.requests > 0)
            watch_begin();
        for (int i = 0; i < wish.clients; i++)
            client_begin(&clients[i]);
        if (wish.requests == 0)
            warm_up();
    }
    return ready;
}

static void parse(int argc, char **argv)
{
    static const char *const paces[] = {"closed", "open", "held", "shake"};
    const char *pace = word(argc, argv, "pace", "closed");
    for (int i = 0; i < 4; i++)
        if (strcmp(pace, paces[i]) == 0)
            wish.pace = (enum pace)i;
    wish.port = (int)strtol(word(argc, argv, "port", "0"), NULL, 10);
    wish.clients = (int)strtol(word(argc, argv, "clients", "32"), NULL, 10);
    wish.warm_us = strtol(word(argc, argv, "warm_ms", "0"), NULL, 10) * 1000;
    wish.run_us = strtol(word(argc, argv, "run_ms", "1000"), NULL, 10) * 1000;
    wish.requests = strtol(word(argc, argv, "requests", "0"), NULL, 10);
    wish.rate = strtod(word(argc, argv, "rate", "0"), NULL);
    wish.tls = strtol(word(argc, argv, "tls", "0"), NULL, 10) != 0;
    wish.pids = word(argc, argv, "pids", "");
    if (wish.port == 0 || wish.clients < 1) {
        fprintf(stderr, "bench_load port=PORT [NAME=VALUE]...: see the head of load.c\n");
        exit(2);
    }
    if (wish.requests > 0) {
        quota = wish.requests;
        wish.run_us = INT64_C(600000000);
    }
}

int main(int argc, char **argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    parse(argc, argv);
    raise_descriptors();
    signal(SIGPIPE, SIG_IGN);
    request_make(argc, argv);
    if (wish.tls)
        wire_tls_client();
    clients = calloc((size_t)wish.clients, sizeof *clients);
    ep = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    if (clients == NULL || ep < 0 || timer < 0)
        die("bench_load");
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
    epoll_ctl(ep, EPOLL_CTL_ADD, timer, &ev);
    watch_memory(0);
    int ready = start();
    printf("holding %d\n", ready);
    fflush(stdout);
    if (watch.begin == 0)
        watch_begin();
    int64_t end = run_until(watch.begin + wish.run_us);
    watch_memory(1);
    watch_end();
    if (wish.pace == PACE_OPEN) { /* whoever was planned in time is waited for */
        for (end += 10000000; flying > 0 && now_us() < end;)
            turn(10);
        watch.errors += flying;
    }
    report_print(ready);
    return watch.errors != 0;
}
