/* app_pulse: whether the process makes progress, for the service manager's watchdog. Pure.
 *
 * It is fed only if since the last time no turn of the loop has been a second late, and the store's
 * thread has ended something within ten seconds whenever it had something to do (robustness.md A9).
 * The watchdog bites when that fails for as long as it allows, not at once. */
#ifndef SLUICE_APP_PULSE_H
#define SLUICE_APP_PULSE_H

#include "base/base.h"

#define PULSE_BEAT_MS  1000 /* a beat is due so often */
#define PULSE_LATE_MS  1000
#define PULSE_STUCK_MS 10000

struct pulse {
    int64_t due_at, feed_at, every_ms;
    int64_t worst_ms; /* the latest beat since the last feed was due */
};
enum pulse_verdict { PULSE_WAIT, PULSE_FEED, PULSE_LOOP_LATE, PULSE_STORE_STUCK };

void pulse_init(struct pulse *p, int64_t now, int64_t every_ms);
/* A beat. Anything but WAIT comes every `every_ms`: feed, or say why not. */
enum pulse_verdict pulse_beat(struct pulse *p, int64_t now, int64_t stuck_ms);

#endif
