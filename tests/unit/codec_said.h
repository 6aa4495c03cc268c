/* A reply read by a dialect's reader, and what it said as text: one line a say. For tests of the
 * quirks of servers. */
#ifndef TEST_CODEC_SAID_H
#define TEST_CODEC_SAID_H

#include "codec/dialect.h"

#include <string.h>

struct said {
    char text[8192];
    size_t n;
};

static inline void said_add(struct said *t, const char *key, struct slice s)
{
    if (s.n > 0)
        t->n += text_format(t->text + t->n, sizeof t->text - t->n, " %s%.*s", key, (int)s.n, s.p);
}

static inline enum err said_say(void *arg, const struct say *s)
{
    static const char *const kinds[] = {"start", "open", "delta", "sign",  "close",
                                        "probs", "stop", "end",   "error", "life"};
    static const char *const blocks[] = {"text", "thinking", "redacted",
                                         "call", "refusal",  "image"};
    static const char *const stops[] = {"end", "length", "calls", "sequence", "refusal", "pause"};
    struct said *t = arg;
    bool block = s->kind == SAY_OPEN || s->kind == SAY_DELTA || s->kind == SAY_CLOSE;
    said_add(t, "", slice_of(kinds[s->kind]));
    if (block)
        said_add(t, "", slice_of(blocks[s->what]));
    said_add(t, "id=", s->id);
    said_add(t, "name=", s->name);
    said_add(t, "model=", s->model);
    if (s->kind == SAY_STOP) {
        said_add(t, "", slice_of(stops[s->stop]));
        if (s->usage.known)
            t->n += text_format(t->text + t->n, sizeof t->text - t->n, " %" PRId64 "+%" PRId64,
                                s->usage.input, s->usage.output);
    }
    if (s->kind == SAY_ERROR)
        t->n += text_format(t->text + t->n, sizeof t->text - t->n, " %d", s->status);
    said_add(t, "", s->error_type);
    said_add(t, ":", s->text);
    t->n += text_format(t->text + t->n, sizeof t->text - t->n, ";");
    return OK;
}

/* `events`: data of events, each a line of its own; ' stands for ". With `whole` one body. Returns
 * what the last call of the reader said of itself. */
static inline enum err said_read(struct said *t, enum dialect d, const char *events, bool whole)
{
    const struct dialect_canon *canon = dialect_ops_of(d)->canon;
    struct say_context c = {.model = S("m"), .id = S("x"), .thinking = true};
    struct say_reader *r = canon->reader_new(&c);
    char *copy = mem_strdup(events);
    struct slice rest, line;
    enum err e = OK;
    *t = (struct said){.n = 0};
    for (char *p = copy; *p != '\0'; p++)
        *p = *p == '\'' ? '"' : *p;
    rest = slice_of(copy);
    while (e == OK && slice_cut(&rest, '\n', &line))
        e = canon->read(r, S(""), line, whole, said_say, t);
    if (e == OK)
        e = canon->read_end(r, said_say, t);
    canon->reader_free(r);
    mem_free(copy);
    return e;
}

#endif
