/* links: base store */
/* The master key from several places, another in its place, and copies of it all. */
#include "store_bench.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include "store/vault.h"

#define CANARY "sk-ant-canary-51c0de-must-not-be-in-any-copy"
#define HEX_A  "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define HEX_B  "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff000102030405060708090a0b0c0d0e0f"

static void file_put(const char *path, const char *text, mode_t mode)
{
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    (void)close(fd);
}

static void file_get(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t n = read(fd, out, size - 1);
    assert_true(n >= 0);
    out[n] = '\0';
    (void)close(fd);
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* ---- what came of a verb -------------------------------------------------------------------- */

struct kept {
    int calls;
    enum err e;
    struct store_rotation r;
    struct store_copy c;
};

static void on_rotated(void *arg, enum err e, const struct store_rotation *r)
{
    struct kept *k = arg;
    k->calls++;
    k->e = e;
    k->r = *r;
}

static void on_copied(void *arg, enum err e, const struct store_copy *c)
{
    struct kept *k = arg;
    k->calls++;
    k->e = e;
    k->c = *c;
}

static struct kept rotate(struct bench *b, const char *text)
{
    struct kept k = {0};
    store_rotate(b->s, slice_of(text), on_rotated, &k);
    bench_settle(&b->loop);
    assert_int_equal(k.calls, 1);
    return k;
}

static struct kept backup(struct bench *b, const char *file, bool replace)
{
    struct kept k = {0};
    store_backup(b->s, file, replace, on_copied, &k);
    bench_settle(&b->loop);
    assert_int_equal(k.calls, 1);
    return k;
}

static int64_t furnish(struct bench *b)
{
    int64_t id = account_add(b, "plain", CANARY).account[0].id;
    int64_t pair = account_add(b, "pair", "").account[0].id;
    int64_t alone = account_add(b, "alone", "").account[0].id;
    assert_int_equal(token_swap(b, pair, 0, "access-1", "refresh-1").e, OK);
    assert_int_equal(token_swap(b, alone, 0, "access-2", "").e, OK);
    return id;
}

static void furnished(struct bench *b)
{
    struct got g = accounts_load(b);
    assert_int_equal(g.e, OK);
    assert_int_equal(g.n, 3);
    assert_false(g.account[0].secret_unreadable);
    assert_string_equal(g.secret[0], CANARY);
    g = tokens_load(b);
    assert_int_equal(g.e, OK);
    assert_int_equal(g.n, 2);
    assert_false(g.token[0].unreadable || g.token[1].unreadable);
    assert_string_equal(g.access[0], "access-1");
    assert_string_equal(g.refresh[0], "refresh-1");
    assert_string_equal(g.access[1], "access-2");
}

/* ---- where it comes from -------------------------------------------------------------------- */

static void test_key_from_text(void **state)
{
    struct bench *b = *state;
    uint8_t pepper[32];
    b->options.key = (struct store_key){.text = S(HEX_A), .name = "$KEY"};
    bench_open(b);
    (void)furnish(b);
    memcpy(pepper, store_pepper(b->s), 32);
    bench_reopen(b);
    furnished(b);
    assert_memory_equal(pepper, store_pepper(b->s), 32);
    assert_false(exists(bench_path(b, "master.key"))); /* nothing of it on the disk */
    bench_close(b);
    b->options.key.text = S(HEX_B);
    assert_int_equal(bench_try_open(b), ERR_DENIED);
    assert_non_null(strstr(b->why, "$KEY"));
    assert_null(strstr(b->why, "f0f1f2"));
    b->options.key.text = S(HEX_A "00");
    assert_int_equal(bench_try_open(b), ERR_SYNTAX);
    assert_null(strstr(b->why, "0001"));
}

static void test_key_from_two_places(void **state)
{
    struct bench *b = *state;
    bench_open(b);
    bench_close(b);
    b->options.key = (struct store_key){.text = S(HEX_A), .name = "$KEY"};
    assert_int_equal(bench_try_open(b), ERR_EXISTS);
    assert_non_null(strstr(b->why, "two master keys"));
}

static void test_key_from_file(void **state)
{
    struct bench *b = *state;
    char path[128];
    (void)text_format(path, sizeof path, "%s.key", b->dir);
    b->options.key = (struct store_key){.file = path, .name = path};
    assert_int_equal(bench_try_open(b), ERR_NOTFOUND);
    assert_non_null(strstr(b->why, "openssl rand -hex 32"));
    assert_false(exists(path)); /* a name with a slip in it makes no key */
    file_put(path, HEX_A "\n", 0440);
    assert_int_equal(bench_try_open(b), ERR_DENIED);
    b->options.key.lent = true; /* its folder is not open to others */
    bench_open(b);
    bench_close(b);
    file_put(path, HEX_A "\n", 0444);
    assert_int_equal(bench_try_open(b), ERR_DENIED);
    file_put(path, HEX_A "\n", 0400);
    b->options.key.lent = false;
    bench_open(b);
    (void)furnish(b);
    struct kept k = rotate(b, "");
    assert_int_equal(k.e, OK);
    furnished(b);
    bench_reopen(b);
    furnished(b);
    assert_int_equal(unlink(path), 0);
}

/* ---- another in its place ------------------------------------------------------------------- */

static void test_rotate(void **state)
{
    struct bench *b = *state;
    char old[128], now[128];
    uint8_t pepper[32];
    const uint8_t *at;
    bench_open(b);
    (void)furnish(b);
    at = store_pepper(b->s);
    memcpy(pepper, at, 32);
    file_get(bench_path(b, "master.key"), old, sizeof old);
    struct kept k = rotate(b, "");
    assert_int_equal(k.e, OK);
    assert_int_equal(k.r.values, 4);
    assert_int_equal(k.r.unreadable, 0);
    assert_string_not_equal(k.r.old_key, k.r.new_key);
    furnished(b);
    assert_ptr_equal(at, store_pepper(b->s)); /* borrowed by who checks keys */
    assert_memory_equal(at, pepper, 32);
    file_get(bench_path(b, "master.key"), now, sizeof now);
    assert_string_not_equal(old, now);
    assert_false(file_has(bench_path(b, "sluice.db"), k.r.old_key));
    assert_false(file_has(bench_path(b, "sluice.db-wal"), k.r.old_key));
    assert_true(file_has(bench_path(b, "sluice.db"), k.r.new_key));
    assert_int_equal(account_add(b, "later", "x").e, OK);
    bench_reopen(b);
    assert_memory_equal(store_pepper(b->s), pepper, 32);
    assert_int_equal(accounts_load(b).n, 4);
    assert_false(accounts_load(b).account[3].secret_unreadable);
}

static void test_rotate_to_given(void **state)
{
    struct bench *b = *state;
    b->options.key = (struct store_key){.text = S(HEX_A), .name = "$KEY"};
    bench_open(b);
    (void)furnish(b);
    assert_int_equal(rotate(b, "").e, ERR_UNSUPPORTED);
    assert_int_equal(rotate(b, "xyz").e, ERR_SYNTAX);
    assert_int_equal(rotate(b, HEX_A).e, ERR_EXISTS);
    furnished(b);
    struct kept k = rotate(b, HEX_B "\n");
    assert_int_equal(k.e, OK);
    furnished(b);
    bench_close(b);
    assert_int_equal(bench_try_open(b), ERR_DENIED); /* the old one */
    b->options.key.text = S(HEX_B);
    bench_open(b);
    furnished(b);
}

static void test_rotate_keeps_unreadable(void **state)
{
    struct bench *b = *state;
    bench_open(b);
    (void)furnish(b);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(bench_path(b, "sluice.db"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "UPDATE tokens SET refresh='v1.00000000.AAAA' WHERE "
                                  "account_id=2",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    struct kept k = rotate(b, "");
    assert_int_equal(k.e, OK);
    assert_int_equal(k.r.values, 3);
    assert_int_equal(k.r.unreadable, 1);
    assert_true(file_has(bench_path(b, "sluice.db"), "v1.00000000.AAAA"));
    assert_string_equal(accounts_load(b).secret[0], CANARY);
}

/* The two moments between which a process may die, made by hand. */
static void test_rotate_half_way(void **state)
{
    struct bench *b = *state;
    char old[128], now[128], beside[160];
    bench_open(b);
    (void)furnish(b);
    bench_close(b);
    (void)text_format(beside, sizeof beside, "%s/master.key.01234567", b->dir);
    file_put(beside, HEX_B "\n", 0600); /* made, and never used */
    bench_open(b);
    furnished(b);
    assert_false(exists(beside));
    file_get(bench_path(b, "master.key"), old, sizeof old);
    struct kept k = rotate(b, "");
    bench_close(b);
    file_get(bench_path(b, "master.key"), now, sizeof now);
    (void)text_format(beside, sizeof beside, "%s/master.key.%s", b->dir, k.r.new_key);
    file_put(beside, now, 0600); /* in force, and not yet in its place */
    file_put(bench_path(b, "master.key"), old, 0600);
    bench_open(b);
    furnished(b);
    assert_false(exists(beside));
    char found[128];
    file_get(bench_path(b, "master.key"), found, sizeof found);
    assert_string_equal(found, now);
}

/* Every failure of the disk on the way leaves one key in force, and it is at hand. */
static void test_rotate_when_the_file_cannot_be_made(void **state)
{
    struct bench *b = *state;
    if (geteuid() == 0)
        skip(); /* root writes everywhere */
    bench_open(b);
    (void)furnish(b);
    assert_int_equal(chmod(b->dir, 0500), 0);
    assert_int_equal(rotate(b, "").e, ERR_DENIED);
    assert_int_equal(chmod(b->dir, 0700), 0);
    furnished(b);
}

/* ---- two processes -------------------------------------------------------------------------- */

static void test_rotate_beside_another(void **state)
{
    struct bench *b = *state, other = {0};
    b->options.shared = true;
    bench_open(b);
    (void)furnish(b);
    memcpy(other.dir, b->dir, sizeof other.dir);
    other.options = b->options;
    other.options.dir = other.dir;
    bench_open(&other);
    furnished(&other);
    for (int round = 0; round < 4; round++) {
        struct bench *one = round % 2 == 0 ? b : &other, *two = round % 2 == 0 ? &other : b;
        assert_int_equal(rotate(one, "").e, OK);
        if (round < 2)
            furnished(two); /* reads under the new key */
        struct account_row row = accounts_load(one).account[0];
        row.secret = S(CANARY);
        struct got g = account_update(two, &row); /* writes under it, too */
        assert_int_equal(g.e, OK);
        furnished(one);
        furnished(two);
        g = tokens_load(two);
        assert_int_equal(
            token_swap(two, g.token[1].account_id, g.token[1].generation, "access-2", "").e, OK);
        furnished(one);
    }
    /* Found by who writes first. */
    assert_int_equal(rotate(b, "").e, OK);
    assert_int_equal(account_add(&other, "more", "y").e, OK);
    assert_int_equal(rotate(b, "").e, OK);
    assert_int_equal(rotate(&other, "").e, OK);
    struct got g = accounts_load(b);
    assert_int_equal(g.n, 4);
    assert_false(g.account[3].secret_unreadable);
    bench_close(&other);
}

/* ---- killed --------------------------------------------------------------------------------- */

static uint32_t dice_state = 20260817;
static uint32_t dice(uint32_t n)
{
    dice_state = dice_state * 1664525u + 1013904223u;
    return (dice_state >> 8) % n;
}

/* Its keys are its own: a child draws at random what its brothers have drawn. */
static void child_rotates(struct bench *b, int fd, int round)
{
    bench_open(b);
    for (int32_t i = 0;; i++) {
        char name[64], hex[65];
        uint8_t key[CRYPTO_SHA256];
        (void)text_format(name, sizeof name, "key %d of round %d", (int)i, round);
        crypto_sha256(key, slice_of(name));
        text_hex(hex, key, sizeof key);
        struct kept k = rotate(b, hex);
        if (k.e != OK)
            print_error("%s: %s\n", err_name(k.e), k.r.why);
        if (k.e != OK || write(fd, &i, sizeof i) != (ssize_t)sizeof i)
            _exit(1);
    }
}

static void kill_one(struct bench *b, int round)
{
    int pipe_fd[2], status = 0;
    int32_t told;
    volatile uint32_t x = 1;
    assert_int_equal(pipe(pipe_fd), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        child_rotates(b, pipe_fd[1], round);
    (void)close(pipe_fd[1]);
    for (uint32_t i = 1 + dice(3); i > 0; i--)
        assert_int_equal(read(pipe_fd[0], &told, sizeof told), sizeof told);
    for (uint32_t i = dice(3000000); i > 0; i--) /* as long as a few syncs of the disk take */
        x = x * 3 + 1;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status)); /* nothing failed in it */
    (void)close(pipe_fd[0]);
}

static void test_killed_while_rotating(void **state)
{
    struct bench *b = *state;
    uint8_t pepper[32];
    bench_open(b);
    (void)furnish(b);
    memcpy(pepper, store_pepper(b->s), 32);
    bench_close(b);
    for (int i = 0; i < 60; i++) {
        kill_one(b, i);
        bench_open(b);
        furnished(b);
        assert_memory_equal(store_pepper(b->s), pepper, 32);
        bench_close(b);
    }
}

/* ---- copies --------------------------------------------------------------------------------- */

static void test_backup(void **state)
{
    struct bench *b = *state, other = {0};
    char file[96], key[128];
    bench_open(b);
    (void)furnish(b);
    records_put(b, 0, 500);
    (void)text_format(file, sizeof file, "%s.backup", b->dir);
    struct kept k = backup(b, file, false);
    assert_string_equal(k.c.why, "");
    assert_int_equal(k.e, OK);
    assert_true(k.c.bytes > 0);
    assert_false(file_has(file, "canary"));
    file_get(bench_path(b, "master.key"), key, sizeof key);
    assert_false(file_has(file, key));
    assert_int_equal(backup(b, file, false).e, ERR_EXISTS);
    assert_int_equal(backup(b, file, true).e, OK);
    assert_int_equal(backup(b, "relative", true).e, ERR_RANGE);
    assert_int_equal(backup(b, "/nowhere/at/all", true).e, ERR_NOTFOUND);

    struct store_copy c;
    bench_folder(&other);
    assert_int_equal(store_restore(&other.options, file, false, &c), OK);
    assert_false(c.has_key);
    assert_string_equal(c.key, k.c.key);
    assert_int_equal(bench_try_open(&other), ERR_NOTFOUND); /* no key yet */
    file_put(bench_path(&other, "master.key"), key, 0600);
    bench_open(&other);
    furnished(&other);
    assert_int_equal(records_count(&other), 500);
    assert_int_equal(store_restore(&other.options, file, true, &c), ERR_BUSY);
    bench_close(&other);
    assert_int_equal(store_restore(&other.options, file, false, &c), ERR_EXISTS);
    assert_int_equal(store_restore(&other.options, file, true, &c), OK);
    assert_true(c.has_key);
    assert_true(exists(bench_path(&other, "sluice.db.before-1")));
    bench_open(&other);
    furnished(&other);
    bench_close(&other);
    file_put(bench_path(&other, "master.key"), HEX_B "\n", 0600);
    assert_int_equal(store_restore(&other.options, file, true, &c), ERR_DENIED);
    assert_non_null(strstr(c.why, "nothing was changed"));
    assert_false(exists(bench_path(&other, "sluice.db.restore")));
    (void)unlink(bench_path(&other, "sluice.db.before-1"));
    bench_sweep(&other);
    (void)unlink(file);
}

/* Other work goes on between its bites, and is in it or not, but never by halves. */
static void test_backup_beside_work(void **state)
{
    struct bench *b = *state;
    char file[96];
    struct kept k = {0}, second = {0};
    bench_open(b);
    records_put(b, 0, 4000);
    (void)text_format(file, sizeof file, "%s.backup", b->dir);
    store_backup(b->s, file, false, on_copied, &k);
    store_backup(b->s, file, true, on_copied, &second);
    int bites = 0;
    while (k.calls == 0 && bench_step(&b->loop)) {
        bites++;
        assert_true(k.calls == 1 || !exists(file)); /* whole or not there */
        if (bites == 3) {
            struct got g = {0};
            struct account_row row = {
                .name = "meanwhile", .provider = "anthropic", .weight = 1, .secret = S("s")};
            store_account_add(b->s, &row, got_accounts, &g);
            while (g.calls == 0)
                (void)bench_step(&b->loop);
            assert_int_equal(g.e, OK);
        }
        if (k.calls != 0)
            break;
    }
    bench_settle(&b->loop);
    assert_true(bites > 3);
    assert_int_equal(k.e, OK);
    assert_int_equal(second.e, ERR_BUSY);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT (SELECT count(*) FROM pragma_integrity_check "
                                        "WHERE integrity_check='ok')*100000+(SELECT count(*) "
                                        "FROM records)*10+(SELECT count(*) FROM accounts)",
                                        -1, &st, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(st, 0), 100000 + 40000 + 1);
    assert_int_equal(sqlite3_finalize(st), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    (void)unlink(file);
}

static void test_backup_given_up(void **state)
{
    struct bench *b = *state;
    char file[96], part[112];
    struct kept k = {0};
    bench_open(b);
    records_put(b, 0, 4000);
    (void)text_format(file, sizeof file, "%s.backup", b->dir);
    (void)text_format(part, sizeof part, "%s.part", file);
    store_backup(b->s, file, false, on_copied, &k);
    (void)bench_step(&b->loop);
    while (!exists(part))
        assert_true(bench_step(&b->loop));
    bench_close(b);
    assert_int_equal(k.calls, 0);
    assert_false(exists(part));
    assert_false(exists(file));
}

static void test_restore_refused(void **state)
{
    struct bench *b = *state;
    char file[96];
    struct store_copy c;
    (void)text_format(file, sizeof file, "%s.backup", b->dir);
    assert_int_equal(store_restore(&b->options, file, false, &c), ERR_NOTFOUND);
    file_put(file, "this is no database, but it is long enough to be looked at\n", 0600);
    assert_int_equal(store_restore(&b->options, file, false, &c), ERR_CORRUPT);
    file_put(file, "", 0600);
    assert_int_equal(store_restore(&b->options, file, false, &c), ERR_UNSUPPORTED);
    assert_int_equal(store_restore(&b->options, b->dir, false, &c), ERR_NOTFOUND);
    (void)unlink(file);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "CREATE TABLE meta(x); PRAGMA user_version=99; PRAGMA "
                                  "application_id=1936487779",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(store_restore(&b->options, file, false, &c), ERR_UNSUPPORTED);
    assert_non_null(strstr(c.why, "newer sluice"));
    assert_false(exists(bench_path(b, "sluice.db")));
    assert_false(exists(bench_path(b, "sluice.db.restore")));
    (void)unlink(file);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, bench_setup_closed, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_key_from_text),
        WITH(test_key_from_two_places),
        WITH(test_key_from_file),
        WITH(test_rotate),
        WITH(test_rotate_to_given),
        WITH(test_rotate_keeps_unreadable),
        WITH(test_rotate_half_way),
        WITH(test_rotate_when_the_file_cannot_be_made),
        WITH(test_rotate_beside_another),
        WITH(test_killed_while_rotating),
        WITH(test_backup),
        WITH(test_backup_beside_work),
        WITH(test_backup_given_up),
        WITH(test_restore_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
