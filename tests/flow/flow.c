/* flow: plays scenario files in five modes. See README.md.
 *
 *     flow [--mode plain|split|stall|cut|torture|all] [--sample N] [--salt N] [--jobs N] [-v]
 *          FILE|DIR...
 *     flow --mode MODE --at RUN FILE        plays that one run and shows its transcript
 *
 * Each file is played in a child process, so that one that crashes costs only itself; the parent
 * then plays the crashing run once more, with its transcript. */
#include "play.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILES_MAX      512
#define JOBS_MAX       16
#define FILE_SECONDS   600 /* real time for one file in one process: more is a hang */
#define STALL_VARIANTS 10
#define CUTS_MOST      4000 /* places in one peer's bytes, even without --sample */

static const char *const MODE_NAME[MODES] = {"plain", "split", "stall", "cut", "torture"};

struct options {
    bool mode[MODES];
    uint64_t sample; /* runs per peer (cut) or per scenario (torture); 0 = all */
    uint64_t salt;   /* another one: other places of those a sample leaves out */
    int jobs;
    const char *at;
    bool verbose;
    char *file[FILES_MAX];
    int files;
};
struct board { /* shared with the parent */
    int passed, failed;
    bool finished;
    char mode[16], at[96]; /* the run being played */
};
struct session { /* one file in one process */
    const struct options *o;
    struct script script;
    struct config *config;
    struct outcome plain;
    bool plain_played;
    struct board *board;
    const char *file;
};

/* ---- naming runs --------------------------------------------------------------------- */

static void run_name(const struct plan *p, uint64_t number, char *out, size_t size)
{
    static const char *const HOW[] = {"", "fin", "cut", "rst"};
    if (p->mode == MODE_CUT) {
        bool client = strncmp(p->cut_peer, "client ", 7) == 0;
        text_format(out, size, "%s:%s:%zu:%s", client ? "client" : "upstream",
                    client ? p->cut_peer + 7 : p->cut_peer, p->cut_at, HOW[p->cut_how]);
    } else {
        text_format(out, size, "%" PRIu64, number);
    }
}

static struct plan plan_make(const struct session *s, enum mode m, uint64_t number)
{
    struct plan p = {.config = s->config, .mode = m};
    if (m == MODE_SPLIT) {
        p.weather.read_max = number;
        p.weather.reads_per_turn = number % 2 == 1 ? 1 : 32;
    } else if (m == MODE_STALL) {
        p.weather.take = (enum sim_take)(1 + (number - 1) % (SIM_TAKES - 1));
        p.weather.read_max = number >= SIM_TAKES ? 7 : 0;
    } else if (m == MODE_TORTURE) {
        p.fault = number;
    }
    return p;
}

/* "client:1.1:57:rst", "upstream:A.1:57:fin"; false when it is none. */
static bool cut_parse(struct slice at, struct plan *p)
{
    struct slice side = S(""), name = S(""), n = S("");
    uint64_t pos = 0;
    if (!slice_cut(&at, ':', &side) || !slice_cut(&at, ':', &name) || !slice_cut(&at, ':', &n) ||
        !text_u64(n, &pos))
        return false;
    text_format(p->cut_peer, sizeof p->cut_peer, "%s%.*s",
                slice_eq(side, S("client")) ? "client " : "", (int)name.n, name.p);
    p->cut_at = pos;
    p->cut_how = slice_eq(at, S("fin")) ? SIM_FIN : slice_eq(at, S("cut")) ? SIM_CUT : SIM_RST;
    return true;
}

/* ---- playing ------------------------------------------------------------------------- */

static void say(const struct bytes *b)
{
    (void)fwrite(b->p, 1, b->n, stdout);
    fflush(stdout);
}

/* Plays the failed run again for its transcript, and tells how to do so by hand. */
static void report(struct session *s, const struct plan *p, const char *name, const char *why)
{
    struct outcome again;
    struct plan q = *p;
    struct bytes text = {0};
    q.trace = true;
    play(&s->script, &q, s->plain_played ? &s->plain : NULL, &again);
    bytes_puts(&text, bytes_slice(&again.transcript));
    bytes_puts(&text, S("  FAILED: "));
    bytes_puts(&text, slice_of(why));
    if (again.ok)
        bytes_puts(&text, S("\n  (the transcript is of a second run, which did not fail)"));
    bytes_printf(&text, "\n  replay: flow --mode %s --at %s %s\n", MODE_NAME[p->mode], name,
                 s->file);
    say(&text);
    bytes_free(&text);
    outcome_free(&again);
}

