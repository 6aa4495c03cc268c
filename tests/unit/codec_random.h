/* Random replies in the canonical words, for every dialect by one row in codec_rows.h, and how two
 * of them are compared. A row says what its dialect can say; nothing else is generated, so what is
 * read back must be the same. */
#ifndef TEST_CODEC_RANDOM_H
#define TEST_CODEC_RANDOM_H

#include "codec_rows.h"

/* ---- sequences of says ----------------------------------------------------------------------- */

/* A sequence as text, in which two are compared: deltas of a block joined, signs of life and empty
 * blocks left out, what the dialect cannot tell apart made the same. */
struct heard {
    struct buf text;  /* of the sequence */
    struct buf block; /* of the open block, so far */
    struct buf sign;
    const struct dialect_row *row;
    bool open, started, stopped, ended; /* and the contract of says, checked on the way */
    int says;
};

static inline void heard_init(struct heard *h, const struct dialect_row *row)
{
    *h = (struct heard){.row = row};
    buf_init(&h->text, (size_t)64 << 20);
    buf_init(&h->block, (size_t)64 << 20);
    buf_init(&h->sign, 1 << 20);
}

static inline void heard_free(struct heard *h)
{
    buf_free(&h->text);
    buf_free(&h->block);
    buf_free(&h->sign);
}

static inline void heard_usage(struct heard *h, const struct usage *u)
{
    must(buf_printf(&h->text,
                    " usage %" PRId64 " %" PRId64 " read %" PRId64 " write %" PRId64 " %" PRId64
                    " thinking %" PRId64 " searches %" PRId64,
                    u->input, u->output, u->cache_read, u->cache_write_5m, u->cache_write_1h,
                    u->thinking, u->web_searches));
}

static inline void heard_close(struct heard *h, enum block_kind what)
{
    if (h->block.len > 0 || h->sign.len > 0 || what == BLOCK_CALL) {
        if (what == BLOCK_CALL && h->block.len == 0)
            must(buf_puts(&h->block, S("{}")));
        must(buf_printf(&h->text, "text "));
        must(json_escape(&h->text, buf_slice(&h->block)));
        must(buf_puts(&h->text, S(" sign ")));
        must(json_escape(&h->text, buf_slice(&h->sign)));
        must(buf_puts(&h->text, S("\n")));
    } else { /* nothing was said in it: as if it had not been */
        while (h->text.len > 0 && h->text.p[h->text.len - 1] != '\n')
            h->text.len--;
    }
    buf_clear(&h->block);
    buf_clear(&h->sign);
}

/* A say_fn. */
static inline enum err heard_say(void *arg, const struct say *s)
{
    struct heard *h = arg;
    h->says++;
    assert(!h->ended);
    assert(s->kind == SAY_LIFE || s->kind == SAY_ERROR || (s->kind == SAY_START) != h->started);
    assert(!h->stopped || s->kind == SAY_END || s->kind == SAY_ERROR || s->kind == SAY_LIFE);
    switch (s->kind) {
    case SAY_START:
        h->started = true;
        if (h->row->id_prefix != NULL) /* else: told through another dialect, that has its own */
            must(buf_printf(&h->text, "start %.*s\n", (int)s->id.n, s->id.p));
        break;
    case SAY_OPEN:
        assert(!h->open);
        h->open = true;
        must(buf_printf(&h->text, "block %d ", (int)s->what));
        if (s->what == BLOCK_CALL)
            must(buf_printf(&h->text, "id %.*s name %.*s ",
                            (int)(h->row->can & CAN_IDS ? s->id.n : 0), s->id.p, (int)s->name.n,
                            s->name.p));
        break;
    case SAY_DELTA:
        assert(h->open);
        must(buf_puts(&h->block, s->text));
        break;
    case SAY_SIGN:
        assert(h->open && s->what == BLOCK_THINKING);
        must(buf_puts(&h->sign, s->text));
        break;
    case SAY_CLOSE:
        assert(h->open);
        h->open = false;
        heard_close(h, s->what);
        break;
    case SAY_STOP:
        assert(!h->open && !h->stopped);
        h->stopped = true;
        must(buf_printf(&h->text, "stop %s [%.*s]", stop_name(s->stop), (int)s->text.n, s->text.p));
        heard_usage(h, &s->usage);
        must(buf_puts(&h->text, S("\n")));
        break;
    case SAY_END:
        assert(h->stopped);
        h->ended = true;
        must(buf_puts(&h->text, S("end\n")));
        break;
    case SAY_ERROR:
        h->ended = true;
        must(buf_printf(&h->text, "error %d %.*s\n", s->status, (int)s->text.n, s->text.p));
        break;
    case SAY_LOGPROBS:
    case SAY_LIFE:
        break;
    }
    return OK;
}

/* ---- random replies -------------------------------------------------------------------------- */

struct reply_random { /* tells one to `say` */
    struct rnd *r;
    const struct dialect_row *row;
    say_fn *say;
    void *arg;
    struct buf text, id;
};

