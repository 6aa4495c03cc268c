/* links: base http codec */
/* Replies in the OpenAI dialect as its many servers write them: what is heard in them, and what is
 * written of them. */
#include "codec_said.h"

#include "codec/openai.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define COUNT(a)       (sizeof(a) / sizeof((a)[0]))

/* ---- reading --------------------------------------------------------------------------------- */

/* One chunk, its delta given, and a call in it. */
#define C(delta)       "{'id':'c1','model':'g','choices':[{'index':0,'delta':" delta "}]}\n"
#define F(word)        "{'id':'c1','choices':[{'index':0,'delta':{},'finish_reason':'" word "'}]}\n"
#define CALL(fragment) C("{'tool_calls':[" fragment "]}")
#define HEAD(i, id, name) \
    "{'index':" i ",'id':'" id "','function':{'name':'" name "','arguments':''}}"
#define ARGS(i, text) "{'index':" i ",'function':{'arguments':'" text "'}}"
#define DONE          "[DONE]\n"
#define START         " start id=c1 model=g;"

struct row {
    const char *what, *events, *said;
    enum err e;
};

static void check(const struct row *row, bool whole)
{
    struct said t;
    enum err e = said_read(&t, DIALECT_OPENAI, row->events, whole);
    if (e != row->e || strcmp(t.text, row->said) != 0)
        fail_msg("%s: %s\n%s\n--- expected: %s\n%s", row->what, err_name(e), t.text,
                 err_name(row->e), row->said);
}

static const struct row texts[] = {
    {"by the book",
     C("{'role':'assistant','content':''}") C("{'content':'Hi'}")
         F("stop") "{'choices':[],'usage':{'prompt_tokens':30,'completion_tokens':9,"
                   "'prompt_tokens_details':{'cached_tokens':20}}}\n" DONE,
     START " open text; delta text :Hi; close text; stop end 10+9; end;", OK},
    {"no [DONE]", C("{'content':'Hi'}") F("length"),
     START " open text; delta text :Hi; close text; stop length; end;", OK},
    {"cut", C("{'content':'Hi'}"), START " open text; delta text :Hi;", OK},
    {"[DONE] without a reason", C("{'content':'Hi'}") DONE,
     START " open text; delta text :Hi; close text; stop end; end;", OK},
    {"only [DONE]", DONE, "", ERR_SYNTAX},
    {"no JSON", C("{'content':'Hi'}") "<html>\n", START " open text; delta text :Hi;", ERR_SYNTAX},
    {"Azure's first chunk",
     "{'id':'','model':'','choices':[],'prompt_filter_results':[]}\n" C("{'content':'Hi'}")
         F("stop"),
     START " open text; delta text :Hi; close text; stop end; end;", OK},
    {"reasoning_content first, both in one chunk",
     C("{'reasoning_content':'Hm','content':'Hi'}") F("stop"),
     START " open thinking; delta thinking :Hm; close thinking; open text; delta text :Hi;"
           " close text; stop end; end;",
     OK},
    {"reasoning with its details, told once",
     C("{'content':'','reasoning':'Hm','reasoning_details':[{'type':'reasoning.text','text':'Hm',"
       "'format':'anthropic-claude-v1','index':0}]}")
         C("{'reasoning_details':[{'type':'reasoning.text','signature':'sig',"
           "'format':'anthropic-claude-v1'}]}") C("{'content':'Hi'}") F("stop"),
     START " open thinking; delta thinking :Hm; sign :sig; close thinking; open text;"
           " delta text :Hi; close text; stop end; end;",
     OK},
    {"a foreign signature is none",
     C("{'reasoning_details':[{'type':'reasoning.text','text':'Hm','signature':'sig',"
       "'format':'google-gemini-v1'}]}") F("stop"),
     START " open thinking; delta thinking :Hm; close thinking; stop end; end;", OK},
    {"details without plain reasoning",
     C("{'reasoning_details':[{'type':'reasoning.summary','summary':'S'},"
       "{'type':'reasoning.encrypted','data':'zzz'}]}") F("stop"),
     START " open thinking; delta thinking :S; close thinking; stop end; end;", OK},
    {"Mistral's parts",
     C("{'content':[{'type':'thinking','thinking':[{'type':'text','text':'Hm'}]},"
       "{'type':'text','text':'Hi'},{'type':'reference','reference_ids':[1]}]}") F("model_length"),
     START " open thinking; delta thinking :Hm; close thinking; open text; delta text :Hi;"
           " close text; stop length; end;",
     OK},
    {"a refusal", C("{'refusal':'No'}") F("stop"),
     START " open refusal; delta refusal :No; close refusal; stop refusal; end;", OK},
    {"filtered", C("{'content':'Hi'}") F("content_filter"),
     START " open text; delta text :Hi; close text; stop refusal; end;", OK},
    {"an image",
     C("{'content':'','images':[{'type':'image_url','image_url':{'url':"
       "'data:image/png;base64,iVBO'}},{'image_url':{'url':'https://x/'}}]}") F("stop"),
     START " open image name=image/png; delta image :iVBO; close image; stop end; end;", OK},
    {"logprobs",
     "{'id':'c1','model':'g','choices':[{'index':0,'logprobs':{'content':[{'token':'H'}]},"
     "'delta':{'content':'H'}}]}\n" F("stop"),
     START " open text; delta text :H; probs :{\"content\":[{\"token\":\"H\"}]}; close text;"
           " stop end; end;",
     OK},
    {"other choices are not heard",
     "{'id':'c1','model':'g','choices':[{'index':1,'delta':{'content':'B'}},"
     "{'index':0,'delta':{'content':'A'}}]}\n" F("eos"),
     START " open text; delta text :A; close text; stop end; end;", OK},
    {"usage of Groq",
     C("{'content':'Hi'}") "{'id':'c1','choices':[{'index':0,'delta':{},'finish_reason':'stop'}],"
                           "'x_groq':{'usage':{'prompt_tokens':5,'completion_tokens':2}}}\n" DONE,
     START " open text; delta text :Hi; close text; stop end 5+2; end;", OK},
    {"nothing follows the end", C("{'content':'A'}") F("stop") DONE C("{'content':'B'}") DONE,
     START " open text; delta text :A; close text; stop end; end;", OK},
};

