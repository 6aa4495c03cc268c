/* Thinking that its reader does not accept: taken out of a request, the rest as it was to the byte.
 *
 * Blocks of thinking are signed for the account, the model and the conversation that produced them
 * (wire/anthropic-messages.md, sections 3 and 4); when a conversation has to go on elsewhere they
 * are refused. What may be removed: `thinking` and `redacted_thinking` blocks of assistant turns,
 * and a turn that has nothing else, for turns of the user that then meet are merged. Tool use and
 * its results stay together. One thing more must change: with thinking of the kind "enabled" a turn
 * that awaits tool results must begin with thinking, so it is switched off for that request; and
 * for those that follow in the same loop, for what is answered without thinking has none. */
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
    if (r->any && c->at <= r->end)
        copy_to(c, r->end); /* once: several may go, one behind the other */
    else if (!r->any && !r->gone)
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

static void messages_strip(struct copy *c, struct span messages, int before,
                           struct thinking_strip *done)
{
    struct row row = {0};
    struct span_list l;
    struct span v, content;
    span_list_init(&l, span_slice(c->body, messages));
    while (span_list_next(&l, &v) == OK) {
        struct span at = span_within(messages.from, v);
        struct census n = {0, 1};
        if (done->messages++ < before && assistant_content(c->body, at, &content))
            n = census_of(c->body, content);
        done->gone += n.thinking;
        if (n.thinking > 0 && n.others == 0) {
            row_drop(c, &row, at.from, at.to);
            continue;
        }
        row_keep(c, &row, at.from, at.to);
        if (n.thinking > 0)
            content_strip(c, content);
    }
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

/* A turn that begins with thinking. */
static bool begins_thinking(struct slice body, struct span content)
{
    struct span_list l;
    struct span v;
    struct slice text = span_slice(body, content);
    span_list_init(&l, text);
    return span_list_next(&l, &v) == OK && is_thinking(span_slice(text, v));
}

/* The last turn brings results of tools, and the assistant's before it will not begin with
 * thinking: because that goes, or because it never did. */
static bool loop_lacks_thinking(struct slice body, struct span messages, int before)
{
    struct span_list l;
    struct span v, content, last = {0, 0};
    bool thinks = false, any = false;
    span_list_init(&l, span_slice(body, messages));
    for (int i = 0; span_list_next(&l, &v) == OK; i++) {
        last = span_within(messages.from, v);
        if (!assistant_content(body, last, &content))
            continue;
        any = true;
        thinks = i >= before && begins_thinking(body, content);
    }
    return any && !thinks && has_tool_result(span_slice(body, last));
}

/* ---- Responses ------------------------------------------------------------------------------- */

/* Items of reasoning hold the same, encrypted for whom it was made for (wire/openai.md, Responses).
 * Nothing else refers to them by more than its place. */
static void input_strip(struct copy *c, struct span input, int before, struct thinking_strip *done)
{
    struct row row = {0};
    struct span_list l;
    struct span v;
    struct slice text = span_slice(c->body, input);
    span_list_init(&l, text);
    while (span_list_next(&l, &v) == OK) {
        struct span at = span_within(input.from, v);
        bool gone = done->messages++ < before &&
                    text_is(span_slice(text, v), S("type"), "reasoning", "reasoning");
        done->gone += gone;
        if (gone)
            row_drop(c, &row, at.from, at.to);
        else
            row_keep(c, &row, at.from, at.to);
    }
}

enum err codec_reasoning_strip(struct slice body, int before, struct buf *out,
                               struct thinking_strip *done)
{
    struct copy c = {.body = body, .out = out};
    struct json_scan s;
    struct slice key;
    struct span v;
    enum err e;
    *done = (struct thinking_strip){.off = false};
    json_scan_init(&s, body);
    while ((e = json_scan_next(&s, &key, &v)) == OK)
        if (span_key_is(key, S("input")) && body.p[v.from] == '[')
            input_strip(&c, v, before, done);
    if (c.e == OK && e != ERR_NOTFOUND)
        c.e = e;
    copy_to(&c, body.n);
    return c.e;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static bool must_switch_off(struct slice body, int before)
{
    struct span messages, thinking;
    return span_member(body, S("messages"), &messages) &&
           span_member(body, S("thinking"), &thinking) &&
           text_is(span_slice(body, thinking), S("type"), "enabled", "enabled") &&
           loop_lacks_thinking(body, messages, before);
}

enum err codec_thinking_strip(struct slice body, int before, struct buf *out,
                              struct thinking_strip *done)
{
    struct copy c = {.body = body, .out = out};
    struct row row = {0};
    struct json_scan s;
    struct slice key;
    struct span v;
    enum err e = OK;
    bool off = must_switch_off(body, before);
    *done = (struct thinking_strip){.off = off};
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
            messages_strip(&c, v, before, done);
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
    /* "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found
     * `tool_use`", "messages.1.content.0: Invalid `signature` in `thinking` block",
     * "messages.1.content.0.thinking.signature: Field required",
     * "`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be
     * modified", "messages.1.content.0.redacted_thinking.data: ..."; OpenAI: "The encrypted content
     * for item rs_1 could not be verified." */
    if (slice_search(message, S("encrypted content")) >= 0)
        return slice_search(message, S("could not be verified")) >= 0;
    if (slice_search(message, S("thinking")) < 0)
        return false;
    return slice_search(message, S("signature")) >= 0 ||
           slice_search(message, S("Expected `thinking`")) >= 0 ||
           slice_search(message, S("cannot be modified")) >= 0 ||
           slice_search(message, S("redacted_thinking.data")) >= 0 ||
           slice_search(message, S("binding_mismatch")) >= 0;
}
