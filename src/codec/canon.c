/* The canonical model: building an ask in its arena, and the words and repairs dialects share. */
#include "codec/dialect.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- asks ------------------------------------------------------------------------------------ */

void ask_init(struct ask *a, struct arena *arena)
{
    assert(arena != NULL);
    *a = (struct ask){.arena = arena,
                      .parallel = -1,
                      .max_tokens = -1,
                      .top_k = -1,
                      .n = -1,
                      .seed = -1,
                      .top_logprobs = -1,
                      .temperature = (double)NAN,
                      .top_p = (double)NAN,
                      .frequency_penalty = (double)NAN,
                      .presence_penalty = (double)NAN,
                      .thinking_budget = -1};
    assert(a->turns == NULL && a->tools == NULL && a->stops == 0);
}

static void *ask_new(struct ask *a, size_t size)
{
    void *p = arena_try(a->arena, size);
    if (p == NULL)
        a->full = true;
    else
        memset(p, 0, size);
    return p;
}

struct turn *ask_turn(struct ask *a, enum role role)
{
    struct turn *t = ask_new(a, sizeof *t);
    if (t == NULL)
        return NULL;
    t->role = role;
    if (a->last != NULL)
        a->last->next = t;
    else
        a->turns = t;
    a->last = t;
    return t;
}

static struct part *part_new(struct ask *a, enum part_kind kind)
{
    struct part *p = ask_new(a, sizeof *p);
    if (p != NULL)
        p->kind = kind;
    return p;
}

struct part *turn_part(struct ask *a, struct turn *t, enum part_kind kind)
{
    struct part *p = part_new(a, kind);
    if (p == NULL)
        return NULL;
    if (t->last != NULL)
        t->last->next = p;
    else
        t->parts = p;
    t->last = p;
    return p;
}

struct part *part_inner(struct ask *a, struct part *p, enum part_kind kind)
{
    struct part *made = part_new(a, kind);
    if (made == NULL)
        return NULL;
    if (p->inner == NULL) {
        p->inner = p->inner_last = made;
    } else {
        assert(p->inner_last != NULL && p->inner_last->next == NULL);
        p->inner_last->next = made;
        p->inner_last = made;
    }
    return made;
}

struct tool *ask_tool(struct ask *a)
{
    struct tool *t = ask_new(a, sizeof *t);
    if (t == NULL)
        return NULL;
    if (a->last_tool != NULL)
        a->last_tool->next = t;
    else
        a->tools = t;
    a->last_tool = t;
    return t;
}

static struct slice ask_keep(struct ask *a, struct slice s)
{
    struct slice kept = arena_dup(a->arena, s);
    if (kept.p != NULL)
        return kept;
    a->full = true;
    return S("");
}

struct slice ask_str(struct ask *a, const struct json_val *v)
{
    struct slice s;
    return json_str(v, &s) && s.n > 0 ? ask_keep(a, s) : S("");
}

struct slice ask_format(struct ask *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *p = n < 0 ? NULL : arena_try(a->arena, (size_t)n + 1);
    struct slice made = S("");
    if (p != NULL) {
        int written = vsnprintf(p, (size_t)n + 1, fmt, again);
        assert(written == n);
        made = (struct slice){p, (size_t)written};
    } else {
        a->full = true;
    }
    va_end(ap);
    va_end(again);
    return made;
}

/* ---- JSON out of a tree ---------------------------------------------------------------------- */

static enum err number_print(struct buf *out, const struct json_val *v)
{
    char digits[TEXT_F64_MAX];
    int64_t i = 0;
    double f = 0;
    if (json_i64(v, &i))
        return buf_printf(out, "%" PRId64, i);
    bool number = json_f64(v, &f);
    assert(number);
    (void)number;
    return buf_puts(out, (struct slice){digits, text_from_f64(f, digits)});
}

static enum err members_print(struct buf *out, const struct json_val *v)
{
    struct slice key;
    const struct json_val *value;
    enum err e = buf_puts(out, S("{"));
    for (size_t i = 0; e == OK && json_member(v, i, &key, &value); i++) {
        if (i > 0)
            e = buf_puts(out, S(","));
        if (e == OK)
            e = json_escape(out, key);
        if (e == OK)
            e = buf_puts(out, S(":"));
        if (e == OK)
            e = tree_print(out, value);
    }
    return e == OK ? buf_puts(out, S("}")) : e;
}

static enum err elements_print(struct buf *out, const struct json_val *v)
{
    enum err e = buf_puts(out, S("["));
    size_t n = json_len(v);
    for (size_t i = 0; e == OK && i < n; i++) {
        if (i > 0)
            e = buf_puts(out, S(","));
        if (e == OK)
            e = tree_print(out, json_at(v, i));
    }
    return e == OK ? buf_puts(out, S("]")) : e;
}

/* Not by a `jw`: that counts its depth, and this may stand as deep as the tree itself. The tree is
 * never deeper than JSON_DEPTH, so neither is this. */
