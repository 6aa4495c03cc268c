/* The table, and how a snapshot is made of defaults, file, environment and flags. */
#include "config.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config_private.h"

#define SECOND     INT64_C(1000)
#define HOUR       (3600 * SECOND)
#define DAY        (24 * HOUR)
#define MIB        INT64_C(1048576)
#define FILE_MAX   (1 << 20)
#define AT(member) offsetof(struct config, member)
#define MASTER_KEY "SLUICE_MASTER_KEY"

const struct option CONFIG_OPTIONS[] = {
    {"listen", OPT_LIST, "127.0.0.1:8080", 0, CONFIG_LISTEN_MAX, false, AT(listen), "ADDR:PORT",
     "where clients connect; may be given several times; http://ADDR:PORT and https://ADDR:PORT "
     "say how, proxy+... that a PROXY header comes first; fd:NAME in place of ADDR:PORT is a "
     "socket that systemd opens",
     AT(listens)},
    {"tls_cert", OPT_LIST, NULL, 0, CONFIG_LISTEN_MAX, true, AT(tls_cert), "FILE",
     "certificate chain (PEM) with which clients are served over TLS; may be given several times, "
     "each with its tls_key: clients get the one for the name they ask for; also $SSL_CERT_PATH",
     AT(tls_certs)},
    {"tls_key", OPT_LIST, NULL, 0, CONFIG_LISTEN_MAX, true, AT(tls_key), "FILE",
     "private key (PEM) of the certificate at the same place; also $SSL_KEY_PATH", AT(tls_keys)},
    {"tls_client_ca", OPT_STRING, NULL, 0, 0, true, AT(tls_client_ca), "FILE",
     "authorities (PEM) whose certificates clients may, or must, have"},
    {"tls_client_auth", OPT_STRING, "off", 0, 0, true, AT(tls_client_auth), "WHEN",
     "off, optional (a bad certificate is refused, none is fine) or required"},
    {"proxy_protocol", OPT_BOOL, "false", 0, 0, false, AT(proxy_protocol), NULL,
     "every connection begins with a PROXY header (v1 or v2) that says who is there"},
    {"trusted_proxies", OPT_LIST, NULL, 0, CONFIG_TRUSTED_MAX, true, AT(trusted_proxy), "CIDR",
     "balancers whose PROXY headers and x-forwarded-for are believed; may be given several times",
     AT(trusted_proxies)},
    {"forwarded_header", OPT_STRING, "x-forwarded-for", 0, 0, true, AT(forwarded_header), "NAME",
     "in which header a trusted proxy names the client: x-forwarded-for, forwarded or off"},
    {"state_dir", OPT_STRING, NULL, 0, 0, false, AT(state_dir), "DIR",
     "the folder of the database, the master key and the admin socket"},
    {"master_key_file", OPT_STRING, NULL, 0, 0, false, AT(master_key_file), "FILE",
     "where the master key is read; default: systemd's credential sluice-master-key, else "
     "master.key in the state folder"},
    {"master_key_command", OPT_STRING, NULL, 0, 0, false, AT(master_key_command), "COMMAND",
     "a program that prints the master key, and its arguments, split at spaces; run once at the "
     "start"},
    {"master_key_env", OPT_BOOL, "false", 0, 0, false, AT(master_key_env), NULL,
     "take the master key from $SLUICE_MASTER_KEY, where others may see it"},
    {"allow_core_dumps", OPT_BOOL, "false", 0, 0, false, AT(allow_core_dumps), NULL,
     "let the process be debugged and dumped, secrets included"},
    {"sandbox", OPT_STRING, "on", 0, 0, false, AT(sandbox), "MODE",
     "on (give up all files, ports, signals and system calls that are not needed, as far as the "
     "kernel can), strict (start only if it can, and give up more) or off"},
    {"sandbox_read", OPT_LIST, NULL, 0, CONFIG_LISTEN_MAX, false, AT(sandbox_read), "PATH",
     "a file or folder that may be read besides those that other options name; may be given "
     "several times",
     AT(sandbox_reads)},
    {"hosts", OPT_LIST, NULL, 0, CONFIG_LISTEN_MAX, true, AT(host), "NAME",
     "names under which clients may ask (api.example.com, *.example.com), all others are refused; "
     "default: any; may be given several times",
     AT(hosts)},
    {"admin_listen", OPT_STRING, NULL, 0, 0, false, AT(admin_listen), "ADDR:PORT",
     "where the admin API can be reached besides its unix socket; it needs admin_token_file or "
     "admin_tls_client_ca"},
    {"admin_tls_cert", OPT_STRING, NULL, 0, 0, true, AT(admin_tls_cert), "FILE",
     "certificate chain (PEM) of admin_listen; without it that must be a loopback address"},
    {"admin_tls_key", OPT_STRING, NULL, 0, 0, true, AT(admin_tls_key), "FILE",
     "private key (PEM) of admin_tls_cert"},
    {"admin_tls_client_ca", OPT_STRING, NULL, 0, 0, true, AT(admin_tls_client_ca), "FILE",
     "authorities (PEM); whoever comes to admin_listen must have a certificate of theirs"},
    {"admin_token_file", OPT_STRING, NULL, 0, 0, true, AT(admin_token_file), "FILE",
     "a token of 32 letters or more; whoever asks at admin_listen must bring it (authorization: "
     "Bearer ...)"},
    {"admin_hosts", OPT_LIST, NULL, 0, CONFIG_LISTEN_MAX, true, AT(admin_host), "NAME",
     "names under which admin_listen may be asked besides its address; may be given several times",
     AT(admin_hosts)},
    {"overlap", OPT_BOOL, "false", 0, 0, false, AT(overlap), NULL,
     "let another sluice use the same state folder and addresses at the same time, for restarts "
     "nobody notices"},
    {"allow_public_listen", OPT_BOOL, "false", 0, 0, false, AT(allow_public_listen), NULL,
     "permit plain HTTP on an address that is not loopback (behind a TLS balancer)"},
    {"public_url", OPT_STRING, NULL, 0, 0, true, AT(public_url), "URL",
     "how clients reach the gateway, for links in replies; default: the request's Host"},
    {"pass_ratelimit_headers", OPT_BOOL, "false", 0, 0, true, AT(pass_ratelimit_headers), NULL,
     "let clients see the shared account's anthropic-ratelimit-* headers"},
    {"ca_file", OPT_STRING, NULL, 0, 0, false, AT(ca_file), "FILE",
     "trusted root certificates for upstreams; default: the system's"},
    {"log_level", OPT_STRING, "info", 0, 0, true, AT(log_level), "LEVEL",
     "debug, info, warn, error or off"},
    {"log_format", OPT_STRING, "auto", 0, 0, false, AT(log_format), "FORMAT",
     "auto (text on a terminal, else JSON), text or json"},
    {"head_timeout", OPT_DURATION, "10s", 10, HOUR, true, AT(head_timeout), "TIME",
     "a client's whole request head must arrive within this time"},
    {"body_timeout", OPT_DURATION, "60s", 10, HOUR, true, AT(body_timeout), "TIME",
     "longest pause inside a client's request body"},
    {"keep_alive", OPT_DURATION, "620s", 10, DAY, true, AT(keep_alive), "TIME",
     "how long an idle client connection is kept"},
    {"write_timeout", OPT_DURATION, "60s", 10, HOUR, true, AT(write_timeout), "TIME",
     "longest time a client may take nothing of what is sent to it"},
    {"max_body", OPT_SIZE, "32m", 1024, 512 * MIB, true, AT(max_body), "SIZE",
     "largest request body"},
    {"max_buffered", OPT_SIZE, "512m", 1 * MIB, 65536 * MIB, true, AT(max_buffered), "SIZE",
     "all request bodies held at one time; never more than half of memory_limit"},
    {"memory_limit", OPT_SIZE, "0", 0, (int64_t)1 << 50, true, AT(memory_limit), "SIZE",
     "memory the gateway may use: from 85 % of it on it does without more and more (README); "
     "default: what its container or machine has"},
    {"max_connections", OPT_INT, "8192", 1, 1000000, true, AT(max_connections), "N",
     "client connections at one time"},
    {"max_connections_per_source", OPT_INT, "512", 0, 1000000, true, AT(max_connections_per_source),
     "N",
     "client connections from one address (IPv6: one /64) at one time; trusted proxies and this "
     "machine are not counted; 0: no bound"},
    {"max_connection_age", OPT_DURATION, "1h", 0, 30 * DAY, true, AT(max_connection_age), "TIME",
     "after this time, give or take a tenth, a client connection ends with its next answer; 0: "
     "never"},
    {"connect_timeout", OPT_DURATION, "5s", 10, HOUR, false, AT(connect_timeout), "TIME",
     "to reach an upstream; twice that with TLS"},
    {"first_byte_timeout", OPT_DURATION, "600s", 10, DAY, true, AT(first_byte_timeout), "TIME",
     "for the head of a reply that is not streamed"},
    {"stream_first_byte_timeout", OPT_DURATION, "120s", 10, DAY, true,
     AT(stream_first_byte_timeout), "TIME",
     "for the head of a streamed reply, then another account is tried"},
    {"silence_timeout", OPT_DURATION, "330s", 10, DAY, true, AT(silence_timeout), "TIME",
     "longest silence inside a reply"},
    {"ping_interval", OPT_DURATION, "15s", 10, HOUR, true, AT(ping_interval), "TIME",
     "a stream's client gets a ping after this silence"},
    {"hold_back", OPT_DURATION, "10s", 0, HOUR, true, AT(hold_back), "TIME",
     "how long a stream's opening is held while another account could still serve"},
    {"queue_timeout", OPT_DURATION, "10s", 0, HOUR, true, AT(queue_timeout), "TIME",
     "how long a request may wait for an account that comes back soon"},
    {"max_attempts", OPT_INT, "4", 1, 16, true, AT(max_attempts), "N",
     "accounts tried for one request"},
    {"request_log_max_age", OPT_DURATION, "30d", 0, 3650 * DAY, true, AT(request_log_max_age),
     "TIME", "older request records are pruned; 0 keeps them"},
    {"request_log_max_size", OPT_SIZE, "256m", 0, 1048576 * MIB, true, AT(request_log_max_size),
     "SIZE", "the oldest records are pruned above this size of the database; 0: no bound"},
    {"drain_lead", OPT_DURATION, "5s", 0, HOUR, true, AT(drain_lead), "TIME",
     "how long newcomers are still served after SIGTERM, while /readyz tells balancers to go "
     "elsewhere; not after Ctrl-C"},
    {"drain_timeout", OPT_DURATION, "300s", 0, DAY, true, AT(drain_timeout), "TIME",
     "how long running streams may go on after that"},
};
const int CONFIG_OPTIONS_N = (int)(sizeof CONFIG_OPTIONS / sizeof CONFIG_OPTIONS[0]);

