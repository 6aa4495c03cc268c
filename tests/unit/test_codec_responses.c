/* links: base http codec */
/* The Responses dialect passed through, and what its translation does beyond the golden pairs: what
 * is read in requests, what they refer to, errors, replies that are longer than what is kept,
 * servers that do it their own way. In the tables a ' stands for a ". */
#include "codec/responses.h"
#include "codec_said.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define BIG      ((size_t)64 << 20)

/* A copy in one of some rooms that are used in turn. */
static struct slice quoted(const char *text)
{
    static char room[8][4096];
    static int turn;
    char *into = room[turn++ % 8];
    size_t n = text_format(into, sizeof room[0], "%s", text);
    for (size_t i = 0; i < n; i++)
        into[i] = into[i] == '\'' ? '"' : into[i];
    return (struct slice){into, n};
}

/* ---- requests -------------------------------------------------------------------------------- */

static void test_facts(void **state)
{
    static const struct {
        const char *body, *model;
        bool stream, stored;
        int64_t max_tokens;
    } rows[] = {
        {"{}", "", false, true, -1},
        {"{'model':'gpt-6-sol','stream':true,'max_output_tokens':9}", "gpt-6-sol", true, true, 9},
        {"{'store':false,'max_tokens':9}", "", false, false, -1},
        {"{'store':null,'stream':null}", "", false, true, -1},
        {"{'input':[{'model':'x','stream':true,'store':false}]}", "", false, true, -1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct request_facts f;
        const char *why = "";
        assert_int_equal(codec_request_scan(DIALECT_RESPONSES, quoted(rows[i].body), &f, &why), OK);
        assert_string_equal(f.model, rows[i].model);
        assert_int_equal(f.stream, rows[i].stream);
        assert_int_equal(f.stored, rows[i].stored);
        assert_int_equal(f.max_tokens, rows[i].max_tokens);
    }
}

static void test_model_span(void **state)
{
    struct slice body = quoted("{'input':'m','model' : 'gpt-6' }");
    struct request_facts f;
    const char *why = "";
    (void)state;
    assert_int_equal(codec_request_scan(DIALECT_RESPONSES, body, &f, &why), OK);
    assert_true(slice_eq(slice_sub(body, f.model_span.from, f.model_span.to), quoted("'gpt-6'")));
}

static void test_scan_refused(void **state)
{
    static const char *const rows[] = {"[]",
                                       "{'model':1}",
                                       "{'model':'a','model':'b'}",
                                       "{'stream':'x'}",
                                       "{'max_output_tokens':'9'}",
                                       "{'input':[}"};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct request_facts f;
        const char *why = "";
        assert_int_equal(codec_request_scan(DIALECT_RESPONSES, quoted(rows[i]), &f, &why),
                         ERR_SYNTAX);
        assert_true(why[0] != '\0');
    }
}

static uint64_t talk(const char *body)
{
    struct request_facts f;
    const char *why = "";
    assert_int_equal(codec_request_scan(DIALECT_RESPONSES, quoted(body), &f, &why), OK);
    return f.conversation;
}

static void test_conversation(void **state)
{
    uint64_t first = talk("{'instructions':'S','input':'Hi'}");
    (void)state;
    assert_true(first != 0);
    /* later turns, other settings, a string become items: the same talk */
    assert_true(first == talk("{'model':'m','input':[{'role':'user','content':[{'type':"
                              "'input_text','text':'Hi'}]},{'type':'function_call','call_id':'c'},"
                              "{'role':'user','content':'more'}],'instructions':'S'}"));
    assert_true(first != talk("{'instructions':'S','input':'Ho'}"));
    assert_true(first != talk("{'instructions':'T','input':'Hi'}"));
    assert_true(first != talk("{'input':'Hi'}"));
    /* a developer's message in front counts, an assistant's does not */
    uint64_t items = talk("{'input':[{'role':'developer','content':'D'},{'role':'user','content':"
                          "'Hi'}]}");
    assert_true(items != talk("{'input':[{'role':'user','content':'Hi'}]}"));
    assert_true(items == talk("{'input':[{'role':'developer','content':'D'},{'role':'assistant',"
                              "'content':'A'},{'role':'user','content':'Hi'}]}"));
    /* a key says it outright; a kept conversation too */
    uint64_t key = talk("{'prompt_cache_key':'k','input':'A'}");
    assert_true(key != 0 && key == talk("{'input':'B','prompt_cache_key':'k','conversation':'c'}"));
    uint64_t kept = talk("{'conversation':'conv_1','input':'A'}");
    assert_true(kept != 0 && kept == talk("{'input':'B','conversation':{'id':'conv_1'}}"));
    assert_true(kept != talk("{'input':'B','conversation':{'id':'conv_2'}}"));
    /* what goes on from an earlier reply begins anew with each turn */
    assert_true(talk("{'previous_response_id':'resp_1','input':'A'}") == 0);
    assert_true(talk("{'previous_response_id':null,'instructions':'S','input':'Hi'}") == first);
    assert_true(talk("{}") == 0);
    assert_true(talk("{'input':7}") == 0);
    assert_true(talk("{'input':[]}") == 0);
}

