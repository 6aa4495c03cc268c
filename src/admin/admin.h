/* admin: one service, two faces.
 *
 * service.c holds the table of verbs: name, method and path, argument specs, handler, help. api.c
 * walks it to route HTTP requests on the daemon's unix socket; cli.c walks it to parse argv, print
 * help and draw tables from the JSON. If a daemon runs in the state folder the CLI calls it over
 * the socket; if not, it opens the store itself (under the folder's lock) and calls the same
 * handler. There is no second implementation of anything. */
#ifndef SLUICE_ADMIN_H
#define SLUICE_ADMIN_H

#include "accounts/accounts.h"
#include "base/base.h"
#include "config.h"
#include "gateway/gateway.h"
#include "http/http.h"
#include "net/net.h"
#include "store/store.h"

#define ADMIN_SOCKET "sluice.sock" /* in the state folder */

struct admin;
struct admin_parts { /* all borrowed; they outlive the admin */
    struct loop *loop;
    struct store *store;
    struct account_set *accounts;
    struct key_set *keys;
    struct gateway *gateway;
    struct http_client *client; /* for logins */
    const struct config *config;
    bool daemon;        /* false: the CLI runs the handlers itself */
    int64_t started_at; /* wall ms */
    /* For `status`: addresses the daemon listens on, as printed. NULL offline. */
    void (*describe)(void *arg, struct jw *w); /* writes members into an open object */
    /* For `reload`: ERR_* and a sentence. NULL offline. */
    enum err (*reload)(void *arg, char *why, size_t why_size);
    /* For `upgrade`: a newer process waits at the unix socket `socket` of the state folder for what
     * it needs to take our place. OK: it will get it. ERR_CONFLICT and a sentence. NULL offline. */
    enum err (*handover)(void *arg, const char *socket, const char *service, char *why,
                         size_t why_size);
    void *arg;
};
struct admin *admin_new(const struct admin_parts *p);
void admin_free(struct admin *a);
void admin_set_config(struct admin *a, const struct config *c);
/* Whoever asks over an address, not the unix socket, must bring it; "": need not. */
void admin_set_token(struct admin *a, struct slice token);
/* For the http_server on the unix socket, with the admin as its ctx. */
const struct http_server_ops *admin_server_ops(void);

/* ---- verbs
 * ------------------------------------------------------------------------------------------- */

enum arg_type {
    ARG_STRING,
    ARG_INT,
    ARG_BOOL,
    ARG_SWITCH, /* on, off, or empty for the default; in JSON also true and false */
    ARG_SECRET  /* read by the CLI from a file or stdin */
};
struct arg_spec {
    const char
        *name; /* JSON member; the flag is --name with '-' for '_' ("secret" is --secret-file) */
    enum arg_type type;
    bool positional, required;
    bool many;         /* of a string: may be given again, or as a JSON array; joined with commas */
    const char *value; /* for help: "N", "URL" */
    const char *help;
    char letter; /* the flag's short form ('f' for -f); 0 = none */
};
#define VERB_ARGS_MAX 40
struct verb_call;
struct verb {
    const char *name; /* "account add" */
    enum http_method method;
    const char
        *path; /* "/api/accounts/{name}" : {x} is the positional argument x; NULL: the CLI alone */
    struct arg_spec arg[VERB_ARGS_MAX];
    void (*handler)(struct verb_call *c);
    const char *help;    /* one line */
    const char *example; /* full command line(s) for --help */
};
const struct verb *verb_at(int i); /* NULL behind the last */

/* ---- the CLI
 * ------------------------------------------------------------------------------------------- */

enum serve_how { SERVE_PLAIN, SERVE_DEMO, SERVE_TAKEOVER };
/* What the program around it provides (app.c). */
struct cli_hooks {
    /* Runs the daemon until it is told to stop; returns the exit code. TAKEOVER: in the place of
     * the one that runs in c->state_dir. */
    int (*serve)(const struct config *c, const char *config_file, const struct config_flag *flags,
                 int n, enum serve_how how);
    /* Opens the store of c->state_dir in this process and builds what the handlers need; the loop
     * is admin_loop(*out). ERR_BUSY: somebody holds the folder. `why` gets a sentence. */
    enum err (*offline_open)(const struct config *c, struct admin **out, char *why,
                             size_t why_size);
    void (*offline_close)(struct admin *a);
    /* Puts a backup into c->state_dir, see store_restore. */
    enum err (*restore)(const struct config *c, const char *file, bool replace,
                        struct store_copy *out);
};
/* The whole program but for main(). Exit codes: 0 ok, 1 failure, 2 usage, 3 daemon unreachable,
 * 5 not found, 6 conflict, 77 permission, 78 bad configuration. */
int cli_main(int argc, char **argv, const struct cli_hooks *hooks);
/* Asks the gateway that runs in c->state_dir for its place, see admin_parts.handover. Blocks.
 * ERR_NOTFOUND: none runs there; any error comes with a sentence. */
MUST_USE enum err admin_ask_handover(const struct config *c, const char *socket, char *why,
                                     size_t why_size);
struct loop *admin_loop(const struct admin *a);

#endif
