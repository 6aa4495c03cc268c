/* Providers are data: one row each. How their replies are judged is in limits.c. */
#include "accounts/accounts.h"

static const struct provider rows[] = {
    {.name = "anthropic",
     .dialect = DIALECT_ANTHROPIC,
     .base_url = "https://api.anthropic.com",
     .auth = AUTH_X_API_KEY,
     .help = "the Claude API, with an API key (sk-ant-api03-...)"},
    {.name = "anthropic-compatible",
     .dialect = DIALECT_ANTHROPIC,
     .base_url = NULL,
     .auth = AUTH_X_API_KEY,
     .help = "any server that speaks the Messages API at --base-url; a secret that begins "
             "\"Bearer \" is sent as a bearer token"},
};

#define ROWS ((int)(sizeof rows / sizeof rows[0]))

const struct provider *provider_at(int i)
{
    return i >= 0 && i < ROWS ? &rows[i] : NULL;
}

const struct provider *provider_find(struct slice name)
{
    for (int i = 0; i < ROWS; i++) {
        if (slice_eq(name, slice_of(rows[i].name)))
            return &rows[i];
    }
    return NULL;
}
