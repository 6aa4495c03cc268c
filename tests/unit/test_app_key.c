/* links: base config app */
/* Where the master key comes from: each place, two at once, and what a command may say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app_key.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY   "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define KEY16 "0011223344556677"

static char folder[] = "/tmp/sluice-key-XXXXXX";

struct row {
    const char *name;
    const char *file, *command, *variable;
    bool env, credential;
    enum err err;
    const char *says; /* in the sentence */
    const char *text; /* the key that was taken; NULL: none */
    const char *from; /* the file that is named */
};

static void surroundings(const struct row *r)
{
    char path[128];
    text_format(path, sizeof path, "%s/sluice-master-key", folder);
    (void)unlink(path);
    if (r->credential) {
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        close(fd);
    }
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
    if (r->variable != NULL)
        assert_int_equal(setenv("SLUICE_MASTER_KEY", r->variable, 1), 0);
    else
        assert_int_equal(unsetenv("SLUICE_MASTER_KEY"), 0);
}

static bool is_wiped(const struct app_key *k)
{
    const uint8_t *p = (const uint8_t *)k;
    for (size_t i = 0; i < sizeof *k; i++)
        if (p[i] != 0)
            return false;
    return true;
}

static void check(const struct row *r)
{
    struct app_key k;
    char why[512] = "";
    struct config c = {
        .master_key_file = r->file, .master_key_command = r->command, .master_key_env = r->env};
    surroundings(r);
    enum err e = app_key_get(&k, &c, why, sizeof why);
    if (e != r->err || strstr(why, r->says != NULL ? r->says : "") == NULL)
        fail_msg("%s: %s, \"%s\"", r->name, err_name(e), why);
    if (e != OK && e != ERR_EXISTS && !is_wiped(&k) && r->variable == NULL)
        fail_msg("%s: something is left behind", r->name);
    assert_null(strstr(why, KEY16)); /* no sentence holds a key */
    if (r->env)
        assert_null(getenv("SLUICE_MASTER_KEY"));
    if (r->text != NULL && (e != OK || !slice_eq(k.key.text, slice_of(r->text))))
        fail_msg("%s: took \"%.*s\"", r->name, (int)k.key.text.n, k.key.text.p);
    if (r->text == NULL && e == OK)
        assert_int_equal(k.key.text.n, 0);
    if (r->from != NULL) {
        assert_non_null(k.key.file);
        assert_non_null(strstr(k.key.file, r->from));
    } else if (e == OK) {
        assert_null(k.key.file);
    }
    if (e == OK) {
        assert_int_equal(k.key.lent, r->credential);
        app_key_wipe(&k);
        assert_true(is_wiped(&k));
    }
}

static void test_places(void **state)
{
    static const struct row ROWS[] = {
        {.name = "the folder's own"},
        {.name = "a file", .file = "/etc/sluice/key", .from = "/etc/sluice/key"},
        {.name = "systemd's", .credential = true, .from = "/sluice-master-key"},
        {.name = "the environment", .env = true, .variable = KEY, .text = KEY},
        {.name = "the environment, by an editor",
         .env = true,
         .variable = " " KEY " ",
         .text = KEY},
        {.name = "the environment, not asked for",
         .variable = KEY,
         .err = ERR_DENIED,
         .says = "`master_key_env` is not on"},
        {.name = "the environment, empty",
         .env = true,
         .variable = "",
         .err = ERR_NOTFOUND,
         .says = "holds no master key"},
        {.name = "the environment, unset", .env = true, .err = ERR_NOTFOUND, .says = "holds no"},
        {.name = "the environment, far too long",
         .env = true,
         .variable = KEY KEY KEY,
         .err = ERR_NOTFOUND,
         .says = "holds no"},
        {.name = "a file and systemd's",
         .file = "/k",
         .credential = true,
         .err = ERR_EXISTS,
         .says = "from 2 places (master_key_file, systemd's credential"},
        {.name = "a command and the environment",
         .command = "printf " KEY,
         .env = true,
         .err = ERR_EXISTS,
         .says = "(master_key_command, $SLUICE_MASTER_KEY)"},
        {.name = "all of them",
         .file = "/k",
         .command = "true",
         .env = true,
         .credential = true,
         .err = ERR_EXISTS,
         .says = "from 4 places"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++)
        check(&ROWS[i]);
}

static void test_command(void **state)
{
    static const struct row ROWS[] = {
        {.name = "says it", .command = "printf " KEY, .text = KEY},
        {.name = "many spaces", .command = "  printf   " KEY "  ", .text = KEY},
        {.name = "no shell", .command = "printf %s $HOME;id", .text = "$HOME;id"},
        {.name = "no quotes", .command = "printf %s 'x'", .text = "'x'"},
        {.name = "nothing to read", .command = "readlink -n /proc/self/fd/0", .text = "/dev/null"},
        {.name = "silent", .command = "true", .err = ERR_SYNTAX, .says = "says nothing"},
        {.name = "fails", .command = "false", .err = ERR_IO, .says = "exit code 1"},
        {.name = "says it and fails",
         .command = "/bin/ls /nowhere-at-all",
         .err = ERR_IO,
         .says = "exit code 2"},
        {.name = "is not there",
         .command = "/nowhere/at/all",
         .err = ERR_IO,
         .says = "there is no such program"},
        {.name = "may not be run",
         .command = "/etc/passwd",
         .err = ERR_IO,
         .says = "exit code 126"},
        {.name = "says too much",
         .command = "printf %200s x",
         .err = ERR_LIMIT,
         .says = "says more than a key"},
        {.name = "never stops talking",
         .command = "yes",
         .err = ERR_LIMIT,
         .says = "says more than a key"},
        {.name = "no word", .command = "   ", .err = ERR_RANGE, .says = "a program and at most"},
        {.name = "too many words",
         .command = "a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a",
         .err = ERR_RANGE,
         .says = "at most 31 words"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++)
        check(&ROWS[i]);
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    surroundings(&(struct row){.name = ""});
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_command),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
