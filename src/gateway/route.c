/* Path and method -> kind of request. The raw path is matched; nothing is ever rebuilt from it. */
#include "gateway/exchange.h"

#define M(m)   (1u << (m))
#define M_READ (M(HTTP_GET) | M(HTTP_HEAD))

struct route_row {
    const char *path;
    bool prefix;      /* also everything below path + "/" */
    unsigned methods; /* 0 = all */
    enum route_kind kind;
    const char *name;
};

/* First match wins. */
static const struct route_row ROWS[] = {
    {"/", false, M_READ, ROUTE_HELLO, "hello"},
    {"/api/hello", false, M_READ, ROUTE_HELLO, "hello"},
    {"/livez", false, M_READ, ROUTE_LIVEZ, "livez"},
    {"/readyz", false, M_READ, ROUTE_READYZ, "readyz"},
    {"/health", false, M_READ, ROUTE_READYZ, "health"},
    {"/v1/messages", false, M(HTTP_POST), ROUTE_MESSAGES, "messages"},
    {"/v1/messages/count_tokens", false, M(HTTP_POST), ROUTE_COUNT, "count_tokens"},
    {"/v1/messages/batches", true, 0, ROUTE_BATCHES, "batches"},
    {"/v1/files", true, 0, ROUTE_FILES, "files"},
    {"/v1/skills", true, 0, ROUTE_FILES, "skills"},
    {"/v1/models", false, M_READ, ROUTE_MODELS, "models"},
    {"/v1", true, 0, ROUTE_OTHER, "other"},
};

/* The path segment right below `base`. */
static struct slice object_of(struct slice path, struct slice base)
{
    struct slice rest = slice_sub(path, base.n, path.n), id = S("");
    if (rest.n > 1) {
        rest = slice_sub(rest, 1, rest.n);
        (void)slice_cut(&rest, '/', &id);
    }
    return id;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_unreserved(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/* Written in one way only: no empty segment, no parameters, nothing percent-encoded that need not
 * be. Else a provider that folds such spellings would serve messages that passed here as something
 * else. */
static bool path_is_plain(struct slice path)
{
    if (path.n > 1 && path.p[path.n - 1] == '/')
        return false;
    for (size_t i = 0; i < path.n; i++) {
        if (path.p[i] == '/' && i > 0 && path.p[i - 1] == '/')
            return false;
        if (path.p[i] == ';')
            return false;
        if (path.p[i] != '%')
            continue;
        int high = i + 2 < path.n ? hex_digit(path.p[i + 1]) : -1;
        int low = i + 2 < path.n ? hex_digit(path.p[i + 2]) : -1;
        if (high < 0 || low < 0 || is_unreserved(high * 16 + low))
            return false;
    }
    return true;
}

struct route route_find(enum http_method m, struct slice path)
{
    if (!path_is_plain(path))
        return (struct route){ROUTE_UNKNOWN, "unknown", S("")};
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        const struct route_row *r = &ROWS[i];
        struct slice base = slice_of(r->path);
        bool below = r->prefix && path.n > base.n && path.p[base.n] == '/';
        if (!slice_istarts(path, base) || (path.n != base.n && !below))
            continue;
        if (!slice_starts(path, base))
            break; /* the same in capitals is one more spelling */
        if (r->methods != 0 && (r->methods & M(m)) == 0)
            return (struct route){ROUTE_METHOD, r->name, S("")};
        bool owned = r->kind == ROUTE_BATCHES || r->kind == ROUTE_FILES;
        return (struct route){r->kind, r->name, owned ? object_of(path, base) : S("")};
    }
    return (struct route){ROUTE_UNKNOWN, "unknown", S("")};
}
