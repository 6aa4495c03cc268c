/* codec: what the bytes mean, one file per dialect; pure functions of bytes.
 *
 * A codec never sees a socket, an account or a clock. For a request it finds what the gateway
 * must know and where it stands (byte offsets, so that a value can be spliced without printing
 * the rest anew). For a reply it is an *observer*: it watches the bytes go by for usage, stop
 * reason and errors, and can never disturb them; confused, it goes blind and says so. Facts:
 * wire/anthropic-messages.md. */
#ifndef SLUICE_CODEC_H
#define SLUICE_CODEC_H

#include "base/base.h"
#include "http/http.h"

enum dialect {
    DIALECT_ANTHROPIC, /* Messages */
    DIALECT_OPENAI,    /* Chat Completions */
    DIALECT_RESPONSES, /* OpenAI Responses */
    DIALECT_GEMINI,    /* generateContent */
    DIALECT_OLLAMA,    /* /api/chat */
    DIALECT_COUNT
};

/* ---- the top-level span scanner -------------------------------------------------------------- */

struct span {
    size_t from, to; /* of the value's bytes, quotes included */
};
/* Walks the members of a JSON object's top level in one pass; nested values are skipped but
 * checked for balance, depth (64) and string syntax. */
struct json_scan {
    struct slice text;
    size_t at;
    int state;
    bool plain; /* nothing in the last key is escaped */
};
void json_scan_init(struct json_scan *s, struct slice text);
/* OK: the next member, `key` without quotes (raw: escapes are not undone), `value` its span.
 * ERR_NOTFOUND: the object has ended properly and only white space follows. ERR_SYNTAX: not a JSON
 * object. ERR_LIMIT: nested too deep. */
MUST_USE enum err json_scan_next(struct json_scan *s, struct slice *key, struct span *value);
/* The text of a string value with its escapes undone, into `out` (truncated to size - 1,
 * terminated); false when the value is no string. */
bool json_span_text(struct slice text, struct span v, char *out, size_t size);

/* ---- requests -------------------------------------------------------------------------------- */

struct request_facts {
    char model[96];         /* "" when absent; escapes undone; truncated */
    struct span model_span; /* {0,0} when absent */
    bool stream;
    int64_t max_tokens; /* -1 when absent */
    /* Who is talking, for affinity: the session part of metadata.user_id (a string holding JSON
     * with session_id, or the older ..._session_<uuid> form), else prompt_cache_key, else a hash of
     * the beginnings of the texts of `system` and of the first user message, which no later turn
     * changes; 0: nothing to go by. Stable across restarts and machines. Without the header. */
    uint64_t conversation;
    /* Server-held state, see codec_request_refs; {0,0} when absent. Responses: `conversation` and
     * `previous_response_id`. Gemini: `cachedContent`. */
    struct span container, thread;
    bool stored;      /* Responses: the reply is kept by the provider, later requests may name it */
    bool cache_1h;    /* asks for a prompt cache that lasts an hour */
    bool no_file_ids; /* it names no files that the provider keeps; false: not known */
};
/* The conversation of a session's id; 0 when it is empty. */
uint64_t codec_session_hash(struct slice id);
/* ERR_SYNTAX: not a JSON object, a member of interest has the wrong type, or `model` stands twice;
 * ERR_LIMIT: nested deeper than 64. `why` is a static sentence for the client. */
MUST_USE enum err codec_request_scan(enum dialect d, struct slice body, struct request_facts *out,
                                     const char **why);

/* What a request names that lives on the account that made it: containers, files, skills, threads
 * (the id of their last message), conversations, earlier replies. `f` as scanned, or zeros for a
 * body that is not (a batch). */
#define REQUEST_REFS_MAX 16
#define REQUEST_REF_MAX  128
struct request_refs {
    char id[REQUEST_REFS_MAX][REQUEST_REF_MAX];
    int n;
    bool thread; /* the message that answers may be named by the next turn */
};
void codec_request_refs(enum dialect d, struct slice body, const struct request_facts *f,
                        struct request_refs *out);
