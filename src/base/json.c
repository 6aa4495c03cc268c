/* JSON documents. yyjson checks and reads the text; its result is then laid out anew, so that
 *
 *   - the i-th element or member is found at once (yyjson's way is to step over i nested values,
 * and a loop over a hostile array would take time with the square of its length);
 *   - what stays is the text and 16 bytes a value, one allocation each.
 *
 * The numbers of text.h that need floating point live here too: yyjson converts both ways exactly,
 * and unlike the C library does not ask the locale what a decimal point looks like. */
#include "base/base.h"

#include <math.h>
#include <string.h>
#include <yyjson.h>

enum kind {
    KIND_NULL,
    KIND_BOOL,
    KIND_INT,
    KIND_UINT,
    KIND_REAL,
    KIND_STRING,
    KIND_ARRAY,
    KIND_OBJECT
};

struct json_val {
    union {
        bool b;
        int64_t i;
        uint64_t u; /* only above INT64_MAX */
        double f;
        const char *s;
        const struct json_val *child; /* elements, or key, value, key, value ... */
        yyjson_val *source;           /* a container whose children are not laid out yet */
    } as;
    uint32_t len; /* bytes, elements or members */
    uint32_t kind;
};

struct json {
    struct json_val *vals;
    char text[]; /* strings were unescaped in place */
};

/* yyjson asks us for memory, so that a peer's size may be refused and the torture mode can do so.
 */
static void *alc_malloc(void *ctx, size_t n)
{
    (void)ctx;
    return mem_try(n);
}

static void *alc_realloc(void *ctx, void *p, size_t old, size_t n)
{
    (void)ctx;
    (void)old;
    return mem_try_grow(p, n);
}

static void alc_free(void *ctx, void *p)
{
    (void)ctx;
    mem_free(p);
}

static const yyjson_alc alc = {alc_malloc, alc_realloc, alc_free, NULL};

/* Offset behind the string whose opening quote is at `at`; text.n when it does not end. */
static size_t string_cross(struct slice text, size_t at)
{
    for (;;) {
        const char *from = text.p + at + 1, *end = text.p + text.n;
        const char *quote = memchr(from, '"', (size_t)(end - from));
        if (quote == NULL)
            return text.n;
        const char *first = quote; /* of the backslashes in front of it: an even number are pairs */
        while (first > from && first[-1] == '\\')
            first--;
        at = (size_t)(quote - text.p);
        if ((quote - first) % 2 == 0)
            return at + 1;
    }
}

/* Only measures: brackets that do not match are left to the parser. */
static bool too_deep(struct slice text)
{
    unsigned depth = 0;
    size_t i = 0;

    while (i < text.n) {
        char c = text.p[i];
        if (c == '"') {
            i = string_cross(text, i);
            continue;
        }
        if ((c == '[' || c == '{') && ++depth > JSON_DEPTH)
            return true;
        if ((c == ']' || c == '}') && depth > 0)
            depth--;
        i++;
    }
    assert(i == text.n);
    return false;
}

/* Everything but the children of a container. */
static struct json_val val_of(yyjson_val *y)
{
    struct json_val v = {.kind = KIND_NULL};

    if (yyjson_is_bool(y)) {
        v.kind = KIND_BOOL;
        v.as.b = yyjson_get_bool(y);
    } else if (yyjson_is_real(y)) {
        v.kind = KIND_REAL;
        v.as.f = yyjson_get_real(y);
    } else if (yyjson_is_uint(y) && yyjson_get_uint(y) > INT64_MAX) {
        v.kind = KIND_UINT;
        v.as.u = yyjson_get_uint(y);
    } else if (yyjson_is_int(y)) {
        v.kind = KIND_INT;
        v.as.i = yyjson_get_sint(y);
    } else if (yyjson_is_str(y)) {
        v.kind = KIND_STRING;
        v.as.s = yyjson_get_str(y);
        v.len = (uint32_t)yyjson_get_len(y);
    } else if (yyjson_is_ctn(y)) {
        v.kind = yyjson_is_arr(y) ? KIND_ARRAY : KIND_OBJECT;
        v.as.source = y;
        v.len = (uint32_t)yyjson_get_len(y);
    }
    return v;
}

