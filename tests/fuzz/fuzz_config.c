/* links: base config */
/* The configuration file, made of anything. Each error has its words with the file's name in front
 * and is one line; what is accepted obeys the table's bounds. */
#include <stdlib.h>
#include <string.h>

#include "config_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)       \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

static void check_values(const struct config *c)
{
    for (int i = 0; i < CONFIG_OPTIONS_N; i++) {
        const struct option *o = &CONFIG_OPTIONS[i];
        const void *at = (const char *)c + o->offset;
        int64_t v = 0;
        if (c->priv->origin[i] != CONFIG_FILE)
            continue;
        if (o->type == OPT_DURATION || o->type == OPT_SIZE || o->type == OPT_INT) {
            v = *(const int64_t *)at;
            MUST(v >= o->min && v <= o->max);
        }
    }
    MUST(c->listens >= 0 && c->listens <= CONFIG_LISTEN_MAX);
    for (int i = 0; i < c->listens; i++)
        MUST(c->listen[i] != NULL && c->listen[i][0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_error e = {""};
    struct config *c = config_new();
    setenv("FUZZ", "127.0.0.1:1", 1); /* so that ${FUZZ} has a value */
    enum err r = config_parse_text(c, "file", (struct slice){(const char *)data, size}, &e);
    if (r == OK) {
        struct buf b;
        buf_init(&b, 1 << 20);
        check_values(c);
        MUST(config_dump(c, true, &b) == OK);
        MUST(config_dump(c, false, &b) == OK);
        buf_free(&b);
    } else {
        MUST(strncmp(e.text, "file:", 5) == 0);
        MUST(e.text[5] >= '0' && e.text[5] <= '9');
    }
    config_free(c);
    return 0;
}
