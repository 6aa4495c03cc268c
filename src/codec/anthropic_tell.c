/* Replies of the Messages API, written for its clients (wire/anthropic-messages.md sections 5, 6).
 *
 * Dropped: logprobs, and thinking that was not asked for: the client would send it back unsigned,
 * and a conversation that has moved to Anthropic by then would be refused. An image is told as a
 * line of text, a refusal as text. Empty blocks are never begun: sent back, they are refused.
 *
 * A stream's event is printed as soon as it is said, in one go. A whole message gathers its
 * content, printed, and is put around it at the end. */
#include "codec/anthropic.h"

#include <string.h>

#define KEEP_CAP    ((size_t)64 * 1024)
#define CONTENT_MAX ((size_t)64 << 20) /* of a whole message */

struct say_writer {
    char *model, *context_id; /* copies of the context's */
    size_t model_len, context_id_len;
    bool thinking; /* was asked for */
    bool whole;
    char id[80];
    struct usage usage;
    /* the block */
    bool open; /* has been begun; texts and thinking only by their first word */
    bool skip; /* none of it is written */
    enum block_kind what;
    int64_t index; /* of the next block */
    bool calls, refused, stopped;
    /* whole */
    struct buf content;   /* blocks, with commas */
    struct buf text;      /* of the open block, so far */
    struct buf signature; /* of the open block */
    enum stop_kind stop;
    char sequence[256];
};

struct say_writer *anthropic_writer_new(const struct say_context *c, bool whole)
{
    struct say_writer *w = NEW(struct say_writer);
    w->model = mem_slicedup(c->model);
    w->model_len = c->model.n;
    w->context_id = mem_slicedup(c->id);
    w->context_id_len = c->id.n;
    w->thinking = c->thinking;
    w->whole = whole;
    buf_init(&w->content, CONTENT_MAX);
    buf_init(&w->text, CONTENT_MAX);
    buf_init(&w->signature, CONTENT_MAX);
    return w;
}

void anthropic_writer_free(struct say_writer *w)
{
    if (w == NULL)
        return;
    mem_free(w->model);
    mem_free(w->context_id);
    buf_free(&w->content);
    buf_free(&w->text);
    buf_free(&w->signature);
    mem_free(w);
}

/* ---- words ----------------------------------------------------------------------------------- */

/* Letters that stand in every id, of as many as fit; the others become '_'. */
static size_t id_copy(char *out, size_t size, struct slice id)
{
    size_t n = 0;
    for (; n < id.n && n + 1 < size; n++) {
        char c = id.p[n];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '-';
        out[n] = good ? c : '_';
    }
    assert(n < size);
    out[n] = '\0';
    return n;
}

/* Clients expect the prefix. */
static void message_id(struct say_writer *w, struct slice id)
{
    size_t n = 0;
    if (id.n == 0)
        id = (struct slice){w->context_id, w->context_id_len};
    if (!slice_starts(id, S("msg_")))
        n = text_format(w->id, sizeof w->id, "msg_");
    (void)id_copy(w->id + n, sizeof w->id - n, id);
    assert(slice_starts(slice_of(w->id), S("msg_")));
}

/* Ids of calls come back with their results and are held against this alphabet then. */
static void call_id(const struct say_writer *w, struct slice id, char *out, size_t size)
{
    if (id.n > 0)
        (void)id_copy(out, size, id);
    else
        (void)text_format(out, size, "toolu_%.*s_%" PRId64,
                          (int)(w->context_id_len < 64 ? w->context_id_len : 64), w->context_id,
                          w->index);
}

static void usage_print(struct jw *w, const struct usage *u)
{
    int64_t written = u->cache_write_5m + u->cache_write_1h;
    jw_key(w, "usage");
    jw_obj(w);
    jw_ki64(w, "input_tokens", u->input);
    jw_ki64(w, "cache_creation_input_tokens", written);
    jw_ki64(w, "cache_read_input_tokens", u->cache_read);
    if (written > 0) {
        jw_key(w, "cache_creation");
        jw_obj(w);
        jw_ki64(w, "ephemeral_5m_input_tokens", u->cache_write_5m);
        jw_ki64(w, "ephemeral_1h_input_tokens", u->cache_write_1h);
        jw_end_obj(w);
    }
    jw_ki64(w, "output_tokens", u->output);
    if (u->thinking > 0) {
        jw_key(w, "output_tokens_details");
        jw_obj(w);
        jw_ki64(w, "thinking_tokens", u->thinking);
        jw_end_obj(w);
    }
    if (u->web_searches > 0 || u->web_fetches > 0) {
        jw_key(w, "server_tool_use");
        jw_obj(w);
        jw_ki64(w, "web_search_requests", u->web_searches);
        jw_ki64(w, "web_fetch_requests", u->web_fetches);
        jw_end_obj(w);
    }
    if (u->service_tier[0] != '\0')
        jw_kcstr(w, "service_tier", u->service_tier);
    jw_end_obj(w);
}

