/* The doors: see app_listen.h. */
#include "app_listen.h"

#include <string.h>

#define HEADER_MS    3000
#define HANDSHAKE_MS 10000
#define ARRIVALS_MIN 16
#define DAY_MS       INT64_C(86400000)

/* ---- what the configuration says ------------------------------------------------------------- */

static enum tls_client_auth client_auth(const struct config *c)
{
    if (strcmp(c->tls_client_auth, "required") == 0)
        return TLS_CLIENT_REQUIRED;
    return strcmp(c->tls_client_auth, "optional") == 0 ? TLS_CLIENT_OPTIONAL : TLS_CLIENT_OFF;
}

static void tls_options(const struct config *c, struct tls_pair pair[CONFIG_LISTEN_MAX],
                        struct tls_server_options *o)
{
    static_assert(CONFIG_LISTEN_MAX <= TLS_PAIRS_MAX, "each pair has a place");
    assert(c->tls_certs == c->tls_keys);
    for (int i = 0; i < c->tls_certs; i++)
        pair[i] = (struct tls_pair){c->tls_cert[i], c->tls_key[i]};
    *o = (struct tls_server_options){
        .pair = pair, .pairs = c->tls_certs, .client_auth = client_auth(c)};
    if (o->client_auth != TLS_CLIENT_OFF)
        o->client_ca = c->tls_client_ca;
}

static enum err trusted_parse(const struct config *c, struct cidr out[CONFIG_TRUSTED_MAX],
                              char *why, size_t size)
{
    for (int i = 0; i < c->trusted_proxies; i++) {
        enum err e = cidr_parse(slice_of(c->trusted_proxy[i]), &out[i]);
        if (e == OK)
            continue;
        text_format(why, size,
                    e == ERR_RANGE ? "trusted_proxies: `%s`: bits behind the prefix must be zero"
                                   : "trusted_proxies: `%s` is no address and no block of them",
                    c->trusted_proxy[i]);
        return e;
    }
    return OK;
}

bool doors_have_porch(const struct config *c)
{
    for (int i = 0; i < c->listens; i++) {
        struct config_listen l;
        config_listen_at(c, i, &l);
        if (l.tls || l.proxy)
            return true;
    }
    return false;
}

/* ---- one door -------------------------------------------------------------------------------- */

static void door_set(struct doors *d, int i)
{
    int32_t share = d->places / (d->n > 0 ? d->n : 1); /* as far as there are descriptors */
    struct listener_options o = {.tls = d->has_tls[i] ? d->tls : NULL,
                                 .proxy = d->has_proxy[i],
                                 .trusted = d->trusted,
                                 .trusted_n = d->trusted_n,
                                 .header_ms = HEADER_MS,
                                 .handshake_ms = HANDSHAKE_MS,
                                 .max_arrivals = share > ARRIVALS_MIN ? share : ARRIVALS_MIN};
    listener_set(d->listener[i], &o);
}

static const char *listen_why(const struct config *c, enum err e)
{
    switch (e) {
    case ERR_EXISTS:
        return c->overlap
                   ? "the address is in use by a program that does not share it (`overlap` must be "
                     "on in both); stop it or choose another --listen"
                   : "the address is in use; stop who has it or choose another --listen";
    case ERR_DENIED:
        return "not permitted; ports below 1024 need a privilege";
    case ERR_UNSUPPORTED:
        return "this system cannot share an address: `overlap` needs Linux";
    default:
        return err_name(e);
    }
}

static enum err door_bind(struct doors *d, const struct config *c, struct slice text,
                          const struct listener_ops *ops, void *owner, char *why, size_t size)
{
    struct addr addr;
    enum err e = addr_parse(text, &addr);
    struct listener **at = &d->listener[d->n];
    if (e == OK)
        e = c->overlap ? listener_open_shared(d->loop, &addr, NULL, ops, owner, at)
                       : listener_open(d->loop, &addr, NULL, ops, owner, at);
    if (e != OK)
        text_copy(why, size, slice_of(listen_why(c, e)));
    return e;
}

