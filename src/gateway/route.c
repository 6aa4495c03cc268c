/* Path and method -> kind of request, and how its client speaks. The raw path is matched; nothing
 * is ever rebuilt from it, and of what stands in it only the model's name goes further, checked. */
#include "gateway/exchange.h"

#define M(m)   (1u << (m))
#define M_READ (M(HTTP_GET) | M(HTTP_HEAD))
#define POST   M(HTTP_POST)

/* "{}" in a path stands for any segment, "{m}" for the model, which may be a segment's beginning.
 */
struct route_row {
    struct slice path;
    bool prefix;      /* also everything below path + "/" */
    unsigned methods; /* 0 = all */
    enum route_kind kind;
    const char *name;
    struct front front;
};

#define PATH(literal)                   \
    {                                   \
        "" literal, sizeof(literal) - 1 \
    }
#define FRONT(d, c)                                        \
    {                                                      \
        .dialect = (d), .call = (c), .stream = FRAMING_SSE \
    }
#define ANTHROPIC(c) FRONT(DIALECT_ANTHROPIC, c)
#define OPENAI(c)    FRONT(DIALECT_OPENAI, c)
#define RESPONSES(c) FRONT(DIALECT_RESPONSES, c)
#define BEDROCK(c, s)                                                                           \
    {                                                                                           \
        .dialect = DIALECT_ANTHROPIC, .call = (c), .wire = WIRE_BEDROCK, .stream = FRAMING_AWS, \
        .model_in_path = true, .stream_in_path = true, .streams = (s)                           \
    }
#define VERTEX(c, s)                                                                           \
    {                                                                                          \
        .dialect = DIALECT_ANTHROPIC, .call = (c), .wire = WIRE_VERTEX, .stream = FRAMING_SSE, \
        .model_in_path = (c) == API_CHAT, .stream_in_path = (c) == API_CHAT, .streams = (s)    \
    }
#define GEMINI(c, s)                                                                            \
    {                                                                                           \
        .dialect = DIALECT_GEMINI, .call = (c), .stream = FRAMING_ARRAY, .model_in_path = true, \
        .stream_in_path = true, .streams = (s)                                                  \
    }
#define OLLAMA(c)                                                       \
    {                                                                   \
        .dialect = DIALECT_OLLAMA, .call = (c), .stream = FRAMING_LINES \
    }
#define VERTEX_MODELS "/projects/{}/locations/{}/publishers/anthropic/models/"

