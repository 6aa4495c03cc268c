/* Which of the library's functions this CPU can run. The library's own manager, which would bring
 * every algorithm it has, is left out. */
#include "gcm_engine.h"

#ifdef SLUICE_GCM_ENGINES

#include <cpuid.h>
#include <stdatomic.h>
#include <stdbool.h>

#define DECLARE(bits, kind)                                                                      \
    void aes_gcm_precomp_##bits##_##kind(void *keys);                                            \
    void aes_gcm_enc_##bits##_##kind(const void *, void *, uint8_t *, const uint8_t *, uint64_t, \
                                     const uint8_t *, const uint8_t *, uint64_t, uint8_t *,      \
                                     uint64_t);                                                  \
    void aes_gcm_dec_##bits##_##kind(const void *, void *, uint8_t *, const uint8_t *, uint64_t, \
                                     const uint8_t *, const uint8_t *, uint64_t, uint8_t *,      \
                                     uint64_t)
#define ROW(bits, kind)                                                                            \
    {                                                                                              \
        aes_keyexp_##bits##_enc_sse, aes_gcm_precomp_##bits##_##kind, aes_gcm_enc_##bits##_##kind, \
            aes_gcm_dec_##bits##_##kind                                                            \
    }

void aes_keyexp_128_enc_sse(const void *key, void *round_keys);
void aes_keyexp_256_enc_sse(const void *key, void *round_keys);
DECLARE(128, sse);
DECLARE(256, sse);
DECLARE(128, avx_gen4);
DECLARE(256, avx_gen4);
DECLARE(128, vaes_avx512);
DECLARE(256, vaes_avx512);

/* So many powers of the hash key are kept: 48 blocks at once, 8 blocks, 8 blocks twice. */
static const struct gcm_engine ENGINES[] = {
    {"vaes-avx512", GCM_ROUND_KEYS + 16 * 48, ROW(128, vaes_avx512), ROW(256, vaes_avx512)},
    {"aesni-avx2", GCM_ROUND_KEYS + 16 * 8, ROW(128, avx_gen4), ROW(256, avx_gen4)},
    {"aesni-sse", GCM_ROUND_KEYS + 16 * 16, ROW(128, sse), ROW(256, sse)},
};
#define COUNT (int)(sizeof ENGINES / sizeof ENGINES[0])

/* Intel's manual, volume 2, CPUID. Registers wider than 128 bits also need a kernel that saves
 * them, which XCR0 tells: bits 1 and 2 for AVX, 5 to 7 for AVX-512. */
static int best_engine(void)
{
    const unsigned aes = 1u << 25 | 1u << 20 | 1u << 19 | 1u << 9 | 1u << 1; /* to PCLMULQDQ */
    const unsigned avx = 1u << 28 | 1u << 27, avx2 = 1u << 8 | 1u << 5 | 1u << 3;
    const unsigned avx512 = 1u << 31 | 1u << 30 | 1u << 17 | 1u << 16, vaes = 1u << 10 | 1u << 9;
    unsigned a, b, c, d, one, low, high;

    if (!__get_cpuid(1, &a, &b, &one, &d) || (one & aes) != aes)
        return COUNT;
    if ((one & avx) != avx || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || (b & avx2) != avx2)
        return 2;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & 6) != 6)
        return 2;
    return (low & 0xe6) == 0xe6 && (b & avx512) == avx512 && (c & vaes) == vaes ? 0 : 1;
}

const struct gcm_engine *gcm_engine_at(int i)
{
    static atomic_int best = -1;
    int first = atomic_load_explicit(&best, memory_order_relaxed);
    if (first < 0) { /* CPUID is slow in a virtual machine; twice the same does no harm */
        first = best_engine();
        atomic_store_explicit(&best, first, memory_order_relaxed);
    }
    return i >= 0 && i < COUNT - first ? &ENGINES[first + i] : NULL;
}

#else

const struct gcm_engine *gcm_engine_at(int i)
{
    (void)i;
    return NULL;
}

#endif
