/* Providers are data: one row each. How their replies are judged is in limits.c. */
#include "accounts/accounts.h"

/* wire/anthropic-oauth.md sections 1 and 2. No client_id: the operator brings one. */
static const struct oauth_config claude = {
    .authorize_url = "https://claude.ai/oauth/authorize",
    .token_url = "https://platform.claude.com/v1/oauth/token",
    .redirect_uri = "https://platform.claude.com/oauth/code/callback",
    .scope = "user:profile user:inference",
};

/* Section 7: the login makes an API key, which does not rotate. */
static const struct oauth_config console = {
    .authorize_url = "https://platform.claude.com/oauth/authorize",
    .token_url = "https://platform.claude.com/v1/oauth/token",
    .redirect_uri = "https://platform.claude.com/oauth/code/callback",
    .scope = "org:create_api_key user:profile",
    .key_url = "https://api.anthropic.com/api/oauth/claude_cli/create_api_key",
};

static const char *const claudes[] = {"claude-", "anthropic", NULL};

/* What Anthropic itself offers; wire/anthropic-messages.md. */
#define ANTHROPIC_PATHS                                                         \
    {                                                                           \
        [API_CHAT] = "/v1/messages", [API_COUNT] = "/v1/messages/count_tokens", \
        [API_MODELS] = "/v1/models", [API_OTHER] = ""                           \
    }
#define ANTHROPIC_DOOR(scheme)                                                               \
    {                                                                                        \
        .dialect = DIALECT_ANTHROPIC, .base_url = "https://api.anthropic.com",               \
        .path = ANTHROPIC_PATHS, .stream = FRAMING_SSE, .auth = (scheme), .keep_query = true \
    }

static const struct provider rows[] = {
    {.name = "anthropic",
     .door = {ANTHROPIC_DOOR(AUTH_X_API_KEY)},
     .doors = 1,
     .beta = "",
     .models = claudes,
     .settings = "",
     .help = "the Claude API, with an API key (sk-ant-api03-...)"},
    {.name = "anthropic-compatible",
     .door = {{.dialect = DIALECT_ANTHROPIC,
               .path = ANTHROPIC_PATHS,
               .stream = FRAMING_SSE,
               .auth = AUTH_X_API_KEY,
               .keep_query = true}},
     .doors = 1,
     .beta = "",
     .settings = "",
     .help = "any server that speaks the Messages API at --base-url; a secret that begins "
             "\"Bearer \" is sent as a bearer token"},
    {.name = "claude-oauth",
     .door = {ANTHROPIC_DOOR(AUTH_BEARER)},
     .doors = 1,
     .beta = "oauth-2025-04-20",
     .oauth = &claude,
     .usage = USAGE_ANTHROPIC,
     .usage_url = "/api/oauth/usage",
     .models = claudes,
     .settings = "",
     .help =
         "the Claude API, with OAuth tokens and a client_id of your own; Anthropic's terms keep "
         "the login of Claude plans for its own applications, and whether you may use yours "
         "here is for you to judge"},
    {.name = "console",
     .door = {ANTHROPIC_DOOR(AUTH_X_API_KEY)},
     .doors = 1,
     .beta = "",
     .oauth = &console,
     .login = LOGIN_CONSOLE,
     .models = claudes,
     .settings = "",
     .help = "the Claude API, with an API key that `sluice account login` makes, by a client_id of "
             "your own"},
};

#define ROWS ((int)(sizeof rows / sizeof rows[0]))

const struct provider *provider_at(int i)
{
    return i >= 0 && i < ROWS ? &rows[i] : NULL;
}

bool provider_rotates(const struct provider *p)
{
    return p->oauth != NULL && p->login == LOGIN_TOKENS;
}

const struct provider *provider_find(struct slice name)
{
    for (int i = 0; i < ROWS; i++) {
        if (slice_eq(name, slice_of(rows[i].name)))
            return &rows[i];
    }
    return NULL;
}
