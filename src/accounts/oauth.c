/* The messages of OAuth 2.0 with PKCE (RFC 6749, RFC 7636), as the providers speak it
 * (wire/anthropic-oauth.md). Pure: bytes in, bytes out; who sends them is the business of
 * login.c and refresh.c. */
#include "accounts/inside.h"

#include <string.h>

#define LOGIN_MS     (INT64_C(15) * 60 * 1000)
#define RANDOM_BYTES 32
#define PASTED_MAX   8192
#define CODE_MAX     2048
/* A number this large is a time in ms: as seconds it would be the year 5138, as ms it is 1973. */
#define SECONDS_MAX  1e11
#define LIFE_MAX     (INT64_C(100) * 366 * 24 * 3600 * 1000)

/* ---- configuration --------------------------------------------------------------------------- */

static enum err config_wrong(char *why, size_t size, const char *key, const char *what)
{
    text_format(why, size, "setting \"%s\": %s", key, what);
    return ERR_SYNTAX;
}

static bool is_printable(struct slice s, bool spaces)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= (spaces ? '\x1f' : ' ') || s.p[i] > '~')
            return false;
    }
    return true;
}

/* An address a person opens, or that the provider sends the person back to. */
static bool is_page(struct slice s)
{
    return slice_starts(s, S("https://")) || slice_starts(s, S("http://"));
}

static const char *setting_wrong(const char *key, struct slice s)
{
    struct http_target t;
    struct slice prefix;
    const char *why = "";
    if (strcmp(key, "scope") == 0)
        return is_printable(s, true) ? NULL : "is a list of words with spaces between them";
    if (!is_printable(s, false))
        return "must be printable and without spaces";
    if (strcmp(key, "client_id") == 0)
        return NULL;
    if (strcmp(key, "token_url") == 0 || strcmp(key, "key_url") == 0)
        return http_url_parse(s, &t, &prefix, &why) == OK ? NULL : why;
    return is_page(s) ? NULL : "must begin with https:// (or http:// for this machine)";
}

enum err oauth_config_read(const struct oauth_config *presets, struct slice settings,
                           struct oauth_config *out, char *why, size_t why_size)
{
    struct json *doc = NULL;
    *out = *presets;
    const struct {
        const char *key;
        char *to;
        size_t size;
    } keys[] = {{"authorize_url", out->authorize_url, sizeof out->authorize_url},
                {"token_url", out->token_url, sizeof out->token_url},
                {"redirect_uri", out->redirect_uri, sizeof out->redirect_uri},
                {"scope", out->scope, sizeof out->scope},
                {"client_id", out->client_id, sizeof out->client_id},
                {"key_url", out->key_url, sizeof out->key_url}};
    assert(why_size > 0);
    why[0] = '\0';
    if (settings.n == 0)
        return OK;
    enum err e = json_parse(settings, &doc);
    if (e != OK || json_type(json_root(doc)) != JSON_OBJECT) {
        json_free(doc);
        text_copy(why, why_size, S("the settings are not a JSON object"));
        return e != OK ? e : ERR_SYNTAX;
    }
    for (size_t i = 0; e == OK && i < sizeof keys / sizeof keys[0]; i++) {
        const struct json_val *v = json_get(json_root(doc), keys[i].key);
        struct slice s = {"", 0};
        const char *bad = NULL;
        if (json_type(v) == JSON_NONE)
            continue;
        if (!json_str(v, &s) || s.n == 0)
            bad = "must be a text that is not empty";
        else if (s.n >= keys[i].size)
            bad = "is too long";
        else
            bad = setting_wrong(keys[i].key, s);
        if (bad != NULL)
            e = config_wrong(why, why_size, keys[i].key, bad);
        else
            text_copy(keys[i].to, keys[i].size, s);
    }
    json_free(doc);
    return e;
}

/* ---- login ----------------------------------------------------------------------------------- */

/* 32 random bytes as 43 characters, which is what RFC 7636 section 4.1 recommends. */
static void random_text(char out[OAUTH_VERIFIER_MAX])
{
    uint8_t random[RANDOM_BYTES];
    struct buf b;
    crypto_random(random, sizeof random);
    buf_init(&b, OAUTH_VERIFIER_MAX);
    enum err e = text_base64(&b, random, sizeof random, true);
    assert(e == OK && b.len >= 43 && b.len < OAUTH_VERIFIER_MAX);
    text_copy(out, OAUTH_VERIFIER_MAX, buf_slice(&b));
    crypto_wipe(b.p, b.len);
    crypto_wipe(random, sizeof random);
    buf_free(&b);
}

void oauth_login_begin(struct oauth_login *l, int64_t now)
{
    random_text(l->verifier);
    random_text(l->state); /* never the verifier: the state is shown to the provider at once */
    l->expires_at = now + LOGIN_MS;
}

