/* links: base config */
/* The options: where values come from, what is refused, and in which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config_private.h"

#define N(a) (sizeof(a) / sizeof *(a))

static char file[64];

static void file_write(const char *text)
{
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

/* Nothing of this machine's environment has a say. */
static int set_up(void **state)
{
    (void)state;
    for (int i = 0; i < CONFIG_OPTIONS_N; i++) {
        char name[64];
        text_format(name, sizeof name, "SLUICE_%s", CONFIG_OPTIONS[i].name);
        for (char *p = name; *p != '\0'; p++)
            *p = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
        unsetenv(name);
    }
    unsetenv("SLUICE_CONFIG");
    unsetenv("STATE_DIRECTORY");
    unsetenv("XDG_STATE_HOME");
    unsetenv("SSL_CERT_FILE");
    unsetenv("SSL_CERT_PATH");
    unsetenv("SSL_KEY_PATH");
    setenv("HOME", "/home/x", 1);
    text_copy(file, sizeof file, S("/tmp/sluice-config-XXXXXX"));
    int fd = mkstemp(file);
    return fd < 0 || close(fd) != 0;
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(file);
}

static struct config *load(const char *path, const struct config_flag *flags, int n)
{
    struct config *c = NULL;
    struct config_error e;
    if (config_load(path, flags, n, &c, &e) != OK)
        fail_msg("%s", e.text);
    return c;
}

static struct config *load_text(const char *text)
{
    file_write(text);
    return load(file, NULL, 0);
}

/* ---- good ones
 * ---------------------------------------------------------------------------------- */

static void defaults(void **state)
{
    struct config *c = load(NULL, NULL, 0);
    (void)state;
    assert_int_equal(c->listens, 1);
    assert_string_equal(c->listen[0], "127.0.0.1:8080");
    assert_string_equal(c->state_dir, "/home/x/.local/state/sluice");
    assert_string_equal(c->log_level, "info");
    assert_null(c->ca_file);
    assert_null(c->public_url);
    assert_false(c->allow_public_listen || c->pass_ratelimit_headers);
    assert_int_equal(c->head_timeout, 10000);
    assert_int_equal(c->max_body, 33554432);
    assert_int_equal(c->max_attempts, 4);
    assert_int_equal(c->request_log_max_age, INT64_C(30) * 86400000);
    config_free(c);
    config_free(NULL);
}

/* Each option has a place of its own in the snapshot, and its default obeys its own bounds. */
static void the_table(void **state)
{
    (void)state;
    for (int i = 0; i < CONFIG_OPTIONS_N; i++) {
        const struct option *o = &CONFIG_OPTIONS[i];
        bool takes = false;
        char flag[64];
        assert_non_null(o->help);
        assert_int_equal(o->value == NULL, o->type == OPT_BOOL);
        assert_true(o->min <= o->max);
        assert_int_equal(config_option_find(slice_of(o->name)), i);
        for (int k = 0; k < i; k++)
            assert_int_not_equal(o->offset, CONFIG_OPTIONS[k].offset);
        text_copy(flag, sizeof flag, slice_of(o->name));
        assert_int_equal(config_is_flag(slice_of(flag), &takes), strchr(flag, '_') == NULL);
        for (char *p = flag; *p != '\0'; p++)
            *p = *p == '_' ? '-' : *p;
        assert_true(config_is_flag(slice_of(flag), &takes));
        assert_int_equal(takes, o->type != OPT_BOOL);
    }
    assert_int_equal(config_option_find(S("")), -1);
    assert_string_equal(config_closest_flag(S("lisen")), "listen");
    assert_string_equal(config_closest_flag(S("max-bodi")), "max-body");
    assert_null(config_closest_flag(S("completely-different")));
}

