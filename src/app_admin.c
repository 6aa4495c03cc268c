#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1 /* POSIX 2008 under -std=c17 */
#endif
/* The admin's own address: see app_admin.h. */
#include "app_admin.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN_MIN    32
#define TOKEN_MAX    256
#define HANDSHAKE_MS 10000
#define ARRIVALS     16

/* ---- the token ------------------------------------------------------------------------------- */

static enum err token_refuse(const char *file, const char *what, char *why, size_t size)
{
    text_format(why, size, "admin_token_file: %s: %s", file, what);
    return ERR_CERT;
}

static bool token_is_good(struct slice t)
{
    for (size_t i = 0; i < t.n; i++)
        if (t.p[i] <= ' ' || t.p[i] > '~')
            return false;
    return t.n >= TOKEN_MIN && t.n <= TOKEN_MAX;
}

/* Judged on the open descriptor, so that the file that was judged is the file that is read. */
static enum err token_read(const char *file, char text[TOKEN_MAX + 8], size_t *n, char *why,
                           size_t size)
{
    struct stat st;
    enum err e = OK;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return token_refuse(file, strerror(errno), why, size);
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        e = token_refuse(file, "is no regular file", why, size);
    else if ((st.st_mode & 077) != 0 || (st.st_uid != geteuid() && st.st_uid != 0))
        e = token_refuse(file, "can be reached by others: chmod 600, and take another token", why,
                         size);
    ssize_t got = e == OK ? read(fd, text, TOKEN_MAX + 8) : 0;
    if (e == OK && got < 0)
        e = token_refuse(file, strerror(errno), why, size);
    (void)close(fd);
    *n = got > 0 ? (size_t)got : 0;
    return e;
}

static enum err token_set(const struct config *c, struct admin *admin, char *why, size_t size)
{
    char text[TOKEN_MAX + 8];
    size_t n = 0;
    if (c->admin_listen == NULL || c->admin_token_file == NULL) {
        admin_set_token(admin, S(""));
        return OK;
    }
    enum err e = token_read(c->admin_token_file, text, &n, why, size);
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        n--;
    struct slice token = {text, n};
    if (e == OK && !token_is_good(token))
        e = token_refuse(c->admin_token_file,
                         "wants one word of 32 to 256 letters, as `openssl rand -hex 32` makes "
                         "them",
                         why, size);
    if (e == OK)
        admin_set_token(admin, token);
    crypto_wipe(text, sizeof text);
    return e;
}

/* ---- the address ----------------------------------------------------------------------------- */

static void tls_options(const struct config *c, struct tls_pair *pair, struct tls_server_options *o)
{
    *pair = (struct tls_pair){c->admin_tls_cert, c->admin_tls_key};
    *o = (struct tls_server_options){.pair = pair, .pairs = 1};
    if (c->admin_tls_client_ca == NULL)
        return;
    o->client_ca = c->admin_tls_client_ca;
    o->client_auth = TLS_CLIENT_REQUIRED;
}

static enum err tls_open(struct admin_tcp *t, struct loop *l, const struct config *c, char *why,
                         size_t size)
{
    struct tls_server_options o;
    struct tls_pair pair;
    if (c->admin_tls_cert == NULL)
        return OK;
    tls_options(c, &pair, &o);
    return tls_server_new(l, &o, &t->tls, why, size) == OK ? OK : ERR_CERT;
}

enum err admin_tcp_open(struct admin_tcp *t, struct loop *l, const struct config *c,
                        struct admin *admin, const struct listener_ops *ops, void *owner, char *why,
                        size_t why_size)
{
    struct addr at;
    *t = (struct admin_tcp){0};
    if (c->admin_listen == NULL)
        return OK;
    enum err e = token_set(c, admin, why, why_size);
    if (e == OK)
        e = tls_open(t, l, c, why, why_size);
    if (e != OK)
        return e;
    e = addr_parse(slice_of(c->admin_listen), &at);
    assert(t->tls != NULL || e != OK || at.is_loopback); /* the configuration was looked at */
    if (e == OK) /* with whoever takes our place, should that be asked for */
        e = listener_open_shared(l, &at, NULL, ops, owner, &t->listener);
    if (e == ERR_UNSUPPORTED)
        e = listener_open(l, &at, NULL, ops, owner, &t->listener);
    if (e != OK) {
        text_format(why, why_size, "admin_listen: cannot listen on %s: %s", c->admin_listen,
                    e == ERR_EXISTS ? "the address is in use" : err_name(e));
        return e;
    }
    struct listener_options o = {.tls = t->tls,
                                 .header_ms = HANDSHAKE_MS,
                                 .handshake_ms = HANDSHAKE_MS,
                                 .max_arrivals = ARRIVALS};
    listener_set(t->listener, &o);
    log_info("the admin listens", LF_STR("address", listener_addr(t->listener)->text),
             LF_BOOL("tls", t->tls != NULL), LF_BOOL("token", c->admin_token_file != NULL),
             LF_BOOL("certificates", c->admin_tls_client_ca != NULL));
    return OK;
}

enum err admin_tcp_reload(struct admin_tcp *t, const struct config *c, struct admin *admin,
                          char *why, size_t why_size)
{
    struct tls_server_options o;
    struct tls_pair pair;
    enum err e = OK;
    if (t->listener == NULL || c->admin_listen == NULL)
        return OK; /* a restart opens or closes it */
    if (c->admin_tls_cert != NULL && t->tls != NULL) {
        tls_options(c, &pair, &o);
        e = tls_server_reload(t->tls, &o, why, why_size);
    }
    if (e != OK)
        return ERR_CERT;
    /* No token is fine only where certificates stand in for it from now on. */
    bool certain = t->tls != NULL && c->admin_tls_cert != NULL && c->admin_tls_client_ca != NULL;
    return c->admin_token_file != NULL || certain ? token_set(c, admin, why, why_size) : OK;
}

void admin_tcp_close(struct admin_tcp *t)
{
    if (t->listener != NULL)
        listener_close(t->listener);
    if (t->tls != NULL)
        tls_server_free(t->tls);
    *t = (struct admin_tcp){0};
}

void admin_tcp_describe(const struct admin_tcp *t, struct jw *w)
{
    char url[ADDR_TEXT_MAX + 16];
    if (t->listener != NULL)
        text_format(url, sizeof url, "http%s://%s", t->tls != NULL ? "s" : "",
                    listener_addr(t->listener)->text);
    jw_kcstr(w, "admin_listen", t->listener != NULL ? url : NULL);
}

bool admin_peer_may(const struct addr *peer)
{
    return !peer->is_unix || peer->uid == -1 || peer->uid == 0 || peer->uid == (int64_t)geteuid();
}