/* What follows `want` is one id each, separated by blanks. */
static void refs_check(const char *text, const char *want)
{
    struct slice body = quoted(text);
    struct request_facts f;
    struct request_refs r;
    const char *why = "";
    char got[1024] = "";
    size_t n = 0;
    assert_int_equal(codec_request_scan(DIALECT_RESPONSES, body, &f, &why), OK);
    codec_request_refs(DIALECT_RESPONSES, body, &f, &r);
    assert_int_equal(r.thread, f.stored);
    for (int i = 0; i < r.n; i++)
        n += text_format(got + n, sizeof got - n, "%s%s", i > 0 ? " " : "", r.id[i]);
    assert_string_equal(got, want);
}

static void test_refs(void **state)
{
    (void)state;
    refs_check("{'input':'x'}", "");
    refs_check("{'previous_response_id':'resp_1','store':false}", "resp_1");
    refs_check("{'conversation':'conv_1'}", "conv_1");
    refs_check("{'conversation':{'id':'conv_1'},'input':'x'}", "conv_1");
    refs_check(
        "{'input':[{'role':'user','content':[{'type':'input_file','file_id':'file-1'},"
        "{'file_id':'file-2','type':'input_image'},{'type':'input_image','file_id':null}]}]}",
        "file-1 file-2");
    refs_check("{'tools':[{'type':'code_interpreter','container':'cntr_1'}]}", "cntr_1");
    refs_check("{'tools':[{'type':'code_interpreter','container':{'type':'auto','file_ids':["
               "'file-1','file-2']}}]}",
               "file-1 file-2");
    /* tools that come with the input, and tools told twice */
    refs_check("{'input':[{'type':'additional_tools','role':'developer','tools':[{'type':"
               "'code_interpreter','container':'cntr_1'}]}]}",
               "cntr_1");
    refs_check("{'input':[{'type':'tool_search_output','tools':[{'container':'cntr_1','type':"
               "'code_interpreter'}]}]}",
               "cntr_1");
    refs_check("{'tools':[{'type':'code_interpreter','container':'cntr_1'}],'tools':[]}", "cntr_1");
    /* history, and words that only look like it */
    refs_check("{'input':[{'type':'code_interpreter_call','container_id':'cntr_9'}],'tools':[{"
               "'type':'function','parameters':{'properties':{'file_id':{'type':'string'}}}}]}",
               "");
    refs_check("{'input':'\\'file_id\\':'}", "");
}

/* ---- replies --------------------------------------------------------------------------------- */

static void test_container(void **state)
{
    struct slice json = quoted("{'object':'response','status':'completed','output':[{'type':"
                               "'code_interpreter_call','code':'\\'container_id\\'',"
                               "'container_id':'cntr_68'}]}");
    struct observer *o = observer_new(DIALECT_RESPONSES, REPLY_JSON);
    (void)state;
    (void)observer_feed(o, json);
    observer_end(o);
    assert_string_equal(reply_words(observer_see(o))->container, "cntr_68");
    observer_free(o);
}

/* The last event brings the tools of the request once more, and all of the reply. */
static void reply_of(size_t n, struct buf *out)
{
    assert_int_equal(buf_puts(out, S("event: response.completed\ndata: {\"type\":"
                                     "\"response.completed\",\"response\":{\"id\":\"resp_1\","
                                     "\"status\":\"completed\",\"error\":null,\"output\":[\"")),
                     OK);
    while (out->len < n)
        assert_int_equal(buf_puts(out, S("some words of some length, and then more ")), OK);
    assert_int_equal(
        buf_puts(out, S("\"],\"usage\":{\"input_tokens\":7,\"output_tokens\":3}}}\n\n")), OK);
}

