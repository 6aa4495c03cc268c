/* message: a second reading of HTTP/1.1 and SSE, for the scripted peers. */
#include "message.h"

#include <string.h>

void message_free(struct message *m)
{
    bytes_free(&m->body);
}

const struct slice *message_find(const struct message *m, struct slice name, int *count)
{
    const struct slice *first = NULL;
    int n = 0;
    for (int i = 0; i < m->headers; i++)
        if (slice_ieq(m->name[i], name)) {
            if (first == NULL)
                first = &m->value[i];
            n++;
        }
    if (count != NULL)
        *count = n;
    return first;
}

/* Cuts one CRLF line off; false when there is none yet. */
static bool line_cut(struct slice s, size_t *at, struct slice *line)
{
    ptrdiff_t end = slice_search(slice_sub(s, *at, s.n), S("\r\n"));
    if (end < 0)
        return false;
    *line = slice_sub(s, *at, *at + (size_t)end);
    *at += (size_t)end + 2;
    return true;
}

static void first_line_read(struct message *m, enum message_kind kind, struct slice line)
{
    struct slice rest = line, part;
    m->line = line;
    if (kind == MESSAGE_REQUEST) {
        if (!slice_cut(&rest, ' ', &m->method) || !slice_cut(&rest, ' ', &m->target) ||
            !slice_starts(rest, S("HTTP/1.")))
            m->bad = "no request line";
        m->keep_alive = slice_eq(rest, S("HTTP/1.1"));
        return;
    }
    uint64_t status = 0;
    bool ok = slice_cut(&rest, ' ', &part) && slice_starts(part, S("HTTP/1."));
    m->keep_alive = ok && slice_eq(part, S("HTTP/1.1"));
    if (!ok || !slice_cut(&rest, ' ', &part) || part.n != 3 || !text_u64(part, &status))
        m->bad = "no status line";
    m->status = (int)status;
}

static void header_read(struct message *m, struct slice line)
{
    ptrdiff_t colon = slice_find(line, ':');
    if (colon <= 0 || m->headers == MESSAGE_HEADERS) {
        m->bad = colon <= 0 ? "a header line without name" : "too many headers";
        return;
    }
    m->name[m->headers] = slice_sub(line, 0, (size_t)colon);
    m->value[m->headers] = slice_trim(slice_sub(line, (size_t)colon + 1, line.n));
    m->headers++;
}

/* True once the head is complete; *at stands behind it then. */
static bool head_read(struct message *m, enum message_kind kind, struct slice s, size_t *at)
{
    struct slice line;
    if (!line_cut(s, at, &line))
        return false;
    first_line_read(m, kind, line);
    while (line_cut(s, at, &line)) {
        if (line.n == 0)
            return true;
        header_read(m, line);
    }
    return false;
}

static void framing_read(struct message *m)
{
    int lengths, codings;
    uint64_t n = 0;
    const struct slice *cl = message_find(m, S("content-length"), &lengths);
    const struct slice *te = message_find(m, S("transfer-encoding"), &codings);
    const struct slice *conn = message_find(m, S("connection"), NULL);
    m->length = -1;
    if (cl != NULL && (lengths > 1 || te != NULL || !text_u64(*cl, &n)))
        m->bad = "ambiguous or wrong content-length";
    else if (cl != NULL)
        m->length = (int64_t)n;
    m->chunked = te != NULL;
    if (te != NULL && (codings > 1 || !slice_ieq(*te, S("chunked"))))
        m->bad = "a transfer coding that is not just chunked";
    if (conn != NULL && slice_ieq(*conn, S("close")))
        m->keep_alive = false;
    if (conn != NULL && slice_ieq(*conn, S("keep-alive")))
        m->keep_alive = true;
}

static bool hex_size(struct slice line, size_t *out)
{
    size_t v = 0;
    if (line.n == 0 || line.n > 8)
        return false;
    for (size_t i = 0; i < line.n; i++) {
        char c = line.p[i];
        unsigned d = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                     : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                     : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                            : 16;
        if (d == 16)
            return false;
        v = v * 16 + d;
    }
    *out = v;
    return true;
}

