/* One fetch of a cloud's credential. Private to cloud_fetch.c, which moves it, and cloud_from.c,
 * which knows where a credential comes from. */
#ifndef SLUICE_ACCOUNTS_CLOUD_FETCH_H
#define SLUICE_ACCOUNTS_CLOUD_FETCH_H

#include "accounts/inside.h"

#define FETCH_FILE_MAX 262144
#define FETCH_PATH_MAX 1024

enum fetch_state { F_BEGIN, F_WORK, F_ASK };

struct fetch {
    struct job job;      /* the worker's while the state is WORK */
    struct entry *entry; /* NULL: given up while the worker had it */
    enum fetch_state state;
    uint64_t epoch;
    int64_t began_at;           /* wall ms */
    struct cloud_config config; /* as it was at the start */
    enum grant grant;
    struct secret *given; /* the account's secret */
    struct timer timer;   /* the beginning, then the deadline of a request */

    void (*work)(struct fetch *f);     /* on the worker's thread */
    void (*worked)(struct fetch *f);   /* behind it, on the loop's */
    void (*answered)(struct fetch *f); /* a 2xx has come whole */
    char path[2][FETCH_PATH_MAX];      /* of files to read; "" = none */
    struct buf text[2];                /* what they held */
    enum err result;                   /* of the work */
    const char *why;                   /* ... static */

    struct cloud_request q;
    struct http_request *request;
    int status;
    const struct http_head *head;
    struct buf answer;
    bool overlong;      /* the answer is none of ours */
    struct buf session; /* of IMDSv2 */
};

/* ---- cloud_fetch.c: what a step may end in; after each, `f` may be gone ------------------------
 */

/* Sends f->q, if it was `made`; then `answered`, unless that comes to nothing. */
void fetch_ask(struct fetch *f, enum err made, void (*answered)(struct fetch *f));
/* `work` on the worker's thread, `worked` behind it on the loop's. */
void fetch_work(struct fetch *f, void (*work)(struct fetch *f), void (*worked)(struct fetch *f));
/* `lifetime` in ms, 0 = what is left until `expires_at` (0 = not told). */
void fetch_done(struct fetch *f, enum auth_scheme auth, struct slice value, int64_t expires_at,
                int64_t lifetime);
/* Not now: the next try comes by the token's timer. `wrong`: only a person can mend it. */
void fetch_fail(struct fetch *f, enum err err, const char *why, bool wrong, int64_t wait);
void fetch_wrong(struct fetch *f, const char *why);
/* Memory may be there the next time; anything else is wrong. */
void fetch_refuse(struct fetch *f, enum err err, const char *why);

/* ---- cloud_from.c ------------------------------------------------------------------------------
 */

void fetch_begin(struct fetch *f);

#endif
