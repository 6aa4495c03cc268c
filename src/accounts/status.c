/* Status is derived from the facts, here and nowhere else: the selector, the CLI, the dashboard and
 * the metrics all ask this function, so they cannot disagree. */
#include "accounts/inside.h"

#include <string.h>

#define PROBE_LOOK   INT64_C(1000)   /* a probe ends soon, but when is not known */
#define RESET_UNTOLD INT64_C(600000) /* so long a use counts whose window's reset was not told */
#define PROBE_ALONE  INT64_C(5000)   /* who has nobody else leaves it to a probe for so long */
#define RESCUE_QUIET INT64_C(1000)   /* so long without news: only streams are under way */
#define OVERLOAD_MS  INT64_C(10000)  /* a longer rest for overload was asked for by the provider */

static const struct account_status serves = {ACCOUNT_READY, 0, ""};

const char *account_state_name(enum account_state s)
{
    static const char *const names[] = {
        [ACCOUNT_READY] = "ready", [ACCOUNT_STALE] = "stale",     [ACCOUNT_COOLING] = "cooling",
        [ACCOUNT_SPENT] = "spent", [ACCOUNT_FULL] = "full",       [ACCOUNT_PAUSED] = "paused",
        [ACCOUNT_LOGIN] = "login", [ACCOUNT_LEAVING] = "leaving",
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
    if (f->token == TOKEN_NO_KEY)
        return (struct account_status){ACCOUNT_LOGIN, 0, "no_key"};
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

/* ---- windows --------------------------------------------------------------------------------- */

/* Closed windows of the whole account; the one that opens last counts. A past reset closes nothing.
 */
static struct account_status closed_status(const struct account_facts *f, int64_t now)
{
    int64_t five = window_closed_until(&f->window[WINDOW_5H], WINDOW_5H, now);
    int64_t seven = window_closed_until(&f->window[WINDOW_7D], WINDOW_7D, now);
    if (five == 0 && seven == 0)
        return serves;
    if (five > seven)
        return (struct account_status){ACCOUNT_SPENT, five, "session_limit"};
    return (struct account_status){ACCOUNT_SPENT, seven, "weekly_limit"};
}

/* Until when what is known of a window's use holds; 0 = it does not any more. No window lasts
 * longer than its length, whatever its reset says. */
static int64_t use_until(const struct window *w, enum window_kind k, int64_t now)
{
    int64_t until = w->resets_at != 0 ? w->resets_at : w->seen_at + RESET_UNTOLD;
    if (until - w->seen_at > window_length(k))
        until = w->seen_at + window_length(k);
    return w->known && until > now ? until : 0;
}

static struct account_status later(struct account_status a, struct account_status b)
{
    return b.until > a.until ? b : a;
}

/* What a person has set: that a part of the windows is kept, or that nothing is paid for. Extra
 * usage pays when a window is full and nobody is refused all the same. */
static struct account_status pause_status(const struct account_facts *f, int64_t now)
{
    const struct window *extra = &f->window[WINDOW_OVERAGE];
    struct account_status s = serves;
    for (int i = WINDOW_5H; i <= WINDOW_7D; i++) {
        enum window_kind k = (enum window_kind)i;
        const struct window *w = &f->window[k];
        int64_t until = use_until(w, k, now);
        if (until == 0)
            continue;
        /* 0.29 * 100 is a little less than 29 */
        if (f->policy.pause_at > 0 && w->used * 100 > f->policy.pause_at - 1e-6)
            s = later(s, (struct account_status){ACCOUNT_SPENT, until, "pause_at"});
        if (f->policy.pause_on_overage && extra->known && !extra->closed && !w->closed &&
            w->used >= 1)
            s = later(s, (struct account_status){ACCOUNT_SPENT, until, "overage"});
    }
    return s;
}

static struct account_status windows_status(const struct account_facts *f, int64_t now)
{
    struct account_status s = serves;
    if (f->window[WINDOW_5H].closed || f->window[WINDOW_7D].closed)
        s = closed_status(f, now);
    if (f->policy.pause_at > 0 || f->policy.pause_on_overage)
        s = later(s, pause_status(f, now));
    return s;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static bool is_full(const struct account_facts *f)
{
    return f->policy.concurrency > 0 && f->in_flight >= f->policy.concurrency;
}

/* What time alone will end, the latest end first: before that nothing is served. `failures`: also
 * what our own counting of failures has ordered. */
static struct account_status rest_status(const struct account_facts *f, struct account_status token,
                                         bool failures, int64_t now)
{
    struct account_status s = windows_status(f, now);
    /* Nobody is benched for longer than this: a later time was written under a wrong clock. */
    if (failures && f->cool_until > now && f->cool_until - now <= ACCOUNT_BENCH_MAX)
        s = later(s, (struct account_status){ACCOUNT_COOLING, f->cool_until, f->cool_reason});
    s = later(s, token);
    if (f->policy.peak.set)
        s = later(s, (struct account_status){ACCOUNT_COOLING,
                                             peak_hours_until(&f->policy.peak, now), "peak_hours"});
    if (failures && f->probe_at != 0 && breaker_is_probing(f, now))
        s = later(s, (struct account_status){ACCOUNT_COOLING, now + PROBE_LOOK, "probing"});
    return s;
}

/* What a person did outranks what a provider said; what only a person can mend outranks what time
 * will; and time outranks the requests in flight, which end sooner. */
static struct account_status status_of(const struct account_facts *f, bool failures, int64_t now)
{
    struct account_status token = serves;
    if (f->leaving)
        return (struct account_status){ACCOUNT_LEAVING, 0, "removed"};
    if (f->paused)
        return (struct account_status){ACCOUNT_PAUSED, 0, "paused"};
    if (f->login_needed)
        return (struct account_status){ACCOUNT_LOGIN, 0,
                                       f->cool_reason[0] != '\0' ? f->cool_reason : "unauthorized"};
    if (f->token != TOKEN_NONE)
        token = token_status(f, now);
    if (token.state == ACCOUNT_LOGIN)
        return token;
    struct account_status rest = rest_status(f, token, failures, now);
    assert(rest.until == 0 || rest.until > now);
    if (rest.until != 0)
        return rest;
    if (is_full(f))
        return (struct account_status){ACCOUNT_FULL, 0, "concurrency"};
    return token;
}

struct account_status account_status(const struct account_facts *f, int64_t now)
{
    return status_of(f, true, now);
}

static struct account_status family_status(const struct account_facts *f, const char *family,
                                           int64_t now)
{
    struct account_status s = serves;
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
static struct account_status status_for(const struct account_facts *f, const char *family,
                                        bool failures, int64_t now)
{
    struct account_status s = status_of(f, failures, now);
    bool lasts = s.state == ACCOUNT_LEAVING || s.state == ACCOUNT_PAUSED ||
                 s.state == ACCOUNT_LOGIN;
    return family[0] == '\0' || lasts ? s : later(s, family_status(f, family, now));
}

struct account_status account_status_for(const struct account_facts *f, const char *family,
                                         int64_t now)
{
    return status_for(f, family, true, now);
}

/* The rest is over, and who finds out whether it serves again takes long: that is no bad sign. */
static bool is_slow_probe(const struct account_facts *f, int64_t now)
{
    return f->cool_until <= now && breaker_is_probing(f, now) && now - f->probe_at >= PROBE_ALONE;
}

/* Streams that began before the rest may go on for an hour, and find nothing out: who is silent for
 * a while is not at it. The one that is let through is a probe, so it is known. */
static bool is_being_tried(const struct account_facts *f, bool failing, int64_t now)
{
    if (f->in_flight == 0)
        return false;
    return !failing || breaker_is_probing(f, now) || now - f->seen_at < RESCUE_QUIET;
}

bool account_may_rescue(const struct account_facts *f, const char *family, int64_t now)
{
    bool failing = is_own_rest(f->cool_reason);
    bool own = failing ||
               (strcmp(f->cool_reason, "overloaded") == 0 && f->cool_until - now <= OVERLOAD_MS);
    bool rests = f->cool_until > now && !is_being_tried(f, failing, now);
    if (!own || (!rests && !is_slow_probe(f, now)))
        return false;
    enum account_state s = status_for(f, family, false, now).state;
    return s == ACCOUNT_READY || s == ACCOUNT_STALE;
}
