/* Replies in the Ollama dialect, read: lines, or a whole one, as says. Facts: wire/ollama.md.
 *
 * Calls come whole and mostly without an id. Not said, for no other dialect has it: durations, and
 * the images that a few models draw. */
#include "codec/blocks.h"
#include "codec/ollama.h"
#include "codec/openai.h"
#include "codec/span.h"

#include <string.h>

#define ROOM_MAX  ((size_t)64 << 20)
#define CALLS_MAX 1024 /* of one reply */

struct say_reader {
    char seed[40];   /* for ids that must be made up */
    struct map ids;  /* of calls so far; the values only say that they are there */
    struct buf room; /* arguments, logprobs */
    struct blocks blocks;
    bool ended;
    int calls;
};

static struct say_reader *reader_new(const struct say_context *c)
{
    struct say_reader *r = NEW(struct say_reader);
    text_copy(r->seed, sizeof r->seed, c->id);
    map_init(&r->ids);
    buf_init(&r->room, ROOM_MAX);
    return r;
}

static void reader_free(struct say_reader *r)
{
    if (r == NULL)
        return;
    map_free(&r->ids);
    buf_free(&r->room);
    mem_free(r);
}

/* ---- parts ----------------------------------------------------------------------------------- */

static enum err text_say(struct say_reader *r, enum block_kind what, struct slice text)
{
    enum err e = OK;
    if (text.n == 0)
        return OK;
    if (!blocks_is_open(&r->blocks, what))
        e = blocks_open(&r->blocks, what, S(""), S(""));
    return e == OK ? blocks_delta(&r->blocks, text) : e;
}

static void id_settle(struct say_reader *r, struct slice id, char out[CALL_ID_MAX])
{
    call_id_clean(id, out);
    for (uint64_t n = 0; out[0] == '\0' || map_get(&r->ids, slice_of(out)) != NULL; n++) {
        uint64_t h = hash_stable((uint64_t)r->calls, slice_of(r->seed));
        (void)text_format(out, CALL_ID_MAX, "call_%016" PRIx64, h + n);
    }
    assert(out[0] != '\0' && strlen(out) < CALL_ID_MAX);
    (void)map_put(&r->ids, slice_of(out), r);
}

