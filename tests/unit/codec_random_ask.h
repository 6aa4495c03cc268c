/* Random requests in the canonical words, and how two of them are compared: beside codec_random.h.
 */
#ifndef TEST_CODEC_RANDOM_ASK_H
#define TEST_CODEC_RANDOM_ASK_H

#include "codec_random.h"

#include <math.h>

static inline struct slice ask_keep_text(struct ask *a, const struct buf *b)
{
    struct slice s = arena_dup(a->arena, buf_slice(b));
    assert(s.p != NULL);
    return s;
}

static inline struct slice ask_rnd_text(struct rnd *r, struct ask *a)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    rnd_text(r, 1 + rnd_below(r, 6), &b);
    must(buf_puts(&b, S("."))); /* never blank, never ending in white space */
    struct slice s = ask_keep_text(a, &b);
    buf_free(&b);
    return s;
}

static inline struct slice ask_rnd_object(struct rnd *r, struct ask *a)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    rnd_object(r, 2, &b);
    struct slice s = ask_keep_text(a, &b);
    buf_free(&b);
    return s;
}

static inline void ask_rnd_image(struct rnd *r, unsigned can, struct part *p)
{
    p->kind = PART_IMAGE;
    if ((can & CAN_ASK_URL) && rnd_below(r, 2)) {
        p->url = S("https://example.org/a.png?b=1");
    } else {
        p->media = S("image/png");
        p->data = S("iVBORw0KGgo=");
    }
}

static inline void ask_rnd_user(struct rnd *r, unsigned can, struct ask *a, struct turn *t)
{
    int n = can & CAN_ASK_TEXTS ? 1 + rnd_below(r, 2) : 1;
    for (int i = 0; i < n; i++) {
        struct part *p = turn_part(a, t, PART_TEXT);
        p->text = ask_rnd_text(r, a);
        p->cache = (can & CAN_ASK_CACHE) && rnd_below(r, 8) == 0;
        if (rnd_below(r, 4) == 0)
            ask_rnd_image(r, can, turn_part(a, t, PART_IMAGE));
        if ((can & CAN_ASK_DOCUMENT) && rnd_below(r, 6) == 0) {
            p = turn_part(a, t, PART_DOCUMENT);
            p->media = S("application/pdf");
            p->data = S("JVBERi0=");
            p->name = S("paper.pdf");
        }
    }
}

/* The assistant speaks, calls, and the user's turn begins with what came out. */
static inline void ask_rnd_exchange(struct rnd *r, const struct dialect_row *row, struct ask *a,
                                    int round)
{
    unsigned can = row->can;
    struct turn *t = ask_turn(a, ROLE_ASSISTANT);
    int calls = rnd_below(r, 3);
    if ((can & CAN_ASK_THINKING) && rnd_below(r, 2)) {
        struct part *p = turn_part(a, t, PART_THINKING);
        p->text = ask_rnd_text(r, a);
        p->signature = row->signature != NULL ? slice_of(row->signature) : S("c2lnbmF0dXJl");
    }
    if ((can & CAN_ASK_REDACTED) && rnd_below(r, 6) == 0)
        turn_part(a, t, PART_REDACTED)->data = S("cmVkYWN0ZWQ=");
    if (calls == 0 || rnd_below(r, 2))
        turn_part(a, t, PART_TEXT)->text = ask_rnd_text(r, a);
    for (int i = 0; i < calls; i++) {
        struct part *p = turn_part(a, t, PART_CALL);
        p->id = ask_format(a, "call_%d_%d", round, i);
        p->name = rnd_below(r, 2) ? S("get_weather") : S("f-2");
        p->text = ask_rnd_object(r, a);
    }
    struct turn *user = ask_turn(a, ROLE_USER);
    for (struct part *call = t->parts; call != NULL; call = call->next) {
        if (call->kind != PART_CALL)
            continue;
        struct part *p = turn_part(a, user, PART_RESULT);
        p->id = call->id;
        p->name = call->name;
        p->error = (can & CAN_ASK_ERROR) && rnd_below(r, 5) == 0;
        part_inner(a, p, PART_TEXT)->text = ask_rnd_text(r, a);
        if ((can & CAN_ASK_IMAGES) && rnd_below(r, 4) == 0)
            ask_rnd_image(r, can, part_inner(a, p, PART_IMAGE));
    }
    if (calls == 0 || rnd_below(r, 2))
        ask_rnd_user(r, can, a, user);
}