static const struct row calls[] = {
    {"by the book, two in a row",
     CALL(HEAD("0", "call_1", "f")) CALL(ARGS("0", "{\\'a\\':")) CALL(ARGS("0", "1}"))
         CALL(HEAD("1", "call_2", "g")) CALL(ARGS("1", "{}")) F("tool_calls"),
     START " open call id=call_1 name=f; delta call :{\"a\":; delta call :1}; close call;"
           " open call id=call_2 name=g; delta call :{}; close call; stop calls; end;",
     OK},
    {"interleaved",
     CALL(HEAD("0", "call_1", "f")) CALL(HEAD("1", "call_2", "g")) CALL(ARGS("1", "{\\'b\\'"))
         CALL(ARGS("0", "{\\'a\\'")) CALL(ARGS("1", ":2}")) CALL(ARGS("0", ":1}")) F("tool_calls"),
     START " open call id=call_1 name=f; delta call :{\"a\"; delta call ::1}; close call;"
           " open call id=call_2 name=g; delta call :{\"b\":2}; close call; stop calls; end;",
     OK},
    {"two fragments in one chunk", /* both calls, whole */
     CALL("{'index':0,'id':'a','function':{'name':'f','arguments':'{}'}},"
          "{'index':1,'id':'b','function':{'name':'g','arguments':'[1]'}}") F("tool_calls"),
     START " open call id=a name=f; delta call :{}; close call; open call id=b name=g;"
           " delta call :[1]; close call; stop calls; end;",
     OK},
    {"one index, new ids (Gemini)",
     CALL("{'index':0,'id':'a','function':{'name':'f','arguments':'{}'}}")
         CALL("{'index':0,'id':'b','function':{'name':'f','arguments':'{}'}}") F("stop"),
     START " open call id=a name=f; delta call :{}; close call; open call id=b name=f;"
           " delta call :{}; close call; stop calls; end;",
     OK},
    {"no index",
     CALL("{'id':'a','function':{'name':'f','arguments':''}}")
         CALL("{'function':{'arguments':'{}'}}")
             CALL("{'id':'b','function':{'name':'g','arguments':'{}'}}") F("tool_calls"),
     START " open call id=a name=f; delta call :{}; close call; open call id=b name=g;"
           " delta call :{}; close call; stop calls; end;",
     OK},
    {"id and name with every fragment",
     CALL("{'index':0,'id':'a','function':{'name':'f','arguments':'{\\'x\\':'}}")
         CALL("{'index':0,'id':'a','function':{'name':'f','arguments':'1}'}}") F("tool_calls"),
     START " open call id=a name=f; delta call :{\"x\":; delta call :1}; close call; stop calls;"
           " end;",
     OK},
    {"the whole call once more at the end",
     CALL(HEAD("0", "a", "f")) CALL(ARGS("0", "{}"))
         CALL("{'index':0,'id':'a','function':{'name':'f','arguments':'{}'}}") F("tool_calls"),
     START " open call id=a name=f; delta call :{}; close call; stop calls; end;", OK},
    {"an empty fragment behind the end",
     CALL(HEAD("0", "a", "f")) CALL(ARGS("0", "{}")) CALL(ARGS("0", "")) F("tool_calls"),
     START " open call id=a name=f; delta call :{}; close call; stop calls; end;", OK},
    {"the name late",
     CALL("{'index':0,'id':'a','function':{'arguments':''}}")
         CALL("{'index':0,'function':{'name':'f','arguments':'{}'}}") F("tool_calls"),
     START " open call id=a name=f; delta call :{}; close call; stop calls; end;", OK},
    {"never an id", CALL("{'index':0,'function':{'name':'f','arguments':'{}'}}") F("tool_calls"),
     START " open call id=call_825f50caa31b0a74 name=f; delta call :{}; close call; stop calls;"
           " end;",
     OK},
    {"letters that are none",
     CALL("{'index':0,'id':'functions.f:0','function':{'name':'f','arguments':'{}'}}")
         F("tool_calls"),
     START " open call id=functions_f_0 name=f; delta call :{}; close call; stop calls; end;", OK},
    {"no arguments at all", CALL(HEAD("0", "a", "f")) F("tool_calls"),
     START " open call id=a name=f; close call; stop calls; end;", OK},
    {"arguments as an object",
     CALL("{'index':0,'id':'a','function':{'name':'f','arguments':{'x':[1,2]}}}") F("stop"),
     START " open call id=a name=f; delta call :{\"x\":[1,2]}; close call; stop calls; end;", OK},
    {"the older form",
     C("{'function_call':{'name':'f','arguments':''}}") C("{'function_call':{'arguments':'{}'}}")
         F("function_call"),
     START " open call id=call_825f50caa31b0a74 name=f; delta call :{}; close call; stop calls;"
           " end;",
     OK},
    {"text behind a call waits for it",
     CALL(HEAD("0", "a", "f")) C("{'content':'Hi'}") CALL(ARGS("0", "{\\'x\\'"))
         CALL(ARGS("0", ":1}")) F("tool_calls"),
     START " open call id=a name=f; delta call :{\"x\"; delta call ::1}; close call; open text;"
           " delta text :Hi; close text; stop calls; end;",
     OK},
    {"cut at its length within a call",
     CALL(HEAD("0", "a", "f")) CALL(ARGS("0", "{\\'x\\':\\'")) F("length"),
     START " open call id=a name=f; delta call :{\"x\":\"; close call; stop length; end;", OK},
    {"braces in strings",
     CALL(HEAD("0", "a", "f")) CALL(ARGS("0", "{\\'x\\':\\'}\\\\\\'{\\'")) CALL(HEAD("1", "b", "g"))
         CALL(ARGS("0", "}")) F("tool_calls"),
     START " open call id=a name=f; delta call :{\"x\":\"}\\\"{\"; delta call :}; close call;"
           " open call id=b name=g; close call; stop calls; end;",
     OK},
    {"calls are told that are not there", C("{'content':'Hi'}") F("tool_calls"),
     START " open text; delta text :Hi; close text; stop end; end;", OK},
    {"an empty shell of a call", CALL(ARGS("0", "")) C("{'content':'Hi'}") F("stop"),
     START " open text; delta text :Hi; close text; stop end; end;", OK},
    {"arguments for no tool", CALL(ARGS("0", "{}")) F("tool_calls"), START, ERR_SYNTAX},
    {"arguments behind their end",
     CALL(HEAD("0", "a", "f")) CALL(ARGS("0", "{}")) CALL(ARGS("0", "{}")) F("tool_calls"),
     START " open call id=a name=f; delta call :{};", ERR_SYNTAX},
    {"the same id for all",
     CALL("{'index':0,'id':'a','function':{'name':'f','arguments':'{}'}}")
         CALL("{'index':1,'id':'a','function':{'name':'g','arguments':'{}'}}") F("tool_calls"),
     START " open call id=a name=f; delta call :{}; close call;"
           " open call id=call_d4945f1d905d63d3 name=g; delta call :{}; close call; stop calls;"
           " end;",
     OK},
};

