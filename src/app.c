/* The daemon: starts upward, drains and stops downward; and the store opened for an offline CLI. */
#include "app.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app_admin.h"
#include "app_demo.h"
#include "app_listen.h"
#include "app_guard.h"
#include "app_key.h"
#include "app_notify.h"
#include "app_sandbox.h"
#include "sluice/sluice.h"

#define DRAIN_POLL_MS    20
#define REAP_GRACE_MS    2000
#define REFRESH_GRACE_MS 20000 /* losing a rotated token is worse than a late end (A5) */
#define OVERLAP_GRACE_MS 1000  /* the doors stay open: see app_doors */
#define OVERLAP_LOOK_MS  2000
#define ADMIN_CLIENTS    64
#define FULL_LOG_MS      60000
#define DEMO_NAME        "demo"

struct app {
    struct loop *loop;
    struct house house;
    struct admin *admin;
    struct http_server *clients, *admins;
    struct doors doors;
    struct listener *admin_door; /* NULL: closed */
    struct admin_tcp admin_tcp;
    struct app_sandbox sandbox;
    const struct config *config;
    const struct config *started; /* what was in force at the start: some of it still is */
    struct config *reloaded;      /* the snapshot in force if it came by a reload */
    const char *config_file;
    const struct config_flag *flags;
    int flags_n;
    struct timer timer; /* drain */
    struct timer dog;   /* the service manager's watchdog hears from us */
    struct timer look;  /* with `overlap`: whether the admin's socket is still ours */
    int64_t drain_until, doors_until;
    int64_t full_log_at; /* a server that stays full says so again from then on */
    bool draining, reaped, demo_mode;
    bool doors_open, full; /* newcomers are taken in; there is no place for them */
    struct demo *demo;
    uint16_t demo_port;
    char demo_secret[48], demo_key[KEY_TEXT_MAX];
    int exit_code;
};

static int64_t app_wall(void *arg)
{
    return loop_wall(arg);
}

static void say(const char *text)
{
    fputs(text, stdout);
    fflush(stdout);
}

/* Something without which there is no running: says it and stops. */
static void app_fail(struct app *a, const char *what, const char *why, int code)
{
    fprintf(stderr, "sluice: %s: %s\n", what, why);
    a->exit_code = code;
    loop_stop(a->loop);
}

/* ---- down ------------------------------------------------------------------------------------ */

static bool app_is_idle(const struct app *a)
{
    struct http_server_stats st;
    http_server_stats_get(a->clients, &st);
    /* a token that is being renewed is worth an account: it is waited for */
    return st.active == 0 && accounts_refreshing(a->house.accounts) == 0;
}

/* A drain begins with closed doors. In company they stay open for a moment first: newcomers go to
 * the other process, but who has come to this one, or is in its queue, has yet to speak, and must
 * not find the line dead. True once they are closed. */
static bool app_doors(struct app *a)
{
    int64_t now = loop_now(a->loop);
    if (!a->doors_open)
        return true;
    if (now < a->doors_until || (a->full && now < a->drain_until))
        return false;
    a->doors_open = false;
    doors_close(&a->doors); /* the admin's socket stays: `sluice status` shows the drain */
    http_server_drain(a->clients);
    return true;
}

static void app_drain_tick(void *arg)
{
    struct app *a = arg;
    int64_t now = loop_now(a->loop);
    if (!app_doors(a)) {
        timer_set(&a->timer, now + DRAIN_POLL_MS);
        return;
    }
    if (app_is_idle(a)) {
        loop_stop(a->loop);
        return;
    }
    if (now >= a->drain_until) {
        bool renewing = accounts_refreshing(a->house.accounts) > 0;
        if (a->reaped && (!renewing || now >= a->drain_until + REFRESH_GRACE_MS)) {
            loop_stop(a->loop);
            return;
        }
        log_warn("drain limit reached, ending what is left");
        a->reaped = true;
        a->drain_until = now + REAP_GRACE_MS;
        gateway_reap(a->house.gateway);
    }
    timer_set(&a->timer, now + DRAIN_POLL_MS);
}

