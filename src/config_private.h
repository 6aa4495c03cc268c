/* Private to config: the table, and the parser of the file for tests and fuzzing. */
#ifndef SLUICE_CONFIG_PRIVATE_H
#define SLUICE_CONFIG_PRIVATE_H

#include "config.h"

enum option_type { OPT_STRING, OPT_LIST, OPT_BOOL, OPT_DURATION, OPT_SIZE, OPT_INT };
struct option {
    const char
        *name; /* in the file; the flag has '-' for '_', the environment SLUICE_ and capitals */
    enum option_type type;
    const char *preset; /* the default, in the file's spelling; NULL = none */
    int64_t min, max;   /* ms, bytes or count; of a list: max is how many may be in it */
    bool hot;           /* a reload applies it */
    size_t offset;      /* in struct config */
    const char *value;  /* for help */
    const char *help;
    size_t count; /* of a list: where its length is, in struct config */
};
extern const struct option CONFIG_OPTIONS[];
extern const int CONFIG_OPTIONS_N;

/* Every string of a snapshot, freed with it. */
struct config_private {
    char **string;
    int strings;
    enum config_origin origin[64]; /* by index in the table */
};

struct config *config_new(void);
int config_option_find(struct slice name); /* index, or -1 */
/* Sets one option from text; `where` ("FILE:12", "--listen") begins the error. */
MUST_USE enum err config_set(struct config *c, int option, struct slice value,
                             enum config_origin origin, const char *where, struct config_error *e);
/* Keeps a copy for as long as the snapshot lives. */
const char *config_keep(struct config *c, struct slice s);
/* Reads YAML text into `c`. */
MUST_USE enum err config_parse_text(struct config *c, const char *name, struct slice text,
                                    struct config_error *e);
/* Writes the error and returns `code`. */
enum err config_fail(struct config_error *e, enum err code, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool config_one_of(const char *v, const char *const *words);
/* The options that say where and how clients connect, taken together. */
MUST_USE enum err config_check_listen(const struct config *c, struct config_error *e);
const char *config_getenv(const char *name); /* NULL when unset or empty */

#endif
