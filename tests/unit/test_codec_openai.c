/* links: base http codec */
/* The OpenAI dialect passed through: what is read in requests and errors, what the gateway says
 * itself, usage asked for in a client's place, model lists. In the tables a ' stands for a ". */
#include "codec/codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* A copy in one of some rooms that are used in turn. */
static struct slice quoted(const char *text)
{
    static char room[8][2048];
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
        bool stream;
        int64_t max_tokens;
    } rows[] = {
        {"{}", "", false, -1},
        {"{'model':'gpt-6-sol','stream':true,'max_tokens':9}", "gpt-6-sol", true, 9},
        {"{'max_tokens':9,'max_completion_tokens':7}", "", false, 7},
        {"{'max_completion_tokens':7,'max_tokens':9}", "", false, 7},
        {"{'max_completion_tokens':null,'max_tokens':9}", "", false, 9},
        {"{'messages':[{'model':'x','stream':true}]}", "", false, -1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct request_facts f;
        const char *why = "";
        assert_int_equal(codec_request_scan(DIALECT_OPENAI, quoted(rows[i].body), &f, &why), OK);
        assert_string_equal(f.model, rows[i].model);
        assert_int_equal(f.stream, rows[i].stream);
        assert_int_equal(f.max_tokens, rows[i].max_tokens);
    }
}

static void test_refused(void **state)
{
    static const char *const rows[] = {"[]",
                                       "{'model':1}",
                                       "{'stream':'x'}",
                                       "{'max_tokens':'9'}",
                                       "{'max_completion_tokens':'9'}",
                                       "{'model':'m'"};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct request_facts f;
        const char *why = "";
        assert_int_equal(codec_request_scan(DIALECT_OPENAI, quoted(rows[i]), &f, &why), ERR_SYNTAX);
        assert_true(why[0] != '\0');
    }
}

static uint64_t talk(const char *body)
{
    struct request_facts f;
    const char *why = "";
    assert_int_equal(codec_request_scan(DIALECT_OPENAI, quoted(body), &f, &why), OK);
    return f.conversation;
}

static void test_conversation(void **state)
{
    uint64_t first = talk("{'messages':[{'role':'system','content':'S'},{'role':'user','content':"
                          "'Hi'}]}");
    (void)state;
    assert_true(first != 0);
    /* later turns, other settings, parts for strings: the same talk */
    assert_true(first == talk("{'model':'m','messages':[{'content':'S','role':'developer'},{'role':"
                              "'user','content':[{'type':'text','text':'Hi'}]},{'role':'assistant',"
                              "'content':'x'},{'role':'user','content':'more'}]}"));
    assert_true(first != talk("{'messages':[{'role':'system','content':'S'},{'role':'user',"
                              "'content':'Ho'}]}"));
    assert_true(first != talk("{'messages':[{'role':'system','content':'T'},{'role':'user',"
                              "'content':'Hi'}]}"));
    /* a key says it outright, whatever the messages */
    uint64_t key = talk("{'prompt_cache_key':'k','messages':[{'role':'user','content':'A'}]}");
    assert_true(key != 0 && key == talk("{'messages':[],'prompt_cache_key':'k'}"));
    assert_true(key != talk("{'messages':[],'prompt_cache_key':'l'}"));
    assert_true(talk("{'messages':[]}") == 0);
    assert_true(talk("{'user':'u'}") == 0); /* a person has many talks */
    assert_true(talk("{'messages':[{'role':'assistant','content':'A'}]}") == 0);
    assert_true(talk("{'prompt_cache_key':'','messages':7}") == 0);
}

/* ---- errors ---------------------------------------------------------------------------------- */

