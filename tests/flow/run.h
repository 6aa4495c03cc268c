/* Private to play.c, expect.c and judge.c: the state of a run.
 *
 *   play.c    the steps, and what the script's peers do
 *   expect.c  what the script expects
 *   judge.c   what must hold after every run, whatever happened in it */
#ifndef FLOW_RUN_H
#define FLOW_RUN_H

#include "play.h"

#define CONNS_MAX     1024
#define UPSTREAMS_MAX 32

struct conn { /* the runner's note about one far end */
    struct sim_peer *peer;
    int client;     /* 0: an upstream's */
    size_t rx_off;  /* client: behind the last reply used up */
    int replies;    /* ... how many (no interim ones) */
    size_t scanned; /* upstream: behind the last complete request */
    size_t seen;    /* ... bytes there at the last scan */
};
struct request { /* a complete request that an upstream has received */
    struct conn *conn;
    size_t from, to;    /* in conn->peer->rx */
    size_t answer_from; /* where its answer begins in conn->peer->tx */
    bool served;
};
struct upstream {
    struct sim_host *host;
    struct slice serves; /* the answer to every request; empty: only the script answers */
    struct request *request;
    int requests, cap;
    int used;             /* requests the script has looked at */
    struct conn *current; /* whose request was looked at last: where `>` goes */
    size_t answer_from;
    bool deaf; /* its connections are not read: requests pile up on their way */
};
struct name { /* an account's or a host's name for an upstream */
    struct slice name;
    int upstream;
};
struct run {
    const struct script *script;
    const struct plan *plan;
    const struct outcome *plain;
    struct outcome *out;
    struct loop *loop;
    struct rig *house;
    bool check; /* the script's expectations count */
    bool failed;
    struct conn conn[CONNS_MAX];
    int conns;
    struct conn *client[SCRIPT_CLIENTS + 1]; /* newest connection of each */
    int client_conns[SCRIPT_CLIENTS + 1];
    struct upstream upstream[UPSTREAMS_MAX];
    int upstreams;
    struct name name[UPSTREAMS_MAX];
    int names;
    int claims; /* replies that look complete, and tell of no error */
};

/* The first failure stays; `line` 0 = none. */
void run_fail(struct run *r, int line, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Kind of the reply that answers request number `n` (from 0) of this client connection. */
enum message_kind reply_kind(const struct conn *c, int n);
/* The newest request that the client has sent on its newest connection, complete or not. */
void client_request(const struct conn *c, struct message *m);

/* expect.c: false when the step failed (and says so). */
bool expect_client(struct run *r, const struct step *st);
bool expect_upstream(struct run *r, const struct step *st, struct upstream *u);
bool expect_record(struct run *r, const struct step *st);
bool expect_account(struct run *r, const struct step *st);
/* Finds an upstream by account, host name or "host:port"; NULL when unknown. */
struct upstream *upstream_find(struct run *r, struct slice name);

/* judge.c */
bool judge_waiting(
    struct run *r); /* a client that is still there waits for (the rest of) a reply */
void judge_replies(struct run *r); /* nobody was told a lie */
void judge_records(struct run *r); /* exactly one record a request */
void judge_leaks(struct run *r);
void judge_note_peers(struct run *r);

#endif
