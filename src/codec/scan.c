/* The request scan, as far as it is the same for all dialects. */
#include "codec/scan.h"

#include <string.h>

#define MEMBERS_MAX 1024 /* of the top level; requests have some twenty. Bounds the time. */
#define TALK_TEXT   4096 /* bytes of text at most that go into the hash, of each part */
#define TALK_PARTS  8

static const char why_object[] = "The request body is not a valid JSON object";
static const char why_many[] = "The request body has too many members";
static const char why_depth[] = "The request body is nested too deeply";

enum err scan_walk(struct slice body, span_each_fn *member, void *arg, struct request_facts *out,
                   const char **why)
{
    const char *wrong = NULL;
    bool file_ids = false;
    enum err e = span_each(body, MEMBERS_MAX, member, arg, &file_ids, &wrong);
    out->no_file_ids = !file_ids;
    if (e == OK)
        return OK;
    *why = e == ERR_CANCELED ? wrong
           : e == ERR_RANGE  ? why_many
           : e == ERR_LIMIT  ? why_depth
                             : why_object;
    assert(*why != NULL);
    return e == ERR_LIMIT ? ERR_LIMIT : ERR_SYNTAX;
}

static bool word_read(struct slice text, struct span v, char *out, size_t size)
{
    return span_text_plain(text, v, out, size) || json_span_text(text, v, out, size);
}

const char *scan_model(struct slice body, struct span v, struct request_facts *out)
{
    if (out->model_span.to > 0)
        return "model: given twice";
    if (slice_eq(span_slice(body, v), S("null")))
        return NULL; /* the provider has its own words for it */
    if (!word_read(body, v, out->model, sizeof out->model))
        return "model: Input should be a valid string";
    assert(v.to - v.from >= 2); /* its quotes */
    out->model_span = v;
    return NULL;
}

const char *scan_stream(struct slice value, struct request_facts *out)
{
    out->stream = slice_eq(value, S("true"));
    if (out->stream || slice_eq(value, S("false")) || slice_eq(value, S("null")))
        return NULL;
    return "stream: Input should be a valid boolean";
}

const char *scan_max_tokens(struct slice value, struct request_facts *out)
{
    int64_t n = small_count(value);
    out->max_tokens = -1;
    if (n >= 0 || text_i64(value, &n))
        out->max_tokens = n < 0 ? -1 : n;
    else if (value.p[0] != '-' && (value.p[0] < '0' || value.p[0] > '9') &&
             !slice_eq(value, S("null")))
        return "max_tokens: Input should be a valid integer";
    return NULL;
}

bool scan_member_at(struct slice body, size_t from, struct slice key, size_t *at)
{
    struct json_scan s;
    struct slice k;
    struct span v;
    json_scan_init(&s, slice_sub(body, from, body.n));
    while (json_scan_key(&s, &k, at) == OK) {
        if (span_key_is(k, key)) {
            *at += from;
            return true;
        }
        if (json_scan_cross(&s, &v) != OK)
            break;
    }
    return false;
}

bool scan_member_text(struct slice body, size_t from, struct slice key, char *out, size_t size)
{
    struct span v = {0, 0};
    if (!scan_member_at(body, from, key, &v.from) || span_value(body, v.from, 3, &v.to) != OK)
        return false;
    return json_span_text(body, v, out, size);
}

bool scan_turn(struct slice body, size_t from, char role[SCAN_ROLE], size_t *content)
{
    struct json_scan s;
    struct slice key;
    struct span v;
    bool told = false;
    *content = 0;
    json_scan_init(&s, slice_sub(body, from, body.n));
    while (json_scan_key(&s, &key, &v.from) == OK) {
        bool is_role = !told && span_key_is(key, S("role"));
        if (*content == 0 && span_key_is(key, S("content")))
            *content = from + v.from;
        if ((told && *content > 0) || json_scan_cross(&s, &v) != OK)
            break;
        if (is_role && !word_read(s.text, v, role, SCAN_ROLE))
            return false;
        told = told || is_role;
        if (told && *content > 0)
            break;
    }
    return told;
}

void scan_talk_init(struct scan_talk *t, struct slice body)
{
    *t = (struct scan_talk){.body = body};
}

static void talk_text(struct scan_talk *t, size_t from)
{
    size_t end = 0, near = t->body.n - from;
    if (near > t->room + 1)
        near = t->room + 1;
    struct slice front = slice_sub(t->body, 0, from + near);
    /* Cut short, the string does not end; then its front is all of what is in sight. */
    size_t stop = span_plain(front, from + 1);
    if (stop < front.n && front.p[stop] != '"') /* an escape */
        stop = span_string(front, from, &end) == OK ? end - 1 : front.n;
    struct slice text = slice_sub(front, from + 1, stop);
    /* Claude Code's billing line changes with each of its calls. */
    if (text.n == 0 || slice_starts(text, S("x-anthropic-billing-header:")))
        return;
    t->any = true;
    t->hash = hash_stable(t->hash, text);
    assert(text.n <= t->room);
    t->room -= text.n;
}

void scan_talk_add(struct scan_talk *t, size_t from)
{
    struct span_list parts;
    struct span v;
    size_t at = 0, text = 0;
    assert(from < t->body.n);
    t->room = TALK_TEXT;
    if (t->body.p[from] == '"') {
        talk_text(t, from);
        return;
    }
    span_list_init(&parts, slice_sub(t->body, from, t->body.n));
    for (int i = 0; i < TALK_PARTS && t->room > 0 && span_list_find(&parts, &at) == OK; i++) {
        if (scan_member_at(t->body, from + at, S("text"), &text) && t->body.p[text] == '"')
            talk_text(t, text);
        if (t->room == 0 || span_list_cross(&parts, &v) != OK)
            break;
    }
}

uint64_t scan_talk_hash(const struct scan_talk *t)
{
    return t->any ? t->hash | 1 : 0;
}
