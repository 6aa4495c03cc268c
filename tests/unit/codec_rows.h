/* The dialects that the random tests go through, and chance. A dialect takes part by its row. */
#ifndef TEST_CODEC_ROWS_H
#define TEST_CODEC_ROWS_H

#include "codec/dialect.h"
#include "codec/framing.h"

#include <string.h>

/* ---- what a dialect can say ------------------------------------------------------------------ */

enum {
    CAN_ORDER = 1,            /* blocks of any kind in any order; else thinking, text, calls */
    CAN_THINKING = 2,         /* in replies */
    CAN_SIGN = 4,             /* signatures of thinking in replies */
    CAN_REDACTED = 8,         /* in replies */
    CAN_REFUSAL = 16,         /* a refusal is something else than text */
    CAN_COUNT_THINKING = 32,  /* usage: tokens of thinking */
    CAN_COUNT_WRITES = 64,    /* usage: tokens written to the cache */
    CAN_COUNT_HOURS = 128,    /* usage: ... and for an hour */
    CAN_COUNT_SEARCHES = 256, /* usage: searches */
    CAN_IDS = 512,            /* ids of calls */
    CAN_ASK_CACHE = 1024,     /* breakpoints */
    CAN_ASK_TOP_K = 2048,
    CAN_ASK_URL = 4096,         /* images by URL */
    CAN_ASK_DOCUMENT = 8192,    /* PDFs */
    CAN_ASK_IMAGES = 1 << 14,   /* in results */
    CAN_ASK_ERROR = 1 << 15,    /* failed results are told apart */
    CAN_ASK_THINKING = 1 << 16, /* signed thinking of earlier turns */
    CAN_ASK_USER = 1 << 17,
    CAN_ASK_SAMPLING = 1 << 18,  /* temperature beside top_p, forced tools while it thinks */
    CAN_ASK_PENALTIES = 1 << 19, /* and seed */
    CAN_ASK_PARALLEL = 1 << 20,
    CAN_ASK_STRICT = 1 << 21,  /* tools, and schemas of answers */
    CAN_ASK_MINIMAL = 1 << 22, /* effort: minimal */
    CAN_ASK_CHOICE = 1 << 23,
    CAN_ASK_JSON = 1 << 24,  /* JSON without a schema */
    CAN_ASK_TEXTS = 1 << 25, /* neighbouring texts of a message stay apart */
    CAN_ASK_STOP = 1 << 26,
    CAN_ASK_REDACTED = 1 << 27, /* in earlier turns */
    CAN_COUNT_READS = 1 << 28,  /* usage: tokens read from the cache */
    CAN_ASK_SCHEMA = 1 << 29,   /* of answers; tools may be strict only with CAN_ASK_STRICT */
    CAN_ASK_MODEL = 1 << 30,    /* and whether to stream: they stand in the body */
};
struct dialect_row {
    enum dialect d;
    enum framing stream;
    unsigned can;
    unsigned stops; /* a bit for each stop_kind that is told apart */
    const char *id_prefix, *model;
    const char *signature; /* as it takes back only; NULL = as Anthropic's */
};
#define STOP_BIT(k) (1U << (unsigned)(k))
static const struct dialect_row rows[] = {
    {.d = DIALECT_ANTHROPIC,
     .stream = FRAMING_SSE,
     .can = CAN_ORDER | CAN_THINKING | CAN_SIGN | CAN_REDACTED | CAN_COUNT_THINKING |
            CAN_COUNT_WRITES | CAN_COUNT_HOURS | CAN_COUNT_SEARCHES | CAN_IDS | CAN_ASK_CACHE |
            CAN_ASK_TOP_K | CAN_ASK_URL | CAN_ASK_DOCUMENT | CAN_ASK_IMAGES | CAN_ASK_ERROR |
            CAN_ASK_THINKING | CAN_ASK_USER | CAN_ASK_PARALLEL | CAN_ASK_STRICT | CAN_ASK_CHOICE |
            CAN_ASK_TEXTS | CAN_ASK_STOP | CAN_ASK_REDACTED | CAN_COUNT_READS | CAN_ASK_SCHEMA |
            CAN_ASK_MODEL,
     .stops = STOP_BIT(STOP_END) | STOP_BIT(STOP_LENGTH) | STOP_BIT(STOP_SEQUENCE) |
              STOP_BIT(STOP_REFUSAL) | STOP_BIT(STOP_PAUSE) | STOP_BIT(STOP_CALLS),
     .id_prefix = "msg_",
     .model = "claude-opus-4-6"},
    {.d = DIALECT_OPENAI,
     .stream = FRAMING_SSE,
     .can = CAN_THINKING | CAN_SIGN | CAN_COUNT_THINKING | CAN_COUNT_WRITES | CAN_IDS |
            CAN_ASK_URL | CAN_ASK_DOCUMENT | CAN_ASK_USER | CAN_ASK_SAMPLING | CAN_ASK_PENALTIES |
            CAN_ASK_PARALLEL | CAN_ASK_STRICT | CAN_ASK_MINIMAL | CAN_ASK_CHOICE | CAN_ASK_JSON |
            CAN_ASK_STOP | CAN_COUNT_READS | CAN_ASK_SCHEMA | CAN_ASK_MODEL,
     .stops = STOP_BIT(STOP_END) | STOP_BIT(STOP_LENGTH) | STOP_BIT(STOP_REFUSAL) |
              STOP_BIT(STOP_CALLS),
     .id_prefix = "chatcmpl-",
     .model = "gpt-6-sol"},
    {.d = DIALECT_RESPONSES,
     .stream = FRAMING_SSE,
     .can = CAN_ORDER | CAN_THINKING | CAN_SIGN | CAN_REDACTED | CAN_COUNT_THINKING |
            CAN_COUNT_WRITES | CAN_IDS | CAN_ASK_URL | CAN_ASK_DOCUMENT | CAN_ASK_IMAGES |
            CAN_ASK_USER | CAN_ASK_SAMPLING | CAN_ASK_PARALLEL | CAN_ASK_STRICT | CAN_ASK_MINIMAL |
            CAN_ASK_CHOICE | CAN_ASK_JSON | CAN_ASK_TEXTS | CAN_COUNT_READS | CAN_ASK_SCHEMA |
            CAN_ASK_MODEL | CAN_ASK_THINKING,
     .stops = STOP_BIT(STOP_END) | STOP_BIT(STOP_LENGTH) | STOP_BIT(STOP_REFUSAL) |
              STOP_BIT(STOP_CALLS),
     .id_prefix = "resp_",
     .model = "gpt-6-sol",
     .signature = "openai#c2lnbmF0dXJl"},
    {.d = DIALECT_GEMINI,
     .stream = FRAMING_SSE,
     .can = CAN_THINKING | CAN_SIGN | CAN_COUNT_THINKING | CAN_IDS | CAN_ASK_TOP_K | CAN_ASK_URL |
            CAN_ASK_IMAGES | CAN_ASK_ERROR | CAN_ASK_THINKING | CAN_ASK_SAMPLING |
            CAN_ASK_PENALTIES | CAN_ASK_MINIMAL | CAN_ASK_CHOICE | CAN_ASK_JSON | CAN_ASK_TEXTS |
            CAN_ASK_STOP | CAN_COUNT_READS | CAN_ASK_SCHEMA,
     .stops = STOP_BIT(STOP_END) | STOP_BIT(STOP_LENGTH) | STOP_BIT(STOP_REFUSAL) |
              STOP_BIT(STOP_CALLS),
     .id_prefix = "",
     .model = "gemini-3-flash",
     .signature = "gemini#c2lnbmF0dXJl"},
    {.d = DIALECT_OLLAMA,
     .stream = FRAMING_LINES,
     .can = CAN_THINKING | CAN_IDS | CAN_ASK_TOP_K | CAN_ASK_SAMPLING | CAN_ASK_PENALTIES |
            CAN_ASK_JSON | CAN_ASK_STOP | CAN_ASK_SCHEMA | CAN_ASK_MODEL,
     .stops = STOP_BIT(STOP_END) | STOP_BIT(STOP_LENGTH) | STOP_BIT(STOP_CALLS),
     .model = "gpt-oss:20b"},
};
#define ROWS (sizeof rows / sizeof rows[0])

