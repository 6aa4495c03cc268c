/* admin, inside: what the files of this room share.
 *
 *   argv --args.c--> verb_args --+--> call (offline) ------------+
 *                                `--> local.c ~~socket~~> api.c --+--> handler --> JSON --> show.c
 *
 *   verbs.c      the table           settings.c  flags of accounts as JSON, and back
 *   service.c    a call's life       verbs_*.c   handlers
 */
#ifndef SLUICE_ADMIN_INSIDE_H
#define SLUICE_ADMIN_INSIDE_H

#include "admin/admin.h"

#define ADMIN_REPLY_MAX 8388608 /* a thousand records are about one and a half MiB */
#define ADMIN_TEXT_MAX  1024    /* of one argument that is no secret */
#define ADMIN_WHY_MAX   640

/* ---- arguments (args.c)
 * --------------------------------------------------------------------------------- */

/* The values of a verb's arguments, by their place in verb->arg. Texts are owned and, if secret,
 * wiped. */
struct verb_value {
    bool given, flag;
    char *text;
    int64_t number;
};
struct verb_args {
    struct verb_value v[VERB_ARGS_MAX];
};
int verb_args_n(const struct verb *v);
int verb_arg_find(const struct verb *v, struct slice name); /* -1 when there is none */
/* Takes a value as text, or as a JSON value. ERR_SYNTAX with a sentence. */
MUST_USE enum err verb_arg_set(const struct verb *v, struct verb_args *a, int i, struct slice text,
                               char *why, size_t why_size);
MUST_USE enum err verb_arg_set_json(const struct verb *v, struct verb_args *a, int i,
                                    const struct json_val *value, char *why, size_t why_size);
/* All required ones are there. */
MUST_USE enum err verb_args_check(const struct verb *v, const struct verb_args *a, char *why,
                                  size_t why_size);
void verb_args_free(const struct verb *v, struct verb_args *a);
/* "--base-url" of "base_url"; "--secret-file" of a secret. */
void verb_arg_flag(const struct arg_spec *s, char *out, size_t size);

/* ---- calls (service.c)
 * ---------------------------------------------------------------------------------- */

struct admin {
    struct admin_parts p;
    struct link calls, faces; /* of struct verb_call; of the API's open calls */
    struct link logins;       /* of verbs_login.c: begun, and waiting for a person */
    bool has_token;
    uint8_t token[CRYPTO_SHA256]; /* the digest of what who asks over an address must bring */
};

/* guard.c: 0 when this request may be looked at, or the status that refuses it and a static why. */
int guard_check(const struct admin *a, const struct http_head *head, const struct addr *peer,
                const char **why);

/* Why a verb failed: a stable word, the HTTP status of the API and the exit code of the CLI. */
enum fail {
    FAIL_USAGE,
    FAIL_NOT_FOUND,
    FAIL_CONFLICT,
    FAIL_DENIED,
    FAIL_UPSTREAM, /* an account did not answer as it should */
    FAIL_STORE,
    FAIL_NO_DAEMON,
    FAIL_CONFIG,
    FAIL_COUNT
};
int fail_status(enum fail f);
const char *fail_code(enum fail f);
int fail_exit(struct slice code); /* 1 for a word that is not known */
/* {"error":{"code":...,"message":...}} */
void fail_write(struct buf *out, enum fail f, const char *message);

/* One call of one verb. Its handler may wait for the store; whoever asked may leave meanwhile. */
typedef void call_done_fn(void *arg, int status, struct slice json);
struct verb_call {
    struct admin *admin;
    const struct verb *verb;
    struct verb_args args;
    call_done_fn *done; /* NULL: nobody waits for the answer any more */
    void *arg;
    struct link link;
    struct task task;
    struct buf out;
    struct jw w;
    /* what handlers keep across a wait */
    int64_t account_id;
    bool flag;
    struct account_row account;
    enum err failed;
    struct key_row key;
    char key_text[KEY_TEXT_MAX];
    void *more; /* the handler's own, freed with the call */
    void (*more_free)(void *);
    bool (*leave)(void *more); /* whoever asked has left: true if the call is to end at once */
};
/* Runs the verb's handler in the next turn; takes the arguments over. `done` comes once, later. */
struct verb_call *call_start(struct admin *a, const struct verb *v, struct verb_args *args,
                             call_done_fn *done, void *arg);
