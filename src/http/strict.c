/* strict: our own reader of a head. It is given bytes up to an empty line, whether or not llhttp
 * has seen them, and takes them apart, line by line, by rules narrower than RFC 9112 (robustness.md
 * B2 and B3). */
#include "http/h1.h"

#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

/* What is being read, and what has been seen of the fields that decide about framing. */
struct strict {
    struct http_head *h;
    struct h1 *h1; /* owns the memory of the headers */
    char *at, *end;
    bool request, http10;
    int hosts, lengths, codings;
    struct slice host;
    const char *why;
};

static int refuse(struct strict *s, int status, const char *why)
{
    assert(status >= 400 && why != NULL);
    s->why = why;
    return status;
}

/* The next line without its CRLF; a line ends with CRLF and nothing else. */
static bool line_cut(struct strict *s, struct slice *line)
{
    char *lf = s->at < s->end ? memchr(s->at, '\n', (size_t)(s->end - s->at)) : NULL;
    if (lf == NULL || lf == s->at || lf[-1] != '\r')
        return false;
    *line = (struct slice){s->at, (size_t)(lf - s->at) - 1};
    s->at = lf + 1;
    return true;
}

/* HTAB, SP to '~', 0x80 to 0xFF: so no CR, LF or NUL hides in it. */
static bool value_is_valid(struct slice v)
{
    if (!slice_has_control(v))
        return true;
    for (size_t i = 0; i < v.n; i++) {
        unsigned char c = (unsigned char)v.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

#define LETTERS(a, b, c, d) [a] = a, [b] = b, [c] = c, [d] = d

const char name_bytes[256] = {
    LETTERS('a', 'b', 'c', 'd'),
    LETTERS('e', 'f', 'g', 'h'),
    LETTERS('i', 'j', 'k', 'l'),
    LETTERS('m', 'n', 'o', 'p'),
    LETTERS('q', 'r', 's', 't'),
    LETTERS('u', 'v', 'w', 'x'),
    LETTERS('0', '1', '2', '3'),
    LETTERS('4', '5', '6', '7'),
    ['8'] = '8',
    ['9'] = '9',
    ['y'] = 'y',
    ['z'] = 'z',
    ['-'] = '-',
    ['A'] = 'a',
    ['B'] = 'b',
    ['C'] = 'c',
    ['D'] = 'd',
    ['E'] = 'e',
    ['F'] = 'f',
    ['G'] = 'g',
    ['H'] = 'h',
    ['I'] = 'i',
    ['J'] = 'j',
    ['K'] = 'k',
    ['L'] = 'l',
    ['M'] = 'm',
    ['N'] = 'n',
    ['O'] = 'o',
    ['P'] = 'p',
    ['Q'] = 'q',
    ['R'] = 'r',
    ['S'] = 's',
    ['T'] = 't',
    ['U'] = 'u',
    ['V'] = 'v',
    ['W'] = 'w',
    ['X'] = 'x',
    ['Y'] = 'y',
    ['Z'] = 'z',
};

/* Requests: letters, digits and '-'. Replies: any token of RFC 9110 5.6.2. */
static bool name_lower(char *p, size_t n, bool request)
{
    for (size_t i = 0; i < n; i++) {
        char c = name_bytes[(unsigned char)p[i]];
        if (c != '\0')
            p[i] = c;
        else if (request || p[i] == '\0' || strchr("!#$%&'*+.^_`|~", p[i]) == NULL)
            return false;
    }
    return n > 0;
}

/* ---- the fields that matter to the message itself ------------------------------------------ */

static int field_length(struct strict *s, struct slice v)
{
    uint64_t length;
    size_t digits = s->request ? H1_LENGTH_DIGITS_IN : H1_LENGTH_DIGITS_BACK;
    if (++s->lengths > 1)
        return refuse(s, 400, "content-length is given twice");
    if (v.n == 0 || v.n > digits || !text_u64(v, &length))
        return refuse(s, 400, "content-length is not a number");
    s->h->content_length = (int64_t)length;
    return 0;
}

static int field_coding(struct strict *s, struct slice v)
{
    if (++s->codings > 1)
        return refuse(s, 400, "transfer-encoding is given twice");
    if (!slice_ieq(v, S("chunked")))
        return refuse(s, 400, "the transfer-encoding is not chunked");
    if (s->http10)
        return refuse(s, 400, "HTTP/1.0 has no transfer-encoding");
    s->h->chunked = true;
    return 0;
}

static int field_host(struct strict *s, struct slice v)
{
    if (!s->request)
        return 0;
    if (++s->hosts > 1)
        return refuse(s, 400, "host is given twice");
    if (!host_is_valid(v))
        return refuse(s, 400, "the host is not valid");
    s->host = v;
    return 0;
}

static int field_expect(struct strict *s, struct slice v)
{
    if (!s->request)
        return 0;
    if (!slice_ieq(v, S("100-continue")))
        return refuse(s, 417, "this expectation cannot be met");
    s->h->expect_continue = !s->http10;
    return 0;
}

static void field_connection(struct strict *s, struct slice v)
{
    struct slice part;
    s->h->connection = true;
    while (slice_cut(&v, ',', &part))
        if (slice_ieq(slice_trim(part), S("close")))
            s->h->keep_alive = false;
}

static NOINLINE int field_read(struct strict *s, const struct http_header *f)
{
    switch (f->name.n) {
    case 4:
        return slice_eq(f->name, S("host")) ? field_host(s, f->value) : 0;
    case 6:
        return slice_eq(f->name, S("expect")) ? field_expect(s, f->value) : 0;
    case 10:
        if (slice_eq(f->name, S("connection")))
            field_connection(s, f->value);
        return 0;
    case 14:
        return slice_eq(f->name, S("content-length")) ? field_length(s, f->value) : 0;
    case 17:
        return slice_eq(f->name, S("transfer-encoding")) ? field_coding(s, f->value) : 0;
    default:
        return 0;
    }
}

/* Whether field_read has to see it: nearly every name is decided by its length and first letter. */
static inline bool field_may_matter(struct slice name)
{
    static const char FIRST[] = {[4] = 'h', [6] = 'e', [10] = 'c', [14] = 'c', [17] = 't'};
    assert(name.n > 0);
    return name.n < sizeof FIRST && FIRST[name.n] == name.p[0];
}

/* Room for one header more. A stream holds two heads for long, so there is little room to spare;
 * the next message finds what this one has needed. */
static bool header_room(struct strict *s)
{
    struct h1 *h1 = s->h1;
    if (s->h->headers < h1->header_room)
        return true;
    int room = h1->header_room > 0 ? h1->header_room + 8 : 8;
    void *more = mem_try_grow(h1->header, (size_t)room * sizeof *h1->header);
    if (more == NULL)
        return false;
    h1->header = s->h->header = more;
    h1->header_room = room;
    return true;
}

/* One header more, whose name and value are fine. */
static inline int field_add(struct strict *s, struct slice name, struct slice value)
{
    struct http_header *f = &s->h->header[s->h->headers++];
    f->name = name;
    f->value = value;
    s->h->name_lengths |= HTTP_NAME_LENGTH(name.n);
    return field_may_matter(name) ? field_read(s, f) : 0;
}

#if defined(__SSE2__)

/* The letters among 16 bytes. */
static inline __m128i letters_in(__m128i v)
{
    __m128i from_a = _mm_sub_epi8(_mm_or_si128(v, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
    return _mm_cmpeq_epi8(_mm_min_epu8(from_a, _mm_set1_epi8(25)), from_a);
}

/* Turns a name to lower case, up to the first byte that is not for every name; where that stands.
 */
static char *name_end(char *p)
{
    static const char FRONT[32] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    for (;; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i letter = letters_in(v), from_0 = _mm_sub_epi8(v, _mm_set1_epi8('0'));
        __m128i digit = _mm_cmpeq_epi8(_mm_min_epu8(from_0, _mm_set1_epi8(9)), from_0);
        __m128i fine = _mm_or_si128(_mm_or_si128(letter, digit),
                                    _mm_cmpeq_epi8(v, _mm_set1_epi8('-')));
        unsigned n = (unsigned)__builtin_ctz(~(unsigned)_mm_movemask_epi8(fine));
        assert(n <= 16);
        /* what stands behind the name stays as it is */
        __m128i front = _mm_loadu_si128((const __m128i *)(const void *)(FRONT + 16 - n));
        __m128i small = _mm_and_si128(_mm_and_si128(letter, front), _mm_set1_epi8(0x20));
        _mm_storeu_si128((__m128i *)(void *)p, _mm_or_si128(v, small));
        if (n < 16)
            return p + n;
    }
}

/* The first byte from `p` on that is under 0x20, but no HTAB, or 0x7f. */
static char *text_end(char *p)
{
    for (;; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
        __m128i stop = _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\t')), low),
                                    _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
        unsigned at = (unsigned)_mm_movemask_epi8(stop);
        if (at != 0)
            return p + __builtin_ctz(at);
    }
}

#else

static char *name_end(char *p)
{
    for (char c; (c = name_bytes[(unsigned char)*p]) != '\0'; p++)
        *p = c;
    return p;
}

static char *text_end(char *p)
{
    for (;; p++) {
        unsigned char c = (unsigned char)*p;
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return p;
    }
}

#endif

/* A line as nearly all of them are, read in one go: a name of bytes that each role allows, a colon,
 * text, CRLF. False: it is left to line_odd, which says what is wrong, if anything is. No end is
 * looked for: the zeros behind the head are neither name nor text. */
static bool line_usual(struct strict *s, int *status)
{
    char *line = s->at, *at = name_end(line), *lead = at + 1, *tail;
    if (at == line || *at != ':' || s->h->headers == s->h1->header_room ||
        s->h->headers == HTTP_HEADERS_MAX)
        return false;
    while (*lead == ' ' || *lead == '\t')
        lead++;
    char *stop = text_end(lead);
    if (stop[0] != '\r' || stop[1] != '\n' || stop - line > HTTP_LINE_MAX)
        return false;
    for (tail = stop; tail > lead && (tail[-1] == ' ' || tail[-1] == '\t'); tail--)
        ;
    s->at = stop + 2;
    *status = field_add(s, (struct slice){line, (size_t)(at - line)},
                        (struct slice){lead, (size_t)(tail - lead)});
    return true;
}

static int line_read(struct strict *s, struct slice line)
{
    if (line.n > HTTP_LINE_MAX)
        return refuse(s, 431, "a header line is too long");
    if (line.p[0] == ' ' || line.p[0] == '\t')
        return refuse(s, 400, "a header is folded");
    ptrdiff_t colon = slice_find(line, ':');
    if (colon < 0)
        return refuse(s, 400, "a header has no colon");
    if (s->h->headers == HTTP_HEADERS_MAX)
        return refuse(s, 431, "there are too many headers");
    if (!header_room(s))
        return refuse(s, 503, "out of memory for this head");
    char *name = s->at - line.n - 2; /* the line as it stands in the head, to be changed there */
    assert(name == line.p);
    if (!name_lower(name, (size_t)colon, s->request))
        return refuse(s, 400, "a header's name is not valid");
    struct slice value = slice_trim(slice_sub(line, (size_t)colon + 1, line.n));
    if (!value_is_valid(value))
        return refuse(s, 400, "a header's value is not valid");
    return field_add(s, (struct slice){name, (size_t)colon}, value);
}

static int line_odd(struct strict *s)
{
    struct slice line;
    if (!line_cut(s, &line))
        return refuse(s, 400, "a header line does not end with CRLF");
    assert(line.n > 0); /* the empty line ends the head: see lines_read */
    return line_read(s, line);
}

static int lines_read(struct strict *s)
{
    while (s->at[0] != '\r' || s->at[1] != '\n') {
        int status = 0;
        if (!line_usual(s, &status))
            status = line_odd(s);
        if (status != 0)
            return status;
    }
    if (s->at + 2 != s->end)
        return refuse(s, 400, "the head does not end where it should");
    if (s->lengths > 0 && s->codings > 0)
        return refuse(s, 400, "content-length and transfer-encoding are both given");
    return 0;
}

/* ---- start lines --------------------------------------------------------------------------- */

static bool method_find(struct slice name, enum http_method *m)
{
    for (int i = HTTP_GET; i <= HTTP_OPTIONS; i++) {
        if (slice_eq(name, method_name((enum http_method)i))) {
            *m = (enum http_method)i;
            return true;
        }
    }
    return false;
}

static int version_read(struct strict *s, struct slice v)
{
    if (slice_eq(v, S("HTTP/1.1")))
        s->http10 = false;
    else if (slice_eq(v, S("HTTP/1.0")))
        s->http10 = true;
    else if (slice_starts(v, S("HTTP/")))
        return refuse(s, 505, "only HTTP/1.1 is spoken here");
    else
        return refuse(s, 400, "the start line is malformed");
    s->h->keep_alive = !s->http10;
    return 0;
}

/* Cuts a word off the line, and the blank behind it; all of it without one. For what is short. */
static bool word_cut(struct slice *line, struct slice *word)
{
    const char *p = line->p, *end = p + line->n, *at = p;
    while (at < end && *at != ' ')
        at++;
    if (p == end)
        return false;
    *word = (struct slice){p, (size_t)(at - p)};
    at += at < end;
    *line = (struct slice){at, (size_t)(end - at)};
    return true;
}

static bool target_is_valid(struct slice t)
{
    for (const char *p = t.p, *end = p + t.n; p < end; p++) {
        unsigned char c = (unsigned char)*p;
        if (name_bytes[c] == '\0' && (c <= 0x20 || c >= 0x7f || c == '#'))
            return false;
    }
    return true;
}

static int request_line(struct strict *s)
{
    struct slice line, method, target;
    if (!line_cut(s, &line))
        return refuse(s, 400, "the request line does not end with CRLF");
    if (line.n > HTTP_LINE_MAX)
        return refuse(s, 414, "the request line is too long");
    if (!word_cut(&line, &method) || !word_cut(&line, &target))
        return refuse(s, 400, "the request line is malformed");
    int status = version_read(s, line);
    if (status != 0)
        return status;
    if (!method_find(method, &s->h->method))
        return refuse(s, 501, "the method is not known here");
    if (!target_is_valid(target))
        return refuse(s, 400, "the target holds a character that is not allowed");
    s->h->target = target;
    return 0;
}

/* origin-form, or absolute-form when its authority is the Host's (RFC 9112 3.2). */
static int target_read(struct strict *s)
{
    struct slice t = s->h->target;
    size_t scheme = 0;
    if (t.n > 0 && t.p[0] != '/')
        scheme = slice_istarts(t, S("http://")) ? 7 : slice_istarts(t, S("https://")) ? 8 : 0;
    if (scheme > 0) {
        t = slice_sub(t, scheme, t.n);
        ptrdiff_t slash = slice_find(t, '/');
        if (slash < 0 || !slice_ieq(slice_sub(t, 0, (size_t)slash), s->host))
            return refuse(s, 400, "the target names another host, or no path");
        t = slice_sub(t, (size_t)slash, t.n);
    }
    ptrdiff_t mark = slice_find(t, '?');
    s->h->path = mark < 0 ? t : slice_sub(t, 0, (size_t)mark);
    s->h->query = mark < 0 ? S("") : slice_sub(t, (size_t)mark + 1, t.n);
    const char *fault = path_fault(s->h->path, s->h1->coded_slash);
    return fault == NULL ? 0 : refuse(s, 400, fault);
}

static int status_line(struct strict *s)
{
    struct slice line, version, code;
    uint64_t v;
    if (!line_cut(s, &line) || line.n > HTTP_LINE_MAX || !word_cut(&line, &version))
        return refuse(s, 400, "the status line is malformed");
    int status = version_read(s, version);
    if (status != 0)
        return status;
    if (!word_cut(&line, &code) || code.n != 3 || !text_u64(code, &v) || v < 100 || v > 599)
        return refuse(s, 400, "the status is not a number from 100 to 599");
    if (!value_is_valid(line))
        return refuse(s, 400, "the reason holds a character that is not allowed");
    s->h->status = (int)v;
    return 0;
}

/* ---- whole heads --------------------------------------------------------------------------- */

static struct strict strict_begin(struct h1 *h1, struct http_head *h)
{
    assert(h1->raw.cap - h1->raw.len >= H1_BEHIND && h1->raw.p[h1->raw.len] == '\0');
    *h = (struct http_head){.method = HTTP_GET,
                            .target = S(""),
                            .path = S(""),
                            .query = S(""),
                            .header = h1->header,
                            .content_length = -1};
    return (struct strict){.h = h,
                           .h1 = h1,
                           .at = h1->raw.p,
                           .end = h1->raw.p + h1->raw.len,
                           .request = h1->role == H1_REQUEST,
                           .host = S("")};
}

static int strict_end(const struct strict *s, int status, const char **why)
{
    s->h1->http10 = s->http10;
    *why = s->why;
    assert((status == 0) == (s->why == NULL));
    return status;
}

int head_parse_request(struct h1 *h1, struct http_head *h, const char **why)
{
    struct strict s = strict_begin(h1, h);
    if (s.end - s.at >= 2 && s.at[0] == '\r' && s.at[1] == '\n')
        s.at += 2; /* one empty line may be left over from the request before (RFC 9112 2.2) */
    int status = request_line(&s);
    if (status == 0)
        status = lines_read(&s);
    if (status == 0 && s.hosts == 0 && !s.http10)
        status = refuse(&s, 400, "host is missing");
    if (status == 0)
        status = target_read(&s);
    if (h->content_length <= 0 && !h->chunked)
        h->expect_continue = false; /* there is nothing to go on with */
    return strict_end(&s, status, why);
}

int head_parse_reply(struct h1 *h1, struct http_head *h, const char **why)
{
    struct strict s = strict_begin(h1, h);
    int status = status_line(&s);
    if (status == 0)
        status = lines_read(&s);
    return strict_end(&s, status, why);
}
