/* Windows: reading what a reply tells of an account's limits, and bringing it together.
 *
 * Pure. Every reply tells, many at a time and not quite in order, and resets jitter by seconds: of
 * 1,564 "new windows" that a plain comparison saw in two days 99.4 % were none (scheduling.md D4).
 * Whatever cannot be understood is not told; a mistake here must never bench a healthy account. */
#include "accounts/inside.h"

#include <string.h>

#define SECOND       INT64_C(1000)
#define MINUTE       (60 * SECOND)
#define HOUR         (60 * MINUTE)
#define DAY          (24 * HOUR)
#define JITTER       MINUTE
#define USAGE_MAX    65536          /* bytes of a usage payload; a real one has 2 KiB */
#define LIMITS_MAX   64             /* entries of one that are looked at */
#define EARLIEST     946684800000.0 /* ms; 2000: what lies before is no time of a reset */
#define LATEST       4102444800000. /* the year 2100: no reset is later */
#define USED_MAX     1000.          /* of a window whose 1 is full: more is no use but a mistake */
#define MODELS_SLOTS 4

/* ---- names ----------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int64_t length;
} kinds[WINDOW_KINDS] = {
    [WINDOW_5H] = {"5h", 5 * HOUR},
    [WINDOW_7D] = {"7d", 7 * DAY},
    [WINDOW_7D_MODEL] = {"7d_model", 7 * DAY},
    [WINDOW_OVERAGE] = {"overage", 0},
    [WINDOW_REQUESTS] = {"requests", 0},
    [WINDOW_TOKENS] = {"tokens", 0},
    [WINDOW_INPUT] = {"input_tokens", 0},
    [WINDOW_OUTPUT] = {"output_tokens", 0},
};

const char *window_name(enum window_kind k)
{
    assert((int)k >= 0 && k < WINDOW_KINDS);
    return kinds[k].name;
}

int64_t window_length(enum window_kind k)
{
    assert((int)k >= 0 && k < WINDOW_KINDS);
    return kinds[k].length;
}

bool window_kind_of(struct slice name, enum window_kind *out)
{
    for (int k = 0; k < WINDOW_KINDS; k++) {
        if (slice_eq(name, slice_of(kinds[k].name))) {
            *out = (enum window_kind)k;
            return true;
        }
    }
    if (!slice_starts(name, S("7d_")) || name.n == 3)
        return false;
    *out = WINDOW_7D_MODEL;
    return true;
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The next run of letters and digits of `*s`; "" at its end. */
static struct slice word_cut(struct slice *s)
{
    size_t from = 0, to;
    while (from < s->n && !is_alpha(s->p[from]) && !(s->p[from] >= '0' && s->p[from] <= '9'))
        from++;
    for (to = from; to < s->n; to++) {
        if (!is_alpha(s->p[to]) && !(s->p[to] >= '0' && s->p[to] <= '9'))
            break;
    }
    struct slice word = slice_sub(*s, from, to);
    *s = slice_sub(*s, to, s->n);
    return word;
}