/* True when the run went well. */
static bool run_once(struct session *s, const struct plan *p, uint64_t number, uint64_t *faults)
{
    struct outcome o;
    char name[96];
    run_name(p, number, name, sizeof name);
    text_copy(s->board->mode, sizeof s->board->mode, slice_of(MODE_NAME[p->mode]));
    text_copy(s->board->at, sizeof s->board->at, slice_of(name));
    play(&s->script, p, &s->plain, &o);
    bool ok = o.ok;
    if (faults != NULL)
        *faults = o.faults;
    if (!ok)
        report(s, p, name, o.why);
    outcome_free(&o);
    return ok;
}

/* The plain run, of which the others need to know. */
static bool plain_play(struct session *s)
{
    struct plan p = plan_make(s, MODE_PLAIN, 0);
    text_copy(s->board->mode, sizeof s->board->mode, S("plain"));
    text_copy(s->board->at, sizeof s->board->at, S("0"));
    outcome_free(&s->plain);
    play(&s->script, &p, NULL, &s->plain);
    if (!s->plain.ok)
        report(s, &p, "0", s->plain.why);
    s->plain_played = s->plain.ok;
    return s->plain.ok;
}

/* Position number i of n between 0 and `last`; both ends always, those between moved about a little
 * so that peers and ways are not all cut at the same places. */
static size_t position(size_t i, size_t n, size_t last, uint64_t salt)
{
    if (n >= last + 1 || n < 2)
        return i;
    size_t step = last / (n - 1), base = (size_t)((unsigned long long)i * last / (n - 1));
    if (i == 0 || i == n - 1 || step < 2)
        return base;
    uint64_t h = (salt + i) * 6364136223846793005u + 1442695040888963407u;
    size_t moved = base + (size_t)((h >> 33) % step);
    return moved < last ? moved : last;
}

static bool cut_peer_all(struct session *s, int peer, enum sim_end how, uint64_t *runs)
{
    size_t last = s->plain.peer[peer].sent, n = last + 1;
    size_t most = s->o->sample > 1 ? s->o->sample : CUTS_MOST;
    if (n > most)
        n = most;
    for (size_t i = 0; i < n; i++) {
        struct plan p = plan_make(s, MODE_CUT, 0);
        text_copy(p.cut_peer, sizeof p.cut_peer, slice_of(s->plain.peer[peer].name));
        p.cut_at = position(i, n, last, s->o->salt * 64 + (uint64_t)peer * 4 + how);
        p.cut_how = how;
        ++*runs;
        if (!run_once(s, &p, 0, NULL))
            return false;
    }
    return true;
}

static bool cut_all(struct session *s, uint64_t *runs)
{
    for (int i = 0; i < s->plain.peers; i++) {
        if (!cut_peer_all(s, i, SIM_FIN, runs) || !cut_peer_all(s, i, SIM_RST, runs))
            return false;
        if (s->plain.peer[i].tls && !cut_peer_all(s, i, SIM_CUT, runs))
            return false;
    }
    return true;
}

static bool torture_all(struct session *s, uint64_t *runs)
{
    uint64_t calls = 0;
    struct plan p = plan_make(s, MODE_TORTURE, UINT64_MAX);
    if (!run_once(s, &p, UINT64_MAX, &calls))
        return false;
    uint64_t n = calls;
    if (s->o->sample > 1 && n > s->o->sample)
        n = s->o->sample;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t target = 1 + position(i, n, calls - 1, s->o->salt * 64 + 7);
        p = plan_make(s, MODE_TORTURE, target);
        ++*runs;
        if (!run_once(s, &p, target, NULL))
            return false;
    }
    return true;
}

static bool numbered_all(struct session *s, enum mode m, uint64_t last, uint64_t *runs)
{
    for (uint64_t k = 1; k <= last; k++) {
        struct plan p = plan_make(s, m, k);
        ++*runs;
        if (!run_once(s, &p, k, NULL))
            return false;
    }
    return true;
}

static bool mode_play(struct session *s, enum mode m, uint64_t *runs)
{
    *runs = 0;
    if (m == MODE_PLAIN || !s->plain_played) {
        *runs = 1;
        if (!plain_play(s))
            return false;
    }
    switch (m) {
    case MODE_PLAIN:
        return true;
    case MODE_SPLIT:
        return numbered_all(s, m, 16, runs);
    case MODE_STALL:
        return numbered_all(s, m, STALL_VARIANTS, runs);
    case MODE_CUT:
        return cut_all(s, runs);
    default:
        return torture_all(s, runs);
    }
}

