/* Model lists: the union of what several accounts offer, newest first, in Anthropic's paging
 * (wire/anthropic-messages.md section 8). Each entry is copied as its provider wrote it. */
#include "codec/dialect.h"
#include "codec/span.h"

#include <stdlib.h>
#include <string.h>

#define MODELS_MAX 4096 /* in all; a provider has tens */
#define MODEL_ID   128

struct model {
    char id[MODEL_ID];
    int64_t created_at;
    int order; /* of arrival: the first of equals stays first */
    struct slice raw;
};

struct model_list {
    struct model *m;
    int n, cap;
    struct map known; /* ids; the values are never looked at */
};

static enum err list_add(struct model_list *l, const struct model *m)
{
    if (l->n == MODELS_MAX)
        return ERR_LIMIT;
    if (l->n == l->cap) {
        int cap = l->cap == 0 ? 64 : l->cap * 2;
        struct model *grown = mem_try_grow(l->m, (size_t)cap * sizeof *grown);
        if (grown == NULL)
            return ERR_NOMEM;
        l->m = grown;
        l->cap = cap;
    }
    l->m[l->n] = *m;
    assert(l->n < l->cap && m->id[0] != '\0');
    l->m[l->n].order = l->n;
    l->n++;
    (void)map_put(&l->known, slice_of(m->id), l);
    return OK;
}

/* Entries without an id are no models. */
static bool model_read(struct slice raw, struct model *out)
{
    struct span v;
    char created[40];
    *out = (struct model){.raw = raw};
    if (!span_member(raw, S("id"), &v) || !json_span_text(raw, v, out->id, sizeof out->id) ||
        out->id[0] == '\0')
        return false;
    if (span_member(raw, S("created_at"), &v) && json_span_text(raw, v, created, sizeof created) &&
        !text_rfc3339(slice_of(created), &out->created_at))
        out->created_at = 0;
    return true;
}

static bool is_json(struct slice body)
{
    struct json *doc = NULL;
    bool yes = json_parse(body, &doc) == OK;
    json_free(doc);
    return yes;
}

static enum err list_add_body(struct model_list *l, struct slice body)
{
    struct span data, entry;
    struct span_list entries;
    struct model m;
    enum err e = OK;
    /* The scanner does not look at everything, and what it passes is copied to a client: so the
     * whole must be JSON first. */
    if (!is_json(body) || !span_member(body, S("data"), &data))
        return OK;
    span_list_init(&entries, span_slice(body, data));
    while (e == OK && span_list_next(&entries, &entry) == OK) {
        if (model_read(span_slice(entries.text, entry), &m) &&
            map_get(&l->known, slice_of(m.id)) == NULL)
            e = list_add(l, &m);
    }
    return e == ERR_LIMIT ? OK : e; /* the first thousands will do */
}

static int model_compare(const void *a, const void *b)
{
    const struct model *x = a, *y = b;
    if (x->created_at != y->created_at)
        return x->created_at > y->created_at ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static int list_find(const struct model_list *l, struct slice id)
{
    for (int i = 0; i < l->n; i++) {
        if (slice_eq(slice_of(l->m[i].id), id))
            return i;
    }
    return -1;
}

struct page {
    int from, to;
    bool more;
};

/* Which entries the page shows. An id that is not (or no longer) there gives an empty page and not
 * the first one: a client that walks the pages must come to an end. */
static struct page page_of(const struct model_list *l, const struct model_page *want)
{
    int64_t limit = want->limit == 0 ? 20 : want->limit;
    limit = limit < 1 ? 1 : limit > 1000 ? 1000 : limit;
    struct page p = {0, l->n, false};
    if (want->before_id.n > 0) {
        int at = list_find(l, want->before_id);
        p.to = at < 0 ? 0 : at;
        p.from = p.to > limit ? p.to - (int)limit : 0;
        p.more = p.from > 0;
    } else {
        if (want->after_id.n > 0) {
            int at = list_find(l, want->after_id);
            p.from = at < 0 ? l->n : at + 1;
        }
        if (l->n - p.from > limit)
            p.to = p.from + (int)limit;
        p.more = p.to < l->n;
    }
    assert(p.from >= 0 && p.from <= p.to && p.to <= l->n);
    return p;
}

static void put_id(struct jw *w, const char *key, const char *id)
{
    jw_key(w, key);
    jw_cstr(w, id);
}

static enum err page_print(const struct model_list *l, struct page p, struct buf *out)
{
    struct jw w;
    jw_init(&w, out);
    jw_obj(&w);
    jw_key(&w, "data");
    jw_arr(&w);
    for (int i = p.from; i < p.to; i++)
        jw_raw(&w, l->m[i].raw);
    jw_end_arr(&w);
    put_id(&w, "first_id", p.from < p.to ? l->m[p.from].id : NULL);
    put_id(&w, "last_id", p.from < p.to ? l->m[p.to - 1].id : NULL);
    jw_kbool(&w, "has_more", p.more);
    jw_end_obj(&w);
    return w.err;
}

enum err codec_models_merge(const struct slice *bodies, int n, const struct model_page *page,
                            struct buf *out)
{
    struct model_list l = {0};
    enum err e = OK;
    assert(n >= 0);
    map_init(&l.known);
    for (int i = 0; i < n; i++) {
        e = list_add_body(&l, bodies[i]);
        if (e != OK)
            goto out;
    }
    if (l.n > 1)
        qsort(l.m, (size_t)l.n, sizeof *l.m, model_compare);
    e = page_print(&l, page_of(&l, page), out);
out:
    map_free(&l.known);
    mem_free(l.m);
    return e;
}
