/* What is known of a row before its first pixel, for all pixels in one pass each: classes, the part of the predictions
 * that the rows above and the references give, and what the errors above say.
 */
#include "lanes.h"
#include "rows.h"

/* |differences| between the pixels above, as `activity` has them, in places of 16 bits where they fit. */
static void row_activity(const int16_t *row, int32_t stride, int32_t width, int32_t *restrict out)
{
    const int16_t *n = row - stride, *nn = n - stride;
    for (int32_t x = 0; x < width; x++) {
        int32_t left = n[x] - n[x - 1], right = n[x] - n[x + 1], up = n[x] - nn[x];
        int32_t west = n[x - 1] - nn[x - 1], east = n[x + 1] - nn[x + 1];
        out[x] = (left < 0 ? -left : left) + (right < 0 ? -right : right) + (up < 0 ? -up : up) +
                 (west < 0 ? -west : west) + (east < 0 ? -east : east);
    }
}

/* Classes of a row by the pixels' places or by the activity of their neighbours. */
static void find_classes(work_t *w, const band_t *b, const int16_t *row, int32_t stride, int32_t y, int32_t width)
{
    uint8_t *restrict class = w->class;
    if (b->classes == 1) {
        memset(class, 0, (size_t)width);
    } else if (b->phased) {
        const int32_t first = b->classes == 2 ? y & 1 : 2 * (y & 1), odd = b->classes == 4;
        for (int32_t x = 0; x < width; x++) class[x] = (uint8_t)(first + (x & odd));
    } else {
        int32_t from[MAX_CLASSES - 1] = {INT32_MAX, INT32_MAX, INT32_MAX}, *restrict of = w->activity;
        for (uint32_t i = 0; i + 1 < b->classes; i++) from[i] = (int32_t)activity_from8(b->threshold[i]);
        row_activity(row, stride, width, of);
        for (int32_t x = 0; x < width; x++)
            class[x] = (uint8_t)((of[x] >= from[0]) + (of[x] >= from[1]) + (of[x] >= from[2]));
    }
}

/* Weighted mean of a reference's pixels around each of a row that would be known. */
static void means(const int16_t *const rows[3], int32_t width, int16_t *restrict out)
{
    const int16_t *up = rows[0], *at = rows[1];
    for (int32_t x = 0; x < width; x++)
        out[x] = (int16_t)((3 * (at[x - 1] + up[x]) + up[x - 1] + up[x + 1] + 4) >> 3);
}

/* Sums of a class's weights: what differences from a pixel add is what the pixels add, less its multiple. */
void sum_weights(model_t *m, const band_t *b)
{
    memset(m->sums, 0, sizeof m->sums);
    for (uint32_t class = 0; class < b->classes; class++)
        for (uint32_t i = 0; i < WEIGHTS; i++) m->sums[class][group_of(i)] += b->weight[class][i];
}

#if defined(LANES_OF)
#define AT_ONCE 4

/* Of a reference lanes 0 to 3 of its first two rows together, as no set has others, and its last row. */
typedef struct { lanes_t own[2], ref[MAX_REFS][2]; } packed_t;

static lanes_t load_halves(const int16_t *a, const int16_t *b)
{
    return _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i *)(const void *)a),
                              _mm_loadl_epi64((const __m128i *)(const void *)b));
}

static void pack_weights(const band_t *b, packed_t packed[MAX_CLASSES])
{
    for (uint32_t class = 0; class < b->classes; class++) {
        const int16_t *weight = b->weight[class];
        for (uint32_t i = 0; i < 2; i++) packed[class].own[i] = LOAD(weight + 8 * i);
        for (uint32_t k = 0; k < b->n_refs; k++) {
            const int16_t *ref = weight + OWN_LANES + REF_LANES * k;
            packed[class].ref[k][0] = load_halves(ref, ref + 8);
            packed[class].ref[k][1] = LOAD(ref + 16);
        }
    }
}

/* Taps of a pixel by their weights, in four parts. */
INLINE lanes_t weigh(const int16_t *above, const int16_t *twice, const row_t *row, int32_t x, const packed_t *weight,
                     const uint32_t n_refs)
{
    lanes_t sum = _mm_add_epi32(_mm_madd_epi16(LOAD(above + x), weight->own[0]),
                                _mm_madd_epi16(LOAD(twice + x), weight->own[1]));
    for (uint32_t k = 0; k < n_refs; k++) {
        const int16_t *const *rows = row->rows[k];
        const lanes_t first = _mm_madd_epi16(load_halves(rows[0] + x - 1, rows[1] + x - 1), weight->ref[k][0]);
        const lanes_t last = _mm_madd_epi16(LOAD(rows[2] + x - 1), weight->ref[k][1]);
        sum = _mm_add_epi32(sum, _mm_add_epi32(first, last));
    }
    return sum;
}

