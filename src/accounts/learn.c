/* Learning: what replies teach about an account, kept and stored.
 *
 * Every reply brings its windows in, and a verdict besides. Two things may not happen: a bench that
 * outlives its reason, and a fact that turns back because replies that were under way together come
 * in any order. So a window that is closed is the only reason for its rest, and whatever opens it
 * ends the rest. */
#include "accounts/inside.h"

#include <string.h>

#define MINUTE   INT64_C(60000)
#define TIME_MAX INT64_C(4102444800000) /* the year 2100: nothing stored is later */

/* ---- the clock ------------------------------------------------------------------------------- */

static void time_shift(int64_t *at, int64_t by)
{
    if (*at != 0)
        *at = *at + by > 0 ? *at + by : 1;
}

static void facts_shift(struct account_facts *f, int64_t by)
{
    time_shift(&f->cool_until, by);
    time_shift(&f->seen_at, by);
    time_shift(&f->probe_at, by);
    time_shift(&f->token_retry_at, by);
    for (int k = 0; k < WINDOW_KINDS; k++) {
        time_shift(&f->window[k].started_at, by);
        time_shift(&f->window[k].resets_at, by);
        time_shift(&f->window[k].seen_at, by);
    }
    for (int i = 0; i < ACCOUNT_FAMILIES; i++) {
        time_shift(&f->family[i].since, by);
        time_shift(&f->family[i].until, by);
    }
}

/* Only back: a clock that leaps forward may have slept, and then the time is really over. If it has
 * not, somebody comes back too early and is told so again. */
void accounts_clock(struct account_set *set)
{
    int64_t wall = loop_wall(set->loop), mono = loop_now(set->loop);
    int64_t step = (wall - set->wall) - (mono - set->mono);
    set->wall = wall;
    set->mono = mono;
    if (step > -CLOCK_STEP)
        return;
    log_warn("the wall clock was set back", LF_INT("ms", -step));
    for (int i = 0; i < set->n; i++)
        facts_shift(&set->entry[i]->a.facts, step);
    origins_shift(set, step);
    affinity_shift(&set->affinity, step);
}

/* ---- windows --------------------------------------------------------------------------------- */

static void window_put(struct account_set *set, const struct account *a, enum window_kind k,
                       const struct window *w)
{
    struct window_row row = {.account_id = a->id,
                             .used = w->used,
                             .closed = w->closed,
                             .started_at = w->started_at,
                             .resets_at = w->resets_at,
                             .seen_at = w->seen_at};
    if (a->facts.leaving)
        return;
    if (k == WINDOW_7D_MODEL && w->family[0] != '\0')
        text_format(row.name, sizeof row.name, "7d_%s", w->family);
    else
        text_copy(row.name, sizeof row.name, slice_of(window_name(k)));
    store_window_put(set->store, &row);
}

/* Buckets fill and drain all the time: what the store has of them is a minute old at most. */
static bool window_is_due(struct entry *e, enum window_kind k, int64_t now)
{
    int64_t *at = &e->stored_at[k];
    if (k < WINDOW_REQUESTS)
        return true;
    if (*at != 0 && now >= *at && now - *at < MINUTE)
        return false;
    *at = now;
    return true;
}

static void window_log(const struct account *a, enum window_kind k, int64_t now)
{
    const struct window *w = &a->facts.window[k];
    int64_t until = window_closed_until(w, k, now);
    log_info(w->closed ? "window closed" : "window open", LF_STR("account", a->name),
             LF_STR("window", window_name(k)), LF_STR("family", w->family),
             LF_INT("for_ms", until != 0 ? until - now : 0));
}

/* The rests of families whose window is open again. Not those that began a moment ago: the reply
 * was under way then. */
void families_open(struct account_facts *f, const struct window *seen)
{
    for (int i = 0; i < ACCOUNT_FAMILIES; i++) {
        struct family_rest *r = &f->family[i];
        bool same = seen->family[0] == '\0' || strcmp(seen->family, r->family) == 0;
        bool window = r->reason != NULL && strcmp(r->reason, "model_limit") == 0;
        if (same && window && seen->seen_at - r->since > MINUTE)
            r->until = 0;
    }
}

void windows_take(struct account_set *set, struct account *a,
                  const struct window seen[WINDOW_KINDS], int64_t now)
{
    const struct window *model = &seen[WINDOW_7D_MODEL];
    for (int i = 0; i < WINDOW_KINDS; i++) {
        enum window_kind k = (enum window_kind)i;
        struct window *w = &a->facts.window[k];
        bool was_closed = w->closed;
        if (!window_merge(w, &seen[k], k))
            continue;
        if (window_is_due(entry_of(a), k, now))
            window_put(set, a, k, w);
        if (w->closed != was_closed && k < WINDOW_REQUESTS)
            window_log(a, k, now);
    }
    if (model->known && !model->closed && !a->facts.window[WINDOW_7D_MODEL].closed)
        families_open(&a->facts, model);
}