/* First match wins. */
static const struct route_row ROWS[] = {
    {PATH("/"), false, M_READ, ROUTE_HELLO, "hello", ANTHROPIC(API_OTHER)},
    {PATH("/api/hello"), false, M_READ, ROUTE_HELLO, "hello", ANTHROPIC(API_OTHER)},
    {PATH("/livez"), false, M_READ, ROUTE_LIVEZ, "livez", ANTHROPIC(API_OTHER)},
    {PATH("/readyz"), false, M_READ, ROUTE_READYZ, "readyz", ANTHROPIC(API_OTHER)},
    {PATH("/health"), false, M_READ, ROUTE_READYZ, "health", ANTHROPIC(API_OTHER)},

    {PATH("/v1/messages"), false, POST, ROUTE_CHAT, "messages", ANTHROPIC(API_CHAT)},
    {PATH("/v1/messages/count_tokens"), false, POST, ROUTE_COUNT, "count_tokens",
     ANTHROPIC(API_COUNT)},
    {PATH("/v1/messages/batches"), true, 0, ROUTE_BATCHES, "batches", ANTHROPIC(API_OTHER)},
    {PATH("/v1/files"), true, 0, ROUTE_FILES, "files", ANTHROPIC(API_OTHER)},
    {PATH("/v1/skills"), true, 0, ROUTE_FILES, "skills", ANTHROPIC(API_OTHER)},

    {PATH("/v1/chat/completions"), false, POST, ROUTE_CHAT, "chat", OPENAI(API_CHAT)},
    {PATH("/chat/completions"), false, POST, ROUTE_CHAT, "chat", OPENAI(API_CHAT)},
    {PATH("/v1/embeddings"), false, POST, ROUTE_TEXTS, "embeddings", OPENAI(API_EMBEDDINGS)},
    {PATH("/embeddings"), false, POST, ROUTE_TEXTS, "embeddings", OPENAI(API_EMBEDDINGS)},
    {PATH("/v1/responses"), false, POST, ROUTE_CHAT, "responses", RESPONSES(API_CHAT)},
    {PATH("/responses"), false, POST, ROUTE_CHAT, "responses", RESPONSES(API_CHAT)},
    {PATH("/v1/responses/compact"), false, POST, ROUTE_TEXTS, "compact", RESPONSES(API_COMPACT)},
    {PATH("/responses/compact"), false, POST, ROUTE_TEXTS, "compact", RESPONSES(API_COMPACT)},
    {PATH("/v1/responses"), true, 0, ROUTE_STATE, "responses_state", RESPONSES(API_OTHER)},
    {PATH("/v1/conversations"), true, 0, ROUTE_STATE, "conversations", RESPONSES(API_OTHER)},
    {PATH("/v1/batches"), true, 0, ROUTE_JOBS, "jobs", OPENAI(API_OTHER)},
    {PATH("/v1/completions"), false, POST, ROUTE_OTHER, "completions", OPENAI(API_OTHER)},
    {PATH("/v1/images"), true, 0, ROUTE_OTHER, "images", OPENAI(API_OTHER)},
    {PATH("/v1/audio"), true, 0, ROUTE_OTHER, "audio", OPENAI(API_OTHER)},
    {PATH("/v1/moderations"), false, POST, ROUTE_OTHER, "moderations", OPENAI(API_OTHER)},

    {PATH("/model/{m}/invoke"), false, POST, ROUTE_CHAT, "bedrock", BEDROCK(API_CHAT, false)},
    {PATH("/model/{m}/invoke-with-response-stream"), false, POST, ROUTE_CHAT, "bedrock",
     BEDROCK(API_CHAT, true)},
    {PATH("/model/{m}/count-tokens"), false, POST, ROUTE_COUNT, "bedrock_count",
     BEDROCK(API_COUNT, false)},
    {PATH("/inference-profiles"), false, M_READ, ROUTE_PROFILES, "profiles",
     BEDROCK(API_OTHER, false)},

    {PATH("/v1" VERTEX_MODELS "count-tokens:rawPredict"), false, POST, ROUTE_COUNT, "vertex_count",
     VERTEX(API_COUNT, false)},
    {PATH("/v1" VERTEX_MODELS "{m}:rawPredict"), false, POST, ROUTE_CHAT, "vertex",
     VERTEX(API_CHAT, false)},
    {PATH("/v1" VERTEX_MODELS "{m}:streamRawPredict"), false, POST, ROUTE_CHAT, "vertex",
     VERTEX(API_CHAT, true)},
    {PATH(VERTEX_MODELS "count-tokens:rawPredict"), false, POST, ROUTE_COUNT, "vertex_count",
     VERTEX(API_COUNT, false)},
    {PATH(VERTEX_MODELS "{m}:rawPredict"), false, POST, ROUTE_CHAT, "vertex",
     VERTEX(API_CHAT, false)},
    {PATH(VERTEX_MODELS "{m}:streamRawPredict"), false, POST, ROUTE_CHAT, "vertex",
     VERTEX(API_CHAT, true)},

    /* Google's SDK asks at /v1 since its version 3. */
    {PATH("/v1/models/{m}:generateContent"), false, POST, ROUTE_CHAT, "gemini",
     GEMINI(API_CHAT, false)},
    {PATH("/v1/models/{m}:streamGenerateContent"), false, POST, ROUTE_CHAT, "gemini",
     GEMINI(API_CHAT, true)},
    {PATH("/v1/models/{m}:countTokens"), false, POST, ROUTE_COUNT, "gemini_count",
     GEMINI(API_COUNT, false)},
    {PATH("/v1beta/models/{m}:generateContent"), false, POST, ROUTE_CHAT, "gemini",
     GEMINI(API_CHAT, false)},
    {PATH("/v1beta/models/{m}:streamGenerateContent"), false, POST, ROUTE_CHAT, "gemini",
     GEMINI(API_CHAT, true)},
    {PATH("/v1beta/models/{m}:countTokens"), false, POST, ROUTE_COUNT, "gemini_count",
     GEMINI(API_COUNT, false)},
    {PATH("/v1beta/models"), false, M_READ, ROUTE_MODELS, "models", GEMINI(API_MODELS, false)},

    {PATH("/api/chat"), false, POST, ROUTE_CHAT, "ollama", OLLAMA(API_CHAT)},
    {PATH("/api/tags"), false, M_READ, ROUTE_MODELS, "models", OLLAMA(API_MODELS)},

    {PATH("/v1/models"), false, M_READ, ROUTE_MODELS, "models", ANTHROPIC(API_MODELS)},
    {PATH("/v1/models"), true, 0, ROUTE_OTHER, "model", ANTHROPIC(API_OTHER)},
    {PATH("/models"), false, M_READ, ROUTE_MODELS, "models", OPENAI(API_MODELS)},
    {PATH("/v1"), true, 0, ROUTE_OTHER, "other", ANTHROPIC(API_OTHER)},
};

