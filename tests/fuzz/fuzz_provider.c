/* links: base http codec accounts */
/* Settings of an account and what clients ask of it, of any provider: four texts divided by NULs
 * (settings, base URL, model, path). Wherever a request goes, it goes to the host that was checked,
 * along a path that is one, and under a name that fits. */
#include "accounts/accounts.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition)       \
    do {                      \
        if (!(condition))     \
            __builtin_trap(); \
    } while (0)

static void text_next(struct slice *rest, char *out, size_t size)
{
    const char *end = memchr(rest->p, 0, rest->n);
    size_t n = end != NULL ? (size_t)(end - rest->p) : rest->n;
    text_copy(out, size, slice_sub(*rest, 0, n));
    *rest = slice_sub(*rest, end != NULL ? n + 1 : n, rest->n);
}

static void door_check(const struct account *a, const struct account_door *d, const char *model,
                       const char *path)
{
    for (int call = 0; call < API_KINDS * 2; call++) {
        struct buf out;
        buf_init(&out, 4096);
        enum err e = account_door_path(a, d, (enum api)(call / 2), call % 2 != 0, slice_of(model),
                                       slice_of(path), S("q=1"), &out);
        /* What a client wrote itself was looked at before; what is put together here must be fit
         * to be sent. */
        for (size_t i = 0; e == OK && call / 2 != API_OTHER && i < out.len; i++)
            MUST(out.p[i] > ' ' && (unsigned char)out.p[i] < 0x7f && out.p[i] != '\\');
        MUST(e != OK || call / 2 == API_OTHER || out.p[0] == '/');
        buf_free(&out);
    }
}

static void models_check_all(const struct account *a, const char *model)
{
    for (uint64_t turn = 0; turn < 3; turn++) {
        char name[STORE_MODEL_MAX], again[STORE_MODEL_MAX];
        memset(name, 1, sizeof name);
        bool has = account_model(a, model, turn, name, sizeof name);
        MUST(memchr(name, 0, sizeof name) != NULL);
        MUST(has == account_has_model(a, model));
        MUST(account_model(a, model, turn, again, sizeof again) == has && strcmp(name, again) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct account a;
    static struct account_row row;
    static struct account_door door[PROVIDER_DOORS];
    char model[300], path[600], why[256];
    int rows = 0;
    if (size < 1)
        return 0;
    while (provider_at(rows) != NULL)
        rows++;
    struct slice rest = {(const char *)data + 1, size - 1};
    memset(&a, 0, sizeof a);
    memset(&row, 0, sizeof row);
    a.provider = provider_at(data[0] % rows);
    text_next(&rest, row.settings, sizeof row.settings);
    text_next(&rest, row.base_url, sizeof row.base_url);
    text_next(&rest, model, sizeof model);
    text_next(&rest, path, sizeof path);
    a.door = door;
    a.doors = account_doors_open(a.provider, &row, door, why, sizeof why);
    MUST(a.doors >= 0 && a.doors <= PROVIDER_DOORS && (a.doors > 0 || why[0] != '\0'));
    for (int i = 0; i < a.doors; i++) {
        MUST(a.door[i].target.host.n > 0);
        MUST(row.base_url[0] != '\0' || strchr(a.door[i].base_url, '{') == NULL);
        door_check(&a, &a.door[i], model, path);
    }
    for (int d = 0; d < DIALECT_COUNT; d++) {
        const struct account_door *chat = account_door_for(&a, (enum dialect)d, API_CHAT);
        MUST((chat != NULL) == (a.doors > 0));
    }
    bool good = models_check(slice_of(row.settings), why, sizeof why) == OK;
    a.models = models_read(slice_of(row.settings));
    MUST(good || a.models == NULL);
    models_check_all(&a, model);
    models_free(a.models);
    return 0;
}
