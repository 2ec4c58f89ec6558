/* What filters add to a drawn band: codec/filters.py says how, and is the same in numpy. Integers only. */
#include <string.h>

#include "bitplane.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum {
    REACH = 3, PAIRS = 12, CUTS = 3, TAPS = PAIRS * CUTS, LANES = 16, /* of pairs, and four that tell nothing */
    UNIT = 64, FARTHEST = 16 * UNIT, ROWS = 5, WINDOW = ROWS * ROWS, LIVELY = 11, CLEAR = 2,
    DIRECTIONS = 1 + 4 * CLEAR, CLASSES = (LIVELY + 1) * DIRECTIONS, TILE_CLASSES = 5
};

static const int16_t CUT[CUTS] = {112, 32, 10}; /* in units, as the taps of a pair follow each other */
static const int32_t LIVELY_FROM[LIVELY] = {2, 5, 10, 16, 26, 38, 58, 83, 128, 192, 320};
static const int64_t TILE_LIVELY[TILE_CLASSES] = {6, 13, 26, 45, 77}, TILE_GRAINY[TILE_CLASSES] = {7, 10, 13, 16, 19};
static const int32_t CLEAR_FROM[CLEAR] = {3, 5}; /* halves */
static const int8_t ALONG[4][2] = {{0, 1}, {1, 0}, {1, 1}, {1, -1}}; /* directions of second differences */

/* The pair of every lane, as codec/filters.py counts them from the right of a place to three rows below; NOTHING tells nothing. The
 * first four lie in the row below, then in its own row, two rows below, and what is left. */
#define NOTHING PAIRS
static const uint8_t PAIR_OF[LANES] = {7, 6, 5, 4, 2, 1, 0, NOTHING, 10, 9, 8, NOTHING, 3, 11, NOTHING, NOTHING};

static inline int32_t far_of(int32_t v)
{
    int32_t size = v < 0 ? -v : v;
    return size < FARTHEST ? size : FARTHEST;
}

/* Working memory of sp_filter_classes in numbers: of every direction ROWS rows, their sum, and sums of windows. */
API size_t sp_filter_workspace(uint32_t width) { return 4 * (ROWS + 2) * ((size_t)width + 4); }

/* Second differences along a direction, of the row `y` - 2 and of columns from -2 on. */
static void differences(const int32_t *padded, size_t stride, size_t y, const int8_t *along, int32_t *out)
{
    const int32_t *middle = padded + (y + REACH - 2) * stride + REACH - 2;
    const int32_t *after = middle + along[0] * (ptrdiff_t)stride + along[1];
    const int32_t *before = middle - along[0] * (ptrdiff_t)stride - along[1];
    for (size_t x = 0; x < stride - 2; x++) out[x] = far_of(2 * middle[x] - after[x] - before[x]);
}

static inline uint32_t class_of(int32_t across, int32_t down, int32_t falling, int32_t rising)
{
    int32_t both = across + down;
    int32_t straight = across > down ? across : down, even = across > down ? down : across;
    int32_t slanted = falling > rising ? falling : rising, flat = falling > rising ? rising : falling;
    int upright = straight * flat > slanted * even;
    int32_t most = 2 * (upright ? straight : slanted), least = upright ? even : flat;
    uint32_t lively = 0, clear = 0, which = upright ? across <= down : 2u + (falling <= rising);
    for (int i = 0; i < LIVELY; i++) lively += both >= 2 * WINDOW * LIVELY_FROM[i];
    for (int i = 0; i < CLEAR; i++) clear += most > CLEAR_FROM[i] * least;
    return lively * DIRECTIONS + (clear ? CLEAR * which + clear : 0);
}

/* Classes of the places of a band, (height, width). padded (height + 2 REACH, width + 2 REACH) units; whole: what counts for the
 * tile, whose class is returned; work: sp_filter_workspace. */
API int32_t sp_filter_classes(const int32_t *padded, uint32_t height, uint32_t width, const uint8_t *whole, int32_t *work,
                              uint8_t *classes)
{
    size_t stride = (size_t)width + 2 * REACH, row = (size_t)width + 4;
    int32_t *sums = work + 4 * ROWS * row, *windows = sums + 4 * row;
    int64_t count = 0, lively = 0, far = 0;
    memset(work, 0, 4 * (ROWS + 1) * row * sizeof *work);
    for (size_t y = 0; y < (size_t)height + ROWS - 1; y++) {
        for (size_t d = 0; d < 4; d++) {
            int32_t *mine = work + (d * ROWS + y % ROWS) * row, *sum = sums + d * row, *window = windows + d * row;
            for (size_t x = 0; x < row; x++) sum[x] -= mine[x];
            differences(padded, stride, y, ALONG[d], mine);
            for (size_t x = 0; x < row; x++) sum[x] += mine[x];
            for (size_t x = 0; x < width; x++) window[x] = sum[x] + sum[x + 1] + sum[x + 2] + sum[x + 3] + sum[x + 4];
        }
        if (y < ROWS - 1) continue;
        size_t at = (y - ROWS + 1) * width;
        const int32_t *here = padded + (y - ROWS + 1 + REACH) * stride + REACH;
        for (size_t x = 0; x < width; x++) {
            const int32_t *w = windows + x, *p = here + x;
            classes[at + x] = (uint8_t)class_of(w[0], w[row], w[2 * row], w[3 * row]);
            if (!whole[at + x]) continue;
            count++;
            lively += w[0] + w[row];
            far += far_of(p[1] - p[-1]) + far_of(p[stride] - p[-(ptrdiff_t)stride]);
        }
    }
    int32_t how_lively = 0, how_grainy = 0;
    for (int i = 0; i < TILE_CLASSES; i++) {
        how_lively += lively >= 2 * TILE_LIVELY[i] * WINDOW * count;
        how_grainy += 20 * lively >= TILE_GRAINY[i] * WINDOW * far;
    }
    return how_lively * (TILE_CLASSES + 1) + how_grainy;
}

