/* bytes: printing. Apart from simbytes.c, which goes into every test that links the simulated net.
 */
#include "bytes.h"

#include <stdarg.h>
#include <stdio.h>

void bytes_printf(struct bytes *b, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    /* clang-tidy 14 takes the va_start of a file that several programs compile for none */
    /* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized) */
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    assert(n >= 0);
    bytes_add(b, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}
