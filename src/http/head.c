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

struct slice method_name(enum http_method m)
{
    static const struct slice NAME[] = {
        [HTTP_GET] = {"GET", 3},        [HTTP_HEAD] = {"HEAD", 4},     [HTTP_POST] = {"POST", 4},
        [HTTP_PUT] = {"PUT", 3},        [HTTP_DELETE] = {"DELETE", 6}, [HTTP_PATCH] = {"PATCH", 5},
        [HTTP_OPTIONS] = {"OPTIONS", 7}};
    assert((size_t)m < sizeof NAME / sizeof NAME[0]);
    return NAME[m];
}

const char *http_method_name(enum http_method m)
{
    return method_name(m).p;
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

static NOINLINE bool is_hop_name(struct slice name)
{
    switch (name.p[0]) {
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

/* Nearly every name is decided by its first letter. */
bool http_is_hop_header(struct slice name)
{
#define LETTER(c) (1U << ((c) - 'a'))
    static const unsigned FIRST = LETTER('c') | LETTER('e') | LETTER('h') | LETTER('k') |
                                  LETTER('p') | LETTER('t') | LETTER('u'); /* of is_hop_name */
    unsigned letter = name.n > 0 ? (unsigned char)name.p[0] - (unsigned)'a' : 31;
    return letter < 26 && (FIRST >> letter & 1) != 0 && is_hop_name(name);
#undef LETTER
}

static NOINLINE bool connection_has(const struct http_head *h, struct slice lower_name)
{
    for (int i = 0; i < h->headers; i++) {
        struct slice rest = h->header[i].value, part;
        if (!slice_eq(h->header[i].name, S("connection")))
            continue;
        while (slice_cut(&rest, ',', &part))
            if (slice_ieq(slice_trim(part), lower_name))
                return true;
    }
    return false;
}

bool http_connection_lists(const struct http_head *h, struct slice lower_name)
{
    return h->connection && connection_has(h, lower_name);
}

/* ---- writing ------------------------------------------------------------------------------- */

/* Whether a byte of eight is under 0x20: it borrows into its top bit, which it did not have. */
#define EACH_BYTE(b) (UINT64_C(0x0101010101010101) * (b))
static inline uint64_t low_bytes(uint64_t w)
{
    return (w - EACH_BYTE(0x20)) & ~w & EACH_BYTE(0x80);
}

/* head_copy by words, some of whose bytes are copied twice; `*low` becomes other than 0 when one of
 * them is under 0x20. */
static INLINED char *text_put(char *at, struct slice s, uint64_t *low)
{
    const char *p = s.p;
    char *end = at + s.n;
    uint64_t w;
    if (s.n >= sizeof w) {
        const char *last = p + (s.n - sizeof w);
        for (; p < last; p += sizeof w, at += sizeof w) {
            memcpy(&w, p, sizeof w);
            memcpy(at, &w, sizeof w);
            *low |= low_bytes(w);
        }
        memcpy(&w, last, sizeof w);
        memcpy(end - sizeof w, &w, sizeof w);
        *low |= low_bytes(w);
    } else if (s.n >= sizeof(uint32_t)) {
        uint32_t front, back;
        memcpy(&front, p, sizeof front);
        memcpy(&back, p + s.n - sizeof back, sizeof back);
        memcpy(at, &front, sizeof front);
        memcpy(end - sizeof back, &back, sizeof back);
        *low |= low_bytes((uint64_t)front << 32 | back);
    } else {
        for (; at < end; at++, p++) {
            *at = *p;
            *low |= (unsigned char)*p < 0x20;
        }
    }
    return end;
}

static bool breaks_a_line(const char *p, size_t n)
{
    return memchr(p, '\n', n) != NULL || memchr(p, '\r', n) != NULL || memchr(p, '\0', n) != NULL;
}

/* Whatever the caller thinks: framing is never relayed, and no name or value can end its line. */
static char *line_put(char *at, const struct http_header *h)
{
    char *line = at;
    uint64_t low = 0;
    if (h->name.n == 0 || http_is_hop_header(h->name))
        return line;
    at = text_put(at, h->name, &low);
    *at++ = ':';
    *at++ = ' ';
    at = text_put(at, h->value, &low);
    if (low != 0 && breaks_a_line(line, (size_t)(at - line)))
        return line;
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

size_t head_lines_room(const struct http_header *h, int n)
{
    size_t room = 0;
    for (int i = 0; i < n; i++)
        room += h[i].name.n + h[i].value.n + 4;
    return room;
}

char *head_put_lines(char *at, const struct http_header *h, int n)
{
    for (int i = 0; i < n; i++)
        at = line_put(at, &h[i]);
    return at;
}

char *head_put_number(char *at, struct slice before, uint64_t v)
{
    at = head_copy(at, before);
    at += text_from_u64(v, at);
    return head_copy(at, S("\r\n"));
}

char *head_put_status(char *at, int status)
{
    if (status == 200)
        return head_copy(at, S("HTTP/1.1 200 OK\r\n"));
    struct slice reason = slice_of(http_reason(status));
    assert(status >= 100 && status <= 999);
    assert(reason.n + sizeof "HTTP/1.1 000 \r\n" <= HEAD_STATUS_MAX);
    at = head_copy(at, S("HTTP/1.1 "));
    *at++ = (char)('0' + status / 100);
    *at++ = (char)('0' + status / 10 % 10);
    *at++ = (char)('0' + status % 10);
    *at++ = ' ';
    at = head_copy(at, reason);
    return head_copy(at, S("\r\n"));
}