/* ---- small tools ----------------------------------------------------------------------------- */

enum err config_fail(struct config_error *e, enum err code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    assert(n >= 0);
    return code;
}

const char *config_getenv(const char *name)
{
    const char *v = getenv(name);
    return v != NULL && v[0] != '\0' ? v : NULL;
}

const char *config_env(enum config_env which)
{
    static const char *const names[CONFIG_ENV_COUNT] = {
        [CONFIG_ENV_NO_COLOR] = "NO_COLOR",
        [CONFIG_ENV_HOME] = "HOME",
        [CONFIG_ENV_AWS_ACCESS_KEY_ID] = "AWS_ACCESS_KEY_ID",
        [CONFIG_ENV_AWS_SECRET_ACCESS_KEY] = "AWS_SECRET_ACCESS_KEY",
        [CONFIG_ENV_AWS_SESSION_TOKEN] = "AWS_SESSION_TOKEN",
        [CONFIG_ENV_AWS_BEARER_TOKEN] = "AWS_BEARER_TOKEN_BEDROCK",
        [CONFIG_ENV_AWS_REGION] = "AWS_REGION",
        [CONFIG_ENV_AWS_DEFAULT_REGION] = "AWS_DEFAULT_REGION",
        [CONFIG_ENV_AWS_PROFILE] = "AWS_PROFILE",
        [CONFIG_ENV_AWS_SHARED_CREDENTIALS_FILE] = "AWS_SHARED_CREDENTIALS_FILE",
        [CONFIG_ENV_AWS_CONFIG_FILE] = "AWS_CONFIG_FILE",
        [CONFIG_ENV_AWS_CONTAINER_FULL_URI] = "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        [CONFIG_ENV_AWS_CONTAINER_RELATIVE_URI] = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        [CONFIG_ENV_AWS_CONTAINER_TOKEN] = "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        [CONFIG_ENV_AWS_CONTAINER_TOKEN_FILE] = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        [CONFIG_ENV_AWS_EC2_METADATA_DISABLED] = "AWS_EC2_METADATA_DISABLED",
        [CONFIG_ENV_GOOGLE_APPLICATION_CREDENTIALS] = "GOOGLE_APPLICATION_CREDENTIALS",
        [CONFIG_ENV_MASTER_KEY] = MASTER_KEY,
        [CONFIG_ENV_CREDENTIALS_DIRECTORY] = "CREDENTIALS_DIRECTORY",
        [CONFIG_ENV_NOTIFY_SOCKET] = "NOTIFY_SOCKET",
        [CONFIG_ENV_WATCHDOG_USEC] = "WATCHDOG_USEC",
        [CONFIG_ENV_WATCHDOG_PID] = "WATCHDOG_PID",
        [CONFIG_ENV_LISTEN_PID] = "LISTEN_PID",
        [CONFIG_ENV_LISTEN_FDS] = "LISTEN_FDS",
        [CONFIG_ENV_CONFIG] = "SLUICE_CONFIG",
        [CONFIG_ENV_LISTEN_FDNAMES] = "LISTEN_FDNAMES",
        [CONFIG_ENV_INVOCATION_ID] = "INVOCATION_ID",
    };
    assert((int)which >= 0 && which < CONFIG_ENV_COUNT && names[which] != NULL);
    return config_getenv(names[which]);
}

