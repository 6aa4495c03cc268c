/* bench_start PORT KEY PROGRAM ARGUMENT...: how long from the start of a program to its first
 * answer.
 *
 * Starts it, asks POST /v1/messages on PORT until there is an answer, prints the microseconds, and
 * ends what it has started. */
#include "peer.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define BODY                                                                              \
    "{\"model\":\"claude-sonnet-5-5\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\"," \
    "\"content\":\"Hello\"}]}"

static bool ask(int port, const char *key)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 10};
    char text[2048];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ssize_t n = 0;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) {
        int head = snprintf(text, sizeof text,
                            "POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: %s\r\n"
                            "anthropic-version: 2023-06-01\r\ncontent-type: application/json\r\n"
                            "content-length: %zu\r\n\r\n%s",
                            key, sizeof BODY - 1, BODY);
        if (write(fd, text, (size_t)head) == head)
            n = read(fd, text, sizeof text);
    }
    close(fd);
    return n > 12 && strncmp(text, "HTTP/1.1 200", 12) == 0;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int port = (int)strtol(argv[1], NULL, 10);
    int64_t begin = now_us(), end = begin + 20000000;
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 1);
        dup2(null, 2);
        execv(argv[3], argv + 3);
        _exit(127);
    }
    bool up = false;
    while (!up && now_us() < end && waitpid(child, NULL, WNOHANG) == 0) {
        up = ask(port, argv[2]);
        if (!up)
            nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    printf("%lld\n", (long long)(now_us() - begin));
    kill(child, SIGTERM);
    waitpid(child, NULL, 0);
    return up ? 0 : 1;
}