static void test_long_reply(void **state)
{
    static const struct {
        size_t n;
        bool kept;
    } rows[] = {{1000, true}, {(size_t)7 << 20, true}, {(size_t)9 << 20, false}};
    struct buf b;
    (void)state;
    buf_init(&b, BIG);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct observer *o = observer_new(DIALECT_RESPONSES, REPLY_SSE);
        const struct observation *seen = observer_see(o);
        buf_clear(&b);
        reply_of(rows[i].n, &b);
        for (size_t at = 0; at < b.len; at += 65536)
            (void)observer_feed(
                o, slice_sub(buf_slice(&b), at, at + 65536 < b.len ? at + 65536 : b.len));
        assert_true(seen->terminal && seen->meaningful); /* whatever was kept of it */
        assert_int_equal(seen->blind, !rows[i].kept);
        assert_int_equal(seen->usage.input, rows[i].kept ? 7 : 0);
        observer_free(o);
    }
    buf_free(&b);
}

static void test_error_read(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum reply_error error;
        const char *type;
    } rows[] = {
        {429, "{'error':{'code':'rate_limit_exceeded','message':'x'}}", REPLY_ERROR_RATE_LIMIT,
         "rate_limit_exceeded"},
        {429, "{'error':{'type':'insufficient_quota'}}", REPLY_ERROR_BILLING, "insufficient_quota"},
        {429, "{'error':{'type':'usage_limit_reached','resets_at':1790000000}}",
         REPLY_ERROR_RATE_LIMIT, "usage_limit_reached"},
        {400, "{'error':{'message':'No such file','code':'previous_response_not_found'}}",
         REPLY_ERROR_CLIENT, "previous_response_not_found"},
        {401, "", REPLY_ERROR_AUTH, ""},
        {500, "<html>", REPLY_ERROR_SERVER, ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct reply_words words = {0};
        struct observation o = {.words = &words};
        codec_error_read(DIALECT_RESPONSES, rows[i].status, quoted(rows[i].body), &o);
        assert_int_equal(o.error, rows[i].error);
        assert_string_equal(reply_words(&o)->error_type, rows[i].type);
    }
}

static void test_own_words(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 4096);
    assert_int_equal(codec_error_body(DIALECT_RESPONSES, 429, S("Wait"), S("r"), &b), OK);
    assert_true(slice_eq(buf_slice(&b), quoted("{'error':{'message':'Wait','type':"
                                               "'rate_limit_exceeded','param':null,'code':"
                                               "'rate_limit_exceeded'}}")));
    buf_clear(&b);
    assert_int_equal(codec_error_event(DIALECT_RESPONSES, 502, S("Gone"), S("r"), &b), OK);
    assert_true(
        slice_eq(buf_slice(&b), quoted("event: error\ndata: {'type':'error','code':'server_error',"
                                       "'message':'Gone','param':null,'sequence_number':0}\n\n")));
    /* and it is read as one */
    struct observer *o = observer_new(DIALECT_RESPONSES, REPLY_SSE);
    assert_int_equal(observer_feed(o, buf_slice(&b)), b.len);
    assert_int_equal(observer_see(o)->error, REPLY_ERROR_SERVER);
    assert_string_equal(reply_words(observer_see(o))->error_message, "Gone");
    observer_free(o);
    assert_true(slice_eq(codec_ping(DIALECT_RESPONSES), S(": ping\n\n")));
    struct usage_wish w;
    assert_false(codec_usage_wish(DIALECT_RESPONSES, quoted("{'stream':true}"), &w));
    buf_free(&b);
}

/* ---- servers that do it their own way -------------------------------------------------------- */

