/* packed: a record as it waits for the disk, a third of what struct record takes. The loop writes
 * it once, into memory that is cold, and the engine reads it once, on another processor.
 *
 *   [ numbers, words, lengths | attempts that are kept | texts | the attempts' accounts ] [ next ..
 *
 * Texts have no NUL and lie one behind the other, in the order of enum packed_text. Words (route,
 * end, reason) are static, and so stay pointers. */
#ifndef SLUICE_STORE_PACKED_H
#define SLUICE_STORE_PACKED_H

#include "store/store.h"

enum packed_text {
    PACKED_ID,
    PACKED_KEY_ID,
    PACKED_KEY_NAME,
    PACKED_CLIENT,
    PACKED_MODEL_ASKED,
    PACKED_MODEL_ANSWERED,
    PACKED_SESSION,
    PACKED_UPSTREAM_ID,
    PACKED_SERVICE_TIER,
    PACKED_STOP_REASON,
    PACKED_PRICE_DATE,
    PACKED_GROUP,
    PACKED_WHY,
    PACKED_TEXTS
};

struct packed_attempt {
    int64_t account_id;
    const char *reason;
    int32_t status, ms;
};

struct packed {
    int64_t at;
    const char *route, *end;
    int64_t bytes_in, bytes_out;
    int64_t input, output, cache_read, cache_write_5m, cache_write_1h, thinking;
    int64_t cost_nano_usd;
    int32_t status, ttfb_ms, duration_ms, web_searches, web_fetches;
    int32_t attempts; /* there were so many */
    uint16_t size;    /* of all of it: there the next one begins */
    bool stream, usage_known;
    uint8_t kept;                                  /* attempts that lie here */
    uint8_t length[PACKED_TEXTS + STORE_ATTEMPTS]; /* of the texts, and of the accounts' names */
    struct packed_attempt attempt[];
};

#define PACKED_MAX 1536 /* no record takes more */

/* Into `p`, of PACKED_MAX bytes and aligned as a pointer is; the texts of `t`. */
void record_pack(struct packed *p, const struct record *r, const struct record_texts *t);
struct record_texts record_texts_of(const struct record *r);
void record_unpack(struct record *r, const struct packed *p); /* row 0; the unused is zero */

static inline const struct packed *packed_next(const struct packed *p)
{
    return (const struct packed *)(const void *)((const char *)p + p->size);
}

/* The first text; the others follow. */
static inline const char *packed_texts(const struct packed *p)
{
    return (const char *)&p->attempt[p->kept];
}

#endif
