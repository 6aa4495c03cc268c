/* links: base http codec */
/* Plays the recorded replies of tests/golden, a folder for each dialect: each NAME.sse or NAME.json
 * has a NAME.expect that says what the observer must have seen; so has NAME.ndjson, a stream of
 * lines. Every reply is played whole, in pieces of 1 to 16 bytes, cut in two at every byte, and
 * (streams) with its line ends as LF, CRLF and CR: always the same must be seen. */
#include "codec_watch.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const struct folder {
    const char *name;
    enum dialect dialect;
    int at_least; /* replies */
} folders[] = {
    {"anthropic", DIALECT_ANTHROPIC, 16}, {"openai", DIALECT_OPENAI, 20},
    {"gemini", DIALECT_GEMINI, 25},       {"ollama", DIALECT_OLLAMA, 18},
    {"responses", DIALECT_RESPONSES, 20},
};
static const struct folder *here; /* whose replies are being played */

static struct slice read_file(const char *name, const char *tail)
{
    char path[512];
    static char room[4][65536];
    static int turn;
    char *into = room[turn++ % 4];
    (void)text_format(path, sizeof path, SLUICE_TESTS_DIR "/golden/%s/%s%s", here->name, name,
                      tail);
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        fail_msg("%s cannot be read", path);
    size_t n = fread(into, 1, sizeof room[0], f);
    assert_true(n < sizeof room[0]);
    (void)fclose(f);
    return (struct slice){into, n};
}

static void check(const char *name, const char *how, enum reply_kind kind, struct slice bytes,
                  size_t first, size_t step, struct slice want, size_t forwarded)
{
    struct watch w;
    watch_play_as(&w, here->dialect, kind, bytes, first, step);
    if (!slice_eq(slice_of(w.seen), want))
        fail_msg("%s (%s, first %zu, step %zu):\n%s--- expected:\n%.*s", name, how, first, step,
                 w.seen, (int)want.n, want.p);
    if (w.forwarded != forwarded)
        fail_msg("%s (%s, first %zu, step %zu): %zu bytes forwarded of %zu", name, how, first, step,
                 w.forwarded, forwarded);
}

static void play(const char *name, const char *how, enum reply_kind kind, struct slice bytes,
                 struct slice want)
{
    struct watch w;
    watch_play_as(&w, here->dialect, kind, bytes, 0, 0);
    check(name, how, kind, bytes, 0, 0, want, w.forwarded);
    for (size_t step = 1; step <= 16; step++)
        check(name, how, kind, bytes, 0, step, want, w.forwarded);
    for (size_t cut = 1; cut < bytes.n; cut++)
        check(name, how, kind, bytes, cut, 0, want, w.forwarded);
}

/* Of the line ends, lines know LF and CRLF only. */
static void play_line_ends(const char *name, enum reply_kind kind, struct slice lf,
                           struct slice want)
{
    static const char *const ends[] = {"\n", "\r\n", "\r"};
    static const char *const names[] = {"LF", "CRLF", "CR"};
    struct buf b;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < (kind == REPLY_SSE ? 3 : 2); i++) {
        buf_clear(&b);
        for (size_t at = 0; at < lf.n; at++) {
            struct slice one = lf.p[at] == '\n' ? slice_of(ends[i]) : slice_sub(lf, at, at + 1);
            assert_int_equal(buf_puts(&b, one), OK);
        }
        play(name, names[i], kind, buf_slice(&b), want);
    }
    buf_free(&b);
}

static void play_folder(void)
{
    char path[512];
    int played = 0;
    struct dirent *e;
    (void)text_format(path, sizeof path, SLUICE_TESTS_DIR "/golden/%s", here->name);
    DIR *d = opendir(path);
    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        char name[128];
        struct slice file = slice_of(e->d_name);
        bool sse = slice_ends(file, S(".sse")), json = slice_ends(file, S(".json"));
        bool lines = slice_ends(file, S(".ndjson"));
        if (!sse && !json && !lines)
            continue;
        text_copy(name, sizeof name, slice_sub(file, 0, file.n - (sse ? 4 : json ? 5 : 7)));
        struct slice bytes = read_file(e->d_name, ""), want = read_file(name, ".expect");
        if (sse || lines)
            play_line_ends(name, sse ? REPLY_SSE : REPLY_LINES, bytes, want);
        else
            play(name, "as it is", REPLY_JSON, bytes, want);
        played++;
    }
    (void)closedir(d);
    assert_true(played >= here->at_least);
}

static void test_golden(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        here = &folders[i];
        play_folder();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
