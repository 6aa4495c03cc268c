/* app_guard: what keeps a process that holds secrets from leaving them behind. */
#ifndef SLUICE_APP_GUARD_H
#define SLUICE_APP_GUARD_H

#include "base/base.h"

/* No core dumps, and nobody but root looks into the memory of the process. */
void app_guard(bool allow_core_dumps);
/* Everything secret has been wiped: tools that look into the process at its end may. */
void app_unguard(void);

#endif
