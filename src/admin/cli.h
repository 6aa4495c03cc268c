/* Private to the CLI: cli.c, cli_login.c. */
#ifndef SLUICE_ADMIN_CLI_H
#define SLUICE_ADMIN_CLI_H

#include "admin/inside.h"

#define OUT_MAX (4 * ADMIN_REPLY_MAX)

enum exit_code {
    EXIT_OK = 0,
    EXIT_FAIL = 1,
    EXIT_USAGE = 2,
    EXIT_UNREACHABLE = 3,
    EXIT_DENIED = 77,
    EXIT_CONFIG = 78,
    EXIT_INTERRUPTED = 130
};

struct cli {
    const struct cli_hooks *hooks;
    struct command cmd;
    struct config *config;
    struct admin *admin; /* the house that this process has opened, NULL = none */
    struct look look;
    char why[ADMIN_WHY_MAX];
};

struct answer { /* to one call */
    struct loop *loop;
    bool done;
    int status;
    struct buf body;
};

void answer_init(struct answer *a);
void answer_free(struct answer *a);
/* Calls a verb: the daemon's, or in this process, which keeps its house open until cli_close. Takes
 * nothing from `args` if the daemon is asked. An exit code other than EXIT_OK has been explained.
 */
int cli_call(struct cli *x, const struct verb *v, struct verb_args *args, struct answer *a);
void cli_close(struct cli *x); /* idempotent */
/* Prints the answer of a verb, or its error; the exit code. */
int answer_show(struct cli *x, const struct verb *v, const struct answer *a);
/* Writes to standard output and empties `out`; false when nobody reads it any more. */
bool cli_emit(struct buf *out);
int cli_emit_end(struct buf *out, int code); /* the same for the last time, and frees it */
int cli_complain(const char *why, int code); /* on standard error; returns `code` */

int run_login(struct cli *x);   /* cli_login.c */
int run_restore(struct cli *x); /* cli_keep.c */
int run_upgrade(struct cli *x); /* cli_upgrade.c */
int run_backup(struct cli *x);  /* cli_keep.c */

#endif