static void test_error_read(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum reply_error error;
        const char *type;
    } rows[] = {
        {429, "{'error':{'type':'requests','code':'rate_limit_exceeded','message':'x'}}",
         REPLY_ERROR_RATE_LIMIT, "rate_limit_exceeded"},
        {429, "{'error':{'type':'insufficient_quota','code':'insufficient_quota'}}",
         REPLY_ERROR_BILLING, "insufficient_quota"},
        {400, "{'error':{'type':'invalid_request_error','code':'context_length_exceeded'}}",
         REPLY_ERROR_CLIENT, "context_length_exceeded"},
        {400,
         "{'error':{'message':'This endpoint\\u0027s maximum context length is 8 tokens',"
         "'code':400}}",
         REPLY_ERROR_CLIENT, "context_length_exceeded"},
        {401, "{'error':{'type':'invalid_request_error','code':null}}", REPLY_ERROR_AUTH,
         "invalid_request_error"},
        {404, "{'error':{'type':'invalid_request_error','code':'model_not_found'}}",
         REPLY_ERROR_CLIENT, "model_not_found"},
        {500, "{'error':{'type':'server_error'}}", REPLY_ERROR_SERVER, "server_error"},
        {503, "{'error':{'message':'overloaded'}}", REPLY_ERROR_OVERLOADED, ""},
        {503, "<html>", REPLY_ERROR_OVERLOADED, ""},
        {502, "", REPLY_ERROR_SERVER, ""},
        {408, "{}", REPLY_ERROR_SERVER, ""},
        {498, "{'error':{'code':'capacity_exceeded'}}", REPLY_ERROR_OVERLOADED,
         "capacity_exceeded"},
        {403, "{'error':{'code':403,'message':'flagged','metadata':{'reasons':['x']}}}",
         REPLY_ERROR_CLIENT, "403"},
        {403, "{'error':{'code':403,'message':'no'}}", REPLY_ERROR_AUTH, "403"},
        {402,
         "{'error':{'message':'Insufficient Balance','type':'unknown_error','code':"
         "'invalid_request_error'}}",
         REPLY_ERROR_BILLING, "invalid_request_error"},
        {429, "{'error':{'message':'x','type':'exceeded_current_quota_error'}}",
         REPLY_ERROR_BILLING, "exceeded_current_quota_error"},
        {429, "{'error':{'message':'x','type':'engine_overloaded_error'}}", REPLY_ERROR_OVERLOADED,
         "engine_overloaded_error"},
        {429, "{'code':'Throttling.RateQuota','message':'x'}", REPLY_ERROR_RATE_LIMIT,
         "Throttling.RateQuota"},
        {400,
         "[{'error':{'code':400,'status':'INVALID_ARGUMENT','message':'x','details':[{"
         "'reason':'API_KEY_INVALID'}]}}]",
         REPLY_ERROR_AUTH, "INVALID_ARGUMENT"},
        {429, "[{'error':{'code':429,'status':'RESOURCE_EXHAUSTED','message':'x'}}]",
         REPLY_ERROR_RATE_LIMIT, "RESOURCE_EXHAUSTED"},
        {429,
         "{'object':'error','message':'x','type':'service_tier_capacity_exceeded','code':"
         "'3505'}",
         REPLY_ERROR_RATE_LIMIT, "service_tier_capacity_exceeded"},
        {422, "{'detail':[{'loc':['body'],'msg':'field required'}]}", REPLY_ERROR_CLIENT, ""},
        {500, "{'base_resp':{'status_code':1002,'status_msg':'x'}}", REPLY_ERROR_RATE_LIMIT,
         "1002"},
        {404, "{'error':'model not found'}", REPLY_ERROR_CLIENT, ""},
        {400, "null", REPLY_ERROR_CLIENT, ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct reply_words words = {0};
        struct observation o = {.words = &words};
        codec_error_read(DIALECT_OPENAI, rows[i].status, quoted(rows[i].body), &o);
        if (o.error != rows[i].error || strcmp(reply_words(&o)->error_type, rows[i].type) != 0)
            fail_msg("%s: %d %s", rows[i].body, (int)o.error, reply_words(&o)->error_type);
    }
}

