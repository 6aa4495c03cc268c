/* bench_load PORT MODE CONNECTIONS SECONDS BODY_BYTES [KEY]: a closed loop of clients on loopback.
 *
 * MODE json or burst: each connection sends its next request as soon as the reply before is
 * complete; prints one JSON line: requests, requests a second, p50/p90/p99/p99.9 of the latency in
 * us, errors. SECONDS "500r" is 500 requests, however long they take: for counting instead of
 * timing. MODE held: opens all streams, prints "holding" once each has had two events, holds
 * them for SECONDS, and prints how many were alive to the end and the delay of events. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"

#define SAMPLES 8000000

struct client {
    int fd, events, done, closing;
    int64_t sent_at;
    size_t written; /* of the request */
    char head[4096];
    size_t head_n;
    long left;    /* of a body with a length; -1: chunked */
    char tail[5]; /* the last bytes of a chunked body */
};
static struct client *clients;
static char *request;
static size_t request_n;
static uint32_t *sample;
static size_t samples;
static long errors, quota = LONG_MAX; /* requests that may still begin */
static int held_mode, ep;
static uint16_t port;

static void send_more(struct client *c)
{
    while (c->written < request_n) {
        ssize_t w = write(c->fd, request + c->written, request_n - c->written);
        if (w < 0) {
            if (errno != EAGAIN)
                errors++;
            return;
        }
        c->written += (size_t)w;
    }
}

static void send_request(struct client *c)
{
    if (quota == 0) {
        c->done = 1;
        return;
    }
    quota--;
    c->sent_at = now_us();
    c->head_n = 0;
    c->left = 0;
    c->written = 0;
    c->events = 0;
    memset(c->tail, 0, sizeof c->tail);
    send_more(c);
}

static void client_connect(struct client *c)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    /* many local addresses, so that ports do not run out */
    long i = c - clients;
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(0x7f000001u + (uint32_t)(i / 16000))};
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || (i >= 16000 && bind(c->fd, (struct sockaddr *)&from, sizeof from) != 0) ||
        connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0)
        die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev);
    send_request(c);
}

/* Servers end a connection after so many requests, and say so with the last answer. */
static void on_complete(struct client *c)
{
    if (samples < SAMPLES)
        sample[samples++] = (uint32_t)(now_us() - c->sent_at);
    if (c->closing) {
        close(c->fd);
        client_connect(c);
    } else {
        send_request(c);
    }
}

static void keep_tail(struct client *c, const char *p, size_t n)
{
    if (n >= 5) {
        memcpy(c->tail, p + n - 5, 5);
    } else {
        memmove(c->tail, c->tail + n, 5 - n);
        memcpy(c->tail + 5 - n, p, n);
    }
}

static void on_body(struct client *c, const char *p, size_t n)
{
    if (c->left >= 0) {
        c->left -= (long)n;
        if (c->left <= 0)
            on_complete(c);
        return;
    }
    if (held_mode) {
        c->events++;
        return;
    }
    keep_tail(c, p, n);
    if (memcmp(c->tail, "0\r\n\r\n", 5) == 0)
        on_complete(c);
}

