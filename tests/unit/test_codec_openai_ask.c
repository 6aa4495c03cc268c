/* links: base http codec */
/* Requests written for servers of the OpenAI dialect, and read from its clients. In the tables a '
 * stands for a ". */
#include "codec/openai.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void quotes(char *text)
{
    for (; *text != '\0'; text++)
        *text = *text == '\'' ? '"' : *text;
}

struct row {
    const char *what, *from, *to; /* `to` of an error: part of its sentence */
    struct ask_target t;
    enum err e;
};

static void check(const struct row *row, enum dialect from, enum dialect to)
{
    struct names *names = names_new();
    char *body = mem_strdup(row->from), *want = mem_strdup(row->to);
    struct buf out;
    const char *why = "";
    buf_init(&out, 1 << 20);
    quotes(body);
    quotes(want);
    enum err e = codec_ask_translate(from, to, slice_of(body), &row->t, names, &out, &why);
    if (e != row->e)
        fail_msg("%s: %s (%s)", row->what, err_name(e), why);
    if (e != OK && strstr(why, row->to) == NULL)
        fail_msg("%s: %s", row->what, why);
    if (e == OK && !slice_eq(buf_slice(&out), slice_of(want)))
        fail_msg("%s:\n%.*s\n--- expected:\n%s", row->what, (int)out.len, out.p, want);
    buf_free(&out);
    mem_free(body);
    mem_free(want);
    names_free(names);
}

/* ---- Anthropic's words written --------------------------------------------------------------- */

#define M(messages) "{'model':'m','messages':[" messages "],'max_tokens':9}"
#define U(content)  "{'role':'user','content':" content "}"
#define A(content)  "{'role':'assistant','content':" content "}"
#define TEXT(t)     "{'type':'text','text':'" t "'}"
#define USE(id)     "{'type':'tool_use','id':'" id "','name':'f','input':{'x':1}}"
#define RESULT(id)  "{'type':'tool_result','tool_use_id':'" id "','content':'r " id "'}"
#define CALL(id) \
    "{'id':'" id "','type':'function','function':{'name':'f','arguments':'{\\'x\\':1}'}}"
#define CALLS(list) "{'role':'assistant','content':null,'tool_calls':[" list "]}"
#define TOOL(id)    "{'role':'tool','tool_call_id':'" id "','content':'r " id "'}"
#define IMAGE                                                                    \
    "{'type':'image','source':{'type':'base64','media_type':'image/png','data':" \
    "'iV'}}"
#define IMAGE_URL "{'type':'image_url','image_url':{'url':'data:image/png;base64,iV'}}"