/* What one reply tells, for every account that its quota is of. */
struct lesson {
    const struct limit_verdict *verdict;
    struct window seen[WINDOW_KINDS];
    bool windows; /* some of `seen` is known */
    char family[WINDOW_FAMILY_MAX];
    int64_t now;
};

static void lesson_read(struct lesson *l, const struct limit_verdict *v,
                        const struct reply_facts *r, int64_t now)
{
    struct window *model = &l->seen[WINDOW_7D_MODEL];
    *l = (struct lesson){.verdict = v, .now = now};
    if (r == NULL)
        return;
    if (v->family_ms > 0) /* else nobody asks whose it was */
        (void)model_family(slice_of(r->model), l->family);
    l->windows = r->head != NULL && windows_read_head(r->head, now, l->seen) > 0;
    /* A refusal tells whose class it was: that of the model asked for. */
    if (v->family_ms > 0 && model->closed && model->family[0] == '\0')
        text_copy(model->family, sizeof model->family, slice_of(l->family));
}

/* With all places taken the one that is over first makes room: forgetting it costs one refusal. */
void family_note(struct account_facts *f, const char *family, const char *reason, int64_t until,
                 int64_t now)
{
    struct family_rest *at = &f->family[0];
    if (family[0] == '\0')
        return;
    for (int i = 0; i < ACCOUNT_FAMILIES; i++) {
        struct family_rest *r = &f->family[i];
        if (strcmp(r->family, family) == 0) {
            at = r;
            break;
        }
        if (r->until < at->until)
            at = r;
    }
    if (strcmp(at->family, family) == 0 && at->until >= until)
        return;
    text_copy(at->family, sizeof at->family, slice_of(family));
    at->since = now;
    at->until = until;
    at->reason = reason;
}

static void family_learn(struct account *a, const struct lesson *l)
{
    const struct limit_verdict *v = l->verdict;
    if (v->family_ms <= 0)
        return;
    family_note(&a->facts, l->family, v->reason, l->now + v->family_ms, l->now);
    log_info("model family rests", LF_STR("account", a->name), LF_STR("family", l->family),
             LF_STR("why", v->reason), LF_INT("for_ms", v->family_ms));
}

static bool row_is_sane(const struct window_row *row)
{
    return row->seen_at > 0 && row->seen_at < TIME_MAX && row->resets_at >= 0 &&
           row->resets_at < TIME_MAX && row->started_at >= 0 && row->started_at < TIME_MAX &&
           (row->closed || row->used >= 0 || row->resets_at != 0);
}

static void window_load(struct account *a, const struct window_row *row, int64_t now)
{
    struct slice name = slice_of(row->name);
    enum window_kind k;
    if (!window_kind_of(name, &k) || !row_is_sane(row))
        return;
    struct window w = {.known = true,
                       .closed = row->closed,
                       .used = row->used >= 0 ? row->used : -1,
                       .started_at = row->started_at,
                       .resets_at = row->resets_at,
                       .seen_at = row->seen_at};
    if (w.seen_at > now) /* written before the wall clock was set back */
        w.seen_at = now;
    if (k == WINDOW_7D_MODEL && !slice_eq(name, slice_of(window_name(k)))) {
        text_copy(w.family, sizeof w.family, slice_sub(name, 3, name.n));
        int64_t until = window_closed_until(&w, k, now);
        if (until != 0)
            family_note(&a->facts, w.family, "model_limit", until, w.seen_at);
    }
    struct window *known = &a->facts.window[k];
    if (!known->known || known->seen_at <= w.seen_at)
        *known = w;
}

void windows_load(struct account_set *set, const struct window_row *rows, size_t n)
{
    int64_t now = loop_wall(set->loop);
    for (size_t i = 0; i < n; i++) {
        struct account *a = accounts_by_id(set, rows[i].account_id);
        if (a != NULL)
            window_load(a, &rows[i], now);
    }
}

/* A rest whose row is not that of the known window: it must not come back from the store. */
static void family_end(struct account_set *set, const struct account *a, struct family_rest *r,
                       int64_t now)
{
    struct window over = {.used = -1, .seen_at = now};
    if (r->until > now) {
        text_copy(over.family, sizeof over.family, slice_of(r->family));
        window_put(set, a, WINDOW_7D_MODEL, &over);
    }
    *r = (struct family_rest){0};
}

void windows_clear(struct account_set *set, struct account *a, bool all)
{
    int64_t now = loop_wall(set->loop);
    for (int i = 0; i < ACCOUNT_FAMILIES; i++)
        family_end(set, a, &a->facts.family[i], now);
    for (int i = 0; i < WINDOW_KINDS; i++) {
        struct window *w = &a->facts.window[i];
        if (!w->known || (!all && !w->closed))
            continue;
        w->closed = false;
        w->seen_at = now;
        if (all) {
            w->used = -1;
            w->started_at = w->resets_at = 0;
        }
        window_put(set, a, (enum window_kind)i, w);
        if (all)
            *w = (struct window){0};
    }
}

