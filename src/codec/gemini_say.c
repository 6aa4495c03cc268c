/* Replies in the Gemini dialect, read: responses of a stream, or a whole one, as says.
 * Facts: wire/gemini.md.
 *
 * Every response brings new parts, and usage that is cumulative. A signature belongs to the part it
 * stands on; it is said as that of the thinking in front of the part, or of an empty one, for that
 * is where other dialects keep it. The writer of requests gives it back (gemini_put.c).
 *
 * Not said, for no other dialect has it: candidates but the first, code that ran on the server and
 * what came of it, grounding, citations, ratings; pieces of arguments, which come only on demand.
 */
#include "codec/blocks.h"
#include "codec/gemini.h"

#include <string.h>

#define ROOM_MAX  ((size_t)64 << 20)
#define CALLS_MAX 1024 /* of one reply */

struct say_reader {
    char seed[40];   /* for ids that must be made up */
    struct map ids;  /* of calls so far; the values only say that they are there */
    struct buf room; /* a signature, arguments, logprobs */
    struct blocks blocks;
    bool finished, ended;
    int calls;
    enum stop_kind stop;
    struct usage usage;
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
    assert(what == BLOCK_TEXT || what == BLOCK_THINKING);
    if (text.n == 0)
        return OK;
    if (!blocks_is_open(&r->blocks, what))
        e = blocks_open(&r->blocks, what, S(""), S(""));
    return e == OK ? blocks_delta(&r->blocks, text) : e;
}

/* A thinking that is signed is over. */
static enum err sign_say(struct say_reader *r, struct slice wire)
{
    struct say s = {.kind = SAY_SIGN, .what = BLOCK_THINKING};
    enum err e = OK;
    if (wire.n == 0)
        return OK;
    if (!blocks_is_open(&r->blocks, BLOCK_THINKING))
        e = blocks_open(&r->blocks, BLOCK_THINKING, S(""), S(""));
    buf_clear(&r->room);
    if (e == OK)
        e = gemini_sign_read(wire, &r->room);
    s.text = buf_slice(&r->room);
    assert(e != OK || (s.text.n > 0 && blocks_is_open(&r->blocks, BLOCK_THINKING)));
    if (e == OK)
        e = blocks_tell(&r->blocks, &s);
    return e == OK ? blocks_close(&r->blocks) : e;
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* Older models give no ids, and some the same one twice. */
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
    const struct json_val *args = json_get(call, "args");
    struct slice name = json_get_str(call, "name");
    char id[CALL_ID_MAX];
    if (name.n == 0) /* the tail of a call whose arguments came in pieces */
        return OK;
    if (r->calls == CALLS_MAX)
        return ERR_LIMIT;
    r->calls++;
    assert(r->calls > 0 && r->calls <= CALLS_MAX);
    id_settle(r, json_get_str(call, "id"), id);
    enum err e = blocks_open(&r->blocks, BLOCK_CALL, slice_of(id), name);
    buf_clear(&r->room);
    if (e == OK && json_type(args) == JSON_OBJECT)
        e = tree_print(&r->room, args);
    else if (e == OK)
        e = buf_puts(&r->room, S("{}"));
    if (e == OK)
        e = blocks_delta(&r->blocks, buf_slice(&r->room));
    return e == OK ? blocks_close(&r->blocks) : e;
}

/* ---- parts ----------------------------------------------------------------------------------- */

static enum err image_say(struct say_reader *r, const struct json_val *blob)
{
    struct slice media = gemini_str(blob, "mimeType"), data = json_get_str(blob, "data");
    if (!slice_istarts(media, S("image/")) || data.n == 0)
        return OK;
    enum err e = blocks_open(&r->blocks, BLOCK_IMAGE, S(""), media);
    if (e == OK)
        e = blocks_delta(&r->blocks, data);
    return e == OK ? blocks_close(&r->blocks) : e;
}

/* The signature of a text that goes on stands behind it, as it came. */
static enum err plain_say(struct say_reader *r, struct slice text, struct slice sign)
{
    bool behind = blocks_is_open(&r->blocks, BLOCK_TEXT);
    enum err e = behind ? OK : sign_say(r, sign);
    if (e == OK)
        e = text_say(r, BLOCK_TEXT, text);
    return e == OK && behind ? sign_say(r, sign) : e;
}