static const struct row messages[] = {
    {.what = "system in front, blocks joined, the billing line left out",
     .from = "{'model':'m','max_tokens':9,'system':[{'type':'text','text':"
             "'x-anthropic-billing-header: cc_version=1;'}," TEXT("A") "," TEXT(
                 "B") "],'messages':[" U("'Hi'") "]}",
     .to = M("{'role':'system','content':'A\\n\\nB'}," U("'Hi'"))},
    {.what = "an image",
     .from = M(U("[" TEXT("look") "," IMAGE "]")),
     .to = M(U("[" TEXT("look") "," IMAGE_URL "]"))},
    {.what = "parallel calls, results, then the rest",
     .from = M(U("'Hi'") "," A("[" USE("a") "," USE("b") "]") "," U(
         "[" RESULT("b") "," TEXT("go on") "," RESULT("a") "]")),
     .to = M(U("'Hi'") "," CALLS(CALL("a") "," CALL("b")) "," TOOL("a") "," TOOL("b") "," U(
         "'go on'"))},
    {.what = "results over several messages",
     .from = M(U("'Hi'") "," A("[" USE("a") "," USE("b") "]") "," U("[" RESULT("a") "]") "," U(
         "[" RESULT("b") "]")),
     .to = M(U("'Hi'") "," CALLS(CALL("a") "," CALL("b")) "," TOOL("a") "," TOOL("b"))},
    {.what = "a call without a result",
     .from = M(U("'Hi'") "," A("[" USE("a") "," USE("b") "]") "," U("[" RESULT("b") "]")),
     .to = M(U("'Hi'") "," CALLS(CALL("a") "," CALL(
         "b")) ",{'role':'tool','tool_call_id':'a','content':'No result'}," TOOL("b"))},
    {.what = "a result without a call",
     .from = M(U("[" RESULT("z") "," TEXT("Hi") "]")),
     .to = M(U("'Result of an earlier tool call:\\nr z\\n\\nHi'"))},
    {.what = "an id used anew in each turn",
     .from = M(U("'Hi'") "," A("[" USE("a") "]") "," U("[" RESULT("a") "]") "," A(
         "[" USE("a") "]") "," U("[{'type':'tool_result','tool_use_id':'a','content':'second'}]")),
     .to = M(U("'Hi'") "," CALLS(CALL("a")) "," TOOL("a") "," CALLS(
         CALL("a")) ",{'role':'tool','tool_call_id':'a','content':'second'}")},
    {.what = "an image in a result",
     .from = M(U("'Hi'") "," A("[" USE("a") "]") "," U(
         "[{'type':'tool_result','tool_use_id':'a','is_error':true,'content':[" TEXT(
             "see") "," IMAGE "]}," TEXT("there") "]")),
     .to = M(U("'Hi'") "," CALLS(CALL("a")) ",{'role':'tool','tool_call_id':'a','content':'Error: "
                                            "see\\n[image: see below]'}," U(
                                                "[" IMAGE_URL "," TEXT("there") "]"))},
    {.what = "an image in a result without a call",
     .from = M(U("[{'type':'tool_result','tool_use_id':'a','content':[" IMAGE "]}]")),
     .to = M(
         U("[" TEXT("Result of an earlier tool call:\\n[image: see below]") "," IMAGE_URL "]"))},
    {.what = "text with calls; thinking dropped",
     .from = M(U("'Hi'") "," A("[{'type':'thinking','thinking':'Hm','signature':'s'},"
                               "{'type':'redacted_thinking','data':'d'}," TEXT("T") "," USE(
                                   "a") "]") "," U("[" RESULT("a") "]")),
     .to = M(
         U("'Hi'") ",{'role':'assistant','content':'T','tool_calls':[" CALL("a") "]}," TOOL("a"))},
    {.what = "thinking kept where it is wanted, and \"\" for null",
     .from = M(U("'Hi'") "," A("[{'type':'thinking','thinking':'Hm','signature':'s'}," USE(
         "a") "]") "," U("[" RESULT("a") "]")),
     .to = M(
         U("'Hi'") ",{'role':'assistant','content':'','reasoning_content':'Hm','tool_calls':[" CALL(
             "a") "]}," TOOL("a")),
     .t = {.reasoning_content = true, .empty_content = true}},
    {.what = "nine letters", /* the same at both ends, and what fits is left */
     .from = M(U("'Hi'") "," A("[" USE("toolu_01") "," USE("abcdefgh1") "]") "," U(
         "[" RESULT("toolu_01") "," RESULT("abcdefgh1") "]")),
     .to = M(U("'Hi'") "," CALLS(
         CALL("2X2scZsnr") "," CALL("abcdefgh1")) ",{'role':'tool','tool_call_id':'2X2scZsnr','"
                                                  "content':'r toolu_01'}," TOOL("abcdefgh1")),
     .t = {.short_call_ids = true}},
    {.what = "a prefill is dropped", .from = M(U("'Hi'") "," A("'{'")), .to = M(U("'Hi'"))},
    {.what = "neighbours of a role are one, empty ones none",
     .from = M(U("'A'") "," U("[" TEXT("B") "]") "," A("'x'") "," A("[]") "," U("'C'")),
     .to = M(U("'A\\n\\nB'") "," A("'x'") "," U("'C'"))},
    {.what = "a document's text",
     .from = M(U("[{'type':'document','title':'T','source':{'type':'text','media_type':"
                 "'text/plain','data':'D'}}]")),
     .to = M(U("'T\\nD'"))},
    {.what = "a PDF",
     .from = M(U("[{'type':'document','title':'a.pdf','source':{'type':'base64','media_type':"
                 "'application/pdf','data':'JV'}}]")),
     .to = M(U("[{'type':'file','file':{'filename':'a.pdf','file_data':"
               "'data:application/pdf;base64,JV'}}]"))},
    {.what = "system in the middle",
     .from = M(U("'A'") ",{'role':'system','content':'S'}," U("'B'")),
     .to = M(U("'A'") ",{'role':'system','content':'S'}," U("'B'"))},
    {.what = "system in the middle, where it is refused",
     .from = M(U("'A'") ",{'role':'system','content':'S'}," U("'B'")),
     .to = M(U("'A\\n\\n<system-reminder>\\nS\\n</system-reminder>\\n\\nB'")),
     .t = {.first_system_only = true}},
    {.what = "system between a call and its result",
     .from = M(U("'A'") "," A("[" USE("a") "]") ",{'role':'system','content':'S'}," U(
         "[" RESULT("a") "]")),
     .to = M(U("'A'") "," CALLS(CALL("a")) "," TOOL("a") ",{'role':'system','content':'S'}")},
    {.what = "an image by URL, refused",
     .from = M(U("[{'type':'image','source':{'type':'url','url':'https://x/'}}]")),
     .to = "not by URL",
     .t = {.no_images_by_url = true},
     .e = ERR_UNSUPPORTED},
    {.what = "an image of another's, refused",
     .from = M(U("[{'type':'image','source':{'type':'file','file_id':'file_1'}}]")),
     .to = "file id",
     .e = ERR_UNSUPPORTED},
};

