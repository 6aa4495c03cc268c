/* Playing a reply to an observer in pieces, and what it saw as text. For tests and fuzz targets. */
#ifndef TEST_CODEC_WATCH_H
#define TEST_CODEC_WATCH_H

#include "codec/codec.h"

#include <string.h>

#define WATCH_MAX 2048

struct watch {
    size_t forwarded;     /* by the rule of the relay: whole events only */
    char seen[WATCH_MAX]; /* everything the observer saw, one line a group */
};

static const char *const watch_errors[] = {"none", "rate_limit", "overloaded", "server",
                                           "auth", "billing",    "client",     "other"};

static inline void watch_print(const struct observation *o, char *out, size_t size)
{
    const struct usage *u = &o->usage;
    size_t n = text_format(out, size, "usage known=%d", u->known);
    if (u->known)
        n += text_format(out + n, size - n,
                         " input=%" PRId64 " output=%" PRId64 " read=%" PRId64 " 5m=%" PRId64
                         " 1h=%" PRId64 " thinking=%" PRId64 " searches=%" PRId64
                         " fetches=%" PRId64 " tier=%s speed=%s geo=%s",
                         u->input, u->output, u->cache_read, u->cache_write_5m, u->cache_write_1h,
                         u->thinking, u->web_searches, u->web_fetches, u->service_tier, u->speed,
                         u->inference_geo);
    n += text_format(out + n, size - n, "\nmessage model=%s id=%s stop=%s", o->model, o->message_id,
                     o->stop_reason);
    n += text_format(out + n, size - n, "\nstate meaningful=%d terminal=%d blind=%d", o->meaningful,
                     o->terminal, o->blind);
    (void)text_format(out + n, size - n, "\nerror %s type=%s message=%s\n", watch_errors[o->error],
                      reply_words(o)->error_type, reply_words(o)->error_message);
}

static inline void watch_piece(struct observer *o, struct slice piece, size_t *held, size_t *given)
{
    /* an own copy of each piece, so that reading past its edge is found */
    char *copy = mem_slicedup(piece);
    size_t whole = observer_feed(o, (struct slice){copy, piece.n});
    mem_free(copy);
    assert(whole <= piece.n);
    if (whole > 0) {
        *given += *held + whole;
        *held = piece.n - whole;
    } else {
        *held += piece.n;
    }
}

/* Feeds `bytes` in pieces of `step` (0: all at once), the first one being `first` long (0: as the
 * rest). */
static inline void watch_play_as(struct watch *w, enum dialect d, enum reply_kind kind,
                                 struct slice bytes, size_t first, size_t step)
{
    struct observer *o = observer_new(d, kind);
    size_t held = 0;
    w->forwarded = 0;
    for (size_t at = 0, n = 0; at < bytes.n; at += n) {
        n = at == 0 && first > 0 ? first : step;
        if (n == 0 || n > bytes.n - at)
            n = bytes.n - at;
        watch_piece(o, slice_sub(bytes, at, at + n), &held, &w->forwarded);
    }
    observer_end(o);
    watch_print(observer_see(o), w->seen, sizeof w->seen);
    observer_free(o);
}

static inline void watch_play(struct watch *w, enum reply_kind kind, struct slice bytes,
                              size_t first, size_t step)
{
    watch_play_as(w, DIALECT_ANTHROPIC, kind, bytes, first, step);
}

#endif
