/* Private to gateway: the exchange and what its files share.
 *
 *   route.c     path and method -> what kind of request this is
 *   front.c     what the gateway says itself, as the client's API says it
 *   auth.c      whose request it is
 *   talk.c      which conversation it belongs to
 *   plan.c      what is known until the reply is on its way, and what is kept then
 *   shed.c      what is refused when memory or time run out
 *   exchange.c  the states, the one mover, what the client's connection tells
 *   model.c     which model the request means, and at which account
 *   pin.c       what lives on one account: found in requests, remembered from replies
 *   choose.c    the choice of an account, and what is said when none can serve
 *   line.c      who waits in line, and who is called
 *   retry.c     how many retries may be under way
 *   crossing.c  what the request is at one door of one account: path, headers, body
 *   splice.c    a body with single members changed
 *   estimate.c  how many tokens a request may have, where nobody upstream counts
 *   attempt.c   one try at one account: the request upstream and its reply's head
 *   token.c     an account whose token runs out, or was refused, gets a fresh one first
 *   repair.c    a request whose thinking was refused is sent once more without it
 *   relay.c     the body, once a reply is worth carrying
 *   book.c      the record
 *   answer.c    what the gateway says itself
 *   models.c    GET /v1/models over the whole pool */
#ifndef SLUICE_EXCHANGE_H
#define SLUICE_EXCHANGE_H

#include "gateway/desk.h"
#include "gateway/gateway.h"
#include "gateway/splice.h"

/* ---- the exchange ---------------------------------------------------------------------------- */

/*   HEAD -> BODY -> ADMIT -> (TOKEN) -> (DIAL) -> SEND -> REPLY -> RELAY -> FLUSH -> DONE
 *             |       |  ^      ^  |       |        |       |        |        ^
 *             |       v  |      '--|-------|--------|- 401 -|        '-error--|
 *             |      WAIT|         '-------'--------+-------'                 |
 *             |       |  '------- next account, before commit                |
 *             '-------'---------> REFUSE -------------------------------------'
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
#define ID_RANDOM          10    /* random bytes of an exchange's id */
#define IDS_AHEAD          100   /* drawn at once: one by one costs twice as much */
#define ERROR_BODY_MAX     65536 /* of an error reply, kept for the verdict */
#define BETA_MAX           2048
#define CROSSING_MEMORY    8192                /* for credentials */
#define COLLECT_MAX        4194304             /* of a reply that is rewritten */
#define TRANSLATED_MAX     ((size_t)128 << 20) /* codec bounds what goes in */
#define RELAY_HIGH         65536  /* gathered for a client; more goes out before more is read */
#define RELAY_MAX          524288 /* RELAY_HIGH, half an event, and what one read may bring */

struct attempt {             /* rebuilt from zero on every try */
    struct account *account; /* held */
    const struct account_door *door;
    struct http_request *request;
    const struct http_head *head; /* of the reply, valid while request is not NULL */
    int64_t started_at;           /* loop_now */
    int64_t generation;           /* of the token the request was sent with */
    struct observer *observer;    /* what passes untouched is watched ... */
    struct translate *translate;  /* ... and what does not, is read here; at most one of them */
    struct ref_watch watch;       /* for files it makes */
    int status;
    bool collect; /* the body is kept in x->reply until its end, then looked at */
    bool sse;     /* the client gets a stream of events, and they are understood */
    bool noted;   /* in the record */
    bool kept;    /* what it has made is remembered: see pin_reply */
    bool learnt;  /* what went wrong after the commit */
};

/* What the request is on the other side. */
struct crossing {
    const struct provider_door *of; /* whose body it is, with .model; NULL = there is none */
    const char *model;              /* as it is called there; in the plan */
    struct buf body;                /* goes out in place of the client's ... */
    struct names *names;            /* what the reply must undo */
    bool own;                       /* `body` does */
    bool betas;                     /* anthropic-beta is plan->beta in place of the client's */
    bool usage_wished;              /* it asks for an event that the client did not ask for */
};

struct relay {
    struct buf made;    /* of the read in progress: what the client is to get */
    struct buf held;    /* not yet given to the client: opening events, or half an event */
    struct buf out;     /* gathered; once being written it stays as it is until `written` */
    struct buf next;    /* what came meanwhile */
    bool committed;     /* the head has gone to the client: no more failover */
    bool head_due;      /* ... or goes with the bytes that are being gathered */
    bool paused;        /* the upstream is not being read: the client is slow */
    bool cut;           /* how to end once flushed: http_cut instead of http_end */
    bool mid_event;     /* an event too long to be held went out half */
    bool arm_due;       /* the deadline is set anew when this read is over, once */
    size_t tail;        /* bytes at the end of `held` that are half an event */
    const char *end;    /* not NULL: nothing more will come; how it ended, for the record */
    int64_t last_at;    /* loop_now of the last byte from upstream, or of the last resume */
    int64_t client_at;  /* loop_now of the last byte to the client */
    int64_t hold_until; /* loop_now after which an opening without content goes out */
};