static void precedence(void **state)
{
    const struct config_flag flags[] = {
        {"listen", "127.0.0.1:3"}, {"listen", "[::1]:4"}, {"max-attempts", "3"}};
    struct config *c;
    (void)state;
    file_write("listen: [127.0.0.1:1, 127.0.0.1:11]\nmax_attempts: 1\nhead_timeout: 1s\n"
               "body_timeout: 1s\n");
    setenv("SLUICE_LISTEN", "127.0.0.1:2, 127.0.0.1:22", 1);
    setenv("SLUICE_MAX_ATTEMPTS", "2", 1);
    setenv("SLUICE_HEAD_TIMEOUT", "2s", 1);
    setenv("SLUICE_KEEP_ALIVE", "", 1); /* as if it were not set */
    c = load(file, NULL, 0);
    assert_int_equal(c->listens, 2);
    assert_string_equal(c->listen[1], "127.0.0.1:22");
    config_free(c);
    c = load(file, flags, (int)N(flags));
    assert_int_equal(c->listens, 2);
    assert_string_equal(c->listen[0], "127.0.0.1:3");
    assert_string_equal(c->listen[1], "[::1]:4");
    assert_int_equal(c->max_attempts, 3);
    assert_int_equal(c->head_timeout, 2000);
    assert_int_equal(c->body_timeout, 1000);
    assert_int_equal(c->keep_alive, 620000);
    config_free(c);
    setenv("SLUICE_CONFIG", file, 1);
    c = load(NULL, NULL, 0);
    assert_int_equal(c->body_timeout, 1000);
    config_free(c);
}

static void state_dirs(void **state)
{
    char deep[2000];
    struct config *c;
    struct config_error e;
    (void)state;
    setenv("XDG_STATE_HOME", "/xdg", 1);
    c = load(NULL, NULL, 0);
    assert_string_equal(c->state_dir, "/xdg/sluice");
    config_free(c);
    setenv("STATE_DIRECTORY", "/var/lib/sluice:/var/lib/other", 1);
    c = load(NULL, NULL, 0);
    assert_string_equal(c->state_dir, "/var/lib/sluice");
    config_free(c);
    setenv("SLUICE_STATE_DIR", "/mine", 1);
    c = load(NULL, NULL, 0);
    assert_string_equal(c->state_dir, "/mine");
    config_free(c);
    c = load(NULL, &(struct config_flag){"state-dir", "/flag"}, 1);
    assert_string_equal(c->state_dir, "/flag");
    config_free(c);
    unsetenv("SLUICE_STATE_DIR");
    memset(deep, 'd', sizeof deep);
    deep[sizeof deep - 1] = '\0';
    setenv("STATE_DIRECTORY", deep, 1);
    assert_int_equal(config_load(NULL, NULL, 0, &c, &e), ERR_RANGE);
    unsetenv("STATE_DIRECTORY");
    unsetenv("XDG_STATE_HOME");
    unsetenv("HOME");
    assert_int_equal(config_load(NULL, NULL, 0, &c, &e), ERR_NOTFOUND);
    assert_non_null(strstr(e.text, "--state-dir"));
}

static void good_files(void **state)
{
    static const char *const FILES[] = {
        "",
        "# nothing\n",
        "---\n...\n",
        "{}",
        "\xef\xbb\xbfmax_attempts: 4\n",
        "listen: 127.0.0.1:0",
        "listen: '127.0.0.1:1,127.0.0.2:2'",
        "listen:\n  - 127.0.0.1:1\n  - '[::1]:65535'\n",
        "{allow_public_listen: Yes, listen: ['0.0.0.0:80', ':81']}",
        "\"max_body\": \"1k\"\n",
        "ca_file:\nmax_attempts: 1\n",
        "request_log_max_age: 0\nqueue_timeout: 0\n",
        "public_url: https://x.example/gateway\n",
        "log_level: debug\nlog_format: json\n",
    };
    (void)state;
    for (size_t i = 0; i < N(FILES); i++)
        config_free(load_text(FILES[i]));
}

