/* The table of providers, one row each: wire/compat-providers.md, and the pages of the clouds. How
 * their replies are judged is in limits.c.
 *
 * To add one that speaks a known dialect: a row here, a row in the tests of accounts. Doors that
 * share a base are moved together by an address of the account's own, so what the vendor puts
 * behind its host stands in `under` where there is more than one. */
#include "accounts/provider_rows.h"

/* ---- logins ---------------------------------------------------------------------------------- */

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

/* ---- clouds ---------------------------------------------------------------------------------- */

static const struct cloud_config foundry = {.cloud = CLOUD_AZURE,
                                            .scope = "https://ai.azure.com/.default"};
static const struct cloud_config cognitive = {
    .cloud = CLOUD_AZURE, .scope = "https://cognitiveservices.azure.com/.default"};
static const struct cloud_config bedrock = {.cloud = CLOUD_AWS, .service = "bedrock"};
static const struct cloud_config mantle = {.cloud = CLOUD_AWS, .service = "bedrock-mantle"};
static const struct cloud_config google = {.cloud = CLOUD_GOOGLE};
static const struct cloud_config gitlab = {
    .cloud = CLOUD_GITLAB,
    .token_url = "https://gitlab.com/api/v4/ai/third_party_agents/direct_access"};

/* ---- names of models ------------------------------------------------------------------------- */

static const char *const claudes[] = {"claude-", "anthropic", NULL};
static const char *const claudes_gitlab[] = {"claude-", "duo-chat-", "gpt-", NULL};
static const char *const claudes_aws[] = {"anthropic.", "global.", "us.",     "eu.",  "jp.",
                                          "apac.",      "au.",     "us-gov.", "arn:", NULL};
static const char *const gpts[] = {"gpt-",   "o1",  "o3",    "o4",           "chatgpt-",
                                   "codex-", "ft:", "text-", "computer-use", NULL};
static const char *const glms[] = {"glm-", NULL};
static const char *const minimaxes[] = {"minimax-", "abab", NULL};
static const char *const kimis[] = {"kimi-", "moonshot-", NULL};
static const char *const deepseeks[] = {"deepseek-", NULL};
static const char *const qwens[] = {"qwen", "qwq", "coder-model", NULL};
static const char *const groks[] = {"grok-", NULL};
static const char *const sonars[] = {"sonar", "r1-", NULL};
static const char *const coheres[] = {"command", "c4ai-", "embed-", NULL};
static const char *const mistrals[] = {"mistral-",   "codestral",  "devstral",
                                       "ministral-", "magistral-", "pixtral-",
                                       "open-",      "labs-",      NULL};
static const char *const geminis[] = {"gemini-", "gemma-", "learnlm-", "models/", NULL};
/* Servers of many vendors' models, but of none of Claude's. */
static const char *const opens[] = {"gpt-oss",     "qwen",     "llama",       "zai-glm", "openai/",
                                    "meta-llama/", "deepseek", "moonshotai/", "kimi-",   "glm-",
                                    "mistral",     "gemma",    NULL};

/* ---- what is taken out of a body ------------------------------------------------------------- */

/* What Claude Code and the SDKs send, and servers that only speak like Anthropic's refuse. */
static const char *const drop_new[] = {
    "context_management", "output_config", "diagnostics", "mcp_servers", "container",
    "service_tier",       "inference_geo", "speed",       "fallbacks",   "thread",
    "compaction",         "cache_control", NULL};
/* What Claude Code sends by these clouds' own doors, too, and they refuse. */
static const char *const drop_bedrock[] = {
    "metadata",  "service_tier", "cache_control", "container", "mcp_servers", "inference_geo",
    "fallbacks", "diagnostics",  "speed",         "thread",    NULL};
static const char *const drop_vertex[] = {"container",     "mcp_servers", "service_tier",
                                          "inference_geo", "fallbacks",   "diagnostics",
                                          "thread",        NULL};
static const char *const drop_foundry[] = {"fallbacks", NULL};
static const char *const drop_mistral[] = {"stream_options", "store", "user", "logit_bias", NULL};
static const char *const drop_cohere[] = {"parallel_tool_calls", "store", NULL};
static const char *const drop_cerebras[] = {"frequency_penalty", "presence_penalty", "logit_bias",
                                            NULL};

