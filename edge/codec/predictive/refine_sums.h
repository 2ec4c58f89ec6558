/* What refined predictions add up, in vectors of the file that includes this (lanes.h); all have the same sums. */
#include "lanes.h"
#include "refine.h"

#define NEAR_ERRORS 8
#define ROW_PAIRS (ROW_INPUTS / 2)
#define NEAR_PAIRS (NEAR_INPUTS / 2)

/* ---------------------------------------------------------------------------------------------------- inputs */

INLINE int32_t limited_input(int32_t d, int32_t limit, int32_t inverse)
{
    d = d < -limit ? -limit : d > limit ? limit : d;
    return d * inverse >> (INVERSE_BITS - INPUT_BITS);
}

INLINE int32_t magnitude(int32_t v) { return v < 0 ? -v : v; }

/* Of the scale, in 1/16 of an octave. */
INLINE int32_t scale_input(int32_t scale)
{
    const int32_t top = (int32_t)ilog2((uint32_t)scale);
    return 2 * (16 * top + ((scale << 4 >> top) & 15));
}

static void put_inputs(refine_t *restrict f, const int16_t *restrict own, int32_t stride, const int32_t *restrict n,
                       const int32_t *restrict nn, int32_t width, int has_refs)
{
    const int16_t *up = own - stride, *twice = up - stride;
    for (int32_t x = 0; x < width; x++) {
        const int32_t inverse = f->inverse[x], far = FURTHEST * f->scale[x], most = FURTHEST_ERROR * f->scale[x], at = up[x];
#define STEP(a, b) limited_input(16 * ((a) - (b)), far, inverse)
#define SLOPE(a, b) limited_input(magnitude(16 * ((a) - (b))), far, inverse)
#define MISS(e) limited_input(e, most, inverse)
        f->pair[0][x] = paired(STEP(up[x - 1], at), STEP(up[x + 1], at));
        f->pair[1][x] = paired(STEP(up[x - 2], at), STEP(up[x + 2], at));
        f->pair[2][x] = paired(STEP(twice[x], at), STEP(twice[x - 1], at));
        const int32_t e[NEAR_ERRORS] = {MISS(n[x]),     MISS(n[x - 1]), MISS(n[x + 1]),  MISS(n[x - 2]),
                                        MISS(n[x + 2]), MISS(nn[x]),    MISS(nn[x - 1]), MISS(nn[x + 1])};
        f->pair[3][x] = paired(STEP(twice[x + 1], at), e[0]);
        f->pair[4][x] = paired(e[1], e[2]);
        f->pair[5][x] = paired(e[3], e[4]);
        f->pair[6][x] = paired(e[5], e[6]);
        f->pair[7][x] = paired(e[7], magnitude(e[0]));
        f->pair[8][x] = paired(magnitude(e[1]), magnitude(e[2]));
        f->pair[9][x] = paired(magnitude(e[3]), magnitude(e[4]));
        f->pair[10][x] = paired(magnitude(e[5]), magnitude(e[6]));
        f->pair[11][x] = paired(magnitude(e[7]), SLOPE(up[x - 1], at));
        f->pair[12][x] = paired(SLOPE(up[x + 1], at), SLOPE(twice[x], at));
        f->pair[13][x] = paired(SLOPE(up[x + 1], twice[x + 1]), SLOPE(up[x - 1], twice[x - 1]));
        f->pair[14][x] = paired(SLOPE(up[x + 2], up[x + 1]), SLOPE(up[x - 2], up[x - 1]));
    }
    for (int32_t x = 0; x < width; x++) f->pair[15][x] = paired(scale_input(f->scale[x]), has_refs ? 1 << INPUT_BITS : 0);
}

