/* Requests between dialects: what leads from one dialect's reader to the other's writer, and the
 * few facts of a request that its reply's translation needs. */
#include "codec/dialect.h"
#include "codec/span.h"

#include <string.h>

/* A body of nothing but the shortest parts becomes some 15 times as large. */
#define ARENA_TIMES 24
#define ARENA_MORE  ((size_t)1 << 20)

enum err codec_ask_translate(enum dialect from, enum dialect to, struct slice body,
                             const struct ask_target *t, struct names *names, struct buf *out,
                             const char **why)
{
    const struct dialect_canon *reader = dialect_ops_of(from)->canon;
    const struct dialect_canon *writer = dialect_ops_of(to)->canon;
    size_t start = out->len;
    struct arena arena;
    struct ask a;
    *why = "";
    if (reader == NULL || writer == NULL) {
        *why = "There is no translation between these two APIs";
        return ERR_UNSUPPORTED;
    }
    if (body.n > PTRDIFF_MAX / ARENA_TIMES - ARENA_MORE) {
        *why = "The request body is too large";
        return ERR_LIMIT;
    }
    arena_init(&arena, ARENA_TIMES * body.n + ARENA_MORE);
    ask_init(&a, &arena);
    enum err e = reader->ask_read(body, &a, why);
    if (e == OK && a.full)
        e = ERR_LIMIT;
    a.stream = a.stream || t->stream;
    if (e == OK)
        e = writer->ask_write(&a, t, names, out, why);
    if (e == OK && a.full) /* writers may use the arena too */
        e = ERR_LIMIT;
    if (e != OK) {
        out->len = start;
        if (**why == '\0')
            *why = "The request is too large to be translated";
    }
    arena_free(&arena);
    return e;
}

/* The value at a path of members, raw; "" when there is none. */
static struct slice value_at(struct slice body, const char *const *path)
{
    struct span v;
    for (; *path != NULL; path++) {
        if (!span_member(body, slice_of(*path), &v))
            return S("");
        body = span_slice(body, v);
    }
    return body;
}

#define AT(...) ((const char *const[]){__VA_ARGS__, NULL})

void codec_ask_facts(enum dialect d, struct slice body, struct ask_facts *out)
{
    struct slice value = value_at(body, AT("stream"));
    *out = (struct ask_facts){.stream = slice_eq(value, S("true"))};
    switch (d) {
    case DIALECT_ANTHROPIC:
        value = value_at(body, AT("thinking", "type"));
        out->thinking = slice_eq(value, S("\"enabled\"")) || slice_eq(value, S("\"adaptive\""));
        break;
    case DIALECT_OPENAI:
        value = value_at(body, AT("stream_options", "include_usage"));
        out->include_usage = slice_eq(value, S("true"));
        out->thinking = true; /* its clients do not send it back, so it can do no harm */
        break;
    case DIALECT_RESPONSES:
        out->thinking = true;
        break;
    case DIALECT_GEMINI: /* whether it streams is told by the path */
        value = value_at(body, AT("generationConfig", "thinkingConfig", "includeThoughts"));
        out->thinking = slice_eq(value, S("true"));
        break;
    case DIALECT_OLLAMA:
        out->stream = !slice_eq(value, S("false"));
        value = value_at(body, AT("think"));
        out->thinking = slice_eq(value, S("true")) || slice_starts(value, S("\""));
        break;
    case DIALECT_COUNT:
        assert(false);
    }
}