/* A table full of clients must leave descriptors for their upstreams (design.md section 5). */
static struct http_server_limits app_limits(const struct config *c)
{
    struct http_server_limits l = gateway_server_limits(c);
    int64_t share = house_client_share();
    if (doors_have_porch(c))
        share = share / 5 * 4; /* a quarter of that stands between accept and the server */
    l.max_age_ms = c->max_connection_age;
    l.max_per_source = (int32_t)c->max_connections_per_source;
    if (l.max_connections > share)
        l.max_connections = (int32_t)share;
    return l;
}

static void app_terminate(void *arg, int signum)
{
    struct app *a = arg;
    if (a->draining || a->clients == NULL) {
        log_warn("second signal, ending at once", LF_INT("signal", signum));
        loop_stop(a->loop);
        return;
    }
    struct gateway_stats st;
    gateway_stats_get(a->house.gateway, &st);
    log_info("draining", LF_INT("signal", signum), LF_INT("active", st.active),
             LF_INT("limit_ms", a->config->drain_timeout));
    a->draining = true;
    app_notify("STOPPING=1\nSTATUS=draining");
    gateway_drain(a->house.gateway);
    a->doors_until = loop_now(a->loop) + (a->started->overlap ? OVERLAP_GRACE_MS : 0);
    if (a->started->overlap) { /* until they close, each answer sends its connection away */
        struct http_server_limits limits = app_limits(a->config);
        limits.max_requests = 1;
        http_server_set_limits(a->clients, &limits);
    }
    a->drain_until = loop_now(a->loop) + a->config->drain_timeout;
    (void)app_doors(a);
    timer_set(&a->timer, loop_now(a->loop));
}

/* ---- reload ---------------------------------------------------------------------------------- */

/* TLS begins, or ends, with the listeners. */
static void app_restart_needed(const struct app *a, const struct config *fresh, char *out,
                               size_t size)
{
    config_restart_needed(a->started, fresh, out, size);
    size_t n = strlen(out);
    if ((fresh->tls_certs > 0) != (a->started->tls_certs > 0))
        text_format(out + n, size - n, "%stls_cert, tls_key", n > 0 ? ", " : "");
}

static enum err app_reload(void *arg, char *why, size_t why_size)
{
    struct app *a = arg;
    struct config *fresh;
    struct config_error ce;
    char restart[256], refused[512] = "";
    enum log_level level;
    enum err e = config_load(a->config_file, a->flags, a->flags_n, &fresh, &ce);
    if (e != OK) {
        text_format(why, why_size, "%s; the configuration in force stays", ce.text);
        log_error("reload refused", LF_STR("why", ce.text));
        return e;
    }
    struct http_server_limits limits = app_limits(fresh);
    e = admin_tcp_reload(&a->admin_tcp, fresh, a->admin, why, why_size);
    if (e != OK) {
        log_error("reload refused", LF_STR("why", why));
        config_free(fresh);
        return e;
    }
    enum err files = doors_reload(&a->doors, fresh, limits.max_connections, refused,
                                  sizeof refused);
    if (files != OK && files != ERR_CONFLICT) {
        text_format(why, why_size, "%s; the configuration in force stays", refused);
        log_error("reload refused", LF_STR("why", refused));
        config_free(fresh);
        return files;
    }
    app_restart_needed(a, fresh, restart, sizeof restart);
    house_set_config(&a->house, fresh);
    admin_set_config(a->admin, fresh);
    http_server_set_limits(a->clients, &limits);
    doors_trust(&a->doors, fresh, a->clients);
    if (log_level_parse(slice_of(fresh->log_level), &level))
        log_set_level(level);
    config_free(a->reloaded);
    a->config = a->reloaded = fresh;
    text_format(why, why_size, "%s%s", restart[0] ? "a restart is needed for: " : "reloaded",
                restart);
    log_info("reloaded", LF_STR("restart_needed", restart));
    if (files == OK)
        return OK;
    text_format(why, why_size, "reloaded, but not all of it: %s", refused);
    return ERR_CERT;
}

