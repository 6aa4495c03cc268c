/* Private to gateway: the exchange and what its files share.
 *
 *   route.c     path and method -> what kind of request this is
 *   auth.c      whose request it is
 *   exchange.c  the states, the one mover, the choice of an account, the book
 *   attempt.c   one try at one account: the request upstream and its reply's head
 *   token.c     an account whose token runs out, or was refused, gets a fresh one first
 *   relay.c     the body, once a reply is worth carrying
 *   answer.c    what the gateway says itself
 *   models.c    GET /v1/models over the whole pool */
#ifndef SLUICE_EXCHANGE_H
#define SLUICE_EXCHANGE_H

#include "gateway/gateway.h"

/* ---- routes ---------------------------------------------------------------------------------- */

enum route_kind {
    ROUTE_HELLO, /* HEAD / and /api/hello: any answer will do (clients.md) */
    ROUTE_LIVEZ,
    ROUTE_READYZ,
    ROUTE_MESSAGES,
    ROUTE_COUNT,
    ROUTE_BATCHES,
    ROUTE_FILES,
    ROUTE_MODELS,  /* the list, not one model */
    ROUTE_OTHER,   /* any other /v1/...: to an Anthropic account */
    ROUTE_UNKNOWN, /* 404 */
    ROUTE_METHOD,  /* 405 */
};
struct route {
    enum route_kind kind;
    const char *name;    /* for the record */
    struct slice object; /* batch or file id in the path, "" when none */
};
struct route route_find(enum http_method m, struct slice path);

/* ---- whose request --------------------------------------------------------------------------- */

enum auth_result {
    AUTH_OK,
    AUTH_ANONYMOUS,
    AUTH_MISSING,
    AUTH_WRONG,
    AUTH_VENDOR_TOKEN,
    AUTH_NOT_LOCAL
};
/* OK: *key is the client's row. ANONYMOUS: no key is configured and the client is local. */
enum auth_result auth_check(struct key_set *keys, const struct http_head *head,
                            const struct addr *peer, struct key_row **key);

/* Sources that keep presenting bad keys, so that guessing is slow and cheap to refuse
 * (robustness.md B3: 10 a minute). By source, never by key: nobody can be locked out by somebody
 * else's guesses. */
#define STRIKES_SLOTS   1024
#define STRIKES_BURST   30
#define STRIKES_EACH_MS 6000 /* one more is forgiven after each */
struct strikes {
    struct strikes_slot {
        uint64_t source;
        int64_t full_at; /* loop_now when nothing is held against it any more */
    } slot[STRIKES_SLOTS];
};
/* Notes one bad key from `peer`; false when that was one too many. */
bool strikes_allow(struct strikes *s, const struct addr *peer, int64_t now);

/* ---- the exchange ---------------------------------------------------------------------------- */

/*   HEAD -> BODY -> ADMIT -> (TOKEN) -> DIAL -> SEND -> REPLY -> RELAY -> FLUSH -> DONE
 *             |       |  ^      ^  |      |       |       |        |        ^
 *             |       v  |      '--|------|-------|- 401 -|        '-error--|
 *             |      WAIT|         '------'-------+-------'                 |
 *             |       |  '------- next account, before commit              |
 *             '-------'---------> REFUSE -----------------------------------'
 * Any state goes to DONE when the client leaves. */
enum exchange_state {
    X_HEAD,
    X_BODY,
    X_ADMIT,
    X_WAIT,
    X_TOKEN,
    X_DIAL,
    X_SEND,
    X_REPLY,
    X_RELAY,
    X_REFUSE,
    X_FLUSH,
    X_DONE,
    X_STATES
};

#define EXCHANGE_TRIED_MAX 16
#define ERROR_BODY_MAX     65536   /* of an error reply, kept for the verdict */
#define COLLECT_MAX        4194304 /* of a reply that is rewritten */
#define RELAY_HIGH         65536   /* past this the upstream stops being read */
#define RELAY_MAX          524288  /* RELAY_HIGH, half an event, and what one read may bring */

struct attempt {             /* rebuilt from zero on every try */
    struct account *account; /* held */
    struct http_request *request;
    const struct http_head *head; /* of the reply, valid while request is not NULL */
    int64_t started_at;           /* loop_now */
    int status;
    struct observer *observer;
    bool collect;           /* the body is kept in x->reply until its end, then looked at */
    bool sse;               /* the body is an event stream the observer can read */
    bool noted;             /* in the record */
    int64_t generation;     /* of the token the request was sent with */
    struct token_wait wait; /* in X_TOKEN */
};

struct relay {
    struct buf held;    /* not yet given to the client: opening events, or half an event */
    struct buf out;     /* gathered; once being written it stays as it is until `written` */
    struct buf next;    /* what came meanwhile */
    bool committed;     /* the head has gone to the client: no more failover */
    bool head_due;      /* ... or goes with the bytes that are being gathered */
    bool paused;        /* the upstream is not being read: the client is slow */
    size_t tail;        /* bytes at the end of `held` that are half an event */
    const char *end;    /* not NULL: nothing more will come; how it ended, for the record */
    bool cut;           /* how to end once flushed: http_cut instead of http_end */
    bool mid_event;     /* an event too long to be held went out half */
    int64_t last_at;    /* loop_now of the last byte from upstream, or of the last resume */
    int64_t client_at;  /* loop_now of the last byte to the client */
    int64_t hold_until; /* loop_now after which an opening without content goes out */
};

