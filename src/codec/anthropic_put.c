/* Requests of the Messages API, written for clients that speak something else
 * (wire/translate-anthropic-openai.md section C). The conversation is anthropic_talk.c's.
 *
 * What the API has no word for and is therefore dropped:
 *   seed, penalties, logprobs     top_p beside a temperature, all three while it thinks
 *   tools of another dialect alone
 * What would mean something else if it were dropped is refused: several choices. What only some
 * models know is decided by the model's generation (struct manner). */
#include "codec/anthropic_put.h"
#include "codec/span.h"

#include <math.h>
#include <string.h>

#define TOKENS_DEFAULT 32000 /* what all models from 3.7 on can write */
#define BUDGET_MIN     1024
#define BUDGET_LEAVES  4096 /* for the answer, of a limit that is ours */
#define CACHE_MARKS    4    /* at most, in one request */

/* ---- what a model takes ---------------------------------------------------------------------- */

static bool is_digit(struct slice s, size_t at)
{
    return at < s.n && s.p[at] >= '0' && s.p[at] <= '9';
}

/* The generation in a model's name: 46 for claude-opus-4-6 and anthropic/claude-opus-4.6, 35 for
 * claude-3-5-sonnet, 50 for anthropic.claude-opus-5; 0 when it is no such name. */
static int model_generation(struct slice model)
{
    ptrdiff_t at = slice_search(model, S("claude-"));
    if (at < 0)
        return 0;
    struct slice rest = slice_sub(model, (size_t)at + sizeof "claude-" - 1, model.n), word;
    while (slice_cut(&rest, '-', &word)) {
        if (!is_digit(word, 0) || is_digit(word, 1)) /* a name, or a date */
            continue;
        int major = 10 * (word.p[0] - '0');
        if (word.n > 2 && word.p[1] == '.' && is_digit(word, 2))
            return major + word.p[2] - '0';
        bool minor = word.n == 1 && is_digit(rest, 0) && !is_digit(rest, 1);
        return minor ? major + rest.p[0] - '0' : major; /* "5@2025..." and "5:0" end the version */
    }
    return 0;
}

static bool refuses_forced_tools(struct slice model)
{
    static const char *const models[] = {"opus-5-5", "fable-5-1", "sonnet-5-5"};
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        if (slice_search(model, slice_of(models[i])) >= 0)
            return true;
    }
    return false;
}

/* A loop of calls whose beginning was not thought through must end as it began: with a budget, the
 * API wants the thinking in front of the last calls, and other dialects do not keep it. */
static bool calls_unthought(const struct ask *a)
{
    const struct turn *last = NULL;
    bool calls = false;
    for (const struct turn *t = a->turns; t != NULL; t = t->next)
        last = t->role == ROLE_ASSISTANT ? t : last;
    for (const struct part *p = last != NULL ? last->parts : NULL; p != NULL; p = p->next) {
        if ((p->kind == PART_THINKING && signature_is_anthropic(p->signature)) ||
            p->kind == PART_REDACTED)
            return false;
        calls = calls || p->kind == PART_CALL;
    }
    return calls;
}

/* The budget counts towards max_tokens and must leave something of it. A client's own limit is kept
 * where that is possible; ours is what the model can write, so the budget has to give way. */
static void manner_budget(struct manner *m, int64_t budget, bool told)
{
    m->budget = budget < BUDGET_MIN ? BUDGET_MIN : budget;
    if (!told && m->max_tokens > 2 * BUDGET_LEAVES && m->budget > m->max_tokens - BUDGET_LEAVES)
        m->budget = m->max_tokens - BUDGET_LEAVES;
    else if (m->max_tokens <= m->budget && m->max_tokens >= 2 * BUDGET_MIN)
        m->budget = m->max_tokens / 2;
    else if (m->max_tokens <= m->budget)
        m->max_tokens += m->budget = BUDGET_MIN;
    assert(m->budget >= BUDGET_MIN && m->budget < m->max_tokens);
}