static void app_ready(void)
{
    app_notify("READY=1\nSTATUS=serving");
}

/* From the loop: if that is stuck, the watchdog bites. */
static void app_dog(void *arg)
{
    struct app *a = arg;
    app_notify("WATCHDOG=1");
    timer_set(&a->dog, loop_now(a->loop) + app_watchdog_ms());
}

static void app_hangup(void *arg, int signum)
{
    char why[512];
    (void)signum;
    struct app *a = arg;
    if (a->admin == NULL)
        return; /* not up yet: what is being read is fresh */
    char text[96];
    text_format(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, loop_now_us(a->loop));
    if (!a->draining)
        app_notify(text);
    enum err e = app_reload(arg, why, sizeof why);
    if (!a->draining)
        app_ready();
    if (e != OK)
        log_warn("still on the old configuration");
}

/* ---- up: listeners --------------------------------------------------------------------------- */

/* Newcomers wait in the kernel's queue while every place is taken. */
static void on_full(void *arg, bool full)
{
    struct app *a = arg;
    int64_t now = loop_now(a->loop);
    a->full = full;
    if (full && now >= a->full_log_at) {
        a->full_log_at = now + FULL_LOG_MS;
        log_warn("every place for a client is taken, newcomers wait",
                 LF_INT("places", app_limits(a->config).max_connections));
    }
    doors_pause(&a->doors, full);
}

static void on_client(void *owner, struct stream *s)
{
    struct app *a = owner;
    http_server_add(a->clients, s);
}

static void on_admin(void *owner, struct stream *s)
{
    struct app *a = owner;
    if (admin_peer_may(stream_peer(s))) {
        http_server_add(a->admins, s);
        return;
    }
    log_warn("another user is turned away at the admin's socket",
             LF_STR("by", stream_peer(s)->text));
    stream_abort(s);
}

static void app_describe(void *arg, struct jw *w)
{
    const struct app *a = arg;
    struct http_server_stats s;
    doors_describe(&a->doors, w);
    http_server_stats_get(a->clients, &s);
    jw_key(w, "connections");
    jw_obj(w);
    jw_ki64(w, "open", s.connections);
    jw_ki64(w, "accepted", (int64_t)s.accepted);
    jw_ki64(w, "crowded_out", (int64_t)s.crowded);
    jw_end_obj(w);
    admin_tcp_describe(&a->admin_tcp, w);
    app_sandbox_describe(&a->sandbox, w);
    jw_kbool(w, "draining", a->draining);
    jw_ki64(w, "pid", getpid());
}

static const struct listener_ops admin_ops = {on_admin};

static void admin_path(const struct app *a, char *out, size_t size)
{
    text_format(out, size, "%s/%s", a->started->state_dir, ADMIN_SOCKET);
}

/* The newer process has taken the socket over. Should it end first, however that may be, the socket
 * is ours again: `sluice` must reach whoever is there. */
static void app_look(void *arg)
{
    struct app *a = arg;
    struct listener *again;
    char path[512];
    timer_set(&a->look, loop_now(a->loop) + OVERLAP_LOOK_MS);
    if (a->admin_door == NULL || !listener_is_lost(a->admin_door))
        return;
    admin_path(a, path, sizeof path);
    if (listener_open(a->loop, NULL, path, &admin_ops, a, &again) != OK)
        return; /* it is answered there */
    log_info("the admin's socket is taken back");
    listener_close(a->admin_door);
    a->admin_door = again;
}

static bool app_listen_admin(struct app *a)
{
    char path[512];
    admin_path(a, path, sizeof path);
    enum err e = a->started->overlap
                     ? listener_open_shared(a->loop, NULL, path, &admin_ops, a, &a->admin_door)
                     : listener_open(a->loop, NULL, path, &admin_ops, a, &a->admin_door);
    if (e != OK) {
        app_fail(a, path, err_name(e), 1);
        return false;
    }
    char why[512];
    e = admin_tcp_open(&a->admin_tcp, a->loop, a->started, a->admin, &admin_ops, a, why,
                       sizeof why);
    if (e != OK) {
        app_fail(a, "cannot serve the admin", why, e == ERR_CERT ? 78 : 1);
        return false;
    }
    if (a->started->overlap)
        timer_set(&a->look, loop_now(a->loop) + OVERLAP_LOOK_MS);
    return true;
}

