/* links: base http codec */
/* Golden translations: tests/golden/translate/FROM-TO/NAME.in becomes NAME.out, byte for byte.
 *
 *   ask_*           a request
 *   stream_*        a reply as a stream; in every chunking the same must come out
 *   whole_*         a reply in one body
 *   played_*        a reply in one body, asked for as a stream
 *   gathered_*      a reply as a stream, asked for in one body
 *   error_STATUS_*  the body of an error
 *
 * A first line "#! word key=value ..." tells what the target or the client is like. Replies are
 * followed by what was observed. `test_codec_pairs --update` writes the .out files anew: read them
 * before they are committed. */
#include "codec_watch.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define FOLDER SLUICE_TESTS_DIR "/golden/translate/"

static bool update;

/* ---- files ----------------------------------------------------------------------------------- */

struct pair {
    char path[512]; /* without its tail */
    char name[128];
    enum dialect from, to;
    struct buf in, want;
    struct ask_target target;
    struct translate_plan plan;
};

static bool dialect_find(struct slice word, enum dialect *out)
{
    static const char *const names[] = {"anthropic", "openai", "responses", "gemini", "ollama"};
    for (int i = 0; i < DIALECT_COUNT; i++) {
        if (slice_eq(word, slice_of(names[i]))) {
            *out = (enum dialect)i;
            return true;
        }
    }
    return false;
}

static bool file_read(const char *path, const char *tail, struct buf *out)
{
    char whole[600], part[4096];
    (void)text_format(whole, sizeof whole, "%s%s", path, tail);
    FILE *f = fopen(whole, "rb");
    if (f == NULL)
        return false;
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;)
        assert_int_equal(buf_append(out, part, n), OK);
    (void)fclose(f);
    return true;
}

static void file_write(const char *path, const char *tail, struct slice text)
{
    char whole[600];
    (void)text_format(whole, sizeof whole, "%s%s", path, tail);
    FILE *f = fopen(whole, "wb");
    assert_non_null(f);
    assert_true(fwrite(text.p, 1, text.n, f) == text.n);
    assert_int_equal(fclose(f), 0);
}

/* One word of the first line. */
static void word_take(struct pair *p, struct slice word)
{
    struct slice key = word, value = S("");
    struct ask_target *t = &p->target;
    ptrdiff_t at = slice_find(word, '=');
    if (at >= 0) {
        key = slice_sub(word, 0, (size_t)at);
        value = slice_sub(word, (size_t)at + 1, word.n);
    }
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {
        {"no_stream_options", &t->no_stream_options},
        {"max_completion_tokens", &t->max_completion_tokens},
        {"reasoning_content", &t->reasoning_content},
        {"empty_content", &t->empty_content},
        {"first_system_only", &t->first_system_only},
        {"no_effort", &t->no_effort},
        {"all_efforts", &t->all_efforts},
        {"no_temperature", &t->no_temperature},
        {"no_cache_control", &t->no_cache_control},
        {"adaptive_thinking", &t->adaptive_thinking},
        {"no_images_by_url", &t->no_images_by_url},
        {"short_call_ids", &t->short_call_ids},
        {"body_has_no_model", &t->body_has_no_model},
        {"body_has_no_stream", &t->body_has_no_stream},
        {"stream", &t->stream},
    };
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (slice_eq(key, slice_of(flags[i].name))) {
            *flags[i].flag = true;
            return;
        }
    }
    if (slice_eq(key, S("model")))
        t->model = p->plan.model = value;
    else if (slice_eq(key, S("version")))
        t->version = value;
    else if (slice_eq(key, S("no_thinking")))
        p->plan.thinking = false;
    else if (slice_eq(key, S("no_usage")))
        p->plan.include_usage = false;
    else
        fail_msg("%s: what is \"%.*s\"?", p->path, (int)key.n, key.p);
}

/* Reads the first line; the rest is the input. */
static struct slice input_of(struct pair *p)
{
    struct slice rest = buf_slice(&p->in), line, word;
    p->target = (struct ask_target){.model = S("")};
    p->plan = (struct translate_plan){.from = p->from,
                                      .to = p->to,
                                      .in = FRAMING_SSE,
                                      .out = FRAMING_SSE,
                                      .model = S("asked-model"),
                                      .id = S("x7"),
                                      .created = 1790000000,
                                      .thinking = true,
                                      .include_usage = true};
    if (!slice_starts(rest, S("#! ")))
        return rest;
    (void)slice_cut(&rest, '\n', &line);
    line = slice_sub(line, 3, line.n);
    while (slice_cut(&line, ' ', &word))
        word_take(p, word);
    return rest;
}

