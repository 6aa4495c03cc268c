/* The command line: every verb, without a daemon and with one. */
#include "cli_bench.h"

/* ---- every verb, both ways
 * ----------------------------------------------------------------------- */

static void accounts_story(void)
{
    struct json *j;
    want(0, "", "account list");
    says("no account yet");
    want(0, CANARY "\n",
         "account add box --provider anthropic-compatible --base-url "
         "http://127.0.0.1:9 --priority 7 --weight 3 --secret-file -");
    says("account `box` added (private address)");
    says("the right to use this account");
    says("never imitates another client");
    j = want_json(0, CANARY, "account add web --provider anthropic --secret-file -");
    assert_true(slice_eq(json_get_str(json_root(j), "base_url"), S("https://api.anthropic.com")));
    assert_false(json_get_bool(json_root(j), "private", true));
    json_free(j);
    j = want_json(6, CANARY, "account add web --provider anthropic --secret-file -");
    assert_true(slice_eq(json_get_str(json_get(json_root(j), "error"), "code"), S("conflict")));
    json_free(j);
    says("there is an account `web` already");
    j = want_json(0, "", "account list");
    const struct json_val *list = json_get(json_root(j), "accounts");
    assert_int_equal(json_len(list), 2);
    assert_true(slice_eq(json_get_str(json_at(list, 0), "name"), S("web")));
    assert_true(json_get_bool(json_at(list, 1), "private", false));
    json_free(j);
    want(0, "", "account list");
    says("http://127.0.0.1:9 (private)");
    want(0, "", "account show box");
    says("http://127.0.0.1:9 (private)");
    j = want_json(0, "", "account pause box");
    assert_true(slice_eq(json_get_str(json_root(j), "state"), S("paused")));
    json_free(j);
    want(0, "", "account pause box");
    says("account `box` is paused");
    j = want_json(0, "", "account show box");
    assert_true(slice_eq(json_get_str(json_root(j), "state"), S("paused")));
    assert_int_equal(json_get_i64(json_root(j), "priority", 0), 7);
    assert_int_equal(json_get_i64(json_root(j), "weight", 0), 3);
    json_free(j);
    want(0, "", "account show box");
    says("sluice account resume box");
    want(0, "", "account resume box");
    says("account `box` is ready");
    want(0, "", "account reset-limit box");
    says("account `box` is ready");
    j = want_json(0, "", "account reset-limit box");
    assert_int_equal(json_type(json_get(json_root(j), "windows")), JSON_ARRAY);
    json_free(j);
    want(5, "", "account reset-limit nobody");
}

static void accounts_change(void)
{
    struct json *j;
    want(0, "", "account rename box box.2");
    want(6, "", "account rename box.2 web");
    want(0, "", "account rename box.2 box.2");
    want(2, "", "account rename box.2 a/b");
    want(5, "", "account rename box c");
    want(0, "", "account set box.2 --priority 0 --weight 1000");
    j = want_json(0, CANARY "2", "account set box.2 --secret-file - --base-url http://[::1]:9/v1");
    assert_int_equal(json_get_i64(json_root(j), "priority", -1), 0);
    assert_true(slice_eq(json_get_str(json_root(j), "base_url"), S("http://[::1]:9/v1")));
    json_free(j);
    want(1, "", "account test box.2");
    says("account `box.2`: no answer: ");
    want(2, "", "account set box.2");
    says("nothing to change");
    want(2, "", "account set box.2 --base-url=");
    want(2, "", "account set web --priority 1001");
    want(2, "", "account set web --priority 99999999999");
    want(2, "", "account set web --weight 0");
    want(2, "two words", "account set web --secret-file -");
    want(0, "", "account remove box.2");
    j = want_json(5, "", "account remove box.2");
    json_free(j);
    says("there is no account `box.2`");
    want(5, "", "account show box.2");
    want(5, "", "account pause box.2");
    want(5, "", "account resume box.2");
    want(5, "", "account test box.2");
    want(5, "", "account set box.2 --weight 2");
}

