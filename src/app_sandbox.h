/* app_sandbox: what the daemon gives up for good, so that whoever takes it over gets little by it.
 *
 * In steps, because of what comes between them: the loop, threads, and all that is opened once. */
#ifndef SLUICE_APP_SANDBOX_H
#define SLUICE_APP_SANDBOX_H

#include "base/base.h"
#include "config.h"
#include "net/net.h"
#include "store/store.h"

struct app_sandbox {
    bool wanted, strict;
    struct sandbox got;
};
/* Before the loop is made. */
void app_sandbox_begin(const struct config *c);
/* Before the first thread. What the configuration names, and what resolving names and trusting
 * certificates need, stays readable; the state folder, which it makes, and the folder of the master
 * key, if it is a file of ours, writable. Errors: of the folder; with `sandbox: strict` also that
 * the kernel lacks something. */
MUST_USE enum err app_sandbox_files(struct app_sandbox *x, const struct config *c,
                                    const char *config_file, const struct store_key *key, char *why,
                                    size_t why_size);
/* Once all is open. */
MUST_USE enum err app_sandbox_calls(struct app_sandbox *x, char *why, size_t why_size);
/* Adds to a sentence about a file that could not be read what may be the reason. */
void app_sandbox_explain(const struct app_sandbox *x, char *why, size_t why_size);
/* Member `sandbox` of an open object. */
void app_sandbox_describe(const struct app_sandbox *x, struct jw *w);

#endif
