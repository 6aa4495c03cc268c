/* links: base config net store app */
/* What a configuration leaves open: each row in a process of its own that gives the rest up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app_sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LACKING 99

static char root[] = "/tmp/sluice-plan-XXXXXX";

static const char *at(const char *name)
{
    static char path[4][256];
    static int n;
    n = (n + 1) % 4;
    text_format(path[n], sizeof path[n], "%s/%s", root, name);
    return path[n];
}

static void file_make(const char *name)
{
    int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
}

/* As a renewal does. */
static bool file_replace(const char *name)
{
    char fresh[300];
    text_format(fresh, sizeof fresh, "%s.new", at(name));
    int fd = open(fresh, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fd >= 0 && rename(fresh, at(name)) == 0;
}

static bool may(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* ---- a process of its own -------------------------------------------------------------------- */

struct row {
    const char *name, *mode;
    const char *cert, *read, *variable, *value, *key;
    const char *open[6], *shut[6]; /* names below the root, or absolute */
    const char *writable;
};

static const char *place(const char *name)
{
    return name[0] == '/' ? name : at(name);
}

/* 0, LACKING, or the number of what is not as it should be. */
static int row_child(const struct row *r, int ready, int go)
{
    struct app_sandbox x;
    struct store_key key = {.file = r->key != NULL ? at(r->key) : NULL};
    struct config c = {.state_dir = at("state"), .sandbox = r->mode, .listens = 0};
    char why[512], cert[256], read_dir[256], wait;
    if (r->cert != NULL) {
        text_copy(cert, sizeof cert, slice_of(at(r->cert)));
        c.tls_cert[0] = c.tls_key[0] = cert;
        c.tls_certs = c.tls_keys = 1;
    }
    if (r->read != NULL) {
        text_copy(read_dir, sizeof read_dir, slice_of(at(r->read)));
        c.sandbox_read[0] = read_dir;
        c.sandbox_reads = 1;
    }
    enum err e = app_sandbox_files(&x, &c, at("config/sluice.yaml"), &key, why, sizeof why);
    if (e == ERR_UNSUPPORTED || (e == OK && x.wanted && !x.got.files))
        return LACKING;
    if (e != OK)
        return 98;
    if (write(ready, "x", 1) != 1 || read(go, &wait, 1) != 1) /* files are replaced meanwhile */
        return 97;
    for (int i = 0; i < 6 && r->open[i] != NULL; i++)
        if (!may(place(r->open[i]), O_RDONLY))
            return 1 + i;
    for (int i = 0; i < 6 && r->shut[i] != NULL; i++)
        if (may(place(r->shut[i]), O_RDONLY) || errno != EACCES)
            return 11 + i;
    if (!may(at("state/new"), O_RDWR | O_CREAT))
        return 21;
    if (x.wanted && may(at("config/new"), O_RDWR | O_CREAT))
        return 22;
    if (r->writable != NULL && !may(at(r->writable), O_RDWR | O_CREAT))
        return 23;
    return 0;
}

static int row_run(const struct row *r)
{
    int ready[2], go[2], status;
    char c;
    assert_int_equal(pipe(ready) | pipe(go), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(row_child(r, ready[1], go[0]));
    close(ready[1]);
    close(go[0]);
    if (read(ready[0], &c, 1) == 1) {
        assert_true(file_replace("certs/own.pem") && file_replace("archive/x1.pem") &&
                    file_replace("config/sluice.yaml"));
        assert_int_equal(write(go[1], "x", 1), 1);
    }
    close(ready[0]);
    close(go[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_rows(void **state)
{
    static const struct row ROWS[] = {
        {.name = "next to nothing",
         .mode = "on",
         .open = {"config/sluice.yaml", "/etc/hosts", "/dev/null", "/dev/urandom"},
         .shut = {"hidden", "certs/own.pem", "other/file", "/bin", "/root"}},
        {.name = "nothing of the state folder's neighbours",
         .mode = "strict",
         .open = {"config/sluice.yaml", "/etc/hosts"},
         .shut = {"hidden", "other/file", "/usr/lib", "/etc/passwd", "home/.aws/credentials"}},
        {.name = "certificates, replaced meanwhile",
         .mode = "on",
         .cert = "certs/own.pem",
         .open = {"certs/own.pem", "config/sluice.yaml"},
         .shut = {"hidden", "other/file"}},
        {.name = "certificates behind links",
         .mode = "strict",
         .cert = "live/x.pem",
         .open = {"live/x.pem", "archive/x1.pem"},
         .shut = {"hidden", "certs/own.pem"}},
        {.name = "what is named besides",
         .mode = "strict",
         .read = "other",
         .open = {"other/file"},
         .shut = {"hidden", "certs/own.pem"}},
        {.name = "the clouds' files",
         .mode = "on",
         .open = {"home/.aws/credentials"},
         .shut = {"home/diary", "hidden"}},
        {.name = "a file of a cloud's by its name",
         .mode = "strict",
         .variable = "GOOGLE_APPLICATION_CREDENTIALS",
         .value = "other/file",
         .open = {"other/file"},
         .shut = {"home/.aws/credentials", "hidden"}},
        {.name = "a folder where a file should be",
         .mode = "on",
         .variable = "GOOGLE_APPLICATION_CREDENTIALS",
         .value = "/",
         .shut = {"hidden", "other/file"}},
        {.name = "a file in a folder that is not for us",
         .mode = "on",
         .variable = "GOOGLE_APPLICATION_CREDENTIALS",
         .value = "home/diary",
         .open = {"home/diary"},
         .shut = {"home/letter", "hidden"}},
        {.name = "a key of ours elsewhere, which a rotation replaces",
         .mode = "on",
         .key = "keys/master.key",
         .open = {"keys/master.key"},
         .shut = {"hidden"},
         .writable = "keys/master.key.00000000"},
        {.name = "off", .mode = "off", .open = {"hidden", "other/file", "/etc/passwd"}},
    };
    (void)state;
#ifdef SLUICE_COVERAGE
    skip(); /* such a build writes its counts anywhere: nothing is shut */
#endif
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        const struct row *r = &ROWS[i];
        if (r->variable != NULL)
            assert_int_equal(setenv(r->variable, place(r->value), 1), 0);
        int got = row_run(r);
        if (r->variable != NULL)
            assert_int_equal(unsetenv(r->variable), 0);
        if (got == LACKING) {
            print_message("this kernel has no Landlock\n");
            skip();
        }
        if (got != 0)
            fail_msg("%s: %d", r->name, got);
    }
}

static int setup(void **state)
{
    static const char *const DIRS[] = {"state", "config", "certs", "live",     "archive",
                                       "other", "home",   "keys",  "home/.aws"};
    static const char *const FILES[] = {"config/sluice.yaml",
                                        "certs/own.pem",
                                        "archive/x1.pem",
                                        "other/file",
                                        "home/diary",
                                        "home/letter",
                                        "keys/master.key",
                                        "home/.aws/credentials",
                                        "hidden"};
    (void)state;
    if (mkdtemp(root) == NULL)
        return -1;
    for (size_t i = 0; i < sizeof DIRS / sizeof *DIRS; i++)
        assert_int_equal(mkdir(at(DIRS[i]), 0700), 0);
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++)
        file_make(FILES[i]);
    assert_int_equal(symlink("../archive/x1.pem", at("live/x.pem")), 0);
    return setenv("HOME", at("home"), 1);
}

static int teardown(void **state)
{
    static const char *const NAMES[] = {"config/sluice.yaml",
                                        "certs/own.pem",
                                        "archive/x1.pem",
                                        "other/file",
                                        "home/diary",
                                        "home/letter",
                                        "keys/master.key",
                                        "keys/master.key.00000000",
                                        "state/new",
                                        "home/.aws/credentials",
                                        "hidden",
                                        "live/x.pem",
                                        "config/new"};
    static const char *const DIRS[] = {"state", "config", "certs",     "live", "archive",
                                       "other", "keys",   "home/.aws", "home"};
    (void)state;
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        (void)unlink(at(NAMES[i]));
    for (size_t i = 0; i < sizeof DIRS / sizeof *DIRS; i++)
        (void)rmdir(at(DIRS[i]));
    return rmdir(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
    mem_init();
    crypto_init();
    return cmocka_run_group_tests(tests, setup, teardown);
}
