/* links: base netcore http codec accounts */
/* The table of providers: every row opens, leads where its vendor says, and explains itself. */
#include "accounts_fake.h"
#include "net/core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct loop { /* nothing turns here, but the accounts have timers */
    struct loop_core core;
};

static void wake(struct loop_core *c)
{
    (void)c;
}

/* Enough for any provider. */
#define SETTINGS                                                                             \
    "\"region\":\"eu-west-1\",\"project\":\"p-1\",\"resource\":\"res\",\"client_id\":\"c\"," \
    "\"tenant_id\":\"t\""
#define OWN "http://gw.example:8080/x"

static struct account_door door[PROVIDER_DOORS];
static char why[256];

static int open_with(const char *provider, const char *own, const char *settings)
{
    struct account_row row = {.id = 7, .allow_private = true};
    const struct provider *p = provider_find(slice_of(provider));
    assert_non_null(p);
    text_copy(row.base_url, sizeof row.base_url, slice_of(own));
    text_copy(row.settings, sizeof row.settings, slice_of(settings));
    memset(door, 0x5a, sizeof door);
    return account_doors_open(p, &row, door, why, sizeof why);
}

/* The path of a call through a door, as a text. */
static const char *path_of(const struct account_door *d, enum api call, bool stream,
                           const char *model, const char *path, const char *query)
{
    static char text[1024];
    struct account a = {.doors = 1};
    struct buf out;
    buf_init(&out, sizeof text - 1);
    enum err e = account_door_path(&a, d, call, stream, slice_of(model), slice_of(path),
                                   slice_of(query), &out);
    text_copy(text, sizeof text, e == OK ? buf_slice(&out) : slice_of(err_name(e)));
    buf_free(&out);
    return text;
}

static void check_door(const struct provider *p, const struct account_door *d)
{
    const struct provider_door *of = d->of;
    assert_true(of >= p->door && of < p->door + p->doors);
    assert_non_null(of->path[API_CHAT]);
    assert_true(d->target.host.n > 0 && d->target.port > 0);
    assert_int_equal(d->target.pool, 7);
    assert_true(d->target.allow_private);
    assert_null(strchr(d->base_url, '{'));
    assert_true(of->target.body_has_no_model == (strstr(of->path[API_CHAT], "{model}") != NULL) ||
                of->query != NULL);
    for (int call = 0; call < API_KINDS; call++) {
        for (int stream = 0; stream < 2; stream++) {
            const char *s = path_of(d, (enum api)call, stream != 0, "m-1", "/v1beta/x/y", "");
            if (of->path[call] == NULL || (call == API_OTHER && strcmp(of->path[call], "/v1") == 0))
                assert_string_equal(s, err_name(ERR_NOTFOUND));
            else
                assert_true(s[0] == '/' && strchr(s, '{') == NULL && strstr(s, "//") == NULL);
        }
    }
    if (of->stream_path != NULL)
        assert_string_not_equal(of->stream_path, of->path[API_CHAT]);
}

static void test_rows(void **state)
{
    const struct provider *p;
    int n = 0;
    (void)state;
    for (; (p = provider_at(n)) != NULL; n++) {
        assert_ptr_equal(provider_find(slice_of(p->name)), p);
        assert_true(strlen(p->name) < 32 && strlen(p->help) > 4 && p->beta != NULL);
        assert_true(p->settings != NULL && p->doors > 0 && p->doors <= PROVIDER_DOORS);
        assert_true(p->oauth == NULL || p->oauth->client_id[0] == '\0'); /* none is shipped */
        assert_true(p->cloud == NULL || p->cloud->client_id[0] == '\0');
        assert_true((p->usage == USAGE_NONE) == (p->usage_url == NULL));
        assert_true((p->opus == NULL) == (p->sonnet == NULL) &&
                    (p->opus == NULL) == (p->haiku == NULL));
        const char *own = p->door[0].base_url == NULL ? OWN : "";
        int doors = p->doors;
        for (int i = 0; i < p->doors; i++)
            doors -= p->door[i].by_choice;
        if (open_with(p->name, own, "{" SETTINGS "}") != doors)
            fail_msg("%s: %s", p->name, why);
        for (int i = 0; i < p->doors; i++) {
            if (i < doors)
                check_door(p, &door[i]);
            for (int k = 0; k < i; k++)
                assert_int_not_equal(p->door[i].dialect, p->door[k].dialect);
        }
    }
    assert_int_equal(n, provider_at(n) == NULL ? n : -1);
    assert_true(n >= 35);
    assert_null(provider_at(-1));
    assert_null(provider_find(S("")));
    assert_null(provider_find(S("Anthropic")));
}

