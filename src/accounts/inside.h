/* Private to accounts: the set, its entries, and the token of an account with OAuth.
 *
 *   set.c      rows in, lifetimes                  oauth.c    messages, pure
 *   token.c    the pair in memory, who waits       refresh.c  the one refresh at a time
 *   learn.c    what replies teach                  breaker.c  failures, and who may try again
 *   quota.c    accounts that spend the same        poll.c     asks how full the windows are
 *   group.c    groups, and where a model leads     affinity.c conversations and their warm caches
 *   select.c   who may serve, in which order       strategy.c what is better, one rank a strategy
 *   provider.c the table of providers              door.c     where an account's requests go
 *   model.c    what a model is called there
 *   the rest decides, pure */
#ifndef SLUICE_ACCOUNTS_INSIDE_H
#define SLUICE_ACCOUNTS_INSIDE_H

#include "accounts/accounts.h"

struct secret { /* the text of a credential header, or a refresh token; wiped at its end */
    struct secret *older; /* replaced, but perhaps still in flight */
    size_t n, lead;       /* lead: of text, "Bearer " that was not given */
    size_t companions;    /* bytes behind the text: headers that go with it, see cloud.h */
    char text[];
};
/* "Bearer " is put in front for AUTH_BEARER, unless it is there. */
struct secret *secret_new(enum auth_scheme auth, struct slice given, struct secret *older);
/* What a fetch has brought: the credential, and its companions in the lines behind it. */
struct secret *secret_fetched(enum auth_scheme auth, struct slice given, struct secret *older);
struct slice secret_companions(const struct secret *s);
void secrets_free(struct secret *s); /* and all that are older */
struct slice secret_slice(const struct secret *s);
bool secret_same(const struct secret *s, struct slice given); /* NULL is "" */

struct refresh;
struct fetch;
struct token { /* of an account whose provider has OAuth, or is of a cloud */
    enum grant grant;
    enum auth_scheme auth; /* of what was fetched */
    struct oauth_config config;
    struct cloud_config cloud;
    struct secret *refresh; /* NULL: a long-lived token; of a cloud: the secret as it was given */
    int64_t lifetime, refreshed_at, noted_at;
    int32_t failures;    /* in a row; drives the backoff */
    enum err last;       /* of the last failed refresh: what whoever asks meanwhile is told */
    bool alerted;        /* a person has been called */
    struct refresh *on;  /* under way: GRANT_REFRESH */
    struct fetch *fetch; /* the other ones */
    bool empty;          /* nothing has been fetched yet under this configuration */
    uint64_t epoch;      /* grows with each change of the configuration */
    struct link waiters;
    struct timer timer; /* the next refresh that nobody asked for */
};

struct poll_state {   /* what is known of asking for an account's use; times are monotonic */
    int64_t used_at;  /* when it was last held, 0 = never */
    int64_t next_at;  /* not before */
    int64_t barred;   /* the token's generation that may not ask, 0 = none */
    int32_t failures; /* in a row */
};

/* An origin (scheme, host, port) that failed lately, and has not served since. */
struct origin_trouble {
    uint64_t key;
    int64_t before, last; /* wall ms of the last two failures; before: 0 = there was one only */
};
#define ORIGINS_MAX 32

/* What an account's settings made of its provider's doors. */
struct door_set {
    struct door_set *older; /* replaced, but perhaps a request goes through one of them */
    struct account_door door[PROVIDER_DOORS];
};

struct entry {
    struct account a; /* first: an account pointer is an entry pointer */
    struct door_set *doors;
    struct secret *secret;
    enum auth_scheme auth; /* of it */
    struct account_set *set;
    struct token *token;             /* NULL: a fixed secret, and not of a cloud */
    int64_t stored_at[WINDOW_KINDS]; /* when the store was told of that bucket */
    struct poll_state poll;
};

#define AFFINITY_LATELY 256
struct affinity_entry;
struct affinity { /* see affinity.c; all zero is an empty one */
    struct affinity_entry *entry;
    uint32_t *head; /* of the chains, by hash */
    uint32_t n, cap;
    uint32_t newest, oldest, spare;   /* indices, from 1 on; 0 = none */
    uint32_t used;                    /* entries that were ever taken; those behind are new */
    int64_t shift;                    /* from wall time to the time in the entries, ms */
    uint32_t lately[AFFINITY_LATELY]; /* found, by a part of the conversation; 0 = none */
};

/* A model that was asked for lately, and its family. */
struct family_memo {
    char model[STORE_MODEL_MAX], family[WINDOW_FAMILY_MAX];
};
#define FAMILY_MEMOS 8