/* RFC 3986: unreserved characters stay. */
static enum err put_escaped(struct buf *out, struct slice s)
{
    enum err e = OK;
    for (size_t i = 0; e == OK && i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        e = plain ? buf_append(out, &s.p[i], 1) : buf_printf(out, "%%%02X", c);
    }
    return e;
}

static enum err put_parameter(struct buf *out, const char *name, struct slice value)
{
    enum err e = buf_puts(out, S("&"));
    if (e == OK)
        e = buf_puts(out, slice_of(name));
    if (e == OK)
        e = buf_puts(out, S("="));
    return e == OK ? put_escaped(out, value) : e;
}

enum err oauth_challenge(const char *verifier, struct buf *out)
{
    uint8_t hash[CRYPTO_SHA256];
    crypto_sha256(hash, slice_of(verifier));
    return text_base64(out, hash, sizeof hash, true);
}

enum err oauth_authorize_url(const struct oauth_config *c, const struct oauth_login *l,
                             struct buf *out)
{
    struct buf challenge;
    size_t before = out->len;
    if (c->client_id[0] == '\0' || c->authorize_url[0] == '\0')
        return ERR_STATE;
    bool has_query = slice_find(slice_of(c->authorize_url), '?') >= 0;
    buf_init(&challenge, 64);
    enum err e = oauth_challenge(l->verifier, &challenge);
    if (e == OK)
        e = buf_puts(out, slice_of(c->authorize_url));
    if (e == OK) /* asks for the page that shows CODE#STATE; unknown to others, who ignore it */
        e = buf_puts(out, has_query ? S("&code=true") : S("?code=true"));
    const struct {
        const char *name;
        struct slice value;
    } rows[] = {{"client_id", slice_of(c->client_id)},
                {"response_type", S("code")},
                {"redirect_uri", slice_of(c->redirect_uri)},
                {"scope", slice_of(c->scope)},
                {"code_challenge", buf_slice(&challenge)},
                {"code_challenge_method", S("S256")},
                {"state", slice_of(l->state)}};
    for (size_t i = 0; e == OK && i < sizeof rows / sizeof rows[0]; i++)
        e = put_parameter(out, rows[i].name, rows[i].value);
    buf_free(&challenge);
    assert(e != OK || out->len > before);
    return e;
}

/* ---- what a person pastes -------------------------------------------------------------------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent decoding in place; broken escapes stay as they are. */
static struct slice unescape(char *p, size_t n)
{
    size_t to = 0;
    for (size_t i = 0; i < n; i++) {
        int hi = p[i] == '%' && i + 2 < n ? hex_digit(p[i + 1]) : -1;
        int lo = hi >= 0 ? hex_digit(p[i + 2]) : -1;
        p[to++] = lo >= 0 ? (char)(hi * 16 + lo) : p[i];
        i += lo >= 0 ? 2 : 0;
    }
    assert(to <= n);
    return (struct slice){p, to};
}

/* The value of `name` in "a=b&c=d"; decoded in place, in the caller's own copy. */
static struct slice query_value(struct slice query, struct slice name)
{
    struct slice part = {"", 0};
    while (slice_cut(&query, '&', &part)) {
        if (part.n > name.n && slice_starts(part, name) && part.p[name.n] == '=') {
            struct slice v = slice_sub(part, name.n + 1, part.n);
            return unescape((char *)(uintptr_t)v.p, v.n);
        }
    }
    return (struct slice){"", 0};
}

static struct slice until_amp(struct slice s)
{
    ptrdiff_t at = slice_find(s, '&');
    return at < 0 ? s : slice_sub(s, 0, (size_t)at);
}

/* Terminals break long lines and programs add quotes: neither is ever part of a code. */
static enum err copy_clean(struct buf *out, struct slice pasted)
{
    enum err e = buf_reserve(out, pasted.n);
    for (size_t i = 0; e == OK && i < pasted.n; i++) {
        char c = pasted.p[i];
        if (c > ' ' && c <= '~' && c != '"' && c != '\'' && c != '<' && c != '>' && c != '`')
            e = buf_append(out, &c, 1);
    }
    return e;
}

/* "CODE#STATE", or what stands in the query of a redirect URL. */
static void pasted_split(struct slice s, struct slice *code, struct slice *state)
{
    struct slice before = {"", 0}, rest = s;
    ptrdiff_t mark = slice_find(s, '?');
    struct slice query = mark < 0 ? s : slice_sub(s, (size_t)mark + 1, s.n);
    (void)slice_cut(&rest, '#', &before);
    *state = until_amp(rest);
    if (mark >= 0 || slice_starts(s, S("code=")) || slice_starts(s, S("state="))) {
        (void)slice_cut(&query, '#', &before);
        struct slice told = query_value(before, S("state"));
        *code = query_value(before, S("code"));
        *state = told.n > 0 ? told : *state;
    } else {
        *code = until_amp(before);
    }
}