bool config_take_master_key(char *out, size_t size)
{
    char *v = getenv(MASTER_KEY);
    size_t n = v == NULL ? 0 : strlen(v);
    bool fits = n > 0 && n < size;
    if (fits)
        text_copy(out, size, (struct slice){v, n});
    if (v != NULL)
        crypto_wipe(v, n);
    unsetenv(MASTER_KEY);
    return fits;
}

const char *config_keep(struct config *c, struct slice s)
{
    struct config_private *p = c->priv;
    p->string = mem_grow(p->string, (size_t)(p->strings + 1) * sizeof *p->string);
    p->string[p->strings] = mem_slicedup(s);
    return p->string[p->strings++];
}

struct config *config_new(void)
{
    struct config *c = NEW(struct config);
    c->priv = NEW(struct config_private);
    assert((size_t)CONFIG_OPTIONS_N <= sizeof c->priv->origin / sizeof c->priv->origin[0]);
    return c;
}

void config_free(struct config *c)
{
    if (c == NULL)
        return;
    for (int i = 0; i < c->priv->strings; i++)
        mem_free(c->priv->string[i]);
    mem_free(c->priv->string);
    mem_free(c->priv);
    mem_free(c);
}

/* Option and flag names are the same but for '-' and '_'. */
static bool name_eq(struct slice given, const char *name)
{
    if (given.n != strlen(name))
        return false;
    for (size_t i = 0; i < given.n; i++)
        if ((given.p[i] == '-' ? '_' : given.p[i]) != name[i])
            return false;
    return true;
}