static enum err call_say(struct say_reader *r, const struct json_val *call)
{
    const struct json_val *f = json_get(call, "function"), *args = json_get(f, "arguments");
    char id[CALL_ID_MAX];
    struct slice text = {"", 0};
    if (json_get_str(f, "name").n == 0)
        return ERR_SYNTAX;
    if (r->calls == CALLS_MAX)
        return ERR_LIMIT;
    r->calls++;
    id_settle(r, json_get_str(call, "id"), id);
    enum err e = blocks_open(&r->blocks, BLOCK_CALL, slice_of(id), json_get_str(f, "name"));
    buf_clear(&r->room);
    if (e == OK && json_type(args) == JSON_OBJECT)
        e = tree_print(&r->room, args);
    else if (e == OK && json_str(args, &text)) /* some that imitate it */
        e = call_input(text, &r->room);
    else if (e == OK)
        e = buf_puts(&r->room, S("{}"));
    if (e == OK)
        e = blocks_delta(&r->blocks, buf_slice(&r->room));
    return e == OK ? blocks_close(&r->blocks) : e;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static enum err start_say(struct say_reader *r, const struct json_val *root)
{
    struct say s = {.kind = SAY_START, .model = json_get_str(root, "model")};
    if (r->blocks.started)
        return OK;
    r->blocks.started = true;
    return blocks_tell(&r->blocks, &s);
}

static enum err error_say(struct say_reader *r, const struct json_val *root)
{
    struct reply_words words = {0};
    struct observation o = {.words = &words};
    struct say s = {.kind = SAY_ERROR, .status = ollama_error(0, root, &o), .error = o.error};
    assert(s.status >= 400 && o.error != REPLY_ERROR_NONE);
    s.error_type = slice_of(reply_words(&o)->error_type);
    s.text = slice_of(reply_words(&o)->error_message);
    enum err e = blocks_close(&r->blocks);
    r->ended = true;
    return e == OK ? blocks_tell(&r->blocks, &s) : e;
}

/* A list of tokens, each as OpenAI has it. */
static enum err logprobs_say(struct say_reader *r, struct slice data)
{
    struct span v;
    struct say s = {.kind = SAY_LOGPROBS};
    if (!span_member(data, S("logprobs"), &v) || data.p[v.from] != '[')
        return OK;
    buf_clear(&r->room);
    enum err e = buf_puts(&r->room, S("{\"content\":"));
    if (e == OK)
        e = buf_puts(&r->room, span_slice(data, v));
    if (e == OK)
        e = buf_puts(&r->room, S("}"));
    s.text = buf_slice(&r->room);
    return e == OK ? blocks_tell(&r->blocks, &s) : e;
}

static enum err message_say(struct say_reader *r, const struct json_val *m)
{
    const struct json_val *calls = json_get(m, "tool_calls");
    assert(r->blocks.started && !r->ended);
    enum err e = text_say(r, BLOCK_THINKING, json_get_str(m, "thinking"));
    if (e == OK)
        e = text_say(r, BLOCK_TEXT, json_get_str(m, "content"));
    for (size_t i = 0; e == OK && i < json_len(calls); i++)
        e = call_say(r, json_at(calls, i));
    return e;
}

static enum err reply_end(struct say_reader *r, const struct json_val *root)
{
    struct say stop = {.kind = SAY_STOP, .stop = r->calls > 0 ? STOP_CALLS : STOP_END};
    enum err e = blocks_close(&r->blocks);
    if (slice_eq(json_get_str(root, "done_reason"), S("length")))
        stop.stop = STOP_LENGTH;
    (void)ollama_usage(root, &stop.usage);
    assert(!r->ended && !r->blocks.open);
    r->ended = true;
    if (e == OK)
        e = blocks_tell(&r->blocks, &stop);
    return e == OK ? blocks_tell(&r->blocks, &(struct say){.kind = SAY_END}) : e;
}

static enum err line_read(struct say_reader *r, const struct json_val *root, struct slice data,
                          bool whole)
{
    const struct json_val *m = json_get(root, "message");
    bool done = json_get_bool(root, "done", false);
    if (json_type(root) != JSON_OBJECT)
        return ERR_SYNTAX;
    if (openai_says(json_get(root, "error")))
        return error_say(r, root);
    if (json_type(m) != JSON_OBJECT && !(done && r->blocks.started))
        return ERR_SYNTAX;
    enum err e = start_say(r, root);
    if (e == OK)
        e = message_say(r, m);
    if (e == OK && json_len(json_get(root, "logprobs")) > 0)
        e = logprobs_say(r, data);
    return e == OK && (done || whole) ? reply_end(r, root) : e;
}

static enum err reader_read(struct say_reader *r, struct slice event, struct slice data, bool whole,
                            say_fn *say, void *arg)
{
    struct json *doc = NULL;
    (void)event;
    assert(say != NULL);
    r->blocks.say = say;
    r->blocks.arg = arg;
    data = slice_trim(data);
    if (r->ended || (!whole && data.n == 0))
        return OK;
    enum err e = json_parse(data, &doc);
    if (e == OK)
        e = line_read(r, json_root(doc), data, whole);
    json_free(doc);
    if (r->room.cap > 64 * 1024) /* one long call must not cost its memory until the end */
        buf_free(&r->room);
    return e;
}

/* A reply without "done" was cut. */
static enum err reader_end(struct say_reader *r, say_fn *say, void *arg)
{
    (void)r;
    (void)say;
    (void)arg;
    return OK;
}

const struct dialect_canon canon_ollama = {
    .ask_read = ollama_ask_read,
    .ask_write = ollama_ask_write,
    .reader_new = reader_new,
    .reader_free = reader_free,
    .read = reader_read,
    .read_end = reader_end,
    .writer_new = ollama_writer_new,
    .writer_free = ollama_writer_free,
    .write = ollama_write,
};