static bool app_listen(struct app *a)
{
    static const struct listener_ops ops = {on_client};
    char what[128], why[512], url[ADDR_TEXT_MAX + 16], line[160];
    enum err e = doors_open(&a->doors, a->loop, a->config, app_limits(a->config).max_connections,
                            &ops, a, what, sizeof what, why, sizeof why);
    if (e != OK) {
        app_fail(a, what, why, e == ERR_CERT ? 78 : 1);
        return false;
    }
    doors_trust(&a->doors, a->config, a->clients);
    for (int i = 0; i < a->doors.n; i++) {
        doors_url(&a->doors, i, url, sizeof url);
        text_format(line, sizeof line, "listening on %s\n", url);
        say(line);
        log_info("listening", LF_STR("address", url));
    }
    return true;
}

/* The lines that make a newcomer's next step a copy and a paste. */
static void app_say_start(struct app *a)
{
    char text[2048];
    char at[ADDR_TEXT_MAX + 16];
    doors_url(&a->doors, 0, at, sizeof at);
    if (a->demo_mode) {
        text_format(
            text, sizeof text,
            "\nThe demo provider is in place of a real account; it echoes, no model is asked.\n"
            "Key (shown once): %s\n\n"
            "Claude Code:\n"
            "  export ANTHROPIC_BASE_URL=%s\n"
            "  export ANTHROPIC_AUTH_TOKEN=%s\n"
            "  claude\n\n"
            "curl:\n"
            "  curl -N %s/v1/messages -H 'x-api-key: %s' \\\n"
            "    -H 'anthropic-version: 2023-06-01' -H 'content-type: application/json' \\\n"
            "    -d '{\"model\":\"claude-sonnet-5-5\",\"max_tokens\":64,\"stream\":true,"
            "\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]}'\n\n"
            "A real account:  sluice account add NAME --provider anthropic --secret-file FILE\n",
            a->demo_key, at, a->demo_key, at, a->demo_key);
        say(text);
    }
    if (keys_count(a->house.keys) == 0)
        say("no gateway key was made yet: only programs on this machine are served; make a key "
            "with `sluice key add NAME`\n");
    if (accounts_count(a->house.accounts) == 0)
        say("no account is configured: add one with `sluice account add NAME --provider anthropic "
            "--secret-file FILE`\n");
}

static bool app_close_sandbox(struct app *a)
{
    char why[256];
    if (app_sandbox_calls(&a->sandbox, why, sizeof why) == OK)
        return true;
    app_fail(a, "cannot start", why, 1);
    return false;
}

static void app_open(struct app *a)
{
    struct admin_parts parts = {.loop = a->loop,
                                .store = a->house.store,
                                .accounts = a->house.accounts,
                                .keys = a->house.keys,
                                .gateway = a->house.gateway,
                                .client = a->house.client,
                                .config = a->config,
                                .daemon = true,
                                .started_at = loop_wall(a->loop),
                                .describe = app_describe,
                                .reload = app_reload,
                                .arg = a};
    struct http_server_limits limits = app_limits(a->config), own = limits;
    own.max_body = 1 << 20;
    if (own.max_connections > ADMIN_CLIENTS)
        own.max_connections = ADMIN_CLIENTS;
    accounts_set_client(a->house.accounts, a->house.client); /* tokens are renewed from here on */
    a->admin = admin_new(&parts);
    a->admins = http_server_new(a->loop, &own, admin_server_ops(), a->admin);
    a->clients = http_server_new(a->loop, &limits, gateway_server_ops(), a->house.gateway);
    http_server_on_full(a->clients, on_full, a);
    a->doors_open = true;
    if (!app_listen_admin(a))
        return;
    if (!app_listen(a) || !app_close_sandbox(a))
        return;
    app_say_start(a);
    app_ready();
    if (app_watchdog_ms() > 0)
        app_dog(a);
}

