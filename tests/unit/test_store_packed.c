/* links: base store */
/* Records as they wait for the disk: nothing is lost on the way in and out, however long it is. */
#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "store/packed.h"

#include <cmocka.h>

#define TEXT(field)                                                         \
    {                                                                       \
        offsetof(struct record, field), sizeof(((struct record *)0)->field) \
    }
static const struct {
    size_t at, size;
} texts[] = {TEXT(id),          TEXT(key_id),         TEXT(key_name),     TEXT(client),
             TEXT(model_asked), TEXT(model_answered), TEXT(session),      TEXT(group),
             TEXT(why),         TEXT(upstream_id),    TEXT(service_tier), TEXT(stop_reason),
             TEXT(price_date)};
#define TEXTS (sizeof texts / sizeof texts[0])

static uint32_t dice = 1;

static uint32_t dice_throw(uint32_t sides)
{
    dice = dice * 1664525 + 1013904223;
    return (dice >> 8) % sides;
}

static void text_any(char *to, size_t size, bool longest)
{
    size_t n = longest ? size - 1 : dice_throw(4) == 0 ? 0 : dice_throw((uint32_t)size);
    for (size_t i = 0; i < n; i++)
        to[i] = (char)(1 + dice_throw(255));
    to[n] = '\0';
}

static int64_t number_any(void)
{
    int64_t n = 0;
    for (int i = 0; i < 8; i++)
        n = (int64_t)((uint64_t)n << 8 | dice_throw(256));
    return dice_throw(3) == 0 ? n : n % 1000;
}

/* Of what has no bytes that do not count. */
static void record_any(struct record *r, bool longest)
{
    int64_t *wide[] = {&r->at,       &r->bytes_in,     &r->bytes_out,      &r->input,
                       &r->output,   &r->cache_read,   &r->cache_write_5m, &r->cache_write_1h,
                       &r->thinking, &r->cost_nano_usd};
    int32_t *narrow[] = {&r->status, &r->ttfb_ms, &r->duration_ms, &r->web_searches,
                         &r->web_fetches};
    memset(r, 0, sizeof *r);
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++)
        *wide[i] = number_any();
    for (size_t i = 0; i < sizeof narrow / sizeof narrow[0]; i++)
        *narrow[i] = (int32_t)number_any();
    for (size_t i = 0; i < TEXTS; i++)
        text_any((char *)r + texts[i].at, texts[i].size, longest);
    r->route = dice_throw(2) == 0 ? "route" : NULL;
    r->end = dice_throw(2) == 0 ? "end" : "";
    r->stream = dice_throw(2) == 0;
    r->usage_known = dice_throw(2) == 0;
    r->attempts = longest ? INT32_MAX : (int32_t)dice_throw(STORE_ATTEMPTS + 3);
    for (int i = 0; i < r->attempts && i < STORE_ATTEMPTS; i++) {
        struct record_attempt *a = &r->attempt[i];
        a->account_id = number_any();
        a->status = (int32_t)number_any();
        a->ms = (int32_t)number_any();
        a->reason = dice_throw(3) == 0 ? NULL : "reason";
        text_any(a->account, sizeof a->account, longest);
    }
}

static void record_equal(const struct record *a, const struct record *b)
{
    for (size_t i = 0; i < TEXTS; i++)
        assert_string_equal((const char *)a + texts[i].at, (const char *)b + texts[i].at);
    assert_true(a->route == b->route && a->end == b->end);
    assert_true(a->at == b->at && a->bytes_in == b->bytes_in && a->bytes_out == b->bytes_out);
    assert_true(a->input == b->input && a->output == b->output && a->thinking == b->thinking);
    assert_true(a->cache_read == b->cache_read && a->cache_write_5m == b->cache_write_5m);
    assert_true(a->cache_write_1h == b->cache_write_1h && a->cost_nano_usd == b->cost_nano_usd);
    assert_true(a->status == b->status && a->ttfb_ms == b->ttfb_ms);
    assert_true(a->duration_ms == b->duration_ms && a->attempts == b->attempts);
    assert_true(a->web_searches == b->web_searches && a->web_fetches == b->web_fetches);
    assert_true(a->stream == b->stream && a->usage_known == b->usage_known);
    for (int i = 0; i < STORE_ATTEMPTS; i++) {
        const struct record_attempt *x = &a->attempt[i], *y = &b->attempt[i];
        assert_true(x->account_id == y->account_id && x->reason == y->reason);
        assert_true(x->status == y->status && x->ms == y->ms);
        assert_string_equal(x->account, y->account);
    }
}

static void pack(struct packed *p, const struct record *r)
{
    struct record_texts t = record_texts_of(r);
    record_pack(p, r, &t);
}

static void test_in_and_out(void **state)
{
    (void)state;
    static struct record r, back;
    for (int i = 0; i < 3000; i++) {
        struct packed *p = mem_new(PACKED_MAX); /* a byte too many would be seen */
        record_any(&r, i % 100 == 0);
        pack(p, &r);
        assert_true(p->size <= PACKED_MAX && p->size % sizeof(int64_t) == 0);
        assert_ptr_equal(packed_next(p), (const char *)p + p->size);
        memset(&back, 'x', sizeof back);
        record_unpack(&back, p);
        record_equal(&back, &r);
        assert_int_equal(back.row, 0);
        mem_free(p);
    }
}

/* What nearly every record is: a third of struct record. */
static void test_small(void **state)
{
    (void)state;
    alignas(struct packed) static char room[PACKED_MAX];
    struct packed *p = (struct packed *)(void *)room;
    struct record r = {.route = "messages", .end = "complete", .attempts = 1};
    text_copy(r.id, sizeof r.id, S("00000000-0000-7000-8000-000000000000"));
    text_copy(r.model_asked, sizeof r.model_asked, S("claude-sonnet-4-5"));
    text_copy(r.why, sizeof r.why, S("warm spare:behind"));
    text_copy(r.attempt[0].account, sizeof r.attempt[0].account, S("work"));
    pack(p, &r);
    assert_true(p->size <= sizeof r / 3);
}

/* Texts that come from elsewhere may be longer than a record holds: they are cut as its own are. */
static void test_cut(void **state)
{
    (void)state;
    alignas(struct packed) static char room[PACKED_MAX];
    struct packed *p = (struct packed *)(void *)room;
    static struct record r, back;
    char text[400];
    for (int i = 0; i < 1000; i++) {
        size_t n = dice_throw(sizeof text);
        for (size_t k = 0; k < n; k++) /* with letters of two bytes, to be cut between */
            text[k] = "\xc3\xa9"[k & 1];
        struct slice s = {text, n};
        struct record_texts t = {s, s, s, s, s, s, s, s, s, s, s, s, s};
        record_any(&r, false);
        record_pack(p, &r, &t);
        for (size_t k = 0; k < TEXTS; k++)
            text_copy((char *)&r + texts[k].at, texts[k].size, s);
        record_unpack(&back, p);
        record_equal(&back, &r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_and_out),
        cmocka_unit_test(test_small),
        cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
