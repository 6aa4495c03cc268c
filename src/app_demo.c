/* The simulated provider. It echoes the last thing the user said, a word an event. Said
 * "[[tool:NAME {json}]]", and offered a tool of that name, it asks for that tool to be used, and
 * echoes the tool's result: so a whole tool turn of a real client can be tried without an account.
 */
#include "app_demo.h"

#include "codec/codec.h"

#include <string.h>

#define DEMO_MODEL    "claude-sonnet-5-5"
#define DEMO_BODY_MAX (32u << 20)
#define DEMO_WORD_MS  30

struct demo {
    struct loop *loop;
    struct http_server *server;
    struct listener *listener;
    char *secret;
    struct link calls;
    uint64_t served;
};

struct demo_call {
    struct demo *d;
    struct link link;
    struct http_call *call; /* NULL: over */
    struct buf body, out;
    struct timer timer;
    struct slice path;
    char text[2048], model[96];
    char tool[128], tool_input[1024]; /* the tool to ask for, "" = none */
    size_t at;                        /* in text */
    int64_t input;
    int step;
    bool ending; /* http_end once what is written is out */
};

static void call_free(void *arg)
{
    struct demo_call *c = arg;
    buf_free(&c->body);
    buf_free(&c->out);
    mem_free(c);
}

static void call_over(struct demo_call *c)
{
    timer_stop(&c->timer);
    list_remove(&c->link);
    c->call = NULL;
    loop_bury(c->d->loop, c, call_free);
}

static void call_end(struct demo_call *c)
{
    c->ending = true;
    if (http_writing(c->call))
        return;
    http_end(c->call);
    call_over(c);
}

static void call_answer(struct demo_call *c, int status)
{
    char id[64];
    size_t n = text_format(id, sizeof id, "req_demo%06" PRIu64, c->d->served++);
    struct http_header h[] = {{S("content-type"), S("application/json")},
                              {S("request-id"), {id, n}}};
    struct slice body = buf_slice(&c->out);
    enum err e = http_respond(c->call, status, h, 2, (int64_t)body.n, body);
    if (e == OK || e == ERR_AGAIN)
        call_end(c);
}

static void call_error(struct demo_call *c, int status, const char *message)
{
    buf_clear(&c->out);
    if (codec_error_body(DIALECT_ANTHROPIC, status, slice_of(message), S("req_demo"), &c->out) !=
        OK)
        buf_clear(&c->out);
    call_answer(c, status);
}

/* ---- what was asked -------------------------------------------------------------------------- */

/* The text of a message's content: a string, or the last text block. */
static struct slice content_text(const struct json_val *content)
{
    struct slice s = S("");
    if (json_str(content, &s))
        return s;
    for (size_t i = 0; i < json_len(content); i++)
        if (slice_eq(json_get_str(json_at(content, i), "type"), S("text")))
            s = json_get_str(json_at(content, i), "text");
    return s;
}

/* What a tool gave back, if the last message carries that. */
static struct slice tool_result(const struct json_val *content)
{
    struct slice s = S("");
    for (size_t i = 0; i < json_len(content); i++) {
        const struct json_val *block = json_at(content, i);
        if (slice_eq(json_get_str(block, "type"), S("tool_result")))
            s = content_text(json_get(block, "content"));
    }
    return s;
}

static bool tool_is_offered(const struct json_val *tools, struct slice name)
{
    for (size_t i = 0; i < json_len(tools); i++)
        if (slice_eq(json_get_str(json_at(tools, i), "name"), name))
            return true;
    return false;
}

/* "[[tool:NAME {json}]]" anywhere in what was said. */
static void call_find_tool(struct demo_call *c, struct slice said, const struct json_val *tools)
{
    struct slice name, input;
    struct json *doc;
    ptrdiff_t at = slice_search(said, S("[[tool:"));
    if (at < 0)
        return;
    said = slice_sub(said, (size_t)at + 7, said.n);
    ptrdiff_t end = slice_search(said, S("]]"));
    if (end < 0)
        return;
    said = slice_sub(said, 0, (size_t)end);
    if (!slice_cut(&said, ' ', &name) || !tool_is_offered(tools, name))
        return;
    input = said.n > 0 ? said : S("{}");
    if (input.n >= sizeof c->tool_input || json_parse(input, &doc) != OK)
        return;
    json_free(doc);
    text_copy(c->tool, sizeof c->tool, name);
    text_copy(c->tool_input, sizeof c->tool_input, input);
}

