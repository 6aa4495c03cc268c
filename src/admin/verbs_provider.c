/* The providers an account can be of. */
#include "admin/inside.h"

#include <string.h>

/* What stands in for a credential there. */
static const char *provider_secret(const struct provider *p)
{
    if (p->oauth != NULL)
        return "login";
    if (p->no_secret)
        return "optional";
    return p->cloud != NULL ? "secret or cloud" : "secret";
}

static void provider_write(struct jw *w, const struct provider *p)
{
    struct slice rest = slice_of(p->settings), one;
    jw_kcstr(w, "name", p->name);
    jw_key(w, "dialects");
    jw_arr(w);
    for (int i = 0; i < p->doors; i++)
        jw_cstr(w, dialect_word(p->door[i].dialect));
    jw_end_arr(w);
    jw_kcstr(w, "base_url", p->door[0].base_url != NULL ? p->door[0].base_url : "");
    jw_kcstr(w, "credential", provider_secret(p));
    jw_key(w, "settings");
    jw_arr(w);
    while (slice_cut(&rest, ' ', &one))
        if (one.n > 0)
            jw_str(w, one);
    jw_end_arr(w);
    jw_kcstr(w, "help", p->help);
}

void verb_provider_list(struct verb_call *c)
{
    const struct provider *p;
    struct jw *w = call_open(c);
    jw_key(w, "providers");
    jw_arr(w);
    for (int i = 0; (p = provider_at(i)) != NULL; i++) {
        assert(p->doors > 0 && p->help != NULL);
        jw_obj(w);
        provider_write(w, p);
        jw_end_obj(w);
    }
    jw_end_arr(w);
    call_reply(c);
}