/* Accounts of other vendors and clouds: what each needs is asked for, and shown again. */
static void providers_story(void)
{
    struct json *j = want_json(0, "", "provider list");
    assert_true(json_len(json_get(json_root(j), "providers")) >= 35);
    json_free(j);
    want(0, "", "provider list");
    says("vertex-ai");
    want(2, CANARY, "account add b --provider bedrock --secret-file -");
    says("\"region\"");
    says("give --region");
    want(2, CANARY, "account add b --provider bedroc --secret-file -");
    says("`sluice provider list` shows them all");
    want(2, CANARY, "account add b --provider zai --region eu-west-1 --secret-file -");
    says("--region is nothing that provider `zai` has: it has no settings of its own");
    want(2, CANARY, "account add b --provider bedrock --region r --project p --secret-file -");
    says("it has --region, --inference-profile, --credential, --profile");
    want(2, CANARY, "account add b --provider anthropic --num-ctx 9 --secret-file -");
    want(2, CANARY, "account add b --provider bedrock --secret-file - --region evil.example/x");
    want(2, "", "account add b --provider azure-openai --resource r");
    says("the secret is empty");
    want(0, "",
         "account add b --provider bedrock --region eu-west-1 --credential env "
         "--inference-profile eu");
    want(0, "", "account show b");
    says("eu-west-1");
    want(0, "", "account set b --region us-east-1");
    j = want_json(0, "", "account show b");
    assert_true(slice_eq(json_get_str(json_root(j), "base_url"),
                         S("https://bedrock-runtime.us-east-1.amazonaws.com")));
    assert_true(
        slice_eq(json_get_str(json_get(json_root(j), "options"), "inference_profile"), S("eu")));
    json_free(j);
    want(2, "", "account set b --region=");
    says("\"region\"");
    want(0, CANARY,
         "account add e --provider azure-openai --resource r --client-id c --tenant-id t "
         "--secret-file -");
    want(0, "", "account remove e");
    want(0, "", "account add o --provider ollama"); /* needs neither secret nor address */
    want(1, "", "account test o");                  /* so it is asked without one */
    says("no answer: ");
    want(1, "", "account test b");
    says("x-sluice-account");
    want(0, "", "account set o --num-ctx 65536");
    want(0, "", "account show o");
    says("65536");
    want(0, "", "account set o --num-ctx 0");
    want(0, "", "account set o --model opus=qwen3 --model gpt-*=a --model gpt-*=b");
    j = want_json(0, "", "account show o");
    const struct json_val *models = json_get(json_root(j), "models");
    assert_true(slice_eq(json_get_str(models, "opus"), S("qwen3")));
    assert_int_equal(json_len(json_get(models, "gpt-*")), 2);
    json_free(j);
    want(0, "", "account show o");
    says("opus -> qwen3, gpt-* -> a | b");
    want(2, "", "account set o --model opus");
    says("PATTERN=NAME");
    want(2, "", "account set o --model opus=");
    want(2, "", "account set o --model a*b=c");
    says("'*'");
    want(0, "", "account pause o"); /* hands the mapping back */
    want(0, "", "account set o --model=");
    j = want_json(0, "", "account show o");
    assert_int_equal(json_len(json_get(json_root(j), "models")), 0);
    json_free(j);
    want(0, "", "account remove o");
    want(0, "", "account remove b");
    want(0, "", "group set g1 --model fast=claude-haiku-5-5,smart=claude-opus-5-5@web");
    want(0, "", "group set g1 --strategy failover"); /* keeps them */
    want(0, "", "group show g1");
    says("smart -> claude-opus-5-5@web");
    want(0, "", "group set g1 --model=");
    j = want_json(0, "", "group show g1");
    assert_int_equal(json_len(json_get(json_root(j), "models")), 0);
    json_free(j);
    want(2, "", "group set g1 --model x");
    want(0, "", "group remove g1");
}

#define PAIR                                                                                  \
    "{\"claudeAiOauth\":{\"accessToken\":\"" CANARY "-a\",\"refreshToken\":\"" CANARY "-r\"," \
    "\"expiresAt\":4102444800000}}"
#define PLAN "account add plan --provider claude-oauth --client-id mine "

