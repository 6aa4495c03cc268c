/* The table of verbs. */
#include "admin/inside.h"

#define NAME_ARG                                                                                   \
    {                                                                                              \
        .name = "name", .type = ARG_STRING, .positional = true, .required = true, .value = "NAME", \
        .help = "the account's name"                                                               \
    }
#define SECRET_HELP "file with the provider's key, - for standard input; never an argument"

#define TOKEN_HELP                                                                      \
    "a JSON file with access_token, refresh_token and expires_in or expires_at; - for " \
    "standard input"

#define GROUP_NAME_ARG                                                                             \
    {                                                                                              \
        .name = "name", .type = ARG_STRING, .positional = true, .required = true, .value = "NAME", \
        .help = "the group's name"                                                                 \
    }
#define GROUP_ARG                                                              \
    {                                                                          \
        .name = "group", .type = ARG_STRING, .value = "G",                     \
        .help = "the group of accounts that serves it; empty: the default one" \
    }

/* What `account add` and `account set` take besides the row; see settings.c. */
/* clang-format off */
#define LOGIN_ARGS                                                                                 \
    {.name = "client_id", .type = ARG_STRING, .value = "ID",                                       \
     .help = "OAuth: the client id that the provider has given you"},                              \
    {.name = "token_url", .type = ARG_STRING, .value = "URL",                                      \
     .help = "OAuth: where tokens are fetched; default: the provider's"},                          \
    {.name = "authorize_url", .type = ARG_STRING, .value = "URL",                                  \
     .help = "OAuth: the page a person logs in on; default: the provider's"},                      \
    {.name = "redirect_uri", .type = ARG_STRING, .value = "URI",                                   \
     .help = "OAuth: where that page sends the code; default: the provider's"},                    \
    {.name = "scope", .type = ARG_STRING, .value = "S",                                            \
     .help = "OAuth: what is asked for; default: the provider's"},                                 \
    {.name = "key_url", .type = ARG_STRING, .value = "URL",                                        \
     .help = "console: where a login makes the key; default: the provider's"}
#define POLICY_ARGS                                                                                \
    {.name = "group", .type = ARG_STRING, .many = true, .value = "A,B",                            \
     .help = "the groups it serves; empty: the default one"},                                      \
    {.name = "quota", .type = ARG_STRING, .value = "Q",                                            \
     .help = "accounts that name the same one spend the same quota at the provider"},              \
    {.name = "concurrency", .type = ARG_INT, .value = "N",                                         \
     .help = "requests at a time at most; 0: any number"},                                         \
    {.name = "pause_at", .type = ARG_INT, .value = "PERCENT",                                      \
     .help = "rest when so much of its five-hour or weekly window is used; 0: never"},             \
    {.name = "pause_on_overage", .type = ARG_SWITCH, .value = "on|off",                            \
     .help = "rest while what it serves would be paid for beyond the plan"},                       \
    {.name = "peak_hours", .type = ARG_STRING, .value = "SPAN",                                    \
     .help = "rest every day in that span: \"Mon-Fri 14:00-18:00 +08:00\"; empty: in none"}
#define MODEL_ARG                                                                                  \
    {.name = "model", .type = ARG_STRING, .many = true, .value = "PATTERN=NAME",                   \
     .help = "what a model is called here: a whole name, a family (opus) or a beginning with "     \
             "'*'; may be given again, for one pattern too: its names take turns; all are "        \
             "replaced, empty: none"}
#define KEY_MODEL_ARG                                                                              \
    {.name = "model", .type = ARG_STRING, .value = "MODEL",                                        \
     .help = "what requests get that name no model; empty: none"}
#define OPTION_ARGS                                                                                \
    {.name = "dialect", .type = ARG_STRING, .value = "D",                                          \
     .help = "with --base-url: what is spoken there, see `sluice provider list`"},                 \
    {.name = "region", .type = ARG_STRING, .value = "R",                                           \
     .help = "AWS, Google: where it is served"},                                                   \
    {.name = "project", .type = ARG_STRING, .value = "P", .help = "Google: whose it is"},          \
    {.name = "quota_project", .type = ARG_STRING, .value = "P",                                    \
     .help = "Google: who pays, if another one"},                                                  \
    {.name = "resource", .type = ARG_STRING, .value = "NAME",                                      \
     .help = "Azure: the resource, the first word of its host name"},                              \
    {.name = "deployment", .type = ARG_STRING, .value = "NAME",                                    \
     .help = "Azure: what every model is called that --model does not map"},                       \
    {.name = "api_version", .type = ARG_STRING, .value = "DATE",                                   \
     .help = "Azure OpenAI: the api-version (default 2024-10-21)"},                                \
    {.name = "tenant_id", .type = ARG_STRING, .value = "ID",                                       \
     .help = "Azure: Entra's tenant of the application that --client-id names"},                   \
    {.name = "credential", .type = ARG_STRING, .value = "FROM",                                    \
     .help = "clouds: static (the secret), env, profile, container, instance, or default"},        \
    {.name = "profile", .type = ARG_STRING, .value = "NAME",                                       \
     .help = "AWS: of the shared credentials file"},                                               \
    {.name = "inference_profile", .type = ARG_STRING, .value = "PREFIX",                           \
     .help = "Bedrock: what stands before a model's id (default global); none: nothing"},          \
    {.name = "num_ctx", .type = ARG_INT, .value = "N",                                             \
     .help = "Ollama: tokens of context that a model is loaded with; 0: its default"}