/* Weights (CLASSES, TAPS) of a tile as lanes have them: (CLASSES, CUTS, LANES). */
static void spread(const int16_t *weights, int16_t *lanes)
{
    for (size_t c = 0; c < CLASSES; c++)
        for (size_t cut = 0; cut < CUTS; cut++)
            for (size_t i = 0; i < LANES; i++)
                *lanes++ = PAIR_OF[i] == NOTHING ? 0 : weights[c * TAPS + PAIR_OF[i] * CUTS + cut];
}

#if defined(__SSE2__)
static inline __m128i four(const int32_t *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }

static inline __m128i two(const int32_t *p, const int32_t *q)
{
    return _mm_unpacklo_epi32(_mm_cvtsi32_si128(*p), _mm_cvtsi32_si128(*q));
}

static inline __m128i turned(__m128i v) { return _mm_shuffle_epi32(v, _MM_SHUFFLE(0, 1, 2, 3)); }

static inline __m128i both(__m128i a, __m128i b, int16_t cut)
{
    const __m128i most = _mm_set1_epi16(cut), least = _mm_set1_epi16((int16_t)-cut);
    return _mm_add_epi16(_mm_max_epi16(_mm_min_epi16(a, most), least), _mm_max_epi16(_mm_min_epi16(b, most), least));
}

/* What is to be added at p: of the opposite pixels of every lane how far both lie from it, by each cut and its weights. */
static inline int32_t added_at(const int32_t *p, ptrdiff_t s, const int16_t *weights)
{
    const __m128i own = _mm_set1_epi32(*p);
#define LESS(v) _mm_sub_epi32(v, own)
#define PACK(a, b) _mm_packs_epi32(LESS(a), LESS(b)) /* what does not fit 16 bits is beyond every cut */
    __m128i before[2] = {PACK(four(p - s - 2), four(p - 3)), PACK(four(p - 2 * s - 1), two(p - s + 2, p - 3 * s))};
    __m128i after[2] = {PACK(turned(four(p + s - 1)), turned(four(p))),
                        PACK(turned(four(p + 2 * s - 2)), two(p + s - 2, p + 3 * s))};
    __m128i sum = _mm_setzero_si128();
    for (int cut = 0; cut < CUTS; cut++)
        for (int half = 0; half < 2; half++, weights += LANES / 2) {
            const __m128i w = _mm_loadu_si128((const __m128i *)(const void *)weights);
            sum = _mm_add_epi32(sum, _mm_madd_epi16(both(before[half], after[half], CUT[cut]), w));
        }
#undef PACK
#undef LESS
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, _MM_SHUFFLE(1, 0, 3, 2)));
    return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, _MM_SHUFFLE(2, 3, 0, 1))));
}
#else
static inline int32_t within(int32_t v, int32_t cut) { return v > cut ? cut : v < -cut ? -cut : v; }

static inline int32_t added_at(const int32_t *p, ptrdiff_t s, const int16_t *weights)
{
    const int32_t before[LANES] = {p[-s - 2], p[-s - 1], p[-s], p[-s + 1], p[-3], p[-2], p[-1], *p,
                                   p[-2 * s - 1], p[-2 * s], p[-2 * s + 1], *p, p[-s + 2], p[-3 * s], *p, *p};
    const int32_t after[LANES] = {p[s + 2], p[s + 1], p[s], p[s - 1], p[3], p[2], p[1], *p,
                                  p[2 * s + 1], p[2 * s], p[2 * s - 1], *p, p[s - 2], p[3 * s], *p, *p};
    int32_t sum = 0;
    for (int cut = 0; cut < CUTS; cut++)
        for (int i = 0; i < LANES; i++)
            sum += *weights++ * (within(before[i] - *p, CUT[cut]) + within(after[i] - *p, CUT[cut]));
    return sum;
}
#endif

/* What is added at every place (height, width), in units by the weights' own. classes: of sp_filter_classes; weights (CLASSES,
 * TAPS) of the tile. */
API void sp_filter_add(const int32_t *padded, uint32_t height, uint32_t width, const uint8_t *classes, const int16_t *weights,
                       int32_t *out)
{
    int16_t lanes[CLASSES * CUTS * LANES];
    ptrdiff_t stride = (ptrdiff_t)width + 2 * REACH;
    spread(weights, lanes);
    for (uint32_t y = 0; y < height; y++) {
        const int32_t *p = padded + (y + REACH) * stride + REACH;
        for (uint32_t x = 0; x < width; x++, p++) *out++ = added_at(p, stride, lanes + *classes++ * CUTS * LANES);
    }
}
