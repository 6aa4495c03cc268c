/* The daemon: starts upward, drains and stops downward. */
#include "app.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app_admin.h"
#include "app_demo.h"
#include "app_drain.h"
#include "app_guard.h"
#include "app_handover.h"
#include "app_key.h"
#include "app_listen.h"
#include "app_load.h"
#include "app_notify.h"
#include "app_offline.h"
#include "app_pulse.h"
#include "app_sandbox.h"
#include "sluice/sluice.h"

#define DRAIN_POLL_MS   20
#define DRAIN_TELL_MS   5000
#define DRAIN_EXTEND_US 30000000
#define COMPANY_LEAD_MS 1000 /* see app_lead */
#define OVERLAP_LOOK_MS 2000
#define STATUS_MS       10000
#define ADMIN_CLIENTS   64
#define FULL_LOG_MS     60000
#define DEMO_NAME       "demo"

struct app {
    struct loop *loop;
    struct house house;
    struct admin *admin;
    struct http_server *clients, *admins;
    struct doors doors;
    struct app_load load;
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
    struct timer dog;   /* beats: the service manager's watchdog hears from us */
    struct timer look;  /* with `overlap`: whether the admin's socket is still ours */
    struct drain drain;
    struct given given;        /* sockets that others have opened for us */
    struct handover taken;     /* ... by the process whose place we take */
    struct handover_give give; /* ours, to the one that takes our place */
    struct pulse pulse;
    char gift_name[64];    /* its socket, once it has asked */
    enum drain_state told; /* the last state that was told */
    int64_t told_at;       /* monotonic: when the service manager is told again */
    int64_t full_log_at;   /* a server that stays full says so again from then on */
    bool demo_mode, takeover;
    bool stopping; /* nobody is served any more */
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

static void drain_facts(struct app *a, struct drain_facts *f)
{
    struct http_server_stats st;
    http_server_stats_get(a->clients, &st);
    *f = (struct drain_facts){.active = st.active,
                              .arriving = st.young + doors_arriving(&a->doors),
                              .renewing = accounts_refreshing(a->house.accounts) > 0,
                              .shut = a->doors.shut};
}

/* The service manager hears how far it is, and that it takes longer than it may have thought. */
static void drain_tell(struct app *a)
{
    int64_t now = loop_now(a->loop);
    struct gateway_stats st;
    if (now < a->told_at)
        return;
    a->told_at = now + DRAIN_TELL_MS;
    gateway_stats_get(a->house.gateway, &st);
    app_notifyf("STATUS=%s: %" PRId64 " requests left, %" PRId64 " of them streams; %" PRId64
                " s at most\nEXTEND_TIMEOUT_USEC=%d",
                drain_word(a->drain.state), st.active, st.streams,
                drain_left_ms(&a->drain, now) / 1000, DRAIN_EXTEND_US);
}

static void drain_do(struct app *a, unsigned act)
{
    if (act & DRAIN_ACT_LAME) {
        int64_t now = loop_now(a->loop);
        http_server_fade(a->clients, a->drain.lame_until > now ? a->drain.lame_until - now : 0);
    }
    if (act & (DRAIN_ACT_SHUT | DRAIN_ACT_SHUT_NOW)) /* the admin's socket stays, for `status` */
        (void)doors_shut(&a->doors, (act & DRAIN_ACT_SHUT_NOW) != 0);
    if (act & DRAIN_ACT_DRAIN)
        http_server_drain(a->clients);
    if (act & DRAIN_ACT_REAP) {
        log_warn("drain limit reached, ending what is left");
        gateway_reap(a->house.gateway);
    }
    if (act & DRAIN_ACT_OVER)
        loop_stop(a->loop);
}

static void app_drain_tick(void *arg)
{
    struct app *a = arg;
    struct drain_facts f;
    drain_facts(a, &f);
    drain_do(a, drain_step(&a->drain, loop_now(a->loop), &f));
    if (a->drain.state != a->told) {
        a->told = a->drain.state;
        a->told_at = 0;
        gateway_drain(a->house.gateway, drain_word(a->drain.state));
        log_info("drain", LF_STR("state", drain_word(a->drain.state)), LF_INT("active", f.active));
    }
    drain_tell(a);
    if (a->drain.state != DRAIN_OVER)
        timer_set(&a->timer, loop_now(a->loop) + DRAIN_POLL_MS);
}

/* A table full of clients must leave descriptors for their upstreams (design.md section 5). */
static struct http_server_limits app_limits(const struct config *c)
{
    struct http_server_limits l = gateway_server_limits(c);
    int64_t share = house_client_share();
    if (doors_have_porch(c))
        share = share / 5 * 4; /* who arrives needs some before a place is free */
    l.max_age_ms = c->max_connection_age;
    l.max_per_source = (int32_t)c->max_connections_per_source;
    if (l.max_connections > share)
        l.max_connections = (int32_t)share;
    return l;
}

static void app_drain_begin(struct app *a, int64_t lead_ms, bool shut_first)
{
    struct gateway_stats st;
    int64_t now = loop_now(a->loop);
    gateway_stats_get(a->house.gateway, &st);
    log_info("draining", LF_INT("active", st.active), LF_INT("lead_ms", lead_ms),
             LF_INT("limit_ms", a->config->drain_timeout));
    handover_give_stop(&a->give);
    gateway_drain(a->house.gateway, drain_word(DRAIN_LAME));
    drain_do(a, drain_begin(&a->drain, now, lead_ms, a->config->drain_timeout, shut_first));
    timer_set(&a->timer, now);
}

/* A person at a terminal waits for no balancer. In company newcomers go to the other process, but
 * who has come to this one has yet to speak. */
static int64_t app_lead(const struct app *a, int signum)
{
    int64_t lead = signum == SIGINT ? 0 : a->config->drain_lead;
    return a->started->overlap && lead < COMPANY_LEAD_MS ? COMPANY_LEAD_MS : lead;
}

static void app_terminate(void *arg, int signum)
{
    struct app *a = arg;
    if (a->clients == NULL || a->stopping) {
        loop_stop(a->loop); /* nobody is served yet, or any more */
    } else if (a->drain.state != DRAIN_SERVING) {
        log_warn("another signal: the drain is cut short", LF_INT("signal", signum));
        drain_do(a, drain_hurry(&a->drain, loop_now(a->loop)));
    } else {
        app_notify("STOPPING=1");
        app_drain_begin(a, app_lead(a, signum), false);
    }
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
        app_sandbox_explain(&a->sandbox, why, why_size);
        log_error("reload refused", LF_STR("why", why));
        config_free(fresh);
        return e;
    }
    enum err files = doors_reload(&a->doors, fresh, limits.max_connections, refused,
                                  sizeof refused);
    if (files != OK)
        app_sandbox_explain(&a->sandbox, refused, sizeof refused);
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
    app_load_limit(&a->load, fresh);
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

static bool is_usable(const struct account *a, int64_t now)
{
    enum account_state s = account_status(&a->facts, now).state;
    return s == ACCOUNT_READY || s == ACCOUNT_STALE || s == ACCOUNT_FULL;
}

/* "serving: 41 streams, 4 of 5 accounts usable" */
static void status_line(const struct app *a, char *out, size_t size)
{
    struct account_set *all = a->house.accounts;
    struct gateway_stats st;
    int usable = 0, n = accounts_count(all);
    gateway_stats_get(a->house.gateway, &st);
    for (int i = 0; i < n; i++)
        usable += is_usable(accounts_at(all, i), loop_wall(a->loop));
    text_format(out, size, "STATUS=serving: %" PRId64 " streams, %d of %d accounts usable",
                st.streams, usable, n);
}

/* From the loop: if that is stuck, the watchdog bites. */
static void app_dog(void *arg)
{
    struct app *a = arg;
    struct store_stats st;
    char line[128];
    store_stats_get(a->house.store, &st);
    switch (pulse_beat(&a->pulse, loop_now(a->loop), st.stuck_ms)) {
    case PULSE_FEED:
        if (app_watchdog_ms() > 0)
            app_notify("WATCHDOG=1");
        break;
    case PULSE_LOOP_LATE:
        log_warn("the loop was late by a second or more; the watchdog is not fed");
        break;
    case PULSE_STORE_STUCK:
        log_error("the store answers nothing; the watchdog is not fed", LF_INT("ms", st.stuck_ms));
        break;
    case PULSE_WAIT:
        timer_set(&a->dog, a->pulse.due_at);
        return;
    }
    if (a->drain.state == DRAIN_SERVING) {
        status_line(a, line, sizeof line);
        app_notify(line);
    }
    timer_set(&a->dog, a->pulse.due_at);
}

static void app_ready(struct app *a)
{
    char line[128];
    status_line(a, line, sizeof line);
    if (a->takeover)
        app_notifyf("MAINPID=%d\nREADY=1\n%s", (int)getpid(), line);
    else
        app_notifyf("READY=1\n%s", line);
    if (app_manager()->socket[0] == '\0')
        return;
    int64_t every = app_watchdog_ms();
    pulse_init(&a->pulse, loop_now(a->loop), every > 0 ? every : STATUS_MS);
    app_dog(a);
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
    bool serving = a->drain.state == DRAIN_SERVING;
    if (serving)
        app_notify(text);
    enum err e = app_reload(arg, why, sizeof why);
    if (serving)
        app_notify("READY=1");
    if (e != OK)
        log_warn("still on the old configuration");
}

/* ---- up: listeners --------------------------------------------------------------------------- */

/* Newcomers wait in the kernel's queue while every place is taken. */
static void on_full(void *arg, bool full)
{
    struct app *a = arg;
    int64_t now = loop_now(a->loop);
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

/* How this process was started: `upgrade` starts the next one so. */
static void describe_start(const struct app *a, struct jw *w)
{
    char cwd[1024];
    jw_key(w, "start");
    jw_obj(w);
    jw_kcstr(w, "folder", getcwd(cwd, sizeof cwd));
    jw_kcstr(w, "config", a->config_file != NULL ? a->config_file : config_env(CONFIG_ENV_CONFIG));
    jw_key(w, "options");
    jw_arr(w);
    for (int i = 0; i < a->flags_n; i++) {
        jw_arr(w);
        jw_cstr(w, a->flags[i].name);
        jw_cstr(w, a->flags[i].value);
        jw_end_arr(w);
    }
    jw_end_arr(w);
    jw_end_obj(w);
}

static void app_describe(void *arg, struct jw *w)
{
    const struct app *a = arg;
    struct http_server_stats s;
    doors_describe(&a->doors, w);
    app_load_describe(&a->load, w);
    http_server_stats_get(a->clients, &s);
    jw_key(w, "connections");
    jw_obj(w);
    jw_ki64(w, "open", s.connections);
    jw_ki64(w, "accepted", (int64_t)s.accepted);
    jw_ki64(w, "crowded_out", (int64_t)s.crowded);
    jw_end_obj(w);
    admin_tcp_describe(&a->admin_tcp, w);
    app_sandbox_describe(&a->sandbox, w);
    jw_kbool(w, "draining", a->drain.state != DRAIN_SERVING);
    jw_kcstr(w, "state", drain_word(a->drain.state));
    if (a->drain.state != DRAIN_SERVING)
        jw_ki64(w, "ends_within_seconds",
                (drain_left_ms(&a->drain, loop_now(a->loop)) + 999) / 1000);
    jw_ki64(w, "pid", getpid());
    describe_start(a, w);
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
    bool shared = a->started->overlap || a->takeover;
    enum err e = shared ? listener_open_shared(a->loop, NULL, path, &admin_ops, a, &a->admin_door)
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
    if (shared)
        timer_set(&a->look, loop_now(a->loop) + OVERLAP_LOOK_MS);
    return true;
}

static bool app_listen(struct app *a)
{
    static const struct listener_ops ops = {on_client};
    char what[128], why[512], url[ADDR_TEXT_MAX + 16], line[160];
    struct given *given = a->takeover ? &a->taken.given : &a->given;
    enum err e = doors_open(&a->doors, a->loop, a->config, given,
                            app_limits(a->config).max_connections, &ops, a, what, sizeof what, why,
                            sizeof why);
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

/* ---- another process takes our place, or we take one's --------------------------------------- */

/* All is open and newcomers of both processes are served. If the other one has died in the very
 * moment its addresses are ours; if it has not let go (it took too long, or is being stopped), they
 * are not. */
static bool app_take_place(struct app *a)
{
    char line[96];
    enum err e = handover_serving(&a->taken);
    if (e == ERR_BUSY)
        app_fail(a, "cannot take the place of the running gateway", "it has not let go", 1);
    if (e == ERR_BUSY || !app_listen_admin(a))
        return false;
    text_format(line, sizeof line, "in the place of process %" PRId64 "%s\n", a->taken.pid,
                e == OK ? "" : ", which is gone");
    say(line);
    log_info("serving in the place of another process", LF_INT("pid", a->taken.pid));
    handover_speak(&a->taken);
    handover_close(&a->taken);
    return true;
}

/* From here on it is the newer process that the service manager hears. */
static void on_taken(void *arg, enum err e, int64_t pid)
{
    static const struct app_manager nobody = {.watchdog_us = 0};
    struct app *a = arg;
    if (e == OK && a->drain.state == DRAIN_SERVING) {
        log_info("another process serves in our place", LF_INT("pid", pid));
        app_notifyf("MAINPID=%" PRId64, pid);
        app_manager_use(&nobody);
        timer_stop(&a->dog);
        handover_give_yield(&a->give);
        app_drain_begin(a, COMPANY_LEAD_MS, true);
    } else {
        log_warn("the process that was to take our place has not become ready: we go on",
                 LF_INT("pid", pid));
    }
    handover_give_stop(&a->give);
}

static void on_shared(void *arg, enum err e)
{
    struct app *a = arg;
    struct handover_gift gift = {.n = a->doors.n};
    if (e != OK || a->drain.state != DRAIN_SERVING) {
        log_warn("nothing is handed over", LF_STR("why", err_name(e)));
        a->gift_name[0] = '\0';
        return;
    }
    if (!a->house.watching)
        house_watch(&a->house);
    if (!timer_armed(&a->look))
        timer_set(&a->look, loop_now(a->loop) + OVERLAP_LOOK_MS);
    for (int i = 0; i < gift.n; i++) {
        gift.name[i] = a->doors.name[i];
        gift.fd[i] = listener_fd(a->doors.listener[i]);
    }
    e = handover_give(&a->give, a->started->state_dir, a->gift_name, &gift);
    if (e != OK)
        log_warn("nothing could be handed over", LF_STR("why", err_name(e)));
    a->gift_name[0] = '\0';
}

static enum err handover_refused(const struct app *a, const char *socket, const char *service,
                                 char *why, size_t size)
{
    const char *ours = config_env(CONFIG_ENV_INVOCATION_ID);
    const char *text = NULL;
    if (a->drain.state != DRAIN_SERVING)
        text = "this gateway is ending: start the new one when it has";
    else if (a->give.fd >= 0 || a->gift_name[0] != '\0')
        text = "another process is about to take this one's place";
    else if (!handover_name_is_good(socket) || strlen(socket) >= sizeof a->gift_name)
        text = "that is no socket of a gateway that starts";
    else if (a->demo_mode)
        text = "this is the demo, whose account and key are in its memory only";
    else if (getpid() == 1)
        text = "this gateway is the first process here (of a container), and everything ends with "
               "it: replace the container, or run it below an init";
    else if (app_manager()->socket[0] != '\0' && ours != NULL && strcmp(ours, service) != 0)
        text = "this gateway is a service, and a process that was started elsewhere would not "
               "belong to it: `systemctl reload sluice` starts it there";
    if (text == NULL)
        return OK;
    text_copy(why, size, slice_of(text));
    return ERR_CONFLICT;
}

/* A newer process asks for our place; what it needs follows when the folder is shared. */
static enum err app_handover(void *arg, const char *socket, const char *service, char *why,
                             size_t size)
{
    struct app *a = arg;
    enum err e = handover_refused(a, socket, service, why, size);
    if (e != OK)
        return e;
    text_copy(a->gift_name, sizeof a->gift_name, slice_of(socket));
    store_share(a->house.store, on_shared, a);
    return OK;
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
                                .handover = app_handover,
                                .arg = a};
    struct http_server_limits limits = app_limits(a->config), own = limits;
    own.max_body = 1 << 20;
    own.ignores_load = true;
    if (own.max_connections > ADMIN_CLIENTS)
        own.max_connections = ADMIN_CLIENTS;
    if (own.max_per_source == 0 || own.max_per_source > ADMIN_CLIENTS / 4)
        own.max_per_source = ADMIN_CLIENTS / 4; /* at admin_listen; the socket is no source */
    accounts_set_client(a->house.accounts, a->house.client); /* tokens are renewed from here on */
    a->admin = admin_new(&parts);
    a->admins = http_server_new(a->loop, &own, admin_server_ops(), a->admin);
    a->clients = http_server_new(a->loop, &limits, gateway_server_ops(), a->house.gateway);
    http_server_on_full(a->clients, on_full, a);
    app_load_begin(&a->load, &a->house, a->clients);
    /* who takes another's place leaves the admin's socket to it until all else is done */
    if (!a->takeover && !app_listen_admin(a))
        return;
    if (!app_listen(a) || (a->takeover && !app_take_place(a)) || !app_close_sandbox(a))
        return;
    app_say_start(a);
    app_ready(a);
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
    if (a->started->overlap || a->takeover)
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
        (strcmp(c->log_format, "auto") == 0 &&
         isatty(a->taken.err >= 0 ? a->taken.err : STDERR_FILENO)))
        format = LOG_TEXT;
    log_init(STDERR_FILENO, format, level, app_wall, a->loop);
}

/* The loop gives its signals back: one more would end the process in the last moment, and its exit
 * code would say so. */
static void signals_hold(void)
{
    sigset_t all;
    sigemptyset(&all);
    sigaddset(&all, SIGTERM);
    sigaddset(&all, SIGINT);
    sigaddset(&all, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
}

static void app_stop(struct app *a)
{
    a->stopping = true;
    timer_stop(&a->timer);
    handover_give_stop(&a->give);
    handover_close(&a->taken);
    given_close(&a->given);
    timer_stop(&a->look);
    timer_stop(&a->dog);
    loop_unwatch(a->loop);
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
    signals_hold();
    loop_free(a->loop);
    config_free(a->reloaded);
    app_unguard();
}

static int start_exit(enum err e)
{
    return e == ERR_DENIED ? 77 : e == ERR_NOTFOUND ? 3 : 1;
}

static enum house_store store_kind(const struct app *a)
{
    return a->started->overlap || a->takeover ? HOUSE_SHARED : HOUSE_ALONE;
}

static enum err ask_handover(void *arg, const char *socket, char *why, size_t size)
{
    const struct app *a = arg;
    return admin_ask_handover(a->config, socket, why, size);
}

/* What comes from outside, before anything is opened: no program that is run gets a descriptor. */
static enum err app_receive(struct app *a, char *why, size_t size)
{
    struct app_manager m;
    app_manager_find(&m);
    enum err e = given_by_manager(&a->given, why, size);
    if (e == OK && a->takeover) {
        e = handover_take(&a->taken, a->config->state_dir, ask_handover, a, why, size);
        m = a->taken.manager;
    }
    app_manager_use(&m);
    return e;
}

static int app_serve(const struct config *c, const char *config_file,
                     const struct config_flag *flags, int n, enum serve_how how)
{
    char why[512];
    struct app_key key;
    app_sandbox_begin(c);
    struct app a = {.config = c,
                    .started = c,
                    .config_file = config_file,
                    .flags = flags,
                    .flags_n = n,
                    .demo_mode = how == SERVE_DEMO,
                    .takeover = how == SERVE_TAKEOVER,
                    .taken = {.link = -1, .out = -1, .err = -1},
                    .give = {.fd = -1}};
    app_guard(c->allow_core_dumps);
    enum err e = app_receive(&a, why, sizeof why);
    if (e == OK)
        e = app_key_get(&key, c, why, sizeof why);
    if (e != OK) {
        fprintf(stderr, "sluice: %s\n", why);
        handover_close(&a.taken);
        given_close(&a.given);
        return start_exit(e);
    }
    a.loop = loop_new();
    app_log_open(&a);
    handover_give_init(&a.give, a.loop, on_taken, &a);
    timer_init(&a.timer, a.loop, app_drain_tick, &a);
    timer_init(&a.look, a.loop, app_look, &a);
    timer_init(&a.dog, a.loop, app_dog, &a);
    e = app_sandbox_files(&a.sandbox, c, config_file, &key.key, why, sizeof why);
    if (e == OK)
        e = house_start(&a.house, a.loop, c, store_kind(&a), &key.key, on_house_ready, &a, why,
                        sizeof why);
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

const struct cli_hooks APP_HOOKS = {.serve = app_serve,
                                    .offline_open = app_offline_open,
                                    .offline_close = app_offline_close,
                                    .restore = app_restore};
