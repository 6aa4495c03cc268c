/* The command line: addresses, secrets, requests, and what goes wrong. */
#include "cli_bench.h"

#include <sys/ioctl.h>
#include <termios.h>

/* ---- addresses and secrets
 * ----------------------------------------------------------------------- */

static void addresses(void **state)
{
    static const struct {
        int code;
        const char *flags, *says;
    } CASES[] = {
        {0, "--base-url https://example.com", "added\n"},
        {0, "--base-url http://localhost:1", "(private address)"},
        {0, "--base-url http://10.1.2.3:1", "(private address)"},
        {0, "--base-url https://192.168.1.1/x", "(private address)"},
        {0, "--base-url http://box.lan:1 --allow-private", "(private address)"},
        {0, "--base-url https://8.8.8.8 --allow-private", "added\n"},
        {2, "--base-url http://example.com", "in the clear"},
        {2, "--base-url HTTP://example.com", "--allow-private"},
        {2, "--base-url http://8.8.8.8 --allow-private", "in the clear"},
        {2, "--base-url ftp://x", ""},
        {2, "--base-url http://", ""},
        {2, "--base-url http://user:pw@host/", ""},
        {2, "--base-url http://127.0.0.1:99999", ""},
        {2, "", "--base-url"}, /* this provider has none of its own */
    };
    char line[512];
    (void)state;
    for (size_t i = 0; i < N(CASES); i++) {
        text_format(line, sizeof line,
                    "account add a%zu --provider anthropic-compatible %s --secret-file -", i,
                    CASES[i].flags);
        want(CASES[i].code, CANARY "\n", line);
        says(CASES[i].says);
    }
    /* what was allowed for one address is not for the next */
    want(2, "", "account set a4 --base-url http://other.lan:1");
    want(0, "", "account set a4 --base-url http://other.lan:1 --allow-private");
    want(0, "", "account set a4 --weight 2");
    says("http://other.lan:1 (private)");
    want(2, "", "account set a4 --allow-private=false");
    want(0, "", "account set a4 --base-url https://example.com --allow-private=false");
}

static void names_and_numbers(void **state)
{
    char line[512], long_name[200];
    static const char *const BAD[] = {"--provider nonsense",
                                      "--provider anthropc",
                                      "--provider anthropic --priority -1",
                                      "--provider anthropic --priority 1001",
                                      "--provider anthropic --weight 0",
                                      "--provider anthropic --weight 4294967297"};
    (void)state;
    for (size_t i = 0; i < N(BAD); i++) {
        text_format(line, sizeof line, "account add x %s --secret-file -", BAD[i]);
        want(2, CANARY, line);
    }
    memset(long_name, 'x', 64);
    long_name[64] = '\0';
    text_format(line, sizeof line, "account add %s --provider anthropic --secret-file -",
                long_name);
    want(2, CANARY, line);
    says("too long");
    text_format(line, sizeof line, "key add %s", long_name);
    want(2, "", line);
    long_name[63] = '\0';
    text_format(line, sizeof line, "account add %s --provider anthropic --secret-file -",
                long_name);
    want(0, CANARY, line);
    text_format(line, sizeof line, "key add %s", long_name);
    want(0, "", line);
    text_format(line, sizeof line, "account show %s", long_name);
    want(0, "", line);
}

/* The environment of AWS's tools tells the region where it tells the keys, and nowhere else. */
static void regions(void **state)
{
    (void)state;
    assert_int_equal(setenv("AWS_DEFAULT_REGION", "eu-north-1", 1), 0);
    want(2, CANARY, "account add b --provider bedrock --secret-file -");
    says("give --region");
    want(2, "", "account add b --provider bedrock --credential container");
    want(0, "", "account add b --provider bedrock --credential env");
    want(0, "", "account show b");
    says("eu-north-1");
    want(0, "", "account remove b");
    assert_int_equal(setenv("AWS_REGION", "eu-south-1", 1), 0);
    want(0, "", "account add b --provider bedrock --inference-profile eu");
    want(0, "", "account show b");
    says("eu-south-1");
    says("inference_profile");
    want(0, "", "account remove b");
    want(0, "", "account add b --provider bedrock --credential env --region us-east-1");
    want(0, "", "account show b");
    says("us-east-1");
    want(0, "", "account remove b");
    assert_int_equal(setenv("AWS_REGION", "evil.example/x", 1), 0);
    want(2, "", "account add b --provider bedrock --credential env");
    assert_int_equal(unsetenv("AWS_REGION") | unsetenv("AWS_DEFAULT_REGION"), 0);
}

