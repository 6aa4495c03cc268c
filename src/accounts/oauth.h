/* OAuth of an account: the messages (pure), and the one refresh at a time. Opened by accounts.h.
 *
 * A standard OAuth 2.0 client with PKCE (RFC 6749, 7636; wire/anthropic-oauth.md). Endpoints,
 * scopes and client_id are the operator's configuration: no client id is shipped. */
#ifndef SLUICE_ACCOUNTS_OAUTH_H
#define SLUICE_ACCOUNTS_OAUTH_H

#include "base/base.h"
#include "http/http.h"
#include "store/store.h"

struct account;
struct account_set;

/* What a provider's OAuth needs to know; from the account's settings, with the provider row's
 * presets for all but client_id. */
struct oauth_config {
    char authorize_url[256], token_url[256], redirect_uri[256], scope[256], client_id[128];
    char key_url[256]; /* where a login makes an API key; "" = it makes none */
};
/* The presets of a provider with an account's settings over them: the keys authorize_url,
 * token_url, redirect_uri, scope, client_id and key_url of a JSON object ("" is {}), others are not
 * looked at. ERR_SYNTAX with a sentence in `why`. Pure. client_id may stay empty, see
 * account_check. */
MUST_USE enum err oauth_config_read(const struct oauth_config *presets, struct slice settings,
                                    struct oauth_config *out, char *why, size_t why_size);

/* ---- messages: pure ------------------------------------------------------------------------ */

#define OAUTH_VERIFIER_MAX 64
#define OAUTH_RETRY_MAX    (INT64_C(3600) * 1000) /* ms; the longest wait after a failed refresh */
struct oauth_login {                              /* one login under way; lives 15 minutes */
    char verifier[OAUTH_VERIFIER_MAX], state[OAUTH_VERIFIER_MAX];
    int64_t expires_at; /* wall ms */
};
void oauth_login_begin(struct oauth_login *l, int64_t now);
/* S256: base64url of the verifier's SHA-256 (RFC 7636 section 4.2). */
MUST_USE enum err oauth_challenge(const char *verifier, struct buf *out);
/* ERR_STATE without a client_id; so do the two bodies below. */
MUST_USE enum err oauth_authorize_url(const struct oauth_config *c, const struct oauth_login *l,
                                      struct buf *out);
/* What a person pastes: "CODE#STATE", a whole redirect URL or its query, or "CODE" alone (refused:
 * no state); white space and quotes are dropped, wherever they are. The code is appended to `code`.
 * ERR_SYNTAX, ERR_DENIED (another state), ERR_TIMEOUT (expired), ERR_NOMEM. */
MUST_USE enum err oauth_login_answer(const struct oauth_login *l, struct slice pasted, int64_t now,
                                     struct buf *code);
MUST_USE enum err oauth_exchange_body(const struct oauth_config *c, const struct oauth_login *l,
                                      struct slice code, struct buf *out);
MUST_USE enum err oauth_refresh_body(const struct oauth_config *c, struct slice refresh,
                                     struct buf *out);

struct oauth_tokens { /* slices into the parsed document: end it with oauth_tokens_free */
    struct json *doc;
    struct slice access, refresh; /* refresh "" = keep the old one, or long-lived */
    int64_t expires_at;           /* wall ms, 0 = not told */
    int64_t lifetime;             /* ms, 0 = not told */
};
/* A token endpoint's answer, or an imported token set: access_token, refresh_token, expires_in (s)
 * or expires_at / expiresAt (s or ms, told apart by size, or RFC 3339); also nested below
 * "claudeAiOauth". On an error there is nothing to free. */
MUST_USE enum err oauth_tokens_read(struct slice body, int64_t now, struct oauth_tokens *out);
void oauth_tokens_free(struct oauth_tokens *t); /* wipes the pair; idempotent */

enum oauth_verdict {
    OAUTH_OK,
    OAUTH_DEAD,  /* invalid_grant and its like: a person must log in again, if the generation is
                    still the one that was sent */
    OAUTH_LATER, /* 429, 5xx, no answer: try again after a backoff */
    OAUTH_WRONG, /* the configuration is refused: invalid_client, 404, ... */
};
/* Of a token endpoint's answer; `why` is a static word, `retry_ms` the wait it asks for or 0. */
enum oauth_verdict oauth_judge(int status, const struct http_head *head, struct slice body,
                               int64_t now, const char **why, int64_t *retry_ms);

/* ---- logging in ------------------------------------------------------------------------------ */

/* A login ends in a token pair, or (console mode) in an API key that is made with it. */
enum login_mode { LOGIN_TOKENS, LOGIN_CONSOLE };
/* One login's exchange: the code is sent to the token URL; in console mode the access token then
 * makes an API key at the provider's key URL (wire/anthropic-oauth.md), which takes the place of
 * the pair. `done` comes once, in a later turn, with slices that are valid during it: `tokens` in
 * mode TOKENS, `api_key` in mode CONSOLE; or an error and a sentence for a person in `why`
 * (ERR_DENIED: the code, the configuration or the person's rights were refused; ERR_TIMEOUT,
 * ERR_CONNECT, ERR_BUSY, ERR_PROTOCOL, ...: an endpoint, try again). All of it takes 30 s at most.
 * `allow_private`: the endpoints may be in one's own network. Everything is copied; nothing is
 * stored here. Never NULL. */
struct login;
typedef void login_done_fn(void *arg, enum err e, const struct oauth_tokens *tokens,
                           struct slice api_key, const char *why);
struct login *login_start(struct loop *l, struct http_client *client, const struct oauth_config *c,
                          enum login_mode mode, bool allow_private, const struct oauth_login *o,
                          struct slice code, login_done_fn *done, void *arg);
void login_abort(struct login *g); /* `done` will not be called; NULL is fine */

/* ---- the refresh: at most one an account ---------------------------------------------------- */

/* With a client, tokens are refreshed: in the background at three quarters of their life, and when
 * asked for. NULL, the state at first: none is begun, and what is under way is given up, but for an
 * answer that waits for the disk, which the store is handed once more. To be called so before
 * store_close and http_client_free. */
void accounts_set_client(struct account_set *set, struct http_client *client);
/* After the store has confirmed a swap (a login, an import): the pair in memory follows, and the
 * account makes a new start. Older generations than the one in memory are not looked at. */
void accounts_token_put(struct account_set *set, const struct token_row *row);

/* `done` comes once, in a later turn: OK (the credential in the account is good now), ERR_DENIED
 * (LOGIN: a person must act), ERR_TIMEOUT/ERR_BUSY/... (not now). Joins the refresh under way.
 * `forced`: also when the token has not run out, for a 401 on generation `seen`, which is
 * a->generation when the request was sent (if it has moved since, OK). The account is to be held
 * (account_hold) until `done` or the account_token_forget. */
typedef void account_token_fn(void *arg, enum err e);
struct token_wait { /* embedded in whoever waits; zeroed, with `done` and `arg` set */
    struct link link;
    account_token_fn *done;
    void *arg;
    enum err result; /* ours */
    bool forced;     /* ours */
};
void account_token_get(struct account_set *set, struct account *a, bool forced, int64_t seen,
                       struct token_wait *w);
/* `done` will not be called; idempotent, also for one that has never waited. */
void account_token_forget(struct token_wait *w);
/* Refreshes that have something to lose; a drain waits for 0, for at most 20 s. */
int accounts_refreshing(const struct account_set *set);

#endif
