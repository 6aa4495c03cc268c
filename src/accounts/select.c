/* Choosing: which accounts may serve a request, best first.
 *
 * A conversation stays where its prompt cache is warm, because a needless switch costs as much as
 * twenty requests (scheduling.md D2). What begins cold goes where its group's strategy says, within
 * the best priority that can serve. One pass over the set decides, and explains: there is no second
 * implementation that could say something else than what is done. */
#include "accounts/inside.h"

#include <string.h>

#define WORTH_CONTEXT 20000          /* tokens; below, a cold start is cheaper than a wait */
#define WORTH_WAIT    INT64_C(15000) /* ms; longer nobody waits for a warm cache */

/* ---- words ----------------------------------------------------------------------------------- */

static const struct {
    const char *name, *text;
} whys[WHY_COUNT] = {
    [WHY_NONE] = {"none", "nothing is known of it"},
    [WHY_PINNED] = {"pinned", "it holds what the request refers to"},
    [WHY_WARM] = {"warm", "its prompt cache is warm there"},
    [WHY_PARENT] = {"parent", "the conversation that it belongs to is there"},
    [WHY_STRATEGY] = {"strategy", "the group's strategy puts it first"},
    [WHY_ONLY] = {"only", "no other account can serve"},
    [WHY_RESCUE] = {"rescue", "it rests for failures, but no other account can serve"},
    [WHY_BEHIND] = {"behind", "it could serve, but stands behind"},
    [WHY_PRIORITY] = {"priority", "it could serve, but its priority is lower"},
    [WHY_ORIGIN] = {"origin", "it could serve, but its provider is failing just now"},
    [WHY_TRIED] = {"tried", "it has been tried for this request"},
    [WHY_GROUP] = {"group", "it is in another group"},
    [WHY_DIALECT] = {"dialect", "it does not offer this call"},
    [WHY_MODEL] = {"model", "it does not have this model"},
    [WHY_STATE] = {"state", "it cannot serve now"},
};

const char *why_name(enum why w)
{
    assert((int)w >= 0 && w < WHY_COUNT);
    return whys[w].name;
}

const char *why_text(enum why w)
{
    assert((int)w >= 0 && w < WHY_COUNT);
    return whys[w].text;
}

/* ---- one choice being made ------------------------------------------------------------------- */

enum tier { TIER_WARM, TIER_PARENT, TIER_SOUND, TIER_ORIGIN }; /* the most significant of a rank */

struct place { /* of an account that can serve */
    struct rank rank;
    struct account *account;
    enum tier tier;
};
struct pick {
    struct account_set *set;
    const struct account_wish *wish;
    const struct group *group; /* NULL: none of that name, or pinned */
    struct asked asked;
    const char *family;            /* of the model; in the set's memo */
    struct account *warm, *parent; /* NULL = nowhere, or of no interest */
    int64_t context;
    const struct provider *provider; /* the last one that was asked for the model, and its answer */
    bool provider_has;
    int n;                            /* of those that can serve */
    struct place place[ACCOUNTS_MAX]; /* in no order */
    uint8_t order[ACCOUNTS_MAX];      /* indices into it, best first */
    struct place rescue;              /* .account NULL: none */
    struct account_choice *out;
    struct account_explained *others; /* who is not chosen; NULL: nobody asks */
    int others_n;
};

/* Most requests name one of a few models. Of an endless name the beginning decides. */
static const char *family_of(struct account_set *set, const char *model)
{
    size_t n = strlen(model);
    struct family_memo *m = &set->family[n % FAMILY_MEMOS];
    if (n >= sizeof m->model)
        n = sizeof m->model - 1;
    if (memcmp(m->model, model, n) != 0 || m->model[n] != '\0') {
        memcpy(m->model, model, n);
        m->model[n] = '\0';
        (void)model_family((struct slice){model, n}, m->family);
    }
    return m->family;
}

static void pick_init(struct pick *p, struct account_set *set, const struct account_wish *w,
                      int64_t now, struct account_choice *out)
{
    p->set = set;
    p->wish = w;
    p->out = out;
    p->n = 0;
    p->rescue.account = NULL;
    p->warm = p->parent = NULL;
    p->context = 0;
    p->provider = NULL;
    p->provider_has = false;
    p->others = NULL;
    p->others_n = 0;
    accounts_clock(set);
    p->family = family_of(set, w->model != NULL ? w->model : "");
    p->group = group_resolve(set, w->group, w->model, out->group);
    p->asked = (struct asked){.strategy = p->group != NULL ? p->group->strategy : STRATEGY_SESSION,
                              .conversation = w->conversation,
                              .dice = w->dice != 0 ? w->dice : set->turn,
                              .family = p->family,
                              .now = now};
    if (p->group == NULL || !p->group->affinity || w->pinned != 0)
        return;
    p->warm = affinity_find(&set->affinity, w->conversation, now, &p->context);
    if (p->warm == NULL) /* it begins; what its parent has cached is partly its own */
        p->parent = affinity_find(&set->affinity, w->parent, now, NULL);
}

