/* What a person says about an account besides its row: flags become members of its settings, a JSON
 * object, and members become part of what is shown. What they mean is read in accounts, and nowhere
 * else. */
#include "admin/inside.h"

#include <string.h>

enum setting_kind {
    SETTING_LOGIN, /* a text, of accounts that have a login */
    SETTING_TEXT,
    SETTING_LIST,
    SETTING_OPTION, /* a text of which one provider or the other knows something */
    SETTING_AMOUNT, /* likewise a number; 0 is what it is without */
    SETTING_MODELS, /* PATTERN=NAME,... */
    SETTING_NUMBER, /* 0 is what it is without */
    SETTING_SWITCH
};
static const struct setting {
    const char *arg, *key; /* the argument's name, the member's */
    enum setting_kind kind;
} SETTINGS[] = {
    {"client_id", "client_id", SETTING_LOGIN},
    {"token_url", "token_url", SETTING_LOGIN},
    {"authorize_url", "authorize_url", SETTING_LOGIN},
    {"redirect_uri", "redirect_uri", SETTING_LOGIN},
    {"scope", "scope", SETTING_LOGIN},
    {"key_url", "key_url", SETTING_LOGIN},
    {"group", "groups", SETTING_LIST},
    {"quota", "quota", SETTING_TEXT},
    {"concurrency", "concurrency", SETTING_NUMBER},
    {"pause_at", "pause_at", SETTING_NUMBER},
    {"pause_on_overage", "pause_on_overage", SETTING_SWITCH},
    {"peak_hours", "peak_hours", SETTING_TEXT},
    {"model", "models", SETTING_MODELS},
    {"dialect", "dialect", SETTING_OPTION},
    {"region", "region", SETTING_OPTION},
    {"project", "project", SETTING_OPTION},
    {"quota_project", "quota_project", SETTING_OPTION},
    {"resource", "resource", SETTING_OPTION},
    {"deployment", "deployment", SETTING_OPTION},
    {"api_version", "api_version", SETTING_OPTION},
    {"tenant_id", "tenant_id", SETTING_OPTION},
    {"credential", "credential", SETTING_OPTION},
    {"profile", "profile", SETTING_OPTION},
    {"inference_profile", "inference_profile", SETTING_OPTION},
    {"num_ctx", "num_ctx", SETTING_AMOUNT},
};
#define SETTINGS_N (sizeof SETTINGS / sizeof *SETTINGS)

static bool is_given(const struct verb_call *c, const struct setting *s)
{
    return verb_arg_find(c->verb, slice_of(s->arg)) >= 0 && call_has(c, s->arg);
}

const char *settings_of_login(const struct verb_call *c)
{
    for (size_t i = 0; i < SETTINGS_N; i++)
        if (SETTINGS[i].kind == SETTING_LOGIN && is_given(c, &SETTINGS[i]))
            return SETTINGS[i].arg;
    return NULL;
}

static bool is_listed(const char *words, const char *word)
{
    struct slice rest = slice_of(words), one;
    while (slice_cut(&rest, ' ', &one))
        if (slice_eq(one, slice_of(word)))
            return true;
    return false;
}

static void flags_print(const char *words, char *out, size_t size)
{
    struct slice rest = slice_of(words), one;
    size_t n = 0;
    out[0] = '\0';
    while (slice_cut(&rest, ' ', &one))
        n += text_format(out + n, size - n, "%s--%.*s", n > 0 ? ", " : "", (int)one.n, one.p);
    for (char *p = out; *p != '\0'; p++)
        if (*p == '_')
            *p = '-';
}

bool settings_fit(struct verb_call *c, const struct provider *p)
{
    char flag[64], known[256];
    for (size_t i = 0; i < SETTINGS_N; i++) {
        const struct setting *s = &SETTINGS[i];
        bool taken_away = s->kind == SETTING_OPTION && is_given(c, s) &&
                          call_text(c, s->arg)[0] == '\0';
        if ((s->kind != SETTING_OPTION && s->kind != SETTING_AMOUNT) || !is_given(c, s) ||
            taken_away || strcmp(s->key, "dialect") == 0 || is_listed(p->settings, s->key))
            continue;
        flags_print(s->key, flag, sizeof flag);
        flags_print(p->settings, known, sizeof known);
        call_fail(c, FAIL_USAGE, "%s is nothing that provider `%s` has: it has %s", flag, p->name,
                  known[0] != '\0' ? known : "no settings of its own");
        return false;
    }
    return true;
}

/* ---- flags into settings
 * ------------------------------------------------------------------------------- */

