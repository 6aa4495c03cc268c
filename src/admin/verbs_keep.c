/* Verbs that keep what there is: a copy of the database, another master key. */
#include "admin/inside.h"

#include <string.h>

static enum fail fail_of(enum err e)
{
    switch (e) {
    case ERR_RANGE:
    case ERR_SYNTAX:
    case ERR_LIMIT:
        return FAIL_USAGE;
    case ERR_NOTFOUND:
        return FAIL_NOT_FOUND;
    case ERR_EXISTS:
    case ERR_BUSY:
    case ERR_STATE:
    case ERR_UNSUPPORTED:
        return FAIL_CONFLICT;
    case ERR_DENIED:
        return FAIL_DENIED;
    default:
        return FAIL_STORE;
    }
}

/* ---- backup
 * -----------------------------------------------------------------------------------------------
 */

static void on_backup(void *arg, enum err e, const struct store_copy *k)
{
    struct verb_call *c = arg;
    if (e != OK) {
        bool ours = e == ERR_DENIED && c->admin->p.daemon;
        call_fail(c, fail_of(e), "%s%s", k->why,
                  ours ? "; the gateway writes it, and may write only where its user and its "
                         "sandbox let it: name a file in the state folder, then move it"
                       : "");
        return;
    }
    struct jw *w = call_open(c);
    jw_kcstr(w, "file", k->file);
    jw_ki64(w, "bytes", k->bytes);
    jw_kcstr(w, "master_key", k->key);
    jw_kcstr(w, "message",
             "secrets in it are sealed; the master key is not in it: keep that in another place, "
             "for without it they are lost");
    call_reply(c);
}

/* Its name is that of something the gateway lives by. */
static bool is_ours(const struct verb_call *c, const char *file)
{
    static const char *const NAMES[] = {"sluice.db", "sluice.lock", "sluice.sock", "master.key"};
    const char *dir = c->admin->p.config->state_dir;
    size_t n = strlen(dir);
    if (strncmp(file, dir, n) != 0 || file[n] != '/')
        return false;
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (slice_starts(slice_of(file + n + 1), slice_of(NAMES[i])))
            return true;
    return false;
}

void verb_backup(struct verb_call *c)
{
    if (is_ours(c, call_text(c, "file"))) {
        call_fail(c, FAIL_USAGE, "%s is one of the gateway's own files: choose another name",
                  call_text(c, "file"));
        return;
    }
    store_backup(c->admin->p.store, call_text(c, "file"), call_flag(c, "replace", false), on_backup,
                 c);
}

/* ---- vault rotate
 * ------------------------------------------------------------------------------------------ */

static void on_rotated(void *arg, enum err e, const struct store_rotation *r)
{
    struct verb_call *c = arg;
    if (e != OK) {
        call_fail(c, fail_of(e), "%s", r->why);
        return;
    }
    struct jw *w = call_open(c);
    jw_kcstr(w, "old_key", r->old_key);
    jw_kcstr(w, "new_key", r->new_key);
    jw_ki64(w, "values", r->values);
    jw_ki64(w, "unreadable", r->unreadable);
    jw_kcstr(w, "message",
             "backups made before need the old master key; copy the new one to where you keep it, "
             "and make a backup");
    call_reply(c);
}

void verb_vault_rotate(struct verb_call *c)
{
    struct slice key = call_has(c, "new_key") ? slice_trim(call_secret(c, "new_key")) : S("");
    store_rotate(c->admin->p.store, key, on_rotated, c);
}