static void secrets(void **state)
{
    char path[96], line[256];
    char *large = mem_new(20001);
    (void)state;
    path_of(path, sizeof path, "secret");
    text_format(line, sizeof line, "account add f --provider anthropic --secret-file %s", path);
    file_write(path, "  " CANARY " \r\n", 0600);
    want(0, "", line);
    want(0, "", "account remove f");
    file_write(path, CANARY, 0644);
    assert_int_equal(run("", line), 0);
    says("can be read by other users");
    want(0, "", "account remove f");
    static const char *const EMPTY[] = {"",       "\n",       " \t\r\n ",  "two words",
                                        "a\nb\n", "\xc3\xbc", "Bearer a b"};
    for (size_t i = 0; i < N(EMPTY); i++) {
        want(2, EMPTY[i], "account add f --provider anthropic --secret-file -");
        file_write(path, EMPTY[i], 0600);
        want(2, "", line);
    }
    memset(large, 'x', 20000);
    file_write(path, large, 0600);
    want(2, "", line);
    says("16 KiB");
    mem_free(large);
    assert_int_equal(unlink(path), 0);
    want(1, "", line);
    says("No such file");
    want(0, "", "account list");
    says("no account yet");
}

/* The same at a terminal: `login` is its line, `typed` comes the moment it is asked for. */
static int at_a_terminal(const char *typed, bool *echo, char *said, size_t size)
{
    struct termios t;
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char *argv[] = {(char *)(uintptr_t) "sluice",      (char *)(uintptr_t) "account",
                        (char *)(uintptr_t) "login",       (char *)(uintptr_t) "plan",
                        (char *)(uintptr_t) "--state-dir", dir};
        setsid();
        int slave = open(ptsname(master), O_RDWR);
        ioctl(slave, TIOCSCTTY, 0);
        for (int fd = 0; fd < 3; fd++)
            dup2(slave, fd);
        close(master);
        exit(cli_main((int)N(argv), argv, &APP_HOOKS));
    }
    read_until(master, "shown): ", said, size);
    *echo = tcgetattr(master, &t) == 0 && (t.c_lflag & ECHO) != 0;
    assert_int_equal(write(master, typed, strlen(typed)), (ssize_t)strlen(typed));
    size_t n = strlen(said);
    ssize_t got;
    while ((got = read(master, said + n, size - 1 - n)) > 0)
        n += (size_t)got;
    said[n] = '\0';
    int code = reap(pid);
    close(master);
    return code;
}

static void terminals(void **state)
{
    static const struct {
        const char *typed, *says;
        int code;
    } CASES[] = {
        {CANARY "#another\n", "belongs to another login", 77},
        {"\"" CANARY "\"\n", "is not understood", 2},
        {"\x03", "interrupted; nothing was changed", 130},
        {"\x04", "is empty", 2},
    };
    static char said[65536];
    bool echo;
    (void)state;
    want(0, "", "account add plan --provider claude-oauth --client-id mine");
    for (size_t i = 0; i < N(CASES); i++) {
        int code = at_a_terminal(CASES[i].typed, &echo, said, sizeof said);
        if (code != CASES[i].code || echo || strstr(said, CASES[i].says) == NULL)
            fail_msg("case %zu: exit %d, echo %d: %s", i, code, echo, said);
        assert_null(strstr(said, CANARY));
    }
    for (int i = 0; i < 20; i++) /* also between the prompt and the wait for what is typed */
        assert_int_equal(at_a_terminal("\x03", &echo, said, sizeof said), 130);
}

/* ---- requests
 * ------------------------------------------------------------------------------------ */

