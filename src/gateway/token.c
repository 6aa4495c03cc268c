/* An account whose token runs out is given a fresh one before it is used; a 401 on one that looked
 * good forces that, and one replay. The refresh itself, one at a time an account, is accounts'
 * business. */
#include "gateway/exchange.h"

#include <string.h>

#define TOKEN_WAIT_MS 30000

bool token_is_stale(const struct exchange *x, const struct account *a)
{
    return a->facts.token != TOKEN_NONE && /* a key does not age */
           account_status(&a->facts, loop_wall(x->g->p.loop)).state == ACCOUNT_STALE;
}

/* The account cannot be used now, and knows itself why, for how long, and whether a person must
 * act. No server of it was asked: as an answer this teaches nothing. */
static void token_failed(struct exchange *x, enum err e)
{
    const struct limit_verdict v = {.verdict = VERDICT_NEXT, .reason = "gateway"};
    exchange_next(x, &v, e == ERR_DENIED ? "login_needed" : "no_token", e);
}

static void token_done(void *arg, enum err e)
{
    struct exchange *x = arg;
    assert(x->state == X_TOKEN && x->attempt.account != NULL);
    if (e == OK)
        attempt_go(x);
    else
        token_failed(x, e);
}

void token_await(struct exchange *x, bool forced)
{
    struct attempt *a = &x->attempt;
    exchange_move(x, X_TOKEN);
    timer_set(&x->timer, loop_now(x->g->p.loop) + TOKEN_WAIT_MS);
    account_token_forget(&x->plan->wait);
    x->plan->wait = (struct token_wait){.done = token_done, .arg = x};
    account_token_get(x->g->p.accounts, a->account, forced, a->generation, &x->plan->wait);
}

bool token_replays(struct exchange *x)
{
    struct attempt *a = &x->attempt;
    if (a->generation == 0 || x->replayed ||
        !account_credential_refused(a->account, a->head, buf_slice(&x->reply)))
        return false;
    x->replayed = true;
    exchange_note_attempt(x, "token_refused");
    assert(a->request == NULL && a->observer == NULL);
    *a = (struct attempt){.account = a->account,
                          .door = a->door,
                          .generation = a->generation,
                          .started_at = loop_now(x->g->p.loop)};
    buf_clear(&x->reply);
    token_await(x, true);
    return true;
}

void token_timeout(struct exchange *x)
{
    account_token_forget(&x->plan->wait);
    token_failed(x, ERR_TIMEOUT);
}