static inline void reply_block(struct reply_random *m, enum block_kind what)
{
    struct say s = {.kind = SAY_OPEN, .what = what};
    unsigned can = m->row->can;
    buf_clear(&m->text);
    buf_clear(&m->id);
    if (what == BLOCK_CALL) {
        rnd_word(m->r, "call_", 8, &m->id);
        s.id = buf_slice(&m->id);
        s.name = rnd_below(m->r, 2) ? S("get_weather") : S("f-2");
        rnd_object(m->r, 2, &m->text);
    } else if (what == BLOCK_REDACTED) {
        rnd_word(m->r, "", 20, &m->text);
    } else {
        rnd_text(m->r, rnd_below(m->r, 8) + 1, &m->text);
    }
    must(m->say(m->arg, &s));
    s = (struct say){.kind = SAY_DELTA, .what = what};
    for (size_t at = 0, n = 0; at < m->text.len; at += n) {
        n = (size_t)(rnd_below(m->r, 6) + 1);
        if (n > m->text.len - at || what == BLOCK_REDACTED)
            n = m->text.len - at;
        while (at + n < m->text.len && ((uint8_t)m->text.p[at + n] & 0xc0U) == 0x80)
            n++; /* providers do not cut characters */
        s.text = (struct slice){m->text.p + at, n};
        must(m->say(m->arg, &s));
        if (rnd_below(m->r, 20) == 0)
            must(m->say(m->arg, &(struct say){.kind = SAY_LIFE}));
    }
    s = (struct say){.kind = SAY_SIGN, .what = what, .text = S("c2lnbmF0dXJl")};
    if (what == BLOCK_THINKING && (can & CAN_SIGN) && rnd_below(m->r, 2))
        must(m->say(m->arg, &s));
    must(m->say(m->arg, &(struct say){.kind = SAY_CLOSE, .what = what}));
}

static inline bool reply_blocks(struct reply_random *m)
{
    unsigned can = m->row->can;
    bool calls = false;
    int n = rnd_below(m->r, 5);
    if (can & CAN_ORDER) {
        for (int i = 0; i < n; i++) {
            int k = rnd_below(m->r, 4);
            enum block_kind what = k == 0 && (can & CAN_THINKING)   ? BLOCK_THINKING
                                   : k == 1 && (can & CAN_REDACTED) ? BLOCK_REDACTED
                                   : k == 2                         ? BLOCK_CALL
                                                                    : BLOCK_TEXT;
            calls = calls || what == BLOCK_CALL;
            reply_block(m, what);
        }
        return calls;
    }
    if ((can & CAN_THINKING) && rnd_below(m->r, 2))
        reply_block(m, BLOCK_THINKING);
    if (rnd_below(m->r, 3))
        reply_block(m, BLOCK_TEXT);
    for (int i = 0; i < n - 2; i++)
        reply_block(m, BLOCK_CALL);
    return n > 2;
}

static inline void reply_usage(struct reply_random *m, struct usage *u)
{
    unsigned can = m->row->can;
    *u = (struct usage){.known = true};
    u->input = rnd_below(m->r, 10000);
    u->output = 500 + rnd_below(m->r, 10000);
    u->cache_read = can & CAN_COUNT_READS ? rnd_below(m->r, 3) * 1024 : 0;
    u->cache_write_5m = can & CAN_COUNT_WRITES ? rnd_below(m->r, 3) * 100 : 0;
    u->cache_write_1h = can & CAN_COUNT_HOURS ? rnd_below(m->r, 3) * 7 : 0;
    u->thinking = can & CAN_COUNT_THINKING ? rnd_below(m->r, 500) : 0;
    u->web_searches = can & CAN_COUNT_SEARCHES ? rnd_below(m->r, 3) : 0;
}

/* Tells a whole reply; false: it ends with an error. */
static inline bool reply_random(struct rnd *r, const struct dialect_row *row, say_fn *say,
                                void *arg)
{
    struct reply_random m = {.r = r, .row = row, .say = say, .arg = arg};
    struct say s = {.kind = SAY_START, .model = slice_of(row->model)};
    buf_init(&m.text, 1 << 20);
    buf_init(&m.id, 4096);
    rnd_word(r, row->id_prefix != NULL ? row->id_prefix : "id-", 12, &m.id);
    s.id = buf_slice(&m.id);
    must(say(arg, &s));
    bool calls = reply_blocks(&m), fine = rnd_below(r, 8) > 0;
    s = (struct say){.kind = SAY_STOP};
    do
        s.stop = (enum stop_kind)rnd_below(r, 6);
    while (!(row->stops & STOP_BIT(s.stop)) || (calls && s.stop == STOP_END) ||
           (!calls && s.stop == STOP_CALLS));
    if (s.stop == STOP_SEQUENCE)
        s.text = S("\n\nHuman:");
    reply_usage(&m, &s.usage);
    if (fine) {
        must(say(arg, &s));
        must(say(arg, &(struct say){.kind = SAY_END}));
    } else {
        s = (struct say){.kind = SAY_ERROR, .status = 500, .error = REPLY_ERROR_SERVER};
        s.error_type = S("api_error");
        s.text = S("Internal server error");
        must(say(arg, &s));
    }
    buf_free(&m.text);
    buf_free(&m.id);
    return fine;
}

#endif