static inline void ask_rnd_tools(struct rnd *r, unsigned can, struct ask *a)
{
    static const char *const names[] = {"get_weather", "f-2", "third_tool"};
    int n = rnd_below(r, 4);
    for (const struct turn *t = a->turns; t != NULL && n == 0; t = t->next) {
        for (const struct part *p = t->parts; p != NULL; p = p->next)
            n = p->kind == PART_CALL ? 1 : n; /* a talk with calls has tools */
    }
    for (int i = 0; i < n; i++) {
        struct tool *t = ask_tool(a);
        t->name = slice_of(names[i]);
        t->description = rnd_below(r, 3) ? ask_rnd_text(r, a) : S("");
        t->schema = S("{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"}},"
                      "\"required\":[\"city\"],\"additionalProperties\":false}");
        t->strict = (can & CAN_ASK_STRICT) && rnd_below(r, 2);
    }
    if (n == 0)
        return;
    if (can & CAN_ASK_CHOICE)
        a->choice = (enum tool_choice)rnd_below(r, 5);
    if (a->effort != EFFORT_UNSET && !(can & CAN_ASK_SAMPLING) && (can & CAN_ASK_CHOICE) &&
        a->choice != CHOICE_NONE)
        a->choice = CHOICE_AUTO;
    if (a->choice == CHOICE_ONE)
        a->choice_name = S("get_weather");
    if ((can & CAN_ASK_PARALLEL) && a->choice == CHOICE_AUTO && rnd_below(r, 3) == 0)
        a->parallel = 0;
}

static inline void ask_rnd_numbers(struct rnd *r, unsigned can, struct ask *a)
{
    bool sampling = a->effort == EFFORT_UNSET || (can & CAN_ASK_SAMPLING);
    a->max_tokens = 16 + rnd_below(r, 60000); /* Responses has no fewer */
    a->stream = rnd_below(r, 2) == 1;
    if (sampling && rnd_below(r, 2))
        a->temperature = rnd_below(r, 5) * 0.25;
    else if (sampling && rnd_below(r, 2))
        a->top_p = 0.5;
    if (sampling && (can & CAN_ASK_TOP_K) && rnd_below(r, 2))
        a->top_k = 1 + rnd_below(r, 100);
    if ((can & CAN_ASK_PENALTIES) && rnd_below(r, 2)) {
        a->seed = rnd_below(r, 1000);
        a->frequency_penalty = 0.5;
        a->presence_penalty = -0.5;
    }
    for (int n = can & CAN_ASK_STOP ? rnd_below(r, 3) : 0; n > 0; n--)
        a->stop[a->stops++] = n == 1 ? S("\n\nHuman:") : S("END");
    if ((can & CAN_ASK_USER) && rnd_below(r, 2))
        a->user = S("user-17");
}

static inline void ask_rnd_format(struct rnd *r, unsigned can, struct ask *a)
{
    int k = rnd_below(r, 4);
    if (k == 1 && (can & CAN_ASK_JSON))
        a->format = FORMAT_JSON;
    if (k != 2 || !(can & CAN_ASK_SCHEMA))
        return;
    a->format = FORMAT_SCHEMA;
    a->schema_name = S("output");
    a->schema_strict = true;
    a->schema = S("{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"number\"}},"
                  "\"required\":[\"a\"],\"additionalProperties\":false}");
}