void json_copy(struct jw *w, const struct json_val *v)
{
    struct slice s;
    const struct json_val *m;
    int64_t i;
    double d;
    bool b;
    switch (json_type(v)) {
    case JSON_OBJECT:
        jw_obj(w);
        for (size_t k = 0; json_member(v, k, &s, &m); k++) {
            char key[256];
            text_copy(key, sizeof key, s);
            jw_key(w, key);
            json_copy(w, m);
        }
        jw_end_obj(w);
        break;
    case JSON_ARRAY:
        jw_arr(w);
        for (size_t k = 0; k < json_len(v); k++)
            json_copy(w, json_at(v, k));
        jw_end_arr(w);
        break;
    case JSON_STRING:
        json_str(v, &s);
        jw_str(w, s);
        break;
    case JSON_NUMBER:
        if (json_i64(v, &i))
            jw_i64(w, i);
        else if (json_f64(v, &d))
            jw_f64(w, d);
        break;
    case JSON_BOOL:
        json_bool(v, &b);
        jw_bool(w, b);
        break;
    default:
        jw_null(w);
    }
}

static bool is_replaced(const struct verb_call *c, struct slice key)
{
    for (size_t i = 0; i < SETTINGS_N; i++)
        if (slice_eq(key, slice_of(SETTINGS[i].key)))
            return is_given(c, &SETTINGS[i]);
    return false;
}

static void list_put(struct jw *w, const char *text)
{
    struct slice rest = slice_of(text), one;
    jw_arr(w);
    while (slice_cut(&rest, ',', &one))
        if (slice_trim(one).n > 0)
            jw_str(w, slice_trim(one));
    jw_end_arr(w);
}

/* One of "PATTERN=NAME,..."; false behind the last. No '=': the pattern is empty. */
static bool model_cut(struct slice *rest, struct slice *pattern, struct slice *name)
{
    struct slice one = S("");
    do {
        if (!slice_cut(rest, ',', &one))
            return false;
        one = slice_trim(one);
    } while (one.n == 0);
    *name = one;
    *pattern = S("");
    if (slice_find(one, '=') >= 0)
        (void)slice_cut(name, '=', pattern);
    *pattern = slice_trim(*pattern);
    *name = slice_trim(*name);
    return true;
}

/* The i-th place's pattern stands before it already: its name is in that one's list. */
static bool model_is_again(struct slice text, struct slice pattern, int i)
{
    struct slice before, name;
    for (int k = 0; k < i && model_cut(&text, &before, &name); k++)
        if (slice_eq(before, pattern))
            return true;
    return false;
}

/* All names that are given for a pattern: one, or a list that is taken in turns. */
static void model_names(struct jw *w, struct slice text, struct slice pattern)
{
    struct slice rest = text, other, name;
    int n = 0;
    while (model_cut(&rest, &other, &name))
        n += slice_eq(other, pattern);
    if (n > 1)
        jw_arr(w);
    while (model_cut(&text, &other, &name))
        if (slice_eq(other, pattern))
            jw_str(w, name);
    if (n > 1)
        jw_end_arr(w);
}

bool models_put(struct verb_call *c, struct jw *w, const char *text)
{
    struct slice rest = slice_of(text), pattern, name;
    char key[STORE_MODEL_MAX];
    jw_obj(w);
    for (int i = 0; model_cut(&rest, &pattern, &name); i++) {
        if (pattern.n == 0 || pattern.n >= sizeof key) {
            call_fail(c, FAIL_USAGE,
                      "a mapping is PATTERN=NAME, what is asked for and what it is called here, "
                      "like opus=glm-5.3: `%.*s` is none",
                      (int)(name.n < 60 ? name.n : 60), name.p);
            return false;
        }
        if (model_is_again(slice_of(text), pattern, i))
            continue;
        text_copy(key, sizeof key, pattern);
        jw_key(w, key);
        model_names(w, slice_of(text), pattern);
    }
    jw_end_obj(w);
    return true;
}

/* An empty value, or a number that is 0, is what there is without the member. False: the call has
 * been failed. */
static bool setting_put(struct jw *w, struct verb_call *c, const struct setting *s)
{
    bool amount = s->kind == SETTING_NUMBER || s->kind == SETTING_AMOUNT;
    const char *text = amount ? "0" : call_text(c, s->arg);
    int64_t number = amount ? call_int(c, s->arg, 0) : 1;
    if (text[0] == '\0' || number == 0)
        return true;
    jw_key(w, s->key);
    switch (s->kind) {
    case SETTING_NUMBER:
    case SETTING_AMOUNT:
        jw_i64(w, number);
        break;
    case SETTING_SWITCH:
        jw_bool(w, call_flag(c, s->arg, false));
        break;
    case SETTING_LIST:
        list_put(w, text);
        break;
    case SETTING_MODELS:
        return models_put(c, w, text);
    case SETTING_LOGIN:
    case SETTING_TEXT:
    case SETTING_OPTION:
        jw_cstr(w, text);
        break;
    }
    return true;
}