static void values(void **state)
{
    struct config *c = load_text("head_timeout: 250ms\nbody_timeout: 2m\nkeep_alive: 1h\n"
                                 "drain_timeout: 1d\nmax_body: 2048\nmax_buffered: 1g\n"
                                 "pass_ratelimit_headers: on\nallow_public_listen: FALSE\n");
    (void)state;
    assert_int_equal(c->head_timeout, 250);
    assert_int_equal(c->body_timeout, 120000);
    assert_int_equal(c->keep_alive, 3600000);
    assert_int_equal(c->drain_timeout, 86400000);
    assert_int_equal(c->max_body, 2048);
    assert_int_equal(c->max_buffered, 1073741824);
    assert_true(c->pass_ratelimit_headers);
    assert_false(c->allow_public_listen);
    config_free(c);
}

static void environment_in_values(void **state)
{
    struct config *c;
    (void)state;
    setenv("T_HOST", "127.0.0.9", 1);
    setenv("T_PORT", "77", 1);
    setenv("T_YAML", "x: {[", 1); /* is a value, never YAML */
    c = load_text("listen: \"${T_HOST}:${T_PORT}\"\nca_file: ${T_YAML}\npublic_url: "
                  "http://$${T_HOST}/$x/{}\n");
    assert_string_equal(c->listen[0], "127.0.0.9:77");
    assert_string_equal(c->ca_file, "x: {[");
    assert_string_equal(c->public_url, "http://${T_HOST}/$x/{}");
    config_free(c);
}

/* ---- bad ones
 * ----------------------------------------------------------------------------------- */

static void bad_files(void **state)
{
    static const struct {
        const char *text, *line, *says;
    } CASES[] = {
        {"# one\nlistenn: 127.0.0.1:1\n",
         ":2: ", "unknown option `listenn`; did you mean `listen`?"},
        {"max-body: 1m\n", ":1: ", "did you mean `max_body`?"},
        {"nothing_like_it: 1\n", ":1: ", "unknown option `nothing_like_it`"},
        {"listen: 127.0.0.1:1\nlisten: 127.0.0.1:2\n", ":2: ", "given twice: `listen`"},
        {"listen: [\n", ":2: ", ""},
        {"listen: []\n", ":1: ", "a list of plain values"},
        {"listen: [[a]]\n", ":1: ", "a list of plain values"},
        {"listen: {a: b}\n", ":1: ", "a list of plain values"},
        {"listen:\n", "", "at least one address"},
        {"max_body: [1m]\n", ":1: ", "one plain value is needed for `max_body`"},
        {"max_body: {a: 1}\n", ":1: ", "one plain value"},
        {"a: &x 1\nmax_body: *x\n", ":1: ", "unknown option `a`"},
        {"max_body: *x\n", ":1: ", ""},
        {"- listen\n", ":1: ", "name: value"},
        {"listen\n", ":1: ", "name: value"},
        {"max_attempts: 2\n---\nmax_attempts: 3\n", ":3: ", "only one mapping"},
        {"? [a]\n: b\n", ":1: ", "name: value"},
        {"\tlisten: x\n", ":1: ", ""},
        {"listen: \"x\n", "", ""},
        {"listen: \xff\n", "", ""},
        {"ca_file: \"a\\0b\"\n", ":1: ", "NUL"},
        {"ca_file: ${NOT_SET_ANYWHERE}\n", ":1: ", "not set: `NOT_SET_ANYWHERE`"},
        {"ca_file: ${open\n", ":1: ", "no } after ${"},
        {"ca_file: ${}\n", ":1: ", "not set"},
        {"pass_ratelimit_headers: perhaps\n", ":1: pass_ratelimit_headers: ", "true nor false"},
        {"pass_ratelimit_headers:\n", ":1: ", "true nor false"},
        {"head_timeout: -5s\n", ":1: head_timeout: ", "is not a time"},
        {"head_timeout: soon\n", ":1: head_timeout: ", "is not a time"},
        {"head_timeout: 10\n", ":1: head_timeout: ", "is not a time"},
        {"head_timeout: 99999999999999999999s\n", ":1: head_timeout: ", ""},
        {"head_timeout: 9ms\n", ":1: head_timeout: ", "out of bounds (10 to 3600000 ms)"},
        {"head_timeout: 0\n", ":1: ", "out of bounds"},
        {"max_body: 1.5m\n", ":1: ", "is not a size"},
        {"max_body: 1023\n", ":1: ", "out of bounds"},
        {"max_body: 513m\n", ":1: ", "out of bounds"},
        {"max_attempts: 17\n", ":1: ", "out of bounds (1 to 16)"},
        {"max_attempts: two\n", ":1: ", "not a whole number"},
        {"log_level: loud\n", "", "log_level: use debug"},
        {"log_level:\n", "", "log_level: use debug"},
        {"log_format: xml\n", "", "log_format: use auto"},
        {"public_url: ftp://x\n", "", "public_url: "},
        {"listen: 127.0.0.1\n", "", "has no port"},
        {"listen: '127.0.0.1:'\n", "", "has no port"},
        {"listen: '[::1]'\n", "", "has no port"},
        {"listen: 127.0.0.1:99999\n", "", "from 0 to 65535"},
        {"listen: 127.0.0.1:http\n", "", "from 0 to 65535"},
        {"listen: localhost:80\n", "", "write 127.0.0.1:80"},
        {"listen: 0.0.0.0:80\n", "", "allow_public_listen: true"},
        {"listen: ':80'\n", "", "allow_public_listen: true"},
        {"listen: '[::]:80'\n", "", "allow_public_listen: true"},
        {"listen: 192.168.1.1:80\n", "", "allow_public_listen: true"},
    };
    (void)state;
    for (size_t i = 0; i < N(CASES); i++) {
        struct config *c = NULL;
        struct config_error e;
        char where[128];
        file_write(CASES[i].text);
        enum err r = config_load(file, NULL, 0, &c, &e);
        text_format(where, sizeof where, "%s%s", CASES[i].line[0] ? file : "", CASES[i].line);
        if (r == OK || e.text[0] == '\0' || strstr(e.text, where) == NULL ||
            strstr(e.text, CASES[i].says) == NULL)
            fail_msg("%s -> %s", CASES[i].text, r == OK ? "accepted" : e.text);
    }
}

