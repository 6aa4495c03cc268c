/* Looking providers up; they are data, one row each, in provider_rows.c. */
#include "accounts/provider_rows.h"

const struct provider *provider_at(int i)
{
    return i >= 0 && i < provider_rows_n ? &provider_rows[i] : NULL;
}

bool provider_rotates(const struct provider *p)
{
    return p->oauth != NULL && p->login == LOGIN_TOKENS;
}

const struct provider *provider_find(struct slice name)
{
    for (int i = 0; i < provider_rows_n; i++) {
        if (slice_eq(name, slice_of(provider_rows[i].name)))
            return &provider_rows[i];
    }
    return NULL;
}
