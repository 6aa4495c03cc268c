/* The drain's states: see app_drain.h. */
#include "app_drain.h"

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Who allows little time for the whole means the end of it, too. */
static int64_t reap_ms(int64_t limit_ms)
{
    int64_t share = limit_ms / 20;
    return share < DRAIN_HURRY_MS ? DRAIN_HURRY_MS : least(share, DRAIN_REAP_MS);
}

unsigned drain_begin(struct drain *d, int64_t now, int64_t lead_ms, int64_t limit_ms,
                     bool shut_first)
{
    assert(d->state == DRAIN_SERVING && lead_ms >= 0 && limit_ms >= 0);
    *d = (struct drain){.state = DRAIN_LAME,
                        .limit_ms = limit_ms,
                        .lame_until = now + lead_ms,
                        .reap_at = now + lead_ms + limit_ms,
                        .shut_first = shut_first};
    d->hard_at = d->reap_at + reap_ms(limit_ms);
    return DRAIN_ACT_LAME | (shut_first ? DRAIN_ACT_SHUT : 0);
}

unsigned drain_hurry(struct drain *d, int64_t now)
{
    switch (d->state) {
    case DRAIN_LAME:
    case DRAIN_ON:
        d->lame_until = least(d->lame_until, now);
        d->reap_at = least(d->reap_at, now);
        d->hard_at = least(d->hard_at, now + DRAIN_HURRY_MS);
        return 0; /* the next step acts */
    case DRAIN_REAP:
        d->state = DRAIN_OVER;
        return DRAIN_ACT_OVER;
    default:
        return 0;
    }
}

static bool is_idle(const struct drain *d, int64_t now, const struct drain_facts *f)
{
    bool silent = f->arriving == 0 || now >= d->speak_until;
    return d->shut && f->active == 0 && silent && !f->renewing;
}

/* The doors: as long as somebody waits before them for whom there is no room yet, they stay. */
static unsigned step_doors(struct drain *d, int64_t now, const struct drain_facts *f)
{
    if (d->shut)
        return 0;
    if (f->shut) {
        d->shut = true;
        d->speak_until = now + DRAIN_SPEAK_MS;
        return 0;
    }
    if (now >= d->reap_at)
        return DRAIN_ACT_SHUT_NOW;
    return d->shut_first || now >= d->lame_until ? DRAIN_ACT_SHUT : 0;
}

static unsigned step_over(struct drain *d)
{
    d->state = DRAIN_OVER;
    return DRAIN_ACT_OVER;
}

unsigned drain_step(struct drain *d, int64_t now, const struct drain_facts *f)
{
    unsigned act = 0;
    if (d->state == DRAIN_SERVING || d->state == DRAIN_OVER)
        return 0;
    act |= step_doors(d, now, f);
    if (d->state == DRAIN_LAME && d->shut && now >= d->lame_until)
        d->state = DRAIN_ON;
    if (d->state == DRAIN_ON && !d->drained) {
        d->drained = true;
        act |= DRAIN_ACT_DRAIN;
    }
    if (d->state != DRAIN_REAP && now >= d->reap_at) {
        d->state = DRAIN_REAP;
        act |= (d->drained ? 0 : DRAIN_ACT_DRAIN) | DRAIN_ACT_REAP;
        d->drained = true;
    }
    if (act == 0 && d->state != DRAIN_LAME && is_idle(d, now, f))
        return step_over(d);
    if (d->state == DRAIN_REAP && now >= d->hard_at &&
        (!f->renewing || now >= d->hard_at + DRAIN_REFRESH_MS))
        return act | step_over(d);
    return act;
}

int64_t drain_left_ms(const struct drain *d, int64_t now)
{
    if (d->state == DRAIN_SERVING || d->state == DRAIN_OVER || now >= d->hard_at)
        return 0;
    return d->hard_at - now;
}

const char *drain_word(enum drain_state s)
{
    static const char *const words[] = {"serving", "lame_duck", "draining", "reaping", "over"};
    assert((size_t)s < sizeof words / sizeof words[0]);
    return words[s];
}
