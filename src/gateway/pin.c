/* Server-held state follows its account.
 *
 * Batches, files, skills, containers and message threads live where they were made; any other
 * account could only say that there is no such thing. What a reply makes is remembered in the
 * store, and a request that names it, in its path or in its body, goes to that account and to no
 * other. What nobody has made here pins nothing: the provider will say what it thinks of it. Nor
 * does what lies with an account that the key's group does not lead to: whoever guesses or is told
 * a name of another group's is not taken there, and does not learn that it exists. */
#include "gateway/exchange.h"

#include <string.h>

#define LOOKUP_MS 10000 /* for the store to say whose object it is */
#define MADE_MAX  64    /* ids kept of one reply */

void pin_unknown(struct exchange *x)
{
    answer_error(x, 503, "sluice: which account holds this object cannot be told now; try again.",
                 5, true, "gateway_error");
}

static void pin_settled(struct exchange *x)
{
    assert(x->lookups == 0 && x->state == X_ADMIT);
    if (x->pin_clash) {
        answer_error(x, 400,
                     "sluice: the files, containers, skills or threads that this request names "
                     "were made on different accounts, and none of them has them all.",
                     -1, false, "refused");
        return;
    }
    timer_stop(&x->timer);
    exchange_admit(x);
}

/* Of an account that is gone it is told that it is gone. */
static bool pin_may_lead(const struct exchange *x, int64_t account_id)
{
    struct account_set *set = x->g->p.accounts;
    const struct account *a = accounts_by_id(set, account_id);
    return a == NULL || accounts_group_reaches(set, x->group, a);
}

static void pin_known(void *arg, enum err e, int64_t account_id)
{
    struct exchange *x = arg;
    assert(x->lookups > 0);
    x->lookups--;
    if (x->state == X_DONE) {
        if (x->lookups == 0) {
            list_remove(&x->link);
            exchange_free(x);
        }
        return;
    }
    if (x->state != X_ADMIT)
        return; /* it took too long: the client is being told so */
    if (e != OK && e != ERR_NOTFOUND) {
        pin_unknown(x); /* any other account could only say "not found" */
        return;
    }
    if (e == OK && pin_may_lead(x, account_id)) {
        x->pin_clash = x->pin_clash || (x->pinned != 0 && x->pinned != account_id);
        x->pinned = account_id;
    }
    if (x->lookups == 0)
        pin_settled(x);
}

static void pin_ask(struct exchange *x, struct slice id)
{
    if (id.n == 0 || id.n >= STORE_OBJECT_MAX)
        return;
    x->lookups++;
    store_object_get(x->g->p.store, id, pin_known, x);
}

static bool pin_reads_body(const struct exchange *x)
{
    return x->route.kind == ROUTE_CHAT || x->route.kind == ROUTE_COUNT ||
           x->route.kind == ROUTE_TEXTS || x->route.kind == ROUTE_BATCHES;
}

void pin_find(struct exchange *x)
{
    struct request_refs refs FILLED_LATER;
    refs.n = 0;
    refs.thread = false;
    if (pin_reads_body(x))
        codec_request_refs(x->route.front.dialect, buf_slice(&x->body), &x->plan->facts, &refs);
    if (x->route.kind == ROUTE_JOBS)
        codec_job_files(buf_slice(&x->body), &refs);
    x->in_thread = refs.thread;
    exchange_move(x, X_ADMIT);
    pin_ask(x, x->route.object);
    for (int i = 0; i < refs.n; i++)
        pin_ask(x, slice_of(refs.id[i]));
    if (x->lookups > 0)
        timer_set(&x->timer, loop_now(x->g->p.loop) + LOOKUP_MS);
    else
        exchange_admit(x);
}

/* ---- what replies make ----------------------------------------------------------------------- */

static void pin_note(struct exchange *x, struct slice id)
{
    if (id.n == 0 || id.n >= STORE_OBJECT_MAX || x->made >= MADE_MAX)
        return;
    x->made++;
    store_object_put(x->g->p.store, id, x->attempt.account->id, x->record.at);
}

void pin_made(struct exchange *x, struct slice body)
{
    char id[STORE_OBJECT_MAX];
    codec_object_id(body, id, sizeof id);
    pin_note(x, slice_of(id));
}

void pin_job(struct exchange *x, struct slice body)
{
    struct request_refs made;
    codec_job_files(body, &made);
    for (int i = 0; i < made.n; i++)
        pin_note(x, slice_of(made.id[i]));
}

/* A file that a tool of the provider seems to have made. "Seems": what stands in a reply the client
 * may have put into the model's mouth, another account's file too. So it is remembered only if
 * nobody is known to have it. */
struct guess {
    struct link link; /* in g->guesses */
    struct gateway *g;
    int64_t account, at;
    char id[STORE_OBJECT_MAX];
};

static void guess_free(struct guess *s)
{
    list_remove(&s->link);
    mem_free(s);
}

static void guess_known(void *arg, enum err e, int64_t account_id)
{
    struct guess *s = arg;
    (void)account_id;
    if (e == ERR_NOTFOUND)
        store_object_put(s->g->p.store, slice_of(s->id), s->account, s->at);
    guess_free(s);
}

void pin_forget(struct gateway *g)
{
    while (!list_empty(&g->guesses))
        guess_free(CONTAINER(g->guesses.next, struct guess, link));
}

static void pin_guess(struct exchange *x, const char *id)
{
    if (x->made >= MADE_MAX)
        return;
    x->made++;
    struct guess *s = NEW(struct guess);
    s->g = x->g;
    s->account = x->attempt.account->id;
    s->at = x->record.at;
    list_init(&s->link);
    list_push(&x->g->guesses, &s->link);
    text_copy(s->id, sizeof s->id, slice_of(id));
    store_object_get(x->g->p.store, slice_of(s->id), guess_known, s);
}

void pin_watch(struct exchange *x, struct slice bytes)
{
    struct attempt *a = &x->attempt;
    if (x->route.kind != ROUTE_CHAT)
        return;
    while (ref_watch_next(&a->watch, &bytes))
        pin_guess(x, a->watch.id);
}

/* Before the client can have seen the end, and so before it can name any of it. */
void pin_reply(struct exchange *x)
{
    const struct observation *o = attempt_see(x);
    if (x->attempt.kept || x->route.kind != ROUTE_CHAT)
        return;
    x->attempt.kept = true;
    pin_note(x, slice_of(reply_words(o)->container));
    if (x->in_thread && crossing_is_same(x)) /* else the client gets an id of our own */
        pin_note(x, slice_of(o->message_id));
}
