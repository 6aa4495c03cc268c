/* bench_upstream [plain=MODE]... [tls=MODE]... [cert=FILE key=FILE]: a provider of the Anthropic
 * dialect, as fast as one thread can be.
 *
 * It listens on a free port for each plain= and tls=, and prints them in a line, in that order.
 * MODE is the reply on that port, and "any" lets the request header x-bench choose it:
 *
 *   json          1 KiB of JSON
 *   burst         a stream of 200 events at once
 *   held.P.N      a stream of N events each P ms (P <= 1000) until the peer leaves
 *
 * Streams that are held have their own place in the period, as people's streams have. Each event
 * carries the time at which it was written. Bodies are read and forgotten. */
#include "peer.h"
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNS     65536
#define LISTENERS 16
#define IN_MAX    16384
#define SLOTS     1024 /* of a millisecond each */
#define EVENTS    200  /* of a burst */
#define FLIGHT    64   /* the most events written at once to a held stream */

struct conn {
    struct wire wire;
    bool shaken;
    char *in; /* the head so far */
    size_t n;
    size_t body; /* bytes of the body still to come */
    char mode[24];
    bool busy;                /* inside a body */
    struct conn *next, **ref; /* in a slot of the wheel; ref NULL: it holds no stream */
    int period, events;
};
struct listener {
    int fd;
    bool tls;
    const char *mode;
};
static struct conn *conns[CONNS];
static struct listener listeners[LISTENERS];
static struct conn *wheel[SLOTS];
static int ep, listeners_n, phase, helds;
static int64_t wheel_at; /* the millisecond that was played last */

static char json_reply[2048], burst_reply[65536], held_head[512], flight[FLIGHT * 256];
static size_t json_n, burst_n, held_n, event_n;
static size_t burst_stamp[EVENTS], flight_stamp[FLIGHT];

static const char EVENT[] =
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
    "{\"type\":\"text_delta\",\"text\":\"@0000000000000000 some words of text\"}}\n\n";
static const char START[] =
    "event: message_start\ndata: "
    "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":"
    "\"message\",\"role\":\"assistant\",\"model\":\"claude-sonnet-5-5\",\"content\":[],"
    "\"stop_reason\":null,\"usage\":{\"input_tokens\":10,\"output_tokens\":1}}}\n\n"
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
    "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
static const char STOP[] =
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
    "event: message_delta\ndata: "
    "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},"
    "\"usage\":{\"output_tokens\":200}}\n\nevent: message_stop\ndata: "
    "{\"type\":\"message_stop\"}\n\n";

/* ---- replies --------------------------------------------------------------------------------- */

static size_t chunk(char *out, const char *p, size_t n)
{
    size_t at = (size_t)sprintf(out, "%zx\r\n", n);
    memcpy(out + at, p, n);
    memcpy(out + at + n, "\r\n", 2);
    return at + n + 2;
}

/* One event in a chunk of its own; where its time goes is remembered. */
static size_t event_chunk(char *base, size_t at, size_t *stamp)
{
    size_t n = chunk(base + at, EVENT, sizeof EVENT - 1);
    const char *mark = memchr(base + at, '@', n);
    *stamp = (size_t)(mark + 1 - base);
    return n;
}

static void make_replies(void)
{
    char text[800], body[1500];
    memset(text, 'x', sizeof text);
    int b = snprintf(body, sizeof body,
                     "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":"
                     "\"claude-sonnet-5-5\",\"content\":[{\"type\":\"text\",\"text\":\"%.*s\"}],"
                     "\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":10,"
                     "\"output_tokens\":20}}",
                     (int)sizeof text, text);
    json_n = (size_t)sprintf(json_reply,
                             "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                             "request-id: req_1\r\ncontent-length: %d\r\n\r\n%s",
                             b, body);
    held_n = (size_t)sprintf(held_head, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                                        "request-id: req_1\r\ntransfer-encoding: chunked\r\n\r\n");
    memcpy(burst_reply, held_head, held_n);
    burst_n = held_n + chunk(burst_reply + held_n, START, sizeof START - 1);
    for (int i = 0; i < EVENTS; i++)
        burst_n += event_chunk(burst_reply, burst_n, &burst_stamp[i]);
    burst_n += chunk(burst_reply + burst_n, STOP, sizeof STOP - 1);
    memcpy(burst_reply + burst_n, "0\r\n\r\n", 5);
    burst_n += 5;
    size_t at = 0;
    for (int i = 0; i < FLIGHT; i++)
        at += event_chunk(flight, at, &flight_stamp[i]);
    event_n = at / FLIGHT;
}