/* The inputs near a pixel. */
INLINE void near_inputs(int32_t predicted, int32_t left, int32_t missed, const near_t *near, int32_t scale, int32_t inverse,
                        uint32_t pairs[NEAR_PAIRS])
{
    const int32_t far = FURTHEST * scale, most = FURTHEST_ERROR * scale;
    const int32_t first = limited_input(missed, most, inverse), second = limited_input(near->missed, most, inverse);
    pairs[0] = paired(limited_input(predicted, far, inverse), limited_input(left, far, inverse));
    pairs[1] = paired(limited_input(near->second, far, inverse), first);
    pairs[2] = paired(second, magnitude(first));
    pairs[3] = paired(magnitude(second), limited_input(magnitude(left - near->corner), far, inverse));
}

static void put_near(refine_t *restrict f, const int16_t *restrict own, int32_t stride, const int32_t *restrict predicted,
                     const int32_t *restrict missed, int32_t width)
{
    const int16_t *up = own - stride;
    for (int32_t x = 0; x < width; x++) {
        const int32_t above = up[x];
        const near_t near = {16 * (own[x - 2] - above), 16 * (up[x - 1] - above), missed[x - 2]};
        uint32_t pairs[NEAR_PAIRS];
        near_inputs(predicted[x] - 16 * above, 16 * (own[x - 1] - above), missed[x - 1], &near, f->scale[x], f->inverse[x],
                    pairs);
        for (int i = 0; i < NEAR_PAIRS; i++) f->pair[ROW_PAIRS + i][x] = pairs[i];
    }
}

/* ------------------------------------------------------------------------------------------------------ sums */

#if defined(LANES_OF)
#define VECTORS (HIDDEN / LANES32)
typedef struct { lanes_t v[VECTORS]; } sums_t;

INLINE void load_sums(sums_t *sums, const int32_t *from)
{
#pragma GCC unroll 8
    for (int k = 0; k < VECTORS; k++) sums->v[k] = LOAD(from + LANES32 * k);
}

INLINE void keep_sums(const sums_t *sums, int32_t *to)
{
#pragma GCC unroll 8
    for (int k = 0; k < VECTORS; k++) STORE(to + LANES32 * k, sums->v[k]);
}

/* A pair of inputs by its weights onto the sums. */
INLINE void add_pair(sums_t *sums, uint32_t inputs, const int16_t (*weights)[2])
{
    const lanes_t pair = LANES_OF(set1_epi32)((int)inputs);
#pragma GCC unroll 8
    for (int k = 0; k < VECTORS; k++) {
        const lanes_t weight = LOAD(weights[LANES32 * k]);
        sums->v[k] = LANES_OF(add_epi32)(sums->v[k], LANES_OF(madd_epi16)(pair, weight));
    }
}

/* The hidden units of sums by the weights of an output, in 32-bit parts that are still to be added up. */
INLINE lanes_t weighed_units(const sums_t *sums, const int16_t *weights)
{
    lanes_t total = ZERO;
#pragma GCC unroll 4
    for (int k = 0; k < VECTORS; k += 2) {
        const lanes_t low = LANES_OF(srai_epi32)(sums->v[k], HIDDEN_SHIFT);
        const lanes_t high = LANES_OF(srai_epi32)(sums->v[k + 1], HIDDEN_SHIFT);
        const lanes_t units = LANES_OF(max_epi16)(LANES_OF(packs_epi32)(low, high), ZERO);
#if defined(USE_AVX2)
        const lanes_t weight = _mm256_permute4x64_epi64(LOAD(weights + 16 * (k / 2)), 0xD8); /* as `packs` has the units */
#else
        const lanes_t weight = LOAD(weights + 8 * (k / 2));
#endif
        total = LANES_OF(add_epi32)(total, LANES_OF(madd_epi16)(units, weight));
    }
    return total;
}

