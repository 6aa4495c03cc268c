/* The command line from argv to exit code: on a state folder of its own, without a daemon, and with
 * a real one in another process. */
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
    kill(pid, SIGTERM);
    assert_int_equal(reap(pid), 0); /* not so if a sanitizer found something */
    close(from);
}

/* ---- every verb, both ways
 * ----------------------------------------------------------------------- */

static void accounts_story(void)
{
    struct json *j;
    want(0, "", "account list");
    says("no account yet");
    want(0, CANARY "\n",
         "account add box --provider anthropic-compatible --base-url "
         "http://127.0.0.1:9 --priority 7 --weight 3 --secret-file -");
    says("account `box` added (private address)");
    says("the right to use this account");
    says("never imitates another client");
    j = want_json(0, CANARY, "account add web --provider anthropic --secret-file -");
    assert_true(slice_eq(json_get_str(json_root(j), "base_url"), S("https://api.anthropic.com")));
    assert_false(json_get_bool(json_root(j), "private", true));
    json_free(j);
    j = want_json(6, CANARY, "account add web --provider anthropic --secret-file -");
    assert_true(slice_eq(json_get_str(json_get(json_root(j), "error"), "code"), S("conflict")));
    json_free(j);
    says("there is an account `web` already");
    j = want_json(0, "", "account list");
    const struct json_val *list = json_get(json_root(j), "accounts");
    assert_int_equal(json_len(list), 2);
    assert_true(slice_eq(json_get_str(json_at(list, 0), "name"), S("web")));
    assert_true(json_get_bool(json_at(list, 1), "private", false));
    json_free(j);
    want(0, "", "account list");
    says("http://127.0.0.1:9 (private)");
    want(0, "", "account show box");
    says("http://127.0.0.1:9 (private)");
    j = want_json(0, "", "account pause box");
    assert_true(slice_eq(json_get_str(json_root(j), "state"), S("paused")));
    json_free(j);
    want(0, "", "account pause box");
    says("account `box` is paused");
    j = want_json(0, "", "account show box");
    assert_true(slice_eq(json_get_str(json_root(j), "state"), S("paused")));
    assert_int_equal(json_get_i64(json_root(j), "priority", 0), 7);
    assert_int_equal(json_get_i64(json_root(j), "weight", 0), 3);
    json_free(j);
    want(0, "", "account show box");
    says("sluice account resume box");
    want(0, "", "account resume box");
    says("account `box` is ready");
    want(0, "", "account reset-limit box");
    says("account `box` is ready");
    j = want_json(0, "", "account reset-limit box");
    assert_int_equal(json_type(json_get(json_root(j), "windows")), JSON_ARRAY);
    json_free(j);
    want(5, "", "account reset-limit nobody");
}

static void accounts_change(void)
{
    struct json *j;
    want(0, "", "account rename box box.2");
    want(6, "", "account rename box.2 web");
    want(0, "", "account rename box.2 box.2");
    want(2, "", "account rename box.2 a/b");
    want(5, "", "account rename box c");
    want(0, "", "account set box.2 --priority 0 --weight 1000");
    j = want_json(0, CANARY "2", "account set box.2 --secret-file - --base-url http://[::1]:9/v1");
    assert_int_equal(json_get_i64(json_root(j), "priority", -1), 0);
    assert_true(slice_eq(json_get_str(json_root(j), "base_url"), S("http://[::1]:9/v1")));
    json_free(j);
    want(1, "", "account test box.2");
    says("account `box.2`: no answer: ");
    want(2, "", "account set box.2");
    says("nothing to change");
    want(2, "", "account set box.2 --base-url=");
    want(2, "", "account set web --priority 1001");
    want(2, "", "account set web --priority 99999999999");
    want(2, "", "account set web --weight 0");
    want(2, "two words", "account set web --secret-file -");
    want(0, "", "account remove box.2");
    j = want_json(5, "", "account remove box.2");
    json_free(j);
    says("there is no account `box.2`");
    want(5, "", "account show box.2");
    want(5, "", "account pause box.2");
    want(5, "", "account resume box.2");
    want(5, "", "account test box.2");
    want(5, "", "account set box.2 --weight 2");
}

