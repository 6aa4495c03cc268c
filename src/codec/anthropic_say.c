/* Replies of the Messages API, read (wire/anthropic-messages.md sections 5 and 6).
 *
 * Passed over, for no other dialect has words for them: server tools and their results, citations,
 * containers, compaction. A stream's deltas, nearly all of it, are read where they are; only other
 * events become trees. */
#include "codec/anthropic.h"
#include "codec/openai.h"
#include "codec/span.h"

#include <string.h>

#define ID_MAX 128

struct say_reader {
    struct reading reading; /* usage, which comes in pieces */
    struct buf room;        /* a text with its escapes undone */
    bool started, stopped, over;
    bool open;    /* a block that is told */
    bool foreign; /* or one that is passed over */
    bool calls;   /* there has been one */
    enum block_kind what;
    int64_t index; /* of the open block */
    enum stop_kind stop;
    char sequence[256]; /* of STOP_SEQUENCE */
    say_fn *say;
    void *arg;
};

static struct say_reader *reader_new(const struct say_context *c)
{
    struct say_reader *r = NEW(struct say_reader);
    (void)c;
    reading_init(&r->reading);
    buf_init(&r->room, (size_t)64 << 20);
    return r;
}

static void reader_free(struct say_reader *r)
{
    if (r == NULL)
        return;
    buf_free(&r->room);
    reading_free(&r->reading);
    mem_free(r);
}

static enum err tell(struct say_reader *r, const struct say *s)
{
    return r->say(r->arg, s);
}

/* ---- the message ----------------------------------------------------------------------------- */

/* The usage that the object `text` tells, if it does. */
static enum err usage_read(struct say_reader *r, struct slice text)
{
    struct span v;
    if (!span_member(text, S("usage"), &v))
        return OK;
    return anthropic_usage(&r->reading, span_slice(text, v)) ? OK : ERR_SYNTAX;
}

static enum err start(struct say_reader *r, const struct json_val *message)
{
    if (r->started)
        return ERR_SYNTAX;
    r->started = true;
    struct say s = {.kind = SAY_START, .id = json_get_str(message, "id")};
    s.model = json_get_str(message, "model");
    s.usage = r->reading.seen.usage;
    return tell(r, &s);
}

static enum stop_kind stop_of(struct slice reason)
{
    static const struct {
        const char *reason;
        enum stop_kind stop;
    } reasons[] = {
        {"max_tokens", STOP_LENGTH}, {"model_context_window_exceeded", STOP_LENGTH},
        {"tool_use", STOP_CALLS},    {"stop_sequence", STOP_SEQUENCE},
        {"refusal", STOP_REFUSAL},   {"pause_turn", STOP_PAUSE},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (slice_eq(reason, slice_of(reasons[i].reason)))
            return reasons[i].stop;
    }
    return STOP_END;
}

/* `v`: a message or a delta of one. Told at the end, for a later delta may tell more. */
static void stop_read(struct say_reader *r, const struct json_val *v)
{
    struct slice reason = json_get_str(v, "stop_reason");
    if (reason.n == 0)
        return;
    r->stopped = true;
    r->stop = stop_of(reason);
    text_copy(r->sequence, sizeof r->sequence, json_get_str(v, "stop_sequence"));
}

static enum err block_close(struct say_reader *r)
{
    bool open = r->open;
    assert(!(r->open && r->foreign)); /* told, or passed over */
    r->open = r->foreign = false;
    return open ? tell(r, &(struct say){.kind = SAY_CLOSE, .what = r->what}) : OK;
}

static enum err stop_tell(struct say_reader *r)
{
    struct say s = {.kind = SAY_STOP, .stop = r->stop};
    if (!r->stopped)
        s.stop = r->calls ? STOP_CALLS : STOP_END;
    if (s.stop == STOP_SEQUENCE)
        s.text = slice_of(r->sequence);
    s.usage = r->reading.seen.usage;
    return tell(r, &s);
}

