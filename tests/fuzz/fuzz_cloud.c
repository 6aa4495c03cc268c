/* links: base http codec accounts */
/* The clouds' credentials over hostile bytes: settings, keys, shared files, answers, and whatever a
 * signature is made over. */
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

/* What becomes a header's value. */
static bool is_header_value(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < ' ' || s.p[i] > '~')
            return false;
    }
    return true;
}

/* A request that was made goes to a place that may be dialled, or nowhere. */
static void target_check(const struct cloud_request *q)
{
    struct http_target t = {0};
    struct slice path;
    const char *why;
    if (cloud_target(q, false, &t, &path, &why) != OK)
        return;
    MUST(path.n > 0 && path.p[0] == '/' && is_header_value(path) && slice_find(path, ' ') < 0);
    MUST(t.tls || t.allow_private);
    MUST(!t.allow_private || (!t.tls && (slice_starts(t.host, S("169.254.")) ||
                                         slice_starts(t.host, S("fd00:ec2::")))));
    MUST(is_header_value(buf_slice(&q->secret)));
}

static void fuzz_settings(struct slice s)
{
    static const struct cloud_config presets[] = {
        {.cloud = CLOUD_AZURE}, {.cloud = CLOUD_AWS}, {.cloud = CLOUD_GOOGLE}};
    char why[300];
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++) {
        struct cloud_config c;
        struct cloud_request q;
        enum err e = cloud_config_read(&presets[i], s, &c, why, sizeof why);
        MUST((e == OK) == (why[0] == '\0') && strlen(why) < sizeof why);
        MUST(e == OK || cloud_config_same(&c, &presets[i]));
        (void)cloud_grant(&c, true);
        (void)cloud_check(&c, s, why, sizeof why);
        cloud_request_init(&q);
        if (c.cloud == CLOUD_AZURE && entra_request(&c, S("s"), &q) == OK)
            target_check(&q);
        cloud_request_free(&q);
        if (azure_instance_request(&c, &q) == OK)
            target_check(&q);
        cloud_request_free(&q);
        if (google_instance_request(&c, &q) == OK)
            target_check(&q);
        cloud_request_free(&q);
    }
}

static void fuzz_google(struct slice s)
{
    static const struct cloud_config c = {.cloud = CLOUD_GOOGLE};
    struct google_key k;
    struct cloud_request q;
    const char *why = NULL;
    cloud_request_init(&q);
    enum err e = google_key_read(s, &k, &why);
    MUST(e == OK || (why != NULL && k.doc == NULL));
    if (e == OK && google_request(&k, &c, NOW, &q) == OK) {
        MUST(is_header_value(buf_slice(&q.body)) && slice_find(buf_slice(&q.body), ' ') < 0);
        target_check(&q);
    }
    google_key_free(&k);
    cloud_request_free(&q);
}

static void fuzz_profile(struct slice s)
{
    static const char *const names[] = {"default", "team", "a b", ""};
    ptrdiff_t cut = slice_find(s, '\0');
    struct slice first = cut < 0 ? s : slice_sub(s, 0, (size_t)cut);
    struct slice second = cut < 0 ? S("") : slice_sub(s, (size_t)cut + 1, s.n);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct aws_profile p;
        aws_profile_read(first, second, slice_of(names[i]), &p);
        MUST((p.keys.id.n > 0) == (p.keys.secret.n > 0));
        MUST(p.keys.id.n == 0 || (p.found && !p.indirect));
        MUST(is_header_value(p.keys.id) && is_header_value(p.keys.token));
    }
}

