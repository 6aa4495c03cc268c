/* Status is derived from the facts, here and nowhere else: the selector, the CLI, the dashboard and
 * the metrics all ask this function, so they cannot disagree. */
#include "accounts/accounts.h"

const char *account_state_name(enum account_state s)
{
    static const char *const names[] = {
        [ACCOUNT_READY] = "ready", [ACCOUNT_COOLING] = "cooling", [ACCOUNT_PAUSED] = "paused",
        [ACCOUNT_LOGIN] = "login", [ACCOUNT_LEAVING] = "leaving",
    };
    assert((int)s >= 0 && (size_t)s < sizeof names / sizeof names[0]);
    return names[s];
}

/* What a person did outranks what a provider said; what only a person can mend outranks what time
 * will. */
struct account_status account_status(const struct account_facts *f, int64_t now)
{
    if (f->leaving)
        return (struct account_status){ACCOUNT_LEAVING, 0, "removed"};
    if (f->paused)
        return (struct account_status){ACCOUNT_PAUSED, 0, "paused"};
    if (f->login_needed)
        return (struct account_status){ACCOUNT_LOGIN, 0,
                                       f->cool_reason[0] != '\0' ? f->cool_reason : "unauthorized"};
    /* Nobody is benched for longer than this: a later time was written under a wrong clock. */
    if (f->cool_until > now && f->cool_until - now <= ACCOUNT_BENCH_MAX)
        return (struct account_status){ACCOUNT_COOLING, f->cool_until, f->cool_reason};
    return (struct account_status){ACCOUNT_READY, 0, ""};
}