static void call_compose(struct demo_call *c, struct slice said, bool from_tool)
{
    if (said.n > 1500)
        said.n = 1500;
    while (said.n > 0 && (said.p[said.n - 1] & 0x80)) /* never half a character */
        said.n--;
    if (c->tool[0])
        text_copy(c->text, sizeof c->text, S("Using a tool."));
    else
        text_format(c->text, sizeof c->text,
                    "This is sluice's built-in demo provider: no model was asked. %s: %.*s",
                    from_tool ? "The tool gave" : "You said", (int)said.n, said.p);
}

static bool call_read(struct demo_call *c, bool *stream)
{
    struct json *doc;
    if (json_parse(buf_slice(&c->body), &doc) != OK)
        return false;
    const struct json_val *root = json_root(doc), *messages = json_get(root, "messages");
    const struct json_val *last = NULL;
    for (size_t i = 0; i < json_len(messages); i++) /* the newest models get system messages too */
        if (slice_eq(json_get_str(json_at(messages, i), "role"), S("user")))
            last = json_get(json_at(messages, i), "content");
    struct slice result = tool_result(last), model = json_get_str(root, "model");
    struct slice said = result.n > 0 ? result : content_text(last);
    *stream = json_get_bool(root, "stream", false);
    text_copy(c->model, sizeof c->model, model.n > 0 ? model : S(DEMO_MODEL));
    if (result.n == 0)
        call_find_tool(c, said, json_get(root, "tools"));
    call_compose(c, said, result.n > 0);
    c->input = (int64_t)(c->body.len / 4) + 1;
    bool good = json_len(messages) > 0;
    json_free(doc);
    return good;
}

/* ---- answers --------------------------------------------------------------------------------- */

static void write_usage(struct jw *w, int64_t input, int64_t output)
{
    jw_key(w, "usage");
    jw_obj(w);
    jw_ki64(w, "input_tokens", input);
    jw_ki64(w, "cache_creation_input_tokens", 0);
    jw_ki64(w, "cache_read_input_tokens", 0);
    jw_ki64(w, "output_tokens", output);
    jw_kcstr(w, "service_tier", "standard");
    jw_end_obj(w);
}

static int64_t output_tokens(const struct demo_call *c)
{
    return (int64_t)(strlen(c->text) / 4) + 1;
}

static const char *stop_reason(const struct demo_call *c)
{
    return c->tool[0] ? "tool_use" : "end_turn";
}

static void write_tool(struct jw *w, const struct demo_call *c, const char *input)
{
    char id[64];
    text_format(id, sizeof id, "toolu_demo%06" PRIu64, c->d->served++);
    jw_obj(w);
    jw_kcstr(w, "type", "tool_use");
    jw_kcstr(w, "id", id);
    jw_kcstr(w, "name", c->tool);
    jw_key(w, "input");
    jw_raw(w, slice_of(input));
    jw_end_obj(w);
}

static void write_message(struct jw *w, const struct demo_call *c, bool whole)
{
    jw_obj(w);
    jw_kcstr(w, "id", "msg_demo");
    jw_kcstr(w, "type", "message");
    jw_kcstr(w, "role", "assistant");
    jw_kcstr(w, "model", c->model);
    jw_key(w, "content");
    jw_arr(w);
    if (whole) {
        jw_obj(w);
        jw_kcstr(w, "type", "text");
        jw_kcstr(w, "text", c->text);
        jw_end_obj(w);
    }
    if (whole && c->tool[0])
        write_tool(w, c, c->tool_input);
    jw_end_arr(w);
    jw_kcstr(w, "stop_reason", whole ? stop_reason(c) : NULL);
    jw_kcstr(w, "stop_sequence", NULL);
    write_usage(w, c->input, whole ? output_tokens(c) : 1);
    jw_end_obj(w);
}

static void event_open(struct demo_call *c, struct jw *w, const char *name)
{
    if (buf_printf(&c->out, "event: %s\ndata: ", name) != OK)
        buf_clear(&c->out);
    jw_init(w, &c->out);
    jw_obj(w);
    jw_kcstr(w, "type", name);
}

static void event_close(struct demo_call *c, struct jw *w)
{
    jw_end_obj(w);
    if (w->err != OK || buf_puts(&c->out, S("\n\n")) != OK)
        buf_clear(&c->out);
}

