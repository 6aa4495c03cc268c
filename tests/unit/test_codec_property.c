/* links: base http codec */
/* Whatever one dialect's writer says, its reader hears: random replies and requests, streamed in
 * every chunking and whole, through each dialect that has a row in codec_rows.h. */
#include "codec_random.h"
#include "codec_random_ask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define ROUNDS 400

/* ---- replies --------------------------------------------------------------------------------- */

struct script { /* what is said, heard at once and written */
    struct heard said;
    const struct dialect_canon *canon;
    struct say_writer *writer;
    struct buf *out;
};

static enum err on_random(void *arg, const struct say *s)
{
    struct script *p = arg;
    must(heard_say(&p->said, s));
    return p->canon->write(p->writer, s, p->out);
}

struct reading_back {
    const struct dialect_canon *canon;
    struct say_reader *reader;
    bool whole;
    struct heard heard;
};

static enum err on_event(void *arg, struct slice name, struct slice data)
{
    struct reading_back *b = arg;
    return b->canon->read(b->reader, name, data, b->whole, heard_say, &b->heard);
}

/* Reads `bytes` in pieces of `step` (0: of chance) and compares. */
static void read_back(const struct dialect_row *row, bool whole, struct slice bytes, int step,
                      struct rnd *r, const struct heard *said)
{
    struct say_context c = {.model = slice_of(row->model), .id = S("x"), .thinking = true};
    struct reading_back b = {.canon = dialect_ops_of(row->d)->canon, .whole = whole};
    struct framer f;
    b.reader = b.canon->reader_new(&c);
    heard_init(&b.heard, row);
    framer_init(&f, whole ? FRAMING_WHOLE : row->stream);
    for (size_t at = 0, n = 0; at < bytes.n; at += n) {
        n = (size_t)(step > 0 ? step : rnd_below(r, 200) + 1);
        n = n < bytes.n - at ? n : bytes.n - at;
        assert_int_equal(framer_feed(&f, slice_sub(bytes, at, at + n), on_event, &b), OK);
    }
    assert_int_equal(framer_end(&f, on_event, &b), OK);
    if (!b.heard.ended)
        assert_int_equal(b.canon->read_end(b.reader, heard_say, &b.heard), OK);
    if (!slice_eq(buf_slice(&b.heard.text), buf_slice(&said->text)))
        fail_msg("dialect %d whole %d step %d:\n--- said\n%.*s--- heard\n%.*s--- bytes\n%.*s",
                 (int)row->d, whole, step, (int)said->text.len, said->text.p, (int)b.heard.text.len,
                 b.heard.text.p, (int)bytes.n, bytes.p);
    heard_free(&b.heard);
    framer_free(&f);
    b.canon->reader_free(b.reader);
}

static void reply_round(const struct dialect_row *row, bool whole, uint64_t seed, bool all_steps)
{
    struct rnd r = {seed};
    struct buf out;
    struct say_context c = {
        .model = slice_of(row->model), .id = S("x"), .thinking = true, .include_usage = true};
    struct script p = {.canon = dialect_ops_of(row->d)->canon, .out = &out};
    buf_init(&out, (size_t)16 << 20);
    heard_init(&p.said, row);
    p.writer = p.canon->writer_new(&c, whole);
    bool fine = reply_random(&r, row, on_random, &p);
    if (whole && !fine) { /* all that is left of it is the error */
        size_t at = p.said.text.len - 1;
        while (at > 0 && p.said.text.p[at - 1] != '\n')
            at--;
        buf_consume(&p.said.text, at);
    }
    for (int step = 0; step <= (all_steps ? 16 : 1); step++)
        read_back(row, whole, buf_slice(&out), step, &r, &p.said);
    read_back(row, whole, buf_slice(&out), 1 << 20, &r, &p.said);
    p.canon->writer_free(p.writer);
    heard_free(&p.said);
    buf_free(&out);
}

static void test_replies(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
            reply_round(&rows[i], false, seed * 0x9e3779b97f4a7c15ULL, seed < 40);
            reply_round(&rows[i], true, seed * 0x9e3779b97f4a7c15ULL, seed < 10);
        }
    }
}

/* ---- through another dialect ----------------------------------------------------------------- */

static void pass(const struct dialect_row *from, const struct dialect_row *to, enum framing in,
                 enum framing out, struct slice bytes, struct rnd *r, struct buf *passed)
{
    struct translate_plan p = {.from = from->d,
                               .to = to->d,
                               .in = in,
                               .out = out,
                               .model = slice_of(to->model),
                               .id = S("x"),
                               .thinking = true,
                               .include_usage = true};
    struct translate *t = translate_new(&p);
    for (size_t at = 0, n = 0; at < bytes.n; at += n) {
        n = (size_t)rnd_below(r, 300) + 1;
        n = n < bytes.n - at ? n : bytes.n - at;
        assert_int_equal(translate_feed(t, slice_sub(bytes, at, at + n), passed), OK);
    }
    assert_int_equal(translate_end(t, passed), OK);
    translate_free(t);
}

/* What both dialects can say goes to the other one and comes back; `there`: whether the way there
 * is a stream too. */
