/* Model lists: the union of what several accounts offer, newest first, in Anthropic's shape and
 * paging (wire/anthropic-messages.md section 8) or in OpenAI's (wire/openai.md section 6). An entry
 * that is in the shape asked for is copied as its provider wrote it. Lists of Gemini's and Ollama's
 * are read too: {"models":[{"name":"models/..."}]},
 * {"models":[{"name":"...","modified_at":"..."}]}. */
#include "codec/dialect.h"
#include "codec/span.h"

#include <stdlib.h>
#include <string.h>

#define MODELS_MAX 4096 /* in all; a provider has tens */
#define MODEL_ID   128

struct model {
    char id[MODEL_ID];
    int64_t created_at;
    int order;      /* of arrival: the first of equals stays first */
    bool anthropic; /* which shape it came in */
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

/* The name is the id: Gemini's with "models/" before it, of such as can talk; Ollama's as it is. */
static bool named_read(struct slice raw, struct model *out)
{
    static const struct slice lead = {"models/", 7};
    struct span v;
    char text[MODEL_ID + 8], time[48];
    if (!span_member(raw, S("name"), &v) || !json_span_text(raw, v, text, sizeof text))
        return false;
    struct slice id = slice_of(text);
    if (slice_starts(id, lead))
        id = slice_sub(id, lead.n, id.n);
    text_copy(out->id, sizeof out->id, id);
    if (span_member(raw, S("modified_at"), &v) && json_span_text(raw, v, time, sizeof time) &&
        !text_rfc3339(slice_of(time), &out->created_at))
        out->created_at = 0;
    bool talks = !span_member(raw, S("supportedGenerationMethods"), &v) ||
                 slice_search(span_slice(raw, v), S("\"generateContent\"")) >= 0;
    return id.n > 0 && talks;
}

/* Entries without an id are no models. */
static bool model_read(struct slice raw, struct model *out)
{
    struct span v;
    char created[40];
    *out = (struct model){.raw = raw};
    if (!span_member(raw, S("id"), &v))
        return named_read(raw, out);
    if (!json_span_text(raw, v, out->id, sizeof out->id) || out->id[0] == '\0')
        return false;
    if (span_member(raw, S("created_at"), &v) && json_span_text(raw, v, created, sizeof created) &&
        !text_rfc3339(slice_of(created), &out->created_at))
        out->created_at = 0;
    bool openai = span_member(raw, S("object"), &v);
    if (span_member(raw, S("created"), &v)) {
        int64_t s = 0;
        openai = true;
        if (text_i64(span_slice(raw, v), &s) && s > 0 && s < INT64_MAX / 1000)
            out->created_at = s * 1000;
    }
    out->anthropic = !openai;
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
    if (!is_json(body) ||
        (!span_member(body, S("data"), &data) && !span_member(body, S("models"), &data)))
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

/* The text of a member; "" when there is none. */
static void entry_text(struct slice raw, struct slice key, char *out, size_t size)
{
    struct span v;
    out[0] = '\0';
    if (span_member(raw, key, &v))
        (void)json_span_text(raw, v, out, size);
}

static void entry_anthropic(struct jw *w, const struct model *m)
{
    char name[MODEL_ID];
    if (m->anthropic) {
        jw_raw(w, m->raw);
        return;
    }
    entry_text(m->raw, S("displayName"), name, sizeof name);
    if (name[0] == '\0')
        entry_text(m->raw, S("name"), name, sizeof name);
    jw_obj(w);
    jw_kcstr(w, "type", "model");
    jw_kcstr(w, "id", m->id);
    jw_kcstr(w, "display_name", name[0] != '\0' ? name : m->id);
    if (m->created_at != 0)
        jw_ktime(w, "created_at", m->created_at);
    else
        jw_kcstr(w, "created_at", "1970-01-01T00:00:00Z"); /* as the API has it when unknown */
    jw_end_obj(w);
}

static void entry_openai(struct jw *w, const struct model *m)
{
    char owner[MODEL_ID];
    struct slice vendor = slice_of(m->id), part;
    struct span v;
    if (!m->anthropic && span_member(m->raw, S("object"), &v)) {
        jw_raw(w, m->raw);
        return;
    }
    entry_text(m->raw, S("owned_by"), owner, sizeof owner);
    if (owner[0] == '\0' && m->anthropic)
        text_copy(owner, sizeof owner, S("anthropic"));
    else if (owner[0] == '\0' && slice_cut(&vendor, '/', &part)) /* vendor/model, or the model */
        text_copy(owner, sizeof owner, vendor.n > 0 ? part : S("system"));
    jw_obj(w);
    jw_kcstr(w, "id", m->id);
    jw_kcstr(w, "object", "model");
    jw_ki64(w, "created", m->created_at / 1000);
    jw_kcstr(w, "owned_by", owner);
    jw_end_obj(w);
}

static enum err page_print(const struct model_list *l, struct page p, struct buf *out)
{
    struct jw w;
    jw_init(&w, out);
    jw_obj(&w);
    jw_key(&w, "data");
    jw_arr(&w);
    for (int i = p.from; i < p.to; i++)
        entry_anthropic(&w, &l->m[i]);
    jw_end_arr(&w);
    put_id(&w, "first_id", p.from < p.to ? l->m[p.from].id : NULL);
    put_id(&w, "last_id", p.from < p.to ? l->m[p.to - 1].id : NULL);
    jw_kbool(&w, "has_more", p.more);
    jw_end_obj(&w);
    return w.err;
}

static enum err list_print(const struct model_list *l, struct buf *out)
{
    struct jw w;
    jw_init(&w, out);
    jw_obj(&w);
    jw_kcstr(&w, "object", "list");
    jw_key(&w, "data");
    jw_arr(&w);
    for (int i = 0; i < l->n; i++)
        entry_openai(&w, &l->m[i]);
    jw_end_arr(&w);
    jw_end_obj(&w);
    return w.err;
}

static enum err list_read(struct model_list *l, const struct slice *bodies, int n)
{
    enum err e = OK;
    assert(n >= 0);
    map_init(&l->known);
    for (int i = 0; e == OK && i < n; i++)
        e = list_add_body(l, bodies[i]);
    if (e == OK && l->n > 1)
        qsort(l->m, (size_t)l->n, sizeof *l->m, model_compare);
    return e;
}

static void list_free(struct model_list *l)
{
    map_free(&l->known);
    mem_free(l->m);
}

enum err codec_models_merge(const struct slice *bodies, int n, const struct model_page *page,
                            struct buf *out)
{
    struct model_list l = {0};
    enum err e = list_read(&l, bodies, n);
    if (e == OK)
        e = page_print(&l, page_of(&l, page), out);
    list_free(&l);
    return e;
}

enum err codec_models_list(const struct slice *bodies, int n, struct buf *out)
{
    struct model_list l = {0};
    enum err e = list_read(&l, bodies, n);
    if (e == OK)
        e = list_print(&l, out);
    list_free(&l);
    return e;
}