enum err tree_print(struct buf *out, const struct json_val *v)
{
    struct slice s;
    bool b = false;
    switch (json_type(v)) {
    case JSON_BOOL:
        (void)json_bool(v, &b);
        return buf_puts(out, b ? S("true") : S("false"));
    case JSON_NUMBER:
        return number_print(out, v);
    case JSON_STRING:
        return json_str(v, &s) ? json_escape(out, s) : ERR_SYNTAX;
    case JSON_ARRAY:
        return elements_print(out, v);
    case JSON_OBJECT:
        return members_print(out, v);
    case JSON_NONE:
    case JSON_NULL:
        break;
    }
    return buf_puts(out, S("null"));
}

struct slice ask_json(struct ask *a, const struct json_val *v)
{
    struct buf b;
    struct slice text = S("");
    if (v == NULL)
        return text;
    buf_init(&b, a->arena->max);
    if (tree_print(&b, v) == OK)
        text = ask_keep(a, buf_slice(&b));
    else
        a->full = true;
    buf_free(&b);
    return text;
}

#define VALUES_MAX   ((size_t)2 << 20) /* of one request; a tree costs some 60 bytes for each */
#define VALUES_CHECK ((size_t)1 << 20) /* bytes: a shorter body cannot have too many */

/* Counts what may begin a value, in strings too: texts would have to be all commas to matter. */
static bool too_many_values(struct slice body)
{
    size_t n = 0;
    if (body.n <= VALUES_CHECK)
        return false;
    for (size_t i = 0; i < body.n; i++) {
        char c = body.p[i];
        n += (size_t)(c == ',' || c == '[' || c == '{');
    }
    return n > VALUES_MAX;
}

enum err ask_parse(struct slice body, struct json **doc, const char **why)
{
    *doc = NULL;
    if (too_many_values(body)) {
        *why = "The request body has too many values";
        return ERR_LIMIT;
    }
    enum err e = json_parse(body, doc);
    if (e == OK && json_type(json_root(*doc)) != JSON_OBJECT)
        e = ERR_SYNTAX;
    if (e == OK)
        return OK;
    json_free(*doc);
    *doc = NULL;
    *why = e == ERR_SYNTAX ? "The request body is not a valid JSON object"
                           : "The request body is too large";
    return e;
}

/* ---- words ----------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int64_t up_to;  /* a budget of at most this many tokens is called so */
    int64_t tokens; /* what stands for it where only a budget can be told */
} efforts[] = {
    [EFFORT_UNSET] = {"", -1, -1},
    [EFFORT_NONE] = {"none", 0, 0},
    [EFFORT_MINIMAL] = {"minimal", 512, 512},
    [EFFORT_LOW] = {"low", 1024, 1024},
    [EFFORT_MEDIUM] = {"medium", 8192, 8192},
    [EFFORT_HIGH] = {"high", 24576, 24576},
    [EFFORT_XHIGH] = {"xhigh", 32768, 32768},
    [EFFORT_MAX] = {"max", INT64_MAX, 65536},
};

enum effort effort_of_budget(int64_t tokens)
{
    int e = EFFORT_UNSET;
    while (tokens > efforts[e].up_to)
        e++;
    assert(e <= EFFORT_MAX);
    return (enum effort)e;
}

int64_t budget_of_effort(enum effort e)
{
    assert((int)e >= EFFORT_UNSET && e <= EFFORT_MAX);
    return efforts[e].tokens;
}

bool effort_find(struct slice word, enum effort *out)
{
    for (int e = EFFORT_NONE; e <= EFFORT_MAX; e++) {
        if (!slice_eq(word, slice_of(efforts[e].name)))
            continue;
        *out = (enum effort)e;
        return true;
    }
    return false;
}

const char *effort_name(enum effort e)
{
    assert((int)e >= EFFORT_UNSET && e <= EFFORT_MAX);
    return efforts[e].name;
}

const char *stop_name(enum stop_kind k)
{
    static const char *const names[] = {
        [STOP_END] = "end_turn",     [STOP_LENGTH] = "max_tokens",      [STOP_CALLS] = "tool_use",
        [STOP_PAUSE] = "pause_turn", [STOP_SEQUENCE] = "stop_sequence", [STOP_REFUSAL] = "refusal",
    };
    assert((int)k >= 0 && (size_t)k < sizeof names / sizeof names[0]);
    return names[k];
}

bool signature_is_anthropic(struct slice signature)
{
    return signature.n > 0 && slice_find(signature, '#') < 0; /* which is no letter of base64 */
}

enum err format_hint(const struct ask *a, struct buf *room)
{
    enum err e = buf_puts(room, S("Answer with one valid JSON object and nothing else: "
                                  "no prose, no code fence."));
    assert(a->format != FORMAT_UNSET);
    if (a->format == FORMAT_SCHEMA && e == OK)
        e = buf_puts(room, S(" It must match this JSON Schema: "));
    return a->format == FORMAT_SCHEMA && e == OK ? buf_puts(room, a->schema) : e;
}

enum err choice_hint(const struct ask *a, struct slice name, struct buf *room)
{
    if (a->choice == CHOICE_ANY)
        return buf_puts(room, S("Answer by calling one of the tools."));
    enum err e = buf_puts(room, S("Answer by calling the tool "));
    if (e == OK)
        e = buf_puts(room, name);
    return e == OK ? buf_puts(room, S(".")) : e;
}