/* An account with a rotating token: imported, changed and removed, and its token in no output. */
static void tokens_story(void)
{
    struct json *j;
    const struct json_val *token;
    want(2, PAIR, "account add plan --provider claude-oauth --token-file -");
    says("no client_id");
    want(2, "{}", PLAN "--token-file -");
    says("the token file is not understood");
    want(2, CANARY, PLAN "--token-file -");
    want(2, CANARY, PLAN "--secret-file -");
    says("--token-file");
    want(2, PAIR, PLAN "--token-file - --secret-file -");
    want(2, PAIR, PLAN "--token-file - --token-url http://tokens.example/t");
    want(2, PAIR,
         PLAN "--token-file - --token-url http://127.0.0.1:9/t --base-url http://a.example");
    says("in the clear");
    want(2, CANARY, "account add plan --provider anthropic --secret-file - --client-id mine");
    says("OAuth");
    want(2, PAIR, "account add plan --provider anthropic --token-file -");
    says("--secret-file FILE is missing");
    want(5, "", "account show plan"); /* none of these has left one behind */
    want(0, PAIR, PLAN "--token-file - --token-url http://127.0.0.1:9/token");
    says("account `plan` added (private address)");
    says("the right to use this account");
    says("next: sluice account test plan");
    want(6, PAIR, PLAN "--token-file -");
    want(0, "", "account pause plan"); /* hands the client id back: see account_row_of */
    want(0, "", "account rename plan plan2");
    want(0, "", "account set plan2 --priority 3");
    want(0, "", "account resume plan2");
    says("account `plan2` is ready");
    j = want_json(0, "", "account show plan2");
    token = json_get(json_root(j), "token");
    assert_int_equal(json_get_i64(token, "generation", 0), 1);
    assert_true(slice_eq(json_get_str(token, "state"), S("held")));
    assert_true(json_get_bool(token, "refreshable", false)); /* so the client id is there still */
    assert_true(slice_eq(json_get_str(token, "expires_at"), S("2100-01-01T00:00:00.000Z")));
    json_free(j);
    want(0, "", "account show plan2");
    says(", no. 1, renewed by itself");
    want(0, "", "account list");
    says("TOKEN");
    says(", no. 1");
    want(2, CANARY, "account set plan2 --secret-file -");
    want(0, "", "account remove plan2");
    want(2, "", PLAN "--token-url=");
    says("--token-url is empty");
    want(0, "", PLAN);
    says("It has no token yet");
    says("next: sluice account login plan");
    want(0, "", "account show plan");
    says("missing, no. 0");
    says("sluice account login plan");
    want(1, "", "account test plan");
    says("has no token: log in with `sluice account login plan`");
    want(6, PAIR, PLAN "--token-file -"); /* all that it was stays, with `import` */
    says("sluice account import plan --token-file FILE");
    want(2, "{}", "account import plan --token-file -");
    want(5, PAIR, "account import nobody --token-file -");
    want(2, PAIR, "account import web --token-file -");
    says("has a secret and no login");
    want(0, PAIR, "account import plan --token-file -");
    says("account `plan` has a new token");
    says("no. 1, renewed by itself");
    says("state       ready");
    j = want_json(0, PAIR, "account import plan --token-file -"); /* and again, over a good one */
    token = json_get(json_root(j), "token");
    assert_int_equal(json_get_i64(token, "generation", 0), 2);
    assert_true(slice_eq(json_get_str(json_root(j), "state"), S("ready")));
    json_free(j);
    want(0, "", "account remove plan");
    want(0, "", "account list");
    assert_null(strstr(out, "TOKEN"));
}

