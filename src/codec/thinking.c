/* Thinking that its reader does not accept: taken out of a request, the rest as it was to the byte.
 *
 * Blocks of thinking are signed for the account, the model and the conversation that produced them
 * (wire/anthropic-messages.md, sections 3 and 4); when a conversation has to go on elsewhere they
 * are refused. What may be removed: `thinking` and `redacted_thinking` blocks of assistant turns,
 * and a turn that has nothing else, for turns of the user that then meet are merged. Tool use and
 * its results stay together. One thing more must change: with thinking of the kind "enabled" a turn
 * that awaits tool results must begin with thinking, so it is switched off for that request. */
#include "codec/span.h"

#include <string.h>

#define OFF "{\"type\":\"disabled\"}"

struct copy { /* of the body, leaving out pieces in the order in which they stand */
    struct slice body;
    struct buf *out;
    size_t at; /* all before is done with */
    enum err e;
};

static void copy_to(struct copy *c, size_t to)
{
    assert(to >= c->at && to <= c->body.n);
    if (c->e == OK)
        c->e = buf_append(c->out, c->body.p + c->at, to - c->at);
    c->at = to;
}

/* Elements of an array, or members of an object, of which some go together with one comma. */
struct row {
    bool any, gone; /* one was kept; only such as go have been seen */
    size_t end;     /* of the last one kept */
};

static void row_keep(struct copy *c, struct row *r, size_t from, size_t to)
{
    if (r->gone && !r->any)
        c->at = from;
    r->any = true;
    r->end = to;
}

static void row_drop(struct copy *c, struct row *r, size_t from, size_t to)
{
    if (r->any)
        copy_to(c, r->end);
    else if (!r->gone)
        copy_to(c, from);
    r->gone = true;
    c->at = to;
}

static bool text_is(struct slice object, struct slice key, const char *a, const char *b)
{
    struct span v;
    char text[32];
    if (!span_member(object, key, &v) || !json_span_text(object, v, text, sizeof text))
        return false;
    return strcmp(text, a) == 0 || strcmp(text, b) == 0;
}

static bool is_thinking(struct slice block)
{
    return text_is(block, S("type"), "thinking", "redacted_thinking");
}

static struct span span_within(size_t base, struct span v)
{
    return (struct span){base + v.from, base + v.to};
}

/* The content of a message that may hold thinking: an assistant's list of blocks. */
static bool assistant_content(struct slice body, struct span message, struct span *content)
{
    struct slice m = span_slice(body, message);
    if (!text_is(m, S("role"), "assistant", "assistant") || !span_member(m, S("content"), content))
        return false;
    *content = span_within(message.from, *content);
    return body.p[content->from] == '[';
}

struct census {
    int thinking, others;
};

static struct census census_of(struct slice body, struct span content)
{
    struct census n = {0, 0};
    struct span_list l;
    struct span v;
    struct slice text = span_slice(body, content);
    span_list_init(&l, text);
    while (span_list_next(&l, &v) == OK) {
        bool t = is_thinking(span_slice(text, v));
        n.thinking += t;
        n.others += !t;
    }
    return n;
}

static void content_strip(struct copy *c, struct span content)
{
    struct row row = {0};
    struct span_list l;
    struct span v;
    struct slice text = span_slice(c->body, content);
    span_list_init(&l, text);
    while (span_list_next(&l, &v) == OK) {
        struct span at = span_within(content.from, v);
        if (is_thinking(span_slice(text, v)))
            row_drop(c, &row, at.from, at.to);
        else
            row_keep(c, &row, at.from, at.to);
    }
}

static int messages_strip(struct copy *c, struct span messages)
{
    struct row row = {0};
    struct span_list l;
    struct span v, content;
    int gone = 0;
    span_list_init(&l, span_slice(c->body, messages));
    while (span_list_next(&l, &v) == OK) {
        struct span at = span_within(messages.from, v);
        struct census n = {0, 1};
        if (assistant_content(c->body, at, &content))
            n = census_of(c->body, content);
        gone += n.thinking;
        if (n.thinking > 0 && n.others == 0) {
            row_drop(c, &row, at.from, at.to);
            continue;
        }
        row_keep(c, &row, at.from, at.to);
        if (n.thinking > 0)
            content_strip(c, content);
    }
    return gone;
}

/* ---- the tool loop --------------------------------------------------------------------------- */

static bool has_tool_result(struct slice message)
{
    struct span_list l;
    struct span v;
    if (!span_member(message, S("content"), &v))
        return false;
    struct slice content = span_slice(message, v);
    span_list_init(&l, content);
    while (span_list_next(&l, &v) == OK)
        if (text_is(span_slice(content, v), S("type"), "tool_result", "tool_result"))
            return true;
    return false;
}

/* The last turn brings results of tools that the turn before has asked for. */
static bool in_tool_loop(struct slice messages)
{
    struct span_list l;
    struct span v, last = {0, 0};
    span_list_init(&l, messages);
    while (span_list_next(&l, &v) == OK)
        last = v;
    return last.to > 0 && has_tool_result(span_slice(messages, last));
}

/* ---- the whole ------------------------------------------------------------------------------- */

static bool must_switch_off(struct slice body)
{
    struct span messages, thinking;
    return span_member(body, S("messages"), &messages) &&
           span_member(body, S("thinking"), &thinking) &&
           text_is(span_slice(body, thinking), S("type"), "enabled", "enabled") &&
           in_tool_loop(span_slice(body, messages));
}

enum err codec_thinking_strip(struct slice body, struct buf *out, int *gone)
{
    struct copy c = {.body = body, .out = out};
    struct row row = {0};
    struct json_scan s;
    struct slice key;
    struct span v;
    enum err e = OK;
    bool off = must_switch_off(body);
    *gone = 0;
    json_scan_init(&s, body);
    while (c.e == OK && (e = json_scan_next(&s, &key, &v)) == OK) {
        size_t from = (size_t)(key.p - body.p) - 1;
        /* an edit of the context that clears thinking is refused where there is none */
        if (off && span_key_is(key, S("context_management")) &&
            slice_search(span_slice(body, v), S("clear_thinking")) >= 0) {
            row_drop(&c, &row, from, v.to);
            continue;
        }
        row_keep(&c, &row, from, v.to);
        if (span_key_is(key, S("messages"))) {
            *gone += messages_strip(&c, v);
        } else if (off && span_key_is(key, S("thinking"))) {
            copy_to(&c, v.from);
            c.at = v.to;
            if (c.e == OK)
                c.e = buf_puts(out, S(OFF));
        }
    }
    if (c.e == OK && e != ERR_NOTFOUND)
        c.e = e;
    copy_to(&c, body.n);
    return c.e;
}

bool codec_is_signature_error(struct slice message)
{
    /* "messages.1.content.0: Invalid `signature` in `thinking` block",
     * "messages.1.content.0.thinking.signature: Field required",
     * "`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be
     * modified", "messages.1.content.0.redacted_thinking.data: ..." */
    if (slice_search(message, S("thinking")) < 0)
        return false;
    return slice_search(message, S("signature")) >= 0 ||
           slice_search(message, S("cannot be modified")) >= 0 ||
           slice_search(message, S("redacted_thinking.data")) >= 0 ||
           slice_search(message, S("binding_mismatch")) >= 0;
}
