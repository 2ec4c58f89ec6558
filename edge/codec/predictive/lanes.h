/* Vectors of the file that includes this: of 256 bits where it defines USE_AVX2, else of 128 where all processors of a kind
 * have those, else none, and LANES_OF is not defined. Sums of integers are the same in all of them.
 */
#ifndef SP_PREDICTIVE_LANES_H
#define SP_PREDICTIVE_LANES_H

#include "bits.h"

#if defined(USE_AVX2)
typedef __m256i lanes_t;
#define LANES_OF(name) _mm256_##name
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define STORE(p, v) _mm256_storeu_si256((__m256i *)(void *)(p), v)
#define ZERO _mm256_setzero_si256()
#elif defined(__SSE2__)
#include <emmintrin.h>
typedef __m128i lanes_t;
#define LANES_OF(name) _mm_##name
#define LOAD(p) _mm_loadu_si128((const __m128i *)(const void *)(p))
#define STORE(p, v) _mm_storeu_si128((__m128i *)(void *)(p), v)
#define ZERO _mm_setzero_si128()
#endif

#if defined(LANES_OF)
#define LANES32 ((int)(sizeof(lanes_t) / sizeof(int32_t)))

/* Of every 128 bits two sums of two parts of a and of b: a, b, a, b. */
INLINE lanes_t added(lanes_t a, lanes_t b)
{
    return LANES_OF(add_epi32)(LANES_OF(unpacklo_epi32)(a, b), LANES_OF(unpackhi_epi32)(a, b));
}

/* The sum of each of four vectors of four parts, in every 128 bits. */
INLINE lanes_t added_up(const lanes_t v[4])
{
    const lanes_t low = added(v[0], v[1]), high = added(v[2], v[3]);
    return LANES_OF(add_epi32)(LANES_OF(unpacklo_epi64)(low, high), LANES_OF(unpackhi_epi64)(low, high));
}

INLINE __m128i halved(lanes_t v)
{
#if defined(USE_AVX2)
    return _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
#else
    return v;
#endif
}
#endif

#endif