struct talk { /* what the head says of the conversation, hashed; 0 = nothing */
    uint64_t session, agent, above;
};

/* What is known of the record before its end; texts are in the plan, or kept. */
struct draft {
    char id[TEXT_UUID_MAX], key_id[STORE_KEYID_MAX];
    int64_t at;
    const char *route, *key_name, *model_asked, *group, *why, *upstream_id;
    struct record_attempt *attempt;
    int32_t attempts; /* may exceed STORE_ATTEMPTS: the last ones are kept */
    int32_t status, ttfb_ms;
    int64_t bytes_in;
};

/* See plan.c: gone, by plan_settle, once the reply has outlasted its first read. */
struct plan {
    struct link link; /* in g->plans */
    struct request_facts facts;
    struct buf path; /* there, and query */
    struct buf beta; /* see struct crossing; "" = none */
    int tried_n;
    struct talk talk;
    uint64_t dice;
    int64_t forced;            /* account id that the client asks for by name, 0 = any */
    uint64_t turn;             /* for models that take turns */
    const char *unsaid;        /* NULL, or why it could not be translated for an account */
    struct limit_verdict last; /* of the last failed attempt */
    enum err last_failure;
    int64_t wait_until;     /* loop_now: no wait is longer, 0 = there was none yet */
    int64_t warm_until;     /* ... for a warm cache */
    int64_t waits_for;      /* account id that alone will do, 0 = any */
    struct token_wait wait; /* in X_TOKEN */
    int stripped;           /* messages of the body that was repaired */
    struct buf first;       /* the error that led to a repair, for when that fails too */
    int first_status;       /* 0 = there was none */
    /* Texts begin empty; else what lies behind is not looked at before it is set. */
    char key_name[STORE_NAME_MAX], model_asked[STORE_MODEL_MAX], why[STORE_WHY_MAX];
    char upstream_id[64], group[STORE_GROUP_MAX]; /* group: whose accounts were looked at */
    char model_there[96];
    char key_model[96]; /* for requests of this key that name none */
    char first_id[64];  /* request-id of the error that led to a repair */
    int64_t tried[EXCHANGE_TRIED_MAX];
    struct record_attempt attempt[STORE_ATTEMPTS];
};

/* What each event of a stream needs is at the front: ten thousand of them that are held take turns
 * in the processor's caches. */
struct exchange {
    struct gateway *g;
    struct http_call *call; /* NULL once the answer has ended */
    struct plan *plan;      /* NULL once the reply is on its way */
    enum exchange_state state;
    int lookups; /* answers of the store that are on their way */
    struct crossing crossing;
    struct attempt attempt;
    struct relay relay;
    struct route route;
    struct exchange *next_idle;
    struct link link;   /* in g->exchanges */
    struct timer timer; /* the one deadline; meaning by state */
    struct buf body;    /* the request's */
    char *kept;         /* once there is no plan: the texts of the record */
    struct buf reply;   /* a collected reply, or the gateway's own answer */
    struct models_fan *fan;
    char group[STORE_GROUP_MAX];   /* of accounts, as the key names it; "" = the default */
    const char *model;             /* that is meant; in the plan */
    uint64_t conversation, parent; /* 0 = none */
    int64_t pinned;                /* account id, 0 = any */
    int64_t opened_at;             /* loop_now */
    struct link line;              /* in g->line */
    int64_t called_for;            /* account id whose free slot is kept for it, 0 = none */
    bool aliased;                  /* the group has another name for the model */
    bool cache_1h;                 /* asks for a prompt cache that lasts an hour */
    /* in line */
    bool called;       /* looks in the next turn */
    bool for_slot;     /* waits for a free slot of an account */
    bool for_retry;    /* ... for its turn to try again */
    bool retrying;     /* the last attempt failed because a server did */
    bool retry_held;   /* counts into g->retries */
    bool pin_clash;    /* it names what lives on different accounts */
    bool in_thread;    /* the reply's message will be named by the next turn */
    bool stream_asked; /* by the request, whatever it is for */
    bool sse_asked;
    bool replayed; /* a refused token has been renewed once already */
    bool repaired; /* its thinking has been left out */
    bool counted;  /* booked, or not worth booking */
    int16_t made;  /* ids remembered of its reply */
    struct draft record;
};

/* Conversations whose thinking an account has refused; a later one takes the place of an earlier
 * one. */