static void manner_think(struct manner *m, const struct ask *a, const struct ask_target *t)
{
    int64_t budget = a->thinking_budget > 0 ? a->thinking_budget : budget_of_effort(a->effort);
    m->effort = a->effort != EFFORT_UNSET ? a->effort : effort_of_budget(a->thinking_budget);
    if (a->thinking_budget == 0 || m->effort == EFFORT_NONE || m->effort == EFFORT_UNSET)
        return;
    m->thinks = m->adaptive || !calls_unthought(a);
    if (m->thinks && !m->adaptive)
        manner_budget(m, budget, a->max_tokens > 0);
    if (t->no_effort)
        m->effort = EFFORT_UNSET;
}

static void manner_of(struct manner *m, const struct ask *a, const struct ask_target *t)
{
    struct slice model = t->model.n > 0 ? t->model : a->model;
    int generation = model_generation(model);
    *m = (struct manner){.choice = a->choice, .partner = t->body_has_no_model};
    m->adaptive = generation > 0 ? generation >= 46 : t->adaptive_thinking;
    m->sampling = !t->no_temperature && generation <= 46;
    m->structured = generation >= 45;
    m->max_tokens = a->max_tokens > 0 ? a->max_tokens : t->max_tokens;
    if (m->max_tokens <= 0)
        m->max_tokens = generation == 30 ? 4096 : generation == 35 ? 8192 : TOKENS_DEFAULT;
    manner_think(m, a, t);
    m->prefill = generation < 46 && !m->thinks;
    bool forced = m->choice == CHOICE_ANY || m->choice == CHOICE_ONE;
    if (forced && (m->thinks || refuses_forced_tools(model)))
        m->choice = CHOICE_AUTO; /* and a hint, see system_put */
}

/* ---- system ---------------------------------------------------------------------------------- */

/* What the API's own words cannot say for this model is said to it. */
static void hints_put(struct put *p)
{
    const struct ask *a = p->a;
    struct buf room;
    enum err e = OK;
    buf_init(&room, a->schema.n + a->choice_name.n + 256);
    if (a->format == FORMAT_JSON || (a->format == FORMAT_SCHEMA && !p->m.structured)) {
        e = format_hint(a, &room);
        put_text(p, buf_slice(&room), false);
    }
    buf_clear(&room);
    if (e == OK && p->m.choice != a->choice) {
        bool one = a->choice == CHOICE_ONE;
        e = choice_hint(a, one ? names_put(p->names, a->choice_name, PUT_NAME_LEN) : S(""), &room);
        put_text(p, buf_slice(&room), false);
    }
    if (p->w.err == OK)
        p->w.err = e;
    buf_free(&room);
}

static bool has_hints(const struct put *p)
{
    return p->a->format == FORMAT_JSON || (p->a->format == FORMAT_SCHEMA && !p->m.structured) ||
           p->m.choice != p->a->choice;
}

/* All system turns, wherever they stood: only some models take them in the midst of a talk. */
static void system_put(struct put *p)
{
    const struct part *only = NULL;
    int n = 0;
    for (const struct turn *t = p->a->turns; t != NULL; t = t->next) {
        for (const struct part *part = t->parts; part != NULL; part = part->next) {
            if (t->role != ROLE_SYSTEM || part->kind != PART_TEXT || text_blank(part->text))
                continue;
            only = part;
            n++;
        }
    }
    if (n == 0 && !has_hints(p))
        return;
    jw_key(&p->w, "system");
    if (n == 1 && !only->cache && !has_hints(p)) {
        jw_str(&p->w, only->text);
        return;
    }
    jw_arr(&p->w);
    for (const struct turn *t = p->a->turns; t != NULL; t = t->next) {
        for (const struct part *part = t->parts; part != NULL; part = part->next) {
            if (t->role == ROLE_SYSTEM && part->kind == PART_TEXT && !text_blank(part->text))
                put_text(p, part->text, part->cache);
        }
    }
    hints_put(p);
    jw_end_arr(&p->w);
}

