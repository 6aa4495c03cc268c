/* References: what a request names that the provider keeps for one account only, and what a reply
 * has made of that kind. Facts: wire/anthropic-messages.md, sections 3 (blocks, container, thread)
 * and 8 (files, skills). */
#include "codec/scan.h"

#include <string.h>

#define FILE_ID    "\"file_id\""
#define FILE_ID_N  (sizeof FILE_ID - 1)
#define FILE_RARE  (sizeof "\"file" - 1) /* of its letters, "_i" stand together nearly nowhere */
#define FILE_BEGIN "file_"

/* ---- requests -------------------------------------------------------------------------------- */

static void refs_add(struct request_refs *r, struct slice body, struct span v)
{
    char id[REQUEST_REF_MAX];
    if (r->n == REQUEST_REFS_MAX || !json_span_text(body, v, id, sizeof id) || id[0] == '\0')
        return;
    for (int i = 0; i < r->n; i++)
        if (strcmp(r->id[i], id) == 0)
            return;
    text_copy(r->id[r->n++], REQUEST_REF_MAX, slice_of(id));
}

/* Whether one of the words stands anywhere that files are named by. */
static bool mentions_files(enum dialect d, struct slice body)
{
    return slice_search(body, S("\"file_id")) >= 0 ||
           (d == DIALECT_RESPONSES && slice_search(body, S("\"code_interpreter\"")) >= 0);
}

struct level {        /* an object or array that is open */
    bool ignore;      /* the arguments of a tool are nobody's business */
    bool points;      /* its type says that its file_id is used */
    bool ids;         /* an array of ids of files */
    struct span file; /* its file_id, or its container; {0,0} = none */
};

static bool is_source(enum dialect d, struct slice type)
{
    if (d == DIALECT_ANTHROPIC)
        return slice_eq(type, S("file")) || slice_eq(type, S("container_upload"));
    return slice_eq(type, S("input_file")) || slice_eq(type, S("input_image")) ||
           slice_eq(type, S("code_interpreter"));
}

static void level_string(struct level *l, enum dialect d, struct slice body, struct slice key,
                         struct span v)
{
    if (slice_eq(key, S("file_id")) || (d == DIALECT_RESPONSES && slice_eq(key, S("container"))))
        l->file = v;
    else if (slice_eq(key, S("type")))
        l->points = is_source(d, slice_sub(body, v.from + 1, v.to - 1));
}

/* What is opened below `above`, which may be NULL, under `key`. */
static struct level level_open(const struct level *above, enum dialect d, struct slice key)
{
    struct level l = {.ignore = above != NULL && above->ignore};
    if (d == DIALECT_ANTHROPIC && above != NULL && slice_eq(key, S("input")))
        l.ignore = true;
    l.ids = d == DIALECT_RESPONSES && slice_eq(key, S("file_ids"));
    return l;
}

/* Sources and uploads, wherever they stand: in messages, in tool results, in tools, in the requests
 * of a batch. Not the files that earlier results of a tool speak of: that is history, and may be of
 * several accounts. One pass, however deep the nesting. */
static void refs_files(struct request_refs *out, enum dialect d, struct slice body)
{
    struct level open[SPAN_DEPTH];
    struct slice key = S("");
    int depth = 0;
    size_t at = 0, end = 0;
    while (at < body.n) {
        char c = body.p[at];
        assert(depth >= 0 && depth <= SPAN_DEPTH);
        if (c == '"') {
            if (span_string(body, at, &end) != OK)
                return;
            size_t next = span_skip_space(body, end);
            bool is_key = next < body.n && body.p[next] == ':';
            if (is_key)
                key = slice_sub(body, at + 1, end - 1);
            else if (depth > 0 && open[depth - 1].ids)
                refs_add(out, body, (struct span){at, end});
            else if (depth > 0)
                level_string(&open[depth - 1], d, body, key, (struct span){at, end});
            at = is_key ? next + 1 : end;
            continue;
        }
        if (c == '{' || c == '[') {
            if (depth == SPAN_DEPTH)
                return;
            open[depth] = level_open(depth > 0 ? &open[depth - 1] : NULL, d, key);
            depth++;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return;
            const struct level *l = &open[--depth];
            if (l->points && l->file.to > 0 && !l->ignore)
                refs_add(out, body, l->file);
        }
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t')
            key = S("");
        at++;
    }
}

/* Skills that somebody has uploaded; those of the provider are everywhere. */
static void refs_skills(struct request_refs *out, struct slice body, struct span list)
{
    struct span_list l;
    struct span v, id;
    struct slice skills = span_slice(body, list);
    char type[16];
    span_list_init(&l, skills);
    for (int i = 0; i < REQUEST_REFS_MAX && span_list_next(&l, &v) == OK; i++) {
        struct slice skill = span_slice(skills, v);
        if (span_member(skill, S("type"), &id) && json_span_text(skill, id, type, sizeof type) &&
            strcmp(type, "custom") == 0 && span_member(skill, S("skill_id"), &id))
            refs_add(out, skill, id);
    }
}