static void bad_flags_and_environment(void **state)
{
    struct config *c = NULL;
    struct config_error e;
    (void)state;
    assert_int_equal(config_load(NULL, &(struct config_flag){"max-body", "x"}, 1, &c, &e),
                     ERR_SYNTAX);
    assert_true(slice_starts(slice_of(e.text), S("--max-body: max_body: `x` is not a size")));
    assert_int_equal(config_load(NULL, &(struct config_flag){"nope", "x"}, 1, &c, &e), ERR_SYNTAX);
    setenv("SLUICE_MAX_BODY", "y", 1);
    assert_int_equal(config_load(NULL, NULL, 0, &c, &e), ERR_SYNTAX);
    assert_true(slice_starts(slice_of(e.text), S("$SLUICE_MAX_BODY: ")));
    unsetenv("SLUICE_MAX_BODY");
    assert_int_equal(config_load("/no/such/file", NULL, 0, &c, &e), ERR_NOTFOUND);
    assert_non_null(strstr(e.text, "/no/such/file"));
    assert_int_equal(config_load("/", NULL, 0, &c, &e), ERR_IO);
    assert_null(c);
}

/* Where clients connect, how, and by whom they may be brought. */
static void doors(void **state)
{
    (void)state;
    static const struct {
        const char *listen, *addr;
        bool tls, proxy;
    } ROWS[] = {
        {"0.0.0.0:443", "0.0.0.0:443", true, false},
        {"https://0.0.0.0:443", "0.0.0.0:443", true, false},
        {"HTTPS://[::]:443/", "[::]:443", true, false},
        {"http://127.0.0.1:80", "127.0.0.1:80", false, false},
        {"proxy+http://[::1]:80", "[::1]:80", false, true},
        {"proxy+https://10.0.0.1:80", "10.0.0.1:80", true, true},
        {"proxy+10.0.0.1:80", "10.0.0.1:80", true, true},
    };
    static const struct {
        const char *text, *says;
    } BAD[] = {
        {"listen: https://127.0.0.1:1", "needs a certificate"},
        {"listen: proxy+http://127.0.0.1:1", "trusted_proxies"},
        {"proxy_protocol: true", "trusted_proxies"},
        {"listen: http://10.0.0.1:1", "not a loopback address"},
        {"listen: ftp://127.0.0.1:1", "not a loopback address"},
        {"listen: http://localhost:1", "is a name"},
        {"tls_cert: a.pem", "1 certificates and 0 keys"},
        {"tls_cert: [a.pem, b.pem]\ntls_key: a.key", "2 certificates and 1 keys"},
        {"tls_client_auth: required", "needs tls_client_ca"},
        {"tls_client_auth: required\ntls_client_ca: x", "needs tls_cert"},
        {"tls_client_auth: never", "off, optional or required"},
        {"trusted_proxies: 10.0.0.0/33", "trusted_proxies: `10.0.0.0/33`"},
        {"trusted_proxies: [10.0.0.0/8, all]", "trusted_proxies: `all`"},
        {"forwarded_header: x-real-ip", "x-forwarded-for, forwarded or off"},
        {"sandbox: maybe", "on, strict or off"},
        {"admin_listen: 127.0.0.1:1", "admin_token_file, or admin_tls_client_ca"},
        {"admin_listen: 127.0.0.1\nadmin_token_file: t", "has no port"},
        {"admin_listen: localhost:1\nadmin_token_file: t", "is a name"},
        {"admin_listen: 10.0.0.1:1\nadmin_token_file: t", "not a loopback address"},
        {"admin_listen: 127.0.0.1.example:1\nadmin_tls_cert: c\nadmin_token_file: t",
         "one needs the other"},
        {"admin_tls_client_ca: c", "needs admin_tls_cert"},
    };
    struct config *c;
    struct config_error e;
    struct config_listen l;
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        char text[256];
        text_format(text, sizeof text,
                    "tls_cert: a.pem\ntls_key: a.key\ntrusted_proxies: 10.0.0.0/8\nlisten: '%s'\n",
                    ROWS[i].listen);
        c = load_text(text);
        config_listen_at(c, 0, &l);
        assert_true(slice_eq(l.addr, slice_of(ROWS[i].addr)));
        assert_int_equal(l.tls, ROWS[i].tls);
        assert_int_equal(l.proxy, ROWS[i].proxy);
        config_free(c);
    }
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        file_write(BAD[i].text);
        if (config_load(file, NULL, 0, &c, &e) == OK || strstr(e.text, BAD[i].says) == NULL)
            fail_msg("%s: %s", BAD[i].text, e.text);
    }
}

