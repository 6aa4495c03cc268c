/* Affinity: where each conversation's prompt cache is warm.
 *
 *   head[hash] -> entry -> entry -> 0        chains, by index
 *   newest <-> entry <-> ... <-> oldest      by last use
 *
 * Entries of one size in one array, which grows up to AFFINITY_MAX and then takes the place of
 * those unused for longest. Nothing here is stored: after a restart, conversations begin cold in
 * the memory of this program, and the rendezvous of most strategies finds their account again.
 *
 * Times are wall times moved by `shift`: a wall clock that is set back moves that one number. */
#include "accounts/inside.h"

#include <string.h>

#define GUARD     INT64_C(10000)          /* the provider's clock and the way to it */
#define TTL_MAX   (INT64_C(24) * 3600000) /* no provider keeps one for longer */
#define CAP_FIRST 256

struct affinity_entry {
    uint64_t conversation;
    struct account *account; /* in the set: affinity_forget comes before its end */
    int64_t until;
    uint32_t context;
    uint32_t next;         /* of its chain; of the spare ones */
    uint32_t newer, older; /* 0 at the ends */
};

static uint32_t *chain_of(const struct affinity *f, uint64_t conversation)
{
    /* Keyed: clients choose the names of their conversations. */
    uint64_t h = crypto_siphash((struct slice){(const char *)&conversation, sizeof conversation});
    assert(f->cap > 0 && (f->cap & (f->cap - 1)) == 0);
    return &f->head[h & (f->cap - 1)];
}

static struct affinity_entry *entry_at(const struct affinity *f, uint32_t i)
{
    assert(i > 0 && i <= f->used);
    return &f->entry[i - 1];
}

/* A request asks twice for its conversation, and the next one of it comes soon. Who chooses names
 * so that they meet here only takes from himself what this saves: then the chains are looked at. */
static uint32_t *lately_of(struct affinity *f, uint64_t conversation)
{
    return &f->lately[(conversation >> 32) % AFFINITY_LATELY];
}

static uint32_t entry_find(struct affinity *f, uint64_t conversation)
{
    uint32_t *lately = lately_of(f, conversation), i = *lately;
    if (i != 0 && entry_at(f, i)->conversation == conversation && entry_at(f, i)->account != NULL)
        return i; /* an entry that was dropped has no account, and one taken anew another name */
    i = f->cap > 0 ? *chain_of(f, conversation) : 0;
    while (i != 0 && entry_at(f, i)->conversation != conversation)
        i = entry_at(f, i)->next;
    if (i != 0)
        *lately = i;
    return i;
}

/* ---- the row by last use --------------------------------------------------------------------- */

static void row_leave(struct affinity *f, struct affinity_entry *e)
{
    if (e->newer != 0)
        entry_at(f, e->newer)->older = e->older;
    else
        f->newest = e->older;
    if (e->older != 0)
        entry_at(f, e->older)->newer = e->newer;
    else
        f->oldest = e->newer;
}

static void row_join(struct affinity *f, uint32_t i)
{
    struct affinity_entry *e = entry_at(f, i);
    e->newer = 0;
    e->older = f->newest;
    if (f->newest != 0)
        entry_at(f, f->newest)->newer = i;
    else
        f->oldest = i;
    f->newest = i;
}

/* ---- entries --------------------------------------------------------------------------------- */

static void entry_drop(struct affinity *f, uint32_t i)
{
    struct affinity_entry *e = entry_at(f, i);
    uint32_t *at = chain_of(f, e->conversation);
    while (*at != i)
        at = &entry_at(f, *at)->next;
    *at = e->next;
    row_leave(f, e);
    assert(f->n > 0 && f->n <= f->used);
    e->account = NULL;
    e->next = f->spare;
    f->spare = i;
    f->n--;
}

static void affinity_grow(struct affinity *f)
{
    uint32_t cap = f->cap == 0 ? CAP_FIRST : f->cap * 2;
    f->entry = mem_grow(f->entry, cap * sizeof *f->entry);
    mem_free(f->head);
    f->head = mem_new(cap * sizeof *f->head);
    f->cap = cap;
    assert(f->spare == 0 && f->n == f->used); /* no place was free: all are in use */
    for (uint32_t i = 1; i <= f->used; i++) {
        struct affinity_entry *e = entry_at(f, i);
        uint32_t *head = chain_of(f, e->conversation);
        e->next = *head;
        *head = i;
    }
}

