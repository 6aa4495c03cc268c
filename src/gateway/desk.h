/* Private to gateway: the desk, where a request says what it wants and whose it is. */
#ifndef SLUICE_DESK_H
#define SLUICE_DESK_H

#include "gateway/gateway.h"

/* ---- routes ---------------------------------------------------------------------------------- */

enum route_kind {
    ROUTE_HELLO, /* HEAD / and /api/hello: any answer will do (clients.md) */
    ROUTE_LIVEZ,
    ROUTE_READYZ,
    ROUTE_CHAT,  /* the dialect's main call */
    ROUTE_COUNT, /* how many tokens one has */
    ROUTE_TEXTS, /* another call with a model: embeddings, compaction */
    ROUTE_BATCHES,
    ROUTE_FILES,
    ROUTE_JOBS,     /* OpenAI's batches: they read files, and make some */
    ROUTE_STATE,    /* Responses: what an earlier call has left at the provider */
    ROUTE_MODELS,   /* the list, not one model */
    ROUTE_PROFILES, /* Bedrock's list of inference profiles: there are none */
    ROUTE_OTHER,    /* any other path of the dialect, as it is */
    ROUTE_UNKNOWN,  /* 404 */
    ROUTE_METHOD,   /* 405 */
};

/* A dialect may be spoken through a cloud's own interface. */
enum wire {
    WIRE_PLAIN,
    WIRE_BEDROCK, /* the model in the path, event streams in AWS's frames: wire/bedrock.md */
    WIRE_VERTEX,  /* the model in the path: wire/vertex.md */
};
/* How the client speaks, and what it wants. */
struct front {
    enum dialect dialect;
    enum api call;
    enum wire wire;
    enum framing stream; /* of a streamed answer */
    bool model_in_path;
    bool stream_in_path; /* the path says whether it streams ... */
    bool streams;        /* ... and this one does */
};
struct route {
    enum route_kind kind;
    const char *name;    /* for the record */
    struct slice object; /* batch, file or reply id in the path, "" when none */
    struct slice model;  /* in the path, as it stands there; "" when none */
    unsigned methods;    /* that the path takes, a bit each; 0 = all */
    struct front front;
};
/* The path right behind which a model's name may hold a coded slash: ARNs do. */
#define ROUTE_CODED_SLASH "/model/"
#define ROUTE_ALLOW_MAX   64
struct slice route_allow(const struct route *r, char out[ROUTE_ALLOW_MAX]); /* "GET, HEAD" */
/* How the client of a path most likely speaks, served here or not; of no path at all: Anthropic's.
 */
struct front route_guess(struct slice path);
struct route route_find(enum http_method m, struct slice path);
/* What only the rest of the head tells: whose list of models is meant, and whether a stream of
 * Gemini's is to come as SSE. */
void route_settle(struct route *r, const struct http_head *head);
/* The model that a path names, percent-decoded and terminated; false when it is none. */
bool route_model(struct slice coded, char *out, size_t size);

/* ---- what the gateway itself says, as the front says it -------------------------------------- */

/* A status as such clients know it. */
int front_status(const struct front *f, int status);
/* An error's body. */
MUST_USE enum err front_error(const struct front *f, int status, struct slice message,
                              struct slice request_id, struct buf *out);
/* An error of a provider's as one of the front's; the status may change. */
MUST_USE enum err front_error_of(const struct front *f, enum dialect from, int *status,
                                 struct slice body, struct slice request_id, struct buf *out);
/* The header by which a status is told besides; "" = none. */
struct http_header front_error_header(const struct front *f, int status);
struct slice front_stream_type(const struct front *f); /* content-type of a streamed answer */

/* ---- whose request --------------------------------------------------------------------------- */

enum auth_result {
    AUTH_OK,
    AUTH_ANONYMOUS,
    AUTH_MISSING,
    AUTH_WRONG,
    AUTH_VENDOR_TOKEN,
    AUTH_SIGNED, /* by AWS's rules: a key cannot be in it */
    AUTH_IN_QUERY,
    AUTH_NOT_LOCAL
};
/* OK: *key is the client's row. ANONYMOUS: no key is configured and the client is local. */
enum auth_result auth_check(struct key_set *keys, const struct http_head *head,
                            const struct addr *peer, struct key_row **key);

/* Whether the client may call the gateway what it calls it: the option `hosts`, if there are any.
 * Programs on this machine may say localhost. */
bool auth_host(const struct config *c, const struct http_head *head, const struct addr *peer);

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

#endif
