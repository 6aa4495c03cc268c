/* bench_upstream PORT: a provider as fast as one thread can be.
 *
 * The request header x-bench chooses the reply: "json" 1 KiB of JSON; "burst" 200 SSE events at
 * once; "held" one event a second until the peer leaves. Bodies are read and forgotten. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"

#define CONNS  65536
#define IN_MAX 16384

struct conn {
    char *in; /* the head so far */
    size_t n;
    size_t body; /* bytes of the body still to come */
    int mode;    /* reply to give once the body is here */
    int busy;    /* inside a body */
    int held;    /* place in held[] and one, 0: not in it */
};
static struct conn *conns[CONNS];
static int held[CONNS], helds, ep;
static char json_reply[2048], burst_reply[65536], held_head[512];
static size_t json_n, burst_n, held_n;
static const char EVENT[] =
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
    "{\"type\":\"text_delta\",\"text\":\"some words of text \"}}\n\n";
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

static size_t chunk(char *out, const char *p, size_t n)
{
    size_t at = (size_t)sprintf(out, "%zx\r\n", n);
    memcpy(out + at, p, n);
    memcpy(out + at + n, "\r\n", 2);
    return at + n + 2;
}

static void make_replies(void)
{
    char text[900];
    memset(text, 'x', sizeof text);
    char body[1500];
    int b = snprintf(body, sizeof body,
                     "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":"
                     "\"claude-sonnet-5-5\",\"content\":[{\"type\":\"text\",\"text\":\"%.*s\"}],"
                     "\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":10,"
                     "\"output_tokens\":20}}",
                     (int)sizeof text - 100, text);
    json_n = (size_t)sprintf(json_reply,
                             "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                             "request-id: req_1\r\ncontent-length: %d\r\n\r\n%s",
                             b, body);
    held_n = (size_t)sprintf(held_head, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                                        "request-id: req_1\r\ntransfer-encoding: chunked\r\n\r\n");
    memcpy(burst_reply, held_head, held_n);
    burst_n = held_n;
    burst_n += chunk(burst_reply + burst_n, START, sizeof START - 1);
    for (int i = 0; i < 200; i++)
        burst_n += chunk(burst_reply + burst_n, EVENT, sizeof EVENT - 1);
    burst_n += chunk(burst_reply + burst_n, STOP, sizeof STOP - 1);
    memcpy(burst_reply + burst_n, "0\r\n\r\n", 5);
    burst_n += 5;
}

static void conn_close(int fd)
{
    struct conn *c = conns[fd];
    if (c->held > 0) { /* at once: the next connection may get this descriptor */
        int last = held[--helds];
        held[c->held - 1] = last;
        conns[last]->held = c->held;
    }
    conns[fd] = NULL;
    free(c->in);
    free(c);
    close(fd);
}

static void put(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EAGAIN)
            continue; /* the peer is being measured, not this end: wait for it */
        if (w < 0)
            return;
        p += w;
        n -= (size_t)w;
    }
}

static void reply(int fd, struct conn *c)
{
    char out[1024];
    if (c->mode == 'j') {
        put(fd, json_reply, json_n);
    } else if (c->mode == 'b') {
        put(fd, burst_reply, burst_n);
    } else {
        put(fd, held_head, held_n);
        put(fd, out, chunk(out, START, sizeof START - 1));
        held[helds++] = fd;
        c->held = helds;
    }
}

static void on_bytes(int fd, char *p, size_t n)
{
    struct conn *c = conns[fd];
    while (n > 0 || (c->busy && c->body == 0)) {
        if (c->busy) {
            size_t take = n < c->body ? n : c->body;
            c->body -= take;
            p += take;
            n -= take;
            if (c->body > 0)
                return;
            c->busy = 0;
            reply(fd, c);
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
        const char *mode = head_find(c->in, head, "x-bench");
        const char *length = head_find(c->in, head, "content-length");
        c->mode = mode != NULL ? mode[0] : 'j';
        c->body = length != NULL ? strtoul(length, NULL, 10) : 0;
        c->n = 0;
        c->busy = 1;
    }
}

static void tick(void)
{
    char out[1024];
    size_t n = chunk(out, EVENT, sizeof EVENT - 1);
    for (int i = 0; i < helds; i++)
        put(held[i], out, n);
}

int main(int argc, char **argv)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 0)),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct rlimit lim;
    getrlimit(RLIMIT_NOFILE, &lim);
    lim.rlim_cur = lim.rlim_max;
    setrlimit(RLIMIT_NOFILE, &lim);
    signal(SIGPIPE, SIG_IGN);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&a, sizeof a) != 0 || listen(listener, 8192) != 0)
        die("bind");
    make_replies();
    ep = epoll_create1(0);
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = listener}, got[512];
    epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev);
    static char in[1 << 18];
    int64_t next = now_us() + 1000000;
    for (;;) {
        int64_t wait = (next - now_us()) / 1000;
        int n = epoll_wait(ep, got, 512, wait > 0 ? (int)wait : 0);
        if (now_us() >= next) {
            tick();
            next += 1000000;
        }
        for (int i = 0; i < n; i++) {
            int fd = got[i].data.fd;
            if (fd == listener) {
                int c;
                while ((c = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0 && c < CONNS) {
                    setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                    conns[c] = calloc(1, sizeof **conns);
                    conns[c]->in = malloc(IN_MAX);
                    ev = (struct epoll_event){.events = EPOLLIN, .data.fd = c};
                    epoll_ctl(ep, EPOLL_CTL_ADD, c, &ev);
                }
                continue;
            }
            ssize_t r = read(fd, in, sizeof in);
            if (r > 0)
                on_bytes(fd, in, (size_t)r);
            else if (r == 0 || errno != EAGAIN)
                conn_close(fd);
        }
    }
}