/* ---- verdicts -------------------------------------------------------------------------------- */

bool is_login_reason(const char *reason)
{
    return strcmp(reason, "unauthorized") == 0 || strcmp(reason, "account_disabled") == 0 ||
           strcmp(reason, "secret_unreadable") == 0 || oauth_is_dead_word(reason);
}

/* A closed window says it already, give or take the jitter of its reset. */
static bool is_said(const struct account_facts *f, int64_t until, int64_t now)
{
    int64_t five = window_closed_until(&f->window[WINDOW_5H], WINDOW_5H, now);
    int64_t seven = window_closed_until(&f->window[WINDOW_7D], WINDOW_7D, now);
    int64_t said = five > seven ? five : seven;
    return said != 0 && until <= said + MINUTE;
}

/* Replies that were under way together may tell of different limits: the longest one holds. True
 * when the facts have changed in a way that must survive. */
static bool rest_order(struct account_facts *f, const char *reason, int64_t rest, int64_t now)
{
    if (rest <= 0 || f->login_needed || now + rest <= f->cool_until || is_said(f, now + rest, now))
        return false;
    f->cool_until = now + rest;
    text_copy(f->cool_reason, sizeof f->cool_reason, slice_of(reason));
    return true;
}

/* Overload says nothing of this account, neither good nor bad; what we ourselves could not do even
 * less. Any other refusal is an answer: the path to the server and the server work. */
static bool is_answer(const struct limit_verdict *v)
{
    return !v->failure && strcmp(v->reason, "overloaded") != 0 && strcmp(v->reason, "gateway") != 0;
}

/* A success does not end a rest that the provider ordered: a cooling account gets no new requests,
 * so what succeeds on it now was let in before the limit was reached, and a GET that follows its
 * object says nothing about messages. */
static bool verdict_learn(struct account *a, const struct limit_verdict *v, bool begun, int64_t now)
{
    struct account_facts *f = &a->facts;
    bool news = false;
    int64_t rest = v->cool_ms;
    if (v->verdict != VERDICT_NEXT)
        return breaker_served(f);
    if (v->failure)
        rest = breaker_failed(f, begun, rest, now, a->id);
    else if (is_answer(v))
        news = breaker_served(f);
    else
        f->probe_at = 0;
    return v->login_needed ? news : rest_order(f, v->reason, rest, now) || news;
}

static void origin_learn(struct account_set *set, const struct account *a,
                         const struct limit_verdict *v, int64_t now)
{
    if (v->verdict != VERDICT_NEXT)
        origin_served(set, a);
    else if (v->failure || strcmp(v->reason, "overloaded") == 0)
        origin_failed(set, a, now);
}

static void account_changed(struct account_set *set, const struct account *a, const char *why,
                            int64_t now)
{
    const struct account_facts *f = &a->facts;
    if (f->leaving)
        return;
    facts_store(set, a);
    log_info("account changed", LF_STR("account", a->name),
             LF_STR("state", account_state_name(account_status(f, now).state)), LF_STR("why", why),
             LF_INT("for_ms", f->cool_until > now ? f->cool_until - now : 0));
}

static void limits_take(struct account_set *set, struct account *a, const struct lesson *l)
{
    if (l->windows)
        windows_take(set, a, l->seen, l->now);
    family_learn(a, l);
}

/* The others that spend the same quota. */
static void quota_learn(struct account_set *set, const struct account *a, const struct lesson *l)
{
    const struct limit_verdict *v = l->verdict;
    struct account *b;
    int at = 0;
    while ((b = quota_next(set, a, &at)) != NULL) {
        limits_take(set, b, l);
        if (!quota_reason(v->reason) || l->now < b->facts.seen_at ||
            !rest_order(&b->facts, v->reason, v->cool_ms, l->now))
            continue;
        b->facts.seen_at = l->now;
        account_changed(set, b, v->reason, l->now);
    }
}

void accounts_learn(struct account_set *set, struct account *a, const struct limit_verdict *v,
                    const struct reply_facts *r, int64_t now)
{
    struct account_facts *f = &a->facts;
    struct lesson l FILLED_LATER;
    assert(entry_of(a)->set == set && v->cool_ms >= 0);
    a->served += v->verdict != VERDICT_NEXT;
    a->failed += v->verdict == VERDICT_NEXT;
    accounts_clock(set);
    lesson_read(&l, v, r, now);
    limits_take(set, a, &l);
    quota_learn(set, a, &l);
    origin_learn(set, a, v, now);
    /* Something newer is known; unless the wall clock was set back, which must not make us deaf. */
    if (now < f->seen_at && f->seen_at - now < CLOCK_STEP)
        return;
    f->seen_at = now;
    bool begun = r != NULL && r->status >= 200 && r->status < 300;
    bool news = verdict_learn(a, v, begun, now);
    if (v->verdict == VERDICT_NEXT && v->login_needed)
        login_needed(entry_of(a), v->reason);
    if (news)
        account_changed(set, a, v->reason, now);
}