enum err oauth_login_answer(const struct oauth_login *l, struct slice pasted, int64_t now,
                            struct buf *code)
{
    struct buf clean;
    struct slice c = {"", 0}, state = {"", 0};
    size_t want = strlen(l->state);
    enum err e = OK;
    if (now >= l->expires_at)
        return ERR_TIMEOUT;
    if (pasted.n > PASTED_MAX || want == 0)
        return ERR_SYNTAX;
    buf_init(&clean, PASTED_MAX);
    e = copy_clean(&clean, pasted);
    if (e == OK)
        pasted_split(buf_slice(&clean), &c, &state);
    if (e == OK && (c.n == 0 || c.n > CODE_MAX || !is_printable(c, false) || state.n == 0))
        e = ERR_SYNTAX;
    else if (e == OK && (state.n != want || !crypto_equal(state.p, l->state, want)))
        e = ERR_DENIED;
    else if (e == OK)
        e = buf_puts(code, c);
    if (clean.p != NULL)
        crypto_wipe(clean.p, clean.cap);
    buf_free(&clean);
    return e;
}

/* ---- requests -------------------------------------------------------------------------------- */

enum err oauth_exchange_body(const struct oauth_config *c, const struct oauth_login *l,
                             struct slice code, struct buf *out)
{
    struct jw w;
    if (c->client_id[0] == '\0')
        return ERR_STATE;
    jw_init(&w, out);
    jw_obj(&w);
    jw_kcstr(&w, "grant_type", "authorization_code");
    jw_kstr(&w, "code", code);
    jw_kcstr(&w, "redirect_uri", c->redirect_uri);
    jw_kcstr(&w, "client_id", c->client_id);
    jw_kcstr(&w, "code_verifier", l->verifier);
    jw_kcstr(&w, "state", l->state);
    jw_end_obj(&w);
    return w.err;
}

enum err oauth_refresh_body(const struct oauth_config *c, struct slice refresh, struct buf *out)
{
    struct jw w;
    if (c->client_id[0] == '\0' || refresh.n == 0)
        return ERR_STATE;
    jw_init(&w, out);
    jw_obj(&w);
    jw_kcstr(&w, "grant_type", "refresh_token");
    jw_kstr(&w, "refresh_token", refresh);
    jw_kcstr(&w, "client_id", c->client_id);
    jw_end_obj(&w);
    return w.err;
}

/* ---- answers: tokens ------------------------------------------------------------------------- */

static struct slice text_of(const struct json_val *object, const char *a, const char *b)
{
    struct slice s = json_get_str(object, a);
    return s.n > 0 ? s : json_get_str(object, b);
}

/* A number, or digits in quotes. */
static bool number_of(const struct json_val *v, double *out)
{
    struct slice s;
    return json_f64(v, out) || (json_str(v, &s) && text_f64(s, out));
}

/* Wall ms from seconds or ms since 1970, or from RFC 3339; 0 when it makes no sense. */
static int64_t time_of(const struct json_val *v)
{
    double n = 0;
    int64_t ms = 0;
    struct slice s;
    if (json_str(v, &s) && text_rfc3339(s, &ms))
        return ms > 0 ? ms : 0;
    if (!number_of(v, &n) || !(n > 0 && n < 1e15))
        return 0;
    return (int64_t)(n < SECONDS_MAX ? n * 1000 : n);
}

static void expiry_read(const struct json_val *o, int64_t now, struct oauth_tokens *out)
{
    double seconds = 0;
    const struct json_val *in = json_get(o, "expires_in"), *at = json_get(o, "expires_at");
    if (json_type(at) == JSON_NONE || json_type(at) == JSON_NULL)
        at = json_get(o, "expiresAt");
    if (number_of(in, &seconds) && seconds > 0 && seconds * 1000 < (double)LIFE_MAX) {
        out->lifetime = (int64_t)(seconds * 1000);
        out->expires_at = now + out->lifetime;
    } else {
        out->expires_at = time_of(at);
    }
    assert(out->lifetime >= 0 && out->expires_at >= 0);
}

enum err oauth_tokens_read(struct slice body, int64_t now, struct oauth_tokens *out)
{
    *out = (struct oauth_tokens){.access = {"", 0}, .refresh = {"", 0}};
    enum err e = json_parse(body, &out->doc);
    if (e != OK)
        return e;
    const struct json_val *o = json_root(out->doc), *inner = json_get(o, "claudeAiOauth");
    if (json_type(inner) == JSON_OBJECT)
        o = inner;
    out->access = text_of(o, "access_token", "accessToken");
    out->refresh = text_of(o, "refresh_token", "refreshToken");
    /* They become a header's value and a row of the store. */
    if (out->access.n == 0 || out->access.n >= STORE_SECRET_MAX ||
        out->refresh.n >= STORE_SECRET_MAX || !is_printable(out->access, false) ||
        !is_printable(out->refresh, false)) {
        oauth_tokens_free(out);
        return ERR_SYNTAX;
    }
    expiry_read(o, now, out);
    return OK;
}

