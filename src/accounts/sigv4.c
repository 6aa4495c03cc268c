/* AWS Signature Version 4: a canonical form of the request, its hash, and a chain of HMACs over
 * that. The canonical form follows what is really sent, so a signature cannot be better than the
 * caller's care to hand in the path, the query and the headers as they go out. */
#include "accounts/sigv4.h"

#include <string.h>

/* ---- keys ------------------------------------------------------------------------------------ */

static bool is_word(struct slice s, size_t max)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= ' ' || s.p[i] > '~')
            return false;
    }
    return s.n > 0 && s.n <= max;
}

enum err aws_keys_read(struct slice text, struct aws_keys *out)
{
    struct slice rest = text;
    *out = (struct aws_keys){S(""), S(""), S("")};
    if (!slice_cut(&rest, ':', &out->id) || !slice_cut(&rest, ':', &out->secret))
        return ERR_SYNTAX;
    out->token = rest;
    bool good = is_word(out->id, AWS_KEY_ID_MAX) && slice_find(out->id, '/') < 0 &&
                slice_find(out->id, ',') < 0 && is_word(out->secret, AWS_SECRET_MAX) &&
                (out->token.n == 0 || is_word(out->token, text.n));
    return good ? OK : ERR_SYNTAX;
}

enum err aws_keys_print(const struct aws_keys *k, struct buf *out)
{
    size_t before = out->len;
    enum err e = buf_puts(out, k->id);
    e = e == OK ? buf_puts(out, S(":")) : e;
    e = e == OK ? buf_puts(out, k->secret) : e;
    if (e == OK && k->token.n > 0)
        e = buf_puts(out, S(":"));
    e = e == OK ? buf_puts(out, k->token) : e;
    if (e != OK)
        out->len = before;
    return e;
}

/* ---- the canonical request ------------------------------------------------------------------- */

static bool is_unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static enum err encode_one(unsigned char c, struct buf *out)
{
    static const char digits[] = "0123456789ABCDEF";
    char three[3] = {'%', digits[c >> 4], digits[c & 15]};
    if (is_unreserved((char)c))
        return buf_append(out, &c, 1);
    return buf_append(out, three, sizeof three);
}

enum err sigv4_encode(struct slice segment, struct buf *out)
{
    enum err e = OK;
    for (size_t i = 0, run; e == OK && i < segment.n; i = run) {
        for (run = i; run < segment.n && is_unreserved(segment.p[run]);)
            run++;
        if (run > i)
            e = buf_append(out, segment.p + i, run - i);
        else
            e = encode_one((unsigned char)segment.p[run++], out);
    }
    return e;
}

/* The segment behind the last slash from `start` on goes. */
static void path_pop(struct buf *out, size_t start)
{
    assert(start <= out->len);
    while (out->len > start && out->p[out->len - 1] != '/')
        out->len--;
    if (out->len > start)
        out->len--;
}