static const char *family_put(struct slice word, char out[WINDOW_FAMILY_MAX])
{
    text_copy(out, WINDOW_FAMILY_MAX, word);
    for (char *c = out; *c != '\0'; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
    return out;
}

/* An open set: families come and go with the models' names, so none is listed. A name alone
 * ("Opus") is one; of a longer name it is the first word behind "claude" that is no number. Others'
 * models have none: whoever cannot be told apart is not benched. */
const char *model_family(struct slice model, char out[WINDOW_FAMILY_MAX])
{
    struct slice rest = model, first = word_cut(&rest), word = first;
    if (first.n == model.n && first.n > 0 && is_alpha(first.p[0]) && !slice_ieq(first, S("claude")))
        return family_put(first, out);
    while (word.n > 0 && !slice_ieq(word, S("claude")))
        word = word_cut(&rest);
    while (word.n > 0 && (slice_ieq(word, S("claude")) || !is_alpha(word.p[0])))
        word = word_cut(&rest);
    return family_put(word, out);
}

/* ---- values ---------------------------------------------------------------------------------- */

bool window_word_closes(struct slice status)
{
    static const char *const words[] = {"rejected", "blocked", "rate_limited", "payment_required"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (slice_eq(status, slice_of(words[i])))
            return true;
    }
    return false;
}

bool window_reset_read(struct slice v, int64_t *at)
{
    double t = 0;
    int64_t ms = 0;
    if (text_f64(v, &t)) {
        t = t < 1e11 ? t * (double)SECOND : t;
        if (!(t > EARLIEST && t < LATEST))
            return false;
        ms = (int64_t)t;
    } else if (!text_rfc3339(v, &ms) || (double)ms <= EARLIEST || (double)ms >= LATEST) {
        return false;
    }
    *at = ms;
    return true;
}

int64_t reply_skew(const struct http_head *h, int64_t now)
{
    int64_t at = 0;
    const struct slice *date = h != NULL ? http_find(h, "date") : NULL;
    if (date == NULL || !text_http_date(*date, &at))
        return 0;
    int64_t skew = now - at, far = skew < 0 ? -skew : skew;
    return far > MINUTE && far <= DAY ? skew : 0;
}

/* Believable: not so far away that no such window could last until then. */
static int64_t reset_check(int64_t at, enum window_kind k, int64_t now)
{
    int64_t length = window_length(k) != 0 ? window_length(k) : 400 * DAY;
    return at - now > length + DAY ? 0 : at;
}

static bool used_read(struct slice v, double *out)
{
    double used = 0;
    if (!text_f64(v, &used) || !(used >= 0 && used <= USED_MAX))
        return false;
    *out = used;
    return true;
}

/* ---- headers --------------------------------------------------------------------------------- */

struct told { /* what one window's headers say, as text; the first of equal names counts */
    struct slice status, used, reset, limit, remaining;
};

struct sheet { /* what a head says, put in order */
    struct told window[WINDOW_KINDS];
    struct told model[MODELS_SLOTS]; /* of several classes */
    struct slice class_name[MODELS_SLOTS];
    struct told whole;
    struct slice claim, in_use;
    int models;
};

static void set_once(struct slice *to, struct slice value)
{
    if (to->p == NULL && value.n > 0)
        *to = value;
}

/* "status", "reset", "utilization" of a window. */
static void told_put(struct told *t, struct slice field, struct slice value)
{
    if (slice_eq(field, S("status")))
        set_once(&t->status, value);
    else if (slice_eq(field, S("reset")))
        set_once(&t->reset, value);
    else if (slice_eq(field, S("utilization")))
        set_once(&t->used, value);
    else if (slice_eq(field, S("limit")))
        set_once(&t->limit, value);
    else if (slice_eq(field, S("remaining")))
        set_once(&t->remaining, value);
}

static struct told *model_slot(struct sheet *s, struct slice class_name)
{
    for (int i = 0; i < s->models; i++) {
        if (slice_eq(s->class_name[i], class_name))
            return &s->model[i];
    }
    if (s->models == MODELS_SLOTS || class_name.n == 0)
        return NULL;
    s->class_name[s->models] = class_name;
    return &s->model[s->models++];
}

/* "NAME-FIELD" cut at its first '-'. */
static void unified_put(struct sheet *s, struct slice rest, struct slice value)
{
    struct slice field = rest, name;
    struct told *t = NULL;
    if (slice_eq(rest, S("representative-claim")))
        set_once(&s->claim, value);
    else if (slice_eq(rest, S("overage-in-use")))
        set_once(&s->in_use, value);
    if (slice_find(rest, '-') < 0) {
        told_put(&s->whole, rest, value);
        return;
    }
    if (!slice_cut(&field, '-', &name))
        return;
    if (slice_eq(name, S("5h")))
        t = &s->window[WINDOW_5H];
    else if (slice_eq(name, S("7d")))
        t = &s->window[WINDOW_7D];
    else if (slice_eq(name, S("overage")))
        t = &s->window[WINDOW_OVERAGE];
    else if (slice_starts(name, S("7d_")))
        t = model_slot(s, slice_sub(name, 3, name.n));
    if (t != NULL)
        told_put(t, field, value);
}

static void bucket_put(struct sheet *s, struct slice rest, struct slice value)
{
    static const struct {
        struct slice prefix;
        enum window_kind kind;
    } buckets[] = {{{"requests-", 9}, WINDOW_REQUESTS},
                   {{"tokens-", 7}, WINDOW_TOKENS},
                   {{"input-tokens-", 13}, WINDOW_INPUT},
                   {{"output-tokens-", 14}, WINDOW_OUTPUT}};
    for (size_t i = 0; i < sizeof buckets / sizeof buckets[0]; i++) {
        struct slice prefix = buckets[i].prefix;
        if (slice_starts(rest, prefix))
            told_put(&s->window[buckets[i].kind], slice_sub(rest, prefix.n, rest.n), value);
    }
}

/* False, and nothing of `s` set: the head has none of them. */
static bool sheet_read(const struct http_head *h, struct sheet *s)
{
    static const struct slice all = {"anthropic-ratelimit-", 20}, unified = {"unified-", 8};
    bool any = false;
    for (int i = 0; i < h->headers; i++) {
        struct slice rest = h->header[i].name;
        if (!slice_starts(rest, all))
            continue;
        if (!any)
            memset(s, 0, sizeof *s);
        any = true;
        rest = slice_sub(rest, all.n, rest.n);
        if (slice_starts(rest, unified))
            unified_put(s, slice_sub(rest, unified.n, rest.n), h->header[i].value);
        else
            bucket_put(s, rest, h->header[i].value);
    }
    return any;
}

/* `paid`: the reply was served from extra usage, so a full window refuses nobody. */
static struct window window_of(const struct told *t, enum window_kind k, bool paid, int64_t skew,
                               int64_t now)
{
    struct window w = {.used = -1, .seen_at = now};
    bool used = used_read(t->used, &w.used);
    if (window_reset_read(t->reset, &w.resets_at))
        w.resets_at = reset_check(w.resets_at + skew, k, now);
    w.known = used || w.resets_at != 0 || t->status.n > 0;
    /* The word decides; a full window without one is closed as long as its reset is to come. */
    w.closed = t->status.n > 0 ? window_word_closes(t->status) : w.used >= 1 && w.resets_at > now;
    if (paid) { /* full all the same: who does not want to pay must see it */
        w.used = window_word_closes(t->status) && w.used < 1 ? 1 : w.used;
        w.closed = false;
    }
    if (window_length(k) != 0 && w.resets_at != 0)
        w.started_at = w.resets_at - window_length(k);
    return w;
}

static struct window bucket_of(const struct told *t, enum window_kind k, int64_t skew, int64_t now)
{
    struct window w = {.used = -1, .seen_at = now};
    uint64_t limit = 0, left = 0;
    if (!text_u64(t->limit, &limit) || !text_u64(t->remaining, &left) || limit == 0)
        return w;
    w.known = true;
    w.used = left >= limit ? 0 : 1 - (double)left / (double)limit;
    if (window_reset_read(t->reset, &w.resets_at))
        w.resets_at = reset_check(w.resets_at + skew, k, now);
    w.closed = left == 0 && w.resets_at > now;
    return w;
}

/* Of two windows of model classes the one that binds. */
static bool is_tighter(const struct window *a, const struct window *b)
{
    if (!b->known || a->closed != b->closed)
        return !b->known || a->closed;
    return a->used > b->used;
}

/* A class, but not which. */
static bool is_untold_class(struct slice name)
{
    return slice_eq(name, S("oi")) || slice_eq(name, S("overage_included"));
}

static void models_of(const struct sheet *s, bool paid, int64_t skew, int64_t now,
                      struct window *out)
{
    struct window best = {0};
    for (int i = 0; i < s->models; i++) {
        struct window w = window_of(&s->model[i], WINDOW_7D_MODEL, paid, skew, now);
        if (!is_untold_class(s->class_name[i]))
            (void)family_put(s->class_name[i], w.family);
        if (w.known && is_tighter(&w, &best))
            best = w;
    }
    if (best.known)
        *out = best;
}

/* A head may tell the overall verdict only, and by which window it came to it. */
static void claim_apply(struct sheet *s)
{
    struct told *t = NULL;
    if (slice_eq(s->claim, S("five_hour")))
        t = &s->window[WINDOW_5H];
    else if (slice_eq(s->claim, S("seven_day")))
        t = &s->window[WINDOW_7D];
    else if (slice_starts(s->claim, S("seven_day_")))
        t = model_slot(s, slice_sub(s->claim, 10, s->claim.n));
    if (t != NULL && t->status.n == 0 && t->reset.n == 0 && t->used.n == 0)
        *t = s->whole;
}

/* "x-ratelimit-limit-requests: 500", with how long until it is full again as a duration. Such a
 * bucket is one model's, so an empty one closes nothing: who is refused says so, and until when. */
static struct window duration_bucket(const struct http_head *h, const char *kind, int64_t now)
{
    static const char *const fields[] = {"limit", "remaining", "reset"};
    struct window w = {.used = -1, .seen_at = now};
    struct slice value[3] = {{"", 0}, {"", 0}, {"", 0}};
    uint64_t limit = 0, left = 0;
    int64_t in = 0;
    for (int i = 0; i < 3; i++) {
        char name[48];
        text_format(name, sizeof name, "x-ratelimit-%s-%s", fields[i], kind);
        const struct slice *v = http_find(h, name);
        value[i] = v != NULL ? *v : value[i];
    }
    if (!text_u64(value[0], &limit) || !text_u64(value[1], &left) || limit == 0)
        return w;
    w.known = true;
    w.used = left >= limit ? 0 : 1 - (double)left / (double)limit;
    if (duration_read(value[2], &in) && in > 0 && in <= DAY)
        w.resets_at = now + in;
    return w;
}

/* wire/openai.md section 5; Cerebras says besides of what span a bucket is. */
static int durations_read(const struct http_head *h, int64_t now, struct window out[WINDOW_KINDS])
{
    static const struct {
        const char *kind;
        enum window_kind as;
    } buckets[] = {{"requests-day", WINDOW_REQUESTS},
                   {"tokens-minute", WINDOW_TOKENS},
                   {"requests", WINDOW_REQUESTS},
                   {"tokens", WINDOW_TOKENS}};
    int n = 0;
    for (size_t i = 0; i < sizeof buckets / sizeof buckets[0]; i++) {
        struct window w = duration_bucket(h, buckets[i].kind, now);
        if (!w.known)
            continue;
        n += !out[buckets[i].as].known;
        out[buckets[i].as] = w;
    }
    return n;
}

/* Anthropic's headers. */
static int sheet_windows(const struct http_head *h, int64_t now, struct window out[WINDOW_KINDS])
{
    struct sheet s FILLED_LATER;
    int n = 0;
    if (!sheet_read(h, &s))
        return 0;
    claim_apply(&s);
    int64_t skew = reply_skew(h, now);
    bool good = h->status >= 200 && h->status < 300;
    bool pays = slice_eq(s.in_use, S("true"));
    bool paid = good && (pays || slice_starts(s.window[WINDOW_OVERAGE].status, S("allowed")));
    for (int i = 0; i < WINDOW_KINDS; i++) {
        enum window_kind k = (enum window_kind)i;
        struct window w = {0};
        if (k == WINDOW_7D_MODEL)
            models_of(&s, paid, skew, now, &w);
        else if (k >= WINDOW_REQUESTS)
            w = bucket_of(&s.window[k], k, skew, now);
        else
            w = window_of(&s.window[k], k, paid && k != WINDOW_OVERAGE, skew, now);
        if (k == WINDOW_OVERAGE && good && pays)
            w.known = true;
        if (w.known)
            out[k] = w;
        n += w.known;
    }
    return n;
}

int windows_read_head(const struct http_head *h, int64_t now, struct window out[WINDOW_KINDS])
{
    int n = sheet_windows(h, now, out);
    /* Most providers tell none, or Anthropic's: one look at a name that all of them have. */
    if (http_find(h, "x-ratelimit-limit-requests") != NULL ||
        http_find(h, "x-ratelimit-limit-tokens") != NULL ||
        http_find(h, "x-ratelimit-limit-requests-day") != NULL)
        n += durations_read(h, now, out);
    return n;
}

/* ---- the usage payload ----------------------------------------------------------------------- */

static int64_t reset_of(const struct json_val *v, enum window_kind k, int64_t now)
{
    struct slice text;
    int64_t at = 0;
    double number = 0;
    char digits[TEXT_F64_MAX];
    if (json_f64(v, &number))
        text = (struct slice){digits, text_from_f64(number, digits)};
    else if (!json_str(v, &text))
        return 0;
    return window_reset_read(text, &at) ? reset_check(at, k, now) : 0;
}

/* One window of either shape; `percent` names its use. Not known when it has none. */
static struct window usage_window(const struct json_val *v, const char *percent, enum window_kind k,
                                  bool extra, int64_t now)
{
    struct window w = {.used = -1, .seen_at = now};
    double used = 0;
    if (!json_f64(json_get(v, percent), &used) || !(used >= 0 && used <= 100 * USED_MAX))
        return w;
    w.known = true;
    w.used = used / 100;
    w.resets_at = reset_of(json_get(v, "resets_at"), k, now);
    w.closed = w.used >= 1 && w.resets_at > now && !extra;
    if (w.resets_at != 0) /* null: idle, the next message opens it */
        w.started_at = w.resets_at - window_length(k);
    return w;
}

static void usage_put(struct window *out, const struct window *w)
{
    if (w->known)
        *out = *w;
}

/* Of all families the tightest window counts, or that of `only`. */
static void usage_put_model(struct window *out, struct window *w, struct slice family,
                            const char *only)
{
    (void)model_family(family, w->family);
    if (only != NULL && strcmp(w->family, only) != 0)
        return;
    if (w->known && is_tighter(w, out))
        *out = *w;
}

/* {"five_hour": {...}, "seven_day": {...}, "seven_day_opus": {...}} */
static void usage_flat(const struct json_val *root, bool extra, const char *only, int64_t now,
                       struct window out[WINDOW_KINDS])
{
    struct slice key;
    const struct json_val *v;
    for (size_t i = 0; i < LIMITS_MAX && json_member(root, i, &key, &v); i++) {
        enum window_kind k = WINDOW_7D_MODEL;
        if (slice_eq(key, S("five_hour")))
            k = WINDOW_5H;
        else if (slice_eq(key, S("seven_day")))
            k = WINDOW_7D;
        else if (!slice_starts(key, S("seven_day_")) || slice_eq(key, S("seven_day_oauth_apps")))
            continue;
        struct window w = usage_window(v, "utilization", k, extra, now);
        if (k == WINDOW_7D_MODEL)
            usage_put_model(&out[k], &w, slice_sub(key, 10, key.n), only);
        else
            usage_put(&out[k], &w);
    }
}

/* {"limits": [{"kind": "session", "percent": 42, ...}, ...]} */
static void usage_limits(const struct json_val *list, bool extra, const char *only, int64_t now,
                         struct window out[WINDOW_KINDS])
{
    for (size_t i = 0; i < json_len(list) && i < LIMITS_MAX; i++) {
        const struct json_val *v = json_at(list, i);
        struct slice kind = json_get_str(v, "kind");
        enum window_kind k = WINDOW_7D_MODEL;
        if (slice_eq(kind, S("session")))
            k = WINDOW_5H;
        else if (slice_eq(kind, S("weekly_all")))
            k = WINDOW_7D;
        else if (!slice_eq(kind, S("weekly_scoped")))
            continue;
        struct window w = usage_window(v, "percent", k, extra, now);
        if (k != WINDOW_7D_MODEL) {
            usage_put(&out[k], &w);
            continue;
        }
        const struct json_val *model = json_get(json_get(v, "scope"), "model");
        struct slice family = json_get_str(model, "display_name");
        usage_put_model(&out[k], &w, family.n > 0 ? family : json_get_str(model, "id"), only);
    }
}

/* Extra usage: "extra_usage" in the old shape, "spend" in the new. True when it is on. */
static bool usage_extra(const struct json_val *root, int64_t now, struct window *out)
{
    const struct json_val *old = json_get(root, "extra_usage"), *fresh = json_get(root, "spend");
    bool told = false, on = false, value = false;
    double percent = -1;
    if (json_bool(json_get(old, "is_enabled"), &value)) {
        told = true;
        on = value;
        (void)json_f64(json_get(old, "utilization"), &percent);
    }
    if (json_bool(json_get(fresh, "enabled"), &value)) {
        told = true;
        on = value;
        (void)json_f64(json_get(fresh, "percent"), &percent);
    }
    if (!told)
        return false;
    bool fair = percent >= 0 && percent <= 100 * USED_MAX;
    on = on && !(fair && percent >= 100);
    *out = (struct window){
        .known = true, .closed = !on, .used = fair ? percent / 100 : -1, .seen_at = now};
    return on;
}

static bool usage_read(struct slice body, const char *only, int64_t now,
                       struct window seen[WINDOW_KINDS])
{
    struct json *doc = NULL;
    if (body.n > USAGE_MAX || json_parse(body, &doc) != OK)
        return false;
    const struct json_val *root = json_root(doc);
    bool extra = usage_extra(root, now, &seen[WINDOW_OVERAGE]);
    usage_flat(root, extra, only, now, seen);
    usage_limits(json_get(root, "limits"), extra, only, now, seen);
    json_free(doc);
    return true;
}

bool windows_read_usage_of(struct slice body, const char *family, int64_t now, struct window *out)
{
    struct window seen[WINDOW_KINDS] = {0};
    assert(family[0] != '\0');
    if (!usage_read(body, family, now, seen) || !seen[WINDOW_7D_MODEL].known)
        return false;
    *out = seen[WINDOW_7D_MODEL];
    return true;
}

int windows_read_usage(struct slice body, int64_t now, struct window out[WINDOW_KINDS])
{
    struct window seen[WINDOW_KINDS] = {0};
    int n = 0;
    if (!usage_read(body, NULL, now, seen))
        return 0;
    for (int k = 0; k < WINDOW_KINDS; k++) {
        if (seen[k].known)
            out[k] = seen[k];
        n += seen[k].known;
    }
    return n;
}

/* ---- what is known --------------------------------------------------------------------------- */

static bool window_same(const struct window *a, const struct window *b)
{
    return a->known == b->known && a->closed == b->closed && !(a->used < b->used) &&
           !(a->used > b->used) && a->started_at == b->started_at && a->resets_at == b->resets_at &&
           strcmp(a->family, b->family) == 0;
}

/* Takes it whole; what the new window does not tell is not known of it. */
static bool window_take(struct window *known, const struct window *seen)
{
    bool same = window_same(known, seen);
    *known = *seen;
    return !same;
}

/* The same window seen again. */
static bool window_again(struct window *known, const struct window *seen)
{
    struct window next = *known;
    bool opens = known->closed && !seen->closed;
    if (seen->used > next.used)
        next.used = seen->used;
    if (next.resets_at == 0 || (seen->closed && seen->resets_at > next.resets_at))
        next.resets_at = seen->resets_at;
    if (next.started_at == 0)
        next.started_at = seen->started_at;
    if (next.family[0] == '\0')
        text_copy(next.family, sizeof next.family, slice_of(seen->family));
    if (opens && seen->seen_at - known->seen_at <= JITTER) {
        next.seen_at = known->seen_at; /* the closing stays what is dated: it must not last on */
    } else {
        next.closed = seen->closed;
        next.seen_at = seen->seen_at;
    }
    bool same = window_same(known, &next);
    *known = next;
    return !same;
}

/* Whose class a window of a model class is may be told by one side only, or by neither; a closing
 * that may be another family's must not become this one's. True: `seen` is about something else. */
static bool is_other_family(const struct window *known, const struct window *seen)
{
    if (seen->family[0] != '\0')
        return known->family[0] != '\0' && strcmp(known->family, seen->family) != 0;
    return known->family[0] != '\0' && seen->closed && !known->closed;
}

bool window_merge(struct window *known, const struct window *seen, enum window_kind k)
{
    if (!seen->known || (known->known && seen->seen_at < known->seen_at))
        return false;
    if (!known->known || window_length(k) == 0)
        return window_take(known, seen);
    if (k == WINDOW_7D_MODEL && is_other_family(known, seen)) {
        bool holds = window_closed_until(known, k, seen->seen_at) != 0;
        return holds && !seen->closed ? false : window_take(known, seen);
    }
    bool over = known->resets_at != 0 && known->resets_at <= seen->seen_at;
    if (seen->resets_at == 0)
        return over ? window_take(known, seen) : window_again(known, seen);
    if (known->resets_at == 0)
        return window_again(known, seen);
    int64_t moved = seen->resets_at - known->resets_at;
    if (moved >= -JITTER && moved <= JITTER)
        return window_again(known, seen);
    /* Backward and past: news of the window before this one, late. */
    if (moved < 0 && seen->resets_at <= seen->seen_at)
        return false;
    struct window next = *seen;
    if (next.family[0] == '\0')
        text_copy(next.family, sizeof next.family, slice_of(known->family));
    return window_take(known, &next);
}

double window_used(const struct window *w, int64_t now)
{
    if (!w->known)
        return -1;
    return w->resets_at != 0 && w->resets_at <= now ? 0 : w->used;
}

static int64_t closed_until(const struct window *w, int64_t length, int64_t now)
{
    int64_t until = w->resets_at;
    if (!w->known || !w->closed || until == 0)
        return 0;
    if (until - w->seen_at > length)
        until = w->seen_at + length;
    return until > now ? until : 0;
}

int64_t window_closed_until(const struct window *w, enum window_kind k, int64_t now)
{
    return closed_until(w, window_length(k) != 0 ? window_length(k) : 7 * DAY, now);
}

bool window_is_closed(const struct window *w, int64_t now)
{
    int64_t length = w->started_at != 0 ? w->resets_at - w->started_at : 7 * DAY;
    return closed_until(w, length > 0 ? length : 0, now) != 0;
}

double window_burn(const struct window *w, int64_t now)
{
    int64_t ms = w->seen_at - w->started_at;
    if (!w->known || w->started_at == 0 || !(w->used >= 0) || ms < MINUTE || w->resets_at <= now)
        return -1;
    return w->used * (double)HOUR / (double)ms;
}