static void test_servers(void **state)
{
    static const struct {
        const char *what, *events, *want;
        enum err e;
    } rows[] = {
        {"no items, no places: one message",
         "{'type':'response.output_text.delta','delta':'a'}\n"
         "{'type':'response.output_text.delta','delta':'b'}\n"
         "{'type':'response.completed','response':{'id':'r','status':'completed'}}",
         " start; open text; delta text :a; delta text :b; close text; stop end; end;", OK},
        {"ids but no places",
         "{'type':'response.output_item.added','item':{'type':'function_call','id':'i1','call_id':"
         "'c1','name':'f'}}\n"
         "{'type':'response.output_item.added','item':{'type':'function_call','id':'i2','call_id':"
         "'c2','name':'g'}}\n"
         "{'type':'response.function_call_arguments.delta','item_id':'i2','delta':'{}'}\n"
         "{'type':'response.function_call_arguments.delta','item_id':'i1','delta':'[]'}\n"
         "{'type':'response.completed','response':{'output':[{'type':'function_call','id':'i1',"
         "'arguments':'[]'},{'type':'function_call','id':'i2','arguments':'{}'}]}}",
         " start; open call id=c1 name=f; delta call :[]; close call; open call id=c2 name=g; "
         "delta "
         "call :{}; close call; stop calls; end;",
         OK},
        {"arguments before the name",
         "{'type':'response.function_call_arguments.delta','output_index':0,'delta':'{'}\n"
         "{'type':'response.function_call_arguments.delta','output_index':0,'delta':'}'}\n"
         "{'type':'response.output_item.done','output_index':0,'item':{'type':'function_call',"
         "'call_id':'c 1','name':'f','arguments':'{}'}}\n"
         "{'type':'response.completed','response':{}}",
         " start; open call id=c_1 name=f; delta call :{}; close call; stop calls; end;", OK},
        {"arguments for no tool",
         "{'type':'response.function_call_arguments.delta','output_index':0,'delta':'{}'}\n"
         "{'type':'response.completed','response':{}}",
         " start;", ERR_SYNTAX},
        {"everything twice",
         "{'type':'response.output_text.delta','output_index':0,'content_index':0,'delta':'a'}\n"
         "{'type':'response.output_item.done','output_index':0,'item':{'type':'message','content':"
         "[{'type':'output_text','text':'a'}]}}\n"
         "{'type':'response.output_item.done','output_index':0,'item':{'type':'message','content':"
         "[{'type':'output_text','text':'a'}]}}\n"
         "{'type':'response.output_text.delta','output_index':0,'content_index':0,'delta':'a'}\n"
         "{'type':'response.completed','response':{'output':[{'type':'message','content':[{'type':"
         "'output_text','text':'a'}]}]}}",
         " start; open text; delta text :a; close text; stop end; end;", OK},
        {"text behind a refusal in one message",
         "{'type':'response.refusal.delta','output_index':0,'content_index':0,'delta':'no'}\n"
         "{'type':'response.output_text.delta','output_index':0,'content_index':1,'delta':'a'}\n"
         "{'type':'response.completed','response':{}}",
         " start; open refusal; delta refusal :no; close refusal; open text; delta text :a; close "
         "text; stop refusal; end;",
         OK},
        {"incomplete without a reason",
         "{'type':'response.incomplete','response':{'status':'incomplete'}}",
         " start; stop length; end;", OK},
        {"an image",
         "{'type':'response.output_item.done','output_index':0,'item':{'type':"
         "'image_generation_call','result':'aGk=','output_format':'webp'}}\n"
         "{'type':'response.completed','response':{}}",
         " start; open image name=image/webp; delta image :aGk=; close image; stop end; end;", OK},
        {"completed, but failed",
         "{'type':'response.completed','response':{'status':'failed','error':{'code':"
         "'server_error','message':'x'}}}",
         " error 500 server_error :x;", OK},
        {"only a goodbye", "[DONE]", "", ERR_SYNTAX},
        {"a goodbye behind words", "{'type':'response.output_text.delta','delta':'a'}\n[DONE]",
         " start; open text; delta text :a; close text; stop end; end;", OK},
        {"a delta that is no text", "{'type':'response.output_text.delta','delta':{}}", "",
         ERR_SYNTAX},
        {"probabilities that are no JSON",
         "{'type':'response.output_text.delta','delta':'a','logprobs':['x':]}",
         " start; open text; delta text :a;", ERR_SYNTAX},
        {"one item of two kinds",
         "{'type':'response.output_text.delta','output_index':0,'delta':'a'}\n"
         "{'type':'response.function_call_arguments.delta','output_index':0,'delta':'a'}",
         " start; open text; delta text :a;", ERR_SYNTAX},
        {"an end without a response", "{'type':'response.completed'}", "", ERR_SYNTAX},
        {"news of tools that nobody knows",
         "{'type':'response.web_search_call.searching','output_index':0}\n"
         "{'type':'response.output_item.done','output_index':0,'item':{'type':'web_search_call'}}\n"
         "{'type':'response.completed','response':{}}",
         " start; stop end; end;", OK},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct said said;
        enum err e = said_read(&said, DIALECT_RESPONSES, rows[i].events, false);
        if (e != rows[i].e || strcmp(said.text, rows[i].want) != 0)
            fail_msg("%s: %s\n%s\n--- expected:\n%s", rows[i].what, err_name(e), said.text,
                     rows[i].want);
    }
}