/* Chunked body from *at on; true when the last chunk and its trailer part are there. */
static bool chunks_read(struct message *m, struct slice s, size_t *at)
{
    for (;;) {
        struct slice line;
        size_t n, from = *at;
        if (!line_cut(s, &from, &line))
            return false;
        if (!hex_size(line, &n)) {
            m->bad = "a wrong chunk size";
            return false;
        }
        *at = from;
        if (n == 0)
            break;
        size_t have = s.n - *at < n ? s.n - *at : n;
        bytes_add(&m->body, s.p + *at, have);
        *at += have;
        if (have < n || s.n - *at < 2)
            return false;
        if (memcmp(s.p + *at, "\r\n", 2) != 0) {
            m->bad = "a chunk without its CRLF";
            return false;
        }
        *at += 2;
    }
    struct slice line;
    while (line_cut(s, at, &line))
        if (line.n == 0)
            return true;
    return false;
}

static bool has_body(const struct message *m, enum message_kind kind)
{
    if (kind == MESSAGE_REQUEST)
        return m->chunked || m->length > 0;
    return kind != MESSAGE_RESPONSE_TO_HEAD && m->status >= 200 && m->status != 204 &&
           m->status != 304;
}

void message_read(struct message *m, enum message_kind kind, struct slice s, bool ended)
{
    size_t at = 0;
    memset(m, 0, sizeof *m);
    m->length = -1;
    m->any = s.n > 0;
    m->size = s.n;
    m->head = head_read(m, kind, s, &at);
    if (!m->head || m->bad != NULL)
        return;
    m->head_size = at;
    framing_read(m);
    if (m->bad != NULL)
        return;
    if (!has_body(m, kind)) {
        m->complete = true;
    } else if (m->chunked) {
        m->complete = chunks_read(m, s, &at);
    } else {
        size_t have = s.n - at;
        m->until_end = m->length < 0;
        if (!m->until_end && have > (size_t)m->length)
            have = (size_t)m->length;
        bytes_add(&m->body, s.p + at, have);
        at += have;
        m->complete = m->until_end ? ended : have == (size_t)m->length;
    }
    if (m->complete)
        m->size = at;
    assert(m->size <= s.n);
}

bool message_is_sse(const struct message *m)
{
    const struct slice *type = message_find(m, S("content-type"), NULL);
    return type != NULL && slice_istarts(*type, S("text/event-stream"));
}

/* One line with LF or CRLF at its end. */
static bool sse_line(struct slice s, size_t *at, struct slice *line)
{
    ptrdiff_t end = slice_find(slice_sub(s, *at, s.n), '\n');
    if (end < 0)
        return false;
    *line = slice_sub(s, *at, *at + (size_t)end);
    *at += (size_t)end + 1;
    if (line->n > 0 && line->p[line->n - 1] == '\r')
        line->n--;
    return true;
}

static struct slice field_value(struct slice line, size_t name)
{
    struct slice v = slice_sub(line, name, line.n);
    return slice_starts(v, S(" ")) ? slice_sub(v, 1, v.n) : v;
}

bool event_next(struct slice *rest, struct event *e)
{
    size_t at = 0;
    struct slice line;
    bool fields = false;
    *e = (struct event){.name = S(""), .data = S("")};
    while (sse_line(*rest, &at, &line)) {
        if (line.n == 0) {
            if (!fields)
                continue;
            e->raw = slice_sub(*rest, 0, at);
            *rest = slice_sub(*rest, at, rest->n);
            return true;
        }
        fields |= line.p[0] != ':';
        if (slice_starts(line, S("event:")))
            e->name = field_value(line, 6);
        else if (slice_starts(line, S("data:")) && e->data.n == 0)
            e->data = field_value(line, 5);
    }
    return false;
}