/* Where the socket is, nobody has judged yet: see config_check_listen. */
static enum err door_take(struct doors *d, const struct config *c, const struct config_listen *l,
                          struct given_socket *s, const struct listener_ops *ops, void *owner,
                          char *why, size_t size)
{
    if (!l->tls && !c->allow_public_listen && !s->addr.is_loopback) {
        text_format(why, size,
                    "the socket that was handed over is at %s, which is no loopback address, and "
                    "keys and prompts would cross the network in the clear; give tls_cert and "
                    "tls_key, or put TLS in front and set allow_public_listen: true",
                    s->addr.text);
        return ERR_DENIED;
    }
    int fd = s->fd;
    s->fd = -1;
    enum err e = listener_adopt(d->loop, fd, ops, owner, &d->listener[d->n]);
    if (e != OK)
        text_format(why, size, "the socket that was handed over cannot be used: %s", err_name(e));
    return e;
}

static enum err door_open(struct doors *d, const struct config *c, struct given *given, int i,
                          const struct listener_ops *ops, void *owner, char *why, size_t size)
{
    struct config_listen l;
    char names[512];
    enum err e;
    config_listen_at(c, i, &l);
    assert(!l.tls || d->tls != NULL);
    struct given_socket *s = given_find(given, &l);
    if (s != NULL) {
        e = door_take(d, c, &l, s, ops, owner, why, size);
    } else if (l.name.n > 0) {
        given_names(given, names, sizeof names);
        text_format(why, size,
                    "no socket of that name was handed over%s%s: FileDescriptorName= in "
                    "sluice.socket says it",
                    names[0] != '\0' ? "; there are: " : "", names);
        e = ERR_NOTFOUND;
    } else {
        e = door_bind(d, c, l.addr, ops, owner, why, size);
    }
    if (e != OK)
        return e;
    d->has_tls[d->n] = l.tls;
    d->has_proxy[d->n] = l.proxy;
    d->was_given[d->n] = s != NULL;
    text_copy(d->name[d->n], sizeof d->name[d->n], l.addr);
    d->n++;
    return OK;
}

/* Who connects to a socket that nobody serves would wait for ever. */
static enum err all_taken(struct given *given, char *what, size_t what_size, char *why, size_t size)
{
    const struct given_socket *s = given_left(given);
    if (s == NULL)
        return OK;
    if (!given->managed) {
        log_info("an address of the process before is not served any more",
                 LF_STR("address", s->addr.text));
        given_close(given);
        return OK;
    }
    text_copy(what, what_size, S("a socket is left over"));
    text_format(why, size,
                "systemd has opened %s (%s), and no `listen` has that address or `fd:%s`: name it "
                "there, or take it out of sluice.socket",
                s->addr.text, s->name[0] != '\0' ? s->name : "no name",
                s->name[0] != '\0' ? s->name : "NAME");
    return ERR_CERT;
}

/* ---- all of them ----------------------------------------------------------------------------- */

enum err doors_open(struct doors *d, struct loop *l, const struct config *c, struct given *given,
                    int32_t places, const struct listener_ops *ops, void *owner, char *what,
                    size_t what_size, char *why, size_t why_size)
{
    struct tls_pair pair[CONFIG_LISTEN_MAX];
    struct tls_server_options o;
    *d = (struct doors){.loop = l, .trusted_n = c->trusted_proxies, .places = places};
    text_copy(what, what_size, S("bad configuration"));
    if (trusted_parse(c, d->trusted, why, why_size) != OK)
        return ERR_CERT;
    if (c->tls_certs > 0) {
        text_copy(what, what_size, S("cannot serve TLS"));
        tls_options(c, pair, &o);
        if (tls_server_new(l, &o, &d->tls, why, why_size) != OK)
            return ERR_CERT;
    }
    for (int i = 0; i < c->listens; i++) {
        enum err e = door_open(d, c, given, i, ops, owner, why, why_size);
        if (e != OK) {
            text_format(what, what_size, "cannot listen on %s", c->listen[i]);
            return e == ERR_CERT ? ERR_IO : e;
        }
    }
    for (int i = 0; i < d->n; i++)
        door_set(d, i);
    return all_taken(given, what, what_size, why, why_size);
}

enum err doors_reload(struct doors *d, const struct config *c, int32_t places, char *why,
                      size_t size)
{
    struct cidr trusted[CONFIG_TRUSTED_MAX];
    struct tls_pair pair[CONFIG_LISTEN_MAX];
    struct tls_server_options o;
    enum err e = trusted_parse(c, trusted, why, size);
    if (e == OK && d->tls != NULL && c->tls_certs > 0) {
        tls_options(c, pair, &o);
        e = tls_server_reload(d->tls, &o, why, size);
    }
    if (e != OK && e != ERR_CONFLICT)
        return e;
    memcpy(d->trusted, trusted, sizeof d->trusted);
    d->trusted_n = c->trusted_proxies;
    d->places = places;
    for (int i = 0; i < d->n; i++)
        door_set(d, i);
    return e;
}