static void test_wholes(void **state)
{
    static const struct {
        const char *body, *want;
        enum err e;
    } rows[] = {
        {"{'id':'resp_1','model':'m','status':'completed','error':null,'output':[]}",
         " start id=resp_1 model=m; stop end; end;", OK},
        {"{'status':'queued'}", "", ERR_SYNTAX},
        {"{}", "", ERR_SYNTAX},
        {"[]", "", ERR_SYNTAX},
        {"<html>", "", ERR_SYNTAX},
        {"{'error':'busy'}", " error 500 server_error :busy;", OK},
        {"{'output':[7,{'type':'message','content':7},{'type':'reasoning'}]}",
         " start; stop end; end;", OK},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct said said;
        enum err e = said_read(&said, DIALECT_RESPONSES, rows[i].body, true);
        if (e != rows[i].e || strcmp(said.text, rows[i].want) != 0)
            fail_msg("%zu: %s\n%s", i, err_name(e), said.text);
    }
}

/* More than any reply has is refused, and costs what it costs. */
static void test_bounds(void **state)
{
    struct say_context c = {.model = S("m"), .id = S("x")};
    struct say_reader *r = canon_responses.reader_new(&c);
    struct said said = {.n = 0};
    enum err e = OK;
    int i = 0;
    (void)state;
    for (; e == OK && i < 10000; i++) {
        char event[256];
        size_t n = text_format(event, sizeof event,
                               "{\"output_index\":%d,\"item\":{\"type\":\"function_call\","
                               "\"call_id\":\"c%d\",\"name\":\"f\"}}",
                               i, i);
        said.n = 0;
        e = canon_responses.read(r, S("response.output_item.added"), (struct slice){event, n},
                                 false, said_say, &said);
    }
    assert_int_equal(e, ERR_LIMIT);
    assert_true(i > 1000);
    canon_responses.reader_free(r);
}

/* ---- what goes out --------------------------------------------------------------------------- */

static struct say_writer *writer(bool whole)
{
    struct say_context c = {.model = S("m"), .id = S("x7"), .created = 1790000000};
    return canon_responses.writer_new(&c, whole);
}

static void tell(struct say_writer *w, const struct say *s, struct buf *out)
{
    assert_int_equal(canon_responses.write(w, s, out), OK);
}

/* An error while a text is open: clients keep what there is of it. */
static void test_broken_text(void **state)
{
    struct say_writer *w = writer(false);
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 16);
    tell(w, &(struct say){.kind = SAY_START}, &b);
    tell(w, &(struct say){.kind = SAY_OPEN, .what = BLOCK_TEXT}, &b);
    tell(w, &(struct say){.kind = SAY_DELTA, .what = BLOCK_TEXT, .text = S("Hel")}, &b);
    tell(w, &(struct say){.kind = SAY_ERROR, .status = 529, .text = S("Busy")}, &b);
    size_t n = b.len;
    tell(w, &(struct say){.kind = SAY_ERROR, .status = 500, .text = S("again")}, &b);
    assert_int_equal(b.len, n);
    assert_true(slice_search(buf_slice(&b), quoted("'status':'incomplete'")) > 0);
    assert_true(slice_search(buf_slice(&b), quoted("'text':'Hel'")) > 0);
    assert_true(slice_search(buf_slice(&b), quoted("'error':{'code':'server_error','message':"
                                                   "'Busy'}")) > 0);
    assert_true(slice_search(buf_slice(&b), S("response.completed")) < 0);
    canon_responses.writer_free(w);
    buf_free(&b);
}

