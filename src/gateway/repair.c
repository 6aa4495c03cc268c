/* Repair: thinking that the account refuses.
 *
 * Thinking is signed for the account that produced it. When a conversation has to move, the new
 * account answers with a 400 about the signature, and so would every other one. The blocks are
 * worth less than the answer: they are taken out in place and the same account is asked once more.
 * Whether the conversation is known to have moved does not matter: after a restart nobody knows,
 * and blocks stay foreign for as long as the client sends them, long after the move. Should that
 * fail too, the client gets the first answer, from which it may know what to do. */
#include "gateway/exchange.h"

#include <limits.h>
#include <string.h>

/* The error as it came, in case it is needed after all. */
static void repair_keep(struct exchange *x)
{
    relay_mask(x);
    x->plan->first_status = x->attempt.status;
    text_copy(x->plan->first_id, sizeof x->plan->first_id, slice_of(x->record.upstream_id));
    buf_free(&x->plan->first);
    x->plan->first = x->reply;
    buf_init(&x->reply, x->plan->first.max);
}

/* Whose thinking is signed, and goes from turn to turn by way of the client. */
static bool repair_speaks(const struct exchange *x)
{
    enum dialect d = x->route.front.dialect;
    return d == DIALECT_ANTHROPIC || d == DIALECT_RESPONSES;
}

static bool repair_fits(const struct exchange *x)
{
    const struct attempt *a = &x->attempt;
    if (x->repaired || a->status != 400 || !crossing_is_same(x) || !repair_speaks(x))
        return false;
    return x->route.kind == ROUTE_CHAT || x->route.kind == ROUTE_COUNT;
}

/* False when there is nothing to mend. */
static bool repair_body(struct exchange *x, int before)
{
    struct buf out;
    struct thinking_strip done;
    bool items = x->route.front.dialect == DIALECT_RESPONSES;
    buf_init(&out, x->body.max);
    enum err e = items ? codec_reasoning_strip(buf_slice(&x->body), before, &out, &done)
                       : codec_thinking_strip(buf_slice(&x->body), before, &out, &done);
    if (e != OK || (done.gone == 0 && !done.off)) {
        buf_free(&out);
        return false;
    }
    crossing_forget_body(x); /* it was made of the other one */
    x->g->stats.buffered += (int64_t)out.len - (int64_t)x->body.len;
    buf_free(&x->body);
    x->body = out;
    x->plan->stripped = done.messages;
    log_info("thinking left out", LF_STR("req", x->record.id),
             LF_STR("account", x->attempt.account->name), LF_INT("blocks", done.gone));
    return true;
}

bool repair_replays(struct exchange *x, const struct limit_verdict *v)
{
    struct attempt *a = &x->attempt;
    struct reply_words words = {0};
    struct observation o = {.words = &words};
    if (!repair_fits(x))
        return false;
    codec_error_read(x->route.front.dialect, a->status, buf_slice(&x->reply), &o);
    if (!codec_is_signature_error(slice_of(reply_words(&o)->error_message)) ||
        !repair_body(x, INT_MAX))
        return false;
    x->repaired = true;
    exchange_learn(x, v, REPLY_ERROR_NONE);
    exchange_note_attempt(x, "signature");
    repair_keep(x);
    struct account *account = a->account;
    assert(a->request == NULL && a->observer == NULL);
    *a = (struct attempt){.account = account, .started_at = loop_now(x->g->p.loop)};
    attempt_begin(x);
    return true;
}

/* ---- the turns that follow ------------------------------------------------------------------- */

/* The blocks of old come with every turn. Were each refused first, each would be asked twice; and
 * were all thinking left out, so would be what this account has signed since. */
static struct moved *moved_of(struct exchange *x)
{
    return &x->g->moved[x->conversation % MOVED_SLOTS];
}

void repair_learn(struct exchange *x)
{
    if (!x->repaired || x->conversation == 0)
        return;
    *moved_of(x) = (struct moved){x->conversation, x->attempt.account->id, x->plan->stripped};
}

void repair_ahead(struct exchange *x)
{
    struct moved *m = moved_of(x);
    int messages = m->messages;
    if (x->conversation == 0 || m->conversation != x->conversation || x->repaired ||
        m->account != x->attempt.account->id || !repair_speaks(x) ||
        (x->route.kind != ROUTE_CHAT && x->route.kind != ROUTE_COUNT))
        return;
    assert(messages > 0);
    if (repair_body(x, messages) && x->plan->stripped < messages)
        *m = (struct moved){0}; /* the talk has been written anew */
}

bool repair_failed(struct exchange *x)
{
    struct http_header h[3];
    int n = 0;
    if (x->plan->first_status == 0 || x->attempt.status < 400)
        return false;
    h[n++] = (struct http_header){S("content-type"), S("application/json")};
    h[n++] = (struct http_header){S("x-sluice-request-id"), slice_of(x->record.id)};
    if (x->plan->first_id[0] != '\0')
        h[n++] = (struct http_header){S("request-id"), slice_of(x->plan->first_id)};
    attempt_drop(x);
    buf_free(&x->reply);
    x->reply = x->plan->first;
    buf_init(&x->plan->first, x->reply.max);
    answer_send(x, x->plan->first_status, h, n, "client_error");
    return true;
}