#define PAIR                                                                                  \
    "{\"claudeAiOauth\":{\"accessToken\":\"" CANARY "-a\",\"refreshToken\":\"" CANARY "-r\"," \
    "\"expiresAt\":4102444800000}}"
#define PLAN "account add plan --provider claude-oauth --client-id mine "

/* An account with a rotating token: imported, changed and removed, and its token in no output. */
static void tokens_story(void)
{
    struct json *j;
    const struct json_val *token;
    want(2, PAIR, "account add plan --provider claude-oauth --token-file -");
    says("no client_id");
    want(2, "{}", PLAN "--token-file -");
    says("the token file is not understood");
    want(2, CANARY, PLAN "--token-file -");
    want(2, CANARY, PLAN "--secret-file -");
    says("--token-file");
    want(2, PAIR, PLAN "--token-file - --secret-file -");
    want(2, PAIR, PLAN "--token-file - --token-url http://tokens.example/t");
    want(2, PAIR,
         PLAN "--token-file - --token-url http://127.0.0.1:9/t --base-url http://a.example");
    says("in the clear");
    want(2, CANARY, "account add plan --provider anthropic --secret-file - --client-id mine");
    says("OAuth");
    want(2, PAIR, "account add plan --provider anthropic --token-file -");
    says("--secret-file FILE is missing");
    want(5, "", "account show plan"); /* none of these has left one behind */
    want(0, PAIR, PLAN "--token-file - --token-url http://127.0.0.1:9/token");
    says("account `plan` added (private address)");
    says("the right to use this account");
    says("next: sluice account test plan");
    want(6, PAIR, PLAN "--token-file -");
    want(0, "", "account pause plan"); /* hands the client id back: see account_row_of */
    want(0, "", "account rename plan plan2");
    want(0, "", "account set plan2 --priority 3");
    want(0, "", "account resume plan2");
    says("account `plan2` is ready");
    j = want_json(0, "", "account show plan2");
    token = json_get(json_root(j), "token");
    assert_int_equal(json_get_i64(token, "generation", 0), 1);
    assert_true(slice_eq(json_get_str(token, "state"), S("held")));
    assert_true(json_get_bool(token, "refreshable", false)); /* so the client id is there still */
    assert_true(slice_eq(json_get_str(token, "expires_at"), S("2100-01-01T00:00:00.000Z")));
    json_free(j);
    want(0, "", "account show plan2");
    says(", no. 1, renewed by itself");
    want(0, "", "account list");
    says("TOKEN");
    says(", no. 1");
    want(2, CANARY, "account set plan2 --secret-file -");
    want(0, "", "account remove plan2");
    want(2, "", PLAN "--token-url=");
    says("--token-url is empty");
    want(0, "", PLAN);
    says("It has no token yet");
    says("next: sluice account login plan");
    want(0, "", "account show plan");
    says("missing, no. 0");
    says("sluice account login plan");
    want(1, "", "account test plan");
    says("has no token: log in with `sluice account login plan`");
    want(6, PAIR, PLAN "--token-file -"); /* all that it was stays, with `import` */
    says("sluice account import plan --token-file FILE");
    want(2, "{}", "account import plan --token-file -");
    want(5, PAIR, "account import nobody --token-file -");
    want(2, PAIR, "account import web --token-file -");
    says("has a secret and no login");
    want(0, PAIR, "account import plan --token-file -");
    says("account `plan` has a new token");
    says("no. 1, renewed by itself");
    says("state       ready");
    j = want_json(0, PAIR, "account import plan --token-file -"); /* and again, over a good one */
    token = json_get(json_root(j), "token");
    assert_int_equal(json_get_i64(token, "generation", 0), 2);
    assert_true(slice_eq(json_get_str(json_root(j), "state"), S("ready")));
    json_free(j);
    want(0, "", "account remove plan");
    want(0, "", "account list");
    assert_null(strstr(out, "TOKEN"));
}