/* The names other programs use count together, and behind ours. */
static void certificates_by_environment(void **state)
{
    (void)state;
    setenv("SSL_CERT_PATH", "/e.pem", 1);
    struct config *c = load(NULL, NULL, 0);
    assert_int_equal(c->tls_certs, 0);
    config_free(c);
    setenv("SSL_KEY_PATH", "/e.key", 1);
    c = load_text("tls_cert: /f.pem\ntls_key: /f.key\n");
    assert_int_equal(c->tls_certs, 1);
    assert_string_equal(c->tls_cert[0], "/e.pem");
    assert_string_equal(c->tls_key[0], "/e.key");
    config_free(c);
    setenv("SLUICE_TLS_CERT", "/s.pem,/t.pem", 1);
    setenv("SLUICE_TLS_KEY", "/s.key,/t.key", 1);
    c = load(NULL, NULL, 0);
    assert_int_equal(c->tls_certs, 2);
    assert_string_equal(c->tls_cert[1], "/t.pem");
    config_free(c);
    unsetenv("SSL_CERT_PATH");
    unsetenv("SSL_KEY_PATH");
    unsetenv("SLUICE_TLS_CERT");
    unsetenv("SLUICE_TLS_KEY");
}

static void too_much(void **state)
{
    struct config *c = NULL;
    struct config_error e;
    char *text = mem_new(1100001);
    (void)state;
    memset(text, '#', 1100000);
    file_write(text);
    assert_int_equal(config_load(file, NULL, 0, &c, &e), ERR_LIMIT);
    assert_non_null(strstr(e.text, "1 MiB"));
    memcpy(text, "ca_file: ", 9);
    memset(text + 9, 'x', 5000);
    text[5009] = '\0';
    file_write(text);
    assert_int_equal(config_load(file, NULL, 0, &c, &e), ERR_LIMIT);
    size_t n = text_format(text, 100, "listen: [");
    for (int i = 0; i <= CONFIG_LISTEN_MAX; i++)
        n += text_format(text + n, 100, "127.0.0.1:%d,", i);
    text_format(text + n, 10, "]");
    file_write(text);
    assert_int_equal(config_load(file, NULL, 0, &c, &e), ERR_RANGE);
    assert_non_null(strstr(e.text, "more than 16"));
    mem_free(text);
}