static bool was_tried(const struct account_wish *w, int64_t id)
{
    for (int i = 0; i < w->tried_n; i++) {
        if (w->tried[i] == id)
            return true;
    }
    return false;
}

static bool rank_less(const struct rank *a, const struct rank *b)
{
    if (a->order != b->order)
        return a->order < b->order;
    if (a->cost != b->cost)
        return a->cost < b->cost;
    return a->turn != b->turn ? a->turn < b->turn : a->at < b->at;
}

static void place_fill(const struct pick *p, struct account *a, int at, struct place *out)
{
    out->account = a;
    out->tier = a == p->warm                                    ? TIER_WARM
                : a == p->parent                                ? TIER_PARENT
                : account_origin_fails(p->set, a, p->asked.now) ? TIER_ORIGIN
                                                                : TIER_SOUND;
    out->rank.at = at;
    out->rank.order = (uint64_t)out->tier << 32 | (uint32_t)(a->priority > 0 ? a->priority : 0);
    strategy_rank(&p->asked, a, &out->rank);
}

/* Keeps the list in order; the worst falls off a full one. */
static void place_insert(struct pick *p, const struct place *new)
{
    int n = p->n, low = 0, high = n;
    while (low < high) {
        int mid = low + (high - low) / 2;
        if (rank_less(&new->rank, &p->place[p->order[mid]].rank))
            high = mid;
        else
            low = mid + 1;
    }
    if (low == ACCOUNTS_MAX)
        return;
    bool full = n == ACCOUNTS_MAX;
    uint8_t slot = full ? p->order[n - 1] : (uint8_t)n;
    assert(n >= 0 && n <= ACCOUNTS_MAX);
    if (low < n - full)
        memmove(&p->order[low + 1], &p->order[low], (size_t)(n - full - low));
    p->order[low] = slot;
    p->place[slot] = *new;
    p->n += !full;
}

/* ---- who cannot ------------------------------------------------------------------------------ */

static enum reply_error resting_kind(enum account_state state, const char *reason)
{
    if (state == ACCOUNT_SPENT || strcmp(reason, "rate_limited") == 0 ||
        strcmp(reason, "peak_hours") == 0)
        return REPLY_ERROR_RATE_LIMIT;
    if (strcmp(reason, "overloaded") == 0)
        return REPLY_ERROR_OVERLOADED;
    if (strcmp(reason, "spend_limit") == 0)
        return REPLY_ERROR_BILLING;
    return REPLY_ERROR_SERVER;
}

/* A move costs the whole context anew: a short wait for the account that has it is cheaper. */
static void worth_note(struct pick *p, struct account *a, const struct account_status *s)
{
    int64_t until = p->asked.now + WORTH_WAIT;
    if (a != p->warm || p->context <= WORTH_CONTEXT)
        return;
    if (s->state == ACCOUNT_COOLING && strcmp(s->reason, "rate_limited") == 0 && s->until <= until)
        until = s->until;
    else if (s->state != ACCOUNT_FULL)
        return;
    assert(p->out->worth_waiting == NULL && a->id != 0);
    p->out->worth_waiting = a;
    p->out->worth_until = until;
}

static void status_count(struct account_choice *out, const struct account_status *s)
{
    bool rests = s->state == ACCOUNT_COOLING || s->state == ACCOUNT_SPENT;
    out->considered += s->state != ACCOUNT_LEAVING;
    out->cooling += rests;
    out->full += s->state == ACCOUNT_FULL;
    out->login += s->state == ACCOUNT_LOGIN;
    out->paused += s->state == ACCOUNT_PAUSED;
    if (rests && (out->soonest == 0 || s->until < out->soonest)) {
        out->soonest = s->until;
        out->cooling_for = resting_kind(s->state, s->reason);
    }
}

/* The best of those that rest for failures, as if they did not. */
static void rescue_note(struct pick *p, struct account *a, int at)
{
    struct place new;
    if (!account_may_rescue(&a->facts, p->family, p->asked.now))
        return;
    place_fill(p, a, at, &new);
    if (p->rescue.account == NULL || rank_less(&new.rank, &p->rescue.rank))
        p->rescue = new;
}

/* ---- the pass -------------------------------------------------------------------------------- */

static bool is_asked_for(const struct pick *p, const struct account *a)
{
    if (p->wish->pinned != 0)
        return a->id == p->wish->pinned;
    return p->group != NULL && account_policy_in(&a->facts.policy, p->group->name);
}

/* Accounts of one provider that say nothing of models themselves all have the same. */
static bool has_model(struct pick *p, const struct account *a)
{
    if (a->models != NULL || a->own_url[0] != '\0')
        return account_has_model(a, p->wish->model);
    if (p->provider != a->provider) {
        p->provider = a->provider;
        p->provider_has = account_has_model(a, p->wish->model);
    }
    return p->provider_has;
}

/* WHY_NONE: it can be asked for such a thing at all. */
static enum why account_fits(struct pick *p, const struct account *a)
{
    const struct account_wish *w = p->wish;
    if (w->dialect != DIALECT_COUNT && a->doors > 0 &&
        account_door_for(a, w->dialect, w->call) == NULL)
        return WHY_DIALECT;
    return has_model(p, a) ? WHY_NONE : WHY_MODEL;
}