/* The files that a batch of OpenAI's reads and makes, of its request or of a reply about it. */
void codec_job_files(struct slice body, struct request_refs *out);
/* Copies an Anthropic body without the thinking of its assistant turns, of the first `before`
 * messages only; else the same to the byte. ERR_SYNTAX, ERR_LIMIT, ERR_NOMEM. */
struct thinking_strip {
    int messages; /* how many there are */
    int gone;     /* blocks left out */
    bool off;     /* thinking was switched off: see thinking.c */
};
MUST_USE enum err codec_thinking_strip(struct slice body, int before, struct buf *out,
                                       struct thinking_strip *done);
/* The same of a Responses body: `messages` are the items of its input. */
MUST_USE enum err codec_reasoning_strip(struct slice body, int before, struct buf *out,
                                        struct thinking_strip *done);
/* True for the words by which a provider refuses thinking that was signed elsewhere, or not at all,
 * or that is missing. */
bool codec_is_signature_error(struct slice message);

/* ---- replies: the observer ------------------------------------------------------------------- */

struct usage {
    bool known;
    int64_t input, output, cache_read, cache_write_5m, cache_write_1h, thinking;
    int64_t web_searches, web_fetches;
    char service_tier[16], speed[16], inference_geo[16];
};
enum reply_kind {
    REPLY_SSE,
    REPLY_JSON, /* one JSON object; kept for reading up to a bound, longer ones are scanned blind */
    REPLY_LINES,  /* a stream of JSON objects, one a line (Ollama) */
    REPLY_OPAQUE, /* anything else: bytes only */
};
/* An error told inside a stream, or by an error body. */
enum reply_error {
    REPLY_ERROR_NONE,
    REPLY_ERROR_RATE_LIMIT,
    REPLY_ERROR_OVERLOADED,
    REPLY_ERROR_SERVER,  /* api_error, timeout_error */
    REPLY_ERROR_AUTH,    /* authentication_error, permission_error */
    REPLY_ERROR_BILLING, /* billing_error and spend-limit texts */
    REPLY_ERROR_CLIENT,  /* invalid_request_error, not_found_error, request_too_large, ... */
    REPLY_ERROR_OTHER,
};
struct observation {
    struct usage usage;
    char model[96], stop_reason[32], message_id[REQUEST_REF_MAX];
    bool meaningful; /* something other than ping, comment and message_start has been seen */
    bool terminal;   /* the dialect's own end was seen: message_stop, or the JSON body whole */
    bool blind;      /* the bytes made no sense at some point; what was read before still stands */
    enum reply_error error;
    struct reply_words *words; /* read by reply_words() */
};
/* Words that most replies do not have. Thousands of held streams must not keep room for them, so it
 * is made when they come. Whoever has an observation of his own may give it words of his own:
 *     struct reply_words words = {0};
 *     struct observation o = {.words = &words}; */
struct reply_words {
    char error_type[48], error_message[256];
    char container[64]; /* the id of the one that tools have run in, "" = none */
};
const struct reply_words *reply_words(const struct observation *o); /* empty ones: never NULL */
struct observer; /* opaque; a few hundred bytes while idle */
struct observer *observer_new(enum dialect d, enum reply_kind kind);
void observer_free(struct observer *o); /* NULL is fine */
/* Looks at the next bytes. Returns how many bytes at the front of `bytes` complete an event: after
 * them the stream stands between two events (SSE, LINES). For other kinds: all of them. */
size_t observer_feed(struct observer *o, struct slice bytes);
void observer_end(struct observer *o); /* the body is complete by its framing */
const struct observation *observer_see(const struct observer *o);

/* Watches a reply's bytes, in any pieces, for the ids of files that its tools have made. */
struct ref_watch {
    uint8_t matched, len;
    bool value;
    char *id; /* of REQUEST_REF_MAX bytes; NULL while nothing like one has come */
};
void ref_watch_init(struct ref_watch *w);
void ref_watch_free(struct ref_watch *w);
/* Takes `*bytes` from the front; true when an id is in w->id: ask again for the rest. */
bool ref_watch_next(struct ref_watch *w, struct slice *bytes);

