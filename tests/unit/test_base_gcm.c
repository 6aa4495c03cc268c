/* links: base */
/* AES-GCM of every engine this machine can run, against mbedTLS's own and published vectors: all
 * lengths and alignments, in place or not, at the very edge of readable memory. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include <gcm_soft.h>
#include <mbedtls/gcm.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define LARGE    100000
#define PAGE     4096
#define ROOM     (LARGE / PAGE * PAGE + 2 * PAGE)

/* Memory with a page behind it that nobody may touch; bytes taken from it end there. */
static unsigned char *edge(void)
{
    unsigned char *p = mmap(NULL, ROOM + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                            -1, 0);
    assert_true(p != MAP_FAILED);
    assert_int_equal(mprotect(p + ROOM, PAGE, PROT_NONE), 0);
    return p + ROOM;
}

static unsigned char *in_end, *out_end, *add_end, *want_end; /* of such memory */

static void fill(unsigned char *p, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525 + 1013904223;
        p[i] = (unsigned char)(seed >> 24);
    }
}

struct pair { /* the same key in both */
    mbedtls_gcm_context ours;
    struct soft_gcm_context *theirs;
};

static void pair_make(struct pair *p, unsigned bits, uint32_t seed)
{
    unsigned char key[32];
    fill(key, sizeof key, seed);
    mbedtls_gcm_init(&p->ours);
    assert_int_equal(mbedtls_gcm_setkey(&p->ours, MBEDTLS_CIPHER_ID_AES, key, bits), 0);
    p->theirs = soft_gcm_new();
    assert_int_equal(soft_gcm_setkey(p->theirs, MBEDTLS_CIPHER_ID_AES, key, bits), 0);
}

static void pair_free(struct pair *p)
{
    mbedtls_gcm_free(&p->ours);
    soft_gcm_delete(p->theirs);
}

/* One message, `gap` bytes before the edge, both ways, in place or from one buffer to the other. */
static void compare(struct pair *p, size_t n, size_t add_n, size_t gap, bool in_place)
{
    unsigned char iv[12], tag[16], should[16];
    unsigned char *text = in_end - gap - n, *out = in_place ? text : out_end - gap / 2 - n;
    unsigned char *add = add_end - add_n, *want = want_end - n;

    fill(iv, sizeof iv, (uint32_t)(n * 31 + add_n));
    fill(add, add_n, (uint32_t)n + 7);
    fill(text, n, (uint32_t)(n + gap));
    memset(out - 1, 0x5a, 1);
    assert_int_equal(soft_gcm_crypt_and_tag(p->theirs, MBEDTLS_GCM_ENCRYPT, n, iv, 12, add, add_n,
                                            text, want, 16, should),
                     0);
    assert_int_equal(mbedtls_gcm_crypt_and_tag(&p->ours, MBEDTLS_GCM_ENCRYPT, n, iv, 12, add, add_n,
                                               text, out, 16, tag),
                     0);
    assert_memory_equal(out, want, n);
    assert_memory_equal(tag, should, 16);
    assert_int_equal(out[-1], 0x5a);
    unsigned char *back = in_place ? out : text;
    if (!in_place)
        memset(back, 0, n);
    assert_int_equal(mbedtls_gcm_auth_decrypt(&p->ours, n, iv, 12, add, add_n, tag, 16, out, back),
                     0);
    fill(want, n, (uint32_t)(n + gap));
    assert_memory_equal(back, want, n);
    assert_int_equal(out[-1], 0x5a);
}

static void each_length(struct pair *p)
{
    static const size_t MANY[] = {767,  768,  769,   1023,  1024,  1400,  4095, 4096,
                                  8191, 8192, 16383, 16384, 16385, 65536, LARGE};
    for (size_t n = 0; n <= 600; n++) {
        compare(p, n, 5, 0, true);
        compare(p, n, 13, n % 64, false);
        compare(p, n, n % 50, (n * 7) % 64, n % 2 == 0);
    }
    for (size_t i = 0; i < COUNT(MANY); i++) {
        compare(p, MANY[i], 5, 0, true);
        compare(p, MANY[i], 5, i, false);
    }
    for (size_t gap = 0; gap < 64; gap++)
        compare(p, 333, 13, gap, gap % 2 == 0);
    for (size_t add = 0; add < 300; add++)
        compare(p, add % 40, add, 1, true);
    compare(p, 100, LARGE, 0, true);
}

