/* `upgrade`: starts this program as a gateway that takes the place of the one that runs. The daemon
 * itself runs no program; this command does, and waits until the newcomer serves or has ended. */
#include "admin/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_MS  60000
#define WORDS_MAX (2 * COMMAND_FLAGS_MAX + 8)

/* ---- asking for the place -------------------------------------------------------------------- */

static const struct verb *verb_upgrade_row(void)
{
    const struct verb *v;
    for (int i = 0; (v = verb_at(i)) != NULL; i++)
        if (strcmp(v->name, "upgrade") == 0)
            return v;
    return NULL;
}

static enum err set_text(const struct verb *v, struct verb_args *args, const char *name,
                         const char *text, char *why, size_t size)
{
    int i = verb_arg_find(v, slice_of(name));
    assert(i >= 0);
    return verb_arg_set(v, args, i, slice_of(text), why, size);
}

enum err admin_ask_handover(const struct config *c, const char *socket, char *why, size_t size)
{
    const struct verb *v = verb_upgrade_row();
    const char *service = config_env(CONFIG_ENV_INVOCATION_ID);
    struct verb_args args = {0};
    struct json *doc = NULL;
    struct buf body;
    char path[1200];
    int status = 0;
    assert(v != NULL);
    buf_init(&body, ADMIN_REPLY_MAX);
    text_format(path, sizeof path, "%s/%s", c->state_dir, ADMIN_SOCKET);
    enum err e = set_text(v, &args, "socket", socket, why, size);
    if (e == OK && service != NULL)
        e = set_text(v, &args, "service", service, why, size);
    if (e == OK)
        e = local_call(path, v, &args, &status, &body, why, size);
    if (e == ERR_NOTFOUND)
        text_format(why, size, "no gateway is running in %s: there is no place to take",
                    c->state_dir);
    if (e == OK && status != 200) {
        struct slice m = S("the running gateway does not know how to hand over");
        if (json_parse(buf_slice(&body), &doc) == OK && status != 404)
            m = json_get_str(json_get(json_root(doc), "error"), "message");
        text_copy(why, size, m);
        json_free(doc);
        e = ERR_CONFLICT;
    }
    verb_args_free(v, &args);
    buf_free(&body);
    return e;
}

/* ---- the newcomer ---------------------------------------------------------------------------- */

struct launch {
    char program[4096];
    char folder[1024];
    char *word[WORDS_MAX + 1]; /* argv */
    int words;
    int64_t older; /* the process that runs */
};

