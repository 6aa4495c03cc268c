/* The paths and ports of the sandbox, out of the configuration: see app_sandbox.h. */
#include "app_sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app_notify.h"
#include "store/store.h"

#define PATHS_MAX 192
#define PORTS_MAX (CONFIG_LISTEN_MAX + 2)

/* The list while it is made. */
struct plan {
    struct sandbox_path path[PATHS_MAX];
    int paths;
    uint16_t port[PORTS_MAX];
    int ports;
    const char *home;
};

/* ---- paths ----------------------------------------------------------------------------------- */

static void plan_add(struct plan *p, const char *path, bool write)
{
    if (p->paths == PATHS_MAX)
        return; /* configurations are bounded, and far below this */
    p->path[p->paths++] = (struct sandbox_path){.path = mem_strdup(path), .write = write};
}

static void plan_free(struct plan *p)
{
    for (int i = 0; i < p->paths; i++) {
        char *path = (char *)(uintptr_t)p->path[i].path;
        mem_free(path);
    }
}

/* Folders in which much lies that is not ours to read. */
static bool is_wide(const struct plan *p, const char *dir)
{
    static const char *const WIDE[] = {"",     "/etc",     "/home",   "/root", "/tmp",
                                       "/usr", "/var",     "/opt",    "/run",  "/srv",
                                       "/mnt", "/var/tmp", "/var/lib"};
    for (size_t i = 0; i < sizeof WIDE / sizeof *WIDE; i++)
        if (strcmp(dir, WIDE[i]) == 0)
            return true;
    if (strncmp(dir, "/home/", 6) == 0 && strchr(dir + 6, '/') == NULL)
        return true;
    return p->home != NULL && strcmp(dir, p->home) == 0;
}

/* A file that may be replaced by another of its name is found only by a rule for its folder. */
static void plan_folder(struct plan *p, const char *file, bool write)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(file, '/');
    if (slash == NULL) {
        plan_add(p, ".", write);
        return;
    }
    text_copy(dir, sizeof dir, (struct slice){file, (size_t)(slash - file)});
    if (is_wide(p, dir))
        log_info("the sandbox lets this file be read, but not one that is put in its place: it "
                 "has no folder of its own",
                 LF_STR("file", file));
    else
        plan_add(p, dir, write);
}

/* The file as it is named, and as it is found behind links: certificates are often both. */
static void plan_file(struct plan *p, const char *file, bool write)
{
    char real[PATH_MAX];
    struct stat st;
    /* A folder in the place of a file is a mistake, and would open all that is in it. */
    if (file == NULL || file[0] == '\0' || (stat(file, &st) == 0 && S_ISDIR(st.st_mode)))
        return;
    plan_add(p, file, write);
    plan_folder(p, file, write);
    if (realpath(file, real) != NULL && strcmp(real, file) != 0)
        plan_folder(p, real, write);
}

static void plan_under(struct plan *p, const char *dir, const char *name)
{
    char path[PATH_MAX];
    if (text_format(path, sizeof path, "%s/%s", dir, name) < sizeof path - 1)
        plan_add(p, path, false);
}

