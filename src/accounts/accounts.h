/* accounts: who can serve a request, and what each reply teaches about that.
 *
 * Facts are stored, status is derived (design.md section 4). This room decides and remembers; it
 * sends nothing and knows nothing of clients or content. Where it decides it is pure: facts, a
 * wish and a time in, an answer out. The set is the in-memory truth; the store is told of every
 * change. */
#ifndef SLUICE_ACCOUNTS_H
#define SLUICE_ACCOUNTS_H

#include "base/base.h"
#include "codec/codec.h"
#include "http/http.h"
#include "net/net.h"
#include "store/store.h"
#include "accounts/cloud.h"
#include "accounts/oauth.h"
#include "accounts/policy.h"
#include "accounts/provider.h"
#include "accounts/sync.h"
#include "accounts/sign.h"
#include "accounts/windows.h"

/* ---- accounts -------------------------------------------------------------------------------- */

enum account_state {
    ACCOUNT_READY,
    ACCOUNT_STALE,   /* its token runs out: account_token_get before it is used */
    ACCOUNT_COOLING, /* until .until */
    ACCOUNT_SPENT,   /* a window is used up; until .until */
    ACCOUNT_FULL,    /* as many requests in flight as its policy allows */
    ACCOUNT_PAUSED,  /* by a person */
    ACCOUNT_LOGIN,   /* its credential was refused, or cannot be read: a person must act */
    ACCOUNT_LEAVING, /* removed; the requests in flight may finish */
};
const char *account_state_name(enum account_state s);

/* ms; no rest is longer, whoever asks for it */
#define ACCOUNT_BENCH_MAX (INT64_C(7) * 24 * 3600 * 1000)

/* A family of models rests on an account that serves all others. */
struct family_rest {
    char family[WINDOW_FAMILY_MAX];
    int64_t since, until; /* wall ms; over: the place is free */
    const char *reason;   /* static */
};
#define ACCOUNT_FAMILIES 4

/* ms; a request that finds out whether an account serves again keeps the others out for so long:
 * one that is only slow must not be the account's end */
#define ACCOUNT_PROBE_MS (INT64_C(30) * 1000)

enum token_fact {
    TOKEN_NONE, /* it has a fixed secret */
    TOKEN_HELD,
    TOKEN_MISSING,
    TOKEN_UNREADABLE,
    TOKEN_NO_KEY /* no token: the secret that a login makes, before that login */
};
struct account_facts { /* everything status is derived from */
    bool paused, leaving, login_needed;
    int64_t cool_until;   /* wall ms */
    char cool_reason[32]; /* of the cooldown, or of login_needed */
    int64_t seen_at;
    int32_t failures; /* in a row: connect errors, resets, 5xx; drives the backoff */
    int32_t cut;      /* grows with replies that break off, sinks with those that begin */
    int32_t in_flight;
    int64_t probe_at; /* a rest for failures is over, and one request is finding out whether it can
                         serve again: when that began, wall ms; 0 = none does. Others see COOLING
                         for as long as it may take, ACCOUNT_PROBE_MS */
    struct window window[WINDOW_KINDS];
    struct family_rest family[ACCOUNT_FAMILIES];
    /* of an account with a rotating token; TOKEN_NONE: it has a fixed secret */
    enum token_fact token;
    bool token_refreshable; /* there is a refresh token, and a client_id to use it with */
    bool token_refused;     /* by a 401: used up, whatever its time says */
    bool token_wrong;       /* the token endpoint refuses the configuration: a person must act */
    int64_t token_expires_at, token_stale_at; /* wall ms, 0 = not told */
    int64_t token_retry_at;                   /* a refresh has failed: none before, 0 = none has */
    const char *token_why;                    /* ... for this, static; NULL = none has */
    struct account_policy policy;
};
struct account_status {
    enum account_state state;
    int64_t until;      /* COOLING and SPENT: wall ms */
    const char *reason; /* "" when READY or STALE */
};
/* Pure: the one place where status comes from. `now` is wall ms. */
struct account_status account_status(const struct account_facts *f, int64_t now);
/* The same for a request to one family of models (model_family; "" = not told, then all serve):
 * SPENT while only that family rests on it. */
