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

struct record_texts record_texts_of(const struct record *r)
{
    return (struct record_texts){.id = slice_of(r->id),
                                 .key_id = slice_of(r->key_id),
                                 .key_name = slice_of(r->key_name),
                                 .client = slice_of(r->client),
                                 .model_asked = slice_of(r->model_asked),
                                 .model_answered = slice_of(r->model_answered),
                                 .session = slice_of(r->session),
                                 .group = slice_of(r->group),
                                 .why = slice_of(r->why),
                                 .upstream_id = slice_of(r->upstream_id),
                                 .service_tier = slice_of(r->service_tier),
                                 .stop_reason = slice_of(r->stop_reason),
                                 .price_date = slice_of(r->price_date)};
}

/* As text_copy cuts it, but without a NUL. */
static size_t text_cut(char *to, struct slice s, size_t size)
{
    char cut[UINT8_MAX + 1];
    assert(size <= sizeof cut); /* a byte holds the length */
    text_copy(cut, size, s);
    size_t n = strlen(cut);
    memcpy(to, cut, n);
    return n;
}

static inline char *text_put(struct packed *p, int which, char *to, struct slice s, size_t size)
{
    if (s.n >= size)
        s.n = text_cut(to, s, size);
    else if (s.n > 0)
        memcpy(to, s.p, s.n);
    p->length[which] = (uint8_t)s.n;
    return to + s.n;
}

/* In the order of enum packed_text. */
static char *texts_put(struct packed *p, char *to, const struct record_texts *t)
{
#define PUT(which, field)                                               \
    static_assert(sizeof(((struct record *)0)->field) <= UINT8_MAX + 1, \
                  "a byte holds its length");                           \
    to = text_put(p, which, to, t->field, sizeof(((struct record *)0)->field))
    PUT(PACKED_ID, id);
    PUT(PACKED_KEY_ID, key_id);
    PUT(PACKED_KEY_NAME, key_name);
    PUT(PACKED_CLIENT, client);
    PUT(PACKED_MODEL_ASKED, model_asked);
    PUT(PACKED_MODEL_ANSWERED, model_answered);
    PUT(PACKED_SESSION, session);
    PUT(PACKED_UPSTREAM_ID, upstream_id);
    PUT(PACKED_SERVICE_TIER, service_tier);
    PUT(PACKED_STOP_REASON, stop_reason);
    PUT(PACKED_PRICE_DATE, price_date);
    PUT(PACKED_GROUP, group);
    PUT(PACKED_WHY, why);
#undef PUT
    return to;
}

void record_pack(struct packed *p, const struct record *r, const struct record_texts *t)
{
    const int kept = r->attempts < STORE_ATTEMPTS ? r->attempts : STORE_ATTEMPTS;
    assert(r->attempts >= 0);
    numbers_pack(p, r);
    p->kept = (uint8_t)kept;
    char *to = texts_put(p, (char *)&p->attempt[kept], t);
    for (int i = 0; i < kept; i++) {
        const struct record_attempt *a = &r->attempt[i];
        p->attempt[i] = (struct packed_attempt){
            .account_id = a->account_id, .reason = a->reason, .status = a->status, .ms = a->ms};
        to = text_put(p, PACKED_TEXTS + i, to, slice_of(a->account), sizeof a->account);
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
