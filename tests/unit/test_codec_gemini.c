/* links: base http codec */
/* The Gemini dialect: what is read in requests and errors, what the gateway says itself, what is
 * said of replies as the servers write them, signatures and schemas. In the tables a ' stands for
 * a ". */
#include "codec_said.h"

#include "codec/gemini.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

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
        const char *body;
        int64_t max_tokens;
        const char *cached; /* "" = none */
    } rows[] = {
        {"{}", -1, ""},
        {"{'contents':[],'generationConfig':{'maxOutputTokens':9}}", 9, ""},
        {"{'generation_config':{'max_output_tokens':7}}", 7, ""},
        {"{'generationConfig':{'maxOutputTokens':null}}", -1, ""},
        {"{'contents':[{'maxOutputTokens':9,'model':'x','stream':true}]}", -1, ""},
        {"{'cachedContent':'cachedContents/ab'}", -1, "cachedContents/ab"},
        {"{'cached_content':'cachedContents/cd'}", -1, "cachedContents/cd"},
        {"{'cachedContent':null}", -1, ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct request_facts f;
        struct request_refs refs;
        const char *why = "";
        struct slice body = quoted(rows[i].body);
        assert_int_equal(codec_request_scan(DIALECT_GEMINI, body, &f, &why), OK);
        assert_string_equal(f.model, ""); /* the path tells it, and whether to stream */
        assert_false(f.stream);
        assert_int_equal(f.max_tokens, rows[i].max_tokens);
        codec_request_refs(DIALECT_GEMINI, body, &f, &refs);
        assert_int_equal(refs.n, rows[i].cached[0] != '\0');
        if (refs.n > 0)
            assert_string_equal(refs.id[0], rows[i].cached);
    }
}

static void test_refused(void **state)
{
    static const char *const rows[] = {"[]", "{'generationConfig':{'maxOutputTokens':'9'}}", "",
                                       "{'contents':[}"};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct request_facts f;
        const char *why = "";
        assert_int_equal(codec_request_scan(DIALECT_GEMINI, quoted(rows[i]), &f, &why), ERR_SYNTAX);
        assert_true(why[0] != '\0');
    }
}

static uint64_t talk(const char *body)
{
    struct request_facts f;
    const char *why = "";
    assert_int_equal(codec_request_scan(DIALECT_GEMINI, quoted(body), &f, &why), OK);
    return f.conversation;
}

