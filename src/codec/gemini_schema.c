/* Schemas of the Gemini dialect, and what its signatures are on the wire. Facts: wire/gemini.md.
 *
 * Older models know an OpenAPI subset only. Lost on the way to it: $ref and what it points to (the
 * schema becomes one of any object), additionalProperties, exclusive bounds, allOf, not, if, enums
 * of anything but strings. */
#include "codec/gemini.h"
#include "codec/span.h"

#include <string.h>

/* ---- to the subset --------------------------------------------------------------------------- */

static enum err cut(struct buf *out, const struct json_val *v);

/* Members that may stand as they are. */
static bool is_kept(struct slice key)
{
    static const char *const kept[] = {"description", "title",    "nullable",      "format",
                                       "required",    "minItems", "maxItems",      "minimum",
                                       "maximum",     "pattern",  "minProperties", "maxProperties",
                                       "minLength",   "maxLength"};
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        if (slice_eq(key, slice_of(kept[i])))
            return true;
    }
    return false;
}

static enum err key_put(struct buf *out, bool *any, struct slice key)
{
    enum err e = *any ? buf_puts(out, S(",")) : OK;
    *any = true;
    if (e == OK)
        e = json_escape(out, key);
    return e == OK ? buf_puts(out, S(":")) : e;
}

/* The first type that is not null; `null` tells whether that was among them. */
static struct slice type_of(const struct json_val *v, bool *null)
{
    const struct json_val *type = json_get(v, "type");
    struct slice found = {"", 0}, one = {"", 0};
    *null = false;
    if (json_str(type, &found))
        return found;
    for (size_t i = 0; i < json_len(type); i++) {
        if (!json_str(json_at(type, i), &one))
            continue;
        if (slice_eq(one, S("null")))
            *null = true;
        else if (found.n == 0)
            found = one;
    }
    return found;
}

static bool is_strings(const struct json_val *list)
{
    for (size_t i = 0; i < json_len(list); i++) {
        if (json_type(json_at(list, i)) != JSON_STRING)
            return false;
    }
    return json_len(list) > 0;
}

static enum err list_cut(struct buf *out, const struct json_val *list)
{
    enum err e = buf_puts(out, S("["));
    for (size_t i = 0; e == OK && i < json_len(list); i++) {
        if (i > 0)
            e = buf_puts(out, S(","));
        if (e == OK)
            e = cut(out, json_at(list, i));
    }
    return e == OK ? buf_puts(out, S("]")) : e;
}

static enum err properties_cut(struct buf *out, const struct json_val *v)
{
    struct slice key;
    const struct json_val *one;
    bool any = false;
    enum err e = buf_puts(out, S("{"));
    for (size_t i = 0; e == OK && json_member(v, i, &key, &one); i++) {
        e = key_put(out, &any, key);
        if (e == OK)
            e = cut(out, one);
    }
    return e == OK ? buf_puts(out, S("}")) : e;
}

static enum err member_cut(struct buf *out, bool *any, struct slice key, const struct json_val *v)
{
    bool list = slice_eq(key, S("anyOf")) || slice_eq(key, S("oneOf"));
    enum err e = OK;
    if (is_kept(key) || (slice_eq(key, S("enum")) && is_strings(v))) {
        e = key_put(out, any, key);
        return e == OK ? tree_print(out, v) : e;
    }
    if (slice_eq(key, S("const")) && json_type(v) == JSON_STRING) {
        e = key_put(out, any, S("enum"));
        if (e == OK)
            e = buf_puts(out, S("["));
        if (e == OK)
            e = tree_print(out, v);
        return e == OK ? buf_puts(out, S("]")) : e;
    }
    if (slice_eq(key, S("properties")) && json_type(v) == JSON_OBJECT) {
        e = key_put(out, any, key);
        return e == OK ? properties_cut(out, v) : e;
    }
    if (slice_eq(key, S("items")) && json_type(v) == JSON_OBJECT) {
        e = key_put(out, any, key);
        return e == OK ? cut(out, v) : e;
    }
    if (!list || json_type(v) != JSON_ARRAY)
        return OK;
    e = key_put(out, any, S("anyOf"));
    return e == OK ? list_cut(out, v) : e;
}

