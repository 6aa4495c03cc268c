#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1 /* POSIX 2008 under -std=c17 */
#endif
#include "app_key.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CREDENTIAL   "sluice-master-key"
#define WORDS_MAX    32
#define COMMAND_MS   10000
#define COMMAND_LOOK 100 /* ms */

/* ---- a command ------------------------------------------------------------------------------- */

struct words {
    char text[2048];
    char *word[WORDS_MAX + 1];
};

/* At spaces, and nothing else: no shell, no quotes. */
static bool words_split(struct words *w, const char *command)
{
    int n = 0;
    if (strlen(command) >= sizeof w->text)
        return false;
    text_copy(w->text, sizeof w->text, slice_of(command));
    for (char *p = w->text; *p != '\0';) {
        while (*p == ' ')
            *p++ = '\0';
        if (*p == '\0')
            break;
        if (n == WORDS_MAX)
            return false;
        w->word[n++] = p;
        while (*p != ' ' && *p != '\0')
            p++;
    }
    w->word[n] = NULL;
    return n > 0;
}

/* In the child: only what may be called after fork. Its group is its own, so that all it has
 * started can be ended with it. What it says on standard error is for the operator. */
static void command_become(const struct words *w, int out)
{
    int null = open("/dev/null", O_RDONLY);
    (void)setpgid(0, 0);
    (void)signal(SIGPIPE, SIG_DFL);
    if (null >= 0)
        (void)dup2(null, STDIN_FILENO);
    if (dup2(out, STDOUT_FILENO) < 0)
        _exit(126);
    (void)execvp(w->word[0], w->word);
    _exit(errno == ENOENT ? 127 : 126);
}

/* What it says, to its end. Time is counted in looks: at most COMMAND_MS of silence in all, and a
 * key has no room for many small pieces. ERR_TIMEOUT, ERR_LIMIT, ERR_IO. */