static enum err finish(struct say_reader *r)
{
    assert(!r->over); /* nothing is read behind the end */
    enum err e = r->started ? block_close(r) : ERR_SYNTAX;
    if (e == OK)
        e = stop_tell(r);
    if (e == OK)
        e = tell(r, &(struct say){.kind = SAY_END});
    r->over = true;
    return e;
}

static int error_status(const struct observation *o)
{
    static const struct {
        const char *type;
        int status;
    } types[] = {
        {"invalid_request_error", 400}, {"authentication_error", 401}, {"billing_error", 402},
        {"permission_error", 403},      {"not_found_error", 404},      {"conflict_error", 409},
        {"request_too_large", 413},     {"rate_limit_error", 429},     {"api_error", 500},
        {"timeout_error", 504},         {"overloaded_error", 529},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(reply_words(o)->error_type, types[i].type) == 0)
            return types[i].status;
    }
    return o->error == REPLY_ERROR_BILLING ? 402 : 500;
}

/* MiniMax tells errors so in any dialect. */
static bool has_base_resp(const struct json_val *root)
{
    return json_get_i64(json_get(root, "base_resp"), "status_code", 0) != 0;
}

static enum err error_tell(struct say_reader *r, const struct json_val *root)
{
    struct reply_words words = {0};
    struct observation o = {.words = &words};
    struct say s = {.kind = SAY_ERROR};
    if (has_base_resp(root)) {
        s.status = openai_error(0, root, &o);
    } else {
        anthropic_error(0, root, &o);
        s.status = error_status(&o);
    }
    s.error = o.error;
    s.error_type = slice_of(reply_words(&o)->error_type);
    s.text = slice_of(reply_words(&o)->error_message);
    r->over = true;
    return tell(r, &s);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static enum err block_open(struct say_reader *r, enum block_kind what, const struct json_val *block)
{
    struct say s = {.kind = SAY_OPEN, .what = what};
    assert(r->started && !r->open && !r->foreign);
    r->what = what;
    r->open = true;
    r->calls = r->calls || what == BLOCK_CALL;
    s.id = json_get_str(block, "id");
    s.name = json_get_str(block, "name");
    return tell(r, &s);
}

static enum err delta(struct say_reader *r, enum say_kind kind, struct slice text)
{
    struct say s = {.kind = kind, .what = r->what, .text = text};
    assert(r->open);
    return text.n > 0 ? tell(r, &s) : OK;
}

/* The arguments of a call that came whole: an empty object says nothing, for pieces may follow. */
static enum err input_tell(struct say_reader *r, const struct json_val *input)
{
    if (json_type(input) != JSON_OBJECT || json_len(input) == 0)
        return OK;
    buf_clear(&r->room);
    enum err e = tree_print(&r->room, input);
    return e == OK ? delta(r, SAY_DELTA, buf_slice(&r->room)) : e;
}

/* A block with what it holds already: all of it in a whole message, little in a stream. */
static enum err block_read(struct say_reader *r, const struct json_val *block)
{
    struct slice type = json_get_str(block, "type");
    enum err e = block_close(r);
    if (e != OK)
        return e;
    if (slice_eq(type, S("text"))) {
        e = block_open(r, BLOCK_TEXT, NULL);
        return e == OK ? delta(r, SAY_DELTA, json_get_str(block, "text")) : e;
    }
    if (slice_eq(type, S("thinking"))) {
        e = block_open(r, BLOCK_THINKING, NULL);
        if (e == OK)
            e = delta(r, SAY_DELTA, json_get_str(block, "thinking"));
        return e == OK ? delta(r, SAY_SIGN, json_get_str(block, "signature")) : e;
    }
    if (slice_eq(type, S("redacted_thinking"))) {
        e = block_open(r, BLOCK_REDACTED, NULL);
        return e == OK ? delta(r, SAY_DELTA, json_get_str(block, "data")) : e;
    }
    if (slice_eq(type, S("tool_use"))) {
        e = block_open(r, BLOCK_CALL, block);
        return e == OK ? input_tell(r, json_get(block, "input")) : e;
    }
    r->foreign = true;
    return OK;
}

/* ---- deltas, without a tree ------------------------------------------------------------------ */

struct delta_kind {
    const char *type, *member;
    enum say_kind kind;
    enum block_kind what;
};
static const struct delta_kind delta_kinds[] = {
    {"text_delta", "text", SAY_DELTA, BLOCK_TEXT},
    {"input_json_delta", "partial_json", SAY_DELTA, BLOCK_CALL},
    {"thinking_delta", "thinking", SAY_DELTA, BLOCK_THINKING},
    {"signature_delta", "signature", SAY_SIGN, BLOCK_THINKING},
};

static const struct delta_kind *delta_kind(struct slice object)
{
    struct span type;
    char word[32];
    if (!span_member(object, S("type"), &type) || !json_span_text(object, type, word, sizeof word))
        return NULL;
    for (size_t i = 0; i < sizeof delta_kinds / sizeof delta_kinds[0]; i++) {
        if (strcmp(word, delta_kinds[i].type) == 0)
            return &delta_kinds[i];
    }
    return NULL;
}

/* Some servers forget to begin a block. A call cannot be without its name; text can. */
static enum err delta_opens(struct say_reader *r, enum block_kind what, int64_t index)
{
    if (what == BLOCK_CALL || !r->started)
        return ERR_SYNTAX;
    r->foreign = false; /* the block that is passed over was not ended either */
    r->index = index;
    return block_open(r, what, NULL);
}

static enum err delta_read(struct say_reader *r, int64_t index, struct slice object)
{
    const struct delta_kind *k = delta_kind(object);
    struct span v;
    struct slice text;
    enum err e = OK;
    if (r->foreign && index == r->index)
        return OK;
    if (k == NULL) /* citations and the like */
        return OK;
    if (!r->open)
        e = delta_opens(r, k->what, index);
    if (e == OK && (index != r->index || k->what != r->what))
        e = ERR_SYNTAX; /* blocks do not interleave */
    if (e != OK)
        return e;
    if (!span_member(object, slice_of(k->member), &v))
        return ERR_SYNTAX;
    e = span_text(object, v, &r->room, &text);
    return e == OK ? delta(r, k->kind, text) : e;
}

/* The event {"type":"content_block_delta","index":0,"delta":{...}}. */
static enum err delta_event(struct say_reader *r, struct slice data)
{
    struct json_scan s;
    struct slice key, object = {"", 0};
    struct span v;
    int64_t index = 0;
    enum err e;
    json_scan_init(&s, data);
    while ((e = json_scan_next(&s, &key, &v)) == OK) {
        if (span_key_is(key, S("delta")))
            object = span_slice(data, v);
        else if (span_key_is(key, S("index")) && !text_i64(span_slice(data, v), &index))
            return ERR_SYNTAX;
    }
    if (e != ERR_NOTFOUND || object.n == 0)
        return ERR_SYNTAX;
    return delta_read(r, index, object);
}

/* ---- events ---------------------------------------------------------------------------------- */

static enum err block_start(struct say_reader *r, const struct json_val *root)
{
    if (!r->started)
        return ERR_SYNTAX;
    enum err e = block_read(r, json_get(root, "content_block"));
    r->index = json_get_i64(root, "index", 0);
    return e;
}

static enum err tree_event(struct say_reader *r, struct slice name, struct slice data)
{
    struct json *doc = NULL;
    struct span v;
    enum err e = json_parse(data, &doc);
    const struct json_val *root = json_root(doc);
    if (e == OK && json_type(root) != JSON_OBJECT)
        e = ERR_SYNTAX;
    if (e != OK)
        goto out;
    if (slice_eq(name, S("message_start"))) {
        e = span_member(data, S("message"), &v) ? usage_read(r, span_slice(data, v)) : OK;
        if (e == OK)
            e = start(r, json_get(root, "message"));
    } else if (slice_eq(name, S("content_block_start"))) {
        e = block_start(r, root);
    } else if (slice_eq(name, S("message_delta"))) {
        stop_read(r, json_get(root, "delta"));
        e = usage_read(r, data);
    } else if (slice_eq(name, S("error"))) {
        e = error_tell(r, root);
    }
out:
    json_free(doc);
    return e;
}

static enum err event_read(struct say_reader *r, struct slice name, struct slice data)
{
    char type[48];
    struct span v;
    if (name.n == 0) { /* a few compatible servers send no names */
        if (slice_eq(data, S("[DONE]")))
            return r->stopped ? finish(r) : OK;
        if (!span_member(data, S("type"), &v) || !json_span_text(data, v, type, sizeof type))
            return ERR_SYNTAX;
        name = slice_of(type);
    }
    if (slice_eq(name, S("content_block_delta")))
        return delta_event(r, data);
    if (slice_eq(name, S("content_block_stop")))
        return block_close(r);
    if (slice_eq(name, S("message_stop")))
        return finish(r);
    if (slice_eq(name, S("ping")))
        return tell(r, &(struct say){.kind = SAY_LIFE});
    return tree_event(r, name, data);
}

/* ---- whole bodies ---------------------------------------------------------------------------- */

static enum err message_read(struct say_reader *r, const struct json_val *m)
{
    const struct json_val *content = json_get(m, "content");
    enum err e = start(r, m);
    for (size_t i = 0; e == OK && i < json_len(content); i++)
        e = block_read(r, json_at(content, i));
    stop_read(r, m);
    return e == OK ? finish(r) : e;
}

/* Errors come with a 200 too, and in the shapes of those who have another dialect beneath. */
static bool is_error(const struct json_val *root)
{
    enum json_type type = json_type(json_get(root, "error"));
    return slice_eq(json_get_str(root, "type"), S("error")) || type == JSON_OBJECT ||
           type == JSON_STRING || has_base_resp(root);
}

static enum err body_read(struct say_reader *r, struct slice json)
{
    struct json *doc = NULL;
    enum err e = json_parse(json, &doc);
    const struct json_val *root = json_root(doc);
    if (e == OK && json_type(json_get(root, "content")) == JSON_ARRAY) {
        e = usage_read(r, json);
        if (e == OK)
            e = message_read(r, root);
    } else if (e == OK && is_error(root)) {
        e = error_tell(r, root);
    } else if (e == OK) {
        e = ERR_SYNTAX;
    }
    json_free(doc);
    return e;
}

static enum err reader_read(struct say_reader *r, struct slice event, struct slice data, bool whole,
                            say_fn *say, void *arg)
{
    assert(say != NULL);
    r->say = say;
    r->arg = arg;
    if (r->over)
        return OK;
    enum err e = whole ? body_read(r, data) : event_read(r, event, data);
    if (r->room.cap > 64 * 1024) /* one long text must not cost its memory until the end */
        buf_free(&r->room);
    return e;
}

/* Cut between its last words and its end: what was used is known all the same. */
static enum err reader_end(struct say_reader *r, say_fn *say, void *arg)
{
    r->say = say;
    r->arg = arg;
    if (r->over || !r->stopped)
        return OK;
    r->over = true;
    enum err e = block_close(r);
    return e == OK ? stop_tell(r) : e;
}

const struct dialect_canon canon_anthropic = {
    .ask_read = anthropic_ask_read,
    .ask_write = anthropic_ask_write,
    .reader_new = reader_new,
    .reader_free = reader_free,
    .read = reader_read,
    .read_end = reader_end,
    .writer_new = anthropic_writer_new,
    .writer_free = anthropic_writer_free,
    .write = anthropic_write,
};