int config_option_find(struct slice name)
{
    for (int i = 0; i < CONFIG_OPTIONS_N; i++)
        if (name_eq(name, CONFIG_OPTIONS[i].name))
            return i;
    return -1;
}

static const char *closest(struct slice word)
{
    const char *names[64];
    for (int i = 0; i < CONFIG_OPTIONS_N; i++)
        names[i] = CONFIG_OPTIONS[i].name;
    return text_closest(word, names, (size_t)CONFIG_OPTIONS_N);
}

/* ---- setting one option ---------------------------------------------------------------------- */

static bool parse_bool(struct slice s, bool *out)
{
    static const char *const YES[] = {"true", "yes", "on", "1"}, *const NO[] = {"false", "no",
                                                                                "off", "0"};
    for (int i = 0; i < 4; i++) {
        if (slice_ieq(s, slice_of(YES[i])) || slice_ieq(s, slice_of(NO[i]))) {
            *out = slice_ieq(s, slice_of(YES[i]));
            return true;
        }
    }
    return false;
}

static enum err set_number(int64_t *out, const struct option *o, struct slice v, const char *where,
                           struct config_error *e)
{
    uint64_t u = 0;
    int64_t n = 0;
    bool good;
    const char *like;
    if (o->type == OPT_DURATION) {
        good = text_duration(v, 1, &n);
        like = "a time such as 500ms, 10s, 5m, 2h or 30d";
        /* a bare number other than 0 does not say what it counts */
        if (good && v.n > 0 && isdigit((unsigned char)v.p[v.n - 1]) && n != 0)
            good = false;
    } else if (o->type == OPT_SIZE) {
        good = text_size(v, &u) && u <= INT64_MAX;
        n = (int64_t)u;
        like = "a size such as 4096, 64k, 32m or 1g";
    } else {
        good = text_i64(v, &n);
        like = "a whole number";
    }
    if (!good)
        return config_fail(e, ERR_SYNTAX, "%s: %s: `%.*s` is not %s", where, o->name, (int)v.n, v.p,
                           like);
    if (n < o->min || n > o->max)
        return config_fail(
            e, ERR_RANGE, "%s: %s: `%.*s` is out of bounds (%" PRId64 " to %" PRId64 "%s)", where,
            o->name, (int)v.n, v.p, o->min, o->max, o->type == OPT_DURATION ? " ms" : "");
    *out = n;
    return OK;
}

