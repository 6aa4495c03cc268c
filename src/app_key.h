/* app_key: where the master key comes from, as the configuration has it. */
#ifndef SLUICE_APP_KEY_H
#define SLUICE_APP_KEY_H

#include "config.h"
#include "store/store.h"

struct app_key {
    struct store_key key; /* its pointers lead into this */
    char text[128];       /* secret */
    char path[1024];
};
/* Chooses the one place the key comes from and, if that is the environment or a command, takes it
 * from there: before anything is opened, for a command is a process of its own. ERR_EXISTS: there
 * is more than one; other errors: the place fails. `why` gets a sentence. */
MUST_USE enum err app_key_get(struct app_key *k, const struct config *c, char *why, size_t size);
void app_key_wipe(struct app_key *k);

#endif