static void test_messages(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(messages); i++)
        check(&messages[i], DIALECT_ANTHROPIC, DIALECT_OPENAI);
}

#define HI        "'messages':[" U("'Hi'") "]"
#define IN(more)  "{'model':'m','max_tokens':9," HI more "}"
#define OUT(more) "{'model':'m'," HI ",'max_tokens':9" more "}"
#define SCHEMA    "{'type':'object','properties':{'a':{'type':'string'}}}"
#define CLOSED                                                                \
    "{'type':'object','properties':{'a':{'type':'string'}},'required':['a']," \
    "'additionalProperties':false}"

static const struct row settings[] = {
    {.what = "a stream asks for its usage",
     .from = IN(",'stream':true"),
     .to = OUT(",'stream':true,'stream_options':{'include_usage':true}")},
    {.what = "a stream where that is refused",
     .from = IN(",'stream':true"),
     .to = OUT(",'stream':true"),
     .t = {.no_stream_options = true}},
    {.what = "the other name of max_tokens, and another model",
     .from = IN(""),
     .to = "{'model':'g'," HI ",'max_completion_tokens':9}",
     .t = {.max_completion_tokens = true, .model = {"g", 1}}},
    {.what = "a cache is warmed with one token",
     .from = "{'model':'m','max_tokens':0," HI "}",
     .to = "{'model':'m'," HI ",'max_tokens':1}"},
    {.what = "sampling",
     .from = IN(",'temperature':0.5,'top_p':0.9,'top_k':5,'stop_sequences':['a',' ','b','c','d',"
                "'e']"),
     .to = OUT(",'temperature':0.5,'top_p':0.9,'stop':['a','b','c','d']")},
    {.what = "no sampling",
     .from = IN(",'temperature':0.5,'top_p':0.9"),
     .to = OUT(""),
     .t = {.no_temperature = true}},
    {.what = "tools",
     .from = IN(",'tools':[{'name':'f','description':'D','input_schema':{'$schema':'x',"
                "'properties':{}},'cache_control':{'type':'ephemeral'}},{'name':'g',"
                "'input_schema':{'type':'object'},'strict':true},{'type':'web_search_20250305',"
                "'name':'web_search'}],'tool_choice':{'type':'any',"
                "'disable_parallel_tool_use':true}"),
     .to = OUT(",'tools':[{'type':'function','function':{'name':'f','description':'D',"
               "'parameters':{'properties':{},'type':'object'}}},{'type':'function','function':{"
               "'name':'g','parameters':{'type':'object','properties':{}}}}],'tool_choice':"
               "'required','parallel_tool_calls':false")},
    {.what = "strict only where it can be",
     .from = IN(",'tools':[{'name':'f','input_schema':" CLOSED ",'strict':true},{'name':'g',"
                "'input_schema':" SCHEMA ",'strict':true}],'tool_choice':{'type':'tool','name':"
                "'g'}"),
     .to = OUT(",'tools':[{'type':'function','function':{'name':'f','parameters':" CLOSED
               ",'strict':true}},{'type':'function','function':{'name':'g','parameters':" SCHEMA
               "}}],'tool_choice':{'type':'function','function':{'name':'g'}}")},
    {.what = "only tools of its own", /* and then no choice among none */
     .from = IN(",'tools':[{'type':'web_search_20250305','name':'web_search'}],'tool_choice':"
                "{'type':'tool','name':'web_search'}"),
     .to = OUT("")},
    {.what = "long names are shortened, everywhere the same",
     .from = IN(",'tools':[{'name':"
                "'a123456789b123456789c123456789d123456789e123456789f123456789g123456789',"
                "'input_schema':" SCHEMA "}],'tool_choice':{'type':'tool','name':"
                "'a123456789b123456789c123456789d123456789e123456789f123456789g123456789'}"),
     .to = OUT(
         ",'tools':[{'type':'function','function':{'name':'"
         "a123456789b123456789c123456789d123456789e123456789f12_d8b632e1b4','parameters':" SCHEMA
         "}}],'tool_choice':{'type':'function','function':{'name':'"
         "a123456789b123456789c123456789d123456789e123456789f12_d8b632e1b4'}}")},
    {.what = "thinking by budget",
     .from = IN(",'thinking':{'type':'enabled','budget_tokens':8192}"),
     .to = OUT(",'reasoning_effort':'medium'")},
    {.what = "thinking off",
     .from = IN(",'thinking':{'type':'disabled'},'output_config':{'effort':'high'}"),
     .to = OUT(",'reasoning_effort':'none'"),
     .t = {.all_efforts = true}},
    {.what = "thinking off, unsaid", .from = IN(",'thinking':{'type':'disabled'}"), .to = OUT("")},
    {.what = "thinking by effort",
     .from = IN(",'thinking':{'type':'adaptive'},'output_config':{'effort':'max'}"),
     .to = OUT(",'reasoning_effort':'max'"),
     .t = {.all_efforts = true}},
    {.what = "thinking by effort, as far as it goes",
     .from = IN(",'thinking':{'type':'adaptive'},'output_config':{'effort':'max'}"),
     .to = OUT(",'reasoning_effort':'high'")},
    {.what = "a small budget, as far as it goes",
     .from = "{'model':'m','max_tokens':9," HI
             ",'thinking':{'type':'enabled','budget_tokens':100}}",
     .to = OUT(",'reasoning_effort':'low'")},
    {.what = "no effort",
     .from = IN(",'thinking':{'type':'enabled','budget_tokens':8192}"),
     .to = OUT(""),
     .t = {.no_effort = true}},
    {.what = "a schema",
     .from = IN(",'output_config':{'format':{'type':'json_schema','schema':" CLOSED "}}"),
     .to = OUT(
         ",'response_format':{'type':'json_schema','json_schema':{'name':'output','schema':" CLOSED
         ",'strict':true}}")},
    {.what = "a user", .from = IN(",'metadata':{'user_id':'u1'}"), .to = OUT(",'user':'u1'")},
};