/* A login's page, and answers that lead nowhere; the whole way is in test_admin_login.c. */
static void login_story(bool daemon)
{
    struct json *j;
    want(5, "", "account login nobody");
    want(2, "", "account login web");
    says("has a secret and no login");
    want(0, "", PLAN "--token-url http://127.0.0.1:9/token");
    want(5, "code#state", "account callback plan --answer-file -");
    says("no login is under way");
    want(2, "", "account login plan");
    says("what standard input has brought is empty");
    says("https://claude.ai/oauth/authorize?code=true&client_id=mine&");
    says("the right to use this account");
    want(77, CANARY "#another-state\n", "account login plan");
    says("belongs to another login");
    want(2, CANARY "\n", "account login plan");
    says("the answer is not understood");
    want(1, "", "account login plan --answer-file /no/such/file");
    want(2, "", "account login plan --code " CANARY);
    says("use --answer-file FILE");
    if (daemon) {
        j = want_json(0, "", "account login plan --begin");
        const struct json_val *r = json_root(j);
        assert_true(slice_eq(json_get_str(r, "ends_in"), S("token")));
        assert_int_equal(json_get_str(r, "state").n, 43);
        assert_true(slice_search(json_get_str(r, "url"), json_get_str(r, "state")) > 0);
        assert_in_range(json_get_i64(r, "expires_in_seconds", 0), 890, 900);
        json_free(j);
        want(77, CANARY "#x", "account callback plan --answer-file -");
        want(0, "", "account login plan --begin");
        says("then: sluice account callback plan --answer-file -");
    } else {
        want(3, "", "account login plan --begin");
        says("needs a running gateway");
    }
    want(0, "", "account remove plan");
    want(2, "", "account add con --provider console");
    says("no client_id");
    want(0, "", "account add con --provider console --client-id mine");
    says("It has no key yet");
    want(0, "", "account show con");
    says("login: no_key");
    want(1, "", "account test con");
    says("has no key: log in with `sluice account login con`");
    want(2, PAIR, "account import con --token-file -");
    want(2, PAIR, "account add con2 --provider console --client-id mine --token-file -");
    want(2, "", "account add c --provider console --client-id x --key-url http://a.example/k");
    says("the key URL must begin with https://");
    want(77, "x#y\n", "account login con");
    want(0, "", "account remove con");
}

static void keys_story(void)
{
    char key[80];
    struct json *j;
    want(0, "", "key list");
    says("no key yet");
    j = want_json(0, "", "key add alice");
    text_copy(key, sizeof key, json_get_str(json_root(j), "key"));
    assert_int_equal(strlen(key), 62);
    assert_true(slice_starts(slice_of(key), S("slc_")));
    json_free(j);
    want(0, "", "key add bob");
    says("export ANTHROPIC_BASE_URL=http://127.0.0.1:");
    says("export ANTHROPIC_AUTH_TOKEN=slc_");
    want(6, "", "key add alice");
    want(2, "", "key add a/b");
    j = want_json(0, "", "key list");
    const struct json_val *list = json_get(json_root(j), "keys");
    assert_int_equal(json_len(list), 2);
    assert_true(slice_eq(json_get_str(json_at(list, 0), "name"), S("alice")));
    assert_int_equal(json_type(json_get(json_at(list, 0), "revoked_at")), JSON_NULL);
    assert_null(strstr(out, key));
    json_free(j);
    want(0, "", "key revoke alice");
    want(5, "", "key revoke alice");
    says("revoked");
    want(5, "", "key revoke never-made");
    want(0, "", "key add alice"); /* the name is free again */
    want(0, "", "key list");
    says("alice");
}