/* The ones at the end of the row whose time is over make room, so that the table is no larger than
 * the conversations are many. Two for each that comes: what has piled up goes away. */
static void affinity_tidy(struct affinity *f, int64_t now)
{
    for (int i = 0; i < 2 && f->oldest != 0; i++) {
        if (entry_at(f, f->oldest)->until > now)
            return;
        entry_drop(f, f->oldest);
    }
}

static uint32_t entry_take(struct affinity *f, int64_t now)
{
    affinity_tidy(f, now);
    if (f->spare == 0 && f->used == f->cap) {
        if (f->cap < AFFINITY_MAX)
            affinity_grow(f);
        else
            entry_drop(f, f->oldest);
    }
    f->n++;
    uint32_t i = f->spare;
    assert(f->n <= f->cap && f->cap <= AFFINITY_MAX && (i != 0 || f->used < f->cap));
    if (i == 0)
        return ++f->used;
    f->spare = entry_at(f, i)->next;
    return i;
}

static uint32_t entry_add(struct affinity *f, uint64_t conversation, int64_t now)
{
    uint32_t i = entry_take(f, now);
    uint32_t *head = chain_of(f, conversation);
    *entry_at(f, i) = (struct affinity_entry){.conversation = conversation, .next = *head};
    *head = i;
    return i;
}

/* ---- the door -------------------------------------------------------------------------------- */

static bool entry_is_warm(const struct affinity_entry *e, int64_t now)
{
    return e->until > now && e->until - now <= TTL_MAX;
}

void accounts_warm(struct account_set *set, uint64_t conversation, const struct account *a,
                   int64_t ttl_ms, int64_t context, int64_t now)
{
    struct affinity *f = &set->affinity;
    accounts_clock(set);
    if (conversation == 0 || a->facts.leaving || ttl_ms <= GUARD)
        return;
    now += f->shift;
    int64_t until = now + (ttl_ms < TTL_MAX ? ttl_ms : TTL_MAX) - GUARD;
    uint32_t i = entry_find(f, conversation);
    if (i == 0)
        i = entry_add(f, conversation, now);
    else
        row_leave(f, entry_at(f, i));
    row_join(f, i);
    struct affinity_entry *e = entry_at(f, i);
    /* What was written for an hour lasts on when a later reply only reads it. */
    bool stays = e->account == a && entry_is_warm(e, now);
    if (stays && context < e->context / 4)
        context = e->context;
    e->until = stays && e->until > until ? e->until : until;
    e->account = accounts_by_id(set, a->id);
    e->context = context < 0 ? 0 : context > UINT32_MAX ? UINT32_MAX : (uint32_t)context;
    assert(e->account == a && f->n <= AFFINITY_MAX);
}

struct account *affinity_find(struct affinity *f, uint64_t conversation, int64_t now,
                              int64_t *context)
{
    uint32_t i = conversation != 0 ? entry_find(f, conversation) : 0;
    if (i == 0 || !entry_is_warm(entry_at(f, i), now + f->shift))
        return NULL;
    if (context != NULL)
        *context = entry_at(f, i)->context;
    return entry_at(f, i)->account;
}

struct account *accounts_warm_at(struct account_set *set, uint64_t conversation, int64_t now,
                                 int64_t *context)
{
    accounts_clock(set);
    return affinity_find(&set->affinity, conversation, now, context);
}

int accounts_warm_count(const struct account_set *set)
{
    return (int)set->affinity.n;
}

void affinity_forget(struct affinity *f, const struct account *a)
{
    for (uint32_t i = 1; i <= f->used; i++) {
        if (entry_at(f, i)->account == a)
            entry_drop(f, i);
    }
}

void affinity_shift(struct affinity *f, int64_t by)
{
    f->shift -= by;
}

size_t affinity_bytes(const struct affinity *f)
{
    return f->cap * (sizeof *f->entry + sizeof *f->head);
}

void affinity_free(struct affinity *f)
{
    mem_free(f->entry);
    mem_free(f->head);
    *f = (struct affinity){0};
}
