/* sign: how a credential goes into a request. Opened by accounts.h. */
#ifndef SLUICE_ACCOUNTS_SIGN_H
#define SLUICE_ACCOUNTS_SIGN_H

#include "accounts/cloud.h"
#include "base/base.h"
#include "http/http.h"

struct account;

enum auth_scheme {
    AUTH_X_API_KEY,
    AUTH_BEARER,
    AUTH_API_KEY,      /* "api-key": Azure */
    AUTH_GOOG_API_KEY, /* "x-goog-api-key": Gemini */
    AUTH_SIGV4,        /* AWS: "ID:SECRET[:TOKEN]" signs; a secret without ':' is a bearer token */
    AUTH_NONE,         /* needs none; one that is given all the same is a bearer token */
};
/* The header of a scheme; "" of one whose headers differ from request to request, and of NONE. */
const char *auth_header(enum auth_scheme s);
/* How a secret is used where `s` is the provider's scheme. One that begins "Bearer " is a bearer
 * token everywhere. */
enum auth_scheme auth_of_secret(enum auth_scheme s, struct slice secret);

struct sign_request {      /* a request just as it goes out */
    enum auth_scheme auth; /* of the door it goes through; what was fetched has its own */
    struct slice method;
    const struct http_target *to;
    struct slice path, query; /* as they are sent; the query without '?' */
    /* What a signature is to cover besides: content-type, and x-amzn-... that the provider obeys.
     * Names in lower case. */
    const struct http_header *header;
    int headers;
    struct slice body;
};
#define ACCOUNT_SIGN_HEADERS (2 + COMPANIONS_MAX)
/* So many at most, of this account as it is now. */
int account_sign_count(const struct account *a);
#define ACCOUNT_SIGN_MEMORY 2048 /* for keys and signatures; a bearer token may want more */
/* The headers that make a request the account's own, of any account: none, a key, a bearer token
 * and what was fetched with it, a signature. They take the place of a client's of the same name. To
 * be asked again for each try, for a signature is good for five minutes. The values are in `memory`
 * or the account's, and stay while it is held and `memory` lives. `now` is wall ms. A signature
 * costs the SHA-256 of the body. ERR_STATE: there is no credential (see account_token_get);
 * ERR_SYNTAX: it is malformed; ERR_LIMIT: too much to sign. */
MUST_USE enum err account_sign(const struct account *a, const struct sign_request *r, int64_t now,
                               struct http_header out[ACCOUNT_SIGN_HEADERS], int *n, char *memory,
                               size_t size);
/* Whether a reply says that the credential is not (any more) good, so that an account whose
 * a->generation is not 0 should be given another (account_token_get, forced) and the request be
 * sent once more: a 401, and the 403 or 400 by which AWS names an expired or unknown one. Pure. */
bool account_credential_refused(const struct account *a, const struct http_head *head,
                                struct slice body);

#endif
