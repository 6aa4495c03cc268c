/* links: base config net http codec store accounts gateway */
/* The number of a conversation: what an operator may type, and how keys are kept apart. */
#include "gateway/gateway.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_session(void **state)
{
    (void)state;
    /* 16 digits as records show them are the number itself */
    assert_true(conversation_of_session(S("0123456789abcdef")) == UINT64_C(0x0123456789abcdef));
    assert_true(conversation_of_session(S("ffffffffffffffff")) == UINT64_MAX);
    /* anything else is a session's id */
    static const char *const ids[] = {
        "0123456789abcde", "0123456789abcdef0", "0123456789abcdeg", "0123456789ABCDEF", "x",
        "talk-7"};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        assert_true(conversation_of_session(slice_of(ids[i])) ==
                    codec_session_hash(slice_of(ids[i])));
    assert_true(conversation_of_session(S("")) == 0);
    /* the same for ever: caches depend on it */
    assert_true(conversation_of_session(S("0b6f9d7e-6a51-4b1e-9df0-3a8f6f1d2c11")) ==
                UINT64_C(0x5ea038186a0d62cb));
}

static void test_key(void **state)
{
    uint64_t c = conversation_of_session(S("talk-7"));
    uint64_t a = conversation_of(S("talk-7"), S("AAAAAAAA"));
    uint64_t b = conversation_of(S("talk-7"), S("AAAAAAAB"));
    (void)state;
    assert_true(a != 0 && b != 0 && a != b && a != c && b != c);
    assert_true(a == conversation_of(S("talk-7"), S("AAAAAAAA")));
    assert_true(conversation_of(S("talk-7"), S("")) == c); /* nobody to be kept apart from */
    assert_true(conversation_of(S(""), S("AAAAAAAA")) == 0);
    assert_true(conversation_of(S("0123456789abcdef"), S("AAAAAAAA")) == 0x0123456789abcdef);
    /* no collision in a small crowd */
    uint64_t seen[1000];
    for (int i = 0; i < 1000; i++) {
        char id[16];
        size_t n = text_format(id, sizeof id, "%08d", i);
        seen[i] = conversation_of(S("talk-7"), (struct slice){id, n});
        for (int k = 0; k < i; k++)
            assert_true(seen[k] != seen[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_session), cmocka_unit_test(test_key)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
