/* The blocks of a reply, as readers say them. */
#include "codec/blocks.h"

enum err blocks_tell(struct blocks *b, const struct say *s)
{
    assert(b->say != NULL);
    return b->say(b->arg, s);
}

enum err blocks_close(struct blocks *b)
{
    bool open = b->open;
    b->open = false;
    return open ? blocks_tell(b, &(struct say){.kind = SAY_CLOSE, .what = b->what}) : OK;
}

enum err blocks_open(struct blocks *b, enum block_kind what, struct slice id, struct slice name)
{
    struct say s = {.kind = SAY_OPEN, .what = what, .id = id, .name = name};
    enum err e = blocks_close(b);
    assert(!b->open && b->started);
    assert(what != BLOCK_CALL || (id.n > 0 && name.n > 0));
    if (e != OK)
        return e;
    b->what = what;
    b->open = true;
    return blocks_tell(b, &s);
}

enum err blocks_delta(struct blocks *b, struct slice text)
{
    struct say s = {.kind = SAY_DELTA, .what = b->what, .text = text};
    assert(b->open);
    return text.n > 0 ? blocks_tell(b, &s) : OK;
}

bool blocks_is_open(const struct blocks *b, enum block_kind what)
{
    return b->open && b->what == what;
}