const struct group *call_group(struct verb_call *c, const char *name)
{
    const struct group *g = accounts_group(c->admin->p.accounts, name);
    if (g == NULL)
        call_fail(c, FAIL_NOT_FOUND,
                  "there is no group `%s`; `sluice group list` shows them, `sluice group set %s` "
                  "makes it",
                  name, name);
    return g;
}

/* Groups that were named just now must be there: a misspelt one would have the account serve
 * nobody. */
static bool groups_are_known(struct verb_call *c)
{
    char name[STORE_GROUP_MAX];
    struct slice rest = slice_of(call_text(c, "group")), one;
    while (slice_cut(&rest, ',', &one)) {
        one = slice_trim(one);
        if (one.n >= sizeof name) {
            call_fail(c, FAIL_USAGE, "the group's name `%.*s` is too long: at most %d characters",
                      (int)(one.n < 40 ? one.n : 40), one.p, STORE_GROUP_MAX - 1);
            return false;
        }
        text_copy(name, sizeof name, one);
        if (one.n > 0 && call_group(c, name) == NULL)
            return false;
    }
    return true;
}

bool settings_merge(struct verb_call *c, char settings[STORE_SETTINGS_MAX])
{
    struct json *doc = NULL;
    struct slice key;
    const struct json_val *value;
    struct buf out;
    struct jw w;
    enum err e = settings[0] != '\0' ? json_parse(slice_of(settings), &doc) : OK;
    if (e == OK && verb_arg_find(c->verb, S("group")) >= 0 && call_has(c, "group") &&
        !groups_are_known(c)) {
        json_free(doc);
        return false;
    }
    buf_init(&out, STORE_SETTINGS_MAX - 1);
    jw_init(&w, &out);
    jw_obj(&w);
    for (size_t i = 0; json_member(json_root(doc), i, &key, &value); i++) {
        char name[256];
        text_copy(name, sizeof name, key);
        if (is_replaced(c, key))
            continue;
        jw_key(&w, name);
        json_copy(&w, value);
    }
    for (size_t i = 0; i < SETTINGS_N; i++) {
        if (!is_given(c, &SETTINGS[i]) || setting_put(&w, c, &SETTINGS[i]))
            continue;
        buf_free(&out);
        json_free(doc);
        return false;
    }
    jw_end_obj(&w);
    e = e == OK ? w.err : e;
    if (e == OK)
        text_copy(settings, STORE_SETTINGS_MAX, out.len > 2 ? buf_slice(&out) : S(""));
    buf_free(&out);
    json_free(doc);
    if (e == ERR_LIMIT)
        call_fail(c, FAIL_USAGE, "its settings are too long together: at most %d bytes",
                  STORE_SETTINGS_MAX - 1);
    else if (e != OK)
        call_fail(c, FAIL_STORE, "its settings cannot be read: remove the account, add it again");
    return e == OK;
}

/* ---- settings shown
 * ------------------------------------------------------------------------------------ */

void settings_write(struct jw *w, const struct account *a)
{
    struct account_policy p;
    struct json *doc = NULL;
    char why[ADMIN_WHY_MAX];
    if (account_policy_read(slice_of(a->settings), &p, why, sizeof why) != OK)
        p = (struct account_policy){0};
    jw_key(w, "groups");
    jw_arr(w);
    for (int i = 0; i < p.groups; i++)
        jw_cstr(w, p.group[i]);
    if (p.groups == 0)
        jw_cstr(w, GROUP_DEFAULT);
    jw_end_arr(w);
    jw_kcstr(w, "quota", p.quota);
    jw_ki64(w, "concurrency", p.concurrency);
    jw_ki64(w, "pause_at", p.pause_at);
    jw_kbool(w, "pause_on_overage", p.pause_on_overage);
    if (a->settings[0] != '\0' && json_parse(slice_of(a->settings), &doc) != OK)
        doc = NULL;
    jw_kstr(w, "peak_hours", json_get_str(json_root(doc), "peak_hours"));
    jw_key(w, "models");
    models_write(a->models, w);
    jw_key(w, "options");
    jw_obj(w);
    for (size_t i = 0; i < SETTINGS_N; i++) {
        struct slice text = json_get_str(json_root(doc), SETTINGS[i].key);
        if (SETTINGS[i].kind == SETTING_OPTION && text.n > 0)
            jw_kstr(w, SETTINGS[i].key, text);
        int64_t amount = json_get_i64(json_root(doc), SETTINGS[i].key, 0);
        if (SETTINGS[i].kind == SETTING_AMOUNT && amount > 0)
            jw_ki64(w, SETTINGS[i].key, amount);
    }
    jw_end_obj(w);
    json_free(doc);
}
