/* links: base net http */
/* What a Host header is taken for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/http.h"

static void test_hosts(void **state)
{
    static const char *const NAMES[] = {"llm.example.com", "*.gw.example.com", "dotted.example."};
    static const struct {
        const char *host;
        bool number, local, named;
    } ROWS[] = {
        {"127.0.0.1", true, true, false},
        {"127.0.0.1:80", true, true, false},
        {"127.8.9.10:65535", true, true, false},
        {"[::1]", true, true, false},
        {"[::1]:8080", true, true, false},
        {"10.0.0.1:1", true, false, false},
        {"[fe80::1]:1", true, false, false},
        {"localhost", false, true, false},
        {"LocalHost:8080", false, true, false},
        {"llm.example.com", false, false, true},
        {"LLM.Example.COM.:443", false, false, true},
        {"dotted.example", false, false, true},
        {"a.gw.example.com:1", false, false, true},
        {"a.b.gw.example.com", false, false, true},
        {"gw.example.com", false, false, false},
        {".gw.example.com", false, false, false},
        {"agw.example.com", false, false, false},
        {"llm.example.com.evil.test", false, false, false},
        {"xllm.example.com", false, false, false},
        /* what looks like something else at a glance */
        {"127.0.0.1.evil.test", false, false, false},
        {"127.evil.test", false, false, false},
        {"localhost.evil.test", false, false, false},
        {"localhost.", false, false, false},
        {"127.1", false, false, false},
        {"2130706433", false, false, false},
        {"0x7f.0.0.1", false, false, false},
        {"[::1]evil", false, false, false},
        {"[::1", false, false, false},
        {"[127.0.0.1]", false, false, false},
        {"::1", false, false, false},
        {"llm.example.com:x", false, false, false},
        {"llm.example.com:", false, false, false},
        {"llm.example.com:99999", false, false, false},
        {"llm.example.com:80:80", false, false, false},
        {"llm.example.com@evil.test", false, false, false},
        {"evil.test#llm.example.com", false, false, false},
        {"", false, false, false},
        {":80", false, false, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        struct slice host = slice_of(ROWS[i].host);
        if (http_host_is_number(host) != ROWS[i].number ||
            http_host_is_local(host) != ROWS[i].local ||
            http_host_is(host, NAMES, 3) != ROWS[i].named)
            fail_msg("%s", ROWS[i].host);
        assert_false(http_host_is(host, NAMES, 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hosts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
