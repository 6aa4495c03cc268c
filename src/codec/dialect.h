/* Inside the codec room: what one dialect must be able to do. A dialect is one file that fills this
 * table, and one row in codec.c. */
#ifndef SLUICE_CODEC_DIALECT_H
#define SLUICE_CODEC_DIALECT_H

#include "codec/canon.h"
#include "codec/codec.h"

/* What a reader keeps while it watches a reply: counts arrive in pieces, and a later piece may tell
 * only half of what an earlier one told. -1: not told yet. */
struct reading {
    struct observation seen;
    int64_t input, output, cache_read, thinking, web_searches, web_fetches;
    int64_t cache_write, cache_write_5m, cache_write_1h; /* the sum, and how it splits */
    int64_t aside_input, aside_output, aside_cache_read, aside_cache_write; /* beside the totals */
};

/* What the framer must do with an event, told by its name alone. */
enum event_use {
    EVENT_READ,  /* keep its data and hand it to `event` */
    EVENT_LIFE,  /* says only that the stream is alive */
    EVENT_PASS,  /* meaningful, but nothing to be read in it */
    EVENT_SNIFF, /* no name: keep its data, `event` will find out */
};

struct dialect_ops {
    const char *name;
    struct slice ping;
    bool stop_ends;   /* a stream whose framing ends after its stop reason is whole */
    bool array;       /* a stream may be one JSON array, each element an event's data */
    size_t reply_max; /* of an event that is read, and of a JSON body; 0 = the observer's own */
    enum err (*request)(struct slice body, struct request_facts *out, const char **why);
    enum event_use (*event_use)(struct slice name);
    /* One event's data; false when it made no sense. */
    bool (*event)(struct reading *r, struct slice name, struct slice data);
    /* An event that was too long to be kept; NULL: nothing is known of it by its name. */
    void (*event_cut)(struct reading *r, struct slice name);
    /* A whole JSON body; false when it made no sense. */
    bool (*body)(struct reading *r, struct slice json);
    const char *(*error_type)(int status);
    void (*error_read)(int status, struct slice body, struct observation *out);
    /* The gateway's own error in this dialect, as a body and as an SSE event. NULL: Anthropic's. */
    enum err (*error_print)(int status, struct slice message, struct slice request_id,
                            struct buf *out);
    enum err (*error_event)(int status, struct slice message, struct slice request_id,
                            struct buf *out);
    const struct dialect_canon *canon; /* NULL: cannot be translated */
};

extern const struct dialect_ops dialect_anthropic, dialect_openai, dialect_responses,
    dialect_gemini, dialect_ollama;
const struct dialect_ops *dialect_ops_of(enum dialect d);
void reading_init(struct reading *r); /* of zeros */
void reading_free(struct reading *r);
/* Those of `o` to be written; made if there are none. */
struct reply_words *reply_words_room(struct observation *o);
/* The member `key` of `object`. The last value that is not null wins; nonsense counts as null. */
void reading_count(int64_t *into, const struct json_val *object, const char *key);
void reading_text(char *into, size_t size, const struct json_val *object, const char *key);
/* A count as it is nearly always written, in at most 12 digits; -1: it is not. */
static inline int64_t small_count(struct slice digits)
{
    int64_t v = 0;
    if (digits.n == 0 || digits.n > 12)
        return -1;
    for (size_t i = 0; i < digits.n; i++) {
        unsigned digit = (uint8_t)digits.p[i] - (unsigned)'0';
        if (digit > 9)
            return -1;
        v = v * 10 + digit;
    }
    return v;
}
/* The same of a value that stands at `at` in `text`; {0,0}: there is none, as of most. */
void reading_count_at(int64_t *into, struct slice text, struct span at);
void reading_text_at(char *into, size_t size, struct slice text, struct span at);
static inline void reading_span_count(int64_t *into, struct slice text, struct span at)
{
    if (at.to > 0)
        reading_count_at(into, text, at);
}
static inline void reading_span_text(char *into, size_t size, struct slice text, struct span at)
{
    if (at.to > 0)
        reading_text_at(into, size, text, at);
}
/* What an error of this HTTP status is when its body tells nothing better; never NONE. */
enum reply_error reply_error_of(int status);

/* errors.c: does an error say that the prompt does not fit; and an error's status and text as the
 * dialect `to` has them. */
bool error_is_too_long(struct slice type, struct slice message);
int error_status_in(enum dialect to, int status, enum reply_error error, struct slice type,
                    struct slice message);
void error_text_in(enum dialect to, struct slice type, struct slice message, char *out,
                   size_t size);

/* A hash that is the same in every process and on every machine, because two nodes and a restarted
 * one must send a conversation to the same account. Not keyed: whoever chooses the text can choose
 * the account, and could do so by its session id as well. */
uint64_t hash_stable(uint64_t seed, struct slice text);

#endif