static void records_put(int from, int to)
{
    struct config *c;
    struct config_error ce;
    struct admin *a;
    char why[256];
    struct config_flag flag = {"state-dir", dir};
    assert_int_equal(config_load(NULL, &flag, 1, &c, &ce), OK);
    assert_int_equal(APP_HOOKS.offline_open(c, &a, why, sizeof why), OK);
    for (int i = from; i < to; i++) {
        struct record r = {.at = 1766000000000 + i,
                           .route = "messages",
                           .end = "complete",
                           .status = 200,
                           .stream = true,
                           .attempts = 2,
                           .ttfb_ms = i % 2 == 0 ? -1 : 12,
                           .duration_ms = 34,
                           .usage_known = true,
                           .input = i,
                           .cost_nano_usd = i % 2 == 0 ? -1 : 1500000};
        text_format(r.id, sizeof r.id, "id-%d", i);
        if (i >= 100) /* as the gateway makes them */
            text_uuid7(r.id, r.at, (const uint8_t *)"0123456789");
        if (i % 3 == 0)
            text_copy(r.why, sizeof r.why, S("warm spare:behind old:spent odd:word"));
        text_copy(r.key_name, sizeof r.key_name, i % 3 == 0 ? S("bob") : S("alice"));
        text_copy(r.model_asked, sizeof r.model_asked, S("claude-sonnet-4-6"));
        r.attempt[0] = (struct record_attempt){.status = 529, .reason = "overloaded", .ms = 1};
        r.attempt[1] = (struct record_attempt){.status = 200, .reason = "served", .ms = 2};
        text_copy(r.attempt[0].account, sizeof r.attempt[0].account, S("one"));
        text_copy(r.attempt[1].account, sizeof r.attempt[1].account, S("two"));
        store_record(a->p.store, &r);
    }
    APP_HOOKS.offline_close(a);
    config_free(c);
}

static void one_request(const struct json_val *r)
{
    static const char *const MEMBERS[] = {"id",
                                          "at",
                                          "row",
                                          "account",
                                          "key",
                                          "route",
                                          "status",
                                          "stream",
                                          "model_asked",
                                          "model_answered",
                                          "end",
                                          "attempts",
                                          "input",
                                          "output",
                                          "cache_read",
                                          "cache_write_5m",
                                          "cache_write_1h",
                                          "ttfb_ms",
                                          "duration_ms",
                                          "cost_usd",
                                          "client",
                                          "session",
                                          "upstream_id",
                                          "service_tier",
                                          "group",
                                          "why",
                                          "runners_up",
                                          "stop_reason"};
    double usd;
    for (size_t i = 0; i < N(MEMBERS); i++)
        if (json_get(r, MEMBERS[i]) == NULL)
            fail_msg("no member %s", MEMBERS[i]);
    assert_true(slice_eq(json_get_str(r, "id"), S("id-9")));
    assert_true(slice_eq(json_get_str(r, "account"), S("two")));
    assert_true(slice_eq(json_get_str(r, "key"), S("bob")));
    assert_true(slice_eq(json_get_str(r, "end"), S("complete")));
    assert_int_equal(json_get_i64(r, "input", 0), 9);
    assert_int_equal(json_get_i64(r, "ttfb_ms", 0), 12);
    assert_true(json_f64(json_get(r, "cost_usd"), &usd) && usd > 0.00149 && usd < 0.00151);
    assert_int_equal(json_len(json_get(r, "attempts")), 2);
    const struct json_val *a = json_at(json_get(r, "attempts"), 0);
    assert_true(slice_eq(json_get_str(a, "account"), S("one")));
    assert_true(slice_eq(json_get_str(a, "reason"), S("overloaded")));
    assert_int_equal(json_get_i64(a, "status", 0), 529);
    assert_int_equal(json_get_i64(a, "ms", 0), 1);
}

