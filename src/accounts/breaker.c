/* Breakers: an account, or a provider, that fails by itself.
 *
 *            three failures in a row           the rest is over, and one request is held
 *   CLOSED ---------------------------> OPEN ------------------------------------> HALF
 *     ^                                  ^                                          |
 *     |  any answer that serves          '---- it fails: a rest twice as long ------|
 *     '-----------------------------------------------------------------------------'
 *
 * The states are derived from the facts: OPEN is a rest that our own counting ordered, HALF is
 * probe_at. A rest is lengthened by its probe alone. Twenty requests that were under way when a
 * server went away fail twenty times for one reason, and a request that is let through because no
 * account is left (WHY_RESCUE) proves nothing about the time after the rest. */
#include "accounts/inside.h"

#include <string.h>

#define TRIP       3 /* failures in a row before the first rest */
#define REST_FIRST INT64_C(1000)
#define REST_LAST  INT64_C(48000) /* with the jitter: a minute */
#define ORIGIN_MS  INT64_C(15000)
#define CUT        4  /* a reply that breaks off weighs as much as so many that begin */
#define CUT_TRIP   12 /* and so much is as bad as a row of failures */

static uint64_t mix(uint64_t h)
{
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ULL;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebULL;
    return h ^ (h >> 31);
}

/* ---- one account ----------------------------------------------------------------------------- */

bool is_own_rest(const char *reason)
{
    static const char *const named[] = {"rate_limited", "spend_limit", "overloaded", NULL};
    for (int i = 0; named[i] != NULL; i++) {
        if (strcmp(reason, named[i]) == 0)
            return false;
    }
    return !is_login_reason(reason);
}

static bool rests_for_failures(const struct account_facts *f)
{
    return f->cool_until != 0 && is_own_rest(f->cool_reason);
}

bool breaker_is_tripped(const struct account_facts *f)
{
    return f->failures >= TRIP || rests_for_failures(f);
}

bool breaker_is_probing(const struct account_facts *f, int64_t now)
{
    int64_t since = now - f->probe_at;
    return f->probe_at != 0 && since >= 0 && since < ACCOUNT_PROBE_MS;
}

void breaker_hold(struct account_facts *f, int64_t now)
{
    if (breaker_is_tripped(f) && !breaker_is_probing(f, now))
        f->probe_at = now;
}

/* Which of several requests lets go is not known; older ones may be left, which began before the
 * rest. So the probe is over for certain only with the last of them, and else by ACCOUNT_PROBE_MS:
 * too late costs seconds, too early lets in a second one. */
void breaker_release(struct account_facts *f)
{
    if (f->in_flight == 0)
        f->probe_at = 0;
}

int64_t breaker_rest(int32_t failures, int64_t now, int64_t id)
{
    int64_t ms = REST_FIRST;
    assert(failures > 0);
    if (failures < TRIP)
        return 0;
    for (int32_t i = TRIP; i < failures && ms < REST_LAST; i++)
        ms *= 2;
    ms = ms < REST_LAST ? ms : REST_LAST;
    uint64_t dice = mix((uint64_t)now ^ mix((uint64_t)id)) % 1024;
    return ms + ms / 4 * (int64_t)dice / 1024;
}

/* Told when a reply begins: it may still break off, so that is forgotten bit by bit. */
bool breaker_served(struct account_facts *f)
{
    bool rested = rests_for_failures(f);
    f->cut -= f->cut > 0;
    f->failures = 0;
    f->probe_at = 0;
    if (!rested)
        return false;
    f->cool_until = 0;
    f->cool_reason[0] = '\0';
    return true;
}

/* A reply that breaks off was a success when it began, and ended the row of failures. Where more
 * than a quarter do so, a row is made of them. */
static void breaker_cut(struct account_facts *f)
{
    f->cut += CUT;
    if (f->cut < CUT_TRIP)
        return;
    f->cut = 0;
    if (f->failures < TRIP - 1)
        f->failures = TRIP - 1;
}

int64_t breaker_failed(struct account_facts *f, bool begun, int64_t ordered, int64_t now,
                       int64_t id)
{
    assert(ordered >= 0);
    if (breaker_is_tripped(f)) {
        bool resting = rests_for_failures(f) && f->cool_until > now;
        bool probed = f->probe_at != 0;
        f->probe_at = 0;
        if (resting || !probed) /* it was sent before the rest, or in spite of it */
            return ordered;
        if (f->failures < TRIP - 1) /* the row is not stored, the rest is */
            f->failures = TRIP - 1;
    }
    if (begun)
        breaker_cut(f);
    f->failures += f->failures < 1000;
    int64_t rest = breaker_rest(f->failures, now, id);
    return rest > ordered ? rest : ordered;
}

/* ---- one origin ------------------------------------------------------------------------------ */

static uint64_t origin_key(const struct http_target *t)
{
    uint64_t h = 0xcbf29ce484222325ULL ^ t->port ^ (t->tls ? UINT64_C(1) << 32 : 0);
    for (size_t i = 0; i < t->host.n; i++) {
        char c = t->host.p[i];
        c = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
        h = (h ^ (uint8_t)c) * 0x100000001b3ULL;
    }
    return mix(h);
}

bool origin_same(const struct http_target *a, const struct http_target *b)
{
    return a->tls == b->tls && a->port == b->port && slice_ieq(a->host, b->host);
}

void origin_failed(struct account_set *set, const struct account *a, int64_t now)
{
    uint64_t key = origin_key(&a->door[0].target);
    struct origin_trouble *to = NULL, *oldest = &set->trouble[0];
    for (int i = 0; i < set->troubles; i++) {
        struct origin_trouble *t = &set->trouble[i];
        if (t->key == key)
            to = t;
        if (t->last < oldest->last)
            oldest = t;
    }
    if (to == NULL) {
        to = set->troubles < ORIGINS_MAX ? &set->trouble[set->troubles++] : oldest;
        *to = (struct origin_trouble){.key = key};
    }
    to->before = to->last;
    to->last = now;
}

void origin_served(struct account_set *set, const struct account *a)
{
    if (set->troubles == 0)
        return;
    uint64_t key = origin_key(&a->door[0].target);
    for (int i = 0; i < set->troubles; i++) {
        if (set->trouble[i].key == key)
            set->trouble[i--] = set->trouble[--set->troubles];
    }
}

void origins_shift(struct account_set *set, int64_t by)
{
    for (int i = 0; i < set->troubles; i++) {
        set->trouble[i].before += set->trouble[i].before != 0 ? by : 0;
        set->trouble[i].last += by;
    }
}

bool account_origin_fails(const struct account_set *set, const struct account *a, int64_t now)
{
    if (set->troubles == 0) /* as a rule: choosing asks this of every account */
        return false;
    uint64_t key = origin_key(&a->door[0].target);
    for (int i = 0; i < set->troubles; i++) {
        const struct origin_trouble *t = &set->trouble[i];
        if (t->key == key)
            return t->before != 0 && now - t->before >= 0 && now - t->before < ORIGIN_MS;
    }
    return false;
}
