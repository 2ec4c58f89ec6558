/* What refined predictions of a row take from the rows above, for all pixels at once. See refine.h. */
#include "rows.h"

#define NEAR_ERRORS 8
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
        f->inverse[x] = (1 << INVERSE_BITS) / f->scale[x];
    }
}

/* Input i of a row: differences between two rows of pixels in codes, or errors. */
static void put_difference(refine_t *f, int i, const int16_t *a, const int16_t *b, int32_t width, int absolute)
{
    int16_t(*out)[2] = f->input[i >> 1];
    for (int32_t x = 0; x < width; x++) {
        int32_t d = 16 * (a[x] - b[x]), limit = FURTHEST * f->scale[x];
        if (absolute) d = magnitude(d);
        out[x][i & 1] = (int16_t)limited_input(d, limit, f->inverse[x]);
    }
}

/* Inputs i and i + NEAR_ERRORS: errors of a row above, and their magnitudes. */
static void put_error(refine_t *f, int i, const int32_t *missed, int32_t width)
{
    int16_t(*out)[2] = f->input[i >> 1], (*size)[2] = f->input[(i + NEAR_ERRORS) >> 1];
    for (int32_t x = 0; x < width; x++) {
        int32_t v = limited_input(missed[x], FURTHEST_ERROR * f->scale[x], f->inverse[x]);
        out[x][i & 1] = (int16_t)v;
        size[x][(i + NEAR_ERRORS) & 1] = (int16_t)magnitude(v);
    }
}

static void put_inputs(refine_t *f, const int16_t *own, int32_t stride, const int32_t *n, const int32_t *nn, int32_t width,
                       int has_refs)
{
    const int16_t *up = own - stride, *twice = up - stride;
    const int16_t *beside[7] = {up - 1, up + 1, up - 2, up + 2, twice, twice - 1, twice + 1};
    const int16_t *pair[7][2] = {{up - 1, up},         {up + 1, up},     {twice, up},      {up + 1, twice + 1},
                                 {up - 1, twice - 1}, {up + 2, up + 1}, {up - 2, up - 1}};
    const int8_t right[NEAR_ERRORS] = {0, -1, 1, -2, 2, 0, -1, 1};
    for (int i = 0; i < 7; i++) put_difference(f, i, beside[i], up, width, 0);
    for (int i = 0; i < NEAR_ERRORS; i++) put_error(f, 7 + i, (i < 5 ? n : nn) + right[i], width);
    for (int i = 0; i < 7; i++) put_difference(f, 23 + i, pair[i][0], pair[i][1], width, 1);
    for (int32_t x = 0; x < width; x++) {
        uint32_t scale = (uint32_t)f->scale[x], top = ilog2(scale);
        f->input[15][x][0] = (int16_t)(2 * (16 * top + ((scale << 4 >> top) & 15)));
        f->input[15][x][1] = (int16_t)(has_refs ? 1 << INPUT_BITS : 0);
    }
}

/* The hidden units' sums over the inputs of a row. */
static void sum_row(refine_t *f, int32_t width)
{
    const network_t *net = &REFINE_NETWORK;
    for (int32_t x = 0; x < width; x++) {
        sums_t sums;
        load_sums(&sums, net->bias);
        for (int p = 0; p < ROW_INPUTS / 2; p++) add_inputs(&sums, f->input[p][x], net->row[p]);
        keep_sums(&sums, f->partial[x]);
    }
}

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
    put_inputs(f, row->own, stride, n, nn, width, b->n_refs > 0);
    sum_row(f, width);
}
