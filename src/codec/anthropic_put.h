/* Inside the codec room: the parts of the writer of Anthropic requests. */
#ifndef SLUICE_CODEC_ANTHROPIC_PUT_H
#define SLUICE_CODEC_ANTHROPIC_PUT_H

#include "codec/anthropic.h"

/* What follows for a request from its model, its target and what it asks for. */
struct manner {
    bool adaptive;   /* thinks by effort, not by budget */
    bool sampling;   /* temperature and its kin are taken */
    bool structured; /* knows strict tools and JSON schemas */
    bool partner;    /* Bedrock, Vertex: fewer members are known */
    bool prefill;    /* the last word may be the assistant's */
    bool thinks;
    int64_t budget, max_tokens;
    enum effort effort;
    enum tool_choice choice;
};
struct put {
    const struct ask *a;
    const struct ask_target *t;
    struct names *names;
    struct manner m;
    struct jw w;
    int marks, marks_skip; /* cache marks so far; how many of the first are too many */
    const char **why;
};

/* anthropic_talk.c */
MUST_USE enum err put_messages(struct put *p);
void put_text(struct put *p, struct slice text, bool cache); /* a text block */
void put_cache(struct put *p, bool marked);
#define PUT_NAME_LEN 64 /* of a tool */

#endif
