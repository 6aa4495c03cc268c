/* Replies in the Responses dialect, read: events or a whole body as says.
 * Facts: wire/openai.md section 7.
 *
 * A reply is a row of items, and events name theirs by its place. Blocks never interleave in what
 * is said, but some servers mix the pieces of parallel calls. So there is a queue of blocks; only
 * its head is open and goes on at once, what is for the others is held back. The head is over when
 * its item is done, or, if it is no call, when something stands behind it.
 *
 *     event -> item (by output_index, else by item_id) -> block -> OPEN, DELTA..., SIGN, CLOSE
 *
 * What the pieces have not brought is taken from the whole items, and from the whole response at
 * the end: there are servers that send only these.
 *
 * Not said, for no other dialect has it: what the provider's own tools did, annotations. */
#include "codec/responses.h"
#include "codec/span.h"

#include <string.h>

#define HELD_MAX  ((size_t)16 << 20) /* of one block that waits for its turn */
#define ITEMS_MAX 4096
#define QUEUE_MAX 4096

enum item_kind { ITEM_OTHER, ITEM_MESSAGE, ITEM_CALL, ITEM_REASONING, ITEM_IMAGE };
enum source { SOURCE_NONE, SOURCE_SUMMARY, SOURCE_CONTENT };
struct block;
struct item {
    enum item_kind kind;
    int64_t index;
    uint64_t id_hash;   /* 0: it has no id */
    uint64_t said;      /* a bit for each part of which something was said; the last: and others */
    enum source source; /* of thinking; only one of them is said */
    int64_t part;       /* of thinking: the newest */
    bool begun;         /* a call: it has had its block */
    bool done;
    struct block *call; /* as long as it is in the queue */
    struct item *next;
};
struct block {
    enum block_kind what;
    const struct item *item;
    int64_t part;
    char id[CALL_ID_MAX]; /* of a call */
    char *name;           /* of a call; media type of an image; NULL: not known yet */
    char *sign;           /* of thinking; NULL: none */
    bool opened, over;
    struct buf held;
    struct block *next;
};

struct say_reader {
    char seed[40];             /* for ids that must be made up */
    struct item *items;        /* newest first */
    struct block *head, *tail; /* the queue */
    int items_n, queued;
    bool started, any, any_call, any_refusal, ended;
    struct buf room, more; /* texts with their escapes undone; what is put together */
    say_fn *say;           /* of the read that is going on */
    void *arg;
};

static enum err say_out(struct say_reader *r, const struct say *s)
{
    return r->say(r->arg, s);
}