/* ---- what is told about a snapshot
 * --------------------------------------------------------------- */

/* What `config check` prints is what the file would say: read back it is the same snapshot. */
static void dump_reads_back(void **state)
{
    struct config *c = load_text("listen: ['127.0.0.1:1', '127.0.0.1:2']\nmax_body: 3m\n"
                                 "head_timeout: 1500ms\nkeep_alive: 90m\nqueue_timeout: 0\n"
                                 "pass_ratelimit_headers: yes\npublic_url: http://x\n"),
                  *again;
    struct buf text, yaml;
    struct slice rest, line, name, value;
    char need[64];
    (void)state;
    buf_init(&text, 65536);
    buf_init(&yaml, 65536);
    assert_int_equal(config_dump(c, false, &text), OK);
    rest = buf_slice(&text);
    while (slice_cut(&rest, '\n', &line)) {
        slice_cut(&line, ' ', &name);
        line = slice_trim(line);
        slice_cut(&line, ' ', &value);
        assert_true(slice_trim(line).n > 0); /* its origin */
        if (!slice_eq(value, S("-")))
            assert_int_equal(
                buf_printf(&yaml, "%.*s: '%.*s'\n", (int)name.n, name.p, (int)value.n, value.p),
                OK);
    }
    assert_int_equal(buf_append(&yaml, "", 1), OK);
    again = load_text(yaml.p);
    config_restart_needed(c, again, need, sizeof need);
    assert_string_equal(need, "");
    for (int i = 0; i < CONFIG_OPTIONS_N; i++) {
        const struct option *o = &CONFIG_OPTIONS[i];
        if (o->type == OPT_DURATION || o->type == OPT_SIZE || o->type == OPT_INT)
            assert_memory_equal((char *)c + o->offset, (char *)again + o->offset, sizeof(int64_t));
    }
    assert_int_equal(c->pass_ratelimit_headers, again->pass_ratelimit_headers);
    buf_free(&text);
    buf_free(&yaml);
    config_free(c);
    config_free(again);
}

static void dump_as_json(void **state)
{
    static const struct {
        const char *name, *value, *origin;
    } WANT[] = {{"listen", "127.0.0.1:5", "flag"},         {"max_body", "1m", "file"},
                {"max_attempts", "2", "environment"},      {"head_timeout", "10s", "default"},
                {"request_log_max_age", "30d", "default"}, {"public_url", "", "default"}};
    struct buf b;
    struct json *doc;
    (void)state;
    file_write("max_body: 1024k\nlisten: 127.0.0.1:4\n");
    setenv("SLUICE_MAX_ATTEMPTS", "2", 1);
    struct config *c = load(file, &(struct config_flag){"listen", "127.0.0.1:5"}, 1);
    buf_init(&b, 65536);
    assert_int_equal(config_dump(c, true, &b), OK);
    assert_int_equal(json_parse(buf_slice(&b), &doc), OK);
    assert_int_equal(json_len(json_root(doc)), CONFIG_OPTIONS_N);
    for (size_t i = 0; i < N(WANT); i++) {
        const struct json_val *o = json_get(json_root(doc), WANT[i].name);
        assert_true(slice_eq(json_get_str(o, "value"), slice_of(WANT[i].value)));
        assert_true(slice_eq(json_get_str(o, "origin"), slice_of(WANT[i].origin)));
    }
    json_free(doc);
    buf_free(&b);
    config_free(c);
}

