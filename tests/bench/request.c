/* request: what all clients send.
 *
 *   body=BYTES      of the whole body (default 1024)
 *   reply=MODE      what the upstream is asked for: see upstream.c
 *   dialect=anthropic|openai
 *   key=KEY         the gateway's */
#include "load.h"

char *request;
size_t request_n;

void request_make(int argc, char **argv)
{
    const char *reply = word(argc, argv, "reply", "json");
    const char *key = word(argc, argv, "key", "none");
    bool openai = strcmp(word(argc, argv, "dialect", "anthropic"), "openai") == 0;
    size_t body = strtoul(word(argc, argv, "body", "1024"), NULL, 10);
    char prefix[256];
    size_t p = (size_t)snprintf(
        prefix, sizeof prefix,
        "{\"model\":\"claude-sonnet-5-5\",\"max_tokens\":1024,\"stream\":%s,"
        "\"messages\":[{\"role\":\"user\",\"content\":\"",
        reply[0] == 'j' ? "false" : "true");
    if (body < p + 4)
        body = p + 4;
    request = malloc(body + 2048);
    if (request == NULL)
        die("malloc");
    request_n = (size_t)snprintf(request, 2048,
                                 "POST %s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n%s%s\r\n"
                                 "anthropic-version: 2023-06-01\r\n"
                                 "content-type: application/json\r\nuser-agent: bench\r\n"
                                 "x-bench: %s\r\ncontent-length: %zu\r\n\r\n",
                                 openai ? "/v1/chat/completions" : "/v1/messages", wish.port,
                                 openai ? "authorization: Bearer " : "x-api-key: ", key, reply,
                                 body);
    memcpy(request + request_n, prefix, p);
    memset(request + request_n + p, 'y', body - p - 4);
    memcpy(request + request_n + body - 4, "\"}]}", 4);
    request_n += body;
}