/* ---- chance ---------------------------------------------------------------------------------- */

struct rnd {
    uint64_t state;
};

static inline uint64_t rnd_next(struct rnd *r)
{
    r->state ^= r->state << 13;
    r->state ^= r->state >> 7;
    r->state ^= r->state << 17;
    return r->state;
}

static inline int rnd_below(struct rnd *r, int n) /* 0 .. n-1 */
{
    return (int)(rnd_next(r) >> 11 & 0x7fffffff) % n;
}

static inline void must(enum err e)
{
    assert(e == OK);
    (void)e;
}

/* Text of `pieces` bits that have broken translators: line ends, what looks like framing, escapes,
 * characters of 1 to 4 bytes. */
static inline void rnd_text(struct rnd *r, int pieces, struct buf *out)
{
    static const char *const bits[] = {
        "a",
        "word ",
        "\n",
        "\r\n",
        "\"",
        "\\",
        "{\"x\":[1,2",
        "data: ",
        "\n\nevent: error\ndata: {}\n\n",
        "\xc3\xa9",
        "\xe2\x82\xac",
        "\xf0\x9f\x98\x80",
        "\t",
        "\x01",
        "\x7f",
        "[DONE]",
        "\\u0041",
        "</think>",
        "\xe2\x80\xa8",
        "0",
        "null",
        ": ping",
        "'",
        "\\n",
        "ein Satz mit Leerzeichen",
    };
    for (int i = 0; i < pieces; i++)
        must(buf_puts(out, slice_of(bits[rnd_below(r, (int)(sizeof bits / sizeof bits[0]))])));
}

static inline void rnd_word(struct rnd *r, const char *prefix, int n, struct buf *out)
{
    must(buf_puts(out, slice_of(prefix)));
    for (int i = 0; i < n; i++)
        must(buf_append(out, &"abcdefghijklmnopqrstuvwxyz0123456789_"[rnd_below(r, 37)], 1));
}

/* A compact JSON object, spelled as the house spells it. */
static inline void rnd_object(struct rnd *r, int depth, struct buf *out)
{
    int n = rnd_below(r, 4);
    must(buf_puts(out, S("{")));
    for (int i = 0; i < n; i++) {
        struct buf text;
        buf_init(&text, 4096);
        rnd_text(r, 1 + rnd_below(r, 3), &text);
        must(buf_printf(out, "%s\"k%d\":", i > 0 ? "," : "", i));
        switch (rnd_below(r, depth > 0 ? 4 : 3)) {
        case 0:
            must(json_escape(out, buf_slice(&text)));
            break;
        case 1:
            must(buf_printf(out, "%d", rnd_below(r, 100000) - 500));
            break;
        case 2:
            must(buf_puts(out, S("[true,null,1.5,\"x\"]")));
            break;
        default:
            rnd_object(r, depth - 1, out);
        }
        buf_free(&text);
    }
    must(buf_puts(out, S("}")));
}

#endif