/* All pixels' taps by their weights, some pixels more than the row has; n_refs is constant in every use. */
INLINE void weigh_taps(work_t *w, const band_t *b, const row_t *row, int32_t stride, const uint32_t n_refs)
{
    packed_t packed[MAX_CLASSES];
    const int16_t *above = row->own - stride - 3, *twice = above - stride;
    pack_weights(b, packed);
    for (int32_t x = 0; x < row->width; x += AT_ONCE) {
        lanes_t sum[AT_ONCE];
        for (int32_t i = 0; i < AT_ONCE; i++) {
            const int32_t at = min32(x + i, row->width - 1);
            sum[i] = weigh(above, twice, row, at, &packed[w->class[at]], n_refs);
        }
        STORE(w->partial + x, added_up(sum));
    }
}
#else
/* Sum of a pixel's taps by their weights. n is constant. */
INLINE int32_t weigh(const int16_t *taps, const int16_t *weight, uint32_t n)
{
    int32_t sum = 0;
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC unroll 1 /* or 16 lanes are taken one by one */
#endif
    for (uint32_t i = 0; i < n; i++) sum += (int32_t)taps[i] * weight[i];
    return sum;
}

/* All pixels' taps by their weights; n_refs is constant in every use. */
INLINE void weigh_taps(work_t *w, const band_t *b, const row_t *row, int32_t stride, const uint32_t n_refs)
{
    int16_t taps[LANES];
    const int16_t *above = row->own - stride - 3, *twice = above - stride;
    for (int32_t x = 0; x < row->width; x++) {
        memcpy(taps, above + x, 16);
        memcpy(taps + 8, twice + x, 16);
        for (uint32_t k = 0; k < n_refs; k++)
            for (uint32_t i = 0; i < 3; i++)
                memcpy(taps + OWN_LANES + REF_LANES * k + 8 * i, row->rows[k][i] + x - 1, 16);
        w->partial[x] = weigh(taps, b->weight[w->class[x]], OWN_LANES + REF_LANES * n_refs);
    }
}
#endif

/* What a row's predictions have but for the pixels before, which are still to be added by their weights: differences from the
 * pixel above and from the references' means. Sums stay below 2^31, as the weights' is at most 2^16. */
INLINE void weigh_row(work_t *w, const band_t *b, const model_t *m, const row_t *row, int32_t stride,
                      const uint32_t n_refs)
{
    const int16_t *above = row->own - stride;
    weigh_taps(w, b, row, stride, n_refs);
    for (int32_t x = 0; x < row->width; x++) {
        const int32_t *sums = m->sums[w->class[x]];
        int32_t sum = w->partial[x] - above[x] * sums[0];
        for (uint32_t k = 0; k < n_refs; k++) sum -= w->mean[k][x] * sums[1 + k];
        w->partial[x] = sum;
    }
}

/* The first row has none above: it takes the pixel before, and what the first reference adds to it. */
static void predict_first(work_t *w, const band_t *b, const row_t *row)
{
    int32_t weight = b->weight[0][lane_of(1, 9)];
    memset(w->class, 0, (size_t)row->width);
    w->partial[0] = 0;
    for (int32_t x = 1; x < row->width; x++)
        w->partial[x] = b->n_refs ? weight * (row->rows[0][1][x] - row->rows[0][1][x - 1]) : 0;
}

void predict(work_t *w, const band_t *b, const model_t *m, const row_t *row, int32_t stride)
{
    if (row->y == 0) {
        predict_first(w, b, row);
        return;
    }
    find_classes(w, b, row->own, stride, row->y, row->width);
    for (uint32_t k = 0; k < b->n_refs; k++) means(row->rows[k], row->width, w->mean[k]);
    if (b->n_refs == 0) weigh_row(w, b, m, row, stride, 0);
    else if (b->n_refs == 1) weigh_row(w, b, m, row, stride, 1);
    else if (b->n_refs == 2) weigh_row(w, b, m, row, stride, 2);
    else weigh_row(w, b, m, row, stride, 3);
}

/* The slow mean of errors around every pixel, from one row to the next. */
void errors_around(uint32_t *restrict wide, int32_t width, const uint16_t *restrict n, uint32_t *restrict out)
{
    for (int32_t x = 0; x < width; x++) wide[x] += n[x] - (wide[x] >> 3);
    for (int32_t i = 1; i <= WIDE; i++) {
        wide[-i] += n[0] - (wide[-i] >> 3);
        wide[width - 1 + i] += n[width - 1] - (wide[width - 1 + i] >> 3);
    }
    for (int32_t x = 0; x < width; x++)
        out[x] = wide[x - 4] + wide[x - 3] + wide[x - 2] + wide[x - 1] + wide[x] + wide[x + 1] + wide[x + 2] +
                 wide[x + 3] + wide[x + 4];
}

/* What the rows above say of the errors of a row, for every pixel; with the pixels before, weights sum to about 106.
 * Where cells of 2 x 2 are told apart, only pixels in the same place of a cell are asked. */
void errors_above(const model_t *m, int32_t width, int phased, const uint16_t *n, const uint16_t *nn,
                  uint32_t *restrict out)
{
    if (phased) {
        for (int32_t x = 0; x < width; x++) out[x] = 34u * nn[x] + 22u * nn[x - 2] + 23u * nn[x + 2];
        return;
    }
    errors_around(m->wide, width, n, out);
    for (int32_t x = 0; x < width; x++)
        out[x] = 14u * n[x] + 9u * n[x - 1] + 10u * n[x + 1] + 4u * n[x - 2] + 6u * n[x + 2] + 8u * nn[x] +
                 3u * nn[x - 1] + 5u * nn[x + 1] + (out[x] * 20 >> 6);
}
