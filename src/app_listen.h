/* The doors at which clients come in: listeners, their TLS, and whom they believe. */
#ifndef SLUICE_APP_LISTEN_H
#define SLUICE_APP_LISTEN_H

#include "app_given.h"
#include "base/base.h"
#include "config.h"
#include "http/http.h"
#include "net/net.h"

struct doors {
    struct loop *loop;
    struct tls_server *tls; /* NULL: no certificates */
    struct listener *listener[CONFIG_LISTEN_MAX];
    bool has_tls[CONFIG_LISTEN_MAX], has_proxy[CONFIG_LISTEN_MAX];
    bool was_given[CONFIG_LISTEN_MAX];            /* somebody else has opened it */
    char name[CONFIG_LISTEN_MAX][GIVEN_NAME_MAX]; /* ADDR:PORT or fd:NAME */
    int n;
    bool shut; /* nobody new comes in, some may be on their way */
    struct cidr trusted[CONFIG_TRUSTED_MAX];
    int trusted_n;
    int32_t places; /* connections at one time */
};

/* Reads certificates and opens every address of `c`, or takes it out of `given`. On an error `what`
 * and `why` say it, and what is open must still be closed; ERR_CERT is one of the files. */
MUST_USE enum err doors_open(struct doors *d, struct loop *l, const struct config *c,
                             struct given *given, int32_t places, const struct listener_ops *ops,
                             void *owner, char *what, size_t what_size, char *why, size_t why_size);
/* ERR_CONFLICT: done, but what `why` names was refused and its predecessor stays. Any other error:
 * nothing has changed. */
MUST_USE enum err doors_reload(struct doors *d, const struct config *c, int32_t places, char *why,
                               size_t size);
/* "http://127.0.0.1:8080": where the i-th one is. */
void doors_url(const struct doors *d, int i, char *out, size_t size);
void doors_pause(struct doors *d, bool paused);
/* Nobody new, once all who wait are in (see listener_retire): true then. */
bool doors_shut(struct doors *d, bool at_once);
int64_t doors_arriving(const struct doors *d); /* between accept and the server */
void doors_close(struct doors *d);             /* who is inside stays, who is on the way does not */
void doors_free(struct doors *d);              /* the same, and the certificates */
/* Members `listen`, `certificates` and `tls` of an open object. */
void doors_describe(const struct doors *d, struct jw *w);
/* Whether connections may stand between accept and the server: they need places, too. */
bool doors_have_porch(const struct config *c);
void doors_trust(const struct doors *d, const struct config *c, struct http_server *s);

#endif