static void stream_opening(struct demo_call *c)
{
    struct jw w;
    event_open(c, &w, "message_start");
    jw_key(&w, "message");
    write_message(&w, c, false);
    event_close(c, &w);
    event_open(c, &w, "content_block_start");
    jw_ki64(&w, "index", 0);
    jw_key(&w, "content_block");
    jw_raw(&w, S("{\"type\":\"text\",\"text\":\"\"}"));
    event_close(c, &w);
}

/* The next word with the space before it. */
static void stream_word(struct demo_call *c)
{
    struct jw w;
    size_t end = c->at + 1;
    while (c->text[end] != '\0' && c->text[end] != ' ')
        end++;
    event_open(c, &w, "content_block_delta");
    jw_ki64(&w, "index", 0);
    jw_key(&w, "delta");
    jw_obj(&w);
    jw_kcstr(&w, "type", "text_delta");
    jw_kstr(&w, "text", (struct slice){c->text + c->at, end - c->at});
    jw_end_obj(&w);
    event_close(c, &w);
    c->at = end;
}

static void stream_tool(struct demo_call *c)
{
    struct jw w;
    event_open(c, &w, "content_block_start");
    jw_ki64(&w, "index", 1);
    jw_key(&w, "content_block");
    write_tool(&w, c, "{}");
    event_close(c, &w);
    event_open(c, &w, "content_block_delta");
    jw_ki64(&w, "index", 1);
    jw_key(&w, "delta");
    jw_obj(&w);
    jw_kcstr(&w, "type", "input_json_delta");
    jw_kcstr(&w, "partial_json", c->tool_input);
    jw_end_obj(&w);
    event_close(c, &w);
    event_open(c, &w, "content_block_stop");
    jw_ki64(&w, "index", 1);
    event_close(c, &w);
}

static void stream_closing(struct demo_call *c)
{
    struct jw w;
    event_open(c, &w, "content_block_stop");
    jw_ki64(&w, "index", 0);
    event_close(c, &w);
    if (c->tool[0])
        stream_tool(c);
    event_open(c, &w, "message_delta");
    jw_key(&w, "delta");
    jw_obj(&w);
    jw_kcstr(&w, "stop_reason", stop_reason(c));
    jw_kcstr(&w, "stop_sequence", NULL);
    jw_end_obj(&w);
    write_usage(&w, c->input, output_tokens(c));
    event_close(c, &w);
    event_open(c, &w, "message_stop");
    event_close(c, &w);
}

static void stream_step(void *arg)
{
    struct demo_call *c = arg;
    bool last = c->text[c->at] == '\0';
    if (http_writing(c->call))
        return; /* `written` comes back here */
    buf_clear(&c->out);
    if (last)
        stream_closing(c);
    else
        stream_word(c);
    enum err e = http_write(c->call, buf_slice(&c->out));
    if (e != OK && e != ERR_AGAIN)
        return; /* `gone` follows */
    if (last)
        call_end(c);
    else if (e == OK)
        timer_set(&c->timer, loop_now(c->d->loop) + DEMO_WORD_MS);
}

static void stream_start(struct demo_call *c)
{
    struct http_header h[] = {{S("content-type"), S("text/event-stream; charset=utf-8")},
                              {S("cache-control"), S("no-cache")},
                              {S("request-id"), S("req_demo")}};
    stream_opening(c);
    enum err e = http_respond(c->call, 200, h, 3, -1, buf_slice(&c->out));
    if (e == OK)
        timer_set(&c->timer, loop_now(c->d->loop) + DEMO_WORD_MS);
}

static void answer_models(struct demo_call *c)
{
    static const char *const MODEL[][2] = {{"claude-opus-5-5", "Claude Opus 5.5 (demo)"},
                                           {DEMO_MODEL, "Claude Sonnet 5.5 (demo)"},
                                           {"claude-haiku-5-5", "Claude Haiku 5.5 (demo)"}};
    struct jw w;
    jw_init(&w, &c->out);
    jw_obj(&w);
    jw_key(&w, "data");
    jw_arr(&w);
    for (size_t i = 0; i < 3; i++) {
        jw_obj(&w);
        jw_kcstr(&w, "type", "model");
        jw_kcstr(&w, "id", MODEL[i][0]);
        jw_kcstr(&w, "display_name", MODEL[i][1]);
        jw_kcstr(&w, "created_at", "2026-09-22T00:00:00Z");
        jw_end_obj(&w);
    }
    jw_end_arr(&w);
    jw_kbool(&w, "has_more", false);
    jw_kcstr(&w, "first_id", MODEL[0][0]);
    jw_kcstr(&w, "last_id", MODEL[2][0]);
    jw_end_obj(&w);
    call_answer(c, w.err == OK ? 200 : 500);
}

