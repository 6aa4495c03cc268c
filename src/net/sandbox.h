/* sandbox: what its tests need besides the door. Private to net. */
#ifndef SLUICE_NET_SANDBOX_H
#define SLUICE_NET_SANDBOX_H

#include "net/net.h"

/* sandbox_calls; `watched`: with what the tools of a test build do at the end of a process, which
 * it finds out by itself otherwise. */
MUST_USE enum err sandbox_close(bool strict, bool watched, struct sandbox *out);

#endif
