/* Tables and text for people: columns as wide as what is in them, as many as fit. */
#include "admin/inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define OUT_MAX  (4 * ADMIN_REPLY_MAX)
#define CELL_MAX 512

/* What is printed is bounded by the reply it is drawn from; past any such bound it is cut. */
static void put(struct buf *out, struct slice s)
{
    if (buf_puts(out, s) != OK)
        buf_clear(out);
}

void out_printf(struct buf *out, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    assert(n >= 0);
    struct slice rest = slice_of(text);
    while (rest.n > 0) {
        ptrdiff_t at = slice_find(rest, '\n');
        size_t to = at < 0 ? rest.n : (size_t)at;
        out_safe(out, slice_sub(rest, 0, to));
        if (at >= 0)
            put(out, S("\n"));
        rest = slice_sub(rest, at < 0 ? to : to + 1, rest.n);
    }
}

/* U+0080..U+009F are control characters too, some terminals obey them. */
void out_safe(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.n;) {
        size_t n = text_utf8_at(slice_sub(s, i, s.n));
        unsigned char c = (unsigned char)s.p[i];
        bool bad = n == 0 || c < 0x20 || c == 0x7f ||
                   (n == 2 && c == 0xc2 && (unsigned char)s.p[i + 1] < 0xa0);
        put(out, bad ? S("?") : slice_sub(s, i, i + n));
        i += n == 0 ? 1 : n;
    }
}

void table_init(struct table *t, const struct column *c, int n)
{
    assert(n > 0 && n <= TABLE_COLUMNS_MAX);
    *t = (struct table){.column = c, .columns = n};
    buf_init(&t->cells, OUT_MAX);
}

void table_free(struct table *t)
{
    buf_free(&t->cells);
}

void table_cell(struct table *t, struct slice text)
{
    if (text.n > CELL_MAX)
        text.n = CELL_MAX;
    out_safe(&t->cells, text.n > 0 ? text : S("-"));
    put(&t->cells, (struct slice){"", 1});
    t->n++;
}

void table_cellf(struct table *t, const char *fmt, ...)
{
    char text[CELL_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    assert(n >= 0);
    table_cell(t, slice_of(text));
}

/* Characters, not bytes: all that is drawn here is one column wide. */
static int columns_of(const char *s)
{
    int n = 0;
    for (; *s != '\0'; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

struct layout {
    int width[TABLE_COLUMNS_MAX];
    bool shown[TABLE_COLUMNS_MAX];
};

static int layout_width(const struct table *t, const struct layout *l)
{
    int sum = -2;
    for (int i = 0; i < t->columns; i++)
        if (l->shown[i])
            sum += l->width[i] + 2;
    return sum;
}

/* Takes columns away, the least needed first, until the rest fits. */
static void layout_fit(const struct table *t, struct layout *l, int width)
{
    while (width > 0 && layout_width(t, l) > width) {
        int worst = -1;
        for (int i = 0; i < t->columns; i++)
            if (l->shown[i] && t->column[i].rank > 0 &&
                (worst < 0 || t->column[i].rank > t->column[worst].rank))
                worst = i;
        if (worst < 0)
            return;
        l->shown[worst] = false;
    }
}

static void layout_make(const struct table *t, const struct look *look, struct layout *l)
{
    *l = (struct layout){0};
    for (int i = 0; i < t->columns; i++) {
        l->width[i] = columns_of(t->column[i].title);
        if (t->column[i].least > l->width[i])
            l->width[i] = t->column[i].least;
        l->shown[i] = true;
    }
    if (look->steady)
        layout_fit(t, l, look->width);
    const char *cell = t->cells.p;
    for (int i = 0; i < t->n; i++, cell += strlen(cell) + 1) {
        int c = i % t->columns, n = columns_of(cell);
        if (n > l->width[c])
            l->width[c] = n;
    }
    if (!look->steady)
        layout_fit(t, l, look->width);
}

static const char *mood_of(const char *cell)
{
    static const char *const BAD[] = {"login", "upstream_cut", "upstream_error", "timeout", NULL};
    static const char *const SO_SO[] = {"cooling", "spent",       "full",    "paused",
                                        "leaving", "client_gone", "refused", NULL};
    for (int i = 0; BAD[i] != NULL; i++)
        if (strcmp(cell, BAD[i]) == 0)
            return "\033[31m";
    for (int i = 0; SO_SO[i] != NULL; i++)
        if (strcmp(cell, SO_SO[i]) == 0)
            return "\033[33m";
    return NULL;
}

static void cell_print(const struct table *t, const struct layout *l, int c, const char *cell,
                       const char *colour, struct buf *out)
{
    bool last = true;
    int pad = l->width[c] - columns_of(cell);
    for (int i = c + 1; i < t->columns; i++)
        last = last && !l->shown[i];
    if (t->column[c].right && pad > 0)
        out_printf(out, "%*s", pad, "");
    put(out, slice_of(colour));
    put(out, slice_of(cell));
    put(out, colour ? S("\033[0m") : S(""));
    if (last)
        put(out, S("\n"));
    else
        out_printf(out, "%*s", 2 + (!t->column[c].right && pad > 0 ? pad : 0), "");
}

void table_print(const struct table *t, const struct look *look, bool head, struct buf *out)
{
    struct layout l;
    layout_make(t, look, &l);
    for (int i = 0; head && i < t->columns; i++)
        if (l.shown[i])
            cell_print(t, &l, i, t->column[i].title, look->colour ? "\033[1m" : NULL, out);
    const char *cell = t->cells.p;
    for (int i = 0; i < t->n; i++, cell += strlen(cell) + 1) {
        int c = i % t->columns;
        if (l.shown[c])
            cell_print(t, &l, c, cell, look->colour && t->column[c].mood ? mood_of(cell) : NULL,
                       out);
    }
    assert(t->n % t->columns == 0);
}