/* A stream of Chat Completions tells its usage only when asked to, and what is not told cannot be
 * booked. So where a client has not asked, the gateway does: it puts `put` in place of the bytes
 * `cut` of the body (an empty span: nothing is taken away), and then keeps from the client the one
 * event that it did not ask for. */
struct usage_wish {
    struct span cut;
    struct slice put; /* static */
};
/* False: there is nothing to do; the body asks already, or streams no reply, or is none. */
bool codec_usage_wish(enum dialect d, struct slice body, struct usage_wish *out);
/* True when an event's data is a chunk that brings the usage and no choice: the one that comes only
 * when asked for. Servers that tell usage on other chunks tell it there anyway. */
bool codec_usage_only(enum dialect d, struct slice data);
/* The same in bytes that hold whole events only (what observer_feed lets through): where the first
 * such event stands, its blank line included. False when there is none; costs one search then. */
bool codec_usage_event(enum dialect d, struct slice events, struct span *where);

/* ---- translation ----------------------------------------------------------------------------- */

/* How a reply's events are cut out of its bytes. */
enum framing {
    FRAMING_WHOLE, /* one JSON body */
    FRAMING_SSE,
    FRAMING_AWS,   /* application/vnd.amazon.eventstream: wire/bedrock.md */
    FRAMING_LINES, /* a JSON value a line */
    FRAMING_ARRAY, /* one JSON array, an element each: Gemini without alt=sse */
};

/* What the upstream takes; data of its provider and account. */
struct ask_target {
    struct slice model;         /* to be written; "" = as the client named it */
    bool no_stream_options;     /* OpenAI: refuses stream_options */
    bool max_completion_tokens; /* OpenAI: max_tokens is called so */
    bool reasoning_content;     /* OpenAI: wants thinking of earlier turns back, so named */
    bool empty_content;         /* OpenAI: refuses content null */
    bool first_system_only;     /* refuses system messages behind the first turn */
    bool no_effort;             /* knows no reasoning effort */
    bool all_efforts;           /* OpenAI: knows none, minimal, xhigh and max besides the three */
    bool no_temperature;        /* refuses sampling parameters */
    bool no_cache_control;      /* Anthropic: refuses top-level cache hints */
    bool adaptive_thinking;     /* Anthropic: thinking by effort, not by budget */
    bool no_images_by_url;      /* images must be inlined: refused with a 400 */
    bool short_call_ids;        /* Mistral: ids of calls are 9 letters or digits */
    bool body_has_no_model;     /* Bedrock, Vertex, Gemini: the path names it */
    bool body_has_no_stream;    /* ... and whether it streams */
    bool stream; /* the client's path said that the reply is to stream (Gemini), not its body */
    struct slice version; /* not "": "anthropic_version" to put into the body */
    int64_t max_tokens;   /* when the client names none and the dialect needs one; 0 = 32000 */
    int64_t num_ctx;      /* Ollama: how much context the model is loaded with; 0 = its default */
};
struct names; /* see canon.h */
/* A request in one dialect as a request in another. `names` keeps what the reply must undo.
 * ERR_SYNTAX, ERR_UNSUPPORTED, ERR_LIMIT: `why` is a static sentence for the client, for a 400. */
MUST_USE enum err codec_ask_translate(enum dialect from, enum dialect to, struct slice body,
                                      const struct ask_target *t, struct names *names,
                                      struct buf *out, const char **why);
struct names *codec_names_new(void);
void codec_names_free(struct names *n);

/* A reply on its way from the upstream's dialect and framing to the client's. Same dialect, other
 * framing: each event's JSON passes as it is. */
