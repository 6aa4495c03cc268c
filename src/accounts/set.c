/* The set: every account in memory, sorted, with stable addresses.
 *
 * Exchanges hold pointers to accounts, so an account's memory stays where it is until it has been
 * removed *and* the last exchange has let go. A credential that is replaced while requests carry it
 * lives on until then too. The store is told of every fact that must survive, and of nothing else:
 * a reply that changes nothing costs no write. */
#include "accounts/inside.h"

#include <string.h>

#define SET_MAX 1024 /* accounts; far above any team's */
#define STRIDE  UINT64_C(1000000)

/* Sets freed while the store still owed them their rows: the call may come yet, and finds them
 * here. */
static struct account_set *orphans;

struct entry *entry_of(struct account *a)
{
    return CONTAINER(a, struct entry, a);
}

/* ---- credentials ----------------------------------------------------------------------------- */

void secrets_free(struct secret *s)
{
    while (s != NULL) {
        struct secret *older = s->older;
        mem_locked_free(s);
        s = older;
    }
}

struct slice secret_slice(const struct secret *s)
{
    return (struct slice){s->text, s->n};
}

static struct secret *secret_of(enum auth_scheme auth, struct slice given, struct slice companions,
                                struct secret *older)
{
    static const struct slice bearer = {"Bearer ", 7};
    bool prefix = auth == AUTH_BEARER && !slice_starts(given, bearer);
    size_t lead = prefix ? bearer.n : 0;
    struct secret *s = mem_locked(sizeof *s + lead + given.n + companions.n + 1);
    s->older = older;
    s->n = lead + given.n;
    s->lead = lead;
    s->companions = companions.n;
    memcpy(s->text, bearer.p, lead);
    memcpy(s->text + lead, given.p, given.n);
    if (companions.n > 0)
        memcpy(s->text + s->n, companions.p, companions.n);
    return s;
}

struct secret *secret_new(enum auth_scheme auth, struct slice given, struct secret *older)
{
    return secret_of(auth, given, S(""), older);
}

struct secret *secret_fetched(enum auth_scheme auth, struct slice given, struct secret *older)
{
    struct slice rest = given, one = S("");
    (void)slice_cut(&rest, '\n', &one);
    return secret_of(auth, one, rest, older);
}

struct slice secret_companions(const struct secret *s)
{
    return (struct slice){s->text + s->n, s->companions};
}

bool secret_same(const struct secret *s, struct slice given)
{
    struct slice have = s != NULL ? secret_slice(s) : (struct slice){"", 0};
    if (have.n != given.n && slice_starts(have, S("Bearer ")) && !slice_starts(given, S("Bearer ")))
        have = slice_sub(have, 7, have.n);
    return have.n == given.n && crypto_equal(have.p, given.p, given.n);
}

void facts_store(struct account_set *set, const struct account *a)
{
    const struct account_facts *f = &a->facts;
    store_facts_put(set->store, a->id, f->seen_at, f->cool_until, f->cool_reason);
}

void facts_clear(struct account *a)
{
    a->facts.login_needed = false;
    a->facts.cool_until = 0;
    a->facts.cool_reason[0] = '\0';
    a->facts.failures = a->facts.cut = 0;
    a->facts.probe_at = 0;
}

void login_needed(struct entry *e, const char *reason)
{
    struct account_facts *f = &e->a.facts;
    bool news = !f->login_needed;
    f->login_needed = true;
    f->cool_until = 0;
    text_copy(f->cool_reason, sizeof f->cool_reason, slice_of(reason));
    if (!news || f->leaving)
        return;
    e->set->logins_lost++;
    log_error("account needs login", LF_STR("account", e->a.name), LF_STR("why", reason));
    f->seen_at = loop_wall(e->set->loop);
    facts_store(e->set, &e->a);
}

