/* Refined predictions: a small fixed network moves a prediction and says how much less, or more, is expected of its error.
 *
 * It sees pixels and errors around in units of the errors in the rows above, so that one table (refine_table.c, in integers) does
 * for all bands and places. What the rows above give is summed for a row at once (refine.c); what the pixels before give is added
 * here, pixel by pixel.
 */
#ifndef SP_PREDICTIVE_REFINE_H
#define SP_PREDICTIVE_REFINE_H

#include "predictive.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define HIDDEN 32
#define ROW_INPUTS 32   /* known with the rows above */
#define NEAR_INPUTS 8   /* only with the pixels before */
#define INPUT_BITS 6    /* an input of 1 is 2^6 */
#define HIDDEN_SHIFT 8  /* weights of the hidden units are in 1/2^8 */
#define OUTPUT_SHIFT 6  /* those of the outputs in 1/2^10; outputs are left in 1/2^10 */
#define INVERSE_BITS 20
#define FURTHEST 6      /* differences count up to so many times the scale, errors up to 4 times */
#define FURTHEST_ERROR 4
#define LARGEST_GAIN 32 /* of the expected error: two octaves, in 1/16 */
#define UNSEEN 2        /* rows that must be known */

typedef struct {
    int16_t input[ROW_INPUTS / 2][MAX_SIDE][2];
    int32_t scale[MAX_SIDE], inverse[MAX_SIDE], partial[MAX_SIDE][HIDDEN];
    uint32_t around[MAX_SIDE];
    uint16_t size[2][MAX_SIDE + 4]; /* |errors| of the rows above, and 2 on each side */
} refine_t;

/* Of a pixel, in 1/16 of a code: its own and the three values around it less the one above, the errors before it. */
typedef struct { int32_t predicted, left, second, corner, missed, missed_second; } near_t;

/* The two weights of inputs that stand together, by hidden unit. */
typedef struct {
    int16_t row[ROW_INPUTS / 2][HIDDEN][2], near[NEAR_INPUTS / 2][HIDDEN][2], out[2][HIDDEN];
    int32_t bias[HIDDEN], out_bias[2];
} network_t;
extern const network_t REFINE_NETWORK;

/* 2^12 times 2^(i/16). */
extern const uint16_t GAIN[2 * LARGEST_GAIN + 1];

INLINE int32_t limited_input(int32_t d, int32_t limit, int32_t inverse)
{
    d = d < -limit ? -limit : d > limit ? limit : d;
    return d * inverse >> (INVERSE_BITS - INPUT_BITS);
}

INLINE int32_t magnitude(int32_t v) { return v < 0 ? -v : v; }

#if defined(__SSE2__)
typedef struct { __m128i v[HIDDEN / 4]; } sums_t;

/* Two inputs by their weights onto the sums. */
INLINE void add_inputs(sums_t *sums, const int16_t *inputs, const int16_t (*weights)[2])
{
    int32_t both;
    memcpy(&both, inputs, sizeof both);
    const __m128i pair = _mm_set1_epi32(both);
    for (int k = 0; k < HIDDEN / 4; k++) {
        __m128i weight = _mm_loadu_si128((const __m128i *)(const void *)weights[4 * k]);
        sums->v[k] = _mm_add_epi32(sums->v[k], _mm_madd_epi16(pair, weight));
    }
}

INLINE void load_sums(sums_t *sums, const int32_t *from)
{
    for (int k = 0; k < HIDDEN / 4; k++) sums->v[k] = _mm_loadu_si128((const __m128i *)(const void *)(from + 4 * k));
}

INLINE void keep_sums(const sums_t *sums, int32_t *to)
{
    for (int k = 0; k < HIDDEN / 4; k++) _mm_storeu_si128((__m128i *)(void *)(to + 4 * k), sums->v[k]);
}

