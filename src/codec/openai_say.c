/* Replies in the Chat Completions dialect, read: chunks or a whole body as says.
 * Facts: wire/openai.md sections 2 and 3, wire/translate-anthropic-openai.md B and F.
 *
 * Blocks never interleave in what is said, but fragments of parallel calls may in what comes. So
 * there is a queue of blocks; only its head is open and goes on at once, what is for the others is
 * held back. The head is over when something stands behind it and it can be over: text always, a
 * call when its arguments are a whole JSON value. The end of the reply closes all of them.
 *
 * Not said, for no other dialect has it: choices but the first, annotations, audio, encrypted
 * reasoning details, fingerprints, obfuscation. */
#include "codec/openai.h"
#include "codec/span.h"

#include <string.h>

#define HELD_MAX     ((size_t)16 << 20) /* of one block that waits for its turn */
#define CALLS_MAX    1024               /* of one reply */
#define PARSE_FREELY ((size_t)1 << 20)  /* longer texts may have too many values for a tree */
#define QUEUE_MAX    4096

struct block {
    enum block_kind what;
    int64_t index;        /* of a call, as the server counts; -1: it does not */
    uint64_t id_hash;     /* of a call's id as it came; 0: none yet */
    char id[CALL_ID_MAX]; /* as it is said */
    char *name;           /* of a call; media type of an image; NULL: not known yet */
    char *sign;           /* of thinking; NULL: none */
    bool opened;
    bool begun, whole, in_string, escaped; /* of a call's arguments */
    int depth;
    struct buf held;
    struct block *next;
};

struct say_reader {
    const struct names *names; /* borrowed */
    char seed[40];             /* for ids that must be made up */
    struct block *head, *tail; /* the queue */
    struct block *closed;      /* calls that are over; newest first */
    int queued, calls;
    bool started, any_choice, finished, ended, any_call, any_refusal;
    enum stop_kind stop;
    struct usage usage;
    say_fn *say; /* of the read that is going on */
    void *arg;
};

/* ---- blocks ---------------------------------------------------------------------------------- */

static void block_free(struct block *b)
{
    buf_free(&b->held);
    mem_free(b->name);
    mem_free(b->sign);
    mem_free(b);
}

static enum err block_new(struct say_reader *r, enum block_kind what, struct block **out)
{
    if (r->queued == QUEUE_MAX || (what == BLOCK_CALL && r->calls == CALLS_MAX))
        return ERR_LIMIT;
    struct block *b = NEW(struct block);
    b->what = what;
    b->index = -1;
    buf_init(&b->held, HELD_MAX);
    if (r->tail != NULL)
        r->tail->next = b;
    else
        r->head = b;
    r->tail = b;
    r->queued++;
    if (what == BLOCK_CALL)
        r->calls++;
    *out = b;
    return OK;
}

static void head_drop(struct say_reader *r)
{
    struct block *b = r->head;
    assert(b != NULL && r->queued > 0);
    r->head = b->next;
    if (r->head == NULL)
        r->tail = NULL;
    r->queued--;
    if (b->what != BLOCK_CALL) {
        block_free(b);
        return;
    }
    buf_free(&b->held); /* the rest is kept, to know what comes late */
    b->next = r->closed;
    r->closed = b;
}

static enum err say_out(struct say_reader *r, const struct say *s)
{
    return r->say(r->arg, s);
}

static struct slice block_name(const struct say_reader *r, const struct block *b)
{
    struct slice name = slice_of(b->name);
    return b->what == BLOCK_CALL && r->names != NULL ? names_back(r->names, name) : name;
}

static bool id_taken(const struct say_reader *r, const struct block *b)
{
    for (const struct block *c = r->closed; c != NULL; c = c->next) {
        if (strcmp(c->id, b->id) == 0)
            return true;
    }
    return false;
}

