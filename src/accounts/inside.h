/* Private to accounts: the set, its entries, and the token of an account with OAuth.
 *
 *   set.c      rows in, lifetimes                  oauth.c    messages, pure
 *   token.c    the pair in memory, who waits       refresh.c  the one refresh at a time
 *   learn.c    what replies teach                  the rest   decides, pure */
#ifndef SLUICE_ACCOUNTS_INSIDE_H
#define SLUICE_ACCOUNTS_INSIDE_H

#include "accounts/accounts.h"

struct secret { /* the text of a credential header, or a refresh token; wiped at its end */
    struct secret *older; /* replaced, but perhaps still in flight */
    size_t n;
    char text[];
};
/* "Bearer " is put in front for AUTH_BEARER, unless it is there. */
struct secret *secret_new(enum auth_scheme auth, struct slice given, struct secret *older);
void secrets_free(struct secret *s); /* and all that are older */
struct slice secret_slice(const struct secret *s);

struct refresh;
struct token { /* of an account whose provider has OAuth */
    struct oauth_config config;
    struct secret *refresh; /* NULL: a long-lived token */
    int64_t lifetime, refreshed_at, noted_at;
    int32_t failures;   /* in a row; drives the backoff */
    enum err last;      /* of the last failed refresh: what whoever asks meanwhile is told */
    bool alerted;       /* a person has been called */
    struct refresh *on; /* under way */
    struct link waiters;
    struct timer timer; /* the next refresh that nobody asked for */
};

struct entry {
    struct account a; /* first: an account pointer is an entry pointer */
    struct secret *secret;
    struct account_set *set;
    struct token *token;             /* NULL: a fixed secret */
    int64_t stored_at[WINDOW_KINDS]; /* when the store was told of that bucket */
};

struct account_set {
    struct loop *loop;
    struct store *store;
    struct http_client *client; /* NULL: nothing is refreshed */
    struct entry **entry;       /* sorted by priority, then name, then id */
    int n, cap;
    uint64_t pass; /* of the account held last, before it was */
    store_done_fn *ready;
    void *arg;
    bool loading, dead;
    int64_t wall, mono; /* the two clocks when they were last compared */
    struct account_set *next_orphan;
    char holder[33];  /* of leases: this process */
    uint64_t serial;  /* of refreshes */
    struct link told; /* waiters whose answer is known, and the task that calls them */
    struct link calling;
    struct task task;
};

struct entry *entry_of(struct account *a);
/* Makes `given` the credential; what requests in flight hold lives on. */
void credential_set(struct entry *e, enum auth_scheme auth, struct slice given);
/* Removes an entry that is leaving and that nobody holds any more. */
void entry_settle(struct entry *e);
void facts_store(struct account_set *set, const struct account *a);
void facts_clear(struct account *a);
/* A person must act: said once in the log, kept in the store. */
void login_needed(struct entry *e, const char *reason);

/* ---- learn.c --------------------------------------------------------------------------------- */

#define CLOCK_STEP INT64_C(60000) /* a wall clock that goes back further than that was set */

bool is_login_reason(const char *reason);
/* The stored windows, over all accounts. */
void windows_load(struct account_set *set, const struct window_row *rows, size_t n);
/* Opens the closed ones; with `all` they are forgotten, for they were another account's. */
void windows_clear(struct account_set *set, struct account *a, bool all);

/* ---- token.c --------------------------------------------------------------------------------- */

void token_open(struct entry *e); /* gives an OAuth account its token part */
void token_free(struct entry *e);
/* Takes the settings of the row; what a person has changed is tried at once. */
void token_configure(struct entry *e, const struct account_row *row);
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

/* ---- pure ------------------------------------------------------------------------------------ */

/* How long a reply asks to stay away: retry-after-ms, or retry-after in seconds or as a date. False
 * when it is not said, or said in a way that makes no sense. */
bool limits_retry_after(const struct http_head *h, int64_t now, int64_t *ms);
/* True for the words with which a token endpoint says that the pair is gone for good. */
bool oauth_is_dead_word(const char *why);

#endif