/* Encoded once more, empty and dot segments resolved; a slash at the end stays. */
static enum err put_path(struct slice path, struct buf *out)
{
    size_t start = out->len;
    bool slash = slice_ends(path, S("/"));
    enum err e = OK;
    struct slice segment;
    while (e == OK && slice_cut(&path, '/', &segment)) {
        if (segment.n == 0 || slice_eq(segment, S(".")))
            continue;
        if (slice_eq(segment, S(".."))) {
            path_pop(out, start);
            continue;
        }
        e = buf_append(out, "/", 1);
        e = e == OK ? sigv4_encode(segment, out) : e;
    }
    if (e == OK && (slash || out->len == start))
        e = buf_append(out, "/", 1);
    return e;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Part of a query as it was sent, in the one encoding that is signed. */
static enum err put_part(struct slice s, struct buf *out)
{
    enum err e = OK;
    for (size_t i = 0; e == OK && i < s.n; i++) {
        int high = -1, low = -1;
        if (s.p[i] == '%' && s.n - i > 2) {
            high = hex_value(s.p[i + 1]);
            low = hex_value(s.p[i + 2]);
        }
        bool coded = high >= 0 && low >= 0;
        e = encode_one((unsigned char)(coded ? high * 16 + low : s.p[i]), out);
        i += coded ? 2 : 0;
    }
    return e;
}

static int bytes_compare(struct slice a, struct slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n > 0 ? memcmp(a.p, b.p, n) : 0;
    return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

/* Sorted by name, then value; the sort is stable, so equal names of headers keep their order. */
static void pairs_sort(struct http_header *v, int n, bool by_value)
{
    for (int i = 1; i < n; i++) {
        struct http_header one = v[i];
        int k = i;
        for (; k > 0; k--) {
            int c = bytes_compare(v[k - 1].name, one.name);
            if (c == 0 && by_value)
                c = bytes_compare(v[k - 1].value, one.value);
            if (c <= 0)
                break;
            v[k] = v[k - 1];
        }
        v[k] = one;
    }
}

/* The parameters, encoded into `scratch`, which must not move meanwhile. */
static enum err query_read(struct slice query, struct buf *scratch, struct http_header *pair,
                           int *n)
{
    struct slice part;
    *n = 0;
    enum err e = buf_reserve(scratch, query.n * 3 + 1);
    while (e == OK && slice_cut(&query, '&', &part)) {
        struct slice name = S("");
        if (part.n == 0)
            continue;
        if (*n == SIGV4_QUERY_MAX)
            return ERR_LIMIT;
        slice_cut(&part, '=', &name);
        size_t at = scratch->len;
        e = put_part(name, scratch);
        size_t mid = scratch->len;
        e = e == OK ? put_part(part, scratch) : e;
        pair[(*n)++] = (struct http_header){{scratch->p + at, mid - at},
                                            {scratch->p + mid, scratch->len - mid}};
    }
    return e;
}

static enum err put_query(struct slice query, struct buf *out)
{
    struct http_header pair[SIGV4_QUERY_MAX];
    struct buf scratch;
    int n = 0;
    if (query.n == 0)
        return OK;
    buf_init(&scratch, SIGV4_REQUEST_MAX);
    enum err e = query_read(query, &scratch, pair, &n);
    if (e == OK)
        pairs_sort(pair, n, true);
    for (int i = 0; e == OK && i < n; i++) {
        e = i > 0 ? buf_puts(out, S("&")) : OK;
        e = e == OK ? buf_puts(out, pair[i].name) : e;
        e = e == OK ? buf_puts(out, S("=")) : e;
        e = e == OK ? buf_puts(out, pair[i].value) : e;
    }
    buf_free(&scratch);
    return e;
}

/* Trimmed, and each run of spaces as one. */
static enum err put_value(struct slice v, struct buf *out)
{
    enum err e = OK;
    v = slice_trim(v);
    for (size_t i = 0, run; e == OK && i < v.n; i = run) {
        for (run = i; run < v.n && v.p[run] != ' ' && v.p[run] != '\t';)
            run++;
        e = buf_append(out, v.p + i, run - i);
        if (run == v.n || e != OK)
            continue;
        while (v.p[run] == ' ' || v.p[run] == '\t') /* trimmed: another character ends it */
            run++;
        e = buf_append(out, " ", 1);
    }
    return e;
}

/* "name:value\n" each; of equal names one line with their values between commas. */
static enum err put_headers(const struct http_header *h, int n, struct buf *out)
{
    enum err e = OK;
    for (int i = 0; e == OK && i < n; i++) {
        if (i > 0 && slice_eq(h[i].name, h[i - 1].name)) {
            assert(out->len > 0 && out->p[out->len - 1] == '\n');
            out->len--; /* the line end before */
            e = buf_puts(out, S(","));
        } else {
            e = buf_puts(out, h[i].name);
            e = e == OK ? buf_puts(out, S(":")) : e;
        }
        e = e == OK ? put_value(h[i].value, out) : e;
        e = e == OK ? buf_puts(out, S("\n")) : e;
    }
    return e;
}

static enum err put_names(const struct http_header *h, int n, struct buf *out)
{
    enum err e = OK;
    for (int i = 0; e == OK && i < n; i++) {
        if (i > 0 && slice_eq(h[i].name, h[i - 1].name))
            continue;
        e = i > 0 ? buf_puts(out, S(";")) : OK;
        e = e == OK ? buf_puts(out, h[i].name) : e;
    }
    return e;
}

/* ---- the signature --------------------------------------------------------------------------- */

struct signing {
    char date[17]; /* "20260102T030405Z" */
    char hash[2 * CRYPTO_SHA256 + 1];
    struct http_header header[SIGV4_SIGN_MAX + SIGV4_HEADERS];
    int headers;
    struct buf canonical, names;
};

static struct slice date_of(const struct signing *g)
{
    return (struct slice){g->date, 16};
}

static void signing_date(struct signing *g, int64_t now)
{
    char t[TEXT_TIME_MAX];
    size_t n = text_from_time(now, t); /* "2026-01-02T03:04:05.000Z" */
    assert(n >= 20);
    text_format(g->date, sizeof g->date, "%.4s%.2s%.2sT%.2s%.2s%.2sZ", t, t + 5, t + 8, t + 11,
                t + 14, t + 17);
}

static void signing_add(struct signing *g, struct slice name, struct slice value)
{
    assert((size_t)g->headers < sizeof g->header / sizeof g->header[0]);
    g->header[g->headers++] = (struct http_header){name, value};
}

static bool is_ours(struct slice name)
{
    return slice_eq(name, S("host")) || slice_eq(name, S("authorization")) ||
           slice_eq(name, S("x-amz-date")) || slice_eq(name, S("x-amz-security-token")) ||
           slice_eq(name, S("x-amz-content-sha256"));
}

static enum err signing_headers(struct signing *g, const struct sigv4_request *r)
{
    for (int i = 0; i < r->headers; i++) {
        if (is_ours(r->header[i].name))
            continue;
        if (g->headers == SIGV4_SIGN_MAX)
            return ERR_LIMIT;
        signing_add(g, r->header[i].name, r->header[i].value);
    }
    signing_add(g, S("host"), r->host);
    signing_add(g, S("x-amz-date"), date_of(g));
    if (r->keys.token.n > 0)
        signing_add(g, S("x-amz-security-token"), r->keys.token);
    if (r->tell_hash)
        signing_add(g, S("x-amz-content-sha256"), slice_of(g->hash));
    pairs_sort(g->header, g->headers, false);
    return OK;
}

static enum err signing_canonical(struct signing *g, const struct sigv4_request *r)
{
    struct buf *c = &g->canonical;
    /* What it holds of the keys is not to be left behind by a buffer that moves. */
    enum err e = buf_reserve(c, 4096 + r->path.n * 3 + r->query.n * 3 + r->keys.token.n);
    e = e == OK ? put_names(g->header, g->headers, &g->names) : e;
    e = e == OK ? buf_puts(c, r->method) : e;
    e = e == OK ? buf_puts(c, S("\n")) : e;
    e = e == OK ? put_path(r->path, c) : e;
    e = e == OK ? buf_puts(c, S("\n")) : e;
    e = e == OK ? put_query(r->query, c) : e;
    e = e == OK ? buf_puts(c, S("\n")) : e;
    e = e == OK ? put_headers(g->header, g->headers, c) : e;
    e = e == OK ? buf_puts(c, S("\n")) : e;
    e = e == OK ? buf_puts(c, buf_slice(&g->names)) : e;
    e = e == OK ? buf_puts(c, S("\n")) : e;
    return e == OK ? buf_puts(c, slice_of(g->hash)) : e;
}

static void signing_key(const struct sigv4_request *r, struct slice day, uint8_t key[CRYPTO_SHA256])
{
    char first[4 + AWS_SECRET_MAX];
    assert(r->keys.secret.n <= AWS_SECRET_MAX);
    memcpy(first, "AWS4", 4);
    memcpy(first + 4, r->keys.secret.p, r->keys.secret.n);
    crypto_hmac_sha256(key, first, 4 + r->keys.secret.n, day);
    crypto_hmac_sha256(key, key, CRYPTO_SHA256, r->region);
    crypto_hmac_sha256(key, key, CRYPTO_SHA256, r->service);
    crypto_hmac_sha256(key, key, CRYPTO_SHA256, S("aws4_request"));
    crypto_wipe(first, sizeof first);
}

static enum err signing_sign(const struct signing *g, const struct sigv4_request *r,
                             struct slice scope, char signature[2 * CRYPTO_SHA256 + 1])
{
    char text[512], hex[2 * CRYPTO_SHA256 + 1];
    uint8_t key[CRYPTO_SHA256], hash[CRYPTO_SHA256];
    crypto_sha256(hash, buf_slice(&g->canonical));
    text_hex(hex, hash, sizeof hash);
    size_t n = text_format(text, sizeof text, "AWS4-HMAC-SHA256\n%s\n%.*s\n%s", g->date,
                           (int)scope.n, scope.p, hex);
    if (n == sizeof text - 1)
        return ERR_LIMIT;
    signing_key(r, slice_sub(date_of(g), 0, 8), key);
    crypto_hmac_sha256(hash, key, sizeof key, (struct slice){text, n});
    crypto_wipe(key, sizeof key);
    text_hex(signature, hash, sizeof hash);
    return OK;
}

/* Where the values of the headers go; all are counted with a NUL behind. */
struct room {
    char *p;
    size_t left;
};

static struct slice room_take(struct room *m, struct slice s)
{
    if (s.n >= m->left) {
        m->left = 0;
        return S("");
    }
    char *at = m->p;
    memcpy(at, s.p, s.n);
    at[s.n] = '\0';
    m->p += s.n + 1;
    m->left -= s.n + 1;
    return (struct slice){at, s.n};
}

static enum err signing_print(const struct signing *g, const struct sigv4_request *r,
                              struct http_header *out, int *n, struct room m)
{
    char scope[192], signature[2 * CRYPTO_SHA256 + 1];
    size_t len = text_format(scope, sizeof scope, "%.8s/%.*s/%.*s/aws4_request", g->date,
                             (int)r->region.n, r->region.p, (int)r->service.n, r->service.p);
    if (len == sizeof scope - 1)
        return ERR_LIMIT;
    enum err e = signing_sign(g, r, (struct slice){scope, len}, signature);
    if (e != OK)
        return e;
    struct slice names = buf_slice(&g->names);
    out[(*n)++] = (struct http_header){S("x-amz-date"), room_take(&m, date_of(g))};
    if (r->keys.token.n > 0)
        out[(*n)++] = (struct http_header){S("x-amz-security-token"), r->keys.token};
    if (r->tell_hash)
        out[(*n)++] = (struct http_header){S("x-amz-content-sha256"),
                                           room_take(&m, slice_of(g->hash))};
    len = m.left == 0 ? 0
                      : text_format(m.p, m.left,
                                    "AWS4-HMAC-SHA256 Credential=%.*s/%s, SignedHeaders=%.*s, "
                                    "Signature=%s",
                                    (int)r->keys.id.n, r->keys.id.p, scope, (int)names.n, names.p,
                                    signature);
    if (len + 1 >= m.left)
        return ERR_LIMIT;
    out[(*n)++] = (struct http_header){S("authorization"), {m.p, len}};
    assert(*n <= SIGV4_HEADERS);
    return OK;
}

enum err sigv4_sign(const struct sigv4_request *r, struct http_header out[SIGV4_HEADERS], int *n,
                    char *memory, size_t size)
{
    struct signing g = {.headers = 0};
    *n = 0;
    assert(r->headers >= 0 && r->method.n > 0);
    if (!is_word(r->keys.id, AWS_KEY_ID_MAX) || !is_word(r->keys.secret, AWS_SECRET_MAX) ||
        r->region.n == 0)
        return ERR_SYNTAX;
    buf_init(&g.canonical, SIGV4_REQUEST_MAX);
    buf_init(&g.names, SIGV4_REQUEST_MAX);
    signing_date(&g, r->now);
    text_hex(g.hash, r->body_hash, CRYPTO_SHA256);
    enum err e = signing_headers(&g, r);
    e = e == OK ? signing_canonical(&g, r) : e;
    e = e == OK ? signing_print(&g, r, out, n, (struct room){memory, size}) : e;
    buf_wipe(&g.canonical); /* the session token is in it */
    buf_free(&g.names);
    if (e != OK)
        *n = 0;
    return e;
}