/* A login's page, and answers that lead nowhere; the whole way is in test_admin_login.c. */
static void login_story(bool daemon)
{
    struct json *j;
    want(5, "", "account login nobody");
    want(2, "", "account login web");
    says("has a secret and no login");
    want(0, "", PLAN "--token-url http://127.0.0.1:9/token");
    want(5, "code#state", "account callback plan --answer-file -");
    says("no login is under way");
    want(2, "", "account login plan");
    says("what standard input has brought is empty");
    says("https://claude.ai/oauth/authorize?code=true&client_id=mine&");
    says("the right to use this account");
    want(77, CANARY "#another-state\n", "account login plan");
    says("belongs to another login");
    want(2, CANARY "\n", "account login plan");
    says("the answer is not understood");
    want(1, "", "account login plan --answer-file /no/such/file");
    want(2, "", "account login plan --code " CANARY);
    says("use --answer-file FILE");
    if (daemon) {
        j = want_json(0, "", "account login plan --begin");
        const struct json_val *r = json_root(j);
        assert_true(slice_eq(json_get_str(r, "ends_in"), S("token")));
        assert_int_equal(json_get_str(r, "state").n, 43);
        assert_true(slice_search(json_get_str(r, "url"), json_get_str(r, "state")) > 0);
        assert_in_range(json_get_i64(r, "expires_in_seconds", 0), 890, 900);
        json_free(j);
        want(77, CANARY "#x", "account callback plan --answer-file -");
        want(0, "", "account login plan --begin");
        says("then: sluice account callback plan --answer-file -");
    } else {
        want(3, "", "account login plan --begin");
        says("needs a running gateway");
    }
    want(0, "", "account remove plan");
    want(2, "", "account add con --provider console");
    says("no client_id");
    want(0, "", "account add con --provider console --client-id mine");
    says("It has no key yet");
    want(0, "", "account show con");
    says("login: no_key");
    want(1, "", "account test con");
    says("has no key: log in with `sluice account login con`");
    want(2, PAIR, "account import con --token-file -");
    want(2, PAIR, "account add con2 --provider console --client-id mine --token-file -");
    want(2, "", "account add c --provider console --client-id x --key-url http://a.example/k");
    says("the key URL must begin with https://");
    want(77, "x#y\n", "account login con");
    want(0, "", "account remove con");
}

static void keys_story(void)
{
    char key[80];
    struct json *j;
    want(0, "", "key list");
    says("no key yet");
    j = want_json(0, "", "key add alice");
    text_copy(key, sizeof key, json_get_str(json_root(j), "key"));
    assert_int_equal(strlen(key), 62);
    assert_true(slice_starts(slice_of(key), S("slc_")));
    json_free(j);
    want(0, "", "key add bob");
    says("export ANTHROPIC_BASE_URL=http://127.0.0.1:");
    says("export ANTHROPIC_AUTH_TOKEN=slc_");
    want(6, "", "key add alice");
    want(2, "", "key add a/b");
    j = want_json(0, "", "key list");
    const struct json_val *list = json_get(json_root(j), "keys");
    assert_int_equal(json_len(list), 2);
    assert_true(slice_eq(json_get_str(json_at(list, 0), "name"), S("alice")));
    assert_int_equal(json_type(json_get(json_at(list, 0), "revoked_at")), JSON_NULL);
    assert_null(strstr(out, key));
    json_free(j);
    want(0, "", "key revoke alice");
    want(5, "", "key revoke alice");
    says("revoked");
    want(5, "", "key revoke never-made");
    want(0, "", "key add alice"); /* the name is free again */
    want(0, "", "key list");
    says("alice");
}