/* ---- tools ----------------------------------------------------------------------------------- */

/* An object's schema: the API wants it to say so. */
static void schema_put(struct put *p, struct slice schema)
{
    struct buf room;
    struct span type;
    size_t at = span_skip_space(schema, 0);
    jw_key(&p->w, "input_schema");
    if (at >= schema.n || schema.p[at] != '{') {
        jw_raw(&p->w, S("{\"type\":\"object\",\"properties\":{}}"));
        return;
    }
    if (span_member(schema, S("type"), &type)) {
        jw_raw(&p->w, schema);
        return;
    }
    struct slice rest = slice_sub(schema, span_skip_space(schema, at + 1), schema.n);
    buf_init(&room, schema.n + 64);
    enum err e = buf_puts(&room, S("{\"type\":\"object\""));
    if (e == OK)
        e = buf_puts(&room, slice_starts(rest, S("}")) ? S(",\"properties\":{}") : S(","));
    if (e == OK)
        e = buf_puts(&room, rest);
    jw_raw(&p->w, buf_slice(&room));
    if (p->w.err == OK)
        p->w.err = e;
    buf_free(&room);
}

static void tool_put(struct put *p, const struct tool *t)
{
    jw_obj(&p->w);
    jw_kstr(&p->w, "name", names_put(p->names, t->name, PUT_NAME_LEN));
    if (t->description.n > 0)
        jw_kstr(&p->w, "description", t->description);
    schema_put(p, t->schema);
    if (t->strict && p->m.structured)
        jw_kbool(&p->w, "strict", true);
    put_cache(p, t->cache);
    jw_end_obj(&p->w);
}

static void choice_put(struct put *p)
{
    static const char *const names[] = {[CHOICE_UNSET] = "auto",
                                        [CHOICE_AUTO] = "auto",
                                        [CHOICE_ANY] = "any",
                                        [CHOICE_NONE] = "none",
                                        [CHOICE_ONE] = "tool"};
    enum tool_choice choice = p->m.choice;
    bool single = p->a->parallel == 0 && choice != CHOICE_NONE;
    if (choice == CHOICE_UNSET && !single)
        return;
    jw_key(&p->w, "tool_choice");
    jw_obj(&p->w);
    jw_kcstr(&p->w, "type", names[choice]);
    if (choice == CHOICE_ONE)
        jw_kstr(&p->w, "name", names_put(p->names, p->a->choice_name, PUT_NAME_LEN));
    if (single)
        jw_kbool(&p->w, "disable_parallel_tool_use", true);
    jw_end_obj(&p->w);
}

static void recall_one(struct put *p, struct map *known, struct part *call)
{
    bool first = known->live == 0;
    if (call->kind != PART_CALL || map_put(known, call->name, call) != NULL)
        return;
    if (first) {
        jw_key(&p->w, "tools");
        jw_arr(&p->w);
    }
    jw_obj(&p->w);
    jw_kstr(&p->w, "name", names_put(p->names, call->name, PUT_NAME_LEN));
    schema_put(p, S(""));
    jw_end_obj(&p->w);
}

/* A talk with calls in it must name tools; clients that want no more calls leave them out. */
static void tools_recall(struct put *p)
{
    struct map known;
    map_init(&known);
    for (const struct turn *t = p->a->turns; t != NULL; t = t->next) {
        for (struct part *part = t->parts; t->role == ROLE_ASSISTANT && part != NULL;
             part = part->next)
            recall_one(p, &known, part);
    }
    if (known.live > 0) {
        jw_end_arr(&p->w);
        jw_key(&p->w, "tool_choice");
        jw_raw(&p->w, S("{\"type\":\"none\"}"));
    }
    map_free(&known);
}