/* ---- spelling -------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int hex_pair(struct slice s, size_t at)
{
    int high = at + 1 < s.n ? hex_digit(s.p[at]) : -1;
    int low = at + 1 < s.n ? hex_digit(s.p[at + 1]) : -1;
    return high < 0 || low < 0 ? -1 : high * 16 + low;
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
        int c = hex_pair(path, i + 1);
        if (c < 0 || is_unreserved(c))
            return false;
    }
    return true;
}

bool route_model(struct slice coded, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < coded.n; i++) {
        int c = (unsigned char)coded.p[i];
        if (c == '%') {
            c = hex_pair(coded, i + 1);
            i += 2;
        }
        /* what ends a string is in no model's name; a slash is in ARNs, and has been let in only
         * where it stands coded */
        if (c <= ' ' || c > '~' || c == '\\' || c == '"' || n + 1 >= size)
            return false;
        out[n++] = (char)c;
    }
    out[n] = '\0';
    struct slice rest = {out, n}, piece;
    bool good = n > 0 && out[n - 1] != '/';
    while (slice_cut(&rest, '/', &piece))
        good = good && piece.n > 0 && !slice_eq(piece, S(".")) && !slice_eq(piece, S(".."));
    return good;
}

/* ---- matching -------------------------------------------------------------------------------- */

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

static bool segment_like(struct slice segment, struct slice pattern, struct slice *model)
{
    if (slice_eq(pattern, S("{}")))
        return segment.n > 0;
    if (!slice_starts(pattern, S("{m}")))
        return slice_eq(segment, pattern);
    struct slice tail = slice_sub(pattern, 3, pattern.n);
    if (!slice_ends(segment, tail) || segment.n <= tail.n)
        return false;
    *model = slice_sub(segment, 0, segment.n - tail.n);
    return true;
}

/* Segment by segment; `path` and `pattern` both begin with '/'. */
static bool path_like(struct slice path, struct slice pattern, struct slice *model)
{
    while (path.n > 0 && pattern.n > 0) {
        path = slice_sub(path, 1, path.n);
        pattern = slice_sub(pattern, 1, pattern.n);
        ptrdiff_t a = slice_find(path, '/'), b = slice_find(pattern, '/');
        struct slice segment = slice_sub(path, 0, a < 0 ? path.n : (size_t)a);
        struct slice want = slice_sub(pattern, 0, b < 0 ? pattern.n : (size_t)b);
        if (!segment_like(segment, want, model))
            return false;
        path = slice_sub(path, segment.n, path.n);
        pattern = slice_sub(pattern, want.n, pattern.n);
    }
    return path.n == 0 && pattern.n == 0;
}

/* By the beginnings of paths, first match first. */
static const struct {
    const char *begin;
    struct front front;
} GUESSES[] = {
    {"/v1/chat", OPENAI(API_OTHER)},
    {"/chat", OPENAI(API_OTHER)},
    {"/v1/embeddings", OPENAI(API_OTHER)},
    {"/embeddings", OPENAI(API_OTHER)},
    {"/v1/completions", OPENAI(API_OTHER)},
    {"/v1/images", OPENAI(API_OTHER)},
    {"/v1/audio", OPENAI(API_OTHER)},
    {"/v1/moderations", OPENAI(API_OTHER)},
    {"/v1/batches", OPENAI(API_OTHER)},
    {"/v1/responses", RESPONSES(API_OTHER)},
    {"/responses", RESPONSES(API_OTHER)},
    {"/v1/conversations", RESPONSES(API_OTHER)},
    {"/v1beta/", GEMINI(API_OTHER, false)},
    {"/model/", BEDROCK(API_OTHER, false)},
    {"/inference-profiles", BEDROCK(API_OTHER, false)},
    {"/v1/projects/", VERTEX(API_OTHER, false)},
    {"/projects/", VERTEX(API_OTHER, false)},
    {"/api/chat", OLLAMA(API_OTHER)},
    {"/api/tags", OLLAMA(API_OTHER)},
    {"/api/generate", OLLAMA(API_OTHER)},
    {"/api/show", OLLAMA(API_OTHER)},
};