static void restart_needed(void **state)
{
    struct config *a = load_text("log_level: info\n"),
                  *b = load_text("log_level: debug\nmax_body: 1m\n"),
                  *c = load_text("listen: 127.0.0.1:1\nlog_format: json\nmax_body: 1m\n");
    char text[256];
    (void)state;
    config_restart_needed(a, b, text, sizeof text);
    assert_string_equal(text, "");
    config_restart_needed(a, c, text, sizeof text);
    assert_string_equal(text, "listen, log_format");
    config_restart_needed(a, c, text, 8);
    assert_int_equal(strlen(text), 7);
    config_free(a);
    config_free(b);
    config_free(c);
}

static void help_and_environment(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 65536);
    assert_int_equal(config_help(&b), OK);
    struct slice lines = buf_slice(&b), line;
    while (slice_cut(&lines, '\n', &line)) /* for a terminal of 80 columns */
        assert_true(line.n < 80);
    char flat[32768];
    size_t n = 0;
    for (size_t i = 0; i < buf_slice(&b).n; i++) {
        char c = buf_slice(&b).p[i] == '\n' ? ' ' : buf_slice(&b).p[i];
        if (c != ' ' || (n > 0 && flat[n - 1] != ' '))
            flat[n++] = c;
        assert_true(n < sizeof flat);
    }
    for (int i = 0; i < CONFIG_OPTIONS_N; i++)
        assert_true(slice_search((struct slice){flat, n}, slice_of(CONFIG_OPTIONS[i].help)) >= 0);
    assert_true(slice_search(buf_slice(&b), S("--max-body SIZE\n")) >= 0);
    assert_true(slice_search(buf_slice(&b), S("--allow-public-listen\n")) >= 0);
    buf_free(&b);
    assert_string_equal(config_env(CONFIG_ENV_HOME), "/home/x");
    unsetenv("NO_COLOR");
    assert_null(config_env(CONFIG_ENV_NO_COLOR));
    setenv("NO_COLOR", "", 1);
    assert_null(config_env(CONFIG_ENV_NO_COLOR));
    setenv("NO_COLOR", "1", 1);
    assert_non_null(config_env(CONFIG_ENV_NO_COLOR));
    static const struct {
        enum config_env which;
        const char *name;
    } rows[] = {
        {CONFIG_ENV_AWS_ACCESS_KEY_ID, "AWS_ACCESS_KEY_ID"},
        {CONFIG_ENV_AWS_SESSION_TOKEN, "AWS_SESSION_TOKEN"},
        {CONFIG_ENV_AWS_BEARER_TOKEN, "AWS_BEARER_TOKEN_BEDROCK"},
        {CONFIG_ENV_AWS_CONTAINER_RELATIVE_URI, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"},
        {CONFIG_ENV_AWS_CONTAINER_TOKEN_FILE, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"},
        {CONFIG_ENV_GOOGLE_APPLICATION_CREDENTIALS, "GOOGLE_APPLICATION_CREDENTIALS"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsetenv(rows[i].name);
        assert_null(config_env(rows[i].which));
        setenv(rows[i].name, rows[i].name, 1);
        assert_string_equal(config_env(rows[i].which), rows[i].name);
        unsetenv(rows[i].name);
    }
    for (int i = 0; i < CONFIG_ENV_COUNT; i++) /* every one has a name */
        (void)config_env((enum config_env)i);
    setenv("SSL_CERT_FILE", "/certs", 1);
    struct config *c = load(NULL, NULL, 0);
    assert_string_equal(c->ca_env, "/certs");
    config_free(c);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(defaults),
        TEST(the_table),
        TEST(precedence),
        TEST(state_dirs),
        TEST(good_files),
        TEST(values),
        TEST(environment_in_values),
        TEST(bad_files),
        TEST(bad_flags_and_environment),
        TEST(doors),
        TEST(certificates_by_environment),
        TEST(too_much),
        TEST(dump_reads_back),
        TEST(dump_as_json),
        TEST(restart_needed),
        TEST(help_and_environment),
    };
    crypto_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