static inline void ask_random(struct rnd *r, const struct dialect_row *row, struct ask *a,
                              struct arena *arena)
{
    unsigned can = row->can;
    ask_init(a, arena);
    a->model = slice_of(row->model);
    if (rnd_below(r, 2))
        a->effort = (enum effort)(EFFORT_LOW + rnd_below(r, 3));
    if ((can & CAN_ASK_MINIMAL) && rnd_below(r, 6) == 0)
        a->effort = EFFORT_MINIMAL;
    if (rnd_below(r, 3))
        turn_part(a, ask_turn(a, ROLE_SYSTEM), PART_TEXT)->text = ask_rnd_text(r, a);
    ask_rnd_user(r, can, a, ask_turn(a, ROLE_USER));
    for (int i = 0, n = rnd_below(r, 4); i < n; i++)
        ask_rnd_exchange(r, row, a, i);
    ask_rnd_tools(r, can, a);
    ask_rnd_numbers(r, can, a);
    ask_rnd_format(r, can, a);
    assert(!a->full);
}

/* ---- comparing ------------------------------------------------------------------------------- */

static inline void print_word(struct buf *out, const char *key, struct slice s)
{
    if (s.n == 0)
        return;
    must(buf_printf(out, " %s=", key));
    must(json_escape(out, s));
}

static inline void print_part(struct buf *out, const struct part *p, const struct dialect_row *row)
{
    must(buf_printf(out, "  part %d", (int)p->kind));
    print_word(out, "text", p->text);
    if (row->can & CAN_IDS)
        print_word(out, "id", p->id);
    if (p->kind != PART_RESULT || !(row->can & CAN_IDS))
        print_word(out, "name", p->name);
    print_word(out, "media", p->media);
    print_word(out, "data", p->data);
    print_word(out, "url", p->url);
    print_word(out, "signature", p->signature);
    must(buf_printf(out, "%s%s\n", p->error ? " error" : "", p->cache ? " cache" : ""));
    for (const struct part *in = p->inner; in != NULL; in = in->next)
        print_part(out, in, row);
}

static inline void print_number(struct buf *out, const char *key, double v)
{
    if (isfinite(v))
        must(buf_printf(out, "%s %g\n", key, v));
}

/* Neighbouring turns of a role are one. */
static inline void print_turns(struct buf *out, const struct ask *a, const struct dialect_row *row)
{
    int role = -1;
    for (const struct turn *t = a->turns; t != NULL; t = t->next) {
        if ((int)t->role != role)
            must(buf_printf(out, "turn %d\n", (int)t->role));
        role = (int)t->role;
        for (const struct part *p = t->parts; p != NULL; p = p->next)
            print_part(out, p, row);
    }
}

static inline void ask_print(const struct ask *a, const struct dialect_row *row, struct buf *out)
{
    if (row->can & CAN_ASK_MODEL)
        must(buf_printf(out, "model %.*s stream %d\n", (int)a->model.n, a->model.p, a->stream));
    must(buf_printf(out, "max %" PRId64 " effort %d choice %d parallel %d\n", a->max_tokens,
                    (int)a->effort, (int)a->choice, a->parallel));
    must(buf_printf(out, "format %d strict %d top_k %" PRId64 " seed %" PRId64 "\n", (int)a->format,
                    a->schema_strict, a->top_k, a->seed));
    print_word(out, "schema", a->schema);
    print_word(out, "choice", a->choice_name);
    print_word(out, "user", a->user);
    must(buf_puts(out, S("\n")));
    print_number(out, "temperature", a->temperature);
    print_number(out, "top_p", a->top_p);
    print_number(out, "frequency", a->frequency_penalty);
    print_number(out, "presence", a->presence_penalty);
    for (int i = 0; i < a->stops; i++)
        print_word(out, "stop", a->stop[i]);
    for (const struct tool *t = a->tools; t != NULL; t = t->next) {
        print_word(out, "\ntool", t->name);
        print_word(out, "description", t->description);
        print_word(out, "schema", t->schema);
        must(buf_printf(out, " strict %d", t->strict));
    }
    must(buf_puts(out, S("\n")));
    print_turns(out, a, row);
}

#endif