/* The type of a schema that tells none; "" for a choice of others. */
static struct slice type_implied(const struct json_val *v)
{
    const struct json_val *one = json_get(v, "const");
    if (json_type(one) == JSON_NONE)
        one = json_at(json_get(v, "enum"), 0);
    switch (json_type(one)) {
    case JSON_STRING:
        return S("string");
    case JSON_NUMBER:
        return S("number");
    case JSON_BOOL:
        return S("boolean");
    case JSON_NONE:
    case JSON_NULL:
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
    if (json_type(json_get(v, "anyOf")) == JSON_ARRAY ||
        json_type(json_get(v, "oneOf")) == JSON_ARRAY)
        return S("");
    return json_type(json_get(v, "items")) == JSON_OBJECT ? S("array") : S("object");
}

/* Goes as deep as the tree, which is at most JSON_DEPTH. */
static enum err cut(struct buf *out, const struct json_val *v)
{
    struct slice key;
    const struct json_val *one;
    bool any = false, null = false;
    struct slice type = type_of(v, &null);
    if (type.n == 0)
        type = type_implied(v);
    enum err e = buf_puts(out, S("{"));
    if (e == OK && type.n > 0)
        e = key_put(out, &any, S("type"));
    if (e == OK && type.n > 0)
        e = json_escape(out, type);
    if (e == OK && null)
        e = buf_puts(out, S(",\"nullable\":true"));
    any = any || null;
    for (size_t i = 0; e == OK && json_member(v, i, &key, &one); i++)
        e = member_cut(out, &any, key, one);
    return e == OK ? buf_puts(out, S("}")) : e;
}

enum err gemini_schema_cut(struct slice schema, struct buf *out)
{
    struct json *doc = NULL;
    size_t start = out->len;
    enum err e = json_parse(schema, &doc);
    if (e == OK)
        e = cut(out, json_root(doc));
    json_free(doc);
    assert(e != OK || out->len > start);
    if (e != OK)
        out->len = start;
    return e;
}

enum err gemini_schema_bare(struct slice schema, struct buf *out)
{
    struct json_scan scan;
    struct slice key;
    struct span v;
    bool any = false;
    enum err e = buf_puts(out, S("{"));
    json_scan_init(&scan, schema);
    while (e == OK && json_scan_next(&scan, &key, &v) == OK) {
        if (span_key_is(key, S("$schema")))
            continue;
        e = buf_puts(out, any ? S(",\"") : S("\""));
        any = true;
        if (e == OK)
            e = buf_puts(out, key); /* raw, as it stood */
        if (e == OK)
            e = buf_puts(out, S("\":"));
        if (e == OK)
            e = buf_puts(out, span_slice(schema, v));
    }
    return e == OK ? buf_puts(out, S("}")) : e;
}

/* ---- from the subset ------------------------------------------------------------------------- */

static enum err type_plain(struct buf *out, const struct json_val *type, bool nullable)
{
    static const char *const words[] = {"STRING", "NUMBER", "INTEGER", "BOOLEAN",
                                        "ARRAY",  "OBJECT", "NULL"};
    char lower[16];
    struct slice s = {"", 0};
    if (!json_str(type, &s))
        return tree_print(out, type);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!slice_ieq(s, slice_of(words[i])))
            continue;
        assert(s.n < sizeof lower);
        for (size_t k = 0; k <= s.n; k++) /* with its end */
            lower[k] = (char)(words[i][k] >= 'A' ? words[i][k] - 'A' + 'a' : words[i][k]);
        s = slice_of(lower);
        break;
    }
    enum err e = nullable ? buf_puts(out, S("[")) : OK;
    if (e == OK)
        e = json_escape(out, s);
    return e == OK && nullable ? buf_puts(out, S(",\"null\"]")) : e;
}

static enum err plain(struct buf *out, const struct json_val *v, bool schema);

/* Counts are strings in the API's own JSON. */
static enum err count_plain(struct buf *out, const struct json_val *v)
{
    struct slice s = {"", 0};
    int64_t n = 0;
    if (json_str(v, &s) && text_i64(s, &n))
        return buf_printf(out, "%" PRId64, n);
    return tree_print(out, v);
}