/* wire/compat-providers.md, azure.md, bedrock.md, vertex.md, gemini.md, ollama.md: whole addresses
 * of a call. */
static const struct {
    const char *provider, *settings;
    enum dialect dialect;
    enum api call;
    bool stream;
    const char *model, *url;
} addresses[] = {
    {"anthropic", "", DIALECT_ANTHROPIC, API_CHAT, true, "m",
     "https://api.anthropic.com/v1/messages"},
    {"anthropic", "", DIALECT_ANTHROPIC, API_COUNT, false, "m",
     "https://api.anthropic.com/v1/messages/count_tokens"},
    {"bedrock", "{\"region\":\"us-east-1\"}", DIALECT_ANTHROPIC, API_CHAT, false,
     "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
     "https://bedrock-runtime.us-east-1.amazonaws.com/model/"
     "us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke"},
    {"bedrock", "{\"region\":\"us-east-1\"}", DIALECT_ANTHROPIC, API_CHAT, true,
     "arn:aws:bedrock:us-east-1:1:inference-profile/x",
     "https://bedrock-runtime.us-east-1.amazonaws.com/model/"
     "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/invoke-with-response-stream"},
    {"bedrock-mantle", "{\"region\":\"us-east-1\"}", DIALECT_ANTHROPIC, API_COUNT, false, "m",
     "https://bedrock-mantle.us-east-1.api.aws/anthropic/v1/messages/count_tokens"},
    {"gitlab", "", DIALECT_ANTHROPIC, API_CHAT, true, "claude-sonnet-4-5-20250929",
     "https://cloud.gitlab.com/ai/v1/proxy/anthropic/v1/messages"},
    {"gitlab", "", DIALECT_OPENAI, API_CHAT, true, "m",
     "https://cloud.gitlab.com/ai/v1/proxy/openai/v1/chat/completions"},
    {"xai", "{\"dialect\":\"anthropic\"}", DIALECT_ANTHROPIC, API_CHAT, true, "m",
     "https://api.x.ai/v1/messages"},
    {"deepinfra", "{\"dialect\":\"anthropic\"}", DIALECT_ANTHROPIC, API_CHAT, true, "m",
     "https://api.deepinfra.com/anthropic/v1/messages"},
    {"ollama", "{\"num_ctx\":65536}", DIALECT_OLLAMA, API_CHAT, true, "m",
     "http://localhost:11434/api/chat"},
    {"bedrock", "{\"region\":\"us-east-1\"}", DIALECT_ANTHROPIC, API_COUNT, false,
     "anthropic.m-v1:0",
     "https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.m-v1%3A0/count-tokens"},
    {"vertex-ai", "{\"region\":\"global\",\"project\":\"p\"}", DIALECT_ANTHROPIC, API_CHAT, false,
     "claude-opus-5",
     "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/anthropic/"
     "models/claude-opus-5:rawPredict"},
    {"vertex-ai", "{\"region\":\"eu\",\"project\":\"example.com:p\"}", DIALECT_ANTHROPIC, API_CHAT,
     true, "claude-sonnet-4-5@20250929",
     "https://aiplatform.eu.rep.googleapis.com/v1/projects/example.com:p/locations/eu/"
     "publishers/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict"},
    {"vertex-ai", "{\"region\":\"us-east5\",\"project\":\"p\"}", DIALECT_ANTHROPIC, API_COUNT,
     false, "m",
     "https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5/publishers/"
     "anthropic/models/count-tokens:rawPredict"},
    {"vertex-gemini", "{\"region\":\"global\",\"project\":\"p\"}", DIALECT_GEMINI, API_CHAT, true,
     "gemini-2.5-pro",
     "https://aiplatform.googleapis.com/v1beta1/projects/p/locations/global/publishers/google/"
     "models/gemini-2.5-pro:streamGenerateContent?alt=sse"},
    {"azure-foundry", "{\"resource\":\"r\"}", DIALECT_ANTHROPIC, API_CHAT, true, "m",
     "https://r.services.ai.azure.com/anthropic/v1/messages"},
    {"azure-openai", "{\"resource\":\"r\"}", DIALECT_OPENAI, API_CHAT, true, "my dep",
     "https://r.openai.azure.com/openai/deployments/my%20dep/chat/completions"
     "?api-version=2024-10-21"},
    {"azure-openai", "{\"resource\":\"r\",\"api_version\":\"2025-04-01-preview\"}", DIALECT_OPENAI,
     API_EMBEDDINGS, false, "e",
     "https://r.openai.azure.com/openai/deployments/e/embeddings"
     "?api-version=2025-04-01-preview"},
    {"azure-openai", "{\"resource\":\"r\"}", DIALECT_RESPONSES, API_CHAT, true, "m",
     "https://r.openai.azure.com/openai/v1/responses"},
    {"azure-openai-v1", "{\"resource\":\"r\"}", DIALECT_OPENAI, API_CHAT, true, "m",
     "https://r.openai.azure.com/openai/v1/chat/completions"},
    {"gemini", "", DIALECT_GEMINI, API_CHAT, true, "gemini-2.5-pro",
     "https://generativelanguage.googleapis.com/v1beta/models/"
     "gemini-2.5-pro:streamGenerateContent?alt=sse"},
    {"gemini", "", DIALECT_OPENAI, API_CHAT, true, "m",
     "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions"},
    {"zai", "", DIALECT_ANTHROPIC, API_CHAT, true, "m",
     "https://api.z.ai/api/anthropic/v1/messages"},
    {"zai", "", DIALECT_OPENAI, API_CHAT, true, "m",
     "https://api.z.ai/api/coding/paas/v4/chat/completions"},
    {"zai-api", "", DIALECT_OPENAI, API_CHAT, true, "m",
     "https://api.z.ai/api/paas/v4/chat/completions"},
    {"minimax", "", DIALECT_ANTHROPIC, API_CHAT, true, "m",
     "https://api.minimax.io/anthropic/v1/messages"},
    {"nanogpt", "", DIALECT_OPENAI, API_CHAT, true, "m",
     "https://nano-gpt.com/api/v1/chat/completions"},
    {"nanogpt", "", DIALECT_ANTHROPIC, API_CHAT, true, "m", "https://nano-gpt.com/api/v1/messages"},
    {"kimi", "", DIALECT_ANTHROPIC, API_CHAT, true, "m",
     "https://api.moonshot.ai/anthropic/v1/messages"},
    {"kimi-coding", "", DIALECT_ANTHROPIC, API_COUNT, true, "m",
     "https://api.kimi.com/coding/v1/messages/count_tokens"},
    {"kimi-coding", "", DIALECT_OPENAI, API_CHAT, true, "m",
     "https://api.kimi.com/coding/v1/chat/completions"},
    {"deepseek", "", DIALECT_OPENAI, API_CHAT, true, "m",
     "https://api.deepseek.com/chat/completions"},
    {"deepseek", "", DIALECT_ANTHROPIC, API_CHAT, true, "m",
     "https://api.deepseek.com/anthropic/v1/messages"},
    {"qwen", "", DIALECT_OPENAI, API_CHAT, true, "m",
     "https://dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions"},
    {"alibaba-coding-plan", "", DIALECT_ANTHROPIC, API_CHAT, true, "m",
     "https://coding-intl.dashscope.aliyuncs.com/apps/anthropic/v1/messages"},
    {"openrouter", "", DIALECT_RESPONSES, API_CHAT, true, "m",
     "https://openrouter.ai/api/v1/responses"},
    {"openrouter", "", DIALECT_ANTHROPIC, API_CHAT, true, "m",
     "https://openrouter.ai/api/v1/messages"},
    {"openai", "", DIALECT_OPENAI, API_CHAT, true, "m",
     "https://api.openai.com/v1/chat/completions"},
    {"openai", "", DIALECT_RESPONSES, API_COMPACT, false, "m",
     "https://api.openai.com/v1/responses/compact"},
    {"perplexity", "", DIALECT_OPENAI, API_CHAT, true, "m",
     "https://api.perplexity.ai/chat/completions"},
    {"cohere", "", DIALECT_OPENAI, API_CHAT, true, "m",
     "https://api.cohere.ai/compatibility/v1/chat/completions"},
    {"groq", "", DIALECT_OPENAI, API_MODELS, true, "m", "https://api.groq.com/openai/v1/models"},
    {"ollama", "", DIALECT_OLLAMA, API_CHAT, true, "m", "http://localhost:11434/api/chat"},
    {"ollama", "", DIALECT_OPENAI, API_EMBEDDINGS, true, "m",
     "http://localhost:11434/v1/embeddings"},
    {"ollama-cloud", "", DIALECT_ANTHROPIC, API_CHAT, true, "m", "https://ollama.com/v1/messages"},
};

