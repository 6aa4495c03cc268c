/* links: base store */
#include "store_bench.h"

#include <sqlite3.h>

#include "store/vault.h"

#define CANARY "sk-ant-canary-7f3a9c-must-not-be-on-any-disk"

static void file_write(const char *path, const char *text, mode_t mode)
{
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    (void)close(fd);
}

static void file_read(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t n = read(fd, out, size - 1);
    assert_true(n >= 0);
    out[n] = '\0';
    (void)close(fd);
}

static void test_key_file_is_made(void **state)
{
    struct bench *b = *state;
    struct stat st;
    char first[128], second[128];
    bench_open(b);
    assert_int_equal(stat(bench_path(b, "master.key"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, 65);
    assert_int_equal(stat(bench_path(b, "sluice.db"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(bench_path(b, "sluice.db-wal"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    file_read(bench_path(b, "master.key"), first, sizeof first);
    assert_int_equal(first[64], '\n');
    bench_reopen(b);
    file_read(bench_path(b, "master.key"), second, sizeof second);
    assert_string_equal(first, second); /* made once */
    assert_int_not_equal(stat(bench_path(b, "master.key.new"), &st), 0);
}

/* A process killed while it made the key leaves a piece under the other name only. */
static void test_key_file_half_made(void **state)
{
    struct bench *b = *state;
    file_write(bench_path(b, "master.key.new"), "0123", 0600);
    bench_open(b);
    assert_int_not_equal(access(bench_path(b, "master.key.new"), F_OK), 0);
}

#define HEX64 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static void test_key_file_refused(void **state)
{
    struct bench *b = *state;
    static const struct {
        const char *text;
        mode_t mode;
        enum err want;
        const char *says;
    } rows[] = {
        {HEX64 "\n", 0600, OK, ""},
        {HEX64 "\n", 0400, OK, ""},
        {HEX64, 0600, OK, ""},
        {HEX64 "\n", 0640, ERR_DENIED, "chmod 600"},
        {HEX64 "\n", 0604, ERR_DENIED, "chmod 600"},
        {HEX64 "\n", 0620, ERR_DENIED, "chmod 600"},
        {HEX64 "\n", 0610, ERR_DENIED, "chmod 600"},
        {"", 0600, ERR_SYNTAX, "backup"},
        {HEX64 "\n\n", 0600, ERR_SYNTAX, "backup"},
        {HEX64 "00\n", 0600, ERR_SYNTAX, "backup"},
        {HEX64 HEX64 "\n", 0600, ERR_SYNTAX, "backup"},
        {"0001\n", 0600, ERR_SYNTAX, "backup"},
        {"zz0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n", 0600, ERR_SYNTAX,
         "backup"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        file_write(bench_path(b, "master.key"), rows[i].text, rows[i].mode);
        assert_int_equal(bench_try_open(b), rows[i].want);
        assert_non_null(strstr(b->why, rows[i].says));
        bench_close(b);
    }
}

static void test_key_file_not_a_file(void **state)
{
    struct bench *b = *state;
    assert_int_equal(mkfifo(bench_path(b, "master.key"), 0600), 0);
    assert_int_equal(bench_try_open(b), ERR_DENIED); /* and does not wait for a writer */
    assert_int_equal(unlink(bench_path(b, "master.key")), 0);
    assert_int_equal(mkdir(bench_path(b, "master.key"), 0700), 0);
    assert_int_equal(bench_try_open(b), ERR_DENIED);
    assert_int_equal(rmdir(bench_path(b, "master.key")), 0);
}

static void test_key_file_lost(void **state)
{
    struct bench *b = *state;
    bench_open(b);
    assert_int_equal(account_add(b, "work", CANARY).e, OK);
    bench_close(b);
    assert_int_equal(unlink(bench_path(b, "master.key")), 0);
    assert_int_equal(bench_try_open(b), ERR_NOTFOUND);
    assert_non_null(strstr(b->why, "master.key is missing"));
    assert_int_not_equal(access(bench_path(b, "master.key"), F_OK), 0); /* none made */
}

/* Under another key the row stays as it is, and opens again when the right key is back. */
static void test_wrong_key(void **state)
{
    struct bench *b = *state;
    char right[128];
    bench_open(b);
    struct account_row row = account_add(b, "work", CANARY).account[0];
    assert_int_equal(account_add(b, "bare", "").e, OK);
    bench_close(b);
    file_read(bench_path(b, "master.key"), right, sizeof right);
    file_write(bench_path(b, "master.key"), HEX64 "\n", 0600);
    bench_open(b);
    struct got g = accounts_load(b);
    assert_int_equal(g.e, OK);
    assert_int_equal(g.n, 2);
    assert_true(g.account[0].secret_unreadable);
    assert_int_equal(g.account[0].secret.n, 0);
    assert_false(g.account[1].secret_unreadable);
    row.paused = true; /* a change that does not touch the secret */
    row.secret = S("");
    g = account_update(b, &row);
    assert_int_equal(g.e, OK);
    assert_true(g.account[0].secret_unreadable);
    bench_close(b);
    file_write(bench_path(b, "master.key"), right, 0600);
    bench_open(b);
    g = accounts_load(b);
    assert_false(g.account[0].secret_unreadable);
    assert_string_equal(g.secret[0], CANARY);
    assert_true(g.account[0].paused);
}

static void test_no_clear_byte_on_disk(void **state)
{
    struct bench *b = *state;
    static const char *const files[] = {"sluice.db", "sluice.db-wal", "sluice.db-shm"};
    bench_open(b);
    struct account_row row = account_add(b, "work", CANARY).account[0];
    row.secret = S(CANARY "-second");
    assert_string_equal(account_update(b, &row).secret[0], CANARY "-second");
    for (int closed = 0; closed < 2; closed++) {
        for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
            assert_false(file_has(bench_path(b, files[i]), "canary"));
        bench_close(b);
    }
    assert_true(file_has(bench_path(b, "sluice.db"), "anthropic")); /* the search works */
}

static void sql(const struct bench *b, const char *text)
{
    sqlite3 *db = NULL;
    char *message = NULL;
    assert_int_equal(sqlite3_open(bench_path(b, "sluice.db"), &db), SQLITE_OK);
    int rc = sqlite3_exec(db, text, NULL, NULL, &message);
    if (rc != SQLITE_OK)
        print_error("%s\n", message);
    assert_int_equal(rc, SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* A sealed secret copied into another row, or with a byte changed, does not open. */
static void test_sealed_rows_cannot_move(void **state)
{
    struct bench *b = *state;
    static const char *const attacks[] = {
        "UPDATE accounts SET secret=(SELECT secret FROM accounts WHERE id=1) WHERE id=2",
        ("UPDATE accounts SET secret=substr(secret,1,20)||iif(substr(secret,21,1)='A','B','A')||"
         "substr(secret,22) WHERE id=2"),
        "UPDATE accounts SET secret=secret||'AAAA' WHERE id=2",
        "UPDATE accounts SET secret=substr(secret,1,30) WHERE id=2",
        "UPDATE accounts SET secret='v1.00000000.AAAA' WHERE id=2",
        "UPDATE accounts SET secret=replace(secret,'v1.','v2.') WHERE id=2",
        "UPDATE accounts SET secret=substr(secret,1,12) WHERE id=2",
        "UPDATE accounts SET secret='v1.' WHERE id=2",
        "UPDATE accounts SET secret='..' WHERE id=2",
        "UPDATE accounts SET secret='x' WHERE id=2",
    };
    bench_open(b);
    assert_int_equal(account_add(b, "a", "secret-a").account[0].id, 1);
    struct account_row two = account_add(b, "b", "secret-b").account[0];
    for (size_t i = 0; i < sizeof attacks / sizeof attacks[0]; i++) {
        two.secret = S("secret-b");
        struct got g = account_update(b, &two);
        assert_int_equal(g.e, OK);
        two.version++;
        assert_string_equal(g.secret[0], "secret-b");
        sql(b, attacks[i]);
        g = accounts_load(b);
        assert_int_equal(g.e, OK);
        assert_string_equal(g.secret[0], "secret-a");
        assert_true(g.account[1].secret_unreadable);
        assert_int_equal(g.account[1].secret.n, 0);
    }
}

/* Same clear text, same place: never the same bytes twice. */
static void test_seal(void **state)
{
    struct vault v;
    struct vault_place at = {"accounts", "secret", 1}, other = {"accounts", "token", 1};
    struct buf one, two, clear;
    (void)state;
    crypto_init();
    vault_open_test(&v);
    buf_init(&one, VAULT_SEALED_MAX);
    buf_init(&two, VAULT_SEALED_MAX);
    buf_init(&clear, 256);
    assert_int_equal(vault_seal(&v, &at, S("hello"), &one), OK);
    assert_int_equal(vault_seal(&v, &at, S("hello"), &two), OK);
    assert_false(slice_eq(buf_slice(&one), buf_slice(&two)));
    assert_true(slice_starts(buf_slice(&one), S("v1.")));
    assert_int_equal(vault_unseal(&v, &at, buf_slice(&one), &clear), OK);
    assert_true(slice_eq(buf_slice(&clear), S("hello")));
    buf_clear(&clear);
    assert_int_equal(vault_unseal(&v, &other, buf_slice(&one), &clear), ERR_CORRUPT);
    at.row = 2;
    assert_int_equal(vault_unseal(&v, &at, buf_slice(&one), &clear), ERR_CORRUPT);
    assert_int_equal(clear.len, 0);
    buf_free(&one);
    buf_free(&two);
    buf_free(&clear);
    vault_wipe(&v);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, bench_setup_closed, bench_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_key_file_is_made),      WITH(test_key_file_half_made),
        WITH(test_key_file_refused),      WITH(test_key_file_not_a_file),
        WITH(test_key_file_lost),         WITH(test_wrong_key),
        WITH(test_no_clear_byte_on_disk), WITH(test_sealed_rows_cannot_move),
        cmocka_unit_test(test_seal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