static void launch_word(struct launch *l, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void launch_word(struct launch *l, const char *fmt, ...)
{
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    assert(n >= 0);
    if (l->words < WORDS_MAX && (size_t)n < sizeof text)
        l->word[l->words++] = mem_strdup(text);
}

static void launch_free(struct launch *l)
{
    for (int i = 0; i < l->words; i++)
        mem_free(l->word[i]);
}

/* This very program, also if its file has been replaced or removed since it was started. */
static void launch_program(struct launch *l)
{
    static const char SELF[] = "/proc/self/exe";
    ssize_t n = readlink(SELF, l->program, sizeof l->program - 1);
    if (n > 0)
        l->program[n] = '\0';
    if (n <= 0 || access(l->program, X_OK) != 0)
        text_copy(l->program, sizeof l->program, slice_of(SELF));
}

static bool is_given(const struct cli *x, struct slice name)
{
    for (int i = 0; i < x->cmd.flags; i++)
        if (slice_eq(name, slice_of(x->cmd.flag[i].name)))
            return true;
    return false;
}

/* As the older one was started; what `upgrade` itself is given is in the place of that. */
static void launch_words(struct launch *l, const struct cli *x, const struct json_val *start)
{
    const struct json_val *options = json_get(start, "options");
    struct slice config = json_get_str(start, "config"), name, value;
    launch_word(l, "sluice");
    launch_word(l, "serve");
    launch_word(l, "--takeover");
    if (x->cmd.config_file != NULL)
        launch_word(l, "--config=%s", x->cmd.config_file);
    else if (config.n > 0)
        launch_word(l, "--config=%.*s", (int)config.n, config.p);
    for (size_t i = 0; i < json_len(options); i++) {
        const struct json_val *one = json_at(options, i);
        if (json_str(json_at(one, 0), &name) && json_str(json_at(one, 1), &value) &&
            !is_given(x, name))
            launch_word(l, "--%.*s=%.*s", (int)name.n, name.p, (int)value.n, value.p);
    }
    for (int i = 0; i < x->cmd.flags; i++)
        launch_word(l, "--%s=%s", x->cmd.flag[i].name, x->cmd.flag[i].value);
    l->word[l->words] = NULL;
}

/* In the child. It outlives the terminal it was started from. */
static void become(const struct launch *l, int out)
{
    int null = open("/dev/null", O_RDONLY);
    (void)setsid();
    if (null >= 0)
        (void)dup2(null, STDIN_FILENO);
    if (dup2(out, STDOUT_FILENO) < 0 || (l->folder[0] != '\0' && chdir(l->folder) != 0))
        _exit(126);
    (void)execv(l->program, l->word);
    _exit(127);
}

/* Until it speaks elsewhere (it serves then) or has ended. What it says up to then is the user's.
 */
static enum err listen_to(int in, struct buf *said)
{
    char chunk[1024];
    int64_t left = READY_MS;
    while (left > 0) {
        struct pollfd p = {.fd = in, .events = POLLIN};
        int r = poll(&p, 1, 100);
        if (r <= 0) {
            left -= 100;
            continue;
        }
        ssize_t n = read(in, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 ? OK : ERR_IO;
        if (buf_append(said, chunk, (size_t)n) != OK)
            return ERR_LIMIT;
    }
    return ERR_TIMEOUT;
}

static bool says_it_serves(struct slice said)
{
    struct slice line;
    bool serves = false;
    while (slice_cut(&said, '\n', &line))
        serves = serves || slice_starts(line, S("in the place of process "));
    return serves;
}

static int ended(struct cli *x, const struct launch *l, pid_t pid, enum err e)
{
    int status = 0, code = EXIT_FAIL;
    if (e != OK)
        (void)kill(pid, SIGTERM);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        code = WEXITSTATUS(status);
    if (e == ERR_TIMEOUT)
        text_format(x->why, sizeof x->why,
                    "the new process was not ready within %d s and has been ended; process "
                    "%" PRId64 " goes on serving",
                    READY_MS / 1000, l->older);
    else
        text_format(x->why, sizeof x->why,
                    "the new process has ended (%s %d); process %" PRId64 " goes on serving",
                    WIFEXITED(status) ? "exit code" : "signal",
                    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), l->older);
    return cli_complain(x->why, code);
}

static int launch(struct cli *x, const struct launch *l)
{
    struct buf said, out;
    int fd[2];
    if (pipe(fd) != 0)
        return cli_complain("no pipe can be made", EXIT_FAIL);
    (void)fcntl(fd[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(fd[1], F_SETFD, FD_CLOEXEC);
    pid_t pid = fork();
    if (pid == 0)
        become(l, fd[1]);
    (void)close(fd[1]);
    if (pid < 0) {
        (void)close(fd[0]);
        return cli_complain("no process can be made", EXIT_FAIL);
    }
    buf_init(&said, ADMIN_REPLY_MAX);
    buf_init(&out, OUT_MAX);
    enum err e = listen_to(fd[0], &said);
    (void)close(fd[0]);
    int code = EXIT_OK;
    if (!says_it_serves(buf_slice(&said))) {
        code = ended(x, l, pid, e == OK && said.len == 0 ? OK : e);
    } else if (x->cmd.json) {
        out_printf(&out, "{\"schema\":1,\"pid\":%d,\"older_pid\":%" PRId64 "}\n", (int)pid,
                   l->older);
    } else {
        out_safe(&out, slice_of("process "));
        out_printf(&out, "%d serves now; process %" PRId64 " ends when its last stream has\n",
                   (int)pid, l->older);
    }
    buf_free(&said);
    return cli_emit_end(&out, code);
}

/* ---- the command ----------------------------------------------------------------------------- */

static int ask_status(struct cli *x, struct answer *a)
{
    char path[1200];
    struct verb_args none = {0};
    const struct verb *v = NULL;
    for (int i = 0; v == NULL || strcmp(v->name, "status") != 0; i++) {
        v = verb_at(i);
        assert(v != NULL);
    }
    text_format(path, sizeof path, "%s/%s", x->config->state_dir, ADMIN_SOCKET);
    enum err e = local_call(path, v, &none, &a->status, &a->body, x->why, sizeof x->why);
    if (e == OK)
        return EXIT_OK;
    if (e == ERR_NOTFOUND)
        text_format(x->why, sizeof x->why, "no gateway is running in %s: `sluice serve` starts one",
                    x->config->state_dir);
    return cli_complain(x->why, e == ERR_DENIED ? EXIT_DENIED : EXIT_UNREACHABLE);
}

int run_upgrade(struct cli *x)
{
    struct answer a;
    struct json *doc = NULL;
    struct launch *l = NEW(struct launch);
    answer_init(&a);
    int code = ask_status(x, &a);
    if (code == EXIT_OK &&
        (json_parse(buf_slice(&a.body), &doc) != OK || json_get(json_root(doc), "start") == NULL))
        code = cli_complain("the running gateway does not know how to hand over: stop it, and "
                            "start this one",
                            EXIT_FAIL);
    if (code == EXIT_OK) {
        const struct json_val *start = json_get(json_root(doc), "start");
        text_copy(l->folder, sizeof l->folder, json_get_str(start, "folder"));
        l->older = json_get_i64(json_root(doc), "pid", 0);
        launch_program(l);
        launch_words(l, x, start);
        code = launch(x, l);
    }
    launch_free(l);
    mem_free(l);
    json_free(doc);
    answer_free(&a);
    return code;
}