static void test_addresses(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(addresses); i++) {
        char url[2048];
        int n = open_with(addresses[i].provider, "", addresses[i].settings), k = 0;
        if (n == 0)
            fail_msg("%s: %s", addresses[i].provider, why);
        while (k < n && door[k].of->dialect != addresses[i].dialect)
            k++;
        assert_true(k < n);
        size_t base = strlen(door[k].base_url) - door[k].prefix.n;
        text_format(
            url, sizeof url, "%.*s%s", (int)base, door[k].base_url,
            path_of(&door[k], addresses[i].call, addresses[i].stream, addresses[i].model, "", ""));
        assert_string_equal(url, addresses[i].url);
    }
}

/* An address of one's own, as people copy it. */
static void test_own(void **state)
{
    static const struct {
        const char *provider, *own, *settings;
        int doors;
        const char *first, *last; /* base URLs */
    } rows[] = {
        {"anthropic", "https://h/x/v1/messages", "", 1, "https://h/x", NULL},
        {"anthropic", "https://h/x/v1/", "", 1, "https://h/x", NULL},
        {"anthropic-compatible", "https://h/", "", 1, "https://h", NULL},
        {"openai-compatible", "http://h:8000/v1", "", 1, "http://h:8000/v1", NULL},
        {"openai-compatible", "http://h:8000/v1/chat/completions", "", 1, "http://h:8000/v1", NULL},
        {"openai-compatible", "http://h:8000/", "", 1, "http://h:8000", NULL},
        {"openai", "https://h/v1/", "", 2, "https://h/v1", "https://h/v1"},
        {"openai", "https://h/p", "{\"dialect\":\"responses\"}", 1, "https://h/p/v1", NULL},
        {"ollama", "http://box:11434", "", 3, "http://box:11434", "http://box:11434"},
        {"ollama", "http://box:11434/v1", "", 3, "http://box:11434", "http://box:11434"},
        {"ollama", "http://box:11434/api/chat", "", 3, "http://box:11434", "http://box:11434"},
        {"ollama", "http://box", "{\"dialect\":\"openai\"}", 1, "http://box/v1", NULL},
        {"ollama", "", "{\"dialect\":\"ollama\"}", 1, "http://localhost:11434", NULL},
        {"zai", "https://open.bigmodel.cn/api", "", 2, "https://open.bigmodel.cn/api/anthropic",
         "https://open.bigmodel.cn/api/coding/paas/v4"},
        {"zai", "https://open.bigmodel.cn/api/anthropic", "", 2,
         "https://open.bigmodel.cn/api/anthropic", "https://open.bigmodel.cn/api/coding/paas/v4"},
        {"deepseek", "https://h/anthropic/v1/messages", "", 2, "https://h/anthropic", "https://h"},
        {"azure-openai", "https://apim.example/x", "", 2,
         "https://apim.example/x/openai/deployments", "https://apim.example/x/openai/v1"},
        {"vertex-ai", "https://psc.example", "{" SETTINGS "}", 1,
         "https://psc.example/v1/projects/p-1/locations/eu-west-1/publishers/anthropic/models",
         NULL},
        {"bedrock", "https://vpce.example", "", 1, "https://vpce.example", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int n = open_with(rows[i].provider, rows[i].own, rows[i].settings);
        if (n != rows[i].doors)
            fail_msg("row %zu: %d %s", i, n, why);
        assert_string_equal(door[0].base_url, rows[i].first);
        if (rows[i].last != NULL)
            assert_string_equal(door[n - 1].base_url, rows[i].last);
    }
}

static void test_wrong(void **state)
{
    static const struct {
        const char *provider, *own, *settings, *says;
    } rows[] = {
        {"anthropic-compatible", "", "", "--base-url"},
        {"openai-compatible", "", "{}", "--base-url"},
        {"bedrock", "", "", "\"region\""},
        {"bedrock", "", "{\"region\":\"\"}", "\"region\""},
        {"bedrock", "", "{\"region\":\"a.b\"}", "cannot stand"},
        {"bedrock", "", "{\"region\":\"evil.example/\"}", "cannot stand"},
        {"bedrock", "", "{\"region\":\"x@evil\"}", "cannot stand"},
        {"vertex-ai", "", "{\"region\":\"eu\"}", "\"project\""},
        {"vertex-ai", "", "{\"project\":\"p\"}", "\"region\""},
        {"vertex-ai", "", "{\"region\":\"eu\",\"project\":\"../x\"}", "cannot stand"},
        {"vertex-ai", "", "{\"region\":\"eu\",\"project\":\"..\"}", "base URL"},
        {"vertex-ai", "", "{\"region\":\"eu.evil.example\",\"project\":\"p\"}", "cannot stand"},
        {"azure-openai", "", "", "\"resource\""},
        {"azure-openai", "", "{\"resource\":\"r\",\"api_version\":\"a&b=c\"}", "cannot stand"},
        {"azure-openai", "", "{\"resource\":\"evil.example#\"}", "cannot stand"},
        {"openai", "", "{\"dialect\":\"anthropic\"}", "speaks no dialect"},
        {"openai", "https://h", "{\"dialect\":\"gemini\"}", "speaks no dialect"},
        {"openai", "ftp://h", "", "base URL"},
        {"openai", "", "{", "JSON"},
    };
    char longest[300] = "{\"region\":\"";
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        int n = open_with(rows[i].provider, rows[i].own, rows[i].settings);
        if (n != 0 || strstr(why, rows[i].says) == NULL)
            fail_msg("row %zu: %d %s", i, n, why);
    }
    memset(longest + 11, 'a', 200);
    memcpy(longest + 211, "\"}", 3);
    assert_int_equal(open_with("bedrock", "", longest), 0);
}

