/* Splicing: single members of a body are changed, and the rest is never printed anew. A prompt
 * cache knows a prompt by its bytes, and what a client has written is not ours to improve. */
#include "gateway/splice.h"

#include <stdlib.h>
#include <string.h>

#define KEY_MAX 64 /* longer ones are none of those that are looked for */

void splice_init(struct splice *s, struct slice text)
{
    s->text = text;
    s->n = s->n_gone = s->n_added = 0; /* what they count is not looked at before it is there */
    s->full = false;
}

/* ---- members --------------------------------------------------------------------------------- */

/* The key's own span, quotes included. */
static struct span key_span(struct slice text, struct slice key)
{
    size_t from = (size_t)(key.p - text.p);
    assert(from > 0 && from + key.n < text.n && text.p[from - 1] == '"');
    return (struct span){from - 1, from + key.n + 1};
}

static bool key_is(struct slice text, struct slice key, struct slice name)
{
    char plain[KEY_MAX];
    if (slice_find(key, '\\') < 0)
        return slice_eq(key, name);
    return json_span_text(text, key_span(text, key), plain, sizeof plain) &&
           slice_eq(slice_of(plain), name);
}

bool splice_find(struct slice text, struct slice key, struct span *value)
{
    struct json_scan scan;
    struct slice k;
    struct span v;
    bool found = false;
    json_scan_init(&scan, text);
    while (json_scan_next(&scan, &k, &v) == OK) {
        if (key_is(text, k, key)) { /* of equal ones the last counts */
            *value = v;
            found = true;
        }
    }
    return found;
}

/* ---- edits ----------------------------------------------------------------------------------- */

void splice_put(struct splice *s, struct span cut, struct slice put)
{
    assert(cut.from <= cut.to && cut.to <= s->text.n);
    s->full = s->full || s->n == SPLICE_MAX;
    if (!s->full)
        s->edit[s->n++] = (struct splice_edit){cut, put};
}

static bool is_gone(const struct splice *s, size_t from)
{
    for (int i = 0; i < s->n_gone; i++)
        if (s->gone[i].at.from == from)
            return true;
    return false;
}

static void member_drop(struct splice *s, struct slice key, size_t end)
{
    size_t from = key_span(s->text, key).from;
    if (is_gone(s, from))
        return;
    s->full = s->full || s->n_gone == SPLICE_MAX;
    if (!s->full)
        s->gone[s->n_gone++].at = (struct span){from, end};
}

void splice_drop(struct splice *s, struct slice key)
{
    struct json_scan scan;
    struct slice k;
    struct span v;
    json_scan_init(&scan, s->text);
    while (json_scan_next(&scan, &k, &v) == OK)
        if (key_is(s->text, k, key))
            member_drop(s, k, v.to);
}

void splice_keep(struct splice *s, const char *const *keys)
{
    struct json_scan scan;
    struct slice k;
    struct span v;
    json_scan_init(&scan, s->text);
    while (json_scan_next(&scan, &k, &v) == OK) {
        bool known = false;
        for (const char *const *key = keys; *key != NULL && !known; key++)
            known = key_is(s->text, k, slice_of(*key));
        if (!known)
            member_drop(s, k, v.to);
    }
}

void splice_add(struct splice *s, struct slice key, struct slice value)
{
    assert(key.n > 0 && value.n > 0);
    s->full = s->full || s->n_added == SPLICE_MAX;
    if (!s->full)
        s->added[s->n_added++] = (struct splice_new){key, value};
}

void splice_set(struct splice *s, struct slice key, struct slice value)
{
    struct span at;
    if (splice_find(s->text, key, &at))
        splice_put(s, at, value);
    else
        splice_add(s, key, value);
}

bool splice_is_empty(const struct splice *s)
{
    return s->n + s->n_gone + s->n_added == 0 && !s->full;
}

/* ---- writing --------------------------------------------------------------------------------- */