static enum err command_read(int in, char *out, size_t size, size_t *n)
{
    int looks = COMMAND_MS / COMMAND_LOOK;
    *n = 0;
    while (looks > 0) {
        struct pollfd p = {.fd = in, .events = POLLIN};
        int ready = poll(&p, 1, COMMAND_LOOK);
        if (ready == 0 || (ready < 0 && errno == EINTR)) {
            looks--;
            continue;
        }
        ssize_t got = ready < 0 ? -1 : read(in, out + *n, size - *n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return ERR_IO;
        if (got == 0)
            return OK;
        *n += (size_t)got;
        if (*n == size)
            return ERR_LIMIT;
    }
    return ERR_TIMEOUT;
}

/* Its end: waited for as long as it may take, then made. */
static int command_end(pid_t pid, bool kill_it)
{
    int status = 0;
    for (int looks = kill_it ? 0 : COMMAND_MS / COMMAND_LOOK; looks > 0; looks--) {
        if (waitpid(pid, &status, WNOHANG) == pid)
            return status;
        (void)poll(NULL, 0, COMMAND_LOOK / 10);
    }
    (void)kill(-pid, SIGKILL);
    (void)kill(pid, SIGKILL); /* it may not have come to its own group yet */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

static enum err command_failed(enum err e, int status, char *why, size_t size)
{
    if (e == ERR_TIMEOUT)
        text_format(why, size, "master_key_command did not finish within %d s", COMMAND_MS / 1000);
    else if (e == ERR_LIMIT)
        text_format(why, size, "master_key_command says more than a key");
    else if (e != OK)
        text_format(why, size, "master_key_command could not be run: %s", err_name(e));
    else if (WIFEXITED(status))
        text_format(why, size, "master_key_command failed with exit code %d%s", WEXITSTATUS(status),
                    WEXITSTATUS(status) == 127 ? ": there is no such program" : "");
    else
        text_format(why, size, "master_key_command was ended by signal %d", WTERMSIG(status));
    return e == OK ? ERR_IO : e;
}

static enum err command_run(const char *command, char *out, size_t size, size_t *n, char *why,
                            size_t why_size)
{
    struct words w;
    int fd[2];
    if (!words_split(&w, command)) {
        text_format(why, why_size, "master_key_command: a program and at most %d words are wanted",
                    WORDS_MAX - 1);
        return ERR_RANGE;
    }
    if (pipe(fd) != 0)
        return command_failed(ERR_BUSY, 0, why, why_size);
    (void)fcntl(fd[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(fd[1], F_SETFD, FD_CLOEXEC);
    pid_t pid = fork();
    if (pid == 0)
        command_become(&w, fd[1]);
    (void)close(fd[1]);
    enum err e = pid < 0 ? ERR_BUSY : command_read(fd[0], out, size, n);
    (void)close(fd[0]);
    int status = pid < 0 ? 0 : command_end(pid, e != OK);
    return e == OK && status == 0 ? OK : command_failed(e, status, why, why_size);
}

/* ---- the one place --------------------------------------------------------------------------- */

static const char *credential(const struct app_key *k)
{
    return k->path[0] != '\0' && access(k->path, F_OK) == 0 ? k->path : NULL;
}

static enum err too_many(const char *const *named, int n, char *why, size_t size)
{
    size_t at = text_format(why, size, "the master key is to come from %d places (", n);
    for (int i = 0; i < n; i++)
        at += text_format(why + at, size - at, "%s%s", i > 0 ? ", " : "", named[i]);
    text_format(why + at, size - at, "): exactly one is wanted");
    return ERR_EXISTS;
}

static enum err take_env(struct app_key *k, char *why, size_t size)
{
    if (!config_take_master_key(k->text, sizeof k->text)) {
        text_format(why, size, "master_key_env is on, and $SLUICE_MASTER_KEY holds no master key");
        return ERR_NOTFOUND;
    }
    k->key.text = slice_trim(slice_of(k->text));
    return OK;
}

static enum err take_command(struct app_key *k, const char *command, char *why, size_t size)
{
    size_t n = 0;
    enum err e = command_run(command, k->text, sizeof k->text - 1, &n, why, size);
    if (e != OK)
        return e;
    k->key.text = slice_trim((struct slice){k->text, n});
    if (k->key.text.n > 0)
        return OK;
    text_format(why, size, "master_key_command says nothing");
    return ERR_SYNTAX;
}

enum err app_key_get(struct app_key *k, const struct config *c, char *why, size_t size)
{
    const char *named[4], *folder = config_env(CONFIG_ENV_CREDENTIALS_DIRECTORY);
    int n = 0;
    enum err e = OK;
    *k = (struct app_key){0};
    if (folder != NULL)
        text_format(k->path, sizeof k->path, "%s/" CREDENTIAL, folder);
    if (c->master_key_file != NULL)
        named[n++] = "master_key_file";
    if (c->master_key_command != NULL)
        named[n++] = "master_key_command";
    if (c->master_key_env)
        named[n++] = "$SLUICE_MASTER_KEY";
    if (credential(k) != NULL)
        named[n++] = "systemd's credential " CREDENTIAL;
    if (n > 1)
        return too_many(named, n, why, size);
    if (!c->master_key_env && config_env(CONFIG_ENV_MASTER_KEY) != NULL) {
        text_format(why, size,
                    "$SLUICE_MASTER_KEY is set, but `master_key_env` is not on: a key in the "
                    "environment is easily seen. Turn it on if you mean it, or unset the variable");
        return ERR_DENIED;
    }
    k->key.name = n > 0 ? named[0] : NULL;
    if (c->master_key_file != NULL) {
        k->key.file = c->master_key_file;
        k->key.name = c->master_key_file;
    } else if (c->master_key_command != NULL) {
        e = take_command(k, c->master_key_command, why, size);
    } else if (c->master_key_env) {
        e = take_env(k, why, size);
    } else if (n > 0) {
        k->key.file = k->path;
        k->key.lent = true;
    }
    if (e != OK)
        app_key_wipe(k);
    return e;
}

void app_key_wipe(struct app_key *k)
{
    crypto_wipe(k, sizeof *k);
}