/* What leads a path away from where it belongs is refused, or made harmless. */
static void test_paths(void **state)
{
    (void)state;
    assert_int_equal(open_with("gemini", "", ""), 2);
    const struct account_door *d = &door[0];
    assert_string_equal(path_of(d, API_CHAT, false, "", "", ""), err_name(ERR_SYNTAX));
    assert_string_equal(path_of(d, API_CHAT, false, "..", "", ""), err_name(ERR_SYNTAX));
    assert_string_equal(path_of(d, API_CHAT, false, "a\nb", "", ""), err_name(ERR_SYNTAX));
    assert_string_equal(path_of(d, API_CHAT, false, "a/../b?c#d", "", "x=1"),
                        "/v1beta/models/a%2F..%2Fb%3Fc%23d:generateContent");
    assert_string_equal(path_of(d, API_OTHER, false, "", "/v1beta/files", "a=1"), "/v1beta/files");
    assert_string_equal(path_of(d, API_OTHER, false, "", "/v1/files", ""), err_name(ERR_NOTFOUND));
    assert_string_equal(path_of(d, API_COMPACT, false, "m", "", ""), err_name(ERR_NOTFOUND));
    assert_int_equal(open_with("anthropic", "https://h/p", ""), 1);
    assert_string_equal(path_of(&door[0], API_CHAT, true, "m", "/v1/messages", "beta=true"),
                        "/p/v1/messages?beta=true");
    assert_string_equal(path_of(&door[0], API_OTHER, true, "m", "/v1/files/a", "b=1"),
                        "/p/v1/files/a?b=1");
    assert_int_equal(open_with("azure-openai", "", "{\"resource\":\"r\"}"), 2);
    assert_string_equal(path_of(&door[0], API_CHAT, true, "m", "/v1/chat/completions", "x=1"),
                        "/openai/deployments/m/chat/completions?api-version=2024-10-21");
}

