/* The JSON writer. `comma` has one bit per depth: set when the next key or value there needs a
 * comma in front. A key clears it for its value, and the value sets it again. */
#include "base/base.h"

#include <stdio.h>

static void put(struct jw *w, struct slice s)
{
    if (w->err == OK)
        w->err = buf_puts(w->out, s);
}

static uint64_t bit(const struct jw *w)
{
    assert(w->depth < JSON_DEPTH);
    return UINT64_C(1) << w->depth;
}

static void before(struct jw *w)
{
    if ((w->comma & bit(w)) != 0)
        put(w, S(","));
    w->comma |= bit(w);
}

static void begin(struct jw *w, struct slice bracket)
{
    before(w);
    put(w, bracket);
    w->depth++;
    w->comma &= ~bit(w);
}

static void shut(struct jw *w, struct slice bracket)
{
    assert(w->depth > 0); /* closed more than was opened */
    w->depth--;
    put(w, bracket);
}

void jw_init(struct jw *w, struct buf *out)
{
    assert(w != NULL && out != NULL);
    *w = (struct jw){.out = out, .err = OK};
}

void jw_obj(struct jw *w)
{
    begin(w, S("{"));
}

void jw_end_obj(struct jw *w)
{
    shut(w, S("}"));
}

void jw_arr(struct jw *w)
{
    begin(w, S("["));
}

void jw_end_arr(struct jw *w)
{
    shut(w, S("]"));
}

void jw_key(struct jw *w, const char *key)
{
    assert(key != NULL);
    assert(w->depth > 0); /* keys live in objects */
    jw_str(w, slice_of(key));
    put(w, S(":"));
    w->comma &= ~bit(w);
}

void jw_str(struct jw *w, struct slice s)
{
    before(w);
    if (w->err == OK)
        w->err = json_escape(w->out, s);
}

void jw_cstr(struct jw *w, const char *s)
{
    if (s != NULL)
        jw_str(w, slice_of(s));
    else
        jw_null(w);
}

void jw_i64(struct jw *w, int64_t v)
{
    char digits[TEXT_U64_MAX];
    uint64_t size = v < 0 ? ~(uint64_t)v + 1 : (uint64_t)v;
    size_t n = text_from_u64(size, digits);

    before(w);
    if (v < 0)
        put(w, S("-"));
    put(w, (struct slice){digits, n});
}

void jw_f64(struct jw *w, double v)
{
    char digits[TEXT_F64_MAX];
    size_t n = text_from_f64(v, digits);

    before(w);
    put(w, (struct slice){digits, n});
}

void jw_bool(struct jw *w, bool v)
{
    before(w);
    put(w, v ? S("true") : S("false"));
}

void jw_null(struct jw *w)
{
    before(w);
    put(w, S("null"));
}

void jw_raw(struct jw *w, struct slice json)
{
    before(w);
    put(w, json.n > 0 ? json : S("null")); /* nothing is not JSON */
}

void jw_time(struct jw *w, int64_t ms)
{
    char when[TEXT_TIME_MAX];

    if (ms == 0)
        jw_null(w);
    else
        jw_str(w, (struct slice){when, text_from_time(ms, when)});
}

void jw_kstr(struct jw *w, const char *key, struct slice s)
{
    jw_key(w, key);
    jw_str(w, s);
}

void jw_kcstr(struct jw *w, const char *key, const char *s)
{
    jw_key(w, key);
    jw_cstr(w, s);
}

void jw_ki64(struct jw *w, const char *key, int64_t v)
{
    jw_key(w, key);
    jw_i64(w, v);
}

void jw_kf64(struct jw *w, const char *key, double v)
{
    jw_key(w, key);
    jw_f64(w, v);
}

void jw_kbool(struct jw *w, const char *key, bool v)
{
    jw_key(w, key);
    jw_bool(w, v);
}

void jw_ktime(struct jw *w, const char *key, int64_t ms)
{
    jw_key(w, key);
    jw_time(w, ms);
}

/* ---- strings ----------------------------------------------------------------------------------
 */

/* How many bytes at the front may be copied as they are. */
static size_t plain_run(struct slice s)
{
    size_t i = 0;

    while (i < s.n) {
        uint8_t c = (uint8_t)s.p[i];
        size_t n = c >= 0x20 && c != '"' && c != '\\' ? text_utf8_at(slice_sub(s, i, s.n)) : 0;
        if (n == 0)
            break;
        i += n;
    }
    return i;
}

static enum err escape_byte(struct buf *out, uint8_t c)
{
    switch (c) {
    case '"':
        return buf_puts(out, S("\\\""));
    case '\\':
        return buf_puts(out, S("\\\\"));
    case '\n':
        return buf_puts(out, S("\\n"));
    case '\r':
        return buf_puts(out, S("\\r"));
    case '\t':
        return buf_puts(out, S("\\t"));
    default:
        break;
    }
    if (c >= 0x80)
        return buf_puts(out, S("\xef\xbf\xbd")); /* U+FFFD: the bytes here are no UTF-8 */
    assert(c < 0x20);
    char hex[3];
    text_hex(hex, &c, 1);
    enum err e = buf_puts(out, S("\\u00"));
    return e == OK ? buf_append(out, hex, 2) : e;
}

enum err json_escape(struct buf *out, struct slice s)
{
    size_t start = out->len;
    enum err e = buf_puts(out, S("\""));

    while (e == OK && s.n > 0) {
        size_t n = plain_run(s);
        e = buf_puts(out, slice_sub(s, 0, n));
        if (e == OK && n < s.n)
            e = escape_byte(out, (uint8_t)s.p[n++]);
        s = slice_sub(s, n, s.n);
    }
    if (e == OK)
        e = buf_puts(out, S("\""));
    if (e != OK)
        out->len = start; /* half a string helps nobody */
    assert(out->len >= start);
    return e;
}