void doors_trust(const struct doors *d, const struct config *c, struct http_server *s)
{
    enum http_forwarded header = HTTP_FORWARDED_X_FOR;
    if (strcmp(c->forwarded_header, "forwarded") == 0)
        header = HTTP_FORWARDED_RFC7239;
    else if (strcmp(c->forwarded_header, "off") == 0)
        header = HTTP_FORWARDED_OFF;
    http_server_trust(s, d->trusted, d->trusted_n, header);
}

void doors_url(const struct doors *d, int i, char *out, size_t size)
{
    assert(i >= 0 && i < d->n);
    text_format(out, size, "http%s://%s", d->has_tls[i] ? "s" : "",
                listener_addr(d->listener[i])->text);
}

void doors_pause(struct doors *d, bool paused)
{
    for (int i = 0; i < d->n; i++)
        listener_pause(d->listener[i], paused);
}

bool doors_shut(struct doors *d, bool at_once)
{
    bool all = true;
    for (int i = 0; i < d->n; i++)
        all = listener_retire(d->listener[i], at_once) && all;
    d->shut = d->shut || all;
    return all;
}

int64_t doors_arriving(const struct doors *d)
{
    int64_t n = 0;
    for (int i = 0; i < d->n; i++) {
        struct listener_stats s;
        listener_stats_get(d->listener[i], &s);
        n += s.arrivals;
    }
    return n;
}

void doors_close(struct doors *d)
{
    for (int i = 0; i < d->n; i++)
        listener_close(d->listener[i]);
    d->n = 0;
}

void doors_free(struct doors *d)
{
    doors_close(d);
    if (d->tls != NULL)
        tls_server_free(d->tls);
    d->tls = NULL;
}

/* ---- for `status` ---------------------------------------------------------------------------- */

static void certificates_write(const struct doors *d, struct jw *w)
{
    struct tls_cert_info x;
    jw_key(w, "certificates");
    jw_arr(w);
    for (int i = 0; d->tls != NULL && tls_server_cert(d->tls, i, &x); i++) {
        jw_obj(w);
        jw_kcstr(w, "file", x.file);
        jw_kcstr(w, "name", x.name);
        jw_ktime(w, "expires_at", x.expires_at);
        jw_ki64(w, "expires_in_days", (x.expires_at - loop_wall(d->loop)) / DAY_MS);
        jw_end_obj(w);
    }
    jw_end_arr(w);
}

static void arrivals_write(const struct doors *d, struct jw *w)
{
    struct listener_stats all = {0};
    for (int i = 0; i < d->n; i++) {
        struct listener_stats s;
        listener_stats_get(d->listener[i], &s);
        all.arrivals += s.arrivals;
        all.untrusted += s.untrusted;
        all.bad_header += s.bad_header;
        all.no_handshake += s.no_handshake;
        all.crowded += s.crowded;
    }
    jw_key(w, "arrivals");
    jw_obj(w);
    jw_ki64(w, "now", all.arrivals);
    jw_ki64(w, "untrusted", (int64_t)all.untrusted);
    jw_ki64(w, "bad_proxy_header", (int64_t)all.bad_header);
    jw_ki64(w, "failed_handshake", (int64_t)all.no_handshake);
    jw_ki64(w, "crowded_out", (int64_t)all.crowded);
    jw_end_obj(w);
}

static void tls_write(const struct doors *d, struct jw *w)
{
    struct tls_server_stats s;
    if (d->tls == NULL)
        return;
    tls_server_stats_get(d->tls, &s);
    jw_key(w, "tls");
    jw_obj(w);
    jw_ki64(w, "handshakes", (int64_t)s.handshakes);
    jw_ki64(w, "resumed", (int64_t)s.resumed);
    jw_ki64(w, "refused", (int64_t)s.refused);
    jw_ki64(w, "in_progress", s.in_progress);
    jw_ki64(w, "waiting", s.waiting);
    jw_end_obj(w);
}

void doors_describe(const struct doors *d, struct jw *w)
{
    char url[ADDR_TEXT_MAX + 16];
    jw_key(w, "listen");
    jw_arr(w);
    for (int i = 0; i < d->n && !d->shut; i++) {
        doors_url(d, i, url, sizeof url);
        jw_cstr(w, url);
    }
    jw_end_arr(w);
    certificates_write(d, w);
    arrivals_write(d, w);
    tls_write(d, w);
}