static void test_lengths(void **state)
{
    (void)state;
    int i = 0;
    for (; gcm_engine_name(i) != NULL; i++) {
        gcm_engine_use(i);
        print_message("engine %s\n", gcm_engine_name(i));
        for (unsigned bits = 128; bits <= 256; bits += 64) {
            struct pair p;
            pair_make(&p, bits, bits + (unsigned)i);
            each_length(&p);
            pair_free(&p);
        }
    }
    assert_true(i >= 1);
    assert_string_equal(gcm_engine_name(i - 1), "mbedtls");
    assert_null(gcm_engine_name(-1));
    gcm_engine_use(0);
}

/* Each bit of the tag and some of the text count; what fails is wiped. */
static void test_damage(void **state)
{
    (void)state;
    for (int e = 0; gcm_engine_name(e) != NULL; e++) {
        gcm_engine_use(e);
        struct pair p;
        unsigned char iv[12] = {1}, add[5] = {2}, text[300], out[300], tag[16];
        pair_make(&p, 128, 5);
        fill(text, sizeof text, 6);
        assert_int_equal(mbedtls_gcm_crypt_and_tag(&p.ours, MBEDTLS_GCM_ENCRYPT, sizeof text, iv,
                                                   12, add, 5, text, out, 16, tag),
                         0);
        for (size_t bit = 0; bit < 8 * (sizeof tag + sizeof out); bit += bit < 128 ? 1 : 13) {
            unsigned char *hit = bit < 128 ? tag + bit / 8 : out + bit / 8 - 16;
            unsigned char flip = (unsigned char)(1u << bit % 8);
            *hit ^= flip;
            memset(text, 1, sizeof text);
            assert_int_equal(
                mbedtls_gcm_auth_decrypt(&p.ours, sizeof text, iv, 12, add, 5, tag, 16, out, text),
                MBEDTLS_ERR_GCM_AUTH_FAILED);
            for (size_t i = 0; i < sizeof text; i++)
                assert_int_equal(text[i], 0);
            *hit ^= flip;
        }
        assert_int_equal(
            mbedtls_gcm_auth_decrypt(&p.ours, sizeof text, iv, 12, add, 5, tag, 16, out, text), 0);
        pair_free(&p);
    }
    gcm_engine_use(0);
}

/* What an engine does not do itself: other lengths of tags and nonces, messages in parts, buffers
 * that overlap, no key. */
static void rare(struct pair *p)
{
    unsigned char iv[60], text[700], out[700], want[700], tag[16], should[16];
    size_t got, all = 0;
    fill(iv, sizeof iv, 1);
    fill(text, sizeof text, 2);
    for (size_t n = 4; n <= 16; n++) {
        assert_int_equal(soft_gcm_crypt_and_tag(p->theirs, MBEDTLS_GCM_ENCRYPT, 100, iv, 12 + n - 4,
                                                iv, 3, text, want, n, should),
                         0);
        assert_int_equal(mbedtls_gcm_crypt_and_tag(&p->ours, MBEDTLS_GCM_ENCRYPT, 100, iv,
                                                   12 + n - 4, iv, 3, text, out, n, tag),
                         0);
        assert_memory_equal(out, want, 100);
        assert_memory_equal(tag, should, n);
    }
    for (size_t n = 3; n <= 17; n += 14)
        assert_int_equal(mbedtls_gcm_crypt_and_tag(&p->ours, MBEDTLS_GCM_ENCRYPT, 1, iv, 12, iv, 3,
                                                   text, out, n, tag),
                         MBEDTLS_ERR_GCM_BAD_INPUT);
    assert_int_equal(mbedtls_gcm_starts(&p->ours, MBEDTLS_GCM_ENCRYPT, iv, 12), 0);
    assert_int_equal(mbedtls_gcm_update_ad(&p->ours, iv, 20), 0);
    for (size_t n = 0; all + n <= sizeof text; n++) {
        assert_int_equal(mbedtls_gcm_update(&p->ours, text + all, n, out + all, n, &got), 0);
        assert_int_equal(got, n);
        all += n;
    }
    assert_int_equal(mbedtls_gcm_finish(&p->ours, NULL, 0, &got, tag, 16), 0);
    assert_int_equal(mbedtls_gcm_crypt_and_tag(&p->ours, MBEDTLS_GCM_ENCRYPT, all, iv, 12, iv, 20,
                                               text, want, 16, should),
                     0);
    assert_memory_equal(out, want, all);
    assert_memory_equal(tag, should, 16);
    memcpy(out + 16, text, 200); /* decrypted sixteen bytes further down */
    assert_int_equal(mbedtls_gcm_crypt_and_tag(&p->ours, MBEDTLS_GCM_DECRYPT, 200, iv, 12, iv, 20,
                                               out + 16, out, 16, tag),
                     0);
    assert_int_equal(soft_gcm_crypt_and_tag(p->theirs, MBEDTLS_GCM_DECRYPT, 200, iv, 12, iv, 20,
                                            text, want, 16, should),
                     0);
    assert_memory_equal(out, want, 200);
    assert_memory_equal(tag, should, 16);
}