/* A client's dialect first; else one that can be translated to. */
static void test_door_for(void **state)
{
    static const struct {
        const char *provider;
        enum dialect client;
        enum api call;
        int got; /* dialect of the door, -1 = none */
    } rows[] = {
        {"zai", DIALECT_ANTHROPIC, API_CHAT, DIALECT_ANTHROPIC},
        {"zai", DIALECT_OPENAI, API_CHAT, DIALECT_OPENAI},
        {"zai", DIALECT_RESPONSES, API_CHAT, DIALECT_ANTHROPIC},
        {"zai", DIALECT_OPENAI, API_EMBEDDINGS, DIALECT_OPENAI},
        {"zai", DIALECT_ANTHROPIC, API_EMBEDDINGS, -1},
        {"zai", DIALECT_ANTHROPIC, API_COUNT, DIALECT_ANTHROPIC}, /* to be estimated */
        {"zai", DIALECT_ANTHROPIC, API_OTHER, -1},
        {"openai", DIALECT_ANTHROPIC, API_CHAT, DIALECT_OPENAI},
        {"openai", DIALECT_ANTHROPIC, API_COUNT, DIALECT_OPENAI},
        {"openai", DIALECT_RESPONSES, API_COMPACT, DIALECT_RESPONSES},
        {"openai", DIALECT_OPENAI, API_COMPACT, -1},
        {"anthropic", DIALECT_OPENAI, API_CHAT, DIALECT_ANTHROPIC},
        {"anthropic", DIALECT_OPENAI, API_OTHER, -1},
        {"anthropic", DIALECT_ANTHROPIC, API_OTHER, DIALECT_ANTHROPIC},
        {"anthropic", DIALECT_GEMINI, API_COUNT, DIALECT_ANTHROPIC},
        {"gemini", DIALECT_ANTHROPIC, API_COUNT, DIALECT_GEMINI},
        {"ollama", DIALECT_OLLAMA, API_OTHER, DIALECT_OLLAMA},
        {"ollama", DIALECT_GEMINI, API_CHAT, DIALECT_ANTHROPIC},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct account a = {.provider = provider_find(slice_of(rows[i].provider))};
        struct account_row row = {.id = 1};
        a.doors = account_doors_open(a.provider, &row, door, why, sizeof why);
        a.door = door;
        const struct account_door *d = account_door_for(&a, rows[i].client, rows[i].call);
        if ((d != NULL ? (int)d->of->dialect : -1) != rows[i].got)
            fail_msg("row %zu", i);
    }
}

