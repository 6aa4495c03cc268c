/* script: reads scenario files. Line based; a block is what is indented below a line. */
#include "script.h"

#include "house.h"
#include "send.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_MAX   4096 /* lines */
#define WORDS_MAX   32
#define NESTING_MAX 8 /* of include and %use */

struct reader {
    struct script *s;
    const char *file;
    struct slice text; /* what is left of the file */
    int line;
    int depth;
    struct slice block[BLOCK_MAX]; /* of the line being read, indentation gone, expanded */
    int block_n;
    struct slice word[WORDS_MAX];
    int words;
};

static bool fail(struct reader *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
static bool fail(struct reader *r, const char *fmt, ...)
{
    char what[300];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    assert(n >= 0);
    if (r->s->error[0] == '\0')
        text_format(r->s->error, sizeof r->s->error, "%s:%d: %s", r->file, r->line, what);
    return false;
}

static struct slice keep(struct script *s, struct slice text)
{
    struct slice copy = arena_dup(&s->arena, text);
    assert(copy.p != NULL);
    return copy;
}

/* ---- lines, variables, blocks -------------------------------------------------------- */

static bool variable_find(struct reader *r, struct slice name, struct slice *out)
{
    const char *value = map_get(&r->s->names, name);
    if (value != NULL) {
        *out = slice_of(value);
        return true;
    }
    for (int i = 0; i < r->s->keys; i++) {
        char full[STORE_NAME_MAX + 8];
        text_format(full, sizeof full, "key.%.*s", (int)r->s->key[i].name.n, r->s->key[i].name.p);
        if (slice_eq(slice_of(full), name)) {
            *out = r->s->key[i].text;
            return true;
        }
    }
    return fail(r, "nothing is called ${%.*s}", (int)name.n, name.p);
}

/* Replaces every ${name}. */
static struct slice substitute(struct reader *r, struct slice line)
{
    struct bytes out = {0};
    ptrdiff_t at = slice_search(line, S("${"));
    if (at < 0)
        return line;
    while (at >= 0) {
        struct slice tail = slice_sub(line, (size_t)at + 2, line.n), value = S("");
        ptrdiff_t end = slice_find(tail, '}');
        if (end < 0) {
            (void)fail(r, "${ without }");
            break;
        }
        (void)variable_find(r, slice_sub(tail, 0, (size_t)end), &value);
        bytes_puts(&out, slice_sub(line, 0, (size_t)at));
        bytes_puts(&out, value);
        line = slice_sub(tail, (size_t)end + 1, tail.n);
        at = slice_search(line, S("${"));
    }
    bytes_puts(&out, line);
    struct slice kept = keep(r->s, bytes_slice(&out));
    bytes_free(&out);
    return kept;
}

static struct slice line_next(struct reader *r)
{
    struct slice line = S("");
    (void)slice_cut(&r->text, '\n', &line);
    r->line++;
    return slice_ends(line, S("\r")) ? slice_sub(line, 0, line.n - 1) : line;
}

static void block_line(struct reader *r, struct slice line, int depth)
{
    if (slice_starts(line, S("# ")))
        return;
    if (slice_starts(line, S("%use "))) {
        struct slice name = slice_trim(slice_sub(line, 5, line.n)), part;
        const char *body = map_get(&r->s->blocks, name);
        struct slice rest = slice_of(body);
        if (body == NULL || depth == NESTING_MAX)
            (void)fail(r, "cannot %%use `%.*s`", (int)name.n, name.p);
        else
            while (slice_cut(&rest, '\n', &part))
                block_line(r, part, depth + 1);
        return;
    }
    if (r->block_n == BLOCK_MAX) {
        (void)fail(r, "a block of more than %d lines", BLOCK_MAX);
        return;
    }
    r->block[r->block_n++] = substitute(r, line);
}

/* The raw lines below the current one: indented by four, or blank; blank ones at the end are no
 * part. */
static struct slice block_raw(struct reader *r)
{
    struct bytes raw = {0};
    size_t solid = 0;
    for (;;) {
        struct slice ahead = r->text, line;
        if (!slice_cut(&ahead, '\n', &line))
            break;
        bool blank = slice_trim(line).n == 0;
        if (!blank && !slice_starts(line, S("    ")))
            break;
        line = line_next(r);
        if (!blank)
            bytes_puts(&raw, slice_sub(line, 4, line.n));
        bytes_puts(&raw, S("\n"));
        if (!blank)
            solid = raw.n;
    }
    raw.n = solid;
    struct slice kept = keep(r->s, bytes_slice(&raw));
    bytes_free(&raw);
    return kept;
}

static void block_read(struct reader *r)
{
    struct slice raw = block_raw(r), line;
    r->block_n = 0;
    while (slice_cut(&raw, '\n', &line))
        block_line(r, line, 0);
}

static void words_read(struct reader *r, struct slice line)
{
    struct slice part;
    r->words = 0;
    while (slice_cut(&line, ' ', &part))
        if (part.n > 0 && r->words < WORDS_MAX)
            r->word[r->words++] = part;
}

static bool word_is(const struct reader *r, int i, const char *text)
{
    return i < r->words && slice_eq(r->word[i], slice_of(text));
}

static bool pair_cut(struct slice word, struct slice *key, struct slice *value)
{
    ptrdiff_t eq = slice_find(word, '=');
    if (eq <= 0)
        return false;
    *key = slice_sub(word, 0, (size_t)eq);
    *value = slice_sub(word, (size_t)eq + 1, word.n);
    return true;
}

/* ---- checks -------------------------------------------------------------------------- */

static struct slice unescaped(struct reader *r, struct slice text)
{
    struct bytes b = {0};
    bytes_unescape(&b, text);
    struct slice kept = keep(r->s, bytes_slice(&b));
    bytes_free(&b);
    return kept;
}

static bool starts_message(struct slice line)
{
    size_t i = 0;
    if (slice_starts(line, S("HTTP/")))
        return true;
    while (i < line.n && line.p[i] >= 'A' && line.p[i] <= 'Z')
        i++;
    if (i > 1 && i < line.n && line.p[i] == ' ')
        return true;
    /* a status, perhaps with wildcards: 200, 4*, * */
    for (i = 0; i < line.n && (line.p[i] == '*' || (line.p[i] >= '0' && line.p[i] <= '9')); i++)
        ;
    return i > 0 && i == line.n;
}

static bool body_check(struct reader *r, struct slice rest, struct check *c)
{
    if (slice_starts(rest, S("= @"))) {
        c->kind = CHECK_BODY_SAME;
        c->value = slice_sub(rest, 2, rest.n);
    } else if (slice_starts(rest, S("="))) {
        c->kind = CHECK_BODY_IS;
        c->value = unescaped(r, slice_trim(slice_sub(rest, 1, rest.n)));
    } else if (slice_starts(rest, S("~ "))) {
        c->kind = CHECK_BODY_HAS;
        c->value = unescaped(r, slice_sub(rest, 2, rest.n));
    } else if (slice_starts(rest, S("!~ "))) {
        c->kind = CHECK_BODY_LACKS;
        c->value = unescaped(r, slice_sub(rest, 3, rest.n));
    } else if (slice_starts(rest, S("like "))) {
        c->kind = CHECK_BODY_LIKE;
        c->value = unescaped(r, slice_sub(rest, 5, rest.n));
    } else {
        return fail(r, "body what?");
    }
    return true;
}

/* "NAME SEP VALUE" behind a keyword. */
static bool three_parts(struct slice rest, const char *sep, struct check *c)
{
    ptrdiff_t at = slice_search(rest, slice_of(sep));
    if (at <= 0)
        return false;
    c->name = slice_trim(slice_sub(rest, 0, (size_t)at));
    c->value = slice_trim(slice_sub(rest, (size_t)at + strlen(sep), rest.n));
    return true;
}

static bool check_read(struct reader *r, struct slice line, struct check *c)
{
    c->line = r->line;
    if (starts_message(line)) {
        c->kind = CHECK_LINE;
        c->value = line;
        return true;
    }
    if (slice_starts(line, S("!"))) {
        c->kind = CHECK_ABSENT;
        c->name = slice_trim(slice_sub(line, 1, line.n));
        return true;
    }
    if (slice_starts(line, S("body ")))
        return body_check(r, slice_sub(line, 5, line.n), c);
    if (slice_starts(line, S("json "))) {
        c->kind = CHECK_JSON;
        return three_parts(slice_sub(line, 5, line.n), " =", c) || fail(r, "json PATH = VALUE");
    }
    if (slice_starts(line, S("events ="))) {
        c->kind = CHECK_EVENTS;
        c->value = slice_trim(slice_sub(line, 8, line.n));
        return true;
    }
    if (slice_starts(line, S("event "))) {
        c->kind = CHECK_EVENT;
        return three_parts(slice_sub(line, 6, line.n), " ~ ", c) || fail(r, "event NAME ~ TEXT");
    }
    c->kind = CHECK_HEADER;
    return three_parts(line, ":", c) || fail(r, "not a check: %.*s", (int)line.n, line.p);
}

static struct check *checks_room(struct reader *r)
{
    struct check *c = arena_try(&r->s->arena, SCRIPT_CHECKS * sizeof *c);
    assert(c != NULL);
    return c;
}

static bool checks_read(struct reader *r, struct step *st)
{
    st->check = checks_room(r);
    for (int i = 0; i < r->block_n; i++) {
        if (slice_trim(r->block[i]).n == 0)
            continue;
        if (st->checks == SCRIPT_CHECKS)
            return fail(r, "too many checks");
        struct check *c = &st->check[st->checks++];
        *c = (struct check){.name = S(""), .value = S("")};
        if (!check_read(r, r->block[i], c))
            return false;
    }
    return true;
}

/* KEY=VALUE words from `from` on, and `KEY = VALUE` lines of the block. */
static bool fields_read(struct reader *r, int from, struct step *st)
{
    st->check = checks_room(r);
    for (int i = from; i < r->words + r->block_n; i++) {
        bool word = i < r->words;
        struct slice text = word ? r->word[i] : slice_trim(r->block[i - r->words]);
        if (text.n == 0)
            continue;
        if (st->checks == SCRIPT_CHECKS)
            return fail(r, "too many fields");
        struct check *c = &st->check[st->checks++];
        *c = (struct check){.kind = CHECK_FIELD, .line = r->line};
        if (!pair_cut(text, &c->name, &c->value))
            return fail(r, "KEY=VALUE, not `%.*s`", (int)text.n, text.p);
        c->name = slice_trim(c->name);
        c->value = keep(r->s, slice_trim(c->value));
        c->name = keep(r->s, c->name);
    }
    return true;
}

/* ---- steps --------------------------------------------------------------------------- */

static bool step_add(struct reader *r, struct step st)
{
    struct script *s = r->s;
    if (s->steps == s->step_cap) {
        s->step_cap = s->step_cap ? 2 * s->step_cap : 64;
        s->step = mem_grow(s->step, (size_t)s->step_cap * sizeof *s->step);
    }
    if (st.line == 0)
        st.line = r->line;
    s->step[s->steps++] = st;
    return true;
}

static struct slice block_bytes(struct reader *r)
{
    struct sender snd;
    struct bytes out = {0};
    sender_init(&snd, r->block_n > 0 ? r->block[0] : S("%"));
    for (int i = 0; i < r->block_n; i++)
        sender_line(&snd, r->block[i]);
    const char *error = snd.error;
    sender_end(&snd, &out);
    if (error != NULL)
        (void)fail(r, "%s", error);
    struct slice kept = keep(r->s, bytes_slice(&out));
    bytes_free(&out);
    return kept;
}

/* What stands behind ">>" on the line. */
static struct slice raw_bytes(struct reader *r, struct slice line)
{
    ptrdiff_t at = slice_search(line, S(">> "));
    return unescaped(r, at < 0 ? S("") : slice_sub(line, (size_t)at + 3, line.n));
}

/* `<` and what follows it, from word i on; for both sides. */
static bool expect_read(struct reader *r, int i, struct step *st)
{
    st->kind = STEP_EXPECT;
    st->how = HOW_WHOLE;
    if (word_is(r, i, "nothing") || word_is(r, i, "none")) {
        st->kind = STEP_NOTHING;
    } else if (word_is(r, i, "open")) {
        st->kind = STEP_STILL_OPEN;
    } else if (word_is(r, i, "eof") || word_is(r, i, "closed")) {
        st->kind = STEP_EOF;
        st->how = word_is(r, i + 1, "clean") ? HOW_CLEAN
                  : word_is(r, i + 1, "cut") ? HOW_BROKEN
                                             : HOW_ANY_END;
    } else {
        if (word_is(r, i, "so") && word_is(r, i + 1, "far"))
            st->how = HOW_SO_FAR;
        else if (word_is(r, i, "cut"))
            st->how = HOW_BROKEN;
        else if (i < r->words)
            return fail(r, "expect what?");
        return checks_read(r, st);
    }
    return true;
}

static bool end_word(const struct reader *r, int i, struct step *st)
{
    st->kind = STEP_END;
    if (word_is(r, i, "close"))
        st->how = HOW_CLEAN;
    else if (word_is(r, i, "reset"))
        st->how = HOW_BROKEN;
    else if (word_is(r, i, "cut"))
        st->how = HOW_ANY_END;
    else
        return false;
    return true;
}

static bool client_action(struct reader *r, int i, struct slice line, struct step *st)
{
    if (word_is(r, i, ">")) {
        st->kind = STEP_SEND;
        st->data = block_bytes(r);
    } else if (word_is(r, i, ">>")) {
        st->kind = STEP_SEND;
        st->data = raw_bytes(r, line);
    } else if (word_is(r, i, "<")) {
        return expect_read(r, i + 1, st);
    } else if (word_is(r, i, "shut")) {
        st->kind = STEP_SHUT;
    } else if (word_is(r, i, "reads")) {
        st->kind = STEP_READS;
        st->number = 1;
    } else if (word_is(r, i, "stops") && word_is(r, i + 1, "reading")) {
        st->kind = STEP_READS;
    } else if (!end_word(r, i, st)) {
        return fail(r, "client does what?");
    }
    return true;
}

/* client N[-M] [from ADDR] ... */
static bool client_line(struct reader *r, struct slice line)
{
    uint64_t first = 0, last = 0;
    int i = 2;
    struct step st = {.upstream = S(""), .from = S(""), .line = r->line};
    struct slice range = r->words > 1 ? r->word[1] : S(""), part = S("");
    block_read(r);
    (void)slice_cut(&range, '-', &part);
    if (!text_u64(part, &first) || first == 0 || first > SCRIPT_CLIENTS)
        return fail(r, "client NUMBER");
    last = first;
    if (range.n > 0 && (!text_u64(range, &last) || last < first || last > SCRIPT_CLIENTS))
        return fail(r, "client FIRST-LAST");
    if (word_is(r, i, "from") && r->words > i + 1) {
        st.from = keep(r->s, r->word[i + 1]);
        i += 2;
    }
    if (!client_action(r, i, line, &st))
        return false;
    for (uint64_t n = first; n <= last; n++) {
        st.client = (int)n;
        (void)step_add(r, st);
    }
    return true;
}

static bool verdict_word(const struct reader *r, int i, struct step *st)
{
    static const struct {
        const char *word;
        enum err e;
    } ROW[] = {{"accepts", OK},    {"refuses", ERR_CONNECT}, {"dns", ERR_DNS},
               {"cert", ERR_CERT}, {"tls", ERR_TLS},         {"hangs", ERR_AGAIN}};
    for (size_t k = 0; k < sizeof ROW / sizeof *ROW; k++)
        if (word_is(r, i, ROW[k].word)) {
            st->kind = STEP_VERDICT;
            st->number = ROW[k].e;
            return true;
        }
    return false;
}

/* upstream A unread > 1000 | dials 3 | delay 2s */
static bool upstream_number(struct reader *r, int i, struct step *st)
{
    uint64_t n = 0;
    if (word_is(r, i, "dials") && i + 1 < r->words && text_u64(r->word[i + 1], &n)) {
        st->kind = STEP_DIALS;
    } else if (word_is(r, i, "requests") && i + 1 < r->words) {
        bool less = word_is(r, i + 1, "<"), more = word_is(r, i + 1, ">");
        int at = less || more ? i + 2 : i + 1;
        st->kind = STEP_REQUESTS;
        st->how = less ? HOW_SO_FAR : more ? HOW_BROKEN : HOW_WHOLE;
        if (at >= r->words || !text_u64(r->word[at], &n))
            return fail(r, "requests N, requests < N or requests > N");
    } else if (word_is(r, i, "unread") && i + 2 < r->words && text_u64(r->word[i + 2], &n)) {
        st->kind = STEP_UNREAD;
        st->at_least = word_is(r, i + 1, ">");
        if (!st->at_least && !word_is(r, i + 1, "<"))
            return fail(r, "unread > N or unread < N");
    } else if (word_is(r, i, "delay") && i + 1 < r->words) {
        st->kind = STEP_DELAY;
        return text_duration(r->word[i + 1], 1000, &st->number) || fail(r, "delay DURATION");
    } else {
        return false;
    }
    st->number = (int64_t)n;
    return true;
}

static bool upstream_line(struct reader *r, struct slice line)
{
    struct step st = {.from = S(""), .line = r->line};
    block_read(r);
    if (r->words < 3)
        return fail(r, "upstream NAME does what?");
    st.upstream = keep(r->s, r->word[1]);
    if (word_is(r, 2, ">")) {
        st.kind = STEP_SEND;
        st.data = block_bytes(r);
    } else if (word_is(r, 2, ">>")) {
        st.kind = STEP_SEND;
        st.data = raw_bytes(r, line);
    } else if (word_is(r, 2, "<")) {
        if (!expect_read(r, 3, &st))
            return false;
    } else if (word_is(r, 2, "serves") || word_is(r, 2, "silent")) {
        st.kind = STEP_SERVES;
        st.data = word_is(r, 2, "serves") ? block_bytes(r) : S("");
    } else if (word_is(r, 2, "reads") || word_is(r, 2, "stops")) {
        st.kind = STEP_READS;
        st.number = word_is(r, 2, "reads");
    } else if (!end_word(r, 2, &st) && !verdict_word(r, 2, &st) && !upstream_number(r, 2, &st)) {
        return fail(r, "upstream does what?");
    }
    return step_add(r, st);
}

static bool record_line(struct reader *r)
{
    struct step st = {.kind = STEP_RECORD, .line = r->line, .upstream = S("")};
    uint64_t n = 0;
    int from = 1;
    block_read(r);
    if (r->words > 1 && text_u64(r->word[1], &n)) {
        st.number = (int64_t)n;
        from = 2;
    }
    return fields_read(r, from, &st) && step_add(r, st);
}

static bool small_step_line(struct reader *r)
{
    struct step st = {.upstream = S(""), .line = r->line};
    uint64_t n = 0;
    struct slice word = r->words > 1 ? r->word[1] : S("");
    if (word_is(r, 0, "clock")) {
        st.kind = STEP_CLOCK;
        if (slice_starts(word, S("+")))
            word = slice_sub(word, 1, word.n);
        if (!text_duration(word, 1000, &st.number))
            return fail(r, "clock +DURATION");
    } else if (word_is(r, 0, "records")) {
        st.kind = STEP_RECORDS;
        if (!text_u64(word, &n))
            return fail(r, "records NUMBER");
        st.number = (int64_t)n;
    } else if (word_is(r, 0, "signal")) {
        st.kind = STEP_SIGNAL;
        st.number = slice_eq(word, S("HUP")) ? SIGHUP : SIGTERM;
    } else {
        st.kind = STEP_HOUSE;
        st.name = keep(r->s, word);
    }
    return step_add(r, st);
}

/* ---- what is there before the first step --------------------------------------------- */

/* Puts one more member, `"KEY":` and its value between `quote`s, into the object `*json`. */
static void member_put(struct reader *r, struct slice *json, struct slice key, const char *quote,
                       struct slice value)
{
    struct bytes b = {0};
    bytes_puts(&b, json->n > 2 ? slice_sub(*json, 0, json->n - 1) : S("{"));
    bytes_puts(&b, json->n > 2 ? S(",\"") : S("\""));
    bytes_puts(&b, key);
    bytes_puts(&b, S("\":"));
    bytes_puts(&b, slice_of(quote));
    bytes_puts(&b, value);
    bytes_puts(&b, slice_of(quote));
    bytes_puts(&b, S("}"));
    *json = keep(r->s, bytes_slice(&b));
    bytes_free(&b);
}

/* "a,b" as ["a","b"] */
static struct slice names_list(struct reader *r, struct slice names)
{
    struct bytes b = {0};
    struct slice name;
    while (slice_cut(&names, ',', &name)) {
        bytes_puts(&b, b.n == 0 ? S("[\"") : S(",\""));
        bytes_puts(&b, name);
        bytes_puts(&b, S("\""));
    }
    bytes_puts(&b, S("]"));
    struct slice kept = keep(r->s, bytes_slice(&b));
    bytes_free(&b);
    return kept;
}

/* '_' stands for a space. */
static struct slice spaced(struct reader *r, struct slice text)
{
    struct bytes b = {0};
    bytes_puts(&b, text);
    for (size_t i = 0; i < b.n; i++)
        b.p[i] = (char)(b.p[i] == '_' ? ' ' : b.p[i]);
    struct slice kept = keep(r->s, bytes_slice(&b));
    bytes_free(&b);
    return kept;
}

static struct slice yes_no(struct slice value)
{
    return slice_eq(value, S("yes")) ? S("true") : S("false");
}

/* What stands in an account's settings. */
static bool policy_field(struct reader *r, struct slice *settings, struct slice key,
                         struct slice value)
{
    if (slice_eq(key, S("groups")))
        member_put(r, settings, key, "", names_list(r, value));
    else if (slice_eq(key, S("quota")))
        member_put(r, settings, key, "\"", value);
    else if (slice_eq(key, S("concurrency")) || slice_eq(key, S("pause_at")))
        member_put(r, settings, key, "", value);
    else if (slice_eq(key, S("pause_on_overage")))
        member_put(r, settings, key, "", yes_no(value));
    else if (slice_eq(key, S("peak")))
        member_put(r, settings, S("peak_hours"), "\"", spaced(r, value));
    else
        return false;
    return true;
}

static bool account_field(struct reader *r, struct script_account *a, struct slice key,
                          struct slice value)
{
    bool ok = true;
    if (slice_eq(key, S("provider")))
        a->provider = value;
    else if (slice_eq(key, S("url")))
        a->url = value;
    else if (slice_eq(key, S("secret")))
        a->secret = value;
    else if (slice_eq(key, S("settings")))
        a->settings = value;
    else if (slice_eq(key, S("token")))
        a->token = value;
    else if (slice_eq(key, S("expires")))
        ok = text_duration(value, 1000, &a->token_ms);
    else if (slice_eq(key, S("priority")))
        ok = text_i64(value, &a->priority);
    else if (slice_eq(key, S("weight")))
        ok = text_i64(value, &a->weight);
    else if (slice_eq(key, S("allow_private")))
        a->allow_private = slice_eq(value, S("yes"));
    else if (slice_eq(key, S("paused")))
        a->paused = slice_eq(value, S("yes"));
    else
        ok = policy_field(r, &a->settings, key, value);
    return ok || fail(r, "account field `%.*s`?", (int)key.n, key.p);
}

/* The first line about a name makes the account; later ones expect something of it. */
static bool account_line(struct reader *r)
{
    struct script *s = r->s;
    struct slice name = r->words > 1 ? keep(s, r->word[1]) : S("");
    for (int i = 0; i < s->accounts; i++)
        if (slice_eq(s->account[i].name, name)) {
            struct step st = {.kind = STEP_ACCOUNT, .name = name, .upstream = S("")};
            r->block_n = 0;
            return fields_read(r, 2, &st) && step_add(r, st);
        }
    if (s->accounts == SCRIPT_ACCOUNTS)
        return fail(r, "too many accounts");
    struct script_account *a = &s->account[s->accounts++];
    *a = (struct script_account){
        .name = name, .provider = S("anthropic"), .url = S(""), .weight = 1, .line = r->line};
    a->settings = a->token = S("");
    a->token_ms = INT64_C(8) * 3600 * 1000;
    char secret[STORE_NAME_MAX + 16];
    text_format(secret, sizeof secret, "sk-ant-api03-%.*s", (int)name.n, name.p);
    a->secret = keep(s, slice_of(secret));
    for (int i = 2; i < r->words; i++) {
        struct slice key, value;
        if (!pair_cut(r->word[i], &key, &value) || !account_field(r, a, key, keep(s, value)))
            return fail(r, "account NAME KEY=VALUE...");
    }
    return true;
}

static bool host_line(struct reader *r)
{
    struct script *s = r->s;
    uint64_t port = 443;
    if (r->words < 3 || s->hosts == SCRIPT_HOSTS)
        return fail(r, "host NAME HOST[:PORT]");
    struct slice rest = keep(s, r->word[2]), host = S("");
    (void)slice_cut(&rest, ':', &host);
    if (rest.n > 0 && (!text_u64(rest, &port) || port == 0 || port > 65535))
        return fail(r, "a wrong port");
    s->host[s->hosts++] = (struct script_host){keep(s, r->word[1]), host, (uint16_t)port};
    return true;
}

static bool key_line(struct reader *r)
{
    struct script *s = r->s;
    char text[KEY_TEXT_MAX];
    struct slice key, value, group = S(""), settings = S("");
    if (r->words < 2 || s->keys == SCRIPT_KEYS)
        return fail(r, "key NAME [group=NAME] [settings={...}]");
    for (int i = 2; i < r->words; i++) {
        bool pair = pair_cut(r->word[i], &key, &value);
        if (pair && slice_eq(key, S("group")))
            group = value;
        else if (pair && slice_eq(key, S("settings")))
            settings = value;
        else
            return fail(r, "key NAME [group=NAME] [settings={...}]");
    }
    rig_key_text(r->word[1], text);
    s->key[s->keys++] = (struct script_key){keep(s, r->word[1]), keep(s, slice_of(text)),
                                            keep(s, group), keep(s, settings)};
    return true;
}

static bool group_line(struct reader *r)
{
    struct script *s = r->s;
    struct slice key, value;
    struct script_group g = {S(""), S("session"), S(""), S("")};
    if (r->words < 2 || s->groups == SCRIPT_GROUPS)
        return fail(r, "group NAME [strategy=NAME] [settings={...}]");
    g.name = keep(s, r->word[1]);
    for (int i = 2; i < r->words; i++) {
        if (!pair_cut(r->word[i], &key, &value))
            return fail(r, "group NAME [strategy=NAME] [settings={...}]");
        if (slice_eq(key, S("strategy")))
            g.strategy = keep(s, value);
        else if (slice_eq(key, S("settings")))
            g.settings = keep(s, value);
        else if (slice_eq(key, S("affinity")))
            member_put(r, &g.settings, key, "", yes_no(value));
        else if (slice_starts(key, S("route.")))
            member_put(r, &g.routes, slice_sub(key, 6, key.n), "\"", value);
        else
            return fail(r, "group field `%.*s`?", (int)key.n, key.p);
    }
    if (g.routes.n > 0)
        member_put(r, &g.settings, S("routes"), "", g.routes);
    s->group[s->groups++] = g;
    return true;
}

static bool modes_line(struct reader *r)
{
    static const char *const NAME[] = {"plain", "split", "stall", "cut", "torture"};
    for (int i = 1; i < r->words; i++) {
        bool known = false;
        for (int m = 0; m < 5; m++)
            if (word_is(r, i, NAME[m]))
                known = r->s->mode[m] = true;
        if (!known)
            return fail(r, "mode `%.*s`?", (int)r->word[i].n, r->word[i].p);
    }
    r->s->mode_given = true;
    return true;
}

static bool config_block(struct reader *r)
{
    struct bytes all = {0};
    block_read(r);
    bytes_puts(&all, r->s->config);
    for (int i = 0; i < r->block_n; i++) {
        bytes_puts(&all, r->block[i]);
        bytes_puts(&all, S("\n"));
    }
    r->s->config = keep(r->s, bytes_slice(&all));
    bytes_free(&all);
    return true;
}

static bool name_put(struct reader *r, struct map *m, struct slice name, struct slice value)
{
    if (name.n == 0)
        return fail(r, "a name is missing");
    mem_free(map_put(m, name, mem_slicedup(value)));
    return true;
}

static bool file_read(struct script *s, const char *file, int depth);

static bool include_line(struct reader *r)
{
    char path[1024];
    const char *slash = strrchr(r->file, '/');
    int dir = slash == NULL ? 0 : (int)(slash - r->file) + 1;
    if (r->words < 2 || r->depth == NESTING_MAX)
        return fail(r, "include FILE");
    text_format(path, sizeof path, "%.*s%.*s", dir, r->file, (int)r->word[1].n, r->word[1].p);
    return file_read(r->s, path, r->depth + 1);
}

static bool other_line(struct reader *r, struct slice line)
{
    struct script *s = r->s;
    if (word_is(r, 0, "include"))
        return include_line(r);
    if (word_is(r, 0, "define"))
        return name_put(r, &s->blocks, r->words > 1 ? r->word[1] : S(""), block_raw(r));
    if (word_is(r, 0, "set")) {
        ptrdiff_t at = r->words > 2 ? r->word[2].p - line.p : 0;
        return name_put(r, &s->names, r->words > 2 ? r->word[1] : S(""),
                        slice_sub(line, (size_t)at, line.n));
    }
    if (word_is(r, 0, "config"))
        return config_block(r);
    if (word_is(r, 0, "key"))
        return key_line(r);
    if (word_is(r, 0, "group"))
        return group_line(r);
    if (word_is(r, 0, "host"))
        return host_line(r);
    if (word_is(r, 0, "modes"))
        return modes_line(r);
    if (word_is(r, 0, "loose")) {
        s->loose_records |= word_is(r, 1, "records");
        s->loose_bodies |= word_is(r, 1, "bodies");
        s->translated |= word_is(r, 1, "translated");
        return true;
    }
    return fail(r, "what is `%.*s`?", (int)r->word[0].n, r->word[0].p);
}

static bool line_read(struct reader *r, struct slice line)
{
    words_read(r, line);
    if (r->words == 0 || slice_starts(line, S("#")))
        return true;
    if (slice_starts(line, S(" ")))
        return fail(r, "an indented line that belongs to nothing");
    if (word_is(r, 0, "client"))
        return client_line(r, line);
    if (word_is(r, 0, "upstream"))
        return upstream_line(r, line);
    if (word_is(r, 0, "account"))
        return account_line(r);
    if (word_is(r, 0, "record"))
        return record_line(r);
    if (word_is(r, 0, "clock") || word_is(r, 0, "records") || word_is(r, 0, "signal") ||
        word_is(r, 0, "house"))
        return small_step_line(r);
    return other_line(r, line);
}

static bool file_text(const char *file, struct bytes *out)
{
    char part[65536];
    size_t n;
    FILE *f = fopen(file, "rb");
    if (f == NULL)
        return false;
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        bytes_add(out, part, n);
    bool ok = !ferror(f);
    fclose(f);
    return ok;
}

static bool file_read(struct script *s, const char *file, int depth)
{
    struct bytes text = {0};
    struct reader *r = NEW(struct reader);
    bool ok = file_text(file, &text);
    r->s = s;
    r->file = file;
    r->depth = depth;
    if (!ok)
        (void)fail(r, "cannot be read");
    r->text = keep(s, bytes_slice(&text));
    while (ok && r->text.n > 0)
        ok = line_read(r, substitute(r, line_next(r)));
    ok = ok && s->error[0] == '\0';
    mem_free(r);
    bytes_free(&text);
    return ok;
}

bool script_load(struct script *s, const char *file)
{
    memset(s, 0, sizeof *s);
    s->file = file;
    s->config = S("");
    arena_init(&s->arena, (size_t)64 << 20);
    map_init(&s->names);
    map_init(&s->blocks);
    bool ok = file_read(s, file, 0);
    if (ok && s->steps == 0) {
        text_format(s->error, sizeof s->error, "%s: no steps", file);
        ok = false;
    }
    return ok;
}

static void names_free(struct map *m)
{
    size_t at = 0;
    void *value;
    while (map_next(m, &at, NULL, &value))
        mem_free(value);
    map_free(m);
}

void script_free(struct script *s)
{
    names_free(&s->names);
    names_free(&s->blocks);
    mem_free(s->step);
    arena_free(&s->arena);
}