/* The peer is being measured, not this end: wait for it. */
static void put(struct conn *c, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t w = wire_write(&c->wire, p, n);
        if (w < 0 && errno == EAGAIN)
            continue;
        if (w <= 0)
            return;
        p += w;
        n -= (size_t)w;
    }
}

static void stamp_all(char *base, const size_t *stamp, int n)
{
    char digits[STAMP_DIGITS];
    stamp_put(digits, now_us());
    for (int i = 0; i < n; i++)
        memcpy(base + stamp[i], digits, STAMP_DIGITS);
}

/* ---- held streams ---------------------------------------------------------------------------- */

static void wheel_add(struct conn *c, int64_t at)
{
    struct conn **slot = &wheel[at % SLOTS];
    c->next = *slot;
    c->ref = slot;
    if (c->next != NULL)
        c->next->ref = &c->next;
    *slot = c;
}

static void wheel_remove(struct conn *c)
{
    *c->ref = c->next;
    if (c->next != NULL)
        c->next->ref = c->ref;
    c->ref = NULL;
}

static void wheel_play(int64_t now_ms)
{
    while (wheel_at < now_ms) {
        struct conn *due = wheel[++wheel_at % SLOTS];
        while (due != NULL) {
            struct conn *c = due;
            due = c->next;
            wheel_remove(c);
            stamp_all(flight, flight_stamp, c->events);
            put(c, flight, event_n * (size_t)c->events);
            wheel_add(c, wheel_at + c->period);
        }
    }
}

static void hold(struct conn *c)
{
    char out[1024];
    c->period = 1000;
    c->events = 1;
    sscanf(c->mode, "held.%d.%d", &c->period, &c->events);
    if (c->period < 1 || c->period > 1000 || c->events < 1 || c->events > FLIGHT)
        die("held: period or events out of range");
    size_t n = held_n;
    memcpy(out, held_head, n);
    n += chunk(out + n, START, sizeof START - 1);
    put(c, out, n);
    /* a step that is coprime to every period: the streams spread evenly */
    phase = (phase + 613) % 1000003;
    if (helds++ == 0)
        wheel_at = now_us() / 1000; /* nobody has turned it */
    wheel_add(c, wheel_at + 1 + phase % c->period);
}

static void reply(struct conn *c)
{
    if (c->mode[0] == 'b') {
        stamp_all(burst_reply, burst_stamp, EVENTS);
        put(c, burst_reply, burst_n);
    } else if (c->mode[0] == 'h') {
        hold(c);
    } else {
        put(c, json_reply, json_n);
    }
}

/* ---- connections ----------------------------------------------------------------------------- */

static void conn_close(struct conn *c)
{
    if (c->ref != NULL) {
        wheel_remove(c);
        helds--;
    }
    conns[c->wire.fd] = NULL;
    wire_close(&c->wire);
    free(c->in);
    free(c);
}

static void choose_mode(struct conn *c, size_t head, const char *fixed)
{
    const char *mode = fixed;
    size_t n = strlen(fixed);
    if (strcmp(fixed, "any") == 0) {
        mode = head_find(c->in, head, "x-bench");
        n = mode != NULL ? strcspn(mode, "\r\n") : 0;
    }
    if (n >= sizeof c->mode)
        n = sizeof c->mode - 1;
    if (n > 0)
        memcpy(c->mode, mode, n);
    c->mode[n] = 0;
}