/* Some servers have no ids, or the same for all calls. */
static void id_settle(struct say_reader *r, struct block *b)
{
    if (b->id[0] == '\0' || id_taken(r, b)) {
        uint64_t h = hash_stable((uint64_t)r->calls + b->id_hash, slice_of(r->seed));
        for (int n = 0; n < CALLS_MAX && (n == 0 || id_taken(r, b)); n++)
            (void)text_format(b->id, sizeof b->id, "call_%016" PRIx64, h + (uint64_t)n);
    }
    assert(b->id[0] != '\0');
}

static enum err block_open(struct say_reader *r, struct block *b)
{
    struct say s = {.kind = SAY_OPEN, .what = b->what};
    assert(!b->opened && b == r->head);
    if (b->what == BLOCK_CALL) {
        id_settle(r, b);
        s.id = slice_of(b->id);
    }
    s.name = block_name(r, b);
    b->opened = true;
    r->any_call = r->any_call || b->what == BLOCK_CALL;
    r->any_refusal = r->any_refusal || b->what == BLOCK_REFUSAL;
    return say_out(r, &s);
}

static enum err block_delta(struct say_reader *r, const struct block *b, struct slice text)
{
    struct say s = {.kind = SAY_DELTA, .what = b->what, .text = text};
    assert(b->opened && b == r->head);
    return text.n == 0 ? OK : say_out(r, &s);
}

static enum err block_close(struct say_reader *r, struct block *b)
{
    struct say sign = {.kind = SAY_SIGN, .what = b->what, .text = slice_of(b->sign)};
    struct say s = {.kind = SAY_CLOSE, .what = b->what};
    assert(b->opened && b == r->head);
    enum err e = b->sign != NULL ? say_out(r, &sign) : OK;
    return e == OK ? say_out(r, &s) : e;
}

/* A call can be opened when its name is known, and its id too or none will come. */
static bool can_open(const struct block *b, bool flush)
{
    if (b->what != BLOCK_CALL)
        return true;
    return b->name != NULL && (b->id[0] != '\0' || b->held.len > 0 || flush);
}

/* Says what can be said of the queue; all of it at the end of the reply. */
static enum err queue_pump(struct say_reader *r, bool flush)
{
    enum err e = OK;
    while (e == OK && r->head != NULL) {
        struct block *b = r->head;
        if (!b->opened && !can_open(b, flush)) {
            if (!flush)
                return OK;
            if (b->held.len > 0)
                return ERR_SYNTAX; /* arguments for no tool */
            head_drop(r);
            continue;
        }
        if (!b->opened)
            e = block_open(r, b);
        if (e == OK)
            e = block_delta(r, b, buf_slice(&b->held));
        buf_clear(&b->held);
        if (e != OK || (!flush && (b->next == NULL || (b->what == BLOCK_CALL && !b->whole))))
            return e;
        e = block_close(r, b);
        head_drop(r);
    }
    return e;
}

static enum err block_add(struct say_reader *r, struct block *b, struct slice text)
{
    if (b == r->head && b->opened && b->held.len == 0) /* the common case: nothing is copied */
        return block_delta(r, b, text);
    return buf_puts(&b->held, text);
}

static enum err text_add(struct say_reader *r, enum block_kind what, struct slice text)
{
    struct block *b = r->tail;
    enum err e = OK;
    assert(r->started && !r->ended);
    if (text.n == 0)
        return OK;
    if (b == NULL || b->what != what || b->sign != NULL)
        e = block_new(r, what, &b);
    if (e == OK)
        e = block_add(r, b, text);
    return e == OK ? queue_pump(r, false) : e;
}