static enum err start_say(struct say_reader *r, struct slice id, struct slice model)
{
    struct say s = {.kind = SAY_START, .id = id, .model = model};
    if (r->started)
        return OK;
    r->started = true;
    return say_out(r, &s);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static void block_free(struct block *b)
{
    buf_free(&b->held);
    mem_free(b->name);
    mem_free(b->sign);
    mem_free(b);
}

static enum err block_new(struct say_reader *r, const struct item *item, enum block_kind what,
                          int64_t part, struct block **out)
{
    if (r->queued == QUEUE_MAX)
        return ERR_LIMIT;
    struct block *b = NEW(struct block);
    b->what = what;
    b->item = item;
    b->part = part;
    buf_init(&b->held, HELD_MAX);
    if (r->tail != NULL)
        r->tail->next = b;
    else
        r->head = b;
    r->tail = b;
    r->queued++;
    r->any = true;
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
    for (struct item *it = r->items; it != NULL; it = it->next) {
        if (it->call == b)
            it->call = NULL;
    }
    block_free(b);
}

static enum err block_open(struct say_reader *r, struct block *b)
{
    struct say s = {.kind = SAY_OPEN, .what = b->what, .name = slice_of(b->name)};
    assert(!b->opened && b == r->head);
    b->opened = true;
    r->any_call = r->any_call || b->what == BLOCK_CALL;
    r->any_refusal = r->any_refusal || b->what == BLOCK_REFUSAL;
    if (b->what == BLOCK_CALL && b->id[0] == '\0')
        (void)text_format(b->id, sizeof b->id, "call_%016" PRIx64,
                          hash_stable((uint64_t)b->item->index, slice_of(r->seed)));
    s.id = slice_of(b->id);
    enum err e = start_say(r, S(""), S(""));
    return e == OK ? say_out(r, &s) : e;
}

static enum err block_delta(struct say_reader *r, const struct block *b, struct slice text)
{
    struct say s = {.kind = SAY_DELTA, .what = b->what, .text = text};
    assert(b->opened && b == r->head);
    return text.n == 0 ? OK : say_out(r, &s);
}

static enum err block_close(struct say_reader *r, const struct block *b)
{
    struct say sign = {.kind = SAY_SIGN, .what = b->what, .text = slice_of(b->sign)};
    struct say s = {.kind = SAY_CLOSE, .what = b->what};
    assert(b->opened && (b->sign == NULL || b->what == BLOCK_THINKING));
    enum err e = b->sign != NULL ? say_out(r, &sign) : OK;
    return e == OK ? say_out(r, &s) : e;
}

/* Says what can be said of the queue; all of it at the end of the reply. */
static enum err queue_pump(struct say_reader *r, bool flush)
{
    enum err e = OK;
    while (e == OK && r->head != NULL) {
        struct block *b = r->head;
        if (!b->opened && b->what == BLOCK_CALL && b->name == NULL) {
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
        bool over = flush || b->over || (b->next != NULL && b->what != BLOCK_CALL);
        if (e != OK || !over)
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
    enum err e = buf_puts(&b->held, text);
    return e == OK ? queue_pump(r, false) : e;
}

static struct block *block_find(const struct say_reader *r, const struct item *it,
                                enum block_kind what, int64_t part)
{
    for (struct block *b = r->head; b != NULL; b = b->next) {
        if (b->item == it && b->what == what && b->part == part && !b->over)
            return b;
    }
    return NULL;
}

/* ---- items ----------------------------------------------------------------------------------- */

static uint64_t id_hash_of(struct slice id)
{
    return id.n > 0 ? hash_stable(0, id) | 1 : 0;
}

/* By its place if that is told: some servers give one item many ids. */
static struct item *item_find(const struct say_reader *r, int64_t index, uint64_t id_hash)
{
    if (index < 0 && id_hash == 0)
        return r->items;
    for (struct item *it = r->items; it != NULL; it = it->next) {
        if (index >= 0 ? it->index == index : it->id_hash == id_hash)
            return it;
    }
    return NULL;
}

static enum err item_new(struct say_reader *r, enum item_kind kind, int64_t index, uint64_t id_hash,
                         struct item **out)
{
    if (r->items_n == ITEMS_MAX)
        return ERR_LIMIT;
    struct item *it = NEW(struct item);
    it->kind = kind;
    it->index = index >= 0 ? index : r->items_n;
    it->id_hash = id_hash;
    it->next = r->items;
    r->items = it;
    r->items_n++;
    *out = it;
    assert(it->index >= 0 && it->call == NULL);
    return OK;
}

static enum item_kind kind_of(struct slice type)
{
    if (slice_eq(type, S("message")))
        return ITEM_MESSAGE;
    if (slice_eq(type, S("function_call")))
        return ITEM_CALL;
    if (slice_eq(type, S("reasoning")))
        return ITEM_REASONING;
    return slice_eq(type, S("image_generation_call")) ? ITEM_IMAGE : ITEM_OTHER;
}

static uint64_t part_bit(int64_t part)
{
    return UINT64_C(1) << (part >= 0 && part < 63 ? part : 63);
}

static enum err text_say(struct say_reader *r, struct item *it, enum block_kind what, int64_t part,
                         struct slice text)
{
    struct block *b = block_find(r, it, what, part);
    enum err e = OK;
    assert(!it->done && what != BLOCK_CALL);
    it->said |= part_bit(part);
    if (text.n == 0)
        return OK;
    if (b == NULL)
        e = block_new(r, it, what, part, &b);
    return e == OK ? block_add(r, b, text) : e;
}

/* Thinking comes as a summary or as it was thought, in parts that are paragraphs. */
static enum err thinking_say(struct say_reader *r, struct item *it, enum source source,
                             int64_t part, struct slice text)
{
    enum err e = OK;
    if (text.n == 0 || (it->source != SOURCE_NONE && it->source != source))
        return OK;
    if (it->source != SOURCE_NONE && part != it->part)
        e = text_say(r, it, BLOCK_THINKING, 0, S("\n\n"));
    it->source = source;
    it->part = part;
    return e == OK ? text_say(r, it, BLOCK_THINKING, 0, text) : e;
}

/* Opens the call's block as soon as its name is known. */
static enum err call_name(struct say_reader *r, struct item *it, const struct json_val *v)
{
    struct slice name = json_get_str(v, "name"), id = json_get_str(v, "call_id");
    struct block *b = it->call;
    enum err e = OK;
    if (b == NULL && !it->begun)
        e = block_new(r, it, BLOCK_CALL, 0, &b);
    if (e != OK || b == NULL)
        return e;
    it->begun = true;
    it->call = b;
    assert(b->what == BLOCK_CALL && b->item == it);
    if (b->id[0] == '\0' && id.n > 0 && !b->opened)
        call_id_clean(id, b->id);
    if (b->name == NULL && name.n > 0)
        b->name = mem_slicedup(name);
    return queue_pump(r, false);
}

static enum err call_add(struct say_reader *r, struct item *it, struct slice text)
{
    enum err e = it->call == NULL ? call_name(r, it, NULL) : OK;
    assert(it->kind == ITEM_CALL);
    if (e != OK || it->call == NULL || text.n == 0)
        return e;
    it->said = 1;
    return block_add(r, it->call, text);
}

/* All of a call's arguments. */
static enum err call_whole(struct say_reader *r, struct item *it, const struct json_val *v)
{
    enum err e = call_name(r, it, v);
    if (e == OK && it->said == 0)
        e = call_add(r, it, json_get_str(v, "arguments"));
    if (e != OK || it->call == NULL)
        return e;
    it->call->over = it->call->name != NULL;
    return queue_pump(r, false);
}

static enum err message_whole(struct say_reader *r, struct item *it, const struct json_val *v)
{
    const struct json_val *content = json_get(v, "content");
    enum err e = OK;
    for (size_t i = 0; e == OK && i < json_len(content); i++) {
        const struct json_val *c = json_at(content, i);
        struct slice type = json_get_str(c, "type");
        int64_t part = (int64_t)i;
        if ((it->said & part_bit(part)) != 0 && i < 63)
            continue;
        if (slice_eq(type, S("output_text")) || slice_eq(type, S("text")))
            e = text_say(r, it, BLOCK_TEXT, part, json_get_str(c, "text"));
        else if (slice_eq(type, S("refusal")))
            e = text_say(r, it, BLOCK_REFUSAL, part, json_get_str(c, "refusal"));
    }
    return e;
}

static enum err sign_put(struct say_reader *r, struct item *it, struct slice code)
{
    struct block *b = block_find(r, it, BLOCK_THINKING, 0);
    enum err e = OK;
    bool theirs = sign_take(&code, S(SIGN_THEIRS));
    if (code.n == 0 || (b == NULL && it->source != SOURCE_NONE)) /* closed already */
        return OK;
    if (b == NULL)
        e = block_new(r, it, BLOCK_THINKING, 0, &b);
    buf_clear(&r->more);
    if (e == OK && !theirs)
        e = buf_puts(&r->more, S(SIGN_OURS));
    if (e == OK)
        e = buf_puts(&r->more, code);
    if (e == OK)
        b->sign = mem_slicedup(buf_slice(&r->more));
    return e;
}

static enum err reasoning_whole(struct say_reader *r, struct item *it, const struct json_val *v)
{
    const struct json_val *content = json_get(v, "content"), *summary = json_get(v, "summary");
    struct slice code = json_get_str(v, "encrypted_content");
    struct block *b = NULL;
    enum err e = OK;
    bool said = it->source != SOURCE_NONE;
    for (size_t i = 0; e == OK && !said && i < json_len(content); i++)
        e = thinking_say(r, it, SOURCE_CONTENT, (int64_t)i,
                         json_get_str(json_at(content, i), "text"));
    for (size_t i = 0; e == OK && !said && i < json_len(summary); i++)
        e = thinking_say(r, it, SOURCE_SUMMARY, (int64_t)i,
                         json_get_str(json_at(summary, i), "text"));
    if (e != OK || !sign_take(&code, S(SIGN_REDACTED)))
        return e == OK ? sign_put(r, it, code) : e;
    e = block_new(r, it, BLOCK_REDACTED, 0, &b);
    return e == OK ? block_add(r, b, code) : e;
}

/* An image that was made: a tool of the provider's, but its outcome is a part of the reply. */
static enum err image_whole(struct say_reader *r, struct item *it, const struct json_val *v)
{
    struct slice data = json_get_str(v, "result"), format = json_get_str(v, "output_format");
    struct block *b = NULL;
    if (data.n == 0)
        return OK;
    enum err e = block_new(r, it, BLOCK_IMAGE, 0, &b);
    if (e != OK)
        return e;
    buf_clear(&r->more);
    e = buf_printf(&r->more, "image/%.*s", (int)(format.n < 32 ? format.n : 32), format.p);
    if (e == OK)
        b->name = format.n > 0 ? mem_slicedup(buf_slice(&r->more)) : mem_strdup("image/png");
    return e == OK ? block_add(r, b, data) : e;
}

/* An item in its last state: what has not been said of it yet. Then it is over. */
static enum err item_done(struct say_reader *r, struct item *it, const struct json_val *v)
{
    enum err e = OK;
    if (it->done)
        return OK;
    if (it->kind == ITEM_OTHER)
        it->kind = kind_of(json_get_str(v, "type"));
    if (it->kind == ITEM_MESSAGE)
        e = message_whole(r, it, v);
    else if (it->kind == ITEM_CALL)
        e = call_whole(r, it, v);
    else if (it->kind == ITEM_REASONING)
        e = reasoning_whole(r, it, v);
    else if (it->kind == ITEM_IMAGE)
        e = image_whole(r, it, v);
    it->done = true;
    for (struct block *b = r->head; b != NULL; b = b->next)
        b->over = b->over || b->item == it;
    return e == OK ? queue_pump(r, false) : e;
}

static enum err output_done(struct say_reader *r, const struct json_val *output)
{
    enum err e = OK;
    for (size_t i = 0; e == OK && i < json_len(output); i++) {
        const struct json_val *v = json_at(output, i);
        struct item *it = item_find(r, (int64_t)i, 0);
        if (it == NULL)
            e = item_new(r, kind_of(json_get_str(v, "type")), (int64_t)i,
                         id_hash_of(json_get_str(v, "id")), &it);
        if (e == OK)
            e = item_done(r, it, v);
    }
    return e;
}

/* ---- the end --------------------------------------------------------------------------------- */

static enum stop_kind stop_of(const struct say_reader *r, const struct json_val *response)
{
    struct slice reason = json_get_str(json_get(response, "incomplete_details"), "reason");
    if (slice_eq(reason, S("content_filter")))
        return STOP_REFUSAL;
    if (reason.n > 0 || slice_eq(json_get_str(response, "status"), S("incomplete")))
        return STOP_LENGTH;
    if (r->any_call)
        return STOP_CALLS;
    return r->any_refusal ? STOP_REFUSAL : STOP_END;
}

static enum err reply_end(struct say_reader *r, const struct json_val *response)
{
    struct say stop = {.kind = SAY_STOP}, end = {.kind = SAY_END};
    enum err e = start_say(r, json_get_str(response, "id"), json_get_str(response, "model"));
    if (e == OK)
        e = output_done(r, json_get(response, "output"));
    if (e == OK)
        e = queue_pump(r, true);
    if (e != OK)
        return e;
    assert(r->head == NULL);
    stop.stop = stop_of(r, response);
    responses_usage(json_get(response, "usage"), &stop.usage);
    reading_text(stop.usage.service_tier, sizeof stop.usage.service_tier, response, "service_tier");
    r->ended = true;
    e = say_out(r, &stop);
    return e == OK ? say_out(r, &end) : e;
}

static enum err error_say(struct say_reader *r, const struct json_val *root)
{
    struct reply_words words = {0};
    struct observation o = {.words = &words};
    struct say s = {.kind = SAY_ERROR, .status = responses_error(root, &o)};
    s.error = o.error;
    s.error_type = slice_of(reply_words(&o)->error_type);
    s.text = slice_of(reply_words(&o)->error_message);
    assert(s.status >= 400 && s.error != REPLY_ERROR_NONE);
    /* What is open is closed as it is; what waits behind it is not begun any more. */
    enum err e = r->head != NULL && r->head->opened ? block_close(r, r->head) : OK;
    r->ended = true;
    return e == OK ? say_out(r, &s) : e;
}

static bool is_failed(const struct json_val *response)
{
    return slice_eq(json_get_str(response, "status"), S("failed")) ||
           openai_says(json_get(response, "error"));
}

/* ---- deltas, without a tree ------------------------------------------------------------------ */

struct delta {
    struct slice text, probs;
    int64_t index, part;
    uint64_t id_hash;
};

static enum err delta_scan(struct say_reader *r, struct slice data, struct delta *d)
{
    struct json_scan s;
    struct slice key, id;
    struct span v;
    enum err e;
    *d = (struct delta){.index = -1, .text = {"", 0}, .probs = {"", 0}};
    json_scan_init(&s, data);
    while ((e = json_scan_next(&s, &key, &v)) == OK) {
        struct slice value = span_slice(data, v);
        if (span_key_is(key, S("delta")))
            e = span_text(data, v, &r->room, &d->text);
        else if (span_key_is(key, S("output_index")))
            (void)text_i64(value, &d->index);
        else if (span_key_is(key, S("content_index")) || span_key_is(key, S("summary_index")))
            (void)text_i64(value, &d->part);
        else if (span_key_is(key, S("item_id")) && span_text(data, v, &r->more, &id) == OK)
            d->id_hash = id_hash_of(id);
        else if (span_key_is(key, S("logprobs")))
            d->probs = value;
        if (e != OK)
            return e;
    }
    return e == ERR_NOTFOUND ? OK : e;
}

/* [{"token","logprob","bytes","top_logprobs"}] are what Chat Completions has below "content". */
static enum err probs_say(struct say_reader *r, struct slice probs)
{
    struct say s = {.kind = SAY_LOGPROBS};
    struct json *doc = NULL;
    if (!slice_starts(probs, S("[")) || text_blank(slice_sub(probs, 1, probs.n - 1)))
        return OK;
    enum err e = json_parse(probs, &doc); /* it goes out as it is, so it must be sound */
    json_free(doc);
    buf_clear(&r->more);
    if (e == OK)
        e = buf_puts(&r->more, S("{\"content\":"));
    if (e == OK)
        e = buf_puts(&r->more, probs);
    if (e == OK)
        e = buf_puts(&r->more, S(",\"refusal\":null}"));
    s.text = buf_slice(&r->more);
    return e == OK ? say_out(r, &s) : e;
}

static const struct delta_kind {
    const char *name;
    enum item_kind kind;
    enum block_kind what;
    enum source source;
} delta_kinds[] = {
    {"response.output_text.delta", ITEM_MESSAGE, BLOCK_TEXT, SOURCE_NONE},
    {"response.function_call_arguments.delta", ITEM_CALL, BLOCK_CALL, SOURCE_NONE},
    {"response.reasoning_summary_text.delta", ITEM_REASONING, BLOCK_THINKING, SOURCE_SUMMARY},
    {"response.reasoning_text.delta", ITEM_REASONING, BLOCK_THINKING, SOURCE_CONTENT},
    {"response.refusal.delta", ITEM_MESSAGE, BLOCK_REFUSAL, SOURCE_NONE},
};

static enum err delta_read(struct say_reader *r, const struct delta_kind *k, struct slice data)
{
    struct delta d;
    enum err e = delta_scan(r, data, &d);
    struct item *it = e == OK ? item_find(r, d.index, d.id_hash) : NULL;
    if (e == OK && it == NULL)
        e = item_new(r, k->kind, d.index, d.id_hash, &it);
    if (e != OK || it->done)
        return e;
    if (it->kind == ITEM_OTHER)
        it->kind = k->kind;
    if (it->kind != k->kind)
        return ERR_SYNTAX;
    if (k->what == BLOCK_CALL)
        return call_add(r, it, d.text);
    if (k->what == BLOCK_THINKING)
        return thinking_say(r, it, k->source, d.part, d.text);
    e = text_say(r, it, k->what, d.part, d.text);
    return e == OK && k->what == BLOCK_TEXT && r->started ? probs_say(r, d.probs) : e;
}

/* ---- events ---------------------------------------------------------------------------------- */

/* The id and the model of a response that begins; the tools that it echoes are not looked at. */
static enum err created_read(struct say_reader *r, struct slice data)
{
    char id[REQUEST_REF_MAX] = "", model[96] = "";
    struct span v;
    if (r->started)
        return OK;
    if (!span_member(data, S("response"), &v))
        return ERR_SYNTAX;
    struct slice response = span_slice(data, v);
    if (span_member(response, S("id"), &v))
        (void)json_span_text(response, v, id, sizeof id);
    if (span_member(response, S("model"), &v))
        (void)json_span_text(response, v, model, sizeof model);
    return start_say(r, slice_of(id), slice_of(model));
}

/* Events that name an item: it begins, its arguments are whole, it is done. */
static enum err item_event(struct say_reader *r, struct slice name, const struct json_val *root)
{
    const struct json_val *v = json_get(root, "item");
    bool arguments = slice_eq(name, S("response.function_call_arguments.done"));
    int64_t index = json_get_i64(root, "output_index", -1);
    uint64_t id_hash = id_hash_of(arguments ? json_get_str(root, "item_id")
                                            : json_get_str(v, "id"));
    bool added = slice_eq(name, S("response.output_item.added"));
    struct item *it = added && index < 0 && id_hash == 0 ? NULL : item_find(r, index, id_hash);
    enum err e = OK;
    if (!arguments && json_type(v) != JSON_OBJECT)
        return ERR_SYNTAX;
    if (it == NULL)
        e = item_new(r, arguments ? ITEM_CALL : kind_of(json_get_str(v, "type")), index, id_hash,
                     &it);
    if (e != OK)
        return e;
    if (arguments)
        return it->kind == ITEM_CALL && !it->done ? call_whole(r, it, root) : OK;
    if (!added)
        return item_done(r, it, v);
    return it->kind == ITEM_CALL && !it->done ? call_name(r, it, v) : OK;
}

static enum err tree_event(struct say_reader *r, struct slice name, struct slice data)
{
    struct json *doc = NULL;
    enum err e = json_parse(data, &doc);
    const struct json_val *root = json_root(doc), *response = json_get(root, "response");
    bool failed = slice_eq(name, S("error")) || slice_eq(name, S("response.failed"));
    bool end = slice_eq(name, S("response.completed")) ||
               slice_eq(name, S("response.incomplete")) || slice_eq(name, S("response.cancelled"));
    if (e == OK && json_type(root) != JSON_OBJECT)
        e = ERR_SYNTAX;
    else if (e == OK && (failed || (end && is_failed(response))))
        e = error_say(r, root);
    else if (e == OK && end)
        e = json_type(response) == JSON_OBJECT ? reply_end(r, response) : ERR_SYNTAX;
    else if (e == OK)
        e = item_event(r, name, root);
    json_free(doc);
    return e;
}

static enum err named_event(struct say_reader *r, struct slice name, struct slice data)
{
    static const char *const trees[] = {"response.output_item.added",
                                        "response.output_item.done",
                                        "response.function_call_arguments.done",
                                        "response.completed",
                                        "response.incomplete",
                                        "response.cancelled",
                                        "response.failed",
                                        "error"};
    for (size_t i = 0; i < sizeof delta_kinds / sizeof delta_kinds[0]; i++) {
        if (slice_eq(name, slice_of(delta_kinds[i].name)))
            return delta_read(r, &delta_kinds[i], data);
    }
    for (size_t i = 0; i < sizeof trees / sizeof trees[0]; i++) {
        if (slice_eq(name, slice_of(trees[i])))
            return tree_event(r, name, data);
    }
    if (slice_eq(name, S("response.created")) || slice_eq(name, S("response.in_progress")) ||
        slice_eq(name, S("response.queued")))
        return created_read(r, data);
    if (slice_eq(name, S("ping")) || slice_eq(name, S("keepalive")))
        return say_out(r, &(struct say){.kind = SAY_LIFE});
    return OK; /* ends of parts, annotations, the provider's tools, what is yet to come */
}

static enum err event_read(struct say_reader *r, struct slice name, struct slice data)
{
    char type[64];
    struct span v;
    if (data.n == 0)
        return OK;
    if (slice_eq(data, S("[DONE]")))
        return r->any ? reply_end(r, NULL) : ERR_SYNTAX;
    if (name.n > 0)
        return named_event(r, name, data);
    if (span_member(data, S("type"), &v) && json_span_text(data, v, type, sizeof type))
        return named_event(r, slice_of(type), data);
    return span_member(data, S("error"), &v) ? named_event(r, S("error"), data) : ERR_SYNTAX;
}

static enum err body_read(struct say_reader *r, struct slice data)
{
    struct json *doc = NULL;
    enum err e = json_parse(data, &doc);
    const struct json_val *root = json_root(doc);
    if (e == OK && is_failed(root))
        e = error_say(r, root);
    else if (e == OK && json_type(json_get(root, "output")) == JSON_ARRAY)
        e = reply_end(r, root);
    else if (e == OK)
        e = ERR_SYNTAX;
    json_free(doc);
    return e;
}

/* ---- the reader ------------------------------------------------------------------------------ */

#define ROOM_KEPT ((size_t)64 << 10) /* one long text must not cost its memory until the end */

static enum err reader_read(struct say_reader *r, struct slice event, struct slice data, bool whole,
                            say_fn *say, void *arg)
{
    assert(say != NULL);
    r->say = say;
    r->arg = arg;
    if (r->ended)
        return OK;
    data = slice_trim(data);
    enum err e = whole ? body_read(r, data) : event_read(r, event, data);
    if (r->room.cap > ROOM_KEPT)
        buf_free(&r->room);
    if (r->more.cap > ROOM_KEPT)
        buf_free(&r->more);
    return e;
}

/* Only the response itself tells that it is complete. */
static enum err reader_end(struct say_reader *r, say_fn *say, void *arg)
{
    (void)r;
    (void)say;
    (void)arg;
    return OK;
}

static struct say_reader *reader_new(const struct say_context *c)
{
    struct say_reader *r = NEW(struct say_reader);
    text_copy(r->seed, sizeof r->seed, c->id);
    buf_init(&r->room, (size_t)64 << 20);
    buf_init(&r->more, (size_t)64 << 20);
    return r;
}

static void reader_free(struct say_reader *r)
{
    if (r == NULL)
        return;
    while (r->head != NULL)
        head_drop(r);
    while (r->items != NULL) {
        struct item *next = r->items->next;
        mem_free(r->items);
        r->items = next;
    }
    buf_free(&r->room);
    buf_free(&r->more);
    mem_free(r);
}

const struct dialect_canon canon_responses = {
    .ask_read = responses_ask_read,
    .ask_write = responses_ask_write,
    .reader_new = reader_new,
    .reader_free = reader_free,
    .read = reader_read,
    .read_end = reader_end,
    .writer_new = responses_writer_new,
    .writer_free = responses_writer_free,
    .write = responses_write,
};