static void groups_story(void)
{
    struct json *j;
    const struct json_val *r;
    j = want_json(0, "", "group list");
    assert_int_equal(json_len(json_get(json_root(j), "groups")), 1);
    r = json_at(json_get(json_root(j), "groups"), 0);
    assert_true(slice_eq(json_get_str(r, "name"), S("default")));
    assert_true(slice_eq(json_get_str(r, "strategy"), S("session")));
    assert_int_equal(json_len(json_get(r, "accounts")), 1);
    json_free(j);
    want(2, "", "group set premium --strategy nonsense");
    want(2, "", "group set prem/ium --strategy shuffle");
    want(5, "", "group show premium");
    want(5, "", "account set web --group premium");
    says("`sluice group set premium` makes it");
    want(5, "", "key add k --group premium");
    want(0, "", "group set premium --strategy least-used --affinity off");
    j = want_json(0, "", "group set premium --strategy least-used");
    assert_false(json_get_bool(json_root(j), "affinity", true)); /* stays as it was */
    json_free(j);
    j = want_json(0, "", "group set premium --affinity=");
    assert_true(json_get_bool(json_root(j), "affinity", false)); /* as the strategy wants it */
    assert_true(slice_eq(json_get_str(json_root(j), "strategy"), S("least-used")));
    json_free(j);
    want(5, "", "group set team --strategy model --route claude-opus=nobody --route =default");
    want(2, "", "group set team --strategy model --route claude-opus");
    want(0, "", "group set team --strategy model --route claude-opus=premium --route =default");
    j = want_json(0, "", "group show team");
    r = json_get(json_root(j), "routes");
    assert_int_equal(json_len(r), 2);
    assert_true(slice_eq(json_get_str(json_at(r, 0), "prefix"), S("claude-opus")));
    assert_true(slice_eq(json_get_str(json_at(r, 0), "group"), S("premium")));
    json_free(j);
    want(0, "", "group list");
    says("claude-opus -> premium, others -> default");
    want(0, "", "account set web --group premium,default");
    want(0, "", "account list");
    says("premium, default");
    want(6, "", "group remove premium");
    says("account `web`, a route of group `team`");
    want(6, "", "group remove default");
    want(5, "", "group remove never");
    want(0, "", "key add grouped --group premium");
    want(0, "", "key list");
    says("premium");
    want(2, "", "key set grouped");
    want(5, "", "key set nobody --group premium");
    want(0, "", "key set grouped --group team");
    says("is served by the accounts of group `team`");
    want(6, "", "group remove team");
    says("key `grouped`");
    want(0, "", "key set grouped --group=");
    want(0, "", "group remove team");
    want(0, "", "account set web --group=");
    want(0, "", "group remove premium");
    says("group `premium` removed");
    want(0, "", "key revoke grouped");
    want(5, "", "key set grouped --group default");
}

static void policies_story(void)
{
    struct json *j;
    const struct json_val *r;
    want(2, "", "account set web --pause-at 101");
    want(2, "", "account set web --concurrency -1");
    want(2, "", "account set web --peak-hours nonsense");
    want(2, "", "account set web --pause-on-overage perhaps");
    says("either on or off");
    want(2, "", "account set web --client-id x");
    says("OAuth");
    want(0, "", "account set web --pause-at 90 --concurrency 8 --quota org --pause-on-overage on");
    want(0, "", "account set web --peak-hours 14:00-18:00"); /* what was set before stays */
    j = want_json(0, "", "account show web");
    r = json_root(j);
    assert_int_equal(json_get_i64(r, "pause_at", 0), 90);
    assert_int_equal(json_get_i64(r, "concurrency", 0), 8);
    assert_true(slice_eq(json_get_str(r, "quota"), S("org")));
    assert_true(json_get_bool(r, "pause_on_overage", false));
    assert_true(slice_eq(json_get_str(r, "peak_hours"), S("14:00-18:00")));
    struct slice group;
    assert_true(json_str(json_at(json_get(r, "groups"), 0), &group));
    assert_true(slice_eq(group, S("default")));
    json_free(j);
    want(0, "", "account show web");
    says("8 requests at a time at most");
    says("at 90 %");
    want(0, "",
         "account set web --pause-at 0 --concurrency 0 --quota= --pause-on-overage= --peak-hours=");
    j = want_json(0, "", "account show web");
    r = json_root(j);
    assert_int_equal(json_get_i64(r, "pause_at", -1), 0);
    assert_int_equal(json_get_str(r, "peak_hours").n, 0);
    assert_false(json_get_bool(r, "pause_on_overage", true));
    json_free(j);
}