static const struct row errors[] = {
    {"OpenRouter's, first", "{'error':{'code':429,'message':'slow down'}}\n",
     " error 429 429 :slow down;", OK},
    {"OpenRouter's, in the middle",
     C("{'content':'A'}") "{'id':'c1','error':{'code':'server_error','message':'boom'},'choices':"
                          "[{'index':0,'delta':{'content':''},'finish_reason':'error'}]}\n" DONE,
     START " open text; delta text :A; close text; error 500 server_error :boom;", OK},
    {"a reason that is none", C("{'content':'A'}") F("insufficient_system_resource") DONE,
     START " open text; delta text :A; close text; error 503 insufficient_system_resource"
           " :The upstream broke the reply off with an error;",
     OK},
    {"MiniMax", "{'base_resp':{'status_code':1004,'status_msg':'login fail'},'choices':null}\n",
     " error 401 1004 :login fail;", OK},
    {"Gemini's array", "[{'error':{'code':503,'message':'busy','status':'UNAVAILABLE'}}]\n",
     " error 503 UNAVAILABLE :busy;", OK},
    {"a word only", "{'error':'model not found'}\n", " error 500 :model not found;", OK},
};

static const struct row wholes[] = {
    {"all of it",
     "{'id':'c1','model':'g','choices':[{'index':0,'finish_reason':'tool_calls','message':{"
     "'role':'assistant','content':'Hi','reasoning_content':'Hm','tool_calls':[{'id':'a','type':"
     "'function','function':{'name':'f','arguments':'{}'}},{'id':'b','type':'function','function':"
     "{'name':'g','arguments':''}}]}}],'usage':{'prompt_tokens':3,'completion_tokens':4}}",
     START " open thinking; delta thinking :Hm; close thinking; open text; delta text :Hi;"
           " close text; open call id=a name=f; delta call :{}; close call; open call id=b name=g;"
           " close call; stop calls 3+4; end;",
     OK},
    {"nothing", "{'id':'c1','choices':[]}", "", ERR_SYNTAX},
    {"null", "null", "", ERR_SYNTAX},
    {"an error", "{'error':{'message':'no','type':'insufficient_quota'}}",
     " error 402 insufficient_quota :no;", OK},
    {"no reason told",
     "{'id':'c1','model':'g','choices':[{'message':{'content':'Hi'},'finish_reason':null}]}",
     START " open text; delta text :Hi; close text; stop end; end;", OK},
};

