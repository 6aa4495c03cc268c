/* config: one table row per option, an immutable snapshot out of it.
 *
 * A row of the table in config.c says everything about an option: its name in the file, its
 * environment variable, its flag, type, default, bounds, help text, and whether a reload applies
 * it. The file, the environment, argv, `config check` and `--help` all walk that one table.
 * Precedence: flag, environment, file, default. The file is YAML (libyaml); an unknown key or a bad
 * value is an error with file, line and a suggestion; `${NAME}` in a value is replaced from the
 * environment. This is the only place that may read the environment. */
#ifndef SLUICE_CONFIG_H
#define SLUICE_CONFIG_H

#include "base/base.h"

#define CONFIG_LISTEN_MAX  16
#define CONFIG_TRUSTED_MAX 64

/* Where a value came from, for `config check`. */
enum config_origin { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENV, CONFIG_FLAG };

/* A snapshot. Never changed after config_load; freed with config_free. Durations are ms. */
struct config {
    const char *listen[CONFIG_LISTEN_MAX]; /* default 127.0.0.1:8080 */
    int listens;
    const char *tls_cert[CONFIG_LISTEN_MAX], *tls_key[CONFIG_LISTEN_MAX]; /* as many of both */
    int tls_certs, tls_keys;
    const char *tls_client_ca;                     /* NULL: none */
    const char *tls_client_auth;                   /* off (default), optional, required */
    const char *trusted_proxy[CONFIG_TRUSTED_MAX]; /* blocks of addresses */
    int trusted_proxies;
    const char *forwarded_header;   /* x-forwarded-for (default), forwarded, off */
    bool proxy_protocol;            /* on every listener: false */
    const char *state_dir;          /* --state-dir, $SLUICE_STATE_DIR, $STATE_DIRECTORY,
                                       $XDG_STATE_HOME/sluice, ~/.local/state/sluice */
    const char *log_level;          /* debug, info (default), warn, error */
    const char *log_format;         /* auto (default: text on a terminal), text, json */
    const char *ca_file;            /* NULL: $SSL_CERT_FILE, then the system's */
    const char *ca_env;             /* what $SSL_CERT_FILE held, NULL if unset; not an option */
    const char *public_url;         /* NULL: from the request's Host */
    const char *master_key_file;    /* NULL: `master.key` in the state folder */
    const char *master_key_command; /* says the key; run once, split at spaces, no shell */
    bool master_key_env;            /* $SLUICE_MASTER_KEY holds the key: false */
    bool allow_core_dumps;          /* false */
    const char *sandbox;            /* on (default), strict, off */
    const char *sandbox_read[CONFIG_LISTEN_MAX]; /* more that may be read */
    int sandbox_reads;
    const char *host[CONFIG_LISTEN_MAX]; /* under which clients may ask; none: any */
    int hosts;
    const char *admin_listen; /* NULL: the admin is reached by the unix socket alone */
    const char *admin_tls_cert, *admin_tls_key, *admin_tls_client_ca; /* of that; NULL: none */
    const char *admin_token_file; /* NULL: none; with it a request there must bring the token */
    const char *admin_host[CONFIG_LISTEN_MAX]; /* more names under which it may be asked there */
    int admin_hosts;
    bool overlap; /* another process may use the folder and the addresses at the same time: false */
    bool allow_public_listen;    /* plain HTTP on an address that is not loopback: false */
    bool pass_ratelimit_headers; /* false */
    /* clients */
    int64_t head_timeout, body_timeout, keep_alive, write_timeout; /* 10s 60s 620s 60s */
    int64_t max_body;                                              /* bytes, 32m */
    int64_t max_buffered;               /* all request bodies together, 512m */
    int64_t memory_limit;               /* of the process; 0: its container's or machine's */
    int64_t max_connections;            /* 8192 */
    int64_t max_connections_per_source; /* 512, 0 = no bound */
    int64_t max_connection_age;         /* 1h, 0 = no bound */
    /* upstreams */
    int64_t connect_timeout;           /* 5s; twice that with TLS */
    int64_t first_byte_timeout;        /* not streamed: 600s */
    int64_t stream_first_byte_timeout; /* streamed: 120s */
    int64_t silence_timeout;           /* between two bytes of a reply: 330s */
    int64_t ping_interval;             /* silence after which an SSE client gets a ping: 15s */
    int64_t hold_back;                 /* how long an opening without content is held: 10s */
    int64_t queue_timeout;             /* how long a request may wait for a cooling account: 10s */
    int64_t max_attempts;              /* accounts tried for one request: 4 */
    /* book-keeping */
    int64_t request_log_max_age;  /* 30d, 0 = keep */
    int64_t request_log_max_size; /* 256m, 0 = no bound */
    int64_t drain_lead;           /* 5s */
    int64_t drain_timeout;        /* 300s */