/* ---- what partners take of Anthropic's API --------------------------------------------------- */

/* wire/bedrock.md section 2, wire/vertex.md "Body and header differences",
 * wire/anthropic-messages.md section 3; "model" and "stream" are seen to by the target. */
#define PARTNER_MEMBERS                                                                          \
    "messages", "max_tokens", "system", "stop_sequences", "temperature", "top_p", "top_k",       \
        "tools", "tool_choice", "thinking", "output_config", "output_format", "model", "stream", \
        "context_management", "anthropic_version"
static const char *const keep_bedrock[] = {PARTNER_MEMBERS, "anthropic_beta", NULL};
static const char *const keep_vertex[] = {PARTNER_MEMBERS, "anthropic_beta", "metadata",
                                          "cache_control", "compaction",     NULL};

/* Betas by the vendors' own lists, as peers forward them; those of 2026 that are not told of
 * everywhere only where they are used. Anthropic's one beta for tool search and examples is two of
 * theirs. */
#define PARTNER_BETAS                                                                           \
    {"interleaved-thinking-2025-05-14", NULL, NULL}, {"context-1m-2025-08-07", NULL, NULL},     \
        {"context-management-2025-06-27", NULL, NULL}, {"computer-use-2025-01-24", NULL, NULL}, \
        {"computer-use-2025-11-24", NULL, NULL}, {"tool-search-tool-2025-10-19", NULL, NULL},   \
        {"compact-2026-01-12", NULL, "compact_20260112"},                                       \
        {"mid-conversation-tool-changes-2026-07-01", NULL, "\"tool_addition\""},                \
        {"mid-conversation-tool-changes-2026-07-01", NULL, "\"tool_removal\""},                 \
    {                                                                                           \
        "advanced-tool-use-2025-11-20", "tool-search-tool-2025-10-19", "\"defer_loading\""      \
    }
static const struct beta_rule betas_bedrock[] = {
    PARTNER_BETAS,
    {"effort-2025-11-24", NULL, NULL},
    {"fine-grained-tool-streaming-2025-05-14", NULL, NULL},
    {"token-efficient-tools-2025-02-19", NULL, NULL},
    {"output-128k-2025-02-19", NULL, NULL},
    {"dev-full-thinking-2025-05-14", NULL, NULL},
    {"computer-use-2024-10-22", NULL, NULL},
    {"tool-examples-2025-10-29", NULL, NULL},
    {"advanced-tool-use-2025-11-20", "tool-examples-2025-10-29", "\"input_examples\""},
    {NULL, NULL, NULL}};
static const struct beta_rule betas_vertex[] = {PARTNER_BETAS,
                                                {"effort-2025-11-24", NULL, "\"effort\""},
                                                {"web-search-2025-03-05", NULL, "\"web_search_"},
                                                {"compact-2026-09-04", NULL, "\"compaction\""},
                                                {NULL, NULL, NULL}};
static const char *const managing[] = {"context-management-2025-06-27", "compact-2026-01-12", NULL};
static const char *const compacting[] = {"compact-2026-09-04", NULL};
static const struct beta_bound bound_partner[] = {
    {"context_management", managing}, {"compaction", compacting}, {NULL, NULL}};

/* ---- doors ----------------------------------------------------------------------------------- */

/* What Anthropic itself offers. */
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
/* What speaks like it: the call itself, and of the rest nothing that could be relied on. */
#define LIKE_ANTHROPIC(base, below, scheme)                                             \
    {                                                                                   \
        .dialect = DIALECT_ANTHROPIC, .base_url = (base), .under = (below),             \
        .path = {[API_CHAT] = "/v1/messages"}, .stream = FRAMING_SSE, .auth = (scheme), \
        .target = {.no_cache_control = true}, .drop = drop_new                          \
    }
/* Such a one that only general knowledge tells of: wire/compat-providers.md, "K". */
#define BY_CHOICE(base, below)                                                             \
    {                                                                                      \
        .dialect = DIALECT_ANTHROPIC, .base_url = (base), .under = (below),                \
        .path = {[API_CHAT] = "/v1/messages"}, .stream = FRAMING_SSE, .auth = AUTH_BEARER, \
        .target = {.no_cache_control = true}, .drop = drop_new, .by_choice = true          \
    }
