/* app_load: who is told when memory, time or descriptors run short, and how it is shown. */
#ifndef SLUICE_APP_LOAD_H
#define SLUICE_APP_LOAD_H

#include "app.h"

struct app_load { /* all borrowed */
    struct house *house;
    struct http_server *clients;
};
void app_load_begin(struct app_load *a, struct house *house, struct http_server *clients);
void app_load_limit(struct app_load *a, const struct config *c); /* a reload */
void app_load_describe(const struct app_load *a, struct jw *w);

#endif