/* ---- up: the demo provider ------------------------------------------------------------------- */

/* The demo's account and key live in memory only: whatever happens, nothing of them is left behind.
 */
static void demo_open(struct app *a)
{
    struct account_row row = {.id = INT64_MAX, .version = 1, .weight = 1, .allow_private = true};
    struct key_row key;
    uint8_t random[20];
    crypto_random(random, sizeof random);
    text_hex(a->demo_secret, random, sizeof random);
    if (accounts_by_name(a->house.accounts, S(DEMO_NAME)) != NULL) {
        app_fail(a, "cannot start the demo", "an account of yours is named `demo`: rename it", 1);
        return;
    }
    enum err e = demo_start(a->loop, a->demo_secret, &a->demo, &a->demo_port);
    if (e != OK) {
        app_fail(a, "cannot start the demo provider", err_name(e), 1);
        return;
    }
    text_copy(row.name, sizeof row.name, S(DEMO_NAME));
    text_copy(row.provider, sizeof row.provider, S("anthropic-compatible"));
    text_format(row.base_url, sizeof row.base_url, "http://127.0.0.1:%u", a->demo_port);
    row.secret = slice_of(a->demo_secret);
    row.created_at = loop_wall(a->loop);
    accounts_apply(a->house.accounts, &row);
    keys_generate(a->house.keys, S(DEMO_NAME), loop_wall(a->loop), a->demo_key, &key);
    keys_put(a->house.keys, &key);
    app_open(a);
}

