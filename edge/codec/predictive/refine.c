/* What refined predictions of a row take from the rows above, for all pixels at once. See refine.h. */
#include "rows.h"
#include "refine_sums.h"

#define ERROR_WEIGHTS 81 /* of the errors above, those of the slow mean included */

/* 2^12 times 2^(i/16), i from -32 on. */
const uint16_t GAIN[2 * LARGEST_GAIN + 1] = {
    1024,  1069,  1117,  1166,  1218,  1272,  1328,  1387,  1448,  1512,  1579,  1649,  1722,
    1798,  1878,  1961,  2048,  2139,  2233,  2332,  2435,  2543,  2656,  2774,  2896,  3025,
    3158,  3298,  3444,  3597,  3756,  3922,  4096,  4277,  4467,  4664,  4871,  5087,  5312,
    5547,  5793,  6049,  6317,  6597,  6889,  7194,  7512,  7845,  8192,  8555,  8933,  9329,
    9742,  10173, 10624, 11094, 11585, 12098, 12634, 13193, 13777, 14387, 15024, 15689, 16384};

/* |errors| of a row and what stands around it. */
static void sizes_of(const int32_t *restrict missed, int32_t width, uint16_t *restrict out)
{
    for (int32_t x = -ERROR_PAD; x < width + ERROR_PAD; x++) {
        int32_t e = magnitude(missed[x]);
        out[x] = (uint16_t)(e < 65535 ? e : 65535);
    }
}

/* Scales of a row, in 1/16 of a code: the mean of errors above, and half a code; and what divides by them. */
static void find_scales(refine_t *f, const uint16_t *n, const uint16_t *nn, int32_t width)
{
    for (int32_t x = 0; x < width; x++) {
        uint32_t sum = 14u * n[x] + 9u * n[x - 1] + 10u * n[x + 1] + 4u * n[x - 2] + 6u * n[x + 2] + 8u * nn[x] +
                       3u * nn[x - 1] + 5u * nn[x + 1] + (f->around[x] * 20 >> 6);
        f->scale[x] = (int32_t)(sum / ERROR_WEIGHTS + 8);
        f->inverse[x] = (int32_t)((float)(1 << INVERSE_BITS) / (float)f->scale[x]); /* both below 2^24: as of integers */
    }
}

const refine_sums_t REFINE_SUMS = {put_inputs, put_near, put_outputs, pixel};

void refine_row(work_t *w, model_t *m, const band_t *b, const row_t *row, int32_t stride)
{
    refine_t *f = &w->refine;
    const int32_t *n = m->missed[(row->y + 2) % 3], *nn = m->missed[(row->y + 1) % 3], width = row->width;
    if (row->y == 0) return;
    sizes_of(n, width, f->size[0] + ERROR_PAD);
    errors_around(m->spread, width, f->size[0] + ERROR_PAD, f->around);
    if (row->y < UNSEEN) return;
    sizes_of(nn, width, f->size[1] + ERROR_PAD);
    find_scales(f, f->size[0] + ERROR_PAD, f->size[1] + ERROR_PAD, width);
    f->summed = 0;
    f->width = width;
    w->sums->put_inputs(f, row->own, stride, n, nn, width, b->n_refs > 0);
}
