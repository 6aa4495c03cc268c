/* Policy: what a person may say about an account, and about a group of accounts. Opened by
 * accounts.h.
 *
 * Both are settings, JSON objects that the store keeps as text; here they are read into structs,
 * and nowhere else. Pure. */
#ifndef SLUICE_ACCOUNTS_POLICY_H
#define SLUICE_ACCOUNTS_POLICY_H

#include "base/base.h"
#include "store/store.h"

struct models;

#define GROUP_DEFAULT      "default" /* of accounts and keys that name none; always there */
#define ACCOUNT_GROUPS_MAX 8
#define GROUP_ROUTES_MAX   16

/* A daily span in which an account is not used, because its provider charges more then:
 * "[DAYS ]HH:MM-HH:MM[ ZONE]", DAYS as "Mon-Fri" or "Sat,Sun", ZONE as "+08:00", "UTC+8" or
 * "UTC" (the default). A span that ends before it begins goes on after midnight. */
struct peak_hours {
    bool set;
    uint8_t days;     /* bit 0 = Monday, the day on which the span begins */
    int16_t from, to; /* minutes of the day, 0..1439 and 1..1440 */
    int16_t zone;     /* minutes east of UTC */
};
MUST_USE enum err peak_hours_read(struct slice text, struct peak_hours *out);
/* Wall ms at which the span that `now` is in ends; 0 = it is in none. */
int64_t peak_hours_until(const struct peak_hours *p, int64_t now);

struct account_policy {
    char group[ACCOUNT_GROUPS_MAX][STORE_GROUP_MAX]; /* "groups": [...]; none: GROUP_DEFAULT */
    int groups;
    char quota[STORE_GROUP_MAX]; /* "quota": accounts that name the same one spend the same quota at
                                    the provider: what is learnt of one's windows and rate limits
                                    holds for all; "" = its own */
    int32_t concurrency;         /* "concurrency": requests in flight at most, 0 = unbounded */
    int32_t pause_at;            /* "pause_at": per cent of the 5h or 7d window, 0 = never */
    bool pause_on_overage;       /* "pause_on_overage": rests while it would be paid for */
    struct peak_hours peak;      /* "peak_hours": text, see above */
};
/* `settings` "" is {}; unknown keys are not looked at. ERR_SYNTAX with a sentence in `why`. */
MUST_USE enum err account_policy_read(struct slice settings, struct account_policy *out, char *why,
                                      size_t why_size);
bool account_policy_in(const struct account_policy *p, const char *group);

/* ---- groups ---------------------------------------------------------------------------------- */

/* How a group chooses among accounts of the same priority, and what priority means to it. */
enum strategy {
    STRATEGY_SESSION,      /* one account for its five-hour window: the one whose window is open and
                              ends soonest; none open: weighted rendezvous of the conversation */
    STRATEGY_LEAST_USED,   /* the lowest use of the tightest window, then the fewest served */
    STRATEGY_ROUND_ROBIN,  /* whoever has waited longest */
    STRATEGY_WEIGHTED,     /* the same, smoothly in the proportion of the weights */
    STRATEGY_SHUFFLE,      /* weighted dice */
    STRATEGY_FAILOVER,     /* the first that can, by priority, then name */
    STRATEGY_LEAST_LOADED, /* the fewest in flight for its weight */
    STRATEGY_MODEL,        /* no accounts of its own choice: the longest prefix of the model names
                              another group */
    STRATEGY_COUNT
};
const char *strategy_name(enum strategy s); /* "session", "least-used", ... */
const char *strategy_help(enum strategy s); /* one line */
bool strategy_find(struct slice name, enum strategy *out);
bool strategy_sticky(enum strategy s); /* what "affinity" is when a group does not say it */

struct group {
    char name[STORE_GROUP_MAX];
    enum strategy strategy;
    bool affinity; /* "affinity": a conversation stays where its prompt cache is warm; by default
                      true but for round-robin and shuffle */
    struct group_route {
        char prefix[STORE_MODEL_MAX]; /* of a model name; "" matches all */
        char group[STORE_GROUP_MAX];
    } route[GROUP_ROUTES_MAX]; /* "routes": {"claude-opus": "premium", "": "default"}; of MODEL */
    int routes;
    struct models *models; /* "models", see provider.h; the set's, which alone fills it in */
    int64_t version;
};
/* Checks a row as a person gave it and reads it; `why` says what to do. */
MUST_USE enum err group_read(const struct group_row *row, struct group *out, char *why,
                             size_t why_size);

#endif