void credential_set(struct entry *e, enum auth_scheme auth, struct slice given)
{
    struct account *a = &e->a;
    e->secret = secret_fetched(auth, given, e->secret);
    e->auth = auth;
    a->credential.name = slice_of(auth_header(auth));
    a->credential.value = a->credential.name.n > 0 ? secret_slice(e->secret) : S("");
    if (a->refs == 0) {
        secrets_free(e->secret->older);
        e->secret->older = NULL;
    }
}

void secret_lost(struct account *a)
{
    a->facts.login_needed = true;
    text_copy(a->facts.cool_reason, sizeof a->facts.cool_reason, S("secret_unreadable"));
}

/* Takes the row's secret if it brings a new one. True when the credential has changed. */
static bool credential_apply(struct entry *e, const struct account_row *row)
{
    struct account *a = &e->a;
    bool without = row->secret.n == 0 && e->secret == NULL;
    if (without && !row->secret_unreadable && a->provider->oauth != NULL) {
        a->facts.token = TOKEN_NO_KEY; /* the login that makes it has not been yet */
        return false;
    }
    if (without && !row->secret_unreadable && a->provider->no_secret)
        return false;
    if (row->secret_unreadable || without) {
        secret_lost(a);
        return false;
    }
    if (row->secret.n == 0 || secret_same(e->secret, row->secret))
        return false;
    credential_set(e, auth_of_secret(a->provider->door[0].auth, row->secret), row->secret);
    a->facts.token = TOKEN_NONE;
    return true;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static int entry_compare(const struct entry *x, const struct entry *y)
{
    if (x->a.priority != y->a.priority)
        return x->a.priority < y->a.priority ? -1 : 1;
    int c = strcmp(x->a.name, y->a.name);
    return c != 0 ? c : (x->a.id > y->a.id) - (x->a.id < y->a.id);
}

/* Puts the i-th entry where its priority and name want it; the rest is in order. */
static void set_settle(struct account_set *set, int i)
{
    struct entry *e = set->entry[i];
    for (; i > 0 && entry_compare(set->entry[i - 1], e) > 0; i--)
        set->entry[i] = set->entry[i - 1];
    for (; i + 1 < set->n && entry_compare(set->entry[i + 1], e) < 0; i++)
        set->entry[i] = set->entry[i + 1];
    set->entry[i] = e;
    assert(i == 0 || entry_compare(set->entry[i - 1], e) < 0);
}

static int set_index(const struct account_set *set, int64_t id)
{
    for (int i = 0; i < set->n; i++) {
        if (set->entry[i]->a.id == id)
            return i;
    }
    return -1;
}

static int set_add(struct account_set *set, int64_t id)
{
    if (set->n == set->cap) {
        set->cap = set->cap == 0 ? 16 : set->cap * 2;
        set->entry = mem_grow(set->entry, (size_t)set->cap * sizeof *set->entry);
    }
    struct entry *e = NEW(struct entry);
    e->a.id = id;
    e->set = set;
    set->entry[set->n] = e;
    return set->n++;
}

static void doors_free(struct door_set *s)
{
    while (s != NULL) {
        struct door_set *older = s->older;
        mem_free(s);
        s = older;
    }
}

static void entry_free(struct entry *e)
{
    doors_free(e->doors);
    token_free(e);
    secrets_free(e->secret);
    models_free(e->a.models);
    mem_free(e);
}

static void set_remove(struct account_set *set, int i)
{
    struct entry *e = set->entry[i];
    assert(e->a.refs == 0 && set->n > 0 && !token_is_busy(e));
    memmove(&set->entry[i], &set->entry[i + 1], (size_t)(set->n - i - 1) * sizeof *set->entry);
    set->n--;
    entry_free(e);
}

void entry_settle(struct entry *e)
{
    if (e->a.facts.leaving && e->a.refs == 0 && !token_is_busy(e))
        set_remove(e->set, set_index(e->set, e->a.id));
}

void facts_load(struct account *a, const struct account_row *row)
{
    struct account_facts *f = &a->facts;
    int64_t ahead = row->facts_seen_at - loop_wall(entry_of(a)->set->loop);
    if (row->facts_seen_at < f->seen_at)
        return;
    ahead = ahead > CLOCK_STEP && row->facts_seen_at < INT64_MAX / 2 ? ahead : 0;
    f->seen_at = row->facts_seen_at - ahead;
    /* Written before the wall clock was set back: no rest is longer than it was to be. */
    f->cool_until = row->cool_until > ahead ? row->cool_until - ahead : row->cool_until;
    text_copy(f->cool_reason, sizeof f->cool_reason, slice_of(row->cool_reason));
    /* A refused credential is stored as a reason without a time. */
    f->login_needed = row->cool_until == 0 && is_login_reason(row->cool_reason);
}

/* The credential a row brings. Tokens have a row of their own: they come by accounts_token_put. */
static void row_credential(struct entry *e, const struct account_row *row, bool fresh)
{
    struct account *a = &e->a;
    if (provider_rotates(a->provider)) {
        token_open(e);
        token_configure(e, row);
        return;
    }
    if (a->provider->cloud != NULL) {
        cloud_apply(e, row, fresh);
        return;
    }
    if (credential_apply(e, row) && !fresh) { /* a new credential deserves a new start */
        facts_clear(a);
        windows_clear(e->set, a, true);
        facts_store(e->set, a);
    }
    if (!row->secret_unreadable && e->secret != NULL &&
        strcmp(a->facts.cool_reason, "secret_unreadable") == 0)
        facts_clear(a);
}

/* Settings are checked when they are given, so only a newer version wrote what cannot be read. Whom
 * the account may serve is not known then: it serves nobody. */
static void settings_apply(struct account *a, const struct account_row *row)
{
    char why[256];
    text_copy(a->settings, sizeof a->settings, slice_of(row->settings));
    if (account_policy_read(slice_of(a->settings), &a->facts.policy, why, sizeof why) == OK)
        return;
    log_error("account has bad settings", LF_STR("account", a->name), LF_STR("why", why));
    a->facts.paused = true;
}

/* Nobody is on the way through one that was replaced. */
static void doors_forget(struct entry *e)
{
    assert(e->a.refs == 0);
    if (e->doors == NULL)
        return;
    doors_free(e->doors->older);
    e->doors->older = NULL;
}

/* Checked when it was given: only a broken row, or a newer version's, has none. */
static void doors_apply(struct entry *e, const struct account_row *row)
{
    char why[256] = "";
    struct account *a = &e->a;
    struct door_set *fresh = NEW(struct door_set);
    a->doors = account_doors_open(a->provider, row, fresh->door, why, sizeof why);
    a->door = fresh->door;
    fresh->older = e->doors;
    e->doors = fresh;
    if (a->refs == 0)
        doors_forget(e);
    models_free(a->models);
    a->models = models_read(slice_of(row->settings));
    if (a->doors > 0)
        return;
    log_error("account has no door", LF_STR("account", a->name), LF_STR("why", why));
    a->facts.paused = true;
}

void accounts_apply(struct account_set *set, const struct account_row *row)
{
    const struct provider *p = provider_find(slice_of(row->provider));
    assert(!set->dead && row->id != 0);
    int i = set_index(set, row->id);
    if (p == NULL ||
        (i < 0 && set->n == SET_MAX)) { /* written by a newer version: not ours to serve */
        log_warn("account not loaded", LF_STR("account", row->name),
                 LF_STR("why", p == NULL ? "unknown provider" : "too many accounts"));
        return;
    }
    bool fresh = i < 0;
    if (fresh)
        i = set_add(set, row->id);
    struct entry *e = set->entry[i];
    struct account *a = &e->a;
    a->version = row->version;
    a->provider = p;
    text_copy(a->name, sizeof a->name, slice_of(row->name));
    text_copy(a->own_url, sizeof a->own_url, slice_of(row->base_url));
    a->priority = row->priority;
    a->weight = row->weight > 0 ? row->weight : 1;
    a->allow_private = row->allow_private;
    a->created_at = row->created_at;
    a->facts.paused = row->paused;
    settings_apply(a, row);
    doors_apply(e, row);
    if (fresh)
        facts_load(a, row);
    row_credential(e, row, fresh);
    set_settle(set, i);
    quota_adopt(set, a);
}

void accounts_drop(struct account_set *set, int64_t id)
{
    int i = set_index(set, id);
    if (i < 0)
        return;
    set->entry[i]->a.facts.leaving = true;
    affinity_forget(&set->affinity, &set->entry[i]->a);
    entry_settle(set->entry[i]); /* a refresh under way is never cut */
}

void accounts_reset(struct account_set *set, struct account *a)
{
    bool unreadable = strcmp(a->facts.cool_reason, "secret_unreadable") == 0;
    assert(entry_of(a)->set == set);
    a->facts.failures = 0;
    a->facts.probe_at = 0;
    windows_clear(set, a, false);
    quota_reset(set, a);
    if (unreadable) /* only a new secret mends that */
        return;
    facts_clear(a);
    a->facts.seen_at = loop_wall(set->loop);
    facts_store(set, a);
    token_reset(entry_of(a));
}

/* ---- the set --------------------------------------------------------------------------------- */

static void orphan_free(struct account_set *set)
{
    struct account_set **p = &orphans;
    while (*p != NULL && *p != set)
        p = &(*p)->next_orphan;
    assert(*p == set);
    *p = set->next_orphan;
    mem_free(set);
}

/* False: nobody wants it any more, and the set is gone. */
static bool load_is_wanted(struct account_set *set)
{
    assert(set->loading);
    if (!set->dead)
        return true;
    orphan_free(set);
    return false;
}

/* Without them nobody knows which accounts a key may use. */
static void groups_loaded(void *arg, enum err e, const struct group_row *rows, size_t n)
{
    struct account_set *set = arg;
    if (!load_is_wanted(set))
        return;
    for (size_t i = 0; e == OK && i < n; i++)
        accounts_group_apply(set, &rows[i]);
    set->loading = false;
    if (set->ready != NULL)
        set->ready(set->arg, e);
}

/* Without them accounts serve all the same: the next replies tell them again. */
static void windows_loaded(void *arg, enum err e, const struct window_row *rows, size_t n)
{
    struct account_set *set = arg;
    if (!load_is_wanted(set))
        return;
    if (e == OK)
        windows_load(set, rows, n);
    else
        log_warn("windows not loaded", LF_STR("err", err_name(e)));
    store_groups_load(set->store, groups_loaded, set);
}

static void tokens_loaded(void *arg, enum err e, const struct token_row *rows, size_t n)
{
    struct account_set *set = arg;
    if (!load_is_wanted(set))
        return;
    for (size_t i = 0; e == OK && i < n; i++) {
        int at = set_index(set, rows[i].account_id);
        if (at >= 0 && set->entry[at]->token != NULL)
            token_adopt(set->entry[at], &rows[i]);
    }
    if (e == OK) {
        store_windows_load(set->store, windows_loaded, set);
        return;
    }
    set->loading = false;
    if (set->ready != NULL)
        set->ready(set->arg, e);
}

static void accounts_loaded(void *arg, enum err e, const struct account_row *rows, size_t n)
{
    struct account_set *set = arg;
    if (!load_is_wanted(set))
        return;
    for (size_t i = 0; e == OK && i < n; i++)
        accounts_apply(set, &rows[i]);
    if (e == OK) {
        store_tokens_load(set->store, tokens_loaded, set);
        return;
    }
    set->loading = false;
    if (set->ready != NULL)
        set->ready(set->arg, e);
}

struct account_set *accounts_new(struct loop *l, struct store *s, store_done_fn *ready, void *arg)
{
    struct account_set *set = NEW(struct account_set);
    *set = (struct account_set){.loop = l, .store = s, .ready = ready, .arg = arg, .loading = true};
    set->wall = loop_wall(l);
    set->mono = loop_now(l);
    tokens_open(set);
    store_accounts_load(s, accounts_loaded, set);
    return set;
}

void accounts_free(struct account_set *set)
{
    if (set == NULL)
        return;
    tokens_free(set);
    sync_abandon(set);
    for (int i = 0; i < set->n; i++) {
        assert(set->entry[i]->a.refs == 0);
        entry_free(set->entry[i]);
    }
    mem_free(set->entry);
    groups_free(set);
    affinity_free(&set->affinity);
    if (!set->loading) {
        mem_free(set);
        return;
    }
    *set = (struct account_set){.loading = true, .dead = true, .next_orphan = orphans};
    orphans = set;
}

int accounts_count(const struct account_set *set)
{
    return set->n;
}

uint64_t accounts_logins_lost(const struct account_set *set)
{
    return set->logins_lost;
}

struct account *accounts_at(struct account_set *set, int i)
{
    assert(i >= 0 && i < set->n);
    return &set->entry[i]->a;
}

struct account *accounts_by_name(struct account_set *set, struct slice name)
{
    for (int i = 0; i < set->n; i++) {
        struct account *a = &set->entry[i]->a;
        if (!a->facts.leaving && slice_eq(slice_of(a->name), name))
            return a;
    }
    return NULL;
}

struct account *accounts_model_account(struct account_set *set, char *model)
{
    for (char *at = strchr(model, '@'); at != NULL; at = strchr(at + 1, '@')) {
        struct account *a = at > model ? accounts_by_name(set, slice_of(at + 1)) : NULL;
        if (a != NULL) {
            *at = '\0';
            return a;
        }
    }
    return NULL;
}

struct account *accounts_by_id(struct account_set *set, int64_t id)
{
    int i = set_index(set, id);
    return i < 0 ? NULL : &set->entry[i]->a;
}

static bool is_peer(const struct account *a, const struct account *b)
{
    const struct account_policy *p = &a->facts.policy;
    if (a == b || a->priority != b->priority)
        return false;
    for (int i = 0; i < p->groups; i++) {
        if (account_policy_in(&b->facts.policy, p->group[i]))
            return true;
    }
    return p->groups == 0 && account_policy_in(&b->facts.policy, GROUP_DEFAULT);
}

/* Stride scheduling: each turn moves an account on by the inverse of its weight. Those that take
 * turns with each other are never more than one stride apart; so one that is further behind is new
 * or was away, and joins where they are: it must not catch up on what it has missed. */
static void pass_move(struct account_set *set, struct account *a)
{
    uint64_t most = 0, join = UINT64_MAX;
    for (int i = 0; a->pass + STRIDE < set->pass && i < set->n; i++) {
        const struct account *b = &set->entry[i]->a;
        if (is_peer(a, b) && b->pass > most)
            most = b->pass;
    }
    for (int i = 0; a->pass + STRIDE < most && i < set->n; i++) {
        const struct account *b = &set->entry[i]->a;
        if (b->pass + STRIDE >= most && b->pass < join && is_peer(a, b))
            join = b->pass;
    }
    if (join != UINT64_MAX && join > a->pass)
        a->pass = join;
    a->pass += STRIDE / (uint64_t)a->weight;
    set->pass = a->pass > set->pass ? a->pass : set->pass;
}

void account_hold(struct account *a)
{
    struct account_set *set = entry_of(a)->set;
    assert(a->refs >= 0 && a->facts.in_flight >= 0);
    pass_move(set, a);
    a->turn = ++set->turn;
    a->refs++;
    a->facts.in_flight++;
    breaker_hold(&a->facts, loop_wall(set->loop));
    entry_of(a)->poll.used_at = loop_now(set->loop);
}

void account_release(struct account_set *set, struct account *a)
{
    struct entry *e = entry_of(a);
    assert(e->set == set && a->refs > 0 && a->facts.in_flight > 0);
    a->refs--;
    a->facts.in_flight--;
    breaker_release(&a->facts);
    if (a->refs > 0)
        return;
    if (e->secret != NULL) {
        secrets_free(e->secret->older);
        e->secret->older = NULL;
    }
    doors_forget(e);
    entry_settle(e);
}
