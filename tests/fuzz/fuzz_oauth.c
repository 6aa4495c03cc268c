/* links: base http codec accounts */
/* OAuth over hostile bytes: settings, what a person pastes, and what a token endpoint answers. */
#include "accounts/accounts.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define MUST(condition)       \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

#define NOW INT64_C(1795255200000)

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    crypto_init();
    return 0;
}

static bool is_header_value(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= ' ' || s.p[i] > '~')
            return false;
    }
    return true;
}

static void fuzz_settings(struct slice s)
{
    const struct oauth_config *presets = provider_find(S("claude-oauth"))->oauth;
    struct oauth_login login;
    struct oauth_config c;
    struct http_target t;
    struct slice prefix;
    struct buf url;
    char why[128];
    const char *reason = "";
    enum err e = oauth_config_read(presets, s, &c, why, sizeof why);
    MUST((e == OK) == (why[0] == '\0') && strlen(why) < sizeof why);
    if (e != OK)
        return;
    MUST(http_url_parse(slice_of(c.token_url), &t, &prefix, &reason) == OK);
    MUST(is_header_value(slice_of(c.client_id)));
    oauth_login_begin(&login, NOW);
    buf_init(&url, 8192);
    e = oauth_authorize_url(&c, &login, &url);
    MUST(e == (c.client_id[0] != '\0' ? OK : ERR_STATE));
    MUST(is_header_value(buf_slice(&url)));
    buf_free(&url);
}

static void fuzz_pasted(struct slice s)
{
    static const struct oauth_login login = {
        .verifier = "v", .state = "abc", .expires_at = INT64_MAX};
    struct oauth_login other = login;
    struct buf code;
    buf_init(&code, 4096);
    enum err e = oauth_login_answer(&login, s, NOW, &code);
    MUST((e == OK) == (code.len > 0) && is_header_value(buf_slice(&code)));
    text_copy(other.state, sizeof other.state, S("abd"));
    buf_clear(&code);
    MUST(e != OK || oauth_login_answer(&other, s, NOW, &code) == ERR_DENIED);
    buf_free(&code);
}

static void fuzz_answer(struct slice s)
{
    static const int status[] = {0, 200, 302, 400, 401, 403, 404, 429, 500};
    struct oauth_tokens t;
    enum err e = oauth_tokens_read(s, NOW, &t);
    if (e == OK) {
        MUST(t.access.n > 0 && is_header_value(t.access) && is_header_value(t.refresh));
        MUST(t.expires_at >= 0 && t.lifetime >= 0);
        MUST(t.lifetime == 0 || t.expires_at == NOW + t.lifetime);
        oauth_tokens_free(&t);
    }
    MUST(t.doc == NULL && t.access.n == 0 && t.refresh.n == 0);
    for (size_t i = 0; i < sizeof status / sizeof status[0]; i++) {
        const char *why = NULL;
        int64_t wait = -1;
        enum oauth_verdict v = oauth_judge(status[i], NULL, s, NOW, &why, &wait);
        MUST(why != NULL && why[0] != '\0' && strlen(why) < 32 && wait == 0);
        MUST(v != OAUTH_OK || status[i] == 200);
        MUST(status[i] < 429 || v == OAUTH_LATER);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct slice s = {(const char *)data + 1, size - 1};
    if (data[0] % 3 == 0)
        fuzz_settings(s);
    else if (data[0] % 3 == 1)
        fuzz_pasted(s);
    else
        fuzz_answer(s);
    return 0;
}