static enum err sign_add(struct say_reader *r, struct slice sign)
{
    struct block *b = r->tail;
    enum err e = OK;
    if (b == NULL || b->what != BLOCK_THINKING || b->sign != NULL)
        e = block_new(r, BLOCK_THINKING, &b);
    if (e != OK)
        return e;
    assert(b == r->tail && b->sign == NULL && sign.n > 0);
    b->sign = mem_slicedup(sign);
    return queue_pump(r, false);
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* Follows the arguments as they come, only to know when they are a whole JSON value. */
static void arguments_follow(struct block *b, struct slice text)
{
    assert(b->what == BLOCK_CALL);
    for (size_t i = 0; i < text.n && !b->whole; i++) {
        char c = text.p[i];
        if (b->in_string) {
            if (b->escaped)
                b->escaped = false;
            else if (c == '\\')
                b->escaped = true;
            else if (c == '"')
                b->in_string = false;
            continue;
        }
        if (c == '"')
            b->in_string = true;
        else if (c == '{' || c == '[')
            b->depth++;
        else if (c == '}' || c == ']')
            b->depth--;
        b->begun = b->begun || c == '{' || c == '[';
        b->whole = b->begun && b->depth <= 0;
    }
}

/* One fragment of a call. */
struct fragment {
    int64_t index;
    struct slice id, name, arguments;
};

static const struct block *call_in(const struct block *list, const struct fragment *f,
                                   const struct block *found)
{
    uint64_t hash = f->id.n > 0 ? hash_stable(0, f->id) | 1 : 0;
    for (const struct block *b = list; b != NULL; b = b->next) {
        if (b->what == BLOCK_CALL &&
            (f->index >= 0 ? b->index == f->index : hash == 0 || b->id_hash == hash))
            found = b;
    }
    return found;
}

/* The newest call that a fragment may belong to: those of the queue are newer than closed ones. */
static struct block *call_find(struct say_reader *r, const struct fragment *f)
{
    const struct block *found = call_in(r->head, f, NULL);
    for (const struct block *b = r->closed; found == NULL && b != NULL; b = b->next) {
        struct block one = *b;
        one.next = NULL;
        if (call_in(&one, f, NULL) != NULL)
            found = b;
    }
    return (struct block *)found;
}

enum belongs { BELONGS, BELONGS_NOT, BELONGS_REPEATED, BELONGS_NONSENSE };

/* Whether a fragment continues `b` or begins another call: some servers use one index for all their
 * calls, some send id and name with every fragment, some the whole call once more at the end. */
static enum belongs call_judge(const struct block *b, const struct fragment *f, bool closed)
{
    uint64_t hash = f->id.n > 0 ? hash_stable(0, f->id) | 1 : 0;
    bool named = f->name.n > 0 && b->name != NULL;
    assert(b->what == BLOCK_CALL && (!closed || b->opened));
    if (hash != 0 && b->id_hash != 0 && hash != b->id_hash)
        return BELONGS_NOT;
    if (f->index < 0 && hash == 0 && named && !slice_eq(f->name, slice_of(b->name)))
        return BELONGS_NOT;
    if (!b->whole && !closed)
        return BELONGS;
    if (hash != 0 && hash == b->id_hash)
        return BELONGS_REPEATED;
    if (text_blank(f->arguments))
        return BELONGS_REPEATED;
    return f->name.n > 0 ? BELONGS_NOT : BELONGS_NONSENSE;
}

static void id_take(struct block *b, struct slice id)
{
    assert(id.n > 0 && !b->opened); /* what has been said stays */
    b->id_hash = hash_stable(0, id) | 1;
    call_id_clean(id, b->id);
}

static enum err call_add(struct say_reader *r, const struct fragment *f)
{
    struct block *b = call_find(r, f);
    enum err e = OK;
    bool closed = b != NULL && call_in(r->head, f, NULL) == NULL;
    enum belongs how = b == NULL ? BELONGS_NOT : call_judge(b, f, closed);
    if (how == BELONGS_NONSENSE)
        return ERR_SYNTAX;
    if (how == BELONGS_REPEATED)
        return OK;
    if (how == BELONGS_NOT) {
        e = block_new(r, BLOCK_CALL, &b);
        if (e != OK)
            return e;
        b->index = f->index;
    }
    if (b->id_hash == 0 && f->id.n > 0 && !b->opened)
        id_take(b, f->id);
    if (b->name == NULL && f->name.n > 0)
        b->name = mem_slicedup(f->name);
    arguments_follow(b, f->arguments);
    e = block_add(r, b, f->arguments);
    return e == OK ? queue_pump(r, false) : e;
}

/* `arguments` is a string by the book, and an object with some. */
static enum err call_read(struct say_reader *r, const struct json_val *call,
                          const struct json_val *function)
{
    struct fragment f = {.index = json_get_i64(call, "index", -1),
                         .id = json_get_str(call, "id"),
                         .name = json_get_str(function, "name"),
                         .arguments = json_get_str(function, "arguments")};
    const struct json_val *object = json_get(function, "arguments");
    struct arena arena;
    struct ask ask;
    if (json_type(object) != JSON_OBJECT)
        return call_add(r, &f);
    arena_init(&arena, HELD_MAX);
    ask_init(&ask, &arena);
    f.arguments = ask_json(&ask, object);
    enum err e = ask.full ? ERR_LIMIT : call_add(r, &f);
    arena_free(&arena);
    return e;
}

static enum err calls_read(struct say_reader *r, const struct json_val *message)
{
    const struct json_val *calls = json_get(message, "tool_calls");
    const struct json_val *old = json_get(message, "function_call");
    enum err e = OK;
    for (size_t i = 0; e == OK && i < json_len(calls); i++) {
        const struct json_val *call = json_at(calls, i);
        e = call_read(r, call, json_get(call, "function"));
    }
    if (e == OK && json_type(old) == JSON_OBJECT)
        e = call_read(r, old, old);
    return e;
}

/* ---- text ------------------------------------------------------------------------------------ */

/* [{"type":"reasoning.text","text","signature","format"},{"type":"reasoning.summary","summary"}] */
static enum err details_read(struct say_reader *r, const struct json_val *details, bool texts)
{
    enum err e = OK;
    for (size_t i = 0; e == OK && i < json_len(details); i++) {
        const struct json_val *d = json_at(details, i);
        struct slice sign = json_get_str(d, "signature"), text = json_get_str(d, "text");
        bool ours = sign.n > 0 && slice_starts(json_get_str(d, "format"), S("anthropic-claude"));
        /* The detail that brings the signature may repeat the text that it signs. */
        bool said = ours && r->tail != NULL && r->tail->what == BLOCK_THINKING &&
                    r->tail->sign == NULL;
        if (texts && !said)
            e = text_add(r, BLOCK_THINKING, text.n > 0 ? text : json_get_str(d, "summary"));
        if (e == OK && ours)
            e = sign_add(r, sign);
    }
    return e;
}

static enum err reasoning_read(struct say_reader *r, const struct json_val *message)
{
    struct slice text = json_get_str(message, "reasoning_content");
    if (text.n == 0)
        text = json_get_str(message, "reasoning");
    enum err e = text_add(r, BLOCK_THINKING, text);
    return e == OK ? details_read(r, json_get(message, "reasoning_details"), text.n == 0) : e;
}

/* Mistral: content as parts, with thinking among them. */
static enum err parts_read(struct say_reader *r, const struct json_val *parts, int depth)
{
    enum err e = OK;
    for (size_t i = 0; e == OK && i < json_len(parts); i++) {
        const struct json_val *p = json_at(parts, i);
        struct slice type = json_get_str(p, "type");
        if (slice_eq(type, S("thinking")) && depth == 0) {
            const struct json_val *inner = json_get(p, "thinking");
            struct slice text = {"", 0};
            if (json_str(inner, &text))
                e = text_add(r, BLOCK_THINKING, text);
            else
                e = parts_read(r, inner, 1);
        } else if (slice_eq(type, S("text"))) {
            e = text_add(r, depth == 0 ? BLOCK_TEXT : BLOCK_THINKING, json_get_str(p, "text"));
        } else if (slice_eq(type, S("refusal"))) {
            e = text_add(r, BLOCK_REFUSAL, json_get_str(p, "refusal"));
        }
    }
    return e;
}

/* OpenRouter, Gemini: [{"type":"image_url","image_url":{"url":"data:..."}}] */
static enum err images_read(struct say_reader *r, const struct json_val *images)
{
    enum err e = OK;
    for (size_t i = 0; e == OK && i < json_len(images); i++) {
        struct slice url = json_get_str(json_get(json_at(images, i), "image_url"), "url");
        struct slice media, data;
        struct block *b = NULL;
        if (!data_url(url, &media, &data))
            continue;
        e = block_new(r, BLOCK_IMAGE, &b);
        if (e != OK)
            return e;
        b->name = mem_slicedup(media);
        e = buf_puts(&b->held, data);
        if (e == OK)
            e = queue_pump(r, false);
    }
    return e;
}

static enum err message_say(struct say_reader *r, const struct json_val *message)
{
    const struct json_val *content = json_get(message, "content");
    struct slice text = {"", 0};
    enum err e = reasoning_read(r, message);
    if (e == OK && json_str(content, &text))
        e = text_add(r, BLOCK_TEXT, text);
    else if (e == OK)
        e = parts_read(r, content, 0);
    if (e == OK)
        e = text_add(r, BLOCK_REFUSAL, json_get_str(message, "refusal"));
    if (e == OK)
        e = images_read(r, json_get(message, "images"));
    return e == OK ? calls_read(r, message) : e;
}

/* ---- the reply ------------------------------------------------------------------------------- */

static enum err start_say(struct say_reader *r, const struct json_val *root)
{
    struct say s = {
        .kind = SAY_START, .id = json_get_str(root, "id"), .model = json_get_str(root, "model")};
    if (r->started)
        return OK;
    r->started = true;
    return say_out(r, &s);
}

static enum err error_say(struct say_reader *r, int status, const struct observation *o)
{
    struct say s = {.kind = SAY_ERROR,
                    .status = status,
                    .error = o->error,
                    .error_type = slice_of(reply_words(o)->error_type),
                    .text = slice_of(reply_words(o)->error_message)};
    /* What is open is closed as it is; what waits behind it is not begun any more. */
    enum err e = r->head != NULL && r->head->opened ? block_close(r, r->head) : OK;
    r->ended = true;
    return e == OK ? say_out(r, &s) : e;
}

static enum err error_read_say(struct say_reader *r, const struct json_val *root)
{
    struct reply_words words = {0};
    struct observation o = {.words = &words};
    int status = openai_error(0, root, &o);
    return error_say(r, status, &o);
}

static const struct {
    const char *word;
    enum stop_kind stop;
} finishes[] = {
    {"stop", STOP_END},
    {"length", STOP_LENGTH},
    {"tool_calls", STOP_CALLS},
    {"function_call", STOP_CALLS},
    {"content_filter", STOP_REFUSAL},
    {"model_length", STOP_LENGTH},
    {"max_tokens", STOP_LENGTH},
    {"eos", STOP_END},
};

static void finish_take(struct say_reader *r, struct slice word)
{
    assert(word.n > 0);
    r->finished = true;
    r->stop = STOP_END;
    for (size_t i = 0; i < sizeof finishes / sizeof finishes[0]; i++) {
        if (slice_eq(word, slice_of(finishes[i].word)))
            r->stop = finishes[i].stop;
    }
}

static enum err reply_end(struct say_reader *r)
{
    struct say stop = {.kind = SAY_STOP}, end = {.kind = SAY_END};
    assert(r->started && !r->ended);
    enum err e = queue_pump(r, true);
    if (e != OK)
        return e;
    assert(r->head == NULL);
    /* Some say "stop" though there are calls; and calls that are not there would be waited for. */
    stop.stop = r->stop;
    if (stop.stop == STOP_END && r->any_call)
        stop.stop = STOP_CALLS;
    else if (stop.stop == STOP_CALLS && !r->any_call)
        stop.stop = STOP_END;
    if (stop.stop == STOP_END && r->any_refusal)
        stop.stop = STOP_REFUSAL;
    stop.usage = r->usage;
    r->ended = true;
    e = say_out(r, &stop);
    return e == OK ? say_out(r, &end) : e;
}

/* The logprobs of the first choice, as they stand in the text. */
static enum err logprobs_say(struct say_reader *r, struct slice data)
{
    struct span choices, first, v;
    struct span_list list;
    if (!span_member(data, S("choices"), &choices))
        return OK;
    span_list_init(&list, span_slice(data, choices));
    if (span_list_next(&list, &first) != OK)
        return OK;
    struct slice choice = span_slice(list.text, first);
    if (!span_member(choice, S("logprobs"), &v))
        return OK;
    struct say s = {.kind = SAY_LOGPROBS, .text = span_slice(choice, v)};
    return slice_starts(s.text, S("{")) ? say_out(r, &s) : OK;
}

static enum err choice_read(struct say_reader *r, const struct json_val *c, struct slice data)
{
    const struct json_val *message = json_get(c, "delta");
    struct slice finish = json_get_str(c, "finish_reason");
    struct reply_words words = {0};
    struct observation o = {.words = &words};
    enum err e = OK;
    if (json_get_i64(c, "index", 0) != 0)
        return OK;
    r->any_choice = true;
    if (json_type(message) != JSON_OBJECT)
        message = json_get(c, "message");
    e = message_say(r, message);
    if (e == OK)
        e = text_add(r, BLOCK_TEXT, json_get_str(c, "text"));
    if (e == OK && openai_says(json_get(c, "logprobs")))
        e = logprobs_say(r, data);
    if (e != OK || finish.n == 0)
        return e;
    if (openai_finish_failed(finish, &o))
        return error_say(r, o.error == REPLY_ERROR_OVERLOADED ? 503 : 502, &o);
    finish_take(r, finish);
    return OK;
}

static enum err root_read(struct say_reader *r, const struct json_val *root, struct slice data)
{
    const struct json_val *choices = json_get(root, "choices");
    enum err e = OK;
    if (openai_is_error(root))
        return error_read_say(r, root);
    (void)openai_usage(root, &r->usage);
    for (size_t i = 0; e == OK && !r->ended && i < json_len(choices); i++) {
        if (i == 0)
            e = start_say(r, root);
        if (e == OK)
            e = choice_read(r, json_at(choices, i), data);
    }
    return e;
}

static enum err reader_read(struct say_reader *r, struct slice event, struct slice data, bool whole,
                            say_fn *say, void *arg)
{
    struct json *doc = NULL;
    const char *why = NULL;
    r->say = say;
    r->arg = arg;
    data = slice_trim(data);
    if (r->ended || (data.n == 0 && !whole))
        return OK;
    if (!whole && slice_eq(data, S("[DONE]")))
        return r->any_choice ? reply_end(r) : ERR_SYNTAX;
    enum err e = data.n > PARSE_FREELY ? ask_parse(data, &doc, &why) : json_parse(data, &doc);
    const struct json_val *root = json_root(doc);
    if (e != OK || (json_type(root) != JSON_OBJECT && json_type(root) != JSON_ARRAY))
        e = e == OK ? ERR_SYNTAX : e;
    else if (slice_eq(event, S("error")) || json_type(root) == JSON_ARRAY)
        e = error_read_say(r, root);
    else
        e = root_read(r, root, data);
    json_free(doc);
    if (e == OK && whole && !r->ended)
        e = r->any_choice ? reply_end(r) : ERR_SYNTAX;
    return e;
}

/* Not every server says [DONE]; one that said why it stopped is through. */
static enum err reader_end(struct say_reader *r, say_fn *say, void *arg)
{
    r->say = say;
    r->arg = arg;
    return r->finished && !r->ended ? reply_end(r) : OK;
}

static struct say_reader *reader_new(const struct say_context *c)
{
    struct say_reader *r = NEW(struct say_reader);
    r->names = c->names;
    text_copy(r->seed, sizeof r->seed, c->id);
    return r;
}

static void blocks_free(struct block *b)
{
    while (b != NULL) {
        struct block *next = b->next;
        block_free(b);
        b = next;
    }
}

static void reader_free(struct say_reader *r)
{
    if (r == NULL)
        return;
    blocks_free(r->head);
    blocks_free(r->closed);
    mem_free(r);
}

const struct dialect_canon canon_openai = {
    .ask_read = openai_ask_read,
    .ask_write = openai_ask_write,
    .reader_new = reader_new,
    .reader_free = reader_free,
    .read = reader_read,
    .read_end = reader_end,
    .writer_new = openai_writer_new,
    .writer_free = openai_writer_free,
    .write = openai_write,
};
