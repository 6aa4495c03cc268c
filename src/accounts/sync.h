/* Sync: a set that is not alone with its store. Opened by accounts.h. */
#ifndef SLUICE_ACCOUNTS_SYNC_H
#define SLUICE_ACCOUNTS_SYNC_H

#include "store/store.h"

struct account_set;

/* Loads everything from the store again and brings memory in line with it: accounts and groups that
 * came, changed or went, facts and windows that were seen later, tokens of a newer generation. For
 * when another process has written (store_watch). `done` comes once for each call, in a later turn;
 * after an error some of it may have been brought in, and the call is to be made again. */
void accounts_sync(struct account_set *set, store_done_fn *done, void *arg);

#endif
