/* links: base http codec */
/* The Ollama dialect: what is read in requests and errors, what the gateway says itself, what is
 * said of replies as the servers write them, which result belongs to which call, and streams of
 * lines as the observer follows them. In the tables a ' stands for a ". */
#include "codec_said.h"
#include "codec_watch.h"

#include "codec/talk.h"

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
        const char *body, *model;
        bool stream;
        int64_t max_tokens;
    } rows[] = {
        {"{}", "", true, -1}, /* who says nothing gets a stream */
        {"{'model':'llama3','stream':false}", "llama3", false, -1},
        {"{'stream':null}", "", true, -1},
        {"{'stream':true,'options':{'num_predict':9}}", "", true, 9},
        {"{'options':{'num_predict':-1}}", "", true, -1},
        {"{'messages':[{'model':'x','stream':false}]}", "", true, -1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct request_facts f;
        struct ask_facts a;
        const char *why = "";
        struct slice body = quoted(rows[i].body);
        assert_int_equal(codec_request_scan(DIALECT_OLLAMA, body, &f, &why), OK);
        assert_string_equal(f.model, rows[i].model);
        assert_int_equal(f.stream, rows[i].stream);
        assert_int_equal(f.max_tokens, rows[i].max_tokens);
        codec_ask_facts(DIALECT_OLLAMA, body, &a);
        assert_int_equal(a.stream, rows[i].stream);
    }
}

static void test_refused(void **state)
{
    static const char *const rows[] = {"[]", "{'model':1}", "{'stream':'x'}",
                                       "{'options':{'num_predict':'9'}}", "{'model':'m'"};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct request_facts f;
        const char *why = "";
        assert_int_equal(codec_request_scan(DIALECT_OLLAMA, quoted(rows[i]), &f, &why), ERR_SYNTAX);
        assert_true(why[0] != '\0');
    }
}

static uint64_t talk(const char *body)
{
    struct request_facts f;
    const char *why = "";
    assert_int_equal(codec_request_scan(DIALECT_OLLAMA, quoted(body), &f, &why), OK);
    return f.conversation;
}

static void test_conversation(void **state)
{
    uint64_t first = talk("{'messages':[{'role':'system','content':'S'},{'role':'user','content':"
                          "'Hi'}]}");
    (void)state;
    assert_true(first != 0);
    assert_true(first == talk("{'model':'m','messages':[{'role':'system','content':'S'},{'role':"
                              "'user','content':'Hi','images':['x']},{'role':'assistant',"
                              "'content':'x'},{'role':'user','content':'more'}]}"));
    assert_true(first != talk("{'messages':[{'role':'system','content':'S'},{'role':'user',"
                              "'content':'Ho'}]}"));
    assert_true(talk("{'messages':[]}") == 0);
}

/* ---- errors ---------------------------------------------------------------------------------- */

static void test_error_read(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum reply_error error;
    } rows[] = {
        {404, "{'error':'model not found, try pulling it first'}", REPLY_ERROR_CLIENT},
        {401, "{'error':'unauthorized'}", REPLY_ERROR_AUTH},
        {429, "{'error':'you reached your hourly usage limit'}", REPLY_ERROR_RATE_LIMIT},
        {503, "{'error':'server busy'}", REPLY_ERROR_OVERLOADED},
        {500, "{'error':'rate limit'}", REPLY_ERROR_SERVER}, /* the status goes first */
        {400, "{'error':'x does not support thinking'}", REPLY_ERROR_CLIENT},
        {500, "", REPLY_ERROR_SERVER},
        /* within a stream there is no status */
        {0, "{'error':'x not found, try pulling it first'}", REPLY_ERROR_CLIENT},
        {0, "{'error':'you reached your weekly usage limit'}", REPLY_ERROR_RATE_LIMIT},
        {0, "{'error':'unauthorized'}", REPLY_ERROR_AUTH},
        {0, "{'error':'server busy, please try again'}", REPLY_ERROR_OVERLOADED},
        {0, "{'error':'unexpected EOF'}", REPLY_ERROR_SERVER},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct reply_words words = {0};
        struct observation o = {.words = &words};
        codec_error_read(DIALECT_OLLAMA, rows[i].status, quoted(rows[i].body), &o);
        if (o.error != rows[i].error)
            fail_msg("%d %s: %d", rows[i].status, rows[i].body, (int)o.error);
    }
}