static void test_conversation(void **state)
{
    uint64_t first = talk("{'systemInstruction':{'parts':[{'text':'S'}]},'contents':[{'role':"
                          "'user','parts':[{'text':'Hi'}]}]}");
    (void)state;
    assert_true(first != 0);
    /* later turns, other names, another order: the same talk */
    assert_true(first == talk("{'contents':[{'parts':[{'text':'Hi'}]},{'role':'model','parts':[{"
                              "'text':'x'}]},{'role':'user','parts':[{'text':'more'}]}],"
                              "'system_instruction':{'role':'system','parts':[{'text':'S'}]}}"));
    assert_true(first != talk("{'systemInstruction':{'parts':[{'text':'S'}]},'contents':[{"
                              "'parts':[{'text':'Ho'}]}]}"));
    assert_true(first != talk("{'systemInstruction':{'parts':[{'text':'T'}]},'contents':[{"
                              "'parts':[{'text':'Hi'}]}]}"));
    assert_true(talk("{'contents':[{'role':'model','parts':[{'text':'Hi'}]}]}") == 0);
    assert_true(talk("{'contents':[]}") == 0);
    assert_true(talk("{'contents':7,'systemInstruction':'text'}") == 0);
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
        {429, "{'error':{'code':429,'message':'x','status':'RESOURCE_EXHAUSTED'}}",
         REPLY_ERROR_RATE_LIMIT, "RESOURCE_EXHAUSTED"},
        {429,
         "{'error':{'code':429,'message':'You exceeded your current quota, please check your plan "
         "and billing details.','status':'RESOURCE_EXHAUSTED'}}",
         REPLY_ERROR_RATE_LIMIT, "RESOURCE_EXHAUSTED"},
        {429,
         "{'error':{'code':429,'message':'Your prepayment credits are depleted.','status':"
         "'RESOURCE_EXHAUSTED'}}",
         REPLY_ERROR_BILLING, "RESOURCE_EXHAUSTED"},
        {400,
         "{'error':{'code':400,'status':'INVALID_ARGUMENT','details':[{'reason':"
         "'API_KEY_INVALID'}]}}",
         REPLY_ERROR_AUTH, "INVALID_ARGUMENT"},
        {400,
         "[{'error':{'code':400,'status':'INVALID_ARGUMENT','details':[{},{'reason':"
         "'API_KEY_EXPIRED'}]}}]",
         REPLY_ERROR_AUTH, "INVALID_ARGUMENT"},
        {403,
         "{'error':{'code':403,'status':'PERMISSION_DENIED','details':[{'reason':"
         "'BILLING_DISABLED'}]}}",
         REPLY_ERROR_BILLING, "PERMISSION_DENIED"},
        {403, "{'error':{'code':403,'status':'PERMISSION_DENIED'}}", REPLY_ERROR_AUTH,
         "PERMISSION_DENIED"},
        {401, "{'error':{'code':401,'status':'UNAUTHENTICATED'}}", REPLY_ERROR_AUTH,
         "UNAUTHENTICATED"},
        {400, "{'error':{'code':400,'status':'INVALID_ARGUMENT'}}", REPLY_ERROR_CLIENT,
         "INVALID_ARGUMENT"},
        {404, "{'error':{'code':404,'status':'NOT_FOUND'}}", REPLY_ERROR_CLIENT, "NOT_FOUND"},
        {500, "{'error':{'code':500,'status':'INTERNAL'}}", REPLY_ERROR_SERVER, "INTERNAL"},
        {503, "{'error':{'code':503,'status':'UNAVAILABLE'}}", REPLY_ERROR_OVERLOADED,
         "UNAVAILABLE"},
        {504, "{'error':{'code':504,'status':'DEADLINE_EXCEEDED'}}", REPLY_ERROR_SERVER,
         "DEADLINE_EXCEEDED"},
        {502, "<html>", REPLY_ERROR_SERVER, ""},
        {429, "[]", REPLY_ERROR_RATE_LIMIT, ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct reply_words words = {0};
        struct observation o = {.words = &words};
        codec_error_read(DIALECT_GEMINI, rows[i].status, quoted(rows[i].body), &o);
        assert_int_equal(o.error, rows[i].error);
        assert_string_equal(reply_words(&o)->error_type, rows[i].type);
    }
}

static void test_own_errors(void **state)
{
    static const struct {
        int status;
        const char *word;
    } rows[] = {{400, "INVALID_ARGUMENT"}, {401, "UNAUTHENTICATED"},    {403, "PERMISSION_DENIED"},
                {404, "NOT_FOUND"},        {413, "INVALID_ARGUMENT"},   {429, "RESOURCE_EXHAUSTED"},
                {500, "INTERNAL"},         {503, "UNAVAILABLE"},        {504, "DEADLINE_EXCEEDED"},
                {529, "UNAVAILABLE"},      {402, "FAILED_PRECONDITION"}};
    struct buf out;
    char want[256];
    (void)state;
    buf_init(&out, 1 << 16);
    for (size_t i = 0; i < COUNT(rows); i++) {
        buf_clear(&out);
        assert_int_equal(
            codec_error_event(DIALECT_GEMINI, rows[i].status, S("a \"b\""), S("r"), &out), OK);
        (void)text_format(want, sizeof want,
                          "data: {\"error\":{\"code\":%d,\"message\":\"a \\\"b\\\"\",\"status\":"
                          "\"%s\"}}\n\n",
                          rows[i].status, rows[i].word);
        assert_true(slice_eq(buf_slice(&out), slice_of(want)));
    }
    buf_free(&out);
    assert_int_equal(codec_ping(DIALECT_GEMINI).n, 0);
}

