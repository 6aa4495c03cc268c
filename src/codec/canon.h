/* Inside the codec room: what all dialects can say, in words of none of them.
 *
 *   body --ask_read--> struct ask --ask_write--> body           a request
 *   bytes --framing--> say_read --> struct say --> say_write --framing--> bytes     a reply
 *
 * An `ask` is a request as a tree of small structs in an arena. A reply is a row of `say`s, whether
 * it was streamed or not: a reader of a whole body says the same as if it had come in pieces, and a
 * writer of a whole body gathers them until the end. What a dialect cannot say its writer drops, or
 * refuses if that would change the meaning (wire/translate-anthropic-openai.md); the rows of what
 * is dropped are at the top of its file. */
#ifndef SLUICE_CODEC_CANON_H
#define SLUICE_CODEC_CANON_H

#include "codec/codec.h"

/* ---- requests -------------------------------------------------------------------------------- */

enum role { ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT };
enum part_kind {
    PART_TEXT,     /* text */
    PART_IMAGE,    /* media + data (base64), or url, or file (a provider's own id) */
    PART_DOCUMENT, /* as IMAGE, or text; name = title or file name */
    PART_AUDIO,    /* media + data */
    PART_THINKING, /* text, signature ("" = unsigned) */
    PART_REDACTED, /* data: thinking that only its provider can read */
    PART_CALL,     /* id, name, text = the arguments, a JSON object's text ("{}" if it was empty) */
    PART_RESULT,   /* id of the call, inner = what came out, error; name of the tool if known */
    PART_OTHER,    /* of the dialect alone: name = its type, text = its JSON */
};
struct part {
    enum part_kind kind;
    struct slice text, id, name, media, data, url, file, signature;
    bool error;
    bool cache; /* a cache breakpoint stands behind it */
    struct part *inner, *inner_last, *next;
};
struct turn { /* neighbours may have the same role; system turns stand where they stood */
    enum role role;
    struct part *parts, *last;
    struct turn *next;
};
struct tool {
    struct slice name, description;
    struct slice schema; /* JSON text, "" = none told */
    bool strict, cache;
    struct slice other; /* not "": a tool of the dialect's own (server tools): its type; schema is
                           then the whole JSON */
    struct tool *next;
};
enum tool_choice { CHOICE_UNSET, CHOICE_AUTO, CHOICE_ANY, CHOICE_NONE, CHOICE_ONE };
enum effort {
    EFFORT_UNSET,
    EFFORT_NONE,
    EFFORT_MINIMAL,
    EFFORT_LOW,
    EFFORT_MEDIUM,
    EFFORT_HIGH,
    EFFORT_XHIGH,
    EFFORT_MAX
};
enum format { FORMAT_UNSET, FORMAT_JSON, FORMAT_SCHEMA };
#define ASK_STOPS 16
/* A signature is as its provider wrote it; those of others than Anthropic have who it was and a '#'
 * in front, "gemini#...", for one is refused by all but its maker. False for none. */
bool signature_is_anthropic(struct slice signature);
/* Slices point into the body that was read or into the arena: both outlive the ask. Numbers: NAN or
 * -1 = not told; `parallel`, -1 = not told. */
struct ask {
    struct arena *arena;
    struct slice model;
    struct turn *turns, *last;
    struct tool *tools, *last_tool;
    enum tool_choice choice;
    struct slice choice_name; /* of CHOICE_ONE */
    int parallel;
    int64_t max_tokens, top_k, n, seed, top_logprobs;
    double temperature, top_p, frequency_penalty, presence_penalty;
    struct slice stop[ASK_STOPS];
    int stops;
    bool stream, logprobs;
    bool include_usage; /* OpenAI: the client wants the usage chunk of a stream */
    enum effort effort;
    int64_t thinking_budget; /* -1 = not told; 0 = off */
    bool show_thinking;      /* the client wants to read it, be it a summary */
    enum format format;
    struct slice schema_name, schema; /* of FORMAT_SCHEMA */
    bool schema_strict;
    struct slice user;
    bool full; /* the arena was once too small: something is missing, the ask must not be used */
};
void ask_init(struct ask *a, struct arena *arena);
/* NULL: the arena is full. Both append. */
struct turn *ask_turn(struct ask *a, enum role role);
struct part *turn_part(struct ask *a, struct turn *t, enum part_kind kind);
struct part *part_inner(struct ask *a, struct part *p, enum part_kind kind); /* appends below p */
struct tool *ask_tool(struct ask *a);
/* A JSON value as text: the bytes it had in `body` are not known to a tree, so it is printed. ""
 * when the arena is full or v is NULL. */
