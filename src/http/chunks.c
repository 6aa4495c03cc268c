/* chunks: the chunked framing of a body (RFC 9112 section 7.1), byte by byte and to the letter.
 *
 *     1a;name=value CR LF  <26 bytes> CR LF  ...  0 CR LF  trailer: value CR LF  CR LF
 *
 * Nothing is forgiven: no bare CR or LF, no space around a size, no control character anywhere. An
 * event of a stream is a chunk, so this is done for each of them. */
#include "http/h1.h"

#include <string.h>

enum {
    SIZE_FIRST, /* a digit must come */
    SIZE,
    EXT_FIRST, /* behind ';': a name must come */
    EXT_NAME,
    EXT_VALUE_FIRST,
    EXT_VALUE,
    EXT_QUOTED,
    EXT_QUOTED_PAIR,
    EXT_QUOTED_OVER,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    LINE_FIRST, /* of the trailers */
    LINE_NAME,
    LINE_VALUE,
    LINE_LF,
    LAST_LF,
    OVER,
};

void chunks_begin(struct chunks *c)
{
    *c = (struct chunks){.state = SIZE_FIRST};
}

static int hex_of(char ch)
{
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    char low = (char)(ch | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

static bool is_token(char ch)
{
    bool letter = (ch | 0x20) >= 'a' && (ch | 0x20) <= 'z';
    return letter || (ch >= '0' && ch <= '9') ||
           (ch != '\0' && strchr("!#$%&'*+-.^_`|~", ch) != NULL);
}

/* HTAB, SP to '~', 0x80 to 0xFF. */
static bool is_text(char ch)
{
    return ch == '\t' || ((unsigned char)ch >= 0x20 && ch != 0x7f);
}

/* The end of an extension, or the beginning of the next one. -1: neither. */
static int ext_next(char ch)
{
    return ch == ';' ? EXT_FIRST : ch == '\r' ? SIZE_LF : -1;
}

static int ext_step(int state, char ch)
{
    switch (state) {
    case EXT_FIRST:
        return is_token(ch) ? EXT_NAME : -1;
    case EXT_NAME:
        return is_token(ch) ? EXT_NAME : ch == '=' ? EXT_VALUE_FIRST : ext_next(ch);
    case EXT_VALUE_FIRST:
        return ch == '"' ? EXT_QUOTED : is_token(ch) ? EXT_VALUE : -1;
    case EXT_VALUE:
        return is_token(ch) ? EXT_VALUE : ext_next(ch);
    case EXT_QUOTED:
        if (ch == '"' || ch == '\\')
            return ch == '"' ? EXT_QUOTED_OVER : EXT_QUOTED_PAIR;
        return is_text(ch) && ch != '\t' ? EXT_QUOTED : -1;
    case EXT_QUOTED_PAIR:
        return is_text(ch) && ch != '\t' ? EXT_QUOTED : -1;
    default:
        assert(state == EXT_QUOTED_OVER);
        return ext_next(ch);
    }
}

static int size_step(struct chunks *c, char ch)
{
    int digit = hex_of(ch);
    if (digit >= 0) {
        if (c->left >> 59 != 0)
            return -1; /* more than any body has */
        c->left = c->left << 4 | (uint64_t)digit;
        return SIZE;
    }
    return c->state == SIZE_FIRST ? -1 : ext_next(ch);
}

/* The framing is over when they come: they may not change it. */
static bool name_is_framing(const struct chunks *c)
{
    struct slice name = {c->name, c->name_n};
    return slice_ieq(name, S("content-length")) || slice_ieq(name, S("transfer-encoding"));
}

static int trailer_step(struct chunks *c, char ch)
{
    switch (c->state) {
    case LINE_FIRST:
        c->name_n = 0;
        if (ch == '\r')
            return LAST_LF;
        break;
    case LINE_NAME:
        if (ch == ':')
            return name_is_framing(c) ? -1 : LINE_VALUE;
        break;
    case LINE_VALUE:
        return ch == '\r' ? LINE_LF : is_text(ch) ? LINE_VALUE : -1;
    case LINE_LF:
        return ch == '\n' ? LINE_FIRST : -1;
    default:
        assert(c->state == LAST_LF);
        return ch == '\n' ? OVER : -1;
    }
    if (c->name_n < sizeof c->name)
        c->name[c->name_n++] = ch; /* a longer one is none of those that matter */
    return is_token(ch) ? LINE_NAME : -1;
}

/* One byte that is no data; the next state, -1: it may not stand here. */
static int line_step(struct chunks *c, char ch)
{
    switch (c->state) {
    case SIZE_FIRST:
    case SIZE:
        return size_step(c, ch);
    case SIZE_LF:
        return ch != '\n' ? -1 : c->left > 0 ? DATA : LINE_FIRST;
    case DATA_CR:
        return ch == '\r' ? DATA_LF : -1;
    case DATA_LF:
        return ch == '\n' ? SIZE_FIRST : -1;
    default:
        return c->state < SIZE_LF ? ext_step(c->state, ch) : trailer_step(c, ch);
    }
}

/* False when there is too much of what is no data. */
static bool line_fits(struct chunks *c, int next)
{
    if (c->state >= LINE_FIRST)
        return ++c->trailers <= H1_TRAILERS_MAX;
    if (next >= EXT_NAME && next < SIZE_LF && ++c->extensions > H1_EXTENSIONS_MAX)
        return false;
    c->line = c->state == DATA_CR ? 1 : c->line + 1;
    return c->line <= H1_CHUNK_LINE_MAX;
}

enum h1_event chunks_next(struct chunks *c, struct slice *in, struct slice *body, const char **why)
{
    size_t i = 0;
    assert(c->state != OVER);
    for (; i < in->n && c->state != DATA; i++) {
        int next = line_step(c, in->p[i]);
        if (next < 0) {
            *why = "the chunked body is malformed";
            return H1_BAD;
        }
        if (!line_fits(c, next)) {
            *why = "a chunk's line, or the trailers, are too long";
            return H1_BAD;
        }
        c->state = (uint8_t)next;
        if (next == OVER) {
            *in = slice_sub(*in, i + 1, in->n);
            return H1_END;
        }
    }
    size_t n = in->n - i;
    if (c->left < n)
        n = (size_t)c->left;
    if (c->state != DATA)
        n = 0;
    *body = slice_sub(*in, i, i + n);
    *in = slice_sub(*in, i + n, in->n);
    c->left -= n;
    if (c->state == DATA && c->left == 0)
        c->state = DATA_CR;
    return n > 0 ? H1_BODY : H1_MORE;
}