static void test_own_errors(void **state)
{
    struct buf out;
    (void)state;
    buf_init(&out, 1 << 16);
    assert_int_equal(codec_error_body(DIALECT_OLLAMA, 503, S("a \"b\""), S("r"), &out), OK);
    assert_true(slice_eq(buf_slice(&out), S("{\"error\":\"a \\\"b\\\"\"}")));
    buf_clear(&out);
    assert_int_equal(codec_error_event(DIALECT_OLLAMA, 503, S("x"), S("r"), &out), OK);
    assert_true(slice_eq(buf_slice(&out), S("{\"error\":\"x\"}\n")));
    buf_free(&out);
    assert_int_equal(codec_ping(DIALECT_OLLAMA).n, 0);
}

/* ---- replies --------------------------------------------------------------------------------- */

#define M(in)   "{'model':'q','message':{'role':'assistant'," in "},'done':false}\n"
#define D(word) "{'model':'q','message':{'content':''},'done':true,'done_reason':'" word "'}\n"
#define START   " start model=q;"
#define HI      " open text; delta text :Hi; close text;"

static const struct row {
    const char *what, *events, *said;
    bool whole;
    enum err e;
} rows[] = {
    {"by the book",
     M("'content':'H'") M(
         "'content':'i'") "{'model':'q','message':{'content':''},'done':true,'done_reason':'stop',"
                          "'prompt_eval_count':26,'eval_count':9}\n",
     START " open text; delta text :H; delta text :i; close text; stop end 26+9; end;", false, OK},
    {"the last words with the end",
     "{'model':'q','message':{'content':'Hi'},'done':true,'done_reason':'length'}\n",
     START HI " stop length; end;", false, OK},
    {"cut", M("'content':'Hi'"), START " open text; delta text :Hi;", false, OK},
    {"nothing behind the end", D("stop") M("'content':'Hi'"), START " stop end; end;", false, OK},
    {"thinking and text in one line", M("'content':'Hi','thinking':'Hm'") D("stop"),
     START " open thinking; delta thinking :Hm; close thinking;" HI " stop end; end;", false, OK},
    {"a call with its id",
     M("'content':'','tool_calls':[{'id':'c1','function':{'name':'f','arguments':{'a':[1]}}}]")
         D("stop"),
     START " open call id=c1 name=f; delta call :{\"a\":[1]}; close call; stop calls; end;", false,
     OK},
    {"arguments as a string, or none",
     M("'tool_calls':[{'id':'c1','function':{'name':'f','arguments':'{}'}},{'id':'c2','function':{"
       "'name':'g'}}]") D("stop"),
     START " open call id=c1 name=f; delta call :{}; close call; open call id=c2 name=g;"
           " delta call :{}; close call; stop calls; end;",
     false, OK},
    {"a call without a name", M("'tool_calls':[{'function':{}}]"), START, false, ERR_SYNTAX},
    {"an error", M("'content':'Hi'") "{'error':'boom'}\n" M("'content':'x'"),
     START HI " error 500 :boom;", false, OK},
    {"an error of a kind", "{'error':'server busy'}\n", " error 503 :server busy;", false, OK},
    {"probabilities",
     M("'content':'Hi'") "{'model':'q','message':{'content':''},'done':false,'logprobs':[{'token':'"
                         "Hi'}]}\n" D("stop"),
     START " open text; delta text :Hi; probs :{\"content\":[{\"token\":\"Hi\"}]}; close text;"
           " stop end; end;",
     false, OK},
    {"no message", "{'model':'q','response':'Hi','done':false}\n", "", false, ERR_SYNTAX},
    {"no object", "[]\n", "", false, ERR_SYNTAX},
    {"whole", "{'model':'q','message':{'content':'Hi'},'done':true,'eval_count':2}\n",
     START HI " stop end 0+2; end;", true, OK},
    {"whole without an end", "{'model':'q','message':{'content':'Hi'}}\n",
     START HI " stop end; end;", true, OK},
};

static void test_replies(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct said t;
        enum err e = said_read(&t, DIALECT_OLLAMA, rows[i].events, rows[i].whole);
        if (e != rows[i].e || strcmp(t.text, rows[i].said) != 0)
            fail_msg("%s: %s\n%s\n--- expected: %s\n%s", rows[i].what, err_name(e), t.text,
                     err_name(rows[i].e), rows[i].said);
    }
}

/* ---- which result belongs to which call ------------------------------------------------------ */

struct step {
    char what; /* c: a call, r: a result, f: forget */
    const char *name, *id;
    const char *gets; /* the id it must have then */
};