static void mode_report(struct session *s, enum mode m, bool ok, uint64_t runs)
{
    struct bytes line = {0};
    const char *base = strrchr(s->file, '/');
    bytes_printf(&line, "%s %-28s %-8s %6" PRIu64 " run%s\n", ok ? "ok  " : "FAIL",
                 base != NULL ? base + 1 : s->file, MODE_NAME[m], runs, runs == 1 ? "" : "s");
    say(&line);
    bytes_free(&line);
    if (ok)
        s->board->passed++;
    else
        s->board->failed++;
}

/* ---- one file ------------------------------------------------------------------------ */

static bool session_open(struct session *s)
{
    char why[600] = "";
    if (!script_load(&s->script, s->file)) {
        text_format(why, sizeof why, "%s", s->script.error);
    } else {
        s->config = rig_config(&s->script, why, sizeof why);
        if (s->config != NULL)
            return true;
    }
    struct bytes line = {0};
    bytes_printf(&line, "FAIL %s\n", why);
    say(&line);
    bytes_free(&line);
    return false;
}

static void session_close(struct session *s)
{
    outcome_free(&s->plain);
    if (s->config != NULL)
        config_free(s->config);
    script_free(&s->script);
}

static void file_play(const struct options *o, const char *file, struct board *board)
{
    struct session s = {.o = o, .file = file, .board = board};
    if (!session_open(&s)) {
        board->failed++;
        session_close(&s);
        return;
    }
    for (int m = 0; m < MODES; m++) {
        uint64_t runs;
        if (!o->mode[m] || (s.script.mode_given && !s.script.mode[m]))
            continue;
        bool ok = mode_play(&s, (enum mode)m, &runs);
        mode_report(&s, (enum mode)m, ok, runs);
    }
    session_close(&s);
}

/* Plays one named run with its transcript on stderr as it happens; the exit status. */
static int replay(const struct options *o, const char *file, enum mode m, const char *at)
{
    static struct board board;
    struct session s = {.o = o, .file = file, .board = &board};
    struct outcome out;
    uint64_t number = 0;
    if (!session_open(&s)) {
        session_close(&s);
        return 2;
    }
    (void)text_u64(slice_of(at), &number);
    struct plan p = plan_make(&s, m, number);
    if (m == MODE_CUT && !cut_parse(slice_of(at), &p)) {
        fprintf(stderr, "flow: --at client:1.1:57:rst or upstream:A.1:57:fin\n");
        session_close(&s);
        return 2;
    }
    bool compare = m != MODE_PLAIN && plain_play(&s);
    p.trace = p.live = true;
    play(&s.script, &p, compare ? &s.plain : NULL, &out);
    fprintf(stderr, "%s %s\n", out.ok ? "ok" : "FAILED:", out.why);
    if (!out.ok)
        _exit(1); /* what it left behind is no news */
    outcome_free(&out);
    session_close(&s);
    return 0;
}

/* ---- all files ----------------------------------------------------------------------- */

static enum mode mode_by_name(const char *name)
{
    for (int m = 0; m < MODES; m++)
        if (strcmp(name, MODE_NAME[m]) == 0)
            return (enum mode)m;
    return MODES;
}

struct child {
    pid_t pid;
    struct board *board;
    const char *file;
};

static pid_t child_start(const struct options *o, const char *file, struct board *b)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(FILE_SECONDS);
        file_play(o, file, b);
        b->finished = true;
        if (b->failed > 0) /* a failed run leaves its memory behind: no leak check */
            _exit(0);
        exit(0);
    }
    return pid;
}

/* The run that took the process down once more, for its transcript. */
static void crash_report(const struct options *o, const struct child *c, int status)
{
    printf("FAIL %s: mode %s: the process %s %d\n  replay: flow --mode %s --at %s %s\n", c->file,
           c->board->mode, WIFSIGNALED(status) ? "died of signal" : "exited with",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), c->board->mode,
           c->board->at, c->file);
    if (c->board->finished) {
        printf("  (after its last run: a leak)\n");
        return;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        exit(replay(o, c->file, mode_by_name(c->board->mode), c->board->at));
    }
    if (pid > 0)
        (void)waitpid(pid, NULL, 0);
}

static void child_reap(const struct options *o, struct child *all, int n, int *passed, int *failed)
{
    int status;
    pid_t pid = wait(&status);
    for (int i = 0; i < n; i++) {
        struct child *c = &all[i];
        if (c->pid != pid || pid <= 0)
            continue;
        bool crashed = !c->board->finished || !WIFEXITED(status) || WEXITSTATUS(status) != 0;
        *passed += c->board->passed;
        *failed += c->board->failed + crashed;
        if (crashed)
            crash_report(o, c, status);
        c->pid = 0;
    }
}