static void test_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++)
        check(&texts[i], false);
}

static void test_calls(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(calls); i++)
        check(&calls[i], false);
}

static void test_errors(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(errors); i++)
        check(&errors[i], false);
}

static void test_wholes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(wholes); i++)
        check(&wholes[i], true);
}

/* A hostile server: bounded, never an endless pile. */
static void test_bounds(void **state)
{
    struct buf b;
    struct said t;
    (void)state;
    buf_init(&b, 1 << 24);
    for (int i = 0; i < 1100; i++)
        assert_int_equal(buf_printf(&b,
                                    "{'choices':[{'delta':{'tool_calls':[{'index':%d,'id':"
                                    "'i%d','function':{'name':'f','arguments':'{'}}]}}]}\n",
                                    i, i),
                         OK);
    char *text = buf_take(&b);
    assert_int_equal(said_read(&t, DIALECT_OPENAI, text, false), ERR_LIMIT);
    mem_free(text);
}

/* ---- calls in any order ---------------------------------------------------------------------- */

#define MIXED 5

struct mixed { /* what is heard of parallel calls */
    char text[MIXED][256];
    size_t n[MIXED];
    int at, open;
};

static enum err on_mixed(void *arg, const struct say *s)
{
    struct mixed *m = arg;
    if (s->kind == SAY_OPEN && s->what == BLOCK_CALL) {
        assert_true(m->at < MIXED && m->open == 0);
        assert_int_equal(s->name.p[0], 'f' + m->at); /* in the order in which they began */
        m->open = 1;
    } else if (s->kind == SAY_DELTA && s->what == BLOCK_CALL) {
        assert_int_equal(m->open, 1);
        memcpy(m->text[m->at] + m->n[m->at], s->text.p, s->text.n);
        m->n[m->at] += s->text.n;
    } else if (s->kind == SAY_CLOSE && s->what == BLOCK_CALL) {
        m->open = 0;
        m->at++;
    }
    return OK;
}

