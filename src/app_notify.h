/* app_notify: telling the service manager how things are (sd_notify(3)), without its library. */
#ifndef SLUICE_APP_NOTIFY_H
#define SLUICE_APP_NOTIFY_H

#include "base/base.h"

#define NOTIFY_PATH_MAX 108

/* Whom to tell, and how often its watchdog wants to hear: what the environment says, or what the
 * process said whose place we take. */
struct app_manager {
    char socket[NOTIFY_PATH_MAX]; /* "": nobody */
    int64_t watchdog_us;          /* 0: there is none */
};
void app_manager_find(struct app_manager *m);
void app_manager_use(const struct app_manager *m);
const struct app_manager *app_manager(void);
/* One datagram: "READY=1", several lines if need be. What cannot be sent is lost, for nobody must
 * wait for it. */
void app_notify(const char *text);
void app_notifyf(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* How often WATCHDOG=1 is due: a third of what is allowed, ms; 0: there is no watchdog. */
int64_t app_watchdog_ms(void);

#endif
