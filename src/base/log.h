/* The log: one structured line per event, text on a terminal, JSON elsewhere.
 *
 *     log_info("listening", LF_STR("address", a), LF_INT("port", 8080));
 *
 * Secrets have no way in: there is no field kind that takes one, and values are escaped so that no
 * peer can forge a line. Lines are written whole with one write(2) to the descriptor given at
 * start; a line that cannot be written at once (EAGAIN) is dropped and counted. */
#ifndef SLUICE_BASE_LOG_H
#define SLUICE_BASE_LOG_H

#include "base/mem.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };
enum log_format { LOG_TEXT, LOG_JSON };

struct log_field {
    const char *key; /* NULL ends the array */
    enum { LF_KIND_STR, LF_KIND_INT, LF_KIND_FLOAT, LF_KIND_BOOL } kind;
    struct slice s;
    int64_t i;
    double f;
};

#define LF_SLICE(k, v) ((struct log_field){.key = (k), .kind = LF_KIND_STR, .s = (v)})
#define LF_STR(k, v)   ((struct log_field){.key = (k), .kind = LF_KIND_STR, .s = slice_of(v)})
#define LF_INT(k, v)   ((struct log_field){.key = (k), .kind = LF_KIND_INT, .i = (int64_t)(v)})
#define LF_FLOAT(k, v) ((struct log_field){.key = (k), .kind = LF_KIND_FLOAT, .f = (v)})
#define LF_BOOL(k, v)  ((struct log_field){.key = (k), .kind = LF_KIND_BOOL, .i = (v)})

/* `clock_ms` gives the wall clock; it stays the caller's. Before log_init the log is silent. */
void log_init(int fd, enum log_format format, enum log_level min, int64_t (*clock_ms)(void *),
              void *clock_arg);
void log_set_level(enum log_level min);
bool log_enabled(enum log_level level);
bool log_level_parse(struct slice s, enum log_level *out); /* "debug", "info", ... */
uint64_t log_dropped(void);
void log_event(enum log_level level, const char *msg, const struct log_field *fields);

#define LF_END ((struct log_field){.key = NULL})

#define LOG_(level, msg, ...)                                               \
    do {                                                                    \
        if (log_enabled(level))                                             \
            log_event(level, msg, (const struct log_field[]){__VA_ARGS__}); \
    } while (0)
#define log_debug(...) LOG_(LOG_DEBUG, __VA_ARGS__, LF_END)
#define log_info(...)  LOG_(LOG_INFO, __VA_ARGS__, LF_END)
#define log_warn(...)  LOG_(LOG_WARN, __VA_ARGS__, LF_END)
#define log_error(...) LOG_(LOG_ERROR, __VA_ARGS__, LF_END)

#endif