struct slice ask_json(struct ask *a, const struct json_val *v);
MUST_USE enum err tree_print(struct buf *out, const struct json_val *v); /* as JSON, compact */
struct slice ask_str(struct ask *a, const struct json_val *v); /* a copy in the arena; "" if none */
struct slice ask_format(struct ask *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The body as a tree; ERR_LIMIT when it has so many values that the tree would not be bounded. */
MUST_USE enum err ask_parse(struct slice body, struct json **doc, const char **why);
/* "data:image/png;base64,...": its parts; false when `url` is no such thing. */
bool data_url(struct slice url, struct slice *media, struct slice *data);
bool text_blank(struct slice text); /* nothing but white space */
/* What is asked for, as instructions to models that cannot be told otherwise: the format, and the
 * choice of tools (ANY or ONE; `name` as it is written). */
MUST_USE enum err format_hint(const struct ask *a, struct buf *room);
MUST_USE enum err choice_hint(const struct ask *a, struct slice name, struct buf *room);
/* An id of a call, as every dialect takes it: ids go to clients and come back from them. Letters
 * that some refuse become '_'; one that does not fit is made anew, the same each time. */
#define CALL_ID_MAX 65 /* with its end */
void call_id_clean(struct slice id, char out[CALL_ID_MAX]);

/* Words that several dialects share. */
enum effort effort_of_budget(int64_t tokens); /* 512 minimal, 1024 low, 8192 medium, 24576 high */
int64_t budget_of_effort(enum effort e);
bool effort_find(struct slice word, enum effort *out); /* "none", "minimal", ... */
const char *effort_name(enum effort e);
/* Appends the arguments of a call as a JSON object: `text` itself if it is one, what is left of it
 * if it broke off, {} if it makes no sense. */
MUST_USE enum err call_input(struct slice text, struct buf *out);

/* ---- replies --------------------------------------------------------------------------------- */

enum say_kind {
    SAY_START,    /* once, first: id, model; usage as far as it is known */
    SAY_OPEN,     /* a block begins: what; CALL: id, name */
    SAY_DELTA,    /* more of the open block: text (CALL: a piece of the arguments' JSON) */
    SAY_SIGN,     /* THINKING: its signature is `text` */
    SAY_CLOSE,    /* the open block is over */
    SAY_LOGPROBS, /* text: OpenAI's logprobs object of what was just said, as JSON */
    SAY_STOP,     /* why it stopped, and the usage; once */
    SAY_END,      /* the dialect's own end was seen; nothing follows */
    SAY_ERROR,    /* status, error_type, text = message; nothing follows */
    SAY_LIFE,     /* only a sign of life */
};
enum block_kind {
    BLOCK_TEXT,
    BLOCK_THINKING,
    BLOCK_REDACTED, /* its data comes as one DELTA */
    BLOCK_CALL,
    BLOCK_REFUSAL,
    BLOCK_IMAGE, /* name: media type; base64 comes as one DELTA */
};
enum stop_kind {
    STOP_END,
    STOP_LENGTH,
    STOP_CALLS,
    STOP_SEQUENCE, /* text: which */
    STOP_REFUSAL,
    STOP_PAUSE,
};
const char *stop_name(enum stop_kind k); /* in Anthropic's words, which the ledger uses too */
/* Blocks never interleave: at most one is open, readers hold back what comes out of turn. Every
 * OPEN has its CLOSE, before STOP. After START come STOP and END, or ERROR, or nothing (cut). */
struct say {
    enum say_kind kind;
    enum block_kind what; /* of OPEN, DELTA and CLOSE */
    enum stop_kind stop;
    struct slice id, name, model, text, error_type;
    int status; /* of ERROR: as an HTTP status */
    enum reply_error error;
    struct usage usage; /* of START, STOP and ERROR; .known when any of it was told */
};
/* Slices are valid during the call. An error (out of memory, a bound) stops the reader, which
 * returns it. */
typedef enum err say_fn(void *arg, const struct say *s);

/* What a reply's reader or writer needs to know of the request. */
struct say_context {
    struct slice model;        /* as the client asked for it: what its reply is to name */
    struct slice id;           /* the exchange's, for ids that must be made up */
    int64_t created;           /* s, wall */
    bool thinking;             /* the client asked for thinking */
    bool include_usage;        /* OpenAI */
    const struct names *names; /* tool names that had to be shortened; NULL = none */
};
/* Readers and writers are opaque; freed by their own free. They keep what they need of a context,
 * but `names` is borrowed. */
struct say_reader;
struct say_writer;

/* A dialect's half of translation; dialect_ops points to it. */
struct dialect_canon {
    /* ERR_SYNTAX (not this dialect), ERR_UNSUPPORTED (cannot be said in any other), ERR_LIMIT;
     * `why` is a static sentence that names the field. */
    enum err (*ask_read)(struct slice body, struct ask *out, const char **why);
    enum err (*ask_write)(const struct ask *a, const struct ask_target *t, struct names *names,
                          struct buf *out, const char **why);
    struct say_reader *(*reader_new)(const struct say_context *c);
    void (*reader_free)(struct say_reader *r);
    /* One event of a stream, or (whole) one complete JSON body, which the reader follows with END.
     * ERR_SYNTAX: it made no sense. */
    enum err (*read)(struct say_reader *r, struct slice event, struct slice data, bool whole,
                     say_fn *say, void *arg);
    /* The stream is over by its framing: what was held back; END only if the dialect's end was
     * seen, or if it has none of its own. */
    enum err (*read_end)(struct say_reader *r, say_fn *say, void *arg);
    struct say_writer *(*writer_new)(const struct say_context *c, bool whole);
    void (*writer_free)(struct say_writer *w);
    /* `out` gets SSE text (or JSON lines, where that is the dialect's stream); a whole writer
     * prints its one body at END (or ERROR), nothing before. */
    enum err (*write)(struct say_writer *w, const struct say *s, struct buf *out);
};
extern const struct dialect_canon canon_anthropic, canon_openai, canon_responses, canon_gemini,
    canon_ollama;

/* ---- names ----------------------------------------------------------------------------------- */

/* Tool names a dialect cannot write, and what stands for them. */
struct names;
struct names *names_new(void);
void names_free(struct names *n);
/* The name to write: `name` itself if it is at most `max` bytes of [A-Za-z0-9_-], else a shortened
 * one with a stable hash, which names_back undoes. */
struct slice names_put(struct names *n, struct slice name, size_t max);
struct slice names_back(const struct names *n, struct slice written); /* itself if not known */

#endif
