/* links: base store */
/* The process killed, and the machine's power cut, at each operation that changes a file.
 *
 * A story is a few steps. It is told once by a child that lives: after each step it writes down
 * what the store holds. Then it is told again by one child after another, each of which dies at the
 * next operation. What was answered before it died is there; of the step it died in, all or
 * nothing; and the store works on. After a power cut (each file as its last sync left it, or only
 * some of them so) the same holds for all but the newest records. */
#include "store_bench.h"
#include "store_disk.h"
#include "store_old.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define HEX_A     "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define HEX_B     "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff000102030405060708090a0b0c0d0e0f"
#define STEPS_MAX 16
#define STATE_MAX 4096

/* ---- files that are not SQLite's ------------------------------------------------------------ */

/* The key's files and finished copies are made with these. */
/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */
int rename(const char *from, const char *to)
{
    enum trouble t;
    if (disk.real != NULL)
        (void)disk_turn(false, &t);
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int unlink(const char *path)
{
    enum trouble t;
    if (disk.real != NULL)
        (void)disk_turn(false, &t);
    return unlinkat(AT_FDCWD, path, 0);
}

int fsync(int fd)
{
    enum trouble t;
    if (disk.real != NULL)
        (void)disk_turn(false, &t);
    return (int)syscall(SYS_fsync, fd);
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */

static void folder_clear(const char *dir)
{
    char path[320];
    const struct dirent *e;
    DIR *d = opendir(dir);
    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        (void)text_format(path, sizeof path, "%s/%s", dir, e->d_name);
        if (e->d_name[0] != '.')
            assert_int_equal(unlink(path), 0);
    }
    (void)closedir(d);
}

static void file_copy(const char *from, const char *to)
{
    char chunk[65536];
    ssize_t n;
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(in >= 0 && out >= 0);
    while ((n = read(in, chunk, sizeof chunk)) > 0)
        assert_int_equal(write(out, chunk, (size_t)n), n);
    assert_int_equal(n, 0);
    (void)close(in);
    (void)close(out);
}

static void folder_copy(const char *from, const char *to)
{
    char a[320], b[320];
    const struct dirent *e;
    DIR *d = opendir(from);
    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        (void)text_format(a, sizeof a, "%s/%s", from, e->d_name);
        (void)text_format(b, sizeof b, "%s/%s", to, e->d_name);
        if (e->d_name[0] != '.')
            file_copy(a, b);
    }
    (void)closedir(d);
}

/* ---- what the store holds ------------------------------------------------------------------- */

struct board { /* shared with the child */
    int64_t points;
    uint8_t mark[DISK_MARKS]; /* 1: no mere write */
    int32_t steps, acked;     /* -1: not even open */
    bool durable[STEPS_MAX + 1];
    size_t records[STEPS_MAX + 1];
    char state[STEPS_MAX + 1][STATE_MAX]; /* after so many steps */
};