struct translate_plan {
    enum dialect from, to;
    enum framing in, out; /* a stream may be asked for and a whole body come, and the reverse */
    struct slice model;   /* as the client asked; copied */
    struct slice id;      /* the exchange's; copied */
    int64_t created;      /* s, wall */
    bool thinking, include_usage;
    const struct names *names; /* borrowed; NULL = none */
};
struct translate;
struct translate *translate_new(const struct translate_plan *p);
void translate_free(struct translate *t); /* NULL is fine */
/* Takes the next bytes; what the client is to get of them is appended to `out`, which then always
 * ends between two events. ERR_SYNTAX: the upstream speaks in tongues; ERR_LIMIT, ERR_NOMEM. After
 * an error only translate_error and translate_free are allowed. */
MUST_USE enum err translate_feed(struct translate *t, struct slice bytes, struct buf *out);
/* The reply is over by its framing. ERR_EOF: without the dialect's end, so it was cut. */
MUST_USE enum err translate_end(struct translate *t, struct buf *out);
/* Ends the client's reply with an error in its dialect, in the stream or as a body. */
MUST_USE enum err translate_error(struct translate *t, int status, struct slice message,
                                  struct buf *out);
/* A sign of life in the client's dialect and framing, for when the upstream is silent; nothing
 * where there is none. Between two feeds only. */
MUST_USE enum err translate_ping(struct translate *t, struct buf *out);
/* What was seen so far; .meaningful and .error as the observer tells them. */
const struct observation *translate_see(const struct translate *t);
/* The status of the error the reply told, as the client's dialect has it, for a head that is not
 * sent yet; 0: it told none. */
int translate_status(const struct translate *t);
/* Facts of a reply's request that its translation needs. */
struct ask_facts {
    bool stream, include_usage, thinking;
};
void codec_ask_facts(enum dialect d, struct slice body, struct ask_facts *out);
/* An error body in one dialect as one in another; the status may change (529 and 503). */
MUST_USE enum err codec_error_translate(enum dialect from, enum dialect to, int *status,
                                        struct slice body, struct slice request_id,
                                        struct buf *out);

/* ---- what the gateway itself says, in the client's dialect ----------------------------------- */

/* {"type":"error","error":{"type":...,"message":...},"request_id":...}; the type follows from
 * the status (wire/anthropic-messages.md section 7). */
MUST_USE enum err codec_error_body(enum dialect d, int status, struct slice message,
                                   struct slice request_id, struct buf *out);
/* The same as an SSE event, complete with its blank line. */
MUST_USE enum err codec_error_event(enum dialect d, int status, struct slice message,
                                    struct slice request_id, struct buf *out);
struct slice codec_ping(enum dialect d); /* "event: ping\ndata: {\"type\": \"ping\"}\n\n" */
/* Reads an error body (any shape); fills type and message as far as there are any. */
void codec_error_read(enum dialect d, int status, struct slice body, struct observation *out);

/* ---- model lists ----------------------------------------------------------------------------- */

/* Union of several GET /v1/models answers, newest first, each id once, with Anthropic's paging
 * (limit 1..1000, after_id, before_id). Bodies that do not parse are skipped. The bodies may be in
 * Anthropic's shape or in OpenAI's; entries in the other one than asked for are written anew. */
struct model_page {
    int64_t limit; /* 0 = 20 */
    struct slice after_id, before_id;
};
MUST_USE enum err codec_models_merge(const struct slice *bodies, int n,
                                     const struct model_page *page, struct buf *out);
/* The same in OpenAI's shape, which has no pages: {"object":"list","data":[...]}. */
MUST_USE enum err codec_models_list(const struct slice *bodies, int n, struct buf *out);

/* ---- batches --------------------------------------------------------------------------------- */

/* Ids of objects a reply speaks of: the top-level "id" of a created batch or file. "" when none. */
void codec_object_id(struct slice body, char *out, size_t size);
/* Copies `body`, with the origin (scheme://host[:port]) of every "results_url" value replaced by
 * `origin`; everything else is the same to the byte. */
MUST_USE enum err codec_results_rewrite(struct slice body, struct slice origin, struct buf *out);

#endif