static void on_bytes(struct conn *c, const char *p, size_t n, const char *mode)
{
    while (n > 0 || (c->busy && c->body == 0)) {
        if (c->busy) {
            size_t take = n < c->body ? n : c->body;
            c->body -= take;
            p += take;
            n -= take;
            if (c->body > 0)
                return;
            c->busy = false;
            reply(c);
            continue;
        }
        size_t room = IN_MAX - c->n, take = n < room ? n : room;
        memcpy(c->in + c->n, p, take);
        c->n += take;
        size_t head = head_length(c->in, c->n);
        if (head == 0)
            return;
        size_t before = c->n - take; /* bytes of this head that came earlier */
        p += head - before;
        n -= head - before;
        const char *length = head_find(c->in, head, "content-length");
        choose_mode(c, head, mode);
        c->body = length != NULL ? strtoul(length, NULL, 10) : 0;
        c->n = 0;
        c->busy = true;
    }
}

static void conn_turn(struct conn *c, const char *mode)
{
    static char in[1 << 18];
    if (!c->shaken) {
        int r = wire_shake(&c->wire);
        if (r < 0)
            conn_close(c);
        if (r <= 0)
            return;
        c->shaken = true;
    }
    ssize_t r;
    do { /* TLS may hold more than the socket tells of */
        r = wire_read(&c->wire, in, sizeof in);
        if (r > 0)
            on_bytes(c, in, (size_t)r, mode);
    } while (r > 0 && c->wire.tls != NULL);
    if (r == 0 || (r < 0 && errno != EAGAIN))
        conn_close(c);
}

static void accept_all(int which)
{
    struct listener *l = &listeners[which];
    int one = 1, fd;
    while ((fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= CONNS)
            die("too many connections");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct conn *c = calloc(1, sizeof *c);
        if (c == NULL || (c->in = malloc(IN_MAX)) == NULL)
            die("malloc");
        conns[fd] = c;
        wire_open(&c->wire, fd, l->tls, true);
        c->shaken = !l->tls;
        struct epoll_event ev = {.events = EPOLLIN,
                                 .data.u64 = (uint64_t)which << 32 | (uint32_t)fd};
        epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
    }
}

static void listen_on(bool tls, const char *mode)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (listeners_n == LISTENERS || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 ||
        listen(fd, 8192) != 0 || getsockname(fd, (struct sockaddr *)&a, &n) != 0)
        die("listen");
    struct epoll_event ev = {.events = EPOLLIN,
                             .data.u64 = (uint64_t)listeners_n << 32 | UINT32_MAX};
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
    listeners[listeners_n++] = (struct listener){.fd = fd, .tls = tls, .mode = mode};
    printf("%d ", ntohs(a.sin_port));
}

int main(int argc, char **argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    raise_descriptors();
    signal(SIGPIPE, SIG_IGN);
    make_replies();
    ep = epoll_create1(0);
    const char *cert = word(argc, argv, "cert", NULL);
    if (cert != NULL)
        wire_tls_server(cert, word(argc, argv, "key", ""));
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "plain=", 6) == 0)
            listen_on(false, argv[i] + 6);
        else if (strncmp(argv[i], "tls=", 4) == 0)
            listen_on(true, argv[i] + 4);
    }
    printf("\n");
    fflush(stdout);
    struct epoll_event got[512];
    for (;;) {
        int n = epoll_wait(ep, got, 512, helds > 0 ? 1 : -1);
        for (int i = 0; i < n; i++) {
            uint32_t fd = (uint32_t)got[i].data.u64;
            int which = (int)(got[i].data.u64 >> 32);
            if (fd == UINT32_MAX)
                accept_all(which);
            else if (conns[fd] != NULL)
                conn_turn(conns[fd], listeners[which].mode);
        }
        if (helds > 0)
            wheel_play(now_us() / 1000);
    }
}
