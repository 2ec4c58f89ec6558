/* Second moments of blocks of coefficients over the bands, what blocks are expected to take on a basis, and turning a basis until
 * they take less. float64, each product and each sum rounded, in the order that sparse.py has: both give the same bits. Moments are
 * packed: of bands (r, c), c not above r, row by row, so that those of the first bands come first. */
#include <math.h>

#include "exact.h"

enum { MAX_SIZE = 16, MAX_PACKED = MAX_SIZE * (MAX_SIZE + 1) / 2 };

#define LARGEST_RATIO 1e18  /* of a variance over the noise: sixteen of them multiplied are still a double */
#define LEAST_LENGTH 1e-100 /* of a slope that still has a direction */

/* rows: `size` bands, `stride` apart; columns: `count` blocks of `cells` columns each. moments: (count, size (size + 1) / 2). */
API void sp_sparse_moments(const float *rows, size_t stride, uint32_t size, const uint32_t *columns, uint32_t count, uint32_t cells,
                           double *moments)
{
    const uint32_t packed = size * (size + 1) / 2;
    for (uint32_t n = 0; n < count; n++, columns += cells, moments += packed) {
        for (uint32_t t = 0; t < packed; t++) moments[t] = 0;
        for (uint32_t k = 0; k < cells; k++) {
            double x[MAX_SIZE];
            for (uint32_t b = 0; b < size; b++) x[b] = (double)rows[b * stride + columns[k]];
            double *to = moments;
            for (uint32_t r = 0; r < size; r++)
                for (uint32_t c = 0; c <= r; c++) *to++ += x[r] * x[c];
        }
        for (uint32_t t = 0; t < packed; t++) moments[t] = moments[t] / (double)cells;
    }
}

/* Row t of `factors`: what packed moment t counts in the variance of every component of the basis (size, size), a row a band. */
static void factors_of(const double *basis, uint32_t size, double factors[][MAX_SIZE])
{
    for (uint32_t r = 0; r < size; r++)
        for (uint32_t c = 0; c <= r; c++, factors++)
            for (uint32_t i = 0; i < size; i++) {
                double product = basis[r * size + i] * basis[c * size + i];
                (*factors)[i] = r == c ? product : product + product;
            }
}

static void variances_of(const double *moments, uint32_t size, double factors[][MAX_SIZE], double *variances)
{
    const uint32_t packed = size * (size + 1) / 2;
    for (uint32_t i = 0; i < size; i++) variances[i] = 0;
    for (uint32_t t = 0; t < packed; t++)
        for (uint32_t i = 0; i < size; i++) variances[i] += moments[t] * factors[t][i];
    for (uint32_t i = 0; i < size; i++) variances[i] = variances[i] > 0 ? variances[i] : 0;
}

/* Adds to bits[a] what `count` blocks take at a squared error of noises[a] a coefficient: half a logarithm of base two of
 * 1 + variance / noise each, counts[n] of them to a block. stride: from one block's moments to the next one's. */
API void sp_sparse_bits(const double *moments, size_t stride, const double *counts, uint32_t count, const double *basis, uint32_t size,
                        const double *noises, uint32_t aims, double *bits)
{
    double factors[MAX_PACKED][MAX_SIZE], variances[MAX_SIZE];
    factors_of(basis, size, factors);
    for (uint32_t n = 0; n < count; n++, moments += stride) {
        variances_of(moments, size, factors, variances);
        for (uint32_t a = 0; a < aims; a++) {
            double product = 1;
            for (uint32_t i = 0; i < size; i++) {
                double ratio = variances[i] / noises[a];
                product = product * (1 + (ratio < LARGEST_RATIO ? ratio : LARGEST_RATIO));
            }
            bits[a] += 0.5 * counts[n] * log2(product);
        }
    }
}

/* slopes: (size, packed), of component i: the sum of the blocks' moments, each by what a little more variance of the component costs there. */
static void slopes_of(const double *moments, size_t stride, const double *counts, uint32_t count, const double *basis, uint32_t size,
                      const double *noises, const double *worth, uint32_t aims, double slopes[][MAX_PACKED])
{
    const uint32_t packed = size * (size + 1) / 2;
    double factors[MAX_PACKED][MAX_SIZE], variances[MAX_SIZE];
    factors_of(basis, size, factors);
    for (uint32_t i = 0; i < size; i++)
        for (uint32_t t = 0; t < packed; t++) slopes[i][t] = 0;
    for (uint32_t n = 0; n < count; n++, moments += stride) {
        variances_of(moments, size, factors, variances);
        for (uint32_t i = 0; i < size; i++) {
            double weight = 0;
            for (uint32_t a = 0; a < aims; a++) weight += worth[a] / (noises[a] + variances[i]);
            weight = weight * counts[n];
            for (uint32_t t = 0; t < packed; t++) slopes[i][t] += weight * moments[t];
        }
    }
}

/* x^T (a - b) y of packed symmetric matrices; x and y are columns of the basis. */
static double form(const double *a, const double *b, const double *basis, uint32_t size, uint32_t x, uint32_t y)
{
    double sum = 0;
    for (uint32_t r = 0; r < size; r++)
        for (uint32_t c = 0; c <= r; c++, a++, b++) {
            double product = basis[r * size + x] * basis[c * size + y];
            if (r != c) product = product + basis[c * size + x] * basis[r * size + y]; /* rounded thrice, as in sparse.py */
            sum += (*a - *b) * product;
        }
    return sum;
}

/* Turns columns i and j within their plane to where both slopes together are least. */
static void turn_pair(double *basis, uint32_t size, uint32_t i, uint32_t j, const double *of_i, const double *of_j)
{
    double along = (form(of_i, of_j, basis, size, i, i) - form(of_i, of_j, basis, size, j, j)) / 2;
    double across = form(of_i, of_j, basis, size, i, j);
    double length = sqrt(along * along + across * across);
    if (!(length > LEAST_LENGTH)) return;
    double cosine = -along / length; /* of twice the angle */
    double c = sqrt((1 + cosine) / 2), s = sqrt((1 - cosine) / 2);
    if (across > 0) s = -s;
    for (uint32_t b = 0; b < size; b++) {
        double x = basis[b * size + i], y = basis[b * size + j];
        basis[b * size + i] = c * x + s * y;
        basis[b * size + j] = c * y - s * x;
    }
}

/* `rounds` times: every pair of columns of `basis` once, by the slopes at the round's start. */
API void sp_sparse_turn(const double *moments, size_t stride, const double *counts, uint32_t count, const double *noises,
                        const double *worth, uint32_t aims, uint32_t rounds, double *basis, uint32_t size)
{
    double slopes[MAX_SIZE][MAX_PACKED];
    while (rounds--) {
        slopes_of(moments, stride, counts, count, basis, size, noises, worth, aims, slopes);
        for (uint32_t i = 0; i + 1 < size; i++)
            for (uint32_t j = i + 1; j < size; j++) turn_pair(basis, size, i, j, slopes[i], slopes[j]);
    }
}
