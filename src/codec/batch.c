/* Batches and files: whose they are, and where a batch's results are fetched.
 *
 * `results_url` is absolute, and the SDK follows it as it stands with its own key (clients.md fact
 * 9): left alone it would send a client, with the gateway's key in hand, to the provider. */
#include "codec/span.h"

#include <string.h>

void codec_object_id(struct slice body, char *out, size_t size)
{
    struct span v;
    assert(size > 0);
    out[0] = '\0';
    if (span_member(body, S("id"), &v) && !json_span_text(body, v, out, size))
        out[0] = '\0';
}

void codec_job_files(struct slice body, struct request_refs *out)
{
    static const char *const members[] = {"input_file_id", "output_file_id", "error_file_id"};
    struct span v;
    out->n = 0;
    out->thread = false;
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (span_member(body, slice_of(members[i]), &v) &&
            json_span_text(body, v, out->id[out->n], sizeof out->id[0]) &&
            out->id[out->n][0] != '\0')
            out->n++;
    assert(out->n <= REQUEST_REFS_MAX);
}

/* How long the origin at the front of a raw string value is, its slashes escaped or not; 0 when it
 * does not begin with http:// or https://. */
static size_t origin_length(struct slice raw)
{
    size_t at = slice_istarts(raw, S("https:")) ? 6 : slice_istarts(raw, S("http:")) ? 5 : 0;
    if (at == 0)
        return 0;
    for (int slashes = 0; slashes < 2; slashes++) {
        if (at < raw.n && raw.p[at] == '\\')
            at++;
        if (at == raw.n || raw.p[at] != '/')
            return 0;
        at++;
    }
    while (at < raw.n && strchr("/\\?#", raw.p[at]) == NULL)
        at++;
    return at;
}

/* The string at `at` has just been passed up to `end`. If it is the key results_url and a string
 * follows, its value's span without the quotes. */
static bool results_value(struct slice body, size_t at, size_t end, struct span *value)
{
    size_t close = 0;
    if (!span_key_is(slice_sub(body, at + 1, end - 1), S("results_url")))
        return false;
    size_t i = span_skip_space(body, end);
    if (i == body.n || body.p[i] != ':')
        return false;
    i = span_skip_space(body, i + 1);
    if (i == body.n || body.p[i] != '"' || span_string(body, i, &close) != OK)
        return false;
    assert(i + 1 < close);
    *value = (struct span){i + 1, close - 1};
    return true;
}

enum err codec_results_rewrite(struct slice body, struct slice origin, struct buf *out)
{
    size_t done = 0, end = 0;
    struct span value;
    enum err e = OK;
    for (size_t at = 0; e == OK && at < body.n; at = end) {
        const char *quote = memchr(body.p + at, '"', body.n - at);
        if (quote == NULL)
            break;
        at = (size_t)(quote - body.p);
        if (span_string(body, at, &end) != OK)
            break; /* no JSON from here on: the rest goes as it is */
        if (!results_value(body, at, end, &value))
            continue;
        size_t n = origin_length(span_slice(body, value));
        end = value.to + 1;
        if (n == 0)
            continue;
        e = buf_puts(out, slice_sub(body, done, value.from));
        if (e == OK)
            e = buf_puts(out, origin);
        assert(value.from >= done && n <= value.to - value.from);
        done = value.from + n;
    }
    assert(done <= body.n);
    return e == OK ? buf_puts(out, slice_sub(body, done, body.n)) : e;
}
