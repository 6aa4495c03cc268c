/* links: base */
/* The primitives against published vectors, and the sealed form against all kinds of damage. */
#include "base/base.h"
#include "rsa_keys.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct slice unhex(uint8_t *out, const char *hex)
{
    size_t n = strlen(hex) / 2;

    assert_true(text_unhex(out, n, slice_of(hex)));
    return (struct slice){(const char *)out, n};
}

static void assert_hex(const void *p, size_t n, const char *hex)
{
    char text[257];

    assert_true(n <= 128);
    text_hex(text, p, n);
    assert_string_equal(text, hex);
}

/* Runs before crypto_init: the vectors of the SipHash paper's reference code use key 00..0f. */
static void test_siphash(void **state)
{
    static const struct {
        size_t n;
        uint64_t hash;
    } rows[] = {
        {0, UINT64_C(0x726fdb47dd0e0e31)},  {1, UINT64_C(0x74f839c593dc67fd)},
        {2, UINT64_C(0x0d6c8009d9a94f5a)},  {3, UINT64_C(0x85676696d7fb7e2d)},
        {4, UINT64_C(0xcf2794e0277187b7)},  {5, UINT64_C(0x18765564cd99a68d)},
        {6, UINT64_C(0xcbc9466e58fee3ce)},  {7, UINT64_C(0xab0200f58b01d137)},
        {8, UINT64_C(0x93f5f5799a932462)},  {9, UINT64_C(0x9e0082df0ba9e4b0)},
        {10, UINT64_C(0x7a5dbbc594ddb9f3)}, {11, UINT64_C(0xf4b32f46226bada7)},
        {12, UINT64_C(0x751e8fbc860ee5fb)}, {13, UINT64_C(0x14ea5627c0843d90)},
        {14, UINT64_C(0xf723ca908e7af2ee)}, {15, UINT64_C(0xa129ca6149be45e5)},
        {63, UINT64_C(0x958a324ceb064572)},
    };
    char in[64];

    (void)state;
    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (char)i;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_true(crypto_siphash((struct slice){in, rows[i].n}) == rows[i].hash);
    static const struct {
        size_t n;
        uint64_t hash[2];
    } wide[] = {
        {0, {UINT64_C(0xe6a825ba047f81a3), UINT64_C(0x930255c71472f66d)}},
        {1, {UINT64_C(0x44af996bd8c187da), UINT64_C(0x45fc229b11597634)}},
    };
    for (size_t i = 0; i < COUNT(wide); i++) {
        uint64_t hash[2];
        crypto_siphash128((struct slice){in, wide[i].n}, hash);
        assert_memory_equal(hash, wide[i].hash, sizeof hash);
    }
    crypto_init();
    uint64_t keyed = crypto_siphash(S(""));
    assert_true(keyed != rows[0].hash);
    crypto_init(); /* the second time changes nothing */
    assert_true(crypto_siphash(S("")) == keyed);
}