/* WHY_NONE: it can serve, and is in its place. */
static enum why account_look(struct pick *p, struct account *a, int at, struct account_status *s)
{
    struct place new;
    enum why unfit = account_fits(p, a);
    *s = account_status_for(&a->facts, p->family, p->asked.now);
    if (unfit != WHY_NONE) {
        p->out->no_dialect += unfit == WHY_DIALECT;
        p->out->no_model += unfit == WHY_MODEL;
        return unfit;
    }
    status_count(p->out, s);
    /* A stale token is no reason to leave an account: its refresh is waited for. */
    bool usable = s->state == ACCOUNT_READY || s->state == ACCOUNT_STALE;
    bool tried = was_tried(p->wish, a->id);
    if (!usable) {
        worth_note(p, a, s);
        if (s->state == ACCOUNT_COOLING && !tried)
            rescue_note(p, a, at);
    }
    if (tried)
        return WHY_TRIED;
    if (!usable)
        return WHY_STATE;
    place_fill(p, a, at, &new);
    place_insert(p, &new);
    return WHY_NONE;
}

static void other_note(struct pick *p, const struct account *a, enum why why,
                       const struct account_status *s)
{
    if (p->others != NULL && p->others_n < ACCOUNTS_MAX)
        p->others[p->others_n++] = (struct account_explained){a, why, *s};
}

static void pick_look(struct pick *p)
{
    struct account_status s;
    for (int i = 0; i < accounts_count(p->set); i++) {
        struct account *a = accounts_at(p->set, i);
        if (is_asked_for(p, a)) {
            enum why why = account_look(p, a, i, &s);
            if (why != WHY_NONE)
                other_note(p, a, why, &s);
        } else if (p->others != NULL && p->wish->pinned == 0) {
            s = account_status_for(&a->facts, p->family, p->asked.now);
            other_note(p, a, WHY_GROUP, &s);
        }
    }
}

static enum why first_why(const struct pick *p, const struct place *first)
{
    if (p->wish->pinned != 0)
        return WHY_PINNED;
    if (first->tier == TIER_WARM)
        return WHY_WARM;
    if (first->tier == TIER_PARENT)
        return WHY_PARENT;
    return p->n == 1 ? WHY_ONLY : WHY_STRATEGY;
}

static enum why next_why(const struct place *first, const struct place *next)
{
    if (next->tier == TIER_ORIGIN && first->tier != TIER_ORIGIN)
        return WHY_ORIGIN;
    return next->account->priority > first->account->priority ? WHY_PRIORITY : WHY_BEHIND;
}

static void pick_finish(struct pick *p)
{
    struct account_choice *out = p->out;
    assert(p->n >= 0 && p->n <= ACCOUNTS_MAX);
    out->n = p->n;
    for (int i = 0; i < p->n; i++) {
        const struct place *first = &p->place[p->order[0]], *at = &p->place[p->order[i]];
        out->ready[i] = at->account;
        out->why[i] = i == 0 ? first_why(p, first) : next_why(first, at);
    }
    /* Whoever is full serves soon; and one of our own benches must not be the reason for an error.
     */
    if (out->n == 0 && out->full == 0 && p->rescue.account != NULL) {
        out->ready[0] = p->rescue.account;
        out->why[0] = WHY_RESCUE;
        out->n = 1;
    }
    assert(out->n <= out->considered);
}

void accounts_choose(struct account_set *set, const struct account_wish *w, int64_t now,
                     struct account_choice *out)
{
    struct pick p FILLED_LATER; /* most of it: places that no account has come to */
    assert(w->tried_n >= 0 && (w->tried_n == 0 || w->tried != NULL));
    /* Of the lists in front only what n counts is ever looked at, and their first. */
    out->ready[0] = NULL;
    out->why[0] = WHY_NONE;
    memset((char *)out + offsetof(struct account_choice, n), 0,
           sizeof *out - offsetof(struct account_choice, n));
    pick_init(&p, set, w, now, out);
    pick_look(&p);
    pick_finish(&p);
}

int accounts_explain(struct account_set *set, const struct account_wish *w, int64_t now,
                     struct account_explained out[ACCOUNTS_MAX])
{
    struct account_explained others[ACCOUNTS_MAX] = {{0}};
    struct account_choice c = {0};
    struct pick p;
    int n = 0;
    pick_init(&p, set, w, now, &c);
    p.others = others;
    pick_look(&p);
    pick_finish(&p);
    for (; n < c.n; n++)
        out[n] = (struct account_explained){c.ready[n], c.why[n],
                                            account_status_for(&c.ready[n]->facts, p.family, now)};
    for (int i = 0; i < p.others_n && n < ACCOUNTS_MAX; i++) {
        if (c.n == 0 || others[i].account != c.ready[0]) /* a rescued one stands in front */
            out[n++] = others[i];
    }
    assert(n >= c.n && n <= ACCOUNTS_MAX);
    return n;
}