static size_t lay_array(struct json_val *to, yyjson_val *y)
{
    yyjson_arr_iter it = yyjson_arr_iter_with(y);
    size_t n = 0;

    for (yyjson_val *e; (e = yyjson_arr_iter_next(&it)) != NULL;)
        to[n++] = val_of(e);
    return n;
}

static size_t lay_object(struct json_val *to, yyjson_val *y)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(y);
    size_t n = 0;

    for (yyjson_val *key; (key = yyjson_obj_iter_next(&it)) != NULL;) {
        to[n++] = val_of(key);
        to[n++] = val_of(yyjson_obj_iter_get_val(key));
    }
    return n;
}

/* Breadth first: the array is its own queue. Behind `i` stand values whose children are laid out,
 * from `i` to `made` those that still point into yyjson's document. */
static void lay_out(struct json_val *vals, const yyjson_doc *doc)
{
    size_t count = doc->val_read;
    size_t made = 1;

    vals[0] = val_of(doc->root);
    for (size_t i = 0; i < made; i++) {
        struct json_val *v = &vals[i];
        if (v->kind != KIND_ARRAY && v->kind != KIND_OBJECT)
            continue;
        yyjson_val *source = v->as.source;
        v->as.child = vals + made;
        if (v->kind == KIND_ARRAY)
            made += lay_array(vals + made, source);
        else
            made += lay_object(vals + made, source);
        assert(made <= count);
    }
    assert(made == count);
}

#define ROOM 16384 /* bytes on the stack for yyjson's values; enough for a text of 1 KiB */

static enum err parse_into(struct json *doc, size_t n)
{
    FILLED_LATER char room[ROOM];
    yyjson_alc pool = alc;
    yyjson_read_err why;
    if (yyjson_read_max_memory_usage(n, YYJSON_READ_INSITU) <= sizeof(room)) {
        bool fits = yyjson_alc_pool_init(&pool, room, sizeof(room));
        assert(fits);
        (void)fits;
    }
    yyjson_doc *y = yyjson_read_opts(doc->text, n, YYJSON_READ_INSITU, &pool, &why);

    if (y == NULL)
        return why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION ? ERR_NOMEM : ERR_SYNTAX;
    assert(y->val_read > 0 && y->root != NULL);
    doc->vals = mem_try(y->val_read * sizeof(struct json_val));
    if (doc->vals != NULL)
        lay_out(doc->vals, y);
    yyjson_doc_free(y);
    return doc->vals != NULL ? OK : ERR_NOMEM;
}

enum err json_parse(struct slice text, struct json **out)
{
    assert(out != NULL);
    assert(text.p != NULL || text.n == 0);
    *out = NULL;
    if (text.n > UINT32_MAX - YYJSON_PADDING_SIZE)
        return ERR_LIMIT;
    if (text.n == 0 || too_deep(text))
        return ERR_SYNTAX;
    struct json *doc = mem_try(sizeof(*doc) + text.n + YYJSON_PADDING_SIZE);
    if (doc == NULL)
        return ERR_NOMEM;
    doc->vals = NULL;
    memcpy(doc->text, text.p, text.n);
    memset(doc->text + text.n, 0, YYJSON_PADDING_SIZE);
    enum err e = parse_into(doc, text.n);
    if (e == OK)
        *out = doc;
    else
        json_free(doc);
    return e;
}

void json_free(struct json *doc)
{
    if (doc == NULL)
        return;
    mem_free(doc->vals);
    mem_free(doc);
}

const struct json_val *json_root(const struct json *doc)
{
    return doc != NULL ? doc->vals : NULL;
}

/* ---- readers -------------------------------------------------------------------------------- */

static bool is(const struct json_val *v, enum kind kind)
{
    return v != NULL && v->kind == kind;
}

enum json_type json_type(const struct json_val *v)
{
    static const enum json_type types[] = {
        [KIND_NULL] = JSON_NULL,   [KIND_BOOL] = JSON_BOOL,     [KIND_INT] = JSON_NUMBER,
        [KIND_UINT] = JSON_NUMBER, [KIND_REAL] = JSON_NUMBER,   [KIND_STRING] = JSON_STRING,
        [KIND_ARRAY] = JSON_ARRAY, [KIND_OBJECT] = JSON_OBJECT,
    };

    if (v == NULL)
        return JSON_NONE;
    assert(v->kind <= KIND_OBJECT);
    return types[v->kind];
}