/* The hidden units of sums, and their own sum by the weights of an output. */
INLINE void put_outputs(const sums_t *sums, int32_t out[2])
{
    __m128i total[2] = {_mm_setzero_si128(), _mm_setzero_si128()};
    for (int k = 0; k < HIDDEN / 8; k++) {
        __m128i low = _mm_srai_epi32(sums->v[2 * k], HIDDEN_SHIFT), high = _mm_srai_epi32(sums->v[2 * k + 1], HIDDEN_SHIFT);
        __m128i units = _mm_max_epi16(_mm_packs_epi32(low, high), _mm_setzero_si128());
        for (int i = 0; i < 2; i++) {
            __m128i weight = _mm_loadu_si128((const __m128i *)(const void *)(REFINE_NETWORK.out[i] + 8 * k));
            total[i] = _mm_add_epi32(total[i], _mm_madd_epi16(units, weight));
        }
    }
    for (int i = 0; i < 2; i++) {
        __m128i half = _mm_add_epi32(total[i], _mm_shuffle_epi32(total[i], 0x4E));
        out[i] = REFINE_NETWORK.out_bias[i] + _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 0xB1)));
    }
}
#else
typedef struct { int32_t v[HIDDEN]; } sums_t;

INLINE void add_inputs(sums_t *sums, const int16_t *inputs, const int16_t (*weights)[2])
{
    const int32_t a = inputs[0], b = inputs[1];
    for (int h = 0; h < HIDDEN; h++) sums->v[h] += a * weights[h][0] + b * weights[h][1];
}

INLINE void load_sums(sums_t *sums, const int32_t *from) { memcpy(sums->v, from, sizeof sums->v); }
INLINE void keep_sums(const sums_t *sums, int32_t *to) { memcpy(to, sums->v, sizeof sums->v); }

INLINE void put_outputs(const sums_t *sums, int32_t out[2])
{
    for (int i = 0; i < 2; i++) out[i] = REFINE_NETWORK.out_bias[i];
    for (int h = 0; h < HIDDEN; h++) {
        int32_t unit = sums->v[h] < 0 ? 0 : min32(sums->v[h] >> HIDDEN_SHIFT, 32767);
        for (int i = 0; i < 2; i++) out[i] += unit * REFINE_NETWORK.out[i][h];
    }
}
#endif

/* *gain: by which the expected error is multiplied, 2^12 for 1. How far the prediction moves, in 1/16 of a code. */
INLINE int32_t refinement(const refine_t *f, int32_t x, const near_t *near, uint32_t *gain)
{
    const int32_t scale = f->scale[x], inverse = f->inverse[x], far = FURTHEST * scale, most = FURTHEST_ERROR * scale;
    const int32_t missed = limited_input(near->missed, most, inverse);
    const int32_t second = limited_input(near->missed_second, most, inverse);
    const int16_t input[NEAR_INPUTS] = {
        (int16_t)limited_input(near->predicted, far, inverse),
        (int16_t)limited_input(near->left, far, inverse),
        (int16_t)limited_input(near->second, far, inverse),
        (int16_t)missed,
        (int16_t)second,
        (int16_t)magnitude(missed),
        (int16_t)magnitude(second),
        (int16_t)limited_input(magnitude(near->left - near->corner), far, inverse),
    };
    int32_t out[2];
    sums_t sums;
    load_sums(&sums, f->partial[x]);
    for (int p = 0; p < NEAR_INPUTS / 2; p++) add_inputs(&sums, input + 2 * p, REFINE_NETWORK.near[p]);
    put_outputs(&sums, out);
    int32_t log = out[1] >> (OUTPUT_SHIFT + 6);
    log = log < -LARGEST_GAIN ? -LARGEST_GAIN : min32(log, LARGEST_GAIN);
    *gain = GAIN[log + LARGEST_GAIN];
    return (int32_t)((int64_t)(out[0] >> OUTPUT_SHIFT) * scale >> 10);
}

#endif