#define MOVED_SLOTS 1024
struct moved {
    uint64_t conversation; /* 0 = free */
    int64_t account;
    int messages; /* so many were there then: they are not sent with thinking again */
};

/* What an account has shown lately; loop_now, INT64_MIN = nothing. */
#define HEALTH_SLOTS 128
struct health {
    int64_t id, good_at, bad_at;
};

struct gateway {
    struct gateway_parts p;
    const struct config *config;
    struct link exchanges;
    struct link orphans; /* done, but an answer of the store is still to come */
    struct link guesses; /* see pin.c */
    struct link line;    /* exchanges in X_WAIT, and those that are about to leave it */
    int called;          /* of those in line, for a slot that is kept for them */
    int64_t retries;     /* attempts under way that are one */
    struct health health[HEALTH_SLOTS];
    struct moved moved[MOVED_SLOTS];
    const char *draining; /* static: how far the drain is; NULL: serving */
    struct gateway_stats stats;
    struct link probes;
    struct buf models; /* cached union, see models.c */
    char models_group[STORE_GROUP_MAX];
    struct buf spare; /* memory for the next relay that gathers */
    /* of the request that is going out: headers, betas, credentials (wiped when it is out) */
    struct http_header header[HTTP_HEADERS_MAX];
    char beta[BETA_MAX], memory[CROSSING_MEMORY];
    struct link plans; /* ... and for the next exchanges */
    int plans_n;
    uint8_t dice[IDS_AHEAD][ID_RANDOM]; /* for the ids of the next ones, and their chances */
    int dice_n;
    int64_t models_at;
    struct strikes strikes;
};

/* plan.c */
void plan_begin(struct exchange *x);
void plan_settle(struct exchange *x); /* the reply is on its way, and goes on; idempotent */
void plan_end(struct exchange *x);
void plan_forget(struct gateway *g);

/* talk.c */
void talk_open(struct exchange *x, const struct http_head *head);
void talk_settle(struct exchange *x); /* the body has been scanned */

/* exchange.c */
void exchange_move(struct exchange *x, enum exchange_state to);
void exchange_done(struct exchange *x);        /* the answer has ended or the client has gone */
void exchange_forget_body(struct exchange *x); /* nobody will send it again */
void exchange_free(void *arg);

/* pin.c */
void pin_find(struct exchange *x);                    /* then it is admitted, or answered */
void pin_unknown(struct exchange *x);                 /* the store cannot say: answers */
void pin_made(struct exchange *x, struct slice body); /* a created batch, file or skill */
void pin_job(struct exchange *x, struct slice body);  /* the files a batch of OpenAI's has made */
void pin_watch(struct exchange *x, struct slice bytes);
void pin_forget(struct gateway *g); /* the store will answer no more */
void pin_reply(struct exchange *x); /* the reply's end has been seen; later calls do nothing */

/* model.c */
void model_of_key(struct exchange *x, const struct key_row *key);
/* Once the body has been scanned; false when it is answered. */
bool model_settle(struct exchange *x);
bool model_forced(struct exchange *x); /* only the header that names an account; else the same */
void model_plain(enum wire wire, char *model); /* a cloud's name becomes the vendor's */

/* estimate.c */
int64_t estimate_tokens(struct slice body);
/* The whole reply to Bedrock's CountTokens is there: true when it is answered, in the client's
 * words, or by an estimate if Bedrock would not count. What it refuses says nothing about the
 * account. */
bool estimate_settles(struct exchange *x);
void estimate_answer(struct exchange *x);

/* crossing.c */
enum crossed {
    CROSSED,
    CROSSED_ESTIMATE, /* there is nobody to ask there */
    CROSSED_NOT,      /* cannot be said there: `why` */
    CROSSED_NOMEM
};
void crossing_init(struct crossing *c);
void crossing_forget_body(struct exchange *x);
void crossing_free(struct crossing *c); /* its body has been forgotten */
/* For x->attempt.account: finds the door, and makes path and body. */
enum crossed crossing_make(struct exchange *x, const char **why);
bool crossing_may_count(const struct exchange *x);     /* somebody does, ready or not */
bool crossing_counts_coded(const struct exchange *x);  /* Bedrock does, in words of its own */
struct slice crossing_bytes(const struct exchange *x); /* the body to send */
bool crossing_is_same(const struct exchange *x);       /* the door's dialect is the client's */
bool crossing_is_alike(const struct exchange *x);      /* ... and so is its interface */
#define CROSSING_HEADERS 6 /* those of our own besides account_sign_count, at most */
/* The headers without the credential; returns how many. `beta` is memory for a longer
 * anthropic-beta list, for as long as `out` is used. */
int crossing_headers(const struct exchange *x, const struct account *a,
                     const struct account_door *d, struct http_header out[HTTP_HEADERS_MAX],
                     char beta[BETA_MAX]);