bool text_blank(struct slice text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t')
            return false;
    }
    return true;
}

void call_id_clean(struct slice id, char out[CALL_ID_MAX])
{
    if (id.n >= CALL_ID_MAX) {
        (void)text_format(out, CALL_ID_MAX, "call_%016" PRIx64, hash_stable(0, id) | 1);
        return;
    }
    for (size_t i = 0; i < id.n; i++) {
        char c = id.p[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '-';
        out[i] = fine ? c : '_';
    }
    out[id.n] = '\0';
}

bool data_url(struct slice url, struct slice *media, struct slice *data)
{
    if (!slice_istarts(url, S("data:")))
        return false;
    ptrdiff_t comma = slice_find(url, ',');
    if (comma < 0)
        return false;
    struct slice head = slice_sub(url, sizeof "data:" - 1, (size_t)comma);
    ptrdiff_t semicolon = slice_find(head, ';'); /* charset and the like stand between */
    if (semicolon < 0 || !slice_ends(head, S(";base64")))
        return false;
    *media = slice_trim(slice_sub(head, 0, (size_t)semicolon));
    *data = slice_sub(url, (size_t)comma + 1, url.n);
    return true;
}

/* ---- arguments of calls ---------------------------------------------------------------------- */

/* OK: an object. ERR_SYNTAX: not one. */
static enum err object_check(struct slice text)
{
    struct json *doc = NULL;
    enum err e = json_parse(text, &doc);
    if (e == OK && json_type(json_root(doc)) != JSON_OBJECT)
        e = ERR_SYNTAX;
    json_free(doc);
    return e;
}

struct broken { /* what is open where the text ends */
    char closers[JSON_DEPTH + 1];
    size_t depth;
    bool in_string, escaped;
};

static bool broken_read(struct broken *b, struct slice text)
{
    *b = (struct broken){.depth = 0};
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (b->in_string) {
            bool plain = b->escaped || (c != '\\' && c != '"');
            b->escaped = !b->escaped && c == '\\';
            b->in_string = plain || c == '\\';
        } else if (c == '"') {
            b->in_string = true;
        } else if (c == '{' || c == '[') {
            if (b->depth == JSON_DEPTH)
                return false;
            b->closers[b->depth++] = c == '{' ? '}' : ']';
        } else if (c == '}' || c == ']') {
            if (b->depth == 0 || b->closers[--b->depth] != c)
                return false;
        }
    }
    return b->depth > 0;
}

/* Tries `text`, then `middle`, then what closes all that is open. */
static enum err broken_try(const struct broken *b, struct slice text, struct slice middle,
                           struct buf *trial)
{
    buf_clear(trial);
    enum err e = buf_puts(trial, text);
    if (e == OK)
        e = buf_puts(trial, middle);
    for (size_t i = b->depth; e == OK && i-- > 0;)
        e = buf_append(trial, &b->closers[i], 1);
    return e == OK ? object_check(buf_slice(trial)) : e;
}

/* Text that broke off, where the reply was cut at its length: completed if that is easily done,
 * else ERR_SYNTAX. */
static enum err broken_mend(struct slice text, struct buf *trial)
{
    static const char *const inside[] = {"\"", "\":null"};
    static const char *const outside[] = {"", "null", ":null"};
    struct broken b;
    enum err e = ERR_SYNTAX;
    if (!broken_read(&b, text))
        return e;
    if (b.escaped)
        text.n--;
    while (!b.in_string && text.n > 0 && text_blank(slice_sub(text, text.n - 1, text.n)))
        text.n--;
    if (!b.in_string && text.n > 0 && text.p[text.n - 1] == ',')
        text.n--;
    for (size_t i = 0; b.in_string && e == ERR_SYNTAX && i < 2; i++)
        e = broken_try(&b, text, slice_of(inside[i]), trial);
    for (size_t i = 0; !b.in_string && e == ERR_SYNTAX && i < 3; i++)
        e = broken_try(&b, text, slice_of(outside[i]), trial);
    return e;
}

/* Some models write their arguments over several lines, and a line may be all that an event has. In
 * JSON line ends are white space, never within a string. */
static enum err line_put(struct slice json, struct buf *out)
{
    size_t start = out->len;
    enum err e = buf_puts(out, json);
    for (size_t i = start; i < out->len; i++) {
        if (out->p[i] == '\n' || out->p[i] == '\r')
            out->p[i] = ' ';
    }
    return e;
}

enum err call_input(struct slice text, struct buf *out)
{
    struct buf trial;
    if (text_blank(text))
        return buf_puts(out, S("{}"));
    enum err e = object_check(text);
    if (e != ERR_SYNTAX)
        return e == OK ? line_put(text, out) : e;
    buf_init(&trial, text.n + 2 * JSON_DEPTH);
    e = broken_mend(text, &trial);
    if (e == OK)
        e = line_put(buf_slice(&trial), out);
    else if (e == ERR_SYNTAX)
        e = buf_puts(out, S("{}"));
    buf_free(&trial);
    return e;
}