/* Some servers say "stop" behind calls, and clients would not make them then (section B). */
static enum stop_kind stop_settle(const struct say_writer *w, enum stop_kind stop)
{
    if (w->refused && stop == STOP_END)
        return STOP_REFUSAL;
    if (w->calls && stop == STOP_END)
        return STOP_CALLS;
    return !w->calls && stop == STOP_CALLS ? STOP_END : stop;
}

static void stop_print(struct jw *w, enum stop_kind stop, struct slice sequence)
{
    jw_kcstr(w, "stop_reason", stop_name(stop));
    jw_key(w, "stop_sequence");
    if (stop == STOP_SEQUENCE && sequence.n > 0)
        jw_str(w, sequence);
    else
        jw_null(w);
}

/* ---- a stream -------------------------------------------------------------------------------- */

static enum err start_event(struct say_writer *w, struct buf *out)
{
    struct jw j;
    enum err e = buf_puts(out, S("event: message_start\ndata: "));
    jw_init(&j, out);
    jw_obj(&j);
    jw_kcstr(&j, "type", "message_start");
    jw_key(&j, "message");
    jw_obj(&j);
    jw_kcstr(&j, "id", w->id);
    jw_kcstr(&j, "type", "message");
    jw_kcstr(&j, "role", "assistant");
    jw_kstr(&j, "model", (struct slice){w->model, w->model_len});
    jw_key(&j, "content");
    jw_arr(&j);
    jw_end_arr(&j);
    jw_kcstr(&j, "stop_reason", NULL);
    jw_kcstr(&j, "stop_sequence", NULL);
    usage_print(&j, &w->usage);
    jw_end_obj(&j);
    jw_end_obj(&j);
    e = e == OK ? j.err : e;
    return e == OK ? buf_puts(out, S("\n\n")) : e;
}

static enum err open_event(struct say_writer *w, struct slice block, struct buf *out)
{
    enum err e = buf_printf(out,
                            "event: content_block_start\ndata: {\"type\":\"content_block_start\","
                            "\"index\":%" PRId64 ",\"content_block\":",
                            w->index);
    if (e == OK)
        e = buf_puts(out, block);
    return e == OK ? buf_puts(out, S("}\n\n")) : e;
}

static enum err close_event(struct say_writer *w, struct buf *out)
{
    return buf_printf(out,
                      "event: content_block_stop\ndata: {\"type\":\"content_block_stop\","
                      "\"index\":%" PRId64 "}\n\n",
                      w->index++);
}

/* The one that nearly all of a stream is made of. */
static enum err delta_event(struct say_writer *w, struct slice head, struct slice text,
                            struct buf *out)
{
    char digits[TEXT_U64_MAX];
    size_t n = text_from_u64((uint64_t)w->index, digits);
    enum err e = buf_puts(out, S("event: content_block_delta\ndata: "
                                 "{\"type\":\"content_block_delta\",\"index\":"));
    if (e == OK)
        e = buf_append(out, digits, n);
    if (e == OK)
        e = buf_puts(out, head);
    if (e == OK)
        e = json_escape(out, text);
    return e == OK ? buf_puts(out, S("}}\n\n")) : e;
}