static void fragment_read(struct say_reader *r, struct mixed *m, int call, bool first,
                          struct slice piece)
{
    struct buf b;
    buf_init(&b, 4096);
    assert_int_equal(
        buf_printf(&b, "{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":%d,", call), OK);
    if (first)
        assert_int_equal(buf_printf(&b, "\"id\":\"i%d\",", call), OK);
    assert_int_equal(buf_printf(&b, "\"function\":{"), OK);
    if (first)
        assert_int_equal(buf_printf(&b, "\"name\":\"%c\",", 'f' + call), OK);
    assert_int_equal(buf_puts(&b, S("\"arguments\":")), OK);
    assert_int_equal(json_escape(&b, piece), OK);
    assert_int_equal(buf_puts(&b, S("}}]}}]}")), OK);
    assert_int_equal(canon_openai.read(r, S(""), buf_slice(&b), false, on_mixed, m), OK);
    buf_free(&b);
}

/* Calls in pieces, mixed by chance: each is heard once, whole, in the order of their beginnings. */
static void test_mixed_calls(void **state)
{
    static const char *const arguments[MIXED] = {"{}", "{\"a\":\"}{\\\"\"}",
                                                 "{\"b\":[1,{\"c\":[]}]}",
                                                 " {\"long\":\"0123456789\"}", "[[],{}]"};
    uint64_t chance = 88172645463325252ULL;
    (void)state;
    for (int round = 0; round < 2000; round++) {
        struct say_context c = {.model = S("m"), .id = S("x")};
        struct say_reader *r = canon_openai.reader_new(&c);
        struct mixed m = {.at = 0};
        size_t sent[MIXED] = {0};
        int begun = 0, left = MIXED;
        while (left > 0) {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            int k = (int)(chance % (uint64_t)(begun < MIXED ? begun + 1 : MIXED));
            struct slice all = slice_of(arguments[k]);
            size_t n = chance >> 40 & 7;
            if (k < begun && sent[k] == all.n)
                continue;
            n = n < all.n - sent[k] ? n : all.n - sent[k];
            fragment_read(r, &m, k, k == begun, slice_sub(all, sent[k], sent[k] + n));
            begun += k == begun;
            sent[k] += n;
            left -= sent[k] == all.n;
        }
        assert_int_equal(canon_openai.read(r, S(""), S("[DONE]"), false, on_mixed, &m), OK);
        assert_int_equal(m.at, MIXED);
        for (int k = 0; k < MIXED; k++)
            assert_string_equal(m.text[k], arguments[k]);
        canon_openai.reader_free(r);
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

static void write_all(struct buf *out, const struct say *s, size_t n, bool whole, bool usage)
{
    struct say_context c = {
        .model = S("gpt"), .id = S("x1"), .created = 17, .include_usage = usage};
    struct say_writer *w = canon_openai.writer_new(&c, whole);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(canon_openai.write(w, &s[i], out), OK);
    canon_openai.writer_free(w);
}

static const struct say script[] = {
    {.kind = SAY_START, .id = {"msg_1", 5}, .model = {"claude", 6}},
    {.kind = SAY_OPEN, .what = BLOCK_THINKING},
    {.kind = SAY_DELTA, .what = BLOCK_THINKING, .text = {"Hm", 2}},
    {.kind = SAY_SIGN, .what = BLOCK_THINKING, .text = {"sig", 3}},
    {.kind = SAY_CLOSE, .what = BLOCK_THINKING},
    {.kind = SAY_LIFE},
    {.kind = SAY_OPEN, .what = BLOCK_REDACTED},
    {.kind = SAY_DELTA, .what = BLOCK_REDACTED, .text = {"xx", 2}},
    {.kind = SAY_CLOSE, .what = BLOCK_REDACTED},
    {.kind = SAY_OPEN, .what = BLOCK_TEXT},
    {.kind = SAY_DELTA, .what = BLOCK_TEXT, .text = {"\"H\n", 3}},
    {.kind = SAY_LOGPROBS, .text = {"{\"content\":[1]}", 15}},
    {.kind = SAY_LOGPROBS, .text = {"{\"content\":[2]}", 15}},
    {.kind = SAY_CLOSE, .what = BLOCK_TEXT},
    {.kind = SAY_OPEN, .what = BLOCK_CALL, .id = {"a", 1}, .name = {"f", 1}},
    {.kind = SAY_CLOSE, .what = BLOCK_CALL},
    {.kind = SAY_OPEN, .what = BLOCK_CALL, .id = {"b", 1}, .name = {"g", 1}},
    {.kind = SAY_DELTA, .what = BLOCK_CALL, .text = {"{\"x\":1}", 7}},
    {.kind = SAY_CLOSE, .what = BLOCK_CALL},
    {.kind = SAY_STOP,
     .stop = STOP_CALLS,
     .usage = {.known = true,
               .input = 10,
               .output = 9,
               .cache_read = 20,
               .cache_write_5m = 3,
               .cache_write_1h = 2,
               .thinking = 4}},
    {.kind = SAY_END},
};

#define HEAD_OF                                                                          \
    "data: {\"id\":\"chatcmpl-x1\",\"object\":\"chat.completion.chunk\",\"created\":17," \
    "\"model\":\"gpt\",\"choices\":[{\"index\":0,\"delta\":"
#define NULLS    ",\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n"
#define CHUNK(d) HEAD_OF d NULLS
#define USAGE                                                                    \
    "{\"prompt_tokens\":35,\"completion_tokens\":9,\"total_tokens\":44,"         \
    "\"prompt_tokens_details\":{\"cached_tokens\":20,\"cache_write_tokens\":5}," \
    "\"completion_tokens_details\":{\"reasoning_tokens\":4}}"
#define DETAIL                                                            \
    "{\"type\":\"reasoning.text\",\"text\":\"Hm\",\"signature\":\"sig\"," \
    "\"format\":\"anthropic-claude-v1\",\"index\":0}"

static void test_write_stream(void **state)
{
    static const char want[] = CHUNK("{\"role\":\"assistant\",\"content\":\"\"}")
        CHUNK("{\"reasoning_content\":\"Hm\"}")
            CHUNK("{\"reasoning_details\":[" DETAIL
                  "]}") ": ping\n\n" CHUNK("{\"content\":\"\\\"H\\n\"}") HEAD_OF
        "{\"content\":\"\"},\"logprobs\":{\"content\":[1]},\"finish_reason\":null}],"
        "\"usage\":null}\n\n" HEAD_OF
        "{\"content\":\"\"},\"logprobs\":{\"content\":[2]},\"finish_reason\":null}],"
        "\"usage\":null}\n\n" CHUNK("{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"type\":"
                                    "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}"
                                    "}]}")
            CHUNK("{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{}\"}}]}")
                CHUNK("{\"tool_calls\":[{\"index\":1,\"id\":\"b\",\"type\":\"function\","
                      "\"function\":{\"name\":\"g\",\"arguments\":\"\"}}]}")
                    CHUNK("{\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":"
                          "\"{\\\"x\\\":1}\"}}]}") HEAD_OF
        "{},\"logprobs\":null,\"finish_reason\":\"tool_calls\"}],\"usage\":null}\n\n"
        "data: {\"id\":\"chatcmpl-x1\",\"object\":\"chat.completion.chunk\",\"created\":17,"
        "\"model\":\"gpt\",\"choices\":[],\"usage\":" USAGE "}\n\ndata: [DONE]\n\n";
    struct buf out;
    (void)state;
    buf_init(&out, 1 << 20);
    write_all(&out, script, COUNT(script), false, true);
    assert_int_equal(buf_append(&out, "", 1), OK);
    assert_string_equal(out.p, want);
    buf_clear(&out);
    write_all(&out, script, COUNT(script), false, false);
    assert_true(slice_search(buf_slice(&out), S("usage")) < 0); /* not asked for, not told */
    buf_free(&out);
}

static void test_write_whole(void **state)
{
    static const char want[] =
        "{\"id\":\"chatcmpl-x1\",\"object\":\"chat.completion\",\"created\":17,\"model\":\"gpt\","
        "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"\\\"H\\n\","
        "\"refusal\":null,\"reasoning_content\":\"Hm\",\"reasoning_details\":[" DETAIL "],"
        "\"tool_calls\":[{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\","
        "\"arguments\":\"{}\"}},{\"id\":\"b\",\"type\":\"function\",\"function\":{\"name\":\"g\","
        "\"arguments\":\"{\\\"x\\\":1}\"}}]},\"logprobs\":{\"content\":[1,2]},"
        "\"finish_reason\":\"tool_calls\"}],\"usage\":" USAGE "}";
    struct buf out;
    (void)state;
    buf_init(&out, 1 << 20);
    write_all(&out, script, COUNT(script), true, false);
    assert_int_equal(buf_append(&out, "", 1), OK);
    assert_string_equal(out.p, want);
    buf_free(&out);
}

static void test_write_ends(void **state)
{
    static const struct {
        enum stop_kind stop;
        const char *word;
    } rows[] = {
        {STOP_END, "stop"},      {STOP_SEQUENCE, "stop"},          {STOP_PAUSE, "stop"},
        {STOP_LENGTH, "length"}, {STOP_REFUSAL, "content_filter"}, {STOP_CALLS, "tool_calls"},
    };
    static const struct say failed[] = {
        {.kind = SAY_START},
        {.kind = SAY_ERROR, .status = 529, .text = {"Overloaded", 10}},
        {.kind = SAY_END},
    };
    struct buf out;
    (void)state;
    buf_init(&out, 1 << 20);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct say s[] = {{.kind = SAY_START}, {.kind = SAY_STOP, .stop = rows[i].stop}};
        char want[64];
        buf_clear(&out);
        write_all(&out, s, 2, false, false);
        (void)text_format(want, sizeof want, "\"finish_reason\":\"%s\"}]}\n\n", rows[i].word);
        assert_true(slice_ends(buf_slice(&out), slice_of(want)));
    }
    buf_clear(&out);
    write_all(&out, failed, 3, false, true); /* an error is the last word: no [DONE] */
    assert_true(
        slice_ends(buf_slice(&out), S("data: {\"error\":{\"message\":\"Overloaded\",\"type\":"
                                      "\"server_error\",\"param\":null,\"code\":null}}\n\n")));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_errors),       cmocka_unit_test(test_wholes),
        cmocka_unit_test(test_bounds),       cmocka_unit_test(test_mixed_calls),
        cmocka_unit_test(test_write_stream), cmocka_unit_test(test_write_whole),
        cmocka_unit_test(test_write_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
