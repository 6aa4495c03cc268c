/* What must hold for every row of says that a reader tells, whatever it reads: canon.h. For fuzz
 * targets. */
#ifndef TEST_CODEC_CONTRACT_H
#define TEST_CODEC_CONTRACT_H

#include "codec/dialect.h"

#define MUST(condition)       \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

struct contract {
    bool open, started, stopped, ended;
};

/* A say_fn. */
static inline enum err contract_say(void *arg, const struct say *s)
{
    struct contract *c = arg;
    MUST(!c->ended);
    MUST(s->kind == SAY_ERROR || s->kind == SAY_LIFE || (s->kind == SAY_START) != c->started);
    switch (s->kind) {
    case SAY_START:
        c->started = true;
        break;
    case SAY_OPEN:
        MUST(!c->open && !c->stopped);
        MUST(s->what != BLOCK_CALL || (s->id.n > 0 && s->name.n > 0));
        c->open = true;
        break;
    case SAY_DELTA:
        MUST(c->open && s->text.n > 0);
        break;
    case SAY_SIGN:
        MUST(c->open);
        break;
    case SAY_CLOSE:
        MUST(c->open);
        c->open = false;
        break;
    case SAY_STOP:
        MUST(!c->open && !c->stopped);
        c->stopped = true;
        break;
    case SAY_END:
        MUST(c->stopped);
        c->ended = true;
        break;
    case SAY_ERROR:
        MUST(s->status >= 400 && !c->open);
        c->ended = true;
        break;
    case SAY_LOGPROBS:
    case SAY_LIFE:
        break;
    }
    return OK;
}

#endif
