/* links: base netcore */
/* Addresses: parsing, text, and what counts as private. */
#include "net/addr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void parses_what_it_should(void **state)
{
    (void)state;
    static const struct {
        const char *in, *text;
        uint16_t port;
        bool loopback, priv;
    } table[] = {
        {"127.0.0.1:8080", "127.0.0.1:8080", 8080, true, true},
        {"127.255.3.4:1", "127.255.3.4:1", 1, true, true},
        {"[::1]:8080", "[::1]:8080", 8080, true, true},
        {"[::ffff:127.0.0.1]:80", "127.0.0.1:80", 80, true, true},
        {"0.0.0.0:80", "0.0.0.0:80", 80, false, true},
        {"[::]:80", "[::]:80", 80, false, true},
        {":9000", "[::]:9000", 9000, false, true},
        {"8.8.8.8:65535", "8.8.8.8:65535", 65535, false, false},
        {"1.1.1.1:0", "1.1.1.1:0", 0, false, false},
        {"[2606:4700::1111]:443", "[2606:4700::1111]:443", 443, false, false},
        {"[2606:4700:0:0:0:0:0:1111]:443", "[2606:4700::1111]:443", 443, false, false},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct addr a;
        assert_int_equal(addr_parse(slice_of(table[i].in), &a), OK);
        assert_string_equal(a.text, table[i].text);
        assert_int_equal(a.port, table[i].port);
        assert_int_equal(a.is_loopback, table[i].loopback);
        assert_int_equal(a.is_private, table[i].priv);
        assert_false(a.is_unix);
        /* To the kernel's form and back nothing changes. */
        union sock s;
        struct addr b;
        addr_to_sock(&a, &s);
        addr_from_sock(&b, &s.any);
        assert_string_equal(a.text, b.text);
        assert_memory_equal(a.ip, b.ip, 16);
    }
}

static void refuses_what_it_should(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        enum err e;
    } table[] = {
        {"", ERR_SYNTAX},
        {"8080", ERR_SYNTAX},
        {":", ERR_SYNTAX},
        {"127.0.0.1", ERR_SYNTAX},
        {"127.0.0.1:", ERR_SYNTAX},
        {"127.0.0.1:http", ERR_SYNTAX},
        {"127.0.0.1:-1", ERR_SYNTAX},
        {"127.0.0.1: 80", ERR_SYNTAX},
        {"127.0.0.1:65536", ERR_RANGE},
        {"127.0.0.1:99999999999", ERR_RANGE},
        {"localhost:80", ERR_SYNTAX},
        {"::1:80", ERR_SYNTAX},
        {"[::1]", ERR_SYNTAX},
        {"[::1]80", ERR_SYNTAX},
        {"[127.0.0.1]:80", ERR_SYNTAX},
        {"[]:80", ERR_SYNTAX},
        {"[::1%lo]:80", ERR_SYNTAX},
        {"127.1:80", ERR_SYNTAX},
        {"0127.0.0.1:80", ERR_SYNTAX},
        {"0x7f.0.0.1:80", ERR_SYNTAX},
        {"127.0.0.1.:80", ERR_SYNTAX},
        {"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:80", ERR_SYNTAX},
    };
    struct addr a;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        assert_int_equal(addr_parse(slice_of(table[i].in), &a), table[i].e);
    assert_int_equal(addr_parse((struct slice){"127.0.0.1\0:80", 13}, &a), ERR_SYNTAX);
}

static void knows_what_is_not_public(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        bool priv;
    } table[] = {
        {"0.0.0.0", true},
        {"0.1.2.3", true},
        {"10.0.0.1", true},
        {"10.255.255.255", true},
        {"11.0.0.0", false},
        {"9.255.255.255", false},
        {"100.63.255.255", false},
        {"100.64.0.0", true},
        {"100.127.255.255", true},
        {"100.128.0.0", false},
        {"127.0.0.1", true},
        {"128.0.0.1", false},
        {"169.253.255.255", false},
        {"169.254.169.254", true}, /* metadata */
        {"169.255.0.0", false},
        {"172.15.255.255", false},
        {"172.16.0.0", true},
        {"172.31.255.255", true},
        {"172.32.0.0", false},
        {"192.0.0.192", true}, /* metadata, Oracle */
        {"192.0.2.1", true},
        {"192.88.99.1", true},
        {"192.167.255.255", false},
        {"192.168.0.1", true},
        {"192.169.0.0", false},
        {"198.17.255.255", false},
        {"198.18.0.1", true},
        {"198.19.255.255", true},
        {"198.20.0.0", false},
        {"198.51.100.7", true},
        {"203.0.113.7", true},
        {"223.255.255.255", false},
        {"224.0.0.1", true},
        {"240.0.0.1", true},
        {"255.255.255.255", true},
        {"::", true},
        {"::1", true},
        {"::7f00:1", true},         /* IPv4-compatible 127.0.0.1 */
        {"::808:808", false},       /* and 8.8.8.8 */
        {"::ffff:127.0.0.1", true}, /* IPv4-mapped */
        {"::ffff:10.1.2.3", true},
        {"::ffff:169.254.169.254", true},
        {"::ffff:8.8.8.8", false},
        {"::ffff:0:127.0.0.1", true}, /* SIIT */
        {"64:ff9b::127.0.0.1", true}, /* NAT64 */
        {"64:ff9b::169.254.169.254", true},
        {"64:ff9b::8.8.8.8", false},
        {"64:ff9b:1::1", true},
        {"64:ff9b:2::1", false},
        {"100::1", true},
        {"2001::1", true}, /* Teredo */
        {"2001:db8::1", true},
        {"2001:4860:4860::8888", false},
        {"2002:7f00:1::", true}, /* 6to4 of 127.0.0.1 */
        {"2002:808:808::", false},
        {"2606:4700::1111", false},
        {"3fff:fff::1", true},
        {"5f00::1", true},
        {"fbff::1", false},
        {"fc00::1", true},
        {"fd00:ec2::254", true}, /* metadata */
        {"fe00::1", false},
        {"fe80::1", true},
        {"febf::1", true},
        {"fec0::1", true},
        {"ff02::1", true},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        union sock s;
        struct addr a;
        assert_true(addr_numeric(slice_of(table[i].host), &s));
        addr_from_sock(&a, &s.any);
        if (a.is_private != table[i].priv)
            print_message("wrong: %s\n", table[i].host);
        assert_int_equal(a.is_private, table[i].priv);
    }
}

static void numeric_is_strict(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",       "localhost",  "127.1",      "0x7f000001", "2130706433", "1.2.3",     "[::1]",
        "::1%lo", " 127.0.0.1", "127.0.0.1 ", ":::",        "1.2.3.4.5",  "017.0.0.1", "256.0.0.1"};
    union sock s;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_false(addr_numeric(slice_of(names[i]), &s));
}

static void unix_address(void **state)
{
    (void)state;
    struct addr a;
    addr_unix(&a);
    assert_string_equal(a.text, "unix");
    assert_true(a.is_unix && a.is_loopback && a.is_private);
    struct sockaddr sa = {.sa_family = AF_UNIX};
    addr_from_sock(&a, &sa);
    assert_true(a.is_unix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_what_it_should),
        cmocka_unit_test(refuses_what_it_should),
        cmocka_unit_test(knows_what_is_not_public),
        cmocka_unit_test(numeric_is_strict),
        cmocka_unit_test(unix_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