static void cross_round(const struct dialect_row *a, const struct dialect_row *b, bool there,
                        uint64_t seed)
{
    struct dialect_row both = *a;
    struct rnd r = {seed};
    struct buf one, two, three;
    struct say_context c = {
        .model = slice_of(a->model), .id = S("x"), .thinking = true, .include_usage = true};
    struct script p = {.canon = dialect_ops_of(a->d)->canon, .out = &one};
    both.can &= b->can;
    both.stops &= b->stops;
    both.id_prefix = NULL;
    buf_init(&one, (size_t)16 << 20);
    buf_init(&two, (size_t)16 << 20);
    buf_init(&three, (size_t)16 << 20);
    heard_init(&p.said, &both);
    p.writer = p.canon->writer_new(&c, false);
    bool fine = reply_random(&r, &both, on_random, &p);
    enum framing middle = there ? b->stream : FRAMING_WHOLE;
    if (fine || there) {
        pass(a, b, a->stream, middle, buf_slice(&one), &r, &two);
        pass(b, a, middle, a->stream, buf_slice(&two), &r, &three);
        read_back(&both, false, buf_slice(&three), 0, &r, &p.said);
    }
    p.canon->writer_free(p.writer);
    heard_free(&p.said);
    buf_free(&one);
    buf_free(&two);
    buf_free(&three);
}

static void test_crossings(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS * ROWS; i++) {
        for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
            cross_round(&rows[i / ROWS], &rows[i % ROWS], true, seed * 0x9e3779b97f4a7c15ULL);
            cross_round(&rows[i / ROWS], &rows[i % ROWS], false, seed * 0xbf58476d1ce4e5b9ULL);
        }
    }
}

/* ---- requests -------------------------------------------------------------------------------- */

static void ask_round(const struct dialect_row *row, uint64_t seed)
{
    const struct dialect_canon *canon = dialect_ops_of(row->d)->canon;
    struct ask_target t = {.model = S(""), .all_efforts = true};
    struct names *names = names_new();
    struct rnd r = {seed};
    struct arena arena;
    struct ask asked, read;
    struct buf body, want, got;
    const char *why = "";
    arena_init(&arena, (size_t)16 << 20);
    buf_init(&body, (size_t)16 << 20);
    buf_init(&want, (size_t)16 << 20);
    buf_init(&got, (size_t)16 << 20);
    ask_random(&r, row, &asked, &arena);
    if (canon->ask_write(&asked, &t, names, &body, &why) != OK)
        fail_msg("dialect %d seed %" PRIu64 " not written: %s", (int)row->d, seed, why);
    ask_init(&read, &arena);
    if (canon->ask_read(buf_slice(&body), &read, &why) != OK)
        fail_msg("dialect %d not read: %s\n%.*s", (int)row->d, why, (int)body.len, body.p);
    assert_false(read.full);
    ask_print(&asked, row, &want);
    ask_print(&read, row, &got);
    if (!slice_eq(buf_slice(&want), buf_slice(&got)))
        fail_msg("dialect %d:\n--- asked\n%.*s--- read\n%.*s--- body\n%.*s", (int)row->d,
                 (int)want.len, want.p, (int)got.len, got.p, (int)body.len, body.p);
    buf_free(&body);
    buf_free(&want);
    buf_free(&got);
    names_free(names);
    arena_free(&arena);
}

static void test_asks(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        for (uint64_t seed = 1; seed <= ROUNDS; seed++)
            ask_round(&rows[i], seed * 0x9e3779b97f4a7c15ULL);
    }
}

/* What both dialects can say is asked in one, translated to the other and back. */
static void ask_cross(const struct dialect_row *a, const struct dialect_row *b, uint64_t seed)
{
    const struct dialect_canon *canon = dialect_ops_of(a->d)->canon;
    struct ask_target here = {.model = slice_of(a->model), .all_efforts = true};
    struct ask_target there = {.model = slice_of(b->model), .all_efforts = true};
    struct dialect_row both = *a;
    struct names *names = names_new();
    struct rnd r = {seed};
    struct arena arena;
    struct ask asked, read;
    struct buf body[3], want, got;
    const char *why = "";
    both.can &= b->can;
    if (a->signature != b->signature) /* each takes only what it has signed itself */
        both.can &= ~(unsigned)CAN_ASK_THINKING;
    arena_init(&arena, (size_t)16 << 20);
    for (int i = 0; i < 3; i++)
        buf_init(&body[i], (size_t)16 << 20);
    buf_init(&want, (size_t)16 << 20);
    buf_init(&got, (size_t)16 << 20);
    ask_random(&r, &both, &asked, &arena);
    assert_int_equal(canon->ask_write(&asked, &here, names, &body[0], &why), OK);
    if (codec_ask_translate(a->d, b->d, buf_slice(&body[0]), &there, names, &body[1], &why) != OK ||
        codec_ask_translate(b->d, a->d, buf_slice(&body[1]), &here, names, &body[2], &why) != OK)
        fail_msg("%d to %d and back, seed %" PRIu64 ": %s", (int)a->d, (int)b->d, seed, why);
    ask_init(&read, &arena);
    assert_int_equal(canon->ask_read(buf_slice(&body[2]), &read, &why), OK);
    ask_print(&asked, &both, &want);
    ask_print(&read, &both, &got);
    if (!slice_eq(buf_slice(&want), buf_slice(&got)))
        fail_msg("%d to %d and back:\n--- asked\n%.*s--- read\n%.*s--- there\n%.*s", (int)a->d,
                 (int)b->d, (int)want.len, want.p, (int)got.len, got.p, (int)body[1].len,
                 body[1].p);
    for (int i = 0; i < 3; i++)
        buf_free(&body[i]);
    buf_free(&want);
    buf_free(&got);
    names_free(names);
    arena_free(&arena);
}

static void test_ask_crossings(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS * ROWS; i++) {
        for (uint64_t seed = 1; seed <= ROUNDS; seed++)
            ask_cross(&rows[i / ROWS], &rows[i % ROWS], seed * 0x9e3779b97f4a7c15ULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replies), cmocka_unit_test(test_crossings),
        cmocka_unit_test(test_asks), cmocka_unit_test(test_ask_crossings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
