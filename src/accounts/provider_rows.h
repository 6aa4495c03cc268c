/* Private to accounts: the table of providers. */
#ifndef SLUICE_ACCOUNTS_PROVIDER_ROWS_H
#define SLUICE_ACCOUNTS_PROVIDER_ROWS_H

#include "accounts/accounts.h"

extern const struct provider provider_rows[];
extern const int provider_rows_n;

#endif
