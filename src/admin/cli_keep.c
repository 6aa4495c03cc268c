#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1 /* POSIX 2008 under -std=c17 */
#endif
/* `backup` and `restore`, as far as they are this process's own: paths are the caller's, and what
 * is restored nobody has open. */
#include "admin/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct verb_value *file_of(struct cli *x)
{
    int i = verb_arg_find(x->cmd.verb, S("file"));
    assert(i >= 0);
    return &x->cmd.args.v[i];
}

/* ---- backup ---------------------------------------------------------------------------------- */

/* The gateway has another working directory. */
static int backup_prepare(struct cli *x)
{
    char dir[ADMIN_TEXT_MAX], path[ADMIN_TEXT_MAX];
    struct verb_value *file = file_of(x);
    if (file->text[0] == '/')
        return EXIT_OK;
    if (getcwd(dir, sizeof dir) == NULL)
        return cli_complain("the working directory has no path: give an absolute one", EXIT_FAIL);
    if (text_format(path, sizeof path, "%s/%s", dir, file->text) >= sizeof path - 1)
        return cli_complain("the path of the file is too long", EXIT_USAGE);
    mem_free(file->text);
    file->text = mem_strdup(path);
    return EXIT_OK;
}

static enum err file_fail(const char *what, const char *file, char *why, size_t size)
{
    int n = errno;
    text_format(why, size, "cannot %s %s: %s", what, file, strerror(n));
    return n == EACCES || n == EPERM || n == EROFS ? ERR_DENIED : ERR_IO;
}

