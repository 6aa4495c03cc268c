/* The settings of a request in the Gemini dialect, written: generationConfig. Facts:
 * wire/gemini.md.
 *
 * Generation 3 thinks by levels, 2.5 by budgets, older models and others not at all. */
#include "codec/gemini.h"

#include <math.h>

#define STOPS_MAX 5
#define PRO_LEAST 128 /* tokens: what 2.5 Pro cannot think less than */

static bool has_tools(const struct ask *a)
{
    for (const struct tool *t = a->tools; t != NULL; t = t->next) {
        if (t->other.n == 0 && t->name.n > 0)
            return true;
    }
    return false;
}

bool gemini_format_is_hint(const struct ask *a, int generation)
{
    return a->format != FORMAT_UNSET && generation > 0 && generation < 30 && has_tools(a);
}

/* ---- thinking -------------------------------------------------------------------------------- */

static enum effort effort_told(const struct ask *a)
{
    if (a->thinking_budget == 0)
        return EFFORT_NONE;
    if (a->effort != EFFORT_UNSET || a->thinking_budget < 0)
        return a->effort;
    return effort_of_budget(a->thinking_budget);
}

/* The Pro models know no MINIMAL, and the first of them no MEDIUM. */
static const char *level_of(enum effort e, struct slice model, int generation)
{
    bool pro = slice_search(model, S("-pro")) >= 0;
    assert(e != EFFORT_UNSET && generation >= 30);
    if (e <= EFFORT_MINIMAL)
        return pro ? "LOW" : "MINIMAL";
    if (e == EFFORT_LOW)
        return "LOW";
    if (e == EFFORT_MEDIUM)
        return pro && generation == 30 ? "HIGH" : "MEDIUM";
    return "HIGH";
}

static int64_t budget_of(const struct ask *a, enum effort e, struct slice model)
{
    bool pro = slice_search(model, S("-pro")) >= 0;
    int64_t most = pro ? 32768 : 24576;
    int64_t budget = a->thinking_budget >= 0 ? a->thinking_budget : budget_of_effort(e);
    assert(budget >= 0);
    if (pro && budget < PRO_LEAST)
        return PRO_LEAST;
    return budget > most ? most : budget;
}

static void thinking_put(struct jw *w, const struct ask *a, const struct ask_target *t)
{
    struct slice model = t->model.n > 0 ? t->model : a->model;
    int generation = gemini_generation(model);
    enum effort e = effort_told(a);
    if (e == EFFORT_UNSET || t->no_effort || generation < 0 || (generation > 0 && generation < 25))
        return;
    jw_key(w, "thinkingConfig");
    jw_obj(w);
    jw_kbool(w, "includeThoughts", e != EFFORT_NONE);
    if (generation >= 30)
        jw_kcstr(w, "thinkingLevel", level_of(e, model, generation));
    else
        jw_ki64(w, "thinkingBudget", budget_of(a, e, model));
    jw_end_obj(w);
}

/* ---- the others ------------------------------------------------------------------------------ */

static void number_put(struct jw *w, const char *key, double v)
{
    if (isfinite(v))
        jw_kf64(w, key, v);
}

static void sampling_put(struct jw *w, const struct ask *a, const struct ask_target *t)
{
    if (!t->no_temperature) {
        number_put(w, "temperature", a->temperature);
        number_put(w, "topP", a->top_p);
        if (a->top_k > 0)
            jw_ki64(w, "topK", a->top_k);
        number_put(w, "presencePenalty", a->presence_penalty);
        number_put(w, "frequencyPenalty", a->frequency_penalty);
    }
    if (a->seed != -1) /* of 32 bits here */
        jw_ki64(w, "seed", a->seed & INT32_MAX);
    if (!a->logprobs)
        return;
    jw_kbool(w, "responseLogprobs", true);
    if (a->top_logprobs > 0)
        jw_ki64(w, "logprobs", a->top_logprobs);
}

static void stops_put(struct jw *w, const struct ask *a)
{
    if (a->stops == 0)
        return;
    jw_key(w, "stopSequences");
    jw_arr(w);
    for (int i = 0; i < a->stops && i < STOPS_MAX; i++)
        jw_str(w, a->stop[i]);
    jw_end_arr(w);
}

static void format_put(struct jw *w, const struct ask *a, int generation)
{
    struct buf subset;
    if (a->format == FORMAT_UNSET || gemini_format_is_hint(a, generation))
        return;
    jw_kcstr(w, "responseMimeType", "application/json");
    if (a->format != FORMAT_SCHEMA || a->schema.n == 0)
        return;
    bool modern = generation <= 0 || generation >= 25;
    buf_init(&subset, 32 * a->schema.n + 64);
    enum err e = modern ? gemini_schema_bare(a->schema, &subset)
                        : gemini_schema_cut(a->schema, &subset);
    jw_key(w, modern ? "responseJsonSchema" : "responseSchema");
    jw_raw(w, buf_slice(&subset));
    if (w->err == OK)
        w->err = e;
    buf_free(&subset);
}

void gemini_settings_put(struct jw *w, const struct ask *a, const struct ask_target *t)
{
    int generation = gemini_generation(t->model.n > 0 ? t->model : a->model);
    struct buf config;
    struct jw c;
    buf_init(&config, (size_t)256 << 20);
    jw_init(&c, &config);
    jw_obj(&c);
    if (a->max_tokens >= 0) /* 0, to warm a cache, is not known here */
        jw_ki64(&c, "maxOutputTokens", a->max_tokens > 0 ? a->max_tokens : 1);
    sampling_put(&c, a, t);
    stops_put(&c, a);
    format_put(&c, a, generation);
    thinking_put(&c, a, t);
    jw_end_obj(&c);
    assert(c.err != OK || c.depth == 0);
    if (w->err == OK)
        w->err = c.err;
    if (config.len > sizeof "{}" - 1) {
        jw_key(w, "generationConfig");
        jw_raw(w, buf_slice(&config));
    }
    buf_free(&config);
}
