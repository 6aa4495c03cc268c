/* Quotas: accounts that spend the same one at their provider (two tokens of one subscription, two
 * keys of one organisation) know the same of it. What a reply to one tells of windows, and the rest
 * that the provider orders, holds for all and is stored for each. Failures, logins and overload are
 * an account's own. */
#include "accounts/inside.h"

#include <string.h>

static bool quota_shared(const struct account *a, const struct account *b)
{
    return a != b && !b->facts.leaving &&
           strcmp(a->facts.policy.quota, b->facts.policy.quota) == 0 &&
           origin_same(&a->door[0].target, &b->door[0].target);
}

struct account *quota_next(struct account_set *set, const struct account *a, int *at)
{
    assert(*at >= 0);
    if (a->facts.policy.quota[0] == '\0')
        return NULL;
    while (*at < set->n) {
        struct account *b = &set->entry[(*at)++]->a;
        if (quota_shared(a, b))
            return b;
    }
    return NULL;
}

/* The provider's own order, which comes from the quota: longer than what is known here. */
static bool rest_adopt(struct account_facts *f, const struct account_facts *from, int64_t now)
{
    if (f->login_needed || from->login_needed || from->cool_until <= now ||
        from->cool_until <= f->cool_until || !quota_reason(from->cool_reason))
        return false;
    f->cool_until = from->cool_until;
    text_copy(f->cool_reason, sizeof f->cool_reason, slice_of(from->cool_reason));
    if (f->seen_at < from->seen_at)
        f->seen_at = from->seen_at;
    return true;
}

bool quota_reason(const char *reason)
{
    return strcmp(reason, "rate_limited") == 0 || strcmp(reason, "spend_limit") == 0;
}

void quota_adopt(struct account_set *set, struct account *a)
{
    int at = 0;
    int64_t now = loop_wall(set->loop);
    const struct account *b;
    while ((b = quota_next(set, a, &at)) != NULL) {
        windows_take(set, a, b->facts.window, now);
        for (int i = 0; i < ACCOUNT_FAMILIES; i++) {
            const struct family_rest *r = &b->facts.family[i];
            if (r->until > now)
                family_note(&a->facts, r->family, r->reason, r->until, r->since);
        }
        if (rest_adopt(&a->facts, &b->facts, now))
            facts_store(set, a);
    }
}

void quota_reset(struct account_set *set, struct account *a)
{
    int at = 0;
    struct account *b;
    while ((b = quota_next(set, a, &at)) != NULL) {
        struct account_facts *f = &b->facts;
        windows_clear(set, b, false);
        if (f->login_needed || f->cool_until == 0 || !quota_reason(f->cool_reason))
            continue;
        f->cool_until = 0;
        f->cool_reason[0] = '\0';
        f->seen_at = loop_wall(set->loop);
        facts_store(set, b);
    }
}