struct account_status account_status_for(const struct account_facts *f, const char *family,
                                         int64_t now);

struct account {
    int64_t id, version;
    char name[STORE_NAME_MAX];
    const struct provider *provider;
    char own_url[STORE_URL_MAX]; /* as a person gave it; "" = the provider's */
    /* None only if what is stored cannot be read: then it is paused, and door[0] empty. */
    const struct account_door *door; /* whoever holds the account keeps those it was given */
    int doors;
    struct models *models; /* its mapping; NULL = none */
    int32_t priority, weight;
    bool allow_private;
    char settings[STORE_SETTINGS_MAX]; /* as stored: an update hands them back */
    int64_t created_at;
    struct account_facts facts;
    /* Ready to send: {"x-api-key", secret} or {"authorization", "Bearer ..."}; both "" when there
     * is none that is the same for every request. For all accounts alike: account_sign. */
    struct http_header credential;
    int64_t generation;      /* of the token in it, 0 = a fixed secret: see account_token_get */
    uint64_t served, failed; /* since start */
    uint64_t pass;           /* how much of its share it has had, for turns among idle accounts */
    uint64_t turn;           /* the set's count of requests when it got its last one */
    int refs;                /* exchanges that hold it; freed when LEAVING and 0 */
};

struct account_set;
/* Loads from the store; `ready` comes once, in a later turn. */
struct account_set *accounts_new(struct loop *l, struct store *s, store_done_fn *ready, void *arg);
void accounts_free(struct account_set *set);
int accounts_count(const struct account_set *set);
uint64_t accounts_logins_lost(const struct account_set *set); /* needed a person, since start */
struct account *accounts_at(struct account_set *set, int i);  /* by priority, then name */
struct account *accounts_by_name(struct account_set *set, struct slice name);
struct account *accounts_by_id(struct account_set *set, int64_t id);
/* After the store has confirmed an add, update or remove: brings memory in line with the row. */
void accounts_apply(struct account_set *set, const struct account_row *row);
void accounts_drop(struct account_set *set, int64_t id);
/* Forgets a cooldown, closed windows, a refused credential and a failed refresh; closed windows and
 * rests for what was spent also of those that share its quota. */
void accounts_reset(struct account_set *set, struct account *a);
/* Brings what is known in line with a wall clock that was set back: nobody rests for longer because
 * of that. Choosing and learning do it by themselves. */
void accounts_clock(struct account_set *set);
/* in_flight and refs + 1. An account that rested for failures is on trial from here on. */
void account_hold(struct account *a);
void account_release(struct account_set *set, struct account *a);
/* Checks a row as a person gave it (name, provider, base URL, priority 0..1000, weight 1..1000,
 * secret present and printable; of a provider with OAuth the settings, and no secret where it is a
 * token that rotates); `why` says what to do. Private base, token and key URLs need
 * row->allow_private. */
MUST_USE enum err account_check(const struct account_row *row, char *why, size_t why_size);

/* ---- groups ---------------------------------------------------------------------------------- */

/* NULL when there is none of that name; GROUP_DEFAULT always is. */
const struct group *accounts_group(const struct account_set *set, const char *name);
/* By name; NULL behind the last. Valid until the group is dropped. */
const struct group *accounts_group_at(const struct account_set *set, int i);
/* After the store has confirmed it; `row` was checked with group_read. */
void accounts_group_apply(struct account_set *set, const struct group_row *row);
void accounts_group_drop(struct account_set *set, const char *name);

/* True when whoever is bound to the group `name` ("" = GROUP_DEFAULT) may use `a`: for some model
 * at least, behind all routes. */
bool accounts_group_reaches(const struct account_set *set, const char *name,
                            const struct account *a);

