#include "store/packed.h"

#include <string.h>

#define PLACE(field)                                                        \
    {                                                                       \
        offsetof(struct record, field), sizeof(((struct record *)0)->field) \
    }
static const struct place {
    size_t at, size;
} places[PACKED_TEXTS] = {
    [PACKED_ID] = PLACE(id),
    [PACKED_KEY_ID] = PLACE(key_id),
    [PACKED_KEY_NAME] = PLACE(key_name),
    [PACKED_CLIENT] = PLACE(client),
    [PACKED_MODEL_ASKED] = PLACE(model_asked),
    [PACKED_MODEL_ANSWERED] = PLACE(model_answered),
    [PACKED_SESSION] = PLACE(session),
    [PACKED_UPSTREAM_ID] = PLACE(upstream_id),
    [PACKED_SERVICE_TIER] = PLACE(service_tier),
    [PACKED_STOP_REASON] = PLACE(stop_reason),
    [PACKED_PRICE_DATE] = PLACE(price_date),
    [PACKED_GROUP] = PLACE(group),
    [PACKED_WHY] = PLACE(why),
};
#undef PLACE

/* All of it is in a record, but for the lengths, the size and the number of attempts kept. */
static_assert(sizeof(struct record) + PACKED_TEXTS + STORE_ATTEMPTS + 16 <= PACKED_MAX,
              "PACKED_MAX is enough");
static_assert(STORE_WHY_MAX <= UINT8_MAX + 1 && STORE_MODEL_MAX <= UINT8_MAX + 1 &&
                  ADDR_TEXT_MAX <= UINT8_MAX + 1 && STORE_NAME_MAX <= UINT8_MAX + 1,
              "a byte holds the length of each text");

/* Numbers and words: all but the texts. */
static void numbers_pack(struct packed *p, const struct record *r)
{
    p->at = r->at;
    p->route = r->route;
    p->end = r->end;
    p->bytes_in = r->bytes_in;
    p->bytes_out = r->bytes_out;
    p->input = r->input;
    p->output = r->output;
    p->cache_read = r->cache_read;
    p->cache_write_5m = r->cache_write_5m;
    p->cache_write_1h = r->cache_write_1h;
    p->thinking = r->thinking;
    p->cost_nano_usd = r->cost_nano_usd;
    p->status = r->status;
    p->ttfb_ms = r->ttfb_ms;
    p->duration_ms = r->duration_ms;
    p->web_searches = r->web_searches;
    p->web_fetches = r->web_fetches;
    p->attempts = r->attempts;
    p->stream = r->stream;
    p->usage_known = r->usage_known;
}

void record_pack(struct packed *p, const struct record *r)
{
    const int kept = r->attempts < STORE_ATTEMPTS ? r->attempts : STORE_ATTEMPTS;
    assert(r->attempts >= 0);
    numbers_pack(p, r);
    p->kept = (uint8_t)kept;
    for (int i = 0; i < kept; i++) {
        const struct record_attempt *a = &r->attempt[i];
        p->attempt[i] = (struct packed_attempt){
            .account_id = a->account_id, .reason = a->reason, .status = a->status, .ms = a->ms};
    }
    char *to = (char *)&p->attempt[kept];
    for (int i = 0; i < PACKED_TEXTS; i++) {
        const char *s = (const char *)r + places[i].at;
        size_t n = strlen(s);
        assert(n < places[i].size);
        memcpy(to, s, n);
        to += n;
        p->length[i] = (uint8_t)n;
    }
    for (int i = 0; i < kept; i++) {
        size_t n = strlen(r->attempt[i].account);
        assert(n < STORE_NAME_MAX);
        memcpy(to, r->attempt[i].account, n);
        to += n;
        p->length[PACKED_TEXTS + i] = (uint8_t)n;
    }
    size_t size = (size_t)(to - (char *)p);
    size += -size % sizeof(int64_t);
    assert(size <= PACKED_MAX);
    p->size = (uint16_t)size;
}

void record_unpack(struct record *r, const struct packed *p)
{
    const char *from = packed_texts(p);
    *r = (struct record){.at = p->at,
                         .route = p->route,
                         .end = p->end,
                         .stream = p->stream,
                         .status = p->status,
                         .ttfb_ms = p->ttfb_ms,
                         .duration_ms = p->duration_ms,
                         .bytes_in = p->bytes_in,
                         .bytes_out = p->bytes_out,
                         .usage_known = p->usage_known,
                         .input = p->input,
                         .output = p->output,
                         .cache_read = p->cache_read,
                         .cache_write_5m = p->cache_write_5m,
                         .cache_write_1h = p->cache_write_1h,
                         .thinking = p->thinking,
                         .web_searches = p->web_searches,
                         .web_fetches = p->web_fetches,
                         .cost_nano_usd = p->cost_nano_usd,
                         .attempts = p->attempts};
    for (int i = 0; i < PACKED_TEXTS; from += p->length[i++])
        memcpy((char *)r + places[i].at, from, p->length[i]);
    for (int i = 0; i < p->kept; from += p->length[PACKED_TEXTS + i++]) {
        struct record_attempt *a = &r->attempt[i];
        a->account_id = p->attempt[i].account_id;
        a->reason = p->attempt[i].reason;
        a->status = p->attempt[i].status;
        a->ms = p->attempt[i].ms;
        memcpy(a->account, from, p->length[PACKED_TEXTS + i]);
    }
}