static void answer_messages(struct demo_call *c)
{
    bool stream = false;
    struct jw w;
    if (!call_read(c, &stream)) {
        call_error(c, 400, "messages: a non-empty array is required");
    } else if (stream) {
        stream_start(c);
    } else {
        jw_init(&w, &c->out);
        write_message(&w, c, true);
        call_answer(c, w.err == OK ? 200 : 500);
    }
}

static void on_complete(void *arg)
{
    struct demo_call *c = arg;
    if (c->ending)
        return;
    const struct http_head *head = http_call_head(c->call);
    const struct slice *key = http_find(head, "x-api-key");
    struct slice path = head->path;
    if (key == NULL || !slice_eq(*key, slice_of(c->d->secret))) {
        call_error(c, 401, "invalid x-api-key");
    } else if (slice_eq(path, S("/v1/messages"))) {
        answer_messages(c);
    } else if (slice_eq(path, S("/v1/messages/count_tokens"))) {
        if (buf_printf(&c->out, "{\"input_tokens\":%zu}", c->body.len / 4 + 1) != OK)
            buf_clear(&c->out);
        call_answer(c, 200);
    } else if (slice_eq(path, S("/v1/models"))) {
        answer_models(c);
    } else {
        call_error(c, 404, "the demo provider has no such endpoint");
    }
}

/* ---- the server ------------------------------------------------------------------------------ */

static void *on_open(void *ctx, struct http_call *call, const struct http_head *head)
{
    struct demo *d = ctx;
    struct demo_call *c = NEW(struct demo_call);
    (void)head;
    c->d = d;
    c->call = call;
    buf_init(&c->body, DEMO_BODY_MAX);
    buf_init(&c->out, 65536);
    timer_init(&c->timer, d->loop, stream_step, c);
    list_init(&c->link);
    list_push(&d->calls, &c->link);
    http_call_read(call, true);
    return c;
}

static void on_body(void *arg, struct slice bytes)
{
    struct demo_call *c = arg;
    if (!c->ending && buf_append(&c->body, bytes.p, bytes.n) != OK)
        call_error(c, 413, "request too large");
}

static void on_written(void *arg)
{
    struct demo_call *c = arg;
    if (c->ending)
        call_end(c);
    else
        stream_step(c);
}

static void on_gone(void *arg, enum err e, const char *why)
{
    (void)e;
    (void)why;
    call_over(arg);
}

static void on_accept(void *owner, struct stream *s)
{
    struct demo *d = owner;
    http_server_add(d->server, s);
}

enum err demo_start(struct loop *l, const char *secret, struct demo **out, uint16_t *port)
{
    static const struct http_server_ops ops = {.handler = {.open = on_open,
                                                           .body = on_body,
                                                           .complete = on_complete,
                                                           .written = on_written,
                                                           .gone = on_gone}};
    static const struct listener_ops accept_ops = {on_accept};
    static const struct http_server_limits limits = {.head_ms = 10000,
                                                     .body_idle_ms = 60000,
                                                     .keep_alive_ms = 620000,
                                                     .write_ms = 60000,
                                                     .max_body = DEMO_BODY_MAX,
                                                     .max_requests = 100000,
                                                     .max_connections = 4096};
    struct addr a;
    struct demo *d = NEW(struct demo);
    d->loop = l;
    d->secret = mem_strdup(secret);
    list_init(&d->calls);
    d->server = http_server_new(l, &limits, &ops, d);
    enum err e = addr_parse(S("127.0.0.1:0"), &a);
    if (e == OK)
        e = listener_open(l, &a, NULL, &accept_ops, d, &d->listener);
    if (e != OK) {
        demo_stop(d);
        return e;
    }
    *port = listener_addr(d->listener)->port;
    *out = d;
    return OK;
}

void demo_stop(struct demo *d)
{
    if (d->listener != NULL)
        listener_close(d->listener);
    http_server_free(d->server);
    assert(list_empty(&d->calls));
    crypto_wipe(d->secret, strlen(d->secret));
    mem_free(d->secret);
    mem_free(d);
}