static void explain_story(void)
{
    struct json *j;
    j = want_json(0, "", "route explain --model claude-opus-4-6 --session 0123456789abcdef");
    const struct json_val *r = json_root(j), *a = json_at(json_get(r, "accounts"), 0);
    assert_true(slice_eq(json_get_str(r, "account"), S("web")));
    assert_true(slice_eq(json_get_str(r, "session"), S("0123456789abcdef")));
    assert_int_equal(json_type(json_get(r, "warm_at")), JSON_NULL);
    assert_true(slice_eq(json_get_str(a, "why"), S("only")));
    assert_true(json_get_str(a, "why_text").n > 0);
    json_free(j);
    want(0, "", "route explain --model claude-opus-4-6");
    says("goes to     web: ");
    want(0, "", "account pause web");
    want(0, "", "route explain --model x");
    says("nobody: no account can serve it");
    says("it is paused");
    want(0, "", "account resume web");
    want(2, "", "route explain");
    want(5, "", "route explain --model x --group nobody");
    want(5, "", "route explain --model x --key nobody");
    want(2, "", "route explain --model x --key a --group b");
}

static void status_story(bool daemon)
{
    struct json *j = want_json(0, "", "status");
    const struct json_val *r = json_root(j);
    assert_int_equal(json_get_bool(r, "daemon", !daemon), daemon);
    assert_int_equal(json_len(json_get(r, "listen")), daemon ? 1 : 0);
    assert_int_equal(json_len(json_get(r, "accounts")), 1);
    assert_int_equal(json_get_i64(json_get(r, "store"), "records_dropped", -1), 0);
    assert_int_equal(json_get_i64(json_get(r, "requests"), "total", -1), 0);
    json_free(j);
    want(0, "", "status");
    says(daemon ? "listening   http://127.0.0.1:" : "is not running here");
    want(daemon ? 0 : 3, "", "reload");
    j = want_json(0, "", "requests");
    assert_int_equal(json_type(json_get(json_root(j), "requests")), JSON_ARRAY);
    json_free(j);
    want(2, "", "requests --limit 0");
    want(2, "", "requests --limit 1001");
    want(2, "", "requests --after 1 --before 2");
    want(2, "", "requests --after -1");
}

static void every_verb_without_a_daemon(void **state)
{
    (void)state;
    accounts_story();
    accounts_change();
    tokens_story();
    login_story(false);
    keys_story();
    groups_story();
    policies_story();
    explain_story();
    status_story(false);
    want(3, "", "requests -f");
}

static void every_verb_with_a_daemon(void **state)
{
    int from;
    (void)state;
    pid_t pid = daemon_start(&from);
    accounts_story();
    accounts_change();
    tokens_story();
    login_story(true);
    keys_story();
    groups_story();
    policies_story();
    explain_story();
    status_story(true);
    daemon_stop(pid, from);
    want(0, "", "account list");
    says("web");
}

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
    j = want_json(0, "", "requests show id-9");
    one_request(json_get(json_root(j), "request"));
    json_free(j);
    want(0, "", "requests show id-9");
    says("two: 200, served, after 2ms");
    says("one: 529, overloaded, after 1ms");
    says("complete, status 200");
    want(5, "", "requests show id-99");
    says("no record of request `id-99`");
    want(2, "", "requests show");
    want(0, "", "requests --account nobody");
    says("no request is recorded");
    want(0, "", "requests");
    says("TIME (UTC)");
    says("$0.0015");
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
    const struct cli_hooks held = {NULL, busy_open, APP_HOOKS.offline_close},
                           denied = {NULL, denied_open, NULL};
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_verb_without_a_daemon),
        TEST(every_verb_with_a_daemon),
        TEST(addresses),
        TEST(names_and_numbers),
        TEST(secrets),
        TEST(requests_newest_last),
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
    signal(SIGPIPE, SIG_IGN);
    unsetenv("SLUICE_CONFIG");
    crypto_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