static void tools_put(struct put *p)
{
    bool any = false;
    for (const struct tool *t = p->a->tools; t != NULL; t = t->next) {
        if (t->other.n > 0)
            continue;
        if (!any) {
            jw_key(&p->w, "tools");
            jw_arr(&p->w);
        }
        any = true;
        tool_put(p, t);
    }
    if (any) {
        jw_end_arr(&p->w);
        choice_put(p);
    } else {
        tools_recall(p);
    }
}

/* ---- the top level --------------------------------------------------------------------------- */

static void thinking_put(struct put *p)
{
    if (!p->m.thinks)
        return;
    jw_key(&p->w, "thinking");
    jw_obj(&p->w);
    jw_kcstr(&p->w, "type", p->m.adaptive ? "adaptive" : "enabled");
    if (!p->m.adaptive)
        jw_ki64(&p->w, "budget_tokens", p->m.budget);
    jw_end_obj(&p->w);
}

static bool is_open_object(const struct json_val *v)
{
    return slice_eq(json_get_str(v, "type"), S("object")) &&
           json_type(json_get(v, "properties")) == JSON_OBJECT &&
           json_type(json_get(v, "additionalProperties")) == JSON_NONE;
}

static enum err schema_close(struct buf *out, const struct json_val *v);

static enum err schema_members(struct buf *out, const struct json_val *v)
{
    struct slice key;
    const struct json_val *value;
    enum err e = buf_puts(out, S("{"));
    for (size_t i = 0; e == OK && json_member(v, i, &key, &value); i++) {
        /* what stands under these is a value, not a schema */
        bool data = slice_eq(key, S("enum")) || slice_eq(key, S("const")) ||
                    slice_eq(key, S("default")) || slice_eq(key, S("examples"));
        if (i > 0)
            e = buf_puts(out, S(","));
        if (e == OK)
            e = json_escape(out, key);
        if (e == OK)
            e = buf_puts(out, S(":"));
        if (e == OK)
            e = data ? tree_print(out, value) : schema_close(out, value);
    }
    if (e == OK && is_open_object(v))
        e = buf_puts(out, S(",\"additionalProperties\":false"));
    return e == OK ? buf_puts(out, S("}")) : e;
}

/* The API wants every object of a schema closed, and says no to one that does not say so. As deep
 * as the tree, which is bounded. */
static enum err schema_close(struct buf *out, const struct json_val *v)
{
    enum err e = OK;
    if (json_type(v) == JSON_OBJECT)
        return schema_members(out, v);
    if (json_type(v) != JSON_ARRAY)
        return tree_print(out, v);
    e = buf_puts(out, S("["));
    for (size_t i = 0; e == OK && i < json_len(v); i++) {
        if (i > 0)
            e = buf_puts(out, S(","));
        if (e == OK)
            e = schema_close(out, json_at(v, i));
    }
    return e == OK ? buf_puts(out, S("]")) : e;
}

static void format_put(struct put *p)
{
    struct json *doc = NULL;
    struct buf room;
    buf_init(&room, 32 * p->a->schema.n + 64);
    enum err e = json_parse(p->a->schema, &doc);
    if (e == OK)
        e = schema_close(&room, json_root(doc));
    jw_key(&p->w, "format");
    jw_obj(&p->w);
    jw_kcstr(&p->w, "type", "json_schema");
    jw_key(&p->w, "schema");
    jw_raw(&p->w, e == OK ? buf_slice(&room) : p->a->schema);
    jw_end_obj(&p->w);
    if (e != OK && e != ERR_SYNTAX && p->w.err == OK)
        p->w.err = e;
    buf_free(&room);
    json_free(doc);
}

