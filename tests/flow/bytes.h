/* bytes: the runner's own growable memory.
 *
 * Scripted peers must never be refused memory: in torture mode only the house under test may meet a
 * failing call. So the runner keeps away from base's `buf`, whose calls ask fault_here(). */
#ifndef FLOW_BYTES_H
#define FLOW_BYTES_H

#include "base/base.h"

struct bytes {
    char *p;
    size_t n, cap;
};

void bytes_add(struct bytes *b, const void *p, size_t n);
void bytes_puts(struct bytes *b, struct slice s);
void bytes_printf(struct bytes *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void bytes_free(struct bytes *b);
static inline struct slice bytes_slice(const struct bytes *b)
{
    return (struct slice){b->p, b->n};
}
/* Appends `s` printable: C escapes, at most `max` bytes of it. */
void bytes_escape(struct bytes *b, struct slice s, size_t max);
/* Appends `s` with its C escapes (\n \r \t \0 \\ \" \xHH) undone. */
void bytes_unescape(struct bytes *b, struct slice s);
/* `pattern` may hold `*` for any run of bytes; the whole of `s` must fit. */
bool bytes_like(struct slice s, struct slice pattern);

#endif