static void test_sha256(void **state)
{
    uint8_t out[CRYPTO_SHA256];

    (void)state;
    crypto_sha256(out, S("abc"));
    assert_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    crypto_sha256(out, (struct slice){NULL, 0});
    assert_hex(out, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* RFC 4231, cases 2 and 6. */
static void test_hmac(void **state)
{
    uint8_t out[CRYPTO_SHA256], key[131];

    (void)state;
    crypto_hmac_sha256(out, "Jefe", 4, S("what do ya want for nothing?"));
    assert_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof(key));
    crypto_hmac_sha256(out, key, sizeof(key),
                       S("Test Using Larger Than Block-Size Key - Hash Key First"));
    assert_hex(out, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

/* RFC 5869, cases 1 and 3. */
static void test_hkdf(void **state)
{
    uint8_t ikm[22], salt[13], info[10], out[42];

    (void)state;
    memset(ikm, 0x0b, sizeof(ikm));
    crypto_hkdf(out, sizeof(out), ikm, sizeof(ikm), unhex(salt, "000102030405060708090a0b0c"),
                unhex(info, "f0f1f2f3f4f5f6f7f8f9"));
    assert_hex(
        out, sizeof(out),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
    crypto_hkdf(out, sizeof(out), ikm, sizeof(ikm), S(""), S(""));
    assert_hex(
        out, sizeof(out),
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

/* Case 16 of the GCM specification of McGrew and Viega, in our sealed form. */
static void test_open_vector(void **state)
{
    uint8_t key[CRYPTO_KEY], aad[20], sealed[12 + 60 + 16];
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    unhex(key, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
    unhex(sealed, "cafebabefacedbaddecaf888"
                  "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
                  "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
                  "76fc6ece0f4e1768cddf8853bb2d551b");
    assert_int_equal(crypto_open(&b, key, unhex(aad, "feedfacedeadbeeffeedfacedeadbeefabaddad2"),
                                 (struct slice){(const char *)sealed, sizeof(sealed)}),
                     OK);
    assert_hex(b.p, b.len,
               "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
               "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
    buf_free(&b);
}

static void test_seal(void **state)
{
    static const size_t sizes[] = {0, 1, 15, 16, 17, 1000};
    uint8_t key[CRYPTO_KEY];
    char plain[1000];
    struct buf sealed, opened;

    (void)state;
    crypto_random(key, sizeof(key));
    crypto_random(plain, sizeof(plain));
    buf_init(&sealed, 2000);
    buf_init(&opened, 2000);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct slice text = {plain, sizes[i]};
        buf_clear(&sealed);
        buf_clear(&opened);
        assert_int_equal(buf_puts(&sealed, S("head")), OK); /* appended behind what is there */
        assert_int_equal(crypto_seal(&sealed, key, S("row 7"), text), OK);
        assert_int_equal(sealed.len, 4 + 12 + sizes[i] + 16);
        struct slice s = slice_sub(buf_slice(&sealed), 4, sealed.len);
        assert_int_equal(crypto_open(&opened, key, S("row 7"), s), OK);
        assert_true(slice_eq(buf_slice(&opened), text));
    }
    buf_free(&sealed);
    buf_free(&opened);
}

static void test_seal_damage(void **state)
{
    uint8_t key[CRYPTO_KEY], other[CRYPTO_KEY];
    struct buf a, b, out;

    (void)state;
    crypto_random(key, sizeof(key));
    memcpy(other, key, sizeof(key));
    other[31] ^= 1;
    buf_init(&a, 100);
    buf_init(&b, 100);
    buf_init(&out, 100);
    assert_int_equal(buf_puts(&out, S("kept")), OK);
    assert_int_equal(crypto_seal(&a, key, S("row 7"), S("secret")), OK);
    assert_int_equal(crypto_seal(&b, key, S("row 7"), S("secret")), OK);
    assert_memory_not_equal(a.p, b.p, CRYPTO_NONCE); /* a new nonce for every seal */
    for (size_t bit = 0; bit < a.len * 8; bit++) {
        a.p[bit / 8] = (char)(a.p[bit / 8] ^ 1 << bit % 8);
        assert_int_equal(crypto_open(&out, key, S("row 7"), buf_slice(&a)), ERR_CORRUPT);
        a.p[bit / 8] = (char)(a.p[bit / 8] ^ 1 << bit % 8);
    }
    for (size_t n = 0; n < a.len; n++)
        assert_int_equal(crypto_open(&out, key, S("row 7"), slice_sub(buf_slice(&a), 0, n)),
                         ERR_CORRUPT);
    assert_int_equal(crypto_open(&out, other, S("row 7"), buf_slice(&a)), ERR_CORRUPT);
    assert_int_equal(crypto_open(&out, key, S("row 8"), buf_slice(&a)), ERR_CORRUPT);
    assert_int_equal(crypto_open(&out, key, S(""), buf_slice(&a)), ERR_CORRUPT);
    assert_true(slice_eq(buf_slice(&out), S("kept")));
    assert_int_equal(crypto_open(&out, key, S("row 7"), buf_slice(&a)), OK);
    assert_true(slice_eq(buf_slice(&out), S("keptsecret")));
    buf_free(&a);
    buf_free(&b);
    buf_free(&out);
}

static void test_seal_limit(void **state)
{
    uint8_t key[CRYPTO_KEY] = {0};
    struct buf b, out;

    (void)state;
    buf_init(&b, 12 + 3 + 16);
    buf_init(&out, 2);
    assert_int_equal(crypto_seal(&b, key, S(""), S("four")), ERR_LIMIT);
    assert_int_equal(b.len, 0);
    assert_int_equal(crypto_seal(&b, key, S(""), S("one")), OK);
    assert_int_equal(crypto_open(&out, key, S(""), buf_slice(&b)), ERR_LIMIT);
    fault_counter = 0;
    fault_target = 1;
    assert_int_equal(crypto_open(&out, key, S(""), slice_sub(buf_slice(&b), 0, 29)), ERR_NOMEM);
    fault_target = 0;
    buf_free(&b);
    buf_free(&out);
}

static void *draw(void *arg)
{
    crypto_random(arg, 5000);
    return NULL;
}

/* Four threads, more than one request's worth each, and no two eight-byte words alike. */
static void test_random(void **state)
{
    static uint64_t drawn[4][625];
    pthread_t threads[4];
    struct map seen;

    (void)state;
    map_init(&seen);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, draw, drawn[i]), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < 625; k++)
            assert_null(map_put(&seen, (struct slice){(const char *)&drawn[i][k], 8}, threads));
    assert_int_equal(seen.live, 2500);
    map_free(&seen);
    crypto_random(NULL, 0);
}

/* Few bytes come from what was drawn ahead, whatever their number: none twice, none wiped ones. */
static void test_random_small(void **state)
{
    static uint64_t drawn[3000][2];
    struct map seen;
    int zeros = 0;

    (void)state;
    map_init(&seen);
    for (size_t i = 0; i < 3000; i++) {
        size_t n = 8 + i % 9;
        crypto_random(drawn[i], n);
        assert_null(map_put(&seen, (struct slice){(const char *)drawn[i], 8}, drawn));
        uint8_t one = 1;
        crypto_random(&one, 1);
        zeros += one == 0;
    }
    assert_in_range(zeros, 1, 60); /* twelve are to be expected */
    map_free(&seen);
}

static void test_small(void **state)
{
    char secret[8] = "secret!";

    (void)state;
    assert_true(crypto_equal("abc", "abc", 3));
    assert_false(crypto_equal("abc", "abd", 3));
    assert_false(crypto_equal("\0bc", "\1bc", 3));
    assert_true(crypto_equal(NULL, NULL, 0));
    crypto_wipe(secret, sizeof(secret));
    assert_memory_equal(secret, "\0\0\0\0\0\0\0\0", 8);
    crypto_wipe(NULL, 0);
    assert_int_equal(crypto_crc32(S("123456789")), 0xcbf43926);
    assert_int_equal(crypto_crc32(S("")), 0);
    assert_int_equal(crypto_crc32(S("The quick brown fox jumps over the lazy dog")), 0x414fa339);
}

static void test_buf_wipe(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 64);
    buf_wipe(&b); /* that has no memory */
    assert_int_equal(buf_append(&b, "secret", 6), OK);
    buf_wipe(&b);
    assert_true(b.p == NULL && b.len == 0 && b.max == 64);
    assert_int_equal(buf_append(&b, "x", 1), OK); /* usable again */
    buf_free(&b);
}

/* RFC 7515 appendix A.2, by the same key in both forms. */
static void test_rsa_sign(void **state)
{
    const char *forms[] = {rsa_pkcs8, rsa_pkcs1};
    struct buf out, text;

    (void)state;
    crypto_init();
    for (size_t i = 0; i < COUNT(forms); i++) {
        buf_init(&out, 256);
        buf_init(&text, 1024);
        assert_int_equal(crypto_rsa_check(slice_of(forms[i])), OK);
        assert_int_equal(crypto_rsa_sign(&out, slice_of(forms[i]), slice_of(rsa_example)), OK);
        assert_int_equal(out.len, 256);
        assert_int_equal(text_base64(&text, out.p, out.len, true), OK);
        assert_true(slice_eq(buf_slice(&text), slice_of(rsa_signature)));
        assert_int_equal(crypto_rsa_sign(&out, slice_of(forms[i]), S("x")), ERR_LIMIT);
        assert_int_equal(out.len, 256);
        buf_free(&out);
        buf_free(&text);
    }
}

/* One character of the key's text is another one: refused, or it signs as it did (the exponent is
 * there twice), but never wrongly. */
static void test_rsa_damaged(void **state)
{
    char pem[sizeof rsa_pkcs8];
    struct buf out, good;
    int refused = 0;

    (void)state;
    crypto_init();
    buf_init(&out, CRYPTO_RSA_MAX);
    buf_init(&good, CRYPTO_RSA_MAX);
    assert_int_equal(crypto_rsa_sign(&good, slice_of(rsa_pkcs8), S("x")), OK);
    for (size_t i = 30; i < sizeof pem - 30; i += 41) {
        memcpy(pem, rsa_pkcs8, sizeof pem);
        pem[i] = pem[i] == 'Q' ? 'R' : 'Q';
        enum err e = crypto_rsa_sign(&out, (struct slice){pem, sizeof pem - 1}, S("x"));
        refused += e != OK;
        assert_true(e == OK || e == ERR_SYNTAX || e == ERR_CORRUPT || e == ERR_RANGE);
        assert_true(slice_eq(buf_slice(&out), e == OK ? buf_slice(&good) : S("")));
        buf_clear(&out);
    }
    assert_true(refused > 20);
    buf_free(&out);
    buf_free(&good);
}

static void test_rsa_refused(void **state)
{
    static const struct {
        const char *pem;
        enum err e;
    } rows[] = {
        {"", ERR_SYNTAX},
        {"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", ERR_SYNTAX},
        {"-----BEGIN PRIVATE KEY-----", ERR_SYNTAX},
        {"MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCh", ERR_SYNTAX},
        {rsa_1024, ERR_RANGE},
        {ec_p256, ERR_SYNTAX},
        {rsa_encrypted, ERR_SYNTAX},
    };
    static char large[CRYPTO_PEM_MAX + 2];
    struct buf out;

    (void)state;
    crypto_init();
    buf_init(&out, CRYPTO_RSA_MAX);
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(crypto_rsa_check(slice_of(rows[i].pem)), rows[i].e);
        assert_int_equal(crypto_rsa_sign(&out, slice_of(rows[i].pem), S("x")), rows[i].e);
    }
    assert_int_equal(crypto_rsa_check((struct slice){rsa_pkcs8, sizeof rsa_pkcs8}), ERR_SYNTAX);
    memset(large, 'A', sizeof large - 1);
    memcpy(large, rsa_pkcs8, sizeof rsa_pkcs8 - 1);
    assert_int_equal(crypto_rsa_check(slice_of(large)), ERR_SYNTAX);
    assert_int_equal(out.len, 0);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_siphash), /* first: it looks at the world before crypto_init */
        cmocka_unit_test(test_sha256),       cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_hkdf),         cmocka_unit_test(test_open_vector),
        cmocka_unit_test(test_seal),         cmocka_unit_test(test_seal_damage),
        cmocka_unit_test(test_seal_limit),   cmocka_unit_test(test_random),
        cmocka_unit_test(test_random_small), cmocka_unit_test(test_small),
        cmocka_unit_test(test_buf_wipe),     cmocka_unit_test(test_rsa_sign),
        cmocka_unit_test(test_rsa_damaged),  cmocka_unit_test(test_rsa_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