static void on_house_ready(void *arg, enum err e)
{
    struct app *a = arg;
    if (e != OK) {
        app_fail(a, "cannot read the store", err_name(e), 1);
        return;
    }
    if (a->demo_mode) {
        demo_open(a); /* with an account that is in no store: nothing is compared with that */
        return;
    }
    if (a->started->overlap)
        house_watch(&a->house);
    app_open(a);
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void app_log_open(struct app *a)
{
    const struct config *c = a->config;
    enum log_level level = LOG_INFO;
    enum log_format format = LOG_JSON;
    if (!log_level_parse(slice_of(c->log_level), &level))
        level = LOG_INFO;
    if (strcmp(c->log_format, "text") == 0 ||
        (strcmp(c->log_format, "auto") == 0 && isatty(STDERR_FILENO)))
        format = LOG_TEXT;
    log_init(STDERR_FILENO, format, level, app_wall, a->loop);
}

static void app_stop(struct app *a)
{
    timer_stop(&a->timer);
    timer_stop(&a->look);
    timer_stop(&a->dog);
    doors_free(&a->doors);
    if (a->admin_door != NULL)
        listener_close(a->admin_door);
    admin_tcp_close(&a->admin_tcp);
    if (a->clients != NULL)
        http_server_free(a->clients);
    if (a->admins != NULL)
        http_server_free(a->admins);
    if (a->admin != NULL)
        admin_free(a->admin);
    if (a->demo != NULL)
        demo_stop(a->demo);
    house_stop(&a->house);
    crypto_wipe(a->demo_key, sizeof a->demo_key);
    loop_run(a->loop); /* until the last handle has closed */
    log_info("stopped");
    loop_free(a->loop);
    config_free(a->reloaded);
    app_unguard();
}

static int start_exit(enum err e)
{
    return e == ERR_DENIED ? 77 : 1;
}

static int app_serve(const struct config *c, const char *config_file,
                     const struct config_flag *flags, int n, bool demo)
{
    char why[512];
    struct app_key key;
    app_guard(c->allow_core_dumps);
    enum err e = app_key_get(&key, c, why, sizeof why);
    if (e != OK) {
        fprintf(stderr, "sluice: %s\n", why);
        return start_exit(e);
    }
    app_sandbox_begin(c);
    struct app a = {.config = c,
                    .started = c,
                    .config_file = config_file,
                    .flags = flags,
                    .flags_n = n,
                    .demo_mode = demo,
                    .loop = loop_new()};
    app_log_open(&a);
    timer_init(&a.timer, a.loop, app_drain_tick, &a);
    timer_init(&a.look, a.loop, app_look, &a);
    timer_init(&a.dog, a.loop, app_dog, &a);
    e = app_sandbox_files(&a.sandbox, c, config_file, &key.key, why, sizeof why);
    if (e == OK)
        e = house_start_with(&a.house, a.loop, c, c->overlap ? HOUSE_SHARED : HOUSE_ALONE, &key.key,
                             on_house_ready, &a, why, sizeof why);
    app_key_wipe(&key);
    if (e != OK) {
        fprintf(stderr, "sluice: %s\n", why);
        loop_run(a.loop);
        loop_free(a.loop);
        app_unguard();
        return start_exit(e);
    }
    loop_on_signal(a.loop, SIGTERM, app_terminate, &a);
    loop_on_signal(a.loop, SIGINT, app_terminate, &a);
    loop_on_signal(a.loop, SIGHUP, app_hangup, &a);
    log_info("starting", LF_STR("version", SLUICE_VERSION), LF_STR("state_dir", c->state_dir),
             LF_INT("fd_limit", net_fd_limit()));
    loop_run(a.loop);
    app_stop(&a);
    return a.exit_code;
}

/* ---- the CLI without a daemon ---------------------------------------------------------------- */

struct offline {
    struct house house;
    struct loop *loop;
    bool ready;
    enum err failed;
};
static struct offline offline; /* one at most in a process: the CLI's */

static void on_offline_ready(void *arg, enum err e)
{
    struct offline *o = arg;
    o->ready = true;
    o->failed = e;
    loop_stop(o->loop);
}

static void offline_undo(void)
{
    house_stop(&offline.house);
    loop_run(offline.loop);
    loop_free(offline.loop);
    offline = (struct offline){0};
    app_unguard();
}

static enum err app_offline_open(const struct config *c, struct admin **out, char *why, size_t size)
{
    static struct app_key key; /* taken once, however often the folder is busy */
    static bool have;
    enum err e = OK;
    app_guard(c->allow_core_dumps);
    if (!have)
        e = app_key_get(&key, c, why, size);
    if (e != OK)
        return e;
    have = true;
    offline = (struct offline){.loop = loop_new()};
    e = house_start_with(&offline.house, offline.loop, c, HOUSE_ALONE, &key.key, on_offline_ready,
                         &offline, why, size);
    if (e != ERR_BUSY) {
        app_key_wipe(&key);
        have = false;
    }
    if (e != OK) {
        loop_run(offline.loop);
        loop_free(offline.loop);
        app_unguard();
        return e;
    }
    while (!offline.ready)
        loop_run(offline.loop);
    if (offline.failed != OK) {
        e = offline.failed;
        text_format(why, size, "cannot read the store: %s", err_name(e));
        offline_undo();
        return e;
    }
    struct admin_parts parts = {.loop = offline.loop,
                                .store = offline.house.store,
                                .accounts = offline.house.accounts,
                                .keys = offline.house.keys,
                                .gateway = offline.house.gateway,
                                .client = offline.house.client,
                                .config = c,
                                .started_at = loop_wall(offline.loop)};
    *out = admin_new(&parts);
    return OK;
}

static void app_offline_close(struct admin *a)
{
    admin_free(a);
    offline_undo();
}

static enum err app_restore(const struct config *c, const char *file, bool replace,
                            struct store_copy *out)
{
    struct app_key key;
    *out = (struct store_copy){0};
    app_guard(c->allow_core_dumps);
    enum err e = app_key_get(&key, c, out->why, sizeof out->why);
    if (e == OK) {
        struct store_options o = {.dir = c->state_dir, .key = key.key};
        e = store_restore(&o, file, replace, out);
        app_key_wipe(&key);
    }
    app_unguard();
    return e;
}

const struct cli_hooks APP_HOOKS = {.serve = app_serve,
                                    .offline_open = app_offline_open,
                                    .offline_close = app_offline_close,
                                    .restore = app_restore};