/* ---- translating ----------------------------------------------------------------------------- */

static void ask_play(struct pair *p, struct slice in, struct buf *out)
{
    struct names *names = codec_names_new();
    const char *why = "";
    enum err e = codec_ask_translate(p->from, p->to, in, &p->target, names, out, &why);
    if (e != OK)
        assert_int_equal(buf_printf(out, "refused, %s: %s", err_name(e), why), OK);
    assert_int_equal(buf_puts(out, S("\n")), OK);
    codec_names_free(names);
}

static void reply_play(struct pair *p, struct slice in, size_t step, struct buf *out)
{
    struct translate *t = translate_new(&p->plan);
    char seen[WATCH_MAX];
    enum err e = OK;
    for (size_t at = 0, n = 0; at < in.n && e == OK; at += n) {
        n = step < in.n - at ? step : in.n - at;
        char *copy = mem_slicedup(slice_sub(in, at, at + n)); /* reading past it is found */
        e = translate_feed(t, (struct slice){copy, n}, out);
        mem_free(copy);
    }
    if (e == OK)
        e = translate_end(t, out);
    if (e != OK)
        assert_int_equal(translate_error(t, 502, S("The reply broke off"), out), OK);
    watch_print(translate_see(t), seen, sizeof seen);
    assert_int_equal(buf_printf(out, "\n--- %s\n%s", err_name(e), seen), OK);
    translate_free(t);
}

static void replies_play(struct pair *p, struct slice in, struct buf *out)
{
    struct buf again;
    reply_play(p, in, in.n, out);
    for (size_t step = 1; step <= 16; step++) {
        buf_init(&again, (size_t)16 << 20);
        reply_play(p, in, step, &again);
        if (!slice_eq(buf_slice(out), buf_slice(&again)))
            fail_msg("%s in pieces of %zu:\n%.*s--- at once:\n%.*s", p->path, step, (int)again.len,
                     again.p, (int)out->len, out->p);
        buf_free(&again);
    }
}

static void error_play(struct pair *p, struct slice in, struct buf *out)
{
    struct slice name = slice_of(p->name), word;
    int64_t status = 0;
    (void)slice_cut(&name, '_', &word);
    (void)slice_cut(&name, '_', &word);
    assert_true(text_i64(word, &status));
    int as = (int)status;
    assert_int_equal(codec_error_translate(p->from, p->to, &as, in, S("req_7"), out), OK);
    assert_int_equal(buf_printf(out, "\n--- status %d\n", as), OK);
}

static void pair_play(struct pair *p, struct buf *out)
{
    struct slice in = input_of(p), name = slice_of(p->name);
    if (slice_starts(name, S("ask_"))) {
        ask_play(p, in, out);
    } else if (slice_starts(name, S("error_"))) {
        error_play(p, in, out);
    } else {
        bool played = slice_starts(name, S("played_")), whole = slice_starts(name, S("whole_"));
        bool gathered = slice_starts(name, S("gathered_"));
        enum framing stream_in = p->from == DIALECT_OLLAMA ? FRAMING_LINES : FRAMING_SSE;
        enum framing stream_out = p->to == DIALECT_OLLAMA ? FRAMING_LINES : FRAMING_SSE;
        assert_true(played || whole || gathered || slice_starts(name, S("stream_")));
        p->plan.in = played || whole ? FRAMING_WHOLE : stream_in;
        p->plan.out = gathered || whole ? FRAMING_WHOLE : stream_out;
        replies_play(p, in, out);
    }
}

/* ---- without memory -------------------------------------------------------------------------- */

#define STARVED_MOST 100 /* calls of one pair that fail, each in its turn */

/* What may be lost without a word: thoughts that were signed, how likely each word was, and what an
 * error said besides that it is one; and whether a schema is strict. */
static bool may_lose(const struct pair *p)
{
    static const char *const NAMES[] = {"error_", "ask_foreign_signature", "stream_logprobs"};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++)
        if (strncmp(p->name, NAMES[i], strlen(NAMES[i])) == 0)
            return true;
    return false;
}

