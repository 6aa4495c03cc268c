/* Accounts with rotating tokens, as an operator handles them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "admin/inside.h"

/* An update replaces the settings as a whole: a pause must hand back all that is there. */
static void a_row_keeps_what_an_account_has(void **state)
{
    static const char SETTINGS[] = "{\"client_id\":\"mine\"}";
    struct account a = {.id = 7,
                        .version = 3,
                        .name = "max",
                        .provider = provider_find(S("claude-oauth")),
                        .priority = 2,
                        .weight = 5,
                        .created_at = 99,
                        .facts = {.paused = true}};
    struct account_row row;
    (void)state;
    text_copy(a.settings, sizeof a.settings, slice_of(SETTINGS));
    account_row_of(&a, &row);
    assert_string_equal(row.settings, SETTINGS);
    assert_string_equal(row.name, "max");
    assert_string_equal(row.base_url, ""); /* the provider's own stays the provider's own */
    assert_int_equal(row.id, 7);
    assert_int_equal(row.version, 3);
    assert_int_equal(row.priority, 2);
    assert_int_equal(row.weight, 5);
    assert_true(row.paused);
    assert_int_equal(row.secret.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_row_keeps_what_an_account_has)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