/* What the clients of a group mean by `asked`; false: the group maps no such name. */
bool group_model(const struct group *g, const char *asked, uint64_t turn, char *out, size_t size);
/* Its i-th whole name, which stands in no list of a provider's; false behind the last. */
bool group_alias(const struct group *g, int i, struct slice *name);
/* The account that "MODEL@ACCOUNT" names; `model` loses that end. NULL: it names none. */
struct account *accounts_model_account(struct account_set *set, char *model);

/* ---- choosing -------------------------------------------------------------------------------- */

/* Why an account was chosen, or was not. Static words, in the records and the API. */
enum why {
    WHY_NONE,
    /* chosen, or would have been: */
    WHY_PINNED,   /* it holds what the request refers to */
    WHY_WARM,     /* the conversation's prompt cache is warm there */
    WHY_PARENT,   /* a subagent begins where its parent is */
    WHY_STRATEGY, /* the group's strategy puts it first */
    WHY_ONLY,     /* no other one can serve */
    WHY_RESCUE,   /* all rest for failures only: the best one is tried, one request at a time */
    /* not chosen: */
    WHY_BEHIND,   /* could serve, but stands behind */
    WHY_PRIORITY, /* could serve, but its priority is lower */
    WHY_ORIGIN,   /* could serve, but its provider fails on other accounts just now */
    WHY_TRIED,    /* has been tried for this request */
    WHY_GROUP,    /* is in another group */
    WHY_DIALECT,  /* has no door for such a call */
    WHY_MODEL,    /* does not have such a model */
    WHY_STATE,    /* rests, is paused, ...: see its status */
    WHY_COUNT
};
const char *why_name(enum why w); /* "warm", ... */
const char *why_text(enum why w); /* "its prompt cache is warm there" */

struct account_wish {
    const char *group;    /* NULL = GROUP_DEFAULT; one that does not exist has no accounts */
    const char *model;    /* "" = none named */
    enum dialect dialect; /* of the client; DIALECT_COUNT = whoever, for whatever call */
    enum api call;
    uint64_t conversation; /* 0 = none: spread over the least loaded */
    uint64_t parent;       /* the conversation a subagent belongs to, 0 = none */
    uint64_t dice;         /* of this request, for SHUFFLE */
    int64_t pinned;        /* account id that alone may serve (server-held state), 0 = any */
    const int64_t *tried;  /* ids already tried for this request */
    int tried_n;
};
#define ACCOUNTS_MAX 64
struct account_choice {
    struct account *ready[ACCOUNTS_MAX]; /* best first; READY or STALE */
    enum why why[ACCOUNTS_MAX];          /* of ready[i] */
    int n;
    /* The conversation is warm on this account, which is FULL, or rests for a short while, and what
     * it would cost to move is worth a wait until then (wall ms; FULL: soon, and sooner when one
     * of its requests ends). NULL: nothing to wait for. */
    struct account *worth_waiting;
    int64_t worth_until;
    int full;                    /* FULL ones: soonest does not count them */
    char group[STORE_GROUP_MAX]; /* whose accounts were looked at, behind MODEL's routes */
    int64_t soonest;          /* wall ms at which the first resting one comes back; 0 = none will */
    int considered;           /* accounts of the group that are not LEAVING, and fit */
    int no_dialect, no_model; /* those that do not */
    int cooling, login, paused;   /* cooling: also those whose windows are used up */
    enum reply_error cooling_for; /* why the soonest one cools: RATE_LIMIT, OVERLOADED, SERVER... */
};
/* Pure but for reading the set. Lower priority number first; within one priority as the group's
 * strategy says; a warm conversation's account before all, then its parent's; and those whose
 * provider fails after all others. If none can, one that rests only for failures which we have
 * counted ourselves is there for whoever comes first (WHY_RESCUE). With `pinned` only that account
 * is looked at and counted, whatever its group. Under 5 us with 64 accounts and 10,000 live
 * conversations. */