static void on_groups(void *arg, enum err e, const struct group_row *rows, size_t n)
{
    struct buf *out = arg;
    assert_int_equal(e, OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(buf_printf(out, "group %s %d %s\n", rows[i].name, (int)rows[i].version,
                                    rows[i].strategy),
                         OK);
}

/* Accounts in the copy, -1: there is none. */
static int copy_holds(const struct bench *b)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    const char *path = bench_path(b, "copy.db");
    int n;
    if (access(path, F_OK) != 0)
        return -1;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT count(*) FROM accounts, "
                                        "pragma_integrity_check WHERE integrity_check='ok'",
                                        -1, &st, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    n = sqlite3_column_int(st, 0);
    assert_int_equal(sqlite3_finalize(st), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return n;
}

/* All that was promised to be durable, as text. */
static void state_of(struct bench *b, char out[STATE_MAX])
{
    struct buf t;
    struct got g = accounts_load(b);
    buf_init(&t, STATE_MAX - 1);
    assert_int_equal(g.e, OK);
    assert_true(g.n <= GOT_ROWS);
    for (size_t i = 0; i < g.n; i++)
        assert_int_equal(buf_printf(&t, "account %d %s %d %d %s%s\n", (int)g.account[i].id,
                                    g.account[i].name, (int)g.account[i].version,
                                    (int)g.account[i].priority, g.secret[i],
                                    g.account[i].secret_unreadable ? "unreadable" : ""),
                         OK);
    g = tokens_load(b);
    assert_int_equal(g.e, OK);
    for (size_t i = 0; i < g.n; i++)
        assert_int_equal(buf_printf(&t, "token %d %d %s %s %d%s\n", (int)g.token[i].account_id,
                                    (int)g.token[i].generation, g.access[i], g.refresh[i],
                                    g.token[i].noted_at != 0,
                                    g.token[i].unreadable ? "unreadable" : ""),
                         OK);
    g = keys_load(b);
    assert_int_equal(g.e, OK);
    for (size_t i = 0; i < g.n; i++)
        assert_int_equal(
            buf_printf(&t, "key %s %s %d\n", g.key[i].id, g.key[i].name, g.key[i].revoked_at != 0),
            OK);
    store_groups_load(b->s, on_groups, &t);
    bench_settle(&b->loop);
    assert_int_equal(buf_printf(&t, "copy %d\n", copy_holds(b)), OK);
    text_copy(out, STATE_MAX, buf_slice(&t));
    buf_free(&t);
}

/* ---- stories -------------------------------------------------------------------------------- */

static void on_rotated(void *arg, enum err e, const struct store_rotation *r)
{
    struct got *g = arg;
    (void)r;
    got_word(g, e);
}

static void on_copied(void *arg, enum err e, const struct store_copy *c)
{
    struct got *g = arg;
    (void)c;
    got_word(g, e);
}

static enum err rotate(struct bench *b, const char *key)
{
    struct got g = {0};
    store_rotate(b->s, slice_of(key), on_rotated, &g);
    ANSWERED(b, &g);
    return g.e;
}

static enum err backup(struct bench *b)
{
    struct got g = {0};
    store_backup(b->s, bench_path(b, "copy.db"), true, on_copied, &g);
    ANSWERED(b, &g);
    return g.e;
}

static enum err prune(struct bench *b)
{
    struct got g = {0};
    store_prune(b->s, got_word, &g);
    ANSWERED(b, &g);
    return g.e;
}

static enum err key_write(struct bench *b, const char *name, int64_t revoked)
{
    struct got g = {0};
    struct key_row row = {.id = "aaaaaaaa"};
    text_copy(row.name, sizeof row.name, slice_of(name));
    if (revoked != 0)
        store_key_revoke(b->s, row.id, revoked, got_word, &g);
    else
        store_key_update(b->s, &row, got_word, &g);
    ANSWERED(b, &g);
    return g.e;
}

static void got_groups(void *arg, enum err e, const struct group_row *rows, size_t n)
{
    (void)rows;
    ((struct got *)arg)->n = n;
    got_word(arg, e);
}

static enum err group_write(struct bench *b, int64_t version, const char *strategy)
{
    struct got g = {0};
    struct group_row row = {.name = "night", .version = version};
    text_copy(row.strategy, sizeof row.strategy, slice_of(strategy));
    if (strategy[0] == '\0')
        store_group_remove(b->s, row.name, got_word, &g);
    else
        store_group_put(b->s, &row, got_groups, &g);
    ANSWERED(b, &g);
    return g.e;
}

static enum err account_change(struct bench *b, int priority, const char *secret)
{
    struct account_row row = accounts_load(b).account[0];
    row.priority = priority;
    row.secret = slice_of(secret);
    return account_update(b, &row).e;
}

static enum err records_batch(struct bench *b, int from, int n)
{
    records_put(b, from, from + n);
    store_facts_put(b->s, 1, BENCH_WALL + from, BENCH_WALL + from + 9000, "rate limited");
    window_put(b, 1, "5h", from / 1000.0, BENCH_WALL + from);
    bench_pass(&b->loop, 200);
    return stats_of(b).last_error;
}

static enum err token_write(struct bench *b, int64_t generation)
{
    char access[32], refresh[32];
    (void)text_format(access, sizeof access, "access-%d", (int)generation);
    (void)text_format(refresh, sizeof refresh, "refresh-%d", (int)generation);
    return token_swap(b, 1, generation - 1, access, refresh).e;
}

/* A step: an error when it failed. `*durable` says whether what it did survives a power cut. */
typedef enum err story_step(struct bench *b, int step, bool *durable);

static enum err step_first(struct bench *b, int step, bool *durable)
{
    *durable = true;
    return account_add(b, step == 0 ? "first" : "second", "sk-secret").e;
}

static enum err step_records(struct bench *b, int step, bool *durable)
{
    *durable = false;
    if (step == 3) {
        *durable = true;
        store_object_put(b->s, S("batch_1"), 1, BENCH_WALL);
        bench_settle(&b->loop);
        return OK;
    }
    return records_batch(b, step * 700, step == 2 ? 700 : 30);
}

static enum err step_tokens(struct bench *b, int step, bool *durable)
{
    *durable = step % 3 != 2;
    if (step % 3 == 0)
        return token_note(b, 1, 1 + step / 3, BENCH_WALL + step);
    return step % 3 == 1 ? token_write(b, 2 + step / 3) : records_batch(b, step * 100, 20);
}

static enum err step_verbs(struct bench *b, int step, bool *durable)
{
    *durable = true;
    switch (step) {
    case 0:
        return account_add(b, "work", "sk-1").e;
    case 1:
        return key_add(b, "aaaaaaaa", "ci");
    case 2:
        return account_change(b, 7, "sk-2");
    case 3:
        return group_write(b, 0, "failover");
    case 4:
        return key_write(b, "ci-2", 0);
    case 5:
        return group_write(b, 1, "least-used");
    case 6:
        return key_write(b, "", BENCH_WALL);
    case 7:
        return token_write(b, 1);
    case 8:
        return group_write(b, 0, "");
    default:
        return account_remove(b, 1);
    }
}

static enum err step_rotate(struct bench *b, int step, bool *durable)
{
    *durable = step != 1;
    if (step == 1)
        return records_batch(b, 0, 30);
    return step == 3 ? account_change(b, 3, "sk-3") : rotate(b, step == 0 ? HEX_A : HEX_B);
}

static enum err step_backup(struct bench *b, int step, bool *durable)
{
    *durable = true;
    return step % 2 == 0 ? backup(b) : account_add(b, "more", "sk-4").e;
}

static enum err step_prune(struct bench *b, int step, bool *durable)
{
    *durable = step == 2;
    if (step == 2)
        return account_add(b, "more", "sk-5").e;
    store_set_limits(b->s, step == 0 ? 2000 : 1000, 0);
    b->loop.wall = BENCH_WALL + 5000;
    return prune(b);
}

/* What is there before: made with the file system as it is. */
static void furnish_nothing(struct bench *b)
{
    (void)b;
}

static void furnish_old(struct bench *b)
{
    sqlite3 *db = NULL;
    bench_open(b);
    bench_close(b);
    assert_int_equal(unlink(bench_path(b, "sluice.db")), 0);
    assert_int_equal(sqlite3_open(bench_path(b, "sluice.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, schema_1, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void furnish_account(struct bench *b)
{
    bench_open(b);
    assert_int_equal(account_add(b, "pair", "sk-0").e, OK);
    assert_int_equal(token_write(b, 1), OK);
    bench_close(b);
}

static void furnish_records(struct bench *b)
{
    furnish_account(b);
    bench_open(b);
    for (int i = 0; i < 4; i++) {
        records_put(b, 1000 * i, 1000 * (i + 1));
        bench_pass(&b->loop, 1000);
    }
    assert_int_equal(stats_of(b).records_written, 4000);
    bench_close(b);
}

struct story {
    const char *name;
    void (*furnish)(struct bench *b);
    story_step *step;
    int steps;
};

static const struct story STORIES[] = {
    {"a first start", furnish_nothing, step_first, 2},
    {"a schema brought up to date", furnish_old, step_first, 1},
    {"records in batches", furnish_account, step_records, 5},
    {"tokens refreshed", furnish_account, step_tokens, 9},
    {"accounts, keys and groups", furnish_nothing, step_verbs, 10},
    {"the master key rotated", furnish_account, step_rotate, 4},
    {"a backup", furnish_records, step_backup, 3},
    {"old records pruned", furnish_records, step_prune, 3},
};

/* ---- the child ------------------------------------------------------------------------------ */

static void child_note(struct bench *b, struct board *board, int steps)
{
    state_of(b, board->state[steps]);
    board->records[steps] = records_count(b);
}

/* Never returns; no assert here leads back into the parent's tests. */
static void child_tell(const struct story *story, struct bench *b, struct board *board, int64_t at,
                       bool images)
{
    bool noting = at == 0;
    disk_install();
    disk.images = images;
    disk.marks = noting ? board->mark : NULL;
    if (at > 0)
        disk_fail(TROUBLE_DEATH, at - 1, false);
    if (bench_try_open(b) != OK)
        _exit(2);
    board->acked = 0;
    if (noting)
        child_note(b, board, 0);
    for (int i = 0; i < story->steps; i++) {
        bool durable = true;
        enum err e = story->step(b, i, &durable);
        if (e != OK) {
            print_error("%s: step %d: %s\n", story->name, i, err_name(e));
            _exit(3);
        }
        board->durable[i + 1] = durable;
        board->acked = i + 1;
        if (noting)
            child_note(b, board, i + 1);
    }
    bench_close(b);
    board->points = disk.count;
    _exit(0);
}

static int child_run(const struct story *story, struct bench *b, struct board *board, int64_t at,
                     bool images)
{
    int status = 0;
    pid_t pid;
    board->acked = -1;
    board->durable[0] = true;
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        child_tell(story, b, board, at, images);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* ---- the morning after ---------------------------------------------------------------------- */

/* Bit 0: the database is as its last sync left it, bit 1: its log is. */
static void power_cut(const struct bench *b, unsigned lost)
{
    static const char *const NAMES[] = {"sluice.db", "sluice.db-wal", "sluice.db-journal"};
    char path[128], image[160];
    for (size_t i = 0; i < 3; i++) {
        text_copy(path, sizeof path, slice_of(bench_path(b, NAMES[i])));
        (void)text_format(image, sizeof image, "%s.disk", path);
        if ((lost & (i == 0 ? 1u : 2u)) == 0)
            (void)unlink(image);
        else if (rename(image, path) != 0)
            (void)unlink(path);
    }
    (void)unlink(bench_path(b, "sluice.db-shm"));
    (void)unlink(bench_path(b, "copy.db.disk"));
    (void)unlink(bench_path(b, "copy.db.part.disk"));
    (void)unlink(bench_path(b, "copy.db.part-journal.disk"));
}

static void integrity(const struct bench *b)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_open(bench_path(b, "sluice.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(st, 0), "ok");
    assert_int_equal(sqlite3_finalize(st), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Between the fewest and the most there were since `from`, with the step that was under way. */
static void records_between(const struct board *board, size_t records, int from, int to)
{
    size_t least = board->records[from], most = least;
    for (int i = from; i <= to; i++) {
        least = board->records[i] < least ? board->records[i] : least;
        most = board->records[i] > most ? board->records[i] : most;
    }
    assert_in_range(records, least, most);
}

static void look_after(const struct story *story, struct bench *b, const struct board *board,
                       bool cut)
{
    char state[STATE_MAX];
    int from = board->acked < 0 ? 0 : board->acked;
    int to = from < story->steps ? from + 1 : from;
    integrity(b);
    bench_open(b);
    state_of(b, state);
    if (strcmp(state, board->state[from]) != 0)
        assert_string_equal(state, board->state[to]);
    while (cut && from > 0 && !board->durable[from])
        from--;
    records_between(board, records_count(b), from, to);
    assert_int_equal(account_add(b, "afterwards", "sk-9").e, OK);
    records_put(b, 0, 3);
    bench_pass(&b->loop, 200);
    assert_int_equal(stats_of(b).records_written, 3);
    assert_int_equal(backup(b), OK);
    bench_close(b);
    (void)unlink(bench_path(b, "copy.db"));
}

static void folder_is_clean(const struct bench *b)
{
    static const char *const OURS[] = {"sluice.db", "sluice.lock", "master.key"};
    const struct dirent *e;
    DIR *d = opendir(b->dir);
    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        bool known = e->d_name[0] == '.';
        for (size_t i = 0; i < 3; i++)
            known = known || strcmp(e->d_name, OURS[i]) == 0;
        if (!known)
            print_error("left behind: %s\n", e->d_name);
        assert_true(known);
    }
    (void)closedir(d);
}

/* ---- each point ----------------------------------------------------------------------------- */

static void set_out(const struct bench *b, const char *start, bool images)
{
    folder_clear(b->dir);
    folder_copy(start, b->dir);
    if (images && access(bench_path(b, "sluice.db"), F_OK) == 0)
        disk_image(bench_path(b, "sluice.db"));
}

/* What is told apart by more than bytes of a write is met each time; of the writes in between so
 * many that a story is over in a second. */
#define WRITES_MET 16

static bool is_met(const struct board *board, int64_t at, int64_t stride)
{
    bool around = at < DISK_MARKS && (board->mark[at] != 0 || board->mark[at - 1] != 0);
    return around || at % stride == 0;
}

static int story_die(const struct story *story, struct bench *b, struct board *board,
                     const char *start)
{
    int deaths = 0;
    int64_t stride = 1 + board->points / WRITES_MET;
    for (int64_t at = 1; at <= board->points; at++) {
        unsigned lost = 1 + (unsigned)deaths / 2 % 3;
        if (!is_met(board, at, stride))
            continue;
        bool cut = deaths % 2 != 0;
        set_out(b, start, cut);
        int status = child_run(story, b, board, at, cut);
        if (!WIFSIGNALED(status))
            print_error("%s: point %d: the child ended with %d\n", story->name, (int)at,
                        WEXITSTATUS(status));
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        if (cut)
            power_cut(b, lost);
        look_after(story, b, board, cut);
        folder_is_clean(b);
        deaths++;
    }
    return deaths;
}

static void test_story(const struct story *story)
{
    struct bench b = {.options.ring = 1024}, start = {.options.ring = 1024};
    struct board *board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(board != MAP_FAILED);
    crypto_init();
    disk_folder(&b);
    disk_folder(&start);
    story->furnish(&start);
    folder_copy(start.dir, b.dir);
    assert_int_equal(child_run(story, &b, board, 0, false), 0);
    assert_true(board->points > 5);
    int deaths = story_die(story, &b, board, start.dir);
    print_message("%s: %d deaths\n", story->name, deaths);
    folder_clear(b.dir);
    folder_clear(start.dir);
    assert_int_equal(rmdir(b.dir), 0);
    assert_int_equal(rmdir(start.dir), 0);
    (void)munmap(board, sizeof *board);
}

static void test_each(void **state)
{
    test_story(*state);
}

int main(void)
{
    struct CMUnitTest tests[sizeof STORIES / sizeof STORIES[0]];
    for (size_t i = 0; i < sizeof STORIES / sizeof STORIES[0]; i++) {
        tests[i] = (struct CMUnitTest)cmocka_unit_test(test_each);
        tests[i].name = STORIES[i].name;
        tests[i].initial_state = (void *)(uintptr_t)&STORIES[i];
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