/* Something is mounted right there, as containers do with single files: nobody replaces it. */
static bool is_mount(const char *path)
{
#ifdef STATX_ATTR_MOUNT_ROOT
    struct statx st;
    return statx(AT_FDCWD, path, 0, STATX_TYPE, &st) == 0 &&
           (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
#else
    (void)path;
    return false;
#endif
}

/* Who hands out addresses replaces this file while we run, and a resolver that cannot read it asks
 * nobody. In /etc itself that opens the folder: the names of users are no secret. */
static void plan_resolver(struct plan *p, bool strict)
{
    static const char FILE_NAME[] = "/etc/resolv.conf";
    char real[PATH_MAX];
    plan_add(p, FILE_NAME, false);
    if (strict || realpath(FILE_NAME, real) == NULL || is_mount(real))
        return;
    char *slash = strrchr(real, '/');
    assert(slash != NULL);
    *slash = '\0';
    if (is_wide(p, real))
        log_info("the sandbox leaves this folder readable: name servers are named by a file in it "
                 "that may be replaced",
                 LF_STR("folder", real));
    plan_add(p, real[0] != '\0' ? real : "/", false);
}

static void plan_system(struct plan *p, bool strict)
{
    static const char *const ALWAYS[] = {
        "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/services",
        "/etc/protocols", "/etc/localtime", "/usr/share/zoneinfo",
        /* trusted certificates, in every system's place */
        "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/usr/share/ca-certificates",
        "/usr/local/share/ca-certificates", "/dev/urandom", "/dev/random", "/proc",
        "/sys/fs/cgroup", "/sys/devices/system/cpu"};
    /* what a resolver's modules are loaded from */
    static const char *const CODE[] = {"/etc/ld.so.cache", "/lib",       "/lib64",
                                       "/usr/lib",         "/usr/lib64", "/usr/local/lib"};
    for (size_t i = 0; i < sizeof ALWAYS / sizeof *ALWAYS; i++)
        plan_add(p, ALWAYS[i], false);
    for (size_t i = 0; !strict && i < sizeof CODE / sizeof *CODE; i++)
        plan_add(p, CODE[i], false);
    plan_add(p, "/dev/null", true);
    plan_resolver(p, strict);
#ifdef SLUICE_COVERAGE
    plan_add(p, "/", true); /* a build that counts lines writes its counts beside its objects */
#endif
}

/* Where the clouds' tools keep credentials: accounts that use them come and go while we run. */
static void plan_clouds(struct plan *p, bool strict)
{
    static const enum config_env NAMED[] = {
        CONFIG_ENV_AWS_SHARED_CREDENTIALS_FILE, CONFIG_ENV_AWS_CONFIG_FILE,
        CONFIG_ENV_AWS_CONTAINER_TOKEN_FILE, CONFIG_ENV_GOOGLE_APPLICATION_CREDENTIALS};
    for (size_t i = 0; i < sizeof NAMED / sizeof *NAMED; i++)
        plan_file(p, config_env(NAMED[i]), false);
    if (strict || p->home == NULL)
        return;
    plan_under(p, p->home, ".aws");
    plan_under(p, p->home, ".config/gcloud");
}

static void plan_configured(struct plan *p, const struct config *c, const char *config_file)
{
    if (config_file == NULL)
        config_file = config_env(CONFIG_ENV_CONFIG);
    plan_add(p, c->state_dir, true);
    plan_file(p, config_file, false);
    for (int i = 0; i < c->tls_certs; i++) {
        plan_file(p, c->tls_cert[i], false);
        plan_file(p, c->tls_key[i], false);
    }
    plan_file(p, c->tls_client_ca, false);
    plan_file(p, c->admin_tls_cert, false);
    plan_file(p, c->admin_tls_key, false);
    plan_file(p, c->admin_tls_client_ca, false);
    plan_file(p, c->admin_token_file, false);
    plan_file(p, c->ca_file, false);
    plan_file(p, c->ca_env, false);
    for (int i = 0; i < c->sandbox_reads; i++)
        plan_add(p, c->sandbox_read[i], false);
}

/* ---- ports ----------------------------------------------------------------------------------- */

static void plan_port(struct plan *p, struct slice addr)
{
    struct addr a;
    if (p->ports < PORTS_MAX && addr_parse(addr, &a) == OK)
        p->port[p->ports++] = a.port;
}

static void plan_ports(struct plan *p, const struct config *c)
{
    for (int i = 0; i < c->listens; i++) {
        struct config_listen l;
        config_listen_at(c, i, &l);
        plan_port(p, l.addr);
    }
    if (c->admin_listen != NULL)
        plan_port(p, slice_of(c->admin_listen));
    plan_port(p, S("127.0.0.1:0")); /* the demo's provider */
}

/* ---- the steps ------------------------------------------------------------------------------- */

static enum err lacking(const struct app_sandbox *x, enum err e, const char *what, char *why,
                        size_t size)
{
    log_warn("not all of the sandbox could be closed", LF_STR("open", what),
             LF_STR("why", e == ERR_UNSUPPORTED ? "the kernel has no such thing" : err_name(e)));
    if (!x->strict)
        return OK;
    text_format(why, size,
                "sandbox: strict, but %s cannot be closed (%s): use a kernel with Landlock and "
                "seccomp, or `sandbox: on`, which takes what there is",
                what, err_name(e));
    return e;
}

void app_sandbox_begin(const struct config *c)
{
    if (strcmp(c->sandbox, "off") != 0 && sandbox_begin() != OK)
        log_debug("no system call can be refused here"); /* as it is said later on, too */
}

enum err app_sandbox_files(struct app_sandbox *x, const struct config *c, const char *config_file,
                           const struct store_key *key, char *why, size_t why_size)
{
    struct plan p = {.home = config_env(CONFIG_ENV_HOME)};
    const char *notify = app_manager()->socket; /* of who was there before, after a takeover */
    *x = (struct app_sandbox){.wanted = strcmp(c->sandbox, "off") != 0,
                              .strict = strcmp(c->sandbox, "strict") == 0};
    enum err e = store_folder(c->state_dir, why, why_size);
    if (e != OK || !x->wanted)
        return e;
    plan_configured(&p, c, config_file);
    plan_file(&p, key->file, !key->lent);
    plan_clouds(&p, x->strict);
    plan_system(&p, x->strict);
    plan_ports(&p, c);
    struct sandbox_rules r = {.path = p.path,
                              .paths = p.paths,
                              .port = p.port,
                              .ports = p.ports,
                              .abstract_sockets = notify[0] == '@'};
    e = sandbox_files(&r, &x->got);
    plan_free(&p);
    return e == OK ? OK : lacking(x, e, "the file system", why, why_size);
}

enum err app_sandbox_calls(struct app_sandbox *x, char *why, size_t why_size)
{
    if (!x->wanted)
        return OK;
    enum err e = sandbox_calls(x->strict, &x->got);
    if (e != OK)
        e = lacking(x, e, "the system calls", why, why_size);
    log_info("sandbox closed", LF_BOOL("files", x->got.files), LF_BOOL("ports", x->got.ports),
             LF_BOOL("signals", x->got.signals), LF_BOOL("calls", x->got.calls),
             LF_INT("landlock", x->got.abi), LF_INT("paths", x->got.paths));
    return e;
}

void app_sandbox_explain(const struct app_sandbox *x, char *why, size_t why_size)
{
    size_t n = strlen(why);
    if (x->got.files && strstr(why, strerror(EACCES)) != NULL)
        text_format(why + n, why_size - n,
                    " (the sandbox was closed without it: a restart opens it for what is named "
                    "now, or name its folder in sandbox_read beforehand)");
}

void app_sandbox_describe(const struct app_sandbox *x, struct jw *w)
{
    jw_key(w, "sandbox");
    jw_obj(w);
    jw_kcstr(w, "mode", !x->wanted ? "off" : x->strict ? "strict" : "on");
    jw_kbool(w, "files", x->got.files);
    jw_kbool(w, "ports", x->got.ports);
    jw_kbool(w, "signals", x->got.signals);
    jw_kbool(w, "calls", x->got.calls);
    jw_ki64(w, "landlock", x->got.abi);
    jw_end_obj(w);
}