static void test_error_text(void **state)
{
    static const struct {
        const char *body, *message;
    } rows[] = {
        {"{'detail':'Not Found'}", "Not Found"},
        {"{'detail':[{'msg':'field required'}]}", "field required"},
        {"{'detail':{'message':'m'}}", "m"},
        {"{'error':'text'}", "text"},
        {"{'message':'bare'}", "bare"},
        {"{'error':{'message':'Provider returned error','metadata':{'raw':'why'}}}",
         "Provider returned error: why"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct reply_words words = {0};
        struct observation o = {.words = &words};
        codec_error_read(DIALECT_OPENAI, 400, quoted(rows[i].body), &o);
        assert_string_equal(reply_words(&o)->error_message, rows[i].message);
    }
}

static void test_error_print(void **state)
{
    static const struct {
        int status;
        const char *type, *code, *message;
    } rows[] = {
        {400, "invalid_request_error", "null", "x"},
        {400, "invalid_request_error", "'context_length_exceeded'", "prompt is too long: 9 > 8"},
        {401, "invalid_request_error", "'invalid_api_key'", "x"},
        {402, "insufficient_quota", "'insufficient_quota'", "x"},
        {429, "rate_limit_exceeded", "'rate_limit_exceeded'", "x"},
        {529, "server_error", "null", "x"},
    };
    struct buf b;
    char want[256];
    (void)state;
    buf_init(&b, 4096);
    for (size_t i = 0; i < COUNT(rows); i++) {
        (void)text_format(want, sizeof want,
                          "{'error':{'message':'%s','type':'%s','param':null,'code':%s}}",
                          rows[i].message, rows[i].type, rows[i].code);
        struct slice body = quoted(want);
        buf_clear(&b);
        assert_int_equal(codec_error_body(DIALECT_OPENAI, rows[i].status, slice_of(rows[i].message),
                                          S("req_1"), &b),
                         OK);
        assert_true(slice_eq(buf_slice(&b), body));
        buf_clear(&b);
        assert_int_equal(codec_error_event(DIALECT_OPENAI, rows[i].status,
                                           slice_of(rows[i].message), S("req_1"), &b),
                         OK);
        assert_true(slice_starts(buf_slice(&b), S("data: {\"error\"")));
        assert_true(slice_ends(buf_slice(&b), S("}}\n\n")));
    }
    assert_true(slice_eq(codec_ping(DIALECT_OPENAI), S(": ping\n\n")));
    buf_free(&b);
}

/* ---- usage in a client's place --------------------------------------------------------------- */

static void test_usage_wish(void **state)
{
    static const struct {
        const char *body, *made; /* NULL: nothing to do */
    } rows[] = {
        {"{'stream':true}", "{'stream_options':{'include_usage':true},'stream':true}"},
        {" { 'model':'m','stream':true}",
         " {'stream_options':{'include_usage':true}, 'model':'m','stream':true}"},
        {"{'stream':true,'stream_options':{}}",
         "{'stream':true,'stream_options':{'include_usage':true}}"},
        {"{'stream':true,'stream_options':{'include_obfuscation':false}}",
         "{'stream':true,'stream_options':{'include_usage':true,'include_obfuscation':false}}"},
        {"{'stream_options':{'include_usage':false,'x':1},'stream':true}",
         "{'stream_options':{'include_usage':true,'x':1},'stream':true}"},
        {"{'stream_options':{'include_usage':null},'stream':true}",
         "{'stream_options':{'include_usage':true},'stream':true}"},
        {"{'stream_options':null,'stream':true}",
         "{'stream_options':{'include_usage':true},'stream':true}"},
        {"{'messages':[{'stream_options':{'include_usage':true}}],'stream':true}",
         "{'stream_options':{'include_usage':true},'messages':[{'stream_options':"
         "{'include_usage':true}}],'stream':true}"},
        {"{'stream_options':{'include_usage':true},'stream':true}", NULL},
        {"{'stream':false}", NULL},
        {"{'stream':false,'stream_options':null}", NULL},
        {"{}", NULL},
        {"{'stream':true", NULL},
        {"{'stream':true,'stream_options':7}", NULL},
        {"", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct usage_wish w;
        char made[512];
        struct slice body = quoted(rows[i].body);
        bool wanted = codec_usage_wish(DIALECT_OPENAI, body, &w);
        assert_int_equal(wanted, rows[i].made != NULL);
        assert_false(codec_usage_wish(DIALECT_ANTHROPIC, body, &w));
        if (!wanted)
            continue;
        (void)codec_usage_wish(DIALECT_OPENAI, body, &w);
        (void)text_format(made, sizeof made, "%.*s%.*s%s", (int)w.cut.from, body.p, (int)w.put.n,
                          w.put.p, body.p + w.cut.to);
        struct slice want = quoted(rows[i].made);
        assert_true(slice_eq(slice_of(made), want));
        assert_false(codec_usage_wish(DIALECT_OPENAI, slice_of(made), &w)); /* once is enough */
    }
}

#define TEXT  "data: {'choices':[{'delta':{'content':'x'}}],'usage':null}\n\n"
#define USAGE "data: {'choices': [ ],'usage':{'prompt_tokens':1}}\n\n"
#define DONE  "data: [DONE]\n\n"

static void test_usage_event(void **state)
{
    static const struct {
        const char *before, *event, *behind;
    } rows[] = {
        {"", USAGE, ""},
        {TEXT, USAGE, DONE},
        {TEXT ": ping\n\n", USAGE, ""},
        {TEXT DONE, "", ""},
        {"data: {'choices':[{'delta':{}}],'usage':{'prompt_tokens':1}}\n\n", "", ""}, /* Mistral */
        {"data: {'choices':[],'prompt_filter_results':[],'usage':null}\n\n", "", ""}, /* Azure */
        {"data: {'choices':[{'delta':{'content':'\\'usage\\''}}]}\n\n", "", ""},
        {"data: {'choices':[],\ndata: 'usage':{}}\n\n", "", ""},
        {"data: 'usage'\n\n", "", ""},
        {"", "", ""},
    };
    static const char *const ends[] = {"\n", "\r\n", "\r"};
    (void)state;
    for (size_t i = 0; i < COUNT(rows) * COUNT(ends); i++) {
        char all[1024], text[1024];
        size_t n = 0, k = i / COUNT(ends), marks[3] = {0};
        const char *const pieces[] = {rows[k].before, rows[k].event, rows[k].behind};
        for (size_t p = 0; p < 3; p++) {
            struct slice piece = quoted(pieces[p]);
            for (size_t at = 0; at < piece.n; at++)
                n += text_format(all + n, sizeof all - n, "%.*s", 3,
                                 piece.p[at] == '\n'
                                     ? ends[i % COUNT(ends)]
                                     : (text[0] = piece.p[at], text[1] = '\0', text));
            marks[p] = n;
        }
        struct span where = {0, 0};
        bool found = codec_usage_event(DIALECT_OPENAI, (struct slice){all, n}, &where);
        assert_int_equal(found, rows[k].event[0] != '\0');
        if (found) {
            assert_int_equal(where.from, marks[0]);
            assert_int_equal(where.to, marks[1]);
        }
    }
}

/* ---- model lists ----------------------------------------------------------------------------- */

#define ANTHROPIC_LIST                                                                           \
    "{'data':[{'type':'model','id':'claude-opus-5','display_name':'Claude Opus 5','created_at':" \
    "'2026-08-01T00:00:00Z'}],'has_more':false}"
#define OPENAI_LIST                                                                                \
    "{'object':'list','data':[{'id':'gpt-6-sol','object':'model','created':1790000000,'owned_by':" \
    "'openai','extra':1},{'id':'claude-opus-5','object':'model','created':1,'owned_by':'x'}]}"
#define OPENROUTER_LIST \
    "{'data':[{'id':'vendor/m','name':'Vendor: M','created':1780000000,'context_length':9}]}"

static void test_models(void **state)
{
    struct slice bodies[4] = {quoted(ANTHROPIC_LIST), quoted(OPENAI_LIST), quoted(OPENROUTER_LIST),
                              S("<html>")};
    struct model_page page = {0};
    struct buf b;
    (void)state;
    buf_init(&b, 1 << 16);
    assert_int_equal(codec_models_list(bodies, 4, &b), OK);
    struct slice want = quoted(
        "{'object':'list','data':[{'id':'gpt-6-sol','object':'model','created':1790000000,"
        "'owned_by':'openai','extra':1},{'id':'claude-opus-5','object':'model','created':"
        "1785542400,'owned_by':'anthropic'},{'id':'vendor/m','object':'model','created':1780000000,"
        "'owned_by':'vendor'}]}");
    if (!slice_eq(buf_slice(&b), want))
        fail_msg("%.*s", (int)b.len, b.p);
    buf_clear(&b);
    assert_int_equal(codec_models_merge(bodies, 4, &page, &b), OK);
    want = quoted("{'data':[{'type':'model','id':'gpt-6-sol','display_name':'gpt-6-sol',"
                  "'created_at':'2026-09-21T14:13:20.000Z'},{'type':'model','id':'claude-opus-5',"
                  "'display_name':'Claude Opus 5','created_at':'2026-08-01T00:00:00Z'},{'type':"
                  "'model','id':'vendor/m','display_name':'Vendor: M','created_at':"
                  "'2026-05-28T20:26:40.000Z'}],'first_id':'gpt-6-sol','last_id':'vendor/m',"
                  "'has_more':false}");
    if (!slice_eq(buf_slice(&b), want))
        fail_msg("%.*s", (int)b.len, b.p);
    buf_clear(&b);
    assert_int_equal(codec_models_list(bodies, 0, &b), OK);
    assert_true(slice_eq(buf_slice(&b), S("{\"object\":\"list\",\"data\":[]}")));
    /* lists of Gemini's and Ollama's: the name is the id */
    bodies[0] = quoted("{'models':[{'name':'models/gemini-3-pro','displayName':'Gemini 3 Pro',"
                       "'supportedGenerationMethods':['generateContent','countTokens']},"
                       "{'name':'models/embed','supportedGenerationMethods':['embedContent']},"
                       "{'name':7},{'name':'models/'}]}");
    bodies[1] = quoted("{'models':[{'name':'qwen3:8b','model':'qwen3:8b','modified_at':"
                       "'2026-09-21T14:13:20Z','size':5}]}");
    buf_clear(&b);
    assert_int_equal(codec_models_list(bodies, 2, &b), OK);
    want = quoted("{'object':'list','data':[{'id':'qwen3:8b','object':'model','created':1790000000,"
                  "'owned_by':'system'},{'id':'gemini-3-pro','object':'model','created':0,"
                  "'owned_by':'system'}]}");
    if (!slice_eq(buf_slice(&b), want))
        fail_msg("%.*s", (int)b.len, b.p);
    buf_clear(&b);
    assert_int_equal(codec_models_merge(bodies, 2, &page, &b), OK);
    assert_true(slice_search(buf_slice(&b), S("\"id\":\"gemini-3-pro\",\"display_name\":"
                                              "\"Gemini 3 Pro\"")) > 0);
    assert_true(slice_search(buf_slice(&b), S("\"id\":\"qwen3:8b\",\"display_name\":"
                                              "\"qwen3:8b\"")) > 0);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts),        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_conversation), cmocka_unit_test(test_error_read),
        cmocka_unit_test(test_error_text),   cmocka_unit_test(test_error_print),
        cmocka_unit_test(test_usage_wish),   cmocka_unit_test(test_usage_event),
        cmocka_unit_test(test_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
