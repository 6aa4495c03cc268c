/* `backup` and `restore`, as far as they are this process's own: paths are the caller's, and what
 * is restored nobody has open. */
#include "admin/cli.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct verb_value *file_of(struct cli *x)
{
    int i = verb_arg_find(x->cmd.verb, S("file"));
    assert(i >= 0);
    return &x->cmd.args.v[i];
}

/* The gateway has another working directory. */
int backup_prepare(struct cli *x)
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