/* `done` will not be called. The handler goes on, unless it says that this is no use. */
void call_forget(struct verb_call *c);
const char *call_text(const struct verb_call *c, const char *name); /* NULL when not given */
int64_t call_int(const struct verb_call *c, const char *name, int64_t absent);
bool call_flag(const struct verb_call *c, const char *name, bool absent);
bool call_has(const struct verb_call *c, const char *name);
struct slice call_secret(const struct verb_call *c, const char *name);
/* Begins the reply: an object with "schema" in it, to be filled. */
struct jw *call_open(struct verb_call *c);
/* The end of a call: the reply goes out. `c` is gone when they return. */
void call_reply(struct verb_call *c);
void call_fail(struct verb_call *c, enum fail f, const char *fmt, ...) PRINTF_LIKE(3, 4);
void call_fail_store(struct verb_call *c, enum err e);
int64_t call_now(const struct verb_call *c); /* wall ms */

/* ---- handlers
 * -------------------------------------------------------------------------------------------- */

void verb_provider_list(struct verb_call *c); /* verbs_provider.c */
void verb_account_add(struct verb_call *c);   /* verbs_account.c */
void verb_account_list(struct verb_call *c);
void verb_account_show(struct verb_call *c);
void verb_account_pause(struct verb_call *c);
void verb_account_resume(struct verb_call *c);
void verb_account_reset_limit(struct verb_call *c);
void verb_account_remove(struct verb_call *c);
void verb_account_rename(struct verb_call *c);
void verb_account_set(struct verb_call *c);
void verb_account_login(struct verb_call *c); /* verbs_login.c */
void verb_account_callback(struct verb_call *c);
void verb_account_import(struct verb_call *c);
void verb_account_test(struct verb_call *c); /* verbs_probe.c */
void verb_group_list(struct verb_call *c);   /* verbs_group.c */
void verb_group_show(struct verb_call *c);
void verb_group_set(struct verb_call *c);
void verb_group_remove(struct verb_call *c);
void verb_key_add(struct verb_call *c); /* verbs_key.c */
void verb_key_list(struct verb_call *c);
void verb_key_revoke(struct verb_call *c);
void verb_key_set(struct verb_call *c);
void verb_route_explain(struct verb_call *c); /* verbs_route.c */
void verb_requests(struct verb_call *c);      /* verbs_status.c */
void verb_request_show(struct verb_call *c);
void verb_status(struct verb_call *c);
void verb_reload(struct verb_call *c);
void verb_upgrade(struct verb_call *c);
void verb_backup(struct verb_call *c); /* verbs_keep.c */
void verb_vault_rotate(struct verb_call *c);

/* The account named in the call; NULL: it does not exist and the call has been failed. */
struct account *call_account(struct verb_call *c);
/* Members of an open object. */
void account_write(struct jw *w, const struct account *a, int64_t now);
/* The row of an account as it stands, to be changed: without its secret, which then stays, and with
 * its settings, which an update replaces as a whole. */
void account_row_of(const struct account *a, struct account_row *row);
/* The answer of a verb that has changed an account: as it is now. */
void account_answer(struct verb_call *c, int64_t id);
/* What a change of an account's row came to: memory follows it, then the answer. */
void account_stored(void *arg, enum err e, const struct account_row *rows, size_t n);
/* The text of --token-file, read; false: it is none, and the call has been failed. */
bool call_tokens(struct verb_call *c, struct oauth_tokens *t);
/* Logins that were begun and not ended; of one account, or all for 0. */
void login_forget(struct admin *a, int64_t account_id); /* 0: all */
/* A name of a key: 1 to 63 letters, digits, '.', '_' and '-'. */
bool name_is_good(struct slice s);

/* ---- settings (settings.c)
 * ------------------------------------------------------------------------------- */

/* False: a flag is given that this provider knows nothing of; then the call has been failed. */
bool settings_fit(struct verb_call *c, const struct provider *p);
/* Brings the flags of the call into an account's settings; what they do not name stays as it is.
 * False: they do not fit in there, or name a group that is none, and the call has been failed. */
bool settings_merge(struct verb_call *c, char settings[STORE_SETTINGS_MAX]);
/* "PATTERN=NAME,..." as a JSON object; names of one pattern become a list. False: the call has been
 * failed. */