static void strict_drop(struct buf *b)
{
    static const char *const WORDS[] = {",\"strict\":true", ",\"strict\":false"};
    for (size_t i = 0; i < 2; i++) {
        size_t n = strlen(WORDS[i]);
        for (ptrdiff_t at; (at = slice_search(buf_slice(b), slice_of(WORDS[i]))) >= 0;) {
            memmove(b->p + at, b->p + at + n, b->len - (size_t)at - n);
            b->len -= n;
        }
    }
}

/* What `out` gets, without a word of this test's own. */
static enum err pair_once(struct pair *p, struct slice in, struct buf *out)
{
    struct slice name = slice_of(p->name);
    enum err e;
    if (slice_starts(name, S("ask_"))) {
        struct names *names = codec_names_new();
        const char *why = "";
        e = codec_ask_translate(p->from, p->to, in, &p->target, names, out, &why);
        assert_true(e == OK || (why[0] != '\0' && out->len == 0));
        codec_names_free(names);
    } else if (slice_starts(name, S("error_"))) {
        int as = 502;
        e = codec_error_translate(p->from, p->to, &as, in, S("req_7"), out);
    } else {
        struct translate *t = translate_new(&p->plan);
        e = translate_feed(t, in, out);
        if (e == OK)
            e = translate_end(t, out);
        (void)translate_see(t);
        translate_free(t);
    }
    return e;
}

/* One call on the way fails: then either all is there in the end, or there is an error. */
static void pair_starve(struct pair *p, struct slice in)
{
    struct buf whole, out;
    buf_init(&whole, (size_t)16 << 20);
    fault_counter = 0;
    fault_target = UINT64_MAX;
    enum err fed = pair_once(p, in, &whole), e;
    strict_drop(&whole);
    uint64_t calls = fault_counter, step = 1 + calls / STARVED_MOST;
    for (uint64_t at = 1; at <= calls; at += step) {
        buf_init(&out, (size_t)16 << 20);
        fault_counter = 0;
        fault_target = at;
        e = pair_once(p, in, &out);
        fault_target = 0;
        strict_drop(&out);
        if (e == OK && !may_lose(p) && !slice_eq(buf_slice(&out), buf_slice(&whole)))
            fail_msg("%s: call %d failed, and nobody said so:\n%.*s", p->path, (int)at,
                     (int)out.len, out.p);
        assert_true(fed == OK || e != OK);
        buf_free(&out);
    }
    fault_target = 0;
    buf_free(&whole);
}

static void pair_check(struct pair *p)
{
    struct buf out;
    buf_init(&out, (size_t)16 << 20);
    buf_init(&p->in, (size_t)16 << 20);
    buf_init(&p->want, (size_t)16 << 20);
    assert_true(file_read(p->path, ".in", &p->in));
    pair_play(p, &out);
    pair_starve(p, input_of(p));
    if (update)
        file_write(p->path, ".out", buf_slice(&out));
    else if (!file_read(p->path, ".out", &p->want))
        fail_msg("%s.out is not there: --update writes it", p->path);
    else if (!slice_eq(buf_slice(&out), buf_slice(&p->want)))
        fail_msg("%s:\n%.*s--- expected:\n%.*s", p->path, (int)out.len, out.p, (int)p->want.len,
                 p->want.p);
    buf_free(&out);
    buf_free(&p->in);
    buf_free(&p->want);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static int folder_play(const char *folder)
{
    struct slice to = slice_of(folder), from;
    struct pair p;
    char path[400];
    int played = 0;
    struct dirent *e;
    if (!slice_cut(&to, '-', &from) || !dialect_find(from, &p.from) || !dialect_find(to, &p.to))
        fail_msg("%s is no pair of dialects", folder);
    (void)text_format(path, sizeof path, FOLDER "%s", folder);
    DIR *d = opendir(path);
    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        struct slice file = slice_of(e->d_name);
        if (!slice_ends(file, S(".in")))
            continue;
        text_copy(p.name, sizeof p.name, slice_sub(file, 0, file.n - 3));
        (void)text_format(p.path, sizeof p.path, "%s/%s", path, p.name);
        pair_check(&p);
        played++;
    }
    (void)closedir(d);
    return played;
}

static void test_pairs(void **state)
{
    int played = 0;
    struct dirent *e;
    DIR *d = opendir(FOLDER);
    (void)state;
    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] != '.')
            played += folder_play(e->d_name);
    }
    (void)closedir(d);
    assert_true(played >= 30);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pairs)};
    update = argc > 1 && strcmp(argv[1], "--update") == 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