static void test_rare(void **state)
{
    (void)state;
    for (int e = 0; gcm_engine_name(e) != NULL; e++) {
        gcm_engine_use(e);
        mbedtls_gcm_context none;
        unsigned char b[16] = {0};
        mbedtls_gcm_init(&none);
        assert_int_not_equal(
            mbedtls_gcm_crypt_and_tag(&none, MBEDTLS_GCM_ENCRYPT, 1, b, 12, b, 1, b, b, 16, b), 0);
        assert_int_not_equal(mbedtls_gcm_setkey(&none, MBEDTLS_CIPHER_ID_AES, b, 100), 0);
        mbedtls_gcm_free(&none);
        for (unsigned bits = 128; bits <= 256; bits += 128) {
            struct pair p;
            pair_make(&p, bits, 9);
            rare(&p);
            pair_free(&p);
        }
    }
    gcm_engine_use(0);
}

/* McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B: cases 4 and 16. */
static void test_vectors(void **state)
{
    static const char TEXT[] = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3"
                               "c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
    static const struct {
        unsigned bits;
        const char *out, *tag;
    } ROWS[] = {
        {128,
         "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aa"
         "c8"
         "4aa051ba30b396a0aac973d58e091",
         "5bc94fbc3221a5db94fae95ae7121a47"},
        {256,
         "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b105"
         "68"
         "28838c5f61e6393ba7a0abcc9f662",
         "76fc6ece0f4e1768cddf8853bb2d551b"},
    };
    uint8_t key[32], iv[12], add[20], text[60], want[60], out[60], tag[16], should[16];
    (void)state;
    assert_true(text_unhex(key, 16, S("feffe9928665731c6d6a8f9467308308")));
    memcpy(key + 16, key, 16);
    assert_true(text_unhex(iv, 12, S("cafebabefacedbaddecaf888")));
    assert_true(text_unhex(add, 20, S("feedfacedeadbeeffeedfacedeadbeefabaddad2")));
    assert_true(text_unhex(text, 60, slice_of(TEXT)));
    for (int e = 0; gcm_engine_name(e) != NULL; e++) {
        gcm_engine_use(e);
        for (size_t i = 0; i < COUNT(ROWS); i++) {
            mbedtls_gcm_context c;
            assert_true(text_unhex(want, 60, slice_of(ROWS[i].out)));
            assert_true(text_unhex(should, 16, slice_of(ROWS[i].tag)));
            mbedtls_gcm_init(&c);
            assert_int_equal(mbedtls_gcm_setkey(&c, MBEDTLS_CIPHER_ID_AES, key, ROWS[i].bits), 0);
            assert_int_equal(mbedtls_gcm_crypt_and_tag(&c, MBEDTLS_GCM_ENCRYPT, 60, iv, 12, add, 20,
                                                       text, out, 16, tag),
                             0);
            assert_memory_equal(out, want, 60);
            assert_memory_equal(tag, should, 16);
            mbedtls_gcm_free(&c);
        }
    }
    gcm_engine_use(0);
}

/* What one engine seals another opens: the vault's file moves from machine to machine. */
static void test_vault(void **state)
{
    uint8_t key[CRYPTO_KEY];
    struct slice plain = S("a token, which is a secret of thirty-nine bytes or so");
    (void)state;
    crypto_init();
    fill(key, sizeof key, 3);
    for (int a = 0; gcm_engine_name(a) != NULL; a++) {
        for (int b = 0; gcm_engine_name(b) != NULL; b++) {
            struct buf sealed, opened;
            buf_init(&sealed, 1000);
            buf_init(&opened, 1000);
            gcm_engine_use(a);
            assert_int_equal(crypto_seal(&sealed, key, S("row 7"), plain), OK);
            gcm_engine_use(b);
            assert_int_equal(crypto_open(&opened, key, S("row 7"), buf_slice(&sealed)), OK);
            assert_true(slice_eq(buf_slice(&opened), plain));
            assert_int_equal(crypto_open(&opened, key, S("row 8"), buf_slice(&sealed)),
                             ERR_CORRUPT);
            buf_free(&sealed);
            buf_free(&opened);
        }
    }
    gcm_engine_use(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors), cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_damage),  cmocka_unit_test(test_rare),
        cmocka_unit_test(test_vault),
    };
    in_end = edge();
    out_end = edge();
    add_end = edge();
    want_end = edge();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
