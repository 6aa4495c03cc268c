/* app_handover: a running gateway gives its listening sockets to a newer process, which serves in
 * its place from then on.
 *
 *   newer process                             running one
 *     listens on a unix socket beside the
 *     admin's, and asks on that:  --POST-->   looks who it is, shares the state folder
 *                                 <-connect-
 *     is it our user?             <-SCM_RIGHTS- is it our user? sockets, standard output and error
 *     opens the store, the doors...
 *     "serving"                   -------->   drains
 *                                 <--------   "yours"
 *     is the service's main process
 *
 * Up to "serving" nothing has changed for the running one: whatever happens to the newer one, it
 * goes on. No program is run by either. */
#ifndef SLUICE_APP_HANDOVER_H
#define SLUICE_APP_HANDOVER_H

#include "app_given.h"
#include "app_notify.h"
#include "base/base.h"
#include "net/net.h"

/* ---- the newer process: blocks, for its loop does not run yet -------------------------------- */

struct handover {
    struct given given;
    int link;     /* to the running process; -1: none */
    int out, err; /* its standard output and error; -1: it gave none */
    int64_t pid;  /* its number */
    struct app_manager manager;
};
/* Listens in `dir`, has `ask` tell the running gateway the socket's name there, takes what it
 * gives. Any error: `why` has a sentence, and nothing is held. */
typedef enum err handover_ask_fn(void *arg, const char *socket, char *why, size_t size);
MUST_USE enum err handover_take(struct handover *h, const char *dir, handover_ask_fn *ask,
                                void *arg, char *why, size_t size);
/* We serve: waits for the running one's word, a few seconds at most. ERR_NOTFOUND: it is gone, and
 * its place with it; ERR_BUSY: it has not let go, and goes on. */
MUST_USE enum err handover_serving(struct handover *h);
/* From here on what we say is said where it spoke. */
void handover_speak(struct handover *h);
void handover_close(struct handover *h); /* idempotent */

/* ---- the running process --------------------------------------------------------------------- */

struct handover_gift {
    const char *name[CONFIG_LISTEN_MAX]; /* as in `listen` */
    int fd[CONFIG_LISTEN_MAX];
    int n;
};
/* Told once: OK, the newer one (process `pid`) serves; or it is gone, or took too long. */
typedef void handover_told_fn(void *arg, enum err e, int64_t pid);
struct handover_give {
    struct loop *loop;
    struct timer look;
    int fd; /* -1: nothing is under way */
    int64_t until, pid;
    handover_told_fn *told;
    void *arg;
};
void handover_give_init(struct handover_give *g, struct loop *l, handover_told_fn *told_fn,
                        void *arg);
/* Connects to the socket `name` in `dir` and gives; `name` is that of a newer process's socket and
 * nothing else (ERR_SYNTAX), and it runs as our user (ERR_DENIED). */
MUST_USE enum err handover_give(struct handover_give *g, const char *dir, const char *name,
                                const struct handover_gift *gift);
bool handover_name_is_good(const char *name);
void handover_give_yield(struct handover_give *g); /* "yours" */
void handover_give_stop(struct handover_give *g);  /* idempotent; told will not be called */

#endif