static void requests_newest_last(void **state)
{
    (void)state;
    records_put(0, 10);
    struct json *j = want_json(0, "", "requests");
    const struct json_val *list = json_get(json_root(j), "requests");
    assert_int_equal(json_len(list), 10);
    one_request(json_at(list, 9));
    int64_t last = json_get_i64(json_at(list, 7), "row", 0);
    json_free(j);
    j = want_json(0, "", "requests --limit 3 --key alice");
    list = json_get(json_root(j), "requests");
    assert_int_equal(json_len(list), 3);
    assert_true(slice_eq(json_get_str(json_at(list, 2), "id"), S("id-8")));
    assert_int_equal(json_type(json_get(json_at(list, 2), "cost_usd")), JSON_NULL);
    json_free(j);
    char line[64];
    text_format(line, sizeof line, "requests --after %d", (int)last);
    j = want_json(0, "", line);
    list = json_get(json_root(j), "requests");
    assert_int_equal(json_len(list), 2);
    assert_true(slice_eq(json_get_str(json_at(list, 0), "id"), S("id-8")));
    json_free(j);
    want(0, "", "requests --account nobody");
    says("no request is recorded");
    want(0, "", "requests");
    says("TIME (UTC)");
    says("$0.0015");
}

static void one_request_whole(void **state)
{
    char id[TEXT_UUID_MAX], line[128];
    (void)state;
    records_put(98, 104);
    text_uuid7(id, 1766000000000 + 102, (const uint8_t *)"0123456789");
    text_format(line, sizeof line, "requests show %s", id);
    struct json *j = want_json(0, "", line);
    const struct json_val *r = json_get(json_root(j), "request");
    assert_true(slice_eq(json_get_str(r, "id"), slice_of(id)));
    assert_true(slice_eq(json_get_str(r, "why"), S("warm")));
    assert_int_equal(json_len(json_get(r, "runners_up")), 3);
    assert_int_equal(json_get_i64(r, "input", 0), 102);
    json_free(j);
    want(0, "", line);
    says("two: 200, served, after 2ms");
    says("one: 529, overloaded, after 1ms");
    says("complete, status 200");
    says("chosen      two: its prompt cache is warm there");
    says("not chosen  spare: ");
    says("old: a window is used up");
    says("odd: word");
    says("no price is known");
    text_uuid7(id, 1766000000000 + 103, (const uint8_t *)"0123456789");
    text_format(line, sizeof line, "requests show %s", id);
    want(0, "", line);
    assert_null(strstr(out, "chosen")); /* nothing was noted of it */
    says("$0.0015");
    want(5, "", "requests show id-99");
    says("no record of request `id-99`");
    want(5, "", "requests show 019382f4-5d7c-7a10-9e2b-3c4d5e6f7a8b");
    want(2, "", "requests show");
}

static void following(void **state)
{
    static const char *const LINES[] = {"requests -f", "requests --follow --json --limit 2"};
    char said[65536];
    int from[N(LINES)], log;
    pid_t pid[N(LINES)];
    (void)state;
    records_put(0, 10);
    pid_t house = daemon_start(&log);
    for (size_t i = 0; i < N(LINES); i++)
        pid[i] = spawn(LINES[i], &from[i]);
    read_until(from[0], "$0.0015\n", said, sizeof said);
    assert_non_null(strstr(said, "TIME (UTC)"));
    read_until(from[1], "\"id\":\"id-9\"", said, sizeof said);
    assert_true(said[0] == '{' && strstr(said, "id-7") == NULL);
    daemon_stop(house, log);
    for (size_t i = 0; i < N(LINES); i++) { /* the gateway has gone: they say so and end */
        assert_int_equal(reap(pid[i]), 3);
        close(from[i]);
    }
}

/* ---- what goes wrong
 * ----------------------------------------------------------------------------- */