    struct config_private *priv; /* origins and the memory of the strings */
};

struct config_flag { /* one parsed from argv: name without dashes, in the flag's spelling */
    const char *name, *value;
};
struct config_error {
    char text[512]; /* "FILE:12: unknown option `lisen`; did you mean `listen`?" */
};

/* `file` NULL: $SLUICE_CONFIG, else no file. ERR_NOTFOUND, ERR_SYNTAX, ERR_RANGE with *e filled. */
MUST_USE enum err config_load(const char *file, const struct config_flag *flags, int n,
                              struct config **out, struct config_error *e);
void config_free(struct config *c);
struct config_listen { /* what one of `listen` says: [proxy+][http://|https://]ADDR:PORT */
    struct slice addr; /* or fd:NAME */
    struct slice name; /* that NAME, "" otherwise */
    bool tls;          /* without a word about it: when there are certificates */
    bool proxy;
};
void config_listen_at(const struct config *c, int i, struct config_listen *out);
bool config_is_loopback(struct slice addr); /* as far as text tells */
/* Names of options that differ between two snapshots and need a restart, comma-separated; "" if
 * none. */
void config_restart_needed(const struct config *old, const struct config *new, char *out,
                           size_t size);

/* True if `name` is an option's flag ("listen", "state-dir"); *takes_value tells bool flags apart.
 */
bool config_is_flag(struct slice name, bool *takes_value);
/* The closest flag to a misspelt one, or NULL. */
const char *config_closest_flag(struct slice name);
/* Options for --help, and every option with value and origin for `config check`, as text or JSON.
 */
MUST_USE enum err config_help(struct buf *out);
MUST_USE enum err config_dump(const struct config *c, bool json, struct buf *out);

/* Environment variables outside the table: what the CLI needs, and where the clouds' own tools look
 * for credentials; NULL when unset or empty. Names are fixed here. */
enum config_env {
    CONFIG_ENV_NO_COLOR,
    CONFIG_ENV_HOME,
    CONFIG_ENV_AWS_ACCESS_KEY_ID,
    CONFIG_ENV_AWS_SECRET_ACCESS_KEY,
    CONFIG_ENV_AWS_SESSION_TOKEN,
    CONFIG_ENV_AWS_BEARER_TOKEN, /* AWS_BEARER_TOKEN_BEDROCK */
    CONFIG_ENV_AWS_REGION,
    CONFIG_ENV_AWS_DEFAULT_REGION,
    CONFIG_ENV_AWS_PROFILE,
    CONFIG_ENV_AWS_SHARED_CREDENTIALS_FILE,
    CONFIG_ENV_AWS_CONFIG_FILE,
    CONFIG_ENV_AWS_CONTAINER_FULL_URI, /* AWS_CONTAINER_CREDENTIALS_... */
    CONFIG_ENV_AWS_CONTAINER_RELATIVE_URI,
    CONFIG_ENV_AWS_CONTAINER_TOKEN, /* AWS_CONTAINER_AUTHORIZATION_... */
    CONFIG_ENV_AWS_CONTAINER_TOKEN_FILE,
    CONFIG_ENV_AWS_EC2_METADATA_DISABLED,
    CONFIG_ENV_GOOGLE_APPLICATION_CREDENTIALS,
    CONFIG_ENV_MASTER_KEY,            /* SLUICE_MASTER_KEY: whether it is there */
    CONFIG_ENV_CREDENTIALS_DIRECTORY, /* what systemd hands a service, from here on */
    CONFIG_ENV_NOTIFY_SOCKET,
    CONFIG_ENV_WATCHDOG_USEC,
    CONFIG_ENV_WATCHDOG_PID,
    CONFIG_ENV_LISTEN_PID,
    CONFIG_ENV_LISTEN_FDS,
    CONFIG_ENV_LISTEN_FDNAMES,
    CONFIG_ENV_INVOCATION_ID, /* of the service that systemd runs, one for each of its starts */
    CONFIG_ENV_CONFIG,        /* SLUICE_CONFIG: the file */
    CONFIG_ENV_COUNT
};
const char *config_env(enum config_env which);
/* The text of $SLUICE_MASTER_KEY, which is then gone from the environment, also as the system shows
 * it. False: it is unset, empty or does not fit. */
bool config_take_master_key(char *out, size_t size);

#endif