#define OPENAI_PATHS                                                \
    {                                                               \
        [API_CHAT] = "/chat/completions", [API_MODELS] = "/models", \
        [API_EMBEDDINGS] = "/embeddings", [API_OTHER] = "/v1"       \
    }
#define OPENAI_DOOR(base, below, ...)                                                          \
    {                                                                                          \
        .dialect = DIALECT_OPENAI, .base_url = (base), .under = (below), .path = OPENAI_PATHS, \
        .stream = FRAMING_SSE, .auth = AUTH_BEARER, .keep_query = true, __VA_ARGS__            \
    }
#define RESPONSES_DOOR(base, below, scheme)                                 \
    {                                                                       \
        .dialect = DIALECT_RESPONSES, .base_url = (base), .under = (below), \
        .path = {[API_CHAT] = "/responses",                                 \
                 [API_COMPACT] = "/responses/compact",                      \
                 [API_MODELS] = "/models",                                  \
                 [API_OTHER] = "/v1"},                                      \
        .stream = FRAMING_SSE, .auth = (scheme), .keep_query = true         \
    }
#define PLAIN   .target = {.max_tokens = 0}
#define NOTHING .beta = "", .settings = ""

/* ---- the table ------------------------------------------------------------------------------- */

const struct provider provider_rows[] = {
    {.name = "anthropic",
     .door = {ANTHROPIC_DOOR(AUTH_X_API_KEY)},
     .doors = 1,
     NOTHING,
     .models = claudes,
     .help = "the Claude API, with an API key (sk-ant-api03-...)"},
    {.name = "anthropic-compatible",
     .door = {{.dialect = DIALECT_ANTHROPIC,
               .path = ANTHROPIC_PATHS,
               .stream = FRAMING_SSE,
               .auth = AUTH_X_API_KEY,
               .keep_query = true}},
     .doors = 1,
     NOTHING,
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
     NOTHING,
     .oauth = &console,
     .login = LOGIN_CONSOLE,
     .models = claudes,
     .help = "the Claude API, with an API key that `sluice account login` makes, by a client_id of "
             "your own"},

    /* ---- the clouds ---- */

    {.name = "bedrock",
     .door =
         {{.dialect = DIALECT_ANTHROPIC,
           .base_url = "https://bedrock-runtime.{region}.amazonaws.com",
           .path =
               {[API_CHAT] = "/model/{model}/invoke", [API_COUNT] = "/model/{model}/count-tokens"},
           .stream_path = "/model/{model}/invoke-with-response-stream",
           .stream = FRAMING_AWS,
           .auth = AUTH_SIGV4,
           .target = {.no_cache_control = true,
                      .no_images_by_url = true,
                      .body_has_no_model = true,
                      .body_has_no_stream = true,
                      .version = {"bedrock-2023-05-31", 18}},
           .beta_in_body = true,
           .drop = drop_bedrock,
           .keep = keep_bedrock,
           .betas = betas_bedrock,
           .bound = bound_partner}},
     .doors = 1,
     .beta = "",
     .cloud = &bedrock,
     .limits = LIMITS_AWS,
     .names = NAMES_AWS,
     .models = claudes_aws,
     .settings = "region inference_profile credential profile",
     .help = "Claude on AWS Bedrock (InvokeModel): a Bedrock API key, KEY_ID:SECRET[:TOKEN], or "
             "the machine's own role"},
    {.name = "bedrock-mantle",
     .door = {{.dialect = DIALECT_ANTHROPIC,
               .base_url = "https://bedrock-mantle.{region}.api.aws",
               .under = "/anthropic",
               .path = {[API_CHAT] = "/v1/messages", [API_COUNT] = "/v1/messages/count_tokens"},
               .stream = FRAMING_SSE,
               .auth = AUTH_SIGV4,
               .drop = drop_foundry}},
     .doors = 1,
     .beta = "",
     .cloud = &mantle,
     .limits = LIMITS_AWS,
     .names = NAMES_MANTLE,
     .models = claudes_aws,
     .settings = "region credential profile",
     .help = "Claude on AWS Bedrock by the Messages API (Claude Opus 4.7 and later)"},
    {.name = "vertex-ai",
     .door =
         {{.dialect = DIALECT_ANTHROPIC,
           .base_url = "https://{host}",
           .under = "/v1/projects/{project}/locations/{region}/publishers/anthropic/models",
           .path = {[API_CHAT] = "/{model}:rawPredict", [API_COUNT] = "/count-tokens:rawPredict"},
           .stream_path = "/{model}:streamRawPredict",
           .stream = FRAMING_SSE,
           .auth = AUTH_BEARER,
           .target = {.no_cache_control = true,
                      .no_images_by_url = true,
                      .body_has_no_model = true,
                      .version = {"vertex-2023-10-16", 17}},
           .drop = drop_vertex,
           .keep = keep_vertex,
           .betas = betas_vertex,
           .bound = bound_partner}},
     .doors = 1,
     .beta = "",
     .cloud = &google,
     .limits = LIMITS_GOOGLE,
     .names = NAMES_GOOGLE,
     .models = claudes,
     .settings = "project region credential quota_project",
     .help = "Claude on Google Vertex AI: a service account's JSON key, or the machine's own; "
             "region may be global, us or eu"},
    {.name = "vertex-gemini",
     .door =
         {{.dialect = DIALECT_GEMINI,
           .base_url = "https://{host}",
           .under = "/v1beta1/projects/{project}/locations/{region}/publishers/google/models",
           .path = {[API_CHAT] = "/{model}:generateContent", [API_COUNT] = "/{model}:countTokens"},
           .stream_path = "/{model}:streamGenerateContent?alt=sse",
           .stream = FRAMING_SSE,
           .auth = AUTH_BEARER,
           .target = {.body_has_no_model = true, .body_has_no_stream = true}}},
     .doors = 1,
     .beta = "",
     .cloud = &google,
     .limits = LIMITS_GOOGLE,
     .models = geminis,
     .opus = "gemini-2.5-pro",
     .sonnet = "gemini-2.5-pro",
     .haiku = "gemini-2.5-flash",
     .settings = "project region credential quota_project",
     .help = "Gemini on Google Vertex AI: a service account's JSON key, or the machine's own"},
    {.name = "azure-foundry",
     .door = {{.dialect = DIALECT_ANTHROPIC,
               .base_url = "https://{resource}.services.ai.azure.com",
               .under = "/anthropic",
               .path = {[API_CHAT] = "/v1/messages",
                        [API_COUNT] = "/v1/messages/count_tokens",
                        [API_OTHER] = ""},
               .stream = FRAMING_SSE,
               .auth = AUTH_X_API_KEY,
               .drop = drop_foundry}},
     .doors = 1,
     .beta = "",
     .cloud = &foundry,
     .models = claudes,
     .settings = "resource deployment tenant_id client_id credential",
     .help = "Claude in Microsoft Foundry: a key, or an application of Entra (--tenant-id, "
             "--client-id); a deployment is called like its model unless --deployment names it"},
    {.name = "azure-openai",
     .door =
         {{.dialect = DIALECT_OPENAI,
           .base_url = "https://{resource}.openai.azure.com",
           .under = "/openai/deployments",
           .path =
               {[API_CHAT] = "/{model}/chat/completions", [API_EMBEDDINGS] = "/{model}/embeddings"},
           .stream = FRAMING_SSE,
           .auth = AUTH_API_KEY,
           .target = {.max_completion_tokens = true},
           .query = "api-version={api_version=2024-10-21}"},
          RESPONSES_DOOR("https://{resource}.openai.azure.com", "/openai/v1", AUTH_API_KEY)},
     .doors = 2,
     .beta = "",
     .cloud = &cognitive,
     .limits = LIMITS_OPENAI,
     .settings = "resource deployment api_version tenant_id client_id credential",
     .help = "Azure OpenAI, a deployment's own address with an api-version; the deployment is the "
             "model's name unless --deployment names it"},
    {.name = "azure-openai-v1",
     .door = {{.dialect = DIALECT_OPENAI,
               .base_url = "https://{resource}.openai.azure.com",
               .under = "/openai/v1",
               .path = OPENAI_PATHS,
               .stream = FRAMING_SSE,
               .auth = AUTH_API_KEY,
               .target = {.max_completion_tokens = true},
               .keep_query = true},
              RESPONSES_DOOR("https://{resource}.openai.azure.com", "/openai/v1", AUTH_API_KEY)},
     .doors = 2,
     .beta = "",
     .cloud = &cognitive,
     .limits = LIMITS_OPENAI,
     .settings = "resource deployment tenant_id client_id credential",
     .help = "Azure OpenAI by its v1 API, without an api-version"},
    {.name = "gemini",
     .door = {{.dialect = DIALECT_GEMINI,
               .base_url = "https://generativelanguage.googleapis.com",
               .under = "/v1beta",
               .path = {[API_CHAT] = "/models/{model}:generateContent",
                        [API_COUNT] = "/models/{model}:countTokens",
                        [API_MODELS] = "/models?pageSize=1000",
                        [API_OTHER] = "/v1beta"},
               .stream_path = "/models/{model}:streamGenerateContent?alt=sse",
               .stream = FRAMING_SSE,
               .auth = AUTH_GOOG_API_KEY,
               .target = {.body_has_no_model = true, .body_has_no_stream = true}},
              OPENAI_DOOR("https://generativelanguage.googleapis.com", "/v1beta/openai", PLAIN)},
     .doors = 2,
     NOTHING,
     .limits = LIMITS_GOOGLE,
     .models = geminis,
     .opus = "gemini-2.5-pro",
     .sonnet = "gemini-2.5-pro",
     .haiku = "gemini-2.5-flash",
     .help = "the Gemini API, with an API key (AIza...)"},

    /* ---- plans and vendors that speak like Anthropic, and like OpenAI besides ---- */

    {.name = "zai",
     .door = {LIKE_ANTHROPIC("https://api.z.ai/api", "/anthropic", AUTH_X_API_KEY),
              OPENAI_DOOR("https://api.z.ai/api", "/coding/paas/v4", PLAIN)},
     .doors = 2,
     NOTHING,
     .limits = LIMITS_ZAI,
     .usage = USAGE_ZAI,
     .usage_url = "https://api.z.ai/api/monitor/usage/quota/limit",
     .models = glms,
     .opus = "glm-5.3",
     .sonnet = "glm-5.3",
     .haiku = "glm-4.5-air",
     .help = "Z.AI's GLM Coding Plan; in mainland China with --base-url "
             "https://open.bigmodel.cn/api"},
    {.name = "zai-api",
     .door = {LIKE_ANTHROPIC("https://api.z.ai/api", "/anthropic", AUTH_X_API_KEY),
              OPENAI_DOOR("https://api.z.ai/api", "/paas/v4", PLAIN)},
     .doors = 2,
     NOTHING,
     .limits = LIMITS_ZAI,
     .models = glms,
     .opus = "glm-5.3",
     .sonnet = "glm-5.3",
     .haiku = "glm-4.5-air",
     .help = "Z.AI, paid by use"},
    {.name = "minimax",
     .door = {LIKE_ANTHROPIC("https://api.minimax.io", "/anthropic", AUTH_X_API_KEY),
              OPENAI_DOOR("https://api.minimax.io", "/v1", PLAIN)},
     .doors = 2,
     NOTHING,
     .limits = LIMITS_MINIMAX,
     .usage = USAGE_MINIMAX,
     .usage_url = "https://www.minimax.io/v1/token_plan/remains",
     .models = minimaxes,
     .opus = "MiniMax-M2.7",
     .sonnet = "MiniMax-M2.7",
     .haiku = "MiniMax-M2.7",
     .help = "MiniMax, by use or by plan; in mainland China with --base-url "
             "https://api.minimaxi.com"},
    {.name = "nanogpt",
     .door = {LIKE_ANTHROPIC("https://nano-gpt.com/api", NULL, AUTH_X_API_KEY),
              OPENAI_DOOR("https://nano-gpt.com/api", "/v1", PLAIN)},
     .doors = 2,
     NOTHING,
     .limits = LIMITS_OPENAI,
     .usage = USAGE_NANOGPT,
     .usage_url = "/subscription/v1/usage",
     .help = "NanoGPT, by use or by subscription"},
    {.name = "kimi",
     .door = {LIKE_ANTHROPIC("https://api.moonshot.ai", "/anthropic", AUTH_BEARER),
              OPENAI_DOOR("https://api.moonshot.ai", "/v1", .target = {.reasoning_content = true})},
     .doors = 2,
     NOTHING,
     .limits = LIMITS_OPENAI,
     .models = kimis,
     .opus = "kimi-k3",
     .sonnet = "kimi-k3",
     .haiku = "kimi-k3",
     .help = "Moonshot's Kimi, paid by use; in mainland China with --base-url "
             "https://api.moonshot.cn"},
    {.name = "kimi-coding",
     .door = {{.dialect = DIALECT_ANTHROPIC,
               .base_url = "https://api.kimi.com/coding",
               .path = {[API_CHAT] = "/v1/messages", [API_COUNT] = "/v1/messages/count_tokens"},
               .stream = FRAMING_SSE,
               .auth = AUTH_BEARER,
               .target = {.no_cache_control = true},
               .drop = drop_new},
              OPENAI_DOOR("https://api.kimi.com/coding", "/v1",
                          .target = {.reasoning_content = true})},
     .doors = 2,
     NOTHING,
     .limits = LIMITS_OPENAI,
     .usage = USAGE_KIMI,
     .usage_url = "/v1/usages",
     .models = kimis,
     .opus = "kimi-for-coding",
     .sonnet = "kimi-for-coding",
     .haiku = "kimi-for-coding",
     .help = "Kimi's coding plan"},
    {.name = "deepseek",
     .door = {LIKE_ANTHROPIC("https://api.deepseek.com", "/anthropic", AUTH_X_API_KEY),
              OPENAI_DOOR("https://api.deepseek.com", NULL,
                          .target = {.reasoning_content = true, .no_effort = true})},
     .doors = 2,
     NOTHING,
     .limits = LIMITS_OPENAI,
     .models = deepseeks,
     .opus = "deepseek-v4",
     .sonnet = "deepseek-v4",
     .haiku = "deepseek-v4-flash",
     .help = "DeepSeek, paid by use"},
    {.name = "qwen",
     .door = {LIKE_ANTHROPIC("https://dashscope-intl.aliyuncs.com", "/apps/anthropic",
                             AUTH_X_API_KEY),
              OPENAI_DOOR("https://dashscope-intl.aliyuncs.com", "/compatible-mode/v1",
                          .target = {.no_effort = true})},
     .doors = 2,
     NOTHING,
     .limits = LIMITS_OPENAI,
     .models = qwens,
     .opus = "qwen3-max",
     .sonnet = "qwen3-coder-plus",
     .haiku = "qwen3-coder-plus",
     .help = "Alibaba's Qwen (Model Studio); in mainland China with --base-url "
             "https://dashscope.aliyuncs.com"},
    {.name = "alibaba-coding-plan",
     .door = {LIKE_ANTHROPIC("https://coding-intl.dashscope.aliyuncs.com", "/apps/anthropic",
                             AUTH_X_API_KEY),
              OPENAI_DOOR("https://coding-intl.dashscope.aliyuncs.com", "/v1",
                          .target = {.no_effort = true})},
     .doors = 2,
     NOTHING,
     .limits = LIMITS_OPENAI,
     .models = opens,
     .opus = "qwen3-coder-plus",
     .sonnet = "qwen3-coder-plus",
     .haiku = "qwen3-coder-plus",
     .help = "Alibaba Cloud's coding plan"},

    /* ---- routers ---- */

    {.name = "openrouter",
     .door = {LIKE_ANTHROPIC("https://openrouter.ai/api", NULL, AUTH_BEARER),
              OPENAI_DOOR("https://openrouter.ai/api", "/v1", PLAIN),
              RESPONSES_DOOR("https://openrouter.ai/api", "/v1", AUTH_BEARER)},
     .doors = 3,
     NOTHING,
     .limits = LIMITS_OPENAI,
     .names = NAMES_ROUTER,
     .help = "OpenRouter: models of all vendors, as VENDOR/MODEL"},
    {.name = "vercel",
     .door = {LIKE_ANTHROPIC("https://ai-gateway.vercel.sh", NULL, AUTH_X_API_KEY),
              OPENAI_DOOR("https://ai-gateway.vercel.sh", "/v1", PLAIN)},
     .doors = 2,
     NOTHING,
     .limits = LIMITS_OPENAI,
     .names = NAMES_ROUTER,
     .help = "Vercel's AI Gateway: models of all vendors, as VENDOR/MODEL"},
    /* Not told by wire/: whether its proxies count tokens or list models (so they are not asked),
     * and which betas they take. */
    {.name = "gitlab",
     .door = {LIKE_ANTHROPIC("https://cloud.gitlab.com/ai/v1/proxy", "/anthropic", AUTH_BEARER),
              {.dialect = DIALECT_OPENAI,
               .base_url = "https://cloud.gitlab.com/ai/v1/proxy",
               .under = "/openai/v1",
               .path = {[API_CHAT] = "/chat/completions"},
               .stream = FRAMING_SSE,
               .auth = AUTH_BEARER,
               .target = {.max_completion_tokens = true}}},
     .doors = 2,
     .beta = "",
     .cloud = &gitlab,
     .limits = LIMITS_OPENAI,
     .models = claudes_gitlab,
     .settings = "token_url",
     .help = "GitLab Duo: a personal access token (glpat-...), which buys a short-lived one; a "
             "self-managed instance by --token-url https://gitlab.example.com. Claude's models "
             "for clients of Messages, OpenAI's for the others, unless --dialect says one"},
    {.name = "kilo",
     .door = {OPENAI_DOOR("https://api.kilo.ai/api/gateway", NULL, PLAIN)},
     .doors = 1,
     NOTHING,
     .limits = LIMITS_OPENAI,
     .names = NAMES_ROUTER,
     .help = "Kilo's gateway: models of all vendors, as VENDOR/MODEL"},

    /* ---- vendors that speak like OpenAI ---- */

    {.name = "openai",
     .door = {OPENAI_DOOR("https://api.openai.com", "/v1",
                          .target = {.max_completion_tokens = true, .all_efforts = true}),
              RESPONSES_DOOR("https://api.openai.com", "/v1", AUTH_BEARER)},
     .doors = 2,
     NOTHING,
     .limits = LIMITS_OPENAI,
     .models = gpts,
     .opus = "gpt-6.1-sol",
     .sonnet = "gpt-6-sol",
     .haiku = "gpt-6-luna",
     .help = "OpenAI, Chat Completions and Responses, with an API key (sk-...)"},
    {.name = "openai-compatible",
     .door = {OPENAI_DOOR(NULL, NULL, PLAIN)},
     .doors = 1,
     NOTHING,
     .limits = LIMITS_OPENAI,
     .no_secret = true,
     .help = "any server that speaks Chat Completions at --base-url, which is what stands before "
             "/chat/completions, mostly with /v1 at its end; it may do without a secret"},
    {.name = "xai",
     .door = {OPENAI_DOOR("https://api.x.ai/v1", NULL, .target = {.no_effort = true}),
              BY_CHOICE("https://api.x.ai", NULL)},
     .doors = 2,
     NOTHING,
     .limits = LIMITS_OPENAI,
     .models = groks,
     .opus = "grok-4.6",
     .sonnet = "grok-4.6",
     .haiku = "grok-4.5",
     .help = "xAI's Grok; --dialect anthropic for its Messages API, which is less well known"},
    {.name = "perplexity",
     .door = {{.dialect = DIALECT_OPENAI,
               .base_url = "https://api.perplexity.ai",
               .path = {[API_CHAT] = "/chat/completions"},
               .stream = FRAMING_SSE,
               .auth = AUTH_BEARER,
               .target = {.first_system_only = true, .no_effort = true}}},
     .doors = 1,
     NOTHING,
     .limits = LIMITS_OPENAI,
     .models = sonars,
     .opus = "sonar-pro",
     .sonnet = "sonar-pro",
     .haiku = "sonar",
     .help = "Perplexity's Sonar: answers with searches; knows no tools"},
    {.name = "cerebras",
     .door = {OPENAI_DOOR("https://api.cerebras.ai/v1", NULL, .drop = drop_cerebras)},
     .doors = 1,
     NOTHING,
     .limits = LIMITS_OPENAI,
     .models = opens,
     .opus = "gpt-oss-120b",
     .sonnet = "gpt-oss-120b",
     .haiku = "gpt-oss-120b",
     .help = "Cerebras: open models, fast"},
    {.name = "cohere",
     .door = {OPENAI_DOOR("https://api.cohere.ai/compatibility/v1", NULL,
                          .target = {.empty_content = true, .no_effort = true},
                          .drop = drop_cohere)},
     .doors = 1,
     NOTHING,
     .limits = LIMITS_OPENAI,
     .models = coheres,
     .opus = "command-a-03-2025",
     .sonnet = "command-a-03-2025",
     .haiku = "command-a-03-2025",
     .help = "Cohere's Command"},
    {.name = "deepinfra",
     .door = {OPENAI_DOOR("https://api.deepinfra.com/v1/openai", NULL, PLAIN),
              BY_CHOICE("https://api.deepinfra.com", "/anthropic")},
     .doors = 2,
     NOTHING,
     .limits = LIMITS_OPENAI,
     .help = "DeepInfra: open models, as VENDOR/MODEL; --dialect anthropic for its Messages API, "
             "which is less well known"},
    {.name = "mistral",
     .door = {OPENAI_DOOR(
         "https://api.mistral.ai/v1", NULL,
         .target = {.short_call_ids = true, .no_stream_options = true, .no_effort = true},
         .drop = drop_mistral)},
     .doors = 1,
     NOTHING,
     .limits = LIMITS_OPENAI,
     .models = mistrals,
     .opus = "mistral-large-latest",
     .sonnet = "mistral-large-latest",
     .haiku = "codestral-latest",
     .help = "Mistral AI"},
    {.name = "groq",
     .door = {OPENAI_DOOR("https://api.groq.com/openai/v1", NULL, .target = {.no_effort = true})},
     .doors = 1,
     NOTHING,
     .limits = LIMITS_OPENAI,
     .models = opens,
     .opus = "openai/gpt-oss-120b",
     .sonnet = "openai/gpt-oss-120b",
     .haiku = "llama-3.3-70b-versatile",
     .help = "Groq: open models, fast"},
    {.name = "together",
     .door = {OPENAI_DOOR("https://api.together.xyz/v1", NULL, PLAIN)},
     .doors = 1,
     NOTHING,
     .limits = LIMITS_OPENAI,
     .help = "Together: open models, as VENDOR/MODEL"},

    /* ---- in one's own network ---- */

    {.name = "ollama",
     .door = {{.dialect = DIALECT_ANTHROPIC,
               .base_url = "http://localhost:11434",
               .path = {[API_CHAT] = "/v1/messages", [API_MODELS] = "/v1/models"},
               .stream = FRAMING_SSE,
               .auth = AUTH_NONE,
               .target = {.no_cache_control = true, .no_images_by_url = true},
               .drop = drop_new},
              {.dialect = DIALECT_OPENAI,
               .base_url = "http://localhost:11434",
               .under = "/v1",
               .path = OPENAI_PATHS,
               .stream = FRAMING_SSE,
               .auth = AUTH_NONE,
               .target = {.no_images_by_url = true}},
              {.dialect = DIALECT_OLLAMA,
               .base_url = "http://localhost:11434",
               .path = {[API_CHAT] = "/api/chat", [API_MODELS] = "/api/tags", [API_OTHER] = ""},
               .stream = FRAMING_LINES,
               .auth = AUTH_NONE,
               .target = {.no_images_by_url = true}}},
     .doors = 3,
     .beta = "",
     .settings = "num_ctx",
     .no_secret = true,
     .limits = LIMITS_OPENAI,
     .help = "Ollama at http://localhost:11434, or at --base-url; needs no secret"},
    {.name = "ollama-cloud",
     .door = {{.dialect = DIALECT_ANTHROPIC,
               .base_url = "https://ollama.com",
               .path = {[API_CHAT] = "/v1/messages", [API_MODELS] = "/v1/models"},
               .stream = FRAMING_SSE,
               .auth = AUTH_BEARER,
               .target = {.no_cache_control = true, .no_images_by_url = true},
               .drop = drop_new},
              OPENAI_DOOR("https://ollama.com", "/v1", .target = {.no_images_by_url = true}),
              {.dialect = DIALECT_OLLAMA,
               .base_url = "https://ollama.com",
               .path = {[API_CHAT] = "/api/chat", [API_MODELS] = "/api/tags", [API_OTHER] = ""},
               .stream = FRAMING_LINES,
               .auth = AUTH_BEARER,
               .target = {.no_images_by_url = true}}},
     .doors = 3,
     .beta = "",
     .settings = "num_ctx",
     .limits = LIMITS_OPENAI,
     .help = "Ollama's cloud, with an API key"},
};

const int provider_rows_n = (int)(sizeof provider_rows / sizeof provider_rows[0]);