static void refs_container(struct request_refs *out, struct slice body, struct span at)
{
    struct slice value = span_slice(body, at);
    struct span v;
    if (slice_starts(value, S("\"")))
        refs_add(out, body, at);
    if (span_member(value, S("id"), &v))
        refs_add(out, value, v);
    if (span_member(value, S("skills"), &v))
        refs_skills(out, value, v);
}

/* A thread goes on from its last message, whose id is all that names it. */
static void refs_thread(struct request_refs *out, struct slice body, struct span at)
{
    struct slice value = span_slice(body, at);
    struct span v;
    out->thread = slice_starts(value, S("{"));
    if (span_member(value, S("previous_message_id"), &v))
        refs_add(out, value, v);
}

void codec_request_refs(enum dialect d, struct slice body, const struct request_facts *f,
                        struct request_refs *out)
{
    out->n = 0;
    out->thread = false;
    if (d == DIALECT_GEMINI && f->container.to > 0)
        refs_add(out, body, f->container); /* what it has cached */
    if (d != DIALECT_ANTHROPIC && d != DIALECT_RESPONSES)
        return;
    if (f->container.to > 0)
        refs_container(out, body, f->container);
    if (f->thread.to > 0 && d == DIALECT_ANTHROPIC)
        refs_thread(out, body, f->thread);
    else if (f->thread.to > 0)
        refs_add(out, body, f->thread);
    if (d == DIALECT_RESPONSES)
        out->thread = f->stored;
    if (!f->no_file_ids && mentions_files(d, body))
        refs_files(out, d, body);
}

/* ---- replies --------------------------------------------------------------------------------- */

void ref_watch_init(struct ref_watch *w)
{
    *w = (struct ref_watch){0};
}

void ref_watch_free(struct ref_watch *w)
{
    mem_free(w->id);
    w->id = NULL;
}

/* The longest end of `b` that the member may begin with. */
static size_t begins_at_end(struct slice b)
{
    size_t n = b.n < FILE_ID_N - 1 ? b.n : FILE_ID_N - 1;
    if (b.p[b.n - 1] == '\n' || b.p[b.n - 1] == '}') /* as nearly all bytes end that come */
        return 0;
    while (n > 0 && (b.p[b.n - n] != FILE_ID[0] || memcmp(b.p + b.n - n, FILE_ID, n) != 0))
        n--;
    return n;
}

/* On to the next byte that matters, while the member has not been seen whole. */
static void watch_name(struct ref_watch *w, struct slice *b)
{
    if (w->matched == 0) {
        ptrdiff_t at = slice_search_pair(*b, S(FILE_ID), FILE_RARE);
        w->matched = (uint8_t)(at < 0 ? begins_at_end(*b) : FILE_ID_N);
        *b = slice_sub(*b, at < 0 ? b->n : (size_t)at + FILE_ID_N, b->n);
    } else if (b->p[0] == FILE_ID[w->matched]) {
        w->matched++;
        *b = slice_sub(*b, 1, b->n);
    } else {
        w->matched = 0; /* its first byte comes only once more, as its last */
    }
    w->len = 0;
    w->value = false;
}

/* Behind the member: blanks, a colon, blanks, and a string. */
static bool watch_value(struct ref_watch *w, struct slice *b)
{
    char c = b->p[0];
    bool blank = c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == ':';
    *b = slice_sub(*b, 1, b->n);
    if (!w->value && blank)
        return false;
    if (!w->value && c == '"') {
        w->value = true;
        return false;
    }
    w->matched = 0;
    if (!w->value || (c != '"' && w->len + 1u >= REQUEST_REF_MAX))
        return false; /* null, or no id of ours */
    if (c != '"') {
        w->matched = FILE_ID_N;
        if (w->id == NULL)
            w->id = mem_new(REQUEST_REF_MAX);
        w->id[w->len++] = c;
        return false;
    }
    if (w->len == 0)
        return false;
    w->id[w->len] = '\0';
    return slice_starts(slice_of(w->id), S(FILE_BEGIN));
}

bool ref_watch_next(struct ref_watch *w, struct slice *bytes)
{
    while (bytes->n > 0) {
        assert(w->matched <= FILE_ID_N && w->len < REQUEST_REF_MAX);
        if (w->matched < FILE_ID_N)
            watch_name(w, bytes);
        else if (watch_value(w, bytes))
            return true;
    }
    return false;
}