void oauth_tokens_free(struct oauth_tokens *t)
{
    /* The document owns a copy of the text, so writing to it harms nobody. */
    if (t->access.n > 0)
        crypto_wipe((void *)(uintptr_t)t->access.p, t->access.n);
    if (t->refresh.n > 0)
        crypto_wipe((void *)(uintptr_t)t->refresh.p, t->refresh.n);
    json_free(t->doc);
    *t = (struct oauth_tokens){.access = {"", 0}, .refresh = {"", 0}};
}

/* ---- answers: verdicts ----------------------------------------------------------------------- */

static const struct {
    const char *word;
    enum oauth_verdict verdict;
} words[] = {
    {"invalid_grant", OAUTH_DEAD},
    {"invalid_refresh_token", OAUTH_DEAD},
    {"refresh_token_reused", OAUTH_DEAD},
    {"refresh_token_expired", OAUTH_DEAD},
    {"refresh_token_invalidated", OAUTH_DEAD},
    {"invalid_client", OAUTH_WRONG},
    {"unauthorized_client", OAUTH_WRONG},
    {"unsupported_grant_type", OAUTH_WRONG},
    {"invalid_scope", OAUTH_WRONG},
    {"invalid_request", OAUTH_WRONG},
    {"invalid_request_error", OAUTH_WRONG},
    {"access_denied", OAUTH_WRONG},
    {"rate_limit_error", OAUTH_LATER},
    {"overloaded_error", OAUTH_LATER},
    {"api_error", OAUTH_LATER},
    {"slow_down", OAUTH_LATER},
    {"server_error", OAUTH_LATER},
    {"temporarily_unavailable", OAUTH_LATER},
};
#define WORDS ((int)(sizeof words / sizeof words[0]))

static int word_find(struct slice s)
{
    for (int i = 0; i < WORDS; i++) {
        if (slice_eq(s, slice_of(words[i].word)))
            return i;
    }
    return -1;
}

/* The row of the error code in an RFC 6749 body ({"error":"code"}) or in the envelope of the API
 * ({"error":{"type","code","message"}}); -1 when there is none that is known. A dead grant outranks
 * the envelope's general type. */
static int error_row(struct slice body)
{
    struct json *doc = NULL;
    struct slice code;
    if (body.n == 0 || json_parse(body, &doc) != OK)
        return -1;
    const struct json_val *error = json_get(json_root(doc), "error");
    int row = -1;
    if (json_str(error, &code))
        row = word_find(code);
    if (json_type(error) == JSON_OBJECT) {
        int type = word_find(json_get_str(error, "type"));
        row = word_find(json_get_str(error, "code"));
        struct slice message = json_get_str(error, "message");
        for (int i = 0; row < 0 && i < WORDS && words[i].verdict == OAUTH_DEAD; i++) {
            if (slice_search(message, slice_of(words[i].word)) >= 0)
                row = i;
        }
        row = row >= 0 ? row : type;
    }
    json_free(doc);
    assert(row < WORDS);
    return row;
}

static enum oauth_verdict judged(enum oauth_verdict v, const char **why, const char *word)
{
    *why = word;
    return v;
}

bool oauth_is_dead_word(const char *why)
{
    int row = word_find(slice_of(why));
    return row >= 0 && words[row].verdict == OAUTH_DEAD;
}

enum oauth_verdict oauth_judge(int status, const struct http_head *head, struct slice body,
                               int64_t now, const char **why, int64_t *retry_ms)
{
    int row = error_row(body);
    *retry_ms = 0;
    if (head != NULL && !limits_retry_after(head, now, retry_ms))
        *retry_ms = 0;
    if (status == 0)
        return judged(OAUTH_LATER, why, "no_answer");
    if (status == 429)
        return judged(OAUTH_LATER, why, "rate_limited");
    if (status == 408 || status == 425 || status >= 500)
        return judged(OAUTH_LATER, why, "server_error");
    if (row >= 0)
        return judged(words[row].verdict, why, words[row].word);
    if (status / 100 == 2)
        return judged(OAUTH_OK, why, "refreshed");
    if (status == 403) /* without a code it is a wall in front of the endpoint that speaks */
        return judged(OAUTH_LATER, why, "forbidden");
    if (status / 100 == 3) /* never followed: a refresh token goes nowhere else */
        return judged(OAUTH_WRONG, why, "redirected");
    return judged(OAUTH_WRONG, why, status == 404 ? "not_found" : "refused");
}
