/* Which model a request means, and at which account.
 *
 *   what stands in the body or the path; else the key's own
 *     -> in plain words, where a cloud's interface has its own for the same
 *     -> "MODEL@ACCOUNT", or the header x-sluice-account: that account alone
 *     -> the group's alias for it
 *
 * What it is called at the account that serves it is that account's business (crossing.c). */
#include "gateway/exchange.h"

#include <string.h>

/* ---- a cloud's names ------------------------------------------------------------------------- */

/* "us.anthropic.claude-sonnet-4-5-20250929-v1:0" is "claude-sonnet-4-5-20250929". */
static void plain_bedrock(char *model)
{
    char *at = strstr(model, "anthropic.claude-");
    if (at == NULL)
        return;
    memmove(model, at + 10, strlen(at + 10) + 1);
    char *v = strstr(model, "-v1");
    if (v != NULL && (strcmp(v, "-v1") == 0 || strcmp(v, "-v1:0") == 0))
        *v = '\0';
    else if ((v = strstr(model, "-v2:0")) != NULL && v[5] == '\0')
        *v = '\0';
}

/* "claude-sonnet-4-5@20250929" is "claude-sonnet-4-5-20250929". */
static void plain_vertex(char *model)
{
    char *at = strncmp(model, "claude-", 7) == 0 ? strchr(model, '@') : NULL;
    uint64_t date;
    if (at != NULL && strlen(at + 1) == 8 && text_u64(slice_of(at + 1), &date))
        *at = '-';
    else if (at != NULL && strcmp(at + 1, "default") == 0)
        *at = '\0';
}

void model_plain(enum wire wire, char *model)
{
    if (wire == WIRE_BEDROCK)
        plain_bedrock(model);
    else if (wire == WIRE_VERTEX)
        plain_vertex(model);
}

/* ---- the key's own --------------------------------------------------------------------------- */

void model_of_key(struct exchange *x, const struct key_row *key)
{
    struct json *doc = NULL;
    if (key->settings[0] == '\0' || json_parse(slice_of(key->settings), &doc) != OK)
        return;
    struct slice model = json_get_str(json_root(doc), "model");
    text_copy(x->plan->key_model, sizeof x->plan->key_model, model);
    json_free(doc);
}

/* ---- one account alone ----------------------------------------------------------------------- */

/* Only what its key may use: an account of another group is as if it were not there. */
static bool account_is_ours(const struct exchange *x, const struct account *a)
{
    return a != NULL && accounts_group_reaches(x->g->p.accounts, x->group, a);
}

static bool model_refuse(struct exchange *x, const char *text)
{
    answer_error(x, 404, text, -1, false, "refused");
    return false;
}

bool model_forced(struct exchange *x)
{
    const struct slice *name = http_find(http_call_head(x->call), "x-sluice-account");
    if (name == NULL || name->n == 0)
        return true;
    struct account *a = accounts_by_name(x->g->p.accounts, *name);
    if (!account_is_ours(x, a))
        return model_refuse(x, "sluice: x-sluice-account names no account that this key may use.");
    x->plan->forced = a->id;
    return true;
}

/* False: an account is named that this key may not use. A name that holds an '@' and names nobody
 * is a name. */
static bool force_by_name(struct exchange *x, char *model)
{
    struct account *a = accounts_model_account(x->g->p.accounts, model);
    if (a == NULL)
        return true;
    if (!account_is_ours(x, a))
        return model_refuse(x, "sluice: the model names an account that this key may not use.");
    x->plan->forced = a->id;
    return true;
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* False when the path names none; then the answer is on its way. */
static bool model_of_path(struct exchange *x)
{
    const struct front *f = &x->route.front;
    if (x->route.model.n == 0)
        return true;
    if (!route_model(x->route.model, x->plan->facts.model, sizeof x->plan->facts.model)) {
        answer_error(x, 400, "sluice: the model in the path is no name of a model.", -1, false,
                     "refused");
        return false;
    }
    if (f->stream_in_path)
        x->plan->facts.stream = f->streams;
    return true;
}

bool model_settle(struct exchange *x)
{
    struct request_facts *f = &x->plan->facts;
    char alias[sizeof f->model] FILLED_LATER;
    if (!model_of_path(x) || !model_forced(x))
        return false;
    static_assert(sizeof x->plan->model_asked == sizeof f->model, "copied whole");
    memcpy(x->plan->model_asked, f->model, sizeof f->model);
    if (f->model[0] == '\0')
        text_copy(f->model, sizeof f->model, slice_of(x->plan->key_model));
    if (f->model[0] == '\0')
        return true; /* the provider will say that there is none */
    if (strlen(f->model) + 1 == sizeof f->model) {
        answer_error(x, 400, "sluice: the model's name is too long.", -1, false, "refused");
        return false;
    }
    model_plain(x->route.front.wire, f->model);
    const struct group *g = accounts_group(x->g->p.accounts,
                                           x->group[0] != '\0' ? x->group : GROUP_DEFAULT);
    if (!force_by_name(x, f->model))
        return false;
    if (g == NULL || !group_model(g, f->model, x->plan->turn, alias, sizeof alias))
        return true;
    text_copy(f->model, sizeof f->model, slice_of(alias));
    return force_by_name(x, f->model);
}