/* ---- replies --------------------------------------------------------------------------------- */

#define ID            ",'responseId':'r1'}\n"
#define P(parts)      "{'candidates':[{'content':{'parts':[" parts "]}}]" ID
#define F(word)       "{'candidates':[{'content':{},'finishReason':'" word "'}]" ID
#define CALL(in)      "{'functionCall':{" in "}}"
#define THOUGHT(text) "{'text':'" text "','thought':true}"
#define START         " start id=r1;"
#define HI            " open text; delta text :Hi; close text;"

static const struct row {
    const char *what, *events, *said;
    bool whole;
    enum err e;
} rows[] = {
    {"by the book", P("{'text':'H'}") P("{'text':'i'}") F("STOP"),
     START " open text; delta text :H; delta text :i; close text; stop end; end;", false, OK},
    {"a reason on every response",
     "{'candidates':[{'content':{'parts':[{'text':'H'}]},'finishReason':'STOP'}],"
     "'responseId':'r1'}\n{'candidates':[{'content':{'parts':[{'text':'i'}]},'finishReason':"
     "'STOP'}],'responseId':'r1'}\n",
     START " open text; delta text :H; delta text :i; close text; stop end; end;", false, OK},
    {"cut", P("{'text':'Hi'}"), START " open text; delta text :Hi;", false, OK},
    {"cut behind an unspecified reason", P("{'text':'Hi'}") F("FINISH_REASON_UNSPECIFIED"),
     START " open text; delta text :Hi;", false, OK},
    {"only the first candidate",
     "{'candidates':[{'index':0,'content':{'parts':[{'text':'Hi'}]},'finishReason':'STOP'},"
     "{'index':1,'content':{'parts':[{'text':'Ho'}]},'finishReason':'MAX_TOKENS'}],"
     "'responseId':'r1'}\n",
     START HI " stop end; end;", false, OK},
    {"an unknown reason", P("{'text':'Hi'}") F("SOMETHING_NEW"), START HI " stop end; end;", false,
     OK},
    {"a signature on the text", P("{'text':'Hi','thoughtSignature':'Cx'}") F("STOP"),
     START " open thinking; sign :gemini#Cx; close thinking;" HI " stop end; end;", false, OK},
    {"a signature on the thought",
     P("{'text':'Hm','thought':true,'thoughtSignature':'Cx'}") P("{'text':'Hi'}") F("STOP"),
     START " open thinking; delta thinking :Hm; sign :gemini#Cx; close thinking;" HI
           " stop end; end;",
     false, OK},
    {"a signature on the call behind a thought",
     P(THOUGHT("Hm")) P("{'functionCall':{'name':'f','args':{'a':1}},'thoughtSignature':'Cx'}")
         F("STOP"),
     START " open thinking; delta thinking :Hm; sign :gemini#Cx; close thinking; open call"
           " id=call_9c3c9f6b8a8f2e6c name=f;",
     false, OK},
    {"in snake case",
     P("{'function_call':{'id':'c1','name':'f','args':{}},'thought_signature':'Cx'}") F("STOP"),
     START " open thinking; sign :gemini#Cx; close thinking; open call id=c1 name=f;"
           " delta call :{}; close call; stop calls; end;",
     false, OK},
    {"a call without a name", P(CALL("'id':'c1'")) F("STOP"), START " stop end; end;", false, OK},
    {"calls and the length", P(CALL("'id':'c1','name':'f'")) F("MAX_TOKENS"),
     START " open call id=c1 name=f; delta call :{}; close call; stop length; end;", false, OK},
    {"usage before the reason only",
     "{'candidates':[{'content':{'parts':[{'text':'Hi'}]}}],'responseId':'r1','usageMetadata':{"
     "'promptTokenCount':30,'cachedContentTokenCount':20,'candidatesTokenCount':4,"
     "'thoughtsTokenCount':5}}\n" F("STOP"),
     START HI " stop end 10+9; end;", false, OK},
    {"blocked", "{'promptFeedback':{'blockReason':'SAFETY'},'responseId':'r1'}\n",
     START " stop refusal; end;", false, OK},
    {"refused words", P("{'text':'Hi'}") F("RECITATION"), START HI " stop refusal; end;", false,
     OK},
    {"a mess", F("UNEXPECTED_TOOL_CALL"),
     START " error 500 UNEXPECTED_TOOL_CALL :The model broke its reply off: UNEXPECTED_TOOL_CALL;",
     false, OK},
    {"an error",
     P("{'text':'Hi'}") "{'error':{'code':429,'message':'slow','status':'RESOURCE_EXHAUSTED'}}\n" P(
         "{'text':'x'}"),
     START HI " error 429 RESOURCE_EXHAUSTED :slow;", false, OK},
    {"an error without a code", "{'error':{'message':'x'}}\n", " error 500 :x;", false, OK},
    {"no JSON", P("{'text':'Hi'}") "<html>\n", START " open text; delta text :Hi;", false,
     ERR_SYNTAX},
    {"[DONE], as some proxies say", P("{'text':'Hi'}") F("STOP") "[DONE]\n",
     START HI " stop end; end;", false, OK},
    {"whole", P("{'text':'Hi'}"), START HI " stop end; end;", true, OK},
    {"whole and empty", "{'usageMetadata':{}}\n", "", true, ERR_SYNTAX},
    {"whole, an image",
     P("{'inlineData':{'mimeType':'image/png','data':'iVBO'}},{'inlineData':{'mimeType':"
       "'audio/wav','data':'UklG'}}"),
     START " open image name=image/png; delta image :iVBO; close image; stop end; end;", true, OK},
    {"whole, no object", "7\n", "", true, ERR_SYNTAX},
};

