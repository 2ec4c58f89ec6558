/* Products of taps, in vectors of the file that includes this (lanes.h). */
#include "lanes.h"
#include "plan.h"

/* Of n values, a multiple of 16. */
INLINE int32_t product(const int16_t *a, const int16_t *b, int32_t n)
{
    int32_t sum = 0;
    for (int32_t k = 0; k < n; k++) sum += (int32_t)a[k] * b[k];
    return sum;
}

/* Onto row i of a class's products, those of the first n values of lane i with those of the lanes up to i. */
static void add_products(fit_t *f, uint32_t class, int32_t i, int32_t n)
{
    const int16_t *a = f->chunk[i];
    int64_t *out = f->product[class][i];
    int32_t j = 0;
#if defined(LANES_OF)
    for (; j + 4 <= i + 1; j += 4) {
        lanes_t sums[4] = {ZERO, ZERO, ZERO, ZERO};
        int32_t four[4];
        for (int32_t k = 0; k < n; k += 2 * LANES32) {
            const lanes_t values = LOAD(a + k);
            for (int32_t l = 0; l < 4; l++)
                sums[l] = LANES_OF(add_epi32)(sums[l], LANES_OF(madd_epi16)(values, LOAD(f->chunk[j + l] + k)));
        }
        _mm_storeu_si128((__m128i *)(void *)four, halved(added_up(sums)));
        for (int32_t l = 0; l < 4; l++) out[j + l] += four[l];
    }
#endif
    for (; j <= i; j++) out[j] += product(a, f->chunk[j], n);
}
