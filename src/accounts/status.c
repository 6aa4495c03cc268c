/* Status is derived from the facts, here and nowhere else: the selector, the CLI, the dashboard and
 * the metrics all ask this function, so they cannot disagree. */
#include "accounts/accounts.h"

#include <string.h>

const char *account_state_name(enum account_state s)
{
    static const char *const names[] = {
        [ACCOUNT_READY] = "ready",     [ACCOUNT_STALE] = "stale",   [ACCOUNT_COOLING] = "cooling",
        [ACCOUNT_SPENT] = "spent",     [ACCOUNT_PAUSED] = "paused", [ACCOUNT_LOGIN] = "login",
        [ACCOUNT_LEAVING] = "leaving",
    };
    assert((int)s >= 0 && (size_t)s < sizeof names / sizeof names[0]);
    return names[s];
}

static bool is_at(int64_t at, int64_t now)
{
    return at != 0 && at <= now;
}

/* What the token alone says. It is used until it has run out, also while no new one can be had. */
static struct account_status token_status(const struct account_facts *f, int64_t now)
{
    const char *why = f->token_why != NULL ? f->token_why : "";
    bool used_up = f->token_refused || is_at(f->token_expires_at, now);
    if (f->token == TOKEN_MISSING)
        return (struct account_status){ACCOUNT_LOGIN, 0, "no_token"};
    if (f->token == TOKEN_UNREADABLE)
        return (struct account_status){ACCOUNT_LOGIN, 0, "secret_unreadable"};
    if (used_up && !f->token_refreshable)
        return (struct account_status){ACCOUNT_LOGIN, 0,
                                       f->token_refused ? "unauthorized" : "token_expired"};
    if (used_up && f->token_wrong)
        return (struct account_status){ACCOUNT_LOGIN, 0, why};
    if (used_up && f->token_retry_at > now &&
        f->token_retry_at - now <= OAUTH_RETRY_MAX) /* else written under a wrong clock */
        return (struct account_status){ACCOUNT_COOLING, f->token_retry_at, why};
    if (used_up || (f->token_refreshable && is_at(f->token_stale_at, now)))
        return (struct account_status){ACCOUNT_STALE, 0, ""};
    return (struct account_status){ACCOUNT_READY, 0, ""};
}

/* Closed windows of the whole account; the one that opens last counts. A past reset closes nothing.
 */
static struct account_status windows_status(const struct account_facts *f, int64_t now)
{
    if (!f->window[WINDOW_5H].closed && !f->window[WINDOW_7D].closed)
        return (struct account_status){ACCOUNT_READY, 0, ""};
    int64_t five = window_closed_until(&f->window[WINDOW_5H], WINDOW_5H, now);
    int64_t seven = window_closed_until(&f->window[WINDOW_7D], WINDOW_7D, now);
    if (five == 0 && seven == 0)
        return (struct account_status){ACCOUNT_READY, 0, ""};
    if (five > seven)
        return (struct account_status){ACCOUNT_SPENT, five, "session_limit"};
    return (struct account_status){ACCOUNT_SPENT, seven, "weekly_limit"};
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
    struct account_status token = {ACCOUNT_READY, 0, ""};
    if (f->token != TOKEN_NONE)
        token = token_status(f, now);
    if (token.state == ACCOUNT_LOGIN)
        return token;
    /* Nobody is benched for longer than this: a later time was written under a wrong clock. */
    bool rests = f->cool_until > now && f->cool_until - now <= ACCOUNT_BENCH_MAX;
    struct account_status spent = windows_status(f, now);
    if (rests && f->cool_until > spent.until &&
        (token.state != ACCOUNT_COOLING || f->cool_until >= token.until))
        return (struct account_status){ACCOUNT_COOLING, f->cool_until, f->cool_reason};
    return spent.state == ACCOUNT_SPENT && spent.until >= token.until ? spent : token;
}

static struct account_status family_status(const struct account_facts *f, const char *family,
                                           int64_t now)
{
    struct account_status s = {ACCOUNT_READY, 0, ""};
    const struct window *w = &f->window[WINDOW_7D_MODEL];
    if (w->closed && strcmp(w->family, family) == 0)
        s.until = window_closed_until(w, WINDOW_7D_MODEL, now);
    if (s.until != 0)
        s = (struct account_status){ACCOUNT_SPENT, s.until, "model_limit"};
    for (int i = 0; i < ACCOUNT_FAMILIES; i++) {
        const struct family_rest *r = &f->family[i];
        bool rests = r->until > now && r->until - now <= ACCOUNT_BENCH_MAX;
        if (rests && r->until > s.until && strcmp(r->family, family) == 0)
            s = (struct account_status){ACCOUNT_SPENT, r->until, r->reason};
    }
    return s;
}

/* Who cannot be told to be of a resting family serves: a false exclusion takes an account away, a
 * false admission costs one refusal. */
struct account_status account_status_for(const struct account_facts *f, const char *family,
                                         int64_t now)
{
    struct account_status s = account_status(f, now);
    bool serves = s.state == ACCOUNT_READY || s.state == ACCOUNT_STALE;
    if (family[0] == '\0' || (!serves && s.until == 0))
        return s;
    struct account_status of = family_status(f, family, now);
    return of.state == ACCOUNT_SPENT && of.until > s.until ? of : s;
}