static int *list_count(struct config *c, const struct option *o)
{
    assert(o->type == OPT_LIST && o->count > 0 && o->max > 0);
    return (int *)(void *)((char *)c + o->count);
}

static enum err list_add(struct config *c, const struct option *o, struct slice v,
                         const char *where, struct config_error *e)
{
    const char **list = (const char **)(void *)((char *)c + o->offset);
    int *n = list_count(c, o);
    struct slice part;
    while (slice_cut(&v, ',', &part)) {
        part = slice_trim(part);
        if (part.n == 0)
            continue;
        if (*n == o->max)
            return config_fail(e, ERR_RANGE, "%s: %s: more than %d of them", where, o->name,
                               (int)o->max);
        list[(*n)++] = config_keep(c, part);
    }
    return OK;
}

/* A list given at a higher place replaces the lower one; within one place it grows. */
static void list_begin(struct config *c, int option, enum config_origin origin)
{
    if (c->priv->origin[option] != origin)
        *list_count(c, &CONFIG_OPTIONS[option]) = 0;
}

enum err config_set(struct config *c, int option, struct slice v, enum config_origin origin,
                    const char *where, struct config_error *e)
{
    assert(option >= 0 && option < CONFIG_OPTIONS_N);
    const struct option *o = &CONFIG_OPTIONS[option];
    void *at = (char *)c + o->offset;
    enum err r = OK;
    switch (o->type) {
    case OPT_STRING:
        *(const char **)at = v.n > 0 ? config_keep(c, v) : NULL;
        break;
    case OPT_LIST:
        list_begin(c, option, origin);
        r = list_add(c, o, v, where, e);
        break;
    case OPT_BOOL:
        if (!parse_bool(v, at))
            r = config_fail(e, ERR_SYNTAX, "%s: %s: `%.*s` is neither true nor false", where,
                            o->name, (int)v.n, v.p);
        break;
    default:
        r = set_number(at, o, v, where, e);
    }
    c->priv->origin[option] = origin;
    return r;
}

/* ---- sources --------------------------------------------------------------------------------- */

static enum err load_defaults(struct config *c, struct config_error *e)
{
    for (int i = 0; i < CONFIG_OPTIONS_N; i++) {
        enum err r = OK;
        if (CONFIG_OPTIONS[i].preset != NULL)
            r = config_set(c, i, slice_of(CONFIG_OPTIONS[i].preset), CONFIG_DEFAULT, "default", e);
        if (r != OK)
            return r;
    }
    return OK;
}

