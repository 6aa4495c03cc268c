#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1 /* POSIX 2008 under -std=c17 */
#endif
#include "app_guard.h"

#include <sys/resource.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif

static bool guarded;

void app_guard(bool allow_core_dumps)
{
    struct rlimit none = {0, 0};
    if (allow_core_dumps)
        return;
    guarded = true;
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        log_warn("core dumps cannot be turned off");
#ifdef __linux__
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        log_warn("the process cannot be made opaque");
#endif
}

void app_unguard(void)
{
#ifdef __linux__
    if (guarded)
        (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
#endif
    guarded = false;
}
