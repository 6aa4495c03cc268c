/* app_offline: what the CLI does itself when no daemon runs; see struct cli_hooks. */
#ifndef SLUICE_APP_OFFLINE_H
#define SLUICE_APP_OFFLINE_H

#include "app.h"

MUST_USE enum err app_offline_open(const struct config *c, struct admin **out, char *why,
                                   size_t size);
void app_offline_close(struct admin *a);
MUST_USE enum err app_restore(const struct config *c, const char *file, bool replace,
                              struct store_copy *out);

#endif