void accounts_choose(struct account_set *set, const struct account_wish *w, int64_t now,
                     struct account_choice *out);
/* The same choice with every account's reason, for `route explain` and the book: chosen ones first
 * in their order, then the others, but with `pinned` none that is not pinned. Returns how many. */
struct account_explained {
    const struct account *account;
    enum why why;
    struct account_status status;
};
int accounts_explain(struct account_set *set, const struct account_wish *w, int64_t now,
                     struct account_explained out[ACCOUNTS_MAX]);

/* ---- affinity -------------------------------------------------------------------------------- */

/* The conversation was served there: its prompt cache stays warm for `ttl_ms` (five minutes, or an
 * hour when such writes were seen) and holds `context` tokens; less than a quarter of what is known
 * is a thing on the side, and changes nothing. Beyond AFFINITY_MAX those unused for longest go. */
#define AFFINITY_MAX 65536
void accounts_warm(struct account_set *set, uint64_t conversation, const struct account *a,
                   int64_t ttl_ms, int64_t context, int64_t now);
/* Where it is warm, NULL = nowhere; `context` may be NULL. */
struct account *accounts_warm_at(struct account_set *set, uint64_t conversation, int64_t now,
                                 int64_t *context);
int accounts_warm_count(const struct account_set *set); /* entries, live or not */

/* ---- learning from replies ------------------------------------------------------------------- */

enum verdict {
    VERDICT_SERVE,  /* a 2xx: carry it */
    VERDICT_CLIENT, /* a definite answer about the request itself: pass it on, never fail over */
    VERDICT_NEXT,   /* another account may do better */
};
struct reply_facts { /* what an attempt came to */
    int status;      /* 0: no reply; then `failure` says why */
    enum err failure;
    const struct http_head *head;   /* NULL without reply */
    struct slice body;              /* of an error reply, as far as it was kept */
    enum reply_error in_stream;     /* error event on a 2xx, before or behind what is meaningful */
    const struct observation *seen; /* ... and what it said, NULL = not known */
    const char *model;              /* asked for; NULL or "" = none */
    enum dialect dialect;           /* of the door that it went through */
};
/* Pure: the class of a reply and what it means for the account (scheduling.md D4,
 * wire/anthropic-ratelimits.md section 3). */
struct limit_verdict {
    enum verdict verdict;
    const char *reason; /* static, for the record: "served", "rate_limited", "overloaded",
                           "unauthorized", "server_error", "connect", "dns", "tls", "certificate",
                           "reset", "timeout", "protocol", "spend_limit", "client_error", ... */
    int64_t cool_ms;    /* 0 = none; bounded to 7 days */
    int64_t family_ms;  /* the model's family only rests on this account; as cool_ms */
    bool login_needed;
    bool failure; /* counts into the row of failures */
};
struct limit_verdict limits_judge(const struct provider *p, const struct reply_facts *r,
                                  int64_t now);
/* Applies a verdict to the account's facts (newest `seen_at` wins, the longest rest holds), takes
 * in the windows that the reply's head tells of, and tells the store of a change. A success ends a
 * rest for failures; not one that the provider ordered, for what succeeds on a cooling account was
 * let in before. What a closed window says is not said again by a cooldown: it ends with the
 * window. Windows and the provider's rests hold for all accounts of the same quota. A rest for
 * failures is lengthened only by the request that was let in behind it. `r` may be NULL. */
void accounts_learn(struct account_set *set, struct account *a, const struct limit_verdict *v,
                    const struct reply_facts *r, int64_t now);

/* ---- prices ---------------------------------------------------------------------------------- */

/* List price of `u` on `model` in nano-USD (10^-9); -1 when the model has no row. `*date` is the
 * effective date of the table ("2026-11-20"), static. Rows and rules: wire/pricing.md. */
int64_t price_nano_usd(const char *model, const struct usage *u, bool batch, const char **date);

#endif