struct front route_guess(struct slice path)
{
    static const struct front any = ANTHROPIC(API_OTHER);
    for (size_t i = 0; i < sizeof GUESSES / sizeof *GUESSES; i++)
        if (slice_starts(path, slice_of(GUESSES[i].begin)))
            return GUESSES[i].front;
    bool google = slice_starts(path, S("/v1/models/")) && slice_find(path, ':') >= 0;
    return google ? (struct front)GEMINI(API_OTHER, false) : any;
}

struct slice route_allow(const struct route *r, char out[ROUTE_ALLOW_MAX])
{
    size_t n = 0;
    out[0] = '\0';
    for (int m = HTTP_GET; m <= HTTP_OPTIONS; m++)
        if ((r->methods & M(m)) != 0)
            n += text_format(out + n, ROUTE_ALLOW_MAX - n, "%s%s", n > 0 ? ", " : "",
                             http_method_name((enum http_method)m));
    return (struct slice){out, n};
}

enum match { MATCH_NOT, MATCH_YES, MATCH_CASE };

static enum match row_match(const struct route_row *r, struct slice path, struct slice *model)
{
    struct slice base = r->path;
    if (slice_find(base, '{') >= 0)
        return path_like(path, base, model) ? MATCH_YES : MATCH_NOT;
    bool below = r->prefix && path.n > base.n && path.p[base.n] == '/';
    if (!slice_istarts(path, base) || (path.n != base.n && !below))
        return MATCH_NOT;
    /* the same in capitals is one more spelling */
    return slice_starts(path, base) ? MATCH_YES : MATCH_CASE;
}

static struct route row_taken(const struct route_row *r, enum http_method m, struct slice path,
                              struct slice model)
{
    if (r->methods != 0 && (r->methods & M(m)) == 0)
        return (struct route){ROUTE_METHOD, r->name, S(""), S(""), r->methods, r->front};
    bool owned = r->kind == ROUTE_BATCHES || r->kind == ROUTE_FILES || r->kind == ROUTE_STATE ||
                 r->kind == ROUTE_JOBS;
    struct slice object = owned ? object_of(path, r->path) : S("");
    return (struct route){r->kind, r->name, object, model, r->methods, r->front};
}

static struct route route_unknown(struct slice path)
{
    return (struct route){.kind = ROUTE_UNKNOWN,
                          .name = "unknown",
                          .object = S(""),
                          .model = S(""),
                          .front = route_guess(path)};
}

struct route route_find(enum http_method m, struct slice path)
{
    /* Nearly all are written as they stand here; no row before such a one takes its path. */
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++)
        if (slice_eq(path, ROWS[i].path) && slice_find(path, '{') < 0)
            return row_taken(&ROWS[i], m, path, S(""));
    if (!path_is_plain(path))
        return route_unknown(path);
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        struct slice model = S("");
        enum match how = row_match(&ROWS[i], path, &model);
        if (how == MATCH_CASE)
            break;
        if (how == MATCH_YES)
            return row_taken(&ROWS[i], m, path, model);
    }
    return route_unknown(path);
}

/* ---- the rest of the head -------------------------------------------------------------------- */

static bool query_has(struct slice query, struct slice pair)
{
    struct slice part;
    while (slice_cut(&query, '&', &part))
        if (slice_eq(part, pair))
            return true;
    return false;
}

void route_settle(struct route *r, const struct http_head *head)
{
    struct front *f = &r->front;
    if (f->dialect == DIALECT_GEMINI && query_has(head->query, S("alt=sse")))
        f->stream = FRAMING_SSE;
    /* The same path in several dialects. Anthropic's clients tell a version; theirs is also who has
     * no bearer token. Claude Code asks with one, and with a version. */
    bool shared = r->kind == ROUTE_MODELS ||
                  (r->kind == ROUTE_OTHER && strcmp(r->name, "model") == 0) ||
                  (r->kind == ROUTE_FILES && strcmp(r->name, "files") == 0);
    if (!shared || f->dialect != DIALECT_ANTHROPIC || http_find(head, "anthropic-version") != NULL)
        return;
    if (http_find(head, "x-goog-api-key") != NULL)
        f->dialect = DIALECT_GEMINI;
    else if (http_find(head, "x-api-key") == NULL && http_find(head, "authorization") != NULL)
        f->dialect = DIALECT_OPENAI;
}