static enum err part_read(struct say_reader *r, const struct json_val *part)
{
    const struct json_val *call = gemini_get(part, "functionCall");
    const struct json_val *blob = gemini_get(part, "inlineData");
    struct slice sign = gemini_str(part, "thoughtSignature"), text = {"", 0};
    bool thought = json_get_bool(part, "thought", false);
    enum err e = OK;
    if (json_str(json_get(part, "text"), &text) && thought) {
        e = text_say(r, BLOCK_THINKING, text);
        return e == OK ? sign_say(r, sign) : e;
    }
    if (json_type(json_get(part, "text")) == JSON_STRING)
        return plain_say(r, text, sign);
    e = sign_say(r, sign);
    if (e == OK && json_type(call) == JSON_OBJECT)
        e = call_say(r, call);
    if (e == OK && json_type(blob) == JSON_OBJECT && !thought) /* sketches are thoughts */
        e = image_say(r, blob);
    return e;
}

/* ---- logprobs -------------------------------------------------------------------------------- */

static void token_print(struct jw *w, const struct json_val *v)
{
    double p = 0;
    (void)json_f64(gemini_get(v, "logProbability"), &p);
    jw_kstr(w, "token", json_get_str(v, "token"));
    jw_kf64(w, "logprob", p);
    jw_key(w, "bytes");
    jw_null(w);
}

static void token_with_top(struct jw *w, const struct json_val *chosen, const struct json_val *top)
{
    const struct json_val *list = json_get(top, "candidates");
    jw_obj(w);
    token_print(w, chosen);
    jw_key(w, "top_logprobs");
    jw_arr(w);
    for (size_t i = 0; i < json_len(list); i++) {
        jw_obj(w);
        token_print(w, json_at(list, i));
        jw_end_obj(w);
    }
    jw_end_arr(w);
    jw_end_obj(w);
}

static enum err logprobs_say(struct say_reader *r, const struct json_val *result)
{
    const struct json_val *chosen = gemini_get(result, "chosenCandidates");
    const struct json_val *top = gemini_get(result, "topCandidates");
    struct say s = {.kind = SAY_LOGPROBS};
    struct jw w;
    if (json_len(chosen) == 0)
        return OK;
    buf_clear(&r->room);
    jw_init(&w, &r->room);
    jw_obj(&w);
    jw_key(&w, "content");
    jw_arr(&w);
    for (size_t i = 0; i < json_len(chosen); i++)
        token_with_top(&w, json_at(chosen, i), json_at(top, i));
    jw_end_arr(&w);
    jw_end_obj(&w);
    s.text = buf_slice(&r->room);
    return w.err == OK ? blocks_tell(&r->blocks, &s) : w.err;
}

/* ---- responses ------------------------------------------------------------------------------- */

static enum err start_say(struct say_reader *r, const struct json_val *root)
{
    struct say s = {.kind = SAY_START,
                    .id = gemini_str(root, "responseId"),
                    .model = gemini_str(root, "modelVersion"),
                    .usage = r->usage};
    if (r->blocks.started)
        return OK;
    r->blocks.started = true;
    return blocks_tell(&r->blocks, &s);
}

static enum err error_tell(struct say_reader *r, int status, const struct observation *o)
{
    struct say s = {.kind = SAY_ERROR,
                    .status = status,
                    .error = o->error,
                    .error_type = slice_of(reply_words(o)->error_type),
                    .text = slice_of(reply_words(o)->error_message),
                    .usage = r->usage}; /* what went wrong was paid for */
    assert(!r->ended && status >= 400 && o->error != REPLY_ERROR_NONE);
    enum err e = blocks_close(&r->blocks);
    r->ended = true;
    return e == OK ? blocks_tell(&r->blocks, &s) : e;
}

static enum err error_say(struct say_reader *r, const struct json_val *root)
{
    struct reply_words words = {0};
    struct observation o = {.words = &words};
    int status = gemini_error(0, root, &o);
    return error_tell(r, status, &o);
}