/* Whoever does not fit is left out, and it is said why. */
static void test_choice(void **state)
{
    struct account_row rows[4];
    struct account_choice c;
    struct account_explained all[ACCOUNTS_MAX];
    static const char *const providers[] = {"anthropic", "openai", "zai", "ollama"};
    (void)state;
    for (int i = 0; i < 4; i++) {
        rows[i] = fake_row(i + 1, providers[i], i, 1);
        text_copy(rows[i].provider, sizeof rows[i].provider, slice_of(providers[i]));
        rows[i].allow_private = true;
        rows[i].secret = S("k");
    }
    struct account_set *set = fake_set(rows, 4);
    struct account_wish w = {.model = "claude-opus-5"};
    accounts_choose(set, &w, fake.wall, &c);
    assert_int_equal(c.n, 4);
    w.model = "gpt-6-sol";
    accounts_choose(set, &w, fake.wall, &c);
    assert_int_equal(c.n, 2);
    assert_int_equal(c.no_model, 2);
    assert_int_equal(c.considered, 2);
    assert_string_equal(c.ready[0]->name, "openai");
    int n = accounts_explain(set, &w, fake.wall, all);
    assert_int_equal(n, 4);
    assert_int_equal(all[2].why, WHY_MODEL);
    w = (struct account_wish){.model = "", .dialect = DIALECT_OPENAI, .call = API_EMBEDDINGS};
    accounts_choose(set, &w, fake.wall, &c);
    assert_int_equal(c.no_dialect, 1);
    assert_int_equal(c.n, 3);
    n = accounts_explain(set, &w, fake.wall, all);
    assert_int_equal(all[n - 1].why, WHY_DIALECT);
    assert_string_equal(why_name(WHY_DIALECT), "dialect");
    w.dialect = DIALECT_COUNT;
    accounts_choose(set, &w, fake.wall, &c);
    assert_int_equal(c.n, 4);
    w = (struct account_wish){.model = "gpt-6-sol", .pinned = 1}; /* not even where it is pinned */
    accounts_choose(set, &w, fake.wall, &c);
    assert_int_equal(c.n, 0);
    assert_int_equal(c.no_model, 1);
    accounts_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),   cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_own),    cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_paths),  cmocka_unit_test(test_door_for),
        cmocka_unit_test(test_choice),
    };
    struct loop loop = {0};
    crypto_init();
    core_init(&loop.core, wake);
    fake_loop = &loop;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    core_free(&loop.core);
    return failed;
}