static void test_call_book(void **state)
{
    static const struct step steps[] = {
        {'c', "f", "", "call_1"},   {'c', "f", "", "call_2"}, {'c', "g", "own", "own"},
        {'r', "f", "", "call_1"},   {'r', "g", "", "own"},    {'r', "f", "", "call_2"},
        {'r', "f", "", "result_4"}, /* there is no third call */
        {'c', "f", "", "call_5"},   {'c', "f", "x", "x"},     {'r', "f", "x", "x"},
        {'r', "f", "", "call_5"}, /* the other one was answered by its id, out of turn */
        {'f', "", "", ""},          {'c', "f", "", "call_7"}, {'r', "f", "call_7", "call_7"},
        {'r', "f", "", "result_8"}};
    struct arena arena;
    struct ask a;
    struct call_book b;
    (void)state;
    arena_init(&arena, 1 << 20);
    ask_init(&a, &arena);
    call_book_init(&b, &a);
    struct turn *t = ask_turn(&a, ROLE_USER);
    for (size_t i = 0; i < COUNT(steps); i++) {
        if (steps[i].what == 'f') {
            call_book_forget(&b);
            continue;
        }
        struct part *p = turn_part(&a, t, steps[i].what == 'c' ? PART_CALL : PART_RESULT);
        p->name = slice_of(steps[i].name);
        p->id = slice_of(steps[i].id);
        if (p->kind == PART_CALL)
            call_book_call(&b, p);
        else
            call_book_result(&b, p);
        if (!slice_eq(p->id, slice_of(steps[i].gets)))
            fail_msg("step %zu: %.*s", i, (int)p->id.n, p->id.p);
    }
    assert_false(a.full);
    call_book_free(&b);
    arena_free(&arena);
}

/* ---- streams of lines, watched --------------------------------------------------------------- */

#define LINE "{\"model\":\"q\",\"message\":{\"content\":\"Hi\"},\"done\":false}\n"
#define LAST "{\"model\":\"q\",\"message\":{},\"done\":true,\"done_reason\":\"stop\"}\n"

/* What is let through ends with a line, wherever the stream is cut. */
static void test_boundaries(void **state)
{
    struct slice stream = S(LINE LINE LAST);
    (void)state;
    for (size_t n = 0; n <= stream.n; n++) {
        struct observer *o = observer_new(DIALECT_OLLAMA, REPLY_LINES);
        size_t whole = observer_feed(o, slice_sub(stream, 0, n));
        assert_true(whole <= n && (whole == 0 || stream.p[whole - 1] == '\n'));
        assert_true(n - whole < sizeof LINE + 8);
        assert_int_equal(observer_see(o)->meaningful, n >= sizeof LINE - 1);
        observer_end(o);
        assert_int_equal(observer_see(o)->terminal, n >= stream.n - 1);
        assert_false(observer_see(o)->blind);
        observer_free(o);
    }
}

/* A line that is too long makes the observer blind, not the stream dead. */
static void test_long_line(void **state)
{
    struct observer *o = observer_new(DIALECT_OLLAMA, REPLY_LINES);
    static char part[65536];
    (void)state;
    memset(part, 'a', sizeof part);
    assert_int_equal(observer_feed(o, S("{\"model\":\"")), 0);
    for (int i = 0; i < 200; i++)
        assert_int_equal(observer_feed(o, (struct slice){part, sizeof part}), 0);
    assert_true(observer_see(o)->blind);
    assert_int_equal(observer_feed(o, S("\"}\n")), 3);
    assert_int_equal(observer_feed(o, S(LAST)), sizeof LAST - 1);
    observer_end(o);
    assert_false(observer_see(o)->terminal);
    observer_free(o);
}

/* Who is reused remembers nothing of the stream before. */
static void test_reuse(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct observer *o = observer_new(DIALECT_OLLAMA, REPLY_LINES);
        assert_int_equal(observer_feed(o, S("{\"model\":\"half")), 0);
        observer_free(o);
        struct watch w;
        watch_play_as(&w, DIALECT_OLLAMA, REPLY_LINES, S(LINE LAST), 0, 3);
        assert_non_null(strstr(w.seen, "terminal=1 blind=0"));
        watch_play_as(&w, DIALECT_GEMINI, REPLY_JSON, S("[{\"candidates\":[{\"finish"), 0, 3);
        assert_non_null(strstr(w.seen, "terminal=0 blind=0"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts),        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_conversation), cmocka_unit_test(test_error_read),
        cmocka_unit_test(test_own_errors),   cmocka_unit_test(test_replies),
        cmocka_unit_test(test_call_book),    cmocka_unit_test(test_boundaries),
        cmocka_unit_test(test_long_line),    cmocka_unit_test(test_reuse)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