static void on_bytes(struct client *c, const char *p, size_t n)
{
    if (c->left != 0) {
        on_body(c, p, n);
        return;
    }
    size_t room = sizeof c->head - c->head_n, take = n < room ? n : room;
    memcpy(c->head + c->head_n, p, take);
    size_t before = c->head_n;
    c->head_n += take;
    size_t head = head_length(c->head, c->head_n);
    if (head == 0)
        return;
    if (strncmp(c->head, "HTTP/1.1 200", 12) != 0) {
        if (errors++ == 0)
            fprintf(stderr, "bench_load: %.*s\n", (int)c->head_n, c->head);
        c->done = 1;
        return;
    }
    const char *length = head_find(c->head, head, "content-length");
    c->left = length != NULL ? strtol(length, NULL, 10) : -1;
    const char *connection = head_find(c->head, head, "connection");
    c->closing = connection != NULL && strncmp(connection, "close", 5) == 0;
    if (n > head - before)
        on_body(c, p + (head - before), n - (head - before));
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t at(double q)
{
    return samples ? sample[(size_t)(q * (double)(samples - 1))] : 0;
}

static void turn(int timeout)
{
    static char in[1 << 18];
    struct epoll_event got[512];
    int n = epoll_wait(ep, got, 512, timeout);
    for (int i = 0; i < n; i++) {
        struct client *c = got[i].data.ptr;
        ssize_t r;
        if (!c->done && c->written < request_n)
            send_more(c);
        do {
            r = c->done ? -1 : read(c->fd, in, sizeof in);
            if (r > 0)
                on_bytes(c, in, (size_t)r);
        } while (r > 0);
        if (!c->done && (r == 0 || errno != EAGAIN)) {
            errors++;
            c->done = 1;
        }
    }
}

static void run_held(int n, int seconds)
{
    int64_t end = now_us() + 60000000;
    int ready = 0;
    while (ready < n && now_us() < end) {
        turn(100);
        ready = 0;
        for (int i = 0; i < n; i++)
            ready += clients[i].events >= 2;
    }
    printf("holding %d\n", ready);
    fflush(stdout);
    for (end = now_us() + seconds * INT64_C(1000000); now_us() < end;)
        turn(100);
    long events = 0;
    for (int i = 0; i < n; i++)
        events += clients[i].events;
    printf("{\"held\":%d,\"events\":%ld,\"errors\":%ld}\n", ready, events, errors);
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr, "usage: bench_load PORT MODE CONNECTIONS SECONDS BODY_BYTES [KEY]\n");
        return 2;
    }
    int n = atoi(argv[3]), seconds = atoi(argv[4]), body = atoi(argv[5]);
    long counted = strchr(argv[4], 'r') != NULL ? seconds : 0;
    if (counted > 0)
        quota = counted;
    struct rlimit lim;
    getrlimit(RLIMIT_NOFILE, &lim);
    lim.rlim_cur = lim.rlim_max;
    setrlimit(RLIMIT_NOFILE, &lim);
    signal(SIGPIPE, SIG_IGN);
    held_mode = strcmp(argv[2], "held") == 0;
    const char *open = "{\"model\":\"claude-sonnet-5-5\",\"max_tokens\":1024,\"stream\":";
    const char *mid = strcmp(argv[2], "json") == 0 ? "false" : "true";
    char prefix[256];
    int p = snprintf(prefix, sizeof prefix, "%s%s,\"messages\":[{\"role\":\"user\",\"content\":\"",
                     open, mid);
    if (body < p + 4)
        body = p + 4;
    request = malloc((size_t)body + 1024);
    request_n = (size_t)sprintf(request,
                                "POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1:%s\r\n"
                                "x-api-key: %s\r\nanthropic-version: 2023-06-01\r\n"
                                "content-type: application/json\r\nuser-agent: bench\r\n"
                                "x-bench: %s\r\ncontent-length: %d\r\n\r\n",
                                argv[1], argc > 6 ? argv[6] : "none", argv[2], body);
    memcpy(request + request_n, prefix, (size_t)p);
    memset(request + request_n + p, 'y', (size_t)(body - p - 4));
    memcpy(request + request_n + body - 4, "\"}]}", 4);
    request_n += (size_t)body;
    clients = calloc((size_t)n, sizeof *clients);
    sample = malloc(SAMPLES * sizeof *sample);
    ep = epoll_create1(0);
    port = (uint16_t)atoi(argv[1]);
    for (int i = 0; i < n; i++)
        client_connect(&clients[i]);
    if (held_mode) {
        run_held(n, seconds);
        return 0;
    }
    int64_t start = now_us(), end = start + seconds * INT64_C(1000000);
    while (counted > 0 ? (long)samples < counted && errors == 0 : now_us() < end)
        turn(10);
    double took = (double)(now_us() - start) / 1e6;
    qsort(sample, samples, sizeof *sample, by_value);
    printf("{\"requests\":%zu,\"rps\":%.0f,\"p50\":%u,\"p90\":%u,\"p99\":%u,\"p999\":%u,"
           "\"errors\":%ld}\n",
           samples, (double)samples / took, at(0.5), at(0.9), at(0.99), at(0.999), errors);
    return errors != 0;
}