static enum err stop_event(struct say_writer *w, const struct say *s, struct buf *out)
{
    struct jw j;
    enum err e = buf_puts(out, S("event: message_delta\ndata: "));
    jw_init(&j, out);
    jw_obj(&j);
    jw_kcstr(&j, "type", "message_delta");
    jw_key(&j, "delta");
    jw_obj(&j);
    stop_print(&j, stop_settle(w, s->stop), s->text);
    jw_end_obj(&j);
    usage_print(&j, &w->usage);
    jw_end_obj(&j);
    e = e == OK ? j.err : e;
    return e == OK ? buf_puts(out, S("\n\n")) : e;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static struct slice delta_head(enum block_kind what)
{
    if (what == BLOCK_THINKING)
        return S(",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":");
    if (what == BLOCK_CALL)
        return S(",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":");
    return S(",\"delta\":{\"type\":\"text_delta\",\"text\":");
}

/* A call: its head is known when it is opened. In a whole message it stays open for its input. */
static enum err call_open(struct say_writer *w, const struct say *s, struct buf *out)
{
    char id[128];
    struct buf block;
    struct jw j;
    call_id(w, s->id, id, sizeof id);
    buf_init(&block, s->name.n * 6 + 512);
    jw_init(&j, &block);
    jw_obj(&j);
    jw_kcstr(&j, "type", "tool_use");
    jw_kcstr(&j, "id", id);
    jw_kstr(&j, "name", s->name);
    jw_key(&j, "input");
    if (!w->whole)
        jw_raw(&j, S("{}"));
    if (!w->whole)
        jw_end_obj(&j);
    enum err e = j.err;
    if (e == OK && w->whole)
        e = buf_puts(&w->content, buf_slice(&block));
    else if (e == OK)
        e = open_event(w, buf_slice(&block), out);
    buf_free(&block);
    w->open = w->calls = true;
    return e;
}

static enum err comma(struct say_writer *w)
{
    return w->content.len > 0 ? buf_puts(&w->content, S(",")) : OK;
}

static enum err block_open(struct say_writer *w, const struct say *s, struct buf *out)
{
    assert(!w->open && !w->stopped && w->id[0] != '\0'); /* the order of canon.h */
    w->what = s->what;
    w->skip = s->what == BLOCK_THINKING && !w->thinking;
    w->refused = w->refused || s->what == BLOCK_REFUSAL;
    buf_clear(&w->text);
    buf_clear(&w->signature);
    if (s->what == BLOCK_IMAGE)
        return buf_printf(&w->text, "[An image (%.*s) that this API cannot show]",
                          (int)(s->name.n < 64 ? s->name.n : 64), s->name.p);
    if (s->what != BLOCK_CALL)
        return OK;
    enum err e = w->whole ? comma(w) : OK;
    return e == OK ? call_open(w, s, out) : e;
}

/* The first word of a text or of thinking begins its block. */
static enum err block_begin(struct say_writer *w, struct buf *out)
{
    if (w->open)
        return OK;
    w->open = true;
    if (w->what == BLOCK_THINKING)
        return open_event(w, S("{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}"),
                          out);
    return open_event(w, S("{\"type\":\"text\",\"text\":\"\"}"), out);
}

static enum err block_delta(struct say_writer *w, const struct say *s, struct buf *out)
{
    assert(s->what == w->what && !w->stopped);
    if (w->skip || w->what == BLOCK_IMAGE || s->text.n == 0)
        return OK;
    if (w->whole || w->what == BLOCK_REDACTED)
        return buf_puts(&w->text, s->text);
    enum err e = block_begin(w, out);
    return e == OK ? delta_event(w, delta_head(w->what), s->text, out) : e;
}

static enum err block_sign(struct say_writer *w, const struct say *s, struct buf *out)
{
    assert(w->what == BLOCK_THINKING);
    if (w->skip || s->text.n == 0)
        return OK;
    if (w->whole)
        return buf_puts(&w->signature, s->text);
    enum err e = block_begin(w, out);
    if (e != OK)
        return e;
    return delta_event(w, S(",\"delta\":{\"type\":\"signature_delta\",\"signature\":"), s->text,
                       out);
}

/* A block that is printed in one go; `out` gets it bare. */
static enum err block_print(const struct say_writer *w, struct buf *out)
{
    struct jw j;
    struct slice text = buf_slice(&w->text);
    jw_init(&j, out);
    jw_obj(&j);
    if (w->what == BLOCK_REDACTED) {
        jw_kcstr(&j, "type", "redacted_thinking");
        jw_kstr(&j, "data", text);
    } else if (w->what == BLOCK_THINKING) {
        jw_kcstr(&j, "type", "thinking");
        jw_kstr(&j, "thinking", text);
        jw_kstr(&j, "signature", buf_slice(&w->signature));
    } else {
        jw_kcstr(&j, "type", "text");
        jw_kstr(&j, "text", text);
    }
    jw_end_obj(&j);
    return j.err;
}

static enum err close_whole(struct say_writer *w)
{
    if (w->what == BLOCK_CALL) {
        enum err e = call_input(buf_slice(&w->text), &w->content);
        return e == OK ? buf_puts(&w->content, S("}")) : e;
    }
    if (w->text.len == 0 && w->signature.len == 0)
        return OK;
    enum err e = comma(w);
    return e == OK ? block_print(w, &w->content) : e;
}

/* What was held back until it was whole: start and stop in one. */
static enum err close_held(struct say_writer *w, struct buf *out)
{
    struct buf block;
    if (w->text.len == 0)
        return OK;
    if (w->what == BLOCK_IMAGE) {
        enum err e = block_begin(w, out);
        if (e == OK)
            e = delta_event(w, delta_head(BLOCK_TEXT), buf_slice(&w->text), out);
        return e == OK ? close_event(w, out) : e;
    }
    buf_init(&block, CONTENT_MAX);
    enum err e = block_print(w, &block);
    if (e == OK)
        e = open_event(w, buf_slice(&block), out);
    if (e == OK)
        e = close_event(w, out);
    buf_free(&block);
    return e;
}

static enum err block_close(struct say_writer *w, struct buf *out)
{
    enum err e = OK;
    if (!w->skip && w->whole)
        e = close_whole(w);
    else if (!w->skip && w->open)
        e = close_event(w, out);
    else if (!w->skip)
        e = close_held(w, out);
    w->open = w->skip = false;
    if (w->text.cap > KEEP_CAP) /* one long block must not cost its memory until the end */
        buf_free(&w->text);
    return e;
}

/* ---- the end --------------------------------------------------------------------------------- */

static enum err whole_print(struct say_writer *w, struct buf *out)
{
    struct jw j;
    jw_init(&j, out);
    jw_obj(&j);
    jw_kcstr(&j, "id", w->id);
    jw_kcstr(&j, "type", "message");
    jw_kcstr(&j, "role", "assistant");
    jw_kstr(&j, "model", (struct slice){w->model, w->model_len});
    jw_key(&j, "content");
    jw_arr(&j);
    if (w->content.len > 0)
        jw_raw(&j, buf_slice(&w->content));
    jw_end_arr(&j);
    stop_print(&j, stop_settle(w, w->stop), slice_of(w->sequence));
    usage_print(&j, &w->usage);
    jw_end_obj(&j);
    return j.err;
}

static enum err message_stop(struct say_writer *w, const struct say *s, struct buf *out)
{
    assert(!w->stopped && !w->open);
    if (s->usage.known)
        w->usage = s->usage;
    w->stopped = true;
    w->stop = s->stop;
    text_copy(w->sequence, sizeof w->sequence, s->stop == STOP_SEQUENCE ? s->text : S(""));
    return w->whole ? OK : stop_event(w, s, out);
}

static enum err message_end(struct say_writer *w, struct buf *out)
{
    static const char last[] = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    static const struct say plain = {.kind = SAY_STOP, .stop = STOP_END};
    enum err e = w->stopped ? OK : message_stop(w, &plain, out);
    if (e != OK)
        return e;
    return w->whole ? whole_print(w, out) : buf_puts(out, slice_of(last));
}

static enum err message_error(struct say_writer *w, const struct say *s, struct buf *out)
{
    char text[1024];
    struct slice id = {w->context_id, w->context_id_len};
    int status = error_status_in(DIALECT_ANTHROPIC, s->status, s->error, s->error_type, s->text);
    error_text_in(DIALECT_ANTHROPIC, s->error_type, s->text, text, sizeof text);
    if (w->whole)
        return codec_error_body(DIALECT_ANTHROPIC, status, slice_of(text), id, out);
    return codec_error_event(DIALECT_ANTHROPIC, status, slice_of(text), id, out);
}

enum err anthropic_write(struct say_writer *w, const struct say *s, struct buf *out)
{
    switch (s->kind) {
    case SAY_START:
        message_id(w, s->id);
        if (s->usage.known)
            w->usage = s->usage;
        if (w->model_len == 0) { /* the client named none: the provider's name will do */
            mem_free(w->model);
            w->model = mem_slicedup(s->model);
            w->model_len = s->model.n;
        }
        return w->whole ? OK : start_event(w, out);
    case SAY_OPEN:
        return block_open(w, s, out);
    case SAY_DELTA:
        return block_delta(w, s, out);
    case SAY_SIGN:
        return block_sign(w, s, out);
    case SAY_CLOSE:
        return block_close(w, out);
    case SAY_STOP:
        return message_stop(w, s, out);
    case SAY_END:
        return message_end(w, out);
    case SAY_ERROR:
        return message_error(w, s, out);
    case SAY_LIFE:
        return w->whole ? OK : buf_puts(out, codec_ping(DIALECT_ANTHROPIC));
    case SAY_LOGPROBS:
        break;
    }
    return OK;
}
