/* app_notify: telling the service manager how things are (sd_notify(3)), without its library. */
#ifndef SLUICE_APP_NOTIFY_H
#define SLUICE_APP_NOTIFY_H

#include "base/base.h"

/* One datagram to $NOTIFY_SOCKET: "READY=1", several lines if need be. Without one, nothing; what
 * cannot be sent is lost, for nobody must wait for it. */
void app_notify(const char *text);
/* How often the watchdog wants to hear WATCHDOG=1: half of what it allows, ms; 0 = there is none.
 */
int64_t app_watchdog_ms(void);

#endif
