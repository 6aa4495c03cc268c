/* bytes: memory for scripted peers, escapes for people, and the one wildcard. */
#include "bytes.h"

#include <string.h>

void bytes_add(struct bytes *b, const void *p, size_t n)
{
    assert(p != NULL || n == 0);
    if (n == 0)
        return;
    if (b->n + n > b->cap) {
        b->cap = 2 * (b->n + n) + 64;
        b->p = mem_grow(b->p, b->cap);
    }
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

void bytes_puts(struct bytes *b, struct slice s)
{
    bytes_add(b, s.p, s.n);
}

void bytes_free(struct bytes *b)
{
    mem_free(b->p);
    *b = (struct bytes){0};
}

void bytes_escape(struct bytes *b, struct slice s, size_t max)
{
    static const char HEX[] = "0123456789abcdef";
    for (size_t i = 0; i < s.n && i < max; i++) {
        char c = s.p[i];
        if (c == '\n')
            bytes_add(b, "\\n", 2);
        else if (c == '\r')
            bytes_add(b, "\\r", 2);
        else if (c == '\\')
            bytes_add(b, "\\\\", 2);
        else if (c >= ' ' && c <= '~')
            bytes_add(b, &c, 1);
        else
            bytes_add(b, (char[4]){'\\', 'x', HEX[(uint8_t)c >> 4], HEX[(uint8_t)c & 15]}, 4);
    }
    if (s.n > max) {
        char tail[64];
        bytes_add(b, tail, text_format(tail, sizeof tail, "... (%zu bytes in all)", s.n));
    }
}

/* The byte a single-letter escape stands for; -1 when it is none. */
static int unescape_letter(char c)
{
    static const char FROM[] = "nrt0\\\"", TO[] = "\n\r\t\0\\\"";
    const char *at = c == '\0' ? NULL : strchr(FROM, c);
    return at == NULL ? -1 : (uint8_t)TO[at - FROM];
}

void bytes_unescape(struct bytes *b, struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '\\' && i + 1 < s.n) {
            int letter = unescape_letter(s.p[i + 1]);
            if (letter >= 0) {
                c = (char)letter;
                i++;
            } else if (s.p[i + 1] == 'x' && i + 3 < s.n &&
                       text_unhex(&c, 1, slice_sub(s, i + 2, i + 4))) {
                i += 3;
            }
        }
        bytes_add(b, &c, 1);
    }
}

bool bytes_like(struct slice s, struct slice pattern)
{
    size_t i = 0, j = 0, star = SIZE_MAX, mark = 0;
    while (i < s.n) {
        if (j < pattern.n && pattern.p[j] == '*') {
            star = j++;
            mark = i;
        } else if (j < pattern.n && pattern.p[j] == s.p[i]) {
            i++;
            j++;
        } else if (star != SIZE_MAX) {
            j = star + 1;
            i = ++mark;
        } else {
            return false;
        }
    }
    while (j < pattern.n && pattern.p[j] == '*')
        j++;
    return j == pattern.n;
}