static void test_settings(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(settings); i++)
        check(&settings[i], DIALECT_ANTHROPIC, DIALECT_OPENAI);
}

/* ---- OpenAI's words read --------------------------------------------------------------------- */

/* They are written again, for a server with other habits: what was understood shows in that. */
#define O(messages) "{'model':'m','messages':[" messages "]}"

static const struct row reads[] = {
    {.what = "roles",
     .from = O("{'role':'developer','content':'A'},{'role':'system','content':[" TEXT("B") "]}," U(
         "'Hi'")),
     .to = O("{'role':'system','content':'A\\n\\nB'}," U("'Hi'"))},
    {.what = "parts",
     .from = O(
         U("[" TEXT("T") "," IMAGE_URL ",{'type':'image_url','image_url':'https://x/'},"
                         "{'type':'input_audio','input_audio':{'data':'UklG','format':'wav'}},"
                         "{'type':'input_audio','input_audio':{'data':'SUQz','format':'mp3'}},"
                         "{'type':'file','file':{'file_data':'data:application/pdf;base64,JV'}},"
                         "{'type':'new_thing','x':1}]")),
     .to = O(U("[" TEXT("T") "," IMAGE_URL ",{'type':'image_url','image_url':{'url':'https://x/'}},"
                             "{'type':'input_audio','input_audio':{'data':'UklG','format':'wav'}},"
                             "{'type':'input_audio','input_audio':{'data':'SUQz','format':'mp3'}},"
                             "{'type':'file','file':{'filename':'document.pdf','file_data':"
                             "'data:application/pdf;base64,JV'}}]"))},
    {.what = "the older functions",
     .from = "{'model':'m','messages':[" U(
         "'Hi'") ",{'role':'assistant','content':null,"
                 "'function_call':{'name':'f','arguments':'{\\'x\\':1}'}},{'role':'function','name'"
                 ":"
                 "'f','content':'R'}],'functions':[{'name':'f','parameters':" SCHEMA "}],"
                 "'function_call':{'name':'f'}}",
     .to = "{'model':'m','messages':[" U("'Hi'") "," CALLS(
         CALL("call_function_1")) ",{'role':'tool','tool_call_id':'call_function_1','content':'R'}]"
                                  ",'tools':[{'type':"
                                  "'function','function':{'name':'f','parameters':" SCHEMA
                                  "}}],'tool_choice':{'type':"
                                  "'function','function':{'name':'f'}}}"},
    {.what = "reasoning of earlier turns",
     .from = O(U("'Hi'") ",{'role':'assistant','reasoning':'Hm','content':'A'}," U("'B'")),
     .to = O(U("'Hi'") ",{'role':'assistant','content':'A','reasoning_content':'Hm'}," U("'B'")),
     .t = {.reasoning_content = true}},
    {.what = "arguments that are none",
     .from = O(U("'Hi'") ",{'role':'assistant','tool_calls':[{'id':'a','type':'function',"
                         "'function':{'name':'f','arguments':'oops'}},{'id':'b','type':'function','"
                         "function'"
                         ":{'name':'f','arguments':''}}]},{'role':'tool','tool_call_id':'a','"
                         "content':[" TEXT("1") "," TEXT(
                             "2") "]},{'role':'tool','tool_call_id':'b','content':null}"),
     .to = O(U("'Hi'") "," CALLS("{'id':'a','type':'function','function':{'name':'f','arguments':"
                                 "'{}'}},{'id':'b','type':'function','function':{'name':'f',"
                                 "'arguments':'{}'}}") ",{'role':'tool','tool_call_id':'a','"
                                                       "content':'1\\n2'},{'role':'tool',"
                                                       "'tool_call_id':'b','content':''}")},
    {.what = "numbers and words",
     .from = "{'model':'m','messages':[" U(
         "'Hi'") "],'max_completion_tokens':7,'max_tokens':8,"
                 "'stop':'END','n':1,'seed':3,'logprobs':true,'top_logprobs':2,'frequency_penalty':"
                 "1,"
                 "'presence_penalty':0.5,'user':'u','safety_identifier':'s','logit_bias':{'1':2},"
                 "'reasoning':{'max_tokens':1024},'verbosity':'low','store':true,'stream':true,"
                 "'stream_options':{'include_usage':false},'parallel_tool_calls':false}",
     .to = "{'model':'m','messages':[" U(
         "'Hi'") "],'max_tokens':7,'stream':true,'stream_options':"
                 "{'include_usage':true},'frequency_penalty':1.0,'presence_penalty':0.5,'seed':3,"
                 "'logprobs':true,'top_logprobs':2,'stop':['END'],'reasoning_effort':'low','user':'"
                 "s'}"},
    {.what = "allowed tools are all the tools",
     .from = "{'model':'m','messages':[" U(
         "'Hi'") "],'tools':[{'type':'function','function':"
                 "{'name':'f'}},{'type':'custom','custom':{'name':'c'}},{'type':'function','"
                 "function':"
                 "{'name':'g'}}],'tool_choice':{'type':'allowed_tools','allowed_tools':{'mode':"
                 "'required','tools':[{'type':'function','function':{'name':'g'}}]}}}",
     .to = "{'model':'m','messages':[" U("'Hi'") "],'tools':[{'type':'function','function':{"
                                                 "'name':'g','parameters':{'type':'object','"
                                                 "properties':{}}}}],'tool_choice':'required'"
                                                 "}"},
    {.what = "thinking switched by others' words",
     .from = "{'model':'m','messages':[" U("'Hi'") "],'thinking':{'type':'disabled'}}",
     .to = "{'model':'m','messages':[" U("'Hi'") "],'reasoning_effort':'none'}",
     .t = {.all_efforts = true}},
    {.what = "n", .from = "{'messages':[],'n':2}", .to = "n: ", .e = ERR_UNSUPPORTED},
    {.what = "audio",
     .from = "{'messages':[],'modalities':['text','audio']}",
     .to = "modalities",
     .e = ERR_UNSUPPORTED},
    {.what = "no messages", .from = "{'model':'m'}", .to = "messages: ", .e = ERR_SYNTAX},
    {.what = "a message that is none", .from = O("1"), .to = "messages: ", .e = ERR_SYNTAX},
    {.what = "an odd role", .from = O("{'role':'bot'}"), .to = "role", .e = ERR_SYNTAX},
    {.what = "odd content", .from = O(U("{}")), .to = "content", .e = ERR_SYNTAX},
    {.what = "a part that is none", .from = O(U("[1]")), .to = "content", .e = ERR_SYNTAX},
    {.what = "an image without URL",
     .from = O(U("[{'type':'image_url'}]")),
     .to = "image_url",
     .e = ERR_SYNTAX},
    {.what = "a result without an id",
     .from = O("{'role':'tool','content':'x'}"),
     .to = "tool_call_id",
     .e = ERR_SYNTAX},
    {.what = "a call without a name",
     .from = O("{'role':'assistant','tool_calls':[{'id':'a'}]}"),
     .to = "tool_calls",
     .e = ERR_SYNTAX},
    {.what = "tools that are none",
     .from = "{'messages':[],'tools':{'x':1}}",
     .to = "tools",
     .e = ERR_SYNTAX},
    {.what = "an odd choice",
     .from = "{'messages':[],'tool_choice':'maybe'}",
     .to = "tool_choice",
     .e = ERR_SYNTAX},
    {.what = "an odd effort",
     .from = "{'messages':[],'reasoning_effort':'vast'}",
     .to = "reasoning_effort",
     .e = ERR_SYNTAX},
    {.what = "an odd format",
     .from = "{'messages':[],'response_format':{'type':'xml'}}",
     .to = "response_format",
     .e = ERR_SYNTAX},
    {.what = "an odd stop", .from = "{'messages':[],'stop':[1]}", .to = "stop", .e = ERR_SYNTAX},
    {.what = "no JSON", .from = "{'messages':[", .to = "JSON", .e = ERR_SYNTAX},
};

