/* Whose talk a request belongs to. The provider's prompt cache is per account, so the turns of one
 * conversation should meet the same account; this is the number by which they are known.
 *
 * In this order: the session's header, the session in metadata.user_id (the same id, so the same
 * number), prompt_cache_key, and the beginning of the talk itself; the last three are codec's. All
 * of them are chosen by the client, so the key goes in: nobody who guesses a session's id, or
 * begins a talk with the same words, can make another's conversation follow him to an account of
 * his group, keep it warm in the books, or stand in line in its place. Without a key there is
 * nothing to keep apart. The number is the same in every process and after every restart. */
#include "gateway/exchange.h"

#include <string.h>

#define HEX_LEN 16

static uint64_t blend(uint64_t a, uint64_t b)
{
    uint64_t h = a ^ (b * 0x9e3779b97f4a7c15ULL);
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ULL;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebULL;
    return (h ^ (h >> 31)) | 1; /* 0 is no conversation */
}

static uint64_t of_key(uint64_t session, struct slice key_id)
{
    return session == 0 || key_id.n == 0 ? session : blend(session, codec_session_hash(key_id));
}

static uint64_t header_hash(const struct http_head *head, const char *name)
{
    const struct slice *v = http_find(head, name);
    return v != NULL ? codec_session_hash(*v) : 0;
}

void talk_open(struct exchange *x, const struct http_head *head)
{
    struct talk *t = &x->plan->talk;
    t->session = header_hash(head, "x-claude-code-session-id");
    t->agent = header_hash(head, "x-claude-code-agent-id");
    t->above = header_hash(head, "x-claude-code-parent-agent-id");
}

void talk_settle(struct exchange *x)
{
    struct talk *t = &x->plan->talk;
    uint64_t session = t->session != 0 ? t->session : x->plan->facts.conversation;
    x->conversation = x->parent = 0;
    if (session == 0)
        return;
    session = of_key(session, slice_of(x->record.key_id));
    x->conversation = session;
    if (t->agent != 0) { /* a subagent has a cache of its own, begun where its parent's is */
        x->conversation = blend(session, t->agent);
        x->parent = t->above != 0 ? blend(session, t->above) : session;
    }
    assert(x->conversation != 0);
}

static bool hex_read(struct slice text, uint64_t *out)
{
    uint64_t n = 0;
    if (text.n != HEX_LEN)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        bool digit = c >= '0' && c <= '9', letter = c >= 'a' && c <= 'f';
        if (!digit && !letter)
            return false;
        n = n << 4 | (uint64_t)(digit ? c - '0' : c - 'a' + 10);
    }
    *out = n;
    return true;
}

uint64_t conversation_of(struct slice session, struct slice key_id)
{
    uint64_t n;
    return hex_read(session, &n) ? n : of_key(codec_session_hash(session), key_id);
}

uint64_t conversation_of_session(struct slice session)
{
    return conversation_of(session, S(""));
}