/* Both outputs of a pixel, the biases of the outputs included, in the lower two lanes. */
INLINE __m128i outputs_of(const sums_t *sums)
{
    const lanes_t first = weighed_units(sums, REFINE_NETWORK.out[0]), second = weighed_units(sums, REFINE_NETWORK.out[1]);
    const __m128i half = halved(added(first, second));
    const __m128i bias = _mm_loadl_epi64((const __m128i *)(const void *)REFINE_NETWORK.out_bias);
    return _mm_add_epi32(bias, _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4E)));
}

/* The first in the lower half. */
INLINE uint64_t packed_outputs(const sums_t *sums)
{
#if defined(__x86_64__)
    return (uint64_t)_mm_cvtsi128_si64(outputs_of(sums));
#else
    uint64_t both;
    _mm_storel_epi64((__m128i *)(void *)&both, outputs_of(sums));
    return both;
#endif
}
#else
typedef struct { int32_t v[HIDDEN]; } sums_t;

INLINE void load_sums(sums_t *sums, const int32_t *from) { memcpy(sums->v, from, sizeof sums->v); }
INLINE void keep_sums(const sums_t *sums, int32_t *to) { memcpy(to, sums->v, sizeof sums->v); }

INLINE void add_pair(sums_t *sums, uint32_t inputs, const int16_t (*weights)[2])
{
    const int32_t a = (int16_t)(inputs & 65535), b = (int16_t)(inputs >> 16);
    for (int h = 0; h < HIDDEN; h++) sums->v[h] += a * weights[h][0] + b * weights[h][1];
}

INLINE uint64_t packed_outputs(const sums_t *sums)
{
    int32_t out[2] = {REFINE_NETWORK.out_bias[0], REFINE_NETWORK.out_bias[1]};
    for (int h = 0; h < HIDDEN; h++) {
        int32_t unit = sums->v[h] < 0 ? 0 : min32(sums->v[h] >> HIDDEN_SHIFT, 32767);
        for (int i = 0; i < 2; i++) out[i] += unit * REFINE_NETWORK.out[i][h];
    }
    return (uint64_t)(uint32_t)out[1] << 32 | (uint32_t)out[0];
}
#endif

/* Over the inputs of a pixel from the rows above. */
INLINE void sum_above(const refine_t *f, int32_t x, sums_t *sums)
{
    load_sums(sums, REFINE_NETWORK.bias);
#pragma GCC unroll 1
    for (int p = 0; p < ROW_PAIRS; p++) add_pair(sums, f->pair[p][x], REFINE_NETWORK.row[p]);
}

static void put_outputs(refine_t *f, int32_t width)
{
    for (int32_t x = 0; x < width; x++) {
        sums_t sums;
        sum_above(f, x, &sums);
#pragma GCC unroll 1
        for (int p = 0; p < NEAR_PAIRS; p++) add_pair(&sums, f->pair[ROW_PAIRS + p][x], REFINE_NETWORK.near[p]);
        f->out[x] = packed_outputs(&sums);
    }
}

/* Of the pixels from x on, whose sums fit into the nearest memory. */
static void sum_ahead(refine_t *f, int32_t x)
{
    f->summed = min32((x | (AHEAD - 1)) + 1, f->width);
    for (; x < f->summed; x++) {
        sums_t sums;
        sum_above(f, x, &sums);
        keep_sums(&sums, f->partial[x & (AHEAD - 1)]);
    }
}

static uint64_t pixel(refine_t *f, int32_t x, int32_t predicted, int32_t left, int32_t missed, const near_t *near)
{
    sums_t sums;
    uint32_t pairs[NEAR_PAIRS];
    if (UNLIKELY(x >= f->summed)) sum_ahead(f, x);
    load_sums(&sums, f->partial[x & (AHEAD - 1)]);
    near_inputs(predicted, left, missed, near, f->scale[x], f->inverse[x], pairs);
#pragma GCC unroll 4
    for (int p = 0; p < NEAR_PAIRS; p++) add_pair(&sums, pairs[p], REFINE_NETWORK.near[p]);
    return packed_outputs(&sums);
}