static void test_replies(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct said t;
        enum err e = said_read(&t, DIALECT_GEMINI, rows[i].events, rows[i].whole);
        struct slice text = {t.text, t.n}, want = slice_of(rows[i].said);
        ptrdiff_t made = slice_search(want, S("id=call_"));
        if (made >= 0) { /* ids that are made up are the same each time, but not known here */
            want.n = (size_t)made;
            text = slice_sub(text, 0, text.n < want.n ? text.n : want.n);
        }
        if (e != rows[i].e || !slice_eq(text, want))
            fail_msg("%s: %s\n%s\n--- expected: %s\n%s", rows[i].what, err_name(e), t.text,
                     err_name(rows[i].e), rows[i].said);
    }
}

/* Two calls of one name have two ids; so have two replies, and one reply has the same each time. */
static void test_made_ids(void **state)
{
    struct said a, b;
    const char *events = P(CALL("'name':'f'") "," CALL("'name':'f'") "," CALL(
        "'id':'c','name':'f'") "," CALL("'id':'c','name':'f'")) F("STOP");
    (void)state;
    assert_int_equal(said_read(&a, DIALECT_GEMINI, events, false), OK);
    assert_int_equal(said_read(&b, DIALECT_GEMINI, events, false), OK);
    assert_string_equal(a.text, b.text);
    char ids[4][32];
    struct slice rest = slice_of(a.text);
    for (int i = 0; i < 4; i++) {
        ptrdiff_t at = slice_search(rest, S(" id=c"));
        assert_true(at >= 0);
        rest = slice_sub(rest, (size_t)at + 4, rest.n);
        ptrdiff_t end = slice_find(rest, ' ');
        assert_true(end > 0);
        text_copy(ids[i], sizeof ids[i], slice_sub(rest, 0, (size_t)end));
        for (int k = 0; k < i; k++)
            assert_string_not_equal(ids[i], ids[k]);
    }
}

/* ---- signatures ------------------------------------------------------------------------------ */

