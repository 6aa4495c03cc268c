/* head: the model of a head: look-ups, names, and writing one. */
#include "http/h1.h"

#include <string.h>

const struct slice *http_find_slice(const struct http_head *h, struct slice name)
{
    for (int i = 0; i < h->headers; i++) {
        const struct slice *s = &h->header[i].name;
        if (s->n == name.n && memcmp(s->p, name.p, name.n) == 0)
            return &h->header[i].value;
    }
    return NULL;
}

const char *http_method_name(enum http_method m)
{
    static const char *const NAME[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"};
    assert((size_t)m < sizeof NAME / sizeof NAME[0]);
    return NAME[m];
}

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } TABLE[] = {{100, "Continue"},
                 {200, "OK"},
                 {201, "Created"},
                 {202, "Accepted"},
                 {204, "No Content"},
                 {206, "Partial Content"},
                 {301, "Moved Permanently"},
                 {302, "Found"},
                 {303, "See Other"},
                 {304, "Not Modified"},
                 {307, "Temporary Redirect"},
                 {308, "Permanent Redirect"},
                 {400, "Bad Request"},
                 {401, "Unauthorized"},
                 {402, "Payment Required"},
                 {403, "Forbidden"},
                 {404, "Not Found"},
                 {405, "Method Not Allowed"},
                 {406, "Not Acceptable"},
                 {408, "Request Timeout"},
                 {409, "Conflict"},
                 {410, "Gone"},
                 {411, "Length Required"},
                 {412, "Precondition Failed"},
                 {413, "Content Too Large"},
                 {414, "URI Too Long"},
                 {415, "Unsupported Media Type"},
                 {416, "Range Not Satisfiable"},
                 {417, "Expectation Failed"},
                 {421, "Misdirected Request"},
                 {422, "Unprocessable Content"},
                 {424, "Failed Dependency"},
                 {425, "Too Early"},
                 {426, "Upgrade Required"},
                 {428, "Precondition Required"},
                 {429, "Too Many Requests"},
                 {431, "Request Header Fields Too Large"},
                 {499, "Client Closed Request"},
                 {500, "Internal Server Error"},
                 {501, "Not Implemented"},
                 {502, "Bad Gateway"},
                 {503, "Service Unavailable"},
                 {504, "Gateway Timeout"},
                 {505, "HTTP Version Not Supported"},
                 {529, "Overloaded"}};
    for (size_t i = 0; i < sizeof TABLE / sizeof TABLE[0]; i++)
        if (TABLE[i].status == status)
            return TABLE[i].reason;
    return "";
}

bool http_is_hop_header(struct slice name)
{
    if (name.n < 2)
        return false;
    switch (name.p[0]) { /* nearly every name is decided by its first letter */
    case 'c':
        return slice_eq(name, S("connection")) || slice_eq(name, S("content-length"));
    case 'e':
        return slice_eq(name, S("expect"));
    case 'h':
        return slice_eq(name, S("host"));
    case 'k':
        return slice_eq(name, S("keep-alive"));
    case 'p':
        return slice_starts(name, S("proxy-"));
    case 't':
        return slice_eq(name, S("te")) || slice_eq(name, S("trailer")) ||
               slice_eq(name, S("transfer-encoding"));
    case 'u':
        return slice_eq(name, S("upgrade"));
    default:
        return false;
    }
}

bool http_connection_lists(const struct http_head *h, struct slice lower_name)
{
    for (int i = 0; h->connection && i < h->headers; i++) {
        struct slice rest = h->header[i].value, part;
        if (!slice_eq(h->header[i].name, S("connection")))
            continue;
        while (slice_cut(&rest, ',', &part))
            if (slice_ieq(slice_trim(part), lower_name))
                return true;
    }
    return false;
}

/* ---- writing ------------------------------------------------------------------------------- */

static bool breaks_a_line(struct slice s)
{
    return slice_has_control(s) &&
           (memchr(s.p, '\n', s.n) != NULL || memchr(s.p, '\r', s.n) != NULL ||
            memchr(s.p, '\0', s.n) != NULL);
}

/* Whatever the caller thinks: framing is never relayed, and no name or value can end its line. */
static char *line_put(char *at, const struct http_header *h)
{
    char *line = at;
    if (h->name.n == 0 || http_is_hop_header(h->name))
        return line;
    at = head_copy(at, h->name);
    at = head_copy(at, S(": "));
    at = head_copy(at, h->value);
    if (breaks_a_line((struct slice){line, (size_t)(at - line)}))
        return line;
    return head_copy(at, S("\r\n"));
}

enum err head_put_lines(struct buf *out, const struct http_header *h, int n)
{
    size_t room = 0;
    for (int i = 0; i < n; i++)
        room += h[i].name.n + h[i].value.n + 4;
    enum err e = buf_reserve(out, room);
    if (e != OK)
        return e;
    char *at = out->p + out->len;
    for (int i = 0; i < n; i++)
        at = line_put(at, &h[i]);
    assert((size_t)(at - out->p) <= out->len + room);
    out->len = (size_t)(at - out->p);
    return OK;
}

enum err head_put_number(struct buf *out, struct slice before, uint64_t v)
{
    enum err e = buf_reserve(out, before.n + TEXT_U64_MAX + 2);
    if (e != OK)
        return e;
    char *at = head_copy(out->p + out->len, before);
    at += text_from_u64(v, at);
    at = head_copy(at, S("\r\n"));
    out->len = (size_t)(at - out->p);
    assert(out->len <= out->cap);
    return OK;
}

enum err head_put_status(struct buf *out, int status)
{
    assert(status >= 100 && status <= 999);
    struct slice reason = slice_of(http_reason(status));
    enum err e = buf_reserve(out, reason.n + sizeof "HTTP/1.1 000 \r\n");
    if (e != OK)
        return e;
    char *at = head_copy(out->p + out->len, S("HTTP/1.1 "));
    *at++ = (char)('0' + status / 100);
    *at++ = (char)('0' + status / 10 % 10);
    *at++ = (char)('0' + status % 10);
    *at++ = ' ';
    at = head_copy(at, reason);
    at = head_copy(at, S("\r\n"));
    out->len = (size_t)(at - out->p);
    assert(out->len <= out->cap);
    return OK;
}
