/* The usage of a stream that its client did not ask for: asked for in its place, and the event that
 * comes of it found again. Facts: wire/openai.md section 3. */
#include "codec/dialect.h"
#include "codec/span.h"

#include <string.h>

#define ASK "\"stream_options\":{\"include_usage\":true},"

/* Of equal keys the last one counts, as it does for most that parse the body. */
struct wish_scan {
    struct span options, stream;
    bool streams;
};

static bool scan_body(struct slice body, struct wish_scan *out)
{
    struct json_scan s;
    struct slice key;
    struct span v;
    enum err e;
    *out = (struct wish_scan){.streams = false};
    json_scan_init(&s, body);
    while ((e = json_scan_next(&s, &key, &v)) == OK) {
        if (span_key_is(key, S("stream"))) {
            out->stream = v;
            out->streams = slice_eq(span_slice(body, v), S("true"));
        } else if (span_key_is(key, S("stream_options"))) {
            out->options = v;
        }
    }
    return e == ERR_NOTFOUND;
}

/* Into an object of options that is there. */
static bool wish_options(struct slice body, struct span options, struct usage_wish *out)
{
    struct slice object = span_slice(body, options);
    struct json_scan s;
    struct slice key;
    struct span v, told = {0, 0};
    bool any = false;
    assert(slice_starts(object, S("{")));
    json_scan_init(&s, object);
    while (json_scan_next(&s, &key, &v) == OK) {
        any = true;
        if (span_key_is(key, S("include_usage")))
            told = v;
    }
    if (told.to > 0) {
        out->cut = (struct span){options.from + told.from, options.from + told.to};
        out->put = S("true");
        return !slice_eq(span_slice(object, told), S("true"));
    }
    out->cut = (struct span){options.from + 1, options.from + 1};
    out->put = any ? S("\"include_usage\":true,") : S("\"include_usage\":true");
    return true;
}

bool codec_usage_wish(enum dialect d, struct slice body, struct usage_wish *out)
{
    struct wish_scan at;
    *out = (struct usage_wish){.put = S("")};
    if (d != DIALECT_OPENAI || !scan_body(body, &at) || !at.streams)
        return false;
    if (at.options.to == 0) { /* a member in front: one comma behind it is always right */
        size_t open = span_skip_space(body, 0) + 1;
        assert(open < at.stream.from);
        out->cut = (struct span){open, open};
        out->put = S(ASK);
        return true;
    }
    struct slice value = span_slice(body, at.options);
    if (slice_starts(value, S("{")))
        return wish_options(body, at.options, out);
    out->cut = at.options;
    out->put = S("{\"include_usage\":true}");
    return slice_eq(value, S("null")); /* else it is nonsense, and the provider will say so */
}

bool codec_usage_only(enum dialect d, struct slice data)
{
    struct span choices, usage;
    if (d != DIALECT_OPENAI || !span_member(data, S("choices"), &choices) ||
        !span_member(data, S("usage"), &usage))
        return false;
    struct slice list = span_slice(data, choices);
    return slice_starts(span_slice(data, usage), S("{")) && slice_starts(list, S("[")) &&
           span_skip_space(list, 1) == list.n - 1;
}

/* Takes the next line off `*rest`, without its end. */
static struct slice line_cut(struct slice *rest)
{
    size_t n = 0;
    while (n < rest->n && rest->p[n] != '\n' && rest->p[n] != '\r')
        n++;
    struct slice line = slice_sub(*rest, 0, n);
    bool crlf = n + 1 < rest->n && rest->p[n] == '\r' && rest->p[n + 1] == '\n';
    *rest = slice_sub(*rest, n < rest->n ? n + 1 + (size_t)crlf : n, rest->n);
    return line;
}

bool codec_usage_event(enum dialect d, struct slice events, struct span *where)
{
    struct slice rest = events, data = {"", 0};
    size_t from = 0;
    int lines = 0; /* of data; the one that is looked for has one */
    if (d != DIALECT_OPENAI || slice_search(events, S("\"usage\"")) < 0)
        return false;
    while (rest.n > 0) {
        struct slice line = line_cut(&rest);
        if (slice_starts(line, S("data:"))) {
            data = slice_trim(slice_sub(line, sizeof "data:" - 1, line.n));
            lines++;
        }
        if (line.n > 0)
            continue;
        *where = (struct span){from, events.n - rest.n};
        assert(where->from < where->to);
        if (lines == 1 && codec_usage_only(d, data))
            return true;
        from = where->to;
        lines = 0;
    }
    return false;
}