static enum err bytes_copy(int from, int to, const char *file, char *why, size_t size)
{
    char chunk[65536];
    ssize_t n;
    while ((n = read(from, chunk, sizeof chunk)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return file_fail("read", "the copy", why, size);
        for (ssize_t at = 0; at < n;) {
            ssize_t w = write(to, chunk + at, (size_t)(n - at));
            if (w < 0 && errno != EINTR)
                return file_fail("write", file, why, size);
            at += w > 0 ? w : 0;
        }
    }
    return fsync(to) == 0 ? OK : file_fail("write", file, why, size);
}

/* From where the gateway could write it to where it is wanted: whole, or not there. */
static enum err copy_bring(const char *copy, const char *file, bool replace, char *why, size_t size)
{
    char part[ADMIN_TEXT_MAX + 8];
    struct stat st;
    enum err e = OK;
    if (lstat(file, &st) == 0 && (!replace || !S_ISREG(st.st_mode))) {
        text_format(why, size, "%s is there already%s", file,
                    S_ISREG(st.st_mode) ? ": --replace puts the new one in its place"
                                        : ", and is no regular file");
        return ERR_EXISTS;
    }
    text_format(part, sizeof part, "%s.part", file);
    (void)unlink(part); /* left by a command that was killed */
    int from = open(copy, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    int to = from < 0 ? -1 : open(part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (from < 0 || to < 0)
        e = file_fail(from < 0 ? "open" : "make", from < 0 ? copy : part, why, size);
    if (e == OK)
        e = bytes_copy(from, to, part, why, size);
    if (from >= 0)
        (void)close(from);
    if (to >= 0 && close(to) != 0 && e == OK)
        e = file_fail("write", part, why, size);
    if (e == OK && rename(part, file) != 0)
        e = file_fail("finish", file, why, size);
    if (e != OK && to >= 0)
        (void)unlink(part);
    return e;
}

/* The gateway's words, but for where the file is now. */
static void answer_rename(struct answer *a, const char *file)
{
    struct json *doc = NULL;
    struct buf out;
    struct jw w;
    if (json_parse(buf_slice(&a->body), &doc) != OK)
        return;
    const struct json_val *root = json_root(doc);
    buf_init(&out, ADMIN_REPLY_MAX);
    jw_init(&w, &out);
    jw_obj(&w);
    jw_ki64(&w, "schema", json_get_i64(root, "schema", 1));
    jw_kcstr(&w, "file", file);
    jw_ki64(&w, "bytes", json_get_i64(root, "bytes", 0));
    jw_kstr(&w, "master_key", json_get_str(root, "master_key"));
    jw_kstr(&w, "message", json_get_str(root, "message"));
    jw_end_obj(&w);
    json_free(doc);
    buf_free(&a->body);
    a->body = out;
}

/* The gateway may write nowhere but in its own folder: it does that, and the copy is brought from
 * there by us, who may write where we are told. */
static int backup_by_way(struct cli *x, struct answer *a)
{
    struct verb_value *file = file_of(x);
    int i = verb_arg_find(x->cmd.verb, S("replace"));
    assert(i >= 0);
    struct verb_value *replace = &x->cmd.args.v[i], asked = *replace;
    char copy[ADMIN_TEXT_MAX + 64], *wanted = file->text;
    text_format(copy, sizeof copy, "%s/backup-%ld.copy", x->config->state_dir, (long)getpid());
    if (strlen(copy) >= ADMIN_TEXT_MAX)
        return cli_complain("the path of the state folder is too long", EXIT_USAGE);
    answer_free(a);
    answer_init(a);
    file->text = copy;
    *replace = (struct verb_value){.given = true, .flag = true};
    int code = cli_call(x, x->cmd.verb, &x->cmd.args, a);
    file->text = wanted;
    *replace = asked;
    if (code == EXIT_OK && a->status == 200) {
        enum err e = copy_bring(copy, wanted, asked.given && asked.flag, x->why, sizeof x->why);
        answer_rename(a, wanted);
        if (e != OK)
            code = cli_complain(x->why, e == ERR_DENIED   ? EXIT_DENIED
                                        : e == ERR_EXISTS ? 6
                                                          : EXIT_FAIL);
    }
    (void)unlink(copy);
    return code;
}

int run_backup(struct cli *x)
{
    struct answer a;
    int code = backup_prepare(x);
    if (code != EXIT_OK)
        return code;
    answer_init(&a);
    code = cli_call(x, x->cmd.verb, &x->cmd.args, &a);
    if (code == EXIT_OK && x->admin == NULL && a.status == fail_status(FAIL_DENIED))
        code = backup_by_way(x, &a);
    cli_close(x);
    if (code == EXIT_OK)
        code = answer_show(x, x->cmd.verb, &a);
    answer_free(&a);
    return code;
}

/* ---- restore --------------------------------------------------------------------------------- */

static void restore_show(const struct cli *x, const struct store_copy *k, struct buf *out)
{
    struct jw w;
    if (x->cmd.json) {
        jw_init(&w, out);
        jw_obj(&w);
        jw_ki64(&w, "schema", 1);
        jw_kcstr(&w, "file", k->file);
        jw_ki64(&w, "bytes", k->bytes);
        jw_ki64(&w, "database_schema", k->schema);
        jw_kcstr(&w, "master_key", k->key[0] != '\0' ? k->key : NULL);
        jw_kbool(&w, "master_key_present", k->has_key);
        jw_end_obj(&w);
        out_printf(out, "\n");
        return;
    }
    out_printf(out, "restored ");
    out_safe(out, slice_of(k->file));
    out_printf(out, " into ");
    out_safe(out, slice_of(x->config->state_dir));
    out_printf(out, "\n");
    if (!k->has_key && k->key[0] != '\0')
        out_printf(out,
                   "the master key is not in a backup: put the one with the fingerprint %s there "
                   "as master.key (mode 600) before you start\n",
                   k->key);
}

int run_restore(struct cli *x)
{
    struct store_copy k;
    struct buf out;
    int replace = verb_arg_find(x->cmd.verb, S("replace"));
    assert(replace >= 0);
    enum err e = x->hooks->restore(x->config, file_of(x)->text, x->cmd.args.v[replace].flag, &k);
    if (e != OK)
        return cli_complain(k.why, e == ERR_DENIED     ? EXIT_DENIED
                                   : e == ERR_NOTFOUND ? 5
                                   : e == ERR_EXISTS   ? 6
                                   : e == ERR_BUSY     ? 6
                                                       : EXIT_FAIL);
    buf_init(&out, OUT_MAX);
    restore_show(x, &k, &out);
    return cli_emit_end(&out, EXIT_OK);
}
