/* Progress: see app_pulse.h. */
#include "app_pulse.h"

void pulse_init(struct pulse *p, int64_t now, int64_t every_ms)
{
    assert(every_ms > 0);
    *p = (struct pulse){.due_at = now, .feed_at = now, .every_ms = every_ms};
}

enum pulse_verdict pulse_beat(struct pulse *p, int64_t now, int64_t stuck_ms)
{
    int64_t late = now - p->due_at, worst;
    assert(p->every_ms > 0);
    if (late > p->worst_ms)
        p->worst_ms = late;
    p->due_at = now + (p->every_ms < PULSE_BEAT_MS ? p->every_ms : PULSE_BEAT_MS);
    if (now < p->feed_at)
        return PULSE_WAIT;
    worst = p->worst_ms;
    p->worst_ms = 0;
    p->feed_at = now + p->every_ms;
    if (worst >= PULSE_LATE_MS)
        return PULSE_LOOP_LATE;
    return stuck_ms >= PULSE_STUCK_MS ? PULSE_STORE_STUCK : PULSE_FEED;
}