static void output_config_put(struct put *p)
{
    bool format = p->a->format == FORMAT_SCHEMA && p->m.structured && p->a->schema.n > 0;
    bool effort = p->m.adaptive && p->m.effort != EFFORT_UNSET;
    if (!format && !effort)
        return;
    jw_key(&p->w, "output_config");
    jw_obj(&p->w);
    if (effort) {
        bool least = p->m.effort == EFFORT_NONE || p->m.effort == EFFORT_MINIMAL;
        jw_kcstr(&p->w, "effort", effort_name(least ? EFFORT_LOW : p->m.effort));
    }
    if (format)
        format_put(p);
    jw_end_obj(&p->w);
}

static void sampling_put(struct put *p)
{
    const struct ask *a = p->a;
    if (!p->m.sampling || p->m.thinks)
        return;
    double t = a->temperature;
    if (isfinite(t))
        jw_kf64(&p->w, "temperature", t < 0 ? 0 : t > 1 ? 1 : t);
    else if (isfinite(a->top_p)) /* some models refuse both at a time */
        jw_kf64(&p->w, "top_p", a->top_p);
    if (a->top_k > 0)
        jw_ki64(&p->w, "top_k", a->top_k);
}

static void stops_put(struct put *p)
{
    bool any = false;
    for (int i = 0; i < p->a->stops; i++) {
        if (text_blank(p->a->stop[i]))
            continue;
        if (!any) {
            jw_key(&p->w, "stop_sequences");
            jw_arr(&p->w);
        }
        any = true;
        jw_str(&p->w, p->a->stop[i]);
    }
    if (any)
        jw_end_arr(&p->w);
}

/* Who names no breakpoint gets the automatic one: loops of calls cost a tenth with it. */
static void extras_put(struct put *p, bool marked)
{
    if (!marked && !p->t->no_cache_control && !p->m.partner)
        put_cache(p, true);
    if (p->a->user.n > 0 && !p->m.partner) {
        jw_key(&p->w, "metadata");
        jw_obj(&p->w);
        jw_kstr(&p->w, "user_id", p->a->user);
        jw_end_obj(&p->w);
    }
}

static int marks_count(const struct ask *a)
{
    int n = 0;
    for (const struct tool *t = a->tools; t != NULL; t = t->next)
        n += t->cache;
    for (const struct turn *t = a->turns; t != NULL; t = t->next) {
        for (const struct part *part = t->parts; part != NULL; part = part->next) {
            n += part->cache;
            for (const struct part *in = part->inner; in != NULL; in = in->next)
                n += in->cache;
        }
    }
    return n;
}

enum err anthropic_ask_write(const struct ask *a, const struct ask_target *t, struct names *names,
                             struct buf *out, const char **why)
{
    struct put p = {.a = a, .t = t, .names = names, .why = why};
    int marks = marks_count(a);
    if (a->n > 1) {
        *why = "n: this provider gives one choice only";
        return ERR_UNSUPPORTED;
    }
    manner_of(&p.m, a, t);
    assert(p.m.max_tokens > 0 && (!p.m.thinks || p.m.adaptive || p.m.budget < p.m.max_tokens));
    assert(names != NULL && !a->full);
    p.marks_skip = marks > CACHE_MARKS ? marks - CACHE_MARKS : 0;
    jw_init(&p.w, out);
    jw_obj(&p.w);
    if (t->version.n > 0)
        jw_kstr(&p.w, "anthropic_version", t->version);
    if (!t->body_has_no_model)
        jw_kstr(&p.w, "model", t->model.n > 0 ? t->model : a->model);
    jw_ki64(&p.w, "max_tokens", p.m.max_tokens);
    if (a->stream && !t->body_has_no_stream)
        jw_kbool(&p.w, "stream", true);
    thinking_put(&p);
    output_config_put(&p);
    sampling_put(&p);
    stops_put(&p);
    extras_put(&p, marks > 0);
    tools_put(&p);
    system_put(&p);
    jw_key(&p.w, "messages");
    enum err e = put_messages(&p);
    jw_end_obj(&p.w);
    assert(p.w.depth == 0 && p.marks - p.marks_skip <= CACHE_MARKS);
    return e != OK ? e : p.w.err;
}