static void groups_story(void)
{
    struct json *j;
    const struct json_val *r;
    j = want_json(0, "", "group list");
    assert_int_equal(json_len(json_get(json_root(j), "groups")), 1);
    r = json_at(json_get(json_root(j), "groups"), 0);
    assert_true(slice_eq(json_get_str(r, "name"), S("default")));
    assert_true(slice_eq(json_get_str(r, "strategy"), S("session")));
    assert_int_equal(json_len(json_get(r, "accounts")), 1);
    json_free(j);
    want(2, "", "group set premium --strategy nonsense");
    want(2, "", "group set prem/ium --strategy shuffle");
    want(5, "", "group show premium");
    want(5, "", "account set web --group premium");
    says("`sluice group set premium` makes it");
    want(5, "", "key add k --group premium");
    want(0, "", "group set premium --strategy least-used --affinity off");
    j = want_json(0, "", "group set premium --strategy least-used");
    assert_false(json_get_bool(json_root(j), "affinity", true)); /* stays as it was */
    json_free(j);
    j = want_json(0, "", "group set premium --affinity=");
    assert_true(json_get_bool(json_root(j), "affinity", false)); /* as the strategy wants it */
    assert_true(slice_eq(json_get_str(json_root(j), "strategy"), S("least-used")));
    json_free(j);
    want(5, "", "group set team --strategy model --route claude-opus=nobody --route =default");
    want(2, "", "group set team --strategy model --route claude-opus");
    want(0, "", "group set team --strategy model --route claude-opus=premium --route =default");
    j = want_json(0, "", "group show team");
    r = json_get(json_root(j), "routes");
    assert_int_equal(json_len(r), 2);
    assert_true(slice_eq(json_get_str(json_at(r, 0), "prefix"), S("claude-opus")));
    assert_true(slice_eq(json_get_str(json_at(r, 0), "group"), S("premium")));
    json_free(j);
    want(0, "", "group list");
    says("claude-opus -> premium, others -> default");
    want(0, "", "account set web --group premium,default");
    want(0, "", "account list");
    says("premium, default");
    want(6, "", "group remove premium");
    says("account `web`, a route of group `team`");
    want(6, "", "group remove default");
    want(5, "", "group remove never");
    want(0, "", "key add grouped --group premium");
    want(0, "", "key list");
    says("premium");
    want(2, "", "key set grouped");
    want(5, "", "key set nobody --group premium");
    want(0, "", "key set grouped --group team");
    says("is served by the accounts of group `team`");
    want(6, "", "group remove team");
    says("key `grouped`");
    want(0, "", "key set grouped --group=");
    want(0, "", "group remove team");
    want(0, "", "account set web --group=");
    want(0, "", "group remove premium");
    says("group `premium` removed");
    want(0, "", "key set grouped --model claude-haiku-5-5");
    says("requests that name no model get `claude-haiku-5-5`");
    want(0, "", "key set grouped --group default"); /* which leaves the model as it is */
    says("claude-haiku-5-5");
    want(0, "", "key list");
    says("claude-haiku-5-5");
    want(0, "", "key set grouped --model=");
    assert_null(strstr(out, "claude-haiku-5-5"));
    want(2, "",
         "key set grouped --model "
         "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm"
         "mmm"
         "mmmm");
    says("too long");
    want(0, "", "key add modelled --model gpt-6-sol --json");
    says("\"model\":\"gpt-6-sol\"");
    want(0, "", "key revoke modelled");
    want(0, "", "key revoke grouped");
    want(5, "", "key set grouped --group default");
}

static void policies_story(void)
{
    struct json *j;
    const struct json_val *r;
    want(2, "", "account set web --pause-at 101");
    want(2, "", "account set web --concurrency -1");
    want(2, "", "account set web --peak-hours nonsense");
    want(2, "", "account set web --pause-on-overage perhaps");
    says("either on or off");
    want(2, "", "account set web --client-id x");
    says("OAuth");
    want(0, "", "account set web --pause-at 90 --concurrency 8 --quota org --pause-on-overage on");
    want(0, "", "account set web --peak-hours 14:00-18:00"); /* what was set before stays */
    j = want_json(0, "", "account show web");
    r = json_root(j);
    assert_int_equal(json_get_i64(r, "pause_at", 0), 90);
    assert_int_equal(json_get_i64(r, "concurrency", 0), 8);
    assert_true(slice_eq(json_get_str(r, "quota"), S("org")));
    assert_true(json_get_bool(r, "pause_on_overage", false));
    assert_true(slice_eq(json_get_str(r, "peak_hours"), S("14:00-18:00")));
    struct slice group;
    assert_true(json_str(json_at(json_get(r, "groups"), 0), &group));
    assert_true(slice_eq(group, S("default")));
    json_free(j);
    want(0, "", "account show web");
    says("8 requests at a time at most");
    says("at 90 %");
    want(0, "",
         "account set web --pause-at 0 --concurrency 0 --quota= --pause-on-overage= --peak-hours=");
    j = want_json(0, "", "account show web");
    r = json_root(j);
    assert_int_equal(json_get_i64(r, "pause_at", -1), 0);
    assert_int_equal(json_get_str(r, "peak_hours").n, 0);
    assert_false(json_get_bool(r, "pause_on_overage", true));
    json_free(j);
}