/* clang-format on */

static const struct verb VERBS[] = {
    {.name = "serve",
     .arg = {{.name = "demo",
              .type = ARG_BOOL,
              .help = "add the built-in demo provider, and a key to use it with"},
             {.name = "takeover",
              .type = ARG_BOOL,
              .help = "take the addresses over from the gateway that runs in the state folder"}},
     .help = "run the gateway until SIGTERM",
     .example = "sluice serve\n"
                "sluice serve --demo --listen 127.0.0.1:8080\n"
                "sluice serve --config sluice.yaml"},
    {.name = "account add",
     .method = HTTP_POST,
     .path = "/api/accounts",
     .arg = {{.name = "name",
              .type = ARG_STRING,
              .positional = true,
              .required = true,
              .value = "NAME",
              .help = "what you call it: letters, digits, '.', '_' and '-'"},
             {.name = "provider",
              .type = ARG_STRING,
              .required = true,
              .value = "KIND",
              .help = "who serves it, see below"},
             {.name = "base_url",
              .type = ARG_STRING,
              .value = "URL",
              .help = "where it is served; default: the provider's own address"},
             {.name = "priority",
              .type = ARG_INT,
              .value = "N",
              .help = "0 to 1000, a lower number is preferred (default 0)"},
             {.name = "weight",
              .type = ARG_INT,
              .value = "N",
              .help = "1 to 1000, its share among accounts of one priority (default 1)"},
             {.name = "allow_private",
              .type = ARG_BOOL,
              .help = "the name in --base-url may lead into your own network"},
             {.name = "secret", .type = ARG_SECRET, .value = "FILE", .help = SECRET_HELP},
             {.name = "token",
              .type = ARG_SECRET,
              .value = "FILE",
              .help = "in place of a login, for a provider with OAuth: " TOKEN_HELP},
             LOGIN_ARGS,
             POLICY_ARGS,
             MODEL_ARG,
             OPTION_ARGS},
     .handler = verb_account_add,
     .help = "add a provider account to the pool",
     .example = "sluice account add work --provider anthropic --secret-file key.txt\n"
                "pass show anthropic | \\\n"
                "  sluice account add work --provider anthropic --secret-file -\n"
                "sluice account add box --provider anthropic-compatible \\\n"
                "  --base-url http://127.0.0.1:11434 --secret-file key.txt\n"
                "sluice account add aws --provider bedrock --region eu-west-1 --credential env\n"
                "sluice account add z --provider zai --secret-file key.txt --model opus=glm-5.3\n"
                "sluice account add plan --provider claude-oauth --client-id ID\n"
                "sluice account login plan"},
    {.name = "account login",
     .method = HTTP_POST,
     .path = "/api/accounts/{name}/login",
     .arg = {NAME_ARG,
             {.name = "begin",
              .type = ARG_BOOL,
              .help = "only print the page's address; `sluice account callback` does the rest"},
             {.name = "answer",
              .type = ARG_SECRET,
              .value = "FILE",
              .help =
                  "where the answer is read from, - for standard input; default: the terminal"}},
     .handler = verb_account_login,
     .help = "log in to an account, with a browser on any machine",
     .example = "sluice account login plan\n"
                "sluice account login plan --answer-file answer.fifo"},
    {.name = "account callback",
     .method = HTTP_POST,
     .path = "/api/accounts/{name}/login/callback",
     .arg = {NAME_ARG,
             {.name = "answer",
              .type = ARG_SECRET,
              .required = true,
              .value = "FILE",
              .help = "what the page has shown at its end, CODE#STATE; - for standard input"}},
     .handler = verb_account_callback,
     .help = "finish a login that was begun with `sluice account login --begin`",
     .example = "sluice account callback plan --answer-file -"},
    {.name = "account import",
     .method = HTTP_POST,
     .path = "/api/accounts/{name}/import",
     .arg = {NAME_ARG,
             {.name = "token",
              .type = ARG_SECRET,
              .required = true,
              .value = "FILE",
              .help = TOKEN_HELP}},
     .handler = verb_account_import,
     .help = "give an account a new token from a file; all else of it stays",
     .example = "sluice account import plan --token-file tokens.json"},
    {.name = "account list",
     .method = HTTP_GET,
     .path = "/api/accounts",
     .handler = verb_account_list,
     .help = "list the accounts and whether each can serve",
     .example = "sluice account list\nsluice account list --json"},
    {.name = "account show",
     .method = HTTP_GET,
     .path = "/api/accounts/{name}",
     .arg = {NAME_ARG},
     .handler = verb_account_show,
     .help = "show one account: its state, why and until when, and what it has used",
     .example = "sluice account show work"},
    {.name = "account pause",
     .method = HTTP_POST,
     .path = "/api/accounts/{name}/pause",
     .arg = {NAME_ARG},
     .handler = verb_account_pause,
     .help = "give an account no new requests",
     .example = "sluice account pause work"},
    {.name = "account resume",
     .method = HTTP_POST,
     .path = "/api/accounts/{name}/resume",
     .arg = {NAME_ARG},
     .handler = verb_account_resume,
     .help = "end a pause, a cooldown or a refused credential",
     .example = "sluice account resume work"},
    {.name = "account reset-limit",
     .method = HTTP_POST,
     .path = "/api/accounts/{name}/reset-limit",
     .arg = {NAME_ARG},
     .handler = verb_account_reset_limit,
     .help = "forget an account's cooldown and its used-up windows",
     .example = "sluice account reset-limit work"},
    {.name = "account set",
     .method = HTTP_PATCH,
     .path = "/api/accounts/{name}",
     .arg = {NAME_ARG,
             {.name = "priority",
              .type = ARG_INT,
              .value = "N",
              .help = "0 to 1000, a lower number is preferred"},
             {.name = "weight",
              .type = ARG_INT,
              .value = "N",
              .help = "1 to 1000, its share among accounts of one priority"},
             {.name = "base_url",
              .type = ARG_STRING,
              .value = "URL",
              .help = "where it is served; empty: the provider's own address"},
             {.name = "allow_private",
              .type = ARG_BOOL,
              .help = "the name in --base-url may lead into your own network"},
             {.name = "secret", .type = ARG_SECRET, .value = "FILE", .help = SECRET_HELP},
             LOGIN_ARGS,
             POLICY_ARGS,
             MODEL_ARG,
             OPTION_ARGS},
     .handler = verb_account_set,
     .help = "change an account: priority, address, secret, groups, limits",
     .example = "sluice account set work --priority 1 --group premium,default\n"
                "sluice account set work --pause-at 90 --concurrency 8\n"
                "sluice account set work --peak-hours 'Mon-Fri 14:00-18:00 +08:00'\n"
                "sluice account set work --secret-file new-key.txt"},
    {.name = "account rename",
     .method = HTTP_POST,
     .path = "/api/accounts/{name}/rename",
     .arg = {NAME_ARG,
             {.name = "new_name",
              .type = ARG_STRING,
              .positional = true,
              .required = true,
              .value = "NEW",
              .help = "what to call it from now on"}},
     .handler = verb_account_rename,
     .help = "give an account another name",
     .example = "sluice account rename work team-1"},
    {.name = "account remove",
     .method = HTTP_DELETE,
     .path = "/api/accounts/{name}",
     .arg = {NAME_ARG},
     .handler = verb_account_remove,
     .help = "remove an account; requests it is serving may finish",
     .example = "sluice account remove work"},
    {.name = "account test",
     .method = HTTP_POST,
     .path = "/api/accounts/{name}/test",
     .arg = {NAME_ARG},
     .handler = verb_account_test,
     .help = "ask the provider one small question with this account",
     .example = "sluice account test work"},
    {.name = "key add",
     .method = HTTP_POST,
     .path = "/api/keys",
     .arg = {{.name = "name",
              .type = ARG_STRING,
              .positional = true,
              .required = true,
              .value = "NAME",
              .help = "who will use it: letters, digits, '.', '_' and '-'"},
             GROUP_ARG,
             KEY_MODEL_ARG},
     .handler = verb_key_add,
     .help = "make a key for a client; it is shown once",
     .example = "sluice key add alice\nsluice key add ci --group spare --json"},
    {.name = "key set",
     .method = HTTP_PATCH,
     .path = "/api/keys/{name}",
     .arg = {{.name = "name",
              .type = ARG_STRING,
              .positional = true,
              .required = true,
              .value = "NAME",
              .help = "the key's name"},
             GROUP_ARG,
             KEY_MODEL_ARG},
     .handler = verb_key_set,
     .help = "change which accounts serve a key, and its default model",
     .example = "sluice key set alice --group premium\n"
                "sluice key set ci --model claude-haiku-5-5"},
    {.name = "key list",
     .method = HTTP_GET,
     .path = "/api/keys",
     .handler = verb_key_list,
     .help = "list the keys and when each was last used",
     .example = "sluice key list"},
    {.name = "key revoke",
     .method = HTTP_DELETE,
     .path = "/api/keys/{name}",
     .arg = {{.name = "name",
              .type = ARG_STRING,
              .positional = true,
              .required = true,
              .value = "NAME",
              .help = "the key's name"}},
     .handler = verb_key_revoke,
     .help = "end a key, at once",
     .example = "sluice key revoke alice"},
    {.name = "provider list",
     .method = HTTP_GET,
     .path = "/api/providers",
     .handler = verb_provider_list,
     .help = "who can be asked, in which dialects, and what an account there needs",
     .example = "sluice provider list"},
    {.name = "group list",
     .method = HTTP_GET,
     .path = "/api/groups",
     .handler = verb_group_list,
     .help = "list the groups of accounts and how each chooses",
     .example = "sluice group list"},
    {.name = "group show",
     .method = HTTP_GET,
     .path = "/api/groups/{name}",
     .arg = {GROUP_NAME_ARG},
     .handler = verb_group_show,
     .help = "show one group: its strategy, its accounts and its keys",
     .example = "sluice group show default"},
    {.name = "group set",
     .method = HTTP_PUT,
     .path = "/api/groups/{name}",
     .arg = {GROUP_NAME_ARG,
             {.name = "strategy",
              .type = ARG_STRING,
              .value = "S",
              .help = "how it chooses among its accounts, see below (default session)"},
             {.name = "affinity",
              .type = ARG_SWITCH,
              .value = "on|off",
              .help = "whether a conversation stays where its prompt cache is warm; empty: as the "
                      "strategy wants it"},
             {.name = "route",
              .type = ARG_STRING,
              .many = true,
              .value = "PREFIX=GROUP",
              .help = "of strategy model: who serves models whose names begin so; may be given "
                      "again; all of them are replaced"},
             {.name = "model",
              .type = ARG_STRING,
              .many = true,
              .value = "PATTERN=NAME",
              .help = "what its clients mean by a name: another model, or MODEL@ACCOUNT; a whole "
                      "name, a family or a beginning with '*'; may be given again, all of them "
                      "are replaced, empty: none"}},
     .handler = verb_group_set,
     .help = "make a group of accounts, or change one",
     .example = "sluice group set premium --strategy least-used\n"
                "sluice group set team --strategy model \\\n"
                "  --route claude-opus=premium --route =default\n"
                "sluice group set team --model fast=claude-haiku-5-5 --model 'gpt-*=glm-5.3@z'"},
    {.name = "group remove",
     .method = HTTP_DELETE,
     .path = "/api/groups/{name}",
     .arg = {GROUP_NAME_ARG},
     .handler = verb_group_remove,
     .help = "remove a group that nothing names any more",
     .example = "sluice group remove premium"},
    {.name = "route explain",
     .method = HTTP_GET,
     .path = "/api/route/explain",
     .arg = {{.name = "model",
              .type = ARG_STRING,
              .required = true,
              .value = "M",
              .help = "the model that is asked for"},
             {.name = "session",
              .type = ARG_STRING,
              .value = "S",
              .help = "the conversation: what its client sends as X-Claude-Code-Session-Id (name "
                      "its --key too), or `session` of one of its records"},
             {.name = "key",
              .type = ARG_STRING,
              .value = "NAME",
              .help = "the key that is used: its group's accounts are looked at"},
             {.name = "group",
              .type = ARG_STRING,
              .value = "G",
              .help = "the group whose accounts are looked at"}},
     .handler = verb_route_explain,
     .help = "tell which account a request would get now, and why no other",
     .example = "sluice route explain --model claude-sonnet-4-6\n"
                "sluice route explain --model claude-opus-4-6 --key alice"},
    {.name = "status",
     .method = HTTP_GET,
     .path = "/api/status",
     .handler = verb_status,
     .help = "show what the gateway is doing",
     .example = "sluice status\nsluice status --json"},
    {.name = "requests",
     .method = HTTP_GET,
     .path = "/api/requests",
     .arg = {{.name = "follow",
              .type = ARG_BOOL,
              .letter = 'f',
              .help = "go on and show each request as it ends"},
             {.name = "limit",
              .type = ARG_INT,
              .value = "N",
              .help = "how many at most, 1 to 1000 (default 100; with -f 10)"},
             {.name = "account",
              .type = ARG_STRING,
              .value = "NAME",
              .help = "only those this account was tried for"},
             {.name = "key", .type = ARG_STRING, .value = "NAME", .help = "only those of this key"},
             {.name = "after",
              .type = ARG_INT,
              .value = "ROW",
              .help = "only those newer than this row, the oldest of them first"},
             {.name = "before",
              .type = ARG_INT,
              .value = "ROW",
              .help = "only those older than this row"}},
     .handler = verb_requests,
     .help = "show the newest requests, the newest last",
     .example = "sluice requests\n"
                "sluice requests -f --account work\n"
                "sluice requests --json --limit 1000"},
    {.name = "requests show",
     .method = HTTP_GET,
     .path = "/api/requests/{id}",
     .arg = {{.name = "id",
              .type = ARG_STRING,
              .positional = true,
              .required = true,
              .value = "ID",
              .help = "what the answer's header x-sluice-request-id says"}},
     .handler = verb_request_show,
     .help = "tell all of one request: who, where it went and why, how it ended",
     .example = "sluice requests show 019382f4-5d7c-7a10-9e2b-3c4d5e6f7a8b"},
    {.name = "config check",
     .help = "check the configuration; print each value and where it came from",
     .example = "sluice config check --config sluice.yaml\nsluice config check --json"},
    {.name = "reload",
     .method = HTTP_POST,
     .path = "/api/reload",
     .handler = verb_reload,
     .help = "have the running gateway read its configuration again",
     .example = "sluice reload"},
    {.name = "upgrade",
     .method = HTTP_POST,
     .path = "/api/upgrade",
     .arg = {{.name = "socket",
              .type = ARG_STRING,
              .value = "NAME",
              .help = "for a process that `upgrade` has started: where it waits"},
             {.name = "service",
              .type = ARG_STRING,
              .value = "ID",
              .help = "the same: to which run of a service it belongs"}},
     .handler = verb_upgrade,
     .help = "start this program in the place of the gateway that runs; its streams end there",
     .example = "sluice upgrade\nsluice upgrade --config new.yaml"},
    {.name = "backup",
     .method = HTTP_POST,
     .path = "/api/backup",
     .arg = {{.name = "file",
              .type = ARG_STRING,
              .positional = true,
              .required = true,
              .value = "FILE",
              .help = "where to; the gateway writes it, whole or not at all"},
             {.name = "replace",
              .type = ARG_BOOL,
              .help = "put it in the place of the file that is there"}},
     .handler = verb_backup,
     .help = "copy the database while it is in use; the master key is not in the copy",
     .example = "sluice backup /var/backups/sluice.db"},
    {.name = "restore",
     .arg = {{.name = "file",
              .type = ARG_STRING,
              .positional = true,
              .required = true,
              .value = "FILE",
              .help = "what `sluice backup` has written"},
             {.name = "replace",
              .type = ARG_BOOL,
              .help = "move the database that is there aside first"}},
     .help = "put a backup into a state folder that nobody uses",
     .example = "sluice restore /var/backups/sluice.db --state-dir /var/lib/sluice"},
    {.name = "vault rotate",
     .method = HTTP_POST,
     .path = "/api/vault/rotate",
     .arg = {{.name = "new_key",
              .type = ARG_SECRET,
              .value = "FILE",
              .help = "the new master key, 64 hex digits; default: one is made, and replaces the "
                      "key file"}},
     .handler = verb_vault_rotate,
     .help = "seal all secrets under a new master key; client keys stay valid",
     .example = "sluice vault rotate\n"
                "openssl rand -hex 32 > new.key && sluice vault rotate --new-key-file new.key"},
    {.name = "version", .help = "print the version", .example = "sluice version"},
    {.name = "help",
     .help = "show help on the program or on one command",
     .example = "sluice help\nsluice help account add"},
};
#define VERBS_N ((int)(sizeof VERBS / sizeof VERBS[0]))

const struct verb *verb_at(int i)
{
    return i >= 0 && i < VERBS_N ? &VERBS[i] : NULL;
}