/* An error before anything else: clients want a response to begin before it fails. */
static void test_error_first(void **state)
{
    struct say_writer *w = writer(false);
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 16);
    tell(w, &(struct say){.kind = SAY_ERROR, .status = 400, .text = S("prompt is too long: 9 > 8")},
         &b);
    assert_true(slice_starts(buf_slice(&b), S("event: response.created\n")));
    assert_true(slice_search(buf_slice(&b), quoted("'code':'context_length_exceeded'")) > 0);
    canon_responses.writer_free(w);
    w = writer(true);
    buf_clear(&b);
    tell(w, &(struct say){.kind = SAY_ERROR, .status = 529, .text = S("Busy")}, &b);
    assert_true(slice_eq(buf_slice(&b), quoted("{'error':{'message':'Busy','type':'server_error',"
                                               "'param':null,'code':null}}")));
    canon_responses.writer_free(w);
    buf_free(&b);
}

/* The wrong letters in an exchange's id do not get into those of items. */
static void test_ids(void **state)
{
    struct say_context c = {.model = S(""), .id = S("a\"b\\c")};
    struct say_writer *w = canon_responses.writer_new(&c, true);
    struct json *doc = NULL;
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 16);
    tell(w, &(struct say){.kind = SAY_START, .id = S("msg_1"), .model = S("theirs")}, &b);
    tell(w, &(struct say){.kind = SAY_OPEN, .what = BLOCK_CALL, .id = S("t"), .name = S("f")}, &b);
    tell(w, &(struct say){.kind = SAY_CLOSE, .what = BLOCK_CALL}, &b);
    tell(w, &(struct say){.kind = SAY_STOP, .stop = STOP_CALLS}, &b);
    tell(w, &(struct say){.kind = SAY_END}, &b);
    assert_int_equal(json_parse(buf_slice(&b), &doc), OK);
    const struct json_val *root = json_root(doc), *call = json_at(json_get(root, "output"), 0);
    assert_true(slice_eq(json_get_str(root, "id"), S("resp_a_b_c")));
    assert_true(slice_eq(json_get_str(root, "model"), S("theirs")));
    assert_true(slice_eq(json_get_str(call, "id"), S("fc_a_b_c_0")));
    assert_true(slice_eq(json_get_str(call, "arguments"), S("{}")));
    assert_int_equal(json_type(json_get(root, "usage")), JSON_NULL);
    json_free(doc);
    canon_responses.writer_free(w);
    buf_free(&b);
}

/* Signatures go home, and only home: there and back they are what they were. */
static void test_signatures(void **state)
{
    static const struct {
        const char *said, *written;
    } rows[] = {{"openai#gAAAA_-=", "'encrypted_content':'gAAAA_-='"},
                {"c2ln", "'encrypted_content':'signature#c2ln'"},
                {"gemini#c2ln", "'encrypted_content':'signature#gemini#c2ln'"}};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct say_writer *w = writer(true);
        struct said said;
        struct buf b;
        char want[64];
        buf_init(&b, 1 << 16);
        tell(w, &(struct say){.kind = SAY_OPEN, .what = BLOCK_THINKING}, &b);
        tell(
            w,
            &(struct say){.kind = SAY_SIGN, .what = BLOCK_THINKING, .text = slice_of(rows[i].said)},
            &b);
        tell(w, &(struct say){.kind = SAY_CLOSE, .what = BLOCK_THINKING}, &b);
        tell(w, &(struct say){.kind = SAY_END}, &b);
        assert_true(slice_search(buf_slice(&b), quoted(rows[i].written)) > 0);
        assert_int_equal(buf_append(&b, "", 1), OK);
        assert_int_equal(said_read(&said, DIALECT_RESPONSES, b.p, true), OK);
        (void)text_format(want, sizeof want, "sign :%s;", rows[i].said);
        assert_non_null(strstr(said.text, want));
        canon_responses.writer_free(w);
        buf_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts),        cmocka_unit_test(test_model_span),
        cmocka_unit_test(test_scan_refused), cmocka_unit_test(test_conversation),
        cmocka_unit_test(test_refs),         cmocka_unit_test(test_container),
        cmocka_unit_test(test_long_reply),   cmocka_unit_test(test_error_read),
        cmocka_unit_test(test_own_words),    cmocka_unit_test(test_servers),
        cmocka_unit_test(test_wholes),       cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_broken_text),  cmocka_unit_test(test_error_first),
        cmocka_unit_test(test_ids),          cmocka_unit_test(test_signatures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