struct account_set {
    struct loop *loop;
    struct store *store;
    struct http_client *client; /* NULL: nothing is refreshed */
    struct entry **entry;       /* sorted by priority, then name, then id */
    int n, cap;
    uint64_t pass;        /* the largest that any account has come to */
    uint64_t turn;        /* requests held so far */
    struct group **group; /* stored ones, by name */
    int groups;
    const struct group *lately; /* the one that was asked for last; NULL = none */
    struct affinity affinity;
    store_done_fn *ready;
    void *arg;
    bool loading, dead;
    int64_t wall, mono; /* the two clocks when they were last compared */
    struct account_set *next_orphan;
    struct sync *sync; /* under way: see sync.c */
    char holder[33];   /* of leases: this process */
    uint64_t serial;   /* of refreshes */
    struct link told;  /* waiters whose answer is known, and the task that calls them */
    struct link calling;
    struct task task;
    struct origin_trouble trouble[ORIGINS_MAX];
    int troubles;
    struct poll *poll;                       /* NULL: without a client */
    cloud_env_fn *env;                       /* NULL: the environment is empty */
    struct worker *worker;                   /* of fetches; NULL until one is needed */
    uint64_t logins_lost;                    /* accounts that came to need a person */
    struct family_memo family[FAMILY_MEMOS]; /* by the lengths of the models' names */
};

struct entry *entry_of(struct account *a);
/* Makes `given` the credential; what requests in flight hold lives on. */
void credential_set(struct entry *e, enum auth_scheme auth, struct slice given);
/* The facts a row carries, unless memory knows newer ones. */
void facts_load(struct account *a, const struct account_row *row);
void sync_abandon(struct account_set *set); /* sync.c: nobody is told any more */
/* Removes an entry that is leaving and that nobody holds any more. */
void entry_settle(struct entry *e);
void facts_store(struct account_set *set, const struct account *a);
void facts_clear(struct account *a);
/* The row's secret cannot be had: LOGIN until it can. */
void secret_lost(struct account *a);
/* A person must act: said once in the log, kept in the store. */
void login_needed(struct entry *e, const char *reason);

/* ---- learn.c --------------------------------------------------------------------------------- */

#define CLOCK_STEP INT64_C(60000) /* a wall clock that goes back further than that was set */

bool is_login_reason(const char *reason);
/* Brings observations in, and tells the store of news. */
void windows_take(struct account_set *set, struct account *a,
                  const struct window seen[WINDOW_KINDS], int64_t now);
/* Ends the rests of families whose window is seen to be open. */
void families_open(struct account_facts *f, const struct window *seen);
/* Notes that a family rests; the longest rest holds. */
void family_note(struct account_facts *f, const char *family, const char *reason, int64_t until,
                 int64_t now);
/* The stored windows, over all accounts. */
void windows_load(struct account_set *set, const struct window_row *rows, size_t n);
/* Opens the closed ones; with `all` they are forgotten, for they were another account's. */
void windows_clear(struct account_set *set, struct account *a, bool all);

/* ---- group.c --------------------------------------------------------------------------------- */

/* The group whose accounts serve `model` for `name`, behind all routes. NULL: there is none, or the
 * routes lead nowhere or in a circle. `last` (STORE_GROUP_MAX) gets its name, or that of the last
 * one that was looked for. */
const struct group *group_resolve(const struct account_set *set, const char *name,
                                  const char *model, char *last);
void groups_free(struct account_set *set);

/* ---- affinity.c ------------------------------------------------------------------------------ */

/* As accounts_warm_at, after accounts_clock. */
struct account *affinity_find(struct affinity *f, uint64_t conversation, int64_t now,
                              int64_t *context);
void affinity_free(struct affinity *f);
size_t affinity_bytes(const struct affinity *f);                   /* of memory */
void affinity_forget(struct affinity *f, const struct account *a); /* which is leaving */
void affinity_shift(struct affinity *f, int64_t by); /* the wall clock was set by so much */

/* ---- strategy.c ------------------------------------------------------------------------------ */

struct asked { /* what a rank depends on, but for the account */
    enum strategy strategy;
    uint64_t conversation, dice;
    const char *family; /* of the model; "" = not told */
    int64_t now;
};
struct rank {       /* compared field by field, smaller is better */
    uint64_t order; /* above all strategies */
    uint64_t cost, turn;
    int at; /* place in the set: by priority, then name */
};
/* Fills in cost and turn, of accounts of equal `order`. */
void strategy_rank(const struct asked *q, const struct account *a, struct rank *r);

/* ---- status.c -------------------------------------------------------------------------------- */

/* It rests for failures that we have counted ourselves, for nothing else, and nobody is trying it;
 * or somebody is, after that rest, and takes long: whoever has no other account may. */
bool account_may_rescue(const struct account_facts *f, const char *family, int64_t now);

/* ---- breaker.c ------------------------------------------------------------------------------- */

/* Three failures in a row, or a rest for failures that no success has ended: who is held now finds
 * out whether the account serves again. */
