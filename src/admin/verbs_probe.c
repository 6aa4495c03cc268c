/* `account test`: one small question to the provider, and what its answer means for the operator.
 */
#include "admin/inside.h"

#include <string.h>

/* What a provider says about a credential sometimes repeats it. */
static void mask_credential(const struct account *a, char *text)
{
    struct slice secret = a->credential.value, all = slice_of(text);
    if (slice_starts(secret, S("Bearer ")))
        secret = slice_sub(secret, 7, secret.n);
    ptrdiff_t at;
    while (secret.n >= 4 && (at = slice_search(all, secret)) >= 0) {
        memset(text + (all.p - text) + at, '*', secret.n);
        all = slice_sub(all, (size_t)at + secret.n, all.n);
    }
}

static const char *next_step_of_failure(enum err e)
{
    switch (e) {
    case ERR_DNS:
        return "check the host name in its base URL and this machine's DNS";
    case ERR_CERT:
        return "the server's certificate is not trusted: check the base URL, or name your own "
               "authority's certificate with the option ca_file";
    case ERR_DENIED:
        return "the name leads into your own network; if that is meant, "
               "`sluice account set NAME --allow-private`";
    case ERR_TLS:
        return "does this address speak https?";
    case ERR_UNSUPPORTED:
        return "send it a request: the header x-sluice-account names the account that serves";
    default:
        return "is the address right and the server up?";
    }
}

static const char *next_step_of_status(const struct account *a, int status)
{
    if ((status == 401 || status == 403) && provider_rotates(a->provider))
        return "its token is refused: log in with `sluice account login NAME`, or import one with "
               "`sluice account import NAME --token-file FILE`";
    if ((status == 401 || status == 403) && a->provider->oauth != NULL)
        return "its key is refused: have a new one made with `sluice account login NAME`";
    if (status == 401 || status == 403)
        return "give it a good secret with `sluice account set NAME --secret-file FILE`";
    if (status == 429 || status == 529)
        return "the provider limits this account at the moment; try again later";
    if (status >= 500)
        return "the provider has trouble; try again later";
    return "check the account's base URL";
}

/* A server that has no list of models has still been reached. */
static bool lacks_models(const struct account *a, int status)
{
    return a->provider->door[0].base_url == NULL &&
           (status == 404 || status == 405 || status == 501);
}

static void probe_reply(struct verb_call *c, const struct account *a, int status, int64_t ms)
{
    int64_t now = call_now(c);
    struct jw *w = call_open(c);
    jw_kcstr(w, "name", a->name);
    jw_kbool(w, "ok", true);
    jw_ki64(w, "status", status);
    jw_ki64(w, "ms", ms);
    jw_kbool(w, "credential_checked", !lacks_models(a, status));
    jw_kcstr(w, "state", account_state_name(account_status(&a->facts, now).state));
    call_reply(c);
}

static void on_probe(void *arg, enum err e, int status, const char *why, int64_t ms)
{
    struct verb_call *c = arg;
    char text[300];
    const char *name = call_text(c, "name");
    const struct account *a = accounts_by_id(c->admin->p.accounts, c->account_id);
    assert(a != NULL); /* the probe holds it */
    if (e == OK && ((status >= 200 && status < 300) || lacks_models(a, status))) {
        probe_reply(c, a, status, ms);
        return;
    }
    text_copy(text, sizeof text, slice_of(why));
    mask_credential(a, text);
    if (e != OK || status == 0)
        call_fail(c, FAIL_UPSTREAM, "account `%s`: no answer: %s (%s); %s", name, text, err_name(e),
                  next_step_of_failure(e));
    else
        call_fail(c, FAIL_UPSTREAM, "account `%s`: the provider answered %d%s%s; %s", name, status,
                  text[0] != '\0' ? ": " : "", text, next_step_of_status(a, status));
}

void verb_account_test(struct verb_call *c)
{
    struct account *a = call_account(c);
    if (a == NULL)
        return;
    if (a->credential.value.n == 0 && a->provider->oauth != NULL) {
        call_fail(c, FAIL_UPSTREAM, "account `%s` has no %s: log in with `sluice account login %s`",
                  a->name, provider_rotates(a->provider) ? "token" : "key", a->name);
        return;
    }
    /* A cloud's may come from elsewhere, and a server of one's own may want none. */
    if (a->credential.value.n == 0 && a->provider->cloud == NULL && !a->provider->no_secret) {
        call_fail(c, FAIL_UPSTREAM,
                  "account `%s`: its secret cannot be read (another master key?); give it again "
                  "with `sluice account set %s --secret-file FILE`",
                  a->name, a->name);
        return;
    }
    c->account_id = a->id;
    gateway_probe(c->admin->p.gateway, a, on_probe, c);
}
