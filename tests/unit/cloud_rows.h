/* Providers of the clouds that stand in for the rows of the real table. Included by one test file a
 * program: it holds definitions, and takes the place of accounts/provider.c. */
#ifndef TEST_CLOUD_ROWS_H
#define TEST_CLOUD_ROWS_H

#include "accounts/accounts.h"

static const struct cloud_config azure = {.cloud = CLOUD_AZURE},
                                 aws = {.cloud = CLOUD_AWS, .service = "bedrock"},
                                 google = {.cloud = CLOUD_GOOGLE},
                                 gitlab = {.cloud = CLOUD_GITLAB,
                                           .token_url = "https://gitlab.com"};
#define CLOUD_DOOR(scheme)                           \
    .door = {{.dialect = DIALECT_ANTHROPIC,          \
              .path = {[API_CHAT] = "/v1/messages"}, \
              .auth = (scheme)}},                    \
    .doors = 1, .beta = "", .settings = ""
static const struct provider rows_here[] = {
    {.name = "azure-foundry", .cloud = &azure, CLOUD_DOOR(AUTH_API_KEY)},
    {.name = "bedrock", .cloud = &aws, CLOUD_DOOR(AUTH_SIGV4)},
    {.name = "vertex-ai", .cloud = &google, CLOUD_DOOR(AUTH_BEARER)},
    {.name = "gitlab", .cloud = &gitlab, CLOUD_DOOR(AUTH_BEARER)},
    {.name = "local", .no_secret = true, CLOUD_DOOR(AUTH_NONE)},
    {.name = "claude-oauth", CLOUD_DOOR(AUTH_BEARER)},
};

const struct provider *provider_at(int i)
{
    return i >= 0 && i < (int)(sizeof rows_here / sizeof rows_here[0]) ? &rows_here[i] : NULL;
}

const struct provider *provider_find(struct slice name)
{
    for (size_t i = 0; i < (sizeof rows_here / sizeof rows_here[0]); i++) {
        if (slice_eq(name, slice_of(rows_here[i].name)))
            return &rows_here[i];
    }
    return NULL;
}

bool provider_rotates(const struct provider *p)
{
    return p->oauth != NULL;
}

#endif