bool breaker_is_tripped(const struct account_facts *f);
/* Somebody is finding out; nobody else is let in. */
bool breaker_is_probing(const struct account_facts *f, int64_t now);
void breaker_hold(struct account_facts *f, int64_t now);
void breaker_release(struct account_facts *f); /* in_flight is counted down already */
/* A sign of life ends a rest for failures; true when there was one. */
bool breaker_served(struct account_facts *f);
/* How long the account is to rest, ms, 0 = not; at least what the reply ordered. `begun`: a reply
 * had begun. */
int64_t breaker_failed(struct account_facts *f, bool begun, int64_t ordered, int64_t now,
                       int64_t id);
/* After so many failures in a row: 1 s, doubled up to 48 s, and up to a quarter more. Pure. */
int64_t breaker_rest(int32_t failures, int64_t now, int64_t id);
/* A rest that our own counting of failures ordered, not the provider. */
bool is_own_rest(const char *reason);

bool origin_same(const struct http_target *a, const struct http_target *b);
void origin_failed(struct account_set *set, const struct account *a, int64_t now);
void origin_served(struct account_set *set, const struct account *a);
void origins_shift(struct account_set *set, int64_t by); /* the wall clock was set */
/* Two failures within 15 s and no success since, on whichever accounts of the origin: the server is
 * unwell, and accounts elsewhere go first. Never a reason to refuse. */
bool account_origin_fails(const struct account_set *set, const struct account *a, int64_t now);

/* ---- quota.c --------------------------------------------------------------------------------- */

/* The next account from *at on that spends the same quota as `a`, itself left out; NULL behind the
 * last. */
struct account *quota_next(struct account_set *set, const struct account *a, int *at);
/* A rest that the provider ordered for what was spent. */
bool quota_reason(const char *reason);
/* Takes over what the others of its quota know that is newer. */
void quota_adopt(struct account_set *set, struct account *a);
/* Opens the windows of the others and ends their rests for the quota. */
void quota_reset(struct account_set *set, struct account *a);

/* ---- poll.c ---------------------------------------------------------------------------------- */

void polls_begin(struct account_set *set); /* set->client is there; idempotent */
void polls_end(struct account_set *set);   /* idempotent */

/* ---- token.c --------------------------------------------------------------------------------- */

void token_open(struct entry *e); /* gives an OAuth account its token part */
void token_free(struct entry *e);
/* Takes the settings of the row; what a person has changed is tried at once. */
void token_configure(struct entry *e, const struct account_row *row);
/* Takes what a refresh or a fetch has brought, or what is stored: it is good from now on. */
void token_take(struct entry *e, const struct token_row *row);
/* Takes a stored pair if it is newer than the one in memory. */
void token_adopt(struct entry *e, const struct token_row *row);
void token_reset(struct entry *e); /* forgets the failures */
bool token_is_busy(const struct entry *e);
/* What a refresh came to. A failure gives the rest until the next try, ms, at least `wait`. */
MUST_USE int64_t token_failed(struct entry *e, enum err err, const char *why, int64_t wait);
void token_recovered(struct entry *e);
/* Tells all who wait. Who only wanted a token that works can go on with one that still does. */
void waiters_tell(struct entry *e, enum err result);
/* Its memory is gone: tells all who wait. May be the end of the entry. */
void token_ended(struct entry *e, enum err result);
void tokens_open(struct account_set *set);
void tokens_free(struct account_set *set);

/* ---- refresh.c ------------------------------------------------------------------------------- */

void refresh_start(struct entry *e);
/* Gives a refresh up, without a word to those who wait. What the store has been handed it finishes
 * without us; a pair that waits for the disk it is handed once more. */
void refresh_abandon(struct refresh *r);
bool refresh_waits_for_disk(const struct refresh *r); /* with a pair that nobody may use yet */
bool refresh_is_serious(const struct refresh *r);     /* not only waiting for another's lease */

/* ---- cloud_fetch.c --------------------------------------------------------------------------- */

/* Takes secret and settings of the row of a cloud's account. */
void cloud_apply(struct entry *e, const struct account_row *row, bool fresh);
/* Comes to an end by token_ended, in a later turn. */
void fetch_start(struct entry *e);
void fetch_abandon(struct fetch *f); /* without a word to those who wait */

/* ---- pure ------------------------------------------------------------------------------------ */

/* How long a reply asks to stay away: retry-after-ms, or retry-after in seconds or as a date. False
 * when it is not said, or said in a way that makes no sense. */
bool limits_retry_after(const struct http_head *h, int64_t now, int64_t *ms);
/* "1h2m3.5s", "120ms", "34.07s", or a number of seconds: as Go prints durations; at most a month.
 */
bool duration_read(struct slice s, int64_t *ms);
/* What an answer of the usage endpoint tells, others left as they are; returns how many. */
int usage_windows_read(enum usage_style style, struct slice body, int64_t now,
                       struct window out[WINDOW_KINDS]);
/* True for the words with which a token endpoint says that the pair is gone for good. */
bool oauth_is_dead_word(const char *why);

#endif