static int raw_connect(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    text_format(at.sun_path, sizeof at.sun_path, "%s/%s", dir, ADMIN_SOCKET);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

/* Clients of the socket that leave before they are answered, in the middle of a verb that waits for
 * the store: the verb is done all the same, and the daemon lives. */
static void clients_that_leave(void **state)
{
    int from;
    (void)state;
    pid_t pid = daemon_start(&from);
    for (int i = 0; i < 40; i++) {
        char text[512], body[128];
        size_t n = text_format(body, sizeof body, "{\"name\":\"k%d\"}", i);
        size_t all = text_format(text, sizeof text,
                                 "POST /api/keys HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n"
                                 "%s",
                                 n, body);
        int fd = raw_connect();
        size_t cut = i < 20 ? all : all * (size_t)(i - 19) / 21;
        assert_int_equal(send(fd, text, cut, 0), (ssize_t)cut);
        close(fd);
    }
    struct json *j = want_json(0, "", "key list");
    assert_true(json_len(json_get(json_root(j), "keys")) <= 20);
    json_free(j);
    want(0, "", "status");
    daemon_stop(pid, from);
}

static void http_on_the_socket(void **state)
{
    static const struct {
        const char *request, *status, *body;
    } CASES[] = {
        {"GET /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 404 ",
         "{\"error\":{\"code\":\"not_found\""},
        {"PUT /api/keys HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 404 ",
         "no such method"},
        {"POST /api/keys HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\n[1]",
         "HTTP/1.1 400 ", "{\"error\":{\"code\":\"usage\""},
        {"GET /api/accounts HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 ",
         "{\"schema\":1,\"accounts\":[]}"},
        {"nonsense\r\n\r\n", "HTTP/1.1 400 ", "{\"error\":{\"code\":\"usage\""},
    };
    int from;
    (void)state;
    pid_t pid = daemon_start(&from);
    for (size_t i = 0; i < N(CASES); i++) {
        char said[8192];
        int fd = raw_connect();
        size_t n = strlen(CASES[i].request);
        assert_int_equal(send(fd, CASES[i].request, n, 0), (ssize_t)n);
        read_until(fd, CASES[i].body, said, sizeof said);
        assert_true(slice_starts(slice_of(said), slice_of(CASES[i].status)));
        close(fd);
    }
    daemon_stop(pid, from);
}

/* A reply that is not whole, or no reply at all, is never taken for one. */
static void replies_that_are_broken(void **state)
{
    static const char *const REPLIES[] = {
        "",
        "HTTP/1.1",
        "HTTP/1.1 200 OK\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}",
        "HTTP/1.1 xxx OK\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
    };
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    (void)state;
    assert_int_equal(mkdir(dir, 0700), 0);
    text_format(at.sun_path, sizeof at.sun_path, "%s/%s", dir, ADMIN_SOCKET);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 5), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        for (size_t i = 0; i < N(REPLIES); i++) {
            char request[4096];
            int c = accept(fd, NULL, NULL);
            if (recv(c, request, sizeof request, 0) > 0 &&
                send(c, REPLIES[i], strlen(REPLIES[i]), 0) >= 0)
                close(c);
        }
        _exit(0);
    }
    close(fd);
    for (size_t i = 0; i < N(REPLIES); i++) {
        want(3, "", "account list");
        assert_string_equal(out, "");
    }
    assert_int_equal(reap(pid), 0);
}

static int busy;
static enum err busy_open(const struct config *c, struct admin **a, char *why, size_t size)
{
    if (busy-- > 0) {
        text_copy(why, size, S("held"));
        return ERR_BUSY;
    }
    return APP_HOOKS.offline_open(c, a, why, size);
}

static enum err denied_open(const struct config *c, struct admin **a, char *why, size_t size)
{
    (void)c;
    (void)a;
    text_copy(why, size, S("the master key is open to others"));
    return ERR_DENIED;
}

static void a_folder_that_is_held(void **state)
{
    const struct cli_hooks held = {NULL, busy_open, APP_HOOKS.offline_close, NULL},
                           denied = {NULL, denied_open, NULL, NULL};
    (void)state;
    busy = 3; /* another command's moment */
    hooks = &held;
    want(0, "", "account list");
    assert_int_equal(busy, -1);
    hooks = &denied;
    want(77, "", "account list");
    says("the master key is open to others");
}

static void paths_and_files(void **state)
{
    char deep[600], file[96], line[256];
    (void)state;
    memset(deep, 'd', sizeof deep);
    memcpy(deep, root, strlen(root));
    deep[strlen(root)] = '/';
    deep[200] = '\0';
    assert_int_equal(run_on(deep, "", "account list"), 78);
    says("too long for a unix socket");
    path_of(file, sizeof file, "c.yaml");
    file_write(file, "# one\nlistn: 127.0.0.1:1\n", 0600);
    text_format(line, sizeof line, "config check --config %s", file);
    want(78, "", line);
    says("c.yaml:2: unknown option `listn`; did you mean `listen`?");
    file_write(file, "listen: 127.0.0.1:7171\n", 0600);
    want(0, "", line);
    says("127.0.0.1:7171");
    struct json *j = want_json(0, "", line);
    const struct json_val *o = json_get(json_get(json_root(j), "options"), "listen");
    assert_true(slice_eq(json_get_str(o, "origin"), S("file")));
    json_free(j);
    file_write(file, "in the way", 0600);
    assert_int_equal(run_on(file, "", "account list"), 1);
}