static void fuzz_answers(struct slice s)
{
    static const struct cloud_config c = {.cloud = CLOUD_AWS};
    struct buf keys;
    struct aws_keys k;
    struct cloud_request q;
    struct slice role;
    int64_t at = -1;
    buf_init(&keys, 16384);
    cloud_request_init(&q);
    if (aws_answer_read(s, &keys, &at) == OK) {
        MUST(aws_keys_read(buf_slice(&keys), &k) == OK);
        MUST(is_header_value(k.id) && is_header_value(k.token) && at >= INT64_MIN / 2);
    } else {
        MUST(keys.len == 0);
    }
    buf_clear(&keys);
    if (aws_role_read(s, &role) == OK) {
        MUST(aws_keys_request(&c, S("t"), role, &q) == OK);
        target_check(&q);
        MUST(strstr(q.url, "/../") == NULL);
    }
    cloud_request_free(&q);
    if (aws_session_read(s, &keys) == OK)
        MUST(keys.len > 0 && is_header_value(buf_slice(&keys)));
    buf_free(&keys);
}

/* What comes with a token are headers, none of them ours to say. */
static void fuzz_gitlab(struct slice s)
{
    struct buf value;
    struct http_header h;
    struct slice rest, token = S("");
    int n = 0;
    buf_init(&value, CLOUD_SECRET_MAX + COMPANION_TEXT_MAX);
    if (gitlab_answer_read(s, &value) == OK) {
        rest = buf_slice(&value);
        MUST(slice_cut(&rest, '\n', &token) && token.n > 0 && is_header_value(token));
        while (companion_next(&rest, &h)) {
            MUST(h.name.n > 0 && is_header_value(h.name) && slice_find(h.name, ':') < 0);
            MUST(h.value.n == 0 || is_header_value(h.value));
            MUST(!http_is_hop_header(h.name) && !slice_eq(h.name, S("authorization")));
            MUST(++n <= COMPANIONS_MAX);
        }
    }
    buf_wipe(&value);
}

static const char *uri;
static bool is_full;

static const char *env(enum config_env which)
{
    return which == (is_full ? CONFIG_ENV_AWS_CONTAINER_FULL_URI
                             : CONFIG_ENV_AWS_CONTAINER_RELATIVE_URI)
               ? uri
               : NULL;
}

static void fuzz_container(struct slice s)
{
    char text[1024];
    text_copy(text, sizeof text, s);
    uri = text;
    for (int i = 0; i < 2; i++) {
        struct cloud_request q;
        is_full = i == 1;
        cloud_request_init(&q);
        if (aws_container_request(env, s, &q) == OK)
            target_check(&q);
        cloud_request_free(&q);
    }
}

/* The input is method, host, path, query and a header, by lines; signing it must be bounded, and
 * what is signed must not change with what it is called from. */
static void fuzz_sign(struct slice s)
{
    struct slice part[5] = {S(""), S(""), S(""), S(""), S("")};
    struct http_header out[2][SIGV4_HEADERS];
    char memory[2][SIGV4_MEMORY];
    int n[2];
    enum err e[2];
    for (int i = 0; i < 5; i++)
        slice_cut(&s, '\n', &part[i]);
    if (part[0].n == 0)
        return; /* a method always is */
    const struct http_header h[] = {{S("content-type"), part[4]}, {S("x-amzn-a"), s}};
    struct sigv4_request r = {.method = part[0],
                              .host = part[1],
                              .path = part[2],
                              .query = part[3],
                              .header = h,
                              .headers = 2,
                              .tell_hash = true,
                              .region = S("eu-west-1"),
                              .service = S("bedrock"),
                              .keys = {S("AKID"), S("secret"), S("token")},
                              .now = NOW};
    for (int i = 0; i < 2; i++) {
        e[i] = sigv4_sign(&r, out[i], &n[i], memory[i], sizeof memory[i]);
        MUST(e[i] == OK || n[i] == 0);
    }
    MUST(e[0] == e[1] && (e[0] != OK || n[0] == 4));
    for (int i = 0; i < n[0]; i++) {
        MUST(slice_eq(out[0][i].value, out[1][i].value));
        MUST(is_header_value(out[0][i].value));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const targets[])(struct slice) = {fuzz_settings, fuzz_google,    fuzz_profile,
                                                    fuzz_answers,  fuzz_container, fuzz_sign,
                                                    fuzz_gitlab};
    if (size == 0)
        return 0;
    targets[data[0] % (sizeof targets / sizeof targets[0])](
        (struct slice){(const char *)data + 1, size - 1});
    return 0;
}
