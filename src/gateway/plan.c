/* The plan: what an exchange must know until its reply is on its way, and what is kept of it then.
 *
 * A stream of events may be held for an hour, and there may be ten thousand of them. Nine tenths of
 * what the choice of an account, the body's way to it and its failures need is of no use to it any
 * more: it goes as soon as the reply outlasts its first read, and the words that the record will
 * name are packed into one block. */
#include "gateway/exchange.h"

#include <string.h>

#define KEPT_PLANS 32 /* for the next exchanges */
#define KEPT_PATH  1024

void plan_begin(struct exchange *x)
{
    struct gateway *g = x->g;
    struct plan *p;
    assert(x->plan == NULL && x->kept == NULL);
    if (list_empty(&g->plans)) {
        p = NEW(struct plan);
        buf_init(&p->path, HTTP_LINE_MAX);
    } else {
        p = CONTAINER(g->plans.next, struct plan, link);
        list_remove(&p->link);
        g->plans_n--;
        struct buf path = p->path;
        memset(p, 0, offsetof(struct plan, key_name));
        p->path = path;
    }
    p->key_name[0] = p->model_asked[0] = p->why[0] = p->upstream_id[0] = p->group[0] = '\0';
    p->model_there[0] = p->key_model[0] = p->first_id[0] = '\0';
    buf_init(&p->beta, BETA_MAX);
    list_init(&p->link);
    p->facts.max_tokens = -1;
    buf_init(&p->first, COLLECT_MAX);
    x->plan = p;
    x->model = p->facts.model;
    x->crossing.model = p->model_there;
    x->record.key_name = p->key_name;
    x->record.model_asked = p->model_asked;
    x->record.group = p->group;
    x->record.why = p->why;
    x->record.upstream_id = p->upstream_id;
    x->record.attempt = p->attempt;
}

static void plan_free(struct gateway *g, struct plan *p)
{
    buf_free(&p->first);
    buf_free(&p->beta);
    buf_clear(&p->path);
    if (p->path.cap > KEPT_PATH || g->plans_n == KEPT_PLANS)
        buf_free(&p->path);
    assert(p->wait.link.next == NULL || list_empty(&p->wait.link)); /* nobody calls back into it */
    if (g->plans_n == KEPT_PLANS) {
        mem_free(p);
        return;
    }
    list_push(&g->plans, &p->link);
    g->plans_n++;
}

/* Moves a text behind those that have been packed. */
static char *pack(char *at, const char **text)
{
    size_t n = strlen(*text) + 1;
    memcpy(at, *text, n);
    *text = at;
    return at + n;
}

void plan_settle(struct exchange *x)
{
    struct draft *r = &x->record;
    if (x->plan == NULL)
        return;
    assert(x->relay.committed && x->state == X_RELAY && x->attempt.noted);
    const char **text[] = {&x->model, &x->crossing.model, &r->key_name, &r->model_asked, &r->group,
                           &r->why,   &r->upstream_id};
    enum { TEXTS = sizeof text / sizeof text[0] };
    size_t attempts = (size_t)(r->attempts < STORE_ATTEMPTS ? r->attempts : STORE_ATTEMPTS);
    size_t room = attempts * sizeof r->attempt[0];
    for (int i = 0; i < TEXTS; i++)
        room += strlen(*text[i]) + 1;
    x->kept = mem_new(room);
    memcpy(x->kept, r->attempt, attempts * sizeof r->attempt[0]);
    char *at = x->kept + attempts * sizeof r->attempt[0];
    r->attempt = (struct record_attempt *)(void *)x->kept;
    for (int i = 0; i < TEXTS; i++)
        at = pack(at, text[i]);
    assert(at == x->kept + room && room > 0);
    x->route.object = x->route.model = S(""); /* they stood in the request's head */
    http_call_forget_head(x->call);
    if (x->attempt.request != NULL)
        http_request_fit_head(x->attempt.request);
    plan_free(x->g, x->plan);
    x->plan = NULL;
}

void plan_end(struct exchange *x)
{
    if (x->plan != NULL)
        plan_free(x->g, x->plan);
    x->plan = NULL;
    mem_free(x->kept);
    x->kept = NULL;
}

void plan_forget(struct gateway *g)
{
    while (!list_empty(&g->plans)) {
        struct plan *p = CONTAINER(g->plans.next, struct plan, link);
        list_remove(&p->link);
        buf_free(&p->path);
        mem_free(p);
    }
}