bool models_put(struct verb_call *c, struct jw *w, const char *text);
/* The name of a flag of the call that only accounts with a login have; NULL = there is none. */
const char *settings_of_login(const struct verb_call *c);
/* The sentence for a word of a choice, be it one of enum why or a state; "" when there is none. */
const char *why_sentence(struct slice word);
/* Members of an open object: groups, quota, ... */
void settings_write(struct jw *w, const struct account *a);
/* The group of that name; NULL: there is none, and the call has been failed. */
const struct group *call_group(struct verb_call *c, const char *name);
/* A copy of `v` as the next value. */
void json_copy(struct jw *w, const struct json_val *v);

/* ---- the API (api.c)
 * ------------------------------------------------------------------------------------- */

/* Finds the verb of a request and fills its arguments from path, query and JSON body. NULL: `f` and
 * `why` say what is wrong. */
const struct verb *api_route(enum http_method m, struct slice path, struct slice query,
                             struct slice body, struct verb_args *args, enum fail *f, char *why,
                             size_t why_size);

/* ---- the CLI
 * --------------------------------------------------------------------------------------------- */

/* A command line, taken apart (argv.c). */
#define COMMAND_FLAGS_MAX 64
struct command {
    const struct verb *verb; /* NULL: help on `words` */
    struct verb_args args;
    const char *words[3]; /* of the verb, as far as they were given */
    int words_n;
    bool json, help;
    const char *config_file;
    const char *secret_file; /* of the argument `secret`, which is read later */
    int secret;
    struct config_flag flag[COMMAND_FLAGS_MAX];
    char flag_name[COMMAND_FLAGS_MAX][48];
    int flags;
};
/* ERR_SYNTAX: `why` says what is wrong. Values point into argv. */
MUST_USE enum err command_parse(struct command *c, int argc, char **argv, char *why,
                                size_t why_size);
void command_free(struct command *c);
bool verb_takes_options(const struct verb *v); /* every config option is a flag of it */

/* Help (help.c): on one verb, on all that begin with `group` ("account"), on the program. */
void help_verb(const struct verb *v, struct buf *out);
bool help_group(const char *group, struct buf *out); /* false: there is no such group */
void help_all(struct buf *out);

/* Over the socket (local.c). ERR_NOTFOUND: no daemon listens there; ERR_DENIED, ERR_TIMEOUT, ... */
MUST_USE enum err local_call(const char *socket_path, const struct verb *v,
                             const struct verb_args *args, int *status, struct buf *body, char *why,
                             size_t why_size);
/* The request that local_call sends. */
void local_request(const struct verb *v, const struct verb_args *args, struct buf *out);
/* Reads a secret from a file, or standard input for "-": ERR_* and a sentence. A terminal is asked
 * with `prompt`, and does not show what is typed; with `one_line` standard input is read up to a
 * line's end and not to its own. */
MUST_USE enum err local_secret(const char *file, const char *prompt, bool one_line, struct buf *out,
                               char *why, size_t why_size);

/* Tables (table.c). */
struct column {
    const char *title;
    bool right;    /* flushed right: numbers */
    uint8_t least; /* columns at least, for rows that come one by one */
    uint8_t rank;  /* on a narrow terminal columns go, highest rank first; 0 stays */
    bool mood;     /* coloured by what it says */
};
#define TABLE_COLUMNS_MAX 16
struct look {
    bool colour;
    int width;   /* of the terminal, 0 = unbounded */
    bool steady; /* the same columns for every row to come */
};
struct table {
    const struct column *column;
    int columns;
    struct buf cells; /* each with its NUL */
    int n;            /* cells so far */
};
void table_init(struct table *t, const struct column *c, int n);
void table_free(struct table *t);
void table_cell(struct table *t, struct slice text);
void table_cellf(struct table *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
void table_print(const struct table *t, const struct look *l, bool head, struct buf *out);
/* Text of a peer, made harmless for a terminal: control characters become '?'. */
void out_safe(struct buf *out, struct slice s);
/* The same for all that is printed, but for line feeds. */
void out_printf(struct buf *out, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Draws a verb's reply (show.c). */
void show_reply(const struct verb *v, const struct json_val *root, const struct look *l,
                struct buf *out);
/* Rows of `requests`, with or without the table's head (show_request.c). */
void show_requests(const struct json_val *root, const struct look *l, bool head, struct buf *out);

#endif