static int edit_compare(const void *a, const void *b)
{
    const struct splice_edit *x = a, *y = b;
    if (x->cut.from != y->cut.from)
        return x->cut.from < y->cut.from ? -1 : 1;
    return x->cut.to < y->cut.to ? -1 : x->cut.to > y->cut.to;
}

struct walk {           /* over the members, in their order */
    size_t open, close; /* behind the '{'; behind the last member's value */
    size_t end;         /* of the last member that stays; 0 = none does */
    struct splice_edit edit[2 * SPLICE_MAX + 1]; /* what was asked for, and what goes */
    int n;
};

static void walk_cut(struct walk *w, size_t from, size_t to)
{
    assert(from <= to && w->n < (int)(sizeof w->edit / sizeof w->edit[0]));
    if (from < to)
        w->edit[w->n++] = (struct splice_edit){{from, to}, S("")};
}

/* A member that goes takes along what parts it from the next; behind the last one that stays all
 * goes at once. */
static enum err walk_members(const struct splice *s, struct walk *w)
{
    struct json_scan scan;
    struct slice k;
    struct span v;
    enum err e;
    size_t gone[SPLICE_MAX] = {0}, next[SPLICE_MAX] = {0};
    int n = 0, open = -1;
    json_scan_init(&scan, s->text);
    while ((e = json_scan_next(&scan, &k, &v)) == OK) {
        size_t from = key_span(s->text, k).from;
        w->close = v.to;
        if (open >= 0)
            next[open] = from;
        open = -1;
        if (is_gone(s, from)) {
            open = n++;
            gone[open] = from;
        } else {
            w->end = v.to;
        }
    }
    for (int i = 0; i < n && gone[i] < w->end; i++)
        walk_cut(w, gone[i], next[i]);
    walk_cut(w, w->end > 0 ? w->end : w->open, w->close);
    return e == ERR_NOTFOUND ? OK : e;
}

static enum err walk_init(const struct splice *s, struct walk *w)
{
    *w = (struct walk){.open = 0};
    while (w->open < s->text.n && s->text.p[w->open] != '{')
        w->open++;
    if (w->open == s->text.n)
        return ERR_SYNTAX;
    w->close = ++w->open;
    for (int i = 0; i < s->n; i++)
        w->edit[w->n++] = s->edit[i];
    enum err e = walk_members(s, w);
    qsort(w->edit, (size_t)w->n, sizeof w->edit[0], edit_compare);
    return e;
}

static enum err put_added(const struct splice *s, bool more, struct buf *out)
{
    enum err e = OK;
    for (int i = 0; i < s->n_added && e == OK; i++) {
        const struct splice_new *m = &s->added[i];
        e = buf_puts(out, S("\""));
        if (e == OK)
            e = buf_puts(out, m->key);
        if (e == OK)
            e = buf_puts(out, S("\":"));
        if (e == OK)
            e = buf_puts(out, m->value);
        if (e == OK && (more || i + 1 < s->n_added))
            e = buf_puts(out, S(","));
    }
    return e;
}

/* Behind the '{'. An edit within something that goes, goes with it. */
static enum err put_rest(const struct splice *s, const struct walk *w, struct buf *out)
{
    enum err e = OK;
    size_t at = w->open;
    for (int i = 0; i < w->n && e == OK; i++) {
        const struct splice_edit *d = &w->edit[i];
        if (d->cut.from < at)
            continue;
        e = buf_append(out, s->text.p + at, d->cut.from - at);
        if (e == OK)
            e = buf_puts(out, d->put);
        at = d->cut.to;
    }
    return e == OK ? buf_append(out, s->text.p + at, s->text.n - at) : e;
}

enum err splice_write(const struct splice *s, struct buf *out)
{
    struct walk w;
    size_t start = out->len;
    enum err e = s->full ? ERR_LIMIT : walk_init(s, &w);
    if (e == OK)
        e = buf_reserve(out, s->text.n);
    if (e == OK)
        e = buf_append(out, s->text.p, w.open);
    if (e == OK)
        e = put_added(s, w.end > 0, out);
    if (e == OK)
        e = put_rest(s, &w, out);
    if (e != OK)
        out->len = start;
    return e;
}