static void help_and_version(void **state)
{
    (void)state;
    want(0, "", "--help");
    says("to begin:");
    want(0, "", "version");
    says("sluice ");
    struct json *j = want_json(0, "", "version");
    json_free(j);
    want(0, "", "help account add");
    says("usage: sluice account add NAME --provider KIND [flags]");
    want(0, "", "account --help");
    says("account resume NAME");
    assert_int_equal(run("", "account"), 2);
    says("usage: sluice account COMMAND");
    assert_string_equal(out, "");
    want(2, "", "nonsense");
    want(2, "", "account add x --provider anthropic --api-key y");
    assert_int_equal(access(dir, F_OK), -1); /* none of these touches the state folder */
}

/* Nobody reads the output any more: `sluice requests | head -1`. */
static void a_reader_that_left(void **state)
{
    int pipes[2];
    char err_path[96], *argv[] = {(char *)(uintptr_t) "sluice", (char *)(uintptr_t) "--help"};
    (void)state;
    path_of(err_path, sizeof err_path, "err");
    assert_int_equal(pipe(pipes), 0);
    close(pipes[0]);
    fflush(NULL);
    int keep_out = dup(1), keep_err = redirect(2, err_path, O_WRONLY | O_CREAT | O_TRUNC);
    dup2(pipes[1], 1);
    close(pipes[1]);
    int code = cli_main(2, argv, hooks);
    clearerr(stdout);
    restore(1, keep_out);
    restore(2, keep_err);
    file_read(err_path, err, sizeof err);
    assert_int_equal(code, 0);
    assert_string_equal(err, "");
}

static void never(void *arg, int status, struct slice json)
{
    (void)arg;
    (void)json;
    fail_msg("called with %d", status);
}

/* The house is taken down while verbs wait for the store. */
static void a_stop_in_the_middle(void **state)
{
    struct config *c;
    struct config_error ce;
    struct config_flag flag = {"state-dir", dir};
    char why[256];
    (void)state;
    assert_int_equal(config_load(NULL, &flag, 1, &c, &ce), OK);
    for (int turns = 0; turns < 2; turns++) {
        struct admin *a;
        assert_int_equal(APP_HOOKS.offline_open(c, &a, why, sizeof why), OK);
        for (int i = 0; verb_at(i) != NULL; i++) {
            struct verb_args args = {0};
            const struct verb *v = verb_at(i);
            if (v->handler == NULL)
                continue;
            for (int k = 0; k < verb_args_n(v); k++)
                if (v->arg[k].required)
                    assert_int_equal(verb_arg_set(v, &args, k, S("anthropic"), why, sizeof why),
                                     OK);
            struct verb_call *call = call_start(a, v, &args, never, NULL);
            if (turns > 0) /* its handler runs, but nobody waits for the answer */
                call_forget(call);
        }
        if (turns > 0) {
            struct task stop;
            task_init(&stop, (void (*)(void *))loop_stop, admin_loop(a));
            task_post(admin_loop(a), &stop);
            loop_run(admin_loop(a));
            task_cancel(&stop);
        }
        APP_HOOKS.offline_close(a);
    }
    config_free(c);
    want(0, "", "account list");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(addresses),
        TEST(names_and_numbers),
        TEST(regions),
        TEST(secrets),
        TEST(terminals),
        TEST(requests_newest_last),
        TEST(one_request_whole),
        TEST(following),
        TEST(clients_that_leave),
        TEST(http_on_the_socket),
        TEST(replies_that_are_broken),
        TEST(a_folder_that_is_held),
        TEST(paths_and_files),
        TEST(help_and_version),
        TEST(a_reader_that_left),
        TEST(a_stop_in_the_middle),
    };
    bench_begin();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
