/* links: base */
/* The parsers of base over hostile bytes: none may crash, and what one accepts must survive being
 * printed and read again. */
#include "base/base.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)       \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

static void fuzz_numbers(struct slice s)
{
    char digits[TEXT_U64_MAX], decimal[TEXT_F64_MAX];
    uint64_t u, again;
    int64_t i;
    double f, g;

    if (text_u64(s, &u)) {
        MUST(text_u64((struct slice){digits, text_from_u64(u, digits)}, &again) && again == u);
        MUST(u > INT64_MAX || (text_i64(s, &i) && (uint64_t)i == u));
        MUST(text_size(s, &again) && again == u);
    }
    if (text_f64(s, &f)) {
        MUST(text_f64((struct slice){decimal, text_from_f64(f, decimal)}, &g));
        MUST(f == g);
    }
    if (text_duration(s, 1000, &i))
        MUST(i >= 0);
    (void)text_i64(s, &i);
    (void)text_size(s, &u);
}

static void fuzz_times(struct slice s)
{
    char when[TEXT_TIME_MAX];
    int64_t ms, again;

    if (text_rfc3339(s, &ms) || text_http_date(s, &ms)) {
        size_t n = text_from_time(ms, when);
        MUST(text_rfc3339((struct slice){when, n}, &again));
        /* an offset may lead out of the four-digit years, where printing stops at the edge */
        MUST(again == ms || ms < again || ms > INT64_C(253402300799999));
    }
}

static void fuzz_encodings(struct slice s)
{
    uint8_t bytes[64];
    char hex[2 * sizeof(bytes) + 1];
    struct buf decoded, encoded;

    buf_init(&decoded, s.n + 8);
    buf_init(&encoded, 2 * s.n + 8);
    for (int url = 0; url <= 1; url++) {
        buf_clear(&decoded);
        buf_clear(&encoded);
        if (text_unbase64(&decoded, s, url) != OK)
            continue;
        MUST(text_base64(&encoded, decoded.p, decoded.len, url) == OK);
        MUST(slice_eq(buf_slice(&encoded), s)); /* one spelling only */
    }
    if (s.n / 2 <= sizeof(bytes) && text_unhex(bytes, s.n / 2, s)) {
        text_hex(hex, bytes, s.n / 2);
        MUST(slice_ieq(slice_of(hex), s));
    }
    buf_free(&decoded);
    buf_free(&encoded);
}

static void fuzz_words(struct slice s)
{
    static const char *const words[] = {"listen", "state_dir", "log_level"};
    char cut[8], id[TEXT_UUID_MAX];

    (void)text_closest(s, words, 3);
    text_copy(cut, sizeof(cut), s);
    MUST(!text_is_utf8(s) || text_is_utf8(slice_of(cut)));
    if (s.n >= 10) {
        text_uuid7(id, (int64_t)s.n, (const uint8_t *)s.p);
        MUST(strlen(id) == TEXT_UUID_MAX - 1);
    }
}

static void write_val(struct jw *w, const struct json_val *v);

static void write_members(struct jw *w, const struct json_val *v)
{
    const struct json_val *member;
    struct slice key;

    for (size_t i = 0; json_member(v, i, &key, &member); i++) {
        char *name = mem_slicedup(key);
        jw_key(w, name); /* up to its first NUL: the second round has the same */
        mem_free(name);
        write_val(w, member);
    }
}

static void write_number(struct jw *w, const struct json_val *v)
{
    int64_t i;
    double f;

    if (json_i64(v, &i)) {
        jw_i64(w, i);
    } else {
        MUST(json_f64(v, &f));
        jw_f64(w, f);
    }
}

static void write_val(struct jw *w, const struct json_val *v)
{
    struct slice s;
    bool b;

    switch (json_type(v)) {
    case JSON_OBJECT:
        jw_obj(w);
        write_members(w, v);
        jw_end_obj(w);
        break;
    case JSON_ARRAY:
        jw_arr(w);
        for (size_t i = 0; i < json_len(v); i++)
            write_val(w, json_at(v, i));
        jw_end_arr(w);
        break;
    case JSON_STRING:
        MUST(json_str(v, &s));
        jw_str(w, s);
        break;
    case JSON_NUMBER:
        write_number(w, v);
        break;
    case JSON_BOOL:
        MUST(json_bool(v, &b));
        jw_bool(w, b);
        break;
    default:
        MUST(json_type(v) == JSON_NULL);
        jw_null(w);
    }
}

static unsigned deepest(const struct json_val *v)
{
    unsigned depth = 0;
    const struct json_val *child;

    for (size_t i = 0; i < json_len(v); i++) {
        child = json_at(v, i);
        if (child == NULL)
            MUST(json_member(v, i, NULL, &child));
        unsigned d = deepest(child);
        depth = d > depth ? d : depth;
    }
    return depth + (json_type(v) == JSON_ARRAY || json_type(v) == JSON_OBJECT);
}

/* Parsed, printed, parsed and printed: the two prints are the same. */
static void fuzz_json(struct slice s)
{
    struct json *first = NULL, *second = NULL;
    struct buf once, twice;
    struct jw w;

    buf_init(&once, 64 * s.n + 64);
    buf_init(&twice, 64 * s.n + 64);
    if (json_parse(s, &first) != OK)
        goto out;
    MUST(deepest(json_root(first)) <= JSON_DEPTH);
    if (deepest(json_root(first)) == JSON_DEPTH)
        goto out; /* one more than the writer keeps open */
    jw_init(&w, &once);
    write_val(&w, json_root(first));
    MUST(w.err == OK && json_parse(buf_slice(&once), &second) == OK);
    jw_init(&w, &twice);
    write_val(&w, json_root(second));
    MUST(w.err == OK && slice_eq(buf_slice(&once), buf_slice(&twice)));
out:
    json_free(first);
    json_free(second);
    buf_free(&once);
    buf_free(&twice);
}

static void fuzz_escape(struct slice s)
{
    struct json *doc = NULL;
    struct buf b;
    struct slice back;

    buf_init(&b, 8 * s.n + 8);
    MUST(json_escape(&b, s) == OK);
    MUST(json_parse(buf_slice(&b), &doc) == OK && json_str(json_root(doc), &back));
    MUST(!text_is_utf8(s) || slice_eq(back, s));
    json_free(doc);
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice s = {(const char *)data, size};

    fuzz_numbers(s);
    fuzz_times(s);
    fuzz_encodings(s);
    fuzz_words(s);
    fuzz_json(s);
    fuzz_escape(s);
    return 0;
}