static enum err failed_say(struct say_reader *r, const struct json_val *c, struct slice word)
{
    struct reply_words words = {0};
    struct observation o = {.error = REPLY_ERROR_SERVER, .words = &words};
    struct slice told = gemini_str(c, "finishMessage");
    text_copy(words.error_type, sizeof words.error_type, word);
    if (told.n > 0)
        text_copy(words.error_message, sizeof words.error_message, told);
    else
        (void)text_format(words.error_message, sizeof words.error_message,
                          "The model broke its reply off: %.*s", (int)(word.n < 64 ? word.n : 64),
                          word.p);
    return error_tell(r, 500, &o);
}

static enum err candidate_read(struct say_reader *r, const struct json_val *c)
{
    const struct json_val *parts = json_get(json_get(c, "content"), "parts");
    struct slice word = gemini_str(c, "finishReason");
    enum stop_kind stop;
    enum err e = OK;
    if (json_get_i64(c, "index", 0) != 0)
        return OK;
    for (size_t i = 0; e == OK && i < json_len(parts); i++)
        e = part_read(r, json_at(parts, i));
    if (e == OK)
        e = logprobs_say(r, gemini_get(c, "logprobsResult"));
    if (e != OK)
        return e;
    switch (gemini_finish(word, &stop)) {
    case GEMINI_GOES_ON:
        break;
    case GEMINI_STOPPED:
        r->finished = true;
        r->stop = stop;
        break;
    case GEMINI_FAILED:
        return failed_say(r, c, word);
    }
    return OK;
}

static enum err response_read(struct say_reader *r, const struct json_val *root)
{
    const struct json_val *candidates = json_get(root, "candidates");
    bool blocked = gemini_block_reason(root).n > 0;
    enum err e = OK;
    if (json_type(root) != JSON_OBJECT)
        return ERR_SYNTAX;
    if (json_type(json_get(root, "error")) > JSON_NULL)
        return error_say(r, root);
    (void)gemini_usage(root, &r->usage);
    if (json_len(candidates) > 0 || blocked)
        e = start_say(r, root);
    for (size_t i = 0; e == OK && !r->ended && i < json_len(candidates); i++)
        e = candidate_read(r, json_at(candidates, i));
    if (blocked && json_len(candidates) == 0) {
        r->finished = true;
        r->stop = STOP_REFUSAL;
    }
    return e;
}

static enum err reply_end(struct say_reader *r)
{
    struct say stop = {.kind = SAY_STOP, .stop = r->stop, .usage = r->usage};
    assert(r->blocks.started && !r->ended);
    enum err e = blocks_close(&r->blocks);
    if (stop.stop == STOP_END && r->calls > 0)
        stop.stop = STOP_CALLS;
    r->ended = true;
    if (e == OK)
        e = blocks_tell(&r->blocks, &stop);
    return e == OK ? blocks_tell(&r->blocks, &(struct say){.kind = SAY_END}) : e;
}

/* One response, or a list of them: what a stream without alt=sse is, taken whole. */
static enum err root_read(struct say_reader *r, const struct json_val *root)
{
    enum err e = OK;
    if (json_type(root) != JSON_ARRAY)
        return response_read(r, root);
    for (size_t i = 0; e == OK && !r->ended && i < json_len(root); i++)
        e = response_read(r, json_at(root, i));
    return e;
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
    if (r->ended || (!whole && (data.n == 0 || slice_eq(data, S("[DONE]")))))
        return OK;
    enum err e = json_parse(data, &doc);
    if (e == OK)
        e = root_read(r, json_root(doc));
    json_free(doc);
    if (e == OK && whole && !r->ended)
        e = r->blocks.started ? reply_end(r) : ERR_SYNTAX;
    if (r->room.cap > 64 * 1024) /* one long call must not cost its memory until the end */
        buf_free(&r->room);
    return e;
}

static enum err reader_end(struct say_reader *r, say_fn *say, void *arg)
{
    r->blocks.say = say;
    r->blocks.arg = arg;
    return r->finished && !r->ended ? reply_end(r) : OK;
}

const struct dialect_canon canon_gemini = {
    .ask_read = gemini_ask_read,
    .ask_write = gemini_ask_write,
    .reader_new = reader_new,
    .reader_free = reader_free,
    .read = reader_read,
    .read_end = reader_end,
    .writer_new = gemini_writer_new,
    .writer_free = gemini_writer_free,
    .write = gemini_write,
};