static void test_signatures(void **state)
{
    static const struct {
        const char *sign, *wire;
    } pairs[] = {
        {"gemini#CpcHAdHtim9w", "CpcHAdHtim9w"},
        {"EpIB", "U0xVRXBJQg=="},
        {"gAAAA-_x", "U0xVZ0FBQUEtX3g="},
        {"gemini#", ""},
    };
    struct buf out;
    (void)state;
    buf_init(&out, 1 << 16);
    for (size_t i = 0; i < COUNT(pairs); i++) {
        buf_clear(&out);
        assert_int_equal(gemini_sign_write(slice_of(pairs[i].sign), &out), OK);
        assert_true(slice_eq(buf_slice(&out), slice_of(pairs[i].wire)));
        buf_clear(&out);
        assert_int_equal(gemini_sign_read(slice_of(pairs[i].wire), &out), OK);
        assert_true(slice_eq(buf_slice(&out), slice_of(pairs[i].sign)));
    }
    /* libraries change the alphabet and lose the padding */
    buf_clear(&out);
    assert_int_equal(gemini_sign_write(S("\xc3\xbf\xc3\xbf\xc3\xbe?>"), &out), OK);
    for (size_t i = 0; i < out.len; i++)
        out.p[i] = out.p[i] == '+' ? '-' : out.p[i] == '/' ? '_' : out.p[i];
    while (out.len > 0 && out.p[out.len - 1] == '=')
        out.len--;
    char wire[64];
    text_copy(wire, sizeof wire, buf_slice(&out));
    buf_clear(&out);
    assert_int_equal(gemini_sign_read(slice_of(wire), &out), OK);
    assert_true(slice_eq(buf_slice(&out), S("\xc3\xbf\xc3\xbf\xc3\xbe?>")));
    /* what only looks wrapped is Gemini's own */
    buf_clear(&out);
    assert_int_equal(gemini_sign_read(S("U0xV!"), &out), OK);
    assert_true(slice_eq(buf_slice(&out), S("gemini#U0xV!")));
    buf_free(&out);
    assert_true(signature_is_anthropic(S("EpIB")));
    assert_false(signature_is_anthropic(S("gemini#CpcH")));
    assert_false(signature_is_anthropic(S("")));
}

/* ---- schemas and models ---------------------------------------------------------------------- */

static void test_schema_cut(void **state)
{
    static const struct {
        const char *schema, *cut;
    } pairs[] = {
        {"{'type':'object','$schema':'x','additionalProperties':false,'properties':{'a':{'type':"
         "'string','minLength':1}},'required':['a']}",
         "{'type':'object','properties':{'a':{'type':'string','minLength':1}},'required':['a']}"},
        {"{'type':['string','null'],'description':'d'}",
         "{'type':'string','nullable':true,'description':'d'}"},
        {"{'const':'x'}", "{'type':'string','enum':['x']}"},
        {"{'const':3}", "{'type':'number'}"},
        {"{'enum':['a','b']}", "{'type':'string','enum':['a','b']}"},
        {"{'enum':[1,2]}", "{'type':'number'}"},
        {"{'oneOf':[{'type':'string'},{'$ref':'#/x'}]}",
         "{'anyOf':[{'type':'string'},{'type':'object'}]}"},
        {"{'items':{'type':'integer'}}", "{'type':'array','items':{'type':'integer'}}"},
        {"{'properties':{'properties':{'type':'string'}}}",
         "{'type':'object','properties':{'properties':{'type':'string'}}}"},
        {"{'type':'object','exclusiveMinimum':0,'not':{},'if':{}}", "{'type':'object'}"},
    };
    struct buf out;
    (void)state;
    buf_init(&out, 1 << 16);
    for (size_t i = 0; i < COUNT(pairs); i++) {
        buf_clear(&out);
        assert_int_equal(gemini_schema_cut(quoted(pairs[i].schema), &out), OK);
        if (!slice_eq(buf_slice(&out), quoted(pairs[i].cut)))
            fail_msg("%s: %.*s", pairs[i].schema, (int)out.len, out.p);
    }
    buf_clear(&out);
    assert_int_equal(gemini_schema_cut(S("{"), &out), ERR_SYNTAX);
    assert_int_equal(out.len, 0);
    buf_free(&out);
}

