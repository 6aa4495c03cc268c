/* The load and who obeys it: see app_load.h and net/load.h. */
#include "app_load.h"

static void on_look(void *arg, bool changed)
{
    struct app_load *a = arg;
    enum load_level level = loop_load(a->house->loop)->level;
    if (level >= LOAD_WARM)
        http_server_ease(a->clients);
    if (level >= LOAD_DRAIN && changed)
        http_client_close_idle(a->house->client);
    if (level >= LOAD_GUARD)
        gateway_relieve(a->house->gateway);
}

void app_load_begin(struct app_load *a, struct house *house, struct http_server *clients)
{
    assert(house->loop != NULL && clients != NULL);
    *a = (struct app_load){.house = house, .clients = clients};
    loop_watch(house->loop, house->config->memory_limit, on_look, a);
}

void app_load_limit(struct app_load *a, const struct config *c)
{
    if (a->house != NULL)
        loop_watch(a->house->loop, c->memory_limit, on_look, a);
}

void app_load_describe(const struct app_load *a, struct jw *w)
{
    if (a->house == NULL)
        return;
    const struct load *x = loop_load(a->house->loop);
    struct gateway_stats st;
    gateway_stats_get(a->house->gateway, &st);
    jw_key(w, "load");
    jw_obj(w);
    jw_kcstr(w, "level", load_name(x->level));
    jw_kcstr(w, "why", x->why[0] != '\0' ? x->why : NULL);
    jw_ki64(w, "memory_bytes", x->seen.memory);
    jw_ki64(w, "memory_limit_bytes", x->seen.memory_limit);
    jw_ki64(w, "longest_turn_ms", x->seen.lag_ms);
    jw_ki64(w, "descriptors", x->seen.fds);
    jw_ki64(w, "descriptors_limit", x->seen.fds_limit);
    jw_ki64(w, "changes", (int64_t)x->changes);
    jw_ki64(w, "refused", (int64_t)st.shed);
    jw_ki64(w, "let_go", (int64_t)st.relieved);
    jw_end_obj(w);
}