/* What other programs of this kind are told by: taken when both are there and nothing of ours is in
 * the environment. */
static enum err load_env_pair(struct config *c, struct config_error *e)
{
    int cert = config_option_find(S("tls_cert")), key = config_option_find(S("tls_key"));
    const char *cert_file = config_getenv("SSL_CERT_PATH"),
               *key_file = config_getenv("SSL_KEY_PATH");
    assert(cert >= 0 && key >= 0);
    if (cert_file == NULL || key_file == NULL || c->priv->origin[cert] == CONFIG_ENV ||
        c->priv->origin[key] == CONFIG_ENV)
        return OK;
    enum err r = config_set(c, cert, slice_of(cert_file), CONFIG_ENV, "$SSL_CERT_PATH", e);
    return r != OK ? r : config_set(c, key, slice_of(key_file), CONFIG_ENV, "$SSL_KEY_PATH", e);
}

static enum err load_env(struct config *c, struct config_error *e)
{
    for (int i = 0; i < CONFIG_OPTIONS_N; i++) {
        char name[64];
        size_t n = text_format(name, sizeof name, "SLUICE_%s", CONFIG_OPTIONS[i].name);
        for (size_t k = 0; k < n; k++)
            name[k] = (char)toupper((unsigned char)name[k]);
        const char *v = config_getenv(name);
        char where[80];
        text_format(where, sizeof where, "$%s", name);
        enum err r = v == NULL ? OK : config_set(c, i, slice_of(v), CONFIG_ENV, where, e);
        if (r != OK)
            return r;
    }
    return load_env_pair(c, e);
}

static enum err load_flags(struct config *c, const struct config_flag *flags, int n,
                           struct config_error *e)
{
    for (int i = 0; i < n; i++) {
        int option = config_option_find(slice_of(flags[i].name));
        char where[80];
        text_format(where, sizeof where, "--%s", flags[i].name);
        if (option < 0)
            return config_fail(e, ERR_SYNTAX, "%s: unknown option", where);
        enum err r = config_set(c, option, slice_of(flags[i].value), CONFIG_FLAG, where, e);
        if (r != OK)
            return r;
    }
    return OK;
}

static enum err load_file(struct config *c, const char *file, struct config_error *e)
{
    struct buf text;
    char chunk[4096];
    ssize_t got = 0;
    enum err r = OK;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return config_fail(e, ERR_NOTFOUND,
                           "%s: cannot be read; check the path given with --config", file);
    buf_init(&text, FILE_MAX);
    while (r == OK && (got = read(fd, chunk, sizeof chunk)) > 0)
        r = buf_append(&text, chunk, (size_t)got);
    close(fd);
    if (got < 0)
        r = config_fail(e, ERR_IO, "%s: cannot be read", file);
    else if (r != OK)
        r = config_fail(e, ERR_LIMIT, "%s: larger than 1 MiB: this is no configuration file", file);
    else
        r = config_parse_text(c, file, buf_slice(&text), e);
    buf_free(&text);
    return r;
}

/* $STATE_DIRECTORY (systemd), $XDG_STATE_HOME/sluice, ~/.local/state/sluice. */
static enum err find_state_dir(struct config *c, struct config_error *e)
{
    char path[1024];
    const char *v;
    size_t n = 0;
    if (c->state_dir != NULL)
        return OK;
    if ((v = config_getenv("STATE_DIRECTORY")) != NULL) /* the first of several */
        n = text_format(path, sizeof path, "%.*s", (int)strcspn(v, ":"), v);
    else if ((v = config_getenv("XDG_STATE_HOME")) != NULL)
        n = text_format(path, sizeof path, "%s/sluice", v);
    else if ((v = config_getenv("HOME")) != NULL)
        n = text_format(path, sizeof path, "%s/.local/state/sluice", v);
    else
        return config_fail(e, ERR_NOTFOUND,
                           "state_dir: no $HOME to derive it from; give --state-dir");
    if (n == sizeof path - 1)
        return config_fail(e, ERR_RANGE,
                           "state_dir: the path is too long; give a shorter --state-dir");
    c->state_dir = config_keep(c, slice_of(path));
    return OK;
}