static void test_schema_plain(void **state)
{
    static const struct {
        const char *subset, *plain;
    } pairs[] = {
        {"{'type':'OBJECT','properties':{'type':{'type':'STRING','nullable':true}},"
         "'propertyOrdering':['type']}",
         "{'type':'object','properties':{'type':{'type':['string','null']}}}"},
        {"{'type':'ARRAY','items':{'type':'Integer'},'minItems':'1','maxItems':2}",
         "{'type':'array','items':{'type':'integer'},'minItems':1,'maxItems':2}"},
        {"{'type':'STRING','format':'enum','enum':['A','STRING'],'example':'A'}",
         "{'type':'string','enum':['A','STRING']}"},
        {"{'anyOf':[{'type':'NUMBER'},{'type':'NULL'}]}",
         "{'anyOf':[{'type':'number'},{'type':'null'}]}"},
        {"{'type':'odd','default':{'type':'STRING'}}",
         "{'type':'odd','default':{'type':'STRING'}}"},
        {"{'type':['string','null']}", "{'type':['string','null']}"},
    };
    struct buf out;
    (void)state;
    buf_init(&out, 1 << 16);
    for (size_t i = 0; i < COUNT(pairs); i++) {
        struct json *doc = NULL;
        buf_clear(&out);
        assert_int_equal(json_parse(quoted(pairs[i].subset), &doc), OK);
        assert_int_equal(gemini_schema_plain(json_root(doc), &out), OK);
        if (!slice_eq(buf_slice(&out), quoted(pairs[i].plain)))
            fail_msg("%s: %.*s", pairs[i].subset, (int)out.len, out.p);
        json_free(doc);
    }
    buf_free(&out);
}

static void test_generation(void **state)
{
    static const struct {
        const char *model;
        int generation;
    } models[] = {
        {"gemini-2.5-flash", 25},
        {"models/gemini-3-pro-preview", 30},
        {"gemini-3.1-pro", 31},
        {"gemini-flash-latest", 0},
        {"google/gemini-2.0-flash-001", 20},
        {"gemini-4-argon", 40},
        {"gemma-3-27b-it", -1},
        {"gemini-", 0},
        {"", -1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(models); i++)
        assert_int_equal(gemini_generation(slice_of(models[i].model)), models[i].generation);
}

static void test_members(void **state)
{
    struct json *doc = NULL;
    (void)state;
    assert_int_equal(json_parse(quoted("{'mime_type':'a','fileUri':'b','max_output_tokens':1,"
                                       "'topP':2,'top_p':3}"),
                                &doc),
                     OK);
    const struct json_val *v = json_root(doc);
    assert_true(slice_eq(gemini_str(v, "mimeType"), S("a")));
    assert_true(slice_eq(gemini_str(v, "fileUri"), S("b")));
    assert_int_equal(json_type(gemini_get(v, "maxOutputTokens")), JSON_NUMBER);
    int64_t n = 0;
    assert_true(json_i64(gemini_get(v, "topP"), &n) && n == 2);
    assert_int_equal(json_type(gemini_get(v, "absent")), JSON_NONE);
    assert_int_equal(json_type(gemini_get(NULL, "topP")), JSON_NONE);
    json_free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts),        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_conversation), cmocka_unit_test(test_error_read),
        cmocka_unit_test(test_own_errors),   cmocka_unit_test(test_replies),
        cmocka_unit_test(test_made_ids),     cmocka_unit_test(test_signatures),
        cmocka_unit_test(test_schema_cut),   cmocka_unit_test(test_schema_plain),
        cmocka_unit_test(test_generation),   cmocka_unit_test(test_members)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