static enum err value_plain(struct buf *out, const struct json_val *object, struct slice key,
                            const struct json_val *v)
{
    static const char *const counts[] = {"minItems",  "maxItems",      "minLength",
                                         "maxLength", "minProperties", "maxProperties"};
    if (slice_eq(key, S("type")))
        return type_plain(out, v, json_get_bool(object, "nullable", false));
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        if (slice_eq(key, slice_of(counts[i])))
            return count_plain(out, v);
    }
    if (slice_eq(key, S("properties")) || slice_eq(key, S("$defs")))
        return plain(out, v, false);
    bool schemas = slice_eq(key, S("items")) || slice_eq(key, S("anyOf")) ||
                   slice_eq(key, S("additionalProperties")) || slice_eq(key, S("prefixItems"));
    return schemas ? plain(out, v, true) : tree_print(out, v);
}

static bool is_dropped(struct slice key, const struct json_val *v)
{
    struct slice s;
    return slice_eq(key, S("nullable")) || slice_eq(key, S("propertyOrdering")) ||
           slice_eq(key, S("property_ordering")) || slice_eq(key, S("example")) ||
           (slice_eq(key, S("format")) && json_str(v, &s) && slice_eq(s, S("enum")));
}

/* `schema`: an object is one; else its members are. Goes as deep as the tree. */
static enum err plain(struct buf *out, const struct json_val *v, bool schema)
{
    struct slice key;
    const struct json_val *one;
    bool any = false;
    enum err e = OK;
    if (json_type(v) == JSON_ARRAY) {
        e = buf_puts(out, S("["));
        for (size_t i = 0; e == OK && i < json_len(v); i++) {
            if (i > 0)
                e = buf_puts(out, S(","));
            if (e == OK)
                e = plain(out, json_at(v, i), true);
        }
        return e == OK ? buf_puts(out, S("]")) : e;
    }
    if (json_type(v) != JSON_OBJECT)
        return tree_print(out, v);
    e = buf_puts(out, S("{"));
    for (size_t i = 0; e == OK && json_member(v, i, &key, &one); i++) {
        if (schema && is_dropped(key, one))
            continue;
        e = key_put(out, &any, key);
        if (e == OK)
            e = schema ? value_plain(out, v, key, one) : plain(out, one, true);
    }
    return e == OK ? buf_puts(out, S("}")) : e;
}

enum err gemini_schema_plain(const struct json_val *v, struct buf *out)
{
    return plain(out, v, true);
}

/* ---- signatures ------------------------------------------------------------------------------ */

#define WRAPPED "U0xV" /* itself base64, of whole letters */

bool gemini_signed(struct slice sign)
{
    return slice_starts(sign, S(GEMINI_SIGNED));
}

/* Undoes the wrapping; libraries may have changed the alphabet and lost the padding. */
static bool unwrap(struct slice wire, struct buf *sign)
{
    struct buf plain_text;
    size_t start = sign->len;
    bool fine = true;
    assert(slice_starts(wire, S(WRAPPED)));
    buf_init(&plain_text, wire.n + 4);
    for (size_t i = sizeof WRAPPED - 1; fine && i < wire.n; i++) {
        char c = wire.p[i] == '-' ? '+' : wire.p[i] == '_' ? '/' : wire.p[i];
        fine = c == '=' || buf_append(&plain_text, &c, 1) == OK;
    }
    while (fine && plain_text.len % 4 != 0)
        fine = buf_puts(&plain_text, S("=")) == OK;
    fine = fine && plain_text.len > 0 && text_unbase64(sign, buf_slice(&plain_text), false) == OK &&
           sign->len > start && text_is_utf8(slice_sub(buf_slice(sign), start, sign->len));
    buf_free(&plain_text);
    if (!fine)
        sign->len = start;
    return fine;
}

enum err gemini_sign_read(struct slice wire, struct buf *sign)
{
    if (slice_starts(wire, S(WRAPPED)) && unwrap(wire, sign))
        return OK;
    enum err e = buf_puts(sign, S(GEMINI_SIGNED));
    return e == OK ? buf_puts(sign, wire) : e;
}

enum err gemini_sign_write(struct slice sign, struct buf *wire)
{
    assert(sign.n > 0);
    if (gemini_signed(sign))
        return buf_puts(wire, slice_sub(sign, sizeof GEMINI_SIGNED - 1, sign.n));
    enum err e = buf_puts(wire, S(WRAPPED));
    return e == OK ? text_base64(wire, sign.p, sign.n, false) : e;
}