/* ---- what one option alone cannot tell ------------------------------------------------------- */

bool config_one_of(const char *v, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strcmp(v, *words) == 0)
            return true;
    return false;
}

static enum err check_whole(const struct config *c, struct config_error *e)
{
    static const char *const LEVELS[] = {"debug", "info", "warn", "error", "off", NULL};
    static const char *const FORMATS[] = {"auto", "text", "json", NULL};
    static const char *const SANDBOXES[] = {"on", "strict", "off", NULL};
    enum err r = config_check_listen(c, e);
    if (r != OK)
        return r;
    if (c->log_level == NULL || !config_one_of(c->log_level, LEVELS))
        return config_fail(e, ERR_SYNTAX, "log_level: use debug, info, warn, error or off");
    if (c->sandbox == NULL || !config_one_of(c->sandbox, SANDBOXES))
        return config_fail(e, ERR_SYNTAX, "sandbox: use on, strict or off");
    if (c->log_format == NULL || !config_one_of(c->log_format, FORMATS))
        return config_fail(e, ERR_SYNTAX, "log_format: use auto, text or json");
    if (c->public_url != NULL && !slice_starts(slice_of(c->public_url), S("http://")) &&
        !slice_starts(slice_of(c->public_url), S("https://")))
        return config_fail(e, ERR_SYNTAX, "public_url: must begin with http:// or https://");
    return OK;
}

enum err config_load(const char *file, const struct config_flag *flags, int n, struct config **out,
                     struct config_error *e)
{
    struct config *c = config_new();
    e->text[0] = '\0';
    if (file == NULL)
        file = config_getenv("SLUICE_CONFIG");
    enum err r = load_defaults(c, e);
    if (r == OK && file != NULL)
        r = load_file(c, file, e);
    if (r == OK)
        r = load_env(c, e);
    if (r == OK)
        r = load_flags(c, flags, n, e);
    if (r == OK)
        r = find_state_dir(c, e);
    if (r == OK)
        r = check_whole(c, e);
    const char *ca = config_getenv("SSL_CERT_FILE");
    c->ca_env = ca == NULL ? NULL : config_keep(c, slice_of(ca));
    if (r != OK) {
        config_free(c);
        return r;
    }
    *out = c;
    return OK;
}

/* ---- questions about the table --------------------------------------------------------------- */

bool config_is_flag(struct slice name, bool *takes_value)
{
    int i = config_option_find(name);
    if (i < 0 || slice_find(name, '_') >= 0)
        return false;
    *takes_value = CONFIG_OPTIONS[i].type != OPT_BOOL;
    return true;
}

const char *config_closest_flag(struct slice name)
{
    static char flag[64];
    const char *best = closest(name);
    if (best == NULL)
        return NULL;
    text_copy(flag, sizeof flag, slice_of(best));
    for (char *p = flag; *p != '\0'; p++)
        *p = *p == '_' ? '-' : *p;
    return flag;
}

struct unit {
    int64_t in;
    const char *name;
};

/* In the largest unit that leaves no rest; the last one is 1. */
static void unit_text(int64_t v, const struct unit *u, char *out, size_t size)
{
    while (u->in > 1 && v % u->in != 0)
        u++;
    text_format(out, size, "%" PRId64 "%s", v / u->in, v != 0 ? u->name : "");
}