static void explain_story(void)
{
    struct json *j;
    j = want_json(0, "", "route explain --model claude-opus-4-6 --session 0123456789abcdef");
    const struct json_val *r = json_root(j), *a = json_at(json_get(r, "accounts"), 0);
    assert_true(slice_eq(json_get_str(r, "account"), S("web")));
    assert_true(slice_eq(json_get_str(r, "session"), S("0123456789abcdef")));
    assert_int_equal(json_type(json_get(r, "warm_at")), JSON_NULL);
    assert_true(slice_eq(json_get_str(a, "why"), S("only")));
    assert_true(json_get_str(a, "why_text").n > 0);
    json_free(j);
    j = want_json(0, "", "route explain --model claude-opus-4-6");
    assert_int_equal(json_get_str(json_root(j), "session").n, 0);
    assert_true(slice_eq(json_get_str(json_root(j), "group"), S("default")));
    json_free(j);
    want(0, "", "route explain --model claude-opus-4-6");
    says("goes to     web: ");
    want(0, "", "account pause web");
    want(0, "", "route explain --model x");
    says("nobody: no account can serve it");
    says("it is paused");
    want(0, "", "account resume web");
    want(0, "", "group set default --model fast=claude-haiku-5-5,here=claude-opus-5-5@web");
    j = want_json(0, "", "route explain --model fast");
    assert_true(slice_eq(json_get_str(json_root(j), "model"), S("fast")));
    assert_true(slice_eq(json_get_str(json_root(j), "means"), S("claude-haiku-5-5")));
    json_free(j);
    want(0, "", "route explain --model fast");
    says("means       claude-haiku-5-5");
    j = want_json(0, "", "route explain --model here");
    r = json_root(j);
    a = json_at(json_get(r, "accounts"), 0);
    assert_true(slice_eq(json_get_str(r, "means"), S("claude-opus-5-5")));
    assert_true(slice_eq(json_get_str(r, "account"), S("web")));
    assert_true(slice_eq(json_get_str(a, "why"), S("pinned")));
    json_free(j);
    want(0, "", "route explain --model claude-opus-5-5@web");
    says("asks for it alone");
    want(0, "", "group set elsewhere");
    want(5, "", "route explain --model claude-opus-5-5@web --group elsewhere");
    says("does not lead there");
    want(0, "", "group remove elsewhere");
    want(0, "", "group set default --model=");
    want(2, "", "route explain");
    want(5, "", "route explain --model x --group nobody");
    want(5, "", "route explain --model x --key nobody");
    want(2, "", "route explain --model x --key a --group b");
}

static void status_story(bool daemon)
{
    struct json *j = want_json(0, "", "status");
    const struct json_val *r = json_root(j);
    assert_int_equal(json_get_bool(r, "daemon", !daemon), daemon);
    assert_int_equal(json_len(json_get(r, "listen")), daemon ? 1 : 0);
    assert_int_equal(json_len(json_get(r, "accounts")), 1);
    assert_int_equal(json_get_i64(json_get(r, "store"), "records_dropped", -1), 0);
    assert_int_equal(json_get_i64(json_get(r, "requests"), "total", -1), 0);
    json_free(j);
    want(0, "", "status");
    says(daemon ? "listening   http://127.0.0.1:" : "is not running here");
    want(daemon ? 0 : 3, "", "reload");
    j = want_json(0, "", "requests");
    assert_int_equal(json_type(json_get(json_root(j), "requests")), JSON_ARRAY);
    json_free(j);
    want(2, "", "requests --limit 0");
    want(2, "", "requests --limit 1001");
    want(2, "", "requests --after 1 --before 2");
    want(2, "", "requests --after -1");
}

static void every_verb_without_a_daemon(void **state)
{
    (void)state;
    accounts_story();
    accounts_change();
    providers_story();
    tokens_story();
    login_story(false);
    keys_story();
    groups_story();
    policies_story();
    explain_story();
    status_story(false);
    want(3, "", "requests -f");
}

static void every_verb_with_a_daemon(void **state)
{
    int from;
    (void)state;
    pid_t pid = daemon_start(&from);
    accounts_story();
    accounts_change();
    providers_story();
    tokens_story();
    login_story(true);
    keys_story();
    groups_story();
    policies_story();
    explain_story();
    status_story(true);
    daemon_stop(pid, from);
    want(0, "", "account list");
    says("web");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_verb_without_a_daemon),
        TEST(every_verb_with_a_daemon),
    };
    bench_begin();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