static void test_reads(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(reads); i++)
        check(&reads[i], DIALECT_OPENAI, DIALECT_OPENAI);
}

/* ---- strict schemas -------------------------------------------------------------------------- */

static void test_strict(void **state)
{
    static const struct {
        const char *schema;
        bool strict;
    } rows[] = {
        {CLOSED, true},
        {SCHEMA, false},
        {"{'type':'object','properties':{},'required':[],'additionalProperties':false}", true},
        {"{'type':'object','properties':{},'additionalProperties':{}}", false},
        {"{'type':'string'}", false},
        {"[]", false},
        {"", false},
        {"{'type':'object','additionalProperties':false,'required':['a'],'properties':{'a':" SCHEMA
         "}}",
         false},
        {"{'type':'object','additionalProperties':false,'required':['a'],'properties':{'a':{'type'"
         ":'array','items':" CLOSED "}}}",
         true},
        {"{'type':'object','additionalProperties':false,'required':['a'],'properties':{'a':{'anyOf'"
         ":[" CLOSED "," SCHEMA "]}}}",
         false},
        {"{'type':'object','additionalProperties':false,'required':['a'],'properties':{'a':{'$ref'"
         ":'#/$defs/b'}},'$defs':{'b':" CLOSED "}}",
         true},
        {"{'type':'object','additionalProperties':false,'required':['b'],'properties':{'a':{}}}",
         false},
        {"{'type':'object','additionalProperties':false,'required':[],'properties':{},'allOf':[]}",
         false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *schema = mem_strdup(rows[i].schema);
        quotes(schema);
        assert_int_equal(openai_schema_strict(slice_of(schema)), rows[i].strict);
        mem_free(schema);
    }
}

/* ---- size ------------------------------------------------------------------------------------ */

/* Many results of one id, and none of its calls: each is looked at once. */
static void test_many_results(void **state)
{
    struct ask_target t = {.model = S("m")};
    struct names *names = names_new();
    struct buf body, out;
    const char *why = "";
    (void)state;
    buf_init(&body, 1 << 25);
    buf_init(&out, 1 << 26);
    assert_int_equal(buf_puts(&body, S("{\"messages\":[")), OK);
    for (int i = 0; i < 40000; i++)
        assert_int_equal(buf_puts(&body, S("{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\","
                                           "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},"
                                           "{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":"
                                           "\"r\"},")),
                         OK);
    for (int i = 0; i < 40000; i++)
        assert_int_equal(buf_puts(&body, S("{\"role\":\"tool\",\"tool_call_id\":\"a\","
                                           "\"content\":\"r\"},")),
                         OK);
    assert_int_equal(buf_puts(&body, S("{\"role\":\"user\",\"content\":\"Hi\"}]}")), OK);
    assert_int_equal(codec_ask_translate(DIALECT_OPENAI, DIALECT_OPENAI, buf_slice(&body), &t,
                                         names, &out, &why),
                     OK);
    assert_true(slice_search(buf_slice(&out), S("No result")) < 0);
    assert_true(slice_search(buf_slice(&out), S("Result of an earlier")) > 0);
    buf_free(&body);
    buf_free(&out);
    names_free(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),     cmocka_unit_test(test_settings),
        cmocka_unit_test(test_reads),        cmocka_unit_test(test_strict),
        cmocka_unit_test(test_many_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