/* The value as it would be written in the file. */
static void value_text(const struct config *c, int i, char *out, size_t size)
{
    static const struct unit TIMES[] = {
        {DAY, "d"}, {HOUR, "h"}, {60 * SECOND, "m"}, {SECOND, "s"}, {1, "ms"}};
    static const struct unit SIZES[] = {{1024 * MIB, "g"}, {MIB, "m"}, {1024, "k"}, {1, ""}};
    const struct option *o = &CONFIG_OPTIONS[i];
    const void *at = (const char *)c + o->offset;
    const char *const *list;
    size_t n = 0;
    int count;
    out[0] = '\0';
    switch (o->type) {
    case OPT_STRING:
        text_copy(out, size, slice_of(*(const char *const *)at));
        break;
    case OPT_LIST:
        list = at;
        count = *(const int *)(const void *)((const char *)c + o->count);
        for (int k = 0; k < count && n < size - 1; k++)
            n += text_format(out + n, size - n, "%s%s", k > 0 ? "," : "", list[k]);
        break;
    case OPT_BOOL:
        text_copy(out, size, *(const bool *)at ? S("true") : S("false"));
        break;
    case OPT_DURATION:
        unit_text(*(const int64_t *)at, TIMES, out, size);
        break;
    case OPT_SIZE:
        unit_text(*(const int64_t *)at, SIZES, out, size);
        break;
    default:
        text_format(out, size, "%" PRId64, *(const int64_t *)at);
    }
}

void config_restart_needed(const struct config *old, const struct config *new, char *out,
                           size_t size)
{
    size_t n = 0;
    out[0] = '\0';
    for (int i = 0; i < CONFIG_OPTIONS_N && n < size - 1; i++) {
        char a[1024], b[1024];
        value_text(old, i, a, sizeof a);
        value_text(new, i, b, sizeof b);
        if (!CONFIG_OPTIONS[i].hot && strcmp(a, b) != 0)
            n += text_format(out + n, size - n, "%s%s", n > 0 ? ", " : "", CONFIG_OPTIONS[i].name);
    }
}

#define HELP_WIDTH 78
#define HELP_LEFT  8 /* where the explanations begin */

static enum err help_words(struct buf *out, struct slice text)
{
    struct slice word;
    size_t at = HELP_WIDTH; /* full: the first word begins a line */
    enum err e = OK;
    while (e == OK && slice_cut(&text, ' ', &word)) {
        bool fits = at + 1 + word.n <= HELP_WIDTH;
        e = fits ? buf_printf(out, " %.*s", (int)word.n, word.p)
                 : buf_printf(out, "\n%*s%.*s", HELP_LEFT, "", (int)word.n, word.p);
        at = (fits ? at + 1 : HELP_LEFT) + word.n;
    }
    return e != OK ? e : buf_printf(out, "\n");
}

enum err config_help(struct buf *out)
{
    for (int i = 0; i < CONFIG_OPTIONS_N; i++) {
        const struct option *o = &CONFIG_OPTIONS[i];
        char flag[80], text[512];
        size_t n = text_format(flag, sizeof flag, "--%s", o->name);
        for (size_t k = 2; k < n; k++)
            flag[k] = flag[k] == '_' ? '-' : flag[k];
        if (o->value != NULL)
            text_format(flag + n, sizeof flag - n, " %s", o->value);
        n = text_format(text, sizeof text, "%s%s%s%s", o->help, o->preset ? " (default " : "",
                        o->preset ? o->preset : "", o->preset ? ")" : "");
        assert(n < sizeof text - 1);
        enum err e = buf_printf(out, "  %s", flag);
        if (e == OK)
            e = help_words(out, (struct slice){text, n});
        if (e != OK)
            return e;
    }
    return OK;
}

enum err config_dump(const struct config *c, bool json, struct buf *out)
{
    static const char *const ORIGIN[] = {"default", "file", "environment", "flag"};
    struct jw w;
    enum err e = OK;
    jw_init(&w, out);
    if (json)
        jw_obj(&w);
    for (int i = 0; i < CONFIG_OPTIONS_N && e == OK; i++) {
        const struct option *o = &CONFIG_OPTIONS[i];
        const char *origin = ORIGIN[c->priv->origin[i]];
        char v[1024];
        value_text(c, i, v, sizeof v);
        if (json) {
            jw_key(&w, o->name);
            jw_obj(&w);
            jw_kcstr(&w, "value", v);
            jw_kcstr(&w, "origin", origin);
            jw_kbool(&w, "reloadable", o->hot);
            jw_end_obj(&w);
        } else {
            e = buf_printf(out, "%-26s %-32s %s\n", o->name, v[0] ? v : "-", origin);
        }
    }
    if (json)
        jw_end_obj(&w);
    return json ? w.err : e;
}
