/* `route explain`: where a request would go at this moment, and why not elsewhere. */
#include "admin/inside.h"

#include <string.h>

const char *why_sentence(struct slice word)
{
    static const struct {
        enum account_state state;
        const char *text;
    } STATES[] = {{ACCOUNT_COOLING, "it rests"},
                  {ACCOUNT_SPENT, "a window is used up"},
                  {ACCOUNT_FULL, "it has as many requests as it may have at a time"},
                  {ACCOUNT_PAUSED, "it is paused"},
                  {ACCOUNT_LOGIN, "its credential is not good: a person must act"},
                  {ACCOUNT_LEAVING, "it is being removed"}};
    for (int i = WHY_NONE + 1; i < WHY_COUNT; i++)
        if (slice_eq(word, slice_of(why_name((enum why)i))))
            return why_text((enum why)i);
    for (size_t i = 0; i < sizeof STATES / sizeof *STATES; i++)
        if (slice_eq(word, slice_of(account_state_name(STATES[i].state))))
            return STATES[i].text;
    return "";
}

static bool is_chosen(enum why w)
{
    return w >= WHY_PINNED && w <= WHY_RESCUE;
}

static void explained_write(struct jw *w, const struct account_explained *x, int64_t now)
{
    const struct account_status *st = &x->status;
    const char *word = x->why == WHY_STATE ? account_state_name(st->state) : why_name(x->why);
    jw_obj(w);
    jw_kcstr(w, "account", x->account->name);
    jw_kcstr(w, "why", word);
    /* Only a name pins here: nothing is known of what the request refers to. */
    jw_kcstr(w, "why_text",
             x->why == WHY_PINNED ? "the model's name asks for it alone"
                                  : why_sentence(slice_of(word)));
    jw_ki64(w, "priority", x->account->priority);
    jw_kcstr(w, "state", account_state_name(st->state));
    jw_kcstr(w, "reason", st->reason);
    jw_ktime(w, "until", st->until);
    jw_key(w, "until_in_seconds");
    if (st->until > now)
        jw_i64(w, (st->until - now + 999) / 1000);
    else
        jw_null(w);
    jw_end_obj(w);
}

/* The group of the key, or of the call. NULL: the call has been failed. */
static const struct group *group_asked(struct verb_call *c)
{
    const char *name = call_text(c, "group"), *key = call_text(c, "key");
    if (name != NULL && key != NULL) {
        call_fail(c, FAIL_USAGE, "give either --key or --group: a key has its group");
        return NULL;
    }
    if (key != NULL) {
        const struct key_row *row = keys_by_name(c->admin->p.keys, slice_of(key));
        if (row == NULL) {
            call_fail(c, FAIL_NOT_FOUND, "there is no key `%s`; `sluice key list` shows them", key);
            return NULL;
        }
        name = row->group[0] != '\0' ? row->group : NULL;
    }
    return call_group(c, name != NULL ? name : GROUP_DEFAULT);
}

/* Where the conversation is warm, if it is one. */
static void conversation_write(struct jw *w, struct account_set *set, uint64_t conversation,
                               int64_t now)
{
    int64_t context = 0;
    char text[24] = "";
    const struct account *warm = NULL;
    if (conversation != 0) {
        text_format(text, sizeof text, "%016" PRIx64, conversation);
        warm = accounts_warm_at(set, conversation, now, &context);
    }
    jw_kcstr(w, "session", text);
    jw_kcstr(w, "warm_at", warm != NULL ? warm->name : NULL);
    jw_ki64(w, "warm_tokens", warm != NULL ? context : 0);
}

/* A session's id belongs to whoever sends it: with --key it is that key's. */
static uint64_t conversation_asked(struct verb_call *c)
{
    const char *session = call_text(c, "session"), *key = call_text(c, "key");
    const struct key_row *row = key != NULL ? keys_by_name(c->admin->p.keys, slice_of(key)) : NULL;
    return conversation_of(slice_of(session), slice_of(row != NULL ? row->id : ""));
}

/* The account that "MODEL@ACCOUNT" asks for, 0 = it asks for none; `model` loses that end. False:
 * the call has been failed, as the gateway would refuse the request. */
static bool account_asked(struct verb_call *c, const struct group *g, char *model, int64_t *pinned)
{
    const struct account *a = accounts_model_account(c->admin->p.accounts, model);
    if (a == NULL)
        return true;
    *pinned = a->id;
    if (accounts_group_reaches(c->admin->p.accounts, g->name, a))
        return true;
    call_fail(c, FAIL_NOT_FOUND,
              "the model asks for account `%s` alone, and group `%s` does not lead there", a->name,
              g->name);
    return false;
}

/* What the group's clients mean by the name, as the gateway settles it. */
static bool model_asked(struct verb_call *c, const struct group *g, char model[STORE_MODEL_MAX],
                        int64_t *pinned)
{
    char alias[STORE_MODEL_MAX];
    *pinned = 0;
    text_copy(model, STORE_MODEL_MAX, slice_of(call_text(c, "model")));
    if (!account_asked(c, g, model, pinned))
        return false;
    if (!group_model(g, model, 0, alias, sizeof alias))
        return true;
    text_copy(model, STORE_MODEL_MAX, slice_of(alias));
    return account_asked(c, g, model, pinned);
}

void verb_route_explain(struct verb_call *c)
{
    struct account_set *set = c->admin->p.accounts;
    struct account_explained x[ACCOUNTS_MAX];
    struct account_choice choice;
    char model[STORE_MODEL_MAX];
    int64_t now = call_now(c), pinned;
    const struct group *g = group_asked(c);
    if (g == NULL || !model_asked(c, g, model, &pinned))
        return;
    struct account_wish wish = {
        .group = g->name, .model = model, .conversation = conversation_asked(c), .pinned = pinned};
    accounts_choose(set, &wish, now, &choice);
    int n = accounts_explain(set, &wish, now, x);
    assert(n >= 0 && n <= ACCOUNTS_MAX);
    bool any = n > 0 && is_chosen(x[0].why);
    struct jw *w = call_open(c);
    jw_kcstr(w, "model", call_text(c, "model"));
    jw_kcstr(w, "means", model);
    jw_kcstr(w, "asked_group", g->name);
    jw_kcstr(w, "group", choice.group[0] != '\0' ? choice.group : g->name);
    conversation_write(w, set, wish.conversation, now);
    jw_kcstr(w, "account", any ? x[0].account->name : NULL);
    jw_ktime(w, "soonest", any ? 0 : choice.soonest);
    jw_kcstr(w, "worth_waiting_for",
             choice.worth_waiting != NULL ? choice.worth_waiting->name : NULL);
    jw_key(w, "accounts");
    jw_arr(w);
    for (int i = 0; i < n; i++)
        explained_write(w, &x[i], now);
    jw_end_arr(w);
    call_reply(c);
}