const struct json_val *json_get(const struct json_val *object, const char *key)
{
    struct slice wanted = slice_of(key);

    assert(key != NULL);
    if (!is(object, KIND_OBJECT))
        return NULL;
    for (size_t i = 0; i < object->len; i++) {
        const struct json_val *k = &object->as.child[2 * i];
        if (slice_eq((struct slice){k->as.s, k->len}, wanted))
            return k + 1;
    }
    return NULL;
}

const struct json_val *json_at(const struct json_val *array, size_t i)
{
    return is(array, KIND_ARRAY) && i < array->len ? &array->as.child[i] : NULL;
}

size_t json_len(const struct json_val *v)
{
    return is(v, KIND_ARRAY) || is(v, KIND_OBJECT) ? v->len : 0;
}

bool json_member(const struct json_val *object, size_t i, struct slice *key,
                 const struct json_val **value)
{
    if (!is(object, KIND_OBJECT) || i >= object->len)
        return false;
    const struct json_val *k = &object->as.child[2 * i];

    assert(k->kind == KIND_STRING);
    if (key != NULL)
        *key = (struct slice){k->as.s, k->len};
    if (value != NULL)
        *value = k + 1;
    return true;
}

bool json_str(const struct json_val *v, struct slice *out)
{
    assert(out != NULL);
    if (!is(v, KIND_STRING))
        return false;
    *out = (struct slice){v->as.s, v->len};
    return true;
}

bool json_i64(const struct json_val *v, int64_t *out)
{
    static const double exact = 9007199254740992.0; /* 2^53 */

    assert(out != NULL);
    if (is(v, KIND_INT)) {
        *out = v->as.i;
        return true;
    }
    if (!is(v, KIND_REAL) || !(v->as.f >= -exact && v->as.f <= exact) || v->as.f != trunc(v->as.f))
        return false;
    *out = (int64_t)v->as.f;
    return true;
}

bool json_f64(const struct json_val *v, double *out)
{
    assert(out != NULL);
    if (is(v, KIND_INT))
        *out = (double)v->as.i;
    else if (is(v, KIND_UINT))
        *out = (double)v->as.u;
    else if (is(v, KIND_REAL))
        *out = v->as.f;
    else
        return false;
    return true;
}

bool json_bool(const struct json_val *v, bool *out)
{
    assert(out != NULL);
    if (!is(v, KIND_BOOL))
        return false;
    *out = v->as.b;
    return true;
}

struct slice json_get_str(const struct json_val *object, const char *key)
{
    struct slice s = {"", 0};

    (void)json_str(json_get(object, key), &s);
    return s;
}

int64_t json_get_i64(const struct json_val *object, const char *key, int64_t absent)
{
    int64_t v;

    return json_i64(json_get(object, key), &v) ? v : absent;
}

bool json_get_bool(const struct json_val *object, const char *key, bool absent)
{
    bool v;

    return json_bool(json_get(object, key), &v) ? v : absent;
}

/* ---- floating point of text.h -----------------------------------------------------------------
 */

bool text_f64(struct slice s, double *out)
{
    FILLED_LATER char copy[512]; /* no number has a use for more digits */
    yyjson_val v = {0};

    assert(out != NULL);
    if (s.n == 0 || s.n >= sizeof(copy))
        return false;
    text_copy(copy, sizeof(copy), s);
    if (yyjson_read_number(copy, &v, YYJSON_READ_NOFLAG, &alc, NULL) != copy + s.n)
        return false;
    *out = yyjson_get_num(&v);
    assert(isfinite(*out));
    return true;
}

size_t text_from_f64(double v, char out[TEXT_F64_MAX])
{
    char room[512]; /* yyjson wants an allocator even for one number */
    yyjson_alc pool;
    yyjson_val number = {0};
    size_t n = 0;

    if (!isfinite(v)) {
        text_copy(out, TEXT_F64_MAX, S("null"));
        return 4;
    }
    bool fits = yyjson_alc_pool_init(&pool, room, sizeof(room));
    unsafe_yyjson_set_real(&number, v);
    char *text = yyjson_val_write_opts(&number, YYJSON_WRITE_NOFLAG, &pool, &n, NULL);
    assert(fits && text != NULL && n < TEXT_F64_MAX);
    (void)fits;
    text_copy(out, TEXT_F64_MAX, (struct slice){text, n});
    return n;
}