struct exchange {
    struct gateway *g;
    struct link link; /* in g->exchanges */
    enum exchange_state state;
    struct http_call *call; /* NULL once the answer has ended */
    struct timer timer;     /* the one deadline; meaning by state */
    struct route route;
    struct buf body; /* the request's */
    struct request_facts facts;
    struct attempt attempt;
    struct buf reply; /* a collected reply, or the gateway's own answer */
    struct relay relay;
    struct models_fan *fan;
    int64_t tried[EXCHANGE_TRIED_MAX];
    int tried_n;
    int64_t pinned; /* account id, 0 = any */
    uint64_t conversation;
    int64_t opened_at;         /* loop_now */
    int64_t wait_until;        /* loop_now, while waiting in line */
    struct limit_verdict last; /* of the last failed attempt */
    enum err last_failure;
    bool sse_asked;
    bool replayed; /* a refused token has been renewed once already */
    bool counted;  /* booked, or not worth booking */
    bool lookup;   /* an answer of the store is on its way */
    struct record record;
};

struct gateway {
    struct gateway_parts p;
    const struct config *config;
    struct link exchanges;
    struct link orphans; /* done, but an answer of the store is still to come */
    bool draining;
    struct gateway_stats stats;
    struct link probes;
    struct buf models; /* cached union, see models.c */
    struct buf spare;  /* memory for the next relay that gathers */
    int64_t models_at;
    struct strikes strikes;
};

/* exchange.c */
void exchange_move(struct exchange *x, enum exchange_state to);
void exchange_admit(struct exchange *x); /* choose an account, or wait, or refuse */
/* The attempt has failed and been let go; decides between another one and an answer. */
void exchange_next(struct exchange *x, const struct limit_verdict *v, const char *reason,
                   enum err failure);
/* The account learns from what the attempt came to. */
void exchange_learn(struct exchange *x, const struct limit_verdict *v);
void exchange_book(struct exchange *x, const char *end); /* exactly once; later calls do nothing */
void exchange_done(struct exchange *x); /* the answer has ended or the client has gone */
void exchange_note_attempt(struct exchange *x, const char *reason);
void exchange_forget_body(struct exchange *x); /* nobody will send it again */
void exchange_free(void *arg);
void exchange_fail(struct exchange *x); /* says why nobody could serve it */

/* attempt.c */
void attempt_start(struct exchange *x, struct account *a);
void attempt_drop(struct exchange *x); /* aborts and forgets; idempotent */
/* Nothing more will come of it, and nothing is committed: on to another one, or to an answer. */
void attempt_lost(struct exchange *x, enum err e);
#define BETA_MAX 2048
/* Builds the credential-free part of an upstream request's headers; returns how many. `beta` is
 * memory for a longer anthropic-beta list, for as long as `out` is used. */
int attempt_headers(const struct exchange *x, const struct account *a,
                    struct http_header out[HTTP_HEADERS_MAX], char beta[BETA_MAX]);
void attempt_go(struct exchange *x); /* the account's credential is good: sends */

/* token.c */
bool token_is_stale(const struct exchange *x, const struct account *a);
/* X_TOKEN: joins the account's one refresh, then attempt_go or the next account. */
void token_await(struct exchange *x, bool forced);
/* A 401 on a token that looked good, the first time: true when it is being renewed for a replay. */
bool token_replays(struct exchange *x);
void token_timeout(struct exchange *x);

/* relay.c */
void relay_init(struct relay *r);
void relay_free(struct relay *r);
void relay_begin(struct exchange *x); /* a 2xx head is there */
void relay_bytes(struct exchange *x, struct slice bytes);
void relay_rest(struct exchange *x); /* this read is over: what was gathered goes out */
void relay_end(struct exchange *x);  /* framing complete */
void relay_broken(struct exchange *x, enum err e, const char *why, const char *end);
void relay_written(struct exchange *x);
void relay_tick(struct exchange *x); /* the deadline has come */
/* Sends a whole collected reply (x->reply) with the upstream's status and headers. */
void relay_collected(struct exchange *x);

/* answer.c */
/* An error of the gateway's own: status, text, seconds for retry-after (-1: none), and whether the
 * client may try again by itself. `end` goes into the record. */
void answer_error(struct exchange *x, int status, const char *message, int64_t retry_after,
                  bool may_retry, const char *end);
void answer_plain(struct exchange *x, int status, const char *type, struct slice body);
void answer_health(struct exchange *x);
void answer_send(struct exchange *x, int status, struct http_header *h, int n, const char *end);

/* models.c */
void models_start(struct exchange *x);
void models_finish(struct exchange *x); /* with the lists that have come by now */
void models_drop(struct exchange *x);

#endif
