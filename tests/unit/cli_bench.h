/* The command line from argv to exit code: on a state folder of its own, without a daemon, and with
 * a real one in another process. Included by one test file a program: it holds definitions. */
#ifndef TEST_CLI_BENCH_H
#define TEST_CLI_BENCH_H

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "admin/inside.h"
#include "app.h"

#define N(a)   (sizeof(a) / sizeof *(a))
#define CANARY "sk-ant-api03-canary-7f3a9c0de"

/* ---- the bench
 * ----------------------------------------------------------------------------------- */

static char root[64], dir[128], out[1 << 20], err[65536];
static const struct cli_hooks *hooks = &APP_HOOKS;

static void path_of(char *path, size_t size, const char *name)
{
    text_format(path, size, "%s/%s", root, name);
}

static void file_write(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    assert_int_equal(chmod(path, mode), 0);
}

static void file_read(const char *path, char *text, size_t size)
{
    size_t n = 0;
    ssize_t got;
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    while ((got = read(fd, text + n, size - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    close(fd);
}

static int redirect(int fd, const char *path, int flags)
{
    int keep = dup(fd), to = open(path, flags, 0600);
    assert_true(keep >= 0 && to >= 0);
    dup2(to, fd);
    close(to);
    return keep;
}

static void restore(int fd, int keep)
{
    dup2(keep, fd);
    close(keep);
}

/* Runs a command line, split at blanks, with `input` on standard input; what it printed is in `out`
 * and `err`. The secret of an account is in neither, ever. */
static int run_on(const char *state, const char *input, const char *line)
{
    char copy[2048], in_path[96], out_path[96], err_path[96], *argv[40], *save = NULL;
    int argc = 0;
    path_of(in_path, sizeof in_path, "in");
    path_of(out_path, sizeof out_path, "out");
    path_of(err_path, sizeof err_path, "err");
    file_write(in_path, input, 0600);
    text_copy(copy, sizeof copy, slice_of(line));
    argv[argc++] = (char *)(uintptr_t) "sluice";
    for (char *p = strtok_r(copy, " ", &save); p != NULL; p = strtok_r(NULL, " ", &save))
        argv[argc++] = p;
    argv[argc++] = (char *)(uintptr_t) "--state-dir";
    argv[argc++] = (char *)(uintptr_t)state;
    fflush(NULL);
    int keep_in = redirect(0, in_path, O_RDONLY);
    int keep_out = redirect(1, out_path, O_WRONLY | O_CREAT | O_TRUNC);
    int keep_err = redirect(2, err_path, O_WRONLY | O_CREAT | O_TRUNC);
    int code = cli_main(argc, argv, hooks);
    fflush(NULL);
    restore(0, keep_in);
    restore(1, keep_out);
    restore(2, keep_err);
    file_read(out_path, out, sizeof out);
    file_read(err_path, err, sizeof err);
    assert_null(strstr(out, CANARY));
    assert_null(strstr(err, CANARY));
    return code;
}

static int run(const char *input, const char *line)
{
    return run_on(dir, input, line);
}

static void want(int code, const char *input, const char *line)
{
    int got = run(input, line);
    if (got != code)
        fail_msg("%s: exit %d, not %d\n%s%s", line, got, code, out, err);
    if (code == 0 && strstr(line, "warn") == NULL)
        assert_string_equal(err, "");
    else if (code != 0)
        assert_true(slice_starts(slice_of(err), S("sluice: ")));
}

/* The same with --json: the reply's tree. */
static struct json *want_json(int code, const char *input, const char *line)
{
    char with[1024];
    struct json *doc = NULL;
    text_format(with, sizeof with, "%s --json", line);
    want(code, input, with);
    if (json_parse(slice_of(out), &doc) != OK)
        fail_msg("%s: no JSON: %s", line, out);
    assert_int_equal(json_get_i64(json_root(doc), "schema", 0), code == 0 ? 1 : 0);
    return doc;
}

static void says(const char *text)
{
    if (strstr(out, text) == NULL && strstr(err, text) == NULL)
        fail_msg("no `%s` in:\n%s%s", text, out, err);
}

static int set_up(void **state)
{
    (void)state;
    text_copy(root, sizeof root, S("/tmp/sluice-cli-XXXXXX"));
    if (mkdtemp(root) == NULL)
        return 1;
    path_of(dir, sizeof dir, "state");
    hooks = &APP_HOOKS;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- a daemon in another process
 * ----------------------------------------------------------------- */

static pid_t spawn(const char *line, int *from)
{
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char copy[512], *argv[24], *save = NULL;
        int argc = 0;
        dup2(pipes[1], 1);
        close(pipes[0]);
        close(pipes[1]);
        redirect(2, "/dev/null", O_WRONLY);
        text_format(copy, sizeof copy, "sluice %s --state-dir %s", line, dir);
        for (char *p = strtok_r(copy, " ", &save); p != NULL; p = strtok_r(NULL, " ", &save))
            argv[argc++] = p;
        int code = cli_main(argc, argv, &APP_HOOKS);
        exit(code); /* with the sanitizer's last word */
    }
    close(pipes[1]);
    *from = pipes[0];
    return pid;
}

/* Reads what the child prints until `text` is there. */
static void read_until(int fd, const char *text, char *all, size_t size)
{
    size_t n = 0;
    all[0] = '\0';
    while (strstr(all, text) == NULL) {
        ssize_t got = read(fd, all + n, size - 1 - n);
        if (got <= 0)
            fail_msg("no `%s` before the end of: %s", text, all);
        n += (size_t)got;
        all[n] = '\0';
    }
}

static int reap(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static pid_t daemon_start(int *from)
{
    char said[4096];
    pid_t pid = spawn("serve --listen 127.0.0.1:0", from);
    read_until(*from, "listening on http://127.0.0.1:", said, sizeof said);
    return pid;
}

static void daemon_stop(pid_t pid, int from)
{
    kill(pid, SIGINT);              /* as a person does: SIGTERM waits for balancers */
    assert_int_equal(reap(pid), 0); /* not so if a sanitizer found something */
    close(from);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static void bench_begin(void)
{
    signal(SIGPIPE, SIG_IGN);
    unsetenv("SLUICE_CONFIG");
    crypto_init();
}

#endif