/* Adds the credential's. `target` is path and query as they are sent. Else as account_sign. */
MUST_USE enum err crossing_sign(const struct account *a, const struct account_door *d,
                                struct slice method, struct slice target, struct slice body,
                                int64_t now, struct http_header h[HTTP_HEADERS_MAX], int *n,
                                char *memory, size_t size);

/* choose.c */
void exchange_admit(struct exchange *x); /* choose an account, or wait, or refuse */
void exchange_look(struct exchange *x);  /* its turn in line has come, or its time is up */
struct account_wish exchange_wish(const struct exchange *x);
/* The attempt has failed and been let go; decides between another one and an answer. */
void exchange_next(struct exchange *x, const struct limit_verdict *v, const char *reason,
                   enum err failure);
/* The account learns from what the attempt came to. */
void exchange_learn(struct exchange *x, const struct limit_verdict *v, enum reply_error in_stream);
void exchange_fail(struct exchange *x); /* says why nobody could serve it */

/* line.c */
void line_join(struct exchange *x);   /* at the end; who is in it keeps its place */
void line_leave(struct exchange *x);  /* idempotent */
void line_answer(struct exchange *x); /* a called one looks now */
/* What x was called for, and has not taken, is for those behind it. */
void line_pass_on(struct exchange *x, int64_t account);
/* False while the slots of `a` that are free are kept for others. */
bool line_has_room(const struct exchange *x, const struct account *a);
void line_look(struct gateway *g, const struct account *a); /* a slot of it may have come free */
void line_look_retry(struct gateway *g);                    /* one more may try again */
/* `a` has answered; `after_rest`: it was on trial, and everybody waits for the outcome. */
void line_serves(struct gateway *g, const struct account *a, bool after_rest);

/* shed.c */
bool shed_refuses(struct exchange *x);           /* then it is answered */
int64_t shed_body_room(const struct gateway *g); /* bytes that all bodies together may have */

/* retry.c */
bool retry_is_due_to(const struct limit_verdict *v); /* a server's failure, not the account's */
void retry_learn(struct exchange *x, const struct limit_verdict *v);
bool retry_may(const struct exchange *x, const struct account *a);
void retry_take(struct exchange *x, const struct account *a);
void retry_give(struct exchange *x); /* idempotent */
void retry_look(struct gateway *g);  /* calls who waits for it, if one more is allowed */

/* repair.c */
/* A refusal of thinking, the first time: true when it is asked again without. */
bool repair_replays(struct exchange *x, const struct limit_verdict *v);
/* Leaves out at once what this account has refused in an earlier turn. */
void repair_ahead(struct exchange *x);
void repair_learn(struct exchange *x); /* the attempt is served */
/* It was in vain: true when the first refusal is on its way to the client. */
bool repair_failed(struct exchange *x);

/* book.c */
void exchange_book(struct exchange *x, const char *end); /* exactly once; later calls do nothing */
void exchange_note_attempt(struct exchange *x, const char *reason);
void exchange_amend_attempt(struct exchange *x, const char *reason); /* it ended otherwise */

/* attempt.c */
void attempt_start(struct exchange *x, struct account *a);
void attempt_drop(struct exchange *x);  /* aborts and forgets; idempotent */
void attempt_begin(struct exchange *x); /* asks x->attempt.account, once its credential is good */
/* account_release, and a look at who waits for its slot. */
void attempt_release(struct gateway *g, struct account *a);
/* Nothing more will come of it, and nothing is committed: on to another one, or to an answer. */
void attempt_lost(struct exchange *x, enum err e);
/* What has been seen of the reply; NULL before its head. */
const struct observation *attempt_see(const struct exchange *x);
/* A verdict on what the attempt has come to; `r` gets what is known of it besides. */
struct limit_verdict attempt_judged(const struct exchange *x, struct reply_facts *r);
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
void relay_mask(struct exchange *x); /* the account's secret, in x->reply */
/* Sends a whole collected reply (x->reply) with the upstream's status and headers. */
void relay_collected(struct exchange *x);

/* answer.c */
/* An error of the gateway's own: status, text, seconds for retry-after (-1: none), and whether the
 * client may try again by itself. `end` goes into the record. */
void answer_error(struct exchange *x, int status, const char *message, int64_t retry_after,
                  bool may_retry, const char *end);
void answer_plain(struct exchange *x, int status, const char *type, struct slice body);
void answer_health(struct exchange *x);
void answer_profiles(struct exchange *x);
void answer_send(struct exchange *x, int status, struct http_header *h, int n, const char *end);

/* models.c */
void models_start(struct exchange *x);
void models_finish(struct exchange *x); /* with the lists that have come by now */
void models_drop(struct exchange *x);

#endif