static int files_play(const struct options *o)
{
    struct child child[JOBS_MAX] = {{0}};
    int passed = 0, failed = 0, running = 0;
    size_t size = JOBS_MAX * sizeof(struct board);
    struct board *boards = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                                0);
    if (boards == MAP_FAILED)
        return 2;
    for (int i = 0; i < o->files || running > 0;) {
        int slot = 0;
        while (slot < o->jobs && child[slot].pid != 0)
            slot++;
        if (i == o->files || slot == o->jobs) {
            child_reap(o, child, o->jobs, &passed, &failed);
            running--;
            continue;
        }
        memset(&boards[slot], 0, sizeof boards[slot]);
        child[slot] = (struct child){.board = &boards[slot], .file = o->file[i]};
        child[slot].pid = child_start(o, o->file[i++], &boards[slot]);
        if (child[slot].pid < 0)
            return 2;
        running++;
    }
    munmap(boards, size);
    printf("flow: %d passed, %d failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
}

/* ---- arguments ----------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool files_add(struct options *o, const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;
    int from = o->files;
    if (d == NULL) {
        if (o->files == FILES_MAX)
            return false;
        o->file[o->files++] = mem_strdup(path);
        return true;
    }
    while ((e = readdir(d)) != NULL) {
        char full[1024];
        if (!slice_ends(slice_of(e->d_name), S(".flow")) || o->files == FILES_MAX)
            continue;
        text_format(full, sizeof full, "%s/%s", path, e->d_name);
        o->file[o->files++] = mem_strdup(full);
    }
    closedir(d);
    qsort(&o->file[from], (size_t)(o->files - from), sizeof o->file[0], by_name);
    return true;
}

static bool mode_option(struct options *o, const char *name)
{
    bool all = strcmp(name, "all") == 0;
    enum mode m = mode_by_name(name);
    for (int i = 0; i < MODES; i++)
        o->mode[i] |= all || i == (int)m;
    return all || m != MODES;
}

static bool number_option(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    return text_u64(slice_of(text), out) && *out >= least && *out <= most;
}

static bool options_read(struct options *o, int argc, char **argv)
{
    bool mode = false;
    uint64_t n;
    const char *salt = getenv("FLOW_SALT");
    o->jobs = 1;
    if (salt != NULL && !number_option(salt, 0, 1000000, &o->salt))
        return false;
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : "";
        bool ok = true;
        if (strcmp(a, "-v") == 0) {
            o->verbose = true;
            continue;
        }
        if (a[0] != '-') {
            if (!files_add(o, a))
                return false;
            continue;
        }
        i++;
        if (strcmp(a, "--mode") == 0)
            mode = ok = mode_option(o, v);
        else if (strcmp(a, "--sample") == 0)
            ok = number_option(v, 0, 1000000, &o->sample);
        else if (strcmp(a, "--salt") == 0)
            ok = number_option(v, 0, 1000000, &o->salt);
        else if (strcmp(a, "--jobs") == 0 && number_option(v, 1, JOBS_MAX, &n))
            o->jobs = (int)n;
        else if (strcmp(a, "--at") == 0)
            o->at = v;
        else
            ok = false;
        if (!ok)
            return false;
    }
    return o->files > 0 && (mode || mode_option(o, "all"));
}

static int64_t log_clock(void *arg)
{
    (void)arg;
    return SIM_EPOCH_MS;
}

int main(int argc, char **argv)
{
    static struct options o;
    int status = 2;
    signal(SIGPIPE, SIG_IGN);
    crypto_init();
    if (!options_read(&o, argc, argv)) {
        fprintf(stderr, "usage: flow [--mode plain|split|stall|cut|torture|all] [--sample N] "
                        "[--salt N] [--jobs N] [--at RUN] [-v] FILE|DIR...\n");
    } else {
        if (o.verbose)
            log_init(STDERR_FILENO, LOG_TEXT, LOG_DEBUG, log_clock, NULL);
        enum mode m = MODE_PLAIN;
        while (m < MODE_TORTURE && !o.mode[m])
            m++;
        status = o.at != NULL ? replay(&o, o.file[0], m, o.at) : files_play(&o);
    }
    for (int i = 0; i < o.files; i++)
        mem_free(o.file[i]);
    return status;
}
